/* proxy/backend/weigh.c - see weigh.h. */
#include "proxy/backend/weigh.h"

#include "parser/binlog/collation.h"
#include "proxy/backend/mariadb.h"
#include "proxy/core/hash.h"
#include "proxy/core/log.h"

#include <stdlib.h>

enum {
	CACHE_ITEMS = 65536,
	CACHE_BYTES = 16 * 1024 * 1024,
	COLLATIONS_MAX = 4096,
	COLLATION_NAME_MAX = 64,
};

struct weight {
	struct dia_slice key; /* collation id, text: behind the struct */
	struct dia_slice value;
	UT_hash_handle hh;
};

struct dia_weigher {
	const struct dia_config *config;
	MYSQL *db;
	char (*collations)[COLLATION_NAME_MAX]; /* by id, "" unknown; NULL: not loaded */
	struct weight *weights;
	size_t weight_bytes;
	struct dia_buf sql, key;
};

enum dia_rc dia_weigher_new(const struct dia_config *config, struct dia_weigher **ret)
{
	struct dia_weigher *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return DIA_E_NOMEM;
	l->config = config;
	*ret = l;
	return DIA_OK;
}

static void forget_weights(struct dia_weigher *l)
{
	struct weight *w, *next;

	HASH_ITER(hh, l->weights, w, next)
	{
		HASH_DEL(l->weights, w);
		free(w);
	}
	l->weight_bytes = 0;
}

static void disconnect(struct dia_weigher *l)
{
	if (l->db != NULL)
		mysql_close(l->db);
	l->db = NULL;
}

void dia_weigher_free(struct dia_weigher *l)
{
	if (l == NULL)
		return;
	disconnect(l);
	forget_weights(l);
	free(l->collations);
	dia_buf_fini(&l->sql);
	dia_buf_fini(&l->key);
	free(l);
}

static enum dia_rc connect_once(struct dia_weigher *l, struct dia_err *reterr)
{
	return l->db != NULL ? DIA_OK : dia_mariadb_connect(l->config, 0, &l->db, reterr);
}

/* Names of all collations by their id. Servers from 10.10 on list those of the uca1400
 * family with their ids only in the applicability table. */
static enum dia_rc load_collations(struct dia_weigher *l, struct dia_err *reterr)
{
	enum dia_rc rc;
	MYSQL_RES *res = NULL;
	MYSQL_ROW row;

	if (l->collations != NULL)
		return DIA_OK;
	rc = dia_mariadb_query(l->db, &res, reterr,
		"SELECT ID, FULL_COLLATION_NAME FROM "
		"information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS "
		"NOT NULL");
	if (rc == DIA_E_DB)
		rc = dia_mariadb_query(l->db, &res, reterr,
			"SELECT ID, COLLATION_NAME FROM information_schema.COLLATIONS "
			"WHERE ID IS NOT NULL");
	if (rc != DIA_OK)
		return rc;
	l->collations = calloc(COLLATIONS_MAX, sizeof(*l->collations));
	while (l->collations != NULL && (row = mysql_fetch_row(res)) != NULL) {
		unsigned long id = strtoul(row[0], NULL, 10);

		if (id < COLLATIONS_MAX && strlen(row[1]) < COLLATION_NAME_MAX)
			memcpy(l->collations[id], row[1], strlen(row[1]) + 1);
	}
	mysql_free_result(res);
	return l->collations == NULL
		       ? dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for collations")
		       : DIA_OK;
}

static void add_hex(struct dia_buf *out, struct dia_slice s)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < s.len; i++) {
		dia_buf_add_u8(out, (uint8_t)digits[s.data[i] >> 4]);
		dia_buf_add_u8(out, (uint8_t)digits[s.data[i] & 15]);
	}
}

static enum dia_rc ask_weight(struct dia_weigher *l, uint16_t collation,
	struct dia_slice text, struct dia_buf *out, struct dia_err *reterr)
{
	struct dia_collation c;
	enum dia_rc rc = connect_once(l, reterr);
	MYSQL_RES *res;
	MYSQL_ROW row;

	if (rc == DIA_OK)
		rc = load_collations(l, reterr);
	if (rc != DIA_OK)
		return rc;
	if (!dia_collation_find(collation, &c) || collation >= COLLATIONS_MAX ||
		l->collations[collation][0] == '\0')
		return dia_err_set(reterr, DIA_E_UNSUPPORTED, 0,
			"collation %u is unknown", collation);
	dia_buf_reset(&l->sql);
	dia_buf_add_str(&l->sql, "SELECT WEIGHT_STRING(CONVERT(x'");
	add_hex(&l->sql, text);
	dia_buf_printf(&l->sql, "' USING %s) COLLATE %s)",
		dia_charset_name((enum dia_charset)c.charset), l->collations[collation]);
	if (l->sql.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a weight string");
	rc = dia_mariadb_query(
		l->db, &res, reterr, "%.*s", (int)l->sql.len, (const char *)l->sql.data);
	if (rc != DIA_OK)
		return rc;
	row = mysql_fetch_row(res);
	if (row == NULL || row[0] == NULL)
		rc = dia_err_set(reterr, DIA_E_DB, 0, "WEIGHT_STRING gave nothing for %s",
			l->collations[collation]);
	else
		rc = dia_buf_add(out, row[0], mysql_fetch_lengths(res)[0]);
	mysql_free_result(res);
	return rc;
}

static void remember(struct dia_weigher *l, struct dia_slice key, struct dia_slice value)
{
	struct weight *w;

	if (HASH_COUNT(l->weights) >= CACHE_ITEMS || l->weight_bytes >= CACHE_BYTES)
		forget_weights(l);
	w = malloc(sizeof(*w) + key.len + value.len);
	if (w == NULL)
		return; /* only slower */
	memcpy(w + 1, key.data, key.len);
	w->key = dia_slice_of(w + 1, key.len);
	if (value.len > 0)
		memcpy((uint8_t *)(w + 1) + key.len, value.data, value.len);
	w->value = dia_slice_of(w->key.data + key.len, value.len);
	HASH_ADD_KEYPTR(hh, l->weights, w->key.data, w->key.len, w);
	if (w->hh.tbl == NULL)
		free(w);
	else
		l->weight_bytes += sizeof(*w) + key.len + value.len;
}

enum dia_rc dia_weigher_weigh(
	void *ctx, uint16_t collation, struct dia_slice text, struct dia_buf *out)
{
	struct dia_weigher *l = ctx;
	size_t start = out->len;
	struct dia_err err = {0};
	struct weight *w;
	char quoted[DIA_ERR_TEXT_MAX];
	enum dia_rc rc;

	dia_buf_reset(&l->key);
	dia_buf_add_le16(&l->key, collation);
	if (dia_buf_add_slice(&l->key, text) != DIA_OK)
		return DIA_E_NOMEM;
	HASH_FIND(hh, l->weights, l->key.data, l->key.len, w);
	if (w != NULL)
		return dia_buf_add_slice(out, w->value);
	rc = ask_weight(l, collation, text, out, &err);
	/* A connection that was idle for hours may be dead: once more on a fresh one. */
	if (rc == DIA_E_DB_GONE) {
		disconnect(l);
		out->len = start;
		rc = ask_weight(l, collation, text, out, &err);
	}
	if (rc != DIA_OK) {
		out->len = start;
		dia_log(DIA_LOG_WARN, "backend", "weight_string_failed",
			"collation=%u error=%s", collation,
			dia_log_quote(quoted, sizeof(quoted), err.text));
		/* What this server cannot weigh it cannot weigh tomorrow either: the
		 * bytes then, which only take spellings that the collation holds equal
		 * for different keys. */
		if (rc == DIA_E_DB || rc == DIA_E_UNSUPPORTED) {
			rc = dia_buf_add_slice(out, text);
		} else {
			disconnect(l);
			return rc;
		}
	}
	if (rc == DIA_OK)
		remember(l, dia_buf_slice(&l->key),
			dia_slice_of(out->data + start, out->len - start));
	return rc;
}
