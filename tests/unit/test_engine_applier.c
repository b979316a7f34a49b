/*
 * tests/unit/test_engine_applier.c - the applier's machine against a scripted database:
 * which calls it makes, in which order, after which error.
 */
#include "proxy/core/hash.h"
#include "proxy/engine/applier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <time.h>
#include <cmocka.h>

static const struct dia_dc east = {1}, west = {2};

enum op { PARSE = 0, BEGIN, WRITE, POSITION, COMMIT, ROLLBACK, DDL, RECONNECT, OPS };
static const char letters[OPS + 1] = "pbwqcrdR";

struct fake {
	char calls[256]; /* a letter per call; parse only when it fails */
	enum dia_rc next[OPS];
	int after[OPS];       /* successful calls before that */
	int repeat[OPS];      /* how often `next` is returned, 0: DIA_OK */
	uint64_t applied_seq; /* what reconnect reports */
	struct dia_gtid_pos position;
	size_t written_txns, parsed;
	struct dia_applier *ahead; /* told to parse ahead by each write */
	size_t parsed_ahead;
	struct dia_apply_batch *batch;
	struct dia_decision first;
	uint64_t first_rival;
	bool commit_happens; /* although it reports an error */
	int locked;
	/* A row outside the batch that write meets, and what the engine says of it then.
	 */
	const char *meets;
	const struct dia_engine *engine;
	struct dia_apply_watch watch;
};

struct rig {
	struct dia_engine *engine;
	struct dia_applier *a;
	struct fake db;
	uint64_t now_ms;
};

static enum dia_rc call(struct fake *f, enum op op, struct dia_err *reterr)
{
	size_t n = strlen(f->calls);

	/* Database calls block: never under the engine's lock. */
	assert_int_equal(f->locked, 0);
	if (n + 1 < sizeof(f->calls) && (op != PARSE || f->repeat[op] > 0))
		f->calls[n] = letters[op];
	if (f->after[op] > 0) {
		f->after[op]--;
		return DIA_OK;
	}
	if (f->repeat[op] == 0)
		return DIA_OK;
	f->repeat[op]--;
	return dia_err_set(reterr, f->next[op], 1000 + (int)op, "scripted");
}

static enum dia_rc op_parse(void *db, struct dia_apply_txn *txn, struct dia_err *reterr)
{
	struct fake *f = db;
	enum dia_rc rc = call(f, PARSE, reterr);

	if (rc != DIA_OK)
		return rc;
	f->parsed++;
	if ((txn->txn->head.flags & DIA_TXN_DDL) != 0)
		return DIA_OK;
	/* The body is the name of the one key. */
	txn->changes = calloc(1, sizeof(*txn->changes));
	assert_non_null(txn->changes);
	txn->change_count = 1;
	txn->changes[0].change = (struct dia_change){.kind = DIA_CHANGE_UPDATE,
		.key = dia_txn_body(txn->txn),
		.key_hash = dia_hash64(dia_txn_body(txn->txn), 0)};
	return DIA_OK;
}

static void op_release(void *db, struct dia_apply_txn *txn)
{
	struct fake *f = db;

	f->parsed--;
	free(txn->changes);
}

static enum dia_rc op_begin(void *db, struct dia_err *reterr)
{
	return call(db, BEGIN, reterr);
}

static enum dia_rc op_write(
	void *db, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	struct fake *f = db;

	f->batch = batch;
	f->written_txns = batch->txn_count;
	f->first = batch->txns[0].changes[0].decision;
	f->first_rival = f->first.rival == NULL ? 0 : f->first.rival->seq;
	assert_int_equal(batch->watch_count, 0);
	if (f->meets != NULL) {
		struct dia_slice key = dia_slice_str(f->meets);
		struct dia_apply_watch *w = &f->watch;

		*w = (struct dia_apply_watch){.head = &batch->txns[0].txn->head,
			.change = {.kind = DIA_CHANGE_UPDATE,
				.key = key,
				.key_hash = dia_hash64(key, 0)}};
		dia_engine_decide(f->engine, w->head, &w->change, &w->decision);
		w->rival_seq = w->decision.conflict ? w->decision.rival->seq : 0;
		batch->watches = w;
		batch->watch_count = 1;
	}
	if (f->ahead != NULL) {
		size_t before = f->parsed;

		dia_applier_ahead(f->ahead);
		f->parsed_ahead = f->parsed - before;
		/* What is being written stays what it was. */
		assert_int_equal(batch->txn_count, f->written_txns);
	}
	return call(f, WRITE, reterr);
}

static enum dia_rc op_position(void *db, struct dia_gtid_pos *ret, struct dia_err *reterr)
{
	struct fake *f = db;

	*ret = f->position;
	return call(f, POSITION, reterr);
}

static uint64_t last_seq(const struct dia_apply_batch *b)
{
	return b->txns[b->txn_count - 1].txn->head.seq;
}

static enum dia_rc op_commit(void *db, struct dia_err *reterr)
{
	struct fake *f = db;
	enum dia_rc rc = call(f, COMMIT, reterr);

	if (rc == DIA_OK || f->commit_happens)
		f->applied_seq = last_seq(f->batch);
	return rc;
}

static enum dia_rc op_rollback(void *db, struct dia_err *reterr)
{
	return call(db, ROLLBACK, reterr);
}

static enum dia_rc op_ddl(void *db, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	struct fake *f = db;
	enum dia_rc rc = call(f, DDL, reterr);

	assert_true(batch->ddl);
	assert_int_equal(batch->txn_count, 1);
	if (rc == DIA_OK || f->commit_happens)
		f->applied_seq = last_seq(batch);
	return rc;
}

static enum dia_rc op_reconnect(void *db, uint64_t *applied_seq, struct dia_err *reterr)
{
	struct fake *f = db;

	*applied_seq = f->applied_seq;
	return call(f, RECONNECT, reterr);
}

static const struct dia_apply_ops fake_ops = {.parse = op_parse,
	.release = op_release,
	.begin = op_begin,
	.write = op_write,
	.position = op_position,
	.commit = op_commit,
	.rollback = op_rollback,
	.ddl = op_ddl,
	.reconnect = op_reconnect};

static void lock(void *ctx)
{
	((struct fake *)ctx)->locked++;
}

static void unlock(void *ctx)
{
	((struct fake *)ctx)->locked--;
}

static void start(struct rig *r, uint64_t applied_seq)
{
	struct dia_engine_config ec = {.self = east, .peer_count = 1, .peers = {west}};
	struct dia_applier_config c = {.origin = west,
		.ops = &fake_ops,
		.db = &r->db,
		.batch_txns = 4,
		.batch_bytes = 100,
		.queue_bytes = 100000,
		.max_ahead_ms = 1000,
		.applied_seq = applied_seq,
		.lock = lock,
		.unlock = unlock,
		.lock_ctx = &r->db};

	memset(r, 0, sizeof(*r));
	r->now_ms = 1000000;
	r->db.applied_seq = applied_seq;
	assert_int_equal(dia_engine_new(&ec, &r->engine), DIA_OK);
	c.engine = r->engine;
	assert_int_equal(dia_applier_new(&c, &r->a), DIA_OK);
}

static void stop(struct rig *r)
{
	dia_applier_free(r->a);
	dia_engine_free(r->engine);
	assert_int_equal(r->db.parsed, 0);
	assert_int_equal(r->db.locked, 0);
}

static struct dia_txn *txn(uint64_t seq, uint64_t at_ms, const char *body, uint32_t flags)
{
	struct dia_txn_head h = {.origin = west,
		.seq = seq,
		.flags = flags,
		.stamp = {dia_hlc_from_ms(at_ms).v + seq}};
	struct dia_txn_builder b;
	struct dia_txn *t;

	dia_txn_builder_init(&b, NULL, 0);
	assert_int_equal(dia_txn_builder_add(&b, dia_slice_str(body), NULL), DIA_OK);
	assert_int_equal(dia_txn_builder_finish(&b, &h, &t, NULL), DIA_OK);
	return t;
}

static void push(struct rig *r, uint64_t seq, const char *key)
{
	assert_int_equal(dia_applier_push(r->a, txn(seq, r->now_ms, key, 0)), DIA_OK);
}

static void push_watermark(struct rig *r, uint64_t seq, uint64_t knew_east)
{
	struct dia_txn *t = txn(seq, r->now_ms, "", DIA_TXN_WATERMARK);

	assert_int_equal(dia_deps_raise(&t->head.deps, east, knew_east), DIA_OK);
	assert_int_equal(dia_applier_push(r->a, t), DIA_OK);
}

static void local(struct rig *r, uint64_t seq, const char *key)
{
	struct dia_txn_head h = {.origin = east, .seq = seq};
	struct dia_change c = {.kind = DIA_CHANGE_UPDATE,
		.key = dia_slice_str(key),
		.key_hash = dia_hash64(dia_slice_str(key), 0)};

	assert_int_equal(dia_engine_local(r->engine, &h, &c, 1, r->now_ms), DIA_OK);
}

/* Step until there is nothing to do; time passes only to end a wait it named. */
static enum dia_rc settle(struct rig *r)
{
	for (int i = 0; i < 5000; i++) {
		uint64_t wait_ms;
		enum dia_rc rc = dia_applier_step(r->a, r->now_ms, &wait_ms);

		if (rc == DIA_E_AGAIN && wait_ms > 0)
			r->now_ms += wait_ms;
		else if (rc != DIA_OK)
			return rc;
	}
	fail_msg("the applier does not come to rest: %s", r->db.calls);
	return DIA_E_STATE;
}

static void step_to(struct rig *r, enum dia_applier_state state)
{
	struct dia_applier_stats s;

	for (int i = 0; i < 1000; i++) {
		uint64_t wait_ms;

		dia_applier_stats(r->a, &s);
		if (s.state == state)
			return;
		if (dia_applier_step(r->a, r->now_ms, &wait_ms) == DIA_E_AGAIN)
			r->now_ms += wait_ms;
	}
	fail_msg("state %d not reached", (int)state);
}

static struct dia_applier_stats stats(struct rig *r)
{
	struct dia_applier_stats s;

	dia_applier_stats(r->a, &s);
	return s;
}

/* ---- the straight path --------------------------------------------------------------*/

static void test_one_batch(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	push(&r, 1, "a");
	push(&r, 2, "b");
	push(&r, 3, "a");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	assert_int_equal(r.db.written_txns, 3);
	assert_int_equal(stats(&r).applied_seq, 3);
	assert_int_equal(stats(&r).txns, 3);
	assert_int_equal(stats(&r).rows, 3);
	assert_int_equal(stats(&r).batches, 1);
	assert_int_equal(stats(&r).queued_txns, 0);
	assert_int_equal(stats(&r).queued_bytes, 0);
	stop(&r);
}

static void test_batch_limits(void **state)
{
	struct rig r;
	char big[90];

	(void)state;
	start(&r, 0);
	for (uint64_t i = 1; i <= 6; i++)
		push(&r, i, "k");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcbwqc"); /* four, then two */
	assert_int_equal(r.db.written_txns, 2);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	memset(r.db.calls, 0, sizeof(r.db.calls));
	push(&r, 7, big);
	push(&r, 8, big); /* too many bytes for the same batch */
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "bwqcbwqc");
	assert_int_equal(stats(&r).applied_seq, 8);
	stop(&r);
}

static void step_over_write(struct rig *r)
{
	uint64_t wait_ms;

	step_to(r, DIA_APPLIER_WRITE);
	assert_int_equal(dia_applier_step(r->a, r->now_ms, &wait_ms), DIA_OK);
}

static void test_parses_ahead_while_writing(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	r.db.ahead = r.a;
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	for (uint64_t i = 1; i <= 11; i++)
		push(&r, i, "k");
	push_watermark(&r, 11, 0);
	step_over_write(&r);
	assert_int_equal(r.db.parsed_ahead, 4); /* a batch at most, whatever waits */
	assert_int_equal(stats(&r).queued_txns, 4);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcbwqcbwqc");
	assert_int_equal(r.db.written_txns, 3);
	assert_int_equal(stats(&r).applied_seq, 11);
	assert_int_equal(stats(&r).queued_txns, 0);
	stop(&r);
}

static void test_what_is_not_parsed_ahead(void **state)
{
	struct rig r;
	char big[90];

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	start(&r, 0);
	r.db.ahead = r.a;
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	/* The bytes of a batch bound what is ahead as well. */
	push(&r, 1, "a");
	push(&r, 2, big);
	push(&r, 3, big);
	push(&r, 4, "twelve bytes");
	step_over_write(&r);
	assert_int_equal(r.db.written_txns, 2);
	assert_int_equal(r.db.parsed_ahead, 1);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcbwqcbwqc");
	/* A statement, and what stands behind it. */
	push(&r, 5, "a");
	assert_int_equal(
		dia_applier_push(r.a, txn(6, r.now_ms, "", DIA_TXN_DDL)), DIA_OK);
	push(&r, 7, "b");
	step_over_write(&r);
	assert_int_equal(r.db.parsed_ahead, 0);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcbwqcbwqcbwqcdbwqc");
	assert_int_equal(stats(&r).applied_seq, 7);
	/* Stamped too far ahead. */
	push(&r, 8, "a");
	step_to(&r, DIA_APPLIER_WRITE);
	assert_int_equal(dia_applier_push(r.a, txn(9, r.now_ms + 5000, "b", 0)), DIA_OK);
	step_over_write(&r);
	assert_int_equal(r.db.parsed_ahead, 0);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).applied_seq, 9);
	stop(&r);
}

/* What was parsed ahead outlives the failure of the batch before it, and no batch gets
 * larger by it. */
static void test_errors_while_ahead(void **state)
{
	static const enum op ops[] = {WRITE, POSITION, COMMIT};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		for (int gone = 0; gone < 2; gone++) {
			start(&r, 0);
			r.db.ahead = r.a;
			assert_int_equal(settle(&r), DIA_E_AGAIN);
			for (uint64_t seq = 1; seq <= 8; seq++)
				push(&r, seq, "0123456789012345678901234");
			r.db.next[ops[i]] = gone ? DIA_E_DB_GONE : DIA_E_DB_RETRY;
			r.db.repeat[ops[i]] = 3;
			assert_int_equal(settle(&r), DIA_E_AGAIN);
			assert_true(r.db.written_txns <= 4);
			assert_int_equal(stats(&r).applied_seq, 8);
			assert_int_equal(stats(&r).txns, 8);
			stop(&r);
		}
	}
	/* What cannot be parsed yet is parsed later, and is no failure before that. */
	start(&r, 0);
	r.db.ahead = r.a;
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_WRITE);
	push(&r, 2, "b");
	r.db.next[PARSE] = DIA_E_DB_RETRY;
	r.db.repeat[PARSE] = 1;
	step_over_write(&r);
	assert_int_equal(stats(&r).retries, 0);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).retries, 0);
	assert_int_equal(stats(&r).applied_seq, 2);
	stop(&r);
}

static void test_push_duplicates_gaps_and_limit(void **state)
{
	struct rig r;
	struct dia_txn *t;
	enum dia_rc rc = DIA_OK;
	uint64_t seq = 12;

	(void)state;
	start(&r, 10);
	push(&r, 10, "old"); /* applied before */
	push(&r, 11, "a");
	push(&r, 11, "a"); /* queued already */
	assert_int_equal(stats(&r).queued_txns, 1);
	t = txn(13, r.now_ms, "b", 0);
	assert_int_equal(dia_applier_push(r.a, t), DIA_E_STATE);
	dia_txn_unref(t);
	t = txn(12, r.now_ms, "b", 0);
	t->head.origin = east;
	assert_int_equal(dia_applier_push(r.a, t), DIA_E_STATE);
	dia_txn_unref(t);
	t = txn(12, r.now_ms, "b", DIA_TXN_WATERMARK); /* of what has not come yet */
	assert_int_equal(dia_applier_push(r.a, t), DIA_E_STATE);
	dia_txn_unref(t);
	while (rc == DIA_OK) {
		t = txn(seq, r.now_ms, "k", 0);
		rc = dia_applier_push(r.a, t);
		seq += rc == DIA_OK;
	}
	assert_int_equal(rc, DIA_E_AGAIN);
	assert_true(stats(&r).queued_bytes <= 100000);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(dia_applier_push(r.a, t), DIA_OK); /* room again */
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).applied_seq, seq);
	stop(&r);
}

/* One that is larger than the whole queue must pass, or the link stands still for ever.
 */
static void test_larger_than_the_queue(void **state)
{
	struct rig r;
	char *huge = malloc(200001);

	(void)state;
	assert_non_null(huge);
	memset(huge, 'h', 200000);
	huge[200000] = '\0';
	start(&r, 0);
	push(&r, 1, huge);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).applied_seq, 1);
	stop(&r);
	free(huge);
}

/* ---- watermarks ---------------------------------------------------------------------*/

static uint64_t open_keys(struct rig *r)
{
	struct dia_engine_stats s;

	dia_engine_stats(r->engine, &s);
	return s.window_keys;
}

static void test_watermark_alone_and_behind_a_batch(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	local(&r, 1, "l");
	push_watermark(&r, 0, 1);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "");
	assert_int_equal(open_keys(&r), 0);
	local(&r, 2, "l");
	push(&r, 1, "a");
	push_watermark(&r, 1, 1);
	push_watermark(&r, 1, 2); /* takes the other's place */
	assert_int_equal(stats(&r).queued_txns, 2);
	step_to(&r, DIA_APPLIER_COMMITTED);
	assert_int_equal(open_keys(&r), 1); /* not before its transaction */
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(open_keys(&r), 0);
	push_watermark(&r, 0, 1); /* stale */
	assert_int_equal(stats(&r).queued_txns, 0);
	stop(&r);
}

static void test_watermark_between_two_of_a_batch(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	local(&r, 1, "l");
	push(&r, 1, "a");
	push_watermark(&r, 1, 1);
	push(&r, 2, "b");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	assert_int_equal(r.db.written_txns, 2);
	assert_int_equal(open_keys(&r), 0);
	stop(&r);
}

/* ---- the second check ---------------------------------------------------------------*/

static void test_waits_for_capture(void **state)
{
	struct rig r;
	uint64_t wait_ms;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_BEGIN);
	r.db.position = (struct dia_gtid_pos){.count = 1, .at = {{0, 1, 5}}};
	step_to(&r, DIA_APPLIER_WAIT);
	assert_int_equal(dia_applier_step(r.a, r.now_ms, &wait_ms), DIA_E_AGAIN);
	assert_true(wait_ms > 0);
	assert_int_equal(
		dia_engine_captured(r.engine, (struct dia_gtid){0, 1, 5}), DIA_OK);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	stop(&r);
}

/* Capture is far behind: the locks go, the wait goes on without them. */
static void test_lets_go_of_locks_when_capture_lags(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_BEGIN);
	r.db.position = (struct dia_gtid_pos){.count = 1, .at = {{0, 1, 5}}};
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqr");
	assert_int_equal(stats(&r).state, DIA_APPLIER_WAIT);
	assert_int_equal(
		dia_engine_captured(r.engine, (struct dia_gtid){0, 1, 5}), DIA_OK);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqrbwqc");
	assert_int_equal(stats(&r).applied_seq, 1);
	stop(&r);
}

/* After a start, what capture has yet to read of the time before must not be stamped
 * above what arrives now: no key is registered before capture has caught up. */
static void test_catches_up_before_registering(void **state)
{
	struct rig r;
	uint64_t wait_ms;
	struct dia_engine_stats s;

	(void)state;
	start(&r, 0);
	r.db.position = (struct dia_gtid_pos){.count = 1, .at = {{0, 1, 5}}};
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_WAIT);
	r.now_ms += 100000;
	assert_int_equal(dia_applier_step(r.a, r.now_ms, &wait_ms), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "q");
	dia_engine_stats(r.engine, &s);
	assert_int_equal(s.inflight_keys, 0);
	assert_int_equal(
		dia_engine_captured(r.engine, (struct dia_gtid){0, 1, 5}), DIA_OK);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	stop(&r);
}

static void test_new_rival_rolls_back(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_RECHECK);
	assert_int_equal(r.db.first.verdict, DIA_APPLY);
	local(&r, 1, "a"); /* in flight: it is stamped above ours */
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqrbwqc");
	assert_int_equal(r.db.first.verdict, DIA_KEEP_LOCAL);
	assert_true(r.db.first.conflict);
	assert_int_equal(r.db.first_rival, 1);
	assert_int_equal(stats(&r).second_check_rollbacks, 1);
	assert_int_equal(stats(&r).conflicts, 1);
	assert_int_equal(stats(&r).kept_local, 1);
	stop(&r);
}

static void test_new_change_of_another_key_does_not(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_RECHECK);
	local(&r, 1, "b");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	assert_int_equal(stats(&r).second_check_rollbacks, 0);
	stop(&r);
}

static void start_meeting(struct rig *r, const char *key)
{
	start(r, 0);
	r->db.meets = key;
	r->db.engine = r->engine;
}

/* The holder of a unique value was committed before write locked it, and captured since.
 */
static void test_row_met_turns_out_to_be_a_rival(void **state)
{
	struct rig r;

	(void)state;
	start_meeting(&r, "holder");
	r.now_ms += 100;
	push(&r, 1, "a");
	step_to(&r, DIA_APPLIER_RECHECK);
	assert_false(r.db.watch.decision.conflict);
	r.now_ms -= 100;
	local(&r, 1, "holder");
	r.now_ms += 100;
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqrbwqc");
	assert_true(r.db.watch.decision.conflict);
	assert_int_equal(r.db.watch.decision.verdict, DIA_UPSERT);
	assert_int_equal(r.db.watch.rival_seq, 1);
	stop(&r);
}

/* It was the older one, and has been changed again: later than ours, or not. */
static void test_row_met_has_changed_again(void **state)
{
	(void)state;
	for (int later = 0; later < 2; later++) {
		struct rig r;

		start_meeting(&r, "holder");
		local(&r, 1, "holder");
		r.now_ms += 100;
		push(&r, 1, "a");
		step_to(&r, DIA_APPLIER_RECHECK);
		assert_int_equal(r.db.watch.decision.verdict, DIA_UPSERT);
		r.now_ms = later ? r.now_ms + 100 : r.now_ms - 50;
		local(&r, 2, "holder");
		r.now_ms += 100;
		assert_int_equal(settle(&r), DIA_E_AGAIN);
		assert_string_equal(r.db.calls, "qbwqrbwqc");
		assert_int_equal(
			r.db.watch.decision.verdict, later ? DIA_KEEP_LOCAL : DIA_UPSERT);
		stop(&r);
	}
}

/* Ours has lost already; that the row here is changed again is no news. */
static void test_row_met_wins_again(void **state)
{
	struct rig r;

	(void)state;
	start_meeting(&r, "holder");
	push(&r, 1, "a");
	r.now_ms += 100;
	local(&r, 1, "holder");
	step_to(&r, DIA_APPLIER_RECHECK);
	assert_int_equal(r.db.watch.decision.verdict, DIA_KEEP_LOCAL);
	local(&r, 2, "holder");
	local(&r, 3, "another");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	stop(&r);
}

static void test_rival_from_before_is_overwritten(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	local(&r, 1, "a");
	r.now_ms += 10;
	push(&r, 1, "a");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(r.db.first.verdict, DIA_UPSERT);
	assert_true(r.db.first.conflict);
	assert_int_equal(stats(&r).upserts, 1);
	stop(&r);
}

/* The database has lost what the peer has applied of it: stop, say so. */
static void test_lost_tail_stops(void **state)
{
	struct rig r;
	struct dia_txn *t;

	(void)state;
	start(&r, 0);
	local(&r, 1, "a");
	t = txn(1, r.now_ms, "k", 0);
	assert_int_equal(dia_deps_raise(&t->head.deps, east, 2), DIA_OK);
	assert_int_equal(dia_applier_push(r.a, t), DIA_OK);
	assert_int_equal(settle(&r), DIA_E_STOPPED);
	assert_string_equal(r.db.calls, "qbwqr");
	assert_int_equal(stats(&r).error.rc, DIA_E_LOST_TAIL);
	stop(&r);
}

/* ---- errors -------------------------------------------------------------------------*/

static void one_error(
	enum op op, enum dia_rc rc, const char *calls, enum dia_rc end, uint64_t applied)
{
	struct rig r;

	start(&r, 0);
	r.db.next[op] = rc;
	r.db.repeat[op] = 1;
	r.db.after[op] = op == POSITION; /* the first one is the catching up */
	push(&r, 1, "a");
	assert_int_equal(settle(&r), end);
	assert_string_equal(r.db.calls, calls);
	assert_int_equal(stats(&r).applied_seq, applied);
	assert_int_equal(stats(&r).error.rc, rc);
	if (rc != DIA_E_NOMEM)
		assert_int_equal(stats(&r).error.number, 1000 + (int)op);
	stop(&r);
}

static void test_transient_error_at_each_call(void **state)
{
	(void)state;
	one_error(PARSE, DIA_E_DB_RETRY, "pqbwqc", DIA_E_AGAIN, 1);
	one_error(BEGIN, DIA_E_DB_RETRY, "qbrbwqc", DIA_E_AGAIN, 1);
	one_error(WRITE, DIA_E_DB_RETRY, "qbwrbwqc", DIA_E_AGAIN, 1);
	one_error(WRITE, DIA_E_NOMEM, "qbwrbwqc", DIA_E_AGAIN, 1);
	one_error(POSITION, DIA_E_DB_RETRY, "qbwqrbwqc", DIA_E_AGAIN, 1);
	one_error(COMMIT, DIA_E_DB_RETRY, "qbwqcrbwqc", DIA_E_AGAIN, 1);
}

static void test_connection_lost_at_each_call(void **state)
{
	(void)state;
	one_error(PARSE, DIA_E_DB_GONE, "pRqbwqc", DIA_E_AGAIN, 1);
	one_error(BEGIN, DIA_E_DB_GONE, "qbRqbwqc", DIA_E_AGAIN, 1);
	one_error(WRITE, DIA_E_DB_GONE, "qbwRqbwqc", DIA_E_AGAIN, 1);
	one_error(POSITION, DIA_E_DB_GONE, "qbwqRqbwqc", DIA_E_AGAIN, 1);
	one_error(COMMIT, DIA_E_DB_GONE, "qbwqcRqbwqc", DIA_E_AGAIN, 1);
}

static void test_permanent_error_at_each_call(void **state)
{
	(void)state;
	one_error(PARSE, DIA_E_PROTOCOL, "p", DIA_E_STOPPED, 0);
	one_error(BEGIN, DIA_E_DB, "qbr", DIA_E_STOPPED, 0);
	one_error(WRITE, DIA_E_DB, "qbwr", DIA_E_STOPPED, 0);
	one_error(POSITION, DIA_E_DB, "qbwqr", DIA_E_STOPPED, 0);
	one_error(COMMIT, DIA_E_DB, "qbwqcr", DIA_E_STOPPED, 0);
}

static void test_lost_commit_reply(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	r.db.next[COMMIT] = DIA_E_DB_GONE;
	r.db.repeat[COMMIT] = 1;
	r.db.commit_happens = true;
	local(&r, 1, "l");
	push(&r, 1, "a");
	push(&r, 2, "b");
	push_watermark(&r, 2, 1);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcR"); /* not written a second time */
	assert_int_equal(stats(&r).applied_seq, 2);
	assert_int_equal(stats(&r).txns, 2);
	assert_int_equal(open_keys(&r), 0);
	stop(&r);
}

static void test_reconnect_keeps_trying(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	r.db.next[WRITE] = DIA_E_DB_GONE;
	r.db.repeat[WRITE] = 1;
	r.db.next[RECONNECT] = DIA_E_DB_GONE;
	r.db.repeat[RECONNECT] = 20;
	push(&r, 1, "a");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwRRRRRRRRRRRRRRRRRRRRRqbwqc");
	/* The back-off grows but stays near a second. */
	assert_true(r.now_ms - 1000000 > 2000);
	assert_true(r.now_ms - 1000000 < 20000);
	stop(&r);
}

static void test_rollback_that_fails_drops_the_connection(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	r.db.next[WRITE] = DIA_E_DB_RETRY;
	r.db.repeat[WRITE] = 1;
	r.db.next[ROLLBACK] = DIA_E_DB;
	r.db.repeat[ROLLBACK] = 1;
	push(&r, 1, "a");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwrRqbwqc");
	stop(&r);
}

static void reconnect_reports(uint64_t seq, enum dia_rc expect)
{
	struct rig r;

	start(&r, 5);
	r.db.next[WRITE] = DIA_E_DB_GONE;
	r.db.repeat[WRITE] = 1;
	r.db.applied_seq = seq;
	push(&r, 6, "a");
	push(&r, 7, "b");
	assert_int_equal(settle(&r), DIA_E_STOPPED);
	assert_int_equal(stats(&r).error.rc, expect);
	stop(&r);
}

static void test_a_mark_that_cannot_be(void **state)
{
	(void)state;
	reconnect_reports(4, DIA_E_LOST_TAIL); /* the database forgot commits */
	reconnect_reports(6, DIA_E_STATE);     /* half of a batch */
}

static void test_batch_is_halved_and_grows_again(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	r.db.next[WRITE] = DIA_E_DB_RETRY;
	r.db.repeat[WRITE] = 3;
	for (uint64_t i = 1; i <= 4; i++)
		push(&r, i, "k");
	step_to(&r, DIA_APPLIER_COMMIT);
	assert_int_equal(r.db.written_txns, 1); /* 4, 4, 2, 1 */
	assert_int_equal(stats(&r).retries, 3);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).applied_seq, 4);
	memset(r.db.calls, 0, sizeof(r.db.calls));
	for (uint64_t i = 5; i <= 8; i++)
		push(&r, i, "k");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "bwqc");
	assert_int_equal(r.db.written_txns, 4);
	stop(&r);
}

/* ---- DDL, clock, dependencies -------------------------------------------------------*/

static void test_ddl_stands_alone(void **state)
{
	struct rig r;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	assert_int_equal(
		dia_applier_push(r.a, txn(2, r.now_ms, "", DIA_TXN_DDL)), DIA_OK);
	push(&r, 3, "b");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqcdbwqc");
	assert_int_equal(stats(&r).ddl, 1);
	assert_int_equal(stats(&r).applied_seq, 3);
	stop(&r);
}

static void test_ddl_errors(void **state)
{
	struct rig r;

	(void)state;
	for (int happens = 0; happens < 2; happens++) {
		start(&r, 0);
		r.db.next[DDL] = DIA_E_DB_GONE;
		r.db.repeat[DDL] = 1;
		r.db.commit_happens = happens == 1;
		assert_int_equal(
			dia_applier_push(r.a, txn(1, r.now_ms, "", DIA_TXN_DDL)), DIA_OK);
		push(&r, 2, "b");
		assert_int_equal(settle(&r), DIA_E_AGAIN);
		assert_string_equal(r.db.calls, happens ? "dRqbwqc" : "dRdqbwqc");
		stop(&r);
	}
	start(&r, 0);
	r.db.next[DDL] = DIA_E_DB_RETRY;
	r.db.repeat[DDL] = 1;
	assert_int_equal(
		dia_applier_push(r.a, txn(1, r.now_ms, "", DIA_TXN_DDL)), DIA_OK);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "drd");
	stop(&r);
}

static void test_held_while_too_far_ahead(void **state)
{
	struct rig r;
	uint64_t wait_ms, seen;
	struct dia_engine_stats s;

	(void)state;
	start(&r, 0);
	push(&r, 1, "a");
	assert_int_equal(dia_applier_push(r.a, txn(2, r.now_ms + 5000, "b", 0)), DIA_OK);
	for (seen = 0; seen < 50; seen++)
		if (dia_applier_step(r.a, r.now_ms, &wait_ms) == DIA_E_AGAIN)
			break;
	assert_string_equal(r.db.calls, "qbwqc"); /* the one before it went through */
	assert_int_equal(stats(&r).state, DIA_APPLIER_HELD);
	assert_int_equal(wait_ms, 4000);
	/* Not even registered: a bad clock must not lift ours. */
	local(&r, 1, "b");
	dia_engine_stats(r.engine, &s);
	assert_true(dia_hlc_ms(s.last) <= r.now_ms);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).applied_seq, 2);
	assert_true(r.now_ms >= 1000000 + 4000);
	stop(&r);
}

static void test_replay_after_restart(void **state)
{
	struct dia_engine_config ec = {
		.self = east, .peer_count = 2, .peers = {west, {3}}};
	struct dia_applier_config c = {.origin = west,
		.ops = &fake_ops,
		.batch_txns = 4,
		.batch_bytes = 100,
		.queue_bytes = 1000,
		.max_ahead_ms = 1000,
		.applied_seq = 2,
		.replay_txns = 2};
	struct rig r;
	struct dia_engine_stats s;

	(void)state;
	memset(&r, 0, sizeof(r));
	r.now_ms = 1000;
	r.db.applied_seq = 2;
	c.db = &r.db;
	assert_int_equal(dia_deps_raise(&ec.committed, west, 2), DIA_OK);
	assert_int_equal(dia_engine_new(&ec, &r.engine), DIA_OK);
	c.engine = r.engine;
	assert_int_equal(dia_applier_new(&c, &r.a), DIA_OK);
	push(&r, 1, "a");
	push(&r, 2, "b");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, ""); /* the rows are there already */
	dia_engine_stats(r.engine, &s);
	assert_int_equal(s.window_keys, 2);
	push(&r, 3, "c");
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_string_equal(r.db.calls, "qbwqc");
	stop(&r);
}

/* Two threads, as in the process: the link pushes, with its share of full queues and
 * duplicates, while the applier steps. */
struct pusher {
	struct rig *r;
	uint64_t count;
};

static void *push_all(void *arg)
{
	struct pusher *p = arg;
	struct timespec pause = {.tv_nsec = 20000};

	for (uint64_t seq = 1; seq <= p->count; seq++) {
		struct dia_txn *t = txn(seq, 1000000, "k", 0);
		struct dia_txn *again = txn(seq, 1000000, "k", 0);
		struct dia_txn *mark = txn(seq, 1000000, "", DIA_TXN_WATERMARK);
		enum dia_rc rc;

		while ((rc = dia_applier_push(p->r->a, t)) == DIA_E_AGAIN)
			(void)nanosleep(&pause, NULL);
		if (rc != DIA_OK)
			dia_txn_unref(t);
		if (dia_applier_push(p->r->a, again) != DIA_OK)
			dia_txn_unref(again);
		if (dia_applier_push(p->r->a, mark) != DIA_OK)
			dia_txn_unref(mark);
	}
	return NULL;
}

static void test_push_beside_step(void **state)
{
	struct rig r;
	struct pusher p = {.r = &r, .count = 5000};
	struct timespec pause = {.tv_nsec = 20000};
	pthread_t thread;
	uint64_t wait_ms;

	(void)state;
	start(&r, 0);
	assert_int_equal(pthread_create(&thread, NULL, push_all, &p), 0);
	while (stats(&r).applied_seq < p.count) {
		r.db.calls[0] = '\0';
		if (dia_applier_step(r.a, r.now_ms, &wait_ms) != DIA_OK)
			(void)nanosleep(&pause, NULL);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(settle(&r), DIA_E_AGAIN);
	assert_int_equal(stats(&r).txns, p.count);
	assert_int_equal(stats(&r).queued_txns, 0);
	assert_int_equal(stats(&r).queued_bytes, 0);
	stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_batch),
		cmocka_unit_test(test_batch_limits),
		cmocka_unit_test(test_parses_ahead_while_writing),
		cmocka_unit_test(test_what_is_not_parsed_ahead),
		cmocka_unit_test(test_errors_while_ahead),
		cmocka_unit_test(test_push_duplicates_gaps_and_limit),
		cmocka_unit_test(test_larger_than_the_queue),
		cmocka_unit_test(test_watermark_alone_and_behind_a_batch),
		cmocka_unit_test(test_watermark_between_two_of_a_batch),
		cmocka_unit_test(test_waits_for_capture),
		cmocka_unit_test(test_lets_go_of_locks_when_capture_lags),
		cmocka_unit_test(test_catches_up_before_registering),
		cmocka_unit_test(test_new_rival_rolls_back),
		cmocka_unit_test(test_new_change_of_another_key_does_not),
		cmocka_unit_test(test_row_met_turns_out_to_be_a_rival),
		cmocka_unit_test(test_row_met_has_changed_again),
		cmocka_unit_test(test_row_met_wins_again),
		cmocka_unit_test(test_rival_from_before_is_overwritten),
		cmocka_unit_test(test_lost_tail_stops),
		cmocka_unit_test(test_transient_error_at_each_call),
		cmocka_unit_test(test_connection_lost_at_each_call),
		cmocka_unit_test(test_permanent_error_at_each_call),
		cmocka_unit_test(test_lost_commit_reply),
		cmocka_unit_test(test_reconnect_keeps_trying),
		cmocka_unit_test(test_rollback_that_fails_drops_the_connection),
		cmocka_unit_test(test_a_mark_that_cannot_be),
		cmocka_unit_test(test_batch_is_halved_and_grows_again),
		cmocka_unit_test(test_ddl_stands_alone),
		cmocka_unit_test(test_ddl_errors),
		cmocka_unit_test(test_held_while_too_far_ahead),
		cmocka_unit_test(test_replay_after_restart),
		cmocka_unit_test(test_push_beside_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
