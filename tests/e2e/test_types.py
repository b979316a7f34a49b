"""Every column type makes the trip both ways and comes out byte for byte the same."""
import pymysql
import pytest

import column_types

GROUPS = [column_types.VALUES[i:i + 12] for i in range(0, len(column_types.VALUES), 12)]


def session(dc, db):
    """As an application that allows zero dates; big blobs go through here too."""
    c = dc.connect(database=db, max_allowed_packet=64 << 20)
    with c.cursor() as cur:
        cur.execute("SET sql_mode=''")
        cur.execute("SET time_zone='+00:00'")
    return c


def compare(pair, db, tables, wanted):
    """wanted[table]: how many rows. All wrong tables are named at once."""
    wrong = []
    for t in tables:
        rows = [dc.db.raw("SELECT * FROM `%s`.`%s`" % (db, t)) for dc in pair.dcs]
        # As sets of tuples: the order of keys is the collation's, the same in both, but
        # not what is tested here.
        if set(rows[0]) != set(rows[1]) or len(rows[0]) != len(rows[1]):
            wrong.append("%s:\n  %s" % (t, "\n  ".join(
                pair.row_diff("`%s`.`%s`" % (db, t), 6))))
        elif len(rows[0]) != wanted[t]:
            wrong.append("%s: %d rows, not %d" % (t, len(rows[0]), wanted[t]))
    assert not wrong, "types that did not survive the trip:\n" + "\n".join(wrong)


@pytest.mark.parametrize("group", range(len(GROUPS)), ids=lambda g: GROUPS[g][0][0])
def test_values(pair, db, group):
    types = GROUPS[group]
    names = [name for name, _, _ in types]
    wanted = {}
    with session(pair.east, db) as e, session(pair.west, db) as w:
        east, west = e.cursor(), w.cursor()
        for name, definition, _ in types:
            east.execute("CREATE TABLE `%s` (id INT PRIMARY KEY, v %s NULL, t INT)"
                         % (name, definition))
        pair.settle()
        for name, _, literals in types:
            for i, literal in enumerate(["NULL"] + literals):
                for cur, base in ((east, 0), (west, 100)):
                    cur.execute("INSERT INTO `%s` VALUES (%d, %s, 0)" % (name, base + i, literal))
            wanted[name] = 2 * (len(literals) + 1)
        pair.settle()
        compare(pair, db, names, wanted)
        # Each DC changes and deletes what came from the other.
        for name, _, literals in types:
            values = ["NULL"] + literals
            for cur, base in ((east, 100), (west, 0)):
                for i in range(len(values)):
                    cur.execute("UPDATE `%s` SET v=%s, t=1 WHERE id=%d" % (
                        name, values[(i + 1) % len(values)], base + i))
        pair.settle()
        compare(pair, db, names, wanted)
        for name, _, literals in types:
            for cur, base in ((east, 100), (west, 0)):
                cur.execute("DELETE FROM `%s` WHERE id=%d" % (name, base + 1))
            wanted[name] -= 2
    pair.settle()
    compare(pair, db, names, wanted)
    assert all(not pair.conflicts(dc, db + "." + n) for dc in pair.dcs for n in names)


@pytest.mark.parametrize("home", ["east", "west"])
def test_keys(pair, db, home):
    here = getattr(pair, home)
    there = pair.other(here)
    names = [name for name, _, _ in column_types.KEYS]
    wanted = {}
    with session(here, db) as a, session(there, db) as b:
        mine, theirs = a.cursor(), b.cursor()
        for name, columns, literals in column_types.KEYS:
            mine.execute("CREATE TABLE `%s` (%s, v INT)" % (name, columns))
            for i, literal in enumerate(literals):
                mine.execute("INSERT INTO `%s` VALUES (%s, %d)" % (name, literal, i))
            wanted[name] = len(literals)
        pair.settle()
        compare(pair, db, names, wanted)
        for name in names:
            theirs.execute("UPDATE `%s` SET v = v + 100" % name)
        pair.settle()
        compare(pair, db, names, wanted)
        for name in names:
            # Every row, so that each is found by its key alone.
            mine.execute("DELETE FROM `%s` WHERE v = 100" % name)
            wanted[name] -= 1
    pair.settle()
    compare(pair, db, names, wanted)
    assert all(not pair.conflicts(dc, db + "." + n) for dc in pair.dcs for n in names)


def test_generated_and_invisible_columns(pair, db):
    pair.east.sql(
        """CREATE TABLE `%s`.g (id INT PRIMARY KEY, a INT, b VARCHAR(20),
           v INT AS (a * 2) VIRTUAL, p VARCHAR(50) AS (CONCAT(b, '-', a)) PERSISTENT,
           hidden INT INVISIBLE DEFAULT 7, v2 VARCHAR(30) AS (UPPER(b)) VIRTUAL,
           after_all DECIMAL(6,2) DEFAULT 1.25, KEY (v), KEY (p))""" % db)
    pair.settle()
    for dc, base in ((pair.east, 0), (pair.west, 10)):
        dc.sql("INSERT INTO `%s`.g (id, a, b) VALUES (%d, 1, 'x'), (%d, NULL, 'y'),"
               " (%d, 3, NULL)" % (db, base + 1, base + 2, base + 3))
    pair.settle()
    pair.west.sql("UPDATE `%s`.g SET a = a + 10 WHERE id < 10" % db)
    pair.east.sql("UPDATE `%s`.g SET b = 'changed', hidden = 9 WHERE id > 10" % db)
    pair.settle()
    pair.east.sql("DELETE FROM `%s`.g WHERE v = 22" % db)
    pair.settle()
    everything = "SELECT id, a, b, v, p, hidden, v2, after_all FROM `%s`.g ORDER BY id" % db
    east, west = pair.east.db.raw(everything), pair.west.db.raw(everything)
    assert east == west and len(east) == 5
    # The index over the virtual column has to agree with the rows.
    by_index = "SELECT id FROM `%s`.g FORCE INDEX (v) WHERE v > 0 ORDER BY id" % db
    assert pair.east.db.raw(by_index) == pair.west.db.raw(by_index)


def test_many_columns_and_nulls(pair, db):
    """Bitmaps longer than eight columns, every pattern of NULLs at the byte borders."""
    columns = ", ".join("c%d INT" % i for i in range(70))
    pair.east.sql("CREATE TABLE `%s`.wide (id INT PRIMARY KEY, %s)" % (db, columns))
    pair.settle()
    rows = []
    for r in range(71):
        rows.append("(%d, %s)" % (r, ", ".join("NULL" if (i * 7 + r) % 71 < r else str(i)
                                               for i in range(70))))
    pair.west.sql("INSERT INTO `%s`.wide VALUES %s" % (db, ", ".join(rows)))
    pair.settle()
    compare(pair, db, ["wide"], {"wide": 71})


def test_bytes_of_the_client_do_not_matter(pair, db):
    """A latin1 client's rows and a utf8mb4 client's rows are what each stored."""
    pair.east.sql("CREATE TABLE `%s`.names (id INT PRIMARY KEY, n VARCHAR(50))" % db)
    pair.settle()
    with pair.east.connect(charset="latin1", database=db) as c, c.cursor() as cur:
        cur.execute("INSERT INTO names VALUES (1, 'Käse')")
    with pair.west.connect(charset="utf8mb4", database=db) as c, c.cursor() as cur:
        cur.execute("INSERT INTO names VALUES (2, 'Käse 😀')")
    pair.settle()
    compare(pair, db, ["names"], {"names": 2})
    assert [r["n"] for r in pair.west.sql("SELECT n FROM `%s`.names ORDER BY id" % db)] == [
        "Käse", "Käse 😀"]


def test_time_zone_of_a_session(pair, db):
    """TIMESTAMPs are instants: the writer's zone must not move them."""
    pair.east.sql("CREATE TABLE `%s`.z (id INT PRIMARY KEY, ts TIMESTAMP(3), dt DATETIME(3))" % db)
    pair.settle()
    with pair.east.connect(database=db) as c, c.cursor() as cur:
        cur.execute("SET time_zone='+05:30'")
        cur.execute("INSERT INTO z VALUES (1, '2024-06-01 12:00:00.123', '2024-06-01 12:00:00.123')")
    pair.settle()
    with pair.west.connect(database=db) as c, c.cursor() as cur:
        cur.execute("SET time_zone='+00:00'")
        cur.execute("SELECT CAST(ts AS CHAR), CAST(dt AS CHAR) FROM z")
        assert cur.fetchone() == ("2024-06-01 06:30:00.123", "2024-06-01 12:00:00.123")


def test_five_mebibytes_both_ways(pair, db):
    pair.east.sql("CREATE TABLE `%s`.big (id INT PRIMARY KEY, b LONGBLOB)" % db)
    pair.settle()
    blob = bytes(range(256)) * (column_types.BIG_BLOB // 256)
    for dc, key in ((pair.east, 1), (pair.west, 2)):
        with dc.connect(database=db, max_allowed_packet=64 << 20) as c, c.cursor() as cur:
            cur.execute("INSERT INTO big VALUES (%s, %s)", (key, pymysql.Binary(blob)))
    pair.settle()
    for dc in pair.dcs:
        rows = dc.db.raw("SELECT b FROM `%s`.big" % db)
        assert len(rows) == 2 and all(r[0] == blob for r in rows)
