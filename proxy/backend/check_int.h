/*
 * proxy/backend/check_int.h - the parts of the server check; internal to proxy/backend.
 */
#ifndef DIA_BACKEND_CHECK_INT_H
#define DIA_BACKEND_CHECK_INT_H

#include "proxy/backend/grants.h"
#include "proxy/backend/server_check.h"

struct dia_check {
	const struct dia_config *config;
	MYSQL *db;
	struct dia_findings *out;
	struct dia_err *reterr;
	struct dia_grants grants;
	uint32_t version; /* 101119 for 10.11.19; 0 when it is not MariaDB */
	MYSQL_RES *variables;
};

/* "10.11.19-MariaDB-log" to 101119; 0 for what is not MariaDB. */
uint32_t dia_check_version_number(const char *text);
/* A global variable's value; NULL when this version has none. */
const char *dia_check_variable(const struct dia_check *c, const char *name);
bool dia_check_is(const struct dia_check *c, const char *name, const char *value);
uint64_t dia_check_number(const struct dia_check *c, const char *name);

void dia_check_settings(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_auto_increment(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_binlog_filters(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_clock(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_read_grants(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_privileges(struct dia_check *c);
DIA_MUST_CHECK enum dia_rc dia_check_tables(struct dia_check *c);

#endif /* DIA_BACKEND_CHECK_INT_H */
