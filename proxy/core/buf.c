/* proxy/core/buf.c - see buf.h. */
#include "proxy/core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum dia_rc dia_buf_reserve(struct dia_buf *buf, size_t extra)
{
	size_t need, cap;
	uint8_t *data;

	if (buf->cap - buf->len >= extra)
		return DIA_OK;
	if (__builtin_add_overflow(buf->len, extra, &need) || need > SIZE_MAX / 2) {
		buf->failed = true;
		return DIA_E_NOMEM;
	}
	cap = buf->cap < 256 ? 256 : buf->cap;
	while (cap < need)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (data == NULL) {
		buf->failed = true;
		return DIA_E_NOMEM;
	}
	buf->data = data;
	buf->cap = cap;
	return DIA_OK;
}

enum dia_rc dia_buf_add(struct dia_buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return buf->failed ? DIA_E_NOMEM : DIA_OK;
	if (buf->failed || dia_buf_reserve(buf, len) != DIA_OK)
		return DIA_E_NOMEM;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return DIA_OK;
}

enum dia_rc dia_buf_add_slice(struct dia_buf *buf, struct dia_slice s)
{
	return dia_buf_add(buf, s.data, s.len);
}

enum dia_rc dia_buf_add_u8(struct dia_buf *buf, uint8_t v)
{
	return dia_buf_add(buf, &v, 1);
}

enum dia_rc dia_buf_add_le16(struct dia_buf *buf, uint16_t v)
{
	uint8_t raw[2];

	dia_put_le16(raw, v);
	return dia_buf_add(buf, raw, sizeof(raw));
}

enum dia_rc dia_buf_add_le24(struct dia_buf *buf, uint32_t v)
{
	uint8_t raw[3];

	dia_put_le24(raw, v);
	return dia_buf_add(buf, raw, sizeof(raw));
}

enum dia_rc dia_buf_add_le32(struct dia_buf *buf, uint32_t v)
{
	uint8_t raw[4];

	dia_put_le32(raw, v);
	return dia_buf_add(buf, raw, sizeof(raw));
}

enum dia_rc dia_buf_add_le64(struct dia_buf *buf, uint64_t v)
{
	uint8_t raw[8];

	dia_put_le64(raw, v);
	return dia_buf_add(buf, raw, sizeof(raw));
}

enum dia_rc dia_buf_add_lenenc(struct dia_buf *buf, uint64_t v)
{
	uint8_t raw[9];

	if (v < 0xfb)
		return dia_buf_add_u8(buf, (uint8_t)v);
	if (v <= 0xffff) {
		raw[0] = 0xfc;
		dia_put_le16(raw + 1, (uint16_t)v);
		return dia_buf_add(buf, raw, 3);
	}
	if (v <= 0xffffff) {
		raw[0] = 0xfd;
		dia_put_le24(raw + 1, (uint32_t)v);
		return dia_buf_add(buf, raw, 4);
	}
	raw[0] = 0xfe;
	dia_put_le64(raw + 1, v);
	return dia_buf_add(buf, raw, 9);
}

enum dia_rc dia_buf_add_str(struct dia_buf *buf, const char *text)
{
	return dia_buf_add(buf, text, strlen(text));
}

enum dia_rc dia_buf_printf(struct dia_buf *buf, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (buf->failed)
		return DIA_E_NOMEM;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || dia_buf_reserve(buf, (size_t)n + 1) != DIA_OK) {
		va_end(again);
		buf->failed = true;
		return DIA_E_NOMEM;
	}
	(void)vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, fmt, again);
	va_end(again);
	buf->len += (size_t)n;
	return DIA_OK;
}

enum dia_rc dia_buf_add_base64(struct dia_buf *buf, struct dia_slice s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i, rest;
	uint8_t *out;

	if (s.len > SIZE_MAX / 4 || buf->failed ||
		dia_buf_reserve(buf, (s.len + 2) / 3 * 4) != DIA_OK) {
		buf->failed = true;
		return DIA_E_NOMEM;
	}
	out = buf->data + buf->len;
	for (i = 0; i + 3 <= s.len; i += 3) {
		uint32_t v = ((uint32_t)s.data[i] << 16) |
			     ((uint32_t)s.data[i + 1] << 8) | s.data[i + 2];

		*out++ = (uint8_t)digits[v >> 18];
		*out++ = (uint8_t)digits[(v >> 12) & 63];
		*out++ = (uint8_t)digits[(v >> 6) & 63];
		*out++ = (uint8_t)digits[v & 63];
	}
	rest = s.len - i;
	if (rest > 0) {
		uint32_t v = (uint32_t)s.data[i] << 16;

		if (rest == 2)
			v |= (uint32_t)s.data[i + 1] << 8;
		*out++ = (uint8_t)digits[v >> 18];
		*out++ = (uint8_t)digits[(v >> 12) & 63];
		*out++ = rest == 2 ? (uint8_t)digits[(v >> 6) & 63] : (uint8_t)'=';
		*out++ = (uint8_t)'=';
	}
	buf->len = (size_t)(out - buf->data);
	return DIA_OK;
}

void dia_buf_consume(struct dia_buf *buf, size_t n)
{
	if (n >= buf->len) {
		buf->len = 0;
		return;
	}
	memmove(buf->data, buf->data + n, buf->len - n);
	buf->len -= n;
}

void dia_buf_reset(struct dia_buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

void dia_buf_fini(struct dia_buf *buf)
{
	free(buf->data);
	*buf = (struct dia_buf){0};
}
