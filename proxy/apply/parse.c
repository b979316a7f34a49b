/* proxy/apply/parse.c - see parse.h. */
#include "proxy/apply/parse.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* What one walk over a body carries. */
struct walk {
	struct apply_db *db;
	struct dia_apply_txn *txn;
	struct apply_parsed *p;
	/* Tables in force, by the ids of the event stream. */
	struct {
		uint64_t id;
		struct apply_source *source;
	} * tables;
	size_t table_count, table_cap;
	struct dia_err *reterr;
};

/* Make room for one more item; NULL-safe doubling. */
static bool grow(void **items, size_t *cap, size_t count, size_t size)
{
	size_t more = *cap == 0 ? 16 : *cap * 2;
	void *p;

	if (count < *cap)
		return true;
	p = realloc(*items, more * size);
	if (p == NULL)
		return false;
	*items = p;
	*cap = more;
	return true;
}

static enum dia_rc nomem(struct walk *w)
{
	return dia_err_set(w->reterr, DIA_E_NOMEM, 0,
		"out of memory for a transaction of %s", w->db->c.origin_name);
}

static enum dia_rc malformed(struct walk *w, const char *what)
{
	return dia_err_set(w->reterr, DIA_E_PROTOCOL, 0,
		"transaction %" PRIu64
		" of %s: malformed %s event; its diarchy and ours may not "
		"be of the same version",
		w->txn->txn->head.seq, w->db->c.origin_name, what);
}

static enum dia_rc take_table(struct walk *w, const struct dia_event *ev)
{
	struct apply_parsed *p = w->p;
	struct apply_source *s;
	enum dia_rc rc;
	size_t i = 0;
	uint64_t id;

	if (!grow((void **)&p->sources, &p->source_cap, p->source_count,
		    sizeof(*p->sources)) ||
		!grow((void **)&w->tables, &w->table_cap, w->table_count,
			sizeof(*w->tables)))
		return nomem(w);
	rc = apply_source_get(w->db, ev, &s, w->reterr);
	if (rc != DIA_OK)
		return rc;
	p->sources[p->source_count++] = s;
	/* The id is of this event, not of the cached one. */
	id = dia_le48(ev->data.data);
	while (i < w->table_count && w->tables[i].id != id)
		i++;
	w->tables[i].id = id;
	w->tables[i].source = s;
	if (i == w->table_count)
		w->table_count++;
	return DIA_OK;
}

static enum dia_rc weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	struct apply_db *db = ctx;

	/* Without a connection there is no batch to parse for either. */
	return db->weights == NULL ? DIA_E_DB_GONE
				   : dia_weigher_weigh(db->weights, collation, text, out);
}

/* Append one change; its key goes to p->keys, as an offset for now. */
static enum dia_rc add_change(
	struct walk *w, enum dia_change_kind kind, struct dia_slice image)
{
	struct apply_parsed *p = w->p;
	struct dia_apply_change *c;
	size_t start = p->keys.len;
	enum dia_rc rc;

	if (!grow((void **)&w->txn->changes, &p->change_cap, w->txn->change_count,
		    sizeof(*c)))
		return nomem(w);
	rc = dia_image_key(
		&p->rows[p->row_count - 1].source->table, image, weigh, w->db, &p->keys);
	if (rc == DIA_E_DB_GONE || rc == DIA_E_DB_RETRY || rc == DIA_E_NOMEM)
		return dia_err_set(
			w->reterr, rc, 0, "weighing a text key: %s", dia_rc_text(rc));
	if (rc != DIA_OK)
		return malformed(w, "Rows (key)");
	c = &w->txn->changes[w->txn->change_count];
	*c = (struct dia_apply_change){
		.change = {.kind = kind,
			.key = {.data = NULL, .len = p->keys.len - start},
			.index = (uint32_t)w->txn->change_count},
		.item = (uint32_t)(p->row_count - 1),
	};
	w->txn->change_count++;
	return DIA_OK;
}

static enum dia_rc add_row(
	struct walk *w, struct apply_source *s, const struct dia_row *row, uint16_t flags)
{
	struct apply_parsed *p = w->p;
	enum dia_rc rc;
	size_t first;

	if (!grow((void **)&p->rows, &p->row_cap, p->row_count, sizeof(*p->rows)))
		return nomem(w);
	p->rows[p->row_count++] = (struct apply_row){.source = s,
		.row = *row,
		.flags = flags & (DIA_ROWS_NO_FK_CHECKS | DIA_ROWS_RELAXED_UNIQUE)};
	if (row->kind == DIA_ROW_INSERT)
		return add_change(w, DIA_CHANGE_INSERT, row->after);
	if (row->kind == DIA_ROW_DELETE)
		return add_change(w, DIA_CHANGE_DELETE, row->before);
	/* An update that moves the row to another key is two changes. */
	first = p->keys.len;
	rc = add_change(w, DIA_CHANGE_UPDATE, row->before);
	if (rc == DIA_OK)
		rc = add_change(w, DIA_CHANGE_INSERT, row->after);
	if (rc != DIA_OK)
		return rc;
	{
		struct dia_change *old =
			&w->txn->changes[w->txn->change_count - 2].change;
		struct dia_change *new =
			&w->txn->changes[w->txn->change_count - 1].change;

		if (old->key.len == new->key.len &&
			memcmp(p->keys.data + first, p->keys.data + first + old->key.len,
				old->key.len) == 0) {
			p->keys.len = first + old->key.len;
			w->txn->change_count--;
		} else {
			old->kind = DIA_CHANGE_DELETE;
		}
	}
	return DIA_OK;
}

static enum dia_rc take_rows(struct walk *w, const struct dia_event *ev)
{
	struct apply_source *s = NULL;
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_row row;
	enum dia_parse got;

	if (dia_rows_head_parse(ev, &head) != DIA_PARSE_OK)
		return malformed(w, "Rows");
	for (size_t i = 0; i < w->table_count; i++)
		if (w->tables[i].id == head.table_id)
			s = w->tables[i].source;
	if (s == NULL)
		return malformed(w, "Rows (no Table_map)");
	if (!s->replicated)
		return DIA_OK;
	if (s->table.pk_count == 0) {
		/* Capture there leaves such tables out and says so. */
		dia_log(DIA_LOG_ERROR, "apply", "no_key", "dc=%s table=%.*s.%.*s",
			w->db->c.origin_name, (int)s->table.db.len,
			(const char *)s->table.db.data, (int)s->table.name.len,
			(const char *)s->table.name.data);
		return malformed(w, "Rows (table without primary key)");
	}
	if (dia_rows_iter_init(&it, &head, &s->table) != DIA_PARSE_OK)
		return malformed(w, "Rows");
	while ((got = dia_rows_next(&it, &row)) == DIA_PARSE_OK) {
		enum dia_rc rc = add_row(w, s, &row, head.flags);

		if (rc != DIA_OK)
			return rc;
	}
	return got == DIA_PARSE_BAD ? malformed(w, "Rows") : DIA_OK;
}

static enum dia_rc walk_body(struct walk *w)
{
	struct dia_slice rest = dia_txn_body(w->txn->txn);
	struct dia_event ev;
	enum dia_rc rc = DIA_OK;

	while (rc == DIA_OK && rest.len > 0) {
		if (dia_event_parse(rest, false, &ev) != DIA_PARSE_OK)
			return malformed(w, "binlog");
		switch (ev.type) {
		case DIA_EVENT_TABLE_MAP:
			rc = take_table(w, &ev);
			break;
		case DIA_EVENT_WRITE_ROWS_V1:
		case DIA_EVENT_UPDATE_ROWS_V1:
		case DIA_EVENT_DELETE_ROWS_V1:
			rc = take_rows(w, &ev);
			break;
		case DIA_EVENT_QUERY:
			w->p->query = ev;
			w->p->has_query = true;
			break;
		case DIA_EVENT_ANNOTATE_ROWS:
			break;
		default:
			return malformed(w, "unexpected");
		}
		rest = dia_slice_of(rest.data + ev.raw.len, rest.len - ev.raw.len);
	}
	return rc;
}

/* Keys stood in a buffer that moved while it grew. */
static void settle_keys(struct dia_apply_txn *txn, struct apply_parsed *p)
{
	size_t at = 0;

	for (size_t i = 0; i < txn->change_count; i++) {
		struct dia_change *c = &txn->changes[i].change;

		c->key = dia_slice_of(p->keys.data + at, c->key.len);
		c->key_hash = dia_hash64(c->key, 0);
		at += c->key.len;
	}
}

enum dia_rc apply_parse(void *ctx, struct dia_apply_txn *txn, struct dia_err *reterr)
{
	struct walk w = {.db = ctx, .txn = txn, .reterr = reterr};
	enum dia_rc rc;

	txn->changes = NULL;
	txn->change_count = 0;
	txn->parsed = w.p = calloc(1, sizeof(*w.p));
	if (w.p == NULL)
		return nomem(&w);
	rc = walk_body(&w);
	if (rc == DIA_OK && (txn->txn->head.flags & DIA_TXN_DDL) != 0 && !w.p->has_query)
		rc = malformed(&w, "Query (missing)");
	if (rc == DIA_OK)
		settle_keys(txn, w.p);
	else
		apply_release(ctx, txn);
	free(w.tables);
	return rc;
}

void apply_release(void *ctx, struct dia_apply_txn *txn)
{
	struct apply_parsed *p = txn->parsed;

	(void)ctx;
	if (p != NULL) {
		for (size_t i = 0; i < p->source_count; i++)
			apply_source_put(p->sources[i]);
		free(p->sources);
		free(p->rows);
		dia_buf_fini(&p->keys);
		free(p);
	}
	free(txn->changes);
	txn->changes = NULL;
	txn->change_count = 0;
	txn->parsed = NULL;
}
