/*
 * proxy/backend/grants.h - what an account may do, read from SHOW GRANTS.
 *
 * Knows the privileges that diarchy asks for, on all databases or on one; grants on
 * single tables and columns are left out, since they do not suffice for replication.
 */
#ifndef DIA_BACKEND_GRANTS_H
#define DIA_BACKEND_GRANTS_H

#include "proxy/core/slice.h"

/* X(name, text in GRANT) */
#define DIA_GRANT_LIST(X)                                     \
	X(SELECT, "SELECT")                                   \
	X(INSERT, "INSERT")                                   \
	X(UPDATE, "UPDATE")                                   \
	X(DELETE, "DELETE")                                   \
	X(CREATE, "CREATE")                                   \
	X(DROP, "DROP")                                       \
	X(ALTER, "ALTER")                                     \
	X(INDEX, "INDEX")                                     \
	X(REFERENCES, "REFERENCES")                           \
	X(EXECUTE, "EXECUTE")                                 \
	X(CREATE_VIEW, "CREATE VIEW")                         \
	X(SHOW_VIEW, "SHOW VIEW")                             \
	X(CREATE_ROUTINE, "CREATE ROUTINE")                   \
	X(ALTER_ROUTINE, "ALTER ROUTINE")                     \
	X(TRIGGER, "TRIGGER")                                 \
	X(EVENT, "EVENT")                                     \
	X(CREATE_USER, "CREATE USER")                         \
	X(GRANT_OPTION, "GRANT OPTION")                       \
	X(REPLICATION_SLAVE, "REPLICATION SLAVE")             \
	X(REPLICATION_SLAVE_ADMIN, "REPLICATION SLAVE ADMIN") \
	X(BINLOG_MONITOR, "BINLOG MONITOR")                   \
	X(BINLOG_REPLAY, "BINLOG REPLAY")                     \
	X(BINLOG_ADMIN, "BINLOG ADMIN")                       \
	X(SET_USER, "SET USER")                               \
	X(READ_ONLY_ADMIN, "READ_ONLY ADMIN")                 \
	X(SUPER, "SUPER")

enum dia_grant {
#define DIA_GRANT_ENUM(name, text) DIA_GRANT_##name,
	DIA_GRANT_LIST(DIA_GRANT_ENUM)
#undef DIA_GRANT_ENUM
};
#define DIA_GRANT_BIT(g) (UINT64_C(1) << (g))

enum { DIA_GRANT_DBS_MAX = 256, DIA_GRANT_DB_BYTES = 64 * 4 * 2 + 1 };

struct dia_grants {
	uint64_t global;
	size_t db_count;
	struct {
		char pattern[DIA_GRANT_DB_BYTES]; /* as in GRANT: % and _ are wildcards */
		uint64_t mask;
	} db[DIA_GRANT_DBS_MAX];
};

/* One line of SHOW GRANTS; lines about roles, proxies, tables and routines add nothing.
 */
void dia_grants_add_line(struct dia_grants *g, const char *line);
/* What SUPER brings on a server of this version (101119 is 10.11.19). */
void dia_grants_imply_super(struct dia_grants *g, uint32_t version);
/* Privileges of `mask` that are missing; db NULL: on all databases. */
uint64_t dia_grants_missing(const struct dia_grants *g, const char *db, uint64_t mask);
/* "SELECT, INSERT" into out, always terminated. */
const char *dia_grants_text(uint64_t mask, char *out, size_t cap);

#endif /* DIA_BACKEND_GRANTS_H */
