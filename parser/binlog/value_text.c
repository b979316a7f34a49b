/* parser/binlog/value_text.c - values as the text protocol prints them; see row_image.h.
 */
#include "parser/binlog/collation.h"
#include "parser/binlog/value.h"

#include <zlib.h>

enum {
	YEAR_BASE = 1900,
	/* Column compression (MariaDB documentation, "Storage-engine independent column
	 * compression"): first byte, then the length in big-endian, then the data. */
	COMPRESSED_METHOD = 0xf0,
	COMPRESSED_ZLIB = 0x80,
	COMPRESSED_RAW_DEFLATE = 0x08,
	COMPRESSED_LEN_BYTES = 0x07,
	/* Deflate cannot do better than 1:1032, so a larger claim is a lie. */
	DEFLATE_RATIO_MAX = 1040,
};

uint64_t dia_value_uint_le(struct dia_slice packed)
{
	uint64_t v = 0;

	for (size_t i = packed.len; i-- > 0;)
		v = v << 8 | packed.data[i];
	return v;
}

uint64_t dia_value_uint_be(struct dia_slice packed)
{
	uint64_t v = 0;

	for (size_t i = 0; i < packed.len; i++)
		v = v << 8 | packed.data[i];
	return v;
}

static size_t prefix_len(const struct dia_column *column)
{
	switch (column->type) {
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
		return column->meta > 255 ? 2 : 1;
	default:
		return column->meta;
	}
}

struct dia_slice dia_value_bytes(const struct dia_column *column, struct dia_slice packed)
{
	size_t skip = prefix_len(column);

	if (packed.len < skip)
		return dia_slice_of(NULL, 0);
	return dia_slice_of(packed.data + skip, packed.len - skip);
}

bool dia_column_is_text(const struct dia_column *column)
{
	switch (column->type) {
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_BLOB_COMPRESSED:
		return column->collation != DIA_COLLATION_BINARY &&
		       column->collation != 0;
	default:
		return false;
	}
}

static enum dia_rc inflate_column(
	struct dia_slice in, bool raw, size_t plain_len, struct dia_buf *out)
{
	z_stream z = {0};
	int rc;

	if (dia_buf_reserve(out, plain_len + 1) != DIA_OK)
		return DIA_E_NOMEM;
	if (inflateInit2(&z, raw ? -MAX_WBITS : MAX_WBITS) != Z_OK)
		return DIA_E_NOMEM;
	z.next_in = (z_const Bytef *)in.data;
	z.avail_in = (uInt)in.len;
	z.next_out = out->data + out->len;
	z.avail_out = (uInt)plain_len;
	rc = inflate(&z, Z_FINISH);
	(void)inflateEnd(&z);
	if (rc != Z_STREAM_END || z.total_out != plain_len)
		return DIA_E_PROTOCOL;
	out->len += plain_len;
	return DIA_OK;
}

static enum dia_rc uncompress_column(struct dia_slice in, struct dia_buf *out)
{
	struct dia_cursor c = dia_cursor_of(in);
	uint8_t head = dia_cursor_u8(&c);
	uint64_t plain_len;

	if (in.len == 0)
		return DIA_OK;
	if (head == 0)
		return dia_buf_add(out, in.data + 1, in.len - 1);
	if ((head & COMPRESSED_METHOD) != COMPRESSED_ZLIB)
		return DIA_E_PROTOCOL;
	plain_len = dia_value_uint_be(dia_cursor_slice(&c, head & COMPRESSED_LEN_BYTES));
	if (c.bad || plain_len > UINT32_MAX ||
		plain_len > in.len * (uint64_t)DEFLATE_RATIO_MAX)
		return DIA_E_PROTOCOL;
	return inflate_column(dia_slice_of(c.at, dia_cursor_left(&c)),
		(head & COMPRESSED_RAW_DEFLATE) != 0, (size_t)plain_len, out);
}

enum dia_rc dia_value_content(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out)
{
	struct dia_slice bytes = dia_value_bytes(column, packed);

	if (column->type == DIA_TYPE_VARCHAR_COMPRESSED ||
		column->type == DIA_TYPE_BLOB_COMPRESSED)
		return uncompress_column(bytes, out);
	(void)dia_buf_add_slice(out, bytes);
	/* The event drops trailing zero bytes of BINARY(n), UUID and INET6. */
	if (column->type == DIA_TYPE_STRING &&
		column->collation == DIA_COLLATION_BINARY) {
		for (size_t i = bytes.len; i < column->meta; i++)
			(void)dia_buf_add_u8(out, 0);
	}
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}

static void add_enum(const struct dia_column *column, uint64_t v, struct dia_buf *out)
{
	if (v >= 1 && v <= column->value_count)
		(void)dia_buf_add_slice(out, column->values[v - 1]);
	else if (v != 0) /* without FULL metadata there are no names */
		(void)dia_buf_printf(out, "%llu", (unsigned long long)v);
}

void dia_column_comma(const struct dia_column *column, struct dia_buf *out)
{
	struct dia_collation collation;
	unsigned unit, at;

	(void)dia_collation_find(column->collation, &collation);
	unit = dia_charset_unit((enum dia_charset)collation.charset);
	at = collation.charset == DIA_CHARSET_UTF16LE || unit == 0 ? 0 : unit - 1;
	for (unsigned i = 0; i < (unit == 0 ? 1 : unit); i++)
		(void)dia_buf_add_u8(out, i == at ? ',' : 0);
}

static void add_set(const struct dia_column *column, uint64_t v, struct dia_buf *out)
{
	bool first = true;

	if (column->value_count == 0) {
		(void)dia_buf_printf(out, "%llu", (unsigned long long)v);
		return;
	}
	for (uint32_t i = 0; i < column->value_count; i++) {
		if ((v >> i & 1) == 0)
			continue;
		if (!first)
			dia_column_comma(column, out);
		first = false;
		(void)dia_buf_add_slice(out, column->values[i]);
	}
}

enum dia_rc dia_value_int(
	const struct dia_column *column, const struct dia_value *value, int64_t *ret)
{
	uint64_t v;
	unsigned unused_bits;

	switch (column->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
		break;
	default:
		return DIA_E_UNSUPPORTED;
	}
	if (value->is_null || value->packed.len == 0 || value->packed.len > 8)
		return DIA_E_NOT_FOUND;
	v = dia_value_uint_le(value->packed);
	unused_bits = 64 - 8 * (unsigned)value->packed.len;
	if (!column->is_unsigned && (v >> (63 - unused_bits) & 1) != 0)
		v |= ~(UINT64_MAX >> unused_bits);
	memcpy(ret, &v, sizeof(v));
	return DIA_OK;
}

static enum dia_rc int_text(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out)
{
	int64_t v = 0;
	enum dia_rc rc = dia_value_int(column, value, &v);

	if (rc != DIA_OK)
		return rc;
	if (column->is_unsigned)
		return dia_buf_printf(out, "%llu", (unsigned long long)v);
	return dia_buf_printf(out, "%lld", (long long)v);
}

static enum dia_rc year_text(struct dia_slice packed, struct dia_buf *out)
{
	unsigned v = packed.data[0];

	return dia_buf_printf(out, "%04u", v == 0 ? 0 : v + YEAR_BASE);
}

enum dia_rc dia_value_text(const struct dia_column *column, const struct dia_value *value,
	struct dia_buf *out, bool *is_binary)
{
	struct dia_slice packed = value->packed;

	*is_binary = false;
	if (value->is_null)
		return dia_buf_add_str(out, "NULL");
	switch (column->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
		return int_text(column, value, out);
	case DIA_TYPE_YEAR:
		return year_text(packed, out);
	case DIA_TYPE_FLOAT:
		dia_float_text(dia_value_float(packed), out);
		break;
	case DIA_TYPE_DOUBLE:
		dia_double_text(dia_value_double(packed), out);
		break;
	case DIA_TYPE_NEWDECIMAL:
		dia_decimal_text(column->meta, packed, out);
		break;
	case DIA_TYPE_ENUM:
		add_enum(column, dia_value_uint_le(packed), out);
		break;
	case DIA_TYPE_SET:
		add_set(column, dia_value_uint_le(packed), out);
		break;
	case DIA_TYPE_BIT:
		*is_binary = true;
		return dia_buf_add_slice(out, packed);
	case DIA_TYPE_NULL:
		return dia_buf_add_str(out, "NULL");
	default:
		if (dia_temporal_text(column, packed, out))
			break;
		*is_binary = !dia_column_is_text(column);
		return dia_value_content(column, packed, out);
	}
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}
