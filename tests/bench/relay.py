"""tests/bench/relay.py - the wire: direct, HAProxy in TCP mode, diarchy.

Two servers with equal data: one behind diarchy (whose capture reads its binlog, as in real
life), one for direct and HAProxy, so that no route pays for another. Routes take turns in
every round; each figure is the median of the rounds. The peer datacenter is not running:
this measures the relay, not the other side's applier on the same two cores.
"""
import os
import shutil

import pymysql

from tests.bench.measure import (cpu_by_thread, cpu_seconds, median, print_table, pss_kib,
                                 run_sysbench, sysbench_figures)
from tests.lib.dc import APP, DC, Process, free_port, run_dir, wait_until

WORKLOADS = ("oltp_point_select", "oltp_read_write", "oltp_write_only")

HAPROXY = """
global
    nbthread %(threads)d
    maxconn 5000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen mysql
    bind 127.0.0.1:%(port)d
    server db %(target)s
"""


class HAProxy(Process):
    def __init__(self, base, target):
        base.mkdir(parents=True, exist_ok=True)
        super().__init__("haproxy", base / "haproxy.log")
        self.port = free_port()
        self.config = base / "haproxy.cfg"
        self.config.write_text(HAPROXY % {"threads": os.cpu_count(), "port": self.port,
                                          "target": target})

    def start(self):
        self.spawn(["haproxy", "-db", "-f", self.config])
        wait_until(lambda: connect(self.port).close() is None, 10, "haproxy")
        return self


def connect(port):
    return pymysql.connect(host="127.0.0.1", port=port, user=APP[0], password=APP[1],
                           autocommit=True)


class Routes:
    """The two servers, the two proxies, and the port of each route."""

    def __init__(self, by_socket=False):
        options = {"max-connections": "3000", "innodb-buffer-pool-size": "512M",
                   "back-log": "1000"}
        base = run_dir() / "relay"
        self.near = DC("near", 1, base, options, by_tcp=not by_socket)
        self.plain = DC("plain", 2, base, options)
        self.near.proxy.peers = [("absent", 2, "127.0.0.1:%d" % free_port())]
        for dc in (self.near, self.plain):
            dc.db.start()
            dc.db.create_accounts()
        self.near.proxy.start()
        target = ("unix@%s" % self.plain.db.socket if by_socket
                  else "127.0.0.1:%d" % self.plain.db.port)
        self.haproxy = HAProxy(base / "haproxy", target).start()
        self.ports = {"direct": self.plain.db.port, "haproxy": self.haproxy.port,
                      "diarchy": self.near.proxy.port}
        self.pids = {"haproxy": self.haproxy.pid, "diarchy": self.near.proxy.pid}

    def prepare(self, tables, size):
        for dc in (self.near, self.plain):
            dc.db.sql("CREATE DATABASE sbtest")
            run_sysbench(dc.db.port, "oltp_read_write", "prepare", tables=tables,
                         table_size=size, auto_inc="off")
            dc.db.sql("CHECKSUM TABLE " + ",".join("sbtest.sbtest%d" % (i + 1)
                                                   for i in range(tables)))

    def stop(self):
        self.haproxy.kill()
        for dc in (self.near, self.plain):
            dc.proxy.kill()
            dc.db.kill()
        shutil.rmtree(run_dir() / "relay", ignore_errors=True)


def throughput(routes, config):
    tables, size = config["tables"], config["table_size"]
    results = {}
    for script in config.get("workloads", WORKLOADS):
        for threads in config["threads"]:
            runs = {name: [] for name in routes.ports}
            for round_number in range(config["rounds"]):
                names = list(routes.ports)
                # Each round begins with another route: drift hits all alike.
                for name in names[round_number % 3:] + names[:round_number % 3]:
                    pid = routes.pids.get(name)
                    before = cpu_seconds(pid) if pid else 0
                    threads_before = cpu_by_thread(pid) if pid else {}
                    figures = sysbench_figures(run_sysbench(
                        routes.ports[name], script, "run", tables=tables, table_size=size,
                        threads=threads, time=config["seconds"], auto_inc="off"))
                    if pid:
                        used = cpu_seconds(pid) - before
                        figures["cpu_us_per_query"] = used / figures["queries"] * 1e6
                        now = cpu_by_thread(pid)
                        figures["cpu_us_by_thread"] = {
                            t: (now[t] - threads_before.get(t, 0)) / figures["queries"] * 1e6
                            for t in now}
                    runs[name].append(figures)
            results["%s/%d" % (script, threads)] = {
                name: summary(done) for name, done in runs.items()}
    return results


def summary(runs):
    out = {k: median([r[k] for r in runs]) for k in runs[0] if k != "cpu_us_by_thread"}
    out["all_queries_per_s"] = [r["queries_per_s"] for r in runs]
    if "cpu_us_by_thread" in runs[0]:
        names = {t for r in runs for t in r["cpu_us_by_thread"]}
        out["cpu_us_by_thread"] = {
            t: median([r["cpu_us_by_thread"].get(t, 0) for r in runs]) for t in sorted(names)}
    return out


def idle_memory(routes, count, rounds):
    """KiB of Pss that each of `count` idle, logged-in connections adds to the proxy."""
    out = {}
    for name, pid in routes.pids.items():
        grown = []
        for _ in range(rounds):
            # A process that has already served as many holds freed memory: start afresh.
            if name == "diarchy":
                routes.near.proxy.stop()
                routes.near.proxy.start()
                pid = routes.pids[name] = routes.near.proxy.pid
            else:
                routes.haproxy.kill()
                routes.haproxy.start()
                pid = routes.pids[name] = routes.haproxy.pid
            # Past what start-up freed: the slope counts, not the first few.
            warm = [connect(routes.ports[name]) for _ in range(count // 4)]
            before = pss_kib(pid)
            held = []
            for _ in range(count):
                c = connect(routes.ports[name])
                with c.cursor() as cur:
                    cur.execute("SELECT 1")
                held.append(c)
            grown.append((pss_kib(pid) - before) / count)
            for c in held + warm:
                c.close()
            server = routes.near.db if name == "diarchy" else routes.plain.db
            wait_until(lambda: server.one("SELECT COUNT(*) FROM information_schema.processlist"
                                          " WHERE user='app'") == 0, 30, "connections closed")
        out[name] = {"kib_per_connection": median(grown), "all": grown}
    return out


def bench(config):
    routes = Routes(config["by_socket"])
    try:
        routes.prepare(config["tables"], config["table_size"])
        results = {"throughput": throughput(routes, config) if config["rounds"] else {}}
        if config["idle_connections"]:
            results["idle"] = idle_memory(routes, config["idle_connections"],
                                          min(config["rounds"], 3))
        return results
    finally:
        routes.stop()


def show(results):
    rows = []
    for key, by_route in results["throughput"].items():
        direct = by_route["direct"]["queries_per_s"]
        for name, r in by_route.items():
            rows.append([key + " " + name, "%.0f" % r["queries_per_s"],
                         "%.2f" % (r["queries_per_s"] / direct), "%.2f" % r["p95_ms"],
                         "%.1f" % r["cpu_us_per_query"] if "cpu_us_per_query" in r else "-"])
    print_table("Relay: sysbench workload/threads, medians",
                ["", "queries/s", "of direct", "p95 ms", "CPU us/query"], rows)
    if "idle" in results:
        print_table("Memory per idle connection (Pss)", ["", "KiB"],
                    [[n, "%.1f" % r["kib_per_connection"]] for n, r in results["idle"].items()])
