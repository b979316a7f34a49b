/* tests/unit/test_binlog_table.c - Table_map events and their metadata. */
#include "tests/unit/binlog_helper.h"

static void test_all_types(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_all", &arena);
	const struct dia_column *c = t.columns;

	(void)state;
	assert_slice(t.db, "cap");
	assert_slice(t.name, "t");
	assert_int_equal(t.column_count, 36);
	assert_true(t.has_names);
	assert_int_equal(t.pk_count, 1);
	assert_int_equal(t.pk[0], 0);
	assert_true(c[0].in_pk && c[0].is_unsigned && !c[0].nullable);
	assert_slice(c[0].name, "id");
	assert_false(c[1].is_unsigned);
	assert_true(c[2].is_unsigned);
	assert_int_equal(c[7].type, DIA_TYPE_NEWDECIMAL);
	assert_int_equal(c[7].meta, 20 << 8 | 6);
	assert_int_equal(c[10].type, DIA_TYPE_BIT);
	assert_int_equal(c[10].meta, 1 << 8 | 5);
	assert_int_equal(c[14].type, DIA_TYPE_TIME2);
	assert_int_equal(c[14].meta, 6);
	/* CHAR(255) of four bytes each: the length does not fit one byte of metadata. */
	assert_slice(c[17].name, "c");
	assert_int_equal(c[17].type, DIA_TYPE_STRING);
	assert_int_equal(c[17].meta, 1020);
	assert_int_equal(c[17].collation, 45);
	assert_int_equal(c[18].collation, 8);
	assert_int_equal(c[19].collation, 2304); /* uca1400 does not fit one byte */
	assert_int_equal(c[20].collation, 63);
	assert_int_equal(c[23].collation, 35);
	assert_slice(c[25].name, "e");
	assert_int_equal(c[25].type, DIA_TYPE_ENUM);
	assert_int_equal(c[25].value_count, 2);
	assert_slice(c[25].values[1], "b");
	assert_int_equal(c[26].type, DIA_TYPE_SET);
	assert_int_equal(c[26].value_count, 3);
	assert_slice(c[26].values[2], "z");
	assert_int_equal(c[32].type, DIA_TYPE_VARCHAR_COMPRESSED);
	assert_int_equal(c[33].type, DIA_TYPE_BLOB_COMPRESSED);
	assert_slice(c[35].name, "inv");
	assert_int_equal(dia_table_column_find(&t, dia_slice_str("BI")), 20);
	assert_int_equal(dia_table_column_find(&t, dia_slice_str("nope")), -1);
	assert_int_equal(dia_table_column_find(&t, dia_slice_of(NULL, 0)), -1);
	dia_arena_fini(&arena);
}

static void test_key_with_prefix(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_prefix", &arena);

	(void)state;
	assert_int_equal(t.pk_count, 2);
	assert_int_equal(t.pk[0], 1); /* the key's order, not the table's */
	assert_int_equal(t.pk[1], 0);
	assert_int_equal(t.columns[1].pk_prefix_chars, 3);
	assert_int_equal(t.columns[0].pk_prefix_chars, 0);
	assert_true(t.columns[0].in_pk && t.columns[1].in_pk && !t.columns[2].in_pk);
	dia_arena_fini(&arena);
}

/* Most columns share a character set: it comes once, and pairs for the others, which
 * count text columns (and ENUM or SET columns) only. */
static void test_default_charset(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_default_charset", &arena);
	static const uint16_t want[] = {0, 8, 8, 7, 8, 8, 8, 8, 7, 8, 8};

	(void)state;
	assert_int_equal(t.column_count, 11);
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(t.columns[i].collation, want[i]);
	dia_arena_fini(&arena);
}

static void test_less_metadata(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table none = captured_table("map_no_metadata", &arena);
	struct dia_table minimal = captured_table("map_minimal", &arena);

	(void)state;
	assert_false(none.has_names);
	assert_int_equal(none.pk_count, 0);
	assert_int_equal(none.columns[1].name.len, 0);
	assert_int_equal(none.columns[1].collation, 0);
	assert_false(minimal.has_names);
	assert_int_equal(minimal.columns[1].collation, 45);
	dia_arena_fini(&arena);
}

static void test_truncated(void **state)
{
	static const char *const names[] = {"map_all", "map_prefix",
		"map_default_charset", "map_no_metadata", "map_minimal"};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct dia_event ev = captured_event(names[i]);
		struct dia_arena arena = {0};
		struct dia_table whole, t;

		assert_int_equal(dia_table_map_parse(&ev, &arena, &whole), DIA_PARSE_OK);
		for (size_t len = 0; len < ev.data.len; len++) {
			struct dia_guard g;
			struct dia_event cut = guarded(&ev, len, &g);

			/* A cut between two pieces of metadata leaves a valid, lesser
			 * event. */
			if (dia_table_map_parse(&cut, &arena, &t) == DIA_PARSE_OK) {
				assert_int_equal(t.column_count, whole.column_count);
				assert_true(t.digest != whole.digest);
			}
			dia_guard_free(&g);
			dia_arena_reset(&arena);
		}
		dia_arena_fini(&arena);
	}
}

static void test_written_again(void **state)
{
	struct dia_arena arena = {0};
	struct dia_table t = captured_table("map_all", &arena), again;
	struct dia_buf out = {0};
	struct dia_event ev;

	(void)state;
	assert_int_equal(dia_table_map_write(&out, &t, UINT64_C(0x123456789abc)), DIA_OK);
	assert_int_equal(dia_event_parse(dia_buf_slice(&out), false, &ev), DIA_PARSE_OK);
	assert_int_equal(ev.event_len, out.len);
	assert_int_equal(dia_table_map_parse(&ev, &arena, &again), DIA_PARSE_OK);
	assert_true(again.table_id == UINT64_C(0x123456789abc));
	assert_true(again.digest == t.digest);
	dia_buf_fini(&out);
	dia_arena_fini(&arena);
}

/* Metadata that contradicts the columns, put behind those of a real event. */
static void test_hostile_metadata(void **state)
{
	static const uint8_t bad[][8] = {
		{1, 0},                            /* signs of no column */
		{4, 2, 1, 'a'},                    /* one name for three */
		{2, 5, 45, 9, 45, 0xfb, 0},        /* pair for a tenth text column */
		{3, 4, 0xfd, 0xff, 0xff, 0xff},    /* collation beyond 16 bits */
		{8, 1, 3},                         /* key on column 3 of 3 */
		{8, 2, 1, 1},                      /* a column twice */
		{9, 1, 1},                         /* prefix missing */
		{9, 5, 1, 0xfd, 0xff, 0xff, 0x7f}, /* prefix beyond reason */
		{8, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, /* length past the end */
	};
	static const size_t len[] = {2, 4, 7, 6, 3, 4, 3, 7, 8};
	struct dia_event base = captured_event("map_no_metadata");

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dia_buf raw = {0};
		struct dia_arena arena = {0};
		struct dia_event ev;
		struct dia_table t;
		struct dia_guard g;

		(void)dia_buf_add_slice(&raw, base.raw);
		(void)dia_buf_add(&raw, bad[i], len[i]);
		dia_put_le32(raw.data + 9, (uint32_t)raw.len);
		g = dia_guard_make(dia_buf_slice(&raw));
		assert_int_equal(dia_event_parse(g.input, false, &ev), DIA_PARSE_OK);
		if (dia_table_map_parse(&ev, &arena, &t) != DIA_PARSE_BAD)
			fail_msg("accepted hostile metadata %zu", i);
		dia_guard_free(&g);
		dia_buf_fini(&raw);
		dia_arena_fini(&arena);
	}
}

/* Types of servers to come are skipped, whatever is in them. */
static void test_unknown_metadata(void **state)
{
	struct dia_event base = captured_event("map_prefix"), ev;
	struct dia_buf raw = {0};
	struct dia_arena arena = {0};
	struct dia_table t;

	(void)state;
	(void)dia_buf_add_slice(&raw, base.raw);
	(void)dia_buf_add(&raw, "\xc8\x03\xff\xff\xff\x0c\x00", 7);
	dia_put_le32(raw.data + 9, (uint32_t)raw.len);
	assert_int_equal(dia_event_parse(dia_buf_slice(&raw), false, &ev), DIA_PARSE_OK);
	assert_int_equal(dia_table_map_parse(&ev, &arena, &t), DIA_PARSE_OK);
	assert_int_equal(t.pk_count, 2);
	dia_buf_fini(&raw);
	dia_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_key_with_prefix),
		cmocka_unit_test(test_default_charset),
		cmocka_unit_test(test_less_metadata),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_written_again),
		cmocka_unit_test(test_hostile_metadata),
		cmocka_unit_test(test_unknown_metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
