/* tests/unit/test_sql_guard.c - what the guard refuses, and what it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "parser/sql/guard.h"
#include "proxy/core/change.h"
#include "tests/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ANSI = DIA_SQL_ANSI_QUOTES,
	NOBS = DIA_SQL_NO_BACKSLASH_ESCAPES,
	MB = DIA_SQL_MULTIBYTE
};

struct row {
	const char *sql;
	uint32_t flags;
};

static const struct row refused[] = {
	/* sql_log_bin in every spelling */
	{"SET sql_log_bin=0", 0},
	{"set SQL_LOG_BIN = 0", 0},
	{"SET sql_log_bin=OFF", 0},
	{"SET sql_log_bin='OFF'", 0},
	{"SET sql_log_bin=FALSE", 0},
	{"SET sql_log_bin=@old", 0},
	{"SET sql_log_bin=@@global.sql_log_bin", 0},
	{"SET sql_log_bin=1-1", 0},
	{"SET sql_log_bin=(1)", 0},
	{"SET sql_log_bin=NOT 1", 0},
	{"SET sql_log_bin=-1", 0},
	{"SET sql_log_bin=?", 0},
	{"SET sql_log_bin=", 0},
	{"SET sql_log_bin:=0", 0},
	{"SET SESSION sql_log_bin=0", 0},
	{"SET LOCAL sql_log_bin=0", 0},
	{"SET GLOBAL sql_log_bin=0", 0},
	{"SET @@sql_log_bin=0", 0},
	{"SET @@session.sql_log_bin=0", 0},
	{"SET @@SESSION . sql_log_bin=0", 0},
	{"SET @@local.sql_log_bin=0", 0},
	{"SET @@global.sql_log_bin=0", 0},
	{"SET `sql_log_bin`=0", 0},
	{"SET @@`sql_log_bin`=0", 0},
	{"SET @@session.`SQL_log_bin`=0", 0},
	{"SET \"sql_log_bin\"=0", ANSI},
	{"  \n\t SET sql_log_bin=0", 0},
	{"/* x */ SET sql_log_bin=0", 0},
	{"-- x\nSET sql_log_bin=0", 0},
	{"--\nSET sql_log_bin=0", 0},
	{"# x\nSET sql_log_bin=0", 0},
	{"/*/ SELECT */ SET sql_log_bin=0", 0},
	{"SET/**/sql_log_bin/**/=/**/0", 0},
	{"SET\nsql_log_bin\n=\n0;", 0},
	{"SET -- x\n sql_log_bin # y\n =0", 0},
	/* in a list */
	{"SET a=1, sql_log_bin=0", 0},
	{"SET @x=1, @@session.sql_log_bin=0, b=2", 0},
	{"SET @x=f(1,2), SESSION sql_log_bin=0", 0},
	{"SET @x=(SELECT 1 FROM t WHERE a=',' LIMIT 1), sql_log_bin=0", 0},
	{"SET NAMES utf8mb4, sql_log_bin=0", 0},
	{"SET NAMES 'utf8' COLLATE 'x', sql_log_bin=0", 0},
	{"SET sql_log_bin=1, sql_log_bin=0", 0},
	{"SET sql_mode='', sql_log_bin=0", 0},
	{"SET autocommit=1, GLOBAL server_id=3516923904", 0},
	/* the other variables */
	{"SET binlog_format=STATEMENT", 0},
	{"SET binlog_format='MIXED'", 0},
	{"SET SESSION binlog_format=0", 0},
	{"SET GLOBAL binlog_format=DEFAULT", 0},
	{"SET @@global.binlog_format=DEFAULT", 0},
	{"SET GLOBAL binlog_format=mixed", 0},
	{"SET binlog_format=CONCAT('ST','ATEMENT')", 0},
	{"SET binlog_row_image=MINIMAL", 0},
	{"SET binlog_row_image='noblob'", 0},
	{"SET binlog_row_image=FULL_NODUP", 0},
	{"SET GLOBAL binlog_row_metadata=MINIMAL", 0},
	{"SET GLOBAL binlog_row_metadata=NO_LOG", 0},
	{"SET GLOBAL binlog_row_metadata=DEFAULT", 0},
	{"SET skip_replication=1", 0},
	{"SET @@skip_replication=ON", 0},
	{"SET gtid_domain_id=3516923904", 0},
	{"SET gtid_domain_id=3516923905", 0},
	{"SET gtid_domain_id=3516923967", 0},
	{"SET SESSION server_id=3516923967", 0},
	{"SET server_id=@x", 0},
	{"SET server_id=0xd1a00001", 0},
	{"SET server_id=1+1", 0},
	{"SET gtid_domain_id='3516923905'", 0},
	/* SET STATEMENT */
	{"SET STATEMENT sql_log_bin=0 FOR INSERT INTO t VALUES (1)", 0},
	{"SET STATEMENT max_statement_time=1, sql_log_bin=0 FOR DELETE FROM t", 0},
	{"SET STATEMENT max_statement_time=1 FOR SET sql_log_bin=0", 0},
	{"SET STATEMENT max_statement_time=1 FOR SET STATEMENT binlog_format=mixed FOR "
	 "SELECT 1",
		0},
	{"SET STATEMENT max_statement_time=1 FOR EXECUTE IMMEDIATE 'SET sql_log_bin=0'",
		0},
	/* XA, BINLOG */
	{"XA START 'x'", 0},
	{"xa begin 'x','y',1", 0},
	{"/* c */XA/**/START 'x' JOIN", 0},
	{"BINLOG 'abc'", 0},
	{"BINLOG \"abc\"", 0},
	{"BINLOG @a, @b", 0},
	/* RESET MASTER, gtid_binlog_state */
	{"RESET MASTER", 0},
	{"reset master;", 0},
	{"RESET MASTER TO 7", 0},
	{"RESET/**/MASTER", 0},
	{"RESET QUERY CACHE, MASTER", 0},
	{"RESET QUERY CACHE , MASTER TO 3", 0},
	{"RESET SLAVE 'a' ALL, MASTER", 0},
	{"RESET MASTER, SLAVE", 0},
	{"SELECT 1; RESET MASTER", 0},
	{"RESET QUERY CACHE; RESET MASTER", 0},
	{"/*!50000 RESET MASTER */", 0},
	{"RESET /*!MASTER */", 0},
	{"RESET QUERY CACHE /*M!100000 , MASTER */", 0},
	{"SET STATEMENT max_statement_time=1 FOR RESET MASTER", 0},
	{"EXECUTE IMMEDIATE 'RESET MASTER'", 0},
	{"PREPARE s FROM 'RESET MASTER'", 0},
	{"BEGIN NOT ATOMIC RESET MASTER; END", 0},
	{"CREATE PROCEDURE p() RESET MASTER", 0},
	{"CREATE PROCEDURE p() IF a THEN RESET MASTER; END IF", 0},
	{"SET GLOBAL gtid_binlog_state='0-1-5'", 0},
	{"SET GLOBAL gtid_binlog_state=''", 0},
	{"SET @@global.gtid_binlog_state=DEFAULT", 0},
	{"SET @x=1, GLOBAL gtid_binlog_state='0-1-5'", 0},
	/* several statements in one text */
	{"SELECT 1; SET sql_log_bin=0", 0},
	{"SELECT ';'; SET sql_log_bin=0", 0},
	{"SELECT 'it''s'; SET sql_log_bin=0", 0},
	{"SELECT 'it\\'s'; SET sql_log_bin=0", 0},
	{"SELECT 'a\\'; SET sql_log_bin=0; -- '", NOBS},
	{"SELECT `a;b`; SET sql_log_bin=0", 0},
	{"SELECT \"a\\\"; SET sql_log_bin=0; -- \"", ANSI},
	{"UPDATE t SET a=1; SET sql_log_bin=0; UPDATE t SET a=2", 0},
	{"INSERT INTO t SET a=1; XA START 'x'", 0},
	{"BEGIN; SET sql_log_bin=0", 0},
	{"SELECT 1;;SET sql_log_bin=0;;", 0},
	{"SELECT 1 -- ;\n; XA START 'q'", 0},
	{"SELECT 5--1; SET sql_log_bin=0", 0},
	{"SET sql_log_bin=1; SET sql_log_bin=0", 0},
	{"SHOW DIARCHY STATUS; SET sql_log_bin=0", 0},
	{"SET sql_mode='NO_BACKSLASH_ESCAPES'; SELECT 'a\\'; SET sql_log_bin=0; -- '", 0},
	{"SET sql_mode='ANSI_QUOTES'; SELECT \"a\\\"; SET sql_log_bin=0; -- \"", 0},
	/* executable comments */
	{"/*! SET sql_log_bin=0 */", 0},
	{"/*!SET sql_log_bin=0*/", 0},
	{"/*!40100 SET sql_log_bin=0 */", 0},
	{"/*M! SET sql_log_bin=0 */", 0},
	{"/*M!100100 SET sql_log_bin=0 */", 0},
	{"/*M!110200 SET sql_log_bin=0 */", 0},
	{"/*!101103 SET sql_log_bin=0 */", 0},
	{"SET /*! sql_log_bin */ = /*!40000 0 */", 0},
	{"SELECT 1 /*! ; SET sql_log_bin=0 */", 0},
	{"SELECT 1; /*!40101 SET sql_log_bin=0 */;", 0},
	{"/*!SET*/ sql_log_bin=0", 0},
	{"/*! SET sql_log_bin=0, default_storage_engine= */ begin", 0},
	{"/*!80000 ' */ SET sql_log_bin=0 /* ' */", 0},
	{"/*!101103 ' */ SET sql_log_bin=0 /* ' */", 0},
	{"/*!120000 ' */ /*!110000 SET sql_log_bin=0 */; SELECT 1 -- '", 0},
	{"/*!80000 /* in */ */ SET sql_log_bin=0", 0},
	{"/*! SET a=1, /* in */ sql_log_bin=0 */", 0},
	{"/*!40000 /*!40000 SET */ sql_log_bin=0", 0},
	{"/*M!SET*/ /*! sql_log_bin*/=0", 0},
	{"/*! SELECT 1; SELECT 2 */* ' */; SET sql_log_bin=0; -- '", 0},
	/* PREPARE, EXECUTE IMMEDIATE */
	{"EXECUTE IMMEDIATE 'SET sql_log_bin=0'", 0},
	{"EXECUTE IMMEDIATE \"SET sql_log_bin=0\"", 0},
	{"execute immediate N'SET sql_log_bin=0'", 0},
	{"EXECUTE IMMEDIATE _utf8mb4'SET sql_log_bin=0'", 0},
	{"EXECUTE IMMEDIATE 'SET sql_' 'log_bin=0'", 0},
	{"EXECUTE IMMEDIATE 'SET sql_log_bin=\\'OFF\\''", 0},
	{"EXECUTE IMMEDIATE 'SET sql_log_bin=''OFF'''", 0},
	{"EXECUTE IMMEDIATE 'SET\\nsql_log_bin=0'", 0},
	{"EXECUTE IMMEDIATE 'S\\ET sql_log_bin=0'", 0},
	{"EXECUTE IMMEDIATE 'EXECUTE IMMEDIATE ''SET sql_log_bin=0'''", 0},
	{"PREPARE s FROM 'SET sql_log_bin=0'", 0},
	{"PREPARE `s` FROM 'XA START ''x'''", 0},
	{"SELECT 1; PREPARE s FROM 'SET binlog_format=mixed'", 0},
	/* compound statements and routines */
	{"BEGIN NOT ATOMIC SET sql_log_bin=0; END", 0},
	{"BEGIN NOT ATOMIC XA START 'x'; END", 0},
	{"BEGIN NOT ATOMIC UPDATE t SET a=1; SET sql_log_bin=0; END", 0},
	{"IF 1 THEN SET sql_log_bin=0; END IF", 0},
	{"IF a THEN SELECT 1; ELSE SET sql_log_bin=0; END IF", 0},
	{"WHILE 1 DO SET sql_log_bin=0; END WHILE", 0},
	{"LOOP SET sql_log_bin=0; END LOOP", 0},
	{"REPEAT XA START 'x'; UNTIL 1 END REPEAT", 0},
	{"l: LOOP SET sql_log_bin=0; END LOOP", 0},
	{"CASE 1 WHEN 1 THEN SET sql_log_bin=0; END CASE", 0},
	{"BEGIN sql_log_bin := 0; END", 0},
	{"CREATE PROCEDURE p() XA START 'x'", 0},
	{"CREATE PROCEDURE p() BEGIN XA START 'x'; END", 0},
	{"CREATE DEFINER=`a`@`b` PROCEDURE p(a SET('x'), b CHAR(3) CHARACTER SET utf8) "
	 "COMMENT 'c' SQL SECURITY INVOKER SET sql_log_bin=0",
		0},
	{"CREATE OR REPLACE PROCEDURE p() SET @@session.sql_log_bin=0", 0},
	{"CREATE FUNCTION f() RETURNS INT BEGIN SET sql_log_bin=0; RETURN 1; END", 0},
	{"CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW SET sql_log_bin=0", 0},
	{"CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW FOLLOWS h SET sql_log_bin=0",
		0},
	{"CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW BEGIN UPDATE x SET a=1; SET "
	 "NEW.a=1, "
	 "sql_log_bin=0; END",
		0},
	{"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SET sql_log_bin=0", 0},
	{"ALTER EVENT e DO XA START 'x'", 0},
	{"CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SET "
	 "sql_log_bin=0; END",
		0},
	{"CREATE PROCEDURE p() BEGIN PREPARE s FROM 'XA START ''x'''; EXECUTE s; END", 0},
	{"CREATE PROCEDURE p() EXECUTE IMMEDIATE 'SET sql_log_bin=0'", 0},
	{"/*!50003 CREATE*/ /*!50020 DEFINER=`r`@`h`*/ /*!50003 TRIGGER g BEFORE INSERT "
	 "ON t FOR EACH "
	 "ROW BEGIN SET @a=1; XA START 'x'; END */",
		0},
	/* multibyte sets: 0xbf5c is one character of gbk */
	{"SELECT '\xbf\\'; SET sql_log_bin=0; -- '", 0},
	{"SELECT '\xbf\\'; SET sql_log_bin=0; -- '", MB},
	{"SELECT `\xbf`; SELECT 1`; SET sql_log_bin=0", MB},
};

static const struct row passed[] = {
	{"", 0},
	{";", 0},
	{"   ", 0},
	{"-- nothing", 0},
	{"/* a */ /* b */ SELECT 1 /* c */", 0},
	{"/*/ SELECT */ SELECT 1", 0},
	{"/* nothing */", 0},
	{"SELECT 1", 0},
	{"SELECT @@sql_log_bin", 0},
	{"SELECT @@session.sql_log_bin, @@binlog_format", 0},
	{"SHOW VARIABLES LIKE 'sql_log_bin'", 0},
	{"SHOW SESSION VARIABLES WHERE variable_name='sql_log_bin'", 0},
	{"UPDATE t SET sql_log_bin=0", 0},
	{"UPDATE t SET a=1, sql_log_bin=0 WHERE b=2", 0},
	{"UPDATE t SET sql_log_bin:=0; SELECT 1", 0},
	{"UPDATE t SET a = CASE WHEN 1 THEN 2 ELSE 3 END, sql_log_bin=0; SELECT 1", 0},
	{"UPDATE begin SET sql_log_bin=0; SELECT 1", 0},
	{"UPDATE t x, u SET x.server_id=3516923904; COMMIT", 0},
	{"INSERT INTO t SET sql_log_bin=0", 0},
	{"INSERT INTO t SET sql_log_bin=0; COMMIT", 0},
	{"REPLACE INTO t SET sql_log_bin=0; COMMIT", 0},
	{"INSERT INTO t (sql_log_bin) VALUES (0) ON DUPLICATE KEY UPDATE sql_log_bin=0; "
	 "COMMIT",
		0},
	{"LOAD DATA LOCAL INFILE 'x' INTO TABLE t (a) SET sql_log_bin=0; COMMIT", 0},
	{"EXPLAIN UPDATE t SET sql_log_bin=0", 0},
	{"ANALYZE UPDATE t SET sql_log_bin=0", 0},
	{"SELECT 'SET sql_log_bin=0'", 0},
	{"SELECT '; SET sql_log_bin=0'", 0},
	{"SELECT 'a''; SET sql_log_bin=0'", 0},
	{"SELECT 'a\\'; SET sql_log_bin=0'", 0},
	{"SELECT \"; SET sql_log_bin=0\"", 0},
	{"SELECT `; SET sql_log_bin=0` FROM t", 0},
	{"SELECT 1 /* ; SET sql_log_bin=0 */", 0},
	{"SELECT 1 -- ; SET sql_log_bin=0", 0},
	{"SELECT 1 # ; SET sql_log_bin=0", 0},
	{"SELECT 1; -- SET sql_log_bin=0", 0},
	{"SELECT 1; /* SET sql_log_bin=0 */ SELECT 2", 0},
	{"/*!80000 SET sql_log_bin=0 */", 0},
	{"/*!50700 SET sql_log_bin=0 */ SELECT 1", 0},
	{"/*!110000 ' */ /*!120000 SET sql_log_bin=0 */ SELECT 1 /*! ' */", 0},
	{"/*!99999 /* in */ SET sql_log_bin=0 */ SELECT 1", 0},
	{"CREATE TABLE t (sql_log_bin INT, a SET('x','y') DEFAULT 'x')", 0},
	{"CREATE TABLE t (a INT, CHECK (server_id = 5)) DEFAULT CHARACTER SET = utf8mb4",
		0},
	{"CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p(a) ON DELETE SET NULL, "
	 "CHECK (server_id = 5))",
		0},
	{"ALTER TABLE t ALTER sql_log_bin SET DEFAULT 0, ALGORITHM=INPLACE", 0},
	{"CREATE TABLE `procedure` (a SET('x') AS (server_id = 5))", 0},
	{"CREATE PROCEDURE p(a SET('x')) UPDATE t SET sql_log_bin=a", 0},
	{"CREATE PROCEDURE p() BEGIN UPDATE t SET sql_log_bin=0; END", 0},
	{"CREATE OR REPLACE PROCEDURE p() REPLACE INTO t SET sql_log_bin=0", 0},
	{"CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW UPDATE x SET sql_log_bin=0",
		0},
	{"CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.sql_log_bin=0", 0},
	{"CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a=1, "
	 "NEW.server_id=3516923904; "
	 "END",
		0},
	{"CREATE FUNCTION xa() RETURNS SET('a') RETURN 'a'", 0},
	{"CREATE VIEW v AS SELECT xa begin FROM t", 0},
	{"CREATE DATABASE d CHARACTER SET utf8mb4", 0},
	{"SET sql_log_bin=1", 0},
	{"SET sql_log_bin=ON", 0},
	{"SET @@session.sql_log_bin='on'", 0},
	{"SET SESSION sql_log_bin=TRUE", 0},
	{"SET sql_log_bin=DEFAULT", 0},
	{"SET @sql_log_bin=0", 0},
	{"SET @`sql_log_bin`=0", 0},
	{"SET @a=@@sql_log_bin", 0},
	{"SET binlog_format=ROW", 0},
	{"SET binlog_format='row'", 0},
	{"SET SESSION binlog_format=2", 0},
	{"SET binlog_format=DEFAULT", 0},
	{"SET binlog_row_image=FULL", 0},
	{"SET GLOBAL binlog_row_metadata='FULL'", 0},
	{"SET skip_replication=0", 0},
	{"SET gtid_domain_id=1, server_id=7", 0},
	{"SET gtid_domain_id=3516923903", 0},
	{"SET gtid_domain_id=3516923968", 0},
	{"SET server_id=99999999999999999999999999", 0},
	{"SET gtid_domain_id=DEFAULT", 0},
	{"SET NAMES utf8mb4", 0},
	{"SET NAMES 'utf8' COLLATE 'utf8_bin'", 0},
	{"SET CHARACTER SET utf8", 0},
	{"SET PASSWORD FOR 'a'@'b' = PASSWORD('x')", 0},
	{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", 0},
	{"SET SESSION TRANSACTION READ ONLY", 0},
	{"SET ROLE r", 0},
	{"SET autocommit=0, sql_mode='STRICT_TRANS_TABLES', @a=1", 0},
	{"SET STATEMENT max_statement_time=1 FOR UPDATE t SET sql_log_bin=0", 0},
	{"SET STATEMENT sort_buffer_size=1 FOR SELECT 1", 0},
	{"SET sql_mode='ANSI'; SELECT 1", 0},
	{"XA RECOVER", 0},
	{"XA COMMIT 'x'", 0},
	{"XA ROLLBACK 'x'", 0},
	{"RESET QUERY CACHE", 0},
	{"RESET SLAVE", 0},
	{"RESET SLAVE 'master' ALL, QUERY CACHE", 0},
	{"RESET SLAVE ALL", 0},
	{"SELECT 'RESET MASTER'", 0},
	{"SELECT reset, master FROM t; SELECT 1", 0},
	{"UPDATE t SET reset=1, master=2; SELECT 1", 0},
	{"CREATE TABLE reset (master INT)", 0},
	{"PURGE BINARY LOGS TO 'binlog.000002'", 0},
	{"PURGE MASTER LOGS BEFORE NOW()", 0},
	{"SHOW MASTER STATUS", 0},
	{"SET GLOBAL gtid_slave_pos='0-1-5'", 0},
	{"SELECT @@gtid_binlog_state; SELECT 1", 0},
	{"SELECT xa FROM t; SELECT start FROM t", 0},
	{"SELECT binlog FROM t", 0},
	{"SHOW BINLOG EVENTS", 0},
	{"EXECUTE IMMEDIATE 'SELECT 1'", 0},
	{"EXECUTE IMMEDIATE 'SELECT ''SET sql_log_bin=0'''", 0},
	{"EXECUTE IMMEDIATE @s", 0},
	{"EXECUTE IMMEDIATE CONCAT('a','b')", 0},
	{"EXECUTE s USING @a", 0},
	{"EXECUTE IMMEDIATE 'UPDATE t SET sql_log_bin=0'", 0},
	{"PREPARE s FROM 'INSERT INTO t VALUES (?)'", 0},
	{"PREPARE s FROM @sql", 0},
	{"DEALLOCATE PREPARE s", 0},
	{"CALL sql_log_bin(0)", 0},
	{"BEGIN NOT ATOMIC UPDATE t SET sql_log_bin=0; END", 0},
	{"IF 1 THEN UPDATE t SET sql_log_bin=0; END IF", 0},
	{"SHOW DIARCHY", 0},
	{"SHOW DIARCHY NONSENSE", 0},
	{"SHOW DIARCHY STATUS x", 0},
	{"SHOW DIARCHY STATUS; SELECT 1", 0},
	{"SELECT 1; SHOW DIARCHY STATUS", 0},
	{"SHOW `DIARCHY` STATUS", 0},
	{"SHOW TABLES", 0},
	/* not finished: the server refuses these itself */
	{"SELECT '; SET sql_log_bin=0", 0},
	{"SELECT 1 /* ; SET sql_log_bin=0", 0},
	{"SELECT \"\\\"; SET sql_log_bin=0\"", 0},
	{"SELECT '\xe5\x90\x8d'", 0},
	{"INSERT INTO `\xe5\x90\x8d\xe5\xad\x97` VALUES ('\xe5\x90\x8d\\n'); COMMIT", 0},
};

static struct dia_guard_verdict guarded(struct dia_slice sql, uint32_t flags)
{
	struct dia_guard g = dia_guard_make(sql);
	struct dia_guard_verdict v = dia_sql_guard(g.input, flags);

	dia_guard_free(&g);
	return v;
}

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct dia_guard_verdict v =
			guarded(dia_slice_str(refused[i].sql), refused[i].flags);

		if (v.kind != DIA_GUARD_REFUSE)
			fail_msg("not refused: %s", refused[i].sql);
		assert_int_not_equal(v.error, 0);
		assert_int_equal(strlen(v.sqlstate), 5);
		assert_non_null(strstr(v.message, "diarchy: "));
		assert_non_null(strstr(v.message, ";")); /* reason; remedy */
	}
}

static void test_passed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		struct dia_guard_verdict v =
			guarded(dia_slice_str(passed[i].sql), passed[i].flags);

		if (v.kind != DIA_GUARD_PASS)
			fail_msg("not passed: %s (%s)", passed[i].sql, v.message);
	}
}

/* What may stand before and behind without changing the answer. */
static void test_surroundings(void **state)
{
	static const char *const before[] = {" ", "\n", "/* c */", "-- c\n", "# c\n",
		"/**/ /***/", "/*!99999 x */", "SELECT 1;", "SELECT 'a;b';", ";",
		"/*M!999999\\- enable */\n"};
	static const char *const behind[] = {
		";", " ; \n", " -- c", " # c", "/* c */", "; SELECT 1", "\n--\n;"};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
			(void)snprintf(
				text, sizeof(text), "%s%s", before[b], refused[i].sql);
			if (guarded(dia_slice_str(text), refused[i].flags).kind !=
				DIA_GUARD_REFUSE)
				fail_msg("not refused: %s", text);
		}
		for (size_t b = 0; b < sizeof(behind) / sizeof(behind[0]); b++) {
			(void)snprintf(
				text, sizeof(text), "%s%s", refused[i].sql, behind[b]);
			if (guarded(dia_slice_str(text), refused[i].flags).kind !=
				DIA_GUARD_REFUSE)
				fail_msg("not refused: %s", text);
		}
	}
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++) {
			(void)snprintf(
				text, sizeof(text), "%s%s", before[b], passed[i].sql);
			/* A comment before SHOW DIARCHY does not matter; a statement
			 * does. */
			if (guarded(dia_slice_str(text), passed[i].flags).kind !=
				DIA_GUARD_PASS)
				fail_msg("not passed: %s", text);
		}
}

static void test_every_prefix(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags < 8; flags++) {
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			for (size_t n = 0; n <= strlen(refused[i].sql); n++)
				(void)guarded(dia_slice_of(refused[i].sql, n), flags);
		for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
			for (size_t n = 0; n <= strlen(passed[i].sql); n++)
				(void)guarded(dia_slice_of(passed[i].sql, n), flags);
	}
}

static void test_show_diarchy(void **state)
{
	static const struct {
		const char *sql;
		enum dia_guard_kind kind;
	} rows[] = {
		{"SHOW DIARCHY STATUS", DIA_GUARD_SHOW_STATUS},
		{"show diarchy status;", DIA_GUARD_SHOW_STATUS},
		{"  Show /* a */ Diarchy\n-- b\nStatus ; ; ", DIA_GUARD_SHOW_STATUS},
		{"/* app */ SHOW DIARCHY CONFLICTS", DIA_GUARD_SHOW_CONFLICTS},
		{"SHOW DIARCHY CONFLICTS -- x", DIA_GUARD_SHOW_CONFLICTS},
		{"SHOW DIARCHY POLICIES/**/;", DIA_GUARD_SHOW_POLICIES},
		{"# x\nSHOW DIARCHY POLICIES;;", DIA_GUARD_SHOW_POLICIES},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			guarded(dia_slice_str(rows[i].sql), 0).kind, rows[i].kind);
}

/* The lexer library knows the reserved ids by value only. */
static void test_reserved_range_is_the_core_s(void **state)
{
	char text[64];

	(void)state;
	for (int64_t i = -2; i <= DIA_DC_MAX + 2; i++) {
		struct dia_gtid g = {.domain = (uint32_t)(DIA_RESERVED_ID_BASE + i)};

		(void)snprintf(text, sizeof(text), "SET gtid_domain_id=%u", g.domain);
		assert_int_equal(guarded(dia_slice_str(text), 0).kind,
			dia_gtid_is_reserved(g) ? DIA_GUARD_REFUSE : DIA_GUARD_PASS);
	}
}

static void test_long_literals(void **state)
{
	size_t len = 1 << 20;
	char *text = malloc(len + 100);
	int n = sprintf(text, "EXECUTE IMMEDIATE 'SELECT \\'");

	(void)state;
	memset(text + n, 'x', len);
	(void)strcpy(text + n + len, "\\'; SET sql_log_bin=0'");
	assert_int_equal(dia_sql_guard(dia_slice_str(text), 0).kind, DIA_GUARD_REFUSE);
	(void)strcpy(text + n + len, "\\'; SET sql_log_bin=1'");
	assert_int_equal(dia_sql_guard(dia_slice_str(text), 0).kind, DIA_GUARD_PASS);
	free(text);
}

/* Dynamic SQL in dynamic SQL stays bounded and is refused when too deep to see. */
static void test_nested_literals(void **state)
{
	static char a[1 << 16], b[1 << 17];

	(void)state;
	(void)strcpy(a, "SELECT 1");
	for (int depth = 0; depth < 9; depth++) {
		size_t n = (size_t)sprintf(b, "EXECUTE IMMEDIATE '");

		for (const char *p = a; *p != 0; p++) {
			if (*p == '\'')
				b[n++] = '\'';
			b[n++] = *p;
		}
		b[n++] = '\'';
		b[n] = 0;
		(void)strcpy(a, b);
		assert_int_equal(dia_sql_guard(dia_slice_str(a), 0).kind,
			depth < 4 ? DIA_GUARD_PASS : DIA_GUARD_REFUSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_show_diarchy),
		cmocka_unit_test(test_reserved_range_is_the_core_s),
		cmocka_unit_test(test_long_literals),
		cmocka_unit_test(test_nested_literals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
