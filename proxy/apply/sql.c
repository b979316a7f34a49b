/* proxy/apply/sql.c - statements of the applier's session; see db.h. */
#include "proxy/apply/db.h"

#include <inttypes.h>
#include <mysqld_error.h>

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
