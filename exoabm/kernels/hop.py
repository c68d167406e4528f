r"""Walkers on a grid: the explicit scheme of `diffusion`, one walker at a time.

In a sub-step of length h a walker in voxel v

    is cleared with k h,   goes to each neighbor with r g of the face between,   else stays,
    r = D h / dx^2,

and is then captured in v with B/(1 + B), B = h sum of the capture rates there. A walker that is
let in during a sub-step is only captured in it. The expected numbers are those of the grid scheme,
exactly and for any h, with the same faces, obstacles and conductances g.

Randomness is keyed by (seed, purpose, walker, step, draw), so that a walker's way depends neither
on the others nor on the threads: blocks of Threefry-4x32 with 12 rounds, one word a sub-step. The
capture threshold is drawn once per call: a walker is captured when ``sum log(1 + B)`` exceeds an
exponential variate, which has the same law as a draw in every sub-step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels.random import threefry

STAYS, CAPTURED, CLEARED, ESCAPED = range(4)
"""Fates."""

CHUNK = 8192
"""Walkers of one task, whatever the number of threads."""

_ROUNDS = 12
_LOW = 0xFFFFFFFF
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


class Lattice(NamedTuple):
    """The grid, arrays flat with x fastest."""

    dim: int
    low: Floats
    """(3) low corner, um."""
    voxel: float
    """um"""
    counts: Integers
    """(3) voxels along x, y, z; 1 along z in two dimensions."""
    wraps: NDArray[np.bool_]
    """(3) whether an axis is periodic."""
    gx: Floats
    """(nz, ny, nx + 1) conductances of the faces along x relative to free medium; see `diffusion`."""
    gy: Floats
    """(nz, ny + 1, nx)"""
    gz: Floats
    """(nz + 1, ny, nx); zero in two dimensions."""
    uniform: float
    """Conductance shared by all inner faces, or 0 where they differ."""
    decay_rate: float
    """1/s"""


class Sinks(NamedTuple):
    """Where walkers are captured, and by which cell."""

    slot_of_voxel: NDArray[np.int32]
    """(voxels) slot, or -1."""
    slot_ptr: Integers
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    entry_cell: NDArray[np.int32]
    """(entries)"""
    entry_rate: Floats
    """(entries) 1/s"""


@njit(forceinline=True, **_JIT)
def _words(seed, purpose, walker, step, draw):
    return threefry(
        _ROUNDS,
        np.uint32(seed & _LOW),
        np.uint32(seed >> 32),
        np.uint32(purpose),
        np.uint32(step >> 32),
        np.uint32(walker & _LOW),
        np.uint32(walker >> 32),
        np.uint32(step & _LOW),
        np.uint32(draw),
    )


@njit(forceinline=True, **_JIT)
def _unit(word):
    return (np.float64(word) + 0.5) * 2.0**-32


@njit(forceinline=True, **_JIT)
def _direction(lattice, ix, iy, iz, v):
    """The neighbor (0 to 5: x low, x high, y low, ...) on whose share of the faces v falls, or -1."""
    nx, ny = lattice.counts[0], lattice.counts[1]
    inner = 0 < ix < nx - 1 and 0 < iy < ny - 1
    if lattice.dim == 3:
        inner = inner and 0 < iz < lattice.counts[2] - 1
    if inner and lattice.uniform > 0:
        way = np.int64(v / lattice.uniform)
        return way if way < 2 * lattice.dim else -1
    v -= lattice.gx[iz, iy, ix]
    if v < 0:
        return 0
    v -= lattice.gx[iz, iy, ix + 1]
    if v < 0:
        return 1
    v -= lattice.gy[iz, iy, ix]
    if v < 0:
        return 2
    v -= lattice.gy[iz, iy + 1, ix]
    if v < 0:
        return 3
    if lattice.dim == 3:
        v -= lattice.gz[iz, iy, ix]
        if v < 0:
            return 4
        v -= lattice.gz[iz + 1, iy, ix]
        if v < 0:
            return 5
    return -1


@njit(**_JIT)
def _range(
    first, last, rows, walker, x, y, z, diffusivity, start, dt, per_diffusivity, least, seed, purpose, step,
    lattice, sinks, slot_rate, fate, when, target,
):  # fmt: skip
    nx, ny, nz = lattice.counts
    at, part = np.empty(3, np.int64), np.empty(3)
    for k in range(first, last):
        i = rows[k]
        rate = max(diffusivity[i] * per_diffusivity, least)
        n = np.int64(max(math.ceil(rate * dt * (1 - 1e-12)), 1))
        h = dt / n
        clears = lattice.decay_rate * h
        r = diffusivity[i] * h / (lattice.voxel * lattice.voxel)
        at[0] = min(max(np.int64(math.floor((x[i] - lattice.low[0]) / lattice.voxel)), 0), nx - 1)
        at[1] = min(max(np.int64(math.floor((y[i] - lattice.low[1]) / lattice.voxel)), 0), ny - 1)
        at[2] = 0
        part[0] = (x[i] - lattice.low[0]) / lattice.voxel - at[0]
        part[1] = (y[i] - lattice.low[1]) / lattice.voxel - at[1]
        if lattice.dim == 3:
            at[2] = min(max(np.int64(math.floor((z[i] - lattice.low[2]) / lattice.voxel)), 0), nz - 1)
            part[2] = (z[i] - lattice.low[2]) / lattice.voxel - at[2]
        begin = np.int64(min(start[i] / h, n - 0.5))
        let_in = start[i] > 0
        a, b, c, d = _words(seed, purpose + 1, walker[i], step, 0)
        threshold, pick = -math.log(_unit(a)), _unit(b)
        code, time, cell = STAYS, dt, -1
        block = -1
        for s in range(begin, n):
            if not (let_in and s == begin):
                if s // 4 != block:
                    block = s // 4
                    a, b, c, d = _words(seed, purpose, walker[i], step, block)
                turn = s % 4
                u = _unit(a if turn == 0 else (b if turn == 1 else (c if turn == 2 else d)))
                if u < clears:
                    code, time = CLEARED, (s + 0.5) * h
                    break
                way = _direction(lattice, at[0], at[1], at[2], (u - clears) / r)
                if way >= 0:
                    axis = way // 2
                    at[axis] += 2 * (way % 2) - 1
                    if at[axis] < 0 or at[axis] >= lattice.counts[axis]:
                        if not lattice.wraps[axis]:
                            at[axis] = min(max(at[axis], 0), lattice.counts[axis] - 1)
                            code, time = ESCAPED, (s + 0.5) * h
                            break
                        at[axis] %= lattice.counts[axis]
            slot = sinks.slot_of_voxel[at[0] + nx * (at[1] + ny * at[2])]
            if slot >= 0:
                threshold -= math.log1p(slot_rate[slot] * h)
                if threshold < 0:
                    share = pick * slot_rate[slot]
                    entry = sinks.slot_ptr[slot]
                    share -= sinks.entry_rate[entry]
                    while share > 0 and entry + 1 < sinks.slot_ptr[slot + 1]:
                        entry += 1
                        share -= sinks.entry_rate[entry]
                    code, time, cell = CAPTURED, (s + 0.5) * h, sinks.entry_cell[entry]
                    break
        x[i] = lattice.low[0] + (at[0] + part[0]) * lattice.voxel
        y[i] = lattice.low[1] + (at[1] + part[1]) * lattice.voxel
        if lattice.dim == 3:
            z[i] = lattice.low[2] + (at[2] + part[2]) * lattice.voxel
        fate[i], when[i], target[i] = code, time, cell


@njit(parallel=True, **_JIT)
def _parallel(
    rows, walker, x, y, z, diffusivity, start, dt, per_diffusivity, least, seed, purpose, step,
    lattice, sinks, slot_rate, fate, when, target,
):  # fmt: skip
    for chunk in prange((rows.size + CHUNK - 1) // CHUNK):
        _range(
            chunk * CHUNK, min(rows.size, (chunk + 1) * CHUNK), rows, walker, x, y, z, diffusivity,
            start, dt, per_diffusivity, least, seed, purpose, step, lattice, sinks, slot_rate,
            fate, when, target,
        )  # fmt: skip


def hop(
    rows: Integers,
    walker: Integers,
    x: Singles,
    y: Singles,
    z: Singles,
    diffusivity: Singles,
    start: Singles,
    dt: float,
    substeps: tuple[float, float],
    seed: int,
    purpose: int,
    step: int,
    lattice: Lattice,
    sinks: Sinks,
    fate: NDArray[np.int8],
    when: Singles,
    target: NDArray[np.int32],
    threads: int = 1,
) -> None:
    """Take walkers through one coupling step; each ends it in exactly one way.

    Parameters
    ----------
    rows : (m,)
        Rows of the other arrays that take part; nothing else is read or written.
    walker : (n,)
        Birth numbers, the random keys.
    x, y, z : (n,)
        um; only the voxel counts, the place inside it is kept. z is left alone in two dimensions.
    diffusivity : (n,)
        In free medium, um^2/s.
    start : (n,)
        When a walker is let in, s into the step; 0 for one that is there already.
    dt : float
        Length of the step, s.
    substeps : tuple
        A walker takes max(D times the first, the second) sub-steps a second, rounded up over the step.
    seed, purpose, step : int
        Names of the run, of the draws (this number and the next) and of the step.
    fate, when, target : (n,)
        Written: STAYS, CAPTURED, CLEARED or ESCAPED; s into the step; the row of the cell, or -1.
    threads : int
        The result has the same bits for any number.
    """
    running = np.concatenate([[0.0], np.cumsum(sinks.entry_rate)])
    slot_rate = np.diff(running[sinks.slot_ptr])
    job = (
        rows, walker, x, y, z, diffusivity, start, float(dt), *substeps, seed, purpose, step,
        lattice, sinks, slot_rate, fate, when, target,
    )  # fmt: skip
    if threads == 1:
        _range(0, len(rows), *job)
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        _parallel(*job)
    finally:
        numba.set_num_threads(before)
