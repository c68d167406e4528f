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
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.fates import CAPTURED, CLEARED, ESCAPED, STAYS, Fates, Movers, in_chunks
from exoabm.kernels.random import threefry
from exoabm.kernels.sides import FIXED, PERIODIC

MOVE, FATE = 9, 10
"""Purposes of the draws; the numbers of ``MOVE`` and ``CAPTURE`` in the streams of a run."""

_SHARE = 1.0 / 3.0
"""Spread of a step over the distance to the nearest membrane."""
_CLEAR = 1.0 / 6.5
"""Spread of a step over the distance to anything else."""
_BLOCKS = 16
_ROUNDS = 12
_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_LOW = 0xFFFFFFFF

f4, i4, u4 = np.float32, np.int32, np.uint32

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


class Medium(NamedTuple):
    """What vesicles move through: a box of cubic voxels, arrays flat with x fastest."""

    dim: int
    """2 (x and y move, z is left alone) or 3."""
    low: Floats
    """(3) low corner, um."""
    voxel: float
    """um"""
    counts: Integers
    """(3) voxels along x, y, z; 1 along z for ``dim = 2``."""
    sides: Integers
    """(6) codes of the faces: no flux reflects, periodic wraps, fixed is open."""
    hindrance: Singles
    """(1) or (voxels): D*/D."""
    obstacle: NDArray[np.uint8]
    """(voxels), 1 where nothing enters; or (0)."""
    decay_rate: float
    """1/s"""
    clearance: Singles
    """(voxels) um: least distance to anything but membranes that matters; see `clearance`."""
    shortest: float
    """um: spread of the shortest sub-step along an axis."""


class Membranes(NamedTuple):
    """Partially absorbing spheres (3-D) or discs (2-D): D dc/dn = reactivity c."""

    near_ptr: Integers
    """(voxels + 1): the cells near voxel v are near_cell[near_ptr[v]] to near_ptr[v + 1]."""
    near_cell: NDArray[np.int32]
    """(pairs)"""
    beyond: Singles
    """(voxels) um: no other membrane is nearer than this, or than the nearest of these."""
    center: Floats
    """(cells, 3) um"""
    radius: Floats
    """(cells) um"""
    reactivity: Floats
    """(cells) um/s; infinite for a perfect absorber."""


class _Grid(NamedTuple):
    """The box, in tuples: reading these counts no references. Bounds are single precision."""

    dim: int
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    below: tuple[float, float, float]
    length: tuple[float, float, float]
    voxel: float
    counts: tuple[int, int, int]
    sides: tuple[int, int, int, int, int, int]
    period: tuple[float, float, float]
    varies: bool
    blocked: bool
    opens: bool
    largest: float
    shortest: float


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
def _draw_fates(seed, step, name):
    """Exponential clearing time, of rate 1, and thresholds of capture and escape."""
    a, b, c, _ = threefry(
        _ROUNDS, u4(seed & _LOW), u4(seed >> 32), u4(FATE), u4(step >> 32),
        u4(name & _LOW), u4(name >> 32), u4(step & _LOW), u4(0),
    )  # fmt: skip
    return (
        -np.float64(_log(_unit(a))),
        -np.float64(_log(_unit(b))),
        -np.float64(_log(_unit(c))),
    )


@njit(forceinline=True, **_JIT)
def _index(grid, axis, p):
    """Voxel along an axis of a position inside the box."""
    if grid.counts[axis] == 1:
        return 0
    return min(np.int64((p - grid.low[axis]) / grid.voxel), grid.counts[axis] - 1)


@njit(forceinline=True, **_JIT)
def _fold(grid, axis, p):
    """Position inside the box, in single precision, and the number of the image where p lay."""
    low, high = grid.low[axis], grid.high[axis]
    p = np.float64(f4(p))
    if low <= p and p < high:
        return p, 0
    length = grid.length[axis]
    image = np.int64(math.floor((p - low) / length))
    q = p - image * length
    if grid.sides[2 * axis] != PERIODIC and image & 1:
        q = low + high - q
    return min(max(np.float64(f4(q)), low), grid.below[axis]), image


@njit(forceinline=True, **_JIT)
def _flat(grid, a, b, c):
    return a + grid.counts[0] * (b + grid.counts[1] * c)


@njit(forceinline=True, **_JIT)
def _voxel(grid, x, y, z):
    """Flat voxel of a position inside the box."""
    a = min(np.int64((x - grid.low[0]) / grid.voxel), grid.counts[0] - 1)
    b = min(np.int64((y - grid.low[1]) / grid.voxel), grid.counts[1] - 1)
    if grid.dim == 2:
        return a + grid.counts[0] * b
    c = min(np.int64((z - grid.low[2]) / grid.voxel), grid.counts[2] - 1)
    return _flat(grid, a, b, c)


@njit(forceinline=True, **_JIT)
def _passes(grid, obstacle, place, way, pace):
    """Whether the voxels on the straight way from way[0] to way[1] hold no obstacle.

    The way goes from face to face, so that a wall joined at edges or corners only holds too. Voxel
    numbers go on beyond the faces of the box. Returns 1 where it passes, 0 where it is blocked,
    2 where it leaves through an open face before that.
    """
    total = 0
    for axis in range(3):
        way[2, axis] = way[0, axis]
        count = way[1, axis] - way[0, axis]
        way[3, axis] = 1 if count > 0 else -1
        total += abs(count)
        plane = grid.low[axis] + (way[0, axis] + (1 if count > 0 else 0)) * grid.voxel
        size = abs(pace[0, axis])
        pace[1, axis] = grid.voxel / size
        pace[2, axis] = abs(plane - place[axis]) / size if count != 0 else np.inf
    for _ in range(total):
        axis = -1
        for k in range(3):
            if way[2, k] != way[1, k] and (axis < 0 or pace[2, k] < pace[2, axis]):
                axis = k
        way[2, axis] += way[3, axis]
        pace[2, axis] += pace[1, axis]
        for k in range(3):
            n = grid.counts[k]
            j = way[2, k]
            if (j < 0 and grid.sides[2 * k] == FIXED) or (j >= n and grid.sides[2 * k + 1] == FIXED):
                return 2
            if grid.sides[2 * k] == PERIODIC:
                j %= n
            else:
                j %= 2 * n
                j = min(j, 2 * n - 1 - j)
            way[4, k] = j
        if obstacle[_flat(grid, way[4, 0], way[4, 1], way[4, 2])]:
            return 0
    return 1


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
        way[0, axis] = _index(grid, axis, here)
        step = spread * noise[axis]
        if mixed:
            there = _index(grid, axis, _fold(grid, axis, here + step)[0])
            stride = 1
            for k in range(axis):
                stride *= grid.counts[k]
            passed = voxel + (there - way[0, axis]) * stride
            own = hindrance[voxel]
            if own > 0 and not (grid.blocked and obstacle[passed]):
                step *= np.sqrt(hindrance[passed] / own)
        there, image = _fold(grid, axis, here + step)
        n = grid.counts[axis]
        if image < 0 and grid.sides[2 * axis] == FIXED:
            leaves, way[1, axis], there = True, -1, grid.low[axis]
        elif image > 0 and grid.sides[2 * axis + 1] == FIXED:
            leaves, way[1, axis], there = True, n, grid.below[axis]
        else:
            j = _index(grid, axis, there)
            if image & 1 and grid.sides[2 * axis] != PERIODIC:
                j = n - 1 - j
            way[1, axis] = j + image * n
        goal[axis] = there
        pace[0, axis] = step
        size += step * step
    if grid.blocked and size >= room * room:
        verdict = _passes(grid, obstacle, place, way, pace)
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


@njit(forceinline=True, **_JIT)
def erfcx(z):
    """exp(z^2) erfc(z) for z >= 0, relative error 1.2e-7.

    References
    ----------
    Press, Teukolsky, Vetterling & Flannery 1992, Numerical Recipes, section 6.2.
    """
    t = 1.0 / (1.0 + 0.5 * z)
    p = t * (-0.82215223 + t * 0.17087277)
    p = -1.13520398 + t * (1.48851587 + p)
    p = -0.18628806 + t * (0.27886807 + t * p)
    p = 1.00002368 + t * (0.37409196 + t * (0.09678418 + t * p))
    return t * math.exp(-1.26551223 + t * p)


@njit(forceinline=True, **_JIT)
def reflection(depth, spread, curvature):
    r"""Distance outside a membrane at which a step that ends at a depth inside it goes on.

        x = s + 2 sigma curvature s (phi(s/sigma) / Q(s/sigma) - s/sigma)

    phi and Q are the normal density and its upper tail. A mirror image at x = s makes a uniform
    density uneven beside a curved membrane, by 0.8 sigma/a at a sphere, since more steps end inside
    than come from there. This x moves each share of them to where it is missing, from
    int_0^s Q(t - e) (1 - 2 e t) dt = int_0^x Q(t + e) (1 + 2 e t) dt to first order in
    e = sigma curvature, lengths in sigma.

    Parameters
    ----------
    depth, spread : float
        s and sigma, um.
    curvature : float
        1/a for a sphere, 1/(2 a) for a disc, 1/um.
    """
    t = depth / spread
    mills = math.sqrt(2.0 / math.pi) / erfcx(math.sqrt(0.5) * t)
    return depth * (1.0 + 2.0 * spread * curvature * (mills - t))


@njit(forceinline=True, **_JIT)
def contact(before, after, spread, sink, curvature):
    r"""Chance that a reflected step would have ended at a partially absorbing membrane.

        P = 1 - p(sink + curvature) / p(curvature),    p(k) = 1 + E - 2 sqrt(pi) B erfcx(A + B),
        A = (x0 + x) / sqrt(4 D h),   B = k sqrt(D h),   E = exp(x0 x / (D h))

    p(k) is the density at x of a step from x0 in the half-space with dc/dx = k c at x = 0, over a
    common factor; for a plane P = 2 sqrt(pi) B erfcx(A + B) / (1 + E). Around a sphere r c obeys
    the plane equation with 1/a added to k, around a disc sqrt(r) c does nearly so with 1/(2 a).

    Parameters
    ----------
    before, after : float
        x0 and x, distances from the membrane, um.
    spread : float
        sqrt(2 D h), um.
    sink : float
        Reactivity over D, 1/um; may be infinite.
    curvature : float
        1/a, 1/(2 a) or 0, 1/um.

    References
    ----------
    Carslaw & Jaeger 1959, section 14.2; its limits: Erban & Chapman 2007, Andrews 2009.
    """
    q = 2.0 * before * after / (spread * spread)
    if q > 30.0:
        return 0.0
    root = math.sqrt(0.5) * spread
    a = (before + after) / (2.0 * root)
    free = curvature * root
    free *= erfcx(a + free)
    b = (sink + curvature) * root
    lost = 1.0 / math.sqrt(math.pi) if b > 1e9 else b * erfcx(a + b)
    twice = 2.0 * math.sqrt(math.pi)
    chance = twice * (lost - free) / (1.0 + math.exp(q) - twice * free)
    return min(max(chance, 0.0), 1.0)  # against rounding


@njit(forceinline=True, **_JIT)
def _gap(p, center, length):
    """The shortest way along an axis that repeats after ``length``, or not where it is 0."""
    d = p - center
    return d - length * np.rint(d / length) if length > 0.0 else d


@njit(forceinline=True, **_JIT)
def _from_center(grid, ball, cell, x, y, z):
    """Vector from a cell's center and its length; heights do not count in a slab."""
    dx = _gap(x, ball[cell, 0], grid.period[0])
    dy = _gap(y, ball[cell, 1], grid.period[1])
    dz = _gap(z, ball[cell, 2], grid.period[2]) if grid.dim == 3 else 0.0
    return dx, dy, dz, math.sqrt(dx * dx + dy * dy + dz * dz)


@njit(forceinline=True, **_JIT)
def _nearest(grid, near_ptr, near_cell, ball, voxel, x, y, z):
    """Nearest of the cells near a voxel, and the signed distance of its membrane."""
    best, least = -1, np.inf
    for k in range(near_ptr[voxel], near_ptr[voxel + 1]):
        cell = int(near_cell[k])
        d = _from_center(grid, ball, cell, x, y, z)[3] - ball[cell, 3]
        if d < least:
            best, least = cell, d
    return best, least


@njit(forceinline=True, **_JIT)
def _hazard(grid, reactivity, radius, before, after, spread, diffusivity):
    """-log(1 - P) of a step beside a cell."""
    if reactivity <= 0.0 or before * after > 15.0 * spread * spread:
        return 0.0
    curvature = (1.0 if grid.dim == 3 else 0.5) / radius
    return -math.log1p(-contact(before, after, spread, reactivity / diffusivity, curvature))


@njit(**_JIT)
def _range(
    first, last, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step, grid, decay_rate,
    hindrance, obstacle, clearance, near_ptr, near_cell, beyond, ball, fate, when, target,
):  # fmt: skip
    normal = np.empty(4 * _BLOCKS, np.float32)
    place, goal, noise = np.zeros(3), np.zeros(3), np.zeros(3)
    pace, way = np.zeros((3, 3)), np.empty((5, 3), np.int64)
    low, high = grid.low, grid.high
    bends = 1.0 if grid.dim == 3 else 0.5
    for k in range(first, last):
        row = rows[k]
        free = np.float64(diffusivity[row])
        px = min(max(np.float64(x[row]), low[0]), grid.below[0])
        py = min(max(np.float64(y[row]), low[1]), grid.below[1])
        pz = np.float64(z[row])
        if grid.dim == 3:
            pz = min(max(pz, low[2]), grid.below[2])
        span = max(dt - start[row], 0.0)
        clear, capture, escape = _draw_fates(seed, step, vesicle_id[row])
        clear = clear / decay_rate if decay_rate > 0 else np.inf
        left = min(clear, span)
        end = start[row] + left
        brief = grid.shortest * grid.shortest / (2.0 * grid.largest * free)
        block, used = 0, normal.size
        voxel = _voxel(grid, px, py, pz)
        near, distance = _nearest(grid, near_ptr, near_cell, ball, voxel, px, py, pz)
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
                    px, py, pz, code = qx, qy, qz, ESCAPED
                    break
            at = _voxel(grid, qx, qy, qz)
            struck, after = _nearest(grid, near_ptr, near_cell, ball, at, qx, qy, qz)
            ahead, beside = struck, after
            if struck >= 0 and spread > 0.0:
                before = distance
                if struck != near:
                    before = max(_from_center(grid, ball, struck, px, py, pz)[3] - ball[struck, 3], 0.0)
                if after < 0.0:
                    out = reflection(-after, spread, bends / ball[struck, 3])
                    dx, dy, dz, r = _from_center(grid, ball, struck, qx, qy, qz)
                    push = (out - after) / r
                    qx, qy = _fold(grid, 0, qx + push * dx)[0], _fold(grid, 1, qy + push * dy)[0]
                    if grid.dim == 3:
                        qz = _fold(grid, 2, qz + push * dz)[0]
                    at = _voxel(grid, qx, qy, qz)
                    ahead, beside = _nearest(grid, near_ptr, near_cell, ball, at, qx, qy, qz)
                    # Cells that touch may leave no room; 1e-3 um is what single precision blurs.
                    if beside < -1e-3 or (grid.blocked and jump + out - after >= room):
                        qx, qy, qz, at, ahead, beside, out = px, py, pz, voxel, near, distance, before
                    after = out
                capture -= _hazard(grid, ball[struck, 4], ball[struck, 3], before, after, spread, slowed)
                cell = struck
                if near >= 0 and near != struck and capture >= 0.0:
                    after = _from_center(grid, ball, near, qx, qy, qz)[3] - ball[near, 3]
                    capture -= _hazard(
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
    ball = np.column_stack([cells.center, cells.radius, cells.reactivity])
    job = (
        *movers, float(dt), int(seed), int(step), _grid(medium), float(medium.decay_rate),
        medium.hindrance, medium.obstacle, medium.clearance, cells.near_ptr, cells.near_cell, cells.beyond,
        ball, *fates,
    )  # fmt: skip
    in_chunks(lambda first, last: _range(first, last, *job), len(movers.rows), threads)


_TURN = math.pi / 12
_INSIDE = 1e-4
"""um inside a cell that is still its membrane."""


def expel(rows: Integers, x: Singles, y: Singles, z: Singles, medium: Medium, cells: Membranes) -> None:
    """Push vesicles that lie inside a cell out to its membrane; positions are written in place.

    Straight out from its center, or, if that leads out of the box, through an obstacle or into another cell,
    to the nearest side where it does not, in turns of 15 degrees along each plane of the axes. Where all
    sides lead into other cells these hand it on; one that is walled in stays.
    """
    ball = np.column_stack([cells.center, cells.radius, cells.reactivity])
    _expel(rows, x, y, z, _grid(medium), medium.obstacle, cells.near_ptr, cells.near_cell, ball)


@njit(**_JIT)
def _expel(rows, x, y, z, grid, obstacle, near_ptr, near_cell, ball):
    place, apart, goal = np.zeros(3), np.zeros(3), np.zeros(3)
    way, pace = np.empty((5, 3), np.int64), np.zeros((3, 3))
    for row in rows:
        for _ in range(4):
            place[0], place[1], place[2] = x[row], y[row], z[row]
            voxel = _voxel(grid, place[0], place[1], place[2])
            cell, distance = _nearest(grid, near_ptr, near_cell, ball, voxel, place[0], place[1], place[2])
            if cell < 0 or distance >= -_INSIDE:
                break
            apart[0], apart[1], apart[2], r = _from_center(grid, ball, cell, place[0], place[1], place[2])
            if r == 0.0:
                apart[0], r = 1e-6, 1e-6
            out, found = ball[cell, 3] / r, False
            for alone in (True, False):
                for turn in range(1 + 24 * (3 if grid.dim == 3 else 1)):
                    _look(grid, turn, place, apart, out, goal)
                    found = _reaches(grid, obstacle, place, goal, way, pace)
                    if found and alone:
                        voxel = _voxel(grid, goal[0], goal[1], goal[2])
                        depth = _nearest(grid, near_ptr, near_cell, ball, voxel, goal[0], goal[1], goal[2])[1]
                        found = depth >= -_INSIDE
                    if found:
                        break
                if found:
                    break
            if not found:
                break
            x[row], y[row] = goal[0], goal[1]
            if grid.dim == 3:
                z[row] = goal[2]


@njit(**_JIT)
def _look(grid, turn, place, apart, out, goal):
    """Set the goal: ``out`` times as far from a center as a place that is ``apart`` from it, and turned."""
    planes = 3 if grid.dim == 3 else 1
    a = turn // 2 % planes
    b, c = (a + 1) % 3, (a + 2) % 3
    angle = _TURN * ((turn + 2 * planes - 1) // (2 * planes)) * (1.0 if turn % 2 else -1.0)
    cos, sin = math.cos(angle), math.sin(angle)
    goal[a] = place[a] - apart[a] + out * (cos * apart[a] - sin * apart[b])
    goal[b] = place[b] - apart[b] + out * (sin * apart[a] + cos * apart[b])
    goal[c] = place[c] - apart[c] + out * apart[c] if grid.dim == 3 else place[c]


@njit(**_JIT)
def _reaches(grid, obstacle, place, goal, way, pace):
    """Whether the straight way to a goal stays in the box and out of obstacles; folds the goal."""
    for axis in range(3):
        way[0, axis] = way[1, axis] = 0
        pace[0, axis] = 0.0
        if axis >= grid.dim:
            continue
        if grid.period[axis] == 0.0 and not (grid.low[axis] <= goal[axis] < grid.high[axis]):
            return False
        pace[0, axis] = goal[axis] - place[axis]
        way[0, axis] = _index(grid, axis, place[axis])
        folded, image = _fold(grid, axis, goal[axis])
        way[1, axis] = _index(grid, axis, folded) + image * grid.counts[axis]
        goal[axis] = folded
    return not grid.blocked or _passes(grid, obstacle, place, way, pace) == 1


def _grid(medium: Medium) -> _Grid:
    low = np.array(medium.low, np.float32)
    high = (np.asarray(medium.low) + np.asarray(medium.counts) * medium.voxel).astype(np.float32)
    sides = np.asarray(medium.sides, np.int64)

    def three(values: Any) -> tuple[float, float, float]:
        a, b, c = (float(v) for v in values)
        return a, b, c

    return _Grid(
        int(medium.dim),
        three(low),
        three(high),
        three(np.nextafter(high, low)),
        three(high - low),
        float(medium.voxel),
        tuple(int(n) for n in medium.counts),  # type: ignore[arg-type]
        tuple(int(n) for n in sides),  # type: ignore[arg-type]
        three(np.where(sides[::2] == PERIODIC, high - low, 0.0)),
        medium.hindrance.size > 1,
        bool(medium.obstacle.size),
        bool(np.any(sides[: 2 * medium.dim] == FIXED)),
        float(medium.hindrance.max()),
        float(medium.shortest),
    )


_FAR = 64
"""Voxels; clearances beyond this are given as this, which is far enough for any step."""


@njit(**_JIT)
def _spread_distance(square, n, stride, wraps):
    """One axis of a squared distance between boxes: min over k of square(i + k) + (|k| - 1)^2."""
    line = np.empty(n)
    for base in range(square.size):
        if base // stride % n:
            continue
        for i in range(n):
            line[i] = square[base + i * stride]
        for i in range(n):
            best = line[i]
            for k in range(1, min(n, _FAR)):
                away = (k - 1.0) * (k - 1.0)
                if away >= best:
                    break
                for j in (i - k, i + k):
                    if wraps:
                        j %= n
                    if j >= 0 and j < n:
                        best = min(best, line[j] + away)
            square[base + i * stride] = best


def clearance(
    counts: Integers,
    voxel: float,
    sides: Integers,
    matters: NDArray[np.bool_],
    hindrance: Singles | None = None,
) -> Singles:
    """Least distance from any point of each voxel to anything that matters, um.

    Parameters
    ----------
    counts : (3,)
        Voxels along x, y, z.
    voxel : float
        um
    sides : (6,)
        Codes of the faces; open ones matter.
    matters : (voxels,)
        Voxels with capture and obstacles.
    hindrance : (voxels,), optional
        Voxels beside a change of it matter too.

    Returns
    -------
    (voxels,)
        Infinite where nothing matters, else at most 64 voxels.
    """
    shape = tuple(int(n) for n in counts[::-1])
    grid = np.array(matters, bool).reshape(shape)
    if hindrance is not None and hindrance.size == grid.size:
        h = hindrance.reshape(shape)
        for axis in range(3):
            change = h != np.roll(h, 1, axis)
            if sides[2 * (2 - axis)] != PERIODIC:
                change[(slice(None),) * axis + (0,)] = False
            grid |= change | np.roll(change, -1, axis)
    square = np.where(grid.ravel(), 0.0, float(_FAR**2))
    if grid.any():
        stride = 1
        for axis in range(3):
            _spread_distance(square, int(counts[axis]), stride, sides[2 * axis] == PERIODIC)
            stride *= int(counts[axis])
    else:
        square[:] = np.inf
    distance = np.sqrt(square).reshape(shape)
    for axis in range(3 if counts[2] > 1 else 2):
        n = int(counts[axis])
        inside = np.arange(n).reshape([-1 if a == 2 - axis else 1 for a in range(3)])
        if sides[2 * axis] == FIXED:
            distance = np.minimum(distance, inside)
        if sides[2 * axis + 1] == FIXED:
            distance = np.minimum(distance, n - 1 - inside)
    return np.ascontiguousarray(distance * voxel, np.float32).ravel()


@njit(**_JIT)
def _list_near(dim, low, voxel, counts, sides, center, radius, reach, bound, ptr, near, covered, stage):
    """For each voxel: 0 bound the nearest membrane's distance, 1 count and 2 list those within it."""
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for cell in range(radius.size):
        wide = radius[cell] + reach
        for axis in range(dim):
            at = center[cell, axis] - low[axis]
            first[axis] = math.floor((at - wide) / voxel)
            last[axis] = math.floor((at + wide) / voxel)
            if sides[2 * axis] != PERIODIC:
                first[axis] = max(first[axis], 0)
                last[axis] = min(last[axis], counts[axis] - 1)
        for c in range(first[2], last[2] + 1):
            for b in range(first[1], last[1] + 1):
                for a in range(first[0], last[0] + 1):
                    square, far = 0.0, 0.0
                    for axis in range(dim):
                        i = a if axis == 0 else (b if axis == 1 else c)
                        at = (center[cell, axis] - low[axis]) / voxel - i
                        gap = max(-at, at - 1.0, 0.0) * voxel
                        square += gap * gap
                        far += (max(at, 1.0 - at) * voxel) ** 2
                    if square > wide * wide:
                        continue
                    v = a % counts[0] + counts[0] * (b % counts[1] + counts[1] * (c % counts[2]))
                    if stage == 0:
                        bound[v] = min(bound[v], math.sqrt(far) - radius[cell])
                        covered[v] |= square <= radius[cell] * radius[cell]
                    elif math.sqrt(square) - radius[cell] <= bound[v]:
                        if stage == 2:
                            near[ptr[v]] = cell
                        ptr[v] += 1


def membranes(
    dim: int,
    low: Floats,
    voxel: float,
    counts: Integers,
    sides: Integers,
    center: Floats,
    radius: Floats,
    reactivity: Floats,
    reach: float,
) -> Membranes:
    """List for each voxel the cells whose membrane is the nearest to one of its points.

    Membranes further than ``reach`` (um) are left out. The other parameters are those of `Medium` and
    `Membranes`.
    """
    size = int(np.prod(counts))
    world = (
        dim, np.asarray(low, float), float(voxel), np.asarray(counts, np.int64),
        np.asarray(sides, np.int64), np.ascontiguousarray(center, float),
        np.asarray(radius, float), float(reach),
    )  # fmt: skip
    bound, covered = np.full(size, float(reach)), np.zeros(size, np.bool_)
    number, none = np.zeros(size, np.int64), np.empty(0, np.int32)
    _list_near(*world, bound, number, none, covered, 0)
    _list_near(*world, bound, number, none, covered, 1)
    ptr = np.concatenate([[0], np.cumsum(number)])
    near = np.empty(ptr[-1], np.int32)
    _list_near(*world, bound, ptr[:-1].copy(), near, covered, 2)
    closed = np.where(np.asarray(sides) == FIXED, 0, sides)
    beyond = np.maximum(clearance(counts, voxel, closed, covered), np.float32(reach))
    return Membranes(ptr, near, beyond, world[5], world[6], np.asarray(reactivity, np.float64))
