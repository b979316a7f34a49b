/*
 * proxy/client/connect.c - reaching the database for one session (see session.h).
 *
 * The addresses of its name are tried in turn, beginning with the one that worked last on
 * this loop. When all fail the client is told, and the name is looked up again.
 */
#include "proxy/client/session.h"

#include "proxy/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* One line a second and loop, with the number of those left out. */
static void log_connect_failure(struct dia_loop *loop, const char *text)
{
	uint64_t now = dia_loop_now_us(loop);
	char quoted[DIA_ERR_TEXT_MAX];

	dia_count(loop, DIA_COUNT_CONNECT_FAILURES, 1);
	if (loop->failure_logged_us != 0 && now - loop->failure_logged_us < 1000000) {
		loop->failures_unlogged++;
		return;
	}
	dia_log(DIA_LOG_WARN, "client", "database_unreachable",
		"error=%s not_logged_before=%u",
		dia_log_quote(quoted, sizeof(quoted), text), loop->failures_unlogged);
	loop->failure_logged_us = now;
	loop->failures_unlogged = 0;
}

void dia_connect_failed(struct dia_session *s, int number, const char *what)
{
	char text[DIA_ERR_TEXT_MAX];

	(void)snprintf(text, sizeof(text),
		"diarchy cannot reach the database at %s: %s (errno %d); is it running?",
		s->loop->server->backend.at[0].text,
		what != NULL ? what : strerror(number), number);
	log_connect_failure(s->loop, text);
	dia_loop_resolve(s->loop);
	dia_session_end_err(
		s, 0, DIA_ER_UNREACHABLE, "08001", text, "database not reached");
}

/* The handle of the address that failed is closed: its place is free for the next one. */
static void on_retry(uv_handle_t *handle)
{
	struct dia_session *s = handle->data;

	if (s->state == DIA_SESSION_CONNECTING) {
		s->handles--;
		dia_connect_start(s);
		dia_session_settle(s);
	} else {
		dia_session_release(s);
	}
}

/* One address failed; try the others before giving up. */
static bool connect_next(struct dia_session *s)
{
	struct dia_loop *loop = s->loop;

	loop->backend_at = (loop->backend_at + 1) % loop->backend.count;
	return ++s->tried < loop->backend.count;
}

/* A unix socket with a full backlog says "again": then the tick comes here once more. */
void dia_connect_start(struct dia_session *s)
{
	struct dia_loop *loop = s->loop;
	enum dia_rc rc;
	int fd = -1;

	do {
		rc = dia_sock_connect(&loop->backend.at[loop->backend_at], &fd);
	} while (rc == DIA_E_IO && connect_next(s));
	if (rc == DIA_E_AGAIN) {
		s->waits = true;
		return;
	}
	s->waits = false;
	if (rc != DIA_OK) {
		dia_connect_failed(s, errno, NULL);
		return;
	}
	if (dia_end_open(&s->backend, &loop->uv, fd, s) != DIA_OK) {
		(void)close(fd);
		dia_connect_failed(s, ENOMEM, NULL);
		return;
	}
	s->handles++;
	s->backend.connecting = true;
}

void dia_connect_made(struct dia_session *s)
{
	int number = dia_sock_error(s->backend.fd);

	s->backend.connecting = false;
	if (number == 0)
		dia_session_set_state(s, DIA_SESSION_GREETING);
	else if (connect_next(s))
		dia_end_close(&s->backend, on_retry);
	else
		dia_connect_failed(s, number, NULL);
}
