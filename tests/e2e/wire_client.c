/*
 * tests/e2e/wire_client.c - what libmariadb can do over the wire, printed:
 *
 *   wire_client HOST PORT USER PASSWORD [SCENARIO]
 *
 * Each scenario makes its own tables in schema `wire` and prints everything it sees,
 * errors included. test_relay.py runs it against the database and through the relay; what
 * it prints must be the same. Scenarios are told apart by lines "== name".
 */
#include <mysql.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	const char *host, *user, *password;
	unsigned port;
} to;

static MYSQL *dial(unsigned long flags)
{
	MYSQL *m = mysql_init(NULL);
	unsigned on = 1;

	mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &on);
	if (mysql_real_connect(m, to.host, to.user, to.password, "wire", to.port, NULL,
		    flags) == NULL) {
		printf("connect: %u %s\n", mysql_errno(m), mysql_error(m));
		exit(1);
	}
	return m;
}

static void say_error(MYSQL *m)
{
	printf("error %u (%s) %s\n", mysql_errno(m), mysql_sqlstate(m), mysql_error(m));
}

/* Order-dependent sum of a value, for those too long to print. */
static void print_value(const char *data, unsigned long len)
{
	uint32_t sum = 1;

	if (data == NULL) {
		printf(" NULL");
		return;
	}
	if (len <= 60) {
		printf(" '%.*s'", (int)len, data);
		return;
	}
	for (unsigned long i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char)data[i];
	printf(" <%lu bytes, %08x>", len, sum);
}

/* Without "the query was slow" (0x800), which is no matter of the wire. */
static unsigned status_of(const MYSQL *m)
{
	return m->server_status & ~0x800U;
}

/* All results of the command just sent. */
static void print_results(MYSQL *m)
{
	int more;

	do {
		MYSQL_RES *res = mysql_use_result(m);
		MYSQL_ROW row;

		if (res == NULL) {
			if (mysql_errno(m) != 0) {
				say_error(m);
				return;
			}
			printf("ok affected=%llu id=%llu warnings=%u status=%x info=%s\n",
				(unsigned long long)mysql_affected_rows(m),
				(unsigned long long)mysql_insert_id(m),
				mysql_warning_count(m), m->server_status,
				mysql_info(m) != NULL ? mysql_info(m) : "-");
		} else {
			unsigned n = mysql_num_fields(res);
			MYSQL_FIELD *f = mysql_fetch_fields(res);

			printf("columns");
			for (unsigned i = 0; i < n; i++)
				printf(" %s.%s:%d:%u:%lu", f[i].table, f[i].name,
					(int)f[i].type, f[i].charsetnr, f[i].length);
			printf("\n");
			while ((row = mysql_fetch_row(res)) != NULL) {
				unsigned long *len = mysql_fetch_lengths(res);

				for (unsigned i = 0; i < n; i++)
					print_value(row[i], len[i]);
				printf("\n");
			}
			if (mysql_errno(m) != 0)
				say_error(m);
			printf("end status=%x\n", status_of(m));
			mysql_free_result(res);
		}
		more = mysql_next_result(m);
	} while (more == 0);
	if (more > 0)
		say_error(m);
}

static void query(MYSQL *m, const char *sql)
{
	printf("> %.70s\n", sql);
	if (mysql_real_query(m, sql, strlen(sql)) != 0)
		say_error(m);
	else
		print_results(m);
}

/* ---- prepared statements ---------------------------------------------------------- */

enum { VALUE_MAX = 256, COLUMNS_MAX = 16 };

static struct {
	char data[COLUMNS_MAX][VALUE_MAX];
	unsigned long len[COLUMNS_MAX];
	my_bool null[COLUMNS_MAX];
} got;

static void bind_texts(MYSQL_STMT *st, unsigned n)
{
	MYSQL_BIND bind[COLUMNS_MAX];

	memset(bind, 0, sizeof(bind));
	for (unsigned i = 0; i < n && i < COLUMNS_MAX; i++) {
		bind[i].buffer_type = MYSQL_TYPE_STRING;
		bind[i].buffer = got.data[i];
		bind[i].buffer_length = VALUE_MAX;
		bind[i].length = &got.len[i];
		bind[i].is_null = &got.null[i];
	}
	if (mysql_stmt_bind_result(st, bind) != 0)
		printf("bind: %u %s\n", mysql_stmt_errno(st), mysql_stmt_error(st));
}

static void say_stmt_error(MYSQL_STMT *st)
{
	printf("stmt error %u (%s) %s\n", mysql_stmt_errno(st), mysql_stmt_sqlstate(st),
		mysql_stmt_error(st));
}

static void print_stmt_results(MYSQL_STMT *st, MYSQL *m)
{
	int more;

	do {
		unsigned n = mysql_stmt_field_count(st);
		int rc = 0;

		if (n == 0) {
			printf("ok affected=%llu id=%llu\n",
				(unsigned long long)mysql_stmt_affected_rows(st),
				(unsigned long long)mysql_stmt_insert_id(st));
		} else {
			bind_texts(st, n);
			while ((rc = mysql_stmt_fetch(st)) == 0 ||
				rc == MYSQL_DATA_TRUNCATED) {
				for (unsigned i = 0; i < n && i < COLUMNS_MAX; i++)
					print_value(got.null[i] ? NULL : got.data[i],
						got.len[i] < VALUE_MAX ? got.len[i]
								       : VALUE_MAX);
				printf("\n");
			}
			if (rc == 1)
				say_stmt_error(st);
			printf("end status=%x\n", status_of(m));
			mysql_stmt_free_result(st);
		}
		more = mysql_stmt_next_result(st);
	} while (more == 0);
	if (more > 0)
		say_stmt_error(st);
}

static MYSQL_STMT *prepare(MYSQL *m, const char *sql)
{
	MYSQL_STMT *st = mysql_stmt_init(m);

	printf("prepare %.70s\n", sql);
	if (mysql_stmt_prepare(st, sql, strlen(sql)) != 0) {
		say_stmt_error(st);
		mysql_stmt_close(st);
		return NULL;
	}
	printf("params=%lu columns=%u\n", mysql_stmt_param_count(st),
		mysql_stmt_field_count(st));
	return st;
}

static void execute(MYSQL_STMT *st, MYSQL *m)
{
	if (mysql_stmt_execute(st) != 0)
		say_stmt_error(st);
	else
		print_stmt_results(st, m);
}

static void fill_numbers(MYSQL *m, unsigned n)
{
	char sql[200];

	mysql_query(m, "CREATE OR REPLACE TABLE n (id INT PRIMARY KEY, v VARCHAR(100), d "
		       "DOUBLE)");
	(void)snprintf(sql, sizeof(sql),
		"INSERT INTO n SELECT seq, IF(seq %% 7 = 0, NULL, CONCAT('value ', "
		"seq)), seq / 3 "
		"FROM seq_1_to_%u",
		n);
	if (mysql_query(m, sql) != 0)
		say_error(m);
}

static void s_text(MYSQL *m)
{
	fill_numbers(m, 20);
	query(m, "SELECT * FROM n ORDER BY id");
	query(m, "SELECT * FROM n WHERE id > 100");
	query(m, "SELECT NULL, '', 1, 1.5, NOW() > '2000-01-01', _utf8mb4'\xc3\xa4'");
	query(m, "UPDATE n SET v='x' WHERE id < 5");
	query(m, "INSERT INTO n VALUES (1, 'twice', 0)");
	query(m, "SELEC 1");
	query(m, "SELECT * FROM no_such_table");
	query(m, "DO 1/0");
	query(m, "SHOW WARNINGS");
	query(m, "");
	query(m, "SELECT id, (SELECT v FROM n WHERE id <= x.id) FROM n x ORDER BY id");
	query(m, "BEGIN");
	query(m, "SELECT 1");
	query(m, "COMMIT");
	query(m, "SET autocommit=0");
	query(m, "SET autocommit=1");
	query(m, "EXPLAIN SELECT 1");
	query(m, "ANALYZE TABLE n");
	query(m, "SHOW DATABASES LIKE 'wire'");
	query(m, "SELECT '{\"a\":1}' AS j, INET6_ATON('::1') IS NOT NULL, POINT(1,2)");
}

static void s_commands(MYSQL *m)
{
	MYSQL_RES *res;
	unsigned long id = mysql_thread_id(m);

	printf("ping %d\n", mysql_ping(m));
	printf("stat %d\n", strncmp(mysql_stat(m), "Uptime", 6));
	fill_numbers(m, 1);
	res = mysql_list_fields(m, "n", "%");
	printf("fields %u\n", res != NULL ? mysql_num_fields(res) : 0);
	mysql_free_result(res);
	res = mysql_list_fields(m, "no_such_table", "%");
	printf("fields %d %u\n", res != NULL, mysql_errno(m));
	printf("select_db %d", mysql_select_db(m, "mysql"));
	printf(" %d\n", mysql_select_db(m, "no_such_db"));
	printf("select_db %d\n", mysql_select_db(m, "wire"));
	printf("multi on %d\n",
		mysql_set_server_option(m, MYSQL_OPTION_MULTI_STATEMENTS_ON));
	query(m, "SELECT 1; SELECT 2");
	printf("multi off %d\n",
		mysql_set_server_option(m, MYSQL_OPTION_MULTI_STATEMENTS_OFF));
	query(m, "SELECT 1; SELECT 2");
	res = mysql_list_processes(m);
	printf("processes %d\n", res != NULL && mysql_num_rows(res) > 0);
	mysql_free_result(res);
	printf("dump debug %d\n", mysql_dump_debug_info(m));
	printf("refresh %d\n", mysql_refresh(m, REFRESH_STATUS));
	printf("same id %d\n", id == mysql_thread_id(m));
	printf("kill none %d %u\n", mysql_kill(m, 4294967290UL), mysql_errno(m));
}

static void s_prepared(MYSQL *m)
{
	MYSQL_STMT *st, *other;
	MYSQL_BIND in[2];
	int id = 0;
	char text[100] = "some text";
	unsigned long len = 9;

	fill_numbers(m, 30);
	memset(in, 0, sizeof(in));
	in[0].buffer_type = MYSQL_TYPE_LONG;
	in[0].buffer = &id;
	in[1].buffer_type = MYSQL_TYPE_STRING;
	in[1].buffer = text;
	in[1].buffer_length = sizeof(text);
	in[1].length = &len;
	st = prepare(m, "SELECT id, v, d, NULL, ? + 1, ? FROM n ORDER BY id LIMIT 8");
	mysql_stmt_bind_param(st, in);
	for (id = 1; id < 4; id++)
		execute(st, m);
	other = prepare(m, "UPDATE n SET v = ? WHERE id = 3");
	mysql_stmt_bind_param(other, &in[1]);
	execute(other, m);
	execute(other, m);
	execute(st, m);
	printf("reset %d\n", mysql_stmt_reset(st));
	execute(st, m);
	mysql_stmt_close(other);
	(void)prepare(m, "SELEC ?");
	(void)prepare(m, "SELECT * FROM no_such_table WHERE a = ?");
	other = prepare(m,
		"SELECT id, (SELECT v FROM n y WHERE y.id <= n.id) FROM n ORDER BY id");
	execute(other, m);
	mysql_stmt_close(other);
	query(m, "ALTER TABLE n ADD extra INT DEFAULT 5");
	execute(st, m);
	mysql_stmt_close(st);
	st = prepare(m, "SELECT * FROM n WHERE id < 3");
	execute(st, m);
	execute(st, m);
	query(m, "ALTER TABLE n DROP extra");
	execute(st, m); /* the columns have changed: metadata must come anew */
	mysql_stmt_close(st);
	st = prepare(m, "DO 1");
	execute(st, m);
	mysql_stmt_close(st);
	query(m, "SELECT 'still in step'");
}

static void s_many_params(MYSQL *m)
{
	enum { N = 1000 };
	static char sql[N * 3 + 100];
	MYSQL_STMT *st;
	size_t at = (size_t)snprintf(sql, sizeof(sql), "SELECT 0");

	for (int i = 0; i < N; i++)
		at += (size_t)snprintf(sql + at, sizeof(sql) - at, ",?");
	st = prepare(m, sql);
	mysql_stmt_close(st);
	query(m, "SELECT 'still in step'");
}

static void s_cursor(MYSQL *m)
{
	static const unsigned long rows[] = {1, 7, 100, 1000};

	fill_numbers(m, 50);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned long type = CURSOR_TYPE_READ_ONLY, prefetch = rows[i];
		MYSQL_STMT *st = mysql_stmt_init(m);
		const char *sql = "SELECT id, v FROM n ORDER BY id";

		mysql_stmt_attr_set(st, STMT_ATTR_CURSOR_TYPE, &type);
		mysql_stmt_attr_set(st, STMT_ATTR_PREFETCH_ROWS, &prefetch);
		printf("prefetch %lu: %d\n", prefetch,
			mysql_stmt_prepare(st, sql, strlen(sql)));
		execute(st, m);
		/* left half read: the next execute closes the cursor */
		if (mysql_stmt_execute(st) == 0) {
			bind_texts(st, 2);
			printf("first %d\n", mysql_stmt_fetch(st));
		}
		execute(st, m);
		mysql_stmt_reset(st);
		mysql_stmt_close(st);
		query(m, "SELECT 'still in step'");
	}
	{
		unsigned long type = CURSOR_TYPE_READ_ONLY;
		MYSQL_STMT *st = mysql_stmt_init(m);
		const char *sql = "INSERT INTO n VALUES (1001, 'c', 1)";

		mysql_stmt_attr_set(st, STMT_ATTR_CURSOR_TYPE, &type);
		mysql_stmt_prepare(st, sql, strlen(sql));
		execute(st, m);
		execute(st, m);
		mysql_stmt_close(st);
		st = mysql_stmt_init(m);
		mysql_stmt_attr_set(st, STMT_ATTR_CURSOR_TYPE, &type);
		sql = "SELECT * FROM n WHERE id < 0";
		mysql_stmt_prepare(st, sql, strlen(sql));
		execute(st, m);
		mysql_stmt_close(st);
	}
}

static void s_long_data(MYSQL *m)
{
	MYSQL_STMT *st;
	MYSQL_BIND in[2];
	static char chunk[100000];

	query(m, "CREATE OR REPLACE TABLE b (id INT AUTO_INCREMENT PRIMARY KEY, v "
		 "LONGBLOB)");
	memset(chunk, 'q', sizeof(chunk));
	memset(in, 0, sizeof(in));
	in[0].buffer_type = MYSQL_TYPE_LONG_BLOB;
	st = prepare(m, "INSERT INTO b (v) VALUES (?)");
	mysql_stmt_bind_param(st, in);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20 * round; i++) {
			chunk[i] = (char)('a' + i % 26);
			mysql_stmt_send_long_data(st, 0, chunk, sizeof(chunk));
		}
		if (round == 0)
			mysql_stmt_send_long_data(st, 0, "", 0);
		execute(st, m);
	}
	mysql_stmt_send_long_data(st, 0, "gone", 4);
	printf("reset %d\n", mysql_stmt_reset(st));
	mysql_stmt_send_long_data(st, 0, "kept", 4);
	execute(st, m);
	mysql_stmt_close(st);
	query(m, "SELECT id, LENGTH(v), MD5(v) FROM b ORDER BY id");
	query(m, "SELECT v FROM b ORDER BY id");
}

static void s_bulk(MYSQL *m)
{
	enum { ROWS = 1000 };
	static int ids[ROWS];
	static char texts[ROWS][20];
	static char *text_at[ROWS];
	static unsigned long lengths[ROWS];
	static char marks[ROWS];
	unsigned rows = ROWS;
	MYSQL_BIND in[2];
	MYSQL_STMT *st;

	query(m, "CREATE OR REPLACE TABLE k (id INT PRIMARY KEY, v VARCHAR(20))");
	for (int i = 0; i < ROWS; i++) {
		ids[i] = i;
		lengths[i] =
			(unsigned long)snprintf(texts[i], sizeof(texts[i]), "bulk %d", i);
		text_at[i] = texts[i];
		marks[i] = i % 10 == 0 ? STMT_INDICATOR_NULL : STMT_INDICATOR_NONE;
	}
	memset(in, 0, sizeof(in));
	in[0].buffer_type = MYSQL_TYPE_LONG;
	in[0].buffer = ids;
	in[1].buffer_type = MYSQL_TYPE_STRING;
	in[1].buffer = text_at;
	in[1].length = lengths;
	in[1].u.indicator = marks;
	st = mysql_stmt_init(m);
	mysql_stmt_attr_set(st, STMT_ATTR_ARRAY_SIZE, &rows);
	printf("prepare %d\n",
		mysql_stmt_prepare(st, "INSERT INTO k VALUES (?, ?)", (unsigned long)-1));
	mysql_stmt_bind_param(st, in);
	execute(st, m);
	execute(st, m); /* duplicates */
	mysql_stmt_close(st);
	query(m, "SELECT COUNT(*), SUM(id), SUM(v IS NULL) FROM k");
	query(m, "DELETE FROM k");
	rows = 5;
	st = mysql_stmt_init(m);
	mysql_stmt_attr_set(st, STMT_ATTR_ARRAY_SIZE, &rows);
	printf("prepare %d\n",
		mysql_stmt_prepare(st, "INSERT INTO k VALUES (?, ?) RETURNING id, v",
			(unsigned long)-1));
	mysql_stmt_bind_param(st, in);
	execute(st, m);
	mysql_stmt_close(st);
	query(m, "SELECT * FROM k ORDER BY id");
}

static void s_multi(MYSQL *plain)
{
	MYSQL *m = dial(CLIENT_MULTI_STATEMENTS);

	(void)plain;
	fill_numbers(m, 5);
	query(m, "SELECT 1; SELECT * FROM n ORDER BY id; UPDATE n SET d=1; SELECT 2 "
		 "WHERE 1=0; DO 1");
	query(m, "SELECT 1; SELECT * FROM no_such_table; SELECT 2");
	query(m, "SELECT 1; SELEC 2; SELECT 3");
	query(m, "SELECT 1;");
	query(m, "CREATE OR REPLACE PROCEDURE p() BEGIN SELECT * FROM n ORDER BY id; "
		 "UPDATE n SET d=2; SELECT 'second'; END");
	query(m, "CALL p(); SELECT 'after'; CALL p()");
	query(m, "SELECT 'still in step'");
	mysql_close(m);
}

static void s_call(MYSQL *m)
{
	MYSQL_STMT *st;
	MYSQL_BIND in[1];
	int n = 3;

	fill_numbers(m, 5);
	query(m, "CREATE OR REPLACE PROCEDURE q(IN a INT, OUT b INT) BEGIN SELECT a; "
		 "SELECT * FROM n ORDER BY id; SET b = a + 1; SELECT 'x' WHERE 1=0; END");
	query(m, "CREATE OR REPLACE PROCEDURE r() BEGIN SELECT 1; SELECT * FROM gone; "
		 "END");
	query(m, "CALL q(7, @b)");
	query(m, "CALL r()");
	memset(in, 0, sizeof(in));
	in[0].buffer_type = MYSQL_TYPE_LONG;
	in[0].buffer = &n;
	st = prepare(m, "CALL q(?, @b)");
	mysql_stmt_bind_param(st, in);
	execute(st, m);
	execute(st, m);
	mysql_stmt_close(st);
	st = prepare(m, "CALL r()");
	execute(st, m);
	mysql_stmt_close(st);
	st = prepare(m, "CALL q(?, ?)");
	if (st != NULL) {
		MYSQL_BIND two[2];

		memset(two, 0, sizeof(two));
		two[0] = two[1] = in[0];
		mysql_stmt_bind_param(st, two);
		execute(st, m);
		mysql_stmt_close(st);
	}
	query(m, "SELECT @b");
}

static void write_file(const char *path, unsigned rows)
{
	FILE *f = fopen(path, "w");

	for (unsigned i = 0; i < rows; i++)
		(void)fprintf(
			f, "%u\tline number %u of a file that is to be loaded\n", i, i);
	(void)fclose(f);
}

static void s_infile(MYSQL *plain)
{
	char path[100], sql[600];
	MYSQL *m = dial(CLIENT_MULTI_STATEMENTS);

	(void)plain;
	(void)snprintf(path, sizeof(path), "/tmp/wire_client_%d.txt", (int)getpid());
	query(m, "CREATE OR REPLACE TABLE l (id INT, v VARCHAR(100), KEY (id))");
	write_file(path, 100);
	(void)snprintf(
		sql, sizeof(sql), "LOAD DATA LOCAL INFILE '%s' INTO TABLE l", path);
	if (mysql_query(m, sql) == 0)
		print_results(m);
	query(m, "SELECT COUNT(*), SUM(id) FROM l");
	(void)snprintf(sql, sizeof(sql),
		"SELECT 1; LOAD DATA LOCAL INFILE '%s' INTO TABLE l; SELECT COUNT(*) "
		"FROM l; "
		"LOAD DATA LOCAL INFILE '%s' INTO TABLE l; SELECT SUM(id) FROM l",
		path, path);
	if (mysql_query(m, sql) == 0)
		print_results(m);
	write_file(path, 500000); /* more than 16 MiB */
	(void)snprintf(
		sql, sizeof(sql), "LOAD DATA LOCAL INFILE '%s' INTO TABLE l", path);
	if (mysql_query(m, sql) == 0)
		print_results(m);
	query(m, "SELECT COUNT(*), SUM(id) FROM l");
	write_file(path, 0);
	if (mysql_query(m, sql) == 0)
		print_results(m);
	(void)unlink(path);
	query(m, "LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE l");
	query(m, "LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE no_such_table");
	query(m, "SELECT 'still in step'");
	{
		unsigned off = 0;

		mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &off);
		query(m, "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE l");
		query(m, "SELECT 'still in step'");
	}
	mysql_close(m);
}

static void s_change_user(MYSQL *plain)
{
	MYSQL *m = dial(0);
	MYSQL_STMT *st;

	(void)plain;
	query(m, "SET @a=5");
	st = prepare(m, "SELECT 1");
	printf("change %d\n", mysql_change_user(m, to.user, to.password, "wire"));
	query(m, "SELECT @a, DATABASE()");
	execute(st, m);
	mysql_stmt_close(st);
	printf("change %d\n", mysql_change_user(m, "wire_ed", "other-secret", "wire"));
	query(m, "SELECT CURRENT_USER()");
	printf("change %d\n", mysql_change_user(m, "wire_old", "old-secret", "wire"));
	query(m, "SELECT CURRENT_USER()");
	printf("wrong %d\n", mysql_change_user(m, to.user, "wrong", "wire"));
	say_error(m);
	query(m, "SELECT 1");
	mysql_close(m);
}

static void s_reset(MYSQL *plain)
{
	MYSQL *m = dial(0);
	MYSQL_STMT *st;

	(void)plain;
	query(m, "SET @a=5");
	query(m, "BEGIN");
	st = prepare(m, "SELECT 1");
	printf("reset %d status %x\n", mysql_reset_connection(m), status_of(m));
	query(m, "SELECT @a");
	execute(st, m);
	mysql_stmt_close(st);
	query(m, "SELECT 'still in step'");
	mysql_close(m);
}

static void s_big(MYSQL *m)
{
	static const unsigned long lengths[] = {16777207, 16777208, 16777209, 16777210,
		16777211, 16777212, 16777213, 16777214, 16777215, 16777216, 33554425,
		33554426, 33554427, 33554428, 33554430};
	char *big;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char sql[100];

		(void)snprintf(sql, sizeof(sql), "SELECT REPEAT('\xc3\xa4', %lu), %zu",
			lengths[i] / 2, i);
		query(m, sql);
		(void)snprintf(sql, sizeof(sql), "SELECT REPEAT('a', %lu)", lengths[i]);
		query(m, sql);
	}
	big = malloc(34 * 1024 * 1024);
	query(m, "CREATE OR REPLACE TABLE g (id INT AUTO_INCREMENT PRIMARY KEY, v "
		 "LONGBLOB)");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i += 2) {
		unsigned long total = lengths[i] + 4;
		int at = sprintf(big, "INSERT INTO g (v) VALUES ('");

		memset(big + at, 'i', total - (unsigned long)at - 2);
		memcpy(big + total - 2, "')", 2);
		printf("statement of %lu bytes\n", total);
		if (mysql_real_query(m, big, total) != 0)
			say_error(m);
		else
			print_results(m);
		query(m, "SELECT id, LENGTH(v) FROM g ORDER BY id DESC LIMIT 1");
		/* not plain DML: collected for the guard */
		memcpy(big, "DO LENGTH(                 '", 28);
		/* the closing quote and bracket stand already */
		if (mysql_real_query(m, big, total) != 0)
			say_error(m);
		else
			print_results(m);
	}
	free(big);
	query(m, "SELECT 'still in step'");
}

static void s_server_ends(MYSQL *plain)
{
	MYSQL *m = dial(0), *killer = dial(0);
	char sql[60];

	(void)plain;
	(void)snprintf(sql, sizeof(sql), "KILL QUERY %lu", mysql_thread_id(m));
	mysql_send_query(m, "SELECT SLEEP(20)", 16);
	while (1) {
		MYSQL_RES *res;
		char running[120];

		(void)snprintf(running, sizeof(running),
			"SELECT 1 FROM information_schema.processlist WHERE id=%lu AND "
			"state='User "
			"sleep'",
			mysql_thread_id(m));
		mysql_query(killer, running);
		res = mysql_store_result(killer);
		if (mysql_num_rows(res) == 1) {
			mysql_free_result(res);
			break;
		}
		mysql_free_result(res);
	}
	printf("kill query %d\n", mysql_query(killer, sql));
	printf("read %d\n", mysql_read_query_result(m));
	print_results(m);
	query(m, "SELECT 'still in step'");
	(void)snprintf(sql, sizeof(sql), "KILL %lu", mysql_thread_id(m));
	printf("kill %d\n", mysql_query(killer, sql));
	mysql_close(killer);
	mysql_close(m);
}

/* Only when named: the database is to die meanwhile. */
static void s_sleep(MYSQL *m)
{
	query(m, "SELECT SLEEP(100)");
	query(m, "SELECT 1");
}

static const struct {
	const char *name;
	void (*run)(MYSQL *m);
} scenarios[] = {
	{"text", s_text},
	{"commands", s_commands},
	{"prepared", s_prepared},
	{"many_params", s_many_params},
	{"cursor", s_cursor},
	{"long_data", s_long_data},
	{"bulk", s_bulk},
	{"multi", s_multi},
	{"call", s_call},
	{"infile", s_infile},
	{"change_user", s_change_user},
	{"reset", s_reset},
	{"big", s_big},
	{"server_ends", s_server_ends},
	{"sleep", s_sleep},
};

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	to.host = argv[1];
	to.port = (unsigned)strtoul(argv[2], NULL, 10);
	to.user = argv[3];
	to.password = argv[4];
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		MYSQL *m;

		if (argc > 5 ? strcmp(argv[5], scenarios[i].name) != 0
			     : scenarios[i].run == s_sleep)
			continue;
		printf("== %s\n", scenarios[i].name);
		m = dial(0);
		scenarios[i].run(m);
		mysql_close(m);
	}
	return 0;
}
