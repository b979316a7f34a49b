/*
 * proxy/client/loop.h - one thread of the client side (internal to proxy/client).
 */
#ifndef DIA_CLIENT_LOOP_H
#define DIA_CLIENT_LOOP_H

#include "proxy/client/server.h"
#include "proxy/net/sock.h"

#include <stdatomic.h>
#include <uv.h>

enum {
	DIA_LOOP_BUFFER = 64 * 1024, /* one read; shared by all sessions of the loop */
	DIA_LOOPS_MAX = 64,
};

enum dia_loop_order {
	DIA_LOOP_RUN = 0,
	DIA_LOOP_DRAIN,
	DIA_LOOP_CLOSE,
};

/* Written by the loop's thread alone, read by any. */
enum dia_counter {
	DIA_COUNT_SESSIONS = 0,
	DIA_COUNT_SESSIONS_TOTAL,
	DIA_COUNT_SESSIONS_REFUSED,
	DIA_COUNT_COMMANDS,
	DIA_COUNT_CLIENT_BYTES,
	DIA_COUNT_BACKEND_BYTES,
	DIA_COUNT_REFUSED,
	DIA_COUNT_CONSOLE,
	DIA_COUNT_CONNECT_FAILURES,
	DIA_COUNT_BACKEND_LOST,
	DIA_COUNT_PROTOCOL_ERRORS,
	DIA_COUNT_END,
};

struct dia_session;

struct dia_loop {
	struct dia_client_server *server;
	uv_loop_t uv;
	uv_thread_t thread;
	uv_async_t wake;
	uv_poll_t listener;
	uv_timer_t tick;
	int listen_fd; /* -1 when not listening */
	bool started;
	bool listening; /* the poll handle is initialised */
	bool ticking;
	bool accept_paused;        /* out of descriptors; the next tick tries again */
	enum dia_loop_order order; /* carried out so far */
	atomic_int ordered;
	struct dia_session *sessions;
	struct dia_sock_list backend; /* this loop's copy: looked up again on failures */
	unsigned backend_at;          /* the address that is tried first */
	bool resolving;
	uint64_t resolved_us;
	uv_getaddrinfo_t resolver;
	uint64_t failure_logged_us; /* rate limit of the "database unreachable" line */
	uint32_t failures_unlogged;
	uint8_t *buffer;
	atomic_uint_fast64_t counters[DIA_COUNT_END];
};

struct dia_client_server {
	struct dia_client_config config; /* strings owned by texts */
	char *texts[3];
	struct dia_sock_list listen, backend;
	bool backend_is_name;
	uint16_t port;
	unsigned loop_count;
	atomic_uint sessions; /* all loops: for max_connections only */
	struct dia_loop loops[];
};

static inline void dia_count(struct dia_loop *loop, enum dia_counter which, uint64_t n)
{
	uint_fast64_t old =
		atomic_load_explicit(&loop->counters[which], memory_order_relaxed);

	/* One writer: a plain store, no locked instruction. */
	atomic_store_explicit(&loop->counters[which], old + n, memory_order_relaxed);
}

static inline uint64_t dia_loop_now_us(const struct dia_loop *loop)
{
	return dia_clock_mono_us(&loop->server->config.clock);
}

/* Have dia_session_tick called for every session until none has a deadline. */
void dia_loop_need_tick(struct dia_loop *loop);
/* The database was not reached: its name may stand for another address by now. */
void dia_loop_resolve(struct dia_loop *loop);
/* Init and run; loop->thread is joined by dia_loop_join. */
DIA_MUST_CHECK enum dia_rc dia_loop_start(struct dia_loop *loop, struct dia_err *reterr);
void dia_loop_order(struct dia_loop *loop, enum dia_loop_order order);
void dia_loop_join(struct dia_loop *loop);

#endif /* DIA_CLIENT_LOOP_H */
