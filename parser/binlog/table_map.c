/* parser/binlog/table_map.c - see table_map.h. */
#include "parser/binlog/table_map.h"
#include "parser/binlog/table_meta.h"
#include "proxy/core/hash.h"

enum {
	TABLE_ID_LEN = 6,
	POST_HEADER_LEN = 8,
	HEADER_LEN_AT = 9,
	HEADER_LOG_POS_AT = 13,
};

/*
 * Two metadata bytes of STRING: the real type (STRING, ENUM, SET) and the length in
 * bytes. Lengths over 255 put their bits 8 and 9, inverted, where the type byte has ones.
 */
static bool string_meta(struct dia_column *col, uint8_t b0, uint8_t b1)
{
	uint8_t real = b0 | 0x30;
	uint16_t len = (uint16_t)(((b0 & 0x30) ^ 0x30) << 4 | b1);

	if (real != b0 && real != DIA_TYPE_STRING)
		return false; /* only a CHAR can be that long */
	col->type = real;
	col->meta = len;
	switch (real) {
	case DIA_TYPE_STRING:
		return true;
	case DIA_TYPE_ENUM:
		return len == 1 || len == 2;
	case DIA_TYPE_SET:
		return len >= 1 && len <= 8;
	default:
		return false;
	}
}

static bool decimal_meta(struct dia_column *col, uint8_t precision, uint8_t scale)
{
	col->meta = (uint16_t)(precision << 8 | scale);
	return precision >= 1 && precision <= 65 && scale <= 38 && scale <= precision;
}

static bool bit_meta(struct dia_column *col, uint8_t bits, uint8_t bytes)
{
	col->meta = (uint16_t)(bytes << 8 | bits);
	return bits < 8 && bytes * 8 + bits >= 1 && bytes * 8 + bits <= 64;
}

/* Read the metadata of one column; false when it cannot be. */
static bool column_meta(struct dia_column *col, struct dia_cursor *c)
{
	uint8_t b0, b1;

	switch (col->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_NULL:
	case DIA_TYPE_YEAR:
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
	case DIA_TYPE_TIME:
	case DIA_TYPE_DATETIME:
	case DIA_TYPE_TIMESTAMP:
		return true;
	case DIA_TYPE_FLOAT:
	case DIA_TYPE_DOUBLE:
		col->meta = dia_cursor_u8(c);
		return col->meta == (col->type == DIA_TYPE_FLOAT ? 4 : 8);
	case DIA_TYPE_TIMESTAMP2:
	case DIA_TYPE_DATETIME2:
	case DIA_TYPE_TIME2:
		col->meta = dia_cursor_u8(c);
		return col->meta <= 6;
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_BLOB_COMPRESSED:
	case DIA_TYPE_GEOMETRY:
		col->meta = dia_cursor_u8(c);
		return col->meta >= 1 && col->meta <= 4;
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
		col->meta = dia_cursor_le16(c);
		return true;
	default:
		break;
	}
	b0 = dia_cursor_u8(c);
	b1 = dia_cursor_u8(c);
	switch (col->type) {
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
	case DIA_TYPE_ENUM:
	case DIA_TYPE_SET:
		return string_meta(col, b0, b1);
	case DIA_TYPE_NEWDECIMAL:
		return decimal_meta(col, b0, b1);
	case DIA_TYPE_BIT:
		return bit_meta(col, b0, b1);
	default:
		return false; /* a type we do not know has a length we do not know */
	}
}

static enum dia_parse columns_parse(
	struct dia_cursor *c, struct dia_arena *arena, struct dia_table *ret)
{
	uint64_t count = dia_cursor_lenenc(c);
	const uint8_t *types =
		count <= DIA_COLUMNS_MAX ? dia_cursor_take(c, (size_t)count) : NULL;
	struct dia_cursor meta;
	const uint8_t *nullable;

	if (types == NULL || count == 0)
		return DIA_PARSE_BAD;
	ret->column_count = (uint32_t)count;
	ret->columns = dia_arena_zalloc(arena, ret->column_count, sizeof(*ret->columns));
	if (ret->columns == NULL)
		return DIA_PARSE_BAD;
	meta = dia_cursor_of(dia_cursor_lenenc_slice(c));
	nullable = dia_cursor_take(c, (ret->column_count + 7) / 8);
	if (c->bad)
		return DIA_PARSE_BAD;
	for (uint32_t i = 0; i < ret->column_count; i++) {
		struct dia_column *col = &ret->columns[i];

		col->type = types[i];
		col->nullable = (nullable[i / 8] >> (i % 8) & 1) != 0;
		if (!column_meta(col, &meta) || meta.bad)
			return DIA_PARSE_BAD;
	}
	return dia_cursor_left(&meta) == 0 ? DIA_PARSE_OK : DIA_PARSE_BAD;
}

static bool take_name(struct dia_cursor *c, struct dia_slice *ret)
{
	size_t len = dia_cursor_u8(c);

	*ret = dia_cursor_slice(c, len);
	return dia_cursor_u8(c) == 0 && !c->bad;
}

enum dia_parse dia_table_map_parse(
	const struct dia_event *ev, struct dia_arena *arena, struct dia_table *ret)
{
	struct dia_cursor c = dia_cursor_of(ev->data);

	memset(ret, 0, sizeof(*ret));
	if (ev->type != DIA_EVENT_TABLE_MAP)
		return DIA_PARSE_BAD;
	ret->map = ev->raw;
	ret->table_id = dia_cursor_le48(&c);
	ret->flags = dia_cursor_le16(&c);
	if (!take_name(&c, &ret->db) || !take_name(&c, &ret->name))
		return DIA_PARSE_BAD;
	if (columns_parse(&c, arena, ret) != DIA_PARSE_OK)
		return DIA_PARSE_BAD;
	if (dia_table_meta_parse(&c, arena, ret) != DIA_PARSE_OK)
		return DIA_PARSE_BAD;
	ret->digest = dia_hash64(dia_slice_of(ev->data.data + POST_HEADER_LEN,
					 ev->data.len - POST_HEADER_LEN),
		0);
	return DIA_PARSE_OK;
}

enum dia_rc dia_table_map_write(
	struct dia_buf *out, const struct dia_table *table, uint64_t table_id)
{
	size_t start = out->len;
	uint8_t *p;

	if (dia_buf_add_slice(out, table->map) != DIA_OK)
		return DIA_E_NOMEM;
	p = out->data + start;
	dia_put_le32(p + HEADER_LEN_AT, (uint32_t)table->map.len);
	dia_put_le32(p + HEADER_LOG_POS_AT, 0);
	dia_put_le32(p + DIA_EVENT_HEADER_LEN, (uint32_t)table_id);
	dia_put_le16(p + DIA_EVENT_HEADER_LEN + 4, (uint16_t)(table_id >> 32));
	_Static_assert(TABLE_ID_LEN == 4 + 2, "the two stores above");
	return DIA_OK;
}

static uint8_t ascii_lower(uint8_t b)
{
	return b >= 'A' && b <= 'Z' ? (uint8_t)(b + ('a' - 'A')) : b;
}

int dia_table_column_find(const struct dia_table *table, struct dia_slice name)
{
	for (uint32_t i = 0; i < table->column_count; i++) {
		struct dia_slice have = table->columns[i].name;
		size_t at = 0;

		if (have.len != name.len || have.len == 0)
			continue;
		while (at < have.len &&
			ascii_lower(have.data[at]) == ascii_lower(name.data[at]))
			at++;
		if (at == have.len)
			return (int)i;
	}
	return -1;
}
