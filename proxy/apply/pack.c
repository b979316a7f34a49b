/* proxy/apply/pack.c - see pack.h. */
#include "proxy/apply/pack.h"
#include "proxy/apply/db.h"

enum {
	COLLATION_BINARY = 63,
	TEMPORAL_PARTS = 7, /* year … second, microseconds */
};

bool apply_pack_select(const struct dia_column *column, struct dia_buf *out)
{
	const char *before = "", *behind = "";

	if (column->pk_prefix_chars > 0)
		return false;
	switch ((enum dia_column_type)column->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_YEAR:
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
	case DIA_TYPE_DATETIME2:
		break;
	case DIA_TYPE_TIMESTAMP2:
		before = "UNIX_TIMESTAMP(";
		behind = ")";
		break;
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_STRING:
		/* The column's own bytes, whatever the connection's character set is. */
		before = "CAST(";
		behind = " AS BINARY)";
		break;
	case DIA_TYPE_ENUM:
	case DIA_TYPE_SET:
	case DIA_TYPE_BIT:
		behind = "+0";
		break;
	case DIA_TYPE_DECIMAL:
	case DIA_TYPE_FLOAT:
	case DIA_TYPE_DOUBLE:
	case DIA_TYPE_NULL:
	case DIA_TYPE_TIMESTAMP:
	case DIA_TYPE_TIME:
	case DIA_TYPE_DATETIME:
	case DIA_TYPE_TIME2:
	case DIA_TYPE_BLOB_COMPRESSED:
	case DIA_TYPE_VARCHAR_COMPRESSED:
	case DIA_TYPE_NEWDECIMAL:
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_VAR_STRING:
	case DIA_TYPE_GEOMETRY:
		return false;
	}
	dia_buf_add_str(out, before);
	apply_sql_name(out, column->name);
	dia_buf_add_str(out, behind);
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool read_number(struct dia_slice text, uint64_t *ret)
{
	bool negative = text.len > 1 && text.data[0] == '-';
	uint64_t v = 0;

	for (size_t i = negative ? 1 : 0; i < text.len; i++) {
		if (!is_digit(text.data[i]))
			return false;
		v = v * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret = negative ? UINT64_C(0) - v : v;
	return text.len > 0;
}

/* Runs of digits; of the last one, behind a point, its six first as microseconds. */
static bool read_parts(struct dia_slice text, bool fraction, uint32_t *parts, size_t want)
{
	size_t n = 0, digits = 0;

	memset(parts, 0, TEMPORAL_PARTS * sizeof(*parts));
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (is_digit(c) && digits < 10) {
			parts[n] = parts[n] * 10 + (uint32_t)(c - '0');
			digits++;
		} else if (is_digit(c) || digits == 0 || n + 1 == TEMPORAL_PARTS ||
			   (c == '.') != (n + 1 == want)) {
			return false;
		} else {
			n++;
			digits = 0;
		}
	}
	if (digits == 0 || (n + 1 != want && !(fraction && n == want)))
		return false;
	if (n == want) {
		if (digits > 6)
			return false;
		for (; digits < 6; digits++)
			parts[n] *= 10;
	}
	return true;
}

static void add_big_endian(struct dia_buf *out, uint64_t v, size_t bytes)
{
	for (size_t i = bytes; i > 0; i--)
		dia_buf_add_u8(out, (uint8_t)(v >> (8 * (i - 1))));
}

static void add_little_endian(struct dia_buf *out, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		dia_buf_add_u8(out, (uint8_t)(v >> (8 * i)));
}

static void add_fraction(struct dia_buf *out, uint32_t micros, uint16_t digits)
{
	size_t bytes = ((size_t)digits + 1) / 2;

	for (size_t i = bytes; i < 3; i++)
		micros /= 100;
	add_big_endian(out, micros, bytes);
}

static bool pack_temporal(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out)
{
	uint32_t p[TEMPORAL_PARTS];
	uint64_t ymd, hms;

	if (column->meta > 6)
		return false;
	if (column->type == DIA_TYPE_TIMESTAMP2) {
		if (!read_parts(text, true, p, 1))
			return false;
		add_big_endian(out, p[0], 4);
		add_fraction(out, p[1], column->meta);
		return true;
	}
	if (column->type != DIA_TYPE_DATETIME2) {
		if (!read_parts(text, false, p, 3))
			return false;
		add_little_endian(out, p[0] << 9 | p[1] << 5 | p[2], 3);
		return true;
	}
	if (!read_parts(text, true, p, 6))
		return false;
	ymd = (uint64_t)(p[0] * 13 + p[1]) << 5 | p[2];
	hms = p[3] << 12 | p[4] << 6 | p[5];
	add_big_endian(out, (ymd << 17 | hms) + UINT64_C(0x8000000000), 5);
	add_fraction(out, p[6], column->meta);
	return true;
}

static bool pack_string(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out)
{
	size_t prefix = column->meta > 255 ? 2 : 1;

	/* As in events: BINARY(n) without the zeros it is padded with. */
	if (column->type == DIA_TYPE_STRING && column->collation == COLLATION_BINARY)
		while (text.len > 0 && text.data[text.len - 1] == 0)
			text.len--;
	if (text.len > column->meta)
		return false;
	add_little_endian(out, text.len, prefix);
	dia_buf_add_slice(out, text);
	return true;
}

static bool pack_number(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out)
{
	/* Eight zeros are as long as any of them. */
	static const uint8_t zeros[8] = {0};
	struct dia_cursor c = dia_cursor_of(dia_slice_of(zeros, sizeof(zeros)));
	size_t bytes = dia_value_take(column, &c).len;
	uint64_t v;

	if (c.bad || !read_number(text, &v))
		return false;
	if (column->type == DIA_TYPE_YEAR)
		v = v == 0 ? 0 : v - 1900;
	if (column->type == DIA_TYPE_BIT)
		add_big_endian(out, v, bytes);
	else
		add_little_endian(out, v, bytes);
	return true;
}

bool apply_pack(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out)
{
	bool done;

	if (column->type == DIA_TYPE_VARCHAR || column->type == DIA_TYPE_STRING)
		done = pack_string(column, text, out);
	else if (column->type == DIA_TYPE_DATE || column->type == DIA_TYPE_NEWDATE ||
		 column->type == DIA_TYPE_DATETIME2 ||
		 column->type == DIA_TYPE_TIMESTAMP2)
		done = pack_temporal(column, text, out);
	else
		done = pack_number(column, text, out);
	return done && !out->failed;
}
