/*
 * proxy/core/change.h - a captured transaction: the one format between capture, link and
 * apply.
 *
 * The body is a run of binlog events as MariaDB wrote them: 19-byte header (event_len
 * exact, log_pos meaningless), data, no checksum. Only these types occur, in binlog
 * order, and only for replicated tables: TABLE_MAP (19), WRITE/UPDATE/DELETE_ROWS_V1
 * (23/24/25, never the compressed forms), ANNOTATE_ROWS (160), and in a DDL transaction
 * QUERY (2). So what arrives can be wrapped into a BINLOG statement without conversion;
 * parser/binlog reads it.
 */
#ifndef DIA_CORE_CHANGE_H
#define DIA_CORE_CHANGE_H

#include "proxy/core/err.h"
#include "proxy/core/hlc.h"
#include "proxy/core/slice.h"

#include <stdatomic.h>

enum {
	DIA_DC_MAX = 63,  /* highest DC id */
	DIA_DEPS_MAX = 7, /* other DCs a transaction can depend on */
};

/* A MariaDB global transaction id. */
struct dia_gtid {
	uint32_t domain;
	uint32_t server;
	uint64_t seq_no;
};

/*
 * Ids reserved for what diarchy itself writes (session gtid_domain_id and server_id): the
 * base plus an origin DC's id. A transaction in such a domain is an applied one and is
 * never shipped; every other domain is a local one. Base + 0 is for diarchy's own
 * bookkeeping.
 */
#define DIA_RESERVED_ID_BASE UINT32_C(3516923904) /* 0xd1a00000 */

static inline uint32_t dia_reserved_id(struct dia_dc origin)
{
	return DIA_RESERVED_ID_BASE + origin.id;
}

static inline bool dia_gtid_is_reserved(struct dia_gtid g)
{
	return g.domain >= DIA_RESERVED_ID_BASE &&
	       g.domain <= DIA_RESERVED_ID_BASE + DIA_DC_MAX;
}

/* A GTID position: the last GTID of each domain, as @@gtid_binlog_pos shows it. */
enum { DIA_GTID_POS_MAX = 128 };
struct dia_gtid_pos {
	uint32_t count;
	struct dia_gtid at[DIA_GTID_POS_MAX];
};

/* Parse "0-1-100,1-2-5" (empty is a valid, empty position). DIA_E_PROTOCOL on anything
 * else. */
DIA_MUST_CHECK enum dia_rc dia_gtid_pos_parse(
	struct dia_slice text, struct dia_gtid_pos *ret);
/* Text form into out, always terminated; DIA_E_LIMIT if it does not fit. */
DIA_MUST_CHECK enum dia_rc dia_gtid_pos_format(
	const struct dia_gtid_pos *pos, char *out, size_t cap);
/* Record gtid as the last one of its domain. DIA_E_LIMIT when there are too many domains.
 */
DIA_MUST_CHECK enum dia_rc dia_gtid_pos_update(
	struct dia_gtid_pos *pos, struct dia_gtid gtid);
/* True if pos is at or past `need` in every domain of `need`. */
bool dia_gtid_pos_covers(const struct dia_gtid_pos *pos, const struct dia_gtid_pos *need);

/* Positions of other origins applied at a DC when a transaction committed there. */
struct dia_deps {
	uint32_t count;
	struct {
		struct dia_dc dc;
		uint64_t seq;
	} at[DIA_DEPS_MAX];
};

/* 0 when nothing of dc had been applied. */
uint64_t dia_deps_get(const struct dia_deps *deps, struct dia_dc dc);
/* Raise dc's entry to seq (never lowers). DIA_E_LIMIT when full. */
DIA_MUST_CHECK enum dia_rc dia_deps_raise(
	struct dia_deps *deps, struct dia_dc dc, uint64_t seq);

enum dia_txn_flags {
	DIA_TXN_DDL = 1,
	/* No body: says that everything of this origin up to seq has been sent, and that
	 * whatever follows has a stamp above `stamp` and depends on at least `deps`. */
	DIA_TXN_WATERMARK = 2,
};

/* Everything about a transaction but its rows. */
struct dia_txn_head {
	struct dia_dc origin;
	uint32_t flags; /* enum dia_txn_flags */
	uint64_t seq;   /* 1, 2, 3 … per origin without gaps, in its commit order */
	struct dia_hlc stamp;
	struct dia_gtid gtid; /* in the origin's binlog */
	uint32_t commit_time; /* of the GTID event, Unix seconds */
	uint64_t captured_us; /* origin's wall clock when captured, Unix microseconds; 0
				 unknown */
	struct dia_deps deps;
};

/* Shared between outbox, senders and appliers; immutable once published. */
struct dia_txn {
	struct dia_txn_head head;
	atomic_uint refs;
	uint8_t *body;
	size_t body_len;
	size_t mapped; /* bytes of file mapping behind body, 0 when body is from malloc */
};

/*
 * Collects one body. Small bodies grow in memory; past spill_bytes they move to an
 * unlinked file in spill_dir, mapped, so that a transaction larger than memory passes.
 * Zero bytes and NULL dir mean never spill.
 */
struct dia_txn_builder {
	const char *spill_dir; /* borrowed */
	size_t spill_bytes;
	uint8_t *data;
	size_t len, cap;
	int fd; /* -1 while in memory */
};

void dia_txn_builder_init(
	struct dia_txn_builder *b, const char *spill_dir, size_t spill_bytes);
DIA_MUST_CHECK enum dia_rc dia_txn_builder_add(
	struct dia_txn_builder *b, struct dia_slice bytes, struct dia_err *reterr);
/* A transaction with one reference that takes over the collected body; b is empty again.
 */
DIA_MUST_CHECK enum dia_rc dia_txn_builder_finish(struct dia_txn_builder *b,
	const struct dia_txn_head *head, struct dia_txn **ret, struct dia_err *reterr);
void dia_txn_builder_fini(struct dia_txn_builder *b);

struct dia_txn *dia_txn_ref(struct dia_txn *txn);
void dia_txn_unref(struct dia_txn *txn); /* NULL is fine */

static inline struct dia_slice dia_txn_body(const struct dia_txn *txn)
{
	return dia_slice_of(txn->body, txn->body_len);
}

#endif /* DIA_CORE_CHANGE_H */
