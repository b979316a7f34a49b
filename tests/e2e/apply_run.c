/*
 * tests/e2e/apply_run.c - what one server's binlog holds, applied to another server.
 *
 *   apply_run key=value ...
 *   from=SOCKET file=NAME pos=N   read the binlog from there to its end
 *   to=SOCKET                     with proxy/apply, as origin 1 at DC 2
 *   batch=N (100)                 transactions to a local one
 *   decide=apply|upsert|keep|remote|local
 *                                 every change's decision; the last two with a rival
 *   skip=N                        leave out the first N transactions (seq counts on)
 *   crash=commit                  end before the first COMMIT
 *   user=NAME (root)             account on the server written to
 *   hold=MS                       wait before each COMMIT
 *   threads=1                     through dia_apply_start, its thread and a real engine
 *
 * Prints TXN, RETRY, ERROR and DONE lines for tests/e2e/test_apply.py. Transactions whose
 * rows are all in the database `other` are not taken.
 */
#include "proxy/apply/apply.h"
#include "proxy/backend/schema.h"
#include "proxy/apply/db.h"
#include "parser/binlog/event.h"

#include <inttypes.h>
#include <mariadb_rpl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct options {
	const char *from, *to, *file, *decide, *crash, *user;
	unsigned long pos, batch, skip, hold, threads;
};

struct source {
	struct dia_txn **txns;
	size_t count, cap;
	struct dia_txn_builder body;
	struct dia_gtid gtid;
	uint32_t time;
	bool has_checksum, open, ddl;
	struct dia_buf plain, event;
	uint64_t seq;
};

static void die(const char *what)
{
	fprintf(stderr, "apply_run: %s\n", what);
	exit(2);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

/* ---- reading
 * --------------------------------------------------------------------------- */

static void finish_txn(struct source *s)
{
	struct dia_txn_head head = {.origin = {1},
		.seq = s->seq + 1,
		.gtid = s->gtid,
		.commit_time = s->time,
		.flags = s->ddl ? DIA_TXN_DDL : 0,
		.stamp = dia_hlc_from_ms((uint64_t)s->time * 1000 + 123)};

	head.stamp.v += ++s->seq;
	if (s->count == s->cap) {
		s->cap = s->cap == 0 ? 1024 : s->cap * 2;
		s->txns = realloc(s->txns, s->cap * sizeof(struct dia_txn *));
		check(s->txns != NULL, "memory");
	}
	check(dia_txn_builder_finish(&s->body, &head, &s->txns[s->count++], NULL) ==
			DIA_OK,
		"finish");
	s->open = false;
}

static void add_event(struct source *s, const struct dia_event *ev)
{
	dia_buf_reset(&s->event);
	check(dia_event_write(&s->event, ev) == DIA_OK, "event");
	check(dia_txn_builder_add(&s->body, dia_buf_slice(&s->event), NULL) == DIA_OK,
		"body");
}

static void on_query(struct source *s, const struct dia_event *ev)
{
	struct dia_query_event q;

	check(dia_query_event_parse(ev, &q) == DIA_PARSE_OK, "query");
	if (dia_slice_eq(q.sql, dia_slice_str("COMMIT"))) {
		finish_txn(s);
	} else if (s->ddl) {
		add_event(s, ev);
	}
}

static void on_event(struct source *s, struct dia_slice raw)
{
	struct dia_format format;
	struct dia_gtid_event gtid;
	struct dia_event ev, plain;
	static bool standalone;

	if (raw.data[4] == DIA_EVENT_FORMAT_DESCRIPTION) {
		check(dia_format_parse(raw, &format) == DIA_PARSE_OK, "format");
		s->has_checksum = format.has_checksum;
		return;
	}
	if (raw.data[4] == DIA_EVENT_ROTATE)
		return;
	check(dia_event_parse(raw, s->has_checksum, &ev) == DIA_PARSE_OK, "event");
	dia_buf_reset(&s->plain);
	check(dia_event_uncompress(&ev, 64 << 20, &s->plain, &plain) == DIA_PARSE_OK,
		"plain");
	switch (plain.type) {
	case DIA_EVENT_GTID:
		check(dia_gtid_event_parse(&plain, &gtid) == DIA_PARSE_OK, "gtid");
		s->gtid = gtid.gtid;
		s->time = plain.timestamp;
		s->open = true;
		s->ddl = (gtid.flags & DIA_GTID_DDL) != 0;
		standalone = (gtid.flags & DIA_GTID_STANDALONE) != 0;
		break;
	case DIA_EVENT_TABLE_MAP:
	case DIA_EVENT_WRITE_ROWS_V1:
	case DIA_EVENT_UPDATE_ROWS_V1:
	case DIA_EVENT_DELETE_ROWS_V1:
		add_event(s, &plain);
		break;
	case DIA_EVENT_QUERY:
		on_query(s, &plain);
		if (s->open && standalone)
			finish_txn(s);
		break;
	case DIA_EVENT_XID:
		finish_txn(s);
		break;
	default:
		break;
	}
}

static MYSQL *login(const char *socket)
{
	MYSQL *m = mysql_init(NULL);

	check(m != NULL, "mysql_init");
	if (mysql_real_connect(m, NULL, "root", "", NULL, 0, socket, 0) == NULL)
		die(mysql_error(m));
	return m;
}

static void read_source(struct source *s, const struct options *o)
{
	MYSQL *m = login(o->from);
	MARIADB_RPL *rpl;
	MARIADB_RPL_EVENT *ev = NULL;

	dia_txn_builder_init(&s->body, NULL, 0);
	check(mysql_query(m, "SET @mariadb_slave_capability=4, "
			     "@master_binlog_checksum=@@global.binlog_checksum") == 0,
		"capability");
	rpl = mariadb_rpl_init(m);
	check(rpl != NULL, "mariadb_rpl_init");
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_FILENAME, o->file, strlen(o->file));
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_START, o->pos);
	(void)mariadb_rpl_optionsv(rpl, MARIADB_RPL_SERVER_ID, 4243U);
	(void)mariadb_rpl_optionsv(
		rpl, MARIADB_RPL_FLAGS, (unsigned)MARIADB_RPL_BINLOG_DUMP_NON_BLOCK);
	if (mariadb_rpl_open(rpl) != 0)
		die(mysql_error(m));
	while ((ev = mariadb_rpl_fetch(rpl, ev)) != NULL)
		if (ev->raw_data != NULL && ev->raw_data_size > 20)
			on_event(
				s, dia_slice_of(ev->raw_data + 1, ev->raw_data_size - 1));
	if (mysql_errno(m) != 0)
		die(mysql_error(m));
	mariadb_free_rpl_event(ev);
	mariadb_rpl_close(rpl);
	mysql_close(m);
}

/* ---- writing
 * --------------------------------------------------------------------------- */

static void decide(const struct options *o, struct dia_apply_txn *t)
{
	for (size_t i = 0; i < t->change_count; i++) {
		struct dia_apply_change *c = &t->changes[i];
		bool local = strcmp(o->decide, "local") == 0;
		bool rival = local || strcmp(o->decide, "remote") == 0;

		c->decision = (struct dia_decision){.verdict = DIA_APPLY};
		if (strcmp(o->decide, "upsert") == 0 || strcmp(o->decide, "remote") == 0)
			c->decision.verdict = DIA_UPSERT;
		if (strcmp(o->decide, "keep") == 0 || local)
			c->decision.verdict = DIA_KEEP_LOCAL;
		if (!rival)
			continue;
		c->decision.conflict = true;
		c->decision.rival_kind = DIA_CHANGE_UPDATE;
		c->rival_head = (struct dia_txn_head){.origin = {2},
			.seq = 7,
			.gtid = {0, 2, 70},
			.stamp = t->txn->head.stamp};
		c->rival_head.stamp.v += local ? 12U << 16 : -(UINT64_C(12) << 16);
		c->decision.rival = &c->rival_head;
	}
}

static enum dia_rc write_once(const struct options *o, struct apply_db *db,
	struct dia_apply_batch *b, struct dia_err *err)
{
	const struct dia_apply_ops *ops = dia_apply_db_ops();
	struct dia_gtid_pos pos;
	enum dia_rc rc = ops->begin(db, err);

	if (rc == DIA_OK)
		rc = ops->write(db, b, err);
	if (rc == DIA_OK)
		rc = ops->position(db, &pos, err);
	if (rc == DIA_OK && o->hold > 0) {
		printf("HOLD\n");
		fflush(stdout);
		(void)usleep((useconds_t)o->hold * 1000);
	}
	if (rc == DIA_OK && strcmp(o->crash, "commit") == 0)
		_exit(9);
	return rc == DIA_OK ? ops->commit(db, err) : rc;
}

static void write_batch(
	const struct options *o, struct apply_db *db, struct dia_apply_batch *b)
{
	const struct dia_apply_ops *ops = dia_apply_db_ops();
	struct dia_err err = {.rc = DIA_OK};
	uint64_t seq;
	enum dia_rc rc;

	for (;;) {
		if (b->ddl)
			rc = ops->ddl(db, b, &err);
		else
			rc = write_once(o, db, b, &err);
		if (rc == DIA_OK)
			return;
		printf("RETRY %s %d %s\n", dia_rc_label(rc), err.number, err.text);
		fflush(stdout);
		if (rc == DIA_E_DB_GONE) {
			while (ops->reconnect(db, &seq, &err) != DIA_OK)
				(void)usleep(20000);
			if (seq >= b->txns[b->txn_count - 1].txn->head.seq)
				return;
		} else if (rc == DIA_E_DB_RETRY) {
			(void)ops->rollback(db, NULL);
			(void)usleep(20000);
		} else {
			printf("ERROR %s %d %s\n", dia_rc_label(rc), err.number,
				err.text);
			exit(1);
		}
	}
}

static void apply_all(
	const struct options *o, struct source *s, struct apply_db *db, uint64_t done)
{
	const struct dia_apply_ops *ops = dia_apply_db_ops();
	struct dia_apply_txn *txns = calloc(o->batch, sizeof(*txns));
	struct dia_err err = {.rc = DIA_OK};

	check(txns != NULL, "memory");
	for (size_t i = 0; i < s->count;) {
		struct dia_apply_batch b = {.txns = txns};

		while (i < s->count && b.txn_count < o->batch && !b.ddl) {
			struct dia_apply_txn *t = &txns[b.txn_count];
			bool ddl = (s->txns[i]->head.flags & DIA_TXN_DDL) != 0;

			if (s->txns[i]->head.seq <= done) {
				i++;
				continue;
			}
			if (ddl && b.txn_count > 0)
				break;
			*t = (struct dia_apply_txn){.txn = s->txns[i++]};
			if (ops->parse(db, t, &err) != DIA_OK) {
				printf("ERROR parse %d %s\n", err.number, err.text);
				exit(1);
			}
			decide(o, t);
			b.ddl = ddl;
			b.txn_count++;
		}
		if (b.txn_count == 0)
			break;
		write_batch(o, db, &b);
		for (size_t j = 0; j < b.txn_count; j++)
			ops->release(db, &txns[j]);
	}
	free(txns);
}

/* ---- through the threads
 * ---------------------------------------------------------------- */

static pthread_mutex_t engine_mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void *ctx)
{
	(void)ctx;
	(void)pthread_mutex_lock(&engine_mutex);
}

static void unlock(void *ctx)
{
	(void)ctx;
	(void)pthread_mutex_unlock(&engine_mutex);
}

/* Capture, as far as the appliers see it: the position moves. */
static void follow(MYSQL *m, struct dia_engine *engine, struct dia_apply *apply)
{
	char text[4096];
	struct dia_gtid_pos pos;

	check(dia_mariadb_query_one_string(
		      m, text, sizeof(text), NULL, "SELECT @@gtid_binlog_pos") == DIA_OK,
		"position");
	check(dia_gtid_pos_parse(dia_slice_str(text), &pos) == DIA_OK, "position");
	lock(NULL);
	for (uint32_t i = 0; i < pos.count; i++)
		check(dia_engine_captured(engine, pos.at[i]) == DIA_OK, "captured");
	unlock(NULL);
	dia_apply_wake(apply);
}

static void apply_threads(
	const struct options *o, struct source *s, struct dia_config *config)
{
	struct dia_engine_config ec = {.self = {2}, .peer_count = 1, .peers = {{1}}};
	struct dia_apply_config ac = {.config = config,
		.lock = lock,
		.unlock = unlock,
		.clock = dia_clock_system()};
	struct dia_err err = {.rc = DIA_OK};
	struct dia_apply *apply;
	struct dia_apply_stats stats;
	MYSQL *m = login(o->to);
	uint64_t received, applied, first;

	check(dia_engine_new(&ec, &ac.engine) == DIA_OK, "engine");
	if (dia_apply_start(&ac, &apply, &err) != DIA_OK)
		die(err.text);
	check(dia_apply_sink.identify(apply, (struct dia_dc){1}, 0x1234, s->seq, &err) ==
			DIA_OK,
		err.text);
	check(dia_apply_sink.identify(apply, (struct dia_dc){1}, 0x999, s->seq, &err) ==
			DIA_E_LOST_TAIL,
		"another identity was taken");
	(void)dia_apply_sink.position(apply, (struct dia_dc){1}, &received, &first);
	for (size_t i = 0; i < s->count; i++) {
		enum dia_rc rc;

		while ((rc = dia_apply_sink.deliver(apply, (struct dia_dc){1},
				dia_txn_ref(s->txns[i]), &err)) == DIA_E_AGAIN) {
			dia_txn_unref(s->txns[i]);
			follow(m, ac.engine, apply);
		}
		check(rc == DIA_OK, err.text);
	}
	do {
		follow(m, ac.engine, apply);
		(void)dia_apply_sink.position(
			apply, (struct dia_dc){1}, &received, &applied);
		check(dia_apply_stats(apply, &stats, 1) == 1, "stats");
	} while (applied < s->seq && stats.applier.state != DIA_APPLIER_STOPPED);
	printf("STATS state=%d applied=%" PRIu64 " batches=%" PRIu64 " retries=%" PRIu64
	       " error=%s\n",
		stats.applier.state, stats.applier.applied_seq, stats.applier.batches,
		stats.applier.retries, stats.applier.error.text);
	check(s->seq == 0 || dia_apply_sink.identify(apply, (struct dia_dc){1}, 0x1234,
				     s->seq - 1, &err) == DIA_E_LOST_TAIL,
		"a shorter past was taken");
	dia_apply_stop(apply);
	dia_engine_free(ac.engine);
	mysql_close(m);
}

/* ---- main
 * ------------------------------------------------------------------------------ */

static unsigned long number(const char *text)
{
	return strtoul(text, NULL, 10);
}

static void take_option(struct options *o, const char *arg)
{
	const char *eq = strchr(arg, '=');
	size_t n;

	check(eq != NULL, "arguments are key=value");
	n = (size_t)(eq - arg);
	eq++;
#define IS(word) (n == strlen(word) && strncmp(arg, word, n) == 0)
	if (IS("from"))
		o->from = eq;
	else if (IS("to"))
		o->to = eq;
	else if (IS("file"))
		o->file = eq;
	else if (IS("pos"))
		o->pos = number(eq);
	else if (IS("batch"))
		o->batch = number(eq);
	else if (IS("decide"))
		o->decide = eq;
	else if (IS("skip"))
		o->skip = number(eq);
	else if (IS("crash"))
		o->crash = eq;
	else if (IS("user"))
		o->user = eq;
	else if (IS("hold"))
		o->hold = number(eq);
	else if (IS("threads"))
		o->threads = number(eq);
	else
		die(arg);
#undef IS
}

static struct dia_config *make_config(const struct options *o)
{
	struct dia_config *config;
	struct dia_err err = {.rc = DIA_OK};
	char yaml[2048];

	(void)snprintf(yaml, sizeof(yaml),
		"dc: {name: west, id: 2}\nlisten: 127.0.0.1:7306\n"
		"database: {socket: %s, user: %s, password: ''}\n"
		"peer:\n  listen: 127.0.0.1:7406\n  secret: a-secret-of-some-length\n"
		"  dcs:\n    - {name: east, id: 1, address: 127.0.0.1:8406}\n"
		"state_dir: /tmp\nlimits: {batch_transactions: %lu}\n",
		o->to, o->user, o->batch);
	if (dia_config_parse(dia_slice_str(yaml), "apply_run", &config, &err) != DIA_OK)
		die(err.text);
	return config;
}

int main(int argc, char **argv)
{
	struct options o = {
		.decide = "apply", .batch = 100, .crash = "", .user = "root", .pos = 4};
	static struct source s;
	static atomic_uint_fast64_t generation;
	struct dia_err err = {.rc = DIA_OK};
	struct dia_apply_counters c = {.parked = 0};
	struct dia_config *config;
	struct apply_db *db = NULL;
	struct timespec from, to;
	uint64_t done = 0;
	double took;

	for (int i = 1; i < argc; i++)
		take_option(&o, argv[i]);
	check(o.from != NULL && o.to != NULL && o.file != NULL,
		"from=, to= and file= are needed");
	config = make_config(&o);
	if (dia_server_prepare(config, &err) != DIA_OK)
		die(err.text);
	s.seq = o.skip;
	read_source(&s, &o);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	if (o.threads != 0) {
		apply_threads(&o, &s, config);
	} else {
		struct dia_apply_db_config dc = {.config = config,
			.origin = {1},
			.origin_name = "east",
			.self_name = "west",
			.schema_generation = &generation};
		enum dia_rc rc;

		/* As `run` does: what may pass is waited for. */
		while ((rc = dia_apply_db_open(&dc, &db, &done, &err)) ==
			DIA_E_DB_RETRY) {
			printf("RETRY %s %d %s\n", dia_rc_label(rc), err.number,
				err.text);
			(void)fflush(stdout);
			(void)usleep(100000);
		}
		if (rc != DIA_OK)
			die(err.text);
		printf("APPLIED %" PRIu64 "\n", done);
		apply_all(&o, &s, db, done);
		dia_apply_db_counters(db, &c);
		dia_apply_db_close(db);
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	took = (double)(to.tv_sec - from.tv_sec) +
	       (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("COUNT parked=%" PRIu64 " repairs=%" PRIu64 " careful=%" PRIu64
	       " statements=%" PRIu64 "\n",
		c.parked, c.repairs, c.careful, c.statements);
	printf("DONE %" PRIu64 " txns %zu seconds %.3f\n", s.seq, s.count, took);
	for (size_t i = 0; i < s.count; i++)
		dia_txn_unref(s.txns[i]);
	free(s.txns);
	dia_txn_builder_fini(&s.body);
	dia_buf_fini(&s.plain);
	dia_buf_fini(&s.event);
	dia_config_free(config);
	mysql_library_end();
	return 0;
}
