/* proxy/peer/tls.c - see tls.h. */
#include "proxy/peer/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_PREFIX "diarchy/1 dc="
#define KEY_SALT        "diarchy peer link, key 1"

enum {
	SCRYPT_N = 1 << 15, /* 32 MiB and about 0.1 s a guess */
	SCRYPT_R = 8,
	SCRYPT_P = 1,
	SCRYPT_MEMORY = 64 << 20,
	READ_AHEAD = 64 << 10,
};

/* TLS_AES_256_GCM_SHA384: a PSK belongs to one hash, so there is one suite. */
static const unsigned char suite_id[2] = {0x13, 0x02};
static const char suite_name[] = "TLS_AES_256_GCM_SHA384";

/* The PSK in the form OpenSSL wants it, a session that never was. NULL out of memory. */
static SSL_SESSION *psk_session(SSL *ssl, const struct dia_tls *tls)
{
	const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, suite_id);
	SSL_SESSION *session = SSL_SESSION_new();

	if (suite == NULL || session == NULL ||
		!SSL_SESSION_set1_master_key(session, tls->key, sizeof(tls->key)) ||
		!SSL_SESSION_set_cipher(session, suite) ||
		!SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
		SSL_SESSION_free(session);
		return NULL;
	}
	return session;
}

static int client_psk(SSL *ssl, const EVP_MD *md, const unsigned char **ret_id,
	size_t *ret_id_len, SSL_SESSION **ret)
{
	static const char *const prefix = IDENTITY_PREFIX;
	/* OpenSSL copies the identity before it calls again on this thread. */
	static _Thread_local char id[32];
	const struct dia_tls_peer *peer = SSL_get_app_data(ssl);
	int len = snprintf(id, sizeof(id), "%s%u", prefix, peer->tls->self.id);

	(void)md;
	*ret = psk_session(ssl, peer->tls);
	if (*ret == NULL)
		return 0;
	*ret_id = (const unsigned char *)id;
	*ret_id_len = (size_t)len;
	return 1;
}

/* The DC id of a PSK identity, 0 if it is not one of ours. */
static uint16_t identity_dc(const unsigned char *id, size_t len)
{
	size_t prefix = strlen(IDENTITY_PREFIX);
	unsigned dc = 0;

	if (len <= prefix || len > prefix + 2 || memcmp(id, IDENTITY_PREFIX, prefix) != 0)
		return 0;
	for (size_t i = prefix; i < len; i++) {
		if (id[i] < '0' || id[i] > '9')
			return 0;
		dc = dc * 10 + (id[i] - '0');
	}
	return dc <= 63 ? (uint16_t)dc : 0;
}

static int server_psk(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **ret)
{
	struct dia_tls_peer *peer = SSL_get_app_data(ssl);
	uint16_t dc = identity_dc(id, id_len);

	/* No session: OpenSSL goes on to a certificate, has none, and refuses. */
	*ret = NULL;
	if (dc == 0)
		return 1;
	peer->claimed.id = dc;
	*ret = psk_session(ssl, peer->tls);
	return *ret != NULL;
}

static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL)
		return NULL;
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
		!SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
		!SSL_CTX_set_ciphersuites(ctx, suite_name) ||
		!SSL_CTX_set1_groups_list(ctx, "X25519:P-256") ||
		!SSL_CTX_set_num_tickets(ctx, 0)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* Frames know their lengths and sequences are resumed, so a connection that ends
	 * without close_notify is just an end. */
	(void)SSL_CTX_set_options(ctx,
		SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(
		ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	return ctx;
}

enum dia_rc dia_tls_init(struct dia_tls *tls, struct dia_slice secret, struct dia_dc self,
	struct dia_err *reterr)
{
	*tls = (struct dia_tls){.self = self};
	if (secret.len == 0)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"the peer secret is empty; set the same long random text in both "
			"DCs");
	if (!EVP_PBE_scrypt((const char *)secret.data, secret.len,
		    (const unsigned char *)KEY_SALT, strlen(KEY_SALT), SCRYPT_N, SCRYPT_R,
		    SCRYPT_P, SCRYPT_MEMORY, tls->key, sizeof(tls->key))) {
		ERR_clear_error();
		return dia_err_set(reterr, DIA_E_NOMEM, 0,
			"cannot derive the link's key from the secret: %d MiB of memory "
			"are needed for a moment",
			SCRYPT_MEMORY >> 20);
	}
	tls->client = make_context(TLS_client_method());
	tls->server = make_context(TLS_server_method());
	if (tls->client == NULL || tls->server == NULL) {
		dia_tls_fini(tls);
		ERR_clear_error();
		return dia_err_set(reterr, DIA_E_UNSUPPORTED, 0,
			"this OpenSSL does not offer TLS 1.3 with %s", suite_name);
	}
	/* A client trusts no certificate at all, so only the PSK can succeed. A server
	 * asks for none. */
	SSL_CTX_set_verify(tls->client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_psk_use_session_callback(tls->client, client_psk);
	SSL_CTX_set_psk_find_session_callback(tls->server, server_psk);
	return DIA_OK;
}

void dia_tls_fini(struct dia_tls *tls)
{
	SSL_CTX_free(tls->client);
	SSL_CTX_free(tls->server);
	tls->client = tls->server = NULL;
	OPENSSL_cleanse(tls->key, sizeof(tls->key));
}

enum dia_rc dia_tls_open(const struct dia_tls *tls, bool server, int fd,
	struct dia_tls_peer *peer, SSL **ret, struct dia_err *reterr)
{
	SSL *ssl = SSL_new(server ? tls->server : tls->client);

	*peer = (struct dia_tls_peer){.tls = tls};
	if (ssl == NULL || !SSL_set_app_data(ssl, peer) || !SSL_set_fd(ssl, fd)) {
		SSL_free(ssl);
		ERR_clear_error();
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for TLS");
	}
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	*ret = ssl;
	return DIA_OK;
}

bool dia_tls_is_proven(const SSL *ssl)
{
	return SSL_is_init_finished(ssl) && SSL_session_reused(ssl) &&
	       SSL_version(ssl) == TLS1_3_VERSION &&
	       SSL_get0_peer_certificate(ssl) == NULL;
}

static enum dia_rc library_error(struct dia_err *reterr)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	switch (ERR_GET_REASON(code)) {
	case SSL_R_BINDER_DOES_NOT_VERIFY:
	/* What the other side's failed binder looks like from here. */
	case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
		return dia_err_set(reterr, DIA_E_AUTH, 0,
			"the secrets differ; set the same peer secret in both DCs");
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return dia_err_set(reterr, DIA_E_AUTH, 0,
			"not a diarchy that knows a peer secret (%s)",
			text == NULL ? "TLS" : text);
	default: /* not our enum: OpenSSL has hundreds of reasons */
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0, "TLS: %s",
			text == NULL ? "unexpected end" : text);
	}
}

enum dia_rc dia_tls_error(
	const SSL *ssl, int result, short *ret_want, struct dia_err *reterr)
{
	int number = errno;
	enum dia_rc rc;

	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*ret_want = POLLIN;
		return DIA_E_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		*ret_want = POLLOUT;
		return DIA_E_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return dia_err_set(
			reterr, DIA_E_CLOSED, 0, "the other side closed the connection");
	case SSL_ERROR_SYSCALL:
		if (number == 0)
			return dia_err_set(reterr, DIA_E_CLOSED, 0,
				"the other side closed the connection");
		return dia_err_set(reterr, DIA_E_IO, number, "%s", strerror(number));
	default: /* SSL_ERROR_SSL and what cannot occur here; OpenSSL's numbers */
		rc = library_error(reterr);
		ERR_clear_error();
		return rc;
	}
}
