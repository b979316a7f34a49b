/* parser/sql/guard_set.c - see guard_set.h. */
#include "parser/sql/guard_set.h"

/* proxy/core/change.h, DIA_RESERVED_ID_BASE and DIA_DC_MAX; test_sql_guard.c holds them
 * equal. */
static const uint64_t reserved_first = 3516923904, reserved_last = 3516923904 + 63;

/* A value that is one token, and what it says. */
struct value {
	struct dia_sql_token tok;
	bool single;
	bool global; /* GLOBAL was written before it in the list */
};

static bool says(const struct value *v, const char *text)
{
	struct dia_sql_token word = v->tok;

	if (!v->single)
		return false;
	if (word.kind == DIA_SQL_STRING || word.kind == DIA_SQL_INTEGER)
		word.kind = DIA_SQL_WORD;
	return word.kind == DIA_SQL_WORD && !word.escaped &&
	       dia_sql_token_names(&word, text);
}

static bool is_on(const struct value *v)
{
	return says(v, "1") || says(v, "on") || says(v, "true") || says(v, "default");
}

static bool is_off(const struct value *v)
{
	return says(v, "0") || says(v, "off") || says(v, "false") || says(v, "default");
}

/* DEFAULT is the server's own value, which `diarchy check` has found to be right; at
 * GLOBAL it is what the server was compiled with, MIXED. */
static bool is_row(const struct value *v)
{
	return says(v, "row") || says(v, "2") || (says(v, "default") && !v->global);
}

static bool is_full(const struct value *v)
{
	return says(v, "full") || says(v, "2") || says(v, "default");
}

/* DEFAULT is NO_LOG. */
static bool is_full_metadata(const struct value *v)
{
	return says(v, "full") || says(v, "2");
}

static bool is_own_id(const struct value *v)
{
	uint64_t id = 0;

	if (says(v, "default"))
		return true;
	if (!v->single || v->tok.kind != DIA_SQL_INTEGER)
		return false;
	for (size_t i = 0; i < v->tok.body.len; i++) {
		if (id > UINT32_MAX)
			break; /* the server cuts it to its maximum, which is not ours */
		id = id * 10 + (uint64_t)(v->tok.body.data[i] - '0');
	}
	return id < reserved_first || id > reserved_last;
}

static bool never(const struct value *v)
{
	(void)v;
	return false;
}

static const struct watched {
	const char *name;
	bool (*harmless)(const struct value *v);
	uint16_t error;
	const char *message;
} watched[] = {
	{"sql_log_bin", is_on, 1227,
		"diarchy: with sql_log_bin off the writes of this session would never "
		"reach the other "
		"datacenter; leave it ON, or connect to the database directly for work "
		"that must "
		"stay in this datacenter"},
	{"binlog_format", is_row, 1231,
		"diarchy: rows are replicated from the binary log, which needs "
		"binlog_format=ROW; "
		"leave it at ROW"},
	{"binlog_row_image", is_full, 1231,
		"diarchy: merging needs complete row images in the binary log; leave "
		"binlog_row_image at FULL"},
	{"binlog_row_metadata", is_full_metadata, 1231,
		"diarchy: columns are matched by name, which needs "
		"binlog_row_metadata=FULL; leave "
		"it at FULL"},
	{"skip_replication", is_off, 1227,
		"diarchy: with skip_replication the writes of this session would never "
		"reach the "
		"other datacenter; leave it OFF"},
	{"gtid_domain_id", is_own_id, 1227,
		"diarchy: gtid_domain_id 3516923904 to 3516923967 mark writes that came "
		"from another "
		"datacenter and would not be sent; set a plain number outside that "
		"range"},
	{"server_id", is_own_id, 1227,
		"diarchy: server_id 3516923904 to 3516923967 mark writes that came from "
		"another "
		"datacenter and would not be sent; set a plain number outside that "
		"range"},
	{"gtid_binlog_state", never, 1227,
		"diarchy: with another gtid_binlog_state the place up to which writes "
		"were sent to the other datacenter is lost; leave it, or stop diarchy "
		"and "
		"connect to the database directly when this datacenter is being set up "
		"anew"},
};

static const struct watched *find_watched(const struct dia_sql_token *tok)
{
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		if (dia_sql_token_names(tok, watched[i].name))
			return &watched[i];
	return NULL;
}

bool dia_guard_is_watched(const struct dia_sql_token *tok)
{
	return find_watched(tok) != NULL;
}

static struct dia_guard_verdict judge(const struct watched *w, const struct value *v)
{
	if (w == NULL || w->harmless(v))
		return (struct dia_guard_verdict){.kind = DIA_GUARD_PASS};
	return (struct dia_guard_verdict){.kind = DIA_GUARD_REFUSE,
		.error = w->error,
		.sqlstate = "42000",
		.message = w->message};
}

static bool is_end(const struct dia_sql_token *tok, bool statement)
{
	return tok->kind == DIA_SQL_EOF || tok->kind == DIA_SQL_SEMICOLON ||
	       (statement && dia_sql_token_is(tok, "FOR"));
}

/* tok is the first of a value. Leaves it on the comma or end behind. */
static struct value read_value(
	struct dia_sql_lexer *lexer, struct dia_sql_token *tok, bool statement)
{
	struct value v = {.tok = *tok};
	size_t tokens = 0;
	int open = 0;

	while (tok->kind != DIA_SQL_EOF && tok->kind != DIA_SQL_SEMICOLON) {
		if (open == 0 &&
			(dia_sql_token_is_ch(tok, ',') || is_end(tok, statement)))
			break;
		if (dia_sql_token_is_ch(tok, '('))
			open++;
		else if (dia_sql_token_is_ch(tok, ')') && open > 0)
			open--;
		tokens++;
		(void)dia_sql_lex_next(lexer, tok);
	}
	v.single = tokens == 1;
	return v;
}

static bool assigns(const struct dia_sql_token *tok)
{
	return tok->kind == DIA_SQL_ASSIGN || dia_sql_token_is_ch(tok, '=');
}

struct dia_guard_verdict dia_guard_check_set(
	struct dia_sql_lexer *lexer, struct dia_sql_token *tok, struct dia_guard_set *ret)
{
	struct dia_guard_verdict verdict = {.kind = DIA_GUARD_PASS};
	bool statement = false, global = false;

	if (dia_sql_token_is(tok, "STATEMENT")) {
		statement = true;
		(void)dia_sql_lex_next(lexer, tok);
	}
	while (!is_end(tok, statement) && verdict.kind == DIA_GUARD_PASS) {
		struct dia_sql_token name = *tok, first = *tok;
		const struct watched *w = NULL;
		struct value v;
		bool plain = true;

		/* [scope] [@@] [scope .] name: the last word before the sign is the name.
		 */
		for (; !is_end(tok, statement) && !assigns(tok) &&
			!dia_sql_token_is_ch(tok, ',');
			(void)dia_sql_lex_next(lexer, tok)) {
			if (dia_sql_token_is(tok, "GLOBAL"))
				global = true;
			plain = plain && (tok->kind == DIA_SQL_WORD ||
						 tok->kind == DIA_SQL_QUOTED ||
						 tok->kind == DIA_SQL_AT_AT ||
						 dia_sql_token_is_ch(tok, '.'));
			name = *tok;
		}
		if (assigns(tok)) {
			/* NEW.sql_log_bin in a trigger is a column. */
			if (plain &&
				!(name.after_dot && dia_sql_token_names(&first, "new")))
				w = find_watched(&name);
			ret->mode_set =
				ret->mode_set || dia_sql_token_names(&name, "sql_mode");
			(void)dia_sql_lex_next(lexer, tok);
		}
		v = read_value(lexer, tok, statement);
		v.global = global;
		verdict = judge(w, &v);
		if (dia_sql_token_is_ch(tok, ','))
			(void)dia_sql_lex_next(lexer, tok);
	}
	ret->statement_follows = statement && dia_sql_token_is(tok, "FOR");
	return verdict;
}
