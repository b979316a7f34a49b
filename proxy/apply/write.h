/*
 * proxy/apply/write.h - a batch of decided changes into one local transaction.
 *
 * The whole batch goes as one BINLOG statement (fast). When the server refuses a row of
 * it, the transaction starts again and the refused rows are found by halving (careful);
 * each is then written as what it finds (insert where missing, update where present). One
 * whose unique value is taken is weighed against the row that holds it (clash); one that
 * a foreign key or the columns refuse is parked in diarchy.conflicts.
 */
#ifndef DIA_APPLY_WRITE_H
#define DIA_APPLY_WRITE_H

#include "proxy/apply/statement.h"

/* What stands in this database under a key, before the batch. */
struct apply_known {
	UT_hash_handle hh;
	struct dia_slice key;
	struct apply_source *source;
	struct dia_slice image; /* that names the key */
	bool want_row;          /* a conflict record wants it whole */
	bool exists;            /* from the probe; then as the batch leaves it */
	const char *row_json;   /* NULL: no such row */
};

/* How a row here came by a unique value, against a change from elsewhere that wants it.
 */
enum apply_claim {
	APPLY_CLAIM_UNKNOWN = 0, /* by nothing concurrent, or it cannot be told */
	APPLY_CLAIM_OLDER,       /* by a concurrent local change, which is the older */
	APPLY_CLAIM_NEWER,       /* … the later of the two */
};

/* The row here that holds a unique value. Memory of the work's arena. */
struct apply_holder {
	bool found;
	const char *json;
	struct dia_slice image; /* names its primary key; data NULL: it cannot be told */
	enum apply_claim claim;
	struct dia_txn_head head; /* of its change, unless the claim is unknown */
	enum dia_change_kind kind;
};

struct apply_item {
	const struct apply_row *row;
	const struct dia_txn_head *head;
	struct dia_apply_change *change;
	struct dia_apply_change *moved; /* the INSERT of a primary-key update, or NULL */
	struct apply_put put;
	const char *holder_json; /* row that holds the unique value it wants */
	bool nothing;            /* not to be written: loses, or is gone already */
};

/* A DDL statement that found its work done, to be recorded with the batch. */
struct apply_skipped {
	struct dia_slice db, sql;
	char reason[300];
};

struct apply_work {
	struct apply_db *db;
	struct dia_apply_batch *batch;
	const struct apply_skipped *skipped; /* NULL: none */
	struct apply_item *items;
	size_t count, cap;
	struct apply_known *known;
	struct dia_arena arena;
	struct dia_buf
		records; /* rows of an INSERT into diarchy.conflicts, not sent yet */
	size_t record_count;
	unsigned repairs_logged;
};

DIA_MUST_CHECK enum dia_rc apply_write(
	void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc apply_write_with(struct apply_db *db,
	struct dia_apply_batch *batch, const struct apply_skipped *skipped,
	struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc apply_ddl(
	void *ctx, struct dia_apply_batch *batch, struct dia_err *reterr);
/* COMMIT, and the mark it carried is ours. */
DIA_MUST_CHECK enum dia_rc apply_db_commit(struct apply_db *db, struct dia_err *reterr);

/* probe.c: read the rows of work->known, locking them. */
DIA_MUST_CHECK enum dia_rc apply_probe_known(
	struct apply_work *work, struct dia_err *reterr);
/* Whether one key is there, locking it. */
DIA_MUST_CHECK enum dia_rc apply_probe_one(struct apply_db *db,
	struct apply_source *source, struct dia_slice image, bool *ret,
	struct dia_err *reterr);

/* All columns of a row just read, as JSON in work->arena; NULL when out of memory. */
const char *apply_probe_row_json(struct apply_work *work, MYSQL_RES *res, MYSQL_ROW row);

/* clash.c: look up and lock the row that holds what item's row would take in the unique
 * key named in the server's error text, and weigh its claim. Of what cannot be told,
 * ret says so. */
DIA_MUST_CHECK enum dia_rc apply_find_holder(struct apply_work *work,
	struct apply_item *item, const char *error, struct apply_holder *ret,
	struct dia_err *reterr);
/* children.c: whether rows of other tables would go or change with this one (ON DELETE
 * CASCADE, SET NULL). */
DIA_MUST_CHECK enum dia_rc apply_has_children(struct apply_work *work,
	struct apply_source *source, struct dia_slice image, bool *ret,
	struct dia_err *reterr);

/* careful.c: items [from, to), which together were refused. */
DIA_MUST_CHECK enum dia_rc apply_careful(struct apply_work *work, size_t from, size_t to,
	unsigned depth, struct dia_err *reterr);
/* Whether a server's error is about a row rather than about the server. */
bool apply_is_row_error(int number);

/* conflict.c: a record of the transaction. A decided conflict of `change`: */
DIA_MUST_CHECK enum dia_rc apply_record_conflict(struct apply_work *work,
	const struct apply_item *item, const struct dia_apply_change *change,
	struct dia_err *reterr);
/* A change that is not written: type says why, reason in the server's words. */
DIA_MUST_CHECK enum dia_rc apply_record_parked(struct apply_work *work,
	const struct apply_item *item, enum dia_apply_conflict type, const char *reason,
	struct dia_err *reterr);
/* Of two rows that want one unique value, item's and the holder's, the loser. */
DIA_MUST_CHECK enum dia_rc apply_record_clash(struct apply_work *work,
	const struct apply_item *item, const struct apply_holder *holder,
	struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc apply_record_skipped(
	struct apply_work *work, struct dia_err *reterr);
/* Send what was collected. */
DIA_MUST_CHECK enum dia_rc apply_records_send(
	struct apply_work *work, struct dia_err *reterr);

#endif /* DIA_APPLY_WRITE_H */
