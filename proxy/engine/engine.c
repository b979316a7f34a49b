/* proxy/engine/engine.c - see engine.h. */
#include "proxy/engine/engine.h"

#include "policies/fold.h"
#include "policies/lww.h"

#include <stdlib.h>

struct peer {
	struct dia_dc dc;
	uint64_t applied_seq;    /* dia_engine_applied was told */
	uint64_t marked_seq;     /* its mark was captured */
	uint64_t registered_seq; /* keys in flight up to here */
	uint64_t committed_seq;  /* at start, to be seen again first */
	struct dia_deps heard;   /* of the last applied or watermark */
};

struct dia_engine {
	struct dia_dc self;
	uint32_t breaks;
	uint32_t peer_count;
	struct peer peers[DIA_DEPS_MAX];
	const struct dia_policy *policy;
	struct dia_hlc last;
	struct dia_deps applied;
	uint64_t local_seq;
	uint64_t generation;
	struct dia_gtid_pos position;
	struct dia_window *window;
	struct dia_window *inflight;
	struct dia_txn_head *rival; /* what the last decision points to */
};

static struct peer *find_peer(struct dia_engine *e, struct dia_dc dc)
{
	for (uint32_t i = 0; i < e->peer_count; i++)
		if (e->peers[i].dc.id == dc.id)
			return &e->peers[i];
	return NULL;
}

bool dia_engine_broken(const struct dia_engine *e, enum dia_engine_break which)
{
	return (e->breaks & (uint32_t)which) != 0;
}

/*
 * A change is settled when every DC but its own origin and this one has said, in what was
 * applied here last, that it knew it: whatever comes from there next knows it too and is
 * stamped above it.
 */
static void settle(struct dia_engine *e)
{
	uint64_t own = UINT64_MAX;

	for (uint32_t i = 0; i < e->peer_count; i++) {
		uint64_t others = UINT64_MAX,
			 knew = dia_deps_get(&e->peers[i].heard, e->self);

		own = knew < own ? knew : own;
		for (uint32_t j = 0; j < e->peer_count; j++) {
			knew = dia_deps_get(&e->peers[j].heard, e->peers[i].dc);
			if (j != i && knew < others)
				others = knew;
		}
		dia_window_settle(e->window, e->peers[i].dc, others);
	}
	if (dia_engine_broken(e, DIA_BREAK_EARLY_PRUNE))
		own = e->local_seq;
	dia_window_settle(e->window, e->self, own);
}

enum dia_rc dia_engine_new(const struct dia_engine_config *c, struct dia_engine **ret)
{
	struct dia_engine *e;

	if (c->self.id < 1 || c->self.id > DIA_DC_MAX || c->peer_count > DIA_DEPS_MAX)
		return DIA_E_CONFIG;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return DIA_E_NOMEM;
	e->self = c->self;
	e->breaks = c->breaks;
	e->policy = &dia_policy_lww;
	e->last = c->last;
	e->applied = c->applied;
	e->local_seq = c->local_seq;
	e->peer_count = c->peer_count;
	e->rival = calloc(1, sizeof(*e->rival));
	if (e->rival == NULL || dia_window_new(e->policy, &e->window) != DIA_OK ||
		dia_window_new(e->policy, &e->inflight) != DIA_OK) {
		dia_engine_free(e);
		return DIA_E_NOMEM;
	}
	for (uint32_t i = 0; i < c->peer_count; i++) {
		struct peer *p = &e->peers[i];

		if (c->peers[i].id < 1 || c->peers[i].id > DIA_DC_MAX ||
			c->peers[i].id == c->self.id) {
			dia_engine_free(e);
			return DIA_E_CONFIG;
		}
		p->dc = c->peers[i];
		p->marked_seq = p->applied_seq = dia_deps_get(&c->applied, p->dc);
		p->committed_seq = dia_deps_get(&c->committed, p->dc);
	}
	settle(e);
	*ret = e;
	return DIA_OK;
}

void dia_engine_free(struct dia_engine *e)
{
	if (e == NULL)
		return;
	dia_window_free(e->window);
	dia_window_free(e->inflight);
	free(e->rival);
	free(e);
}

/* Above everything issued, merged, and in flight on the same keys. */
static struct dia_hlc issue_stamp(const struct dia_engine *e,
	const struct dia_change *changes, size_t count, uint64_t wall_ms)
{
	struct dia_hlc at = dia_hlc_next(e->last, wall_ms);
	const struct dia_window_op *op;

	if (dia_window_keys(e->inflight) == 0)
		return at;
	for (size_t i = 0; i < count; i++) {
		op = dia_window_find(e->inflight, changes[i].key, changes[i].key_hash);
		for (; op != NULL; op = dia_window_next(op)) {
			struct dia_hlc remote = dia_window_op(op).stamp.at;

			if (at.v <= remote.v)
				at.v = remote.v + 1;
		}
	}
	return at;
}

enum dia_rc dia_engine_local(struct dia_engine *e, struct dia_txn_head *head,
	const struct dia_change *changes, size_t count, uint64_t wall_ms)
{
	enum dia_rc rc;

	if (head->seq <= e->local_seq || head->origin.id != e->self.id)
		return DIA_E_STATE;
	if (head->stamp.v == 0) {
		head->stamp = issue_stamp(e, changes, count, wall_ms);
		head->deps = e->applied;
	}
	e->last = dia_hlc_max(e->last, head->stamp);
	if (e->peer_count > 0) {
		rc = dia_window_add(e->window, head, changes, count);
		if (rc != DIA_OK)
			return rc;
	}
	e->local_seq = head->seq;
	e->generation += count;
	return DIA_OK;
}

/* Keys leave when the mark stands in the binlog (local changes behind it are stamped
 * above anyway) and the window has them (appliers of third DCs look in both places). */
static void release_inflight(struct dia_engine *e, const struct peer *p)
{
	dia_window_settle(e->inflight, p->dc,
		p->marked_seq < p->applied_seq ? p->marked_seq : p->applied_seq);
}

enum dia_rc dia_engine_mark(
	struct dia_engine *e, struct dia_dc origin, uint64_t seq, struct dia_hlc stamp)
{
	struct peer *p = find_peer(e, origin);

	if (dia_deps_raise(&e->applied, origin, seq) != DIA_OK)
		return DIA_E_LIMIT;
	if (!dia_engine_broken(e, DIA_BREAK_NO_HLC_MERGE))
		e->last = dia_hlc_max(e->last, stamp);
	if (p != NULL && seq > p->marked_seq) {
		p->marked_seq = seq;
		release_inflight(e, p);
	}
	return DIA_OK;
}

enum dia_rc dia_engine_captured(struct dia_engine *e, struct dia_gtid gtid)
{
	return dia_gtid_pos_update(&e->position, gtid);
}

const struct dia_gtid_pos *dia_engine_position(const struct dia_engine *e)
{
	return &e->position;
}

void dia_engine_watermark(struct dia_engine *e, struct dia_txn_head *head)
{
	*head = (struct dia_txn_head){.origin = e->self,
		.flags = DIA_TXN_WATERMARK,
		.seq = e->local_seq,
		.stamp = e->last,
		.deps = e->applied};
}

/* ---- the applier's side -------------------------------------------------------------*/

enum dia_rc dia_engine_register(struct dia_engine *e, const struct dia_txn_head *head,
	const struct dia_change *changes, size_t count)
{
	struct peer *p = find_peer(e, head->origin);
	enum dia_rc rc;

	if (p == NULL)
		return DIA_E_STATE;
	if (head->seq <= p->registered_seq ||
		dia_engine_broken(e, DIA_BREAK_NO_KEYS_IN_FLIGHT))
		return DIA_OK;
	rc = dia_window_add(e->inflight, head, changes, count);
	if (rc != DIA_OK)
		return rc;
	p->registered_seq = head->seq;
	if (e->peer_count > 1)
		e->generation += count;
	return DIA_OK;
}

void dia_engine_decide(const struct dia_engine *e, const struct dia_txn_head *head,
	const struct dia_change *change, struct dia_decision *ret)
{
	struct dia_fold fold;

	dia_fold(e->policy, e->window, e->peer_count > 1 ? e->inflight : NULL, e->self,
		head, change, &fold);
	*ret = (struct dia_decision){.verdict = fold.verdict};
	if (fold.rival == NULL)
		return;
	dia_window_head(fold.rival, e->rival);
	ret->conflict = true;
	ret->rival = e->rival;
	ret->rival_kind = dia_window_op(fold.rival).kind;
}

uint64_t dia_engine_generation(const struct dia_engine *e)
{
	return e->generation;
}

bool dia_engine_ready(const struct dia_engine *e, const struct dia_txn_head *head)
{
	for (uint32_t i = 0; i < e->peer_count; i++) {
		const struct peer *p = &e->peers[i];
		uint64_t have =
			p->applied_seq > p->marked_seq ? p->applied_seq : p->marked_seq;

		if (p->dc.id != head->origin.id &&
			(have < dia_deps_get(&head->deps, p->dc) ||
				p->applied_seq < p->committed_seq))
			return false;
	}
	return true;
}

enum dia_rc dia_engine_check_tail(
	const struct dia_engine *e, const struct dia_txn_head *head)
{
	/* 0: nothing captured yet and no seq in the configuration, so nothing to tell. */
	return e->local_seq != 0 && dia_deps_get(&head->deps, e->self) > e->local_seq
		       ? DIA_E_LOST_TAIL
		       : DIA_OK;
}

enum dia_rc dia_engine_applied(struct dia_engine *e, const struct dia_txn_head *head,
	const struct dia_change *changes, size_t count)
{
	struct peer *p = find_peer(e, head->origin);
	enum dia_rc rc;

	if (p == NULL)
		return DIA_E_STATE;
	if ((head->flags & DIA_TXN_WATERMARK) == 0) {
		if (head->seq <= p->applied_seq)
			return DIA_E_STATE;
		rc = dia_window_add(e->window, head, changes, count);
		if (rc != DIA_OK)
			return rc;
		if (e->peer_count > 1)
			e->generation += count;
		p->applied_seq = head->seq;
		release_inflight(e, p);
	}
	/* Raised, not replaced: a watermark sent just after the peer's restart may know
	 * less than one from before. */
	for (uint32_t i = 0; i < head->deps.count; i++)
		if (dia_deps_raise(&p->heard, head->deps.at[i].dc,
			    head->deps.at[i].seq) != DIA_OK)
			return DIA_E_LIMIT;
	settle(e);
	return DIA_OK;
}

/* ---- for status ---------------------------------------------------------------------*/

void dia_engine_stats(const struct dia_engine *e, struct dia_engine_stats *ret)
{
	*ret = (struct dia_engine_stats){.last = e->last,
		.window_keys = dia_window_keys(e->window),
		.window_changes = dia_window_changes(e->window),
		.window_bytes =
			dia_window_bytes(e->window) + dia_window_bytes(e->inflight),
		.inflight_keys = dia_window_keys(e->inflight),
		.oldest_unsettled_seq = dia_window_oldest(e->window, e->self),
		.applied = e->applied,
		.local_seq = e->local_seq};
	ret->settled.at[0].dc = e->self;
	ret->settled.at[0].seq = dia_window_settled(e->window, e->self);
	ret->settled.count = 1;
	for (uint32_t i = 0; i < e->peer_count && ret->settled.count < DIA_DEPS_MAX;
		i++) {
		ret->settled.at[ret->settled.count].dc = e->peers[i].dc;
		ret->settled.at[ret->settled.count].seq =
			dia_window_settled(e->window, e->peers[i].dc);
		ret->settled.count++;
	}
}
