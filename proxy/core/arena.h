/*
 * proxy/core/arena.h - memory that is given back all at once.
 *
 * One arena per client command or per applied transaction. Zero-initialised is valid.
 * What it hands out is aligned for any type and lives until reset or fini. Not
 * thread-safe.
 */
#ifndef DIA_CORE_ARENA_H
#define DIA_CORE_ARENA_H

#include "proxy/core/rc.h"
#include "proxy/core/slice.h"

struct dia_arena_block;

struct dia_arena {
	struct dia_arena_block *blocks; /* newest first */
	size_t used;                    /* of the newest block */
	size_t total;                   /* bytes held from malloc */
};

/* NULL when out of memory. dia_arena_zalloc gives zeroed memory for n items of size each.
 */
DIA_MUST_CHECK void *dia_arena_alloc(struct dia_arena *arena, size_t size);
DIA_MUST_CHECK void *dia_arena_zalloc(struct dia_arena *arena, size_t n, size_t size);
/* A copy of s; data == NULL when out of memory (or s empty with NULL data). */
struct dia_slice dia_arena_dup(struct dia_arena *arena, struct dia_slice s);
/* Forget everything handed out; keeps the newest block when it is of ordinary size, so
 * the steady state allocates nothing. */
void dia_arena_reset(struct dia_arena *arena);
void dia_arena_fini(struct dia_arena *arena);

#endif /* DIA_CORE_ARENA_H */
