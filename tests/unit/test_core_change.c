/* tests/unit/test_core_change.c - GTID positions, dependencies, transaction bodies. */
#include "proxy/core/change.h"
#include "tests/lib/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void position_round_trip(void **state)
{
	static const char text[] = "0-1-100,7-4294967295-18446744073709551615";
	struct dia_gtid_pos pos;
	char out[128];

	(void)state;
	assert_int_equal(dia_gtid_pos_parse(dia_slice_str(text), &pos), DIA_OK);
	assert_int_equal(pos.count, 2);
	assert_true(pos.at[1].seq_no == UINT64_MAX);
	assert_int_equal(dia_gtid_pos_format(&pos, out, sizeof(out)), DIA_OK);
	assert_string_equal(out, text);
	assert_int_equal(dia_gtid_pos_format(&pos, out, 10), DIA_E_LIMIT);
	assert_int_equal(dia_gtid_pos_parse(dia_slice_str(""), &pos), DIA_OK);
	assert_int_equal(pos.count, 0);
}

static void bad_positions(void **state)
{
	static const char *const bad[] = {"1", "1-2", "1-2-", "-1-2", "1-2-3,", "1-2-3,4",
		"1--3", "a-b-c", "4294967296-1-1", "1-1-18446744073709551616",
		"1-2-3;4-5-6", "1-2-3-4"};
	struct dia_gtid_pos pos;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (dia_gtid_pos_parse(dia_slice_str(bad[i]), &pos) != DIA_E_PROTOCOL)
			fail_msg("accepted %s", bad[i]);
}

static void position_never_reads_past_its_end(void **state)
{
	static const char text[] = "0-1-100,1-2-5";

	(void)state;
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(text, n));
		struct dia_gtid_pos pos;

		(void)!dia_gtid_pos_parse(g.input, &pos);
		dia_guard_free(&g);
	}
}

static void position_covers(void **state)
{
	struct dia_gtid_pos have, need;

	(void)state;
	assert_int_equal(
		dia_gtid_pos_parse(dia_slice_str("0-1-100,5-1-3"), &have), DIA_OK);
	assert_int_equal(dia_gtid_pos_parse(dia_slice_str("0-1-100"), &need), DIA_OK);
	assert_true(dia_gtid_pos_covers(&have, &need));
	assert_false(dia_gtid_pos_covers(&need, &have));
	assert_int_equal(dia_gtid_pos_parse(dia_slice_str("0-1-101"), &need), DIA_OK);
	assert_false(dia_gtid_pos_covers(&have, &need));
}

static void too_many_domains(void **state)
{
	struct dia_gtid_pos pos = {0};

	(void)state;
	for (uint32_t i = 0; i < DIA_GTID_POS_MAX; i++)
		assert_int_equal(
			dia_gtid_pos_update(&pos, (struct dia_gtid){i, 1, 1}), DIA_OK);
	assert_int_equal(
		dia_gtid_pos_update(&pos, (struct dia_gtid){9999, 1, 1}), DIA_E_LIMIT);
	assert_int_equal(dia_gtid_pos_update(&pos, (struct dia_gtid){5, 1, 2}), DIA_OK);
}

static void deps_only_rise(void **state)
{
	struct dia_deps deps = {0};
	struct dia_dc two = {2};

	(void)state;
	assert_int_equal(dia_deps_raise(&deps, two, 5), DIA_OK);
	assert_int_equal(dia_deps_raise(&deps, two, 3), DIA_OK);
	assert_int_equal(dia_deps_get(&deps, two), 5);
	assert_int_equal(dia_deps_get(&deps, (struct dia_dc){3}), 0);
	for (uint16_t i = 10; i < 10 + DIA_DEPS_MAX - 1; i++)
		assert_int_equal(dia_deps_raise(&deps, (struct dia_dc){i}, 1), DIA_OK);
	assert_int_equal(dia_deps_raise(&deps, (struct dia_dc){60}, 1), DIA_E_LIMIT);
}

/* A body of 5 MiB in odd pieces, with and without spilling, comes out the same. */
static void body_spills_unchanged(void **state)
{
	static const size_t limits[] = {0, 4096, 1 << 20};
	uint8_t piece[977];

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct dia_txn_head head = {.origin = {1}, .seq = 7};
		struct dia_txn_builder b;
		struct dia_txn *txn = NULL;
		size_t total = 0;

		dia_txn_builder_init(&b, limits[i] == 0 ? NULL : "/tmp", limits[i]);
		while (total < (5 << 20)) {
			memset(piece, (int)(total % 251), sizeof(piece));
			assert_int_equal(
				dia_txn_builder_add(
					&b, dia_slice_of(piece, sizeof(piece)), NULL),
				DIA_OK);
			total += sizeof(piece);
		}
		assert_int_equal(dia_txn_builder_finish(&b, &head, &txn, NULL), DIA_OK);
		assert_int_equal(txn->body_len, total);
		assert_int_equal(txn->mapped > 0, limits[i] > 0);
		for (size_t at = 0; at < total; at += sizeof(piece))
			for (size_t k = 0; k < sizeof(piece); k += 488)
				assert_int_equal(txn->body[at + k], at % 251);
		dia_txn_unref(dia_txn_ref(txn));
		assert_int_equal(txn->head.seq, 7);
		dia_txn_unref(txn);
		dia_txn_builder_fini(&b);
	}
}

static void spill_failure_names_the_folder(void **state)
{
	struct dia_txn_builder b;
	struct dia_err err = {0};
	uint8_t piece[8192] = {0};

	(void)state;
	dia_txn_builder_init(&b, "/nonexistent-folder", 4096);
	assert_int_equal(
		dia_txn_builder_add(&b, dia_slice_of(piece, sizeof(piece)), &err),
		DIA_E_IO);
	assert_non_null(strstr(err.text, "/nonexistent-folder"));
	dia_txn_builder_fini(&b);
}

static void reserved_ids(void **state)
{
	(void)state;
	assert_true(dia_gtid_is_reserved(
		(struct dia_gtid){dia_reserved_id((struct dia_dc){1}), 9, 1}));
	assert_true(dia_gtid_is_reserved((struct dia_gtid){DIA_RESERVED_ID_BASE, 9, 1}));
	assert_false(
		dia_gtid_is_reserved((struct dia_gtid){0, DIA_RESERVED_ID_BASE + 1, 1}));
	assert_false(
		dia_gtid_is_reserved((struct dia_gtid){DIA_RESERVED_ID_BASE + 64, 1, 1}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(position_round_trip),
		cmocka_unit_test(bad_positions),
		cmocka_unit_test(position_never_reads_past_its_end),
		cmocka_unit_test(position_covers),
		cmocka_unit_test(too_many_domains),
		cmocka_unit_test(deps_only_rise),
		cmocka_unit_test(body_spills_unchanged),
		cmocka_unit_test(spill_failure_names_the_folder),
		cmocka_unit_test(reserved_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
