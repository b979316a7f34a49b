/* proxy/apply/statement.c - see statement.h. */
#include "proxy/apply/statement.h"
#include "parser/binlog/binlog_statement.h"

enum {
	STATEMENT_BYTES = 4 << 20, /* of events; the text is a third longer */
	PREFIX_BYTES = 512,
	ROW_SLACK = 512, /* headers and bitmaps that come with a row */
	FLAGS_AT = DIA_EVENT_HEADER_LEN + 6,
};

void apply_statement_start(struct apply_statement *st, struct apply_db *db)
{
	size_t most = db->max_packet > 2 * PREFIX_BYTES ? db->max_packet - PREFIX_BYTES
							: PREFIX_BYTES;

	*st = (struct apply_statement){.db = db,
		.limit = most / 4 * 3 < STATEMENT_BYTES ? most / 4 * 3 : STATEMENT_BYTES};
	dia_buf_reset(&db->maps);
	dia_buf_reset(&db->rows);
	dia_buf_reset(&db->events);
	st->group = ++db->tick;
}

static enum dia_rc build_error(
	struct apply_statement *st, enum dia_rc rc, struct dia_err *reterr)
{
	return dia_err_set(reterr, rc, 0, "writing row events from %s: %s",
		st->db->c.origin_name, dia_rc_text(rc));
}

static enum dia_rc close_writer(struct apply_statement *st)
{
	bool open = st->writer_open;

	st->writer_open = false;
	return open ? dia_rows_writer_end(&st->writer) : DIA_OK;
}

static enum dia_rc close_group(struct apply_statement *st)
{
	struct apply_db *db = st->db;
	enum dia_rc rc = close_writer(st);

	if (rc != DIA_OK || !st->group_open)
		return rc;
	db->rows.data[st->last_event + FLAGS_AT] |= DIA_ROWS_STMT_END;
	dia_buf_add_slice(&db->events, dia_buf_slice(&db->maps));
	rc = dia_buf_add_slice(&db->events, dia_buf_slice(&db->rows));
	dia_buf_reset(&db->maps);
	dia_buf_reset(&db->rows);
	st->group = ++db->tick;
	st->next_id = 0;
	st->group_open = false;
	return rc;
}

static enum dia_rc map_source(struct apply_statement *st, struct apply_source *s)
{
	if (s->group == st->group)
		return DIA_OK;
	s->group = st->group;
	s->group_id = ++st->next_id;
	return s->fit == APPLY_FIT_RAW
		       ? dia_table_map_write(&st->db->maps, &s->table, s->group_id)
		       : apply_remap_table(&st->db->maps, s, s->group_id);
}

static enum dia_rc add_row(struct apply_statement *st, const struct apply_put *put)
{
	struct apply_source *s = put->source;
	enum dia_rc rc = map_source(st, s);

	if (rc != DIA_OK)
		return rc;
	if (st->writer_open && (st->source != s || st->writer.kind != put->kind)) {
		rc = close_writer(st);
		if (rc != DIA_OK)
			return rc;
	}
	st->source = s;
	st->flags = put->flags;
	st->group_open = true;
	if (s->fit != APPLY_FIT_RAW) {
		st->last_event = st->db->rows.len;
		return apply_remap_row(&st->db->rows, s, s->group_id, put->kind,
			put->flags, put->before, put->after);
	}
	if (!st->writer_open) {
		st->last_event = st->db->rows.len;
		rc = dia_rows_writer_begin(&st->writer, &st->db->rows, &s->table,
			s->group_id, put->kind, put->flags, true);
		if (rc != DIA_OK)
			return rc;
		st->writer_open = true;
	}
	return dia_rows_writer_row(&st->writer, put->before, put->after);
}

static size_t bytes_held(const struct apply_statement *st)
{
	return st->db->events.len + st->db->maps.len + st->db->rows.len;
}

enum dia_rc apply_statement_put(
	struct apply_statement *st, const struct apply_put *put, struct dia_err *reterr)
{
	size_t more = put->after.len + put->source->table.map.len + ROW_SLACK;
	enum dia_rc rc = DIA_OK;

	if (put->kind == DIA_ROW_DELETE)
		more += put->before.len;
	if (bytes_held(st) > 0 && bytes_held(st) + more > st->limit) {
		rc = apply_statement_send(st, false, reterr);
		if (rc != DIA_OK)
			return rc;
	}
	if (st->group_open && st->flags != put->flags)
		rc = close_group(st);
	if (rc == DIA_OK)
		rc = add_row(st, put);
	return rc == DIA_OK ? DIA_OK : build_error(st, rc, reterr);
}

/* ---- the mark -------------------------------------------------------------------------
 */

static void add_header(
	struct dia_buf *out, uint8_t type, uint64_t id, uint16_t flags, size_t body)
{
	uint8_t header[DIA_EVENT_HEADER_LEN] = {0};

	header[4] = type;
	dia_put_le32(header + 9, (uint32_t)(DIA_EVENT_HEADER_LEN + 8 + body));
	dia_buf_add(out, header, sizeof(header));
	dia_buf_add_le32(out, (uint32_t)id);
	dia_buf_add_le16(out, 0);
	dia_buf_add_le16(out, flags);
}

/* diarchy.applied (origin SMALLINT, seq, stamp, incarnation BIGINT, all UNSIGNED NOT
 * NULL), which apply_db_connect has looked at. */
static const uint8_t mark_table[] = {7, 'd', 'i', 'a', 'r', 'c', 'h', 'y', 0, 7, 'a', 'p',
	'p', 'l', 'i', 'e', 'd', 0, 4, DIA_TYPE_SHORT, DIA_TYPE_LONGLONG,
	DIA_TYPE_LONGLONG, DIA_TYPE_LONGLONG, 0, 0};

static void add_mark_image(
	const struct apply_db *db, struct dia_buf *out, uint64_t seq, uint64_t stamp)
{
	dia_buf_add_u8(out, 0xf0);
	dia_buf_add_le16(out, db->c.origin.id);
	dia_buf_add_le64(out, seq);
	dia_buf_add_le64(out, stamp);
	dia_buf_add_le64(out, atomic_load(&db->incarnation));
}

enum dia_rc apply_statement_mark(
	struct apply_statement *st, uint64_t seq, uint64_t stamp, struct dia_err *reterr)
{
	struct apply_db *db = st->db;
	uint64_t id;
	enum dia_rc rc = DIA_OK;

	if (st->group_open && st->flags != 0)
		rc = close_group(st);
	if (rc == DIA_OK)
		rc = close_writer(st);
	if (rc != DIA_OK)
		return build_error(st, rc, reterr);
	id = ++st->next_id;
	add_header(&db->maps, DIA_EVENT_TABLE_MAP, id, 1, sizeof(mark_table));
	dia_buf_add(&db->maps, mark_table, sizeof(mark_table));
	st->last_event = db->rows.len;
	st->flags = 0;
	st->group_open = true;
	st->last = true;
	if (db->has_mark) {
		add_header(&db->rows, DIA_EVENT_UPDATE_ROWS_V1, id, 0, 1 + 2 + 3 + 27);
		dia_buf_add_u8(&db->rows, 4);
		dia_buf_add_u8(&db->rows, 0x01); /* before: the key alone */
		dia_buf_add_u8(&db->rows, 0x0f);
		dia_buf_add_u8(&db->rows, 0xfe);
		dia_buf_add_le16(&db->rows, db->c.origin.id);
	} else {
		add_header(&db->rows, DIA_EVENT_WRITE_ROWS_V1, id, 0, 1 + 1 + 27);
		dia_buf_add_u8(&db->rows, 4);
		dia_buf_add_u8(&db->rows, 0x0f);
	}
	add_mark_image(db, &db->rows, seq, stamp);
	if (db->rows.failed || db->maps.failed)
		return build_error(st, DIA_E_NOMEM, reterr);
	return DIA_OK;
}

/* ---- sending --------------------------------------------------------------------------
 */

/* A row too long for one statement: in two user variables, which BINLOG puts together
 * again. That carries any row that a client could have sent in one statement here. */
static enum dia_rc send_in_two(struct apply_statement *st, struct dia_err *reterr)
{
	struct apply_db *db = st->db;
	struct dia_buf text = {0};
	enum dia_rc rc;
	size_t half;

	rc = dia_buf_add_base64(&text, dia_buf_slice(&db->events));
	half = text.len / 2;
	if (rc == DIA_OK && text.len - half + PREFIX_BYTES > db->max_packet)
		rc = dia_err_set(reterr, DIA_E_LIMIT, 0,
			"a row of %zu bytes in table %.*s.%.*s does not fit into "
			"max_allowed_packet (%zu); raise it to at least %zu on this "
			"database "
			"(SET GLOBAL max_allowed_packet and the server's configuration) "
			"and "
			"restart diarchy",
			db->events.len, (int)st->source->table.db.len,
			(const char *)st->source->table.db.data,
			(int)st->source->table.name.len,
			(const char *)st->source->table.name.data, db->max_packet,
			text.len / 2 + ((size_t)1 << 20));
	for (int part = 0; rc == DIA_OK && part < 2; part++) {
		if (part > 0)
			apply_sql_start(db);
		dia_buf_printf(&db->sql, "SET @diarchy_%d='", part);
		dia_buf_add(&db->sql, text.data + (part == 0 ? 0 : half),
			part == 0 ? half : text.len - half);
		dia_buf_add_u8(&db->sql, '\'');
		rc = apply_sql_run(db, NULL, reterr);
	}
	dia_buf_fini(&text);
	if (rc != DIA_OK)
		return rc;
	apply_sql_start(db);
	dia_buf_add_str(&db->sql, "BINLOG @diarchy_0, @diarchy_1");
	return st->last ? apply_sql_run_last(db, reterr)
			: apply_sql_run(db, NULL, reterr);
}

enum dia_rc apply_statement_send(
	struct apply_statement *st, bool prefixed, struct dia_err *reterr)
{
	struct apply_db *db = st->db;
	enum dia_rc rc = close_group(st);

	if (rc != DIA_OK || db->events.failed)
		return build_error(st, rc == DIA_OK ? DIA_E_NOMEM : rc, reterr);
	if (db->events.len == 0)
		return DIA_OK;
	if (!prefixed)
		apply_sql_start(db);
	(void)pthread_mutex_lock(&db->stats_mutex);
	db->counters.statements++;
	db->counters.statement_bytes += db->events.len;
	(void)pthread_mutex_unlock(&db->stats_mutex);
	if (dia_binlog_statement_len(db->events.len) + PREFIX_BYTES > db->max_packet) {
		rc = send_in_two(st, reterr);
	} else {
		rc = dia_binlog_statement(&db->sql, dia_buf_slice(&db->events));
		if (rc != DIA_OK)
			rc = build_error(st, rc, reterr);
		else
			rc = st->last ? apply_sql_run_last(db, reterr)
				      : apply_sql_run(db, NULL, reterr);
	}
	dia_buf_reset(&db->events);
	return rc;
}
