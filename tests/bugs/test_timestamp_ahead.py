"""tests/bugs/test_timestamp_ahead.py - a client that sets its own time.

A session may say SET timestamp (every dump that is loaded does), and the database's host may
have a clock that is ahead of the proxy's. Both stand in the GTID event as its commit time.
Capture believed that time twice. While it caught up it stamped such a write in that future: the
peer held it and everything behind it until its own clock came there. And at the next start it
took the time for proof that the database had lost commits and used their GTIDs again ("later
than the stamp in the journal"), and stopped for good.
"""
from tests.lib.dc import wait_until


def fresh_table(pair, db):
    pair.east.sql("CREATE TABLE `%s`.t (id INT PRIMARY KEY, v INT)" % db)
    pair.settle()


def write_ahead(pair, db, row, seconds=7200):
    pair.east.db.sql("SET timestamp=UNIX_TIMESTAMP()+%d" % seconds,
                     "INSERT INTO `%s`.t VALUES (%d, 1)" % (db, row))


def streaming(dc):
    return dc.proxy.status()["capture"]["state"] == "streaming"


def test_restart_after_a_write_of_the_future(own_pair):
    """Captured live, read again at the next start: it is the transaction of the journal."""
    pair = own_pair()
    pair.east.sql("CREATE DATABASE t_ahead")
    fresh_table(pair, "t_ahead")
    pair.link.cut()
    write_ahead(pair, "t_ahead", 1)
    pair.east.sql("INSERT INTO t_ahead.t VALUES (2, 1)")
    pair.east.proxy.kill()
    pair.east.proxy.start()
    wait_until(lambda: streaming(pair.east), 10, "capture streaming after the restart")
    pair.link.heal()
    pair.assert_equal("t_ahead")


def test_a_write_of_the_future_while_diarchy_is_down(own_pair):
    """Caught up with later: stamped now, not in two hours, so nothing is held."""
    pair = own_pair()
    pair.east.sql("CREATE DATABASE t_ahead")
    fresh_table(pair, "t_ahead")
    pair.east.proxy.kill()
    write_ahead(pair, "t_ahead", 1)
    pair.east.proxy.start()
    pair.assert_equal("t_ahead", timeout=20)
    assert pair.west.db.one("SELECT COUNT(*) FROM t_ahead.t") == 1
