"""tests/e2e/test_capture.py - capture alone against a real server.

capture_dump runs proxy/capture and prints each transaction it would ship. What it prints is
compared with what the server did: order, completeness, the same stamps after any restart,
and a report for everything that is left out.
"""
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.lib import dc

TABLE_MAP, WRITE, UPDATE, DELETE, ANNOTATE, QUERY = 19, 23, 24, 25, 160, 2
DDL, WATERMARK = 1, 2
RESERVED = 0xd1a00000


def dump_binary():
    given = os.environ.get("CAPTURE_DUMP")
    return Path(given) if given else dc.diarchy_binary().parent / "capture_dump"


class Dump:
    """A capture_dump process with its transactions, watermarks and answers sorted."""

    def __init__(self, base, server, extra="", **limits):
        self.base = Path(base)
        self.state = self.base / "state"
        self.path = self.base / "diarchy.yaml"
        self.log = self.base / "capture.log"
        self.child = None
        text = """
dc: {name: east, id: 1}
listen: 127.0.0.1:%d
database: {socket: "%s", user: root}
peer:
  listen: 127.0.0.1:%d
  secret: "a secret that is long enough for both"
  dcs:
    - {name: west, id: 2, address: 127.0.0.1:9}
state_dir: %s
%s
""" % (dc.free_port(), server.socket, dc.free_port(), self.state, extra)
        if limits:
            text += "limits: {%s}\n" % ", ".join("%s: %s" % i for i in limits.items())
        self.path.write_text(text)

    def start(self, after=0, **popen):
        self.txns, self.watermarks, self.failures = [], [], []
        self.answers = queue.Queue()
        self.err = open(self.log, "ab")
        self.child = subprocess.Popen(
            [str(dump_binary()), str(self.path), str(after)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.err, text=True, bufsize=1, **popen)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.child.stdout:
            d = json.loads(line)
            if "seq" in d:
                if d["broken"]:
                    self.failures.append({"failed": "body", "txn": d})
                (self.watermarks if d["flags"] & WATERMARK else self.txns).append(d)
            elif "failed" in d:
                self.failures.append(d)
            else:
                self.answers.put(d)

    def say(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def ask(self, line):
        self.say(line)
        return self.answers.get(timeout=30)

    def status(self):
        return self.ask("status")

    def refused(self):
        return {(reason, name): count for reason, name, count in self.ask("refused")["refused"]}

    def wait(self, n, timeout=60):
        def enough():
            assert self.child.poll() is None, self.log.read_text()[-2000:]
            assert not [f for f in self.failures if f["failed"] == "body"], self.failures
            return len(self.txns) >= n
        dc.wait_until(enough, timeout, "%d transactions (%d came)" % (n, len(self.txns)))
        return self.txns

    def wait_captured(self, server, timeout=60):
        """Everything in the binlog now has been read; *then* what is not there is missing."""
        want = {tuple(g.split("-"))[0]: int(g.split("-")[2])
                for g in server.one("SELECT @@gtid_binlog_pos").split(",") if g}

        def there():
            have = {g.split("-")[0]: int(g.split("-")[2])
                    for g in self.status()["pos"].split(",") if g}
            return all(have.get(d, 0) >= n for d, n in want.items())
        dc.wait_until(there, timeout, "capture at %s" % want)
        head = self.status()["head"]
        dc.wait_until(lambda: head == 0 or (self.txns and self.txns[-1]["seq"] >= head),
                      timeout, "transaction %d" % head)

    def wait_state(self, state, timeout=30):
        dc.wait_until(lambda: self.status()["status"] == state, timeout, "state " + state)

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.reader.join()

    def stop(self):
        if self.child is None or self.child.poll() is not None:
            return
        try:
            self.say("quit")
        except BrokenPipeError:
            pass
        assert self.child.wait(60) == 0, self.log.read_text()[-3000:]
        self.reader.join()


@pytest.fixture
def base():
    path = tempfile.mkdtemp(prefix="cap-", dir=dc.run_dir())
    Path(path).chmod(0o755)
    yield Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server(base, request):
    options = getattr(request, "param", {})
    s = dc.MariaDB("cap", base / "db", 101, options).start()
    s.sql("CREATE DATABASE shop")
    yield s
    s.kill()


@pytest.fixture
def dump(base, server):
    d = Dump(base, server)
    yield d
    d.stop()


def identity(t):
    return (t["seq"], t["stamp"], t["gtid"], tuple(sorted(t["deps"].items())))


def test_order_is_commit_order(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, w INT, n INT)")
    dump.start().wait_state("streaming")
    workers, each = 6, 60

    def work(w):
        c = server.root()
        with c, c.cursor() as cur:
            for n in range(each):
                cur.execute("INSERT INTO shop.t (w, n) VALUES (%d, %d)" % (w, n))
    threads = [threading.Thread(target=work, args=(w,)) for w in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    txns = dump.wait(workers * each)
    assert [t["seq"] for t in txns] == list(range(1, workers * each + 1))
    stamps = [t["stamp"] for t in txns]
    assert stamps == sorted(set(stamps))
    numbers = [int(t["gtid"].split("-")[2]) for t in txns]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    assert all(t["events"] == [ANNOTATE, TABLE_MAP, WRITE] and
               t["rows"] == 1 for t in txns)
    # Stamped as they came: within a second of the commit that the event tells.
    assert all(abs((t["stamp"] >> 16) / 1000 - t["time"]) < 3 for t in txns)
    server.stop()


def test_same_stamps_after_restarts(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT)")
    dump.start().wait_state("streaming")
    known = {}

    def insert(n):
        c = server.root()
        with c, c.cursor() as cur:
            for _ in range(n):
                cur.execute("INSERT INTO shop.t (n) VALUES (1)")

    total = 0
    for how in ("quit", "kill", "away", "quit", "kill"):
        insert(40)
        total += 40
        dump.wait(total)
        for t in dump.txns:
            assert known.setdefault(t["seq"], identity(t)) == identity(t)
        if how == "quit":
            dump.stop()
        else:
            dump.kill()
        if how == "away":  # written while nobody captured
            insert(40)
            away = range(total + 1, total + 41)
            total += 40
            time.sleep(1.1)  # the clock must be past the second of those commits
        dump.start()
    dump.wait(total)
    for t in dump.txns:
        assert known.setdefault(t["seq"], identity(t)) == identity(t)
    assert sorted(known) == list(range(1, total + 1))
    stamps = [known[s][1] for s in sorted(known)]
    assert stamps == sorted(set(stamps))
    # Old writes did not come back as new ones.
    assert all(0 <= (t["stamp"] >> 16) - t["time"] * 1000 <= 999
               for t in dump.txns if t["seq"] in away)


def test_server_restart(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT)")
    dump.start().wait_state("streaming")
    for n in range(3):
        server.sql(*["INSERT INTO shop.t (n) VALUES (1)"] * 5)
        if n == 1:
            server.kill()
            server.start()
        else:
            server.restart()
        server.sql("INSERT INTO shop.t (n) VALUES (2)")
    dump.wait_captured(server)
    assert [t["seq"] for t in dump.txns] == list(range(1, 19))
    assert dump.status()["reconnects"] >= 3


@pytest.mark.parametrize("server", [{
    "log-bin-compress": "ON", "log-bin-compress-min-len": "10"}], indirect=True)
def test_compressed_binlog(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v TEXT)")
    dump.start().wait_state("streaming")
    server.sql("INSERT INTO shop.t VALUES (1, REPEAT('abc', 1000)), (2, REPEAT('x', 5000))",
               "UPDATE shop.t SET v=REPEAT('y', 4000)", "DELETE FROM shop.t",
               "ALTER TABLE shop.t ADD COLUMN a_column_with_quite_a_long_name INT COMMENT '%s'"
               % ("z" * 300))
    dump.wait(4)
    for t, kind in zip(dump.txns, (WRITE, UPDATE, DELETE)):
        assert t["events"][:2] == [ANNOTATE, TABLE_MAP] and set(t["events"][2:]) == {kind}
    assert [t["rows"] for t in dump.txns] == [2, 2, 2, 0]
    assert dump.txns[0]["len"] > 8000
    assert dump.txns[3]["flags"] == DDL and "a_column" in dump.txns[3]["sql"]


def test_statement_text_and_maps(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)")
    dump.start().wait_state("streaming")
    with server.root(autocommit=False) as c, c.cursor() as cur:
        for i in range(5):
            cur.execute("INSERT INTO shop.t VALUES (%s, 7)", (i,))
        c.commit()
    dump.wait(1)
    t = dump.txns[0]
    assert t["note"] == "INSERT INTO shop.t VALUES (0, 7)"
    assert (t["rows"], t["maps"], t["notes"]) == (5, 1, 5)
    # A text beyond the bound is left out, its rows are not.
    server.sql("INSERT INTO shop.t VALUES " + ", ".join(
        "(%d, 123456789)" % i for i in range(100, 6000)))
    dump.wait(2)
    assert dump.txns[1]["notes"] == 0 and dump.txns[1]["rows"] == 5900
    assert dump.status()["annotations_dropped"] == 1


def test_ddl(server, dump):
    dump.start().wait_state("streaming")
    server.sql("CREATE TABLE shop.src (id INT PRIMARY KEY, n INT)",
               "INSERT INTO shop.src VALUES (1, 1), (2, 2)",
               "CREATE TABLE shop.copy (PRIMARY KEY (id)) SELECT * FROM shop.src",
               "ALTER TABLE shop.src ADD COLUMN v VARCHAR(10)",
               "UPDATE shop.src SET v='x' WHERE id=1",
               "CREATE INDEX by_v ON shop.src (v)", "RENAME TABLE shop.src TO shop.src2",
               "TRUNCATE TABLE shop.copy", "CREATE VIEW shop.v AS SELECT 1 AS one",
               "CREATE OR REPLACE DEFINER=root@localhost PROCEDURE shop.p() SELECT 1",
               "CREATE TRIGGER shop.tr BEFORE INSERT ON shop.copy FOR EACH ROW SET NEW.n=1",
               "CREATE DATABASE other", "DROP DATABASE other", "DROP TABLE shop.copy, shop.src2",
               # These stay here:
               "ANALYZE TABLE mysql.user", "FLUSH TABLES", "CREATE USER nobody",
               "CREATE TEMPORARY TABLE shop.tmp (a INT)", "CREATE TABLE mysql.mine (a INT)",
               "CREATE DATABASE IF NOT EXISTS diarchy", "CREATE TABLE diarchy.x (a INT)",
               "DROP TABLE mysql.mine", "INSERT INTO mysql.help_topic VALUES (99999,'a',1,'','','')")
    dump.wait_captured(server)
    kinds = [(t["flags"], t["rows"]) for t in dump.txns]
    assert kinds == [(DDL, 0), (0, 2), (DDL, 2), (DDL, 0), (0, 1)] + [(DDL, 0)] * 9
    assert dump.txns[2]["sql"].startswith("CREATE TABLE `shop`.`copy`")
    assert "RENAME" in dump.txns[6]["sql"]
    assert list(dump.refused()) == [("system_schema", "mysql.help_topic")]


def test_accounts_when_configured(base, server):
    d = Dump(base, server, extra="replicate_users: true").start()
    try:
        d.wait_state("streaming")
        server.sql("CREATE USER somebody IDENTIFIED BY 'x'", "GRANT SELECT ON shop.* TO somebody",
                   "SET PASSWORD FOR somebody=PASSWORD('y')", "DROP USER somebody")
        d.wait(4)
        assert [t["flags"] for t in d.txns] == [DDL] * 4
    finally:
        d.stop()


def test_what_is_not_replicated_is_reported(base, server):
    d = Dump(base, server, extra='replicate: ["shop.*"]').start()
    try:
        d.wait_state("streaming")
        server.sql("CREATE TABLE shop.nokey (a INT)", "CREATE TABLE shop.my (a INT PRIMARY KEY) "
                   "ENGINE=MyISAM", "CREATE TABLE shop.t (a INT PRIMARY KEY, b INT)",
                   "CREATE DATABASE mine", "CREATE TABLE mine.t (a INT PRIMARY KEY)",
                   "CREATE SEQUENCE shop.s",
                   "CREATE DATABASE IF NOT EXISTS diarchy",
                   "CREATE TABLE diarchy.y (a INT PRIMARY KEY)")
        server.sql("INSERT INTO shop.nokey VALUES (1), (2)", "INSERT INTO shop.nokey VALUES (3)",
                   "INSERT INTO shop.my VALUES (1)", "INSERT INTO mine.t VALUES (1)",
                   "SELECT NEXTVAL(shop.s)", "INSERT INTO diarchy.y VALUES (1)",
                   "SET SESSION binlog_format='STATEMENT'", "INSERT INTO shop.t VALUES (1, 1)",
                   "UPDATE shop.t SET b=2 WHERE a=1",
                   "SET SESSION binlog_format='ROW'", "SET SESSION binlog_row_image='MINIMAL'",
                   "UPDATE shop.t SET b=3 WHERE a=1", "SET SESSION binlog_row_image='FULL'",
                   "UPDATE shop.t SET b=4 WHERE a=1")
        d.wait_captured(server)
        assert d.refused() == {
            ("no_primary_key", "shop.nokey"): 2, ("not_transactional", "shop.my"): 1,
            ("sequence", "shop.s"): 1, ("own_schema", "diarchy.y"): 1,
            ("statement_format", "shop.t"): 2, ("partial_image", "shop.t"): 1}
        assert [t["rows"] for t in d.txns if not t["flags"]] == [1]
        log = d.log.read_text()
        assert log.count("event=not_replicated") == 6
        assert log.count("reason=no_primary_key") == 1
    finally:
        d.stop()


def test_mixed_engines_in_one_transaction(server, dump):
    server.sql("CREATE TABLE shop.my (a INT PRIMARY KEY) ENGINE=MyISAM",
               "CREATE TABLE shop.inno (a INT PRIMARY KEY) ENGINE=InnoDB")
    dump.start().wait_state("streaming")
    with server.root(autocommit=False) as c, c.cursor() as cur:
        cur.execute("INSERT INTO shop.inno VALUES (1)")
        cur.execute("SAVEPOINT s")
        cur.execute("INSERT INTO shop.my VALUES (1)")
        cur.execute("INSERT INTO shop.inno VALUES (2)")
        cur.execute("ROLLBACK TO s")
        cur.execute("INSERT INTO shop.inno VALUES (3)")
        c.commit()
        cur.execute("INSERT INTO shop.inno VALUES (4)")
        cur.execute("INSERT INTO shop.my VALUES (2)")
        c.rollback()
        cur.execute("INSERT INTO shop.inno VALUES (5)")
        c.commit()
    dump.wait_captured(server)
    have = [r["a"] for r in server.sql("SELECT a FROM shop.inno ORDER BY a")]
    assert have == [1, 3, 5]
    assert sum(t["rows"] for t in dump.txns) == 3
    assert dump.refused() == {("not_transactional", "shop.my"): 2}


def test_xa(server, dump):
    server.sql("CREATE TABLE shop.t (a INT PRIMARY KEY)")
    dump.start().wait_state("streaming")
    server.sql("XA START 'one'", "INSERT INTO shop.t VALUES (1)", "XA END 'one'",
               "XA PREPARE 'one'")
    server.sql("INSERT INTO shop.t VALUES (10)")
    server.sql("XA START 'two'", "INSERT INTO shop.t VALUES (2)", "XA END 'two'",
               "XA PREPARE 'two'")
    dump.wait(1)
    dc.wait_until(lambda: dump.status()["xa_held"] == 2, what="two prepared")
    # Rows of a prepared transaction come with its commit, also when that is after a restart.
    dump.kill()
    dump.start()
    server.sql("XA COMMIT 'one'")
    server.sql("XA ROLLBACK 'two'")
    server.sql("XA START 'three'", "INSERT INTO shop.t VALUES (3)", "XA END 'three'",
               "XA COMMIT 'three' ONE PHASE")
    dump.wait(3)
    dump.wait_captured(server)
    assert [t["rows"] for t in dump.txns] == [1, 1, 1]
    assert dump.status()["xa_held"] == 0
    assert dump.refused() == {}


def test_applied_marks_and_deps(server, dump):
    server.sql("CREATE TABLE shop.t (a INT PRIMARY KEY)", "CREATE DATABASE diarchy",
               "CREATE TABLE diarchy.applied (origin SMALLINT UNSIGNED PRIMARY KEY, seq BIGINT "
               "UNSIGNED NOT NULL, stamp BIGINT UNSIGNED NOT NULL, incarnation BIGINT UNSIGNED "
               "NOT NULL DEFAULT 0)")
    dump.start().wait_state("streaming")
    as_west = "SET SESSION server_id=%d, gtid_domain_id=%d" % (RESERVED + 2, RESERVED + 2)
    future = (int(time.time() * 1000) + 60000) << 16
    server.sql("INSERT INTO shop.t VALUES (1)")
    server.sql(as_west, "BEGIN", "INSERT INTO shop.t VALUES (2)",
               "INSERT INTO diarchy.applied VALUES (2, 17, %d, 5)" % future, "COMMIT")
    server.sql("INSERT INTO shop.t VALUES (3)")
    server.sql(as_west, "UPDATE diarchy.applied SET seq=18, stamp=%d" % (future + 5))
    server.sql("INSERT INTO shop.t VALUES (4)")
    dump.wait_captured(server)
    assert [t["deps"] for t in dump.txns] == [{}, {"2": 17}, {"2": 18}]
    assert dump.txns[0]["stamp"] < future < dump.txns[1]["stamp"] < dump.txns[2]["stamp"]
    assert dump.txns[2]["stamp"] > future + 5
    assert dump.status()["applied"] == 2
    # The mark alone moves a watermark, once; then silence.
    server.sql(as_west, "UPDATE diarchy.applied SET seq=19")
    dc.wait_until(lambda: dump.watermarks and dump.watermarks[-1]["deps"] == {"2": 19},
                  what="a watermark with the new mark")
    n = dump.status()["watermarks"]
    time.sleep(1)
    assert dump.status()["watermarks"] == n
    # After a restart the same, from the journal and the binlog.
    before = [identity(t) for t in dump.txns]
    dump.kill()
    dump.start().wait(3)
    assert [identity(t) for t in dump.txns] == before
    dc.wait_until(lambda: dump.watermarks and dump.watermarks[-1]["deps"] == {"2": 19},
                  what="the watermark again")


def test_keys_of_text_outside_ascii(server, dump):
    server.sql("CREATE TABLE shop.t (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE "
               "utf8mb4_general_ci PRIMARY KEY, n INT)")
    dump.start().wait_state("streaming")
    server.sql("INSERT INTO shop.t VALUES ('é', 1)", "UPDATE shop.t SET a='É'",
               "UPDATE shop.t SET a='ü'")
    dump.wait_captured(server)
    # insert; an update of the same key; a move to another key (two changes)
    assert dump.status()["changes"] == 1 + 1 + 2


def test_large_transaction_spills(base, server):
    d = Dump(base, server, txn_memory="4M")
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, v CHAR(200))")
    d.start().wait_state("streaming")
    small = d.status()["max_rss_kb"]
    try:
        server.sql("USE shop", "INSERT INTO shop.t SELECT seq, REPEAT('v', 200) FROM seq_1_to_200000")
        d.wait(1)
        t = d.txns[0]
        assert t["rows"] == 200000 and t["len"] > 40e6 and t["mapped"] >= t["len"]
        assert t["maps"] == 1
        grown = d.status()["max_rss_kb"] - small
        # The body is a file mapping; what must be in memory are the keys.
        assert grown < 40 * 1024 + t["len"] / 1024
        server.sql("INSERT INTO shop.t VALUES (0, REPEAT('w', 200))")
        d.wait(2)
    finally:
        d.stop()


def test_catch_up_from_the_binlog(base, server):
    """What has left memory is read again, and equals what was sent the first time."""
    d = Dump(base, server, outbox_memory="1M")
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v CHAR(250))",
               "CREATE TABLE shop.nokey (a INT)")
    d.start().wait_state("streaming")
    try:
        c = server.root()
        with c, c.cursor() as cur:
            for i in range(3000):
                cur.execute("INSERT INTO shop.t (v) VALUES (REPEAT('x', 250))")
                if i % 50 == 0:
                    cur.execute("INSERT INTO shop.nokey VALUES (1)")
        d.wait(3000)
        first = [dict(t) for t in d.txns]
        assert d.status()["outbox_txns"] < 3000
        for after in (0, 1234, 2999):
            del d.txns[:]
            d.say("open %d" % after)
            d.wait(3000 - after)
            assert d.txns == first[after:]
        assert d.status()["catching_up"] == 0
        # While it catches up, more comes.
        del d.txns[:]
        d.say("open 0")
        server.sql(*["INSERT INTO shop.t (v) VALUES ('y')"] * 50)
        d.wait(3050)
        assert [t["seq"] for t in d.txns] == list(range(1, 3051))
        # After a restart too, and with other tables replicated than before.
        d.stop()
        d.path.write_text(d.path.read_text() + 'exclude: ["shop.t"]\n')
        d.start().wait(3050)
        assert [identity(t) for t in d.txns[:3000]] == [identity(t) for t in first]
        assert d.status()["head"] == 3050
    finally:
        d.stop()


def test_purged_binlog_is_told(base, server):
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    d.start().wait_state("streaming")
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 5)
    d.wait(5)
    d.stop()
    server.sql("FLUSH BINARY LOGS", "INSERT INTO shop.t VALUES ()", "FLUSH BINARY LOGS",
               "INSERT INTO shop.t VALUES ()")
    last = server.sql("SHOW BINARY LOGS")[-1]["Log_name"]

    def purged():  # the server notices only after a while that the replica has gone
        server.sql("PURGE BINARY LOGS TO '%s'" % last)
        return server.sql("SHOW BINARY LOGS")[0]["Log_name"] == last
    dc.wait_until(purged, what="the purge")
    d.start()
    try:
        d.wait_state("failed")
        s = d.status()
        assert s["rc"] == "lost_tail" and "binlog" in s["error"]
    finally:
        d.stop()


def test_lost_commits_are_noticed(base, server):
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    server.stop()
    shutil.copytree(server.datadir, base / "old", copy_function=shutil.copy2)
    server.start()
    d.start().wait_state("streaming")
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 5)
    d.wait(5)
    d.stop()
    server.stop()
    shutil.rmtree(server.datadir)
    shutil.copytree(base / "old", server.datadir, copy_function=shutil.copy2)
    subprocess.run(["chown", "-R", "--reference=%s" % (base / "old"), str(server.datadir)],
                   check=True)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "mysql:mysql", str(server.datadir)], check=True)
    server.start()
    d.start()
    try:
        d.wait_state("failed")
        assert d.status()["rc"] == "lost_tail"
        assert "ootstrap" in d.status()["error"]
    finally:
        d.stop()


def test_reused_gtids_are_noticed(base, server):
    """The database forgot commits and gave their GTIDs to other ones before we looked."""
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    d.start().wait_state("streaming")
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 2)
    d.wait(2)
    first = d.txns[0]["gtid"]
    d.kill()
    server.stop()
    # Cut the binlog where the first of them begins, and let the server go on from there.
    events, at = [], 4
    path = server.datadir / "binlog.000001"
    data = path.read_bytes()
    while at < len(data):
        kind, size = data[at + 4], int.from_bytes(data[at + 9:at + 13], "little")
        if kind == 162:
            events.append((int.from_bytes(data[at + 19:at + 27], "little"), at))
        at += size
    cut = [pos for seq_no, pos in events if seq_no == int(first.split("-")[2])][0]
    with open(path, "r+b") as f:
        f.truncate(cut)
    (server.datadir / "binlog.state").unlink()
    time.sleep(3)
    server.start()
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 3)
    assert server.one("SELECT @@gtid_binlog_pos").startswith("0-101-")
    d.start()
    try:
        d.wait_state("failed")
        assert d.status()["rc"] == "lost_tail"
    finally:
        d.stop()


def test_lost_state_dir_is_refused(base, server):
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    d.start().wait_state("streaming")
    server.sql("INSERT INTO shop.t VALUES ()")
    d.wait(1)
    d.stop()
    shutil.rmtree(d.state)
    d.start()
    try:
        d.wait_state("failed")
        assert d.status()["rc"] == "state" and "another state_dir" in d.status()["error"]
    finally:
        d.stop()


def test_peer_that_knows_more_is_refused(server, dump):
    dump.start(after=7)
    dc.wait_until(lambda: dump.failures, what="a refusal")
    assert dump.failures[0]["rc"] == "lost_tail"


def test_idle_is_silent(server, dump):
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    dump.start().wait_state("streaming")
    server.sql("INSERT INTO shop.t VALUES ()")
    dump.wait(1)
    dc.wait_until(lambda: dump.watermarks and dump.watermarks[-1]["seq"] == 1,
                  what="its watermark")
    size, marks = server.binlog_bytes(), dump.status()["watermarks"]
    time.sleep(1.5)
    assert server.binlog_bytes() == size
    assert dump.status()["watermarks"] == marks


def forget_boot(state):
    """As if the machine had been switched off: the head names another boot."""
    path = state / "journal" / "head"
    data = bytearray(path.read_bytes())
    data[17:53] = b"0" * 36
    crc = 0xffffffff
    for b in data[:60]:
        crc ^= b
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    data[60:64] = (crc ^ 0xffffffff).to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("peer_has", [2, 3])
def test_power_loss(base, server, peer_has):
    """The journal's end went with the power. What the peer has received decides."""
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    d.start().wait_state("streaming")
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 3)
    d.wait(3)
    before = [identity(t) for t in d.txns]
    d.kill()
    forget_boot(d.state)
    segment = d.state / "journal" / "00000000000000000001.seg"
    os.truncate(segment, 32 + 2 * 100 + 50)
    d.start(after=peer_has)
    try:
        if peer_has == 2:
            d.wait(1)
            assert d.txns[0]["seq"] == 3
            d.say("open 0")
            d.wait(4)
            assert [identity(t) for t in d.txns[1:3]] == before[:2]
        else:
            dc.wait_until(lambda: d.failures, what="a refusal")
            assert d.failures[0]["rc"] == "lost_tail"
            d.wait_state("failed")
            assert "power" in d.status()["error"]
    finally:
        d.stop()


def test_state_dir_that_cannot_be_written(base, server):
    """No stamp is shown before it is on disk; when there is room again it goes on."""
    d = Dump(base, server)
    server.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT)")
    # A limited file size fails a write as a full disk does; inherited and ignored SIGXFSZ.
    d.start(preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    d.wait_state("streaming")
    server.sql("INSERT INTO shop.t VALUES ()")
    d.wait(1)
    resource.prlimit(d.child.pid, resource.RLIMIT_FSIZE, (132 + 50, resource.RLIM_INFINITY))
    server.sql(*["INSERT INTO shop.t VALUES ()"] * 5)
    d.wait_state("journal_stuck")
    assert len(d.txns) == 1 and d.status()["head"] == 1
    resource.prlimit(d.child.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    d.wait(6)
    assert [t["seq"] for t in d.txns] == list(range(1, 7))
    assert d.status()["status"] == "streaming"
    d.stop()
    d.start().wait(6)
    d.stop()
