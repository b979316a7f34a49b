/* tests/unit/test_config_config.c - good files become values, bad ones an error with
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxy/config/config.h"
#include "tests/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char minimal[] =
	"dc: {name: east, id: 1}\n"                                /* 1 */
	"listen: 127.0.0.1:7306\n"                                 /* 2 */
	"database: {user: diarchy, password: secret}\n"            /* 3 */
	"peer:\n"                                                  /* 4 */
	"  listen: 127.0.0.1:7406\n"                               /* 5 */
	"  secret: \"shared by both\"\n"                           /* 6 */
	"  dcs:\n"                                                 /* 7 */
	"    - {name: west, id: 2, address: \"127.0.0.1:8406\"}\n" /* 8 */
	"state_dir: /var/lib/diarchy\n";                           /* 9 */

static enum dia_rc parse(const char *text, struct dia_config **ret, struct dia_err *err)
{
	struct dia_guard g = dia_guard_make(dia_slice_str(text));
	enum dia_rc rc;

	memset(err, 0, sizeof(*err));
	rc = dia_config_parse(g.input, "east.yaml", ret, err);
	dia_guard_free(&g);
	return rc;
}

static struct dia_slice s(const char *text)
{
	return dia_slice_str(text);
}

static void test_minimal_and_defaults(void **state)
{
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	assert_int_equal(parse(minimal, &c, &err), DIA_OK);
	assert_string_equal(c->path, "east.yaml");
	assert_string_equal(c->dc.name, "east");
	assert_int_equal(c->dc.id.id, 1);
	assert_string_equal(c->listen.host, "127.0.0.1");
	assert_string_equal(c->listen.text, "127.0.0.1:7306");
	assert_int_equal(c->listen.port, 7306);
	assert_string_equal(c->database.host, "127.0.0.1");
	assert_int_equal(c->database.port, 3306);
	assert_null(c->database.socket);
	assert_string_equal(c->database.user, "diarchy");
	assert_string_equal(c->database.password, "secret");
	assert_string_equal(c->peer.secret, "shared by both");
	assert_int_equal(c->peer.dc_count, 1);
	assert_string_equal(c->peer.dcs[0].name, "west");
	assert_int_equal(c->peer.dcs[0].dc.id, 2);
	assert_int_equal(c->peer.dcs[0].address.port, 8406);
	assert_null(c->admin.host);
	assert_int_equal(c->replicate.count, 1);
	assert_int_equal(c->exclude.count, 0);
	assert_false(c->replicate_users);
	assert_int_equal(c->loops, 0);
	assert_int_equal(c->log_level, DIA_LOG_INFO);
	assert_int_equal(c->limits.max_connections, 2048);
	assert_int_equal(c->limits.txn_memory, 64 << 20);
	assert_int_equal(c->limits.outbox_memory, 64 << 20);
	assert_int_equal(c->limits.apply_queue_memory, 64 << 20);
	assert_int_equal(c->limits.batch_transactions, 400);
	assert_int_equal(c->limits.batch_bytes, 4 << 20);
	assert_int_equal(c->clock.max_ahead_ms, 60000);
	assert_int_equal(c->warning_count, 0);
	dia_config_free(c);
}

static void test_everything(void **state)
{
	static const char text[] =
		"dc:\n  name: \"north east\"\n  id: 63\n"
		"listen: '[::1]:7306'\n"
		"database: {socket: /run/m.sock, user: d}\n"
		"peer: {listen: 0.0.0.0:1, secret: '12345678', dcs: [{name: a, id: 1, "
		"address: a.b:2}, "
		"{name: b, id: 2, address: '[fe80::1]:3'}]}\n"
		"state_dir: s\n"
		"admin: localhost:65535\n"
		"replicate: [shop.*, 'crm_*.a*z', '`a.b`.`c``d`']\n"
		"exclude: shop.tmp\n"
		"replicate_users: yes\n"
		"policies:\n"
		"  - {tables: shop.a, policy: lww}\n"
		"  - {tables: [shop.*, '*.x'], policy: lww}\n"
		"loops: 4\nlog_level: trace\n"
		"limits: {max_connections: 1, txn_memory: 1024K, outbox_memory: 1048576, "
		"apply_queue_memory: 2G, batch_transactions: 1, batch_bytes: 8K}\n"
		"clock: {max_ahead_ms: 1000}\n";
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	if (parse(text, &c, &err) != DIA_OK)
		fail_msg("%s", err.text);
	assert_string_equal(c->dc.name, "north east");
	assert_string_equal(c->listen.host, "::1");
	assert_string_equal(c->listen.text, "[::1]:7306");
	assert_string_equal(c->database.socket, "/run/m.sock");
	assert_string_equal(c->database.password, "");
	assert_int_equal(c->peer.dc_count, 2);
	assert_string_equal(c->peer.dcs[1].address.host, "fe80::1");
	assert_int_equal(c->admin.port, 65535);
	assert_string_equal(c->replicate.at[2].db, "a.b");
	assert_string_equal(c->replicate.at[2].table, "c`d");
	assert_true(c->replicate_users);
	assert_int_equal(c->policy_count, 2);
	assert_int_equal(c->loops, 4);
	assert_int_equal(c->log_level, DIA_LOG_TRACE);
	assert_int_equal(c->limits.txn_memory, 1 << 20);
	assert_int_equal(c->limits.apply_queue_memory, UINT64_C(2) << 30);
	assert_int_equal(c->limits.batch_bytes, 8192);

	assert_true(dia_config_table_replicated(c, s("shop"), s("a")));
	assert_false(dia_config_table_replicated(c, s("shop"), s("tmp")));
	assert_true(dia_config_table_replicated(c, s("shop"), s("tmp2")));
	assert_false(dia_config_table_replicated(c, s("Shop"), s("a")));
	assert_true(dia_config_table_replicated(c, s("crm_"), s("az")));
	assert_true(dia_config_table_replicated(c, s("crm_x"), s("abcz")));
	assert_false(dia_config_table_replicated(c, s("crm_x"), s("abc")));
	assert_true(dia_config_table_replicated(c, s("a.b"), s("c`d")));
	assert_false(dia_config_table_replicated(c, s("other"), s("a")));
	assert_true(dia_config_db_replicated(c, s("shop")));
	assert_false(dia_config_db_replicated(c, s("other")));
	assert_false(dia_config_db_replicated(c, s("mysql")));
	assert_ptr_equal(dia_config_table_policy(c, s("shop"), s("a")), &c->policies[0]);
	assert_ptr_equal(dia_config_table_policy(c, s("shop"), s("b")), &c->policies[1]);
	assert_ptr_equal(dia_config_table_policy(c, s("z"), s("x")), &c->policies[1]);
	assert_null(dia_config_table_policy(c, s("z"), s("y")));
	dia_config_free(c);
}

static void test_system_schemas_are_never_replicated(void **state)
{
	static const char *const never[] = {"mysql", "MySQL", "information_schema",
		"performance_schema", "sys", "diarchy"};
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	assert_int_equal(parse(minimal, &c, &err), DIA_OK);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_false(dia_config_table_replicated(c, s(never[i]), s("t")));
	assert_true(dia_config_table_replicated(c, s("mysql2"), s("t")));
	dia_config_free(c);
}

/* The minimal file with one line replaced (0: appended), and what the error must say. */
static const struct {
	int line;
	const char *text;
	const char *expected;
} bad[] = {
	/* keys */
	{0, "lisen: a:1",
		"east.yaml:10: unknown key 'lisen' in the file; it may have: dc, "
		"listen,"},
	{0, "state_dir: /x",
		"east.yaml:10: key 'state_dir' stands twice in the file; keep one"},
	{9, "", "lacks the key 'state_dir'"},
	{1, "dc: {name: east}", "east.yaml:1: dc lacks the key 'id'"},
	{1, "dc: {name: east, id: 1, x: 2}",
		"east.yaml:1: unknown key 'x' in dc; it may have: name, id"},
	{1, "dc: {name: east, id: 1, id: 2}", "east.yaml:1: key 'id' stands twice in dc"},
	{0, "limits: {max_conections: 1}",
		"east.yaml:10: unknown key 'max_conections' in limits"},
	{0, "? [a]\n: b", "east.yaml:10: a key of the file is a list or mapping"},
	{0, "<<: {a: b}", "unknown key '<<'"},
	/* types */
	{1, "dc: east", "east.yaml:1: dc must be a mapping"},
	{1, "dc: [east, 1]", "east.yaml:1: dc must be a mapping"},
	{1, "dc: {name: [a], id: 1}", "`name` must be a single value"},
	{1, "dc: {name: east, id: one}",
		"`id`: 'one' is not a number; write digits only"},
	{1, "dc: {name: east, id: -1}", "is not a number"},
	{1, "dc: {name: east, id: 0}", "`id`: 0 is out of range; choose 1 to 63"},
	{1, "dc: {name: east, id: 64}", "`id`: 64 is out of range; choose 1 to 63"},
	{1, "dc: {name: east, id: 99999999999999999999999}", "is not a number"},
	{1, "dc: {name: , id: 1}", "`name` has no value"},
	{1, "dc: {name: '', id: 1}", "`name` is empty"},
	{1, "dc: {name: ~, id: 1}", "`name` has no value"},
	{0, "replicate_users: maybe", "'maybe' is neither true nor false"},
	{0, "log_level: loud", "'loud' is no level; use error, warn"},
	{0, "loops: 257", "choose 0 to 256"},
	{0, "limits: {txn_memory: 64X}", "write for example 64M"},
	{0, "limits: {txn_memory: 64MB}", "write for example 64M"},
	{0, "limits: {txn_memory: 99999999999G}", "is not a number of bytes"},
	{0, "limits: {txn_memory: 1K}", "out of range"},
	{0, "limits: {batch_transactions: 0}", "out of range; choose 1"},
	{0, "clock: {max_ahead_ms: 5}", "choose 1000 to 86400000"},
	{0, "dc2: &a {x: *a}", "unknown key 'dc2'"},
	/* addresses */
	{2, "listen: 7306",
		"east.yaml:2: `listen`: '7306' is not an address; write HOST:PORT"},
	{2, "listen: 'a:0'", "is not an address"},
	{2, "listen: a:65536", "is not an address"},
	{2, "listen: 'a:'", "is not an address"},
	{2, "listen: ':7306'", "names no host; write 0.0.0.0:7306"},
	{2, "listen: '::1:7306'", "write an IPv6 address in brackets"},
	{2, "listen: '[]:7306'", "names no host"},
	{2, "listen: '[:7306'", "do not match"},
	{2, "listen: 127.0.0.1:7406",
		"east.yaml:5: 127.0.0.1:7406 is the address of `listen` too"},
	{2, "listen: 0.0.0.0:7406",
		"east.yaml:5: 127.0.0.1:7406 is the address of `listen` too"},
	{0, "admin: 127.0.0.1:7306",
		"east.yaml:10: 127.0.0.1:7306 is the address of `listen` too"},
	{0, "admin: 127.0.0.1:7406",
		"east.yaml:10: 127.0.0.1:7406 is the address of `peer.listen` too"},
	/* database */
	{3, "database: {password: x}", "east.yaml:3: database lacks the key 'user'"},
	{3, "database: {user: d}", "neither `password` nor `password_file`"},
	{3, "database: {user: d, password: x, password_file: y}",
		"cannot read y: No such file"},
	{3, "database: {user: d, password: x, socket: /s, host: h}",
		"`socket` and `host`"},
	{3, "database: {user: d, password: x, socket: /s, port: 1}",
		"`socket` and `host`"},
	{3, "database: {user: d, password: x, socket: ''}", "`socket` is empty"},
	{3, "database: {user: d, password: x, host: ''}", "`host` is empty"},
	{3, "database: {user: d, password: x, port: 0}",
		"`port`: 0 is out of range; choose 1 to 65535"},
	{3, "database: {user: d, password: \"a\\0b\"}", "contains a NUL"},
	{3, "database: {user: d, password_file: /etc}", "/etc is not a file"},
	{3, "database: {user: d, password_file: /dev/null}", "/dev/null is not a file"},
	/* peer */
	{6, "", "peer has neither `secret` nor `secret_file`"},
	{6, "  secret: short", "east.yaml:6: the peers' secret is shorter than 8"},
	{6, "  secret_file: /nonexistent/x",
		"east.yaml:6: `secret_file`: cannot read /nonexistent/x"},
	{6, "  secret: \"shared by both\"\n  tls: {cert: a}",
		"east.yaml:7: `tls` is not supported yet"},
	{8, "    - {name: east, id: 2, address: a:1}",
		"east.yaml:8: peer 'east' with id 2 has the name"},
	{8, "    - {name: west, id: 1, address: a:1}",
		"east.yaml:8: peer 'west' with id 1 has the name"},
	{8, "    - {name: w, id: 2, address: a:1}\n    - {name: x, id: 2, address: a:2}",
		"east.yaml:9: datacenter 'x' with id 2 has the name or id of entry 1"},
	{8, "    - {name: w, id: 2, address: a:1}\n    - {name: w, id: 3, address: a:2}",
		"east.yaml:9: datacenter 'w' with id 3 has the name or id of entry 1"},
	{8, "    - west", "east.yaml:8: peer.dcs must be a mapping"},
	{8, "    []", "`peer.dcs` has 0 entries; give it 1 to 7"},
	{8, "    {name: w, id: 2, address: a:1}", "`peer.dcs` must be a list"},
	/* patterns */
	{0, "replicate: shop", "east.yaml:10: `replicate`: 'shop' is not a pattern"},
	{0, "replicate: [a.b.c]", "is not a pattern"},
	{0, "replicate: ['.a']", "is not a pattern"},
	{0, "replicate: ['a.']", "is not a pattern"},
	{0, "replicate: ['`a.b']", "is not a pattern"},
	{0, "replicate: []", "has 0 patterns"},
	{0, "replicate: {a: b}", "must be a single value"},
	{0, "replicate: [[a.b]]", "must be a single value"},
	{0, "replicate: [mysql.user]", "system schema"},
	{0, "replicate: [diarchy.*]", "system schema"},
	{0, "replicate:\n  - a.b\n  - a.b",
		"east.yaml:12: `replicate`: 'a.b' overlaps the pattern of line 11"},
	{0, "replicate:\n  - a.*\n  - a.b",
		"east.yaml:12: `replicate`: 'a.b' overlaps the pattern of line 11, which "
		"covers it"},
	{0, "replicate:\n  - a.b\n  - '*.*'", "which is covered by it"},
	{0, "replicate: a.*\nexclude: '*.*'", "takes away all of 'a.*'"},
	{0, "exclude: '*.*'", "takes away all of '*.*'"},
	/* policies */
	{0, "policies:\n  - {tables: a.b, policy: column, counters: [qty]}",
		"east.yaml:11: policy 'column' comes with a later version"},
	{0, "policies:\n  - {tables: a.b, policy: priority, prefer: [east]}",
		"later version"},
	{0, "policies: [{tables: a.b, policy: custom}]", "later version"},
	{0, "policies: [{tables: a.b, policy: lastwins}]",
		"unknown policy 'lastwins'; use lww"},
	{0, "policies: [{tables: a.b}]", "names no policy"},
	{0, "policies: [{policy: lww}]", "policies lacks the key 'tables'"},
	{0, "policies: [{tables: a.b, policy: lww, counters: auto}]",
		"unknown key 'counters' in policies"},
	{0, "policies: {tables: a.b, policy: lww}", "`policies` must be a list"},
	{0, "policies: [a]", "write {tables: ..., policy: lww}"},
	{0, "policies:\n  - {tables: a.*, policy: lww}\n  - {tables: a.b, policy: lww}",
		"east.yaml:12: 'a.b' is never reached: the policy of line 11 covers it"},
	/* not YAML */
	{0, "a: [b", "not YAML"},
	{0, "\tx: y", "east.yaml:10: not YAML"},
	{2, "listen: 'a", "not YAML"},
	{0, "a: \xff", "not UTF-8"},
	{0, "a: *nothing", "not YAML"},
	{0, "--- \na: b", "a second document"},
};

static void make(char *out, size_t cap, int line, const char *text)
{
	const char *p = minimal;
	size_t n = 0;

	for (int i = 1; *p != 0; i++) {
		const char *end = strchr(p, '\n') + 1;

		if (i == line)
			n += (size_t)snprintf(out + n, cap - n, "%s\n", text);
		else
			n += (size_t)snprintf(
				out + n, cap - n, "%.*s", (int)(end - p), p);
		p = end;
	}
	if (line == 0)
		(void)snprintf(out + n, cap - n, "%s\n", text);
}

static void test_bad_files(void **state)
{
	char text[2048];
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make(text, sizeof(text), bad[i].line, bad[i].text);
		if (parse(text, &c, &err) == DIA_OK)
			fail_msg("accepted: %s", bad[i].text);
		assert_null(c);
		assert_int_equal(err.rc, DIA_E_CONFIG);
		if (strstr(err.text, "east.yaml:") != err.text)
			fail_msg("%s\n gave %s without file", bad[i].text, err.text);
		if (strstr(err.text, bad[i].expected) == NULL)
			fail_msg("%s\n gave %s\n not  %s", bad[i].text, err.text,
				bad[i].expected);
		if (strchr(err.text, ';') == NULL && strchr(err.text, '(') == NULL)
			fail_msg("no remedy: %s", err.text);
	}
}

static void test_empty_and_prefixes(void **state)
{
	struct dia_config *c;
	struct dia_err err;
	char text[sizeof(minimal)];

	(void)state;
	assert_int_equal(parse("", &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "is empty"));
	assert_int_equal(parse("# nothing\n", &c, &err), DIA_E_CONFIG);
	for (size_t n = 0; n + 1 < sizeof(minimal); n++) {
		memcpy(text, minimal, n);
		text[n] = 0;
		if (parse(text, &c, &err) == DIA_OK)
			dia_config_free(c); /* `/var/lib` is a folder too */
	}
}

static const char *file(
	const char *dir, const char *name, const char *content, mode_t mode)
{
	static char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(content, f);
	(void)fclose(f);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void test_secret_files(void **state)
{
	char dir[] = "/tmp/dia-config-XXXXXX", text[2048];
	const char *path;
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)file(dir, "secret", "long enough\n", 0600);
	(void)file(dir, "password", "two\nlines\n\n", 0644);
	make(text, sizeof(text), 6, "  secret_file: secret");
	path = file(dir, "a.yaml", text, 0600);
	if (dia_config_load(path, &c, &err) != DIA_OK)
		fail_msg("%s", err.text);
	assert_string_equal(c->peer.secret, "long enough"); /* relative to the file */
	assert_int_equal(c->warning_count, 0);
	dia_config_free(c);

	make(text, sizeof(text), 3, "database: {user: d, password_file: password}");
	path = file(dir, "a.yaml", text, 0600);
	assert_int_equal(dia_config_load(path, &c, &err), DIA_OK);
	assert_string_equal(c->database.password, "two\nlines\n"); /* one newline only */
	assert_int_equal(c->warning_count, 1);
	assert_non_null(strstr(c->warnings[0], "a.yaml:3: "));
	assert_non_null(strstr(c->warnings[0], "can be read by everybody"));
	assert_non_null(strstr(c->warnings[0], "chmod 600"));
	dia_config_free(c);

	(void)file(dir, "password", "\n", 0600);
	assert_int_equal(dia_config_load(path, &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "is empty"));
	make(text, sizeof(text), 3,
		"database: {user: d, password: x, password_file: secret}");
	path = file(dir, "a.yaml", text, 0600);
	assert_int_equal(dia_config_load(path, &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "both given; keep one"));

	(void)unlink(path);
	(void)unlink(file(dir, "secret", "", 0600));
	(void)unlink(file(dir, "password", "", 0600));
	assert_int_equal(rmdir(dir), 0);
}

static void test_unreadable_files(void **state)
{
	struct dia_config *c;
	struct dia_err err;

	(void)state;
	assert_int_equal(dia_config_load("/nonexistent.yaml", &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent.yaml: No such file"));
	assert_int_equal(dia_config_load("/tmp", &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "folder"));
	assert_int_equal(dia_config_load("/dev/zero", &c, &err), DIA_E_CONFIG);
	assert_non_null(strstr(err.text, "larger than 1 MiB"));
}

/* Every key that parses stands in the reference. */
static void test_reference(void **state)
{
	static const char *const keys[] = {"`dc.id`", "`database.socket`",
		"`peer.dcs[].address`", "`policies[].tables`",
		"`limits.batch_bytes` | 4M", "`clock.max_ahead_ms` | 60000",
		"`state_dir` | required", "`replicate` | *.*"};
	struct dia_buf out = {0};

	(void)state;
	dia_config_reference(&out);
	(void)dia_buf_add_u8(&out, 0);
	assert_false(out.failed);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(strstr((char *)out.data, keys[i]));
	dia_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_minimal_and_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_system_schemas_are_never_replicated),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_empty_and_prefixes),
		cmocka_unit_test(test_secret_files),
		cmocka_unit_test(test_unreadable_files),
		cmocka_unit_test(test_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
