/* proxy/apply/careful.c - rows that the server refused, one by one; see write.h. */
#include "proxy/apply/write.h"
#include "proxy/core/log.h"

#include <mysqld_error.h>
#include <stdio.h>

enum {
	ATTEMPTS = 3,
	REPAIRS_LOGGED = 10, /* per batch */
	DEPTH_MAX = 64,
	/* Rows that one row may push out: one per unique key of its table. */
	BEATEN_MAX = 16,
};

/* ER_ of servers newer than the headers at hand, or without a stable name. */
enum {
	ERR_CHECK_CONSTRAINT = 4025,
	ERR_TABLE_NOT_IN_ENGINE = 1932,
	ERR_NO_CONVERSION = 1677,
};

static bool parked_as(int number, enum dia_apply_conflict *ret)
{
	switch (number) {
	case ER_DUP_ENTRY:
	case ER_DUP_UNIQUE:
	case ER_DUP_ENTRY_WITH_KEY_NAME:
		*ret = DIA_APPLY_UNIQUE_CLASH;
		return true;
	case ER_NO_REFERENCED_ROW:
	case ER_NO_REFERENCED_ROW_2:
	case ER_ROW_IS_REFERENCED:
	case ER_ROW_IS_REFERENCED_2:
	case ER_FOREIGN_DUPLICATE_KEY_WITH_CHILD_INFO:
	case ER_FOREIGN_DUPLICATE_KEY_WITHOUT_CHILD_INFO:
		*ret = DIA_APPLY_FOREIGN_KEY;
		return true;
	case ERR_CHECK_CONSTRAINT:
		*ret = DIA_APPLY_CONSTRAINT;
		return true;
	case ER_NO_SUCH_TABLE:
	case ERR_TABLE_NOT_IN_ENGINE:
		*ret = DIA_APPLY_MISSING_TABLE;
		return true;
	case ER_UNKNOWN_ERROR: /* what BINLOG says when columns do not convert */
	case ERR_NO_CONVERSION:
	case ER_BAD_NULL_ERROR:
	case ER_NO_DEFAULT_FOR_FIELD:
	case ER_WARN_DATA_OUT_OF_RANGE:
	case WARN_DATA_TRUNCATED:
	case ER_DATA_TOO_LONG:
	case ER_TRUNCATED_WRONG_VALUE:
	case ER_TRUNCATED_WRONG_VALUE_FOR_FIELD:
	case ER_NO_PARTITION_FOR_GIVEN_VALUE:
		*ret = DIA_APPLY_SCHEMA;
		return true;
	default:
		return false;
	}
}

bool apply_is_row_error(int number)
{
	enum dia_apply_conflict type;

	return number == ER_KEY_NOT_FOUND || parked_as(number, &type);
}

static bool is_primary_clash(const struct dia_err *err)
{
	return err->number == ER_DUP_ENTRY &&
	       strstr(err->text, "for key 'PRIMARY'") != NULL;
}

static enum dia_rc savepoint(
	struct apply_db *db, const char *verb, unsigned depth, struct dia_err *reterr)
{
	apply_sql_start(db);
	dia_buf_printf(&db->sql, "%s d%u", verb, depth);
	return apply_sql_run(db, NULL, reterr);
}

/* The server's fuller words, if BINLOG said only "Unknown error". */
static void explain(struct apply_db *db, struct dia_err *err)
{
	struct dia_err ignored;
	MYSQL_RES *res;
	MYSQL_ROW row;

	if (err->number != ER_UNKNOWN_ERROR ||
		dia_mariadb_query(db->mysql, &res, &ignored, "SHOW WARNINGS") != DIA_OK)
		return;
	row = mysql_fetch_row(res);
	if (row != NULL && row[2] != NULL)
		(void)snprintf(err->text, sizeof(err->text), "%s", row[2]);
	mysql_free_result(res);
}

static enum dia_rc put_alone(
	struct apply_db *db, const struct apply_put *put, struct dia_err *reterr)
{
	struct apply_statement st;
	enum dia_rc rc;

	apply_statement_start(&st, db);
	rc = apply_statement_put(&st, put, reterr);
	return rc == DIA_OK ? apply_statement_send(&st, false, reterr) : rc;
}

/* Make the row what the change wants, whatever stands here. *repaired: that was not what
 * the change expected to find. */
static enum dia_rc put_as_found(struct apply_work *w, struct apply_item *item,
	bool *repaired, struct dia_err *reterr)
{
	struct apply_put put = item->put;
	bool moved = item->moved != NULL, old = false, new = false;
	enum dia_rc rc = DIA_OK;

	*repaired = false;
	if (moved || put.kind == DIA_ROW_DELETE)
		rc = apply_probe_one(w->db, put.source, put.before, &old, reterr);
	if (rc == DIA_OK && put.kind != DIA_ROW_DELETE)
		rc = apply_probe_one(w->db, put.source, put.after, &new, reterr);
	if (rc != DIA_OK)
		return rc;
	if (put.kind == DIA_ROW_DELETE) {
		*repaired = !old;
		return old ? put_alone(w->db, &put, reterr) : DIA_OK;
	}
	if (moved && old && !new)
		return put_alone(w->db, &put, reterr);
	if (moved && old) {
		struct apply_put gone = put;

		gone.kind = DIA_ROW_DELETE;
		rc = put_alone(w->db, &gone, reterr);
		if (rc != DIA_OK)
			return rc;
	}
	*repaired = moved || new != (put.kind == DIA_ROW_UPDATE);
	put.kind = new ? DIA_ROW_UPDATE : DIA_ROW_INSERT;
	put.before = put.after;
	return put_alone(w->db, &put, reterr);
}

static void count_repair(struct apply_work *w, const struct apply_item *item)
{
	const struct dia_table *t = &item->put.source->table;

	w->db->pending_repairs++;
	if (w->repairs_logged++ < REPAIRS_LOGGED)
		dia_log(DIA_LOG_WARN, "apply", "row_repaired",
			"dc=%s table=%.*s.%.*s seq=%llu reason=\"a row was missing or "
			"extra "
			"without a rival change; run diarchy verify\"",
			w->db->c.origin_name, (int)t->db.len, (const char *)t->db.data,
			(int)t->name.len, (const char *)t->name.data,
			(unsigned long long)item->head->seq);
}

/* ---- unique values -------------------------------------------------------------------
 *
 * Two rows want one unique value, each by a change that did not know the other: the later
 * stamp has it, in both DCs, and the other row leaves the table as a whole. Here that is
 * the holder (beaten, deleted before the row is written) or the row that arrives (lost:
 * it is not written, and what stands under its keys goes). */

struct contest {
	struct apply_holder beaten[BEATEN_MAX];
	size_t count;
	bool removing; /* the error is of a removal, not of the row's own writing */
};

static enum dia_rc remove_row(struct apply_work *w, struct apply_source *source,
	struct dia_slice image, struct dia_err *reterr)
{
	struct apply_put gone = {
		.source = source, .kind = DIA_ROW_DELETE, .before = image};
	bool children = false;
	enum dia_rc rc = apply_has_children(w, source, image, &children, reterr);

	if (rc != DIA_OK)
		return rc;
	/* They would go without a record of their own. */
	if (children)
		return dia_err_set(reterr, DIA_E_DB, ER_ROW_IS_REFERENCED_2,
			"rows of other tables depend on it (ON DELETE CASCADE or SET "
			"NULL)");
	return put_alone(w->db, &gone, reterr);
}

static enum dia_rc remove_beaten(struct apply_work *w, const struct apply_item *item,
	struct contest *c, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	c->removing = true;
	for (size_t i = 0; rc == DIA_OK && i < c->count; i++)
		rc = remove_row(w, item->put.source, c->beaten[i].image, reterr);
	c->removing = rc != DIA_OK;
	return rc;
}

static enum dia_rc record_beaten(struct apply_work *w, const struct apply_item *item,
	const struct contest *c, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	for (size_t i = 0; rc == DIA_OK && i < c->count; i++)
		rc = apply_record_clash(w, item, &c->beaten[i], reterr);
	return rc;
}

/* The row that arrives has lost: what stands under its old and its new key goes. */
static enum dia_rc remove_own(
	struct apply_work *w, const struct apply_item *item, struct dia_err *reterr)
{
	const struct apply_put *put = &item->put;
	const struct dia_slice images[2] = {put->before, put->after};
	enum dia_rc rc = DIA_OK;

	for (int i = item->moved != NULL ? 0 : 1; rc == DIA_OK && i < 2; i++) {
		bool exists;

		rc = apply_probe_one(w->db, put->source, images[i], &exists, reterr);
		if (rc == DIA_OK && exists)
			rc = remove_row(w, put->source, images[i], reterr);
	}
	return rc;
}

static enum dia_rc lose(struct apply_work *w, struct apply_item *item,
	const struct apply_holder *holder, unsigned depth, struct dia_err *reterr)
{
	struct dia_err err = {.rc = DIA_OK};
	char why[DIA_ERR_TEXT_MAX + 64];
	enum dia_rc rc = savepoint(w->db, "SAVEPOINT", depth, reterr);

	if (rc != DIA_OK)
		return rc;
	rc = remove_own(w, item, &err);
	if (rc == DIA_OK)
		return apply_record_clash(w, item, holder, reterr);
	if (rc != DIA_E_DB || !apply_is_row_error(err.number)) {
		if (reterr != NULL)
			*reterr = err;
		return rc;
	}
	rc = savepoint(w->db, "ROLLBACK TO SAVEPOINT", depth, reterr);
	if (rc != DIA_OK)
		return rc;
	(void)snprintf(why, sizeof(why),
		"a later row has its unique value, and its own row here stays: %s",
		err.text);
	item->holder_json = holder->json;
	return apply_record_parked(w, item, DIA_APPLY_UNIQUE_CLASH, why, reterr);
}

static enum dia_rc park(struct apply_work *w, struct apply_item *item,
	const struct contest *c, struct dia_err *err, struct dia_err *reterr)
{
	enum dia_apply_conflict type;
	char why[DIA_ERR_TEXT_MAX + 64];

	if (!parked_as(err->number, &type) || is_primary_clash(err))
		return dia_err_set(reterr, DIA_E_DB_RETRY, err->number,
			"a row changes while it is written: %s", err->text);
	if (!c->removing)
		return apply_record_parked(w, item, type, err->text, reterr);
	(void)snprintf(why, sizeof(why),
		"an older row that has its unique value cannot be taken out: %s",
		err->text);
	item->holder_json = c->beaten[c->count - 1].json;
	return apply_record_parked(w, item, DIA_APPLY_UNIQUE_CLASH, why, reterr);
}

/* Take out who was beaten so far and write the row. On a refusal the server's words are
 * in err, nothing is done, and DIA_E_DB comes back. */
static enum dia_rc write_row(struct apply_work *w, struct apply_item *item,
	struct contest *c, unsigned depth, struct dia_err *err)
{
	bool repaired = false;
	enum dia_rc rc = savepoint(w->db, "SAVEPOINT", depth, err), back;
	struct dia_err undo = {.rc = DIA_OK};

	if (rc == DIA_OK)
		rc = remove_beaten(w, item, c, err);
	if (rc == DIA_OK)
		rc = put_as_found(w, item, &repaired, err);
	if (rc == DIA_OK) {
		if (repaired)
			count_repair(w, item);
		return DIA_OK;
	}
	if (rc != DIA_E_DB || !apply_is_row_error(err->number))
		return rc;
	explain(w->db, err);
	back = savepoint(w->db, "ROLLBACK TO SAVEPOINT", depth, &undo);
	if (back != DIA_OK)
		*err = undo;
	return back != DIA_OK ? back : rc;
}

static enum dia_rc careful_row(struct apply_work *w, struct apply_item *item,
	unsigned depth, struct dia_err *reterr)
{
	struct dia_err err = {.rc = DIA_OK};
	struct contest c = {.count = 0};
	struct apply_holder holder;
	enum dia_apply_conflict type;
	enum dia_rc rc;

	if (item->nothing)
		return DIA_OK;
	for (int i = 0; i < ATTEMPTS;) {
		err = (struct dia_err){.rc = DIA_OK};
		rc = write_row(w, item, &c, depth, &err);
		if (rc == DIA_OK)
			return record_beaten(w, item, &c, reterr);
		if (rc != DIA_E_DB || !apply_is_row_error(err.number)) {
			if (reterr != NULL)
				*reterr = err;
			return rc;
		}
		i++;
		/* A client's row came or went between our look and our write: look again.
		 */
		if (err.number == ER_KEY_NOT_FOUND || is_primary_clash(&err))
			continue;
		if (c.removing || !parked_as(err.number, &type) ||
			type != DIA_APPLY_UNIQUE_CLASH)
			break;
		rc = apply_find_holder(w, item, err.text, &holder, reterr);
		if (rc != DIA_OK)
			return rc;
		item->holder_json = holder.json;
		if (holder.claim == APPLY_CLAIM_NEWER)
			return lose(w, item, &holder, depth, reterr);
		if (!holder.found)
			continue;
		if (holder.claim == APPLY_CLAIM_UNKNOWN || c.count == BEATEN_MAX)
			break;
		c.beaten[c.count++] = holder;
		i = 0;
	}
	return park(w, item, &c, &err, reterr);
}

/* Try the items as one statement behind a savepoint. */
static enum dia_rc put_together(struct apply_work *w, size_t from, size_t to,
	unsigned depth, struct dia_err *reterr)
{
	struct apply_statement st;
	enum dia_rc rc = savepoint(w->db, "SAVEPOINT", depth, reterr);

	apply_statement_start(&st, w->db);
	for (size_t i = from; rc == DIA_OK && i < to; i++)
		if (!w->items[i].nothing)
			rc = apply_statement_put(&st, &w->items[i].put, reterr);
	return rc == DIA_OK ? apply_statement_send(&st, false, reterr) : rc;
}

enum dia_rc apply_careful(struct apply_work *w, size_t from, size_t to, unsigned depth,
	struct dia_err *reterr)
{
	struct dia_err err = {.rc = DIA_OK};
	size_t middle = from + (to - from) / 2;
	enum dia_rc rc;

	if (from >= to)
		return DIA_OK;
	if (to - from == 1)
		return careful_row(w, &w->items[from], depth, reterr);
	if (depth >= DEPTH_MAX)
		return dia_err_set(reterr, DIA_E_STATE, 0, "batch too deep to be halved");
	/* All together have just been refused at depth 0. */
	if (depth > 0) {
		rc = put_together(w, from, to, depth, &err);
		if (rc == DIA_OK)
			return DIA_OK;
		if (rc != DIA_E_DB || !apply_is_row_error(err.number)) {
			if (reterr != NULL)
				*reterr = err;
			return rc;
		}
		rc = savepoint(w->db, "ROLLBACK TO SAVEPOINT", depth, reterr);
		if (rc != DIA_OK)
			return rc;
	}
	rc = apply_careful(w, from, middle, depth + 1, reterr);
	return rc == DIA_OK ? apply_careful(w, middle, to, depth + 1, reterr) : rc;
}
