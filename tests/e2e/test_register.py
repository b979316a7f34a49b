"""The register test: clients in both DCs through both proxies, faults at random moments,
and a judge that knows what was acknowledged. Nothing acknowledged is lost or doubled, the
DCs end equal, and the last write of every row stands.

REGISTER_ROUNDS (50), REGISTER_SEED (random, printed), REGISTER_ONLY (one round of a seed).
A seed fixes the faults and the clients' choices; the interleaving is the machine's.
"""
import os
import random
import threading
import time

import pytest

from tests.lib import register


ROUNDS = int(os.environ.get("REGISTER_ROUNDS", "50"))
SEED = int(os.environ.get("REGISTER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
ONLY = os.environ.get("REGISTER_ONLY")
REGISTERS = 6
CLIENTS = 3
SECONDS = float(os.environ.get("REGISTER_SECONDS", "2.0"))

FAULTS = ("cut", "freeze", "kill-diarchy", "stop-diarchy", "kill-mariadb", "restart-mariadb")
# Stamps of changes that were read late come from the second in the binlog event, so only
# whole seconds order writes of two DCs then.
LATE_CAPTURE = {"kill-diarchy", "stop-diarchy", "kill-mariadb", "restart-mariadb"}
MARGIN, MARGIN_LATE = 0.3, 1.5


def plan(rng):
    """Faults of a round: (at, kind, dc index, how long), in order of time."""
    found = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        found.append((rng.uniform(0.05, SECONDS * 0.8), rng.choice(FAULTS), rng.randrange(2),
                      rng.uniform(0.0, 0.6)))
    return sorted(found)


def inject(two, kind, which, duration):
    dc = two.dcs[which]
    if kind == "cut":
        two.link.cut()
        time.sleep(duration)  # the length of the fault, not a wait for an effect
        two.link.heal()
    elif kind == "freeze":
        two.link.freeze()
        time.sleep(duration)
        two.link.heal()
    elif kind == "kill-diarchy":
        dc.proxy.kill()
        time.sleep(duration)
        dc.proxy.start(ready=False)
    elif kind == "stop-diarchy":
        # -15: it had only just been started and did not listen to signals yet.
        assert dc.proxy.stop(timeout=60) in (0, -15)
        dc.proxy.start(ready=False)
    elif kind == "kill-mariadb":
        dc.db.kill()
        time.sleep(duration)
        dc.db.start()
    elif kind == "restart-mariadb":
        dc.db.stop(timeout=60)
        time.sleep(duration)
        dc.db.start()


def run_round(two, number, seed):
    rng = random.Random(seed)
    faults = plan(rng)
    two.east.db.sql(*["INSERT INTO t_reg.registers VALUES (%d, %d, 'start', 0)" % (number, i)
                      for i in range(REGISTERS)])
    two.settle()
    stop = threading.Event()
    clients = [register.Client(dc, i, number, REGISTERS, rng.randrange(1 << 62), stop)
               for dc in two.dcs for i in range(CLIENTS)]
    for c in clients:
        c.dc = _InSchema(c.dc)
        c.start()
    begun = time.monotonic()
    broken = []

    def lane(mine):
        """Link faults run beside the others, so that both kinds meet."""
        try:
            for at, kind, which, duration in faults:
                if (kind in ("cut", "freeze")) == mine:
                    time.sleep(max(0, begun + at - time.monotonic()))
                    inject(two, kind, which, duration)
        except Exception as e:
            broken.append(e)
    try:
        beside = threading.Thread(target=lane, args=(True,))
        beside.start()
        lane(False)
        beside.join()
        stop.wait(max(0, begun + SECONDS - time.monotonic()))
        if broken:
            raise broken[0]
    finally:
        stop.set()
        for c in clients:
            c.join(60)
    assert not any(c.is_alive() for c in clients), "a client hangs: faults %s" % faults
    two.link.heal()
    for dc in two.dcs:
        dc.proxy.wait_ready(60)
    two.settle(timeout=60)
    return faults, clients


class _InSchema:
    """A DC whose connections start in the test's schema."""

    def __init__(self, dc):
        self._dc, self.name = dc, dc.name

    def connect(self, **kw):
        return self._dc.connect(database="t_reg", **kw)


def check_round(two, number, faults, clients):
    ops = [op for c in clients for op in c.ops]
    rows = {dc.name: {r["id"]: r["v"] for r in dc.db.sql(
        "SELECT id, v FROM t_reg.registers WHERE round=%d" % number)} for dc in two.dcs}
    tokens = {dc.name: [r["token"] for r in dc.db.sql(
        "SELECT token FROM t_reg.tokens WHERE token LIKE '%%-%d-%%'" % number)
        if r["token"].split("-")[1] == str(number)] for dc in two.dcs}
    late = any(kind in LATE_CAPTURE for _, kind, _, _ in faults)
    wrong = register.judge(rows, tokens, ops, MARGIN_LATE if late else MARGIN)
    for c in clients:
        wrong += ["client %s: %r" % (c.name, e) for e in c.surprises[:3]]
    acked = sum(op.outcome == register.ACKED for op in ops)
    unknown = sum(op.outcome == register.UNKNOWN for op in ops)
    if acked < 20:
        wrong.append("only %d transactions were acknowledged: the round shows nothing" % acked)
    return wrong, acked, unknown


def test_register(own_pair):
    print("REGISTER_SEED=%d" % SEED)
    two = own_pair(name="register", db_options={"innodb-flush-log-at-trx-commit": 1,
                                                "sync-binlog": 1})
    two.east.sql(
        "CREATE DATABASE t_reg",
        "CREATE TABLE t_reg.registers (round INT, id INT, v VARCHAR(60), n INT,"
        " PRIMARY KEY (round, id))",
        "CREATE TABLE t_reg.tokens (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
        " token VARCHAR(60) NOT NULL, KEY (token))")
    two.settle()
    rounds = [int(ONLY)] if ONLY else range(1, ROUNDS + 1)
    total = [0, 0]
    for number in rounds:
        begun = time.monotonic()
        seed = SEED * 1000 + number
        replay = "replay: REGISTER_SEED=%d REGISTER_ONLY=%d" % (SEED, number)
        try:
            faults, clients = run_round(two, number, seed)
            wrong, acked, unknown = check_round(two, number, faults, clients)
        except Exception as e:
            raise AssertionError("round %d, faults %s: %s\n%s" % (
                number, plan(random.Random(seed)), e, replay)) from e
        total[0] += acked
        total[1] += unknown
        print("round %2d: %4d acknowledged, %2d unknown, %4.1f s, %s" % (
            number, acked, unknown, time.monotonic() - begun,
            ", ".join("%s %s at %.2f" % (k, two.dcs[w], at) for at, k, w, _ in faults)))
        assert not wrong, "round %d, faults %s:\n%s\n%s" % (
            number, faults, "\n".join(wrong[:40]), replay)
    two.assert_equal("t_reg", timeout=60)
    print("%d rounds, %d transactions acknowledged, %d unknown" % (len(list(rounds)), *total))


# ---- the judge itself -----------------------------------------------------------------------

def op(dc, name, begin, end, registers=(0,), tokens=(), outcome=register.ACKED):
    made = register.Op(dc, name)
    made.begin, made.end, made.outcome = begin, end, outcome
    made.registers, made.tokens = list(registers), list(tokens)
    return made


def verdict(ops, value, tokens=(), west=None, west_tokens=None):
    return register.judge({"east": {0: value}, "west": {0: value if west is None else west}},
                          {"east": list(tokens),
                           "west": list(tokens if west_tokens is None else west_tokens)},
                          ops, 0.3)


def test_the_judge_accepts_what_is_right():
    ops = [op("east", "a", 1.0, 1.1, tokens=["a.0"]), op("west", "b", 1.2, 1.3)]
    assert verdict(ops, "b", ["a.0"]) == []
    # Too close to tell: either may stand.
    assert verdict(ops, "a", ["a.0"]) == []
    lost = op("east", "c", 5, 6, tokens=["c.0"], outcome=register.UNKNOWN)
    assert verdict(ops + [lost], "c", ["a.0", "c.0"]) == []
    assert verdict(ops + [lost], "b", ["a.0"]) == []


@pytest.mark.parametrize("what", ["lost", "doubled", "half", "rolled back", "differs", "older here",
                                  "older there", "unheard of", "one side"])
def test_the_judge_finds_what_is_wrong(what):
    ops = [op("east", "a", 1.0, 1.1, tokens=["a.0", "a.1"]), op("west", "b", 3.0, 3.1),
           op("west", "c", 3.2, 3.3)]
    good = ["a.0", "a.1"]
    gone = op("east", "z", 4, 5, tokens=["z.0"], outcome=register.ABSENT)
    cases = {
        "lost": lambda: verdict(ops, "c", []),
        "doubled": lambda: verdict(ops, "c", good + ["a.0"]),
        "half": lambda: verdict(ops[1:] + [op("east", "a", 1, 2, tokens=good,
                                              outcome=register.UNKNOWN)], "c", ["a.0"]),
        "rolled back": lambda: verdict(ops + [gone], "c", good + ["z.0"]),
        "differs": lambda: verdict(ops, "c", good, west="b"),
        "older here": lambda: verdict(ops, "b", good),
        "older there": lambda: verdict(ops, "a", good),
        "unheard of": lambda: verdict(ops, "nobody", good),
        "one side": lambda: verdict(ops, "c", good, west_tokens=["a.0"]),
    }
    assert cases[what]()
