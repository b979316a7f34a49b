/* parser/binlog/binlog_statement.c - see binlog_statement.h. */
#include "parser/binlog/binlog_statement.h"

enum {
	BINLOG_VERSION = 4,
	SERVER_VERSION_LEN = 50,
	EVENT_TYPES = 171, /* the last MariaDB 10.2 and later know */
	CHECKSUM_OFF = 0,
};

/* Bytes of the fixed part of each event type, those we never send included: the server
 * takes the list as a whole. Types not named have none. */
static uint8_t post_header_len(unsigned type)
{
	switch (type) {
	case 1: /* START_V3 */
		return 56;
	case DIA_EVENT_QUERY:
	case DIA_EVENT_QUERY_COMPRESSED:
		return 13;
	case DIA_EVENT_ROTATE:
		return 8;
	case 6: /* LOAD */
	case 12:
		return 18;
	case 8: /* CREATE_FILE, APPEND_BLOCK, EXEC_LOAD, DELETE_FILE */
	case 9:
	case 10:
	case 11:
	case DIA_EVENT_BEGIN_LOAD_QUERY:
	case DIA_EVENT_BINLOG_CHECKPOINT:
	case DIA_EVENT_GTID_LIST:
		return 4;
	case DIA_EVENT_FORMAT_DESCRIPTION:
		return 2 + SERVER_VERSION_LEN + 4 + 1 + EVENT_TYPES;
	case DIA_EVENT_EXECUTE_LOAD_QUERY:
		return 26;
	case DIA_EVENT_TABLE_MAP:
	case DIA_EVENT_WRITE_ROWS_V1:
	case DIA_EVENT_UPDATE_ROWS_V1:
	case DIA_EVENT_DELETE_ROWS_V1:
	case DIA_EVENT_WRITE_ROWS_COMPRESSED_V1:
	case DIA_EVENT_UPDATE_ROWS_COMPRESSED_V1:
	case DIA_EVENT_DELETE_ROWS_COMPRESSED_V1:
		return 8;
	case DIA_EVENT_WRITE_ROWS_V2:
	case DIA_EVENT_UPDATE_ROWS_V2:
	case DIA_EVENT_DELETE_ROWS_V2:
	case DIA_EVENT_WRITE_ROWS_COMPRESSED:
	case DIA_EVENT_UPDATE_ROWS_COMPRESSED:
	case DIA_EVENT_DELETE_ROWS_COMPRESSED:
	case 39: /* of MySQL; the server lists them */
	case 40:
	case 41:
		return 10;
	case DIA_EVENT_INCIDENT:
		return 2;
	case DIA_EVENT_GTID:
		return 19;
	default:
		return 0;
	}
}

enum dia_rc dia_format_event_write(struct dia_buf *out, const char *server_version)
{
	uint8_t header[DIA_EVENT_HEADER_LEN] = {0};
	char version[SERVER_VERSION_LEN] = {0};
	size_t len = DIA_EVENT_HEADER_LEN + 2 + SERVER_VERSION_LEN + 4 + 1 + EVENT_TYPES +
		     1 + DIA_EVENT_CHECKSUM_LEN;

	memcpy(version, server_version, strnlen(server_version, sizeof(version) - 1));
	header[4] = DIA_EVENT_FORMAT_DESCRIPTION;
	dia_put_le32(header + 9, (uint32_t)len);
	(void)dia_buf_add(out, header, sizeof(header));
	(void)dia_buf_add_le16(out, BINLOG_VERSION);
	(void)dia_buf_add(out, version, sizeof(version));
	(void)dia_buf_add_le32(
		out, 0); /* created: 0 says that the server has not restarted */
	(void)dia_buf_add_u8(out, DIA_EVENT_HEADER_LEN);
	for (unsigned type = 1; type <= EVENT_TYPES; type++)
		(void)dia_buf_add_u8(out, post_header_len(type));
	(void)dia_buf_add_u8(out, CHECKSUM_OFF);
	return dia_buf_add_le32(out, 0);
}

enum dia_rc dia_binlog_statement(struct dia_buf *out, struct dia_slice events)
{
	(void)dia_buf_add_str(out, "BINLOG '");
	(void)dia_buf_add_base64(out, events);
	return dia_buf_add_u8(out, '\'');
}

size_t dia_binlog_statement_len(size_t events_len)
{
	return sizeof("BINLOG ''") - 1 + (events_len + 2) / 3 * 4;
}
