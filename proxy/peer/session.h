/*
 * proxy/peer/session.h - what both ends of a connection do alike: handshake, hello,
 * heartbeats, goodbye, counting. Internal to proxy/peer.
 *
 * Threads: struct dia_link and its peers are shared, their changing fields under
 * link->lock. A session belongs to the thread that runs it. Nothing of the source or the
 * sink is called with the lock held.
 */
#ifndef DIA_PEER_SESSION_H
#define DIA_PEER_SESSION_H

#include "proxy/peer/link.h"
#include "proxy/peer/sock.h"
#include "proxy/peer/stream.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	DIA_LINK_VERSION_MIN = 1,
	DIA_LINK_VERSION_MAX = 1,
	DIA_LINK_STRANGERS_MAX = 16, /* connections that have not proven themselves */
	DIA_LINK_BATCH_BYTES = 256 << 10, /* raw, after which a batch is closed */
	DIA_LINK_BATCH_COUNT = 1000,
	DIA_LINK_PART_BYTES = 512 << 10, /* a body above travels in parts of this */
	DIA_LINK_CLOCK_SAMPLES = 8,
	DIA_LINK_RC_COUNT = 32,
};

struct dia_conn;

/* At most one line a second, and how many were kept back. */
struct dia_log_limit {
	uint64_t next_us;
	uint32_t suppressed;
};

struct dia_peer {
	struct dia_link *link;
	const struct dia_link_peer *config;
	pthread_t puller;
	bool has_puller;
	/* under link->lock */
	struct dia_link_stats stats;
	struct dia_err pull_error, serve_error;
	struct dia_conn *serving; /* the newest proven connection of this peer */
	struct {
		int64_t offset_ms;
		uint64_t rtt_us;
	} clock[DIA_LINK_CLOCK_SAMPLES];
	uint32_t clock_count;
};

/* One accepted connection; its thread is the sender. */
struct dia_conn {
	struct dia_link *link;
	struct dia_conn *next;
	pthread_t thread;
	int fd, kick_fd;
	char address[DIA_SOCK_NAME_MAX], host[DIA_SOCK_NAME_MAX];
	uint64_t started_us;
	_Atomic uint32_t kicked; /* enum dia_goodbye to say, 0: go on */
	/* under link->lock */
	bool proven, done;
};

struct dia_link {
	struct dia_link_config c;
	struct dia_tls tls;
	int listen_fd, reap_fd;
	int stop_fd; /* readable for ever once the link is closing */
	uint16_t port;
	pthread_t listener;
	bool has_listener;
	pthread_mutex_t lock;
	/* under lock */
	struct dia_conn *conns;
	uint64_t strangers_refused;
	struct dia_log_limit refused_log[DIA_LINK_RC_COUNT];
	/* fixed after start */
	uint32_t peer_count;
	struct dia_peer *peers;
};

struct dia_session {
	struct dia_link *link;
	struct dia_peer *peer; /* NULL on the serving side until hello */
	int kick_fd;           /* -1: none */
	struct dia_stream stream;
	struct dia_frame_hello hello; /* the other side's */
	uint32_t version;
	uint64_t last_in_us, next_beat_us;
	uint64_t in_seen, out_seen; /* bytes already counted */
	uint32_t farewell; /* goodbye to say at the end, 0: by the error's kind */
	uint32_t told;     /* goodbye heard from the other side */
};

static inline uint64_t dia_link_now(const struct dia_link *link)
{
	return dia_clock_mono_us(&link->c.clock);
}

/* NULL when no such DC is configured. */
struct dia_peer *dia_link_peer_of(struct dia_link *link, struct dia_dc dc);
/* Count and log a refused connection; peer may be NULL. */
void dia_link_refused(struct dia_link *link, struct dia_peer *peer, bool by_us,
	const char *address, const struct dia_err *err);

/* s must not move afterwards; fini takes any state after init, also a failed one. */
DIA_MUST_CHECK enum dia_rc dia_session_init(struct dia_session *s, struct dia_link *link,
	struct dia_peer *peer, bool server, int fd, int kick_fd, struct dia_err *reterr);
void dia_session_fini(struct dia_session *s);

/* Prove the secret both ways, until the deadline. */
DIA_MUST_CHECK enum dia_rc dia_session_handshake(
	struct dia_session *s, uint64_t deadline_us, struct dia_err *reterr);
/* Append our hello to `to`. after_seq is the puller's. */
DIA_MUST_CHECK enum dia_rc dia_session_put_hello(
	struct dia_session *s, struct dia_dc to, uint64_t after_seq);
/* Wait for the other side's hello, check that it is for us and agree on a version. */
DIA_MUST_CHECK enum dia_rc dia_session_get_hello(
	struct dia_session *s, uint64_t deadline_us, struct dia_err *reterr);

/* PING, PONG, GOODBYE; any other type is DIA_E_PROTOCOL. GOODBYE gives its own result. */
DIA_MUST_CHECK enum dia_rc dia_session_control(
	struct dia_session *s, const struct dia_frame *frame, struct dia_err *reterr);
/* Send a heartbeat when due. listening: whether silence of the other side counts; then
 * DIA_E_TIMEOUT when it lasted too long. */
DIA_MUST_CHECK enum dia_rc dia_session_beat(
	struct dia_session *s, uint64_t now_us, bool listening, struct dia_err *reterr);
/* Move byte counts into the peer's stats and notice that the other side is alive. */
void dia_session_count(struct dia_session *s, uint64_t now_us);
/* Wait for the socket (`events`), wake_fd (-1: none), a kick, the stop or a time.
 * *ret_events and *ret_woken say what happened; DIA_E_STOPPED when kicked or stopping. */
DIA_MUST_CHECK enum dia_rc dia_session_wait(struct dia_session *s, short events,
	int wake_fd, uint64_t until_us, short *ret_events, bool *ret_woken,
	struct dia_err *reterr);
/* The last frame, as far as the socket takes it within a moment. */
void dia_session_goodbye(struct dia_session *s, const struct dia_err *err);

/* Thread bodies. */
void *dia_sender_main(void *conn);
void *dia_puller_main(void *peer);

#endif /* DIA_PEER_SESSION_H */
