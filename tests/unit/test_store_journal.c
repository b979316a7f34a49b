/* tests/unit/test_store_journal.c - the journal keeps what was appended, and cuts only
 * what was torn. */
#include "proxy/store/journal.h"
#include "proxy/store/record.h"
#include "tests/lib/guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/dia_journal_XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	char path[512];
	DIR *d;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	d = opendir(path);
	if (d != NULL) {
		struct dirent *e;

		while ((e = readdir(d)) != NULL)
			(void)unlinkat(dirfd(d), e->d_name, 0);
		(void)closedir(d);
		(void)rmdir(path);
	}
	return rmdir(dir);
}

static struct dia_journal_entry entry_of(uint64_t seq)
{
	struct dia_journal_entry e = {.seq = seq,
		.stamp = {seq * 65536 + 7},
		.gtid = {0, 101, seq * 3},
		.commit_time = (uint32_t)(seq + 1700000000),
		.deps = {.count = 2, .at = {{{2}, seq / 2}, {{3}, seq / 3}}}};

	return e;
}

static void append(struct dia_journal *j, uint64_t first, uint64_t last)
{
	struct dia_journal_entry e[64];
	struct dia_err err;

	while (first <= last) {
		size_t n = 0;

		while (n < 64 && first + n <= last) {
			e[n] = entry_of(first + n);
			n++;
		}
		assert_int_equal(dia_journal_append(j, e, n, &err), DIA_OK);
		first += n;
	}
}

static void add_point(struct dia_journal *j, uint64_t seq)
{
	struct dia_journal_point p = {.seq = seq,
		.last = {seq * 65536 + 9},
		.applied = {.count = 1, .at = {{{2}, seq}}},
		.pos = {.count = 2, .at = {{0, 101, seq * 3}, {5, 6, 7}}}};
	struct dia_err err;

	assert_int_equal(dia_journal_add_point(j, &p, &err), DIA_OK);
}

static void expect_entries(
	struct dia_journal *j, uint64_t first, uint64_t last, uint64_t step)
{
	struct dia_journal_entry e, want;

	assert_int_equal(dia_journal_last(j), last);
	for (uint64_t seq = first; seq <= last; seq += step) {
		want = entry_of(seq);
		assert_int_equal(dia_journal_get(j, seq, &e), DIA_OK);
		assert_int_equal(e.seq, seq);
		assert_int_equal(e.stamp.v, want.stamp.v);
		assert_int_equal(e.gtid.seq_no, want.gtid.seq_no);
		assert_int_equal(e.commit_time, want.commit_time);
		assert_int_equal(e.deps.count, 2);
		assert_int_equal(e.deps.at[1].seq, want.deps.at[1].seq);
		assert_int_equal(e.deps.at[1].dc.id, 3);
	}
	assert_int_equal(dia_journal_get(j, last + 1, &e), DIA_E_NOT_FOUND);
}

static struct dia_journal *open_journal(bool expect_new, bool *power_loss)
{
	struct dia_journal *j = NULL;
	struct dia_err err = {0};
	bool is_new, lost;

	if (dia_journal_open(dir, &j, &is_new, power_loss == NULL ? &lost : power_loss,
		    &err) != DIA_OK)
		fail_msg("%s", err.text);
	assert_int_equal(is_new, expect_new);
	return j;
}

static void keeps_entries_points_identity(void **state)
{
	struct dia_journal *j = open_journal(true, NULL);
	uint64_t incarnation = dia_journal_incarnation(j);
	struct dia_journal_point p;

	(void)state;
	assert_int_not_equal(incarnation, 0);
	assert_int_equal(dia_journal_first(j), 0);
	assert_int_equal(dia_journal_last(j), 0);
	assert_int_equal(dia_journal_point_before(j, 100, &p), DIA_E_NOT_FOUND);
	add_point(j, 0);
	append(j, 1, 100);
	add_point(j, 100);
	append(j, 101, 150);
	add_point(j, 150);
	dia_journal_close(j);

	j = open_journal(false, NULL);
	assert_int_equal(dia_journal_incarnation(j), incarnation);
	assert_int_equal(dia_journal_first(j), 1);
	assert_int_equal(dia_journal_durable(j), 150);
	expect_entries(j, 1, 150, 1);
	assert_int_equal(dia_journal_point_before(j, 99, &p), DIA_OK);
	assert_int_equal(p.seq, 0);
	assert_int_equal(dia_journal_point_before(j, 149, &p), DIA_OK);
	assert_int_equal(p.seq, 100);
	assert_int_equal(p.last.v, 100 * 65536 + 9);
	assert_int_equal(p.applied.at[0].seq, 100);
	assert_int_equal(p.pos.count, 2);
	assert_int_equal(p.pos.at[0].seq_no, 300);
	append(j, 151, 160);
	expect_entries(j, 1, 160, 1);
	dia_journal_close(j);
}

static void refuses_gaps(void **state)
{
	struct dia_journal *j = open_journal(true, NULL);
	struct dia_journal_entry e = entry_of(2);
	struct dia_journal_point p = {.seq = 1};
	struct dia_err err;

	(void)state;
	assert_int_equal(dia_journal_append(j, &e, 1, &err), DIA_E_STATE);
	assert_int_equal(dia_journal_add_point(j, &p, &err), DIA_E_STATE);
	assert_int_equal(dia_journal_last(j), 0);
	dia_journal_close(j);
}

static void locks(void **state)
{
	struct dia_journal *j = open_journal(true, NULL), *second;
	struct dia_err err;
	bool is_new, lost;
	char pid[32];

	(void)state;
	assert_int_equal(
		dia_journal_open(dir, &second, &is_new, &lost, &err), DIA_E_STATE);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(err.text, pid));
	/* The refused one must not have touched anything. */
	append(j, 1, 3);
	dia_journal_close(j);
	j = open_journal(false, NULL);
	expect_entries(j, 1, 3, 1);
	dia_journal_close(j);
}

/* A child appends and dies without closing, as kill -9 would end it. */
static void killed_child(uint64_t first, uint64_t last)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct dia_journal *j;
		bool is_new, lost;

		if (dia_journal_open(dir, &j, &is_new, &lost, NULL) != DIA_OK)
			_exit(1);
		for (uint64_t seq = first; seq <= last; seq++) {
			struct dia_journal_entry e = entry_of(seq);

			if (dia_journal_append(j, &e, 1, NULL) != DIA_OK)
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void survives_kill(void **state)
{
	struct dia_journal *j;
	bool lost;

	(void)state;
	killed_child(1, 20);
	j = open_journal(false, &lost);
	assert_false(lost); /* same boot: the page cache had everything */
	expect_entries(j, 1, 20, 1);
	dia_journal_close(j);
}

static void path_of(const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/journal/%s", dir, name);
}

static const char first_segment[] = "00000000000000000001.seg";

static void torn_at_every_byte(void **state)
{
	enum { ENTRIES = 4 };
	char path[256], points[256];
	struct stat st;
	struct dia_journal *j = open_journal(true, NULL);
	struct dia_journal_point p;

	(void)state;
	add_point(j, 0);
	append(j, 1, ENTRIES);
	add_point(j, ENTRIES);
	dia_journal_close(j);
	path_of(first_segment, path);
	path_of("points", points);
	assert_int_equal(stat(path, &st), 0);
	for (off_t cut = st.st_size; cut >= 0; cut--) {
		uint64_t left = cut < DIA_RECORD_SEGMENT_HEAD_LEN
					? 0
					: ((uint64_t)cut - DIA_RECORD_SEGMENT_HEAD_LEN) /
						  DIA_RECORD_ENTRY_LEN;

		assert_int_equal(truncate(path, cut), 0);
		j = open_journal(false, NULL);
		expect_entries(j, 1, left, 1);
		assert_int_equal(dia_journal_point_before(j, UINT64_MAX, &p), DIA_OK);
		assert_int_equal(p.seq, left == ENTRIES ? ENTRIES : 0);
		append(j, left + 1, ENTRIES);
		if (left != ENTRIES)
			add_point(j, ENTRIES);
		dia_journal_close(j);
	}
}

static void torn_points(void **state)
{
	char path[256];
	struct stat st;
	struct dia_journal *j = open_journal(true, NULL);
	struct dia_journal_point p;

	(void)state;
	append(j, 1, 3);
	add_point(j, 1);
	dia_journal_close(j);
	path_of("points", path);
	assert_int_equal(stat(path, &st), 0);
	for (off_t cut = 0; cut < st.st_size; cut++) {
		j = open_journal(false, NULL);
		add_point(j, 2);
		dia_journal_close(j);
		assert_int_equal(truncate(path, st.st_size + cut), 0);
		j = open_journal(false, NULL);
		assert_int_equal(dia_journal_point_before(j, 9, &p), DIA_OK);
		assert_int_equal(p.seq, 1);
		dia_journal_close(j);
	}
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t b;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
	assert_int_equal(close(fd), 0);
}

/* Damage before good entries is not a torn write: stamps may have been shipped from
 * there. */
static void damage_is_refused(void **state)
{
	struct dia_journal *j = open_journal(true, NULL);
	struct dia_err err;
	bool is_new, lost;
	char path[256];

	(void)state;
	append(j, 1, 5);
	dia_journal_close(j);
	path_of(first_segment, path);
	flip(path, DIA_RECORD_SEGMENT_HEAD_LEN + 2 * DIA_RECORD_ENTRY_LEN + 9);
	assert_int_equal(dia_journal_open(dir, &j, &is_new, &lost, &err), DIA_E_PROTOCOL);
	assert_non_null(strstr(err.text, "damaged"));
	flip(path, DIA_RECORD_SEGMENT_HEAD_LEN + 2 * DIA_RECORD_ENTRY_LEN + 9);
	flip(path, DIA_RECORD_SEGMENT_HEAD_LEN + 4 * DIA_RECORD_ENTRY_LEN + 9);
	j = open_journal(false, NULL);
	expect_entries(j, 1, 4, 1);
	dia_journal_close(j);
	path_of("head", path);
	flip(path, 9);
	assert_int_equal(dia_journal_open(dir, &j, &is_new, &lost, &err), DIA_E_PROTOCOL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(dia_journal_open(dir, &j, &is_new, &lost, &err), DIA_E_PROTOCOL);
	assert_non_null(strstr(err.text, "head"));
}

/* Another boot id and no clean close: the unsynced end may have gone with the power. */
static void notices_power_loss(void **state)
{
	uint8_t data[DIA_RECORD_HEAD_LEN];
	struct dia_record_head head;
	struct dia_journal *j;
	char path[256], segment[256];
	bool lost;
	int fd;

	(void)state;
	for (int clean = 0; clean < 2; clean++) {
		if (clean)
			dia_journal_close(open_journal(false, NULL));
		else
			killed_child(1, 6);
		path_of("head", path);
		fd = open(path, O_RDWR);
		assert_int_equal(read(fd, data, sizeof(data)), sizeof(data));
		assert_true(dia_record_head_read(data, &head));
		assert_int_equal(head.clean, clean);
		memset(head.boot_id, '0', DIA_RECORD_BOOT_ID_LEN);
		dia_record_head_write(data, &head);
		assert_int_equal(pwrite(fd, data, sizeof(data), 0), sizeof(data));
		assert_int_equal(close(fd), 0);
		if (!clean) { /* pages reached the disk out of order: cut at the first bad
			       */
			path_of(first_segment, segment);
			flip(segment, DIA_RECORD_SEGMENT_HEAD_LEN +
					      3 * DIA_RECORD_ENTRY_LEN + 1);
		}
		j = open_journal(false, &lost);
		assert_int_equal(lost, !clean);
		expect_entries(j, 1, 3, 1);
		dia_journal_close(j);
	}
}

static size_t segment_files(void)
{
	char path[256];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/journal", dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strstr(e->d_name, ".seg") != NULL;
	assert_int_equal(closedir(d), 0);
	return n;
}

static void big_and_pruned(void **state)
{
	enum { TOTAL = 200000, STEP = 1000 };
	struct dia_journal *j = open_journal(true, NULL);
	struct dia_journal_entry e;
	struct dia_journal_point p;
	struct dia_err err;

	(void)state;
	for (uint64_t seq = 0; seq < TOTAL; seq += STEP) {
		add_point(j, seq);
		append(j, seq + 1, seq + STEP);
	}
	expect_entries(j, 1, TOTAL, 997);
	assert_int_equal(segment_files(), 4);
	assert_int_equal(dia_journal_prune(j, 500, &err), DIA_OK);
	assert_int_equal(dia_journal_first(j), 1);
	/* Settled up to just behind the second segment; the point to read again from is
	 * in it. */
	assert_int_equal(dia_journal_prune(j, 131072, &err), DIA_OK);
	assert_int_equal(dia_journal_first(j), 65537);
	assert_int_equal(dia_journal_point_before(j, 131072, &p), DIA_OK);
	assert_int_equal(p.seq, 131000);
	assert_int_equal(dia_journal_get(j, 65536, &e), DIA_E_NOT_FOUND);
	assert_int_equal(dia_journal_get(j, 131001, &e), DIA_OK);
	assert_int_equal(dia_journal_point_before(j, 129999, &p), DIA_E_NOT_FOUND);
	assert_int_equal(dia_journal_prune(j, UINT64_MAX, &err), DIA_OK);
	assert_int_equal(dia_journal_point_before(j, UINT64_MAX, &p), DIA_OK);
	assert_int_equal(p.seq, TOTAL - STEP);
	assert_int_equal(segment_files(), 1);
	dia_journal_close(j);
	j = open_journal(false, NULL);
	assert_int_equal(dia_journal_last(j), TOTAL);
	assert_int_equal(dia_journal_point_before(j, UINT64_MAX, &p), DIA_OK);
	assert_int_equal(p.seq, TOTAL - STEP);
	assert_int_equal(p.pos.at[0].seq_no, (TOTAL - STEP) * 3);
	append(j, TOTAL + 1, TOTAL + 1);
	dia_journal_close(j);
}

static void becomes_durable(void **state)
{
	struct dia_journal *j = open_journal(true, NULL);

	(void)state;
	append(j, 1, 10);
	for (int i = 0; i < 10000 && dia_journal_durable(j) < 10; i++)
		(void)usleep(1000);
	assert_int_equal(dia_journal_durable(j), 10);
	dia_journal_close(j);
}

/* Every prefix of every record, and every flipped bit, against an unreadable page. */
static void records_are_bounded(void **state)
{
	struct dia_journal_point p = {.seq = 5, .pos = {.count = 3}}, back;
	struct dia_buf buf = {0};
	size_t len;

	(void)state;
	assert_int_equal(dia_record_point_write(&buf, &p), DIA_OK);
	for (size_t n = 0; n <= buf.len; n++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(buf.data, n));

		assert_int_equal(
			dia_record_point_read(g.input, &back, &len), n == buf.len);
		dia_guard_free(&g);
	}
	for (size_t bit = 0; bit < buf.len * 8; bit++) {
		struct dia_guard g;

		buf.data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		g = dia_guard_make(dia_buf_slice(&buf));
		assert_false(dia_record_point_read(g.input, &back, &len));
		dia_guard_free(&g);
		buf.data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
	}
	assert_int_equal(dia_record_crc("123456789", 9), 0xe3069283);
	dia_buf_fini(&buf);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(keeps_entries_points_identity),
		IN_DIR(refuses_gaps),
		IN_DIR(locks),
		IN_DIR(survives_kill),
		IN_DIR(torn_at_every_byte),
		IN_DIR(torn_points),
		IN_DIR(damage_is_refused),
		IN_DIR(notices_power_loss),
		IN_DIR(big_and_pruned),
		IN_DIR(becomes_durable),
		cmocka_unit_test(records_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
