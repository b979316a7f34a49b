/* tests/unit/test_binlog_event.c - the envelope and the events other than rows. */
#include "tests/unit/binlog_helper.h"

#include "parser/binlog/binlog_statement.h"

#include <stdlib.h>

enum { EVENTS = sizeof(captured_events) / sizeof(captured_events[0]) };

static void test_envelope_of_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < EVENTS; i++) {
		struct dia_slice in = captured(captured_events[i].name);
		struct dia_event ev;
		struct dia_buf out = {0};

		if (in.data[4] == DIA_EVENT_FORMAT_DESCRIPTION)
			continue; /* its checksum is computed otherwise */
		assert_int_equal(dia_event_parse(in, true, &ev), DIA_PARSE_OK);
		assert_int_equal(ev.event_len, in.len);
		assert_int_equal(ev.raw.len, in.len - 4);
		assert_int_equal(dia_event_write(&out, &ev), DIA_OK);
		assert_int_equal(
			dia_event_parse(dia_buf_slice(&out), false, &ev), DIA_PARSE_OK);
		assert_int_equal(ev.event_len, out.len);
		assert_int_equal(ev.log_pos, 0);
		dia_buf_fini(&out);
	}
}

static void test_envelope_truncated(void **state)
{
	struct dia_slice in = captured("gtid");
	struct dia_event ev;

	(void)state;
	for (size_t len = 0; len < in.len; len++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(in.data, len));

		assert_int_equal(dia_event_parse(g.input, true, &ev), DIA_PARSE_MORE);
		dia_guard_free(&g);
	}
}

static void test_checksum_is_verified(void **state)
{
	struct dia_slice in = captured("annotate");
	struct dia_event ev;
	uint8_t *copy = malloc(in.len);

	(void)state;
	assert_non_null(copy);
	for (size_t i = 0; i < in.len; i++) {
		if (i >= 9 && i < 13)
			continue; /* the length: then it is another event */
		memcpy(copy, in.data, in.len);
		copy[i] ^= 0x10;
		assert_int_equal(dia_event_parse(dia_slice_of(copy, in.len), true, &ev),
			DIA_PARSE_BAD);
	}
	memcpy(copy, in.data, in.len);
	dia_put_le32(copy + 9, 22);
	assert_int_equal(
		dia_event_parse(dia_slice_of(copy, in.len), true, &ev), DIA_PARSE_BAD);
	free(copy);
}

static void test_format(void **state)
{
	struct dia_slice in = captured("format");
	struct dia_format format;
	uint8_t copy[512];

	(void)state;
	assert_int_equal(dia_format_parse(in, &format), DIA_PARSE_OK);
	assert_true(format.has_checksum);
	assert_int_equal(format.binlog_version, 4);
	assert_memory_equal(format.server_version, "10.11.", 6);
	for (size_t len = 0; len < in.len; len++) {
		struct dia_guard g = dia_guard_make(dia_slice_of(in.data, len));

		assert_int_equal(dia_format_parse(g.input, &format), DIA_PARSE_MORE);
		dia_guard_free(&g);
	}
	memcpy(copy, in.data, in.len);
	copy[30] ^= 1;
	assert_int_equal(
		dia_format_parse(dia_slice_of(copy, in.len), &format), DIA_PARSE_BAD);
	for (uint32_t len = DIA_EVENT_HEADER_LEN; len < in.len; len++) {
		struct dia_guard g;

		memcpy(copy, in.data, in.len);
		dia_put_le32(copy + 9, len);
		g = dia_guard_make(dia_slice_of(copy, len));
		assert_int_equal(dia_format_parse(g.input, &format), DIA_PARSE_BAD);
		dia_guard_free(&g);
	}
}

static void test_gtid(void **state)
{
	struct dia_event ev = captured_event("gtid");
	struct dia_gtid_event gtid;
	const size_t needed = 8 + 4 + 1 + 4 + 1 + 1 + strlen("gtridbqual");

	(void)state;
	assert_int_equal(dia_gtid_event_parse(&ev, &gtid), DIA_PARSE_OK);
	assert_int_equal(gtid.gtid.domain, 0);
	assert_int_equal(gtid.gtid.server, 1);
	assert_true(gtid.gtid.seq_no > 0);
	assert_int_equal(gtid.flags & (DIA_GTID_STANDALONE | DIA_GTID_TRANSACTIONAL),
		DIA_GTID_TRANSACTIONAL);
	ev = captured_event("gtid_ddl");
	assert_int_equal(dia_gtid_event_parse(&ev, &gtid), DIA_PARSE_OK);
	assert_int_equal(gtid.flags & (DIA_GTID_STANDALONE | DIA_GTID_DDL),
		DIA_GTID_STANDALONE | DIA_GTID_DDL);

	ev = captured_event("gtid_xa");
	for (size_t len = 0; len <= ev.data.len; len++) {
		struct dia_guard g;
		struct dia_event cut = guarded(&ev, len, &g);

		assert_int_equal(dia_gtid_event_parse(&cut, &gtid),
			len >= needed ? DIA_PARSE_OK : DIA_PARSE_BAD);
		if (len >= needed) {
			assert_slice(gtid.xid, "gtridbqual");
			assert_true((gtid.flags & DIA_GTID_PREPARED_XA) != 0);
		}
		dia_guard_free(&g);
	}
}

static void test_query(void **state)
{
	struct dia_event ev = captured_event("query_ddl");
	struct dia_query_event q;

	(void)state;
	assert_int_equal(dia_query_event_parse(&ev, &q), DIA_PARSE_OK);
	assert_memory_equal(q.sql.data, "CREATE TABLE cap.t", 18);
	assert_int_equal(q.error_code, 0);
	assert_int_equal(q.db.len, 0);
	assert_int_equal(q.has,
		DIA_QUERY_HAS_FLAGS2 | DIA_QUERY_HAS_SQL_MODE | DIA_QUERY_HAS_CHARSET);
	assert_int_equal(q.sql_mode, 0);
	assert_int_equal(q.client_charset, 45);
	assert_int_equal(ev.timestamp, 1700000000);
}

static void test_query_truncated(void **state)
{
	struct dia_event ev = captured_event("query_ddl");
	struct dia_query_event q;
	size_t head;

	(void)state;
	assert_int_equal(dia_query_event_parse(&ev, &q), DIA_PARSE_OK);
	head = (size_t)(q.sql.data - ev.data.data);
	for (size_t len = 0; len <= ev.data.len; len++) {
		struct dia_guard g;
		struct dia_event cut = guarded(&ev, len, &g);

		assert_int_equal(dia_query_event_parse(&cut, &q),
			len < head ? DIA_PARSE_BAD : DIA_PARSE_OK);
		dia_guard_free(&g);
	}
}

/* Status variables that our server does not write here, and one nobody knows. */
static void test_query_status(void **state)
{
	static const uint8_t status[] = {3, 2, 0, 1, 0,       /* auto increment */
		5, 6, '+', '0', '2', ':', '0', '0',           /* time zone */
		6, 3, 's', 't', 'd', 2, 3, 's', 't', 'd', 0,  /* catalogs */
		7, 1, 0, 8, 45, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, /* lc_time, database, map */
		10, 1, 2, 3, 4, 11, 1, 'u', 1, 'h',           /* written, invoker */
		12, 2, 'a', 0, 'b', 'c', 0, 12, 254,          /* updated databases */
		13, 1, 2, 3, 128, 0x40, 0xe2, 1,              /* fractions */
		129, 1, 2, 3, 4, 5, 6, 7, 8, 130, 4, 0, 130, 0x10, 0, 1, 2, 3, 4, 5, 6, 7,
		8, 131, 1, 45, 0, 0, 9, 4, 45, 0, 45, 0, 8, 0, 255, 1};
	uint8_t raw[DIA_EVENT_HEADER_LEN + 13 + sizeof(status) + 3 + 6] = {0};
	uint8_t *data = raw + DIA_EVENT_HEADER_LEN;
	struct dia_event ev = {.type = DIA_EVENT_QUERY,
		.raw = dia_slice_of(raw, sizeof(raw)),
		.data = dia_slice_of(data, sizeof(raw) - DIA_EVENT_HEADER_LEN)};
	struct dia_query_event q;

	(void)state;
	data[8] = 2;
	dia_put_le16(data + 11, sizeof(status));
	memcpy(data + 13, status, sizeof(status));
	memcpy(data + 13 + sizeof(status), "db\0SELECT", 9);
	assert_int_equal(dia_query_event_parse(&ev, &q), DIA_PARSE_OK);
	assert_slice(q.db, "db");
	assert_slice(q.sql, "SELECT");
	assert_int_equal(q.auto_increment_increment, 2);
	assert_int_equal(q.auto_increment_offset, 1);
	assert_slice(q.time_zone, "+02:00");
	assert_int_equal(q.lc_time, 1);
	assert_int_equal(q.database_collation, 45);
	assert_slice(q.invoker_user, "u");
	assert_slice(q.invoker_host, "h");
	assert_int_equal(q.microseconds, 123456);
	assert_int_equal(q.client_charset, 45); /* read behind 131 */
	assert_int_equal(q.server_collation, 8);

	/* Every cut of the status, announced as such: refused or read, never past its
	 * end. */
	for (uint16_t len = 0; len < sizeof(status); len++) {
		struct dia_guard g;
		struct dia_event cut;

		dia_put_le16(data + 11, len);
		memcpy(data + 13 + len, "db\0SELECT", 9);
		cut = guarded(&ev, 13 + (size_t)len + 9, &g);
		if (dia_query_event_parse(&cut, &q) == DIA_PARSE_OK)
			assert_slice(q.sql, "SELECT");
		memcpy(data + 13, status, sizeof(status));
		dia_guard_free(&g);
	}
}

static void test_annotate_and_xid(void **state)
{
	struct dia_event ev = captured_event("annotate");
	struct dia_slice sql;
	uint64_t xid = 0;

	(void)state;
	assert_int_equal(dia_annotate_parse(&ev, &sql), DIA_PARSE_OK);
	assert_memory_equal(sql.data, "INSERT INTO cap.t", 17);
	assert_int_equal(dia_xid_parse(&ev, &xid), DIA_PARSE_BAD);
	ev = captured_event("xid");
	assert_int_equal(dia_xid_parse(&ev, &xid), DIA_PARSE_OK);
	assert_true(xid > 0);
	ev.data.len--;
	assert_int_equal(dia_xid_parse(&ev, &xid), DIA_PARSE_BAD);
}

static void test_uncompress(void **state)
{
	static const char *const names[] = {"query_z", "write_z", "update_z", "delete_z"};
	static const uint8_t types[] = {DIA_EVENT_QUERY, DIA_EVENT_WRITE_ROWS_V1,
		DIA_EVENT_UPDATE_ROWS_V1, DIA_EVENT_DELETE_ROWS_V1};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct dia_event ev = captured_event(names[i]), plain;
		struct dia_buf out = {0};

		(void)dia_buf_add_str(&out, "before");
		assert_int_equal(
			dia_event_uncompress(&ev, 1 << 20, &out, &plain), DIA_PARSE_OK);
		assert_int_equal(plain.type, types[i]);
		assert_int_equal(plain.event_len, plain.raw.len);
		assert_int_equal(out.len, 6 + plain.raw.len);
		if (i > 0)
			assert_true(plain.raw.len > 5000);
		/* A bomb is refused by what it claims, before anything is unpacked. */
		dia_buf_reset(&out);
		assert_int_equal(
			dia_event_uncompress(&ev, 30, &out, &plain), DIA_PARSE_BAD);
		assert_int_equal(out.len, 0);
		for (size_t len = 0; len < ev.data.len; len++) {
			struct dia_guard g;
			struct dia_event cut = guarded(&ev, len, &g);

			assert_int_equal(
				dia_event_uncompress(&cut, 1 << 20, &out, &plain),
				DIA_PARSE_BAD);
			assert_int_equal(out.len, 0);
			dia_guard_free(&g);
		}
		dia_buf_fini(&out);
	}
}

static void test_uncompressed_is_left_alone(void **state)
{
	struct dia_event ev = captured_event("write_all"), plain;
	struct dia_buf out = {0};

	(void)state;
	assert_int_equal(dia_event_uncompress(&ev, 1, &out, &plain), DIA_PARSE_OK);
	assert_ptr_equal(plain.raw.data, ev.raw.data);
	assert_int_equal(out.len, 0);
}

static void test_written_format(void **state)
{
	struct dia_slice real = captured("format");
	struct dia_format format;
	struct dia_buf out = {0}, sql = {0};

	(void)state;
	assert_int_equal(dia_format_event_write(&out, "10.11.19-MariaDB"), DIA_OK);
	assert_int_equal(dia_format_parse(dia_buf_slice(&out), &format), DIA_PARSE_OK);
	assert_false(format.has_checksum);
	assert_string_equal(format.server_version, "10.11.19-MariaDB");
	/* The same post-header lengths as the server's own, where those of our types are.
	 */
	assert_int_equal(out.len, real.len);
	assert_memory_equal(out.data + 76, real.data + 76, real.len - 76 - 5);

	assert_int_equal(dia_binlog_statement(&sql, dia_buf_slice(&out)), DIA_OK);
	assert_int_equal(sql.len, dia_binlog_statement_len(out.len));
	assert_memory_equal(sql.data, "BINLOG 'AAAA", 12);
	assert_int_equal(sql.data[sql.len - 1], '\'');
	dia_buf_reset(&out);
	assert_int_equal(
		dia_format_event_write(&out,
			"a version text that is longer than the fifty bytes it may have"),
		DIA_OK);
	assert_int_equal(dia_format_parse(dia_buf_slice(&out), &format), DIA_PARSE_OK);
	assert_int_equal(strlen(format.server_version), 49);
	dia_buf_fini(&out);
	dia_buf_fini(&sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope_of_all),
		cmocka_unit_test(test_envelope_truncated),
		cmocka_unit_test(test_checksum_is_verified),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_gtid),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_truncated),
		cmocka_unit_test(test_query_status),
		cmocka_unit_test(test_annotate_and_xid),
		cmocka_unit_test(test_uncompress),
		cmocka_unit_test(test_uncompressed_is_left_alone),
		cmocka_unit_test(test_written_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
