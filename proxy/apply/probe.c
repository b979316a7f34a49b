/* proxy/apply/probe.c - looking at rows under FOR UPDATE; see write.h. */
#include "proxy/apply/write.h"

#include <stdlib.h>

enum {
	PROBES_PER_STATEMENT = 200,
	PROBE_BYTES = 256 << 10,
	CHARSET_BINARY = 63,
};

static enum dia_rc add_where(
	struct dia_buf *sql, const struct apply_source *s, struct dia_slice image)
{
	const struct dia_table *t = &s->table;
	struct dia_arena arena = {0};
	struct dia_value *values =
		dia_arena_zalloc(&arena, t->column_count, sizeof(*values));
	enum dia_rc rc = DIA_OK;

	if (values == NULL)
		return DIA_E_NOMEM;
	if (dia_image_split(t, image, values) != DIA_PARSE_OK)
		rc = DIA_E_PROTOCOL;
	for (uint32_t i = 0; rc == DIA_OK && i < t->pk_count; i++) {
		const struct dia_column *col = &t->columns[t->pk[i]];

		dia_buf_add_str(sql, i == 0 ? " WHERE " : " AND ");
		if (col->pk_prefix_chars > 0)
			dia_buf_add_str(sql, "LEFT(");
		apply_sql_name(sql, col->name);
		if (col->pk_prefix_chars > 0)
			dia_buf_printf(sql, ",%u)=LEFT(", col->pk_prefix_chars);
		else
			dia_buf_add_u8(sql, '=');
		rc = dia_value_literal(col, &values[t->pk[i]], sql);
		if (col->pk_prefix_chars > 0)
			dia_buf_printf(sql, ",%u)", col->pk_prefix_chars);
	}
	dia_arena_fini(&arena);
	return rc;
}

static enum dia_rc add_select(struct dia_buf *sql, const struct apply_source *s,
	struct dia_slice image, bool whole)
{
	enum dia_rc rc;

	dia_buf_add_str(sql, "SELECT ");
	for (uint32_t i = 0; whole && i < s->column_count; i++) {
		if (i > 0)
			dia_buf_add_u8(sql, ',');
		apply_sql_name(sql, s->columns[i].name);
	}
	dia_buf_add_str(sql, whole ? " FROM " : "1 FROM ");
	apply_sql_name(sql, s->table.db);
	dia_buf_add_u8(sql, '.');
	apply_sql_name(sql, s->table.name);
	rc = add_where(sql, s, image);
	dia_buf_add_str(sql, " FOR UPDATE");
	return rc;
}

/* ---- a row as JSON, in the form of dia_image_json
 * --------------------------------------- */

static void add_json_text(struct dia_buf *out, const char *text, size_t len)
{
	dia_buf_add_u8(out, '"');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c == '"' || c == '\\') {
			dia_buf_add_u8(out, '\\');
			dia_buf_add_u8(out, c);
		} else if (c < 0x20) {
			dia_buf_printf(out, "\\u%04x", c);
		} else {
			dia_buf_add_u8(out, c);
		}
	}
	dia_buf_add_u8(out, '"');
}

static void add_json_bytes(struct dia_buf *out, const char *data, size_t len)
{
	dia_buf_add_str(out, "{\"base64\": \"");
	dia_buf_add_base64(out, dia_slice_of(data, len));
	dia_buf_add_str(out, "\"}");
}

static bool is_number(enum enum_field_types type)
{
	return type == MYSQL_TYPE_TINY || type == MYSQL_TYPE_SHORT ||
	       type == MYSQL_TYPE_INT24 || type == MYSQL_TYPE_LONG ||
	       type == MYSQL_TYPE_LONGLONG || type == MYSQL_TYPE_DECIMAL ||
	       type == MYSQL_TYPE_NEWDECIMAL || type == MYSQL_TYPE_FLOAT ||
	       type == MYSQL_TYPE_DOUBLE;
}

static bool is_temporal(enum enum_field_types type)
{
	return type == MYSQL_TYPE_DATE || type == MYSQL_TYPE_NEWDATE ||
	       type == MYSQL_TYPE_TIME || type == MYSQL_TYPE_DATETIME ||
	       type == MYSQL_TYPE_TIMESTAMP || type == MYSQL_TYPE_YEAR;
}

static void add_json_value(
	struct dia_buf *out, const MYSQL_FIELD *f, const char *data, size_t len)
{
	uint64_t bits = 0;

	if (data == NULL) {
		dia_buf_add_str(out, "null");
		return;
	}
	/* Not a switch: the library's enumeration is not ours and grows. */
	if (is_number(f->type)) {
		/* ZEROFILL. */
		while (len > 1 && data[0] == '0' && data[1] >= '0' && data[1] <= '9') {
			data++;
			len--;
		}
		dia_buf_add(out, data, len);
	} else if (f->type == MYSQL_TYPE_BIT) {
		for (size_t i = 0; i < len; i++)
			bits = bits << 8 | (uint8_t)data[i];
		dia_buf_printf(out, "%llu", (unsigned long long)bits);
	} else if (f->charsetnr == CHARSET_BINARY && !is_temporal(f->type)) {
		add_json_bytes(out, data, len);
	} else {
		add_json_text(out, data, len);
	}
}

const char *apply_probe_row_json(struct apply_work *w, MYSQL_RES *res, MYSQL_ROW row)
{
	unsigned n = mysql_num_fields(res);
	unsigned long *lengths = mysql_fetch_lengths(res);
	MYSQL_FIELD *fields = mysql_fetch_fields(res);
	struct dia_buf *out = &w->db->json;
	struct dia_slice copy;

	dia_buf_reset(out);
	for (unsigned i = 0; i < n; i++) {
		dia_buf_add_str(out, i == 0 ? "{" : ", ");
		add_json_text(out, fields[i].name, fields[i].name_length);
		dia_buf_add_str(out, ": ");
		add_json_value(out, &fields[i], row[i], lengths[i]);
	}
	dia_buf_add(out, "}", 2); /* with its terminator */
	if (out->failed)
		return NULL;
	copy = dia_arena_dup(&w->arena, dia_buf_slice(out));
	return (const char *)copy.data;
}

/* ---- probes
 * ---------------------------------------------------------------------------- */

static enum dia_rc take_answers(struct apply_work *w, struct apply_known **asked,
	size_t count, struct dia_err *reterr)
{
	MYSQL *mysql = w->db->mysql;

	for (size_t i = 0; i < count;) {
		MYSQL_RES *res = mysql_store_result(mysql);
		MYSQL_ROW row;

		if (res == NULL && mysql_errno(mysql) != 0)
			return dia_mariadb_error(
				mysql, reterr, "reading a row before writing it");
		if (res != NULL) {
			row = mysql_fetch_row(res);
			asked[i]->exists = row != NULL;
			if (row != NULL && asked[i]->want_row) {
				asked[i]->row_json = apply_probe_row_json(w, res, row);
				if (asked[i]->row_json == NULL) {
					mysql_free_result(res);
					/* The rest of the answers would stay unread. */
					return dia_err_set(reterr, DIA_E_DB_GONE, 0,
						"out of memory for a conflict record");
				}
			}
			mysql_free_result(res);
			i++;
		}
		if (i < count && mysql_next_result(mysql) != 0)
			return dia_mariadb_error(
				mysql, reterr, "reading a row before writing it");
	}
	w->db->needs_begin = false;
	return DIA_OK;
}

enum dia_rc apply_probe_known(struct apply_work *w, struct dia_err *reterr)
{
	struct apply_db *db = w->db;
	struct apply_known *asked[PROBES_PER_STATEMENT], *k = w->known;
	enum dia_rc rc = DIA_OK;

	while (rc == DIA_OK && k != NULL) {
		size_t n = 0;

		apply_sql_start(db);
		for (; k != NULL && n < PROBES_PER_STATEMENT && db->sql.len < PROBE_BYTES;
			k = k->hh.next) {
			if (n > 0)
				dia_buf_add_u8(&db->sql, ';');
			rc = add_select(&db->sql, k->source, k->image, k->want_row);
			if (rc != DIA_OK)
				return dia_err_set(reterr, rc, 0,
					"the key of a row of %.*s: %s",
					(int)k->source->table.name.len,
					(const char *)k->source->table.name.data,
					dia_rc_text(rc));
			asked[n++] = k;
		}
		if (db->sql.failed)
			return dia_err_set(
				reterr, DIA_E_NOMEM, 0, "out of memory for a statement");
		if (mysql_real_query(db->mysql, (const char *)db->sql.data,
			    (unsigned long)db->sql.len) != 0)
			return dia_mariadb_error(
				db->mysql, reterr, "reading a row before writing it");
		rc = take_answers(w, asked, n, reterr);
	}
	return rc;
}

enum dia_rc apply_probe_one(struct apply_db *db, struct apply_source *source,
	struct dia_slice image, bool *ret, struct dia_err *reterr)
{
	MYSQL_RES *res;
	enum dia_rc rc;

	apply_sql_start(db);
	rc = add_select(&db->sql, source, image, false);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "the key of a row of %.*s: %s",
			(int)source->table.name.len,
			(const char *)source->table.name.data, dia_rc_text(rc));
	rc = apply_sql_run(db, &res, reterr);
	if (rc != DIA_OK)
		return rc;
	*ret = res != NULL && mysql_num_rows(res) > 0;
	mysql_free_result(res);
	return DIA_OK;
}
