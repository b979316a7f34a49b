/*
 * proxy/apply/source.h - schemas of the rows that arrive, and how each fits the table
 * here.
 *
 * A source is one schema of one table as a peer's Table_map told it, cached by its bytes.
 * Its binding says how its rows are to be written into the table of that name here:
 * MariaDB itself matches columns by position only, so a table whose columns stand in
 * another order would silently take values into the wrong columns.
 */
#ifndef DIA_APPLY_SOURCE_H
#define DIA_APPLY_SOURCE_H

#include "proxy/apply/db.h"
#include "proxy/core/hash.h"

enum apply_fit {
	APPLY_FIT_RAW = 0, /* same columns in the same order: images go as they are */
	APPLY_FIT_REMAP,   /* images are put together anew */
	APPLY_FIT_MISSING, /* no such table here */
	APPLY_FIT_NEVER,   /* why[] says what cannot be done */
};

/* What a value must pass before it may be written into a column that differs. */
enum apply_value_check {
	APPLY_CHECK_NONE = 0,
	APPLY_CHECK_TOP_BIT, /* signed one side, unsigned the other */
	APPLY_CHECK_ASCII,   /* other character set */
	APPLY_CHECK_BMP,     /* utf8mb4 into utf8mb3 */
};

/* A column of the table here. */
struct apply_column {
	struct dia_slice name;
	int from; /* column of the source, -1: not there, takes its default */
	uint8_t type;
	uint16_t meta;
	bool has_default; /* or NULL, AUTO_INCREMENT, generated */
};

struct apply_source {
	struct dia_table table; /* in arena, of a copy of the event */
	bool replicated; /* by this DC's configuration; rows of others are left out */
	uint64_t hash;
	UT_hash_handle hh;
	struct dia_arena arena;
	uint32_t refs; /* parsed transactions that hold rows of it */
	uint64_t used; /* tick, for throwing out the oldest */

	/* Binding; valid while bound_generation is the present one. */
	bool bound;
	uint64_t bound_generation;
	enum apply_fit fit;
	char why[200];
	uint32_t column_count; /* here */
	struct apply_column *columns;
	uint8_t *checks; /* enum apply_value_check per column of the source */
	bool has_checks;
	bool reported; /* this fit, to the log */
	/* Queries for rows that a delete here would take along (children.c); NULL: not
	 * known yet. */
	struct dia_slice *children;
	size_t child_count;
	struct dia_arena bind_arena;

	/* Of the statement being built. */
	uint64_t group;
	uint64_t group_id;
};

/* The source for a Table_map event (with header); one more reference. */
DIA_MUST_CHECK enum dia_rc apply_source_get(struct apply_db *db,
	const struct dia_event *ev, struct apply_source **ret, struct dia_err *reterr);
void apply_source_put(struct apply_source *source);
void apply_sources_free(struct apply_db *db);

/* Look (again, if a DDL has happened) at the table here. */
DIA_MUST_CHECK enum dia_rc apply_source_bind(
	struct apply_db *db, struct apply_source *source, struct dia_err *reterr);

/* False with the column's number when a value cannot be put into the table here. */
bool apply_source_holds(
	const struct apply_source *source, struct dia_slice image, uint32_t *ret_column);

/* Append the Table_map of the table here, for rows of a remapped source. */
DIA_MUST_CHECK enum dia_rc apply_remap_table(
	struct dia_buf *out, const struct apply_source *source, uint64_t table_id);
/* Append a Rows event of one row. */
DIA_MUST_CHECK enum dia_rc apply_remap_row(struct dia_buf *out,
	const struct apply_source *source, uint64_t table_id, enum dia_row_kind kind,
	uint16_t flags, struct dia_slice before, struct dia_slice after);

#endif /* DIA_APPLY_SOURCE_H */
