/* proxy/conflicts.c - `diarchy conflicts`: the conflict table, newest first. */
#include "proxy/backend/mariadb.h"
#include "proxy/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* Columns whose content is JSON already or a number. */
static json_t *cell(const MYSQL_FIELD *field, const char *text, unsigned long len)
{
	json_t *parsed;

	if (text == NULL)
		return json_null();
	if (field->type == MYSQL_TYPE_LONGLONG || field->type == MYSQL_TYPE_LONG ||
		field->type == MYSQL_TYPE_SHORT) {
		/* Stamps and sequences are unsigned; those above 2^63 do not occur. */
		return json_integer((json_int_t)strtoull(text, NULL, 10));
	}
	if (strcmp(field->name, "row_key") == 0 ||
		strstr(field->name, "_image") != NULL) {
		parsed = json_loadb(text, len, JSON_DECODE_ANY, NULL);
		if (parsed != NULL)
			return parsed;
	}
	parsed = json_stringn(text, len);
	return parsed != NULL ? parsed : json_string("(not UTF-8)");
}

static int print_json(MYSQL_RES *res)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(res);
	unsigned columns = mysql_num_fields(res);
	json_t *list = json_array();
	int failed = 0;
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(res)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(res);
		json_t *object = json_object();

		for (unsigned i = 0; i < columns; i++)
			failed |= json_object_set_new(object, fields[i].name,
					  cell(&fields[i], row[i], lengths[i])) != 0;
		failed |= json_array_append_new(list, object) != 0;
	}
	failed |= json_dumpf(list, stdout, JSON_INDENT(2)) != 0 || printf("\n") < 0;
	json_decref(list);
	return failed;
}

static int print_text(MYSQL_RES *res)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(res);
	unsigned columns = mysql_num_fields(res);
	unsigned long long count = mysql_num_rows(res);
	MYSQL_ROW row;

	while ((row = mysql_fetch_row(res)) != NULL) {
		for (unsigned i = 0; i < columns; i++)
			if (row[i] != NULL)
				printf("%*s: %s\n", 14, fields[i].name, row[i]);
		printf("\n");
	}
	printf(count == 0 ? "no conflicts\n" : "%llu shown, newest first\n", count);
	return 0;
}

int dia_command_conflicts(
	const struct dia_config *config, const struct dia_command_options *options)
{
	struct dia_err err = {0};
	MYSQL_RES *res = NULL;
	MYSQL *db = NULL;
	int status = 1;

	if (dia_mariadb_connect(config, 0, &db, &err) != DIA_OK ||
		dia_mariadb_query(db, &res, &err,
			"SELECT * FROM diarchy.conflicts ORDER BY id DESC LIMIT %" PRIu64,
			options->limit) != DIA_OK) {
		fprintf(stderr, "diarchy: %s\n", err.text);
		goto out;
	}
	status = options->json ? print_json(res) : print_text(res);
out:
	if (res != NULL)
		mysql_free_result(res);
	if (db != NULL)
		mysql_close(db);
	return status;
}
