/*
 * tests/e2e/row_dump.c - decode a real server's binlog and print it for
 * test_row_images.py.
 *
 * usage: row_dump SOCKET BINLOG_FILE POSITION [VERSION]
 *
 * Reads to the end of the binlog, one line per thing, fields parted by blanks, bytes in
 * hex: ROW kind db table         kind 1 insert, 2 update, 3 delete V image name form text
 * literal    image b|a; form N null, T text, B bytes KEY image key             canonical
 * key (images of tables with one) JSON image object QUERY sql FORMAT statement BINLOG
 * statement with a Format_description event for VERSION BINLOG statement          the
 * transaction's rows, written anew, full before images BINLOGKEY statement       the same
 * with key-only before images
 */
#include "parser/binlog/binlog_statement.h"
#include "parser/binlog/row_image.h"

#include <mysql.h>
#include <mariadb_rpl.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLES_MAX = 64, VALUES_MAX = DIA_COLUMNS_MAX };

struct known {
	uint64_t id;
	struct dia_table table;
	uint64_t written_as; /* table id in the statement being written, 0 none yet */
};

struct dump {
	MYSQL *weigh; /* a connection beside the dump */
	struct dia_arena arena;
	struct known known[TABLES_MAX];
	size_t known_count;
	uint64_t next_id;
	struct dia_buf maps, rows, key_rows, plain;
	bool has_checksum;
	struct dia_value values[VALUES_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "row_dump: %s\n", what);
	exit(1);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

static void put_hex(struct dia_slice s)
{
	if (s.len == 0)
		fputs("-", stdout);
	for (size_t i = 0; i < s.len; i++)
		printf("%02x", s.data[i]);
}

/* Ask the server for the weights, as the proxy does. */
static enum dia_rc weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	struct dump *d = ctx;
	struct dia_buf sql = {0};
	MYSQL_RES *res;
	MYSQL_ROW row;
	unsigned long *lengths;
	char charset[64], name[128];

	(void)dia_buf_printf(&sql,
		"SELECT CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM information_schema."
		"COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID = %u",
		collation);
	check(mysql_real_query(d->weigh, (const char *)sql.data, sql.len) == 0,
		"collation");
	res = mysql_store_result(d->weigh);
	row = res == NULL ? NULL : mysql_fetch_row(res);
	check(row != NULL, "collation not found");
	(void)snprintf(charset, sizeof(charset), "%s", row[0]);
	(void)snprintf(name, sizeof(name), "%s", row[1]);
	mysql_free_result(res);

	dia_buf_reset(&sql);
	(void)dia_buf_add_str(&sql, "SELECT WEIGHT_STRING(CONVERT(x'");
	for (size_t i = 0; i < text.len; i++)
		(void)dia_buf_printf(&sql, "%02x", text.data[i]);
	(void)dia_buf_printf(&sql, "' USING %s) COLLATE %s)", charset, name);
	if (mysql_real_query(d->weigh, (const char *)sql.data, sql.len) != 0)
		die(mysql_error(d->weigh));
	res = mysql_store_result(d->weigh);
	row = res == NULL ? NULL : mysql_fetch_row(res);
	check(row != NULL && row[0] != NULL, "weight");
	lengths = mysql_fetch_lengths(res);
	(void)dia_buf_add(out, row[0], lengths[0]);
	mysql_free_result(res);
	dia_buf_fini(&sql);
	return DIA_OK;
}

static struct known *find(struct dump *d, uint64_t id)
{
	for (size_t i = 0; i < d->known_count; i++) {
		if (d->known[i].id == id)
			return &d->known[i];
	}
	return NULL;
}

static void on_table_map(struct dump *d, const struct dia_event *ev)
{
	struct dia_buf exact = {0};
	struct dia_slice copy;
	struct dia_event own;
	struct known *k;
	uint64_t id;

	check(dia_event_write(&exact, ev) == DIA_OK, "copy");
	copy = dia_arena_dup(&d->arena, dia_buf_slice(&exact));
	dia_buf_fini(&exact);
	check(dia_event_parse(copy, false, &own) == DIA_PARSE_OK, "copy of a Table_map");
	check(own.data.len >= 8, "short Table_map");
	id = dia_le48(own.data.data);
	k = find(d, id);
	if (k == NULL) {
		check(d->known_count < TABLES_MAX, "too many tables");
		k = &d->known[d->known_count++];
		k->written_as = 0;
	}
	k->id = id;
	if (dia_table_map_parse(&own, &d->arena, &k->table) != DIA_PARSE_OK)
		die("a Table_map that cannot be parsed");
}

static void print_image(
	struct dump *d, const struct dia_table *t, char which, struct dia_slice image)
{
	struct dia_buf text = {0}, literal = {0};

	check(dia_image_split(t, image, d->values) == DIA_PARSE_OK, "split");
	for (uint32_t i = 0; i < t->column_count; i++) {
		bool is_binary = false;

		dia_buf_reset(&text);
		dia_buf_reset(&literal);
		check(dia_value_text(&t->columns[i], &d->values[i], &text, &is_binary) ==
				DIA_OK,
			"text");
		check(dia_value_literal(&t->columns[i], &d->values[i], &literal) ==
				DIA_OK,
			"literal");
		printf("V %c %.*s %c ", which, (int)t->columns[i].name.len,
			(const char *)t->columns[i].name.data,
			d->values[i].is_null ? 'N'
			: is_binary          ? 'B'
					     : 'T');
		put_hex(dia_buf_slice(&text));
		fputs(" ", stdout);
		put_hex(dia_buf_slice(&literal));
		fputs("\n", stdout);
	}
	if (t->pk_count > 0) {
		dia_buf_reset(&text);
		check(dia_image_key(t, image, weigh, d, &text) == DIA_OK, "key");
		printf("KEY %c ", which);
		put_hex(dia_buf_slice(&text));
		fputs("\n", stdout);
	}
	dia_buf_reset(&text);
	check(dia_image_json(t, image, &text) == DIA_OK, "json");
	printf("JSON %c ", which);
	put_hex(dia_buf_slice(&text));
	fputs("\n", stdout);
	dia_buf_fini(&text);
	dia_buf_fini(&literal);
}

static void write_row(struct dump *d, struct known *k, const struct dia_row *row)
{
	struct dia_rows_writer w;

	if (k->written_as == 0) {
		k->written_as = ++d->next_id;
		check(dia_table_map_write(&d->maps, &k->table, k->written_as) == DIA_OK,
			"map");
	}
	for (int key_only = 0; key_only < 2; key_only++) {
		struct dia_buf *out = key_only ? &d->key_rows : &d->rows;

		check(dia_rows_writer_begin(&w, out, &k->table, k->written_as, row->kind,
			      0, key_only && k->table.pk_count > 0) == DIA_OK,
			"begin");
		check(dia_rows_writer_row(&w, row->before, row->after) == DIA_OK, "row");
		check(dia_rows_writer_end(&w) == DIA_OK, "end");
	}
}

static void on_rows(struct dump *d, const struct dia_event *ev)
{
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_row row;
	struct known *k;
	enum dia_parse rc;

	check(dia_rows_head_parse(ev, &head) == DIA_PARSE_OK, "rows head");
	k = find(d, head.table_id);
	check(k != NULL, "rows of an unknown table");
	check(dia_rows_iter_init(&it, &head, &k->table) == DIA_PARSE_OK, "rows bitmaps");
	while ((rc = dia_rows_next(&it, &row)) == DIA_PARSE_OK) {
		printf("ROW %d %.*s %.*s\n", (int)row.kind, (int)k->table.db.len,
			(const char *)k->table.db.data, (int)k->table.name.len,
			(const char *)k->table.name.data);
		if (row.before.len > 0)
			print_image(d, &k->table, 'b', row.before);
		if (row.after.len > 0)
			print_image(d, &k->table, 'a', row.after);
		write_row(d, k, &row);
	}
	check(rc == DIA_PARSE_MORE, "malformed rows");
}

/* Flags of the last Rows event in buf get STMT_END: the events in it are one behind the
 * other, so walk to the last. */
static void end_statement(struct dia_buf *buf)
{
	size_t at = 0, last = 0;

	while (at < buf->len) {
		last = at;
		at += dia_le32(buf->data + at + 9);
	}
	buf->data[last + DIA_EVENT_HEADER_LEN + 6] |= DIA_ROWS_STMT_END;
}

static void print_statement(struct dump *d, const char *label, struct dia_buf *rows)
{
	struct dia_buf events = {0}, sql = {0};

	end_statement(rows);
	(void)dia_buf_add_slice(&events, dia_buf_slice(&d->maps));
	(void)dia_buf_add_slice(&events, dia_buf_slice(rows));
	check(dia_binlog_statement(&sql, dia_buf_slice(&events)) == DIA_OK, "statement");
	check(sql.len == dia_binlog_statement_len(events.len), "statement length");
	printf("%s %.*s\n", label, (int)sql.len, (const char *)sql.data);
	dia_buf_fini(&events);
	dia_buf_fini(&sql);
}

static void on_commit(struct dump *d)
{
	if (d->maps.len > 0) {
		print_statement(d, "BINLOG", &d->rows);
		print_statement(d, "BINLOGKEY", &d->key_rows);
	}
	dia_buf_reset(&d->maps);
	dia_buf_reset(&d->rows);
	dia_buf_reset(&d->key_rows);
	for (size_t i = 0; i < d->known_count; i++)
		d->known[i].written_as = 0;
}

static void on_query(struct dump *d, const struct dia_event *ev)
{
	struct dia_query_event q;

	check(dia_query_event_parse(ev, &q) == DIA_PARSE_OK, "query");
	printf("QUERY ");
	put_hex(q.sql);
	fputs("\n", stdout);
	if (dia_slice_eq(q.sql, dia_slice_str("COMMIT")))
		on_commit(d);
}

static void on_event(struct dump *d, struct dia_slice raw)
{
	struct dia_format format;
	struct dia_gtid_event gtid;
	struct dia_event ev, plain;

	check(raw.len > 4, "short event");
	if (raw.data[4] == DIA_EVENT_FORMAT_DESCRIPTION) {
		check(dia_format_parse(raw, &format) == DIA_PARSE_OK, "format");
		d->has_checksum = format.has_checksum;
		return;
	}
	/* The server makes up a Rotate event before it has said how events end. */
	if (raw.data[4] == DIA_EVENT_ROTATE)
		return;
	if (dia_event_parse(raw, d->has_checksum, &ev) != DIA_PARSE_OK)
		die("an event that cannot be parsed");
	dia_buf_reset(&d->plain);
	check(dia_event_uncompress(&ev, 64 << 20, &d->plain, &plain) == DIA_PARSE_OK,
		"uncompress");
	if (plain.type == DIA_EVENT_TABLE_MAP)
		on_table_map(d, &plain);
	else if (plain.type >= DIA_EVENT_WRITE_ROWS_V1 &&
		 plain.type <= DIA_EVENT_DELETE_ROWS_V1)
		on_rows(d, &plain);
	else if (plain.type == DIA_EVENT_QUERY)
		on_query(d, &plain);
	else if (plain.type == DIA_EVENT_XID)
		on_commit(d);
	else if (plain.type == DIA_EVENT_GTID)
		check(dia_gtid_event_parse(&plain, &gtid) == DIA_PARSE_OK, "gtid");
}

static MYSQL *login(const char *socket)
{
	MYSQL *m = mysql_init(NULL);

	check(m != NULL, "mysql_init");
	(void)mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (mysql_real_connect(m, NULL, "root", "", NULL, 0, socket, 0) == NULL)
		die(mysql_error(m));
	return m;
}

static void print_format(const char *version)
{
	struct dia_buf event = {0}, sql = {0};

	check(dia_format_event_write(&event, version) == DIA_OK, "format event");
	check(dia_binlog_statement(&sql, dia_buf_slice(&event)) == DIA_OK, "statement");
	printf("FORMAT %.*s\n", (int)sql.len, (const char *)sql.data);
	dia_buf_fini(&event);
	dia_buf_fini(&sql);
}

int main(int argc, char **argv)
{
	static struct dump d;
	MYSQL *m;
	MARIADB_RPL *rpl;
	MARIADB_RPL_EVENT *ev = NULL;

	check(argc >= 4, "usage: row_dump SOCKET BINLOG_FILE POSITION [VERSION]");
	m = login(argv[1]);
	d.weigh = login(argv[1]);
	print_format(argc > 4 ? argv[4] : mysql_get_server_info(d.weigh));
	check(mysql_query(m, "SET @mariadb_slave_capability=4, "
			     "@master_binlog_checksum=@@global.binlog_checksum") == 0,
		"capability");
	rpl = mariadb_rpl_init(m);
	check(rpl != NULL, "mariadb_rpl_init");
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_FILENAME, argv[2], strlen(argv[2]));
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_START, strtoul(argv[3], NULL, 10));
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_SERVER_ID, 4242U);
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_FLAGS,
		(unsigned)(MARIADB_RPL_BINLOG_DUMP_NON_BLOCK |
			   MARIADB_RPL_BINLOG_SEND_ANNOTATE_ROWS));
	if (mariadb_rpl_open(rpl) != 0)
		die(mysql_error(m));
	while ((ev = mariadb_rpl_fetch(rpl, ev)) != NULL) {
		/* The packet: its first byte says OK, then comes the event. */
		if (ev->raw_data != NULL && ev->raw_data_size > 1)
			on_event(&d,
				dia_slice_of(ev->raw_data + 1, ev->raw_data_size - 1));
	}
	if (mysql_errno(m) != 0)
		die(mysql_error(m));
	mariadb_free_rpl_event(ev);
	mariadb_rpl_close(rpl);
	mysql_close(m);
	mysql_close(d.weigh);
	dia_arena_fini(&d.arena);
	dia_buf_fini(&d.maps);
	dia_buf_fini(&d.rows);
	dia_buf_fini(&d.key_rows);
	dia_buf_fini(&d.plain);
	return 0;
}
