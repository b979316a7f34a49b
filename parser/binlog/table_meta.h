/*
 * parser/binlog/table_meta.h - the optional metadata behind a Table_map event's columns.
 *
 * Internal to parser/binlog. Reads what is left at c (type, length, value, to the end of
 * the event) into ret, whose columns stand with type and nullability already. Types we do
 * not know are skipped; a known one that contradicts the columns is BAD.
 */
#ifndef DIA_BINLOG_TABLE_META_H
#define DIA_BINLOG_TABLE_META_H

#include "parser/binlog/table_map.h"

DIA_MUST_CHECK enum dia_parse dia_table_meta_parse(
	struct dia_cursor *c, struct dia_arena *arena, struct dia_table *ret);

#endif /* DIA_BINLOG_TABLE_META_H */
