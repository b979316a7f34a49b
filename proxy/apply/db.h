/*
 * proxy/apply/db.h - the database side of one applier: its connection and what all parts
 * of writing share. Internal to proxy/apply.
 *
 * Everything here belongs to the applier's thread, except schema_generation (anyone may
 * raise it) and counters (under stats_mutex).
 *
 * The session runs with autocommit; a local transaction is opened by a prefix in front of
 * the first statement that belongs to it, so that it costs no round trip of its own and
 * nothing outside it holds metadata locks.
 */
#ifndef DIA_APPLY_DB_H
#define DIA_APPLY_DB_H

#include "proxy/apply/apply.h"
#include "proxy/backend/mariadb.h"
#include "proxy/backend/weigh.h"
#include "parser/binlog/row_image.h"
#include "proxy/core/arena.h"

#include <pthread.h>

struct apply_source;

/* A conflict record of the open local transaction: logged and counted once it commits. */
struct apply_note {
	enum dia_apply_conflict type;
	char line[400];
};

enum { APPLY_NOTES_MAX = 64 };

struct apply_db {
	struct dia_apply_db_config c;
	MYSQL *mysql;
	size_t max_packet; /* the server's max_allowed_packet */

	/* The committed mark. */
	bool has_mark;
	uint64_t applied_seq;
	/* Of the origin's sequence space, 0: none yet. Set by the link's thread from the
	 * peer's hello when there is no mark yet, and written with every mark. */
	atomic_uint_fast64_t incarnation;

	/* What may be done while the server writes a batch, NULL: nothing. */
	void (*ahead)(void *ctx);
	void *ahead_ctx;

	/* The open local transaction. */
	struct dia_gtid_pos position; /* read behind the statement with the mark */
	bool has_position;
	bool needs_begin; /* its prefix has not been sent yet */
	uint64_t batch_seq;
	uint64_t begin_generation; /* schema_generation when its tables were matched */
	struct apply_note notes[APPLY_NOTES_MAX];
	size_t note_count;
	uint64_t pending_conflicts[DIA_APPLY_CONFLICT_TYPES];
	uint64_t pending_repairs;

	struct apply_source *sources; /* by digest */
	uint64_t tick;                /* of their last use */
	struct dia_weigher *weights;  /* on a connection of its own */

	/* Of the batch being written, with their keys. */
	struct dia_apply_watch *watches;
	size_t watch_cap;
	struct dia_arena watch_arena;

	/* Scratch that keeps its storage. */
	struct dia_buf sql, maps, rows, events, json;

	pthread_mutex_t stats_mutex;
	struct dia_apply_counters counters;
	uint64_t batch_captured_us,
		lag_us; /* of the newest transaction written, committed */
};

enum dia_rc apply_db_init(struct apply_db *db, const struct dia_apply_db_config *c);
void apply_db_fini(struct apply_db *db);
/* Connect, set the session up, read the mark. */
DIA_MUST_CHECK enum dia_rc apply_db_connect(struct apply_db *db, struct dia_err *reterr);
/* SQL statements that make a connection write as origin's applier. */
DIA_MUST_CHECK enum dia_rc apply_db_session(
	MYSQL *mysql, struct dia_dc origin, struct dia_err *reterr);

/*
 * Run what stands in db->sql behind apply_sql_start; results of everything but the last
 * statement are dropped, the last one's result set (if any) goes to *ret_res (may be
 * NULL: dropped). On failure reterr->number is the server's; rc is its class.
 */
DIA_MUST_CHECK enum dia_rc apply_sql_run(
	struct apply_db *db, MYSQL_RES **ret_res, struct dia_err *reterr);
/*
 * The same for the statement that ends a batch's rows, with the question for
 * @@gtid_binlog_pos sent right behind it: the server answers both without waiting for us,
 * and what may be done ahead is done meanwhile. The position is there if has_position is.
 */
DIA_MUST_CHECK enum dia_rc apply_sql_run_last(
	struct apply_db *db, struct dia_err *reterr);
/*
 * Give this session a binlog cache that holds a batch. With the server's usual 32 KiB
 * each batch goes through a temporary file, and waits for the disk where that is busy. A
 * session's cache has the size that the global variable has when it is made, so that is
 * raised for the moment of making it; other sessions made just then have a larger one,
 * too, of which they touch what they use. Without the right to do it, all is as it was.
 */
void apply_sql_widen_cache(struct apply_db *db);
/* An error's class where the applier knows better: a server that is read-only or full is
 * tried again, not given up. */
enum dia_rc apply_sql_class(enum dia_rc rc, struct dia_err *reterr);
/* Have ahead(ctx) called while the server writes a batch. It may parse, not more, for
 * the connection is at work. */
void apply_db_set_ahead(struct apply_db *db, void (*ahead)(void *ctx), void *ctx);
/* Empty db->sql but for the prefix that opens the transaction, if it is not open yet. */
void apply_sql_start(struct apply_db *db);
/* Append `name` in backticks. */
void apply_sql_name(struct dia_buf *out, struct dia_slice name);
/* Append a string literal of bytes: x'...' or _utf8mb4'' when empty. */
void apply_sql_text(struct dia_buf *out, struct dia_slice text);

/* Seq_no in the reserved domain: even for the DDL of transaction seq, odd for its mark.
 * So the domain's position in @@gtid_binlog_pos always tells which of both is done, and
 * it only grows, as gtid_strict_mode wants it. */
static inline uint64_t apply_gtid_seq(uint64_t seq, bool mark)
{
	return seq * 2 + (mark ? 1 : 0);
}

/* The identity of the origin's sequence space, which becomes `told` if none is known. Any
 * thread. */
uint64_t apply_db_identify(struct apply_db *db, uint64_t told);
/* From capture there to commit here, of the newest transaction. Any thread. */
uint64_t apply_db_lag_us(struct apply_db *db);

extern const struct dia_apply_ops apply_db_ops;

#endif /* DIA_APPLY_DB_H */
