/* proxy/store/record.c - see record.h. */
#include "proxy/store/record.h"

static const char head_magic[8] = "DIAJHD01";
static const char segment_magic[8] = "DIAJSG02";

/* CRC-32C a nibble at a time: the polynomial that file systems and protocols use for
 * short records; 104 bytes take a fraction of a microsecond, the write() around them
 * several. */
uint32_t dia_record_crc(const void *data, size_t len)
{
	static const uint32_t nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede,
		0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78,
		0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a,
		0xf36e6f75};
	const uint8_t *p = data;
	uint32_t crc = UINT32_C(0xffffffff);

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = (crc >> 4) ^ nibble[crc & 15];
		crc = (crc >> 4) ^ nibble[crc & 15];
	}
	return ~crc;
}

/* seq 8, stamp 8, gtid 4+4+8, deps: 7 x 8 sequences, 7 ids, count; commit time 4; crc 4
 */
void dia_record_entry_write(
	uint8_t out[DIA_RECORD_ENTRY_LEN], const struct dia_journal_entry *e)
{
	memset(out, 0, DIA_RECORD_ENTRY_LEN);
	dia_put_le64(out, e->seq);
	dia_put_le64(out + 8, e->stamp.v);
	dia_put_le32(out + 16, e->gtid.domain);
	dia_put_le32(out + 20, e->gtid.server);
	dia_put_le64(out + 24, e->gtid.seq_no);
	for (uint32_t i = 0; i < e->deps.count; i++) {
		dia_put_le64(out + 32 + 8 * i, e->deps.at[i].seq);
		out[88 + i] = (uint8_t)e->deps.at[i].dc.id;
	}
	out[95] = (uint8_t)e->deps.count;
	dia_put_le32(out + 96, e->commit_time);
	dia_put_le32(out + 100, dia_record_crc(out, 100));
}

bool dia_record_entry_read(
	const uint8_t in[DIA_RECORD_ENTRY_LEN], struct dia_journal_entry *ret)
{
	if (dia_le32(in + 100) != dia_record_crc(in, 100) || in[95] > DIA_DEPS_MAX)
		return false;
	*ret = (struct dia_journal_entry){.seq = dia_le64(in),
		.stamp = {dia_le64(in + 8)},
		.gtid = {dia_le32(in + 16), dia_le32(in + 20), dia_le64(in + 24)},
		.commit_time = dia_le32(in + 96)};
	ret->deps.count = in[95];
	for (uint32_t i = 0; i < ret->deps.count; i++) {
		ret->deps.at[i].seq = dia_le64(in + 32 + 8 * i);
		ret->deps.at[i].dc.id = in[88 + i];
		if (ret->deps.at[i].dc.id == 0 || ret->deps.at[i].dc.id > DIA_DC_MAX)
			return false;
	}
	return ret->seq != 0;
}

void dia_record_segment_write(
	uint8_t out[DIA_RECORD_SEGMENT_HEAD_LEN], uint64_t incarnation, uint64_t first)
{
	memset(out, 0, DIA_RECORD_SEGMENT_HEAD_LEN);
	memcpy(out, segment_magic, 8);
	dia_put_le64(out + 8, incarnation);
	dia_put_le64(out + 16, first);
	dia_put_le32(out + 28, dia_record_crc(out, 28));
}

bool dia_record_segment_read(const uint8_t in[DIA_RECORD_SEGMENT_HEAD_LEN],
	uint64_t incarnation, uint64_t *ret_first)
{
	if (memcmp(in, segment_magic, 8) != 0 ||
		dia_le32(in + 28) != dia_record_crc(in, 28) ||
		dia_le64(in + 8) != incarnation)
		return false;
	*ret_first = dia_le64(in + 16);
	return *ret_first != 0;
}

void dia_record_head_write(
	uint8_t out[DIA_RECORD_HEAD_LEN], const struct dia_record_head *h)
{
	memset(out, 0, DIA_RECORD_HEAD_LEN);
	memcpy(out, head_magic, 8);
	dia_put_le64(out + 8, h->incarnation);
	out[16] = h->clean;
	memcpy(out + 17, h->boot_id, DIA_RECORD_BOOT_ID_LEN);
	dia_put_le32(out + 60, dia_record_crc(out, 60));
}

bool dia_record_head_read(
	const uint8_t in[DIA_RECORD_HEAD_LEN], struct dia_record_head *ret)
{
	if (memcmp(in, head_magic, 8) != 0 || dia_le32(in + 60) != dia_record_crc(in, 60))
		return false;
	*ret = (struct dia_record_head){
		.incarnation = dia_le64(in + 8), .clean = in[16] != 0};
	memcpy(ret->boot_id, in + 17, DIA_RECORD_BOOT_ID_LEN);
	return true;
}

/* Frame: length of the payload 4, crc of it 4. Payload: seq 8, last 8, deps count 1 and
 * (id 1, seq 8) each, GTIDs count 2 and 16 bytes each. */
enum dia_rc dia_record_point_write(struct dia_buf *out, const struct dia_journal_point *p)
{
	size_t start = out->len;

	dia_buf_add_le64(out, 0);
	dia_buf_add_le64(out, p->seq);
	dia_buf_add_le64(out, p->last.v);
	dia_buf_add_u8(out, (uint8_t)p->applied.count);
	for (uint32_t i = 0; i < p->applied.count; i++) {
		dia_buf_add_u8(out, (uint8_t)p->applied.at[i].dc.id);
		dia_buf_add_le64(out, p->applied.at[i].seq);
	}
	dia_buf_add_le16(out, (uint16_t)p->pos.count);
	for (uint32_t i = 0; i < p->pos.count; i++) {
		dia_buf_add_le32(out, p->pos.at[i].domain);
		dia_buf_add_le32(out, p->pos.at[i].server);
		dia_buf_add_le64(out, p->pos.at[i].seq_no);
	}
	if (out->failed)
		return DIA_E_NOMEM;
	dia_put_le32(out->data + start, (uint32_t)(out->len - start - 8));
	dia_put_le32(out->data + start + 4,
		dia_record_crc(out->data + start + 8, out->len - start - 8));
	return DIA_OK;
}

bool dia_record_point_read(
	struct dia_slice in, struct dia_journal_point *ret, size_t *ret_len)
{
	struct dia_cursor c = dia_cursor_of(in);
	uint32_t len = dia_cursor_le32(&c), crc = dia_cursor_le32(&c);
	struct dia_slice payload = dia_cursor_slice(&c, len);

	if (c.bad || len > DIA_RECORD_POINT_MAX - 8 ||
		dia_record_crc(payload.data, payload.len) != crc)
		return false;
	c = dia_cursor_of(payload);
	memset(ret, 0, sizeof(*ret));
	ret->seq = dia_cursor_le64(&c);
	ret->last.v = dia_cursor_le64(&c);
	ret->applied.count = dia_cursor_u8(&c);
	if (ret->applied.count > DIA_DEPS_MAX)
		return false;
	for (uint32_t i = 0; i < ret->applied.count; i++) {
		ret->applied.at[i].dc.id = dia_cursor_u8(&c);
		ret->applied.at[i].seq = dia_cursor_le64(&c);
	}
	ret->pos.count = dia_cursor_le16(&c);
	if (ret->pos.count > DIA_GTID_POS_MAX)
		return false;
	for (uint32_t i = 0; i < ret->pos.count; i++) {
		ret->pos.at[i].domain = dia_cursor_le32(&c);
		ret->pos.at[i].server = dia_cursor_le32(&c);
		ret->pos.at[i].seq_no = dia_cursor_le64(&c);
	}
	*ret_len = 8 + (size_t)len;
	return !c.bad && dia_cursor_left(&c) == 0;
}
