#!/usr/bin/env python3
"""Write tests/unit/binlog_events.h and seeds for the fuzz targets from a real server.

usage: capture_events.py SOCKET          (as root, on the server's machine)

Every event is as it stands in the binlog file, checksum included.
"""
import struct
import sys
from pathlib import Path

import pymysql

ROOT = Path(__file__).resolve().parents[2]
QUERY, FORMAT, XID, MAP, WRITE, UPDATE, DELETE = 2, 15, 16, 19, 23, 24, 25
ANNOTATE, GTID, QUERY_Z, WRITE_Z, UPDATE_Z, DELETE_Z = 160, 162, 165, 166, 167, 168

ALL = """CREATE TABLE cap.t (id BIGINT UNSIGNED PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED,
 si SMALLINT, mi MEDIUMINT, i INT, bg BIGINT UNSIGNED, de DECIMAL(20,6), f FLOAT, d DOUBLE,
 b BIT(13), y YEAR, da DATE, tm TIME(3), tm6 TIME(6), dt DATETIME(6), ts TIMESTAMP(2) NULL,
 c CHAR(255) CHARACTER SET utf8mb4, v VARCHAR(20) CHARACTER SET latin1,
 vu VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci, bi BINARY(16),
 vb VARBINARY(9), tt TINYTEXT, lt LONGTEXT CHARACTER SET ucs2, bl BLOB, e ENUM('a','b'),
 s SET('x','y','z'), j JSON, g POINT, u UUID, i6 INET6, i4 INET4,
 vc VARCHAR(200) COMPRESSED, tc TEXT COMPRESSED, gv INT AS (i + 1) VIRTUAL, inv INT INVISIBLE)
 DEFAULT CHARSET utf8mb4"""
ROW = """INSERT INTO cap.t (id, ti, tu, si, mi, i, bg, de, f, d, b, y, da, tm, tm6, dt, ts, c, v,
 vu, bi, vb, tt, lt, bl, e, s, j, g, u, i6, i4, vc, tc, inv) VALUES
 (18446744073709551615, -128, 255, -32768, -8388608, -2147483648, 9223372036854775808,
 -12345678901234.000001, 1.5, -2.5e-300, b'1000000000001', 2155, '2024-02-29', '-12:34:56.789',
 '-838:59:59.999999', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.99', '\u20ac', 'caf\u00e9',
 '\U0001F600', x'00ff', 'ab', '', 'ucs', x'000102', 'b', 'x,z', '{"k": 1}', POINT(1, 2),
 '12345678-9abc-1def-8123-456789abcdef', '2001:db8::1', '10.0.0.1', REPEAT('long', 40),
 REPEAT('q', 300), 7)"""


class Capture:
    def __init__(self, socket):
        self.conn = pymysql.connect(unix_socket=socket, user="root", charset="utf8mb4",
                                    autocommit=True)
        self.cur = self.conn.cursor()
        self.found = {}

    def run(self, *statements):
        for s in statements:
            self.cur.execute(s)

    def events(self, *statements, **session):
        """Events that the statements write, as (type, bytes)."""
        self.run("SHOW MASTER STATUS")
        name, start = self.cur.fetchone()[:2]
        self.run(*statements)
        self.run("SHOW MASTER STATUS")
        self.run("SELECT @@log_bin_basename")
        folder = Path(self.cur.fetchone()[0]).parent
        data = (folder / name).read_bytes()
        out, at = [], start
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at + 9)
            out.append((data[at + 4], data[at:at + length]))
            at += length
        return out

    def keep(self, label, kind, events):
        self.found[label] = next(e for t, e in events if t == kind)


def capture(c):
    c.run("SET time_zone='+00:00', sql_mode=''", "SET GLOBAL log_bin_compress=0")
    c.run("DROP DATABASE IF EXISTS cap", "CREATE DATABASE cap", "FLUSH BINARY LOGS")
    c.run("SHOW MASTER STATUS")
    name = c.cur.fetchone()[0]
    c.run("SELECT @@log_bin_basename")
    data = (Path(c.cur.fetchone()[0]).parent / name).read_bytes()
    c.found["format"] = data[4:4 + struct.unpack_from("<I", data, 4 + 9)[0]]

    e = c.events("SET timestamp=1700000000.123456", ALL, "SET timestamp=DEFAULT")
    c.keep("gtid_ddl", GTID, e)
    c.keep("query_ddl", QUERY, e)
    e = c.events(ROW)
    c.keep("gtid", GTID, e)
    c.keep("annotate", ANNOTATE, e)
    c.keep("map_all", MAP, e)
    c.keep("write_all", WRITE, e)
    c.keep("xid", XID, e)
    c.keep("update_all", UPDATE, c.events("UPDATE cap.t SET tt=NULL, de=-de, f=-0e0"))
    c.keep("delete_all", DELETE, c.events("DELETE FROM cap.t"))

    c.run("CREATE TABLE cap.p (a INT, c VARCHAR(50) CHARACTER SET utf8mb4, n INT, PRIMARY KEY (c(3), a))")
    e = c.events("INSERT INTO cap.p VALUES (1, 'Abcdef', NULL), (2, '\u00e9cole', 5)")
    c.keep("map_prefix", MAP, e)
    c.keep("write_prefix", WRITE, e)
    c.run("CREATE TABLE cap.q (a INT PRIMARY KEY, c1 TEXT CHARACTER SET latin1, c2 TEXT CHARACTER SET latin1,"
          " c3 TEXT CHARACTER SET koi8r, c4 TEXT CHARACTER SET latin1, c5 TEXT CHARACTER SET latin1,"
          " e1 ENUM('k') CHARACTER SET latin1, e2 ENUM('l') CHARACTER SET latin1, e3 SET('m') CHARACTER SET koi8r,"
          " e4 ENUM('n') CHARACTER SET latin1, e5 ENUM('o') CHARACTER SET latin1)")
    c.keep("map_default_charset", MAP, c.events("INSERT INTO cap.q (a) VALUES (1)"))
    c.run("SET GLOBAL binlog_row_metadata=NO_LOG")
    c.keep("map_no_metadata", MAP, c.events("INSERT INTO cap.p VALUES (3, 'x', 1)"))
    c.run("SET GLOBAL binlog_row_metadata=MINIMAL")
    c.keep("map_minimal", MAP, c.events("INSERT INTO cap.p VALUES (4, 'x', 1)"))
    c.run("SET GLOBAL binlog_row_metadata=FULL", "SET binlog_row_image=MINIMAL")
    c.keep("update_minimal", UPDATE, c.events("UPDATE cap.p SET n=9 WHERE a=1"))
    c.run("SET binlog_row_image=FULL")
    e = c.events("XA START 'gtrid', 'bqual', 7", "INSERT INTO cap.p VALUES (9, 'xa', 1)",
                 "XA END 'gtrid', 'bqual', 7", "XA PREPARE 'gtrid', 'bqual', 7",
                 "XA COMMIT 'gtrid', 'bqual', 7")
    c.keep("gtid_xa", GTID, e)
    c.run("SET GLOBAL log_bin_compress=1", "SET GLOBAL log_bin_compress_min_len=10")
    c.keep("query_z", QUERY_Z, c.events("CREATE TABLE cap.z (a INT PRIMARY KEY, t TEXT)"))
    e = c.events("INSERT INTO cap.z VALUES (1, REPEAT('z', 5000))")
    c.keep("map_z", MAP, e)
    c.keep("write_z", WRITE_Z, e)
    c.keep("update_z", UPDATE_Z, c.events("UPDATE cap.z SET t=CONCAT(t, 'y')"))
    c.keep("delete_z", DELETE_Z, c.events("DELETE FROM cap.z"))
    c.run("SET GLOBAL log_bin_compress=0", "DROP DATABASE cap")


def write_header(c):
    c.run("SELECT VERSION()")
    lines = ["/*", " * tests/unit/binlog_events.h - events of a real MariaDB %s, with checksums." %
             c.cur.fetchone()[0].split("-")[0], " *",
             " * Written by tests/lib/capture_events.py; do not edit.", " */",
             "#ifndef DIA_UNIT_BINLOG_EVENTS_H", "#define DIA_UNIT_BINLOG_EVENTS_H", "",
             "#include \"proxy/core/slice.h\"", "", "/* clang-format off */"]
    for label, data in c.found.items():
        lines.append("static const uint8_t event_%s[] = {" % label)
        for at in range(0, len(data), 16):
            lines.append("\t" + "".join("0x%02x," % b for b in data[at:at + 16]))
        lines.append("};")
    lines += ["", "static const struct {", "\tconst char *name;", "\tconst uint8_t *data;",
              "\tsize_t len;", "} captured_events[] = {"]
    for label in c.found:
        lines.append("\t{\"%s\", event_%s, sizeof(event_%s)}," % (label, label, label))
    lines += ["};", "", "#endif /* DIA_UNIT_BINLOG_EVENTS_H */", ""]
    (ROOT / "tests/unit/binlog_events.h").write_text("\n".join(lines))


def exact(event):
    """Without checksum, the header saying so: the form that fuzz_binlog_rows reads."""
    body = bytearray(event[:-4])
    struct.pack_into("<I", body, 9, len(body))
    return bytes(body)


def write_seeds(c):
    events = ROOT / "tests/fuzz/corpus/fuzz_binlog_event"
    rows = ROOT / "tests/fuzz/corpus/fuzz_binlog_rows"
    events.mkdir(parents=True, exist_ok=True)
    rows.mkdir(parents=True, exist_ok=True)
    for label, data in c.found.items():
        (events / label).write_bytes(exact(data))
    for kind in ("write", "update", "delete"):
        (rows / (kind + "_all")).write_bytes(
            exact(c.found["map_all"]) + exact(c.found[kind + "_all"]))
    (rows / "prefix").write_bytes(exact(c.found["map_prefix"]) + exact(c.found["write_prefix"]))
    (rows / "compressed").write_bytes(exact(c.found["map_z"]) + exact(c.found["update_z"]))


if __name__ == "__main__":
    cap = Capture(sys.argv[1])
    capture(cap)
    write_header(cap)
    write_seeds(cap)
