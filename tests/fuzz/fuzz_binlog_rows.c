/*
 * tests/fuzz/fuzz_binlog_rows.c - a Table_map event, then a Rows event for that table.
 *
 * Every row is split, printed, keyed and written again. What was written must read back
 * as the same images; splitting must agree with walking.
 */
#include "parser/binlog/row_image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 1 << 16, ROWS_MAX = 64 };

static void require(bool ok)
{
	if (!ok)
		abort();
}

static enum dia_rc weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	(void)ctx, (void)collation;
	return dia_buf_add_slice(out, text);
}

static void print_image(
	const struct dia_table *table, struct dia_slice image, struct dia_buf *out)
{
	struct dia_value *values = calloc(table->column_count, sizeof(*values));

	require(values != NULL);
	require(dia_image_split(table, image, values) == DIA_PARSE_OK);
	for (uint32_t i = 0; i < table->column_count; i++) {
		bool is_binary;
		int64_t v;

		dia_buf_reset(out);
		(void)!dia_value_text(&table->columns[i], &values[i], out, &is_binary);
		(void)!dia_value_literal(&table->columns[i], &values[i], out);
		(void)!dia_value_int(&table->columns[i], &values[i], &v);
	}
	dia_buf_reset(out);
	require(dia_image_json(table, image, out) == DIA_OK);
	dia_buf_reset(out);
	(void)!dia_image_key_json(table, image, out);
	dia_buf_reset(out);
	(void)!dia_image_key(table, image, weigh, NULL, out);
	free(values);
}

static void write_again(
	const struct dia_table *table, const struct dia_row *row, struct dia_buf *out)
{
	struct dia_rows_writer w;
	struct dia_rows_iter it;
	struct dia_rows_head head;
	struct dia_event ev;
	struct dia_row back;

	dia_buf_reset(out);
	if (table->pk_count > 0) {
		require(dia_rows_writer_begin(&w, out, table, 1, row->kind, 0, true) ==
			DIA_OK);
		(void)!dia_rows_writer_row(&w, row->before, row->after);
		require(dia_rows_writer_end(&w) == DIA_OK);
	}
	dia_buf_reset(out);
	require(dia_rows_writer_begin(&w, out, table, 1, row->kind, 0, false) == DIA_OK);
	require(dia_rows_writer_row(&w, row->before, row->after) == DIA_OK);
	require(dia_rows_writer_end(&w) == DIA_OK);
	require(dia_event_parse(dia_buf_slice(out), false, &ev) == DIA_PARSE_OK);
	require(dia_rows_head_parse(&ev, &head) == DIA_PARSE_OK);
	require(dia_rows_iter_init(&it, &head, table) == DIA_PARSE_OK);
	require(dia_rows_next(&it, &back) == DIA_PARSE_OK);
	require(dia_slice_eq(back.before, row->before) &&
		dia_slice_eq(back.after, row->after));
	require(dia_rows_next(&it, &back) == DIA_PARSE_MORE);
}

static void walk(const struct dia_event *ev, const struct dia_table *table)
{
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_row row;
	struct dia_buf out = {0};

	if (dia_rows_head_parse(ev, &head) != DIA_PARSE_OK ||
		dia_rows_iter_init(&it, &head, table) != DIA_PARSE_OK)
		return;
	for (int i = 0; i < ROWS_MAX && dia_rows_next(&it, &row) == DIA_PARSE_OK; i++) {
		if (row.before.len > 0)
			print_image(table, row.before, &out);
		if (row.after.len > 0)
			print_image(table, row.after, &out);
		write_again(table, &row, &out);
	}
	dia_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dia_slice in = dia_slice_of(data, size);
	struct dia_arena arena = {0};
	struct dia_buf plain_bytes = {0};
	struct dia_event map, rows, plain;
	struct dia_table table;

	if (dia_event_parse(in, false, &map) == DIA_PARSE_OK &&
		dia_table_map_parse(&map, &arena, &table) == DIA_PARSE_OK) {
		in.data += map.event_len;
		in.len -= map.event_len;
		if (dia_event_parse(in, false, &rows) == DIA_PARSE_OK &&
			dia_event_uncompress(&rows, PLAIN_MAX, &plain_bytes, &plain) ==
				DIA_PARSE_OK)
			walk(&plain, &table);
	}
	dia_buf_fini(&plain_bytes);
	dia_arena_fini(&arena);
	return 0;
}
