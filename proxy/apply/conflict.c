/* proxy/apply/conflict.c - rows of diarchy.conflicts; see write.h and
 * proxy/backend/schema.c. */
#include "proxy/apply/write.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
	RECORD_BYTES = 512 << 10, /* of collected records, before they are sent */
	NAME_MAX_CHARS = 64,
	REASON_MAX = 400,
};

const char *dia_apply_conflict_text(enum dia_apply_conflict type)
{
	static const char *const text[] = {
#define DIA_APPLY_CONFLICT_TEXT(id, label) label,
		DIA_APPLY_CONFLICT_LIST(DIA_APPLY_CONFLICT_TEXT)
#undef DIA_APPLY_CONFLICT_TEXT
	};

	return (unsigned)type < DIA_APPLY_CONFLICT_TYPES ? text[type] : "?";
}

/* One record before it is SQL. */
struct record {
	struct dia_slice db, table;
	struct dia_slice key; /* JSON */
	enum dia_apply_conflict type;
	const char *policy, *verdict, *reason;
	const struct dia_txn_head *local, *remote; /* local may be NULL */
	const char *local_image;                   /* JSON or NULL */
	struct dia_slice remote_image;             /* JSON, data NULL: none */
};

static const char *name_of(const struct apply_db *db, struct dia_dc dc)
{
	const struct dia_config *c = db->c.config;

	if (dc.id == db->c.origin.id)
		return db->c.origin_name;
	for (size_t i = 0; i < c->peer.dc_count; i++)
		if (c->peer.dcs[i].dc.id == dc.id)
			return c->peer.dcs[i].name;
	return db->c.self_name;
}

static const char *time_text(struct dia_hlc stamp, char *out, size_t cap)
{
	uint64_t ms = dia_hlc_ms(stamp);
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	if (gmtime_r(&seconds, &tm) == NULL)
		return "?";
	n = strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm);
	(void)snprintf(out + n, cap - n, ".%03u", (unsigned)(ms % 1000));
	return out;
}

/* ---- SQL
 * ------------------------------------------------------------------------------- */

static void add_quoted(struct apply_db *db, struct dia_buf *out, struct dia_slice text)
{
	dia_buf_add_u8(out, '\'');
	if (dia_buf_reserve(out, text.len * 2 + 1) != DIA_OK)
		return;
	out->len += mysql_real_escape_string(db->mysql, (char *)out->data + out->len,
		(const char *)text.data, (unsigned long)text.len);
	dia_buf_add_u8(out, '\'');
}

/* JSON of an image; one too long for a statement is replaced by its length. */
static void add_image(struct apply_db *db, struct dia_buf *out, struct dia_slice json)
{
	if (json.data == NULL)
		dia_buf_add_str(out, "NULL");
	else if (json.len > db->max_packet / 3)
		dia_buf_printf(out, "'{\"too_long\": %zu}'", json.len);
	else
		add_quoted(db, out, json);
}

static void add_head(struct dia_buf *out, const struct dia_txn_head *head)
{
	if (head == NULL)
		dia_buf_add_str(out, ",NULL,NULL,NULL,NULL");
	else
		dia_buf_printf(out, ",%u,%" PRIu64 ",%" PRIu64 ",'%u-%u-%" PRIu64 "'",
			head->origin.id, head->seq, head->stamp.v, head->gtid.domain,
			head->gtid.server, head->gtid.seq_no);
}

static struct dia_slice cut(struct dia_slice name)
{
	return dia_slice_of(
		name.data, name.len < NAME_MAX_CHARS * 4 ? name.len : NAME_MAX_CHARS);
}

static void add_record(struct apply_work *w, const struct record *r)
{
	struct apply_db *db = w->db;
	struct dia_buf *out = &w->records;

	dia_buf_add_str(out, w->record_count == 0 ? "(" : ",(");
	add_quoted(db, out, cut(r->db));
	dia_buf_add_u8(out, ',');
	add_quoted(db, out, cut(r->table));
	dia_buf_add_u8(out, ',');
	add_quoted(db, out, r->key);
	dia_buf_printf(out, ",'%s','%s','%s',", dia_apply_conflict_text(r->type),
		r->policy, r->verdict);
	add_quoted(db, out, dia_slice_str(r->reason));
	add_head(out, r->local);
	add_head(out, r->remote);
	dia_buf_add_u8(out, ',');
	add_image(db, out,
		r->local_image == NULL ? dia_slice_of(NULL, 0)
				       : dia_slice_str(r->local_image));
	dia_buf_add_u8(out, ',');
	add_image(db, out, r->remote_image);
	dia_buf_add_u8(out, ')');
	w->record_count++;
}

enum dia_rc apply_records_send(struct apply_work *w, struct dia_err *reterr)
{
	struct apply_db *db = w->db;
	enum dia_rc rc;

	if (w->records.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a conflict record");
	if (w->record_count == 0)
		return DIA_OK;
	apply_sql_start(db);
	dia_buf_add_str(&db->sql,
		"INSERT INTO diarchy.conflicts (db_name, table_name, row_key, type, "
		"policy, "
		"verdict, reason, local_origin, local_seq, local_stamp, local_gtid, "
		"remote_origin, remote_seq, remote_stamp, remote_gtid, local_image, "
		"remote_image) VALUES ");
	dia_buf_add_slice(&db->sql, dia_buf_slice(&w->records));
	dia_buf_reset(&w->records);
	w->record_count = 0;
	rc = apply_sql_run(db, NULL, reterr);
	if (rc == DIA_E_DB)
		return dia_err_wrap(reterr, rc, "writing diarchy.conflicts");
	return rc;
}

/* ---- records
 * --------------------------------------------------------------------------- */

static void note(struct apply_db *db, const struct record *r)
{
	char key[160];

	db->pending_conflicts[r->type]++;
	if (db->note_count == APPLY_NOTES_MAX)
		return;
	(void)snprintf(
		key, sizeof(key), "%.*s", (int)r->key.len, (const char *)r->key.data);
	{
		char quoted[200], table[160], quoted_table[200];
		struct apply_note *n = &db->notes[db->note_count++];

		(void)snprintf(table, sizeof(table), "%.*s.%.*s", (int)r->db.len,
			(const char *)r->db.data, (int)r->table.len,
			(const char *)r->table.data);
		n->type = r->type;
		(void)snprintf(n->line, sizeof(n->line),
			"type=%s table=%s key=%s local=%u:%" PRIu64 " remote=%u:%" PRIu64
			" policy=%s verdict=%s",
			dia_apply_conflict_text(r->type),
			dia_log_quote(quoted_table, sizeof(quoted_table), table),
			dia_log_quote(quoted, sizeof(quoted), key),
			r->local == NULL ? 0 : r->local->origin.id,
			r->local == NULL ? 0 : r->local->stamp.v, r->remote->origin.id,
			r->remote->stamp.v, r->policy, r->verdict);
	}
}

static enum dia_rc record(
	struct apply_work *w, const struct record *r, struct dia_err *reterr)
{
	/* Room for this one, whose images may be long. */
	if (w->record_count > 0 && w->records.len + r->remote_image.len > RECORD_BYTES) {
		enum dia_rc rc = apply_records_send(w, reterr);

		if (rc != DIA_OK)
			return rc;
	}
	add_record(w, r);
	note(w->db, r);
	if (w->records.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a conflict record");
	return DIA_OK;
}

/* Key and image of a change as JSON into `key` and `image`. */
static enum dia_rc images(const struct apply_item *item, enum dia_change_kind kind,
	struct dia_buf *key, struct dia_buf *image, struct dia_err *reterr)
{
	const struct dia_table *t = &item->row->source->table;
	struct dia_slice full =
		kind == DIA_CHANGE_DELETE ? item->row->row.before : item->row->row.after;
	enum dia_rc rc = dia_image_key_json(t, full, key);

	if (rc == DIA_OK)
		rc = dia_image_json(t, full, image);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "a row of %.*s.%.*s as JSON: %s",
			(int)t->db.len, (const char *)t->db.data, (int)t->name.len,
			(const char *)t->name.data, dia_rc_text(rc));
	return DIA_OK;
}

static const char *kind_text(enum dia_change_kind kind)
{
	switch (kind) {
	case DIA_CHANGE_INSERT:
		return "insert";
	case DIA_CHANGE_UPDATE:
		return "update";
	case DIA_CHANGE_DELETE:
		return "delete";
	}
	return "change";
}

/* Who is the later one, and by how much. */
static void reason_of(const struct apply_db *db, const struct dia_txn_head *winner,
	enum dia_change_kind kind, const struct dia_txn_head *loser, char *out,
	size_t cap)
{
	int64_t ms = (int64_t)(dia_hlc_ms(winner->stamp) - dia_hlc_ms(loser->stamp));
	char at[40];

	(void)time_text(winner->stamp, at, sizeof(at));
	if (ms > 0)
		(void)snprintf(out, cap,
			"%s's %s at %s is later than %s's by %" PRId64 " ms",
			name_of(db, winner->origin), kind_text(kind), at,
			name_of(db, loser->origin), ms);
	else
		(void)snprintf(out, cap,
			"%s's %s and %s's fell into the same millisecond, %s; %s's stamp "
			"is the "
			"higher",
			name_of(db, winner->origin), kind_text(kind),
			name_of(db, loser->origin), at, name_of(db, winner->origin));
}

enum dia_rc apply_record_conflict(struct apply_work *w, const struct apply_item *item,
	const struct dia_apply_change *change, struct dia_err *reterr)
{
	/* The types of two rivals stand first in the list, local kind by remote kind. */
	unsigned pair = ((unsigned)change->decision.rival_kind - 1) * 3 +
			(unsigned)change->change.kind - 1;
	const struct dia_table *t = &item->row->source->table;
	struct dia_buf key = {0}, image = {0};
	struct apply_known *known;
	bool remote_wins = change->decision.verdict != DIA_KEEP_LOCAL;
	char reason[REASON_MAX];
	struct record r;
	enum dia_rc rc;

	if (pair > DIA_APPLY_DELETE_DELETE || change->decision.rival == NULL)
		return DIA_OK;
	rc = images(item, change->change.kind, &key, &image, reterr);
	if (rc != DIA_OK)
		goto out;
	HASH_FIND(hh, w->known, change->change.key.data, change->change.key.len, known);
	reason_of(w->db, remote_wins ? item->head : &change->rival_head,
		remote_wins ? change->change.kind : change->decision.rival_kind,
		remote_wins ? &change->rival_head : item->head, reason, sizeof(reason));
	r = (struct record){.db = t->db,
		.table = t->name,
		.key = dia_buf_slice(&key),
		.type = (enum dia_apply_conflict)pair,
		.policy = "lww",
		.verdict = remote_wins ? "remote_wins" : "local_wins",
		.reason = reason,
		.local = &change->rival_head,
		.remote = item->head,
		.local_image = known == NULL ? NULL : known->row_json,
		.remote_image = change->change.kind == DIA_CHANGE_DELETE
					? dia_slice_of(NULL, 0)
					: dia_buf_slice(&image)};
	rc = record(w, &r, reterr);
out:
	dia_buf_fini(&key);
	dia_buf_fini(&image);
	return rc;
}

enum dia_rc apply_record_parked(struct apply_work *w, const struct apply_item *item,
	enum dia_apply_conflict type, const char *reason, struct dia_err *reterr)
{
	const struct dia_table *t = &item->row->source->table;
	/* A moved row is known by what it became. */
	enum dia_change_kind kind =
		item->moved != NULL ? DIA_CHANGE_INSERT : item->change->change.kind;
	struct dia_buf key = {0}, image = {0};
	char text[REASON_MAX];
	enum dia_rc rc = images(item, kind, &key, &image, reterr);

	(void)snprintf(text, sizeof(text), "%s's %s was not written: %s",
		name_of(w->db, item->head->origin), kind_text(item->change->change.kind),
		reason);
	if (rc == DIA_OK) {
		struct record r = {.db = t->db,
			.table = t->name,
			.key = dia_buf_slice(&key),
			.type = type,
			.policy = "lww",
			.verdict = "parked",
			.reason = text,
			.remote = item->head,
			.local_image = item->holder_json,
			.remote_image = dia_buf_slice(&image)};

		if (item->change->decision.conflict)
			r.local = &item->change->rival_head;
		rc = record(w, &r, reterr);
	}
	dia_buf_fini(&key);
	dia_buf_fini(&image);
	return rc;
}

/* Both DCs file it under the key of the row that is in neither any more. */
enum dia_rc apply_record_clash(struct apply_work *w, const struct apply_item *item,
	const struct apply_holder *holder, struct dia_err *reterr)
{
	const struct dia_table *t = &item->row->source->table;
	bool remote_wins = holder->claim == APPLY_CLAIM_OLDER;
	enum dia_change_kind kind =
		item->moved != NULL ? DIA_CHANGE_INSERT : item->change->change.kind;
	struct dia_buf key = {0}, image = {0};
	char later[REASON_MAX / 2], text[REASON_MAX];
	enum dia_rc rc = images(item, kind, &key, &image, reterr);

	reason_of(w->db, remote_wins ? item->head : &holder->head,
		remote_wins ? item->change->change.kind : holder->kind,
		remote_wins ? &holder->head : item->head, later, sizeof(later));
	(void)snprintf(text, sizeof(text),
		"%s; both rows want the same unique value, so %s's is in neither table",
		later,
		name_of(w->db, remote_wins ? holder->head.origin : item->head->origin));
	if (rc == DIA_OK && remote_wins) {
		dia_buf_reset(&key);
		rc = dia_image_key_json(t, holder->image, &key);
		if (rc != DIA_OK)
			rc = dia_err_set(reterr, rc, 0, "the key of a row of %.*s",
				(int)t->name.len, (const char *)t->name.data);
	}
	if (rc == DIA_OK) {
		struct record r = {.db = t->db,
			.table = t->name,
			.key = dia_buf_slice(&key),
			.type = DIA_APPLY_UNIQUE_CLASH,
			.policy = "lww",
			.verdict = remote_wins ? "remote_wins" : "local_wins",
			.reason = text,
			.local = &holder->head,
			.remote = item->head,
			.local_image = holder->json,
			.remote_image = dia_buf_slice(&image)};

		rc = record(w, &r, reterr);
	}
	dia_buf_fini(&key);
	dia_buf_fini(&image);
	return rc;
}

enum dia_rc apply_record_skipped(struct apply_work *w, struct dia_err *reterr)
{
	const struct dia_txn_head *head = &w->batch->txns[0].txn->head;
	struct dia_slice sql = w->skipped->sql;
	struct dia_buf statement = {0};
	char text[REASON_MAX];
	struct record r = {.db = w->skipped->db,
		.table = dia_slice_of("", 0),
		.key = dia_slice_of("{}", 2),
		.type = DIA_APPLY_DDL,
		.policy = "lww",
		.verdict = "skipped",
		.reason = text,
		.remote = head};
	enum dia_rc rc;

	(void)snprintf(text, sizeof(text), "%s's statement was not executed here: %s",
		name_of(w->db, head->origin), w->skipped->reason);
	dia_buf_add_str(&statement, "{\"sql\": \"");
	for (size_t i = 0; i < sql.len; i++) {
		uint8_t c = sql.data[i];

		if (c == '"' || c == '\\')
			dia_buf_add_u8(&statement, '\\');
		if (c < 0x20)
			dia_buf_printf(&statement, "\\u%04x", c);
		else
			dia_buf_add_u8(&statement, c);
	}
	dia_buf_add_str(&statement, "\"}");
	r.remote_image = dia_buf_slice(&statement);
	rc = statement.failed ? dia_err_set(reterr, DIA_E_NOMEM, 0, "out of memory")
			      : record(w, &r, reterr);
	dia_buf_fini(&statement);
	return rc;
}
