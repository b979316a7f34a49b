/*
 * tests/fuzz/fuzz_wire_response.c - the response machine: what it says must not depend on
 * how the bytes were cut. Input: capabilities, reply kind, a seed for the cuts, then the
 * bytes.
 */
#include "parser/wire/response.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 64 };

struct record {
	enum dia_response_event event;
	size_t at;
	uint16_t status;
};

/* cut == 0: in one piece. */
static size_t run(uint64_t caps, enum dia_reply kind, struct dia_slice in, uint8_t cut,
	struct record *out)
{
	struct dia_response r;
	size_t at = 0, n = 0;
	uint32_t rnd = cut;

	dia_response_init(&r, caps);
	dia_response_start(&r, kind);
	while (at < in.len && n < RECORDS) {
		enum dia_response_event event;
		size_t piece = in.len - at, took;

		if (cut != 0) {
			rnd = rnd * 1664525U + 1013904223U;
			piece = 1 + (rnd >> 24) % cut;
			if (piece > in.len - at)
				piece = in.len - at;
		}
		took = dia_response_feed(&r, dia_slice_of(in.data + at, piece), &event);
		if (took == 0 || took > piece)
			abort();
		if (event == DIA_RESPONSE_MORE && took != piece)
			abort();
		at += took;
		if (event == DIA_RESPONSE_MORE)
			continue;
		out[n++] = (struct record){.event = event, .at = at, .status = r.status};
		if (event == DIA_RESPONSE_BAD)
			break;
		if (event == DIA_RESPONSE_DONE) {
			if (!dia_response_at_boundary(&r))
				abort();
			dia_response_start(&r, kind);
		}
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record whole[RECORDS], cut[RECORDS];
	enum dia_reply kind;
	uint64_t caps;
	size_t n;

	if (size < 3)
		return 0;
	caps = DIA_CAP_PROTOCOL_41 | ((data[0] & 1) != 0 ? DIA_CAP_DEPRECATE_EOF : 0) |
	       ((data[0] & 2) != 0 ? DIA_CAP_MARIA_CACHE_META : 0);
	kind = (enum dia_reply)(1 + data[1] % (DIA_REPLY_STREAM - DIA_REPLY_NONE));
	n = run(caps, kind, dia_slice_of(data + 3, size - 3), 0, whole);
	if (run(caps, kind, dia_slice_of(data + 3, size - 3), (uint8_t)(data[2] | 1),
		    cut) != n)
		abort();
	for (size_t i = 0; i < n; i++)
		if (whole[i].event != cut[i].event || whole[i].at != cut[i].at ||
			whole[i].status != cut[i].status)
			abort();
	return 0;
}
