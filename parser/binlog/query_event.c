/* parser/binlog/query_event.c - Query events: the statement and the session it ran in. */
#include "parser/binlog/event.h"

/* Codes of the status variables (MariaDB documentation, QUERY_EVENT). */
enum {
	Q_FLAGS2 = 0,
	Q_SQL_MODE = 1,
	Q_CATALOG = 2,
	Q_AUTO_INCREMENT = 3,
	Q_CHARSET = 4,
	Q_TIME_ZONE = 5,
	Q_CATALOG_NZ = 6,
	Q_LC_TIME = 7,
	Q_CHARSET_DATABASE = 8,
	Q_TABLE_MAP_FOR_UPDATE = 9,
	Q_MASTER_DATA_WRITTEN = 10,
	Q_INVOKER = 11,
	Q_UPDATED_DBS = 12,
	Q_MICROSECONDS = 13,
	Q_HRNOW = 128,
	Q_XID = 129,
	Q_GTID_FLAGS3 = 130,
	Q_CHARACTER_SET_COLLATIONS = 131,
	/* count of Q_UPDATED_DBS that means "too many to list": no names follow */
	UPDATED_DBS_OVERFLOW = 254,
	GTID_FLAGS3_SEQ_NO = 0x30, /* START_ALTER's partners: a sequence number follows */
};

static void take_slice8(struct dia_cursor *c, struct dia_slice *ret)
{
	size_t len = dia_cursor_u8(c);

	*ret = dia_cursor_slice(c, len);
}

static void take_charset(struct dia_cursor *c, struct dia_query_event *q)
{
	q->client_charset = dia_cursor_le16(c);
	q->connection_collation = dia_cursor_le16(c);
	q->server_collation = dia_cursor_le16(c);
	q->has |= DIA_QUERY_HAS_CHARSET;
}

static void take_updated_dbs(struct dia_cursor *c)
{
	uint8_t count = dia_cursor_u8(c);

	if (count == UPDATED_DBS_OVERFLOW)
		return;
	while (count-- > 0) {
		while (dia_cursor_u8(c) != 0)
			;
	}
}

/* One status variable; false when its code is not known, which ends the reading: its
 * length is not known either. The server's own reader does the same. */
static bool take_status(struct dia_cursor *c, struct dia_query_event *q)
{
	struct dia_slice unused;

	switch (dia_cursor_u8(c)) {
	case Q_FLAGS2:
		q->flags2 = dia_cursor_le32(c);
		q->has |= DIA_QUERY_HAS_FLAGS2;
		return true;
	case Q_SQL_MODE:
		q->sql_mode = dia_cursor_le64(c);
		q->has |= DIA_QUERY_HAS_SQL_MODE;
		return true;
	case Q_CATALOG:
		take_slice8(c, &unused);
		(void)dia_cursor_u8(c);
		return true;
	case Q_CATALOG_NZ:
		take_slice8(c, &unused);
		return true;
	case Q_AUTO_INCREMENT:
		q->auto_increment_increment = dia_cursor_le16(c);
		q->auto_increment_offset = dia_cursor_le16(c);
		q->has |= DIA_QUERY_HAS_AUTO_INCREMENT;
		return true;
	case Q_CHARSET:
		take_charset(c, q);
		return true;
	case Q_TIME_ZONE:
		take_slice8(c, &q->time_zone);
		q->has |= DIA_QUERY_HAS_TIME_ZONE;
		return true;
	case Q_LC_TIME:
		q->lc_time = dia_cursor_le16(c);
		q->has |= DIA_QUERY_HAS_LC_TIME;
		return true;
	case Q_CHARSET_DATABASE:
		q->database_collation = dia_cursor_le16(c);
		q->has |= DIA_QUERY_HAS_CHARSET_DATABASE;
		return true;
	case Q_INVOKER:
		take_slice8(c, &q->invoker_user);
		take_slice8(c, &q->invoker_host);
		q->has |= DIA_QUERY_HAS_INVOKER;
		return true;
	case Q_UPDATED_DBS:
		take_updated_dbs(c);
		return true;
	case Q_HRNOW:
		q->microseconds = dia_cursor_le24(c);
		q->has |= DIA_QUERY_HAS_HRNOW;
		return true;
	case Q_MICROSECONDS:
		(void)dia_cursor_le24(c);
		return true;
	case Q_MASTER_DATA_WRITTEN:
		(void)dia_cursor_le32(c);
		return true;
	case Q_TABLE_MAP_FOR_UPDATE:
	case Q_XID:
		(void)dia_cursor_le64(c);
		return true;
	case Q_GTID_FLAGS3:
		if ((dia_cursor_le16(c) & GTID_FLAGS3_SEQ_NO) != 0)
			(void)dia_cursor_le64(c);
		return true;
	case Q_CHARACTER_SET_COLLATIONS:
		(void)dia_cursor_take(c, (size_t)dia_cursor_u8(c) * 4);
		return true;
	default:
		return false;
	}
}

enum dia_parse dia_query_event_parse(
	const struct dia_event *ev, struct dia_query_event *ret)
{
	struct dia_cursor c = dia_cursor_of(ev->data);
	struct dia_cursor status;
	size_t db_len, status_len;

	if (ev->type != DIA_EVENT_QUERY)
		return DIA_PARSE_BAD;
	memset(ret, 0, sizeof(*ret));
	ret->thread_id = dia_cursor_le32(&c);
	(void)dia_cursor_le32(&c); /* execution time */
	db_len = dia_cursor_u8(&c);
	ret->error_code = dia_cursor_le16(&c);
	status_len = dia_cursor_le16(&c);
	status = dia_cursor_of(dia_cursor_slice(&c, status_len));
	ret->db = dia_cursor_slice(&c, db_len);
	if (dia_cursor_u8(&c) != 0 || c.bad)
		return DIA_PARSE_BAD;
	ret->sql = dia_cursor_slice(&c, dia_cursor_left(&c));

	while (!status.bad && dia_cursor_left(&status) > 0) {
		if (!take_status(&status, ret))
			break;
	}
	return c.bad || status.bad ? DIA_PARSE_BAD : DIA_PARSE_OK;
}
