/* proxy/capture/group.c - see group.h. */
#include "proxy/capture/group_int.h"

#include "proxy/capture/statement.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	EVENT_LEN_AT = 9,       /* of event_len in the header */
	EVENT_IGNORABLE = 0x80, /* header flag: skip when unknown */
	ROWS_FLAGS_AT = 6,      /* behind the table id */
	XA_PREPARE_ONE_PHASE = 1,
	/* Extra flags of two-phase ALTER (binlog_alter_two_phase, MariaDB 10.8 on). */
	EXTRA_START_ALTER = 2,
	EXTRA_ROLLBACK_ALTER = 8,
};

static void content_init(struct dia_group_reader *g, struct dia_content *c)
{
	*c = (struct dia_content){0};
	dia_txn_builder_init(&c->body, g->config.spill_dir, g->config.spill_bytes);
}

static void content_fini(struct dia_content *c)
{
	dia_txn_builder_fini(&c->body);
	dia_arena_fini(&c->arena);
	free(c->changes);
	*c = (struct dia_content){.body = {.fd = -1}};
}

/* Empty again, with storage of ordinary size kept. */
static void content_reset(struct dia_content *c)
{
	enum { KEEP = 64 * 1024 };

	if (c->body.fd >= 0 || c->body.cap > KEEP)
		dia_txn_builder_fini(&c->body);
	c->body.len = 0;
	dia_arena_reset(&c->arena);
	if (c->change_cap > KEEP / sizeof(*c->changes)) {
		free(c->changes);
		c->changes = NULL;
		c->change_cap = 0;
	}
	c->change_count = 0;
	c->txn_flags = 0;
}

enum dia_rc dia_group_new(
	const struct dia_group_config *config, struct dia_group_reader **ret)
{
	struct dia_group_reader *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return DIA_E_NOMEM;
	g->config = *config;
	content_init(g, &g->content);
	*ret = g;
	return DIA_OK;
}

void dia_group_free(struct dia_group_reader *g)
{
	struct dia_held *h, *next;

	if (g == NULL)
		return;
	dia_group_maps_clear(g);
	HASH_ITER(hh, g->held, h, next)
	{
		HASH_DEL(g->held, h);
		content_fini(&h->content);
		free(h);
	}
	content_fini(&g->content);
	dia_buf_fini(&g->annotate);
	dia_buf_fini(&g->plain);
	dia_buf_fini(&g->key);
	dia_buf_fini(&g->key2);
	free(g->marks);
	free(g);
}

void dia_group_abort(struct dia_group_reader *g)
{
	content_reset(&g->content);
	dia_buf_reset(&g->annotate);
	g->savepoints = NULL;
	g->mark_count = 0;
	g->emitted_count = 0;
	g->in_group = g->complete = g->skip_ddl = false;
}

size_t dia_group_held(const struct dia_group_reader *g)
{
	return HASH_COUNT(g->held);
}

uint64_t dia_group_annotations_dropped(const struct dia_group_reader *g)
{
	return g->annotations_dropped;
}

enum dia_rc dia_group_add_event(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	uint8_t head[DIA_EVENT_HEADER_LEN];
	enum dia_rc rc;

	/* The stated length may include the checksum that is not in raw. */
	memcpy(head, ev->raw.data, sizeof(head));
	dia_put_le32(head + EVENT_LEN_AT, (uint32_t)ev->raw.len);
	rc = dia_txn_builder_add(
		&g->content.body, dia_slice_of(head, sizeof(head)), reterr);
	if (rc != DIA_OK)
		return rc;
	return dia_txn_builder_add(&g->content.body,
		dia_slice_of(ev->raw.data + sizeof(head), ev->raw.len - sizeof(head)),
		reterr);
}

static enum dia_rc bad_event(
	const struct dia_event *ev, const char *what, struct dia_err *reterr)
{
	return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
		"binlog: %s (event type %u, %zu bytes)", what, ev->type, ev->raw.len);
}

static void complete(struct dia_group_reader *g)
{
	g->complete = true;
	g->in_group = false;
	g->group.txn_flags = g->content.txn_flags;
	g->group.body_len = g->content.body.len;
	g->group.ship = !g->group.applied && g->content.body.len > 0;
	g->group.changes = g->content.changes;
	g->group.change_count = g->content.change_count;
	g->group.marks = g->marks;
	g->group.mark_count = g->mark_count;
}

static enum dia_rc begin_group(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	size_t extra_at;
	uint8_t extra;

	/* A group without its end was cut off by a crash of the server: it never
	 * committed. */
	dia_group_abort(g);
	if (dia_gtid_event_parse(ev, &g->gtid) != DIA_PARSE_OK)
		return bad_event(ev, "GTID event cannot be decoded", reterr);
	if (g->gtid.xid.len > 0)
		memcpy(g->xid_bytes, g->gtid.xid.data, g->gtid.xid.len);
	g->gtid.xid.data = g->xid_bytes;
	extra_at = (g->gtid.flags & DIA_GTID_GROUP_COMMIT) != 0 ? 21 : 13;
	extra = ev->data.len > extra_at && g->gtid.xid.len == 0 ? ev->data.data[extra_at]
								: 0;
	/* The ALTER goes across with its commit half, which carries the same text. */
	g->skip_ddl = (g->gtid.flags & DIA_GTID_DDL) != 0 &&
		      (extra & (EXTRA_START_ALTER | EXTRA_ROLLBACK_ALTER)) != 0;
	g->in_group = true;
	g->group = (struct dia_group){.gtid = g->gtid.gtid,
		.commit_time = ev->timestamp,
		.applied = dia_gtid_is_reserved(g->gtid.gtid),
		.schema_changed = (g->gtid.flags & DIA_GTID_DDL) != 0};
	if (g->group.schema_changed)
		dia_group_maps_clear(g);
	return DIA_OK;
}

static enum dia_rc take_annotate(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	dia_buf_reset(&g->annotate);
	if (g->group.applied)
		return DIA_OK;
	if (ev->raw.len > DIA_ANNOTATE_MAX) {
		g->annotations_dropped++;
		return DIA_OK;
	}
	if (dia_buf_add_slice(&g->annotate, ev->raw) != DIA_OK)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a statement's text");
	dia_put_le32(g->annotate.data + EVENT_LEN_AT, (uint32_t)ev->raw.len);
	return DIA_OK;
}

/* Whether a name of the statement is replicated. */
static bool replicated(
	const struct dia_group_reader *g, const struct dia_statement *s, uint32_t i)
{
	const struct dia_config *config = g->config.config;

	if (s->kind == DIA_STATEMENT_TABLE_DDL)
		return dia_config_table_replicated(
			config, s->names[i].db, s->names[i].name);
	return dia_config_db_replicated(config, s->names[i].db);
}

static enum dia_rc ship_ddl(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	g->content.txn_flags |= DIA_TXN_DDL;
	return g->skip_ddl ? DIA_OK : dia_group_add_event(g, ev, reterr);
}

/* DDL on objects that are replicated, all or some of them. */
static enum dia_rc take_ddl(struct dia_group_reader *g, const struct dia_event *ev,
	const struct dia_statement *s, struct dia_err *reterr)
{
	uint32_t yes = 0, other = 0;

	g->group.schema_changed = true;
	dia_group_maps_clear(g);
	for (uint32_t i = 0; i < s->name_count; i++) {
		if (replicated(g, s, i))
			yes++;
		else
			other = i;
	}
	if (yes == 0)
		return DIA_OK;
	if (yes < s->name_count)
		dia_refused_report(g->config.refused, DIA_REFUSED_MIXED_DDL,
			s->names[other].db, s->names[other].name, g->gtid.gtid);
	return ship_ddl(g, ev, reterr);
}

static enum dia_rc add_savepoint(
	struct dia_group_reader *g, struct dia_slice name, struct dia_err *reterr)
{
	struct dia_savepoint *s = dia_arena_zalloc(&g->content.arena, 1, sizeof(*s));

	if (s != NULL)
		s->name = dia_arena_dup(&g->content.arena, name);
	if (s == NULL || (name.len > 0 && s->name.data == NULL))
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a savepoint");
	s->body_len = g->content.body.len;
	s->change_count = g->content.change_count;
	s->next = g->savepoints;
	g->savepoints = s;
	return DIA_OK;
}

static void rollback_to(struct dia_group_reader *g, struct dia_slice name)
{
	struct dia_savepoint *s = g->savepoints;

	while (s != NULL && !dia_slice_eq(s->name, name))
		s = s->next;
	if (s == NULL)
		return;
	g->savepoints = s;
	g->content.body.len = s->body_len;
	g->content.change_count = s->change_count;
	g->emitted_count = 0;
}

static void report_statement(struct dia_group_reader *g, enum dia_refused_reason reason,
	const struct dia_query_event *q, const struct dia_statement *s)
{
	struct dia_slice db = s->name_count > 0 ? s->names[0].db : q->db;
	struct dia_slice name =
		s->name_count > 0 ? s->names[0].name : dia_slice_of(NULL, 0);

	/* A table that is not replicated is nobody's loss. */
	if (s->name_count > 0 &&
		(dia_config_system_schema(db) ||
			!dia_config_table_replicated(g->config.config, db, name)))
		return;
	dia_refused_report(g->config.refused, reason, db, name, g->gtid.gtid);
}

/* The end of a prepared transaction: its rows become this group's. */
static enum dia_rc end_xa(struct dia_group_reader *g, bool commit)
{
	struct dia_held *h;

	HASH_FIND(hh, g->held, g->gtid.xid.data, g->gtid.xid.len, h);
	if (h == NULL) {
		if (commit && !g->group.applied)
			dia_refused_report(g->config.refused, DIA_REFUSED_XA_BEFORE_START,
				dia_slice_of(NULL, 0), dia_slice_str("(XA transaction)"),
				g->gtid.gtid);
		return DIA_OK;
	}
	HASH_DEL(g->held, h);
	if (commit) {
		content_fini(&g->content);
		g->content = h->content;
		g->savepoints = NULL;
	} else {
		content_fini(&h->content);
	}
	free(h);
	return DIA_OK;
}

static enum dia_rc hold_xa(struct dia_group_reader *g, struct dia_err *reterr)
{
	struct dia_held *h = NULL;

	HASH_FIND(hh, g->held, g->gtid.xid.data, g->gtid.xid.len, h);
	if (h != NULL) { /* read again after a broken connection */
		HASH_DEL(g->held, h);
		content_fini(&h->content);
	} else {
		h = calloc(1, sizeof(*h));
	}
	if (h == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for an XA transaction");
	memcpy(h->xid, g->gtid.xid.data, g->gtid.xid.len);
	h->xid_len = g->gtid.xid.len;
	h->content = g->content;
	content_init(g, &g->content);
	g->savepoints = NULL;
	HASH_ADD_KEYPTR(hh, g->held, h->xid, h->xid_len, h);
	if (h->hh.tbl == NULL) {
		content_fini(&h->content);
		free(h);
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for an XA transaction");
	}
	return DIA_OK;
}

static enum dia_rc take_statement(struct dia_group_reader *g, const struct dia_event *ev,
	const struct dia_query_event *q, const struct dia_statement *s,
	struct dia_err *reterr)
{
	switch (s->kind) {
	case DIA_STATEMENT_BEGIN:
	case DIA_STATEMENT_XA_BODY:
	case DIA_STATEMENT_HOUSEKEEPING:
		return DIA_OK;
	case DIA_STATEMENT_COMMIT:
		complete(g);
		return DIA_OK;
	case DIA_STATEMENT_ROLLBACK:
		content_reset(&g->content);
		complete(g);
		return DIA_OK;
	case DIA_STATEMENT_SAVEPOINT:
		return s->name_count > 0 ? add_savepoint(g, s->names[0].name, reterr)
					 : DIA_OK;
	case DIA_STATEMENT_ROLLBACK_TO:
		if (s->name_count > 0)
			rollback_to(g, s->names[0].name);
		return DIA_OK;
	case DIA_STATEMENT_XA_COMMIT:
	case DIA_STATEMENT_XA_ROLLBACK:
		return end_xa(g, s->kind == DIA_STATEMENT_XA_COMMIT);
	case DIA_STATEMENT_TABLE_DDL:
	case DIA_STATEMENT_SCHEMA_DDL:
	case DIA_STATEMENT_DATABASE_DDL:
		return take_ddl(g, ev, s, reterr);
	case DIA_STATEMENT_ACCOUNTS:
		return g->config.config->replicate_users ? ship_ddl(g, ev, reterr)
							 : DIA_OK;
	case DIA_STATEMENT_DML:
		report_statement(g, DIA_REFUSED_STATEMENT_FORMAT, q, s);
		return DIA_OK;
	case DIA_STATEMENT_UNKNOWN:
		report_statement(g, DIA_REFUSED_STATEMENT_UNKNOWN, q, s);
		return DIA_OK;
	}
	return DIA_OK;
}

static enum dia_rc take_query(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	struct dia_statement s = {.kind = DIA_STATEMENT_UNKNOWN};
	struct dia_query_event q;
	enum dia_rc rc = DIA_OK;

	if (dia_query_event_parse(ev, &q) != DIA_PARSE_OK)
		return bad_event(ev, "Query event cannot be decoded", reterr);
	if (dia_slice_eq(q.sql, dia_slice_str("BEGIN")))
		return DIA_OK;
	if (dia_slice_eq(q.sql, dia_slice_str("COMMIT"))) {
		complete(g);
		return DIA_OK;
	}
	rc = dia_statement_classify(&q, &g->content.arena, &s);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "no memory to read a statement");
	/* Of what appliers wrote only the ends matter. */
	if (!g->group.applied || s.kind == DIA_STATEMENT_COMMIT ||
		s.kind == DIA_STATEMENT_ROLLBACK)
		rc = take_statement(g, ev, &q, &s, reterr);
	if (rc == DIA_OK && (g->gtid.flags & DIA_GTID_STANDALONE) != 0 && g->in_group)
		complete(g);
	return rc;
}

static enum dia_rc take_rows(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	enum dia_rc rc = dia_group_rows(g, ev, reterr);

	if (ev->data.len >= ROWS_FLAGS_AT + 2 &&
		(dia_le16(ev->data.data + ROWS_FLAGS_AT) & DIA_ROWS_STMT_END) != 0)
		dia_buf_reset(&g->annotate);
	return rc;
}

/* One event inside a group. */
static enum dia_rc take_event(
	struct dia_group_reader *g, const struct dia_event *ev, struct dia_err *reterr)
{
	switch (ev->type) {
	case DIA_EVENT_QUERY:
		return take_query(g, ev, reterr);
	case DIA_EVENT_XID:
		complete(g);
		return DIA_OK;
	case DIA_EVENT_XA_PREPARE: {
		enum dia_rc rc = DIA_OK;

		if (ev->data.len > 0 && ev->data.data[0] != XA_PREPARE_ONE_PHASE &&
			!g->group.applied)
			rc = hold_xa(g, reterr);
		complete(g);
		return rc;
	}
	case DIA_EVENT_ANNOTATE_ROWS:
		return take_annotate(g, ev, reterr);
	case DIA_EVENT_TABLE_MAP:
		return dia_group_table_map(g, ev, reterr);
	case DIA_EVENT_WRITE_ROWS_V1:
	case DIA_EVENT_UPDATE_ROWS_V1:
	case DIA_EVENT_DELETE_ROWS_V1:
	case DIA_EVENT_WRITE_ROWS_V2:
	case DIA_EVENT_UPDATE_ROWS_V2:
	case DIA_EVENT_DELETE_ROWS_V2:
		return take_rows(g, ev, reterr);
	case DIA_EVENT_EXECUTE_LOAD_QUERY:
	case DIA_EVENT_BEGIN_LOAD_QUERY:
		dia_refused_report(g->config.refused, DIA_REFUSED_STATEMENT_FORMAT,
			dia_slice_of(NULL, 0), dia_slice_str("(LOAD DATA)"),
			g->gtid.gtid);
		return DIA_OK;
	case DIA_EVENT_INTVAR:
	case DIA_EVENT_RAND:
	case DIA_EVENT_USER_VAR:
		return DIA_OK; /* parts of a statement that is reported itself */
	case DIA_EVENT_INCIDENT:
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"the binlog holds an incident after GTID %" PRIu32 "-%" PRIu32
			"-%" PRIu64
			": the server could not log some changes; compare the "
			"datacenters and bootstrap the peer again",
			g->gtid.gtid.domain, g->gtid.gtid.server, g->gtid.gtid.seq_no);
	default: /* of the server's types, not an enum of ours */
		if ((ev->flags & EVENT_IGNORABLE) != 0)
			return DIA_OK;
		return bad_event(ev, "event of an unknown type", reterr);
	}
}

enum dia_rc dia_group_feed(struct dia_group_reader *g, const struct dia_event *ev,
	const struct dia_group **ret, struct dia_err *reterr)
{
	struct dia_event plain;
	enum dia_rc rc;

	*ret = NULL;
	if (ev->type == DIA_EVENT_GTID) {
		rc = begin_group(g, ev, reterr);
		if (rc != DIA_OK)
			dia_group_abort(g);
		return rc;
	}
	/* What stands before the first GTID, an incident apart, has no place in the
	 * order. */
	if (!g->in_group && ev->type != DIA_EVENT_INCIDENT)
		return DIA_OK;
	dia_buf_reset(&g->plain);
	if (dia_event_uncompress(ev, DIA_EVENT_UNCOMPRESSED_MAX, &g->plain, &plain) !=
		DIA_PARSE_OK)
		rc = bad_event(ev, "compressed event cannot be unpacked", reterr);
	else
		rc = take_event(g, &plain, reterr);
	if (g->plain.cap > DIA_ANNOTATE_MAX * 16)
		dia_buf_fini(&g->plain);
	if (rc != DIA_OK) {
		dia_group_abort(g);
		return rc;
	}
	if (g->complete) {
		g->complete = false;
		*ret = &g->group;
	}
	return DIA_OK;
}

enum dia_rc dia_group_take(struct dia_group_reader *g, const struct dia_txn_head *head,
	struct dia_txn **ret, struct dia_err *reterr)
{
	struct dia_txn_head h = *head;

	h.flags |= g->group.txn_flags;
	if (!g->group.ship)
		g->content.body.len = 0;
	return dia_txn_builder_finish(&g->content.body, &h, ret, reterr);
}
