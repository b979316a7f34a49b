/*
 * proxy/peer/link.h - moving transactions between DCs: one listener, one puller per peer.
 *
 * Receiver-driven: a puller connects to the peer's listener, proves the shared secret
 * (TLS 1.3 with an external PSK both ways), says "everything of yours after sequence N"
 * and gets frames. It acknowledges what it received and what is applied. The link never
 * looks inside a body.
 */
#ifndef DIA_PEER_LINK_H
#define DIA_PEER_LINK_H

#include "proxy/core/change.h"
#include "proxy/core/clock.h"

/*
 * Where a sender gets this DC's transactions (capture implements it). A cursor belongs to
 * one thread. next gives the transaction after the last one given (watermarks too), or
 * DIA_E_AGAIN when there is none now: wait on wake_fd (an eventfd that becomes readable
 * when there may be more). DIA_E_NOT_FOUND: history needed is gone (purged), permanent.
 * Whoever calls next owns one reference of what it gets, and drains wake_fd (which
 * belongs to the cursor) before asking again. A cursor may begin before after_seq; what
 * the other side has is dropped there. head_seq, incarnation and acked are called from
 * several threads; acked may be NULL.
 */
struct dia_source_ops {
	enum dia_rc (*open)(
		void *ctx, uint64_t after_seq, void **ret_cursor, struct dia_err *reterr);
	enum dia_rc (*next)(void *cursor, struct dia_txn **ret, struct dia_err *reterr);
	int (*wake_fd)(void *cursor);
	void (*close)(void *cursor);
	/* Highest sequence captured so far, and the identity of this sequence space. */
	uint64_t (*head_seq)(void *ctx);
	uint64_t (*incarnation)(void *ctx);
	/* A peer acknowledged: it has received and applied up to these. */
	void (*acked)(void *ctx, struct dia_dc peer, uint64_t received, uint64_t applied);
};

/*
 * Where a puller delivers (apply implements it). deliver takes the reference on DIA_OK;
 * DIA_E_AGAIN: full, try again after a moment (the puller stops reading: flow control).
 * Any other error ends the connection, shows in the stats and is tried again. The puller
 * drops what it already delivered, by sequence; calls for one origin come from one
 * thread, must not block, and that thread drains wake_fd.
 */
struct dia_sink_ops {
	enum dia_rc (*deliver)(void *ctx, struct dia_dc origin, struct dia_txn *txn,
		struct dia_err *reterr);
	/* First sequence wanted is *ret + 1: what is applied or safely queued. */
	enum dia_rc (*position)(void *ctx, struct dia_dc origin, uint64_t *ret_received,
		uint64_t *ret_applied);
	/* The peer's identity of its sequence space, as told in its hello:
	 * DIA_E_LOST_TAIL when it is another one than the stored, or head_seq is behind
	 * what we have applied. */
	enum dia_rc (*identify)(void *ctx, struct dia_dc origin, uint64_t incarnation,
		uint64_t head_seq, struct dia_err *reterr);
	/* eventfd that becomes readable when `applied` moved or room appeared. */
	int (*wake_fd)(void *ctx, struct dia_dc origin);
};

struct dia_link_peer {
	struct dia_dc dc;
	const char *name;
	const char *address; /* host:port */
};

struct dia_link_config {
	struct dia_dc self;
	const char *self_name;
	const char *listen; /* host:port; port 0 picks one */
	struct dia_slice secret;
	uint32_t peer_count;
	const struct dia_link_peer *peers;
	const char *spill_dir; /* for large transactions on the receiving side */
	size_t spill_bytes;
	struct dia_clock clock;
	/* A body larger than this is refused as hostile; 0: as large as memory maps go.
	 */
	uint64_t max_txn_bytes;
	const struct dia_source_ops *source;
	void *source_ctx;
	const struct dia_sink_ops *sink;
	void *sink_ctx;
	/* Times, 0 for the default: heartbeats every 1 s, a link silent for 10 s is dead,
	 * a stranger has 5 s to prove the secret, a refusal that only an operator can
	 * cure is tried again every 5 s. */
	uint32_t heartbeat_ms, dead_ms, handshake_ms, slow_retry_ms;
	/* Back-off between attempts grows from 100 ms to this, 0 for 5 s. */
	uint32_t retry_max_ms;
};

struct dia_link;
/* Starts threads; returns when the listener is bound. All borrowed config outlives the
 * link. */
DIA_MUST_CHECK enum dia_rc dia_link_start(
	const struct dia_link_config *c, struct dia_link **ret, struct dia_err *reterr);
uint16_t dia_link_port(const struct dia_link *link);
/* Says goodbye, joins threads, frees. */
void dia_link_close(struct dia_link *link);

struct dia_link_stats {
	struct dia_dc dc;
	const char *name; /* borrowed from the config */
	const char *address;
	bool pulling; /* we are connected to it and receive */
	bool serving; /* it is connected to us and we send */
	uint64_t received_seq, sent_seq;
	uint64_t peer_received_seq, peer_applied_seq; /* as it acknowledged ours */
	uint64_t peer_head_seq; /* newest of its own, from heartbeats: backlog towards us
				 */
	uint64_t bytes_in, bytes_out, raw_bytes_in, raw_bytes_out, txns_in, txns_out;
	uint64_t connects, refused;
	int64_t clock_offset_ms; /* peer's clock minus ours, from heartbeats */
	uint64_t rtt_us;
	struct dia_err last_error; /* rc DIA_OK if none since the last success */
};
/* Fills up to cap entries, one per configured peer; returns how many. */
size_t dia_link_stats(struct dia_link *link, struct dia_link_stats *ret, size_t cap);
/* Connections refused that no configured peer can be blamed for. */
uint64_t dia_link_strangers(struct dia_link *link);

#endif /* DIA_PEER_LINK_H */
