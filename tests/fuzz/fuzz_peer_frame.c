/*
 * tests/fuzz/fuzz_peer_frame.c - a hostile peer's bytes, as a link would read them.
 *
 * The input is a stream of frames. Compressed frames are tried as they are and, since a
 * fuzzer hardly finds valid zstd, with their bytes compressed for them. What is accepted
 * must survive being encoded and decoded again.
 */
#include "proxy/peer/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static void records(struct dia_frame_decoder *d)
{
	struct dia_txn_head head, again;
	struct dia_slice body, body2;
	struct dia_frame_decoder d2;
	struct dia_frame_encoder e;
	struct dia_frame frame;
	struct dia_buf buf = {0};
	struct dia_err err;
	size_t used;

	while (dia_frame_decoder_next(d, &head, &body, &err) == DIA_PARSE_OK) {
		expect(head.origin.id >= 1 && head.origin.id <= DIA_DC_MAX);
		expect(head.deps.count <= DIA_DEPS_MAX);
		expect(body.len <= DIA_FRAME_RAW_MAX);
		if (body.len > 1024)
			continue;
		expect(dia_frame_encoder_init(&e, &err) == DIA_OK);
		expect(dia_frame_decoder_init(&d2, &err) == DIA_OK);
		dia_buf_reset(&buf);
		expect(dia_frame_batch_begin(&e, &buf) == DIA_OK);
		expect(dia_frame_batch_add(&e, &head, body) == DIA_OK);
		expect(dia_frame_batch_end(&e) == DIA_OK);
		expect(dia_frame_split(dia_buf_slice(&buf), DIA_FRAME_MAX, &frame,
			       &used) == DIA_PARSE_OK);
		expect(dia_frame_decoder_batch(&d2, frame.payload, &err) == DIA_OK);
		expect(dia_frame_decoder_next(&d2, &again, &body2, &err) == DIA_PARSE_OK);
		expect(again.seq == head.seq && again.stamp.v == head.stamp.v &&
			again.deps.count == head.deps.count && dia_slice_eq(body, body2));
		dia_frame_encoder_fini(&e);
		dia_frame_decoder_fini(&d2);
	}
	dia_buf_fini(&buf);
}

static void batch(struct dia_frame_decoder *d, struct dia_slice payload)
{
	struct dia_frame_decoder fresh;
	size_t cap = ZSTD_compressBound(payload.len) + 4;
	uint8_t *squeezed = malloc(cap);
	struct dia_err err;
	size_t n;

	if (dia_frame_decoder_batch(d, payload, &err) == DIA_OK)
		records(d);
	if (squeezed == NULL || payload.len == 0 || payload.len > 100000)
		goto out;
	n = ZSTD_compress(squeezed + 4, cap - 4, payload.data, payload.len, 1);
	expect(!ZSTD_isError(n));
	dia_put_le32(squeezed, (uint32_t)payload.len);
	expect(dia_frame_decoder_init(&fresh, &err) == DIA_OK);
	expect(dia_frame_decoder_batch(&fresh, dia_slice_of(squeezed, n + 4), &err) ==
		DIA_OK);
	records(&fresh);
	dia_frame_decoder_fini(&fresh);
out:
	free(squeezed);
}

static void small(const struct dia_frame *frame)
{
	struct dia_frame_goodbye goodbye;
	struct dia_frame_hello hello;
	struct dia_frame_beat beat;
	struct dia_frame_ack ack;
	struct dia_txn_head head;
	struct dia_err err;
	uint64_t total;

	if (dia_frame_get_hello(frame->payload, &hello, &err) == DIA_OK)
		expect(hello.from.id <= DIA_DC_MAX &&
			strlen(hello.name) < DIA_FRAME_NAME_MAX &&
			dia_frame_version(&hello, &hello) == hello.version_max);
	if (dia_frame_get_goodbye(frame->payload, &goodbye, &err) == DIA_OK)
		expect(strlen(goodbye.text) < DIA_FRAME_TEXT_MAX);
	if (dia_frame_get_ack(frame->payload, &ack, &err) == DIA_OK)
		expect(ack.applied <= ack.received);
	if (dia_frame_get_beat(frame->payload, &beat, &err) == DIA_OK)
		expect(beat.wall_ms >> 48 == 0);
	if (dia_frame_get_begin(frame->payload, &head, &total, &err) == DIA_OK)
		expect(total > 0 && head.deps.count <= DIA_DEPS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dia_slice rest = dia_slice_of(data, size);
	struct dia_frame_decoder d;
	struct dia_frame frame;
	struct dia_slice part;
	struct dia_err err;
	size_t used;

	if (dia_frame_decoder_init(&d, &err) != DIA_OK)
		return 0;
	while (dia_frame_split(rest, DIA_FRAME_MAX, &frame, &used) == DIA_PARSE_OK) {
		expect(used <= rest.len);
		rest = dia_slice_of(rest.data + used, rest.len - used);
		if (frame.type == DIA_FRAME_BATCH)
			batch(&d, frame.payload);
		else if (frame.type == DIA_FRAME_TXN_PART)
			(void)!dia_frame_decoder_part(&d, frame.payload, &part, &err);
		else
			small(&frame);
	}
	dia_frame_decoder_fini(&d);
	return 0;
}
