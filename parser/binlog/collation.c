/* parser/binlog/collation.c - see collation.h. */
#include "parser/binlog/collation.h"

enum {
	/* MariaDB 10.10+: 2048 + 256 * charset + 8 * tailoring + 4 * nopad + 2 * accent
	 * sensitive + case sensitive. */
	UCA1400_FIRST = 2048,
	UCA1400_PER_CHARSET = 256,
	UCA1400_NOPAD = 4,
	UCA1400_LEVELS = 3, /* accents and case: more than one level of weights */
	UCA1400_SPACE = 0x0209,
};

static const uint8_t uca1400_charsets[] = {DIA_CHARSET_UTF8MB3, DIA_CHARSET_UTF8MB4,
	DIA_CHARSET_UCS2, DIA_CHARSET_UTF16, DIA_CHARSET_UTF32};

static bool find_uca1400(uint16_t id, struct dia_collation *ret)
{
	size_t charset = (size_t)(id - UCA1400_FIRST) / UCA1400_PER_CHARSET;
	size_t tailoring = (size_t)(id % UCA1400_PER_CHARSET) / 8;

	if (charset >= sizeof(uca1400_charsets) || tailoring >= dia_collation_uca1400_len)
		return false;
	ret->charset = uca1400_charsets[charset];
	ret->pad = (id & UCA1400_NOPAD) == 0;
	if ((id & UCA1400_LEVELS) == 0)
		ret->table = dia_collation_uca1400[tailoring];
	ret->kind = ret->table == DIA_COLLATION_NO_TABLE ? DIA_KEY_WEIGH : DIA_KEY_TABLE;
	ret->space = UCA1400_SPACE;
	return true;
}

bool dia_collation_find(uint16_t id, struct dia_collation *ret)
{
	size_t low = 0, high = dia_collation_list_len;

	*ret = (struct dia_collation){.id = id,
		.charset = DIA_CHARSET_UNKNOWN,
		.kind = DIA_KEY_WEIGH,
		.pad = true,
		.table = DIA_COLLATION_NO_TABLE};
	if (id >= UCA1400_FIRST)
		return find_uca1400(id, ret);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (dia_collation_list[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == dia_collation_list_len || dia_collation_list[low].id != id)
		return false;
	*ret = dia_collation_list[low];
	return true;
}

const char *dia_charset_name(enum dia_charset charset)
{
	static const char *const names[] = {
#define DIA_CHARSET_NAME(id, name, unit) name,
		DIA_CHARSET_LIST(DIA_CHARSET_NAME)
#undef DIA_CHARSET_NAME
	};

	return names[charset];
}

unsigned dia_charset_unit(enum dia_charset charset)
{
	static const uint8_t units[] = {
#define DIA_CHARSET_UNIT(id, name, unit) unit,
		DIA_CHARSET_LIST(DIA_CHARSET_UNIT)
#undef DIA_CHARSET_UNIT
	};

	return units[charset];
}

int dia_charset_ascii(enum dia_charset charset, const uint8_t *p)
{
	switch (dia_charset_unit(charset)) {
	case 1:
		return p[0] < 0x80 ? p[0] : -1;
	case 2:
		if (charset == DIA_CHARSET_UTF16LE)
			return p[1] == 0 && p[0] < 0x80 ? p[0] : -1;
		return p[0] == 0 && p[1] < 0x80 ? p[1] : -1;
	case 4:
		return p[0] == 0 && p[1] == 0 && p[2] == 0 && p[3] < 0x80 ? p[3] : -1;
	default:
		return -1;
	}
}

struct dia_slice dia_charset_strip(enum dia_charset charset, struct dia_slice text)
{
	unsigned unit = dia_charset_unit(charset);

	if (unit == 0)
		unit = 1;
	if (text.len % unit != 0)
		return text;
	while (text.len >= unit &&
		dia_charset_ascii(
			charset == DIA_CHARSET_UNKNOWN ? DIA_CHARSET_LATIN1 : charset,
			text.data + text.len - unit) == ' ')
		text.len -= unit;
	return text;
}

static size_t utf8_char_len(uint8_t lead)
{
	if (lead < 0xc2)
		return 1;
	if (lead < 0xe0)
		return 2;
	if (lead < 0xf0)
		return 3;
	return lead < 0xf5 ? 4 : 1;
}

static bool between(uint8_t b, uint8_t low, uint8_t high)
{
	return b >= low && b <= high;
}

/* Bytes of the character that starts with p[0] (of at least one unit). */
static size_t char_len(enum dia_charset charset, const uint8_t *p)
{
	if (charset == DIA_CHARSET_UTF8MB3 || charset == DIA_CHARSET_UTF8MB4)
		return utf8_char_len(p[0]);
	if (charset == DIA_CHARSET_UTF16)
		return between(p[0], 0xd8, 0xdb) ? 4 : 2;
	if (charset == DIA_CHARSET_UTF16LE)
		return between(p[1], 0xd8, 0xdb) ? 4 : 2;
	if (charset == DIA_CHARSET_BIG5)
		return between(p[0], 0xa1, 0xf9) ? 2 : 1;
	if (charset == DIA_CHARSET_GBK || charset == DIA_CHARSET_EUCKR)
		return between(p[0], 0x81, 0xfe) ? 2 : 1;
	if (charset == DIA_CHARSET_GB2312)
		return between(p[0], 0xa1, 0xf7) ? 2 : 1;
	if (charset == DIA_CHARSET_SJIS || charset == DIA_CHARSET_CP932)
		return between(p[0], 0x81, 0x9f) || between(p[0], 0xe0, 0xfc) ? 2 : 1;
	if (charset == DIA_CHARSET_UJIS || charset == DIA_CHARSET_EUCJPMS) {
		if (p[0] == 0x8f)
			return 3;
		return p[0] == 0x8e || between(p[0], 0xa1, 0xfe) ? 2 : 1;
	}
	return dia_charset_unit(charset) == 0 ? 1 : dia_charset_unit(charset);
}

struct dia_slice dia_charset_prefix(
	enum dia_charset charset, struct dia_slice text, uint32_t chars)
{
	unsigned unit = dia_charset_unit(charset);
	size_t at = 0;

	if (unit == 0)
		unit = 1;
	while (chars-- > 0 && text.len - at >= unit) {
		size_t n = char_len(charset, text.data + at);

		at += n <= text.len - at ? n : unit;
	}
	text.len = at;
	return text;
}
