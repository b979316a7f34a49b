/* proxy/backend/mariadb.c - see mariadb.h. */
#include "proxy/backend/mariadb.h"
#include "proxy/core/buf.h"
#include "proxy/core/change.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECT_TIMEOUT_S = 10,
	READ_TIMEOUT_S = 600,
	STATEMENT_SHOWN = 80, /* bytes of a failed statement that the error quotes */
};

const char *dia_mariadb_address(const struct dia_config *config, char *out, size_t cap)
{
	if (config->database.socket != NULL)
		(void)snprintf(out, cap, "%s", config->database.socket);
	else
		(void)snprintf(
			out, cap, "%s:%u", config->database.host, config->database.port);
	return out;
}

enum dia_rc dia_mariadb_classify(unsigned number)
{
	switch (number) {
	case 0:
		return DIA_OK;
	case ER_LOCK_DEADLOCK:
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_CHECKREAD: /* record has changed since last read */
	case ER_QUERY_INTERRUPTED:
	case ER_STATEMENT_TIMEOUT:
	case ER_LOCK_TABLE_FULL:
		return DIA_E_DB_RETRY;
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_SERVER_LOST_EXTENDED:
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_SOCKET_CREATE_ERROR:
	case CR_UNKNOWN_HOST:
	case CR_IPSOCK_ERROR:
	case CR_MALFORMED_PACKET:
	case CR_COMMANDS_OUT_OF_SYNC:
	case ER_SERVER_SHUTDOWN:
	case ER_NORMAL_SHUTDOWN:
	case ER_SHUTDOWN_COMPLETE:
	case ER_CONNECTION_KILLED:
	case ER_CON_COUNT_ERROR:
	case ER_TOO_MANY_USER_CONNECTIONS:
	case ER_HOST_IS_BLOCKED:
	case ER_NET_READ_ERROR:
	case ER_NET_READ_INTERRUPTED:
	case ER_NET_ERROR_ON_WRITE:
	case ER_NET_WRITE_INTERRUPTED:
	case ER_NET_PACKETS_OUT_OF_ORDER:
		return DIA_E_DB_GONE;
	case ER_ACCESS_DENIED_ERROR:
	case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
	case ER_HOST_NOT_PRIVILEGED:
	case ER_ACCOUNT_HAS_BEEN_LOCKED:
	case ER_MUST_CHANGE_PASSWORD_LOGIN:
		return DIA_E_AUTH;
	case CR_OUT_OF_MEMORY:
		return DIA_E_NOMEM;
	default:
		return DIA_E_DB;
	}
}

enum dia_rc dia_mariadb_error(MYSQL *db, struct dia_err *reterr, const char *fmt, ...)
{
	char what[DIA_ERR_TEXT_MAX];
	unsigned number = mysql_errno(db);
	enum dia_rc rc = number == 0 ? DIA_E_DB : dia_mariadb_classify(number);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return dia_err_set(reterr, rc, (int)number, "%s: error %u (%s): %s", what, number,
		mysql_sqlstate(db), mysql_error(db));
}

static enum dia_rc connect_error(
	MYSQL *db, const struct dia_config *config, struct dia_err *reterr)
{
	char where[256], what[512];
	enum dia_rc rc;
	const char *remedy;

	(void)snprintf(what, sizeof(what), "database at %s as account '%s'",
		dia_mariadb_address(config, where, sizeof(where)), config->database.user);
	rc = dia_mariadb_error(db, reterr, "%s", what);
	if (rc == DIA_E_AUTH)
		remedy = "check user and password under `database:`, and that the "
			 "account may log "
			 "in from this host";
	else if (rc == DIA_E_DB_GONE)
		remedy = "check that the server runs and that host, port or socket under "
			 "`database:` are right";
	else
		remedy = "see the server's error log";
	if (reterr != NULL) {
		size_t used = strlen(reterr->text);

		(void)snprintf(
			reterr->text + used, sizeof(reterr->text) - used, "; %s", remedy);
	}
	return rc;
}

static enum dia_rc set_options(MYSQL *db, uint32_t flags, struct dia_err *reterr)
{
	unsigned connect_s = CONNECT_TIMEOUT_S, rw_s = READ_TIMEOUT_S;
	my_bool off = 0;
	unsigned no_local = 0;
	int bad = 0;

	bad |= mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	if ((flags & DIA_MARIADB_NO_READ_TIMEOUT) == 0)
		bad |= mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &rw_s);
	bad |= mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &rw_s);
	/* A silent reconnect would lose session ids and the open transaction. */
	bad |= mysql_options(db, MYSQL_OPT_RECONNECT, &off);
	bad |= mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no_local);
	bad |= mysql_options(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	bad |= mysql_options4(db, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "diarchy");
	if (bad != 0)
		return dia_err_set(reterr, DIA_E_NOMEM, 0,
			"out of memory while connecting to the database");
	return DIA_OK;
}

enum dia_rc dia_mariadb_connect(const struct dia_config *config, uint32_t flags,
	MYSQL **ret, struct dia_err *reterr)
{
	const char *socket = config->database.socket;
	MYSQL *db = mysql_init(NULL);
	enum dia_rc rc;

	*ret = NULL;
	if (db == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0,
			"out of memory while connecting to the database");
	rc = set_options(db, flags, reterr);
	if (rc != DIA_OK)
		goto fail;
	/* "localhost" would make the library choose a socket of its own. */
	if (mysql_real_connect(db, socket != NULL ? "localhost" : config->database.host,
		    config->database.user, config->database.password, NULL,
		    socket != NULL ? 0 : config->database.port, socket, 0) == NULL) {
		rc = connect_error(db, config, reterr);
		goto fail;
	}
	rc = dia_mariadb_exec(db, reterr,
		"SET SESSION autocommit=1, time_zone='+00:00', "
		"sql_mode='NO_AUTO_VALUE_ON_ZERO,"
		"NO_ENGINE_SUBSTITUTION', wait_timeout=2147483, net_read_timeout=600, "
		"net_write_timeout=600, character_set_results=utf8mb4, "
		"sql_safe_updates=0, "
		"max_statement_time=0");
	if (rc == DIA_OK && (flags & DIA_MARIADB_BOOKKEEPING) != 0)
		rc = dia_mariadb_set_ids(db, DIA_RESERVED_ID_BASE, reterr);
	if (rc != DIA_OK)
		goto fail;
	*ret = db;
	return DIA_OK;
fail:
	mysql_close(db);
	return rc;
}

/* Read and drop every result of the statement just run. */
static int drop_results(MYSQL *db)
{
	int more;

	do {
		MYSQL_RES *res = mysql_use_result(db);

		if (res != NULL) {
			while (mysql_fetch_row(res) != NULL)
				;
			mysql_free_result(res);
		}
		if (mysql_errno(db) != 0)
			return 1;
		more = mysql_next_result(db);
	} while (more == 0);
	return more > 0;
}

static enum dia_rc statement_error(
	MYSQL *db, struct dia_slice sql, struct dia_err *reterr)
{
	bool cut = sql.len > STATEMENT_SHOWN;

	return dia_mariadb_error(db, reterr, "%.*s%s",
		cut ? STATEMENT_SHOWN : (int)sql.len, (const char *)sql.data,
		cut ? " ..." : "");
}

enum dia_rc dia_mariadb_exec_slice(
	MYSQL *db, struct dia_slice sql, struct dia_err *reterr)
{
	if (mysql_real_query(db, (const char *)sql.data, (unsigned long)sql.len) != 0 ||
		drop_results(db) != 0)
		return statement_error(db, sql, reterr);
	return DIA_OK;
}

DIA_PRINTF(2, 0)
static enum dia_rc format(
	struct dia_buf *sql, const char *fmt, va_list ap, struct dia_err *reterr)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || dia_buf_reserve(sql, (size_t)n + 1) != DIA_OK)
		return dia_err_set(reterr, DIA_E_NOMEM, 0,
			"out of memory while writing an SQL statement");
	(void)vsnprintf((char *)sql->data, (size_t)n + 1, fmt, ap);
	sql->len = (size_t)n;
	return DIA_OK;
}

enum dia_rc dia_mariadb_exec(MYSQL *db, struct dia_err *reterr, const char *fmt, ...)
{
	struct dia_buf sql = {0};
	enum dia_rc rc;
	va_list ap;

	va_start(ap, fmt);
	rc = format(&sql, fmt, ap, reterr);
	va_end(ap);
	if (rc == DIA_OK)
		rc = dia_mariadb_exec_slice(db, dia_buf_slice(&sql), reterr);
	dia_buf_fini(&sql);
	return rc;
}

DIA_PRINTF(4, 0)
static enum dia_rc query_va(
	MYSQL *db, MYSQL_RES **ret, struct dia_err *reterr, const char *fmt, va_list ap)
{
	struct dia_buf sql = {0};
	enum dia_rc rc = format(&sql, fmt, ap, reterr);

	*ret = NULL;
	if (rc != DIA_OK)
		goto out;
	if (mysql_real_query(db, (const char *)sql.data, (unsigned long)sql.len) != 0) {
		rc = statement_error(db, dia_buf_slice(&sql), reterr);
		goto out;
	}
	*ret = mysql_store_result(db);
	if (*ret != NULL)
		goto out;
	if (mysql_errno(db) != 0)
		rc = statement_error(db, dia_buf_slice(&sql), reterr);
	else
		rc = dia_err_set(reterr, DIA_E_PROTOCOL, 0, "%.80s: gave no result set",
			(const char *)sql.data);
out:
	dia_buf_fini(&sql);
	return rc;
}

enum dia_rc dia_mariadb_query(
	MYSQL *db, MYSQL_RES **ret, struct dia_err *reterr, const char *fmt, ...)
{
	enum dia_rc rc;
	va_list ap;

	va_start(ap, fmt);
	rc = query_va(db, ret, reterr, fmt, ap);
	va_end(ap);
	return rc;
}

DIA_PRINTF(5, 0)
static enum dia_rc one_string(MYSQL *db, char *out, size_t cap, struct dia_err *reterr,
	const char *fmt, va_list ap)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	unsigned long *lengths;
	enum dia_rc rc = query_va(db, &res, reterr, fmt, ap);

	out[0] = 0;
	if (rc != DIA_OK)
		return rc;
	row = mysql_fetch_row(res);
	lengths = row == NULL ? NULL : mysql_fetch_lengths(res);
	if (row == NULL || row[0] == NULL) {
		rc = dia_err_set(reterr, DIA_E_NOT_FOUND, 0, "%.80s: no value", fmt);
	} else if (lengths[0] >= cap) {
		rc = dia_err_set(reterr, DIA_E_LIMIT, 0,
			"%.80s: value of %lu bytes is too long", fmt, lengths[0]);
	} else {
		memcpy(out, row[0], lengths[0]);
		out[lengths[0]] = 0;
	}
	mysql_free_result(res);
	return rc;
}

enum dia_rc dia_mariadb_query_one_string(
	MYSQL *db, char *out, size_t cap, struct dia_err *reterr, const char *fmt, ...)
{
	enum dia_rc rc;
	va_list ap;

	va_start(ap, fmt);
	rc = one_string(db, out, cap, reterr, fmt, ap);
	va_end(ap);
	return rc;
}

enum dia_rc dia_mariadb_query_one_u64(
	MYSQL *db, uint64_t *ret, struct dia_err *reterr, const char *fmt, ...)
{
	char text[32], *end;
	enum dia_rc rc;
	va_list ap;

	*ret = 0;
	va_start(ap, fmt);
	rc = one_string(db, text, sizeof(text), reterr, fmt, ap);
	va_end(ap);
	if (rc != DIA_OK)
		return rc;
	*ret = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != 0)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"%.80s: '%s' is not a number", fmt, text);
	return DIA_OK;
}

enum dia_rc dia_mariadb_set_ids(MYSQL *db, uint32_t id, struct dia_err *reterr)
{
	enum dia_rc rc = dia_mariadb_exec(
		db, reterr, "SET SESSION gtid_domain_id=%u, server_id=%u", id, id);

	if (rc != DIA_OK)
		return dia_err_wrap(reterr, rc,
			"cannot mark this session's writes (the account needs BINLOG "
			"REPLAY, see "
			"`diarchy check`)");
	return DIA_OK;
}
