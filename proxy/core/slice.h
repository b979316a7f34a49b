/*
 * proxy/core/slice.h - a borrowed run of bytes, and bounded reading from it.
 *
 * A slice never owns; whoever fills one says in its header from whom it borrows and for
 * how long. dia_cursor reads little-endian fields with the bound checked each time: after
 * the first read past the end `bad` stays set and every read gives 0, so a parser may
 * read a whole fixed part and check once.
 */
#ifndef DIA_CORE_SLICE_H
#define DIA_CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dia_slice {
	const uint8_t *data;
	size_t len;
};

static inline struct dia_slice dia_slice_of(const void *data, size_t len)
{
	return (struct dia_slice){.data = data, .len = len};
}

static inline struct dia_slice dia_slice_str(const char *text)
{
	return (struct dia_slice){.data = (const uint8_t *)text, .len = strlen(text)};
}

static inline bool dia_slice_eq(struct dia_slice a, struct dia_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Unaligned little-endian fields; the caller has checked that the bytes are there. */
static inline uint16_t dia_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t dia_le24(const uint8_t *p)
{
	return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16);
}

static inline uint32_t dia_le32(const uint8_t *p)
{
	return dia_le24(p) | ((uint32_t)p[3] << 24);
}

static inline uint64_t dia_le48(const uint8_t *p)
{
	return (uint64_t)dia_le32(p) | ((uint64_t)dia_le16(p + 4) << 32);
}

static inline uint64_t dia_le64(const uint8_t *p)
{
	return (uint64_t)dia_le32(p) | ((uint64_t)dia_le32(p + 4) << 32);
}

static inline void dia_put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void dia_put_le24(uint8_t *p, uint32_t v)
{
	dia_put_le16(p, (uint16_t)v);
	p[2] = (uint8_t)(v >> 16);
}

static inline void dia_put_le32(uint8_t *p, uint32_t v)
{
	dia_put_le24(p, v);
	p[3] = (uint8_t)(v >> 24);
}

static inline void dia_put_le64(uint8_t *p, uint64_t v)
{
	dia_put_le32(p, (uint32_t)v);
	dia_put_le32(p + 4, (uint32_t)(v >> 32));
}

struct dia_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct dia_cursor dia_cursor_of(struct dia_slice s)
{
	return (struct dia_cursor){
		.at = s.data, .end = s.len == 0 ? s.data : s.data + s.len, .bad = false};
}

static inline size_t dia_cursor_left(const struct dia_cursor *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->at);
}

/* Borrow n bytes and move past them; NULL (and bad) if fewer are left. n == 0 gives a
 * non-NULL pointer unless the cursor is empty of storage; do not dereference it. */
static inline const uint8_t *dia_cursor_take(struct dia_cursor *c, size_t n)
{
	const uint8_t *p = c->at;

	if (c->bad || n > (size_t)(c->end - c->at)) {
		c->bad = true;
		return NULL;
	}
	if (n > 0)
		c->at += n;
	return p;
}

static inline struct dia_slice dia_cursor_slice(struct dia_cursor *c, size_t n)
{
	const uint8_t *p = dia_cursor_take(c, n);

	return c->bad ? dia_slice_of(NULL, 0) : dia_slice_of(p, n);
}

static inline uint8_t dia_cursor_u8(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 1);

	return p == NULL ? 0 : p[0];
}

static inline uint16_t dia_cursor_le16(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 2);

	return p == NULL ? 0 : dia_le16(p);
}

static inline uint32_t dia_cursor_le24(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 3);

	return p == NULL ? 0 : dia_le24(p);
}

static inline uint32_t dia_cursor_le32(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 4);

	return p == NULL ? 0 : dia_le32(p);
}

static inline uint64_t dia_cursor_le48(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 6);

	return p == NULL ? 0 : dia_le48(p);
}

static inline uint64_t dia_cursor_le64(struct dia_cursor *c)
{
	const uint8_t *p = dia_cursor_take(c, 8);

	return p == NULL ? 0 : dia_le64(p);
}

/*
 * Length-encoded integer of the MySQL protocol and of binlog events (MariaDB
 * documentation, "Protocol data types"): < 0xfb itself, 0xfc 2 bytes, 0xfd 3, 0xfe 8.
 * 0xfb (SQL NULL) and 0xff are not lengths: bad.
 */
static inline uint64_t dia_cursor_lenenc(struct dia_cursor *c)
{
	uint8_t first = dia_cursor_u8(c);

	if (first < 0xfb)
		return first;
	if (first == 0xfc)
		return dia_cursor_le16(c);
	if (first == 0xfd)
		return dia_cursor_le24(c);
	if (first == 0xfe)
		return dia_cursor_le64(c);
	c->bad = true;
	return 0;
}

static inline struct dia_slice dia_cursor_lenenc_slice(struct dia_cursor *c)
{
	uint64_t n = dia_cursor_lenenc(c);

	if (n > dia_cursor_left(c)) {
		c->bad = true;
		return dia_slice_of(NULL, 0);
	}
	return dia_cursor_slice(c, (size_t)n);
}

#endif /* DIA_CORE_SLICE_H */
