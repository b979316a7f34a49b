/*
 * parser/binlog/value.h - packed values taken apart. Internal to parser/binlog.
 *
 * The packed slice has come from dia_value_take, so it is as long as its type says; what
 * is inside (a month 15, a decimal digit group over its bound) may still be anything.
 */
#ifndef DIA_BINLOG_VALUE_H
#define DIA_BINLOG_VALUE_H

#include "parser/binlog/row_image.h"

enum { DIA_COLLATION_BINARY = 63 };

/* Packed length of NEWDECIMAL with this meta (precision << 8 | scale). */
size_t dia_decimal_len(uint16_t meta);

/* Append the printed form. */
void dia_decimal_text(uint16_t meta, struct dia_slice packed, struct dia_buf *out);
void dia_float_text(float v, struct dia_buf *out);
void dia_double_text(double v, struct dia_buf *out);

float dia_value_float(struct dia_slice packed);
double dia_value_double(struct dia_slice packed);

/* Append the printed form of a DATE, TIME, DATETIME or TIMESTAMP of any format; false if
 * the type is none of them. */
bool dia_temporal_text(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out);

/* Contents of a string or blob behind its length prefix, not uncompressed. */
struct dia_slice dia_value_bytes(
	const struct dia_column *column, struct dia_slice packed);

/* Append contents of a string or blob as a client would see them: uncompressed, BINARY(n)
 * padded. DIA_E_PROTOCOL if a compressed value cannot be read. */
DIA_MUST_CHECK enum dia_rc dia_value_content(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out);

/* Little-endian unsigned of 1 to 8 bytes (integers, ENUM, SET); BIT is big-endian. */
uint64_t dia_value_uint_le(struct dia_slice packed);
uint64_t dia_value_uint_be(struct dia_slice packed);

/* Append a comma in the column's character set: what stands between the names of a SET.
 */
void dia_column_comma(const struct dia_column *column, struct dia_buf *out);

/* True for columns whose bytes are text in a character set. */
bool dia_column_is_text(const struct dia_column *column);

#endif /* DIA_BINLOG_VALUE_H */
