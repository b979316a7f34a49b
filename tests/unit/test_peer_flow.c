/* tests/unit/test_peer_flow.c - links under pressure: large, stuck, frozen, replaced. */
#include "proxy/peer/stream.h"
#include "tests/unit/peer_fake.h"

#include <signal.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAKE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAKE_SANITIZED 1
#endif
#endif
#ifndef FAKE_SANITIZED
#define FAKE_SANITIZED 0
#endif

static long anonymous_kib(void)
{
	char line[256];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	(void)fclose(f);
	return kib;
}

static void large_transaction_passes_through_a_file(void **state)
{
	static struct fake_dc dc[2];
	long before;

	(void)state;
	fake_pair_init(dc);
	dc[0].source.large_seq = 5;
	dc[0].source.large_bytes = (FAKE_SANITIZED ? 50u : 200u) << 20;
	dc[0].source.spill_dir = "/tmp";
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	FAKE_AWAIT(fake_stats(&dc[1]).pulling && fake_stats(&dc[0]).pulling);
	before = anonymous_kib();
	fake_source_publish(&dc[0].source, 20);
	/* A cut in the middle of it: it starts again from its beginning. */
	FAKE_AWAIT(atomic_load(&dc[0].wire.carried) > 10 << 20);
	assert_true(FAKE_SINK_GET(&dc[1].sink, received) < 5);
	fake_wire_cut(&dc[0].wire);
	assert_true(fake_sink_wait(&dc[1].sink, 20));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	assert_true(FAKE_SINK_GET(&dc[1].sink, mapped) >= dc[0].source.large_bytes);
	if (!FAKE_SANITIZED)
		assert_true(anonymous_kib() - before < 32 << 10);
	fake_pair_fini(dc);
}

static void stuck_sink_holds_the_sender_back(void **state)
{
	static struct fake_dc dc[2];
	uint64_t again, sent;

	(void)state;
	fake_pair_init(dc);
	for (int i = 0; i < 2; i++) {
		dc[i].config.dead_ms = 1000;
		fake_dc_start(&dc[i]);
	}
	FAKE_AWAIT(fake_stats(&dc[1]).pulling && fake_stats(&dc[0]).serving);
	fake_sink_set_stuck(&dc[1].sink, true);
	fake_source_publish(&dc[0].source, 60000);
	/* 50 ticks of 50 ms: more than twice the time after which silence kills a link.
	 */
	FAKE_AWAIT(FAKE_SINK_GET(&dc[1].sink, again) > 20);
	sent = fake_stats(&dc[0]).sent_seq;
	again = FAKE_SINK_GET(&dc[1].sink, again);
	FAKE_AWAIT(FAKE_SINK_GET(&dc[1].sink, again) > again + 30);
	assert_int_equal(fake_stats(&dc[0]).sent_seq, sent);
	assert_true(sent < 60000);
	assert_true(fake_stats(&dc[1]).pulling && fake_stats(&dc[0]).serving);
	fake_sink_set_stuck(&dc[1].sink, false);
	assert_true(fake_sink_wait(&dc[1].sink, 60000));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	assert_int_equal(fake_stats(&dc[1]).connects, 1);
	fake_pair_fini(dc);
}

static void applied_follows_the_sinks_wake(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	dc[1].sink.lag = true;
	/* Only the wake-up can bring this acknowledgement. */
	dc[1].config.heartbeat_ms = 5000;
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	fake_source_publish(&dc[0].source, 10);
	FAKE_AWAIT(fake_stats(&dc[0]).peer_received_seq == 10);
	assert_int_equal(fake_stats(&dc[0]).peer_applied_seq, 0);
	(void)pthread_mutex_lock(&dc[1].sink.lock);
	dc[1].sink.applied = 10;
	(void)pthread_mutex_unlock(&dc[1].sink.lock);
	dia_peer_sock_poke(dc[1].sink.fd);
	FAKE_AWAIT(fake_stats(&dc[0]).peer_applied_seq == 10);
	assert_int_equal(fake_source_applied(&dc[0].source), 10);
	fake_pair_fini(dc);
}

static void silence_is_noticed(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	for (int i = 0; i < 2; i++) {
		dc[i].config.dead_ms = 400;
		dc[i].config.handshake_ms = 300;
		fake_dc_start(&dc[i]);
	}
	FAKE_AWAIT(fake_stats(&dc[1]).pulling && fake_stats(&dc[0]).serving);
	atomic_store(&dc[0].wire.frozen, true);
	fake_source_publish(&dc[0].source, 100);
	FAKE_AWAIT(!fake_stats(&dc[1]).pulling && !fake_stats(&dc[0]).serving);
	assert_int_equal(fake_stats(&dc[1]).last_error.rc, DIA_E_TIMEOUT);
	atomic_store(&dc[0].wire.frozen, false);
	assert_true(fake_sink_wait(&dc[1].sink, 100));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	fake_pair_fini(dc);
}

static uint64_t skewed_wall(void *ctx)
{
	struct dia_clock c = dia_clock_system();

	(void)ctx;
	return dia_clock_wall_ms(&c) + 7000;
}

static void clocks_are_compared(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	dc[1].config.clock.wall_ms = skewed_wall;
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	FAKE_AWAIT(fake_stats(&dc[0]).clock_offset_ms != 0 &&
		   fake_stats(&dc[1]).clock_offset_ms != 0);
	assert_in_range(fake_stats(&dc[0]).clock_offset_ms, 6900, 7100);
	assert_in_range(-fake_stats(&dc[1]).clock_offset_ms, 6900, 7100);
	fake_pair_fini(dc);
}

static void operator_errors_have_names(void **state)
{
	static struct fake_dc dc[2];
	struct dia_link_stats s;

	(void)state;
	fake_pair_init(dc);
	dc[0].source.purged_to = 50; /* west has nothing, east's history starts at 50 */
	dc[0].sink.identity = DIA_E_LOST_TAIL;
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	FAKE_AWAIT(fake_stats(&dc[1]).last_error.rc == DIA_E_NOT_FOUND);
	s = fake_stats(&dc[1]);
	assert_non_null(strstr(s.last_error.text, "history purged"));
	assert_non_null(strstr(s.last_error.text, "the binlog is purged"));
	FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == DIA_E_LOST_TAIL);
	/* Repaired, it goes on without a restart. */
	(void)pthread_mutex_lock(&dc[0].source.lock);
	dc[0].source.purged_to = 0;
	(void)pthread_mutex_unlock(&dc[0].source.lock);
	fake_source_publish(&dc[0].source, 60);
	assert_true(fake_sink_wait(&dc[1].sink, 60));
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, received), 0);
	fake_pair_fini(dc);
}

static void too_large_is_named(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	dc[0].source.large_seq = 3;
	dc[0].source.large_bytes = 2 << 20;
	dc[1].config.max_txn_bytes = 1 << 20;
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	fake_source_publish(&dc[0].source, 10);
	FAKE_AWAIT(fake_stats(&dc[1]).last_error.rc == DIA_E_LIMIT);
	assert_non_null(strstr(fake_stats(&dc[1]).last_error.text, "too large"));
	/* What came before it is there, and the error stays while nothing is cured. */
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, received), 2);
	FAKE_AWAIT(fake_stats(&dc[1]).connects >= 3);
	assert_int_equal(fake_stats(&dc[1]).last_error.rc, DIA_E_LIMIT);
	fake_pair_fini(dc);
}

static void busy_links_close_promptly(void **state)
{
	static struct fake_dc dc[2];
	uint64_t began;

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	fake_source_publish(&dc[0].source, 10000000);
	fake_source_publish(&dc[1].source, 10000000);
	assert_true(fake_sink_wait(&dc[1].sink, 1000));
	assert_true(fake_sink_wait(&dc[0].sink, 1000));
	began = fake_now_ms();
	fake_dc_stop(&dc[0]);
	assert_true(fake_now_ms() - began < 2000);
	/* One whose sink is full and whose peer is gone, too. */
	fake_sink_set_stuck(&dc[1].sink, true);
	began = fake_now_ms();
	fake_dc_stop(&dc[1]);
	assert_true(fake_now_ms() - began < 2000);
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, wrong), 0);
	fake_pair_fini(dc);
}

static void restart_of_one_side(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	for (uint64_t round = 1; round <= 5; round++) {
		fake_source_publish(&dc[0].source, round * 3000);
		assert_true(fake_sink_wait(&dc[1].sink, round * 3000 - 2000));
		fake_dc_stop(&dc[round % 2]);
		fake_dc_start(&dc[round % 2]);
	}
	assert_true(fake_sink_wait(&dc[1].sink, 15000));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	fake_pair_fini(dc);
}

/* Both ends of a socket pair, run in turns by one thread. */
static void shake(struct dia_stream *a, struct dia_stream *b)
{
	enum dia_rc ra = DIA_E_AGAIN, rb = DIA_E_AGAIN;

	for (int i = 0; i < 100 && (ra == DIA_E_AGAIN || rb == DIA_E_AGAIN); i++) {
		if (ra == DIA_E_AGAIN)
			ra = dia_stream_handshake(a, NULL);
		if (rb == DIA_E_AGAIN)
			rb = dia_stream_handshake(b, NULL);
	}
	assert_int_equal(ra, DIA_OK);
	assert_int_equal(rb, DIA_OK);
}

static void keys_change_under_way(void **state)
{
	struct dia_frame_beat beat = {0}, got;
	struct dia_stream a, b;
	struct dia_tls tls;
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(
		dia_tls_init(&tls, dia_slice_str("x"), (struct dia_dc){7}, NULL), DIA_OK);
	assert_int_equal(dia_stream_init(&a, &tls, false, fd[0], NULL), DIA_OK);
	assert_int_equal(dia_stream_init(&b, &tls, true, fd[1], NULL), DIA_OK);
	shake(&a, &b);
	assert_int_equal(b.peer.claimed.id, 7);
	a.rekey_bytes = 3 * 16384; /* every third record */
	for (beat.id = 1; beat.id < 200; beat.id++) {
		struct dia_frame frame;

		assert_int_equal(
			dia_frame_put_beat(&a.out, DIA_FRAME_PING, &beat), DIA_OK);
		assert_int_equal(dia_stream_flush(&a, NULL), DIA_OK);
		assert_int_equal(dia_stream_next(&b, 100, &frame, NULL), DIA_OK);
		assert_int_equal(dia_frame_get_beat(frame.payload, &got, NULL), DIA_OK);
		assert_int_equal(got.id, beat.id);
	}
	assert_true(a.rekey_at < 3 * 16384);
	dia_stream_fini(&a);
	dia_stream_fini(&b);
	dia_tls_fini(&tls);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_transaction_passes_through_a_file),
		cmocka_unit_test(stuck_sink_holds_the_sender_back),
		cmocka_unit_test(applied_follows_the_sinks_wake),
		cmocka_unit_test(silence_is_noticed),
		cmocka_unit_test(clocks_are_compared),
		cmocka_unit_test(operator_errors_have_names),
		cmocka_unit_test(too_large_is_named),
		cmocka_unit_test(busy_links_close_promptly),
		cmocka_unit_test(restart_of_one_side),
		cmocka_unit_test(keys_change_under_way),
	};

	dia_log_configure(
		getenv("DIA_TEST_LOG") == NULL ? DIA_LOG_ERROR : DIA_LOG_DEBUG, -1);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
