/* proxy/config/config.c - see config.h. */
#include "proxy/config/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what only the whole file shows ---- */

static enum dia_rc check_database(struct dia_cfg_reader *r)
{
	yaml_node_t *node = dia_cfg_find(r, "database", NULL);
	yaml_node_t *socket = dia_cfg_child(r, node, "socket");
	yaml_node_t *file = dia_cfg_child(r, node, "password_file");

	if (socket != NULL && *r->config->database.socket == 0)
		return dia_cfg_fail(
			r, socket, "`socket` is empty; give its path or remove the key");
	if (socket != NULL && (dia_cfg_child(r, node, "host") != NULL ||
				      dia_cfg_child(r, node, "port") != NULL))
		return dia_cfg_fail(r, socket,
			"`socket` and `host` or `port` name two ways to the database; "
			"keep one");
	if (*r->config->database.host == 0)
		return dia_cfg_fail(
			r, node, "`host` is empty; give a host or remove the key");
	if (file != NULL && dia_cfg_child(r, node, "password") != NULL)
		return dia_cfg_fail(r, file,
			"`password` and `password_file` are both given; keep one");
	if (r->config->database.password == NULL) {
		if (socket == NULL)
			return dia_cfg_fail(r, node,
				"database has neither `password` nor `password_file`; "
				"add one (password: \"\" "
				"for an account without)");
		r->config->database.password = "";
	}
	return DIA_OK;
}

static enum dia_rc check_peer(struct dia_cfg_reader *r)
{
	struct dia_config *c = r->config;
	yaml_node_t *node = dia_cfg_find(r, "peer", NULL);
	yaml_node_t *list = dia_cfg_child(r, node, "dcs");
	yaml_node_t *file = dia_cfg_child(r, node, "secret_file");
	yaml_node_t *secret = dia_cfg_child(r, node, "secret");

	if (file != NULL && secret != NULL)
		return dia_cfg_fail(
			r, file, "`secret` and `secret_file` are both given; keep one");
	if (file == NULL && secret == NULL)
		return dia_cfg_fail(r, node,
			"peer has neither `secret` nor `secret_file`; add one, the same "
			"in every "
			"datacenter");
	if (strlen(c->peer.secret) < 8)
		return dia_cfg_fail(r, file != NULL ? file : secret,
			"the peers' secret is shorter than 8 characters; make a longer "
			"one, for "
			"example with: openssl rand -base64 32");
	for (size_t i = 0; i < c->peer.dc_count; i++) {
		const struct dia_config_peer *p = &c->peer.dcs[i];

		if (p->dc.id == c->dc.id.id || strcmp(p->name, c->dc.name) == 0)
			return dia_cfg_fail(r, dia_cfg_seq_at(r, list, i),
				"peer '%s' with id %u has the name or id of this "
				"datacenter; list only "
				"the others, each with its own name and id",
				p->name, p->dc.id);
	}
	return DIA_OK;
}

static bool same_address(
	const struct dia_config_address *a, const struct dia_config_address *b)
{
	return a->host != NULL && b->host != NULL && a->port == b->port &&
	       (strcmp(a->host, b->host) == 0 || strcmp(a->host, "0.0.0.0") == 0 ||
		       strcmp(b->host, "0.0.0.0") == 0 || strcmp(a->host, "::") == 0 ||
		       strcmp(b->host, "::") == 0);
}

static enum dia_rc check_addresses(struct dia_cfg_reader *r)
{
	struct dia_config *c = r->config;
	static const char clash[] =
		"%s is the address of `%s` too; give each its own port";

	if (same_address(&c->peer.listen, &c->listen))
		return dia_cfg_fail(r, dia_cfg_find(r, "peer", "listen"), clash,
			c->peer.listen.text, "listen");
	if (same_address(&c->admin, &c->listen))
		return dia_cfg_fail(r, dia_cfg_find(r, "admin", NULL), clash,
			c->admin.text, "listen");
	if (same_address(&c->admin, &c->peer.listen))
		return dia_cfg_fail(r, dia_cfg_find(r, "admin", NULL), clash,
			c->admin.text, "peer.listen");
	return DIA_OK;
}

static enum dia_rc check_patterns(struct dia_cfg_reader *r)
{
	const struct dia_config *c = r->config;
	yaml_node_t *list = dia_cfg_find(r, "policies", NULL);

	for (size_t i = 0; i < c->replicate.count; i++)
		for (size_t j = 0; j < c->exclude.count; j++)
			if (dia_cfg_pattern_covers(
				    &c->exclude.at[j], &c->replicate.at[i]))
				return dia_cfg_fail(r, dia_cfg_find(r, "exclude", NULL),
					"`exclude` takes away all of '%s.%s' in "
					"`replicate`; remove one of them",
					c->replicate.at[i].db, c->replicate.at[i].table);
	for (size_t i = 0; i < c->policy_count; i++)
		for (size_t k = 0; k < c->policies[i].tables.count; k++)
			for (size_t j = 0; j < i; j++)
				for (size_t m = 0; m < c->policies[j].tables.count; m++)
					if (dia_cfg_pattern_covers(
						    &c->policies[j].tables.at[m],
						    &c->policies[i].tables.at[k]))
						return dia_cfg_fail(r,
							dia_cfg_seq_at(r, list, i),
							"'%s.%s' is never reached: the "
							"policy of line %u covers it and "
							"the first match wins; put the "
							"narrower one first",
							c->policies[i].tables.at[k].db,
							c->policies[i].tables.at[k].table,
							c->policies[j].line);
	return DIA_OK;
}

enum dia_rc dia_cfg_check_whole(struct dia_cfg_reader *r)
{
	enum dia_rc rc = check_database(r);

	if (rc == DIA_OK)
		rc = check_peer(r);
	if (rc == DIA_OK)
		rc = check_addresses(r);
	if (rc == DIA_OK)
		rc = check_patterns(r);
	return rc;
}

/* ---- reading ---- */

static enum dia_rc yaml_error(struct dia_cfg_reader *r, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return dia_cfg_nomem(r);
	if (parser->error == YAML_READER_ERROR)
		return dia_err_set(r->reterr, DIA_E_CONFIG, 0,
			"%s: byte %zu: not UTF-8 text (%s); save the file as UTF-8",
			r->path, parser->problem_offset, parser->problem);
	return dia_err_set(r->reterr, DIA_E_CONFIG, 0,
		"%s:%zu: not YAML: %s%s%s; check indentation, quotes and brackets",
		r->path, parser->problem_mark.line + 1,
		parser->context == NULL ? "" : parser->context,
		parser->context == NULL ? "" : ", ",
		parser->problem == NULL ? "malformed" : parser->problem);
}

static enum dia_rc set_initial(struct dia_cfg_reader *r)
{
	struct dia_config *c = r->config;

	c->replicate.at = dia_arena_zalloc(&c->arena, 1, sizeof(*c->replicate.at));
	if (c->replicate.at == NULL)
		return dia_cfg_nomem(r);
	c->replicate.at[0] = (struct dia_config_pattern){.db = "*", .table = "*"};
	c->replicate.count = 1;
	return dia_cfg_defaults(r, &dia_cfg_root, c);
}

static enum dia_rc read_document(struct dia_cfg_reader *r, yaml_parser_t *parser)
{
	yaml_document_t doc, second;
	yaml_node_t *root;
	enum dia_rc rc;

	if (!yaml_parser_load(parser, &doc))
		return yaml_error(r, parser);
	r->doc = &doc;
	root = yaml_document_get_root_node(&doc);
	if (root == NULL)
		rc = dia_cfg_fail(r, NULL,
			"the file is empty; begin with dc: {name: ..., id: ...}");
	else if ((rc = set_initial(r)) == DIA_OK)
		rc = dia_cfg_read_mapping(r, root, &dia_cfg_root, r->config);
	if (rc == DIA_OK)
		rc = dia_cfg_check_whole(r);
	if (rc == DIA_OK) {
		if (!yaml_parser_load(parser, &second)) {
			rc = yaml_error(r, parser);
		} else {
			root = yaml_document_get_root_node(&second);
			if (root != NULL)
				rc = dia_cfg_fail(r, root,
					"a second document begins here; keep one (remove "
					"---)");
			yaml_document_delete(&second);
		}
	}
	yaml_document_delete(&doc);
	r->doc = NULL;
	return rc;
}

enum dia_rc dia_config_parse(struct dia_slice text, const char *path,
	struct dia_config **ret, struct dia_err *reterr)
{
	struct dia_cfg_reader r = {.path = path, .reterr = reterr};
	struct dia_slice copy;
	yaml_parser_t parser;
	enum dia_rc rc;

	*ret = NULL;
	r.config = calloc(1, sizeof(*r.config));
	if (r.config == NULL || !yaml_parser_initialize(&parser)) {
		free(r.config);
		return dia_cfg_nomem(&r);
	}
	copy = dia_arena_dup(&r.config->arena, dia_slice_of(path, strlen(path) + 1));
	r.config->path = (const char *)copy.data;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, text.data, text.len);
	rc = copy.data == NULL ? dia_cfg_nomem(&r) : read_document(&r, &parser);
	yaml_parser_delete(&parser);
	if (rc != DIA_OK) {
		dia_config_free(r.config);
		return rc;
	}
	*ret = r.config;
	return DIA_OK;
}

static enum dia_rc read_file(
	const char *path, struct dia_buf *out, struct dia_err *reterr)
{
	struct stat st;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum dia_rc rc = DIA_OK;

	if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		rc = dia_err_set(reterr, DIA_E_CONFIG, errno,
			"cannot read the configuration file %s: %s; name it with "
			"--config FILE",
			path, fd >= 0 ? "it is a folder" : strerror(errno));
		goto out;
	}
	while (out->len <= DIA_CONFIG_FILE_MAX) {
		if (dia_buf_reserve(out, 65536) != DIA_OK) {
			rc = dia_err_set(
				reterr, DIA_E_NOMEM, 0, "%s: out of memory", path);
			goto out;
		}
		n = read(fd, out->data + out->len, 65536);
		if (n <= 0)
			break;
		out->len += (size_t)n;
	}
	if (n < 0)
		rc = dia_err_set(reterr, DIA_E_CONFIG, errno,
			"cannot read the configuration file %s: %s", path,
			strerror(errno));
	else if (out->len > DIA_CONFIG_FILE_MAX)
		rc = dia_err_set(reterr, DIA_E_CONFIG, 0,
			"%s: larger than 1 MiB; this is not a configuration file", path);
out:
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

enum dia_rc dia_config_load(
	const char *path, struct dia_config **ret, struct dia_err *reterr)
{
	struct dia_buf text = {0};
	enum dia_rc rc = read_file(path, &text, reterr);

	*ret = NULL;
	if (rc == DIA_OK)
		rc = dia_config_parse(dia_buf_slice(&text), path, ret, reterr);
	if (text.data != NULL)
		explicit_bzero(text.data, text.len);
	dia_buf_fini(&text);
	return rc;
}

static void wipe(const char *secret)
{
	if (secret != NULL && *secret != 0)
		explicit_bzero((void *)(uintptr_t)secret, strlen(secret));
}

void dia_config_free(struct dia_config *config)
{
	if (config == NULL)
		return;
	wipe(config->database.password);
	wipe(config->peer.secret);
	dia_arena_fini(&config->arena);
	free(config);
}
