/*
 * proxy/peer/frame.h - bytes between two links: framing, compression, small structures.
 *
 * A frame is le32 length of its payload, u8 type, payload. HELLO, ACK, PING, PONG and
 * GOODBYE hold one protobuf message. TXN_BEGIN holds a TxnHead. BATCH and TXN_PART hold
 * le32 raw length and compressed bytes:
 *
 *   BATCH     raw = records of { le16 head length, le32 body length, TxnHead, body }
 *   TXN_PART  raw = the next bytes of the body announced by TXN_BEGIN
 *
 * All compressed payloads of one direction are one endless zstd stream, flushed at the
 * end of each frame: a small transaction is compressed against what went before it. So a
 * decoder takes frames in order, and an encoder or decoder that failed once is finished.
 *
 * Pure: no socket, no clock. Nothing here trusts a byte of its input.
 */
#ifndef DIA_PEER_FRAME_H
#define DIA_PEER_FRAME_H

#include "proxy/core/buf.h"
#include "proxy/core/change.h"

enum dia_frame_type {
	DIA_FRAME_HELLO = 1,
	DIA_FRAME_BATCH = 2,
	DIA_FRAME_TXN_BEGIN = 3,
	DIA_FRAME_TXN_PART = 4,
	DIA_FRAME_ACK = 5,
	DIA_FRAME_PING = 6,
	DIA_FRAME_PONG = 7,
	DIA_FRAME_GOODBYE = 8,
};

enum {
	DIA_FRAME_HEADER = 5,
	DIA_FRAME_MAX = 4 << 20,           /* payload, as it travels */
	DIA_FRAME_RAW_MAX = (4 << 20) - 1, /* payload, decompressed; one byte of room */
	DIA_FRAME_SMALL_MAX = 4096, /* payload of everything but BATCH and TXN_PART */
	DIA_FRAME_HEAD_MAX = 512,   /* one TxnHead */
	DIA_FRAME_NAME_MAX = 64,
	DIA_FRAME_TEXT_MAX = 400,
};

/* Why a side ends the connection: X(name, value, label, result for stats, and whether
 * only an operator can cure it, so that trying again may be slow). */
#define DIA_GOODBYE_LIST(X)                                               \
	X(DIA_GOODBYE_SHUTDOWN, 1, "shutdown", DIA_E_CLOSED, false)       \
	X(DIA_GOODBYE_REPLACED, 2, "replaced", DIA_E_CLOSED, false)       \
	X(DIA_GOODBYE_PROTOCOL, 3, "protocol", DIA_E_PROTOCOL, false)     \
	X(DIA_GOODBYE_FAILED, 4, "failed", DIA_E_IO, false)               \
	X(DIA_GOODBYE_VERSION, 5, "version", DIA_E_UNSUPPORTED, true)     \
	X(DIA_GOODBYE_UNKNOWN_DC, 6, "unknown dc", DIA_E_CONFIG, true)    \
	X(DIA_GOODBYE_PURGED, 7, "history purged", DIA_E_NOT_FOUND, true) \
	X(DIA_GOODBYE_IDENTITY, 8, "identity", DIA_E_LOST_TAIL, true)     \
	X(DIA_GOODBYE_TOO_LARGE, 9, "too large", DIA_E_LIMIT, true)

enum dia_goodbye {
#define DIA_GOODBYE_ENUM(name, value, label, rc, slow) name = value,
	DIA_GOODBYE_LIST(DIA_GOODBYE_ENUM)
#undef DIA_GOODBYE_ENUM
};

/* For any number, one from a later version included: label "unknown", DIA_E_CLOSED. */
const char *dia_goodbye_label(uint32_t code);
enum dia_rc dia_goodbye_rc(uint32_t code);
bool dia_goodbye_is_slow(uint32_t code);

struct dia_frame {
	enum dia_frame_type type;
	struct dia_slice payload; /* borrowed from the input of dia_frame_split */
};

/* The first frame of `in`. OK: *ret and *ret_used set. MORE: not all here yet. BAD:
 * unknown type, or longer than its type (or max_payload) allows; known from the header
 * alone, so nothing is collected for a frame that will be refused. */
enum dia_parse dia_frame_split(
	struct dia_slice in, size_t max_payload, struct dia_frame *ret, size_t *ret_used);

struct dia_frame_hello {
	uint32_t version_min, version_max;
	struct dia_dc from, to;
	char name[DIA_FRAME_NAME_MAX]; /* cut to fit */
	uint64_t incarnation, head_seq, max_txn_bytes, after_seq;
};

struct dia_frame_ack {
	uint64_t received, applied;
};

struct dia_frame_beat {
	uint64_t id; /* the sender's own business; the pong echoes it */
	uint64_t wall_ms, head_seq;
};

struct dia_frame_goodbye {
	uint32_t code; /* enum dia_goodbye, or a number of a later version */
	char text[DIA_FRAME_TEXT_MAX];
};

/* Append a whole frame to out. DIA_E_NOMEM leaves out as it was. */
DIA_MUST_CHECK enum dia_rc dia_frame_put_hello(
	struct dia_buf *out, const struct dia_frame_hello *hello);
DIA_MUST_CHECK enum dia_rc dia_frame_put_ack(
	struct dia_buf *out, const struct dia_frame_ack *ack);
/* type is PING or PONG. */
DIA_MUST_CHECK enum dia_rc dia_frame_put_beat(
	struct dia_buf *out, enum dia_frame_type type, const struct dia_frame_beat *beat);
DIA_MUST_CHECK enum dia_rc dia_frame_put_goodbye(
	struct dia_buf *out, const struct dia_frame_goodbye *goodbye);

/* Read a payload. DIA_E_PROTOCOL with the reason; memory use is bounded. DC ids are
 * checked to be 1..63, versions to be a range, applied not to be past received. */
DIA_MUST_CHECK enum dia_rc dia_frame_get_hello(
	struct dia_slice payload, struct dia_frame_hello *ret, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_frame_get_ack(
	struct dia_slice payload, struct dia_frame_ack *ret, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_frame_get_beat(
	struct dia_slice payload, struct dia_frame_beat *ret, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_frame_get_goodbye(
	struct dia_slice payload, struct dia_frame_goodbye *ret, struct dia_err *reterr);

/* Highest version both ranges hold, 0 when there is none. */
uint32_t dia_frame_version(
	const struct dia_frame_hello *ours, const struct dia_frame_hello *theirs);

struct dia_frame_encoder {
	void *zstd;
	struct dia_buf *out; /* of the frame being made, borrowed from begin to end */
	size_t start;        /* where it begins in out */
	size_t raw;          /* raw bytes in it so far */
	uint32_t count;      /* records in it so far */
};

DIA_MUST_CHECK enum dia_rc dia_frame_encoder_init(
	struct dia_frame_encoder *e, struct dia_err *reterr);
void dia_frame_encoder_fini(struct dia_frame_encoder *e);
/* begin, add (raw together at most DIA_FRAME_RAW_MAX), end: one BATCH frame. */
DIA_MUST_CHECK enum dia_rc dia_frame_batch_begin(
	struct dia_frame_encoder *e, struct dia_buf *out);
DIA_MUST_CHECK enum dia_rc dia_frame_batch_add(struct dia_frame_encoder *e,
	const struct dia_txn_head *head, struct dia_slice body);
DIA_MUST_CHECK enum dia_rc dia_frame_batch_end(struct dia_frame_encoder *e);
/* A transaction that travels in parts. */
DIA_MUST_CHECK enum dia_rc dia_frame_put_begin(
	struct dia_buf *out, const struct dia_txn_head *head, uint64_t body_bytes);
DIA_MUST_CHECK enum dia_rc dia_frame_put_part(
	struct dia_frame_encoder *e, struct dia_buf *out, struct dia_slice bytes);

struct dia_frame_decoder {
	void *zstd;
	struct dia_buf raw;   /* of the frame decoded last */
	struct dia_cursor at; /* what of it next has not given yet */
};

DIA_MUST_CHECK enum dia_rc dia_frame_decoder_init(
	struct dia_frame_decoder *d, struct dia_err *reterr);
void dia_frame_decoder_fini(struct dia_frame_decoder *d);
/* Decompress a BATCH; then next gives its records one by one: OK, MORE when there are no
 * more, BAD with the reason. *ret_body is borrowed from d until the next batch or part.
 */
DIA_MUST_CHECK enum dia_rc dia_frame_decoder_batch(
	struct dia_frame_decoder *d, struct dia_slice payload, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_parse dia_frame_decoder_next(struct dia_frame_decoder *d,
	struct dia_txn_head *ret, struct dia_slice *ret_body, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_frame_get_begin(struct dia_slice payload,
	struct dia_txn_head *ret, uint64_t *ret_body_bytes, struct dia_err *reterr);
/* *ret borrows from d until the next batch or part. */
DIA_MUST_CHECK enum dia_rc dia_frame_decoder_part(struct dia_frame_decoder *d,
	struct dia_slice payload, struct dia_slice *ret, struct dia_err *reterr);

#endif /* DIA_PEER_FRAME_H */
