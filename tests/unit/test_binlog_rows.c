/* tests/unit/test_binlog_rows.c - row images: walking, printing, keys, writing again. */
#include "tests/unit/binlog_helper.h"

#include <stdlib.h>

/* Table and first row of a captured pair. */
struct fixture {
	struct dia_arena arena;
	struct dia_table table;
	struct dia_event ev;
	struct dia_rows_head head;
	struct dia_row row;
};

static void fixture_init(struct fixture *f, const char *map, const char *rows)
{
	struct dia_rows_iter it;

	memset(f, 0, sizeof(*f));
	f->table = captured_table(map, &f->arena);
	f->ev = captured_event(rows);
	assert_int_equal(dia_rows_head_parse(&f->ev, &f->head), DIA_PARSE_OK);
	assert_int_equal(dia_rows_iter_init(&it, &f->head, &f->table), DIA_PARSE_OK);
	assert_int_equal(dia_rows_next(&it, &f->row), DIA_PARSE_OK);
}

static const char *const texts[] = {"18446744073709551615", "-128", "255", "-32768",
	"-8388608", "-2147483648", "9223372036854775808", "-12345678901234.000001", "1.5",
	"-2.5e-300", NULL, "2155", "2024-02-29", "-12:34:56.789", "-838:59:59.999999",
	"9999-12-31 23:59:59.999999", "2038-01-19 03:14:07.99", "\xe2\x82\xac", "caf\xe9",
	"\xf0\x9f\x98\x80", NULL, "ab", "", NULL, NULL, "b", "x,z", "{\"k\": 1}", NULL,
	NULL, NULL, NULL, NULL, NULL, "-2147483647", "7"};

static void test_texts(void **state)
{
	struct fixture f;
	struct dia_value values[64];
	struct dia_buf out = {0};
	bool is_binary;

	(void)state;
	fixture_init(&f, "map_all", "write_all");
	assert_int_equal(f.row.kind, DIA_ROW_INSERT);
	assert_int_equal(f.row.before.len, 0);
	assert_int_equal(dia_image_split(&f.table, f.row.after, values), DIA_PARSE_OK);
	for (uint32_t i = 0; i < f.table.column_count; i++) {
		assert_int_equal(
			dia_value_text(&f.table.columns[i], &values[i], &out, &is_binary),
			DIA_OK);
		if (texts[i] != NULL)
			assert_buf(&out, texts[i]);
		else
			assert_true(out.len > 0);
		dia_buf_reset(&out);
	}
	/* BINARY(16): the zeros the event left out are back. */
	assert_int_equal(
		dia_value_text(&f.table.columns[20], &values[20], &out, &is_binary),
		DIA_OK);
	assert_true(is_binary);
	assert_int_equal(out.len, 16);
	assert_memory_equal(out.data, "\0\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	dia_buf_reset(&out);
	/* Compressed columns come out plain. */
	assert_int_equal(
		dia_value_text(&f.table.columns[33], &values[33], &out, &is_binary),
		DIA_OK);
	assert_int_equal(out.len, 300);
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

static void test_update_and_delete(void **state)
{
	struct fixture f;
	struct dia_rows_iter it;
	struct dia_value before[64], after[64];

	(void)state;
	fixture_init(&f, "map_all", "update_all");
	assert_int_equal(f.row.kind, DIA_ROW_UPDATE);
	assert_int_equal(dia_image_split(&f.table, f.row.before, before), DIA_PARSE_OK);
	assert_int_equal(dia_image_split(&f.table, f.row.after, after), DIA_PARSE_OK);
	assert_false(before[22].is_null);
	assert_true(after[22].is_null);
	assert_int_equal(dia_rows_iter_init(&it, &f.head, &f.table), DIA_PARSE_OK);
	assert_int_equal(dia_rows_next(&it, &f.row), DIA_PARSE_OK);
	assert_int_equal(dia_rows_next(&it, &f.row), DIA_PARSE_MORE);
	dia_arena_fini(&f.arena);

	fixture_init(&f, "map_all", "delete_all");
	assert_int_equal(f.row.kind, DIA_ROW_DELETE);
	assert_int_equal(f.row.after.len, 0);
	assert_int_equal(f.head.flags & DIA_ROWS_STMT_END, DIA_ROWS_STMT_END);
	dia_arena_fini(&f.arena);
}

static void test_partial_images_are_refused(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_prefix", &arena);
	struct dia_event ev = captured_event("update_minimal");
	struct dia_rows_head head;
	struct dia_rows_iter it;

	(void)state;
	assert_int_equal(dia_rows_head_parse(&ev, &head), DIA_PARSE_OK);
	assert_int_equal(dia_rows_iter_init(&it, &head, &t), DIA_PARSE_BAD);
	t = captured_table("map_all", &arena);
	assert_int_equal(dia_rows_iter_init(&it, &head, &t), DIA_PARSE_BAD);
	dia_arena_fini(&arena);
}

static enum dia_parse walk(const struct dia_event *ev, const struct dia_table *table)
{
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_row row;
	enum dia_parse rc;

	rc = dia_rows_head_parse(ev, &head);
	if (rc != DIA_PARSE_OK)
		return rc;
	rc = dia_rows_iter_init(&it, &head, table);
	if (rc != DIA_PARSE_OK)
		return rc;
	while ((rc = dia_rows_next(&it, &row)) == DIA_PARSE_OK)
		;
	return rc;
}

static void test_truncated(void **state)
{
	static const char *const names[] = {"write_all", "update_all", "delete_all"};
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_all", &arena);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct dia_event ev = captured_event(names[i]);
		struct dia_rows_head head;
		size_t no_rows;

		assert_int_equal(dia_rows_head_parse(&ev, &head), DIA_PARSE_OK);
		no_rows = (size_t)(head.rest.data - ev.data.data) +
			  (size_t)5 * (head.kind == DIA_ROW_UPDATE ? 2 : 1);
		for (size_t len = 0; len <= ev.data.len; len++) {
			struct dia_guard g;
			struct dia_event cut = guarded(&ev, len, &g);

			assert_int_equal(walk(&cut, &t),
				len == no_rows || len == ev.data.len ? DIA_PARSE_MORE
								     : DIA_PARSE_BAD);
			dia_guard_free(&g);
		}
	}
	dia_arena_fini(&arena);
}

static void test_split_truncated(void **state)
{
	struct fixture f;
	struct dia_value values[64];
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_all", "write_all");
	for (size_t len = 0; len < f.row.after.len; len++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(f.row.after.data, len));

		assert_int_equal(
			dia_image_split(&f.table, g.input, values), DIA_PARSE_BAD);
		assert_int_equal(dia_image_json(&f.table, g.input, &out), DIA_E_PROTOCOL);
		dia_buf_reset(&out);
		assert_int_equal(dia_image_key(&f.table, g.input, NULL, NULL, &out),
			len < 5 + 8 ? DIA_E_PROTOCOL
				    : DIA_OK); /* the key stands in front */
		dia_buf_reset(&out);
		dia_guard_free(&g);
	}
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

/* Packed values against an unreadable page, printed in every form. */
static void test_values_stay_inside(void **state)
{
	struct fixture f;
	struct dia_value values[64];
	struct dia_buf out = {0};
	bool is_binary;

	(void)state;
	fixture_init(&f, "map_all", "write_all");
	assert_int_equal(dia_image_split(&f.table, f.row.after, values), DIA_PARSE_OK);
	for (uint32_t i = 0; i < f.table.column_count; i++) {
		struct dia_guard g = dia_guard_make(values[i].packed);
		struct dia_value v = {.packed = g.input};

		assert_int_equal(
			dia_value_text(&f.table.columns[i], &v, &out, &is_binary),
			DIA_OK);
		assert_int_equal(
			dia_value_literal(&f.table.columns[i], &v, &out), DIA_OK);
		dia_buf_reset(&out);
		dia_guard_free(&g);
	}
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

static void literal_is(const struct fixture *f, const struct dia_value *values,
	uint32_t column, const char *want)
{
	struct dia_buf out = {0};

	assert_int_equal(
		dia_value_literal(&f->table.columns[column], &values[column], &out),
		DIA_OK);
	assert_buf(&out, want);
	dia_buf_fini(&out);
}

static void test_literals(void **state)
{
	struct fixture f;
	struct dia_value values[64];

	(void)state;
	fixture_init(&f, "map_all", "write_all");
	assert_int_equal(dia_image_split(&f.table, f.row.after, values), DIA_PARSE_OK);
	literal_is(&f, values, 0, "18446744073709551615");
	literal_is(&f, values, 7, "-12345678901234.000001");
	literal_is(&f, values, 8, "1.5000000000000000e+00");
	literal_is(&f, values, 10, "4097");
	literal_is(&f, values, 11, "'2155'");
	literal_is(&f, values, 14, "'-838:59:59.999999'");
	literal_is(&f, values, 18, "_latin1 x'636166e9'");
	literal_is(&f, values, 19, "_utf8mb4 x'f09f9880'");
	literal_is(&f, values, 20, "x'00ff0000000000000000000000000000'");
	literal_is(&f, values, 21, "x'6162'");
	literal_is(&f, values, 23, "_ucs2 x'007500630073'");
	literal_is(&f, values, 25, "_utf8mb4 x'62'");
	literal_is(&f, values, 26, "_utf8mb4 x'782c7a'");
	literal_is(&f, values, 29, "x'123456789abc1def8123456789abcdef'");
	values[0].is_null = true;
	literal_is(&f, values, 0, "NULL");
	dia_arena_fini(&f.arena);
}

static void test_json(void **state)
{
	struct fixture f;
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_prefix", "write_prefix");
	assert_int_equal(dia_image_json(&f.table, f.row.after, &out), DIA_OK);
	assert_buf(&out, "{\"a\": 1, \"c\": \"Abcdef\", \"n\": null}");
	assert_int_equal(dia_image_key_json(&f.table, f.row.after, &out), DIA_OK);
	assert_buf(&out, "{\"a\": 1, \"c\": \"Abcdef\"}");
	dia_arena_fini(&f.arena);

	fixture_init(&f, "map_all", "write_all");
	assert_int_equal(dia_image_json(&f.table, f.row.after, &out), DIA_OK);
	(void)dia_buf_add_u8(&out, 0);
	/* Text of any character set we can read is UTF-8 there, bytes are base64. */
	assert_non_null(strstr((const char *)out.data, "\"v\": \"caf\xc3\xa9\""));
	assert_non_null(strstr((const char *)out.data, "\"lt\": \"ucs\""));
	assert_non_null(strstr((const char *)out.data, "\"bl\": {\"base64\": \"AAEC\"}"));
	assert_non_null(strstr((const char *)out.data, "\"j\": \"{\\\"k\\\": 1}\""));
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

static void test_ints(void **state)
{
	struct fixture f;
	struct dia_value values[64];
	int64_t v = 0;

	(void)state;
	fixture_init(&f, "map_all", "write_all");
	assert_int_equal(dia_image_split(&f.table, f.row.after, values), DIA_PARSE_OK);
	assert_int_equal(dia_value_int(&f.table.columns[0], &values[0], &v), DIA_OK);
	assert_true(v == -1); /* 2^64 - 1: the bits as they are */
	assert_int_equal(dia_value_int(&f.table.columns[1], &values[1], &v), DIA_OK);
	assert_true(v == -128);
	assert_int_equal(dia_value_int(&f.table.columns[2], &values[2], &v), DIA_OK);
	assert_true(v == 255);
	assert_int_equal(dia_value_int(&f.table.columns[4], &values[4], &v), DIA_OK);
	assert_true(v == -8388608);
	assert_int_equal(
		dia_value_int(&f.table.columns[8], &values[8], &v), DIA_E_UNSUPPORTED);
	values[1].is_null = true;
	assert_int_equal(
		dia_value_int(&f.table.columns[1], &values[1], &v), DIA_E_NOT_FOUND);
	dia_arena_fini(&f.arena);
}

/* What was read and written again reads the same. */
static void round_trip(const char *map, const char *rows)
{
	struct fixture f;
	struct dia_rows_writer w;
	struct dia_buf out = {0};
	struct dia_event ev;
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_row row;

	fixture_init(&f, map, rows);
	assert_int_equal(dia_rows_writer_begin(&w, &out, &f.table, 77, f.head.kind,
				 DIA_ROWS_STMT_END, false),
		DIA_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			dia_rows_writer_row(&w, f.row.before, f.row.after), DIA_OK);
	assert_int_equal(dia_rows_writer_end(&w), DIA_OK);

	assert_int_equal(dia_event_parse(dia_buf_slice(&out), false, &ev), DIA_PARSE_OK);
	assert_int_equal(ev.event_len, out.len);
	assert_int_equal(ev.type, f.ev.type);
	assert_int_equal(dia_rows_head_parse(&ev, &head), DIA_PARSE_OK);
	assert_int_equal(head.table_id, 77);
	assert_int_equal(head.flags, DIA_ROWS_STMT_END);
	assert_int_equal(dia_rows_iter_init(&it, &head, &f.table), DIA_PARSE_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dia_rows_next(&it, &row), DIA_PARSE_OK);
		assert_true(dia_slice_eq(row.before, f.row.before));
		assert_true(dia_slice_eq(row.after, f.row.after));
	}
	assert_int_equal(dia_rows_next(&it, &row), DIA_PARSE_MORE);
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip("map_all", "write_all");
	round_trip("map_all", "update_all");
	round_trip("map_all", "delete_all");
	round_trip("map_prefix", "write_prefix");
}

static void test_key_only(void **state)
{
	/* DELETE of (1, 'Abcdef', NULL) with key (c, a): columns 0 and 1, one byte of
	 * nulls. */
	static const uint8_t want[] = {
		3, 3, 0, 1, 0, 0, 0, 6, 'A', 'b', 'c', 'd', 'e', 'f'};
	struct fixture f;
	struct dia_rows_writer w;
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_prefix", "write_prefix");
	assert_int_equal(
		dia_rows_writer_begin(&w, &out, &f.table, 1, DIA_ROW_DELETE, 0, true),
		DIA_OK);
	assert_int_equal(
		dia_rows_writer_row(&w, f.row.after, dia_slice_of(NULL, 0)), DIA_OK);
	assert_int_equal(dia_rows_writer_end(&w), DIA_OK);
	assert_int_equal(out.len, DIA_EVENT_HEADER_LEN + 8 + sizeof(want));
	assert_memory_equal(out.data + DIA_EVENT_HEADER_LEN + 8, want, sizeof(want));

	/* An image that is not whole is refused and leaves nothing behind. */
	for (size_t len = 0; len < 12; len++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(f.row.after.data, len));
		size_t before = out.len;

		assert_int_equal(dia_rows_writer_row(&w, g.input, dia_slice_of(NULL, 0)),
			DIA_E_PROTOCOL);
		assert_int_equal(out.len, before);
		dia_guard_free(&g);
	}
	f.table.pk_count = 0;
	assert_int_equal(
		dia_rows_writer_begin(&w, &out, &f.table, 1, DIA_ROW_DELETE, 0, true),
		DIA_E_UNSUPPORTED);
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

/* Nulls are counted over the key's columns, not over the table's 36. */
static void test_key_only_of_many_columns(void **state)
{
	static const uint8_t want[] = {
		36, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct fixture f;
	struct dia_rows_writer w;
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_all", "delete_all");
	assert_int_equal(
		dia_rows_writer_begin(&w, &out, &f.table, 1, DIA_ROW_DELETE, 0, true),
		DIA_OK);
	assert_int_equal(
		dia_rows_writer_row(&w, f.row.before, dia_slice_of(NULL, 0)), DIA_OK);
	assert_int_equal(dia_rows_writer_end(&w), DIA_OK);
	assert_int_equal(out.len, DIA_EVENT_HEADER_LEN + 8 + sizeof(want));
	assert_memory_equal(out.data + DIA_EVENT_HEADER_LEN + 8, want, sizeof(want));
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

/* Lengths at the edges where another byte of prefix begins. */
static void test_value_lengths(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t meta;
		size_t len; /* of the packed value in `bytes` */
	} cases[] = {
		{DIA_TYPE_VARCHAR, 255, 1 + 3},
		{DIA_TYPE_VARCHAR, 256, 2 + 3},
		{DIA_TYPE_STRING, 255, 1 + 3},
		{DIA_TYPE_STRING, 256, 2 + 3},
		{DIA_TYPE_BLOB, 1, 1 + 3},
		{DIA_TYPE_BLOB, 4, 4 + 3},
		{DIA_TYPE_BIT, 0 << 8 | 1, 1},
		{DIA_TYPE_BIT, 1 << 8 | 0, 1},
		{DIA_TYPE_BIT, 8 << 8 | 0, 8},
		{DIA_TYPE_TIME2, 0, 3},
		{DIA_TYPE_TIME2, 1, 4},
		{DIA_TYPE_TIME2, 6, 6},
		{DIA_TYPE_DATETIME2, 3, 7},
		{DIA_TYPE_TIMESTAMP2, 5, 7},
		{DIA_TYPE_NEWDECIMAL, 65 << 8 | 30, 30},
		{DIA_TYPE_NEWDECIMAL, 1 << 8 | 0, 1},
		{DIA_TYPE_SET, 8, 8},
	};
	static const uint8_t bytes[32] = {3};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dia_column column = {.type = cases[i].type, .meta = cases[i].meta};
		struct dia_cursor c = dia_cursor_of(dia_slice_of(bytes, sizeof(bytes)));

		assert_int_equal(dia_value_take(&column, &c).len, cases[i].len);
		c = dia_cursor_of(dia_slice_of(bytes, cases[i].len - 1));
		assert_int_equal(dia_value_take(&column, &c).len, 0);
		assert_true(c.bad);
	}
}

/* As MariaDB 10.11 printed them (more in tests/e2e/test_row_images.py). */
static void test_doubles(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{0, "0"},
		{-0.0, "0"},
		{0.1, "0.1"},
		{5e-324, "5e-324"},
		{2.5e-310, "2.5e-310"},
		{1e14, "100000000000000"},
		{1e15, "1e15"},
		{99999999999999.98, "99999999999999.98"},
		{3154790468337206.5, "3154790468337206.5"},
		{9007199254740992.0, "9.007199254740992e15"},
		{1.2345678e-15, "0.0000000000000012345678"},
		{1.2e-17, "1.2e-17"},
		{0.30000000000000004, "0.30000000000000004"},
		{-1.7976931348623157e308, "-1.7976931348623157e308"},
	};
	struct dia_column column = {.type = DIA_TYPE_DOUBLE, .meta = 8};
	struct dia_buf out = {0};
	bool is_binary;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t raw[8];
		uint64_t bits;
		struct dia_value value = {.packed = dia_slice_of(raw, 8)};

		memcpy(&bits, &cases[i].v, 8);
		dia_put_le64(raw, bits);
		assert_int_equal(
			dia_value_text(&column, &value, &out, &is_binary), DIA_OK);
		assert_buf(&out, cases[i].text);
	}
	dia_buf_fini(&out);
}

/* Version 2 heads have extra data, whose length counts itself. */
static void test_version_2(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_prefix", &arena);
	struct dia_event v1 = captured_event("write_prefix"), ev;
	struct dia_buf raw = {0};

	(void)state;
	(void)dia_buf_add(&raw, v1.raw.data, DIA_EVENT_HEADER_LEN + 8);
	(void)dia_buf_add(&raw, "\x05\x00xyz", 5);
	(void)dia_buf_add(&raw, v1.data.data + 8, v1.data.len - 8);
	raw.data[4] = DIA_EVENT_WRITE_ROWS_V2;
	dia_put_le32(raw.data + 9, (uint32_t)raw.len);
	assert_int_equal(dia_event_parse(dia_buf_slice(&raw), false, &ev), DIA_PARSE_OK);
	assert_int_equal(walk(&ev, &t), DIA_PARSE_MORE);
	raw.data[DIA_EVENT_HEADER_LEN + 8] = 1;
	assert_int_equal(walk(&ev, &t), DIA_PARSE_BAD);
	dia_buf_fini(&raw);
	dia_arena_fini(&arena);
}

/* Keys of one text under a collation. */
static void key_of(uint16_t collation, uint32_t prefix, const char *text,
	dia_weigh_cb weigh, void *ctx, struct dia_buf *out)
{
	uint32_t pk = 0;
	struct dia_column column = {.type = DIA_TYPE_VARCHAR,
		.meta = 100,
		.collation = collation,
		.in_pk = true,
		.pk_prefix_chars = prefix};
	struct dia_table table = {.db = dia_slice_str("d"),
		.name = dia_slice_str("t"),
		.column_count = 1,
		.columns = &column,
		.pk_count = 1,
		.pk = &pk};
	uint8_t image[100] = {0, (uint8_t)strlen(text)};

	memcpy(image + 2, text, strlen(text));
	dia_buf_reset(out);
	assert_int_equal(dia_image_key(&table, dia_slice_of(image, 2 + strlen(text)),
				 weigh, ctx, out),
		DIA_OK);
}

static bool same_key(uint16_t collation, uint32_t prefix, const char *a, const char *b)
{
	struct dia_buf ka = {0}, kb = {0};
	bool same;

	key_of(collation, prefix, a, NULL, NULL, &ka);
	key_of(collation, prefix, b, NULL, NULL, &kb);
	same = dia_slice_eq(dia_buf_slice(&ka), dia_buf_slice(&kb));
	dia_buf_fini(&ka);
	dia_buf_fini(&kb);
	return same;
}

static void test_text_keys(void **state)
{
	enum {
		BINARY = 63,
		UTF8MB4_BIN = 46,
		UTF8MB4_NOPAD_BIN = 1070,
		GENERAL_CI = 45,
		GENERAL_NOPAD_CI = 1069,
		LATIN1_GENERAL_CS = 49,
		UCA1400_AI_CI = 2304,
		TURKISH_CI = 233,
	};

	(void)state;
	assert_true(same_key(GENERAL_CI, 0, "Abc", "aBC  "));
	assert_false(same_key(GENERAL_CI, 0, "Abc", " abc"));
	assert_false(same_key(GENERAL_NOPAD_CI, 0, "abc", "abc "));
	assert_true(same_key(GENERAL_NOPAD_CI, 0, "abc", "ABC"));
	assert_true(same_key(UTF8MB4_BIN, 0, "abc", "abc "));
	assert_false(same_key(UTF8MB4_BIN, 0, "abc", "abC"));
	assert_false(same_key(UTF8MB4_NOPAD_BIN, 0, "abc", "abc "));
	assert_false(same_key(BINARY, 0, "abc", "abc "));
	assert_false(same_key(LATIN1_GENERAL_CS, 0, "abc", "abC"));
	assert_true(same_key(UCA1400_AI_CI, 0, "abc", "ABC "));
	assert_false(same_key(TURKISH_CI, 0, "i", "I"));
	assert_true(same_key(GENERAL_CI, 3, "abcd", "ABCxyz"));
	assert_false(same_key(GENERAL_CI, 3, "abcd", "abxd"));
	/* Two characters of two and three bytes, then the cut. */
	assert_true(same_key(
		UTF8MB4_BIN, 2, "\xc3\xa9\xe2\x82\xacx", "\xc3\xa9\xe2\x82\xacyz"));
	assert_false(same_key(
		UTF8MB4_BIN, 3, "\xc3\xa9\xe2\x82\xacx", "\xc3\xa9\xe2\x82\xacyz"));
}

static enum dia_rc weigh_as_e(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	unsigned *asked = ctx;

	(*asked)++;
	assert_int_equal(collation, 45);
	assert_slice(text, "\xc3\xa9");
	/* What utf8mb4_general_ci gives é: the weight of E; and of an ignorable space. */
	return dia_buf_add(out, "\x00\x45\x00\x20", 4);
}

/* é weighed by the server and E from our table meet. */
static void test_weighed_keys(void **state)
{
	struct dia_buf a = {0}, b = {0};
	unsigned asked = 0;

	(void)state;
	key_of(45, 0, "\xc3\xa9 ", weigh_as_e, &asked, &a);
	key_of(45, 0, "e", weigh_as_e, &asked, &b);
	assert_int_equal(asked, 1);
	assert_true(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	dia_buf_fini(&a);
	dia_buf_fini(&b);
}

static enum dia_rc weigh_in_levels(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	(void)ctx, (void)collation;
	/* As the server weighs a and å under utf8mb4_uca1400_ai_cs, which are equal
	 * there. */
	if (text.len == 1)
		return dia_buf_add(out, "\x20\x75\x00\x02", 4);
	return dia_buf_add(out, "\x20\x75\x00\x02\x00\x02", 6);
}

static void test_levels_of_weights(void **state)
{
	struct dia_buf a = {0}, b = {0};

	(void)state;
	key_of(2305, 0, "a", weigh_in_levels, NULL, &a);
	key_of(2305, 0, "\xc3\xa5", weigh_in_levels, NULL, &b);
	assert_true(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	/* NOPAD compares what is there. */
	key_of(2309, 0, "a", weigh_in_levels, NULL, &a);
	key_of(2309, 0, "\xc3\xa5", weigh_in_levels, NULL, &b);
	assert_false(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	dia_buf_fini(&a);
	dia_buf_fini(&b);
}

static enum dia_rc weigh_fails(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	(void)ctx, (void)collation, (void)text, (void)out;
	return DIA_E_DB_GONE;
}

static void test_weighing_may_fail(void **state)
{
	struct fixture f;
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_prefix", "write_prefix");
	f.table.columns[1].collation = 65000; /* unknown: always weighed */
	assert_int_equal(dia_image_key(&f.table, f.row.after, weigh_fails, NULL, &out),
		DIA_E_DB_GONE);
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

/* The key starts with schema and table, and its parts cannot run into each other. */
static void test_key_layout(void **state)
{
	static const uint8_t want[] = {3, 'c', 'a', 'p', 1, 'p', 6, 0, 0, 0, 0, 'A', 0,
		'B', 0, 'C', 4, 0, 0, 0, 1, 0, 0, 0};
	struct fixture f;
	struct dia_buf out = {0};

	(void)state;
	fixture_init(&f, "map_prefix", "write_prefix");
	assert_int_equal(dia_image_key(&f.table, f.row.after, NULL, NULL, &out), DIA_OK);
	assert_int_equal(out.len, sizeof(want));
	assert_memory_equal(out.data, want, sizeof(want));
	dia_buf_fini(&out);
	dia_arena_fini(&f.arena);
}

static void number_key(const struct dia_column *column, const uint8_t *packed, size_t len,
	struct dia_buf *out)
{
	uint32_t pk = 0;
	struct dia_column own = *column;
	struct dia_table table = {
		.column_count = 1, .columns = &own, .pk_count = 1, .pk = &pk};
	uint8_t image[16] = {0};

	memcpy(image + 1, packed, len);
	dia_buf_reset(out);
	assert_int_equal(
		dia_image_key(&table, dia_slice_of(image, 1 + len), NULL, NULL, out),
		DIA_OK);
}

static void test_zeros_are_one_key(void **state)
{
	static const struct dia_column f = {.type = DIA_TYPE_FLOAT, .meta = 4};
	static const struct dia_column d = {.type = DIA_TYPE_DOUBLE, .meta = 8};
	static const struct dia_column n = {
		.type = DIA_TYPE_NEWDECIMAL, .meta = 10 << 8 | 2};
	static const uint8_t plus[8] = {0}, minus_f[4] = {0, 0, 0, 0x80},
			     minus_d[8] = {0, 0, 0, 0, 0, 0, 0, 0x80},
			     zero_n[5] = {0x80, 0, 0, 0, 0},
			     minus_n[5] = {0x7f, 0xff, 0xff, 0xff, 0xff},
			     cent_n[5] = {0x7f, 0xff, 0xff, 0xff, 0xfe};
	struct dia_buf a = {0}, b = {0};

	(void)state;
	number_key(&f, plus, 4, &a);
	number_key(&f, minus_f, 4, &b);
	assert_true(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	number_key(&d, plus, 8, &a);
	number_key(&d, minus_d, 8, &b);
	assert_true(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	number_key(&n, zero_n, 5, &a);
	number_key(&n, minus_n, 5, &b);
	assert_true(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	number_key(&n, cent_n, 5, &b);
	assert_false(dia_slice_eq(dia_buf_slice(&a), dia_buf_slice(&b)));
	dia_buf_fini(&a);
	dia_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_update_and_delete),
		cmocka_unit_test(test_partial_images_are_refused),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_split_truncated),
		cmocka_unit_test(test_values_stay_inside),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_ints),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_key_only),
		cmocka_unit_test(test_key_only_of_many_columns),
		cmocka_unit_test(test_value_lengths),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_text_keys),
		cmocka_unit_test(test_levels_of_weights),
		cmocka_unit_test(test_weighed_keys),
		cmocka_unit_test(test_weighing_may_fail),
		cmocka_unit_test(test_key_layout),
		cmocka_unit_test(test_zeros_are_one_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
