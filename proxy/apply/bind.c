/* proxy/apply/bind.c - matching a schema that arrived with the table here; see source.h.
 */
#include "parser/binlog/collation.h"
#include "proxy/apply/source.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Columns of the query in load_rows. */
enum {
	COL_NAME = 0,
	COL_DATA_TYPE,
	COL_COLUMN_TYPE,
	COL_CHARSET,
	COL_OCTETS,
	COL_PRECISION,
	COL_SCALE,
	COL_FRACTION,
	COL_HAS_DEFAULT,
};

static enum dia_rc load_rows(struct apply_db *db, const struct apply_source *s,
	MYSQL_RES **ret, struct dia_err *reterr)
{
	struct dia_buf *sql = &db->json;
	enum dia_rc rc;

	dia_buf_reset(sql);
	dia_buf_add_str(sql,
		"SELECT COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, CHARACTER_SET_NAME, "
		"CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, "
		"DATETIME_PRECISION, "
		"COLUMN_DEFAULT IS NOT NULL OR IS_NULLABLE='YES' OR EXTRA<>'' "
		"FROM information_schema.COLUMNS WHERE TABLE_SCHEMA=");
	apply_sql_text(sql, s->table.db);
	dia_buf_add_str(sql, " AND TABLE_NAME=");
	apply_sql_text(sql, s->table.name);
	dia_buf_add_str(sql, " ORDER BY ORDINAL_POSITION");
	if (sql->failed)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "out of memory");
	*ret = NULL;
	if (mysql_real_query(
		    db->mysql, (const char *)sql->data, (unsigned long)sql->len) == 0)
		*ret = mysql_store_result(db->mysql);
	if (*ret != NULL)
		return DIA_OK;
	rc = dia_mariadb_error(db->mysql, reterr, "columns of %.*s.%.*s",
		(int)s->table.db.len, (const char *)s->table.db.data,
		(int)s->table.name.len, (const char *)s->table.name.data);
	return rc;
}

static unsigned number_of(MYSQL_ROW row, unsigned field)
{
	return row[field] == NULL ? 0 : (unsigned)strtoul(row[field], NULL, 10);
}

/* Type and metadata that a Table_map of the table here would have for a column that the
 * source lacks. The value itself never stands in an image, but the server wants a type it
 * could convert from. */
static void guess_type(MYSQL_ROW row, struct apply_column *col)
{
	static const struct {
		const char *name;
		uint8_t type;
		uint16_t meta;
	} plain[] = {
		{"tinyint", DIA_TYPE_TINY, 0},
		{"smallint", DIA_TYPE_SHORT, 0},
		{"mediumint", DIA_TYPE_INT24, 0},
		{"int", DIA_TYPE_LONG, 0},
		{"bigint", DIA_TYPE_LONGLONG, 0},
		{"float", DIA_TYPE_FLOAT, 4},
		{"double", DIA_TYPE_DOUBLE, 8},
		{"date", DIA_TYPE_DATE, 0},
		{"year", DIA_TYPE_YEAR, 0},
		{"tinyblob", DIA_TYPE_BLOB, 1},
		{"blob", DIA_TYPE_BLOB, 2},
		{"mediumblob", DIA_TYPE_BLOB, 3},
		{"longblob", DIA_TYPE_BLOB, 4},
		{"tinytext", DIA_TYPE_BLOB, 1},
		{"text", DIA_TYPE_BLOB, 2},
		{"mediumtext", DIA_TYPE_BLOB, 3},
		{"longtext", DIA_TYPE_BLOB, 4},
		{"json", DIA_TYPE_BLOB, 4},
		{"uuid", DIA_TYPE_STRING, 16},
		{"inet6", DIA_TYPE_STRING, 16},
		{"inet4", DIA_TYPE_STRING, 4},
	};
	const char *name = row[COL_DATA_TYPE];

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (strcmp(plain[i].name, name) == 0) {
			col->type = plain[i].type;
			col->meta = plain[i].meta;
			return;
		}
	}
	col->meta = (uint16_t)number_of(row, COL_OCTETS);
	if (strcmp(name, "varchar") == 0 || strcmp(name, "varbinary") == 0) {
		col->type = DIA_TYPE_VARCHAR;
	} else if (strcmp(name, "char") == 0 || strcmp(name, "binary") == 0) {
		col->type = DIA_TYPE_STRING;
	} else if (strcmp(name, "decimal") == 0) {
		col->type = DIA_TYPE_NEWDECIMAL;
		col->meta = (uint16_t)(number_of(row, COL_PRECISION) << 8 |
				       number_of(row, COL_SCALE));
	} else if (strcmp(name, "bit") == 0) {
		unsigned bits = number_of(row, COL_PRECISION);

		col->type = DIA_TYPE_BIT;
		col->meta = (uint16_t)(bits / 8 << 8 | bits % 8);
	} else if (strcmp(name, "time") == 0) {
		col->type = DIA_TYPE_TIME2;
		col->meta = (uint16_t)number_of(row, COL_FRACTION);
	} else if (strcmp(name, "datetime") == 0) {
		col->type = DIA_TYPE_DATETIME2;
		col->meta = (uint16_t)number_of(row, COL_FRACTION);
	} else if (strcmp(name, "timestamp") == 0) {
		col->type = DIA_TYPE_TIMESTAMP2;
		col->meta = (uint16_t)number_of(row, COL_FRACTION);
	} else if (strcmp(name, "enum") == 0) {
		col->type = DIA_TYPE_ENUM;
		col->meta = 1;
	} else if (strcmp(name, "set") == 0) {
		col->type = DIA_TYPE_SET;
		col->meta = 1;
	} else {
		col->type = DIA_TYPE_GEOMETRY;
		col->meta = 4;
	}
}

static bool is_integer(uint8_t type)
{
	return type == DIA_TYPE_TINY || type == DIA_TYPE_SHORT ||
	       type == DIA_TYPE_INT24 || type == DIA_TYPE_LONG ||
	       type == DIA_TYPE_LONGLONG;
}

/* Whether the source's list of names is the beginning of the one in COLUMN_TYPE, so that
 * the numbers in its rows mean the same here. */
static bool names_agree(const struct dia_column *from, const char *column_type)
{
	const char *p = strchr(column_type, '(');

	for (uint32_t i = 0; i < from->value_count; i++) {
		struct dia_slice name = from->values[i];
		size_t at = 0;

		if (p == NULL || (*p != '(' && *p != ',') || p[1] != '\'')
			return false;
		for (p += 2; *p != '\0'; p++, at++) {
			if (*p == '\'' && *++p != '\'')
				break;
			if (at >= name.len || name.data[at] != (uint8_t)*p)
				return false;
		}
		if (at != name.len)
			return false;
	}
	return true;
}

static bool charset_check(
	const struct dia_column *from, const char *here, enum apply_value_check *ret)
{
	struct dia_collation collation;
	bool text = dia_collation_find(from->collation, &collation) &&
		    collation.charset != DIA_CHARSET_BINARY;
	const char *there =
		text ? dia_charset_name((enum dia_charset)collation.charset) : NULL;

	if (there == NULL || from->collation == 0)
		return here == NULL || from->collation == 0;
	if (here == NULL)
		return false;
	if (strcmp(here, "utf8") == 0)
		here = "utf8mb3";
	if (strcmp(there, here) == 0 || (collation.charset == DIA_CHARSET_UTF8MB3 &&
						strcmp(here, "utf8mb4") == 0))
		return true;
	if (dia_charset_unit((enum dia_charset)collation.charset) != 1 ||
		strncmp(here, "utf16", 5) == 0 || strcmp(here, "ucs2") == 0 ||
		strcmp(here, "utf32") == 0)
		return false;
	*ret = collation.charset == DIA_CHARSET_UTF8MB4 && strcmp(here, "utf8mb3") == 0
		       ? APPLY_CHECK_BMP
		       : APPLY_CHECK_ASCII;
	return true;
}

/* How a column of the source goes into the one here. What is left to the server: whether
 * the types convert (slave_type_conversions; it refuses, and the row is parked). */
static bool match_column(const struct dia_column *from, MYSQL_ROW row, uint8_t *check)
{
	enum apply_value_check what = APPLY_CHECK_NONE;
	bool ok = true;

	if (from->type == DIA_TYPE_ENUM || from->type == DIA_TYPE_SET) {
		bool same = strcmp(row[COL_DATA_TYPE],
				    from->type == DIA_TYPE_ENUM ? "enum" : "set") == 0;
		struct dia_collation collation;
		bool utf8 = dia_collation_find(from->collation, &collation) &&
			    (collation.charset == DIA_CHARSET_UTF8MB4 ||
				    collation.charset == DIA_CHARSET_UTF8MB3);

		/* COLUMN_TYPE is utf8; names in other character sets are not compared. */
		ok = same && (!utf8 || names_agree(from, row[COL_COLUMN_TYPE]));
	} else if (is_integer(from->type)) {
		bool here_unsigned = strstr(row[COL_COLUMN_TYPE], "unsigned") != NULL;

		if (from->is_unsigned != here_unsigned)
			what = APPLY_CHECK_TOP_BIT;
	} else {
		ok = charset_check(from, row[COL_CHARSET], &what);
	}
	*check = (uint8_t)what;
	return ok;
}

static void never(struct apply_source *s, const char *what, const char *column)
{
	s->fit = APPLY_FIT_NEVER;
	(void)snprintf(s->why, sizeof(s->why), "column %.80s: %s", column, what);
}

static bool bind_column(
	struct apply_source *s, MYSQL_ROW row, uint32_t at, struct apply_column *col)
{
	struct dia_slice name = dia_slice_str(row[COL_NAME]);

	col->name = dia_arena_dup(&s->bind_arena, name);
	col->has_default = number_of(row, COL_HAS_DEFAULT) != 0;
	col->from = dia_table_column_find(&s->table, name);
	if (col->name.data == NULL)
		return false;
	if (col->from != (int)at)
		s->fit = s->fit == APPLY_FIT_RAW ? APPLY_FIT_REMAP : s->fit;
	if (col->from < 0) {
		guess_type(row, col);
		return true;
	}
	col->type = s->table.columns[col->from].type;
	col->meta = s->table.columns[col->from].meta;
	if (!match_column(&s->table.columns[col->from], row, &s->checks[col->from]))
		never(s, "its type or character set there cannot be written here",
			row[COL_NAME]);
	s->has_checks |= s->checks[col->from] != APPLY_CHECK_NONE;
	return true;
}

static void report(struct apply_db *db, struct apply_source *s)
{
	char table[300], why[300];

	if (s->reported || s->fit == APPLY_FIT_RAW)
		return;
	s->reported = true;
	(void)snprintf(table, sizeof(table), "%.*s.%.*s", (int)s->table.db.len,
		(const char *)s->table.db.data, (int)s->table.name.len,
		(const char *)s->table.name.data);
	if (s->fit == APPLY_FIT_REMAP)
		dia_log(DIA_LOG_WARN, "apply", "columns_differ",
			"dc=%s table=%s columns_there=%u columns_here=%u",
			db->c.origin_name, dia_log_quote(why, sizeof(why), table),
			s->table.column_count, s->column_count);
	else
		dia_log(DIA_LOG_ERROR, "apply",
			s->fit == APPLY_FIT_MISSING ? "table_missing" : "columns_unfit",
			"dc=%s table=%s.%s reason=%s remedy=\"make the table as it is in "
			"%s; "
			"the rows are in diarchy.conflicts\"",
			db->c.origin_name, "", table,
			dia_log_quote(why, sizeof(why), s->why), db->c.origin_name);
}

/* A key column missing here would let one row overwrite another. */
static void check_key(struct apply_source *s)
{
	for (uint32_t i = 0; i < s->table.pk_count; i++) {
		bool found = false;

		for (uint32_t j = 0; j < s->column_count; j++)
			found |= s->columns[j].from == (int)s->table.pk[i];
		if (!found)
			never(s, "part of the key, and not in the table here",
				"of the primary key");
	}
}

static enum dia_rc bind_rows(
	struct apply_source *s, MYSQL_RES *res, struct dia_err *reterr)
{
	uint32_t count = (uint32_t)mysql_num_rows(res);
	MYSQL_ROW row;

	dia_arena_reset(&s->bind_arena);
	s->children = NULL;
	s->child_count = 0;
	s->fit = count == 0 ? APPLY_FIT_MISSING : APPLY_FIT_RAW;
	s->why[0] = '\0';
	s->has_checks = false;
	s->column_count = count;
	s->columns = dia_arena_zalloc(&s->bind_arena, count + 1, sizeof(*s->columns));
	s->checks = dia_arena_zalloc(&s->bind_arena, s->table.column_count, 1);
	if (s->columns == NULL || s->checks == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a table's columns");
	if (count == 0) {
		(void)snprintf(s->why, sizeof(s->why), "no such table here");
		return DIA_OK;
	}
	if (s->table.column_count != count)
		s->fit = APPLY_FIT_REMAP;
	for (uint32_t i = 0; i < count && (row = mysql_fetch_row(res)) != NULL; i++)
		if (!bind_column(s, row, i, &s->columns[i]))
			return dia_err_set(reterr, DIA_E_NOMEM, 0,
				"out of memory for a table's columns");
	if (s->fit == APPLY_FIT_REMAP)
		check_key(s);
	return DIA_OK;
}

enum dia_rc apply_source_bind(
	struct apply_db *db, struct apply_source *source, struct dia_err *reterr)
{
	uint64_t now = atomic_load(db->c.schema_generation);
	enum apply_fit before = source->fit;
	MYSQL_RES *res;
	enum dia_rc rc;

	if (source->bound && source->bound_generation == now)
		return DIA_OK;
	source->bound = false;
	rc = load_rows(db, source, &res, reterr);
	if (rc != DIA_OK)
		return rc;
	rc = bind_rows(source, res, reterr);
	mysql_free_result(res);
	if (rc != DIA_OK)
		return rc;
	source->bound = true;
	source->bound_generation = now;
	source->reported &= before == source->fit;
	report(db, source);
	return DIA_OK;
}

static bool value_passes(
	uint8_t check, const struct dia_column *col, struct dia_slice packed)
{
	switch ((enum apply_value_check)check) {
	case APPLY_CHECK_NONE:
		return true;
	case APPLY_CHECK_TOP_BIT:
		return packed.len == 0 || (packed.data[packed.len - 1] & 0x80) == 0;
	case APPLY_CHECK_ASCII:
	case APPLY_CHECK_BMP: {
		/* Length bytes in front are no text. */
		size_t skip =
			col->type == DIA_TYPE_VARCHAR || col->type == DIA_TYPE_STRING
				? (col->meta > 255 ? 2 : 1)
				: col->meta;
		uint8_t limit = check == APPLY_CHECK_ASCII ? 0x80 : 0xf0;

		for (size_t i = skip; i < packed.len; i++)
			if (packed.data[i] >= limit)
				return false;
		return true;
	}
	}
	return true;
}

bool apply_source_holds(
	const struct apply_source *source, struct dia_slice image, uint32_t *ret_column)
{
	const struct dia_table *t = &source->table;
	struct dia_cursor c = dia_cursor_of(image);
	const uint8_t *nulls = dia_cursor_take(&c, (t->column_count + 7) / 8);

	if (!source->has_checks || nulls == NULL)
		return true;
	for (uint32_t i = 0; i < t->column_count; i++) {
		if ((nulls[i / 8] >> (i % 8) & 1) != 0)
			continue;
		if (!value_passes(source->checks[i], &t->columns[i],
			    dia_value_take(&t->columns[i], &c))) {
			*ret_column = i;
			return false;
		}
	}
	return true;
}
