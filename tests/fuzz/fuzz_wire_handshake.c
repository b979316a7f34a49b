/*
 * tests/fuzz/fuzz_wire_handshake.c - greeting and login packets; masking must leave a
 * packet that parses to the masked capabilities. First byte: which of the two.
 */
#include "parser/wire/handshake.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slice(struct dia_slice s, const uint8_t *base, size_t size)
{
	if (s.data != NULL &&
		(s.data < base || s.len > size || s.data + s.len > base + size))
		abort();
}

static void greeting(uint8_t *p, size_t size)
{
	struct dia_greeting g, again;

	if (dia_greeting_parse(dia_slice_of(p, size), &g) != DIA_PARSE_OK)
		return;
	check_slice(g.version, p, size);
	check_slice(g.nonce1, p, size);
	check_slice(g.nonce2, p, size);
	check_slice(g.plugin, p, size);
	/* Masking the two bits that say what follows would change the reading itself; the
	 * relay always keeps them. */
	dia_greeting_mask(p, &g, DIA_CAPS_RELAYED);
	if (dia_greeting_parse(dia_slice_of(p, size), &again) != DIA_PARSE_OK ||
		again.caps != g.caps || (again.caps & ~DIA_CAPS_RELAYED) != 0)
		abort();
}

static void login(uint8_t *p, size_t size)
{
	struct dia_login l, again;

	if (dia_login_parse(dia_slice_of(p, size), &l) != DIA_PARSE_OK || l.ssl_request)
		return;
	check_slice(l.user, p, size);
	check_slice(l.auth, p, size);
	check_slice(l.db, p, size);
	check_slice(l.plugin, p, size);
	dia_login_mask(p, &l, DIA_CAPS_RELAYED);
	if (dia_login_parse(dia_slice_of(p, size), &again) != DIA_PARSE_OK ||
		again.caps != l.caps || (again.caps & ~DIA_CAPS_RELAYED) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size < 2)
		return 0;
	copy = malloc(size - 1);
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if ((data[0] & 1) != 0)
		login(copy, size - 1);
	else
		greeting(copy, size - 1);
	free(copy);
	return 0;
}
