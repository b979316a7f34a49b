/*
 * parser/binlog/event.h - the envelope of binlog events and the events other than rows.
 *
 * Pure and bounded: every length comes from outside. Source of the layouts: MariaDB
 * documentation, "Replication protocol" (2-Binlog Event Header, GTID_EVENT, QUERY_EVENT
 * …). Slices borrow from the input.
 */
#ifndef DIA_BINLOG_EVENT_H
#define DIA_BINLOG_EVENT_H

#include "proxy/core/arena.h"
#include "proxy/core/buf.h"
#include "proxy/core/change.h"
#include "proxy/core/err.h"

enum { DIA_EVENT_HEADER_LEN = 19, DIA_EVENT_CHECKSUM_LEN = 4 };

enum dia_event_type {
	DIA_EVENT_QUERY = 2,
	DIA_EVENT_STOP = 3,
	DIA_EVENT_ROTATE = 4,
	DIA_EVENT_INTVAR = 5,
	DIA_EVENT_RAND = 13,
	DIA_EVENT_USER_VAR = 14,
	DIA_EVENT_FORMAT_DESCRIPTION = 15,
	DIA_EVENT_XID = 16,
	DIA_EVENT_BEGIN_LOAD_QUERY = 17,
	DIA_EVENT_EXECUTE_LOAD_QUERY = 18,
	DIA_EVENT_TABLE_MAP = 19,
	DIA_EVENT_WRITE_ROWS_V1 = 23,
	DIA_EVENT_UPDATE_ROWS_V1 = 24,
	DIA_EVENT_DELETE_ROWS_V1 = 25,
	DIA_EVENT_INCIDENT = 26,
	DIA_EVENT_HEARTBEAT = 27,
	DIA_EVENT_WRITE_ROWS_V2 = 30,
	DIA_EVENT_UPDATE_ROWS_V2 = 31,
	DIA_EVENT_DELETE_ROWS_V2 = 32,
	DIA_EVENT_XA_PREPARE = 38,
	DIA_EVENT_ANNOTATE_ROWS = 160,
	DIA_EVENT_BINLOG_CHECKPOINT = 161,
	DIA_EVENT_GTID = 162,
	DIA_EVENT_GTID_LIST = 163,
	DIA_EVENT_START_ENCRYPTION = 164,
	DIA_EVENT_QUERY_COMPRESSED = 165,
	DIA_EVENT_WRITE_ROWS_COMPRESSED_V1 = 166,
	DIA_EVENT_UPDATE_ROWS_COMPRESSED_V1 = 167,
	DIA_EVENT_DELETE_ROWS_COMPRESSED_V1 = 168,
	DIA_EVENT_WRITE_ROWS_COMPRESSED = 169,
	DIA_EVENT_UPDATE_ROWS_COMPRESSED = 170,
	DIA_EVENT_DELETE_ROWS_COMPRESSED = 171,
};

struct dia_event {
	uint32_t timestamp; /* Unix seconds */
	uint8_t type;       /* enum dia_event_type or one we do not know */
	uint32_t server_id;
	uint32_t event_len; /* as stated in the header */
	uint32_t log_pos;
	uint16_t flags;
	struct dia_slice raw;  /* header and data, without checksum */
	struct dia_slice data; /* behind the header */
};

/*
 * The event at the start of `in`. Its stated length must fit in `in`; with has_checksum
 * the last four bytes are a CRC32 and are verified. MORE when `in` is a prefix of an
 * event.
 */
DIA_MUST_CHECK enum dia_parse dia_event_parse(
	struct dia_slice in, bool has_checksum, struct dia_event *ret);

/* Append ev as it stands in a change: raw, with event_len made exact (the header of an
 * event that had a checksum counts it) and log_pos 0. */
DIA_MUST_CHECK enum dia_rc dia_event_write(
	struct dia_buf *out, const struct dia_event *ev);

/* What a Format_description event says about those that follow it. */
struct dia_format {
	bool has_checksum;
	uint16_t binlog_version; /* 4 is the only one we read */
	char server_version[51];
};

/* `in` is the whole event with its checksum, which is parsed whatever the caller
 * believed. */
DIA_MUST_CHECK enum dia_parse dia_format_parse(
	struct dia_slice in, struct dia_format *ret);

enum dia_gtid_flags {
	DIA_GTID_STANDALONE =
		1, /* no COMMIT/XID follows: DDL or a non-transactional group */
	DIA_GTID_GROUP_COMMIT = 2,
	DIA_GTID_TRANSACTIONAL = 4,
	DIA_GTID_ALLOW_PARALLEL = 8,
	DIA_GTID_WAITED = 16,
	DIA_GTID_DDL = 32,
	DIA_GTID_PREPARED_XA = 64,
	DIA_GTID_COMPLETED_XA = 128,
};

struct dia_gtid_event {
	struct dia_gtid gtid;
	uint8_t flags;        /* enum dia_gtid_flags */
	struct dia_slice xid; /* XA only: gtrid then bqual */
};

DIA_MUST_CHECK enum dia_parse dia_gtid_event_parse(
	const struct dia_event *ev, struct dia_gtid_event *ret);

/* Session settings a Query event carries; `has` bits say which were present. */
enum dia_query_has {
	DIA_QUERY_HAS_FLAGS2 = 1,
	DIA_QUERY_HAS_SQL_MODE = 2,
	DIA_QUERY_HAS_CHARSET = 4,
	DIA_QUERY_HAS_TIME_ZONE = 8,
	DIA_QUERY_HAS_AUTO_INCREMENT = 16,
	DIA_QUERY_HAS_LC_TIME = 32,
	DIA_QUERY_HAS_CHARSET_DATABASE = 64,
	DIA_QUERY_HAS_HRNOW = 128,
	DIA_QUERY_HAS_INVOKER = 256,
};

struct dia_query_event {
	uint32_t thread_id;
	uint16_t error_code;
	struct dia_slice db; /* default database, may be empty */
	struct dia_slice sql;
	uint32_t has;
	uint32_t flags2; /* OPTION_… bits: 1<<14 auto_is_null, 1<<26 no FK checks, 1<<27
			    relaxed unique, 1<<19 not autocommit, 1<<28 if_exists … */
	uint64_t sql_mode;
	uint16_t client_charset, connection_collation,
		server_collation; /* collation ids */
	uint16_t database_collation;
	uint16_t lc_time;
	uint16_t auto_increment_increment, auto_increment_offset;
	uint32_t microseconds; /* HRNOW: fraction of the event's timestamp */
	struct dia_slice time_zone;
	struct dia_slice invoker_user, invoker_host;
};

DIA_MUST_CHECK enum dia_parse dia_query_event_parse(
	const struct dia_event *ev, struct dia_query_event *ret);

/* SQL text of an Annotate_rows event. */
DIA_MUST_CHECK enum dia_parse dia_annotate_parse(
	const struct dia_event *ev, struct dia_slice *ret);

/* Commit number of an Xid event. */
DIA_MUST_CHECK enum dia_parse dia_xid_parse(const struct dia_event *ev, uint64_t *ret);

/*
 * If ev is a compressed Query or Rows event, append its uncompressed equivalent (header
 * with right event_len and plain type included) to *out and parse that into *ret, which
 * then borrows from *out; otherwise *ret = *ev. The stated uncompressed size must not
 * exceed max_len: a compressed bomb is BAD. DIA_PARSE_BAD also when out of memory
 * (out->failed).
 */
DIA_MUST_CHECK enum dia_parse dia_event_uncompress(const struct dia_event *ev,
	size_t max_len, struct dia_buf *out, struct dia_event *ret);

#endif /* DIA_BINLOG_EVENT_H */
