/*
 * proxy/apply/ddl.c - DDL of another DC, executed once.
 *
 * A statement cannot carry the mark in its own transaction. So it runs on a connection of
 * its own (its session settings go with it) under the GTID seq_no apply_gtid_seq(seq,
 * false) of the origin's reserved domain; the mark follows as an ordinary transaction.
 * After a crash between both, @@gtid_binlog_pos of that domain says that the statement is
 * done.
 *
 * A statement whose client has gone is still carried out. So its session holds a lock of
 * the server's, and whoever tries again waits for that session's end before it asks.
 */
#include "proxy/apply/write.h"
#include "proxy/core/fault.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FLAG_AUTO_IS_NULL = 1 << 14,
	FLAG_NO_CHECK_CONSTRAINTS = 1 << 15,
	FLAG_NO_FK_CHECKS = 1 << 26,
	FLAG_RELAXED_UNIQUE = 1 << 27,
	FLAG_IF_EXISTS = 1 << 28,
	STATEMENT_SHOWN = 200,
	TURN_WAIT_S = 1,
};

/* GTIDs that one statement may take (an ALTER in two phases, a DROP that is logged in
 * parts), and the mark's. */
enum { GTIDS_OF_A_STATEMENT = 64 };

enum { ERR_DROP_PARTITION = 1507 }; /* of a partition that is not there */

/* What the statement would do is done already, or what it works on is gone: both DCs ran
 * such statements at the same time. Waiting for a person would stop all other rows. */
static bool already_so(int number)
{
	switch (number) {
	case ER_DB_CREATE_EXISTS:
	case ER_DB_DROP_EXISTS:
	case ER_BAD_DB_ERROR:
	case ER_NO_DB_ERROR:
	case ER_TABLE_EXISTS_ERROR:
	case ER_BAD_TABLE_ERROR:
	case ER_NO_SUCH_TABLE:
	case ER_BAD_FIELD_ERROR:
	case ER_DUP_FIELDNAME:
	case ER_DUP_KEYNAME:
	case ER_CANT_DROP_FIELD_OR_KEY:
	case ER_MULTIPLE_PRI_KEY:
	case ER_KEY_COLUMN_DOES_NOT_EXIST:
	case ER_KEY_DOES_NOT_EXISTS:
	case ER_SP_ALREADY_EXISTS:
	case ER_SP_DOES_NOT_EXIST:
	case ER_TRG_ALREADY_EXISTS:
	case ER_TRG_DOES_NOT_EXIST:
	case ER_EVENT_ALREADY_EXISTS:
	case ER_EVENT_DOES_NOT_EXIST:
	case ER_CANNOT_USER:
	case ER_NONEXISTING_GRANT:
	case ER_NONEXISTING_TABLE_GRANT:
	case ER_PASSWORD_NO_MATCH:
	case ER_DUP_CONSTRAINT_NAME:
	case ER_WRONG_OBJECT:
	case ER_UNKNOWN_VIEW:
	case ER_UNKNOWN_SEQUENCES:
	case ER_PARTITION_MGMT_ON_NONPARTITIONED:
	case ERR_DROP_PARTITION:
	case ER_SAME_NAME_PARTITION:
		return true;
	default:
		return false;
	}
}

static enum dia_rc read_done(
	struct apply_db *db, uint64_t seq, bool *ret, struct dia_err *reterr)
{
	char text[DIA_GTID_POS_MAX * 44];
	struct dia_gtid_pos pos;
	enum dia_rc rc = dia_mariadb_query_one_string(
		db->mysql, text, sizeof(text), reterr, "SELECT @@gtid_binlog_pos");

	*ret = false;
	if (rc == DIA_OK && dia_gtid_pos_parse(dia_slice_str(text), &pos) != DIA_OK)
		rc = dia_err_set(
			reterr, DIA_E_PROTOCOL, 0, "cannot read gtid_binlog_pos");
	if (rc != DIA_OK)
		return rc;
	/* Far above it stands what was applied before the origin was numbered anew (its
	 * state was lost, the databases made equal): that says nothing of this one. */
	for (uint32_t i = 0; i < pos.count; i++)
		if (pos.at[i].domain == dia_reserved_id(db->c.origin))
			*ret = pos.at[i].seq_no >= apply_gtid_seq(seq, false) &&
			       pos.at[i].seq_no - apply_gtid_seq(seq, false) <
				       GTIDS_OF_A_STATEMENT;
	return DIA_OK;
}

/* The session settings that came with the statement. Character sets and modes travel as
 * the numbers the server itself writes. */
static void add_settings(
	struct dia_buf *sql, const struct dia_event *ev, const struct dia_query_event *q)
{
	if ((q->has & DIA_QUERY_HAS_HRNOW) != 0)
		dia_buf_printf(
			sql, "SET timestamp=%u.%06u", ev->timestamp, q->microseconds);
	else
		dia_buf_printf(sql, "SET timestamp=%u", ev->timestamp);
	if ((q->has & DIA_QUERY_HAS_FLAGS2) != 0) {
		dia_buf_printf(sql,
			", sql_auto_is_null=%d, foreign_key_checks=%d, unique_checks=%d, "
			"check_constraint_checks=%d",
			(q->flags2 & FLAG_AUTO_IS_NULL) != 0,
			(q->flags2 & FLAG_NO_FK_CHECKS) == 0,
			(q->flags2 & FLAG_RELAXED_UNIQUE) == 0,
			(q->flags2 & FLAG_NO_CHECK_CONSTRAINTS) == 0);
		if ((q->flags2 & FLAG_IF_EXISTS) != 0)
			dia_buf_add_str(sql, ", sql_if_exists=1");
	}
	if ((q->has & DIA_QUERY_HAS_CHARSET) != 0)
		dia_buf_printf(sql,
			", character_set_client=%u, collation_connection=%u, "
			"collation_server=%u",
			q->client_charset, q->connection_collation, q->server_collation);
	if ((q->has & DIA_QUERY_HAS_CHARSET_DATABASE) != 0)
		dia_buf_printf(sql, ", collation_database=%u", q->database_collation);
	if ((q->has & DIA_QUERY_HAS_LC_TIME) != 0)
		dia_buf_printf(sql, ", lc_time_names=%u", q->lc_time);
	if ((q->has & DIA_QUERY_HAS_TIME_ZONE) != 0 && q->time_zone.len > 0) {
		dia_buf_add_str(sql, ", time_zone=");
		apply_sql_text(sql, q->time_zone);
	}
	if ((q->has & DIA_QUERY_HAS_SQL_MODE) != 0)
		dia_buf_printf(sql, ", sql_mode=%" PRIu64, q->sql_mode);
}

static enum dia_rc take_turn(struct apply_db *db, MYSQL *session, struct dia_err *reterr)
{
	uint64_t ours = 0;
	enum dia_rc rc = dia_mariadb_query_one_u64(session, &ours, reterr,
		"SELECT COALESCE(GET_LOCK('diarchy.ddl.%u', %d), 0)", db->c.origin.id,
		TURN_WAIT_S);

	if (rc == DIA_OK && ours != 1)
		rc = dia_err_set(reterr, DIA_E_DB_RETRY, 0,
			"a statement of %s that was begun on an earlier connection is "
			"still running",
			db->c.origin_name);
	return rc;
}

/* A connection as the statement's own session was. */
static enum dia_rc open_session(struct apply_db *db, const struct dia_event *ev,
	const struct dia_query_event *q, MYSQL **ret, struct dia_err *reterr)
{
	struct dia_buf sql = {0};
	enum dia_rc rc = dia_mariadb_connect(db->c.config, 0, ret, reterr);

	if (rc != DIA_OK)
		return rc;
	rc = take_turn(db, *ret, reterr);
	if (rc == DIA_OK)
		rc = apply_db_session(*ret, db->c.origin, reterr);
	if (rc == DIA_OK && q->db.len > 0) {
		struct dia_err err;

		dia_buf_add_str(&sql, "USE ");
		apply_sql_name(&sql, q->db);
		rc = dia_mariadb_exec_slice(*ret, dia_buf_slice(&sql), &err);
		/* CREATE DATABASE names the database it makes; any other statement then
		 * finds that none is selected. */
		if (rc == DIA_E_DB && err.number == ER_BAD_DB_ERROR)
			rc = DIA_OK;
		else if (rc != DIA_OK && reterr != NULL)
			*reterr = err;
	}
	dia_buf_reset(&sql);
	add_settings(&sql, ev, q);
	if (rc == DIA_OK)
		rc = sql.failed
			     ? dia_err_set(reterr, DIA_E_NOMEM, 0, "out of memory")
			     : dia_mariadb_exec_slice(*ret, dia_buf_slice(&sql), reterr);
	dia_buf_fini(&sql);
	return rc;
}

/* *skipped gets a reason when there was nothing to do. */
static enum dia_rc execute(struct apply_db *db, const struct dia_txn_head *head,
	const struct dia_event *ev, const struct dia_query_event *q,
	struct apply_skipped *skipped, struct dia_err *reterr)
{
	struct dia_err err = {.rc = DIA_OK};
	MYSQL *session = NULL;
	bool done = false;
	enum dia_rc rc = open_session(db, ev, q, &session, &err);

	if (rc == DIA_OK)
		rc = read_done(db, head->seq, &done, &err);
	DIA_FAULT("ddl_before");
	/* Not before we know: gtid_strict_mode refuses a number that stands in the
	 * binlog. */
	if (rc == DIA_OK && !done)
		rc = dia_mariadb_exec(session, &err, "SET SESSION gtid_seq_no=%" PRIu64,
			apply_gtid_seq(head->seq, false));
	if (rc == DIA_OK && !done)
		rc = apply_sql_class(dia_mariadb_exec_slice(session, q->sql, &err), &err);
	if (session != NULL)
		mysql_close(session);
	/* Tables are not what they were, whatever the outcome. */
	atomic_fetch_add(db->c.schema_generation, 1);
	if (rc == DIA_OK) {
		dia_log(DIA_LOG_INFO, "apply", done ? "ddl_found_done" : "ddl",
			"dc=%s seq=%" PRIu64, db->c.origin_name, head->seq);
		return DIA_OK;
	}
	if (rc == DIA_E_DB && already_so(err.number)) {
		dia_log(DIA_LOG_WARN, "apply", "ddl_skipped",
			"dc=%s seq=%" PRIu64 " error=%d", db->c.origin_name, head->seq,
			err.number);
		skipped->db = q->db;
		skipped->sql = q->sql;
		(void)snprintf(skipped->reason, sizeof(skipped->reason), "%.*s",
			(int)sizeof(skipped->reason) - 1, err.text);
		return DIA_OK;
	}
	if (rc != DIA_E_DB)
		return dia_err_set(reterr, rc, err.number, "%s", err.text);
	return dia_err_set(reterr, rc, err.number,
		"statement of %s cannot be executed here: error %d: %.200s; statement: "
		"%.*s; make "
		"it possible here (or do by hand what it does, so that it finds it done) "
		"and "
		"restart diarchy",
		db->c.origin_name, err.number, err.text,
		(int)(q->sql.len < STATEMENT_SHOWN ? q->sql.len : STATEMENT_SHOWN),
		(const char *)q->sql.data);
}

enum dia_rc apply_ddl(void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	struct apply_db *db = ctx;
	const struct dia_txn_head *head = &batch->txns[0].txn->head;
	struct apply_parsed *p = batch->txns[0].parsed;
	struct apply_skipped skipped = {.reason = ""};
	struct dia_query_event q;
	enum dia_rc rc;

	if (db->mysql == NULL)
		return dia_err_set(
			reterr, DIA_E_DB_GONE, 0, "not connected to the database");
	if (dia_query_event_parse(&p->query, &q) != DIA_PARSE_OK)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"malformed Query event in transaction %" PRIu64 " of %s",
			head->seq, db->c.origin_name);
	db->batch_seq = head->seq;
	db->needs_begin = true;
	rc = execute(db, head, &p->query, &q, &skipped, reterr);
	DIA_FAULT("ddl_executed");
	/* The rows of a CREATE TABLE ... SELECT, and the mark. */
	if (rc == DIA_OK)
		rc = apply_write_with(
			db, batch, skipped.reason[0] == '\0' ? NULL : &skipped, reterr);
	if (rc == DIA_OK)
		rc = apply_db_commit(db, reterr);
	DIA_FAULT("ddl_marked");
	return rc;
}
