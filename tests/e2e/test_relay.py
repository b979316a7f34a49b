"""The wire relay alone: what a client sees through it is what it sees at the database.

wire_client (libmariadb) and raw packets run twice, directly and through relay_only, and what
they see must be equal; then what the relay itself adds: refusals, SHOW DIARCHY, bounded
memory, and how it behaves when either side goes away.
"""
import signal
import socket
import struct
import subprocess
import threading
import time

import pymysql
import pytest

from tests.e2e.relay_fixtures import *  # noqa: F401,F403
from tests.e2e.relay_fixtures import (BASE, BULK, CACHE_META, CLOSE, COMPRESS, DEPRECATE_EOF,
                                      EXECUTE, EXT_META, FETCH, LAST, MULTI_STATEMENTS,
                                      PASSWORD, PREPARE, PROGRESS, QUERY, QUERY_ATTRIBUTES, QUIT,
                                      SSL, USER, ZSTD, Packets, binary, error_of, frame,
                                      parse_greeting, run_client)
from tests.lib import dc

SCENARIOS = ["text", "commands", "prepared", "many_params", "cursor", "long_data", "bulk",
             "multi", "call", "infile", "change_user", "reset", "big", "server_ends"]
CAPS = {"eof": BASE, "deprecate": BASE | DEPRECATE_EOF,
        "cache": BASE | CACHE_META, "deprecate+cache": BASE | DEPRECATE_EOF | CACHE_META,
        "all": BASE | DEPRECATE_EOF | CACHE_META | EXT_META | BULK | PROGRESS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_as_direct(relay_db, relay, scenario):
    direct = run_client(relay_db.port, scenario)
    through = run_client(relay.port, scenario)
    assert direct.returncode == 0 and b"== " + scenario.encode() in direct.stdout
    assert through.stdout.decode("latin1") == direct.stdout.decode("latin1")
    assert through.returncode == 0


def test_only_what_is_relayed_is_offered(relay_db, relay):
    direct = Packets(relay_db.port)
    through = Packets(relay.port)
    masked = SSL | COMPRESS | ZSTD | QUERY_ATTRIBUTES
    assert direct.offered & COMPRESS and not through.offered & masked
    for bit in (DEPRECATE_EOF, CACHE_META, EXT_META, BULK, PROGRESS, MULTI_STATEMENTS):
        assert through.offered & bit == direct.offered & bit


def test_client_that_switches_on_what_was_not_offered(relay):
    c = Packets(relay.port, BASE | COMPRESS | ZSTD | (1 << 33))
    assert c.query("SELECT 1")[-2] == b"\x011"


def exchange(c):
    """Everything one session can see, as packets."""
    seen = [c.query("SELECT 1, 'a', NULL UNION SELECT 2, 'b', NULL"),
            c.query("CREATE OR REPLACE TABLE x (id INT PRIMARY KEY, v TEXT)"),
            c.query("INSERT INTO x SELECT seq, REPEAT('v', seq) FROM seq_1_to_300"),
            c.query("SELECT 1; SELECT * FROM x WHERE id < 5; DO 1; SELECT 2"),
            c.query("SELECT id, (SELECT v FROM x y WHERE y.id <= x.id) FROM x ORDER BY id"),
            c.query("SELECT 1; SELECT * FROM nothing")]

    def statement(sql):
        c.send(bytes([PREPARE]) + sql.encode())
        got = c.reply("prepare")
        if got[0][0] == 0:  # the server numbers statements over all sessions
            got[0] = got[0][:1] + b"<id>" + got[0][5:]
        seen.append(got)

    def execute(flags=0, id_=LAST, params=b""):
        c.send(bytes([EXECUTE]) + struct.pack("<IBI", id_, flags, 1) + params)
        seen.append(c.reply("cursor" if flags else "execute"))
    statement("SELECT * FROM x WHERE id < 4 ORDER BY id")
    for _ in range(3):
        execute()
    statement("SELECT v, id FROM x ORDER BY id")
    execute(1)
    for n in (1, 7, 100, 1000):
        c.send(bytes([FETCH]) + struct.pack("<II", LAST, n))
        seen.append(c.reply("fetch"))
    c.query("CREATE OR REPLACE PROCEDURE inside() BEGIN DECLARE v INT; DECLARE k CURSOR FOR "
            "SELECT 5; OPEN k; FETCH k INTO v; SELECT v; SELECT v + 1; CLOSE k; END")
    c.query("CREATE OR REPLACE FUNCTION inside_f() RETURNS INT DETERMINISTIC BEGIN DECLARE v INT; "
            "DECLARE k CURSOR FOR SELECT 5; OPEN k; FETCH k INTO v; CLOSE k; RETURN v; END")
    seen.append(c.query("CALL inside()"))
    seen.append(c.query("SELECT inside_f() FROM x WHERE id < 3 AND inside_f() = 5"))
    statement("CALL inside()")
    execute()
    execute(1)
    statement("SELECT inside_f(), id FROM x WHERE id < 4 AND inside_f() = 5")
    execute()
    execute()
    statement("SELECT ? + 1, ?")
    execute(params=b"\0\1\3\0\3\0" + struct.pack("<ii", 4, 5))
    execute(id_=12345)
    statement("SELEC")
    execute()
    c.send(bytes([CLOSE]) + struct.pack("<I", 1))
    seen.append(c.query("SELECT 'still in step'"))
    return seen


@pytest.mark.parametrize("caps", CAPS)
def test_packets_equal_under_capabilities(relay_db, relay, caps):
    direct, through = Packets(relay_db.port, CAPS[caps]), Packets(relay.port, CAPS[caps])
    direct.seqs, through.seqs = [], []
    assert exchange(through) == exchange(direct)
    assert through.seqs == direct.seqs


@pytest.mark.parametrize("caps", CAPS)
def test_pipelining(relay_db, relay, caps):
    """500 commands in one write, of every kind, local replies among them."""
    c = Packets(relay.port, CAPS[caps])
    burst, kinds = b"", []
    for i in range(100):
        burst += frame(bytes([QUERY]) + b"SELECT %d, REPEAT('x', %d)" % (i, i * 37))
        burst += frame(bytes([PREPARE]) + b"SELECT %d + ?" % i)
        burst += frame(bytes([EXECUTE]) + struct.pack("<IBI", LAST, 0, 1) + b"\0\1\3\0" +
                       struct.pack("<i", 1000))
        burst += frame(bytes([QUERY]) + b"SET sql_log_bin=0")
        burst += frame(bytes([QUERY]) + (b"SHOW DIARCHY STATUS" if i % 10 == 0 else b"DO 1"))
        kinds += [("q", i), ("p", i), ("e", i), ("refused", i), ("show" if i % 10 == 0 else "do", i)]
    threading.Thread(target=c.s.sendall, args=(burst,), daemon=True).start()
    for kind, i in kinds:
        got = c.reply({"p": "prepare", "e": "execute"}.get(kind, "result"))
        if kind == "q":
            row = got[-2]
            assert row[1:1 + row[0]] == b"%d" % i and row.endswith(b"x" * (i * 37))
        elif kind == "e":
            assert struct.pack("<q", 1000 + i) in got[-2]
        elif kind == "refused":
            assert len(got) == 1 and "sql_log_bin" in error_of(got[0])[2]
        elif kind == "show":
            assert got[-3] == b"\x04kind\xfb\x00" and got[-2] == b"\x012\xfb\x00"
        elif kind == "do":
            assert len(got) == 1 and got[0][0] == 0
    assert c.query("SELECT 'still in step'")[-2].endswith(b"still in step")


def test_commands_in_the_smallest_pieces(relay):
    c = Packets(relay.port, BASE)
    for command in (bytes([QUERY]) + b"SELECT 'slow'", bytes([QUERY]) + b"SET sql_log_bin=0",
                    bytes([QUERY]) + b"SHOW DIARCHY CONFLICTS", b"\x0e",
                    bytes([PREPARE]) + b"SET sql_log_bin=0",
                    bytes([EXECUTE]) + struct.pack("<IBI", LAST, 0, 1),
                    bytes([EXECUTE]) + struct.pack("<IBI", 12345, 1, 1),
                    bytes([EXECUTE]) + struct.pack("<I", 12345), bytes([EXECUTE]) + b"abc"):
        for byte in frame(command):
            c.s.sendall(bytes([byte]))
            time.sleep(0.0005)
        got = c.reply()
        assert got
    assert c.query("SELECT 1")[-2] == b"\x011"


@pytest.mark.parametrize("sql", [
    "SET sql_log_bin=0", "set  SESSION sql_log_bin = OFF", "SET @a=1, sql_log_bin=0",
    "SET binlog_format=STATEMENT", "SET SESSION binlog_row_image=MINIMAL", "XA START 'x'",
    "SELECT 1; SET sql_log_bin=0", "/*!50000 SET sql_log_bin=0 */",
    "SET STATEMENT sql_log_bin=0 FOR INSERT INTO x VALUES (1)",
    "SELECT '" + "a" * 300000 + "'; SET sql_log_bin=0",
    "SELECT '" + "a" * 16000000 + "'; SET sql_log_bin=0",
    "SET sql_log_bin=0; SELECT '" + "a" * 17000000 + "'",
    "SET sql_log_bin=0; SELECT '" + "a" * (2 * 0xffffff - 29) + "'",
])
def test_refused(relay, sql):
    c = Packets(relay.port)
    c.seqs = []
    got = c.query(sql)
    assert len(got) == 1
    # the sequence goes on from the last packet of the command
    assert c.seqs == [(len(sql) + 1) // 0xffffff + 1]
    code, state, text = error_of(got[0])
    assert state != "HY000" or code != 0
    assert "diarchy" in text
    assert c.query("SELECT @@sql_log_bin, @@binlog_format")[-2] == b"\x011\x03ROW"
    # and as a prepared statement, with an EXECUTE of "the last" that must not run an older one
    c.send(bytes([PREPARE]) + b"CREATE OR REPLACE TABLE must_not_run (i INT)")
    c.reply("prepare")
    if len(sql) < 1000:
        c.s.sendall(frame(bytes([PREPARE]) + sql.encode()) +
                    frame(bytes([EXECUTE]) + struct.pack("<IBI", LAST, 0, 1)))
        first = error_of(c.reply("prepare")[0])
        second = error_of(c.reply("execute")[0])
        assert "diarchy" in first[2] or first[0] == 1064 or first[0] == 1295
        assert second[0] == 1243
    assert c.query("SHOW TABLES LIKE 'must_not_run'")[-1][0] == 0xfe
    assert b"must_not_run" not in b"".join(c.query("SHOW TABLES LIKE 'must_not_run'")[2:])[100:]


def test_large_single_statement_streams(relay_db, relay):
    """Plain DML is not collected: the database has the beginning before the end was sent."""
    c = Packets(relay.port, BASE & ~MULTI_STATEMENTS)
    before = relay.memory_kib()
    body = bytes([QUERY]) + b"SELECT LENGTH('" + b"s" * (12 << 20) + b"')"
    whole = frame(body)
    c.s.sendall(whole[:-1])
    assert relay.memory_kib() - before < 6000
    c.s.sendall(whole[-1:])
    assert c.reply()[-2] == b"\x0812582912"


def test_show_diarchy(relay):
    with pymysql.connect(host="127.0.0.1", port=relay.port, user=USER, password=PASSWORD) as c:
        with c.cursor() as cur:
            cur.execute("SHOW DIARCHY STATUS")
            assert [d[0] for d in cur.description] == ["name", "nothing", "empty"]
            assert cur.fetchall() == (("kind", None, ""), ("2", None, ""))
            with pytest.raises(pymysql.err.MySQLError) as e:
                cur.execute("show diarchy policies")
            assert e.value.args == (1105, "diarchy: no policies in relay_only")
            cur.execute("SELECT 1")
            assert cur.fetchall() == ((1,),)
    p = Packets(relay.port)
    p.send(bytes([PREPARE]) + b"SHOW DIARCHY STATUS")
    assert error_of(p.reply("prepare")[0])[0] == 1295


def test_console_while_the_client_leaves(relay_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % relay_db.port)
    for _ in range(20):
        c = Packets(relay.port)
        c.s.sendall(frame(bytes([QUERY]) + b"SHOW DIARCHY STATUS") * 3 +
                    frame(bytes([QUERY]) + b"SELECT 1"))
        c.close()
    dc.wait_until(lambda: relay.stats()["sessions"] == 0, 20, "sessions to end")


def test_client_that_leaves_has_its_commands_carried_out(relay_db, relay):
    relay_db.sql("CREATE OR REPLACE TABLE wire.left_behind (i INT)")
    c = Packets(relay.port)
    c.s.sendall(b"".join(frame(bytes([QUERY]) + b"INSERT INTO left_behind VALUES (%d)" % i)
                         for i in range(50)) + frame(bytes([QUIT])))
    c.s.shutdown(socket.SHUT_WR)
    dc.wait_until(lambda: relay_db.one("SELECT COUNT(*) FROM wire.left_behind") == 50, 20,
                  "the inserts sent before the client closed")
    c.close()


def test_half_closed_client_gets_its_answers(relay):
    c = Packets(relay.port)
    c.s.sendall(frame(bytes([QUERY]) + b"SELECT SLEEP(0.3), 7"))
    c.s.shutdown(socket.SHUT_WR)
    assert c.reply()[-2] == b"\x010\x017"
    assert c.closed()


def test_slow_client_and_large_result(relay_db, start_relay):
    """About 1 GB to a client that reads nothing for a while."""
    relay = start_relay("127.0.0.1:%d" % relay_db.port)
    c = Packets(relay.port, BASE | DEPRECATE_EOF)
    c.query("SELECT 1")
    before = relay.memory_kib()
    c.send(bytes([QUERY]) + b"SELECT REPEAT('r', 100000) FROM seq_1_to_10000")
    last = -1
    dc.wait_until(lambda: relay.stats()["down"] > 100000, 20, "the result to begin")
    for _ in range(5):
        got = relay.stats()["down"]
        if got == last:
            break
        last = got
        time.sleep(0.2)
    assert relay.memory_kib() - before < 4096
    assert relay.stats()["down"] < 100 << 20
    packets = c.reply()
    assert len(packets) == 10000 + 3 and all(len(p) == 100004 for p in packets[2:-1])
    assert relay.memory_kib("VmHWM") - before < 16384
    c.close()


def test_slow_database_and_large_statement(relay_db, relay):
    """A client that sends faster than the database takes: the relay keeps a buffer, not all."""
    c = Packets(relay.port, BASE & ~MULTI_STATEMENTS)
    before = relay.memory_kib()
    relay_db.signal(signal.SIGSTOP)
    try:
        body = bytes([QUERY]) + b"SELECT LENGTH('" + b"s" * (60 << 20) + b"')"
        t = threading.Thread(target=c.s.sendall, args=(frame(body),))
        t.start()
        time.sleep(1)
        assert relay.memory_kib() - before < 4096
    finally:
        relay_db.signal(signal.SIGCONT)
    t.join(60)
    assert c.reply()[-2] == b"\x0862914560"


def test_kill_by_id_shown_to_the_client(relay_db, relay):
    a, b = Packets(relay.port), Packets(relay.port)
    assert a.query("SELECT CONNECTION_ID()")[-2][1:] == str(a.id).encode()
    b.query("KILL %d" % a.id)
    dc.wait_until(lambda: relay_db.one(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE id=%d" % a.id) == 0,
        10, "the connection to be gone")
    rest = b""
    try:
        while True:
            data = a.s.recv(4096)
            if not data:
                break
            rest += data
    except ConnectionResetError:
        pass
    assert rest == b"" or b"killed" in rest
    b.send(bytes([QUERY]) + b"SELECT SLEEP(30)")
    with pymysql.connect(host="127.0.0.1", port=relay.port, user=USER, password=PASSWORD) as k:
        dc.wait_until(lambda: relay_db.one("SELECT COUNT(*) FROM information_schema.processlist "
                                           "WHERE id=%d AND state='User sleep'" % b.id) == 1,
                      10, "SLEEP to run")
        k.cursor().execute("KILL QUERY %d" % b.id)
    assert b.reply()[-1][0] in (0xfe, 0xff)
    assert b.query("SELECT 1")[-2] == b"\x011"


@pytest.fixture
def own_db():
    import pathlib
    import tempfile
    base = pathlib.Path(tempfile.mkdtemp(prefix="relay-own-", dir=dc.run_dir()))
    base.chmod(0o755)
    server = dc.MariaDB("relayown", base, 2).start()
    server.sql("CREATE DATABASE wire", "CREATE USER '%s'@'%%' IDENTIFIED BY '%s'" % (USER, PASSWORD),
               "GRANT ALL ON *.* TO '%s'@'%%'" % USER, "DELETE FROM mysql.global_priv WHERE user=''",
               "FLUSH PRIVILEGES")
    yield server
    server.kill()


def test_database_dies_and_returns(own_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % own_db.port)
    idle, busy = Packets(relay.port), Packets(relay.port)
    half = Packets(relay.port)
    busy.send(bytes([QUERY]) + b"SELECT SLEEP(100)")
    half.s.sendall(frame(bytes([QUERY]) + b"SELECT SLEEP(100)")[:9])
    sleeper = subprocess.Popen([binary("wire_client"), "127.0.0.1", str(relay.port), USER,
                                PASSWORD, "sleep"], stdout=subprocess.PIPE)
    dc.wait_until(lambda: relay.stats()["commands"] >= 1, 10, "the command to pass")
    dc.wait_until(lambda: own_db.one("SELECT COUNT(*) FROM information_schema.processlist "
                                     "WHERE state='User sleep'") == 2, 10, "SLEEP to run")
    own_db.kill()
    code, state, text = error_of(busy.packet())
    assert (code, state) == (1927, "08S01")
    assert "database behind diarchy" in text and "127.0.0.1:%d" % own_db.port in text
    assert busy.seqs[-1] == 1
    said = sleeper.communicate(timeout=20)[0].decode()
    assert "error 1927 (08S01) Lost connection to the database behind diarchy" in said, said
    assert busy.closed() and idle.closed() and half.closed()
    dc.wait_until(lambda: relay.stats()["sessions"] == 0, 10, "sessions to end")
    fresh = Packets(relay.port, login=False)
    code, state, text = error_of(fresh.packet())
    assert (code, state) == (1429, "08001")
    assert "diarchy cannot reach the database at 127.0.0.1:%d" % own_db.port in text
    assert "errno 111" in text
    assert fresh.closed()
    with pytest.raises(pymysql.err.OperationalError) as e:
        pymysql.connect(host="127.0.0.1", port=relay.port, user=USER, password=PASSWORD)
    assert e.value.args[0] == 1429 and "diarchy" in str(e.value)
    cli = run_client(relay.port, "text").stdout.decode()
    assert "1429" in cli and "diarchy cannot reach the database" in cli, cli
    own_db.start()
    assert Packets(relay.port).query("SELECT 1")[-2] == b"\x011"
    stats = relay.stats()
    assert stats["backend_lost"] == 2 and stats["connect_failures"] >= 2


def test_database_that_accepts_and_says_nothing(start_relay):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        relay = start_relay("127.0.0.1:%d" % deaf.getsockname()[1], connect_ms=300)
        c = Packets(relay.port, login=False)
        code, _, text = error_of(c.packet())
        assert code == 1429 and "timed out" in text


def test_database_that_speaks_nonsense(start_relay):
    for words in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\0\0\0\x09old!", b"\0\0\0\0",
                  b"\xff\xff\xff\0" + b"x" * 100):
        with socket.socket() as odd:
            odd.bind(("127.0.0.1", 0))
            odd.listen(5)
            relay = start_relay("127.0.0.1:%d" % odd.getsockname()[1], connect_ms=500)
            c = Packets(relay.port, login=False)
            peer, _ = odd.accept()
            peer.sendall(words)
            peer.shutdown(socket.SHUT_WR)
            c.s.settimeout(10)
            data = b""
            while True:
                got = c.s.recv(4096)
                if not got:
                    break
                data += got
            assert data == b"" or data[4] == 0xff
            peer.close()
            assert relay.alive()


def test_probes_log_nothing(relay_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % relay_db.port)
    for _ in range(20):
        socket.create_connection(("127.0.0.1", relay.port)).close()
        c = Packets(relay.port, login=False)
        parse_greeting(c.packet())
        c.send(bytes([QUIT]), 1)
        assert c.closed()
        c = Packets(relay.port, login=False)
        c.packet()
        c.close()
    dc.wait_until(lambda: relay.stats()["sessions"] == 0, 10, "sessions to end")
    assert [line for line in relay.log_text().splitlines()
            if "level=" in line and "level=debug" not in line
            and "event=listening" not in line] == []
    assert relay.stats()["protocol_errors"] == 0


def test_logins_that_cannot_be(relay):
    def answer(body):
        c = Packets(relay.port, login=False)
        c.packet()
        c.send(body, 1)
        return error_of(c.packet())
    tls = answer(struct.pack("<IIB23x", BASE | SSL, 1 << 24, 45))
    assert tls[0] == 1043 and "TLS" in tls[2]
    assert answer(b"\x05\x00\x00\x00\x00root\x00")[0] == 1043
    assert answer(struct.pack("<IIB23x", BASE, 1 << 24, 45) + b"no end")[0] == 1043
    assert answer(b"x" * 200000)[0] == 1043
    with pytest.raises(pymysql.err.OperationalError) as e:
        pymysql.connect(host="127.0.0.1", port=relay.port, user=USER, password="wrong")
    assert e.value.args[0] == 1045


def test_commands_before_the_login_is_complete(relay):
    """A client may send its first command without waiting for the OK of the login."""
    from pymysql import _auth
    c = Packets(relay.port, login=False)
    c.offered, nonce, _ = parse_greeting(c.packet())
    c.caps = BASE
    auth = _auth.scramble_native_password(PASSWORD.encode(), nonce)
    body = (struct.pack("<IIB23x", BASE | 8, 1 << 24, 45) + USER.encode() + b"\0" +
            bytes([len(auth)]) + auth + b"wire\0mysql_native_password\0")
    c.s.sendall(frame(body, 1) + frame(bytes([QUERY]) + b"SELECT 5") +
                frame(bytes([QUERY]) + b"SELECT 6"))
    assert c.packet()[0] == 0
    assert c.reply()[-2] == b"\x015"
    assert c.reply()[-2] == b"\x016"


def test_max_connections(relay_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % relay_db.port, max_connections=2)
    a, b = Packets(relay.port), Packets(relay.port)
    c = Packets(relay.port, login=False)
    assert error_of(c.packet())[0] == 1040
    assert relay.stats()["refused"] == 1
    a.close()
    dc.wait_until(lambda: relay.stats()["sessions"] == 1, 10, "the first to leave")
    assert Packets(relay.port).query("SELECT 1") and b.query("SELECT 1")


def test_unix_socket(relay_db, start_relay):
    relay = start_relay(str(relay_db.socket))
    assert Packets(relay.port).query("SELECT 1")[-2] == b"\x011"


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_drain(relay_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % relay_db.port)
    relay_db.sql("CREATE OR REPLACE TABLE wire.d (i INT)")
    idle, busy, open_ = (Packets(relay.port) for _ in range(3))
    open_.query("BEGIN")
    open_.query("INSERT INTO d VALUES (1)")
    busy.send(bytes([QUERY]) + b"SELECT SLEEP(1), 'done'")
    dc.wait_until(lambda: relay_db.one("SELECT COUNT(*) FROM information_schema.processlist "
                                       "WHERE state='User sleep'") == 1, 10, "SLEEP to run")
    relay.signal(signal.SIGTERM)
    assert idle.closed()
    dc.wait_until(lambda: refused(relay.port), 10, "all loops to stop listening")
    assert busy.reply()[-2].endswith(b"done")
    assert busy.closed()
    open_.query("INSERT INTO d VALUES (2)")
    open_.query("COMMIT")
    assert open_.closed()
    dc.wait_until(lambda: relay.exited() is not None, 10, "the relay to end")
    assert relay.exited() == 0
    assert relay_db.one("SELECT COUNT(*) FROM wire.d") == 2


def test_idle_connections_are_small(relay_db, start_relay):
    relay = start_relay("127.0.0.1:%d" % relay_db.port)
    warm = [Packets(relay.port) for _ in range(20)]
    before = relay.memory_kib()
    many = [Packets(relay.port) for _ in range(500)]
    for c in many:
        assert c.query("SELECT REPEAT('a', 5000)")
    per = (relay.memory_kib() - before) / len(many)
    sanitized = "asan" in open("/proc/%d/maps" % relay.pid).read()
    assert per < (40 if sanitized else 10), per
    for c in warm + many:
        c.close()
    dc.wait_until(lambda: relay.stats()["sessions"] == 0, 30, "sessions to end")


def test_replication_stream_passes(relay_db, relay):
    """A replica can attach through the relay; the stream has no end, and ends with QUIT."""
    relay_db.sql("CREATE OR REPLACE TABLE wire.s (i INT)")
    c = Packets(relay.port)
    c.query("SET @master_binlog_checksum='NONE'")
    c.query("SET @mariadb_slave_capability=4")
    log, pos = relay_db.sql("SHOW MASTER STATUS")[0]["File"], \
        relay_db.sql("SHOW MASTER STATUS")[0]["Position"]
    c.send(bytes([0x15]) + struct.pack("<IBBBHII", 4242, 0, 0, 0, 0, 0, 0))
    assert c.packet()[0] == 0
    c.send(bytes([0x12]) + struct.pack("<IHI", pos, 0, 4242) + log.encode())
    relay_db.sql("INSERT INTO wire.s VALUES (77)")
    seen = set()
    while 23 not in seen:
        p = c.packet()
        assert p[0] == 0, error_of(p)
        seen.add(p[5])
    c.close()
