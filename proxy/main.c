/* proxy/main.c - the program: words of the command line to a command. */
#include "proxy/commands.h"

#include <getopt.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct command {
	const char *name;
	const char *help;
	int (*call)(const struct dia_config *config,
		const struct dia_command_options *options);
};

static const struct command commands[] = {
	{"run", "serve clients and replicate, in the foreground", dia_command_run},
	{"check", "look for what is wrong with configuration and server; [--json]",
		dia_command_check},
	{"status", "what the running diarchy says of itself; [--json]",
		dia_command_status},
	{"conflicts", "the newest conflicts and their losers; [--limit N] [--json]",
		dia_command_conflicts},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void usage(FILE *out)
{
	fprintf(out,
		"diarchy %s: active-active storage proxy for MariaDB\n\n"
		"usage: diarchy COMMAND --config FILE [options]\n\n",
		DIA_VERSION);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "  %-10s %s\n\n", "config",
		"print the reference of all configuration keys");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int print_reference(void)
{
	struct dia_buf out = {0};
	int failed;

	dia_config_reference(&out);
	failed = out.failed || fwrite(out.data, 1, out.len, stdout) != out.len;
	dia_buf_fini(&out);
	return failed;
}

static bool parse_limit(const char *text, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *ret > 0;
}

static int call(const struct command *command, const char *path,
	const struct dia_command_options *options)
{
	struct dia_config *config = NULL;
	struct dia_err err = {0};
	int status;

	if (dia_config_load(path, &config, &err) != DIA_OK) {
		fprintf(stderr, "diarchy: %s\n", err.text);
		return 1;
	}
	status = command->call(config, options);
	dia_config_free(config);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option words[] = {{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'}, {"limit", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	struct dia_command_options options = {.limit = 20};
	const struct command *command;
	const char *path = NULL;
	int c, status;

	while ((c = getopt_long(argc, argv, "c:jn:hv", words, NULL)) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			options.json = true;
			break;
		case 'n':
			if (!parse_limit(optarg, &options.limit)) {
				fprintf(stderr,
					"diarchy: --limit takes a number above 0\n");
				return 2;
			}
			break;
		case 'v':
			printf("diarchy %s\n", DIA_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind + 1 == argc && strcmp(argv[optind], "config") == 0)
		return print_reference();
	command = optind + 1 == argc ? find_command(argv[optind]) : NULL;
	if (command == NULL || path == NULL) {
		if (optind + 1 == argc && command == NULL)
			fprintf(stderr, "diarchy: no command '%s'\n\n", argv[optind]);
		else if (command != NULL)
			fprintf(stderr, "diarchy: --config FILE is missing\n\n");
		usage(stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (mysql_library_init(0, NULL, NULL) != 0) {
		fprintf(stderr,
			"diarchy: cannot initialise the MariaDB client library\n");
		return 1;
	}
	status = call(command, path, &options);
	mysql_library_end();
	return status;
}
