/* proxy/status.c - `diarchy status`: asks the running process and prints it for people.
 */
#include "proxy/admin/http.h"
#include "proxy/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "-" : text;
}

static long long number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void print_peer(const json_t *peer)
{
	const json_t *link = json_object_get(peer, "link"),
		     *apply = json_object_get(peer, "apply");
	bool in = json_is_true(json_object_get(link, "receiving"));
	bool out = json_is_true(json_object_get(link, "sending"));

	printf("%-10s link %s; round trip %.1f ms, clock %+lld ms\n",
		text_of(peer, "name"),
		in && out ? "up"
		: in      ? "receives only"
		: out     ? "sends only"
			  : "DOWN",
		(double)number_of(link, "rtt_us") / 1000.0,
		number_of(link, "clock_offset_ms"));
	printf("           from it: %s, applied %lld, behind by %lld\n",
		text_of(apply, "state"), number_of(apply, "applied_seq"),
		number_of(peer, "behind"));
	printf("           to it:   applied %lld, behind by %lld\n",
		number_of(link, "peer_applied_seq"), number_of(peer, "unacknowledged"));
	if (strcmp(text_of(link, "error"), "-") != 0)
		printf("           link: %s\n", text_of(link, "error"));
	if (strcmp(text_of(apply, "error"), "-") != 0)
		printf("           apply: %s\n", text_of(apply, "error"));
}

static void print_text(const json_t *root)
{
	const json_t *dc = json_object_get(root, "dc"),
		     *clients = json_object_get(root, "clients");
	const json_t *capture = json_object_get(root, "capture");
	const json_t *window = json_object_get(root, "window"), *item;
	size_t i;

	printf("%s (id %lld), diarchy %s, %s, up %lld s\n", text_of(dc, "name"),
		number_of(dc, "id"), text_of(root, "version"),
		json_is_true(json_object_get(root, "ready")) ? "ready" : "NOT READY",
		number_of(root, "uptime_s"));
	if (!json_is_true(json_object_get(root, "ready")))
		printf("           %s\n", text_of(root, "not_ready"));
	printf("clients    %lld sessions, %lld commands, %lld statements refused\n",
		number_of(clients, "sessions"), number_of(clients, "commands"),
		number_of(clients, "statements_refused"));
	printf("capture    %s, sequence %lld, binlog %s\n", text_of(capture, "state"),
		number_of(capture, "seq"), text_of(capture, "position"));
	if (strcmp(text_of(capture, "error"), "-") != 0)
		printf("           %s\n", text_of(capture, "error"));
	printf("window     %lld keys, %lld bytes\n", number_of(window, "keys"),
		number_of(window, "bytes"));
	json_array_foreach(json_object_get(root, "peers"), i, item) print_peer(item);
	json_array_foreach(json_object_get(root, "not_replicated"), i, item)
		printf("NOT REPLICATED %s: %s\n", text_of(item, "table"),
			text_of(item, "reason"));
	json_array_foreach(json_object_get(root, "warnings"), i, item)
		printf("warning    %s\n", json_string_value(item));
}

int dia_command_status(
	const struct dia_config *config, const struct dia_command_options *options)
{
	struct dia_buf body = {0};
	struct dia_err err = {0};
	json_t *root = NULL;
	int code = 0, status = 1;

	if (config->admin.host == NULL) {
		fprintf(stderr,
			"diarchy: %s has no 'admin:' address, which status asks; add "
			"admin: 127.0.0.1:7506 and restart, or use SHOW DIARCHY STATUS\n",
			config->path);
		return 1;
	}
	if (dia_admin_get(config->admin.text, "/status", &body, &code, &err) != DIA_OK) {
		fprintf(stderr, "diarchy: %s\n", err.text);
		goto out;
	}
	root = json_loadb((const char *)body.data, body.len, 0, NULL);
	if (code != 200 || root == NULL) {
		fprintf(stderr, "diarchy: %s answers with code %d, not a status\n",
			config->admin.text, code);
		goto out;
	}
	if (options->json)
		status =
			json_dumpf(root, stdout, JSON_INDENT(2)) != 0 || printf("\n") < 0;
	else {
		print_text(root);
		status = 0;
	}
out:
	json_decref(root);
	dia_buf_fini(&body);
	return status;
}
