/* parser/binlog/table_meta.c - see table_meta.h. */
#include "parser/binlog/table_meta.h"

/* MariaDB documentation, TABLE_MAP_EVENT, "Optional metadata". */
enum {
	META_SIGNEDNESS = 1,
	META_DEFAULT_CHARSET = 2,
	META_COLUMN_CHARSET = 3,
	META_COLUMN_NAME = 4,
	META_SET_VALUES = 5,
	META_ENUM_VALUES = 6,
	META_SIMPLE_PRIMARY_KEY = 8,
	META_PRIMARY_KEY_WITH_PREFIX = 9,
	META_ENUM_SET_DEFAULT_CHARSET = 10,
	META_ENUM_SET_COLUMN_CHARSET = 11,

	ENUM_VALUES_MAX = 65535,
	SET_VALUES_MAX = 64,
};

typedef bool (*column_is_cb)(const struct dia_column *col);

static bool is_numeric(const struct dia_column *col)
{
	switch (col->type) {
	case DIA_TYPE_TINY:
	case DIA_TYPE_SHORT:
	case DIA_TYPE_INT24:
	case DIA_TYPE_LONG:
	case DIA_TYPE_LONGLONG:
	case DIA_TYPE_FLOAT:
	case DIA_TYPE_DOUBLE:
	case DIA_TYPE_NEWDECIMAL:
	case DIA_TYPE_YEAR:
		return true;
	default:
		return false;
	}
}

/* Columns that the charset lists count: GEOMETRY, UUID and INET ones too, as binary. */
static bool is_text(const struct dia_column *col)
{
	switch (col->type) {
	case DIA_TYPE_STRING:
	case DIA_TYPE_VAR_STRING:
	case DIA_TYPE_VARCHAR:
	case DIA_TYPE_VARCHAR_COMPRESSED:
	case DIA_TYPE_TINY_BLOB:
	case DIA_TYPE_MEDIUM_BLOB:
	case DIA_TYPE_LONG_BLOB:
	case DIA_TYPE_BLOB:
	case DIA_TYPE_BLOB_COMPRESSED:
	case DIA_TYPE_GEOMETRY:
		return true;
	default:
		return false;
	}
}

static bool is_enum(const struct dia_column *col)
{
	return col->type == DIA_TYPE_ENUM;
}

static bool is_set(const struct dia_column *col)
{
	return col->type == DIA_TYPE_SET;
}

static bool is_enum_or_set(const struct dia_column *col)
{
	return is_enum(col) || is_set(col);
}

static void parse_signedness(struct dia_cursor *c, struct dia_table *t)
{
	unsigned bit = 0;
	uint8_t bits = 0;

	for (uint32_t i = 0; i < t->column_count; i++) {
		if (!is_numeric(&t->columns[i]))
			continue;
		if (bit % 8 == 0)
			bits = dia_cursor_u8(c);
		t->columns[i].is_unsigned = (bits >> (7 - bit % 8) & 1) != 0;
		bit++;
	}
}

static uint16_t take_collation(struct dia_cursor *c)
{
	uint64_t id = dia_cursor_lenenc(c);

	if (id > UINT16_MAX) {
		c->bad = true;
		return 0;
	}
	return (uint16_t)id;
}

/* The default, then pairs (number among the columns of this kind, collation). */
static void parse_default_charset(
	struct dia_cursor *c, struct dia_table *t, column_is_cb is)
{
	uint16_t def = take_collation(c);
	uint32_t col = 0;
	uint64_t ordinal = 0;

	for (uint32_t i = 0; i < t->column_count; i++) {
		if (is(&t->columns[i]))
			t->columns[i].collation = def;
	}
	/* Pairs come in ascending order, so one walk over the columns places them all. */
	while (!c->bad && dia_cursor_left(c) > 0) {
		uint64_t want = dia_cursor_lenenc(c);
		uint16_t collation = take_collation(c);

		for (; col < t->column_count; col++) {
			if (is(&t->columns[col]) && ordinal++ == want)
				break;
		}
		if (col == t->column_count) {
			c->bad = true;
			return;
		}
		t->columns[col++].collation = collation;
	}
}

static void parse_column_charset(
	struct dia_cursor *c, struct dia_table *t, column_is_cb is)
{
	for (uint32_t i = 0; i < t->column_count; i++) {
		if (is(&t->columns[i]))
			t->columns[i].collation = take_collation(c);
	}
}

static void parse_names(struct dia_cursor *c, struct dia_table *t)
{
	for (uint32_t i = 0; i < t->column_count; i++)
		t->columns[i].name = dia_cursor_lenenc_slice(c);
	t->has_names = !c->bad;
}

static void parse_values(struct dia_cursor *c, struct dia_table *t,
	struct dia_arena *arena, column_is_cb is, uint32_t max)
{
	for (uint32_t i = 0; i < t->column_count; i++) {
		struct dia_column *col = &t->columns[i];
		uint64_t count;

		if (!is(col))
			continue;
		count = dia_cursor_lenenc(c);
		/* Each value takes a byte at least: nothing is allocated on a count's
		 * word. */
		if (count > max || count > dia_cursor_left(c)) {
			c->bad = true;
			return;
		}
		col->value_count = (uint32_t)count;
		col->values =
			dia_arena_zalloc(arena, col->value_count, sizeof(*col->values));
		if (col->values == NULL && count > 0) {
			c->bad = true;
			return;
		}
		for (uint32_t v = 0; v < col->value_count; v++)
			col->values[v] = dia_cursor_lenenc_slice(c);
	}
}

static void parse_primary_key(struct dia_cursor *c, struct dia_table *t,
	struct dia_arena *arena, bool with_prefix)
{
	/* A key may not name a column twice, so the columns bound it. */
	uint32_t *pk = dia_arena_zalloc(arena, t->column_count, sizeof(*pk));
	uint32_t count = 0;

	if (pk == NULL || t->pk_count > 0) {
		c->bad = true;
		return;
	}
	while (!c->bad && dia_cursor_left(c) > 0) {
		uint64_t col = dia_cursor_lenenc(c);
		uint64_t prefix = with_prefix ? dia_cursor_lenenc(c) : 0;

		if (c->bad || col >= t->column_count || t->columns[col].in_pk ||
			prefix > UINT16_MAX) {
			c->bad = true;
			return;
		}
		t->columns[col].in_pk = true;
		t->columns[col].pk_prefix_chars = (uint32_t)prefix;
		pk[count++] = (uint32_t)col;
	}
	t->pk = pk;
	t->pk_count = count;
}

/* One value, all of which is at c. */
static void parse_one(
	uint8_t type, struct dia_cursor *c, struct dia_table *t, struct dia_arena *arena)
{
	switch (type) {
	case META_SIGNEDNESS:
		parse_signedness(c, t);
		break;
	case META_DEFAULT_CHARSET:
		parse_default_charset(c, t, is_text);
		break;
	case META_COLUMN_CHARSET:
		parse_column_charset(c, t, is_text);
		break;
	case META_COLUMN_NAME:
		parse_names(c, t);
		break;
	case META_SET_VALUES:
		parse_values(c, t, arena, is_set, SET_VALUES_MAX);
		break;
	case META_ENUM_VALUES:
		parse_values(c, t, arena, is_enum, ENUM_VALUES_MAX);
		break;
	case META_SIMPLE_PRIMARY_KEY:
		parse_primary_key(c, t, arena, false);
		break;
	case META_PRIMARY_KEY_WITH_PREFIX:
		parse_primary_key(c, t, arena, true);
		break;
	case META_ENUM_SET_DEFAULT_CHARSET:
		parse_default_charset(c, t, is_enum_or_set);
		break;
	case META_ENUM_SET_COLUMN_CHARSET:
		parse_column_charset(c, t, is_enum_or_set);
		break;
	default: /* of a later server: nothing we need to know */
		break;
	}
}

enum dia_parse dia_table_meta_parse(
	struct dia_cursor *c, struct dia_arena *arena, struct dia_table *ret)
{
	while (!c->bad && dia_cursor_left(c) > 0) {
		uint8_t type = dia_cursor_u8(c);
		struct dia_cursor value = dia_cursor_of(dia_cursor_lenenc_slice(c));

		if (c->bad)
			break;
		parse_one(type, &value, ret, arena);
		if (value.bad)
			return DIA_PARSE_BAD;
	}
	return c->bad ? DIA_PARSE_BAD : DIA_PARSE_OK;
}
