"""The rest of what two real datacenters owe their users: bypassing writes, triggers,
cascades, auto-increment, size, silence when idle, guards, reports, restarts.
"""
import time

import pymysql
import pytest

from tests.lib.dc import DIARCHY_ACCOUNT, Diarchy, diarchy_binary, wait_until


def mebibytes(n):
    return n << 20


def count(dc, table, where="1"):
    return dc.db.one("SELECT COUNT(*) FROM %s WHERE %s" % (table, where))


def test_both_ways(pair, db):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(20))" % t)
    pair.settle()
    pair.east.sql("INSERT INTO %s VALUES (1, 'from east')" % t)
    pair.west.sql("INSERT INTO %s VALUES (2, 'from west')" % t)
    wait_until(lambda: pair.west.one("SELECT v FROM %s WHERE id=1" % t) == "from east", 10,
               "east's row in west, through the proxy")
    wait_until(lambda: pair.east.one("SELECT v FROM %s WHERE id=2" % t) == "from west", 10,
               "west's row in east, through the proxy")
    pair.assert_equal(db)


def test_rolled_back_writes_do_not_cross(pair, db):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY)" % t)
    pair.east.sql("BEGIN", "INSERT INTO %s VALUES (1)" % t, "ROLLBACK",
                  "BEGIN", "INSERT INTO %s VALUES (2)" % t, "SAVEPOINT s",
                  "INSERT INTO %s VALUES (3)" % t, "ROLLBACK TO s", "COMMIT")
    pair.assert_equal(db)
    assert [r["id"] for r in pair.west.db.sql("SELECT id FROM %s" % t)] == [2]


def test_writes_past_the_proxy(pair, db):
    t = "`%s`.t" % db
    pair.east.db.sql("CREATE TABLE %s (id INT PRIMARY KEY, v INT)" % t,
                     "INSERT INTO %s VALUES (1, 1), (2, 2)" % t)
    pair.settle()
    pair.west.db.sql("UPDATE %s SET v=22 WHERE id=2" % t, "DELETE FROM %s WHERE id=1" % t)
    pair.assert_equal(db)
    assert count(pair.east, t) == 1


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_writes_while_diarchy_is_down(pair, db, how):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(20))" % t,
                  "INSERT INTO %s VALUES (1, 'old')" % t)
    pair.settle()
    if how == "kill":
        pair.east.proxy.kill()
    else:
        assert pair.east.proxy.stop() == 0
    pair.east.db.sql("INSERT INTO %s VALUES (2, 'meanwhile')" % t)
    # Behind diarchy's back and clearly before west's write of the same row: when it is
    # read at last, it must not come back as something new.
    pair.east.db.sql("UPDATE %s SET v='stale' WHERE id=1" % t)
    time.sleep(2.1)
    pair.west.sql("UPDATE %s SET v='newer' WHERE id=1" % t)
    pair.east.proxy.start()
    pair.assert_equal(db)
    assert pair.west.db.one("SELECT v FROM %s WHERE id=1" % t) == "newer"
    assert count(pair.west, t) == 2


def test_database_restarts_under_diarchy(pair, db):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v INT)" % t)
    pair.settle()
    for i in range(3):
        pair.west.db.restart()
        pair.east.sql("INSERT INTO %s VALUES (%d, 0)" % (t, i))
        wait_until(lambda: pair.west.sql("INSERT INTO %s VALUES (%d, 1)" % (t, 100 + i)) == (),
                   20, "west's proxy serving after the restart of its database")
    pair.assert_equal(db)
    assert count(pair.east, t) == 6


def test_triggers_fire_once(pair, db):
    pair.east.sql(
        "CREATE TABLE `%s`.t (id INT PRIMARY KEY, v INT)" % db,
        "CREATE TABLE `%s`.log (n INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(40))" % db)
    pair.settle()
    for moment in ("INSERT", "UPDATE", "DELETE"):
        side = "OLD" if moment == "DELETE" else "NEW"
        for dc in pair.dcs:
            # Present in both, however it came: that is when firing twice would show.
            dc.db.sql("CREATE TRIGGER IF NOT EXISTS `%s`.after_%s AFTER %s ON `%s`.t FOR EACH ROW"
                      " INSERT INTO `%s`.log (what) VALUES (CONCAT('%s ', %s.id))"
                      % (db, moment.lower(), moment, db, db, moment, side), log_bin=False)
    for dc, key in ((pair.east, 1), (pair.west, 2)):
        dc.sql("INSERT INTO `%s`.t VALUES (%d, 0)" % (db, key),
               "UPDATE `%s`.t SET v=1 WHERE id=%d" % (db, key))
    pair.settle()
    pair.east.sql("DELETE FROM `%s`.t WHERE id=2" % db)
    pair.assert_equal(db)
    said = [r["what"] for r in pair.west.db.sql("SELECT what FROM `%s`.log ORDER BY what" % db)]
    assert said == ["DELETE 2", "INSERT 1", "INSERT 2", "UPDATE 1", "UPDATE 2"]


def test_cascades_agree(pair, db):
    pair.east.sql(
        "CREATE TABLE `%s`.p (id INT PRIMARY KEY)" % db,
        "CREATE TABLE `%s`.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES `%s`.p (id)"
        " ON DELETE CASCADE ON UPDATE CASCADE)" % (db, db),
        "CREATE TABLE `%s`.gc (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES `%s`.c (id)"
        " ON DELETE CASCADE)" % (db, db),
        "CREATE TABLE `%s`.n (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES `%s`.p (id)"
        " ON DELETE SET NULL ON UPDATE SET NULL)" % (db, db),
        "INSERT INTO `%s`.p VALUES (1), (2), (3)" % db,
        "INSERT INTO `%s`.c VALUES (10, 1), (11, 1), (20, 2), (30, 3)" % db,
        "INSERT INTO `%s`.gc VALUES (100, 10), (200, 20), (300, 30)" % db,
        "INSERT INTO `%s`.n VALUES (1, 1), (2, 2), (3, 3)" % db)
    pair.settle()
    pair.west.sql("DELETE FROM `%s`.p WHERE id=1" % db)
    pair.assert_equal(db)
    pair.east.sql("UPDATE `%s`.p SET id=22 WHERE id=2" % db)
    pair.assert_equal(db)
    assert pair.west.db.sql("SELECT id, p FROM `%s`.c ORDER BY id" % db) == [
        {"id": 20, "p": 22}, {"id": 30, "p": 3}]
    assert [r["id"] for r in pair.east.db.sql("SELECT id FROM `%s`.gc ORDER BY id" % db)] == [
        200, 300]
    assert [r["p"] for r in pair.west.db.sql("SELECT p FROM `%s`.n ORDER BY id" % db)] == [
        None, None, 3]


def test_auto_increment_never_collides(pair, db):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT AUTO_INCREMENT PRIMARY KEY, w VARCHAR(9))" % t)
    pair.settle()
    pair.link.cut()
    for dc in pair.dcs:
        with dc.connect() as c, c.cursor() as cur:
            for _ in range(100):
                cur.execute("INSERT INTO %s (w) VALUES ('%s')" % (t, dc.name))
            cur.execute("INSERT INTO %s (w) VALUES %s" % (
                t, ",".join(["('%s')" % dc.name] * 100)))
    pair.link.heal()
    pair.assert_equal(db)
    assert count(pair.east, t, "w='east'") == count(pair.east, t, "w='west'") == 200
    assert [pair.conflicts(dc, db + ".t") for dc in pair.dcs] == [[], []]


def test_two_hundred_thousand_rows_in_one_transaction(pair, db):
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(60), n INT)" % t)
    pair.east.sql("BEGIN", "INSERT INTO %s SELECT seq, CONCAT('row number ', seq), 0"
                  " FROM seq_1_to_200000" % t, "COMMIT", database=db)
    pair.settle(timeout=180)
    assert count(pair.west, t) == 200000
    pair.assert_equal(db, timeout=180)
    pair.west.sql("UPDATE %s SET n = n + 1, v = CONCAT(v, '!') WHERE id %% 2" % t)
    pair.assert_equal(db, timeout=180)
    pair.east.sql("DELETE FROM %s" % t)
    pair.assert_equal(db, timeout=180)
    assert count(pair.west, t) == 0


@pytest.mark.parametrize("home", ["east", "west"])
def test_a_row_of_twenty_mebibytes(pair, db, home):
    here = getattr(pair, home)
    t = "`%s`.t" % db
    here.sql("CREATE TABLE %s (id INT PRIMARY KEY, b LONGBLOB, n INT)" % t)
    pair.settle()
    row = (b"0123456789abcdef" * 65536) * 20
    with here.connect(max_allowed_packet=mebibytes(64)) as c, c.cursor() as cur:
        cur.execute("INSERT INTO %s VALUES (1, %%s, 0), (2, 'small', 0)" % t,
                    (pymysql.Binary(row),))
    pair.settle(timeout=120)
    there = pair.other(here)
    assert there.db.raw("SELECT b FROM %s WHERE id=1" % t)[0][0] == row
    # The other way, and through the proxy's relay of a result that big.
    there.sql("UPDATE %s SET n=1, b=CONCAT(b, 'x') WHERE id=1" % t)
    pair.settle(timeout=120)
    with here.connect(max_allowed_packet=mebibytes(64)) as c, c.cursor() as cur:
        cur.execute("SELECT b FROM %s WHERE id=1" % t)
        assert cur.fetchone()[0] == row + b"x"
    there.sql("DELETE FROM %s WHERE id=1" % t)
    pair.settle(timeout=120)
    assert count(here, t) == 1


def test_silence_when_idle(pair, db):
    """No loops: with nobody writing, neither binlog grows."""
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v INT)" % t)
    for i in range(20):
        pair.east.sql("REPLACE INTO %s VALUES (1, %d)" % (t, i))
        pair.west.sql("REPLACE INTO %s VALUES (2, %d)" % (t, i))
    pair.settle()

    def volume():
        return [dc.db.binlog_bytes() for dc in pair.dcs]
    state = {"at": time.monotonic(), "volume": volume()}

    def quiet():
        now = volume()
        if now != state["volume"]:
            state.update(at=time.monotonic(), volume=now)
        return time.monotonic() - state["at"] > 5
    wait_until(quiet, 30, "five seconds in which neither binlog grows", poll=0.2)


def test_volume_of_a_write(pair, db):
    """A write crosses once: it costs the other DC about what it costs at home."""
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v VARBINARY(20000))" % t)
    pair.settle()
    before = [dc.db.binlog_bytes() for dc in pair.dcs]
    for i in range(50):
        pair.east.sql("INSERT INTO %s VALUES (%d, RANDOM_BYTES(1000))" % (t, i))
    pair.settle()
    grown = [dc.db.binlog_bytes() - b for dc, b in zip(pair.dcs, before)]
    assert grown[1] < 2 * grown[0] + 20000, grown
    assert grown[0] < 50 * 2500 + 20000, grown


GUARDED = [
    "SET sql_log_bin=0", "SET SESSION sql_log_bin = 0", "SET @@sql_log_bin:=OFF",
    "set /* quiet */ @@session . `sql_log_bin` = 0", "SET @x=1, sql_log_bin=0",
    "SET binlog_format='STATEMENT'", "SET SESSION binlog_format=MIXED",
    "SET GLOBAL binlog_format=STATEMENT", "SET binlog_row_image=MINIMAL",
    "SET @@session.binlog_row_image='NOBLOB'", "XA START 'x'", "XA BEGIN 'x'",
]
ALLOWED = [
    "SET sql_log_bin=1", "SET binlog_format=ROW", "SET binlog_row_image='FULL'",
    "SELECT 'SET sql_log_bin=0'", "SELECT 1 -- SET sql_log_bin=0", "XA RECOVER",
    "SELECT @@sql_log_bin", "SET @sql_log_bin=0",
]


@pytest.mark.parametrize("statement", GUARDED)
def test_guarded(pair, statement):
    # As an account that may do it at the server, so that the refusal is ours.
    with pair.east.connect(*DIARCHY_ACCOUNT) as c, c.cursor() as cur:
        with pytest.raises(pymysql.err.MySQLError) as e:
            cur.execute(statement)
        assert "iarchy" in e.value.args[1], e.value
        cur.execute("SELECT @@sql_log_bin, @@binlog_format, @@binlog_row_image")
        assert cur.fetchone() == (1, "ROW", "FULL")


@pytest.mark.parametrize("statement", ALLOWED)
def test_not_guarded(pair, statement):
    with pair.east.connect(*DIARCHY_ACCOUNT) as c, c.cursor() as cur:
        cur.execute(statement)


def test_guarded_in_multi_statements_and_prepares(pair):
    from pymysql.constants import CLIENT
    with pair.east.connect(*DIARCHY_ACCOUNT, client_flag=CLIENT.MULTI_STATEMENTS) as c:
        with c.cursor() as cur:
            with pytest.raises(pymysql.err.MySQLError):
                cur.execute("SELECT 1; SET sql_log_bin=0")
                while cur.nextset():
                    pass
    with pair.east.connect(*DIARCHY_ACCOUNT) as c, c.cursor() as cur:
        with pytest.raises(pymysql.err.MySQLError):
            cur.execute("PREPARE s FROM 'SET sql_log_bin=0'")
            cur.execute("EXECUTE s")
        cur.execute("SELECT @@sql_log_bin")
        assert cur.fetchone() == (1,)


@pytest.mark.parametrize("what", ["STATUS", "CONFLICTS", "POLICIES"])
def test_show_diarchy(pair, what):
    for dc in pair.dcs:
        with dc.connect() as c, c.cursor() as cur:
            for text in ("SHOW DIARCHY " + what, "show /* any */ diarchy %s;" % what.lower()):
                cur.execute(text)
                assert cur.description
                rows = cur.fetchall()
                assert rows or what == "CONFLICTS"
            # The session is an ordinary one before and after.
            cur.execute("SELECT 41 + 1")
            assert cur.fetchone() == (42,)


def test_status_tells(pair):
    status = pair.east.proxy.status()
    assert isinstance(status, dict) and status
    told = pair.east.proxy.command("status", "--json")
    assert told.returncode == 0, told
    assert pair.east.proxy.command("status").returncode == 0
    code, metrics = pair.east.proxy.http("/metrics")
    assert code == 200 and "diarchy_" in metrics
    assert pair.east.proxy.http("/healthz")[0] == 200


@pytest.mark.parametrize("name,definition", [
    ("table_without_key", "(id INT, v INT)"),
    ("table_of_myisam", "(id INT PRIMARY KEY, v INT) ENGINE=MyISAM"),
])
def test_what_cannot_be_replicated_is_reported_once(pair, db, name, definition):
    pair.east.sql("CREATE TABLE `%s`.%s %s" % (db, name, definition))
    for i in range(3):
        pair.east.sql("INSERT INTO `%s`.%s VALUES (%d, 1)" % (db, name, i))
    pair.settle()
    wait_until(lambda: name in pair.east.proxy.http("/status")[1], 10,
               "/status naming the table that is not replicated")
    lines = [li for li in pair.east.proxy.log_text().splitlines()
             if name in li and db in li and ("level=warn" in li or "level=error" in li)]
    assert len(lines) == 1, lines
    assert not pair.east.proxy.exited() and not pair.west.proxy.exited()


def test_clean_stop_and_start(own_pair):
    two = own_pair(name="stop")
    two.east.sql("CREATE DATABASE t_s", "CREATE TABLE t_s.t (id INT PRIMARY KEY)",
                 "INSERT INTO t_s.t VALUES (1)")
    for dc in two.dcs:
        assert dc.proxy.stop() == 0
    two.east.db.sql("INSERT INTO t_s.t VALUES (2)")
    two.west.proxy.start(ready=False)
    two.east.proxy.start()
    two.west.proxy.wait_ready()
    two.east.sql("INSERT INTO t_s.t VALUES (3)")
    two.assert_equal("t_s")
    assert count(two.west, "t_s.t") == 3


def test_database_by_tcp(own_pair):
    two = own_pair(name="tcp", by_tcp=True)
    two.east.sql("CREATE DATABASE t_s", "CREATE TABLE t_s.t (id INT PRIMARY KEY)",
                 "INSERT INTO t_s.t VALUES (1)")
    two.assert_equal("t_s")
    assert count(two.west, "t_s.t") == 1


def test_replicate_patterns(own_pair):
    two = own_pair(name="patterns", replicate=["harness.*", "t_yes.*"])
    for dc in two.dcs:
        dc.db.sql("CREATE DATABASE IF NOT EXISTS t_no",
                  "CREATE TABLE t_no.t (id INT PRIMARY KEY)", log_bin=False)
    two.east.sql("CREATE DATABASE t_yes", "CREATE TABLE t_yes.t (id INT PRIMARY KEY)",
                 "INSERT INTO t_yes.t VALUES (1)", "INSERT INTO t_no.t VALUES (1)")
    two.settle()
    assert count(two.west, "t_yes.t") == 1
    assert count(two.west, "t_no.t") == 0


def test_wrong_secret_is_refused(own_pair):
    """A stranger with another secret gets nothing and harms nobody."""
    two = own_pair(name="stranger", start=False)
    two.start_databases()
    two.link.start()
    two.east.proxy.start()
    two.west.proxy.write_config()
    config = two.west.proxy.config
    config.write_text(config.read_text().replace("both datacenters share", "nobody shares"))
    two.west.proxy.spawn([diarchy_binary(), "run", "--config", config])
    two.east.proxy.wait_ready()
    two.east.db.sql("CREATE DATABASE t_secret")
    wait_until(lambda: two.east.proxy.log_text().count("level=warn")
               + two.east.proxy.log_text().count("level=error") > 0, 20,
               "east's log telling of the refused peer")
    assert not two.west.db.sql("SHOW DATABASES LIKE 't_secret'")
    assert two.east.proxy.alive() and two.west.proxy.alive()
    two.west.proxy.kill()
    two.west.proxy.start()
    wait_until(lambda: two.west.db.sql("SHOW DATABASES LIKE 't_secret'"), 30,
               "replication with the right secret")


def test_second_process_on_one_state_is_refused(pair):
    other = Diarchy("east", 1, pair.base / "second", pair.east.db, pair.east.proxy.peers)
    other.state_dir = pair.east.proxy.state_dir
    other.write_config()
    other.spawn([diarchy_binary(), "run", "--config", other.config])
    wait_until(lambda: other.exited() is not None, 15, "the second diarchy giving up")
    assert other.exited() != 0
    assert str(pair.east.proxy.pid) in other.log_text(), other.log_text()
    assert pair.east.one("SELECT 1") == 1
