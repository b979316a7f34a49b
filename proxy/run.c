/*
 * proxy/run.c - `diarchy run`: starts the parts in order, waits for a signal, stops them
 * in reverse.
 *
 *   admin -> journal -> database reached, prepared, checked -> engine -> apply -> capture
 *         -> link -> clients
 *
 * A database that is not there yet is waited for; a wrong setting ends the start.
 */
#include "proxy/backend/schema.h"
#include "proxy/backend/server_check.h"
#include "proxy/report.h"
#include "proxy/core/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
	DATABASE_WAIT_FIRST_MS = 250,
	DATABASE_WAIT_MAX_MS = 5000,
	DRAIN_MS = 10000,
	DRAIN_LOOK_MS = 20,
	TICK_MS = 200,
	CLIENT_CONNECT_MS = 10000,
	SPILL_PERCENT = 50, /* of the file system of state_dir */
};

/* One of `set` arrived within ms: its number, else 0. */
static int signal_within(const sigset_t *set, uint64_t ms)
{
	struct timespec limit = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	int got = sigtimedwait(set, NULL, &limit);

	return got > 0 ? got : 0;
}

static void log_failure(
	enum dia_log_level level, const char *event, const struct dia_err *err)
{
	char quoted[DIA_ERR_TEXT_MAX + 64];

	dia_log(level, "main", event, "rc=%s reason=%s", dia_rc_label(err->rc),
		dia_log_quote(quoted, sizeof(quoted), err->text));
}

static void engine_lock(void *ctx)
{
	(void)pthread_mutex_lock(&((struct dia_process *)ctx)->engine_lock);
}

static void engine_unlock(void *ctx)
{
	(void)pthread_mutex_unlock(&((struct dia_process *)ctx)->engine_lock);
}

/* Capture calls these; it is started after apply and closed before it. */
static void wake_apply(void *ctx)
{
	dia_apply_wake(((struct dia_process *)ctx)->apply);
}

static void schema_changed(void *ctx)
{
	dia_apply_schema_changed(((struct dia_process *)ctx)->apply);
}

static void waiting_for(struct dia_process *p, const char *what)
{
	(void)pthread_rwlock_wrlock(&p->parts_lock);
	(void)snprintf(p->waiting_for, sizeof(p->waiting_for), "%s", what);
	(void)pthread_rwlock_unlock(&p->parts_lock);
}

static enum dia_rc prepare_state_dir(const char *path, struct dia_err *reterr)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return dia_err_set(reterr, DIA_E_IO, errno,
			"state_dir %s cannot be made: %s; make it and give it to the "
			"account "
			"diarchy runs as",
			path, strerror(errno));
	if (access(path, R_OK | W_OK | X_OK) != 0)
		return dia_err_set(reterr, DIA_E_IO, errno,
			"state_dir %s cannot be used: %s", path, strerror(errno));
	return DIA_OK;
}

/* Two descriptors for each client; take what the hard limit gives and say when it is
 * less. */
static void raise_descriptor_limit(const struct dia_config *config)
{
	rlim_t want = (rlim_t)config->limits.max_connections * 2 + 256;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < want)
		dia_log(DIA_LOG_WARN, "main", "descriptor_limit",
			"have=%ju need=%ju remedy=\"raise LimitNOFILE or lower "
			"limits.max_connections\"",
			(uintmax_t)limit.rlim_cur, (uintmax_t)want);
}

/* Wait until the database answers, make our schema there, look whether it is fit. */
static enum dia_rc database_fit(
	struct dia_process *p, const sigset_t *signals, struct dia_err *reterr)
{
	struct dia_findings findings = {0};
	uint64_t wait_ms = DATABASE_WAIT_FIRST_MS;
	enum dia_rc rc;

	while ((rc = dia_server_prepare(p->config, reterr)) == DIA_E_DB_GONE) {
		log_failure(DIA_LOG_WARN, "database_unreachable", reterr);
		waiting_for(p, reterr->text);
		if (signal_within(signals, wait_ms) != 0)
			return dia_err_set(reterr, DIA_E_STOPPED, 0,
				"stopped while waiting for the database");
		wait_ms = wait_ms * 2 > DATABASE_WAIT_MAX_MS ? DATABASE_WAIT_MAX_MS
							     : wait_ms * 2;
	}
	/* What prepare lacked the right or the settings for, check explains with its
	 * remedy. */
	if (rc != DIA_OK)
		log_failure(DIA_LOG_WARN, "prepare_failed", reterr);
	if (rc == DIA_OK || rc == DIA_E_DB || rc == DIA_E_AUTH) {
		struct dia_err check_err = {0};
		enum dia_rc check_rc = dia_server_check(p->config, &findings, &check_err);

		if (check_rc != DIA_OK) {
			*reterr = check_err;
			rc = check_rc;
		}
	}
	for (size_t i = 0; i < findings.count; i++) {
		const struct dia_finding *f = &findings.at[i];
		char what[600], remedy[900];
		enum dia_log_level level = f->severity == DIA_FATAL  ? DIA_LOG_ERROR
					   : f->severity == DIA_WARN ? DIA_LOG_WARN
								     : DIA_LOG_DEBUG;

		dia_log(level, "check", f->id, "what=%s remedy=%s",
			dia_log_quote(what, sizeof(what), f->what),
			dia_log_quote(remedy, sizeof(remedy), f->remedy));
	}
	if (dia_findings_fatal(&findings))
		rc = dia_err_set(reterr, DIA_E_CONFIG, 0,
			"the server is not fit for replication (see the lines above, or "
			"diarchy "
			"check --config %s)",
			p->config->path);
	dia_findings_fini(&findings);
	return rc;
}

/*
 * The marks committed in this database raise the clock's start, see
 * dia_engine_config.last. FOR UPDATE, since a commit of a process that was killed may
 * still be under way.
 */
static enum dia_rc read_marks(
	struct dia_process *p, struct dia_engine_config *engine, struct dia_err *reterr)
{
	MYSQL_RES *res = NULL;
	MYSQL *db = NULL;
	MYSQL_ROW row;
	enum dia_rc rc =
		dia_mariadb_connect(p->config, DIA_MARIADB_BOOKKEEPING, &db, reterr);

	if (rc == DIA_OK)
		rc = dia_mariadb_exec(db, reterr, "START TRANSACTION");
	if (rc == DIA_OK)
		rc = dia_mariadb_query(db, &res, reterr,
			"SELECT origin, seq, stamp FROM diarchy.applied FOR UPDATE");
	while (rc == DIA_OK && (row = mysql_fetch_row(res)) != NULL) {
		struct dia_dc origin = {(uint16_t)strtoul(row[0], NULL, 10)};
		struct dia_hlc stamp = {strtoull(row[2], NULL, 10)};

		engine->last = dia_hlc_max(engine->last, stamp);
		if (dia_deps_raise(&engine->committed, origin,
			    strtoull(row[1], NULL, 10)) != DIA_OK)
			rc = dia_err_set(reterr, DIA_E_LIMIT, 0,
				"diarchy.applied names too many origins");
	}
	if (res != NULL)
		mysql_free_result(res);
	if (db != NULL)
		mysql_close(db); /* ends the transaction */
	return rc;
}

/* Show a finished part to reports. Making it may wait for the database or the network,
 * which no report may wait for: only the pointer changes under the lock. */
#define PUBLISH(p, field, part)                                \
	do {                                                   \
		(void)pthread_rwlock_wrlock(&(p)->parts_lock); \
		(p)->field = (part);                           \
		(void)pthread_rwlock_unlock(&(p)->parts_lock); \
	} while (0)

static enum dia_rc start_engine(struct dia_process *p, struct dia_err *reterr)
{
	struct dia_engine *part = NULL;
	struct dia_engine_config engine = {0};
	enum dia_rc rc;

	dia_capture_engine_config(p->capture, &engine);
	for (size_t i = 0; i < p->config->peer.dc_count; i++)
		engine.peers[engine.peer_count++] = p->config->peer.dcs[i].dc;
	rc = read_marks(p, &engine, reterr);
	if (rc != DIA_OK)
		return rc;
	rc = dia_engine_new(&engine, &part);
	if (rc == DIA_OK)
		PUBLISH(p, engine, part);
	return rc == DIA_OK ? DIA_OK
			    : dia_err_set(reterr, rc, 0, "engine: %s", dia_rc_text(rc));
}

static enum dia_rc start_apply(struct dia_process *p, struct dia_err *reterr)
{
	struct dia_apply *part = NULL;
	enum dia_rc rc;
	struct dia_apply_config config = {.config = p->config,
		.engine = p->engine,
		.lock = engine_lock,
		.unlock = engine_unlock,
		.lock_ctx = p,
		.clock = p->clock};

	rc = dia_apply_start(&config, &part, reterr);
	if (rc == DIA_OK)
		PUBLISH(p, apply, part);
	return rc;
}

static enum dia_rc open_capture(struct dia_process *p, struct dia_err *reterr)
{
	struct dia_capture *part = NULL;
	enum dia_rc rc;
	struct dia_capture_config config = {.config = p->config,
		.clock = p->clock,
		.lock = engine_lock,
		.unlock = engine_unlock,
		.lock_ctx = p,
		.wake = wake_apply,
		.schema_changed = schema_changed,
		.wake_ctx = p};

	rc = dia_capture_new(&config, &part, reterr);
	if (rc == DIA_OK)
		PUBLISH(p, capture, part);
	return rc;
}

/* What a peer may send as one transaction: it is kept in state_dir on its way, and must
 * leave room there for the journal. 0 (no limit) when the folder cannot be asked. */
static uint64_t largest_transaction(const char *state_dir)
{
	struct statvfs fs;

	return statvfs(state_dir, &fs) == 0
		       ? (uint64_t)fs.f_blocks * fs.f_frsize / 100 * SPILL_PERCENT
		       : 0;
}

static enum dia_rc start_link(struct dia_process *p, struct dia_err *reterr)
{
	struct dia_link *part = NULL;
	enum dia_rc rc;
	struct dia_link_peer *peers = p->peers;
	struct dia_link_config config = {.self = p->config->dc.id,
		.self_name = p->config->dc.name,
		.listen = p->config->peer.listen.text,
		.secret = dia_slice_str(p->config->peer.secret),
		.peer_count = (uint32_t)p->config->peer.dc_count,
		.peers = peers,
		.spill_dir = p->config->state_dir,
		.spill_bytes = p->config->limits.txn_memory,
		.max_txn_bytes = largest_transaction(p->config->state_dir),
		.clock = p->clock,
		.source = &dia_capture_source,
		.source_ctx = p->capture,
		.sink = &dia_apply_sink,
		.sink_ctx = p->apply};

	for (size_t i = 0; i < p->config->peer.dc_count; i++) {
		peers[i].dc = p->config->peer.dcs[i].dc;
		peers[i].name = p->config->peer.dcs[i].name;
		peers[i].address = p->config->peer.dcs[i].address.text;
	}
	rc = dia_link_start(&config, &part, reterr);
	if (rc == DIA_OK)
		PUBLISH(p, link, part);
	return rc;
}

static enum dia_rc start_clients(struct dia_process *p, struct dia_err *reterr)
{
	struct dia_client_server *part = NULL;
	enum dia_rc rc;
	struct dia_client_config config = {.listen_host = p->config->listen.host,
		.listen_port = p->config->listen.port,
		.loops = (unsigned)p->config->loops,
		.backend_socket = p->config->database.socket,
		.backend_host = p->config->database.host,
		.backend_port = p->config->database.port,
		.connect_timeout_ms = CLIENT_CONNECT_MS,
		.max_connections = (uint32_t)p->config->limits.max_connections,
		.console = dia_report_console,
		.console_ctx = p,
		.clock = p->clock};

	rc = dia_client_server_start(&config, &part, reterr);
	if (rc == DIA_OK)
		PUBLISH(p, clients, part);
	return rc;
}

static enum dia_rc start_capture(struct dia_process *p, struct dia_err *reterr)
{
	return dia_capture_start(p->capture, p->engine, reterr);
}

/* The parts that need the database to start. It may go away between two of them: then all
 * of them again. */
static enum dia_rc start_on_database(
	struct dia_process *p, const sigset_t *signals, struct dia_err *reterr)
{
	for (;;) {
		enum dia_rc rc = database_fit(p, signals, reterr);

		DIA_FAULT("run_prepared");
		if (rc == DIA_OK)
			rc = start_engine(p, reterr);
		DIA_FAULT("run_engine_started");
		if (rc == DIA_OK)
			rc = start_apply(p, reterr);
		/* Retry: the mark is locked by a commit of the process before us. */
		if (rc != DIA_E_DB_GONE && rc != DIA_E_DB_RETRY)
			return rc;
		log_failure(DIA_LOG_WARN, "database_lost", reterr);
		(void)pthread_rwlock_wrlock(&p->parts_lock);
		dia_engine_free(p->engine);
		p->engine = NULL;
		(void)pthread_rwlock_unlock(&p->parts_lock);
		if (signal_within(signals, DATABASE_WAIT_FIRST_MS) != 0)
			return dia_err_set(reterr, DIA_E_STOPPED, 0,
				"stopped while waiting for the database");
	}
}

static enum dia_rc start_parts(
	struct dia_process *p, const sigset_t *signals, struct dia_err *reterr)
{
	enum dia_rc rc = prepare_state_dir(p->config->state_dir, reterr);

	if (rc == DIA_OK && p->config->admin.host != NULL)
		rc = dia_admin_start(
			p->config->admin.text, &dia_report_ops, p, &p->admin, reterr);
	if (rc == DIA_OK)
		rc = open_capture(p, reterr);
	if (rc == DIA_OK)
		rc = start_on_database(p, signals, reterr);
	if (rc == DIA_OK)
		rc = start_capture(p, reterr);
	if (rc == DIA_OK)
		rc = start_link(p, reterr);
	DIA_FAULT("run_before_clients");
	if (rc == DIA_OK)
		rc = start_clients(p, reterr);
	return rc;
}

/* Sessions end when they are idle and outside a transaction; those that go on past the
 * deadline, or past a second signal, are cut. */
static void drain(struct dia_process *p, const sigset_t *signals)
{
	uint64_t start_us = dia_clock_mono_us(&p->clock);
	struct dia_client_stats stats;

	if (p->clients == NULL)
		return;
	dia_client_server_begin_drain(p->clients);
	for (;;) {
		dia_client_server_stats(p->clients, &stats);
		if (stats.sessions == 0 ||
			dia_clock_mono_us(&p->clock) - start_us > DRAIN_MS * 1000u ||
			signal_within(signals, DRAIN_LOOK_MS) != 0)
			break;
	}
	dia_log(DIA_LOG_INFO, "main", "drained", "sessions_cut=%" PRIu64, stats.sessions);
}

static void stop_parts(struct dia_process *p)
{
	dia_admin_close(p->admin);
	dia_client_server_close(p->clients);
	(void)pthread_rwlock_wrlock(&p->parts_lock);
	p->clients = NULL;
	if (p->link != NULL)
		dia_link_close(p->link);
	dia_capture_close(p->capture);
	dia_apply_stop(p->apply);
	dia_engine_free(p->engine);
	(void)pthread_rwlock_unlock(&p->parts_lock);
}

/*
 * auto_increment settings made with SET GLOBAL are gone after a restart of the server,
 * which capture notices by its connection: arrange them again.
 */
static void look_after_database(struct dia_process *p, uint64_t *reconnects)
{
	struct dia_capture_status *s = malloc(sizeof(*s));
	struct dia_err err = {0};

	if (s == NULL)
		return;
	dia_capture_status(p->capture, s);
	if (s->reconnects != *reconnects && s->state == DIA_CAPTURE_STREAMING) {
		if (dia_server_prepare(p->config, &err) == DIA_OK)
			*reconnects = s->reconnects;
		else
			log_failure(DIA_LOG_WARN, "prepare_failed", &err);
	}
	free(s);
}

static void serve(struct dia_process *p, const sigset_t *signals)
{
	uint64_t reconnects = 0;
	int got;

	for (;;) {
		got = signal_within(signals, TICK_MS);
		if (got == SIGTERM || got == SIGINT)
			break;
		if (got == SIGHUP) {
			struct dia_config *fresh = NULL;
			struct dia_err err = {0};

			/* Only the log level can change live; the rest needs a restart.
			 */
			if (dia_config_load(p->config->path, &fresh, &err) != DIA_OK) {
				log_failure(DIA_LOG_ERROR, "reload_failed", &err);
				continue;
			}
			dia_log_configure(fresh->log_level, -1);
			dia_log(DIA_LOG_INFO, "main", "reloaded",
				"changed=log_level_only");
			dia_config_free(fresh);
		}
		look_after_database(p, &reconnects);
	}
	dia_log(DIA_LOG_INFO, "main", "stopping", "signal=%d", got);
}

int dia_command_run(
	const struct dia_config *config, const struct dia_command_options *options)
{
	struct dia_process p = {.config = config, .clock = dia_clock_system()};
	struct dia_err err = {0};
	sigset_t signals;
	enum dia_rc rc;

	(void)options;
	dia_log_configure(config->log_level, -1);
	p.started_us = dia_clock_mono_us(&p.clock);
	if (pthread_rwlock_init(&p.parts_lock, NULL) != 0 ||
		pthread_mutex_init(&p.engine_lock, NULL) != 0)
		return 1;
	/* Blocked before the first thread, so that only this one ever takes them. */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	dia_log(DIA_LOG_INFO, "main", "starting", "version=%s dc=%s id=%u config=%s",
		DIA_VERSION, config->dc.name, config->dc.id.id, config->path);
	for (size_t i = 0; i < config->warning_count; i++)
		dia_log(DIA_LOG_WARN, "config", "warning", "text=\"%s\"",
			config->warnings[i]);
	raise_descriptor_limit(config);
	rc = start_parts(&p, &signals, &err);
	if (rc == DIA_OK) {
		dia_log(DIA_LOG_INFO, "main", "running", "listen=%s peer_listen=%s",
			config->listen.text, config->peer.listen.text);
		serve(&p, &signals);
		drain(&p, &signals);
	} else {
		log_failure(rc == DIA_E_STOPPED ? DIA_LOG_INFO : DIA_LOG_ERROR,
			"start_failed", &err);
	}
	stop_parts(&p);
	dia_log(DIA_LOG_INFO, "main", "stopped", "dc=%s", config->dc.name);
	(void)pthread_mutex_destroy(&p.engine_lock);
	(void)pthread_rwlock_destroy(&p.parts_lock);
	return rc == DIA_OK || rc == DIA_E_STOPPED ? 0 : 1;
}
