/*
 * proxy/config/reader.h - YAML nodes into fields by a table; internal to proxy/config.
 *
 * A `struct dia_cfg_mapping` lists the keys one mapping may have. Reading follows these
 * tables, so depth is bounded by them whatever the file nests or aliases.
 */
#ifndef DIA_CONFIG_READER_H
#define DIA_CONFIG_READER_H

#include "proxy/config/config.h"

#include <yaml.h>

struct dia_cfg_reader {
	yaml_document_t *doc;
	struct dia_config *config; /* its arena takes what is read */
	const char *path;
	struct dia_err *reterr;
};

enum dia_cfg_kind {
	DIA_CFG_TEXT = 0, /* const char * */
	DIA_CFG_NUMBER,   /* uint64_t, min..max */
	DIA_CFG_BYTES,    /* uint64_t, min..max, with K, M, G */
	DIA_CFG_PORT,     /* uint16_t */
	DIA_CFG_DC,       /* struct dia_dc */
	DIA_CFG_BOOL,
	DIA_CFG_ADDRESS,     /* struct dia_config_address */
	DIA_CFG_PATTERNS,    /* struct dia_config_patterns */
	DIA_CFG_LEVEL,       /* enum dia_log_level */
	DIA_CFG_MAPPING,     /* `map` at the same base */
	DIA_CFG_LIST,        /* of mappings: `map`, read by `read` */
	DIA_CFG_SECRET_FILE, /* const char *: content of the file named */
	DIA_CFG_LATER,       /* an error that says so */
};

struct dia_cfg_mapping;

struct dia_cfg_field {
	const char *key;
	enum dia_cfg_kind kind;
	bool required;
	size_t offset;
	uint64_t min, max;
	const char *initial; /* default as it would be written; NULL: zero */
	const struct dia_cfg_mapping *map;
	enum dia_rc (*read)(struct dia_cfg_reader *r, yaml_node_t *node);
	const char *doc;
};

struct dia_cfg_mapping {
	const char *name; /* for messages */
	const struct dia_cfg_field *fields;
	size_t count;
};

extern const struct dia_cfg_mapping dia_cfg_root;

/* Error at node's line ("FILE:LINE: …"); always DIA_E_CONFIG. node NULL: without line. */
enum dia_rc dia_cfg_fail(struct dia_cfg_reader *r, const yaml_node_t *node,
	const char *fmt, ...) DIA_PRINTF(3, 4);
enum dia_rc dia_cfg_nomem(struct dia_cfg_reader *r);
enum dia_rc dia_cfg_warn(struct dia_cfg_reader *r, const yaml_node_t *node,
	const char *fmt, ...) DIA_PRINTF(3, 4);

/* Defaults of map and the mappings in it. */
DIA_MUST_CHECK enum dia_rc dia_cfg_defaults(
	struct dia_cfg_reader *r, const struct dia_cfg_mapping *map, void *base);
DIA_MUST_CHECK enum dia_rc dia_cfg_read_mapping(struct dia_cfg_reader *r,
	yaml_node_t *node, const struct dia_cfg_mapping *map, void *base);
/* The node at a path of keys from the root ("peer", "listen"); NULL when absent. */
yaml_node_t *dia_cfg_find(struct dia_cfg_reader *r, const char *outer, const char *inner);
yaml_node_t *dia_cfg_child(
	struct dia_cfg_reader *r, yaml_node_t *mapping, const char *key);
size_t dia_cfg_seq_len(const yaml_node_t *seq);
yaml_node_t *dia_cfg_seq_at(struct dia_cfg_reader *r, yaml_node_t *seq, size_t i);

/* One scalar as text in the arena. */
DIA_MUST_CHECK enum dia_rc dia_cfg_text(
	struct dia_cfg_reader *r, yaml_node_t *node, const char *key, const char **ret);
/* A scalar or a list of them as patterns. */
DIA_MUST_CHECK enum dia_rc dia_cfg_patterns(struct dia_cfg_reader *r, yaml_node_t *node,
	const char *key, struct dia_config_patterns *ret);
DIA_MUST_CHECK enum dia_rc dia_cfg_secret_file(
	struct dia_cfg_reader *r, yaml_node_t *node, const char *key, const char **ret);

/* True if every name that b matches is matched by a. */
bool dia_cfg_pattern_covers(
	const struct dia_config_pattern *a, const struct dia_config_pattern *b);
bool dia_cfg_glob(const char *glob, struct dia_slice name);

/* What only the whole file shows. */
DIA_MUST_CHECK enum dia_rc dia_cfg_check_whole(struct dia_cfg_reader *r);

#endif /* DIA_CONFIG_READER_H */
