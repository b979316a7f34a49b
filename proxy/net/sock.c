/* proxy/net/sock.c - see sock.h. */
#include "proxy/net/sock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static void add_family(const struct addrinfo *answer, int family, const char *text,
	struct dia_sock_list *list)
{
	for (; answer != NULL && list->count < DIA_SOCK_ADDRS_MAX;
		answer = answer->ai_next) {
		struct dia_sock_addr *addr = &list->at[list->count];

		if (answer->ai_family != family || answer->ai_addrlen > sizeof(addr->at))
			continue;
		memset(addr, 0, sizeof(*addr));
		memcpy(&addr->at, answer->ai_addr, answer->ai_addrlen);
		addr->len = answer->ai_addrlen;
		(void)snprintf(addr->text, sizeof(addr->text), "%s", text);
		list->count++;
	}
}

bool dia_sock_list_fill(const struct addrinfo *answer, const char *host, uint16_t port,
	struct dia_sock_list *ret)
{
	struct dia_sock_list list = {.count = 0};
	char text[DIA_SOCK_TEXT_MAX];

	(void)snprintf(text, sizeof(text),
		strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
	add_family(answer, AF_INET, text, &list);
	add_family(answer, AF_INET6, text, &list);
	if (list.count == 0)
		return false;
	*ret = list;
	return true;
}

enum dia_rc dia_sock_resolve(const char *host, uint16_t port, struct dia_sock_list *ret,
	struct dia_err *reterr)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *answer = NULL;
	char service[8];
	bool found;
	int rc;

	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	rc = getaddrinfo(host, service, &hints, &answer);
	if (rc != 0)
		return dia_err_set(reterr, DIA_E_CONFIG, 0, "cannot resolve host %s: %s",
			host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	found = dia_sock_list_fill(answer, host, port, ret);
	freeaddrinfo(answer);
	return found ? DIA_OK
		     : dia_err_set(reterr, DIA_E_CONFIG, 0, "host %s has no IP address",
			       host);
}

bool dia_sock_is_name(const char *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *answer = NULL;

	if (getaddrinfo(host, NULL, &hints, &answer) != 0)
		return true;
	freeaddrinfo(answer);
	return false;
}

enum dia_rc dia_sock_unix(
	const char *path, struct dia_sock_addr *ret, struct dia_err *reterr)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memset(ret, 0, sizeof(*ret));
	if (strlen(path) >= sizeof(un.sun_path))
		return dia_err_set(reterr, DIA_E_CONFIG, ENAMETOOLONG,
			"unix socket path is longer than %zu bytes: %s",
			sizeof(un.sun_path) - 1, path);
	memcpy(un.sun_path, path, strlen(path) + 1);
	memcpy(&ret->at, &un, sizeof(un));
	ret->len = (socklen_t)sizeof(un);
	(void)snprintf(ret->text, sizeof(ret->text), "%s", path);
	return DIA_OK;
}

static enum dia_rc listen_fail(int fd, const struct dia_sock_addr *addr, const char *what,
	struct dia_err *reterr)
{
	int number = errno;

	if (fd >= 0)
		(void)close(fd);
	return dia_err_set(reterr, DIA_E_IO, number, "cannot listen on %s: %s: %s%s",
		addr->text, what, strerror(number),
		number == EADDRINUSE
			? " (is another diarchy or database using this port?)"
			: "");
}

static int bound_socket(const struct dia_sock_addr *addr, bool shared)
{
	int on = 1;
	int fd =
		socket(addr->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(!shared ||
			setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
		bind(fd, (const struct sockaddr *)&addr->at, addr->len) == 0)
		return fd;
	on = errno;
	(void)close(fd);
	errno = on;
	return -1;
}

enum dia_rc dia_sock_listen(
	const struct dia_sock_addr *addr, bool first, int *ret, struct dia_err *reterr)
{
	int fd;

	if (first) {
		fd = bound_socket(addr, false);
		if (fd < 0)
			return listen_fail(-1, addr, "bind", reterr);
		(void)close(fd);
	}
	fd = bound_socket(addr, true);
	if (fd < 0)
		return listen_fail(-1, addr, "bind", reterr);
	if (listen(fd, BACKLOG) != 0)
		return listen_fail(fd, addr, "listen", reterr);
	*ret = fd;
	return DIA_OK;
}

uint16_t dia_sock_port(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	memset(&at, 0, sizeof(at));
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return 0;
	if (at.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&at)->sin_port);
	if (at.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&at)->sin6_port);
	return 0;
}

enum dia_rc dia_sock_connect(const struct dia_sock_addr *addr, int *ret)
{
	int number;
	int fd =
		socket(addr->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return DIA_E_IO;
	if (addr->at.ss_family != AF_UNIX)
		dia_sock_tune(fd);
	if (connect(fd, (const struct sockaddr *)&addr->at, addr->len) == 0 ||
		errno == EINPROGRESS) {
		*ret = fd;
		return DIA_OK;
	}
	number = errno;
	(void)close(fd);
	errno = number;
	return number == EAGAIN ? DIA_E_AGAIN : DIA_E_IO;
}

int dia_sock_error(int fd)
{
	int number = 0;
	socklen_t len = sizeof(number);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0 ? errno : number;
}

void dia_sock_tune(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A peer that vanished without a FIN is found by the kernel. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}
