/* proxy/apply/write.c - see write.h. */
#include "proxy/apply/write.h"
#include "proxy/core/fault.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>

static enum dia_rc nomem(struct dia_err *reterr)
{
	return dia_err_set(reterr, DIA_E_NOMEM, 0, "out of memory for a batch");
}

/* ---- items ----------------------------------------------------------------------------
 */

static struct apply_item *add_item(struct apply_work *w)
{
	struct apply_item *more;

	if (w->count == w->cap) {
		size_t cap = w->cap == 0 ? 256 : w->cap * 2;

		more = realloc(w->items, cap * sizeof(*more));
		if (more == NULL)
			return NULL;
		w->items = more;
		w->cap = cap;
	}
	w->items[w->count] = (struct apply_item){.row = NULL};
	return &w->items[w->count++];
}

/* One item for a change on its own, as it came. */
static bool item_for_change(struct apply_work *w, const struct apply_row *row,
	const struct dia_txn_head *head, struct dia_apply_change *change)
{
	struct apply_item *item = add_item(w);

	if (item == NULL)
		return false;
	item->row = row;
	item->head = head;
	item->change = change;
	item->put = (struct apply_put){.source = row->source, .flags = row->flags};
	item->nothing = change->decision.verdict == DIA_KEEP_LOCAL;
	switch (change->change.kind) {
	case DIA_CHANGE_INSERT:
		item->put.kind = DIA_ROW_INSERT;
		item->put.after = row->row.after;
		break;
	case DIA_CHANGE_UPDATE:
		item->put.kind = DIA_ROW_UPDATE;
		item->put.before = row->row.before;
		item->put.after = row->row.after;
		break;
	case DIA_CHANGE_DELETE:
		item->put.kind = DIA_ROW_DELETE;
		item->put.before = row->row.before;
		break;
	}
	return true;
}

/* Both halves of a moved row are written as they came: one update, so that the children
 * of a foreign key with ON UPDATE CASCADE move along. */
static bool item_for_move(struct apply_work *w, const struct apply_row *row,
	const struct dia_txn_head *head, struct dia_apply_change *old)
{
	if (!item_for_change(w, row, head, old))
		return false;
	w->items[w->count - 1].moved = old + 1;
	w->items[w->count - 1].put.kind = DIA_ROW_UPDATE;
	w->items[w->count - 1].put.after = row->row.after;
	return true;
}

static bool items_of_txn(struct apply_work *w, struct dia_apply_txn *t)
{
	const struct apply_parsed *p = t->parsed;
	const struct dia_txn_head *head = &t->txn->head;

	for (size_t i = 0; i < t->change_count; i++) {
		struct dia_apply_change *c = &t->changes[i];
		const struct apply_row *row = &p->rows[c->item];
		bool move = i + 1 < t->change_count &&
			    t->changes[i + 1].item == c->item &&
			    c->decision.verdict == DIA_APPLY &&
			    t->changes[i + 1].decision.verdict == DIA_APPLY;

		if (move ? !item_for_move(w, row, head, c)
			 : !item_for_change(w, row, head, c))
			return false;
		i += move ? 1 : 0;
	}
	return true;
}

static enum dia_rc bind_tables(struct apply_work *w, struct dia_err *reterr)
{
	for (size_t i = 0; i < w->batch->txn_count; i++) {
		struct apply_parsed *p = w->batch->txns[i].parsed;

		for (size_t j = 0; j < p->source_count; j++) {
			enum dia_rc rc = DIA_OK;

			if (p->sources[j]->replicated)
				rc = apply_source_bind(w->db, p->sources[j], reterr);
			if (rc != DIA_OK)
				return rc;
		}
	}
	return DIA_OK;
}

/* Rows that cannot be written whatever stands here. */
static enum dia_rc park_unfit(struct apply_work *w, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	for (size_t i = 0; rc == DIA_OK && i < w->count; i++) {
		struct apply_item *item = &w->items[i];
		struct apply_source *s = item->put.source;
		char why[256];
		uint32_t column;

		if (item->nothing || (s->fit == APPLY_FIT_RAW && !s->has_checks))
			continue;
		if (s->fit == APPLY_FIT_MISSING || s->fit == APPLY_FIT_NEVER) {
			item->nothing = true;
			rc = apply_record_parked(w, item,
				s->fit == APPLY_FIT_MISSING ? DIA_APPLY_MISSING_TABLE
							    : DIA_APPLY_SCHEMA,
				s->why, reterr);
		} else if (item->put.kind != DIA_ROW_DELETE &&
			   !apply_source_holds(s, item->put.after, &column)) {
			item->nothing = true;
			(void)snprintf(why, sizeof(why),
				"the value of column %.*s does not fit its type or "
				"character set "
				"here",
				(int)s->table.columns[column].name.len,
				(const char *)s->table.columns[column].name.data);
			rc = apply_record_parked(w, item, DIA_APPLY_SCHEMA, why, reterr);
		}
	}
	return rc;
}

/* ---- what stands here
 * ------------------------------------------------------------------ */

static struct apply_known *find_known(struct apply_work *w, struct dia_slice key)
{
	struct apply_known *k;

	HASH_FIND(hh, w->known, key.data, key.len, k);
	return k;
}

static enum dia_rc want_known(struct apply_work *w, const struct apply_item *item,
	const struct dia_apply_change *c, struct dia_err *reterr)
{
	struct apply_known *k = find_known(w, c->change.key);

	if (item->put.source->fit == APPLY_FIT_MISSING ||
		item->put.source->fit == APPLY_FIT_NEVER)
		return DIA_OK;
	if (k == NULL) {
		k = dia_arena_zalloc(&w->arena, 1, sizeof(*k));
		if (k == NULL)
			return nomem(reterr);
		k->key = c->change.key;
		k->source = item->put.source;
		k->image = c->change.kind == DIA_CHANGE_DELETE ? item->row->row.before
							       : item->row->row.after;
		HASH_ADD_KEYPTR(hh, w->known, k->key.data, k->key.len, k);
		if (k->hh.tbl == NULL)
			return nomem(reterr);
	}
	k->want_row |= c->decision.conflict;
	return DIA_OK;
}

/* Look at the rows whose change wins over something, or has a rival to be recorded. */
static enum dia_rc look(struct apply_work *w, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	for (size_t i = 0; rc == DIA_OK && i < w->count; i++) {
		struct apply_item *item = &w->items[i];

		if (item->change->decision.verdict == DIA_UPSERT ||
			item->change->decision.conflict)
			rc = want_known(w, item, item->change, reterr);
		if (rc == DIA_OK && item->moved != NULL && item->moved->decision.conflict)
			rc = want_known(w, item, item->moved, reterr);
	}
	return rc == DIA_OK && w->known != NULL ? apply_probe_known(w, reterr) : rc;
}

static void now_exists(struct apply_work *w, const struct dia_apply_change *c)
{
	struct apply_known *k = find_known(w, c->change.key);

	if (k != NULL)
		k->exists = c->change.kind != DIA_CHANGE_DELETE;
}

/* Each winning change becomes what fits the row as the changes before it leave it. */
static void choose_kinds(struct apply_work *w)
{
	if (w->known == NULL)
		return;
	for (size_t i = 0; i < w->count; i++) {
		struct apply_item *item = &w->items[i];
		struct apply_known *k;

		if (item->nothing)
			continue;
		if (item->change->decision.verdict == DIA_UPSERT) {
			k = find_known(w, item->change->change.key);
			if (k == NULL)
				continue;
			if (item->put.kind == DIA_ROW_DELETE) {
				item->nothing = !k->exists;
			} else {
				item->put.kind =
					k->exists ? DIA_ROW_UPDATE : DIA_ROW_INSERT;
				item->put.before = item->put.after;
			}
		}
		now_exists(w, item->change);
		if (item->moved != NULL)
			now_exists(w, item->moved);
	}
}

static enum dia_rc record_conflicts(struct apply_work *w, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	for (size_t i = 0; rc == DIA_OK && i < w->count; i++) {
		struct apply_item *item = &w->items[i];

		if (item->change->decision.conflict)
			rc = apply_record_conflict(w, item, item->change, reterr);
		if (rc == DIA_OK && item->moved != NULL && item->moved->decision.conflict)
			rc = apply_record_conflict(w, item, item->moved, reterr);
	}
	return rc;
}

/* ---- the attempt
 * ----------------------------------------------------------------------- */

static const struct dia_txn_head *last_head(const struct dia_apply_batch *batch)
{
	return &batch->txns[batch->txn_count - 1].txn->head;
}

static enum dia_rc write_mark(
	struct apply_work *w, struct apply_statement *st, struct dia_err *reterr)
{
	const struct dia_txn_head *head = last_head(w->batch);
	enum dia_rc rc = apply_statement_mark(st, head->seq, head->stamp.v, reterr);

	return rc == DIA_OK ? apply_statement_send(st, false, reterr) : rc;
}

static enum dia_rc write_fast(struct apply_work *w, struct dia_err *reterr)
{
	struct apply_statement st;
	enum dia_rc rc = DIA_OK;

	apply_statement_start(&st, w->db);
	for (size_t i = 0; rc == DIA_OK && i < w->count; i++)
		if (!w->items[i].nothing)
			rc = apply_statement_put(&st, &w->items[i].put, reterr);
	return rc == DIA_OK ? write_mark(w, &st, reterr) : rc;
}

static enum dia_rc write_careful(struct apply_work *w, struct dia_err *reterr)
{
	struct apply_statement st;
	enum dia_rc rc = apply_careful(w, 0, w->count, 0, reterr);

	(void)pthread_mutex_lock(&w->db->stats_mutex);
	w->db->counters.careful++;
	(void)pthread_mutex_unlock(&w->db->stats_mutex);
	if (rc != DIA_OK)
		return rc;
	apply_statement_start(&st, w->db);
	rc = write_mark(w, &st, reterr);
	if (rc == DIA_E_DB && reterr != NULL && apply_is_row_error(reterr->number))
		return dia_err_wrap(reterr, rc,
			"the applied mark of %s in diarchy.applied cannot be written "
			"(was the "
			"row changed by hand? restart diarchy)",
			w->db->c.origin_name);
	return rc;
}

static void work_reset(struct apply_work *w)
{
	w->count = 0;
	HASH_CLEAR(hh, w->known);
	dia_arena_reset(&w->arena);
	dia_buf_reset(&w->records);
	w->record_count = 0;
	w->db->note_count = 0;
	memset(w->db->pending_conflicts, 0, sizeof(w->db->pending_conflicts));
	w->db->pending_repairs = 0;
}

static enum dia_rc attempt(struct apply_work *w, bool careful, struct dia_err *reterr)
{
	enum dia_rc rc;

	work_reset(w);
	for (size_t i = 0; i < w->batch->txn_count; i++)
		if (!items_of_txn(w, &w->batch->txns[i]))
			return nomem(reterr);
	rc = bind_tables(w, reterr);
	if (rc == DIA_OK && w->skipped != NULL)
		rc = apply_record_skipped(w, reterr);
	if (rc == DIA_OK)
		rc = look(w, reterr);
	if (rc == DIA_OK)
		rc = park_unfit(w, reterr);
	if (rc != DIA_OK)
		return rc;
	choose_kinds(w);
	rc = careful ? write_careful(w, reterr) : write_fast(w, reterr);
	if (rc == DIA_OK)
		rc = record_conflicts(w, reterr);
	return rc == DIA_OK ? apply_records_send(w, reterr) : rc;
}

enum dia_rc apply_write(void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr)
{
	return apply_write_with(ctx, batch, NULL, reterr);
}

enum dia_rc apply_write_with(struct apply_db *db, struct dia_apply_batch *batch,
	const struct apply_skipped *skipped, struct dia_err *reterr)
{
	struct apply_work w = {.db = db, .batch = batch, .skipped = skipped};
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc;

	db->batch_seq = last_head(batch)->seq;
	db->batch_captured_us = last_head(batch)->captured_us;
	db->begin_generation = atomic_load(db->c.schema_generation);
	rc = attempt(&w, false, &err);
	if (rc == DIA_E_DB &&
		(apply_is_row_error(err.number) || err.number == ER_BAD_FIELD_ERROR)) {
		rc = dia_mariadb_exec(db->mysql, &err, "ROLLBACK");
		db->needs_begin = true;
		if (rc == DIA_OK)
			rc = attempt(&w, true, &err);
	}
	if (rc == DIA_E_DB &&
		(err.number == ER_NO_SUCH_TABLE || err.number == ER_BAD_FIELD_ERROR)) {
		/* What we know of a table is older than its last DDL: look again. */
		atomic_fetch_add(db->c.schema_generation, 1);
		rc = err.rc = DIA_E_DB_RETRY;
	}
	HASH_CLEAR(hh, w.known);
	dia_arena_fini(&w.arena);
	dia_buf_fini(&w.records);
	free(w.items);
	if (rc == DIA_E_DB && err.number == ER_GTID_STRICT_OUT_OF_ORDER)
		rc = dia_err_set(&err, rc, err.number,
			"the transactions of %s are numbered anew, which "
			"gtid_strict_mode refuses "
			"(seq_no %" PRIu64 " in domain %u); SET GLOBAL "
			"gtid_strict_mode=OFF and start diarchy "
			"again",
			db->c.origin_name, apply_gtid_seq(db->batch_seq, true),
			dia_reserved_id(db->c.origin));
	if (rc != DIA_OK && reterr != NULL)
		*reterr = err;
	DIA_FAULT("apply_written");
	return rc;
}
