/*
 * parser/wire/reply.h - building the replies we give ourselves.
 *
 * Every function appends whole packets to out, in the shape that `caps` (what client and
 * server agreed on) demands, and moves *seq past what it used. Failure is remembered in
 * out->failed.
 */
#ifndef DIA_WIRE_REPLY_H
#define DIA_WIRE_REPLY_H

#include "parser/wire/packet.h"

/* Without PROTOCOL_41 in caps the SQLSTATE is left out. */
enum dia_rc dia_reply_err(struct dia_buf *out, uint8_t *seq, uint64_t caps, uint16_t code,
	const char *sqlstate, const char *text);
enum dia_rc dia_reply_ok(struct dia_buf *out, uint8_t *seq, uint16_t status);
/* The end of a result set: EOF, or under DEPRECATE_EOF the OK that stands for it. */
enum dia_rc dia_reply_end(
	struct dia_buf *out, uint8_t *seq, uint64_t caps, uint16_t status);
/* Column count, text columns of these names, and the EOF where one belongs. */
enum dia_rc dia_reply_columns(struct dia_buf *out, uint8_t *seq, uint64_t caps,
	uint16_t status, const struct dia_slice *names, size_t count);
/* One text row; a value with data == NULL is SQL NULL. */
enum dia_rc dia_reply_row(
	struct dia_buf *out, uint8_t *seq, const struct dia_slice *values, size_t count);

#endif /* DIA_WIRE_REPLY_H */
