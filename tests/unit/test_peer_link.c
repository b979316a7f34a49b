/* tests/unit/test_peer_link.c - two links over loopback: what must arrive, arrives. */
#include "tests/unit/peer_fake.h"

#include <signal.h>
#include <sys/resource.h>

static void both_ways_in_order_once(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	dc[0].source.watermarks = true;
	for (int i = 0; i < 2; i++) {
		dc[i].wire.record = true;
		fake_dc_start(&dc[i]);
	}
	for (uint64_t n = 1; n <= 3000; n += 7) {
		fake_source_publish(&dc[0].source, n);
		fake_source_publish(&dc[1].source, n / 2);
	}
	fake_source_publish(&dc[0].source, 3000);
	fake_source_publish(&dc[1].source, 1500);
	assert_true(fake_sink_wait(&dc[1].sink, 3000));
	assert_true(fake_sink_wait(&dc[0].sink, 1500));
	FAKE_AWAIT(fake_source_applied(&dc[0].source) == 3000);
	FAKE_AWAIT(fake_source_applied(&dc[1].source) == 1500);
	FAKE_AWAIT(FAKE_SINK_GET(&dc[1].sink, mark_seq) == 3000);
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, wrong), 0);
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, marks), 0);
	FAKE_AWAIT(fake_stats(&dc[0]).rtt_us > 0 &&
		   fake_stats(&dc[0]).peer_head_seq == 1500);
	for (int i = 0; i < 2; i++) {
		struct dia_link_stats s = fake_stats(&dc[i]);

		assert_true(s.pulling && s.serving);
		assert_int_equal(s.txns_out, i == 0 ? 3000 : 1500);
		assert_int_equal(s.txns_in, i == 0 ? 1500 : 3000);
		assert_int_equal(s.received_seq, i == 0 ? 1500 : 3000);
		assert_int_equal(s.sent_seq, i == 0 ? 3000 : 1500);
		assert_int_equal(s.peer_applied_seq, s.sent_seq);
		assert_int_equal(s.connects, 1);
		assert_int_equal(s.refused, 0);
		assert_int_equal(s.last_error.rc, DIA_OK);
		assert_true(s.bytes_in > 0 && s.raw_bytes_in > 100000);
		assert_true(s.clock_offset_ms > -50 && s.clock_offset_ms < 50);
	}
	/* What the wire saw holds neither rows nor names. */
	for (int i = 0; i < 2; i++) {
		struct dia_buf *seen = &dc[i].wire.seen;

		(void)pthread_mutex_lock(&dc[i].wire.lock);
		assert_true(seen->len > 100000);
		assert_null(memmem(
			seen->data, seen->len, FAKE_CLEAR_TEXT, strlen(FAKE_CLEAR_TEXT)));
		assert_null(memmem(seen->data, seen->len, "balance", 7));
		assert_null(memmem(seen->data, seen->len, "east", 4));
		assert_null(memmem(seen->data, seen->len, "staple", 6));
		/* The recorder itself works: the PSK identity is what may be seen. */
		assert_non_null(memmem(seen->data, seen->len, "diarchy/1 dc=", 13));
		(void)pthread_mutex_unlock(&dc[i].wire.lock);
	}
	fake_pair_fini(dc);
}

static void resumes_after_cuts(void **state)
{
	static struct fake_dc dc[2];
	uint64_t last = 0;

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	for (uint64_t round = 1; round <= 12; round++) {
		uint64_t at = atomic_load(&dc[0].wire.carried);

		fake_source_publish(&dc[0].source, round * 2000);
		/* Cut amid the stream, at another place each time. */
		FAKE_AWAIT(atomic_load(&dc[0].wire.carried) > at + round * 20000);
		fake_wire_cut(&dc[0].wire);
		if (round % 4 == 0) {
			atomic_store(&dc[0].wire.refuse, true);
			fake_source_publish(&dc[0].source, round * 2000 + 500);
			FAKE_AWAIT(!fake_stats(&dc[1]).pulling &&
				   fake_stats(&dc[1]).last_error.rc != DIA_OK);
			atomic_store(&dc[0].wire.refuse, false);
		}
		last = round * 2000;
	}
	fake_source_publish(&dc[0].source, last);
	assert_true(fake_sink_wait(&dc[1].sink, last));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	FAKE_AWAIT(fake_source_applied(&dc[0].source) >= last);
	assert_true(fake_stats(&dc[1]).connects >= 6);
	assert_int_equal(fake_stats(&dc[1]).last_error.rc, DIA_OK);
	fake_pair_fini(dc);
}

/* A source that resumes at some earlier point sends again what was delivered, a large
 * transaction and watermarks among it. */
static void duplicates_are_dropped(void **state)
{
	static struct fake_dc dc[2];
	uint64_t marks;

	(void)state;
	fake_pair_init(dc);
	dc[0].source.rewind = 40;
	dc[0].source.watermarks = true;
	dc[0].source.large_seq = 75;
	dc[0].source.large_bytes = 3 << 20;
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	for (uint64_t round = 1; round <= 5; round++) {
		fake_source_publish(&dc[0].source, round * 20);
		assert_true(fake_sink_wait(&dc[1].sink, round * 20));
		FAKE_AWAIT(FAKE_SINK_GET(&dc[1].sink, mark_seq) == round * 20);
		marks = FAKE_SINK_GET(&dc[1].sink, marks);
		fake_wire_cut(&dc[0].wire);
		/* The watermark of the present end comes again, and may. */
		FAKE_AWAIT(FAKE_SINK_GET(&dc[1].sink, marks) > marks);
	}
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	assert_int_equal(fake_stats(&dc[1]).txns_in, 100);
	assert_true(fake_stats(&dc[0]).txns_out >= 100 + 5 * 20);
	FAKE_AWAIT(fake_source_applied(&dc[0].source) == 100);
	fake_pair_fini(dc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_in_order_once),
		cmocka_unit_test(resumes_after_cuts),
		cmocka_unit_test(duplicates_are_dropped),
	};

	dia_log_configure(
		getenv("DIA_TEST_LOG") == NULL ? DIA_LOG_ERROR : DIA_LOG_DEBUG, -1);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
