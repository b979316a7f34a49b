"""sysbench in both DCs on the same tables while everything around it breaks: the link, both
proxies, both databases, and DDL in between. Nothing is claimed of single transactions
here (test_register.py does that); the DCs must end equal.

CHAOS_ROUNDS (2) of 12 seconds each, CHAOS_SEED (random, printed).
"""
import os
import random
import subprocess
import threading
import time

import pymysql

from test_sysbench import sysbench
from tests.lib.dc import APP

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "2"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
SECONDS, TABLES, SIZE = 12, 3, 500


class Load(threading.Thread):
    """sysbench again and again: it gives up when its connections break."""

    def __init__(self, port, stop):
        super().__init__(daemon=True)
        self.port, self.halt, self.done = port, stop, 0

    def run(self):
        argv = ["sysbench", "oltp_read_write", "--db-driver=mysql", "--mysql-host=127.0.0.1",
                "--mysql-port=%d" % self.port, "--mysql-user=" + APP[0],
                "--mysql-password=" + APP[1], "--mysql-db=sbtest", "--threads=4", "--time=3",
                "--tables=%d" % TABLES, "--table-size=%d" % SIZE, "--auto-inc=off",
                "--mysql-ignore-errors=all", "run"]
        while not self.halt.is_set():
            out = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True).stdout
            self.done += "transactions:" in out
            self.halt.wait(0.1)


def some_ddl(rng, dc):
    name = "sbtest.x%d" % rng.randrange(1 << 30)
    statements = ["CREATE TABLE %s (id INT PRIMARY KEY, v INT)" % name,
                  "INSERT INTO %s SELECT seq, seq FROM sbtest.seq_1_to_50" % name,
                  "ALTER TABLE %s ADD z INT DEFAULT 3" % name, "UPDATE %s SET v=v+1" % name]
    if rng.random() < 0.5:
        statements.append("DROP TABLE %s" % name)
    try:
        dc.db.sql(*statements)
    except pymysql.err.OperationalError:
        pass  # in vain while the database is away


def trouble(rng, two):
    dc = rng.choice(two.dcs)
    kind = rng.randrange(8)
    pause = rng.uniform(0, 1)
    if kind == 0:
        two.link.cut()
        time.sleep(pause)
        two.link.heal()
    elif kind == 1:
        two.link.freeze()
        time.sleep(pause)
        two.link.heal()
    elif kind == 2:
        dc.proxy.kill()
        time.sleep(pause)
        dc.proxy.start(ready=False)
    elif kind == 3:
        dc.db.kill()
        time.sleep(pause)
        dc.db.start()
    elif kind == 4:
        dc.db.restart()
    elif kind == 5:
        two.link.delay(rng.choice((0, 5, 30)))
    else:
        some_ddl(rng, dc)


def test_chaos(own_pair):
    print("CHAOS_SEED=%d" % SEED)
    rng = random.Random(SEED)
    two = own_pair(name="chaos", db_options={"innodb-flush-log-at-trx-commit": 1,
                                             "sync-binlog": 1})
    two.east.db.sql("CREATE DATABASE sbtest")
    two.settle()
    sysbench(two.east.proxy.port, "prepare", tables=TABLES, table_size=SIZE, auto_inc="off")
    for number in range(ROUNDS):
        stop = threading.Event()
        loads = [Load(dc.proxy.port, stop) for dc in two.dcs]
        for load in loads:
            load.start()
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                time.sleep(rng.uniform(0.2, 1.5))
                trouble(rng, two)
        finally:
            stop.set()
            for load in loads:
                load.join(60)
        two.link.delay(0)
        for dc in two.dcs:
            dc.proxy.wait_ready(60)
        two.assert_equal("sbtest", timeout=120)
        conflicts = [len(two.conflicts(dc)) for dc in two.dcs]
        print("round %d: equal, %s conflicts so far" % (number + 1, conflicts))
    assert any(conflicts), "no conflict at all: nothing was shown"
