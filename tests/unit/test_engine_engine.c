/* tests/unit/test_engine_engine.c - stamps, marks, keys in flight, settling. */
#include "proxy/core/hash.h"
#include "proxy/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct dia_dc east = {1}, west = {2}, north = {3};

static struct dia_change change(enum dia_change_kind kind, const char *key)
{
	return (struct dia_change){.kind = kind,
		.key = dia_slice_str(key),
		.key_hash = dia_hash64(dia_slice_str(key), 0)};
}

static struct dia_engine *engine(uint32_t peers)
{
	struct dia_engine_config c = {
		.self = east, .peer_count = peers, .peers = {west, north}};
	struct dia_engine *e;

	assert_int_equal(dia_engine_new(&c, &e), DIA_OK);
	return e;
}

static struct dia_txn_head local(
	struct dia_engine *e, uint64_t seq, const char *key, uint64_t wall_ms)
{
	struct dia_txn_head h = {.origin = east, .seq = seq};
	struct dia_change c = change(DIA_CHANGE_UPDATE, key);

	assert_int_equal(dia_engine_local(e, &h, &c, 1, wall_ms), DIA_OK);
	return h;
}

static struct dia_txn_head remote(
	struct dia_dc origin, uint64_t seq, struct dia_hlc stamp, uint64_t knew_east)
{
	struct dia_txn_head h = {.origin = origin, .seq = seq, .stamp = stamp};

	if (knew_east > 0)
		assert_int_equal(dia_deps_raise(&h.deps, east, knew_east), DIA_OK);
	return h;
}

static struct dia_decision decide(
	struct dia_engine *e, const struct dia_txn_head *h, const char *key)
{
	struct dia_change c = change(DIA_CHANGE_UPDATE, key);
	struct dia_decision d;

	dia_engine_decide(e, h, &c, &d);
	return d;
}

static void apply(struct dia_engine *e, const struct dia_txn_head *h, const char *key)
{
	struct dia_change c = change(DIA_CHANGE_UPDATE, key);

	assert_int_equal(dia_engine_applied(e, h, &c, 1), DIA_OK);
}

static void test_stamps_rise(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head a = local(e, 1, "a", 100), b = local(e, 2, "a", 100),
			    c = local(e, 3, "a", 50), d = local(e, 4, "a", 200);

	(void)state;
	assert_int_equal(a.stamp.v, dia_hlc_from_ms(100).v);
	assert_int_equal(b.stamp.v, a.stamp.v + 1);
	assert_int_equal(c.stamp.v, b.stamp.v + 1); /* the clock went back */
	assert_int_equal(d.stamp.v, dia_hlc_from_ms(200).v);
	assert_int_equal(dia_engine_local(e, &d, NULL, 0, 300), DIA_E_STATE);
	dia_engine_free(e);
}

static void test_mark_merges_clock_and_becomes_dependency(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head before = local(e, 1, "a", 100), after;
	struct dia_txn_head mark;

	(void)state;
	assert_int_equal(dia_engine_mark(e, west, 7, dia_hlc_from_ms(5000)), DIA_OK);
	after = local(e, 2, "a", 101);
	assert_int_equal(before.deps.count, 0);
	assert_int_equal(dia_deps_get(&after.deps, west), 7);
	assert_int_equal(after.stamp.v, dia_hlc_from_ms(5000).v + 1);
	dia_engine_watermark(e, &mark);
	assert_int_equal(mark.seq, 2);
	assert_int_equal(mark.stamp.v, after.stamp.v);
	assert_int_equal(dia_deps_get(&mark.deps, west), 7);
	assert_true(mark.flags == DIA_TXN_WATERMARK);
	dia_engine_free(e);
}

static void test_a_journaled_stamp_is_taken_as_it_is(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head h = {.origin = east, .seq = 1, .stamp = {77}};

	(void)state;
	assert_int_equal(dia_deps_raise(&h.deps, west, 3), DIA_OK);
	assert_int_equal(dia_engine_local(e, &h, NULL, 0, 999999), DIA_OK);
	assert_int_equal(h.stamp.v, 77);
	assert_int_equal(dia_deps_get(&h.deps, west), 3);
	assert_int_equal(local(e, 2, "a", 0).stamp.v, 78);
	dia_engine_free(e);
}

/* The remote delete of a row that is missing here locks nothing: only the registration
 * keeps a local insert from being stamped below it. */
static void test_keys_in_flight(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(900), 0), other, same;
	struct dia_change c = change(DIA_CHANGE_DELETE, "k");

	(void)state;
	assert_int_equal(dia_engine_register(e, &r, &c, 1), DIA_OK);
	assert_int_equal(dia_engine_register(e, &r, &c, 1), DIA_OK);
	other = local(e, 1, "other", 100);
	same = local(e, 2, "k", 101);
	assert_int_equal(other.stamp.v, dia_hlc_from_ms(100).v);
	assert_int_equal(same.stamp.v, r.stamp.v + 1);
	assert_int_equal(decide(e, &r, "k").verdict, DIA_KEEP_LOCAL);
	assert_true(decide(e, &r, "k").conflict);
	assert_int_equal(dia_engine_applied(e, &r, &c, 1), DIA_OK);
	assert_int_equal(dia_engine_mark(e, west, 1, r.stamp), DIA_OK);
	struct dia_engine_stats s;

	dia_engine_stats(e, &s);
	assert_int_equal(s.inflight_keys, 0);
	dia_engine_free(e);
}

static void test_keys_in_flight_are_released_by_mark_and_applied(void **state)
{
	struct dia_engine_stats s;

	(void)state;
	for (int order = 0; order < 2; order++) {
		struct dia_engine *e = engine(1);
		struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(900), 0);
		struct dia_change c = change(DIA_CHANGE_UPDATE, "k");

		assert_int_equal(dia_engine_register(e, &r, &c, 1), DIA_OK);
		for (int step = 0; step < 2; step++) {
			dia_engine_stats(e, &s);
			assert_int_equal(s.inflight_keys, 1);
			if (step == order)
				apply(e, &r, "k");
			else
				assert_int_equal(
					dia_engine_mark(e, west, 1, r.stamp), DIA_OK);
		}
		dia_engine_stats(e, &s);
		assert_int_equal(s.inflight_keys, 0);
		dia_engine_free(e);
	}
}

static void test_generation_moves_with_local_changes(void **state)
{
	struct dia_engine *e = engine(1);
	uint64_t g = dia_engine_generation(e);
	struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(1), 0);

	(void)state;
	(void)local(e, 1, "k", 100);
	assert_true(dia_engine_generation(e) > g);
	g = dia_engine_generation(e);
	apply(e, &r, "k");
	assert_int_equal(dia_engine_generation(e), g); /* two DCs: nobody else asks */
	dia_engine_free(e);
}

/* A local change stays until the peer has said that it knew it. */
static void test_settling(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_engine_stats s;
	struct dia_txn_head r1 = remote(west, 1, dia_hlc_from_ms(500), 1),
			    r2 = remote(west, 2, dia_hlc_from_ms(501), 0);
	struct dia_txn_head mark = remote(west, 2, dia_hlc_from_ms(502), 2);

	(void)state;
	(void)local(e, 1, "a", 100);
	(void)local(e, 2, "b", 101);
	dia_engine_stats(e, &s);
	assert_int_equal(s.oldest_unsettled_seq, 1);
	apply(e, &r1, "x");
	dia_engine_stats(e, &s);
	assert_int_equal(s.window_keys, 1);
	assert_int_equal(s.oldest_unsettled_seq, 2);
	assert_int_equal(dia_deps_get(&s.settled, east), 1);
	assert_false(decide(e, &r2, "a").conflict);
	assert_true(decide(e, &r2, "b").conflict);
	apply(e, &r2, "x");
	dia_engine_stats(e, &s);
	assert_int_equal(s.window_keys, 1);
	mark.flags = DIA_TXN_WATERMARK;
	assert_int_equal(dia_engine_applied(e, &mark, NULL, 0), DIA_OK);
	dia_engine_stats(e, &s);
	assert_int_equal(s.window_keys, 0);
	assert_int_equal(s.oldest_unsettled_seq, 0);
	dia_engine_free(e);
}

/* The peer has just restarted and its watermark knows less than one before: no harm. */
static void test_heard_never_goes_back(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_engine_stats s;
	struct dia_txn_head more = remote(west, 0, dia_hlc_from_ms(1), 2),
			    less = remote(west, 0, dia_hlc_from_ms(1), 1);

	(void)state;
	more.flags = less.flags = DIA_TXN_WATERMARK;
	assert_int_equal(dia_engine_applied(e, &more, NULL, 0), DIA_OK);
	assert_int_equal(dia_engine_applied(e, &less, NULL, 0), DIA_OK);
	/* Re-read after our own restart: settled on arrival. */
	(void)local(e, 1, "a", 1);
	(void)local(e, 2, "b", 2);
	(void)local(e, 3, "c", 3);
	dia_engine_stats(e, &s);
	assert_int_equal(s.window_keys, 1);
	assert_int_equal(s.oldest_unsettled_seq, 3);
	dia_engine_free(e);
}

static void test_decision_names_the_rival(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(500), 0);
	struct dia_decision d;

	(void)state;
	(void)local(e, 1, "k", 100);
	d = decide(e, &r, "k");
	assert_int_equal(d.verdict, DIA_UPSERT);
	assert_true(d.conflict);
	assert_non_null(d.rival);
	assert_int_equal(d.rival->seq, 1);
	assert_int_equal(d.rival->stamp.v, dia_hlc_from_ms(100).v);
	assert_int_equal(d.rival_kind, DIA_CHANGE_UPDATE);
	assert_null(decide(e, &r, "free").rival);
	dia_engine_free(e);
}

/* After a crash a local change that was let through beside a remote one in flight comes
 * out above it again: the committed marks' stamps are in config.last. */
static void test_restart_continues_above_the_marks(void **state)
{
	struct dia_engine_config c = {.self = east,
		.peer_count = 1,
		.peers = {west},
		.last = dia_hlc_from_ms(900),
		.local_seq = 4};
	struct dia_engine *e;

	(void)state;
	assert_int_equal(dia_engine_new(&c, &e), DIA_OK);
	assert_int_equal(local(e, 5, "k", 100).stamp.v, dia_hlc_from_ms(900).v + 1);
	dia_engine_free(e);
}

static void test_third_dc_is_waited_for(void **state)
{
	struct dia_engine *e = engine(2);
	struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(10), 0),
			    n = remote(north, 1, dia_hlc_from_ms(5), 0);

	(void)state;
	assert_int_equal(dia_deps_raise(&r.deps, north, 1), DIA_OK);
	assert_false(dia_engine_ready(e, &r));
	apply(e, &n, "k");
	assert_true(dia_engine_ready(e, &r));
	dia_engine_free(e);
}

/* Three DCs: north's change is open until west has said it knew it; an older one of
 * west's loses against it. */
static void test_third_dc_in_the_window(void **state)
{
	struct dia_engine *e = engine(2);
	struct dia_engine_stats s;
	struct dia_txn_head n = remote(north, 1, dia_hlc_from_ms(50), 0),
			    older = remote(west, 1, dia_hlc_from_ms(40), 0),
			    knew = remote(west, 2, dia_hlc_from_ms(60), 0);

	(void)state;
	apply(e, &n, "k");
	assert_int_equal(decide(e, &older, "k").verdict, DIA_KEEP_LOCAL);
	assert_false(decide(e, &older, "k").conflict);
	apply(e, &older, "k");
	assert_int_equal(dia_deps_raise(&knew.deps, north, 1), DIA_OK);
	assert_int_equal(decide(e, &knew, "k").verdict, DIA_APPLY);
	apply(e, &knew, "k");
	dia_engine_stats(e, &s);
	assert_int_equal(dia_deps_get(&s.settled, north), 1);
	dia_engine_free(e);
}

/* Three DCs after a restart: nothing moves before the window is whole again. */
static void test_replay_gate(void **state)
{
	struct dia_engine_config c = {
		.self = east, .peer_count = 2, .peers = {west, north}};
	struct dia_engine *e;
	struct dia_txn_head r = remote(west, 1, dia_hlc_from_ms(10), 0),
			    n = remote(north, 1, dia_hlc_from_ms(5), 0);

	(void)state;
	assert_int_equal(dia_deps_raise(&c.committed, north, 1), DIA_OK);
	assert_int_equal(dia_engine_new(&c, &e), DIA_OK);
	/* The mark in the binlog is not enough: the changes are missing. */
	assert_int_equal(dia_engine_mark(e, north, 1, n.stamp), DIA_OK);
	assert_false(dia_engine_ready(e, &r));
	apply(e, &n, "k");
	assert_true(dia_engine_ready(e, &r));
	dia_engine_free(e);
}

static void test_lost_tail(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_txn_head fine = remote(west, 1, dia_hlc_from_ms(10), 2),
			    beyond = remote(west, 2, dia_hlc_from_ms(11), 3);

	(void)state;
	assert_int_equal(dia_engine_check_tail(e, &beyond), DIA_OK); /* cannot tell */
	(void)local(e, 1, "a", 1);
	(void)local(e, 2, "a", 1);
	assert_int_equal(dia_engine_check_tail(e, &fine), DIA_OK);
	assert_int_equal(dia_engine_check_tail(e, &beyond), DIA_E_LOST_TAIL);
	dia_engine_free(e);
}

static void test_refuses_what_cannot_be(void **state)
{
	struct dia_engine_config c = {.self = {0}};
	struct dia_engine *e;
	struct dia_txn_head r = remote(north, 1, dia_hlc_from_ms(1), 0);

	(void)state;
	assert_int_equal(dia_engine_new(&c, &e), DIA_E_CONFIG);
	c = (struct dia_engine_config){.self = east, .peer_count = 1, .peers = {east}};
	assert_int_equal(dia_engine_new(&c, &e), DIA_E_CONFIG);
	c.peers[0] = (struct dia_dc){64};
	assert_int_equal(dia_engine_new(&c, &e), DIA_E_CONFIG);
	e = engine(1);
	assert_int_equal(dia_engine_register(e, &r, NULL, 0), DIA_E_STATE);
	assert_int_equal(dia_engine_applied(e, &r, NULL, 0), DIA_E_STATE);
	r = remote(west, 1, dia_hlc_from_ms(1), 0);
	apply(e, &r, "k");
	assert_int_equal(dia_engine_applied(e, &r, NULL, 0), DIA_E_STATE); /* twice */
	dia_engine_free(e);
}

static void test_position(void **state)
{
	struct dia_engine *e = engine(1);
	struct dia_gtid_pos need = {.count = 1, .at = {{0, 1, 5}}};

	(void)state;
	assert_false(dia_gtid_pos_covers(dia_engine_position(e), &need));
	assert_int_equal(dia_engine_captured(e, (struct dia_gtid){0, 1, 4}), DIA_OK);
	assert_false(dia_gtid_pos_covers(dia_engine_position(e), &need));
	assert_int_equal(dia_engine_captured(e, (struct dia_gtid){0, 1, 5}), DIA_OK);
	assert_true(dia_gtid_pos_covers(dia_engine_position(e), &need));
	dia_engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stamps_rise),
		cmocka_unit_test(test_mark_merges_clock_and_becomes_dependency),
		cmocka_unit_test(test_a_journaled_stamp_is_taken_as_it_is),
		cmocka_unit_test(test_keys_in_flight),
		cmocka_unit_test(test_keys_in_flight_are_released_by_mark_and_applied),
		cmocka_unit_test(test_generation_moves_with_local_changes),
		cmocka_unit_test(test_settling),
		cmocka_unit_test(test_heard_never_goes_back),
		cmocka_unit_test(test_decision_names_the_rival),
		cmocka_unit_test(test_restart_continues_above_the_marks),
		cmocka_unit_test(test_third_dc_is_waited_for),
		cmocka_unit_test(test_third_dc_in_the_window),
		cmocka_unit_test(test_replay_gate),
		cmocka_unit_test(test_lost_tail),
		cmocka_unit_test(test_refuses_what_cannot_be),
		cmocka_unit_test(test_position),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
