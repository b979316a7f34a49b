"""tests/lib/register.py - clients that know what they wrote, and the judge of a round.

Registers are rows that everybody overwrites; tokens are rows inserted once. Each client
notes when it began and when it heard back, so that afterwards one can say what must be
there (acknowledged), what must not (never sent a COMMIT, or refused), and which value of
a register cannot stand because a later write was acknowledged after it.
"""
import random
import threading
import time

import pymysql

# Errors after which the server has surely rolled the statement or transaction back.
REFUSED = {1205, 1213, 1020, 1180}
ACKED, ABSENT, UNKNOWN = "acked", "absent", "unknown"


class Op:
    """One transaction of one client: tokens inserted and registers written."""
    __slots__ = ("dc", "name", "tokens", "registers", "begin", "end", "outcome", "error")

    def __init__(self, dc, name):
        self.dc, self.name = dc, name
        self.tokens, self.registers = [], []
        self.begin = self.end = 0.0
        self.outcome, self.error = None, None


class Client(threading.Thread):
    def __init__(self, dc, number, round_number, registers, seed, stop):
        super().__init__(daemon=True)
        self.dc, self.number, self.round = dc, number, round_number
        self.registers, self.halt = registers, stop
        self.rng = random.Random(seed)
        self.ops, self.surprises = [], []
        self.count = 0

    def run(self):
        connection = None
        while not self.halt.is_set():
            try:
                if connection is None:
                    connection = self.dc.connect(connect_timeout=3, read_timeout=25,
                                                 autocommit=False)
                self.one(connection)
            except (pymysql.err.Error, OSError) as e:
                if self.unexpected(e):
                    self.surprises.append(e)
                try:
                    if connection is not None:
                        connection.close()
                except (pymysql.err.Error, OSError):
                    pass
                connection = None
                # Not a wait for luck: a refused connection costs nothing and would spin.
                self.halt.wait(0.02)
        if connection is not None:
            connection.close()

    @staticmethod
    def unexpected(e):
        """Connections may be lost and refused in a round with faults; SQL may not fail."""
        code = e.args[0] if e.args else 0
        return isinstance(e, pymysql.err.Error) and code not in REFUSED and not (
            isinstance(e, (pymysql.err.OperationalError, pymysql.err.InterfaceError))
            # 1429: diarchy's own "cannot reach the database"; 1053 and the rest: shutdown.
            and (code in (0, 1053, 1152, 1158, 1159, 1160, 1161, 1429, 1927)
                 or 2000 <= code < 2100))

    def one(self, connection):
        self.count += 1
        name = "%s-%d-%d-%d" % (self.dc.name, self.round, self.number, self.count)
        op = Op(self.dc.name, name)
        statements = []
        kind = self.rng.random()
        if kind < 0.75:
            for i in range(self.rng.choice((1, 1, 1, 3))):
                token = "%s.%d" % (name, i)
                op.tokens.append(token)
                statements.append("INSERT INTO tokens (token) VALUES ('%s')" % token)
        if kind > 0.35:
            for register in self.rng.sample(range(self.registers), self.rng.choice((1, 1, 2))):
                op.registers.append(register)
                statements.append("UPDATE registers SET v='%s', n=n+1 WHERE round=%d AND id=%d"
                                  % (name, self.round, register))
        if self.rng.random() < 0.03:
            statements.append("ROLLBACK")
        # Registers in order, so that two clients of one DC do not deadlock all the time.
        op.begin = time.time()
        self.ops.append(op)
        op.outcome = ABSENT
        try:
            with connection.cursor() as cur:
                for s in statements:
                    if s == "ROLLBACK":
                        connection.rollback()
                        return
                    cur.execute(s)
                op.outcome = UNKNOWN
                connection.commit()
                op.outcome = ACKED
        except (pymysql.err.Error, OSError) as e:
            op.error = e
            if op.outcome == UNKNOWN and isinstance(e, pymysql.err.Error) and \
                    e.args and e.args[0] in REFUSED:
                op.outcome = ABSENT
            raise
        finally:
            op.end = time.time()


def judge(rows_by_dc, tokens_by_dc, ops, clock_margin):
    """Everything wrong with a finished round, as lines.

    rows_by_dc: {dc: {register: value}}, tokens_by_dc: {dc: [token, ...]}.
    clock_margin: seconds by which writes of two DCs must lie apart for their order to be
    certain; within one DC the order of non-overlapping writes always is.
    """
    wrong = []
    (east, east_rows), (west, west_rows) = sorted(rows_by_dc.items())
    for register in sorted(set(east_rows) | set(west_rows)):
        if east_rows.get(register) != west_rows.get(register):
            wrong.append("register %s: %s has %r, %s has %r" % (
                register, east, east_rows.get(register), west, west_rows.get(register)))
    for dc, tokens in tokens_by_dc.items():
        have = {}
        for token in tokens:
            have[token] = have.get(token, 0) + 1
        wrong += ["%s: token %s is there %d times" % (dc, t, n) for t, n in have.items() if n > 1]
        for op in ops:
            there = [t in have for t in op.tokens]
            if op.outcome == ACKED and not all(there):
                wrong.append("%s: acknowledged at %.3f, but missing: %s" % (
                    dc, op.end, [t for t in op.tokens if t not in have]))
            if op.outcome == ABSENT and any(there):
                wrong.append("%s: never committed (%s), but there: %s" % (dc, op.error, op.name))
            if any(there) and not all(there):
                wrong.append("%s: half a transaction: %s" % (dc, op.name))
    both = [set(t) for t in tokens_by_dc.values()]
    wrong += ["in one DC only: token %s" % t for t in sorted(both[0] ^ both[1])[:20]]
    by_name = {op.name: op for op in ops}
    for register, value in sorted(east_rows.items()):
        wrong += judge_register(register, value, ops, by_name, clock_margin)
    return wrong


def judge_register(register, value, ops, by_name, clock_margin):
    writes = [op for op in ops if register in op.registers and op.outcome == ACKED]
    if value == "start":
        return ["register %s was never written, but %s was acknowledged" % (
            register, writes[0].name)] if writes else []
    op = by_name.get(value)
    if op is None or register not in op.registers:
        return ["register %s has a value nobody wrote: %r" % (register, value)]
    if op.outcome == ABSENT:
        return ["register %s has a value that was never committed: %s (%s)" % (
            register, value, op.error)]
    wrong = []
    for other in writes:
        margin = 0 if other.dc == op.dc else clock_margin
        # An unknown outcome has no end: it may have committed late, at the server.
        end = op.end if op.outcome == ACKED else op.end + 30
        if other.begin > end + margin:
            wrong.append("register %s has %s (acknowledged %.3f), although %s began %.3f s later"
                         " and was acknowledged" % (register, value, op.end, other.name,
                                                    other.begin - op.end))
    return wrong[:3]
