/* proxy/capture/capture_loop.c - the capture thread, see capture_int.h. */
#include "proxy/capture/capture_int.h"

#include "proxy/core/log.h"

#include <inttypes.h>

enum {
	IDLE_MS = 100,   /* how often housekeeping looks when nothing comes */
	BURST_US = 3000, /* never hold back what is ready longer than this */
	BURST_BYTES = 8 << 20,
	LAGGING_US = 1000 * 1000,
	RETRY_FIRST_MS = 100,
	RETRY_LAST_MS = 5000,
};

static bool same_gtid(struct dia_gtid a, struct dia_gtid b)
{
	return a.domain == b.domain && a.server == b.server && a.seq_no == b.seq_no;
}

static bool stood_before_attach(const struct dia_capture *c, struct dia_gtid gtid)
{
	for (uint32_t i = 0; i < c->old_until.count; i++)
		if (c->old_until.at[i].domain == gtid.domain)
			return gtid.seq_no <= c->old_until.at[i].seq_no;
	return false;
}

/*
 * The time to stamp a group with. What stood in the binlog before we looked, and what
 * comes when we lag, was committed earlier than now: the clock is pulled into the second
 * that the event carries, so that old writes do not come back as new ones.
 */
static uint64_t wall_for(struct dia_capture *c, const struct dia_group *group)
{
	uint64_t now = dia_clock_wall_ms(&c->config.clock);
	uint64_t high = group->commit_time * 1000ULL + 999;
	struct dia_reader_stats stats;

	dia_reader_stats(c->reader, &stats);
	if (!stood_before_attach(c, group->gtid) &&
		dia_capture_now_us(c) - stats.idle_us < LAGGING_US)
		return now;
	/* Never ahead of our own clock, whatever time a client or the database's host
	 * thinks it is: peers hold what is. */
	return now > high ? high : now;
}

/* The entry of the journal that comes next while what it knows is read again. */
static enum dia_rc load_due(struct dia_capture *c, struct dia_err *reterr)
{
	enum dia_rc rc;

	if (c->have_due || !dia_capture_rebuilding(c))
		return DIA_OK;
	rc = dia_journal_get(c->journal, c->seq + 1, &c->due);
	if (rc != DIA_OK)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"the journal has no readable entry for transaction %" PRIu64
			"; restore state_dir from a copy, or bootstrap this datacenter "
			"from its "
			"peer",
			c->seq + 1);
	c->have_due = true;
	return DIA_OK;
}

/* Once all that the binlog held has gone by, everything in the journal must have been
 * met. And a server that lost commits may have given their GTIDs to others (`same`)
 * since. */
static enum dia_rc check_tail(struct dia_capture *c, const struct dia_group *group,
	bool same, struct dia_err *reterr)
{
	struct dia_gtid_pos read = c->pos;

	for (size_t i = 0; i < c->pending_count; i++)
		if (dia_gtid_pos_update(&read, c->pending[i].gtid) != DIA_OK)
			return DIA_OK;
	if (!same && (dia_gtid_pos_update(&read, group->gtid) != DIA_OK ||
			     !dia_gtid_pos_covers(&read, &c->old_until)))
		return DIA_OK;
	return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
		"transaction %" PRIu64 " (GTID %" PRIu32 "-%" PRIu32 "-%" PRIu64
		") was captured but is no longer in the binlog: the database has lost "
		"commits "
		"that it had acknowledged (sync_binlog=1 and "
		"innodb_flush_log_at_trx_commit=1 "
		"prevent this). Bootstrap this datacenter from its peer",
		c->due.seq, c->due.gtid.domain, c->due.gtid.server, c->due.gtid.seq_no);
}

/* After a power loss stamps that a peer has received may be missing here; to make others
 * for the same transactions would let the datacenters differ. Ask before going on. */
static enum dia_rc hear_from_peers(struct dia_capture *c, struct dia_err *reterr)
{
	size_t peers = c->config.config->peer.dc_count;

	dia_log(DIA_LOG_WARN, "capture", "power_loss",
		"last_seq=%" PRIu64 " action=\"waiting until every peer has connected\"",
		c->known_seq);
	dia_capture_set_state(c, DIA_CAPTURE_POWER_LOSS);
	while (c->power_loss) {
		uint64_t after;
		uint32_t opens;

		(void)pthread_mutex_lock(&c->status_lock);
		after = c->opened_after;
		opens = c->opens;
		(void)pthread_mutex_unlock(&c->status_lock);
		if (after > c->known_seq)
			return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
				"the machine lost power; a peer has received "
				"transactions up to "
				"%" PRIu64 ", whose stamps after %" PRIu64
				" are lost here. Bootstrap this datacenter from its peer",
				after, c->known_seq);
		if (opens >= peers)
			c->power_loss = false;
		else if (!dia_capture_pause(c, IDLE_MS))
			return DIA_E_STOPPED;
	}
	dia_capture_set_state(c, DIA_CAPTURE_STREAMING);
	return DIA_OK;
}

/* Stamp a local transaction: with what the journal says, or anew. */
static enum dia_rc stamp(struct dia_capture *c, const struct dia_group *group,
	struct dia_txn **ret, bool *ret_journaled, struct dia_err *reterr)
{
	struct dia_txn_head head = {.origin = c->config.config->dc.id,
		.seq = c->seq + 1,
		.gtid = group->gtid,
		.commit_time = group->commit_time};
	uint64_t wall = wall_for(c, group);
	enum dia_rc rc;

	*ret_journaled = c->have_due;
	if (c->have_due) {
		head.stamp = c->due.stamp;
		head.deps = c->due.deps;
	} else {
		head.captured_us = dia_clock_wall_ms(&c->config.clock) * 1000;
	}
	rc = dia_group_take(c->groups, &head, ret, reterr);
	if (rc != DIA_OK)
		return rc;
	dia_capture_lock(c);
	rc = dia_engine_local(
		c->engine, &(*ret)->head, group->changes, group->change_count, wall);
	dia_capture_unlock(c);
	if (rc != DIA_OK) {
		dia_txn_unref(*ret);
		*ret = NULL;
		return dia_err_set(reterr, rc, 0,
			"cannot stamp transaction %" PRIu64 ": %s", head.seq,
			dia_rc_text(rc));
	}
	c->seq++;
	c->have_due = false;
	return DIA_OK;
}

static enum dia_rc take_marks(
	struct dia_capture *c, const struct dia_group *group, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	if (group->mark_count == 0)
		return DIA_OK;
	dia_capture_lock(c);
	for (size_t i = 0; rc == DIA_OK && i < group->mark_count; i++)
		rc = dia_engine_mark(c->engine, group->marks[i].origin,
			group->marks[i].seq, group->marks[i].stamp);
	dia_capture_unlock(c);
	return rc == DIA_OK
		       ? rc
		       : dia_err_set(reterr, rc, 0, "applied mark: %s", dia_rc_text(rc));
}

static void count_group(
	struct dia_capture *c, const struct dia_group *group, const struct dia_txn *txn)
{
	struct dia_capture_status *s = &c->status;

	(void)pthread_mutex_lock(&c->status_lock);
	s->groups++;
	if (group->applied) {
		s->applied++;
	} else if (txn == NULL) {
		s->unshipped++;
	} else {
		s->local++;
		s->ddl += (txn->head.flags & DIA_TXN_DDL) != 0;
		s->changes += group->change_count;
		s->body_bytes += txn->body_len;
	}
	(void)pthread_mutex_unlock(&c->status_lock);
}

/*
 * A complete group. While what the journal knows is read again, the GTID decides which
 * transaction it is: the tables replicated may have been others then. One that is not in
 * the journal there had nothing to ship and has no sequence.
 */
static enum dia_rc take_group(
	struct dia_capture *c, const struct dia_group *group, struct dia_err *reterr)
{
	struct dia_capture_pending p = {.gtid = group->gtid};
	bool ship = group->ship, known;
	enum dia_rc rc = dia_capture_verify(c, group, &known, reterr);

	if (rc != DIA_OK || known)
		return rc;
	rc = take_marks(c, group, reterr);
	if (rc == DIA_OK)
		rc = load_due(c, reterr);
	if (rc == DIA_OK && c->have_due) {
		ship = same_gtid(group->gtid, c->due.gtid);
		if (!ship || !dia_catchup_same(&c->due, group->commit_time))
			rc = check_tail(c, group, ship, reterr);
	} else if (rc == DIA_OK && ship && c->power_loss) {
		/* Before anything is stamped anew; what is known may go out meanwhile. */
		rc = dia_capture_flush(c, reterr);
		if (rc == DIA_OK)
			rc = hear_from_peers(c, reterr);
	}
	if (rc == DIA_OK && ship)
		rc = stamp(c, group, &p.txn, &p.journaled, reterr);
	if (rc != DIA_OK)
		return rc;
	if (group->schema_changed && c->config.schema_changed != NULL)
		c->config.schema_changed(c->config.wake_ctx);
	count_group(c, group, p.txn);
	if (c->pending_count == 0)
		c->pending_since_us = dia_capture_now_us(c);
	c->pending_bytes += p.txn == NULL ? 0 : p.txn->body_len;
	c->pending[c->pending_count++] = p;
	c->last_commit_time = group->commit_time;
	return DIA_OK;
}

static bool burst_full(const struct dia_capture *c)
{
	return c->pending_count == DIA_CAPTURE_BURST || c->pending_bytes >= BURST_BYTES ||
	       (c->pending_count > 0 &&
		       dia_capture_now_us(c) - c->pending_since_us >= BURST_US);
}

static enum dia_rc settle_burst(struct dia_capture *c, struct dia_err *reterr)
{
	bool was_rebuilding = c->status.state == DIA_CAPTURE_REBUILDING;
	enum dia_rc rc = dia_capture_flush(c, reterr);

	if (rc != DIA_OK)
		return rc;
	if (c->status.state == DIA_CAPTURE_JOURNAL_STUCK ||
		(was_rebuilding && !dia_capture_rebuilding(c))) {
		dia_capture_set_error(c, NULL);
		dia_capture_set_state(c, dia_capture_rebuilding(c)
						 ? DIA_CAPTURE_REBUILDING
						 : DIA_CAPTURE_STREAMING);
	}
	return dia_capture_housekeeping(c, false, reterr);
}

/* Read until something ends it. */
static enum dia_rc stream(struct dia_capture *c, struct dia_err *reterr)
{
	const struct dia_group *group;
	struct dia_event ev;
	enum dia_rc rc;

	for (;;) {
		rc = dia_reader_next(
			c->reader, c->pending_count > 0 ? 0 : IDLE_MS, &ev, reterr);
		if (rc == DIA_E_AGAIN) {
			rc = settle_burst(c, reterr);
			if (rc != DIA_OK)
				return rc;
			continue;
		}
		if (rc == DIA_OK)
			rc = dia_group_feed(c->groups, &ev, &group, reterr);
		if (rc == DIA_OK && group != NULL) {
			rc = take_group(c, group, reterr);
			if (rc == DIA_OK && burst_full(c))
				rc = settle_burst(c, reterr);
		}
		if (rc != DIA_OK)
			return rc;
	}
}

/* The server must still have everything we have announced and journaled. */
static enum dia_rc check_server(struct dia_capture *c, struct dia_err *reterr)
{
	struct dia_journal_entry last;
	struct dia_gtid_pos need = c->pos;

	if (c->known_seq > 0 && dia_journal_get(c->journal, dia_journal_last(c->journal),
					&last) == DIA_OK) {
		for (uint32_t i = 0; i < need.count; i++)
			if (need.at[i].domain == last.gtid.domain &&
				need.at[i].seq_no < last.gtid.seq_no)
				need.at[i] = last.gtid;
	}
	if (dia_gtid_pos_covers(&c->old_until, &need))
		return DIA_OK;
	return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
		"the database's binlog ends before what was captured from it: it has "
		"lost commits "
		"that it had acknowledged, or its binlog was reset (RESET MASTER) or "
		"restored. "
		"Bootstrap this datacenter from its peer; sync_binlog=1 and "
		"innodb_flush_log_at_trx_commit=1 prevent losses");
}

static enum dia_rc connect_and_stream(struct dia_capture *c, struct dia_err *reterr)
{
	enum dia_rc rc = dia_capture_identify(c, reterr);

	if (rc == DIA_OK)
		rc = dia_reader_attach(
			c->reader, dia_capture_attach_at(c), &c->old_until, reterr);
	if (rc == DIA_OK)
		rc = check_server(c, reterr);
	if (rc != DIA_OK)
		return rc;
	dia_capture_set_error(c, NULL);
	dia_capture_note_progress(c);
	dia_capture_set_tried(c);
	dia_capture_set_state(c, dia_capture_rebuilding(c) ? DIA_CAPTURE_REBUILDING
							   : DIA_CAPTURE_STREAMING);
	c->streamed = true;
	rc = stream(c, reterr);
	/* What was read completely before the connection broke is good. */
	if (rc != DIA_E_STOPPED) {
		struct dia_err flush_err;

		if (dia_capture_flush(c, &flush_err) != DIA_OK)
			rc = flush_err.rc;
	} else {
		rc = dia_capture_flush(c, reterr);
		if (rc == DIA_OK)
			rc = DIA_E_STOPPED;
	}
	dia_reader_detach(c->reader);
	dia_group_abort(c->groups);
	return rc;
}

/* Errors that trying again cannot cure and that must not be walked over. */
static bool is_final(enum dia_rc rc)
{
	return rc == DIA_E_LOST_TAIL || rc == DIA_E_PROTOCOL || rc == DIA_E_STATE ||
	       rc == DIA_E_LIMIT;
}

void *dia_capture_run(void *capture)
{
	struct dia_capture *c = capture;
	unsigned wait_ms = RETRY_FIRST_MS;
	struct dia_err err;

	dia_capture_set_state(c, DIA_CAPTURE_CONNECTING);
	while (!atomic_load(&c->stopping)) {
		char quoted[DIA_ERR_TEXT_MAX];
		uint64_t before = c->status.groups;
		enum dia_rc rc;

		err = (struct dia_err){.rc = DIA_OK};
		rc = connect_and_stream(c, &err);
		if (rc == DIA_E_STOPPED)
			break;
		err.rc = rc;
		dia_capture_set_error(c, &err);
		dia_capture_set_state(
			c, is_final(rc) ? DIA_CAPTURE_FAILED : DIA_CAPTURE_CONNECTING);
		dia_capture_set_tried(c);
		dia_log(is_final(rc) ? DIA_LOG_ERROR : DIA_LOG_WARN, "capture",
			is_final(rc) ? "failed" : "interrupted", "code=%s error=%s",
			dia_rc_label(rc),
			dia_log_quote(quoted, sizeof(quoted), err.text));
		if (is_final(rc)) {
			mysql_thread_end();
			return NULL;
		}
		(void)pthread_mutex_lock(&c->status_lock);
		c->status.reconnects++;
		(void)pthread_mutex_unlock(&c->status_lock);
		if (c->status.groups != before)
			wait_ms = RETRY_FIRST_MS;
		if (!dia_capture_pause(c, wait_ms))
			break;
		wait_ms = wait_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : wait_ms * 2;
	}
	if (dia_capture_housekeeping(c, true, &err) != DIA_OK)
		dia_log(DIA_LOG_WARN, "capture", "stop_unclean", "code=%s",
			dia_rc_label(err.rc));
	dia_capture_set_tried(c);
	dia_capture_set_state(c, DIA_CAPTURE_STOPPED);
	mysql_thread_end();
	return NULL;
}
