/*
 * proxy/client/server.h - the listening side: clients in, one database connection for
 * each.
 *
 * Runs its own threads: N libuv loops, each with its own listening socket on the same
 * port (SO_REUSEPORT). A client session and its database connection live on one loop and
 * share nothing with other loops. All functions here may be called from any thread, one
 * at a time; stats at any time.
 */
#ifndef DIA_CLIENT_SERVER_H
#define DIA_CLIENT_SERVER_H

#include "proxy/client/console.h"
#include "proxy/core/clock.h"

struct dia_client_server;

struct dia_client_config {
	const char *listen_host;
	uint16_t listen_port;       /* 0: any free one, see dia_client_server_port */
	unsigned loops;             /* 0: as many as cores, at most 4 */
	const char *backend_socket; /* the database's unix socket; NULL: TCP */
	const char *backend_host;
	uint16_t backend_port;
	uint32_t connect_timeout_ms; /* until the database's greeting is here; 0: 10 s */
	uint32_t max_connections;    /* 0: no limit but the process's */
	dia_console_cb console;      /* NULL: SHOW DIARCHY says it is not available */
	void *console_ctx;
	struct dia_clock clock;
};

/* Bind, start the loops. Strings are copied; the name of the database's host is looked up
 * here. */
DIA_MUST_CHECK enum dia_rc dia_client_server_start(const struct dia_client_config *config,
	struct dia_client_server **ret, struct dia_err *reterr);
uint16_t dia_client_server_port(const struct dia_client_server *server);
/* Take no new clients; end each session when it has no command running and no transaction
 * open. Wait for stats.sessions == 0. */
void dia_client_server_begin_drain(struct dia_client_server *server);
/* End all sessions now, stop the loops, free the server. NULL is fine. Waits for a
 * console callback that is running. */
void dia_client_server_close(struct dia_client_server *server);

struct dia_client_stats {
	uint64_t sessions; /* now */
	uint64_t sessions_total;
	uint64_t sessions_refused; /* by max_connections */
	uint64_t commands;
	uint64_t bytes_from_clients;
	uint64_t bytes_from_database;
	uint64_t statements_refused; /* by the guard */
	uint64_t console_queries;
	uint64_t connect_failures; /* database not reached */
	uint64_t backend_lost;     /* database connection ended during a command */
	uint64_t protocol_errors;
};

void dia_client_server_stats(
	const struct dia_client_server *server, struct dia_client_stats *ret);

#endif /* DIA_CLIENT_SERVER_H */
