/*
 * tests/fuzz/fuzz_capture_group.c - any run of events through the group reader.
 *
 * Input: events behind each other, without checksums. What comes out must be whole events
 * of the types the change format allows.
 */
#include "proxy/capture/group.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum dia_rc weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	(void)ctx;
	(void)collation;
	return dia_buf_add_slice(out, text);
}

static void check_body(const struct dia_txn *txn)
{
	struct dia_slice left = dia_txn_body(txn);
	struct dia_event ev;

	while (left.len > 0) {
		if (dia_event_parse(left, false, &ev) != DIA_PARSE_OK)
			abort();
		if (ev.type != DIA_EVENT_TABLE_MAP && ev.type != DIA_EVENT_QUERY &&
			ev.type != DIA_EVENT_ANNOTATE_ROWS &&
			(ev.type < DIA_EVENT_WRITE_ROWS_V1 ||
				ev.type > DIA_EVENT_DELETE_ROWS_V1))
			abort();
		left = dia_slice_of(left.data + ev.raw.len, left.len - ev.raw.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dia_config_pattern all = {.db = "*", .table = "*"};
	static const struct dia_config config = {
		.replicate = {.at = &all, .count = 1}, .replicate_users = true};
	struct dia_group_config gc = {
		.config = &config, .want_keys = true, .weigh = weigh};
	struct dia_slice left = dia_slice_of(data, size);
	struct dia_group_reader *g;
	const struct dia_group *group;
	struct dia_event ev;
	struct dia_err err;

	if (dia_group_new(&gc, &g) != DIA_OK)
		return 0;
	while (left.len > 0 && dia_event_parse(left, false, &ev) == DIA_PARSE_OK) {
		if (dia_group_feed(g, &ev, &group, &err) == DIA_OK && group != NULL) {
			struct dia_txn_head head = {.seq = 1};
			struct dia_txn *txn;

			if (dia_group_take(g, &head, &txn, &err) == DIA_OK) {
				check_body(txn);
				dia_txn_unref(txn);
			}
		}
		left = dia_slice_of(left.data + ev.raw.len, left.len - ev.raw.len);
	}
	dia_group_free(g);
	return 0;
}
