"""tests/bugs/test_gtids_used_again.py - lost commits hidden by those that came after.

A database whose host loses power with relaxed flushing forgets its last commits, and gives
their GTIDs to the next ones. diarchy, on another host, lives on and connects again: when new
commits had passed the captured position by then, that position looked sound. The new
transactions below it were never captured, and what was forgotten stayed in the peer: two
databases that differ, and a status without a word about it. Now what was captured last is read
again after every reconnect, and must be what the journal says it was.
"""
import shutil
import signal
import subprocess
import time

from tests.lib.dc import wait_until


def errors(proxy):
    return [line for line in proxy.log_text().splitlines() if "level=error" in line]


def test_forgotten_commits_are_noticed_behind_new_ones(own_pair):
    pair = own_pair()
    east = pair.east
    east.sql("CREATE DATABASE t_again", "CREATE TABLE t_again.t (id INT PRIMARY KEY, v INT)",
             "INSERT INTO t_again.t VALUES (1, 1)")
    pair.settle()
    east.db.stop()
    kept = pair.base / "kept"
    subprocess.run(["cp", "-a", str(east.db.datadir), str(kept)], check=True)
    east.db.start()
    wait_until(lambda: east.sql("INSERT INTO t_again.t VALUES (2, 2)") == (), 20, "serving")
    # Nothing from west meanwhile, whose lost mark would give it away.
    wait_until(lambda: pair.west.db.one("SELECT v FROM t_again.t WHERE id=2"), 20, "row 2")
    lost_at = time.time()
    east.proxy.signal(signal.SIGSTOP)
    east.db.kill()
    shutil.rmtree(east.db.datadir)
    kept.rename(east.db.datadir)
    east.db.start()
    # A power loss is not over in the second in which it began; the binlog counts seconds.
    wait_until(lambda: time.time() > lost_at + 1, 5, "the next second")
    for i in range(10, 40):
        east.db.sql("INSERT INTO t_again.t VALUES (%d, 0)" % i)
    east.proxy.signal(signal.SIGCONT)
    wait_until(lambda: east.proxy.status()["capture"]["state"] == "failed", 20,
               "capture noticing that its transactions are gone")
    assert any("lost" in line for line in errors(east.proxy))
    # Nothing of the other history goes out.
    assert pair.west.db.one("SELECT GROUP_CONCAT(id ORDER BY id) FROM t_again.t") == "1,2"


def test_an_ordinary_restart_is_none(own_pair):
    """Under writes, again and again: what is read twice is not applied twice."""
    pair = own_pair()
    east = pair.east
    east.sql("CREATE DATABASE t_again",
             "CREATE TABLE t_again.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
    pair.settle()
    for _ in range(3):
        for i in range(50):
            east.db.sql("INSERT INTO t_again.t (v) VALUES (%d)" % i)
            pair.west.db.sql("INSERT INTO t_again.t (v) VALUES (%d)" % i)
        east.db.kill()
        east.db.start()
    pair.assert_equal("t_again")
    assert east.db.one("SELECT COUNT(*) FROM t_again.t") == 300
    assert not errors(east.proxy)
