/* proxy/capture/group_rows.c - Table_map and Rows events of a group, see group_int.h. */
#include "proxy/capture/group_int.h"

#include <stdlib.h>

static struct dia_slice literal(const char *text)
{
	return dia_slice_str(text);
}

static void map_free(struct dia_map *m)
{
	dia_arena_fini(&m->arena);
	free(m);
}

void dia_group_maps_clear(struct dia_group_reader *g)
{
	struct dia_map *m, *next;

	HASH_ITER(hh, g->maps, m, next)
	{
		HASH_DEL(g->maps, m);
		map_free(m);
	}
}

/* A SEQUENCE is a table of one row with these columns and no key. */
static bool is_sequence(const struct dia_table *t)
{
	return t->pk_count == 0 && t->column_count == 8 && t->has_names &&
	       dia_slice_eq(t->columns[0].name, literal("next_not_cached_value")) &&
	       dia_slice_eq(t->columns[7].name, literal("cycle_count"));
}

static void decide_use(struct dia_group_reader *g, struct dia_map *m)
{
	const struct dia_table *t = &m->table;
	bool ours = dia_slice_eq(t->db, literal("diarchy"));

	m->applied_use = ours && dia_slice_eq(t->name, literal("applied")) ? DIA_USE_MARKS
									   : DIA_USE_SKIP;
	m->local_use = DIA_USE_REFUSE;
	if (ours)
		m->reason = DIA_REFUSED_OWN_SCHEMA;
	else if (dia_config_system_schema(t->db))
		m->reason = DIA_REFUSED_SYSTEM_SCHEMA;
	else if (!dia_config_table_replicated(g->config.config, t->db, t->name))
		m->local_use = DIA_USE_SKIP;
	else if (!t->has_names)
		m->reason = DIA_REFUSED_NO_METADATA;
	else if (is_sequence(t))
		m->reason = DIA_REFUSED_SEQUENCE;
	else if (t->pk_count == 0)
		m->reason = DIA_REFUSED_NO_PRIMARY_KEY;
	else
		m->local_use = DIA_USE_SHIP;
}

/* Same bytes behind the header as last time: nothing to parse. */
static bool same_map(const struct dia_map *m, const struct dia_event *ev)
{
	return m->raw.len == ev->raw.len &&
	       memcmp(m->raw.data + DIA_EVENT_HEADER_LEN,
		       ev->raw.data + DIA_EVENT_HEADER_LEN,
		       ev->raw.len - DIA_EVENT_HEADER_LEN) == 0;
}

enum dia_rc dia_group_table_map(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	struct dia_event copy = *ev;
	struct dia_map *m;
	uint64_t id;

	if (ev->data.len < 8)
		return dia_err_set(
			reterr, DIA_E_PROTOCOL, 0, "binlog: short Table_map event");
	id = dia_le48(ev->data.data);
	HASH_FIND(hh, g->maps, &id, sizeof(id), m);
	if (m != NULL && same_map(m, ev))
		return DIA_OK;
	if (m != NULL) {
		HASH_DEL(g->maps, m);
		map_free(m);
	} else if (HASH_COUNT(g->maps) >= DIA_GROUP_MAPS_MAX) {
		/* Their maps come again before they are used: Table_map and rows of a
		 * statement are neighbours, and one statement has few tables. */
		dia_group_maps_clear(g);
	}
	/* An id that now means another table must not profit from a map in the body. */
	for (uint32_t i = 0; i < g->emitted_count; i++)
		if (g->emitted[i] == id)
			g->emitted[i] = UINT64_MAX;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a table map");
	m->id = id;
	m->raw = dia_arena_dup(&m->arena, ev->raw);
	if (m->raw.data == NULL) {
		map_free(m);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a table map");
	}
	copy.raw = m->raw;
	copy.data = dia_slice_of(
		m->raw.data + DIA_EVENT_HEADER_LEN, m->raw.len - DIA_EVENT_HEADER_LEN);
	if (dia_table_map_parse(&copy, &m->arena, &m->table) != DIA_PARSE_OK) {
		map_free(m);
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"binlog: a Table_map event (%zu bytes) cannot be decoded",
			ev->raw.len);
	}
	decide_use(g, m);
	HASH_ADD(hh, g->maps, id, sizeof(m->id), m);
	if (m->hh.tbl == NULL) {
		map_free(m);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a table map");
	}
	return DIA_OK;
}

static enum dia_rc add_change(struct dia_group_reader *g, enum dia_change_kind kind,
	struct dia_slice key, struct dia_err *reterr)
{
	struct dia_content *c = &g->content;
	struct dia_change *change;

	if (c->change_count == c->change_cap) {
		size_t cap = c->change_cap == 0 ? 16 : c->change_cap * 2;
		struct dia_change *more = realloc(c->changes, cap * sizeof(*more));

		if (more == NULL)
			return dia_err_set(reterr, DIA_E_NOMEM, 0,
				"no memory for the keys of a transaction of %zu changes",
				c->change_count);
		c->changes = more;
		c->change_cap = cap;
	}
	change = &c->changes[c->change_count];
	*change = (struct dia_change){.kind = kind,
		.key = dia_arena_dup(&c->arena, key),
		.key_hash = dia_hash64(key, 0),
		.index = (uint32_t)c->change_count};
	if (change->key.data == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for keys");
	c->change_count++;
	return DIA_OK;
}

static enum dia_rc image_key(struct dia_group_reader *g, const struct dia_table *t,
	struct dia_slice image, struct dia_buf *out, struct dia_err *reterr)
{
	enum dia_rc rc;

	dia_buf_reset(out);
	rc = dia_image_key(t, image, g->config.weigh, g->config.weigh_ctx, out);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "key of a row of %.*s.%.*s: %s",
			(int)t->db.len, (const char *)t->db.data, (int)t->name.len,
			(const char *)t->name.data, dia_rc_text(rc));
	return DIA_OK;
}

/* Keys of one row; an update that moves the row is the end of one and the begin of
 * another. */
static enum dia_rc row_changes(struct dia_group_reader *g, const struct dia_table *t,
	const struct dia_row *row, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	if (row->kind != DIA_ROW_INSERT)
		rc = image_key(g, t, row->before, &g->key, reterr);
	if (rc == DIA_OK && row->kind != DIA_ROW_DELETE)
		rc = image_key(g, t, row->after, &g->key2, reterr);
	if (rc != DIA_OK)
		return rc;
	switch (row->kind) {
	case DIA_ROW_INSERT:
		return add_change(g, DIA_CHANGE_INSERT, dia_buf_slice(&g->key2), reterr);
	case DIA_ROW_DELETE:
		return add_change(g, DIA_CHANGE_DELETE, dia_buf_slice(&g->key), reterr);
	case DIA_ROW_UPDATE:
		if (dia_slice_eq(dia_buf_slice(&g->key), dia_buf_slice(&g->key2)))
			return add_change(
				g, DIA_CHANGE_UPDATE, dia_buf_slice(&g->key2), reterr);
		rc = add_change(g, DIA_CHANGE_DELETE, dia_buf_slice(&g->key), reterr);
		return rc != DIA_OK ? rc
				    : add_change(g, DIA_CHANGE_INSERT,
					      dia_buf_slice(&g->key2), reterr);
	}
	return DIA_OK;
}

static bool column_int(const struct dia_table *t, const struct dia_value *values,
	const char *name, int64_t *ret)
{
	int i = dia_table_column_find(t, literal(name));

	return i >= 0 && dia_value_int(&t->columns[i], &values[i], ret) == DIA_OK;
}

/* diarchy.applied (origin, seq, stamp, …), columns found by name. */
static enum dia_rc row_mark(struct dia_group_reader *g, const struct dia_table *t,
	const struct dia_row *row, struct dia_err *reterr)
{
	enum { COLUMNS = 64 };
	struct dia_value values[COLUMNS];
	int64_t origin, seq, stamp;

	if (row->kind == DIA_ROW_DELETE)
		return DIA_OK;
	if (t->column_count > COLUMNS ||
		dia_image_split(t, row->after, values) != DIA_PARSE_OK ||
		!column_int(t, values, "origin", &origin) ||
		!column_int(t, values, "seq", &seq) ||
		!column_int(t, values, "stamp", &stamp) || origin < 1 ||
		origin > DIA_DC_MAX)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"a row of diarchy.applied in the binlog is not understood; is "
			"binlog_row_metadata FULL, and the table as diarchy made it?");
	if (g->mark_count == g->mark_cap) {
		size_t cap = g->mark_cap == 0 ? 8 : g->mark_cap * 2;
		struct dia_group_mark *more = realloc(g->marks, cap * sizeof(*more));

		if (more == NULL)
			return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for marks");
		g->marks = more;
		g->mark_cap = cap;
	}
	g->marks[g->mark_count++] = (struct dia_group_mark){.origin = {(uint16_t)origin},
		.seq = (uint64_t)seq,
		.stamp = {(uint64_t)stamp}};
	return DIA_OK;
}

static void refuse(struct dia_group_reader *g, const struct dia_map *m,
	enum dia_refused_reason reason)
{
	dia_refused_report(
		g->config.refused, reason, m->table.db, m->table.name, g->gtid.gtid);
}

/* A group that is not marked transactional holds writes to MyISAM and the like, which
 * happen outside any transaction and cannot be merged; InnoDB rows may stand beside them.
 */
static enum dia_rc check_engine(
	struct dia_group_reader *g, struct dia_map *m, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	if ((g->gtid.flags & (DIA_GTID_TRANSACTIONAL | DIA_GTID_PREPARED_XA)) != 0) {
		m->transactional = m->engine_known = true;
	} else if (!m->engine_known) {
		if (g->config.transactional != NULL)
			rc = g->config.transactional(g->config.lookup_ctx, m->table.db,
				m->table.name, &m->transactional, reterr);
		m->engine_known = rc == DIA_OK;
	}
	return rc;
}

/* Decode the rows: keys or marks. *ret_bad when they cannot be decoded. */
static enum dia_rc walk_rows(struct dia_group_reader *g, struct dia_map *m,
	const struct dia_rows_head *head, bool marks, bool *ret_bad,
	struct dia_err *reterr)
{
	size_t before = g->content.change_count;
	struct dia_rows_iter it;
	struct dia_row row;
	enum dia_parse more;
	enum dia_rc rc = DIA_OK;

	*ret_bad = true;
	if (dia_rows_iter_init(&it, head, &m->table) != DIA_PARSE_OK) {
		refuse(g, m,
			head->column_count == m->table.column_count
				? DIA_REFUSED_PARTIAL_IMAGE
				: DIA_REFUSED_UNREADABLE);
		return DIA_OK;
	}
	while (rc == DIA_OK && (more = dia_rows_next(&it, &row)) == DIA_PARSE_OK) {
		if (marks)
			rc = row_mark(g, &m->table, &row, reterr);
		else if (g->config.want_keys)
			rc = row_changes(g, &m->table, &row, reterr);
		if (rc == DIA_E_PROTOCOL && !marks) {
			more = DIA_PARSE_BAD;
			rc = DIA_OK;
			break;
		}
	}
	if (rc != DIA_OK)
		return rc;
	if (more == DIA_PARSE_BAD) {
		g->content.change_count = before;
		refuse(g, m, DIA_REFUSED_UNREADABLE);
		return DIA_OK;
	}
	*ret_bad = false;
	return DIA_OK;
}

/* The statement's text and the table's map go in front of the first rows that need them.
 */
static enum dia_rc add_rows(struct dia_group_reader *g, struct dia_map *m,
	const struct dia_event *ev, struct dia_err *reterr)
{
	struct dia_event map = {.raw = m->raw};
	enum dia_rc rc = DIA_OK;
	uint32_t i = 0;

	if (g->annotate.len > 0) {
		rc = dia_txn_builder_add(
			&g->content.body, dia_buf_slice(&g->annotate), reterr);
		dia_buf_reset(&g->annotate);
	}
	while (i < g->emitted_count && g->emitted[i] != m->id)
		i++;
	if (rc == DIA_OK && i == g->emitted_count) {
		rc = dia_group_add_event(g, &map, reterr);
		if (g->emitted_count == DIA_GROUP_EMITTED_MAX)
			g->emitted_count = 0;
		g->emitted[g->emitted_count++] = m->id;
	}
	return rc != DIA_OK ? rc : dia_group_add_event(g, ev, reterr);
}

enum dia_rc dia_group_rows(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	struct dia_rows_head head;
	struct dia_map *m = NULL;
	enum dia_table_use use;
	enum dia_rc rc;
	bool bad;

	if (dia_rows_head_parse(ev, &head) == DIA_PARSE_OK)
		HASH_FIND(hh, g->maps, &head.table_id, sizeof(head.table_id), m);
	if (m == NULL)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"binlog: rows event (type %u) without its table map", ev->type);
	use = g->group.applied ? m->applied_use : m->local_use;
	if (use == DIA_USE_SHIP) {
		rc = check_engine(g, m, reterr);
		if (rc != DIA_OK)
			return rc;
		if (!m->transactional) {
			refuse(g, m, DIA_REFUSED_NOT_TRANSACTIONAL);
			return DIA_OK;
		}
	}
	switch (use) {
	case DIA_USE_SKIP:
		return DIA_OK;
	case DIA_USE_REFUSE:
		refuse(g, m, m->reason);
		return DIA_OK;
	case DIA_USE_MARKS:
		return walk_rows(g, m, &head, true, &bad, reterr);
	case DIA_USE_SHIP:
		/* MariaDB writes no rows events of version 2, and the change format has
		 * none. */
		if (ev->type >= DIA_EVENT_WRITE_ROWS_V2 &&
			ev->type <= DIA_EVENT_DELETE_ROWS_V2) {
			refuse(g, m, DIA_REFUSED_UNREADABLE);
			return DIA_OK;
		}
		rc = walk_rows(g, m, &head, false, &bad, reterr);
		return rc != DIA_OK || bad ? rc : add_rows(g, m, ev, reterr);
	}
	return DIA_OK;
}
