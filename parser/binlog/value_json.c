/* parser/binlog/value_json.c - images as JSON for the conflict table; see row_image.h. */
#include "parser/binlog/collation.h"
#include "parser/binlog/value.h"

#include <math.h>

/* Code points of cp1252, which MariaDB calls latin1, from 0x80 to 0x9f. */
static const uint16_t cp1252_high[32] = {0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026,
	0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90,
	0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161,
	0x203a, 0x153, 0x9d, 0x17e, 0x178};

/* Append a code point to a JSON string; false if it is none (a lone surrogate, too
 * large). */
static bool add_code_point(uint32_t cp, struct dia_buf *out)
{
	if (cp == '"' || cp == '\\') {
		(void)dia_buf_add_u8(out, '\\');
		(void)dia_buf_add_u8(out, (uint8_t)cp);
	} else if (cp < 0x20) {
		(void)dia_buf_printf(out, "\\u%04x", cp);
	} else if (cp < 0x80) {
		(void)dia_buf_add_u8(out, (uint8_t)cp);
	} else if (cp < 0x800) {
		(void)dia_buf_add_u8(out, (uint8_t)(0xc0 | cp >> 6));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp & 63)));
	} else if (cp < 0x10000) {
		if (cp >= 0xd800 && cp <= 0xdfff)
			return false;
		(void)dia_buf_add_u8(out, (uint8_t)(0xe0 | cp >> 12));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp >> 6 & 63)));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp & 63)));
	} else {
		if (cp > 0x10ffff)
			return false;
		(void)dia_buf_add_u8(out, (uint8_t)(0xf0 | cp >> 18));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp >> 12 & 63)));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp >> 6 & 63)));
		(void)dia_buf_add_u8(out, (uint8_t)(0x80 | (cp & 63)));
	}
	return true;
}

/* One code point of UTF-8; false when malformed or overlong. */
static bool take_utf8(struct dia_cursor *c, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint8_t lead = dia_cursor_u8(c);
	unsigned more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	uint32_t cp = lead;

	if (lead >= 0x80) {
		if (lead < 0xc0 || lead >= 0xf8)
			return false;
		cp = lead & (0x3fU >> more);
	}
	for (unsigned i = 0; i < more; i++) {
		uint8_t b = dia_cursor_u8(c);

		if ((b & 0xc0) != 0x80)
			return false;
		cp = cp << 6 | (b & 63);
	}
	*ret = cp;
	return !c->bad && cp >= least[more];
}

static bool take_utf16(struct dia_cursor *c, bool little, uint32_t *ret)
{
	const uint8_t *p = dia_cursor_take(c, 2);
	uint32_t high, low;

	if (p == NULL)
		return false;
	high = little ? dia_le16(p) : (uint32_t)(p[0] << 8 | p[1]);
	*ret = high;
	if (high < 0xd800 || high > 0xdbff)
		return true;
	p = dia_cursor_take(c, 2);
	if (p == NULL)
		return false;
	low = little ? dia_le16(p) : (uint32_t)(p[0] << 8 | p[1]);
	*ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	return low >= 0xdc00 && low <= 0xdfff;
}

static bool take_utf32(struct dia_cursor *c, uint32_t *ret)
{
	const uint8_t *p = dia_cursor_take(c, 4);

	if (p == NULL)
		return false;
	*ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return true;
}

/* One code point of the character set; false when it cannot be told. */
static bool take_char(enum dia_charset charset, struct dia_cursor *c, uint32_t *ret)
{
	if (charset == DIA_CHARSET_UTF8MB4 || charset == DIA_CHARSET_UTF8MB3)
		return take_utf8(c, ret);
	if (charset == DIA_CHARSET_UCS2 || charset == DIA_CHARSET_UTF16)
		return take_utf16(c, false, ret);
	if (charset == DIA_CHARSET_UTF16LE)
		return take_utf16(c, true, ret);
	if (charset == DIA_CHARSET_UTF32)
		return take_utf32(c, ret);
	*ret = dia_cursor_u8(c);
	if (*ret < 0x80)
		/* swe7 has letters there; sjis keeps yen and overline in two places. */
		return charset != DIA_CHARSET_SWE7;
	if (charset != DIA_CHARSET_LATIN1)
		return false;
	if (*ret < 0xa0)
		*ret = cp1252_high[*ret - 0x80];
	return true;
}

static void add_base64(struct dia_slice bytes, struct dia_buf *out)
{
	(void)dia_buf_add_str(out, "{\"base64\": \"");
	(void)dia_buf_add_base64(out, bytes);
	(void)dia_buf_add_str(out, "\"}");
}

static void add_string(uint16_t collation_id, struct dia_slice text, struct dia_buf *out)
{
	struct dia_cursor c = dia_cursor_of(text);
	struct dia_collation collation;
	size_t start = out->len;

	if (!dia_collation_find(collation_id, &collation) ||
		collation.charset == DIA_CHARSET_BINARY) {
		add_base64(text, out);
		return;
	}
	(void)dia_buf_add_u8(out, '"');
	while (dia_cursor_left(&c) > 0) {
		uint32_t cp;

		if (!take_char((enum dia_charset)collation.charset, &c, &cp) ||
			!add_code_point(cp, out)) {
			out->len = start;
			add_base64(text, out);
			return;
		}
	}
	(void)dia_buf_add_u8(out, '"');
}

/* Strings, blobs, ENUM and SET: text in the column's character set, or bytes. */
static enum dia_rc content_json(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out)
{
	struct dia_buf plain = {0};
	bool is_binary = false;
	enum dia_rc rc = dia_value_text(column, value, &plain, &is_binary);

	if (rc == DIA_OK && is_binary)
		add_base64(dia_buf_slice(&plain), out);
	else if (rc == DIA_OK)
		add_string(column->collation == 0 ? 45 : column->collation,
			dia_buf_slice(&plain), out);
	else if (rc == DIA_E_PROTOCOL) {
		/* A compressed value that cannot be read: show what there is. */
		add_base64(dia_value_bytes(column, value->packed), out);
		rc = DIA_OK;
	}
	dia_buf_fini(&plain);
	return rc;
}

static enum dia_rc value_json(const struct dia_column *column,
	const struct dia_value *value, struct dia_buf *out)
{
	bool is_binary;
	enum dia_rc rc;

	if (value->is_null)
		return dia_buf_add_str(out, "null");
	switch (column->type) {
	case DIA_TYPE_FLOAT:
		if (!isfinite(dia_value_float(value->packed)))
			return dia_buf_add_str(out, "null");
		return dia_value_text(column, value, out, &is_binary);
	case DIA_TYPE_DOUBLE:
		if (!isfinite(dia_value_double(value->packed)))
			return dia_buf_add_str(out, "null");
		return dia_value_text(column, value, out, &is_binary);
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_NEWDECIMAL:
		return dia_value_text(column, value, out, &is_binary);
	case DIA_TYPE_NULL:
		return dia_buf_add_str(out, "null");
	case DIA_TYPE_BIT:
		return dia_buf_printf(out, "%llu",
			(unsigned long long)dia_value_uint_be(value->packed));
	case DIA_TYPE_YEAR:
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
	case DIA_TYPE_TIME:
	case DIA_TYPE_DATETIME:
	case DIA_TYPE_TIMESTAMP:
	case DIA_TYPE_TIME2:
	case DIA_TYPE_DATETIME2:
	case DIA_TYPE_TIMESTAMP2:
		(void)dia_buf_add_u8(out, '"');
		rc = dia_value_text(column, value, out, &is_binary);
		(void)dia_buf_add_u8(out, '"');
		return rc;
	default:
		return content_json(column, value, out);
	}
}

static enum dia_rc object_json(const struct dia_table *table, struct dia_slice image,
	bool key_only, struct dia_buf *out)
{
	struct dia_cursor c = dia_cursor_of(image);
	const uint8_t *nulls = dia_cursor_take(&c, (table->column_count + 7) / 8);
	bool first = true;

	if (nulls == NULL)
		return DIA_E_PROTOCOL;
	(void)dia_buf_add_u8(out, '{');
	for (uint32_t i = 0; i < table->column_count; i++) {
		const struct dia_column *column = &table->columns[i];
		struct dia_value value = {.is_null = (nulls[i / 8] >> (i % 8) & 1) != 0};
		enum dia_rc rc;

		if (!value.is_null)
			value.packed = dia_value_take(column, &c);
		if (c.bad)
			return DIA_E_PROTOCOL;
		if (key_only && !column->in_pk)
			continue;
		if (!first)
			(void)dia_buf_add_str(out, ", ");
		first = false;
		if (column->name.len > 0)
			add_string(45, column->name, out); /* names are utf8mb4 */
		else
			(void)dia_buf_printf(out, "\"@%u\"", i + 1);
		(void)dia_buf_add_str(out, ": ");
		rc = value_json(column, &value, out);
		if (rc != DIA_OK)
			return rc;
	}
	return dia_buf_add_u8(out, '}');
}

enum dia_rc dia_image_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out)
{
	return object_json(table, image, false, out);
}

enum dia_rc dia_image_key_json(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out)
{
	return object_json(table, image, true, out);
}
