/*
 * proxy/config/config.h - the configuration file, read and checked.
 *
 * YAML of DESIGN section 7, read with libyaml (the parser under libcyaml) instead of
 * libcyaml itself: every node keeps its line, so that what only a second look can see (an
 * overlap, a duplicate, an unreadable secret) is reported as exactly as a wrong type. One
 * table per mapping (config_keys.c) drives reading, defaults, bounds and the reference
 * text.
 *
 * Errors read "FILE:LINE: what is wrong; what to do". The result is immutable, owns all
 * its strings and may be read from any thread.
 */
#ifndef DIA_CONFIG_CONFIG_H
#define DIA_CONFIG_CONFIG_H

#include "proxy/core/arena.h"
#include "proxy/core/buf.h"
#include "proxy/core/err.h"
#include "proxy/core/hlc.h"
#include "proxy/core/log.h"

enum {
	DIA_CONFIG_PEERS_MAX = 7,
	DIA_CONFIG_FILE_MAX = 1 << 20,
};

struct dia_config_address {
	const char *text; /* as written: "127.0.0.1:7306", "[::1]:7306" */
	const char *host; /* without brackets; NULL when not configured */
	uint16_t port;
};

struct dia_config_peer {
	const char *name;
	struct dia_dc dc;
	struct dia_config_address address;
};

/* `db.table` in two parts; `*` stands for any run of characters. */
struct dia_config_pattern {
	const char *db;
	const char *table;
	uint32_t line;
};

struct dia_config_patterns {
	struct dia_config_pattern *at;
	size_t count;
};

enum dia_config_policy_kind {
	DIA_CONFIG_POLICY_LWW = 0,
};

struct dia_config_policy {
	struct dia_config_patterns tables;
	enum dia_config_policy_kind kind;
	uint32_t line;
};

struct dia_config {
	const char *path; /* of the file */
	struct {
		const char *name;
		struct dia_dc id;
	} dc;
	struct dia_config_address listen;
	struct {
		const char *host; /* unused when socket is set */
		uint16_t port;
		const char *socket; /* NULL: TCP */
		const char *user;
		const char *password; /* "" when none is needed */
	} database;
	struct {
		struct dia_config_address listen;
		const char *secret;
		struct dia_config_peer *dcs;
		size_t dc_count;
	} peer;
	const char *state_dir;
	struct dia_config_address admin; /* host NULL: no admin port */
	struct dia_config_patterns replicate;
	struct dia_config_patterns exclude;
	bool replicate_users;
	struct dia_config_policy *policies;
	size_t policy_count;
	uint64_t loops; /* 0: as many as suit the machine */
	enum dia_log_level log_level;
	struct {
		uint64_t max_connections;
		uint64_t txn_memory;
		uint64_t outbox_memory;
		uint64_t apply_queue_memory;
		uint64_t batch_transactions;
		uint64_t batch_bytes;
	} limits;
	struct {
		uint64_t max_ahead_ms;
	} clock;
	/* What is not wrong but should be known, each "FILE:LINE: text"; for log and
	 * check. */
	const char **warnings;
	size_t warning_count;

	struct dia_arena arena; /* internal: owns everything above */
};

/* Read and check the file. DIA_E_CONFIG (or DIA_E_NOMEM) with the first error in reterr.
 */
DIA_MUST_CHECK enum dia_rc dia_config_load(
	const char *path, struct dia_config **ret, struct dia_err *reterr);
/* The same from memory; path is for messages and for relative secret files. */
DIA_MUST_CHECK enum dia_rc dia_config_parse(struct dia_slice text, const char *path,
	struct dia_config **ret, struct dia_err *reterr);
void dia_config_free(struct dia_config *config); /* NULL is fine; wipes the secrets */

/* Whether db is one of the server's own schemas or ours. */
bool dia_config_system_schema(struct dia_slice db);
/* Whether rows and DDL of this table are shipped and applied. Case-sensitive, as names
 * are on servers with lower_case_table_names=0. Never true in a system schema. */
bool dia_config_table_replicated(
	const struct dia_config *config, struct dia_slice db, struct dia_slice table);
/* Whether anything in this database can be replicated: for CREATE/DROP/ALTER DATABASE. */
bool dia_config_db_replicated(const struct dia_config *config, struct dia_slice db);
/* The first matching policy entry, or NULL for the default (lww). */
const struct dia_config_policy *dia_config_table_policy(
	const struct dia_config *config, struct dia_slice db, struct dia_slice table);
const char *dia_config_policy_text(enum dia_config_policy_kind kind);

/* Reference of all keys as Markdown, from the tables that parse them. */
void dia_config_reference(struct dia_buf *out);

#endif /* DIA_CONFIG_CONFIG_H */
