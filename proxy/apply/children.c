/* proxy/apply/children.c - rows that a delete would take along; see write.h. */
#include "proxy/apply/write.h"

static enum dia_rc nomem(struct dia_err *reterr)
{
	return dia_err_set(
		reterr, DIA_E_NOMEM, 0, "out of memory for a table's foreign keys");
}

/* Foreign keys that pass a delete of the table's rows on, a row per column. That makes
 * the server open all its tables: tens of milliseconds, so once a binding. */
static enum dia_rc passing_keys(struct apply_db *db, const struct dia_table *t,
	MYSQL_RES **ret, struct dia_err *reterr)
{
	apply_sql_start(db);
	dia_buf_add_str(&db->sql,
		"SELECT k.CONSTRAINT_SCHEMA, k.TABLE_NAME, k.ORDINAL_POSITION, "
		"k.COLUMN_NAME, k.REFERENCED_COLUMN_NAME "
		"FROM information_schema.REFERENTIAL_CONSTRAINTS r "
		"JOIN information_schema.KEY_COLUMN_USAGE k "
		"ON k.CONSTRAINT_SCHEMA=r.CONSTRAINT_SCHEMA AND "
		"k.TABLE_NAME=r.TABLE_NAME "
		"AND k.CONSTRAINT_NAME=r.CONSTRAINT_NAME "
		"WHERE r.DELETE_RULE IN ('CASCADE', 'SET NULL') "
		"AND r.UNIQUE_CONSTRAINT_SCHEMA=");
	apply_sql_text(&db->sql, t->db);
	dia_buf_add_str(&db->sql, " AND r.REFERENCED_TABLE_NAME=");
	apply_sql_text(&db->sql, t->name);
	dia_buf_add_str(&db->sql, " ORDER BY k.CONSTRAINT_SCHEMA, k.TABLE_NAME, "
				  "k.CONSTRAINT_NAME, k.ORDINAL_POSITION");
	return apply_sql_run(db, ret, reterr);
}

static void add_column(struct dia_buf *sql, const char *alias, const char *name)
{
	dia_buf_add_str(sql, alias);
	apply_sql_name(sql, dia_slice_str(name));
}

/* One query per foreign key, up to the primary key of the parent. */
static enum dia_rc learn_children(
	struct apply_db *db, struct apply_source *s, struct dia_err *reterr)
{
	const struct dia_table *t = &s->table;
	struct dia_buf text = {0};
	MYSQL_RES *keys = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = passing_keys(db, t, &keys, reterr);
	size_t count = 0, n;

	if (rc != DIA_OK || keys == NULL)
		return rc;
	n = (size_t)mysql_num_rows(keys);
	s->children = dia_arena_zalloc(&s->bind_arena, n + 1, sizeof(*s->children));
	for (row = mysql_fetch_row(keys); s->children != NULL && row != NULL;) {
		dia_buf_reset(&text);
		dia_buf_add_str(&text, "SELECT 1 FROM ");
		apply_sql_name(&text, dia_slice_str(row[0]));
		add_column(&text, ".", row[1]);
		dia_buf_add_str(&text, " c, ");
		apply_sql_name(&text, t->db);
		dia_buf_add_u8(&text, '.');
		apply_sql_name(&text, t->name);
		dia_buf_add_str(&text, " p WHERE TRUE");
		do {
			add_column(&text, " AND c.", row[3]);
			add_column(&text, "=p.", row[4]);
			row = mysql_fetch_row(keys);
		} while (row != NULL && strcmp(row[2], "1") != 0);
		s->children[count] = dia_arena_dup(&s->bind_arena, dia_buf_slice(&text));
		if (text.failed || s->children[count].data == NULL)
			s->children = NULL;
		count++;
	}
	mysql_free_result(keys);
	dia_buf_fini(&text);
	if (s->children == NULL)
		return nomem(reterr);
	s->child_count = count;
	return DIA_OK;
}

static enum dia_rc add_parent(struct dia_buf *sql, const struct dia_table *t,
	struct dia_slice image, struct dia_value *values)
{
	enum dia_rc rc = DIA_OK;

	if (dia_image_split(t, image, values) != DIA_PARSE_OK)
		return DIA_E_PROTOCOL;
	for (uint32_t i = 0; rc == DIA_OK && i < t->pk_count; i++) {
		const struct dia_column *col = &t->columns[t->pk[i]];

		dia_buf_add_str(sql, " AND p.");
		apply_sql_name(sql, col->name);
		dia_buf_add_u8(sql, '=');
		rc = dia_value_literal(col, &values[t->pk[i]], sql);
	}
	dia_buf_add_str(sql, " LIMIT 1");
	return rc;
}

enum dia_rc apply_has_children(struct apply_work *w, struct apply_source *source,
	struct dia_slice image, bool *ret, struct dia_err *reterr)
{
	const struct dia_table *t = &source->table;
	enum dia_rc rc = DIA_OK;

	*ret = false;
	if (source->children == NULL)
		rc = learn_children(w->db, source, reterr);
	for (size_t i = 0; rc == DIA_OK && !*ret && i < source->child_count; i++) {
		struct dia_value *values =
			dia_arena_zalloc(&w->arena, t->column_count, sizeof(*values));
		MYSQL_RES *found = NULL;

		if (values == NULL)
			return nomem(reterr);
		apply_sql_start(w->db);
		dia_buf_add_slice(&w->db->sql, source->children[i]);
		rc = add_parent(&w->db->sql, t, image, values);
		if (rc != DIA_OK)
			return dia_err_set(reterr, rc, 0, "the key of a row of %.*s: %s",
				(int)t->name.len, (const char *)t->name.data,
				dia_rc_text(rc));
		rc = apply_sql_run(w->db, &found, reterr);
		*ret = found != NULL && mysql_num_rows(found) > 0;
		mysql_free_result(found);
	}
	return rc;
}
