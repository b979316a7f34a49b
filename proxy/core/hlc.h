/*
 * proxy/core/hlc.h - hybrid logical clock values and the order of changes.
 *
 * A value is 48 bits of wall-clock milliseconds (Unix time) over a 16-bit counter, so
 * values compare as integers. Pure: the caller brings the time.
 */
#ifndef DIA_CORE_HLC_H
#define DIA_CORE_HLC_H

#include <stdint.h>

struct dia_hlc {
	uint64_t v; /* 0 = never stamped */
};

/* A datacenter id, wrapped so that it cannot be passed where a count is meant. */
struct dia_dc {
	uint16_t id; /* 1..63 from the configuration; 0 = none */
};

static inline struct dia_hlc dia_hlc_from_ms(uint64_t wall_ms)
{
	return (struct dia_hlc){wall_ms << 16};
}

static inline uint64_t dia_hlc_ms(struct dia_hlc h)
{
	return h.v >> 16;
}

static inline int dia_hlc_cmp(struct dia_hlc a, struct dia_hlc b)
{
	return (a.v > b.v) - (a.v < b.v);
}

static inline struct dia_hlc dia_hlc_max(struct dia_hlc a, struct dia_hlc b)
{
	return a.v > b.v ? a : b;
}

/* The next value to issue: the wall clock if it is ahead, else one above the last. A full
 * counter carries into the milliseconds, which is what "one above" means here. */
static inline struct dia_hlc dia_hlc_next(struct dia_hlc last, uint64_t wall_ms)
{
	struct dia_hlc now = dia_hlc_from_ms(wall_ms);

	return now.v > last.v ? now : (struct dia_hlc){last.v + 1};
}

/* Where a transaction stands in the order of all DCs' transactions: HLC, then DC id. The
 * index of a change in its transaction breaks the remaining tie between its own changes.
 */
struct dia_stamp {
	struct dia_hlc at;
	struct dia_dc origin;
};

static inline int dia_stamp_cmp(struct dia_stamp a, struct dia_stamp b)
{
	int by_clock = dia_hlc_cmp(a.at, b.at);

	return by_clock != 0 ? by_clock
			     : (a.origin.id > b.origin.id) - (a.origin.id < b.origin.id);
}

#endif /* DIA_CORE_HLC_H */
