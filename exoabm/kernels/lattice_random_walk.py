r"""Random walk on a grid: the explicit diffusion scheme of `diffusion_stencil`, one particle at a time.

In a sub-step of length h a particle in voxel v

    is cleared with k h,   goes to each neighbor with r g of the face between,   else stays,
    r = D h / dx^2,

and is then captured in v with B/(1 + B), B = h sum of the capture rates there. A particle that
enters during a sub-step is only captured in it. The expected numbers are those of the grid scheme,
exactly and for any h, with the same faces, obstacles and conductances g.

Draws are keyed by (seed, purpose, particle, step, draw), so that a path depends neither on the other
particles nor on the threads: blocks of Threefry-4x32 with 12 rounds, one word a sub-step, those
of a group of particles eight blocks of each at a time, in a vector loop. The
capture limit is drawn once per call: a particle is captured when the product of 1 + B exceeds 1/u, u uniform
in (0, 1), which has the same law as a draw in every sub-step. A particle that was refused at a
binding site continues from the next sub-step with the unused words of its path and a new threshold.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.binding_kinetics import relative_rate
from exoabm.kernels.lattice import (
    SINK,
    UNEVEN,
    Lattice,
    direction_of,
    locate,
    neighbor_of,
    numbers_of,
    unravel,
)
from exoabm.kernels.medium import CAPTURED, CLEARED, ESCAPED, FREE, Floats, Integers, Outcomes, Particles
from exoabm.kernels.random import StepKey, threefry
from exoabm.kernels.threads import run_in_chunks

_BEYOND = 0.5
"""How far beyond the last size classes rates are extrapolated, in the distance of two; constant beyond."""
_BLOCKS = 8
_WORDS = 4 * _BLOCKS
"""Random words of a particle drawn at a time."""
_GROUP = 64
"""Particles whose limits and first words are drawn together, in vector loops."""
_ROUNDS = 12
HOPS_PER_CALL = 1 << 26
"""Sub-steps of all particles between two checks for signals; one takes 2 to 5 ns."""
_LOW = 0xFFFFFFFF
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


class Sinks(NamedTuple):
    """Capture rates of voxels, by cell."""

    slot_of_voxel: NDArray[np.int32]
    """(voxels) slot, or -1."""
    slot_ptr: Integers
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    entry_cell: NDArray[np.int32]
    """(entries)"""
    entry_rate: Floats
    """(classes, entries) 1/s, of particles with the D of the class"""
    log_diffusivity: Floats
    """(classes) log D, rising; rates are linear in it between them, and for half that way beyond the last."""
    mark: NDArray[np.uint8]
    """(voxels) `mark_voxels`"""
    marked: NDArray[np.uint8]
    """One bit a voxel, little end first, where the mark is not 0: all that is read elsewhere."""


class _Steps(NamedTuple):
    """Sub-steps of one particle."""

    n: np.int64
    h: float
    """s"""
    clears: float
    """k h in units of a random word."""
    shares: float
    """1 / r in the same units."""
    uniform_shares: float
    """1 / (r g), g the conductance of most faces; 0 where they differ."""


@njit(forceinline=True, **_JIT)
def _unit(word):
    return (np.float64(word) + 0.5) * 2.0**-32


@njit(**_JIT)
def _draw_limits(key, particles, attempt, limit, pick):
    """Limits 1/u that the products of 1 + B must exceed, and uniform numbers that pick the cell; (m) each."""
    k0, k1 = np.uint32(key.seed & _LOW), np.uint32(key.seed >> 32)
    k2, k3 = np.uint32(key.capture), np.uint32(key.step >> 32)
    c2, c3 = np.uint32(key.step & _LOW), np.uint32(attempt)
    for j in range(particles.size):
        c0, c1 = np.uint32(particles[j] & _LOW), np.uint32(particles[j] >> 32)
        a, b, _, _ = threefry(_ROUNDS, k0, k1, k2, k3, c0, c1, c2, c3)
        limit[j], pick[j] = 1.0 / _unit(a), _unit(b)


@njit(**_JIT)
def _draw_first_words(key, particles, block, words):
    """Column j of ``words`` is what `_draw_words` fills for particle j from its block on."""
    k0, k1 = np.uint32(key.seed & _LOW), np.uint32(key.seed >> 32)
    k2, k3 = np.uint32(key.move), np.uint32(key.step >> 32)
    c2 = np.uint32(key.step & _LOW)
    for i in range(_BLOCKS):
        for j in range(particles.size):
            c0, c1 = np.uint32(particles[j] & _LOW), np.uint32(particles[j] >> 32)
            draw = np.uint32(block[j] + np.uint32(i))
            a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, c0, c1, c2, draw)
            words[i, j] = a
            words[_BLOCKS + i, j] = b
            words[2 * _BLOCKS + i, j] = c
            words[3 * _BLOCKS + i, j] = d


@njit(**_JIT)
def _draw_words(key, particle, block, word):
    """Fill ``word`` with those of `_BLOCKS` blocks from ``block`` on."""
    k0, k1 = np.uint32(key.seed & _LOW), np.uint32(key.seed >> 32)
    k2, k3 = np.uint32(key.move), np.uint32(key.step >> 32)
    c0, c1, c2 = np.uint32(particle & _LOW), np.uint32(particle >> 32), np.uint32(key.step & _LOW)
    first = np.uint32(block)
    for i in range(_BLOCKS):
        draw = np.uint32(first + np.uint32(i))
        a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, c0, c1, c2, draw)
        word[i] = a
        word[_BLOCKS + i] = b
        word[2 * _BLOCKS + i] = c
        word[3 * _BLOCKS + i] = d


@njit(forceinline=True, **_JIT)
def _steps(box, diffusivity, dt, per_diffusivity, least):
    """n = ceil(max(D a, b) dt),  h = dt / n,  r = D h / dx^2."""
    rate = max(diffusivity * per_diffusivity, least)
    n = max(np.int64(math.ceil(rate * dt * (1 - 1e-12))), np.int64(1))
    h = dt / n
    r = diffusivity * h / (box.voxel * box.voxel)
    shares = 2.0**-32 / r if r > 0.0 else 1e300  # an immobile particle stays
    uniform_shares = shares / box.uniform if box.uniform > 0.0 else 0.0
    return _Steps(n, h, box.decay_rate * h * 2.0**32, shares, uniform_shares)


@njit(forceinline=True, **_JIT)
def _first_substep(start, h, n, attempt):
    """The sub-step in which a particle begins, and whether it enters during it."""
    if attempt > 0:  # the one in which it was refused is over
        return int(start / h) + 1, False
    return int(min(start / h, n - 0.5)), start > 0


@njit(**_JIT)
def _between_classes(diffusivity, log_diffusivity):
    """The two size classes next to D, and the position of log D from the first (0) to the second (1)."""
    classes = log_diffusivity.size
    if classes == 1 or diffusivity <= 0.0:
        return 0, 0, 0.0
    at, lower = math.log(diffusivity), 0
    while lower < classes - 2 and at > log_diffusivity[lower + 1]:
        lower += 1
    first, second = log_diffusivity[lower], log_diffusivity[lower + 1]
    return lower, lower + 1, min(max((at - first) / (second - first), -_BEYOND), 1.0 + _BEYOND)


class _Draws(NamedTuple):
    """Draws of a group of particles; written by `_draw_group`."""

    name: Integers
    block: NDArray[np.uint32]
    """Block of the first words."""
    limit: Floats
    pick: Floats
    words: NDArray[np.uint32]
    """(words, particles)"""


@njit(**_JIT)
def _room_for_draws():
    limit, pick, words = np.empty(_GROUP), np.empty(_GROUP), np.empty((_WORDS, _GROUP), np.uint32)
    return _Draws(np.empty(_GROUP, np.int64), np.empty(_GROUP, np.uint32), limit, pick, words)


@njit(**_JIT)
def _draw_group(first, last, particles, dt, per_diffusivity, least, key, box, draws):
    """Limits and first words of the particles in rows first to last."""
    rows, ids, _, _, _, diffusivities, starts, attempt = particles
    name, block, limit, pick, words = draws
    for k in range(first, last):
        i = rows[k]
        name[k - first] = ids[i]
        steps = _steps(box, np.float64(diffusivities[i]), dt, per_diffusivity, least)
        begin, _ = _first_substep(starts[i], steps.h, steps.n, attempt)
        block[k - first] = begin // _WORDS * _BLOCKS
    _draw_limits(key, name[: last - first], attempt, limit, pick)
    _draw_first_words(key, name[: last - first], block, words)


@njit(forceinline=True, **_JIT)
def _rate_at(rate, column, between):
    """(1 - t) rate[lower] + t rate[upper]."""
    lower, upper, t = between
    low = rate[lower, column]
    return low + t * (rate[upper, column] - low)


@njit(forceinline=True, **_JIT)
def _slot_rate_at(rate, slot, between):
    """The same of ``rate`` (slots, classes)."""
    lower, upper, t = between
    low = rate[slot, lower]
    return low + t * (rate[slot, upper] - low)


@njit(forceinline=True, **_JIT)
def _next_voxel(box, gx, gy, gz, here, v):
    """The voxel that follows on ``here``, by the faces on whose share v falls; -1 beyond an open face."""
    ix, iy, iz = unravel(box, here)
    direction = direction_of(box.dim, gx, gy, gz, ix, iy, iz, v)
    return neighbor_of(box, ix, iy, iz, direction) if direction < 6 else here


@njit(forceinline=True, **_JIT)
def _capturing_cell(slot_ptr, entry_cell, entry_rate, slot, share, between):
    """The cell on whose part of the rates in a slot ``share`` (1/s) falls."""
    entry = slot_ptr[slot] - 1
    while entry + 1 < slot_ptr[slot + 1] and (share > 0 or entry < slot_ptr[slot]):
        entry += 1
        share -= _rate_at(entry_rate, entry, between)
    return entry_cell[entry]


@njit(**_JIT)
def _walk_rows(
    first, last, most, particles, dt, per_diffusivity, least, key, box, moves, gx, gy, gz, sinks, slot_rate,
    outcomes,
):  # fmt: skip
    """The particles in rows first to last, or fewer, once ``most`` sub-steps are made; where it ended."""
    rows, _, x, y, z, diffusivities, starts, attempt = particles  # arrays: reading tuples counts references
    slot_of_voxel, slot_ptr, entry_cell, entry_rate, log_diffusivity, mark, marked = sinks
    code, when, target = outcomes
    name, _, limits, picks, first_words = draws = _room_for_draws()
    later_word, stays, made = np.empty(_WORDS, np.uint32), 2.0 * box.dim, 0
    for group in range(first, last, _GROUP):
        end = min(group + _GROUP, last)
        _draw_group(group, end, particles, dt, per_diffusivity, least, key, box, draws)
        for j in range(end - group):
            if made > most:
                return group + j
            i = rows[group + j]
            start, diffusivity = starts[i], np.float64(diffusivities[i])
            between = _between_classes(diffusivity, log_diffusivity)
            n, h, clears, shares, uniform_shares = _steps(box, diffusivity, dt, per_diffusivity, least)
            here, part_x, part_y, part_z = locate(box, x[i], y[i], z[i])
            begin, enters = _first_substep(start, h, n, attempt)
            made += n - begin
            limit, product, first_batch = limits[j], 1.0, begin // _WORDS
            outcome, cell, batch, flag, s = FREE, -1, first_batch, mark[here], begin
            for s in range(begin, n):
                if not (enters and s == begin):
                    if s // _WORDS != batch:
                        batch = s // _WORDS
                        _draw_words(key, name[j], batch * _BLOCKS, later_word)
                    word = first_words[s % _WORDS, j] if batch == first_batch else later_word[s % _WORDS]
                    v = np.float64(word) + (0.5 - clears)
                    if v < 0.0:
                        outcome = CLEARED
                        break
                    if not flag & UNEVEN:
                        here += moves[np.int64(min(v * uniform_shares, stays))]
                    else:
                        to = _next_voxel(box, gx, gy, gz, here, v * shares)
                        if to < 0:
                            outcome = ESCAPED
                            break
                        here = to
                flag = mark[here] if (marked[here >> 3] >> (here & 7)) & 1 else np.uint8(0)
                if flag & SINK:
                    slot = slot_of_voxel[here]
                    capture = max(_slot_rate_at(slot_rate, slot, between), 0.0)
                    product *= 1.0 + capture * h
                    if product > limit:
                        share = picks[j] * capture
                        cell = _capturing_cell(slot_ptr, entry_cell, entry_rate, slot, share, between)
                        outcome = CAPTURED
                        break
            ix, iy, iz = unravel(box, here)
            x[i], y[i] = box.low[0] + (ix + part_x) * box.voxel, box.low[1] + (iy + part_y) * box.voxel
            if box.dim == 3:
                z[i] = box.low[2] + (iz + part_z) * box.voxel
            code[i], target[i], when[i] = outcome, cell, dt if outcome == FREE else max((s + 0.5) * h, start)
    return last


@njit(**_JIT)
def _scale_rates(entry_rate, share, betas, entry_cell, least):
    """See `scale_rates`."""
    kappa, scaled = np.empty(share.size), np.empty_like(entry_rate)
    for size in range(entry_rate.shape[0]):
        for cell in range(share.size):
            kappa[cell] = relative_rate(share[cell], betas[size, cell], least)
        for entry in range(entry_rate.shape[1]):
            scaled[size, entry] = entry_rate[size, entry] * kappa[entry_cell[entry]]
    return scaled


def scale_rates(sinks: Sinks, share: Floats, betas: Floats, least: float) -> Sinks:
    """Rates of cells with a share of the rate k_a; see `relative_rate`.

    Parameters
    ----------
    sinks : Sinks
        At f = 1.
    share : (cells,)
    betas : (classes, cells)
        k_a / kappa.
    least : float
        Least resistance of a cell, over that at f = 1.
    """
    return sinks._replace(entry_rate=_scale_rates(sinks.entry_rate, share, betas, sinks.entry_cell, least))


@njit(**_JIT)
def _sum_slots(entry_rate, slot_ptr):
    """Sums of the rates in each slot, (slots, classes)."""
    total = np.empty((slot_ptr.size - 1, entry_rate.shape[0]))
    for size in range(total.shape[1]):
        rate = entry_rate[size]
        for slot in range(total.shape[0]):
            sum_ = 0.0
            for entry in range(slot_ptr[slot], slot_ptr[slot + 1]):
                sum_ += rate[entry]
            total[slot, size] = sum_
    return total


@njit(**_JIT)
def _rates_at(particles, cell, dt, per_diffusivity, least, betas, box, sinks, beta, total, own):
    """See `capture_rates`; the last three are written."""
    rows, _, x, y, z, diffusivities, _, _ = particles
    for k in range(rows.size):
        i = rows[k]
        diffusivity = np.float64(diffusivities[i])
        between = _between_classes(diffusivity, sinks.log_diffusivity)
        lower, upper, above = between
        slot = sinks.slot_of_voxel[locate(box, x[i], y[i], z[i])[0]]
        every, mine = 0.0, 0.0
        for entry in range(sinks.slot_ptr[slot], sinks.slot_ptr[slot + 1]):
            rate = _rate_at(sinks.entry_rate, entry, between)
            every += rate
            if sinks.entry_cell[entry] == cell[k]:
                mine += rate
        h = _steps(box, diffusivity, dt, per_diffusivity, least).h
        total[k], own[k] = h * every, h * mine
        first, second = 1.0 / betas[lower, cell[k]], 1.0 / betas[upper, cell[k]]
        beta[k] = 1.0 / (first + above * (second - first))


def capture_rates(
    particles: Particles,
    cell: Integers,
    dt: float,
    substeps: tuple[float, float],
    betas: Floats,
    lattice: Lattice,
    sinks: Sinks,
) -> tuple[Floats, Floats, Floats]:
    """Capture of particles by the cells that captured them: beta, and B = k h by all cells and by ``cell``.

    Parameters
    ----------
    particles : Particles
        In voxels with sinks.
    cell : (m,)
    dt, substeps, lattice, sinks
        See `walk_on_lattice`.
    betas : (classes, cells)
        k_a / kappa; between size classes 1/beta is linear in log D.

    Returns
    -------
    three arrays, (m,)
    """
    beta, total, own = np.zeros(cell.size), np.zeros(cell.size), np.zeros(cell.size)
    box, _ = numbers_of(lattice)
    _rates_at(particles, cell, float(dt), *map(float, substeps), betas, box, sinks, beta, total, own)
    return beta, total, own


def walk_on_lattice(
    particles: Particles,
    dt: float,
    substeps: tuple[float, float],
    key: StepKey,
    lattice: Lattice,
    sinks: Sinks,
    outcomes: Outcomes,
    threads: int = 1,
) -> None:
    """Advance particles by one coupling step; each has exactly one outcome.

    Parameters
    ----------
    particles : Particles
        Of their positions only the voxel counts; the place inside it is kept.
    dt : float
        Length of the step, s.
    substeps : tuple
        A particle takes max(D times the first, the second) sub-steps a second, rounded up over the step.
    key : StepKey
        Names of the draws.
    lattice : Lattice
    sinks : Sinks
    outcomes : Outcomes
        Written.
    threads : int
        The result has the same bits for any number.
    """
    slot_rate = _sum_slots(sinks.entry_rate, sinks.slot_ptr)
    faces = lattice.gx, lattice.gy, lattice.gz
    job = (
        particles,
        float(dt),
        *map(float, substeps),
        key,
        *numbers_of(lattice),
        *faces,
        sinks,
        slot_rate,
        outcomes,
    )

    def walk(first: int, last: int) -> int:
        return _walk_rows(first, last, HOPS_PER_CALL, *job)

    run_in_chunks(walk, len(particles.rows), threads)
