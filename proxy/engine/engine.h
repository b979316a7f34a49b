/*
 * proxy/engine/engine.h - the merge state of one DC: clock, applied positions, window,
 * keys in flight.
 *
 * No threads, no I/O, no clock: capture and applier call it under one lock of the proxy,
 * the simulation calls it directly. DESIGN.md section 4 is what it implements; the rules
 * of the replay itself are in policies/.
 *
 * Order in which capture calls, for every transaction group in binlog order:
 *   local transaction   -> dia_engine_local (stamp it, remember its keys)
 *   an applied mark     -> dia_engine_mark  (merge the clock, release keys in flight)
 *   then, always        -> dia_engine_captured (the binlog position is now here)
 * and before all that dia_engine_captured once for each GTID of the position it starts
 * from, or a domain without anything new would be waited for in vain.
 *
 * The stamp is in the journal before dia_engine_captured passes its transaction: an
 * applier that waited for the position may overwrite a row because of that stamp, so it
 * must be the same after a crash.
 */
#ifndef DIA_ENGINE_ENGINE_H
#define DIA_ENGINE_ENGINE_H

#include "policies/policy.h"
#include "proxy/core/change.h"

struct dia_engine;

/* Rules that the simulation breaks one at a time to see the tables diverge. */
enum dia_engine_break {
	DIA_BREAK_NO_HLC_MERGE = 1,
	DIA_BREAK_EARLY_PRUNE = 2,
	DIA_BREAK_NO_SECOND_CHECK = 4,
	DIA_BREAK_NO_KEYS_IN_FLIGHT = 8,
};
bool dia_engine_broken(const struct dia_engine *engine, enum dia_engine_break which);

struct dia_engine_config {
	struct dia_dc self;
	uint32_t peer_count;
	struct dia_dc peers[DIA_DEPS_MAX];
	/* Highest stamp issued or merged before: the rebuild point's, and of every mark
	 * committed in this database, read with FOR UPDATE (a commit of the process that
	 * died may still be under way). A local change that was let through beside a
	 * remote one in flight, and not journaled before the crash, must come out above
	 * it again. */
	struct dia_hlc last;
	struct dia_deps
		applied; /* marks standing in the binlog before the capture's start */
	/* Last local transaction before the capture's start (the rebuild point's seq). */
	uint64_t local_seq;
	/* Three and more DCs only: marks committed in this database at start. Until the
	 * appliers have been given again what stands between `applied` and these
	 * (dia_applier_config.replay_txns), nothing is ready. */
	struct dia_deps committed;
	uint32_t breaks; /* enum dia_engine_break, 0 in the product */
};

DIA_MUST_CHECK enum dia_rc dia_engine_new(
	const struct dia_engine_config *config, struct dia_engine **ret);
void dia_engine_free(struct dia_engine *engine);

/*
 * A local transaction, in commit order. head->origin and head->seq are set by the caller.
 * When head->stamp is 0 a stamp is issued from wall_ms (which the caller has clamped),
 * above everything issued or merged before and above every remote change in flight on
 * these keys, and head->stamp and head->deps are filled; when it is set (learnt from the
 * store after a restart) it is taken as it is, deps too. The changes enter the window.
 * DIA_E_STATE when seq does not rise. After DIA_E_NOMEM the same call can be made again
 * with the head as it is now.
 */
DIA_MUST_CHECK enum dia_rc dia_engine_local(struct dia_engine *engine,
	struct dia_txn_head *head, const struct dia_change *changes, size_t count,
	uint64_t wall_ms);

/* The applied mark of origin up to seq stands here in the binlog. */
DIA_MUST_CHECK enum dia_rc dia_engine_mark(struct dia_engine *engine,
	struct dia_dc origin, uint64_t seq, struct dia_hlc stamp);

DIA_MUST_CHECK enum dia_rc dia_engine_captured(
	struct dia_engine *engine, struct dia_gtid gtid);
const struct dia_gtid_pos *dia_engine_position(const struct dia_engine *engine);

/* A watermark to send now: all local transactions up to head->seq are captured and
 * whatever comes next is stamped above head->stamp and depends on head->deps. */
void dia_engine_watermark(struct dia_engine *engine, struct dia_txn_head *head);

/* ---- the applier's side --------------------------------------------------------------
 */

/* Register a remote transaction's keys as in flight: from now until its mark is captured
 * a local change of such a key is stamped above it. Once per transaction, before its
 * first check; registering again (after a retry) changes nothing. */
DIA_MUST_CHECK enum dia_rc dia_engine_register(struct dia_engine *engine,
	const struct dia_txn_head *head, const struct dia_change *changes, size_t count);

struct dia_decision {
	enum dia_verdict verdict; /* DIA_APPLY, DIA_UPSERT (window had something),
				     DIA_KEEP_LOCAL */
	bool conflict;            /* a local change was concurrent with this one */
	struct dia_txn_head
		*rival; /* newest concurrent local change's transaction, borrowed until
			   the next call; NULL without conflict */
	enum dia_change_kind rival_kind;
};

/* What to do with one change of a registered transaction, as things stand now. Pure look.
 */
void dia_engine_decide(const struct dia_engine *engine, const struct dia_txn_head *head,
	const struct dia_change *change, struct dia_decision *ret);

/* Counts local changes that entered the window; a batch whose keys were checked at
 * generation g need look again only if this has moved. */
uint64_t dia_engine_generation(const struct dia_engine *engine);

/* May the transaction be worked on: what it depends on of third DCs is applied here. */
bool dia_engine_ready(const struct dia_engine *engine, const struct dia_txn_head *head);

/* With everything captured up to a position read after the transaction had arrived:
 * DIA_E_LOST_TAIL if it was made knowing transactions of this DC that are not in its
 * binlog any more. */
DIA_MUST_CHECK enum dia_rc dia_engine_check_tail(
	const struct dia_engine *engine, const struct dia_txn_head *head);

/* The transaction has been committed here: it joins the window where rivals may still
 * need it, is `heard`, and lets settled entries go. Watermarks come here as well. In
 * origin order. */
DIA_MUST_CHECK enum dia_rc dia_engine_applied(struct dia_engine *engine,
	const struct dia_txn_head *head, const struct dia_change *changes, size_t count);

/* ---- for status -----------------------------------------------------------------------
 */

struct dia_engine_stats {
	struct dia_hlc last;
	uint64_t window_keys, window_changes, window_bytes;
	uint64_t inflight_keys;
	uint64_t oldest_unsettled_seq; /* of this DC's own; 0 when all is settled */
	struct dia_deps applied;       /* marks captured */
	uint64_t local_seq;
	/* Per origin, this DC too: up to where no window entry is needed any more. A
	 * rebuild point may be used when its seq and its applied are at or below these.
	 */
	struct dia_deps settled;
};
void dia_engine_stats(const struct dia_engine *engine, struct dia_engine_stats *ret);

#endif /* DIA_ENGINE_ENGINE_H */
