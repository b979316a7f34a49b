/* tests/unit/test_core_basics.c - buffers, arenas, cursors, clock values, errors, log
 * words. */
#include "proxy/core/arena.h"
#include "proxy/core/buf.h"
#include "proxy/core/err.h"
#include "proxy/core/hash.h"
#include "proxy/core/hlc.h"
#include "proxy/core/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void buf_grows_and_keeps_content(void **state)
{
	struct dia_buf b = {0};

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(dia_buf_add_le32(&b, i), DIA_OK);
	assert_int_equal(b.len, 40000);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(dia_le32(b.data + (size_t)i * 4), i);
	dia_buf_consume(&b, 39996);
	assert_int_equal(b.len, 4);
	assert_int_equal(dia_le32(b.data), 9999);
	dia_buf_reset(&b);
	assert_int_equal(dia_buf_printf(&b, "%s-%d", "x", 7), DIA_OK);
	assert_memory_equal(b.data, "x-7", 3);
	assert_int_equal(dia_buf_reserve(&b, SIZE_MAX), DIA_E_NOMEM);
	assert_true(b.failed);
	assert_int_equal(dia_buf_add_u8(&b, 1), DIA_E_NOMEM);
	dia_buf_fini(&b);
}

static void base64_is_rfc4648(void **state)
{
	/* The vectors of RFC 4648 section 10. */
	static const char *const in[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const out[] = {
		"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		struct dia_buf b = {0};

		assert_int_equal(dia_buf_add_base64(&b, dia_slice_str(in[i])), DIA_OK);
		assert_int_equal(b.len, strlen(out[i]));
		if (b.len > 0)
			assert_memory_equal(b.data, out[i], b.len);
		dia_buf_fini(&b);
	}
}

static void lenenc_round_trip(void **state)
{
	static const uint64_t values[] = {0, 250, 251, 252, 255, 256, 65535, 65536,
		0xffffff, 0x1000000, UINT32_MAX, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct dia_buf b = {0};
		struct dia_cursor c;

		assert_int_equal(dia_buf_add_lenenc(&b, values[i]), DIA_OK);
		c = dia_cursor_of(dia_buf_slice(&b));
		assert_true(dia_cursor_lenenc(&c) == values[i]);
		assert_false(c.bad);
		assert_int_equal(dia_cursor_left(&c), 0);
		for (size_t cut = 0; cut < b.len; cut++) {
			c = dia_cursor_of(dia_slice_of(b.data, cut));
			(void)dia_cursor_lenenc(&c);
			assert_true(c.bad);
		}
		dia_buf_fini(&b);
	}
}

static void cursor_stays_bad(void **state)
{
	static const uint8_t three[] = {1, 2, 3};
	struct dia_cursor c = dia_cursor_of(dia_slice_of(three, 3));

	(void)state;
	assert_int_equal(dia_cursor_le16(&c), 0x0201);
	assert_int_equal(dia_cursor_le16(&c), 0);
	assert_true(c.bad);
	assert_int_equal(dia_cursor_u8(&c), 0);
	assert_int_equal(dia_cursor_left(&c), 0);
	assert_null(dia_cursor_slice(&c, SIZE_MAX).data);
}

static void arena_aligns_and_resets(void **state)
{
	struct dia_arena a = {0};
	size_t steady;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 3000; n += 7) {
			uint8_t *p = dia_arena_alloc(&a, n);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			memset(p, 0xa5, n);
		}
		assert_non_null(dia_arena_alloc(&a, 1 << 20));
		dia_arena_reset(&a);
	}
	steady = a.total;
	assert_true(steady > 0 && steady < 64 * 1024);
	assert_null(dia_arena_zalloc(&a, SIZE_MAX / 2, 4));
	assert_null(dia_arena_alloc(&a, SIZE_MAX));
	dia_arena_fini(&a);
}

static void hlc_never_goes_back(void **state)
{
	struct dia_hlc last = {0};

	(void)state;
	last = dia_hlc_next(last, 1000);
	assert_int_equal(dia_hlc_ms(last), 1000);
	for (int i = 0; i < 70000; i++) {
		struct dia_hlc next =
			dia_hlc_next(last, 999); /* the clock stepped back */

		assert_true(next.v == last.v + 1);
		last = next;
	}
	assert_int_equal(dia_hlc_ms(last), 1001); /* a full counter carries */
}

static void stamp_order_is_total(void **state)
{
	(void)state;
	for (uint16_t a = 0; a < 16; a++) {
		for (uint16_t b = 0; b < 16; b++) {
			struct dia_stamp x = {{a / 4u}, {(uint16_t)(a % 4)}};
			struct dia_stamp y = {{b / 4u}, {(uint16_t)(b % 4)}};

			assert_int_equal(dia_stamp_cmp(x, y), -dia_stamp_cmp(y, x));
			assert_int_equal(dia_stamp_cmp(x, y) == 0, a == b);
		}
	}
}

static void hash_differs_by_length_and_seed(void **state)
{
	static const uint8_t zeros[32];

	(void)state;
	for (size_t a = 0; a < 32; a++)
		for (size_t b = a + 1; b < 32; b++)
			assert_true(dia_hash64(dia_slice_of(zeros, a), 0) !=
				    dia_hash64(dia_slice_of(zeros, b), 0));
	assert_true(
		dia_hash64(dia_slice_str("k"), 1) != dia_hash64(dia_slice_str("k"), 2));
}

static void error_keeps_the_cause(void **state)
{
	struct dia_err err;

	(void)state;
	assert_int_equal(dia_err_set(&err, DIA_E_IO, 5, "read: %s", "boom"), DIA_E_IO);
	assert_int_equal(
		dia_err_wrap(&err, DIA_E_CLOSED, "peer %s", "west"), DIA_E_CLOSED);
	assert_string_equal(err.text, "peer west: read: boom");
	assert_int_equal(err.number, 5);
	assert_int_equal(dia_err_set(NULL, DIA_E_IO, 0, "x"), DIA_E_IO);
	assert_string_equal(dia_rc_label(DIA_E_LOST_TAIL), "lost_tail");
}

static void log_words(void **state)
{
	enum dia_log_level level;
	char out[16];

	(void)state;
	assert_int_equal(dia_log_level_parse("debug", &level), DIA_OK);
	assert_int_equal(level, DIA_LOG_DEBUG);
	assert_int_equal(dia_log_level_parse("loud", &level), DIA_E_NOT_FOUND);
	assert_string_equal(
		dia_log_quote(out, sizeof(out), "a \"b\"\n"), "\"a \\\"b\\\" \"");
	(void)dia_log_quote(out, sizeof(out), "0123456789abcdefgh");
	assert_true(strlen(out) < sizeof(out) && out[0] == '"' &&
		    out[strlen(out) - 1] == '"');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_grows_and_keeps_content),
		cmocka_unit_test(base64_is_rfc4648),
		cmocka_unit_test(lenenc_round_trip),
		cmocka_unit_test(cursor_stays_bad),
		cmocka_unit_test(arena_aligns_and_resets),
		cmocka_unit_test(hlc_never_goes_back),
		cmocka_unit_test(stamp_order_is_total),
		cmocka_unit_test(hash_differs_by_length_and_seed),
		cmocka_unit_test(error_keeps_the_cause),
		cmocka_unit_test(log_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
