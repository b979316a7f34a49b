/* proxy/apply/db.c - connection and transaction of one applier; see db.h. */
#include "parser/binlog/binlog_statement.h"
#include "proxy/apply/parse.h"
#include "proxy/apply/source.h"
#include "proxy/apply/write.h"
#include "proxy/core/fault.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { LOCK_WAIT_S = 5 };

enum dia_rc apply_db_session(MYSQL *mysql, struct dia_dc origin, struct dia_err *reterr)
{
	enum dia_rc rc = dia_mariadb_set_ids(mysql, dia_reserved_id(origin), reterr);

	if (rc != DIA_OK)
		return rc;
	/* The annotation of a BINLOG statement would be its base64 text, in the binlog
	 * once more. READ COMMITTED takes no gap locks, which clients would deadlock
	 * with. */
	return dia_mariadb_exec(mysql, reterr,
		"SET SESSION binlog_annotate_row_events=OFF, binlog_format=ROW, "
		"binlog_row_image=FULL, tx_isolation='READ-COMMITTED', "
		"innodb_lock_wait_timeout=%d, lock_wait_timeout=%d, unique_checks=1, "
		"foreign_key_checks=1, skip_replication=0",
		LOCK_WAIT_S, LOCK_WAIT_S);
}

/* The BINLOG statement wants to know the format of what follows, once a connection. */
static enum dia_rc announce_format(struct apply_db *db, struct dia_err *reterr)
{
	enum dia_rc rc;

	dia_buf_reset(&db->events);
	dia_buf_reset(&db->sql);
	rc = dia_format_event_write(&db->events, mysql_get_server_info(db->mysql));
	if (rc == DIA_OK)
		rc = dia_binlog_statement(&db->sql, dia_buf_slice(&db->events));
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "out of memory");
	rc = dia_mariadb_exec_slice(db->mysql, dia_buf_slice(&db->sql), reterr);
	if (rc != DIA_OK)
		return dia_err_wrap(reterr, rc,
			"BINLOG (the account needs BINLOG REPLAY, see `diarchy check`)");
	return DIA_OK;
}

/* FOR UPDATE waits for a commit of the connection we lost, if the server is still at it:
 * without that the old mark would be seen and the batch written a second time. */
static enum dia_rc read_mark(struct apply_db *db, struct dia_err *reterr)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(db->mysql, &res, reterr,
		"SELECT seq, incarnation FROM diarchy.applied WHERE origin=%u FOR UPDATE",
		db->c.origin.id);

	if (rc != DIA_OK)
		return apply_sql_class(rc, reterr); /* read-only: a failover */
	row = mysql_fetch_row(res);
	db->has_mark = row != NULL;
	db->applied_seq = row == NULL || row[0] == NULL ? 0 : strtoull(row[0], NULL, 10);
	if (row != NULL && row[1] != NULL)
		atomic_store(&db->incarnation, strtoull(row[1], NULL, 10));
	mysql_free_result(res);
	return DIA_OK;
}

/* The mark is written as a row event, by position: the table must be the one we know. */
static enum dia_rc check_mark_table(struct apply_db *db, struct dia_err *reterr)
{
	char columns[512];
	enum dia_rc rc =
		dia_mariadb_query_one_string(db->mysql, columns, sizeof(columns), reterr,
			"SELECT GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE ORDER BY "
			"ORDINAL_POSITION) "
			"FROM information_schema.COLUMNS "
			"WHERE TABLE_SCHEMA='diarchy' AND TABLE_NAME='applied'");
	static const char *const want[] = {"origin smallint(5) unsigned",
		"seq bigint(20) unsigned", "stamp bigint(20) unsigned",
		"incarnation bigint(20) unsigned"};
	const char *at = columns;

	if (rc == DIA_E_NOT_FOUND)
		return dia_err_set(reterr, DIA_E_DB, 0,
			"table diarchy.applied is missing; start diarchy with an account "
			"that "
			"may create the schema `diarchy`");
	for (size_t i = 0; rc == DIA_OK && i < sizeof(want) / sizeof(want[0]); i++) {
		if (strncmp(at, want[i], strlen(want[i])) != 0)
			rc = dia_err_set(reterr, DIA_E_DB, 0,
				"diarchy.applied is not the table this version writes "
				"(%s, "
				"expected %s there); was it made by another version of "
				"diarchy?",
				columns, want[i]);
		at = strchr(at, ',');
		at = at == NULL ? "" : at + 1;
	}
	return rc;
}

/* Rows of a DC where a column was widened meanwhile must be converted, as native
 * replication would with this setting. Without the right to set it they are parked. */
static void allow_widening(struct apply_db *db)
{
	struct dia_err err = {.rc = DIA_OK};
	char now[128];

	if (dia_mariadb_query_one_string(db->mysql, now, sizeof(now), &err,
		    "SELECT @@global.slave_type_conversions") != DIA_OK ||
		strstr(now, "ALL_NON_LOSSY") != NULL)
		return;
	if (dia_mariadb_exec(db->mysql, &err,
		    "SET GLOBAL slave_type_conversions='%s%sALL_NON_LOSSY'", now,
		    now[0] != '\0' ? "," : "") != DIA_OK)
		dia_log(DIA_LOG_WARN, "apply", "no_type_conversions",
			"dc=%s remedy=\"set slave_type_conversions=ALL_NON_LOSSY: rows "
			"of a "
			"column that was widened in one DC only are parked until then\"",
			db->c.origin_name);
}

static void disconnect(struct apply_db *db)
{
	if (db->mysql != NULL)
		mysql_close(db->mysql);
	db->mysql = NULL;
}

enum dia_rc apply_db_connect(struct apply_db *db, struct dia_err *reterr)
{
	uint64_t packet = 0;
	enum dia_rc rc;

	disconnect(db);
	rc = dia_mariadb_connect(db->c.config, 0, &db->mysql, reterr);
	if (rc != DIA_OK)
		return rc;
	if (mysql_set_server_option(db->mysql, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
		rc = dia_mariadb_error(db->mysql, reterr, "multi-statements");
	if (rc == DIA_OK)
		rc = apply_db_session(db->mysql, db->c.origin, reterr);
	/* The statements here are ASCII and utf8mb4, which nobody needs to look at
	 * character by character: that alone is a tenth of what BINLOG costs. */
	if (rc == DIA_OK)
		rc = dia_mariadb_exec(
			db->mysql, reterr, "SET SESSION character_set_client=binary");
	if (rc == DIA_OK)
		rc = dia_mariadb_query_one_u64(
			db->mysql, &packet, reterr, "SELECT @@max_allowed_packet");
	if (rc == DIA_OK)
		rc = check_mark_table(db, reterr);
	if (rc == DIA_OK)
		rc = announce_format(db, reterr);
	if (rc == DIA_OK)
		rc = read_mark(db, reterr);
	if (rc != DIA_OK) {
		disconnect(db);
		return dia_err_wrap(reterr, rc, "applier of %s", db->c.origin_name);
	}
	db->max_packet = (size_t)packet;
	db->has_position = false;
	/* DDL may have happened unseen. */
	atomic_fetch_add(db->c.schema_generation, 1);
	allow_widening(db);
	apply_sql_widen_cache(db);
	return DIA_OK;
}

/* ---- the transaction ------------------------------------------------------------------
 */

static void forget_pending(struct apply_db *db)
{
	db->note_count = 0;
	memset(db->pending_conflicts, 0, sizeof(db->pending_conflicts));
	db->pending_repairs = 0;
}

static enum dia_rc op_begin(void *ctx, struct dia_err *reterr)
{
	struct apply_db *db = ctx;

	if (db->mysql == NULL)
		return dia_err_set(
			reterr, DIA_E_DB_GONE, 0, "not connected to the database");
	db->needs_begin = true;
	db->has_position = false;
	forget_pending(db);
	return DIA_OK;
}

static enum dia_rc op_position(
	void *ctx, struct dia_gtid_pos *ret, struct dia_err *reterr)
{
	struct apply_db *db = ctx;
	char text[DIA_GTID_POS_MAX * 44];
	enum dia_rc rc;

	if (db->has_position) {
		*ret = db->position;
		db->has_position = false;
		return DIA_OK;
	}
	rc = dia_mariadb_query_one_string(
		db->mysql, text, sizeof(text), reterr, "SELECT @@gtid_binlog_pos");
	if (rc != DIA_OK)
		return rc;
	rc = dia_gtid_pos_parse(dia_slice_str(text), ret);
	if (rc != DIA_OK)
		return dia_err_set(
			reterr, rc, 0, "cannot read gtid_binlog_pos '%.200s'", text);
	return DIA_OK;
}

uint64_t apply_db_identify(struct apply_db *db, uint64_t told)
{
	uint_fast64_t known = 0;

	return atomic_compare_exchange_strong(&db->incarnation, &known, told) ? told
									      : known;
}

uint64_t apply_db_lag_us(struct apply_db *db)
{
	uint64_t lag;

	(void)pthread_mutex_lock(&db->stats_mutex);
	lag = db->lag_us;
	(void)pthread_mutex_unlock(&db->stats_mutex);
	return lag;
}

static void count_committed(struct apply_db *db)
{
	struct timespec now;
	uint64_t now_us;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	(void)pthread_mutex_lock(&db->stats_mutex);
	for (size_t i = 0; i < DIA_APPLY_CONFLICT_TYPES; i++) {
		db->counters.conflicts[i] += db->pending_conflicts[i];
		if (i >= DIA_APPLY_UNIQUE_CLASH && i != DIA_APPLY_DDL)
			db->counters.parked += db->pending_conflicts[i];
	}
	db->counters.repairs += db->pending_repairs;
	db->lag_us = db->batch_captured_us == 0 || db->batch_captured_us > now_us
			     ? 0
			     : now_us - db->batch_captured_us;
	(void)pthread_mutex_unlock(&db->stats_mutex);
	for (size_t i = 0; i < db->note_count; i++)
		dia_log(DIA_LOG_INFO, "apply", "conflict", "%s", db->notes[i].line);
	forget_pending(db);
}

enum dia_rc apply_db_commit(struct apply_db *db, struct dia_err *reterr)
{
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc;

	DIA_FAULT("apply_before_commit");
	rc = dia_mariadb_exec(db->mysql, &err, "COMMIT");
	DIA_FAULT("apply_committed");
	if (rc != DIA_OK) {
		rc = apply_sql_class(rc, &err);
		if (reterr != NULL)
			*reterr = err;
		return rc;
	}
	db->has_mark = true;
	db->applied_seq = db->batch_seq;
	count_committed(db);
	return DIA_OK;
}

static enum dia_rc op_commit(void *ctx, struct dia_err *reterr)
{
	struct apply_db *db = ctx;

	/* Capture has passed everything committed before our locks: a DDL that came
	 * between our look at the columns and our rows has been told by now, and one that
	 * comes now waits for our metadata locks. */
	if (atomic_load(db->c.schema_generation) != db->begin_generation)
		return dia_err_set(reterr, DIA_E_DB_RETRY, 0,
			"a table was altered while its rows were written; again");
	return apply_db_commit(db, reterr);
}

static enum dia_rc op_rollback(void *ctx, struct dia_err *reterr)
{
	struct apply_db *db = ctx;

	db->needs_begin = db->has_position = false;
	forget_pending(db);
	if (db->mysql == NULL)
		return DIA_OK;
	return dia_mariadb_exec(db->mysql, reterr, "ROLLBACK");
}

static enum dia_rc op_reconnect(void *ctx, uint64_t *applied_seq, struct dia_err *reterr)
{
	struct apply_db *db = ctx;
	enum dia_rc rc = apply_db_connect(db, reterr);

	*applied_seq = db->applied_seq;
	/* Whatever is wrong with a server that is starting or failing over may be over
	 * soon: only what says that our own marks are not there is final. */
	if (rc == DIA_E_AUTH)
		return dia_err_set(reterr, DIA_E_DB_GONE, 0, "%s",
			reterr == NULL ? "authentication failed" : reterr->text);
	if (rc == DIA_OK)
		dia_log(DIA_LOG_INFO, "apply", "connected", "dc=%s applied_seq=%" PRIu64,
			db->c.origin_name, db->applied_seq);
	forget_pending(db);
	return rc;
}

/* ---- life -----------------------------------------------------------------------------
 */

enum dia_rc apply_db_init(struct apply_db *db, const struct dia_apply_db_config *c)
{
	db->c = *c;
	if (pthread_mutex_init(&db->stats_mutex, NULL) != 0)
		return DIA_E_NOMEM;
	if (dia_weigher_new(c->config, &db->weights) == DIA_OK)
		return DIA_OK;
	(void)pthread_mutex_destroy(&db->stats_mutex);
	return DIA_E_NOMEM;
}

void apply_db_set_ahead(struct apply_db *db, void (*ahead)(void *ctx), void *ctx)
{
	db->ahead = ahead;
	db->ahead_ctx = ctx;
}

void apply_db_fini(struct apply_db *db)
{
	disconnect(db);
	apply_sources_free(db);
	dia_weigher_free(db->weights);
	free(db->watches);
	dia_arena_fini(&db->watch_arena);
	dia_buf_fini(&db->sql);
	dia_buf_fini(&db->maps);
	dia_buf_fini(&db->rows);
	dia_buf_fini(&db->events);
	dia_buf_fini(&db->json);
	(void)pthread_mutex_destroy(&db->stats_mutex);
}

const struct dia_apply_ops apply_db_ops = {
	.parse = apply_parse,
	.release = apply_release,
	.begin = op_begin,
	.write = apply_write,
	.position = op_position,
	.commit = op_commit,
	.rollback = op_rollback,
	.ddl = apply_ddl,
	.reconnect = op_reconnect,
};

const struct dia_apply_ops *dia_apply_db_ops(void)
{
	return &apply_db_ops;
}

enum dia_rc dia_apply_db_open(const struct dia_apply_db_config *c, struct apply_db **ret,
	uint64_t *applied_seq, struct dia_err *reterr)
{
	struct apply_db *db = calloc(1, sizeof(*db));
	enum dia_rc rc;

	*ret = NULL;
	if (db == NULL || apply_db_init(db, c) != DIA_OK) {
		free(db);
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for an applier");
	}
	rc = apply_db_connect(db, reterr);
	if (rc != DIA_OK) {
		dia_apply_db_close(db);
		return rc;
	}
	*applied_seq = db->applied_seq;
	*ret = db;
	return DIA_OK;
}

void dia_apply_db_close(struct apply_db *db)
{
	if (db == NULL)
		return;
	apply_db_fini(db);
	free(db);
}

void dia_apply_db_counters(struct apply_db *db, struct dia_apply_counters *ret)
{
	(void)pthread_mutex_lock(&db->stats_mutex);
	*ret = db->counters;
	(void)pthread_mutex_unlock(&db->stats_mutex);
}
