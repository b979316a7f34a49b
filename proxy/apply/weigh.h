/*
 * proxy/apply/weigh.h - weight strings of text keys, asked of the database and
 * remembered.
 */
#ifndef DIA_APPLY_WEIGH_H
#define DIA_APPLY_WEIGH_H

#include "proxy/apply/db.h"

/* A dia_weigh_cb; ctx is the struct apply_db. No local transaction may be open. */
DIA_MUST_CHECK enum dia_rc apply_weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out);
void apply_weights_free(struct apply_db *db);

#endif /* DIA_APPLY_WEIGH_H */
