/*
 * tests/fuzz/fuzz_sql_guard.c - any bytes through lexer and guard.
 *
 * The first byte gives the flags. Beyond not crashing: tokens lie in the text in order,
 * and a refusal survives a statement put in front.
 */
#include "parser/sql/guard.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char front[] = "SELECT ';' /* x */;";
	struct dia_sql_lexer lexer;
	struct dia_sql_token tok;
	struct dia_slice sql;
	const uint8_t *last;
	uint32_t flags;
	uint8_t *copy;

	if (size < 1)
		return 0;
	flags = data[0] & 7;
	sql = dia_slice_of(data + 1, size - 1);
	last = sql.data;
	dia_sql_lex_init(&lexer, sql, flags);
	while (dia_sql_lex_next(&lexer, &tok) != DIA_SQL_EOF) {
		require(tok.text.data >= last && tok.text.len > 0);
		last = tok.text.data + tok.text.len;
		require(last <= sql.data + sql.len);
		require(tok.body.data >= tok.text.data &&
			tok.body.data + tok.body.len <= last);
	}
	if (dia_sql_guard(sql, flags).kind != DIA_GUARD_REFUSE)
		return 0;
	copy = malloc(sizeof(front) - 1 + sql.len);
	if (copy == NULL)
		return 0;
	memcpy(copy, front, sizeof(front) - 1);
	memcpy(copy + sizeof(front) - 1, sql.data, sql.len);
	require(dia_sql_guard(dia_slice_of(copy, sizeof(front) - 1 + sql.len), flags)
			.kind == DIA_GUARD_REFUSE);
	free(copy);
	return 0;
}
