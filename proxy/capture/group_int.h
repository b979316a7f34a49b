/*
 * proxy/capture/group_int.h - the group reader's parts; only for group*.c.
 */
#ifndef DIA_CAPTURE_GROUP_INT_H
#define DIA_CAPTURE_GROUP_INT_H

#include "proxy/capture/group.h"
#include "proxy/core/hash.h"

enum {
	DIA_GROUP_MAPS_MAX = 4096, /* parsed Table_maps kept */
	DIA_GROUP_EMITTED_MAX = 32,
};

enum dia_table_use {
	DIA_USE_SHIP = 0,
	DIA_USE_SKIP,   /* not replicated by configuration */
	DIA_USE_MARKS,  /* diarchy.applied */
	DIA_USE_REFUSE, /* reported, see reason */
};

/* A Table_map as it stood last, parsed once: most statements send the same one again. */
struct dia_map {
	uint64_t id; /* key */
	struct dia_arena arena;
	struct dia_slice raw; /* whole event, in the arena */
	struct dia_table table;
	enum dia_table_use local_use, applied_use;
	enum dia_refused_reason reason;
	bool engine_known, transactional;
	UT_hash_handle hh;
};

/* What one transaction has so far. */
struct dia_content {
	struct dia_txn_builder body;
	struct dia_arena arena; /* keys, savepoints */
	struct dia_change *changes;
	size_t change_count, change_cap;
	uint32_t txn_flags;
};

struct dia_savepoint {
	struct dia_savepoint *next;
	struct dia_slice name;
	size_t body_len, change_count;
};

/* A prepared XA transaction. */
struct dia_held {
	uint8_t xid[128];
	size_t xid_len;
	struct dia_content content;
	UT_hash_handle hh;
};

struct dia_group_reader {
	struct dia_group_config config;
	struct dia_map *maps;
	struct dia_held *held;
	struct dia_content content;
	struct dia_savepoint *savepoints;
	struct dia_group_mark *marks;
	size_t mark_count, mark_cap;
	struct dia_buf annotate; /* of the statement being read, ready to be added */
	struct dia_buf plain;    /* an event uncompressed */
	struct dia_buf key, key2;
	uint64_t emitted[DIA_GROUP_EMITTED_MAX]; /* table ids whose map is in the body */
	uint32_t emitted_count;
	bool in_group, complete, skip_ddl;
	struct dia_gtid_event gtid; /* xid copied to xid_bytes */
	uint8_t xid_bytes[128];
	struct dia_group group;
	uint64_t annotations_dropped;
};

/* group_rows.c */
DIA_MUST_CHECK enum dia_rc dia_group_table_map(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_group_rows(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr);
void dia_group_maps_clear(struct dia_group_reader *g);

/* group.c: append an event to the body, its stated length made right. */
DIA_MUST_CHECK enum dia_rc dia_group_add_event(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr);

#endif /* DIA_CAPTURE_GROUP_INT_H */
