/*
 * tests/fuzz/fuzz_apply_body.c - a transaction's body from a peer, up to the statement.
 *
 * The first byte says whether it calls itself DDL. What parses must be writable.
 */
#include "proxy/apply/parse.h"
#include "proxy/apply/statement.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
	"dc: {name: west, id: 2}\nlisten: 127.0.0.1:7306\n"
	"database: {host: 127.0.0.1, port: 1, user: u, password: p}\n"
	"peer:\n  listen: 127.0.0.1:7406\n  secret: a-secret-of-some-length\n"
	"  dcs:\n    - {name: east, id: 1, address: 127.0.0.1:8406}\n"
	"state_dir: /tmp\n";

static void write_rows(struct apply_db *db, const struct apply_parsed *p)
{
	struct apply_statement st;

	apply_statement_start(&st, db);
	st.limit = SIZE_MAX / 2; /* never send: there is no server */
	for (size_t i = 0; i < p->row_count; i++) {
		struct apply_put put = {.source = p->rows[i].source,
			.kind = p->rows[i].row.kind,
			.flags = p->rows[i].flags,
			.before = p->rows[i].row.before,
			.after = p->rows[i].row.after};

		put.source->fit = APPLY_FIT_RAW;
		if (apply_statement_put(&st, &put, NULL) != DIA_OK)
			return;
	}
	if (apply_statement_mark(&st, 1, 2, NULL) != DIA_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dia_config *config;
	static atomic_uint_fast64_t generation;
	static struct apply_db db;
	struct dia_txn txn = {.head = {.origin = {1}, .seq = 1}};
	struct dia_apply_txn t = {.txn = &txn};

	if (size < 1)
		return 0;
	if (config == NULL) {
		struct dia_apply_db_config c;

		dia_log_configure(DIA_LOG_ERROR, -1);
		if (dia_config_parse(dia_slice_str(yaml), "fuzz", &config, NULL) !=
			DIA_OK)
			abort();
		c = (struct dia_apply_db_config){.config = config,
			.origin = {1},
			.origin_name = "east",
			.self_name = "west",
			.schema_generation = &generation};
		if (apply_db_init(&db, &c) != DIA_OK)
			abort();
		db.max_packet = 64 << 20;
	}
	txn.head.flags = data[0] & DIA_TXN_DDL;
	txn.body = (uint8_t *)(uintptr_t)(data + 1);
	txn.body_len = size - 1;
	if (apply_parse(&db, &t, NULL) == DIA_OK)
		write_rows(&db, t.parsed);
	apply_release(&db, &t);
	/* Each input starts without the schemas of the last. */
	apply_sources_free(&db);
	return 0;
}
