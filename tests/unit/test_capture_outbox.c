/* tests/unit/test_capture_outbox.c - cursors over what is in memory. */
#include "proxy/capture/outbox.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	char dir[64];
	struct dia_journal *journal;
	struct dia_outbox *outbox;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct dia_outbox_config config = {.max_bytes = 1 << 20};
	bool is_new, lost;

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/dia_outbox_XXXXXX");
	if (mkdtemp(f->dir) == NULL ||
		dia_journal_open(f->dir, &f->journal, &is_new, &lost, NULL) != DIA_OK)
		return -1;
	config.catchup.journal = f->journal;
	config.catchup.clock = dia_clock_system();
	if (dia_outbox_new(&config, &f->outbox, NULL) != DIA_OK)
		return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];
	int rc;

	dia_outbox_free(f->outbox);
	dia_journal_close(f->journal);
	(void)snprintf(command, sizeof(command), "rm -r %s", f->dir);
	rc = system(command);
	free(f);
	return rc;
}

static struct dia_txn *make(uint64_t seq, size_t len, uint32_t flags)
{
	struct dia_txn_head head = {.origin = {1}, .seq = seq, .flags = flags};
	struct dia_txn_builder b;
	struct dia_txn *txn;
	uint8_t zeros[256] = {0};

	dia_txn_builder_init(&b, NULL, 0);
	while (len > 0) {
		size_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		assert_int_equal(
			dia_txn_builder_add(&b, dia_slice_of(zeros, n), NULL), DIA_OK);
		len -= n;
	}
	assert_int_equal(dia_txn_builder_finish(&b, &head, &txn, NULL), DIA_OK);
	return txn;
}

static void publish(struct fixture *f, uint64_t first, uint64_t last, size_t len)
{
	for (uint64_t seq = first; seq <= last; seq++)
		assert_int_equal(
			dia_outbox_publish(f->outbox, make(seq, len, 0), NULL), DIA_OK);
	dia_outbox_wake(f->outbox);
}

static bool ringing(const struct dia_outbox_cursor *c)
{
	struct pollfd fd = {.fd = dia_outbox_wake_fd(c), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void expect(struct dia_outbox_cursor *c, uint64_t seq, uint32_t flags)
{
	struct dia_txn *txn;

	assert_int_equal(dia_outbox_next(c, &txn, NULL), DIA_OK);
	assert_int_equal(txn->head.seq, seq);
	assert_int_equal(txn->head.flags, flags);
	dia_txn_unref(txn);
}

static void expect_nothing(struct dia_outbox_cursor *c)
{
	struct dia_txn *txn;

	assert_int_equal(dia_outbox_next(c, &txn, NULL), DIA_E_AGAIN);
	assert_false(ringing(c));
}

static void gives_in_order_and_rings(void **state)
{
	struct fixture *f = *state;
	struct dia_outbox_cursor *c;

	assert_int_equal(dia_outbox_open(f->outbox, 0, &c, NULL), DIA_OK);
	assert_true(ringing(c)); /* there may be something: look first */
	expect_nothing(c);
	publish(f, 1, 3000, 10); /* more than the ring starts with */
	assert_true(ringing(c));
	for (uint64_t seq = 1; seq <= 3000; seq++)
		expect(c, seq, 0);
	expect_nothing(c);
	dia_outbox_close(c);
	assert_int_equal(dia_outbox_open(f->outbox, 2999, &c, NULL), DIA_OK);
	expect(c, 3000, 0);
	expect_nothing(c);
	dia_outbox_close(c);
}

static void watermark_stands_behind_its_transaction(void **state)
{
	struct fixture *f = *state;
	struct dia_outbox_cursor *a, *b;

	assert_int_equal(dia_outbox_open(f->outbox, 0, &a, NULL), DIA_OK);
	publish(f, 1, 2, 10);
	dia_outbox_watermark(f->outbox, make(2, 0, DIA_TXN_WATERMARK));
	publish(f, 3, 3, 10);
	expect(a, 1, 0);
	expect(a, 2, 0);
	expect(a, 2, DIA_TXN_WATERMARK);
	expect(a, 3, 0);
	expect_nothing(a);
	/* Replaced before it was due: only the newest counts, and only once. */
	dia_outbox_watermark(f->outbox, make(3, 0, DIA_TXN_WATERMARK));
	dia_outbox_watermark(f->outbox, make(3, 0, DIA_TXN_WATERMARK));
	expect(a, 3, DIA_TXN_WATERMARK);
	expect_nothing(a);
	/* Who comes later gets it as well. */
	assert_int_equal(dia_outbox_open(f->outbox, 3, &b, NULL), DIA_OK);
	expect(b, 3, DIA_TXN_WATERMARK);
	expect_nothing(b);
	dia_outbox_close(a);
	dia_outbox_close(b);
}

static void memory_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct dia_outbox_cursor *c;
	struct dia_outbox_stats stats;
	struct dia_txn *txn;
	struct dia_err err;

	publish(f, 1, 100, 64 << 10);
	dia_outbox_stats(f->outbox, &stats);
	assert_true(stats.bytes <= 1 << 20);
	assert_true(stats.txns >= 10);
	assert_int_equal(dia_outbox_open(f->outbox, 100 - stats.txns, &c, NULL), DIA_OK);
	expect(c, 101 - stats.txns, 0);
	dia_outbox_close(c);
	/* One that has left memory is looked for in the journal, which knows nothing
	 * here. */
	assert_int_equal(dia_outbox_open(f->outbox, 5, &c, NULL), DIA_OK);
	assert_int_equal(dia_outbox_next(c, &txn, &err), DIA_E_NOT_FOUND);
	assert_non_null(strstr(err.text, "bootstrap"));
	dia_outbox_close(c);
	/* A single one above the bound is kept: it has to go somewhere. */
	publish(f, 101, 101, 3 << 20);
	dia_outbox_stats(f->outbox, &stats);
	assert_int_equal(stats.txns, 1);
}

static void refuses_what_cannot_be(void **state)
{
	struct fixture *f = *state;
	struct dia_outbox_cursor *c;
	struct dia_txn *txn = make(3, 1, 0);
	struct dia_err err;

	assert_int_equal(dia_outbox_open(f->outbox, 1, &c, &err), DIA_E_LOST_TAIL);
	assert_int_equal(dia_outbox_publish(f->outbox, txn, &err), DIA_E_STATE);
	dia_txn_unref(txn);
	dia_outbox_begin(f->outbox, 7);
	assert_int_equal(dia_outbox_head(f->outbox), 7);
	publish(f, 8, 9, 1);
	assert_int_equal(dia_outbox_open(f->outbox, 7, &c, NULL), DIA_OK);
	expect(c, 8, 0);
	dia_outbox_close(c);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(gives_in_order_and_rings),
		WITH(watermark_stands_behind_its_transaction),
		WITH(memory_is_bounded),
		WITH(refuses_what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
