"""DDL made in one DC is applied in the other, in its place in the order, once, and does
not come back."""
import threading

import pytest


def logged(server, text):
    """How many statements with this text are in a server's binlogs."""
    found = 0
    for log in server.sql("SHOW BINARY LOGS"):
        for event in server.sql("SHOW BINLOG EVENTS IN '%s'" % log["Log_name"]):
            if event["Event_type"] == "Query" and text in event["Info"]:
                found += 1
    return found


def schema(dc, db):
    """What information_schema says about one schema, without what may differ."""
    where = " WHERE table_schema='%s' ORDER BY 1, 2, 3" % db
    return [dc.db.sql(q + where) for q in (
        "SELECT table_name, column_name, ordinal_position, column_type, is_nullable,"
        " column_default, extra, column_comment FROM information_schema.columns",
        "SELECT table_name, index_name, seq_in_index, column_name, non_unique"
        " FROM information_schema.statistics",
        "SELECT table_name, table_type, engine, table_collation, table_comment"
        " FROM information_schema.tables")]


def same_schema(pair, db):
    pair.settle()
    east, west = schema(pair.east, db), schema(pair.west, db)
    assert east == west
    return east


STORY = [
    "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20) DEFAULT 'x')",
    "INSERT INTO a VALUES (1, 'one'), (2, 'two')",
    "ALTER TABLE a ADD COLUMN n INT NOT NULL DEFAULT 5 AFTER id",
    "UPDATE a SET n = id",
    "CREATE INDEX by_n ON a (n)",
    "CREATE UNIQUE INDEX by_v ON a (v)",
    "ALTER TABLE a MODIFY v VARCHAR(100) CHARACTER SET utf8mb4 COMMENT 'it''s a value'",
    "INSERT INTO a VALUES (3, 3, 'three')",
    "CREATE TABLE b LIKE a",
    "INSERT INTO b SELECT * FROM a",
    "DROP INDEX by_v ON a",
    "RENAME TABLE a TO a1, b TO a",
    "INSERT INTO a1 VALUES (4, 4, 'four')",
    "TRUNCATE TABLE a",
    "INSERT INTO a VALUES (9, 9, 'after truncate')",
    "CREATE TABLE c (PRIMARY KEY (id)) SELECT * FROM a1",
    "INSERT INTO c VALUES (50, 5, 'more')",
    "CREATE VIEW seen AS SELECT id, v FROM a1 WHERE n > 1",
    "CREATE OR REPLACE VIEW seen AS SELECT id FROM a1",
    "CREATE TABLE gone (id INT PRIMARY KEY)",
    "CREATE TABLE gone2 (id INT PRIMARY KEY)",
    "DROP TABLE gone, gone2",
    "DROP TABLE IF EXISTS never_was",
    "ALTER TABLE a1 DROP COLUMN n",
    "INSERT INTO a1 VALUES (5, 'five')",
    "CREATE TABLE IF NOT EXISTS a1 (other INT)",
    "CREATE OR REPLACE TABLE c (id INT PRIMARY KEY, fresh INT)",
    "INSERT INTO c VALUES (1, 1)",
    "ALTER TABLE c RENAME TO c2, ADD COLUMN more TEXT",
    "ALTER TABLE a1 PARTITION BY HASH (id) PARTITIONS 3",
    "ALTER TABLE a1 CONVERT TO CHARACTER SET latin1",
]


@pytest.mark.parametrize("home", ["east", "west"])
def test_in_its_place_among_the_rows(pair, db, home):
    here = getattr(pair, home)
    with here.connect(database=db) as c, c.cursor() as cur:
        for statement in STORY:
            cur.execute(statement)
    tables = {r["table_name"] for r in same_schema(pair, db)[2]}
    assert tables == {"a", "a1", "c2", "seen"}
    pair.assert_equal(db, settle=False)
    assert pair.east.db.one("SELECT COUNT(*) FROM `%s`.a1" % db) == 5
    # And back again from the other DC, on what it was given.
    pair.other(here).sql("INSERT INTO `%s`.a1 VALUES (60, 'back')" % db,
                         "ALTER TABLE `%s`.a1 ADD COLUMN z INT" % db,
                         "UPDATE `%s`.a1 SET z = 1" % db)
    pair.assert_equal(db)


@pytest.mark.parametrize("home", ["east", "west"])
def test_once_and_does_not_come_back(pair, db, home):
    here = getattr(pair, home)
    mark = "unmistakable_%s" % home
    here.sql("CREATE TABLE `%s`.%s (id INT PRIMARY KEY)" % (db, mark))
    pair.settle()
    pair.settle()
    assert [logged(dc.db, mark) for dc in pair.dcs] == [1, 1]


def test_databases(pair):
    pair.east.sql("DROP DATABASE IF EXISTS t_made", "DROP DATABASE IF EXISTS t_made2")
    pair.east.sql("CREATE DATABASE t_made CHARACTER SET latin1 COLLATE latin1_bin")
    pair.settle()
    assert pair.west.db.one("SELECT default_collation_name FROM information_schema.schemata"
                            " WHERE schema_name='t_made'") == "latin1_bin"
    pair.west.sql("CREATE TABLE t_made.x (id INT PRIMARY KEY)",
                  "ALTER DATABASE t_made CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                  "CREATE DATABASE IF NOT EXISTS t_made2")
    pair.settle()
    assert pair.east.db.one("SELECT default_collation_name FROM information_schema.schemata"
                            " WHERE schema_name='t_made'") == "utf8mb4_bin"
    pair.east.sql("DROP DATABASE t_made", "DROP DATABASE t_made2")
    pair.settle()
    assert not pair.west.db.sql("SHOW DATABASES LIKE 't_made%'")


def test_session_state_the_statement_depends_on(pair, db):
    """sql_mode, character set, default database and time zone are part of a DDL."""
    with pair.east.connect(database=db, charset="latin1") as c, c.cursor() as cur:
        cur.execute("SET sql_mode='ANSI_QUOTES'")
        cur.execute('CREATE TABLE "quoted ü" ("id" INT PRIMARY KEY, "sp ace" INT'
                    " COMMENT 'größe', d VARCHAR(9) DEFAULT 'é')")
        cur.execute("SET sql_mode=''")
        cur.execute("CREATE TABLE zeros (id INT PRIMARY KEY, d DATE NOT NULL DEFAULT '0000-00-00')")
        cur.execute("SET time_zone='+03:00'")
        cur.execute("CREATE TABLE zoned (id INT PRIMARY KEY,"
                    " ts TIMESTAMP NOT NULL DEFAULT '2020-01-01 03:00:00')")
        cur.execute("SET foreign_key_checks=0")
        cur.execute("CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p)"
                    " REFERENCES not_yet (id))")
        cur.execute("CREATE TABLE not_yet (id INT PRIMARY KEY)")
    same_schema(pair, db)
    pair.assert_equal(db, settle=False)


def test_prepared_ddl_and_comments(pair, db):
    pair.east.sql("PREPARE s FROM 'CREATE TABLE `%s`.p (id INT PRIMARY KEY)'" % db, "EXECUTE s",
                  "/* who: me */ CREATE /*!100000 OR REPLACE */ TABLE `%s`.q (id INT PRIMARY KEY)"
                  " -- the end" % db)
    assert {r["table_name"] for r in same_schema(pair, db)[2]} == {"p", "q"}


def test_temporary_tables_stay_home(pair, db):
    with pair.east.connect(database=db) as c, c.cursor() as cur:
        cur.execute("CREATE TABLE real_one (id INT PRIMARY KEY)")
        cur.execute("CREATE TEMPORARY TABLE tmp (id INT PRIMARY KEY)")
        cur.execute("INSERT INTO tmp VALUES (1), (2)")
        cur.execute("INSERT INTO real_one SELECT * FROM tmp")
        cur.execute("DROP TEMPORARY TABLE tmp")
    pair.assert_equal(db)
    assert pair.west.db.one("SELECT COUNT(*) FROM `%s`.real_one" % db) == 2


def test_both_at_once_on_different_tables(pair, db):
    errors = []

    def work(dc):
        try:
            with dc.connect(database=db) as c, c.cursor() as cur:
                for i in range(15):
                    t = "%s_%d" % (dc.name, i)
                    cur.execute("CREATE TABLE %s (id INT PRIMARY KEY, v INT)" % t)
                    cur.execute("INSERT INTO %s VALUES (1, 1), (2, 2)" % t)
                    cur.execute("ALTER TABLE %s ADD COLUMN w INT DEFAULT 3" % t)
                    cur.execute("UPDATE %s SET v = 9 WHERE id = 1" % t)
                    if i % 3 == 0:
                        cur.execute("DROP TABLE %s" % t)
        except Exception as e:
            errors.append((dc, e))
    threads = [threading.Thread(target=work, args=(dc,)) for dc in pair.dcs]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    assert not errors
    pair.assert_equal(db)
    assert len(pair.tables(pair.east, db)) == 20


def test_while_the_link_is_cut(pair, db):
    pair.east.sql("CREATE TABLE `%s`.t (id INT PRIMARY KEY, v INT)" % db)
    pair.settle()
    pair.link.cut()
    pair.east.sql("INSERT INTO `%s`.t VALUES (1, 1)" % db,
                  "ALTER TABLE `%s`.t ADD COLUMN e INT DEFAULT 1" % db,
                  "INSERT INTO `%s`.t VALUES (3, 3, 3)" % db)
    pair.west.sql("INSERT INTO `%s`.t VALUES (2, 2)" % db,
                  "CREATE TABLE `%s`.only_west (id INT PRIMARY KEY)" % db)
    pair.link.heal()
    pair.assert_equal(db)
    assert pair.east.db.one("SELECT COUNT(*) FROM `%s`.t" % db) == 3


def test_kill_between_ddl_and_its_mark(pair, db):
    """DDL commits by itself: after kill -9 at any moment it has happened exactly once."""
    for i in range(6):
        pair.east.sql(*["CREATE TABLE `%s`.k%d_%d (id INT PRIMARY KEY)" % (db, i, j)
                        for j in range(10)],
                      *["ALTER TABLE `%s`.k%d_%d ADD COLUMN v INT" % (db, i, j)
                        for j in range(10)])
        pair.west.proxy.kill()
        pair.west.proxy.start()
    pair.assert_equal(db)
    assert len(pair.tables(pair.west, db)) == 60
    for i in range(6):
        for j in range(10):
            assert logged(pair.west.db, "k%d_%d ADD" % (i, j)) == 1
            break
