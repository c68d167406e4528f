"""Runs that cannot end: a full disk, a signal, a broken balance. Nothing half-written is left."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from exoabm import interrupts
from exoabm.errors import InputError, NumericalError, RunFailed
from exoabm.interrupts import Ended
from exoabm.output.folder_locks import LOCK, locked
from exoabm.output.run_folder import RunFolder
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.schedule import Step

SHORT = ("run", "two_cells", "--hours", 0.05, "--seed", 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A full disk.


@pytest.mark.parametrize("kib", [0, 16, 40, 64])
def test_a_disk_that_fills_leaves_nothing(command, small_disk, kib) -> None:
    """From the first file to the last, whichever does not fit."""
    if kib:
        (small_disk / "filler").write_bytes(b"x" * 1024 * kib)
    before = names(small_disk)
    command(*SHORT, "--out", small_disk / "a").refused(1, "the disk is full", "nothing was written to")
    assert names(small_disk) == before


def test_a_file_that_may_not_grow_leaves_nothing(tmp_path) -> None:
    """A real failing write without a disk of our own: the limit on the size of files."""
    command = [sys.executable, "-m", "exoabm", *map(str, SHORT), "--out", "a"]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit, env=environment
    )
    print(done.stderr)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: could not write" in done.stderr
    assert not names(tmp_path)


@pytest.mark.parametrize(
    "function", ["os.fsync", "pathlib.Path.replace", "exoabm.runs.run_execution.write_graphml"]
)
def test_every_write_may_find_the_disk_full(tmp_path, monkeypatch, function) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(function, full)
    with pytest.raises(RunFailed, match="the disk is full; nothing was written to"):
        run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    assert not names(tmp_path)


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    put = Path.replace

    def refuse(source: Path, target: Path) -> Path:
        if source.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return put(source, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(RunFailed, match="Input/output error"):
        run_to_folder(load("two_cells"), tmp_path / "a", seed=2, hours=0.05, overwrite=True)
    assert json.loads((tmp_path / "a" / "run.json").read_text())["seed"] == 1
    assert names(tmp_path) == ["a"]


def test_an_error_inside_the_folder_leaves_nothing(tmp_path) -> None:
    def fail_halfway() -> None:
        with RunFolder(tmp_path / "deep" / "a") as folder:
            (folder.work / "half.txt").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# A signal.


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["interrupt", "terminate"]
)
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_a_signal_in_the_middle_of_a_run_leaves_nothing(tmp_path, number, code, overwrite, request) -> None:
    if overwrite:
        run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    arguments = ["run", "two_cells", "--hours", "90000", "--seed", "2", "--out", "a"]
    process = subprocess.Popen(
        [sys.executable, "-m", "exoabm", *arguments, *["--overwrite"] * overwrite],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    request.addfinalizer(process.kill)
    until = time.monotonic() + 300
    while not list(tmp_path.glob(".a.partial/*")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    print(err)
    assert process.returncode == code
    assert "Traceback" not in err
    assert names(tmp_path) == ["a"] * overwrite
    if overwrite:
        assert json.loads((tmp_path / "a" / "run.json").read_text())["seed"] == 1


IMPORTING = """
import os, signal, sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "exoabm.cli.run_commands":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
from exoabm.__main__ import main
main()
"""


DROPPED = """
import os, signal, sys, time, weakref
from exoabm.cli import console
def app(**_):
    thing = set()
    kept = weakref.ref(thing, lambda _: (os.kill(os.getpid(), {number}), time.sleep(0)))
    del thing
    time.sleep(60)
console.app = app
console.main()
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        (IMPORTING, 130, ""),
        (DROPPED.format(number="signal.SIGINT"), 130, "interrupted"),
        (DROPPED.format(number="signal.SIGTERM"), 143, "interrupted"),
    ],
    ids=["importing", "dropped interrupt", "dropped signal"],
)
def test_a_signal_is_answered_while_modules_are_imported(code, exit_code, said) -> None:
    """Without a traceback; also one that arrives where Python drops exceptions, in callbacks."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=50,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stderr.strip()) == (exit_code, said)


@pytest.mark.parametrize(
    ("lost", "number"),
    [(Ended(15), 15), (Ended(1), 1), (SystemExit(143), None), (OSError(), None)],
)
def test_of_lost_exceptions_those_of_signals_alone_are_sent_again(lost, number, monkeypatch) -> None:
    sent, usual = [], []

    class Timer:
        def __init__(self, _: float, send: Any, what: tuple[int, int]) -> None:
            sent.append((send, what))

        def start(self) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(interrupts.threading, "Timer", Timer)
    monkeypatch.setattr(sys, "unraisablehook", usual.append)
    for _ in range(2):
        interrupts.put_before(sys, "unraisablehook", interrupts._send_again)
    one = SimpleNamespace(exc_value=lost)
    sys.unraisablehook(one)
    assert sys.unraisablehook.args == (usual.append,), "put before once"
    assert (sent, usual) == (([], [one]) if number is None else ([(os.kill, (os.getpid(), number))], []))


# A broken balance.


@pytest.fixture
def leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the third step on a vesicle in a million is lost."""
    import exoabm.schedule as schedule

    commit = next(stage for stage in schedule.STAGES if stage.name == "commit")

    def lossy(step: Step) -> None:
        if step.state.step >= 2:
            step.state.trafficking.bound *= 1 - 1e-3
            step.state.fields[0] *= 1 - 1e-6
        commit.run(step)

    stages = tuple(s._replace(run=lossy) if s is commit else s for s in schedule.STAGES)
    monkeypatch.setattr(schedule, "STAGES", stages)
    monkeypatch.setattr("exoabm.model.quiet_steps", lambda *_: 1)  # each step by its stages


@pytest.mark.usefixtures("leak")
def test_a_broken_balance_stops_the_run_and_keeps_what_was_recorded(command, tmp_path) -> None:
    pairs = ("--set", "record.metrics=1 min", "--set", "record.cells=1 min")
    command(*SHORT[:-4], "--hours", 1, "--seed", 1, "--out", "a", *pairs).refused(
        4, "mass balance does not close", "exosome", "tolerance 1e-09"
    )
    assert names(tmp_path) == ["a.failed"]
    failed = tmp_path / "a.failed"
    about = json.loads((failed / "run.json").read_text())
    assert about["exit_state"] == "failed"
    assert "mass balance does not close" in about["error"]
    assert about["seed"] == 1
    assert pq.read_table(failed / "metrics.parquet")["time_h"].to_pylist() == pytest.approx(
        [0, 1 / 60, 2 / 60]
    )
    assert pq.read_table(failed / "cells.parquet").num_rows == 6


@pytest.mark.usefixtures("leak")
def test_a_failed_run_takes_the_place_of_nothing(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    for seed in (1, 2):
        with pytest.raises(NumericalError):
            run_to_folder(load("two_cells"), tmp_path / "a", seed=seed, hours=1, overwrite=True)
    for name, seed in (("a.failed", 1), ("a.failed-2", 2)):
        assert json.loads((tmp_path / name / "run.json").read_text())["seed"] == seed
    assert names(tmp_path) == ["a", "a.failed", "a.failed-2"]
    assert not names(tmp_path / "a")


def test_a_folder_is_checked_before_anything_is_computed(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="exists already"):
        RunFolder(tmp_path / "a")


# Two at one place.


def started(cwd: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "exoabm", "run", "two_cells", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # ignored where tests run by nohup
    )


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + 300
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("kept", [(), ("--checkpoint-every", "1000 h")], ids=["plain", "checkpoints"])
def test_the_second_of_two_runs_at_one_place_names_the_first(command, tmp_path, kept) -> None:
    """A real process works at ``a``; every way to write there is refused, and leaves it alone."""
    with started(tmp_path, "--hours", 90_000, "--seed", 1, "--out", "a", *kept) as first:
        wait_until(lambda: list(tmp_path.glob("*a.*/fields.zarr")))
        before = names(tmp_path)
        for more in (
            (),
            ("--overwrite",),
            ("--checkpoint-every", "1 h"),
            ("--checkpoint-every", "1 h", "--overwrite"),
        ):
            command(*SHORT, "--out", "a", *more).refused(2, f"is being written by process {first.pid} on ")
        command(*SHORT, "--out", "b")
        assert names(tmp_path) == sorted([*before, "b"])
        first.send_signal(signal.SIGHUP)
        _, err = first.communicate(timeout=300)
    assert first.returncode == 128 + signal.SIGHUP
    assert "interrupted" in err
    assert "Traceback" not in err
    assert [name for name in names(tmp_path) if not kept] == ["b"] * (not kept)


def test_two_processes_started_at_once_leave_one_run(tmp_path) -> None:
    both = [started(tmp_path, "--hours", 0.05, "--seed", seed, "--out", "a") for seed in (1, 2)]
    said = [run.communicate(timeout=300)[1] for run in both]
    codes = [run.returncode for run in both]
    assert sorted(codes) == [0, 2], said
    assert re.search("is being written by process|exists already|has just been changed", said[codes.index(2)])
    assert json.loads((tmp_path / "a" / "run.json").read_text())["seed"] == 1 + codes.index(0)
    assert names(tmp_path) == ["a"]


def test_what_a_killed_run_left_is_told_and_cleared_by_the_next(command, tmp_path) -> None:
    with started(tmp_path, "--hours", 90_000, "--seed", 1, "--out", "a") as first:
        wait_until(lambda: list(tmp_path.glob(".a.partial/fields.zarr")))
        first.kill()
    assert names(tmp_path) == [".a.partial"]
    done = command(*SHORT, "--out", "a")
    assert done.code == 0
    assert f"process {first.pid} on" in done.err
    assert "ended while it was writing" in done.err
    assert names(tmp_path) == ["a"]


def test_a_lock_of_another_machine_says_so(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / LOCK).write_text("77 on far.example\n")
    with locked(tmp_path / "a") as lock:
        assert "process 77 on far.example ended" in lock.note
        assert "another computer cannot verify this" in lock.note
    with locked(tmp_path / "a") as lock:
        assert lock.note == ""


def test_a_run_that_was_being_replaced_when_the_process_was_killed_comes_back(command, tmp_path) -> None:
    assert command(*SHORT, "--out", "a").code == 0
    (tmp_path / "a").rename(tmp_path / ".a.replaced")
    command(*SHORT, "--out", "a").refused(2, "a exists already")
    assert names(tmp_path) == ["a"]
    (tmp_path / "a").rename(tmp_path / ".a.replaced")
    assert command(*SHORT[:-1], 7, "--out", "a", "--overwrite").code == 0
    assert names(tmp_path) == ["a"]
    assert json.loads((tmp_path / "a" / "run.json").read_text())["seed"] == 7


def test_a_signal_waits_for_what_writes_beside_the_run(tmp_path, monkeypatch) -> None:
    """zarr writes in threads of its own; they wrote on into a folder that was being removed."""
    from zarr.storage import LocalStore

    put, begun = LocalStore.set, threading.Event()

    async def slow(store: LocalStore, key: str, value: object) -> None:
        if "/c/" in key:
            begun.set()
            await asyncio.sleep(0.3)
        await put(store, key, value)

    monkeypatch.setattr(LocalStore, "set", slow)
    main = threading.main_thread().ident

    def interrupt() -> None:
        begun.wait(60)
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    thread.join()
    time.sleep(0.6)
    assert not names(tmp_path)


def test_without_locks_the_name_of_a_process_stands_for_one(tmp_path, monkeypatch) -> None:
    """File systems of some clusters have none: nothing is taken from a process that may be at work."""

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    run_to_folder(load("two_cells"), tmp_path / "a", seed=1, hours=0.05)
    assert names(tmp_path) == ["a"]
    work = tmp_path / ".b.partial"
    work.mkdir()
    (work / LOCK).write_text("77 on far.example\n")
    (work / "data").touch()
    with pytest.raises(InputError, match=r"process 77 on far\.example, or was .* remove .*lock"):
        run_to_folder(load("two_cells"), tmp_path / "b", seed=1, hours=0.05)
    assert (work / "data").exists()
    (work / LOCK).write_text("")  # of one that ended well
    run_to_folder(load("two_cells"), tmp_path / "b", seed=1, hours=0.05)
    assert names(tmp_path) == ["a", "b"]
