/* proxy/client/server.c - see server.h. */
#include "proxy/client/loop.h"

#include "proxy/core/log.h"

#include <stdlib.h>
#include <unistd.h>

enum { LOOPS_DEFAULT_MAX = 4, CONNECT_TIMEOUT_MS = 10000 };

static bool copy_text(struct dia_client_server *server, size_t at, const char **text)
{
	if (*text == NULL)
		return true;
	server->texts[at] = strdup(*text);
	*text = server->texts[at];
	return *text != NULL;
}

static unsigned default_loops(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (cores < 1)
		return 1;
	return cores > LOOPS_DEFAULT_MAX ? LOOPS_DEFAULT_MAX : (unsigned)cores;
}

static enum dia_rc addresses(struct dia_client_server *server, struct dia_err *reterr)
{
	const struct dia_client_config *c = &server->config;
	enum dia_rc rc =
		dia_sock_resolve(c->listen_host, c->listen_port, &server->listen, reterr);

	if (rc != DIA_OK)
		return dia_err_wrap(reterr, rc, "listen");
	server->backend.count = 1;
	if (c->backend_socket != NULL)
		rc = dia_sock_unix(c->backend_socket, &server->backend.at[0], reterr);
	else
		rc = dia_sock_resolve(
			c->backend_host, c->backend_port, &server->backend, reterr);
	server->backend_is_name =
		c->backend_socket == NULL && dia_sock_is_name(c->backend_host);
	for (unsigned i = 0; i < server->loop_count; i++)
		server->loops[i].backend = server->backend;
	return rc == DIA_OK ? rc : dia_err_wrap(reterr, rc, "database");
}

static void set_port(struct dia_sock_addr *addr, uint16_t port)
{
	uint8_t *at =
		(uint8_t *)&addr->at + 2; /* same place in IPv4 and IPv6 addresses */

	at[0] = (uint8_t)(port >> 8);
	at[1] = (uint8_t)port;
}

static enum dia_rc listen_all(struct dia_client_server *server, struct dia_err *reterr)
{
	for (unsigned i = 0; i < server->loop_count; i++) {
		enum dia_rc rc = dia_sock_listen(&server->listen.at[0], i == 0,
			&server->loops[i].listen_fd, reterr);

		if (rc != DIA_OK)
			return rc;
		if (i > 0)
			continue;
		server->port = dia_sock_port(server->loops[0].listen_fd);
		set_port(&server->listen.at[0], server->port);
	}
	return DIA_OK;
}

static struct dia_client_server *server_new(const struct dia_client_config *config)
{
	unsigned loops = config->loops == 0 ? default_loops() : config->loops;
	struct dia_client_server *server;

	if (loops > DIA_LOOPS_MAX)
		loops = DIA_LOOPS_MAX;
	server = calloc(1, sizeof(*server) + loops * sizeof(server->loops[0]));
	if (server == NULL)
		return NULL;
	server->config = *config;
	server->loop_count = loops;
	if (server->config.connect_timeout_ms == 0)
		server->config.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	for (unsigned i = 0; i < loops; i++) {
		server->loops[i].server = server;
		server->loops[i].listen_fd = -1;
	}
	return server;
}

static void order_all(struct dia_client_server *server, enum dia_loop_order order)
{
	for (unsigned i = 0; i < server->loop_count; i++)
		if (server->loops[i].started)
			dia_loop_order(&server->loops[i], order);
}

enum dia_rc dia_client_server_start(const struct dia_client_config *config,
	struct dia_client_server **ret, struct dia_err *reterr)
{
	struct dia_client_server *server = server_new(config);
	enum dia_rc rc = DIA_OK;

	if (server == NULL || !copy_text(server, 0, &server->config.listen_host) ||
		!copy_text(server, 1, &server->config.backend_socket) ||
		!copy_text(server, 2, &server->config.backend_host)) {
		dia_client_server_close(server);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "client side: out of memory");
	}
	rc = addresses(server, reterr);
	if (rc == DIA_OK)
		rc = listen_all(server, reterr);
	for (unsigned i = 0; rc == DIA_OK && i < server->loop_count; i++)
		rc = dia_loop_start(&server->loops[i], reterr);
	if (rc != DIA_OK) {
		dia_client_server_close(server);
		return rc;
	}
	dia_log(DIA_LOG_INFO, "client", "listening",
		"address=%s port=%u database=%s loops=%u", server->config.listen_host,
		(unsigned)server->port, server->backend.at[0].text, server->loop_count);
	*ret = server;
	return DIA_OK;
}

uint16_t dia_client_server_port(const struct dia_client_server *server)
{
	return server->port;
}

void dia_client_server_begin_drain(struct dia_client_server *server)
{
	order_all(server, DIA_LOOP_DRAIN);
}

void dia_client_server_close(struct dia_client_server *server)
{
	if (server == NULL)
		return;
	order_all(server, DIA_LOOP_CLOSE);
	for (unsigned i = 0; i < server->loop_count; i++) {
		struct dia_loop *loop = &server->loops[i];

		if (loop->started)
			dia_loop_join(loop);
		else if (loop->listen_fd >= 0)
			(void)close(loop->listen_fd);
	}
	for (size_t i = 0; i < sizeof(server->texts) / sizeof(server->texts[0]); i++)
		free(server->texts[i]);
	free(server);
}

void dia_client_server_stats(
	const struct dia_client_server *server, struct dia_client_stats *ret)
{
	uint64_t sum[DIA_COUNT_END] = {0};

	for (unsigned i = 0; i < server->loop_count; i++)
		for (size_t c = 0; c < DIA_COUNT_END; c++)
			sum[c] += atomic_load_explicit(
				&server->loops[i].counters[c], memory_order_relaxed);
	*ret = (struct dia_client_stats){
		.sessions = sum[DIA_COUNT_SESSIONS],
		.sessions_total = sum[DIA_COUNT_SESSIONS_TOTAL],
		.sessions_refused = sum[DIA_COUNT_SESSIONS_REFUSED],
		.commands = sum[DIA_COUNT_COMMANDS],
		.bytes_from_clients = sum[DIA_COUNT_CLIENT_BYTES],
		.bytes_from_database = sum[DIA_COUNT_BACKEND_BYTES],
		.statements_refused = sum[DIA_COUNT_REFUSED],
		.console_queries = sum[DIA_COUNT_CONSOLE],
		.connect_failures = sum[DIA_COUNT_CONNECT_FAILURES],
		.backend_lost = sum[DIA_COUNT_BACKEND_LOST],
		.protocol_errors = sum[DIA_COUNT_PROTOCOL_ERRORS],
	};
}
