/*
 * proxy/store/record.h - the bytes of the journal's files.
 *
 * Everything little-endian, everything checksummed (CRC-32C), entries of one fixed size
 * so that an entry's place follows from its sequence. Pure: no I/O.
 */
#ifndef DIA_STORE_RECORD_H
#define DIA_STORE_RECORD_H

#include "proxy/store/journal.h"
#include "proxy/core/buf.h"

enum {
	DIA_RECORD_ENTRY_LEN = 104,
	DIA_RECORD_SEGMENT_HEAD_LEN = 32,
	DIA_RECORD_HEAD_LEN = 64,
	DIA_RECORD_POINT_MAX = 4096, /* longest point, its frame included */
	DIA_RECORD_BOOT_ID_LEN = 36,
};

uint32_t dia_record_crc(const void *data, size_t len);

void dia_record_entry_write(
	uint8_t out[DIA_RECORD_ENTRY_LEN], const struct dia_journal_entry *e);
/* False when the checksum is wrong or a field cannot be. */
bool dia_record_entry_read(
	const uint8_t in[DIA_RECORD_ENTRY_LEN], struct dia_journal_entry *ret);

/* First bytes of a segment: which journal, and the sequence of its first entry. */
void dia_record_segment_write(
	uint8_t out[DIA_RECORD_SEGMENT_HEAD_LEN], uint64_t incarnation, uint64_t first);
bool dia_record_segment_read(const uint8_t in[DIA_RECORD_SEGMENT_HEAD_LEN],
	uint64_t incarnation, uint64_t *ret_first);

/* The journal's head file. */
struct dia_record_head {
	uint64_t incarnation;
	bool clean; /* closed in order, everything synced */
	char boot_id[DIA_RECORD_BOOT_ID_LEN + 1];
};
void dia_record_head_write(
	uint8_t out[DIA_RECORD_HEAD_LEN], const struct dia_record_head *h);
bool dia_record_head_read(
	const uint8_t in[DIA_RECORD_HEAD_LEN], struct dia_record_head *ret);

/* Append a framed point to out. */
enum dia_rc dia_record_point_write(
	struct dia_buf *out, const struct dia_journal_point *p);
/* The framed point at the start of `in`; *ret_len is the length of the frame. False when
 * it is cut off or damaged. */
bool dia_record_point_read(
	struct dia_slice in, struct dia_journal_point *ret, size_t *ret_len);

#endif /* DIA_STORE_RECORD_H */
