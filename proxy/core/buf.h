/*
 * proxy/core/buf.h - a growing run of bytes, owned by whoever holds the struct.
 *
 * Zero-initialised is a valid empty buffer. Appends either take all or fail without
 * change. A failed append is remembered in `failed`, so a long series may be checked once
 * at its end.
 */
#ifndef DIA_CORE_BUF_H
#define DIA_CORE_BUF_H

#include "proxy/core/rc.h"
#include "proxy/core/slice.h"

struct dia_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

/* Make room for `extra` more bytes behind len. */
DIA_MUST_CHECK enum dia_rc dia_buf_reserve(struct dia_buf *buf, size_t extra);
/* These return what `failed` says, DIA_OK or DIA_E_NOMEM; the result may be left to a
 * later look at buf->failed, so they are not must-check. */
enum dia_rc dia_buf_add(struct dia_buf *buf, const void *data, size_t len);
enum dia_rc dia_buf_add_slice(struct dia_buf *buf, struct dia_slice s);
enum dia_rc dia_buf_add_u8(struct dia_buf *buf, uint8_t v);
enum dia_rc dia_buf_add_le16(struct dia_buf *buf, uint16_t v);
enum dia_rc dia_buf_add_le24(struct dia_buf *buf, uint32_t v);
enum dia_rc dia_buf_add_le32(struct dia_buf *buf, uint32_t v);
enum dia_rc dia_buf_add_le64(struct dia_buf *buf, uint64_t v);
enum dia_rc dia_buf_add_lenenc(struct dia_buf *buf, uint64_t v);
enum dia_rc dia_buf_add_str(struct dia_buf *buf, const char *text);
enum dia_rc dia_buf_printf(struct dia_buf *buf, const char *fmt, ...) DIA_PRINTF(2, 3);
/* Base64 (RFC 4648, with padding) of data, as the BINLOG statement wants it. */
enum dia_rc dia_buf_add_base64(struct dia_buf *buf, struct dia_slice s);

/* Drop the first n bytes (n <= len), keeping storage. */
void dia_buf_consume(struct dia_buf *buf, size_t n);
/* Empty, keeping storage; clears failed. */
void dia_buf_reset(struct dia_buf *buf);
/* Free storage; the struct is empty and usable again. */
void dia_buf_fini(struct dia_buf *buf);

static inline struct dia_slice dia_buf_slice(const struct dia_buf *buf)
{
	return dia_slice_of(buf->data, buf->len);
}

#endif /* DIA_CORE_BUF_H */
