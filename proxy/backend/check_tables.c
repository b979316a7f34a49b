/* proxy/backend/check_tables.c - tables, events and sequences that need the operator's
 * eye. */
#include "proxy/backend/check_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_MAX = 50 }; /* findings of one kind; the rest is counted */

#define NOT_SYSTEM(column) \
	column " NOT IN "  \
	       "('mysql','information_schema','performance_schema','sys','diarchy')"

/* Appends `db`.`name`, backticks doubled, in the arena. */
static const char *quoted(struct dia_check *c, const char *db, const char *name)
{
	char out[2 * 2 * 64 * 4 + 8];
	const char *parts[2] = {db, name};
	size_t n = 0;

	for (int i = 0; i < 2; i++) {
		if (i == 1)
			out[n++] = '.';
		out[n++] = '`';
		for (const char *p = parts[i]; *p != 0 && n + 4 < sizeof(out); p++) {
			if (*p == '`')
				out[n++] = '`';
			out[n++] = *p;
		}
		out[n++] = '`';
	}
	out[n] = 0;
	return dia_findings_text(c->out, "%s", out);
}

static bool replicated(const struct dia_check *c, const char *db, const char *name)
{
	return dia_config_table_replicated(
		c->config, dia_slice_str(db), dia_slice_str(name));
}

static void shown(struct dia_check *c, uint64_t *count, enum dia_severity severity,
	const char *id, const char *what, const char *remedy)
{
	if (++*count <= SHOWN_MAX)
		dia_findings_add(c->out, severity, id, what, remedy);
}

static void and_more(struct dia_check *c, uint64_t count, const char *id)
{
	if (count > SHOWN_MAX)
		dia_findings_add(c->out, DIA_WARN, id,
			dia_findings_text(c->out, "and %" PRIu64 " more of this kind",
				count - SHOWN_MAX),
			"repair those shown and check again");
}

static enum dia_rc check_engines_and_keys(struct dia_check *c)
{
	uint64_t engines = 0, keys = 0, tables = 0;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr,
		"SELECT t.TABLE_SCHEMA, t.TABLE_NAME, COALESCE(t.ENGINE, '?'), EXISTS "
		"(SELECT 1 FROM "
		"information_schema.STATISTICS s WHERE s.TABLE_SCHEMA=t.TABLE_SCHEMA AND "
		"s.TABLE_NAME=t.TABLE_NAME AND s.INDEX_NAME='PRIMARY') "
		"FROM information_schema.TABLES t WHERE t.TABLE_TYPE IN ('BASE TABLE', "
		"'SYSTEM "
		"VERSIONED') AND " NOT_SYSTEM("t.TABLE_SCHEMA") " ORDER BY 1, 2");

	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL) {
		const char *name;

		if (!replicated(c, row[0], row[1]))
			continue;
		tables++;
		if (strcmp(row[2], "InnoDB") != 0) {
			name = quoted(c, row[0], row[1]);
			shown(c, &engines, DIA_WARN, "engine",
				dia_findings_text(c->out,
					"%s is a table of engine %s: its writes are "
					"reported, not replicated",
					name, row[2]),
				dia_findings_text(c->out,
					"ALTER TABLE %s ENGINE=InnoDB; or name it in "
					"`exclude`",
					name));
		}
		if (strcmp(row[3], "0") == 0) {
			name = quoted(c, row[0], row[1]);
			shown(c, &keys, DIA_WARN, "primary_key",
				dia_findings_text(c->out,
					"%s has no primary key: its writes are reported, "
					"not replicated",
					name),
				dia_findings_text(c->out,
					"ALTER TABLE %s ADD PRIMARY KEY (...); or name "
					"it in `exclude`",
					name));
		}
	}
	mysql_free_result(res);
	and_more(c, engines, "engine");
	and_more(c, keys, "primary_key");
	dia_findings_add(c->out, DIA_INFO, "tables",
		dia_findings_text(c->out,
			"%" PRIu64 " tables match `replicate`, %" PRIu64
			" of them are not InnoDB, %" PRIu64 " have no primary key",
			tables, engines, keys),
		"");
	return DIA_OK;
}

/* Columns made by MariaDB before 10.1, or with mysql56_temporal_format=OFF. Their number
 * of fraction digits is not in the binary log, so their length there is unknown; two
 * wrong lengths in a row can add up to the right one, and wrong values would be sent.
 * Without fraction the length is fixed, and they are read like others. */
static enum dia_rc check_old_fractions(struct dia_check *c)
{
	uint64_t count = 0;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr,
		"SELECT c.TABLE_SCHEMA, c.TABLE_NAME, GROUP_CONCAT(c.COLUMN_NAME "
		"ORDER BY c.ORDINAL_POSITION SEPARATOR ', ') FROM "
		"information_schema.COLUMNS c JOIN information_schema.TABLES t ON "
		"t.TABLE_SCHEMA=c.TABLE_SCHEMA AND t.TABLE_NAME=c.TABLE_NAME WHERE "
		"c.DATA_TYPE IN ('time', 'datetime', 'timestamp') AND "
		"c.DATETIME_PRECISION>0 AND c.COLUMN_TYPE LIKE '%%mariadb-5.3%%' AND "
		"t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') "
		"AND " NOT_SYSTEM("c.TABLE_SCHEMA") " GROUP BY 1, 2 ORDER BY 1, 2");

	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL) {
		const char *name;

		if (!replicated(c, row[0], row[1]))
			continue;
		name = quoted(c, row[0], row[1]);
		shown(c, &count, DIA_FATAL, "temporal_format",
			dia_findings_text(c->out,
				"%s keeps %s in the format of MariaDB 5.3 with "
				"fractions of a second, which cannot be read from the "
				"binary log: its writes would be missing or wrong in the "
				"other datacenter",
				name, row[2]),
			dia_findings_text(c->out,
				"ALTER TABLE %s FORCE; and wait, it copies the table "
				"(mysql56_temporal_format must be ON); or name it in "
				"`exclude`",
				name));
	}
	mysql_free_result(res);
	and_more(c, count, "temporal_format");
	return DIA_OK;
}

/* Rows of (schema, table) whose number is worth a note. */
static enum dia_rc note_count(
	struct dia_check *c, const char *id, const char *sql, const char *text)
{
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	uint64_t count = 0;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr, "%s", sql);

	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL)
		count += replicated(c, row[0], row[1]) ? 1 : 0;
	mysql_free_result(res);
	if (count > 0)
		dia_findings_add(c->out, DIA_INFO, id,
			dia_findings_text(c->out, "%" PRIu64 " %s", count, text), "");
	return DIA_OK;
}

static enum dia_rc check_notes(struct dia_check *c)
{
	enum dia_rc rc = note_count(c, "triggers",
		"SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE FROM "
		"information_schema.TRIGGERS",
		"triggers: fine, they run where the statement ran and their writes are "
		"replicated");

	if (rc == DIA_OK)
		rc = note_count(c, "cascades",
			"SELECT CONSTRAINT_SCHEMA, TABLE_NAME FROM "
			"information_schema.REFERENTIAL_CONSTRAINTS WHERE UPDATE_RULE "
			"NOT IN "
			"('RESTRICT','NO ACTION') OR DELETE_RULE NOT IN ('RESTRICT','NO "
			"ACTION')",
			"foreign keys with cascades: fine, each datacenter carries them "
			"out itself");
	if (rc == DIA_OK)
		rc = note_count(c, "unique_keys",
			"SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM "
			"information_schema.STATISTICS "
			"WHERE NON_UNIQUE=0 AND INDEX_NAME<>'PRIMARY'",
			"tables with unique keys beside the primary key: when two "
			"datacenters give one "
			"value to different rows, the later row has it and the "
			"other one goes to diarchy.conflicts");
	return rc;
}

static enum dia_rc check_events(struct dia_check *c)
{
	bool on = dia_check_is(c, "event_scheduler", "ON");
	uint64_t count = 0;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr,
		"SELECT EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE "
		"STATUS='ENABLED' AND " NOT_SYSTEM("EVENT_SCHEMA") " ORDER BY 1, 2");

	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL) {
		const char *name;

		if (!dia_config_db_replicated(c->config, dia_slice_str(row[0])))
			continue;
		name = quoted(c, row[0], row[1]);
		shown(c, &count, on ? DIA_WARN : DIA_INFO, "events",
			dia_findings_text(c->out,
				"event %s is enabled%s: it runs in every datacenter "
				"where it is, and all of "
				"its writes are replicated",
				name, on ? "" : " (event_scheduler is OFF here)"),
			dia_findings_text(c->out,
				"on the servers of all datacenters but one, connected "
				"directly: "
				"SET sql_log_bin=0; ALTER EVENT %s DISABLE ON SLAVE;",
				name));
	}
	mysql_free_result(res);
	and_more(c, count, "events");
	return DIA_OK;
}

static enum dia_rc check_sequences(struct dia_check *c)
{
	uint64_t count = 0;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr,
		"SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "
		"TABLE_TYPE='SEQUENCE' AND " NOT_SYSTEM("TABLE_SCHEMA") " ORDER BY 1, 2");

	if (rc != DIA_OK)
		return rc;
	while (rc == DIA_OK && (row = mysql_fetch_row(res)) != NULL) {
		const char *name = quoted(c, row[0], row[1]);
		char increment[32];
		struct dia_err err = {.rc = DIA_OK};

		if (!replicated(c, row[0], row[1]))
			continue;
		rc = dia_mariadb_query_one_string(c->db, increment, sizeof(increment),
			&err, "SELECT increment FROM %s", name);
		if (rc == DIA_E_DB) {
			/* Dropped meanwhile, or not ours to read: the privileges say so.
			 */
			rc = DIA_OK;
			continue;
		}
		if (rc != DIA_OK) {
			if (c->reterr != NULL)
				*c->reterr = err;
			break;
		}
		if (strcmp(increment, "0") != 0)
			shown(c, &count, DIA_WARN, "sequence",
				dia_findings_text(c->out,
					"sequence %s has INCREMENT BY %s: two "
					"datacenters give out the same "
					"numbers (sequences are not replicated)",
					name, increment),
				dia_findings_text(c->out,
					"ALTER SEQUENCE %s INCREMENT BY 0; so that it "
					"follows "
					"auto_increment_increment and _offset",
					name));
	}
	mysql_free_result(res);
	and_more(c, count, "sequence");
	return rc;
}

enum dia_rc dia_check_tables(struct dia_check *c)
{
	enum dia_rc rc = check_engines_and_keys(c);

	if (rc == DIA_OK)
		rc = check_old_fractions(c);
	if (rc == DIA_OK)
		rc = check_notes(c);
	if (rc == DIA_OK)
		rc = check_events(c);
	if (rc == DIA_OK)
		rc = check_sequences(c);
	return rc;
}
