/*
 * tests/sim/dc.c - the diarchy process of one DC: capture with its journal, the engine,
 * the appliers; its crash and its restart.
 */
#include "tests/sim/world.h"

#include <stdlib.h>

static void lock_engine(void *ctx)
{
	struct dc *d = ctx;

	if (d->engine_locked++ != 0)
		abort();
}

static void unlock_engine(void *ctx)
{
	struct dc *d = ctx;

	if (--d->engine_locked != 0)
		abort();
}

static void start_applier(
	struct world *w, struct dc *d, int origin, const struct point *p)
{
	uint64_t committed = d->db.applied[origin].seq;
	struct dia_applier_config c = {.origin = sim_dc_id(origin),
		.engine = d->engine,
		.ops = &sim_apply_ops,
		.db = &d->ctx[origin],
		.batch_txns = (size_t)w->k.batch_txns,
		.batch_bytes = 400,
		.queue_bytes = w->k.queue_bytes,
		.max_ahead_ms = w->k.max_ahead_ms,
		.lock_wait_ms = w->k.lock_wait_ms,
		.applied_seq = committed,
		.replay_txns = w->dc_count == 2 ? 0
						: committed - dia_deps_get(&p->applied,
								      sim_dc_id(origin)),
		.lock = lock_engine,
		.unlock = unlock_engine,
		.lock_ctx = d};

	d->ctx[origin] = (struct applier_ctx){.w = w, .dc = d->index, .origin = origin};
	if (dia_applier_new(&c, &d->appliers[origin]) != DIA_OK)
		abort();
}

/* Newest point behind which nothing is needed any more. */
static const struct point *rebuild_point(const struct world *w, const struct dc *d)
{
	for (int i = d->point_count - 1; i > 0; i--) {
		const struct point *p = &d->points[i];
		bool good = p->seq <= dia_deps_get(&d->settled, sim_dc_id(d->index));

		for (int o = 0; o < w->dc_count; o++)
			if (o != d->index &&
				dia_deps_get(&p->applied, sim_dc_id(o)) >
					dia_deps_get(&d->settled, sim_dc_id(o)))
				good = false;
		if (good)
			return p;
	}
	return &d->points[0];
}

void dc_start(struct world *w, struct dc *d)
{
	const struct point *p;
	struct dia_engine_config c = {.self = sim_dc_id(d->index), .breaks = w->breaks};

	if (d->point_count == 0)
		d->point_count = 1; /* the beginning: all zero */
	p = rebuild_point(w, d);
	c.last = p->last;
	c.applied = p->applied;
	c.local_seq = p->seq;
	for (int o = 0; o < w->dc_count; o++) {
		if (o == d->index)
			continue;
		c.peers[c.peer_count++] = sim_dc_id(o);
		if ((w->breaks & SIM_BREAK_RESTART_CLOCK) == 0)
			c.last = dia_hlc_max(c.last, d->db.applied[o].stamp);
		if (d->db.applied[o].seq > 0 &&
			(w->breaks & SIM_BREAK_NO_REPLAY_GATE) == 0 &&
			dia_deps_raise(&c.committed, sim_dc_id(o),
				d->db.applied[o].seq) != DIA_OK)
			abort();
	}
	if (dia_engine_new(&c, &d->engine) != DIA_OK)
		abort();
	for (uint32_t i = 0; i < p->pos.count; i++)
		if (dia_engine_captured(d->engine, p->pos.at[i]) != DIA_OK)
			abort();
	d->captured = p->binlog_at;
	d->replay_until = d->db.binlog_count;
	d->up = true;
	for (int o = 0; o < w->dc_count; o++)
		if (o != d->index)
			start_applier(w, d, o, p);
	sim_trace(w, d, "diarchy starts at binlog %d of %d", d->captured,
		d->db.binlog_count);
}

static void add_totals(struct world *w, struct dia_applier *a)
{
	struct dia_applier_stats s;

	dia_applier_stats(a, &s);
	w->totals->conflicts += s.conflicts;
	w->totals->upserts += s.upserts;
	w->totals->kept += s.kept_local;
	w->totals->second += s.second_check_rollbacks;
	w->totals->retries += s.retries;
	w->totals->batches += s.batches;
}

void dc_free(struct world *w, struct dc *d)
{
	for (int o = 0; o < MAX_DCS; o++) {
		if (d->appliers[o] != NULL)
			add_totals(w, d->appliers[o]);
		dia_applier_free(d->appliers[o]);
		d->appliers[o] = NULL;
	}
	dia_engine_free(d->engine);
	d->engine = NULL;
	d->up = false;
}

void dc_crash(struct world *w, struct dc *d)
{
	struct dia_applier_stats s;

	sim_trace(w, d, "diarchy is killed");
	w->totals->crashes++;
	for (int o = 0; o < w->dc_count; o++) {
		if (o == d->index)
			continue;
		dia_applier_stats(d->appliers[o], &s);
		db_applier_gone(
			w, d, o, s.state == DIA_APPLIER_COMMIT && sim_chance(w, 600));
		link_cut(w, o, d->index);
		link_cut(w, d->index, o);
	}
	dc_free(w, d);
}

/* ---- capture ------------------------------------------------------------------------*/

static struct dia_txn *make_txn(const struct dia_txn_head *head, size_t body_len)
{
	static const uint8_t zero[64 * MAX_CHANGES];
	struct dia_txn_builder b;
	struct dia_txn *txn;

	dia_txn_builder_init(&b, NULL, 0);
	if (dia_txn_builder_add(&b, dia_slice_of(zero, body_len), NULL) != DIA_OK ||
		dia_txn_builder_finish(&b, head, &txn, NULL) != DIA_OK)
		abort();
	return txn;
}

/* False when the process died on the way. */
static bool capture_local(struct world *w, struct dc *d, const struct entry *e)
{
	struct sim_txn *t = &d->db.txns[e->seq - 1];
	struct dia_change changes[MAX_CHANGES];
	size_t count = sim_changes(t, changes);
	struct dia_txn_head head = {.origin = sim_dc_id(d->index),
		.seq = e->seq,
		.flags = t->ddl ? (uint32_t)DIA_TXN_DDL : 0,
		.gtid = e->gtid,
		.commit_time = t->commit_sec};
	uint64_t wall = sim_wall_ms(w, d), from = (uint64_t)t->commit_sec * 1000;

	if (t->txn != NULL) {
		head.stamp = t->txn->head.stamp;
		head.deps = t->txn->head.deps;
	}
	wall = wall < from ? from : wall > from + 999 ? from + 999 : wall;
	if (dia_engine_local(d->engine, &head, changes, count, wall) != DIA_OK) {
		sim_fail(w, "dia_engine_local");
		return false;
	}
	if (t->txn != NULL)
		return true;
	check_stamp(w, d, t, &head);
	if (sim_chance(w, w->k.crash) && !w->draining) {
		dc_crash(w, d);
		return false;
	}
	if (d->journaled + 1 != (int)e->seq)
		sim_fail(w, "journal has a gap");
	t->txn = make_txn(&head, 64u * t->count);
	d->journaled++;
	sim_trace(w, d, "captured #%lu stamp %lu.%u", (unsigned long)e->seq,
		(unsigned long)dia_hlc_ms(head.stamp), (unsigned)(head.stamp.v & 0xffff));
	return true;
}

static void add_point(struct world *w, struct dc *d)
{
	struct dia_engine_stats s;
	struct point *p;

	dia_engine_stats(d->engine, &s);
	d->settled = s.settled;
	if (d->point_count == MAX_POINTS ||
		d->points[d->point_count - 1].binlog_at >= d->captured)
		return;
	p = &d->points[d->point_count++];
	*p = (struct point){.binlog_at = d->captured,
		.seq = s.local_seq,
		.last = s.last,
		.applied = s.applied,
		.pos = *dia_engine_position(d->engine)};
	(void)w;
}

bool dc_capture_step(struct world *w, struct dc *d)
{
	const struct entry *e;

	if (!d->up || d->captured == d->db.binlog_count)
		return false;
	e = &d->db.binlog[d->captured];
	switch (e->kind) {
	case ENTRY_LOCAL:
		if (!capture_local(w, d, e))
			return true;
		break;
	case ENTRY_MARK:
		if (dia_engine_mark(d->engine, sim_dc_id(e->origin), e->seq, e->stamp) !=
			DIA_OK)
			sim_fail(w, "dia_engine_mark");
		break;
	case ENTRY_APPLIED_DDL:
		break;
	}
	if (dia_engine_captured(d->engine, e->gtid) != DIA_OK)
		sim_fail(w, "dia_engine_captured");
	if (d->captured == d->checked) {
		check_table(w, d, e);
		d->checked++;
	}
	d->captured++;
	if (sim_chance(w, 100))
		add_point(w, d);
	return true;
}

/* What happens where it hurts most: clients write between the second look and the commit,
 * the process dies with the commit under way, or done and unknown to all. True if it
 * died. */
static bool worst_places(struct world *w, struct dc *d, int origin)
{
	struct dia_applier_stats s;

	dia_applier_stats(d->appliers[origin], &s);
	if ((s.state == DIA_APPLIER_RECHECK || s.state == DIA_APPLIER_COMMIT) &&
		sim_chance(w, w->k.pounce)) {
		int client = (int)sim_rand(w, (uint64_t)w->k.clients);

		for (int n = 0; n < 4; n++)
			(void)db_client_step(w, d, client);
	}
	if ((s.state != DIA_APPLIER_COMMIT && s.state != DIA_APPLIER_COMMITTED) ||
		!sim_chance(w, w->k.crash_commit))
		return false;
	dc_crash(w, d);
	return true;
}

bool dc_applier_step(struct world *w, struct dc *d, int origin)
{
	struct dia_applier_stats s;
	uint64_t wait_ms;
	enum dia_rc rc;

	if (!d->up || d->appliers[origin] == NULL)
		return false;
	rc = dia_applier_step(d->appliers[origin], sim_wall_ms(w, d), &wait_ms);
	if (!w->draining && worst_places(w, d, origin))
		return true;
	if (rc == DIA_E_STOPPED) {
		dia_applier_stats(d->appliers[origin], &s);
		sim_fail(w, "applier of %c at %c stopped: %s", 'a' + origin,
			'a' + d->index, s.error.text);
	}
	if (rc == DIA_E_AGAIN && wait_ms > 0) {
		dia_applier_stats(d->appliers[origin], &s);
		w->totals->held += s.state == DIA_APPLIER_HELD;
	}
	return rc == DIA_OK;
}
