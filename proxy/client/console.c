/* proxy/client/console.c - see console.h. */
#include "proxy/client/console.h"

#include "parser/wire/reply.h"

struct dia_console_row {
	struct dia_console_row *next;
	struct dia_slice values[];
};

static enum dia_rc fail(struct dia_console_result *res, enum dia_rc rc)
{
	if (res->rc == DIA_OK)
		res->rc = rc;
	return res->rc;
}

enum dia_rc dia_console_add_column(struct dia_console_result *res, const char *name)
{
	struct dia_slice copy;

	if (res->row_count > 0)
		return fail(res, DIA_E_STATE);
	if (res->column_count == DIA_CONSOLE_COLUMNS_MAX)
		return fail(res, DIA_E_LIMIT);
	copy = dia_arena_dup(&res->arena, dia_slice_str(name));
	if (copy.data == NULL)
		return fail(res, DIA_E_NOMEM);
	res->columns[res->column_count++] = copy;
	return res->rc;
}

/* A copy that stays non-NULL for an empty string, which is not SQL NULL. */
static bool copy_value(
	struct dia_console_result *res, struct dia_slice from, struct dia_slice *ret)
{
	if (from.data == NULL) {
		*ret = from;
		return true;
	}
	if (from.len == 0) {
		*ret = dia_slice_str("");
		return true;
	}
	*ret = dia_arena_dup(&res->arena, from);
	res->bytes += from.len;
	return ret->data != NULL;
}

enum dia_rc dia_console_add_row(
	struct dia_console_result *res, const struct dia_slice *values)
{
	struct dia_console_row *row;

	if (res->rc != DIA_OK)
		return res->rc;
	if (res->column_count == 0)
		return fail(res, DIA_E_STATE);
	row = dia_arena_alloc(
		&res->arena, sizeof(*row) + res->column_count * sizeof(row->values[0]));
	if (row == NULL)
		return fail(res, DIA_E_NOMEM);
	row->next = NULL;
	for (size_t i = 0; i < res->column_count; i++)
		if (!copy_value(res, values[i], &row->values[i]))
			return fail(res, DIA_E_NOMEM);
	if (res->bytes > DIA_CONSOLE_BYTES_MAX)
		return fail(res, DIA_E_LIMIT);
	if (res->last == NULL)
		res->first = row;
	else
		res->last->next = row;
	res->last = row;
	res->row_count++;
	return DIA_OK;
}

enum dia_rc dia_console_add_texts(
	struct dia_console_result *res, const char *const *values)
{
	struct dia_slice row[DIA_CONSOLE_COLUMNS_MAX];

	for (size_t i = 0; i < res->column_count; i++)
		row[i] = values[i] == NULL ? dia_slice_of(NULL, 0)
					   : dia_slice_str(values[i]);
	return dia_console_add_row(res, row);
}

void dia_console_fini(struct dia_console_result *res)
{
	dia_arena_fini(&res->arena);
	*res = (struct dia_console_result){.column_count = 0};
}

enum dia_rc dia_console_encode(const struct dia_console_result *res, uint64_t caps,
	uint16_t status, uint8_t *seq, struct dia_buf *out)
{
	(void)dia_reply_columns(out, seq, caps, status, res->columns, res->column_count);
	for (const struct dia_console_row *row = res->first; row != NULL; row = row->next)
		(void)dia_reply_row(out, seq, row->values, res->column_count);
	return dia_reply_end(out, seq, caps, status);
}
