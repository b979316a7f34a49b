/* proxy/report_metrics.c - /metrics: every number of every part, Prometheus text. */
#include "proxy/report.h"

#include "proxy/admin/metrics.h"

#include <stddef.h>
#include <stdlib.h>

struct number {
	const char *name;
	const char *help;
	enum dia_metric_type type;
	size_t offset; /* of a uint64_t in the part's stats */
};

static double number_at(const void *stats, size_t offset)
{
	uint64_t v;

	memcpy(&v, (const uint8_t *)stats + offset, sizeof(v));
	return (double)v;
}

static void single(struct dia_buf *out, const char *name, enum dia_metric_type type,
	const char *help, double value)
{
	dia_metrics_family(out, name, type, help);
	dia_metrics_sample(out, name, NULL, 0, value);
}

static void table(struct dia_buf *out, const struct number *numbers, size_t count,
	const void *stats)
{
	for (size_t i = 0; i < count; i++)
		single(out, numbers[i].name, numbers[i].type, numbers[i].help,
			number_at(stats, numbers[i].offset));
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct number client_numbers[] = {
#define N(name, type, field, help)                               \
	{                                                        \
		"diarchy_client_" name, help, DIA_METRIC_##type, \
			offsetof(struct dia_client_stats, field) \
	}
	N("sessions", GAUGE, sessions, "Client sessions now."),
	N("sessions_total", COUNTER, sessions_total, "Client sessions since the start."),
	N("sessions_refused_total", COUNTER, sessions_refused,
		"Sessions refused by max_connections."),
	N("commands_total", COUNTER, commands, "Commands relayed."),
	N("bytes_from_clients_total", COUNTER, bytes_from_clients,
		"Bytes read from clients."),
	N("bytes_from_database_total", COUNTER, bytes_from_database,
		"Bytes read from the database."),
	N("statements_refused_total", COUNTER, statements_refused,
		"Statements refused because they would hide writes from capture."),
	N("connect_failures_total", COUNTER, connect_failures,
		"Sessions for which the database was not reached."),
	N("database_lost_total", COUNTER, backend_lost,
		"Database connections that ended during a command."),
	N("protocol_errors_total", COUNTER, protocol_errors,
		"Sessions ended because of malformed packets."),
#undef N
};

/* One family over all peers; values come from parallel arrays of stats. */
static void per_peer(struct dia_buf *out, const struct number *n,
	const char *const *names, const void *stats, size_t stride, size_t count)
{
	dia_metrics_family(out, n->name, n->type, n->help);
	for (size_t i = 0; i < count; i++) {
		struct dia_metric_label label = {"peer", names[i]};

		dia_metrics_sample(out, n->name, &label, 1,
			number_at((const uint8_t *)stats + i * stride, n->offset));
	}
}

static const struct number link_numbers[] = {
#define N(name, type, field, help)                             \
	{                                                      \
		"diarchy_link_" name, help, DIA_METRIC_##type, \
			offsetof(struct dia_link_stats, field) \
	}
	N("received_seq", GAUGE, received_seq, "Newest sequence received from the peer."),
	N("sent_seq", GAUGE, sent_seq, "Newest own sequence sent to the peer."),
	N("peer_applied_seq", GAUGE, peer_applied_seq,
		"Newest own sequence the peer says it has applied."),
	N("peer_head_seq", GAUGE, peer_head_seq,
		"Newest sequence the peer has captured."),
	N("bytes_in_total", COUNTER, bytes_in, "Bytes received, as on the wire."),
	N("bytes_out_total", COUNTER, bytes_out, "Bytes sent, as on the wire."),
	N("raw_bytes_in_total", COUNTER, raw_bytes_in,
		"Bytes received, before compression."),
	N("raw_bytes_out_total", COUNTER, raw_bytes_out,
		"Bytes sent, before compression."),
	N("transactions_in_total", COUNTER, txns_in, "Transactions received."),
	N("transactions_out_total", COUNTER, txns_out, "Transactions sent."),
	N("connects_total", COUNTER, connects, "Times the link came up."),
	N("refused_total", COUNTER, refused,
		"Connections refused in the name of this peer."),
	N("rtt_microseconds", GAUGE, rtt_us, "Round trip of the last heartbeat."),
#undef N
};

static void link_metrics(struct dia_buf *out, struct dia_process *p)
{
	struct dia_link_stats stats[DIA_CONFIG_PEERS_MAX];
	const char *names[DIA_CONFIG_PEERS_MAX];
	size_t count = dia_link_stats(p->link, stats, DIA_CONFIG_PEERS_MAX);

	for (size_t i = 0; i < count; i++)
		names[i] = stats[i].name;
	for (size_t i = 0; i < COUNT(link_numbers); i++)
		per_peer(out, &link_numbers[i], names, stats, sizeof(stats[0]), count);
	dia_metrics_family(out, "diarchy_link_up", DIA_METRIC_GAUGE,
		"1 when the link in this direction is connected.");
	for (size_t i = 0; i < count; i++) {
		struct dia_metric_label in[] = {{"peer", names[i]}, {"direction", "in"}};
		struct dia_metric_label away[] = {
			{"peer", names[i]}, {"direction", "out"}};

		dia_metrics_sample(out, "diarchy_link_up", in, 2, stats[i].pulling);
		dia_metrics_sample(out, "diarchy_link_up", away, 2, stats[i].serving);
	}
	dia_metrics_family(out, "diarchy_link_clock_offset_milliseconds",
		DIA_METRIC_GAUGE, "The peer's clock minus ours.");
	for (size_t i = 0; i < count; i++) {
		struct dia_metric_label label = {"peer", names[i]};

		dia_metrics_sample(out, "diarchy_link_clock_offset_milliseconds", &label,
			1, (double)stats[i].clock_offset_ms);
	}
	single(out, "diarchy_link_strangers_total", DIA_METRIC_COUNTER,
		"Connections refused that no configured peer can be blamed for.",
		(double)dia_link_strangers(p->link));
}

static const struct number apply_numbers[] = {
#define N(name, type, field, help)                              \
	{                                                       \
		"diarchy_apply_" name, help, DIA_METRIC_##type, \
			offsetof(struct dia_apply_stats, field) \
	}
	N("applied_seq", GAUGE, applier.applied_seq,
		"Newest sequence of the peer applied here."),
	N("received_seq", GAUGE, applier.received_seq,
		"Newest sequence of the peer in the queue or applied."),
	N("queued_transactions", GAUGE, applier.queued_txns,
		"Transactions waiting to be applied."),
	N("queued_bytes", GAUGE, applier.queued_bytes, "Bytes waiting to be applied."),
	N("transactions_total", COUNTER, applier.txns, "Transactions applied."),
	N("rows_total", COUNTER, applier.rows, "Row changes applied."),
	N("batches_total", COUNTER, applier.batches, "Local transactions made for them."),
	N("kept_local_total", COUNTER, applier.kept_local,
		"Remote changes that lost to a later local one."),
	N("upserts_total", COUNTER, applier.upserts,
		"Remote changes that won over a local one."),
	N("retries_total", COUNTER, applier.retries,
		"Batches begun again after a deadlock, lock timeout or lost connection."),
	N("second_check_rollbacks_total", COUNTER, applier.second_check_rollbacks,
		"Batches rolled back because a local commit came in between."),
	N("ddl_total", COUNTER, applier.ddl, "DDL statements applied."),
	N("parked_total", COUNTER, counters.parked,
		"Changes not written, to be found in diarchy.conflicts."),
	N("repairs_total", COUNTER, counters.repairs,
		"Rows missing or extra without a rival, set right."),
	N("careful_batches_total", COUNTER, counters.careful,
		"Batches applied row by row after an error."),
	N("lag_microseconds", GAUGE, lag_us,
		"From capture there to commit here, newest transaction."),
#undef N
};

static void apply_metrics(struct dia_buf *out, struct dia_process *p)
{
	struct dia_apply_stats *stats = calloc(DIA_CONFIG_PEERS_MAX, sizeof(*stats));
	const char *names[DIA_CONFIG_PEERS_MAX];
	size_t count;

	if (stats == NULL) {
		out->failed = true;
		return;
	}
	count = dia_apply_stats(p->apply, stats, DIA_CONFIG_PEERS_MAX);
	for (size_t i = 0; i < count; i++)
		names[i] = stats[i].name;
	for (size_t i = 0; i < COUNT(apply_numbers); i++)
		per_peer(out, &apply_numbers[i], names, stats, sizeof(stats[0]), count);
	dia_metrics_family(out, "diarchy_apply_stopped", DIA_METRIC_GAUGE,
		"1 when applying has stopped for good and someone must act.");
	for (size_t i = 0; i < count; i++) {
		struct dia_metric_label label = {"peer", names[i]};

		dia_metrics_sample(out, "diarchy_apply_stopped", &label, 1,
			stats[i].applier.state == DIA_APPLIER_STOPPED);
	}
	dia_metrics_family(out, "diarchy_conflicts_total", DIA_METRIC_COUNTER,
		"Conflicts recorded, by type.");
	for (size_t i = 0; i < count; i++) {
		for (int type = 0; type < DIA_APPLY_CONFLICT_TYPES; type++) {
			struct dia_metric_label labels[] = {{"peer", names[i]},
				{"type", dia_apply_conflict_text(
						 (enum dia_apply_conflict)type)}};

			dia_metrics_sample(out, "diarchy_conflicts_total", labels, 2,
				(double)stats[i].counters.conflicts[type]);
		}
	}
	free(stats);
}

static const struct number capture_numbers[] = {
#define N(name, type, field, help)                                 \
	{                                                          \
		"diarchy_capture_" name, help, DIA_METRIC_##type,  \
			offsetof(struct dia_capture_status, field) \
	}
	N("seq", GAUGE, head_seq, "Newest own sequence captured."),
	N("durable_seq", GAUGE, durable_seq,
		"Newest own sequence whose stamp survives a power loss."),
	N("acknowledged_seq", GAUGE, acked_seq,
		"Newest own sequence applied by every peer."),
	N("lag_milliseconds", GAUGE, lag_ms,
		"Age of the last group read while more is waiting."),
	N("groups_total", COUNTER, groups, "Transaction groups read from the binlog."),
	N("local_total", COUNTER, local, "Local transactions captured."),
	N("ddl_total", COUNTER, ddl, "Local DDL statements captured."),
	N("applied_total", COUNTER, applied, "Applied transactions seen in the binlog."),
	N("changes_total", COUNTER, changes, "Local row changes captured."),
	N("bytes_total", COUNTER, bytes, "Bytes of binlog read."),
	N("reconnects_total", COUNTER, reconnects,
		"Times the binlog connection had to be made again."),
	N("journal_errors_total", COUNTER, journal_errors,
		"Failed writes of the journal."),
	N("watermarks_total", COUNTER, watermarks, "Watermarks published."),
	N("outbox_transactions", GAUGE, outbox.txns,
		"Transactions in memory for senders."),
	N("outbox_bytes", GAUGE, outbox.bytes, "Bytes in memory for senders."),
#undef N
};

static void capture_metrics(struct dia_buf *out, struct dia_process *p)
{
	struct dia_capture_status *s = malloc(sizeof(*s));

	if (s == NULL) {
		out->failed = true;
		return;
	}
	dia_capture_status(p->capture, s);
	table(out, capture_numbers, COUNT(capture_numbers), s);
	single(out, "diarchy_capture_streaming", DIA_METRIC_GAUGE,
		"1 when the binlog is being read.", s->state == DIA_CAPTURE_STREAMING);
	single(out, "diarchy_capture_purge_near", DIA_METRIC_GAUGE,
		"1 when the oldest binlog file of the server is still needed.",
		s->purge_near);
	dia_metrics_family(out, "diarchy_not_replicated_total", DIA_METRIC_COUNTER,
		"Row events and statements that were not replicated, by reason.");
	for (int reason = 0; reason < DIA_REFUSED_REASONS; reason++) {
		struct dia_metric_label label = {
			"reason", dia_refused_label((enum dia_refused_reason)reason)};

		dia_metrics_sample(out, "diarchy_not_replicated_total", &label, 1,
			(double)s->refused[reason]);
	}
	free(s);
}

static void window_metrics(struct dia_buf *out, struct dia_process *p)
{
	struct dia_engine_stats s;

	(void)pthread_mutex_lock(&p->engine_lock);
	dia_engine_stats(p->engine, &s);
	(void)pthread_mutex_unlock(&p->engine_lock);
	single(out, "diarchy_window_keys", DIA_METRIC_GAUGE,
		"Keys with changes that can still be overtaken.", (double)s.window_keys);
	single(out, "diarchy_window_changes", DIA_METRIC_GAUGE, "Changes of those keys.",
		(double)s.window_changes);
	single(out, "diarchy_window_bytes", DIA_METRIC_GAUGE, "Memory of the window.",
		(double)s.window_bytes);
	single(out, "diarchy_window_keys_in_flight", DIA_METRIC_GAUGE,
		"Keys of remote changes being applied.", (double)s.inflight_keys);
}

void dia_report_metrics(void *ctx, struct dia_buf *out)
{
	struct dia_process *p = ctx;
	struct dia_metric_label version = {"version", DIA_VERSION};

	dia_metrics_family(
		out, "diarchy_info", DIA_METRIC_GAUGE, "Always 1; which version runs.");
	dia_metrics_sample(out, "diarchy_info", &version, 1, 1);
	single(out, "diarchy_uptime_seconds", DIA_METRIC_GAUGE,
		"Since the process started.",
		(double)((dia_clock_mono_us(&p->clock) - p->started_us) / 1000000));
	(void)pthread_rwlock_rdlock(&p->parts_lock);
	if (p->clients != NULL) {
		struct dia_client_stats s;

		dia_client_server_stats(p->clients, &s);
		table(out, client_numbers, COUNT(client_numbers), &s);
	}
	if (p->capture != NULL)
		capture_metrics(out, p);
	if (p->engine != NULL)
		window_metrics(out, p);
	if (p->link != NULL)
		link_metrics(out, p);
	if (p->apply != NULL)
		apply_metrics(out, p);
	(void)pthread_rwlock_unlock(&p->parts_lock);
}
