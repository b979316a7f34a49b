/*
 * proxy/backend/backend.h - what a database must offer to stand behind diarchy.
 *
 * The seam for a second database. It is small on purpose: capture and apply speak their
 * database's own replication language and have their own seams (struct dia_apply_ops and
 * the capture's reader); here is what the program asks of a server as such.
 */
#ifndef DIA_BACKEND_BACKEND_H
#define DIA_BACKEND_BACKEND_H

#include "proxy/backend/findings.h"
#include "proxy/config/config.h"

struct dia_backend_ops {
	const char *name;
	/* Is the server fit, and what must be done? Reads only; see server_check.h. */
	enum dia_rc (*check)(const struct dia_config *config, struct dia_findings *ret,
		struct dia_err *reterr);
	/* Make what diarchy keeps in the database; repeating changes nothing; see
	 * schema.h. */
	enum dia_rc (*prepare)(const struct dia_config *config, struct dia_err *reterr);
	/* A connection for diarchy's own queries, as an opaque handle. DIA_E_DB_GONE when
	 * nobody answers. */
	enum dia_rc (*connect)(
		const struct dia_config *config, void **ret, struct dia_err *reterr);
	/* Run one statement; `row` (may be NULL) is called per row with borrowed values,
	 * data == NULL for SQL NULL, and ends the query early by returning anything but
	 * DIA_OK. */
	enum dia_rc (*query)(void *conn, struct dia_slice sql,
		enum dia_rc (*row)(
			void *ctx, const struct dia_slice *values, size_t count),
		void *ctx, struct dia_err *reterr);
	void (*close)(void *conn); /* NULL is fine */
};

extern const struct dia_backend_ops dia_backend_mariadb;

#endif /* DIA_BACKEND_BACKEND_H */
