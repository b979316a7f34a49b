/* proxy/capture/refused.c - see refused.h. */
#include "proxy/capture/refused.h"

#include "proxy/core/hash.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct item {
	struct dia_refused_entry entry;
	uint64_t key;
	UT_hash_handle hh;
};

struct dia_refused {
	pthread_mutex_t lock;
	struct dia_clock clock;
	struct item *items;
	uint64_t counts[DIA_REFUSED_REASONS];
};

const char *dia_refused_label(enum dia_refused_reason reason)
{
	static const char *const labels[] = {
#define DIA_REFUSED_LABEL(name, label, remedy) label,
		DIA_REFUSED_LIST(DIA_REFUSED_LABEL)
#undef DIA_REFUSED_LABEL
	};

	return labels[reason];
}

const char *dia_refused_remedy(enum dia_refused_reason reason)
{
	static const char *const remedies[] = {
#define DIA_REFUSED_REMEDY(name, label, remedy) remedy,
		DIA_REFUSED_LIST(DIA_REFUSED_REMEDY)
#undef DIA_REFUSED_REMEDY
	};

	return remedies[reason];
}

enum dia_rc dia_refused_new(struct dia_clock clock, struct dia_refused **ret)
{
	struct dia_refused *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return DIA_E_NOMEM;
	r->clock = clock;
	(void)pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return DIA_OK;
}

void dia_refused_free(struct dia_refused *r)
{
	struct item *item, *next;

	if (r == NULL)
		return;
	HASH_ITER(hh, r->items, item, next)
	{
		HASH_DEL(r->items, item);
		free(item);
	}
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

static void log_first(const struct dia_refused_entry *e)
{
	char name[DIA_REFUSED_NAME_MAX * 2], remedy[256];

	dia_log(DIA_LOG_WARN, "capture", "not_replicated",
		"reason=%s table=%s gtid=%" PRIu32 "-%" PRIu32 "-%" PRIu64 " remedy=%s",
		dia_refused_label(e->reason), dia_log_quote(name, sizeof(name), e->name),
		e->last.domain, e->last.server, e->last.seq_no,
		dia_log_quote(remedy, sizeof(remedy), dia_refused_remedy(e->reason)));
}

void dia_refused_report(struct dia_refused *r, enum dia_refused_reason reason,
	struct dia_slice db, struct dia_slice table, struct dia_gtid gtid)
{
	char name[DIA_REFUSED_NAME_MAX];
	struct item *item;
	uint64_t key, now;
	bool first;

	if (r == NULL)
		return;
	(void)snprintf(name, sizeof(name), "%.*s%s%.*s", (int)(db.len < 64 ? db.len : 64),
		db.len == 0 ? "" : (const char *)db.data,
		db.len > 0 && table.len > 0 ? "." : "",
		(int)(table.len < 80 ? table.len : 80),
		table.len == 0 ? "" : (const char *)table.data);
	key = dia_hash64(dia_slice_str(name), (uint64_t)reason);
	now = dia_clock_wall_ms(&r->clock);
	(void)pthread_mutex_lock(&r->lock);
	r->counts[reason]++;
	HASH_FIND(hh, r->items, &key, sizeof(key), item);
	first = item == NULL;
	if (first && HASH_COUNT(r->items) < DIA_REFUSED_MAX) {
		item = calloc(1, sizeof(*item));
		if (item != NULL) {
			item->key = key;
			memcpy(item->entry.name, name, sizeof(name));
			item->entry.reason = reason;
			item->entry.first_ms = now;
			HASH_ADD(hh, r->items, key, sizeof(item->key), item);
			if (item->hh.tbl == NULL) {
				free(item);
				item = NULL;
			}
		}
	}
	if (item != NULL) {
		item->entry.count++;
		item->entry.last_ms = now;
		item->entry.last = gtid;
		if (first)
			log_first(&item->entry);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

size_t dia_refused_list(struct dia_refused *r, struct dia_refused_entry *ret, size_t cap)
{
	size_t n = 0;
	struct item *item;

	(void)pthread_mutex_lock(&r->lock);
	for (item = r->items; item != NULL && n < cap; item = item->hh.next)
		ret[n++] = item->entry;
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

uint64_t dia_refused_count(struct dia_refused *r, enum dia_refused_reason reason)
{
	uint64_t n;

	(void)pthread_mutex_lock(&r->lock);
	n = r->counts[reason];
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}
