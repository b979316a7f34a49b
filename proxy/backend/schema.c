/* proxy/backend/schema.c - see schema.h. */
#include "proxy/backend/schema.h"

#include <inttypes.h>

/* Columns of `applied` are written by position, as row events: see proxy/apply/db.c. */
static const struct own_table {
	const char *name;
	const char *columns;
} tables[] = {
	/* Last transaction of each origin applied here, in the transaction that applied
	   it. */
	{"applied", "origin SMALLINT UNSIGNED NOT NULL PRIMARY KEY,"
		    " seq BIGINT UNSIGNED NOT NULL,"
		    " stamp BIGINT UNSIGNED NOT NULL,"
		    " incarnation BIGINT UNSIGNED NOT NULL"},
	/* The loser of each conflict, in the transaction that decided it. `id` is this
	 * datacenter's own. */
	{"conflicts", "id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,"
		      " at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),"
		      " db_name VARCHAR(64) NOT NULL,"
		      " table_name VARCHAR(64) NOT NULL,"
		      " row_key LONGTEXT NOT NULL,"
		      " type VARCHAR(32) NOT NULL,"
		      " policy VARCHAR(32) NOT NULL,"
		      " verdict VARCHAR(32) NOT NULL,"
		      " reason TEXT NOT NULL,"
		      " local_origin SMALLINT UNSIGNED,"
		      " local_seq BIGINT UNSIGNED,"
		      " local_stamp BIGINT UNSIGNED,"
		      " local_gtid VARCHAR(48),"
		      " remote_origin SMALLINT UNSIGNED,"
		      " remote_seq BIGINT UNSIGNED,"
		      " remote_stamp BIGINT UNSIGNED,"
		      " remote_gtid VARCHAR(48),"
		      " local_image LONGTEXT,"
		      " remote_image LONGTEXT,"
		      " KEY by_table (db_name, table_name, at),"
		      " KEY by_time (at)"},
	{"meta", "name VARCHAR(64) NOT NULL PRIMARY KEY, value TEXT NOT NULL"},
};
enum { TABLE_COUNT = sizeof(tables) / sizeof(tables[0]) };

uint32_t dia_server_increment(const struct dia_config *config)
{
	uint32_t increment = config->dc.id.id;

	for (size_t i = 0; i < config->peer.dc_count; i++)
		if (config->peer.dcs[i].dc.id > increment)
			increment = config->peer.dcs[i].dc.id;
	return increment < 2 ? 2 : increment;
}

static enum dia_rc count_tables(MYSQL *db, uint64_t *ret, struct dia_err *reterr)
{
	return dia_mariadb_query_one_u64(db, ret, reterr,
		"SELECT COUNT(*) FROM information_schema.TABLES WHERE "
		"TABLE_SCHEMA='diarchy' AND "
		"TABLE_NAME IN ('applied','conflicts','meta')");
}

static enum dia_rc create_tables(MYSQL *db, struct dia_err *reterr)
{
	enum dia_rc rc = dia_mariadb_exec(db, reterr,
		"CREATE DATABASE IF NOT EXISTS diarchy CHARACTER SET utf8mb4 COLLATE "
		"utf8mb4_bin");

	for (int i = 0; i < TABLE_COUNT && rc == DIA_OK; i++)
		rc = dia_mariadb_exec(db, reterr,
			"CREATE TABLE IF NOT EXISTS diarchy.`%s` (%s) ENGINE=InnoDB "
			"DEFAULT "
			"CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
			tables[i].name, tables[i].columns);
	if (rc == DIA_OK)
		rc = dia_mariadb_exec(db, reterr,
			"INSERT INTO diarchy.meta (name, value) VALUES "
			"('schema_version', '%d') ON "
			"DUPLICATE KEY UPDATE name=name",
			DIA_SCHEMA_VERSION);
	return rc;
}

static enum dia_rc check_version(MYSQL *db, struct dia_err *reterr)
{
	uint64_t version;
	enum dia_rc rc = dia_mariadb_query_one_u64(db, &version, reterr,
		"SELECT value FROM diarchy.meta WHERE name='schema_version'");

	if (rc != DIA_OK)
		return rc;
	if (version > DIA_SCHEMA_VERSION)
		return dia_err_set(reterr, DIA_E_STATE, 0,
			"the tables in schema `diarchy` are version %" PRIu64
			", this diarchy knows %d; run the newer diarchy that made them",
			version, DIA_SCHEMA_VERSION);
	return DIA_OK;
}

/* A backup restored in the wrong place brings the marks of another datacenter along. */
static enum dia_rc check_dc(
	MYSQL *db, const struct dia_config *config, struct dia_err *reterr)
{
	uint64_t id;
	enum dia_rc rc = dia_mariadb_query_one_u64(
		db, &id, reterr, "SELECT value FROM diarchy.meta WHERE name='dc_id'");

	if (rc == DIA_E_NOT_FOUND)
		return dia_mariadb_exec(db, reterr,
			"INSERT INTO diarchy.meta (name, value) VALUES ('dc_id', '%u') "
			"ON DUPLICATE KEY UPDATE name=name",
			config->dc.id.id);
	if (rc != DIA_OK)
		return rc;
	if (id != config->dc.id.id)
		return dia_err_set(reterr, DIA_E_STATE, 0,
			"this database is of the datacenter with id %" PRIu64
			" (diarchy.meta), the configuration says dc.id %u: was a backup "
			"of that datacenter restored here? %s",
			id, config->dc.id.id, DIA_SCHEMA_FOREIGN_REMEDY);
	return DIA_OK;
}

/* Sessions that are open keep their values; new ones get these. Without the privilege the
 * check says what to set. */
static enum dia_rc arrange_auto_increment(
	MYSQL *db, const struct dia_config *config, struct dia_err *reterr)
{
	uint64_t increment, offset;
	enum dia_rc rc = dia_mariadb_query_one_u64(
		db, &increment, reterr, "SELECT @@global.auto_increment_increment");

	if (rc == DIA_OK)
		rc = dia_mariadb_query_one_u64(
			db, &offset, reterr, "SELECT @@global.auto_increment_offset");
	if (rc != DIA_OK)
		return rc;
	/* A larger increment is somebody's plan for more datacenters: kept, check
	 * compares. */
	if (increment >= dia_server_increment(config) && offset == config->dc.id.id)
		return DIA_OK;
	if (increment < dia_server_increment(config))
		increment = dia_server_increment(config);
	if (dia_mariadb_exec(db, NULL,
		    "SET GLOBAL auto_increment_increment=%" PRIu64
		    ", GLOBAL auto_increment_offset=%u",
		    increment, config->dc.id.id) == DIA_OK)
		dia_log(DIA_LOG_INFO, "backend", "auto_increment_arranged",
			"increment=%" PRIu64 " offset=%u", increment, config->dc.id.id);
	return DIA_OK;
}

enum dia_rc dia_server_prepare(const struct dia_config *config, struct dia_err *reterr)
{
	uint64_t count = 0;
	MYSQL *db = NULL;
	enum dia_rc rc =
		dia_mariadb_connect(config, DIA_MARIADB_BOOKKEEPING, &db, reterr);

	if (rc != DIA_OK)
		return rc;
	rc = count_tables(db, &count, reterr);
	if (rc == DIA_OK && count < TABLE_COUNT)
		rc = create_tables(db, reterr);
	if (rc == DIA_OK)
		rc = check_version(db, reterr);
	if (rc == DIA_E_NOT_FOUND)
		rc = create_tables(db, reterr); /* the version row got lost */
	if (rc == DIA_OK)
		rc = check_dc(db, config, reterr);
	if (rc == DIA_OK)
		rc = arrange_auto_increment(db, config, reterr);
	mysql_close(db);
	if (rc != DIA_OK)
		return dia_err_wrap(reterr, rc,
			"preparing schema `diarchy` (see `diarchy check` for the "
			"privileges)");
	return DIA_OK;
}
