"""The same seed gives the same bits, on any number of threads."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crowded_tissue import assert_identical, crowd
from worlds import run

from exoabm import processors
from exoabm.processors import LOOK_AFTER, FreeCores, _clocks
from exoabm.transport import continuum_engine

if TYPE_CHECKING:
    from pathlib import Path

BURSTS = {"secretion": "poisson"}


@pytest.mark.parametrize("saturation", ["inf", "1 pM"])
@pytest.mark.parametrize("dim", [2, 3])
def test_one_thread_or_several(monkeypatch: pytest.MonkeyPatch, dim: int, saturation: str) -> None:
    """With threads on a small grid, as on a large one; two origins and the reservoir, three size classes."""
    vesicle = {"diameter_gsd": 1.4, "size_classes": 3}
    options = {"saturation": saturation, "zones": True, "faces": "held", "kinds": BURSTS, "vesicle": vesicle}
    one = run(crowd(dim, threads=1, **options), 1800)
    assert len(one.state.fields[0]) == 9
    monkeypatch.setattr(continuum_engine, "PARALLEL_UPDATES", 0)
    monkeypatch.setattr(continuum_engine, "DIVIDED_VOXELS", 1)
    used = []
    for threads in (2, 4, None):
        monkeypatch.setattr(FreeCores, "count", lambda _, n=threads: used.append(n) or n or 3)
        assert_identical(one, run(crowd(dim, threads=threads, **options), 1800))
    assert set(used) == {2, 4, None}


@pytest.mark.parametrize(
    ("idle", "own", "threads"), [(1.0, 1.0, 2), (0.0, 0.05, 1), (0.1, 1.0, 1), (9, 1, 4)]
)
def test_threads_are_as_many_as_cores_are_free(idle: float, own: float, threads: int) -> None:
    """On a quiet machine of two cores, beside 24 processes, beside one, and on a large machine."""
    clock = [0.0, 50.0, 3.0]
    for load, at_once in ((0.2, 2), (1.9, 1), (-7, 4)):
        assert FreeCores(4, lambda: tuple(clock), lambda: 2 - load).count() == at_once  # noqa: B023
    cores = FreeCores(4, lambda: tuple(clock), lambda: 2.0)
    for _ in range(3):
        clock = [clock[0] + LOOK_AFTER, clock[1] + LOOK_AFTER * idle, clock[2] + LOOK_AFTER * own]
        assert cores.count() == threads
    assert FreeCores(1, lambda: pytest.fail("one thread needs no clock")).count() == 1


def test_the_clocks_of_this_machine_agree() -> None:
    """Over 50 ms of work, wall >= own time > 0, and the cores were idle for at most that time."""
    (wall, idle, own), cores = _clocks(), os.cpu_count() or 1
    while time.process_time() < own + 0.05:
        pass
    wall, idle, own = (b - a for a, b in zip((wall, idle, own), _clocks(), strict=True))
    assert 0.05 <= own <= wall + 0.01
    assert -0.02 <= idle <= cores * (wall + 0.02)
    assert 1 <= FreeCores(cores + 1).count() <= cores + 1
    assert processors.free_cores(2) is processors.free_cores(2), "a model has no clock of its own"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 6),
        ({"cpu.max": "max 100000"}, 6),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 6),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.max": "?"}, 6),
    ],
)
def test_cores_that_a_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    """Six that it is bound to, and the quota of its control group in both versions of Linux."""
    monkeypatch.setattr(processors, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(processors.config, "NUMBA_NUM_THREADS", 6)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert processors.usable_cores() == cores


def test_a_seed_names_a_run() -> None:
    one, again, other = (run(crowd(seed=seed, kinds=BURSTS), 3600) for seed in (5, 5, 6))
    assert_identical(one, again)
    assert (one.state.released != other.state.released).any()


def test_a_run_in_parts_is_the_same_run() -> None:
    whole, parts = crowd(kinds=BURSTS), crowd(kinds=BURSTS)
    run(whole, 3600)
    for seconds in (600, 1800, 1200):
        run(parts, seconds)
    assert_identical(whole, parts)


def test_bursts_have_their_mean_and_spread() -> None:
    """Compound Poisson: mean q t, variance (1 + b) q t with b = 15 vesicles in each body.

    100 donors, 100 steps: 4 standard errors of the mean (3.3 %) and of the variance (21 %) of 1e4
    draws, which an honest sampler exceeds once in ten thousand tries.
    """
    points = [[5 + 10 * i, 5 + 10 * j, 5] for i in range(10) for j in range(10)]
    model = crowd(size=[100, 100], places={"donor": points}, kinds=BURSTS)
    before, draws = model.state.released.copy(), []
    for _ in range(100):
        model.step()
        draws.append(model.state.released - before)
        before = model.state.released.copy()
    counts, mean = np.array(draws), 600 / 60
    error = np.sqrt(16 * mean / counts.size)
    assert abs(counts.mean() - mean) < 4 * error
    assert counts.var() / counts.mean() == pytest.approx(16, rel=0.21)
