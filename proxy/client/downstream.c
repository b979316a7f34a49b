/*
 * proxy/client/downstream.c - database to client (see session.h).
 *
 * The response machine says where each reply ends, so that replies of ours stand in the
 * right place among pipelined commands. Everything else is forwarded as it came.
 */
#include "parser/wire/handshake.h"
#include "proxy/client/session.h"
#include "proxy/core/log.h"

#include <assert.h>

static void forward(struct dia_session *s, const uint8_t *data, size_t len)
{
	if (dia_end_send(&s->client, data, len) != DIA_OK)
		s->doomed = true;
}

void dia_pending_push(struct dia_session *s, enum dia_reply reply, uint8_t seq)
{
	size_t at = (s->pending_first + (size_t)s->pending_count) % DIA_PENDING_MAX;

	assert(s->pending_count < DIA_PENDING_MAX);
	s->pending[at] = (struct dia_pending){.reply = (uint8_t)reply, .seq = seq};
	if (s->pending_count++ == 0)
		dia_pending_advance(s);
}

static void pop(struct dia_session *s)
{
	s->pending_first = (uint8_t)((s->pending_first + 1U) % DIA_PENDING_MAX);
	s->pending_count--;
}

void dia_pending_advance(struct dia_session *s)
{
	while (s->pending_count > 0 && dia_pending_head(s)->reply == DIA_REPLY_LOCAL) {
		if (!dia_local_send(s))
			return;
		pop(s);
	}
	dia_response_start(&s->response,
		s->pending_count > 0 ? (enum dia_reply)dia_pending_head(s)->reply
				     : DIA_REPLY_UNASKED);
}

/* The greeting, needed whole: its capabilities are cut to what we relay. */
static size_t take_greeting(struct dia_session *s, uint8_t *data, size_t len)
{
	struct dia_greeting g;
	uint8_t *payload = data + DIA_PACKET_HEADER;
	size_t n;

	if (len < DIA_PACKET_HEADER)
		return 0;
	n = dia_le24(data);
	if (n > DIA_LOGIN_MAX || n == 0) {
		s->doomed = true;
		return len;
	}
	if (len < DIA_PACKET_HEADER + n)
		return 0;
	s->deadline_us = 0;
	if (payload[0] == 0xff) {
		/* Too many connections, host blocked, shutting down: the database's word.
		 */
		forward(s, data, DIA_PACKET_HEADER + n);
		dia_session_end(s, "refused by the database");
		return len;
	}
	if (dia_greeting_parse(dia_slice_of(payload, n), &g) != DIA_PARSE_OK) {
		dia_count(s->loop, DIA_COUNT_PROTOCOL_ERRORS, 1);
		dia_session_end_err(s, 0, DIA_ER_UNREACHABLE, "08001",
			"diarchy: the database's greeting is not of MySQL protocol 10 / "
			"4.1",
			"greeting not understood");
		return len;
	}
	dia_greeting_mask(payload, &g, DIA_CAPS_RELAYED);
	s->caps = g.caps;
	s->connection_id = g.connection_id;
	dia_session_set_state(s, DIA_SESSION_LOGIN);
	forward(s, data, DIA_PACKET_HEADER + n);
	return DIA_PACKET_HEADER + n;
}

static void reply_done(struct dia_session *s)
{
	if (s->state == DIA_SESSION_AUTH) {
		if (!s->response.failed)
			dia_session_set_state(s, DIA_SESSION_COMMAND);
		dia_response_start(&s->response, DIA_REPLY_UNASKED);
		return;
	}
	pop(s);
	dia_pending_advance(s);
}

/* The server asks for a file. What the client has pipelined behind that command is, to
 * the server, the file; so nothing queued behind it will get a reply. */
static void file_wanted(struct dia_session *s)
{
	if (s->state != DIA_SESSION_COMMAND)
		return;
	s->pending_count = 1;
	dia_local_free_all(s);
	s->up.raw = true;
}

static void protocol_lost(struct dia_session *s)
{
	dia_count(s->loop, DIA_COUNT_PROTOCOL_ERRORS, 1);
	dia_log(DIA_LOG_ERROR, "client", "reply_not_understood",
		"conn=%u command_reply=%d state=%d remedy=\"report this with the "
		"server's version\"",
		(unsigned)s->connection_id, (int)s->response.kind,
		(int)s->response.state);
	s->doomed = true;
}

static bool handle_event(struct dia_session *s, enum dia_response_event event)
{
	switch (event) {
	case DIA_RESPONSE_MORE:
	case DIA_RESPONSE_AUTH:
		return true;
	case DIA_RESPONSE_DONE:
		reply_done(s);
		return true;
	case DIA_RESPONSE_INFILE:
		file_wanted(s);
		return true;
	case DIA_RESPONSE_BAD:
		break;
	}
	protocol_lost(s);
	return false;
}

/* The reply after the present one is ours: what came so far must be sent before it. */
static bool local_is_next(const struct dia_session *s)
{
	return s->locals != NULL && s->pending_count > 1 &&
	       s->pending[(s->pending_first + 1U) % DIA_PENDING_MAX].reply ==
		       DIA_REPLY_LOCAL;
}

size_t dia_downstream_take(struct dia_session *s, uint8_t *data, size_t len)
{
	size_t at = 0, run = 0;

	if (s->state == DIA_SESSION_GREETING)
		return take_greeting(s, data, len);
	while (at < len && !dia_console_waits(s)) {
		enum dia_response_event event;

		at += dia_response_feed(
			&s->response, dia_slice_of(data + at, len - at), &event);
		if (event == DIA_RESPONSE_DONE && local_is_next(s)) {
			forward(s, data + run, at - run);
			run = at;
		}
		if (!handle_event(s, event))
			break;
	}
	forward(s, data + run, at - run);
	return at;
}
