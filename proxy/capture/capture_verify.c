/*
 * proxy/capture/capture_verify.c - after a reconnect: is it still the same history?
 *
 * The captured position alone does not tell. A server that lost its last commits while we
 * live on may have given their GTIDs to others, and more, before we are back. So what
 * stands behind the newest rebuild point (some seconds' worth) is read again up to the
 * position, and must be what the journal says, by GTID and commit time.
 */
#include "proxy/capture/capture_int.h"

#include <inttypes.h>

const struct dia_gtid_pos *dia_capture_attach_at(struct dia_capture *c)
{
	struct dia_journal_point point;

	c->verifying = false;
	/* A prepared XA transaction keeps points from being made: the newest may be old,
	 * and its binlog purged. */
	if (!c->streamed || dia_capture_rebuilding(c) || dia_group_held(c->groups) > 0 ||
		dia_journal_point_before(c->journal, c->seq, &point) != DIA_OK ||
		!dia_gtid_pos_covers(&c->pos, &point.pos))
		return &c->pos;
	c->verifying = true;
	c->verify_pos = point.pos;
	c->verify_seq = point.seq;
	return &c->verify_pos;
}

static enum dia_rc other_history(uint64_t seq, struct dia_err *reterr)
{
	return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
		"transaction %" PRIu64
		" was captured, and what stands in its place in the binlog is another "
		"one: the database has lost commits that it had acknowledged and used "
		"their GTIDs again (sync_binlog=1 and innodb_flush_log_at_trx_commit=1 "
		"prevent this). Bootstrap this datacenter from its peer",
		seq);
}

static bool captured(const struct dia_capture *c, struct dia_gtid gtid)
{
	struct dia_gtid_pos one = {.count = 1, .at = {gtid}};

	return dia_gtid_pos_covers(&c->pos, &one);
}

enum dia_rc dia_capture_verify(struct dia_capture *c, const struct dia_group *group,
	bool *ret_known, struct dia_err *reterr)
{
	struct dia_journal_entry due;
	enum dia_rc rc;

	*ret_known = false;
	if (!c->verifying)
		return DIA_OK;
	if (!captured(c, group->gtid)) {
		c->verifying = false;
		return c->verify_seq == c->seq ? DIA_OK
					       : other_history(c->verify_seq + 1, reterr);
	}
	*ret_known = true;
	if (c->verify_seq == c->seq)
		return DIA_OK;
	rc = dia_journal_get(c->journal, c->verify_seq + 1, &due);
	if (rc != DIA_OK)
		return dia_err_set(reterr, DIA_E_IO, 0,
			"the journal's entry %" PRIu64 " cannot be read: %s",
			c->verify_seq + 1, dia_rc_text(rc));
	/* Others had nothing to ship. */
	if (group->gtid.domain != due.gtid.domain ||
		group->gtid.server != due.gtid.server ||
		group->gtid.seq_no != due.gtid.seq_no)
		return DIA_OK;
	if (group->commit_time != due.commit_time)
		return other_history(due.seq, reterr);
	c->verify_seq++;
	return DIA_OK;
}
