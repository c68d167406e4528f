"""Long kernels in pieces: bounded, of the same bits, and ended by an exception in the thread that waits."""

from __future__ import annotations

import threading
import time
from unittest.mock import Mock

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.kernels import (
    brownian_offlattice,
    diffusion_stencil,
    lattice_random_walk,
    linear_uptake,
    row_groups,
    saturable_uptake,
)
from exoabm.kernels import threads as threads_of_kernels

VESICLES = {"transport.engine": "vesicles", "cell_type.donor.release_rate": "300 / h"}
RUNS = {
    "linear": (linear_uptake, "linear_serial", {}, 1),
    "shared": (saturable_uptake, "_advance", {"cell_type.recipient.saturation": "1 nM"}, 1),
    "linear, threads": (linear_uptake, "_linear_parallel", {}, 8),  # more than rows of the field
    "shared, threads": (saturable_uptake, "_advance", {"cell_type.recipient.saturation": "1 nM"}, 2),
    "hop": (lattice_random_walk, "_walk_rows", VESICLES | {"transport.capture": "voxel"}, 1),
    "walk": (brownian_offlattice, "_walk_rows", VESICLES | {"transport.capture": "membrane"}, 1),
}


def bits(overrides: dict[str, str], threads: int) -> list[bytes]:
    """All bits of what is free and what was captured, after three steps of 20 min."""
    small = {"clock.step": "20 min", "domain.size": "['60 um', '40 um', '50 um']", "domain.margin": "0 um"}
    points = {"layout.group.recipient.points": "[['45 um', '25 um', '25 um']]"}
    points |= {"layout.group.donor.points": "[['15 um', '15 um', '25 um']]"}
    model = ExosomeModel("two_cells", seed=3, overrides=small | points | overrides, threads=threads)
    for _ in range(3):
        model.step()
    state = model.state
    columns = [] if not state.follows_vesicles else list(state.vesicles.columns().values())
    arrays = [*state.fields, state.trafficking.delivered, state.trafficking.bound, *columns]
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("name", RUNS)
def test_small_pieces_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Odd and even numbers of sub-steps to a piece, so that the two copies of the field change places."""
    module, function, overrides, threads = RUNS[name]
    monkeypatch.setattr("exoabm.transport.continuum_engine.DIVIDED_VOXELS", 1)
    monkeypatch.setattr("exoabm.transport.continuum_engine.PARALLEL_UPDATES", 0)
    monkeypatch.setattr(linear_uptake, "DIVIDED_VOXELS", 1)
    monkeypatch.setattr("exoabm.processors.FreeCores.count", lambda _: threads)
    monkeypatch.setattr(linear_uptake, "BLOCK_VOXELS", 1)
    calls, kernel = [], getattr(module, function)

    def counted(*given: object) -> object:
        calls.append(given)
        return kernel(*given)

    monkeypatch.setattr(module, function, counted)
    whole = bits(overrides, threads)
    once = len(calls)
    assert once == 3 or (once >= 6 and name == "shared, threads"), "one call a step and thread"
    voxels = 6 * 4 * 5
    for number in (1, 2, 3):
        calls.clear()
        monkeypatch.setattr(diffusion_stencil, "UPDATES_PER_CALL", number * voxels + 1)
        monkeypatch.setattr(lattice_random_walk, "HOPS_PER_CALL", number * 500)
        monkeypatch.setattr(brownian_offlattice, "STEPS_PER_CALL", number * 500)
        assert bits(overrides, threads) == whole
        assert len(calls) > 30, "a step of 20 min is many pieces"


@pytest.mark.parametrize(("n", "voxels"), [(7, 10), (7, 10**9), (1, 1), (1000, 3)])
def test_sub_steps_in_pieces_are_all_there(monkeypatch: pytest.MonkeyPatch, n: int, voxels: int) -> None:
    monkeypatch.setattr(diffusion_stencil, "UPDATES_PER_CALL", 30)
    found = list(diffusion_stencil.substeps(n, voxels))
    assert sum(found) == n
    assert max(found) <= max(1, 30 // voxels)


@pytest.mark.parametrize("chunk", [0, 1])
def test_an_exception_in_one_thread_ends_the_others(chunk: int) -> None:
    """As a signal raises it: nobody goes on with the rest of a chunk that would take for ever."""
    begun, done = threading.Event(), []

    def work(first: int, last: int) -> int:
        if first == chunk * threads_of_kernels.CHUNK:
            begun.wait(60)
            raise KeyboardInterrupt
        begun.set()
        done.append(first)
        return first  # would never come to an end

    with pytest.raises(KeyboardInterrupt):
        threads_of_kernels.run_in_chunks(work, 4 * threads_of_kernels.CHUNK, threads=2)
    assert done


def test_an_exception_where_others_are_waited_for_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not finish a long chunk first."""
    caller, begun, calls = threading.get_ident(), threading.Event(), []

    def work(first: int, last: int) -> int:
        if threading.get_ident() == caller:
            begun.wait(60)
            return last
        begun.set()
        calls.append(first)
        time.sleep(0.001)
        return last if len(calls) == 5000 else first

    monkeypatch.setattr("concurrent.futures.Future.result", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        threads_of_kernels.run_in_chunks(work, 4 * threads_of_kernels.CHUNK, threads=2)
    assert 0 < len(calls) < 5000


@pytest.mark.parametrize(("n", "threads"), [(0, 1), (0, 3), (5, 1), (50, 1), (50, 3), (49, 3), (50, 9)])
def test_every_row_is_done_once(monkeypatch: pytest.MonkeyPatch, n: int, threads: int) -> None:
    """By work that stops early, too."""
    monkeypatch.setattr(threads_of_kernels, "CHUNK", 8)
    times = np.zeros(n, int)

    def work(first: int, last: int) -> int:
        last = min(last, first + 3)
        times[first:last] += 1
        return last

    threads_of_kernels.run_in_chunks(work, n, threads)
    assert (times == 1).all()


def test_entries_are_chosen_by_their_weights() -> None:
    """As a search in all sums says, also at the ends of a group and where weights are zero."""
    rng = np.random.default_rng(2)
    weight = rng.random(60) * (rng.random(60) < 0.7)
    ends = np.array([0, 1, 9, 30, 60])
    weight[0] = weight[9] = weight[29] = 1.0
    running = np.concatenate([[0.0], np.cumsum(weight)])
    group, u = rng.integers(0, 4, 5000), rng.random(5000)
    u[:4] = 1 - 1e-16
    first, last, found = ends[group], ends[group + 1], np.empty(5000, np.int64)
    row_groups.choose_by_weight(running, first, last, u, found)
    drawn = running[first] + u * (running[last] - running[first])
    expected = np.clip(np.searchsorted(running, drawn, side="right") - 1, first, last - 1)
    np.testing.assert_array_equal(found, expected)
    assert (weight[found[4:]] > 0).all()
    assert len(np.unique(found)) > 30


@pytest.mark.parametrize("groups", [1, 50, 3000])
def test_rows_are_in_order_of_group_time_and_name(groups: int) -> None:
    """As sorted by all three; groups of few rows and of many, with equal times."""
    rng = np.random.default_rng(6)
    group, when = rng.integers(0, groups, 2000), rng.integers(0, 40, 2000) / 7.0
    name = rng.permutation(2000) * 10**12
    found = row_groups.order_in_groups(group, groups, when, name)
    np.testing.assert_array_equal(found, np.lexsort((name, when, group)))


def test_rows_that_are_due() -> None:
    """Those of a status that are due before the end of a step, which is none of them itself."""
    rng = np.random.default_rng(4)
    due, status = rng.integers(5, 15, 400).astype(float), rng.integers(0, 3, 400).astype(np.int8)
    expected = np.flatnonzero((status == 1) & (due - 7.0 < 3.0))
    np.testing.assert_array_equal(row_groups.rows_until(due, status, 1, 7.0, 3.0), expected)
    assert (due[status == 1] == 10.0).any()


def test_pairs_are_counted() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 3, 500).astype(np.int8), rng.integers(0, 4, 500).astype(np.int16)
    rows, count = rng.choice(500, 200, replace=False), np.zeros((3, 4))
    row_groups.count_pairs(rows, first, second, count)
    expected = np.zeros((3, 4))
    np.add.at(expected, (first[rows], second[rows]), 1)
    np.testing.assert_array_equal(count, expected)
    assert count.min() > 0
