/*
 * tests/lib/guard.h - input that ends exactly at an unreadable page.
 *
 * A parser that reads one byte past its input dies here even without a sanitizer.
 */
#ifndef DIA_TESTS_GUARD_H
#define DIA_TESTS_GUARD_H

#include "proxy/core/slice.h"

struct dia_guard {
	uint8_t *map;
	size_t map_len;
	struct dia_slice input;
};

/* Copy s to the end of a fresh mapping whose next page cannot be read. Aborts the test
 * program when the mapping cannot be made. */
struct dia_guard dia_guard_make(struct dia_slice s);
void dia_guard_free(struct dia_guard *g);

#endif /* DIA_TESTS_GUARD_H */
