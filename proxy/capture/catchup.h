/*
 * proxy/capture/catchup.h - transactions that have left the outbox, read from the binlog
 * again.
 *
 * One per cursor that is behind. Sequence, stamp and dependencies come from the journal:
 * a transaction is the one whose GTID the journal has at that sequence; others in between
 * had nothing to ship when they were captured.
 */
#ifndef DIA_CAPTURE_CATCHUP_H
#define DIA_CAPTURE_CATCHUP_H

#include "proxy/capture/binlog_reader.h"
#include "proxy/store/journal.h"

struct dia_catchup;

struct dia_catchup_config {
	const struct dia_config *config;
	struct dia_journal *journal;
	struct dia_clock clock;
	struct dia_dc self;
	uint32_t server_id; /* see struct dia_reader_config */
	const char *spill_dir;
	size_t spill_bytes;
};

/* To give what follows after_seq. DIA_E_NOT_FOUND: the journal does not reach back that
 * far. */
DIA_MUST_CHECK enum dia_rc dia_catchup_new(const struct dia_catchup_config *config,
	uint64_t after_seq, struct dia_catchup **ret, struct dia_err *reterr);
void dia_catchup_free(struct dia_catchup *c);

/*
 * The next transaction. Blocks for at most some 50 ms of waiting (longer while a
 * connection is made) and 100 ms of reading: a transaction of a million rows, or a day of
 * groups that are not wanted, takes many calls, between which the sender beats its heart.
 * DIA_E_AGAIN: none yet, also while the database is away.
 * DIA_E_NOT_FOUND: the binlog was purged. DIA_E_LOST_TAIL: it does not hold what the
 * journal says it held.
 */
DIA_MUST_CHECK enum dia_rc dia_catchup_next(
	struct dia_catchup *c, struct dia_txn **ret, struct dia_err *reterr);

/*
 * Whether the group with the entry's GTID and this commit time is the one it was written
 * for. A server that lost its last commits gives their GTIDs to new ones, at another
 * time. What the time says does not matter: clients set their own (SET timestamp), and
 * the database's clock is not ours.
 */
bool dia_catchup_same(const struct dia_journal_entry *entry, uint32_t commit_time);

#endif /* DIA_CAPTURE_CATCHUP_H */
