/* proxy/peer/stream.c - see stream.h. */
#include "proxy/peer/stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <poll.h>

enum {
	READ_STEP = 64 << 10,
	/* Buffers above this are given back once empty: a burst must not stay. */
	KEEP_BYTES = 1 << 20,
};

/* AES-GCM keys protect up to 2^24.5 records (RFC 8446 section 5.5) and OpenSSL does not
 * change them by itself; records of heartbeats are short, so count generously. */
#define REKEY_BYTES (UINT64_C(1) << 34)
#define RECORD_COST UINT64_C(16384)

enum dia_rc dia_stream_init(struct dia_stream *s, const struct dia_tls *tls, bool server,
	int fd, struct dia_err *reterr)
{
	*s = (struct dia_stream){.fd = fd,
		.want = POLLIN,
		.want_read = POLLIN,
		.rekey_bytes = REKEY_BYTES};
	return dia_tls_open(tls, server, fd, &s->peer, &s->ssl, reterr);
}

void dia_stream_fini(struct dia_stream *s)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
	dia_buf_fini(&s->in);
	dia_buf_fini(&s->out);
	s->up = false;
}

enum dia_rc dia_stream_handshake(struct dia_stream *s, struct dia_err *reterr)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(s->ssl);
	if (result != 1)
		return dia_tls_error(s->ssl, result, &s->want, reterr);
	if (!dia_tls_is_proven(s->ssl))
		return dia_err_set(reterr, DIA_E_AUTH, 0,
			"the other side did not prove the peer secret");
	s->up = true;
	return DIA_OK;
}

static enum dia_rc read_more(struct dia_stream *s, struct dia_err *reterr)
{
	size_t room;
	int result;

	if (s->in_at == s->in.len) {
		if (s->in.cap > KEEP_BYTES)
			dia_buf_fini(&s->in);
		dia_buf_reset(&s->in);
	} else {
		dia_buf_consume(&s->in, s->in_at);
	}
	s->in_at = 0;
	if (dia_buf_reserve(&s->in, READ_STEP) != DIA_OK)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a frame");
	room = s->in.cap - s->in.len;
	ERR_clear_error();
	errno = 0;
	result = SSL_read(
		s->ssl, s->in.data + s->in.len, room > INT_MAX ? INT_MAX : (int)room);
	if (result <= 0)
		return dia_tls_error(s->ssl, result, &s->want_read, reterr);
	s->want_read = POLLIN;
	s->in.len += (size_t)result;
	s->bytes_in += (uint64_t)result;
	return DIA_OK;
}

enum dia_rc dia_stream_next(
	struct dia_stream *s, size_t max, struct dia_frame *ret, struct dia_err *reterr)
{
	for (;;) {
		struct dia_slice left =
			dia_slice_of(s->in.data + s->in_at, s->in.len - s->in_at);
		enum dia_rc rc = DIA_OK;
		size_t used = 0;

		switch (dia_frame_split(left, max, ret, &used)) {
		case DIA_PARSE_OK:
			s->in_at += used;
			return DIA_OK;
		case DIA_PARSE_BAD:
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"bad frame: type %u of %u bytes", left.data[4],
				dia_le32(left.data));
		case DIA_PARSE_MORE:
			rc = read_more(s, reterr);
			break;
		}
		if (rc != DIA_OK)
			return rc;
	}
}

/* Nothing may be pending in the TLS layer when the key changes. */
static enum dia_rc rekey(struct dia_stream *s, struct dia_err *reterr)
{
	if (s->rekey_at < s->rekey_bytes)
		return DIA_OK;
	s->rekey_at = 0;
	if (!SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED)) {
		ERR_clear_error();
		return dia_err_set(reterr, DIA_E_IO, 0, "TLS: cannot change the key");
	}
	return DIA_OK;
}

enum dia_rc dia_stream_flush(struct dia_stream *s, struct dia_err *reterr)
{
	while (dia_stream_pending(s) > 0) {
		size_t left = dia_stream_pending(s);
		short want = 0;
		int result;

		ERR_clear_error();
		errno = 0;
		result = SSL_write(s->ssl, s->out.data + s->out_at,
			left > INT_MAX ? INT_MAX : (int)left);
		if (result <= 0)
			return dia_tls_error(s->ssl, result, &want, reterr);
		s->out_at += (size_t)result;
		s->bytes_out += (uint64_t)result;
		s->rekey_at += RECORD_COST;
		if (rekey(s, reterr) != DIA_OK)
			return DIA_E_IO;
	}
	if (s->out.cap > KEEP_BYTES)
		dia_buf_fini(&s->out);
	dia_buf_reset(&s->out);
	s->out_at = 0;
	return DIA_OK;
}

short dia_stream_events(const struct dia_stream *s, bool reading)
{
	if (!s->up)
		return s->want;
	return (short)((reading ? s->want_read : 0) |
		       (dia_stream_pending(s) > 0 ? POLLOUT : 0));
}
