/* proxy/core/hash.c - see hash.h. */
#include "proxy/core/hash.h"

/* Multiply-fold over 8-byte words, the construction of wyhash, written anew. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 u128;
	u128 p = (u128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

uint64_t dia_hash64(struct dia_slice s, uint64_t seed)
{
	const uint64_t k0 = UINT64_C(0xa0761d6478bd642f),
		       k1 = UINT64_C(0xe7037ed1a0b428db);
	const uint8_t *p = s.data;
	uint64_t h = seed ^ k0, w;
	size_t n = s.len;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&w, p, 8);
		h = fold(h ^ w, k1);
	}
	w = 0;
	if (n > 0)
		memcpy(&w, p, n);
	return fold(fold(h ^ w, k1) ^ s.len, k0);
}
