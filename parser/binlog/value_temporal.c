/* parser/binlog/value_temporal.c - dates and times, in the formats before and since 5.6.
 */
#include "parser/binlog/value.h"

struct civil {
	unsigned year, month, day, hour, minute, second;
};

static void add_date(const struct civil *t, struct dia_buf *out)
{
	(void)dia_buf_printf(out, "%04u-%02u-%02u", t->year, t->month, t->day);
}

static void add_datetime(const struct civil *t, struct dia_buf *out)
{
	(void)dia_buf_printf(out, "%04u-%02u-%02u %02u:%02u:%02u", t->year, t->month,
		t->day, t->hour, t->minute, t->second);
}

/* A fraction is kept in whole bytes, so in an even number of digits: 1 and 2 in
 * hundredths, 3 and 4 in 1/10,000, 5 and 6 in microseconds. */
static void add_fraction(uint32_t fraction, unsigned digits, struct dia_buf *out)
{
	if (digits == 0)
		return;
	if (digits % 2 != 0)
		fraction /= 10;
	(void)dia_buf_printf(out, ".%0*u", (int)digits, fraction);
}

static uint64_t be(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Seconds since 1970 to a date in UTC (days to civil, proleptic Gregorian, eras of 400
 * years that start on 1 March). Zero is the server's zero timestamp. */
static struct civil civil_of(uint32_t seconds)
{
	uint32_t days = seconds / 86400, rest = seconds % 86400;
	uint32_t z = days + 719468;
	uint32_t era = z / 146097, of_era = z % 146097;
	uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint32_t shifted = (5 * of_year + 2) / 153;
	struct civil t = {
		.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60};

	if (seconds == 0)
		return (struct civil){0};
	t.day = of_year - (153 * shifted + 2) / 5 + 1;
	t.month = shifted < 10 ? shifted + 3 : shifted - 9;
	t.year = year + era * 400 + (t.month <= 2 ? 1 : 0);
	return t;
}

static void timestamp2_text(unsigned digits, struct dia_slice packed, struct dia_buf *out)
{
	uint32_t seconds = (uint32_t)be(packed.data, 4);
	uint32_t fraction = (uint32_t)be(packed.data + 4, packed.len - 4);
	struct civil t = civil_of(seconds);

	if (seconds == 0 && fraction != 0)
		t = (struct civil){.year = 1970, .month = 1, .day = 1};
	add_datetime(&t, out);
	add_fraction(fraction, digits, out);
}

static void datetime2_text(unsigned digits, struct dia_slice packed, struct dia_buf *out)
{
	uint64_t v = be(packed.data, 5) & UINT64_C(0x7fffffffff);
	uint32_t ymd = (uint32_t)(v >> 17), hms = (uint32_t)v & 0x1ffff;
	uint32_t ym = ymd >> 5;
	struct civil t = {.year = ym / 13,
		.month = ym % 13,
		.day = ymd & 31,
		.hour = hms >> 12,
		.minute = hms >> 6 & 63,
		.second = hms & 63};

	add_datetime(&t, out);
	add_fraction((uint32_t)be(packed.data + 5, packed.len - 5), digits, out);
}

static void add_time(
	bool negative, unsigned h, unsigned m, unsigned s, struct dia_buf *out)
{
	(void)dia_buf_printf(out, "%s%02u:%02u:%02u", negative ? "-" : "", h, m, s);
}

/* Whole part and fraction are one number around an offset, so the fraction of a negative
 * time has to be read from the negated whole. */
static void time2_text(unsigned digits, struct dia_slice packed, struct dia_buf *out)
{
	unsigned shift = (unsigned)(packed.len - 3) * 8;
	int64_t v = (int64_t)be(packed.data, packed.len) - ((int64_t)0x800000 << shift);
	uint64_t abs = (uint64_t)(v < 0 ? -v : v);
	uint32_t hms = (uint32_t)(abs >> shift);

	add_time(v < 0, hms >> 12 & 0x3ff, hms >> 6 & 63, hms & 63, out);
	add_fraction((uint32_t)(abs & ((UINT64_C(1) << shift) - 1)), digits, out);
}

static void old_time_text(struct dia_slice packed, struct dia_buf *out)
{
	uint32_t raw = dia_le24(packed.data);
	bool negative = (raw & 0x800000) != 0;
	uint32_t v = negative ? 0x1000000 - raw : raw;

	add_time(negative, v / 10000, v / 100 % 100, v % 100, out);
}

static void old_datetime_text(struct dia_slice packed, struct dia_buf *out)
{
	uint64_t v = dia_le64(packed.data);
	uint64_t date = v / 1000000 % 100000000;
	unsigned time = (unsigned)(v % 1000000);
	struct civil t = {.year = (unsigned)(date / 10000),
		.month = (unsigned)(date / 100 % 100),
		.day = (unsigned)(date % 100),
		.hour = time / 10000,
		.minute = time / 100 % 100,
		.second = time % 100};

	add_datetime(&t, out);
}

static void date_text(struct dia_slice packed, struct dia_buf *out)
{
	uint32_t v = dia_le24(packed.data);
	struct civil t = {.year = v >> 9, .month = v >> 5 & 15, .day = v & 31};

	add_date(&t, out);
}

bool dia_temporal_text(
	const struct dia_column *column, struct dia_slice packed, struct dia_buf *out)
{
	struct civil t;

	switch (column->type) {
	case DIA_TYPE_DATE:
	case DIA_TYPE_NEWDATE:
		date_text(packed, out);
		return true;
	case DIA_TYPE_TIME:
		old_time_text(packed, out);
		return true;
	case DIA_TYPE_DATETIME:
		old_datetime_text(packed, out);
		return true;
	case DIA_TYPE_TIMESTAMP:
		t = civil_of(dia_le32(packed.data));
		add_datetime(&t, out);
		return true;
	case DIA_TYPE_TIME2:
		time2_text(column->meta, packed, out);
		return true;
	case DIA_TYPE_DATETIME2:
		datetime2_text(column->meta, packed, out);
		return true;
	case DIA_TYPE_TIMESTAMP2:
		timestamp2_text(column->meta, packed, out);
		return true;
	default:
		return false;
	}
}
