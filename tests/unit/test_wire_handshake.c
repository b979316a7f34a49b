/*
 * tests/unit/test_wire_handshake.c - greeting and login: fields, masking, truncation,
 * guard page.
 */
#include "parser/wire/handshake.h"
#include "tests/lib/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct dia_buf greeting(uint64_t caps)
{
	struct dia_buf b = {0};

	dia_buf_add_u8(&b, 10);
	dia_buf_add(&b, "5.5.5-10.11.19-MariaDB", 23);
	dia_buf_add_le32(&b, 4711);
	dia_buf_add(&b, "abcdefgh", 9);
	dia_buf_add_le16(&b, (uint16_t)caps);
	dia_buf_add_u8(&b, 45);
	dia_buf_add_le16(&b, 2);
	dia_buf_add_le16(&b, (uint16_t)(caps >> 16));
	dia_buf_add_u8(&b, 21);
	dia_buf_add(&b, "\0\0\0\0\0\0", 6);
	dia_buf_add_le32(&b, (uint32_t)(caps >> 32));
	dia_buf_add(&b, "ijklmnopqrst", 13);
	dia_buf_add(&b, "mysql_native_password", 22);
	assert_false(b.failed);
	return b;
}

static struct dia_buf login(uint64_t caps)
{
	struct dia_buf b = {0};

	dia_buf_add_le32(&b, (uint32_t)caps);
	dia_buf_add_le32(&b, 1 << 24);
	dia_buf_add_u8(&b, 28);
	for (int i = 0; i < 19; i++)
		dia_buf_add_u8(&b, 0);
	dia_buf_add_le32(&b, (uint32_t)(caps >> 32));
	dia_buf_add(&b, "alice", 6);
	if ((caps & (DIA_CAP_AUTH_LENENC | DIA_CAP_SECURE_CONNECTION)) != 0)
		dia_buf_add(&b, "\003xyz", 4);
	else
		dia_buf_add(&b, "xyz", 4);
	if ((caps & DIA_CAP_CONNECT_WITH_DB) != 0)
		dia_buf_add(&b, "shop", 5);
	if ((caps & DIA_CAP_PLUGIN_AUTH) != 0)
		dia_buf_add(&b, "ed25519", 8);
	if ((caps & DIA_CAP_CONNECT_ATTRS) != 0)
		dia_buf_add(&b, "\004\001k\001v", 5);
	if ((caps & DIA_CAP_ZSTD) != 0)
		dia_buf_add_u8(&b, 3);
	assert_false(b.failed);
	return b;
}

#define ALL_CAPS (UINT64_C(0x3fffffffff) & ~DIA_CAP_LONG_PASSWORD)

static void test_greeting(void **state)
{
	struct dia_buf b = greeting(ALL_CAPS);
	struct dia_greeting g, again;

	(void)state;
	assert_int_equal(dia_greeting_parse(dia_buf_slice(&b), &g), DIA_PARSE_OK);
	assert_int_equal(g.connection_id, 4711);
	assert_int_equal(g.caps, ALL_CAPS);
	assert_int_equal(g.status, 2);
	assert_true(dia_slice_eq(g.version, dia_slice_str("5.5.5-10.11.19-MariaDB")));
	assert_true(dia_slice_eq(g.nonce1, dia_slice_str("abcdefgh")));
	assert_true(dia_slice_eq(g.nonce2, dia_slice_str("ijklmnopqrst")));
	assert_true(dia_slice_eq(g.plugin, dia_slice_str("mysql_native_password")));

	dia_greeting_mask(b.data, &g, DIA_CAPS_RELAYED);
	assert_int_equal(dia_greeting_parse(dia_buf_slice(&b), &again), DIA_PARSE_OK);
	assert_int_equal(again.caps, ALL_CAPS & DIA_CAPS_RELAYED);
	assert_int_equal(
		again.caps & (DIA_CAP_SSL | DIA_CAP_COMPRESS | DIA_CAP_ZSTD |
				     DIA_CAP_QUERY_ATTRIBUTES |
				     DIA_CAP_OPTIONAL_METADATA | DIA_CAP_MARIA_COM_MULTI),
		0);
	assert_true(dia_slice_eq(again.nonce2, dia_slice_str("ijklmnopqrst")));
	/* a nonce length below 21 still means 12 bytes and a NUL */
	b.data[g.caps_high_at + 2] = 15;
	assert_int_equal(dia_greeting_parse(dia_buf_slice(&b), &again), DIA_PARSE_OK);
	assert_true(dia_slice_eq(again.plugin, dia_slice_str("mysql_native_password")));
	dia_buf_fini(&b);
}

/* MySQL sets CLIENT_MYSQL: the reserved bytes are none of our business. */
static void test_greeting_of_mysql(void **state)
{
	uint64_t caps = (ALL_CAPS & 0xffffffff) | DIA_CAP_LONG_PASSWORD;
	struct dia_buf b = greeting(caps | (UINT64_C(0x55) << 32));
	struct dia_greeting g;
	uint8_t reserved[4];

	(void)state;
	assert_int_equal(dia_greeting_parse(dia_buf_slice(&b), &g), DIA_PARSE_OK);
	assert_int_equal(g.caps, caps);
	memcpy(reserved, b.data + g.caps_ext_at, 4);
	dia_greeting_mask(b.data, &g, DIA_CAPS_RELAYED);
	assert_memory_equal(reserved, b.data + g.caps_ext_at, 4);
	dia_buf_fini(&b);
}

static void test_greeting_truncated(void **state)
{
	struct dia_buf b = greeting(ALL_CAPS);

	(void)state;
	for (size_t len = 0; len < b.len; len++) {
		struct dia_guard guard = dia_guard_make(dia_slice_of(b.data, len));
		struct dia_greeting g;
		enum dia_parse rc = dia_greeting_parse(guard.input, &g);

		/* The plugin name may lack its end; everything before is required. */
		if (len < b.len - 22)
			assert_int_equal(rc, DIA_PARSE_BAD);
		else
			assert_int_equal(rc, DIA_PARSE_OK);
		dia_guard_free(&guard);
	}
	b.data[0] = 9;
	assert_int_equal(dia_greeting_parse(dia_buf_slice(&b), &(struct dia_greeting){0}),
		DIA_PARSE_BAD);
	dia_buf_fini(&b);
}

static void test_login(void **state)
{
	static const uint64_t sets[] = {
		DIA_CAP_PROTOCOL_41,
		DIA_CAP_PROTOCOL_41 | DIA_CAP_SECURE_CONNECTION,
		DIA_CAP_PROTOCOL_41 | DIA_CAP_SECURE_CONNECTION | DIA_CAP_CONNECT_WITH_DB,
		DIA_CAP_PROTOCOL_41 | DIA_CAP_AUTH_LENENC | DIA_CAP_PLUGIN_AUTH,
		ALL_CAPS,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct dia_buf b = login(sets[i]);
		struct dia_login l;

		assert_int_equal(dia_login_parse(dia_buf_slice(&b), &l), DIA_PARSE_OK);
		assert_int_equal(l.caps, sets[i]);
		assert_int_equal(l.charset, 28);
		assert_false(l.ssl_request);
		assert_true(dia_slice_eq(l.user, dia_slice_str("alice")));
		assert_true(dia_slice_eq(l.auth, dia_slice_str("xyz")));
		if ((sets[i] & DIA_CAP_CONNECT_WITH_DB) != 0)
			assert_true(dia_slice_eq(l.db, dia_slice_str("shop")));
		if ((sets[i] & DIA_CAP_PLUGIN_AUTH) != 0)
			assert_true(dia_slice_eq(l.plugin, dia_slice_str("ed25519")));
		dia_buf_fini(&b);
	}
}

static void test_login_mask(void **state)
{
	struct dia_buf b = login(ALL_CAPS);
	uint64_t offered = DIA_CAPS_RELAYED & ~DIA_CAP_MARIA_CACHE_META;
	struct dia_login l;

	(void)state;
	assert_int_equal(dia_login_parse(dia_buf_slice(&b), &l), DIA_PARSE_OK);
	dia_login_mask(b.data, &l, offered);
	assert_int_equal(dia_le32(b.data), (uint32_t)(ALL_CAPS & offered));
	assert_int_equal(dia_le32(b.data + 28), (uint32_t)((ALL_CAPS & offered) >> 32));
	dia_buf_fini(&b);

	/* A MySQL client: bit 0 stays as it is, bytes 28.. are filler. */
	b = login(ALL_CAPS | DIA_CAP_LONG_PASSWORD);
	assert_int_equal(dia_login_parse(dia_buf_slice(&b), &l), DIA_PARSE_OK);
	assert_int_equal(l.caps >> 32, 0);
	dia_login_mask(b.data, &l, offered & ~DIA_CAP_LONG_PASSWORD);
	assert_int_equal(dia_le32(b.data) & DIA_CAP_LONG_PASSWORD, DIA_CAP_LONG_PASSWORD);
	assert_int_equal(dia_le32(b.data + 28), (uint32_t)(ALL_CAPS >> 32));
	dia_buf_fini(&b);
}

static void test_ssl_request(void **state)
{
	struct dia_buf b = login(ALL_CAPS | DIA_CAP_SSL);
	struct dia_login l;

	(void)state;
	assert_int_equal(
		dia_login_parse(dia_slice_of(b.data, DIA_LOGIN_FIXED), &l), DIA_PARSE_OK);
	assert_true(l.ssl_request);
	dia_buf_fini(&b);
}

static void test_login_truncated(void **state)
{
	struct dia_buf b = login(ALL_CAPS & ~DIA_CAP_SSL);

	(void)state;
	for (size_t len = 0; len <= b.len; len++) {
		struct dia_guard guard = dia_guard_make(dia_slice_of(b.data, len));
		struct dia_login l;
		enum dia_parse rc = dia_login_parse(guard.input, &l);

		if (len < DIA_LOGIN_FIXED + 6)
			assert_int_equal(rc, DIA_PARSE_BAD);
		dia_guard_free(&guard);
	}
	/* a length that points past the end */
	b.data[DIA_LOGIN_FIXED + 6] = 0xfa;
	assert_int_equal(dia_login_parse(dia_buf_slice(&b), &(struct dia_login){0}),
		DIA_PARSE_BAD);
	/* before 4.1 */
	dia_put_le32(b.data, (uint32_t)(ALL_CAPS & ~DIA_CAP_PROTOCOL_41));
	assert_int_equal(dia_login_parse(dia_buf_slice(&b), &(struct dia_login){0}),
		DIA_PARSE_BAD);
	dia_buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_greeting_of_mysql),
		cmocka_unit_test(test_greeting_truncated),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_login_mask),
		cmocka_unit_test(test_ssl_request),
		cmocka_unit_test(test_login_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
