/* proxy/store/journal.c - see journal.h; files and layout in journal_int.h and record.h.
 */
#include "proxy/store/journal_int.h"
#include "proxy/core/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum dia_rc dia_file_read(int fd, void *data, size_t len, off_t at)
{
	uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? DIA_E_CLOSED : DIA_E_IO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return DIA_OK;
}

enum dia_rc dia_file_write(int fd, const void *data, size_t len, off_t at)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return DIA_E_IO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return DIA_OK;
}

uint64_t dia_journal_incarnation(const struct dia_journal *j)
{
	return j->head.incarnation;
}

/* The last segment, with room for at least one entry. A full one is synced first, so that
 * the sync thread need only look at the last. */
static enum dia_rc segment_with_room(
	struct dia_journal *j, struct dia_segment **ret, struct dia_err *reterr)
{
	struct dia_segment *s =
		j->segment_count == 0 ? NULL : &j->segments[j->segment_count - 1];
	enum dia_rc rc = DIA_OK;

	if (s == NULL || s->count >= DIA_SEGMENT_ENTRIES) {
		if (s != NULL) {
			if (fdatasync(s->fd) != 0)
				return dia_err_set(reterr, DIA_E_IO, errno,
					"journal: sync: %s", strerror(errno));
			j->durable = j->last;
		}
		rc = dia_journal_segment_add(j, j->last + 1, reterr);
	}
	*ret = j->segment_count == 0 ? NULL : &j->segments[j->segment_count - 1];
	return rc;
}

static enum dia_rc append_some(struct dia_journal *j,
	const struct dia_journal_entry *entries, size_t count, size_t *done,
	struct dia_err *reterr)
{
	struct dia_segment *s = NULL;
	uint8_t record[DIA_RECORD_ENTRY_LEN];
	enum dia_rc rc = segment_with_room(j, &s, reterr);
	off_t at;

	if (rc != DIA_OK)
		return rc;
	if (count > DIA_SEGMENT_ENTRIES - s->count)
		count = (size_t)(DIA_SEGMENT_ENTRIES - s->count);
	dia_buf_reset(&j->scratch);
	for (size_t i = 0; i < count; i++) {
		dia_record_entry_write(record, &entries[i]);
		dia_buf_add(&j->scratch, record, sizeof(record));
	}
	if (j->scratch.failed)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for a journal append");
	at = (off_t)(DIA_RECORD_SEGMENT_HEAD_LEN + s->count * DIA_RECORD_ENTRY_LEN);
	if (dia_file_write(s->fd, j->scratch.data, j->scratch.len, at) != DIA_OK) {
		int number = errno;

		/* Whatever part of it was written must not be found at the next open. */
		if (ftruncate(s->fd, at) != 0)
			number = errno;
		return dia_err_set(reterr, DIA_E_IO, number,
			"journal: cannot write to state_dir: %s%s", strerror(number),
			number == ENOSPC ? "; free disk space there" : "");
	}
	s->count += count;
	j->last += count;
	*done += count;
	return DIA_OK;
}

enum dia_rc dia_journal_append(struct dia_journal *j,
	const struct dia_journal_entry *entries, size_t count, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;
	size_t done = 0;

	(void)pthread_mutex_lock(&j->lock);
	for (size_t i = 0; i < count && rc == DIA_OK; i++)
		if (entries[i].seq != j->last + 1 + i ||
			entries[i].deps.count > DIA_DEPS_MAX)
			rc = dia_err_set(reterr, DIA_E_STATE, 0,
				"journal append of %" PRIu64 " after %" PRIu64,
				entries[i].seq, j->last + i);
	while (rc == DIA_OK && done < count)
		rc = append_some(j, entries + done, count - done, &done, reterr);
	(void)pthread_cond_signal(&j->wake);
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

enum dia_rc dia_journal_add_point(
	struct dia_journal *j, const struct dia_journal_point *p, struct dia_err *reterr)
{
	enum dia_rc rc;

	(void)pthread_mutex_lock(&j->lock);
	if (p->seq > j->last)
		rc = dia_err_set(reterr, DIA_E_STATE, 0,
			"journal point at %" PRIu64 " behind the last entry", p->seq);
	else
		rc = dia_points_add(&j->points, &j->scratch, p, reterr);
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

enum dia_rc dia_journal_get(
	struct dia_journal *j, uint64_t seq, struct dia_journal_entry *ret)
{
	uint8_t record[DIA_RECORD_ENTRY_LEN];
	enum dia_rc rc = DIA_E_NOT_FOUND;

	(void)pthread_mutex_lock(&j->lock);
	/* Newest first: that is where nearly every question goes. */
	for (size_t i = j->segment_count; i-- > 0;) {
		struct dia_segment *s = &j->segments[i];

		if (seq < s->first)
			continue;
		if (seq - s->first >= s->count)
			break;
		rc = dia_file_read(s->fd, record, sizeof(record),
			(off_t)(DIA_RECORD_SEGMENT_HEAD_LEN +
				(seq - s->first) * DIA_RECORD_ENTRY_LEN));
		if (rc == DIA_OK &&
			(!dia_record_entry_read(record, ret) || ret->seq != seq))
			rc = DIA_E_IO;
		break;
	}
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

enum dia_rc dia_journal_point_before(
	struct dia_journal *j, uint64_t seq, struct dia_journal_point *ret)
{
	enum dia_rc rc;

	(void)pthread_mutex_lock(&j->lock);
	rc = dia_points_before(&j->points, seq, ret);
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

enum dia_rc dia_journal_point_oldest(struct dia_journal *j, struct dia_journal_point *ret)
{
	enum dia_rc rc;

	(void)pthread_mutex_lock(&j->lock);
	rc = dia_points_oldest(&j->points, ret);
	(void)pthread_mutex_unlock(&j->lock);
	return rc;
}

uint64_t dia_journal_first(struct dia_journal *j)
{
	uint64_t first;

	(void)pthread_mutex_lock(&j->lock);
	first = j->segment_count == 0 || j->segments[0].count == 0 ? 0
								   : j->segments[0].first;
	(void)pthread_mutex_unlock(&j->lock);
	return first;
}

uint64_t dia_journal_last(struct dia_journal *j)
{
	uint64_t last;

	(void)pthread_mutex_lock(&j->lock);
	last = j->last;
	(void)pthread_mutex_unlock(&j->lock);
	return last;
}

uint64_t dia_journal_durable(struct dia_journal *j)
{
	uint64_t durable;

	(void)pthread_mutex_lock(&j->lock);
	durable = j->durable;
	(void)pthread_mutex_unlock(&j->lock);
	return durable;
}

enum dia_rc dia_journal_prune(struct dia_journal *j, uint64_t seq, struct dia_err *reterr)
{
	uint64_t keep_after = 0;
	size_t drop = 0;
	enum dia_rc rc;
	char name[32];

	(void)pthread_mutex_lock(&j->lock);
	rc = dia_points_prune(&j->points, j->dir_fd, seq, &keep_after, reterr);
	DIA_FAULT("journal_prune");
	/* Reading again from the oldest point needs the entries behind it. */
	while (rc == DIA_OK && drop + 1 < j->segment_count &&
		j->segments[drop + 1].first <= keep_after + 1) {
		dia_segment_name(j->segments[drop].first, name);
		if (unlinkat(j->dir_fd, name, 0) != 0 && errno != ENOENT)
			break;
		(void)close(j->segments[drop].fd);
		drop++;
	}
	if (drop > 0) {
		j->segment_count -= drop;
		memmove(j->segments, j->segments + drop,
			j->segment_count * sizeof(*j->segments));
	}
	(void)pthread_mutex_unlock(&j->lock);
	return rc == DIA_E_NOT_FOUND ? DIA_OK : rc;
}

void dia_journal_close(struct dia_journal *j)
{
	bool synced = !j->sync_failed;

	if (j->syncer_started) {
		(void)pthread_mutex_lock(&j->lock);
		j->stopping = true;
		(void)pthread_cond_signal(&j->wake);
		(void)pthread_mutex_unlock(&j->lock);
		(void)pthread_join(j->syncer, NULL);
	}
	if (synced && j->segment_count > 0)
		synced = fdatasync(j->segments[j->segment_count - 1].fd) == 0;
	if (synced && j->points.fd >= 0)
		synced = fdatasync(j->points.fd) == 0;
	if (synced && j->dir_fd >= 0) {
		j->head.clean = true;
		/* If this fails the next open takes the end for unsynced: only careful.
		 */
		if (dia_journal_head_save(j, NULL) != DIA_OK)
			synced = false;
	}
	for (size_t i = 0; i < j->segment_count; i++)
		if (j->segments[i].fd >= 0)
			(void)close(j->segments[i].fd);
	free(j->segments);
	dia_points_fini(&j->points);
	dia_buf_fini(&j->scratch);
	if (j->lock_fd >= 0)
		(void)close(j->lock_fd);
	if (j->dir_fd >= 0)
		(void)close(j->dir_fd);
	(void)pthread_cond_destroy(&j->wake);
	(void)pthread_mutex_destroy(&j->lock);
	free(j);
}
