/* tests/unit/test_policies_window.c - what enters the window, what leaves it, what it
 * weighs. */
#include "policies/lww.h"
#include "policies/window.h"
#include "proxy/core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct dia_dc east = {1}, west = {2}, north = {3};

/* A policy that looks back: the window keeps everything in stamp order. */
static void no_step(struct dia_replay_row *row, const struct dia_op *op)
{
	(void)row;
	(void)op;
}
static const struct dia_policy history = {
	.name = "history", .newest_only = false, .step = no_step};

static struct dia_change change(const char *key, uint32_t index)
{
	return (struct dia_change){.kind = DIA_CHANGE_UPDATE,
		.key = dia_slice_str(key),
		.key_hash = dia_hash64(dia_slice_str(key), 0),
		.index = index};
}

static struct dia_txn_head head(struct dia_dc origin, uint64_t seq, uint64_t stamp)
{
	return (struct dia_txn_head){
		.origin = origin, .seq = seq, .stamp = {stamp}, .commit_time = 7};
}

static void add(struct dia_window *w, struct dia_dc origin, uint64_t seq, uint64_t stamp,
	const char *key)
{
	struct dia_txn_head h = head(origin, seq, stamp);
	struct dia_change c = change(key, 0);

	assert_int_equal(dia_window_add(w, &h, &c, 1), DIA_OK);
}

static const struct dia_window_op *find(const struct dia_window *w, const char *key)
{
	struct dia_change c = change(key, 0);

	return dia_window_find(w, c.key, c.key_hash);
}

static void expect_stamps(
	const struct dia_window *w, const char *key, const uint64_t *stamps, size_t count)
{
	const struct dia_window_op *op = find(w, key);

	for (size_t i = 0; i < count; i++, op = dia_window_next(op)) {
		assert_non_null(op);
		assert_int_equal(dia_window_op(op).stamp.at.v, stamps[i]);
	}
	assert_null(op);
}

static struct dia_window *window(const struct dia_policy *policy)
{
	struct dia_window *w;

	assert_int_equal(dia_window_new(policy, &w), DIA_OK);
	return w;
}

static void test_keeps_the_newest_of_each_origin(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);

	(void)state;
	add(w, east, 1, 10, "k");
	add(w, east, 2, 20, "k");
	expect_stamps(w, "k", (uint64_t[]){20}, 1);
	add(w, west, 1, 15, "k");
	expect_stamps(w, "k", (uint64_t[]){15, 20}, 2);
	add(w, west, 2, 25, "k");
	expect_stamps(w, "k", (uint64_t[]){20, 25}, 2);
	/* Seen again, and an older one: nothing changes. */
	add(w, west, 2, 25, "k");
	add(w, west, 1, 15, "k");
	expect_stamps(w, "k", (uint64_t[]){20, 25}, 2);
	assert_int_equal(dia_window_keys(w), 1);
	assert_int_equal(dia_window_changes(w), 2);
	dia_window_free(w);
}

static void test_history_in_stamp_order(void **state)
{
	struct dia_window *w = window(&history);

	(void)state;
	add(w, east, 1, 10, "k");
	add(w, east, 2, 30, "k");
	add(w, west, 1, 20, "k");
	add(w, west, 1, 20, "k");
	expect_stamps(w, "k", (uint64_t[]){10, 20, 30}, 3);
	/* Only the settled old end goes. */
	dia_window_settle(w, west, UINT64_MAX);
	expect_stamps(w, "k", (uint64_t[]){10, 20, 30}, 3);
	assert_int_equal(dia_window_oldest(w, east), 1);
	dia_window_settle(w, east, 1);
	expect_stamps(w, "k", (uint64_t[]){30}, 1);
	assert_int_equal(dia_window_oldest(w, east), 2);
	dia_window_settle(w, east, 2);
	assert_int_equal(dia_window_keys(w), 0);
	dia_window_free(w);
}

/* Two DCs: nothing of the peer can be overtaken by a third, so it enters only where a
 * local change is open. */
static void test_settled_from_the_start(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);

	(void)state;
	dia_window_settle(w, west, UINT64_MAX);
	add(w, west, 1, 5, "alone");
	assert_null(find(w, "alone"));
	add(w, east, 1, 10, "k");
	add(w, west, 2, 7, "k"); /* older than the open one: nothing needs it */
	expect_stamps(w, "k", (uint64_t[]){10}, 1);
	add(w, west, 3, 12, "k");
	expect_stamps(w, "k", (uint64_t[]){10, 12}, 2);
	dia_window_settle(w, east, 1);
	assert_null(find(w, "k"));
	assert_int_equal(dia_window_changes(w), 0);
	dia_window_free(w);
}

/* Three DCs: a settled change behind an older open one waits for it. */
static void test_settled_behind_open(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);

	(void)state;
	add(w, west, 1, 10, "k");
	add(w, north, 1, 20, "k");
	dia_window_settle(w, north, 1);
	expect_stamps(w, "k", (uint64_t[]){10, 20}, 2);
	assert_int_equal(dia_window_oldest(w, north), 0);
	dia_window_settle(w, west, 1);
	assert_null(find(w, "k"));
	dia_window_free(w);
}

static void test_one_key_several_times_in_a_transaction(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);
	struct dia_txn_head h = head(east, 1, 10);
	struct dia_change c[4] = {
		change("k", 0), change("m", 1), change("k", 2), change("k", 3)};

	(void)state;
	assert_int_equal(dia_window_add(w, &h, c, 4), DIA_OK);
	assert_int_equal(dia_window_changes(w), 2);
	assert_int_equal(dia_window_op(find(w, "k")).index, 3);
	assert_int_equal(dia_window_op(find(w, "m")).index, 1);
	/* All of it again: the later places are known. */
	assert_int_equal(dia_window_add(w, &h, c, 4), DIA_OK);
	assert_int_equal(dia_window_changes(w), 2);
	assert_int_equal(dia_window_op(find(w, "k")).index, 3);
	dia_window_free(w);
}

static void test_head_comes_back(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);
	struct dia_txn_head h = head(east, 4, 99), back;
	struct dia_change c = change("k", 0);

	(void)state;
	h.gtid = (struct dia_gtid){3, 4, 5};
	assert_int_equal(dia_deps_raise(&h.deps, west, 17), DIA_OK);
	assert_int_equal(dia_window_add(w, &h, &c, 1), DIA_OK);
	dia_window_head(find(w, "k"), &back);
	assert_int_equal(back.seq, 4);
	assert_int_equal(back.stamp.v, 99);
	assert_int_equal(back.commit_time, 7);
	assert_int_equal(back.gtid.seq_no, 5);
	assert_int_equal(back.origin.id, east.id);
	assert_int_equal(dia_deps_get(&back.deps, west), 17);
	dia_window_free(w);
}

/* 100,000 keys, one change each: found, weighed, gone. */
static void test_many_keys(void **state)
{
	enum { N = 100000 };
	struct dia_window *w = window(&dia_policy_lww);
	uint64_t empty = dia_window_bytes(w), per_key;
	char key[32];

	(void)state;
	for (unsigned i = 1; i <= N; i++) {
		(void)snprintf(key, sizeof(key), "shop/%08u", i);
		add(w, east, i, i, key);
	}
	assert_int_equal(dia_window_keys(w), N);
	per_key = (dia_window_bytes(w) - empty) / N - strlen("shop/00000000");
	print_message(
		"window: %u bytes per key beside the key itself\n", (unsigned)per_key);
	assert_true(per_key <= 150);
	for (unsigned i = 1; i <= N; i += 97) {
		(void)snprintf(key, sizeof(key), "shop/%08u", i);
		expect_stamps(w, key, (uint64_t[]){i}, 1);
	}
	/* Every second one is found exactly while it is open. */
	dia_window_settle(w, east, N / 2);
	assert_int_equal(dia_window_keys(w), N / 2);
	for (unsigned i = 1; i <= N; i += 31) {
		(void)snprintf(key, sizeof(key), "shop/%08u", i);
		assert_int_equal(find(w, key) != NULL, i > N / 2);
	}
	dia_window_settle(w, east, N);
	assert_int_equal(dia_window_keys(w), 0);
	assert_int_equal(dia_window_changes(w), 0);
	/* The table has shrunk, all else is free (one dependency record stays at hand).
	 */
	assert_true(dia_window_bytes(w) <= empty + 4096 * sizeof(void *));
	dia_window_free(w);
}

/* A hot key during a long cut costs no more than one change. */
static void test_hot_key_stays_small(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);
	uint64_t before;

	(void)state;
	add(w, east, 1, 1, "hot");
	before = dia_window_bytes(w);
	for (uint64_t i = 2; i < 10000; i++)
		add(w, east, i, i, "hot");
	assert_int_equal(dia_window_bytes(w), before);
	assert_int_equal(dia_window_oldest(w, east), 9999);
	dia_window_free(w);
}

/* A large transaction is let go of in blocks, not only with its last key. */
static void test_large_transaction(void **state)
{
	enum { N = 5000 };
	struct dia_window *w = window(&dia_policy_lww);
	struct dia_change *c = calloc(N, sizeof(*c));
	char(*keys)[16] = calloc(N, sizeof(*keys));
	struct dia_txn_head h = head(east, 1, 1);
	uint64_t full;

	(void)state;
	assert_non_null(c);
	assert_non_null(keys);
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		c[i] = change(keys[i], i);
	}
	assert_int_equal(dia_window_add(w, &h, c, N), DIA_OK);
	assert_int_equal(dia_window_keys(w), N);
	full = dia_window_bytes(w);
	/* A second one takes all keys over but the last. */
	h = head(east, 2, 2);
	assert_int_equal(dia_window_add(w, &h, c, N - 1), DIA_OK);
	assert_true(dia_window_bytes(w) < full + full / 4);
	dia_window_settle(w, east, 1);
	assert_int_equal(dia_window_keys(w), N - 1);
	dia_window_settle(w, east, 2);
	assert_int_equal(dia_window_keys(w), 0);
	free(c);
	free(keys);
	dia_window_free(w);
}

/* Random adds and settles against a plain list. */
static void test_against_a_list(void **state)
{
	enum { N = 4000, KEYS = 50 };
	struct dia_window *w = window(&dia_policy_lww);
	uint64_t newest[KEYS] = {0}, settled = 0, random = 1;
	char key[16];

	(void)state;
	for (uint64_t seq = 1; seq <= N; seq++) {
		unsigned k = (unsigned)((random >> 33) % KEYS), open = 0;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		(void)snprintf(key, sizeof(key), "%u", k);
		add(w, east, seq, seq * 3, key);
		newest[k] = seq;
		if ((random >> 60) == 0) {
			settled += (seq - settled) / 2;
			dia_window_settle(w, east, settled);
		}
		for (k = 0; k < KEYS; k++) {
			(void)snprintf(key, sizeof(key), "%u", k);
			assert_int_equal(find(w, key) != NULL, newest[k] > settled);
			open += newest[k] > settled;
		}
		assert_int_equal(dia_window_keys(w), open);
		assert_int_equal(dia_window_changes(w), open);
	}
	dia_window_free(w);
}

static void test_empty_key(void **state)
{
	struct dia_window *w = window(&dia_policy_lww);

	(void)state;
	add(w, east, 1, 1, "");
	expect_stamps(w, "", (uint64_t[]){1}, 1);
	dia_window_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_the_newest_of_each_origin),
		cmocka_unit_test(test_history_in_stamp_order),
		cmocka_unit_test(test_settled_from_the_start),
		cmocka_unit_test(test_settled_behind_open),
		cmocka_unit_test(test_one_key_several_times_in_a_transaction),
		cmocka_unit_test(test_head_comes_back),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_hot_key_stays_small),
		cmocka_unit_test(test_large_transaction),
		cmocka_unit_test(test_against_a_list),
		cmocka_unit_test(test_empty_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
