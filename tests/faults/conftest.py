"""The command line in a process of its own, and scenarios with faults; `command` runs it in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exoabm.scenario.loader import shipped
from tests.conftest import Command, Outcome


@pytest.fixture
def exoabm(tmp_path: Path) -> Command:
    """Run a command in a subprocess, in the test's own folder."""

    def run(*arguments: object) -> Outcome:
        command = [sys.executable, "-m", "exoabm", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300
        )
        print(done.stderr)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a shipped scenario with some text replaced, in a folder of its own."""

    def write(*changes: tuple[str, str], name: str = "two_cells") -> Path:
        text = shipped()[name].read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "given" / "mine.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write
