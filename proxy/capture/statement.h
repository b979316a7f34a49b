/*
 * proxy/capture/statement.h - what a Query event of the binlog is.
 *
 * Only tells statements apart as far as replication must: ends of transactions, DDL and
 * its objects, accounts, housekeeping, and data changes in statement format. Pure.
 */
#ifndef DIA_CAPTURE_STATEMENT_H
#define DIA_CAPTURE_STATEMENT_H

#include "parser/binlog/event.h"

enum dia_statement_kind {
	DIA_STATEMENT_UNKNOWN = 0,
	DIA_STATEMENT_BEGIN,
	DIA_STATEMENT_COMMIT,
	DIA_STATEMENT_ROLLBACK,
	DIA_STATEMENT_SAVEPOINT,
	DIA_STATEMENT_ROLLBACK_TO,
	DIA_STATEMENT_XA_BODY, /* XA START, END, PREPARE: marks inside a prepared group */
	DIA_STATEMENT_XA_COMMIT,
	DIA_STATEMENT_XA_ROLLBACK,
	DIA_STATEMENT_TABLE_DDL,  /* tables, indexes, views, sequences: `names` say which
				   */
	DIA_STATEMENT_SCHEMA_DDL, /* routines, triggers, events, packages: names[0].db */
	DIA_STATEMENT_DATABASE_DDL, /* names[0].db */
	DIA_STATEMENT_ACCOUNTS,
	DIA_STATEMENT_HOUSEKEEPING, /* FLUSH, ANALYZE, temporary tables …: stays here */
	DIA_STATEMENT_DML,
};

enum { DIA_STATEMENT_NAMES_MAX = 32 };

struct dia_statement_name {
	struct dia_slice db; /* the default database when not written */
	struct dia_slice name;
};

struct dia_statement {
	enum dia_statement_kind kind;
	uint32_t name_count; /* the first ones, up to the maximum */
	struct dia_statement_name names[DIA_STATEMENT_NAMES_MAX];
};

/* Names borrow from the event or live in the arena. */
DIA_MUST_CHECK enum dia_rc dia_statement_classify(const struct dia_query_event *query,
	struct dia_arena *arena, struct dia_statement *ret);

#endif /* DIA_CAPTURE_STATEMENT_H */
