/* proxy/peer/frame.c - framing and the small structures; see frame.h. */
#include "proxy/peer/frame.h"
#include "proxy/peer/frame_head.h"

#include <stdalign.h>
#include <stdio.h>

const char *dia_goodbye_label(uint32_t code)
{
#define DIA_GOODBYE_LABEL(name, value, label, rc, slow) \
	if (code == (uint32_t)(value))                  \
		return label;
	DIA_GOODBYE_LIST(DIA_GOODBYE_LABEL)
#undef DIA_GOODBYE_LABEL
	return "unknown";
}

enum dia_rc dia_goodbye_rc(uint32_t code)
{
#define DIA_GOODBYE_RC(name, value, label, rc, slow) \
	if (code == (uint32_t)(value))               \
		return rc;
	DIA_GOODBYE_LIST(DIA_GOODBYE_RC)
#undef DIA_GOODBYE_RC
	return DIA_E_CLOSED;
}

bool dia_goodbye_is_slow(uint32_t code)
{
#define DIA_GOODBYE_SLOW(name, value, label, rc, slow) \
	if (code == (uint32_t)(value))                 \
		return slow;
	DIA_GOODBYE_LIST(DIA_GOODBYE_SLOW)
#undef DIA_GOODBYE_SLOW
	return false;
}

/* 0 for a type that does not exist. */
static size_t type_limit(uint8_t type)
{
	switch ((enum dia_frame_type)type) {
	case DIA_FRAME_BATCH:
	case DIA_FRAME_TXN_PART:
		return DIA_FRAME_MAX;
	case DIA_FRAME_HELLO:
	case DIA_FRAME_TXN_BEGIN:
	case DIA_FRAME_ACK:
	case DIA_FRAME_PING:
	case DIA_FRAME_PONG:
	case DIA_FRAME_GOODBYE:
		return DIA_FRAME_SMALL_MAX;
	}
	return 0;
}

enum dia_parse dia_frame_split(
	struct dia_slice in, size_t max_payload, struct dia_frame *ret, size_t *ret_used)
{
	size_t len, limit;

	if (in.len < DIA_FRAME_HEADER)
		return DIA_PARSE_MORE;
	len = dia_le32(in.data);
	limit = type_limit(in.data[4]);
	if (limit == 0 || len > limit || len > max_payload)
		return DIA_PARSE_BAD;
	if (in.len - DIA_FRAME_HEADER < len)
		return DIA_PARSE_MORE;
	ret->type = (enum dia_frame_type)in.data[4];
	ret->payload = dia_slice_of(in.data + DIA_FRAME_HEADER, len);
	*ret_used = DIA_FRAME_HEADER + len;
	return DIA_PARSE_OK;
}

/* Unpacking allocates from a fixed space on the stack: hostile messages of thousands of
 * tiny unknown fields end where it ends, and the ordinary one costs no malloc. */
struct pb_space {
	alignas(max_align_t) uint8_t data[8192];
	size_t used;
};

static void *pb_alloc(void *data, size_t size)
{
	struct pb_space *space = data;
	size_t at = space->used;

	if (size > sizeof(space->data) - at)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	space->used = size > sizeof(space->data) - at ? sizeof(space->data) : at + size;
	return space->data + at;
}

static void pb_free(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

static void *pb_unpack(struct pb_space *space, const ProtobufCMessageDescriptor *type,
	struct dia_slice payload)
{
	ProtobufCAllocator allocator = {
		.alloc = pb_alloc, .free = pb_free, .allocator_data = space};

	space->used = 0;
	if (payload.len > DIA_FRAME_SMALL_MAX)
		return NULL;
	/* An empty payload is a message of zeros; the library wants a pointer for it. */
	return protobuf_c_message_unpack(type, &allocator, payload.len,
		payload.len > 0 ? payload.data : (const uint8_t *)"");
}

static enum dia_rc pb_put(
	struct dia_buf *out, enum dia_frame_type type, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);

	if (len > DIA_FRAME_SMALL_MAX)
		return DIA_E_LIMIT;
	if (dia_buf_reserve(out, DIA_FRAME_HEADER + len) != DIA_OK)
		return DIA_E_NOMEM;
	dia_put_le32(out->data + out->len, (uint32_t)len);
	out->data[out->len + 4] = (uint8_t)type;
	(void)protobuf_c_message_pack(message, out->data + out->len + DIA_FRAME_HEADER);
	out->len += DIA_FRAME_HEADER + len;
	return DIA_OK;
}

static enum dia_rc bad(struct dia_err *reterr, const char *what)
{
	return dia_err_set(reterr, DIA_E_PROTOCOL, 0, "bad frame: %s", what);
}

static bool dc_is_valid(uint32_t id)
{
	return id >= 1 && id <= DIA_DC_MAX;
}

/* Text for people: cut to fit, and nothing but printable ASCII survives. */
static void copy_text(char *out, size_t cap, const char *text)
{
	size_t at = 0;

	for (; text[at] != '\0' && at + 1 < cap; at++)
		out[at] = text[at] < 0x20 || text[at] > 0x7e ? '?' : text[at];
	out[at] = '\0';
}

enum dia_rc dia_frame_put_hello(struct dia_buf *out, const struct dia_frame_hello *hello)
{
	Dia__Pb__Hello m = DIA__PB__HELLO__INIT;
	char name[DIA_FRAME_NAME_MAX];

	copy_text(name, sizeof(name), hello->name);
	m.version_min = hello->version_min;
	m.version_max = hello->version_max;
	m.from_dc = hello->from.id;
	m.to_dc = hello->to.id;
	m.name = name;
	m.incarnation = hello->incarnation;
	m.head_seq = hello->head_seq;
	m.max_txn_bytes = hello->max_txn_bytes;
	m.after_seq = hello->after_seq;
	return pb_put(out, DIA_FRAME_HELLO, &m.base);
}

enum dia_rc dia_frame_get_hello(
	struct dia_slice payload, struct dia_frame_hello *ret, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__Hello *m = pb_unpack(&space, &dia__pb__hello__descriptor, payload);

	if (m == NULL)
		return bad(reterr, "hello does not parse");
	if (m->version_min == 0 || m->version_min > m->version_max)
		return bad(reterr, "hello with an impossible version range");
	if (!dc_is_valid(m->from_dc) || !dc_is_valid(m->to_dc))
		return bad(reterr, "hello with a DC id outside 1..63");
	*ret = (struct dia_frame_hello){
		.version_min = m->version_min,
		.version_max = m->version_max,
		.from = {(uint16_t)m->from_dc},
		.to = {(uint16_t)m->to_dc},
		.incarnation = m->incarnation,
		.head_seq = m->head_seq,
		.max_txn_bytes = m->max_txn_bytes,
		.after_seq = m->after_seq,
	};
	copy_text(ret->name, sizeof(ret->name), m->name);
	return DIA_OK;
}

uint32_t dia_frame_version(
	const struct dia_frame_hello *ours, const struct dia_frame_hello *theirs)
{
	uint32_t high = ours->version_max < theirs->version_max ? ours->version_max
								: theirs->version_max;

	return high < ours->version_min || high < theirs->version_min ? 0 : high;
}

enum dia_rc dia_frame_put_ack(struct dia_buf *out, const struct dia_frame_ack *ack)
{
	Dia__Pb__Ack m = DIA__PB__ACK__INIT;

	m.received = ack->received;
	m.applied = ack->applied;
	return pb_put(out, DIA_FRAME_ACK, &m.base);
}

enum dia_rc dia_frame_get_ack(
	struct dia_slice payload, struct dia_frame_ack *ret, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__Ack *m = pb_unpack(&space, &dia__pb__ack__descriptor, payload);

	if (m == NULL)
		return bad(reterr, "ack does not parse");
	if (m->applied > m->received)
		return bad(reterr, "ack applies more than it received");
	*ret = (struct dia_frame_ack){.received = m->received, .applied = m->applied};
	return DIA_OK;
}

enum dia_rc dia_frame_put_beat(
	struct dia_buf *out, enum dia_frame_type type, const struct dia_frame_beat *beat)
{
	Dia__Pb__Beat m = DIA__PB__BEAT__INIT;

	m.id = beat->id;
	m.wall_ms = beat->wall_ms;
	m.head_seq = beat->head_seq;
	return pb_put(out, type, &m.base);
}

enum dia_rc dia_frame_get_beat(
	struct dia_slice payload, struct dia_frame_beat *ret, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__Beat *m = pb_unpack(&space, &dia__pb__beat__descriptor, payload);

	if (m == NULL)
		return bad(reterr, "heartbeat does not parse");
	/* 48 bits of milliseconds are what an HLC can hold, and keep sums in range. */
	if (m->wall_ms >> 48 != 0)
		return bad(reterr, "heartbeat with an impossible clock");
	*ret = (struct dia_frame_beat){
		.id = m->id, .wall_ms = m->wall_ms, .head_seq = m->head_seq};
	return DIA_OK;
}

enum dia_rc dia_frame_put_goodbye(
	struct dia_buf *out, const struct dia_frame_goodbye *goodbye)
{
	Dia__Pb__Goodbye m = DIA__PB__GOODBYE__INIT;
	char text[DIA_FRAME_TEXT_MAX];

	copy_text(text, sizeof(text), goodbye->text);
	m.code = goodbye->code;
	m.text = text;
	return pb_put(out, DIA_FRAME_GOODBYE, &m.base);
}

enum dia_rc dia_frame_get_goodbye(
	struct dia_slice payload, struct dia_frame_goodbye *ret, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__Goodbye *m =
		pb_unpack(&space, &dia__pb__goodbye__descriptor, payload);

	if (m == NULL)
		return bad(reterr, "goodbye does not parse");
	ret->code = m->code;
	copy_text(ret->text, sizeof(ret->text), m->text);
	return DIA_OK;
}

void dia_frame_head_fill(
	const struct dia_txn_head *head, struct dia_frame_head_message *ret)
{
	Dia__Pb__TxnHead *m = &ret->m;

	dia__pb__txn_head__init(m);
	m->origin = head->origin.id;
	m->flags = head->flags;
	m->seq = head->seq;
	m->stamp = head->stamp.v;
	m->gtid_domain = head->gtid.domain;
	m->gtid_server = head->gtid.server;
	m->gtid_seq = head->gtid.seq_no;
	m->commit_time = head->commit_time;
	m->captured_us = head->captured_us;
	for (uint32_t i = 0; i < head->deps.count && i < DIA_DEPS_MAX; i++) {
		ret->dep_dc[i] = head->deps.at[i].dc.id;
		ret->dep_seq[i] = head->deps.at[i].seq;
		m->n_dep_dc = m->n_dep_seq = i + 1;
	}
	m->dep_dc = ret->dep_dc;
	m->dep_seq = ret->dep_seq;
}

/* Every field that something later indexes or shifts by is checked here, once. */
static enum dia_rc head_of(
	const Dia__Pb__TxnHead *m, struct dia_txn_head *ret, struct dia_err *reterr)
{
	if (!dc_is_valid(m->origin))
		return bad(reterr, "transaction with an origin outside 1..63");
	if ((m->flags & ~(uint32_t)(DIA_TXN_DDL | DIA_TXN_WATERMARK)) != 0)
		return bad(reterr, "transaction with unknown flags");
	if (m->n_dep_dc > DIA_DEPS_MAX || m->n_dep_dc != m->n_dep_seq)
		return bad(reterr, "transaction with impossible dependencies");
	*ret = (struct dia_txn_head){
		.origin = {(uint16_t)m->origin},
		.flags = m->flags,
		.seq = m->seq,
		.stamp = {m->stamp},
		.gtid = {.domain = m->gtid_domain,
			.server = m->gtid_server,
			.seq_no = m->gtid_seq},
		.commit_time = m->commit_time,
		.captured_us = m->captured_us,
	};
	for (size_t i = 0; i < m->n_dep_dc; i++) {
		struct dia_dc dc = {(uint16_t)m->dep_dc[i]};

		if (!dc_is_valid(m->dep_dc[i]) || m->dep_dc[i] == m->origin)
			return bad(reterr, "transaction depends on an impossible DC");
		for (uint32_t j = 0; j < ret->deps.count; j++)
			if (ret->deps.at[j].dc.id == dc.id)
				return bad(reterr, "transaction depends twice on a DC");
		ret->deps.at[ret->deps.count].dc = dc;
		ret->deps.at[ret->deps.count++].seq = m->dep_seq[i];
	}
	return DIA_OK;
}

enum dia_rc dia_frame_head_parse(
	struct dia_slice packed, struct dia_txn_head *ret, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__TxnHead *m;

	if (packed.len > DIA_FRAME_HEAD_MAX)
		return bad(reterr, "transaction head too long");
	m = pb_unpack(&space, &dia__pb__txn_head__descriptor, packed);
	return m == NULL ? bad(reterr, "transaction head does not parse")
			 : head_of(m, ret, reterr);
}

enum dia_rc dia_frame_put_begin(
	struct dia_buf *out, const struct dia_txn_head *head, uint64_t body_bytes)
{
	struct dia_frame_head_message message;

	dia_frame_head_fill(head, &message);
	message.m.body_bytes = body_bytes;
	return pb_put(out, DIA_FRAME_TXN_BEGIN, &message.m.base);
}

enum dia_rc dia_frame_get_begin(struct dia_slice payload, struct dia_txn_head *ret,
	uint64_t *ret_body_bytes, struct dia_err *reterr)
{
	struct pb_space space;
	const Dia__Pb__TxnHead *m;

	if (payload.len > DIA_FRAME_HEAD_MAX)
		return bad(reterr, "transaction head too long");
	m = pb_unpack(&space, &dia__pb__txn_head__descriptor, payload);
	if (m == NULL)
		return bad(reterr, "transaction head does not parse");
	if (m->body_bytes == 0 || (m->flags & DIA_TXN_WATERMARK) != 0)
		return bad(reterr, "a transaction in parts without a body");
	*ret_body_bytes = m->body_bytes;
	return head_of(m, ret, reterr);
}
