/* tests/unit/test_peer_frame.c - frames: round trips, every prefix, hostile contents. */
#include "proxy/peer/frame.h"
#include "tests/lib/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

static const struct dia_frame_hello hello_sample = {
	.version_min = 1,
	.version_max = 3,
	.from = {2},
	.to = {63},
	.name = "west",
	.incarnation = UINT64_MAX,
	.head_seq = 12345678901,
	.max_txn_bytes = 7,
	.after_seq = 99,
};

static struct dia_txn_head head_sample(uint64_t seq)
{
	struct dia_txn_head h = {
		.origin = {2},
		.flags = DIA_TXN_DDL,
		.seq = seq,
		.stamp = {UINT64_MAX - seq},
		.gtid = {.domain = UINT32_MAX, .server = 9, .seq_no = UINT64_MAX},
		.commit_time = UINT32_MAX,
		.captured_us = 1,
	};

	for (uint16_t i = 0; i < DIA_DEPS_MAX; i++) {
		h.deps.at[i].dc.id = (uint16_t)(10 + i);
		h.deps.at[i].seq = UINT64_MAX - i;
	}
	h.deps.count = (uint32_t)(seq % (DIA_DEPS_MAX + 1));
	return h;
}

static void assert_same_head(const struct dia_txn_head *a, const struct dia_txn_head *b)
{
	assert_int_equal(a->origin.id, b->origin.id);
	assert_int_equal(a->flags, b->flags);
	assert_true(a->seq == b->seq && a->stamp.v == b->stamp.v);
	assert_true(a->gtid.domain == b->gtid.domain &&
		    a->gtid.server == b->gtid.server && a->gtid.seq_no == b->gtid.seq_no);
	assert_true(a->commit_time == b->commit_time && a->captured_us == b->captured_us);
	assert_int_equal(a->deps.count, b->deps.count);
	for (uint32_t i = 0; i < a->deps.count; i++)
		assert_true(a->deps.at[i].dc.id == b->deps.at[i].dc.id &&
			    a->deps.at[i].seq == b->deps.at[i].seq);
}

/* The only frame in buf. */
static struct dia_frame only_frame(const struct dia_buf *buf, enum dia_frame_type type)
{
	struct dia_frame frame;
	size_t used;

	assert_int_equal(
		dia_frame_split(dia_buf_slice(buf), DIA_FRAME_MAX, &frame, &used),
		DIA_PARSE_OK);
	assert_int_equal(used, buf->len);
	assert_int_equal(frame.type, type);
	return frame;
}

static void small_frames_come_back(void **state)
{
	struct dia_frame_goodbye goodbye = {.code = 77, .text = "so\nlong \xff"},
				 goodbye2;
	struct dia_frame_beat beat = {.id = 5, .wall_ms = 6, .head_seq = 7}, beat2;
	struct dia_frame_ack ack = {.received = 9, .applied = 8}, ack2;
	struct dia_frame_hello hello2;
	struct dia_buf buf = {0};

	(void)state;
	assert_int_equal(dia_frame_put_hello(&buf, &hello_sample), DIA_OK);
	assert_int_equal(dia_frame_get_hello(only_frame(&buf, DIA_FRAME_HELLO).payload,
				 &hello2, NULL),
		DIA_OK);
	assert_string_equal(hello2.name, "west");
	assert_true(hello2.version_min == 1 && hello2.version_max == 3 &&
		    hello2.from.id == 2 && hello2.to.id == 63 &&
		    hello2.incarnation == UINT64_MAX && hello2.head_seq == 12345678901 &&
		    hello2.max_txn_bytes == 7 && hello2.after_seq == 99);
	dia_buf_reset(&buf);
	assert_int_equal(dia_frame_put_ack(&buf, &ack), DIA_OK);
	assert_int_equal(
		dia_frame_get_ack(only_frame(&buf, DIA_FRAME_ACK).payload, &ack2, NULL),
		DIA_OK);
	assert_true(ack2.received == 9 && ack2.applied == 8);
	dia_buf_reset(&buf);
	assert_int_equal(dia_frame_put_beat(&buf, DIA_FRAME_PONG, &beat), DIA_OK);
	assert_int_equal(dia_frame_get_beat(
				 only_frame(&buf, DIA_FRAME_PONG).payload, &beat2, NULL),
		DIA_OK);
	assert_true(beat2.id == 5 && beat2.wall_ms == 6 && beat2.head_seq == 7);
	dia_buf_reset(&buf);
	assert_int_equal(dia_frame_put_goodbye(&buf, &goodbye), DIA_OK);
	assert_int_equal(
		dia_frame_get_goodbye(
			only_frame(&buf, DIA_FRAME_GOODBYE).payload, &goodbye2, NULL),
		DIA_OK);
	assert_int_equal(goodbye2.code, 77);
	assert_string_equal(goodbye2.text, "so?long ?");
	assert_string_equal(dia_goodbye_label(77), "unknown");
	assert_string_equal(dia_goodbye_label(DIA_GOODBYE_PURGED), "history purged");
	assert_int_equal(dia_goodbye_rc(DIA_GOODBYE_VERSION), DIA_E_UNSUPPORTED);
	dia_buf_fini(&buf);
}

static void versions_meet_or_not(void **state)
{
	struct dia_frame_hello a = {.version_min = 2, .version_max = 4}, b = a;

	(void)state;
	assert_int_equal(dia_frame_version(&a, &b), 4);
	b = (struct dia_frame_hello){.version_min = 1, .version_max = 3};
	assert_int_equal(dia_frame_version(&a, &b), 3);
	assert_int_equal(dia_frame_version(&b, &a), 3);
	b = (struct dia_frame_hello){.version_min = 5, .version_max = 9};
	assert_int_equal(dia_frame_version(&a, &b), 0);
	assert_int_equal(dia_frame_version(&b, &a), 0);
}

static void fill(uint8_t *out, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		out[i] = (uint8_t)(seed >> 56);
	}
}

/* Many batches over one stream: each depends on the window left by those before. */
static void batches_come_back(void **state)
{
	struct dia_frame_encoder e;
	struct dia_frame_decoder d;
	struct dia_buf buf = {0};
	static uint8_t body[70000];
	uint64_t seq = 0;

	(void)state;
	assert_int_equal(dia_frame_encoder_init(&e, NULL), DIA_OK);
	assert_int_equal(dia_frame_decoder_init(&d, NULL), DIA_OK);
	for (uint64_t frame = 0; frame < 60; frame++) {
		uint64_t first = seq + 1;
		struct dia_txn_head head;
		struct dia_slice got;

		dia_buf_reset(&buf);
		assert_int_equal(dia_frame_batch_begin(&e, &buf), DIA_OK);
		for (uint64_t n = 0; n <= frame % 5; n++) {
			struct dia_txn_head h = head_sample(++seq);
			size_t len = seq * 997 % sizeof(body);

			if (seq % 11 == 0) {
				h.flags = DIA_TXN_WATERMARK;
				len = 0;
			}
			fill(body, len, seq % 7);
			assert_int_equal(
				dia_frame_batch_add(&e, &h, dia_slice_of(body, len)),
				DIA_OK);
		}
		assert_int_equal(dia_frame_batch_end(&e), DIA_OK);
		assert_int_equal(dia_frame_decoder_batch(&d,
					 only_frame(&buf, DIA_FRAME_BATCH).payload, NULL),
			DIA_OK);
		for (uint64_t s = first; s <= seq; s++) {
			struct dia_txn_head want = head_sample(s);

			assert_int_equal(dia_frame_decoder_next(&d, &head, &got, NULL),
				DIA_PARSE_OK);
			if (s % 11 == 0)
				want.flags = DIA_TXN_WATERMARK;
			assert_same_head(&head, &want);
			assert_int_equal(
				got.len, s % 11 == 0 ? 0 : s * 997 % sizeof(body));
			fill(body, got.len, s % 7);
			assert_memory_equal(got.data, body, got.len);
		}
		assert_int_equal(
			dia_frame_decoder_next(&d, &head, &got, NULL), DIA_PARSE_MORE);
	}
	dia_frame_encoder_fini(&e);
	dia_frame_decoder_fini(&d);
	dia_buf_fini(&buf);
}

static void parts_come_back(void **state)
{
	struct dia_txn_head head = head_sample(5), got_head;
	struct dia_frame_encoder e;
	struct dia_frame_decoder d;
	struct dia_buf buf = {0};
	static uint8_t part[1 << 20];
	struct dia_slice got;
	uint64_t total;

	(void)state;
	assert_int_equal(dia_frame_encoder_init(&e, NULL), DIA_OK);
	assert_int_equal(dia_frame_decoder_init(&d, NULL), DIA_OK);
	assert_int_equal(dia_frame_put_begin(&buf, &head, UINT64_C(5) << 32), DIA_OK);
	assert_int_equal(
		dia_frame_get_begin(only_frame(&buf, DIA_FRAME_TXN_BEGIN).payload,
			&got_head, &total, NULL),
		DIA_OK);
	assert_same_head(&got_head, &head);
	assert_true(total == UINT64_C(5) << 32);
	for (uint64_t i = 0; i < 4; i++) {
		dia_buf_reset(&buf);
		fill(part, sizeof(part) >> i, i);
		assert_int_equal(dia_frame_put_part(
					 &e, &buf, dia_slice_of(part, sizeof(part) >> i)),
			DIA_OK);
		assert_int_equal(
			dia_frame_decoder_part(&d,
				only_frame(&buf, DIA_FRAME_TXN_PART).payload, &got, NULL),
			DIA_OK);
		assert_int_equal(got.len, sizeof(part) >> i);
		assert_memory_equal(got.data, part, got.len);
	}
	/* More than a frame may hold is refused by the one who makes it. */
	dia_buf_reset(&buf);
	assert_int_equal(dia_frame_batch_begin(&e, &buf), DIA_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			dia_frame_batch_add(&e, &head, dia_slice_of(part, sizeof(part))),
			DIA_OK);
	assert_int_equal(dia_frame_batch_add(&e, &head, dia_slice_of(part, sizeof(part))),
		DIA_E_LIMIT);
	dia_frame_encoder_fini(&e);
	dia_frame_decoder_fini(&d);
	dia_buf_fini(&buf);
}

/* All the decoders of a payload, on memory that ends where the payload ends. */
static void decode_guarded(struct dia_slice payload, struct dia_frame_decoder *d)
{
	struct dia_guard g = dia_guard_make(payload);
	struct dia_frame_goodbye goodbye;
	struct dia_frame_hello hello;
	struct dia_frame_beat beat;
	struct dia_frame_ack ack;
	struct dia_txn_head head;
	struct dia_slice body;
	struct dia_err err;
	uint64_t total;

	(void)!dia_frame_get_hello(g.input, &hello, &err);
	(void)!dia_frame_get_ack(g.input, &ack, &err);
	(void)!dia_frame_get_beat(g.input, &beat, &err);
	(void)!dia_frame_get_goodbye(g.input, &goodbye, &err);
	(void)!dia_frame_get_begin(g.input, &head, &total, &err);
	if (dia_frame_decoder_batch(d, g.input, &err) == DIA_OK)
		while (dia_frame_decoder_next(d, &head, &body, &err) == DIA_PARSE_OK)
			continue;
	dia_guard_free(&g);
}

static void every_prefix_is_survived(void **state)
{
	struct dia_frame_encoder e;
	struct dia_buf buf = {0};
	uint8_t body[300];

	(void)state;
	fill(body, sizeof(body), 1);
	assert_int_equal(dia_frame_encoder_init(&e, NULL), DIA_OK);
	assert_int_equal(dia_frame_put_hello(&buf, &hello_sample), DIA_OK);
	assert_int_equal(
		dia_frame_put_begin(&buf, &(struct dia_txn_head){.origin = {1}}, 9),
		DIA_OK);
	assert_int_equal(dia_frame_batch_begin(&e, &buf), DIA_OK);
	for (uint64_t i = 1; i < 4; i++) {
		struct dia_txn_head head = head_sample(i + 4);

		assert_int_equal(
			dia_frame_batch_add(&e, &head, dia_slice_of(body, 100 * i)),
			DIA_OK);
	}
	assert_int_equal(dia_frame_batch_end(&e), DIA_OK);
	for (size_t at = 0; at < buf.len;) {
		struct dia_slice rest = dia_slice_of(buf.data + at, buf.len - at);
		struct dia_frame frame;
		size_t used;

		assert_int_equal(dia_frame_split(rest, DIA_FRAME_MAX, &frame, &used),
			DIA_PARSE_OK);
		for (size_t n = 0; n < used; n++) {
			struct dia_guard g = dia_guard_make(dia_slice_of(rest.data, n));
			struct dia_frame got;
			size_t got_used;

			assert_int_equal(
				dia_frame_split(g.input, DIA_FRAME_MAX, &got, &got_used),
				DIA_PARSE_MORE);
			dia_guard_free(&g);
		}
		for (size_t n = 0; n <= frame.payload.len; n++) {
			struct dia_frame_decoder d;

			assert_int_equal(dia_frame_decoder_init(&d, NULL), DIA_OK);
			decode_guarded(dia_slice_of(frame.payload.data, n), &d);
			if (frame.type == DIA_FRAME_BATCH && n < frame.payload.len)
				assert_int_equal(d.raw.len, 0);
			dia_frame_decoder_fini(&d);
		}
		at += used;
	}
	dia_frame_encoder_fini(&e);
	dia_buf_fini(&buf);
}

static void lengths_are_refused_early(void **state)
{
	static const struct {
		uint32_t len;
		uint8_t type;
		size_t most;
		enum dia_parse want;
	} cases[] = {
		{DIA_FRAME_MAX, DIA_FRAME_BATCH, DIA_FRAME_MAX, DIA_PARSE_MORE},
		{DIA_FRAME_MAX + 1, DIA_FRAME_BATCH, DIA_FRAME_MAX, DIA_PARSE_BAD},
		{UINT32_MAX, DIA_FRAME_TXN_PART, DIA_FRAME_MAX, DIA_PARSE_BAD},
		{5000, DIA_FRAME_BATCH, DIA_FRAME_SMALL_MAX, DIA_PARSE_BAD},
		{DIA_FRAME_SMALL_MAX + 1, DIA_FRAME_PING, DIA_FRAME_MAX, DIA_PARSE_BAD},
		{DIA_FRAME_SMALL_MAX, DIA_FRAME_PING, DIA_FRAME_MAX, DIA_PARSE_MORE},
		{1, 0, DIA_FRAME_MAX, DIA_PARSE_BAD},
		{1, 9, DIA_FRAME_MAX, DIA_PARSE_BAD},
		{1, 255, DIA_FRAME_MAX, DIA_PARSE_BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t header[DIA_FRAME_HEADER];
		struct dia_frame frame;
		size_t used;

		dia_put_le32(header, cases[i].len);
		header[4] = cases[i].type;
		assert_int_equal(dia_frame_split(dia_slice_of(header, sizeof(header)),
					 cases[i].most, &frame, &used),
			cases[i].want);
	}
}

/* payload = announced raw length and raw as zstd makes it without telling its length. */
static struct dia_slice squeeze_window(uint8_t *out, size_t cap, uint32_t announced,
	const void *raw, size_t len, int window_log)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t n;

	assert_non_null(c);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
	n = ZSTD_compress2(c, out + 4, cap - 4, raw, len);
	assert_false(ZSTD_isError(n));
	(void)ZSTD_freeCCtx(c);
	dia_put_le32(out, announced);
	return dia_slice_of(out, n + 4);
}

static struct dia_slice squeeze(
	uint8_t *out, size_t cap, uint32_t announced, const void *raw, size_t len)
{
	return squeeze_window(out, cap, announced, raw, len, 19);
}

static enum dia_rc batch_once(struct dia_slice payload, struct dia_err *err)
{
	struct dia_frame_decoder d;
	enum dia_rc rc;

	assert_int_equal(dia_frame_decoder_init(&d, NULL), DIA_OK);
	rc = dia_frame_decoder_batch(&d, payload, err);
	assert_true(d.raw.cap <= DIA_FRAME_RAW_MAX + 1);
	dia_frame_decoder_fini(&d);
	return rc;
}

static void bombs_are_refused(void **state)
{
	size_t big = 64 << 20, cap = 1 << 20;
	uint8_t *zeros = calloc(1, big), *out = malloc(cap);
	struct dia_err err;
	struct dia_slice p;

	(void)state;
	assert_true(zeros != NULL && out != NULL);
	/* 64 MiB in a few KiB, honest and lying about it. */
	p = squeeze(out, cap, (uint32_t)big, zeros, big);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	dia_put_le32(out, 1000);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	dia_put_le32(out, DIA_FRAME_RAW_MAX);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	dia_put_le32(out, 0);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	/* A window beyond what we keep. */
	p = squeeze_window(out, cap, 1 << 20, zeros, 1 << 20, 24);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	p = squeeze(out, cap, 1 << 20, zeros, 1 << 20);
	assert_int_equal(batch_once(p, &err), DIA_OK);
	/* One byte more or less than announced. */
	p = squeeze(out, cap, 99, zeros, 100);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	p = squeeze(out, cap, 101, zeros, 100);
	assert_int_equal(batch_once(p, &err), DIA_E_PROTOCOL);
	p = squeeze(out, cap, 100, zeros, 100);
	assert_int_equal(batch_once(p, &err), DIA_OK);
	/* Not compressed at all. */
	memset(out, 'x', 100);
	dia_put_le32(out, 96);
	assert_int_equal(batch_once(dia_slice_of(out, 100), &err), DIA_E_PROTOCOL);
	free(zeros);
	free(out);
}

/* One record with this head through the whole decoder. */
static enum dia_parse record(const struct dia_txn_head *head, size_t body, size_t claim)
{
	uint8_t raw[2048] = {0}, out[4096];
	struct dia_frame_encoder e;
	struct dia_frame_decoder d;
	struct dia_frame frame;
	struct dia_buf buf = {0};
	struct dia_txn_head got;
	struct dia_slice p;
	struct dia_err err;
	enum dia_parse rc;
	size_t used;

	assert_int_equal(dia_frame_encoder_init(&e, NULL), DIA_OK);
	assert_int_equal(dia_frame_decoder_init(&d, NULL), DIA_OK);
	/* A head as the encoder makes it, between lengths of our own choice. */
	assert_int_equal(dia_frame_put_begin(&buf, head, 0), DIA_OK);
	assert_int_equal(
		dia_frame_split(dia_buf_slice(&buf), 4096, &frame, &used), DIA_PARSE_OK);
	dia_put_le16(raw, (uint16_t)frame.payload.len);
	dia_put_le32(raw + 2, (uint32_t)claim);
	memcpy(raw + 6, frame.payload.data, frame.payload.len);
	used = 6 + frame.payload.len + body;
	p = squeeze(out, sizeof(out), (uint32_t)used, raw, used);
	assert_int_equal(dia_frame_decoder_batch(&d, p, &err), DIA_OK);
	rc = dia_frame_decoder_next(&d, &got, &p, &err);
	if (rc == DIA_PARSE_BAD)
		assert_int_equal(
			dia_frame_decoder_next(&d, &got, &p, &err), DIA_PARSE_BAD);
	dia_frame_encoder_fini(&e);
	dia_frame_decoder_fini(&d);
	dia_buf_fini(&buf);
	return rc;
}

static void records_are_checked(void **state)
{
	struct dia_txn_head good = {.origin = {1}, .seq = 1}, h;

	(void)state;
	assert_int_equal(record(&good, 10, 10), DIA_PARSE_OK);
	assert_int_equal(record(&good, 10, 11), DIA_PARSE_BAD);
	assert_int_equal(record(&good, 10, UINT32_MAX), DIA_PARSE_BAD);
	h = good;
	h.origin.id = 0;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h.origin.id = 64;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h = good;
	h.flags = 4;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h.flags = DIA_TXN_WATERMARK;
	assert_int_equal(record(&h, 0, 0), DIA_PARSE_OK);
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h = good;
	h.deps.count = 1;
	h.deps.at[0].dc.id = 1; /* itself */
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h.deps.at[0].dc.id = 64;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
	h.deps.at[0].dc.id = 2;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_OK);
	h.deps.count = 2;
	h.deps.at[1].dc.id = 2;
	assert_int_equal(record(&h, 1, 1), DIA_PARSE_BAD);
}

static void small_contents_are_checked(void **state)
{
	/* Heads with a body of 1 byte: 2 dep_dc to 1 dep_seq; 8 of each; 1 of each. */
	static const uint8_t uneven[] = {
		0x08, 1, 0x18, 1, 0x60, 1, 0x52, 2, 2, 3, 0x5a, 1, 9};
	static const uint8_t many[] = {0x08, 1, 0x18, 1, 0x60, 1, 0x52, 8, 2, 3, 4, 5, 6,
		7, 8, 9, 0x5a, 8, 1, 1, 1, 1, 1, 1, 1, 1};
	static const uint8_t even[] = {0x08, 1, 0x18, 1, 0x60, 1, 0x52, 1, 2, 0x5a, 1, 9};
	static const uint8_t ack[] = {0x08, 1, 0x10, 2}; /* applied past received */
	struct dia_frame_hello hello = hello_sample, got;
	struct dia_frame_ack got_ack;
	struct dia_frame_beat got_beat;
	struct dia_txn_head head;
	struct dia_buf buf = {0};
	uint8_t flood[DIA_FRAME_SMALL_MAX];
	uint64_t total;

	(void)state;
	hello.version_max = 0;
	assert_int_equal(dia_frame_put_hello(&buf, &hello), DIA_OK);
	assert_int_equal(dia_frame_get_hello(
				 only_frame(&buf, DIA_FRAME_HELLO).payload, &got, NULL),
		DIA_E_PROTOCOL);
	hello = hello_sample;
	hello.from.id = 64;
	dia_buf_reset(&buf);
	assert_int_equal(dia_frame_put_hello(&buf, &hello), DIA_OK);
	assert_int_equal(dia_frame_get_hello(
				 only_frame(&buf, DIA_FRAME_HELLO).payload, &got, NULL),
		DIA_E_PROTOCOL);
	assert_int_equal(dia_frame_get_begin(dia_slice_of(uneven, sizeof(uneven)), &head,
				 &total, NULL),
		DIA_E_PROTOCOL);
	assert_int_equal(dia_frame_get_begin(
				 dia_slice_of(many, sizeof(many)), &head, &total, NULL),
		DIA_E_PROTOCOL);
	assert_int_equal(dia_frame_get_begin(
				 dia_slice_of(even, sizeof(even)), &head, &total, NULL),
		DIA_OK);
	assert_int_equal(
		dia_frame_get_ack(dia_slice_of(ack, sizeof(ack)), &got_ack, NULL),
		DIA_E_PROTOCOL);
	/* An empty message is a message of zeros. */
	assert_int_equal(
		dia_frame_get_beat(dia_slice_of(NULL, 0), &got_beat, NULL), DIA_OK);
	/* Thousands of unknown fields: refused for want of (bounded) memory. */
	for (size_t i = 0; i < sizeof(flood); i += 2) {
		flood[i] = 0x78;
		flood[i + 1] = 1;
	}
	assert_int_equal(
		dia_frame_get_ack(dia_slice_of(flood, sizeof(flood)), &got_ack, NULL),
		DIA_E_PROTOCOL);
	/* A few are a later version's business. */
	assert_int_equal(
		dia_frame_get_ack(dia_slice_of(flood, 20), &got_ack, NULL), DIA_OK);
	dia_buf_fini(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_frames_come_back),
		cmocka_unit_test(versions_meet_or_not),
		cmocka_unit_test(batches_come_back),
		cmocka_unit_test(parts_come_back),
		cmocka_unit_test(every_prefix_is_survived),
		cmocka_unit_test(lengths_are_refused_early),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(records_are_checked),
		cmocka_unit_test(small_contents_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
