"""Signals while a command cleans up, files are put in place, or processes begin."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exoabm.batch.execution.plan import Plan, row_of
from exoabm.batch.execution.row_execution import ROWS
from exoabm.batch.execution.runner import is_batch, run_rows
from exoabm.benchmarks import whole_runs
from exoabm.output import durable_files, run_folder
from exoabm.output.durable_files import atomic_file, atomic_folder, together
from exoabm.scenario.loader import load
from tests.conftest import Command

ALL = """
import os, signal, sys, time
from exoabm.cli import console
def signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
        time.sleep(0)
"""
CLEANING = """
def app(**_):
    try:
        signals()
    finally:
        signals()
        print("cleaned")
"""
FAILING = """
def app(**_):
    try:
        signals()
    finally:
        raise OSError("of the cleaning")
"""
REPLACED = """
def app(**_):
    try:
        signals()
    except BaseException:
        pass
    raise ValueError("pydantic-core 2.50.5 raises a SchemaError of its own for the exception of a signal")
"""
LOST = """
def app(**_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except BaseException:
        time.sleep(0.6)
    signals()
    time.sleep(60)
"""
FINISHED = """
import atexit
def app(**_):
    atexit.register(signals)
"""
POOL = """
from exoabm.batch.execution.workers import local
def app(**_):
    with local(2)() as executor:
        for _ in range(2):
            executor.submit(time.sleep, 0.2).result()
        os.killpg(0, signal.SIGHUP)
        time.sleep(60)
"""
IMPORT = """
class Interrupted:
    def find_spec(self, name, *_):
        if name == "numba.core.datamodel.models":
            signals()
sys.meta_path.insert(0, Interrupted())
sys.argv[1:] = ["resume", "a"]
from exoabm.cli import app
"""


def ended(code: str) -> subprocess.CompletedProcess[str]:
    """A command in a process group of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"{ALL}{code}\nconsole.app = app\nconsole.run_to_exit()"],
        capture_output=True,
        text=True,
        timeout=50,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (1, 2)],
    )


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        (CLEANING, 143, "cleaned\n"),
        (FAILING, 143, ""),
        (REPLACED, 143, ""),
        (LOST, 143, ""),
        (FINISHED, 0, ""),
        (POOL, 129, ""),
        (IMPORT, 143, ""),
    ],
    ids=["cleaning", "failing", "replaced", "lost", "finished", "pool", "import"],
)
def test_the_first_signal_ends_a_command_once(code: str, exit_code: int, said: str) -> None:
    done = ended(code)
    assert (done.returncode, done.stdout) == (exit_code, said), done.stderr
    assert done.stderr == ("interrupted\n" if exit_code else "")


def test_a_command_called_in_a_program_leaves_its_signals_as_they_were() -> None:
    """Ignored ones would stay so in all processes that the program starts, from then on."""
    code = """
def app(**_):
    return 3
console.app = app
before = [signal.getsignal(number) for number in (1, 2, 15)]
try:
    console.main()
except SystemExit as end:
    assert end.code == 3
assert [signal.getsignal(number) for number in (1, 2, 15)] == before
"""
    done = subprocess.run([sys.executable, "-c", ALL + code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr


def interrupting(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    """Have an interrupt come before each call of a function."""
    usual = getattr(place, name)

    def interrupted(*given: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return usual(*given, **options)

    monkeypatch.setattr(place, name, interrupted)


@pytest.mark.parametrize("moment", ["rmtree", "replace"])
def test_a_folder_is_put_in_place_whole_and_its_work_removed(tmp_path, monkeypatch, moment) -> None:
    place = durable_files.shutil if moment == "rmtree" else Path
    interrupting(monkeypatch, place, moment)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as partial:
        (partial / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]


def test_a_run_folder_in_place_is_tidy(tmp_path, monkeypatch) -> None:
    interrupting(monkeypatch, run_folder, "replace")
    with pytest.raises(KeyboardInterrupt), run_folder.RunFolder(tmp_path / "a") as folder:
        folder.write_json("summary.json", {})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "manifest.json", "summary.json"]


def test_files_are_put_in_place_together(tmp_path, monkeypatch) -> None:
    with pytest.raises(KeyboardInterrupt), together() as stack:  # noqa: PT012
        for name in "abc":
            stack.enter_context(atomic_file(tmp_path / name)).touch()
        interrupting(monkeypatch, durable_files, "_sync")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_batch_can_be_resumed_from_its_first_file_on(tmp_path, monkeypatch) -> None:
    interrupting(monkeypatch, Plan, "write")
    with pytest.raises(KeyboardInterrupt):
        run_rows(Plan.of(load("two_cells"), [row_of({}, 1)], hours=0.05), tmp_path / "a")
    assert is_batch(tmp_path / "a")
    assert not list((tmp_path / "a" / ROWS).iterdir())


def test_a_benchmark_ends_the_run_that_it_measures(tmp_path, monkeypatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    begun: list[subprocess.Popen[bytes]] = []
    usual = subprocess.Popen

    def popen(*given: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(usual(*given, **options))
        return begun[-1]

    monkeypatch.setattr(whole_runs.subprocess, "Popen", popen)
    interrupting(monkeypatch, whole_runs.os, "wait4")
    with pytest.raises(KeyboardInterrupt):
        whole_runs.measure_run(str(program), whole_runs.SHIPPED[0])
    assert begun[0].returncode == -signal.SIGTERM


def test_a_command_states_that_nothing_remains(tmp_path, command: Command) -> None:
    assert command("run", "two_cells", "--hours=0.05", "--seed=1", "--out=r").code == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "exoabm", "whatif", "r", "--silence=cell_type:donor", "--out=a"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob(".a.*")):
        time.sleep(0.001)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (143, "interrupted; no files remain\n")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
