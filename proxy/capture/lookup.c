/* proxy/capture/lookup.c - see lookup.h. */
#include "proxy/capture/lookup.h"

#include "proxy/backend/mariadb.h"

#include <stdlib.h>

struct dia_lookup {
	const struct dia_config *config;
	MYSQL *db;
	struct dia_buf sql;
};

enum dia_rc dia_lookup_new(const struct dia_config *config, struct dia_lookup **ret)
{
	struct dia_lookup *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return DIA_E_NOMEM;
	l->config = config;
	*ret = l;
	return DIA_OK;
}

static void disconnect(struct dia_lookup *l)
{
	if (l->db != NULL)
		mysql_close(l->db);
	l->db = NULL;
}

void dia_lookup_free(struct dia_lookup *l)
{
	if (l == NULL)
		return;
	disconnect(l);
	dia_buf_fini(&l->sql);
	free(l);
}

static enum dia_rc connect_once(struct dia_lookup *l, struct dia_err *reterr)
{
	return l->db != NULL ? DIA_OK : dia_mariadb_connect(l->config, 0, &l->db, reterr);
}

static void add_hex(struct dia_buf *out, struct dia_slice s)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < s.len; i++) {
		dia_buf_add_u8(out, (uint8_t)digits[s.data[i] >> 4]);
		dia_buf_add_u8(out, (uint8_t)digits[s.data[i] & 15]);
	}
}

static enum dia_rc ask_engine(struct dia_lookup *l, struct dia_slice db,
	struct dia_slice table, bool *ret, struct dia_err *reterr)
{
	char answer[16] = "";
	enum dia_rc rc = connect_once(l, reterr);

	if (rc != DIA_OK)
		return rc;
	dia_buf_reset(&l->sql);
	dia_buf_add_str(&l->sql,
		"SELECT e.TRANSACTIONS FROM information_schema.TABLES t JOIN "
		"information_schema.ENGINES e ON e.ENGINE=t.ENGINE WHERE "
		"t.TABLE_SCHEMA=CONVERT(x'");
	add_hex(&l->sql, db);
	dia_buf_add_str(&l->sql, "' USING utf8) AND t.TABLE_NAME=CONVERT(x'");
	add_hex(&l->sql, table);
	dia_buf_add_str(&l->sql, "' USING utf8)");
	if (l->sql.failed)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a query");
	rc = dia_mariadb_query_one_string(l->db, answer, sizeof(answer), reterr, "%.*s",
		(int)l->sql.len, (const char *)l->sql.data);
	if (rc != DIA_OK && rc != DIA_E_NOT_FOUND)
		return rc;
	*ret = strcmp(answer, "YES") == 0;
	return DIA_OK;
}

enum dia_rc dia_lookup_transactional(void *lookup, struct dia_slice db,
	struct dia_slice table, bool *ret, struct dia_err *reterr)
{
	struct dia_lookup *l = lookup;
	enum dia_rc rc = ask_engine(l, db, table, ret, reterr);

	if (rc == DIA_E_DB_GONE) {
		disconnect(l);
		rc = ask_engine(l, db, table, ret, reterr);
	}
	if (rc != DIA_OK)
		disconnect(l);
	return rc;
}
