/* proxy/apply/source.c - the cache of schemas that arrive; see source.h. */
#include "proxy/apply/source.h"
#include "proxy/core/log.h"

#include <stdlib.h>

enum {
	SOURCES_MAX = 4096,
	MAP_SKIP = 8, /* table id and flags, which say nothing about the schema */
};

static void source_free(struct apply_db *db, struct apply_source *s)
{
	if (s->hh.tbl != NULL)
		HASH_DEL(db->sources, s);
	dia_arena_fini(&s->arena);
	dia_arena_fini(&s->bind_arena);
	free(s);
}

void apply_sources_free(struct apply_db *db)
{
	struct apply_source *s, *next;

	HASH_ITER(hh, db->sources, s, next)
	source_free(db, s);
}

/* Room for one more: the unused ones that were not seen for longest go. */
static void make_room(struct apply_db *db)
{
	struct apply_source *s, *next;

	if (HASH_COUNT(db->sources) < SOURCES_MAX)
		return;
	HASH_ITER(hh, db->sources, s, next)
	if (s->refs == 0 && s->used + SOURCES_MAX / 2 < db->tick)
		source_free(db, s);
}

static enum dia_rc source_new(struct apply_db *db, const struct dia_event *ev,
	uint64_t hash, struct apply_source **ret, struct dia_err *reterr)
{
	struct apply_source *s = calloc(1, sizeof(*s));
	struct dia_slice copy;
	struct dia_event own;

	if (s == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "out of memory for a table's schema");
	copy = dia_arena_dup(&s->arena, ev->raw);
	if (copy.data == NULL)
		goto nomem;
	if (dia_event_parse(copy, false, &own) != DIA_PARSE_OK ||
		dia_table_map_parse(&own, &s->arena, &s->table) != DIA_PARSE_OK) {
		source_free(db, s);
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"malformed Table_map event from %s; its diarchy and ours may not "
			"be of "
			"the same version",
			db->c.origin_name);
	}
	/* Whatever a peer sends: never rows of system schemas, nor of what is excluded
	 * here. */
	s->replicated =
		dia_config_table_replicated(db->c.config, s->table.db, s->table.name);
	if (!s->replicated)
		dia_log(DIA_LOG_WARN, "apply", "not_replicated",
			"dc=%s table=%.*s.%.*s reason=\"excluded by the configuration "
			"here\"",
			db->c.origin_name, (int)s->table.db.len,
			(const char *)s->table.db.data, (int)s->table.name.len,
			(const char *)s->table.name.data);
	s->hash = hash;
	make_room(db);
	HASH_ADD(hh, db->sources, hash, sizeof(s->hash), s);
	if (s->hh.tbl == NULL)
		goto nomem;
	*ret = s;
	return DIA_OK;
nomem:
	source_free(db, s);
	return dia_err_set(reterr, DIA_E_NOMEM, 0, "out of memory for a table's schema");
}

enum dia_rc apply_source_get(struct apply_db *db, const struct dia_event *ev,
	struct apply_source **ret, struct dia_err *reterr)
{
	struct apply_source *s;
	struct dia_slice body = ev->data;
	struct dia_slice known;
	uint64_t hash;
	enum dia_rc rc;

	if (body.len <= MAP_SKIP)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"Table_map event of %zu bytes from %s", body.len,
			db->c.origin_name);
	body = dia_slice_of(body.data + MAP_SKIP, body.len - MAP_SKIP);
	hash = dia_hash64(body, 0);
	for (;; hash++) {
		HASH_FIND(hh, db->sources, &hash, sizeof(hash), s);
		if (s == NULL)
			break;
		known = dia_slice_of(s->table.map.data + DIA_EVENT_HEADER_LEN + MAP_SKIP,
			s->table.map.len - DIA_EVENT_HEADER_LEN - MAP_SKIP);
		if (dia_slice_eq(known, body))
			break;
	}
	if (s == NULL) {
		rc = source_new(db, ev, hash, &s, reterr);
		if (rc != DIA_OK)
			return rc;
	}
	s->refs++;
	s->used = ++db->tick;
	*ret = s;
	return DIA_OK;
}

void apply_source_put(struct apply_source *source)
{
	source->refs--;
}
