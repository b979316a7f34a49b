/*
 * proxy/client/session.h - one client and its database connection (internal to
 * proxy/client).
 *
 *   CONNECTING -> GREETING -> LOGIN -> AUTH -> COMMAND -> ENDING -> CLOSED
 *
 *   CONNECTING  the database is being connected; the client waits
 *   GREETING    the database's greeting is awaited, masked, shown to the client
 *   LOGIN       the client's answer is awaited, masked, passed on
 *   AUTH        packets pass both ways until the database says OK or ERR
 *   COMMAND     commands pass up (upstream.c), replies down (downstream.c)
 *   ENDING      nothing passes any more; what is queued for the client is written, then
 * the client is given a moment to read it (closing at once would make the kernel throw it
 * away if unread input is left) CLOSED      handles are closing; freed in the last
 * callback
 *
 * Any state may go to ENDING or CLOSED. Memory: this struct, plus `stash` of a direction
 * while a command or greeting is being collected, plus an end's `out` while its socket is
 * slow. A direction is not read while the other side's `out` holds anything.
 */
#ifndef DIA_CLIENT_SESSION_H
#define DIA_CLIENT_SESSION_H

#include "parser/wire/response.h"
#include "proxy/client/loop.h"
#include "proxy/net/end.h"

enum dia_session_state {
	DIA_SESSION_CONNECTING = 0,
	DIA_SESSION_GREETING,
	DIA_SESSION_LOGIN,
	DIA_SESSION_AUTH,
	DIA_SESSION_COMMAND,
	DIA_SESSION_ENDING,
	DIA_SESSION_CLOSED,
};

enum {
	DIA_PENDING_MAX = 64,       /* commands without their reply; a power of two */
	DIA_LOGIN_MAX = 128 * 1024, /* login and greeting packets */
	DIA_STREAM_FROM =
		64 * 1024, /* packets up to here are always collected for the guard */
	DIA_LINGER_MS = 2000,
	DIA_TICK_MS = 50,
	/* "Unable to connect to foreign data source". Not 2003 and the like: libmariadb
	 * takes a server that sends a client's error number for a forgery and says
	 * "malformed packet" in place of the message. */
	DIA_ER_UNREACHABLE = 1429,
};

/* A command whose reply is not complete. */
struct dia_pending {
	uint8_t reply; /* enum dia_reply */
	uint8_t seq;   /* sequence number of its reply's first packet */
};

/* A reply of ours, waiting for the replies before it. */
struct dia_local {
	struct dia_local *next;
	struct dia_session *session;
	enum dia_guard_kind kind; /* REFUSE: an error; else what to show */
	uint16_t error;
	const char *sqlstate, *message; /* static */
	uint8_t seq;
	bool started;
	uint64_t caps;
	uint16_t status;
	uv_work_t work;
	struct dia_buf packets; /* filled by the pool thread */
	enum dia_rc rc;
};

/* Client to database. */
struct dia_upstream {
	uint32_t left;  /* payload bytes of the packet at hand still to pass (or skip) */
	bool continues; /* another packet belongs to it */
	bool skipping;  /* the packet is refused: drop it */
	bool answers;   /* … and when it is over, answer with verdict */
	bool expects;   /* the packet is a command that gets a reply */
	uint8_t seq;    /* of the packet at hand */
	bool raw;       /* LOCAL INFILE: packets up to an empty one are a file */
	bool blocked;   /* stash holds what cannot pass now */
	bool multi;     /* several statements in one text are allowed */
	bool no_last;   /* the PREPARE that "last" would name was refused here */
	uint32_t sql_flags; /* what the login's character set says */
	size_t need;        /* stash is of no use before it has this many bytes */
	struct dia_guard_verdict verdict;
	struct dia_buf stash;
};

struct dia_session {
	struct dia_loop *loop;
	struct dia_session *prev, *next;
	enum dia_session_state state;
	uint8_t handles; /* open uv handles, plus one while a console callback runs */
	uint8_t tried;   /* addresses of the database that failed */
	bool waits;      /* to connect again at the next tick */
	bool quit;       /* COM_QUIT was passed on */
	bool doomed;     /* out of memory or protocol lost: close without ceremony */
	uint32_t connection_id;
	uint64_t caps;        /* the greeting's, then what both sides agreed on */
	uint64_t deadline_us; /* 0: none */
	struct dia_end client, backend;
	struct dia_upstream up;
	struct dia_buf
		down_stash; /* greeting being collected; replies behind a console query */
	struct dia_response response;
	struct dia_pending pending[DIA_PENDING_MAX];
	uint8_t pending_first, pending_count;
	struct dia_local *locals, *locals_last;
	uint64_t opened_us;
};

/* session.c */
void dia_session_accept(struct dia_loop *loop, int fd);
void dia_session_tick(struct dia_session *s, uint64_t now_us);
/* Close now. */
void dia_session_close(struct dia_session *s, const char *why);
/* Nothing more from either side; let the client read what is queued, then close. */
void dia_session_end(struct dia_session *s, const char *why);
/* Send an ERR and end. */
void dia_session_end_err(struct dia_session *s, uint8_t seq, uint16_t code,
	const char *sqlstate, const char *text, const char *why);
void dia_session_set_state(struct dia_session *s, enum dia_session_state to);
/* Close it if the server drains and nothing is lost by it. */
void dia_session_drain(struct dia_session *s);

/* connect.c: from CONNECTING to GREETING, or to the end. */
void dia_connect_start(struct dia_session *s);
void dia_connect_made(struct dia_session *s);
/* what: the reason in words, or NULL for errno's. */
void dia_connect_failed(struct dia_session *s, int number, const char *what);

/* upstream.c: take bytes of the client (the login is changed in place); returns how many
 * were taken (passed, or dropped). The rest is to be kept: more input or an event must
 * come first. From the stash: consumes it. */
size_t dia_upstream_take(struct dia_session *s, uint8_t *data, size_t len);
void dia_upstream_take_stash(struct dia_session *s);
/* May blocked input be tried again? */
bool dia_upstream_ready(const struct dia_session *s);

/* downstream.c: the same for bytes of the database. */
size_t dia_downstream_take(struct dia_session *s, uint8_t *data, size_t len);
/* A command waits behind the ones before it; there is room (pending_count < MAX). */
void dia_pending_push(struct dia_session *s, enum dia_reply reply, uint8_t seq);
/* Answer locally what stands at the head of the queue, then expect the next reply. What
 * the client is to get before has been sent. */
void dia_pending_advance(struct dia_session *s);
static inline struct dia_pending *dia_pending_head(struct dia_session *s)
{
	return &s->pending[s->pending_first];
}
/* A console query at the head of the queue is being answered. */
static inline bool dia_console_waits(const struct dia_session *s)
{
	return s->locals != NULL && s->locals->started;
}
/* local.c: queue a reply of ours; false when out of memory. */
bool dia_local_push(struct dia_session *s, uint8_t seq, struct dia_guard_verdict verdict);
/* Try to send the first one; false while it is being made. */
bool dia_local_send(struct dia_session *s);
void dia_local_free_all(struct dia_session *s);
/* session.c: input, output and arming after anything happened. */
void dia_session_settle(struct dia_session *s);
void dia_session_release(struct dia_session *s);

#endif /* DIA_CLIENT_SESSION_H */
