/*
 * proxy/apply/parse.h - a transaction's body into rows and keyed changes.
 */
#ifndef DIA_APPLY_PARSE_H
#define DIA_APPLY_PARSE_H

#include "proxy/apply/source.h"

/* One row of a body. Images borrow from the transaction. */
struct apply_row {
	struct apply_source *source;
	struct dia_row row;
	uint16_t flags; /* DIA_ROWS_NO_FK_CHECKS, DIA_ROWS_RELAXED_UNIQUE */
};

/* dia_apply_txn.parsed. */
struct apply_parsed {
	struct apply_row *rows;
	size_t row_count, row_cap;
	struct apply_source **sources; /* one reference each */
	size_t source_count, source_cap;
	size_t change_cap;
	struct dia_buf keys;
	bool has_query;
	struct dia_event query; /* of a DDL transaction */
};

DIA_MUST_CHECK enum dia_rc apply_parse(
	void *ctx, struct dia_apply_txn *txn, struct dia_err *reterr);
void apply_release(void *ctx, struct dia_apply_txn *txn);

#endif /* DIA_APPLY_PARSE_H */
