/*
 * parser/sql/guard.c - see guard.h.
 *
 * Three steps. The first word decides for nearly all statements (quick_pass). What is
 * left is scanned token by token for dangerous forms where a statement can begin
 * (scan_text); that is not a grammar, and a text the server would refuse anyway may get
 * either answer. Where the same bytes have several readings (versions of executable
 * comments, sql_mode set in mid-text, multibyte character sets), each reading is scanned
 * and one refusal is enough.
 */
#include "parser/sql/guard.h"
#include "parser/sql/guard_set.h"

#include <stdlib.h>

enum {
	LITERAL_DEPTH_MAX = 4, /* EXECUTE IMMEDIATE within EXECUTE IMMEDIATE … */
	READINGS_MAX = 8,      /* distinct versions in executable comments */
	/* No server executes comments above this; mariadb-dump writes 999999 for "never".
	 */
	VERSION_MAX = 199999,
	LITERAL_STACK = 1024,
};

static const struct dia_guard_verdict pass = {.kind = DIA_GUARD_PASS};

static struct dia_guard_verdict refuse(const char *message)
{
	return (struct dia_guard_verdict){.kind = DIA_GUARD_REFUSE,
		.error = 1235,
		.sqlstate = "42000",
		.message = message};
}

static struct dia_guard_verdict refuse_xa(void)
{
	return refuse(
		"diarchy: XA transactions are not replicated between datacenters; use "
		"START TRANSACTION and COMMIT, or connect to the database directly for "
		"work "
		"that must stay in this datacenter");
}

static struct dia_guard_verdict refuse_binlog(void)
{
	return refuse(
		"diarchy: BINLOG statements can write rows that look already replicated; "
		"send ordinary SQL, or replay binary logs on a direct connection while "
		"diarchy is stopped");
}

static struct dia_guard_verdict refuse_reset(void)
{
	return refuse(
		"diarchy: RESET MASTER would delete writes that have not reached the "
		"other datacenter yet; to free disk space use PURGE BINARY LOGS TO the "
		"file that `diarchy status --json` calls needed_binlog_file");
}

static struct dia_guard_verdict refuse_depth(void)
{
	return refuse("diarchy: dynamic SQL nested too deeply to be checked for "
		      "statements that "
		      "hide writes from replication; send the inner statement itself");
}

static struct dia_guard_verdict refuse_readings(void)
{
	return refuse("diarchy: the executable comments in this text can be read in "
		      "several ways, "
		      "so it cannot be checked for statements that hide writes from "
		      "replication; "
		      "send its statements one by one without /*! */ around them");
}

static struct dia_guard_verdict scan_literal(
	struct dia_slice sql, uint32_t flags, int depth);

/* ---- one text, one reading ---- */

/* What the statement that the scan is in began with, as far as it matters. */
enum verb {
	VERB_NONE = 0, /* nothing yet: the next token begins it */
	VERB_OTHER,
	VERB_ROWS, /* INSERT, UPDATE, REPLACE, LOAD: what follows their SET are columns */
	VERB_HEADER, /* CREATE, ALTER, DECLARE: a body may begin anywhere behind */
};

struct scan {
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok, prev;
	enum verb verb;
	bool at_start; /* tok may begin a statement */
	bool routine;  /* PROCEDURE, FUNCTION, TRIGGER, EVENT seen in a header */
	bool mode_set; /* a statement sets sql_mode and another follows */
	int depth;
};

static void next(struct scan *s)
{
	s->prev = s->tok;
	(void)dia_sql_lex_next(&s->lexer, &s->tok);
}

static bool is(const struct scan *s, const char *word)
{
	return dia_sql_token_is(&s->tok, word);
}

/* The token after tok, without moving. */
static struct dia_sql_token peek(const struct scan *s)
{
	struct dia_sql_lexer ahead = s->lexer;
	struct dia_sql_token tok;

	(void)dia_sql_lex_next(&ahead, &tok);
	return tok;
}

/* tok stands behind PREPARE … FROM or EXECUTE IMMEDIATE: one or several literals in a row
 * are one text. Anything else around them makes it an expression, which is not looked
 * into. */
static struct dia_guard_verdict dynamic_sql(struct scan *s)
{
	uint8_t small[LITERAL_STACK];
	struct dia_slice text = {0};
	uint8_t *buf = small;
	size_t literals = 0, need = 0, len = 0;
	struct dia_guard_verdict v = pass;
	struct dia_sql_lexer from = s->lexer;
	struct dia_sql_token tok = s->tok, first = {0};

	for (; tok.kind == DIA_SQL_STRING || tok.kind == DIA_SQL_NSTRING ||
		tok.kind == DIA_SQL_CHARSET;
		(void)dia_sql_lex_next(&from, &tok)) {
		if (tok.kind == DIA_SQL_CHARSET)
			continue;
		if (literals++ == 0)
			first = tok;
		need += tok.body.len;
	}
	if (literals == 0)
		return pass;
	if (s->depth >= LITERAL_DEPTH_MAX)
		return refuse_depth();
	if (literals == 1 && !first.escaped)
		return scan_literal(first.body, s->lexer.flags, s->depth + 1);

	if (need > sizeof(small)) {
		buf = malloc(need);
		if (buf == NULL)
			return refuse("diarchy: out of memory while checking dynamic "
				      "SQL; try again");
	}
	from = s->lexer;
	for (tok = s->tok; tok.kind == DIA_SQL_STRING || tok.kind == DIA_SQL_NSTRING ||
			   tok.kind == DIA_SQL_CHARSET;
		(void)dia_sql_lex_next(&from, &tok))
		if (tok.kind != DIA_SQL_CHARSET)
			len += dia_sql_token_unquote(&tok, s->lexer.flags, buf + len);
	text = dia_slice_of(buf, len);
	v = scan_literal(text, s->lexer.flags, s->depth + 1);
	if (buf != small)
		free(buf);
	return v;
}

/* tok is RESET where a statement may begin. Of what it can list, MASTER is refused; the
 * words behind the others are options and quoted names. Leaves tok on the end. */
static struct dia_guard_verdict check_reset(struct scan *s)
{
	bool item = true; /* tok begins an item of the list */

	next(s);
	for (; s->tok.kind != DIA_SQL_EOF && s->tok.kind != DIA_SQL_SEMICOLON; next(s)) {
		if (item && is(s, "MASTER"))
			return refuse_reset();
		item = dia_sql_token_is_ch(&s->tok, ',');
	}
	return pass;
}

/* tok is XA, BINLOG, RESET, PREPARE or EXECUTE where a statement may begin. */
static struct dia_guard_verdict check_command(struct scan *s)
{
	struct dia_sql_token after = peek(s);

	if (is(s, "XA"))
		return dia_sql_token_is(&after, "START") ||
				       dia_sql_token_is(&after, "BEGIN")
			       ? refuse_xa()
			       : pass;
	if (is(s, "BINLOG"))
		return after.kind == DIA_SQL_STRING || after.kind == DIA_SQL_NSTRING ||
				       after.kind == DIA_SQL_CHARSET ||
				       after.kind == DIA_SQL_USER_VAR
			       ? refuse_binlog()
			       : pass;
	if (is(s, "RESET"))
		return dia_sql_token_is(&after, "MASTER") ||
				       dia_sql_token_is(&after, "QUERY") ||
				       dia_sql_token_is(&after, "SLAVE") ||
				       dia_sql_token_is(&after, "REPLICA")
			       ? check_reset(s)
			       : pass;
	if (is(s, "EXECUTE") && dia_sql_token_is(&after, "IMMEDIATE")) {
		next(s);
		next(s);
		return dynamic_sql(s);
	}
	if (is(s, "PREPARE") &&
		(after.kind == DIA_SQL_WORD || after.kind == DIA_SQL_QUOTED)) {
		struct dia_sql_lexer back = s->lexer;

		next(s);
		after = peek(s);
		if (dia_sql_token_is(&after, "FROM")) {
			next(s);
			next(s);
			return dynamic_sql(s);
		}
		s->lexer = back;
	}
	return pass;
}

static bool is_command(const struct scan *s)
{
	return is(s, "XA") || is(s, "BINLOG") || is(s, "RESET") || is(s, "EXECUTE") ||
	       is(s, "PREPARE");
}

/* tok is SET where a statement may begin: its list of assignments, up to and not
 * including
 * `;`, the FOR of SET STATEMENT, or the end. */
static struct dia_guard_verdict check_set(struct scan *s)
{
	struct dia_guard_verdict v;
	struct dia_guard_set set = {.mode_set = false};

	next(s);
	v = dia_guard_check_set(&s->lexer, &s->tok, &set);
	s->mode_set = s->mode_set || set.mode_set;
	s->verb = VERB_OTHER;
	s->at_start = set.statement_follows;
	if (set.statement_follows)
		s->verb = VERB_NONE;
	return v;
}

/* Whether tok opens a place where a statement begins behind it. */
static bool opens_statement(struct scan *s)
{
	/* INSERT and the like end at a `;` only; these words are expressions or names
	 * there. */
	if (s->verb == VERB_ROWS)
		return false;
	if (is(s, "THEN") || is(s, "ELSE") || is(s, "DO") || is(s, "LOOP") ||
		is(s, "BEGIN") || is(s, "REPEAT") || dia_sql_token_is_ch(&s->tok, ':') ||
		s->tok.kind == DIA_SQL_SHIFT_RIGHT)
		return true;
	/* BEGIN NOT ATOMIC */
	if (s->at_start && (is(s, "NOT") || is(s, "ATOMIC")))
		return true;
	if (is(s, "ROW") && dia_sql_token_is(&s->prev, "EACH"))
		return true;
	return false;
}

static bool is_rows_verb(const struct scan *s)
{
	return is(s, "UPDATE") || is(s, "INSERT") || is(s, "REPLACE") || is(s, "LOAD");
}

/* In the header of CREATE, ALTER or DECLARE: a word that can only begin a body statement.
 * The events of a trigger are followed by ON, OR REPLACE is no verb, functions have `(`.
 */
static bool begins_rows_body(const struct scan *s)
{
	struct dia_sql_token after;

	if (!s->routine || !is_rows_verb(s) || dia_sql_token_is(&s->prev, "OR") ||
		dia_sql_token_is(&s->prev, "ON"))
		return false;
	after = peek(s);
	return !dia_sql_token_is(&after, "ON") && !dia_sql_token_is(&after, "OR") &&
	       !dia_sql_token_is(&after, "OF") && !dia_sql_token_is_ch(&after, '(');
}

/* tok is SET in the header of a routine: not a column type, not CHARACTER SET. */
static bool begins_set_body(const struct scan *s)
{
	struct dia_sql_token after = peek(s);

	return !dia_sql_token_is_ch(&after, '(') &&
	       !dia_sql_token_is(&s->prev, "CHARACTER") &&
	       !dia_sql_token_is(&s->prev, "CHAR");
}

/* `name := value` as a statement (sql_mode=ORACLE sets variables so). */
static bool is_bare_assignment(const struct scan *s)
{
	struct dia_sql_token after;

	if (s->verb == VERB_ROWS || !dia_guard_is_watched(&s->tok))
		return false;
	after = peek(s);
	return after.kind == DIA_SQL_ASSIGN;
}

static enum verb verb_of(const struct scan *s)
{
	if (is_rows_verb(s)) {
		struct dia_sql_token after = peek(s);

		/* THEN REPLACE(…) is a function. */
		return dia_sql_token_is_ch(&after, '(') ? VERB_OTHER : VERB_ROWS;
	}
	if (is(s, "CREATE") || is(s, "ALTER") || is(s, "DECLARE"))
		return VERB_HEADER;
	return VERB_OTHER;
}

/* One token that is not SEMICOLON. May move on within the statement. */
static struct dia_guard_verdict scan_token(struct scan *s)
{
	bool header = s->verb == VERB_HEADER && s->routine;

	if (is(s, "SET") && (s->at_start || (header && begins_set_body(s))))
		return check_set(s);
	if (is_command(s) && (s->at_start || header)) {
		s->at_start = false;
		if (s->verb == VERB_NONE)
			s->verb = VERB_OTHER;
		return check_command(s);
	}
	if (is_bare_assignment(s)) {
		struct dia_guard_set set = {.mode_set = false};

		return dia_guard_check_set(&s->lexer, &s->tok, &set);
	}
	if (opens_statement(s)) {
		if (s->verb == VERB_NONE)
			s->verb = VERB_OTHER;
		s->at_start = true;
		return pass;
	}
	if (s->at_start) {
		enum verb verb = verb_of(s);

		/* Behind a THEN in an expression the statement's own verb stays. */
		if (s->verb == VERB_NONE || verb != VERB_OTHER) {
			s->verb = verb;
			s->routine = verb == VERB_HEADER && is(s, "DECLARE");
		}
		s->at_start = false;
	} else if (s->verb == VERB_HEADER) {
		if (is(s, "PROCEDURE") || is(s, "FUNCTION") || is(s, "TRIGGER") ||
			is(s, "EVENT") || is(s, "PACKAGE"))
			s->routine = true;
		else if (begins_rows_body(s))
			s->verb = VERB_ROWS;
	}
	return pass;
}

static struct dia_guard_verdict scan_text(struct scan *s)
{
	bool more_after_mode = false;

	s->at_start = true;
	next(s);
	while (s->tok.kind != DIA_SQL_EOF) {
		struct dia_guard_verdict v;

		if (s->tok.kind == DIA_SQL_SEMICOLON) {
			s->verb = VERB_NONE;
			s->at_start = true;
			s->routine = false;
			next(s);
			continue;
		}
		more_after_mode = more_after_mode || s->mode_set;
		v = scan_token(s);
		if (v.kind != DIA_GUARD_PASS)
			return v;
		/* check_set stops at what ends the list, for us to look at. */
		if (s->tok.kind == DIA_SQL_SEMICOLON || s->tok.kind == DIA_SQL_EOF)
			continue;
		next(s);
	}
	s->mode_set = more_after_mode;
	return s->lexer.two_readings ? refuse_readings() : pass;
}

/* ---- all readings ---- */

/* A byte that may lead a two-byte character whose second byte is a backslash or backtick.
 */
static bool has_ambiguous_pair(struct dia_slice sql)
{
	for (size_t i = 1; i < sql.len; i++)
		if ((sql.data[i] == '\\' || sql.data[i] == '`') &&
			sql.data[i - 1] >= 0x81)
			return true;
	return false;
}

/* Every set of executed comments that some server version gives. */
static struct dia_guard_verdict scan_versions(
	struct dia_slice sql, uint32_t flags, int depth, bool *mode_set)
{
	uint32_t version = DIA_SQL_VERSION_MIN;

	for (int i = 0; i < READINGS_MAX; i++) {
		struct scan s = {.depth = depth};
		struct dia_guard_verdict v;

		dia_sql_lex_init(&s.lexer, sql, flags);
		s.lexer.version = version;
		v = scan_text(&s);
		*mode_set = *mode_set || s.mode_set;
		if (v.kind != DIA_GUARD_PASS || s.lexer.next_version == 0 ||
			s.lexer.next_version > VERSION_MAX)
			return v;
		version = s.lexer.next_version;
	}
	return refuse_readings();
}

static struct dia_guard_verdict scan_literal(
	struct dia_slice sql, uint32_t flags, int depth)
{
	const uint32_t modes = DIA_SQL_ANSI_QUOTES | DIA_SQL_NO_BACKSLASH_ESCAPES;
	bool mode_set = false;
	bool pairs = (flags & DIA_SQL_MULTIBYTE) == 0 && has_ambiguous_pair(sql);
	struct dia_guard_verdict v = scan_versions(sql, flags, depth, &mode_set);

	if (v.kind == DIA_GUARD_PASS && pairs)
		v = scan_versions(sql, flags | DIA_SQL_MULTIBYTE, depth, &mode_set);
	for (uint32_t i = 1; i <= modes && mode_set && v.kind == DIA_GUARD_PASS; i++) {
		v = scan_versions(sql, flags ^ i, depth, &mode_set);
		if (v.kind == DIA_GUARD_PASS && pairs)
			v = scan_versions(
				sql, (flags ^ i) | DIA_SQL_MULTIBYTE, depth, &mode_set);
	}
	return v;
}

/* ---- the first word ---- */

/* First words of statements that are harmless as long as nothing follows them in the
 * text. */
static bool is_harmless_verb(const uint8_t *word, size_t len)
{
	static const char *const verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
		"COMMIT", "BEGIN", "REPLACE", "START", "ROLLBACK", "CALL", "SAVEPOINT",
		"RELEASE", "USE", "WITH", "LOAD", "DO", "TRUNCATE", "DROP", "EXPLAIN",
		"DESC", "DESCRIBE", "KILL", "LOCK", "UNLOCK", "FLUSH", "DEALLOCATE",
		"HANDLER", "CHECK", "OPTIMIZE", "GRANT", "REVOKE", "VALUES"};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const char *verb = verbs[i];
		size_t n = 0;

		if ((word[0] & 0xdf) != (uint8_t)verb[0])
			continue;
		while (n < len && verb[n] != 0 && (word[n] & 0xdf) == (uint8_t)verb[n])
			n++;
		if (n == len && verb[n] == 0)
			return true;
	}
	return false;
}

/* Whether sql holds an executable comment's opening mark, in whatever place. */
static bool has_executable_comment(struct dia_slice sql)
{
	const uint8_t *p = sql.data, *end = sql.data + sql.len;

	while (end - p >= 3 && (p = memchr(p, '/', (size_t)(end - p) - 2)) != NULL) {
		if (p[1] == '*' && (p[2] == '!' || p[2] == 'M'))
			return true;
		p++;
	}
	return false;
}

/* The server drops these from the end before it parses. */
static struct dia_slice without_tail(struct dia_slice sql)
{
	while (sql.len > 0) {
		uint8_t c = sql.data[sql.len - 1];

		if (c != ';' && c != ' ' && (c < '\t' || c > '\r'))
			break;
		sql.len--;
	}
	return sql;
}

/* How far spaces and ordinary comments reach; drivers put their request ids there. */
static size_t skip_front(struct dia_slice sql)
{
	size_t at = 0;

	for (;;) {
		const uint8_t *end;

		while (at < sql.len &&
			(sql.data[at] == ' ' ||
				(sql.data[at] >= '\t' && sql.data[at] <= '\r')))
			at++;
		if (sql.len - at < 4 || sql.data[at] != '/' || sql.data[at + 1] != '*')
			return at;
		end = memmem(sql.data + at + 2, sql.len - at - 2, "*/", 2);
		if (end == NULL)
			return at;
		at = (size_t)(end - sql.data) + 2;
	}
}

/* True when the first word shows that a text of one statement is harmless. */
static bool quick_pass(struct dia_slice sql)
{
	size_t at = skip_front(sql), len = 0;

	while (at + len < sql.len && (sql.data[at + len] & 0xdf) >= 'A' &&
		(sql.data[at + len] & 0xdf) <= 'Z')
		len++;
	if (len == 0 || !is_harmless_verb(sql.data + at, len))
		return false;
	/* The word must end here: `begin_` and `do2` are names. */
	if (at + len < sql.len) {
		uint8_t c = sql.data[at + len];

		if (c == '_' || c == '$' || c == ':' || c >= 0x80 ||
			(c >= '0' && c <= '9'))
			return false;
	}
	/* Over the whole text: what was skipped in front may have been an executable
	 * comment. */
	return memchr(sql.data, ';', sql.len) == NULL && !has_executable_comment(sql);
}

/* SHOW DIARCHY … when that is the whole text. */
static enum dia_guard_kind show_diarchy(struct dia_slice sql, uint32_t flags)
{
	enum dia_guard_kind kind = DIA_GUARD_PASS;
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;

	dia_sql_lex_init(&lexer, sql, flags);
	(void)dia_sql_lex_next(&lexer, &tok);
	if (!dia_sql_token_is(&tok, "SHOW"))
		return DIA_GUARD_PASS;
	(void)dia_sql_lex_next(&lexer, &tok);
	if (!dia_sql_token_is(&tok, "DIARCHY"))
		return DIA_GUARD_PASS;
	(void)dia_sql_lex_next(&lexer, &tok);
	if (dia_sql_token_is(&tok, "STATUS"))
		kind = DIA_GUARD_SHOW_STATUS;
	else if (dia_sql_token_is(&tok, "CONFLICTS"))
		kind = DIA_GUARD_SHOW_CONFLICTS;
	else if (dia_sql_token_is(&tok, "POLICIES"))
		kind = DIA_GUARD_SHOW_POLICIES;
	do
		(void)dia_sql_lex_next(&lexer, &tok);
	while (tok.kind == DIA_SQL_SEMICOLON);
	return tok.kind == DIA_SQL_EOF ? kind : DIA_GUARD_PASS;
}

struct dia_guard_verdict dia_sql_guard(struct dia_slice sql, uint32_t flags)
{
	struct dia_slice text = without_tail(sql);
	enum dia_guard_kind show;

	if (text.len == 0 || quick_pass(text))
		return pass;
	show = show_diarchy(text, flags);
	if (show != DIA_GUARD_PASS)
		return (struct dia_guard_verdict){.kind = show};
	return scan_literal(text, flags, 0);
}
