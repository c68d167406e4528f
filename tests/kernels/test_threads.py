"""Threads that wait for each other within kernels: in step, ended by an exception, and for any division."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numba import njit

from exoabm.kernels.saturable_uptake import BLOCK_CELLS, _Shares
from exoabm.kernels.threads import may_begin, note_done, run_in_phases
from exoabm.kernels.uptake_rates import index_entries


@njit(nogil=True)
def _difference(thread, progress, first, last, values):
    """In each phase, the own number becomes the sum of all of the phase before."""
    for phase in range(first, last):
        if not may_begin(progress, phase):
            return phase
        old, new = values[phase % 2], values[1 - phase % 2]
        new[thread] = old.sum() % 1009.0
        note_done(progress, thread, phase)
    return last


@pytest.mark.parametrize("at_once", [1, 7, 5000])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_thread_begins_a_phase_before_all_have_done_the_last(threads: int, at_once: int) -> None:
    """Also of more threads than cores, which have to take turns."""
    n, values = 5000 if threads < 3 else 500, np.ones((2, threads))
    run_in_phases(lambda *part: _difference(*part, values), threads, n, at_once)
    expected = 1.0
    for _ in range(n):
        expected = threads * expected % 1009.0
    assert (values[n % 2] == expected).all()


@pytest.mark.parametrize("own", [True, False], ids=["caller", "other"])
def test_an_exception_in_a_thread_ends_all(own: bool) -> None:
    """Though the others wait for it within the kernel."""
    caller, values = threading.get_ident(), np.ones((2, 2))

    def work(thread: int, progress: np.ndarray, first: int, last: int) -> int:
        if first >= 4 and (threading.get_ident() == caller) == own:
            raise KeyboardInterrupt
        return int(_difference(thread, progress, first, last, values))

    with pytest.raises(KeyboardInterrupt):
        run_in_phases(work, 2, 1000, 1)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("spread", [1, 90], ids=["near", "far"])
def test_every_block_of_cells_is_done_once_and_by_whom_its_rows_are(threads: int, spread: int) -> None:
    """Blocks of the gaps reach rows of several threads; cells without a voxel are in a block as well."""
    rng, rows, width, cells = np.random.default_rng(2), 100, 64, 9 * BLOCK_CELLS + 5
    placed = cells - 2 * BLOCK_CELLS
    low = np.sort(rng.integers(0, rows - spread, placed))
    row = np.column_stack([low, low + rng.integers(0, spread + 1, placed)])
    voxel = (row * width + rng.integers(0, width, row.shape)).ravel()
    by_voxel = np.argsort(voxel, kind="stable")
    used, slot = np.unique(voxel[by_voxel], return_inverse=True)
    cell = np.repeat(np.arange(placed), 2)[by_voxel]
    shares = _Shares.of(index_entries(slot, cell, np.full(slot.size, 0.5), used, cells), rows, width, threads)
    own, done = shares.own, []
    for c in range(threads):
        done += range(own[c, 0], own[c, 1])
        done += range(own[c, 1], own[c + 1, 0])
        assert (shares.last_row[own[c, 0] : own[c, 1]] < shares.rows[c + 1]).all()
    assert done == list(range(-(-cells // BLOCK_CELLS)))
    placed_in = np.argsort(low, kind="stable")
    first_row = row.min(axis=1)[placed_in]
    for c in range(threads):
        for block in range(own[c, 0], own[c, 1]):
            some = first_row[block * BLOCK_CELLS : (block + 1) * BLOCK_CELLS]
            assert some.size == 0 or some.min() >= shares.rows[c]
