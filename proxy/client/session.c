/* proxy/client/session.c - see session.h: life of a session, its events. */
#include "proxy/client/session.h"

#include "parser/wire/reply.h"
#include "proxy/core/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ER_TOO_MANY_CONNECTIONS = 1040,
	ER_CONNECTION_KILLED = 1927,
	STASH_READ = 16 * 1024,
	FLUSH_MS = 60 * 1000, /* for a client to read what is queued at the end */
};

static void on_event(uv_poll_t *handle, int status, int events);

void dia_session_set_state(struct dia_session *s, enum dia_session_state to)
{
	/* Forward only; every state may go to ENDING or CLOSED. */
	assert(to > s->state);
	s->state = to;
}

void dia_session_release(struct dia_session *s)
{
	struct dia_loop *loop = s->loop;

	if (--s->handles > 0 || s->state != DIA_SESSION_CLOSED)
		return;
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		loop->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	dia_local_free_all(s);
	dia_buf_fini(&s->up.stash);
	dia_buf_fini(&s->down_stash);
	atomic_fetch_sub_explicit(&loop->server->sessions, 1, memory_order_relaxed);
	dia_count(loop, DIA_COUNT_SESSIONS, (uint64_t)-1);
	free(s);
}

static void on_closed(uv_handle_t *handle)
{
	dia_session_release(handle->data);
}

void dia_session_close(struct dia_session *s, const char *why)
{
	if (s->state == DIA_SESSION_CLOSED)
		return;
	if (dia_log_enabled(DIA_LOG_DEBUG))
		dia_log(DIA_LOG_DEBUG, "client", "session_closed",
			"conn=%u ms=%llu why=\"%s\"", (unsigned)s->connection_id,
			(unsigned long long)(dia_loop_now_us(s->loop) - s->opened_us) /
				1000,
			why);
	s->state = DIA_SESSION_CLOSED;
	s->deadline_us = 0;
	/* One more, so that the last of these cannot free s under our feet. */
	s->handles++;
	if (dia_end_is_open(&s->backend))
		dia_end_close(&s->backend, on_closed);
	if (dia_end_is_open(&s->client))
		dia_end_close(&s->client, on_closed);
	dia_session_release(s);
}

static void set_deadline(struct dia_session *s, uint64_t ms)
{
	s->deadline_us = dia_loop_now_us(s->loop) + ms * 1000;
	dia_loop_need_tick(s->loop);
}

void dia_session_end(struct dia_session *s, const char *why)
{
	if (s->state >= DIA_SESSION_ENDING)
		return;
	if (s->client.eof || s->client.broken ||
		(s->quit && dia_end_queued(&s->client) == 0)) {
		dia_session_close(s, why);
		return;
	}
	if (dia_log_enabled(DIA_LOG_DEBUG))
		dia_log(DIA_LOG_DEBUG, "client", "session_ends", "conn=%u why=\"%s\"",
			(unsigned)s->connection_id, why);
	dia_session_set_state(s, DIA_SESSION_ENDING);
	if (dia_end_is_open(&s->backend))
		dia_end_close(&s->backend, on_closed);
	dia_end_finish(&s->client);
	set_deadline(s, s->client.shut ? DIA_LINGER_MS : FLUSH_MS);
}

void dia_session_end_err(struct dia_session *s, uint8_t seq, uint16_t code,
	const char *sqlstate, const char *text, const char *why)
{
	struct dia_buf out = {0};

	/* With SQLSTATE even before the login: servers leave it out there, but clients
	 * look for the '#', and PyMySQL cuts six characters off without looking. */
	if (dia_reply_err(&out, &seq, DIA_CAP_PROTOCOL_41, code, sqlstate, text) ==
			DIA_OK &&
		dia_end_send(&s->client, out.data, out.len) != DIA_OK)
		s->doomed = true;
	dia_buf_fini(&out);
	dia_session_end(s, why);
}

/* Read into the stash when it holds something, else into the loop's buffer. */
static void client_readable(struct dia_session *s)
{
	struct dia_buf *stash = &s->up.stash;
	size_t n, taken, want;

	if (stash->len == 0) {
		n = dia_end_read(&s->client, s->loop->buffer, DIA_LOOP_BUFFER);
		if (n == 0)
			return;
		dia_count(s->loop, DIA_COUNT_CLIENT_BYTES, n);
		taken = dia_upstream_take(s, s->loop->buffer, n);
		if (taken < n && s->state < DIA_SESSION_ENDING &&
			dia_buf_add(stash, s->loop->buffer + taken, n - taken) != DIA_OK)
			s->doomed = true;
		return;
	}
	want = s->up.need > stash->len + STASH_READ ? s->up.need - stash->len
						    : STASH_READ;
	if (dia_buf_reserve(stash, want) != DIA_OK) {
		s->doomed = true;
		return;
	}
	n = dia_end_read(&s->client, stash->data + stash->len, want);
	stash->len += n;
	dia_count(s->loop, DIA_COUNT_CLIENT_BYTES, n);
	if (n > 0 && stash->len >= s->up.need)
		dia_upstream_take_stash(s);
}

static void backend_readable(struct dia_session *s)
{
	uint8_t *buffer = s->loop->buffer;
	size_t n = dia_end_read(&s->backend, buffer, DIA_LOOP_BUFFER);
	size_t taken;

	if (n == 0)
		return;
	dia_count(s->loop, DIA_COUNT_BACKEND_BYTES, n);
	if (s->down_stash.len > 0) {
		/* Only a greeting is collected while reading goes on. */
		if (dia_buf_add(&s->down_stash, buffer, n) != DIA_OK)
			s->doomed = true;
		return;
	}
	taken = dia_downstream_take(s, buffer, n);
	if (taken < n && s->state < DIA_SESSION_ENDING &&
		dia_buf_add(&s->down_stash, buffer + taken, n - taken) != DIA_OK)
		s->doomed = true;
}

/* Replies that waited for a console query, or the rest of a greeting. */
static bool take_down_stash(struct dia_session *s)
{
	size_t n;

	if (s->down_stash.len == 0 || dia_console_waits(s) ||
		dia_end_queued(&s->client) > 0)
		return false;
	n = dia_downstream_take(s, s->down_stash.data, s->down_stash.len);
	dia_buf_consume(&s->down_stash, n);
	if (s->down_stash.len == 0)
		dia_buf_fini(&s->down_stash);
	return n > 0;
}

static bool take_up_stash(struct dia_session *s)
{
	size_t before = s->up.stash.len;

	if (!s->up.blocked || !dia_upstream_ready(s))
		return false;
	s->up.blocked = false;
	if (before > 0)
		dia_upstream_take_stash(s);
	return s->up.stash.len < before;
}

/* The client has closed its side. What it sent before is still carried out and answered,
 * as it would be by the database itself. */
static void client_ended(struct dia_session *s)
{
	if (s->state < DIA_SESSION_COMMAND) {
		dia_session_close(s, "client left before the login was complete");
		return;
	}
	if (s->up.blocked && s->up.stash.len > 0)
		return;
	if (s->pending_count == 0 && dia_end_queued(&s->backend) == 0)
		dia_session_close(s, s->quit ? "quit" : "client closed");
	else
		dia_end_finish(&s->backend);
}

static void backend_ended(struct dia_session *s)
{
	char text[DIA_ERR_TEXT_MAX];
	uint8_t seq;

	if (dia_console_waits(s))
		return;
	if (s->state == DIA_SESSION_GREETING) {
		dia_connect_failed(
			s, ECONNRESET, "it closed the connection before its greeting");
		return;
	}
	if (s->pending_count == 0 || s->quit) {
		dia_session_end(s, "closed by the database");
		return;
	}
	dia_count(s->loop, DIA_COUNT_BACKEND_LOST, 1);
	if (!dia_response_at_boundary(&s->response)) {
		dia_session_end(s, "database connection lost in the middle of a packet");
		return;
	}
	seq = s->response.fresh ? dia_pending_head(s)->seq
				: (uint8_t)(s->response.seq + 1);
	(void)snprintf(text, sizeof(text),
		"Lost connection to the database behind diarchy (%s) during the command; "
		"whether "
		"it was carried out is not known",
		s->loop->server->backend.at[0].text);
	dia_session_end_err(
		s, seq, ER_CONNECTION_KILLED, "08S01", text, "database connection lost");
}

void dia_session_drain(struct dia_session *s)
{
	if (s->state == DIA_SESSION_COMMAND && s->pending_count == 0 &&
		s->up.stash.len == 0 && s->up.left == 0 && !s->up.continues &&
		!s->up.raw && dia_end_queued(&s->client) == 0 &&
		dia_end_queued(&s->backend) == 0 &&
		(s->response.status & DIA_STATUS_IN_TRANS) == 0)
		dia_session_close(s, "draining");
}

static void settle_ending(struct dia_session *s)
{
	if (s->client.eof || s->client.broken) {
		dia_session_close(s, "ended");
		return;
	}
	if (s->client.shut && s->client.finish) {
		s->client.finish = false;
		set_deadline(s, DIA_LINGER_MS);
	}
	dia_end_arm(&s->client, true, on_event);
}

static void arm(struct dia_session *s)
{
	bool up, down;

	/* A side is read while what it sends can go on; before the login, to see it
	 * leave. */
	up = !s->client.eof && !s->up.blocked && dia_end_queued(&s->backend) == 0 &&
	     dia_end_queued(&s->client) < DIA_LOOP_BUFFER;
	down = s->state >= DIA_SESSION_GREETING && !s->backend.eof &&
	       dia_end_queued(&s->client) == 0 &&
	       (s->down_stash.len == 0 || s->state == DIA_SESSION_GREETING);
	dia_end_arm(&s->client, up, on_event);
	if (dia_end_is_open(&s->backend))
		dia_end_arm(&s->backend, down, on_event);
}

void dia_session_settle(struct dia_session *s)
{
	while (s->state < DIA_SESSION_ENDING && !s->doomed &&
		(take_down_stash(s) || take_up_stash(s))) {
	}
	if (s->doomed)
		dia_session_close(s, "out of memory or out of step");
	if (s->state < DIA_SESSION_ENDING && s->client.broken)
		dia_session_close(s, "client gone");
	if (s->state < DIA_SESSION_ENDING && s->backend.eof)
		backend_ended(s);
	if (s->state < DIA_SESSION_ENDING && s->client.eof)
		client_ended(s);
	if (s->state < DIA_SESSION_ENDING && s->loop->order == DIA_LOOP_DRAIN)
		dia_session_drain(s);
	if (s->state < DIA_SESSION_ENDING)
		arm(s);
	else if (s->state == DIA_SESSION_ENDING)
		settle_ending(s);
}

static void client_event(struct dia_session *s, int events)
{
	if ((events & UV_WRITABLE) != 0)
		dia_end_flush(&s->client);
	if ((events & UV_READABLE) == 0)
		return;
	if (s->state == DIA_SESSION_ENDING)
		(void)dia_end_read(&s->client, s->loop->buffer, DIA_LOOP_BUFFER);
	else
		client_readable(s);
}

static void backend_event(struct dia_session *s, int events)
{
	if (s->state == DIA_SESSION_CONNECTING) {
		dia_connect_made(s);
		return;
	}
	if ((events & UV_WRITABLE) != 0)
		dia_end_flush(&s->backend);
	if ((events & UV_READABLE) != 0)
		backend_readable(s);
}

static void on_event(uv_poll_t *handle, int status, int events)
{
	struct dia_session *s = handle->data;
	struct dia_end *end = handle == &s->client.poll ? &s->client : &s->backend;

	if (s->state == DIA_SESSION_CLOSED)
		return;
	if (status < 0) {
		/* libuv reports an error condition and stops the handle; reading says
		 * what it is, after what arrived before it. */
		events = UV_READABLE | UV_WRITABLE;
		dia_end_disarmed(end);
	}
	if (end == &s->client)
		client_event(s, events);
	else
		backend_event(s, events);
	dia_session_settle(s);
}

static void refuse(struct dia_loop *loop, int fd)
{
	struct dia_buf out = {0};
	uint8_t seq = 0;

	dia_count(loop, DIA_COUNT_SESSIONS_REFUSED, 1);
	if (dia_reply_err(&out, &seq, DIA_CAP_PROTOCOL_41, ER_TOO_MANY_CONNECTIONS,
		    "08004",
		    "Too many connections: diarchy's max_connections is reached") ==
		DIA_OK)
		(void)!send(fd, out.data, out.len, MSG_NOSIGNAL);
	dia_buf_fini(&out);
	(void)close(fd);
}

void dia_session_accept(struct dia_loop *loop, int fd)
{
	struct dia_client_server *server = loop->server;
	uint32_t max = server->config.max_connections;
	struct dia_session *s;
	unsigned now =
		atomic_fetch_add_explicit(&server->sessions, 1, memory_order_relaxed);

	if (max != 0 && now >= max) {
		atomic_fetch_sub_explicit(&server->sessions, 1, memory_order_relaxed);
		refuse(loop, fd);
		return;
	}
	dia_sock_tune(fd);
	s = calloc(1, sizeof(*s));
	if (s != NULL) {
		s->client.fd = s->backend.fd = -1;
		if (dia_end_open(&s->client, &loop->uv, fd, s) != DIA_OK) {
			free(s);
			s = NULL;
		}
	}
	if (s == NULL) {
		atomic_fetch_sub_explicit(&server->sessions, 1, memory_order_relaxed);
		refuse(loop, fd);
		return;
	}
	s->loop = loop;
	s->handles = 1;
	s->opened_us = dia_loop_now_us(loop);
	s->next = loop->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	loop->sessions = s;
	dia_count(loop, DIA_COUNT_SESSIONS, 1);
	dia_count(loop, DIA_COUNT_SESSIONS_TOTAL, 1);
	set_deadline(s, server->config.connect_timeout_ms);
	dia_connect_start(s);
	dia_session_settle(s);
}

void dia_session_tick(struct dia_session *s, uint64_t now_us)
{
	if (s->state == DIA_SESSION_CONNECTING && s->waits) {
		dia_connect_start(s);
		dia_session_settle(s);
	}
	if (s->deadline_us == 0 || now_us < s->deadline_us)
		return;
	s->deadline_us = 0;
	if (s->state <= DIA_SESSION_GREETING) {
		dia_connect_failed(s, ETIMEDOUT, NULL);
		dia_session_settle(s);
	} else {
		dia_session_close(s, "not read by the client in time");
	}
}
