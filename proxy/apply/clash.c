/* proxy/apply/clash.c - who holds a unique value, and since when; see write.h. */
#include "proxy/apply/pack.h"
#include "proxy/apply/write.h"

#include <stdlib.h>

static enum dia_rc nomem(struct dia_err *reterr)
{
	return dia_err_set(
		reterr, DIA_E_NOMEM, 0, "out of memory for a unique value's holder");
}

/* The name behind the last "for key '" of the server's text; empty when it has none. */
static struct dia_slice key_name(const char *error)
{
	static const char before[] = "for key '";
	const char *at = NULL, *end;

	for (const char *p = strstr(error, before); p != NULL; p = strstr(p + 1, before))
		at = p + sizeof(before) - 1;
	if (at == NULL)
		return dia_slice_of(NULL, 0);
	end = strrchr(at, '\'');
	return end == NULL ? dia_slice_of(NULL, 0) : dia_slice_of(at, (size_t)(end - at));
}

static enum dia_rc index_columns(struct apply_db *db, const struct dia_table *t,
	struct dia_slice key, MYSQL_RES **ret, struct dia_err *reterr)
{
	apply_sql_start(db);
	dia_buf_add_str(&db->sql, "SELECT COLUMN_NAME, SUB_PART FROM "
				  "information_schema.STATISTICS WHERE TABLE_SCHEMA=");
	apply_sql_text(&db->sql, t->db);
	dia_buf_add_str(&db->sql, " AND TABLE_NAME=");
	apply_sql_text(&db->sql, t->name);
	dia_buf_add_str(&db->sql, " AND INDEX_NAME=");
	apply_sql_text(&db->sql, key);
	dia_buf_add_str(&db->sql, " ORDER BY SEQ_IN_INDEX");
	return apply_sql_run(db, ret, reterr);
}

/* column = value, or both cut to the index's prefix. */
static bool add_equal(struct dia_buf *sql, const struct dia_column *col,
	const struct dia_value *value, const char *prefix)
{
	dia_buf_add_str(sql, prefix == NULL ? "" : "LEFT(");
	apply_sql_name(sql, col->name);
	if (prefix != NULL)
		dia_buf_printf(sql, ",%s)=LEFT(", prefix);
	else
		dia_buf_add_u8(sql, '=');
	if (dia_value_literal(col, value, sql) != DIA_OK)
		return false;
	if (prefix != NULL)
		dia_buf_printf(sql, ",%s)", prefix);
	return true;
}

/* " FROM t WHERE <unique columns> = <values>"; false when a column of the key is not in
 * the row. */
static bool add_where(struct dia_buf *sql, const struct apply_source *s,
	MYSQL_RES *columns, const struct dia_value *values)
{
	const struct dia_table *t = &s->table;
	MYSQL_ROW row;
	bool first = true;

	dia_buf_add_str(sql, " FROM ");
	apply_sql_name(sql, t->db);
	dia_buf_add_u8(sql, '.');
	apply_sql_name(sql, t->name);
	mysql_data_seek(columns, 0);
	while ((row = mysql_fetch_row(columns)) != NULL) {
		int i = row[0] == NULL ? -1
				       : dia_table_column_find(t, dia_slice_str(row[0]));

		if (i < 0)
			return false;
		dia_buf_add_str(sql, first ? " WHERE " : " AND ");
		first = false;
		if (!add_equal(sql, &t->columns[i], &values[i], row[1]))
			return false;
	}
	return !first;
}

/* The image of item's row with the holder's primary key in it, into work->arena; data
 * NULL when the key's types cannot be packed. */
static enum dia_rc make_image(struct apply_work *w, const struct apply_item *item,
	MYSQL_RES *res, MYSQL_ROW row, struct dia_slice *ret, struct dia_err *reterr)
{
	const struct dia_table *t = &item->put.source->table;
	const unsigned long *lengths = mysql_fetch_lengths(res);
	struct dia_value *values =
		dia_arena_zalloc(&w->arena, t->column_count, sizeof(*values));
	struct dia_buf image = {0};
	bool fits = values != NULL &&
		    dia_image_split(t, item->put.after, values) == DIA_PARSE_OK;

	for (uint32_t i = 0; fits && i < t->pk_count; i++) {
		struct dia_value *v = &values[t->pk[i]];

		dia_buf_reset(&image);
		fits = row[i] != NULL &&
		       apply_pack(&t->columns[t->pk[i]], dia_slice_of(row[i], lengths[i]),
			       &image);
		v->is_null = false;
		v->packed = dia_arena_dup(&w->arena, dia_buf_slice(&image));
		fits = fits && v->packed.data != NULL;
	}
	dia_buf_reset(&image);
	dia_buf_add(&image, item->put.after.data, (t->column_count + 7) / 8);
	for (uint32_t i = 0; fits && i < t->column_count; i++)
		if (!values[i].is_null)
			dia_buf_add_slice(&image, values[i].packed);
	*ret = fits && !image.failed ? dia_arena_dup(&w->arena, dia_buf_slice(&image))
				     : dia_slice_of(NULL, 0);
	dia_buf_fini(&image);
	return fits && ret->data == NULL ? nomem(reterr) : DIA_OK;
}

/* Lock the holder and learn its primary key. ret->found says whether there is one. */
static enum dia_rc lock_holder(struct apply_work *w, const struct apply_item *item,
	MYSQL_RES *columns, const struct dia_value *values, struct apply_holder *ret,
	struct dia_err *reterr)
{
	const struct apply_source *s = item->put.source;
	struct dia_buf *sql = &w->db->sql;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	bool packs = true;
	enum dia_rc rc = DIA_OK;

	apply_sql_start(w->db);
	dia_buf_add_str(sql, "SELECT ");
	for (uint32_t i = 0; packs && i < s->table.pk_count; i++) {
		if (i > 0)
			dia_buf_add_u8(sql, ',');
		packs = apply_pack_select(&s->table.columns[s->table.pk[i]], sql);
	}
	if (!packs) {
		apply_sql_start(w->db);
		dia_buf_add_str(sql, "SELECT 1");
	}
	if (!add_where(sql, s, columns, values))
		return DIA_OK;
	dia_buf_add_str(sql, " LIMIT 1 FOR UPDATE");
	rc = apply_sql_run(w->db, &res, reterr);
	row = rc == DIA_OK && res != NULL ? mysql_fetch_row(res) : NULL;
	ret->found = row != NULL;
	if (row != NULL && packs)
		rc = make_image(w, item, res, row, &ret->image, reterr);
	mysql_free_result(res);
	return rc;
}

/* The whole row. With an image, by its primary key as well: so a key packed wrongly finds
 * nothing, and nothing is done by it. */
static enum dia_rc read_holder(struct apply_work *w, const struct apply_item *item,
	MYSQL_RES *columns, const struct dia_value *values, struct apply_holder *ret,
	struct dia_err *reterr)
{
	const struct apply_source *s = item->put.source;
	const struct dia_table *t = &s->table;
	struct dia_buf *sql = &w->db->sql;
	struct dia_value *keyed =
		dia_arena_zalloc(&w->arena, t->column_count, sizeof(*keyed));
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc;

	if (keyed == NULL)
		return nomem(reterr);
	apply_sql_start(w->db);
	for (uint32_t i = 0; i < s->column_count; i++) {
		dia_buf_add_str(sql, i == 0 ? "SELECT " : ",");
		apply_sql_name(sql, s->columns[i].name);
	}
	if (!add_where(sql, s, columns, values))
		return DIA_OK;
	if (ret->image.data != NULL &&
		dia_image_split(t, ret->image, keyed) != DIA_PARSE_OK)
		ret->image = dia_slice_of(NULL, 0);
	for (uint32_t i = 0; ret->image.data != NULL && i < t->pk_count; i++) {
		dia_buf_add_str(sql, " AND ");
		if (!add_equal(sql, &t->columns[t->pk[i]], &keyed[t->pk[i]], NULL))
			return DIA_OK;
	}
	dia_buf_add_str(sql, " LIMIT 1 FOR UPDATE");
	rc = apply_sql_run(w->db, &res, reterr);
	row = rc == DIA_OK && res != NULL ? mysql_fetch_row(res) : NULL;
	if (row != NULL) {
		ret->json = apply_probe_row_json(w, res, row);
		if (ret->json == NULL)
			rc = nomem(reterr);
	} else {
		ret->image = dia_slice_of(NULL, 0);
	}
	mysql_free_result(res);
	return rc;
}

/* Remember what was seen of the holder, to be compared before the commit. */
static enum dia_rc add_watch(
	struct apply_work *w, const struct dia_apply_watch *watch, struct dia_err *reterr)
{
	struct dia_apply_batch *b = w->batch;
	struct apply_db *db = w->db;

	if (b->watch_count == db->watch_cap) {
		size_t cap = db->watch_cap == 0 ? 16 : db->watch_cap * 2;
		struct dia_apply_watch *more =
			realloc(db->watches, cap * sizeof(*db->watches));

		if (more == NULL)
			return nomem(reterr);
		db->watches = more;
		db->watch_cap = cap;
	}
	b->watches = db->watches;
	b->watches[b->watch_count++] = *watch;
	return DIA_OK;
}

/* Is the holder here because of a change that neither knew item's nor was known to it,
 * and which of the two is the later one. */
static enum dia_rc weigh_claim(struct apply_work *w, const struct apply_item *item,
	struct apply_holder *holder, struct dia_err *reterr)
{
	struct apply_db *db = w->db;
	struct dia_apply_watch watch = {.head = item->head};
	struct dia_buf key = {0};
	enum dia_rc rc = dia_image_key(&item->put.source->table, holder->image,
		db->weights == NULL ? NULL : dia_weigher_weigh, db->weights, &key);

	if (rc != DIA_OK) {
		dia_buf_fini(&key);
		return dia_err_set(reterr, rc, 0,
			"the key of a unique value's holder: %s", dia_rc_text(rc));
	}
	if (w->batch->watch_count == 0)
		dia_arena_reset(&db->watch_arena);
	watch.change = (struct dia_change){.kind = DIA_CHANGE_UPDATE,
		.key = dia_arena_dup(&db->watch_arena, dia_buf_slice(&key)),
		.index = item->change->change.index};
	dia_buf_fini(&key);
	if (watch.change.key.data == NULL)
		return nomem(reterr);
	watch.change.key_hash = dia_hash64(watch.change.key, 0);
	if (db->c.lock != NULL)
		db->c.lock(db->c.lock_ctx);
	dia_engine_decide(db->c.engine, item->head, &watch.change, &watch.decision);
	if (watch.decision.rival != NULL)
		holder->head = *watch.decision.rival;
	if (db->c.unlock != NULL)
		db->c.unlock(db->c.lock_ctx);
	watch.decision.rival = NULL;
	watch.rival_seq = holder->head.seq;
	holder->kind = watch.decision.rival_kind;
	if (!watch.decision.conflict)
		holder->claim = APPLY_CLAIM_UNKNOWN;
	else
		holder->claim = watch.decision.verdict == DIA_KEEP_LOCAL
					? APPLY_CLAIM_NEWER
					: APPLY_CLAIM_OLDER;
	return add_watch(w, &watch, reterr);
}

enum dia_rc apply_find_holder(struct apply_work *w, struct apply_item *item,
	const char *error, struct apply_holder *ret, struct dia_err *reterr)
{
	const struct apply_source *s = item->put.source;
	struct dia_slice key = key_name(error);
	MYSQL_RES *columns = NULL;
	struct dia_value *values;
	enum dia_rc rc;

	*ret = (struct apply_holder){.claim = APPLY_CLAIM_UNKNOWN};
	if (key.len == 0 || item->put.kind == DIA_ROW_DELETE)
		return DIA_OK;
	values = dia_arena_zalloc(&w->arena, s->table.column_count, sizeof(*values));
	if (values == NULL)
		return nomem(reterr);
	if (dia_image_split(&s->table, item->put.after, values) != DIA_PARSE_OK)
		return DIA_OK;
	rc = index_columns(w->db, &s->table, key, &columns, reterr);
	if (rc != DIA_OK || columns == NULL)
		return rc;
	rc = lock_holder(w, item, columns, values, ret, reterr);
	if (rc == DIA_OK && ret->found)
		rc = read_holder(w, item, columns, values, ret, reterr);
	mysql_free_result(columns);
	if (rc == DIA_OK && ret->image.data != NULL && w->db->c.engine != NULL)
		rc = weigh_claim(w, item, ret, reterr);
	return rc;
}
