/*
 * proxy/engine/applier.h - from received transactions to local ones, as a machine of
 * steps.
 *
 * One applier per origin. It takes transactions from its queue in order, forms a batch,
 * and walks:
 *
 *   IDLE -> CHECK -> BEGIN -> WRITE -> POSITION -> WAIT -> RECHECK
 *             -> COMMIT -> COMMITTED -> IDLE
 *   IDLE -> DDL -> COMMITTED -> IDLE
 *   RECHECK, something new: ROLLBACK -> IDLE
 *   WAIT, row locks held too long: ROLLBACK -> WAIT (without locks) -> IDLE
 *   after a start or a reconnect, first: IDLE -> POSITION -> WAIT -> IDLE (no locks)
 *   deadlock, lock timeout: ROLLBACK -> RETRY (back-off) -> IDLE
 *   connection lost: RECONNECT -> IDLE, or COMMITTED when the mark says so
 *   permanent error: ROLLBACK -> STOPPED
 *
 * Every step does at most one call of the database ops. In the proxy a thread runs steps
 * and those calls block; in the simulation a call that would wait for a row lock returns
 * DIA_E_AGAIN and the step is made again later. All access to the engine is between lock
 * and unlock. What arrives while a batch is being written may be parsed meanwhile
 * (dia_applier_ahead); it becomes part of no batch before the one in hand has ended.
 */
#ifndef DIA_ENGINE_APPLIER_H
#define DIA_ENGINE_APPLIER_H

#include "proxy/engine/engine.h"

/* One change with what the database side needs to write it. */
struct dia_apply_change {
	struct dia_change change;
	struct dia_decision decision; /* rival copied into rival_head */
	struct dia_txn_head rival_head;
	uint32_t item; /* index into the parsed rows of its transaction */
};

/* One remote transaction of a batch. `parsed` belongs to the database side
 * (parse/release). */
struct dia_apply_txn {
	struct dia_txn *txn; /* one reference */
	void *parsed;
	struct dia_apply_change *changes;
	size_t change_count;
};

/* A row outside the batch whose fate the writer has decided by what the engine says of
 * it, holding its lock: the holder of a unique value that the batch wants. Before the
 * commit the engine is asked again, as for the batch's own rows. */
struct dia_apply_watch {
	const struct dia_txn_head *head; /* of the batch's transaction that met it */
	struct dia_change change;
	struct dia_decision decision; /* what the writer saw; its rival is not used */
	uint64_t rival_seq;
};

struct dia_apply_batch {
	struct dia_apply_txn *txns;
	size_t txn_count;
	size_t bytes;
	bool ddl; /* exactly one transaction, a DDL one */
	/* Of the database side, added by write; none when write is called. */
	struct dia_apply_watch *watches;
	size_t watch_count;
};

/* What a database must offer. All return DIA_OK; DIA_E_AGAIN would block (simulation
 * only); DIA_E_DB_RETRY deadlock or lock timeout, DIA_E_DB_GONE connection lost: the
 * local transaction is rolled back, the batch starts again after a back-off; anything
 * else is permanent: the applier stops and says why. */
struct dia_apply_ops {
	/* Parse txn->txn's body: set parsed, changes (memory until release). Rows of
	 * tables that do not exist here or have no key are the implementation's to
	 * report. */
	enum dia_rc (*parse)(void *db, struct dia_apply_txn *txn, struct dia_err *reterr);
	void (*release)(void *db, struct dia_apply_txn *txn);
	enum dia_rc (*begin)(void *db, struct dia_err *reterr);
	/* Write rows by their decisions, conflict records, and the mark of the last txn.
	 */
	enum dia_rc (*write)(
		void *db, struct dia_apply_batch *batch, struct dia_err *reterr);
	/* @@gtid_binlog_pos, read while the row locks are held; after a start or a
	 * reconnect once without a transaction. */
	enum dia_rc (*position)(
		void *db, struct dia_gtid_pos *ret, struct dia_err *reterr);
	enum dia_rc (*commit)(void *db, struct dia_err *reterr);
	enum dia_rc (*rollback)(void *db, struct dia_err *reterr);
	/* Execute a DDL transaction once (finds out itself whether it had been done
	 * before a crash) and then commit its mark. */
	enum dia_rc (*ddl)(
		void *db, struct dia_apply_batch *batch, struct dia_err *reterr);
	/* After DIA_E_DB_GONE: connect again and read the committed mark of this origin,
	 * which decides whether the commit whose reply was lost had happened. */
	enum dia_rc (*reconnect)(void *db, uint64_t *applied_seq, struct dia_err *reterr);
};

enum dia_applier_state {
	DIA_APPLIER_IDLE = 0,
	DIA_APPLIER_CHECK,
	DIA_APPLIER_BEGIN,
	DIA_APPLIER_WRITE,
	DIA_APPLIER_POSITION,
	DIA_APPLIER_WAIT,
	DIA_APPLIER_RECHECK,
	DIA_APPLIER_COMMIT,
	DIA_APPLIER_COMMITTED, /* the engine is still to be told */
	DIA_APPLIER_ROLLBACK,
	DIA_APPLIER_DDL,
	DIA_APPLIER_RECONNECT,
	DIA_APPLIER_RETRY,
	DIA_APPLIER_HELD,    /* next transaction is stamped too far in the future */
	DIA_APPLIER_STOPPED, /* permanent error; restart needed */
};

struct dia_applier_config {
	struct dia_dc origin;
	struct dia_engine *engine;
	const struct dia_apply_ops *ops;
	void *db;
	size_t batch_txns;  /* most transactions in a batch */
	size_t batch_bytes; /* stop adding beyond this many body bytes (one may exceed it)
			     */
	size_t queue_bytes; /* push refuses beyond this */
	uint64_t max_ahead_ms;
	uint64_t applied_seq; /* committed mark at start: transactions up to it are
				 dropped */
	/* Three and more DCs only, after a restart: this many before applied_seq are
	 * delivered again and enter the window without database work (what one peer did
	 * is needed against what another sends, and no binlog has its stamps). */
	uint64_t replay_txns;
	/* How long row locks may be held while capture catches up (0: 200). Then the
	 * batch is rolled back and capture awaited without locks; up to 32 times as long
	 * while that happens to one batch after the other. */
	uint64_t lock_wait_ms;
	void (*lock)(void *ctx);
	void (*unlock)(void *ctx);
	void *lock_ctx;
};

struct dia_applier;
DIA_MUST_CHECK enum dia_rc dia_applier_new(
	const struct dia_applier_config *c, struct dia_applier **ret);
void dia_applier_free(struct dia_applier *a);

/*
 * Hand over one transaction (takes over the reference on DIA_OK). DIA_E_AGAIN when the
 * queue is full: the link must stop reading. DIA_E_STATE on a gap in the sequence; an
 * already applied or queued seq is dropped with DIA_OK. Thread-safe against step (own
 * lock: the queue's).
 */
DIA_MUST_CHECK enum dia_rc dia_applier_push(struct dia_applier *a, struct dia_txn *txn);

/*
 * One step. DIA_OK: made progress, call again. DIA_E_AGAIN: nothing to do until woken
 * (new transaction, capture progress, a lock in the simulation) or until *ret_wait_ms has
 * passed (0 = no limit). DIA_E_STOPPED: see the error in stats.
 */
DIA_MUST_CHECK enum dia_rc dia_applier_step(
	struct dia_applier *a, uint64_t wall_ms, uint64_t *ret_wait_ms);

/*
 * For ops->write, called from there, while the server is at work: parse what stands in
 * the queue, a batch at most. ops->parse is called amid ops->write for that; what it
 * cannot do then, by any error, is done when the batch has ended. Nothing else of the
 * machine moves.
 */
void dia_applier_ahead(struct dia_applier *a);

struct dia_applier_stats {
	enum dia_applier_state state; /* after the last step */
	uint64_t received_seq, applied_seq;
	uint64_t queued_txns, queued_bytes;
	uint64_t txns, rows, batches, conflicts, kept_local, upserts, retries,
		second_check_rollbacks, ddl;
	struct dia_err error; /* last one; rc DIA_OK if none */
};
void dia_applier_stats(struct dia_applier *a, struct dia_applier_stats *ret);

#endif /* DIA_ENGINE_APPLIER_H */
