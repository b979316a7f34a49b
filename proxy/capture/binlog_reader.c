/* proxy/capture/binlog_reader.c - see binlog_reader.h. */
#include "proxy/capture/binlog_reader.h"

#include "proxy/core/buf.h"
#include "proxy/core/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HEARTBEAT_MS = 500,
	/* The server says nothing while it looks for our GTID in a large file: be
	   patient. */
	SILENCE_MS = 30000,
	READ_CHUNK = 256 * 1024,
	KEEP_BUFFER = 4 * 1024 * 1024,
	PACKET_FULL = 0xffffff,
	EVENT_MAX =
		1 << 30, /* MAX_MAX_ALLOWED_PACKET, the server's own bound for events */
	COM_BINLOG_DUMP_CODE = 0x12,
	SEND_ANNOTATE_ROWS = 2,
	ERROR_FATAL_READING_BINLOG = 1236,
};

struct dia_reader {
	struct dia_reader_config config;
	MYSQL *mysql;
	int socket, stop_fd;
	struct dia_buf in;  /* bytes from the socket */
	size_t at;          /* start of what is not yet used of in */
	struct dia_buf big; /* an event of several packets, being put together */
	bool in_big, big_done;
	bool has_checksum;
	uint64_t heard_us; /* last time anything came */
	struct dia_reader_stats stats;
};

enum dia_rc dia_reader_new(const struct dia_reader_config *config,
	struct dia_reader **ret, struct dia_err *reterr)
{
	struct dia_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a binlog reader");
	r->config = *config;
	r->socket = -1;
	r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->stop_fd < 0) {
		free(r);
		return dia_err_set(
			reterr, DIA_E_IO, errno, "eventfd: %s", strerror(errno));
	}
	*ret = r;
	return DIA_OK;
}

void dia_reader_free(struct dia_reader *r)
{
	if (r == NULL)
		return;
	dia_reader_detach(r);
	dia_buf_fini(&r->in);
	dia_buf_fini(&r->big);
	(void)close(r->stop_fd);
	free(r);
}

void dia_reader_stop(struct dia_reader *r)
{
	uint64_t one = 1;

	/* The counter of an eventfd cannot be full here; nothing else could fail. */
	if (write(r->stop_fd, &one, sizeof(one)) < 0)
		return;
}

void dia_reader_stats(const struct dia_reader *r, struct dia_reader_stats *ret)
{
	*ret = r->stats;
}

void dia_reader_detach(struct dia_reader *r)
{
	if (r->socket >= 0) {
		/* Before mysql_close, which would otherwise wait for room to say goodbye.
		 */
		(void)shutdown(r->socket, SHUT_RDWR);
		r->socket = -1;
	}
	if (r->mysql != NULL) {
		mysql_close(r->mysql);
		r->mysql = NULL;
	}
	dia_buf_reset(&r->in);
	dia_buf_reset(&r->big);
	r->at = 0;
	r->in_big = r->big_done = false;
}

/* Everything the dump thread looks at, before it starts. */
static enum dia_rc set_up_session(struct dia_reader *r, const struct dia_gtid_pos *from,
	struct dia_gtid_pos *ret_server, struct dia_err *reterr)
{
	enum { POS_TEXT = DIA_GTID_POS_MAX * 48 };
	char text[POS_TEXT], checksum[16];
	enum dia_rc rc;

	rc = dia_mariadb_query_one_string(r->mysql, checksum, sizeof(checksum), reterr,
		"SELECT @@GLOBAL.binlog_checksum");
	if (rc != DIA_OK)
		return rc;
	r->has_checksum = strcmp(checksum, "NONE") != 0;
	if (ret_server != NULL) {
		rc = dia_mariadb_query_one_string(r->mysql, text, sizeof(text), reterr,
			"SELECT @@GLOBAL.gtid_binlog_pos");
		if (rc == DIA_OK &&
			dia_gtid_pos_parse(dia_slice_str(text), ret_server) != DIA_OK)
			rc = dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"gtid_binlog_pos is not understood: %.200s", text);
		if (rc != DIA_OK)
			return rc;
	}
	rc = dia_gtid_pos_format(from, text, sizeof(text));
	if (rc != DIA_OK)
		return dia_err_set(
			reterr, rc, 0, "binlog position with too many domains");
	return dia_mariadb_exec(r->mysql, reterr,
		"SET @mariadb_slave_capability=4, @master_binlog_checksum='%s', "
		"@master_heartbeat_period=%llu, @slave_gtid_strict_mode=0, "
		"@slave_gtid_ignore_duplicates=0, @slave_connect_state='%s'",
		checksum, HEARTBEAT_MS * 1000000ULL, text);
}

static enum dia_rc send_dump(struct dia_reader *r, struct dia_err *reterr)
{
	/* COM_BINLOG_DUMP: position 4, flags 2, server id 4, empty file name. With a GTID
	 * state set the server ignores position and file. */
	uint8_t packet[4 + 11] = {
		11, 0, 0, 0, COM_BINLOG_DUMP_CODE, 4, 0, 0, 0, SEND_ANNOTATE_ROWS, 0};

	dia_put_le32(packet + 11, r->config.server_id);
	if (send(r->socket, packet, sizeof(packet), MSG_NOSIGNAL) != sizeof(packet))
		return dia_err_set(
			reterr, DIA_E_DB_GONE, errno, "binlog dump: %s", strerror(errno));
	return DIA_OK;
}

enum dia_rc dia_reader_attach(struct dia_reader *r, const struct dia_gtid_pos *from,
	struct dia_gtid_pos *ret_server, struct dia_err *reterr)
{
	enum dia_rc rc;

	dia_reader_detach(r);
	rc = dia_mariadb_connect(
		r->config.config, DIA_MARIADB_NO_READ_TIMEOUT, &r->mysql, reterr);
	if (rc == DIA_OK)
		rc = set_up_session(r, from, ret_server, reterr);
	if (rc == DIA_OK && mysql_get_ssl_cipher(r->mysql) != NULL)
		rc = dia_err_set(reterr, DIA_E_UNSUPPORTED, 0,
			"the connection to the database uses TLS, which the binlog "
			"reader does "
			"not; use a unix socket or an unencrypted loopback connection");
	if (rc == DIA_OK) {
		r->socket = (int)mysql_get_socket(r->mysql);
		rc = send_dump(r, reterr);
	}
	if (rc != DIA_OK)
		dia_reader_detach(r);
	else
		r->heard_us = r->stats.idle_us = dia_clock_mono_us(&r->config.clock);
	return rc;
}

/* Wait for bytes. DIA_E_AGAIN when the time is over. */
static enum dia_rc wait_readable(
	struct dia_reader *r, uint64_t until_us, struct dia_err *reterr)
{
	struct pollfd fds[2] = {{.fd = r->socket, .events = POLLIN},
		{.fd = r->stop_fd, .events = POLLIN}};
	uint64_t now = dia_clock_mono_us(&r->config.clock);
	int timeout, n;

	r->stats.idle_us = now;
	if (now - r->heard_us > SILENCE_MS * 1000ULL)
		return dia_err_set(reterr, DIA_E_DB_GONE, 0,
			"the server has sent neither events nor heartbeats for %d s",
			SILENCE_MS / 1000);
	timeout = now >= until_us ? 0 : (int)((until_us - now + 999) / 1000);
	n = poll(fds, 2, timeout);
	if (n < 0 && errno != EINTR)
		return dia_err_set(reterr, DIA_E_IO, errno, "poll: %s", strerror(errno));
	if (fds[1].revents != 0)
		return DIA_E_STOPPED;
	if (n > 0)
		return DIA_OK;
	return dia_clock_mono_us(&r->config.clock) >= until_us ? DIA_E_AGAIN : DIA_OK;
}

/* Read what there is, with room for at least `need` bytes in all behind `at`. */
static enum dia_rc fill(
	struct dia_reader *r, size_t need, uint64_t until_us, struct dia_err *reterr)
{
	if (r->at > 0) {
		dia_buf_consume(&r->in, r->at);
		r->at = 0;
	}
	if (r->in.len == 0 && r->in.cap > KEEP_BUFFER)
		dia_buf_fini(&r->in);
	if (dia_buf_reserve(&r->in,
		    (need > r->in.len ? need - r->in.len : 0) + READ_CHUNK) != DIA_OK)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a binlog event");
	for (;;) {
		ssize_t n = recv(r->socket, r->in.data + r->in.len, r->in.cap - r->in.len,
			MSG_DONTWAIT);
		enum dia_rc rc;

		if (n > 0) {
			r->in.len += (size_t)n;
			r->stats.bytes += (uint64_t)n;
			r->heard_us = dia_clock_mono_us(&r->config.clock);
			return DIA_OK;
		}
		if (n == 0)
			return dia_err_set(reterr, DIA_E_DB_GONE, 0,
				"the server closed the binlog connection");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return dia_err_set(reterr, DIA_E_DB_GONE, errno, "binlog: %s",
				strerror(errno));
		rc = wait_readable(r, until_us, reterr);
		if (rc != DIA_OK)
			return rc;
	}
}

/* One packet's payload, in place. */
static enum dia_rc next_packet(struct dia_reader *r, uint64_t until_us,
	struct dia_slice *ret, struct dia_err *reterr)
{
	size_t need = 4;

	for (;;) {
		size_t have = r->in.len - r->at;

		if (have >= 4)
			need = 4 + (size_t)dia_le24(r->in.data + r->at);
		if (have >= need) {
			*ret = dia_slice_of(r->in.data + r->at + 4, need - 4);
			r->at += need;
			return DIA_OK;
		}
		{
			enum dia_rc rc = fill(r, need, until_us, reterr);

			if (rc != DIA_OK)
				return rc;
		}
	}
}

static enum dia_rc error_packet(struct dia_slice payload, struct dia_err *reterr)
{
	struct dia_cursor c = dia_cursor_of(payload);
	char text[256];
	size_t left;
	int number;

	(void)dia_cursor_u8(&c);
	number = dia_cursor_le16(&c);
	if (dia_cursor_left(&c) >= 6 && *c.at == '#')
		(void)dia_cursor_take(&c, 6);
	left = dia_cursor_left(&c);
	(void)snprintf(text, sizeof(text), "%.*s", (int)(left < 255 ? left : 255),
		left == 0 ? "" : (const char *)c.at);
	if (number == ERROR_FATAL_READING_BINLOG)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, number,
			"the server cannot give the binlog from where capture stopped: "
			"%s",
			text);
	return dia_err_set(reterr, DIA_E_DB_GONE, number, "binlog dump ended: %s", text);
}

/* The bytes of the next event, over packet boundaries: only the first packet of an event
 * has the status byte in front. */
static enum dia_rc next_bytes(struct dia_reader *r, uint64_t until_us,
	struct dia_slice *ret, struct dia_err *reterr)
{
	struct dia_slice payload;

	if (r->big_done) {
		r->big_done = false;
		dia_buf_fini(&r->big);
	}
	for (;;) {
		enum dia_rc rc = next_packet(r, until_us, &payload, reterr);

		if (rc != DIA_OK)
			return rc;
		if (!r->in_big) {
			if (payload.len == 0 || payload.data[0] == 0xff)
				return error_packet(payload, reterr);
			if (payload.data[0] == 0xfe && payload.len < 9)
				return dia_err_set(reterr, DIA_E_DB_GONE, 0,
					"the server ended the binlog dump");
			if (payload.len < PACKET_FULL) {
				*ret = dia_slice_of(payload.data + 1, payload.len - 1);
				return DIA_OK;
			}
			dia_buf_add(&r->big, payload.data + 1, payload.len - 1);
			r->in_big = true;
			continue;
		}
		if (r->big.len + payload.len > EVENT_MAX)
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"binlog event of more than 1 GiB");
		if (dia_buf_add_slice(&r->big, payload) != DIA_OK)
			return dia_err_set(reterr, DIA_E_NOMEM, 0,
				"no memory for a binlog event of %zu bytes", r->big.len);
		if (payload.len < PACKET_FULL) {
			r->in_big = false;
			r->big_done = true;
			*ret = dia_buf_slice(&r->big);
			return DIA_OK;
		}
	}
}

/* Where the dump thread reads now, for people. */
static void note_rotate(struct dia_reader *r, struct dia_slice raw)
{
	struct dia_cursor c = dia_cursor_of(raw);
	size_t n;

	(void)dia_cursor_take(&c, DIA_EVENT_HEADER_LEN);
	r->stats.pos = dia_cursor_le64(&c);
	n = dia_cursor_left(&c);
	if (r->has_checksum && n > DIA_EVENT_CHECKSUM_LEN)
		n -= DIA_EVENT_CHECKSUM_LEN;
	if (n >= sizeof(r->stats.file))
		n = sizeof(r->stats.file) - 1;
	if (n > 0)
		memcpy(r->stats.file, c.at, n);
	r->stats.file[n] = '\0';
}

/* True for events that are used up here: artificial ones, whose checksum depends on the
 * file before, are looked at without verifying it. */
static bool consumed_here(struct dia_reader *r, uint8_t type, struct dia_slice raw)
{
	switch (type) {
	case DIA_EVENT_ROTATE:
		note_rotate(r, raw);
		return true;
	case DIA_EVENT_HEARTBEAT:
		r->stats.heartbeats++;
		return true;
	case DIA_EVENT_GTID_LIST:
	case DIA_EVENT_BINLOG_CHECKPOINT:
	case DIA_EVENT_START_ENCRYPTION:
	case DIA_EVENT_STOP:
		return true;
	}
	return false;
}

enum dia_rc dia_reader_next(struct dia_reader *r, unsigned timeout_ms,
	struct dia_event *ret, struct dia_err *reterr)
{
	uint64_t until_us = 0;
	struct dia_format format;
	struct dia_slice raw;

	if (r->socket < 0)
		return dia_err_set(reterr, DIA_E_DB_GONE, 0, "not attached");
	if (timeout_ms > 0)
		until_us = dia_clock_mono_us(&r->config.clock) + timeout_ms * 1000ULL;
	for (;;) {
		enum dia_rc rc = next_bytes(r, until_us, &raw, reterr);
		uint8_t type;

		if (rc != DIA_OK)
			return rc;
		if (raw.len < DIA_EVENT_HEADER_LEN)
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"binlog event of %zu bytes", raw.len);
		type = raw.data[4];
		r->stats.events++;
		if (consumed_here(r, type, raw))
			continue;
		if (type == DIA_EVENT_FORMAT_DESCRIPTION) {
			if (dia_format_parse(raw, &format) != DIA_PARSE_OK ||
				format.binlog_version != 4)
				return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
					"binlog file %s has a format that is not "
					"understood",
					r->stats.file);
			r->has_checksum = format.has_checksum;
			continue;
		}
		if (dia_event_parse(raw, r->has_checksum, ret) != DIA_PARSE_OK)
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"damaged event (type %u, %zu bytes) in binlog %s near "
				"%llu",
				type, raw.len, r->stats.file,
				(unsigned long long)r->stats.pos);
		r->stats.pos = ret->log_pos;
		return DIA_OK;
	}
}
