r"""Brownian vesicles among membranes: motion in steps of their own length, and how a free one ends.

    x <- x + sigma xi,     sigma = sqrt(2 D h) = max(distance / 3, shortest)

A step may touch a membrane unseen; the chance of this, `contact`, is known for a flat one, exactly,
and to first order in sigma over its radius for a sphere or a disc. Far from a membrane a step that
touches it is rare, close to it the membrane is flat: steps are long in between too.

Every event that ends the call early has its law decided beforehand: a vesicle draws, once per call,
an exponential clearing time, a threshold for its capture and one for its escape. It is captured when
the hazard that it has met, ``-sum log(1 - P)``, exceeds the threshold, which has the same law as an
independent draw in every sub-step.

Randomness is keyed by (seed, purpose, vesicle, step, draw), so a vesicle's way depends neither on
the others nor on the threads. Blocks are Threefry-4x32 with 12 rounds, which pass BigCrush; those of
one vesicle are drawn sixteen at a time, in a vector loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from exoabm.kernels.medium import (
    CAPTURED,
    CLEARED,
    ESCAPED,
    FIXED,
    PERIODIC,
    STAYS,
    Fates,
    Medium,
    Movers,
    fold,
    grid_of,
    index,
    passes,
    voxel_of,
)
from exoabm.kernels.membranes import Membranes, from_center, hazard, nearest, reaches, reflection
from exoabm.kernels.random import threefry
from exoabm.kernels.row_groups import in_chunks

MOVE, FATE = 9, 10
"""Purposes of the draws; the numbers of ``MOVE`` and ``CAPTURE`` in the streams of a run."""

_SHARE = 1.0 / 3.0
"""Spread of a step over the distance to the nearest membrane."""
_CLEAR = 1.0 / 6.5
"""Spread of a step over the distance to anything else."""
_OUT = math.sqrt(0.5)
"""Spread until a vesicle leaves by a face over that of the whole step: on average half of the time."""
_BLOCKS = 16
_ATTEMPT = 1 << 24
"""Blocks of draws that a vesicle may use before it is turned away where it was captured, and after."""
_ROUNDS = 12
WALKS_PER_CALL = 1 << 22
"""Steps of a vesicle among membranes in a piece; one takes 20 to 100 ns."""
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_LOW = 0xFFFFFFFF

f4, i4, u4 = np.float32, np.int32, np.uint32


@njit(forceinline=True, **_JIT)
def _unit(word):
    """Uniform in (0, 1] from 31 bits, finest near 0."""
    return (f4(i4(word >> u4(1))) + f4(0.5)) * f4(2.0**-31)


@njit(forceinline=True, **_JIT)
def _log(x):
    """Natural logarithm of a normal x > 0 to 2e-7; see ``random._log``."""
    bits = f4(x).view(i4)
    exponent = i4(i4(bits - i4(0x3F3504F3)) >> i4(23))
    m = i4(bits - i4(exponent << i4(23))).view(f4)
    s = (m - f4(1)) / (m + f4(1))
    q = s * s
    tail = q * (f4(2 / 3) + q * (f4(2 / 5) + q * f4(2 / 7)))
    return f4(exponent) * f4(0.6931471805599453) + s * (f4(2) + tail)


@njit(forceinline=True, **_JIT)
def _circle(word):
    """Cosine and sine of 2 pi word / 2^32, to 4e-7."""
    quarter = i4(u4(word + u4(0x20000000)) >> u4(30))
    rest = i4(u4(word - u4(u4(quarter) << u4(30))))
    x = f4(rest) * f4(2.0 * math.pi * 2.0**-32)
    q = x * x
    s = x * (f4(1) + q * (f4(-1 / 6) + q * (f4(1 / 120) + q * f4(-1 / 5040))))
    c = f4(1) + q * (f4(-0.5) + q * (f4(1 / 24) + q * (f4(-1 / 720) + q * f4(1 / 40320))))
    swap = (quarter & i4(1)) == i4(1)
    cosine = s if swap else c
    sine = c if swap else s
    cosine = -cosine if (i4(quarter + i4(1)) & i4(2)) != i4(0) else cosine
    sine = -sine if (quarter & i4(2)) != i4(0) else sine
    return cosine, sine


@njit(**_JIT)
def _draw_normals(seed, step, name, block, normal):
    """Fill ``normal`` with those of `_BLOCKS` blocks, four standard normals from each."""
    k0, k1, k2, k3 = u4(seed & _LOW), u4(seed >> 32), u4(MOVE), u4(step >> 32)
    c0, c1, c2 = u4(name & _LOW), u4(name >> 32), u4(step & _LOW)
    first = u4(block)
    for i in range(_BLOCKS):
        a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, c0, c1, c2, u4(first + u4(i)))
        radius = np.sqrt(f4(-2) * _log(_unit(a)))
        cosine, sine = _circle(b)
        normal[i] = radius * cosine
        normal[_BLOCKS + i] = radius * sine
        radius = np.sqrt(f4(-2) * _log(_unit(c)))
        cosine, sine = _circle(d)
        normal[2 * _BLOCKS + i] = radius * cosine
        normal[3 * _BLOCKS + i] = radius * sine


@njit(forceinline=True, **_JIT)
def _draw_fates(seed, step, name, attempt):
    """Exponential clearing time, of rate 1, and thresholds of capture and escape."""
    a, b, c, _ = threefry(
        _ROUNDS, u4(seed & _LOW), u4(seed >> 32), u4(FATE), u4(step >> 32),
        u4(name & _LOW), u4(name >> 32), u4(step & _LOW), u4(attempt),
    )  # fmt: skip
    return (
        -np.float64(_log(_unit(a))),
        -np.float64(_log(_unit(b))),
        -np.float64(_log(_unit(c))),
    )


@njit(forceinline=True, **_JIT)
def _advance(grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace):
    """Set the goal of a step, with everything in the way: True if it leaves the box, and a chance.

    The chance, as a hazard -log(1 - P), is that of leaving unseen.

    Where hindrance varies, D along each axis is that at the point displaced along this axis
    (LaBolle, Quastel, Fogg & Gravner 2000), which keeps a uniform density uniform.
    """
    mixed = grid.varies and room < 6.0 * spread
    leaves, unseen, size = False, 0.0, 0.0
    for axis in range(3):
        here = place[axis]
        goal[axis] = here
        way[0, axis] = way[1, axis] = 0
        pace[0, axis] = 0.0
        if axis >= grid.dim:
            continue
        way[0, axis] = index(grid, axis, here)
        step = spread * noise[axis]
        if mixed:
            there = index(grid, axis, fold(grid, axis, here + step)[0])
            stride = 1
            for k in range(axis):
                stride *= grid.counts[k]
            passed = voxel + (there - way[0, axis]) * stride
            own = hindrance[voxel]
            if own > 0 and not (grid.blocked and obstacle[passed]):
                step *= np.sqrt(hindrance[passed] / own)
        there, image = fold(grid, axis, here + step)
        n = grid.counts[axis]
        if image < 0 and grid.sides[2 * axis] == FIXED:
            leaves, way[1, axis], there = True, -1, grid.low[axis]
        elif image > 0 and grid.sides[2 * axis + 1] == FIXED:
            leaves, way[1, axis], there = True, n, grid.below[axis]
        else:
            j = index(grid, axis, there)
            if image & 1 and grid.sides[2 * axis] != PERIODIC:
                j = n - 1 - j
            way[1, axis] = j + image * n
        goal[axis] = there
        pace[0, axis] = step
        size += step * step
    if grid.blocked and size >= room * room:
        verdict = passes(grid, obstacle, place, way, pace)
        if verdict == 0:
            leaves = False
            for axis in range(grid.dim):
                goal[axis] = place[axis]
        elif verdict == 2:
            leaves = True
    if grid.opens and not leaves:
        scale = spread * spread / 2
        for axis in range(grid.dim):
            for side in range(2):
                if grid.sides[2 * axis + side] == FIXED and scale > 0:
                    face = grid.high[axis] if side else grid.low[axis]
                    near = abs(place[axis] - face) * abs(goal[axis] - face)
                    if near < 25 * scale:  # the chance of an unseen crossing, exp(-d0 d1 / (D h))
                        unseen -= math.log1p(-math.exp(-near / scale))
    return leaves, unseen


@njit(**_JIT)
def _range(
    first, last, most, rows, vesicle_id, x, y, z, diffusivity, start, attempt, dt, seed, step, grid,
    decay_rate,
    hindrance, obstacle, clearance, near_ptr, near_cell, beyond, ball, fate, when, target,
):  # fmt: skip
    """The vesicles in rows first to last, or fewer, once ``most`` steps are made; returns where it ends."""
    normal = np.empty(4 * _BLOCKS, np.float32)
    place, goal, noise = np.zeros(3), np.zeros(3), np.zeros(3)
    pace, way = np.zeros((3, 3)), np.empty((5, 3), np.int64)
    low, high = grid.low, grid.high
    bends = 1.0 if grid.dim == 3 else 0.5
    made = 0
    for k in range(first, last):
        if made > most:
            return k
        row = rows[k]
        free = np.float64(diffusivity[row])
        px = min(max(np.float64(x[row]), low[0]), grid.below[0])
        py = min(max(np.float64(y[row]), low[1]), grid.below[1])
        pz = np.float64(z[row])
        if grid.dim == 3:
            pz = min(max(pz, low[2]), grid.below[2])
        span = max(dt - start[row], 0.0)
        clear, capture, escape = _draw_fates(seed, step, vesicle_id[row], attempt)
        clear = clear / decay_rate if decay_rate > 0 else np.inf
        left = min(clear, span)
        end = start[row] + left
        brief = grid.shortest * grid.shortest / (2.0 * grid.largest * free)
        block, used = attempt * _ATTEMPT, normal.size
        voxel = voxel_of(grid, px, py, pz)
        near, distance = nearest(grid, obstacle, near_ptr, near_cell, ball, voxel, px, py, pz)
        code, cell = (CLEARED if clear < span else STAYS), -1
        while left > 0.0:
            if used + grid.dim > normal.size:
                _draw_normals(seed, step, vesicle_id[row], block, normal)
                block, used = block + _BLOCKS, 0
            nx, ny, nz = np.float64(normal[used]), np.float64(normal[used + 1]), 0.0
            if grid.dim == 3:
                nz = np.float64(normal[used + 2])
            used += grid.dim
            room, slowed = np.float64(clearance[voxel]), free * hindrance[voxel if grid.varies else 0]
            distance = max(distance, 0.0)
            reach = min(_CLEAR * room, _SHARE * min(distance, np.float64(beyond[voxel])))
            if reach > grid.shortest:
                h = min(reach * reach / (2.0 * slowed), left)
            else:  # short ones divide the time left evenly
                h = left / max(math.ceil(left / brief), 1.0)
            spread = math.sqrt(2.0 * slowed * h)
            left -= h
            jump = spread * math.sqrt(nx * nx + ny * ny + nz * nz)
            qx = np.float64(f4(px + spread * nx))
            qy = np.float64(f4(py + spread * ny))
            qz = np.float64(f4(pz + spread * nz))
            inside = low[0] <= qx < high[0] and low[1] <= qy < high[1]
            if grid.dim == 3:
                inside = inside and low[2] <= qz < high[2]
            if not inside or room < 6.0 * spread or room <= jump:
                place[0], place[1], place[2] = px, py, pz
                noise[0], noise[1], noise[2] = nx, ny, nz
                leaves, unseen = _advance(
                    grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace
                )
                qx, qy, qz = goal[0], goal[1], goal[2]
                jump = math.sqrt(pace[0, 0] ** 2 + pace[0, 1] ** 2 + pace[0, 2] ** 2)
                escape -= unseen
                if leaves or escape < 0.0:
                    code, at = ESCAPED, voxel_of(grid, qx, qy, qz)
                    struck, after = nearest(grid, obstacle, near_ptr, near_cell, ball, at, qx, qy, qz)
                    if struck >= 0 and spread > 0.0:  # it may have been captured on the way out
                        before = max(from_center(grid, ball, struck, px, py, pz)[3] - ball[struck, 3], 0.0)
                        capture -= hazard(
                            grid, ball[struck, 4], ball[struck, 3], before, abs(after), _OUT * spread, slowed
                        )
                        if capture < 0.0:
                            code, cell = CAPTURED, struck
                    px, py, pz = qx, qy, qz
                    break
            at = voxel_of(grid, qx, qy, qz)
            struck, after = nearest(grid, obstacle, near_ptr, near_cell, ball, at, qx, qy, qz)
            ahead, beside = struck, after
            if struck >= 0 and spread > 0.0:
                before = distance
                if struck != near:
                    before = max(from_center(grid, ball, struck, px, py, pz)[3] - ball[struck, 3], 0.0)
                if after < 0.0:
                    out = reflection(-after, spread, bends / ball[struck, 3])
                    dx, dy, dz, r = from_center(grid, ball, struck, qx, qy, qz)
                    push = (out - after) / r
                    qx, qy = fold(grid, 0, qx + push * dx)[0], fold(grid, 1, qy + push * dy)[0]
                    if grid.dim == 3:
                        qz = fold(grid, 2, qz + push * dz)[0]
                    at = voxel_of(grid, qx, qy, qz)
                    ahead, beside = nearest(grid, obstacle, near_ptr, near_cell, ball, at, qx, qy, qz)
                    # Cells that touch may leave no room; 1e-3 um is what single precision blurs.
                    stuck = beside < -1e-3
                    if grid.blocked and not stuck and jump + out - after >= room:
                        stuck = not reaches(grid, obstacle, px, py, pz, qx, qy, qz)
                    if stuck:
                        qx, qy, qz, at, ahead, beside, out = px, py, pz, voxel, near, distance, before
                    after = out
                capture -= hazard(grid, ball[struck, 4], ball[struck, 3], before, after, spread, slowed)
                cell = struck
                if near >= 0 and near != struck and capture >= 0.0:
                    after = from_center(grid, ball, near, qx, qy, qz)[3] - ball[near, 3]
                    capture -= hazard(
                        grid, ball[near, 4], ball[near, 3], distance, max(after, 0.0), spread, slowed
                    )
                    cell = near
            px, py, pz, voxel, near, distance = qx, qy, qz, at, ahead, beside
            if capture < 0.0:
                code = CAPTURED
                break
        if code in (CAPTURED, ESCAPED):
            end -= left + 0.5 * h
        x[row], y[row], z[row] = px, py, pz
        fate[row], when[row], target[row] = code, end, (cell if code == CAPTURED else -1)
        made += 1 + 4 * block // grid.dim
    return last


def walk(
    movers: Movers,
    dt: float,
    seed: int,
    step: int,
    medium: Medium,
    cells: Membranes,
    fates: Fates,
    threads: int = 1,
) -> None:
    """Take free vesicles through one coupling step; each ends it in exactly one way.

    Parameters
    ----------
    movers : Movers
    dt : float
        Length of the step, s.
    seed, step : int
        Names of the run and the step.
    medium : Medium
    cells : Membranes
    fates : Fates
        Written.
    threads : int
        The result has the same bits for any number.
    """
    job = (
        *movers, float(dt), int(seed), int(step), grid_of(medium), float(medium.decay_rate),
        medium.hindrance, medium.obstacle, medium.clearance, cells.near_ptr, cells.near_cell, cells.beyond,
        cells.table(), *fates,
    )  # fmt: skip
    in_chunks(lambda first, last: _range(first, last, WALKS_PER_CALL, *job), len(movers.rows), threads)
