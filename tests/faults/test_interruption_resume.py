"""A run that is killed at any moment after its first checkpoint goes on to the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

TABLES = ("metrics", "cells", "events", "communication")
SETTINGS = (
    *("--set", "record.cells=5 min", "--set", "record.events=2 min", "--set", "record.fields=4 min"),
    *("--set", "domain.size=[800, 800]", "--set", "layout.group.recipient.outer=350 um"),
)
ENGINES = {"continuum": ("--set", "domain.voxel=6.25 um"), "vesicles": ("--set", "transport.engine=vesicles")}
HUNDRED_STEPS = ("--hours", 5 / 3)
EVERY = ("--checkpoint-every", "5 min")


def process(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "exoabm.cli", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def stopped(how: signal.Signals, after: float, *arguments: object, cwd: Path) -> str:
    """Stop a command some seconds after its next checkpoint; what it wrote on stderr."""
    checkpoint = cwd / "a.unfinished" / "checkpoint.npz"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    with process(*arguments, cwd=cwd) as run:
        until = time.monotonic() + 300
        while time.monotonic() < until and run.poll() is None:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns > before:
                break
            time.sleep(0.001)
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
    for name in ("time_s", "exosome"):
        a, b = (np.asarray(group[name]) for group in groups)
        np.testing.assert_array_equal(a, b, strict=True)
    assert (one / "summary.json").read_bytes() == (other / "summary.json").read_bytes()
    assert (one / "communication.graphml").read_bytes() == (other / "communication.graphml").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(tmp_path: Path, engine: str) -> None:
    """Killed at random moments, four times, and then resumed on another number of threads."""
    base = ("run", "signaling", "--seed", 1, *HUNDRED_STEPS, *SETTINGS, *ENGINES[engine])
    (home := tmp_path / "home").mkdir()
    random = np.random.default_rng(1)
    for arguments in ((*base, *EVERY, "--out", "a"), *[("resume", "a")] * 3):
        stopped(signal.SIGKILL, random.uniform(0, 0.1), *arguments, cwd=home)
    for arguments, cwd in ((("resume", "a", "--threads", 2), home), ((*base, "--out", "whole"), tmp_path)):
        with process(*arguments, cwd=cwd) as run:
            _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    assert [p.name for p in home.iterdir()] == ["a"]
    assert_same_run(tmp_path / "whole", home / "a")
    resumed = json.loads((home / "a" / "run.json").read_text())["resumed"]
    assert len(resumed) == 4
    starts = [each["from_h"] for each in resumed]
    assert starts == sorted(starts)
    assert 0 <= starts[0] <= starts[-1] < 5 / 3


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path, command, how: signal.Signals) -> None:
    base = ("run", "two_cells", "--seed", 1, "--hours", 90_000, "--out", "a")
    err = stopped(how, 0.1, *base, "--checkpoint-every", 24, cwd=tmp_path)
    assert "interrupted; `exoabm resume a` goes on with it" in err
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
