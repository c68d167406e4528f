"""What ends a reader ends another process, and is refused in words here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from exoabm.errors import InputError
from exoabm.viz.server import limits as airlock

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

READERS = """
import os, time
def dies(file): os.abort()
def swells(file): return len(bytearray(8 << 30))
def sleeps(file): time.sleep(60)
def refuses(file): raise ValueError(file)
def notes(file, column): file.write_text(column)
"""


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Ways to read, importable here and by a process of its own."""
    import importlib

    (tmp_path / "readers_of_strangers.py").write_text(READERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "readers_of_strangers", raising=False)
    return importlib.import_module("readers_of_strangers")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on memory there")
@pytest.mark.parametrize("name", ["dies", "swells"])
def test_a_reader_that_dies_or_swells_is_a_refusal(readers: ModuleType, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"x\.parquet: damaged, or far larger"):
        airlock.read_in_sandbox(getattr(readers, name), tmp_path / "x.parquet")


def test_a_reader_without_end_is_stopped(readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airlock, "MOST_SECONDS", 1.0)
    with pytest.raises(InputError, match="longer than 1 s"):
        airlock.read_in_sandbox(readers.sleeps, tmp_path / "x.parquet")


def test_what_a_reader_says_is_for_the_caller_to_hear(readers: ModuleType, tmp_path: Path) -> None:
    airlock.read_in_sandbox(readers.refuses, tmp_path / "x.parquet")
    airlock.read_in_sandbox(readers.notes, tmp_path / "x", column="y")
    assert (tmp_path / "x").read_text() == "y"
