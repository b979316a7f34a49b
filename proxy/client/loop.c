/* proxy/client/loop.c - see loop.h. */
#include "proxy/client/session.h"

#include "proxy/core/log.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACCEPT_BURST = 64, RESOLVE_EVERY_US = 1000000 };

static void on_listen(uv_poll_t *handle, int status, int events);

static void on_tick(uv_timer_t *timer)
{
	struct dia_loop *loop = timer->data;
	uint64_t now = dia_loop_now_us(loop);
	struct dia_session *next;
	bool more = false;

	if (loop->accept_paused && loop->listening) {
		loop->accept_paused = false;
		(void)uv_poll_start(&loop->listener, UV_READABLE, on_listen);
	}
	for (struct dia_session *s = loop->sessions; s != NULL; s = next) {
		next = s->next; /* freed in close callbacks, never inside a tick */
		dia_session_tick(s, now);
	}
	for (struct dia_session *s = loop->sessions; s != NULL && !more; s = s->next)
		more = s->deadline_us != 0;
	if (!more && !loop->accept_paused) {
		loop->ticking = false;
		(void)uv_timer_stop(&loop->tick);
	}
}

void dia_loop_need_tick(struct dia_loop *loop)
{
	if (loop->ticking || loop->order == DIA_LOOP_CLOSE)
		return;
	loop->ticking = true;
	(void)uv_timer_start(&loop->tick, on_tick, DIA_TICK_MS, DIA_TICK_MS);
}

static void on_listen(uv_poll_t *handle, int status, int events)
{
	struct dia_loop *loop = handle->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(
			loop->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			dia_session_accept(loop, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK && !loop->accept_paused) {
			/* Out of descriptors or memory: the socket stays readable, so
			 * waiting for it would spin. */
			dia_log(DIA_LOG_ERROR, "client", "accept_failed",
				"error=\"%s\" remedy=\"raise LimitNOFILE / ulimit -n\"",
				strerror(errno));
			loop->accept_paused = true;
			(void)uv_poll_stop(&loop->listener);
			dia_loop_need_tick(loop);
		}
		return;
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *answer)
{
	struct dia_loop *loop = req->data;
	const struct dia_client_config *config = &loop->server->config;

	loop->resolving = false;
	if (status == 0 && dia_sock_list_fill(answer, config->backend_host,
				   config->backend_port, &loop->backend))
		loop->backend_at = 0;
	uv_freeaddrinfo(answer);
}

void dia_loop_resolve(struct dia_loop *loop)
{
	const struct dia_client_config *config = &loop->server->config;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	uint64_t now = dia_loop_now_us(loop);
	char service[8];

	if (!loop->server->backend_is_name || loop->resolving ||
		loop->order == DIA_LOOP_CLOSE ||
		(loop->resolved_us != 0 && now - loop->resolved_us < RESOLVE_EVERY_US))
		return;
	loop->resolved_us = now;
	loop->resolver.data = loop;
	(void)snprintf(service, sizeof(service), "%u", (unsigned)config->backend_port);
	loop->resolving = uv_getaddrinfo(&loop->uv, &loop->resolver, on_resolved,
				  config->backend_host, service, &hints) == 0;
}

static void listener_close(struct dia_loop *loop)
{
	if (!loop->listening)
		return;
	loop->listening = false;
	uv_close((uv_handle_t *)&loop->listener, NULL);
	(void)close(loop->listen_fd);
	loop->listen_fd = -1;
}

static void carry_out(struct dia_loop *loop, enum dia_loop_order order)
{
	struct dia_session *next;

	loop->order = order;
	listener_close(loop);
	for (struct dia_session *s = loop->sessions; s != NULL; s = next) {
		next = s->next;
		if (order == DIA_LOOP_CLOSE)
			dia_session_close(s, "shutdown");
		else
			dia_session_drain(s);
	}
	if (order == DIA_LOOP_CLOSE) {
		if (loop->resolving)
			(void)uv_cancel((uv_req_t *)&loop->resolver);
		uv_close((uv_handle_t *)&loop->tick, NULL);
		uv_close((uv_handle_t *)&loop->wake, NULL);
	}
}

static void on_wake(uv_async_t *wake)
{
	struct dia_loop *loop = wake->data;
	enum dia_loop_order order = (enum dia_loop_order)atomic_load_explicit(
		&loop->ordered, memory_order_acquire);

	if (order > loop->order)
		carry_out(loop, order);
}

static void run(void *arg)
{
	struct dia_loop *loop = arg;

	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* Undo a start that got as far as uv_loop_init. */
static void start_undo(struct dia_loop *loop)
{
	listener_close(loop);
	uv_close((uv_handle_t *)&loop->tick, NULL);
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop->uv);
	free(loop->buffer);
	loop->buffer = NULL;
}

enum dia_rc dia_loop_start(struct dia_loop *loop, struct dia_err *reterr)
{
	int rc = uv_loop_init(&loop->uv);

	if (rc != 0)
		return dia_err_set(
			reterr, DIA_E_IO, -rc, "event loop: %s", uv_strerror(rc));
	(void)uv_timer_init(&loop->uv, &loop->tick);
	loop->wake.data = loop->tick.data = loop->listener.data = loop;
	loop->buffer = malloc(DIA_LOOP_BUFFER);
	if (loop->buffer == NULL) {
		start_undo(loop);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "event loop: out of memory");
	}
	rc = uv_poll_init(&loop->uv, &loop->listener, loop->listen_fd);
	if (rc == 0) {
		loop->listening = true;
		rc = uv_poll_start(&loop->listener, UV_READABLE, on_listen);
	}
	if (rc == 0)
		rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
	if (rc == 0) {
		rc = uv_thread_create(&loop->thread, run, loop);
		if (rc != 0)
			uv_close((uv_handle_t *)&loop->wake, NULL);
	}
	if (rc != 0) {
		start_undo(loop);
		return dia_err_set(
			reterr, DIA_E_IO, -rc, "event loop: %s", uv_strerror(rc));
	}
	loop->started = true;
	return DIA_OK;
}

void dia_loop_order(struct dia_loop *loop, enum dia_loop_order order)
{
	atomic_store_explicit(&loop->ordered, (int)order, memory_order_release);
	(void)uv_async_send(&loop->wake);
}

void dia_loop_join(struct dia_loop *loop)
{
	(void)uv_thread_join(&loop->thread);
	(void)uv_loop_close(&loop->uv);
	free(loop->buffer);
	loop->buffer = NULL;
	loop->started = false;
}
