/*
 * proxy/client/local.c - replies that do not come from the database (see session.h):
 * refused statements, and SHOW DIARCHY, which is answered on a thread of libuv's pool.
 */
#include "proxy/client/session.h"

#include "parser/wire/reply.h"
#include "proxy/core/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { ER_UNKNOWN = 1105 };

bool dia_local_push(struct dia_session *s, uint8_t seq, struct dia_guard_verdict verdict)
{
	struct dia_local *local;

	/* Half a packet that nobody asked for: no place to put ours in. */
	if (s->pending_count == 0 && !dia_response_at_boundary(&s->response))
		return false;
	local = calloc(1, sizeof(*local));
	if (local == NULL)
		return false;
	local->session = s;
	local->kind = verdict.kind;
	local->error = verdict.error;
	local->sqlstate = verdict.sqlstate;
	local->message = verdict.message;
	local->seq = (uint8_t)(seq + 1);
	if (s->locals == NULL)
		s->locals = local;
	else
		s->locals_last->next = local;
	s->locals_last = local;
	dia_pending_push(s, DIA_REPLY_LOCAL, local->seq);
	return true;
}

static void local_free(struct dia_local *local)
{
	dia_buf_fini(&local->packets);
	free(local);
}

static void unlink_first(struct dia_session *s)
{
	struct dia_local *local = s->locals;

	s->locals = local->next;
	if (s->locals == NULL)
		s->locals_last = NULL;
	local_free(local);
}

/* Keeps the one a pool thread works on; its completion frees it. */
void dia_local_free_all(struct dia_session *s)
{
	while (s->locals != NULL && !s->locals->started)
		unlink_first(s);
	while (s->locals != NULL && s->locals->next != NULL) {
		struct dia_local *second = s->locals->next;

		s->locals->next = second->next;
		local_free(second);
	}
	s->locals_last = s->locals;
}

/* Pool thread: touches the local reply and the server's configuration, nothing else. */
static void console_work(uv_work_t *work)
{
	struct dia_local *local = work->data;
	const struct dia_client_config *config = &local->session->loop->server->config;
	struct dia_console_result res = {.column_count = 0};
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc = config->console(config->console_ctx, local->kind, &res, &err);
	uint8_t seq = local->seq;

	if (rc == DIA_OK && res.rc != DIA_OK)
		rc = dia_err_set(
			&err, res.rc, 0, "answer not built: %s", dia_rc_text(res.rc));
	if (rc == DIA_OK && res.column_count == 0)
		rc = dia_err_set(&err, DIA_E_STATE, 0, "answer without columns");
	if (rc == DIA_OK) {
		rc = dia_console_encode(
			&res, local->caps, local->status, &seq, &local->packets);
	} else {
		char text[DIA_ERR_TEXT_MAX + 16];

		(void)snprintf(text, sizeof(text), "diarchy: %s",
			err.text[0] != 0 ? err.text : dia_rc_text(rc));
		rc = dia_reply_err(
			&local->packets, &seq, local->caps, ER_UNKNOWN, "HY000", text);
	}
	local->rc = rc;
	dia_console_fini(&res);
}

static void console_done(uv_work_t *work, int status)
{
	struct dia_local *local = work->data;
	struct dia_session *s = local->session;

	(void)status;
	if (s->state >= DIA_SESSION_ENDING) {
		unlink_first(s);
	} else if (local->rc != DIA_OK || dia_end_send_buf(&s->client, &local->packets,
						  local->packets.len) != DIA_OK) {
		unlink_first(s);
		s->doomed = true;
	} else {
		unlink_first(s);
		s->pending_first = (uint8_t)((s->pending_first + 1U) % DIA_PENDING_MAX);
		s->pending_count--;
		dia_pending_advance(s);
	}
	dia_session_settle(s);
	dia_session_release(s);
}

static bool console_start(struct dia_session *s, struct dia_local *local)
{
	local->caps = s->caps;
	local->status = s->response.status &
			(DIA_STATUS_IN_TRANS | DIA_STATUS_AUTOCOMMIT |
				DIA_STATUS_NO_BACKSLASH_ESCAPES | DIA_STATUS_ANSI_QUOTES);
	local->work.data = local;
	if (s->loop->server->config.console == NULL ||
		uv_queue_work(&s->loop->uv, &local->work, console_work, console_done) !=
			0)
		return false;
	local->started = true;
	s->handles++;
	return true;
}

bool dia_local_send(struct dia_session *s)
{
	struct dia_local *local = s->locals;
	struct dia_buf out = {0};
	uint8_t seq = local->seq;

	if (local->started)
		return false;
	if (local->kind != DIA_GUARD_REFUSE) {
		if (console_start(s, local))
			return false;
		local->error = ER_UNKNOWN;
		local->sqlstate = "HY000";
		local->message = "diarchy: SHOW DIARCHY is not available in this process";
	}
	if (dia_reply_err(&out, &seq, s->caps, local->error, local->sqlstate,
		    local->message) != DIA_OK ||
		dia_end_send(&s->client, out.data, out.len) != DIA_OK)
		s->doomed = true;
	dia_buf_fini(&out);
	unlink_first(s);
	return true;
}
