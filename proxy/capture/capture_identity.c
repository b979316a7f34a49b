/* proxy/capture/capture_identity.c - whether journal and database belong together. */
#include "proxy/capture/capture_int.h"

#include "proxy/backend/schema.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The database's side of the identity. 0 when it has none. */
static enum dia_rc read_incarnation(MYSQL *db, uint64_t *ret, struct dia_err *reterr)
{
	enum dia_rc rc = dia_mariadb_query_one_u64(db, ret, reterr,
		"SELECT value FROM diarchy.meta WHERE name='incarnation'");

	if (rc == DIA_E_NOT_FOUND) {
		*ret = 0;
		return DIA_OK;
	}
	return rc;
}

/* Marks that a copied database brings along, for an engine that starts without a point.
 */
static enum dia_rc merge_marks(struct dia_capture *c, MYSQL *db, struct dia_err *reterr)
{
	uint64_t exists = 0;
	MYSQL_RES *res;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query_one_u64(db, &exists, reterr,
		"SELECT COUNT(*) FROM information_schema.TABLES WHERE "
		"TABLE_SCHEMA='diarchy' AND "
		"TABLE_NAME='applied'");

	if (rc != DIA_OK || exists == 0)
		return rc;
	rc = dia_mariadb_query(
		db, &res, reterr, "SELECT origin, seq, stamp FROM diarchy.applied");
	if (rc != DIA_OK)
		return rc;
	dia_capture_lock(c);
	while (rc == DIA_OK && (row = mysql_fetch_row(res)) != NULL)
		rc = dia_engine_mark(c->engine,
			(struct dia_dc){(uint16_t)strtoul(row[0], NULL, 10)},
			strtoull(row[1], NULL, 10),
			(struct dia_hlc){strtoull(row[2], NULL, 10)});
	dia_capture_unlock(c);
	mysql_free_result(res);
	return rc == DIA_OK ? rc
			    : dia_err_set(reterr, rc, 0, "diarchy.applied: %s",
				      dia_rc_text(rc));
}

/* A journal that knows no place yet starts here and now. */
static enum dia_rc first_point(struct dia_capture *c, MYSQL *db, struct dia_err *reterr)
{
	char text[DIA_GTID_POS_MAX * 48];
	struct dia_engine_stats stats;
	enum dia_rc rc;

	rc = dia_mariadb_query_one_string(
		db, text, sizeof(text), reterr, "SELECT @@GLOBAL.gtid_binlog_pos");
	if (rc != DIA_OK)
		return rc;
	rc = dia_gtid_pos_parse(dia_slice_str(text), &c->start.pos);
	if (rc != DIA_OK)
		return dia_err_set(
			reterr, rc, 0, "gtid_binlog_pos is not understood: %.200s", text);
	/* Marks read after the position may be ahead of it; their groups come again and
	 * change nothing. */
	rc = merge_marks(c, db, reterr);
	if (rc != DIA_OK)
		return rc;
	dia_capture_lock(c);
	dia_engine_stats(c->engine, &stats);
	dia_capture_unlock(c);
	c->start.seq = 0;
	c->start.last = stats.last;
	c->start.applied = stats.applied;
	rc = dia_journal_add_point(c->journal, &c->start, reterr);
	if (rc != DIA_OK)
		return rc;
	c->pos = c->start.pos;
	c->have_point = true;
	dia_log(DIA_LOG_INFO, "capture", "first_start",
		"incarnation=%" PRIu64 " gtid_pos=%s",
		dia_journal_incarnation(c->journal), text[0] == '\0' ? "empty" : text);
	return DIA_OK;
}

static enum dia_rc check(struct dia_capture *c, MYSQL *db, struct dia_err *reterr)
{
	uint64_t mine = dia_journal_incarnation(c->journal), theirs = 0;
	const char *state_dir = c->config.config->state_dir;
	enum dia_rc rc = DIA_OK;

	if (!c->have_point)
		rc = dia_server_prepare(c->config.config, reterr);
	if (rc == DIA_OK)
		rc = read_incarnation(db, &theirs, reterr);
	if (rc == DIA_E_DB && c->have_point)
		theirs = 0; /* no table: not the database it was */
	else if (rc != DIA_OK)
		return rc;
	if (theirs == mine)
		return DIA_OK;
	if (theirs != 0)
		return dia_err_set(reterr, DIA_E_STATE, 0,
			"this database was replicated with another state_dir "
			"(incarnation "
			"%" PRIu64 ", %s has %" PRIu64
			"): the stamps it shipped are there. Point state_dir to it or "
			"restore it "
			"from a copy; if it is lost, bootstrap this datacenter from its "
			"peer",
			theirs, state_dir, mine);
	if (c->have_point)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"the database has no record of having been replicated, but "
			"state_dir %s "
			"has: was the database replaced or restored? Bootstrap this "
			"datacenter "
			"from its peer, with a new state_dir",
			state_dir);
	return dia_mariadb_exec(db, reterr,
		"INSERT INTO diarchy.meta (name, value) VALUES ('incarnation', '%" PRIu64
		"')",
		mine);
}

enum dia_rc dia_capture_identify(struct dia_capture *c, struct dia_err *reterr)
{
	MYSQL *db = NULL;
	enum dia_rc rc;

	if (c->identity_checked)
		return DIA_OK;
	rc = dia_mariadb_connect(c->config.config, DIA_MARIADB_BOOKKEEPING, &db, reterr);
	if (rc != DIA_OK)
		return rc;
	rc = check(c, db, reterr);
	if (rc == DIA_OK && !c->have_point)
		rc = first_point(c, db, reterr);
	mysql_close(db);
	if (rc != DIA_OK)
		return rc;
	dia_capture_lock(c);
	for (uint32_t i = 0; rc == DIA_OK && i < c->start.pos.count; i++)
		rc = dia_engine_captured(c->engine, c->start.pos.at[i]);
	dia_capture_unlock(c);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "capture: %s", dia_rc_text(rc));
	c->identity_checked = true;
	/* An applier may have been waiting for just this place; nothing else would tell
	 * it in a database that is idle. */
	if (c->config.wake != NULL)
		c->config.wake(c->config.wake_ctx);
	return DIA_OK;
}

void dia_capture_check_purge(struct dia_capture *c)
{
	char oldest[256] = "";
	MYSQL *db = NULL;
	MYSQL_RES *res;
	MYSQL_ROW row;
	size_t files = 0;
	struct dia_err err;
	bool near, was;

	if (dia_mariadb_connect(c->config.config, 0, &db, &err) != DIA_OK)
		return;
	if (dia_mariadb_query(db, &res, &err, "SHOW BINARY LOGS") == DIA_OK) {
		while ((row = mysql_fetch_row(res)) != NULL) {
			if (files++ == 0)
				(void)snprintf(oldest, sizeof(oldest), "%s", row[0]);
		}
		mysql_free_result(res);
	}
	mysql_close(db);
	(void)pthread_mutex_lock(&c->status_lock);
	memcpy(c->status.oldest_file, oldest, sizeof(oldest));
	near = files > 2 && oldest[0] != '\0' &&
	       strcmp(oldest, c->status.needed_file) == 0;
	was = c->status.purge_near;
	c->status.purge_near = near;
	(void)pthread_mutex_unlock(&c->status_lock);
	if (near && !was)
		dia_log(DIA_LOG_WARN, "capture", "purge_near",
			"file=%s remedy=\"a peer still needs the oldest binlog file: "
			"bring it "
			"back, or keep binlogs longer (expire_logs_days, "
			"max_binlog_total_size)\"",
			oldest);
}
