/*
 * proxy/backend/schema.h - diarchy's own tables in the database.
 */
#ifndef DIA_BACKEND_SCHEMA_H
#define DIA_BACKEND_SCHEMA_H

#include "proxy/backend/mariadb.h"

enum { DIA_SCHEMA_VERSION = 1 };

/* When diarchy.meta has another dc_id than the configuration. */
#define DIA_SCHEMA_FOREIGN_REMEDY                                                  \
	"restore a backup that was taken in this datacenter, or correct dc.id or " \
	"database in the configuration; to start this datacenter as a copy of "    \
	"that one, run DROP DATABASE diarchy; on this server and start diarchy "   \
	"with an empty state_dir"

/*
 * Make the schema `diarchy` and its tables where they are missing, and arrange
 * auto_increment_increment and _offset when the account may (SUPER). Writes nothing when
 * all is in place, so a restart leaves no trace in the binlog; what it writes is marked
 * as bookkeeping and is not shipped. DIA_E_STATE when the tables are of a newer diarchy,
 * or of another datacenter's: its marks in diarchy.applied say what that one has, and its
 * row in diarchy.meta (dc_id, written here) tells them apart. Capture's row there,
 * incarnation, does the same for state_dir.
 */
DIA_MUST_CHECK enum dia_rc dia_server_prepare(
	const struct dia_config *config, struct dia_err *reterr);

/* What auto_increment_increment must be: the highest configured DC id, at least 2. */
uint32_t dia_server_increment(const struct dia_config *config);

#endif /* DIA_BACKEND_SCHEMA_H */
