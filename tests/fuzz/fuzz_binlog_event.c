/*
 * tests/fuzz/fuzz_binlog_event.c - any bytes as a run of binlog events, without checksum.
 *
 * Beyond not crashing: what is borrowed lies inside the event, and a compressed event's
 * plain form keeps the limit and parses as an event of its own.
 */
#include "parser/binlog/table_map.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 1 << 16 };

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void inside(struct dia_slice part, struct dia_slice whole)
{
	if (part.len == 0)
		return;
	require(part.data >= whole.data &&
		part.data + part.len <= whole.data + whole.len);
}

static void on_query(const struct dia_event *ev)
{
	struct dia_query_event q;

	if (dia_query_event_parse(ev, &q) != DIA_PARSE_OK)
		return;
	inside(q.db, ev->data);
	inside(q.sql, ev->data);
	inside(q.time_zone, ev->data);
	inside(q.invoker_user, ev->data);
	inside(q.invoker_host, ev->data);
}

static void on_table_map(const struct dia_event *ev)
{
	struct dia_arena arena = {0};
	struct dia_buf again = {0};
	struct dia_table table;

	if (dia_table_map_parse(ev, &arena, &table) == DIA_PARSE_OK) {
		require(table.column_count > 0 && table.column_count <= DIA_COLUMNS_MAX);
		for (uint32_t i = 0; i < table.column_count; i++) {
			inside(table.columns[i].name, ev->data);
			for (uint32_t v = 0; v < table.columns[i].value_count; v++)
				inside(table.columns[i].values[v], ev->data);
		}
		for (uint32_t i = 0; i < table.pk_count; i++)
			require(table.columns[table.pk[i]].in_pk);
		require(dia_table_map_write(&again, &table, 1) == DIA_OK);
		require(again.len == ev->raw.len);
	}
	dia_buf_fini(&again);
	dia_arena_fini(&arena);
}

static void on_event(const struct dia_event *ev)
{
	struct dia_gtid_event gtid;
	struct dia_format format;
	struct dia_slice sql;
	uint64_t xid;

	if (dia_gtid_event_parse(ev, &gtid) == DIA_PARSE_OK)
		inside(gtid.xid, ev->data);
	if (dia_annotate_parse(ev, &sql) == DIA_PARSE_OK)
		inside(sql, ev->data);
	(void)!dia_xid_parse(ev, &xid);
	if (dia_format_parse(ev->raw, &format) == DIA_PARSE_OK)
		require(format.binlog_version == 4);
	on_query(ev);
	on_table_map(ev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dia_slice in = dia_slice_of(data, size);
	struct dia_buf plain_bytes = {0};
	struct dia_event ev, plain;

	(void)!dia_event_parse(in, true, &ev);
	while (dia_event_parse(in, false, &ev) == DIA_PARSE_OK) {
		inside(ev.raw, in);
		on_event(&ev);
		dia_buf_reset(&plain_bytes);
		if (dia_event_uncompress(&ev, PLAIN_MAX, &plain_bytes, &plain) ==
				DIA_PARSE_OK &&
			plain.type != ev.type) {
			require(plain.raw.len <= ev.raw.len + PLAIN_MAX);
			on_event(&plain);
		}
		in.data += ev.event_len;
		in.len -= ev.event_len;
	}
	dia_buf_fini(&plain_bytes);
	return 0;
}
