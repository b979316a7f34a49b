/*
 * tests/e2e/capture_dump.c - runs capture alone against a real server and prints what it
 * would ship, one line per transaction; driven by tests/e2e/test_capture.py.
 *
 *   capture_dump CONFIG AFTER_SEQ
 *
 * Lines on stdin: "status", "refused", "open N" (another cursor from there, closing the
 * first), "ack N" (every peer has applied up to N), "quit". Output is flat JSON, one
 * object a line.
 */
#include "proxy/capture/capture.h"

#include "parser/binlog/row_image.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t engine_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock(void *ctx)
{
	(void)ctx;
	(void)pthread_mutex_lock(&engine_lock);
}

static void unlock(void *ctx)
{
	(void)ctx;
	(void)pthread_mutex_unlock(&engine_lock);
}

static void print_text(struct dia_slice s)
{
	(void)putchar('"');
	for (size_t i = 0; i < s.len && i < 2000; i++) {
		uint8_t b = s.data[i];

		if (b == '"' || b == '\\')
			(void)printf("\\%c", b);
		else if (b < 32 || b > 126)
			(void)printf("\\u%04x", b);
		else
			(void)putchar(b);
	}
	(void)putchar('"');
}

enum { TYPES_SHOWN = 12 };

struct body {
	unsigned types[TYPES_SHOWN];
	uint64_t events, maps, rows, notes;
	struct dia_slice sql, db, note;
	struct dia_arena arena;
	struct dia_table table;
	bool broken;
};

static void look_at_event(struct body *b, const struct dia_event *ev)
{
	struct dia_rows_head head;
	struct dia_rows_iter it;
	struct dia_query_event q;
	struct dia_row row;

	if (ev->type == DIA_EVENT_TABLE_MAP) {
		b->maps++;
		dia_arena_reset(&b->arena);
		b->broken |=
			dia_table_map_parse(ev, &b->arena, &b->table) != DIA_PARSE_OK;
	} else if (ev->type == DIA_EVENT_ANNOTATE_ROWS) {
		b->notes++;
		if (b->notes == 1)
			b->broken |= dia_annotate_parse(ev, &b->note) != DIA_PARSE_OK;
	} else if (ev->type == DIA_EVENT_QUERY) {
		b->broken |= dia_query_event_parse(ev, &q) != DIA_PARSE_OK;
		b->sql = q.sql;
		b->db = q.db;
	} else if (dia_rows_head_parse(ev, &head) == DIA_PARSE_OK &&
		   head.table_id == b->table.table_id &&
		   dia_rows_iter_init(&it, &head, &b->table) == DIA_PARSE_OK) {
		while (dia_rows_next(&it, &row) == DIA_PARSE_OK)
			b->rows++;
	} else {
		b->broken = true;
	}
}

/* What the body holds, and whether every event of it is whole and can be read. */
static void print_body(const struct dia_txn *txn)
{
	struct dia_slice left = dia_txn_body(txn);
	struct body b = {.events = 0};
	struct dia_event ev;

	while (left.len > 0 && !b.broken) {
		if (dia_event_parse(left, false, &ev) != DIA_PARSE_OK) {
			b.broken = true;
			break;
		}
		if (b.events < TYPES_SHOWN)
			b.types[b.events] = ev.type;
		b.events++;
		look_at_event(&b, &ev);
		left = dia_slice_of(left.data + ev.raw.len, left.len - ev.raw.len);
	}
	(void)printf(", \"broken\": %d, \"events\": [", b.broken);
	for (uint64_t i = 0; i < b.events && i < TYPES_SHOWN; i++)
		(void)printf("%s%u", i > 0 ? ", " : "", b.types[i]);
	(void)printf("], \"maps\": %" PRIu64 ", \"rows\": %" PRIu64
		     ", \"notes\": %" PRIu64,
		b.maps, b.rows, b.notes);
	(void)printf(", \"table\": ");
	print_text(b.table.name);
	(void)printf(", \"db\": ");
	print_text(b.db);
	(void)printf(", \"sql\": ");
	print_text(b.sql);
	(void)printf(", \"note\": ");
	print_text(b.note);
	dia_arena_fini(&b.arena);
}

static void print_txn(const struct dia_txn *txn)
{
	const struct dia_txn_head *h = &txn->head;

	(void)printf("{\"seq\": %" PRIu64 ", \"stamp\": %" PRIu64
		     ", \"flags\": %u, \"gtid\": "
		     "\"%" PRIu32 "-%" PRIu32 "-%" PRIu64 "\", \"time\": %" PRIu32
		     ", \"len\": %zu, \"mapped\": %zu, \"deps\": {",
		h->seq, h->stamp.v, h->flags, h->gtid.domain, h->gtid.server,
		h->gtid.seq_no, h->commit_time, txn->body_len, txn->mapped);
	for (uint32_t i = 0; i < h->deps.count; i++)
		(void)printf("%s\"%u\": %" PRIu64, i > 0 ? ", " : "", h->deps.at[i].dc.id,
			h->deps.at[i].seq);
	(void)printf("}");
	print_body(txn);
	(void)printf("}\n");
}

static void print_status(struct dia_capture *c)
{
	struct dia_capture_status s;
	struct rusage usage;
	char pos[DIA_GTID_POS_MAX * 48];

	dia_capture_status(c, &s);
	(void)getrusage(RUSAGE_SELF, &usage);
	if (dia_gtid_pos_format(&s.pos, pos, sizeof(pos)) != DIA_OK)
		pos[0] = '\0';
	(void)printf("{\"status\": \"%s\", \"rc\": \"%s\", \"error\": ",
		dia_capture_state_text(s.state), dia_rc_label(s.error.rc));
	print_text(dia_slice_str(s.error.rc == DIA_OK ? "" : s.error.text));
	(void)printf(", \"pos\": \"%s\", \"head\": %" PRIu64 ", \"durable\": %" PRIu64
		     ", \"first\": %" PRIu64 ", \"acked\": %" PRIu64
		     ", \"rebuild\": %" PRIu64 ", \"groups\": %" PRIu64
		     ", \"local\": %" PRIu64 ", \"applied\": %" PRIu64
		     ", \"ddl\": %" PRIu64 ", \"unshipped\": %" PRIu64
		     ", \"changes\": %" PRIu64 ", \"reconnects\": %" PRIu64
		     ", \"watermarks\": %" PRIu64 ", \"xa_held\": %" PRIu64
		     ", \"lag_ms\": %" PRIu64 ", \"incarnation\": %" PRIu64
		     ", \"outbox_txns\": %" PRIu64 ", \"outbox_bytes\": %" PRIu64
		     ", \"catching_up\": %u, \"annotations_dropped\": "
		     "%" PRIu64 ", \"max_rss_kb\": %ld, \"file\": \"%s\"}\n",
		pos, s.head_seq, s.durable_seq, s.first_seq, s.acked_seq, s.rebuild_seq,
		s.groups, s.local, s.applied, s.ddl, s.unshipped, s.changes, s.reconnects,
		s.watermarks, s.xa_held, s.lag_ms, s.incarnation, s.outbox.txns,
		s.outbox.bytes, s.outbox.catching_up, s.annotations_dropped,
		usage.ru_maxrss, s.file);
}

static void print_refused(struct dia_capture *c)
{
	static struct dia_refused_entry entries[DIA_REFUSED_MAX];
	size_t n = dia_capture_refused(c, entries, DIA_REFUSED_MAX);

	(void)printf("{\"refused\": [");
	for (size_t i = 0; i < n; i++) {
		(void)printf("%s[\"%s\", ", i > 0 ? ", " : "",
			dia_refused_label(entries[i].reason));
		print_text(dia_slice_str(entries[i].name));
		(void)printf(", %" PRIu64 "]", entries[i].count);
	}
	(void)printf("]}\n");
}

static void print_error(const char *what, const struct dia_err *err)
{
	(void)printf("{\"failed\": \"%s\", \"rc\": \"%s\", \"error\": ", what,
		dia_rc_label(err->rc));
	print_text(dia_slice_str(err->text));
	(void)printf("}\n");
	(void)fflush(stdout);
}

struct run {
	struct dia_capture *capture;
	const struct dia_config *config;
	void *cursor;
	char line[256];
	size_t used;
};

static void open_cursor(struct run *r, uint64_t after)
{
	struct dia_err err;

	if (r->cursor != NULL)
		dia_capture_source.close(r->cursor);
	r->cursor = NULL;
	if (dia_capture_source.open(r->capture, after, &r->cursor, &err) != DIA_OK)
		print_error("open", &err);
}

/* False to end. */
static bool command(struct run *r, const char *line)
{
	if (strcmp(line, "quit") == 0)
		return false;
	if (strcmp(line, "status") == 0)
		print_status(r->capture);
	else if (strcmp(line, "refused") == 0)
		print_refused(r->capture);
	else if (strncmp(line, "open ", 5) == 0)
		open_cursor(r, strtoull(line + 5, NULL, 10));
	else if (strncmp(line, "ack ", 4) == 0)
		for (size_t i = 0; i < r->config->peer.dc_count; i++)
			dia_capture_source.acked(r->capture, r->config->peer.dcs[i].dc,
				strtoull(line + 4, NULL, 10),
				strtoull(line + 4, NULL, 10));
	(void)fflush(stdout);
	return true;
}

static bool read_commands(struct run *r)
{
	ssize_t n = read(0, r->line + r->used, sizeof(r->line) - 1 - r->used);
	char *end;

	if (n <= 0)
		return false;
	r->used += (size_t)n;
	r->line[r->used] = '\0';
	while ((end = strchr(r->line, '\n')) != NULL) {
		*end = '\0';
		if (!command(r, r->line))
			return false;
		r->used -= (size_t)(end + 1 - r->line);
		memmove(r->line, end + 1, r->used + 1);
	}
	return true;
}

static void follow(struct run *r)
{
	struct dia_err err;

	for (;;) {
		struct pollfd fds[2] = {
			{.fd = 0, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
		enum dia_rc rc = DIA_E_AGAIN;
		struct dia_txn *txn;

		if (r->cursor != NULL) {
			fds[1].fd = dia_capture_source.wake_fd(r->cursor);
			rc = dia_capture_source.next(r->cursor, &txn, &err);
		}
		if (rc == DIA_OK) {
			print_txn(txn);
			dia_txn_unref(txn);
		} else if (rc != DIA_E_AGAIN) {
			print_error("next", &err);
			dia_capture_source.close(r->cursor);
			r->cursor = NULL;
		} else {
			(void)fflush(stdout);
		}
		if (poll(fds, 2, rc == DIA_OK ? 0 : -1) > 0 && fds[0].revents != 0 &&
			!read_commands(r))
			return;
	}
}

int main(int argc, char **argv)
{
	struct dia_capture_config c = {
		.clock = dia_clock_system(), .lock = lock, .unlock = unlock};
	struct dia_engine_config e = {0};
	struct dia_config *config = NULL;
	struct dia_engine *engine = NULL;
	struct run r = {0};
	struct dia_err err;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: capture_dump CONFIG AFTER_SEQ\n");
		return 2;
	}
	if (dia_config_load(argv[1], &config, &err) != DIA_OK) {
		print_error("config", &err);
		return 1;
	}
	dia_log_configure(config->log_level, -1);
	c.config = r.config = config;
	if (dia_capture_new(&c, &r.capture, &err) != DIA_OK) {
		print_error("new", &err);
		return 1;
	}
	for (size_t i = 0; i < config->peer.dc_count; i++)
		e.peers[e.peer_count++] = config->peer.dcs[i].dc;
	dia_capture_engine_config(r.capture, &e);
	if (dia_engine_new(&e, &engine) != DIA_OK ||
		dia_capture_start(r.capture, engine, &err) != DIA_OK) {
		print_error("start", &err);
		return 1;
	}
	open_cursor(&r, strtoull(argv[2], NULL, 10));
	follow(&r);
	if (r.cursor != NULL)
		dia_capture_source.close(r.cursor);
	dia_capture_close(r.capture);
	dia_engine_free(engine);
	dia_config_free(config);
	return 0;
}
