/*
 * proxy/config/keys.c - every key of the file: where it goes, its bounds, its default and
 * what it says in the reference. See reader.h.
 */
#include "proxy/config/reader.h"

#include <stdlib.h>

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define AT(field) offsetof(struct dia_config, field)
#define MAPPING(label, table)                                             \
	{                                                                 \
		.name = (label), .fields = (table), .count = COUNT(table) \
	}

static enum dia_rc read_peers(struct dia_cfg_reader *r, yaml_node_t *node);
static enum dia_rc read_policies(struct dia_cfg_reader *r, yaml_node_t *node);

static const struct dia_cfg_field dc_fields[] = {
	{.key = "name",
		.kind = DIA_CFG_TEXT,
		.required = true,
		.offset = AT(dc.name),
		.doc = "name of this datacenter, in logs, conflicts and the peer's "
		       "configuration"},
	{.key = "id",
		.kind = DIA_CFG_DC,
		.required = true,
		.offset = AT(dc.id),
		.doc = "1 to 63, another one in each datacenter, never changed; also the "
		       "auto_increment_offset"},
};
static const struct dia_cfg_mapping dc_map = MAPPING("dc", dc_fields);

static const struct dia_cfg_field database_fields[] = {
	{.key = "host",
		.kind = DIA_CFG_TEXT,
		.offset = AT(database.host),
		.initial = "127.0.0.1",
		.doc = "where this datacenter's MariaDB listens"},
	{.key = "port",
		.kind = DIA_CFG_PORT,
		.offset = AT(database.port),
		.initial = "3306",
		.doc = "its TCP port"},
	{.key = "socket",
		.kind = DIA_CFG_TEXT,
		.offset = AT(database.socket),
		.doc = "path of its unix socket, instead of host and port; saves CPU"},
	{.key = "user",
		.kind = DIA_CFG_TEXT,
		.required = true,
		.offset = AT(database.user),
		.doc = "diarchy's own account; `diarchy check` prints the GRANT it "
		       "needs"},
	{.key = "password",
		.kind = DIA_CFG_TEXT,
		.offset = AT(database.password),
		.doc = "its password; may be left out with socket (unix_socket "
		       "authentication)"},
	{.key = "password_file",
		.kind = DIA_CFG_SECRET_FILE,
		.offset = AT(database.password),
		.doc = "file that holds the password instead; relative to this file; one "
		       "newline "
		       "at its end is dropped"},
};
static const struct dia_cfg_mapping database_map = MAPPING("database", database_fields);

#define PEER(field) offsetof(struct dia_config_peer, field)
static const struct dia_cfg_field peer_dc_fields[] = {
	{.key = "name",
		.kind = DIA_CFG_TEXT,
		.required = true,
		.offset = PEER(name),
		.doc = "its dc.name"},
	{.key = "id",
		.kind = DIA_CFG_DC,
		.required = true,
		.offset = PEER(dc),
		.doc = "its dc.id"},
	{.key = "address",
		.kind = DIA_CFG_ADDRESS,
		.required = true,
		.offset = PEER(address),
		.doc = "where its peer.listen is reached from here"},
};
static const struct dia_cfg_mapping peer_dc_map = MAPPING("peer.dcs", peer_dc_fields);

static const struct dia_cfg_field peer_fields[] = {
	{.key = "listen",
		.kind = DIA_CFG_ADDRESS,
		.required = true,
		.offset = AT(peer.listen),
		.doc = "address for the other datacenters' diarchy"},
	{.key = "secret",
		.kind = DIA_CFG_TEXT,
		.offset = AT(peer.secret),
		.doc = "shared by all datacenters, at least 8 characters"},
	{.key = "secret_file",
		.kind = DIA_CFG_SECRET_FILE,
		.offset = AT(peer.secret),
		.doc = "file that holds the secret instead"},
	{.key = "tls",
		.kind = DIA_CFG_LATER,
		.doc = "certificates for the peer link come with a later version; the "
		       "link is "
		       "encrypted and authenticated with the secret"},
	{.key = "dcs",
		.kind = DIA_CFG_LIST,
		.required = true,
		.map = &peer_dc_map,
		.read = read_peers,
		.doc = "the other datacenters, 1 to 7"},
};
static const struct dia_cfg_mapping peer_map = MAPPING("peer", peer_fields);

#define POLICY(field) offsetof(struct dia_config_policy, field)
static const struct dia_cfg_field policy_fields[] = {
	{.key = "tables",
		.kind = DIA_CFG_PATTERNS,
		.required = true,
		.offset = POLICY(tables),
		.doc = "pattern or list of patterns"},
	/* Read before the table is followed, see read_policies. */
	{.key = "policy",
		.kind = DIA_CFG_LIST,
		.required = true,
		.initial = "lww",
		.doc = "lww: the last writer's row stands. Others come with a later "
		       "version"},
};
static const struct dia_cfg_mapping policy_map = MAPPING("policies", policy_fields);

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
static const struct dia_cfg_field limit_fields[] = {
	{.key = "max_connections",
		.kind = DIA_CFG_NUMBER,
		.offset = AT(limits.max_connections),
		.min = 1,
		.max = 1000000,
		.initial = "2048",
		.doc = "client connections at once; further ones get error 1040"},
	{.key = "txn_memory",
		.kind = DIA_CFG_BYTES,
		.offset = AT(limits.txn_memory),
		.min = MIB,
		.max = 64 * GIB,
		.initial = "64M",
		.doc = "a transaction above this is kept in a file in state_dir"},
	{.key = "outbox_memory",
		.kind = DIA_CFG_BYTES,
		.offset = AT(limits.outbox_memory),
		.min = MIB,
		.max = 64 * GIB,
		.initial = "64M",
		.doc = "captured transactions kept for the peers; older ones are read "
		       "from the "
		       "binlog again"},
	{.key = "apply_queue_memory",
		.kind = DIA_CFG_BYTES,
		.offset = AT(limits.apply_queue_memory),
		.min = MIB,
		.max = 64 * GIB,
		.initial = "64M",
		.doc = "received transactions waiting to be applied, per peer; then it "
		       "is asked "
		       "to wait"},
	{.key = "batch_transactions",
		.kind = DIA_CFG_NUMBER,
		.offset = AT(limits.batch_transactions),
		.min = 1,
		.max = 100000,
		.initial = "400",
		.doc = "most remote transactions in one local transaction"},
	{.key = "batch_bytes",
		.kind = DIA_CFG_BYTES,
		.offset = AT(limits.batch_bytes),
		.min = 4096,
		.max = GIB,
		.initial = "4M",
		.doc = "a local transaction takes no further remote one above this"},
};
static const struct dia_cfg_mapping limits_map = MAPPING("limits", limit_fields);

static const struct dia_cfg_field clock_fields[] = {
	{.key = "max_ahead_ms",
		.kind = DIA_CFG_NUMBER,
		.offset = AT(clock.max_ahead_ms),
		.min = 1000,
		.max = 86400000,
		.initial = "60000",
		.doc = "changes stamped further in the future than this are held and "
		       "reported, "
		       "not merged"},
};
static const struct dia_cfg_mapping clock_map = MAPPING("clock", clock_fields);

static const struct dia_cfg_field root_fields[] = {
	{.key = "dc",
		.kind = DIA_CFG_MAPPING,
		.required = true,
		.map = &dc_map,
		.doc = "this datacenter"},
	{.key = "listen",
		.kind = DIA_CFG_ADDRESS,
		.required = true,
		.offset = AT(listen),
		.doc = "address for applications: where their DSN points"},
	{.key = "database",
		.kind = DIA_CFG_MAPPING,
		.required = true,
		.map = &database_map,
		.doc = "this datacenter's MariaDB"},
	{.key = "peer",
		.kind = DIA_CFG_MAPPING,
		.required = true,
		.map = &peer_map,
		.doc = "the link between datacenters"},
	{.key = "state_dir",
		.kind = DIA_CFG_TEXT,
		.required = true,
		.offset = AT(state_dir),
		.doc = "folder of diarchy's own state; one per diarchy, never copied"},
	{.key = "admin",
		.kind = DIA_CFG_ADDRESS,
		.offset = AT(admin),
		.doc = "HTTP address for /status, /metrics, /healthz, /readyz; none when "
		       "left out"},
	{.key = "replicate",
		.kind = DIA_CFG_PATTERNS,
		.offset = AT(replicate),
		.initial = "*.*",
		.doc = "patterns of the tables that are replicated: db.table, db.*, *.*; "
		       "`*` stands for "
		       "any characters, names with a dot go in backticks. Never system "
		       "schemas"},
	{.key = "exclude",
		.kind = DIA_CFG_PATTERNS,
		.offset = AT(exclude),
		.doc = "patterns of tables that are not, whatever replicate says"},
	{.key = "replicate_users",
		.kind = DIA_CFG_BOOL,
		.offset = AT(replicate_users),
		.initial = "false",
		.doc = "whether CREATE USER, GRANT and the like made in one datacenter "
		       "are made in "
		       "the other"},
	{.key = "policies",
		.kind = DIA_CFG_LIST,
		.map = &policy_map,
		.read = read_policies,
		.doc = "what happens when two datacenters changed one row; first match "
		       "wins, none: "
		       "lww"},
	{.key = "loops",
		.kind = DIA_CFG_NUMBER,
		.offset = AT(loops),
		.max = 256,
		.initial = "0",
		.doc = "threads for client traffic; 0: chosen by the number of CPUs"},
	{.key = "log_level",
		.kind = DIA_CFG_LEVEL,
		.offset = AT(log_level),
		.initial = "info",
		.doc = "error, warn, info, debug or trace"},
	{.key = "limits",
		.kind = DIA_CFG_MAPPING,
		.map = &limits_map,
		.doc = "bounds on memory and size"},
	{.key = "clock",
		.kind = DIA_CFG_MAPPING,
		.map = &clock_map,
		.doc = "trust in clocks"},
};
const struct dia_cfg_mapping dia_cfg_root = MAPPING("the file", root_fields);

/* A list of mappings that must hold 1..max items. */
static enum dia_rc check_list(
	struct dia_cfg_reader *r, yaml_node_t *node, const char *key, size_t max)
{
	if (node->type != YAML_SEQUENCE_NODE)
		return dia_cfg_fail(r, node,
			"`%s` must be a list; begin each entry with a dash or write "
			"[{...}, {...}]",
			key);
	if (dia_cfg_seq_len(node) == 0 || dia_cfg_seq_len(node) > max)
		return dia_cfg_fail(r, node, "`%s` has %zu entries; give it 1 to %zu",
			key, dia_cfg_seq_len(node), max);
	return DIA_OK;
}

static enum dia_rc read_peers(struct dia_cfg_reader *r, yaml_node_t *node)
{
	struct dia_config *c = r->config;
	enum dia_rc rc = check_list(r, node, "peer.dcs", DIA_CONFIG_PEERS_MAX);
	size_t n = rc == DIA_OK ? dia_cfg_seq_len(node) : 0;

	if (rc != DIA_OK)
		return rc;
	c->peer.dcs = dia_arena_zalloc(&c->arena, n, sizeof(*c->peer.dcs));
	if (c->peer.dcs == NULL)
		return dia_cfg_nomem(r);
	for (size_t i = 0; i < n; i++) {
		yaml_node_t *item = dia_cfg_seq_at(r, node, i);
		struct dia_config_peer *peer = &c->peer.dcs[i];

		rc = dia_cfg_read_mapping(r, item, &peer_dc_map, peer);
		if (rc != DIA_OK)
			return rc;
		for (size_t j = 0; j < i; j++)
			if (strcmp(peer->name, c->peer.dcs[j].name) == 0 ||
				peer->dc.id == c->peer.dcs[j].dc.id)
				return dia_cfg_fail(r, item,
					"datacenter '%s' with id %u has the name or id "
					"of entry %zu of "
					"peer.dcs; give each datacenter its own name and "
					"id",
					peer->name, peer->dc.id, j + 1);
		c->peer.dc_count = i + 1;
	}
	return DIA_OK;
}

/* The `policy:` word of one entry, before its other keys: those belong to the policy. */
static enum dia_rc read_policy_kind(
	struct dia_cfg_reader *r, yaml_node_t *item, enum dia_config_policy_kind *ret)
{
	static const char *const later[] = {"column", "first", "priority", "highest",
		"lowest", "manual", "custom", "ignore"};
	yaml_node_t *node;
	const char *word;
	enum dia_rc rc;

	if (item->type != YAML_MAPPING_NODE)
		return dia_cfg_fail(r, item,
			"this entry of `policies` is no mapping; write {tables: ..., "
			"policy: lww}");
	node = dia_cfg_child(r, item, "policy");
	if (node == NULL)
		return dia_cfg_fail(r, item,
			"this entry of `policies` names no policy; add policy: lww");
	rc = dia_cfg_text(r, node, "policy", &word);
	if (rc != DIA_OK)
		return rc;
	if (strcmp(word, dia_config_policy_text(DIA_CONFIG_POLICY_LWW)) == 0) {
		*ret = DIA_CONFIG_POLICY_LWW;
		return DIA_OK;
	}
	for (size_t i = 0; i < COUNT(later); i++)
		if (strcmp(word, later[i]) == 0)
			return dia_cfg_fail(r, node,
				"policy '%s' comes with a later version; use lww or "
				"leave the table out "
				"of `policies`",
				word);
	return dia_cfg_fail(r, node, "unknown policy '%s'; use lww", word);
}

static enum dia_rc read_policies(struct dia_cfg_reader *r, yaml_node_t *node)
{
	struct dia_config *c = r->config;
	enum dia_rc rc = check_list(r, node, "policies", 1000);
	size_t n = rc == DIA_OK ? dia_cfg_seq_len(node) : 0;

	if (rc != DIA_OK)
		return rc;
	c->policies = dia_arena_zalloc(&c->arena, n, sizeof(*c->policies));
	if (c->policies == NULL)
		return dia_cfg_nomem(r);
	for (size_t i = 0; i < n; i++) {
		yaml_node_t *item = dia_cfg_seq_at(r, node, i);
		struct dia_config_policy *policy = &c->policies[i];

		rc = read_policy_kind(r, item, &policy->kind);
		if (rc == DIA_OK)
			rc = dia_cfg_read_mapping(r, item, &policy_map, policy);
		if (rc != DIA_OK)
			return rc;
		policy->line = (uint32_t)item->start_mark.line + 1;
		c->policy_count = i + 1;
	}
	return DIA_OK;
}

static void describe(
	struct dia_buf *out, const struct dia_cfg_mapping *map, const char *prefix)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct dia_cfg_field *f = &map->fields[i];
		char path[128];

		(void)snprintf(path, sizeof(path), "%s%s", prefix, f->key);
		(void)dia_buf_printf(out, "| `%s` | %s | %s |\n", path,
			f->required          ? "required"
			: f->initial != NULL ? f->initial
					     : "",
			f->doc);
		if (f->map != NULL) {
			(void)snprintf(path, sizeof(path), "%s%s%s.", prefix, f->key,
				f->kind == DIA_CFG_LIST ? "[]" : "");
			describe(out, f->map, path);
		}
	}
}

void dia_config_reference(struct dia_buf *out)
{
	(void)dia_buf_add_str(out, "| key | default | meaning |\n|---|---|---|\n");
	describe(out, &dia_cfg_root, "");
}
