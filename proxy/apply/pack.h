/*
 * proxy/apply/pack.h - a value that the database printed, back into its packed form.
 *
 * Enough for the columns of primary keys, so that a row found by SQL can be named as
 * binlog events name it.
 */
#ifndef DIA_APPLY_PACK_H
#define DIA_APPLY_PACK_H

#include "parser/binlog/row_image.h"

/* Append the SELECT expression whose text apply_pack takes; false for a type that cannot
 * be packed. */
bool apply_pack_select(const struct dia_column *column, struct dia_buf *out);
/* Append the packed value of a column that is not NULL; false when the text is not of the
 * form that the type has, or out of memory. The caller makes sure that the result finds
 * its row again. */
bool apply_pack(
	const struct dia_column *column, struct dia_slice text, struct dia_buf *out);

#endif /* DIA_APPLY_PACK_H */
