/* proxy/core/fault.c - see fault.h. */
#include "proxy/core/fault.h"

#if defined(DIA_FAULTS) || defined(DIA_RANDOM_DELAYS)
#include "proxy/core/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A number of the environment. A test that misspells one must not pass for that. */
static unsigned long number_of(const char *variable, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '\0') {
		dia_log(DIA_LOG_ERROR, "fault", "not_a_number", "variable=%s", variable);
		_exit(1);
	}
	return n;
}

#ifdef DIA_FAULTS
static struct {
	const char *name; /* in the environment; not terminated */
	size_t name_len;
	atomic_ulong left; /* passages until the end */
} armed;

static void read_armed(void)
{
	const char *text = getenv("DIARCHY_FAULT");
	const char *colon = text == NULL ? NULL : strchr(text, ':');

	if (text == NULL)
		return;
	armed.name = text;
	armed.name_len = colon == NULL ? strlen(text) : (size_t)(colon - text);
	atomic_store(
		&armed.left, colon == NULL ? 1 : number_of("DIARCHY_FAULT", colon + 1));
}

static void end_if_armed(const char *name)
{
	if (armed.name == NULL || strlen(name) != armed.name_len ||
		memcmp(name, armed.name, armed.name_len) != 0)
		return;
	if (atomic_fetch_sub(&armed.left, 1) != 1)
		return;
	dia_log(DIA_LOG_WARN, "fault", "stopped_here", "name=%s", name);
	_exit(DIA_FAULT_EXIT);
}
#endif

#ifdef DIA_RANDOM_DELAYS
static struct {
	atomic_uint_fast64_t state;
	uint64_t max_us;
} delays;

static void read_delays(void)
{
	const char *seed = getenv("DIARCHY_DELAY_SEED");
	const char *max = getenv("DIARCHY_DELAY_MAX_MS");

	atomic_store(
		&delays.state, seed == NULL ? 1 : number_of("DIARCHY_DELAY_SEED", seed));
	delays.max_us = 1000 * (max == NULL ? 5 : number_of("DIARCHY_DELAY_MAX_MS", max));
}

static void sleep_a_little(void)
{
	/* SplitMix64: a counter and a mixer, so that threads need no lock to share it. */
	uint64_t z = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t us;
	struct timespec t;

	z += atomic_fetch_add(&delays.state, z);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	us = (z ^ (z >> 31)) % (delays.max_us + 1);
	t = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
	(void)nanosleep(&t, NULL);
}
#endif

static void read_environment(void)
{
#ifdef DIA_FAULTS
	read_armed();
#endif
#ifdef DIA_RANDOM_DELAYS
	read_delays();
#endif
}

void dia_fault_passed(const char *name)
{
	(void)pthread_once(&once, read_environment);
#ifdef DIA_RANDOM_DELAYS
	sleep_a_little();
#endif
#ifdef DIA_FAULTS
	end_if_armed(name);
#else
	(void)name;
#endif
}

#else

/* So that a library built without the options still has what the header promises. */
void dia_fault_passed(const char *name)
{
	(void)name;
}

#endif
