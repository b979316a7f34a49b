/* parser/wire/response.c - see response.h. */
#include "parser/wire/response.h"

/* One logical packet: its first bytes and its whole length. */
struct packet {
	const uint8_t *head;
	size_t head_len;
	uint64_t total;
};

enum { EOF_MAX = 9, EOF_LEN = 5, PREPARE_OK_LEN = 12, PROGRESS_CODE = 0xffff };

void dia_response_init(struct dia_response *r, uint64_t caps)
{
	*r = (struct dia_response){.caps = caps,
		.kind = DIA_REPLY_UNASKED,
		.state = DIA_RESPONSE_FIRST,
		.status = DIA_STATUS_AUTOCOMMIT};
}

void dia_response_start(struct dia_response *r, enum dia_reply kind)
{
	r->kind = kind;
	r->state = kind == DIA_REPLY_FETCH    ? DIA_RESPONSE_ROWS
		   : kind == DIA_REPLY_FIELDS ? DIA_RESPONSE_DEFS
					      : DIA_RESPONSE_FIRST;
	r->fresh = dia_response_at_boundary(r);
	r->failed = false;
	r->error = 0;
}

bool dia_response_at_boundary(const struct dia_response *r)
{
	return r->header_len == 0 && !r->joined;
}

static bool deprecate_eof(const struct dia_response *r)
{
	return (r->caps & DIA_CAP_DEPRECATE_EOF) != 0;
}

/* 0xfe ends rows and definitions unless the packet is so long that 0xfe is the length
 * prefix of a value of 16 MiB or more. */
static bool is_terminator(const struct dia_response *r, const struct packet *p)
{
	return p->head_len > 0 && p->head[0] == 0xfe &&
	       p->total <
		       (deprecate_eof(r) ? (uint64_t)DIA_PACKET_MAX : (uint64_t)EOF_MAX);
}

static enum dia_response_event over(struct dia_response *r)
{
	r->state = DIA_RESPONSE_OVER;
	return DIA_RESPONSE_DONE;
}

static enum dia_response_event on_err(struct dia_response *r, const struct packet *p)
{
	if (p->head_len < 3)
		return DIA_RESPONSE_BAD;
	/* A progress report looks like an error with code 0xffff and ends nothing
	 * ("ERR_Packet", "Progress report"). */
	if (dia_le16(p->head + 1) == PROGRESS_CODE)
		return DIA_RESPONSE_MORE;
	r->failed = true;
	r->error = dia_le16(p->head + 1);
	return over(r);
}

/* Status of an OK (either header) or EOF packet; false if it is too short to have one. */
static bool read_status(struct dia_response *r, const struct packet *p)
{
	struct dia_cursor c = dia_cursor_of(dia_slice_of(p->head, p->head_len));
	uint8_t header = dia_cursor_u8(&c);
	uint16_t status;

	if (header == 0xfe && p->total <= EOF_LEN) {
		(void)dia_cursor_le16(&c); /* warnings */
	} else {
		(void)dia_cursor_lenenc(&c); /* affected rows, insert id */
		(void)dia_cursor_lenenc(&c);
	}
	status = dia_cursor_le16(&c);
	if (c.bad)
		return false;
	r->status = status;
	return true;
}

/* One result of a command is complete with this OK or EOF. */
static enum dia_response_event result_end(struct dia_response *r, const struct packet *p)
{
	if (!read_status(r, p))
		return DIA_RESPONSE_BAD;
	if ((r->status & DIA_STATUS_MORE_RESULTS) == 0)
		return over(r);
	r->state = DIA_RESPONSE_FIRST;
	return DIA_RESPONSE_MORE;
}

static void columns_done(struct dia_response *r)
{
	r->state = deprecate_eof(r) ? DIA_RESPONSE_ROWS : DIA_RESPONSE_COLUMNS_EOF;
}

static enum dia_response_event on_column_count(
	struct dia_response *r, const struct packet *p)
{
	struct dia_cursor c = dia_cursor_of(dia_slice_of(p->head, p->head_len));
	uint64_t count = dia_cursor_lenenc(&c);
	bool follows = true;

	if ((r->caps & DIA_CAP_MARIA_CACHE_META) != 0)
		follows = dia_cursor_u8(&c) != 0;
	if (c.bad || dia_cursor_left(&c) != 0 || count == 0)
		return DIA_RESPONSE_BAD;
	r->defs_left = count;
	if (follows)
		r->state = DIA_RESPONSE_COLUMNS;
	else
		columns_done(r);
	return DIA_RESPONSE_MORE;
}

static enum dia_response_event on_result_first(
	struct dia_response *r, const struct packet *p)
{
	switch (p->head[0]) {
	case 0x00:
	case 0xfe:
		return result_end(r, p);
	case 0xfb:
		return DIA_RESPONSE_INFILE;
	default:
		return on_column_count(r, p);
	}
}

/* The next part of a prepare reply that has definitions; done when none has. */
static enum dia_response_event prepare_next(
	struct dia_response *r, enum dia_response_state part, uint64_t count)
{
	if (part == DIA_RESPONSE_PARAMS && count == 0) {
		part = DIA_RESPONSE_PREPARED;
		count = r->stmt_columns;
	}
	if (count == 0)
		return over(r);
	r->state = part;
	r->defs_left = count;
	return DIA_RESPONSE_MORE;
}

static enum dia_response_event on_prepare_first(
	struct dia_response *r, const struct packet *p)
{
	if (p->head[0] != 0x00 || p->head_len < PREPARE_OK_LEN)
		return DIA_RESPONSE_BAD;
	r->stmt_id = dia_le32(p->head + 1);
	r->stmt_columns = dia_le16(p->head + 5);
	return prepare_next(r, DIA_RESPONSE_PARAMS, dia_le16(p->head + 7));
}

/* One definition of a prepare reply. The counts are 16 bits of a number that may be
 * larger, so where an EOF marks the end, only the EOF counts. */
static enum dia_response_event on_prepare_def(
	struct dia_response *r, const struct packet *p)
{
	bool end = deprecate_eof(r) ? --r->defs_left == 0 : is_terminator(r, p);

	if (!end)
		return DIA_RESPONSE_MORE;
	if (r->state == DIA_RESPONSE_PARAMS)
		return prepare_next(r, DIA_RESPONSE_PREPARED, r->stmt_columns);
	return over(r);
}

static enum dia_response_event on_first(struct dia_response *r, const struct packet *p)
{
	if (p->head_len == 0)
		return DIA_RESPONSE_BAD;
	switch (r->kind) {
	case DIA_REPLY_RESULT:
	case DIA_REPLY_CURSOR:
		return on_result_first(r, p);
	case DIA_REPLY_PREPARE:
		return on_prepare_first(r, p);
	case DIA_REPLY_STRING:
		return over(r);
	case DIA_REPLY_AUTH:
		if (p->head[0] != 0x00)
			return DIA_RESPONSE_AUTH;
		return read_status(r, p) ? over(r) : DIA_RESPONSE_BAD;
	case DIA_REPLY_STREAM:
		return p->head[0] == 0xfe && p->total < EOF_MAX ? over(r)
								: DIA_RESPONSE_MORE;
	case DIA_REPLY_NONE:
	case DIA_REPLY_FETCH:
	case DIA_REPLY_FIELDS:
	case DIA_REPLY_LOCAL:
	case DIA_REPLY_UNASKED:
		break;
	}
	return DIA_RESPONSE_BAD;
}

static enum dia_response_event on_columns_eof(
	struct dia_response *r, const struct packet *p)
{
	if (!is_terminator(r, p) || !read_status(r, p))
		return DIA_RESPONSE_BAD;
	/* The cursor that was asked for is open: this EOF is the whole result. Cursors
	 * inside a procedure leave the same bit behind, but the result of a CALL is never
	 * its last. Without EOFs the bit comes in the terminator of zero rows and needs
	 * no rule. */
	if (r->kind == DIA_REPLY_CURSOR && (r->status & DIA_STATUS_CURSOR_EXISTS) != 0 &&
		(r->status & DIA_STATUS_MORE_RESULTS) == 0)
		return over(r);
	r->state = DIA_RESPONSE_ROWS;
	return DIA_RESPONSE_MORE;
}

static enum dia_response_event on_packet(struct dia_response *r, const struct packet *p)
{
	if (r->kind == DIA_REPLY_UNASKED)
		return DIA_RESPONSE_MORE;
	/* No row, definition or count starts with 0xff, so an error is one anywhere. */
	if (p->head_len > 0 && p->head[0] == 0xff && r->kind != DIA_REPLY_STRING)
		return on_err(r, p);
	switch (r->state) {
	case DIA_RESPONSE_FIRST:
		return on_first(r, p);
	case DIA_RESPONSE_COLUMNS:
		if (--r->defs_left == 0)
			columns_done(r);
		return DIA_RESPONSE_MORE;
	case DIA_RESPONSE_COLUMNS_EOF:
		return on_columns_eof(r, p);
	case DIA_RESPONSE_ROWS:
		return is_terminator(r, p) ? result_end(r, p) : DIA_RESPONSE_MORE;
	case DIA_RESPONSE_PARAMS:
	case DIA_RESPONSE_PREPARED:
		return on_prepare_def(r, p);
	case DIA_RESPONSE_DEFS:
		if (!is_terminator(r, p))
			return DIA_RESPONSE_MORE;
		return read_status(r, p) ? over(r) : DIA_RESPONSE_BAD;
	case DIA_RESPONSE_OVER:
		break;
	}
	return DIA_RESPONSE_BAD;
}

/* Collect a header; true once it is whole and the packet's fields are set. */
static bool take_header(struct dia_response *r, struct dia_cursor *c)
{
	uint32_t len;

	while (r->header_len < DIA_PACKET_HEADER && dia_cursor_left(c) > 0)
		r->header[r->header_len++] = dia_cursor_u8(c);
	if (r->header_len < DIA_PACKET_HEADER)
		return false;
	len = dia_le24(r->header);
	r->seq = r->header[3];
	r->fresh = false;
	r->left = len;
	r->continues = len == DIA_PACKET_MAX;
	if (!r->joined) {
		r->total = 0;
		r->head_len = 0;
	}
	r->total += len;
	return true;
}

/* Move over payload, keeping the first bytes. */
static void take_payload(struct dia_response *r, struct dia_cursor *c)
{
	size_t n = dia_cursor_left(c) < r->left ? dia_cursor_left(c) : r->left;
	size_t keep = (size_t)DIA_RESPONSE_HEAD - r->head_len;

	if (keep > n)
		keep = n;
	if (keep > 0) {
		memcpy(r->head + r->head_len, c->at, keep);
		r->head_len = (uint8_t)(r->head_len + keep);
	}
	(void)dia_cursor_take(c, n);
	r->left -= (uint32_t)n;
}

/* A packet cut by the end of input, or of 16 MiB and more. */
static enum dia_response_event feed_cut(struct dia_response *r, struct dia_cursor *c)
{
	struct packet p;

	if (r->header_len < DIA_PACKET_HEADER && !take_header(r, c))
		return DIA_RESPONSE_MORE;
	take_payload(r, c);
	if (r->left > 0)
		return DIA_RESPONSE_MORE;
	r->header_len = 0;
	r->joined = r->continues;
	if (r->joined)
		return DIA_RESPONSE_MORE;
	p = (struct packet){.head = r->head, .head_len = r->head_len, .total = r->total};
	return on_packet(r, &p);
}

size_t dia_response_feed(
	struct dia_response *r, struct dia_slice in, enum dia_response_event *ret)
{
	struct dia_cursor c = dia_cursor_of(in);
	enum dia_response_event event = DIA_RESPONSE_MORE;

	while (event == DIA_RESPONSE_MORE && dia_cursor_left(&c) > 0) {
		struct packet p;
		size_t len = 0;
		bool whole = false;

		if (dia_response_at_boundary(r) &&
			dia_cursor_left(&c) >= DIA_PACKET_HEADER) {
			len = dia_le24(c.at);
			whole = len < DIA_PACKET_MAX &&
				dia_cursor_left(&c) - DIA_PACKET_HEADER >= len;
		}
		if (!whole) {
			event = feed_cut(r, &c);
			continue;
		}
		r->seq = c.at[3];
		r->fresh = false;
		p = (struct packet){.head = c.at + DIA_PACKET_HEADER,
			.head_len = len < DIA_RESPONSE_HEAD ? len : DIA_RESPONSE_HEAD,
			.total = len};
		(void)dia_cursor_take(&c, DIA_PACKET_HEADER + len);
		event = on_packet(r, &p);
	}
	*ret = event;
	return in.len - dia_cursor_left(&c);
}
