/*
 * proxy/commands.h - the commands of the program; proxy/main.c picks one.
 */
#ifndef DIA_PROXY_COMMANDS_H
#define DIA_PROXY_COMMANDS_H

#include "proxy/config/config.h"

struct dia_command_options {
	bool json;
	uint64_t limit; /* rows that `conflicts` prints */
};

/* Each prints to stdout, errors to stderr, and returns the exit status: 0 good, 1 failed
 * or (check) fatal findings. */
int dia_command_run(
	const struct dia_config *config, const struct dia_command_options *options);
int dia_command_check(
	const struct dia_config *config, const struct dia_command_options *options);
int dia_command_status(
	const struct dia_config *config, const struct dia_command_options *options);
int dia_command_conflicts(
	const struct dia_config *config, const struct dia_command_options *options);

#endif /* DIA_PROXY_COMMANDS_H */
