/*
 * tests/unit/peer_fake.h - a source, a sink and a wire for tests of the peer link.
 *
 * The source makes transaction n out of n alone, so the sink can check every byte without
 * having seen it before. The wire is a TCP relay that can cut, freeze and record.
 */
#ifndef DIA_TESTS_PEER_FAKE_H
#define DIA_TESTS_PEER_FAKE_H

#include "proxy/core/buf.h"
#include "proxy/core/log.h"
#include "proxy/peer/link.h"
#include "proxy/peer/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { FAKE_CURSORS = 16, FAKE_PAIRS = 16, FAKE_WAIT_MS = 30000 };

static inline uint64_t fake_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* For conditions that have no condition variable: stats of a link. */
#define FAKE_AWAIT(condition)                                                          \
	do {                                                                           \
		uint64_t until_ = fake_now_ms() + FAKE_WAIT_MS;                        \
		while (!(condition) && fake_now_ms() < until_)                         \
			(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); \
		assert_true(condition);                                                \
	} while (0)

static inline uint64_t fake_mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ (x >> 32);
}

/* ---- source ---- */

struct fake_cursor {
	struct fake_source *source;
	uint64_t last;
	uint64_t marked; /* watermark given for this seq */
	int fd;
	bool used;
};

struct fake_source {
	pthread_mutex_t lock;
	uint64_t head, incarnation, purged_to;
	struct dia_dc self;
	size_t body_bytes;  /* of every body but */
	uint64_t large_seq; /* this one */
	size_t large_bytes;
	bool watermarks;
	uint64_t rewind; /* a cursor starts so much earlier than asked */
	const char *spill_dir;
	struct fake_cursor cursors[FAKE_CURSORS];
	uint64_t received, applied; /* as acknowledged */
	unsigned opens;
};

static inline size_t fake_body_len(const struct fake_source *s, uint64_t seq)
{
	if (seq == s->large_seq)
		return s->large_bytes;
	return s->body_bytes == 0 ? 0 : 1 + fake_mix(seq) % s->body_bytes;
}

/* len bytes of the body of seq from offset at (a multiple of 8). */
static inline void fake_fill(uint64_t seq, size_t at, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = fake_mix(seq * 1000003 + (at + i) / 8);

		memcpy(out + i, &v, len - i < 8 ? len - i : 8);
	}
}

/* A row that must not be seen on the wire. */
#define FAKE_CLEAR_TEXT "the-secret-balance-of-alice-is-4711"

static inline struct dia_txn *fake_txn(const struct fake_source *s, uint64_t seq)
{
	struct dia_txn_head head = {.origin = s->self,
		.seq = seq,
		.stamp = {seq << 16},
		.gtid = {.domain = 0, .server = 7, .seq_no = seq},
		.commit_time = (uint32_t)seq,
		.captured_us = seq,
		.deps = {.count = 1, .at = {{.dc = {60}, .seq = seq / 2}}}};
	struct dia_txn_builder b;
	struct dia_txn *txn = NULL;
	size_t len = fake_body_len(s, seq);
	uint8_t chunk[65536];

	dia_txn_builder_init(&b, s->spill_dir, 1 << 20);
	for (size_t at = 0; at < len; at += sizeof(chunk)) {
		size_t n = len - at < sizeof(chunk) ? len - at : sizeof(chunk);

		fake_fill(seq, at, chunk, n);
		if (at == 0 && n >= 64)
			memcpy(chunk + 8, FAKE_CLEAR_TEXT, strlen(FAKE_CLEAR_TEXT));
		if (dia_txn_builder_add(&b, dia_slice_of(chunk, n), NULL) != DIA_OK)
			abort();
	}
	if (dia_txn_builder_finish(&b, &head, &txn, NULL) != DIA_OK)
		abort();
	return txn;
}

static inline bool fake_txn_is_right(
	const struct fake_source *s, const struct dia_txn *txn)
{
	struct dia_slice body = dia_txn_body(txn);
	uint8_t chunk[65536];

	if (body.len != fake_body_len(s, txn->head.seq) ||
		txn->head.stamp.v != txn->head.seq << 16 ||
		txn->head.gtid.seq_no != txn->head.seq || txn->head.deps.count != 1 ||
		txn->head.deps.at[0].seq != txn->head.seq / 2)
		return false;
	for (size_t at = 0; at < body.len; at += sizeof(chunk)) {
		size_t n = body.len - at < sizeof(chunk) ? body.len - at : sizeof(chunk);

		fake_fill(txn->head.seq, at, chunk, n);
		if (at == 0 && n >= 64)
			memcpy(chunk + 8, FAKE_CLEAR_TEXT, strlen(FAKE_CLEAR_TEXT));
		if (memcmp(chunk, body.data + at, n) != 0)
			return false;
	}
	return true;
}

static inline void fake_source_init(struct fake_source *s, uint16_t dc)
{
	*s = (struct fake_source){
		.self = {dc}, .incarnation = 1000 + dc, .body_bytes = 1000};
	(void)pthread_mutex_init(&s->lock, NULL);
}

static inline void fake_source_publish(struct fake_source *s, uint64_t head)
{
	(void)pthread_mutex_lock(&s->lock);
	s->head = head;
	for (int i = 0; i < FAKE_CURSORS; i++)
		if (s->cursors[i].used)
			dia_peer_sock_poke(s->cursors[i].fd);
	(void)pthread_mutex_unlock(&s->lock);
}

static inline enum dia_rc fake_source_open(
	void *ctx, uint64_t after_seq, void **ret_cursor, struct dia_err *reterr)
{
	struct fake_source *s = ctx;
	enum dia_rc rc = DIA_E_LIMIT;

	(void)pthread_mutex_lock(&s->lock);
	if (after_seq < s->purged_to) {
		(void)pthread_mutex_unlock(&s->lock);
		return dia_err_set(reterr, DIA_E_NOT_FOUND, 0, "the binlog is purged");
	}
	for (int i = 0; i < FAKE_CURSORS && rc != DIA_OK; i++) {
		struct fake_cursor *c = &s->cursors[i];

		if (c->used)
			continue;
		*c = (struct fake_cursor){.source = s,
			.last = after_seq > s->rewind ? after_seq - s->rewind : 0,
			.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
			.used = true};
		*ret_cursor = c;
		s->opens++;
		rc = DIA_OK;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

static inline enum dia_rc fake_source_next(
	void *cursor, struct dia_txn **ret, struct dia_err *reterr)
{
	struct fake_cursor *c = cursor;
	uint64_t head;

	(void)reterr;
	(void)pthread_mutex_lock(&c->source->lock);
	head = c->source->head;
	(void)pthread_mutex_unlock(&c->source->lock);
	if (c->last < head) {
		*ret = fake_txn(c->source, ++c->last);
		return DIA_OK;
	}
	if (c->source->watermarks && c->marked != c->last && c->last > 0) {
		struct dia_txn_head mark = {.origin = c->source->self,
			.flags = DIA_TXN_WATERMARK,
			.seq = c->last,
			.stamp = {c->last << 16}};
		struct dia_txn_builder b;

		c->marked = c->last;
		dia_txn_builder_init(&b, NULL, 0);
		return dia_txn_builder_finish(&b, &mark, ret, NULL);
	}
	return DIA_E_AGAIN;
}

static inline int fake_source_wake_fd(void *cursor)
{
	return ((struct fake_cursor *)cursor)->fd;
}

static inline void fake_source_close(void *cursor)
{
	struct fake_cursor *c = cursor;

	(void)pthread_mutex_lock(&c->source->lock);
	(void)close(c->fd);
	c->used = false;
	(void)pthread_mutex_unlock(&c->source->lock);
}

static inline uint64_t fake_source_head(void *ctx)
{
	struct fake_source *s = ctx;
	uint64_t v;

	(void)pthread_mutex_lock(&s->lock);
	v = s->head;
	(void)pthread_mutex_unlock(&s->lock);
	return v;
}

static inline uint64_t fake_source_incarnation(void *ctx)
{
	return ((struct fake_source *)ctx)->incarnation;
}

static inline void fake_source_acked(
	void *ctx, struct dia_dc peer, uint64_t received, uint64_t applied)
{
	struct fake_source *s = ctx;

	(void)peer;
	(void)pthread_mutex_lock(&s->lock);
	s->received = received;
	s->applied = applied;
	(void)pthread_mutex_unlock(&s->lock);
}

static inline uint64_t fake_source_applied(struct fake_source *s)
{
	uint64_t v;

	(void)pthread_mutex_lock(&s->lock);
	v = s->applied;
	(void)pthread_mutex_unlock(&s->lock);
	return v;
}

static const struct dia_source_ops fake_source_ops = {
	.open = fake_source_open,
	.next = fake_source_next,
	.wake_fd = fake_source_wake_fd,
	.close = fake_source_close,
	.head_seq = fake_source_head,
	.incarnation = fake_source_incarnation,
	.acked = fake_source_acked,
};

/* ---- sink ---- */

struct fake_sink {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct fake_source *expect; /* what the peer sends */
	uint64_t received, applied, again, wrong, marks, mapped, mark_seq;
	bool stuck, lag; /* refuse everything; receive but do not apply */
	enum dia_rc identity;
	int fd;
};

static inline void fake_sink_init(struct fake_sink *k, const struct fake_source *expect)
{
	*k = (struct fake_sink){
		.expect = expect, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_cond_init(&k->changed, NULL);
}

static inline void fake_sink_fini(struct fake_sink *k)
{
	(void)close(k->fd);
}

static inline enum dia_rc fake_sink_deliver(
	void *ctx, struct dia_dc origin, struct dia_txn *txn, struct dia_err *reterr)
{
	struct fake_sink *k = ctx;
	bool right = origin.id == txn->head.origin.id;
	bool mark = (txn->head.flags & DIA_TXN_WATERMARK) != 0;

	(void)reterr;
	(void)pthread_mutex_lock(&k->lock);
	if (k->stuck) {
		k->again++;
		(void)pthread_cond_broadcast(&k->changed);
		(void)pthread_mutex_unlock(&k->lock);
		return DIA_E_AGAIN;
	}
	(void)pthread_mutex_unlock(&k->lock);
	right = right && (mark || fake_txn_is_right(k->expect, txn));
	(void)pthread_mutex_lock(&k->lock);
	if (mark) {
		right = right && txn->head.seq == k->received;
		k->marks++;
		k->mark_seq = txn->head.seq;
	} else {
		right = right && txn->head.seq == k->received + 1;
		k->received = txn->head.seq;
		if (!k->lag)
			k->applied = k->received;
	}
	k->mapped += txn->mapped;
	k->wrong += !right;
	(void)pthread_cond_broadcast(&k->changed);
	(void)pthread_mutex_unlock(&k->lock);
	dia_txn_unref(txn);
	return DIA_OK;
}

static inline enum dia_rc fake_sink_position(
	void *ctx, struct dia_dc origin, uint64_t *ret_received, uint64_t *ret_applied)
{
	struct fake_sink *k = ctx;

	(void)origin;
	(void)pthread_mutex_lock(&k->lock);
	*ret_received = k->received;
	*ret_applied = k->applied;
	(void)pthread_mutex_unlock(&k->lock);
	return DIA_OK;
}

static inline enum dia_rc fake_sink_identify(void *ctx, struct dia_dc origin,
	uint64_t incarnation, uint64_t head_seq, struct dia_err *reterr)
{
	struct fake_sink *k = ctx;

	(void)origin;
	if (k->identity != DIA_OK)
		return dia_err_set(
			reterr, k->identity, 0, "another life of that database");
	if (incarnation != k->expect->incarnation || head_seq < k->received)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0, "lost tail");
	return DIA_OK;
}

static inline int fake_sink_wake_fd(void *ctx, struct dia_dc origin)
{
	(void)origin;
	return ((struct fake_sink *)ctx)->fd;
}

static const struct dia_sink_ops fake_sink_ops = {
	.deliver = fake_sink_deliver,
	.position = fake_sink_position,
	.identify = fake_sink_identify,
	.wake_fd = fake_sink_wake_fd,
};

static inline void fake_deadline(struct timespec *ts, unsigned ms)
{
	(void)clock_gettime(CLOCK_REALTIME, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
}

/* Wait until seq has arrived; false after a long time. */
static inline bool fake_sink_wait(struct fake_sink *k, uint64_t seq)
{
	struct timespec ts;
	bool ok;
	int rc = 0;

	fake_deadline(&ts, FAKE_WAIT_MS);
	(void)pthread_mutex_lock(&k->lock);
	while (k->received < seq && rc == 0)
		rc = pthread_cond_timedwait(&k->changed, &k->lock, &ts);
	ok = k->received >= seq;
	(void)pthread_mutex_unlock(&k->lock);
	return ok;
}

static inline void fake_sink_set_stuck(struct fake_sink *k, bool stuck)
{
	(void)pthread_mutex_lock(&k->lock);
	k->stuck = stuck;
	(void)pthread_mutex_unlock(&k->lock);
	dia_peer_sock_poke(k->fd);
}

#define FAKE_SINK_GET(k, field) fake_sink_get(k, &(k)->field)

static inline uint64_t fake_sink_get(struct fake_sink *k, const uint64_t *field)
{
	uint64_t v;

	(void)pthread_mutex_lock(&k->lock);
	v = *field;
	(void)pthread_mutex_unlock(&k->lock);
	return v;
}

/* ---- wire ---- */

struct fake_wire {
	pthread_mutex_t lock;
	pthread_t thread;
	int listen_fd, stop_fd;
	uint16_t port;
	_Atomic int target;   /* port on loopback */
	_Atomic bool refuse;  /* close what connects */
	_Atomic bool frozen;  /* carry nothing, keep connections */
	_Atomic unsigned cut; /* request counter */
	unsigned cut_done;
	_Atomic uint64_t carried;
	bool record;
	struct dia_buf seen;
	struct fake_pair {
		int fd[2];              /* fd[0] connected to us, fd[1] to the target */
		uint8_t data[2][16384]; /* read from fd[i], not yet written */
		size_t at[2], len[2];
	} pairs[FAKE_PAIRS];
};

static inline int fake_connect(uint16_t port)
{
	char address[32];
	int fd = -1, stop = eventfd(0, EFD_CLOEXEC);

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (dia_peer_sock_connect(address, stop, 5000, &fd, NULL) != DIA_OK)
		fd = -1;
	(void)close(stop);
	return fd;
}

/* Carry what is there from fd[i] to the other; false when that way has ended. */
static inline bool fake_carry(struct fake_wire *w, struct fake_pair *p, int i)
{
	ssize_t n;

	if (p->len[i] == 0) {
		n = read(p->fd[i], p->data[i], sizeof(p->data[i]));
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		p->at[i] = 0;
		p->len[i] = (size_t)n;
		(void)pthread_mutex_lock(&w->lock);
		if (w->record)
			(void)dia_buf_add(&w->seen, p->data[i], (size_t)n);
		(void)pthread_mutex_unlock(&w->lock);
		atomic_fetch_add(&w->carried, (uint64_t)n);
	}
	n = send(p->fd[1 - i], p->data[i] + p->at[i], p->len[i], MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->at[i] += (size_t)n;
	p->len[i] -= (size_t)n;
	return true;
}

static inline void fake_drop_pair(struct fake_pair *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->fd[i] >= 0)
			(void)close(p->fd[i]);
		p->fd[i] = -1;
		p->len[i] = 0;
	}
}

static inline void fake_accept(struct fake_wire *w)
{
	int a = accept(w->listen_fd, NULL, NULL), b, i = 0;

	if (a < 0)
		return;
	while (i < FAKE_PAIRS && w->pairs[i].fd[0] >= 0)
		i++;
	b = i == FAKE_PAIRS || atomic_load(&w->refuse)
		    ? -1
		    : fake_connect((uint16_t)atomic_load(&w->target));
	if (b < 0) {
		(void)close(a);
		return;
	}
	dia_peer_sock_tune(a);
	w->pairs[i].fd[0] = a;
	w->pairs[i].fd[1] = b;
}

static inline void *fake_wire_main(void *arg)
{
	struct fake_wire *w = arg;

	for (;;) {
		struct pollfd p[2 + 2 * FAKE_PAIRS] = {
			{.fd = w->stop_fd, .events = POLLIN},
			{.fd = w->listen_fd, .events = POLLIN}};
		bool frozen = atomic_load(&w->frozen);

		for (int i = 0; i < 2 * FAKE_PAIRS; i++) {
			const struct fake_pair *pair = &w->pairs[i / 2];
			bool pending = pair->len[1 - i % 2] > 0;

			p[2 + i].fd = frozen ? -1 : pair->fd[i % 2];
			p[2 + i].events = (short)((pair->len[i % 2] == 0 ? POLLIN : 0) |
						  (pending ? POLLOUT : 0));
		}
		(void)poll(p, 2 + 2 * FAKE_PAIRS, 10);
		if (p[0].revents != 0)
			break;
		if (atomic_load(&w->cut) != w->cut_done) {
			w->cut_done = atomic_load(&w->cut);
			for (int i = 0; i < FAKE_PAIRS; i++)
				fake_drop_pair(&w->pairs[i]);
			continue;
		}
		for (int i = 0; i < FAKE_PAIRS; i++) {
			struct fake_pair *pair = &w->pairs[i];
			bool any = (p[2 + 2 * i].revents | p[3 + 2 * i].revents) != 0;

			if (any && pair->fd[0] >= 0 &&
				(!fake_carry(w, pair, 0) || !fake_carry(w, pair, 1)))
				fake_drop_pair(pair);
		}
		if (p[1].revents != 0)
			fake_accept(w);
	}
	for (int i = 0; i < FAKE_PAIRS; i++)
		fake_drop_pair(&w->pairs[i]);
	return NULL;
}

static inline void fake_wire_start(struct fake_wire *w)
{
	*w = (struct fake_wire){.stop_fd = eventfd(0, EFD_CLOEXEC)};
	(void)pthread_mutex_init(&w->lock, NULL);
	for (int i = 0; i < FAKE_PAIRS; i++)
		w->pairs[i].fd[0] = w->pairs[i].fd[1] = -1;
	if (dia_peer_sock_listen("127.0.0.1:0", &w->listen_fd, &w->port, NULL) !=
			DIA_OK ||
		pthread_create(&w->thread, NULL, fake_wire_main, w) != 0)
		abort();
}

static inline void fake_wire_stop(struct fake_wire *w)
{
	dia_peer_sock_poke(w->stop_fd);
	(void)pthread_join(w->thread, NULL);
	(void)close(w->stop_fd);
	(void)close(w->listen_fd);
	dia_buf_fini(&w->seen);
}

static inline void fake_wire_cut(struct fake_wire *w)
{
	atomic_fetch_add(&w->cut, 1);
}

/* ---- one DC ---- */

struct fake_dc {
	struct fake_source source;
	struct fake_sink sink;
	struct fake_wire wire; /* others reach us through it */
	struct dia_link_peer peer;
	struct dia_link_config config;
	struct dia_link *link;
	char address[32];
};

/* Two DCs, 1 and 2, that reach each other through wires; configure, then start. */
static inline void fake_pair_init(struct fake_dc dc[2])
{
	for (uint16_t i = 0; i < 2; i++) {
		memset(&dc[i], 0, sizeof(dc[i]));
		fake_source_init(&dc[i].source, (uint16_t)(i + 1));
		fake_wire_start(&dc[i].wire);
	}
	for (uint16_t i = 0; i < 2; i++) {
		struct fake_dc *d = &dc[i], *o = &dc[1 - i];

		fake_sink_init(&d->sink, &o->source);
		(void)snprintf(
			d->address, sizeof(d->address), "127.0.0.1:%u", o->wire.port);
		d->peer = (struct dia_link_peer){.dc = {(uint16_t)(2 - i)},
			.name = i == 0 ? "west" : "east",
			.address = d->address};
		d->config = (struct dia_link_config){.self = {(uint16_t)(i + 1)},
			.self_name = i == 0 ? "east" : "west",
			.listen = "127.0.0.1:0",
			.secret = dia_slice_str("correct horse battery staple"),
			.peer_count = 1,
			.peers = &d->peer,
			.spill_dir = "/tmp",
			.spill_bytes = 1 << 20,
			.clock = dia_clock_system(),
			.source = &fake_source_ops,
			.source_ctx = &d->source,
			.sink = &fake_sink_ops,
			.sink_ctx = &d->sink,
			.heartbeat_ms = 100,
			.slow_retry_ms = 100,
			.retry_max_ms = 200};
	}
}

static inline void fake_dc_start(struct fake_dc *d)
{
	struct dia_err err = {0};

	if (dia_link_start(&d->config, &d->link, &err) != DIA_OK)
		fail_msg("%s", err.text);
	atomic_store(&d->wire.target, dia_link_port(d->link));
}

static inline void fake_dc_stop(struct fake_dc *d)
{
	dia_link_close(d->link);
	d->link = NULL;
}

static inline void fake_pair_fini(struct fake_dc dc[2])
{
	for (int i = 0; i < 2; i++) {
		fake_dc_stop(&dc[i]);
		fake_wire_stop(&dc[i].wire);
		fake_sink_fini(&dc[i].sink);
	}
}

static inline struct dia_link_stats fake_stats(const struct fake_dc *d)
{
	struct dia_link_stats stats = {0};

	if (dia_link_stats(d->link, &stats, 1) != 1)
		abort();
	return stats;
}

#endif /* DIA_TESTS_PEER_FAKE_H */
