/* proxy/store/points.c - the rebuild points, see journal_int.h. */
#include "proxy/store/journal_int.h"
#include "proxy/core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REWRITE_POINTS = 16, REWRITE_S = 10 };

static enum dia_rc refs_add(struct dia_points *p, struct dia_point_ref ref)
{
	if (p->count == p->cap) {
		size_t cap = p->cap == 0 ? 64 : p->cap * 2;
		struct dia_point_ref *refs = realloc(p->refs, cap * sizeof(*refs));

		if (refs == NULL)
			return DIA_E_NOMEM;
		p->refs = refs;
		p->cap = cap;
	}
	p->refs[p->count++] = ref;
	return DIA_OK;
}

static enum dia_rc points_io(struct dia_err *reterr, const char *what)
{
	int number = errno;

	return dia_err_set(reterr, DIA_E_IO, number, "journal points: %s: %s", what,
		strerror(number));
}

/* A torn frame ends the file: what follows it cannot be found again, and an older point
 * only means reading more of the binlog. */
enum dia_rc dia_points_load(
	struct dia_points *p, int dir_fd, uint64_t last, struct dia_err *reterr)
{
	uint8_t frame[DIA_RECORD_POINT_MAX];
	struct dia_journal_point point;
	struct stat st;
	size_t len = 0;
	enum dia_rc rc = DIA_OK;

	p->fd = openat(dir_fd, "points", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->fd < 0 || fstat(p->fd, &st) != 0)
		return points_io(reterr, "cannot open");
	while (rc == DIA_OK && p->size < (uint64_t)st.st_size) {
		uint64_t left = (uint64_t)st.st_size - p->size;
		size_t take = left < sizeof(frame) ? (size_t)left : sizeof(frame);

		if (dia_file_read(p->fd, frame, take, (off_t)p->size) != DIA_OK)
			return points_io(reterr, "cannot read");
		/* A point behind the last entry promises entries that a power loss took.
		 */
		if (!dia_record_point_read(dia_slice_of(frame, take), &point, &len) ||
			point.seq > last)
			break;
		rc = refs_add(
			p, (struct dia_point_ref){point.seq, p->size, (uint32_t)len});
		p->size += len;
	}
	if (rc == DIA_OK && p->size < (uint64_t)st.st_size &&
		ftruncate(p->fd, (off_t)p->size) != 0)
		return points_io(reterr, "cannot cut the torn end");
	return rc == DIA_OK ? DIA_OK
			    : dia_err_set(reterr, rc, 0, "no memory for journal points");
}

enum dia_rc dia_points_add(struct dia_points *p, struct dia_buf *scratch,
	const struct dia_journal_point *point, struct dia_err *reterr)
{
	enum dia_rc rc;

	if (p->count > 0 && point->seq < p->refs[p->count - 1].seq)
		return dia_err_set(
			reterr, DIA_E_STATE, 0, "journal point goes backwards");
	dia_buf_reset(scratch);
	rc = dia_record_point_write(scratch, point);
	if (rc == DIA_OK)
		rc = refs_add(p, (struct dia_point_ref){
					 point->seq, p->size, (uint32_t)scratch->len});
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "no memory for a journal point");
	if (dia_file_write(p->fd, scratch->data, scratch->len, (off_t)p->size) !=
		DIA_OK) {
		p->count--;
		return points_io(reterr, "cannot write");
	}
	p->size += scratch->len;
	DIA_FAULT("journal_point");
	return DIA_OK;
}

/* Number of points with seq at or below the one asked for. */
static size_t count_upto(const struct dia_points *p, uint64_t seq)
{
	size_t low = 0, high = p->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->refs[mid].seq <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static enum dia_rc read_point(
	const struct dia_points *p, size_t i, struct dia_journal_point *ret)
{
	uint8_t frame[DIA_RECORD_POINT_MAX];
	const struct dia_point_ref *ref = &p->refs[i];
	size_t len;

	if (dia_file_read(p->fd, frame, ref->len, (off_t)ref->offset) != DIA_OK ||
		!dia_record_point_read(dia_slice_of(frame, ref->len), ret, &len))
		return DIA_E_IO;
	return DIA_OK;
}

enum dia_rc dia_points_before(
	struct dia_points *p, uint64_t seq, struct dia_journal_point *ret)
{
	size_t n = count_upto(p, seq);

	return n == 0 ? DIA_E_NOT_FOUND : read_point(p, n - 1, ret);
}

enum dia_rc dia_points_oldest(struct dia_points *p, struct dia_journal_point *ret)
{
	return p->count == 0 ? DIA_E_NOT_FOUND : read_point(p, 0, ret);
}

/* Write the points that stay into a new file and swap it in. */
static enum dia_rc rewrite(
	struct dia_points *p, int dir_fd, size_t drop, struct dia_err *reterr)
{
	uint64_t cut = p->refs[drop].offset, left = p->size - cut;
	uint8_t *data = malloc((size_t)left);
	enum dia_rc rc = DIA_OK;
	int fd = -1;

	if (data == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory to prune journal points");
	fd = openat(dir_fd, "points.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dia_file_read(p->fd, data, (size_t)left, (off_t)cut) != DIA_OK ||
		dia_file_write(fd, data, (size_t)left, 0) != DIA_OK || fsync(fd) != 0 ||
		renameat(dir_fd, "points.new", dir_fd, "points") != 0) {
		rc = points_io(reterr, "cannot prune");
		goto out;
	}
	DIA_FAULT("journal_points_swapped");
	(void)close(p->fd);
	p->fd = fd;
	fd = -1;
	p->size = left;
	p->count -= drop;
	memmove(p->refs, p->refs + drop, p->count * sizeof(*p->refs));
	for (size_t i = 0; i < p->count; i++)
		p->refs[i].offset -= cut;
out:
	if (fd >= 0)
		(void)close(fd);
	free(data);
	return rc;
}

enum dia_rc dia_points_prune(struct dia_points *p, int dir_fd, uint64_t seq,
	uint64_t *ret_seq, struct dia_err *reterr)
{
	size_t n = count_upto(p, seq);
	enum dia_rc rc = DIA_OK;
	struct timespec now = {0};

	if (n == 0)
		return DIA_E_NOT_FOUND;
	/* Rewriting costs a sync: when it gives back at least half of the file; and after
	 * a while in any case, or a DC that writes seldom would need the binlog of weeks
	 * at its next start. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if ((n - 1 >= REWRITE_POINTS && n - 1 >= p->count / 2) ||
		(n > 1 && now.tv_sec - p->rewritten_s >= REWRITE_S)) {
		rc = rewrite(p, dir_fd, n - 1, reterr);
		p->rewritten_s = now.tv_sec;
	}
	*ret_seq = p->refs[0].seq;
	return rc;
}

void dia_points_fini(struct dia_points *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	free(p->refs);
	*p = (struct dia_points){.fd = -1};
}
