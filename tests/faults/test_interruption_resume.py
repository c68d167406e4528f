"""A run that is killed at any moment after its first checkpoint goes on to the same bits."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import load

pytestmark = pytest.mark.slow

TABLES = ("metrics_by_kind", "cells", "events", "edges")
SETTINGS = {
    "record.cells": "5 min",
    "record.events": "2 min",
    "record.fields": "4 min",
    "domain.size": "[800, 800]",
    "layout.group.recipient.outer": "350 um",
}
ENGINES = {"continuum": {"domain.voxel": "10 um"}, "vesicles": {"transport.engine": "vesicles"}}
HUNDRED_STEPS = 5 / 3
EVERY = 300.0
FORK = multiprocessing.get_context("fork")
"""Forked from this process, which has all imports and kernels ready, a run is soon at work."""


def process(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exoabm", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def next_checkpoint(out: Path) -> Callable[[Callable[[], bool]], None]:
    """What waits, while something is at work, until a run has a checkpoint newer than now."""
    checkpoint = out.with_name(f"{out.name}.unfinished") / "checkpoint.npz"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    def wait(at_work: Callable[[], bool]) -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until and at_work():
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > before:
                break
            time.sleep(0.001)

    return wait


def stopped(how: signal.Signals, after: float, *arguments: object, cwd: Path) -> str:
    """Stop a command some seconds after its next checkpoint; what it wrote on stderr."""
    wait = next_checkpoint(cwd / "a")
    with process(*arguments, cwd=cwd) as run:
        wait(lambda: run.poll() is None)
        time.sleep(after)
        run.send_signal(how)
        _, err = run.communicate(timeout=300)
    assert run.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how], err
    assert "Traceback" not in err
    assert sorted(p.name for p in cwd.iterdir()) == ["a.unfinished"]
    return err


def assert_same_run(one: Path, other: Path) -> None:
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    for name in TABLES:
        with pq.ParquetFile(one / f"{name}.parquet") as a, pq.ParquetFile(other / f"{name}.parquet") as b:
            table = a.read()
            assert table.num_rows > 0
            assert table.equals(b.read(), check_metadata=True), name
            for group in range(max(a.num_row_groups, b.num_row_groups)):
                assert a.metadata.row_group(group).num_rows == b.metadata.row_group(group).num_rows
    groups = [zarr.open_group(run / "fields.zarr", mode="r") for run in (one, other)]
    for name in ("time_s", "concentration"):
        a, b = (np.asarray(group[name]) for group in groups)
        np.testing.assert_array_equal(a, b, strict=True)
    assert (one / "summary.json").read_bytes() == (other / "summary.json").read_bytes()
    assert (one / "communication.graphml").read_bytes() == (other / "communication.graphml").read_bytes()


def begun(engine: str, out: Path, every: float | None = EVERY) -> None:
    loaded = load("signaling", SETTINGS | ENGINES[engine])
    run_to_folder(loaded, out, seed=1, hours=HUNDRED_STEPS, checkpoint_every=every)


def killed(after: float, out: Path, work: Callable[..., object], *arguments: object) -> None:
    """Kill what works at a run some seconds after its next checkpoint."""
    run = FORK.Process(target=work, args=arguments)
    wait = next_checkpoint(out)
    run.start()
    wait(run.is_alive)
    time.sleep(after)
    run.kill()
    run.join()
    assert run.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module", params=ENGINES)
def whole(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An engine, and the run that nobody disturbs."""
    folder = tmp_path_factory.mktemp(request.param) / "whole"
    begun(request.param, folder, None)
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("chance", range(3))
def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(tmp_path: Path, whole, chance: int) -> None:
    """Killed at random moments, four times, and then resumed on another number of threads."""
    engine, undisturbed = whole
    out, random = tmp_path / "a", np.random.default_rng(chance)
    killed(random.uniform(0, 0.1), out, begun, engine, out)
    for _ in range(3):
        killed(random.uniform(0, 0.1), out, resume_run, out)
    if chance == 0:
        with process("resume", "a", "--threads", 2, cwd=tmp_path) as run:
            _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    else:
        resume_run(out, threads=2)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert_same_run(undisturbed, out)
    resumed = json.loads((out / "run.json").read_text())["operations"][1:]
    assert [each["operation"] for each in resumed] == ["resume"] * 4
    starts = [each["from_h"] for each in resumed]
    assert starts == sorted(starts)
    assert 0 <= starts[0] <= starts[-1] < HUNDRED_STEPS


def test_a_digit_that_is_lost_would_be_seen(tmp_path: Path, whole) -> None:
    """The comparison above bites: one value of one table in its last bit."""
    copy = tmp_path / "a"
    shutil.copytree(whole[1], copy)
    assert_same_run(whole[1], copy)
    table = pq.read_table(copy / "metrics_by_kind.parquet")
    values = table["free"].to_numpy().copy()
    values[-1] = np.nextafter(values[-1], np.inf)
    at = table.column_names.index("free")
    pq.write_table(table.set_column(at, "free", [values]), copy / "metrics_by_kind.parquet")
    with pytest.raises(AssertionError, match="metrics"):
        assert_same_run(whole[1], copy)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path, command, how: signal.Signals) -> None:
    base = ("run", "two_cells", "--seed", 1, "--hours", 90_000, "--out", "a")
    err = stopped(how, 0.1, *base, "--checkpoint-every", 24, cwd=tmp_path)
    assert "interrupted; `exoabm resume a` resumes it" in err
    command(*base).refused(2, "a.unfinished is an unfinished run", "exoabm resume", "--overwrite")
    short = ("run", "two_cells", "--seed", 1, "--hours", 0.1, "--out", "a")
    assert command(*short, "--overwrite").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_truncated_checkpoint_is_refused_without_a_traceback(tmp_path: Path, command) -> None:
    base = ("run", "two_cells", "--seed", 1, "--hours", 90_000, "--out", "a")
    stopped(signal.SIGTERM, 0.0, *base, "--checkpoint-every", 24, cwd=tmp_path)
    file = tmp_path / "a.unfinished" / "checkpoint.npz"
    whole = file.read_bytes()
    for keep in (0.0, 0.5, 0.999):
        file.write_bytes(whole[: int(keep * len(whole))])
        command("resume", "a").refused(2, "checkpoint.npz is damaged")
        assert file.exists()


def test_what_cannot_be_resumed_is_refused(command, tmp_path: Path) -> None:
    command("resume", "a").refused(2, "no unfinished run", "a.unfinished")
    short = ("run", "two_cells", "--seed", 1, "--hours", 0.1, "--out", "a")
    assert command(*short, "--checkpoint-every", "2 min").code == 0
    command("resume", "a").refused(2, "a is finished already")
    command("resume", "a.unfinished").refused(2, "a is finished already")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("interval", ["0", "-1 h", "inf", "1 um", "soon", "nan"])
def test_an_interval_must_be_a_time(command, tmp_path: Path, interval: str) -> None:
    run = ("run", "two_cells", "--hours", 0.1, "--out", "a", "--checkpoint-every", interval)
    command(*run).refused(2, "--checkpoint-every")
    assert not list(tmp_path.iterdir())
