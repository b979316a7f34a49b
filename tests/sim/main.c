/*
 * tests/sim/main.c - runs seeded schedules of whole DCs.
 *
 *   sim [--schedules N] [--seed S] [--dcs 2|3] [--break NAME] [--verbose]
 *   sim --prove-breaks [--schedules N]
 *
 * Without --dcs every fourth seed has three DCs. Exit code 1 when a schedule failed; the
 * command that replays it is printed. --prove-breaks breaks one rule at a time and fails
 * unless each is noticed within the schedules (default 20000); with 200000 or more the
 * two rarest are proven as well.
 */
#include "tests/sim/world.h"

#include "proxy/core/hash.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- the world's small things -------------------------------------------------------*/

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_rand(struct world *w, uint64_t below)
{
	return next_random(&w->random) % below;
}

bool sim_chance(struct world *w, uint32_t n)
{
	return n > 0 && sim_rand(w, 1000) < n;
}

uint64_t sim_wall_ms(const struct world *w, const struct dc *d)
{
	return (uint64_t)((int64_t)w->now_ms + d->skew_ms);
}

void sim_trace(const struct world *w, const struct dc *d, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%8lu %c ", (unsigned long)w->now_ms, 'a' + d->index);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void sim_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	if (w->verbose)
		printf("FAILED: %s\n", w->why);
}

struct dia_dc sim_dc_id(int index)
{
	return (struct dia_dc){(uint16_t)(index + 1)};
}

static const char key_names[MAX_KEYS][4] = {"t/0", "t/1", "t/2", "t/3", "t/4", "t/5"};
static uint64_t key_hashes[MAX_KEYS];

struct dia_slice sim_key(int key)
{
	return dia_slice_str(key_names[key]);
}

uint64_t sim_key_hash(int key)
{
	return key_hashes[key];
}

size_t sim_changes(const struct sim_txn *t, struct dia_change *ret)
{
	for (uint32_t i = 0; i < t->count; i++)
		ret[i] = (struct dia_change){.kind = t->changes[i].kind,
			.key = sim_key(t->changes[i].key),
			.key_hash = sim_key_hash(t->changes[i].key),
			.index = i};
	return t->count;
}

/* ---- one schedule -------------------------------------------------------------------*/

static uint32_t pick(struct world *w, const uint32_t *from, size_t n)
{
	return from[sim_rand(w, n)];
}

static void choose_knobs(struct world *w)
{
	static const uint32_t weight[] = {1, 3, 8, 20}, rare[] = {0, 0, 2, 10},
			      delay[] = {0, 3, 20, 100}, deletes[] = {100, 400, 800},
			      batch[] = {1, 2, 4, 8}, outage[] = {0, 10, 100, 1000};
	struct knobs *k = &w->k;

	k->keys = 1 + (int)sim_rand(w, 4);
	k->clients = 1 + (int)sim_rand(w, CLIENTS);
	k->batch_txns = (int)pick(w, batch, 4);
	k->client = pick(w, weight, 4);
	k->capture = pick(w, weight, 4);
	k->applier = 2 * pick(w, weight, 4);
	k->send = pick(w, weight, 4);
	k->deliver = pick(w, weight, 4);
	k->cut = pick(w, rare, 4);
	k->crash = pick(w, rare, 4);
	k->crash_commit = k->crash;
	k->pounce = pick(w, rare, 4);
	k->apart_ms = 0;
	k->outage_ms = pick(w, outage, 4);
	k->jump = pick(w, rare, 4);
	k->fault = 4 * pick(w, rare, 4);
	k->ddl = pick(w, rare, 4);
	k->delay_ms = pick(w, delay, 4);
	k->deletes = pick(w, deletes, 3);
	k->max_ahead_ms = sim_chance(w, 150) ? 20 : 10000;
	k->lock_wait_ms = sim_chance(w, 300) ? 5 : 100;
	k->queue_bytes = sim_chance(w, 200) ? 300 : 100000;
	/* Where the narrow races are: one row, deleted and inserted, and crashes. */
	if (sim_chance(w, 250)) {
		k->keys = 1;
		k->deletes = 700;
		k->client = 10;
		k->capture = k->applier = 20;
		k->send = k->deliver = 10;
		k->crash = 10;
		k->crash_commit = 250;
		k->pounce = 300;
		k->outage_ms = 1000;
		k->apart_ms = 3000;
	}
	k->actions = 50 + (int)sim_rand(w, sim_chance(w, 300) ? 3000 : 500);
}

static void random_skew(struct world *w, struct dc *d)
{
	static const int64_t skews[] = {0, 0, 5, 40, 400, 3000};

	if (w->k.apart_ms != 0) {
		d->skew_ms = d->index == 0 ? 0 : w->k.apart_ms;
		return;
	}
	d->skew_ms = skews[sim_rand(w, 6)];
	if (sim_chance(w, 300))
		d->skew_ms = -d->skew_ms;
}

static void build_world(struct world *w)
{
	w->now_ms = 1000000 + sim_rand(w, 1000);
	w->next_image = 1;
	w->draining = w->failed = false;
	choose_knobs(w);
	for (int i = 0; i < w->dc_count; i++) {
		struct dc *d = &w->dcs[i];
		struct db *db = &d->db;

		/* The large arrays keep old content behind their counts. */
		memset(db->row, 0, sizeof(db->row));
		memset(db->lock, 0, sizeof(db->lock));
		memset(db->sessions, 0, sizeof(db->sessions));
		memset(db->gtid_seq, 0, sizeof(db->gtid_seq));
		memset(db->last_local, 0, sizeof(db->last_local));
		memset(db->applied, 0, sizeof(db->applied));
		memset(db->ddl_done, 0, sizeof(db->ddl_done));
		memset(d->best, 0, sizeof(d->best));
		memset(d->checked_mark, 0, sizeof(d->checked_mark));
		memset(&d->points[0], 0, sizeof(d->points[0]));
		db->txn_count = db->binlog_count = 0;
		db->pos.count = 0;
		d->settled.count = 0;
		d->index = i;
		d->journaled = d->point_count = d->checked = d->engine_locked = 0;
		random_skew(w, d);
		dc_start(w, d);
	}
	memset(w->links, 0, sizeof(w->links));
}

static void chaos(struct world *w, struct dc *d)
{
	int other = (d->index + 1 + (int)sim_rand(w, (uint64_t)w->dc_count - 1)) %
		    w->dc_count;

	if (sim_chance(w, 20 * w->k.cut)) {
		sim_trace(w, d, "link to %c is cut", 'a' + other);
		w->totals->cuts++;
		link_cut(w, d->index, other);
		if (sim_chance(w, 500))
			link_cut(w, other, d->index);
	}
	if (sim_chance(w, 20 * w->k.jump))
		random_skew(w, d);
	if (sim_chance(w, 20 * w->k.ddl))
		db_ddl_step(w, d);
	if (d->up && sim_chance(w, 20 * w->k.crash))
		dc_crash(w, d);
}

static void act(struct world *w)
{
	const struct knobs *k = &w->k;
	uint64_t dice = sim_rand(
		w, k->client + k->capture + k->applier + k->send + k->deliver + 1);
	struct dc *d = &w->dcs[sim_rand(w, (uint64_t)w->dc_count)];
	int other = (d->index + 1 + (int)sim_rand(w, (uint64_t)w->dc_count - 1)) %
		    w->dc_count;

	if (sim_chance(w, 300))
		w->now_ms += sim_rand(w, 6);
	if (!d->up && sim_chance(w, 50))
		dc_start(w, d);
	if (dice < k->client)
		(void)db_client_step(w, d, (int)sim_rand(w, (uint64_t)k->clients));
	else if ((dice -= k->client) < k->capture)
		(void)dc_capture_step(w, d);
	else if ((dice -= k->capture) < k->applier)
		(void)dc_applier_step(w, d, other);
	else if ((dice -= k->applier) < k->send)
		(void)link_step(w, d->index, other, true);
	else if ((dice -= k->send) < k->deliver)
		(void)link_step(w, d->index, other, false);
	else
		chaos(w, d);
}

/* No new work, everything up: all must come to rest. */
static void drain(struct world *w)
{
	/* Links first or captures first: both orders have their own traps. */
	int links_from = sim_chance(w, 500) ? 0 : 30;

	w->draining = true;
	w->k.fault /= 4;
	for (int round = 0; round < 3000 && !w->failed; round++) {
		for (int i = 0; i < w->dc_count; i++) {
			struct dc *d = &w->dcs[i];

			if (!d->up)
				dc_start(w, d);
			for (int s = 0; s < CLIENTS; s++)
				if (d->db.sessions[s].active)
					(void)db_client_step(w, d, s);
			for (int n = 0; n < 4; n++)
				(void)dc_capture_step(w, d);
			for (int o = 0; o < w->dc_count; o++) {
				if (o == i)
					continue;
				for (int n = 0; n < 8 && dc_applier_step(w, d, o); n++)
					;
				for (int n = 0; n < 4 && round >= links_from; n++) {
					(void)link_step(w, o, i, true);
					(void)link_step(w, o, i, false);
				}
			}
		}
		if (check_drained(w))
			return;
		w->now_ms += 1 + sim_rand(w, 20);
	}
	sim_fail(w, "does not come to rest");
}

static bool run(struct world *w, uint64_t seed)
{
	w->random = seed * UINT64_C(0xd1342543de82ef95) + 1;
	build_world(w);
	for (int i = 0; i < w->k.actions && !w->failed; i++)
		act(w);
	if (!w->failed)
		drain(w);
	if (!w->failed)
		check_end(w);
	if (w->verbose)
		check_dump(w);
	link_free(w);
	for (int i = 0; i < w->dc_count; i++) {
		struct dc *d = &w->dcs[i];

		dc_free(w, d);
		for (int n = 0; n < d->db.txn_count; n++) {
			dia_txn_unref(d->db.txns[n].txn);
			d->db.txns[n].txn = NULL;
		}
	}
	return !w->failed;
}

/* ---- command line -------------------------------------------------------------------*/

static const struct {
	const char *name;
	uint32_t flag;
	bool rare; /* takes several 10,000 schedules */
} breaks[] = {
	{.name = "no-hlc-merge", .flag = DIA_BREAK_NO_HLC_MERGE},
	{.name = "early-prune", .flag = DIA_BREAK_EARLY_PRUNE},
	{.name = "no-second-check", .flag = DIA_BREAK_NO_SECOND_CHECK},
	{.name = "no-keys-in-flight", .flag = DIA_BREAK_NO_KEYS_IN_FLIGHT},
	{.name = "restart-clock", .flag = SIM_BREAK_RESTART_CLOCK, .rare = true},
	{.name = "no-replay-gate", .flag = SIM_BREAK_NO_REPLAY_GATE, .rare = true},
};
enum { BREAKS = sizeof(breaks) / sizeof(breaks[0]), RARE_SCHEDULES = 200000 };

struct options {
	uint64_t schedules, seed;
	int dcs;    /* 0: mixed */
	int broken; /* index into breaks, -1 none */
	bool verbose, prove;
};

/* Number of schedules run; w->failed tells whether the last one failed. */
static uint64_t run_all(struct world *w, const struct options *o, bool say)
{
	uint64_t n, seed = o->seed;

	w->verbose = o->verbose;
	w->breaks = o->broken < 0 ? 0 : breaks[o->broken].flag;
	for (n = 1; n <= o->schedules; n++, seed++) {
		w->dc_count = o->dcs != 0 ? o->dcs : seed % 4 == 0 ? 3 : 2;
		if (run(w, seed))
			continue;
		if (say)
			printf("FAILED: %s\nreplay: sim --schedules 1 --seed %lu --dcs "
			       "%d%s%s "
			       "--verbose\n",
				w->why, (unsigned long)seed, w->dc_count,
				o->broken < 0 ? "" : " --break ",
				o->broken < 0 ? "" : breaks[o->broken].name);
		return n;
	}
	return n - 1;
}

static int prove_breaks(struct world *w, struct options *o)
{
	int unnoticed = 0;

	for (o->broken = 0; o->broken < BREAKS; o->broken++) {
		uint64_t n;

		if (breaks[o->broken].rare && o->schedules < RARE_SCHEDULES)
			continue;
		n = run_all(w, o, false);
		printf("%-18s %s after %lu schedules%s%s\n", breaks[o->broken].name,
			w->failed ? "noticed" : "NOT NOTICED", (unsigned long)n,
			w->failed ? ": " : "", w->failed ? w->why : "");
		unnoticed += !w->failed;
	}
	return unnoticed == 0 ? 0 : 1;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--verbose") == 0) {
			o->verbose = true;
			continue;
		}
		if (strcmp(argv[i], "--prove-breaks") == 0) {
			o->prove = true;
			continue;
		}
		if (value == NULL)
			return false;
		i++;
		if (strcmp(argv[i - 1], "--schedules") == 0)
			o->schedules = strtoull(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--seed") == 0)
			o->seed = strtoull(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--dcs") == 0)
			o->dcs = (int)strtol(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--break") == 0)
			for (o->broken = BREAKS - 1;
				o->broken >= 0 &&
				strcmp(breaks[o->broken].name, value) != 0;
				o->broken--)
				;
		else
			return false;
		if (strcmp(argv[i - 1], "--break") == 0 && o->broken < 0)
			return false;
	}
	return o->dcs == 0 || o->dcs == 2 || o->dcs == 3;
}

int main(int argc, char **argv)
{
	struct options o = {.schedules = 0, .seed = 1, .broken = -1};
	struct world *w = calloc(1, sizeof(*w));
	struct totals t = {.local = 0};
	uint64_t n;
	int code;

	if (w == NULL || !parse_options(argc, argv, &o)) {
		fprintf(stderr, "usage: sim [--schedules N] [--seed S] [--dcs 2|3] "
				"[--break NAME] [--verbose] | --prove-breaks\n");
		free(w);
		return 2;
	}
	if (o.schedules == 0)
		o.schedules = o.prove ? 20000 : 1000;
	for (int k = 0; k < MAX_KEYS; k++)
		key_hashes[k] = dia_hash64(sim_key(k), 0);
	w->totals = &t;
	if (o.prove) {
		code = prove_breaks(w, &o);
	} else {
		n = run_all(w, &o, true);
		code = w->failed ? 1 : 0;
		printf("%lu schedules: %lu local transactions, %lu batches, %lu "
		       "conflicts, "
		       "%lu upserts, %lu kept, %lu second-check rollbacks, %lu retries, "
		       "%lu lock timeouts, %lu lost replies, %lu crashes, %lu cuts, %lu "
		       "ddl, %lu held: %s\n",
			(unsigned long)n, (unsigned long)t.local,
			(unsigned long)t.batches, (unsigned long)t.conflicts,
			(unsigned long)t.upserts, (unsigned long)t.kept,
			(unsigned long)t.second, (unsigned long)t.retries,
			(unsigned long)t.timeouts, (unsigned long)t.lost_replies,
			(unsigned long)t.crashes, (unsigned long)t.cuts,
			(unsigned long)t.ddl, (unsigned long)t.held,
			code == 0 ? "all converged" : "FAILED");
	}
	free(w);
	return code;
}
