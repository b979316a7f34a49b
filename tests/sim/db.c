/*
 * tests/sim/db.c - a database: rows by key, row locks held to the end of the transaction,
 * binlog in commit order. Like InnoDB, a statement that finds no row locks nothing.
 */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

enum verb { VERB_INSERT = 0, VERB_UPDATE, VERB_DELETE, VERB_MOVE };

static int applier_session(int origin)
{
	return CLIENTS + origin;
}

static uint32_t see(const struct db *db, const struct session *s, int key)
{
	return (s->written & (1u << key)) != 0 ? s->row[key] : db->row[key];
}

static bool may_lock(const struct db *db, int session, int key)
{
	return db->lock[key] == 0 || db->lock[key] == session + 1;
}

static void write_row(struct db *db, int session, int key, uint32_t image)
{
	struct session *s = &db->sessions[session];

	db->lock[key] = (int8_t)(session + 1);
	s->written |= 1u << key;
	s->row[key] = image;
}

static void end_session(struct db *db, int session)
{
	for (int k = 0; k < MAX_KEYS; k++)
		if (db->lock[k] == session + 1)
			db->lock[k] = 0;
	db->sessions[session].active = false;
	db->sessions[session].written = 0;
	db->sessions[session].count = 0;
	db->sessions[session].pending = false;
	db->sessions[session].batch = NULL;
	db->sessions[session].complete = false;
	db->sessions[session].surprised = false;
	db->sessions[session].at_txn = db->sessions[session].at_change = 0;
}

static struct entry *append(
	struct world *w, struct dc *d, enum entry_kind kind, uint32_t domain, int counter)
{
	struct db *db = &d->db;
	struct entry *e = &db->binlog[db->binlog_count];

	if (db->binlog_count == MAX_BINLOG) {
		sim_fail(w, "the simulation's binlog is full");
		return &db->binlog[0];
	}
	db->binlog_count++;
	*e = (struct entry){.kind = kind,
		.gtid = {.domain = domain,
			.server = (uint32_t)d->index + 1,
			.seq_no = ++db->gtid_seq[counter]}};
	memcpy(e->rows, db->row, sizeof(e->rows));
	if (dia_gtid_pos_update(&db->pos, e->gtid) != DIA_OK)
		sim_fail(w, "too many domains");
	return e;
}

static void make_visible(struct db *db, const struct session *s)
{
	for (int k = 0; k < MAX_KEYS; k++)
		if ((s->written & (1u << k)) != 0)
			db->row[k] = s->row[k];
}

/* ---- local clients ------------------------------------------------------------------*/

static struct sim_txn *new_txn(struct world *w, struct dc *d)
{
	struct db *db = &d->db;
	struct sim_txn *t = &db->txns[db->txn_count++];
	struct entry *e = append(w, d, ENTRY_LOCAL, 0, 0);

	e->origin = d->index;
	e->seq = (uint64_t)db->txn_count;
	*t = (struct sim_txn){
		.gtid = e->gtid, .commit_sec = (uint32_t)(sim_wall_ms(w, d) / 1000)};
	for (int o = 0; o < w->dc_count; o++)
		if (db->applied[o].seq > 0 && dia_deps_raise(&t->knew, sim_dc_id(o),
						      db->applied[o].seq) != DIA_OK)
			sim_fail(w, "too many dcs");
	w->totals->local++;
	return t;
}

static void commit_client(struct world *w, struct dc *d, int session)
{
	struct db *db = &d->db;
	struct session *s = &db->sessions[session];
	struct sim_txn *t;

	if (s->count > 0) {
		make_visible(db, s);
		t = new_txn(w, d);
		t->count = s->count;
		for (int i = 0; i < s->count; i++) {
			t->changes[i] = s->changes[i];
			db->last_local[s->changes[i].key] = (uint64_t)db->txn_count;
			sim_trace(w, d, "client commits #%d.%d kind %d key %d: %u -> %u",
				db->txn_count, i, t->changes[i].kind, t->changes[i].key,
				t->changes[i].before, t->changes[i].after);
		}
	}
	end_session(db, session);
}

static void log_change(struct session *s, enum dia_change_kind kind, int key,
	uint32_t before, uint32_t after)
{
	s->changes[s->count++] = (struct sim_change){.key = (uint8_t)key,
		.kind = (uint8_t)kind,
		.before = before,
		.after = after};
}

/* False while another session holds a lock it needs. */
static bool run_statement(struct world *w, struct dc *d, int session)
{
	struct db *db = &d->db;
	struct session *s = &db->sessions[session];
	int k = s->key, k2 = s->key2;
	uint32_t before = see(db, s, k), image = w->next_image;

	if (!may_lock(db, session, k) ||
		(s->verb == VERB_MOVE && !may_lock(db, session, k2)))
		return false;
	w->next_image++;
	switch ((enum verb)s->verb) {
	case VERB_INSERT:
		if (before == 0) {
			log_change(s, DIA_CHANGE_INSERT, k, 0, image);
			write_row(db, session, k, image);
		}
		break;
	case VERB_UPDATE:
		if (before != 0) {
			log_change(s, DIA_CHANGE_UPDATE, k, before, image);
			write_row(db, session, k, image);
		}
		break;
	case VERB_DELETE:
		if (before != 0) {
			log_change(s, DIA_CHANGE_DELETE, k, before, 0);
			write_row(db, session, k, 0);
		}
		break;
	case VERB_MOVE: /* an update of the primary key */
		if (before != 0 && k != k2 && see(db, s, k2) == 0) {
			log_change(s, DIA_CHANGE_DELETE, k, before, 0);
			write_row(db, session, k, 0);
			log_change(s, DIA_CHANGE_INSERT, k2, 0, image);
			write_row(db, session, k2, image);
		}
		break;
	}
	return true;
}

static void choose_statement(struct world *w, struct dc *d, struct session *s)
{
	bool there;

	s->key = (uint8_t)sim_rand(w, (uint64_t)w->k.keys);
	s->key2 = (uint8_t)sim_rand(w, (uint64_t)w->k.keys);
	there = see(&d->db, s, s->key) != 0;
	s->verb = VERB_INSERT;
	if (there)
		s->verb = sim_chance(w, w->k.deletes) ? VERB_DELETE
			  : sim_chance(w, 100)        ? VERB_MOVE
						      : VERB_UPDATE;
	else if (sim_chance(w, 100))
		s->verb = VERB_UPDATE; /* touches nothing, logs nothing */
	s->pending = true;
}

bool db_client_step(struct world *w, struct dc *d, int session)
{
	struct session *s = &d->db.sessions[session];

	if (!s->active) {
		if (w->draining || d->db.txn_count + CLIENTS + 1 >= MAX_TXNS)
			return false;
		s->active = true;
		s->statements = 1 + (int)(sim_chance(w, 300) ? sim_rand(w, 3) : 0);
	}
	if (s->statements == 0 || s->count + 2 > MAX_CHANGES) {
		if (sim_chance(w, 60))
			end_session(&d->db, session);
		else
			commit_client(w, d, session);
		return true;
	}
	if (!s->pending)
		choose_statement(w, d, s);
	if (run_statement(w, d, session)) {
		s->pending = false;
		s->statements--;
	} else if (sim_chance(w, 150)) {
		end_session(&d->db, session); /* lock wait timeout or deadlock */
	}
	return true;
}

bool db_clients_idle(const struct dc *d)
{
	for (int s = 0; s < CLIENTS; s++)
		if (d->db.sessions[s].active)
			return false;
	return true;
}

void db_ddl_step(struct world *w, struct dc *d)
{
	if (d->db.txn_count + CLIENTS + 1 >= MAX_TXNS)
		return;
	new_txn(w, d)->ddl = true;
	sim_trace(w, d, "ddl #%d", d->db.txn_count);
}

/* ---- what the applier calls ---------------------------------------------------------*/

static struct dc *dc_of(struct applier_ctx *c)
{
	return &c->w->dcs[c->dc];
}

static struct session *session_of(struct applier_ctx *c)
{
	return &dc_of(c)->db.sessions[applier_session(c->origin)];
}

/* A fault before a call does anything: the connection breaks or, where that can be, the
 * server picks this transaction as the victim of a deadlock. */
static enum dia_rc fault(struct applier_ctx *c, bool deadlock, struct dia_err *reterr)
{
	if (!sim_chance(c->w, c->w->k.fault))
		return DIA_OK;
	if (deadlock && sim_chance(c->w, 500)) {
		end_session(&dc_of(c)->db, applier_session(c->origin));
		return dia_err_set(reterr, DIA_E_DB_RETRY, 1213, "deadlock");
	}
	db_applier_gone(c->w, dc_of(c), c->origin, false);
	return dia_err_set(reterr, DIA_E_DB_GONE, 2013, "connection lost");
}

static enum dia_rc op_parse(void *ctx, struct dia_apply_txn *txn, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	const struct sim_txn *t = &c->w->dcs[c->origin].db.txns[txn->txn->head.seq - 1];
	struct dia_change bare[MAX_CHANGES];
	enum dia_rc rc = DIA_OK;

	/* Ahead the connection is busy: what needs it can only be refused. */
	if (!c->ahead)
		rc = fault(c, false, reterr);
	else if (sim_chance(c->w, c->w->k.fault))
		rc = dia_err_set(reterr, DIA_E_DB_RETRY, 0, "the connection is busy");
	if (rc != DIA_OK)
		return rc;
	txn->change_count = sim_changes(t, bare);
	txn->changes = calloc(MAX_CHANGES, sizeof(struct dia_apply_change));
	if (txn->changes == NULL)
		abort();
	for (size_t i = 0; i < txn->change_count; i++) {
		txn->changes[i].change = bare[i];
		txn->changes[i].item = (uint32_t)i;
	}
	return DIA_OK;
}

static void op_release(void *ctx, struct dia_apply_txn *txn)
{
	(void)ctx;
	free(txn->changes);
	txn->changes = NULL;
}

static enum dia_rc op_begin(void *ctx, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	enum dia_rc rc = fault(c, false, reterr);

	if (rc != DIA_OK)
		return rc;
	if (session_of(c)->active)
		sim_fail(c->w, "begin in an open transaction");
	session_of(c)->active = true;
	return DIA_OK;
}

/* One change. DIA_E_AGAIN while its row is locked by another. */
static enum dia_rc write_change(
	struct applier_ctx *c, const struct sim_change *ch, enum dia_verdict verdict)
{
	struct db *db = &dc_of(c)->db;
	int me = applier_session(c->origin);
	struct session *s = session_of(c);

	if (c->w->verbose)
		sim_trace(c->w, dc_of(c),
			"writes a change of %c: key %d, verdict %d, %u "
			"-> %u over %u%s",
			'a' + c->origin, ch->key, (int)verdict, ch->before, ch->after,
			see(db, s, ch->key), may_lock(db, me, ch->key) ? "" : ", locked");
	if (verdict == DIA_KEEP_LOCAL)
		return DIA_OK;
	if (!may_lock(db, me, ch->key))
		return DIA_E_AGAIN;
	if (verdict == DIA_APPLY && see(db, s, ch->key) != ch->before)
		s->surprised = true;
	if (see(db, s, ch->key) != 0 || ch->after != 0)
		write_row(db, me, ch->key, ch->after);
	return DIA_OK;
}

static enum dia_rc op_write(
	void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	struct session *s = session_of(c);
	enum dia_rc rc = fault(c, true, reterr);

	if (rc != DIA_OK)
		return rc;
	if (!s->active || s->complete)
		sim_fail(c->w, "write without begin");
	s->batch = batch;
	if (sim_chance(c->w, 300)) {
		c->ahead = true;
		dia_applier_ahead(dc_of(c)->appliers[c->origin]);
		c->ahead = false;
	}
	for (; s->at_txn < batch->txn_count; s->at_txn++, s->at_change = 0) {
		struct dia_apply_txn *t = &batch->txns[s->at_txn];
		const struct sim_txn *what =
			&c->w->dcs[c->origin].db.txns[t->txn->head.seq - 1];

		for (; s->at_change < t->change_count; s->at_change++) {
			const struct dia_apply_change *ac = &t->changes[s->at_change];

			rc = write_change(
				c, &what->changes[ac->item], ac->decision.verdict);
			if (rc == DIA_E_AGAIN && sim_chance(c->w, 100)) {
				c->w->totals->timeouts++;
				return dia_err_set(reterr, DIA_E_DB_RETRY, 1205,
					"lock wait timeout");
			}
			if (rc != DIA_OK)
				return rc;
		}
	}
	s->complete = true;
	return DIA_OK;
}

static enum dia_rc op_position(
	void *ctx, struct dia_gtid_pos *ret, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	enum dia_rc rc = fault(c, false, reterr);

	if (rc != DIA_OK)
		return rc;
	*ret = dc_of(c)->db.pos;
	return DIA_OK;
}

static void set_mark(
	struct world *w, struct dc *d, int origin, const struct dia_txn *last)
{
	struct entry *e =
		append(w, d, ENTRY_MARK, dia_reserved_id(sim_dc_id(origin)), origin + 1);

	e->origin = origin;
	e->seq = last->head.seq;
	e->stamp = last->head.stamp;
	d->db.applied[origin].seq = e->seq;
	d->db.applied[origin].stamp = e->stamp;
	sim_trace(w, d, "applied %c up to #%lu", 'a' + origin, (unsigned long)e->seq);
}

static void commit_applier(struct applier_ctx *c)
{
	struct session *s = session_of(c);

	check_commit(c->w, dc_of(c), c->origin, s);
	make_visible(&dc_of(c)->db, s);
	set_mark(c->w, dc_of(c), c->origin, s->batch->txns[s->batch->txn_count - 1].txn);
	end_session(&dc_of(c)->db, applier_session(c->origin));
}

static enum dia_rc op_commit(void *ctx, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	enum dia_rc rc = fault(c, true, reterr);

	if (rc != DIA_OK)
		return rc;
	if (!session_of(c)->active || !session_of(c)->complete) {
		sim_fail(c->w, "commit of an incomplete transaction");
		return DIA_E_STATE;
	}
	commit_applier(c);
	if (!sim_chance(c->w, c->w->k.fault))
		return DIA_OK;
	c->w->totals->lost_replies++;
	sim_trace(c->w, dc_of(c), "the reply to COMMIT is lost");
	return dia_err_set(reterr, DIA_E_DB_GONE, 2013, "connection lost");
}

static enum dia_rc op_rollback(void *ctx, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	enum dia_rc rc = fault(c, false, reterr);

	if (rc == DIA_OK)
		end_session(&dc_of(c)->db, applier_session(c->origin));
	return rc;
}

/* Two commits, as in a server: the statement's own, then the mark's. */
static enum dia_rc op_ddl(
	void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	struct db *db = &dc_of(c)->db;
	uint64_t seq = batch->txns[0].txn->head.seq;
	enum dia_rc rc = fault(c, false, reterr);
	struct entry *e;

	if (rc != DIA_OK)
		return rc;
	if (!batch->ddl || batch->txn_count != 1 || db->applied[c->origin].seq + 1 != seq)
		sim_fail(c->w, "ddl %lu out of its place", (unsigned long)seq);
	if (db->ddl_done[c->origin] < seq) {
		e = append(c->w, dc_of(c), ENTRY_APPLIED_DDL,
			dia_reserved_id(sim_dc_id(c->origin)), c->origin + 1);
		e->origin = c->origin;
		db->ddl_done[c->origin] = seq;
		c->w->totals->ddl++;
	}
	rc = fault(c, false, reterr);
	if (rc != DIA_OK)
		return rc;
	set_mark(c->w, dc_of(c), c->origin, batch->txns[0].txn);
	rc = fault(c, false, reterr);
	return rc;
}

static enum dia_rc op_reconnect(void *ctx, uint64_t *applied_seq, struct dia_err *reterr)
{
	struct applier_ctx *c = ctx;
	enum dia_rc rc;

	end_session(&dc_of(c)->db, applier_session(c->origin));
	rc = fault(c, false, reterr);
	if (rc == DIA_OK)
		*applied_seq = dc_of(c)->db.applied[c->origin].seq;
	return rc;
}

const struct dia_apply_ops sim_apply_ops = {
	.parse = op_parse,
	.release = op_release,
	.begin = op_begin,
	.write = op_write,
	.position = op_position,
	.commit = op_commit,
	.rollback = op_rollback,
	.ddl = op_ddl,
	.reconnect = op_reconnect,
};

void db_applier_gone(struct world *w, struct dc *d, int origin, bool lands)
{
	struct applier_ctx c = {.w = w, .dc = d->index, .origin = origin};

	if (lands && session_of(&c)->active && session_of(&c)->complete) {
		sim_trace(w, d, "the commit under way lands");
		commit_applier(&c);
	}
	end_session(&d->db, applier_session(origin));
}
