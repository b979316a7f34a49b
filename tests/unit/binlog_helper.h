/*
 * tests/unit/binlog_helper.h - captured events, parsed, for the tests of parser/binlog.
 */
#ifndef DIA_UNIT_BINLOG_HELPER_H
#define DIA_UNIT_BINLOG_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "parser/binlog/row_image.h"
#include "tests/lib/guard.h"
#include "tests/unit/binlog_events.h"

static inline struct dia_slice captured(const char *name)
{
	for (size_t i = 0; i < sizeof(captured_events) / sizeof(captured_events[0]);
		i++) {
		if (strcmp(captured_events[i].name, name) == 0)
			return dia_slice_of(
				captured_events[i].data, captured_events[i].len);
	}
	fail_msg("no captured event %s", name);
	return dia_slice_of(NULL, 0);
}

static inline struct dia_event captured_event(const char *name)
{
	struct dia_event ev;

	assert_int_equal(dia_event_parse(captured(name), true, &ev), DIA_PARSE_OK);
	return ev;
}

static inline struct dia_table captured_table(const char *name, struct dia_arena *arena)
{
	struct dia_event ev = captured_event(name);
	struct dia_table table;

	assert_int_equal(dia_table_map_parse(&ev, arena, &table), DIA_PARSE_OK);
	return table;
}

/* An event whose data is the first `len` bytes of ev's, against an unreadable page. */
static inline struct dia_event guarded(
	const struct dia_event *ev, size_t len, struct dia_guard *guard)
{
	struct dia_event cut = *ev;

	*guard = dia_guard_make(dia_slice_of(ev->raw.data, DIA_EVENT_HEADER_LEN + len));
	cut.raw = guard->input;
	cut.data = dia_slice_of(guard->input.data + DIA_EVENT_HEADER_LEN, len);
	return cut;
}

static inline void assert_slice(struct dia_slice have, const char *want)
{
	assert_int_equal(have.len, strlen(want));
	assert_memory_equal(have.data, want, have.len);
}

static inline void assert_buf(struct dia_buf *have, const char *want)
{
	if (have->len != strlen(want) || memcmp(have->data, want, have->len) != 0)
		fail_msg("have %.*s, want %s", (int)have->len, (const char *)have->data,
			want);
	dia_buf_reset(have);
}

#endif /* DIA_UNIT_BINLOG_HELPER_H */
