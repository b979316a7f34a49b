#!/usr/bin/env python3
"""Write parser/binlog/collation_table.c from a running MariaDB (10.10 or later).

usage: collation_table.py SOCKET > parser/binlog/collation_table.c

For every collation this asks the server for the weight of each printable ASCII character and
of every pair of them. Where each pair weighs what its two characters weigh, the key of an
ASCII text can be put together in C and equals WEIGHT_STRING(); where not (contractions such
as Czech "ch", several levels), it cannot, and the table says so.
"""
import sys

import pymysql

FIRST, LAST = 32, 126
UCA1400 = 2048

# charset: (bytes per ASCII character as a format, how dia_charset_char_len steps)
WIDE = {"ucs2": "00%02X", "utf16": "00%02X", "utf16le": "%02X00", "utf32": "000000%02X"}


def weights(cur, charset, name):
    pattern = WIDE.get(charset, "%02X")
    expr = "HEX(WEIGHT_STRING(CONVERT(UNHEX(%s) USING %s) COLLATE %s))"
    cur.execute("SELECT n, " + expr % ("h", charset, name) + " FROM d.ascii",)
    single = dict(cur.fetchall())
    space = bytes.fromhex(single[32])
    uca = int.from_bytes(space[:2], "big") if charset.startswith(("utf", "ucs")) else 0
    cur.execute("SELECT a.n, b.n, " + expr % ("CONCAT(a.h, b.h)", charset, name) +
                " FROM d.ascii a, d.ascii b")
    for a, b, pair in cur.fetchall():
        if pair != single[a] + single[b]:
            return None, uca
    return tuple(single[i] for i in range(FIRST, LAST + 1)), 0


def fill_ascii(cur, charset):
    pattern = WIDE.get(charset, "%02X")
    cur.execute("CREATE DATABASE IF NOT EXISTS d")
    cur.execute("CREATE OR REPLACE TABLE d.ascii (n INT PRIMARY KEY, h VARCHAR(8))")
    cur.execute("INSERT INTO d.ascii VALUES " + ", ".join(
        "(%d, '%s')" % (i, pattern % i) for i in range(FIRST, LAST + 1)))


def collect(cur):
    cur.execute("SELECT ID, CHARACTER_SET_NAME, FULL_COLLATION_NAME FROM information_schema."
                "COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID > 0 "
                "ORDER BY CHARACTER_SET_NAME, ID")
    found = []
    last = None
    for ident, charset, name in cur.fetchall():
        # Of the systematic ids only the ai_ci ones of utf8mb4 are measured.
        if charset != last:
            fill_ascii(cur, charset)
            last = charset
        bits = ident & 7
        space = 0
        if charset == "binary":
            kind, table = "BYTES", None
        elif name.endswith("_bin"):
            kind, table = "BYTES", None
        elif ident >= UCA1400 and bits not in (0, 4):
            kind, table = "WEIGH", None
        else:
            table, space = weights(cur, charset, name)
            kind = "WEIGH" if table is None else "TABLE"
        found.append((ident, charset, name, kind, table, space))
    return found


def main():
    conn = pymysql.connect(unix_socket=sys.argv[1], user="root", charset="utf8mb4")
    cur = conn.cursor()
    cur.execute("SELECT VERSION()")
    version = cur.fetchone()[0].split("-")[0]
    found = sorted(collect(cur))
    tables = []
    for row in found:
        if row[4] is not None and row[4] not in tables:
            tables.append(row[4])

    def index(table):
        return "NONE" if table is None else str(tables.index(table))

    print("/*\n * parser/binlog/collation_table.c - collations of MariaDB and their ASCII weights.\n"
          " *\n * Written by tests/lib/collation_table.py from MariaDB %s; do not edit.\n */\n"
          "#include \"parser/binlog/collation.h\"\n\n"
          "#define NONE DIA_COLLATION_NO_TABLE\n\n/* clang-format off */" % version)
    print("const struct dia_weights dia_collation_weights[] = {")
    for table in tables:
        print("\t{{")
        line = "\t\t"
        for w in table:
            raw = bytes.fromhex(w)
            assert 1 <= len(raw) <= 2, w
            item = "{%d, {%s}}, " % (len(raw), ", ".join("0x%02x" % b for b in raw))
            if len(line) + len(item) > 96:
                print(line.rstrip())
                line = "\t\t"
            line += item
        print(line.rstrip() + "\n\t}},")
    print("};\n")
    print("const struct dia_collation dia_collation_list[] = {")
    for ident, charset, name, kind, table, space in found:
        if ident >= UCA1400:
            continue
        pad = "false" if "nopad" in name or charset == "binary" else "true"
        print("\t{%d, DIA_CHARSET_%s, DIA_KEY_%s, %s, %s, %#x}, /* %s */" % (
            ident, charset.upper(), kind, pad, index(table), space, name))
    print("};\n\nconst size_t dia_collation_list_len =\n"
          "\tsizeof(dia_collation_list) / sizeof(dia_collation_list[0]);\n")
    # Systematic ids: 2048 + 256 * charset + 8 * tailoring + 4 * nopad + 2 * as + cs.
    uca = {}
    for ident, charset, name, kind, table, space in found:
        if ident < UCA1400:
            continue
        pad = "nopad" not in name
        accent = "_as_" in name
        case = name.endswith("_cs")
        assert (ident & 7) == (not pad) * 4 + accent * 2 + case, name
        tail = (ident & 255) // 8
        order = ["utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32"]
        assert order[(ident - UCA1400) // 256] == charset, name
        if not accent and not case:
            assert uca.setdefault(tail, table) == table, name
    print("const uint8_t dia_collation_uca1400[] = {")
    # A number between two tailorings that no collation uses: weighed, as all unknown ones.
    print("\t" + ", ".join(index(uca.get(t)) for t in range(max(uca) + 1)) + ",")
    print("};\n\nconst size_t dia_collation_uca1400_len =\n"
          "\tsizeof(dia_collation_uca1400) / sizeof(dia_collation_uca1400[0]);")


if __name__ == "__main__":
    main()
