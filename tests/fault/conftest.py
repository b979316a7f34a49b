"""tests/fault/conftest.py - the fixtures are those of tests/e2e."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import *  # noqa: E402,F401,F403
