/*
 * proxy/client/console.h - what SHOW DIARCHY … answers: a small result set of text.
 *
 * The provider fills it on a thread of libuv's pool (it may block on a database); the
 * session encodes it as the client's capabilities demand. Strings are copied. A failed
 * addition is remembered, so a provider may ignore the results and the client still gets
 * an error, never half a table.
 */
#ifndef DIA_CLIENT_CONSOLE_H
#define DIA_CLIENT_CONSOLE_H

#include "parser/sql/guard.h"
#include "parser/wire/packet.h"
#include "proxy/core/arena.h"
#include "proxy/core/err.h"

enum {
	DIA_CONSOLE_COLUMNS_MAX = 32,
	DIA_CONSOLE_BYTES_MAX = 64 * 1024 * 1024, /* of all values */
};

struct dia_console_row;

struct dia_console_result {
	struct dia_arena arena;
	struct dia_slice columns[DIA_CONSOLE_COLUMNS_MAX];
	size_t column_count;
	size_t row_count;
	size_t bytes;
	struct dia_console_row *first, *last;
	enum dia_rc rc; /* the first failed addition */
};

/* Columns first, then rows. */
enum dia_rc dia_console_add_column(struct dia_console_result *res, const char *name);
/* column_count values; data == NULL is SQL NULL. */
enum dia_rc dia_console_add_row(
	struct dia_console_result *res, const struct dia_slice *values);
/* The same with C strings; NULL is SQL NULL. */
enum dia_rc dia_console_add_texts(
	struct dia_console_result *res, const char *const *values);
void dia_console_fini(struct dia_console_result *res);

/* Fill res, or fail with a message for the client in *reterr. Called on a pool thread,
 * from several at once. */
typedef enum dia_rc (*dia_console_cb)(void *ctx, enum dia_guard_kind what,
	struct dia_console_result *res, struct dia_err *reterr);

/* The whole reply as packets; first sequence number in *seq. */
DIA_MUST_CHECK enum dia_rc dia_console_encode(const struct dia_console_result *res,
	uint64_t caps, uint16_t status, uint8_t *seq, struct dia_buf *out);

#endif /* DIA_CLIENT_CONSOLE_H */
