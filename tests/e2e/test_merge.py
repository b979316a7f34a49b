"""Both datacenters change one row while the link is cut: the later change stands in both,
the loser is in the conflict record of both, and what was not concurrent is no conflict.
"""
import json
import threading
import time

import pymysql
import pytest

from tests.lib.dc import wait_until

# Far enough apart that the order is the clock's, not the scheduler's.
GAP = 0.06


@pytest.fixture(params=["east", "west"])
def later(request, pair):
    """The DC that writes second, so that each test runs with the roles swapped."""
    return getattr(pair, request.param)


@pytest.fixture
def t(pair, db):
    pair.east.sql("CREATE TABLE `%s`.t (id INT PRIMARY KEY, v VARCHAR(60), n INT)" % db,
                  "INSERT INTO `%s`.t VALUES (1, 'base', 0), (2, 'other', 0)" % db)
    pair.settle()
    return "`%s`.t" % db


def apart(pair, first, second):
    """Run first = (dc, [sql]) and then second while the link is cut, then heal."""
    pair.link.cut()
    for dc, statements in (first, second):
        dc.sql(*statements)
        time.sleep(GAP)
    pair.link.heal()
    pair.settle()


def rows(pair, t):
    """The rows, after making sure that both DCs hold the same."""
    found = [dc.db.sql("SELECT id, v FROM %s ORDER BY id" % t) for dc in pair.dcs]
    assert found[0] == found[1], "east %r, west %r" % tuple(found)
    return {r["id"]: r["v"] for r in found[0]}


def expect_conflict(pair, t, *texts):
    """Each DC recorded it, with these texts (the images) in one record."""
    table = t.replace("`", "")
    for dc in pair.dcs:
        def recorded():
            found = pair.conflicts(dc, table)
            return [c for c in found if all(x in " ".join(map(str, c.values())) for x in texts)]
        try:
            wait_until(recorded, 10, "a conflict record in %s with %s" % (dc, texts))
        except AssertionError as e:
            raise AssertionError("%s; there are: %s" % (e, pair.conflicts(dc, table)))


def test_insert_insert(pair, t, later):
    apart(pair, (pair.other(later), ["INSERT INTO %s VALUES (7, 'lost-ii', 1)" % t]),
          (later, ["INSERT INTO %s VALUES (7, 'kept-ii', 2)" % t]))
    assert rows(pair, t)[7] == "kept-ii"
    expect_conflict(pair, t, "lost-ii", "kept-ii")


def test_update_update(pair, t, later):
    apart(pair, (pair.other(later), ["UPDATE %s SET v='lost-uu' WHERE id=1" % t]),
          (later, ["UPDATE %s SET v='kept-uu' WHERE id=1" % t]))
    assert rows(pair, t) == {1: "kept-uu", 2: "other"}
    expect_conflict(pair, t, "lost-uu", "kept-uu")


def test_whole_row_of_the_later_wins(pair, t, later):
    """lww is by row: the earlier writer's other column goes with it."""
    apart(pair, (pair.other(later), ["UPDATE %s SET n=77 WHERE id=1" % t]),
          (later, ["UPDATE %s SET v='kept-row' WHERE id=1" % t]))
    assert rows(pair, t)[1] == "kept-row"
    assert [dc.db.one("SELECT n FROM %s WHERE id=1" % t) for dc in pair.dcs] == [0, 0]


def test_update_then_delete(pair, t, later):
    apart(pair, (pair.other(later), ["UPDATE %s SET v='lost-ud' WHERE id=1" % t]),
          (later, ["DELETE FROM %s WHERE id=1" % t]))
    assert rows(pair, t) == {2: "other"}
    expect_conflict(pair, t, "lost-ud")


def test_delete_then_update(pair, t, later):
    apart(pair, (pair.other(later), ["DELETE FROM %s WHERE id=1" % t]),
          (later, ["UPDATE %s SET v='kept-du' WHERE id=1" % t]))
    assert rows(pair, t) == {1: "kept-du", 2: "other"}
    expect_conflict(pair, t, "kept-du")


def test_delete_then_delete_and_insert(pair, t, later):
    apart(pair, (pair.other(later), ["DELETE FROM %s WHERE id=1" % t]),
          (later, ["DELETE FROM %s WHERE id=1" % t, "INSERT INTO %s VALUES (1, 'kept-di', 5)" % t]))
    assert rows(pair, t) == {1: "kept-di", 2: "other"}


def test_insert_then_delete(pair, t, later):
    apart(pair, (pair.other(later), ["DELETE FROM %s WHERE id=1" % t,
                                     "INSERT INTO %s VALUES (1, 'lost-id', 5)" % t]),
          (later, ["DELETE FROM %s WHERE id=1" % t]))
    assert rows(pair, t) == {2: "other"}


def test_delete_delete(pair, t, later):
    apart(pair, (pair.other(later), ["DELETE FROM %s WHERE id=1" % t]),
          (later, ["DELETE FROM %s WHERE id=1" % t]))
    assert rows(pair, t) == {2: "other"}


def test_several_changes_each(pair, t, later):
    earlier = pair.other(later)
    pair.link.cut()
    for i in range(6):
        dc = later if i % 2 else earlier
        dc.sql("UPDATE %s SET v='%s-%d' WHERE id=1" % (t, dc.name, i))
        time.sleep(GAP)
    pair.link.heal()
    pair.settle()
    assert rows(pair, t)[1] == "%s-5" % later.name


def test_three_operations_in_one_transaction(pair, t, later):
    """One key several times in one transaction: its last state counts."""
    apart(pair, (pair.other(later), ["BEGIN", "DELETE FROM %s WHERE id=1" % t,
                                     "INSERT INTO %s VALUES (1, 'a1', 0)" % t,
                                     "UPDATE %s SET v='a2' WHERE id=1" % t, "COMMIT"]),
          (later, ["BEGIN", "UPDATE %s SET v='b1' WHERE id=1" % t,
                   "UPDATE %s SET v='b2' WHERE id=1" % t, "COMMIT"]))
    assert rows(pair, t) == {1: "b2", 2: "other"}


def test_primary_key_update(pair, t, later):
    """A changed key is a delete of the old one and an insert of the new one."""
    earlier = pair.other(later)
    earlier.sql("UPDATE %s SET id=10 WHERE id=1" % t)
    pair.settle()
    assert rows(pair, t) == {2: "other", 10: "base"}
    apart(pair, (earlier, ["UPDATE %s SET id=11, v='moved' WHERE id=10" % t]),
          (later, ["UPDATE %s SET v='stayed' WHERE id=10" % t]))
    assert rows(pair, t) == {2: "other", 10: "stayed", 11: "moved"}


def test_primary_key_update_meets_insert(pair, t, later):
    apart(pair, (pair.other(later), ["UPDATE %s SET id=5, v='moved' WHERE id=1" % t]),
          (later, ["INSERT INTO %s VALUES (5, 'new', 0)" % t]))
    assert rows(pair, t) == {2: "other", 5: "new"}


def test_primary_keys_swapped_in_one_transaction(pair, t):
    pair.east.sql("BEGIN", "UPDATE %s SET id=99 WHERE id=1" % t,
                  "UPDATE %s SET id=1 WHERE id=2" % t, "UPDATE %s SET id=2 WHERE id=99" % t,
                  "COMMIT")
    pair.settle()
    assert rows(pair, t) == {1: "other", 2: "base"}


def test_taking_turns_is_no_conflict(pair, t):
    for i in range(30):
        dc = pair.dcs[i % 2]
        dc.sql("UPDATE %s SET n=n+1, v='turn' WHERE id=1" % t)
        pair.settle()
    assert [dc.db.one("SELECT n FROM %s WHERE id=1" % t) for dc in pair.dcs] == [30, 30]
    assert [pair.conflicts(dc, t.replace("`", "")) for dc in pair.dcs] == [[], []]


def test_different_rows_are_no_conflict(pair, t, later):
    apart(pair, (pair.other(later), ["UPDATE %s SET v='one' WHERE id=1" % t]),
          (later, ["UPDATE %s SET v='two' WHERE id=2" % t]))
    assert rows(pair, t) == {1: "one", 2: "two"}
    assert [pair.conflicts(dc, t.replace("`", "")) for dc in pair.dcs] == [[], []]


def test_a_long_cut_with_a_hot_set(pair, t):
    """Hundreds of changes on twenty keys in both: equal afterwards, and the last of each
    key is one of the two last writes, the later of them where they are apart."""
    keys, last = 20, {}
    pair.link.cut()
    with pair.east.connect() as e, pair.west.connect() as w:
        cursors = {"east": e.cursor(), "west": w.cursor()}
        for i in range(800):
            dc = ("east", "west")[(i * 7 // 3) % 2]
            key = 100 + (i * 13) % keys
            tag = "%s-%d" % (dc, i)
            if i % 9 == 4:
                cursors[dc].execute("DELETE FROM %s WHERE id=%d" % (t, key))
                if cursors[dc].rowcount:
                    last.setdefault(key, {})[dc] = (time.time(), None)
            else:
                cursors[dc].execute("REPLACE INTO %s VALUES (%d, '%s', %d)" % (t, key, tag, i))
                last.setdefault(key, {})[dc] = (time.time(), tag)
    pair.link.heal()
    pair.settle()
    got = rows(pair, t)
    for key, by_dc in last.items():
        (early, early_tag), (late, late_tag) = sorted(by_dc.values())
        allowed = [late_tag] if late - early > 0.02 else [early_tag, late_tag]
        assert got.get(key) in allowed, "key %d is %r, not %r" % (key, got.get(key), allowed)


def test_frozen_fibre(pair, t, later):
    """No reset, no refusal: packets just stop. Nothing is lost and nobody waits for it."""
    pair.link.freeze()
    pair.other(later).sql("UPDATE %s SET v='lost-fz' WHERE id=1" % t)
    time.sleep(GAP)
    later.sql("UPDATE %s SET v='kept-fz' WHERE id=1" % t)
    pair.link.heal()
    pair.settle()
    assert rows(pair, t)[1] == "kept-fz"
    expect_conflict(pair, t, "lost-fz", "kept-fz")


def test_same_record_in_both(pair, t, later):
    """Both DCs tell the same story of one conflict: all but the id and when it was seen."""
    apart(pair, (pair.other(later), ["UPDATE %s SET v='lost-rec' WHERE id=1" % t]),
          (later, ["UPDATE %s SET v='kept-rec' WHERE id=1" % t]))
    expect_conflict(pair, t, "lost-rec", "kept-rec")
    for dc in pair.dcs:
        found = pair.conflicts(dc, t.replace("`", ""))
        assert len(found) == 1, found
        assert "lww" in [str(v) for v in found[0].values()]
        shown = [r for r in dc.sql("SHOW DIARCHY CONFLICTS") if "lost-rec" in str(r)]
        assert shown, "SHOW DIARCHY CONFLICTS in %s does not show it" % dc
        told = dc.proxy.command("conflicts")
        assert told.returncode == 0 and "lost-rec" in told.stdout, told
        told = dc.proxy.command("conflicts", "--json")
        assert told.returncode == 0 and "lost-rec" in told.stdout, told


# ---- secondary unique keys -------------------------------------------------------------

@pytest.fixture
def mails(pair, db):
    """Rows 1 and 2, known to both; `mail` is unique."""
    t = "`%s`.mails" % db
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, mail VARCHAR(60) UNIQUE, v VARCHAR(60))" % t,
                  "INSERT INTO %s VALUES (1, 'one@x', 'base'), (2, 'two@x', 'base')" % t)
    pair.settle()
    return t


def insert_same(t, key, v):
    return ["INSERT INTO %s VALUES (%d, 'same@x', '%s')" % (t, key, v)]


def update_same(t, key, v):
    return ["UPDATE %s SET mail='same@x', v='%s' WHERE id=%d" % (t, v, key)]


def mail_rows(pair, t):
    found = [dc.db.sql("SELECT id, mail, v FROM %s ORDER BY id" % t) for dc in pair.dcs]
    assert found[0] == found[1], "east %r, west %r" % tuple(found)
    return {r["id"]: (r["mail"], r["v"]) for r in found[0]}


def expect_clash(pair, t, winner, loser_id, lost, kept):
    """One record in each DC: the same winner, the loser's key, and both images."""
    for dc in pair.dcs:
        found = pair.conflicts(dc, t.replace("`", ""))
        assert [c["type"] for c in found] == ["unique_clash"], "%s: %r" % (dc, found)
        c = found[0]
        mine = dc is winner
        assert c["verdict"] == ("local_wins" if mine else "remote_wins"), (dc, c)
        assert json.loads(c["row_key"]) == {"id": loser_id}, (dc, c)
        images = [json.loads(c["local_image"])["v"], json.loads(c["remote_image"])["v"]]
        assert images == ([kept, lost] if mine else [lost, kept]), (dc, c)
        assert c["reason"].startswith(winner.name + "'s"), (dc, c)
        stamps = [c["local_stamp"], c["remote_stamp"]]
        assert (stamps[0] > stamps[1]) == mine, (dc, c)


def expect_table_goes_on(pair, t):
    for dc, key in ((pair.east, 901), (pair.west, 902)):
        dc.sql("INSERT INTO %s VALUES (%d, 'later%d@x', 'later')" % (t, key, key))
    pair.settle()
    assert {901, 902} <= set(mail_rows(pair, t))


@pytest.mark.parametrize("late", ["insert", "update"])
@pytest.mark.parametrize("early", ["insert", "update"])
def test_unique_value_goes_to_the_later(pair, mails, later, early, late):
    """Whoever took it later has it in both; the other row leaves both, with its image."""
    t, earlier = mails, pair.other(later)
    loser, kept = 10 if early == "insert" else 1, 20 if late == "insert" else 2
    make = {"insert": insert_same, "update": update_same}
    apart(pair, (earlier, make[early](t, loser, "lost")
                 + ["INSERT INTO %s VALUES (11, 'after1@x', 'base')" % t]),
          (later, make[late](t, kept, "kept")
           + ["INSERT INTO %s VALUES (21, 'after2@x', 'base')" % t]))
    want = {1: ("one@x", "base"), 2: ("two@x", "base"), 11: ("after1@x", "base"),
            21: ("after2@x", "base")}
    want.pop(loser, None)
    want[kept] = ("same@x", "kept")
    assert mail_rows(pair, t) == want
    expect_clash(pair, t, later, loser, "lost", "kept")
    expect_table_goes_on(pair, t)


def test_unique_value_of_a_row_written_several_times(pair, mails, later):
    """A row's claim is as old as its last change; each change that lost has a record."""
    t = mails
    apart(pair, (pair.other(later), insert_same(t, 10, "lost1")
                 + ["UPDATE %s SET v='lost2' WHERE id=10" % t]),
          (later, insert_same(t, 20, "kept1") + ["UPDATE %s SET v='kept2' WHERE id=20" % t]))
    assert mail_rows(pair, t) == {1: ("one@x", "base"), 2: ("two@x", "base"),
                                  20: ("same@x", "kept2")}
    expect_conflict(pair, t, "lost2", "kept")
    expect_table_goes_on(pair, t)


def test_unique_value_of_a_moved_row(pair, mails, later):
    """A primary key update that takes the value and loses: neither its old nor its new row."""
    t = mails
    apart(pair, (pair.other(later),
                 ["UPDATE %s SET id=10, mail='same@x', v='lost' WHERE id=1" % t]),
          (later, insert_same(t, 20, "kept")))
    assert mail_rows(pair, t) == {2: ("two@x", "base"), 20: ("same@x", "kept")}
    expect_clash(pair, t, later, 10, "lost", "kept")


def test_unique_values_of_two_keys_at_once(pair, db, later):
    """One row that wants the values of two others; several keys, one of two columns, and
    NULLs, of which any number may stand."""
    t = "`%s`.u" % db
    pair.east.sql("CREATE TABLE %s (k VARCHAR(20), n INT, a INT UNIQUE, b INT, c VARCHAR(9), v "
                  "VARCHAR(20), PRIMARY KEY (k, n), UNIQUE bc (b, c))" % t)
    pair.settle()
    apart(pair, (pair.other(later), [
        "INSERT INTO %s VALUES ('Ä', 1, 5, 1, 'x', 'lost a'), ('b', 2, 6, 7, 'y', 'lost bc'),"
        " ('c', 3, NULL, 9, NULL, 'null')" % t]),
          (later, ["INSERT INTO %s VALUES ('d', 4, 5, 7, 'Y', 'kept'),"
                   " ('e', 5, NULL, 9, NULL, 'null')" % t]))
    for dc in pair.dcs:
        assert [r["v"] for r in dc.db.sql("SELECT v FROM %s ORDER BY k" % t)] == [
            "null", "kept", "null"], dc
        found = pair.conflicts(dc, t.replace("`", ""))
        assert sorted(json.loads(c["row_key"])["k"] for c in found) == ["b", "Ä"], found


def test_unique_clash_of_types_of_key(pair, db, later):
    """The holder is found in the window whatever its primary key is made of."""
    kinds = {"ints": ("BIGINT UNSIGNED", "18446744073709551614", "18446744073709551615"),
             "chars": ("CHAR(9) CHARACTER SET latin1", "'\u00e4 1'", "'b'"),
             "bins": ("BINARY(4)", "x'00ff0000'", "x'01000000'"),
             "dates": ("DATE", "'2024-02-29'", "'1000-01-01'"),
             "times": ("DATETIME(3)", "'2024-02-29 23:59:59.123'", "'2025-01-01'"),
             "stamps": ("TIMESTAMP(6)", "'2024-02-29 12:00:01.000009'", "'2025-01-01'"),
             "uuids": ("UUID", "'123e4567-e89b-12d3-a456-426655440000'",
                       "'123e4567-e89b-12d3-a456-426655440001'"),
             "inets": ("INET6", "'2001:db8::'", "'::1'"),
             "years": ("YEAR", "2024", "1901"),
             "bits": ("BIT(9)", "b'100000001'", "b'1'"),
             "sets": ("SET('a','b','c')", "'a,c'", "''"),
             "enums": ("ENUM('a','\u00e9')", "'\u00e9'", "'a'")}
    for name, (kind, _, _) in kinds.items():
        pair.east.sql("CREATE TABLE `%s`.%s (k %s NOT NULL PRIMARY KEY, u INT UNIQUE, v VARCHAR(9))"
                      % (db, name, kind))
    pair.settle()
    apart(pair, (pair.other(later), ["INSERT INTO `%s`.%s VALUES (%s, 1, 'lost')" % (db, n, k[1])
                                     for n, k in kinds.items()]),
          (later, ["INSERT INTO `%s`.%s VALUES (%s, 1, 'kept')" % (db, n, k[2])
                   for n, k in kinds.items()]))
    for name in kinds:
        have = [[r["v"] for r in dc.db.sql("SELECT v FROM `%s`.%s" % (db, name))]
                for dc in pair.dcs]
        assert have == [["kept"], ["kept"]], name


def test_unique_clash_of_keys_that_cannot_be_told(pair, db, later):
    """Parked in both, recorded, and nothing stops; an index over a prefix is told."""
    kinds = {"dec": "k DECIMAL(9,3) NOT NULL PRIMARY KEY, u INT UNIQUE",
             "pre": "k VARCHAR(30) NOT NULL, u INT UNIQUE, PRIMARY KEY (k(9))",
             "part": "k CHAR(36) NOT NULL PRIMARY KEY, u VARCHAR(30), UNIQUE (u(2))"}
    key = {"dec": ("1.5", "2.5"), "part": ("'a'", "'b'"), "pre": ("'a'", "'b'")}
    for name, columns in kinds.items():
        pair.east.sql("CREATE TABLE `%s`.%s (%s)" % (db, name, columns))
    pair.settle()
    apart(pair, (pair.other(later), ["INSERT INTO `%s`.%s VALUES (%s, 111)" % (db, n, key[n][0])
                                     for n in kinds]),
          (later, ["INSERT INTO `%s`.%s VALUES (%s, 112)" % (db, n, key[n][1]) if n == "part" else
                   "INSERT INTO `%s`.%s VALUES (%s, 111)" % (db, n, key[n][1]) for n in kinds]))
    for name in kinds:
        for dc in pair.dcs:
            found = pair.conflicts(dc, "%s.%s" % (db, name))
            assert [c["type"] for c in found] == ["unique_clash"], (dc, name, found)
            assert found[0]["local_image"] and found[0]["remote_image"], (dc, name, found)
            told = "parked" if name != "part" else (
                "local_wins" if dc is later else "remote_wins")
            assert found[0]["verdict"] == told, (dc, name, found)
            assert dc.db.one("SELECT COUNT(*) FROM `%s`.%s" % (db, name)) == 1
    assert [dc.db.one("SELECT k FROM `%s`.part" % db) for dc in pair.dcs] == ["b", "b"]


def test_row_with_children_is_not_taken_out(pair, mails, db, later):
    """Rows of other tables would go with it unrecorded: the arriving row is parked."""
    t, c, earlier = mails, "`%s`.child" % db, pair.other(later)
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, m INT, FOREIGN KEY (m) REFERENCES %s (id)"
                  " ON DELETE CASCADE)" % (c, t), "INSERT INTO %s VALUES (1, 1)" % c)
    pair.settle()
    apart(pair, (earlier, update_same(t, 1, "older")), (later, insert_same(t, 20, "newer")))
    assert [dc.db.one("SELECT COUNT(*) FROM %s" % c) for dc in pair.dcs] == [1, 1]
    assert earlier.db.one("SELECT v FROM %s WHERE mail='same@x'" % t) == "older"
    assert later.db.one("SELECT v FROM %s WHERE mail='same@x'" % t) == "newer"
    for dc in pair.dcs:
        found = pair.conflicts(dc, t.replace("`", ""))
        assert [(r["type"], r["verdict"]) for r in found] == [("unique_clash", "parked")], found
        assert "newer" in str(found) and "older" in str(found)


def test_unique_value_known_there_is_no_rivalry(pair, mails):
    """Given up and taken again one after the other, in both directions: no conflict."""
    t = mails
    for i, dc in enumerate((pair.east, pair.west) * 2):
        dc.sql("UPDATE %s SET mail=NULL WHERE mail='hot@x'" % t,
               "INSERT INTO %s VALUES (%d, 'hot@x', '%d')" % (t, 50 + i, i))
        pair.settle()
    assert mail_rows(pair, t)[53] == ("hot@x", "3")
    assert [pair.conflicts(dc, t.replace("`", "")) for dc in pair.dcs] == [[], []]


def test_unique_values_raced_for(pair, db):
    """Both write the same values at the same moment, the link up: two rows a value at most,
    seen by the appliers before and after capture has read them. Equal, nothing lost."""
    t, values = "`%s`.race" % db, 400
    pair.east.sql("CREATE TABLE %s (id INT PRIMARY KEY, u INT UNIQUE, v VARCHAR(9))" % t,
                  "INSERT INTO %s VALUES %s" % (t, ",".join(
                      "(%d, NULL, 'base')" % (base * 10000 + 1000 + i)
                      for base in (1, 2) for i in range(values))))
    pair.settle()
    start, written, failed = threading.Barrier(2), {"east": set(), "west": set()}, []

    def write(dc, base):
        try:
            with dc.connect() as c, c.cursor() as cur:
                for i in range(values):
                    start.wait(30)
                    try:
                        if (i + base) % 3 == 0:
                            cur.execute("UPDATE %s SET u=%d, v='%s' WHERE id=%d"
                                        % (t, i, dc.name, base * 10000 + 1000 + i))
                        else:
                            cur.execute("INSERT INTO %s VALUES (%d, %d, '%s')"
                                        % (t, base * 10000 + i, i, dc.name))
                        written[dc.name].add(i)
                    except pymysql.err.IntegrityError as e:
                        assert e.args[0] == 1062
        except Exception as e:
            failed.append(e)
            start.abort()

    threads = [threading.Thread(target=write, args=a)
               for a in ((pair.east, 1), (pair.west, 2))]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    assert not failed, failed
    pair.settle()
    found = [dc.db.sql("SELECT id, u, v FROM %s ORDER BY id" % t) for dc in pair.dcs]
    assert found[0] == found[1], sorted(
        map(str, set(map(str, found[0])) ^ set(map(str, found[1]))))


@pytest.mark.parametrize("deleter", ["east", "west"])
def test_foreign_key_refusal_is_recorded_and_stops_nothing(pair, db, deleter):
    p, c = "`%s`.parent" % db, "`%s`.child" % db
    pair.east.sql(
        "CREATE TABLE %s (id INT PRIMARY KEY, v VARCHAR(30))" % p,
        "CREATE TABLE %s (id INT PRIMARY KEY, parent INT NOT NULL, v VARCHAR(30),"
        " FOREIGN KEY (parent) REFERENCES %s (id))" % (c, p),
        "INSERT INTO %s VALUES (1, 'first'), (2, 'second')" % p)
    pair.settle()
    there = getattr(pair, deleter)
    apart(pair, (there, ["DELETE FROM %s WHERE id=1" % p]),
          (pair.other(there), ["INSERT INTO %s VALUES (7, 1, 'orphan')" % c]))
    for dc in pair.dcs:
        found = pair.conflicts(dc, "%s.parent" % db) + pair.conflicts(dc, "%s.child" % db)
        assert found, "%s: nothing recorded, and so something vanished in silence" % dc
    for dc, key in ((pair.east, 31), (pair.west, 32)):
        dc.sql("INSERT INTO %s VALUES (%d, 2, 'goes on')" % (c, key))
    pair.settle()
    for dc in pair.dcs:
        assert dc.db.one("SELECT COUNT(*) FROM %s WHERE v='goes on'" % c) == 2


def test_deadlock_with_clients_is_retried(pair, t):
    """A client that sits on the row delays the change; it is not skipped."""
    with pair.west.connect() as holder, holder.cursor() as cur:
        cur.execute("BEGIN")
        cur.execute("SELECT * FROM %s WHERE id=1 FOR UPDATE" % t)
        pair.east.sql("UPDATE %s SET v='waited for' WHERE id=1" % t)
        with pytest.raises(AssertionError):
            pair.settle(timeout=1)
        cur.execute("UPDATE %s SET n=n+1 WHERE id=2" % t)
        cur.execute("COMMIT")
    pair.settle()
    assert rows(pair, t)[1] == "waited for"


def test_lost_rows_come_back_right(pair, t):
    """A row missing in one DC (lost behind everyone's back) does not stop replication."""
    pair.west.db.sql("DELETE FROM %s WHERE id=2" % t, log_bin=False)
    pair.east.sql("UPDATE %s SET v='restored' WHERE id=2" % t,
                  "INSERT INTO %s VALUES (3, 'after', 0)" % t)
    pair.settle()
    assert rows(pair, t) == {1: "base", 2: "restored", 3: "after"}
    pair.west.db.sql("INSERT INTO %s VALUES (4, 'extra', 0)" % t, log_bin=False)
    pair.east.sql("INSERT INTO %s VALUES (4, 'ours', 0)" % t)
    pair.settle()
    assert rows(pair, t)[4] == "ours"
    pair.west.db.sql("DELETE FROM %s WHERE id=4" % t, log_bin=False)
    pair.east.sql("DELETE FROM %s WHERE id=4" % t)
    pair.settle()
    assert 4 not in rows(pair, t)


def test_client_errors_are_the_databases_own(pair, t):
    with pytest.raises(pymysql.err.IntegrityError) as e:
        pair.east.sql("INSERT INTO %s VALUES (1, 'twice', 0)" % t)
    assert e.value.args[0] == 1062
