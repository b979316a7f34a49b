/*
 * proxy/peer/tls.h - TLS 1.3 with a pre-shared key: what proves that a peer is a peer.
 *
 * Both directions use the same external PSK, made from the configured secret with scrypt,
 * with (EC)DHE always (psk_dhe_ke), so a secret that leaks later opens no old recording.
 * There are no certificates: a server without the key has nothing to answer with, a
 * client without it fails the binder. The PSK identity, the only thing sent in the clear,
 * is "diarchy/1 dc=<id>".
 */
#ifndef DIA_PEER_TLS_H
#define DIA_PEER_TLS_H

#include "proxy/core/err.h"
#include "proxy/core/hlc.h"
#include "proxy/core/slice.h"

#include <openssl/ssl.h>

enum { DIA_TLS_KEY_BYTES = 48 };

struct dia_tls {
	SSL_CTX *client, *server;
	uint8_t key[DIA_TLS_KEY_BYTES];
	struct dia_dc self;
};

/* What the handshake learns about the other side; embedded in a stream, whose SSL
 * points to it. */
struct dia_tls_peer {
	const struct dia_tls *tls;
	struct dia_dc claimed; /* by its PSK identity; 0 none or unreadable */
};

/* Takes about 0.1 s: the key derivation is slow on purpose. tls must not move while
 * streams use it. */
DIA_MUST_CHECK enum dia_rc dia_tls_init(struct dia_tls *tls, struct dia_slice secret,
	struct dia_dc self, struct dia_err *reterr);
void dia_tls_fini(struct dia_tls *tls);

/* A TLS end on fd (not owned). peer must live as long as the result. */
DIA_MUST_CHECK enum dia_rc dia_tls_open(const struct dia_tls *tls, bool server, int fd,
	struct dia_tls_peer *peer, SSL **ret, struct dia_err *reterr);
/* After the handshake: true only if the shared secret authenticated it. */
bool dia_tls_is_proven(const SSL *ssl);
/* Sort out what an SSL call that returned `result` <= 0 means: DIA_E_AGAIN with *ret_want
 * POLLIN or POLLOUT, DIA_E_CLOSED, DIA_E_AUTH (the secrets differ), DIA_E_PROTOCOL or
 * DIA_E_IO with the reason. */
DIA_MUST_CHECK enum dia_rc dia_tls_error(
	const SSL *ssl, int result, short *ret_want, struct dia_err *reterr);

#endif /* DIA_PEER_TLS_H */
