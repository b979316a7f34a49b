/* tests/lib/guard.c - see guard.h. */
#include "tests/lib/guard.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct dia_guard dia_guard_make(struct dia_slice s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (s.len + page - 1) / page * page;
	struct dia_guard g;

	g.map_len = body + page;
	g.map = mmap(NULL, g.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (g.map == MAP_FAILED || mprotect(g.map + body, page, PROT_NONE) != 0)
		abort();
	if (s.len > 0)
		memcpy(g.map + body - s.len, s.data, s.len);
	g.input = dia_slice_of(g.map + body - s.len, s.len);
	return g;
}

void dia_guard_free(struct dia_guard *g)
{
	(void)munmap(g->map, g->map_len);
	*g = (struct dia_guard){0};
}
