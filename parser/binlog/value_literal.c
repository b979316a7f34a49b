/* parser/binlog/value_literal.c - values as SQL literals; see row_image.h. */
#include "parser/binlog/collation.h"
#include "parser/binlog/value.h"

#include <math.h>

static void add_hex(struct dia_slice s, struct dia_buf *out)
{
	static const char digits[] = "0123456789abcdef";

	(void)dia_buf_add_str(out, "x'");
	if (dia_buf_reserve(out, s.len * 2 + 1) != DIA_OK)
		return;
	for (size_t i = 0; i < s.len; i++) {
		out->data[out->len++] = (uint8_t)digits[s.data[i] >> 4];
		out->data[out->len++] = (uint8_t)digits[s.data[i] & 15];
	}
	(void)dia_buf_add_u8(out, '\'');
}

/*
 * Text as hex behind its own character set: no quoting to get wrong under any sql_mode,
 * and no conversion. It takes the column's collation in a comparison, being coercible.
 */
static void add_text(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out)
{
	struct dia_collation collation;

	if (dia_collation_find(column->collation, &collation) &&
		collation.charset != DIA_CHARSET_BINARY)
		(void)dia_buf_printf(out, "_%s ",
			dia_charset_name((enum dia_charset)collation.charset));
	add_hex(text, out);
}

/* Strings, blobs and what the event carries as such (geometry, UUID, INET). */
static enum dia_rc content_literal(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out)
{
	struct dia_buf plain = {0};
	enum dia_rc rc;

	/* Only compressed and padded values are put together first; the rest is in place.
	 */
	if (column->type != DIA_TYPE_VARCHAR_COMPRESSED &&
		column->type != DIA_TYPE_BLOB_COMPRESSED &&
		!(column->type == DIA_TYPE_STRING &&
			column->collation == DIA_COLLATION_BINARY)) {
		add_text(column, dia_value_bytes(column, packed), out);
		return out->failed ? DIA_E_NOMEM : DIA_OK;
	}
	rc = dia_value_content(column, packed, &plain);
	if (rc == DIA_OK)
		add_text(column, dia_buf_slice(&plain), out);
	dia_buf_fini(&plain);
	return rc == DIA_OK && out->failed ? DIA_E_NOMEM : rc;
}

/* Seventeen digits and an exponent: a DOUBLE literal that reads back as the same number.
 * The server compares a FLOAT column as the double it widens to, so it needs them as
 * well. */
static enum dia_rc double_literal(double v, struct dia_buf *out)
{
	if (isnan(v) || isinf(v))
		return DIA_E_PROTOCOL;
	return dia_buf_printf(out, "%.16e", v);
}

static enum dia_rc enum_literal(
	const struct dia_column *column, uint64_t v, struct dia_buf *out)
{
	/* 0 is the empty error value, which a number names without doubt. */
	if (v == 0 || v > column->value_count)
		return dia_buf_printf(out, "%llu", (unsigned long long)v);
	add_text(column, column->values[v - 1], out);
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}

/* By name: beyond 63 members a number does not compare as it should. */
static enum dia_rc set_literal(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out)
{
	uint64_t v = dia_value_uint_le(value->packed);
	struct dia_buf names = {0};
	bool is_binary;
	enum dia_rc rc;

	if (column->value_count == 0)
		return dia_buf_printf(out, "%llu", (unsigned long long)v);
	rc = dia_value_text(column, value, &names, &is_binary);
	if (rc == DIA_OK)
		add_text(column, dia_buf_slice(&names), out);
	dia_buf_fini(&names);
	return rc == DIA_OK && out->failed ? DIA_E_NOMEM : rc;
}

static enum dia_rc quoted(const struct dia_column *column, const struct dia_value *value,
	struct dia_buf *out)
{
	(void)dia_buf_add_u8(out, '\'');
	if (!dia_temporal_text(column, value->packed, out))
		return DIA_E_UNSUPPORTED;
	return dia_buf_add_u8(out, '\'');
}

enum dia_rc dia_value_literal(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out)
{
	bool is_binary;
	enum dia_rc rc;

	if (value->is_null)
		return dia_buf_add_str(out, "NULL");
	switch (column->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_NEWDECIMAL:
	case DIA_TYPE_NULL:
		return dia_value_text(column, value, out, &is_binary);
	case DIA_TYPE_YEAR:
		/* Four digits in quotes: the number 0 would be the year 2000 to some. */
		(void)dia_buf_add_u8(out, '\'');
		rc = dia_value_text(column, value, out, &is_binary);
		(void)dia_buf_add_u8(out, '\'');
		return rc == DIA_OK && out->failed ? DIA_E_NOMEM : rc;
	case DIA_TYPE_FLOAT:
		return double_literal((double)dia_value_float(value->packed), out);
	case DIA_TYPE_DOUBLE:
		return double_literal(dia_value_double(value->packed), out);
	case DIA_TYPE_BIT:
		return dia_buf_printf(out, "%llu",
			(unsigned long long)dia_value_uint_be(value->packed));
	case DIA_TYPE_ENUM:
		return enum_literal(column, dia_value_uint_le(value->packed), out);
	case DIA_TYPE_SET:
		return set_literal(column, value, out);
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
	case DIA_TYPE_TIME:
	case DIA_TYPE_DATETIME:
	case DIA_TYPE_TIMESTAMP:
	case DIA_TYPE_TIME2:
	case DIA_TYPE_DATETIME2:
	case DIA_TYPE_TIMESTAMP2:
		return quoted(column, value, out);
	default:
		return content_literal(column, value->packed, out);
	}
}
