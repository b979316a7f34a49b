/* proxy/backend/server_check.c - see server_check.h. */
#include "proxy/backend/check_int.h"
#include "proxy/backend/schema.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

uint32_t dia_check_version_number(const char *text)
{
	unsigned long part[3] = {0, 0, 0};
	const char *p = text;

	if (strstr(text, "MariaDB") == NULL)
		return 0;
	/* What some servers put in front for old replication clients. */
	if (strncmp(p, "5.5.5-", 6) == 0)
		p += 6;
	for (int i = 0; i < 3; i++) {
		char *end;

		part[i] = strtoul(p, &end, 10);
		if (end == p || part[i] > 99)
			return 0;
		p = *end == '.' ? end + 1 : end;
	}
	return (uint32_t)(part[0] * 10000 + part[1] * 100 + part[2]);
}

const char *dia_check_variable(const struct dia_check *c, const char *name)
{
	MYSQL_ROW row;

	mysql_data_seek(c->variables, 0);
	while ((row = mysql_fetch_row(c->variables)) != NULL)
		if (row[0] != NULL && strcasecmp(row[0], name) == 0)
			return row[1] == NULL ? "" : row[1];
	return NULL;
}

bool dia_check_is(const struct dia_check *c, const char *name, const char *value)
{
	const char *now = dia_check_variable(c, name);

	return now != NULL && strcasecmp(now, value) == 0;
}

uint64_t dia_check_number(const struct dia_check *c, const char *name)
{
	const char *now = dia_check_variable(c, name);

	return now == NULL ? 0 : strtoull(now, NULL, 10);
}

static void check_version(struct dia_check *c)
{
	const char *text = dia_check_variable(c, "version");

	if (text == NULL)
		text = "unknown";
	c->version = dia_check_version_number(text);
	if (c->version == 0)
		dia_findings_add(c->out, DIA_FATAL, "server_version",
			dia_findings_text(
				c->out, "the server says it is %s, not MariaDB", text),
			"diarchy works with MariaDB 10.6 to 11.x");
	else if (c->version < 100600)
		dia_findings_add(c->out, DIA_FATAL, "server_version",
			dia_findings_text(c->out, "MariaDB %s is too old", text),
			"upgrade the server to 10.6 or later");
	else if (c->version >= 120000)
		dia_findings_add(c->out, DIA_WARN, "server_version",
			dia_findings_text(c->out,
				"MariaDB %s is newer than what diarchy was tried on",
				text),
			"use 10.6 to 11.x, or try it with your own workload first");
}

/* Number in diarchy.meta; 0 without table, row, or the privilege to read it. */
static enum dia_rc own_number(struct dia_check *c, const char *name, uint64_t *ret)
{
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc = dia_mariadb_query_one_u64(
		c->db, ret, &err, "SELECT value FROM diarchy.meta WHERE name='%s'", name);

	if (rc == DIA_E_NOT_FOUND || rc == DIA_E_DB) {
		*ret = 0;
		return DIA_OK;
	}
	if (rc != DIA_OK && c->reterr != NULL)
		*c->reterr = err;
	return rc;
}

/* Whether diarchy's own tables are this datacenter's and this program's. */
static enum dia_rc check_own_tables(struct dia_check *c)
{
	uint64_t version = 0, dc = 0;
	enum dia_rc rc = own_number(c, "schema_version", &version);

	if (rc == DIA_OK)
		rc = own_number(c, "dc_id", &dc);
	if (rc != DIA_OK)
		return rc;
	if (version > DIA_SCHEMA_VERSION)
		dia_findings_add(c->out, DIA_FATAL, "schema_version",
			dia_findings_text(c->out,
				"the tables in schema `diarchy` are version %" PRIu64
				", this diarchy knows %d",
				version, DIA_SCHEMA_VERSION),
			"run the newer diarchy that made them");
	if (dc != 0 && dc != c->config->dc.id.id)
		dia_findings_add(c->out, DIA_FATAL, "dc_id",
			dia_findings_text(c->out,
				"this database is of the datacenter with id %" PRIu64
				" (diarchy.meta), the configuration says dc.id %u: was a "
				"backup of that datacenter restored here?",
				dc, c->config->dc.id.id),
			DIA_SCHEMA_FOREIGN_REMEDY);
	return DIA_OK;
}

static enum dia_rc check_all(struct dia_check *c)
{
	enum dia_rc rc = dia_mariadb_query(
		c->db, &c->variables, c->reterr, "SHOW GLOBAL VARIABLES");

	if (rc != DIA_OK)
		return rc;
	check_version(c);
	/* On another product the other questions make no sense. */
	if (c->version == 0)
		return DIA_OK;
	rc = dia_check_read_grants(c);
	if (rc != DIA_OK)
		return rc;
	rc = check_own_tables(c);
	if (rc != DIA_OK)
		return rc;
	dia_check_settings(c);
	rc = dia_check_auto_increment(c);
	if (rc == DIA_OK)
		rc = dia_check_binlog_filters(c);
	if (rc == DIA_OK)
		rc = dia_check_clock(c);
	if (rc == DIA_OK)
		rc = dia_check_privileges(c);
	if (rc == DIA_OK)
		rc = dia_check_tables(c);
	return rc;
}

enum dia_rc dia_server_check(
	const struct dia_config *config, struct dia_findings *ret, struct dia_err *reterr)
{
	struct dia_check *c = calloc(1, sizeof(*c));
	struct dia_err err = {.rc = DIA_OK};
	enum dia_rc rc;

	if (c == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for the server check");
	*c = (struct dia_check){.config = config, .out = ret, .reterr = reterr};
	for (size_t i = 0; i < config->warning_count; i++)
		dia_findings_add(ret, DIA_WARN, "configuration",
			dia_findings_text(ret, "%s", config->warnings[i]), "");
	rc = dia_mariadb_connect(config, 0, &c->db, &err);
	if (rc != DIA_OK && rc != DIA_E_NOMEM) {
		dia_findings_add(ret, DIA_FATAL, "connect",
			dia_findings_text(ret, "cannot connect: %s", err.text),
			"correct it and check again; nothing else could be looked at");
		rc = DIA_OK;
		goto out;
	}
	if (rc == DIA_OK)
		rc = check_all(c);
	else if (reterr != NULL)
		*reterr = err;
out:
	if (c->variables != NULL)
		mysql_free_result(c->variables);
	if (c->db != NULL)
		mysql_close(c->db);
	free(c);
	if (rc == DIA_OK && ret->failed)
		rc = dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for the server check");
	return rc;
}
