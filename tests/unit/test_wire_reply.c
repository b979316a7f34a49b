/*
 * tests/unit/test_wire_reply.c - replies of ours: framing around 16 MiB, and that the
 * response machine reads what we build, under every set of capabilities.
 */
#include "parser/wire/reply.h"
#include "parser/wire/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_framing(void **state)
{
	static const size_t lengths[] = {0, 1, 0xfffffa, 0xfffffb, 0xfffffc, 0xfffffd,
		0xfffffe, 0xffffff, 0x1000000, 2 * 0xffffffUL - 1, 2 * 0xffffffUL,
		2 * 0xffffffUL + 1};
	uint8_t *payload = calloc(1, 2 * 0xffffffUL + 1);

	(void)state;
	assert_non_null(payload);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct dia_buf out = {0};
		size_t packets = lengths[i] / DIA_PACKET_MAX + 1, at = 0;
		uint8_t seq = 254;

		assert_int_equal(
			dia_packet_add(&out, &seq, dia_slice_of(payload, lengths[i])),
			DIA_OK);
		assert_int_equal(seq, (uint8_t)(254 + packets));
		assert_int_equal(out.len, lengths[i] + packets * DIA_PACKET_HEADER);
		for (size_t p = 0; p < packets; p++) {
			size_t want = p + 1 < packets ? DIA_PACKET_MAX
						      : lengths[i] % DIA_PACKET_MAX;

			assert_int_equal(dia_le24(out.data + at), want);
			assert_int_equal(out.data[at + 3], (uint8_t)(254 + p));
			at += DIA_PACKET_HEADER + want;
		}
		assert_int_equal(at, out.len);
		dia_buf_fini(&out);
	}
	free(payload);
}

static const uint64_t caps_sets[] = {DIA_CAP_PROTOCOL_41,
	DIA_CAP_PROTOCOL_41 | DIA_CAP_DEPRECATE_EOF,
	DIA_CAP_PROTOCOL_41 | DIA_CAP_MARIA_CACHE_META | DIA_CAP_MARIA_EXT_META,
	DIA_CAP_PROTOCOL_41 | DIA_CAP_DEPRECATE_EOF | DIA_CAP_MARIA_CACHE_META |
		DIA_CAP_MARIA_EXT_META};

static void test_result_set(void **state)
{
	struct dia_slice names[3] = {
		dia_slice_str("a"), dia_slice_str("bb"), dia_slice_str("ccc")};
	struct dia_slice values[3] = {
		dia_slice_str("one"), dia_slice_of(NULL, 0), dia_slice_str("")};

	(void)state;
	for (size_t i = 0; i < sizeof(caps_sets) / sizeof(caps_sets[0]); i++) {
		struct dia_buf out = {0};
		struct dia_response r;
		enum dia_response_event event;
		uint8_t seq = 1;

		dia_reply_columns(&out, &seq, caps_sets[i], 2, names, 3);
		dia_reply_row(&out, &seq, values, 3);
		assert_int_equal(dia_reply_end(&out, &seq, caps_sets[i], 3), DIA_OK);
		dia_response_init(&r, caps_sets[i]);
		dia_response_start(&r, DIA_REPLY_RESULT);
		assert_int_equal(
			dia_response_feed(&r, dia_buf_slice(&out), &event), out.len);
		assert_int_equal(event, DIA_RESPONSE_DONE);
		assert_int_equal(r.status, 3);
		assert_int_equal(r.seq + 1, seq);
		dia_buf_fini(&out);
	}
}

static void test_errors(void **state)
{
	struct dia_buf out = {0};
	uint8_t seq = 3;

	(void)state;
	assert_int_equal(
		dia_reply_err(&out, &seq, DIA_CAP_PROTOCOL_41, 1227, "42000", "no"),
		DIA_OK);
	assert_memory_equal(out.data, "\013\0\0\003\377\313\004#42000no", 15);
	assert_int_equal(out.len, 15);
	assert_int_equal(seq, 4);
	dia_buf_reset(&out);
	/* before the capabilities are known: no SQLSTATE */
	seq = 0;
	assert_int_equal(dia_reply_err(&out, &seq, 0, 1040, "08004", "full"), DIA_OK);
	assert_memory_equal(out.data, "\007\0\0\0\377\020\004full", 11);
	dia_buf_reset(&out);
	seq = 1;
	assert_int_equal(dia_reply_ok(&out, &seq, 2), DIA_OK);
	assert_memory_equal(out.data, "\007\0\0\001\0\0\0\002\0\0\0", 11);
	dia_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_result_set),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
