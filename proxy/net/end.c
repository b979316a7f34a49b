/* proxy/net/end.c - see end.h. */
#include "proxy/net/end.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum dia_rc dia_end_open(struct dia_end *end, uv_loop_t *loop, int fd, void *owner)
{
	if (uv_poll_init(loop, &end->poll, fd) != 0)
		return DIA_E_IO;
	end->poll.data = owner;
	end->fd = fd;
	end->armed = 0;
	return DIA_OK;
}

size_t dia_end_read(struct dia_end *end, uint8_t *into, size_t cap)
{
	ssize_t n;

	do {
		n = recv(end->fd, into, cap, 0);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		end->eof = true;
	return 0;
}

/* How many bytes the socket took. */
static size_t write_some(struct dia_end *end, const uint8_t *data, size_t len)
{
	ssize_t n;

	do {
		n = send(end->fd, data, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EWOULDBLOCK) {
		end->broken = true;
		return len;
	}
	return 0;
}

enum dia_rc dia_end_send(struct dia_end *end, const void *data, size_t len)
{
	size_t n = 0;

	if (end->broken || len == 0)
		return DIA_OK;
	if (end->out.len == 0)
		n = write_some(end, data, len);
	if (n == len)
		return DIA_OK;
	return dia_buf_add(&end->out, (const uint8_t *)data + n, len - n);
}

enum dia_rc dia_end_send_buf(struct dia_end *end, struct dia_buf *buf, size_t len)
{
	size_t n;

	if (end->out.len > 0 || len != buf->len || end->broken) {
		enum dia_rc rc = dia_end_send(end, buf->data, len);

		dia_buf_consume(buf, len);
		return rc;
	}
	n = write_some(end, buf->data, len);
	if (n == len) {
		dia_buf_consume(buf, len);
		return DIA_OK;
	}
	dia_buf_fini(&end->out);
	end->out = *buf;
	end->out_at = n;
	*buf = (struct dia_buf){0};
	return DIA_OK;
}

void dia_end_flush(struct dia_end *end)
{
	if (end->out.len > 0) {
		if (!end->broken)
			end->out_at += write_some(
				end, end->out.data + end->out_at, dia_end_queued(end));
		if (end->broken || end->out_at == end->out.len) {
			dia_buf_fini(&end->out);
			end->out_at = 0;
		}
	}
	if (end->finish && end->out.len == 0 && !end->shut) {
		end->shut = true;
		(void)shutdown(end->fd, SHUT_WR);
	}
}

void dia_end_finish(struct dia_end *end)
{
	end->finish = true;
	dia_end_flush(end);
}

void dia_end_arm(struct dia_end *end, bool reading, uv_poll_cb on_event)
{
	int want = (reading ? UV_READABLE : 0) |
		   (end->out.len > 0 || end->connecting ? UV_WRITABLE : 0);

	if (want == end->armed || end->fd < 0)
		return;
	end->armed = want;
	if (want == 0)
		(void)uv_poll_stop(&end->poll);
	else
		(void)uv_poll_start(&end->poll, want, on_event);
}

void dia_end_close(struct dia_end *end, uv_close_cb on_closed)
{
	int fd = end->fd;

	end->fd = -1;
	end->armed = 0;
	dia_buf_fini(&end->out);
	end->out_at = 0;
	/* The handle first: the number may be given to a new socket right after close().
	 */
	uv_close((uv_handle_t *)&end->poll, on_closed);
	(void)close(fd);
}
