/* proxy/peer/frame_body.c - the compressed frames; see frame.h. */
#include "proxy/peer/frame.h"
#include "proxy/peer/frame_head.h"

#include <zstd.h>

enum {
	RECORD_HEADER = 6,
	RAW_HEADER = 4, /* le32 raw length in front of the compressed bytes */
	ZSTD_LEVEL = 1,
	/* What an encoder may reach back, and so what a decoder must keep: a larger
	 * window in a frame header is refused before it is allocated. */
	WINDOW_LOG = 19,
	OUT_STEP = 16 << 10,
};

enum dia_rc dia_frame_encoder_init(struct dia_frame_encoder *e, struct dia_err *reterr)
{
	*e = (struct dia_frame_encoder){.zstd = ZSTD_createCCtx()};
	if (e->zstd == NULL ||
		ZSTD_isError(ZSTD_CCtx_setParameter(
			e->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
		ZSTD_isError(
			ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_windowLog, WINDOW_LOG))) {
		dia_frame_encoder_fini(e);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a compressor");
	}
	return DIA_OK;
}

void dia_frame_encoder_fini(struct dia_frame_encoder *e)
{
	(void)ZSTD_freeCCtx(e->zstd);
	*e = (struct dia_frame_encoder){0};
}

static enum dia_rc squeeze(
	struct dia_frame_encoder *e, struct dia_slice bytes, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = {.src = bytes.data, .size = bytes.len, .pos = 0};
	size_t left;

	if (bytes.len > DIA_FRAME_RAW_MAX - e->raw)
		return DIA_E_LIMIT;
	do {
		ZSTD_outBuffer out;

		if (dia_buf_reserve(e->out, OUT_STEP) != DIA_OK)
			return DIA_E_NOMEM;
		out = (ZSTD_outBuffer){.dst = e->out->data + e->out->len,
			.size = e->out->cap - e->out->len,
			.pos = 0};
		left = ZSTD_compressStream2(e->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return DIA_E_NOMEM;
		e->out->len += out.pos;
	} while (in.pos < in.size || (how == ZSTD_e_flush && left > 0));
	e->raw += bytes.len;
	return DIA_OK;
}

static enum dia_rc frame_open(
	struct dia_frame_encoder *e, struct dia_buf *out, enum dia_frame_type type)
{
	if (dia_buf_reserve(out, DIA_FRAME_HEADER + RAW_HEADER) != DIA_OK)
		return DIA_E_NOMEM;
	e->out = out;
	e->start = out->len;
	e->raw = 0;
	e->count = 0;
	out->data[out->len + 4] = (uint8_t)type;
	out->len += DIA_FRAME_HEADER + RAW_HEADER;
	return DIA_OK;
}

static enum dia_rc frame_close(struct dia_frame_encoder *e)
{
	enum dia_rc rc = squeeze(e, dia_slice_of(NULL, 0), ZSTD_e_flush);
	size_t payload;

	if (rc != DIA_OK)
		return rc;
	payload = e->out->len - e->start - DIA_FRAME_HEADER;
	if (payload > DIA_FRAME_MAX)
		return DIA_E_LIMIT;
	dia_put_le32(e->out->data + e->start, (uint32_t)payload);
	dia_put_le32(e->out->data + e->start + DIA_FRAME_HEADER, (uint32_t)e->raw);
	e->out = NULL;
	return DIA_OK;
}

enum dia_rc dia_frame_batch_begin(struct dia_frame_encoder *e, struct dia_buf *out)
{
	return frame_open(e, out, DIA_FRAME_BATCH);
}

enum dia_rc dia_frame_batch_add(struct dia_frame_encoder *e,
	const struct dia_txn_head *head, struct dia_slice body)
{
	uint8_t record[RECORD_HEADER + DIA_FRAME_HEAD_MAX];
	struct dia_frame_head_message message;
	size_t len;
	enum dia_rc rc;

	dia_frame_head_fill(head, &message);
	len = protobuf_c_message_get_packed_size(&message.m.base);
	if (len > DIA_FRAME_HEAD_MAX || body.len > DIA_FRAME_RAW_MAX)
		return DIA_E_LIMIT;
	dia_put_le16(record, (uint16_t)len);
	dia_put_le32(record + 2, (uint32_t)body.len);
	(void)protobuf_c_message_pack(&message.m.base, record + RECORD_HEADER);
	rc = squeeze(e, dia_slice_of(record, RECORD_HEADER + len), ZSTD_e_continue);
	if (rc == DIA_OK && body.len > 0)
		rc = squeeze(e, body, ZSTD_e_continue);
	if (rc == DIA_OK)
		e->count++;
	return rc;
}

enum dia_rc dia_frame_batch_end(struct dia_frame_encoder *e)
{
	return frame_close(e);
}

enum dia_rc dia_frame_put_part(
	struct dia_frame_encoder *e, struct dia_buf *out, struct dia_slice bytes)
{
	enum dia_rc rc = frame_open(e, out, DIA_FRAME_TXN_PART);

	if (rc == DIA_OK)
		rc = squeeze(e, bytes, ZSTD_e_continue);
	return rc == DIA_OK ? frame_close(e) : rc;
}

enum dia_rc dia_frame_decoder_init(struct dia_frame_decoder *d, struct dia_err *reterr)
{
	*d = (struct dia_frame_decoder){.zstd = ZSTD_createDCtx()};
	if (d->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(
				       d->zstd, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		dia_frame_decoder_fini(d);
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a decompressor");
	}
	return DIA_OK;
}

void dia_frame_decoder_fini(struct dia_frame_decoder *d)
{
	(void)ZSTD_freeDCtx(d->zstd);
	dia_buf_fini(&d->raw);
	*d = (struct dia_frame_decoder){0};
}

/* Exactly what the header says comes out of exactly these bytes, or the frame is bad. One
 * byte of room more than announced shows a stream that holds more. */
static enum dia_rc inflate_payload(
	struct dia_frame_decoder *d, struct dia_slice payload, struct dia_err *reterr)
{
	struct dia_cursor c = dia_cursor_of(payload);
	size_t raw = dia_cursor_le32(&c);
	ZSTD_inBuffer in = {.src = c.at, .size = dia_cursor_left(&c), .pos = 0};
	ZSTD_outBuffer out;

	dia_buf_reset(&d->raw);
	d->at = dia_cursor_of(dia_slice_of(NULL, 0));
	if (c.bad || raw == 0 || raw > DIA_FRAME_RAW_MAX)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: a raw length of %zu bytes", raw);
	if (dia_buf_reserve(&d->raw, raw + 1) != DIA_OK)
		return dia_err_set(reterr, DIA_E_NOMEM, 0,
			"no memory for a frame of %zu bytes", raw);
	out = (ZSTD_outBuffer){.dst = d->raw.data, .size = raw + 1, .pos = 0};
	for (;;) {
		size_t in_before = in.pos, out_before = out.pos;
		size_t got = ZSTD_decompressStream(d->zstd, &out, &in);

		if (ZSTD_isError(got))
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0, "bad frame: %s",
				ZSTD_getErrorName(got));
		if (in.pos == in_before && out.pos == out_before)
			break;
	}
	if (in.pos != in.size || out.pos != raw)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: %zu of %zu raw bytes", out.pos, raw);
	d->raw.len = raw;
	return DIA_OK;
}

enum dia_rc dia_frame_decoder_batch(
	struct dia_frame_decoder *d, struct dia_slice payload, struct dia_err *reterr)
{
	enum dia_rc rc = inflate_payload(d, payload, reterr);

	if (rc == DIA_OK)
		d->at = dia_cursor_of(dia_buf_slice(&d->raw));
	return rc;
}

enum dia_parse dia_frame_decoder_next(struct dia_frame_decoder *d,
	struct dia_txn_head *ret, struct dia_slice *ret_body, struct dia_err *reterr)
{
	size_t head_len, body_len;
	struct dia_slice head;

	if (!d->at.bad && dia_cursor_left(&d->at) == 0)
		return DIA_PARSE_MORE;
	head_len = dia_cursor_le16(&d->at);
	body_len = dia_cursor_le32(&d->at);
	head = dia_cursor_slice(&d->at, head_len);
	*ret_body = dia_cursor_slice(&d->at, body_len);
	if (d->at.bad) {
		(void)dia_err_set(
			reterr, DIA_E_PROTOCOL, 0, "bad frame: a torn transaction");
		return DIA_PARSE_BAD;
	}
	if (dia_frame_head_parse(head, ret, reterr) != DIA_OK) {
		d->at.bad = true;
		return DIA_PARSE_BAD;
	}
	if ((ret->flags & DIA_TXN_WATERMARK) != 0 && ret_body->len > 0) {
		d->at.bad = true;
		(void)dia_err_set(
			reterr, DIA_E_PROTOCOL, 0, "bad frame: a watermark with a body");
		return DIA_PARSE_BAD;
	}
	return DIA_PARSE_OK;
}

enum dia_rc dia_frame_decoder_part(struct dia_frame_decoder *d, struct dia_slice payload,
	struct dia_slice *ret, struct dia_err *reterr)
{
	enum dia_rc rc = inflate_payload(d, payload, reterr);

	*ret = rc == DIA_OK ? dia_buf_slice(&d->raw) : dia_slice_of(NULL, 0);
	return rc;
}
