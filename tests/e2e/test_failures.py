"""What goes wrong in operation: hostile bytes, purged binlogs, a restored old database, a
lost state folder, a peer that stands still, a backlog larger than memory should be.

The rule for what cannot be repaired by itself: it is told as an error in the log, nothing
diverges in silence, and the other datacenter keeps serving.
"""
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pymysql
import pytest

from tests.lib.dc import wait_until


def errors(proxy):
    return [line for line in proxy.log_text().splitlines() if "level=error" in line]


def wait_error(proxy, *words, timeout=30):
    """An error line with all these words; the process may have ended over it."""
    def told():
        return [e for e in errors(proxy) if all(w in e for w in words)]
    return wait_until(told, timeout, "%s telling an error with %s" % (proxy.name, words))[0]


def two_with_rows(own_pair, name, rows=5):
    two = own_pair(name=name)
    two.east.sql("CREATE DATABASE t_f", "CREATE TABLE t_f.t (id INT PRIMARY KEY, v VARCHAR(30))",
                 "INSERT INTO t_f.t VALUES %s" % ",".join("(%d, 'x')" % i for i in range(rows)))
    two.assert_equal("t_f")
    return two


def rss_mib(pid):
    text = Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def test_hostile_bytes_harm_nobody(pair, db):
    rng = random.Random(7)
    ports = [p for dc in pair.dcs for p in (dc.proxy.peer_port, dc.proxy.port,
                                            dc.proxy.admin_port)]
    shapes = [b"", b"\x00" * 5000, b"\xff" * 5000, b"GET / HTTP/1.1\r\n\r\n",
              b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"A" * 300,
              b"\xff\xff\xff\x00" + b"\x00" * 100, rng.randbytes(20000)]
    for port in ports:
        for data in shapes + [rng.randbytes(rng.randrange(1, 400)) for _ in range(20)]:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.settimeout(0.05)
                try:
                    s.sendall(data)
                    s.recv(100)
                except OSError:
                    pass
    pair.east.sql("CREATE TABLE `%s`.t (id INT PRIMARY KEY)" % db)
    pair.assert_equal(db)
    assert pair.healthy()


def test_a_silent_stranger_does_not_hold_the_door(pair, db):
    """Half-open peers occupy nothing that the real one needs."""
    held = [socket.create_connection(("127.0.0.1", dc.proxy.peer_port), 5)
            for dc in pair.dcs for _ in range(30)]
    try:
        pair.link.cut()
        pair.east.sql("CREATE TABLE `%s`.t (id INT PRIMARY KEY)" % db)
        pair.link.heal()
        pair.settle(timeout=40)
        assert pair.tables(pair.west, db)
    finally:
        for s in held:
            s.close()


def test_peer_standing_still(pair, db):
    """West's diarchy stops dead for a while: east serves on, then everything arrives."""
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, v VARBINARY(2000))" % t)
    pair.settle()
    pair.west.proxy.signal(signal.SIGSTOP)
    try:
        with pair.east.connect() as c, c.cursor() as cur:
            for i in range(2000):
                cur.execute("INSERT INTO %s VALUES (%d, RANDOM_BYTES(1000))" % (t, i))
    finally:
        pair.west.proxy.signal(signal.SIGCONT)
    pair.assert_equal(db)


def test_backlog_larger_than_memory(pair, db):
    """300 MiB written while the link is cut: it waits in the binlog, not in memory."""
    t = "`%s`.t" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, b LONGBLOB)" % t)
    pair.settle()
    pair.link.cut()
    with pair.east.connect(max_allowed_packet=64 << 20) as c, c.cursor() as cur:
        for i in range(150):
            cur.execute("INSERT INTO %s VALUES (%d, REPEAT(CHAR(%d), 2097152))" % (t, i, i % 250))
    after_writes = rss_mib(pair.east.proxy.pid)
    pair.link.heal()
    peak = [0, 0]

    def watch():
        for i, dc in enumerate(pair.dcs):
            peak[i] = max(peak[i], rss_mib(dc.proxy.pid))
        return pair.west.db.one("SELECT COUNT(*) FROM %s" % t) == 150
    wait_until(watch, 120, "150 rows of 2 MiB in west")
    pair.assert_equal(db, timeout=120)
    assert after_writes < 250 and max(peak) < 400, (
        "MiB resident: east %d after the writes, then at most east %d, west %d"
        % (after_writes, *peak))


def test_purged_binlog_is_an_error(own_pair):
    two = two_with_rows(own_pair, "purged")
    two.east.proxy.stop()
    two.east.db.sql("INSERT INTO t_f.t VALUES (100, 'never read')", "FLUSH BINARY LOGS",
                    "INSERT INTO t_f.t VALUES (101, 'also')")
    last = two.east.db.sql("SHOW BINARY LOGS")[-1]["Log_name"]

    def purged():
        two.east.db.sql("PURGE BINARY LOGS TO '%s'" % last)
        return len(two.east.db.sql("SHOW BINARY LOGS")) == 1
    wait_until(purged, 60, "the server letting go of the log that nobody reads any more")
    two.east.proxy.start(ready=False)
    wait_error(two.east.proxy)
    # Never "all is well" with a hole in it.
    assert not two.west.db.one("SELECT COUNT(*) FROM t_f.t WHERE id=101")
    assert two.west.one("SELECT COUNT(*) FROM t_f.t") == 5


@pytest.mark.parametrize("who", ["east", "west"])
def test_restored_old_database_is_an_error(own_pair, who):
    """A server that forgot what the peer has: noticed, its identities not used again."""
    two = two_with_rows(own_pair, "forgot-" + who)
    dc = getattr(two, who)
    there = two.other(dc)
    dc.db.stop()
    kept = two.base / "kept"
    subprocess.run(["cp", "-a", str(dc.db.datadir), str(kept)], check=True)
    dc.db.start()
    dc.proxy.wait_ready()
    wait_until(lambda: dc.sql("INSERT INTO t_f.t VALUES (50, 'forgotten')") == (), 20, "serving")
    two.settle()
    assert there.db.one("SELECT COUNT(*) FROM t_f.t WHERE id=50") == 1
    dc.db.stop()
    shutil.rmtree(dc.db.datadir)
    kept.rename(dc.db.datadir)
    before = len(errors(dc.proxy)) + len(errors(there.proxy))
    dc.db.start()
    dc.db.sql("INSERT INTO t_f.t VALUES (60, 'another history')")
    wait_until(lambda: len(errors(dc.proxy)) + len(errors(there.proxy)) > before, 30,
               "an error in either log after %s forgot commits" % who)
    # What happened since must not take the place of what was forgotten.
    assert there.db.one("SELECT v FROM t_f.t WHERE id=50") == "forgotten"
    assert there.one("SELECT COUNT(*) FROM t_f.t WHERE id < 50") == 5


def test_lost_state_folder_is_noticed(own_pair):
    """Without its journal a DC cannot tell old stamps from new: a new identity, told."""
    two = two_with_rows(own_pair, "state")
    two.east.proxy.stop()
    shutil.rmtree(two.east.proxy.state_dir)
    two.east.proxy.state_dir.mkdir()
    before = len(errors(two.west.proxy))
    two.east.proxy.start(ready=False)
    wait_until(lambda: len(errors(two.west.proxy)) > before or errors(two.east.proxy), 30,
               "an error about east's new identity")
    assert two.west.one("SELECT COUNT(*) FROM t_f.t") == 5


def test_database_away_for_a_while(own_pair):
    """West's database is down under load in east; diarchy there waits and catches up."""
    two = two_with_rows(own_pair, "away")
    two.west.db.kill()
    for i in range(100, 400):
        two.east.sql("INSERT INTO t_f.t VALUES (%d, 'meanwhile')" % i)
    assert two.west.proxy.alive()
    assert two.west.proxy.http("/healthz")[0] == 200
    two.west.db.start()
    two.assert_equal("t_f")


def test_client_sees_a_lost_database_as_such(own_pair):
    """No hanging: a client whose server died gets an error at once, a new one soon too."""
    two = own_pair(name="lost")
    c = two.east.connect(read_timeout=20, connect_timeout=10)
    two.east.db.kill()
    begun = time.monotonic()
    with pytest.raises(pymysql.err.MySQLError):
        with c.cursor() as cur:
            cur.execute("SELECT 1")
    with pytest.raises(pymysql.err.MySQLError):
        two.east.connect(read_timeout=20, connect_timeout=10)
    assert time.monotonic() - begun < 10
    two.east.db.start()
    wait_until(lambda: two.east.one("SELECT 1") == 1, 20, "serving again")
