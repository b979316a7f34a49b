/*
 * tests/unit/test_policies_nomem.c - the window when memory runs out at every single
 * allocation: an error, nothing lost, and the same call succeeds later.
 *
 * The window is compiled in here with its own allocator; the linker then has no need of
 * the library's copy.
 */
#include <stdlib.h>

static int allocations_left;

static void *test_malloc(size_t n)
{
	return allocations_left-- > 0 ? malloc(n) : NULL;
}

static void *test_calloc(size_t n, size_t size)
{
	return allocations_left-- > 0 ? calloc(n, size) : NULL;
}

#define malloc test_malloc
#define calloc test_calloc
#include "policies/window.c"
#undef malloc
#undef calloc

#include "policies/lww.h"
#include "proxy/core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { N = 600 }; /* several blocks, several sizes of the table */

static char keys[N][8];
static struct dia_change changes[N];

static void make_changes(void)
{
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "%u", i);
		changes[i] = (struct dia_change){.kind = DIA_CHANGE_UPDATE,
			.key = dia_slice_str(keys[i]),
			.key_hash = dia_hash64(dia_slice_str(keys[i]), 0),
			.index = i};
	}
}

static void expect_all(const struct dia_window *w, uint64_t seq)
{
	assert_int_equal(dia_window_keys(w), N);
	assert_int_equal(dia_window_changes(w), N);
	for (uint32_t i = 0; i < N; i++) {
		const struct dia_window_op *op =
			dia_window_find(w, changes[i].key, changes[i].key_hash);

		assert_non_null(op);
		assert_int_equal(dia_window_op(op).seq, seq);
		assert_int_equal(dia_window_op(op).index, i);
	}
}

static void test_every_allocation_of_new(void **state)
{
	struct dia_window *w;

	(void)state;
	for (int n = 0; n < 2; n++) {
		allocations_left = n;
		assert_int_equal(dia_window_new(&dia_policy_lww, &w), DIA_E_NOMEM);
	}
}

static void test_every_allocation_of_add(void **state)
{
	int failures = 0;

	(void)state;
	make_changes();
	for (int n = 0;; n++) {
		struct dia_txn_head first = {.origin = {1}, .seq = 1, .stamp = {1}};
		struct dia_txn_head second = {.origin = {1}, .seq = 2, .stamp = {2}};
		struct dia_window *w;
		uint64_t full;
		enum dia_rc rc;

		allocations_left = 1000000;
		assert_int_equal(dia_window_new(&dia_policy_lww, &w), DIA_OK);
		allocations_left = n;
		rc = dia_window_add(w, &first, changes, N);
		allocations_left = 1000000;
		if (rc != DIA_OK) {
			assert_int_equal(rc, DIA_E_NOMEM);
			failures++;
			assert_int_equal(dia_window_add(w, &first, changes, N), DIA_OK);
		}
		expect_all(w, 1);
		full = dia_window_bytes(w);
		assert_int_equal(dia_window_add(w, &second, changes, N), DIA_OK);
		expect_all(w, 2);
		/* One generation replaced the other, byte for byte. */
		if (rc == DIA_OK)
			assert_int_equal(dia_window_bytes(w), full);
		dia_window_settle(w, (struct dia_dc){1}, 2);
		assert_int_equal(dia_window_keys(w), 0);
		assert_int_equal(dia_window_changes(w), 0);
		dia_window_free(w);
		if (rc == DIA_OK)
			break;
	}
	assert_true(failures > N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_of_new),
		cmocka_unit_test(test_every_allocation_of_add),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
