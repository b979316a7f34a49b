/* policies/window.c - see window.h. */
#include "policies/window.h"

#include <assert.h>
#include <stdlib.h>

enum {
	/* A transaction of a million rows must not keep all its memory for one key that
	 * is still open: blocks are freed one by one. */
	BLOCK_OPS = 256,
	TABLE_MIN = 16,
};

struct key;

/* Shared by consecutive transactions with equal dependencies. */
struct deps_ref {
	uint32_t refs;
	struct dia_deps deps;
};

struct dia_window_op {
	struct key *key;            /* NULL once it has left */
	struct dia_window_op *next; /* of its key, next higher stamp */
	uint32_t index;
	unsigned kind : 2;
	unsigned pos : 30; /* in its block, to find that */
};

struct link {
	struct link *prev, *next;
};

/* Changes of one transaction. In its origin's queue until settled, freed with its last
 * change. */
struct block {
	struct link queue; /* first: a link is cast to its block */
	struct deps_ref *deps;
	uint64_t seq;
	struct dia_hlc stamp;
	struct dia_gtid gtid;
	uint32_t commit_time;
	uint16_t origin;
	uint16_t live, cap;
	struct dia_window_op ops[];
};

struct key {
	struct dia_window_op *oldest;
	uint64_t hash;
	uint32_t len;
	uint8_t bytes[];
};

struct dia_window {
	const struct dia_policy *policy;
	struct key **slots; /* open addressing, linear probing, no tombstones */
	size_t slot_count, keys;
	uint64_t changes, bytes;
	struct link queues[DIA_DC_MAX + 1];
	uint64_t settled[DIA_DC_MAX + 1];
	struct deps_ref *last_deps[DIA_DC_MAX + 1];
};

static struct block *block_of(const struct dia_window_op *op)
{
	const struct dia_window_op *first = op - op->pos;

	return (struct block *)((uintptr_t)first - offsetof(struct block, ops));
}

static struct dia_op view(const struct dia_window_op *op)
{
	const struct block *b = block_of(op);

	return (struct dia_op){.stamp = {.at = b->stamp, .origin = {b->origin}},
		.seq = b->seq,
		.index = op->index,
		.kind = (enum dia_change_kind)op->kind};
}

/* ---- the table of keys --------------------------------------------------------------*/

static size_t find_slot(const struct dia_window *w, struct dia_slice key, uint64_t hash)
{
	size_t mask = w->slot_count - 1, i = (size_t)hash & mask;

	for (; w->slots[i] != NULL; i = (i + 1) & mask) {
		const struct key *k = w->slots[i];

		if (k->hash == hash && k->len == key.len &&
			(key.len == 0 || memcmp(k->bytes, key.data, key.len) == 0))
			break;
	}
	return i;
}

static enum dia_rc resize(struct dia_window *w, size_t slot_count)
{
	struct key **slots = calloc(slot_count, sizeof(struct key *));
	size_t mask = slot_count - 1;

	if (slots == NULL)
		return DIA_E_NOMEM;
	for (size_t i = 0; i < w->slot_count; i++) {
		size_t at;

		if (w->slots[i] == NULL)
			continue;
		at = (size_t)w->slots[i]->hash & mask;
		while (slots[at] != NULL)
			at = (at + 1) & mask;
		slots[at] = w->slots[i];
	}
	free(w->slots);
	w->bytes += slot_count * sizeof(*slots);
	w->bytes -= w->slot_count * sizeof(*slots);
	w->slots = slots;
	w->slot_count = slot_count;
	return DIA_OK;
}

static void remove_key(struct dia_window *w, struct key *k)
{
	size_t mask = w->slot_count - 1;
	size_t hole = find_slot(w, dia_slice_of(k->bytes, k->len), k->hash);

	w->bytes -= sizeof(*k) + k->len;
	w->keys--;
	free(k);
	/* Move up those of the run that could not be found across the hole. */
	for (size_t i = (hole + 1) & mask; w->slots[i] != NULL; i = (i + 1) & mask) {
		size_t home = (size_t)w->slots[i]->hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			w->slots[hole] = w->slots[i];
			hole = i;
		}
	}
	w->slots[hole] = NULL;
	/* After an outage the table would stay at its largest; failing to shrink is no
	 * harm. */
	if (w->slot_count > 1024 && w->keys < w->slot_count / 8)
		(void)resize(w, w->slot_count / 4);
}

static enum dia_rc get_key(
	struct dia_window *w, const struct dia_change *change, struct key **ret)
{
	struct key *k;
	size_t i;

	if (w->keys >= w->slot_count - w->slot_count / 4 &&
		resize(w, w->slot_count * 2) != DIA_OK)
		return DIA_E_NOMEM;
	i = find_slot(w, change->key, change->key_hash);
	if (w->slots[i] == NULL) {
		if (change->key.len > UINT32_MAX)
			return DIA_E_LIMIT;
		k = malloc(sizeof(*k) + change->key.len);
		if (k == NULL)
			return DIA_E_NOMEM;
		k->oldest = NULL;
		k->hash = change->key_hash;
		k->len = (uint32_t)change->key.len;
		if (k->len > 0)
			memcpy(k->bytes, change->key.data, k->len);
		w->bytes += sizeof(*k) + k->len;
		w->slots[i] = k;
		w->keys++;
	}
	*ret = w->slots[i];
	return DIA_OK;
}

/* ---- blocks -------------------------------------------------------------------------*/

static void deps_unref(struct dia_window *w, struct deps_ref *d)
{
	if (d != NULL && --d->refs == 0) {
		w->bytes -= sizeof(*d);
		free(d);
	}
}

static struct deps_ref *deps_for(struct dia_window *w, const struct dia_txn_head *head)
{
	struct deps_ref **last = &w->last_deps[head->origin.id];
	bool same = *last != NULL && (*last)->deps.count == head->deps.count;

	for (uint32_t i = 0; same && i < head->deps.count; i++)
		same = (*last)->deps.at[i].dc.id == head->deps.at[i].dc.id &&
		       (*last)->deps.at[i].seq == head->deps.at[i].seq;
	if (!same) {
		struct deps_ref *d = malloc(sizeof(*d));

		if (d == NULL)
			return NULL;
		d->refs = 1; /* last_deps' own */
		d->deps = head->deps;
		w->bytes += sizeof(*d);
		deps_unref(w, *last);
		*last = d;
	}
	(*last)->refs++;
	return *last;
}

static size_t block_size(size_t cap)
{
	return sizeof(struct block) + cap * sizeof(struct dia_window_op);
}

/* With one reference in `live` that keeps it while it is being filled. */
static struct block *block_new(
	struct dia_window *w, const struct dia_txn_head *head, size_t cap)
{
	struct block *b = malloc(block_size(cap));
	struct link *queue = &w->queues[head->origin.id];

	if (b == NULL)
		return NULL;
	b->deps = deps_for(w, head);
	if (b->deps == NULL) {
		free(b);
		return NULL;
	}
	b->seq = head->seq;
	b->stamp = head->stamp;
	b->gtid = head->gtid;
	b->commit_time = head->commit_time;
	b->origin = head->origin.id;
	b->live = 1;
	b->cap = (uint16_t)cap;
	for (size_t i = 0; i < cap; i++)
		b->ops[i].key = NULL;
	if (head->seq > w->settled[b->origin]) {
		b->queue.prev = queue->prev;
		b->queue.next = queue;
		queue->prev->next = &b->queue;
		queue->prev = &b->queue;
	} else {
		b->queue.prev = b->queue.next = &b->queue;
	}
	w->bytes += block_size(cap);
	return b;
}

static void unlink_block(struct block *b)
{
	b->queue.prev->next = b->queue.next;
	b->queue.next->prev = b->queue.prev;
	b->queue.prev = b->queue.next = &b->queue;
}

static void block_drop(struct dia_window *w, struct block *b)
{
	if (--b->live > 0)
		return;
	unlink_block(b);
	deps_unref(w, b->deps);
	w->bytes -= block_size(b->cap);
	free(b);
}

/* ---- changes ------------------------------------------------------------------------*/

/* *at is in the list of its key; the key itself stays. */
static void remove_op(struct dia_window *w, struct dia_window_op **at)
{
	struct dia_window_op *op = *at;

	*at = op->next;
	op->key = NULL;
	w->changes--;
	block_drop(w, block_of(op));
}

/* Let go of what is settled at the old end, and of the key with its last change. */
static void prune_key(struct dia_window *w, struct key *k)
{
	while (k->oldest != NULL) {
		const struct block *b = block_of(k->oldest);

		if (b->seq > w->settled[b->origin])
			return;
		remove_op(w, &k->oldest);
	}
	remove_key(w, k);
}

/* Put op where its stamp says. False when it is there already, or (newest_only) its
 * origin has a newer one. */
static bool insert_op(struct dia_window *w, struct key *k, struct dia_window_op *op)
{
	struct dia_window_op **at = &k->oldest, **place;
	struct dia_op mine = view(op), other;

	while (*at != NULL) {
		other = view(*at);
		if (dia_op_cmp(&other, &mine) >= 0)
			break;
		if (w->policy->newest_only &&
			other.stamp.origin.id == mine.stamp.origin.id)
			remove_op(w, at);
		else
			at = &(*at)->next;
	}
	place = at;
	for (; *at != NULL; at = &(*at)->next) {
		other = view(*at);
		if (dia_op_cmp(&other, &mine) == 0 ||
			(w->policy->newest_only &&
				other.stamp.origin.id == mine.stamp.origin.id))
			return false;
		if (!w->policy->newest_only)
			break;
	}
	op->next = *place;
	*place = op;
	op->key = k;
	block_of(op)->live++;
	w->changes++;
	return true;
}

static enum dia_rc add_block(struct dia_window *w, const struct dia_txn_head *head,
	const struct dia_change *changes, size_t count)
{
	struct block *b = block_new(w, head, count);
	enum dia_rc rc = DIA_OK;

	if (b == NULL)
		return DIA_E_NOMEM;
	for (size_t i = 0; rc == DIA_OK && i < count; i++) {
		struct dia_window_op *op = &b->ops[i];
		struct key *k;

		op->index = changes[i].index;
		op->kind = (unsigned)changes[i].kind & 3u;
		op->pos = (unsigned)i & 0x3fffffffu;
		rc = get_key(w, &changes[i], &k);
		if (rc == DIA_OK) {
			(void)insert_op(w, k, op);
			prune_key(w, k);
		}
	}
	block_drop(w, b);
	return rc;
}

enum dia_rc dia_window_add(struct dia_window *w, const struct dia_txn_head *head,
	const struct dia_change *changes, size_t count)
{
	enum dia_rc rc = DIA_OK;

	assert(head->origin.id >= 1 && head->origin.id <= DIA_DC_MAX);
	if (head->seq > w->settled[head->origin.id]) {
		for (size_t i = 0; rc == DIA_OK && i < count; i += BLOCK_OPS)
			rc = add_block(w, head, changes + i,
				count - i < BLOCK_OPS ? count - i : BLOCK_OPS);
		return rc;
	}
	/* The common case of two DCs: a remote change, settled from the start, whose key
	 * has no entry. One at a time, so that no room is kept for those that do not
	 * enter. */
	for (size_t i = 0; rc == DIA_OK && i < count; i++)
		if (dia_window_find(w, changes[i].key, changes[i].key_hash) != NULL)
			rc = add_block(w, head, changes + i, 1);
	return rc;
}

void dia_window_settle(struct dia_window *w, struct dia_dc origin, uint64_t seq)
{
	struct link *queue = &w->queues[origin.id];

	if (seq <= w->settled[origin.id])
		return;
	w->settled[origin.id] = seq;
	while (queue->next != queue) {
		struct block *b = (struct block *)queue->next;

		if (b->seq > seq)
			return;
		unlink_block(b);
		b->live++; /* ours, while its changes leave */
		for (size_t i = 0; i < b->cap; i++)
			if (b->ops[i].key != NULL)
				prune_key(w, b->ops[i].key);
		block_drop(w, b);
	}
}

uint64_t dia_window_settled(const struct dia_window *w, struct dia_dc origin)
{
	return w->settled[origin.id];
}

/* ---- looking ------------------------------------------------------------------------*/

const struct dia_window_op *dia_window_find(
	const struct dia_window *w, struct dia_slice key, uint64_t hash)
{
	const struct key *k = w->slots[find_slot(w, key, hash)];

	return k == NULL ? NULL : k->oldest;
}

const struct dia_window_op *dia_window_next(const struct dia_window_op *op)
{
	return op->next;
}

struct dia_op dia_window_op(const struct dia_window_op *op)
{
	return view(op);
}

void dia_window_head(const struct dia_window_op *op, struct dia_txn_head *ret)
{
	const struct block *b = block_of(op);

	*ret = (struct dia_txn_head){.origin = {b->origin},
		.seq = b->seq,
		.stamp = b->stamp,
		.gtid = b->gtid,
		.commit_time = b->commit_time,
		.deps = b->deps->deps};
}

uint64_t dia_window_oldest(const struct dia_window *w, struct dia_dc origin)
{
	const struct link *queue = &w->queues[origin.id];

	return queue->next == queue ? 0 : ((const struct block *)queue->next)->seq;
}

uint64_t dia_window_keys(const struct dia_window *w)
{
	return w->keys;
}

uint64_t dia_window_changes(const struct dia_window *w)
{
	return w->changes;
}

uint64_t dia_window_bytes(const struct dia_window *w)
{
	return w->bytes;
}

/* ---- life ---------------------------------------------------------------------------*/

enum dia_rc dia_window_new(const struct dia_policy *policy, struct dia_window **ret)
{
	struct dia_window *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return DIA_E_NOMEM;
	w->policy = policy;
	w->bytes = sizeof(*w);
	for (size_t i = 0; i <= DIA_DC_MAX; i++)
		w->queues[i].prev = w->queues[i].next = &w->queues[i];
	if (resize(w, TABLE_MIN) != DIA_OK) {
		free(w);
		return DIA_E_NOMEM;
	}
	*ret = w;
	return DIA_OK;
}

void dia_window_free(struct dia_window *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->slot_count; i++) {
		struct key *k = w->slots[i];

		while (k != NULL && k->oldest != NULL)
			remove_op(w, &k->oldest);
		free(k);
	}
	for (size_t i = 0; i <= DIA_DC_MAX; i++)
		deps_unref(w, w->last_deps[i]);
	free(w->slots);
	free(w);
}
