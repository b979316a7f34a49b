"""tests/e2e/conftest.py - fixtures: two real datacenters, one schema per test.

pair   a running TwoDC, shared by the tests of a session while it stays healthy
db     the name of a fresh schema, made through east's proxy and present in both
lone   a MariaDB of its own, without diarchy
"""
import re
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.lib import dc  # noqa: E402

_shared = {"pair": None}


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by tests/run.sh --quick")


def need_diarchy():
    if not dc.diarchy_binary().exists():
        pytest.fail("no %s: build it first (cmake -B build && cmake --build build)"
                    % dc.diarchy_binary())


@pytest.fixture
def pair(request):
    need_diarchy()
    two = _shared["pair"]
    if two is not None and not two.healthy():
        two.stop()
        two = _shared["pair"] = None
    if two is None:
        # Kept before start(): a failed start is then diagnosed and stopped as well.
        two = _shared["pair"] = dc.TwoDC()
        two.start()
    yield two
    failed = getattr(request.node, "failed", False)
    if not failed:
        two.link.heal()
    else:
        # Whatever the failure left behind must not fail the next test too.
        two.stop()
        _shared["pair"] = None


@pytest.fixture
def own_pair(request):
    """A factory of TwoDCs for this test alone: own_pair(policies=[...], db_options={...})."""
    need_diarchy()
    made = []

    def make(start=True, **kw):
        two = dc.TwoDC(**kw)
        made.append(two)
        request.node.pairs = made
        return two.start() if start else two
    yield make
    for two in made:
        two.stop()


@pytest.fixture
def db(request, pair):
    name = "t_" + re.sub(r"[^a-z0-9]+", "_", request.node.name.lower()).strip("_")[:50]
    pair.east.db.sql("DROP DATABASE IF EXISTS `%s`" % name)
    pair.east.sql("CREATE DATABASE `%s`" % name)
    pair.settle()
    yield name
    if not getattr(request.node, "failed", False):
        pair.east.sql("DROP DATABASE `%s`" % name)


@pytest.fixture
def lone(request):
    base = tempfile.mkdtemp(prefix="lone-", dir=dc.run_dir())
    Path(base).chmod(0o755)
    server = dc.MariaDB("lone", base, 1).start()
    server.create_accounts()
    yield server
    server.kill()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    item.failed = True
    pairs = list(getattr(item, "pairs", []))
    if "pair" in getattr(item, "fixturenames", ()) and _shared["pair"] is not None:
        pairs.append(_shared["pair"])
    for two in pairs:
        report.sections.append(("two datacenters", two.diagnostics()))
