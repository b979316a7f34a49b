/*
 * proxy/capture/lookup.h - questions to the database that decoding raises now and then.
 *
 * Engines of tables, over a connection that is opened with the first question. One
 * thread.
 */
#ifndef DIA_CAPTURE_LOOKUP_H
#define DIA_CAPTURE_LOOKUP_H

#include "proxy/config/config.h"
#include "proxy/core/buf.h"

struct dia_lookup;
DIA_MUST_CHECK enum dia_rc dia_lookup_new(
	const struct dia_config *config, struct dia_lookup **ret);
void dia_lookup_free(struct dia_lookup *l);

/* Whether the table's engine has transactions; false for a table that is gone. */
enum dia_rc dia_lookup_transactional(void *lookup, struct dia_slice db,
	struct dia_slice table, bool *ret, struct dia_err *reterr);

#endif /* DIA_CAPTURE_LOOKUP_H */
