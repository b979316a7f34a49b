/*
 * proxy/apply/apply.h - applying what peers sent: one thread and one connection per
 * origin.
 *
 * Drives dia_applier (proxy/engine) with a MariaDB behind it: row events through BINLOG,
 * the applied mark and conflict records in the same local transaction, DDL once. Design
 * notes: proxy/DESIGN.md, "Apply".
 *
 * The account needs BINLOG REPLAY, BINLOG ADMIN, REPLICATION SLAVE ADMIN and all rights
 * on the replicated schemas and on `diarchy`; the schema `diarchy` must exist.
 */
#ifndef DIA_APPLY_APPLY_H
#define DIA_APPLY_APPLY_H

#include "proxy/config/config.h"
#include "proxy/core/clock.h"
#include "proxy/engine/applier.h"
#include "proxy/peer/link.h"

/*
 * Types of conflict records, as in diarchy.conflicts.type and the metric label. Rival
 * pairs are named local change first: update_delete is a local UPDATE against a remote
 * DELETE.
 */
#define DIA_APPLY_CONFLICT_LIST(X)                                                     \
	X(INSERT_INSERT, "insert_insert")                                              \
	X(INSERT_UPDATE, "insert_update")                                              \
	X(INSERT_DELETE, "insert_delete")                                              \
	X(UPDATE_INSERT, "update_insert")                                              \
	X(UPDATE_UPDATE, "update_update")                                              \
	X(UPDATE_DELETE, "update_delete")                                              \
	X(DELETE_INSERT, "delete_insert")                                              \
	X(DELETE_UPDATE, "delete_update")                                              \
	X(DELETE_DELETE, "delete_delete")                                              \
	X(UNIQUE_CLASH, "unique_clash")   /* a secondary unique key is taken */        \
	X(FOREIGN_KEY, "foreign_key")     /* refused by a foreign key */               \
	X(CONSTRAINT, "constraint")       /* refused by a CHECK */                     \
	X(MISSING_TABLE, "missing_table") /* the table is not here */                  \
	X(SCHEMA, "schema")               /* the columns here cannot hold the value */ \
	X(DDL, "ddl") /* a statement found its work already done, or undone */

enum dia_apply_conflict {
#define DIA_APPLY_CONFLICT_ENUM(id, label) DIA_APPLY_##id,
	DIA_APPLY_CONFLICT_LIST(DIA_APPLY_CONFLICT_ENUM)
#undef DIA_APPLY_CONFLICT_ENUM
		DIA_APPLY_CONFLICT_TYPES
};
const char *dia_apply_conflict_text(enum dia_apply_conflict type);

struct dia_apply_counters {
	uint64_t conflicts[DIA_APPLY_CONFLICT_TYPES];
	/* Rows not written or taken out, to be found in diarchy.conflicts. */
	uint64_t parked;
	uint64_t repairs; /* rows missing or extra without a rival, set right */
	uint64_t careful; /* batches that went row by row */
	uint64_t statements, statement_bytes; /* BINLOG */
};

struct dia_apply_config {
	const struct dia_config *config; /* borrowed */
	struct dia_engine *engine;
	void (*lock)(void *ctx); /* of the engine */
	void (*unlock)(void *ctx);
	void *lock_ctx;
	struct dia_clock clock;
	/* See dia_applier_config. */
	uint64_t replay_txns;
};

struct dia_apply;
/*
 * Connects once per configured peer and reads its mark (so the database must be up: on
 * DIA_E_DB_GONE try again), then starts the threads. engine may have been made with
 * dia_apply_read_marks before.
 */
DIA_MUST_CHECK enum dia_rc dia_apply_start(
	const struct dia_apply_config *c, struct dia_apply **ret, struct dia_err *reterr);
/* Ends the threads (an open local transaction is rolled back), frees. NULL is fine. */
void dia_apply_stop(struct dia_apply *apply);

/* The link's sink; ctx is the struct dia_apply. */
extern const struct dia_sink_ops dia_apply_sink;

/* Capture has moved: appliers that wait for it look again. Cheap; any thread. */
void dia_apply_wake(struct dia_apply *apply);
/*
 * A DDL statement stands in the binlog here, whoever made it. Capture must call this
 * BEFORE dia_engine_captured for that group: a batch written against the old columns then
 * finds out before it commits. Any thread.
 */
void dia_apply_schema_changed(struct dia_apply *apply);

struct dia_apply_stats {
	struct dia_dc origin;
	const char *name;
	struct dia_applier_stats applier;
	struct dia_apply_counters counters;
	uint64_t
		lag_us; /* from capture there to commit here, of the newest transaction */
};
/* One entry per peer, up to cap; returns how many. Any thread. */
size_t dia_apply_stats(struct dia_apply *apply, struct dia_apply_stats *ret, size_t cap);

/* ---- for tests and programs that step an applier themselves ---------------------------
 */

struct dia_apply_db_config {
	const struct dia_config *config; /* borrowed */
	struct dia_dc origin;
	const char *origin_name, *self_name; /* borrowed */
	atomic_uint_fast64_t *schema_generation;
	struct dia_engine
		*engine; /* NULL: unique clashes are parked without a look at stamps */
	void (*lock)(void *ctx);
	void (*unlock)(void *ctx);
	void *lock_ctx;
};

struct apply_db;
DIA_MUST_CHECK enum dia_rc dia_apply_db_open(const struct dia_apply_db_config *c,
	struct apply_db **ret, uint64_t *applied_seq, struct dia_err *reterr);
void dia_apply_db_close(struct apply_db *db);
const struct dia_apply_ops *dia_apply_db_ops(void);
void dia_apply_db_counters(struct apply_db *db, struct dia_apply_counters *ret);

#endif /* DIA_APPLY_APPLY_H */
