/* parser/wire/reply.c - see reply.h. */
#include "parser/wire/reply.h"

enum {
	TYPE_VAR_STRING = 0xfd,
	CHARSET_UTF8MB4 = 45,
	COLUMN_BYTES = 65535 * 4, /* the length a column claims */
};

/* Append what `body` holds as a packet and free it. */
static enum dia_rc finish(struct dia_buf *out, uint8_t *seq, struct dia_buf *body)
{
	if (body->failed)
		out->failed = true;
	else
		(void)dia_packet_add(out, seq, dia_buf_slice(body));
	dia_buf_fini(body);
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}

static void add_text(struct dia_buf *body, struct dia_slice s)
{
	dia_buf_add_lenenc(body, s.len);
	dia_buf_add_slice(body, s);
}

enum dia_rc dia_reply_err(struct dia_buf *out, uint8_t *seq, uint64_t caps, uint16_t code,
	const char *sqlstate, const char *text)
{
	struct dia_buf body = {0};

	dia_buf_add_u8(&body, 0xff);
	dia_buf_add_le16(&body, code);
	if ((caps & DIA_CAP_PROTOCOL_41) != 0) {
		dia_buf_add_u8(&body, '#');
		dia_buf_add(&body, sqlstate, 5);
	}
	dia_buf_add_str(&body, text);
	return finish(out, seq, &body);
}

enum dia_rc dia_reply_ok(struct dia_buf *out, uint8_t *seq, uint16_t status)
{
	uint8_t body[7] = {0};

	dia_put_le16(body + 3, status);
	return dia_packet_add(out, seq, dia_slice_of(body, sizeof(body)));
}

enum dia_rc dia_reply_end(
	struct dia_buf *out, uint8_t *seq, uint64_t caps, uint16_t status)
{
	uint8_t body[7] = {0xfe};

	/* OK: affected, insert id, status, warnings; EOF: warnings, status. Both put the
	 * status at offset 3. */
	dia_put_le16(body + 3, status);
	return dia_packet_add(out, seq,
		dia_slice_of(body, (caps & DIA_CAP_DEPRECATE_EOF) != 0 ? 7 : 5));
}

static enum dia_rc add_column(
	struct dia_buf *out, uint8_t *seq, uint64_t caps, struct dia_slice name)
{
	struct dia_buf body = {0};

	add_text(&body, dia_slice_str("def"));
	add_text(&body, dia_slice_str("")); /* schema */
	add_text(&body, dia_slice_str("")); /* table, original table */
	add_text(&body, dia_slice_str(""));
	add_text(&body, name);
	add_text(&body, name);
	if ((caps & DIA_CAP_MARIA_EXT_META) != 0)
		add_text(&body, dia_slice_str(""));
	dia_buf_add_u8(&body, 0x0c);
	dia_buf_add_le16(&body, CHARSET_UTF8MB4);
	dia_buf_add_le32(&body, COLUMN_BYTES);
	dia_buf_add_u8(&body, TYPE_VAR_STRING);
	dia_buf_add_le16(&body, 0); /* flags */
	dia_buf_add_u8(&body, 0);   /* decimals */
	dia_buf_add_le16(&body, 0);
	return finish(out, seq, &body);
}

enum dia_rc dia_reply_columns(struct dia_buf *out, uint8_t *seq, uint64_t caps,
	uint16_t status, const struct dia_slice *names, size_t count)
{
	struct dia_buf body = {0};

	dia_buf_add_lenenc(&body, count);
	/* "Metadata follows": we never rely on the client's cache. */
	if ((caps & DIA_CAP_MARIA_CACHE_META) != 0)
		dia_buf_add_u8(&body, 1);
	(void)finish(out, seq, &body);
	for (size_t i = 0; i < count; i++)
		(void)add_column(out, seq, caps, names[i]);
	if ((caps & DIA_CAP_DEPRECATE_EOF) == 0)
		(void)dia_reply_end(out, seq, caps, status);
	return out->failed ? DIA_E_NOMEM : DIA_OK;
}

enum dia_rc dia_reply_row(
	struct dia_buf *out, uint8_t *seq, const struct dia_slice *values, size_t count)
{
	struct dia_buf body = {0};

	for (size_t i = 0; i < count; i++) {
		if (values[i].data == NULL)
			dia_buf_add_u8(&body, 0xfb);
		else
			add_text(&body, values[i]);
	}
	return finish(out, seq, &body);
}
