/* proxy/capture/capture.c - lifecycle, source ops and status; see capture.h. */
#include "proxy/capture/capture_int.h"

#include "proxy/core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

const char *dia_capture_state_text(enum dia_capture_state state)
{
	switch (state) {
	case DIA_CAPTURE_STARTING:
		return "starting";
	case DIA_CAPTURE_CONNECTING:
		return "connecting";
	case DIA_CAPTURE_REBUILDING:
		return "rebuilding";
	case DIA_CAPTURE_STREAMING:
		return "streaming";
	case DIA_CAPTURE_JOURNAL_STUCK:
		return "journal_stuck";
	case DIA_CAPTURE_POWER_LOSS:
		return "power_loss";
	case DIA_CAPTURE_FAILED:
		return "failed";
	case DIA_CAPTURE_STOPPED:
		return "stopped";
	}
	return "unknown";
}

uint64_t dia_capture_now_us(const struct dia_capture *c)
{
	return dia_clock_mono_us(&c->config.clock);
}

void dia_capture_lock(struct dia_capture *c)
{
	c->config.lock(c->config.lock_ctx);
}

void dia_capture_unlock(struct dia_capture *c)
{
	c->config.unlock(c->config.lock_ctx);
}

void dia_capture_set_state(struct dia_capture *c, enum dia_capture_state state)
{
	enum dia_capture_state old;

	(void)pthread_mutex_lock(&c->status_lock);
	old = c->status.state;
	c->status.state = state;
	(void)pthread_mutex_unlock(&c->status_lock);
	if (old != state)
		dia_log(DIA_LOG_INFO, "capture", "state", "from=%s to=%s",
			dia_capture_state_text(old), dia_capture_state_text(state));
}

void dia_capture_set_error(struct dia_capture *c, const struct dia_err *err)
{
	(void)pthread_mutex_lock(&c->status_lock);
	if (err == NULL)
		c->status.error.rc = DIA_OK;
	else
		c->status.error = *err;
	(void)pthread_mutex_unlock(&c->status_lock);
}

void dia_capture_set_tried(struct dia_capture *c)
{
	(void)pthread_mutex_lock(&c->status_lock);
	c->tried = true;
	(void)pthread_cond_broadcast(&c->tried_cond);
	(void)pthread_mutex_unlock(&c->status_lock);
}

bool dia_capture_pause(struct dia_capture *c, unsigned ms)
{
	struct pollfd fd = {.fd = c->stop_fd, .events = POLLIN};

	if (!atomic_load(&c->stopping))
		(void)poll(&fd, 1, (int)ms);
	return !atomic_load(&c->stopping);
}

static void capture_free(struct dia_capture *c)
{
	dia_reader_free(c->reader);
	dia_group_free(c->groups);
	dia_lookup_free(c->lookup);
	dia_weigher_free(c->weights);
	dia_outbox_free(c->outbox);
	dia_refused_free(c->refused);
	if (c->journal != NULL)
		dia_journal_close(c->journal);
	if (c->stop_fd >= 0)
		(void)close(c->stop_fd);
	(void)pthread_cond_destroy(&c->tried_cond);
	(void)pthread_mutex_destroy(&c->status_lock);
	free(c);
}

static enum dia_rc open_journal(struct dia_capture *c, struct dia_err *reterr)
{
	bool is_new;
	enum dia_rc rc = dia_journal_open(c->config.config->state_dir, &c->journal,
		&is_new, &c->power_loss, reterr);

	if (rc != DIA_OK)
		return rc;
	c->known_seq = dia_journal_last(c->journal);
	rc = dia_journal_point_oldest(c->journal, &c->start);
	if (rc == DIA_E_NOT_FOUND && c->known_seq == 0) {
		c->power_loss = false;
		return DIA_OK;
	}
	if (rc != DIA_OK)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"the journal in %s has entries but no point to read the binlog "
			"from; "
			"restore state_dir from a copy, or bootstrap this datacenter "
			"from its "
			"peer",
			c->config.config->state_dir);
	c->have_point = true;
	c->pos = c->start.pos;
	c->seq = c->status.rebuild_seq = c->start.seq;
	c->status.pos = c->pos;
	return DIA_OK;
}

static enum dia_rc make_parts(struct dia_capture *c, struct dia_err *reterr)
{
	const struct dia_config *config = c->config.config;
	uint32_t id = DIA_RESERVED_ID_BASE;
	struct dia_reader_config reader = {.config = config,
		.server_id = id + DIA_CAPTURE_ID_LIVE,
		.clock = c->config.clock};
	struct dia_group_config groups = {.config = config,
		.want_keys = true,
		.weigh = dia_weigher_weigh,
		.transactional = dia_lookup_transactional,
		.spill_dir = config->state_dir,
		.spill_bytes = config->limits.txn_memory};
	struct dia_outbox_config outbox = {
		.catchup = {.config = config,
			.journal = c->journal,
			.clock = c->config.clock,
			.self = config->dc.id,
			.server_id = id + DIA_CAPTURE_ID_CATCHUP,
			.spill_dir = config->state_dir,
			.spill_bytes = config->limits.txn_memory},
		.max_bytes = config->limits.outbox_memory};
	enum dia_rc rc = dia_refused_new(c->config.clock, &c->refused);

	if (rc == DIA_OK)
		rc = dia_lookup_new(config, &c->lookup);
	if (rc == DIA_OK)
		rc = dia_weigher_new(config, &c->weights);
	groups.lookup_ctx = c->lookup;
	groups.weigh_ctx = c->weights;
	groups.refused = c->refused;
	if (rc == DIA_OK)
		rc = dia_group_new(&groups, &c->groups);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "capture: %s", dia_rc_text(rc));
	rc = dia_reader_new(&reader, &c->reader, reterr);
	return rc != DIA_OK ? rc : dia_outbox_new(&outbox, &c->outbox, reterr);
}

enum dia_rc dia_capture_new(const struct dia_capture_config *config,
	struct dia_capture **ret, struct dia_err *reterr)
{
	struct dia_capture *c = calloc(1, sizeof(*c));
	enum dia_rc rc;

	if (c == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for capture");
	c->config = *config;
	(void)pthread_mutex_init(&c->status_lock, NULL);
	(void)pthread_cond_init(&c->tried_cond, NULL);
	for (size_t i = 0; i < config->config->peer.dc_count; i++)
		c->peers[i].dc = config->config->peer.dcs[i].dc;
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0)
		rc = dia_err_set(reterr, DIA_E_IO, errno, "eventfd: %s", strerror(errno));
	else
		rc = open_journal(c, reterr);
	if (rc == DIA_OK)
		rc = make_parts(c, reterr);
	if (rc != DIA_OK) {
		capture_free(c);
		return rc;
	}
	dia_outbox_begin(c->outbox, c->seq);
	*ret = c;
	return DIA_OK;
}

void dia_capture_engine_config(const struct dia_capture *c, struct dia_engine_config *ret)
{
	ret->self = c->config.config->dc.id;
	ret->last = dia_hlc_max(ret->last, c->start.last);
	ret->applied = c->start.applied;
	ret->local_seq = c->start.seq;
}

enum dia_rc dia_capture_start(
	struct dia_capture *c, struct dia_engine *engine, struct dia_err *reterr)
{
	int failed;

	c->engine = engine;
	failed = pthread_create(&c->thread, NULL, dia_capture_run, c);
	if (failed != 0)
		return dia_err_set(reterr, DIA_E_NOMEM, failed,
			"cannot start capture: %s", strerror(failed));
	c->started = true;
	(void)pthread_mutex_lock(&c->status_lock);
	while (!c->tried)
		(void)pthread_cond_wait(&c->tried_cond, &c->status_lock);
	(void)pthread_mutex_unlock(&c->status_lock);
	return DIA_OK;
}

void dia_capture_close(struct dia_capture *c)
{
	uint64_t one = 1;

	if (c == NULL)
		return;
	atomic_store(&c->stopping, true);
	if (write(c->stop_fd, &one, sizeof(one)) < 0)
		dia_log(DIA_LOG_WARN, "capture", "stop_late", "errno=%d", errno);
	dia_reader_stop(c->reader);
	if (c->started)
		(void)pthread_join(c->thread, NULL);
	capture_free(c);
}

/* ---- the link's source ----------------------------------------------------------------
 */

static enum dia_rc source_open(
	void *ctx, uint64_t after_seq, void **ret_cursor, struct dia_err *reterr)
{
	struct dia_capture *c = ctx;
	struct dia_outbox_cursor *cursor = NULL;
	enum dia_rc rc;

	(void)pthread_mutex_lock(&c->status_lock);
	c->opens++;
	if (after_seq > c->opened_after)
		c->opened_after = after_seq;
	(void)pthread_mutex_unlock(&c->status_lock);
	rc = dia_outbox_open(c->outbox, after_seq, &cursor, reterr);
	*ret_cursor = cursor;
	return rc;
}

static enum dia_rc source_next(void *cursor, struct dia_txn **ret, struct dia_err *reterr)
{
	return dia_outbox_next(cursor, ret, reterr);
}

static int source_wake_fd(void *cursor)
{
	return dia_outbox_wake_fd(cursor);
}

static void source_close(void *cursor)
{
	dia_outbox_close(cursor);
}

static uint64_t source_head_seq(void *ctx)
{
	struct dia_capture *c = ctx;

	return dia_outbox_head(c->outbox);
}

static uint64_t source_incarnation(void *ctx)
{
	struct dia_capture *c = ctx;

	return dia_journal_incarnation(c->journal);
}

static void source_acked(
	void *ctx, struct dia_dc peer, uint64_t received, uint64_t applied)
{
	struct dia_capture *c = ctx;

	(void)received;
	(void)pthread_mutex_lock(&c->status_lock);
	for (size_t i = 0; i < c->config.config->peer.dc_count; i++) {
		if (c->peers[i].dc.id != peer.id)
			continue;
		c->peers[i].heard = true;
		if (applied > c->peers[i].applied)
			c->peers[i].applied = applied;
	}
	(void)pthread_mutex_unlock(&c->status_lock);
}

const struct dia_source_ops dia_capture_source = {
	.open = source_open,
	.next = source_next,
	.wake_fd = source_wake_fd,
	.close = source_close,
	.head_seq = source_head_seq,
	.incarnation = source_incarnation,
	.acked = source_acked,
};

void dia_capture_status(struct dia_capture *c, struct dia_capture_status *ret)
{
	(void)pthread_mutex_lock(&c->status_lock);
	*ret = c->status;
	(void)pthread_mutex_unlock(&c->status_lock);
	ret->head_seq = dia_outbox_head(c->outbox);
	ret->durable_seq = dia_journal_durable(c->journal);
	ret->first_seq = dia_journal_first(c->journal);
	ret->incarnation = dia_journal_incarnation(c->journal);
	dia_outbox_stats(c->outbox, &ret->outbox);
	for (int i = 0; i < DIA_REFUSED_REASONS; i++)
		ret->refused[i] =
			dia_refused_count(c->refused, (enum dia_refused_reason)i);
}

size_t dia_capture_refused(
	struct dia_capture *c, struct dia_refused_entry *ret, size_t cap)
{
	return dia_refused_list(c->refused, ret, cap);
}
