/*
 * proxy/client/upstream.c - client to database (see session.h).
 *
 * Looks at packet headers and first bytes and forwards runs of packets with one write.
 * Only the text of COM_QUERY and COM_STMT_PREPARE is read, by the guard, and only for
 * that a packet is collected before it passes.
 */
#include "parser/wire/handshake.h"
#include "proxy/client/session.h"

#include <strings.h>

enum action {
	PASS,
	DROP,
	WAIT, /* for more bytes (up.need) or, when up.blocked, for an event */
};

enum {
	ER_HANDSHAKE = 1043,
	ER_UNKNOWN_STMT = 1243,
	CLIENT_QUEUE_HIGH = 64 * 1024, /* replies of ours a client may leave unread */
	DML_PREFIX = 64, /* where the first word of a statement is looked for */
};

static enum action need(struct dia_session *s, size_t bytes)
{
	s->up.need = bytes;
	return WAIT;
}

static enum action blocked(struct dia_session *s)
{
	s->up.blocked = true;
	return WAIT;
}

static enum action pass(struct dia_session *s, uint32_t len)
{
	s->up.left = len;
	s->up.continues = len == DIA_PACKET_MAX;
	s->up.expects = false;
	return PASS;
}

static enum action drop(struct dia_session *s, uint32_t len)
{
	(void)pass(s, len);
	s->up.skipping = true;
	return DROP;
}

/* Collations of big5, sjis, gbk, cp932, gb18030, whose second bytes may look like a quote
 * or backslash. Ids as in the login packet. */
static bool multibyte_escape(uint8_t collation)
{
	static const uint8_t ids[] = {1, 13, 28, 84, 87, 88, 95, 96, 248, 249, 250};

	return memchr(ids, collation, sizeof(ids)) != NULL;
}

static enum action refuse_login(struct dia_session *s, uint8_t seq, const char *text)
{
	dia_count(s->loop, DIA_COUNT_PROTOCOL_ERRORS, 1);
	dia_session_end_err(s, (uint8_t)(seq + 1), ER_HANDSHAKE, "08S01", text,
		"login not understood");
	return WAIT;
}

/* The client's answer to the greeting: needed whole, its capabilities are cut to ours. */
static enum action login_begins(
	struct dia_session *s, uint8_t *p, size_t avail, uint32_t len)
{
	struct dia_login login;

	/* Health checks connect, read the greeting and say goodbye. */
	if (len == 1 && avail > DIA_PACKET_HEADER && p[4] == DIA_COM_QUIT) {
		dia_session_close(s, "quit before login");
		return WAIT;
	}
	if (len > DIA_LOGIN_MAX)
		return refuse_login(
			s, p[3], "Bad handshake: the login packet is too long");
	if (avail < DIA_PACKET_HEADER + (size_t)len)
		return need(s, DIA_PACKET_HEADER + (size_t)len);
	if (dia_login_parse(dia_slice_of(p + DIA_PACKET_HEADER, len), &login) !=
		DIA_PARSE_OK)
		return refuse_login(s, p[3],
			"Bad handshake: diarchy needs a client of MySQL protocol 4.1 or "
			"later");
	if (login.ssl_request)
		return refuse_login(s, p[3],
			"Bad handshake: diarchy does not offer TLS here; connect without "
			"it "
			"(--skip-ssl, sslMode=disable)");
	dia_login_mask(p + DIA_PACKET_HEADER, &login, s->caps);
	s->caps &= login.caps;
	s->up.multi = (s->caps & DIA_CAP_MULTI_STATEMENTS) != 0;
	s->up.sql_flags = multibyte_escape(login.charset) ? DIA_SQL_MULTIBYTE : 0;
	dia_response_init(&s->response, s->caps);
	dia_response_start(&s->response, DIA_REPLY_AUTH);
	dia_session_set_state(s, DIA_SESSION_AUTH);
	s->deadline_us = 0;
	return pass(s, len);
}

/* A statement that is one of these cannot change a session's variables, whatever follows:
 * it may pass before it is here as a whole. */
static bool starts_plain_dml(const uint8_t *text, size_t len)
{
	static const char *const words[] = {
		"INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT"};
	size_t at = 0;

	while (at < len && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' ||
				   text[at] == '\r'))
		at++;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if (len - at > n &&
			strncasecmp((const char *)text + at, words[i], n) == 0 &&
			(text[at + n] == ' ' || text[at + n] == '\t' ||
				text[at + n] == '\n' || text[at + n] == '\r'))
			return true;
	}
	return false;
}

static uint32_t sql_flags(const struct dia_session *s)
{
	return s->up.sql_flags |
	       ((s->response.status & DIA_STATUS_ANSI_QUOTES) != 0
			       ? (uint32_t)DIA_SQL_ANSI_QUOTES
			       : 0) |
	       ((s->response.status & DIA_STATUS_NO_BACKSLASH_ESCAPES) != 0
			       ? (uint32_t)DIA_SQL_NO_BACKSLASH_ESCAPES
			       : 0);
}

/* The command does not pass. It is answered when it is over: the sequence number of the
 * reply follows that of its last packet. */
static enum action answer(struct dia_session *s, uint32_t len,
	struct dia_guard_verdict verdict, enum dia_counter counter)
{
	dia_count(s->loop, DIA_COUNT_COMMANDS, 1);
	dia_count(s->loop, counter, 1);
	s->up.answers = true;
	s->up.verdict = verdict;
	return drop(s, len);
}

/*
 * COM_QUERY, COM_STMT_PREPARE. The guard sees the whole packet, at most 16 MiB. A longer
 * statement is judged by its first packet; a single statement that plainly is DML passes
 * without being collected.
 */
static enum action text_begins(
	struct dia_session *s, const uint8_t *p, size_t avail, uint32_t len, bool prepare)
{
	struct dia_guard_verdict v;
	const uint8_t *text = p + DIA_PACKET_HEADER + 1;

	if (len > DIA_STREAM_FROM && (prepare || !s->up.multi)) {
		if (avail < DIA_PACKET_HEADER + 1 + DML_PREFIX)
			return need(s, DIA_PACKET_HEADER + 1 + DML_PREFIX);
		if (starts_plain_dml(text, DML_PREFIX))
			return PASS;
	}
	if (avail < DIA_PACKET_HEADER + (size_t)len)
		return need(s, DIA_PACKET_HEADER + (size_t)len);
	v = dia_sql_guard(dia_slice_of(text, (size_t)len - 1), sql_flags(s));
	switch (v.kind) {
	case DIA_GUARD_PASS:
		return PASS;
	case DIA_GUARD_REFUSE:
		s->up.no_last |= prepare;
		return answer(s, len, v, DIA_COUNT_REFUSED);
	case DIA_GUARD_SHOW_STATUS:
	case DIA_GUARD_SHOW_CONFLICTS:
	case DIA_GUARD_SHOW_POLICIES:
		break;
	}
	if (!prepare)
		return answer(s, len, v, DIA_COUNT_CONSOLE);
	s->up.no_last = true;
	v = (struct dia_guard_verdict){.kind = DIA_GUARD_REFUSE,
		.error = 1295,
		.sqlstate = "HY000",
		.message = "SHOW DIARCHY is not supported in the prepared statement "
			   "protocol; "
			   "send it as a plain query"};
	return answer(s, len, v, DIA_COUNT_REFUSED);
}

/* After a PREPARE was refused here, the server's "last statement" is an older one: a
 * command for it must not run that. */
static enum action last_stmt_begins(struct dia_session *s, const uint8_t *p, uint32_t len)
{
	struct dia_guard_verdict v = {.kind = DIA_GUARD_REFUSE,
		.error = ER_UNKNOWN_STMT,
		.sqlstate = "HY000",
		.message = "Unknown prepared statement handler: the statement prepared "
			   "last was "
			   "refused by diarchy"};

	if (dia_command_reply(p[4]) == DIA_REPLY_NONE)
		return drop(s, len);
	return answer(s, len, v, DIA_COUNT_REFUSED);
}

static enum action command_begins(
	struct dia_session *s, const uint8_t *p, size_t avail, uint32_t len)
{
	enum dia_reply reply;
	uint8_t command;

	if (s->state != DIA_SESSION_COMMAND || s->pending_count == DIA_PENDING_MAX ||
		dia_end_queued(&s->client) > CLIENT_QUEUE_HIGH)
		return blocked(s);
	if (len > 0 && avail < DIA_PACKET_HEADER + 1)
		return need(s, DIA_PACKET_HEADER + 1);
	command = len == 0 ? (uint8_t)DIA_COM_SLEEP : p[4];
	if (command == DIA_COM_QUERY || command == DIA_COM_STMT_PREPARE) {
		enum action a =
			text_begins(s, p, avail, len, command == DIA_COM_STMT_PREPARE);

		if (a != PASS)
			return a;
		if (command == DIA_COM_STMT_PREPARE)
			s->up.no_last = false;
	} else if (dia_command_has_stmt(command) && len > 4) {
		/* as far as the statement's id and the flags behind it */
		size_t look =
			DIA_PACKET_HEADER + DIA_EXECUTE_FLAGS_AT + (len > 5 ? 1U : 0U);

		if (avail < look)
			return need(s, look);
		if (s->up.no_last && dia_le32(p + DIA_PACKET_HEADER + 1) == DIA_STMT_LAST)
			return last_stmt_begins(s, p, len);
	} else if (command == DIA_COM_SET_OPTION) {
		s->up.multi =
			true; /* its argument may switch it off; then we are careful */
	} else if (command == DIA_COM_QUIT) {
		s->quit = true;
	}
	dia_count(s->loop, DIA_COUNT_COMMANDS, 1);
	reply = dia_command_reply(command);
	if (command == DIA_COM_STMT_EXECUTE && len > DIA_EXECUTE_FLAGS_AT)
		reply = dia_command_cursor(p[DIA_PACKET_HEADER + DIA_EXECUTE_FLAGS_AT]);
	(void)pass(s, len);
	if (reply != DIA_REPLY_NONE) {
		dia_pending_push(s, reply, (uint8_t)(p[3] + 1));
		s->up.expects = true;
	}
	return PASS;
}

/* Packets that belong to the command before: the login's or COM_CHANGE_USER's exchange
 * (which continues its sequence, while a command starts a new one), semi-sync
 * acknowledgements of a replica. */
static bool belongs_to_last(struct dia_session *s, uint8_t seq)
{
	size_t last;

	if (s->state == DIA_SESSION_AUTH)
		return seq != 0;
	if (s->pending_count == 0)
		return false;
	last = (s->pending_first + s->pending_count - 1U) % DIA_PENDING_MAX;
	switch ((enum dia_reply)s->pending[last].reply) {
	case DIA_REPLY_AUTH:
		return seq != 0;
	case DIA_REPLY_STREAM:
		return true;
	case DIA_REPLY_NONE:
	case DIA_REPLY_RESULT:
	case DIA_REPLY_CURSOR:
	case DIA_REPLY_FETCH:
	case DIA_REPLY_PREPARE:
	case DIA_REPLY_FIELDS:
	case DIA_REPLY_STRING:
	case DIA_REPLY_LOCAL:
	case DIA_REPLY_UNASKED:
		break;
	}
	return false;
}

static enum action continued(struct dia_session *s, uint32_t len, uint8_t seq)
{
	bool expects = s->up.expects;

	(void)pass(s, len);
	s->up.expects = expects;
	if (expects && s->pending_count > 0)
		s->pending[(s->pending_first + s->pending_count - 1U) % DIA_PENDING_MAX]
			.seq = (uint8_t)(seq + 1);
	return s->up.skipping ? DROP : PASS;
}

/* The last byte of a command, or of what belongs to one, was taken. */
static void packet_over(struct dia_session *s)
{
	s->up.skipping = false;
	if (!s->up.answers)
		return;
	s->up.answers = false;
	if (!dia_local_push(s, s->up.seq, s->up.verdict))
		s->doomed = true;
}

/* What to do with the packet whose first `avail` bytes are at p. */
static enum action packet_begins(struct dia_session *s, uint8_t *p, size_t avail)
{
	uint32_t len;

	if (s->state < DIA_SESSION_LOGIN)
		return blocked(s);
	if (avail < DIA_PACKET_HEADER)
		return need(s, DIA_PACKET_HEADER);
	len = dia_le24(p);
	if (s->up.continues)
		return continued(s, len, p[3]);
	if (s->up.raw) {
		s->up.raw = len != 0;
		return pass(s, len);
	}
	if (s->state == DIA_SESSION_LOGIN)
		return login_begins(s, p, avail, len);
	if (belongs_to_last(s, p[3]))
		return pass(s, len);
	return command_begins(s, p, avail, len);
}

/* Forward a run of bytes; a run that is the whole stash gives its memory away. */
static void forward(struct dia_session *s, uint8_t *data, size_t len, bool whole_stash)
{
	enum dia_rc rc;

	if (len == 0)
		return;
	rc = whole_stash ? dia_end_send_buf(&s->backend, &s->up.stash, len)
			 : dia_end_send(&s->backend, data, len);
	if (rc != DIA_OK)
		s->doomed = true;
}

static size_t take(struct dia_session *s, uint8_t *data, size_t len, bool from_stash)
{
	struct dia_upstream *up = &s->up;
	size_t at = 0, run = 0;

	up->need = 0;
	while (at < len) {
		if (up->left > 0) {
			size_t n = len - at < up->left ? len - at : up->left;

			at += n;
			up->left -= (uint32_t)n;
		} else {
			enum action a = packet_begins(s, data + at, len - at);

			if (a == WAIT)
				break;
			if (a == DROP)
				forward(s, data + run, at - run, false);
			up->seq = data[at + 3];
			at += DIA_PACKET_HEADER;
		}
		if (up->skipping)
			run = at;
		if (up->left == 0 && !up->continues)
			packet_over(s);
	}
	if (s->state < DIA_SESSION_ENDING)
		forward(s, data + run, at - run, from_stash && run == 0 && at == len);
	return at;
}

size_t dia_upstream_take(struct dia_session *s, uint8_t *data, size_t len)
{
	return take(s, data, len, false);
}

void dia_upstream_take_stash(struct dia_session *s)
{
	size_t had = s->up.stash.len;
	size_t n = take(s, s->up.stash.data, had, true);

	/* A run given away took its bytes with it. */
	if (s->up.stash.len == had)
		dia_buf_consume(&s->up.stash, n);
	if (s->up.stash.len == 0)
		dia_buf_fini(&s->up.stash);
}

bool dia_upstream_ready(const struct dia_session *s)
{
	if (s->state == DIA_SESSION_LOGIN)
		return true;
	return s->state == DIA_SESSION_COMMAND && s->pending_count < DIA_PENDING_MAX &&
	       dia_end_queued(&s->backend) == 0 &&
	       dia_end_queued(&s->client) <= CLIENT_QUEUE_HIGH;
}
