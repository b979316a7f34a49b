"""tests/bench/delay.py - from commit in one DC to visible in the other, at a steady rate.

A writer commits single-row inserts on the source server at a fixed rate and notes when
each was acknowledged; a reader on the other server asks again and again for rows it has
not seen and notes when each appeared. Both are processes of their own and use the same
monotonic clock. The reader's round trip (printed) bounds the resolution. Both contestants
run the same writer and reader against servers with the same options.
"""
import multiprocessing
import shutil
import time

import pymysql

from tests.bench.drain import REPLICA_OPTIONS, follow
from tests.bench.measure import median, percentile, print_table
from tests.lib.dc import MariaDB, TwoDC, run_dir, wait_until


def connect(socket):
    return pymysql.connect(unix_socket=socket, user="root", autocommit=True, database="t_delay")


def write(socket, first, count, rate, out):
    """Insert ids first.. at `rate` per second; put their times of acknowledgement."""
    done = []
    with connect(socket) as c, c.cursor() as cur:
        begun = time.monotonic()
        for i in range(count):
            wait = begun + i / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            cur.execute("INSERT INTO t (id, v) VALUES (%d, 'a row of some ordinary length')"
                        % (first + i))
            done.append(time.monotonic())
    out.put(done)


def read(socket, first, count, out):
    """Note when each id first appeared. Out of order is possible: gaps are asked again."""
    seen, polls = {}, 0
    lowest = first
    end = time.monotonic() + 120
    with connect(socket) as c, c.cursor() as cur:
        begun = time.monotonic()
        while len(seen) < count and time.monotonic() < end:
            cur.execute("SELECT id FROM t WHERE id >= %d" % lowest)
            now = time.monotonic()
            polls += 1
            for (key,) in cur.fetchall():
                seen.setdefault(key, now)
            while lowest in seen:
                lowest += 1
            # Leaves the cores to those that are measured; part of the resolution.
            time.sleep(0.0002)
        interval = (time.monotonic() - begun) / polls
    out.put((seen, interval))


def measure(source, target, first, config):
    count, rate = config["delay_rate"] * config["delay_seconds"], config["delay_rate"]
    wrote, saw = multiprocessing.Queue(), multiprocessing.Queue()
    reader = multiprocessing.Process(target=read, args=(str(target.socket), first, count, saw))
    writer = multiprocessing.Process(target=write,
                                     args=(str(source.socket), first, count, rate, wrote))
    reader.start()
    writer.start()
    acked = wrote.get(timeout=config["delay_seconds"] + 120)
    seen, interval = saw.get(timeout=150)
    writer.join()
    reader.join()
    if len(seen) != count:
        raise AssertionError("%d of %d rows became visible" % (len(seen), count))
    delays = [(seen[first + i] - at) * 1000 for i, at in enumerate(acked)]
    # Skip the first second: connections and caches warm up in both.
    delays = delays[rate:]
    return {"median_ms": median(delays), "p99_ms": percentile(delays, 99), "max_ms": max(delays),
            "poll_ms": interval * 1000,
            "achieved_per_s": (len(acked) - 1) / (acked[-1] - acked[0])}


class NativePair:
    def __init__(self, options):
        base = run_dir() / "native-pair"
        shutil.rmtree(base, ignore_errors=True)
        self.source = MariaDB("source", base / "source", 71, options).start()
        self.replica = MariaDB("replica", base / "replica", 72,
                               dict(options, **REPLICA_OPTIONS,
                                    **{"log-slave-updates": "ON"})).start()
        for server in (self.source, self.replica):
            server.create_accounts()
        self.source.sql("RESET MASTER")
        follow(self.replica, self.source, "")
        self.replica.sql("START SLAVE")

    def stop(self):
        self.source.kill()
        self.replica.kill()


def bench(config):
    options = {"innodb-flush-log-at-trx-commit": config["flush"]}
    two = TwoDC("delay", db_options=options, fibre=False).start()
    native = NativePair(dict(two.east.db.options))
    pairs = {"diarchy": (two.east.db, two.west.db), "native": (native.source, native.replica)}
    runs = {name: [] for name in pairs}
    try:
        for source, target in pairs.values():
            source.sql("CREATE DATABASE t_delay",
                       "CREATE TABLE t_delay.t (id INT PRIMARY KEY, v VARCHAR(60))")
            wait_until(lambda: target.one(
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='t_delay'"),
                30, "the table in the other server")
        for round_number in range(config["delay_rounds"]):
            names = list(pairs)
            for name in names if round_number % 2 else reversed(names):
                first = 1 + round_number * 1000000
                runs[name].append(measure(*pairs[name], first, config))
                print("  delay round %d: %s %s" % (round_number + 1, name, ", ".join(
                    "%s %.2f" % kv for kv in runs[name][-1].items())), flush=True)
    finally:
        two.stop()
        native.stop()
    return {"rate": config["delay_rate"], "contestants": {
        name: dict({k: median([r[k] for r in done]) for k in done[0]}, all=done)
        for name, done in runs.items()}}


def show(results):
    print_table("Commit to visible at %d writes/s, medians of the runs (ms)" % results["rate"],
                ["", "median", "p99", "worst", "reader polls every"],
                [[name] + ["%.2f" % r[k] for k in ("median_ms", "p99_ms", "max_ms", "poll_ms")]
                 for name, r in results["contestants"].items()])
