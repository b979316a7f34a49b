/* proxy/core/arena.c - see arena.h. */
#include "proxy/core/arena.h"

#include <stdlib.h>

enum { BLOCK_SIZE = 16 * 1024, ALIGN = 16 };

struct dia_arena_block {
	struct dia_arena_block *next;
	size_t cap;
	_Alignas(16) uint8_t data[];
};

static struct dia_arena_block *block_new(struct dia_arena *arena, size_t cap)
{
	struct dia_arena_block *b;

	if (cap > SIZE_MAX / 2)
		return NULL;
	b = malloc(sizeof(*b) + cap);
	if (b == NULL)
		return NULL;
	b->cap = cap;
	arena->total += cap;
	return b;
}

void *dia_arena_alloc(struct dia_arena *arena, size_t size)
{
	struct dia_arena_block *b = arena->blocks;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (size == 0)
		size = ALIGN;
	if (b != NULL && b->cap - arena->used >= size) {
		p = b->data + arena->used;
		arena->used += size;
		return p;
	}
	if (size > BLOCK_SIZE / 4 && b != NULL) {
		/* A big piece gets a block of its own behind the current one, which stays
		 * in use for the small pieces to come. */
		struct dia_arena_block *own = block_new(arena, size);

		if (own == NULL)
			return NULL;
		own->next = b->next;
		b->next = own;
		return own->data;
	}
	b = block_new(arena, size > BLOCK_SIZE ? size : BLOCK_SIZE);
	if (b == NULL)
		return NULL;
	b->next = arena->blocks;
	arena->blocks = b;
	arena->used = size;
	return b->data;
}

void *dia_arena_zalloc(struct dia_arena *arena, size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	p = dia_arena_alloc(arena, total);
	if (p != NULL)
		memset(p, 0, total);
	return p;
}

struct dia_slice dia_arena_dup(struct dia_arena *arena, struct dia_slice s)
{
	uint8_t *p;

	if (s.len == 0)
		return dia_slice_of("", 0);
	p = dia_arena_alloc(arena, s.len);
	if (p == NULL)
		return dia_slice_of(NULL, 0);
	memcpy(p, s.data, s.len);
	return dia_slice_of(p, s.len);
}

void dia_arena_reset(struct dia_arena *arena)
{
	struct dia_arena_block *keep = NULL, *b = arena->blocks, *next;

	for (; b != NULL; b = next) {
		next = b->next;
		if (keep == NULL && b->cap == BLOCK_SIZE) {
			keep = b;
			continue;
		}
		free(b);
	}
	if (keep != NULL)
		keep->next = NULL;
	arena->blocks = keep;
	arena->used = 0;
	arena->total = keep == NULL ? 0 : keep->cap;
}

void dia_arena_fini(struct dia_arena *arena)
{
	struct dia_arena_block *b = arena->blocks, *next;

	for (; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	*arena = (struct dia_arena){0};
}
