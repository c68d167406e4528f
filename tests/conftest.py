"""Tests run on the installed package; without an install, on the checkout.

``python -m pytest`` puts the checkout first on the path, and there ``exoabm`` lacks ``scenarios``
and ``viz``, which only an install maps in. So the checkout goes last.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent

sys.path[:] = [p for p in sys.path if Path(p).resolve() != ROOT] + [str(ROOT)]
# Modules that several tests share are imported by name from these folders.
ROOMS = "browser causal cells engines export kernels mesa output physics scenarios therapy".split()
sys.path += [str(ROOT / "tests" / room) for room in ROOMS]

gc.set_threshold(50_000)  # as in the command line: the search for garbage took a sixth of the time

import exoabm  # noqa: E402

if importlib.util.find_spec("exoabm.scenarios") is None:
    exoabm.__path__.append(str(ROOT))

# Tests in the background, as by nohup, ignore these signals, and so would every run that they start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def synced(handle: int) -> None:
    """Stands for ``os.fsync``: no power fails during a test, and disks need 10 ms for each of many files.

    What is synced, and in which order, is the subject of ``tests/output/test_durable_files.py``.
    """
    os.fstat(handle)  # what is closed is still an error


os.fsync = synced


def pytest_collection_finish() -> None:
    """Leave the tests and what they import, which stay, out of every search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    """Say which package is under test."""
    return f"exoabm: {exoabm.__path__[0]}"


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 64 KiB, or of the module's ``SMALL_DISK``, where one may be mounted.

    It is not let go while a file in it is held open: longer than a thread that is ending needs is an error.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={getattr(request.module, 'SMALL_DISK', 64)}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk may be mounted here")
    yield disk
    for _ in range(50):
        gc.collect()
        if subprocess.run(["umount", str(disk)], capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{disk} is held open")


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
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command through the entry point in this process; an error it lets through fails the test."""
    from exoabm.cli import main  # needs the package
    from exoabm.interrupts import SIGNALS

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["exoabm", *map(str, arguments)])
            for owner, name in ((warnings, "showwarning"), (Console, "on_broken_pipe")):
                patch.setattr(owner, name, getattr(owner, name))  # replaced by main for the process
            try:
                with pytest.raises(SystemExit) as stop:
                    main()
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        captured = capsys.readouterr()
        print(captured.err)
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return run


def parsed(printed: str) -> dict[str, Any]:
    """The options of a printed command, split as a shell does and read by the command itself."""
    from exoabm.cli import app

    program, name, *words = shlex.split(printed)
    assert program == "exoabm"
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, words) as context:
        return dict(context.params)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of two kinds of vesicle, to be read and not to be changed."""
    from tests.batch.two_vesicle_types import swept  # needs the package

    return swept(tmp_path_factory.mktemp("two_kinds"))
