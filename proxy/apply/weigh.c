/* proxy/apply/weigh.c - see weigh.h. */
#include "proxy/apply/weigh.h"
#include "parser/binlog/collation.h"
#include "proxy/core/hash.h"

#include <stdlib.h>

enum { WEIGHTS_MAX_BYTES = 8 << 20 };

struct apply_weights {
	UT_hash_handle hh;
	size_t text_len, weight_len;
	uint8_t bytes[]; /* collation (2), text, weight; the first two are the key */
};

void apply_weights_free(struct apply_db *db)
{
	struct apply_weights *w, *next;

	HASH_ITER(hh, db->weights, w, next)
	{
		HASH_DEL(db->weights, w);
		free(w);
	}
	db->weight_bytes = 0;
}

/* Failing to remember is no failure. */
static void remember(struct apply_db *db, struct dia_slice key, struct dia_slice weight)
{
	struct apply_weights *w;

	if (db->weight_bytes > WEIGHTS_MAX_BYTES)
		apply_weights_free(db);
	w = malloc(sizeof(*w) + key.len + weight.len);
	if (w == NULL)
		return;
	memcpy(w->bytes, key.data, key.len);
	if (weight.len > 0)
		memcpy(w->bytes + key.len, weight.data, weight.len);
	w->text_len = key.len;
	w->weight_len = weight.len;
	HASH_ADD_KEYPTR(hh, db->weights, w->bytes, w->text_len, w);
	if (w->hh.tbl == NULL)
		free(w);
	else
		db->weight_bytes += sizeof(*w) + key.len + weight.len;
}

static enum dia_rc ask(struct apply_db *db, uint16_t collation, struct dia_slice text,
	struct dia_slice key, struct dia_buf *out)
{
	struct dia_collation known;
	char name[64];
	struct dia_err err = {.rc = DIA_OK};
	MYSQL_RES *res = NULL;
	MYSQL_ROW row = NULL;
	enum dia_rc rc = dia_mariadb_query_one_string(db->mysql, name, sizeof(name), &err,
		"SELECT FULL_COLLATION_NAME FROM "
		"information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID=%u",
		collation);

	if (rc != DIA_OK)
		return rc;
	if (!dia_collation_find(collation, &known))
		return DIA_E_UNSUPPORTED;
	dia_buf_reset(&db->sql);
	dia_buf_printf(&db->sql, "SELECT WEIGHT_STRING(_%s x'",
		dia_charset_name((enum dia_charset)known.charset));
	for (size_t i = 0; i < text.len; i++)
		dia_buf_printf(&db->sql, "%02x", text.data[i]);
	dia_buf_printf(&db->sql, "' COLLATE %s)", name);
	db->needs_begin = false;
	rc = apply_sql_run(db, &res, &err);
	if (rc != DIA_OK)
		return rc;
	if (res != NULL)
		row = mysql_fetch_row(res);
	if (row == NULL || row[0] == NULL) {
		rc = DIA_E_PROTOCOL;
	} else {
		struct dia_slice weight =
			dia_slice_of(row[0], mysql_fetch_lengths(res)[0]);

		remember(db, key, weight);
		rc = dia_buf_add_slice(out, weight);
	}
	mysql_free_result(res);
	return rc;
}

enum dia_rc apply_weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	struct apply_db *db = ctx;
	struct dia_buf key = {0};
	struct apply_weights *w;
	enum dia_rc rc;

	if (db->mysql == NULL)
		return DIA_E_DB_GONE;
	dia_buf_add_le16(&key, collation);
	rc = dia_buf_add_slice(&key, text);
	if (rc != DIA_OK)
		goto out;
	HASH_FIND(hh, db->weights, key.data, key.len, w);
	if (w != NULL)
		rc = dia_buf_add(out, w->bytes + w->text_len, w->weight_len);
	else
		rc = ask(db, collation, text, dia_buf_slice(&key), out);
out:
	dia_buf_fini(&key);
	return rc;
}
