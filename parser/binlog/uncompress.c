/* parser/binlog/uncompress.c - compressed Query and Rows events (log_bin_compress=ON). */
#include "parser/binlog/event.h"

#include <zlib.h>

enum {
	QUERY_POST_HEADER_LEN = 13,
	ROWS_V1_POST_HEADER_LEN = 8,
	ROWS_V2_POST_HEADER_LEN = 10,
	COMPRESS_MARK = 0x80,
	COMPRESS_ALGORITHM = 0x70, /* 0 is zlib, the only one */
	COMPRESS_LEN_BYTES = 0x07,
	HEADER_TYPE_AT = 4,
	HEADER_LEN_AT = 9,
};

/* The uncompressed type, or 0 if `type` is not a compressed one. */
static uint8_t plain_type(uint8_t type)
{
	if (type == DIA_EVENT_QUERY_COMPRESSED)
		return DIA_EVENT_QUERY;
	if (type >= DIA_EVENT_WRITE_ROWS_COMPRESSED_V1 &&
		type <= DIA_EVENT_DELETE_ROWS_COMPRESSED_V1)
		return (uint8_t)(type - DIA_EVENT_WRITE_ROWS_COMPRESSED_V1 +
				 DIA_EVENT_WRITE_ROWS_V1);
	if (type >= DIA_EVENT_WRITE_ROWS_COMPRESSED &&
		type <= DIA_EVENT_DELETE_ROWS_COMPRESSED)
		return (uint8_t)(type - DIA_EVENT_WRITE_ROWS_COMPRESSED +
				 DIA_EVENT_WRITE_ROWS_V2);
	return 0;
}

/* Move past what stays uncompressed in a Query event: post-header, status, database. */
static void skip_query_head(struct dia_cursor *c)
{
	const uint8_t *post = dia_cursor_take(c, QUERY_POST_HEADER_LEN);

	if (post != NULL)
		(void)dia_cursor_take(c, (size_t)post[8] + dia_le16(post + 11) + 1);
}

/* The same for a Rows event: post-header, column count, present bitmaps. */
static void skip_rows_head(struct dia_cursor *c, uint8_t type)
{
	uint64_t columns, bitmaps = 1;

	if (type >= DIA_EVENT_WRITE_ROWS_COMPRESSED) {
		const uint8_t *post = dia_cursor_take(c, ROWS_V2_POST_HEADER_LEN);
		uint16_t extra = post == NULL ? 0 : dia_le16(post + 8);

		if (extra < 2)
			c->bad = true;
		else
			(void)dia_cursor_take(c, (size_t)extra - 2);
	} else {
		(void)dia_cursor_take(c, ROWS_V1_POST_HEADER_LEN);
	}
	columns = dia_cursor_lenenc(c);
	if (columns > dia_cursor_left(c) * 8) {
		c->bad = true;
		return;
	}
	if (type == DIA_EVENT_UPDATE_ROWS_COMPRESSED_V1 ||
		type == DIA_EVENT_UPDATE_ROWS_COMPRESSED)
		bitmaps = 2;
	(void)dia_cursor_take(c, (size_t)((columns + 7) / 8 * bitmaps));
}

/* Size the compressed part says it has; its data is left at the cursor. */
static uint32_t take_plain_len(struct dia_cursor *c)
{
	uint8_t mark = dia_cursor_u8(c);
	unsigned len_bytes = mark & COMPRESS_LEN_BYTES;
	uint32_t len = 0;

	if ((mark & COMPRESS_MARK) == 0 || (mark & COMPRESS_ALGORITHM) != 0 ||
		len_bytes == 0 || len_bytes > 4)
		c->bad = true;
	while (len_bytes-- > 0)
		len = len << 8 | dia_cursor_u8(c);
	return len;
}

static enum dia_parse inflate_into(
	struct dia_buf *out, struct dia_slice in, uint32_t plain_len)
{
	uLongf got = plain_len;

	if (dia_buf_reserve(out, (size_t)plain_len + 1) != DIA_OK)
		return DIA_PARSE_BAD;
	if (uncompress(out->data + out->len, &got, in.data, (uLong)in.len) != Z_OK ||
		got != plain_len)
		return DIA_PARSE_BAD;
	out->len += plain_len;
	return DIA_PARSE_OK;
}

enum dia_parse dia_event_uncompress(const struct dia_event *ev, size_t max_len,
	struct dia_buf *out, struct dia_event *ret)
{
	uint8_t type = plain_type(ev->type);
	struct dia_cursor c = dia_cursor_of(ev->data);
	size_t start = out->len, head_len, total;
	uint32_t plain_len;

	if (type == 0) {
		*ret = *ev;
		return DIA_PARSE_OK;
	}
	if (type == DIA_EVENT_QUERY)
		skip_query_head(&c);
	else
		skip_rows_head(&c, ev->type);
	if (c.bad)
		return DIA_PARSE_BAD;
	head_len = DIA_EVENT_HEADER_LEN + (size_t)(c.at - ev->data.data);
	plain_len = take_plain_len(&c);
	if (c.bad || plain_len > max_len || head_len + plain_len > UINT32_MAX)
		return DIA_PARSE_BAD;

	total = head_len + plain_len;
	(void)dia_buf_add(out, ev->raw.data, head_len);
	if (out->failed || inflate_into(out, dia_slice_of(c.at, dia_cursor_left(&c)),
				   plain_len) != DIA_PARSE_OK) {
		out->len = start;
		return DIA_PARSE_BAD;
	}
	out->data[start + HEADER_TYPE_AT] = type;
	dia_put_le32(out->data + start + HEADER_LEN_AT, (uint32_t)total);
	return dia_event_parse(dia_slice_of(out->data + start, total), false, ret);
}
