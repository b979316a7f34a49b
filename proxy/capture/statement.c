/* proxy/capture/statement.c - see statement.h. */
#include "proxy/capture/statement.h"

#include "parser/sql/lexer.h"

enum {
	SQL_MODE_ANSI_QUOTES = 0x4,
	SQL_MODE_NO_BACKSLASH_ESCAPES = 0x100000,
	MODIFIERS_MAX = 64, /* tokens between CREATE and what is created */
};

struct reader {
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;
	uint32_t flags;
	struct dia_slice default_db;
	struct dia_arena *arena;
	struct dia_statement *out;
	enum dia_rc rc;
};

static void advance(struct reader *r)
{
	(void)dia_sql_lex_next(&r->lexer, &r->tok);
}

static bool is(const struct reader *r, const char *word)
{
	return dia_sql_token_is(&r->tok, word);
}

static bool skip(struct reader *r, const char *word)
{
	if (!is(r, word))
		return false;
	advance(r);
	return true;
}

static bool is_one_of(const struct reader *r, const char *const *words)
{
	for (; *words != NULL; words++)
		if (is(r, *words))
			return true;
	return false;
}

/* Ids of collations of big5, gbk, sjis, cp932, where a quote or backslash may be half of
 * a character (MariaDB documentation, "Supported character sets and collations"; NOPAD
 * forms are 1024 higher). */
static bool is_multibyte(uint16_t collation)
{
	switch (collation & 1023) {
	case 1:
	case 13:
	case 28:
	case 84:
	case 87:
	case 88:
	case 95:
	case 96:
		return true;
	default:
		return false;
	}
}

static struct dia_slice take_identifier(struct reader *r)
{
	struct dia_slice name = r->tok.body;

	if (r->tok.kind != DIA_SQL_WORD && r->tok.kind != DIA_SQL_QUOTED)
		return dia_slice_of(NULL, 0);
	if (r->tok.escaped) {
		uint8_t *copy = dia_arena_alloc(r->arena, name.len + 1);

		if (copy == NULL)
			r->rc = DIA_E_NOMEM;
		else
			name = dia_slice_of(
				copy, dia_sql_token_unquote(&r->tok, r->flags, copy));
	}
	advance(r);
	return name;
}

/* name, or db.name; false when there is none. */
static bool take_name(struct reader *r)
{
	struct dia_statement_name n = {.db = r->default_db};
	struct dia_statement *out = r->out;

	n.name = take_identifier(r);
	if (n.name.len == 0)
		return false;
	if (dia_sql_token_is_ch(&r->tok, '.')) {
		advance(r);
		n.db = n.name;
		n.name = take_identifier(r);
	}
	if (out->name_count < DIA_STATEMENT_NAMES_MAX)
		out->names[out->name_count++] = n;
	return true;
}

static void skip_if_exists(struct reader *r)
{
	if (!skip(r, "IF"))
		return;
	(void)skip(r, "NOT");
	(void)skip(r, "EXISTS");
}

static void take_name_list(struct reader *r)
{
	while (take_name(r)) {
		/* RENAME TABLE a [WAIT n] TO b: both names matter. */
		while (!dia_sql_token_is_ch(&r->tok, ',') && !is(r, "TO") &&
			r->tok.kind != DIA_SQL_EOF && r->tok.kind != DIA_SQL_SEMICOLON)
			advance(r);
		if (!dia_sql_token_is_ch(&r->tok, ',') && !is(r, "TO"))
			break;
		advance(r);
	}
}

/* DEFINER = account: the account may be spelt like any keyword. */
static void skip_definer(struct reader *r)
{
	advance(r);
	/* SQL SECURITY DEFINER has no account behind it. */
	if (!dia_sql_token_is_ch(&r->tok, '='))
		return;
	advance(r);
	advance(r);
	if (dia_sql_token_is_ch(&r->tok, '(')) {
		advance(r);
		advance(r);
	} else if (r->tok.kind == DIA_SQL_USER_VAR) {
		advance(r);
	}
}

static void database_name(struct reader *r)
{
	skip_if_exists(r);
	/* ALTER DATABASE may leave the name out. */
	if (is(r, "DEFAULT") || is(r, "CHARACTER") || is(r, "CHARSET") ||
		is(r, "COLLATE") || is(r, "COMMENT") || !take_name(r)) {
		r->out->names[0] = (struct dia_statement_name){.db = r->default_db};
		r->out->name_count = 1;
		return;
	}
	r->out->names[0].db = r->out->names[0].name;
	r->out->names[0].name = dia_slice_of(NULL, 0);
}

/* The table behind ON of CREATE/DROP INDEX and CREATE TRIGGER. */
static void table_after_on(struct reader *r)
{
	skip_if_exists(r);
	if (take_identifier(r).len > 0 && dia_sql_token_is_ch(&r->tok, '.')) {
		advance(r);
		(void)take_identifier(r);
	}
	while (!is(r, "ON") && r->tok.kind != DIA_SQL_EOF)
		advance(r);
	advance(r);
	(void)take_name(r);
}

/* At the word that says what is created, altered, dropped or renamed. */
static enum dia_statement_kind object(struct reader *r, bool temporary, bool dropping)
{
	static const char *const tables[] = {"TABLE", "TABLES", "VIEW", "SEQUENCE", NULL};
	static const char *const routines[] = {
		"PROCEDURE", "FUNCTION", "EVENT", "PACKAGE", NULL};
	static const char *const accounts[] = {"USER", "ROLE", NULL};

	if (is_one_of(r, tables)) {
		bool list = dropping || is(r, "TABLES");

		advance(r);
		skip_if_exists(r);
		if (list)
			take_name_list(r);
		else
			(void)take_name(r);
		return temporary ? DIA_STATEMENT_HOUSEKEEPING : DIA_STATEMENT_TABLE_DDL;
	}
	if (is_one_of(r, accounts))
		return DIA_STATEMENT_ACCOUNTS;
	if (skip(r, "INDEX")) {
		table_after_on(r);
		return DIA_STATEMENT_TABLE_DDL;
	}
	if (is_one_of(r, routines)) {
		if (skip(r, "PACKAGE"))
			(void)skip(r, "BODY");
		else
			advance(r);
		skip_if_exists(r);
		(void)take_name(r);
		return DIA_STATEMENT_SCHEMA_DDL;
	}
	if (skip(r, "TRIGGER")) {
		skip_if_exists(r);
		(void)take_name(r);
		return DIA_STATEMENT_SCHEMA_DDL;
	}
	if (skip(r, "DATABASE") || skip(r, "SCHEMA")) {
		database_name(r);
		return DIA_STATEMENT_DATABASE_DDL;
	}
	return DIA_STATEMENT_UNKNOWN;
}

static enum dia_statement_kind ddl(struct reader *r, bool dropping)
{
	bool temporary = false;

	for (int i = 0; i < MODIFIERS_MAX && r->tok.kind != DIA_SQL_EOF; i++) {
		enum dia_statement_kind kind;

		if (is(r, "DEFINER")) {
			skip_definer(r);
			continue;
		}
		temporary = temporary || is(r, "TEMPORARY");
		kind = object(r, temporary, dropping);
		if (kind != DIA_STATEMENT_UNKNOWN)
			return kind;
		advance(r);
	}
	return DIA_STATEMENT_UNKNOWN;
}

static enum dia_statement_kind xa(struct reader *r)
{
	if (is(r, "COMMIT"))
		return DIA_STATEMENT_XA_COMMIT;
	if (is(r, "ROLLBACK"))
		return DIA_STATEMENT_XA_ROLLBACK;
	return DIA_STATEMENT_XA_BODY;
}

static enum dia_statement_kind rollback(struct reader *r)
{
	(void)skip(r, "WORK");
	if (!skip(r, "TO"))
		return DIA_STATEMENT_ROLLBACK;
	(void)skip(r, "SAVEPOINT");
	(void)take_name(r);
	return DIA_STATEMENT_ROLLBACK_TO;
}

static enum dia_statement_kind set(struct reader *r)
{
	if (is(r, "PASSWORD") || is(r, "DEFAULT") || is(r, "ROLE"))
		return DIA_STATEMENT_ACCOUNTS;
	return DIA_STATEMENT_DML;
}

/* The table a statement-format change names first: enough to report it by. */
static enum dia_statement_kind dml(struct reader *r)
{
	static const char *const before_name[] = {"INTO", "FROM", "TABLE", NULL};
	bool update = is(r, "UPDATE"), insert = is(r, "INSERT") || is(r, "REPLACE");

	advance(r);
	if (update || insert) {
		while (is(r, "LOW_PRIORITY") || is(r, "HIGH_PRIORITY") ||
			is(r, "IGNORE") || is(r, "DELAYED") || is(r, "INTO"))
			advance(r);
		(void)take_name(r);
		return DIA_STATEMENT_DML;
	}
	while (r->tok.kind != DIA_SQL_EOF && !is_one_of(r, before_name))
		advance(r);
	advance(r);
	(void)take_name(r);
	return DIA_STATEMENT_DML;
}

static enum dia_statement_kind classify(struct reader *r)
{
	static const char *const data[] = {"INSERT", "UPDATE", "DELETE", "REPLACE",
		"LOAD", "CALL", "DO", "SELECT", "WITH", "VALUES", "HANDLER", NULL};
	static const char *const housekeeping[] = {"FLUSH", "ANALYZE", "OPTIMIZE",
		"REPAIR", "CHECK", "CHECKSUM", "CACHE", "RESET", "PURGE", "RELEASE",
		"LOCK", "UNLOCK", "KILL", "BINLOG", "CHANGE", "START", NULL};

	if (skip(r, "BEGIN"))
		return DIA_STATEMENT_BEGIN;
	if (skip(r, "COMMIT"))
		return DIA_STATEMENT_COMMIT;
	if (skip(r, "ROLLBACK"))
		return rollback(r);
	if (skip(r, "SAVEPOINT")) {
		(void)take_name(r);
		return DIA_STATEMENT_SAVEPOINT;
	}
	if (skip(r, "XA"))
		return xa(r);
	if (is(r, "CREATE") || is(r, "ALTER") || is(r, "DROP") || is(r, "RENAME")) {
		bool dropping = is(r, "DROP") || is(r, "RENAME");

		advance(r);
		return ddl(r, dropping);
	}
	if (skip(r, "TRUNCATE")) {
		(void)skip(r, "TABLE");
		(void)take_name(r);
		return DIA_STATEMENT_TABLE_DDL;
	}
	if (is(r, "GRANT") || is(r, "REVOKE"))
		return DIA_STATEMENT_ACCOUNTS;
	if (skip(r, "SET")) {
		if (!is(r, "STATEMENT"))
			return set(r);
		while (r->tok.kind != DIA_SQL_EOF && !is(r, "FOR"))
			advance(r);
		advance(r);
		return is(r, "SET") ? DIA_STATEMENT_DML : classify(r);
	}
	if (is_one_of(r, housekeeping))
		return DIA_STATEMENT_HOUSEKEEPING;
	if (is_one_of(r, data))
		return dml(r);
	return DIA_STATEMENT_UNKNOWN;
}

enum dia_rc dia_statement_classify(const struct dia_query_event *query,
	struct dia_arena *arena, struct dia_statement *ret)
{
	struct reader r = {
		.default_db = query->db, .arena = arena, .out = ret, .rc = DIA_OK};

	ret->kind = DIA_STATEMENT_UNKNOWN;
	ret->name_count = 0;
	if ((query->sql_mode & SQL_MODE_ANSI_QUOTES) != 0)
		r.flags |= DIA_SQL_ANSI_QUOTES;
	if ((query->sql_mode & SQL_MODE_NO_BACKSLASH_ESCAPES) != 0)
		r.flags |= DIA_SQL_NO_BACKSLASH_ESCAPES;
	if (is_multibyte(query->client_charset))
		r.flags |= DIA_SQL_MULTIBYTE;
	dia_sql_lex_init(&r.lexer, query->sql, r.flags);
	advance(&r);
	ret->kind = classify(&r);
	return r.rc;
}
