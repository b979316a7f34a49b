/* proxy/peer/session.c - see session.h. */
#include "proxy/peer/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	/* Heartbeats are skipped while more than this waits to be written: what waits is
	 * a sign of life itself. */
	BEAT_PENDING_MAX = 64 << 10,
	GOODBYE_MS = 200,
};

enum dia_rc dia_session_init(struct dia_session *s, struct dia_link *link,
	struct dia_peer *peer, bool server, int fd, int kick_fd, struct dia_err *reterr)
{
	*s = (struct dia_session){.link = link, .peer = peer, .kick_fd = kick_fd};
	s->last_in_us = dia_link_now(link);
	s->next_beat_us = s->last_in_us;
	return dia_stream_init(&s->stream, &link->tls, server, fd, reterr);
}

void dia_session_fini(struct dia_session *s)
{
	dia_stream_fini(&s->stream);
}

enum dia_rc dia_session_wait(struct dia_session *s, short events, int wake_fd,
	uint64_t until_us, short *ret_events, bool *ret_woken, struct dia_err *reterr)
{
	struct pollfd p[4] = {
		{.fd = s->stream.fd, .events = events},
		{.fd = s->link->stop_fd, .events = POLLIN},
		{.fd = s->kick_fd, .events = POLLIN},
		{.fd = wake_fd, .events = POLLIN},
	};
	uint64_t now = dia_link_now(s->link);
	uint64_t left = until_us > now ? until_us - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(left / 1000000),
		.tv_nsec = (long)(left % 1000000) * 1000};

	*ret_events = 0;
	*ret_woken = false;
	if (ppoll(p, 4, &ts, NULL) < 0) {
		if (errno == EINTR)
			return DIA_OK;
		return dia_err_set(reterr, DIA_E_IO, errno, "poll: %s", strerror(errno));
	}
	if (((p[1].revents | p[2].revents) & POLLIN) != 0)
		return dia_err_set(reterr, DIA_E_STOPPED, 0,
			(p[1].revents & POLLIN) != 0 ? "shutting down"
						     : "replaced by a newer connection");
	*ret_events = p[0].revents;
	*ret_woken = (p[3].revents & POLLIN) != 0;
	if (*ret_woken)
		dia_peer_sock_drain(wake_fd);
	return DIA_OK;
}

/* Wait for the stream alone; running past the deadline is an error. */
static enum dia_rc wait_until(struct dia_session *s, uint64_t deadline_us,
	const char *for_what, struct dia_err *reterr)
{
	short events;
	bool woken;
	enum dia_rc rc = dia_session_wait(s, dia_stream_events(&s->stream, true), -1,
		deadline_us, &events, &woken, reterr);

	if (rc == DIA_OK && events == 0 && dia_link_now(s->link) >= deadline_us)
		return dia_err_set(reterr, DIA_E_TIMEOUT, 0,
			"timed out waiting for the other side's %s", for_what);
	return rc;
}

enum dia_rc dia_session_handshake(
	struct dia_session *s, uint64_t deadline_us, struct dia_err *reterr)
{
	enum dia_rc rc;

	while ((rc = dia_stream_handshake(&s->stream, reterr)) == DIA_E_AGAIN) {
		rc = wait_until(s, deadline_us, "handshake", reterr);
		if (rc != DIA_OK)
			return rc;
	}
	return rc;
}

enum dia_rc dia_session_put_hello(
	struct dia_session *s, struct dia_dc to, uint64_t after_seq)
{
	const struct dia_link_config *c = &s->link->c;
	struct dia_frame_hello hello = {
		.version_min = DIA_LINK_VERSION_MIN,
		.version_max = DIA_LINK_VERSION_MAX,
		.from = c->self,
		.to = to,
		.incarnation = c->source->incarnation(c->source_ctx),
		.head_seq = c->source->head_seq(c->source_ctx),
		.max_txn_bytes = c->max_txn_bytes,
		.after_seq = after_seq,
	};

	(void)snprintf(hello.name, sizeof(hello.name), "%s",
		c->self_name == NULL ? "" : c->self_name);
	return dia_frame_put_hello(&s->stream.out, &hello);
}

static enum dia_rc check_hello(struct dia_session *s, struct dia_err *reterr)
{
	const struct dia_frame_hello ours = {
		.version_min = DIA_LINK_VERSION_MIN, .version_max = DIA_LINK_VERSION_MAX};
	const struct dia_frame_hello *h = &s->hello;

	s->version = dia_frame_version(&ours, h);
	if (s->version == 0) {
		s->farewell = DIA_GOODBYE_VERSION;
		return dia_err_set(reterr, DIA_E_UNSUPPORTED, 0,
			"link versions %u to %u there, %u to %u here: upgrade the older "
			"diarchy",
			h->version_min, h->version_max, ours.version_min,
			ours.version_max);
	}
	s->farewell = DIA_GOODBYE_UNKNOWN_DC;
	if (h->to.id != s->link->c.self.id)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"dc %u looks for dc %u and found dc %u: correct the peer's "
			"address or the ids",
			h->from.id, h->to.id, s->link->c.self.id);
	if (s->peer != NULL && h->from.id != s->peer->config->dc.id)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"%s is dc %u (%s), not dc %u: correct the peer's address or id",
			s->peer->config->address, h->from.id, h->name,
			s->peer->config->dc.id);
	if (dia_link_peer_of(s->link, h->from) == NULL)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"unknown dc: dc %u (%s) is not among the peers of dc %u; add it "
			"to peer.dcs there",
			h->from.id, h->name, s->link->c.self.id);
	s->farewell = 0;
	return DIA_OK;
}

enum dia_rc dia_session_get_hello(
	struct dia_session *s, uint64_t deadline_us, struct dia_err *reterr)
{
	struct dia_frame frame;
	enum dia_rc rc;

	for (;;) {
		rc = dia_stream_flush(&s->stream, reterr);
		if (rc != DIA_OK && rc != DIA_E_AGAIN)
			return rc;
		rc = dia_stream_next(&s->stream, DIA_FRAME_SMALL_MAX, &frame, reterr);
		if (rc == DIA_OK)
			break;
		if (rc == DIA_E_AGAIN)
			rc = wait_until(s, deadline_us, "hello", reterr);
		if (rc != DIA_OK)
			return rc;
	}
	if (frame.type == DIA_FRAME_GOODBYE)
		return dia_session_control(s, &frame, reterr);
	if (frame.type != DIA_FRAME_HELLO)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: type %u where a hello was due", frame.type);
	rc = dia_frame_get_hello(frame.payload, &s->hello, reterr);
	if (rc == DIA_OK)
		rc = check_hello(s, reterr);
	if (rc == DIA_OK)
		dia_session_count(s, dia_link_now(s->link));
	return rc;
}

/* The offset is taken from the round trip that was quickest of the last few: the others
 * waited somewhere, and nobody knows on which leg. */
static void learn_clock(struct dia_session *s, const struct dia_frame_beat *pong)
{
	struct dia_peer *peer = s->peer;
	uint64_t now = dia_link_now(s->link);
	uint64_t wall = dia_clock_wall_ms(&s->link->c.clock);
	uint64_t rtt = now - pong->id;
	uint32_t at, best = 0;

	if (pong->id > now || peer == NULL)
		return;
	(void)pthread_mutex_lock(&s->link->lock);
	at = peer->clock_count++ % DIA_LINK_CLOCK_SAMPLES;
	peer->clock[at].rtt_us = rtt;
	peer->clock[at].offset_ms =
		(int64_t)pong->wall_ms - (int64_t)wall + (int64_t)(rtt / 2000);
	for (uint32_t i = 1; i < DIA_LINK_CLOCK_SAMPLES && i < peer->clock_count; i++)
		if (peer->clock[i].rtt_us < peer->clock[best].rtt_us)
			best = i;
	peer->stats.clock_offset_ms = peer->clock[best].offset_ms;
	peer->stats.rtt_us = rtt;
	(void)pthread_mutex_unlock(&s->link->lock);
}

static void learn_head(struct dia_session *s, uint64_t head_seq)
{
	if (s->peer == NULL)
		return;
	(void)pthread_mutex_lock(&s->link->lock);
	s->peer->stats.peer_head_seq = head_seq;
	(void)pthread_mutex_unlock(&s->link->lock);
}

static enum dia_rc put_beat(struct dia_session *s, enum dia_frame_type type, uint64_t id)
{
	const struct dia_link_config *c = &s->link->c;
	struct dia_frame_beat beat = {.id = id,
		.wall_ms = dia_clock_wall_ms(&c->clock),
		.head_seq = c->source->head_seq(c->source_ctx)};

	return dia_frame_put_beat(&s->stream.out, type, &beat);
}

enum dia_rc dia_session_control(
	struct dia_session *s, const struct dia_frame *frame, struct dia_err *reterr)
{
	struct dia_frame_goodbye goodbye;
	struct dia_frame_beat beat;
	enum dia_rc rc;

	if (frame->type == DIA_FRAME_GOODBYE) {
		rc = dia_frame_get_goodbye(frame->payload, &goodbye, reterr);
		if (rc != DIA_OK)
			return rc;
		s->told = goodbye.code;
		return dia_err_set(reterr, dia_goodbye_rc(goodbye.code), 0,
			"the other side ended the link (%s): %s",
			dia_goodbye_label(goodbye.code), goodbye.text);
	}
	if (frame->type != DIA_FRAME_PING && frame->type != DIA_FRAME_PONG)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"bad frame: type %u in the wrong place", frame->type);
	rc = dia_frame_get_beat(frame->payload, &beat, reterr);
	if (rc != DIA_OK)
		return rc;
	learn_head(s, beat.head_seq);
	if (frame->type == DIA_FRAME_PONG) {
		learn_clock(s, &beat);
		return DIA_OK;
	}
	/* A flood of pings gets no flood of pongs into memory. */
	if (dia_stream_pending(&s->stream) > DIA_FRAME_MAX)
		return DIA_OK;
	return put_beat(s, DIA_FRAME_PONG, beat.id);
}

enum dia_rc dia_session_beat(
	struct dia_session *s, uint64_t now_us, bool listening, struct dia_err *reterr)
{
	const struct dia_link_config *c = &s->link->c;

	if (!listening)
		s->last_in_us = now_us;
	if (now_us - s->last_in_us > (uint64_t)c->dead_ms * 1000)
		return dia_err_set(reterr, DIA_E_TIMEOUT, 0,
			"no sign of life for %" PRIu32 " ms", c->dead_ms);
	if (now_us < s->next_beat_us)
		return DIA_OK;
	s->next_beat_us = now_us + (uint64_t)c->heartbeat_ms * 1000;
	if (dia_stream_pending(&s->stream) > BEAT_PENDING_MAX)
		return DIA_OK;
	return put_beat(s, DIA_FRAME_PING, now_us) == DIA_OK
		       ? DIA_OK
		       : dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a heartbeat");
}

void dia_session_count(struct dia_session *s, uint64_t now_us)
{
	uint64_t in = s->stream.bytes_in - s->in_seen;
	uint64_t out = s->stream.bytes_out - s->out_seen;

	if (in > 0)
		s->last_in_us = now_us;
	if (s->peer == NULL || (in == 0 && out == 0))
		return;
	s->in_seen += in;
	s->out_seen += out;
	(void)pthread_mutex_lock(&s->link->lock);
	s->peer->stats.bytes_in += in;
	s->peer->stats.bytes_out += out;
	(void)pthread_mutex_unlock(&s->link->lock);
}

static uint32_t farewell_for(const struct dia_err *err)
{
	if (err->rc == DIA_E_STOPPED)
		return DIA_GOODBYE_SHUTDOWN;
	return err->rc == DIA_E_PROTOCOL ? DIA_GOODBYE_PROTOCOL : DIA_GOODBYE_FAILED;
}

/* Closing a socket with unread bytes in it resets the connection, and a reset overtakes
 * the goodbye. So read them away until the other side has closed too. */
static void linger(struct dia_session *s, uint64_t until_us)
{
	struct pollfd p = {.fd = s->stream.fd, .events = POLLIN};
	uint8_t away[16384];
	ssize_t n;

	if (shutdown(p.fd, SHUT_WR) != 0)
		return;
	do {
		n = recv(p.fd, away, sizeof(away), 0);
		if (n < 0 && errno == EAGAIN)
			n = poll(&p, 1, GOODBYE_MS / 4);
	} while (
		(n > 0 || (n < 0 && errno == EINTR)) && dia_link_now(s->link) < until_us);
}

void dia_session_goodbye(struct dia_session *s, const struct dia_err *err)
{
	struct dia_frame_goodbye goodbye = {
		.code = s->farewell != 0 ? s->farewell : farewell_for(err)};
	uint64_t until = dia_link_now(s->link) + GOODBYE_MS * 1000;
	enum dia_rc rc;

	if (!s->stream.up || s->told != 0 || err->rc == DIA_E_CLOSED)
		return;
	(void)snprintf(goodbye.text, sizeof(goodbye.text), "%.*s", DIA_FRAME_TEXT_MAX - 1,
		err->text);
	if (dia_frame_put_goodbye(&s->stream.out, &goodbye) != DIA_OK)
		return;
	while ((rc = dia_stream_flush(&s->stream, NULL)) == DIA_E_AGAIN &&
		dia_link_now(s->link) < until) {
		struct pollfd p = {.fd = s->stream.fd, .events = POLLOUT};

		if (poll(&p, 1, GOODBYE_MS / 4) < 0 && errno != EINTR)
			break;
	}
	if (rc == DIA_OK)
		linger(s, until);
}
