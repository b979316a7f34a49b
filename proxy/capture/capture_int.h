/*
 * proxy/capture/capture_int.h - the capture thread's parts; only for capture*.c.
 */
#ifndef DIA_CAPTURE_CAPTURE_INT_H
#define DIA_CAPTURE_CAPTURE_INT_H

#include "proxy/capture/capture.h"
#include "proxy/capture/group.h"
#include "proxy/backend/weigh.h"
#include "proxy/capture/lookup.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	/* Replica ids beside those of appliers (base + 1 … 63), see dia_reader_config. */
	DIA_CAPTURE_ID_LIVE = 128,
	DIA_CAPTURE_ID_CATCHUP = 256,
	DIA_CAPTURE_BURST = 256,
	DIA_CAPTURE_FILES = 64,
};

/* A group that has been read but whose place is not yet announced. */
struct dia_capture_pending {
	struct dia_gtid gtid;
	struct dia_txn *txn; /* NULL: nothing to ship */
	bool journaled;      /* its stamp is in the journal already */
};

struct dia_capture {
	struct dia_capture_config config;
	struct dia_engine *engine;
	struct dia_journal *journal;
	struct dia_outbox *outbox;
	struct dia_reader *reader;
	struct dia_group_reader *groups;
	struct dia_lookup *lookup;
	struct dia_weigher *weights;
	struct dia_refused *refused;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	int stop_fd;

	/* The thread's own from here on. */
	bool have_point; /* pos is where to attach */
	bool identity_checked;
	struct dia_journal_point start; /* the rebuild point */
	struct dia_gtid_pos pos;        /* announced up to here */
	struct dia_gtid_pos old_until;  /* what stood in the binlog when we attached */
	uint64_t seq;                   /* of the last local transaction read */
	uint64_t known_seq;             /* of the last one in the journal at start */
	struct dia_journal_entry due;   /* entry seq + 1 while seq < known_seq */
	bool have_due;
	struct dia_capture_pending pending[DIA_CAPTURE_BURST];
	size_t pending_count, pending_bytes;
	uint64_t pending_since_us;
	uint32_t last_commit_time;
	uint64_t point_us, point_groups,
		point_bytes; /* when and where the last one was set */
	uint64_t prune_us, purge_check_us;
	struct dia_txn_head watermark; /* the last published */
	uint64_t watermark_us;
	bool power_loss;
	/* capture_verify.c: what stands up to pos is being read again. */
	bool streamed, verifying;
	struct dia_gtid_pos verify_pos;
	uint64_t verify_seq; /* of the last local one met again */
	/* What the server's binlog held at the last look, and the heartbeats until then.
	 */
	bool looked, looked_back;
	struct dia_gtid_pos look_pos;
	uint64_t look_heartbeats, look_us;

	pthread_mutex_t status_lock; /* of what follows */
	pthread_cond_t tried_cond;
	bool tried; /* the database has been looked at once, with whatever result */
	struct dia_capture_status status;
	struct {
		struct dia_dc dc;
		bool heard;
		uint64_t applied;
	} peers[DIA_CONFIG_PEERS_MAX];
	struct {
		uint64_t seq; /* of the last local transaction before it */
		char name[256];
	} files[DIA_CAPTURE_FILES]; /* being read, oldest first */
	size_t file_count;
	uint64_t opened_after; /* highest position a peer has asked to go on from */
	uint32_t opens;
};

uint64_t dia_capture_now_us(const struct dia_capture *c);
void dia_capture_set_state(struct dia_capture *c, enum dia_capture_state state);
void dia_capture_set_error(struct dia_capture *c, const struct dia_err *err);
void dia_capture_set_tried(struct dia_capture *c);
/* Sleep unless stopped; false when stopping. */
bool dia_capture_pause(struct dia_capture *c, unsigned ms);
void dia_capture_lock(struct dia_capture *c);
void dia_capture_unlock(struct dia_capture *c);

/* capture_loop.c: the thread. */
void *dia_capture_run(void *capture);

/* capture_identity.c: does this database belong to this journal; where to start when the
 * journal is new. Once per process. */
DIA_MUST_CHECK enum dia_rc dia_capture_identify(
	struct dia_capture *c, struct dia_err *reterr);
/* Compare the server's binlog files with what is still needed; sets the status. */
void dia_capture_check_purge(struct dia_capture *c);

/* capture_verify.c: where to attach, and whether a group that comes then is what it was;
 * *ret_known: it was captured before and is not to be taken again. */
const struct dia_gtid_pos *dia_capture_attach_at(struct dia_capture *c);
DIA_MUST_CHECK enum dia_rc dia_capture_verify(struct dia_capture *c,
	const struct dia_group *group, bool *ret_known, struct dia_err *reterr);
/* Whether the server still writes the binlog that we read; now and then. */
DIA_MUST_CHECK enum dia_rc dia_capture_look(
	struct dia_capture *c, struct dia_err *reterr);

/* capture_flush.c: journal, announce and publish what is pending. DIA_E_STOPPED when told
 * to stop while the journal cannot be written. */
DIA_MUST_CHECK enum dia_rc dia_capture_flush(
	struct dia_capture *c, struct dia_err *reterr);
void dia_capture_note_progress(struct dia_capture *c);
/* What is due now and then: watermark, rebuild point, pruning. Nothing may be pending. */
DIA_MUST_CHECK enum dia_rc dia_capture_housekeeping(
	struct dia_capture *c, bool closing, struct dia_err *reterr);
bool dia_capture_rebuilding(const struct dia_capture *c);

#endif /* DIA_CAPTURE_CAPTURE_INT_H */
