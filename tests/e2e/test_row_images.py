"""tests/e2e/test_row_images.py - parser/binlog against real servers.

row_dump decodes a server's binlog with our library. What it prints must be what SELECT
prints; its literals must select the row they came from; its keys must be equal exactly when
the server holds the values equal; and the events it writes anew must make an equal table.
"""
import itertools
import os
import random
import struct
import subprocess
from pathlib import Path

import pymysql
import pytest

from tests.lib import dc

ROOT = Path(__file__).resolve().parents[2]


def row_dump_binary():
    given = os.environ.get("ROW_DUMP_BIN")
    return Path(given) if given else dc.diarchy_binary().parent / "row_dump"


class Row:
    def __init__(self, kind, table):
        self.kind = kind
        self.table = table
        self.values = {"b": {}, "a": {}}
        self.key = {}
        self.json = {}


class Dump:
    """What row_dump said."""

    def __init__(self, server, position, version=None):
        argv = [str(row_dump_binary()), str(server.socket), position[0], str(position[1])]
        if version:
            argv.append(version)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr.decode()
        self.rows = []
        self.binlog = []
        self.binlog_key = []
        self.queries = []
        for line in done.stdout.decode().splitlines():
            label, rest = line.split(" ", 1)
            f = rest.split(" ")
            if label == "ROW":
                self.rows.append(Row(int(f[0]), f[1] + "." + f[2]))
            elif label == "V":
                text = None if f[2] == "N" else unhex(f[3])
                self.rows[-1].values[f[0]][f[1]] = (text, unhex(f[4]).decode(), f[2])
            elif label == "KEY":
                self.rows[-1].key[f[0]] = unhex(f[1])
            elif label == "JSON":
                self.rows[-1].json[f[0]] = unhex(f[1]).decode()
            elif label == "QUERY":
                self.queries.append(unhex(f[0]).decode())
            elif label == "FORMAT":
                self.format = rest
            elif label == "BINLOG":
                self.binlog.append(rest)
            elif label == "BINLOGKEY":
                self.binlog_key.append(rest)


def unhex(s):
    return b"" if s == "-" else bytes.fromhex(s)


@pytest.fixture(scope="module")
def servers():
    made = []
    for n, name in enumerate(("images-a", "images-b")):
        base = dc.run_dir() / name
        made.append(dc.MariaDB(name, base, n + 1, {"binlog-annotate-row-events": "1"}).start())
    yield made
    for s in made:
        s.kill()


@pytest.fixture
def schema(servers):
    for s in servers:
        s.sql("DROP DATABASE IF EXISTS img", "CREATE DATABASE img")
    return servers


def position(server):
    row = server.sql("SHOW MASTER STATUS")[0]
    return row["File"], row["Position"]


class Session:
    """A connection as the applier has it."""

    def __init__(self, server, fmt=None):
        self.conn = server.root(database="img")
        self.cur = self.conn.cursor()
        self.run("SET time_zone='+00:00', sql_mode='', binlog_annotate_row_events=0, "
                 "foreign_key_checks=1")
        if fmt:
            self.run(fmt)

    def run(self, sql):
        self.cur.execute(sql)
        return self.cur.fetchall()


def raw(server, sql):
    return [tuple(r) for r in server.raw("SET STATEMENT time_zone='+00:00' FOR " + sql)]


LOW = "''"
# column type: values as SQL. NULL and the first insert's defaults come on top.
TYPES = {
    "TINYINT": ["-128", "127", "0", "-1"],
    "TINYINT UNSIGNED": ["255", "0", "128"],
    "SMALLINT": ["-32768", "32767", "-1"],
    "SMALLINT UNSIGNED": ["65535", "32768"],
    "MEDIUMINT": ["-8388608", "8388607", "-1"],
    "MEDIUMINT UNSIGNED": ["16777215", "8388608"],
    "INT": ["-2147483648", "2147483647", "-1"],
    "INT UNSIGNED": ["4294967295", "2147483648"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807", "-1", "0"],
    "BIGINT UNSIGNED": ["18446744073709551615", "9223372036854775808"],
    "DECIMAL(65,30)": ["-99999999999999999999999999999999999.999999999999999999999999999999",
                       "99999999999999999999999999999999999.999999999999999999999999999999",
                       "0", "-0.000000000000000000000000000001", "123456789.987654321"],
    "DECIMAL(65,0)": ["-" + "9" * 65, "9" * 65, "1", "-1000000000"],
    "DECIMAL(38,38)": ["0." + "9" * 38, "-0." + "0" * 37 + "1"],
    "DECIMAL(10,2)": ["-0.01", "12345678.90", "-99999999.99", "-0"],
    "DECIMAL(9,9)": ["0.123456789", "-0.999999999"],
    "DECIMAL(1,0)": ["9", "-9"],
    "DECIMAL(5,2) UNSIGNED": ["999.99", "0.01"],
    "FLOAT": ["0", "1.5", "-3.4028234e38", "1.17549435e-38", "0.1", "16777216", "123456.789",
              "1e-45", "1e15", "1e14", "0.0001", "1e-14", "1e-15", "1e-16", "999999.5", "-0e0", "-1e-60",
              "3.14159274"],
    "DOUBLE": ["0", "1.5", "-1.7976931348623157e308", "2.2250738585072014e-308", "5e-324", "0.1",
               "1e15", "1e16", "123456789012345678", "0.30000000000000004", "1e-15", "1e-16",
               "1e14", "-1e100", "1234567.891", "9007199254740993", "4.35", "1e23", "1e22", "3154790468337206.5",
               "1125899906842623.9", "1234567890123450",
               "2.5e-310"],
    "BIT(1)": ["b'1'", "b'0'"],
    "BIT(8)": ["b'11111111'", "b'10000000'"],
    "BIT(13)": ["b'1111111111111'", "b'1'"],
    "BIT(64)": ["18446744073709551615", "1", "0"],
    "YEAR": ["1901", "2155", "0", "2000"],
    "DATE": ["'0000-00-00'", "'9999-12-31'", "'2020-00-00'", "'0001-01-01'", "'2024-02-29'"],
    "TIME": ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"],
    "TIME(1)": ["'-00:00:00.1'", "'-838:59:59.9'", "'12:34:56.7'"],
    "TIME(2)": ["'-00:00:00.01'", "'-838:59:59.99'", "'12:34:56.78'"],
    "TIME(3)": ["'-00:00:00.001'", "'-838:59:59.999'", "'12:34:56.789'"],
    "TIME(4)": ["'-00:00:00.0001'", "'-838:59:59.9999'", "'12:34:56.7891'"],
    "TIME(5)": ["'-00:00:00.00001'", "'-838:59:59.99999'", "'12:34:56.78912'"],
    "TIME(6)": ["'-00:00:00.000001'", "'-838:59:59.999999'", "'838:59:59.999999'",
                "'-12:00:00.5'", "'-01:00:00'"],
    "DATETIME": ["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2020-00-00 01:02:03'"],
    "DATETIME(1)": ["'9999-12-31 23:59:59.9'", "'2001-02-03 04:05:06.7'"],
    "DATETIME(2)": ["'9999-12-31 23:59:59.99'", "'2001-02-03 04:05:06.07'"],
    "DATETIME(3)": ["'9999-12-31 23:59:59.999'", "'2001-02-03 04:05:06.007'"],
    "DATETIME(4)": ["'9999-12-31 23:59:59.9999'", "'2001-02-03 04:05:06.0007'"],
    "DATETIME(5)": ["'9999-12-31 23:59:59.99999'", "'2001-02-03 04:05:06.00007'"],
    "DATETIME(6)": ["'9999-12-31 23:59:59.999999'", "'0000-00-00 00:00:00'"],
    "TIMESTAMP NULL": ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "0",
                       "'2024-02-29 12:00:00'", "'2000-03-01 00:00:00'", "'2023-12-31 23:59:59'"],
    "TIMESTAMP(1) NULL": ["'2038-01-19 03:14:07.9'", "'1970-01-01 00:00:01.1'"],
    "TIMESTAMP(3) NULL": ["'2038-01-19 03:14:07.999'", "'1970-01-01 00:00:01.001'"],
    "TIMESTAMP(6) NULL": ["'2038-01-19 03:14:07.999999'", "'1970-01-01 00:00:01.000001'", "0"],
    "CHAR(10) CHARACTER SET latin1": ["''", "'abc  '", "'\u00e9\u00fc'", "'0123456789'"],
    "CHAR(255) CHARACTER SET utf8mb4": ["''", "'x'", "REPEAT('\u20ac', 255)",
                                        "REPEAT('\U0001F600', 255)", "REPEAT('a', 255)"],
    "CHAR(100) CHARACTER SET utf8mb3": ["REPEAT('\u20ac', 100)", "'b'"],
    "CHAR(64) CHARACTER SET utf32": ["REPEAT('\U0001F600', 64)", "'b'", "''"],
    "CHAR(0)": ["''"],
    "VARCHAR(20) CHARACTER SET utf8mb4": ["''", "'it''s \\\\ \"q\" '", "'\U0001F600'", "'a '"],
    "VARCHAR(255) CHARACTER SET latin1": ["REPEAT('x', 255)", "''"],
    "VARCHAR(256) CHARACTER SET latin1": ["REPEAT('x', 256)", "'y'"],
    "VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci": ["REPEAT('\u00e9', 300)"],
    "VARCHAR(20) CHARACTER SET ucs2": ["'abc'", "'\u20ac'", "''"],
    "VARCHAR(20) CHARACTER SET utf16le": ["'abc'", "'\U0001F600'"],
    "VARCHAR(20) CHARACTER SET sjis": ["'abc'", "'\u3042'"],
    "VARCHAR(20) CHARACTER SET gbk": ["'abc'", "'\u4e2d'"],
    "VARCHAR(20) CHARACTER SET koi8r": ["'abc'", "'\u0416'"],
    "BINARY(16)": ["''", "x'00112233445566778899aabbccddeeff'", "x'0100'", "'ab'"],
    "BINARY(255)": ["REPEAT(x'ff', 255)"],
    "VARBINARY(20)": ["''", "x'00'", "x'ff0000'", "'ab  '"],
    "VARBINARY(1000)": ["REPEAT(x'00ff', 500)"],
    "TINYTEXT": ["''", "REPEAT('a', 255)"],
    "TEXT": ["''", "REPEAT('b', 65535)"],
    "MEDIUMTEXT": ["REPEAT('c', 70000)"],
    "LONGTEXT": ["REPEAT('d', 100000)", "''"],
    "TINYBLOB": ["x'00'", "REPEAT(x'ff', 255)"],
    "BLOB": ["x'00'", "''"],
    "MEDIUMBLOB": ["REPEAT(x'ff', 70000)"],
    "LONGBLOB": ["REPEAT(x'ab', 70000)", "''"],
    "ENUM('a', 'b', '\u00fc', 'x,y', '') CHARACTER SET latin1": ["'a'", "'\u00fc'", "'x,y'",
                                                                "''", "5"],
    "ENUM(%s)" % ", ".join("'e%d'" % i for i in range(300)): ["'e0'", "'e255'", "'e299'"],
    "SET('one', 'two', 'three')": ["''", "'one,three'", "7"],
    "SET(%s)" % ", ".join("'s%d'" % i for i in range(64)): ["'s0,s63'", "~0", "0"],
    "SET(%s)" % ", ".join("'t%d'" % i for i in range(20)): ["'t0,t19'"],
    "SET('\u00e9', 'b') CHARACTER SET ucs2": ["'\u00e9,b'", "'b'"],
    "ENUM('\u00e9', 'b') CHARACTER SET ucs2": ["'\u00e9'"],
    "JSON": ["'{}'", "'{\"a\": [1, \"\u00e9\"]}'"],
    "GEOMETRY": ["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1,2 2)')"],
    "POINT": ["POINT(-1.5, 1e300)"],
    "POLYGON": ["ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"],
    "VARCHAR(200) COMPRESSED": ["''", "'short'", "REPEAT('long', 50)"],
    "VARCHAR(500) COMPRESSED CHARACTER SET utf8mb4": ["REPEAT('\u00e9', 400)"],
    "VARBINARY(500) COMPRESSED": ["REPEAT(x'00', 500)"],
    "TINYTEXT COMPRESSED": ["REPEAT('z', 200)"],
    "TEXT COMPRESSED": ["REPEAT('q', 60000)", "''", "'s'"],
    "LONGBLOB COMPRESSED": ["REPEAT(x'00', 300000)"],
}
# Columns whose text the event does not tell apart from BINARY: compared as bytes.
OPAQUE = {
    "UUID": ["'12345678-9abc-1def-8123-456789abcdef'", "'12345678-9abc-7def-8123-456789abcd00'",
             "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "INET6": ["'::'", "'2001:db8::ff00:0'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'"],
    "INET4": ["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'"],
}


def rows_of(columns):
    """Row i takes the i-th value of each column (around again), every fifth is all NULL."""
    count = max(len(v) for _, v in columns) + 1
    for i in range(count):
        yield i, ["NULL" if i == count - 1 else values[i % len(values)]
                  for _, values in columns]


def make_all_types(server):
    columns = [(t, v) for t, v in {**TYPES, **OPAQUE}.items()]
    half = len(columns) // 2
    tables = {"alla": columns[:half], "allb": columns[half:]}
    for name, cols in tables.items():
        server.sql("CREATE TABLE img.%s (id INT PRIMARY KEY, %s) ENGINE=InnoDB "
                   "ROW_FORMAT=DYNAMIC DEFAULT CHARSET=latin1" % (name, ", ".join(
                       "c%d %s" % (i, t) for i, (t, _) in enumerate(cols))))
    return tables


def fill(server, tables, table):
    s = Session(server)
    s.run("SET sql_mode='ALLOW_INVALID_DATES'")
    for i, values in rows_of(tables[table]):
        s.run("INSERT INTO %s VALUES (%d, %s)" % (table, i, ", ".join(values)))


def expected(server, table, cols):
    """id -> column -> bytes as SELECT gives them, opaque types as their bytes."""
    items = ["id"]
    for i, (t, _) in enumerate(cols):
        items.append("CAST(c%d AS BINARY)" % i if t in ("INET4",) else
                     "UNHEX(HEX(c%d))" % i if t in OPAQUE else "c%d" % i)
    out = {}
    for row in raw(server, "SELECT %s FROM img.%s" % (", ".join(items), table)):
        out[row[0]] = {"c%d" % i: v for i, v in enumerate(row[1:])}
        out[row[0]]["id"] = row[0]
    return out


def check_images(server, dump, table, cols):
    want = expected(server, table, cols)
    rows = [r for r in dump.rows if r.table == "img." + table]
    assert len(rows) == len(want)
    wrong = []
    for r in rows:
        values = r.values["a"]
        row = want[values["id"][0]]
        for name, (text, _, _) in values.items():
            if text != row[name]:
                wrong.append((table, name, cols[int(name[1:])][0], text[:80] if text else text,
                              row[name][:80] if row[name] else row[name]))
    assert not wrong, wrong


# Not compressed without checksum: libmariadb 3.3.20 itself calls those events malformed.
@pytest.mark.parametrize("compress,checksum", [(0, "CRC32"), (1, "CRC32"), (0, "NONE")])
def test_text_is_what_select_prints(schema, compress, checksum):
    a, _ = schema
    a.sql("SET GLOBAL log_bin_compress=%d" % compress, "SET GLOBAL log_bin_compress_min_len=10",
          "SET GLOBAL binlog_checksum=%s" % checksum)
    try:
        tables = make_all_types(a)
        start = position(a)
        for table in tables:
            fill(a, tables, table)
        dump = Dump(a, start)
    finally:
        a.sql("SET GLOBAL log_bin_compress=0", "SET GLOBAL binlog_checksum=CRC32")
    for table, cols in tables.items():
        check_images(a, dump, table, cols)


def test_old_temporal_formats(schema):
    a, _ = schema
    a.sql("SET GLOBAL mysql56_temporal_format=OFF")
    try:
        a.sql("CREATE TABLE img.old (id INT PRIMARY KEY, c0 TIME, c1 DATETIME, c2 TIMESTAMP NULL)")
    finally:
        a.sql("SET GLOBAL mysql56_temporal_format=ON")
    start = position(a)
    s = Session(a)
    s.run("INSERT INTO old VALUES (1, '-838:59:59', '9999-12-31 23:59:59', '2038-01-19 03:14:07'),"
          "(2, '838:59:59', 0, 0), (3, '-00:00:01', '2020-02-03 04:05:06', '1970-01-01 00:00:01'),"
          "(4, NULL, NULL, NULL)")
    check_images(a, Dump(a, start), "old", [("TIME", []), ("DATETIME", []), ("TIMESTAMP", [])])


def test_written_events_make_an_equal_table(schema):
    a, b = schema
    tables = make_all_types(a)
    start = position(a)
    for table in tables:
        fill(a, tables, table)
        # Every row turns into its neighbour, then some go.
        names = ["c%d" % i for i in range(len(tables[table]))]
        s = Session(a)
        count = len(s.run("SELECT id FROM %s" % table))
        s.run("UPDATE %s x JOIN %s y ON y.id = (x.id + 1) %% %d SET %s" % (
            table, table, count, ", ".join("x.%s = y.%s" % (c, c) for c in names)))
        s.run("DELETE FROM %s WHERE id %% 4 = 1" % table)
    dump = Dump(a, start, version=b.one("SELECT VERSION()"))
    for statements in (dump.binlog, dump.binlog_key):
        b.sql("DROP DATABASE img", "CREATE DATABASE img")
        make_all_types(b)
        s = Session(b, dump.format)
        for statement in statements:
            s.run(statement)
        for table in tables:
            query = "SELECT * FROM img.%s ORDER BY id" % table
            assert raw(a, query) == raw(b, query)
            assert a.sql("CHECKSUM TABLE img." + table) == b.sql("CHECKSUM TABLE img." + table)


def test_random_numbers_print_alike(schema):
    """Doubles over all exponents and lengths, floats likewise, decimals of random shape."""
    a, _ = schema
    rng = random.Random(4711)
    numbers = []
    while len(numbers) < 3000:
        d = struct.unpack("<d", rng.randbytes(8))[0]
        f = struct.unpack("<f", rng.randbytes(4))[0]
        if d != d or f != f or abs(d) > 1e308 or abs(f) > 3e38:
            continue
        if len(numbers) % 3 == 0:
            d = float("%de%d" % (rng.randrange(-10 ** rng.randrange(1, 18), 10 ** 17),
                                 rng.randrange(-25, 10)))
            f = float("%de%d" % (rng.randrange(-10 ** rng.randrange(1, 8), 10 ** 7),
                                 rng.randrange(-20, 8)))
        numbers.append((d, f))
    a.sql("CREATE TABLE img.num (id INT PRIMARY KEY, c0 DOUBLE, c1 FLOAT, c2 DECIMAL(30,15))")
    start = position(a)
    Session(a).run("INSERT INTO num VALUES " + ", ".join(
        "(%d, %r, %r, %d.%d)" % (i, d, f, rng.randrange(-10 ** 14, 10 ** 14), rng.randrange(10 ** 15))
        for i, (d, f) in enumerate(numbers)))
    check_images(a, Dump(a, start), "num", [("DOUBLE", []), ("FLOAT", []), ("DECIMAL", [])])


def test_big_values(schema):
    a, b = schema
    for server in schema:
        server.sql("CREATE TABLE img.big (id INT PRIMARY KEY, c0 LONGBLOB, c1 LONGTEXT COMPRESSED)")
    start = position(a)
    a.sql("INSERT INTO img.big VALUES (1, REPEAT(x'00ff41', 2 * 1024 * 1024), REPEAT('long', 1 << 20))")
    dump = Dump(a, start, version=b.one("SELECT VERSION()"))
    check_images(a, dump, "big", [("LONGBLOB", []), ("LONGTEXT COMPRESSED", [])])
    s = Session(b, dump.format)
    s.run(dump.binlog[0])
    assert raw(a, "SELECT * FROM img.big") == raw(b, "SELECT * FROM img.big")


KEYS = {t: v for t, v in {**TYPES, **OPAQUE}.items()
        if not any(w in t for w in ("COMPRESSED", "JSON", "GEOMETRY", "POINT", "POLYGON",
                                    "TEXT", "BLOB", "CHAR(0)", "(1000)"))}


def test_literals_select_their_row(schema):
    a, _ = schema
    bad = []
    for n, (t, values) in enumerate(KEYS.items()):
        t = t.replace(" NULL", "")
        a.sql("CREATE TABLE img.k%d (k %s NOT NULL, id INT, PRIMARY KEY (k)) "
              "DEFAULT CHARSET=latin1" % (n, t))
        start = position(a)
        s = Session(a)
        for i, v in enumerate(values):
            # Two spellings of one value may be one key: then the second does not come.
            s.run("INSERT IGNORE INTO k%d VALUES (%s, %d)" % (n, v, i))
        s.conn.commit()
        dump = Dump(a, start)
        assert dump.rows
        for r in dump.rows:
            literal = r.values["a"]["k"][1]
            want = int(r.values["a"]["id"][0])
            got = s.run("SELECT id FROM k%d WHERE k = %s" % (n, literal))
            plan = s.run("EXPLAIN SELECT id FROM k%d WHERE k = %s" % (n, literal))
            if got != ((want,),):
                bad.append((t, values[want], literal[:80], got))
            elif plan[0][3] not in ("const", "eq_ref", "ref", "system") and len(values) > 1:
                bad.append((t, values[want], literal[:80], "no index: %s" % (plan[0],)))
    assert not bad, bad


STRINGS = ["", " ", "a", "A", "a ", "a  ", " a", "aa", "AA", "Aa", "aA", "\u00e5", "e", "E", "\u00e9",
           "\u00c9", "e\u0301", "ch", "cH", "Ch", "CH", "h", "ll", "LL", "i", "I", "\u0131", "\u0130", "j", "J",
           "u", "v", "V", "w", "y", "Y", "ss", "\u00df", "\u1e9e", "oe", "\u00f6", "\u0153", "s", "\u017f", "_", "-",
           "a_b", "A_B", "a b", "a\tb", "a\t", "\x00", "a\x00", "a\x00 ", "a \x00", "\x7f", "0", "9",
           "\u0430", "\u0410", "\u4e2d", "\U0001F600", "\U0001F601", "\u200b", "a\u200b", "nj", "NJ", "Nj", "nJ",
           "\u01cc", "[", "{", "\\", "|", "~", "^", "`", "@", "$", "dz", "dzs", "DZS", "ae", "\u00e6"]
COLLATIONS = ["utf8mb4_general_ci", "utf8mb4_general_nopad_ci", "utf8mb4_unicode_ci",
              "utf8mb4_unicode_nopad_ci", "utf8mb4_unicode_520_ci", "utf8mb4_bin",
              "utf8mb4_nopad_bin", "utf8mb4_czech_ci", "utf8mb4_danish_ci", "utf8mb4_turkish_ci",
              "utf8mb4_roman_ci", "utf8mb4_spanish2_ci", "utf8mb4_croatian_ci", "utf8mb4_german2_ci",
              "utf8mb4_hungarian_ci", "utf8mb4_latvian_ci", "utf8mb4_estonian_ci",
              "utf8mb4_thai_520_w2", "utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs",
              "utf8mb4_uca1400_nopad_as_ci", "utf8mb4_uca1400_ai_cs", "utf8mb4_uca1400_czech_ai_ci",
              "utf8mb4_uca1400_turkish_ai_ci", "utf8mb3_general_ci", "utf8mb3_unicode_ci",
              "utf8mb3_general_mysql500_ci", "ucs2_general_ci", "utf16_unicode_ci",
              "utf16le_general_ci", "utf32_general_ci", "utf32_uca1400_ai_ci", "utf16_bin",
              "latin1_swedish_ci", "latin1_german2_ci", "latin1_general_cs", "latin1_bin",
              "latin2_czech_cs", "cp1250_czech_cs", "latin7_estonian_cs", "swe7_swedish_ci",
              "sjis_japanese_ci", "gbk_chinese_ci", "big5_chinese_ci", "ujis_japanese_ci",
              "tis620_thai_ci", "cp1257_lithuanian_ci", "ascii_general_ci", "hp8_english_ci"]


@pytest.mark.parametrize("prefix", [0, 2])
def test_keys_are_equal_when_the_server_says_so(schema, prefix):
    a, _ = schema
    bad = []
    for n, collation in enumerate(COLLATIONS):
        charset = collation.split("_")[0]
        s = Session(a)
        s.run("CREATE TABLE v%d (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET %s COLLATE %s)" % (
            n, charset, collation))
        s.run("BEGIN")
        for i, text in enumerate(STRINGS):
            s.run("INSERT INTO v%d VALUES (%d, '')" % (n, i))
            try:
                s.cur.execute("UPDATE v%d SET s=%%s WHERE id=%%s" % n, (text, i))
                if s.run("SHOW WARNINGS"):
                    s.run("DELETE FROM v%d WHERE id=%d" % (n, i))
            except pymysql.err.Error:
                s.run("DELETE FROM v%d WHERE id=%d" % (n, i))
        s.run("CREATE TABLE w%d (s VARCHAR(20) CHARACTER SET %s COLLATE %s, id INT, PRIMARY KEY (s%s))"
              % (n, charset, collation, "(%d)" % prefix if prefix else ""))
        start = position(a)
        s.run("BEGIN")
        for (i,) in s.run("SELECT id FROM v%d ORDER BY id" % n):
            s.run("INSERT INTO w%d SELECT s, id FROM v%d WHERE id=%d" % (n, n, i))
            s.run("DELETE FROM w%d" % n)
        s.run("COMMIT")
        keys = {int(r.values["a"]["id"][0]): r.key["a"] for r in Dump(a, start).rows if r.kind == 1}
        cut = "LEFT(%%s.s, %d)" % prefix if prefix else "%s.s"
        same = set(s.run("SELECT x.id, y.id FROM v%d x JOIN v%d y ON x.id < y.id AND %s = %s" % (
            n, n, cut % "x", cut % "y")))
        for i, j in itertools.combinations(sorted(keys), 2):
            if (keys[i] == keys[j]) != ((i, j) in same):
                bad.append((collation, STRINGS[i], STRINGS[j], (i, j) in same, keys[i].hex(),
                            keys[j].hex()))
    assert not bad, (len(bad), bad[:20])


def test_keys_of_numbers(schema):
    a, _ = schema
    a.sql("CREATE TABLE img.f (k FLOAT, d DOUBLE, n DECIMAL(10,2), id INT, PRIMARY KEY (k, d, n))")
    start = position(a)
    s = Session(a)
    for i, zero in enumerate(("0", "-0e0", "-0.001")):
        s.run("INSERT INTO f VALUES (%s * 0, %s * 0, %s, %d)" % (zero, zero, zero, i))
        s.run("DELETE FROM f")
    keys = {r.key["a"] for r in Dump(a, start).rows if r.kind == 1}
    assert len(keys) == 1


def replay(a, b, start, key_only):
    """Apply everything since start at b, each transaction one statement."""
    dump = Dump(a, start, version=b.one("SELECT VERSION()"))
    s = Session(b, dump.format)
    there = position(b)
    for statement in dump.binlog_key if key_only else dump.binlog:
        s.run(statement)
    # What b logs of it has full images again, the same ones, in the same order.
    logged = Dump(b, there)
    assert [(r.kind, r.table, r.json) for r in logged.rows] == \
        [(r.kind, r.table, r.json) for r in dump.rows]
    return dump


SPECIAL = [
    "CREATE TABLE img.parent (id INT PRIMARY KEY, u INT UNIQUE, t VARCHAR(20))",
    "CREATE TABLE img.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES img.parent(id)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE img.gen (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL,"
    " s INT AS (a * 2) STORED, KEY (v), UNIQUE (s), i INT INVISIBLE DEFAULT 7)",
    "CREATE TABLE img.genkey (s INT AS (a * 2) STORED, t TEXT, a INT PRIMARY KEY)",
    "CREATE TABLE img.comp (z VARCHAR(10), a INT, b DATETIME(3), x TEXT, PRIMARY KEY (b, z, a))",
    "CREATE TABLE img.ver (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING",
    "CREATE TABLE img.part (id INT, x INT, PRIMARY KEY (id)) PARTITION BY HASH(id) PARTITIONS 3",
    "CREATE TABLE img.pre (t TEXT CHARACTER SET utf8mb4, id INT, x INT, PRIMARY KEY (t(5), id))",
]


@pytest.mark.parametrize("key_only", [False, True])
def test_one_statement_for_many_tables(schema, key_only):
    """Writes, updates and deletes of several tables mixed in one transaction are one BINLOG
    statement: all Table_maps first, STMT_END only on the last Rows event."""
    a, b = schema
    for server in schema:
        for sql in SPECIAL:
            server.sql(sql)
    start = position(a)
    s = Session(a)
    s.run("SET autocommit=0")
    for i in range(1, 6):
        s.run("INSERT INTO parent VALUES (%d, %d, 't%d')" % (i, i * 10, i))
        s.run("INSERT INTO child VALUES (%d, %d), (%d, %d)" % (i, i, i + 100, i))
        s.run("INSERT INTO gen (id, a) VALUES (%d, %d)" % (i, i))
        s.run("INSERT INTO genkey (a, t) VALUES (%d, 'x')" % i)
        s.run("INSERT INTO comp VALUES ('z%d', %d, '2020-01-01 00:00:0%d.123', 'x')" % (i, i, i))
        s.run("INSERT INTO ver VALUES (%d, %d)" % (i, i))
        s.run("INSERT INTO part VALUES (%d, %d)" % (i, i))
        s.run("INSERT INTO pre VALUES ('caf\u00e9 au lait %d', %d, %d)" % (i, i, i))
    s.run("COMMIT")
    # Unique values swap, keys move, cascades run, generated keys follow.
    s.run("UPDATE parent SET u = NULL WHERE id = 1")
    s.run("UPDATE parent SET u = 10 WHERE id = 2")
    s.run("UPDATE parent SET u = 20 WHERE id = 1")
    s.run("UPDATE parent SET id = 33 WHERE id = 3")
    s.run("DELETE FROM parent WHERE id = 4")
    s.run("INSERT INTO parent VALUES (4, 40, 'again')")
    s.run("UPDATE gen SET a = a + 100")
    s.run("DELETE FROM gen WHERE id = 2")
    s.run("UPDATE genkey SET a = a + 50, t = NULL WHERE a = 3")
    s.run("UPDATE comp SET x = 'y', z = 'moved' WHERE a = 2")
    s.run("DELETE FROM comp WHERE a = 3")
    s.run("UPDATE ver SET x = x + 1")
    s.run("DELETE FROM ver WHERE id = 5")
    s.run("UPDATE part SET id = id + 10 WHERE id < 3")
    s.run("UPDATE pre SET x = x + 1, t = CONCAT(t, '!')")
    s.run("DELETE FROM pre WHERE id = 1")
    s.run("COMMIT")
    dump = replay(a, b, start, key_only)
    assert len(dump.binlog) == 2
    for table in ("parent", "child", "gen", "genkey", "comp", "part", "pre"):
        assert a.sql("SELECT * FROM img.%s ORDER BY 1, 2" % table) == \
            b.sql("SELECT * FROM img.%s ORDER BY 1, 2" % table), table
    assert a.sql("SELECT id, x FROM img.ver ORDER BY id") == \
        b.sql("SELECT id, x FROM img.ver ORDER BY id")


def test_a_missing_row_and_a_duplicate_are_errors(schema):
    a, b = schema
    for server in schema:
        server.sql("CREATE TABLE img.t (id INT PRIMARY KEY, u INT UNIQUE, x INT)")
    start = position(a)
    s = Session(a)
    s.run("INSERT INTO t VALUES (1, 1, 1)")
    s.run("UPDATE t SET x = 2")
    s.run("DELETE FROM t")
    dump = Dump(a, start, version=b.one("SELECT VERSION()"))
    at_b = Session(b, dump.format)
    for statements in (dump.binlog, dump.binlog_key):
        for statement in statements[1:]:
            with pytest.raises(pymysql.err.MySQLError) as e:
                at_b.run(statement)
            assert e.value.args[0] == 1032
            at_b.run("ROLLBACK")
        at_b.run(statements[0])
        with pytest.raises(pymysql.err.MySQLError) as e:
            at_b.run(statements[0])
        assert e.value.args[0] == 1062
        at_b.run("ROLLBACK")
        # A key-only before image finds the row by its key, whatever else it holds.
        at_b.run("UPDATE t SET u = 5, x = 77")
        if statements is dump.binlog_key:
            at_b.run(statements[1])
            assert b.sql("SELECT * FROM img.t") == [{"id": 1, "u": 1, "x": 2}]
        at_b.run("DELETE FROM t")


def test_sequences_decode(schema):
    a, _ = schema
    a.sql("CREATE SEQUENCE img.s")
    start = position(a)
    a.sql("SELECT NEXTVAL(img.s)")
    rows = Dump(a, start).rows
    assert [r.table for r in rows] == ["img.s"] and not rows[0].key
    assert rows[0].values["a"]["next_not_cached_value"][0] == b"1001"


def test_json_is_json(schema):
    import json
    a, _ = schema
    tables = make_all_types(a)
    start = position(a)
    for table in tables:
        fill(a, tables, table)
    for r in Dump(a, start).rows:
        got = json.loads(r.json["a"])
        assert len(got) == len(r.values["a"])
        for name, (text, _, form) in r.values["a"].items():
            if text is None:
                assert got[name] is None
