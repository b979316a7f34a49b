/*
 * tests/unit/test_client_console.c - the result set of SHOW DIARCHY: filling, limits,
 * encoding.
 */
#include "parser/wire/response.h"
#include "proxy/client/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_fill_and_encode(void **state)
{
	static const uint64_t caps_sets[] = {DIA_CAP_PROTOCOL_41,
		DIA_CAP_PROTOCOL_41 | DIA_CAP_DEPRECATE_EOF,
		DIA_CAP_PROTOCOL_41 | DIA_CAP_MARIA_CACHE_META | DIA_CAP_MARIA_EXT_META};
	struct dia_console_result res = {.column_count = 0};
	const char *row[2] = {"", NULL};

	(void)state;
	assert_int_equal(dia_console_add_column(&res, "a"), DIA_OK);
	assert_int_equal(dia_console_add_column(&res, "b"), DIA_OK);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(dia_console_add_texts(&res, row), DIA_OK);
	assert_int_equal(res.row_count, 1000);
	for (size_t i = 0; i < sizeof(caps_sets) / sizeof(caps_sets[0]); i++) {
		struct dia_buf out = {0};
		struct dia_response r;
		enum dia_response_event event;
		uint8_t seq = 1;

		assert_int_equal(
			dia_console_encode(&res, caps_sets[i], 2, &seq, &out), DIA_OK);
		dia_response_init(&r, caps_sets[i]);
		dia_response_start(&r, DIA_REPLY_RESULT);
		assert_int_equal(
			dia_response_feed(&r, dia_buf_slice(&out), &event), out.len);
		assert_int_equal(event, DIA_RESPONSE_DONE);
		assert_int_equal((uint8_t)(r.seq + 1), seq);
		/* a row: an empty string is no NULL */
		assert_non_null(memmem(out.data, out.len, "\000\373\002\000\000", 5));
		dia_buf_fini(&out);
	}
	dia_console_fini(&res);
}

static void test_limits_are_remembered(void **state)
{
	struct dia_console_result res = {.column_count = 0};
	struct dia_slice values[DIA_CONSOLE_COLUMNS_MAX] = {{0}};
	char *big = calloc(1, DIA_CONSOLE_BYTES_MAX / 4);

	(void)state;
	assert_non_null(big);
	assert_int_equal(dia_console_add_row(&res, values), DIA_E_STATE);
	assert_int_equal(res.rc, DIA_E_STATE);
	dia_console_fini(&res);

	for (size_t i = 0; i < DIA_CONSOLE_COLUMNS_MAX; i++)
		assert_int_equal(dia_console_add_column(&res, "c"), DIA_OK);
	assert_int_equal(dia_console_add_column(&res, "c"), DIA_E_LIMIT);
	assert_int_equal(res.rc, DIA_E_LIMIT);
	dia_console_fini(&res);

	assert_int_equal(dia_console_add_column(&res, "c"), DIA_OK);
	values[0] = dia_slice_of(big, DIA_CONSOLE_BYTES_MAX / 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(dia_console_add_row(&res, values), DIA_OK);
	assert_int_equal(dia_console_add_row(&res, values), DIA_E_LIMIT);
	assert_int_equal(res.row_count, 4);
	assert_int_equal(dia_console_add_column(&res, "late"), DIA_E_LIMIT);
	dia_console_fini(&res);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill_and_encode),
		cmocka_unit_test(test_limits_are_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
