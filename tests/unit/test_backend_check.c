/* tests/unit/test_backend_check.c - grants, versions, error classes and the report,
 * without a server; with one: tests/e2e/test_check.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/backend/backend.h"
#include "proxy/backend/check_int.h"
#include "proxy/backend/schema.h"

#include <jansson.h>
#include <mysqld_error.h>
#include <errmsg.h>
#include <stdlib.h>

#define BIT(g) DIA_GRANT_BIT(DIA_GRANT_##g)

static void test_grant_lines(void **state)
{
	struct dia_grants *g = calloc(1, sizeof(*g));
	char text[512];

	(void)state;
	dia_grants_add_line(g, "GRANT `role` TO `d`@`%`");
	dia_grants_add_line(
		g, "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION");
	dia_grants_add_line(g, "GRANT SELECT, INSERT (`a`) ON `shop`.`t` TO `d`@`%`");
	dia_grants_add_line(g, "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `d`@`%`");
	dia_grants_add_line(
		g, "GRANT USAGE ON *.* TO `d`@`%` IDENTIFIED BY PASSWORD '*84'");
	dia_grants_add_line(g, "SET DEFAULT ROLE `rr` FOR `d`@`%`");
	dia_grants_add_line(g, "");
	assert_int_equal(g->global, 0);
	assert_int_equal(g->db_count, 0);

	dia_grants_add_line(
		g, "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `d`@`%`");
	assert_int_equal(g->global, BIT(REPLICATION_SLAVE) | BIT(BINLOG_MONITOR));
	dia_grants_add_line(g, "GRANT SELECT, CREATE VIEW ON `my\\_shop`.* TO `d`@`%` "
			       "WITH GRANT OPTION");
	dia_grants_add_line(g, "GRANT DROP ON `a``b`.* TO `d`@`%`");
	dia_grants_add_line(g, "GRANT ALL PRIVILEGES ON `x%`.* TO `d`@`%`");
	assert_int_equal(g->db_count, 3);
	assert_int_equal(dia_grants_missing(g, "my_shop",
				 BIT(SELECT) | BIT(CREATE_VIEW) | BIT(GRANT_OPTION)),
		0);
	assert_int_equal(
		dia_grants_missing(g, "my_shop", BIT(SELECT) | BIT(CREATE)), BIT(CREATE));
	assert_int_equal(dia_grants_missing(g, "myXshop", BIT(SELECT)), BIT(SELECT));
	assert_int_equal(dia_grants_missing(g, NULL, BIT(SELECT)), BIT(SELECT));
	assert_int_equal(dia_grants_missing(g, "a`b", BIT(DROP)), 0);
	assert_int_equal(dia_grants_missing(g, "xyz", BIT(EVENT) | BIT(SELECT)), 0);
	assert_int_equal(
		dia_grants_missing(g, "x", BIT(GRANT_OPTION)), BIT(GRANT_OPTION));
	assert_int_equal(dia_grants_missing(g, "yx", BIT(EVENT)), BIT(EVENT));
	dia_grants_add_line(g, "GRANT DROP ON `q_r`.* TO `d`@`%`");
	assert_int_equal(dia_grants_missing(g, "qxr", BIT(DROP)), 0);
	assert_int_equal(dia_grants_missing(g, "qr", BIT(DROP)), BIT(DROP));
	assert_int_equal(dia_grants_missing(g, "q_rs", BIT(DROP)), BIT(DROP));

	assert_string_equal(dia_grants_text(BIT(SELECT) | BIT(SUPER), text, sizeof(text)),
		"SELECT, SUPER");
	assert_string_equal(dia_grants_text(0, text, sizeof(text)), "");
	assert_int_equal(strlen(dia_grants_text(UINT64_MAX, text, 10)), 9);
	free(g);
}

static void test_super_by_version(void **state)
{
	struct dia_grants *g = calloc(1, sizeof(*g));

	(void)state;
	dia_grants_imply_super(g, 100600);
	assert_int_equal(g->global, 0);
	g->global = BIT(SUPER);
	dia_grants_imply_super(g, 110002);
	assert_int_equal(g->global, BIT(SUPER));
	dia_grants_imply_super(g, 101119);
	assert_int_equal(
		dia_grants_missing(g, NULL, BIT(BINLOG_REPLAY) | BIT(SET_USER)), 0);
	assert_int_not_equal(dia_grants_missing(g, NULL, BIT(READ_ONLY_ADMIN)), 0);
	assert_int_not_equal(dia_grants_missing(g, NULL, BIT(REPLICATION_SLAVE)), 0);
	dia_grants_imply_super(g, 100612);
	assert_int_equal(dia_grants_missing(g, NULL, BIT(READ_ONLY_ADMIN)), 0);
	free(g);
}

/* SHOW GRANTS comes from the server, but a line of any form must do no harm. */
static void test_odd_grant_lines(void **state)
{
	static const char line[] =
		"GRANT SELECT, ALL PRIVILEGES, X ON `a``b\\_`.* TO `d`@`%` "
		"WITH GRANT OPTION";
	struct dia_grants *g = calloc(1, sizeof(*g));
	char *copy, *longer = malloc(2000);

	(void)state;
	for (size_t n = 0; n < sizeof(line); n++) {
		copy = strndup(line, n);
		dia_grants_add_line(g, copy);
		free(copy);
	}
	memset(longer, 'x', 2000);
	memcpy(longer, "GRANT SELECT ON `", 17);
	(void)strcpy(longer + 1990, "`.* TO d");
	g->db_count = 0;
	dia_grants_add_line(g, longer);
	assert_int_equal(g->db_count, 0);
	free(longer);
	for (int i = 0; i < DIA_GRANT_DBS_MAX + 5; i++)
		dia_grants_add_line(g, "GRANT SELECT ON `a`.* TO `d`@`%`");
	assert_int_equal(g->db_count, DIA_GRANT_DBS_MAX);
	free(g);
}

static void test_versions(void **state)
{
	(void)state;
	assert_int_equal(
		dia_check_version_number("10.11.19-MariaDB-0+deb12u1-log"), 101119);
	assert_int_equal(dia_check_version_number("5.5.5-10.6.4-MariaDB"), 100604);
	assert_int_equal(dia_check_version_number("11.4.2-MariaDB"), 110402);
	assert_int_equal(dia_check_version_number("8.0.36"), 0);
	assert_int_equal(dia_check_version_number("MariaDB"), 0);
	assert_int_equal(dia_check_version_number("10.MariaDB"), 0);
	assert_int_equal(dia_check_version_number("10.999.1-MariaDB"), 0);
}

static void test_error_classes(void **state)
{
	(void)state;
	assert_int_equal(dia_mariadb_classify(0), DIA_OK);
	assert_int_equal(dia_mariadb_classify(ER_LOCK_DEADLOCK), DIA_E_DB_RETRY);
	assert_int_equal(dia_mariadb_classify(ER_LOCK_WAIT_TIMEOUT), DIA_E_DB_RETRY);
	assert_int_equal(dia_mariadb_classify(ER_CHECKREAD), DIA_E_DB_RETRY);
	assert_int_equal(dia_mariadb_classify(CR_SERVER_LOST), DIA_E_DB_GONE);
	assert_int_equal(dia_mariadb_classify(CR_SERVER_GONE_ERROR), DIA_E_DB_GONE);
	assert_int_equal(dia_mariadb_classify(ER_CONNECTION_KILLED), DIA_E_DB_GONE);
	assert_int_equal(dia_mariadb_classify(ER_SERVER_SHUTDOWN), DIA_E_DB_GONE);
	assert_int_equal(dia_mariadb_classify(ER_ACCESS_DENIED_ERROR), DIA_E_AUTH);
	assert_int_equal(dia_mariadb_classify(ER_DUP_ENTRY), DIA_E_DB);
	assert_int_equal(dia_mariadb_classify(ER_KEY_NOT_FOUND), DIA_E_DB);
}

static void test_report(void **state)
{
	struct dia_findings f = {0};
	struct dia_buf out = {0};
	json_t *root, *list;
	const char *fatal, *warn;

	(void)state;
	dia_findings_add(&f, DIA_INFO, "note", "a note", "");
	assert_false(dia_findings_fatal(&f));
	dia_findings_print(&f, &out);
	(void)dia_buf_add_u8(&out, 0);
	assert_non_null(
		strstr((char *)out.data, "good: nothing fatal, 0 warnings, 1 notes"));
	dia_buf_reset(&out);

	for (int i = 0; i < 100; i++)
		dia_findings_add(
			&f, DIA_WARN, "w", dia_findings_text(&f, "number %d", i), "do");
	dia_findings_add(&f, DIA_FATAL, "bad", "worse \"quoted\" \xff", "stop");
	assert_true(dia_findings_fatal(&f));
	assert_false(f.failed);
	dia_findings_print(&f, &out);
	(void)dia_buf_add_u8(&out, 0);
	fatal = strstr((char *)out.data, "fatal  bad: worse");
	warn = strstr((char *)out.data, "warn   w: number 0");
	assert_true(fatal != NULL && warn != NULL && fatal < warn); /* the worst first */
	assert_non_null(strstr(fatal, "remedy: stop"));
	dia_buf_reset(&out);

	assert_int_equal(dia_findings_json(&f, &out), DIA_OK);
	root = json_loadb((char *)out.data, out.len, 0, NULL);
	assert_non_null(root);
	assert_false(json_boolean_value(json_object_get(root, "ok")));
	assert_int_equal(json_integer_value(json_object_get(root, "warn")), 100);
	list = json_object_get(root, "findings");
	assert_int_equal(json_array_size(list), 102);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(list, 1), "what")),
		"number 0");
	json_decref(root);
	dia_buf_fini(&out);
	dia_findings_fini(&f);
	assert_int_equal(f.count, 0);
}

static void test_increment(void **state)
{
	struct dia_config_peer peers[2] = {{.dc = {2}}, {.dc = {5}}};
	struct dia_config config = {.dc = {.id = {1}}};

	(void)state;
	assert_int_equal(dia_server_increment(&config), 2);
	config.peer.dcs = peers;
	config.peer.dc_count = 1;
	assert_int_equal(dia_server_increment(&config), 2);
	config.peer.dc_count = 2;
	assert_int_equal(dia_server_increment(&config), 5);
	config.dc.id.id = 7;
	assert_int_equal(dia_server_increment(&config), 7);
}

/* Nobody listens on port 1: the error must say where, who and what to do. */
static void test_nobody_there(void **state)
{
	struct dia_config config = {
		.database = {
			.host = "127.0.0.1", .port = 1, .user = "d", .password = ""}};
	struct dia_findings f = {0};
	struct dia_err err = {.rc = DIA_OK};
	MYSQL *db;

	(void)state;
	assert_int_equal(dia_mariadb_connect(&config, 0, &db, &err), DIA_E_DB_GONE);
	assert_null(db);
	assert_non_null(strstr(err.text, "database at 127.0.0.1:1 as account 'd'"));
	assert_non_null(strstr(err.text, "check that the server runs"));
	config.database.socket = "/nonexistent.sock";
	assert_int_equal(dia_mariadb_connect(&config, 0, &db, &err), DIA_E_DB_GONE);
	assert_non_null(strstr(err.text, "database at /nonexistent.sock as"));
	assert_int_equal(dia_backend_mariadb.check(&config, &f, &err), DIA_OK);
	assert_true(dia_findings_fatal(&f));
	assert_string_equal(f.at[0].id, "connect");
	dia_findings_fini(&f);
	assert_int_equal(dia_backend_mariadb.prepare(&config, &err), DIA_E_DB_GONE);
	mysql_library_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grant_lines),
		cmocka_unit_test(test_super_by_version),
		cmocka_unit_test(test_odd_grant_lines),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_error_classes),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_increment),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
