/*
 * proxy/core/hash.h - uthash without its exit(), and the hash of keys.
 *
 * Include this, never uthash.h: out of memory must be an error, not the end of the
 * process. After HASH_ADD* look at the item's hh.tbl: NULL means the add failed.
 */
#ifndef DIA_CORE_HASH_H
#define DIA_CORE_HASH_H

#include "proxy/core/slice.h"

/* 64-bit hash of bytes; not cryptographic, not stable across versions. */
uint64_t dia_hash64(struct dia_slice s, uint64_t seed);

#define HASH_NONFATAL_OOM         1
#define uthash_nonfatal_oom(item) ((item)->hh.tbl = NULL)
/* The library's own falls through cases in a way that clang warns of at every use. */
#define HASH_FUNCTION(keyptr, keylen, hashv) \
	((hashv) = (unsigned)dia_hash64(dia_slice_of((keyptr), (keylen)), 0))
#include <uthash.h>

#endif /* DIA_CORE_HASH_H */
