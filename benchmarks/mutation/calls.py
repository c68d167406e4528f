"""A pytest plugin: which functions each test calls, and how long it takes, a JSON line a test.

Functions are named ``path:qualified.name``. Compiled kernels are not seen here; `Calls` in ``__main__`` finds
them through the names in the functions that are.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

TREE = str(Path.cwd()) + os.sep
_seen: set[CodeType] = set()


def _trace(frame: FrameType, _event: str, _argument: object) -> None:
    _seen.add(frame.f_code)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Trace calls, not lines, from the first fixture of a test to its end."""
    _seen.clear()
    begin, failed = time.perf_counter(), item.session.testsfailed
    threading.settrace(_trace)
    sys.settrace(_trace)
    yield
    sys.settrace(None)
    threading.settrace(None)
    calls = {
        f"{code.co_filename[len(TREE) :]}:{code.co_qualname.replace('.<locals>', '')}"
        for code in _seen
        if code.co_filename.startswith(TREE)
    }
    line = {
        "test": item.nodeid,
        "seconds": round(time.perf_counter() - begin, 3),
        "passed": item.session.testsfailed == failed,
        "calls": sorted(calls),
    }
    with Path(os.environ["MUTATION_CALLS"]).open("a") as out:
        out.write(json.dumps(line) + "\n")
