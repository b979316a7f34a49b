/*
 * tests/sim/link.c - one direction between two DCs: in order while a connection lasts,
 * with delay; a cut loses what is on the way, a new connection starts from what the
 * receiver says it has, which may be less than it has.
 */
#include "tests/sim/world.h"

#include <stdlib.h>

void link_cut(struct world *w, int origin, int receiver)
{
	struct link *l = &w->links[origin][receiver];

	for (; l->count > 0; l->count--) {
		dia_txn_unref(l->queue[l->front].txn);
		l->front = (l->front + 1) % MAX_MSGS;
	}
	l->up = false;
	l->down_until_ms = w->now_ms + sim_rand(w, w->k.outage_ms + 1);
}

void link_free(struct world *w)
{
	for (int o = 0; o < MAX_DCS; o++)
		for (int r = 0; r < MAX_DCS; r++)
			link_cut(w, o, r);
}

static void connect(struct world *w, struct link *l, int origin, int receiver)
{
	struct dia_applier_stats s;
	uint64_t least;

	dia_applier_stats(w->dcs[receiver].appliers[origin], &s);
	/* An acknowledgement may have been lost: duplicates. */
	least = s.applied_seq < s.received_seq ? s.applied_seq : s.received_seq;
	l->next_seq = (sim_chance(w, 300) ? least : s.received_seq) + 1;
	l->told = (struct dia_deps){.count = 0};
	l->up = true;
}

static void put(struct world *w, struct link *l, struct dia_txn *txn)
{
	struct msg *m = &l->queue[(l->front + l->count) % MAX_MSGS];
	const struct msg *last =
		&l->queue[(l->front + l->count + MAX_MSGS - 1) % MAX_MSGS];
	uint64_t at = w->now_ms + sim_rand(w, w->k.delay_ms + 1);

	if (l->count > 0 && last->at_ms > at)
		at = last->at_ms;
	*m = (struct msg){.at_ms = at, .txn = txn};
	l->count++;
}

static bool same_deps(const struct dia_deps *a, const struct dia_deps *b)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (dia_deps_get(b, a->at[i].dc) != a->at[i].seq)
			return false;
	return true;
}

static bool send_one(struct world *w, struct link *l, struct dc *from)
{
	struct dia_txn_head head;
	struct dia_txn_builder b;
	struct dia_txn *txn;

	if (l->count == MAX_MSGS)
		return false;
	if (l->next_seq <= (uint64_t)from->journaled) {
		put(w, l, dia_txn_ref(from->db.txns[l->next_seq - 1].txn));
		l->next_seq++;
		return true;
	}
	dia_engine_watermark(from->engine, &head);
	if (head.seq + 1 != l->next_seq ||
		(same_deps(&head.deps, &l->told) && !sim_chance(w, 20)))
		return false;
	l->told = head.deps;
	dia_txn_builder_init(&b, NULL, 0);
	if (dia_txn_builder_finish(&b, &head, &txn, NULL) != DIA_OK)
		abort();
	put(w, l, txn);
	return true;
}

static bool deliver_one(struct world *w, struct link *l, int origin, int receiver)
{
	struct msg *m = &l->queue[l->front];
	struct dia_txn *txn;
	enum dia_rc rc;

	if (l->count == 0 || m->at_ms > w->now_ms)
		return false;
	txn = dia_txn_ref(m->txn);
	rc = dia_applier_push(w->dcs[receiver].appliers[origin], txn);
	if (rc != DIA_OK)
		dia_txn_unref(txn);
	if (rc == DIA_E_AGAIN)
		return false;
	if (rc != DIA_OK)
		sim_fail(w, "push of %c#%lu at %c: %s", 'a' + origin,
			(unsigned long)m->txn->head.seq, 'a' + receiver, dia_rc_text(rc));
	if (sim_chance(w, 30))
		return true; /* and it will come a second time */
	dia_txn_unref(m->txn);
	l->front = (l->front + 1) % MAX_MSGS;
	l->count--;
	return true;
}

bool link_step(struct world *w, int origin, int receiver, bool send)
{
	struct link *l = &w->links[origin][receiver];

	if (!w->dcs[origin].up || !w->dcs[receiver].up)
		return false;
	if (!l->up) {
		if (!w->draining && (w->now_ms < l->down_until_ms || !sim_chance(w, 200)))
			return false;
		connect(w, l, origin, receiver);
		return true;
	}
	return send ? send_one(w, l, &w->dcs[origin])
		    : deliver_one(w, l, origin, receiver);
}
