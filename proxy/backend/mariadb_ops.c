/* proxy/backend/mariadb_ops.c - MariaDB behind the seam of backend.h. */
#include "proxy/backend/backend.h"
#include "proxy/backend/mariadb.h"
#include "proxy/backend/schema.h"
#include "proxy/backend/server_check.h"

enum { COLUMNS_MAX = 256 };

static enum dia_rc ops_connect(
	const struct dia_config *config, void **ret, struct dia_err *reterr)
{
	MYSQL *db = NULL;
	enum dia_rc rc = dia_mariadb_connect(config, 0, &db, reterr);

	*ret = db;
	return rc;
}

static enum dia_rc each_row(MYSQL_RES *res,
	enum dia_rc (*row)(void *ctx, const struct dia_slice *values, size_t count),
	void *ctx)
{
	unsigned count = mysql_num_fields(res);
	struct dia_slice values[COLUMNS_MAX];
	enum dia_rc rc = DIA_OK;
	MYSQL_ROW cells;

	if (count > COLUMNS_MAX)
		return DIA_E_LIMIT;
	while (rc == DIA_OK && (cells = mysql_fetch_row(res)) != NULL) {
		const unsigned long *lengths = mysql_fetch_lengths(res);

		for (unsigned i = 0; i < count; i++)
			values[i] =
				dia_slice_of(cells[i], cells[i] == NULL ? 0 : lengths[i]);
		rc = row(ctx, values, count);
	}
	return rc;
}

static enum dia_rc ops_query(void *conn, struct dia_slice sql,
	enum dia_rc (*row)(void *ctx, const struct dia_slice *values, size_t count),
	void *ctx, struct dia_err *reterr)
{
	MYSQL *db = conn;
	MYSQL_RES *res;
	enum dia_rc rc;

	if (row == NULL)
		return dia_mariadb_exec_slice(db, sql, reterr);
	rc = dia_mariadb_query(
		db, &res, reterr, "%.*s", (int)sql.len, (const char *)sql.data);
	if (rc != DIA_OK)
		return rc;
	rc = each_row(res, row, ctx);
	if (rc != DIA_OK)
		(void)dia_err_set(reterr, rc, 0, "%.*s: its result was not taken",
			sql.len > 80 ? 80 : (int)sql.len, (const char *)sql.data);
	mysql_free_result(res);
	return rc;
}

static void ops_close(void *conn)
{
	if (conn != NULL)
		mysql_close(conn);
}

const struct dia_backend_ops dia_backend_mariadb = {
	.name = "mariadb",
	.check = dia_server_check,
	.prepare = dia_server_prepare,
	.connect = ops_connect,
	.query = ops_query,
	.close = ops_close,
};
