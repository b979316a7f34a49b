/* tests/unit/test_peer_hostile.c - strangers, impostors and peers gone mad. */
#include "proxy/peer/stream.h"
#include "tests/unit/peer_fake.h"

#include <signal.h>
#include <zstd.h>

/* One end of a connection that this file drives by hand. */
struct hand {
	struct dia_tls tls;
	struct dia_stream s;
	int fd;
};

static const char *const good_secret = "correct horse battery staple";

static void hand_wait(struct hand *h, short events)
{
	struct pollfd p = {.fd = h->fd, .events = events};

	(void)poll(&p, 1, 1000);
}

/* Handshake over fd; the result of the last step. */
static enum dia_rc hand_shake(struct hand *h, const char *secret, uint16_t dc,
	bool server, int fd, struct dia_err *err)
{
	uint64_t until = fake_now_ms() + 5000;
	enum dia_rc rc;

	h->fd = fd;
	assert_true(fd >= 0);
	assert_int_equal(
		dia_tls_init(&h->tls, dia_slice_str(secret), (struct dia_dc){dc}, err),
		DIA_OK);
	assert_int_equal(dia_stream_init(&h->s, &h->tls, server, fd, err), DIA_OK);
	while ((rc = dia_stream_handshake(&h->s, err)) == DIA_E_AGAIN &&
		fake_now_ms() < until)
		hand_wait(h, h->s.want);
	return rc;
}

static void hand_send(struct hand *h)
{
	while (dia_stream_flush(&h->s, NULL) == DIA_E_AGAIN)
		hand_wait(h, POLLOUT);
}

static enum dia_rc hand_frame(
	struct hand *h, struct dia_frame *frame, struct dia_err *err)
{
	uint64_t until = fake_now_ms() + 5000;
	enum dia_rc rc;

	while ((rc = dia_stream_next(&h->s, DIA_FRAME_MAX, frame, err)) == DIA_E_AGAIN &&
		fake_now_ms() < until)
		hand_wait(h, POLLIN);
	return rc;
}

/* Read until the other side says goodbye (its code) or hangs up (0). */
static uint32_t hand_goodbye(struct hand *h, char *text)
{
	struct dia_frame_goodbye goodbye;
	struct dia_frame frame;
	struct dia_err err;
	enum dia_rc rc;

	text[0] = '\0';
	while ((rc = hand_frame(h, &frame, &err)) == DIA_OK) {
		if (frame.type != DIA_FRAME_GOODBYE)
			continue;
		assert_int_equal(
			dia_frame_get_goodbye(frame.payload, &goodbye, NULL), DIA_OK);
		(void)snprintf(text, DIA_FRAME_TEXT_MAX, "%s", goodbye.text);
		return goodbye.code;
	}
	assert_int_not_equal(rc, DIA_E_AGAIN);
	return 0;
}

static void hand_fini(struct hand *h)
{
	dia_stream_fini(&h->s);
	dia_tls_fini(&h->tls);
	(void)close(h->fd);
}

static struct dia_frame_hello hello_of(uint16_t from, uint16_t to)
{
	return (struct dia_frame_hello){.version_min = 1,
		.version_max = 1,
		.from = {from},
		.to = {to},
		.incarnation = 1000u + from,
		.head_seq = 100};
}

static void wrong_secret_on_either_side(void **state)
{
	static struct fake_dc dc[2];

	(void)state;
	fake_pair_init(dc);
	dc[1].config.secret = dia_slice_str("correct horse battery stapler");
	fake_dc_start(&dc[0]);
	fake_dc_start(&dc[1]);
	fake_source_publish(&dc[0].source, 100);
	for (int i = 0; i < 2; i++) {
		FAKE_AWAIT(fake_stats(&dc[i]).last_error.rc == DIA_E_AUTH &&
			   fake_stats(&dc[i]).refused > 2);
		assert_non_null(
			strstr(fake_stats(&dc[i]).last_error.text, "secrets differ"));
		assert_int_equal(fake_stats(&dc[i]).connects, 0);
		assert_int_equal(FAKE_SINK_GET(&dc[i].sink, received), 0);
	}
	/* The operator corrects it on one side. */
	fake_dc_stop(&dc[1]);
	dc[1].config.secret = dc[0].config.secret;
	fake_dc_start(&dc[1]);
	assert_true(fake_sink_wait(&dc[1].sink, 100));
	FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == DIA_OK &&
		   fake_stats(&dc[1]).last_error.rc == DIA_OK);
	fake_pair_fini(dc);
}

/* Strangers of many kinds fill the listener; the peer gets through all the same. */
static void strangers_do_no_harm(void **state)
{
	static struct fake_dc dc[2];
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static const uint8_t tls_junk[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	uint8_t noise[4096];
	int fds[64];
	char byte;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)fake_mix(i);
	fake_pair_init(dc);
	dc[0].config.handshake_ms = 500;
	fake_dc_start(&dc[0]);
	for (int i = 0; i < 64; i++) {
		fds[i] = fake_connect(dia_link_port(dc[0].link));
		assert_true(fds[i] >= 0);
		if (i % 4 == 0)
			(void)send(fds[i], http, sizeof(http), MSG_NOSIGNAL);
		if (i % 4 == 1)
			(void)send(fds[i], noise, sizeof(noise), MSG_NOSIGNAL);
		if (i % 4 == 2)
			(void)send(fds[i], tls_junk, sizeof(tls_junk), MSG_NOSIGNAL);
		/* The rest say nothing, slowly. */
	}
	fake_source_publish(&dc[0].source, 100);
	fake_dc_start(&dc[1]);
	assert_true(fake_sink_wait(&dc[1].sink, 100));
	/* All of them are hung up on, by the deadline at the latest. */
	for (int i = 0; i < 64; i++) {
		struct pollfd p = {.fd = fds[i], .events = POLLIN};
		ssize_t n;

		do {
			assert_int_equal(poll(&p, 1, 5000), 1);
			n = recv(fds[i], &byte, 1, 0);
		} while (n > 0);
		(void)close(fds[i]);
	}
	FAKE_AWAIT(dia_link_strangers(dc[0].link) == 64);
	assert_int_equal(fake_stats(&dc[1]).last_error.rc, DIA_OK);
	fake_pair_fini(dc);
}

/* No more than a few strangers are borne at once, however patient they are. */
static void strangers_are_few(void **state)
{
	static struct fake_dc dc[2];
	int fds[40];

	(void)state;
	fake_pair_init(dc);
	dc[0].config.handshake_ms = 600000;
	fake_dc_start(&dc[0]);
	for (int i = 0; i < 40; i++) {
		fds[i] = fake_connect(dia_link_port(dc[0].link));
		assert_true(fds[i] >= 0);
	}
	FAKE_AWAIT(dia_link_strangers(dc[0].link) == 40 - 16);
	fake_source_publish(&dc[0].source, 100);
	fake_dc_start(&dc[1]);
	assert_true(fake_sink_wait(&dc[1].sink, 100));
	for (int i = 0; i < 40; i++)
		(void)close(fds[i]);
	fake_pair_fini(dc);
}

/* Bytes of a ClientHello that come one by one do not stretch the deadline. */
static void slow_loris_ends_at_the_deadline(void **state)
{
	static struct fake_dc dc[2];
	uint8_t record[600] = {22, 3, 1, 2, 0x50, 1, 0, 2, 0x4c, 3, 3};
	uint64_t began = fake_now_ms();
	struct pollfd p = {.events = POLLIN};
	size_t sent = 0;

	(void)state;
	fake_pair_init(dc);
	dc[0].config.handshake_ms = 500;
	fake_dc_start(&dc[0]);
	p.fd = fake_connect(dia_link_port(dc[0].link));
	do {
		(void)send(p.fd, record + sent++, 1, MSG_NOSIGNAL);
	} while (sent < sizeof(record) && poll(&p, 1, 20) == 0);
	assert_true(sent < sizeof(record) / 2);
	assert_in_range(fake_now_ms() - began, 400, 5000);
	(void)close(p.fd);
	fake_pair_fini(dc);
}

static uint32_t refused_hello(struct fake_dc *dc, uint16_t proven,
	const struct dia_frame_hello *hello, char *text)
{
	struct dia_err err = {0};
	struct hand h;
	uint32_t code;

	assert_int_equal(hand_shake(&h, good_secret, proven, false,
				 fake_connect(dia_link_port(dc->link)), &err),
		DIA_OK);
	assert_int_equal(dia_frame_put_hello(&h.s.out, hello), DIA_OK);
	hand_send(&h);
	code = hand_goodbye(&h, text);
	hand_fini(&h);
	return code;
}

static void hello_is_checked(void **state)
{
	static struct fake_dc dc[2];
	char text[DIA_FRAME_TEXT_MAX];
	struct dia_frame_hello hello;

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	hello = hello_of(2, 1);
	hello.version_min = hello.version_max = 99;
	assert_int_equal(refused_hello(&dc[0], 2, &hello, text), DIA_GOODBYE_VERSION);
	assert_non_null(strstr(text, "99"));
	FAKE_AWAIT(fake_stats(&dc[0]).refused > 0);
	hello = hello_of(9, 1); /* not configured */
	assert_int_equal(refused_hello(&dc[0], 9, &hello, text), DIA_GOODBYE_UNKNOWN_DC);
	hello = hello_of(2, 5); /* looks for another */
	assert_int_equal(refused_hello(&dc[0], 2, &hello, text), DIA_GOODBYE_UNKNOWN_DC);
	hello = hello_of(1, 1); /* our own words sent back to us */
	assert_int_equal(refused_hello(&dc[0], 1, &hello, text), DIA_GOODBYE_UNKNOWN_DC);
	hello = hello_of(2, 1); /* proven as another than it says */
	assert_int_equal(refused_hello(&dc[0], 3, &hello, text), DIA_GOODBYE_FAILED);
	assert_int_equal(dc[0].source.opens, 0);
	fake_pair_fini(dc);
}

/* What a proven puller may send wrongly: each ends the connection and nothing else. */
static void put_raw(struct dia_buf *out, uint32_t len, uint8_t type, size_t have)
{
	(void)dia_buf_add_le32(out, len);
	(void)dia_buf_add_u8(out, type);
	for (size_t i = 0; i < have; i++)
		(void)dia_buf_add_u8(out, 0xff);
}

static void mad_puller(void **state)
{
	static struct fake_dc dc[2];
	const struct dia_frame_ack ahead = {.received = 1000000, .applied = 0};
	const struct dia_frame_ack impossible = {.received = 1, .applied = 2};

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	fake_source_publish(&dc[0].source, 100);
	for (int i = 0; i < 9; i++) {
		struct dia_frame_hello hello = hello_of(2, 1);
		char text[DIA_FRAME_TEXT_MAX];
		struct dia_err err = {0};
		struct dia_frame frame;
		struct hand h;

		assert_int_equal(hand_shake(&h, good_secret, 2, false,
					 fake_connect(dia_link_port(dc[0].link)), &err),
			DIA_OK);
		assert_int_equal(dia_frame_put_hello(&h.s.out, &hello), DIA_OK);
		hand_send(&h);
		assert_int_equal(hand_frame(&h, &frame, &err), DIA_OK);
		assert_int_equal(frame.type, DIA_FRAME_HELLO);
		switch (i) {
		case 0:
			assert_int_equal(dia_frame_put_ack(&h.s.out, &ahead), DIA_OK);
			break;
		case 1:
			assert_int_equal(
				dia_frame_put_ack(&h.s.out, &impossible), DIA_OK);
			break;
		case 2:
			assert_int_equal(dia_frame_put_hello(&h.s.out, &hello), DIA_OK);
			break;
		case 3: /* data goes the other way */
			put_raw(&h.s.out, 100, DIA_FRAME_BATCH, 100);
			break;
		case 4:
			put_raw(&h.s.out, UINT32_MAX, DIA_FRAME_BATCH, 10);
			break;
		case 5:
			put_raw(&h.s.out, 10, 200, 10);
			break;
		case 6:
			put_raw(&h.s.out, 50, DIA_FRAME_PING, 50);
			break;
		case 7:
			put_raw(&h.s.out, DIA_FRAME_SMALL_MAX + 1, DIA_FRAME_ACK, 10);
			break;
		case 8:
			put_raw(&h.s.out, 50, DIA_FRAME_GOODBYE, 50);
			break;
		}
		hand_send(&h);
		assert_int_equal(hand_goodbye(&h, text), DIA_GOODBYE_PROTOCOL);
		assert_non_null(strstr(text, "bad frame"));
		hand_fini(&h);
		FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == DIA_E_PROTOCOL ||
			   fake_stats(&dc[0]).last_error.rc == DIA_E_IO);
	}
	FAKE_AWAIT(!fake_stats(&dc[0]).serving);
	/* The real one is served as ever. */
	fake_dc_start(&dc[1]);
	assert_true(fake_sink_wait(&dc[1].sink, 100));
	assert_int_equal(FAKE_SINK_GET(&dc[1].sink, wrong), 0);
	fake_pair_fini(dc);
}

static void newer_connection_wins(void **state)
{
	static struct fake_dc dc[2];
	struct dia_frame_hello hello = hello_of(2, 1);
	char text[DIA_FRAME_TEXT_MAX];
	struct dia_err err = {0};
	struct dia_frame frame;
	struct hand h[3];

	(void)state;
	fake_pair_init(dc);
	fake_dc_start(&dc[0]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(hand_shake(&h[i], good_secret, 2, false,
					 fake_connect(dia_link_port(dc[0].link)), &err),
			DIA_OK);
		assert_int_equal(dia_frame_put_hello(&h[i].s.out, &hello), DIA_OK);
		hand_send(&h[i]);
		assert_int_equal(hand_frame(&h[i], &frame, &err), DIA_OK);
		assert_int_equal(frame.type, DIA_FRAME_HELLO);
		if (i > 0)
			assert_int_equal(
				hand_goodbye(&h[i - 1], text), DIA_GOODBYE_REPLACED);
	}
	assert_true(fake_stats(&dc[0]).serving);
	/* The last one lives: it gets what is published now. */
	fake_source_publish(&dc[0].source, 1);
	do {
		assert_int_equal(hand_frame(&h[2], &frame, &err), DIA_OK);
	} while (frame.type != DIA_FRAME_BATCH);
	for (int i = 0; i < 3; i++)
		hand_fini(&h[i]);
	fake_pair_fini(dc);
}

enum mad {
	MAD_ORIGIN,
	MAD_GAP,
	MAD_MARK_AHEAD,
	MAD_PART_ALONE,
	MAD_PART_TOO_LONG,
	MAD_BATCH_AMID_LARGE,
	MAD_TOO_LARGE,
	MAD_ZSTD,
	MAD_BOMB,
	MAD_TORN,
	MAD_ACK,
	MAD_LENGTH,
	MAD_VERSION,
	MAD_OTHER_DC,
	MAD_COUNT,
};

static void mad_body(enum mad how, struct dia_frame_encoder *e, struct dia_buf *out)
{
	static uint8_t zeros[1 << 20];
	struct dia_txn_head head = {.origin = {2}, .seq = 1};
	const struct dia_slice body = dia_slice_of(zeros, 64);
	const struct dia_frame_ack ack = {0};
	uint8_t packed[65536];
	size_t n;

	if (how == MAD_ORIGIN)
		head.origin.id = 3;
	if (how == MAD_GAP)
		head.seq = 2;
	if (how == MAD_MARK_AHEAD)
		head.flags = DIA_TXN_WATERMARK;
	switch (how) {
	case MAD_ORIGIN:
	case MAD_GAP:
	case MAD_MARK_AHEAD:
		assert_int_equal(dia_frame_batch_begin(e, out), DIA_OK);
		assert_int_equal(
			dia_frame_batch_add(e, &head,
				how == MAD_MARK_AHEAD ? dia_slice_of(NULL, 0) : body),
			DIA_OK);
		assert_int_equal(dia_frame_batch_end(e), DIA_OK);
		break;
	case MAD_PART_ALONE:
		assert_int_equal(dia_frame_put_part(e, out, body), DIA_OK);
		break;
	case MAD_PART_TOO_LONG:
		assert_int_equal(dia_frame_put_begin(out, &head, 63), DIA_OK);
		assert_int_equal(dia_frame_put_part(e, out, body), DIA_OK);
		break;
	case MAD_BATCH_AMID_LARGE:
		assert_int_equal(dia_frame_put_begin(out, &head, 65), DIA_OK);
		assert_int_equal(dia_frame_put_part(e, out, body), DIA_OK);
		assert_int_equal(dia_frame_batch_begin(e, out), DIA_OK);
		assert_int_equal(dia_frame_batch_add(e, &head, body), DIA_OK);
		assert_int_equal(dia_frame_batch_end(e), DIA_OK);
		break;
	case MAD_TOO_LARGE:
		assert_int_equal(dia_frame_put_begin(out, &head, UINT64_MAX), DIA_OK);
		break;
	case MAD_ZSTD:
		put_raw(out, 100, DIA_FRAME_BATCH, 4);
		for (int i = 0; i < 96; i++)
			(void)dia_buf_add_u8(out, (uint8_t)i);
		break;
	case MAD_BOMB:
	case MAD_TORN:
		n = ZSTD_compress(packed, sizeof(packed), zeros,
			how == MAD_BOMB ? sizeof(zeros) : 5, 1);
		(void)dia_buf_add_le32(out, (uint32_t)n + 4);
		(void)dia_buf_add_u8(out, DIA_FRAME_BATCH);
		(void)dia_buf_add_le32(out, how == MAD_BOMB ? 1000 : 5);
		(void)dia_buf_add(out, packed, n);
		break;
	case MAD_ACK: /* acknowledgements go the other way */
		assert_int_equal(dia_frame_put_ack(out, &ack), DIA_OK);
		break;
	case MAD_LENGTH:
		put_raw(out, DIA_FRAME_MAX + 1, DIA_FRAME_BATCH, 10);
		break;
	case MAD_VERSION:
	case MAD_OTHER_DC:
	case MAD_COUNT:
		break;
	}
}

/* A server that knows the secret and then misbehaves in every way, and a puller that
 * takes no harm, names each and comes back for more. */
static void mad_sender(void **state)
{
	static struct fake_dc dc[2];
	static const enum dia_rc want[MAD_COUNT] = {
		[MAD_TOO_LARGE] = DIA_E_LIMIT,
		[MAD_VERSION] = DIA_E_UNSUPPORTED,
		[MAD_OTHER_DC] = DIA_E_CONFIG,
	};
	uint16_t port;
	int listener;

	(void)state;
	fake_pair_init(dc);
	assert_int_equal(
		dia_peer_sock_listen("127.0.0.1:0", &listener, &port, NULL), DIA_OK);
	(void)snprintf(dc[0].address, sizeof(dc[0].address), "127.0.0.1:%u", port);
	dc[0].config.max_txn_bytes = 1 << 30;
	fake_dc_start(&dc[0]);
	for (enum mad how = 0; how < MAD_COUNT; how++) {
		struct pollfd p = {.fd = listener, .events = POLLIN};
		struct dia_frame_hello hello = hello_of(2, 1);
		char text[DIA_FRAME_TEXT_MAX];
		struct dia_err err = {0};
		struct dia_frame_encoder e;
		struct dia_frame frame;
		struct hand h;
		enum dia_rc rc = want[how] == DIA_OK ? DIA_E_PROTOCOL : want[how];
		int fd;

		assert_int_equal(poll(&p, 1, 20000), 1);
		fd = accept(listener, NULL, NULL);
		dia_peer_sock_tune(fd);
		assert_int_equal(hand_shake(&h, good_secret, 2, true, fd, &err), DIA_OK);
		assert_int_equal(h.s.peer.claimed.id, 1);
		assert_int_equal(hand_frame(&h, &frame, &err), DIA_OK);
		assert_int_equal(frame.type, DIA_FRAME_HELLO);
		if (how == MAD_VERSION)
			hello.version_min = hello.version_max = 2;
		if (how == MAD_OTHER_DC)
			hello.from.id = 4;
		assert_int_equal(dia_frame_encoder_init(&e, NULL), DIA_OK);
		assert_int_equal(dia_frame_put_hello(&h.s.out, &hello), DIA_OK);
		mad_body(how, &e, &h.s.out);
		hand_send(&h);
		if (hand_goodbye(&h, text) == 0)
			fail_msg("no goodbye to misbehaviour %d", (int)how);
		FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == rc);
		hand_fini(&h);
		dia_frame_encoder_fini(&e);
	}
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, received), 0);
	assert_int_equal(FAKE_SINK_GET(&dc[0].sink, wrong), 0);
	(void)close(listener);
	fake_pair_fini(dc);
}

/* A server without the secret cannot make a client talk. */
static void impostor_learns_nothing(void **state)
{
	static struct fake_dc dc[2];
	struct dia_err err = {0};
	struct pollfd p = {.events = POLLIN};
	struct hand h;
	uint16_t port;
	int fd;

	(void)state;
	fake_pair_init(dc);
	assert_int_equal(dia_peer_sock_listen("127.0.0.1:0", &p.fd, &port, NULL), DIA_OK);
	(void)snprintf(dc[0].address, sizeof(dc[0].address), "127.0.0.1:%u", port);
	fake_dc_start(&dc[0]);
	assert_int_equal(poll(&p, 1, 20000), 1);
	fd = accept(p.fd, NULL, NULL);
	dia_peer_sock_tune(fd);
	assert_int_equal(hand_shake(&h, "guess", 2, true, fd, &err), DIA_E_AUTH);
	assert_false(h.s.up);
	hand_fini(&h);
	FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == DIA_E_AUTH);
	(void)close(p.fd);
	fake_pair_fini(dc);
}

static void add_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	assert_true(key != NULL && cert != NULL);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 0));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Nor does a certificate help a server that ignores our key. */
static void certificate_proves_nothing(void **state)
{
	static struct fake_dc dc[2];
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct pollfd p = {.events = POLLIN};
	uint64_t until = fake_now_ms() + 5000;
	uint8_t byte;
	uint16_t port;
	int fd, got = -1;
	SSL *ssl;

	(void)state;
	assert_non_null(ctx);
	add_certificate(ctx);
	fake_pair_init(dc);
	assert_int_equal(dia_peer_sock_listen("127.0.0.1:0", &p.fd, &port, NULL), DIA_OK);
	(void)snprintf(dc[0].address, sizeof(dc[0].address), "127.0.0.1:%u", port);
	fake_dc_start(&dc[0]);
	assert_int_equal(poll(&p, 1, 20000), 1);
	fd = accept(p.fd, NULL, NULL);
	dia_peer_sock_tune(fd);
	ssl = SSL_new(ctx);
	assert_true(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
	SSL_set_accept_state(ssl);
	/* Not one byte of a hello comes out of the client. */
	while (fake_now_ms() < until) {
		struct pollfd q = {.fd = fd, .events = POLLIN};

		got = SSL_read(ssl, &byte, 1);
		if (got > 0 || SSL_get_error(ssl, got) != SSL_ERROR_WANT_READ)
			break;
		(void)poll(&q, 1, 1000);
	}
	assert_true(got <= 0);
	FAKE_AWAIT(fake_stats(&dc[0]).last_error.rc == DIA_E_AUTH);
	assert_int_equal(fake_stats(&dc[0]).connects, 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	(void)close(fd);
	(void)close(p.fd);
	fake_pair_fini(dc);
}

static void configuration_is_checked(void **state)
{
	static struct fake_dc dc[2];
	static const char *const addresses[] = {
		"nohost", "host:", "host:70000", "host:1x", "", ":"};
	struct dia_link *link = NULL;
	struct dia_link_config c;
	struct dia_link_peer peer;
	struct dia_err err;

	(void)state;
	fake_pair_init(dc);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		c = dc[0].config;
		peer = dc[0].peer;
		peer.address = addresses[i];
		c.peers = &peer;
		assert_int_equal(dia_link_start(&c, &link, &err), DIA_E_CONFIG);
	}
	c = dc[0].config;
	c.secret = dia_slice_of(NULL, 0);
	assert_int_equal(dia_link_start(&c, &link, &err), DIA_E_CONFIG);
	c = dc[0].config;
	c.self.id = 2; /* its own peer */
	assert_int_equal(dia_link_start(&c, &link, &err), DIA_E_CONFIG);
	c.self.id = 64;
	assert_int_equal(dia_link_start(&c, &link, &err), DIA_E_CONFIG);
	c = dc[0].config;
	c.listen = "192.0.2.1:1"; /* nobody's */
	assert_int_equal(dia_link_start(&c, &link, &err), DIA_E_IO);
	assert_null(link);
	fake_pair_fini(dc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_secret_on_either_side),
		cmocka_unit_test(strangers_do_no_harm),
		cmocka_unit_test(strangers_are_few),
		cmocka_unit_test(slow_loris_ends_at_the_deadline),
		cmocka_unit_test(hello_is_checked),
		cmocka_unit_test(mad_puller),
		cmocka_unit_test(newer_connection_wins),
		cmocka_unit_test(mad_sender),
		cmocka_unit_test(impostor_learns_nothing),
		cmocka_unit_test(certificate_proves_nothing),
		cmocka_unit_test(configuration_is_checked),
	};

	dia_log_configure(
		getenv("DIA_TEST_LOG") == NULL ? DIA_LOG_ERROR : DIA_LOG_DEBUG, -1);
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
