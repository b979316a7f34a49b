/* proxy/store/journal_open.c - opening and checking the journal's files, see
 * journal_int.h. */
#include "proxy/store/journal_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static enum dia_rc journal_io(struct dia_err *reterr, const char *what, const char *name)
{
	int number = errno;

	return dia_err_set(reterr, DIA_E_IO, number, "journal: %s %s: %s", what, name,
		strerror(number));
}

void dia_segment_name(uint64_t first, char out[32])
{
	(void)snprintf(out, 32, "%020" PRIu64 ".seg", first);
}

static void read_boot_id(char out[DIA_RECORD_BOOT_ID_LEN + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(out, 0, DIA_RECORD_BOOT_ID_LEN + 1);
	if (fd < 0)
		return;
	if (read(fd, out, DIA_RECORD_BOOT_ID_LEN) < 0)
		memset(out, 0, DIA_RECORD_BOOT_ID_LEN + 1);
	(void)close(fd);
}

static enum dia_rc open_dir(
	struct dia_journal *j, const char *state_dir, struct dia_err *reterr)
{
	char path[4096];

	if (mkdir(state_dir, 0700) != 0 && errno != EEXIST)
		return journal_io(reterr, "cannot create", state_dir);
	if ((size_t)snprintf(path, sizeof(path), "%s/journal", state_dir) >= sizeof(path))
		return dia_err_set(reterr, DIA_E_CONFIG, 0, "state_dir: path too long");
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return journal_io(reterr, "cannot create", path);
	j->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return j->dir_fd < 0 ? journal_io(reterr, "cannot open", path) : DIA_OK;
}

/* flock, not fcntl: a second open in the same process must fail as well. */
static enum dia_rc take_lock(
	struct dia_journal *j, const char *state_dir, struct dia_err *reterr)
{
	char pid[24] = "";
	int n;

	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock_fd < 0)
		return journal_io(reterr, "cannot open", "lock");
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (pread(j->lock_fd, pid, sizeof(pid) - 1, 0) <= 0)
			(void)snprintf(pid, sizeof(pid), "unknown");
		return dia_err_set(reterr, DIA_E_STATE, errno,
			"state_dir %s is in use by process %s; stop it, or give this "
			"datacenter a state_dir of its own",
			state_dir, pid);
	}
	n = snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (ftruncate(j->lock_fd, 0) != 0 ||
		dia_file_write(j->lock_fd, pid, (size_t)n, 0) != DIA_OK)
		return journal_io(reterr, "cannot write", "lock");
	return DIA_OK;
}

enum dia_rc dia_journal_head_save(struct dia_journal *j, struct dia_err *reterr)
{
	uint8_t data[DIA_RECORD_HEAD_LEN];
	enum dia_rc rc = DIA_OK;
	int fd = openat(
		j->dir_fd, "head.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	dia_record_head_write(data, &j->head);
	if (fd < 0 || dia_file_write(fd, data, sizeof(data), 0) != DIA_OK ||
		fsync(fd) != 0 ||
		renameat(j->dir_fd, "head.new", j->dir_fd, "head") != 0 ||
		fsync(j->dir_fd) != 0)
		rc = journal_io(reterr, "cannot write", "head");
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Reads the head, or makes one for a journal that does not exist yet. */
static enum dia_rc load_head(struct dia_journal *j, bool *ret_new, bool *ret_power_loss,
	struct dia_err *reterr)
{
	uint8_t data[DIA_RECORD_HEAD_LEN];
	char boot_id[DIA_RECORD_BOOT_ID_LEN + 1];
	int fd = openat(j->dir_fd, "head", O_RDONLY | O_CLOEXEC);
	bool whole;

	read_boot_id(boot_id);
	*ret_new = fd < 0 && errno == ENOENT;
	*ret_power_loss = false;
	if (fd < 0 && errno != ENOENT)
		return journal_io(reterr, "cannot open", "head");
	if (*ret_new) {
		while (j->head.incarnation == 0)
			if (getrandom(&j->head.incarnation, 8, 0) != 8)
				return journal_io(reterr, "cannot get", "random bytes");
	} else {
		whole = dia_file_read(fd, data, sizeof(data), 0) == DIA_OK &&
			dia_record_head_read(data, &j->head);
		(void)close(fd);
		if (!whole)
			return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
				"the journal's head file is damaged; restore state_dir "
				"from a "
				"copy, or bootstrap this datacenter again from its peer");
		*ret_power_loss = !j->head.clean && memcmp(boot_id, j->head.boot_id,
							    DIA_RECORD_BOOT_ID_LEN) != 0;
	}
	j->head.clean = false;
	memcpy(j->head.boot_id, boot_id, sizeof(boot_id));
	return DIA_OK;
}

enum dia_rc dia_journal_segment_add(
	struct dia_journal *j, uint64_t first, struct dia_err *reterr)
{
	uint8_t head[DIA_RECORD_SEGMENT_HEAD_LEN];
	char name[32];
	int fd;

	dia_segment_name(first, name);
	if (j->segment_count == j->segment_cap) {
		size_t cap = j->segment_cap == 0 ? 16 : j->segment_cap * 2;
		struct dia_segment *more = realloc(j->segments, cap * sizeof(*more));

		if (more == NULL)
			return dia_err_set(
				reterr, DIA_E_NOMEM, 0, "no memory for the journal");
		j->segments = more;
		j->segment_cap = cap;
	}
	fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	dia_record_segment_write(head, j->head.incarnation, first);
	if (fd < 0 || dia_file_write(fd, head, sizeof(head), 0) != DIA_OK ||
		fsync(j->dir_fd) != 0) {
		(void)journal_io(reterr, "cannot create", name);
		if (fd >= 0)
			(void)close(fd);
		return DIA_E_IO;
	}
	j->segments[j->segment_count++] =
		(struct dia_segment){.first = first, .count = 0, .fd = fd};
	return DIA_OK;
}

static int by_first(const void *a, const void *b)
{
	const struct dia_segment *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/* Names of all segments into j->segments, in order, not opened yet. */
static enum dia_rc list_segments(struct dia_journal *j, struct dia_err *reterr)
{
	int fd = dup(j->dir_fd);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	enum dia_rc rc = DIA_OK;
	struct dirent *entry;

	if (dir == NULL)
		return journal_io(reterr, "cannot list", "journal");
	rewinddir(dir);
	while (rc == DIA_OK && (entry = readdir(dir)) != NULL) {
		char *end;
		uint64_t first = strtoull(entry->d_name, &end, 10);

		if (strcmp(end, ".seg") != 0 || end - entry->d_name != 20)
			continue;
		if (j->segment_count == j->segment_cap) {
			size_t cap = j->segment_cap == 0 ? 16 : j->segment_cap * 2;
			struct dia_segment *more =
				realloc(j->segments, cap * sizeof(*more));

			if (more == NULL) {
				rc = DIA_E_NOMEM;
				break;
			}
			j->segments = more;
			j->segment_cap = cap;
		}
		j->segments[j->segment_count++] =
			(struct dia_segment){.first = first, .fd = -1};
	}
	(void)closedir(dir);
	if (j->segment_count > 1)
		qsort(j->segments, j->segment_count, sizeof(*j->segments), by_first);
	return rc == DIA_OK ? DIA_OK
			    : dia_err_set(reterr, rc, 0, "no memory for the journal");
}

static enum dia_rc damaged(struct dia_err *reterr, const char *name)
{
	return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
		"journal segment %s is damaged, and the stamps in it cannot be made "
		"again; "
		"restore state_dir from a copy, or bootstrap this datacenter from its "
		"peer",
		name);
}

/*
 * Count the good entries of a segment. Only the end of the last one may be torn. Bytes
 * that are not an entry with entries behind them are damage, not a torn write, unless the
 * power went and pages reached the disk in any order.
 */
static enum dia_rc check_entries(struct dia_journal *j, struct dia_segment *s,
	bool is_last, bool power_loss, const char *name, struct dia_err *reterr)
{
	uint8_t record[DIA_RECORD_ENTRY_LEN];
	struct dia_journal_entry e;
	struct stat st;
	uint64_t whole, bad_at = UINT64_MAX;

	if (fstat(s->fd, &st) != 0)
		return journal_io(reterr, "cannot read", name);
	whole = ((uint64_t)st.st_size - DIA_RECORD_SEGMENT_HEAD_LEN) /
		DIA_RECORD_ENTRY_LEN;
	for (uint64_t i = 0; is_last && i < whole; i++) {
		if (dia_file_read(s->fd, record, sizeof(record),
			    (off_t)(DIA_RECORD_SEGMENT_HEAD_LEN +
				    i * DIA_RECORD_ENTRY_LEN)) != DIA_OK)
			return journal_io(reterr, "cannot read", name);
		if (!dia_record_entry_read(record, &e) || e.seq != s->first + i) {
			if (bad_at == UINT64_MAX)
				bad_at = i;
		} else if (bad_at != UINT64_MAX && !power_loss) {
			return damaged(reterr, name);
		}
	}
	s->count = bad_at < whole ? bad_at : whole;
	if (!is_last)
		return s->count == (s + 1)->first - s->first ? DIA_OK
							     : damaged(reterr, name);
	if (ftruncate(s->fd, (off_t)(DIA_RECORD_SEGMENT_HEAD_LEN +
				     s->count * DIA_RECORD_ENTRY_LEN)) != 0)
		return journal_io(reterr, "cannot cut the torn end of", name);
	j->last = s->first + s->count - 1;
	return DIA_OK;
}

static enum dia_rc load_segments(
	struct dia_journal *j, bool is_new, bool power_loss, struct dia_err *reterr)
{
	uint8_t head[DIA_RECORD_SEGMENT_HEAD_LEN];
	enum dia_rc rc = list_segments(j, reterr);
	uint64_t first;
	char name[32];

	if (rc == DIA_OK && is_new && j->segment_count > 0)
		return dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"the journal has entries but no head file; restore state_dir "
			"from a copy, "
			"or bootstrap this datacenter again from its peer");
	for (size_t i = 0; rc == DIA_OK && i < j->segment_count; i++) {
		struct dia_segment *s = &j->segments[i];
		bool is_last = i + 1 == j->segment_count;

		dia_segment_name(s->first, name);
		s->fd = openat(j->dir_fd, name, O_RDWR | O_CLOEXEC);
		if (s->fd < 0)
			return journal_io(reterr, "cannot open", name);
		if (dia_file_read(s->fd, head, sizeof(head), 0) != DIA_OK ||
			!dia_record_segment_read(head, j->head.incarnation, &first) ||
			first != s->first) {
			/* Killed between creating the file and writing its head. */
			if (!is_last || (lseek(s->fd, 0, SEEK_END) >
							DIA_RECORD_SEGMENT_HEAD_LEN &&
						!power_loss))
				return damaged(reterr, name);
			(void)close(s->fd);
			(void)unlinkat(j->dir_fd, name, 0);
			j->segment_count--;
			j->last = s->first - 1;
			break;
		}
		rc = check_entries(j, s, is_last, power_loss, name, reterr);
	}
	return rc;
}

static void *sync_loop(void *arg);

enum dia_rc dia_journal_open(const char *state_dir, struct dia_journal **ret,
	bool *ret_new, bool *ret_power_loss, struct dia_err *reterr)
{
	struct dia_journal *j = calloc(1, sizeof(*j));
	enum dia_rc rc;

	if (j == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for the journal");
	j->dir_fd = j->lock_fd = j->points.fd = -1;
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_cond_init(&j->wake, NULL);
	rc = open_dir(j, state_dir, reterr);
	if (rc == DIA_OK)
		rc = take_lock(j, state_dir, reterr);
	if (rc == DIA_OK)
		rc = load_head(j, ret_new, ret_power_loss, reterr);
	if (rc == DIA_OK)
		rc = load_segments(j, *ret_new, *ret_power_loss, reterr);
	if (rc == DIA_OK)
		rc = dia_points_load(&j->points, j->dir_fd, j->last, reterr);
	if (rc == DIA_OK)
		rc = dia_journal_head_save(j, reterr);
	j->durable = j->last;
	if (rc == DIA_OK && pthread_create(&j->syncer, NULL, sync_loop, j) != 0)
		rc = dia_err_set(
			reterr, DIA_E_NOMEM, 0, "journal: cannot start a thread");
	if (rc != DIA_OK) {
		j->sync_failed = true; /* nothing was changed: leave the head as it is */
		dia_journal_close(j);
		return rc;
	}
	j->syncer_started = true;
	*ret = j;
	return DIA_OK;
}

/* Makes appended entries durable soon after, one fdatasync for whatever has come since.
 */
static void *sync_loop(void *arg)
{
	struct dia_journal *j = arg;

	(void)pthread_mutex_lock(&j->lock);
	while (!j->stopping) {
		uint64_t target = j->last;
		int fd;

		if (j->durable >= target || j->segment_count == 0) {
			(void)pthread_cond_wait(&j->wake, &j->lock);
			continue;
		}
		fd = dup(j->segments[j->segment_count - 1].fd);
		(void)pthread_mutex_unlock(&j->lock);
		if (fd < 0 || fdatasync(fd) != 0)
			target = 0;
		if (fd >= 0)
			(void)close(fd);
		/* Room for others on the disk: the next round takes all that came
		 * meanwhile. */
		(void)usleep(target == 0 ? 1000000 : 5000);
		(void)pthread_mutex_lock(&j->lock);
		if (target > j->durable)
			j->durable = target;
	}
	(void)pthread_mutex_unlock(&j->lock);
	return NULL;
}
