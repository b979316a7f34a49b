/* proxy/config/reader.c - see reader.h. */
#include "proxy/config/reader.h"

#include <stdarg.h>
#include <stdio.h>

enum { WARNINGS_MAX = 16 };

enum dia_rc dia_cfg_fail(
	struct dia_cfg_reader *r, const yaml_node_t *node, const char *fmt, ...)
{
	char what[DIA_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (node == NULL)
		return dia_err_set(r->reterr, DIA_E_CONFIG, 0, "%s: %s", r->path, what);
	return dia_err_set(r->reterr, DIA_E_CONFIG, 0, "%s:%zu: %s", r->path,
		node->start_mark.line + 1, what);
}

enum dia_rc dia_cfg_nomem(struct dia_cfg_reader *r)
{
	return dia_err_set(
		r->reterr, DIA_E_NOMEM, 0, "%s: out of memory while reading it", r->path);
}

enum dia_rc dia_cfg_warn(
	struct dia_cfg_reader *r, const yaml_node_t *node, const char *fmt, ...)
{
	struct dia_config *c = r->config;
	char what[DIA_ERR_TEXT_MAX], text[DIA_ERR_TEXT_MAX + 512];
	char *copy;
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)snprintf(text, sizeof(text), "%s:%zu: %s", r->path,
		node->start_mark.line + 1, what);
	if (c->warnings == NULL)
		c->warnings =
			dia_arena_zalloc(&c->arena, WARNINGS_MAX, sizeof(*c->warnings));
	len = strlen(text) + 1;
	copy = dia_arena_alloc(&c->arena, len);
	if (c->warnings == NULL || copy == NULL)
		return dia_cfg_nomem(r);
	memcpy(copy, text, len);
	if (c->warning_count < WARNINGS_MAX)
		c->warnings[c->warning_count++] = copy;
	return DIA_OK;
}

size_t dia_cfg_seq_len(const yaml_node_t *seq)
{
	return (size_t)(seq->data.sequence.items.top - seq->data.sequence.items.start);
}

yaml_node_t *dia_cfg_seq_at(struct dia_cfg_reader *r, yaml_node_t *seq, size_t i)
{
	return yaml_document_get_node(r->doc, seq->data.sequence.items.start[i]);
}

yaml_node_t *dia_cfg_child(
	struct dia_cfg_reader *r, yaml_node_t *mapping, const char *key)
{
	if (mapping == NULL || mapping->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
		p < mapping->data.mapping.pairs.top; p++) {
		yaml_node_t *k = yaml_document_get_node(r->doc, p->key);

		if (k != NULL && k->type == YAML_SCALAR_NODE &&
			strcmp((const char *)k->data.scalar.value, key) == 0)
			return yaml_document_get_node(r->doc, p->value);
	}
	return NULL;
}

yaml_node_t *dia_cfg_find(struct dia_cfg_reader *r, const char *outer, const char *inner)
{
	yaml_node_t *node = dia_cfg_child(r, yaml_document_get_root_node(r->doc), outer);

	return inner == NULL ? node : dia_cfg_child(r, node, inner);
}

enum dia_rc dia_cfg_text(
	struct dia_cfg_reader *r, yaml_node_t *node, const char *key, const char **ret)
{
	const char *value;
	size_t len;
	char *copy;

	if (node->type != YAML_SCALAR_NODE)
		return dia_cfg_fail(r, node,
			"`%s` must be a single value; it is a list or mapping", key);
	value = (const char *)node->data.scalar.value;
	len = node->data.scalar.length;
	if (strlen(value) != len)
		return dia_cfg_fail(
			r, node, "`%s` contains a NUL character; remove it", key);
	/* An explicit "" may be meant (a password); `key:` with nothing behind is
	 * forgotten. */
	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		(len == 0 || strcmp(value, "~") == 0 || strcmp(value, "null") == 0))
		return dia_cfg_fail(
			r, node, "`%s` has no value; give it one or remove the key", key);
	copy = dia_arena_alloc(&r->config->arena, len + 1);
	if (copy == NULL)
		return dia_cfg_nomem(r);
	memcpy(copy, value, len + 1);
	*ret = copy;
	return DIA_OK;
}

/* Decimal digits and, if units, one of K, M, G. False when it is something else or does
 * not fit 64 bits. */
static bool parse_number(const char *text, bool units, uint64_t *ret)
{
	uint64_t value = 0, factor = 1;
	const char *p = text;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	if (units && *p != 0) {
		factor = *p == 'K'   ? UINT64_C(1) << 10
			 : *p == 'M' ? UINT64_C(1) << 20
			 : *p == 'G' ? UINT64_C(1) << 30
				     : 0;
		p++;
	}
	return factor != 0 && *p == 0 && !__builtin_mul_overflow(value, factor, ret);
}

static enum dia_rc read_number(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_field *f, const char *text, uint64_t *ret)
{
	uint64_t min = f->min, max = f->max;
	bool bytes = f->kind == DIA_CFG_BYTES;

	if (f->kind == DIA_CFG_PORT) {
		min = 1;
		max = UINT16_MAX;
	} else if (f->kind == DIA_CFG_DC) {
		min = 1;
		max = 63;
	}
	if (!parse_number(text, bytes, ret))
		return dia_cfg_fail(r, node, "`%s`: '%s' is not a number%s", f->key, text,
			bytes ? " of bytes; write for example 64M (K, M or G)"
			      : "; write digits only");
	if (*ret < min || *ret > max)
		return dia_cfg_fail(r, node,
			"`%s`: %s is out of range; choose %llu to %llu", f->key, text,
			(unsigned long long)min, (unsigned long long)max);
	return DIA_OK;
}

static enum dia_rc read_bool(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_field *f, const char *text, bool *ret)
{
	static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false",
									"no", "off"};

	for (size_t i = 0; i < 3; i++) {
		*ret = true;
		if (strcmp(text, yes[i]) == 0)
			return DIA_OK;
		*ret = false;
		if (strcmp(text, no[i]) == 0)
			return DIA_OK;
	}
	return dia_cfg_fail(r, node,
		"`%s`: '%s' is neither true nor false; write one of them", f->key, text);
}

static enum dia_rc read_address(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_field *f, const char *text, struct dia_config_address *ret)
{
	const char *colon = strrchr(text, ':');
	const char *host = text, *host_end = colon;
	uint64_t port = 0;
	struct dia_slice copy;

	if (colon == NULL || !parse_number(colon + 1, false, &port) || port == 0 ||
		port > UINT16_MAX)
		return dia_cfg_fail(r, node,
			"`%s`: '%s' is not an address; write HOST:PORT, for example "
			"127.0.0.1:7306",
			f->key, text);
	if (*host == '[' && host_end > host && host_end[-1] == ']') {
		host++;
		host_end--;
	} else if (memchr(host, ':', (size_t)(host_end - host)) != NULL) {
		return dia_cfg_fail(r, node,
			"`%s`: '%s' is ambiguous; write an IPv6 address in brackets: "
			"\"[::1]:7306\"",
			f->key, text);
	}
	if (memchr(host, '[', (size_t)(host_end - host)) != NULL ||
		memchr(host, ']', (size_t)(host_end - host)) != NULL)
		return dia_cfg_fail(r, node,
			"`%s`: the brackets in '%s' do not match; write \"[::1]:7306\"",
			f->key, text);
	if (host_end == host)
		return dia_cfg_fail(r, node,
			"`%s`: '%s' names no host; write 0.0.0.0%s for all interfaces",
			f->key, text, colon);
	if ((size_t)(host_end - host) > 253)
		return dia_cfg_fail(r, node,
			"`%s`: the host name is longer than 253 characters", f->key);
	copy = dia_arena_dup(
		&r->config->arena, dia_slice_of(host, (size_t)(host_end - host) + 1));
	if (copy.data == NULL)
		return dia_cfg_nomem(r);
	/* The byte behind the host was a bracket or colon. */
	((char *)(uintptr_t)copy.data)[host_end - host] = 0;
	ret->text = text;
	ret->host = (const char *)copy.data;
	ret->port = (uint16_t)port;
	return DIA_OK;
}

/* A scalar's text into the field. node is NULL for a default, which is always right. */
static enum dia_rc set_scalar(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_field *f, const char *text, void *at)
{
	uint64_t number = 0;
	enum dia_rc rc = DIA_OK;

	switch (f->kind) {
	case DIA_CFG_TEXT:
		*(const char **)at = text;
		break;
	case DIA_CFG_NUMBER:
	case DIA_CFG_BYTES:
		rc = read_number(r, node, f, text, &number);
		*(uint64_t *)at = number;
		break;
	case DIA_CFG_PORT:
		rc = read_number(r, node, f, text, &number);
		*(uint16_t *)at = (uint16_t)number;
		break;
	case DIA_CFG_DC:
		rc = read_number(r, node, f, text, &number);
		((struct dia_dc *)at)->id = (uint16_t)number;
		break;
	case DIA_CFG_BOOL:
		rc = read_bool(r, node, f, text, at);
		break;
	case DIA_CFG_ADDRESS:
		rc = read_address(r, node, f, text, at);
		break;
	case DIA_CFG_LEVEL:
		if (dia_log_level_parse(text, at) != DIA_OK)
			rc = dia_cfg_fail(r, node,
				"`%s`: '%s' is no level; use error, warn, info, debug or "
				"trace",
				f->key, text);
		break;
	case DIA_CFG_PATTERNS:
	case DIA_CFG_MAPPING:
	case DIA_CFG_LIST:
	case DIA_CFG_SECRET_FILE:
	case DIA_CFG_LATER:
		break;
	}
	return rc;
}

enum dia_rc dia_cfg_defaults(
	struct dia_cfg_reader *r, const struct dia_cfg_mapping *map, void *base)
{
	enum dia_rc rc = DIA_OK;

	for (size_t i = 0; i < map->count && rc == DIA_OK; i++) {
		const struct dia_cfg_field *f = &map->fields[i];

		if (f->kind == DIA_CFG_MAPPING)
			rc = dia_cfg_defaults(r, f->map, base);
		else if (f->initial != NULL)
			rc = set_scalar(r, NULL, f, f->initial, (char *)base + f->offset);
	}
	return rc;
}

static enum dia_rc read_field(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_field *f, void *base)
{
	void *at = (char *)base + f->offset;
	const char *text = NULL;
	enum dia_rc rc;

	switch (f->kind) {
	case DIA_CFG_MAPPING:
		return dia_cfg_read_mapping(r, node, f->map, base);
	case DIA_CFG_LIST:
		return f->read == NULL ? DIA_OK : f->read(r, node);
	case DIA_CFG_PATTERNS:
		return dia_cfg_patterns(r, node, f->key, at);
	case DIA_CFG_SECRET_FILE:
		return dia_cfg_secret_file(r, node, f->key, at);
	case DIA_CFG_LATER:
		return dia_cfg_fail(r, node, "`%s` is not supported yet: %s; remove it",
			f->key, f->doc);
	case DIA_CFG_TEXT:
	case DIA_CFG_NUMBER:
	case DIA_CFG_BYTES:
	case DIA_CFG_PORT:
	case DIA_CFG_DC:
	case DIA_CFG_BOOL:
	case DIA_CFG_ADDRESS:
	case DIA_CFG_LEVEL:
		break;
	}
	rc = dia_cfg_text(r, node, f->key, &text);
	if (rc == DIA_OK && f->required && *text == 0)
		rc = dia_cfg_fail(r, node, "`%s` is empty; give it a value", f->key);
	return rc == DIA_OK ? set_scalar(r, node, f, text, at) : rc;
}

static enum dia_rc unknown_key(
	struct dia_cfg_reader *r, yaml_node_t *key, const struct dia_cfg_mapping *map)
{
	char known[300] = "";
	size_t used = 0;

	for (size_t i = 0; i < map->count && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
			i == 0 ? "" : ", ", map->fields[i].key);
	return dia_cfg_fail(r, key, "unknown key '%.60s' in %s; it may have: %s",
		(const char *)key->data.scalar.value, map->name, known);
}

enum dia_rc dia_cfg_read_mapping(struct dia_cfg_reader *r, yaml_node_t *node,
	const struct dia_cfg_mapping *map, void *base)
{
	uint64_t seen = 0;

	if (node->type != YAML_MAPPING_NODE)
		return dia_cfg_fail(r, node, "%s must be a mapping; write {%s: ...}",
			map->name, map->fields[0].key);
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		yaml_node_t *value = yaml_document_get_node(r->doc, p->value);
		size_t i = 0;
		enum dia_rc rc;

		if (key->type != YAML_SCALAR_NODE)
			return dia_cfg_fail(r, key,
				"a key of %s is a list or mapping; write a word",
				map->name);
		while (i < map->count &&
			strcmp(map->fields[i].key,
				(const char *)key->data.scalar.value) != 0)
			i++;
		if (i == map->count)
			return unknown_key(r, key, map);
		if ((seen & (UINT64_C(1) << i)) != 0)
			return dia_cfg_fail(r, key,
				"key '%s' stands twice in %s; keep one",
				map->fields[i].key, map->name);
		seen |= UINT64_C(1) << i;
		rc = read_field(r, value, &map->fields[i], base);
		if (rc != DIA_OK)
			return rc;
	}
	for (size_t i = 0; i < map->count; i++)
		if (map->fields[i].required && (seen & (UINT64_C(1) << i)) == 0)
			return dia_cfg_fail(r, node, "%s lacks the key '%s' (%s); add it",
				map->name, map->fields[i].key, map->fields[i].doc);
	return DIA_OK;
}
