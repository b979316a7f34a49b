/* parser/sql/token.c - what a token says; see lexer.h. */
#include "parser/sql/lexer.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool same_word(struct dia_slice s, const char *word)
{
	size_t i = 0;

	for (; i < s.len && word[i] != 0; i++)
		if (lower(s.data[i]) != lower((uint8_t)word[i]))
			return false;
	return i == s.len && word[i] == 0;
}

bool dia_sql_token_is(const struct dia_sql_token *tok, const char *word)
{
	return tok->kind == DIA_SQL_WORD && !tok->after_dot && same_word(tok->body, word);
}

bool dia_sql_token_names(const struct dia_sql_token *tok, const char *name)
{
	return (tok->kind == DIA_SQL_WORD || tok->kind == DIA_SQL_QUOTED) &&
	       same_word(tok->body, name);
}

bool dia_sql_token_is_ch(const struct dia_sql_token *tok, char ch)
{
	return tok->kind == DIA_SQL_PUNCT && tok->ch == (uint8_t)ch;
}

/* MariaDB documentation, "String literals", escape sequences. */
static uint8_t escape_value(uint8_t c)
{
	switch (c) {
	case '0':
		return 0;
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'Z':
		return 26;
	default:
		return c;
	}
}

size_t dia_sql_token_unquote(
	const struct dia_sql_token *tok, uint32_t flags, uint8_t *out)
{
	const uint8_t *p = tok->body.data;
	const uint8_t *end = tok->body.len == 0 ? p : p + tok->body.len;
	bool backslash = (flags & DIA_SQL_NO_BACKSLASH_ESCAPES) == 0 &&
			 tok->kind != DIA_SQL_QUOTED;
	bool multibyte = (flags & DIA_SQL_MULTIBYTE) != 0;
	size_t n = 0;

	while (p < end) {
		if (multibyte && *p >= 0x81 && *p <= 0xfe && end - p > 1 &&
			p[1] >= 0x40) {
			out[n++] = *p++;
			out[n++] = *p++;
		} else if (*p == '\\' && backslash && end - p > 1) {
			if (p[1] == '%' || p[1] == '_')
				out[n++] = *p;
			out[n++] = escape_value(p[1]);
			p += 2;
		} else if (*p == tok->quote && end - p > 1 && p[1] == tok->quote) {
			out[n++] = *p;
			p += 2;
		} else {
			out[n++] = *p++;
		}
	}
	return n;
}
