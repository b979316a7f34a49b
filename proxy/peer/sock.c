/* proxy/peer/sock.c - see sock.h. */
#include "proxy/peer/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 64 };

enum dia_rc dia_peer_sock_split(const char *address, char *host, size_t host_cap,
	char *port, size_t port_cap, struct dia_err *reterr)
{
	const char *colon = strrchr(address, ':');
	const char *from = address;
	size_t host_len, port_len;

	if (colon == NULL)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"address %s has no port; write host:port", address);
	host_len = (size_t)(colon - address);
	port_len = strlen(colon + 1);
	if (host_len >= 2 && from[0] == '[' && from[host_len - 1] == ']') {
		from++;
		host_len -= 2;
	}
	if (host_len >= host_cap || port_len == 0 || port_len >= port_cap ||
		strspn(colon + 1, "0123456789") != port_len ||
		strtoul(colon + 1, NULL, 10) > 65535)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"address %s is not host:port with a port of 0 to 65535", address);
	memcpy(host, from, host_len);
	host[host_len] = '\0';
	memcpy(port, colon + 1, port_len + 1);
	return DIA_OK;
}

void dia_peer_sock_tune(int fd)
{
	int one = 1;
	int flags = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void dia_peer_sock_name(const struct sockaddr_storage *sa, bool port, char *out)
{
	char host[INET6_ADDRSTRLEN] = "?";
	unsigned number = 0;

	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;

		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		number = ntohs(v4->sin_port);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		number = ntohs(v6->sin6_port);
	}
	if (!port)
		(void)snprintf(out, DIA_SOCK_NAME_MAX, "%s", host);
	else
		(void)snprintf(out, DIA_SOCK_NAME_MAX,
			sa->ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, number);
}

static enum dia_rc listen_on(const struct addrinfo *ai, int *ret_fd, uint16_t *ret_port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int one = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return DIA_E_IO;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
		listen(fd, LISTEN_BACKLOG) != 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
		int number = errno;

		(void)close(fd);
		errno = number;
		return DIA_E_IO;
	}
	*ret_fd = fd;
	*ret_port = ntohs(sa.ss_family == AF_INET6
				  ? ((const struct sockaddr_in6 *)&sa)->sin6_port
				  : ((const struct sockaddr_in *)&sa)->sin_port);
	return DIA_OK;
}

enum dia_rc dia_peer_sock_listen(
	const char *address, int *ret_fd, uint16_t *ret_port, struct dia_err *reterr)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char host[256], port[8];
	enum dia_rc rc = dia_peer_sock_split(
		address, host, sizeof(host), port, sizeof(port), reterr);
	int failed;

	if (rc != DIA_OK)
		return rc;
	failed = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
	if (failed != 0)
		return dia_err_set(reterr, DIA_E_CONFIG, 0, "cannot listen on %s: %s",
			address, gai_strerror(failed));
	rc = DIA_E_IO;
	errno = EADDRNOTAVAIL;
	for (const struct addrinfo *ai = list; ai != NULL && rc != DIA_OK;
		ai = ai->ai_next)
		rc = listen_on(ai, ret_fd, ret_port);
	if (rc != DIA_OK)
		(void)dia_err_set(reterr, rc, errno, "cannot listen on %s: %s", address,
			strerror(errno));
	freeaddrinfo(list);
	return rc;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool is_stopped(int stop_fd)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* A lookup that can be abandoned. getaddrinfo may block for many seconds in a resolver
 * that does not answer, which is just when an operator restarts things. */
struct lookup {
	struct gaicb cb;
	struct addrinfo hints;
	char host[256], port[8];
};

static enum dia_rc resolve(const char *address, int stop_fd, int64_t deadline_ms,
	struct addrinfo **ret, struct dia_err *reterr)
{
	const struct timespec step = {.tv_nsec = 50000000};
	struct lookup *l = calloc(1, sizeof(*l));
	const struct gaicb *waiting[1];
	struct gaicb *list[1];
	enum dia_rc rc;
	int failed;

	if (l == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a lookup");
	rc = dia_peer_sock_split(
		address, l->host, sizeof(l->host), l->port, sizeof(l->port), reterr);
	if (rc != DIA_OK)
		goto out;
	l->hints = (struct addrinfo){.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
	if (getaddrinfo(l->host, l->port, &l->hints, ret) == 0)
		goto out;
	l->hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
	l->cb = (struct gaicb){
		.ar_name = l->host, .ar_service = l->port, .ar_request = &l->hints};
	list[0] = &l->cb;
	waiting[0] = &l->cb;
	failed = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	while (failed == 0 && (failed = gai_error(&l->cb)) == EAI_INPROGRESS) {
		(void)gai_suspend(waiting, 1, &step);
		failed = 0;
		if (!is_stopped(stop_fd) && now_ms() < deadline_ms)
			continue;
		rc = dia_err_set(reterr,
			is_stopped(stop_fd) ? DIA_E_STOPPED : DIA_E_TIMEOUT, 0,
			"looking up %s: no answer from the resolver", l->host);
		/* Still running: its memory belongs to the resolver's thread now. */
		if (gai_cancel(&l->cb) == EAI_NOTCANCELED)
			return rc;
		goto out;
	}
	if (failed != 0)
		rc = dia_err_set(reterr, DIA_E_IO, 0, "looking up %s: %s", l->host,
			gai_strerror(failed));
	else
		*ret = l->cb.ar_result;
out:
	free(l);
	return rc;
}

static enum dia_rc connect_one(const struct addrinfo *ai, int stop_fd,
	int64_t deadline_ms, int *ret_fd, struct dia_err *reterr)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p[2] = {
		{.fd = fd, .events = POLLOUT}, {.fd = stop_fd, .events = POLLIN}};
	socklen_t len = sizeof(int);
	int64_t left = deadline_ms - now_ms();
	int number = 0, ready;

	if (fd < 0)
		return dia_err_set(
			reterr, DIA_E_IO, errno, "socket: %s", strerror(errno));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS) {
		number = errno;
		goto failed;
	}
	do {
		ready = poll(p, 2, left < 0 ? 0 : (int)left);
	} while (ready < 0 && errno == EINTR);
	if ((p[1].revents & POLLIN) != 0) {
		(void)close(fd);
		return dia_err_set(reterr, DIA_E_STOPPED, 0, "stopping");
	}
	if (ready <= 0) {
		(void)close(fd);
		return dia_err_set(reterr, DIA_E_TIMEOUT, 0, "connect: timed out");
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
		number = errno;
	if (number == 0) {
		*ret_fd = fd;
		return DIA_OK;
	}
failed:
	(void)close(fd);
	return dia_err_set(reterr, DIA_E_IO, number, "connect: %s", strerror(number));
}

enum dia_rc dia_peer_sock_connect(const char *address, int stop_fd, int timeout_ms,
	int *ret_fd, struct dia_err *reterr)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct addrinfo *list = NULL;
	enum dia_rc rc = resolve(address, stop_fd, deadline, &list, reterr);

	if (rc != DIA_OK)
		return rc;
	rc = dia_err_set(reterr, DIA_E_IO, 0, "no address for %s", address);
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		/* An address that swallows packets must not use up the others' time. */
		int64_t left = deadline - now_ms();
		int64_t until = ai->ai_next == NULL ? deadline : deadline - left / 2;

		rc = connect_one(ai, stop_fd, until, ret_fd, reterr);
		if (rc == DIA_OK || rc == DIA_E_STOPPED)
			break;
	}
	if (list != NULL)
		freeaddrinfo(list);
	if (rc == DIA_OK)
		dia_peer_sock_tune(*ret_fd);
	return rc;
}

void dia_peer_sock_poke(int fd)
{
	uint64_t one = 1;

	/* Full means readable already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void dia_peer_sock_drain(int fd)
{
	uint64_t count;

	if (fd >= 0 && read(fd, &count, sizeof(count)) < 0)
		return;
}
