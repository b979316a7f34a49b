/*
 * tests/fuzz/fuzz_config_yaml.c - any bytes as a configuration file.
 *
 * Beyond not crashing: an error always has a text with the file's name, an accepted file
 * the values that everything relies on.
 */
#include "proxy/config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dia_config *c;
	struct dia_err err = {.rc = DIA_OK};

	if (dia_config_parse(dia_slice_of(data, size), "f", &c, &err) != DIA_OK) {
		require(c == NULL && err.rc != DIA_OK && strncmp(err.text, "f:", 2) == 0);
		return 0;
	}
	require(c->dc.id.id >= 1 && c->dc.id.id <= 63 && c->dc.name[0] != 0);
	require(c->listen.host != NULL && c->listen.port != 0);
	require(c->database.password != NULL && c->database.user[0] != 0);
	require(strlen(c->peer.secret) >= 8 && c->peer.dc_count >= 1);
	require(c->replicate.count >= 1 && c->state_dir[0] != 0);
	require(!dia_config_table_replicated(
		c, dia_slice_str("mysql"), dia_slice_str("user")));
	(void)dia_config_table_policy(
		c, dia_slice_of(data, size), dia_slice_of(data, size));
	dia_config_free(c);
	return 0;
}
