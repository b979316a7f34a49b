/* proxy/engine/applier.c - see applier.h. */
#include "proxy/engine/applier.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	BACKOFF_MIN_MS = 5,
	BACKOFF_MAX_MS = 1000,
	LOCK_WAIT_MS = 200,
	/* Failures in a row after which the batch is halved: one hot row must not keep a
	 * hundred transactions from ever getting through together. */
	HALVE_AFTER = 2,
	/* Locks are held twice as long after each batch that was rolled back because
	 * capture lagged, this often at most: a capture that is steadily a second behind
	 * must not keep every batch from ever being committed. */
	LAG_DOUBLINGS = 5,
};

struct node {
	struct node *next;
	struct dia_txn *txn;
};

struct dia_applier {
	struct dia_applier_config c;

	pthread_mutex_t mutex; /* guards from here … */
	struct node *front, *back;
	uint64_t received_seq;
	struct dia_applier_stats stats;
	/* … to here; the rest belongs to who makes the steps. */

	enum dia_applier_state state;
	enum dia_applier_state after_rollback, after_retry;
	/* Parsed transactions, two batches at most; the first batch.txn_count of them are
	 * being worked on. */
	struct dia_apply_txn *txns;
	struct dia_txn **watermarks; /* [i]: comes right behind txns[i], or NULL */
	size_t formed, formed_bytes;
	struct dia_apply_batch batch; /* txn_count 0: none chosen yet */
	size_t limit;                 /* most transactions in the next batch */
	size_t told;                  /* of the committed batch, known to the engine */
	/* Wait for capture before registering keys: what it has yet to read of the time
	 * before (this process was down, the database was away) would be stamped above
	 * what we register, and old writes would come back as new ones. */
	bool catch_up;
	bool open;                /* a local transaction may be open */
	uint64_t generation;      /* of the engine at CHECK */
	struct dia_gtid_pos need; /* read by POSITION */
	uint64_t wait_since_ms, retry_at_ms;
	uint64_t wall_ms;  /* of the step */
	uint32_t failures; /* in a row: errors and second checks that failed */
	uint32_t lagged;   /* in a row: batches rolled back since capture lagged */
	uint64_t random;
	struct dia_change *bare; /* scratch: changes without their decisions */
	size_t bare_cap;
};

static size_t txn_bytes(const struct dia_txn *txn)
{
	return sizeof(*txn) + txn->body_len;
}

static bool is_watermark(const struct dia_txn *txn)
{
	return (txn->head.flags & DIA_TXN_WATERMARK) != 0;
}

static void lock_engine(struct dia_applier *a)
{
	if (a->c.lock != NULL)
		a->c.lock(a->c.lock_ctx);
}

static void unlock_engine(struct dia_applier *a)
{
	if (a->c.unlock != NULL)
		a->c.unlock(a->c.lock_ctx);
}

/* ---- the queue ----------------------------------------------------------------------*/

static void enqueue(struct dia_applier *a, struct node *n, struct dia_txn *txn)
{
	n->txn = txn;
	n->next = NULL;
	if (a->back != NULL)
		a->back->next = n;
	else
		a->front = n;
	a->back = n;
	a->stats.queued_txns++;
	a->stats.queued_bytes += txn_bytes(txn);
}

static enum dia_rc push_locked(
	struct dia_applier *a, struct node **fresh, struct dia_txn *txn)
{
	uint64_t seq = txn->head.seq;
	bool mark = is_watermark(txn);

	if (seq < a->received_seq || (!mark && seq == a->received_seq)) {
		dia_txn_unref(txn);
		return DIA_OK;
	}
	if (seq != a->received_seq + (mark ? 0 : 1))
		return DIA_E_STATE;
	/* A newer watermark says all that an older one said. */
	if (mark && a->back != NULL && is_watermark(a->back->txn)) {
		dia_txn_unref(a->back->txn);
		a->back->txn = txn;
		return DIA_OK;
	}
	if (a->front != NULL && a->stats.queued_bytes + txn_bytes(txn) > a->c.queue_bytes)
		return DIA_E_AGAIN;
	if (*fresh == NULL)
		return DIA_E_NOMEM;
	enqueue(a, *fresh, txn);
	*fresh = NULL;
	a->received_seq = a->stats.received_seq = seq;
	return DIA_OK;
}

enum dia_rc dia_applier_push(struct dia_applier *a, struct dia_txn *txn)
{
	struct node *fresh;
	enum dia_rc rc;

	if (txn->head.origin.id != a->c.origin.id)
		return DIA_E_STATE;
	fresh = malloc(sizeof(*fresh));
	(void)pthread_mutex_lock(&a->mutex);
	rc = push_locked(a, &fresh, txn);
	(void)pthread_mutex_unlock(&a->mutex);
	free(fresh);
	return rc;
}

/* The front transaction with a reference of the caller's, NULL when there is none. Only
 * the stepper takes from the front, but push may swap a watermark there for a newer one.
 */
static struct dia_txn *peek(struct dia_applier *a)
{
	struct dia_txn *txn = NULL;

	(void)pthread_mutex_lock(&a->mutex);
	if (a->front != NULL)
		txn = dia_txn_ref(a->front->txn);
	(void)pthread_mutex_unlock(&a->mutex);
	return txn;
}

/* Take the front out; its reference goes to the caller. */
static struct dia_txn *pop(struct dia_applier *a)
{
	struct node *n;
	struct dia_txn *txn;

	(void)pthread_mutex_lock(&a->mutex);
	n = a->front;
	a->front = n->next;
	if (a->front == NULL)
		a->back = NULL;
	txn = n->txn;
	a->stats.queued_txns--;
	a->stats.queued_bytes -= txn_bytes(txn);
	(void)pthread_mutex_unlock(&a->mutex);
	free(n);
	return txn;
}

/* ---- moves --------------------------------------------------------------------------*/

static void set_state(struct dia_applier *a, enum dia_applier_state state)
{
	a->state = state;
}

static void note_error(struct dia_applier *a, enum dia_rc rc, const struct dia_err *err)
{
	(void)pthread_mutex_lock(&a->mutex);
	if (err != NULL && err->rc != DIA_OK)
		a->stats.error = *err;
	else
		(void)dia_err_set(&a->stats.error, rc, 0, "%s", dia_rc_text(rc));
	(void)pthread_mutex_unlock(&a->mutex);
}

/* Leave the open local transaction, then go on with `next`. */
static void roll_back_to(struct dia_applier *a, enum dia_applier_state next)
{
	a->after_rollback = next;
	set_state(a, a->open ? DIA_APPLIER_ROLLBACK : next);
}

static void back_off(struct dia_applier *a, uint64_t wall_ms)
{
	uint32_t doublings = a->failures < 8 ? a->failures : 8;
	uint64_t delay = (uint64_t)BACKOFF_MIN_MS << doublings;

	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	/* Jitter, or the two DCs that just ran into each other do it again in step. */
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	a->retry_at_ms = wall_ms + delay / 2 + a->random % (delay / 2 + 1);
}

static void count_failure(struct dia_applier *a)
{
	a->failures++;
	if (a->failures >= HALVE_AFTER && a->batch.txn_count > 1)
		a->limit = a->batch.txn_count / 2;
}

/* Milliseconds from now until `at`, 0 when it has come. A clock that was set back must
 * not make it wait longer than `most`. */
static uint64_t until(uint64_t at, uint64_t now, uint64_t most)
{
	uint64_t left = at > now ? at - now : 0;

	return left > most ? 0 : left;
}

/* A database call has failed. Returns what the step returns. */
static enum dia_rc failed(struct dia_applier *a, enum dia_rc rc,
	const struct dia_err *err, uint64_t wall_ms)
{
	if (rc == DIA_E_AGAIN)
		return DIA_E_AGAIN;
	note_error(a, rc, err);
	if (rc == DIA_E_DB_RETRY || rc == DIA_E_NOMEM || rc == DIA_E_DB_GONE) {
		(void)pthread_mutex_lock(&a->mutex);
		a->stats.retries++;
		(void)pthread_mutex_unlock(&a->mutex);
	}
	if (rc == DIA_E_DB_GONE) {
		a->open = false;
		set_state(a, DIA_APPLIER_RECONNECT);
	} else if (rc == DIA_E_DB_RETRY || rc == DIA_E_NOMEM) {
		count_failure(a);
		back_off(a, wall_ms);
		a->after_retry = DIA_APPLIER_IDLE;
		roll_back_to(a, DIA_APPLIER_RETRY);
	} else {
		roll_back_to(a, DIA_APPLIER_STOPPED);
	}
	return DIA_OK;
}

/* ---- forming a batch ----------------------------------------------------------------*/

static bool ready(struct dia_applier *a, const struct dia_txn *txn)
{
	bool yes;

	lock_engine(a);
	yes = dia_engine_ready(a->c.engine, &txn->head);
	unlock_engine(a);
	return yes;
}

/* The bare changes of txn in a->bare, as the engine wants them. */
static enum dia_rc bare_changes(struct dia_applier *a, const struct dia_apply_txn *txn)
{
	if (txn->change_count > a->bare_cap) {
		struct dia_change *more =
			realloc(a->bare, txn->change_count * sizeof(struct dia_change));

		if (more == NULL)
			return DIA_E_NOMEM;
		a->bare = more;
		a->bare_cap = txn->change_count;
	}
	for (size_t i = 0; i < txn->change_count; i++)
		a->bare[i] = txn->changes[i].change;
	return DIA_OK;
}

/* Committed here (or long ago): the engine learns it. */
static enum dia_rc tell_engine(struct dia_applier *a, const struct dia_apply_txn *txn,
	const struct dia_txn *watermark)
{
	enum dia_rc rc = DIA_OK;

	if (txn != NULL) {
		rc = bare_changes(a, txn);
		if (rc == DIA_OK)
			rc = dia_engine_applied(
				a->c.engine, &txn->txn->head, a->bare, txn->change_count);
	}
	if (rc == DIA_OK && watermark != NULL)
		rc = dia_engine_applied(a->c.engine, &watermark->head, NULL, 0);
	return rc;
}

static void release_txn(struct dia_applier *a, struct dia_apply_txn *txn)
{
	a->c.ops->release(a->c.db, txn);
	dia_txn_unref(txn->txn);
	*txn = (struct dia_apply_txn){.txn = NULL};
}

/* What to do about the front of the queue. */
enum front {
	FRONT_NONE = 0, /* nothing there, or it has to wait for another origin */
	FRONT_WATERMARK,
	FRONT_REPLAY, /* is in this database already; only the window lacks it */
	FRONT_TAKE,
	FRONT_FULL, /* the batch has to go first */
	FRONT_HELD,
};

static bool too_far_ahead(
	const struct dia_applier *a, const struct dia_txn *txn, uint64_t wall_ms)
{
	uint64_t at_ms = dia_hlc_ms(txn->head.stamp);

	return at_ms > wall_ms && at_ms - wall_ms > a->c.max_ahead_ms;
}

static enum front judge(
	struct dia_applier *a, const struct dia_txn *txn, uint64_t wall_ms)
{
	if (is_watermark(txn))
		return FRONT_WATERMARK;
	if (txn->head.seq <= a->c.applied_seq)
		return FRONT_REPLAY;
	if (a->formed > 0 &&
		((txn->head.flags & DIA_TXN_DDL) != 0 || a->batch.ddl ||
			a->formed >= a->c.batch_txns || a->formed >= a->limit ||
			a->formed_bytes + txn->body_len > a->c.batch_bytes))
		return FRONT_FULL;
	if (too_far_ahead(a, txn, wall_ms))
		return FRONT_HELD;
	return ready(a, txn) ? FRONT_TAKE : FRONT_NONE;
}

static enum dia_rc take_watermark(struct dia_applier *a)
{
	struct dia_txn *mark = pop(a);
	enum dia_rc rc = DIA_OK;

	if (a->formed > 0) {
		dia_txn_unref(a->watermarks[a->formed - 1]);
		a->watermarks[a->formed - 1] = mark;
		return DIA_OK;
	}
	lock_engine(a);
	rc = tell_engine(a, NULL, mark);
	unlock_engine(a);
	dia_txn_unref(mark);
	return rc;
}

/* Parse the front into `ret`; out of the queue only when that worked. */
static enum dia_rc take_front(struct dia_applier *a, struct dia_txn *front,
	struct dia_apply_txn *ret, struct dia_err *err)
{
	enum dia_rc rc;

	*ret = (struct dia_apply_txn){.txn = front};
	rc = a->c.ops->parse(a->c.db, ret, err);
	if (rc != DIA_OK) {
		ret->txn = NULL;
		return rc;
	}
	ret->txn = pop(a);
	return DIA_OK;
}

/* The same, as the newest of those formed. */
static enum dia_rc form_front(
	struct dia_applier *a, struct dia_txn *front, struct dia_err *err)
{
	enum dia_rc rc = take_front(a, front, &a->txns[a->formed], err);

	if (rc != DIA_OK)
		return rc;
	a->formed_bytes += front->body_len;
	a->formed++;
	return DIA_OK;
}

/* Whether it may be parsed while the batch in hand is written. */
static bool fits_ahead(struct dia_applier *a, const struct dia_txn *txn)
{
	return (txn->head.flags & DIA_TXN_DDL) == 0 && txn->head.seq > a->c.applied_seq &&
	       a->formed - a->batch.txn_count < a->c.batch_txns &&
	       a->formed_bytes - a->batch.bytes + txn->body_len <= a->c.batch_bytes &&
	       !too_far_ahead(a, txn, a->wall_ms) && ready(a, txn);
}

void dia_applier_ahead(struct dia_applier *a)
{
	struct dia_err err = {.rc = DIA_OK};
	bool more = a->state == DIA_APPLIER_WRITE;

	while (more) {
		struct dia_txn *front = peek(a);

		if (front == NULL)
			return;
		if (is_watermark(front))
			more = take_watermark(a) == DIA_OK;
		else
			more = fits_ahead(a, front) &&
			       form_front(a, front, &err) == DIA_OK;
		dia_txn_unref(front);
	}
}

static enum dia_rc take_replay(
	struct dia_applier *a, struct dia_txn *front, struct dia_err *err)
{
	struct dia_apply_txn txn;
	enum dia_rc rc = take_front(a, front, &txn, err);

	if (rc != DIA_OK)
		return rc;
	lock_engine(a);
	rc = tell_engine(a, &txn, NULL);
	unlock_engine(a);
	release_txn(a, &txn);
	return rc;
}

static void choose_batch(struct dia_applier *a)
{
	size_t n = 0, bytes = 0;

	while (n < a->formed && n < a->limit &&
		(n == 0 || bytes + a->txns[n].txn->body_len <= a->c.batch_bytes))
		bytes += a->txns[n++].txn->body_len;
	a->batch.txns = a->txns;
	a->batch.txn_count = n;
	a->batch.bytes = bytes;
	a->told = 0;
	if (a->batch.ddl)
		set_state(a, DIA_APPLIER_DDL);
	else
		set_state(a, a->catch_up ? DIA_APPLIER_POSITION : DIA_APPLIER_CHECK);
}

static enum dia_rc step_idle(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	struct dia_txn *front = peek(a);
	enum front what = front == NULL ? FRONT_NONE : judge(a, front, wall_ms);
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc = DIA_OK;

	set_state(a, DIA_APPLIER_IDLE);
	switch (what) {
	case FRONT_WATERMARK:
		rc = take_watermark(a);
		break;
	case FRONT_REPLAY:
		rc = take_replay(a, front, &err);
		break;
	case FRONT_TAKE:
		rc = form_front(a, front, &err);
		if (rc == DIA_OK)
			a->batch.ddl = (front->head.flags & DIA_TXN_DDL) != 0;
		break;
	case FRONT_NONE:
	case FRONT_FULL:
	case FRONT_HELD:
		if (a->formed > 0) {
			choose_batch(a);
		} else if (what == FRONT_HELD) {
			set_state(a, DIA_APPLIER_HELD);
			*ret_wait_ms = dia_hlc_ms(front->head.stamp) - wall_ms -
				       a->c.max_ahead_ms;
			rc = DIA_E_AGAIN;
		} else {
			rc = DIA_E_AGAIN;
		}
		break;
	}
	dia_txn_unref(front);
	return rc == DIA_OK || rc == DIA_E_AGAIN ? rc : failed(a, rc, &err, wall_ms);
}

/* ---- one batch ----------------------------------------------------------------------*/

static void decide(struct dia_applier *a, const struct dia_txn_head *head,
	struct dia_apply_change *c)
{
	dia_engine_decide(a->c.engine, head, &c->change, &c->decision);
	if (c->decision.rival != NULL) {
		c->rival_head = *c->decision.rival;
		c->decision.rival = &c->rival_head;
	}
}

/* Registered before the first look, so that a local change is either seen here or
 * stamped above ours. */
static enum dia_rc check_batch(struct dia_applier *a)
{
	enum dia_rc rc = DIA_OK;

	lock_engine(a);
	for (size_t i = 0; rc == DIA_OK && i < a->batch.txn_count; i++) {
		rc = bare_changes(a, &a->txns[i]);
		if (rc == DIA_OK)
			rc = dia_engine_register(a->c.engine, &a->txns[i].txn->head,
				a->bare, a->txns[i].change_count);
	}
	a->generation = dia_engine_generation(a->c.engine);
	for (size_t i = 0; rc == DIA_OK && i < a->batch.txn_count; i++)
		for (size_t j = 0; j < a->txns[i].change_count; j++)
			decide(a, &a->txns[i].txn->head, &a->txns[i].changes[j]);
	unlock_engine(a);
	return rc;
}

/* Under the engine's lock: would CHECK say the same now? A newer rival of a change that
 * loses anyway is no reason to start again. */
static bool still_true(struct dia_applier *a)
{
	struct dia_decision now;

	if (dia_engine_generation(a->c.engine) == a->generation)
		return true;
	/* Who of two holders of a unique value is the later one hangs on the very change
	 * that lost to ours, so that one must still be its row's last. */
	for (size_t i = 0; i < a->batch.watch_count; i++) {
		const struct dia_apply_watch *w = &a->batch.watches[i];

		dia_engine_decide(a->c.engine, w->head, &w->change, &now);
		if (now.verdict != w->decision.verdict ||
			now.conflict != w->decision.conflict ||
			(now.conflict && now.verdict != DIA_KEEP_LOCAL &&
				now.rival->seq != w->rival_seq))
			return false;
	}
	for (size_t i = 0; i < a->batch.txn_count; i++) {
		for (size_t j = 0; j < a->txns[i].change_count; j++) {
			struct dia_apply_change *c = &a->txns[i].changes[j];

			dia_engine_decide(
				a->c.engine, &a->txns[i].txn->head, &c->change, &now);
			if (now.verdict != c->decision.verdict ||
				now.conflict != c->decision.conflict)
				return false;
		}
	}
	return true;
}

static enum dia_rc step_recheck(struct dia_applier *a, uint64_t wall_ms)
{
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc = DIA_OK;
	bool same;

	lock_engine(a);
	for (size_t i = 0; rc == DIA_OK && i < a->batch.txn_count; i++)
		rc = dia_engine_check_tail(a->c.engine, &a->txns[i].txn->head);
	same = still_true(a);
	unlock_engine(a);
	if (rc != DIA_OK)
		return failed(a,
			dia_err_set(&err, rc, 0,
				"dc %u has applied transactions of this database that it "
				"does not have any more: it lost acknowledged commits (a "
				"crash with relaxed flushing, or a restored backup); "
				"bootstrap it again from the other DC",
				a->c.origin.id),
			&err, wall_ms);
	if (same) {
		set_state(a, DIA_APPLIER_COMMIT);
		return DIA_OK;
	}
	(void)pthread_mutex_lock(&a->mutex);
	a->stats.second_check_rollbacks++;
	(void)pthread_mutex_unlock(&a->mutex);
	count_failure(a);
	roll_back_to(a, DIA_APPLIER_IDLE);
	return DIA_OK;
}

static enum dia_rc step_wait(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	uint64_t limit = a->c.lock_wait_ms << a->lagged, left;
	bool passed;

	lock_engine(a);
	passed = dia_gtid_pos_covers(dia_engine_position(a->c.engine), &a->need);
	unlock_engine(a);
	if (passed) {
		a->catch_up = false;
		set_state(a, a->open ? DIA_APPLIER_RECHECK : DIA_APPLIER_IDLE);
		return DIA_OK;
	}
	if (!a->open)
		return DIA_E_AGAIN;
	left = until(a->wait_since_ms + limit, wall_ms, limit);
	if (left == 0) {
		/* Capture is far behind: clients must not wait for these rows meanwhile.
		 */
		if (a->lagged < LAG_DOUBLINGS)
			a->lagged++;
		roll_back_to(a, DIA_APPLIER_WAIT);
		return DIA_OK;
	}
	*ret_wait_ms = left;
	return DIA_E_AGAIN;
}

static void count_batch(struct dia_applier *a)
{
	struct dia_applier_stats *s = &a->stats;

	(void)pthread_mutex_lock(&a->mutex);
	s->batches++;
	s->ddl += a->batch.ddl ? 1 : 0;
	for (size_t i = 0; i < a->batch.txn_count; i++) {
		const struct dia_apply_txn *t = &a->txns[i];

		s->txns++;
		s->rows += t->change_count;
		for (size_t j = 0; j < t->change_count; j++) {
			const struct dia_decision *d = &t->changes[j].decision;

			s->conflicts += d->conflict ? 1 : 0;
			s->kept_local += d->verdict == DIA_KEEP_LOCAL ? 1 : 0;
			s->upserts += d->verdict == DIA_UPSERT ? 1 : 0;
		}
		s->applied_seq = t->txn->head.seq;
	}
	(void)pthread_mutex_unlock(&a->mutex);
}

static enum dia_rc step_committed(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	size_t n = a->batch.txn_count;
	enum dia_rc rc = DIA_OK;

	a->open = false;
	lock_engine(a);
	while (rc == DIA_OK && a->told < n) {
		rc = tell_engine(a, &a->txns[a->told], a->watermarks[a->told]);
		a->told += rc == DIA_OK ? 1 : 0;
	}
	unlock_engine(a);
	if (rc == DIA_E_NOMEM) {
		/* The rows are committed, so this cannot be undone: only tried again. */
		*ret_wait_ms = BACKOFF_MAX_MS;
		return DIA_E_AGAIN;
	}
	if (rc != DIA_OK)
		return failed(a, rc, NULL, wall_ms);
	count_batch(a);
	for (size_t i = 0; i < n; i++) {
		a->formed_bytes -= a->txns[i].txn->body_len;
		release_txn(a, &a->txns[i]);
		dia_txn_unref(a->watermarks[i]);
		a->watermarks[i] = NULL;
	}
	a->formed -= n;
	for (size_t i = 0; i < a->formed; i++) {
		a->txns[i] = a->txns[i + n];
		a->watermarks[i] = a->watermarks[i + n];
		a->watermarks[i + n] = NULL;
	}
	a->batch = (struct dia_apply_batch){.txn_count = 0};
	a->limit = a->limit > a->c.batch_txns / 2 ? a->c.batch_txns : a->limit * 2;
	a->failures = a->lagged = 0;
	set_state(a, DIA_APPLIER_IDLE);
	return DIA_OK;
}

/* The connection is new; the mark tells whether the commit whose reply was lost had
 * happened. */
static enum dia_rc step_reconnect(struct dia_applier *a, uint64_t wall_ms)
{
	struct dia_err err = {.rc = DIA_OK};
	uint64_t seq = 0, first, last;
	enum dia_rc rc = a->c.ops->reconnect(a->c.db, &seq, &err);

	if (rc == DIA_E_DB_GONE || rc == DIA_E_DB_RETRY || rc == DIA_E_NOMEM) {
		note_error(a, rc, &err);
		a->failures++;
		back_off(a, wall_ms);
		a->after_retry = DIA_APPLIER_RECONNECT;
		set_state(a, DIA_APPLIER_RETRY);
		return DIA_OK;
	}
	if (rc != DIA_OK)
		return failed(a, rc, &err, wall_ms);
	a->catch_up = true;
	first = a->batch.txn_count > 0 ? a->txns[0].txn->head.seq : 0;
	last = a->batch.txn_count > 0 ? a->txns[a->batch.txn_count - 1].txn->head.seq : 0;
	if (seq < a->stats.applied_seq)
		return failed(a,
			dia_err_set(&err, DIA_E_LOST_TAIL, 0,
				"the applied mark of dc %u went back from %" PRIu64
				" to %" PRIu64 ": this database lost commits",
				a->c.origin.id, a->stats.applied_seq, seq),
			&err, wall_ms);
	if (first > 0 && seq >= last)
		set_state(a, DIA_APPLIER_COMMITTED);
	else if (seq == a->stats.applied_seq)
		set_state(a, DIA_APPLIER_IDLE);
	else
		return failed(a,
			dia_err_set(&err, DIA_E_STATE, 0,
				"the applied mark of dc %u is %" PRIu64
				", which this process has not committed: is a second "
				"diarchy writing to this database?",
				a->c.origin.id, seq),
			&err, wall_ms);
	return DIA_OK;
}

/* Steps that are one database call and then the next state. */
static enum dia_rc step_database(struct dia_applier *a, uint64_t wall_ms)
{
	const struct dia_apply_ops *ops = a->c.ops;
	struct dia_err err = {.rc = DIA_OK};
	enum dia_applier_state next = DIA_APPLIER_STOPPED;
	enum dia_rc rc = DIA_OK;

	switch (a->state) {
	case DIA_APPLIER_BEGIN:
		a->open = true;
		rc = ops->begin(a->c.db, &err);
		next = DIA_APPLIER_WRITE;
		break;
	case DIA_APPLIER_WRITE:
		a->batch.watch_count = 0;
		rc = ops->write(a->c.db, &a->batch, &err);
		next = dia_engine_broken(a->c.engine, DIA_BREAK_NO_SECOND_CHECK)
			       ? DIA_APPLIER_COMMIT
			       : DIA_APPLIER_POSITION;
		break;
	case DIA_APPLIER_POSITION:
		rc = ops->position(a->c.db, &a->need, &err);
		a->wait_since_ms = wall_ms;
		next = DIA_APPLIER_WAIT;
		break;
	case DIA_APPLIER_COMMIT:
		rc = ops->commit(a->c.db, &err);
		next = DIA_APPLIER_COMMITTED;
		break;
	case DIA_APPLIER_DDL:
		a->open = true;
		rc = ops->ddl(a->c.db, &a->batch, &err);
		next = DIA_APPLIER_COMMITTED;
		break;
	case DIA_APPLIER_ROLLBACK:
		rc = ops->rollback(a->c.db, &err);
		next = a->after_rollback;
		if (rc == DIA_E_AGAIN)
			return rc;
		a->open = false;
		/* A rollback that cannot be made leaves it to the end of the connection,
		 * on the way to the end of the applier as well. */
		if (rc != DIA_OK && next != DIA_APPLIER_STOPPED)
			return failed(a, DIA_E_DB_GONE, &err, wall_ms);
		rc = DIA_OK;
		break;
	case DIA_APPLIER_IDLE:
	case DIA_APPLIER_CHECK:
	case DIA_APPLIER_WAIT:
	case DIA_APPLIER_RECHECK:
	case DIA_APPLIER_COMMITTED:
	case DIA_APPLIER_RECONNECT:
	case DIA_APPLIER_RETRY:
	case DIA_APPLIER_HELD:
	case DIA_APPLIER_STOPPED:
		return DIA_E_STATE;
	}
	if (rc != DIA_OK)
		return failed(a, rc, &err, wall_ms);
	set_state(a, next);
	return DIA_OK;
}

static enum dia_rc step_retry(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	*ret_wait_ms = until(a->retry_at_ms, wall_ms, BACKOFF_MAX_MS);
	if (*ret_wait_ms > 0)
		return DIA_E_AGAIN;
	set_state(a, a->after_retry);
	return DIA_OK;
}

static enum dia_rc make_step(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	enum dia_rc rc;

	switch (a->state) {
	case DIA_APPLIER_IDLE:
	case DIA_APPLIER_HELD:
		return step_idle(a, wall_ms, ret_wait_ms);
	case DIA_APPLIER_CHECK:
		rc = check_batch(a);
		if (rc != DIA_OK)
			return failed(a, rc, NULL, wall_ms);
		set_state(a, DIA_APPLIER_BEGIN);
		return DIA_OK;
	case DIA_APPLIER_BEGIN:
	case DIA_APPLIER_WRITE:
	case DIA_APPLIER_POSITION:
	case DIA_APPLIER_COMMIT:
	case DIA_APPLIER_DDL:
	case DIA_APPLIER_ROLLBACK:
		return step_database(a, wall_ms);
	case DIA_APPLIER_WAIT:
		return step_wait(a, wall_ms, ret_wait_ms);
	case DIA_APPLIER_RECHECK:
		return step_recheck(a, wall_ms);
	case DIA_APPLIER_COMMITTED:
		return step_committed(a, wall_ms, ret_wait_ms);
	case DIA_APPLIER_RECONNECT:
		return step_reconnect(a, wall_ms);
	case DIA_APPLIER_RETRY:
		return step_retry(a, wall_ms, ret_wait_ms);
	case DIA_APPLIER_STOPPED:
		return DIA_E_STOPPED;
	}
	return DIA_E_STATE;
}

enum dia_rc dia_applier_step(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms)
{
	enum dia_applier_state before = a->state;
	enum dia_rc rc;

	*ret_wait_ms = 0;
	a->wall_ms = wall_ms;
	rc = make_step(a, wall_ms, ret_wait_ms);
	if (a->state != before) {
		(void)pthread_mutex_lock(&a->mutex);
		a->stats.state = a->state;
		(void)pthread_mutex_unlock(&a->mutex);
	}
	return rc;
}

void dia_applier_stats(struct dia_applier *a, struct dia_applier_stats *ret)
{
	(void)pthread_mutex_lock(&a->mutex);
	*ret = a->stats;
	(void)pthread_mutex_unlock(&a->mutex);
}

/* ---- life ---------------------------------------------------------------------------*/

enum dia_rc dia_applier_new(const struct dia_applier_config *c, struct dia_applier **ret)
{
	struct dia_applier *a;

	if (c->replay_txns > c->applied_seq)
		return DIA_E_CONFIG;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return DIA_E_NOMEM;
	a->c = *c;
	if (a->c.batch_txns == 0)
		a->c.batch_txns = 1;
	if (a->c.lock_wait_ms == 0)
		a->c.lock_wait_ms = LOCK_WAIT_MS;
	a->limit = a->c.batch_txns;
	a->catch_up = true;
	a->random = UINT64_C(0x9e3779b97f4a7c15) * (c->origin.id + UINT64_C(1));
	a->received_seq = c->applied_seq - c->replay_txns;
	a->stats.received_seq = a->received_seq;
	a->stats.applied_seq = c->applied_seq;
	a->txns = calloc(a->c.batch_txns, 2 * sizeof(*a->txns));
	a->watermarks = calloc(a->c.batch_txns, 2 * sizeof(struct dia_txn *));
	if (a->txns == NULL || a->watermarks == NULL ||
		pthread_mutex_init(&a->mutex, NULL) != 0) {
		free(a->txns);
		free(a->watermarks);
		free(a);
		return DIA_E_NOMEM;
	}
	*ret = a;
	return DIA_OK;
}

void dia_applier_free(struct dia_applier *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->formed; i++) {
		release_txn(a, &a->txns[i]);
		dia_txn_unref(a->watermarks[i]);
	}
	while (a->front != NULL)
		dia_txn_unref(pop(a));
	(void)pthread_mutex_destroy(&a->mutex);
	free(a->txns);
	free(a->watermarks);
	free(a->bare);
	free(a);
}
