/* proxy/core/clock.c - see clock.h. */
#include "proxy/core/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t system_wall_ms(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t system_mono_us(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct dia_clock dia_clock_system(void)
{
	return (struct dia_clock){
		.wall_ms = system_wall_ms, .mono_us = system_mono_us, .ctx = NULL};
}
