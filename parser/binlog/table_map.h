/*
 * parser/binlog/table_map.h - the schema of a table as its Table_map event tells it.
 *
 * With binlog_row_metadata=FULL the event carries names, signedness, collations, enum
 * values and the primary key. Everything parsed lives in the caller's arena; slices of
 * db, name and map borrow from the event unless dia_table_dup copied them.
 */
#ifndef DIA_BINLOG_TABLE_MAP_H
#define DIA_BINLOG_TABLE_MAP_H

#include "parser/binlog/event.h"

/* Column types as they stand in Table_map (enum_field_types of the server). */
enum dia_column_type {
	DIA_TYPE_DECIMAL = 0,
	DIA_TYPE_TINY = 1,
	DIA_TYPE_SHORT = 2,
	DIA_TYPE_LONG = 3,
	DIA_TYPE_FLOAT = 4,
	DIA_TYPE_DOUBLE = 5,
	DIA_TYPE_NULL = 6,
	DIA_TYPE_TIMESTAMP = 7,
	DIA_TYPE_LONGLONG = 8,
	DIA_TYPE_INT24 = 9,
	DIA_TYPE_DATE = 10,
	DIA_TYPE_TIME = 11,
	DIA_TYPE_DATETIME = 12,
	DIA_TYPE_YEAR = 13,
	DIA_TYPE_NEWDATE = 14,
	DIA_TYPE_VARCHAR = 15,
	DIA_TYPE_BIT = 16,
	DIA_TYPE_TIMESTAMP2 = 17,
	DIA_TYPE_DATETIME2 = 18,
	DIA_TYPE_TIME2 = 19,
	DIA_TYPE_BLOB_COMPRESSED = 140,
	DIA_TYPE_VARCHAR_COMPRESSED = 141,
	DIA_TYPE_NEWDECIMAL = 246,
	DIA_TYPE_ENUM = 247,
	DIA_TYPE_SET = 248,
	DIA_TYPE_TINY_BLOB = 249,
	DIA_TYPE_MEDIUM_BLOB = 250,
	DIA_TYPE_LONG_BLOB = 251,
	DIA_TYPE_BLOB = 252,
	DIA_TYPE_VAR_STRING = 253,
	DIA_TYPE_STRING = 254,
	DIA_TYPE_GEOMETRY = 255,
};

struct dia_column {
	struct dia_slice name; /* empty without FULL metadata */
	uint8_t type; /* enum dia_column_type; STRING already resolved to ENUM/SET */
	/* Type's metadata: digits of fraction (TIME2 …), bytes of length prefix (blobs),
	 * bytes at most (VARCHAR, STRING), packed bytes (ENUM, SET, FLOAT, DOUBLE),
	 * precision << 8 | scale (NEWDECIMAL), whole bytes << 8 | bits beyond them (BIT);
	 * 0 where there is none. */
	uint16_t meta;
	uint16_t collation; /* id for text columns; 63 binary; 0 unknown */
	bool nullable;
	bool is_unsigned;
	bool in_pk;
	uint32_t pk_prefix_chars; /* 0 = whole column */
	uint32_t value_count;     /* ENUM and SET */
	struct dia_slice *values;
};

struct dia_table {
	uint64_t table_id; /* of this event stream */
	uint16_t flags;
	struct dia_slice db, name;
	uint32_t column_count;
	struct dia_column *columns;
	uint32_t pk_count;    /* 0: no primary key (or no metadata) */
	uint32_t *pk;         /* column numbers in key order */
	bool has_names;       /* FULL metadata present */
	struct dia_slice map; /* the whole event (raw, with header), to be sent again */
	uint64_t digest; /* hash of map without table id, header and flags: same schema */
};

/* Columns at most per table: InnoDB allows 1017, the format 64K; more is BAD. */
enum { DIA_COLUMNS_MAX = 4096 };

DIA_MUST_CHECK enum dia_parse dia_table_map_parse(
	const struct dia_event *ev, struct dia_arena *arena, struct dia_table *ret);

/* Append the Table_map event with another table id (6 bytes), header included, no
 * checksum. */
DIA_MUST_CHECK enum dia_rc dia_table_map_write(
	struct dia_buf *out, const struct dia_table *table, uint64_t table_id);

/* Number of the column with that name (exact bytes, ASCII case-insensitive), or -1. */
int dia_table_column_find(const struct dia_table *table, struct dia_slice name);

#endif /* DIA_BINLOG_TABLE_MAP_H */
