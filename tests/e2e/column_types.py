"""tests/e2e/column_types.py - every column type with its extremes, for test_types.py.

VALUES: (name, column definition, SQL literals). NULL is added to each by the test.
KEYS: (name, columns and key, literals) for tables whose primary key has that type.
"""

BIG_BLOB = 5 * 1024 * 1024


def text(s, charset):
    return "CONVERT(_utf8mb4'%s' USING %s)" % (s, charset)


ENUM_WIDE = "ENUM(%s)" % ",".join("'v%d'" % i for i in range(300))
SET_WIDE = "SET(%s)" % ",".join("'s%d'" % i for i in range(64))

VALUES = [
    # integers
    ("tinyint", "TINYINT", ["-128", "-1", "0", "127"]),
    ("tinyint_u", "TINYINT UNSIGNED", ["0", "128", "255"]),
    ("smallint", "SMALLINT", ["-32768", "-1", "32767"]),
    ("smallint_u", "SMALLINT UNSIGNED", ["0", "65535"]),
    ("mediumint", "MEDIUMINT", ["-8388608", "-1", "8388607"]),
    ("mediumint_u", "MEDIUMINT UNSIGNED", ["0", "16777215"]),
    ("int_s", "INT", ["-2147483648", "-1", "2147483647"]),
    ("int_u", "INT UNSIGNED", ["0", "4294967295"]),
    ("int_zerofill", "INT(8) ZEROFILL", ["7", "99999999"]),
    ("bigint", "BIGINT", ["-9223372036854775808", "-1", "9223372036854775807"]),
    ("bigint_u", "BIGINT UNSIGNED", ["0", "18446744073709551615"]),
    ("bool", "BOOLEAN", ["TRUE", "FALSE"]),
    # fractions
    ("decimal_max", "DECIMAL(65,30)", ["0", "-0.000000000000000000000000000001",
                                       "99999999999999999999999999999999999."
                                       "999999999999999999999999999999",
                                       "-99999999999999999999999999999999999."
                                       "999999999999999999999999999999"]),
    ("decimal_int", "DECIMAL(20,0)", ["-99999999999999999999", "1"]),
    ("decimal_frac", "DECIMAL(5,5)", ["-0.99999", "0.00001"]),
    ("decimal_odd", "DECIMAL(11,3) UNSIGNED", ["0.001", "99999999.999"]),
    ("float", "FLOAT", ["-3.402823e38", "1.17549e-38", "-0.0", "0.1"]),
    ("float_md", "FLOAT(7,3)", ["-9999.999", "0.001"]),
    ("double", "DOUBLE", ["-1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "-0e0"]),
    ("double_md", "DOUBLE(20,5)", ["123456789012345.12345"]),
    # bits
    ("bit1", "BIT(1)", ["b'0'", "b'1'"]),
    ("bit8", "BIT(8)", ["b'10000001'"]),
    ("bit17", "BIT(17)", ["b'10000000000000001'", "b'1'"]),
    ("bit64", "BIT(64)", ["0xFFFFFFFFFFFFFFFF", "0", "0x8000000000000001"]),
    # time
    ("year", "YEAR", ["0000", "1901", "2155"]),
    ("date", "DATE", ["'0000-00-00'", "'2024-00-00'", "'2024-02-00'", "'1000-01-01'",
                      "'9999-12-31'", "'2024-02-29'", "'0001-01-01'"]),
    ("time", "TIME", ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    *[("time%d" % n, "TIME(%d)" % n, ["'-838:59:59.%s'" % ("9" * n), "'838:59:59.%s'" % ("9" * n),
                                      "'-00:00:00.%s1'" % ("0" * (n - 1)),
                                      "'-00:00:00.%s'" % ("9" * n), "'-01:02:03.%s5'" % ("0" * (n - 1)),
                                      "'12:34:56.%s'" % "123456"[:n]]) for n in range(1, 7)],
    ("datetime", "DATETIME", ["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'",
                              "'2024-00-00 10:00:00'", "'1000-01-01 00:00:00'"]),
    *[("datetime%d" % n, "DATETIME(%d)" % n, ["'0000-00-00 00:00:00'",
                                              "'9999-12-31 23:59:59.%s'" % ("9" * n),
                                              "'2024-02-29 01:02:03.%s1'" % ("0" * (n - 1))])
      for n in range(1, 7)],
    ("timestamp", "TIMESTAMP", ["'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'",
                                "'2038-01-19 03:14:07'"]),
    *[("timestamp%d" % n, "TIMESTAMP(%d)" % n, ["'0000-00-00 00:00:00'",
                                                "'1970-01-01 00:00:01.%s'" % ("9" * n),
                                                "'2038-01-19 03:14:07.%s'" % ("0" * n)])
      for n in range(1, 7)],
    # text
    ("char", "CHAR(10)", ["''", "'a'", "'ab  '", "'Ωßé€😀'", "'0123456789'"]),
    ("char_long", "CHAR(255)", ["''", "REPEAT('😀', 255)", "REPEAT('x', 255)"]),
    ("char_zero", "CHAR(0)", ["''"]),
    ("varchar", "VARCHAR(10)", ["''", "'  a  '", "'Ωßé€😀'", "'NUL\\0inside'"]),
    ("varchar_256", "VARCHAR(300)", ["''", "REPEAT('😀', 300)", "'x'"]),
    ("varchar_16k", "VARCHAR(16000)", ["REPEAT('é', 16000)", "''"]),
    ("varchar_compressed", "VARCHAR(5000) COMPRESSED", ["REPEAT('abc', 1600)", "'x'", "''"]),
    ("latin1", "VARCHAR(50) CHARACTER SET latin1", [text("é ñ ü ÿ", "latin1"), "''"]),
    ("latin1_char", "CHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci",
     [text("äöüß", "latin1")]),
    ("utf8mb3", "VARCHAR(50) CHARACTER SET utf8mb3", [text("Ω€漢", "utf8mb3")]),
    ("utf8mb4_bin", "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", ["'Aa😀'"]),
    ("utf16", "VARCHAR(50) CHARACTER SET utf16", [text("A😀ß", "utf16"), "''"]),
    ("utf16_char", "CHAR(100) CHARACTER SET utf16", [text("A😀ß", "utf16")]),
    ("utf32", "VARCHAR(50) CHARACTER SET utf32", [text("A😀", "utf32")]),
    ("ucs2", "VARCHAR(50) CHARACTER SET ucs2", [text("AΩ", "ucs2")]),
    ("cp1251", "VARCHAR(50) CHARACTER SET cp1251", [text("Привет", "cp1251")]),
    ("sjis", "VARCHAR(50) CHARACTER SET sjis", [text("漢字ソ", "sjis")]),
    ("gbk", "VARCHAR(50) CHARACTER SET gbk", [text("汉字", "gbk")]),
    ("ascii", "VARCHAR(50) CHARACTER SET ascii", ["'plain'"]),
    ("tinytext", "TINYTEXT", ["''", "REPEAT('x', 255)"]),
    ("text", "TEXT", ["''", "REPEAT('é', 30000)"]),
    ("mediumtext", "MEDIUMTEXT", ["REPEAT('漢', 100000)", "''"]),
    ("longtext", "LONGTEXT", ["REPEAT('😀', 100000)", "''"]),
    ("text_utf16", "TEXT CHARACTER SET utf16", [text("A😀ß", "utf16")]),
    ("text_compressed", "TEXT COMPRESSED", ["REPEAT('zip me ', 5000)", "''"]),
    ("json", "JSON", ["'{}'", "'[1, 2.5, null, true]'",
                      "'{\"a\": {\"ü\": \"\\\\u20ac 😀\"}, \"b\":  [ ]}'", "'\"text\"'", "'3'"]),
    # bytes
    ("binary", "BINARY(16)", ["''", "0x00FF0000", "REPEAT(0xFF, 16)", "0x20202020"]),
    ("binary_long", "BINARY(255)", ["REPEAT(0x00, 255)", "'x'"]),
    ("varbinary", "VARBINARY(255)", ["''", "0x00", "0x2000", "REPEAT(0x8000, 127)"]),
    ("varbinary_5k", "VARBINARY(5000)", ["REPEAT(0x00FF, 2500)", "''"]),
    ("tinyblob", "TINYBLOB", ["''", "REPEAT(0xFF, 255)"]),
    ("blob", "BLOB", ["''", "REPEAT(0x00, 65535)"]),
    ("mediumblob", "MEDIUMBLOB", ["REPEAT(0x0102, %d)" % (BIG_BLOB // 2), "''"]),
    ("longblob", "LONGBLOB", ["REPEAT(0xFE, %d)" % BIG_BLOB, "''", "0x00"]),
    ("blob_compressed", "BLOB COMPRESSED", ["REPEAT(0x00, 60000)", "0x01"]),
    # sets of names
    ("enum", "ENUM('a','B','é','')", ["'a'", "'B'", "'é'", "''", "0"]),
    ("enum_wide", ENUM_WIDE, ["'v0'", "'v255'", "'v299'"]),
    ("enum_latin1", "ENUM('ä','ö') CHARACTER SET latin1", ["'ä'", "2"]),
    ("set", "SET('x','y','z')", ["''", "'x'", "'x,z'", "'x,y,z'"]),
    ("set9", "SET('a','b','c','d','e','f','g','h','i')", ["'a,i'", "''"]),
    ("set_wide", SET_WIDE, ["'s0,s63'", "18446744073709551615", "''"]),
    # addresses and shapes
    ("uuid", "UUID", ["'00000000-0000-0000-0000-000000000000'",
                      "'123e4567-e89b-12d3-a456-426655440000'",
                      "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("inet6", "INET6", ["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"]),
    ("inet4", "INET4", ["'0.0.0.0'", "'255.255.255.255'", "'192.0.2.1'"]),
    ("point", "POINT", ["POINT(1, -1)", "POINT(1e300, 0)"]),
    ("geometry", "GEOMETRY", ["ST_GeomFromText('LINESTRING(0 0, 1 1, 2 5)')",
                              "ST_GeomFromText('POLYGON((0 0, 0 4, 4 4, 0 0))', 4326)",
                              "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))')"]),
    ("multipoint", "MULTIPOINT", ["ST_GeomFromText('MULTIPOINT(1 1, 2 2)')"]),
]

# (name, definition of the key columns and the key, value tuples as SQL)
KEYS = [
    ("tinyint", "k TINYINT, PRIMARY KEY (k)", ["-128", "0", "127"]),
    ("mediumint_u", "k MEDIUMINT UNSIGNED, PRIMARY KEY (k)", ["0", "16777215"]),
    ("int_desc", "k INT, PRIMARY KEY (k DESC)", ["-2147483648", "-1", "5"]),
    ("bigint_u", "k BIGINT UNSIGNED, PRIMARY KEY (k)", ["0", "18446744073709551615"]),
    ("decimal", "k DECIMAL(30,10), PRIMARY KEY (k)", ["-1.5", "0", "99999999999999999999.0000000001"]),
    ("double", "k DOUBLE, PRIMARY KEY (k)", ["-0.1", "1e300", "0"]),
    ("float", "k FLOAT, PRIMARY KEY (k)", ["0.1", "-3.5"]),
    ("bit", "k BIT(33), PRIMARY KEY (k)", ["0", "0x1FFFFFFFF", "b'101'"]),
    ("year", "k YEAR, PRIMARY KEY (k)", ["1999", "2155"]),
    ("date", "k DATE, PRIMARY KEY (k)", ["'0000-00-00'", "'2024-02-29'"]),
    ("time6", "k TIME(6), PRIMARY KEY (k)", ["'-00:00:00.000001'", "'00:00:00'", "'838:59:59'"]),
    ("datetime3", "k DATETIME(3), PRIMARY KEY (k)", ["'2024-01-01 00:00:00.001'",
                                                     "'2024-01-01 00:00:00'"]),
    ("timestamp", "k TIMESTAMP, PRIMARY KEY (k)", ["'2024-03-31 00:59:59'", "'2024-03-31 01:00:00'"]),
    ("char", "k CHAR(20), PRIMARY KEY (k)", ["''", "'Abc'", "'abd'", "'Ωmega'", "'😀'"]),
    ("char_bin", "k CHAR(20) COLLATE utf8mb4_bin, PRIMARY KEY (k)", ["'a'", "'A'", "'ä'"]),
    ("varchar_ci", "k VARCHAR(300), PRIMARY KEY (k)", ["''", "'Straße'", "'x y'",
                                                       "REPEAT('é', 300)"]),
    ("varchar_nopad", "k VARCHAR(20) COLLATE utf8mb4_nopad_bin, PRIMARY KEY (k)",
     ["'a'", "'a '", "''"]),
    ("varchar_unicode", "k VARCHAR(50) COLLATE utf8mb4_unicode_ci, PRIMARY KEY (k)",
     ["'résumé'", "'Résumés'", "'ab'"]),
    ("latin1", "k VARCHAR(20) CHARACTER SET latin1, PRIMARY KEY (k)", ["_latin1 0xE9", "'f'"]),
    ("utf16", "k VARCHAR(20) CHARACTER SET utf16, PRIMARY KEY (k)", ["'a'", "'b'"]),
    ("varbinary", "k VARBINARY(50), PRIMARY KEY (k)", ["''", "0x00", "0x0000", "0x2020"]),
    ("binary", "k BINARY(8), PRIMARY KEY (k)", ["0x01", "0xFF"]),
    ("blob_prefix", "k BLOB NOT NULL, PRIMARY KEY (k(20))", ["'abc'", "REPEAT('z', 5000)"]),
    ("enum", "k ENUM('x','y','z'), PRIMARY KEY (k)", ["'x'", "'z'"]),
    ("set", "k SET('x','y','z'), PRIMARY KEY (k)", ["''", "'x,z'"]),
    ("uuid", "k UUID, PRIMARY KEY (k)", ["'123e4567-e89b-12d3-a456-426655440000'",
                                         "'00000000-0000-0000-0000-000000000001'"]),
    ("inet6", "k INET6, PRIMARY KEY (k)", ["'::1'", "'2001:db8::1'"]),
    ("inet4", "k INET4, PRIMARY KEY (k)", ["'10.0.0.1'", "'10.0.0.2'"]),
    ("two", "k VARCHAR(10), k2 INT, PRIMARY KEY (k2, k)", ["'a', 1", "'a', 2", "'b', 1"]),
]
