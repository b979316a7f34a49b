/* parser/binlog/value_number.c - DECIMAL, FLOAT and DOUBLE as the server prints them. */
#include "parser/binlog/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	DIGITS_PER_GROUP = 9, /* of DECIMAL, in four bytes */
	FLOAT_DIGITS = 6, /* the server prints that many of a FLOAT, round trip or not */
	DOUBLE_DIGITS_SURE = 15,
	DOUBLE_DIGITS_MAX = 17,
	PLAIN_EXPONENT_MAX = 15, /* beyond that many places the server writes 1e16 */
};

static const uint8_t group_bytes[DIGITS_PER_GROUP + 1] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};

size_t dia_decimal_len(uint16_t meta)
{
	unsigned scale = meta & 0xff, whole = (unsigned)(meta >> 8) - scale;

	return (size_t)whole / DIGITS_PER_GROUP * 4 +
	       group_bytes[whole % DIGITS_PER_GROUP] +
	       (size_t)scale / DIGITS_PER_GROUP * 4 +
	       group_bytes[scale % DIGITS_PER_GROUP];
}

struct decimal_reader {
	const uint8_t *at;
	uint8_t first,
		flip; /* the sign bit is turned in the first byte, a negative in all */
	char digits[128];
	size_t count;
};

static void take_group(struct decimal_reader *r, unsigned digits)
{
	unsigned bytes = group_bytes[digits];
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++) {
		v = v << 8 | (uint8_t)(*r->at++ ^ r->first ^ r->flip);
		r->first = 0;
	}
	/* A group from outside may hold more than its digits: keep the low ones. */
	for (unsigned i = digits; i-- > 0; v /= 10)
		r->digits[r->count + i] = (char)('0' + v % 10);
	r->count += digits;
}

void dia_decimal_text(uint16_t meta, struct dia_slice packed, struct dia_buf *out)
{
	unsigned scale = meta & 0xff, whole = (unsigned)(meta >> 8) - scale;
	struct decimal_reader r = {.at = packed.data, .first = 0x80};
	size_t skip = 0, i = 0;
	bool negative;

	if (packed.len == 0 || packed.len != dia_decimal_len(meta) || whole + scale > 100)
		return;
	negative = (packed.data[0] & 0x80) == 0;
	r.flip = negative ? 0xff : 0;
	take_group(&r, whole % DIGITS_PER_GROUP);
	for (i = 0; i < whole / DIGITS_PER_GROUP; i++)
		take_group(&r, DIGITS_PER_GROUP);
	for (i = 0; i < scale / DIGITS_PER_GROUP; i++)
		take_group(&r, DIGITS_PER_GROUP);
	take_group(&r, scale % DIGITS_PER_GROUP);

	for (i = 0; i < r.count && r.digits[i] == '0'; i++)
		;
	if (negative && i < r.count) /* there is no -0 */
		(void)dia_buf_add_u8(out, '-');
	while (skip < whole && r.digits[skip] == '0')
		skip++;
	if (skip == whole)
		(void)dia_buf_add_u8(out, '0');
	(void)dia_buf_add(out, r.digits + skip, whole - skip);
	if (scale > 0) {
		(void)dia_buf_add_u8(out, '.');
		(void)dia_buf_add(out, r.digits + whole, scale);
	}
}

/* Significant digits (no trailing zeros) and the place of the point: 0.d1d2… * 10^point.
 */
struct decimal_digits {
	char at[DOUBLE_DIGITS_MAX + 1];
	int count;
	int point;
};

static void split_digits(double v, int digits, struct decimal_digits *ret)
{
	char text[40];
	const char *p = text;

	(void)snprintf(text, sizeof(text), "%.*e", digits - 1, v);
	ret->count = 0;
	for (; *p != '\0' && *p != 'e'; p++) {
		if (*p >= '0' && *p <= '9' && ret->count < digits)
			ret->at[ret->count++] = *p;
	}
	ret->point = (*p == 'e' ? atoi(p + 1) : 0) + 1;
	while (ret->count > 1 && ret->at[ret->count - 1] == '0')
		ret->count--;
}

/* The layout of the server's number printing: plain while the point is within 15 places,
 * or further right but with digits behind it. */
static void add_digits(const struct decimal_digits *d, struct dia_buf *out)
{
	size_t count = (size_t)d->count;

	if ((d->point > PLAIN_EXPONENT_MAX && d->count <= d->point) ||
		d->point <= -PLAIN_EXPONENT_MAX) {
		(void)dia_buf_add(out, d->at, 1);
		if (count > 1) {
			(void)dia_buf_add_u8(out, '.');
			(void)dia_buf_add(out, d->at + 1, count - 1);
		}
		(void)dia_buf_printf(out, "e%d", d->point - 1);
		return;
	}
	if (d->point <= 0) {
		(void)dia_buf_add_str(out, "0.");
		for (int i = d->point; i < 0; i++)
			(void)dia_buf_add_u8(out, '0');
		(void)dia_buf_add(out, d->at, count);
		return;
	}
	for (int i = 0; i < d->point; i++)
		(void)dia_buf_add_u8(out, (uint8_t)(i < d->count ? d->at[i] : '0'));
	if (d->count > d->point) {
		(void)dia_buf_add_u8(out, '.');
		(void)dia_buf_add(out, d->at + d->point, count - (size_t)d->point);
	}
}

/* True when v is zero, or none that a column can hold; then it has been printed. */
static bool special_text(double v, struct dia_buf *out)
{
	if (v == 0)
		(void)dia_buf_add_u8(out, '0'); /* of -0 as well */
	else if (isnan(v))
		(void)dia_buf_add_str(out, "nan");
	else if (isinf(v))
		(void)dia_buf_add_str(out, v < 0 ? "-inf" : "inf");
	else
		return false;
	return true;
}

void dia_float_text(float v, struct dia_buf *out)
{
	struct decimal_digits d;

	if (special_text((double)v, out))
		return;
	if (v < 0)
		(void)dia_buf_add_u8(out, '-');
	split_digits(fabs((double)v), FLOAT_DIGITS, &d);
	add_digits(&d, out);
}

void dia_double_text(double v, struct dia_buf *out)
{
	/* Below the normal range fewer than 15 digits can be enough, so look for them. */
	int digits = fabs(v) < 2.2250738585072014e-308 ? 1 : DOUBLE_DIGITS_SURE;
	char text[40];
	struct decimal_digits d;

	if (special_text(v, out))
		return;
	if (v < 0)
		(void)dia_buf_add_u8(out, '-');
	v = fabs(v);
	for (; digits < DOUBLE_DIGITS_MAX; digits++) {
		(void)snprintf(text, sizeof(text), "%.*e", digits - 1, v);
		if (strtod(text, NULL) == v)
			break;
	}
	split_digits(v, digits, &d);
	add_digits(&d, out);
}

float dia_value_float(struct dia_slice packed)
{
	uint32_t bits = packed.len == 4 ? dia_le32(packed.data) : 0;
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

double dia_value_double(struct dia_slice packed)
{
	uint64_t bits = packed.len == 8 ? dia_le64(packed.data) : 0;
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}
