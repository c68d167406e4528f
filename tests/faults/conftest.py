"""The command line as a user meets it: in a process of its own, or in this one where that is enough."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exoabm import cli
from exoabm.scenario.loader import shipped


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *fragments: str) -> None:
        """Check an exit code, and that one message without a traceback holds every fragment."""
        assert self.code == code, self.err
        assert "Traceback" not in self.err
        assert "Error: " in self.err
        for fragment in fragments:
            assert fragment in self.err
        assert len(self.err) < 3000


Command = Callable[..., Outcome]


@pytest.fixture
def exoabm(tmp_path: Path) -> Command:
    """Run a command in a subprocess, in the test's own folder."""

    def run(*arguments: object) -> Outcome:
        command = [sys.executable, "-m", "exoabm.cli", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300
        )
        print(done.stderr)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run a command through the entry point in this process; an error it lets through fails the test."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["exoabm", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        print(captured.err)
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    yield run
    signal.signal(signal.SIGTERM, handler)


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
