/*
 * proxy/backend/server_check.h - is this server fit for replication, and what must be
 * done?
 *
 * Reads only. Everything it looks at can be read by an account with any privileges at
 * all; what the account cannot see is itself a finding. `run` prepares (schema.h), then
 * checks, and does not start when something is fatal.
 */
#ifndef DIA_BACKEND_SERVER_CHECK_H
#define DIA_BACKEND_SERVER_CHECK_H

#include "proxy/backend/findings.h"
#include "proxy/backend/mariadb.h"

/*
 * Connect and look at settings, privileges and tables. That the server cannot be reached
 * is a fatal finding, not an error; errors are out of memory and a connection lost
 * midway. The configuration's warnings become findings too.
 */
DIA_MUST_CHECK enum dia_rc dia_server_check(const struct dia_config *config,
	struct dia_findings *ret, struct dia_err *reterr);

#endif /* DIA_BACKEND_SERVER_CHECK_H */
