/*
 * proxy/peer/stream.h - frames over one nonblocking TLS connection.
 *
 * Belongs to one thread. Writing: append frames to `out`, then flush. Reading: next
 * gives frame after frame until DIA_E_AGAIN; who stops calling it stops the sender by
 * TCP back pressure. Nothing here waits; poll on fd for dia_stream_events.
 */
#ifndef DIA_PEER_STREAM_H
#define DIA_PEER_STREAM_H

#include "proxy/peer/frame.h"
#include "proxy/peer/tls.h"

struct dia_stream {
	int fd; /* borrowed */
	SSL *ssl;
	struct dia_tls_peer peer;
	bool up;           /* handshake done and proven */
	short want;        /* what the handshake waits for */
	short want_read;   /* what reading waits for, POLLIN unless TLS says otherwise */
	struct dia_buf in; /* received and decrypted; in_at of it is used up */
	size_t in_at;
	struct dia_buf out; /* to be written; out_at of it is */
	size_t out_at;
	uint64_t bytes_in, bytes_out; /* as frames, before encryption */
	uint64_t rekey_bytes;         /* change our key after so many, in full records */
	uint64_t rekey_at;
};

/* s must not move afterwards. */
DIA_MUST_CHECK enum dia_rc dia_stream_init(struct dia_stream *s,
	const struct dia_tls *tls, bool server, int fd, struct dia_err *reterr);
void dia_stream_fini(struct dia_stream *s);

/* DIA_OK when both sides have proven the secret; DIA_E_AGAIN until then. */
DIA_MUST_CHECK enum dia_rc dia_stream_handshake(
	struct dia_stream *s, struct dia_err *reterr);
/* The next frame with a payload of at most max, borrowed until the next call. */
DIA_MUST_CHECK enum dia_rc dia_stream_next(
	struct dia_stream *s, size_t max, struct dia_frame *ret, struct dia_err *reterr);
/* DIA_OK when all of out is written, DIA_E_AGAIN when the socket is full. */
DIA_MUST_CHECK enum dia_rc dia_stream_flush(struct dia_stream *s, struct dia_err *reterr);

static inline size_t dia_stream_pending(const struct dia_stream *s)
{
	return s->out.len - s->out_at;
}

/* poll() events to wait for; reading: whether next would be called. */
short dia_stream_events(const struct dia_stream *s, bool reading);

#endif /* DIA_PEER_STREAM_H */
