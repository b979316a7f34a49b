/*
 * proxy/core/fault.h - places where a test ends the process, or slows it down.
 *
 *   DIA_FAULT("capture_journaled");
 *
 * Nothing in an ordinary build. With the CMake option FAULTS the environment
 * DIARCHY_FAULT="name" or "name:N" ends the process at the N-th passage (default the
 * first) with DIA_FAULT_EXIT, after one log line: no destructor, no goodbye to peers,
 * what a kill -9 would leave. With RANDOM_DELAYS each passage sleeps 0 to
 * DIARCHY_DELAY_MAX_MS (default 5) milliseconds; DIARCHY_DELAY_SEED (default 1) chooses
 * the sequence, which the threads then share as they come.
 *
 * tests/fault goes through all names; one that is never passed fails there.
 */
#ifndef DIA_CORE_FAULT_H
#define DIA_CORE_FAULT_H

enum { DIA_FAULT_EXIT = 86 };

/* Any thread, under any lock. */
void dia_fault_passed(const char *name);

#if defined(DIA_FAULTS) || defined(DIA_RANDOM_DELAYS)
#define DIA_FAULT(name) dia_fault_passed(name)
#else
#define DIA_FAULT(name) ((void)0)
#endif

#endif /* DIA_CORE_FAULT_H */
