/* proxy/peer/link.c - start, accept, stats, close; see link.h. */
#include "proxy/peer/link.h"
#include "proxy/core/log.h"
#include "proxy/peer/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	HEARTBEAT_MS = 1000,
	DEAD_MS = 10000,
	HANDSHAKE_MS = 5000,
	SLOW_RETRY_MS = 5000,
	RETRY_MAX_MS = 5000,
	ACCEPTS_A_ROUND = 16,
	/* All threads together: strangers, proven ones, and those on their way out. */
	CONNS_MAX = 2 * DIA_LINK_STRANGERS_MAX + 4 * DIA_DC_MAX,
	OUT_OF_FDS_MS = 100,
	LOG_EVERY_US = 1000000,
};

struct dia_peer *dia_link_peer_of(struct dia_link *link, struct dia_dc dc)
{
	for (uint32_t i = 0; i < link->peer_count; i++)
		if (link->peers[i].config->dc.id == dc.id)
			return &link->peers[i];
	return NULL;
}

void dia_link_refused(struct dia_link *link, struct dia_peer *peer, bool by_us,
	const char *address, const struct dia_err *err)
{
	char reason[DIA_ERR_TEXT_MAX + 8];
	uint64_t now = dia_link_now(link);
	struct dia_log_limit *limit =
		&link->refused_log[(uint32_t)-err->rc % DIA_LINK_RC_COUNT];
	uint32_t suppressed = 0;
	bool say;

	(void)pthread_mutex_lock(&link->lock);
	if (peer == NULL)
		link->strangers_refused++;
	else
		peer->stats.refused++;
	/* Who is refused has proven nothing: while the peer is well served, its
	 * impostor does not get to write into its state. */
	if (by_us && peer != NULL && peer->serving == NULL)
		peer->serve_error = *err;
	say = now >= limit->next_us;
	if (say) {
		suppressed = limit->suppressed;
		*limit = (struct dia_log_limit){.next_us = now + LOG_EVERY_US};
	} else {
		limit->suppressed++;
	}
	(void)pthread_mutex_unlock(&link->lock);
	if (say)
		dia_log(DIA_LOG_WARN, "peer", "peer_refused",
			"dc=%s by=%s address=%s suppressed=%" PRIu32 " reason=%s",
			peer == NULL ? "-" : peer->config->name, by_us ? "us" : "peer",
			address, suppressed,
			dia_log_quote(reason, sizeof(reason), err->text));
}

static void conn_free(struct dia_conn *conn)
{
	(void)close(conn->fd);
	if (conn->kick_fd >= 0)
		(void)close(conn->kick_fd);
	free(conn);
}

/* Join and free connections that are done; with all, also those that are not yet (the
 * stop makes them). */
static void reap(struct dia_link *link, bool all)
{
	struct dia_conn *gone = NULL;
	struct dia_conn **at = &link->conns;

	(void)pthread_mutex_lock(&link->lock);
	while (*at != NULL) {
		struct dia_conn *conn = *at;

		if (!all && !conn->done) {
			at = &conn->next;
			continue;
		}
		*at = conn->next;
		conn->next = gone;
		gone = conn;
	}
	(void)pthread_mutex_unlock(&link->lock);
	while (gone != NULL) {
		struct dia_conn *conn = gone;

		gone = conn->next;
		(void)pthread_join(conn->thread, NULL);
		conn_free(conn);
	}
}

static uint32_t strangers_of(const struct dia_link *link, const char *host)
{
	uint32_t n = 0;

	for (const struct dia_conn *c = link->conns; c != NULL; c = c->next)
		n += !c->proven && !c->done && atomic_load(&c->kicked) == 0 &&
		     (host == NULL || strcmp(c->host, host) == 0);
	return n;
}

/* With all places taken, the oldest connection of the address that holds most of them
 * goes: a flood from one address pushes out itself, and a peer needs a place only for a
 * round trip or two. */
static void make_room(struct dia_link *link)
{
	struct dia_conn *victim = NULL;
	uint32_t most = 0;

	if (strangers_of(link, NULL) < DIA_LINK_STRANGERS_MAX)
		return;
	for (struct dia_conn *c = link->conns; c != NULL; c = c->next) {
		uint32_t n;

		if (c->proven || c->done || atomic_load(&c->kicked) != 0)
			continue;
		n = strangers_of(link, c->host);
		if (n > most || (n == most && victim != NULL &&
					c->started_us < victim->started_us)) {
			most = n;
			victim = c;
		}
	}
	if (victim != NULL) {
		atomic_store(&victim->kicked, DIA_GOODBYE_FAILED);
		dia_peer_sock_poke(victim->kick_fd);
	}
}

static uint32_t conn_count(const struct dia_link *link)
{
	uint32_t n = 0;

	for (const struct dia_conn *c = link->conns; c != NULL; c = c->next)
		n++;
	return n;
}

static void admit(struct dia_link *link, int fd, const struct sockaddr_storage *sa)
{
	struct dia_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		(void)close(fd);
		return;
	}
	dia_peer_sock_tune(fd);
	*conn = (struct dia_conn){.link = link,
		.fd = fd,
		.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.started_us = dia_link_now(link)};
	dia_peer_sock_name(sa, true, conn->address);
	dia_peer_sock_name(sa, false, conn->host);
	(void)pthread_mutex_lock(&link->lock);
	make_room(link);
	if (conn->kick_fd < 0 || conn_count(link) >= CONNS_MAX ||
		pthread_create(&conn->thread, NULL, dia_sender_main, conn) != 0) {
		link->strangers_refused++;
		(void)pthread_mutex_unlock(&link->lock);
		conn_free(conn);
		return;
	}
	conn->next = link->conns;
	link->conns = conn;
	(void)pthread_mutex_unlock(&link->lock);
}

/* How long not to look at the listening socket: without descriptors it stays readable. */
static int accept_all(struct dia_link *link)
{
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t len = sizeof(sa);
		int fd = accept4(link->listen_fd, (struct sockaddr *)&sa, &len,
			SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			admit(link, fd, &sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			errno == ENOBUFS)
			return OUT_OF_FDS_MS;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
	}
	return 0;
}

static void *listener_main(void *arg)
{
	struct dia_link *link = arg;
	int rest_ms = 0;

	for (;;) {
		struct pollfd p[3] = {
			{.fd = link->stop_fd, .events = POLLIN},
			{.fd = link->reap_fd, .events = POLLIN},
			{.fd = rest_ms > 0 ? -1 : link->listen_fd, .events = POLLIN},
		};

		if (poll(p, 3, rest_ms > 0 ? rest_ms : -1) < 0 && errno != EINTR)
			break;
		rest_ms = 0;
		if (p[0].revents != 0)
			break;
		if (p[1].revents != 0) {
			dia_peer_sock_drain(link->reap_fd);
			reap(link, false);
		}
		if (p[2].revents != 0)
			rest_ms = accept_all(link);
	}
	/* Whatever ended the loop, nobody is left behind. */
	dia_peer_sock_poke(link->stop_fd);
	reap(link, true);
	return NULL;
}

static enum dia_rc check_config(const struct dia_link_config *c, struct dia_err *reterr)
{
	char host[256], port[8];

	if (c->self.id < 1 || c->self.id > DIA_DC_MAX || c->peer_count > DIA_DC_MAX)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"dc id %u: ids are 1 to %d, unique per DC", c->self.id,
			DIA_DC_MAX);
	for (uint32_t i = 0; i < c->peer_count; i++) {
		const struct dia_link_peer *peer = &c->peers[i];
		enum dia_rc rc = dia_peer_sock_split(
			peer->address, host, sizeof(host), port, sizeof(port), reterr);

		if (rc != DIA_OK)
			return dia_err_wrap(reterr, rc, "peer %s", peer->name);
		if (peer->dc.id < 1 || peer->dc.id > DIA_DC_MAX ||
			peer->dc.id == c->self.id)
			return dia_err_set(reterr, DIA_E_CONFIG, 0,
				"peer %s: dc id %u is not one of 1 to %d other than ours",
				peer->name, peer->dc.id, DIA_DC_MAX);
		for (uint32_t j = 0; j < i; j++)
			if (c->peers[j].dc.id == peer->dc.id)
				return dia_err_set(reterr, DIA_E_CONFIG, 0,
					"peers %s and %s share dc id %u",
					c->peers[j].name, peer->name, peer->dc.id);
	}
	return DIA_OK;
}

static void set_defaults(struct dia_link_config *c)
{
	if (c->heartbeat_ms == 0)
		c->heartbeat_ms = HEARTBEAT_MS;
	if (c->dead_ms == 0)
		c->dead_ms = DEAD_MS;
	if (c->handshake_ms == 0)
		c->handshake_ms = HANDSHAKE_MS;
	if (c->slow_retry_ms == 0)
		c->slow_retry_ms = SLOW_RETRY_MS;
	if (c->retry_max_ms == 0)
		c->retry_max_ms = RETRY_MAX_MS;
	if (c->clock.mono_us == NULL)
		c->clock = dia_clock_system();
}

static enum dia_rc start_threads(struct dia_link *link, struct dia_err *reterr)
{
	sigset_t all, before;
	int failed;

	/* Signals belong to the program's main thread; SIGPIPE of a broken socket would
	 * end the process. Threads inherit this mask. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	failed = pthread_create(&link->listener, NULL, listener_main, link);
	link->has_listener = failed == 0;
	for (uint32_t i = 0; i < link->peer_count && failed == 0; i++) {
		struct dia_peer *peer = &link->peers[i];

		failed = pthread_create(&peer->puller, NULL, dia_puller_main, peer);
		peer->has_puller = failed == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed == 0 ? DIA_OK
			   : dia_err_set(reterr, DIA_E_LIMIT, failed,
				     "cannot start a thread of the peer link: %s",
				     strerror(failed));
}

enum dia_rc dia_link_start(
	const struct dia_link_config *c, struct dia_link **ret, struct dia_err *reterr)
{
	enum dia_rc rc = check_config(c, reterr);
	struct dia_link *link;

	if (rc != DIA_OK)
		return rc;
	link = calloc(1, sizeof(*link));
	if (link == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for the peer link");
	link->c = *c;
	set_defaults(&link->c);
	link->listen_fd = -1;
	(void)pthread_mutex_init(&link->lock, NULL);
	link->reap_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->peers = calloc(c->peer_count + 1, sizeof(*link->peers));
	if (link->peers == NULL || link->reap_fd < 0 || link->stop_fd < 0) {
		rc = dia_err_set(reterr, DIA_E_NOMEM, errno,
			"no memory or descriptors for the peer link");
		goto failed;
	}
	link->peer_count = c->peer_count;
	for (uint32_t i = 0; i < c->peer_count; i++) {
		link->peers[i].link = link;
		link->peers[i].config = &c->peers[i];
		link->peers[i].stats.dc = c->peers[i].dc;
		link->peers[i].stats.name = c->peers[i].name;
		link->peers[i].stats.address = c->peers[i].address;
	}
	rc = dia_tls_init(&link->tls, c->secret, c->self, reterr);
	if (rc == DIA_OK)
		rc = dia_peer_sock_listen(
			c->listen, &link->listen_fd, &link->port, reterr);
	if (rc == DIA_OK)
		rc = start_threads(link, reterr);
	if (rc == DIA_OK) {
		*ret = link;
		return DIA_OK;
	}
failed:
	dia_link_close(link);
	return rc;
}

uint16_t dia_link_port(const struct dia_link *link)
{
	return link->port;
}

void dia_link_close(struct dia_link *link)
{
	if (link == NULL)
		return;
	if (link->stop_fd >= 0)
		dia_peer_sock_poke(link->stop_fd);
	for (uint32_t i = 0; i < link->peer_count; i++)
		if (link->peers[i].has_puller)
			(void)pthread_join(link->peers[i].puller, NULL);
	if (link->has_listener)
		(void)pthread_join(link->listener, NULL);
	if (link->listen_fd >= 0)
		(void)close(link->listen_fd);
	if (link->reap_fd >= 0)
		(void)close(link->reap_fd);
	if (link->stop_fd >= 0)
		(void)close(link->stop_fd);
	dia_tls_fini(&link->tls);
	(void)pthread_mutex_destroy(&link->lock);
	free(link->peers);
	free(link);
}

size_t dia_link_stats(struct dia_link *link, struct dia_link_stats *ret, size_t cap)
{
	size_t n = link->peer_count < cap ? link->peer_count : cap;

	(void)pthread_mutex_lock(&link->lock);
	for (size_t i = 0; i < n; i++) {
		const struct dia_peer *peer = &link->peers[i];

		ret[i] = peer->stats;
		ret[i].last_error = peer->pull_error.rc != DIA_OK ? peer->pull_error
								  : peer->serve_error;
	}
	(void)pthread_mutex_unlock(&link->lock);
	return n;
}

uint64_t dia_link_strangers(struct dia_link *link)
{
	uint64_t n;

	(void)pthread_mutex_lock(&link->lock);
	n = link->strangers_refused;
	(void)pthread_mutex_unlock(&link->lock);
	return n;
}
