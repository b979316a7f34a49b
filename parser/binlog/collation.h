/*
 * parser/binlog/collation.h - what the keys of text need to know about a collation.
 *
 * Ids are those of MariaDB (Table_map metadata). The lists are in collation_table.c.
 */
#ifndef DIA_BINLOG_COLLATION_H
#define DIA_BINLOG_COLLATION_H

#include "proxy/core/buf.h"

/* X(enumerator, name for an introducer or CONVERT, bytes of an ASCII character) */
#define DIA_CHARSET_LIST(X)        \
	X(UNKNOWN, "", 0)          \
	X(ARMSCII8, "armscii8", 1) \
	X(ASCII, "ascii", 1)       \
	X(BIG5, "big5", 1)         \
	X(BINARY, "binary", 1)     \
	X(CP1250, "cp1250", 1)     \
	X(CP1251, "cp1251", 1)     \
	X(CP1256, "cp1256", 1)     \
	X(CP1257, "cp1257", 1)     \
	X(CP850, "cp850", 1)       \
	X(CP852, "cp852", 1)       \
	X(CP866, "cp866", 1)       \
	X(CP932, "cp932", 1)       \
	X(DEC8, "dec8", 1)         \
	X(EUCJPMS, "eucjpms", 1)   \
	X(EUCKR, "euckr", 1)       \
	X(GB2312, "gb2312", 1)     \
	X(GBK, "gbk", 1)           \
	X(GEOSTD8, "geostd8", 1)   \
	X(GREEK, "greek", 1)       \
	X(HEBREW, "hebrew", 1)     \
	X(HP8, "hp8", 1)           \
	X(KEYBCS2, "keybcs2", 1)   \
	X(KOI8R, "koi8r", 1)       \
	X(KOI8U, "koi8u", 1)       \
	X(LATIN1, "latin1", 1)     \
	X(LATIN2, "latin2", 1)     \
	X(LATIN5, "latin5", 1)     \
	X(LATIN7, "latin7", 1)     \
	X(MACCE, "macce", 1)       \
	X(MACROMAN, "macroman", 1) \
	X(SJIS, "sjis", 1)         \
	X(SWE7, "swe7", 1)         \
	X(TIS620, "tis620", 1)     \
	X(UCS2, "ucs2", 2)         \
	X(UJIS, "ujis", 1)         \
	X(UTF16, "utf16", 2)       \
	X(UTF16LE, "utf16le", 2)   \
	X(UTF32, "utf32", 4)       \
	X(UTF8MB3, "utf8mb3", 1)   \
	X(UTF8MB4, "utf8mb4", 1)

enum dia_charset {
#define DIA_CHARSET_ENUM(id, name, unit) DIA_CHARSET_##id,
	DIA_CHARSET_LIST(DIA_CHARSET_ENUM)
#undef DIA_CHARSET_ENUM
};

/* How the key of a text is made. */
enum dia_key_kind {
	DIA_KEY_BYTES = 0, /* binary and _bin: the bytes */
	DIA_KEY_TABLE, /* printable ASCII by weights, everything else by asking the server
			*/
	DIA_KEY_WEIGH, /* always by asking the server: contractions, several levels */
};

enum { DIA_COLLATION_NO_TABLE = 255 };

struct dia_collation {
	uint16_t id;
	uint8_t charset; /* enum dia_charset */
	uint8_t kind;    /* enum dia_key_kind */
	bool pad;        /* PAD SPACE: trailing spaces do not count */
	uint8_t table;   /* into dia_collation_weights, or NO_TABLE */
	uint16_t space;  /* DIA_KEY_WEIGH of the UCA family: first weight of a space; else
			    0 */
};

/* What WEIGHT_STRING() gives for the characters 32 to 126, each on its own. */
struct dia_weights {
	struct {
		uint8_t len;
		uint8_t bytes[2];
	} of[95];
};

/* The collation with that id; false (and *ret: unknown character set, always weigh, PAD)
 * when it is not one we know. */
bool dia_collation_find(uint16_t id, struct dia_collation *ret);

/* Name of a character set as SQL spells it; "" for UNKNOWN. */
const char *dia_charset_name(enum dia_charset charset);
/* Bytes of an ASCII character: 1, 2 (ucs2, utf16, utf16le) or 4 (utf32); 0 for UNKNOWN.
 */
unsigned dia_charset_unit(enum dia_charset charset);

/* Text without its trailing spaces (U+0020 as the character set has it). */
struct dia_slice dia_charset_strip(enum dia_charset charset, struct dia_slice text);
/* The first `chars` characters of text; what is malformed counts one character per byte.
 */
struct dia_slice dia_charset_prefix(
	enum dia_charset charset, struct dia_slice text, uint32_t chars);
/* The ASCII character at the unit p (dia_charset_unit bytes), or -1 when it is another.
 */
int dia_charset_ascii(enum dia_charset charset, const uint8_t *p);

extern const struct dia_weights dia_collation_weights[];
extern const struct dia_collation dia_collation_list[]; /* ascending ids, below 2048 */
extern const size_t dia_collation_list_len;
/* Weight table of each uca1400 tailoring (accent- and case-insensitive form). */
extern const uint8_t dia_collation_uca1400[];
extern const size_t dia_collation_uca1400_len;

#endif /* DIA_BINLOG_COLLATION_H */
