/*
 * proxy/backend/weigh.h - weight strings of text keys, asked of the database and
 * remembered.
 *
 * Capture and the appliers name the same row by the same key only if they weigh alike, so
 * both do it here. A connection of its own, opened with the first question; answers in a
 * bounded cache. One thread.
 */
#ifndef DIA_BACKEND_WEIGH_H
#define DIA_BACKEND_WEIGH_H

#include "proxy/config/config.h"
#include "proxy/core/buf.h"

struct dia_weigher;
DIA_MUST_CHECK enum dia_rc dia_weigher_new(
	const struct dia_config *config, struct dia_weigher **ret);
void dia_weigher_free(struct dia_weigher *w); /* NULL is fine */

/* A dia_weigh_cb; ctx is the struct dia_weigher. Appends the weight string of text under
 * the collation; what the server cannot weigh gives its bytes and a log line.
 * DIA_E_DB_GONE and the like when the database cannot be asked. */
enum dia_rc dia_weigher_weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out);

#endif /* DIA_BACKEND_WEIGH_H */
