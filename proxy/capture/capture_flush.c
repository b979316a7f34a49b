/* proxy/capture/capture_flush.c - from read to published, see capture_int.h. */
#include "proxy/capture/capture_int.h"

#include "proxy/core/fault.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	JOURNAL_RETRY_MS = 1000,
	WATERMARK_US = 200 * 1000,
	POINT_GROUPS = 1000,
	POINT_BYTES = 64 << 20,
	POINT_US = 5 * 1000 * 1000,
	PRUNE_US = 5 * 1000 * 1000,
	PURGE_CHECK_US = 60 * 1000 * 1000,
	LOOK_US = 5 * 1000 * 1000,
};

bool dia_capture_rebuilding(const struct dia_capture *c)
{
	return c->seq < c->known_seq;
}

/* Stamps of the new ones go into the journal, one write for all. Until they are there
 * nobody may see them, nor build on them: a restart would stamp these transactions anew.
 */
static enum dia_rc write_stamps(struct dia_capture *c, struct dia_err *reterr)
{
	struct dia_journal_entry entries[DIA_CAPTURE_BURST];
	size_t n = 0;
	enum dia_rc rc;

	for (size_t i = 0; i < c->pending_count; i++) {
		const struct dia_txn *txn = c->pending[i].txn;

		if (txn != NULL && !c->pending[i].journaled)
			entries[n++] = (struct dia_journal_entry){.seq = txn->head.seq,
				.stamp = txn->head.stamp,
				.gtid = txn->head.gtid,
				.commit_time = txn->head.commit_time,
				.deps = txn->head.deps};
	}
	if (n == 0)
		return DIA_OK;
	DIA_FAULT("capture_stamped");
	while ((rc = dia_journal_append(c->journal, entries, n, reterr)) != DIA_OK) {
		char quoted[DIA_ERR_TEXT_MAX];
		uint64_t written = dia_journal_last(c->journal);
		size_t done = 0;

		dia_capture_set_error(c, reterr);
		dia_capture_set_state(c, DIA_CAPTURE_JOURNAL_STUCK);
		dia_log(DIA_LOG_ERROR, "capture", "journal_failed", "error=%s",
			dia_log_quote(quoted, sizeof(quoted), reterr->text));
		(void)pthread_mutex_lock(&c->status_lock);
		c->status.journal_errors++;
		(void)pthread_mutex_unlock(&c->status_lock);
		if (!dia_capture_pause(c, JOURNAL_RETRY_MS))
			return DIA_E_STOPPED;
		/* A burst over the end of a segment may have been half written. */
		while (done < n && entries[done].seq <= written)
			done++;
		memmove(entries, entries + done, (n - done) * sizeof(*entries));
		n -= done;
		if (n == 0)
			break;
	}
	DIA_FAULT("capture_journaled");
	return DIA_OK;
}

static enum dia_rc announce(struct dia_capture *c)
{
	enum dia_rc rc = DIA_OK;

	dia_capture_lock(c);
	for (size_t i = 0; rc == DIA_OK && i < c->pending_count; i++)
		rc = dia_engine_captured(c->engine, c->pending[i].gtid);
	dia_capture_unlock(c);
	for (size_t i = 0; rc == DIA_OK && i < c->pending_count; i++)
		rc = dia_gtid_pos_update(&c->pos, c->pending[i].gtid);
	return rc;
}

/* Which file the binlog is read from at which sequence: to know later which one a restart
 * needs. Files that no rebuild point needs are forgotten. */
static void note_file(struct dia_capture *c, const char *file)
{
	size_t n = c->file_count, drop = 0;

	if (file[0] != '\0' && (n == 0 || strcmp(c->files[n - 1].name, file) != 0)) {
		if (n == DIA_CAPTURE_FILES) {
			/* Rather think an older file is needed than a newer one. */
			memmove(&c->files[1], &c->files[2],
				(n - 2) * sizeof(c->files[0]));
			n--;
		}
		c->files[n].seq = c->seq;
		memcpy(c->files[n].name, file, sizeof(c->files[n].name));
		c->file_count = n + 1;
	}
	while (drop + 1 < c->file_count &&
		c->files[drop + 1].seq <= c->status.rebuild_seq)
		drop++;
	c->file_count -= drop;
	memmove(c->files, c->files + drop, c->file_count * sizeof(c->files[0]));
	if (c->file_count > 0)
		memcpy(c->status.needed_file, c->files[0].name, sizeof(c->files[0].name));
}

void dia_capture_note_progress(struct dia_capture *c)
{
	uint64_t now_ms = dia_clock_wall_ms(&c->config.clock);
	uint64_t then_ms = c->last_commit_time * 1000ULL;
	struct dia_reader_stats stats;

	dia_reader_stats(c->reader, &stats);
	(void)pthread_mutex_lock(&c->status_lock);
	c->status.pos = c->pos;
	memcpy(c->status.file, stats.file, sizeof(stats.file));
	c->status.file_pos = stats.pos;
	note_file(c, stats.file);
	c->status.events = stats.events;
	c->status.bytes = stats.bytes;
	c->status.xa_held = dia_group_held(c->groups);
	c->status.annotations_dropped = dia_group_annotations_dropped(c->groups);
	c->status.lag_ms =
		now_ms > then_ms + 999 &&
				dia_capture_now_us(c) - stats.idle_us > WATERMARK_US
			? now_ms - then_ms - 999
			: 0;
	(void)pthread_mutex_unlock(&c->status_lock);
}

/* What was read but not announced is forgotten: it is read again, or the process ends. */
static void drop_pending(struct dia_capture *c)
{
	for (size_t i = 0; i < c->pending_count; i++)
		dia_txn_unref(c->pending[i].txn);
	c->pending_count = c->pending_bytes = 0;
}

enum dia_rc dia_capture_flush(struct dia_capture *c, struct dia_err *reterr)
{
	bool ring = false;
	enum dia_rc rc;

	if (c->pending_count == 0)
		return DIA_OK;
	rc = write_stamps(c, reterr);
	if (rc == DIA_OK)
		rc = announce(c);
	if (rc != DIA_OK && rc != DIA_E_STOPPED)
		(void)dia_err_set(reterr, rc, 0, "capture: %s", dia_rc_text(rc));
	DIA_FAULT("capture_announced");
	for (size_t i = 0; rc == DIA_OK && i < c->pending_count; i++) {
		if (c->pending[i].txn == NULL)
			continue;
		rc = dia_outbox_publish(c->outbox, c->pending[i].txn, reterr);
		if (rc == DIA_OK)
			c->pending[i].txn = NULL;
		ring = true;
	}
	c->point_groups += c->pending_count;
	drop_pending(c);
	if (rc != DIA_OK)
		return rc;
	DIA_FAULT("capture_published");
	if (ring)
		dia_outbox_wake(c->outbox);
	if (c->config.wake != NULL)
		c->config.wake(c->config.wake_ctx);
	dia_capture_note_progress(c);
	return DIA_OK;
}

static bool same_deps(const struct dia_deps *a, const struct dia_deps *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (dia_deps_get(b, a->at[i].dc) != a->at[i].seq)
			return false;
	return true;
}

/* Only when something moved that the peers do not know: two idle DCs stay silent. */
static enum dia_rc publish_watermark(
	struct dia_capture *c, uint64_t now, struct dia_err *reterr)
{
	struct dia_txn_builder empty;
	struct dia_txn_head head;
	struct dia_txn *txn;
	enum dia_rc rc;

	if (now - c->watermark_us < WATERMARK_US || dia_capture_rebuilding(c))
		return DIA_OK;
	dia_capture_lock(c);
	dia_engine_watermark(c->engine, &head);
	dia_capture_unlock(c);
	if (c->watermark_us != 0 && head.seq == c->watermark.seq &&
		same_deps(&head.deps, &c->watermark.deps))
		return DIA_OK;
	dia_txn_builder_init(&empty, NULL, 0);
	rc = dia_txn_builder_finish(&empty, &head, &txn, reterr);
	if (rc != DIA_OK)
		return rc;
	dia_outbox_watermark(c->outbox, txn);
	dia_outbox_wake(c->outbox);
	c->watermark = head;
	c->watermark_us = now;
	(void)pthread_mutex_lock(&c->status_lock);
	c->status.watermarks++;
	(void)pthread_mutex_unlock(&c->status_lock);
	return DIA_OK;
}

/* A failure to note a point is no harm but a longer way at the next start. */
static void add_point(struct dia_capture *c, uint64_t now, bool closing)
{
	struct dia_journal_point point = {.seq = c->seq, .pos = c->pos};
	uint64_t bytes = c->status.bytes - c->point_bytes;
	char quoted[DIA_ERR_TEXT_MAX];
	struct dia_engine_stats stats;
	struct dia_err err;

	if (c->point_groups == 0 || dia_capture_rebuilding(c) ||
		dia_group_held(c->groups) > 0)
		return;
	if (!closing && c->point_groups < POINT_GROUPS && bytes < POINT_BYTES &&
		now - c->point_us < POINT_US)
		return;
	dia_capture_lock(c);
	dia_engine_stats(c->engine, &stats);
	dia_capture_unlock(c);
	point.last = stats.last;
	point.applied = stats.applied;
	if (dia_journal_add_point(c->journal, &point, &err) != DIA_OK)
		dia_log(DIA_LOG_WARN, "capture", "point_failed", "error=%s",
			dia_log_quote(quoted, sizeof(quoted), err.text));
	c->point_groups = 0;
	c->point_bytes = c->status.bytes;
	c->point_us = now;
}

/* Up to where every peer has applied ours. */
static uint64_t acked_by_all(struct dia_capture *c)
{
	uint64_t least = UINT64_MAX;

	(void)pthread_mutex_lock(&c->status_lock);
	for (size_t i = 0; i < c->config.config->peer.dc_count; i++)
		if (c->peers[i].applied < least)
			least = c->peers[i].applied;
	if (c->config.config->peer.dc_count == 0)
		least = 0;
	c->status.acked_seq = least;
	(void)pthread_mutex_unlock(&c->status_lock);
	return least;
}

/*
 * What a restart must read again: everything of ours that a peer has not applied, and
 * every change that the window still needs, ours and those of other origins.
 */
static void prune(struct dia_capture *c, uint64_t now)
{
	struct dia_journal_point point;
	struct dia_engine_stats stats;
	char quoted[DIA_ERR_TEXT_MAX];
	uint64_t upto, settled;
	struct dia_err err;

	if (now - c->prune_us < PRUNE_US || dia_capture_rebuilding(c))
		return;
	c->prune_us = now;
	upto = acked_by_all(c);
	dia_capture_lock(c);
	dia_engine_stats(c->engine, &stats);
	dia_capture_unlock(c);
	settled = dia_deps_get(&stats.settled, c->config.config->dc.id);
	upto = settled < upto ? settled : upto;
	while (upto > 0 && dia_journal_point_before(c->journal, upto, &point) == DIA_OK) {
		bool usable = true;

		for (uint32_t i = 0; i < point.applied.count; i++)
			usable = usable && point.applied.at[i].seq <=
						   dia_deps_get(&stats.settled,
							   point.applied.at[i].dc);
		if (usable)
			break;
		upto = point.seq == 0 ? 0 : point.seq - 1;
	}
	if (upto > 0 && dia_journal_prune(c->journal, upto, &err) != DIA_OK)
		dia_log(DIA_LOG_WARN, "capture", "prune_failed", "error=%s",
			dia_log_quote(quoted, sizeof(quoted), err.text));
	if (dia_journal_point_oldest(c->journal, &point) == DIA_OK) {
		bool moved = c->status.rebuild_seq != point.seq;

		(void)pthread_mutex_lock(&c->status_lock);
		c->status.rebuild_seq = point.seq;
		(void)pthread_mutex_unlock(&c->status_lock);
		/* The file needed is another one, in a database that is idle as well. */
		if (moved)
			dia_capture_note_progress(c);
	}
}

enum dia_rc dia_capture_housekeeping(
	struct dia_capture *c, bool closing, struct dia_err *reterr)
{
	uint64_t now = dia_capture_now_us(c);

	add_point(c, now, closing);
	if (closing)
		return DIA_OK;
	prune(c, now);
	if (now - c->purge_check_us > PURGE_CHECK_US) {
		c->purge_check_us = now;
		dia_capture_check_purge(c);
	}
	if (now - c->look_us > LOOK_US) {
		enum dia_rc rc = dia_capture_look(c, reterr);

		c->look_us = now;
		if (rc != DIA_OK)
			return rc;
	}
	return publish_watermark(c, now, reterr);
}
