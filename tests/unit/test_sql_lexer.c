/* tests/unit/test_sql_lexer.c - SQL text into tokens, as the server divides it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "parser/sql/lexer.h"
#include "tests/lib/guard.h"

#include <stdio.h>

enum {
	ANSI = DIA_SQL_ANSI_QUOTES,
	NOBS = DIA_SQL_NO_BACKSLASH_ESCAPES,
	MB = DIA_SQL_MULTIBYTE
};

/* Tokens in short: a letter for the kind, then the text between |. */
static char letter(const struct dia_sql_token *tok)
{
	switch (tok->kind) {
	case DIA_SQL_EOF:
		return '$';
	case DIA_SQL_BAD:
		return '!';
	case DIA_SQL_WORD:
		return 'w';
	case DIA_SQL_QUOTED:
		return 'q';
	case DIA_SQL_STRING:
		return 's';
	case DIA_SQL_NSTRING:
		return 'n';
	case DIA_SQL_CHARSET:
		return 'c';
	case DIA_SQL_HEX_STRING:
	case DIA_SQL_HEX_NUMBER:
		return 'x';
	case DIA_SQL_BIT_STRING:
	case DIA_SQL_BIT_NUMBER:
		return 'b';
	case DIA_SQL_INTEGER:
		return 'i';
	case DIA_SQL_DECIMAL:
		return 'd';
	case DIA_SQL_FLOAT:
		return 'f';
	case DIA_SQL_USER_VAR:
		return 'u';
	case DIA_SQL_AT_AT:
		return '@';
	case DIA_SQL_PARAM:
		return '?';
	case DIA_SQL_NULL:
		return 'N';
	case DIA_SQL_SEMICOLON:
		return ';';
	case DIA_SQL_ASSIGN:
	case DIA_SQL_LE:
	case DIA_SQL_GE:
	case DIA_SQL_NE:
	case DIA_SQL_NULL_SAFE_EQ:
	case DIA_SQL_SHIFT_LEFT:
	case DIA_SQL_SHIFT_RIGHT:
	case DIA_SQL_OR_OR:
	case DIA_SQL_AND_AND:
	case DIA_SQL_DOT_DOT:
		return 'o';
	case DIA_SQL_PUNCT:
		return 'p';
	}
	return 'E';
}

static void show(
	struct dia_slice sql, uint32_t flags, uint32_t version, char *out, size_t cap)
{
	struct dia_guard g = dia_guard_make(sql);
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;
	size_t n = 0;

	out[0] = 0;
	dia_sql_lex_init(&lexer, g.input, flags);
	if (version != 0)
		lexer.version = version;
	while (dia_sql_lex_next(&lexer, &tok) != DIA_SQL_EOF) {
		/* Whatever the input, tokens lie inside it, in order. */
		assert_true(tok.text.len > 0);
		assert_true(tok.text.data >= g.input.data);
		assert_true(tok.text.data + tok.text.len <= g.input.data + g.input.len);
		assert_true(tok.body.data >= tok.text.data);
		assert_true(tok.body.data + tok.body.len <= tok.text.data + tok.text.len);
		n += (size_t)snprintf(out + n, cap - n, "%s%c%.*s", n == 0 ? "" : "|",
			letter(&tok), (int)tok.body.len, (const char *)tok.body.data);
		assert_true(n < cap);
	}
	assert_int_equal(dia_sql_lex_next(&lexer, &tok), DIA_SQL_EOF);
	dia_guard_free(&g);
}

static const struct {
	const char *sql;
	const char *tokens;
	uint32_t flags;
	uint32_t version;
} rows[] = {
	{"", "", 0, 0},
	{"select a_b, $c, d1", "wselect|wa_b|p,|w$c|p,|wd1", 0, 0},
	{"`a``b` \"c\"\"d\"", "qa``b|sc\"\"d", 0, 0},
	{"\"c\"\"d\\\"", "qc\"\"d\\", ANSI, 0},
	{"'a\\'b' 'c''d'", "sa\\'b|sc''d", 0, 0},
	{"'a\\' 'c'", "sa\\|sc", NOBS, 0},
	{"n'x' N'y' _utf8mb4'z' _latin1 x'4D' _other",
		"nx|ny|c_utf8mb4|sz|c_latin1|x4D|w_other", 0, 0},
	{"x'4d' X'' x'4' b'01' B'' 0x4D 0b01 0xg 0b2",
		"x4d|x|wx|s4|b01|b|x0x4D|b0b01|w0xg|w0b2", 0, 0},
	{"1 1.5 .5 1. 1e5 1.5e-3 .5E+2 1e 1a 12ab",
		"i1|d1.5|d.5|d1.|f1e5|f1.5e-3|f.5E+2|w1e|w1a|w12ab", 0, 0},
	{"t.1a t.5 `t`.5 a.b.c", "wt|p.|w1a|wt|p.|w5|qt|p.|w5|wa|p.|wb|p.|wc", 0, 0},
	{"1..10 a..b", "i1|o..|i10|wa|o..|wb", 0, 0},
	{"a -- c\nb --c\n--\nd--", "wa|wb|p-|p-|wc|wd", 0, 0},
	{"5--1", "i5|p-|p-|i1", 0, 0},
	{"a # c\nb /* c */ d /**/ e /***/ f", "wa|wb|wd|we|wf", 0, 0},
	{"/*! a */ /*M! b */ /*!40000 c*/ /*!101103 d*/ /*M!50700 e*/", "wa|wb|wc|we", 0,
		0},
	{"/*! a */ /*M! b */ /*!40000 c*/ /*!101103 d*/ /*M!50700 e*/", "wa|wb|wc|wd|we",
		0, 101119},
	{"/*!80000 a /* b */ c */ d", "wd", 0, 101119},
	{"/*!999999 a*/ /*!50699 b*/ /*!50700 c*/ /*!99999 c*/ /*!100000 d*/", "wb|wd", 0,
		0},
	{"/*!4000 a*/ /*!1234567 b*/", "i4000|wa", 0, 101119},
	{"/*!0000001 b*/", "i1|wb", 0, 101119},
	{"/*m! a */ /*!m b*/", "wm|wb", 0, 0},
	{"/*! a /*! b */ c */", "wa|wb|wc|p*|p/", 0, 0},
	{"/*! a /* b */ c */ d */", "wa|wc|wd|p*|p/", 0, 0},
	{"a*/b", "wa|p*|p/|wb", 0, 0},
	{"@a @'b c' @\"d\" @`v` @@f @@session.g @a.b$c",
		"ua|ub c|ud|uv|@@@|wf|@@@|wsession|p.|wg|ua.b$c", 0, 0},
	{"'u'@'h' v@h @ h", "su|uh|wv|uh|p@|wh", 0, 0},
	{":= <= >= <> != <=> << >> || && < > = :",
		"o:=|o<=|o>=|o<>|o!=|o<=>|o<<|o>>|o|||o&&|p<|p>|p=|p:", 0, 0},
	{"? \\N ; {}[]()~^%&|!", "??|N\\N|;;|p{|p}|p[|p]|p(|p)|p~|p^|p%|p&|p||p!", 0, 0},
	{"\\a \x01", "!\\|wa|!\x01", 0, 0},
	{"'a", "!a", 0, 0},
	{"'a\\", "!a\\", 0, 0},
	{"`a", "!a", 0, 0},
	{"@'a", "!a", 0, 0},
	{"a /* b", "wa|!/* b", 0, 0},
	{"a /*", "wa|!/*", 0, 0},
	{"a /*!99999 b", "wa|!/*!99999 b", 0, 0},
	{"\xc3\xa4\xe5\x90\x8d", "w\xc3\xa4\xe5\x90\x8d", 0, 0},
	{"'\xbf\\' x", "!\xbf\\' x", 0, 0},
	{"'\xbf\\' x", "s\xbf\\|wx", MB, 0},
	{"\xbf`a`", "w\xbf|qa", 0, 0},
	{"\xbf`a", "w\xbf`a", MB, 0},
	{"'\\\xbf\\' x", "s\\\xbf\\|wx", MB, 0},
};

static void test_tokens(void **state)
{
	char out[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		show(dia_slice_str(rows[i].sql), rows[i].flags, rows[i].version, out,
			sizeof(out));
		if (strcmp(out, rows[i].tokens) != 0)
			fail_msg("%s\n gave  %s\n not   %s", rows[i].sql, out,
				rows[i].tokens);
	}
}

static void test_every_prefix_and_suffix(void **state)
{
	char out[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (uint32_t flags = 0; flags < 8; flags++)
			for (size_t n = 0; n <= strlen(rows[i].sql); n++) {
				show(dia_slice_of(rows[i].sql, n), flags, 0, out,
					sizeof(out));
				show(dia_slice_str(rows[i].sql + n), flags, 0, out,
					sizeof(out));
			}
}

/* A NUL inside the text is a byte like others, and ends a line comment as in the server.
 */
static void test_nul_bytes(void **state)
{
	struct dia_slice sql = dia_slice_of("a\0'b\0c' # d\0 e", 14);
	static const enum dia_sql_kind kinds[] = {DIA_SQL_WORD, DIA_SQL_BAD,
		DIA_SQL_STRING, DIA_SQL_BAD, DIA_SQL_WORD, DIA_SQL_EOF};
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;

	(void)state;
	dia_sql_lex_init(&lexer, sql, 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		assert_int_equal(dia_sql_lex_next(&lexer, &tok), kinds[i]);
}

static void check_unquote(
	const char *sql, uint32_t flags, const char *expected, size_t len)
{
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;
	uint8_t out[64];
	size_t n;

	dia_sql_lex_init(&lexer, dia_slice_str(sql), flags);
	(void)dia_sql_lex_next(&lexer, &tok);
	n = dia_sql_token_unquote(&tok, flags, out);
	assert_true(n <= tok.body.len);
	assert_int_equal(n, len);
	assert_memory_equal(out, expected, len);
}

static void test_unquote(void **state)
{
	(void)state;
	check_unquote("'a\\n\\t\\0\\Z\\'\\x\\%\\_''b'", 0, "a\n\t\0\x1a'x\\%\\_'b", 13);
	check_unquote("'a\\nb'", NOBS, "a\\nb", 4);
	check_unquote("`a``b\\n`", 0, "a`b\\n", 5);
	check_unquote("\"a\"\"b'\"", 0, "a\"b'", 4);
	check_unquote("'\xbf\\'", MB, "\xbf\\", 2);
	check_unquote("''", 0, "", 0);
}

static void test_names(void **state)
{
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;

	(void)state;
	dia_sql_lex_init(&lexer, dia_slice_str("SeT t.SET `set` 'set' settle se"), 0);
	(void)dia_sql_lex_next(&lexer, &tok);
	assert_true(dia_sql_token_is(&tok, "SET"));
	assert_true(dia_sql_token_names(&tok, "set"));
	(void)dia_sql_lex_next(&lexer, &tok);
	(void)dia_sql_lex_next(&lexer, &tok);
	assert_true(dia_sql_token_is_ch(&tok, '.'));
	(void)dia_sql_lex_next(&lexer, &tok);
	assert_false(dia_sql_token_is(&tok, "SET")); /* behind a dot: a name */
	assert_true(dia_sql_token_names(&tok, "set"));
	(void)dia_sql_lex_next(&lexer, &tok);
	assert_false(dia_sql_token_is(&tok, "SET"));
	assert_true(dia_sql_token_names(&tok, "set"));
	(void)dia_sql_lex_next(&lexer, &tok);
	assert_false(dia_sql_token_names(&tok, "set"));
	for (int i = 0; i < 2; i++) {
		(void)dia_sql_lex_next(&lexer, &tok);
		assert_false(dia_sql_token_is(&tok, "SET"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_every_prefix_and_suffix),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_unquote),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
