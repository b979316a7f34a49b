/*
 * tests/sim/check.c - the oracle: what each transaction really knew, and what must hold.
 *
 * With a rule broken on purpose only the outcome is judged (equal tables, each key its
 * highest stamp), so that a proof shows the harm and not the disturbed bookkeeping.
 */
#include "tests/sim/world.h"

/* The stamps and dependencies that capture gives. */
void check_stamp(struct world *w, struct dc *d, const struct sim_txn *t,
	const struct dia_txn_head *head)
{
	if (w->breaks != 0)
		return;
	for (int o = 0; o < w->dc_count; o++) {
		uint64_t knew = dia_deps_get(&t->knew, sim_dc_id(o));

		if (dia_deps_get(&head->deps, sim_dc_id(o)) != knew)
			sim_fail(w, "%c#%lu: wrong dependency on %c", 'a' + d->index,
				(unsigned long)head->seq, 'a' + o);
		if (o != d->index && knew > 0 &&
			dia_hlc_cmp(w->dcs[o].db.txns[knew - 1].txn->head.stamp,
				head->stamp) >= 0)
			sim_fail(w, "%c#%lu: stamped below what it knew", 'a' + d->index,
				(unsigned long)head->seq);
	}
	if (head->seq > 1 &&
		dia_hlc_cmp(d->db.txns[head->seq - 2].txn->head.stamp, head->stamp) >= 0)
		sim_fail(w, "%c#%lu: stamp not above the one before", 'a' + d->index,
			(unsigned long)head->seq);
}

/* A batch is about to be committed. */
void check_commit(struct world *w, struct dc *d, int origin, struct session *s)
{
	uint64_t expect = d->db.applied[origin].seq;

	for (size_t i = 0; i < s->batch->txn_count; i++) {
		const struct dia_apply_txn *t = &s->batch->txns[i];
		uint64_t knew = dia_deps_get(&t->txn->head.deps, sim_dc_id(d->index));

		if (t->txn->head.seq != ++expect)
			sim_fail(w, "%c applies %c#%lu, not #%lu", 'a' + d->index,
				'a' + origin, (unsigned long)t->txn->head.seq,
				(unsigned long)expect);
		for (int o = 0; o < w->dc_count; o++)
			if (o != d->index && o != origin &&
				d->db.applied[o].seq <
					dia_deps_get(&t->txn->head.deps, sim_dc_id(o)))
				sim_fail(w, "%c applies %c#%lu before what it knew",
					'a' + d->index, 'a' + origin,
					(unsigned long)expect);
		for (size_t j = 0; j < t->change_count; j++) {
			int key = w->dcs[origin].db.txns[expect - 1].changes[j].key;
			bool conflict = d->db.last_local[key] > knew;
			const struct dia_decision *said = &t->changes[j].decision;

			/* With a third DC a change may lose to that one's and lock
			 * nothing, so a local change can come between the last look
			 * and the commit: that pair stays uncounted here (the other
			 * DC counts it, the outcome is right). */
			if (w->dc_count > 2 && said->verdict != DIA_APPLY && conflict)
				continue;
			if (w->breaks == 0 && conflict != said->conflict)
				sim_fail(w, "%c applies %c#%lu.%zu key %d: %s",
					'a' + d->index, 'a' + origin,
					(unsigned long)expect, j, key,
					conflict ? "conflict missed"
						 : "not a conflict but called one");
		}
	}
	/* With a third DC a row may be behind the rule for a moment (see check_table),
	 * and be written upon in that state: the images then differ, the outcome does
	 * not. */
	if (w->breaks == 0 && w->dc_count == 2 && s->surprised)
		sim_fail(w,
			"%c commits %c up to #%lu over a row that its origin had "
			"not seen",
			'a' + d->index, 'a' + origin, (unsigned long)expect);
}

static void replay(struct dc *d, int origin, const struct sim_txn *t)
{
	struct dia_stamp at = {t->txn->head.stamp, sim_dc_id(origin)};

	for (int i = 0; i < t->count; i++) {
		int k = t->changes[i].key;

		if (dia_stamp_cmp(at, d->best[k].at) < 0)
			continue;
		d->best[k].at = at;
		d->best[k].image = t->changes[i].after;
	}
}

/* With a third DC a change may give way to one in flight that outstamps it; the table is
 * then behind the rule until that one commits. */
static bool outstamped_by_coming(const struct world *w, const struct dc *d, int key)
{
	if (w->dc_count == 2)
		return false;
	for (int o = 0; o < w->dc_count; o++) {
		const struct dc *from = &w->dcs[o];

		for (int n = (int)d->checked_mark[o];
			o != d->index && n < from->journaled; n++) {
			const struct sim_txn *t = &from->db.txns[n];
			struct dia_stamp at = {t->txn->head.stamp, sim_dc_id(o)};

			for (int i = 0; i < t->count; i++)
				if (t->changes[i].key == key &&
					dia_stamp_cmp(at, d->best[key].at) > 0)
					return true;
		}
	}
	return false;
}

/*
 * The rule itself, at every commit and not only at the end, where later writes would have
 * covered a wrong row: the table is the replay in stamp order of the changes this DC has.
 * Looked at when an entry is captured, since only then all stamps up to it are known.
 */
void check_table(struct world *w, struct dc *d, const struct entry *e)
{
	if (e->kind == ENTRY_LOCAL) {
		replay(d, d->index, &d->db.txns[e->seq - 1]);
	} else if (e->kind == ENTRY_MARK) {
		for (uint64_t n = d->checked_mark[e->origin]; n < e->seq; n++)
			replay(d, e->origin, &w->dcs[e->origin].db.txns[n]);
		d->checked_mark[e->origin] = e->seq;
	}
	for (int k = 0; k < w->k.keys; k++)
		if (e->rows[k] != d->best[k].image && !outstamped_by_coming(w, d, k))
			sim_fail(w,
				"key %d at %c is %u after its binlog entry %d, the "
				"replay "
				"of what it has says %u",
				k, 'a' + d->index, e->rows[k], d->checked,
				d->best[k].image);
}

bool check_drained(struct world *w)
{
	for (int i = 0; i < w->dc_count; i++) {
		const struct dc *d = &w->dcs[i];
		struct dia_engine_stats s;

		if (!d->up || d->captured != d->db.binlog_count || !db_clients_idle(d))
			return false;
		dia_engine_stats(d->engine, &s);
		if (s.window_keys != 0 || s.inflight_keys != 0)
			return false;
		for (int o = 0; o < w->dc_count; o++)
			if (o != i &&
				d->db.applied[o].seq != (uint64_t)w->dcs[o].db.txn_count)
				return false;
	}
	return true;
}

/* The image a key must have: of all its changes everywhere, the highest stamped one's. */
static uint32_t truth(const struct world *w, int key)
{
	struct dia_stamp best = {.at = {0}};
	uint32_t image = 0;

	for (int i = 0; i < w->dc_count; i++) {
		const struct db *db = &w->dcs[i].db;

		for (int n = 0; n < db->txn_count; n++) {
			const struct sim_txn *t = &db->txns[n];
			struct dia_stamp at = {t->txn->head.stamp, sim_dc_id(i)};

			for (int c = 0; c < t->count; c++) {
				if (t->changes[c].key != key ||
					dia_stamp_cmp(at, best) < 0)
					continue;
				best = at;
				image = t->changes[c].after;
			}
		}
	}
	return image;
}

void check_end(struct world *w)
{
	for (int k = 0; k < w->k.keys && !w->failed; k++) {
		uint32_t image = truth(w, k);

		for (int i = 0; i < w->dc_count; i++)
			if (w->dcs[i].db.row[k] != image)
				sim_fail(w,
					"key %d at %c is %u, the highest stamp says %u",
					k, 'a' + i, w->dcs[i].db.row[k], image);
	}
	for (int i = 0; i < w->dc_count; i++)
		for (int o = 0; o < w->dc_count; o++)
			for (int n = 0; o != i && n < w->dcs[o].db.txn_count; n++)
				if (w->dcs[o].db.txns[n].ddl &&
					w->dcs[i].db.ddl_done[o] < (uint64_t)n + 1)
					sim_fail(w, "ddl %c#%d missing at %c", 'a' + o,
						n + 1, 'a' + i);
}

void check_dump(const struct world *w)
{
	static const char *const kinds[] = {"", "insert", "update", "delete"};

	for (int i = 0; i < w->dc_count; i++) {
		const struct db *db = &w->dcs[i].db;

		printf("dc %c:", 'a' + i);
		for (int k = 0; k < w->k.keys; k++)
			printf(" %u", db->row[k]);
		printf("\n");
		for (int n = 0; n < db->txn_count; n++) {
			const struct sim_txn *t = &db->txns[n];

			printf("  %c#%d", 'a' + i, n + 1);
			if (t->txn != NULL)
				printf(" stamp %lu.%u",
					(unsigned long)dia_hlc_ms(t->txn->head.stamp),
					(unsigned)(t->txn->head.stamp.v & 0xffff));
			printf(" knew");
			for (uint32_t j = 0; j < t->knew.count; j++)
				printf(" %c#%lu", 'a' + t->knew.at[j].dc.id - 1,
					(unsigned long)t->knew.at[j].seq);
			for (int c = 0; c < t->count; c++)
				printf("; %s key %d %u->%u", kinds[t->changes[c].kind],
					t->changes[c].key, t->changes[c].before,
					t->changes[c].after);
			printf("%s\n", t->ddl ? "; ddl" : "");
		}
	}
}
