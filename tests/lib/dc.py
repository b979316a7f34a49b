"""tests/lib/dc.py - real datacenters on loopback for tests: servers, proxies, the fibre.

MariaDB    one private mariadbd (start, stop, kill, restart) on a free port
Diarchy    one `diarchy run` process with the configuration of DESIGN section 7
Link       the fibre between the peers (forward.py): cut, freeze, heal, delay
TwoDC      east and west, each a MariaDB behind a Diarchy, joined by a Link

Nothing here sleeps for luck: every wait has a condition and a time limit, and says what
it waited for when the limit passes. TwoDC.settle() is the only notion of "caught up": a
marker row written in each DC has arrived in the other, and since changes of one origin
are applied in order, so has everything before it.
"""
import atexit
import fcntl
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql

from tests.lib import forward

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_SCHEMAS = ("mysql", "information_schema", "performance_schema", "sys", "diarchy",
                  "harness")
APP = ("app", "app-secret")
DIARCHY_ACCOUNT = ("diarchy", "diarchy-secret")
# The least that `diarchy check` asks for: what needs more fails here.
DIARCHY_PRIVILEGES = (
    "REPLICATION SLAVE, REPLICATION SLAVE ADMIN, BINLOG MONITOR, BINLOG REPLAY, BINLOG ADMIN,"
    " SET USER, SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, EXECUTE,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT")
PEER_SECRET = "a secret that both datacenters share"

_live = []


def _stop_all():
    for thing in list(_live):
        try:
            thing.kill()
        except Exception as e:  # the others must still be stopped
            print("while stopping %r: %s" % (thing, e))
    # Only now: a running server would go on writing into the folder being removed.
    if _made_run_dir and not os.environ.get("DIARCHY_KEEP"):
        shutil.rmtree(_run_dir, ignore_errors=True)


atexit.register(_stop_all)


def diarchy_binary():
    return Path(os.environ.get("DIARCHY_BIN", ROOT / "build" / "diarchy"))


class Timeout(AssertionError):
    pass


def wait_until(cond, timeout=30, what="a condition", poll=0.02):
    """The first true value of cond(); Timeout names `what`, and the last error if any."""
    end = time.monotonic() + timeout
    error = None
    while True:
        try:
            got = cond()
            if got:
                return got
            error = None
        except (pymysql.err.Error, OSError) as e:
            error = e
        if time.monotonic() >= end:
            raise Timeout("waited %.0f s in vain for %s%s" % (
                timeout, what, "; last error: %s" % error if error else ""))
        time.sleep(poll)


# ---- ports -----------------------------------------------------------------------------

_port_locks = []


def free_port(preferred=None):
    """A loopback port that nobody listens on, held against other runs of this harness by
    a lock file. Below the ephemeral range, so no outgoing connection takes it meanwhile."""
    folder = Path("/tmp/diarchy-ports-%d" % os.getuid())
    folder.mkdir(exist_ok=True)
    rng = random.SystemRandom()
    candidates = [preferred] if preferred else []
    candidates += [rng.randrange(12000, 32000) for _ in range(500)]
    for port in candidates:
        lock = open(folder / str(port), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _port_locks.append(lock)
        return port
    raise RuntimeError("no free port between 12000 and 32000")


# ---- processes -------------------------------------------------------------------------

def run_dir():
    """One folder for everything of this run; tests/run.sh gives it, else a fresh one."""
    global _run_dir, _made_run_dir
    if _run_dir is None:
        given = os.environ.get("DIARCHY_TEST_DIR")
        if given:
            _run_dir = Path(given)
            _run_dir.mkdir(parents=True, exist_ok=True)
        else:
            _run_dir = Path(tempfile.mkdtemp(prefix="diarchy-test-"))
            _made_run_dir = True
        _run_dir.chmod(0o755)
    return _run_dir


_run_dir = None
_made_run_dir = False


class Process:
    """A child with a log file. kill() is SIGKILL, stop() is SIGTERM and a deadline."""

    def __init__(self, name, log):
        self.name = name
        self.log = Path(log)
        self.child = None

    def spawn(self, argv, **kw):
        assert self.child is None or self.child.poll() is not None, self.name + " runs already"
        out = open(self.log, "ab")
        try:
            self.child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, **kw)
        finally:
            out.close()
        if self not in _live:
            _live.append(self)
        # tests/run.sh ends what an interrupted run left, by these ids only.
        with open(run_dir() / "pids", "a") as f:
            f.write("%d\n" % self.child.pid)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def exited(self):
        """The exit code if it has ended (a crash in a test), else None."""
        return self.child.poll() if self.child else None

    def kill(self):
        if self.child is not None:
            if self.child.poll() is None:
                self.child.kill()
            self.child.wait()
        if self in _live:
            _live.remove(self)

    def stop(self, timeout=30):
        """SIGTERM; returns the exit code. Timeout is a failure, not a reason to kill."""
        if self.child is None:
            return None
        if self.child.poll() is None:
            self.child.terminate()
        try:
            code = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Timeout("%s did not end within %d s of SIGTERM" % (self.name, timeout))
        if self in _live:
            _live.remove(self)
        return code

    def signal(self, number):
        self.child.send_signal(number)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines=40):
        return "\n".join(self.log_text().splitlines()[-lines:])


# ---- MariaDB ---------------------------------------------------------------------------

def _server_user():
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    return "mysql"


def _template():
    """A data directory made once per run and copied for each server."""
    final = run_dir() / "template"
    if final.exists():
        return final
    lock = open(run_dir() / "template.lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        if final.exists():
            return final
        work = run_dir() / "template.new"
        shutil.rmtree(work, ignore_errors=True)
        tmp = run_dir() / "template.tmp"
        for folder in (work, tmp):
            folder.mkdir(exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(folder, _server_user(), _server_user())
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=" + _server_user(),
             "--datadir=%s" % work, "--auth-root-authentication-method=normal",
             # force: a bare container cannot look up its own host name, and need not.
             "--skip-test-db", "--skip-name-resolve", "--force"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=dict(os.environ, TMPDIR=str(tmp)))
        if done.returncode != 0:
            raise RuntimeError("mariadb-install-db failed:\n" + done.stdout)
        work.rename(final)
    finally:
        lock.close()
    return final


class MariaDB(Process):
    DEFAULTS = {
        "bind-address": "127.0.0.1", "skip-name-resolve": None, "log-bin": "binlog",
        "binlog-format": "ROW", "binlog-row-image": "FULL", "binlog-row-metadata": "FULL",
        "max-allowed-packet": "128M", "character-set-server": "utf8mb4",
        "collation-server": "utf8mb4_general_ci", "local-infile": "1",
        "innodb-buffer-pool-size": "160M", "innodb-log-file-size": "96M",
        # Both survive kill -9 (the kernel keeps what was written); tests that claim more
        # set 1 and 1.
        "innodb-flush-log-at-trx-commit": "2", "sync-binlog": "0",
        "performance-schema": "OFF", "innodb-use-native-aio": "0", "max-connections": "400",
        "log-bin-trust-function-creators": "ON",
        "innodb-lock-wait-timeout": "20", "secure-file-priv": "", "log-warnings": "1",
    }

    def __init__(self, name, base, server_id, options=None, fresh=True):
        base = Path(base)
        base.mkdir(parents=True, exist_ok=True)
        super().__init__(name, base / "mariadb.log")
        self.base = base
        self.datadir = base / "data"
        self.port = free_port()
        # A unix socket path may have 107 bytes; a deep test folder would not fit.
        self.socket = run_dir() / ("%s-%d.sock" % (name[:20], self.port))
        self.server_id = server_id
        self.options = dict(self.DEFAULTS)
        self.options.update(options or {})
        # Not shared: a starting server removes other servers' temporary tables from it.
        self.tmpdir = base / "tmp"
        self.tmpdir.mkdir(exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(self.tmpdir, _server_user(), _server_user())
        if fresh:
            subprocess.run(["cp", "-a", str(_template()), str(self.datadir)], check=True)

    def start(self, timeout=60):
        argv = ["mariadbd", "--no-defaults", "--user=" + _server_user(),
                "--datadir=%s" % self.datadir, "--tmpdir=%s" % self.tmpdir,
                "--port=%d" % self.port,
                "--socket=%s" % self.socket, "--pid-file=%s" % (self.datadir / "pid"),
                "--server-id=%d" % self.server_id]
        for key, value in self.options.items():
            argv.append("--" + key if value is None else "--%s=%s" % (key, value))
        if os.getuid() == 0:
            # The socket lies in run_dir, which belongs to us, not to mysql.
            run_dir().chmod(0o1777)
        self.spawn(argv)

        def up():
            if self.exited() is not None:
                raise RuntimeError("%s ended with %s:\n%s" % (
                    self.name, self.exited(), self.log_tail()))
            self.root().close()
            return True
        wait_until(up, timeout, self.name + " accepting connections", poll=0.05)
        return self

    def restart(self, **kw):
        self.stop(timeout=60)
        return self.start(**kw)

    def root(self, **kw):
        kw.setdefault("autocommit", True)
        kw.setdefault("charset", "utf8mb4")
        return pymysql.connect(unix_socket=str(self.socket), user="root", **kw)

    def sql(self, *statements, log_bin=True):
        """Run statements as root on the server itself; rows of the last as dicts."""
        with self.root(cursorclass=pymysql.cursors.DictCursor) as c, c.cursor() as cur:
            if not log_bin:
                cur.execute("SET SESSION sql_log_bin=0")
            for s in statements:
                cur.execute(s)
            return cur.fetchall()

    def one(self, statement):
        rows = self.sql(statement)
        return next(iter(rows[0].values())) if rows else None

    def raw(self, statement):
        """Rows as tuples of undecoded bytes: what the server stores, byte for byte."""
        c = pymysql.connect(unix_socket=str(self.socket), user="root", use_unicode=False,
                            conv={}, autocommit=True, init_command="SET NAMES binary")
        with c, c.cursor() as cur:
            cur.execute(statement)
            return cur.fetchall()

    def binlog_bytes(self):
        return sum(int(r["File_size"]) for r in self.sql("SHOW BINARY LOGS"))

    def create_accounts(self):
        # Not in the binlog: accounts are the DC's own matter here.
        (d, dpw), (a, apw) = DIARCHY_ACCOUNT, APP
        self.sql("CREATE OR REPLACE USER '%s'@'%%' IDENTIFIED BY '%s'" % (d, dpw),
                 "GRANT %s ON *.* TO '%s'@'%%'" % (DIARCHY_PRIVILEGES, d),
                 "CREATE OR REPLACE USER '%s'@'%%' IDENTIFIED BY '%s'" % (a, apw),
                 *["GRANT ALL ON `%s`.* TO '%s'@'%%'" % (schema, a)
                   for schema in (r"t\_%", "shop", "sbtest")],
                 "DELETE FROM mysql.global_priv WHERE user=''", "FLUSH PRIVILEGES",
                 log_bin=False)


# ---- diarchy ---------------------------------------------------------------------------

def yaml_scalar(v):
    return json.dumps(v) if isinstance(v, str) else str(v)


class Diarchy(Process):
    def __init__(self, name, dc_id, base, db, peers=(), by_tcp=False, policies=(),
                 replicate=None, account=DIARCHY_ACCOUNT, extra=""):
        base = Path(base)
        base.mkdir(parents=True, exist_ok=True)
        super().__init__("diarchy-" + name, base / "diarchy.log")
        self.dc, self.dc_id, self.base, self.db = name, dc_id, base, db
        self.peers = list(peers)  # (name, id, "host:port")
        self.by_tcp, self.policies, self.replicate = by_tcp, list(policies), replicate
        self.account, self.extra = account, extra
        self.port, self.peer_port, self.admin_port = free_port(), free_port(), free_port()
        self.state_dir = base / "state"
        self.state_dir.mkdir(exist_ok=True)
        self.config = base / "diarchy.yaml"

    def write_config(self):
        if self.by_tcp:
            where = "host: 127.0.0.1, port: %d" % self.db.port
        else:
            where = "socket: %s" % self.db.socket
        user, password = self.account
        lines = [
            "dc: {name: %s, id: %d}" % (self.dc, self.dc_id),
            "listen: 127.0.0.1:%d" % self.port,
            "database: {%s, user: %s, password: %s}" % (where, user, yaml_scalar(password)),
            "peer:",
            "  listen: 127.0.0.1:%d" % self.peer_port,
            "  secret: %s" % yaml_scalar(PEER_SECRET),
            "  dcs:",
        ]
        for name, dc_id, address in self.peers:
            lines.append("    - {name: %s, id: %d, address: %s}" % (name, dc_id, address))
        lines += ["state_dir: %s" % self.state_dir, "admin: 127.0.0.1:%d" % self.admin_port]
        if self.replicate is not None:
            lines.append("replicate: [%s]" % ", ".join(yaml_scalar(r) for r in self.replicate))
        if self.policies:
            lines.append("policies:")
            lines += ["  - {%s}" % ", ".join("%s: %s" % kv for kv in p.items())
                      for p in self.policies]
        if self.extra:
            lines.append(self.extra)
        self.config.write_text("\n".join(lines) + "\n")

    def command(self, *words, timeout=60):
        """Run `diarchy WORDS --config ...`; the CompletedProcess."""
        return subprocess.run([str(diarchy_binary()), *words, "--config", str(self.config)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout)

    def start(self, timeout=30, ready=True):
        self.write_config()
        self.spawn([diarchy_binary(), "run", "--config", self.config])
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=30):
        def up():
            if self.exited() is not None:
                raise RuntimeError("%s ended with %s:\n%s" % (
                    self.name, self.exited(), self.log_tail()))
            return self.http("/readyz")[0] == 200
        wait_until(up, timeout, self.name + " ready (/readyz)")

    def http(self, path):
        """(status, body) of the admin port."""
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.read().decode()
        except http.client.HTTPException as e:
            raise OSError("admin port: %r" % e)
        finally:
            c.close()

    def status(self):
        return json.loads(self.http("/status")[1])

    def connect(self, user=APP[0], password=APP[1], **kw):
        kw.setdefault("autocommit", True)
        kw.setdefault("charset", "utf8mb4")
        kw.setdefault("local_infile", True)
        return pymysql.connect(host="127.0.0.1", port=self.port, user=user,
                               password=password, **kw)

    def sql(self, *statements, **kw):
        """Run statements through the proxy as the application; rows of the last as dicts."""
        with self.connect(cursorclass=pymysql.cursors.DictCursor, **kw) as c:
            with c.cursor() as cur:
                for s in statements:
                    cur.execute(s)
                return cur.fetchall()

    def one(self, statement):
        rows = self.sql(statement)
        return next(iter(rows[0].values())) if rows else None


# ---- the fibre -------------------------------------------------------------------------

class Link(Process):
    """forward.py as a process of its own, so that carrying bytes does not wait for a test."""

    def __init__(self, base, pairs):
        base = Path(base)
        base.mkdir(parents=True, exist_ok=True)
        super().__init__("link", base / "link.log")
        self.control = run_dir() / ("link-%s.ctl" % pairs[0][0].rpartition(":")[2])
        self.pairs = pairs

    def start(self):
        self.spawn(["/usr/bin/python3", ROOT / "tests" / "lib" / "forward.py", "--control",
                    self.control] + ["%s=%s" % p for p in self.pairs])
        wait_until(lambda: self.send("stats") is not None, 10, "the link's forwarder")
        return self

    def send(self, line):
        return forward.send(str(self.control), line)

    def cut(self):
        self.send("cut")

    def freeze(self):
        self.send("freeze")

    def heal(self):
        self.send("heal")

    def delay(self, ms):
        self.send("delay %s" % ms)


# ---- two datacenters -------------------------------------------------------------------

class DC:
    def __init__(self, name, dc_id, base, db_options=None, **diarchy_options):
        self.name, self.id = name, dc_id
        options = {"auto-increment-increment": 2, "auto-increment-offset": dc_id}
        options.update(db_options or {})
        self.db = MariaDB(name, base / name, 10 + dc_id, options)
        self.proxy = Diarchy(name, dc_id, base / name, self.db, **diarchy_options)

    def __repr__(self):
        return self.name

    # Through the proxy, as an application.
    def connect(self, *account, **kw):
        return self.proxy.connect(*account, **kw)

    def sql(self, *statements, **kw):
        return self.proxy.sql(*statements, **kw)

    def one(self, statement):
        return self.proxy.one(statement)


def fast_retry(call, timeout=30, what="a statement"):
    """call() again until it raises no database error: for use while things restart."""
    box = []

    def attempt():
        box.append(call())
        return True
    wait_until(attempt, timeout, what)
    return box[-1]


class TwoDC:
    def __init__(self, name="dc", db_options=None, fibre=True, **diarchy_options):
        """fibre=False joins the peers directly: nothing to cut, nothing to pay for."""
        self.base = Path(tempfile.mkdtemp(prefix=name + "-", dir=run_dir()))
        self.base.chmod(0o755)
        self.east = DC("east", 1, self.base, db_options, **diarchy_options)
        self.west = DC("west", 2, self.base, db_options, **diarchy_options)
        self.dcs = (self.east, self.west)
        to_east, to_west = self.east.proxy.peer_port, self.west.proxy.peer_port
        self.link = None
        if fibre:
            to_east, to_west = free_port(), free_port()
            self.link = Link(self.base, [
                ("127.0.0.1:%d" % to_east, "127.0.0.1:%d" % self.east.proxy.peer_port),
                ("127.0.0.1:%d" % to_west, "127.0.0.1:%d" % self.west.proxy.peer_port)])
        self.east.proxy.peers = [("west", 2, "127.0.0.1:%d" % to_west)]
        self.west.proxy.peers = [("east", 1, "127.0.0.1:%d" % to_east)]
        self.fence = 0

    def other(self, dc):
        return self.west if dc is self.east else self.east

    def start_databases(self):
        for dc in self.dcs:
            dc.db.start()
            dc.db.create_accounts()
        return self

    def start(self):
        self.start_databases()
        if self.link:
            self.link.start()
        for dc in self.dcs:
            dc.proxy.start(ready=False)
        for dc in self.dcs:
            dc.proxy.wait_ready()
        self.east.db.sql("CREATE DATABASE harness",
                         "CREATE TABLE harness.fence (dc INT, n BIGINT, PRIMARY KEY (dc, n))")
        wait_until(lambda: self.west.db.one(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='harness'"),
            30, "the first DDL from east arriving in west")
        self.settle()
        return self

    def stop(self):
        for dc in self.dcs:
            dc.proxy.kill()
        if self.link:
            self.link.kill()
        for dc in self.dcs:
            dc.db.kill()
        if not os.environ.get("DIARCHY_KEEP"):
            shutil.rmtree(self.base, ignore_errors=True)

    def healthy(self):
        return (all(dc.db.alive() and dc.proxy.alive() for dc in self.dcs)
                and (self.link is None or self.link.alive()))

    def settle(self, timeout=60):
        """Everything written in either DC before this call is applied in the other."""
        self.fence += 1
        for dc in self.dcs:
            dc.db.sql("INSERT INTO harness.fence VALUES (%d, %d)" % (dc.id, self.fence))
        for dc in self.dcs:
            there = self.other(dc)

            def arrived():
                for d in self.dcs:
                    if d.proxy.child is not None and d.proxy.exited() is not None:
                        raise RuntimeError("%s ended with %s:\n%s" % (
                            d.proxy.name, d.proxy.exited(), d.proxy.log_tail()))
                return there.db.one("SELECT COUNT(*) FROM harness.fence WHERE dc=%d AND n=%d"
                                    % (dc.id, self.fence))
            wait_until(arrived, timeout,
                       "what %s wrote arriving in %s" % (dc.name, there.name))

    # -- equality --

    def tables(self, dc, schema=None):
        where = "table_schema='%s'" % schema if schema else "table_schema NOT IN (%s)" % (
            ",".join("'%s'" % s for s in SYSTEM_SCHEMAS))
        return sorted("`%s`.`%s`" % (r["s"], r["t"]) for r in dc.db.sql(
            "SELECT table_schema s, table_name t FROM information_schema.tables"
            " WHERE table_type='BASE TABLE' AND " + where))

    def definition(self, dc, table):
        text = dc.db.sql("SHOW CREATE TABLE " + table)[0]["Create Table"]
        words = [w for w in text.split(" ") if not w.startswith("AUTO_INCREMENT=")]
        return " ".join(words)

    def differences(self, schema=None, rows=True, limit=20):
        """What differs between the DCs, as lines to read; empty when they are equal."""
        east, west = self.east, self.west
        ours, theirs = self.tables(east, schema), self.tables(west, schema)
        found = ["only in east: table " + t for t in ours if t not in theirs]
        found += ["only in west: table " + t for t in theirs if t not in ours]
        for t in (t for t in ours if t in theirs):
            a, b = self.definition(east, t), self.definition(west, t)
            if a != b:
                found.append("definition of %s:\n  east: %s\n  west: %s" % (t, a, b))
            sums = [dc.db.sql("CHECKSUM TABLE " + t)[0]["Checksum"] for dc in self.dcs]
            if sums[0] != sums[1]:
                lines = self.row_diff(t, limit) if rows else ["(rows not compared)"]
                found.append("rows of %s: checksums %s and %s\n  %s" % (
                    t, sums[0], sums[1], "\n  ".join(lines)))
        return found

    def row_diff(self, table, limit=20):
        def short(row):
            text = repr(tuple(v if v is None or len(v) < 60 else
                              v[:40] + b"...(%d bytes)" % len(v) for v in row))
            return text if len(text) < 800 else text[:800] + "..."
        a = set(self.east.db.raw("SELECT * FROM " + table))
        b = set(self.west.db.raw("SELECT * FROM " + table))
        lines = ["only in east: " + short(r) for r in sorted(a - b, key=repr)[:limit]]
        lines += ["only in west: " + short(r) for r in sorted(b - a, key=repr)[:limit]]
        return lines or ["every row is equal: only the checksums differ"]

    def assert_equal(self, schema=None, timeout=60, settle=True):
        if settle:
            self.settle(timeout)
        found = self.differences(schema)
        assert not found, "east and west differ:\n" + "\n".join(found)

    # -- conflicts --

    def conflicts(self, dc, table=None):
        """Rows of diarchy.conflicts as dicts, of one "schema.table" if given."""
        where = ""
        if table is not None:
            where = " WHERE db_name='%s' AND table_name='%s'" % tuple(table.split("."))
        return list(dc.db.sql("SELECT * FROM diarchy.conflicts%s ORDER BY id" % where))

    # -- when a test fails --

    def diagnostics(self):
        out = []
        for dc in self.dcs:
            out.append("---- %s: diarchy %s, mariadbd %s" % (
                dc.name, "runs" if dc.proxy.alive() else "ended with %s" % dc.proxy.exited(),
                "runs" if dc.db.alive() else "ended with %s" % dc.db.exited()))
            for title, get in (
                    ("/status", lambda: dc.proxy.http("/status")[1]),
                    ("conflicts (last 5)", lambda: "\n".join(
                        str(r)[:1500] for r in self.conflicts(dc)[-5:])),
                    ("applied", lambda: dc.db.sql("SELECT * FROM diarchy.applied")),
                    ("processes", lambda: "\n".join(
                        str(r) for r in dc.db.sql("SHOW FULL PROCESSLIST"))[:4000]),
                    ("diarchy's log", lambda: dc.proxy.log_tail(60)),
                    ("mariadbd's log", lambda: dc.db.log_tail(15))):
                try:
                    out.append("-- %s %s:\n%s" % (dc.name, title, get()))
                except Exception as e:  # a diagnosis must not hide the failure
                    out.append("-- %s %s: %s" % (dc.name, title, e))
        return "\n".join(out)
