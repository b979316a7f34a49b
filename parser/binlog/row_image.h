/*
 * parser/binlog/row_image.h - Rows events: walking, decoding, keys, and writing them again.
 *
 * A row image is, as in the event, the null bits of the present columns followed by their
 * packed values. All present-bitmaps must be full (binlog_row_image=FULL); another is
 * reported, never guessed. Slices borrow from the event.
 */
#ifndef DIA_BINLOG_ROW_IMAGE_H
#define DIA_BINLOG_ROW_IMAGE_H

#include "parser/binlog/table_map.h"

enum dia_row_kind {
	DIA_ROW_INSERT = 1,
	DIA_ROW_UPDATE = 2,
	DIA_ROW_DELETE = 3,
};

enum dia_rows_flags {
	DIA_ROWS_STMT_END = 1,
	DIA_ROWS_NO_FK_CHECKS = 2,
	DIA_ROWS_RELAXED_UNIQUE = 4,
	DIA_ROWS_COMPLETE = 8,
};

/* Start of a Rows event: which table, before the table is known. Types 23-25 and 30-32. */
struct dia_rows_head {
	uint64_t table_id;
	uint16_t flags; /* enum dia_rows_flags */
	enum dia_row_kind kind;
	uint32_t column_count;
	struct dia_slice rest; /* present bitmaps and rows */
};

DIA_MUST_CHECK enum dia_parse dia_rows_head_parse(
	const struct dia_event *ev, struct dia_rows_head *ret);

struct dia_row {
	enum dia_row_kind kind;
	struct dia_slice before; /* image; empty for INSERT */
	struct dia_slice after;  /* image; empty for DELETE */
};

struct dia_rows_iter {
	const struct dia_table *table;
	enum dia_row_kind kind;
	struct dia_cursor at;
};

/* BAD if the column count differs from the table's or a bitmap is not full. */
DIA_MUST_CHECK enum dia_parse dia_rows_iter_init(struct dia_rows_iter *it,
	const struct dia_rows_head *head, const struct dia_table *table);
/* OK: *ret is the next row. MORE: no more rows. BAD: malformed. */
DIA_MUST_CHECK enum dia_parse dia_rows_next(struct dia_rows_iter *it, struct dia_row *ret);

/* One column's packed value. is_null or data; data excludes nothing (length prefix included). */
struct dia_value {
	bool is_null;
	struct dia_slice packed;
};

/* Split an image into its table->column_count values. */
DIA_MUST_CHECK enum dia_parse dia_image_split(
	const struct dia_table *table, struct dia_slice image, struct dia_value *values);

/* Length of the packed value of a non-NULL column at the cursor, moving past it; BAD sets
 * c->bad. The one place that knows how long each type is. */
struct dia_slice dia_value_take(const struct dia_column *column, struct dia_cursor *c);

/*
 * A value as text, exactly as MariaDB's text protocol would print it (numbers, dates with
 * fraction, negative TIME, ENUM/SET by name, BIT/BLOB/binary as raw bytes; DECIMAL, FLOAT and
 * DOUBLE shortest round-trip). *is_binary says the bytes are not text. TIMESTAMP is UTC.
 */
DIA_MUST_CHECK enum dia_rc dia_value_text(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out, bool *is_binary);

/* A value as an SQL literal that gives back the same value (NULL, 12, 'it''s', x'00ff',
 * _utf8mb4 x'...' COLLATE-free), for SELECT ... WHERE pk = . */
DIA_MUST_CHECK enum dia_rc dia_value_literal(
	const struct dia_column *column, const struct dia_value *value, struct dia_buf *out);

/* An image as a JSON object {"column": value}; NULL as null, numbers as numbers, text as
 * strings (invalid UTF-8 and binary as {"base64": "..."}). */
DIA_MUST_CHECK enum dia_rc dia_image_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out);

/* JSON object of the primary key columns alone. */
DIA_MUST_CHECK enum dia_rc dia_image_key_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out);

/* Integer value of an integer column (TINY..LONGLONG), sign-extended unless is_unsigned. */
DIA_MUST_CHECK enum dia_rc dia_value_int(
	const struct dia_column *column, const struct dia_value *value, int64_t *ret);

/*
 * Canonical key: two rows of one table have equal bytes exactly when the database holds them
 * to be the same primary key. Text keys fold under their collation: ASCII text exactly as the
 * collation families of MariaDB do (case, trailing spaces under PAD); for other text under a
 * non-binary collation `weigh` is asked for the weight string (the proxy asks the database
 * and caches; NULL = use the bytes). Prefixed with db, table so that it is unique in the DC.
 */
typedef enum dia_rc (*dia_weigh_cb)(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out);

DIA_MUST_CHECK enum dia_rc dia_image_key(const struct dia_table *table, struct dia_slice image,
	dia_weigh_cb weigh, void *weigh_ctx, struct dia_buf *out);

/*
 * Writing Rows events. begin appends header, table id, flags, column count and full present
 * bitmaps (one, or two for UPDATE); row appends images; end fixes event_len. With key_only
 * set, the before image of UPDATE and DELETE carries only the primary key columns (bitmap
 * says so), which is all the server needs to find the row: images given to row are still
 * full ones. Types 23-25.
 */
struct dia_rows_writer {
	struct dia_buf *out;
	const struct dia_table *table;
	enum dia_row_kind kind;
	bool key_only;
	size_t start;
};

DIA_MUST_CHECK enum dia_rc dia_rows_writer_begin(struct dia_rows_writer *w, struct dia_buf *out,
	const struct dia_table *table, uint64_t table_id, enum dia_row_kind kind, uint16_t flags,
	bool key_only);
DIA_MUST_CHECK enum dia_rc dia_rows_writer_row(
	struct dia_rows_writer *w, struct dia_slice before, struct dia_slice after);
DIA_MUST_CHECK enum dia_rc dia_rows_writer_end(struct dia_rows_writer *w);

#endif /* DIA_BINLOG_ROW_IMAGE_H */
