/* parser/binlog/event.c - see event.h. */
#include "parser/binlog/event.h"

#include <zlib.h>

enum {
	HEADER_LEN_AT = 9,
	HEADER_LOG_POS_AT = 13,
	HEADER_FLAGS_AT = 17,
	FLAG_BINLOG_IN_USE = 1,
	SERVER_VERSION_LEN = 50,
	POST_HEADER_LENS_MIN = 171, /* event types of MariaDB 10.2 and later */
	CHECKSUM_CRC32 = 1,
	GTID_DATA_LEN = 19, /* shorter contents are padded to this */
	XID_PART_MAX = 64,
};

static uint32_t crc_of(const uint8_t *data, size_t len)
{
	uLong crc = crc32(0, NULL, 0);

	return (uint32_t)crc32_z(crc, data, len);
}

static void header_read(const uint8_t *p, struct dia_event *ret)
{
	ret->timestamp = dia_le32(p);
	ret->type = p[4];
	ret->server_id = dia_le32(p + 5);
	ret->event_len = dia_le32(p + 9);
	ret->log_pos = dia_le32(p + 13);
	ret->flags = dia_le16(p + HEADER_FLAGS_AT);
}

enum dia_parse dia_event_parse(
	struct dia_slice in, bool has_checksum, struct dia_event *ret)
{
	size_t tail = has_checksum ? DIA_EVENT_CHECKSUM_LEN : 0;
	size_t len;

	if (in.len < DIA_EVENT_HEADER_LEN)
		return DIA_PARSE_MORE;
	header_read(in.data, ret);
	if (ret->event_len < DIA_EVENT_HEADER_LEN + tail)
		return DIA_PARSE_BAD;
	if (ret->event_len > in.len)
		return DIA_PARSE_MORE;

	len = ret->event_len - tail;
	if (has_checksum && crc_of(in.data, len) != dia_le32(in.data + len))
		return DIA_PARSE_BAD;
	ret->raw = dia_slice_of(in.data, len);
	ret->data =
		dia_slice_of(in.data + DIA_EVENT_HEADER_LEN, len - DIA_EVENT_HEADER_LEN);
	return DIA_PARSE_OK;
}

enum dia_rc dia_event_write(struct dia_buf *out, const struct dia_event *ev)
{
	size_t start = out->len;

	if (dia_buf_add_slice(out, ev->raw) != DIA_OK)
		return DIA_E_NOMEM;
	dia_put_le32(out->data + start + HEADER_LEN_AT, (uint32_t)ev->raw.len);
	dia_put_le32(out->data + start + HEADER_LOG_POS_AT, 0);
	return DIA_OK;
}

/* The CRC of a Format_description event is computed as if "in use" were not set: the
 * server sets that flag in the file after it has written the event. */
static uint32_t format_crc(struct dia_slice event)
{
	uint8_t head[DIA_EVENT_HEADER_LEN];
	uLong crc = crc32(0, NULL, 0);

	memcpy(head, event.data, sizeof(head));
	head[HEADER_FLAGS_AT] &= (uint8_t)~FLAG_BINLOG_IN_USE;
	crc = crc32_z(crc, head, sizeof(head));
	return (uint32_t)crc32_z(crc, event.data + sizeof(head),
		event.len - sizeof(head) - DIA_EVENT_CHECKSUM_LEN);
}

enum dia_parse dia_format_parse(struct dia_slice in, struct dia_format *ret)
{
	struct dia_event ev;
	struct dia_cursor c;
	const uint8_t *version;
	uint8_t header_len, algorithm;
	enum dia_parse rc = dia_event_parse(in, false, &ev);

	if (rc != DIA_PARSE_OK)
		return rc;
	if (ev.type != DIA_EVENT_FORMAT_DESCRIPTION ||
		ev.data.len < DIA_EVENT_CHECKSUM_LEN + 1)
		return DIA_PARSE_BAD;
	/* Behind the post-header lengths: one byte names the algorithm, four hold a CRC
	 * whether or not it is in use. */
	ev.data.len -= DIA_EVENT_CHECKSUM_LEN + 1;
	algorithm = ev.data.data[ev.data.len];

	c = dia_cursor_of(ev.data);
	ret->binlog_version = dia_cursor_le16(&c);
	version = dia_cursor_take(&c, SERVER_VERSION_LEN);
	(void)dia_cursor_le32(&c); /* created */
	header_len = dia_cursor_u8(&c);
	if (c.bad || ret->binlog_version != 4 || header_len != DIA_EVENT_HEADER_LEN ||
		dia_cursor_left(&c) < POST_HEADER_LENS_MIN)
		return DIA_PARSE_BAD;
	memcpy(ret->server_version, version, SERVER_VERSION_LEN);
	ret->server_version[SERVER_VERSION_LEN] = '\0';
	ret->has_checksum = algorithm == CHECKSUM_CRC32;
	if (ret->has_checksum && format_crc(ev.raw) != dia_le32(ev.raw.data + ev.raw.len -
								DIA_EVENT_CHECKSUM_LEN))
		return DIA_PARSE_BAD;
	return DIA_PARSE_OK;
}

enum dia_parse dia_gtid_event_parse(
	const struct dia_event *ev, struct dia_gtid_event *ret)
{
	struct dia_cursor c = dia_cursor_of(ev->data);

	if (ev->type != DIA_EVENT_GTID || ev->data.len < GTID_DATA_LEN)
		return DIA_PARSE_BAD;
	memset(ret, 0, sizeof(*ret));
	ret->gtid.seq_no = dia_cursor_le64(&c);
	ret->gtid.domain = dia_cursor_le32(&c);
	ret->gtid.server = ev->server_id;
	ret->flags = dia_cursor_u8(&c);
	if ((ret->flags & DIA_GTID_GROUP_COMMIT) != 0)
		(void)dia_cursor_le64(&c);
	if ((ret->flags & (DIA_GTID_PREPARED_XA | DIA_GTID_COMPLETED_XA)) != 0) {
		uint8_t gtrid_len, bqual_len;

		(void)dia_cursor_le32(&c); /* format id */
		gtrid_len = dia_cursor_u8(&c);
		bqual_len = dia_cursor_u8(&c);
		if (gtrid_len > XID_PART_MAX || bqual_len > XID_PART_MAX)
			return DIA_PARSE_BAD;
		ret->xid = dia_cursor_slice(&c, (size_t)gtrid_len + bqual_len);
	}
	/* Later servers append extra flags; nothing there concerns us. */
	return c.bad ? DIA_PARSE_BAD : DIA_PARSE_OK;
}

enum dia_parse dia_annotate_parse(const struct dia_event *ev, struct dia_slice *ret)
{
	if (ev->type != DIA_EVENT_ANNOTATE_ROWS)
		return DIA_PARSE_BAD;
	*ret = ev->data;
	return DIA_PARSE_OK;
}

enum dia_parse dia_xid_parse(const struct dia_event *ev, uint64_t *ret)
{
	if (ev->type != DIA_EVENT_XID || ev->data.len < 8)
		return DIA_PARSE_BAD;
	*ret = dia_le64(ev->data.data);
	return DIA_PARSE_OK;
}
