/* tests/unit/test_apply_parse.c - bodies into changes, and rows into statements. */
#include "tests/unit/binlog_helper.h"

#include "proxy/apply/parse.h"
#include "proxy/apply/statement.h"

#include <stdlib.h>

struct fixture {
	struct dia_config *config;
	struct apply_db db;
	atomic_uint_fast64_t generation;
};

static const char yaml[] =
	"dc: {name: west, id: 2}\nlisten: 127.0.0.1:7306\n"
	"database: {host: 127.0.0.1, port: 1, user: u, password: p}\n"
	"peer:\n  listen: 127.0.0.1:7406\n  secret: a-secret-of-some-length\n"
	"  dcs:\n    - {name: east, id: 1, address: 127.0.0.1:8406}\n"
	"state_dir: /tmp\n";

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dia_err err = {.rc = DIA_OK};
	struct dia_apply_db_config c;

	if (dia_config_parse(dia_slice_str(yaml), "test", &f->config, &err) != DIA_OK)
		fail_msg("%s", err.text);
	c = (struct dia_apply_db_config){.config = f->config,
		.origin = {1},
		.origin_name = "east",
		.self_name = "west",
		.schema_generation = &f->generation};
	assert_int_equal(apply_db_init(&f->db, &c), DIA_OK);
	f->db.max_packet = 16 << 20;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	apply_db_fini(&f->db);
	dia_config_free(f->config);
	free(f);
	return 0;
}

static void add(struct dia_buf *body, const char *name)
{
	struct dia_event ev = captured_event(name);

	assert_int_equal(dia_event_write(body, &ev), DIA_OK);
}

static void all_kinds(struct dia_buf *body)
{
	add(body, "map_all");
	add(body, "write_all");
	add(body, "map_all");
	add(body, "update_all");
	add(body, "map_all");
	add(body, "delete_all");
}

/* Parse a body that ends at an unreadable page; the result is released again. */
static enum dia_rc parse(struct fixture *f, struct dia_slice bytes, uint32_t flags,
	void (*look)(const struct dia_apply_txn *txn, const struct apply_parsed *p))
{
	struct dia_guard guard = dia_guard_make(bytes);
	struct dia_txn txn = {.head = {.origin = {1}, .seq = 1, .flags = flags}};
	struct dia_apply_txn t = {.txn = &txn};
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc;

	txn.body = (uint8_t *)(uintptr_t)guard.input.data;
	txn.body_len = guard.input.len;
	rc = apply_parse(&f->db, &t, &err);
	if (rc == DIA_OK && look != NULL)
		look(&t, t.parsed);
	if (rc != DIA_OK) {
		assert_null(t.parsed);
		assert_null(t.changes);
		assert_true(err.text[0] != '\0');
	}
	apply_release(&f->db, &t);
	dia_guard_free(&guard);
	return rc;
}

static void expect_all_kinds(const struct dia_apply_txn *t, const struct apply_parsed *p)
{
	assert_true(p->row_count >= 3);
	assert_int_equal(t->change_count, p->row_count);
	for (size_t i = 0; i < t->change_count; i++) {
		const struct dia_change *c = &t->changes[i].change;

		assert_int_equal(c->index, i);
		assert_int_equal(t->changes[i].item, i);
		assert_true(c->key.len > 0);
		assert_int_equal(c->key_hash, dia_hash64(c->key, 0));
	}
	assert_int_equal(t->changes[0].change.kind, DIA_CHANGE_INSERT);
	assert_int_equal(t->changes[t->change_count - 1].change.kind, DIA_CHANGE_DELETE);
}

static void rows_become_changes(void **state)
{
	struct dia_buf body = {0};

	all_kinds(&body);
	assert_int_equal(
		parse(*state, dia_buf_slice(&body), 0, expect_all_kinds), DIA_OK);
	dia_buf_fini(&body);
}

static void same_schema_is_parsed_once(void **state)
{
	struct fixture *f = *state;
	struct dia_buf body = {0};

	all_kinds(&body);
	for (int i = 0; i < 3; i++)
		assert_int_equal(parse(f, dia_buf_slice(&body), 0, NULL), DIA_OK);
	assert_int_equal(HASH_COUNT(f->db.sources), 1);
	assert_int_equal(f->db.sources->refs, 0);
	dia_buf_fini(&body);
}

static void every_prefix_is_refused_or_whole(void **state)
{
	struct dia_buf body = {0};
	size_t whole = 0;

	all_kinds(&body);
	for (size_t len = 0; len <= body.len; len++)
		whole += parse(*state, dia_slice_of(body.data, len), 0, NULL) == DIA_OK
				 ? 1
				 : 0;
	/* Nothing, and the ends of the six events. */
	assert_int_equal(whole, 7);
	dia_buf_fini(&body);
}

static void hostile_bodies_are_refused(void **state)
{
	struct dia_buf body = {0};

	/* Rows of a table never mapped; an event that has no business in a body. */
	add(&body, "write_all");
	assert_int_equal(parse(*state, dia_buf_slice(&body), 0, NULL), DIA_E_PROTOCOL);
	dia_buf_reset(&body);
	add(&body, "xid");
	assert_int_equal(parse(*state, dia_buf_slice(&body), 0, NULL), DIA_E_PROTOCOL);
	/* DDL without its statement. */
	dia_buf_reset(&body);
	all_kinds(&body);
	assert_int_equal(
		parse(*state, dia_buf_slice(&body), DIA_TXN_DDL, NULL), DIA_E_PROTOCOL);
	/* A table without metadata has no key. */
	dia_buf_reset(&body);
	add(&body, "map_no_metadata");
	assert_int_equal(parse(*state, dia_buf_slice(&body), 0, NULL), DIA_OK);
	/* Each byte of the rows once other than it was: never a crash. */
	dia_buf_reset(&body);
	all_kinds(&body);
	for (size_t i = 0; i < body.len; i++) {
		body.data[i] ^= 0x55;
		(void)!parse(*state, dia_buf_slice(&body), 0, NULL);
		body.data[i] ^= 0x55;
	}
	dia_buf_fini(&body);
}

/* ---- statements
 * ------------------------------------------------------------------------ */

static void bind_raw(struct apply_source *s)
{
	s->fit = APPLY_FIT_RAW;
}

/* As if the table here had the columns in reverse, and one more in front. */
static void bind_reversed(struct apply_source *s)
{
	uint32_t n = s->table.column_count;

	s->fit = APPLY_FIT_REMAP;
	s->column_count = n + 1;
	s->columns = dia_arena_zalloc(&s->bind_arena, n + 1, sizeof(*s->columns));
	assert_non_null(s->columns);
	s->columns[0] = (struct apply_column){.from = -1, .type = DIA_TYPE_LONG};
	for (uint32_t i = 0; i < n; i++)
		s->columns[i + 1] = (struct apply_column){.from = (int)(n - 1 - i),
			.type = s->table.columns[n - 1 - i].type,
			.meta = s->table.columns[n - 1 - i].meta};
}

/* Parse `body`, put its rows with the mark into a statement and call `look` on its
 * events. */
static void build(struct fixture *f, struct dia_slice body,
	void (*bind)(struct apply_source *),
	void (*look)(
		struct fixture *f, const struct apply_parsed *p, struct dia_slice events))
{
	struct dia_txn txn = {.head = {.origin = {1}, .seq = 1}};
	struct dia_apply_txn t = {.txn = &txn};
	struct apply_statement st;
	struct apply_parsed *p;

	txn.body = (uint8_t *)(uintptr_t)body.data;
	txn.body_len = body.len;
	assert_int_equal(apply_parse(&f->db, &t, NULL), DIA_OK);
	p = t.parsed;
	bind(p->rows[0].source);
	apply_statement_start(&st, &f->db);
	for (size_t i = 0; i < p->row_count; i++) {
		struct apply_put put = {.source = p->rows[i].source,
			.kind = p->rows[i].row.kind,
			.flags = p->rows[i].flags,
			.before = p->rows[i].row.before,
			.after = p->rows[i].row.after};

		assert_int_equal(apply_statement_put(&st, &put, NULL), DIA_OK);
	}
	assert_int_equal(apply_statement_mark(&st, 1, 2, NULL), DIA_OK);
	/* What send would send. */
	dia_buf_add_slice(&f->db.events, dia_buf_slice(&f->db.maps));
	dia_buf_add_slice(&f->db.events, dia_buf_slice(&f->db.rows));
	look(f, p, dia_buf_slice(&f->db.events));
	apply_release(&f->db, &t);
}

static bool is_rows(uint8_t type)
{
	return type >= DIA_EVENT_WRITE_ROWS_V1 && type <= DIA_EVENT_DELETE_ROWS_V1;
}

static void maps_first_then_rows(
	struct fixture *f, const struct apply_parsed *p, struct dia_slice events)
{
	struct dia_event ev;
	size_t maps = 0, rows = 0;

	(void)f, (void)p;
	while (events.len > 0) {
		assert_int_equal(dia_event_parse(events, false, &ev), DIA_PARSE_OK);
		if (ev.type == DIA_EVENT_TABLE_MAP) {
			assert_int_equal(rows, 0);
			maps++;
		} else {
			assert_true(is_rows(ev.type));
			rows++;
		}
		events = dia_slice_of(events.data + ev.raw.len, events.len - ev.raw.len);
	}
	assert_int_equal(maps, 2); /* the table once, and diarchy.applied */
	assert_int_equal(rows, 4); /* insert, update, delete, and the mark */
}

static void a_table_is_mapped_once(void **state)
{
	struct dia_buf body = {0};

	all_kinds(&body);
	build(*state, dia_buf_slice(&body), bind_raw, maps_first_then_rows);
	dia_buf_fini(&body);
}

/* The inserted row, read back from the remapped event, has the values in reverse. */
static void reversed_values(
	struct fixture *f, const struct apply_parsed *p, struct dia_slice events)
{
	const struct dia_table *t = &p->rows[0].source->table;
	uint32_t n = t->column_count;
	struct dia_arena arena = {0};
	struct dia_value *want = calloc(n, sizeof(*want));
	struct dia_table map;
	struct dia_rows_head head;
	struct dia_cursor c;
	struct dia_event ev;
	const uint8_t *bits, *nulls;

	(void)f;
	assert_int_equal(dia_event_parse(events, false, &ev), DIA_PARSE_OK);
	assert_int_equal(dia_table_map_parse(&ev, &arena, &map), DIA_PARSE_OK);
	assert_int_equal(map.column_count, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(map.columns[i + 1].type, t->columns[n - 1 - i].type);
		assert_int_equal(map.columns[i + 1].meta, t->columns[n - 1 - i].meta);
	}
	while (!is_rows(ev.type)) {
		events = dia_slice_of(events.data + ev.raw.len, events.len - ev.raw.len);
		assert_int_equal(dia_event_parse(events, false, &ev), DIA_PARSE_OK);
	}
	assert_int_equal(dia_rows_head_parse(&ev, &head), DIA_PARSE_OK);
	assert_int_equal(head.column_count, n + 1);
	c = dia_cursor_of(head.rest);
	bits = dia_cursor_take(&c, (n + 1 + 7) / 8);
	assert_int_equal(bits[0] & 1, 0);
	nulls = dia_cursor_take(&c, (n + 7) / 8);
	assert_int_equal(dia_image_split(t, p->rows[0].row.after, want), DIA_PARSE_OK);
	for (uint32_t i = 0; i < n; i++) {
		const struct dia_value *v = &want[n - 1 - i];

		assert_int_equal((nulls[i / 8] >> (i % 8)) & 1, v->is_null);
		if (!v->is_null)
			assert_true(dia_slice_eq(
				dia_value_take(&t->columns[n - 1 - i], &c), v->packed));
	}
	assert_int_equal(dia_cursor_left(&c), 0);
	free(want);
	dia_arena_fini(&arena);
}

static void remapped_rows_carry_the_same_values(void **state)
{
	struct dia_buf body = {0};

	add(&body, "map_all");
	add(&body, "write_all");
	build(*state, dia_buf_slice(&body), bind_reversed, reversed_values);
	dia_buf_fini(&body);
}

static void gtid_numbers_tell_statement_from_mark(void **state)
{
	(void)state;
	assert_true(apply_gtid_seq(5, true) < apply_gtid_seq(6, false));
	assert_true(apply_gtid_seq(6, false) < apply_gtid_seq(6, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_become_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			same_schema_is_parsed_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			every_prefix_is_refused_or_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(
			hostile_bodies_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_table_is_mapped_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			remapped_rows_carry_the_same_values, setup, teardown),
		cmocka_unit_test(gtid_numbers_tell_statement_from_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
