"""Diarchy ends at each DIA_FAULT, as by kill -9, while clients write and DDL runs in both
datacenters; it is started again and everything must be as if nothing had happened.

Needs a build with -DFAULTS=ON in DIARCHY_BIN (tests/run.sh fault makes one). The points are
those of the sources: one without a line here, or one never passed, is a failure.
"""
import os
import re
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from tests.lib import register
from tests.lib.dc import ROOT, TwoDC, diarchy_binary, wait_until

EXIT = 86
REGISTERS = 4
CLIENTS = 2
MARGIN = 1.5  # stamps of what was read late are ordered by whole seconds

# At which passage the process ends. Some are passed by the start alone; then a later one.
POINTS = {
    "run_prepared": 1, "run_engine_started": 1, "run_before_clients": 1,
    "capture_stamped": 3, "capture_journaled": 3, "capture_announced": 3,
    "capture_published": 3,
    "apply_written": 2, "apply_before_commit": 2, "apply_committed": 2,
    "ddl_before": 1, "ddl_executed": 1, "ddl_marked": 1,
    "peer_received": 4, "peer_encoded": 4, "peer_acked": 4,
    "journal_point": 1, "journal_prune": 1, "journal_points_swapped": 1,
}
# Slow to come by, so once is enough: a peer knocks more seldom at each failure, housekeeping
# comes every few seconds, and the last one needs many points.
ONCE = ("peer_received", "peer_encoded", "peer_acked",
        "journal_point", "journal_prune", "journal_points_swapped")
# Every point stops one DC; these, where the two differ in what they have to decide, both.
BOTH = ("capture_stamped", "capture_journaled", "apply_before_commit", "apply_committed",
        "ddl_executed")
ROUNDS = [(name, "east" if i % 2 else "west") for i, name in enumerate(POINTS)]
ROUNDS += [(name, "west" if dc == "east" else "east") for name, dc in ROUNDS if name in BOTH]


class InSchema:
    """A DC whose connections start in the test's schema."""

    def __init__(self, dc):
        self._dc, self.name = dc, dc.name

    def connect(self, **kw):
        return self._dc.connect(database="t_fault", **kw)


class World:
    """Two DCs and what was done to them so far."""

    def __init__(self):
        self.two = TwoDC(name="fault")
        self.round = 0
        self.ddl_done = {"east": 0, "west": 0}

    def start(self):
        self.two.start()
        self.two.east.db.sql(
            "CREATE DATABASE t_fault",
            "CREATE TABLE t_fault.registers (round INT, id INT, v VARCHAR(60), n INT,"
            " PRIMARY KEY (round, id))",
            "CREATE TABLE t_fault.tokens (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
            " token VARCHAR(60) NOT NULL, KEY (token))",
            "CREATE TABLE t_fault.seed (id INT PRIMARY KEY, v INT)",
            "INSERT INTO t_fault.seed VALUES (1, 1), (2, 2), (3, 3)",
            "CREATE TABLE t_fault.east (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE t_fault.west (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE t_fault.bulk (id INT AUTO_INCREMENT PRIMARY KEY)")
        self.two.settle()
        return self

    def ddl(self):
        """Two statements in each DC: one that a second execution repeats without an error, and
        one with rows. Past the proxy, so that they happen whatever it is doing."""
        for dc in self.two.dcs:
            n = self.ddl_done[dc.name] = self.ddl_done[dc.name] + 1
            dc.db.sql("ALTER TABLE t_fault.%s ADD INDEX (v)" % dc.name,
                      "CREATE TABLE t_fault.made_%s_%d (PRIMARY KEY (id))"
                      " AS SELECT id, v FROM t_fault.seed" % (dc.name, n))


@pytest.fixture(scope="module")
def world():
    assert b"stopped_here" in diarchy_binary().read_bytes(), (
        "%s has no faults: build with -DFAULTS=ON" % diarchy_binary())
    w = World()
    try:
        yield w.start()
    finally:
        w.two.stop()


@pytest.fixture(autouse=True)
def shown(request, world):
    """The diagnosis of both DCs goes with a failure."""
    request.node.pairs = [world.two]


def start_armed(dc, name, passage):
    dc.proxy.write_config()
    dc.proxy.spawn([diarchy_binary(), "run", "--config", dc.proxy.config],
                   env=dict(os.environ, DIARCHY_FAULT="%s:%d" % (name, passage)))


def many_points(dc):
    """A rebuild point stands every 1,000 groups; old ones are cut off from 17 on."""
    dc.db.sql("BEGIN NOT ATOMIC FOR i IN 1 .. 20000 DO"
              " INSERT INTO t_fault.bulk () VALUES (); END FOR; END")


def stop_at(world, dc, name, passage):
    """Runs dc's diarchy until it ends at that point."""
    dc.proxy.kill()
    start_armed(dc, name, passage)
    world.ddl()
    if name == "journal_points_swapped":
        many_points(dc)
    wait_until(lambda: dc.proxy.exited() is not None, 40, "%s ending at %s" % (dc, name))
    assert dc.proxy.exited() == EXIT, "%s ended with %s:\n%s" % (
        dc, dc.proxy.exited(), dc.proxy.log_tail())
    assert "event=stopped_here name=" + name in dc.proxy.log_tail(5)


def marks(dc, start):
    """The applied marks in dc's binlog from `start` on, as (origin, seq, stamp)."""
    # A file that is still written may end within an event.
    dc.db.sql("FLUSH BINARY LOGS")
    files = [r["Log_name"] for r in dc.db.sql("SHOW BINARY LOGS")][:-1]
    files = files[files.index(start["File"]):]
    done = subprocess.run(
        ["mariadb-binlog", "--no-defaults", "--base64-output=decode-rows", "-v",
         "--start-position=%d" % start["Position"]] + [str(dc.db.datadir / f) for f in files],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    # It refuses a GTID that is not above those before it: something was written twice.
    assert done.returncode == 0, "%s: %s" % (dc, done.stderr)
    found = re.findall(r"^### (?:UPDATE|INSERT INTO) `diarchy`\.`applied`\n"
                       r"(?:### WHERE\n(?:###   @.*\n)+)?### SET\n"
                       r"###   @1=(\d+)\b.*\n###   @2=(\d+)\b.*\n###   @3=(\d+)\b",
                       done.stdout, re.M)
    return [tuple(map(int, mark)) for mark in found]


def stamps(dc):
    """Sequence to stamp, from dc's journal (layout: proxy/store/record.h); what everybody has
    settled long ago is gone from it."""
    found = {}
    for segment in sorted((dc.proxy.state_dir / "journal").glob("*.seg")):
        data = segment.read_bytes()
        for at in range(32, len(data) - 103, 104):
            seq, stamp = struct.unpack_from("<QQ", data, at)
            found[seq] = stamp
    return found


def run_round(world, dc, name):
    two = world.two
    world.round += 1
    two.east.db.sql(*["INSERT INTO t_fault.registers VALUES (%d, %d, 'start', 0)"
                      % (world.round, i) for i in range(REGISTERS)])
    two.settle()
    stop = threading.Event()
    clients = [register.Client(InSchema(d), i, world.round, REGISTERS,
                               world.round * 100 + d.id * 10 + i, stop)
               for d in two.dcs for i in range(CLIENTS)]
    for c in clients:
        c.start()
    try:
        stop_at(world, dc, name, POINTS[name])
        if name not in ONCE:
            # And while it recovers from that.
            stop_at(world, dc, name, 1)
        dc.proxy.start()
        before = sum(len(c.ops) for c in clients if c.dc.name == dc.name)
        wait_until(lambda: sum(len(c.ops) for c in clients if c.dc.name == dc.name)
                   > before + 10, 20, "clients of %s writing again" % dc)
    finally:
        stop.set()
        for c in clients:
            c.join(60)
    assert not any(c.is_alive() for c in clients), "a client hangs"
    two.settle()
    return clients


def wrong_rows(world, clients):
    two = world.two
    rows = {d.name: {r["id"]: r["v"] for r in d.db.sql(
        "SELECT id, v FROM t_fault.registers WHERE round=%d" % world.round)} for d in two.dcs}
    tokens = {d.name: [r["token"] for r in d.db.sql(
        "SELECT token FROM t_fault.tokens WHERE token LIKE '%%-%d-%%-%%'" % world.round)
        if r["token"].split("-")[1] == str(world.round)] for d in two.dcs}
    ops = [op for c in clients for op in c.ops]
    wrong = register.judge(rows, tokens, ops, MARGIN)
    wrong += ["client of %s: %r" % (c.dc.name, e) for c in clients for e in c.surprises[:3]]
    if sum(op.outcome == register.ACKED for op in ops) < 20:
        wrong.append("too few acknowledged transactions: the round shows nothing")
    return wrong


def wrong_schema(world):
    wrong = []
    for d in world.two.dcs:
        for table, n in world.ddl_done.items():
            found = d.db.one("SELECT COUNT(*) FROM information_schema.statistics WHERE"
                             " table_schema='t_fault' AND table_name='%s' AND"
                             " column_name='v'" % table)
            made = d.db.one("SELECT COUNT(*) FROM information_schema.tables WHERE"
                            " table_schema='t_fault' AND table_name LIKE 'made\\_%s\\_%%'"
                            % table)
            if (found, made) != (n, n):
                wrong.append("%s: %d DDL pairs of %s, but %d indexes and %d tables" % (
                    d, n, table, found, made))
    return wrong


def wrong_reports(world, starts, logs):
    wrong = []
    for d in world.two.dcs:
        status = {r["Name"]: r["Value"] for r in d.sql("SHOW DIARCHY STATUS")}
        if status["ready"] != "yes":
            wrong.append("%s is not ready: %s" % (d, status))
        wrong += ["%s: %s" % (d, line) for line in d.proxy.log_text()[logs[d.name]:].splitlines()
                  if "level=error" in line]
        wrong += ["%s: conflict record %s" % (d, c) for c in world.two.conflicts(d)
                  if not re.fullmatch("(insert|update|delete)_(insert|update|delete)",
                                      c["type"])]
        wrong += ["%s set %s rows right without a rival" % (d, n)
                  for n in re.findall(r'"repairs": *([1-9]\d*)', d.proxy.http("/status")[1])]
        known, last = stamps(world.two.other(d)), 0
        for _, seq, stamp in marks(d, starts[d.name]):
            if seq <= last:
                wrong.append("%s: mark %d after %d" % (d, seq, last))
            # A restart must not stamp anew what the peer may have.
            if seq >= min(known) and known.get(seq) != stamp:
                wrong.append("%s: transaction %d was applied with stamp %d, the origin's journal"
                             " says %s" % (d, seq, stamp, known.get(seq)))
            last = seq
        if not last:
            wrong.append("%s: no mark in its binlog" % d)
    return wrong


@pytest.mark.parametrize("name,where", ROUNDS)
def test_stop(world, name, where):
    two = world.two
    starts = {d.name: d.db.sql("SHOW MASTER STATUS")[0] for d in two.dcs}
    logs = {d.name: len(d.proxy.log_text()) for d in two.dcs}
    clients = run_round(world, getattr(two, where), name)
    wrong = wrong_rows(world, clients) + wrong_schema(world)
    wrong += wrong_reports(world, starts, logs) + two.differences("t_fault")
    assert not wrong, "\n".join(wrong[:40])


def test_every_point_of_the_sources_is_here():
    found = set()
    for source in Path(ROOT / "proxy").rglob("*.c"):
        found |= set(re.findall(r'DIA_FAULT\("(\w+)"\)', source.read_text()))
    assert found == set(POINTS)
