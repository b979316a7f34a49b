/* parser/binlog/rows_writer.c - writing Rows events; see row_image.h. */
#include "parser/binlog/row_image.h"

enum {
	HEADER_LEN_AT = 9,
	ROWS_POST_HEADER_LEN = 8,
};

static void add_full_bitmap(struct dia_buf *out, uint32_t columns)
{
	for (uint32_t i = 0; i < columns / 8; i++)
		(void)dia_buf_add_u8(out, 0xff);
	if (columns % 8 != 0)
		(void)dia_buf_add_u8(out, (uint8_t)((1U << columns % 8) - 1));
}

static void add_key_bitmap(struct dia_buf *out, const struct dia_table *table)
{
	for (uint32_t at = 0; at < table->column_count; at += 8) {
		uint8_t bits = 0;

		for (uint32_t i = at; i < table->column_count && i < at + 8; i++)
			bits |= (uint8_t)(table->columns[i].in_pk ? 1U << (i - at) : 0);
		(void)dia_buf_add_u8(out, bits);
	}
}

enum dia_rc dia_rows_writer_begin(struct dia_rows_writer *w, struct dia_buf *out,
	const struct dia_table *table, uint64_t table_id, enum dia_row_kind kind,
	uint16_t flags, bool key_only)
{
	uint8_t header[DIA_EVENT_HEADER_LEN] = {0};

	w->out = out;
	w->table = table;
	w->kind = kind;
	w->key_only = key_only && kind != DIA_ROW_INSERT;
	w->start = out->len;
	if (w->key_only && table->pk_count == 0)
		return DIA_E_UNSUPPORTED;

	header[4] = (uint8_t)(DIA_EVENT_WRITE_ROWS_V1 + kind - DIA_ROW_INSERT);
	(void)dia_buf_add(out, header, sizeof(header));
	(void)dia_buf_add_le32(out, (uint32_t)table_id);
	(void)dia_buf_add_le16(out, (uint16_t)(table_id >> 32));
	(void)dia_buf_add_le16(out, flags);
	(void)dia_buf_add_lenenc(out, table->column_count);
	if (w->key_only)
		add_key_bitmap(out, table);
	else
		add_full_bitmap(out, table->column_count);
	if (kind == DIA_ROW_UPDATE)
		add_full_bitmap(out, table->column_count);
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}

/* The key columns of a full image: null bits of just those, then their values, in the
 * order of the columns (not of the key). */
static enum dia_rc add_key_image(struct dia_rows_writer *w, struct dia_slice image)
{
	const struct dia_table *t = w->table;
	struct dia_cursor c = dia_cursor_of(image);
	const uint8_t *nulls = dia_cursor_take(&c, (t->column_count + 7) / 8);

	if (nulls == NULL)
		return DIA_E_PROTOCOL;
	for (uint32_t i = 0; i < t->pk_count; i += 8)
		(void)dia_buf_add_u8(w->out, 0); /* key columns are never NULL */
	for (uint32_t i = 0; i < t->column_count; i++) {
		bool is_null = (nulls[i / 8] >> (i % 8) & 1) != 0;
		struct dia_slice value;

		if (is_null && t->columns[i].in_pk)
			return DIA_E_PROTOCOL;
		if (is_null)
			continue;
		value = dia_value_take(&t->columns[i], &c);
		if (t->columns[i].in_pk)
			(void)dia_buf_add_slice(w->out, value);
	}
	return c.bad ? DIA_E_PROTOCOL : DIA_OK;
}

enum dia_rc dia_rows_writer_row(
	struct dia_rows_writer *w, struct dia_slice before, struct dia_slice after)
{
	size_t start = w->out->len;

	if (w->kind != DIA_ROW_INSERT) {
		enum dia_rc rc = DIA_OK;

		if (w->key_only)
			rc = add_key_image(w, before);
		else
			(void)dia_buf_add_slice(w->out, before);
		if (rc != DIA_OK) {
			w->out->len = start;
			return rc;
		}
	}
	if (w->kind != DIA_ROW_DELETE)
		(void)dia_buf_add_slice(w->out, after);
	return w->out->failed ? DIA_E_NOMEM : DIA_OK;
}

enum dia_rc dia_rows_writer_end(struct dia_rows_writer *w)
{
	size_t len = w->out->len - w->start;

	if (w->out->failed)
		return DIA_E_NOMEM;
	if (len > UINT32_MAX)
		return DIA_E_LIMIT;
	dia_put_le32(w->out->data + w->start + HEADER_LEN_AT, (uint32_t)len);
	return DIA_OK;
}
