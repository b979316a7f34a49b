/*
 * parser/wire/packet.h - the MySQL/MariaDB client protocol: numbers and packet framing.
 *
 * A packet is a 3-byte little-endian payload length, a sequence byte, the payload. A
 * payload of 0xffffff bytes continues in the next packet; one of exactly k * 0xffffff
 * bytes ends with an empty packet (MariaDB documentation, "0 - Packet"). Capabilities are
 * one 64-bit set: the low word as in the handshake, the high word MariaDB's extension.
 */
#ifndef DIA_WIRE_PACKET_H
#define DIA_WIRE_PACKET_H

#include "proxy/core/buf.h"
#include "proxy/core/rc.h"
#include "proxy/core/slice.h"

enum {
	DIA_PACKET_HEADER = 4,
	DIA_PACKET_MAX =
		0xffffff, /* longest payload of one packet; this length continues */
};

#define DIA_CAP_LONG_PASSWORD \
	(UINT64_C(1) << 0) /* unset: a MariaDB peer with extensions */
#define DIA_CAP_FOUND_ROWS        (UINT64_C(1) << 1)
#define DIA_CAP_LONG_FLAG         (UINT64_C(1) << 2)
#define DIA_CAP_CONNECT_WITH_DB   (UINT64_C(1) << 3)
#define DIA_CAP_NO_SCHEMA         (UINT64_C(1) << 4)
#define DIA_CAP_COMPRESS          (UINT64_C(1) << 5)
#define DIA_CAP_ODBC              (UINT64_C(1) << 6)
#define DIA_CAP_LOCAL_FILES       (UINT64_C(1) << 7)
#define DIA_CAP_IGNORE_SPACE      (UINT64_C(1) << 8)
#define DIA_CAP_PROTOCOL_41       (UINT64_C(1) << 9)
#define DIA_CAP_INTERACTIVE       (UINT64_C(1) << 10)
#define DIA_CAP_SSL               (UINT64_C(1) << 11)
#define DIA_CAP_IGNORE_SIGPIPE    (UINT64_C(1) << 12)
#define DIA_CAP_TRANSACTIONS      (UINT64_C(1) << 13)
#define DIA_CAP_RESERVED          (UINT64_C(1) << 14)
#define DIA_CAP_SECURE_CONNECTION (UINT64_C(1) << 15)
#define DIA_CAP_MULTI_STATEMENTS  (UINT64_C(1) << 16)
#define DIA_CAP_MULTI_RESULTS     (UINT64_C(1) << 17)
#define DIA_CAP_PS_MULTI_RESULTS  (UINT64_C(1) << 18)
#define DIA_CAP_PLUGIN_AUTH       (UINT64_C(1) << 19)
#define DIA_CAP_CONNECT_ATTRS     (UINT64_C(1) << 20)
#define DIA_CAP_AUTH_LENENC       (UINT64_C(1) << 21)
#define DIA_CAP_EXPIRED_PASSWORDS (UINT64_C(1) << 22)
#define DIA_CAP_SESSION_TRACK     (UINT64_C(1) << 23)
#define DIA_CAP_DEPRECATE_EOF     (UINT64_C(1) << 24)
#define DIA_CAP_OPTIONAL_METADATA (UINT64_C(1) << 25)
#define DIA_CAP_ZSTD              (UINT64_C(1) << 26)
#define DIA_CAP_QUERY_ATTRIBUTES  (UINT64_C(1) << 27)
#define DIA_CAP_VERIFY_CERT       (UINT64_C(1) << 30)
#define DIA_CAP_REMEMBER_OPTIONS  (UINT64_C(1) << 31)
#define DIA_CAP_MARIA_PROGRESS    (UINT64_C(1) << 32)
#define DIA_CAP_MARIA_COM_MULTI   (UINT64_C(1) << 33)
#define DIA_CAP_MARIA_BULK        (UINT64_C(1) << 34)
#define DIA_CAP_MARIA_EXT_META    (UINT64_C(1) << 35)
#define DIA_CAP_MARIA_CACHE_META  (UINT64_C(1) << 36)
#define DIA_CAP_MARIA_BULK_UNITS  (UINT64_C(1) << 37)

/*
 * What the relay carries. A bit not listed is offered to no client and passed to no
 * server: TLS and compression would hide the packets, MySQL's query attributes and
 * optional metadata change the shape of commands and results, COM_MULTI was removed from
 * MariaDB, and a bit from the future may change anything.
 */
#define DIA_CAPS_RELAYED                                                                 \
	(DIA_CAP_LONG_PASSWORD | DIA_CAP_FOUND_ROWS | DIA_CAP_LONG_FLAG |                \
		DIA_CAP_CONNECT_WITH_DB | DIA_CAP_NO_SCHEMA | DIA_CAP_ODBC |             \
		DIA_CAP_LOCAL_FILES | DIA_CAP_IGNORE_SPACE | DIA_CAP_PROTOCOL_41 |       \
		DIA_CAP_INTERACTIVE | DIA_CAP_IGNORE_SIGPIPE | DIA_CAP_TRANSACTIONS |    \
		DIA_CAP_RESERVED | DIA_CAP_SECURE_CONNECTION |                           \
		DIA_CAP_MULTI_STATEMENTS | DIA_CAP_MULTI_RESULTS |                       \
		DIA_CAP_PS_MULTI_RESULTS | DIA_CAP_PLUGIN_AUTH | DIA_CAP_CONNECT_ATTRS | \
		DIA_CAP_AUTH_LENENC | DIA_CAP_EXPIRED_PASSWORDS |                        \
		DIA_CAP_SESSION_TRACK | DIA_CAP_DEPRECATE_EOF | DIA_CAP_VERIFY_CERT |    \
		DIA_CAP_REMEMBER_OPTIONS | DIA_CAP_MARIA_PROGRESS | DIA_CAP_MARIA_BULK | \
		DIA_CAP_MARIA_EXT_META | DIA_CAP_MARIA_CACHE_META |                      \
		DIA_CAP_MARIA_BULK_UNITS)

/* Status flags of OK and EOF packets. */
enum {
	DIA_STATUS_IN_TRANS = 0x0001,
	DIA_STATUS_AUTOCOMMIT = 0x0002,
	DIA_STATUS_MORE_RESULTS = 0x0008,
	DIA_STATUS_CURSOR_EXISTS = 0x0040,
	DIA_STATUS_LAST_ROW_SENT = 0x0080,
	DIA_STATUS_NO_BACKSLASH_ESCAPES = 0x0200,
	DIA_STATUS_ANSI_QUOTES = 0x8000,
};

/* Append payload as one packet, or several where it needs continuation; *seq is the first
 * packet's sequence number and is moved past the last one used. */
enum dia_rc dia_packet_add(struct dia_buf *out, uint8_t *seq, struct dia_slice payload);

#endif /* DIA_WIRE_PACKET_H */
