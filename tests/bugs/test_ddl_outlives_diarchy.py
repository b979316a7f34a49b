"""tests/bugs/test_ddl_outlives_diarchy.py - the server goes on with the statement of a client
that is gone.

Diarchy was killed while the server rebuilt a table for a statement of the peer. The next one
asked whether that statement was done, was told no, and began it again, behind the first: the
datacenter had two indexes where the other had one. A statement whose connection alone was lost
went the same way.
"""
from tests.lib.dc import wait_until


def running(dc):
    """Connections of diarchy that are at the statement, or wait for its table."""
    return [r["Id"] for r in dc.db.sql("SHOW PROCESSLIST") if r["User"] == "diarchy"
            and (r["Info"] or "").startswith("ALTER TABLE `t_outlives`")]


def test_a_statement_that_outlives_diarchy_is_not_repeated(own_pair):
    pair = own_pair(name="outlives")
    pair.east.db.sql("CREATE DATABASE t_outlives", "USE t_outlives",
                     "CREATE TABLE t (id INT PRIMARY KEY, v INT, f CHAR(200) NOT NULL)",
                     "INSERT INTO t SELECT seq, seq, 'x' FROM seq_1_to_150000")
    pair.settle()
    pair.east.db.sql("ALTER TABLE `t_outlives`.t ADD INDEX (v), ALGORITHM=COPY")
    first = wait_until(lambda: running(pair.west), 20, "the statement running in west", poll=0.01)
    pair.west.proxy.kill()
    assert running(pair.west) == first, "it was done too soon to show anything"
    pair.west.proxy.start(ready=False)
    pair.assert_equal("t_outlives")
    assert pair.conflicts(pair.west) == []
