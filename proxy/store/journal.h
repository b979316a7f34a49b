/*
 * proxy/store/journal.h - the stamps of this DC's transactions, on disk before they are
 * shipped.
 *
 * An append-only file of fixed, checksummed records in state_dir. An append is a write()
 * before the transaction is shown to any sender, so it survives kill -9; a background
 * fdatasync makes it survive power loss shortly after, and dia_journal_durable tells up
 * to where. A torn tail is cut at open. Not LMDB, as the first design had it: with
 * MDB_NOSYNC a power loss may corrupt the whole environment, without it every commit
 * waits for the disk; a log that is only appended to, read in order and cut at its front
 * needs neither.
 */
#ifndef DIA_STORE_JOURNAL_H
#define DIA_STORE_JOURNAL_H

#include "proxy/core/change.h"

struct dia_journal;

/* What one record says of one local transaction. */
struct dia_journal_entry {
	uint64_t seq;
	struct dia_hlc stamp;
	struct dia_gtid gtid;
	uint32_t commit_time; /* of the binlog: with the GTID it tells which one it was */
	struct dia_deps deps;
};

/* A place from which the binlog can be read again: after `pos`, the next local
 * transaction is seq + 1, and `last`, `applied` are the engine's state there. */
struct dia_journal_point {
	uint64_t seq;
	struct dia_hlc last;
	struct dia_deps applied;
	struct dia_gtid_pos pos;
};

/*
 * Open or create state_dir/journal. Locks it against a second process (DIA_E_STATE names
 * the holder's pid). A new journal gets a random incarnation, *ret_new says so and it
 * holds no point yet. The boot id of the machine is kept: *ret_power_loss is set when the
 * machine has been restarted since the last append and the tail was not known to be
 * synced.
 */
DIA_MUST_CHECK enum dia_rc dia_journal_open(const char *state_dir,
	struct dia_journal **ret, bool *ret_new, bool *ret_power_loss,
	struct dia_err *reterr);
void dia_journal_close(struct dia_journal *j);
uint64_t dia_journal_incarnation(const struct dia_journal *j);

/* Entries in order without gaps. One write() for all of them. */
DIA_MUST_CHECK enum dia_rc dia_journal_append(struct dia_journal *j,
	const struct dia_journal_entry *entries, size_t count, struct dia_err *reterr);
/* Remember a point (regularly, e.g. each 1000 transactions or 64 MiB of binlog). */
DIA_MUST_CHECK enum dia_rc dia_journal_add_point(
	struct dia_journal *j, const struct dia_journal_point *p, struct dia_err *reterr);

/* DIA_E_NOT_FOUND if seq is past the end or was pruned. Thread-safe against append. */
DIA_MUST_CHECK enum dia_rc dia_journal_get(
	struct dia_journal *j, uint64_t seq, struct dia_journal_entry *ret);
/* Newest point with point.seq <= seq. */
DIA_MUST_CHECK enum dia_rc dia_journal_point_before(
	struct dia_journal *j, uint64_t seq, struct dia_journal_point *ret);
/* The oldest point there is: where a restart reads from. DIA_E_NOT_FOUND without one. */
DIA_MUST_CHECK enum dia_rc dia_journal_point_oldest(
	struct dia_journal *j, struct dia_journal_point *ret);
uint64_t dia_journal_first(struct dia_journal *j); /* 0 if empty */
uint64_t dia_journal_last(struct dia_journal *j);  /* 0 if empty */
uint64_t dia_journal_durable(struct dia_journal *j);
/* Everything up to seq is settled: files that hold only older entries may go. */
DIA_MUST_CHECK enum dia_rc dia_journal_prune(
	struct dia_journal *j, uint64_t seq, struct dia_err *reterr);

#endif /* DIA_STORE_JOURNAL_H */
