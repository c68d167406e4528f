"""Tests run on the installed package; without an install, on the checkout.

``python -m pytest`` puts the checkout first on the path, and there ``exoabm`` lacks ``scenarios``
and ``viz``, which only an install maps in. So the checkout goes last.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

sys.path[:] = [p for p in sys.path if Path(p).resolve() != ROOT] + [str(ROOT)]

import exoabm  # noqa: E402

if importlib.util.find_spec("exoabm.scenarios") is None:
    exoabm.__path__.append(str(ROOT))


def pytest_report_header() -> str:
    """Say which package is under test."""
    return f"exoabm: {exoabm.__path__[0]}"
