r"""Walkers on a grid: the explicit scheme of `diffusion`, one walker at a time.

In a sub-step of length h a walker in voxel v

    is cleared with k h,   goes to each neighbor with r g of the face between,   else stays,
    r = D h / dx^2,

and is then captured in v with B/(1 + B), B = h sum of the capture rates there. A walker that is
let in during a sub-step is only captured in it. The expected numbers are those of the grid scheme,
exactly and for any h, with the same faces, obstacles and conductances g.

Randomness is keyed by (seed, purpose, walker, step, draw), so that a walker's way depends neither
on the others nor on the threads: blocks of Threefry-4x32 with 12 rounds, one word a sub-step, those
of one walker eight blocks at a time, in a vector loop. The
capture threshold is drawn once per call: a walker is captured when ``sum log(1 + B)`` exceeds an
exponential variate, which has the same law as a draw in every sub-step. One that was turned away goes on
from the next sub-step with the words of its way that it has not used, and a new threshold.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.medium import CAPTURED, CLEARED, ESCAPED, STAYS, Fates, Movers
from exoabm.kernels.random import threefry
from exoabm.kernels.row_groups import in_chunks

_UNEVEN, _SINK = 1, 2
_BEYOND = 0.5
"""How far beyond the last classes rates go on linearly, in the distance of two; they end at 0."""
_BLOCKS = 8
_ROUNDS = 12
HOPS_PER_CALL = 1 << 26
"""Hops of a vesicle from voxel to voxel in a piece; one takes 2 to 5 ns."""
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
    """Conductance of most inner faces, or 0 where they differ."""
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
    """(classes, entries) 1/s, of walkers with these D"""
    log_diffusivity: Floats
    """(classes) log D, rising; rates are linear in it between them, and for half that way beyond the last."""
    mark: NDArray[np.uint8]
    """(voxels) what to look up there; see `marks`."""
    marked: NDArray[np.uint8]
    """One bit a voxel, little end first, where the mark is not 0: all that is read elsewhere."""


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


@njit(**_JIT)
def _draw(seed, purpose, walker, step, block, word):
    """Fill ``word`` with those of `_BLOCKS` blocks from ``block`` on."""
    k0, k1 = np.uint32(seed & _LOW), np.uint32(seed >> 32)
    k2, k3 = np.uint32(purpose), np.uint32(step >> 32)
    c0, c1, c2 = np.uint32(walker & _LOW), np.uint32(walker >> 32), np.uint32(step & _LOW)
    first = np.uint32(block)
    for i in range(_BLOCKS):
        draw = np.uint32(first + np.uint32(i))
        a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, c0, c1, c2, draw)
        word[i] = a
        word[_BLOCKS + i] = b
        word[2 * _BLOCKS + i] = c
        word[3 * _BLOCKS + i] = d


@njit(forceinline=True, **_JIT)
def _direction(dim, gx, gy, gz, ix, iy, iz, v):
    """The neighbor (0 to 5: x low, x high, y low, ...) on whose share of the faces v falls, or 6."""
    v -= gx[iz, iy, ix]
    if v < 0:
        return 0
    v -= gx[iz, iy, ix + 1]
    if v < 0:
        return 1
    v -= gy[iz, iy, ix]
    if v < 0:
        return 2
    v -= gy[iz, iy + 1, ix]
    if v < 0:
        return 3
    if dim == 3:
        v -= gz[iz, iy, ix]
        if v < 0:
            return 4
        v -= gz[iz + 1, iy, ix]
        if v < 0:
            return 5
    return 6


@njit(**_JIT)
def _between(diffusivity, log_diffusivity):
    """The two classes next to a walker's D, and how far it is from the first to the second."""
    classes = log_diffusivity.size
    if classes == 1 or diffusivity <= 0.0:
        return 0, 0, 0.0
    at, lower = math.log(diffusivity), 0
    while lower < classes - 2 and at > log_diffusivity[lower + 1]:
        lower += 1
    first, second = log_diffusivity[lower], log_diffusivity[lower + 1]
    return lower, lower + 1, min(max((at - first) / (second - first), -_BEYOND), 1.0 + _BEYOND)


@njit(**_JIT)
def _range(
    first, last, most, rows, walker, x, y, z, diffusivity, start, attempt, dt, per_diffusivity, least,
    seed, purpose, step, dim, low, voxel, counts, wraps, gx, gy, gz, uniform, decay_rate,
    slot_of_voxel, slot_ptr, entry_cell, entry_rate, log_diffusivity, mark, marked, slot_rate,
    fate, when, target,
):  # fmt: skip
    """The vesicles in rows first to last, or fewer, once ``most`` hops are made; returns where it stopped."""
    nx, ny, nz = counts[0], counts[1], counts[2]
    low_x, low_y, low_z = low[0], low[1], low[2]
    at, move, stays = np.zeros(3, np.int64), np.zeros(7, np.int64), 2.0 * dim
    move[0], move[1], move[2], move[3] = -1, 1, -nx, nx
    if dim == 3:
        move[4], move[5] = -nx * ny, nx * ny
    word = np.empty(4 * _BLOCKS, np.uint32)
    made = 0
    for k in range(first, last):
        if made > most:
            return k
        i = rows[k]
        free = np.float64(diffusivity[i])
        lower, upper, above = _between(free, log_diffusivity)
        rate = max(free * per_diffusivity, least)
        n = max(np.int64(math.ceil(rate * dt * (1 - 1e-12))), np.int64(1))
        h = dt / n
        r = free * h / (voxel * voxel)
        clears = decay_rate * h * 2.0**32
        shares = 2.0**-32 / r if r > 0.0 else 1e300  # one that cannot move stays
        ways = shares / uniform if uniform > 0.0 else 0.0
        ix = min(max(np.int64(math.floor((x[i] - low_x) / voxel)), 0), nx - 1)
        iy = min(max(np.int64(math.floor((y[i] - low_y) / voxel)), 0), ny - 1)
        iz = 0
        if dim == 3:
            iz = int(min(max(math.floor((z[i] - low_z) / voxel), 0), nz - 1))
        part_x, part_y = (x[i] - low_x) / voxel - ix, (y[i] - low_y) / voxel - iy
        part_z = (z[i] - low_z) / voxel - iz
        here = ix + nx * (iy + ny * iz)
        begin = int(min(start[i] / h, n - 0.5))
        made += int(n - begin)
        let_in = start[i] > 0
        if attempt > 0:  # the sub-step in which it was turned away is over
            begin, let_in = int(start[i] / h) + 1, False
        a, b, _, _ = _words(seed, purpose + 1, walker[i], step, attempt)
        threshold, pick = -math.log(_unit(a)), _unit(b)
        code, time, cell = STAYS, dt, -1
        batch = -1
        flag = mark[here]
        for s in range(begin, n):
            if not (let_in and s == begin):
                if s // (4 * _BLOCKS) != batch:
                    batch = s // (4 * _BLOCKS)
                    _draw(seed, purpose, walker[i], step, batch * _BLOCKS, word)
                v = np.float64(word[s % (4 * _BLOCKS)]) + (0.5 - clears)
                if v < 0.0:
                    code, time = CLEARED, max((s + 0.5) * h, start[i])
                    break
                if not flag & _UNEVEN:
                    here += move[np.int64(min(v * ways, stays))]
                else:
                    at[2] = here // (nx * ny)
                    at[1] = here // nx - ny * at[2]
                    at[0] = here - nx * (at[1] + ny * at[2])
                    way = _direction(dim, gx, gy, gz, at[0], at[1], at[2], v * shares)
                    if way < 6:
                        axis = way // 2
                        to = at[axis] + 2 * (way % 2) - 1
                        if to < 0 or to >= counts[axis]:
                            if not wraps[axis]:
                                code, time = ESCAPED, max((s + 0.5) * h, start[i])
                                break
                            to %= counts[axis]
                        at[axis] = to
                        here = at[0] + nx * (at[1] + ny * at[2])
            flag = np.uint8(0)
            if (marked[here >> 3] >> (here & 7)) & 1:
                flag = mark[here]
            if flag & _SINK:
                slot = slot_of_voxel[here]
                capture = slot_rate[lower, slot]
                capture = max(capture + above * (slot_rate[upper, slot] - capture), 0.0)
                threshold -= math.log1p(capture * h)
                if threshold < 0:
                    share = pick * capture
                    entry = slot_ptr[slot] - 1
                    while entry + 1 < slot_ptr[slot + 1] and (share > 0 or entry < slot_ptr[slot]):
                        entry += 1
                        low_rate = entry_rate[lower, entry]
                        share -= low_rate + above * (entry_rate[upper, entry] - low_rate)
                    code, time, cell = CAPTURED, max((s + 0.5) * h, start[i]), entry_cell[entry]
                    break
        iz = here // (nx * ny)
        iy = here // nx - ny * iz
        ix = here - nx * (iy + ny * iz)
        x[i] = low_x + (ix + part_x) * voxel
        y[i] = low_y + (iy + part_y) * voxel
        if dim == 3:
            z[i] = low_z + (iz + part_z) * voxel
        fate[i], when[i], target[i] = code, time, cell
    return last


def marks(lattice: Lattice, slot_of_voxel: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Marks of the voxels, flat: whether they hold a sink, and whether the ways to go are uneven; bits.

    They are even where all faces are inner ones and have the conductance ``uniform``.
    """
    nx, ny, nz = (int(n) for n in lattice.counts)
    even = np.zeros((nz, ny, nx), bool)
    if lattice.uniform > 0:
        even[slice(1, -1) if lattice.dim == 3 else slice(None), 1:-1, 1:-1] = True
        for axis, g in enumerate((lattice.gx, lattice.gy, lattice.gz)[: lattice.dim]):
            same = np.moveaxis(g == lattice.uniform, 2 - axis, 0)
            even &= np.moveaxis(same[:-1] & same[1:], 0, 2 - axis)
    mark = np.where(even.ravel(), 0, _UNEVEN) | np.where(slot_of_voxel >= 0, _SINK, 0)
    return mark.astype(np.uint8), np.packbits(mark > 0, bitorder="little")


@njit(**_JIT)
def rates_at(slot, cell, diffusivity, betas, sinks):
    """How walkers of these D (m) are captured in slots (m), by all cells and by the cells (m).

    Returns beta = k_a / kappa, between the ``betas`` (classes, cells), and the two rates in 1/s, (m) each.
    """
    beta, total, own = np.zeros(slot.size), np.zeros(slot.size), np.zeros(slot.size)
    for i in range(slot.size):
        lower, upper, above = _between(diffusivity[i], sinks.log_diffusivity)
        for entry in range(sinks.slot_ptr[slot[i]], sinks.slot_ptr[slot[i] + 1]):
            rate = sinks.entry_rate[lower, entry]
            rate += above * (sinks.entry_rate[upper, entry] - rate)
            total[i] += rate
            if sinks.entry_cell[entry] == cell[i]:
                own[i] += rate
        first, second = 1.0 / betas[lower, cell[i]], 1.0 / betas[upper, cell[i]]
        beta[i] = 1.0 / (first + above * (second - first))
    return beta, total, own


def hop(
    movers: Movers,
    dt: float,
    substeps: tuple[float, float],
    seed: int,
    purpose: int,
    step: int,
    lattice: Lattice,
    sinks: Sinks,
    fates: Fates,
    threads: int = 1,
) -> None:
    """Take walkers through one coupling step; each ends it in exactly one way.

    Parameters
    ----------
    movers : Movers
        Of their places only the voxel counts, the place inside it is kept.
    dt : float
        Length of the step, s.
    substeps : tuple
        A walker takes max(D times the first, the second) sub-steps a second, rounded up over the step.
    seed, purpose, step : int
        Names of the run, of the draws (this number and the next) and of the step.
    lattice : Lattice
    sinks : Sinks
    fates : Fates
        Written.
    threads : int
        The result has the same bits for any number.
    """
    slot_rate = np.array([np.diff(np.append(0.0, np.cumsum(r))[sinks.slot_ptr]) for r in sinks.entry_rate])
    job = (
        *movers, float(dt), *map(float, substeps), int(seed), int(purpose), int(step), *lattice, *sinks,
        slot_rate, *fates,
    )  # fmt: skip
    in_chunks(lambda first, last: _range(first, last, HOPS_PER_CALL, *job), len(movers.rows), threads)
