r"""Brownian motion off the lattice, among partially absorbing membranes.

    x <- x + sigma xi,     sigma = sqrt(2 D h) = max(distance / 3, shortest)

A step may touch a membrane without ending there; the probability, `capture_probability`, is exact for a
flat membrane, and of first order in sigma over its radius for a sphere or a disc. Far from a membrane a step
that touches it is rare, close to it the membrane is flat: steps are long in between too.

The law of every event that ends the call early is drawn in advance: a particle has, once per call,
an exponential clearing time, a threshold for its capture and one for its escape. It is captured when
its cumulative hazard, ``-sum log(1 - P)``, exceeds the threshold, which has the same law as an
independent draw in every sub-step.

Draws are keyed by (seed, purpose, particle, step, draw), so that a path depends neither on the other
particles nor on the threads. Blocks are Threefry-4x32 with 12 rounds, which pass BigCrush; those of
one particle are drawn sixteen at a time, in a vector loop.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from exoabm.kernels.line_of_sight import BLOCKED, OUTSIDE
from exoabm.kernels.medium import (
    CAPTURED,
    CLEARED,
    ESCAPED,
    FIXED,
    FREE,
    PERIODIC,
    Medium,
    Outcomes,
    Particles,
    fold,
    grid_of,
    trace_step,
    voxel_along,
    voxel_of,
)  # fmt: skip
from exoabm.kernels.membranes import (
    Membranes,
    from_center,
    hazard,
    nearest_membrane,
    reflection,
    unobstructed,
)  # fmt: skip
from exoabm.kernels.random import StepKey, threefry
from exoabm.kernels.threads import run_in_chunks

_MEMBRANE_SHARE = 1.0 / 3.0
"""Spread of a step over the distance to the nearest membrane."""
_CLEARANCE_SHARE = 1.0 / 6.5
"""Spread of a step over the distance to anything else."""
_WAY_OUT = math.sqrt(0.5)
"""Spread until a particle leaves by a face over that of the whole step: on average half of the time."""
_TOUCHING = -1e-3
"""um inside a membrane that single precision may round to."""
_BLOCKS = 16
_ATTEMPT = 1 << 24
"""Blocks of draws that a particle may use before it is refused at the cell that captured it, and after."""
_ROUNDS = 12
STEPS_PER_CALL = 1 << 22
"""Sub-steps of all particles between two checks for signals; one takes 20 to 100 ns."""
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_LOW = 0xFFFFFFFF

f4, i4, u4 = np.float32, np.int32, np.uint32


class _Site(NamedTuple):
    """A position, its voxel, and the nearest membrane."""

    x: float
    y: float
    z: float
    voxel: int
    cell: int
    """-1 where no membrane is near."""
    distance: float
    """um; below 0 inside the membrane."""


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
def _draw_normals(key, particle, block, normal):
    """Fill ``normal`` with those of `_BLOCKS` blocks, four standard normals from each."""
    k0, k1, k2, k3 = u4(key.seed & _LOW), u4(key.seed >> 32), u4(key.move), u4(key.step >> 32)
    c0, c1, c2 = u4(particle & _LOW), u4(particle >> 32), u4(key.step & _LOW)
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
def _draw_thresholds(key, particle, attempt):
    """Exponential clearing time, of rate 1, and thresholds of capture and escape."""
    a, b, c, _ = threefry(
        _ROUNDS, u4(key.seed & _LOW), u4(key.seed >> 32), u4(key.capture), u4(key.step >> 32),
        u4(particle & _LOW), u4(particle >> 32), u4(key.step & _LOW), u4(attempt),
    )  # fmt: skip
    return (
        -np.float64(_log(_unit(a))),
        -np.float64(_log(_unit(b))),
        -np.float64(_log(_unit(c))),
    )


@njit(forceinline=True, **_JIT)
def _site(grid, obstacle, near_ptr, near_cell, ball, x, y, z):
    voxel = voxel_of(grid, x, y, z)
    cell, distance = nearest_membrane(grid, obstacle, near_ptr, near_cell, ball, voxel, x, y, z)
    return _Site(x, y, z, voxel, cell, distance)


@njit(forceinline=True, **_JIT)
def _distance_to(grid, ball, cell, site):
    """Distance of a site outside the membrane of a cell, at least 0."""
    return max(from_center(grid, ball, cell, site.x, site.y, site.z)[3] - ball[cell, 3], 0.0)


@njit(forceinline=True, **_JIT)
def _step_length(grid, room, distance, diffusivity, brief, left):
    """h = min(reach^2 / (2 D), left),   reach = min(room / 6.5, distance / 3).

    The shortest steps, ``brief``, divide the time that is left evenly.
    """
    reach = min(_CLEARANCE_SHARE * room, _MEMBRANE_SHARE * distance)
    if reach > grid.shortest:
        return min(reach * reach / (2.0 * diffusivity), left)
    return left / max(math.ceil(left / brief), 1.0)


@njit(forceinline=True, **_JIT)
def _displace(grid, hindrance, obstacle, place, noise, voxel, mixed, spread, goal, way, pace):
    """Set the goal of a step along each axis; returns whether it leaves the box, and its squared length.

    Where hindrance varies (``mixed``), D along each axis is that at the point displaced along this axis
    (LaBolle, Quastel, Fogg & Gravner 2000), which keeps a uniform density uniform.
    """
    leaves, square = False, 0.0
    for axis in range(3):
        here = place[axis]
        goal[axis] = here
        way[0, axis] = way[1, axis] = 0
        pace[0, axis] = 0.0
        if axis >= grid.dim:
            continue
        way[0, axis] = voxel_along(grid, axis, here)
        step = spread * noise[axis]
        if mixed:
            there = voxel_along(grid, axis, fold(grid, axis, here + step)[0])
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
            j = voxel_along(grid, axis, there)
            if image & 1 and grid.sides[2 * axis] != PERIODIC:
                j = n - 1 - j
            way[1, axis] = j + image * n
        goal[axis] = there
        pace[0, axis] = step
        square += step * step
    return leaves, square


@njit(forceinline=True, **_JIT)
def _unseen_escape(grid, place, goal, spread):
    """-log(1 - P) of a step that crosses an open face and ends inside,   P = exp(-d0 d1 / (D h))."""
    hazard, scale = 0.0, spread * spread / 2
    for axis in range(grid.dim):
        for side in range(2):
            if grid.sides[2 * axis + side] == FIXED and scale > 0:
                face = grid.high[axis] if side else grid.low[axis]
                product = abs(place[axis] - face) * abs(goal[axis] - face)
                if product < 25 * scale:
                    hazard -= math.log1p(-math.exp(-product / scale))
    return hazard


@njit(forceinline=True, **_JIT)
def _bounded_step(grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace):
    """Set the goal of a step that may meet faces, obstacles or a change of hindrance.

    Returns whether it leaves the box, and the hazard of leaving unseen; see `_displace`, `_unseen_escape`.
    """
    mixed = grid.varies and room < 6.0 * spread
    leaves, square = _displace(grid, hindrance, obstacle, place, noise, voxel, mixed, spread, goal, way, pace)
    if grid.blocked and square >= room * room:
        met = trace_step(grid, obstacle, place, way, pace)
        if met == BLOCKED:
            leaves = False
            for axis in range(grid.dim):
                goal[axis] = place[axis]
        elif met == OUTSIDE:
            leaves = True
    unseen = 0.0
    if grid.opens and not leaves:
        unseen = _unseen_escape(grid, place, goal, spread)
    return leaves, unseen


@njit(**_JIT)
def _reflect(grid, obstacle, near_ptr, near_cell, ball, site, end, spread, jump, room, before):
    """Where a step goes on that ends inside a membrane, and its distance outside; see `reflection`.

    Without room between cells that touch, or behind an obstacle, the particle stays at its site.
    """
    cell = end.cell
    bend = 1.0 if grid.dim == 3 else 0.5
    out = reflection(-end.distance, spread, bend / ball[cell, 3])
    dx, dy, dz, r = from_center(grid, ball, cell, end.x, end.y, end.z)
    push = (out - end.distance) / r
    x, y = fold(grid, 0, end.x + push * dx)[0], fold(grid, 1, end.y + push * dy)[0]
    z = fold(grid, 2, end.z + push * dz)[0] if grid.dim == 3 else end.z
    new = _site(grid, obstacle, near_ptr, near_cell, ball, x, y, z)
    stuck = new.distance < _TOUCHING
    if grid.blocked and not stuck and jump + out - end.distance >= room:
        stuck = not unobstructed(grid, obstacle, site.x, site.y, site.z, x, y, z)
    if stuck:
        return site, before
    return new, out


@njit(forceinline=True, **_JIT)
def _meet_membranes(
    grid, obstacle, near_ptr, near_cell, ball, site, end, spread, jump, room, diffusivity, capture, leaves
):
    """The site after a step beside a cell, the rest of the capture threshold, and the cell met last.

    A step meets the membrane that is nearest at its end, and then, if another, the one nearest at its begin;
    a particle that ``leaves`` by a face, the one nearest to its way out.
    """
    cell, distance = end.cell, max(site.distance, 0.0)
    before, after = distance, end.distance
    if leaves or cell != site.cell:
        before = _distance_to(grid, ball, cell, site)
    if leaves:
        spread, after = _WAY_OUT * spread, abs(after)
    elif after < 0.0:
        end, after = _reflect(
            grid, obstacle, near_ptr, near_cell, ball, site, end, spread, jump, room, before
        )
    capture -= hazard(grid, ball[cell, 4], ball[cell, 3], before, after, spread, diffusivity)
    other = site.cell
    if not leaves and other >= 0 and other != cell and capture >= 0.0:
        cell, after = other, _distance_to(grid, ball, other, end)
        capture -= hazard(grid, ball[cell, 4], ball[cell, 3], distance, after, spread, diffusivity)
    return end, capture, cell


@njit(forceinline=True, **_JIT)
def _is_bounded(grid, x, y, z, room, spread, jump):
    """Whether a step to a place may meet a face, an obstacle or a change of hindrance."""
    inside = grid.low[0] <= x < grid.high[0] and grid.low[1] <= y < grid.high[1]
    if grid.dim == 3:
        inside = inside and grid.low[2] <= z < grid.high[2]
    return not inside or room < 6.0 * spread or room <= jump


@njit(forceinline=True, **_JIT)
def _clip(grid, x, y, z):
    """The position, in the box; z is kept in two dimensions."""
    x = min(max(np.float64(x), grid.low[0]), grid.below[0])
    y = min(max(np.float64(y), grid.low[1]), grid.below[1])
    if grid.dim == 3:
        return x, y, min(max(np.float64(z), grid.low[2]), grid.below[2])
    return x, y, np.float64(z)


@njit(forceinline=True, **_JIT)
def _end(clear, decay_rate, start, dt):
    """Outcome of a particle that is neither captured nor escapes, and how long it moves, s."""
    clear = clear / decay_rate if decay_rate > 0 else np.inf
    span = max(dt - start, 0.0)
    return (CLEARED if clear < span else FREE), min(clear, span)


@njit(forceinline=True, **_JIT)
def _free_step(site, nx, ny, nz, spread):
    """x + sigma xi, in single precision, and the length of the step."""
    x, y = np.float64(f4(site.x + spread * nx)), np.float64(f4(site.y + spread * ny))
    return x, y, np.float64(f4(site.z + spread * nz)), spread * math.sqrt(nx * nx + ny * ny + nz * nz)


@njit(**_JIT)
def _walk_rows(
    first, last, most, particles, dt, key, grid, decay_rate, hindrance, obstacle, clearance, near_ptr,
    near_cell, beyond, ball, outcomes,
):  # fmt: skip
    """The particles in rows first to last, or fewer, once ``most`` steps are made; where it ended."""
    rows, ids, x, y, z, diffusivities, starts, attempt = particles
    code, when, target = outcomes
    normal = np.empty(4 * _BLOCKS, np.float32)
    place, goal, noise = np.zeros(3), np.zeros(3), np.zeros(3)
    pace, way, made = np.zeros((3, 3)), np.empty((5, 3), np.int64), 0
    for k in range(first, last):
        if made > most:
            return k
        row = rows[k]
        free, block, used, h, cell = np.float64(diffusivities[row]), attempt * _ATTEMPT, normal.size, 0.0, -1
        brief = grid.shortest * grid.shortest / (2.0 * grid.largest * free)
        clear, capture, escape = _draw_thresholds(key, ids[row], attempt)
        outcome, left = _end(clear, decay_rate, starts[row], dt)
        time = starts[row] + left
        qx, qy, qz = _clip(grid, x[row], y[row], z[row])
        voxel = voxel_of(grid, qx, qy, qz)
        near, gap = nearest_membrane(grid, obstacle, near_ptr, near_cell, ball, voxel, qx, qy, qz)
        site, leaves = _Site(qx, qy, qz, voxel, near, gap), False
        while left > 0.0:
            if used + grid.dim > normal.size:
                _draw_normals(key, ids[row], block, normal)
                block, used = block + _BLOCKS, 0
            nx, ny = np.float64(normal[used]), np.float64(normal[used + 1])
            nz = np.float64(normal[used + 2]) if grid.dim == 3 else 0.0
            used += grid.dim
            slowed, room = free * hindrance[voxel if grid.varies else 0], np.float64(clearance[voxel])
            free_of_cells = min(max(site.distance, 0.0), np.float64(beyond[voxel]))
            h = _step_length(grid, room, free_of_cells, slowed, brief, left)
            left, spread = left - h, math.sqrt(2.0 * slowed * h)
            qx, qy, qz, jump = _free_step(site, nx, ny, nz, spread)
            if _is_bounded(grid, qx, qy, qz, room, spread, jump):
                place[:], noise[:] = (site.x, site.y, site.z), (nx, ny, nz)
                leaves, unseen = _bounded_step(
                    grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace
                )
                qx, qy, qz = goal[0], goal[1], goal[2]
                jump = math.sqrt(pace[0, 0] ** 2 + pace[0, 1] ** 2 + pace[0, 2] ** 2)
                escape -= unseen
                leaves = leaves or escape < 0.0
            voxel = voxel_of(grid, qx, qy, qz)
            near, gap = nearest_membrane(grid, obstacle, near_ptr, near_cell, ball, voxel, qx, qy, qz)
            end = _Site(qx, qy, qz, voxel, near, gap)
            if near >= 0 and spread > 0.0:
                end, capture, cell = _meet_membranes(
                    grid, obstacle, near_ptr, near_cell, ball, site, end, spread, jump, room, slowed,
                    capture, leaves,
                )  # fmt: skip
            site, voxel = end, end.voxel
            if leaves or capture < 0.0:
                outcome, time = (CAPTURED if capture < 0.0 else ESCAPED), time - (left + 0.5 * h)
                break
        x[row], y[row], z[row] = site.x, site.y, site.z
        code[row], when[row], target[row] = outcome, time, (cell if outcome == CAPTURED else -1)
        made += 1 + 4 * block // grid.dim
    return last


def walk_off_lattice(
    particles: Particles,
    dt: float,
    key: StepKey,
    medium: Medium,
    membranes: Membranes,
    outcomes: Outcomes,
    threads: int = 1,
) -> None:
    """Advance free particles by one coupling step; each has exactly one outcome.

    Parameters
    ----------
    particles : Particles
    dt : float
        Length of the step, s.
    key : StepKey
        Names of the draws.
    medium : Medium
    membranes : Membranes
    outcomes : Outcomes
        Written.
    threads : int
        The result has the same bits for any number.

    Notes
    -----
    Sources: Carslaw & Jaeger 1959, Erban & Chapman 2007, Andrews 2009 for capture; see `capture_probability`.
    """
    job = (
        particles, float(dt), key, grid_of(medium), float(medium.decay_rate), medium.hindrance,
        medium.obstacle, medium.clearance, membranes.near_ptr, membranes.near_cell, membranes.beyond,
        membranes.table(), outcomes,
    )  # fmt: skip

    def walk(first: int, last: int) -> int:
        return _walk_rows(first, last, STEPS_PER_CALL, *job)

    run_in_chunks(walk, len(particles.rows), threads)
