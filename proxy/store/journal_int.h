/*
 * proxy/store/journal_int.h - the journal's parts; only for files of proxy/store.
 *
 *   state_dir/journal/lock          flock, holds the pid of the holder
 *   state_dir/journal/head          incarnation, boot id, closed cleanly or not
 *   state_dir/journal/points        framed points, oldest first
 *   state_dir/journal/<first>.seg   entries from sequence <first> on
 */
#ifndef DIA_STORE_JOURNAL_INT_H
#define DIA_STORE_JOURNAL_INT_H

#include "proxy/store/record.h"

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

enum { DIA_SEGMENT_ENTRIES = 65536 };

struct dia_segment {
	uint64_t first;
	uint64_t count;
	int fd;
};

/* Where each point stands in the points file. */
struct dia_point_ref {
	uint64_t seq;
	uint64_t offset;
	uint32_t len;
};

struct dia_points {
	int fd;
	uint64_t size; /* of the file */
	struct dia_point_ref *refs;
	size_t count, cap;
	time_t rewritten_s; /* monotonic */
};

struct dia_journal {
	pthread_mutex_t lock;
	pthread_cond_t wake; /* the sync thread */
	pthread_t syncer;
	bool syncer_started, stopping, sync_failed;
	int dir_fd, lock_fd;
	struct dia_record_head head;
	struct dia_segment *segments; /* oldest first */
	size_t segment_count, segment_cap;
	struct dia_points points;
	uint64_t last, durable;
	struct dia_buf scratch;
};

/* All of pread/write: short transfers continued. DIA_E_CLOSED at end of file. */
DIA_MUST_CHECK enum dia_rc dia_file_read(int fd, void *data, size_t len, off_t at);
DIA_MUST_CHECK enum dia_rc dia_file_write(int fd, const void *data, size_t len, off_t at);

/* journal_open.c */
DIA_MUST_CHECK enum dia_rc dia_journal_head_save(
	struct dia_journal *j, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_journal_segment_add(
	struct dia_journal *j, uint64_t first, struct dia_err *reterr);
void dia_segment_name(uint64_t first, char out[32]);

/* points.c; the caller holds the journal's lock, or is opening it. */
DIA_MUST_CHECK enum dia_rc dia_points_load(
	struct dia_points *p, int dir_fd, uint64_t last, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_points_add(struct dia_points *p, struct dia_buf *scratch,
	const struct dia_journal_point *point, struct dia_err *reterr);
DIA_MUST_CHECK enum dia_rc dia_points_before(
	struct dia_points *p, uint64_t seq, struct dia_journal_point *ret);
DIA_MUST_CHECK enum dia_rc dia_points_oldest(
	struct dia_points *p, struct dia_journal_point *ret);
/* Forget all points older than the newest one at or before seq, whose sequence is
 * *ret_seq. DIA_E_NOT_FOUND when there is none. */
DIA_MUST_CHECK enum dia_rc dia_points_prune(struct dia_points *p, int dir_fd,
	uint64_t seq, uint64_t *ret_seq, struct dia_err *reterr);
void dia_points_fini(struct dia_points *p);

#endif /* DIA_STORE_JOURNAL_INT_H */
