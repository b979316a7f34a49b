/*
 * parser/sql/guard.h - does this statement hide writes from capture, or is it for
 * diarchy?
 *
 * Looks at every text a client sends, before the server does. Refused is what would make
 * the server write rows that the binlog does not show as row events, or show as already
 * applied: switching sql_log_bin off, another binlog_format, row image or metadata than
 * what capture needs, skip_replication, the gtid_domain_id and server_id that diarchy
 * reserves, XA transactions, BINLOG; and what takes writes out of the binlog that were
 * not sent yet, or the position in it: RESET MASTER, gtid_binlog_state. (PURGE BINARY
 * LOGS passes: disks fill, and the status reports which file is still needed.) Found
 * wherever it stands: later in a list or a multi-statement text, in executable comments,
 * SET STATEMENT, compound statements and stored routines, in the literal of PREPARE and
 * EXECUTE IMMEDIATE. Not found, because it cannot be seen here: text that a statement
 * computes (PREPARE s FROM @v, CONCAT(…), hex literals).
 *
 * The verdict's strings are static. Allocates only to unescape a PREPARE literal longer
 * than a small stack buffer.
 */
#ifndef DIA_PARSER_SQL_GUARD_H
#define DIA_PARSER_SQL_GUARD_H

#include "parser/sql/lexer.h"

enum dia_guard_kind {
	DIA_GUARD_PASS = 0,
	DIA_GUARD_REFUSE,
	DIA_GUARD_SHOW_STATUS,
	DIA_GUARD_SHOW_CONFLICTS,
	DIA_GUARD_SHOW_POLICIES,
};

struct dia_guard_verdict {
	enum dia_guard_kind kind;
	uint16_t error; /* of DIA_GUARD_REFUSE: MariaDB error number, SQLSTATE, message */
	const char *sqlstate;
	const char *message;
};

/* flags: enum dia_sql_flags, the session's present state. */
struct dia_guard_verdict dia_sql_guard(struct dia_slice sql, uint32_t flags);

#endif /* DIA_PARSER_SQL_GUARD_H */
