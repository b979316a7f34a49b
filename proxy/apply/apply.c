/* proxy/apply/apply.c - the applier threads and the link's sink; see apply.h. */
#include "proxy/apply/apply.h"
#include "proxy/apply/db.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* One origin. */
struct applier {
	struct dia_apply *owner;
	struct dia_dc origin;
	const char *name;
	struct apply_db *db;
	struct dia_applier *steps;
	pthread_t thread;
	bool started;
	int wake_fd; /* to the link: applied has moved, or there is room */

	pthread_mutex_t mutex; /* guards the two below */
	pthread_cond_t cond;
	bool awake, stop;
};

struct dia_apply {
	struct dia_apply_config c;
	atomic_uint_fast64_t schema_generation;
	struct applier *appliers;
	size_t count;
};

/* ---- the thread
 * ------------------------------------------------------------------------ */

static void wake(struct applier *a, bool stop)
{
	(void)pthread_mutex_lock(&a->mutex);
	a->awake = true;
	a->stop |= stop;
	(void)pthread_cond_signal(&a->cond);
	(void)pthread_mutex_unlock(&a->mutex);
}

/* Until woken or wait_ms has passed (0: no limit). True when it is time to end. */
static bool sleep_until_woken(struct applier *a, uint64_t wait_ms)
{
	struct timespec until;
	int rc = 0;
	bool stop;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&a->mutex);
	while (!a->awake && !a->stop && rc == 0)
		rc = wait_ms == 0 ? pthread_cond_wait(&a->cond, &a->mutex)
				  : pthread_cond_timedwait(&a->cond, &a->mutex, &until);
	a->awake = false;
	stop = a->stop;
	(void)pthread_mutex_unlock(&a->mutex);
	return stop;
}

static bool must_stop(struct applier *a)
{
	bool stop;

	(void)pthread_mutex_lock(&a->mutex);
	stop = a->stop;
	(void)pthread_mutex_unlock(&a->mutex);
	return stop;
}

/* What changed since the last look: progress to the link, new errors to the log. */
struct seen {
	uint64_t applied_seq, queued_bytes, retries;
	int number; /* of the last error that was a warning */
	bool stopped;
};

/* Row locks of clients are everyday; anything else that keeps a batch from getting
 * through is said once, until it changes or a batch gets through. */
static enum dia_log_level retry_level(
	const struct dia_applier_stats *s, struct seen *seen)
{
	bool lock =
		s->error.rc == DIA_E_DB_RETRY &&
		(s->error.number == ER_LOCK_DEADLOCK ||
			s->error.number == ER_LOCK_WAIT_TIMEOUT || s->error.number == 0);

	if (s->applied_seq != seen->applied_seq)
		seen->number = 0;
	if (lock || s->error.number == seen->number)
		return DIA_LOG_DEBUG;
	seen->number = s->error.number;
	return DIA_LOG_WARN;
}

static void look(struct applier *a, struct seen *seen)
{
	struct dia_applier_stats s;
	char quoted[DIA_ERR_TEXT_MAX + 16];
	uint64_t one = 1;

	dia_applier_stats(a->steps, &s);
	if (s.applied_seq != seen->applied_seq || s.queued_bytes < seen->queued_bytes) {
		ssize_t n = write(a->wake_fd, &one, sizeof(one));

		/* A full counter is as readable as one that took this. */
		(void)n;
	}
	if (s.state == DIA_APPLIER_STOPPED && !seen->stopped)
		dia_log(DIA_LOG_ERROR, "apply", "stopped",
			"dc=%s applied_seq=%" PRIu64 " error=%s", a->name, s.applied_seq,
			dia_log_quote(quoted, sizeof(quoted), s.error.text));
	else if (s.retries != seen->retries)
		dia_log(retry_level(&s, seen), "apply", "retry",
			"dc=%s retries=%" PRIu64 " error=%s", a->name, s.retries,
			dia_log_quote(quoted, sizeof(quoted), s.error.text));
	seen->applied_seq = s.applied_seq;
	seen->queued_bytes = s.queued_bytes;
	seen->retries = s.retries;
	seen->stopped = s.state == DIA_APPLIER_STOPPED;
}

static void *run(void *arg)
{
	struct applier *a = arg;
	struct seen seen = {0};
	uint64_t wait_ms;

	while (!must_stop(a)) {
		enum dia_rc rc = dia_applier_step(
			a->steps, dia_clock_wall_ms(&a->owner->c.clock), &wait_ms);

		look(a, &seen);
		if (rc == DIA_OK)
			continue;
		/* Stopped for good as well: nothing but the end wakes it then. */
		if (sleep_until_woken(a, rc == DIA_E_AGAIN ? wait_ms : 0))
			break;
	}
	mysql_thread_end();
	return NULL;
}

/* ---- start and stop
 * -------------------------------------------------------------------- */

static void applier_fini(struct applier *a)
{
	if (a->started) {
		wake(a, true);
		(void)pthread_join(a->thread, NULL);
	}
	dia_applier_free(a->steps);
	dia_apply_db_close(a->db);
	if (a->wake_fd >= 0)
		(void)close(a->wake_fd);
	(void)pthread_cond_destroy(&a->cond);
	(void)pthread_mutex_destroy(&a->mutex);
}

static void parse_ahead(void *ctx)
{
	struct applier *a = ctx;

	dia_applier_ahead(a->steps);
}

static enum dia_rc applier_init(struct dia_apply *apply,
	const struct dia_config_peer *peer, struct applier *a, struct dia_err *reterr)
{
	const struct dia_config *config = apply->c.config;
	struct dia_apply_db_config dc = {.config = config,
		.origin = peer->dc,
		.origin_name = peer->name,
		.self_name = config->dc.name,
		.schema_generation = &apply->schema_generation,
		.engine = apply->c.engine,
		.lock = apply->c.lock,
		.unlock = apply->c.unlock,
		.lock_ctx = apply->c.lock_ctx};
	struct dia_applier_config ac = {.origin = peer->dc,
		.engine = apply->c.engine,
		.ops = &apply_db_ops,
		.batch_txns = config->limits.batch_transactions,
		.batch_bytes = config->limits.batch_bytes,
		.queue_bytes = config->limits.apply_queue_memory,
		.max_ahead_ms = config->clock.max_ahead_ms,
		.lock = apply->c.lock,
		.unlock = apply->c.unlock,
		.lock_ctx = apply->c.lock_ctx};
	pthread_condattr_t attr;
	enum dia_rc rc;

	a->owner = apply;
	a->origin = peer->dc;
	a->name = peer->name;
	(void)pthread_mutex_init(&a->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	a->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (a->wake_fd < 0)
		return dia_err_set(
			reterr, DIA_E_IO, 0, "eventfd for the applier of %s", a->name);
	rc = dia_apply_db_open(&dc, &a->db, &ac.applied_seq, reterr);
	if (rc != DIA_OK)
		return rc;
	ac.db = a->db;
	ac.replay_txns = apply->c.replay_txns < ac.applied_seq ? apply->c.replay_txns
							       : ac.applied_seq;
	rc = dia_applier_new(&ac, &a->steps);
	if (rc != DIA_OK)
		return dia_err_set(
			reterr, rc, 0, "applier of %s: %s", a->name, dia_rc_text(rc));
	apply_db_set_ahead(a->db, parse_ahead, a);
	return DIA_OK;
}

enum dia_rc dia_apply_start(
	const struct dia_apply_config *c, struct dia_apply **ret, struct dia_err *reterr)
{
	struct dia_apply *apply = calloc(1, sizeof(*apply));
	enum dia_rc rc = DIA_OK;

	*ret = NULL;
	if (apply == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for the appliers");
	apply->c = *c;
	apply->appliers = calloc(c->config->peer.dc_count + 1, sizeof(*apply->appliers));
	if (apply->appliers == NULL)
		rc = dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for the appliers");
	for (size_t i = 0; rc == DIA_OK && i < c->config->peer.dc_count; i++) {
		apply->appliers[i].wake_fd = -1;
		apply->count++;
		rc = applier_init(
			apply, &c->config->peer.dcs[i], &apply->appliers[i], reterr);
	}
	for (size_t i = 0; rc == DIA_OK && i < apply->count; i++) {
		struct applier *a = &apply->appliers[i];

		if (pthread_create(&a->thread, NULL, run, a) != 0)
			rc = dia_err_set(reterr, DIA_E_NOMEM, 0,
				"no thread for the applier of %s", a->name);
		else
			a->started = true;
	}
	if (rc != DIA_OK) {
		dia_apply_stop(apply);
		return rc;
	}
	*ret = apply;
	return DIA_OK;
}

void dia_apply_stop(struct dia_apply *apply)
{
	if (apply == NULL)
		return;
	/* All are told before any is waited for. */
	for (size_t i = 0; i < apply->count; i++)
		if (apply->appliers[i].started)
			wake(&apply->appliers[i], true);
	for (size_t i = 0; i < apply->count; i++)
		applier_fini(&apply->appliers[i]);
	free(apply->appliers);
	free(apply);
}

void dia_apply_wake(struct dia_apply *apply)
{
	for (size_t i = 0; i < apply->count; i++)
		wake(&apply->appliers[i], false);
}

void dia_apply_schema_changed(struct dia_apply *apply)
{
	atomic_fetch_add(&apply->schema_generation, 1);
}

size_t dia_apply_stats(struct dia_apply *apply, struct dia_apply_stats *ret, size_t cap)
{
	size_t n = apply->count < cap ? apply->count : cap;

	for (size_t i = 0; i < n; i++) {
		struct applier *a = &apply->appliers[i];

		ret[i] = (struct dia_apply_stats){.origin = a->origin, .name = a->name};
		dia_applier_stats(a->steps, &ret[i].applier);
		dia_apply_db_counters(a->db, &ret[i].counters);
		ret[i].lag_us = apply_db_lag_us(a->db);
	}
	return n;
}

/* ---- the sink
 * -------------------------------------------------------------------------- */

static struct applier *find(struct dia_apply *apply, struct dia_dc origin)
{
	for (size_t i = 0; i < apply->count; i++)
		if (apply->appliers[i].origin.id == origin.id)
			return &apply->appliers[i];
	return NULL;
}

static enum dia_rc sink_deliver(
	void *ctx, struct dia_dc origin, struct dia_txn *txn, struct dia_err *reterr)
{
	struct applier *a = find(ctx, origin);
	uint64_t seq = txn->head.seq;
	enum dia_rc rc;

	if (a == NULL)
		return dia_err_set(
			reterr, DIA_E_NOT_FOUND, 0, "dc %u is not configured", origin.id);
	rc = dia_applier_push(a->steps, txn);
	if (rc == DIA_OK)
		wake(a, false);
	else if (rc != DIA_E_AGAIN)
		return dia_err_set(reterr, rc, 0,
			"transaction %" PRIu64 " of %s cannot be taken: %s", seq, a->name,
			rc == DIA_E_STATE ? "it does not follow the last one"
					  : dia_rc_text(rc));
	return rc;
}

static enum dia_rc sink_position(
	void *ctx, struct dia_dc origin, uint64_t *ret_received, uint64_t *ret_applied)
{
	struct applier *a = find(ctx, origin);
	struct dia_applier_stats s;

	if (a == NULL)
		return DIA_E_NOT_FOUND;
	dia_applier_stats(a->steps, &s);
	*ret_received = s.received_seq;
	*ret_applied = s.applied_seq;
	return DIA_OK;
}

static enum dia_rc sink_identify(void *ctx, struct dia_dc origin, uint64_t incarnation,
	uint64_t head_seq, struct dia_err *reterr)
{
	struct applier *a = find(ctx, origin);
	struct dia_applier_stats s;
	uint64_t known;

	if (a == NULL)
		return dia_err_set(
			reterr, DIA_E_NOT_FOUND, 0, "dc %u is not configured", origin.id);
	known = apply_db_identify(a->db, incarnation);
	if (known != incarnation)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"%s numbers its transactions anew (identity %016" PRIx64
			", known here %016" PRIx64
			"): its state_dir was lost or replaced, or its "
			"database restored; put the old state_dir back, or make both "
			"databases "
			"equal and delete the row with origin=%u from diarchy.applied "
			"here",
			a->name, incarnation, known, origin.id);
	dia_applier_stats(a->steps, &s);
	if (head_seq < s.applied_seq)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"%s has %" PRIu64 " transactions, but %" PRIu64
			" of it are applied here: its database or its state_dir went "
			"back in "
			"time (a crash with relaxed flushing, or a restored backup); "
			"copy what it "
			"lacks from here before it writes on",
			a->name, head_seq, s.applied_seq);
	return DIA_OK;
}

static int sink_wake_fd(void *ctx, struct dia_dc origin)
{
	struct applier *a = find(ctx, origin);

	return a == NULL ? -1 : a->wake_fd;
}

const struct dia_sink_ops dia_apply_sink = {
	.deliver = sink_deliver,
	.position = sink_position,
	.identify = sink_identify,
	.wake_fd = sink_wake_fd,
};
