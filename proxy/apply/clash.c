/* proxy/apply/clash.c - who holds a unique value; see write.h. */
#include "proxy/apply/write.h"

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
	dia_buf_add_str(&db->sql, "SELECT COLUMN_NAME FROM information_schema.STATISTICS "
				  "WHERE TABLE_SCHEMA=");
	apply_sql_text(&db->sql, t->db);
	dia_buf_add_str(&db->sql, " AND TABLE_NAME=");
	apply_sql_text(&db->sql, t->name);
	dia_buf_add_str(&db->sql, " AND INDEX_NAME=");
	apply_sql_text(&db->sql, key);
	dia_buf_add_str(&db->sql, " ORDER BY SEQ_IN_INDEX");
	return apply_sql_run(db, ret, reterr);
}

/* The statement into db->sql; false when a column of the key is not in the row. */
static bool holder_select(struct apply_db *db, const struct apply_source *s,
	MYSQL_RES *columns, const struct dia_value *values)
{
	const struct dia_table *t = &s->table;
	MYSQL_ROW row;
	bool first = true;

	apply_sql_start(db);
	dia_buf_add_str(&db->sql, "SELECT ");
	for (uint32_t i = 0; i < s->column_count; i++) {
		if (i > 0)
			dia_buf_add_u8(&db->sql, ',');
		apply_sql_name(&db->sql, s->columns[i].name);
	}
	dia_buf_add_str(&db->sql, " FROM ");
	apply_sql_name(&db->sql, t->db);
	dia_buf_add_u8(&db->sql, '.');
	apply_sql_name(&db->sql, t->name);
	while ((row = mysql_fetch_row(columns)) != NULL) {
		int i = row[0] == NULL ? -1
				       : dia_table_column_find(t, dia_slice_str(row[0]));

		if (i < 0)
			return false;
		dia_buf_add_str(&db->sql, first ? " WHERE " : " AND ");
		first = false;
		apply_sql_name(&db->sql, t->columns[i].name);
		dia_buf_add_u8(&db->sql, '=');
		if (dia_value_literal(&t->columns[i], &values[i], &db->sql) != DIA_OK)
			return false;
	}
	dia_buf_add_str(&db->sql, " LIMIT 1");
	return !first;
}

enum dia_rc apply_find_holder(struct apply_work *w, struct apply_item *item,
	const char *error, struct dia_err *reterr)
{
	const struct apply_source *s = item->put.source;
	struct dia_slice key = key_name(error);
	MYSQL_RES *columns = NULL, *found = NULL;
	struct dia_value *values;
	MYSQL_ROW row;
	enum dia_rc rc;

	if (key.len == 0 || item->put.kind == DIA_ROW_DELETE)
		return DIA_OK;
	values = dia_arena_zalloc(&w->arena, s->table.column_count, sizeof(*values));
	if (values == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a conflict record");
	if (dia_image_split(&s->table, item->put.after, values) != DIA_PARSE_OK)
		return DIA_OK;
	rc = index_columns(w->db, &s->table, key, &columns, reterr);
	if (rc != DIA_OK || columns == NULL)
		return rc;
	if (holder_select(w->db, s, columns, values))
		rc = apply_sql_run(w->db, &found, reterr);
	mysql_free_result(columns);
	if (rc == DIA_OK && found != NULL && (row = mysql_fetch_row(found)) != NULL)
		item->holder_json = apply_probe_row_json(w, found, row);
	mysql_free_result(found);
	return rc;
}
