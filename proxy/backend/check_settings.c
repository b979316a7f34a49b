/* proxy/backend/check_settings.c - the server's variables, binlog filters and clock. */
#include "proxy/backend/check_int.h"
#include "proxy/backend/schema.h"
#include "proxy/core/change.h"
#include "proxy/core/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#define MIB (UINT64_C(1) << 20)

/* A setting that must have one value for rows to be captured whole. */
static void require(
	struct dia_check *c, const char *name, const char *value, const char *why)
{
	const char *now = dia_check_variable(c, name);

	if (now == NULL || strcasecmp(now, value) == 0)
		return;
	dia_findings_add(c->out, DIA_FATAL, name,
		dia_findings_text(c->out, "%s is %s: %s", name, now, why),
		dia_findings_text(c->out,
			"SET GLOBAL %s=%s; and `%s=%s` under [mariadb] in my.cnf; then "
			"reconnect the "
			"applications, since open sessions keep the old value",
			name, value, name, value));
}

static void check_binlog(struct dia_check *c)
{
	if (!dia_check_is(c, "log_bin", "ON")) {
		dia_findings_add(c->out, DIA_FATAL, "log_bin",
			"log_bin is OFF: there is nothing to replicate from",
			"put `log_bin=binlog` under [mariadb] in my.cnf and restart the "
			"server");
	}
	require(c, "binlog_format", "ROW",
		"statements give other results in another datacenter");
	require(c, "binlog_row_image", "FULL",
		"an update or delete must carry the whole row to be merged and to be "
		"found in the "
		"conflict table");
	require(c, "binlog_row_metadata", "FULL",
		"columns are matched by name, which only FULL puts into the binary log");
	if (dia_check_is(c, "binlog_checksum", "NONE"))
		dia_findings_add(c->out, DIA_WARN, "binlog_checksum",
			"binlog_checksum is NONE: damage to the binary log, on disk or "
			"while it is read, is not noticed and could be sent on as data",
			"SET GLOBAL binlog_checksum=CRC32; and `binlog_checksum=CRC32` "
			"under [mariadb] in my.cnf");
	if (dia_check_is(c, "mysql56_temporal_format", "OFF"))
		dia_findings_add(c->out, DIA_FATAL, "mysql56_temporal_format",
			"mysql56_temporal_format is OFF: new TIME, DATETIME and "
			"TIMESTAMP columns with fractions of a second get a format that "
			"cannot be read from the binary log",
			"SET GLOBAL mysql56_temporal_format=ON; and remove the line from "
			"my.cnf; then check again, for tables that were made meanwhile");
	if (dia_check_is(c, "binlog_annotate_row_events", "OFF"))
		dia_findings_add(c->out, DIA_INFO, "binlog_annotate_row_events",
			"binlog_annotate_row_events is OFF: the statement behind a "
			"conflict is not known",
			"SET GLOBAL binlog_annotate_row_events=ON; and in my.cnf");
}

static bool reserved(uint64_t id)
{
	return id >= DIA_RESERVED_ID_BASE && id <= DIA_RESERVED_ID_BASE + DIA_DC_MAX;
}

static void check_ids(struct dia_check *c)
{
	uint64_t server = dia_check_number(c, "server_id");
	uint64_t domain = dia_check_number(c, "gtid_domain_id");

	if (server == 0)
		dia_findings_add(c->out, DIA_FATAL, "server_id",
			"server_id is 0: the server refuses to send its binary log",
			"SET GLOBAL server_id=1; and `server_id=1` in my.cnf, another "
			"number on each "
			"server");
	else if (reserved(server))
		dia_findings_add(c->out, DIA_FATAL, "server_id",
			dia_findings_text(c->out,
				"server_id %" PRIu64
				" is in the range that marks replicated writes",
				server),
			dia_findings_text(c->out,
				"SET GLOBAL server_id=%u; and in my.cnf: anything "
				"outside %u to %u",
				c->config->dc.id.id, DIA_RESERVED_ID_BASE,
				DIA_RESERVED_ID_BASE + DIA_DC_MAX));
	if (reserved(domain))
		dia_findings_add(c->out, DIA_FATAL, "gtid_domain_id",
			dia_findings_text(c->out,
				"gtid_domain_id %" PRIu64
				" is in the range that marks replicated writes: no local "
				"write would be sent",
				domain),
			"SET GLOBAL gtid_domain_id=0; and in my.cnf; then reconnect the "
			"applications");
}

/* Right now, but only until the server restarts. A SET GLOBAL beside a line in my.cnf
 * cannot be told from one without. */
static enum dia_rc check_after_restart(struct dia_check *c, uint64_t increment)
{
	uint64_t set = 0;
	enum dia_rc rc = dia_mariadb_query_one_u64(c->db, &set, c->reterr,
		"SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES WHERE "
		"GLOBAL_VALUE_ORIGIN='SQL' AND VARIABLE_NAME IN "
		"('AUTO_INCREMENT_INCREMENT', 'AUTO_INCREMENT_OFFSET') AND "
		"GLOBAL_VALUE<>DEFAULT_VALUE");

	if (rc != DIA_OK || set == 0)
		return rc;
	dia_findings_add(c->out, DIA_WARN, "auto_increment_restart",
		"auto_increment_increment and auto_increment_offset are right, but were "
		"set at run time (by diarchy or with SET GLOBAL): when the server "
		"restarts, sessions that open before diarchy has set them again can give "
		"out numbers that the other datacenter gives out too",
		dia_findings_text(c->out,
			"put `auto_increment_increment=%" PRIu64
			"` and `auto_increment_offset=%u` under [mariadb] in my.cnf, "
			"each on its own line; no restart is needed, and the next one "
			"makes this warning go away",
			increment, c->config->dc.id.id));
	return DIA_OK;
}

enum dia_rc dia_check_auto_increment(struct dia_check *c)
{
	uint64_t increment = dia_check_number(c, "auto_increment_increment");
	uint64_t offset = dia_check_number(c, "auto_increment_offset");
	uint32_t want = dia_server_increment(c->config);
	uint16_t id = c->config->dc.id.id;
	bool may =
		dia_grants_missing(&c->grants, NULL, DIA_GRANT_BIT(DIA_GRANT_SUPER)) == 0;

	if (increment >= want && offset == id) {
		if (increment > want)
			dia_findings_add(c->out, DIA_INFO, "auto_increment",
				dia_findings_text(c->out,
					"auto_increment_increment is %" PRIu64
					", above the %u that the configured "
					"datacenters need",
					increment, want),
				"fine when it is the same in every datacenter");
		return check_after_restart(c, increment);
	}
	dia_findings_add(c->out, may ? DIA_WARN : DIA_FATAL, "auto_increment",
		dia_findings_text(c->out,
			"auto_increment_increment=%" PRIu64
			", auto_increment_offset=%" PRIu64
			": two datacenters would give the same number to different rows, "
			"and one of them would be lost%s",
			increment, offset,
			may ? " (`diarchy run` sets this itself, but a restart of the "
			      "server undoes it for a moment)"
			    : ""),
		dia_findings_text(c->out,
			"SET GLOBAL auto_increment_increment=%u, GLOBAL "
			"auto_increment_offset=%u; and under [mariadb] in my.cnf the "
			"lines `auto_increment_increment=%u` and "
			"`auto_increment_offset=%u`; then reconnect the applications",
			want, id, want, id));
	return DIA_OK;
}

static void check_packets(struct dia_check *c)
{
	uint64_t packet = dia_check_number(c, "max_allowed_packet");
	uint64_t replica = dia_check_number(c, "slave_max_allowed_packet");

	if (packet < 64 * MIB)
		dia_findings_add(c->out, packet < 16 * MIB ? DIA_FATAL : DIA_WARN,
			"max_allowed_packet",
			dia_findings_text(c->out,
				"max_allowed_packet is %" PRIu64
				": a row needs up to 8/3 of its size to be applied, so "
				"the largest that can "
				"be replicated has %" PRIu64 " bytes",
				packet, packet / 8 * 3),
			"SET GLOBAL max_allowed_packet=67108864; and "
			"`max_allowed_packet=64M` in my.cnf, "
			"or three times your largest row");
	if (replica != 0 && replica < packet)
		dia_findings_add(c->out, DIA_WARN, "slave_max_allowed_packet",
			dia_findings_text(c->out,
				"slave_max_allowed_packet is %" PRIu64
				", below max_allowed_packet: a large row stops the "
				"reading of the binary log",
				replica),
			"SET GLOBAL slave_max_allowed_packet=1073741824; and in my.cnf");
}

static void check_durability(struct dia_check *c)
{
	uint64_t flush = dia_check_number(c, "innodb_flush_log_at_trx_commit");
	uint64_t sync = dia_check_number(c, "sync_binlog");
	uint64_t seconds = dia_check_number(c, "binlog_expire_logs_seconds");

	if (flush != 1 || sync != 1)
		dia_findings_add(c->out, DIA_WARN, "durability",
			dia_findings_text(c->out,
				"innodb_flush_log_at_trx_commit=%" PRIu64
				", sync_binlog=%" PRIu64
				": a power failure can take commits that were "
				"acknowledged, and the other "
				"datacenter may have them already",
				flush, sync),
			"SET GLOBAL innodb_flush_log_at_trx_commit=1, GLOBAL "
			"sync_binlog=1; and in my.cnf");
	if (seconds == 0)
		seconds = (uint64_t)(strtod(dia_check_variable(c, "expire_logs_days") ==
							     NULL
						     ? "0"
						     : dia_check_variable(
							       c, "expire_logs_days"),
					     NULL) *
				     86400);
	if (seconds == 0)
		dia_findings_add(c->out, DIA_INFO, "binlog_expire",
			"binary logs are kept for ever: no outage is too long, but the "
			"disk fills",
			"SET GLOBAL binlog_expire_logs_seconds=604800; and in my.cnf, "
			"when a week is enough");
	else if (seconds < 86400)
		dia_findings_add(c->out, DIA_WARN, "binlog_expire",
			dia_findings_text(c->out,
				"binary logs are kept for %" PRIu64
				" seconds: writes not yet replicated after that are gone",
				seconds),
			"SET GLOBAL binlog_expire_logs_seconds=604800; and in my.cnf");
	else
		dia_findings_add(c->out, DIA_INFO, "binlog_expire",
			dia_findings_text(c->out,
				"binary logs are kept for %" PRIu64
				" hours: diarchy must not be down for longer",
				seconds / 3600),
			"");
}

static void check_mode(struct dia_check *c)
{
	uint64_t missing = dia_grants_missing(
		&c->grants, NULL, DIA_GRANT_BIT(DIA_GRANT_READ_ONLY_ADMIN));
	uint64_t connections = dia_check_number(c, "max_connections");

	if (dia_check_is(c, "wsrep_on", "ON"))
		dia_findings_add(c->out, DIA_FATAL, "wsrep_on",
			"the server is part of a Galera cluster: its nodes certify "
			"writes by themselves, "
			"and commit order is not binary log order",
			"use a server with wsrep_on=OFF behind diarchy");
	if (!dia_check_is(c, "read_only", "OFF")) {
		if (missing != 0)
			dia_findings_add(c->out, DIA_FATAL, "read_only",
				"read_only is ON and diarchy's account may not write: "
				"nothing can be applied",
				"SET GLOBAL read_only=OFF; and in my.cnf");
		else
			dia_findings_add(c->out, DIA_WARN, "read_only",
				"read_only is ON: diarchy applies what others write, "
				"applications cannot "
				"write here",
				"SET GLOBAL read_only=OFF; when this datacenter is to "
				"take writes");
	}
	if (connections < c->config->limits.max_connections)
		dia_findings_add(c->out, DIA_INFO, "max_connections",
			dia_findings_text(c->out,
				"the server takes %" PRIu64
				" connections, limits.max_connections is %" PRIu64
				": the server's limit is met first",
				connections, c->config->limits.max_connections),
			"SET GLOBAL max_connections=...; or lower "
			"limits.max_connections");
	if (!dia_check_is(c, "default_storage_engine", "InnoDB"))
		dia_findings_add(c->out, DIA_WARN, "default_storage_engine",
			dia_findings_text(c->out,
				"default_storage_engine is %s: new tables without "
				"ENGINE= are not replicated",
				dia_check_variable(c, "default_storage_engine")),
			"SET GLOBAL default_storage_engine=InnoDB; and in my.cnf");
	if (!dia_check_is(c, "lower_case_table_names", "0"))
		dia_findings_add(c->out, DIA_INFO, "lower_case_table_names",
			dia_findings_text(c->out,
				"lower_case_table_names is %s: it must be the same in "
				"every datacenter, and "
				"patterns in the configuration are compared with the "
				"server's own spelling",
				dia_check_variable(c, "lower_case_table_names")),
			"");
	if (!dia_check_is(c, "log_bin_trust_function_creators", "ON") &&
		dia_grants_missing(&c->grants, NULL, DIA_GRANT_BIT(DIA_GRANT_SUPER)) != 0)
		dia_findings_add(c->out, DIA_WARN, "log_bin_trust_function_creators",
			"log_bin_trust_function_creators is OFF: triggers and functions "
			"made in another "
			"datacenter cannot be made here by an account without SUPER, and "
			"replication "
			"would stop there",
			"SET GLOBAL log_bin_trust_function_creators=ON; and in my.cnf "
			"(rows are "
			"replicated, so it costs nothing); or GRANT SUPER to diarchy's "
			"account");
	dia_findings_add(c->out, DIA_INFO, "server",
		dia_findings_text(c->out,
			"MariaDB %s, time zone %s (system %s), %s: compare with the "
			"other datacenters",
			dia_check_variable(c, "version"),
			dia_check_variable(c, "time_zone"),
			dia_check_variable(c, "system_time_zone"),
			dia_check_variable(c, "collation_server")),
		"");
}

void dia_check_settings(struct dia_check *c)
{
	check_binlog(c);
	check_ids(c);
	check_packets(c);
	check_durability(c);
	check_mode(c);
}

/* Filters are no variables before MariaDB 11.7; SHOW MASTER STATUS tells them. */
enum dia_rc dia_check_binlog_filters(struct dia_check *c)
{
	static const char *const options[] = {"binlog_do_db", "binlog_ignore_db"};
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc;

	if (dia_grants_missing(
		    &c->grants, NULL, DIA_GRANT_BIT(DIA_GRANT_BINLOG_MONITOR)) != 0)
		return DIA_OK; /* the missing privilege is a finding of its own */
	rc = dia_mariadb_query(c->db, &res, c->reterr, "SHOW MASTER STATUS");
	if (rc != DIA_OK)
		return rc;
	row = mysql_fetch_row(res);
	for (unsigned i = 0; row != NULL && i < 2 && mysql_num_fields(res) >= 4; i++)
		if (row[2 + i] != NULL && *row[2 + i] != 0)
			dia_findings_add(c->out, DIA_FATAL, options[i],
				dia_findings_text(c->out,
					"%s=%s: writes of %s databases are not in the "
					"binary log and would "
					"never be sent",
					options[i], row[2 + i],
					i == 0 ? "other" : "these"),
				dia_findings_text(c->out,
					"remove %s from my.cnf and restart the server; "
					"use `replicate` and "
					"`exclude` in diarchy's configuration instead",
					options[i]));
	mysql_free_result(res);
	return DIA_OK;
}

/* The clocks need not agree for correctness, but who wins a conflict is decided by them.
 */
enum dia_rc dia_check_clock(struct dia_check *c)
{
	struct dia_clock clock = dia_clock_system();
	uint64_t before = dia_clock_wall_ms(&clock), after, server_ms = 0, off;
	enum dia_rc rc = dia_mariadb_query_one_u64(c->db, &server_ms, c->reterr,
		"SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS UNSIGNED)");

	if (rc != DIA_OK)
		return rc;
	after = dia_clock_wall_ms(&clock);
	off = server_ms + 1000 < before  ? before - server_ms
	      : server_ms > after + 1000 ? server_ms - after
					 : 0;
	if (off != 0)
		dia_findings_add(c->out, DIA_WARN, "clock",
			dia_findings_text(c->out,
				"the server's clock is %" PRIu64
				" ms %s this machine's: stamps, and with "
				"them who wins a conflict, may be off by as much",
				off, server_ms < before ? "behind" : "ahead of"),
			"synchronise both with NTP (chrony) against the same sources as "
			"the other "
			"datacenter");
	return DIA_OK;
}
