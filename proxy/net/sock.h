/*
 * proxy/net/sock.h - sockets: addresses, listening, connecting. All sockets are
 * non-blocking and close-on-exec; TCP ones have TCP_NODELAY.
 */
#ifndef DIA_NET_SOCK_H
#define DIA_NET_SOCK_H

#include "proxy/core/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DIA_SOCK_TEXT_MAX = 280, DIA_SOCK_ADDRS_MAX = 8 };

struct dia_sock_addr {
	struct sockaddr_storage at;
	socklen_t len;
	char text[DIA_SOCK_TEXT_MAX]; /* "db1:3306", "/run/mysqld/mysqld.sock": for
					 messages */
};

/* The addresses of a name, IPv4 first: what listens on "localhost" mostly is IPv4 alone.
 */
struct dia_sock_list {
	unsigned count; /* at least 1 */
	struct dia_sock_addr at[DIA_SOCK_ADDRS_MAX];
};

struct addrinfo;

/* A name is looked up: blocks. DIA_E_CONFIG with the reason. */
DIA_MUST_CHECK enum dia_rc dia_sock_resolve(const char *host, uint16_t port,
	struct dia_sock_list *ret, struct dia_err *reterr);
/* From the resolver's answer; false (and *ret unchanged) if nothing in it is of use. */
bool dia_sock_list_fill(const struct addrinfo *answer, const char *host, uint16_t port,
	struct dia_sock_list *ret);
/* True when host is a name, whose address may change. */
bool dia_sock_is_name(const char *host);
DIA_MUST_CHECK enum dia_rc dia_sock_unix(
	const char *path, struct dia_sock_addr *ret, struct dia_err *reterr);

/*
 * A listening socket that may share its port with others of this process (SO_REUSEPORT).
 * first: the first one of a group; it fails when anybody else has the port, which
 * SO_REUSEPORT alone would not notice.
 */
DIA_MUST_CHECK enum dia_rc dia_sock_listen(
	const struct dia_sock_addr *addr, bool first, int *ret, struct dia_err *reterr);
/* The bound port of a TCP socket, 0 if it has none. */
uint16_t dia_sock_port(int fd);

/* Begin to connect: DIA_OK means under way or done (wait until writable, then ask
 * dia_sock_error); DIA_E_AGAIN: a unix socket whose backlog is full, try again later.
 * errno tells why on DIA_E_IO. */
DIA_MUST_CHECK enum dia_rc dia_sock_connect(const struct dia_sock_addr *addr, int *ret);
/* The pending error of a socket, 0 if none. */
int dia_sock_error(int fd);
/* Options of an accepted or connected socket. */
void dia_sock_tune(int fd);

#endif /* DIA_NET_SOCK_H */
