"""tests/bench/drain.py - how fast a backlog drains: diarchy against native replication.

One backlog of sysbench write-only transactions is made once, while the other side is away.
It is kept as folders: the primary with the backlog in its binlog, and the other side as it
was before. Every run copies fresh folders, starts the primary, and takes the time from
starting the consumer (west's diarchy, or the replica's threads) to the backlog's last row
being visible. Runs of the contestants alternate.

diarchy         east's diarchy serves, west's applies, both on the same cores
native          parallel replication, 4 threads, optimistic; server defaults otherwise
native-logging  the same with log_slave_updates: the replica writes a binlog too, as any
                server that is itself a source must, and as diarchy's backend always does
"""
import shutil
import subprocess
import time

from tests.bench.measure import cpu_seconds, median, print_table, run_sysbench
from tests.lib.dc import DIARCHY_ACCOUNT, MariaDB, TwoDC, run_dir, wait_until

REPLICA_OPTIONS = {"slave-parallel-threads": "4", "slave-parallel-mode": "optimistic",
                   "skip-slave-start": None, "relay-log": "relay",
                   "slave-max-allowed-packet": "1G"}
LAST = "SELECT COUNT(*) FROM sbtest.finish"


def copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def tables_of(config):
    return ", ".join("sbtest.sbtest%d" % (i + 1) for i in range(config["drain_tables"]))


class Backlog:
    def __init__(self, config, db_options):
        self.config, self.kept = config, run_dir() / "backlog"
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir()
        self.kept.chmod(0o755)
        self.two = TwoDC("drain", db_options=db_options, fibre=False)
        self.make()

    def make(self):
        two, config, kept = self.two, self.config, self.kept
        two.start()
        east, west = two.dcs
        east.db.sql("CREATE DATABASE sbtest")
        run_sysbench(east.db.port, "oltp_write_only", "prepare", tables=config["drain_tables"],
                     table_size=config["drain_table_size"], auto_inc="off")
        east.db.sql("CREATE TABLE sbtest.finish (id INT PRIMARY KEY)")
        two.assert_equal("sbtest", timeout=300)
        west.proxy.stop()
        west.db.stop()
        copy(west.db.datadir, kept / "west-data")
        copy(west.proxy.state_dir, kept / "west-state")
        east.proxy.stop()
        self.start_pos = east.db.one("SELECT @@gtid_binlog_pos")
        east.db.stop()
        copy(east.db.datadir, kept / "replica-data")
        east.db.start()
        east.proxy.start()
        run_sysbench(east.db.port, "oltp_write_only", "run", tables=config["drain_tables"],
                     table_size=config["drain_table_size"], threads=4, time=0,
                     events=config["drain_transactions"], auto_inc="off")
        east.db.sql("INSERT INTO sbtest.finish VALUES (1)")
        self.sums = [r["Checksum"] for r in east.db.sql("CHECKSUM TABLE " + tables_of(config))]
        self.binlog_bytes = east.db.binlog_bytes()
        self.wait_captured(east.proxy)
        east.proxy.stop()
        east.db.stop()
        copy(east.db.datadir, kept / "east-data")
        copy(east.proxy.state_dir, kept / "east-state")

    @staticmethod
    def wait_captured(proxy):
        """Until the process has used next to no CPU for half a second: it has caught up."""
        state = {"at": time.monotonic(), "cpu": cpu_seconds(proxy.pid)}

        def quiet():
            now = cpu_seconds(proxy.pid)
            if now - state["cpu"] > 0.005:
                state.update(at=time.monotonic(), cpu=now)
            return time.monotonic() - state["at"] > 0.5
        wait_until(quiet, 120, "east's capture catching up with the backlog", poll=0.05)

    def fresh_primary(self):
        east = self.two.east
        copy(self.kept / "east-data", east.db.datadir)
        copy(self.kept / "east-state", east.proxy.state_dir)
        east.db.start()
        return east

    def check(self, server):
        got = [r["Checksum"] for r in server.sql("CHECKSUM TABLE " + tables_of(self.config))]
        if got != self.sums:
            raise AssertionError("drained, but not equal: %s and %s" % (got, self.sums))

    def by_diarchy(self):
        east, west = self.fresh_primary(), self.two.west
        copy(self.kept / "west-data", west.db.datadir)
        copy(self.kept / "west-state", west.proxy.state_dir)
        west.db.start()
        try:
            east.proxy.start()
            self.wait_captured(east.proxy)
            begun = time.monotonic()
            west.proxy.start(ready=False)
            wait_until(lambda: west.db.one(LAST), 1800, "the backlog drained by diarchy")
            took = time.monotonic() - begun
            cpu = cpu_seconds(west.proxy.pid) + cpu_seconds(east.proxy.pid)
            self.check(west.db)
        finally:
            for dc in self.two.dcs:
                dc.proxy.kill()
                dc.db.kill()
        return took, cpu

    def by_native(self, logging):
        east = self.fresh_primary()
        options = dict(east.db.options, **REPLICA_OPTIONS)
        options["log-slave-updates"] = "ON" if logging else "OFF"
        replica = MariaDB("replica", run_dir() / "replica", 77, options, fresh=False)
        copy(self.kept / "replica-data", replica.datadir)
        replica.start()
        try:
            follow(replica, east.db, self.start_pos)
            begun = time.monotonic()
            replica.sql("START SLAVE")
            wait_until(lambda: finished(replica), 1800, "the backlog drained by the replica")
            took = time.monotonic() - begun
            self.check(replica)
        finally:
            replica.kill()
            east.db.kill()
        return took, None

    def stop(self):
        self.two.stop()
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.rmtree(run_dir() / "replica", ignore_errors=True)


def follow(replica, primary, gtid):
    user, password = DIARCHY_ACCOUNT
    replica.sql("RESET MASTER", "SET GLOBAL gtid_slave_pos='%s'" % gtid,
                "CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='%s',"
                " master_password='%s', master_use_gtid=slave_pos" % (
                    primary.port, user, password))


def finished(replica):
    state = replica.sql("SHOW SLAVE STATUS")[0]
    if int(state["Last_SQL_Errno"]):
        raise AssertionError("native replication stopped: " + state["Last_SQL_Error"])
    return replica.one(LAST)


def bench(config):
    backlog = Backlog(config, {"innodb-buffer-pool-size": "512M",
                               "innodb-log-file-size": "512M",
                               "innodb-flush-log-at-trx-commit": config["flush"]})
    contestants = {"diarchy": backlog.by_diarchy, "native": lambda: backlog.by_native(False),
                   "native-logging": lambda: backlog.by_native(True)}
    n = config["drain_transactions"]
    took = {name: [] for name in contestants}
    cpu = []
    try:
        for round_number in range(config["drain_rounds"]):
            names = list(contestants)
            for name in names[round_number % 3:] + names[:round_number % 3]:
                seconds, used = contestants[name]()
                took[name].append(seconds)
                if used:
                    cpu.append(used)
                print("  drain round %d: %s %.1f s, %.0f transactions/s" % (
                    round_number + 1, name, seconds, n / seconds), flush=True)
    finally:
        backlog.stop()
    return {"transactions": n, "binlog_bytes": backlog.binlog_bytes,
            "diarchy_cpu_us_per_transaction": median(cpu) / n * 1e6,
            "contestants": {name: {"seconds": median(s), "all": s,
                                   "transactions_per_s": n / median(s)}
                            for name, s in took.items()}}


def show(results):
    native = results["contestants"]["native"]["transactions_per_s"]
    print_table("Drain of %d sysbench write-only transactions (%.0f MiB of binlog), medians" % (
        results["transactions"], results["binlog_bytes"] / 1048576),
        ["", "seconds", "transactions/s", "of native"],
        [[name, "%.1f" % r["seconds"], "%.0f" % r["transactions_per_s"],
          "%.2f" % (r["transactions_per_s"] / native)]
         for name, r in results["contestants"].items()])
    print("  CPU of both diarchy processes: %.0f us per transaction"
          % results["diarchy_cpu_us_per_transaction"])
