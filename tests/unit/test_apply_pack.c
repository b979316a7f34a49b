/* tests/unit/test_apply_pack.c - printed values back into packed ones. */
#include "proxy/apply/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool pack(
	const struct dia_column *c, const char *text, size_t len, struct dia_buf *out)
{
	dia_buf_reset(out);
	return apply_pack(c, dia_slice_of(text, len), out);
}

/* What is packed is as long as the type says, and prints as it was. */
static void round_trip(struct dia_column c, const char *text, const char *printed)
{
	struct dia_buf packed = {0}, again = {0};
	struct dia_value v = {.is_null = false};
	struct dia_cursor cursor;
	bool is_binary;

	c.name = dia_slice_str("k");
	if (!pack(&c, text, strlen(text), &packed))
		fail_msg("type %u: '%s' is not packed", c.type, text);
	cursor = dia_cursor_of(dia_buf_slice(&packed));
	v.packed = dia_value_take(&c, &cursor);
	assert_false(cursor.bad);
	assert_int_equal(v.packed.len, packed.len);
	assert_int_equal(dia_value_text(&c, &v, &again, &is_binary), DIA_OK);
	assert_string_equal(
		dia_buf_add_u8(&again, 0) == DIA_OK ? (char *)again.data : "", printed);
	dia_buf_fini(&packed);
	dia_buf_fini(&again);
}

static void same(struct dia_column c, const char *text)
{
	round_trip(c, text, text);
}

static void test_integers(void **state)
{
	(void)state;
	same((struct dia_column){.type = DIA_TYPE_TINY}, "-128");
	same((struct dia_column){.type = DIA_TYPE_TINY, .is_unsigned = true}, "255");
	same((struct dia_column){.type = DIA_TYPE_SHORT}, "-2");
	same((struct dia_column){.type = DIA_TYPE_INT24}, "-8388608");
	same((struct dia_column){.type = DIA_TYPE_LONG}, "2147483647");
	same((struct dia_column){.type = DIA_TYPE_LONGLONG}, "-9223372036854775808");
	same((struct dia_column){.type = DIA_TYPE_LONGLONG, .is_unsigned = true},
		"18446744073709551615");
	round_trip((struct dia_column){.type = DIA_TYPE_LONG}, "0000000012", "12");
	same((struct dia_column){.type = DIA_TYPE_YEAR}, "2024");
	same((struct dia_column){.type = DIA_TYPE_YEAR}, "0000");
}

static void test_temporal(void **state)
{
	(void)state;
	same((struct dia_column){.type = DIA_TYPE_DATE}, "2024-02-29");
	same((struct dia_column){.type = DIA_TYPE_DATE}, "0000-00-00");
	same((struct dia_column){.type = DIA_TYPE_DATE}, "9999-12-31");
	same((struct dia_column){.type = DIA_TYPE_DATETIME2}, "1000-01-01 23:59:59");
	same((struct dia_column){.type = DIA_TYPE_DATETIME2, .meta = 1},
		"2024-02-29 00:00:00.3");
	same((struct dia_column){.type = DIA_TYPE_DATETIME2, .meta = 3},
		"2024-02-29 00:00:00.007");
	same((struct dia_column){.type = DIA_TYPE_DATETIME2, .meta = 6},
		"9999-12-31 23:59:59.999999");
	round_trip((struct dia_column){.type = DIA_TYPE_TIMESTAMP2, .meta = 6},
		"1.000009", "1970-01-01 00:00:01.000009");
	round_trip((struct dia_column){.type = DIA_TYPE_TIMESTAMP2}, "86400",
		"1970-01-02 00:00:00");
}

static void test_strings(void **state)
{
	const struct dia_column binary = {
		.type = DIA_TYPE_STRING, .meta = 4, .collation = 63};
	struct dia_buf out = {0};

	(void)state;
	same((struct dia_column){.type = DIA_TYPE_VARCHAR, .meta = 40, .collation = 45},
		"");
	same((struct dia_column){.type = DIA_TYPE_VARCHAR, .meta = 400, .collation = 45},
		"two bytes of length ");
	same((struct dia_column){.type = DIA_TYPE_STRING, .meta = 4, .collation = 8},
		"abcd");
	assert_true(pack(&binary, "\0\1\0\0", 4, &out));
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.data, "\2\0\1", 3);
	assert_false(pack(&binary, "abcde", 5, &out));
	dia_buf_fini(&out);
}

static void test_numbers_of_names(void **state)
{
	const struct dia_column set = {.type = DIA_TYPE_SET, .meta = 2},
				bits = {.type = DIA_TYPE_BIT, .meta = 1 << 8 | 3};
	struct dia_buf out = {0};

	(void)state;
	assert_true(pack(&set, "258", 3, &out));
	assert_memory_equal(out.data, "\2\1", out.len);
	assert_true(pack(&bits, "258", 3, &out));
	assert_memory_equal(out.data, "\1\2", out.len);
	dia_buf_fini(&out);
}

static void test_what_is_not_of_the_form(void **state)
{
	static const char *const bad[] = {"", "x", "1x", "-", "2024-02", "2024-02-29 1",
		"2024-02-29-1", "2024--29", "2024-02-", "12345678901-1-1"};
	const struct dia_column types[] = {{.type = DIA_TYPE_DATE},
		{.type = DIA_TYPE_DATETIME2, .meta = 3},
		{.type = DIA_TYPE_DATETIME2, .meta = 9},
		{.type = DIA_TYPE_TIMESTAMP2, .meta = 6}, {.type = DIA_TYPE_LONG},
		{.type = DIA_TYPE_ENUM, .meta = 1}};
	const struct dia_column not_packed[] = {{.type = DIA_TYPE_NEWDECIMAL},
		{.type = DIA_TYPE_DOUBLE}, {.type = DIA_TYPE_BLOB, .meta = 2},
		{.type = DIA_TYPE_VARCHAR, .meta = 9, .pk_prefix_chars = 3}};
	struct dia_buf out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t j = 0; j < sizeof(types) / sizeof(types[0]); j++)
			assert_false(pack(&types[j], bad[i], strlen(bad[i]), &out));
	for (size_t i = 0; i < sizeof(not_packed) / sizeof(not_packed[0]); i++)
		assert_false(apply_pack_select(&not_packed[i], &out));
	dia_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_temporal),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_numbers_of_names),
		cmocka_unit_test(test_what_is_not_of_the_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
