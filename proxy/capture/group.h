/*
 * proxy/capture/group.h - from binlog events to complete transactions.
 *
 * Fed event by event, so that a transaction of any size needs no more memory than its
 * keys (its body spills to a file). Decides what is shipped: rows of replicated tables
 * that have a primary key and a transactional engine, and DDL of replicated objects;
 * reports what is left out. Reads the applied marks out of transactions in the reserved
 * domains. Knows nothing of sequences and stamps.
 *
 * XA: the rows of a prepared transaction are kept until its XA COMMIT comes, and belong
 * to that group: there its locks go, and there its place in the order is.
 */
#ifndef DIA_CAPTURE_GROUP_H
#define DIA_CAPTURE_GROUP_H

#include "parser/binlog/row_image.h"
#include "proxy/capture/refused.h"
#include "proxy/config/config.h"
#include "proxy/engine/engine.h"

enum {
	DIA_ANNOTATE_MAX = 64 * 1024,
	DIA_EVENT_UNCOMPRESSED_MAX = 1 << 30, /* the server's bound for an event */
};

struct dia_group_config {
	const struct dia_config *config; /* what is replicated */
	bool want_keys;                  /* changes with keys: not needed for catch-up */
	dia_weigh_cb weigh;
	void *weigh_ctx;
	/* Whether the table's engine is transactional. Asked only for groups that are not
	 * marked so. An error ends the group. */
	enum dia_rc (*transactional)(void *ctx, struct dia_slice db,
		struct dia_slice table, bool *ret, struct dia_err *reterr);
	void *lookup_ctx;            /* of transactional */
	struct dia_refused *refused; /* NULL: do not report */
	const char *spill_dir;
	size_t spill_bytes;
};

struct dia_group_mark {
	struct dia_dc origin;
	uint64_t seq;
	struct dia_hlc stamp;
};

/* A complete group; pointers are valid until the next feed. */
struct dia_group {
	struct dia_gtid gtid;
	uint32_t commit_time; /* Unix seconds, of the GTID event */
	bool applied;         /* reserved domain: never shipped */
	bool ship;            /* has something to replicate */
	bool schema_changed;  /* holds DDL, whoever made it and whether it is shipped or
				 not */
	uint32_t txn_flags;   /* enum dia_txn_flags */
	size_t body_len;
	const struct dia_change *changes;
	size_t change_count;
	const struct dia_group_mark *marks;
	size_t mark_count;
};

struct dia_group_reader;
DIA_MUST_CHECK enum dia_rc dia_group_new(
	const struct dia_group_config *config, struct dia_group_reader **ret);
void dia_group_free(struct dia_group_reader *g);

/*
 * Take one event. *ret points to the group when the event completes it, else NULL. On an
 * error the group is given up (abort). DIA_E_DB_GONE and DIA_E_DB_RETRY come from the
 * look-ups: read the group again. DIA_E_PROTOCOL: the binlog cannot be followed (damage,
 * an incident, an event type from the future).
 */
DIA_MUST_CHECK enum dia_rc dia_group_feed(struct dia_group_reader *g,
	const struct dia_event *ev, const struct dia_group **ret, struct dia_err *reterr);

/* The complete group's body as a transaction with one reference (empty when !ship). */
DIA_MUST_CHECK enum dia_rc dia_group_take(struct dia_group_reader *g,
	const struct dia_txn_head *head, struct dia_txn **ret, struct dia_err *reterr);

/* Give up the group being read; prepared XA transactions stay. */
void dia_group_abort(struct dia_group_reader *g);
/* Prepared XA transactions whose end has not come: no rebuild point while there are any.
 */
size_t dia_group_held(const struct dia_group_reader *g);
/* Annotate events left out for their size. */
uint64_t dia_group_annotations_dropped(const struct dia_group_reader *g);

#endif /* DIA_CAPTURE_GROUP_H */
