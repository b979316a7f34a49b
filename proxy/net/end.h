/*
 * proxy/net/end.h - one end of a relayed session: a socket, its poll handle, what is
 * still to be written to it.
 *
 * Reads and writes go straight to the descriptor (uv_poll, no uv_stream): what arrives is
 * forwarded from the reader's buffer with one write, and only what the socket does not
 * take is copied into `out`. An idle end holds no memory beyond this struct. The owner
 * embeds it, calls dia_end_arm after each event, and may free it when dia_end_close's
 * callback has run.
 */
#ifndef DIA_NET_END_H
#define DIA_NET_END_H

#include "proxy/core/buf.h"

#include <stdbool.h>
#include <uv.h>

struct dia_end {
	uv_poll_t poll;
	int fd;          /* -1 when not open */
	int armed;       /* events the poll handle waits for */
	bool connecting; /* wait for the connection to be made: until writable */
	bool eof;        /* the peer will send nothing more */
	bool broken;     /* writing failed: what is sent from now on is dropped */
	bool shut;       /* we have sent our FIN */
	bool finish;     /* send a FIN when `out` is empty */
	size_t out_at;   /* written part of `out` */
	struct dia_buf out;
};

/* Takes fd. On failure fd stays with the caller. */
DIA_MUST_CHECK enum dia_rc dia_end_open(
	struct dia_end *end, uv_loop_t *loop, int fd, void *owner);
static inline bool dia_end_is_open(const struct dia_end *end)
{
	return end->fd >= 0;
}
static inline size_t dia_end_queued(const struct dia_end *end)
{
	return end->out.len - end->out_at;
}

/* Up to cap bytes; 0 when nothing is there now or `eof` was set (a reset counts as eof).
 */
size_t dia_end_read(struct dia_end *end, uint8_t *into, size_t cap);
/* Write, queueing what the socket does not take. DIA_E_NOMEM: bytes are lost, give up the
 * session. A broken socket is not an error here: the reading side will tell the end. */
DIA_MUST_CHECK enum dia_rc dia_end_send(
	struct dia_end *end, const void *data, size_t len);
/* The same for a whole buffer, taken over (and empty afterwards) when the socket is slow.
 */
DIA_MUST_CHECK enum dia_rc dia_end_send_buf(
	struct dia_end *end, struct dia_buf *buf, size_t len);
/* Write what is queued. */
void dia_end_flush(struct dia_end *end);
/* No more will be sent: FIN once the queue is empty. */
void dia_end_finish(struct dia_end *end);
/* Wait for input if `reading`, and for room while something is queued. */
void dia_end_arm(struct dia_end *end, bool reading, uv_poll_cb on_event);
/* libuv has stopped the handle after an error; the next arm starts it again. */
static inline void dia_end_disarmed(struct dia_end *end)
{
	end->armed = 0;
}
/* Close the socket now, free the queue, and call back when the handle is done with. */
void dia_end_close(struct dia_end *end, uv_close_cb on_closed);

#endif /* DIA_NET_END_H */
