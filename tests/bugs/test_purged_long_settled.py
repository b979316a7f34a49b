"""tests/bugs/test_purged_long_settled.py - a start that asked for more binlog than it needs.

A restart reads from the oldest rebuild point, and points that were settled went only sixteen at
a time. A datacenter with a few writes a day kept points of weeks: expire_logs_days took the
binlog they named, and the next start ended with "the binlog has been purged, bootstrap again",
although the peer had had everything for weeks.
"""
from tests.lib.dc import wait_until


def test_settled_history_may_be_purged(own_pair):
    pair = own_pair()
    east = pair.east
    east.sql("CREATE DATABASE t_purged", "CREATE TABLE t_purged.t (id INT PRIMARY KEY)",
             "INSERT INTO t_purged.t VALUES (1)")
    pair.settle()
    east.db.sql("FLUSH BINARY LOGS")
    east.db.sql("INSERT INTO t_purged.t VALUES (2)")
    last = [r["Log_name"] for r in east.db.sql("SHOW BINARY LOGS")][-1]
    wait_until(lambda: east.proxy.status()["capture"]["needed_binlog_file"] == last, 60,
               "the first file being needed no more")
    east.proxy.kill()
    east.db.sql("PURGE BINARY LOGS TO '%s'" % last)
    assert len(east.db.sql("SHOW BINARY LOGS")) == 1
    east.proxy.start()
    east.db.sql("INSERT INTO t_purged.t VALUES (3)")
    pair.assert_equal("t_purged")
