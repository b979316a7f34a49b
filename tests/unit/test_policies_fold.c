/*
 * tests/unit/test_policies_fold.c - the verdict over all small sets of stamps, with the
 * roles of the two DCs swapped: both must end with the same row.
 */
#include "policies/fold.h"
#include "policies/lww.h"
#include "proxy/core/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct dia_dc east = {1}, west = {2}, north = {3};

static struct dia_change change_of_k(uint32_t index)
{
	return (struct dia_change){.kind = DIA_CHANGE_UPDATE,
		.key = dia_slice_str("k"),
		.key_hash = dia_hash64(dia_slice_str("k"), 0),
		.index = index};
}

static struct dia_txn_head head(struct dia_dc origin, uint64_t seq, uint64_t stamp,
	struct dia_dc knew, uint64_t upto)
{
	struct dia_txn_head h = {.origin = origin, .seq = seq, .stamp = {stamp}};

	if (upto > 0)
		assert_int_equal(dia_deps_raise(&h.deps, knew, upto), DIA_OK);
	return h;
}

static void add(struct dia_window *w, const struct dia_txn_head *h, uint32_t index)
{
	struct dia_change c = change_of_k(index);

	assert_int_equal(dia_window_add(w, h, &c, 1), DIA_OK);
}

static struct dia_fold fold(const struct dia_window *w, const struct dia_window *inflight,
	struct dia_dc self, const struct dia_txn_head *h, uint32_t index)
{
	struct dia_change c = change_of_k(index);
	struct dia_fold f;

	dia_fold(&dia_policy_lww, w, inflight, self, h, &c, &f);
	return f;
}

static struct dia_window *window(void)
{
	struct dia_window *w;

	assert_int_equal(dia_window_new(&dia_policy_lww, &w), DIA_OK);
	return w;
}

/*
 * One DC's row after its own changes and then the other's, as the applier would make it:
 * the value is origin * 16 + seq of the change that stands.
 */
static unsigned row_at(struct dia_dc self, const struct dia_txn_head *own,
	size_t own_count, const struct dia_txn_head *other, size_t other_count,
	unsigned *conflicts)
{
	struct dia_window *w = window();
	unsigned row = 0;

	/* Two DCs: what the peer sends is settled from the start. */
	dia_window_settle(w, other[0].origin, UINT64_MAX);
	for (size_t i = 0; i < own_count; i++) {
		add(w, &own[i], 0);
		row = (unsigned)(own[i].origin.id * 16 + own[i].seq);
	}
	for (size_t i = 0; i < other_count; i++) {
		struct dia_fold f = fold(w, NULL, self, &other[i], 0);

		*conflicts += f.rival != NULL;
		if (f.verdict != DIA_KEEP_LOCAL)
			row = (unsigned)(other[i].origin.id * 16 + other[i].seq);
		add(w, &other[i], 0);
	}
	dia_window_free(w);
	return row;
}

/* Two changes in each DC, none known to the other, every order of stamps with ties across
 * the DCs. */
static void test_all_small_stamps_both_ways(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (uint64_t e1 = 1; e1 <= 5; e1++)
		for (uint64_t e2 = e1 + 1; e2 <= 6; e2++)
			for (uint64_t w1 = 1; w1 <= 5; w1++)
				for (uint64_t w2 = w1 + 1; w2 <= 6; w2++) {
					struct dia_txn_head e[2] = {
						head(east, 1, e1, west, 0),
						head(east, 2, e2, west, 0)};
					struct dia_txn_head w[2] = {
						head(west, 1, w1, east, 0),
						head(west, 2, w2, east, 0)};
					unsigned ec = 0, wc = 0;
					unsigned at_east = row_at(east, e, 2, w, 2, &ec);
					unsigned at_west = row_at(west, w, 2, e, 2, &wc);

					assert_int_equal(at_east, at_west);
					assert_int_equal(
						at_east, w2 >= e2 ? 16 * 2 + 2 : 16 + 2);
					assert_int_equal(ec, 2);
					assert_int_equal(wc, 2);
					tried++;
				}
	assert_int_equal(tried, 15 * 15);
}

static void test_nothing_there(void **state)
{
	struct dia_window *w = window();
	struct dia_txn_head h = head(west, 1, 5, east, 0);
	struct dia_fold f = fold(w, NULL, east, &h, 0);

	(void)state;
	assert_int_equal(f.verdict, DIA_APPLY);
	assert_null(f.rival);
	dia_window_free(w);
}

/* Made where ours was known: sequential, not a conflict, and a plain write. */
static void test_known_is_no_conflict(void **state)
{
	struct dia_window *w = window();
	struct dia_txn_head ours = head(east, 3, 10, west, 0);
	struct dia_txn_head knew = head(west, 1, 11, east, 3),
			    not_quite = head(west, 1, 11, east, 2);
	struct dia_fold f;

	(void)state;
	add(w, &ours, 0);
	f = fold(w, NULL, east, &knew, 0);
	assert_int_equal(f.verdict, DIA_APPLY);
	assert_null(f.rival);
	f = fold(w, NULL, east, &not_quite, 0);
	assert_int_equal(f.verdict, DIA_UPSERT);
	assert_non_null(f.rival);
	dia_window_free(w);
}

/* A transaction that deletes and inserts the same key: each place on its own. */
static void test_same_key_twice_in_one_transaction(void **state)
{
	struct dia_window *w = window();
	struct dia_txn_head ours = head(east, 1, 10, west, 0);
	struct dia_txn_head later = head(west, 1, 11, east, 0),
			    earlier = head(west, 1, 9, east, 0);

	(void)state;
	add(w, &ours, 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(fold(w, NULL, east, &later, i).verdict, DIA_UPSERT);
		assert_int_equal(
			fold(w, NULL, east, &earlier, i).verdict, DIA_KEEP_LOCAL);
	}
	dia_window_free(w);
}

/* Two transactions of one batch: the first loses, the second wins, in any order. */
static void test_two_of_one_batch(void **state)
{
	struct dia_window *w = window();
	struct dia_txn_head ours = head(east, 1, 10, west, 0);
	struct dia_txn_head first = head(west, 1, 9, east, 0),
			    second = head(west, 2, 12, east, 0);

	(void)state;
	add(w, &ours, 0);
	assert_int_equal(fold(w, NULL, east, &first, 0).verdict, DIA_KEEP_LOCAL);
	assert_int_equal(fold(w, NULL, east, &second, 0).verdict, DIA_UPSERT);
	dia_window_free(w);
}

/* Three DCs: what another applier has in flight counts as if it were here already, and
 * one's own does not count against oneself. */
static void test_in_flight_of_another_origin(void **state)
{
	struct dia_window *w = window(), *inflight = window();
	struct dia_txn_head theirs = head(north, 1, 10, east, 0);
	struct dia_txn_head below = head(west, 1, 9, east, 0),
			    above = head(west, 1, 11, east, 0),
			    own_later = head(west, 2, 20, east, 0);
	struct dia_fold f;

	(void)state;
	add(inflight, &theirs, 0);
	add(inflight, &own_later, 0);
	f = fold(w, inflight, east, &below, 0);
	assert_int_equal(f.verdict, DIA_KEEP_LOCAL);
	assert_null(f.rival); /* nothing of this DC */
	assert_int_equal(fold(w, inflight, east, &above, 0).verdict, DIA_UPSERT);
	dia_window_free(w);
	dia_window_free(inflight);
}

/* The newest concurrent one is named. */
static void test_rival_is_the_newest_local(void **state)
{
	struct dia_window *w = window();
	struct dia_txn_head ours = head(east, 5, 10, west, 0),
			    theirs = head(north, 1, 12, east, 0);
	struct dia_txn_head remote = head(west, 1, 11, east, 4), rival;
	struct dia_fold f;

	(void)state;
	add(w, &ours, 0);
	add(w, &theirs, 0);
	f = fold(w, NULL, east, &remote, 0);
	assert_int_equal(f.verdict, DIA_KEEP_LOCAL);
	assert_non_null(f.rival);
	dia_window_head(f.rival, &rival);
	assert_int_equal(rival.origin.id, east.id);
	assert_int_equal(rival.seq, 5);
	dia_window_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_small_stamps_both_ways),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_known_is_no_conflict),
		cmocka_unit_test(test_same_key_twice_in_one_transaction),
		cmocka_unit_test(test_two_of_one_batch),
		cmocka_unit_test(test_in_flight_of_another_origin),
		cmocka_unit_test(test_rival_is_the_newest_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
