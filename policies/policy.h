/*
 * policies/policy.h - words of the merge that every policy shares.
 */
#ifndef DIA_POLICIES_POLICY_H
#define DIA_POLICIES_POLICY_H

#include "proxy/core/change.h"

enum dia_change_kind {
	DIA_CHANGE_INSERT = 1,
	DIA_CHANGE_UPDATE = 2,
	DIA_CHANGE_DELETE = 3,
};

/* One change of one key inside a transaction. A primary-key update is two: DELETE of the
 * old key, INSERT of the new one. Slices borrow from the caller. */
struct dia_change {
	enum dia_change_kind kind;
	struct dia_slice
		key;       /* canonical, unique in the DC (parser/binlog dia_image_key) */
	uint64_t key_hash; /* dia_hash64(key, 0) */
	uint32_t index;    /* in the transaction, from 0 */
};

/* What is to be done with a remote change of one key. */
enum dia_verdict {
	DIA_APPLY = 0, /* nothing here can overtake it: write it as it came */
	DIA_UPSERT,    /* it wins over changes in the window: make the row its after image
			  (or absent), whatever stands there now */
	DIA_KEEP_LOCAL, /* it loses: write nothing */
};

/* A change as the replay sees it. */
struct dia_op {
	struct dia_stamp stamp;
	uint64_t seq; /* of its transaction, at its origin */
	uint32_t index;
	enum dia_change_kind kind;
};

/* Where a has its place against b: <0 before, 0 the same change, >0 after. */
static inline int dia_op_cmp(const struct dia_op *a, const struct dia_op *b)
{
	int by_stamp = dia_stamp_cmp(a->stamp, b->stamp);

	return by_stamp != 0 ? by_stamp : (a->index > b->index) - (a->index < b->index);
}

/* True if the transaction was made where `op` had already been applied (or is part of
 * it): then the two are not concurrent and the transaction's stamp is the higher one. */
static inline bool dia_head_knew(const struct dia_txn_head *head, const struct dia_op *op)
{
	if (op->stamp.origin.id == head->origin.id)
		return op->seq <= head->seq;
	return op->seq <= dia_deps_get(&head->deps, op->stamp.origin);
}

/* The logical row during a replay: which change made it what it is. */
struct dia_replay_row {
	bool written; /* false: still as before the first change of the replay */
	bool exists;
	struct dia_op writer;
};

/*
 * A policy is one step of the replay. Pure and deterministic: the same row and change
 * give the same result in every DC.
 */
struct dia_policy {
	const char *name;
	/* Only each origin's newest change of a key matters to the replay: the window
	 * then keeps no more than that, so a hot key costs the same as a cold one. */
	bool newest_only;
	void (*step)(struct dia_replay_row *row, const struct dia_op *op);
};

#endif /* DIA_POLICIES_POLICY_H */
