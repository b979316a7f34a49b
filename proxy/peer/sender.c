/*
 * proxy/peer/sender.c - one accepted connection: prove, hello, then this DC's
 * transactions from the source until one side ends it.
 *
 *   accepted --TLS, secret--> hello --configured dc--> serving --any error, kick--> done
 *
 * A transaction is held from next() until it is encoded; one that is larger than a part
 * stays held while its parts go out, with heartbeats between them.
 */
#include "proxy/core/fault.h"
#include "proxy/core/log.h"
#include "proxy/peer/session.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

enum { FRAMES_A_ROUND = 64, BATCH_US = 50000 };

struct sender {
	struct dia_session s;
	struct dia_conn *conn;
	struct dia_frame_encoder encoder;
	void *cursor;
	struct dia_txn *large; /* travels in parts; NULL: none */
	size_t large_at;
	uint64_t sent_seq; /* last sent, or what the puller has */
	bool idle;         /* the source has nothing now */
	bool readable;
};

static const struct dia_source_ops *source_of(const struct sender *x)
{
	return x->s.link->c.source;
}

/* Newer wins: a peer that reconnects has lost the older connection, whatever we think. */
static void attach(struct sender *x)
{
	struct dia_link *link = x->conn->link;
	struct dia_peer *peer = dia_link_peer_of(link, x->s.hello.from);

	x->s.peer = peer;
	(void)pthread_mutex_lock(&link->lock);
	x->conn->proven = true;
	if (peer->serving != NULL) {
		atomic_store(&peer->serving->kicked, DIA_GOODBYE_REPLACED);
		dia_peer_sock_poke(peer->serving->kick_fd);
	}
	peer->serving = x->conn;
	peer->stats.serving = true;
	peer->stats.peer_head_seq = x->s.hello.head_seq;
	peer->serve_error = (struct dia_err){0};
	(void)pthread_mutex_unlock(&link->lock);
	dia_session_count(&x->s, dia_link_now(link));
}

static void detach(struct sender *x, const struct dia_err *err)
{
	struct dia_link *link = x->conn->link;
	struct dia_peer *peer = x->s.peer;

	dia_session_count(&x->s, dia_link_now(link));
	(void)pthread_mutex_lock(&link->lock);
	if (peer->serving == x->conn) {
		peer->serving = NULL;
		peer->stats.serving = false;
		if (err->rc != DIA_E_STOPPED && err->rc != DIA_E_CLOSED)
			peer->serve_error = *err;
	}
	(void)pthread_mutex_unlock(&link->lock);
}

static void note_sent(struct sender *x, const struct dia_txn *txn)
{
	struct dia_link_stats *stats = &x->s.peer->stats;

	DIA_FAULT("peer_encoded");
	/* A source may begin before what was asked for; the puller has that already. */
	if (txn->head.seq > x->sent_seq)
		x->sent_seq = txn->head.seq;
	(void)pthread_mutex_lock(&x->s.link->lock);
	stats->sent_seq = x->sent_seq;
	stats->raw_bytes_out += txn->body_len;
	if ((txn->head.flags & DIA_TXN_WATERMARK) == 0)
		stats->txns_out++;
	(void)pthread_mutex_unlock(&x->s.link->lock);
}

static enum dia_rc check_next(struct sender *x, enum dia_rc rc, const struct dia_txn *txn,
	struct dia_err *reterr)
{
	uint64_t most = x->s.hello.max_txn_bytes;

	if (rc == DIA_E_NOT_FOUND) {
		x->s.farewell = DIA_GOODBYE_PURGED;
		return dia_err_wrap(reterr, rc, "history after %" PRIu64, x->sent_seq);
	}
	if (rc == DIA_E_LOST_TAIL)
		x->s.farewell = DIA_GOODBYE_IDENTITY;
	if (rc != DIA_OK)
		return rc;
	if (most != 0 && txn->body_len > most) {
		x->s.farewell = DIA_GOODBYE_TOO_LARGE;
		return dia_err_set(reterr, DIA_E_LIMIT, 0,
			"transaction %" PRIu64 " has %zu bytes, dc %u takes %" PRIu64
			": raise its limit",
			txn->head.seq, txn->body_len, x->s.hello.from.id, most);
	}
	return DIA_OK;
}

/* The next transaction into the open batch, opening it if need be. *ret_more is cleared
 * when the batch ends here; what failed in the encoder sets *ret_torn. */
static enum dia_rc add_next(struct sender *x, bool *open, bool *ret_more, bool *ret_torn,
	struct dia_err *reterr)
{
	struct dia_txn *txn = NULL;
	enum dia_rc rc = source_of(x)->next(x->cursor, &txn, reterr);

	if (rc == DIA_E_AGAIN) {
		x->idle = true;
		*ret_more = false;
		return DIA_OK;
	}
	rc = check_next(x, rc, txn, reterr);
	if (rc == DIA_OK && txn->body_len > DIA_LINK_PART_BYTES) {
		x->large = txn;
		x->large_at = 0;
		*ret_more = false;
		return DIA_OK;
	}
	if (rc == DIA_OK) {
		if (!*open)
			rc = dia_frame_batch_begin(&x->encoder, &x->s.stream.out);
		*open = *open || rc == DIA_OK;
		if (rc == DIA_OK)
			rc = dia_frame_batch_add(
				&x->encoder, &txn->head, dia_txn_body(txn));
		*ret_torn = rc != DIA_OK;
	}
	if (rc == DIA_OK)
		note_sent(x, txn);
	dia_txn_unref(txn);
	return rc;
}

/* One batch of what is there now, never waiting for more. When the source fails, what it
 * gave before still goes out whole, so that a goodbye can follow. */
static enum dia_rc send_batch(struct sender *x, struct dia_err *reterr)
{
	struct dia_frame_encoder *e = &x->encoder;
	uint64_t until = dia_link_now(x->s.link) + BATCH_US;
	bool open = false, more = true, torn = false;
	enum dia_rc rc = DIA_OK;

	x->idle = false;
	while (rc == DIA_OK && more) {
		rc = add_next(x, &open, &more, &torn, reterr);
		/* The time limit is for a source that is slow (the binlog read again):
		 * what it has given goes out, and heartbeats with it. */
		if (open && (e->raw >= DIA_LINK_BATCH_BYTES ||
				    e->count >= DIA_LINK_BATCH_COUNT ||
				    dia_link_now(x->s.link) > until))
			more = false;
	}
	if (open && (torn || dia_frame_batch_end(e) != DIA_OK)) {
		x->s.stream.out.len = e->start;
		return rc == DIA_OK ? DIA_E_NOMEM : rc;
	}
	if (rc == DIA_OK && x->large != NULL)
		rc = dia_frame_put_begin(
			&x->s.stream.out, &x->large->head, x->large->body_len);
	return rc;
}

static enum dia_rc send_part(struct sender *x)
{
	struct dia_slice body = dia_txn_body(x->large);
	size_t n = body.len - x->large_at;
	enum dia_rc rc;

	if (n > DIA_LINK_PART_BYTES)
		n = DIA_LINK_PART_BYTES;
	rc = dia_frame_put_part(
		&x->encoder, &x->s.stream.out, dia_slice_of(body.data + x->large_at, n));
	if (rc != DIA_OK)
		return rc;
	x->large_at += n;
	if (x->large_at == body.len) {
		note_sent(x, x->large);
		dia_txn_unref(x->large);
		x->large = NULL;
	}
	return DIA_OK;
}

static enum dia_rc take_ack(
	struct sender *x, const struct dia_frame *frame, struct dia_err *reterr)
{
	struct dia_link *link = x->s.link;
	struct dia_peer *peer = x->s.peer;
	struct dia_frame_ack ack;
	enum dia_rc rc = dia_frame_get_ack(frame->payload, &ack, reterr);
	bool current;

	if (rc != DIA_OK)
		return rc;
	if (ack.received > x->sent_seq)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: acknowledges %" PRIu64 ", sent was %" PRIu64,
			ack.received, x->sent_seq);
	DIA_FAULT("peer_acked");
	(void)pthread_mutex_lock(&link->lock);
	current = peer->serving == x->conn;
	if (current) {
		peer->stats.peer_received_seq = ack.received;
		peer->stats.peer_applied_seq = ack.applied;
	}
	(void)pthread_mutex_unlock(&link->lock);
	if (current && source_of(x)->acked != NULL)
		source_of(x)->acked(
			link->c.source_ctx, peer->config->dc, ack.received, ack.applied);
	return DIA_OK;
}

static enum dia_rc take_frames(struct sender *x, struct dia_err *reterr)
{
	struct dia_frame frame;

	for (int i = 0; x->readable && i < FRAMES_A_ROUND; i++) {
		enum dia_rc rc = dia_stream_next(
			&x->s.stream, DIA_FRAME_SMALL_MAX, &frame, reterr);

		if (rc == DIA_E_AGAIN) {
			x->readable = false;
			break;
		}
		if (rc == DIA_OK)
			rc = frame.type == DIA_FRAME_ACK
				     ? take_ack(x, &frame, reterr)
				     : dia_session_control(&x->s, &frame, reterr);
		if (rc != DIA_OK)
			return rc;
	}
	return DIA_OK;
}

/* Encode while the socket takes it; returns DIA_OK when it is full or the source empty.
 */
static enum dia_rc push(struct sender *x, struct dia_err *reterr)
{
	enum dia_rc rc = dia_stream_flush(&x->s.stream, reterr);

	if (rc != DIA_OK)
		return rc == DIA_E_AGAIN ? DIA_OK : rc;
	rc = x->large != NULL ? send_part(x) : send_batch(x, reterr);
	if (rc != DIA_OK)
		return rc;
	rc = dia_stream_flush(&x->s.stream, reterr);
	return rc == DIA_E_AGAIN ? DIA_OK : rc;
}

static enum dia_rc serve(struct sender *x, struct dia_err *reterr)
{
	struct dia_stream *stream = &x->s.stream;
	enum dia_rc rc;

	for (;;) {
		uint64_t now = dia_link_now(x->s.link), until;
		bool more, woken;
		short events;

		rc = take_frames(x, reterr);
		if (rc == DIA_OK) {
			dia_session_count(&x->s, now);
			rc = dia_session_beat(&x->s, now, true, reterr);
		}
		if (rc == DIA_OK)
			rc = push(x, reterr);
		if (rc != DIA_OK)
			return rc;
		/* With room in the socket and something to send there is nothing to wait
		 * for; with a full socket the source's wake-up is not waited for. */
		more = dia_stream_pending(stream) == 0 && (!x->idle || x->large != NULL);
		until = more || x->readable ? now : x->s.next_beat_us;
		rc = dia_session_wait(&x->s, dia_stream_events(stream, true),
			dia_stream_pending(stream) == 0 && x->idle
				? source_of(x)->wake_fd(x->cursor)
				: -1,
			until, &events, &woken, reterr);
		if (rc != DIA_OK)
			return rc;
		if ((events & (POLLIN | POLLHUP | POLLERR)) != 0)
			x->readable = true;
	}
}

static enum dia_rc open_source(struct sender *x, struct dia_err *reterr)
{
	uint64_t after = x->s.hello.after_seq;
	enum dia_rc rc = dia_frame_encoder_init(&x->encoder, reterr);

	x->sent_seq = after;
	if (rc == DIA_OK)
		rc = source_of(x)->open(
			x->s.link->c.source_ctx, after, &x->cursor, reterr);
	return rc == DIA_OK ? rc : check_next(x, rc, NULL, reterr);
}

/* Up to the hello of a configured peer; what fails here is a refusal. */
static enum dia_rc welcome(struct sender *x, struct dia_err *reterr)
{
	struct dia_conn *conn = x->conn;
	uint64_t deadline =
		conn->started_us + (uint64_t)conn->link->c.handshake_ms * 1000;
	enum dia_rc rc = dia_session_handshake(&x->s, deadline, reterr);

	if (rc == DIA_OK)
		rc = dia_session_get_hello(&x->s, deadline, reterr);
	if (rc != DIA_OK)
		return rc;
	if (x->s.hello.from.id != x->s.stream.peer.claimed.id)
		return dia_err_set(reterr, DIA_E_AUTH, 0,
			"dc %u authenticated itself as dc %u", x->s.hello.from.id,
			x->s.stream.peer.claimed.id);
	/* Before our hello: a history that is gone is a refusal, not a link that comes up
	 * and breaks again and again. */
	rc = open_source(x, reterr);
	return rc == DIA_OK ? dia_session_put_hello(&x->s, x->s.hello.from, 0) : rc;
}

static void run(struct sender *x, struct dia_err *err)
{
	char reason[DIA_ERR_TEXT_MAX + 8];
	const char *name;
	enum dia_rc rc;

	attach(x);
	name = x->s.peer->config->name;
	dia_log(DIA_LOG_INFO, "peer", "link_up",
		"dc=%s direction=serve address=%s after_seq=%" PRIu64 " version=%" PRIu32,
		name, x->conn->address, x->s.hello.after_seq, x->s.version);
	x->readable = true;
	rc = serve(x, err);
	/* Some failures are too plain to have set a text. */
	if (err->rc != rc)
		(void)dia_err_set(err, rc, 0, "%s", dia_rc_text(rc));
	if (rc == DIA_E_STOPPED && atomic_load(&x->conn->kicked) != 0)
		x->s.farewell = atomic_load(&x->conn->kicked);
	detach(x, err);
	if (rc == DIA_E_PROTOCOL && x->s.told == 0)
		dia_log(DIA_LOG_WARN, "peer", "frame_bad",
			"dc=%s direction=serve address=%s reason=%s", name,
			x->conn->address,
			dia_log_quote(reason, sizeof(reason), err->text));
	dia_log(DIA_LOG_INFO, "peer", "link_down",
		"dc=%s direction=serve address=%s reason=%s", name, x->conn->address,
		dia_log_quote(reason, sizeof(reason), err->text));
}

void *dia_sender_main(void *arg)
{
	struct dia_conn *conn = arg;
	struct dia_link *link = conn->link;
	struct sender x = {.conn = conn};
	struct dia_err err = {0};
	enum dia_rc rc =
		dia_session_init(&x.s, link, NULL, true, conn->fd, conn->kick_fd, &err);

	if (rc == DIA_OK)
		rc = welcome(&x, &err);
	if (rc == DIA_OK) {
		run(&x, &err);
	} else if (rc != DIA_E_STOPPED || atomic_load(&conn->kicked) != 0) {
		struct dia_dc dc = x.s.stream.peer.claimed;

		if (rc == DIA_E_STOPPED)
			(void)dia_err_set(&err, DIA_E_LIMIT, 0,
				"too many connections that have not proven the secret");
		else if (err.rc != rc)
			(void)dia_err_set(&err, rc, 0, "%s", dia_rc_text(rc));
		dia_link_refused(
			link, dia_link_peer_of(link, dc), true, conn->address, &err);
	}
	dia_session_goodbye(&x.s, &err);
	if (x.cursor != NULL)
		source_of(&x)->close(x.cursor);
	dia_txn_unref(x.large);
	dia_frame_encoder_fini(&x.encoder);
	dia_session_fini(&x.s);
	(void)pthread_mutex_lock(&link->lock);
	conn->done = true;
	(void)pthread_mutex_unlock(&link->lock);
	dia_peer_sock_poke(link->reap_fd);
	return NULL;
}
