/*
 * parser/binlog/row_image.h - Rows events: walking, decoding, keys, and writing them
 * again.
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
	DIA_ROWS_NO_CHECK_CONSTRAINTS = 128,
};

/* Start of a Rows event: which table, before the table is known. Types 23-25 and 30-32.
 */
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
DIA_MUST_CHECK enum dia_parse dia_rows_next(
	struct dia_rows_iter *it, struct dia_row *ret);

/* One column's packed value. is_null or data; data excludes nothing (length prefix
 * included). */
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
 * fraction, negative TIME, ENUM/SET by name, BIT/BLOB/binary as raw bytes; DOUBLE
 * shortest round-trip, FLOAT with the server's six digits). *is_binary says the bytes are
 * not text. TIMESTAMP is UTC. Text stays in the column's character set. What Table_map
 * does not tell cannot be printed: ZEROFILL, the decimals of FLOAT(m,d) and DOUBLE(m,d),
 * and that a BINARY(16) is a UUID or INET6 (or BINARY(4) an INET4): those are bytes here.
 */
DIA_MUST_CHECK enum dia_rc dia_value_text(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out, bool *is_binary);

/* A value as an SQL literal that selects its row in WHERE pk = … by the key's index
 * (NULL, 12, x'00ff', _latin1 x'…', '2024-02-29'), whatever the session's character set
 * and quoting rules are; TIMESTAMP needs time_zone '+00:00', zero dates a sql_mode
 * without NO_ZERO_DATE. For a column with pk_prefix_chars compare prefixes: LEFT(col, n)
 * = LEFT(literal, n). */
DIA_MUST_CHECK enum dia_rc dia_value_literal(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out);

/* An image as a JSON object {"column": value}; NULL as null, numbers as numbers, BIT as a
 * number, text as strings; {"base64": "..."} for binary, for invalid text, and for text
 * that is not ASCII in a character set other than utf8*, ucs2, utf16*, utf32 and latin1.
 * Unnamed columns are "@1", "@2" … */
DIA_MUST_CHECK enum dia_rc dia_image_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out);

/* JSON object of the primary key columns alone. */
DIA_MUST_CHECK enum dia_rc dia_image_key_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out);

/* Integer value of an integer column (TINY..LONGLONG), sign-extended unless is_unsigned.
 */
DIA_MUST_CHECK enum dia_rc dia_value_int(
	const struct dia_column *column, const struct dia_value *value, int64_t *ret);

/*
 * Canonical key: two rows of one table have equal bytes exactly when the database holds
 * them to be the same primary key. Text is represented by its weights under its
 * collation: _bin and binary by their bytes; printable ASCII under the collations where
 * each character weighs by itself from a table made from the server; everything else by
 * what `weigh` appends, which has to be, unchanged,
 *
 *     SELECT WEIGHT_STRING(CONVERT(x'…' USING charset) COLLATE collation)
 *
 * for text (in the column's character set; cut to the key's prefix, under PAD SPACE
 * without trailing spaces; never empty), with both names from information_schema.
 * COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID = collation. The proxy asks the database
 * and caches; NULL = use the bytes. A failure of weigh is returned. Prefixed with db and
 * table so that it is unique in the DC. DIA_E_UNSUPPORTED without a primary key; on
 * failure *out may have grown.
 */
typedef enum dia_rc (*dia_weigh_cb)(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out);

DIA_MUST_CHECK enum dia_rc dia_image_key(const struct dia_table *table,
	struct dia_slice image, dia_weigh_cb weigh, void *weigh_ctx, struct dia_buf *out);

/*
 * Writing Rows events. begin appends header, table id, flags, column count and full
 * present bitmaps (one, or two for UPDATE); row appends images; end fixes event_len. With
 * key_only set, the before image of UPDATE and DELETE carries only the primary key
 * columns (bitmap says so), which is all the server needs to find the row: images given
 * to row are still full ones. Types 23-25.
 */
struct dia_rows_writer {
	struct dia_buf *out;
	const struct dia_table *table;
	enum dia_row_kind kind;
	bool key_only;
	size_t start;
};

DIA_MUST_CHECK enum dia_rc dia_rows_writer_begin(struct dia_rows_writer *w,
	struct dia_buf *out, const struct dia_table *table, uint64_t table_id,
	enum dia_row_kind kind, uint16_t flags, bool key_only);
DIA_MUST_CHECK enum dia_rc dia_rows_writer_row(
	struct dia_rows_writer *w, struct dia_slice before, struct dia_slice after);
DIA_MUST_CHECK enum dia_rc dia_rows_writer_end(struct dia_rows_writer *w);

#endif /* DIA_BINLOG_ROW_IMAGE_H */
