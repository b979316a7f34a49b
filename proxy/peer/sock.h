/*
 * proxy/peer/sock.h - TCP for the link: listen, connect, eventfds. No global state.
 */
#ifndef DIA_PEER_SOCK_H
#define DIA_PEER_SOCK_H

#include "proxy/core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { DIA_SOCK_NAME_MAX = 64 };

/* Split "host:port", "[v6]:port" or ":port" into the two (host may come out empty).
 * DIA_E_CONFIG with the remedy. */
DIA_MUST_CHECK enum dia_rc dia_peer_sock_split(const char *address, char *host,
	size_t host_cap, char *port, size_t port_cap, struct dia_err *reterr);
/* A nonblocking listening socket; *ret_port is the one it got. */
DIA_MUST_CHECK enum dia_rc dia_peer_sock_listen(
	const char *address, int *ret_fd, uint16_t *ret_port, struct dia_err *reterr);
/* A connected nonblocking socket. Returns early with DIA_E_STOPPED when stop_fd becomes
 * readable, DIA_E_TIMEOUT after timeout_ms; name resolution included. */
DIA_MUST_CHECK enum dia_rc dia_peer_sock_connect(const char *address, int stop_fd,
	int timeout_ms, int *ret_fd, struct dia_err *reterr);
/* What every link socket wants: nonblocking, no delay, close on exec. */
void dia_peer_sock_tune(int fd);
/* "192.0.2.1:7406" into out, which has DIA_SOCK_NAME_MAX bytes. With port false the host
 * alone. */
void dia_peer_sock_name(const struct sockaddr_storage *sa, bool port, char *out);

/* eventfd: make it readable, make it unreadable; errors have no consequence here. */
void dia_peer_sock_poke(int fd);
void dia_peer_sock_drain(int fd);

#endif /* DIA_PEER_SOCK_H */
