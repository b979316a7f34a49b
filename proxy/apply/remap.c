/* proxy/apply/remap.c - rows for a table whose columns stand otherwise here; see
 * source.h.
 *
 * The Table_map describes the table here, column by column; types are the source's where
 * it has the column, so that the server converts. Columns the source lacks are left out
 * of the present bitmaps: an INSERT gives them their default, an UPDATE leaves them
 * alone.
 */
#include "proxy/apply/source.h"

static void add_header(
	struct dia_buf *out, uint8_t type, uint64_t table_id, uint16_t flags)
{
	uint8_t header[DIA_EVENT_HEADER_LEN] = {0};

	header[4] = type;
	dia_buf_add(out, header, sizeof(header));
	dia_buf_add_le32(out, (uint32_t)table_id);
	dia_buf_add_le16(out, (uint16_t)(table_id >> 32));
	dia_buf_add_le16(out, flags);
}

static enum dia_rc end_event(struct dia_buf *out, size_t start)
{
	if (out->failed)
		return DIA_E_NOMEM;
	if (out->len - start > UINT32_MAX)
		return DIA_E_LIMIT;
	dia_put_le32(out->data + start + 9, (uint32_t)(out->len - start));
	return DIA_OK;
}

/* Metadata of a column as it stands in the event (parser/binlog/table_map.c reads it). */
static void add_meta(struct dia_buf *out, const struct apply_column *col)
{
	uint16_t m = col->meta;

	switch (col->type) {
	case DIA_TYPE_FLOAT:
	case DIA_TYPE_DOUBLE:
	case DIA_TYPE_TIMESTAMP2:
	case DIA_TYPE_DATETIME2:
	case DIA_TYPE_TIME2:
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_BLOB_COMPRESSED:
	case DIA_TYPE_GEOMETRY:
		dia_buf_add_u8(out, (uint8_t)m);
		break;
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
		dia_buf_add_le16(out, m);
		break;
	case DIA_TYPE_STRING:
		dia_buf_add_u8(out, (uint8_t)(DIA_TYPE_STRING ^ ((m & 0x300) >> 4)));
		dia_buf_add_u8(out, (uint8_t)m);
		break;
	case DIA_TYPE_ENUM:
	case DIA_TYPE_SET:
		dia_buf_add_u8(out, col->type);
		dia_buf_add_u8(out, (uint8_t)m);
		break;
	case DIA_TYPE_NEWDECIMAL:
		dia_buf_add_u8(out, (uint8_t)(m >> 8));
		dia_buf_add_u8(out, (uint8_t)m);
		break;
	case DIA_TYPE_BIT:
		dia_buf_add_u8(out, (uint8_t)m);
		dia_buf_add_u8(out, (uint8_t)(m >> 8));
		break;
	default:
		break;
	}
}

enum dia_rc apply_remap_table(
	struct dia_buf *out, const struct apply_source *source, uint64_t table_id)
{
	size_t start = out->len;
	struct dia_buf meta = {0};
	uint32_t n = source->column_count;

	add_header(out, DIA_EVENT_TABLE_MAP, table_id, 1);
	dia_buf_add_u8(out, (uint8_t)source->table.db.len);
	dia_buf_add_slice(out, source->table.db);
	dia_buf_add_u8(out, 0);
	dia_buf_add_u8(out, (uint8_t)source->table.name.len);
	dia_buf_add_slice(out, source->table.name);
	dia_buf_add_u8(out, 0);
	dia_buf_add_lenenc(out, n);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t type = source->columns[i].type;

		/* ENUM and SET travel as STRING with their type in the metadata. */
		dia_buf_add_u8(out, type == DIA_TYPE_ENUM || type == DIA_TYPE_SET
					    ? (uint8_t)DIA_TYPE_STRING
					    : type);
		add_meta(&meta, &source->columns[i]);
	}
	dia_buf_add_lenenc(out, meta.len);
	dia_buf_add_slice(out, dia_buf_slice(&meta));
	for (uint32_t i = 0; i < (n + 7) / 8; i++)
		dia_buf_add_u8(out, 0xff);
	out->failed |= meta.failed;
	dia_buf_fini(&meta);
	return end_event(out, start);
}

/* Whether column i of the table here stands in the image. */
static bool present(const struct apply_source *s, uint32_t i, bool key_only)
{
	int from = s->columns[i].from;

	return from >= 0 && (!key_only || s->table.columns[from].in_pk);
}

static void add_bitmap(struct dia_buf *out, const struct apply_source *s, bool key_only)
{
	for (uint32_t at = 0; at < s->column_count; at += 8) {
		uint8_t bits = 0;

		for (uint32_t i = at; i < s->column_count && i < at + 8; i++)
			bits |= (uint8_t)(present(s, i, key_only) ? 1U << (i - at) : 0);
		dia_buf_add_u8(out, bits);
	}
}

static void add_image(struct dia_buf *out, const struct apply_source *s,
	const struct dia_value *values, bool key_only)
{
	size_t nulls, count = 0;

	for (uint32_t i = 0; i < s->column_count; i++)
		count += present(s, i, key_only) ? 1 : 0;
	nulls = out->len;
	for (size_t i = 0; i < (count + 7) / 8; i++)
		dia_buf_add_u8(out, 0);
	count = 0;
	for (uint32_t i = 0; i < s->column_count; i++) {
		const struct dia_value *v;

		if (!present(s, i, key_only))
			continue;
		v = &values[s->columns[i].from];
		if (!v->is_null)
			dia_buf_add_slice(out, v->packed);
		else if (!out->failed)
			out->data[nulls + count / 8] |= (uint8_t)(1U << (count % 8));
		count++;
	}
}

enum dia_rc apply_remap_row(struct dia_buf *out, const struct apply_source *source,
	uint64_t table_id, enum dia_row_kind kind, uint16_t flags,
	struct dia_slice before, struct dia_slice after)
{
	size_t start = out->len;
	struct dia_arena arena = {0};
	struct dia_value *values =
		dia_arena_zalloc(&arena, source->table.column_count, sizeof(*values));
	enum dia_rc rc = DIA_OK;

	if (values == NULL)
		return DIA_E_NOMEM;
	add_header(out, (uint8_t)(DIA_EVENT_WRITE_ROWS_V1 + kind - DIA_ROW_INSERT),
		table_id, flags);
	dia_buf_add_lenenc(out, source->column_count);
	if (kind != DIA_ROW_INSERT)
		add_bitmap(out, source, true);
	if (kind != DIA_ROW_DELETE)
		add_bitmap(out, source, false);
	if (kind != DIA_ROW_INSERT) {
		if (dia_image_split(&source->table, before, values) != DIA_PARSE_OK)
			rc = DIA_E_PROTOCOL;
		else
			add_image(out, source, values, true);
	}
	if (rc == DIA_OK && kind != DIA_ROW_DELETE) {
		if (dia_image_split(&source->table, after, values) != DIA_PARSE_OK)
			rc = DIA_E_PROTOCOL;
		else
			add_image(out, source, values, false);
	}
	if (rc == DIA_OK)
		rc = end_event(out, start);
	dia_arena_fini(&arena);
	return rc;
}
