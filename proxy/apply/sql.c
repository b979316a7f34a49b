/* proxy/apply/sql.c - statements of the applier's session; see db.h. */
#include "proxy/apply/db.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <mysqld_error.h>

enum {
	CACHE_SLACK = 256 << 10, /* headers, Table_maps, the mark */
	CACHE_MAX = 64 << 20,
	CACHE_ORIGIN = 32768, /* no dc has such an id */
};

void apply_sql_name(struct dia_buf *out, struct dia_slice name)
{
	dia_buf_add_u8(out, '`');
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] == '`')
			dia_buf_add_u8(out, '`');
		dia_buf_add_u8(out, name.data[i]);
	}
	dia_buf_add_u8(out, '`');
}

void apply_sql_text(struct dia_buf *out, struct dia_slice text)
{
	static const char digits[] = "0123456789abcdef";

	dia_buf_add_str(out, "_utf8mb4 x'");
	if (dia_buf_reserve(out, text.len * 2 + 1) != DIA_OK)
		return;
	for (size_t i = 0; i < text.len; i++) {
		out->data[out->len++] = (uint8_t)digits[text.data[i] >> 4];
		out->data[out->len++] = (uint8_t)digits[text.data[i] & 15];
	}
	dia_buf_add_u8(out, '\'');
}

void apply_sql_start(struct apply_db *db)
{
	dia_buf_reset(&db->sql);
	/* gtid_seq_no cannot be set inside a transaction. */
	if (db->needs_begin)
		dia_buf_printf(&db->sql,
			"SET SESSION gtid_seq_no=%" PRIu64 ";START TRANSACTION;",
			apply_gtid_seq(db->batch_seq, true));
}

/* The results of what was sent; `sent` is false when that failed already. */
static enum dia_rc take_results(
	struct apply_db *db, bool sent, MYSQL_RES **ret_res, struct dia_err *reterr)
{
	MYSQL_RES *res = NULL;
	int more;

	if (ret_res != NULL)
		*ret_res = NULL;
	if (!sent)
		goto failed;
	for (;;) {
		res = mysql_store_result(db->mysql);
		if (res == NULL && mysql_errno(db->mysql) != 0)
			goto failed;
		more = mysql_next_result(db->mysql);
		if (more != 0)
			break;
		mysql_free_result(res);
	}
	if (more > 0) {
		mysql_free_result(res);
		goto failed;
	}
	db->needs_begin = false;
	if (ret_res != NULL)
		*ret_res = res;
	else
		mysql_free_result(res);
	return DIA_OK;
failed:
	/* The prefix itself never fails on a sound connection, so the transaction is
	 * open: the caller rolls back on any error it does not handle. */
	db->needs_begin = false;
	return apply_sql_class(dia_mariadb_error(db->mysql, reterr, "database"), reterr);
}

enum dia_rc apply_sql_run(
	struct apply_db *db, MYSQL_RES **ret_res, struct dia_err *reterr)
{
	bool sent;

	if (ret_res != NULL)
		*ret_res = NULL;
	if (db->sql.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a statement");
	sent = mysql_real_query(db->mysql, (const char *)db->sql.data,
		       (unsigned long)db->sql.len) == 0;
	return take_results(db, sent, ret_res, reterr);
}

/* The answer must be read whatever came before it; without one (the query was killed, the
 * connection is gone) the position is asked for again, and that says what is wrong. */
static void take_position(struct apply_db *db)
{
	MYSQL_RES *res;
	MYSQL_ROW row;

	if (mysql_read_query_result(db->mysql) != 0)
		return;
	res = mysql_store_result(db->mysql);
	row = res == NULL ? NULL : mysql_fetch_row(res);
	if (row != NULL && row[0] != NULL)
		db->has_position = dia_gtid_pos_parse(dia_slice_str(row[0]),
					   &db->position) == DIA_OK;
	mysql_free_result(res);
}

enum dia_rc apply_sql_run_last(struct apply_db *db, struct dia_err *reterr)
{
	static const char ask[] = "SELECT @@gtid_binlog_pos";
	bool sent, asked = false;
	enum dia_rc rc;

	db->has_position = false;
	if (db->sql.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a statement");
	sent = mysql_send_query(db->mysql, (const char *)db->sql.data,
		       (unsigned long)db->sql.len) == 0;
	if (sent) {
		asked = mysql_send_query(db->mysql, ask, sizeof(ask) - 1) == 0;
		if (db->ahead != NULL)
			db->ahead(db->ahead_ctx);
		sent = mysql_read_query_result(db->mysql) == 0;
	}
	rc = take_results(db, sent, NULL, reterr);
	if (asked && rc != DIA_E_DB_GONE)
		take_position(db);
	/* Of rows that are not there it says nothing. */
	db->has_position &= rc == DIA_OK;
	return rc;
}

void apply_sql_widen_cache(struct apply_db *db)
{
	uint64_t now, want = db->c.config->limits.batch_bytes + CACHE_SLACK;
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc;

	want = (want > CACHE_MAX ? CACHE_MAX : want) & ~UINT64_C(4095);
	rc = dia_mariadb_query_one_u64(
		db->mysql, &now, &err, "SELECT @@GLOBAL.binlog_cache_size");
	if (rc != DIA_OK || now >= want)
		return;
	if (dia_mariadb_exec(db->mysql, &err, "SET GLOBAL binlog_cache_size=%" PRIu64,
		    want) != DIA_OK) {
		dia_log(DIA_LOG_INFO, "apply", "small_binlog_cache",
			"dc=%s binlog_cache_size=%" PRIu64
			" remedy=\"let diarchy's account have BINLOG ADMIN, or SET "
			"GLOBAL "
			"binlog_cache_size=%" PRIu64 ": batches go through a file\"",
			db->c.origin_name, now, want);
		return;
	}
	/* No row comes of it, nor anything in the binlog: only the cache. */
	rc = dia_mariadb_exec(db->mysql, &err, "START TRANSACTION");
	if (rc == DIA_OK)
		rc = dia_mariadb_exec(db->mysql, &err,
			"INSERT INTO diarchy.applied (origin, seq, stamp, incarnation) "
			"VALUES (%u, 0, 0, 0)",
			CACHE_ORIGIN + db->c.origin.id);
	/* A connection that breaks here is found out by what comes next. */
	if (dia_mariadb_exec(db->mysql, &err, "ROLLBACK") != DIA_OK ||
		dia_mariadb_exec(db->mysql, &err, "SET GLOBAL binlog_cache_size=%" PRIu64,
			now) != DIA_OK ||
		rc != DIA_OK)
		dia_log(DIA_LOG_DEBUG, "apply", "binlog_cache_failed", "dc=%s error=%s",
			db->c.origin_name, err.text);
}

enum dia_rc apply_sql_class(enum dia_rc rc, struct dia_err *reterr)
{
	int number = reterr == NULL ? 0 : reterr->number;

	/* These pass when somebody makes room or ends a failover. */
	if (rc == DIA_E_DB &&
		(number == ER_OPTION_PREVENTS_STATEMENT || number == ER_DISK_FULL ||
			number == ER_RECORD_FILE_FULL || number == ER_OUTOFMEMORY ||
			number == ER_OUT_OF_RESOURCES ||
			number == ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION))
		rc = reterr->rc = DIA_E_DB_RETRY;
	return rc;
}
