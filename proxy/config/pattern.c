/* proxy/config/pattern.c - table patterns: reading and matching. See reader.h. */
#include "proxy/config/reader.h"

enum { NAME_MAX_BYTES = 64 * 4, PATTERNS_MAX = 1000 };

bool dia_cfg_glob(const char *glob, struct dia_slice name)
{
	size_t at = 0, star_at = 0;
	const char *star = NULL;

	/* A mismatch behind a `*` lets that star take one more byte; earlier stars need
	 * no second look, so this is at most glob times name. */
	while (at < name.len) {
		if (*glob == '*') {
			star = glob++;
			star_at = at;
		} else if (*glob != 0 && (uint8_t)*glob == name.data[at]) {
			glob++;
			at++;
		} else if (star != NULL) {
			glob = star + 1;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return *glob == 0;
}

bool dia_cfg_pattern_covers(
	const struct dia_config_pattern *a, const struct dia_config_pattern *b)
{
	/* b's text as a name: its stars are bytes that only a star of a can take. */
	return dia_cfg_glob(a->db, dia_slice_str(b->db)) &&
	       dia_cfg_glob(a->table, dia_slice_str(b->table));
}

static bool matches(const struct dia_config_patterns *list, struct dia_slice db,
	struct dia_slice table)
{
	for (size_t i = 0; i < list->count; i++)
		if (dia_cfg_glob(list->at[i].db, db) &&
			dia_cfg_glob(list->at[i].table, table))
			return true;
	return false;
}

bool dia_config_system_schema(struct dia_slice db)
{
	static const char *const names[] = {
		"mysql", "information_schema", "performance_schema", "sys", "diarchy"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (db.len == strlen(names[i]) &&
			strncasecmp((const char *)db.data, names[i], db.len) == 0)
			return true;
	return false;
}

bool dia_config_table_replicated(
	const struct dia_config *config, struct dia_slice db, struct dia_slice table)
{
	return !dia_config_system_schema(db) && matches(&config->replicate, db, table) &&
	       !matches(&config->exclude, db, table);
}

bool dia_config_db_replicated(const struct dia_config *config, struct dia_slice db)
{
	bool some = false;

	if (dia_config_system_schema(db))
		return false;
	for (size_t i = 0; i < config->replicate.count; i++)
		some = some || dia_cfg_glob(config->replicate.at[i].db, db);
	/* Only an exclusion of all its tables excludes the database. */
	for (size_t i = 0; i < config->exclude.count; i++)
		if (dia_cfg_glob(config->exclude.at[i].db, db) &&
			strcmp(config->exclude.at[i].table, "*") == 0)
			return false;
	return some;
}

const struct dia_config_policy *dia_config_table_policy(
	const struct dia_config *config, struct dia_slice db, struct dia_slice table)
{
	for (size_t i = 0; i < config->policy_count; i++)
		if (matches(&config->policies[i].tables, db, table))
			return &config->policies[i];
	return NULL;
}

const char *dia_config_policy_text(enum dia_config_policy_kind kind)
{
	switch (kind) {
	case DIA_CONFIG_POLICY_LWW:
		return "lww";
	}
	return "?";
}

/* One name at *p, in backticks or not, into the arena; *p moves past it. NULL: bad or no
 * memory. */
static const char *take_name(struct dia_cfg_reader *r, const char **p)
{
	char name[NAME_MAX_BYTES + 1];
	bool quoted = **p == '`';
	const char *at = quoted ? *p + 1 : *p;
	struct dia_slice copy;
	size_t n = 0;

	for (;; at++) {
		if (quoted && at[0] == '`' && at[1] == '`')
			at++;
		else if (*at == 0 || *at == (quoted ? '`' : '.'))
			break;
		if (n == NAME_MAX_BYTES || (!quoted && *at == '`'))
			return NULL;
		name[n++] = *at;
	}
	if (n == 0 || (quoted && *at != '`'))
		return NULL;
	*p = quoted ? at + 1 : at;
	name[n] = 0;
	copy = dia_arena_dup(&r->config->arena, dia_slice_of(name, n + 1));
	return (const char *)copy.data;
}

static enum dia_rc read_pattern(struct dia_cfg_reader *r, yaml_node_t *node,
	const char *key, struct dia_config_patterns *list)
{
	struct dia_config_pattern *pattern = &list->at[list->count];
	const char *text, *p;
	enum dia_rc rc = dia_cfg_text(r, node, key, &text);

	if (rc != DIA_OK)
		return rc;
	p = text;
	pattern->db = take_name(r, &p);
	if (pattern->db != NULL && *p == '.') {
		p++;
		pattern->table = take_name(r, &p);
	}
	if (pattern->db == NULL || pattern->table == NULL || *p != 0)
		return dia_cfg_fail(r, node,
			"`%s`: '%.200s' is not a pattern; write \"db.table\", \"db.*\" "
			"or \"*.*\", names with a "
			"dot in backticks",
			key, text);
	if (dia_config_system_schema(dia_slice_str(pattern->db)))
		return dia_cfg_fail(r, node,
			"`%s`: '%.200s' is in a system schema, which is never "
			"replicated; remove it",
			key, text);
	pattern->line = (uint32_t)node->start_mark.line + 1;
	for (size_t i = 0; i < list->count; i++) {
		bool before = dia_cfg_pattern_covers(&list->at[i], pattern);

		if (before || dia_cfg_pattern_covers(pattern, &list->at[i]))
			return dia_cfg_fail(r, node,
				"`%s`: '%.200s' overlaps the pattern of line %u, which "
				"%s it; keep the "
				"wider one",
				key, text, list->at[i].line,
				before ? "covers" : "is covered by");
	}
	list->count++;
	return DIA_OK;
}

enum dia_rc dia_cfg_patterns(struct dia_cfg_reader *r, yaml_node_t *node, const char *key,
	struct dia_config_patterns *ret)
{
	size_t n = node->type == YAML_SEQUENCE_NODE ? dia_cfg_seq_len(node) : 1;
	struct dia_config_patterns list = {0};
	enum dia_rc rc = DIA_OK;

	if (n == 0 || n > PATTERNS_MAX)
		return dia_cfg_fail(r, node,
			"`%s` has %zu patterns; give it 1 to %d, or remove the key", key,
			n, PATTERNS_MAX);
	list.at = dia_arena_zalloc(&r->config->arena, n, sizeof(*list.at));
	if (list.at == NULL)
		return dia_cfg_nomem(r);
	if (node->type != YAML_SEQUENCE_NODE)
		rc = read_pattern(r, node, key, &list);
	for (size_t i = 0; node->type == YAML_SEQUENCE_NODE && i < n && rc == DIA_OK; i++)
		rc = read_pattern(r, dia_cfg_seq_at(r, node, i), key, &list);
	*ret = list;
	return rc;
}
