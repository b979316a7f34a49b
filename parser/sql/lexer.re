/*
 * parser/sql/lexer.re - see lexer.h.
 *
 * re2c decides by the first characters which token begins; bodies that may be megabytes
 * (strings, comments) are then run through by plain loops. Input goes through YYPEEK, which
 * gives 0 at the limit instead of reading there.
 */
#include "parser/sql/lexer.h"

static inline uint8_t peek(const struct dia_sql_lexer *lx, size_t ahead)
{
	return ahead < (size_t)(lx->end - lx->at) ? lx->at[ahead] : 0;
}

static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_word_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c == '$' || c >= 0x80;
}

/* Bytes of the character at p, which is 1 outside the multibyte sets. Their second bytes
 * start at 0x40 (0x30 in gb18030, digits): never a quote, a space, `;`, `*` or `/`. */
static inline size_t char_len(uint32_t flags, const uint8_t *p, const uint8_t *end)
{
	if ((flags & DIA_SQL_MULTIBYTE) != 0 && p[0] >= 0x81 && p[0] <= 0xfe && end - p > 1 &&
		p[1] >= 0x40)
		return 2;
	return 1;
}

/* Past a comment whose opening has been taken; false when it does not end. One inner comment
 * is allowed in a skipped executable one. */
static bool skip_comment(struct dia_sql_lexer *lx, int inner_allowed)
{
	while (lx->end - lx->at >= 2) {
		if (inner_allowed > 0 && lx->at[0] == '/' && lx->at[1] == '*') {
			lx->at += 2;
			if (!skip_comment(lx, 0))
				return false;
		} else if (lx->at[0] == '*' && lx->at[1] == '/') {
			lx->at += 2;
			return true;
		} else {
			lx->at++;
		}
	}
	lx->at = lx->end;
	return false;
}

/* Past a # or -- comment. A NUL ends it too, as in the server. */
static void skip_line(struct dia_sql_lexer *lx)
{
	while (lx->at < lx->end && *lx->at != '\n' && *lx->at != 0)
		lx->at++;
}

/* At the version number (if any) of an executable comment: enter it, or skip it. False when
 * it is skipped and does not end. */
static bool enter_comment(struct dia_sql_lexer *lx, bool mariadb)
{
	uint32_t version = 0;
	size_t digits = 0;

	while (digits < 6 && is_digit(peek(lx, digits))) {
		version = version * 10 + (uint32_t)(lx->at[digits] - '0');
		digits++;
	}
	if (digits >= 5) {
		bool mysql_only = !mariadb && version >= 50700 && version <= 99999;

		if (mysql_only || version > lx->version) {
			if (!mysql_only && (lx->next_version == 0 || version < lx->next_version))
				lx->next_version = version;
			return skip_comment(lx, 1);
		}
		lx->at += digits;
	}
	lx->in_comment = true;
	lx->comment_had_semicolon = false;
	return true;
}

static void leave_comment(struct dia_sql_lexer *lx)
{
	if (lx->comment_had_semicolon && peek(lx, 0) == '*')
		lx->two_readings = true;
	lx->in_comment = false;
}

/* The rest of a quoted run whose opening quote has been taken. */
static enum dia_sql_kind finish_quoted(struct dia_sql_lexer *lx, struct dia_sql_token *tok,
	uint8_t quote, bool backslash, enum dia_sql_kind kind)
{
	const uint8_t *body = lx->at;

	tok->quote = quote;
	while (lx->at < lx->end) {
		uint8_t c = *lx->at;

		/* Most bytes by far; megabytes of them in one literal. */
		if ((lx->flags & DIA_SQL_MULTIBYTE) == 0) {
			const uint8_t *p = lx->at;

			while (p < lx->end && *p != quote && *p != '\\')
				p++;
			lx->at = p;
			if (p == lx->end)
				break;
			c = *p;
		}

		if (c == quote) {
			if (peek(lx, 1) != quote || lx->end - lx->at < 2) {
				tok->body = dia_slice_of(body, (size_t)(lx->at - body));
				lx->at++;
				return kind;
			}
			tok->escaped = true;
			lx->at += 2;
		} else if (c == '\\' && backslash) {
			tok->escaped = true;
			lx->at += lx->end - lx->at < 2 ? 1 : 1 + char_len(lx->flags, lx->at + 1, lx->end);
		} else {
			lx->at += char_len(lx->flags, lx->at, lx->end);
		}
	}
	tok->body = dia_slice_of(body, (size_t)(lx->end - body));
	return DIA_SQL_BAD;
}

static enum dia_sql_kind finish_string(
	struct dia_sql_lexer *lx, struct dia_sql_token *tok, uint8_t quote, enum dia_sql_kind kind)
{
	return finish_quoted(
		lx, tok, quote, (lx->flags & DIA_SQL_NO_BACKSLASH_ESCAPES) == 0, kind);
}

static void finish_word(struct dia_sql_lexer *lx)
{
	while (lx->at < lx->end && is_word_byte(*lx->at))
		lx->at += char_len(lx->flags, lx->at, lx->end);
}

/* After the @ of a user variable or account. */
static enum dia_sql_kind finish_user_var(struct dia_sql_lexer *lx, struct dia_sql_token *tok)
{
	uint8_t c = peek(lx, 0);

	if (c == '`') {
		lx->at++;
		return finish_quoted(lx, tok, c, false, DIA_SQL_USER_VAR);
	}
	if (c == '\'' || c == '"') {
		lx->at++;
		if (c == '"' && (lx->flags & DIA_SQL_ANSI_QUOTES) != 0)
			return finish_quoted(lx, tok, c, false, DIA_SQL_USER_VAR);
		return finish_string(lx, tok, c, DIA_SQL_USER_VAR);
	}
	while (lx->at < lx->end && (is_word_byte(*lx->at) || *lx->at == '.'))
		lx->at++;
	tok->body = dia_slice_of(tok->text.data + 1, (size_t)(lx->at - tok->text.data - 1));
	return DIA_SQL_USER_VAR;
}

/* Words that announce a string's character set; any other word with a leading _ is a name. */
static bool is_charset(struct dia_slice word)
{
	static const char *const names[] = {"armscii8", "ascii", "big5", "binary", "cp1250",
		"cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "dec8", "eucjpms",
		"euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2",
		"koi8r", "koi8u", "latin1", "latin2", "latin5", "latin7", "macce", "macroman", "sjis",
		"swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le", "utf32", "utf8", "utf8mb3",
		"utf8mb4"};
	struct dia_sql_token name = {.kind = DIA_SQL_WORD};

	name.body = dia_slice_of(word.data + 1, word.len - 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (dia_sql_token_names(&name, names[i]))
			return true;
	return false;
}

#define YYCTYPE       uint8_t
#define YYPEEK()      (lx->at < lx->end ? *lx->at : 0)
#define YYSKIP()      ((void)++lx->at)
#define YYBACKUP()    ((void)(marker = lx->at))
#define YYRESTORE()   ((void)(lx->at = marker))
#define YYLESSTHAN(n) ((size_t)(lx->end - lx->at) < (size_t)(n))

/* One token, or DIA_SQL_EOF. Sets text.data to where it begins, body only when quoted. */
static enum dia_sql_kind scan(struct dia_sql_lexer *lx, struct dia_sql_token *tok)
{
	const uint8_t *marker = lx->at;

again:
	tok->text.data = lx->at;
	if (lx->after_dot && lx->at < lx->end && is_word_byte(*lx->at)) {
		/* A name even if it is all digits or looks like 1e5. */
		finish_word(lx);
		return DIA_SQL_WORD;
	}
	if (lx->after_name && peek(lx, 0) == '.' && peek(lx, 1) != '.') {
		lx->at++;
		tok->ch = '.';
		return DIA_SQL_PUNCT;
	}
	/*!re2c
	re2c:api = custom;
	re2c:yyfill:enable = 0;
	re2c:eof = 0;
	re2c:indent:top = 1;

	space  = [ \t\r\n\v\f];
	digit  = [0-9];
	hex    = [0-9a-fA-F];
	word   = [A-Za-z0-9_$\x80-\xff];
	expo   = [eE] [+-]? digit+;

	$                       { return DIA_SQL_EOF; }
	space+                  { goto again; }
	"#"                     { skip_line(lx); goto again; }
	"--"                    {
	                          /* Only before a space, a control character or the end;
	                           * else two minus signs. */
	                          if (peek(lx, 0) > ' ' && peek(lx, 0) != 0x7f) {
	                                  lx->at--;
	                                  tok->ch = '-';
	                                  return DIA_SQL_PUNCT;
	                          }
	                          skip_line(lx);
	                          goto again;
	                        }
	"/*"                    { if (!skip_comment(lx, 0)) return DIA_SQL_BAD; goto again; }
	"/*!"                   { if (!enter_comment(lx, false)) return DIA_SQL_BAD; goto again; }
	"/*M!"                  { if (!enter_comment(lx, true)) return DIA_SQL_BAD; goto again; }
	"*" "/"                 {
	                          if (!lx->in_comment) {
	                                  lx->at--;
	                                  tok->ch = '*';
	                                  return DIA_SQL_PUNCT;
	                          }
	                          leave_comment(lx);
	                          goto again;
	                        }

	"'"                     { return finish_string(lx, tok, '\'', DIA_SQL_STRING); }
	"\""                    {
	                          if ((lx->flags & DIA_SQL_ANSI_QUOTES) != 0)
	                                  return finish_quoted(lx, tok, '"', false, DIA_SQL_QUOTED);
	                          return finish_string(lx, tok, '"', DIA_SQL_STRING);
	                        }
	"`"                     { return finish_quoted(lx, tok, '`', false, DIA_SQL_QUOTED); }
	[nN] "'"                { return finish_string(lx, tok, '\'', DIA_SQL_NSTRING); }
	[xX] "'" (hex hex)* "'" {
	                          tok->quote = '\'';
	                          tok->body = dia_slice_of(tok->text.data + 2, (size_t)(lx->at - tok->text.data - 3));
	                          return DIA_SQL_HEX_STRING;
	                        }
	[bB] "'" [01]* "'"      {
	                          tok->quote = '\'';
	                          tok->body = dia_slice_of(tok->text.data + 2, (size_t)(lx->at - tok->text.data - 3));
	                          return DIA_SQL_BIT_STRING;
	                        }

	"0x" hex+               { if (is_word_byte(peek(lx, 0))) goto word; return DIA_SQL_HEX_NUMBER; }
	"0b" [01]+              { if (is_word_byte(peek(lx, 0))) goto word; return DIA_SQL_BIT_NUMBER; }
	digit+                  { return DIA_SQL_INTEGER; }
	digit+ "." digit*       { return DIA_SQL_DECIMAL; }
	"." digit+              { return DIA_SQL_DECIMAL; }
	digit+ expo             { if (is_word_byte(peek(lx, 0))) goto word; return DIA_SQL_FLOAT; }
	digit+ "." digit* expo  { return DIA_SQL_FLOAT; }
	"." digit+ expo         { return DIA_SQL_FLOAT; }
	digit+ "."  "."         { lx->at -= 2; return DIA_SQL_INTEGER; }
	word                    { goto word; }
	digit+ [A-Za-z_$\x80-\xff] { goto word; }

	"@@"                    { return DIA_SQL_AT_AT; }
	"@"                     {
	                          uint8_t c = peek(lx, 0);

	                          if (is_word_byte(c) || c == '.' || c == '`' || c == '\'' || c == '"')
	                                  return finish_user_var(lx, tok);
	                          tok->ch = '@';
	                          return DIA_SQL_PUNCT;
	                        }
	"?"                     { return DIA_SQL_PARAM; }
	"\\N"                   { return DIA_SQL_NULL; }
	";"                     { lx->comment_had_semicolon = true; return DIA_SQL_SEMICOLON; }
	":="                    { return DIA_SQL_ASSIGN; }
	"<="                    { return DIA_SQL_LE; }
	">="                    { return DIA_SQL_GE; }
	"<>" | "!="             { return DIA_SQL_NE; }
	"<=>"                   { return DIA_SQL_NULL_SAFE_EQ; }
	"<<"                    { return DIA_SQL_SHIFT_LEFT; }
	">>"                    { return DIA_SQL_SHIFT_RIGHT; }
	"||"                    { return DIA_SQL_OR_OR; }
	"&&"                    { return DIA_SQL_AND_AND; }
	".."                    { return DIA_SQL_DOT_DOT; }
	[(),.=<>+*/%^~!&|:{}[\]-] {
	                          tok->ch = lx->at[-1];
	                          return DIA_SQL_PUNCT;
	                        }
	*                       { return DIA_SQL_BAD; }
	*/

word:
	/* From its beginning again, so that multibyte characters stay together. */
	lx->at = tok->text.data;
	finish_word(lx);
	if (*tok->text.data == '_' &&
		is_charset(dia_slice_of(tok->text.data, (size_t)(lx->at - tok->text.data))))
		return DIA_SQL_CHARSET;
	return DIA_SQL_WORD;
}

void dia_sql_lex_init(struct dia_sql_lexer *lexer, struct dia_slice sql, uint32_t flags)
{
	static const uint8_t nothing[1];

	*lexer = (struct dia_sql_lexer){.flags = flags, .version = DIA_SQL_VERSION_MIN};
	lexer->at = sql.len == 0 ? nothing : sql.data;
	lexer->end = lexer->at + sql.len;
}

enum dia_sql_kind dia_sql_lex_next(struct dia_sql_lexer *lexer, struct dia_sql_token *tok)
{
	*tok = (struct dia_sql_token){.after_dot = lexer->after_dot};
	tok->kind = scan(lexer, tok);
	tok->text.len = (size_t)(lexer->at - tok->text.data);
	if (tok->body.data == NULL)
		tok->body = tok->text;
	tok->in_comment = lexer->in_comment;
	lexer->after_dot = tok->kind == DIA_SQL_PUNCT && tok->ch == '.';
	lexer->after_name = tok->kind == DIA_SQL_WORD || tok->kind == DIA_SQL_QUOTED;
	return tok->kind;
}
