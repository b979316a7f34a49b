/*
 * policies/window.h - per key, the changes that can still be overtaken or called
 * concurrent.
 *
 * A transaction's changes enter with dia_window_add and leave when dia_window_settle says
 * that no peer can send anything any more that is older than them or did not know them. A
 * key holds its changes in stamp order; the settled ones at its old end go, a settled one
 * behind an unsettled one stays (a replay needs it). With policy->newest_only a newer
 * change of the same origin takes the place of the older one.
 *
 * The same structure holds the keys in flight (proxy/engine). Not thread-safe, no I/O.
 * Memory: one block per transaction (256 changes at most, then another), one record per
 * key, one table slot; see dia_window_bytes.
 */
#ifndef DIA_POLICIES_WINDOW_H
#define DIA_POLICIES_WINDOW_H

#include "policies/policy.h"

struct dia_window;
struct dia_window_op;

DIA_MUST_CHECK enum dia_rc dia_window_new(
	const struct dia_policy *policy, struct dia_window **ret);
void dia_window_free(struct dia_window *w);

/*
 * Enter the changes of one transaction. Those of a transaction that is settled already
 * (dia_window_settle went past it) enter only where their key has an entry, and stay as
 * long as an unsettled older one is there. Adding a change again changes nothing, so
 * after DIA_E_NOMEM, when some may have entered, the call can be repeated. The origin's
 * id must be 1..DIA_DC_MAX, seqs of one origin come in order.
 */
DIA_MUST_CHECK enum dia_rc dia_window_add(struct dia_window *w,
	const struct dia_txn_head *head, const struct dia_change *changes, size_t count);

/* Everything of origin up to seq is settled. Never goes back. */
void dia_window_settle(struct dia_window *w, struct dia_dc origin, uint64_t seq);
/* What dia_window_settle was last told, 0 at first. */
uint64_t dia_window_settled(const struct dia_window *w, struct dia_dc origin);

/* The key's changes, oldest stamp first; NULL when it has none. Borrowed until the next
 * add or settle. */
const struct dia_window_op *dia_window_find(
	const struct dia_window *w, struct dia_slice key, uint64_t hash);
const struct dia_window_op *dia_window_next(const struct dia_window_op *op);
struct dia_op dia_window_op(const struct dia_window_op *op);
/* The head of its transaction as it was added; flags and captured_us are not kept. */
void dia_window_head(const struct dia_window_op *op, struct dia_txn_head *ret);

/* Oldest sequence of origin that still waits to be settled; 0 when there is none. */
uint64_t dia_window_oldest(const struct dia_window *w, struct dia_dc origin);
uint64_t dia_window_keys(const struct dia_window *w);
uint64_t dia_window_changes(const struct dia_window *w);
/* All memory asked for, without the allocator's own overhead. */
uint64_t dia_window_bytes(const struct dia_window *w);

#endif /* DIA_POLICIES_WINDOW_H */
