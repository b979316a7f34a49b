/*
 * proxy/core/hash.h - uthash without its exit(), and the hash of keys.
 *
 * Include this, never uthash.h: out of memory must be an error, not the end of the
 * process. After HASH_ADD* look at the item's hh.tbl: NULL means the add failed.
 */
#ifndef DIA_CORE_HASH_H
#define DIA_CORE_HASH_H

#include "proxy/core/slice.h"

#define HASH_NONFATAL_OOM         1
#define uthash_nonfatal_oom(item) ((item)->hh.tbl = NULL)
#include <uthash.h>

/* 64-bit hash of bytes; not cryptographic, not stable across versions. */
uint64_t dia_hash64(struct dia_slice s, uint64_t seed);

#endif /* DIA_CORE_HASH_H */
