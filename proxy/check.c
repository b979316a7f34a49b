/* proxy/check.c - `diarchy check`: findings of configuration and server, each with
 * remedy. */
#include "proxy/backend/server_check.h"
#include "proxy/commands.h"

#include <stdio.h>

int dia_command_check(
	const struct dia_config *config, const struct dia_command_options *options)
{
	struct dia_findings findings = {0};
	struct dia_buf out = {0};
	struct dia_err err = {0};
	int status = 1;

	if (dia_server_check(config, &findings, &err) != DIA_OK) {
		fprintf(stderr, "diarchy: %s\n", err.text);
		goto out;
	}
	if (!options->json)
		dia_findings_print(&findings, &out);
	else if (dia_findings_json(&findings, &out) != DIA_OK)
		out.failed = true;
	if (out.failed || fwrite(out.data, 1, out.len, stdout) != out.len) {
		fprintf(stderr, "diarchy: cannot print the findings\n");
		goto out;
	}
	status = dia_findings_fatal(&findings) ? 1 : 0;
out:
	dia_buf_fini(&out);
	dia_findings_fini(&findings);
	return status;
}
