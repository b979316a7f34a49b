/*
 * proxy/capture/lookup.h - questions to the database that decoding raises now and then.
 *
 * Weight strings of text keys outside ASCII and engines of tables, over a connection that
 * is opened with the first question, answers kept in a bounded cache. One thread.
 */
#ifndef DIA_CAPTURE_LOOKUP_H
#define DIA_CAPTURE_LOOKUP_H

#include "proxy/config/config.h"
#include "proxy/core/buf.h"

struct dia_lookup;
DIA_MUST_CHECK enum dia_rc dia_lookup_new(
	const struct dia_config *config, struct dia_lookup **ret);
void dia_lookup_free(struct dia_lookup *l);

/* A dia_weigh_cb: append the weight string of text under the collation. DIA_E_DB_GONE and
 * the like when the database cannot be asked; the reason is logged. */
enum dia_rc dia_lookup_weigh(
	void *lookup, uint16_t collation, struct dia_slice text, struct dia_buf *out);

/* Whether the table's engine has transactions; false for a table that is gone. */
enum dia_rc dia_lookup_transactional(void *lookup, struct dia_slice db,
	struct dia_slice table, bool *ret, struct dia_err *reterr);

#endif /* DIA_CAPTURE_LOOKUP_H */
