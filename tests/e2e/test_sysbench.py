"""sysbench oltp_read_write in both DCs at once on the same tables through the proxies: no
client error that a direct connection would not have, equal tables afterwards.

SYSBENCH_SECONDS (8) per run.
"""
import os
import re
import subprocess
import time

import pytest

from tests.lib.dc import APP

SECONDS = int(os.environ.get("SYSBENCH_SECONDS", "8"))


def sysbench(port, *words, wait=True, **options):
    argv = ["sysbench", options.pop("script", "oltp_read_write"), "--db-driver=mysql",
            "--mysql-host=127.0.0.1", "--mysql-port=%d" % port, "--mysql-user=" + APP[0],
            "--mysql-password=" + APP[1], "--mysql-db=sbtest"]
    argv += ["--%s=%s" % (k.replace("_", "-"), v) for k, v in options.items()] + list(words)
    run = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    return finish(run) if wait else run


def finish(run, timeout=180):
    try:
        out, _ = run.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        run.kill()
        out, _ = run.communicate()
        raise AssertionError("sysbench did not end:\n" + out)
    assert run.returncode == 0 and "FATAL" not in out, out
    return out


def transactions(out):
    return int(re.search(r"transactions:\s+(\d+)", out).group(1))


def prepare(pair, size, tables=2):
    pair.east.db.sql("DROP DATABASE IF EXISTS sbtest", "CREATE DATABASE sbtest")
    pair.settle()
    # Tables, rows and the secondary index go to the other DC as DDL and row events.
    sysbench(pair.east.proxy.port, "prepare", tables=tables, table_size=size, auto_inc="off")
    pair.assert_equal("sbtest", timeout=60)


RUNS = [
    ("text", {"db_ps_mode": "disable"}, 1000),
    ("prepared", {"db_ps_mode": "auto"}, 1000),
    ("hot", {"db_ps_mode": "auto", "rand_type": "pareto"}, 60),
    ("hot_text", {"db_ps_mode": "disable", "rand_type": "uniform"}, 40),
]


@pytest.mark.parametrize("name,options,size", RUNS, ids=[r[0] for r in RUNS])
def test_both_at_once(pair, name, options, size):
    prepare(pair, size)
    runs = [sysbench(dc.proxy.port, "run", wait=False, tables=2, table_size=size, threads=4,
                     time=SECONDS, auto_inc="off", **options) for dc in pair.dcs]
    outs = [finish(r) for r in runs]
    done = [transactions(o) for o in outs]
    assert min(done) > 20 * SECONDS, "hardly anything was done: %s\n%s" % (done, "\n".join(outs))
    pair.assert_equal("sbtest", timeout=120)
    conflicts = [len(pair.conflicts(dc)) for dc in pair.dcs]
    print("%s: %s transactions, conflicts recorded so far %s" % (name, done, conflicts))


def test_both_at_once_over_a_slow_fibre(pair):
    """20 ms each way: many changes are in flight and concurrent."""
    prepare(pair, 200)
    pair.link.delay(20)
    try:
        runs = [sysbench(dc.proxy.port, "run", wait=False, tables=2, table_size=200, threads=3,
                         time=SECONDS, auto_inc="off") for dc in pair.dcs]
        for r in runs:
            finish(r)
        pair.assert_equal("sbtest", timeout=120)
    finally:
        pair.link.delay(0)
    assert any(pair.conflicts(dc) for dc in pair.dcs), "no conflict in such a run is not credible"


def test_both_at_once_with_cuts(pair):
    """The link goes away and comes back while both write."""
    prepare(pair, 300)
    runs = [sysbench(dc.proxy.port, "run", wait=False, tables=2, table_size=300, threads=3,
                     time=SECONDS, auto_inc="off") for dc in pair.dcs]
    for i in range(4):
        time.sleep(SECONDS / 10)
        pair.link.cut() if i % 2 else pair.link.freeze()
        time.sleep(SECONDS / 10)
        pair.link.heal()
    for r in runs:
        finish(r)
    pair.assert_equal("sbtest", timeout=120)


def test_write_only_and_point_select(pair):
    prepare(pair, 500)
    runs = [sysbench(pair.east.proxy.port, "run", wait=False, script="oltp_write_only", tables=2,
                     table_size=500, threads=4, time=SECONDS // 2, auto_inc="off"),
            sysbench(pair.west.proxy.port, "run", wait=False, script="oltp_point_select", tables=2,
                     table_size=500, threads=4, time=SECONDS // 2)]
    for r in runs:
        finish(r)
    pair.assert_equal("sbtest", timeout=60)
