/* tests/unit/test_admin_http.c - the admin server and its client, and the metrics writer.
 */
#include "proxy/admin/http.h"
#include "proxy/admin/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static bool is_ready;

static void status(void *ctx, struct dia_buf *out)
{
	(void)ctx;
	(void)dia_buf_add_str(out, "{\"a\":1}");
}

static void metrics(void *ctx, struct dia_buf *out)
{
	struct dia_metric_label label = {"peer", "we\"st\\\n"};

	(void)ctx;
	dia_metrics_family(out, "x_total", DIA_METRIC_COUNTER, "Help.");
	dia_metrics_sample(out, "x_total", &label, 1, 12345678901.0);
	dia_metrics_sample(out, "x_total", NULL, 0, 0.5);
}

static bool healthy(void *ctx, struct dia_buf *out)
{
	(void)ctx;
	(void)out;
	return true;
}

static bool ready(void *ctx, struct dia_buf *out)
{
	(void)ctx;
	if (!is_ready)
		(void)dia_buf_add_str(out, "the moon is full");
	return is_ready;
}

static const struct dia_admin_ops ops = {
	.status = status, .metrics = metrics, .healthy = healthy, .ready = ready};

static void expect(const char *address, const char *path, int code, const char *body)
{
	struct dia_buf out = {0};
	struct dia_err err = {0};
	int got = 0;

	if (dia_admin_get(address, path, &out, &got, &err) != DIA_OK)
		fail_msg("%s: %s", path, err.text);
	assert_int_equal(got, code);
	assert_int_equal(dia_buf_add_u8(&out, 0), DIA_OK);
	assert_string_equal((const char *)out.data, body);
	dia_buf_fini(&out);
}

static void pages(void **state)
{
	struct dia_admin *admin = NULL;
	struct dia_err err = {0};
	char address[64];

	(void)state;
	assert_int_equal(
		dia_admin_start("127.0.0.1:0", &ops, NULL, &admin, &err), DIA_OK);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", dia_admin_port(admin));
	expect(address, "/status", 200, "{\"a\":1}");
	expect(address, "/metrics", 200,
		"# HELP x_total Help.\n# TYPE x_total counter\n"
		"x_total{peer=\"we\\\"st\\\\\\n\"} 12345678901\nx_total 0.5\n");
	expect(address, "/healthz", 200, "ok\n");
	is_ready = false;
	expect(address, "/readyz", 503, "the moon is full\n");
	is_ready = true;
	expect(address, "/readyz", 200, "ok\n");
	expect(address, "/elsewhere", 404, "not found; see /\n");
	dia_admin_close(admin);
}

static void only_on_loopback(void **state)
{
	static const char *const bad[] = {
		"0.0.0.0:0", "[::]:0", "noport", "no such host:1"};
	struct dia_admin *admin = NULL;
	struct dia_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(
			dia_admin_start(bad[i], &ops, NULL, &admin, &err), DIA_E_CONFIG);
		assert_non_null(strstr(err.text, bad[i]));
	}
}

static void nobody_there(void **state)
{
	struct dia_buf out = {0};
	struct dia_err err = {0};
	struct dia_admin *admin = NULL;
	char address[64];
	int code = 0;

	(void)state;
	/* A port that was free a moment ago. */
	assert_int_equal(
		dia_admin_start("127.0.0.1:0", &ops, NULL, &admin, &err), DIA_OK);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", dia_admin_port(admin));
	dia_admin_close(admin);
	assert_int_equal(dia_admin_get(address, "/status", &out, &code, &err), DIA_E_IO);
	assert_non_null(strstr(err.text, "is it running?"));
	dia_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages),
		cmocka_unit_test(only_on_loopback),
		cmocka_unit_test(nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
