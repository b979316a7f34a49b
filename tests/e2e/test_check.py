"""tests/e2e/test_check.py - `diarchy check` against a real server: every wrong setting is found,
and where the remedy is SQL, running it makes the finding go away."""
import json
import re
import subprocess
import tempfile
from pathlib import Path

import pymysql
import pytest

from tests.lib import dc

RESERVED = 3516923904
GOOD = {"log-bin": "binlog", "binlog-expire-logs-seconds": "604800", "max-allowed-packet": "128M",
        "innodb-flush-log-at-trx-commit": "1", "sync-binlog": "1",
        "auto-increment-increment": "2", "auto-increment-offset": "1",
        "log-bin-trust-function-creators": "1"}


def make_server(options, without=()):
    base = tempfile.mkdtemp(prefix="check-", dir=dc.run_dir())
    Path(base).chmod(0o755)
    server = dc.MariaDB("check", base, 1, options={**GOOD, **options})
    for name in without:
        server.options.pop(name, None)
    server.start()
    server.create_accounts()
    # With SUPER run sets what it can by itself; the tests of privileges make their accounts.
    server.sql("GRANT ALL ON *.* TO '%s'@'%%'" % dc.DIARCHY_ACCOUNT[0], log_bin=False)
    return server


@pytest.fixture(scope="module")
def server():
    s = make_server({})
    yield s
    s.kill()


class Checker:
    def __init__(self, server, account=dc.DIARCHY_ACCOUNT, extra="", replicate=None):
        self.proxy = dc.Diarchy("east", 1, tempfile.mkdtemp(prefix="check-", dir=dc.run_dir()),
                                server, peers=[("west", 2, "127.0.0.1:1")], account=account,
                                extra=extra, replicate=replicate)
        self.proxy.write_config()

    def __call__(self):
        done = self.proxy.command("check", "--json")
        assert done.stdout, done.stderr
        report = json.loads(done.stdout)
        assert report["ok"] == (report["fatal"] == 0)
        assert done.returncode == (0 if report["ok"] else 1), done.stderr
        for level in ("fatal", "warn", "info"):
            assert report[level] == sum(f["severity"] == level for f in report["findings"])
        for f in report["findings"]:
            assert f["what"] and (f["remedy"] or f["severity"] != "fatal"), f
        return report["findings"]

    def find(self, id, severity=None, containing=""):
        return [f for f in self() if f["id"] == id and containing in f["what"] and
                severity in (None, f["severity"])]


@pytest.fixture
def check(server):
    return Checker(server)


def remedy_sql(finding):
    """The statements at the beginning of a remedy."""
    text = re.split(r"; (?:and|then|or|so|unless|when)\b", finding["remedy"])[0]
    return [s.strip() for s in text.split(";") if s.strip()]


def worst(findings):
    return [f for f in findings if f["severity"] == "fatal"]


def test_good_server_has_nothing_fatal(check):
    found = check()
    assert not worst(found), found
    assert not [f for f in found if f["severity"] == "warn" and
                f["id"] != "account_privileges"], found
    text = check.proxy.command("check")
    assert text.returncode == 0 and text.stdout.splitlines()[-1].startswith("good: nothing fatal")


@pytest.mark.parametrize("variable,wrong,id,severity", [
    ("binlog_format", "'MIXED'", "binlog_format", "fatal"),
    ("binlog_format", "'STATEMENT'", "binlog_format", "fatal"),
    ("binlog_row_image", "'MINIMAL'", "binlog_row_image", "fatal"),
    ("binlog_row_image", "'NOBLOB'", "binlog_row_image", "fatal"),
    ("binlog_row_metadata", "'NO_LOG'", "binlog_row_metadata", "fatal"),
    ("binlog_row_metadata", "'MINIMAL'", "binlog_row_metadata", "fatal"),
    ("binlog_checksum", "'NONE'", "binlog_checksum", "warn"),
    ("mysql56_temporal_format", 0, "mysql56_temporal_format", "fatal"),
    ("server_id", RESERVED, "server_id", "fatal"),
    ("server_id", RESERVED + 63, "server_id", "fatal"),
    ("gtid_domain_id", RESERVED + 1, "gtid_domain_id", "fatal"),
    ("max_allowed_packet", 8 << 20, "max_allowed_packet", "fatal"),
    ("max_allowed_packet", 32 << 20, "max_allowed_packet", "warn"),
    ("slave_max_allowed_packet", 1 << 20, "slave_max_allowed_packet", "warn"),
    ("auto_increment_increment", 1, "auto_increment", "warn"),
    ("auto_increment_offset", 2, "auto_increment", "warn"),
    ("innodb_flush_log_at_trx_commit", 0, "durability", "warn"),
    ("sync_binlog", 0, "durability", "warn"),
    ("binlog_expire_logs_seconds", 3600, "binlog_expire", "warn"),
    ("read_only", 1, "read_only", "warn"),
    ("default_storage_engine", "'Aria'", "default_storage_engine", "warn"),
])
def test_setting(server, check, variable, wrong, id, severity):
    before = server.one("SELECT @@global.%s" % variable)
    assert not check.find(id, severity)
    server.sql("SET GLOBAL %s=%s" % (variable, wrong))
    try:
        found = check.find(id, severity)
        assert len(found) == 1, check()
        for statement in remedy_sql(found[0]):
            server.sql(statement)
        assert not check.find(id, severity), "the remedy did not help: %s" % found[0]["remedy"]
    finally:
        server.sql("SET GLOBAL %s=%r" % (variable, before))


@pytest.mark.parametrize("options,without,id", [
    ({}, ("log-bin",), "log_bin"),
    ({"binlog-ignore-db": "shop"}, (), "binlog_ignore_db"),
    ({"binlog-do-db": "shop"}, (), "binlog_do_db"),
])
def test_start_option(options, without, id):
    server = make_server(options, without)
    try:
        found = Checker(server)()
        assert [f["id"] for f in worst(found)] == [id]
    finally:
        server.kill()


def test_tables(server, check):
    server.sql("CREATE DATABASE shop",
               "CREATE TABLE shop.nokey (a INT)",
               "CREATE TABLE shop.`my``isam` (a INT PRIMARY KEY) ENGINE=MyISAM",
               "CREATE TABLE shop.good (id INT PRIMARY KEY, u INT UNIQUE, p INT, "
               "FOREIGN KEY (p) REFERENCES good (id) ON DELETE CASCADE)",
               "CREATE TRIGGER shop.tr BEFORE INSERT ON shop.good FOR EACH ROW SET NEW.u=NEW.id",
               "CREATE SEQUENCE shop.seq", "CREATE SEQUENCE shop.fine INCREMENT BY 0",
               "CREATE EVENT shop.ev ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    try:
        assert [f["what"].split()[0] for f in check.find("primary_key")] == ["`shop`.`nokey`"]
        engine = check.find("engine", "warn")
        assert len(engine) == 1 and "`shop`.`my``isam`" in engine[0]["what"]
        server.sql(*remedy_sql(engine[0]))
        assert not check.find("engine")
        sequence = check.find("sequence", "warn")
        assert len(sequence) == 1 and "`shop`.`seq`" in sequence[0]["what"]
        server.sql(*remedy_sql(sequence[0]))
        assert not check.find("sequence")
        assert check.find("triggers", "info", "1 triggers")
        assert check.find("cascades", "info", "1 foreign")
        assert check.find("unique_keys", "info", "1 tables")
        event = check.find("events", "info", "`shop`.`ev`")
        assert len(event) == 1
        server.sql("SET GLOBAL event_scheduler=ON")
        assert check.find("events", "warn", "`shop`.`ev`")
        server.sql("SET GLOBAL event_scheduler=OFF")
        server.sql("ALTER EVENT shop.ev DISABLE ON SLAVE", log_bin=False)
        assert not check.find("events")
        # What is not replicated is nobody's concern.
        assert not Checker(server, replicate=["other.*"]).find("primary_key")
        assert not Checker(server, extra='exclude: ["shop.nokey"]').find("primary_key")
    finally:
        server.sql("DROP DATABASE shop")


def test_old_fractions(server, check):
    """Columns of the format before 10.1 are fatal with a fraction, fine without, and ALTER TABLE
    FORCE makes new ones of them; not while the server still makes old ones."""
    server.sql("SET GLOBAL mysql56_temporal_format=OFF", "CREATE DATABASE shop",
               "CREATE TABLE shop.`o``ld` (id INT PRIMARY KEY, a TIME(6), b DATETIME(3), "
               "c TIMESTAMP(1) NULL, d TIME, e DATETIME)",
               "CREATE TABLE shop.plain (id INT PRIMARY KEY, a TIME, b DATETIME, c TIMESTAMP)",
               "CREATE VIEW shop.v AS SELECT * FROM shop.`o``ld`")
    try:
        found = check.find("temporal_format", "fatal")
        assert len(found) == 1 and "`shop`.`o``ld` keeps a, b, c in" in found[0]["what"], found
        server.sql(*remedy_sql(found[0]))
        assert check.find("temporal_format", "fatal")
        server.sql(*remedy_sql(check.find("mysql56_temporal_format", "fatal")[0]))
        server.sql(*remedy_sql(found[0]))
        assert not check.find("temporal_format") and not check.find("mysql56_temporal_format")
        server.sql("CREATE TABLE shop.fresh (id INT PRIMARY KEY, a DATETIME(6))")
        assert not check.find("temporal_format")
    finally:
        server.sql("SET GLOBAL mysql56_temporal_format=ON", "DROP DATABASE shop")


def test_auto_increment_that_a_restart_undoes():
    """Right only by SET GLOBAL is a warning that names the lines; those lines end it."""
    server = make_server({}, without=("auto-increment-increment", "auto-increment-offset"))
    try:
        check = Checker(server)
        wrong = check.find("auto_increment", "warn")
        assert len(wrong) == 1
        server.sql(*remedy_sql(wrong[0]))
        assert not check.find("auto_increment", "warn")
        found = check.find("auto_increment_restart", "warn")
        assert len(found) == 1
        lines = re.findall(r"`(\w+)=(\d+)`", found[0]["remedy"])
        assert lines == [("auto_increment_increment", "2"), ("auto_increment_offset", "1")]
        assert lines == re.findall(r"`(\w+)=(\d+)`", wrong[0]["remedy"])
        server.stop()
        server.options.update((name.replace("_", "-"), value) for name, value in lines)
        server.start()
        assert not check.find("auto_increment_restart") and not check.find("auto_increment")
    finally:
        server.kill()


def minimal_account(server, name, replicate=None):
    """An account that has exactly what the remedies of check name, after repeated asking."""
    server.sql("CREATE OR REPLACE USER '%s'@'%%' IDENTIFIED BY 'pw'" % name, log_bin=False)
    check = Checker(server, account=(name, "pw"), replicate=replicate)
    found = check.find("privileges", "fatal")
    assert found
    for f in found:
        server.sql(*remedy_sql(f), log_bin=False)
    assert not check.find("privileges")
    return check


def test_privileges_each_one_is_missed(server):
    check = minimal_account(server, "least")
    assert not [f for f in worst(check()) if f["id"] != "auto_increment"], check()
    grants = server.one("SHOW GRANTS FOR least@'%'")
    held = re.match(r"GRANT (.*) ON \*\.\* TO", grants).group(1).split(", ")
    assert "SUPER" not in held and len(held) == 22, held
    for privilege in held:
        server.sql("REVOKE %s ON *.* FROM least@'%%'" % privilege, log_bin=False)
        found = check.find("privileges", "fatal", "lacks %s on" % privilege)
        assert len(found) == 1, privilege
        server.sql(*remedy_sql(found[0]), log_bin=False)
    assert not check.find("privileges")


def test_privileges_on_the_replicated_databases_suffice(server):
    check = minimal_account(server, "scoped", replicate=["my_shop.*", "other.a", "other.b"])
    held = {re.search(r" ON (\S+) TO", g["Grants for scoped@%"]).group(1)
            for g in server.sql("SHOW GRANTS FOR scoped@'%'")}
    assert held == {"*.*", r"`my\_shop`.*", "`other`.*", "`diarchy`.*"}
    # Not by way of another database that the pattern's underscore would have matched.
    server.sql(r"REVOKE ALL ON `my\_shop`.* FROM scoped@'%'",
               r"GRANT ALL ON `my\\_shop2`.* TO scoped@'%'", log_bin=False)
    assert check.find("privileges", "fatal", "on my_shop,")


def test_privileges_by_role(server):
    server.sql("CREATE OR REPLACE USER 'byrole'@'%' IDENTIFIED BY 'pw'",
               "CREATE OR REPLACE ROLE replicator", "GRANT ALL ON *.* TO replicator",
               "GRANT replicator TO 'byrole'@'%'", log_bin=False)
    check = Checker(server, account=("byrole", "pw"))
    assert check.find("privileges", "fatal")
    server.sql("SET DEFAULT ROLE replicator FOR 'byrole'@'%'", log_bin=False)
    assert not check.find("privileges")


def test_the_least_privileges_are_enough_for_the_work(server):
    """What capture and apply do, done by hand as the account that check asked for."""
    minimal_account(server, "worker")
    server.sql("CREATE DATABASE work", "CREATE TABLE work.t (id INT PRIMARY KEY, a INT)",
               "FLUSH BINARY LOGS", "INSERT INTO work.t VALUES (1, 1)")
    log = server.sql("SHOW MASTER STATUS")[0]["File"]
    try:
        stream = subprocess.run(
            ["mariadb-binlog", "--read-from-remote-server", "--host=127.0.0.1",
             "--port=%d" % server.port, "--user=worker", "--password=pw", log],
            stdout=subprocess.PIPE, check=True, text=True).stdout
        events = re.findall(r"BINLOG '\n(.*?)'", stream, re.S)
        assert len(events) == 2
        c = pymysql.connect(host="127.0.0.1", port=server.port, user="worker", password="pw",
                            autocommit=True)
        with c, c.cursor() as cur:
            server.sql("DELETE FROM work.t")
            for statement in (
                    "SHOW BINARY LOGS", "SHOW MASTER STATUS", "SELECT @@gtid_binlog_pos",
                    "SET SESSION gtid_domain_id=%d, server_id=%d" % (RESERVED + 2, RESERVED + 2),
                    "SET SESSION binlog_annotate_row_events=0",
                    "SET GLOBAL slave_type_conversions='ALL_NON_LOSSY'",
                    "SET SESSION gtid_seq_no=1000", "START TRANSACTION",
                    "BINLOG '%s'" % events[0], "BINLOG '%s'" % events[1],
                    "SELECT * FROM work.t WHERE id=1 FOR UPDATE", "COMMIT",
                    "CREATE DATABASE work2", "CREATE TABLE work2.a (id INT PRIMARY KEY)",
                    "CREATE TABLE work2.b (id INT PRIMARY KEY, "
                    "FOREIGN KEY (id) REFERENCES a (id)) SELECT id FROM work.t WHERE 0",
                    "ALTER TABLE work2.a ADD b INT, ADD INDEX (b)", "RENAME TABLE work2.a TO work2.c",
                    "CREATE INDEX i ON work2.c (b)", "TRUNCATE TABLE work2.b",
                    "CREATE DEFINER=app@nowhere VIEW work2.v AS SELECT * FROM work2.c",
                    "CREATE DEFINER=app@nowhere PROCEDURE work2.p() SELECT 1",
                    "CREATE DEFINER=app@nowhere FUNCTION work2.f() RETURNS INT RETURN 1",
                    "CREATE DEFINER=app@nowhere TRIGGER work2.tr BEFORE INSERT ON work2.c "
                    "FOR EACH ROW SET NEW.b=1",
                    "CREATE DEFINER=app@nowhere EVENT work2.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
                    "CREATE SEQUENCE work2.s INCREMENT BY 0", "DROP TABLE work2.b",
                    "ALTER DATABASE work2 CHARACTER SET latin1", "DROP DATABASE work2"):
                try:
                    cur.execute(statement)
                except pymysql.err.MySQLError as e:
                    pytest.fail("%s: %s" % (statement[:80], e))
        assert server.one("SELECT COUNT(*) FROM work.t") == 1
    finally:
        server.sql("DROP DATABASE work", "DROP DATABASE IF EXISTS work2",
                   "SET GLOBAL slave_type_conversions=''")


def test_read_only_needs_its_privilege(server):
    check = minimal_account(server, "readonly")
    server.sql("SET GLOBAL read_only=1")
    try:
        assert check.find("read_only", "fatal")
        server.sql("GRANT READ_ONLY ADMIN ON *.* TO readonly@'%'", log_bin=False)
        assert check.find("read_only", "warn")
    finally:
        server.sql("SET GLOBAL read_only=0")


def test_without_super_auto_increment_and_functions_are_the_operators(server):
    check = minimal_account(server, "nosuper")
    server.sql("SET GLOBAL auto_increment_increment=1, GLOBAL log_bin_trust_function_creators=0")
    try:
        assert check.find("auto_increment", "fatal")
        assert check.find("log_bin_trust_function_creators", "warn")
        server.sql(*remedy_sql(check.find("auto_increment")[0]))
        server.sql(*remedy_sql(check.find("log_bin_trust_function_creators")[0]))
        assert not check.find("auto_increment")
        assert not check.find("log_bin_trust_function_creators")
    finally:
        server.sql("SET GLOBAL auto_increment_increment=2, "
                   "GLOBAL log_bin_trust_function_creators=1")


def test_accounts_that_can_hide_writes_are_named(server, check):
    server.sql("CREATE OR REPLACE USER 'sneaky'@'%'",
               "GRANT BINLOG ADMIN, SELECT ON *.* TO 'sneaky'@'%'",
               "CREATE OR REPLACE USER 'plain'@'%'", "GRANT ALL ON shop.* TO 'plain'@'%'",
               log_bin=False)
    found = check.find("account_privileges", "warn", "'sneaky'@'%' has BINLOG ADMIN:")
    assert len(found) == 1
    server.sql(*remedy_sql(found[0]), log_bin=False)
    assert not check.find("account_privileges", "warn", "sneaky")
    assert not check.find("account_privileges", "warn", "plain")
    assert not check.find("account_privileges", "warn", "'%s'@" % dc.DIARCHY_ACCOUNT[0])


def test_replicate_users_needs_more(server):
    minimal_account(server, "users")
    check = Checker(server, account=("users", "pw"), extra="replicate_users: true")
    found = check.find("privileges", "fatal", "replicate_users")
    assert len(found) == 1
    server.sql(*remedy_sql(found[0]), log_bin=False)
    assert not check.find("privileges")


def test_no_connection_is_a_finding(server):
    found = Checker(server, account=("diarchy", "wrong"))()
    assert [f["id"] for f in worst(found)] == ["connect"]
    assert "Access denied" in found[0]["what"] and "password" in found[0]["what"]
    check = Checker(server)
    text = check.proxy.config.read_text()
    check.proxy.config.write_text(text.replace(str(server.socket), "/nonexistent.sock"))
    found = check()
    assert [f["id"] for f in worst(found)] == ["connect"]
    assert "/nonexistent.sock" in found[0]["what"] and "server runs" in found[0]["what"]


def test_run_prepares_once_and_leaves_no_trace_after(server):
    """The schema is made under the bookkeeping ids; a second start writes nothing."""
    server.sql("SET GLOBAL auto_increment_increment=1", "DROP DATABASE IF EXISTS diarchy")
    proxy = Checker(server).proxy
    positions = []
    for _ in range(2):
        proxy.start(ready=False)
        dc.wait_until(lambda: proxy.http("/status")[0] == 200 and
                      server.one("SELECT value FROM diarchy.meta WHERE name='schema_version'") and
                      server.one("SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                                 "WHERE COMMAND='Binlog Dump'"), what="diarchy capturing")
        proxy.stop()
        positions.append(server.one("SELECT @@gtid_binlog_pos"))
    assert positions[0] == positions[1]
    assert re.search(r"\b%d-%d-\d+" % (RESERVED, RESERVED), positions[0])
    assert server.one("SELECT @@global.auto_increment_increment") == 2
    tables = [r["TABLE_NAME"] for r in server.sql(
        "SELECT TABLE_NAME, ENGINE, TABLE_COLLATION FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA='diarchy' AND ENGINE='InnoDB' AND TABLE_COLLATION LIKE 'utf8mb4%' "
        "ORDER BY 1")]
    assert tables == ["applied", "conflicts", "meta"]
    # Every event of it has the ids that capture does not ship.
    log = server.sql("SHOW MASTER STATUS")[0]["File"]
    own = [r for r in server.sql("SHOW BINLOG EVENTS IN '%s'" % log) if "diarchy." in r["Info"] and
           r["Info"].startswith(("CREATE", "table_id"))]
    assert len(own) >= 4 and all(r["Server_id"] == RESERVED for r in own), own


def test_run_refuses_what_check_calls_fatal(server):
    server.sql("SET GLOBAL binlog_row_image=MINIMAL")
    proxy = Checker(server).proxy
    try:
        proxy.start(ready=False)
        dc.wait_until(lambda: proxy.exited() is not None, what="diarchy to refuse")
        assert proxy.exited() != 0
        assert "binlog_row_image" in proxy.log_text() and "SET GLOBAL" in proxy.log_text()
    finally:
        server.sql("SET GLOBAL binlog_row_image=FULL")
        proxy.kill()


def test_database_of_another_datacenter(server, check):
    """A backup of the other datacenter restored here: refused before anything is written."""
    server.sql("DROP DATABASE IF EXISTS diarchy")
    assert not check.find("dc_id")
    proxy = check.proxy
    try:
        proxy.start(ready=False)
        dc.wait_until(lambda: server.one("SELECT COUNT(*) FROM information_schema.TABLES WHERE "
                                         "TABLE_SCHEMA='diarchy'") == 3 and
                      server.one("SELECT value FROM diarchy.meta WHERE name='incarnation'"),
                      what="diarchy capturing")
        proxy.stop()
        assert server.one("SELECT value FROM diarchy.meta WHERE name='dc_id'") == "1"
        # An installation from before this row existed gets it.
        server.sql("DELETE FROM diarchy.meta WHERE name='dc_id'")
        assert not check.find("dc_id")
        proxy.start(ready=False)
        dc.wait_until(lambda: server.one("SELECT COUNT(*) FROM diarchy.meta WHERE name='dc_id' "
                                         "AND value='1'"), what="the row to be added")
        proxy.stop()
        server.sql("UPDATE diarchy.meta SET value='2' WHERE name='dc_id'")
        found = check.find("dc_id", "fatal", "id 2")
        assert len(found) == 1 and "dc.id 1" in found[0]["what"]
        before = server.one("SELECT @@gtid_binlog_pos")
        proxy.start(ready=False)
        dc.wait_until(lambda: proxy.exited() is not None, what="diarchy to refuse")
        assert proxy.exited() != 0 and "event=prepare_failed" in proxy.log_text()
        assert "restore a backup" in proxy.log_text()
        assert server.one("SELECT @@gtid_binlog_pos") == before
        # The third way out that the remedy names.
        assert "DROP DATABASE diarchy;" in found[0]["remedy"]
        server.sql("DROP DATABASE diarchy")
        proxy = Checker(server).proxy
        proxy.start(ready=False)
        dc.wait_until(lambda: server.one("SELECT COUNT(*) FROM information_schema.TABLES WHERE "
                                         "TABLE_SCHEMA='diarchy'") == 3 and
                      server.one("SELECT COUNT(*) FROM diarchy.meta WHERE name='incarnation'"),
                      what="a start from nothing")
        proxy.stop()
    finally:
        proxy.kill()
        server.sql("DROP DATABASE IF EXISTS diarchy")


def test_tables_of_a_newer_diarchy_are_left_alone(server):
    server.sql("CREATE DATABASE IF NOT EXISTS diarchy",
               "CREATE TABLE IF NOT EXISTS diarchy.meta (name VARCHAR(64) PRIMARY KEY, value TEXT)",
               "REPLACE INTO diarchy.meta VALUES ('schema_version', '99')")
    check = Checker(server)
    assert check.find("schema_version", "fatal", "version 99")
    proxy = check.proxy
    try:
        proxy.start(ready=False)
        dc.wait_until(lambda: "version 99" in proxy.log_text(), what="the reason in the log")
        dc.wait_until(lambda: proxy.exited() is not None, what="diarchy to refuse")
        assert proxy.exited() != 0
    finally:
        server.sql("DROP DATABASE diarchy")
        proxy.kill()
