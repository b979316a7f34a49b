/* parser/wire/packet.c - see packet.h. */
#include "parser/wire/packet.h"

enum dia_rc dia_packet_add(struct dia_buf *out, uint8_t *seq, struct dia_slice payload)
{
	size_t at = 0;

	for (;;) {
		size_t left = payload.len - at;
		size_t n = left < DIA_PACKET_MAX ? left : DIA_PACKET_MAX;

		dia_buf_add_le24(out, (uint32_t)n);
		dia_buf_add_u8(out, (*seq)++);
		if (n > 0)
			dia_buf_add(out, payload.data + at, n);
		at += n;
		/* A full packet says "more follows", so it never is the last one. */
		if (n < DIA_PACKET_MAX)
			return out->failed ? DIA_E_NOMEM : DIA_OK;
	}
}
