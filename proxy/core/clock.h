/*
 * proxy/core/clock.h - where time comes from, so that tests bring their own.
 */
#ifndef DIA_CORE_CLOCK_H
#define DIA_CORE_CLOCK_H

#include <stdint.h>

struct dia_clock {
	uint64_t (*wall_ms)(void *ctx); /* Unix time, milliseconds */
	uint64_t (*mono_us)(void *ctx); /* monotonic, microseconds */
	void *ctx;
};

/* The system's clocks. */
struct dia_clock dia_clock_system(void);

static inline uint64_t dia_clock_wall_ms(const struct dia_clock *c)
{
	return c->wall_ms(c->ctx);
}

static inline uint64_t dia_clock_mono_us(const struct dia_clock *c)
{
	return c->mono_us(c->ctx);
}

#endif /* DIA_CORE_CLOCK_H */
