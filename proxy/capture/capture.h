/*
 * proxy/capture/capture.h - this DC's binlog into stamped, journaled, published
 * transactions.
 *
 * A thread reads the binlog of the DC's own server in commit order, has the engine stamp
 * each local transaction, writes the stamps to the journal and then shows the
 * transactions to the senders (DESIGN.md section 4, notes in proxy/DESIGN.md "Capture and
 * store").
 *
 *   dia_capture_new            opens the journal; needs no database
 *   dia_capture_engine_config  where the engine has to start
 *   dia_capture_start          the thread; it connects for as long as it takes
 *   dia_capture_close          after the link: its senders hold cursors
 */
#ifndef DIA_CAPTURE_CAPTURE_H
#define DIA_CAPTURE_CAPTURE_H

#include "proxy/capture/outbox.h"
#include "proxy/capture/refused.h"
#include "proxy/engine/engine.h"
#include "proxy/peer/link.h"

struct dia_capture;

struct dia_capture_config {
	const struct dia_config *config; /* borrowed */
	struct dia_clock clock;
	/* Of the engine. */
	void (*lock)(void *ctx);
	void (*unlock)(void *ctx);
	void *lock_ctx;
	/* The captured position or the marks have moved: dia_apply_wake. NULL: nobody. */
	void (*wake)(void *ctx);
	/* Called before a group with DDL counts as captured: dia_apply_schema_changed. */
	void (*schema_changed)(void *ctx);
	void *wake_ctx;
};

DIA_MUST_CHECK enum dia_rc dia_capture_new(const struct dia_capture_config *config,
	struct dia_capture **ret, struct dia_err *reterr);
/* Sets self, last, applied and local_seq; raises last and leaves the rest to the caller.
 */
void dia_capture_engine_config(
	const struct dia_capture *c, struct dia_engine_config *ret);
/*
 * Starts the thread and returns when it has looked at the database once, whatever came of
 * it (see the status). Let clients write only after that: it is then known whether the
 * database still has all that was captured; new commits could hide what is missing.
 */
DIA_MUST_CHECK enum dia_rc dia_capture_start(
	struct dia_capture *c, struct dia_engine *engine, struct dia_err *reterr);
/* Stops the thread and frees; all cursors must be closed. NULL is fine. */
void dia_capture_close(struct dia_capture *c);

/* For the link; ctx is the struct dia_capture. */
extern const struct dia_source_ops dia_capture_source;

enum dia_capture_state {
	DIA_CAPTURE_STARTING = 0,
	DIA_CAPTURE_CONNECTING, /* no database: tried again for ever */
	DIA_CAPTURE_REBUILDING, /* reading what was captured before, up to the journal's
				   end */
	DIA_CAPTURE_STREAMING,
	DIA_CAPTURE_JOURNAL_STUCK, /* state_dir cannot be written: tried again for ever */
	DIA_CAPTURE_POWER_LOSS,    /* waiting to hear from the peers how far they are */
	DIA_CAPTURE_FAILED,        /* see error: someone must act, then restart */
	DIA_CAPTURE_STOPPED,
};
const char *dia_capture_state_text(enum dia_capture_state state);

struct dia_capture_status {
	enum dia_capture_state state;
	struct dia_err error; /* the last one; rc DIA_OK if none since the last success */
	struct dia_gtid_pos pos; /* captured up to here */
	char file[256];          /* and the binlog file and offset read last */
	uint64_t file_pos;
	uint64_t head_seq;    /* newest captured */
	uint64_t durable_seq; /* its stamp would survive a power loss */
	uint64_t first_seq;   /* oldest stamp still in the journal */
	uint64_t acked_seq;   /* applied at every configured peer */
	uint64_t rebuild_seq; /* a restart reads the binlog from here on */
	uint64_t lag_ms; /* age of the last group while more is waiting; 0 when idle */
	uint64_t incarnation;
	uint64_t groups, local, applied, ddl, unshipped; /* transaction groups read */
	uint64_t changes, body_bytes;                    /* of local ones */
	uint64_t events, bytes, reconnects, journal_errors, watermarks;
	uint64_t annotations_dropped, xa_held;
	uint64_t refused[DIA_REFUSED_REASONS];
	struct dia_outbox_stats outbox;
	/* Oldest binlog file of the server and the one a restart or a slow peer would
	 * need to read from; empty when not known. `purge_near`: the needed one is the
	 * oldest. */
	char oldest_file[256], needed_file[256];
	bool purge_near;
};
void dia_capture_status(struct dia_capture *c, struct dia_capture_status *ret);
/* What is not replicated, see refused.h. */
size_t dia_capture_refused(
	struct dia_capture *c, struct dia_refused_entry *ret, size_t cap);

#endif /* DIA_CAPTURE_CAPTURE_H */
