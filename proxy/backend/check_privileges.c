/* proxy/backend/check_privileges.c - may diarchy do its work, and who may hide writes? */
#include "proxy/backend/check_int.h"

#include <stdio.h>

#define BIT(g) DIA_GRANT_BIT(DIA_GRANT_##g)

/* Tried on MariaDB 10.11.19, tests/e2e/test_check.py: read the binary log; read its
 * position and files; BINLOG, session gtid_domain_id and server_id; session
 * binlog_annotate_row_events; slave_type_conversions; definers of views and routines. */
static const uint64_t global_needed = BIT(REPLICATION_SLAVE) | BIT(BINLOG_MONITOR) |
				      BIT(BINLOG_REPLAY) | BIT(BINLOG_ADMIN) |
				      BIT(REPLICATION_SLAVE_ADMIN) | BIT(SET_USER);
/* Where tables are replicated: reading and writing rows, and every DDL. */
static const uint64_t schema_needed =
	BIT(SELECT) | BIT(INSERT) | BIT(UPDATE) | BIT(DELETE) | BIT(CREATE) | BIT(DROP) |
	BIT(ALTER) | BIT(INDEX) | BIT(REFERENCES) | BIT(EXECUTE) | BIT(CREATE_VIEW) |
	BIT(SHOW_VIEW) | BIT(CREATE_ROUTINE) | BIT(ALTER_ROUTINE) | BIT(TRIGGER) |
	BIT(EVENT);
/* In schema diarchy. */
static const uint64_t own_needed = BIT(SELECT) | BIT(INSERT) | BIT(UPDATE) | BIT(DELETE) |
				   BIT(CREATE) | BIT(DROP) | BIT(ALTER) | BIT(INDEX);

enum dia_rc dia_check_read_grants(struct dia_check *c)
{
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc = dia_mariadb_query(c->db, &res, c->reterr, "SHOW GRANTS");

	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL)
		if (row[0] != NULL)
			dia_grants_add_line(&c->grants, row[0]);
	mysql_free_result(res);
	dia_grants_imply_super(&c->grants, c->version);
	return DIA_OK;
}

/* `user`@`host` of the account, for GRANT. */
static enum dia_rc account(struct dia_check *c, char *out, size_t cap)
{
	return dia_mariadb_query_one_string(c->db, out, cap, c->reterr,
		"SELECT CONCAT('`', REPLACE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1), "
		"'`', '``'), "
		"'`@`', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '`')");
}

static void missing_on(struct dia_check *c, const char *who, const char *scope,
	const char *readable, uint64_t missing, const char *what_for)
{
	char list[512];

	if (missing == 0)
		return;
	(void)dia_grants_text(missing, list, sizeof(list));
	dia_findings_add(c->out, DIA_FATAL, "privileges",
		dia_findings_text(c->out, "%s lacks %s on %s, needed to %s", who, list,
			readable, what_for),
		dia_findings_text(c->out, "GRANT %s ON %s TO %s;", list, scope, who));
}

static bool has_glob(const char *name)
{
	return strchr(name, '*') != NULL;
}

/* `name` as the database of a GRANT: wildcards and backticks made literal. */
static const char *grant_scope(struct dia_check *c, const char *name)
{
	char out[600];
	size_t n = 0;

	for (const char *p = name; *p != 0 && n + 3 < sizeof(out); p++) {
		if (*p == '_' || *p == '%' || *p == '\\')
			out[n++] = '\\';
		else if (*p == '`')
			out[n++] = '`';
		out[n++] = *p;
	}
	out[n] = 0;
	return dia_findings_text(c->out, "`%s`.*", out);
}

static void check_schemas(struct dia_check *c, const char *who)
{
	static const char work[] = "apply rows and DDL of the other datacenters";
	const struct dia_config_patterns *list = &c->config->replicate;
	uint64_t missing_everywhere = dia_grants_missing(&c->grants, NULL, schema_needed);
	uint64_t missing_own = dia_grants_missing(&c->grants, "diarchy", own_needed);

	for (size_t i = 0; i < list->count; i++)
		if (has_glob(list->at[i].db)) {
			missing_on(c, who, "*.*", "*.*", missing_everywhere, work);
			return;
		}
	missing_on(c, who, "`diarchy`.*", "diarchy", missing_own,
		"keep diarchy's own tables");
	for (size_t i = 0; i < list->count; i++) {
		const char *db = list->at[i].db;
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || strcmp(list->at[j].db, db) == 0;
		if (!seen)
			missing_on(c, who, grant_scope(c, db), db,
				dia_grants_missing(&c->grants, db, schema_needed), work);
	}
}

/* Accounts that can keep their writes out of the binary log, or mark them as replicated.
 */
static enum dia_rc check_others(struct dia_check *c)
{
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;
	enum dia_rc rc;

	if (dia_grants_missing(&c->grants, "mysql", BIT(SELECT)) != 0) {
		dia_findings_add(c->out, DIA_INFO, "account_privileges",
			"diarchy's account cannot read mysql.*: it is not known which "
			"accounts may "
			"switch the binary log off",
			"GRANT SELECT ON mysql.* TO diarchy's account, to have them "
			"named here");
		return DIA_OK;
	}
	rc = dia_mariadb_query(c->db, &res, c->reterr,
		"SELECT GRANTEE, GROUP_CONCAT(PRIVILEGE_TYPE ORDER BY PRIVILEGE_TYPE "
		"SEPARATOR ', ') "
		"FROM information_schema.USER_PRIVILEGES "
		"WHERE PRIVILEGE_TYPE IN ('SUPER', 'BINLOG ADMIN', 'BINLOG REPLAY') "
		"AND GRANTEE <> CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), "
		"'''@''', "
		"SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') "
		"AND GRANTEE NOT LIKE '''mariadb.sys''@%%' GROUP BY GRANTEE ORDER BY "
		"GRANTEE");
	if (rc != DIA_OK)
		return rc;
	while ((row = mysql_fetch_row(res)) != NULL)
		dia_findings_add(c->out, DIA_WARN, "account_privileges",
			dia_findings_text(c->out,
				"account %s has %s: connected past diarchy it can write "
				"rows that are never "
				"replicated (sql_log_bin=0)",
				row[0], row[1]),
			dia_findings_text(c->out,
				"REVOKE %s ON *.* FROM %s; unless it is an "
				"administrator's",
				row[1], row[0]));
	mysql_free_result(res);
	return DIA_OK;
}

enum dia_rc dia_check_privileges(struct dia_check *c)
{
	const uint64_t users = BIT(CREATE_USER) | BIT(GRANT_OPTION);
	char who[400];
	enum dia_rc rc = account(c, who, sizeof(who));

	if (rc != DIA_OK)
		return rc;
	missing_on(c, who, "*.*", "*.*",
		dia_grants_missing(&c->grants, NULL, global_needed),
		"read the binary log and write what was replicated");
	check_schemas(c, who);
	if (c->config->replicate_users &&
		dia_grants_missing(&c->grants, NULL, users | schema_needed) != 0)
		dia_findings_add(c->out, DIA_FATAL, "privileges",
			dia_findings_text(c->out,
				"%s may not create accounts or pass privileges on, "
				"needed by "
				"replicate_users",
				who),
			dia_findings_text(c->out,
				"GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION;",
				who));
	return check_others(c);
}
