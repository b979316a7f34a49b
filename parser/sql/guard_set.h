/*
 * parser/sql/guard_set.h - the assignments of a SET statement; internal to the guard.
 */
#ifndef DIA_PARSER_SQL_GUARD_SET_H
#define DIA_PARSER_SQL_GUARD_SET_H

#include "parser/sql/guard.h"

struct dia_guard_set {
	bool mode_set;          /* sql_mode is among them */
	bool statement_follows; /* it is SET STATEMENT … FOR, and tok is that FOR */
};

/* True if tok names a variable whose value matters. */
bool dia_guard_is_watched(const struct dia_sql_token *tok);

/*
 * *tok is the first token behind SET (or the first of a bare `name := value`). Reads the
 * whole list and leaves *tok on what ends it: `;`, EOF, or the FOR of SET STATEMENT.
 */
struct dia_guard_verdict dia_guard_check_set(struct dia_sql_lexer *lexer,
	struct dia_sql_token *tok, struct dia_guard_set *ret);

#endif /* DIA_PARSER_SQL_GUARD_SET_H */
