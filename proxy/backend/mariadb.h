/*
 * proxy/backend/mariadb.h - blocking connections to this DC's MariaDB for diarchy's own
 * work (capture, apply, check), and the meaning of its errors.
 *
 * Not for client traffic, which is relayed without a client library. A MYSQL belongs to
 * one thread at a time. Every thread that uses these calls mysql_thread_init implicitly
 * with its first connection; call mysql_thread_end before it ends.
 */
#ifndef DIA_BACKEND_MARIADB_H
#define DIA_BACKEND_MARIADB_H

#include "proxy/config/config.h"
#include "proxy/core/err.h"

#include <mysql.h>

enum dia_mariadb_flags {
	/* Reads may take as long as they like (a binlog stream). Default 10 minutes:
	 * above any innodb_lock_wait_timeout in use, so that the server gives up first.
	 */
	DIA_MARIADB_NO_READ_TIMEOUT = 1,
	/* What this session writes is diarchy's own bookkeeping: its gtid_domain_id and
	 * server_id are DIA_RESERVED_ID_BASE, so that capture does not ship it. */
	DIA_MARIADB_BOOKKEEPING = 2,
};

/*
 * Connect to config->database: utf8mb4, autocommit, UTC, an sql_mode that changes no
 * value, and limits on connecting (10 s) and reading. The error names address and account
 * and what to do. DIA_E_DB_GONE when nobody answers (try again), DIA_E_AUTH for a refused
 * account, DIA_E_DB for the rest.
 */
DIA_MUST_CHECK enum dia_rc dia_mariadb_connect(const struct dia_config *config,
	uint32_t flags, MYSQL **ret, struct dia_err *reterr);
/* "127.0.0.1:3306" or the socket's path, for messages. */
const char *dia_mariadb_address(const struct dia_config *config, char *out, size_t cap);

/* What error `number` of server or client library means for who meets it: DIA_OK for 0,
 * DIA_E_DB_RETRY (deadlock, lock timeout, killed statement: again from BEGIN),
 * DIA_E_DB_GONE (connect again), DIA_E_AUTH, DIA_E_NOMEM, or DIA_E_DB. */
enum dia_rc dia_mariadb_classify(unsigned number);
/* Set *reterr from the connection's last error, `what` in front; returns its class. */
enum dia_rc dia_mariadb_error(MYSQL *db, struct dia_err *reterr, const char *fmt, ...)
	DIA_PRINTF(3, 4);

/* Run one statement and drop its result, if any. Values are the caller's to escape. */
DIA_MUST_CHECK enum dia_rc dia_mariadb_exec(
	MYSQL *db, struct dia_err *reterr, const char *fmt, ...) DIA_PRINTF(3, 4);
/* The same for a statement of any length, with bytes of any value. */
DIA_MUST_CHECK enum dia_rc dia_mariadb_exec_slice(
	MYSQL *db, struct dia_slice sql, struct dia_err *reterr);
/* Run one query, its whole result into *ret (mysql_free_result). DIA_E_PROTOCOL when the
 * statement gives no result set. */
DIA_MUST_CHECK enum dia_rc dia_mariadb_query(MYSQL *db, MYSQL_RES **ret,
	struct dia_err *reterr, const char *fmt, ...) DIA_PRINTF(4, 5);
/* First column of the first row into out, always terminated. DIA_E_NOT_FOUND without a
 * row or for NULL; DIA_E_LIMIT when it does not fit. */
DIA_MUST_CHECK enum dia_rc dia_mariadb_query_one_string(MYSQL *db, char *out, size_t cap,
	struct dia_err *reterr, const char *fmt, ...) DIA_PRINTF(5, 6);
/* The same as a number; DIA_E_PROTOCOL when it is none. */
DIA_MUST_CHECK enum dia_rc dia_mariadb_query_one_u64(MYSQL *db, uint64_t *ret,
	struct dia_err *reterr, const char *fmt, ...) DIA_PRINTF(4, 5);

/* From now on this session writes under these ids (session server_id, gtid_domain_id). */
DIA_MUST_CHECK enum dia_rc dia_mariadb_set_ids(
	MYSQL *db, uint32_t id, struct dia_err *reterr);

#endif /* DIA_BACKEND_MARIADB_H */
