"""tests/e2e/relay_fixtures.py - a database and the relay alone before it, and a client that
speaks the protocol byte by byte.

relay_db   one MariaDB for the tests of test_relay.py
relay      relay_only in front of it, by TCP
"""
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.lib import dc

USER, PASSWORD = "wire", "wire-secret"

PROTOCOL_41 = 1 << 9
SECURE = 1 << 15
MULTI_STATEMENTS = 1 << 16
MULTI_RESULTS = 1 << 17
PS_MULTI_RESULTS = 1 << 18
PLUGIN_AUTH = 1 << 19
LOCAL_FILES = 1 << 7
DEPRECATE_EOF = 1 << 24
SSL = 1 << 11
COMPRESS = 1 << 5
ZSTD = 1 << 26
QUERY_ATTRIBUTES = 1 << 27
BULK = 1 << 34
EXT_META = 1 << 35
CACHE_META = 1 << 36
PROGRESS = 1 << 32
BASE = (PROTOCOL_41 | SECURE | MULTI_STATEMENTS | MULTI_RESULTS | PS_MULTI_RESULTS |
        PLUGIN_AUTH | LOCAL_FILES)

QUIT, QUERY, PREPARE, EXECUTE, CLOSE, RESET_STMT, FETCH = 1, 3, 0x16, 0x17, 0x19, 0x1a, 0x1c
LAST = 0xffffffff


def binary(name):
    """A test program of the build that is under test."""
    folder = os.environ.get("DIARCHY_BUILD")
    path = (Path(folder) if folder else dc.diarchy_binary().parent) / name
    if not path.exists():
        pytest.fail("no %s: build it first (cmake -B build && cmake --build build)" % path)
    return str(path)


class Relay(dc.Process):
    """relay_only on a free port. cpu_seconds and rss are of the process."""

    def __init__(self, target, loops=2, max_connections=0, connect_ms=0):
        super().__init__("relay", Path(tempfile.mkdtemp(dir=dc.run_dir())) / "relay.log")
        self.odd_database = False
        self.port = dc.free_port()
        self.argv = [binary("relay_only"), str(self.port), target, str(loops),
                     str(max_connections), str(connect_ms)]

    def start(self):
        self.spawn(self.argv, env=dict(os.environ, DIA_LOG="debug"))
        dc.wait_until(lambda: "port %d" % self.port in self.log_text() or self.exited(),
                      20, "relay_only listening")
        assert self.alive(), self.log_tail()
        return self

    def stats(self):
        seen = self.log_text().count("stats sessions=")
        self.signal(signal.SIGUSR1)
        dc.wait_until(lambda: self.log_text().count("stats sessions=") > seen, 10, "counters")
        line = re.findall(r"^stats .*$", self.log_text(), re.M)[-1]
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}

    def memory_kib(self, field="VmRSS"):
        text = Path("/proc/%d/status" % self.pid).read_text()
        return int(re.search(field + r":\s+(\d+)", text).group(1))


class Packets:
    """A raw client: packets in, packets out, nothing interpreted."""

    def __init__(self, port, caps=BASE, login=True, user=USER, password=PASSWORD, db="wire",
                 timeout=60):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.seqs = []
        if login:
            self.greeting = self.packet()
            self.offered, self.nonce, self.id = parse_greeting(self.greeting)
            self.login(caps, user, password, db)

    def login(self, caps, user, password, db):
        from pymysql import _auth
        self.caps = caps & self.offered
        auth = _auth.scramble_native_password(password.encode(), self.nonce)
        caps |= 8
        low = caps & 0xffffffff
        body = struct.pack("<IIB19xI", low, 1 << 24, 45, caps >> 32)
        body += user.encode() + b"\0" + bytes([len(auth)]) + auth + db.encode() + b"\0"
        body += b"mysql_native_password\0"
        self.send(body, 1)
        reply = self.packet()
        assert reply[0] == 0, reply

    def send(self, body, seq=0):
        self.s.sendall(frame(body, seq))

    def packet(self):
        """One packet's payload (continuations joined)."""
        whole = b""
        while True:
            head = self.exactly(4)
            n = int.from_bytes(head[:3], "little")
            self.seqs.append(head[3])
            whole += self.exactly(n)
            if n < 0xffffff:
                return whole

    def exactly(self, n):
        parts = []
        got = len(self.buffer)
        parts.append(self.buffer)
        while got < n:
            data = self.s.recv(max(n - got, 65536))
            if not data:
                raise EOFError("connection closed with %d of %d bytes" % (got, n))
            parts.append(data)
            got += len(data)
        whole = b"".join(parts)
        self.buffer = whole[n:]
        return whole[:n]

    def reply(self, kind="result"):
        """All packets of one reply, by rules of this test's own."""
        deprecate = bool(self.caps & DEPRECATE_EOF)
        cache = bool(self.caps & CACHE_META)
        out = []

        def take():
            p = self.packet()
            out.append(p)
            return p

        def until_end():
            while True:
                p = take()
                if p[0] == 0xff:
                    return None
                if p[0] == 0xfe and len(p) < (0xffffff if deprecate else 9):
                    return p

        def status(p):
            if p[0] == 0xfe and len(p) <= 5:
                return struct.unpack("<H", p[3:5])[0]
            at = 1
            for _ in range(2):
                at += {0xfc: 3, 0xfd: 4, 0xfe: 9}.get(p[at], 1)
            return struct.unpack("<H", p[at:at + 2])[0]

        if kind == "fetch":
            until_end()
            return out
        if kind == "prepare":
            p = take()
            if p[0] == 0xff:
                return out
            columns, params = struct.unpack("<HH", p[5:9])
            for n in (params, columns):
                for _ in range(n + (0 if deprecate or n == 0 else 1)):
                    take()
            return out
        while True:
            p = take()
            if p[0] == 0xff:
                return out
            if p[0] in (0, 0xfe):
                if not status(p) & 8:
                    return out
                continue
            if p[0] == 0xfb:
                return out
            n = p[0] if p[0] < 0xfb else int.from_bytes(p[1:3], "little")
            follows = not cache or p[-1] == 1
            for _ in range(n if follows else 0):
                take()
            if not deprecate:
                p = take()
                if p[0] == 0xff:
                    return out
                if kind == "cursor" and status(p) & 0x48 == 0x40:
                    return out
            p = until_end()
            if p is None or not status(p) & 8:
                return out

    def query(self, sql):
        self.send(bytes([QUERY]) + (sql if isinstance(sql, bytes) else sql.encode()))
        return self.reply()

    def closed(self):
        """True when the other side has closed and nothing was left to read."""
        try:
            return self.buffer == b"" and self.s.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.s.close()


def frame(body, seq=0):
    out = b""
    while True:
        part, body = body[:0xffffff], body[0xffffff:]
        out += len(part).to_bytes(3, "little") + bytes([seq & 255]) + part
        seq += 1
        if len(part) < 0xffffff:
            return out


def parse_greeting(p):
    assert p[0] == 10, p
    at = p.index(b"\0", 1) + 1
    connection_id = struct.unpack("<I", p[at:at + 4])[0]
    nonce = p[at + 4:at + 12]
    at += 13
    low, _, _, high = struct.unpack("<HBHH", p[at:at + 7])
    ext = struct.unpack("<I", p[at + 14:at + 18])[0]
    caps = low | high << 16
    if not caps & 1:
        caps |= ext << 32
    nonce += p[at + 18:at + 30]
    return caps, nonce, connection_id


def error_of(packet):
    assert packet[0] == 0xff, packet
    code = struct.unpack("<H", packet[1:3])[0]
    if packet[3:4] == b"#":
        return code, packet[4:9].decode(), packet[9:].decode()
    return code, None, packet[3:].decode()


@pytest.fixture(scope="module")
def relay_db():
    base = Path(tempfile.mkdtemp(prefix="relay-", dir=dc.run_dir()))
    base.chmod(0o755)
    server = dc.MariaDB("relay", base, 1, options={"max-connections": "2000"}).start()
    server.sql("INSTALL SONAME 'auth_ed25519'",
               "CREATE DATABASE wire",
               "CREATE USER '%s'@'%%' IDENTIFIED BY '%s'" % (USER, PASSWORD),
               "GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION" % USER,
               "CREATE USER wire_ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('other-secret')",
               "CREATE USER wire_old@'%' IDENTIFIED BY 'old-secret'",
               "GRANT ALL ON wire.* TO wire_ed@'%'",
               "GRANT ALL ON wire.* TO wire_old@'%'",
               "DELETE FROM mysql.global_priv WHERE user=''", "FLUSH PRIVILEGES")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def relay(relay_db):
    r = Relay("127.0.0.1:%d" % relay_db.port).start()
    yield r
    assert r.alive(), r.log_tail()
    end(r)


@pytest.fixture
def start_relay():
    made = []

    def start(*args, **kw):
        r = Relay(*args, **kw)
        made.append(r)
        return r.start()
    yield start
    for r in made:
        end(r)


def end(relay):
    """Stop it in order, so that a leak is seen too, and read what a sanitizer said."""
    if relay.alive():
        relay.signal(signal.SIGTERM)
        try:
            relay.child.wait(1)
        except subprocess.TimeoutExpired:
            if relay.alive():
                relay.signal(signal.SIGTERM)
    try:
        code = relay.child.wait(20)
    except subprocess.TimeoutExpired:
        code = "none in 20 s"
    relay.kill()
    log = relay.log_text()
    assert "Sanitizer" not in log and "runtime error" not in log, log[-8000:]
    assert "reply_not_understood" not in log or relay.odd_database, log[-4000:]
    assert code == 0, (code, log[-4000:])


def run_client(port, scenario, timeout=120):
    return subprocess.run(
        [binary("wire_client"), "127.0.0.1", str(port), USER, PASSWORD, scenario],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
