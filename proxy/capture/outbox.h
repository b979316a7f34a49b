/*
 * proxy/capture/outbox.h - captured transactions on their way to the peers.
 *
 * The newest ones stay in memory, up to a number of bytes; every sender has a cursor. A
 * cursor that is older than the oldest in memory reads the binlog again (catchup.h) until
 * it is back in reach. Nothing waits for a slow or absent peer, and nothing is lost for
 * it.
 *
 * Only the newest watermark is kept: it says what all older ones said. Thread-safe; each
 * cursor belongs to one thread.
 */
#ifndef DIA_CAPTURE_OUTBOX_H
#define DIA_CAPTURE_OUTBOX_H

#include "proxy/capture/catchup.h"

struct dia_outbox;
struct dia_outbox_cursor;

struct dia_outbox_config {
	struct dia_catchup_config catchup; /* server_id: of the first, counted up */
	size_t max_bytes;
};

DIA_MUST_CHECK enum dia_rc dia_outbox_new(const struct dia_outbox_config *config,
	struct dia_outbox **ret, struct dia_err *reterr);
/* All cursors must have been closed. */
void dia_outbox_free(struct dia_outbox *o);

/* The first one published will be base_seq + 1; older ones are in the binlog. */
void dia_outbox_begin(struct dia_outbox *o, uint64_t base_seq);
/* Takes over the reference. Sequences without gaps. */
DIA_MUST_CHECK enum dia_rc dia_outbox_publish(
	struct dia_outbox *o, struct dia_txn *txn, struct dia_err *reterr);
/* Replaces the watermark. Takes over the reference. */
void dia_outbox_watermark(struct dia_outbox *o, struct dia_txn *txn);
/* Let the senders look; after a run of publishes. */
void dia_outbox_wake(struct dia_outbox *o);
/* Highest sequence there is: published, or in the journal and being read again. */
uint64_t dia_outbox_head(struct dia_outbox *o);
/* Highest sequence published since the start, or base. */
uint64_t dia_outbox_published(struct dia_outbox *o);

/* DIA_E_LOST_TAIL when after_seq is beyond all that was ever captured. */
DIA_MUST_CHECK enum dia_rc dia_outbox_open(struct dia_outbox *o, uint64_t after_seq,
	struct dia_outbox_cursor **ret, struct dia_err *reterr);
/* See struct dia_source_ops: DIA_E_AGAIN, then wait for the wake_fd. */
DIA_MUST_CHECK enum dia_rc dia_outbox_next(
	struct dia_outbox_cursor *c, struct dia_txn **ret, struct dia_err *reterr);
int dia_outbox_wake_fd(const struct dia_outbox_cursor *c);
void dia_outbox_close(struct dia_outbox_cursor *c);

struct dia_outbox_stats {
	uint64_t txns, bytes; /* in memory */
	uint32_t cursors, catching_up;
};
void dia_outbox_stats(struct dia_outbox *o, struct dia_outbox_stats *ret);

#endif /* DIA_CAPTURE_OUTBOX_H */
