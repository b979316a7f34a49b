"""tests/bugs/test_reset_master.py - a binlog that is taken away under its reader.

RESET MASTER removes the files while the server's dump thread goes on at the end of one that has
no name any more: heartbeats every half second, and never another event. The status said
"streaming" with no lag, and nothing of what was written since reached the other datacenter.
Capture now compares the server's position with its own every few seconds.
"""
import pytest

from tests.lib.dc import wait_until


@pytest.mark.parametrize("rows", [0, 40], ids=["position-lower", "position-passed"])
def test_reset_master_is_noticed(own_pair, rows):
    pair = own_pair()
    pair.east.sql("CREATE DATABASE t_reset", "CREATE TABLE t_reset.t (id INT PRIMARY KEY)")
    pair.settle()
    # Past the proxy, which refuses it.
    pair.east.db.sql("RESET MASTER", *["INSERT INTO t_reset.t VALUES (%d)" % i
                                      for i in range(rows)])
    wait_until(lambda: pair.east.proxy.status()["capture"]["state"] == "failed", 30,
               "capture telling that its binlog is gone")
    assert "RESET MASTER" in pair.east.proxy.status()["capture"]["error"] or rows
