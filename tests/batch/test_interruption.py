"""Sweeps that are killed, interrupted, or find the disk full end in the bytes of one left alone."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.runner import is_batch, resume_rows, run_rows
from exoabm.batch.sweeps.sweep import report
from exoabm.errors import RunFailed
from tests.batch.conftest import RATE, data, small_plan

pytestmark = pytest.mark.slow
SMALL_DISK = 96
"""KiB of the disk that fills."""

SWEEP = (
    "sweep",
    "two_cells",
    "--vary",
    f"{RATE}=10:300:4",
    "--replicates",
    "3",
    "--seed",
    "5",
    "--hours",
    "2",
)
SWEEP = (*SWEEP, "--set", "cell_type.donor.secretion=poisson", "--out", "a")


def start(cwd: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exoabm", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finish(cwd: Path, *arguments: object, code: int = 0) -> str:
    """What a command wrote on stderr; it must end with this code."""
    with start(cwd, *arguments) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return err


def carry_on(folder: Path) -> None:
    """What ``exoabm resume`` does, without the time that a new process takes."""
    report(resume_rows(folder))


def wait_for(path: Path, pattern: str, count: int = 1) -> None:
    until = time.monotonic() + 300
    while len(list(path.glob(pattern))) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The data of the sweep that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, *SWEEP)
    found = data(folder / "a")
    assert {"plan.json", "results.parquet", "summary.parquet", "summary.json"} <= set(found)
    assert sum(name.startswith("rows/") for name in found) == 12
    return found


@pytest.mark.parametrize(("number", "code", "jobs"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)])
def test_an_interrupted_sweep_says_how_to_go_on_and_does(tmp_path, whole, number, code, jobs) -> None:
    with start(tmp_path, *SWEEP, "--jobs", jobs) as process:
        wait_for(tmp_path / "a" / "rows", "*.jsonl")
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert "Traceback" not in err
    assert "exoabm resume a" in err
    assert 1 <= len(list((tmp_path / "a" / "rows").glob("*.jsonl"))) < 12
    carry_on(tmp_path / "a")
    assert data(tmp_path / "a") == whole


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_killed_worker_is_replaced_and_the_sweep_goes_on(tmp_path, whole) -> None:
    with start(tmp_path, *SWEEP, "--jobs", 2) as process:
        wait_for(tmp_path / "a" / "rows", "*.jsonl")
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert data(tmp_path / "a") == whole


def test_a_killed_sweep_ends_in_the_same_bytes(tmp_path, whole) -> None:
    with start(tmp_path, *SWEEP, "--jobs", 2) as process:
        wait_for(tmp_path / "a" / "rows", "*.jsonl", 2)
        process.kill()
    finish(tmp_path, "resume", "a", "--jobs", 2)
    assert data(tmp_path / "a") == whole


# Fifty times, in processes forked from this one, which has all its imports and kernels ready.

FORK = multiprocessing.get_context("fork")


def long_plan() -> Plan:
    return small_plan(24, hours=0.2)


def alone(folder: Path) -> None:
    resume_rows(folder) if is_batch(folder) else run_rows(long_plan(), folder)


@contextlib.contextmanager
def two_processes() -> Iterator[ProcessPoolExecutor]:
    """Ended by a kill: one that was killed while it held the queue would have the pool wait for the other."""
    pool = ProcessPoolExecutor(2, mp_context=FORK)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False)
        for child in children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        pool.shutdown()


def in_a_pool(folder: Path) -> None:
    run_rows(long_plan(), folder, workers=two_processes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "a"
    run_rows(long_plan(), folder)
    return data(folder)


@pytest.mark.slow
def test_forty_kills_of_the_sweep_at_random_moments(tmp_path, undisturbed) -> None:
    """Killed, resumed and killed again until it ends; then the next one."""
    chance = random.Random(3)
    kills = sweeps = 0
    while kills < 40:
        folder = tmp_path / str(sweeps)
        process = FORK.Process(target=alone, args=(folder,))
        process.start()
        process.join(chance.random() * 0.15)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills += 1
            continue
        assert process.exitcode == 0
        assert data(folder) == undisturbed
        sweeps += 1
    if is_batch(folder):
        resume_rows(folder)
        assert data(folder) == undisturbed
    print(f"{kills} kills, {sweeps} sweeps ended")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_ten_kills_of_a_worker_at_random_moments(tmp_path, undisturbed) -> None:
    chance = random.Random(4)
    kills = sweeps = 0
    while kills < 10:
        folder = tmp_path / str(sweeps)
        process = FORK.Process(target=in_a_pool, args=(folder,))
        process.start()
        for rows in sorted(chance.sample(range(22), 2)):
            while process.is_alive() and len(list(folder.glob("rows/*.jsonl"))) < rows:
                time.sleep(0.001)
            time.sleep(chance.random() * 0.02)
            victims = children(process.pid)
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
        process.join(300)
        assert process.exitcode == 0
        assert data(folder) == undisturbed
        sweeps += 1


def test_a_kill_that_loses_bytes_would_be_seen(tmp_path, undisturbed) -> None:
    """The comparison above bites: one digit of one row, and one file less."""
    run_rows(long_plan(), tmp_path / "a")
    victim = files.chunk_path(tmp_path / "a", 3)
    content = victim.read_bytes()
    victim.write_bytes(content.replace(b"1", b"2", 1))
    assert data(tmp_path / "a") != undisturbed
    victim.unlink()
    assert data(tmp_path / "a") != undisturbed
    victim.write_bytes(content)
    assert data(tmp_path / "a") == undisturbed


# A full disk.


def test_a_disk_that_fills_keeps_the_rows_that_are_done(whole, small_disk) -> None:
    out = small_disk / "a"
    (small_disk / "filler").write_bytes(b"x" * 1024 * 36)
    err = finish(small_disk, *SWEEP, "--jobs", 2, code=1)
    assert "the disk is full" in err
    assert "exoabm resume" in err
    rows = {path.name: path.read_bytes() for path in (out / "rows").glob("*.jsonl")}
    assert 1 <= len(rows) < 12
    assert all(content == whole[f"rows/{name}"] for name, content in rows.items())
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    carry_on(out)
    assert data(out) == whole


@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
def test_every_write_may_find_the_disk_full(tmp_path, monkeypatch, place) -> None:
    plan = small_plan(2)
    run_rows(plan, tmp_path / "a")
    files.chunk_path(tmp_path / "a", 1).unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(RunFailed, match="the disk is full; completed rows are kept"):
            resume_rows(tmp_path / "a")
    assert not list((tmp_path / "a").rglob(".*"))
    assert resume_rows(tmp_path / "a").ran == 1


@pytest.mark.parametrize("kind", ["fit", "sensitivity"])
def test_a_part_of_an_analysis_goes_on_with_its_command(tmp_path, monkeypatch, kind) -> None:
    run_rows(replace(small_plan(2), about={"kind": kind}), tmp_path / "a")
    files.chunk_path(tmp_path / "a", 1).unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(RunFailed, match=r"the disk is full; .* the same command resumes") as error:
            resume_rows(tmp_path / "a")
    assert "exoabm resume" not in str(error.value)
