/* parser/binlog/row_image.c - walking Rows events; see row_image.h. */
#include "parser/binlog/row_image.h"
#include "parser/binlog/value.h"

/* Heads of both versions are 8 bytes; version 2 adds extra data that counts itself. */
enum dia_parse dia_rows_head_parse(const struct dia_event *ev, struct dia_rows_head *ret)
{
	struct dia_cursor c = dia_cursor_of(ev->data);
	bool v2 = ev->type >= DIA_EVENT_WRITE_ROWS_V2 &&
		  ev->type <= DIA_EVENT_DELETE_ROWS_V2;
	uint64_t columns;

	if (!v2 && (ev->type < DIA_EVENT_WRITE_ROWS_V1 ||
			   ev->type > DIA_EVENT_DELETE_ROWS_V1))
		return DIA_PARSE_BAD;
	ret->kind = (enum dia_row_kind)(
		ev->type - (v2 ? DIA_EVENT_WRITE_ROWS_V2 : DIA_EVENT_WRITE_ROWS_V1) +
		DIA_ROW_INSERT);
	ret->table_id = dia_cursor_le48(&c);
	ret->flags = dia_cursor_le16(&c);
	if (v2) {
		uint16_t extra = dia_cursor_le16(&c);

		if (extra < 2)
			return DIA_PARSE_BAD;
		(void)dia_cursor_take(&c, (size_t)extra - 2);
	}
	columns = dia_cursor_lenenc(&c);
	if (c.bad || columns > DIA_COLUMNS_MAX)
		return DIA_PARSE_BAD;
	ret->column_count = (uint32_t)columns;
	ret->rest = dia_cursor_slice(&c, dia_cursor_left(&c));
	return c.bad ? DIA_PARSE_BAD : DIA_PARSE_OK;
}

/* Bits behind the last column are not ours to judge: the server leaves them as they fall.
 */
static bool take_full_bitmap(struct dia_cursor *c, uint32_t columns)
{
	const uint8_t *bits = dia_cursor_take(c, (columns + 7) / 8);

	if (bits == NULL)
		return false;
	for (uint32_t i = 0; i < columns / 8; i++) {
		if (bits[i] != 0xff)
			return false;
	}
	if (columns % 8 != 0) {
		uint8_t mask = (uint8_t)((1U << columns % 8) - 1);

		return (bits[columns / 8] & mask) == mask;
	}
	return true;
}

enum dia_parse dia_rows_iter_init(struct dia_rows_iter *it,
	const struct dia_rows_head *head, const struct dia_table *table)
{
	it->table = table;
	it->kind = head->kind;
	it->at = dia_cursor_of(head->rest);
	if (head->column_count != table->column_count || head->column_count == 0)
		return DIA_PARSE_BAD;
	if (!take_full_bitmap(&it->at, head->column_count))
		return DIA_PARSE_BAD;
	if (head->kind == DIA_ROW_UPDATE &&
		!take_full_bitmap(&it->at, head->column_count))
		return DIA_PARSE_BAD;
	return DIA_PARSE_OK;
}

/* Value with a length prefix of len_bytes. */
static struct dia_slice take_prefixed(struct dia_cursor *c, unsigned len_bytes)
{
	const uint8_t *start = c->at;
	size_t len = 0;

	if (dia_cursor_left(c) < len_bytes) {
		c->bad = true;
		return dia_slice_of(NULL, 0);
	}
	for (unsigned i = 0; i < len_bytes; i++)
		len |= (size_t)start[i] << (8 * i);
	(void)dia_cursor_take(c, len_bytes);
	(void)dia_cursor_take(c, len);
	return c->bad ? dia_slice_of(NULL, 0) : dia_slice_of(start, len_bytes + len);
}

struct dia_slice dia_value_take(const struct dia_column *column, struct dia_cursor *c)
{
	switch (column->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_YEAR:
		return dia_cursor_slice(c, 1);
	case DIA_TYPE_SHORT:
		return dia_cursor_slice(c, 2);
	case DIA_TYPE_INT24:
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
	case DIA_TYPE_TIME:
		return dia_cursor_slice(c, 3);
	case DIA_TYPE_LONG:
	case DIA_TYPE_FLOAT:
	case DIA_TYPE_TIMESTAMP:
		return dia_cursor_slice(c, 4);
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_DOUBLE:
	case DIA_TYPE_DATETIME:
		return dia_cursor_slice(c, 8);
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
		return take_prefixed(c, column->meta > 255 ? 2 : 1);
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_BLOB_COMPRESSED:
	case DIA_TYPE_GEOMETRY:
		return take_prefixed(c, column->meta);
	case DIA_TYPE_ENUM:
	case DIA_TYPE_SET:
		return dia_cursor_slice(c, column->meta);
	case DIA_TYPE_BIT:
		return dia_cursor_slice(c, (size_t)(column->meta >> 8) +
						   ((column->meta & 0xff) != 0 ? 1 : 0));
	case DIA_TYPE_NEWDECIMAL:
		return dia_cursor_slice(c, dia_decimal_len(column->meta));
	case DIA_TYPE_TIMESTAMP2:
		return dia_cursor_slice(c, 4 + (size_t)(column->meta + 1) / 2);
	case DIA_TYPE_DATETIME2:
		return dia_cursor_slice(c, 5 + (size_t)(column->meta + 1) / 2);
	case DIA_TYPE_TIME2:
		return dia_cursor_slice(c, 3 + (size_t)(column->meta + 1) / 2);
	case DIA_TYPE_NULL:
		return dia_cursor_slice(c, 0);
	default:
		c->bad = true;
		return dia_slice_of(NULL, 0);
	}
}

static struct dia_slice take_image(const struct dia_table *table, struct dia_cursor *c)
{
	const uint8_t *start = c->at;
	const uint8_t *nulls = dia_cursor_take(c, (table->column_count + 7) / 8);

	if (nulls == NULL)
		return dia_slice_of(NULL, 0);
	for (uint32_t i = 0; i < table->column_count && !c->bad; i++) {
		if ((nulls[i / 8] >> (i % 8) & 1) == 0)
			(void)dia_value_take(&table->columns[i], c);
	}
	return c->bad ? dia_slice_of(NULL, 0)
		      : dia_slice_of(start, (size_t)(c->at - start));
}

enum dia_parse dia_rows_next(struct dia_rows_iter *it, struct dia_row *ret)
{
	if (it->at.bad)
		return DIA_PARSE_BAD;
	if (dia_cursor_left(&it->at) == 0)
		return DIA_PARSE_MORE;
	ret->kind = it->kind;
	ret->before = dia_slice_of(NULL, 0);
	ret->after = dia_slice_of(NULL, 0);
	if (it->kind != DIA_ROW_INSERT)
		ret->before = take_image(it->table, &it->at);
	if (it->kind != DIA_ROW_DELETE)
		ret->after = take_image(it->table, &it->at);
	return it->at.bad ? DIA_PARSE_BAD : DIA_PARSE_OK;
}

enum dia_parse dia_image_split(
	const struct dia_table *table, struct dia_slice image, struct dia_value *values)
{
	struct dia_cursor c = dia_cursor_of(image);
	const uint8_t *nulls = dia_cursor_take(&c, (table->column_count + 7) / 8);

	if (nulls == NULL)
		return DIA_PARSE_BAD;
	for (uint32_t i = 0; i < table->column_count; i++) {
		values[i].is_null = (nulls[i / 8] >> (i % 8) & 1) != 0;
		values[i].packed = values[i].is_null
					   ? dia_slice_of(NULL, 0)
					   : dia_value_take(&table->columns[i], &c);
	}
	return c.bad || dia_cursor_left(&c) > 0 ? DIA_PARSE_BAD : DIA_PARSE_OK;
}
