/*
 * proxy/apply/statement.h - rows collected into BINLOG statements.
 *
 * Inside a statement rows stand in groups: the Table_maps of all its tables, then the
 * Rows events in the order they were added, the last with STMT_END. The server opens the
 * tables of a group once and takes foreign_key_checks and unique_checks from its first
 * Rows event, so rows with other flags begin a new group. A Rows event for a table
 * without a Table_map in its group would be skipped without an error; group numbers
 * prevent it.
 */
#ifndef DIA_APPLY_STATEMENT_H
#define DIA_APPLY_STATEMENT_H

#include "proxy/apply/parse.h"

/* One row to be written. */
struct apply_put {
	struct apply_source *source;
	enum dia_row_kind kind;
	uint16_t flags;
	/* Full images of the source; of `before` only the key columns are used. */
	struct dia_slice before, after;
};

struct apply_statement {
	struct apply_db *db;
	size_t limit; /* of event bytes in one statement */
	uint64_t group;
	uint64_t next_id;
	uint16_t flags;   /* of the group */
	bool group_open;  /* it has rows */
	bool writer_open; /* its last Rows event may take more rows */
	bool last;        /* it has the mark */
	struct dia_rows_writer writer;
	struct apply_source *source; /* of the last Rows event */
	size_t last_event;           /* its offset in db->rows */
};

void apply_statement_start(struct apply_statement *st, struct apply_db *db);
/* Add one row; sends what is there first when it would not fit. */
DIA_MUST_CHECK enum dia_rc apply_statement_put(
	struct apply_statement *st, const struct apply_put *put, struct dia_err *reterr);
/* Add the applied mark; after it nothing but send. */
DIA_MUST_CHECK enum dia_rc apply_statement_mark(
	struct apply_statement *st, uint64_t seq, uint64_t stamp, struct dia_err *reterr);
/* Send what is there, behind db->sql (which the caller has started) if `prefixed`. */
DIA_MUST_CHECK enum dia_rc apply_statement_send(
	struct apply_statement *st, bool prefixed, struct dia_err *reterr);

#endif /* DIA_APPLY_STATEMENT_H */
