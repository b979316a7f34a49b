/*
 * proxy/capture/capture_verify.c - after a reconnect: is it still the same history?
 *
 * The captured position alone does not tell. A server that lost its last commits while we
 * live on may have given their GTIDs to others, and more, before we are back. So what
 * stands behind the newest rebuild point (some seconds' worth) is read again up to the
 * position, and must be what the journal says, by GTID and commit time.
 */
#include "proxy/capture/capture_int.h"

#include "proxy/backend/mariadb.h"

#include <inttypes.h>

const struct dia_gtid_pos *dia_capture_attach_at(struct dia_capture *c)
{
	struct dia_journal_point point;

	c->verifying = c->looked = c->looked_back = false;
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

/* One domain alone may be gone (FLUSH BINARY LOGS DELETE_DOMAIN_ID). */
static bool went_back(const struct dia_gtid_pos *server, const struct dia_gtid_pos *ours)
{
	uint32_t met = 0;

	for (uint32_t i = 0; i < ours->count; i++) {
		for (uint32_t j = 0; j < server->count; j++) {
			if (server->at[j].domain != ours->at[i].domain)
				continue;
			met++;
			if (server->at[j].seq_no < ours->at[i].seq_no)
				return true;
		}
	}
	return met == 0 && ours->count > 0;
}

static bool ask_position(struct dia_capture *c, struct dia_gtid_pos *ret)
{
	char text[DIA_GTID_POS_MAX * 48];
	struct dia_err ignored;
	MYSQL *db = NULL;
	enum dia_rc rc = dia_mariadb_connect(c->config.config, 0, &db, &ignored);

	if (rc == DIA_OK)
		rc = dia_mariadb_query_one_string(db, text, sizeof(text), &ignored,
			"SELECT @@GLOBAL.gtid_binlog_pos");
	if (db != NULL)
		mysql_close(db);
	return rc == DIA_OK && dia_gtid_pos_parse(dia_slice_str(text), ret) == DIA_OK;
}

/*
 * RESET MASTER takes the files away under the server's dump thread, which goes on at the
 * end of one that has no name any more, with heartbeats and without a word. It shows in
 * the position: lower than ours; or, when it has passed ours already, not read by us
 * although heartbeats say that there is nothing to send.
 */
enum dia_rc dia_capture_look(struct dia_capture *c, struct dia_err *reterr)
{
	struct dia_reader_stats stats;
	struct dia_gtid_pos server;
	bool stuck, back;

	if (!ask_position(c, &server))
		return DIA_OK;
	/* Twice in a row: numbers may also be set back (gtid_seq_no), in a group that we
	 * are about to read. */
	back = went_back(&server, &c->pos);
	if (back && c->looked_back)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"the database's binlog is at a position before what was captured "
			"from it: it was reset (RESET MASTER), or the database restored. "
			"What was written since is not in the other datacenters: "
			"bootstrap this datacenter from its peer");
	c->looked_back = back;
	dia_reader_stats(c->reader, &stats);
	/* Two, since one may have been on its way when the position was read. */
	stuck = c->looked && stats.heartbeats >= c->look_heartbeats + 2 &&
		!dia_gtid_pos_covers(&c->pos, &c->look_pos);
	c->looked = true;
	c->look_pos = server;
	c->look_heartbeats = stats.heartbeats;
	if (stuck)
		return dia_err_set(reterr, DIA_E_DB_GONE, 0,
			"the server has nothing to send, but its binlog has gone on: "
			"was it reset (RESET MASTER)?");
	return DIA_OK;
}
