/*
 * tests/lib/relay_only.c - the client side of diarchy alone, for its tests and benches:
 *
 *   relay_only LISTEN_PORT (HOST:PORT | /SOCKET) [loops] [max_connections] [connect_ms]
 *
 * Prints "port N" when it listens. SIGTERM or SIGINT drains, a second one ends at once;
 * SIGUSR1 prints the counters.
 */
#include "proxy/client/server.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum dia_rc console(void *ctx, enum dia_guard_kind what,
	struct dia_console_result *res, struct dia_err *reterr)
{
	const char *values[] = {"kind", NULL, ""};
	struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	char kind[16];

	(void)ctx;
	if (what == DIA_GUARD_SHOW_POLICIES)
		return dia_err_set(reterr, DIA_E_STATE, 0, "no policies in relay_only");
	/* Long enough that pipelined commands must wait for it. */
	(void)nanosleep(&pause, NULL);
	dia_console_add_column(res, "name");
	dia_console_add_column(res, "nothing");
	dia_console_add_column(res, "empty");
	(void)snprintf(kind, sizeof(kind), "%d", (int)what);
	dia_console_add_texts(res, values);
	values[0] = kind;
	return dia_console_add_texts(res, values);
}

static void print_stats(const struct dia_client_server *server)
{
	struct dia_client_stats st;

	dia_client_server_stats(server, &st);
	printf("stats sessions=%" PRIu64 " total=%" PRIu64 " refused=%" PRIu64
	       " commands=%" PRIu64 " up=%" PRIu64 " down=%" PRIu64
	       " statements_refused=%" PRIu64 " console=%" PRIu64
	       " connect_failures=%" PRIu64 " backend_lost=%" PRIu64
	       " protocol_errors=%" PRIu64 "\n",
		st.sessions, st.sessions_total, st.sessions_refused, st.commands,
		st.bytes_from_clients, st.bytes_from_database, st.statements_refused,
		st.console_queries, st.connect_failures, st.backend_lost,
		st.protocol_errors);
	(void)fflush(stdout);
}

static bool drained(const struct dia_client_server *server)
{
	struct dia_client_stats st;

	dia_client_server_stats(server, &st);
	return st.sessions == 0;
}

int main(int argc, char **argv)
{
	struct dia_client_config config = {.listen_host = "127.0.0.1",
		.console = console,
		.clock = dia_clock_system()};
	struct dia_client_server *server = NULL;
	struct dia_err err = {.rc = DIA_OK};
	struct timespec wait = {.tv_nsec = 50 * 1000 * 1000};
	char *colon;
	sigset_t set;
	int sig;

	if (argc < 3) {
		(void)fprintf(stderr,
			"usage: relay_only PORT HOST:PORT|/SOCKET [loops] [max] [ms]\n");
		return 2;
	}
	if (getenv("DIA_LOG") != NULL) {
		enum dia_log_level level = DIA_LOG_INFO;

		if (dia_log_level_parse(getenv("DIA_LOG"), &level) == DIA_OK)
			dia_log_configure(level, -1);
	}
	config.listen_port = (uint16_t)strtoul(argv[1], NULL, 10);
	colon = strrchr(argv[2], ':');
	if (argv[2][0] == '/') {
		config.backend_socket = argv[2];
	} else if (colon != NULL) {
		*colon = 0;
		config.backend_host = argv[2];
		config.backend_port = (uint16_t)strtoul(colon + 1, NULL, 10);
	}
	config.loops = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	config.max_connections = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
	config.connect_timeout_ms = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (dia_client_server_start(&config, &server, &err) != DIA_OK) {
		(void)fprintf(stderr, "relay_only: %s\n", err.text);
		return 1;
	}
	printf("port %u\n", (unsigned)dia_client_server_port(server));
	(void)fflush(stdout);
	while (sigwait(&set, &sig) == 0 && sig == SIGUSR1)
		print_stats(server);
	dia_client_server_begin_drain(server);
	while (!drained(server)) {
		if (sigtimedwait(&set, NULL, &wait) > 0)
			break;
	}
	print_stats(server);
	dia_client_server_close(server);
	return 0;
}
