/*
 * parser/sql/lexer.h - MariaDB SQL text into tokens.
 *
 * Reads exactly the bytes of the slice (no terminator needed or read), never allocates,
 * never fails: what is not SQL becomes DIA_SQL_BAD tokens, and every text ends in
 * DIA_SQL_EOF. Tokens borrow from the text. Words are not divided into keywords and
 * names: that depends on the grammar (and on a preceding dot, see `after_dot`), so it is
 * left to the parser.
 *
 * Executable comments are code here as in the server (MariaDB documentation, "Comment
 * syntax"): those opened by slash-star-bang or slash-star-M-bang without a number always,
 * with a number when the server is at least that version and, without the M, the number
 * is not one of MySQL 5.7 to 9 (50700 to 99999). Their marks give no token. They stay
 * open until the next star-slash, they do not nest; one that is not executed may hold one
 * comment inside.
 */
#ifndef DIA_PARSER_SQL_LEXER_H
#define DIA_PARSER_SQL_LEXER_H

#include "proxy/core/slice.h"

/* What of a session changes how its SQL is divided into tokens. */
enum dia_sql_flags {
	DIA_SQL_ANSI_QUOTES = 1, /* sql_mode: "x" is a name */
	DIA_SQL_NO_BACKSLASH_ESCAPES =
		2, /* sql_mode: \ is an ordinary character in strings */
	/* character_set_client is big5, gbk, gb18030, sjis, cp932: a \ or ` may be the
	 * second half of a character */
	DIA_SQL_MULTIBYTE = 4,
};

enum {
	/* Oldest server we stand in front of: versions up to it are always executed. */
	DIA_SQL_VERSION_MIN = 100600,
};

enum dia_sql_kind {
	DIA_SQL_EOF = 0,
	DIA_SQL_BAD,     /* an unfinished string, name or comment, or a byte that starts
			    nothing */
	DIA_SQL_WORD,    /* unquoted: keyword or name, also `1abc` */
	DIA_SQL_QUOTED,  /* `name`, or "name" under ANSI_QUOTES */
	DIA_SQL_STRING,  /* 'text' or "text" */
	DIA_SQL_NSTRING, /* N'text' */
	DIA_SQL_CHARSET, /* _utf8mb4 and the like: a string or hex literal should follow
			  */
	DIA_SQL_HEX_STRING, /* x'4d' */
	DIA_SQL_BIT_STRING, /* b'01' */
	DIA_SQL_HEX_NUMBER, /* 0x4d */
	DIA_SQL_BIT_NUMBER, /* 0b01 */
	DIA_SQL_INTEGER,    /* 42 */
	DIA_SQL_DECIMAL,    /* 4.2 */
	DIA_SQL_FLOAT,      /* 4e2 */
	DIA_SQL_USER_VAR, /* @name, @'name', @"name", @`name`; also the host of an account
			   */
	DIA_SQL_AT_AT,    /* @@ of a system variable; words and dots follow */
	DIA_SQL_PARAM,    /* ? */
	DIA_SQL_NULL,     /* \N */
	DIA_SQL_SEMICOLON,    /* ; */
	DIA_SQL_ASSIGN,       /* := */
	DIA_SQL_LE,           /* <= */
	DIA_SQL_GE,           /* >= */
	DIA_SQL_NE,           /* <> != */
	DIA_SQL_NULL_SAFE_EQ, /* <=> */
	DIA_SQL_SHIFT_LEFT,   /* << */
	DIA_SQL_SHIFT_RIGHT,  /* >> */
	DIA_SQL_OR_OR,        /* || */
	DIA_SQL_AND_AND,      /* && */
	DIA_SQL_DOT_DOT,      /* .. */
	DIA_SQL_PUNCT, /* one character, in `ch`: ( ) , . = < > + - * / % ^ ~ ! & | : { }
			  [ ] @ */
};

struct dia_sql_token {
	enum dia_sql_kind kind;
	struct dia_slice text; /* as written, quotes included */
	struct dia_slice
		body;    /* between the quotes, still escaped; else the same as text */
	uint8_t ch;      /* of DIA_SQL_PUNCT, else 0 */
	uint8_t quote;   /* the quote character, 0 when there is none */
	bool escaped;    /* body holds doubled quotes or backslash escapes */
	bool after_dot;  /* directly after a dot: a name, whatever word it is */
	bool in_comment; /* inside an executable comment */
};

struct dia_sql_lexer {
	const uint8_t *at, *end;
	uint32_t flags;   /* enum dia_sql_flags */
	uint32_t version; /* of the server, 101119 for 10.11.19; init sets
			     DIA_SQL_VERSION_MIN */
	/* The smallest number of a comment that was skipped only because it is above
	 * `version`; 0 when there was none. Who does not know the server's version lexes
	 * again with this. */
	uint32_t next_version;
	bool in_comment; /* inside an executable comment */
	/* That comment had a `;`: whether a closing mark still closes it depends on
	 * whether the server took the `;` as the end of the text it parses. */
	bool comment_had_semicolon;
	/* Such a mark was followed by `*`, so that the rest of the text has two readings.
	 */
	bool two_readings;
	bool after_dot;
	bool after_name;
};

void dia_sql_lex_init(struct dia_sql_lexer *lexer, struct dia_slice sql, uint32_t flags);
/* The next token into *tok; returns its kind. After DIA_SQL_EOF it stays DIA_SQL_EOF. */
enum dia_sql_kind dia_sql_lex_next(
	struct dia_sql_lexer *lexer, struct dia_sql_token *tok);

/* True if tok is an unquoted word equal to `word` (upper-case ASCII) in any case and not
 * a name after a dot. */
bool dia_sql_token_is(const struct dia_sql_token *tok, const char *word);
/* True if tok is a word or quoted name that spells `name` (lower-case ASCII) in any case.
 */
bool dia_sql_token_names(const struct dia_sql_token *tok, const char *name);
bool dia_sql_token_is_ch(const struct dia_sql_token *tok, char ch);

/*
 * The value of a STRING, NSTRING or QUOTED token: doubled quotes and escapes resolved,
 * into out, which has room for body.len bytes. Returns the length. `\%` and `\_` keep
 * their backslash as in the server.
 */
size_t dia_sql_token_unquote(
	const struct dia_sql_token *tok, uint32_t flags, uint8_t *out);

#endif /* DIA_PARSER_SQL_LEXER_H */
