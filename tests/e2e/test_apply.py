"""tests/e2e/test_apply.py - proxy/apply against real servers.

East is written by ordinary clients; apply_run applies its binlog to west, with the
decisions the test asks for. What the merge engine decides is tested elsewhere.
"""
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pymysql
import pytest

from tests.e2e import column_types
from tests.lib import dc

RESERVED = 0xd1a00000 + 1


def binary():
    given = os.environ.get("APPLY_RUN_BIN")
    return Path(given) if given else dc.diarchy_binary().parent / "apply_run"


class Pair:
    def __init__(self, east, west):
        self.east, self.west = east, west
        self.both("DROP DATABASE IF EXISTS t", "CREATE DATABASE t",
                  "DROP DATABASE IF EXISTS diarchy")
        self.mark()

    def both(self, *statements):
        """The same in both, unseen by replication."""
        for s in (self.east, self.west):
            s.sql(*statements, log_bin=False)

    def here(self, *statements):
        """In west only, as its own clients would."""
        self.west.sql("USE t", *statements)

    def mark(self):
        row = self.east.sql("SHOW MASTER STATUS")[0]
        self.start = (row["File"], row["Position"])

    def there(self, *statements):
        self.east.sql("USE t", *statements)

    def argv(self, **options):
        options = {"from": self.east.socket, "file": self.start[0], "pos": self.start[1],
                   "to": self.west.socket, **options}
        return [str(binary())] + ["%s=%s" % item for item in options.items()]

    def apply(self, expect=0, **options):
        done = subprocess.run(self.argv(**options), capture_output=True, text=True,
                              timeout=300)
        self.out = done.stdout
        self.log = done.stderr
        assert done.returncode == expect, "%d\n%s%s" % (done.returncode, self.out, self.log)
        self.count = dict((k, int(v)) for k, v in re.findall(
            r"(\w+)=(\d+)", "".join(re.findall(r"^COUNT.*$", self.out, re.M))))
        return self

    def rows(self, table, server=None):
        return [tuple(r.values()) for r in
                (server or self.west).sql("SELECT * FROM t.%s ORDER BY 1" % table)]

    def assert_equal(self, *tables):
        for table in tables:
            sql = "SELECT * FROM t.%s ORDER BY 1" % table
            assert self.west.raw(sql) == self.east.raw(sql), table

    def conflicts(self):
        return self.west.sql("SELECT * FROM diarchy.conflicts ORDER BY id")

    def applied(self):
        return self.west.sql("SELECT * FROM diarchy.applied")

    def forget(self):
        """Begin anew: nothing of east counts as applied."""
        self.west.sql("DELETE FROM diarchy.applied", "RESET MASTER")

    def position(self):
        found = re.search(r"\b%d-%d-(\d+)" % (RESERVED, RESERVED),
                          self.west.one("SELECT @@gtid_binlog_pos"))
        return int(found.group(1)) if found else 0


@pytest.fixture(scope="module")
def servers():
    made = []
    for n, name in enumerate(("apply-east", "apply-west")):
        made.append(dc.MariaDB(name, dc.run_dir() / name, n + 1,
                               {"gtid-strict-mode": "1"}).start())
    yield made
    for s in made:
        s.kill()


@pytest.fixture
def pair(servers):
    # A new sequence space needs a binlog that knows nothing of the last one.
    servers[1].sql("RESET MASTER")
    return Pair(*servers)


def simple(pair, *rows):
    pair.both("CREATE TABLE t.a (id INT PRIMARY KEY, v VARCHAR(100), n INT)",
              *["INSERT INTO t.a VALUES %s" % r for r in rows])


# ---- rows ------------------------------------------------------------------------------

def test_insert_update_delete_in_one_batch(pair):
    simple(pair, "(1,'a',1),(2,'b',2),(3,'c',3)")
    pair.there("INSERT INTO a VALUES (4,'d',4)", "UPDATE a SET v='x' WHERE id=1",
               "DELETE FROM a WHERE id=2", "UPDATE a SET id=30 WHERE id=3",
               "INSERT INTO a VALUES (2,'again',NULL)", "UPDATE a SET n=n+1")
    pair.apply()
    pair.assert_equal("a")
    assert pair.count["careful"] == 0 and pair.count["statements"] == 1
    assert [r["seq"] for r in pair.applied()] == [6]
    assert pair.position() == 13
    assert pair.conflicts() == ()
    # Once more changes nothing: all of it is below the mark.
    pair.apply()
    assert "APPLIED 6" in pair.out and pair.count["statements"] == 0
    pair.assert_equal("a")


@pytest.mark.parametrize("decide", ["apply", "upsert", "remote"])
def test_every_column_type(pair, decide):
    tables = []
    for name, definition, values in column_types.VALUES:
        table = "c_" + name
        try:
            pair.both("SET SESSION sql_mode=''",
                      "CREATE TABLE t.%s (id INT PRIMARY KEY, c %s)" % (table, definition))
        except pymysql.err.Error:
            continue
        for n, v in enumerate(values + ["NULL"]):
            try:
                pair.there("SET SESSION sql_mode='', time_zone='+00:00'",
                           "INSERT INTO %s VALUES (%d, %s)" % (table, n, v))
            except pymysql.err.Error:
                continue
        pair.there("SET SESSION sql_mode=''", "UPDATE %s SET id=id+100 WHERE id=0" % table,
                   "UPDATE %s SET c=(SELECT MAX(c) FROM %s) WHERE id=1" % (table, table))
        tables.append(table)
    assert len(tables) > 50
    pair.apply(decide=decide)
    pair.assert_equal(*tables)
    assert pair.count["careful"] == 0 and pair.count["parked"] == 0


@pytest.mark.parametrize("batch", [1, 100])
def test_every_key_type(pair, batch):
    tables = []
    for name, definition, values in column_types.KEYS:
        table = "k_" + name
        pair.both("SET SESSION sql_mode=''", "CREATE TABLE t.%s (%s)" % (table, definition))
        for v in values:
            pair.there("SET SESSION sql_mode=''",
                       "REPLACE INTO %s VALUES (%s)" % (table, v if isinstance(v, str) else
                                                        ",".join(v)))
        tables.append(table)
    pair.apply(batch=batch)
    pair.assert_equal(*tables)
    assert pair.count["careful"] == 0
    # Every row is found again by its key: none is repaired, all are updated.
    pair.forget()
    pair.apply(decide="upsert", batch=batch)
    pair.assert_equal(*tables)
    assert pair.count["careful"] == 0 and pair.count["repairs"] == 0


def test_missing_and_extra_rows_are_set_right(pair):
    simple(pair, *["(%d,'v',%d)" % (n, n) for n in range(1, 401)])
    pair.here("DELETE FROM a WHERE id IN (17, 18)", "INSERT INTO a VALUES (1000,'extra',0)")
    pair.there("UPDATE a SET n=n+1", "DELETE FROM a WHERE id=18",
               "INSERT INTO a VALUES (1000,'new',1)", "UPDATE a SET id=2017 WHERE id=17")
    pair.apply()
    pair.assert_equal("a")
    # 17 and 18 by the update, 1000.
    assert pair.count["repairs"] == 3
    assert pair.conflicts() == ()
    assert "event=row_repaired" in pair.log
    # Halving, not one statement per row.
    assert pair.count["statements"] < 60


def test_upsert_makes_the_row_whatever_stands_here(pair):
    simple(pair, "(1,'a',1),(2,'b',2)")
    pair.there("UPDATE a SET v='east' WHERE id=1", "DELETE FROM a WHERE id=2",
               "INSERT INTO a VALUES (3,'east',3)")
    pair.here("DELETE FROM a WHERE id=1", "DELETE FROM a WHERE id=2",
              "INSERT INTO a VALUES (3,'west',3)")
    pair.apply(decide="upsert")
    pair.assert_equal("a")
    assert pair.count["careful"] == 0 and pair.count["repairs"] == 0


def test_primary_key_moves_where_old_or_new_row_is_not_as_expected(pair):
    simple(pair, "(1,'a',1),(2,'b',2),(3,'c',3),(4,'d',4)")
    pair.there("UPDATE a SET id=id+10 WHERE id<=4")
    pair.here("DELETE FROM a WHERE id=2", "INSERT INTO a VALUES (13,'x',0),(14,'x',0)",
              "DELETE FROM a WHERE id=4")
    pair.apply()
    pair.assert_equal("a")
    assert pair.count["repairs"] == 3


def test_keep_local_writes_only_the_mark(pair):
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET v='east' WHERE id=1", "INSERT INTO a VALUES (2,'b',2)")
    pair.apply(decide="keep")
    assert pair.rows("a") == [(1, "a", 1)]
    assert pair.applied()[0]["seq"] == 2


def test_names_that_need_quoting(pair):
    name = "we`ird ; -- 'x"
    q = name.replace("`", "``")
    pair.both("CREATE TABLE t.`%s` (`k``ey` INT PRIMARY KEY, `sel ect` INT, "
              "`\u00fc` VARCHAR(9), UNIQUE (`sel ect`))" % q,
              "INSERT INTO t.`%s` VALUES (1,1,'a'),(5,5,'')" % q)
    pair.there("INSERT INTO `%s` VALUES (2,2,'\u00fc')" % q,
               "UPDATE `%s` SET `sel ect`=9 WHERE `k``ey`=1" % q)
    pair.here("DELETE FROM `%s` WHERE `k``ey`=1" % q)
    pair.apply(decide="remote")
    pair.west.one("SELECT 1")
    assert pair.west.sql("SELECT * FROM t.`%s`" % q) == pair.east.sql(
        "SELECT * FROM t.`%s`" % q)
    kept = pair.conflicts()
    assert [c["table_name"] for c in kept] == [name, name]
    assert json.loads(kept[1]["remote_image"]) == {"k`ey": 1, "sel ect": 9, "\u00fc": "a"}


# ---- conflicts -------------------------------------------------------------------------

def test_conflict_record_has_both_versions(pair):
    simple(pair, "(1,'base',1)")
    pair.there("UPDATE a SET v='east' WHERE id=1")
    pair.here("UPDATE a SET v='west \\\\ \\' \"quoted\"', n=NULL WHERE id=1")
    pair.apply(decide="remote")
    assert pair.rows("a") == [(1, "east", 1)]
    (c,) = pair.conflicts()
    assert (c["db_name"], c["table_name"], c["type"], c["policy"], c["verdict"]) == (
        "t", "a", "update_update", "lww", "remote_wins")
    assert json.loads(c["row_key"]) == {"id": 1}
    assert json.loads(c["remote_image"]) == {"id": 1, "v": "east", "n": 1}
    assert json.loads(c["local_image"]) == {"id": 1, "v": "west \\ ' \"quoted\"", "n": None}
    assert (c["remote_origin"], c["remote_seq"], c["local_origin"], c["local_seq"]) == (1, 1, 2, 7)
    assert c["local_gtid"] == "0-2-70" and c["remote_gtid"].startswith("0-1-")
    assert re.fullmatch(r"east's update at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} is later than "
                        r"west's by 12 ms", c["reason"]), c["reason"]
    assert re.search(r"event=conflict type=update_update table=\"?t\.a\"? key=.*"
                     r"policy=lww verdict=remote_wins", pair.log)


def test_conflict_that_is_lost_is_recorded_too(pair):
    simple(pair, "(1,'base',1)")
    pair.there("DELETE FROM a WHERE id=1")
    pair.apply(decide="local")
    assert pair.rows("a") == [(1, "base", 1)]
    (c,) = pair.conflicts()
    assert (c["type"], c["verdict"], c["remote_image"]) == ("update_delete", "local_wins", None)
    assert json.loads(c["local_image"])["v"] == "base"
    assert "west's update at" in c["reason"] and "later than east's by 12 ms" in c["reason"]


def test_conflict_images_of_all_types_agree(pair):
    """The row read here by SQL and the one decoded from the event print alike."""
    pair.both("CREATE TABLE t.w (id INT PRIMARY KEY, i BIGINT UNSIGNED, d DECIMAL(20,5), "
              "f FLOAT, g DOUBLE, b BIT(9), y YEAR, da DATE, ti TIME(3), dt DATETIME(6), "
              "ts TIMESTAMP(2) NULL, c CHAR(5), vb VARBINARY(9), bl BLOB, e ENUM('x','y'), "
              "s SET('p','q'), j JSON, z INT(6) ZEROFILL)")
    values = ("18446744073709551615,-0.10000,1.5,-2.25e100,b'100000001',2024,'2024-02-29',"
              "'-12:00:00.500','2024-01-01 00:00:00.000001','2024-01-01 00:00:00.25','\u00e4b',"
              "x'00ff',x'0102','y','p,q','{\"a\": [1]}',42")
    pair.both("SET SESSION time_zone='+00:00'",
              "INSERT INTO t.w VALUES (1," + values + ")")
    pair.there("SET SESSION time_zone='+00:00'", "DELETE FROM w",
               "INSERT INTO w VALUES (1," + values + ")")
    pair.apply(decide="remote")
    second = pair.conflicts()[1]
    assert json.loads(second["remote_image"]) == json.loads(second["local_image"])


def test_many_conflicts_in_one_batch(pair):
    simple(pair, *["(%d,'v',%d)" % (n, n) for n in range(1, 1001)])
    pair.there("UPDATE a SET v=REPEAT('e',100)")
    pair.apply(decide="remote")
    pair.assert_equal("a")
    kept = pair.conflicts()
    assert len(kept) == 1000
    assert all(json.loads(c["local_image"])["v"] == "v" for c in kept)


def test_secondary_unique_clash_is_parked_and_the_rest_goes_on(pair):
    pair.both("CREATE TABLE t.u (id INT PRIMARY KEY, u INT, v VARCHAR(9), UNIQUE uu (u))")
    pair.there("BEGIN", "INSERT INTO u VALUES (1,1,'e')", "INSERT INTO u VALUES (2,2,'e')",
               "COMMIT", "INSERT INTO u VALUES (3,3,'e')", "UPDATE u SET v='f' WHERE id=2")
    pair.here("INSERT INTO u VALUES (20,2,'w')")
    pair.apply()
    # The update of the parked row finds nothing and, as the last word on the row, clashes too.
    assert pair.rows("u") == [(1, 1, "e"), (3, 3, "e"), (20, 2, "w")]
    kept = pair.conflicts()
    assert [(c["type"], c["verdict"], json.loads(c["row_key"])) for c in kept] == [
        ("unique_clash", "parked", {"id": 2})] * 2
    assert json.loads(kept[1]["remote_image"]) == {"id": 2, "u": 2, "v": "f"}
    assert "uu" in kept[0]["reason"]
    assert json.loads(kept[0]["local_image"]) == {"id": 20, "u": 2, "v": "w"}
    assert pair.count["parked"] == 2
    assert pair.applied()[0]["seq"] == 3


def test_foreign_key_refusals_are_parked(pair):
    pair.both("CREATE TABLE t.p (id INT PRIMARY KEY)",
              "CREATE TABLE t.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t.p(id))",
              "INSERT INTO t.p VALUES (1),(2),(3)")
    pair.there("INSERT INTO c VALUES (1,1),(3,3)", "DELETE FROM p WHERE id=2")
    pair.here("DELETE FROM p WHERE id=1", "INSERT INTO c VALUES (22,2)")
    pair.apply()
    assert pair.rows("c") == [(3, 3), (22, 2)] and pair.rows("p") == [(2,), (3,)]
    assert [(c["type"], c["table_name"]) for c in pair.conflicts()] == [
        ("foreign_key", "c"), ("foreign_key", "p")]


def test_check_constraint_of_this_side_only_does_not_stop_rows(pair):
    """MariaDB does not look at CHECK when it applies row events: the row comes as it is."""
    simple(pair, "(1,'a',1)")
    pair.here("ALTER TABLE a ADD CONSTRAINT positive CHECK (n > 0)")
    pair.there("INSERT INTO a VALUES (2,'b',-1),(3,'c',3)")
    pair.apply()
    pair.assert_equal("a")
    assert pair.conflicts() == ()


# ---- cascades, triggers, flags ---------------------------------------------------------

def test_cascades_happen_here_and_triggers_do_not_fire(pair):
    pair.both("CREATE TABLE t.p (id INT PRIMARY KEY, v INT)",
              "CREATE TABLE t.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t.p(id) "
              "ON UPDATE CASCADE ON DELETE CASCADE)",
              "CREATE TABLE t.n (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t.p(id) "
              "ON DELETE SET NULL)",
              "CREATE TABLE t.log (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(20))",
              "CREATE TRIGGER t.tp AFTER INSERT ON t.p FOR EACH ROW "
              "INSERT INTO t.log (what) VALUES (CONCAT('p', NEW.id))",
              "CREATE TRIGGER t.td AFTER DELETE ON t.p FOR EACH ROW "
              "INSERT INTO t.log (what) VALUES (CONCAT('d', OLD.id))")
    pair.there("INSERT INTO p VALUES (1,1),(2,2),(3,3)", "INSERT INTO c VALUES (1,1),(2,2)",
               "INSERT INTO n VALUES (1,2),(2,3)", "UPDATE p SET id=10 WHERE id=1",
               "DELETE FROM p WHERE id=2", "INSERT INTO c VALUES (3,10)")
    pair.apply()
    pair.assert_equal("p", "c", "n", "log")
    assert pair.count["careful"] == 0


def test_rows_written_without_foreign_key_checks(pair):
    pair.both("CREATE TABLE t.p (id INT PRIMARY KEY)",
              "CREATE TABLE t.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t.p(id))")
    pair.there("INSERT INTO p VALUES (1)", "SET foreign_key_checks=0",
               "INSERT INTO c VALUES (1,77)", "SET foreign_key_checks=1",
               "INSERT INTO c VALUES (2,1)", "SET foreign_key_checks=0",
               "INSERT INTO c VALUES (3,78)")
    pair.apply()
    pair.assert_equal("p", "c")
    assert pair.count["careful"] == 0 and pair.count["statements"] == 1


def test_auto_increment_zero_and_generated_columns(pair):
    pair.both("CREATE TABLE t.g (id INT AUTO_INCREMENT PRIMARY KEY, a INT, "
              "b INT AS (a*2) STORED, c INT AS (a*3) VIRTUAL, KEY (c))")
    pair.there("SET sql_mode='NO_AUTO_VALUE_ON_ZERO'", "INSERT INTO g (id,a) VALUES (0,5),(7,6)",
               "INSERT INTO g (a) VALUES (1)", "UPDATE g SET a=9 WHERE id=0")
    pair.apply()
    pair.assert_equal("g")
    assert pair.count["careful"] == 0


# ---- schemas that differ ---------------------------------------------------------------

def test_columns_in_another_order_and_number(pair):
    pair.both("CREATE TABLE t.o (id INT PRIMARY KEY, a INT, b VARCHAR(20), c INT)",
              "INSERT INTO t.o VALUES (1,1,'one',1),(2,2,'two',2),(9,9,'nine',9)")
    pair.here("ALTER TABLE o MODIFY c INT FIRST", "ALTER TABLE o DROP COLUMN b",
              "ALTER TABLE o ADD COLUMN x VARCHAR(300) NOT NULL DEFAULT 'here' AFTER id",
              "ALTER TABLE o ADD COLUMN e ENUM('p','q') DEFAULT 'q', ADD COLUMN d DECIMAL(9,3), "
              "ADD COLUMN t TIMESTAMP(3) DEFAULT '2020-01-01 00:00:00', ADD COLUMN j JSON, "
              "ADD COLUMN bb BIT(11), ADD COLUMN ch CHAR(200)",
              "UPDATE o SET x='kept' WHERE id=1")
    pair.there("INSERT INTO o VALUES (3,30,'three',300)", "UPDATE o SET a=11, c=12 WHERE id=1",
               "DELETE FROM o WHERE id=2", "UPDATE o SET id=99 WHERE id=9",
               "UPDATE o SET a=NULL WHERE id=3")
    for decide in ("apply", "upsert"):
        pair.apply(decide=decide)
        found = pair.west.sql("SELECT id,a,c,x,e FROM t.o ORDER BY id")
        assert [tuple(r.values()) for r in found] == [
            (1, 11, 12, "kept", "q"), (3, None, 300, "here", "q"), (99, 9, 9, "here", "q")]
        assert pair.conflicts() == ()
        pair.forget()
    assert "event=columns_differ" in pair.log


def test_widened_columns(pair):
    pair.both("CREATE TABLE t.o (id INT PRIMARY KEY, a INT, b VARCHAR(20), e ENUM('x','y'), "
              "m VARCHAR(10) CHARACTER SET utf8mb3)")
    pair.here("ALTER TABLE o MODIFY a BIGINT, MODIFY b VARCHAR(400), "
              "MODIFY e ENUM('x','y','z'), MODIFY m VARCHAR(30) CHARACTER SET utf8mb4")
    pair.there("INSERT INTO o VALUES (1,-5,'b','y','\u00fc'),(2,2147483647,'','x','')")
    pair.apply()
    pair.assert_equal("o")
    assert pair.count["parked"] == 0


def test_values_that_do_not_fit_are_parked_not_bent(pair):
    pair.both("CREATE TABLE t.o (id INT PRIMARY KEY, a INT, m VARCHAR(10), e ENUM('x','y'))")
    pair.here("ALTER TABLE o MODIFY a INT UNSIGNED, MODIFY m VARCHAR(40) CHARACTER SET latin1")
    pair.there("INSERT INTO o VALUES (1,5,'ok','x')", "INSERT INTO o VALUES (2,-5,'ok','x')",
               "INSERT INTO o VALUES (3,5,'\u20ac','x')")
    pair.apply()
    assert pair.rows("o") == [(1, 5, "ok", "x")]
    assert [c["type"] for c in pair.conflicts()] == ["schema", "schema"]
    assert "column a" in pair.conflicts()[0]["reason"]
    pair.here("ALTER TABLE o MODIFY e ENUM('y','x')")
    pair.there("INSERT INTO o VALUES (4,5,'ok','x')")
    pair.apply()
    assert len(pair.rows("o")) == 1 and len(pair.conflicts()) == 3
    pair.here("ALTER TABLE o MODIFY e ENUM('x','y'), MODIFY a TINYINT")
    pair.there("INSERT INTO o VALUES (5,500,'ok','x')")
    pair.apply()
    assert len(pair.rows("o")) == 1 and len(pair.conflicts()) == 4


def test_missing_table_is_reported_and_its_rows_kept(pair):
    pair.there("SET sql_log_bin=0", "CREATE TABLE gone (id INT PRIMARY KEY, v VARCHAR(9))",
               "SET sql_log_bin=1", "INSERT INTO gone VALUES (1,'x')")
    simple(pair)
    pair.there("INSERT INTO a VALUES (1,'a',1)")
    pair.apply()
    pair.assert_equal("a")
    (c,) = pair.conflicts()
    assert c["type"] == "missing_table"
    assert json.loads(c["remote_image"]) == {"id": 1, "v": "x"}
    assert "event=table_missing" in pair.log and "level=error" in pair.log


def test_numbering_anew_under_strict_mode_says_what_to_do(pair):
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET n=2", "UPDATE a SET n=3")
    pair.apply(batch=1)
    pair.west.sql("DELETE FROM diarchy.applied")
    pair.apply(expect=1, decide="upsert")
    assert "gtid_strict_mode=OFF" in pair.out
    pair.west.sql("SET GLOBAL gtid_strict_mode=OFF")
    try:
        pair.apply(decide="upsert")
    finally:
        pair.west.sql("SET GLOBAL gtid_strict_mode=ON")
    pair.assert_equal("a")


# ---- size ------------------------------------------------------------------------------

def test_transaction_of_200000_rows(pair):
    simple(pair)
    pair.there("INSERT INTO a SELECT seq, CONCAT('row ', seq), seq FROM seq_1_to_200000")
    pair.there("UPDATE a SET n=n+1")
    pair.apply()
    assert pair.west.one("CHECKSUM TABLE t.a") is not None
    assert pair.west.sql("CHECKSUM TABLE t.a")[0]["Checksum"] == pair.east.sql(
        "CHECKSUM TABLE t.a")[0]["Checksum"]
    assert pair.count["careful"] == 0


def test_row_of_20_mebibytes(pair):
    pair.both("CREATE TABLE t.b (id INT PRIMARY KEY, b LONGBLOB)")
    pair.there("INSERT INTO b VALUES (1, REPEAT('x', 20*1024*1024)), (2,'small')",
               "UPDATE b SET b=CONCAT(b,'y') WHERE id=1")
    pair.apply()
    assert pair.west.one("SELECT MD5(b) FROM t.b WHERE id=1") == pair.east.one(
        "SELECT MD5(b) FROM t.b WHERE id=1")


def test_row_longer_than_a_statement(pair):
    """A row that a client could insert with the same max_allowed_packet always passes; one
    that cannot pass stops the applier, which names table and remedy."""
    pair.both("CREATE TABLE t.b (id INT PRIMARY KEY, b LONGBLOB)")
    old = pair.west.one("SELECT @@global.max_allowed_packet")
    try:
        pair.west.sql("SET GLOBAL max_allowed_packet=1048576")
        pair.there("INSERT INTO b VALUES (1, REPEAT('x', 1000000))",
                   "UPDATE b SET b=CONCAT(b,'y') WHERE id=1")
        pair.apply()
        assert pair.west.one("SELECT LENGTH(b) FROM t.b WHERE id=1") == 1000001
        pair.there("INSERT INTO b VALUES (2, REPEAT('x', 3000000))")
        pair.apply(expect=1)
        assert "t.b" in pair.out and "max_allowed_packet" in pair.out
        assert pair.rows("b")[0][0] == 1 and len(pair.rows("b")) == 1
    finally:
        pair.west.sql("SET GLOBAL max_allowed_packet=%d" % old)
    pair.apply()
    assert pair.west.one("SELECT LENGTH(b) FROM t.b WHERE id=2") == 3000000


# ---- DDL -------------------------------------------------------------------------------

def test_ddl_in_its_place_and_tagged(pair):
    pair.there("CREATE TABLE d (id INT PRIMARY KEY, a INT)", "INSERT INTO d VALUES (1,1)",
               "ALTER TABLE d ADD COLUMN b VARCHAR(10) DEFAULT 'x' AFTER id",
               "INSERT INTO d VALUES (2,'y',2)", "RENAME TABLE d TO d2",
               "UPDATE d2 SET a=9 WHERE id=1", "CREATE INDEX i ON d2 (a)",
               "CREATE VIEW vw AS SELECT id FROM d2", "TRUNCATE TABLE d2",
               "INSERT INTO d2 VALUES (7,'z',7)", "CREATE DATABASE t_x",
               "CREATE TABLE t_x.q (id INT PRIMARY KEY)", "DROP DATABASE t_x")
    before = pair.west.sql("SHOW MASTER STATUS")[0]
    pair.apply()
    pair.assert_equal("d2", "vw")
    assert pair.conflicts() == ()
    assert pair.east.sql("SHOW CREATE TABLE t.d2") == pair.west.sql("SHOW CREATE TABLE t.d2")
    events = pair.west.sql("SHOW BINLOG EVENTS IN '%s' FROM %d" % (before["File"],
                                                                   before["Position"]))
    gtids = [e["Info"] for e in events if e["Event_type"] == "Gtid"]
    # The bookkeeping schema came first, in the domain of nobody.
    ours = [g for g in gtids if "%d-%d-" % (RESERVED, RESERVED) in g]
    assert ours and len([g for g in gtids if "%d-" % (RESERVED - 1) not in g]) == len(ours)


def test_ddl_done_before_a_crash_is_not_done_again(pair):
    simple(pair, "(1,'a',1)")
    pair.there("INSERT INTO a VALUES (2,'b',2)", "ALTER TABLE a ADD COLUMN z INT",
               "INSERT INTO a VALUES (3,'c',3,3)")
    stop = pair.east.sql("SHOW MASTER STATUS")
    assert stop
    # As if the applier had died between the statement and its mark.
    with pair.west.root() as c, c.cursor() as cur:
        cur.execute("SET SESSION gtid_domain_id=%d, server_id=%d, gtid_seq_no=4" % (
            RESERVED, RESERVED))
        cur.execute("ALTER TABLE t.a ADD COLUMN z INT")
    pair.west.sql("CREATE DATABASE IF NOT EXISTS diarchy")
    # The statement is transaction 2; 1 was applied before it. Only its mark is missing.
    pair.west.sql("CREATE TABLE diarchy.applied (origin SMALLINT UNSIGNED NOT NULL PRIMARY KEY, "
                  "seq BIGINT UNSIGNED NOT NULL, stamp BIGINT UNSIGNED NOT NULL, "
                  "incarnation BIGINT UNSIGNED NOT NULL)",
                  "INSERT INTO diarchy.applied VALUES (1,1,1,1)",
                  "INSERT INTO t.a VALUES (2,'b',2,NULL)")
    pair.apply()
    pair.assert_equal("a")
    assert pair.conflicts() == ()
    assert pair.position() == 7
    assert pair.applied()[0]["seq"] == 3


def test_ddl_already_so_is_recorded_and_passed(pair):
    simple(pair, "(1,'a',1)")
    pair.there("CREATE TABLE same (id INT PRIMARY KEY)", "INSERT INTO same VALUES (1)",
               "ALTER TABLE a ADD COLUMN z INT", "DROP TABLE a")
    pair.here("CREATE TABLE same (id INT PRIMARY KEY)", "ALTER TABLE a ADD COLUMN z INT",
              "DROP TABLE a")
    pair.apply()
    pair.assert_equal("same")
    kept = pair.conflicts()
    assert [c["type"] for c in kept] == ["ddl"] * 3
    assert "CREATE TABLE same" in json.loads(kept[0]["remote_image"])["sql"]


def test_ddl_that_cannot_be_executed_stops_with_the_statement(pair):
    simple(pair, "(1,'a',1),(2,'a',1)")
    pair.there("UPDATE a SET n=id", "ALTER TABLE a ADD UNIQUE un (n)",
               "INSERT INTO a VALUES (3,'c',3)")
    pair.apply(decide="keep", expect=1)
    assert "ADD UNIQUE un" in pair.out and "ERROR db 1062" in pair.out
    assert "restart diarchy" in pair.out
    pair.here("UPDATE a SET n=id")
    pair.apply()
    pair.assert_equal("a")


def test_ddl_keeps_the_session_it_was_made_in(pair):
    pair.there("SET NAMES latin1, sql_mode='ANSI_QUOTES', collation_server=latin1_bin, "
               "foreign_key_checks=0, time_zone='+03:00'",
               "CREATE TABLE \"quoted\" (id INT PRIMARY KEY, v VARCHAR(9) DEFAULT 'x', "
               "ts TIMESTAMP DEFAULT '2020-01-01 03:00:00', "
               "FOREIGN KEY (id) REFERENCES nowhere(id))")
    pair.apply()
    assert pair.west.sql("SHOW CREATE TABLE t.quoted") == pair.east.sql(
        "SHOW CREATE TABLE t.quoted")


def test_create_table_select(pair):
    simple(pair, "(1,'a',1),(2,'b',2)")
    pair.there("CREATE TABLE cs (PRIMARY KEY (id)) SELECT id, v FROM a")
    pair.apply()
    pair.assert_equal("cs")


# ---- alongside clients -----------------------------------------------------------------

def test_row_locks_of_clients_are_waited_for_and_deadlocks_retried(pair):
    simple(pair, "(1,'a',1),(2,'b',2)")
    pair.there("BEGIN", "UPDATE a SET v='e' WHERE id=1", "UPDATE a SET v='e' WHERE id=2",
               "COMMIT")
    client = pair.west.root(autocommit=False)
    cur = client.cursor()
    cur.execute("UPDATE t.a SET n=20 WHERE id=2")
    run = subprocess.Popen(pair.argv(), stdout=subprocess.PIPE, text=True)
    # It holds row 1 and waits for row 2: a deadlock as soon as we want row 1. Make it the
    # victim by weight.
    dc.wait_until(lambda: pair.west.one(
        "SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS"), 20, "the applier's wait",
        poll=0.2)  # InnoDB makes the table anew only when nobody has read it for 0.1 s
    for n in range(10, 400):
        cur.execute("INSERT INTO t.a VALUES (%d,'w',1)" % n)
    try:
        cur.execute("UPDATE t.a SET n=10 WHERE id=1")
        client.commit()
        victim = "applier"
    except pymysql.err.OperationalError as e:
        assert e.args[0] == 1213
        client.rollback()
        victim = "client"
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0, out
    assert [r[1] for r in pair.rows("a")[:2]] == ["e", "e"]
    if victim == "applier":
        assert "RETRY db_retry 1213" in out


def test_lock_timeout_is_retried(pair):
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET v='e' WHERE id=1")
    client = pair.west.root(autocommit=False)
    cur = client.cursor()
    cur.execute("SELECT * FROM t.a WHERE id=1 FOR UPDATE")
    run = subprocess.Popen(pair.argv(), stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("RETRY"):
            break
    assert line.startswith("RETRY db_retry 1205"), line
    client.rollback()
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    pair.assert_equal("a")


def test_read_only_server_is_waited_for(pair):
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET v='e' WHERE id=1")
    pair.west.sql("CREATE OR REPLACE USER ro@localhost IDENTIFIED BY ''",
                  "GRANT ALL ON *.* TO ro@localhost",
                  "REVOKE READ_ONLY ADMIN, SUPER ON *.* FROM ro@localhost")
    pair.apply(decide="keep")  # makes the schema `diarchy`
    pair.west.sql("UPDATE diarchy.applied SET seq=0", "SET GLOBAL read_only=1")
    pair.there("UPDATE a SET v='f' WHERE id=1")
    try:
        run = subprocess.Popen(pair.argv(user="ro", skip=0), stdout=subprocess.PIPE, text=True)
        for line in run.stdout:
            if line.startswith("RETRY"):
                break
        assert line.startswith("RETRY db_retry 1290"), line
    finally:
        pair.west.sql("SET GLOBAL read_only=0")
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0, out
    pair.assert_equal("a")


def test_table_altered_between_look_and_write(pair):
    """ALTER by a client of west while a batch is open waits for it; the next batch sees the
    new columns."""
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET v='e', n=5 WHERE id=1", "UPDATE a SET n=6 WHERE id=1")
    run = subprocess.Popen(pair.argv(batch=1, hold=500), stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("HOLD"):
            break
    alter = threading.Thread(target=pair.here, args=(
        "ALTER TABLE a ADD COLUMN x INT DEFAULT 3 AFTER id",))
    alter.start()
    out, _ = run.communicate(timeout=60)
    alter.join()
    assert run.returncode == 0, out
    assert pair.west.sql("SELECT id,v FROM t.a") == ({"id": 1, "v": "e"},) or \
        pair.west.sql("SELECT id,v FROM t.a") == [{"id": 1, "v": "e"}]


def test_lost_connection_and_restart(pair):
    simple(pair, "(1,'a',1)")
    pair.there(*["UPDATE a SET n=n+1 WHERE id=1"] * 5)
    run = subprocess.Popen(pair.argv(batch=1, hold=300), stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.startswith("HOLD"):
            break
    for row in pair.west.sql("SHOW PROCESSLIST"):
        if row["Command"] == "Sleep" and row["db"] is None:
            pair.west.sql("KILL %d" % row["Id"])
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0, out
    assert "RETRY db_gone" in out
    pair.assert_equal("a")
    assert pair.applied()[0]["seq"] == 5


def test_crash_before_commit_leaves_nothing(pair):
    simple(pair, "(1,'a',1)")
    pair.there("UPDATE a SET n=n+1 WHERE id=1")
    pair.apply(crash="commit", expect=9)
    assert pair.rows("a") == [(1, "a", 1)]
    pair.apply()
    pair.assert_equal("a")


# ---- the thread ------------------------------------------------------------------------

def test_through_thread_engine_and_sink(pair):
    simple(pair)
    pair.there("INSERT INTO a SELECT seq, 'v', 0 FROM seq_1_to_50",
               *["UPDATE a SET n=n+%d WHERE id=%d" % (n + 1, n % 50 + 1) for n in range(200)],
               "ALTER TABLE a ADD COLUMN z INT", "UPDATE a SET z=n")
    pair.apply(threads=1, batch=20)
    pair.assert_equal("a")
    (mark,) = pair.applied()
    assert mark["incarnation"] == 0x1234 and mark["seq"] == 203
    assert "STATS state=0 applied=203" in pair.out
