/* proxy/report.c - the status document, readiness, and what SHOW DIARCHY answers. */
#include "proxy/report.h"

#include "proxy/backend/mariadb.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *applier_state_text(enum dia_applier_state state)
{
	switch (state) {
	case DIA_APPLIER_IDLE:
		return "idle";
	case DIA_APPLIER_CHECK:
	case DIA_APPLIER_BEGIN:
	case DIA_APPLIER_WRITE:
	case DIA_APPLIER_POSITION:
	case DIA_APPLIER_RECHECK:
	case DIA_APPLIER_COMMIT:
	case DIA_APPLIER_COMMITTED:
	case DIA_APPLIER_ROLLBACK:
		return "applying";
	case DIA_APPLIER_WAIT:
		return "waiting for capture";
	case DIA_APPLIER_DDL:
		return "running DDL";
	case DIA_APPLIER_RECONNECT:
		return "reconnecting";
	case DIA_APPLIER_RETRY:
		return "retrying";
	case DIA_APPLIER_HELD:
		return "held: the peer's clock is ahead";
	case DIA_APPLIER_STOPPED:
		return "STOPPED";
	}
	return "unknown";
}

enum { REFUSED_SHOWN = 100 };

/* To be freed; NULL while there is none. Large, so not for the stack. */
static struct dia_capture_status *capture_status(struct dia_process *p)
{
	struct dia_capture_status *s;

	if (p->capture == NULL)
		return NULL;
	s = malloc(sizeof(*s));
	if (s != NULL)
		dia_capture_status(p->capture, s);
	return s;
}

static json_t *u64(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* An error's text, or JSON null when there is none. */
static json_t *error_json(const struct dia_err *err)
{
	json_t *text;

	if (err->rc == DIA_OK)
		return json_null();
	text = json_string(err->text);
	return text != NULL ? text : json_string(dia_rc_text(err->rc));
}

static json_t *clients_json(const struct dia_process *p)
{
	struct dia_client_stats s = {0};

	if (p->clients != NULL)
		dia_client_server_stats(p->clients, &s);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sessions",
		u64(s.sessions), "sessions_total", u64(s.sessions_total),
		"sessions_refused", u64(s.sessions_refused), "commands", u64(s.commands),
		"bytes_from_clients", u64(s.bytes_from_clients), "bytes_from_database",
		u64(s.bytes_from_database), "statements_refused",
		u64(s.statements_refused), "connect_failures", u64(s.connect_failures),
		"database_lost", u64(s.backend_lost));
}

static json_t *link_json(const struct dia_link_stats *s)
{
	return json_pack(
		"{s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
		"receiving", s->pulling ? 1 : 0, "sending", s->serving ? 1 : 0,
		"received_seq", u64(s->received_seq), "sent_seq", u64(s->sent_seq),
		"peer_received_seq", u64(s->peer_received_seq), "peer_applied_seq",
		u64(s->peer_applied_seq), "peer_head_seq", u64(s->peer_head_seq),
		"clock_offset_ms", (json_int_t)s->clock_offset_ms, "rtt_us",
		u64(s->rtt_us), "bytes_in", u64(s->bytes_in), "bytes_out",
		u64(s->bytes_out), "connects", u64(s->connects), "error",
		error_json(&s->last_error));
}

static json_t *conflicts_json(const struct dia_apply_counters *c)
{
	json_t *object = json_object();

	for (int type = 0; type < DIA_APPLY_CONFLICT_TYPES; type++)
		(void)json_object_set_new(object,
			dia_apply_conflict_text((enum dia_apply_conflict)type),
			u64(c->conflicts[type]));
	return object;
}

static json_t *apply_json(const struct dia_apply_stats *s)
{
	const struct dia_applier_stats *a = &s->applier;

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:o, s:o, s:o, s:o, s:o}",
		"state", applier_state_text(a->state), "received_seq",
		u64(a->received_seq), "applied_seq", u64(a->applied_seq),
		"queued_transactions", u64(a->queued_txns), "queued_bytes",
		u64(a->queued_bytes), "transactions", u64(a->txns), "rows", u64(a->rows),
		"batches", u64(a->batches), "kept_local", u64(a->kept_local), "upserts",
		u64(a->upserts), "retries", u64(a->retries), "second_check_rollbacks",
		u64(a->second_check_rollbacks), "ddl", u64(a->ddl), "parked",
		u64(s->counters.parked), "repairs", u64(s->counters.repairs), "conflicts",
		conflicts_json(&s->counters), "error", error_json(&a->error));
}

/* Peers of the link and of apply come in the order of the configuration. */
static json_t *peers_json(struct dia_process *p)
{
	struct dia_link_stats links[DIA_CONFIG_PEERS_MAX] = {0};
	struct dia_apply_stats *applies = calloc(DIA_CONFIG_PEERS_MAX, sizeof(*applies));
	size_t link_count =
		p->link == NULL ? 0
				: dia_link_stats(p->link, links, DIA_CONFIG_PEERS_MAX);
	size_t apply_count =
		p->apply == NULL || applies == NULL
			? 0
			: dia_apply_stats(p->apply, applies, DIA_CONFIG_PEERS_MAX);
	struct dia_capture_status *capture = capture_status(p);
	uint64_t own = capture == NULL ? 0 : capture->head_seq;
	json_t *list = json_array();

	for (size_t i = 0; i < p->config->peer.dc_count; i++) {
		const struct dia_config_peer *peer = &p->config->peer.dcs[i];
		struct dia_link_stats none = {0};
		const struct dia_link_stats *link = i < link_count ? &links[i] : &none;
		uint64_t head = link->peer_head_seq, applied = 0, behind;
		json_t *object;

		if (i < apply_count)
			applied = applies[i].applier.applied_seq;
		if (i < apply_count && applies[i].applier.received_seq > head)
			head = applies[i].applier.received_seq;
		behind = head > applied ? head - applied : 0;
		object = json_pack("{s:s, s:i, s:s, s:o, s:o, s:o, s:o}", "name",
			peer->name, "id", (int)peer->dc.id, "address", peer->address.text,
			"behind", u64(behind), "unacknowledged",
			u64(own > link->peer_applied_seq ? own - link->peer_applied_seq
							 : 0),
			"link", link_json(link), "apply",
			i < apply_count ? apply_json(&applies[i]) : json_null());
		(void)json_array_append_new(list, object);
	}
	free(applies);
	free(capture);
	return list;
}

/* What is not replicated and why; also counted in the metrics. */
static json_t *refused_json(struct dia_process *p)
{
	struct dia_refused_entry *entries = calloc(REFUSED_SHOWN, sizeof(*entries));
	json_t *list = json_array();
	size_t count = p->capture == NULL || entries == NULL
			       ? 0
			       : dia_capture_refused(p->capture, entries, REFUSED_SHOWN);

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:o}", "table", entries[i].name,
				      "reason", dia_refused_label(entries[i].reason),
				      "remedy", dia_refused_remedy(entries[i].reason),
				      "count", u64(entries[i].count)));
	free(entries);
	return list;
}

static json_t *capture_json(struct dia_process *p)
{
	struct dia_capture_status *s = capture_status(p);
	char position[DIA_GTID_POS_MAX * 44];
	json_t *object;

	if (s == NULL)
		return json_pack(
			"{s:s, s:s}", "state", "starting", "error", p->waiting_for);
	if (dia_gtid_pos_format(&s->pos, position, sizeof(position)) != DIA_OK)
		position[0] = '\0';
	object = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			   "s:o, s:o, s:o, s:s, s:s, "
			   "s:o}",
		"state", dia_capture_state_text(s->state), "position", position, "file",
		s->file, "file_position", u64(s->file_pos), "seq", u64(s->head_seq),
		"durable_seq", u64(s->durable_seq), "acknowledged_seq", u64(s->acked_seq),
		"lag_ms", u64(s->lag_ms), "groups", u64(s->groups), "local",
		u64(s->local), "applied", u64(s->applied), "reconnects",
		u64(s->reconnects), "outbox_transactions", u64(s->outbox.txns),
		"outbox_bytes", u64(s->outbox.bytes), "catching_up",
		u64(s->outbox.catching_up), "oldest_binlog_file", s->oldest_file,
		"needed_binlog_file", s->needed_file, "error", error_json(&s->error));
	free(s);
	return object;
}

static json_t *window_json(struct dia_process *p)
{
	struct dia_engine_stats s = {0};

	if (p->engine != NULL) {
		(void)pthread_mutex_lock(&p->engine_lock);
		dia_engine_stats(p->engine, &s);
		(void)pthread_mutex_unlock(&p->engine_lock);
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "keys", u64(s.window_keys),
		"changes", u64(s.window_changes), "bytes", u64(s.window_bytes),
		"keys_in_flight", u64(s.inflight_keys), "oldest_unsettled_seq",
		u64(s.oldest_unsettled_seq), "clock_ms", u64(dia_hlc_ms(s.last)));
}

static bool capture_ready(struct dia_process *p, struct dia_buf *out)
{
	struct dia_capture_status *s = capture_status(p);
	bool good = s != NULL && s->state == DIA_CAPTURE_STREAMING;

	if (s == NULL)
		(void)dia_buf_add_str(out, "out of memory");
	else if (!good)
		(void)dia_buf_printf(out, "capture is %s%s%s",
			dia_capture_state_text(s->state),
			s->error.rc != DIA_OK ? ": " : "",
			s->error.rc != DIA_OK ? s->error.text : "");
	free(s);
	return good;
}

/* Everything that keeps this DC from doing its work, the first reason in *out. A link
 * that is down is none: both DCs serve without each other. */
static bool is_ready(struct dia_process *p, struct dia_buf *out)
{
	struct dia_apply_stats *applies;
	bool good = true;

	if (p->clients == NULL || p->apply == NULL || p->link == NULL ||
		p->capture == NULL) {
		(void)dia_buf_add_str(out, p->waiting_for[0] != '\0'
						   ? p->waiting_for
						   : "starting or stopping");
		return false;
	}
	if (!capture_ready(p, out))
		return false;
	applies = calloc(DIA_CONFIG_PEERS_MAX, sizeof(*applies));
	if (applies == NULL) {
		(void)dia_buf_add_str(out, "out of memory");
		return false;
	}
	for (size_t i = dia_apply_stats(p->apply, applies, DIA_CONFIG_PEERS_MAX);
		good && i > 0; i--) {
		if (applies[i - 1].applier.state != DIA_APPLIER_STOPPED)
			continue;
		(void)dia_buf_printf(out, "applying from %s has stopped: %s",
			applies[i - 1].name, applies[i - 1].applier.error.text);
		good = false;
	}
	free(applies);
	return good;
}

static bool ready(void *ctx, struct dia_buf *out)
{
	struct dia_process *p = ctx;
	bool good;

	(void)pthread_rwlock_rdlock(&p->parts_lock);
	good = is_ready(p, out);
	(void)pthread_rwlock_unlock(&p->parts_lock);
	return good;
}

static bool healthy(void *ctx, struct dia_buf *out)
{
	(void)ctx;
	(void)out;
	return true;
}

static json_t *status_json(struct dia_process *p)
{
	uint64_t up = (dia_clock_mono_us(&p->clock) - p->started_us) / 1000000;
	struct dia_buf why = {0};
	json_t *root, *warnings = json_array();
	bool good;

	(void)pthread_rwlock_rdlock(&p->parts_lock);
	good = is_ready(p, &why);

	for (size_t i = 0; i < p->config->warning_count; i++)
		(void)json_array_append_new(
			warnings, json_string(p->config->warnings[i]));
	root = json_pack(
		"{s:s, s:{s:s, s:i}, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"version", DIA_VERSION, "dc", "name", p->config->dc.name, "id",
		(int)p->config->dc.id.id, "uptime_s", u64(up), "ready", good ? 1 : 0,
		"not_ready",
		good ? json_null() : json_stringn((const char *)why.data, why.len),
		"clients", clients_json(p), "capture", capture_json(p), "window",
		window_json(p), "peers", peers_json(p), "not_replicated", refused_json(p),
		"warnings", warnings);
	(void)pthread_rwlock_unlock(&p->parts_lock);
	dia_buf_fini(&why);
	return root;
}

static void status(void *ctx, struct dia_buf *out)
{
	json_t *root = status_json(ctx);
	char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));

	if (text == NULL)
		out->failed = true;
	else
		(void)dia_buf_add_str(out, text);
	free(text);
	json_decref(root);
}

const struct dia_admin_ops dia_report_ops = {.status = status,
	.metrics = dia_report_metrics,
	.healthy = healthy,
	.ready = ready};

/* ---- SHOW DIARCHY
 * ------------------------------------------------------------------------ */

/* One row per leaf of the document, "peers.west.link.rtt_us". */
static enum dia_rc flatten(
	struct dia_console_result *res, const char *prefix, json_t *value)
{
	char name[256], number[32];
	const char *key, *cells[2] = {prefix, NULL}, *own;
	enum dia_rc rc = DIA_OK;
	json_t *item;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		json_object_foreach(value, key, item)
		{
			(void)snprintf(name, sizeof(name), "%s%s%s", prefix,
				prefix[0] == '\0' ? "" : ".", key);
			rc = flatten(res, name, item);
			if (rc != DIA_OK)
				return rc;
		}
		return DIA_OK;
	case JSON_ARRAY:
		json_array_foreach(value, i, item)
		{
			own = json_string_value(json_object_get(item, "name"));
			if (own != NULL)
				(void)snprintf(name, sizeof(name), "%s.%s", prefix, own);
			else
				(void)snprintf(name, sizeof(name), "%s.%zu", prefix, i);
			rc = flatten(res, name, item);
			if (rc != DIA_OK)
				return rc;
		}
		return DIA_OK;
	case JSON_STRING:
		cells[1] = json_string_value(value);
		break;
	case JSON_INTEGER:
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			json_integer_value(value));
		cells[1] = number;
		break;
	case JSON_REAL:
		(void)snprintf(number, sizeof(number), "%.3f", json_real_value(value));
		cells[1] = number;
		break;
	case JSON_TRUE:
		cells[1] = "yes";
		break;
	case JSON_FALSE:
		cells[1] = "no";
		break;
	case JSON_NULL:
		break;
	}
	return dia_console_add_texts(res, cells);
}

static enum dia_rc show_status(struct dia_process *p, struct dia_console_result *res)
{
	json_t *root = status_json(p);
	enum dia_rc rc = DIA_E_NOMEM;

	(void)dia_console_add_column(res, "Name");
	(void)dia_console_add_column(res, "Value");
	if (root != NULL)
		rc = flatten(res, "", root);
	json_decref(root);
	return rc;
}

static enum dia_rc show_conflicts(
	struct dia_process *p, struct dia_console_result *res, struct dia_err *reterr)
{
	MYSQL_RES *found = NULL;
	MYSQL *db = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_connect(p->config, 0, &db, reterr);

	if (rc == DIA_OK)
		rc = dia_mariadb_query(db, &found, reterr,
			"SELECT * FROM diarchy.conflicts ORDER BY id DESC LIMIT 100");
	if (rc != DIA_OK)
		goto out;
	for (unsigned i = 0; i < mysql_num_fields(found); i++)
		(void)dia_console_add_column(
			res, mysql_fetch_field_direct(found, i)->name);
	while (rc == DIA_OK && (row = mysql_fetch_row(found)) != NULL)
		rc = dia_console_add_texts(res, (const char *const *)row);
out:
	if (found != NULL)
		mysql_free_result(found);
	if (db != NULL)
		mysql_close(db);
	mysql_thread_end();
	return rc;
}

static enum dia_rc show_policies(struct dia_process *p, struct dia_console_result *res)
{
	char pattern[600];
	const char *row[3] = {pattern, NULL, "configuration"};
	enum dia_rc rc = DIA_OK;

	(void)dia_console_add_column(res, "Tables");
	(void)dia_console_add_column(res, "Policy");
	(void)dia_console_add_column(res, "Reason");
	for (size_t i = 0; rc == DIA_OK && i < p->config->policy_count; i++) {
		const struct dia_config_policy *policy = &p->config->policies[i];

		row[1] = dia_config_policy_text(policy->kind);
		for (size_t k = 0; rc == DIA_OK && k < policy->tables.count; k++) {
			(void)snprintf(pattern, sizeof(pattern), "%s.%s",
				policy->tables.at[k].db, policy->tables.at[k].table);
			rc = dia_console_add_texts(res, row);
		}
	}
	if (rc == DIA_OK) {
		const char *rest[] = {
			"*.*", dia_config_policy_text(DIA_CONFIG_POLICY_LWW), "default"};

		rc = dia_console_add_texts(res, rest);
	}
	return rc;
}

enum dia_rc dia_report_console(void *ctx, enum dia_guard_kind what,
	struct dia_console_result *res, struct dia_err *reterr)
{
	struct dia_process *p = ctx;

	switch (what) {
	case DIA_GUARD_SHOW_STATUS:
		return show_status(p, res);
	case DIA_GUARD_SHOW_CONFLICTS:
		return show_conflicts(p, res, reterr);
	case DIA_GUARD_SHOW_POLICIES:
		return show_policies(p, res);
	case DIA_GUARD_PASS:
	case DIA_GUARD_REFUSE:
		break;
	}
	return dia_err_set(
		reterr, DIA_E_UNSUPPORTED, 0, "diarchy does not know this SHOW");
}
