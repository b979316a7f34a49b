/* parser/binlog/image_key.c - the canonical key of a row; see row_image.h. */
#include "parser/binlog/collation.h"
#include "parser/binlog/value.h"

struct weigher {
	dia_weigh_cb weigh;
	void *ctx;
};

/* Append len-prefixed bytes whose length is known only afterwards: four bytes, so that
 * they can be filled in. */
static size_t open_part(struct dia_buf *out)
{
	(void)dia_buf_add_le32(out, 0);
	return out->len;
}

static enum dia_rc close_part(struct dia_buf *out, size_t start)
{
	if (out->failed)
		return DIA_E_NOMEM;
	if (out->len - start > UINT32_MAX)
		return DIA_E_LIMIT;
	dia_put_le32(out->data + start - 4, (uint32_t)(out->len - start));
	return DIA_OK;
}

/* Weights of printable ASCII text; false (and nothing appended) if it is not that. */
static bool add_weights(
	const struct dia_collation *collation, struct dia_slice text, struct dia_buf *out)
{
	const struct dia_weights *weights = &dia_collation_weights[collation->table];
	enum dia_charset charset = (enum dia_charset)collation->charset;
	unsigned unit = dia_charset_unit(charset);
	size_t start = out->len;

	if (text.len % unit != 0)
		return false;
	if (dia_buf_reserve(out, text.len / unit * 2 + 1) != DIA_OK)
		return false;
	for (size_t i = 0; i < text.len; i += unit) {
		int ascii = dia_charset_ascii(charset, text.data + i);

		if (ascii < 32 || ascii > 126) {
			out->len = start;
			return false;
		}
		out->data[out->len++] = weights->of[ascii - 32].bytes[0];
		if (weights->of[ascii - 32].len > 1)
			out->data[out->len++] = weights->of[ascii - 32].bytes[1];
	}
	return true;
}

/* Spaces that only show as weights (an ignorable character stood behind them) go as well.
 */
static void strip_weights(
	const struct dia_collation *collation, size_t start, struct dia_buf *out)
{
	const struct dia_weights *weights;
	size_t n;

	if (!collation->pad || collation->table == DIA_COLLATION_NO_TABLE)
		return;
	weights = &dia_collation_weights[collation->table];
	n = weights->of[0].len;
	while (out->len - start >= n && (out->len - start) % n == 0 &&
		memcmp(out->data + out->len - n, weights->of[0].bytes, n) == 0)
		out->len -= n;
}

/* Levels of UCA weights lie in ranges of their own: case below accents below letters. */
enum {
	LEVELS = 3,
	ACCENT_MIN = 0x20,
	LETTER_MIN = 0x200,
	SPACE_ACCENT = 0x20,
	SPACE_CASE = 2
};

static unsigned level_of(uint16_t weight)
{
	if (weight >= LETTER_MIN)
		return 0;
	return weight >= ACCENT_MIN ? 1 : 2;
}

/*
 * PAD SPACE compares each level as if spaces followed, but WEIGHT_STRING() adds none: the
 * weights of spaces at the end of each level say nothing, so they go. What stays needs no
 * mark between the levels: their ranges tell them apart.
 */
static void strip_levels(
	const struct dia_collation *collation, size_t start, struct dia_buf *out)
{
	const uint16_t space[LEVELS] = {collation->space, SPACE_ACCENT, SPACE_CASE};
	size_t at = start, to = start;

	if (!collation->pad || collation->space == 0 || (out->len - start) % 2 != 0)
		return;
	for (unsigned level = 0; level < LEVELS; level++) {
		size_t first = at, end = at; /* end: behind the last weight that counts */

		for (; at < out->len; at += 2) {
			uint16_t weight =
				(uint16_t)(out->data[at] << 8 | out->data[at + 1]);

			if (level_of(weight) != level)
				break;
			if (weight != space[level])
				end = at + 2;
		}
		memmove(out->data + to, out->data + first, end - first);
		to += end - first;
	}
	/* Weights in another order than by level are not ours to cut: keep the rest. */
	memmove(out->data + to, out->data + at, out->len - at);
	out->len = to + (out->len - at);
}

static enum dia_rc add_text_key(const struct dia_column *column, struct dia_slice text,
	const struct weigher *w, struct dia_buf *out)
{
	struct dia_collation collation;
	enum dia_charset charset;
	size_t start;
	enum dia_rc rc;

	(void)dia_collation_find(column->collation, &collation);
	charset = (enum dia_charset)collation.charset;
	if (column->pk_prefix_chars > 0)
		text = dia_charset_prefix(charset, text, column->pk_prefix_chars);
	if (collation.pad)
		text = dia_charset_strip(charset, text);
	if (collation.kind == DIA_KEY_BYTES)
		return dia_buf_add_slice(out, text);

	start = out->len;
	if (collation.kind == DIA_KEY_TABLE) {
		if (add_weights(&collation, text, out))
			return DIA_OK;
		if (out->failed)
			return DIA_E_NOMEM;
	}
	if (w->weigh == NULL || text.len == 0)
		return dia_buf_add_slice(out, text);
	rc = w->weigh(w->ctx, column->collation, text, out);
	if (rc == DIA_OK && !out->failed && collation.kind == DIA_KEY_TABLE)
		strip_weights(&collation, start, out);
	else if (rc == DIA_OK && !out->failed)
		strip_levels(&collation, start, out);
	return rc;
}

/* BINARY, VARBINARY, BLOB: bytes; trailing zeros of BINARY(n) are gone in every event. */
static enum dia_rc add_string_key(const struct dia_column *column,
	struct dia_slice packed, const struct weigher *w, struct dia_buf *out)
{
	struct dia_slice bytes = dia_value_bytes(column, packed);

	if (dia_column_is_text(column) || column->collation == 0)
		return add_text_key(column, bytes, w, out);
	if (column->pk_prefix_chars > 0 && bytes.len > column->pk_prefix_chars)
		bytes.len = column->pk_prefix_chars;
	if (column->type == DIA_TYPE_STRING) {
		while (bytes.len > 0 && bytes.data[bytes.len - 1] == 0)
			bytes.len--;
	}
	return dia_buf_add_slice(out, bytes);
}

/* DECIMAL -0 and 0 differ in their bytes but not to the database. */
static enum dia_rc add_decimal_key(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out)
{
	size_t start = out->len;
	bool negative = packed.len > 0 && (packed.data[0] & 0x80) == 0;

	(void)column;
	if (dia_buf_add_slice(out, packed) != DIA_OK)
		return DIA_E_NOMEM;
	if (!negative || packed.data[0] != 0x7f)
		return DIA_OK;
	for (size_t i = 1; i < packed.len; i++) {
		if (packed.data[i] != 0xff)
			return DIA_OK;
	}
	for (size_t i = start; i < out->len; i++)
		out->data[i] ^= 0xff;
	return DIA_OK;
}

static enum dia_rc add_part(const struct dia_column *column, struct dia_slice packed,
	const struct weigher *w, struct dia_buf *out)
{
	static const uint8_t zeros[8] = {0};

	switch (column->type) {
	case DIA_TYPE_FLOAT:
		if (dia_value_float(packed) == 0)
			return dia_buf_add(out, zeros, 4);
		return dia_buf_add_slice(out, packed);
	case DIA_TYPE_DOUBLE:
		if (dia_value_double(packed) == 0)
			return dia_buf_add(out, zeros, 8);
		return dia_buf_add_slice(out, packed);
	case DIA_TYPE_NEWDECIMAL:
		return add_decimal_key(column, packed, out);
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
		return add_string_key(column, packed, w, out);
	default:
		return dia_buf_add_slice(out, packed);
	}
}

/* Value of the column number `want` in a full image. The columns before it have to be
 * walked; keys usually stand in front. */
static bool find_value(const struct dia_table *table, struct dia_slice image,
	uint32_t want, struct dia_slice *ret)
{
	struct dia_cursor c = dia_cursor_of(image);
	const uint8_t *nulls = dia_cursor_take(&c, (table->column_count + 7) / 8);

	if (nulls == NULL || (nulls[want / 8] >> (want % 8) & 1) != 0)
		return false;
	for (uint32_t i = 0; i <= want && !c.bad; i++) {
		if ((nulls[i / 8] >> (i % 8) & 1) == 0)
			*ret = dia_value_take(&table->columns[i], &c);
	}
	return !c.bad;
}

enum dia_rc dia_image_key(const struct dia_table *table, struct dia_slice image,
	dia_weigh_cb weigh, void *weigh_ctx, struct dia_buf *out)
{
	const struct weigher w = {.weigh = weigh, .ctx = weigh_ctx};

	if (table->pk_count == 0)
		return DIA_E_UNSUPPORTED;
	(void)dia_buf_add_u8(out, (uint8_t)table->db.len);
	(void)dia_buf_add_slice(out, table->db);
	(void)dia_buf_add_u8(out, (uint8_t)table->name.len);
	(void)dia_buf_add_slice(out, table->name);
	for (uint32_t i = 0; i < table->pk_count; i++) {
		struct dia_slice packed;
		size_t start = open_part(out);
		enum dia_rc rc;

		if (!find_value(table, image, table->pk[i], &packed))
			return DIA_E_PROTOCOL;
		rc = add_part(&table->columns[table->pk[i]], packed, &w, out);
		if (rc == DIA_OK)
			rc = close_part(out, start);
		if (rc != DIA_OK)
			return rc;
	}
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}
