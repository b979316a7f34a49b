/*
 * proxy/peer/puller.c - one thread per configured peer: connect, ask for everything after
 * what the sink has, deliver, acknowledge; for ever.
 *
 *   waiting --time--> connecting --secret, hello, identity--> pulling --error--> waiting
 *                                                             pulling <--AGAIN/wake-->
 * paused
 *
 * Paused: the sink is full. The socket is not read, so TCP holds the sender back;
 * heartbeats and acknowledgements still go out, so the sender knows that we live, and the
 * sender's silence is not counted against it.
 */
#include "proxy/core/fault.h"
#include "proxy/core/log.h"
#include "proxy/peer/session.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	BACKOFF_MIN_MS = 100,
	CONNECT_MS = 5000,
	PAUSE_US = 50000, /* retry of a full sink that does not wake us */
	ACK_US = 10000,   /* at most one acknowledgement in this time */
	FRAMES_A_ROUND = 64,
	SAME_REASON_US = 60000000,
	LIVED_US = 2000000,
};

struct puller {
	struct dia_peer *peer;
	struct dia_link *link;
	struct dia_session s;
	struct dia_frame_decoder decoder;
	struct dia_txn_builder builder;
	struct dia_txn *held;      /* refused with AGAIN */
	bool unpacking;            /* decoder may hold more of a batch */
	bool in_large, skip_large; /* between TXN_BEGIN and its last part */
	struct dia_txn_head large;
	uint64_t large_left;
	uint64_t last_seq; /* last delivered, or what the sink had */
	bool progressed, paused, readable;
	bool ack_due, ack_sent;
	uint64_t next_ack_us;
	struct dia_frame_ack acked;
	/* across connections */
	bool sticky; /* the last error ended a link that was up, and only an operator can
		      * cure it: it stays in the stats until something is delivered */
	uint32_t backoff_ms;
	char last_reason[DIA_ERR_TEXT_MAX];
	uint64_t reason_until_us;
};

static const struct dia_sink_ops *sink_of(const struct puller *p)
{
	return p->link->c.sink;
}

/* Whether this transaction is the next one. Duplicates are dropped in silence: after a
 * reconnect the sender starts from what we said we had. */
static enum dia_rc admit(struct puller *p, const struct dia_txn_head *head,
	bool *ret_skip, struct dia_err *reterr)
{
	bool watermark = (head->flags & DIA_TXN_WATERMARK) != 0;
	uint64_t next = p->last_seq + (watermark ? 0 : 1);

	if (head->origin.id != p->peer->config->dc.id)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: a transaction of dc %u from dc %u", head->origin.id,
			p->peer->config->dc.id);
	if (head->seq > next)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: sequence %" PRIu64 " where %" PRIu64 " was due",
			head->seq, next);
	*ret_skip = head->seq < next;
	return DIA_OK;
}

static enum dia_rc finish(
	struct puller *p, const struct dia_txn_head *head, struct dia_err *reterr)
{
	return dia_txn_builder_finish(&p->builder, head, &p->held, reterr);
}

/* The next transaction of the batch into held; DIA_E_NOT_FOUND when it has no more. */
static enum dia_rc unpack(struct puller *p, struct dia_err *reterr)
{
	while (p->unpacking) {
		struct dia_txn_head head;
		struct dia_slice body;
		bool skip;
		enum dia_rc rc;

		switch (dia_frame_decoder_next(&p->decoder, &head, &body, reterr)) {
		case DIA_PARSE_BAD:
			return DIA_E_PROTOCOL;
		case DIA_PARSE_MORE:
			p->unpacking = false;
			p->ack_due = true;
			continue;
		case DIA_PARSE_OK:
			break;
		}
		rc = admit(p, &head, &skip, reterr);
		if (rc == DIA_OK && skip)
			continue;
		if (rc == DIA_OK)
			rc = dia_txn_builder_add(&p->builder, body, reterr);
		return rc == DIA_OK ? finish(p, &head, reterr) : rc;
	}
	return DIA_E_NOT_FOUND;
}

static enum dia_rc deliver(struct puller *p, struct dia_err *reterr)
{
	struct dia_link_stats *stats = &p->peer->stats;
	const struct dia_txn_head head = p->held->head;
	size_t len = p->held->body_len;
	enum dia_rc rc;

	DIA_FAULT("peer_received");
	rc = sink_of(p)->deliver(
		p->link->c.sink_ctx, p->peer->config->dc, p->held, reterr);
	p->paused = rc == DIA_E_AGAIN;
	if (rc != DIA_OK)
		return rc;
	p->held = NULL;
	p->last_seq = head.seq;
	p->progressed = true;
	(void)pthread_mutex_lock(&p->link->lock);
	stats->received_seq = head.seq;
	stats->raw_bytes_in += len;
	if ((head.flags & DIA_TXN_WATERMARK) == 0)
		stats->txns_in++;
	if (p->sticky)
		p->peer->pull_error = (struct dia_err){0};
	(void)pthread_mutex_unlock(&p->link->lock);
	p->sticky = false;
	return DIA_OK;
}

/* Deliver what is decoded. DIA_E_AGAIN: the sink is full. */
static enum dia_rc drain(struct puller *p, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	while (rc == DIA_OK) {
		if (p->held == NULL)
			rc = unpack(p, reterr);
		if (rc == DIA_OK)
			rc = deliver(p, reterr);
	}
	return rc == DIA_E_NOT_FOUND ? DIA_OK : rc;
}

static enum dia_rc take_begin(
	struct puller *p, const struct dia_frame *frame, struct dia_err *reterr)
{
	uint64_t most = p->link->c.max_txn_bytes;
	enum dia_rc rc =
		dia_frame_get_begin(frame->payload, &p->large, &p->large_left, reterr);

	if (rc == DIA_OK)
		rc = admit(p, &p->large, &p->skip_large, reterr);
	if (rc != DIA_OK)
		return rc;
	if (p->large_left > (most != 0 ? most : SIZE_MAX / 8)) {
		p->s.farewell = DIA_GOODBYE_TOO_LARGE;
		return dia_err_set(reterr, DIA_E_LIMIT, 0,
			"a transaction of %" PRIu64 " bytes, at most %" PRIu64
			" are taken here",
			p->large_left, most);
	}
	p->in_large = true;
	return DIA_OK;
}

static enum dia_rc take_part(
	struct puller *p, const struct dia_frame *frame, struct dia_err *reterr)
{
	struct dia_slice bytes;
	enum dia_rc rc =
		dia_frame_decoder_part(&p->decoder, frame->payload, &bytes, reterr);

	if (rc != DIA_OK)
		return rc;
	if (!p->in_large || bytes.len > p->large_left)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: a part of %zu bytes, %" PRIu64 " were due", bytes.len,
			p->in_large ? p->large_left : 0);
	if (!p->skip_large)
		rc = dia_txn_builder_add(&p->builder, bytes, reterr);
	p->large_left -= bytes.len;
	if (rc != DIA_OK || p->large_left > 0)
		return rc;
	p->in_large = false;
	p->ack_due = true;
	return p->skip_large ? DIA_OK : finish(p, &p->large, reterr);
}

static enum dia_rc take(
	struct puller *p, const struct dia_frame *frame, struct dia_err *reterr)
{
	enum dia_rc rc;

	switch (frame->type) {
	case DIA_FRAME_BATCH:
	case DIA_FRAME_TXN_BEGIN:
		if (p->in_large)
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"bad frame: type %u amid a large transaction",
				frame->type);
		if (frame->type == DIA_FRAME_TXN_BEGIN)
			return take_begin(p, frame, reterr);
		rc = dia_frame_decoder_batch(&p->decoder, frame->payload, reterr);
		p->unpacking = rc == DIA_OK;
		return rc;
	case DIA_FRAME_TXN_PART:
		return take_part(p, frame, reterr);
	case DIA_FRAME_HELLO:
	case DIA_FRAME_ACK:
	case DIA_FRAME_PING:
	case DIA_FRAME_PONG:
	case DIA_FRAME_GOODBYE:
		break;
	}
	return dia_session_control(&p->s, frame, reterr);
}

static enum dia_rc receive(struct puller *p, struct dia_err *reterr)
{
	enum dia_rc rc = drain(p, reterr);

	for (int i = 0; rc == DIA_OK && p->readable && i < FRAMES_A_ROUND; i++) {
		struct dia_frame frame;

		rc = dia_stream_next(&p->s.stream, DIA_FRAME_MAX, &frame, reterr);
		if (rc == DIA_E_AGAIN) {
			p->readable = false;
			return DIA_OK;
		}
		if (rc == DIA_OK)
			rc = take(p, &frame, reterr);
		if (rc == DIA_OK)
			rc = drain(p, reterr);
	}
	return rc == DIA_E_AGAIN ? DIA_OK : rc;
}

static enum dia_rc acknowledge(struct puller *p, uint64_t now, struct dia_err *reterr)
{
	struct dia_frame_ack ack = {0};
	enum dia_rc rc;

	if (!p->ack_due || now < p->next_ack_us)
		return DIA_OK;
	p->ack_due = false;
	rc = sink_of(p)->position(
		p->link->c.sink_ctx, p->peer->config->dc, &ack.received, &ack.applied);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "reading the applied position: %s",
			dia_rc_text(rc));
	/* A sink that counts what it got by itself cannot have more than we gave it. */
	if (ack.received > p->last_seq)
		ack.received = p->last_seq;
	if (ack.applied > ack.received)
		ack.applied = ack.received;
	if (p->ack_sent && ack.received == p->acked.received &&
		ack.applied == p->acked.applied)
		return DIA_OK;
	p->ack_sent = true;
	p->acked = ack;
	p->next_ack_us = now + ACK_US;
	return dia_frame_put_ack(&p->s.stream.out, &ack);
}

static uint64_t wake_at(const struct puller *p, uint64_t now)
{
	uint64_t at = p->s.next_beat_us;

	if (p->readable && !p->paused)
		return now;
	if (p->paused && now + PAUSE_US < at)
		at = now + PAUSE_US;
	if (p->ack_due && p->next_ack_us < at)
		at = p->next_ack_us;
	return at;
}

static enum dia_rc pull(struct puller *p, struct dia_err *reterr)
{
	int wake_fd = sink_of(p)->wake_fd(p->link->c.sink_ctx, p->peer->config->dc);
	struct dia_stream *stream = &p->s.stream;
	enum dia_rc rc;

	p->readable = true;
	p->ack_due = true;
	for (;;) {
		uint64_t now;
		short events;
		bool woken;

		rc = receive(p, reterr);
		now = dia_link_now(p->link);
		if (rc == DIA_OK) {
			dia_session_count(&p->s, now);
			rc = dia_session_beat(&p->s, now, !p->paused, reterr);
		}
		if (rc == DIA_OK)
			rc = acknowledge(p, now, reterr);
		if (rc == DIA_OK)
			rc = dia_stream_flush(stream, reterr);
		if (rc == DIA_OK || rc == DIA_E_AGAIN)
			rc = dia_session_wait(&p->s,
				dia_stream_events(stream, !p->paused && !p->readable),
				wake_fd, wake_at(p, now), &events, &woken, reterr);
		if (rc != DIA_OK)
			return rc;
		if (woken)
			p->ack_due = true;
		/* Unread frames are lost with a connection that ended while paused; they
		 * come again. */
		if (p->paused && (events & (POLLHUP | POLLERR)) != 0)
			return dia_err_set(reterr, DIA_E_CLOSED, 0,
				"the other side closed the connection");
		/* TLS may hold decrypted bytes after a pause, which poll does not see. */
		if (p->paused || (events & (POLLIN | POLLHUP | POLLERR)) != 0)
			p->readable = true;
	}
}

static enum dia_rc greet(struct puller *p, struct dia_err *reterr)
{
	const struct dia_link_config *c = &p->link->c;
	struct dia_dc dc = p->peer->config->dc;
	uint64_t deadline = dia_link_now(p->link) + (uint64_t)c->handshake_ms * 1000;
	uint64_t applied;
	enum dia_rc rc = dia_session_handshake(&p->s, deadline, reterr);

	if (rc == DIA_OK) {
		rc = sink_of(p)->position(c->sink_ctx, dc, &p->last_seq, &applied);
		if (rc != DIA_OK)
			return dia_err_set(reterr, rc, 0,
				"reading the applied position: %s", dia_rc_text(rc));
		rc = dia_session_put_hello(&p->s, dc, p->last_seq);
	}
	if (rc == DIA_OK)
		rc = dia_session_get_hello(&p->s, deadline, reterr);
	if (rc != DIA_OK)
		return rc;
	rc = sink_of(p)->identify(
		c->sink_ctx, dc, p->s.hello.incarnation, p->s.hello.head_seq, reterr);
	if (rc != DIA_OK)
		p->s.farewell = DIA_GOODBYE_IDENTITY;
	return rc == DIA_OK ? dia_frame_decoder_init(&p->decoder, reterr) : rc;
}

static void set_up(struct puller *p)
{
	struct dia_link_stats *stats = &p->peer->stats;

	(void)pthread_mutex_lock(&p->link->lock);
	stats->pulling = true;
	stats->connects++;
	stats->received_seq = p->last_seq;
	stats->peer_head_seq = p->s.hello.head_seq;
	p->peer->clock_count = 0;
	if (!p->sticky)
		p->peer->pull_error = (struct dia_err){0};
	(void)pthread_mutex_unlock(&p->link->lock);
}

/* Down and why are seen together. */
static void set_down(struct puller *p, const struct dia_err *err)
{
	(void)pthread_mutex_lock(&p->link->lock);
	p->peer->stats.pulling = false;
	if (err->rc != DIA_E_STOPPED)
		p->peer->pull_error = *err;
	(void)pthread_mutex_unlock(&p->link->lock);
}

static void log_down(struct puller *p, bool was_up, const struct dia_err *err)
{
	const struct dia_link_peer *peer = p->peer->config;
	char reason[DIA_ERR_TEXT_MAX + 8];
	uint64_t now = dia_link_now(p->link);

	(void)dia_log_quote(reason, sizeof(reason), err->text);
	if (was_up && err->rc == DIA_E_PROTOCOL && p->s.told == 0)
		dia_log(DIA_LOG_WARN, "peer", "frame_bad",
			"dc=%s direction=pull address=%s reason=%s", peer->name,
			peer->address, reason);
	/* A peer that is away for a day must not fill the log with one sentence. */
	if (!was_up && strcmp(p->last_reason, err->text) == 0 && now < p->reason_until_us)
		return;
	(void)snprintf(p->last_reason, sizeof(p->last_reason), "%s", err->text);
	p->reason_until_us = now + SAME_REASON_US;
	dia_log(was_up ? DIA_LOG_INFO : DIA_LOG_WARN, "peer", "link_down",
		"dc=%s direction=pull address=%s reason=%s", peer->name, peer->address,
		reason);
}

/* One connection from its beginning to its end; err says why it ended. */
static void attempt(struct puller *p, struct dia_err *err)
{
	const struct dia_link_peer *peer = p->peer->config;
	bool up = false;
	int fd = -1;
	enum dia_rc rc = dia_peer_sock_connect(
		peer->address, p->link->stop_fd, CONNECT_MS, &fd, err);

	p->progressed = false;
	if (rc != DIA_OK) {
		p->s = (struct dia_session){0};
		set_down(p, err);
		goto out;
	}
	dia_txn_builder_init(&p->builder, p->link->c.spill_dir, p->link->c.spill_bytes);
	rc = dia_session_init(&p->s, p->link, p->peer, false, fd, -1, err);
	if (rc == DIA_OK)
		rc = greet(p, err);
	up = rc == DIA_OK;
	if (up) {
		set_up(p);
		dia_log(DIA_LOG_INFO, "peer", "link_up",
			"dc=%s direction=pull address=%s after_seq=%" PRIu64
			" version=%" PRIu32,
			peer->name, peer->address, p->last_seq, p->s.version);
		p->last_reason[0] = '\0';
		rc = pull(p, err);
		p->sticky = dia_goodbye_is_slow(p->s.told) ||
			    dia_goodbye_is_slow(p->s.farewell);
	}
	if (err->rc != rc)
		(void)dia_err_set(err, rc, 0, "%s", dia_rc_text(rc));
	dia_session_count(&p->s, dia_link_now(p->link));
	set_down(p, err);
	if (!up && (rc == DIA_E_AUTH || p->s.told != 0))
		dia_link_refused(p->link, p->peer, false, peer->address, err);
	dia_session_goodbye(&p->s, err);
	dia_session_fini(&p->s);
	dia_frame_decoder_fini(&p->decoder);
	dia_txn_builder_fini(&p->builder);
	dia_txn_unref(p->held);
	p->held = NULL;
	p->unpacking = p->in_large = p->paused = p->ack_sent = false;
	p->next_ack_us = 0;
	(void)close(fd);
out:
	if (rc != DIA_E_STOPPED)
		log_down(p, up, err);
}

/* Half of the time is fixed, half is chance, so that two DCs that lost each other do not
 * knock in step. */
static uint64_t jitter_us(uint32_t ms)
{
	uint64_t half = (uint64_t)ms * 500;
	uint64_t chance = 0;

	if (RAND_bytes((unsigned char *)&chance, sizeof(chance)) != 1)
		chance = half;
	return half + chance % (half + 1);
}

static uint64_t next_delay_us(
	struct puller *p, const struct dia_err *err, uint64_t lived_us)
{
	const struct dia_link_config *c = &p->link->c;
	uint32_t now_ms;

	/* Success is to have moved something or to have held for a while: a peer that
	 * says hello and falls over each time is not knocked at ten times a second. */
	if (p->progressed || lived_us > LIVED_US)
		p->backoff_ms = BACKOFF_MIN_MS;
	if (dia_goodbye_is_slow(p->s.told) || dia_goodbye_is_slow(p->s.farewell) ||
		err->rc == DIA_E_AUTH || err->rc == DIA_E_CONFIG)
		return jitter_us(c->slow_retry_ms);
	now_ms = p->backoff_ms;
	p->backoff_ms = now_ms > c->retry_max_ms / 2 ? c->retry_max_ms : now_ms * 2;
	return jitter_us(now_ms);
}

void *dia_puller_main(void *arg)
{
	struct dia_peer *peer = arg;
	struct dia_link *link = peer->link;
	struct puller p = {.peer = peer, .link = link, .backoff_ms = BACKOFF_MIN_MS};
	struct pollfd stop = {.fd = link->stop_fd, .events = POLLIN};

	for (;;) {
		struct dia_err err = {0};
		uint64_t started = dia_link_now(link), up_us, delay;

		attempt(&p, &err);
		if (err.rc == DIA_E_STOPPED)
			return NULL;
		up_us = dia_link_now(link) - started;
		delay = next_delay_us(&p, &err, up_us);
		if (poll(&stop, 1, (int)(delay / 1000)) > 0)
			return NULL;
	}
}
