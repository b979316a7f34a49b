/*
 * tests/unit/test_wire_response.c - the ends of replies: every shape, with and without
 * EOFs and MariaDB's extensions, cut at every offset, cut short, against an unreadable
 * page, and with payloads around 16 MiB.
 */
#include "parser/wire/response.h"
#include "parser/wire/reply.h"
#include "tests/lib/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { EVENTS_MAX = 16 };

#define EOF_CAPS      DIA_CAP_PROTOCOL_41
#define DEPRECATE     (DIA_CAP_PROTOCOL_41 | DIA_CAP_DEPRECATE_EOF)
#define WITH_CACHE(c) ((c) | DIA_CAP_MARIA_CACHE_META)

/* A reply under construction, and what the machine should say about it. */
struct shape {
	const char *name;
	uint64_t caps;
	enum dia_reply kind;
	struct dia_buf bytes;
	uint8_t seq;
	size_t count;
	struct {
		enum dia_response_event event;
		size_t at;
	} want[EVENTS_MAX];
};

static void packet(struct shape *s, const void *data, size_t len)
{
	assert_int_equal(
		dia_packet_add(&s->bytes, &s->seq, dia_slice_of(data, len)), DIA_OK);
}

static void expect(struct shape *s, enum dia_response_event event)
{
	assert_true(s->count < EVENTS_MAX);
	s->want[s->count].event = event;
	s->want[s->count++].at = s->bytes.len;
}

static void ok(struct shape *s, uint8_t header, uint16_t status)
{
	/* affected rows and insert id with long prefixes: the status stands late */
	uint8_t body[32] = {header, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 9, 9, 9};

	dia_put_le16(body + 14, status);
	packet(s, body, 18);
}

static void eof(struct shape *s, uint16_t status)
{
	/* warnings that would be a length prefix if this were read as an OK */
	uint8_t body[5] = {0xfe, 0xfd, 0xfe};

	dia_put_le16(body + 3, status);
	packet(s, body, sizeof(body));
}

static bool deprecate(const struct shape *s)
{
	return (s->caps & DIA_CAP_DEPRECATE_EOF) != 0;
}

/* What ends rows. */
static void end(struct shape *s, uint16_t status)
{
	if (deprecate(s))
		ok(s, 0xfe, status);
	else
		eof(s, status);
}

static void err(struct shape *s, uint16_t code)
{
	(void)dia_reply_err(&s->bytes, &s->seq, s->caps, code, "42000", "no such thing");
}

static void count(struct shape *s, uint32_t columns, bool follows)
{
	struct dia_buf body = {0};

	dia_buf_add_lenenc(&body, columns);
	if ((s->caps & DIA_CAP_MARIA_CACHE_META) != 0)
		dia_buf_add_u8(&body, follows ? 1 : 0);
	packet(s, body.data, body.len);
	dia_buf_fini(&body);
}

static void defs(struct shape *s, uint32_t n)
{
	static const char def[] = "\003def\001d\001t\001t\001c\001c\014";

	for (uint32_t i = 0; i < n; i++)
		packet(s, def, sizeof(def));
}

static void mid_eof(struct shape *s, uint16_t status)
{
	if (!deprecate(s))
		eof(s, status);
}

static void result_head(struct shape *s, uint32_t columns)
{
	count(s, columns, true);
	defs(s, columns);
	mid_eof(s, 2);
}

static void rows(struct shape *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		packet(s, "\001a\373", 3);
		packet(s, "\373\001b", 3);
		packet(s, "\000\004x", 3); /* binary */
	}
}

static void prepare_ok(struct shape *s, uint16_t columns, uint16_t params)
{
	uint8_t body[12] = {0, 7, 0, 0, 0};

	dia_put_le16(body + 5, columns);
	dia_put_le16(body + 7, params);
	packet(s, body, sizeof(body));
}

typedef void (*build_cb)(struct shape *s);

static void b_ok(struct shape *s)
{
	ok(s, 0x00, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_err(struct shape *s)
{
	err(s, 1064);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_eof_only(struct shape *s)
{
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_rows(struct shape *s)
{
	result_head(s, 3);
	rows(s, 4);
	end(s, 0x22);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_many_columns(struct shape *s)
{
	result_head(s, 300);
	rows(s, 1);
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_error_mid_rows(struct shape *s)
{
	result_head(s, 1);
	rows(s, 3);
	err(s, 1317);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_error_instead_of_def(struct shape *s)
{
	count(s, 2, true);
	defs(s, 1);
	err(s, 1317);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_multi(struct shape *s)
{
	ok(s, 0, 2 | DIA_STATUS_MORE_RESULTS);
	result_head(s, 1);
	rows(s, 2);
	end(s, 2 | DIA_STATUS_MORE_RESULTS);
	result_head(s, 2);
	end(s, 2 | DIA_STATUS_MORE_RESULTS);
	ok(s, 0, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_multi_error(struct shape *s)
{
	ok(s, 0, 2 | DIA_STATUS_MORE_RESULTS);
	err(s, 1146);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_infile(struct shape *s)
{
	packet(s, "\373/tmp/a", 7);
	expect(s, DIA_RESPONSE_INFILE);
	ok(s, 0, 2 | DIA_STATUS_MORE_RESULTS);
	packet(s, "\373/tmp/b", 7);
	expect(s, DIA_RESPONSE_INFILE);
	err(s, 1148);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_progress(struct shape *s)
{
	static const uint8_t report[] = {
		0xff, 0xff, 0xff, 1, 1, 2, 0, 0, 0, 3, 'a', 'b', 'c'};

	packet(s, report, sizeof(report));
	packet(s, report, sizeof(report));
	result_head(s, 1);
	packet(s, report, sizeof(report));
	rows(s, 1);
	packet(s, report, sizeof(report));
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_no_metadata(struct shape *s)
{
	count(s, 3, (s->caps & DIA_CAP_MARIA_CACHE_META) == 0);
	if ((s->caps & DIA_CAP_MARIA_CACHE_META) == 0)
		defs(s, 3);
	mid_eof(s, 2);
	rows(s, 2);
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_cursor(struct shape *s)
{
	count(s, 2, true);
	defs(s, 2);
	end(s, 2 | DIA_STATUS_CURSOR_EXISTS);
	expect(s, DIA_RESPONSE_DONE);
}

/* A procedure that used a cursor inside: the bit is set, the rows come all the same. */
static void b_call_with_cursor_inside(struct shape *s)
{
	uint16_t status = 2 | DIA_STATUS_CURSOR_EXISTS | DIA_STATUS_MORE_RESULTS;

	count(s, 1, true);
	defs(s, 1);
	mid_eof(s, status);
	rows(s, 2);
	end(s, status);
	ok(s, 0, 2);
	expect(s, DIA_RESPONSE_DONE);
}

/* The same bit where nobody asked for a cursor: left behind by a function. */
static void b_function_with_cursor_inside(struct shape *s)
{
	count(s, 1, true);
	defs(s, 1);
	mid_eof(s, 2 | DIA_STATUS_CURSOR_EXISTS);
	rows(s, 2);
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_fetch(struct shape *s)
{
	rows(s, 3);
	end(s, 2 | DIA_STATUS_CURSOR_EXISTS);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_fetch_none(struct shape *s)
{
	end(s, 2 | DIA_STATUS_LAST_ROW_SENT);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_prepare(struct shape *s)
{
	prepare_ok(s, 2, 3);
	defs(s, 3);
	mid_eof(s, 2);
	defs(s, 2);
	mid_eof(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_prepare_columns(struct shape *s)
{
	prepare_ok(s, 2, 0);
	defs(s, 2);
	mid_eof(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_prepare_params(struct shape *s)
{
	prepare_ok(s, 0, 1);
	defs(s, 1);
	mid_eof(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_prepare_bare(struct shape *s)
{
	prepare_ok(s, 0, 0);
	expect(s, DIA_RESPONSE_DONE);
}

/* 65538 columns: the 16 bits say 2. Where EOFs are, they decide. */
static void b_prepare_overflow(struct shape *s)
{
	prepare_ok(s, 2, 0);
	defs(s, deprecate(s) ? 2 : 500);
	mid_eof(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_fields(struct shape *s)
{
	defs(s, 5);
	end(s, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_string(struct shape *s)
{
	packet(s, "Uptime: 12  Threads: 1", 22);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_auth(struct shape *s)
{
	packet(s, "\376mysql_native_password\0abcdefghijklmnopqrst", 44);
	expect(s, DIA_RESPONSE_AUTH);
	packet(s, "\001\003", 2);
	expect(s, DIA_RESPONSE_AUTH);
	ok(s, 0, 2);
	expect(s, DIA_RESPONSE_DONE);
}

static void b_stream(struct shape *s)
{
	packet(s, "\000event", 6);
	packet(s, "\000\376\377", 3);
	packet(s, "\376\0\0\2\0", 5);
	expect(s, DIA_RESPONSE_DONE);
}

static const struct {
	const char *name;
	enum dia_reply kind;
	build_cb build;
} shapes[] = {
	{"ok", DIA_REPLY_RESULT, b_ok},
	{"err", DIA_REPLY_RESULT, b_err},
	{"eof", DIA_REPLY_RESULT, b_eof_only},
	{"rows", DIA_REPLY_RESULT, b_rows},
	{"binary rows", DIA_REPLY_CURSOR, b_rows},
	{"many columns", DIA_REPLY_RESULT, b_many_columns},
	{"error mid rows", DIA_REPLY_RESULT, b_error_mid_rows},
	{"error mid binary rows", DIA_REPLY_CURSOR, b_error_mid_rows},
	{"error instead of definition", DIA_REPLY_RESULT, b_error_instead_of_def},
	{"multi", DIA_REPLY_RESULT, b_multi},
	{"multi binary", DIA_REPLY_CURSOR, b_multi},
	{"multi error", DIA_REPLY_RESULT, b_multi_error},
	{"infile", DIA_REPLY_RESULT, b_infile},
	{"progress", DIA_REPLY_RESULT, b_progress},
	{"no metadata", DIA_REPLY_CURSOR, b_no_metadata},
	{"cursor", DIA_REPLY_CURSOR, b_cursor},
	{"call with cursor inside", DIA_REPLY_CURSOR, b_call_with_cursor_inside},
	{"function with cursor inside", DIA_REPLY_RESULT, b_function_with_cursor_inside},
	{"fetch", DIA_REPLY_FETCH, b_fetch},
	{"fetch none", DIA_REPLY_FETCH, b_fetch_none},
	{"fetch error", DIA_REPLY_FETCH, b_err},
	{"prepare", DIA_REPLY_PREPARE, b_prepare},
	{"prepare columns", DIA_REPLY_PREPARE, b_prepare_columns},
	{"prepare params", DIA_REPLY_PREPARE, b_prepare_params},
	{"prepare bare", DIA_REPLY_PREPARE, b_prepare_bare},
	{"prepare overflow", DIA_REPLY_PREPARE, b_prepare_overflow},
	{"prepare error", DIA_REPLY_PREPARE, b_err},
	{"fields", DIA_REPLY_FIELDS, b_fields},
	{"fields error", DIA_REPLY_FIELDS, b_err},
	{"string", DIA_REPLY_STRING, b_string},
	{"auth", DIA_REPLY_AUTH, b_auth},
	{"auth error", DIA_REPLY_AUTH, b_err},
	{"stream", DIA_REPLY_STREAM, b_stream},
	{"stream error", DIA_REPLY_STREAM, b_err},
};

static const uint64_t caps_sets[] = {
	EOF_CAPS, DEPRECATE, WITH_CACHE(EOF_CAPS), WITH_CACHE(DEPRECATE)};

static struct shape build(size_t i, uint64_t caps)
{
	struct shape s = {
		.name = shapes[i].name, .caps = caps, .kind = shapes[i].kind, .seq = 1};

	shapes[i].build(&s);
	return s;
}

/* Feed in[0..len) in pieces of at most `piece` bytes (the first of `first`) and compare.
 */
static void feed_and_compare(
	const struct shape *s, const uint8_t *in, size_t len, size_t first, size_t piece)
{
	struct dia_response r;
	size_t at = 0, seen = 0, limit = first;

	dia_response_init(&r, s->caps);
	dia_response_start(&r, s->kind);
	while (at < len) {
		size_t stop = len - at < limit ? len : at + limit;

		while (at < stop) {
			enum dia_response_event event;
			size_t n = dia_response_feed(
				&r, dia_slice_of(in + at, stop - at), &event);

			assert_true(n > 0 && n <= stop - at);
			at += n;
			if (event == DIA_RESPONSE_MORE) {
				assert_int_equal(at, stop);
				continue;
			}
			if (seen >= s->count || event != s->want[seen].event ||
				at != s->want[seen].at)
				fail_msg("%s caps %llx: event %d at %zu", s->name,
					(unsigned long long)s->caps, (int)event, at);
			seen++;
		}
		limit = piece;
	}
	if (len == s->bytes.len)
		assert_int_equal(seen, s->count);
}

static void test_every_shape_at_every_split(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(caps_sets) / sizeof(caps_sets[0]); c++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			struct shape s = build(i, caps_sets[c]);
			size_t step = s.bytes.len > 2000 ? 37 : 1;

			for (size_t first = 1; first <= s.bytes.len; first += step)
				feed_and_compare(
					&s, s.bytes.data, s.bytes.len, first, SIZE_MAX);
			for (size_t piece = 1; piece < 12; piece++)
				feed_and_compare(
					&s, s.bytes.data, s.bytes.len, piece, piece);
			dia_buf_fini(&s.bytes);
		}
	}
}

static void test_every_truncation_against_a_guard_page(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(caps_sets) / sizeof(caps_sets[0]); c++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			struct shape s = build(i, caps_sets[c]);
			size_t step = s.bytes.len > 500 ? 101 : 1;

			for (size_t len = 0; len <= s.bytes.len; len += step) {
				struct dia_guard g =
					dia_guard_make(dia_slice_of(s.bytes.data, len));

				feed_and_compare(
					&s, g.input.data, len, SIZE_MAX, SIZE_MAX);
				dia_guard_free(&g);
			}
			dia_buf_fini(&s.bytes);
		}
	}
}

/* Replies in a row, as pipelining gives them: each DONE is where the next may begin. */
static void test_replies_in_a_row(void **state)
{
	struct dia_response r;
	struct dia_buf all = {0};
	size_t ends[sizeof(shapes) / sizeof(shapes[0])];
	size_t n = sizeof(shapes) / sizeof(shapes[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct shape s = build(i, DEPRECATE);

		dia_buf_add(&all, s.bytes.data, s.bytes.len);
		ends[i] = all.len;
		dia_buf_fini(&s.bytes);
	}
	dia_response_init(&r, DEPRECATE);
	for (size_t i = 0, at = 0; i < n; i++) {
		enum dia_response_event event = DIA_RESPONSE_MORE;

		dia_response_start(&r, shapes[i].kind);
		assert_true(r.fresh);
		while (event != DIA_RESPONSE_DONE) {
			at += dia_response_feed(
				&r, dia_slice_of(all.data + at, all.len - at), &event);
			assert_true(event != DIA_RESPONSE_BAD);
			assert_true(at <= ends[i]);
		}
		assert_int_equal(at, ends[i]);
		assert_true(dia_response_at_boundary(&r));
		assert_false(r.fresh);
	}
	dia_buf_fini(&all);
}

static void test_what_a_reply_says(void **state)
{
	struct shape s = {.caps = EOF_CAPS, .seq = 1};
	struct dia_response r;
	enum dia_response_event event;

	(void)state;
	dia_response_init(&r, EOF_CAPS);
	assert_int_equal(r.status, DIA_STATUS_AUTOCOMMIT);
	ok(&s, 0, DIA_STATUS_IN_TRANS | DIA_STATUS_AUTOCOMMIT);
	dia_response_start(&r, DIA_REPLY_RESULT);
	(void)dia_response_feed(&r, dia_buf_slice(&s.bytes), &event);
	assert_int_equal(event, DIA_RESPONSE_DONE);
	assert_int_equal(r.status, DIA_STATUS_IN_TRANS | DIA_STATUS_AUTOCOMMIT);
	assert_false(r.failed);
	assert_int_equal(r.seq, 1);

	dia_buf_reset(&s.bytes);
	err(&s, 1213);
	dia_response_start(&r, DIA_REPLY_RESULT);
	(void)dia_response_feed(&r, dia_buf_slice(&s.bytes), &event);
	assert_int_equal(event, DIA_RESPONSE_DONE);
	assert_true(r.failed);
	assert_int_equal(r.error, 1213);
	assert_int_equal(r.status, DIA_STATUS_IN_TRANS | DIA_STATUS_AUTOCOMMIT);
	dia_buf_fini(&s.bytes);

	s = (struct shape){.caps = EOF_CAPS, .seq = 1};
	prepare_ok(&s, 0, 0);
	dia_response_start(&r, DIA_REPLY_PREPARE);
	(void)dia_response_feed(&r, dia_buf_slice(&s.bytes), &event);
	assert_int_equal(r.stmt_id, 7);
	dia_buf_fini(&s.bytes);
}

/* Feed `total` payload bytes starting with `first`, as packets, without having them. What
 * continues a packet starts like an error, an end, an empty packet: none of it is one. */
static enum dia_response_event feed_long(
	struct dia_response *r, uint8_t first, uint64_t total, uint8_t next)
{
	static uint8_t zeros[1 << 20];
	enum dia_response_event event = DIA_RESPONSE_MORE;
	uint64_t sent = 0;
	uint8_t seq = 0;

	for (;;) {
		uint64_t n =
			total - sent < DIA_PACKET_MAX ? total - sent : DIA_PACKET_MAX;
		uint8_t header[4];

		dia_put_le24(header, (uint32_t)n);
		header[3] = seq++;
		assert_int_equal(event, DIA_RESPONSE_MORE);
		assert_int_equal(
			dia_response_feed(r, dia_slice_of(header, 4), &event), 4);
		for (uint64_t done = 0; done < n;) {
			uint64_t part =
				n - done < sizeof(zeros) ? n - done : sizeof(zeros);

			zeros[0] = sent + done == 0 ? first : done == 0 ? next : 0;
			assert_int_equal(event, DIA_RESPONSE_MORE);
			assert_int_equal(
				dia_response_feed(r, dia_slice_of(zeros, part), &event),
				part);
			done += part;
		}
		sent += n;
		if (n < DIA_PACKET_MAX)
			return event;
		assert_false(dia_response_at_boundary(r));
	}
}

/* Rows around 16 MiB, starting with 0xfe (a text value of such a length does). */
static void test_long_rows(void **state)
{
	static const uint64_t lengths[] = {0xfffffa, 0xfffffb, 0xfffffc, 0xfffffd,
		0xfffffe, 0xffffff, 0x1000000, 2 * UINT64_C(0xffffff) - 1,
		2 * UINT64_C(0xffffff), 2 * UINT64_C(0xffffff) + 1, 0xffffff + 5};

	(void)state;
	for (size_t c = 0; c < sizeof(caps_sets) / sizeof(caps_sets[0]); c++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct shape head = {.caps = caps_sets[c], .seq = 1};
			struct shape tail = {.caps = caps_sets[c], .seq = 9};
			struct dia_response r;
			enum dia_response_event event;

			result_head(&head, 1);
			end(&tail, 2);
			dia_response_init(&r, caps_sets[c]);
			dia_response_start(&r, DIA_REPLY_RESULT);
			(void)dia_response_feed(&r, dia_buf_slice(&head.bytes), &event);
			assert_int_equal(event, DIA_RESPONSE_MORE);
			assert_int_equal(
				feed_long(&r, 0x00, lengths[i], 0xff), DIA_RESPONSE_MORE);
			/* With OK as terminator, only a continued packet is surely a row.
			 */
			if (!deprecate(&head) || lengths[i] >= DIA_PACKET_MAX)
				assert_int_equal(feed_long(&r, 0xfe, lengths[i], 0xfe),
					DIA_RESPONSE_MORE);
			(void)dia_response_feed(&r, dia_buf_slice(&tail.bytes), &event);
			assert_int_equal(event, DIA_RESPONSE_DONE);
			dia_buf_fini(&head.bytes);
			dia_buf_fini(&tail.bytes);
		}
	}
}

/* A reply of one packet ends with the last of the packets that carry it, the empty one
 * too. */
static void test_long_single_packet(void **state)
{
	static const uint64_t lengths[] = {0xfffffe, 0xffffff, 0x1000000,
		2 * UINT64_C(0xffffff), 2 * UINT64_C(0xffffff) + 1};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct dia_response r;

		dia_response_init(&r, EOF_CAPS);
		dia_response_start(&r, DIA_REPLY_STRING);
		assert_int_equal(feed_long(&r, 'U', lengths[i], 'U'), DIA_RESPONSE_DONE);
		assert_true(dia_response_at_boundary(&r));
	}
}

/* The same in one piece: the packet lies whole in the input, and still is only a part. */
static void test_long_row_in_one_piece(void **state)
{
	struct shape s = {.caps = DEPRECATE, .seq = 1};
	struct dia_response r;
	enum dia_response_event event;
	uint8_t *row = calloc(1, DIA_PACKET_MAX + 3);

	(void)state;
	assert_non_null(row);
	memcpy(row + DIA_PACKET_MAX, "\377\020\004", 3);
	result_head(&s, 1);
	packet(&s, row, DIA_PACKET_MAX + 3);
	packet(&s, row, DIA_PACKET_MAX);
	end(&s, 2);
	dia_response_init(&r, DEPRECATE);
	dia_response_start(&r, DIA_REPLY_RESULT);
	assert_int_equal(
		dia_response_feed(&r, dia_buf_slice(&s.bytes), &event), s.bytes.len);
	assert_int_equal(event, DIA_RESPONSE_DONE);
	assert_false(r.failed);
	dia_buf_fini(&s.bytes);
	free(row);
}

static void bad(enum dia_reply kind, uint64_t caps, const void *data, size_t len)
{
	struct shape s = {.caps = caps, .seq = 1};
	struct dia_response r;
	enum dia_response_event event;

	packet(&s, data, len);
	dia_response_init(&r, caps);
	dia_response_start(&r, kind);
	assert_int_equal(
		dia_response_feed(&r, dia_buf_slice(&s.bytes), &event), s.bytes.len);
	assert_int_equal(event, DIA_RESPONSE_BAD);
	dia_buf_fini(&s.bytes);
}

static void test_malformed(void **state)
{
	(void)state;
	bad(DIA_REPLY_RESULT, EOF_CAPS, "", 0);
	bad(DIA_REPLY_RESULT, EOF_CAPS, "\377\001", 2);
	bad(DIA_REPLY_RESULT, EOF_CAPS, "\000\001", 2);
	bad(DIA_REPLY_RESULT, EOF_CAPS, "\000\374\001", 3);
	bad(DIA_REPLY_RESULT, EOF_CAPS, "\003\001", 2); /* a byte too many */
	bad(DIA_REPLY_RESULT, WITH_CACHE(EOF_CAPS), "\003", 1);
	bad(DIA_REPLY_RESULT, EOF_CAPS, "\374\003", 2);
	bad(DIA_REPLY_PREPARE, EOF_CAPS, "\000\001\0\0\0\001\0\0\0\0\0", 11);
	bad(DIA_REPLY_PREPARE, EOF_CAPS, "\001\001\0\0\0\001\0\0\0\0\0\0", 12);
	bad(DIA_REPLY_FETCH, EOF_CAPS, "\376\0\0", 3);
}

/* What nobody asked for passes without an end. */
static void test_unasked(void **state)
{
	struct shape s = {.caps = EOF_CAPS, .seq = 0};
	struct dia_response r;
	enum dia_response_event event;

	(void)state;
	err(&s, 1927);
	err(&s, 1053);
	dia_response_init(&r, EOF_CAPS);
	for (size_t i = 0; i < s.bytes.len; i++) {
		assert_int_equal(
			dia_response_feed(&r, dia_slice_of(s.bytes.data + i, 1), &event),
			1);
		assert_int_equal(event, DIA_RESPONSE_MORE);
	}
	assert_true(dia_response_at_boundary(&r));
	dia_buf_fini(&s.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_shape_at_every_split),
		cmocka_unit_test(test_every_truncation_against_a_guard_page),
		cmocka_unit_test(test_replies_in_a_row),
		cmocka_unit_test(test_what_a_reply_says),
		cmocka_unit_test(test_long_rows),
		cmocka_unit_test(test_long_single_packet),
		cmocka_unit_test(test_long_row_in_one_piece),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
