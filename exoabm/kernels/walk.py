r"""Brownian vesicles: motion in steps of their own length, and every way in which a free one ends.

    x <- x + sigma xi,     sigma = sqrt(2 D h) = max(clearance / 5, shortest)

Every step that ends the call early has its law decided beforehand: a vesicle draws, once per call,
an exponential clearing time, a threshold for its capture, one for its escape and a pick. It is
captured when the hazard that it has met, ``sum h rate`` in voxels or ``-sum log(1 - P)`` at
membranes, exceeds the threshold, which has the same law as an independent draw in every sub-step.

Randomness is keyed by (seed, purpose, vesicle, step, draw), so a vesicle's way depends neither on
the others nor on the threads. Blocks are Threefry-4x32 with 12 rounds, which pass BigCrush.

Vesicles are worked on in lanes: the draws and sub-step lengths of a block of them are vector loops,
the look-ups on the grid scalar ones.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from exoabm.kernels.random import threefry
from exoabm.kernels.sides import FIXED, PERIODIC

STAYS, CAPTURED, CLEARED, ESCAPED = range(4)
"""Fates."""

MOVE, FATE = 9, 10
"""Purposes of the draws; the numbers of ``MOVE`` and ``CAPTURE`` in the streams of a run."""

CHUNK = 8192
"""Rows of one task, whatever the number of threads."""

_LANES = 512
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


class CaptureVoxels(NamedTuple):
    """Capture in voxels: P = 1 - exp(-h sum rate) for a sub-step h that ends there."""

    slot_of_voxel: NDArray[np.int32]
    """(voxels) slot, or -1."""
    slot_ptr: Integers
    """(slots + 1): the entries of slot q are slot_ptr[q] to slot_ptr[q + 1]."""
    entry_cell: NDArray[np.int32]
    """(entries)"""
    entry_rate: Floats
    """(entries) 1/s"""


class CaptureMembranes(NamedTuple):
    """Capture at partially absorbing spheres (3-D) or discs (2-D): D dc/dn = reactivity c."""

    near_ptr: Integers
    """(voxels + 1): the cells near voxel v are near_cell[near_ptr[v]] to near_ptr[v + 1]."""
    near_cell: NDArray[np.int32]
    """(pairs)"""
    beyond: Singles
    """(voxels) um: no other membrane is nearer than this to any point of the voxel."""
    center: Floats
    """(cells, 3) um"""
    radius: Floats
    """(cells) um"""
    reactivity: Floats
    """(cells) um/s; infinite for a perfect absorber."""


class _Grid(NamedTuple):
    """The box in single precision, as every look-up sees it; see `_in_tuples`."""

    dim: int
    low: Any
    high: Any
    below: Any
    length: Any
    inverse: np.float32
    voxel: float
    counts: Any
    last: Any
    sides: Any
    plain: bool
    varies: bool
    blocked: bool
    opens: bool
    largest: np.float32
    shortest: np.float32


class _Lanes(NamedTuple):
    """State of the vesicles at work, one lane each; a column of every array."""

    place: Singles
    noise: Singles
    free: Singles
    diffusivity: Singles
    brief: Singles
    left: Singles
    room: Singles
    length: Singles
    spread: Singles
    capture: Singles
    escape: Singles
    pick: Singles
    end: Singles
    name: NDArray[np.uint32]
    voxel: NDArray[np.int32]
    row: Integers
    clears: NDArray[np.uint8]


@njit(**_JIT)
def _in_tuples(grid):
    """The same with tuples for arrays: reading these counts no references, 4 times faster beside cells."""
    low, high, below, length = grid.low, grid.high, grid.below, grid.length
    counts, last, sides = grid.counts, grid.last, grid.sides
    return _Grid(
        grid.dim, (low[0], low[1], low[2]), (high[0], high[1], high[2]),
        (below[0], below[1], below[2]), (length[0], length[1], length[2]), grid.inverse,
        grid.voxel, (counts[0], counts[1], counts[2]), (last[0], last[1], last[2]),
        (sides[0], sides[1], sides[2], sides[3], sides[4], sides[5]), grid.plain, grid.varies,
        grid.blocked, grid.opens, grid.largest, grid.shortest,
    )  # fmt: skip


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
def _draw_moves(seed, step, low, high, draw, x, y, z):
    """Fill x, y, z with standard normals."""
    k0, k1, k2, k3 = u4(seed & _LOW), u4(seed >> 32), u4(MOVE), u4(step >> 32)
    c2 = u4(step & _LOW)
    for i in range(low.size):
        a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, low[i], high[i], c2, draw[i])
        radius = np.sqrt(f4(-2) * _log(_unit(a)))
        cosine, sine = _circle(b)
        x[i] = radius * cosine
        y[i] = radius * sine
        z[i] = np.sqrt(f4(-2) * _log(_unit(c))) * _circle(d)[0]


@njit(**_JIT)
def _count(draw):
    for i in range(draw.size):
        draw[i] = u4(draw[i] + u4(1))


@njit(**_JIT)
def _draw_fates(seed, step, low, high, left, capture, escape, pick):
    """Exponential clearing times, of rate 1, and capture thresholds, uniform exits and picks."""
    k0, k1, k2, k3 = u4(seed & _LOW), u4(seed >> 32), u4(FATE), u4(step >> 32)
    c2 = u4(step & _LOW)
    for i in range(low.size):
        a, b, c, d = threefry(_ROUNDS, k0, k1, k2, k3, low[i], high[i], c2, u4(0))
        left[i] = -_log(_unit(a))
        capture[i] = -_log(_unit(b))
        escape[i] = -_log(_unit(c))
        pick[i] = _unit(d)


@njit(**_JIT)
def _choose_steps(shortest, diffusivity, brief, room, left, length, spread):
    """Length h and spread sigma of the next sub-step; short ones divide the time left evenly."""
    for i in range(left.size):
        reach = f4(0.2) * room[i]
        far = min(reach * reach / (f4(2) * diffusivity[i]), left[i])
        near = left[i] / max(np.ceil(left[i] / brief[i]), f4(1))
        h = far if reach > shortest else near
        length[i] = h
        spread[i] = np.sqrt(f4(2) * diffusivity[i] * h)


@njit(**_JIT)
def _shift(place, noise, spread, low, high, below, length, periodic):
    """One axis of a plain move: displace, and fold back into the box."""
    half = f4(0.5) / length
    for i in range(place.size):
        p = place[i] + spread[i] * noise[i]
        if periodic:
            folded = p - length * np.floor((p - low) / length)
        else:
            turn = (p - low) * half
            turn = turn - np.floor(turn)
            folded = low + length * (f4(1) - abs(f4(1) - f4(2) * turn))
        p = p if (p >= low) & (p < high) else folded
        place[i] = min(max(p, low), below)


@njit(**_JIT)
def _locate(x, y, z, low_x, low_y, low_z, inverse, last_x, last_y, last_z, nx, ny, voxel):
    """Flat voxel of every lane."""
    for i in range(voxel.size):
        a = i4(min((x[i] - low_x) * inverse, last_x))
        b = i4(min((y[i] - low_y) * inverse, last_y))
        c = i4(min((z[i] - low_z) * inverse, last_z))
        voxel[i] = i4(a + i4(nx * i4(b + i4(ny * c))))


@njit(**_JIT)
def _locate_lanes(grid, lanes, first, stop):
    x, y, z = lanes.place[0, first:stop], lanes.place[1, first:stop], lanes.place[2, first:stop]
    low, last, counts = grid.low, grid.last, grid.counts
    _locate(
        x, y, z, low[0], low[1], low[2], grid.inverse, last[0], last[1], last[2], counts[0],
        counts[1], lanes.voxel[first:stop],
    )  # fmt: skip


@njit(forceinline=True, **_JIT)
def _index(grid, axis, p):
    """Voxel along an axis of a position inside the box, as in `_locate`."""
    if grid.counts[axis] == 1:
        return 0
    return min(np.int64((p - grid.low[axis]) * grid.inverse), np.int64(grid.counts[axis]) - 1)


@njit(forceinline=True, **_JIT)
def _fold(grid, axis, p):
    """Position inside the box, and the number of the image of the box in which p lay."""
    low, high = grid.low[axis], grid.high[axis]
    if low <= p and p < high:
        return p, 0
    length = np.float64(grid.length[axis])
    image = np.int64(math.floor((np.float64(p) - low) / length))
    q = np.float64(p) - image * length
    if grid.sides[2 * axis] != PERIODIC and image & 1:
        q = np.float64(low) + high - q
    return min(max(f4(q), low), grid.below[axis]), image


@njit(forceinline=True, **_JIT)
def _flat(grid, a, b, c):
    return a + grid.counts[0] * (b + grid.counts[1] * c)


@njit(forceinline=True, **_JIT)
def _voxel(grid, point):
    """Flat voxel of a position inside the box."""
    return _flat(
        grid, _index(grid, 0, point[0]), _index(grid, 1, point[1]), _index(grid, 2, point[2])
    )


@njit(forceinline=True, **_JIT)
def _passes(grid, obstacle, place, lane, way, pace):
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
        pace[2, axis] = abs(plane - place[axis, lane]) / size if count != 0 else np.inf
    for _ in range(total):
        axis = -1
        for k in range(3):
            if way[2, k] != way[1, k] and (axis < 0 or pace[2, k] < pace[2, axis]):
                axis = k
        way[2, axis] += way[3, axis]
        pace[2, axis] += pace[1, axis]
        for k in range(3):
            n = np.int64(grid.counts[k])
            j = way[2, k]
            if (j < 0 and grid.sides[2 * k] == FIXED) or (
                j >= n and grid.sides[2 * k + 1] == FIXED
            ):
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
def _advance(
    grid, hindrance, obstacle, place, noise, voxels, rooms, spreads, escape, i, goal, way, pace
):
    """Move lane i with everything that can be in the way; True if it leaves the box.

    Where hindrance varies, D along each axis is that at the point displaced along this axis
    (LaBolle, Quastel, Fogg & Gravner 2000), which keeps a uniform density uniform.
    """
    spread, voxel, room = spreads[i], voxels[i], rooms[i]
    mixed = grid.varies and room < f4(6) * spread
    leaves = False
    size = 0.0
    for axis in range(3):
        here = place[axis, i]
        goal[axis] = here
        way[0, axis] = way[1, axis] = 0
        pace[0, axis] = 0.0
        if axis >= grid.dim:
            continue
        way[0, axis] = _index(grid, axis, here)
        step = spread * noise[axis, i]
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
        n = np.int64(grid.counts[axis])
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
        size += np.float64(step) * step
    if grid.blocked and size >= np.float64(room) ** 2:
        verdict = _passes(grid, obstacle, place, i, way, pace)
        if verdict == 0:
            leaves = False
            for axis in range(grid.dim):
                goal[axis] = place[axis, i]
        elif verdict == 2:
            leaves = True
    if grid.opens and not leaves:
        scale = np.float64(spread) * spread / 2
        for axis in range(grid.dim):
            for side in range(2):
                if grid.sides[2 * axis + side] == FIXED and scale > 0:
                    face = grid.high[axis] if side else grid.low[axis]
                    near = np.float64(abs(place[axis, i] - face)) * abs(goal[axis] - face)
                    if near < 25 * scale:  # the chance of an unseen crossing, exp(-d0 d1 / (D h))
                        escape[i] += math.log1p(-math.exp(-near / scale))
        leaves = escape[i] < 0
    return leaves


@njit(forceinline=True, **_JIT)
def _settle(grid, hindrance, place, voxels, free, diffusivity, i, goal):
    """Put lane i to its goal and look up where that is."""
    for axis in range(grid.dim):
        place[axis, i] = goal[axis]
    voxel = _voxel(grid, goal)
    voxels[i] = voxel
    if grid.varies:
        diffusivity[i] = free[i] * hindrance[voxel]
    return voxel


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
def _separation(grid, center, cell, x, y, z, gap):
    """Vector from a cell's center, the shortest way around; its length."""
    gap[0] = x - center[cell, 0]
    gap[1] = y - center[cell, 1]
    gap[2] = z - center[cell, 2] if grid.dim == 3 else 0.0
    for axis in range(grid.dim):
        if grid.sides[2 * axis] == PERIODIC:
            length = np.float64(grid.length[axis])
            gap[axis] -= length * np.rint(gap[axis] / length)
    return math.sqrt(gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2])


@njit(forceinline=True, **_JIT)
def _nearest(grid, near_ptr, near_cell, center, radius, voxel, point, gap):
    """Nearest of the cells near a voxel, and the signed distance of its membrane."""
    best, least = -1, np.inf
    for k in range(near_ptr[voxel], near_ptr[voxel + 1]):
        cell = near_cell[k]
        d = _separation(grid, center, cell, point[0], point[1], point[2], gap) - radius[cell]
        if d < least:
            best, least = cell, d
    return best, least


@njit(forceinline=True, **_JIT)
def _meet(
    grid,
    near_ptr,
    near_cell,
    center,
    radius,
    reactivity,
    obstacle,
    place,
    spreads,
    diffusivity,
    capture,
    i,
    goal,
    gap,
    jump,
    clear,
):
    """Reflect a goal inside a cell out of it, and count the chance of capture; the cell and d.

    Where that would lead into another cell, or where the way (``jump`` and on) is so long that it
    may meet an obstacle (``clear``), the vesicle stays where it was.
    """
    voxel = _voxel(grid, goal)
    cell, after = _nearest(grid, near_ptr, near_cell, center, radius, voxel, goal, gap)
    if cell < 0:
        return cell, after
    x, y, z = place[0, i], place[1, i], place[2, i]
    before = max(_separation(grid, center, cell, x, y, z, gap) - radius[cell], 0.0)
    spread = np.float64(spreads[i])
    curvature = (1.0 if grid.dim == 3 else 0.5) / radius[cell]
    if after < 0.0:
        out = reflection(-after, spread, curvature)
        r = _separation(grid, center, cell, goal[0], goal[1], goal[2], gap)
        for axis in range(grid.dim):
            outward = (out - after) * gap[axis] / r
            goal[axis] = _fold(grid, axis, f4(goal[axis] + outward))[0]
        # Cells that touch may leave no room; a thousandth of a um is what single precision blurs.
        elsewhere = _nearest(
            grid, near_ptr, near_cell, center, radius, _voxel(grid, goal), goal, gap
        )[1]
        if elsewhere < -1e-3 or (grid.blocked and jump + out - after >= clear):
            for axis in range(3):
                goal[axis] = place[axis, i]
            out = before
        after = out
    if spread > 0.0 and reactivity[cell] > 0.0:
        sink = reactivity[cell] / diffusivity[i]
        capture[i] += math.log1p(-contact(before, after, spread, sink, curvature))
    return cell, after


@njit(**_JIT)
def _load(
    first, count, at, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
    grid, decay_rate, hindrance, room, lanes,
):  # fmt: skip
    """Put rows first to first + count into the lanes from ``at`` on."""
    for k in range(count):
        i, row = at + k, rows[first + k]
        lanes.row[i] = row
        lanes.place[0, i] = min(max(x[row], grid.low[0]), grid.below[0])
        lanes.place[1, i] = min(max(y[row], grid.low[1]), grid.below[1])
        lanes.place[2, i] = z[row]
        if grid.dim == 3:
            lanes.place[2, i] = min(max(z[row], grid.low[2]), grid.below[2])
        lanes.free[i] = diffusivity[row]
        lanes.name[0, i] = u4(vesicle_id[row] & _LOW)
        lanes.name[1, i] = u4(vesicle_id[row] >> 32)
        lanes.name[2, i] = u4(0)
    stop = at + count
    _draw_fates(
        seed, step, lanes.name[0, at:stop], lanes.name[1, at:stop], lanes.left[at:stop],
        lanes.capture[at:stop], lanes.escape[at:stop], lanes.pick[at:stop],
    )  # fmt: skip
    _locate_lanes(grid, lanes, at, stop)
    twice = f4(2) * grid.largest
    for i in range(at, stop):
        span = max(f4(dt) - start[lanes.row[i]], f4(0))
        clear = lanes.left[i] / f4(decay_rate)
        lanes.clears[i] = clear < span
        lanes.left[i] = min(clear, span)
        lanes.end[i] = start[lanes.row[i]] + lanes.left[i]
        voxel = lanes.voxel[i]
        lanes.diffusivity[i] = lanes.free[i] * hindrance[voxel if grid.varies else 0]
        lanes.brief[i] = grid.shortest * grid.shortest / (twice * lanes.free[i])
        lanes.room[i] = room[voxel]


@njit(forceinline=True, **_JIT)
def _finish(lanes, i, code, time, cell, x, y, z, fate, when, target):
    """Write what became of lane i."""
    row = lanes.row[i]
    x[row] = lanes.place[0, i]
    y[row] = lanes.place[1, i]
    z[row] = lanes.place[2, i]
    fate[row] = code
    when[row] = time
    target[row] = cell


@njit(**_JIT)
def _close(lanes, hole, holes, active):
    """Fill the lanes left empty from the last ones; ``hole`` falls. The number still at work."""
    if holes == active:
        return 0
    for k in range(holes):
        i = hole[k]
        active -= 1
        if i == active:
            continue
        for axis in range(3):
            lanes.place[axis, i] = lanes.place[axis, active]
            lanes.name[axis, i] = lanes.name[axis, active]
        lanes.free[i] = lanes.free[active]
        lanes.diffusivity[i] = lanes.diffusivity[active]
        lanes.brief[i] = lanes.brief[active]
        lanes.left[i] = lanes.left[active]
        lanes.room[i] = lanes.room[active]
        lanes.capture[i] = lanes.capture[active]
        lanes.escape[i] = lanes.escape[active]
        lanes.pick[i] = lanes.pick[active]
        lanes.end[i] = lanes.end[active]
        lanes.voxel[i] = lanes.voxel[active]
        lanes.row[i] = lanes.row[active]
        lanes.clears[i] = lanes.clears[active]
    return active


@njit(**_JIT)
def _new_lanes():
    single = np.zeros((16, _LANES), np.float32)
    return _Lanes(
        single[0:3], single[3:6], single[6], single[7], single[8], single[9], single[10],
        single[11], single[12], single[13], single[14], single[15],
        np.zeros(_LANES, np.float32), np.zeros((3, _LANES), np.uint32), np.zeros(_LANES, np.int32),
        np.zeros(_LANES, np.int64), np.zeros(_LANES, np.uint8),
    )  # fmt: skip


@njit(**_JIT)
def _prepare(seed, step, grid, lanes, active):
    """The vector part of a sub-step."""
    _choose_steps(
        grid.shortest, lanes.diffusivity[:active], lanes.brief[:active], lanes.room[:active],
        lanes.left[:active], lanes.length[:active], lanes.spread[:active],
    )  # fmt: skip
    _draw_moves(
        seed, step, lanes.name[0, :active], lanes.name[1, :active], lanes.name[2, :active],
        lanes.noise[0, :active], lanes.noise[1, :active], lanes.noise[2, :active],
    )  # fmt: skip
    _count(lanes.name[2, :active])


@njit(**_JIT)
def _chunk_voxels(
    first, last, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
    box, medium, cells, slot_rate, fate, when, target,
):  # fmt: skip
    grid = _in_tuples(box)
    hindrance, obstacle, room = medium.hindrance, medium.obstacle, medium.clearance
    lanes = _new_lanes()
    place, noise, voxels, rooms = lanes.place, lanes.noise, lanes.voxel, lanes.room
    spreads, lengths, lefts, ends = lanes.spread, lanes.length, lanes.left, lanes.end
    capture, escape, free, diffusivities = (
        lanes.capture, lanes.escape, lanes.free, lanes.diffusivity,
    )  # fmt: skip
    slot_of_voxel, slot_ptr = cells.slot_of_voxel, cells.slot_ptr
    entry_cell, entry_rate = cells.entry_cell, cells.entry_rate
    hole = np.empty(_LANES, np.int64)
    goal, pace, way = np.empty(3, np.float32), np.empty((3, 3)), np.empty((5, 3), np.int64)
    active = 0
    while True:
        count = min(_LANES - active, last - first)
        _load(
            first, count, active, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
            grid, medium.decay_rate, hindrance, room, lanes,
        )  # fmt: skip
        first += count
        active += count
        if active == 0:
            return
        _prepare(seed, step, grid, lanes, active)
        if grid.plain:
            for axis in range(grid.dim):
                _shift(
                    lanes.place[axis, :active], lanes.noise[axis, :active], lanes.spread[:active],
                    grid.low[axis], grid.high[axis], grid.below[axis], grid.length[axis],
                    grid.sides[2 * axis] == PERIODIC,
                )  # fmt: skip
            _locate_lanes(grid, lanes, 0, active)
        holes = 0
        for i in range(active - 1, -1, -1):
            h = lengths[i]
            if not grid.plain:
                leaves = _advance(
                    grid, hindrance, obstacle, place, noise, voxels, rooms, spreads, escape, i,
                    goal, way, pace,
                )  # fmt: skip
                _settle(grid, hindrance, place, voxels, free, diffusivities, i, goal)
                if leaves:
                    time = ends[i] - lefts[i] + f4(0.5) * h
                    _finish(lanes, i, ESCAPED, time, -1, x, y, z, fate, when, target)
                    hole[holes] = i
                    holes += 1
                    continue
            voxel = voxels[i]
            rooms[i] = room[voxel]
            left = lefts[i] - h
            lefts[i] = left
            slot = slot_of_voxel[voxel]
            if slot >= 0:
                hazard = slot_rate[slot]
                capture[i] -= h * hazard
                if capture[i] < 0:
                    share = lanes.pick[i] * np.float64(hazard)
                    entry = slot_ptr[slot]
                    share -= entry_rate[entry]
                    while share > 0 and entry + 1 < slot_ptr[slot + 1]:
                        entry += 1
                        share -= entry_rate[entry]
                    time = ends[i] - left + capture[i] / hazard
                    cell = entry_cell[entry]
                    _finish(lanes, i, CAPTURED, time, cell, x, y, z, fate, when, target)
                    hole[holes] = i
                    holes += 1
                    continue
            if left <= 0:
                code = CLEARED if lanes.clears[i] else STAYS
                _finish(lanes, i, code, ends[i], -1, x, y, z, fate, when, target)
                hole[holes] = i
                holes += 1
        active = _close(lanes, hole, holes, active)


@njit(**_JIT)
def _chunk_membranes(
    first, last, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
    box, medium, cells, fate, when, target,
):  # fmt: skip
    grid = _in_tuples(box)
    hindrance, obstacle = medium.hindrance, medium.obstacle
    lanes = _new_lanes()
    place, noise, voxels, rooms = lanes.place, lanes.noise, lanes.voxel, lanes.room
    spreads, lengths, lefts, ends = lanes.spread, lanes.length, lanes.left, lanes.end
    capture, escape, free, diffusivities = (
        lanes.capture, lanes.escape, lanes.free, lanes.diffusivity,
    )  # fmt: skip
    near_ptr, near_cell, beyond = cells.near_ptr, cells.near_cell, cells.beyond
    center, radius, reactivity = cells.center, cells.radius, cells.reactivity
    clear = medium.clearance
    hole = np.empty(_LANES, np.int64)
    goal, pace, way = np.empty(3, np.float32), np.empty((3, 3)), np.empty((5, 3), np.int64)
    gap = np.empty(3)
    active = 0
    while True:
        count = min(_LANES - active, last - first)
        _load(
            first, count, active, rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
            grid, medium.decay_rate, hindrance, medium.clearance, lanes,
        )  # fmt: skip
        for i in range(active, active + count):
            for axis in range(3):
                goal[axis] = place[axis, i]
            d = 1.25 * max(
                _nearest(grid, near_ptr, near_cell, center, radius, voxels[i], goal, gap)[1], 0.0
            )
            rooms[i] = min(rooms[i], beyond[voxels[i]], f4(d))
        first += count
        active += count
        if active == 0:
            return
        _prepare(seed, step, grid, lanes, active)
        holes = 0
        for i in range(active - 1, -1, -1):
            h, here = lengths[i], clear[voxels[i]]
            leaves = _advance(
                grid, hindrance, obstacle, place, noise, voxels, rooms, spreads, escape, i,
                goal, way, pace,
            )  # fmt: skip
            cell, d = -1, np.inf
            if not leaves:
                jump = math.sqrt(pace[0, 0] ** 2 + pace[0, 1] ** 2 + pace[0, 2] ** 2)
                cell, d = _meet(
                    grid, near_ptr, near_cell, center, radius, reactivity, obstacle, place, spreads,
                    diffusivities, capture, i, goal, gap, jump, here,
                )  # fmt: skip
            voxel = _settle(grid, hindrance, place, voxels, free, diffusivities, i, goal)
            rooms[i] = min(clear[voxel], beyond[voxel], f4(1.25 * d))
            lefts[i] -= h
            time = ends[i] - lefts[i] - f4(0.5) * h
            if leaves:
                code, cell = ESCAPED, -1
            elif capture[i] < 0:
                code = CAPTURED
            elif lefts[i] <= 0:
                code, cell, time = (CLEARED if lanes.clears[i] else STAYS), -1, ends[i]
            else:
                continue
            _finish(lanes, i, code, time, cell, x, y, z, fate, when, target)
            hole[holes] = i
            holes += 1
        active = _close(lanes, hole, holes, active)


@njit(parallel=True, **_JIT)
def _parallel_voxels(
    rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
    grid, medium, cells, slot_rate, fate, when, target,
):  # fmt: skip
    for c in prange((rows.size + CHUNK - 1) // CHUNK):
        _chunk_voxels(
            c * CHUNK, min((c + 1) * CHUNK, rows.size), rows, vesicle_id, x, y, z, diffusivity,
            start, dt, seed, step, grid, medium, cells, slot_rate, fate, when, target,
        )  # fmt: skip


@njit(parallel=True, **_JIT)
def _parallel_membranes(
    rows, vesicle_id, x, y, z, diffusivity, start, dt, seed, step,
    grid, medium, cells, fate, when, target,
):  # fmt: skip
    for c in prange((rows.size + CHUNK - 1) // CHUNK):
        _chunk_membranes(
            c * CHUNK, min((c + 1) * CHUNK, rows.size), rows, vesicle_id, x, y, z, diffusivity,
            start, dt, seed, step, grid, medium, cells, fate, when, target,
        )  # fmt: skip


def walk(
    rows: Integers,
    vesicle_id: Integers,
    x: Singles,
    y: Singles,
    z: Singles,
    diffusivity: Singles,
    start: Singles,
    dt: float,
    seed: int,
    step: int,
    medium: Medium,
    capture: CaptureVoxels | CaptureMembranes,
    fate: NDArray[np.int8],
    when: Singles,
    target: NDArray[np.int32],
    threads: int = 1,
) -> None:
    """Take free vesicles through one coupling step; each ends it in exactly one way.

    Parameters
    ----------
    rows : (m,)
        Rows of the other arrays that take part; nothing else is read or written.
    vesicle_id : (n,)
        Birth numbers, the random keys.
    x, y, z : (n,)
        um; replaced by the place of the fate. z is left alone in two dimensions.
    diffusivity : (n,)
        Free diffusivity D of each vesicle, um^2/s.
    start : (n,)
        When the vesicle begins, s into the step.
    dt : float
        Length of the step, s.
    seed, step : int
        Names of the run and the step.
    medium : Medium
    capture : CaptureVoxels or CaptureMembranes
    fate, when, target : (n,)
        Written: STAYS, CAPTURED, CLEARED or ESCAPED; s into the step; the row of the cell, or -1.
    threads : int
        The result has the same bits for any number.
    """
    if not len(rows):
        return
    head = rows, vesicle_id, x, y, z, diffusivity, start, float(dt), int(seed), int(step)
    middle: tuple[Any, ...] = _grid(medium), medium, capture
    if isinstance(capture, CaptureVoxels):
        running = np.concatenate([[0.0], np.cumsum(capture.entry_rate)])
        middle = (*middle, np.diff(running[capture.slot_ptr]).astype(np.float32))
        serial, parallel = _chunk_voxels, _parallel_voxels
    else:
        serial, parallel = _chunk_membranes, _parallel_membranes
    if threads == 1:
        serial(0, len(rows), *head, *middle, fate, when, target)
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        parallel(*head, *middle, fate, when, target)
    finally:
        numba.set_num_threads(before)


def sub_step(dt: float, diffusivity: float, shortest: float) -> float:
    """Length h of the sub-steps, s, into which a whole step falls where the shortest are taken.

    h = dt / ceil(2 D dt / shortest^2), with D the largest of the medium; h D / dx^2 is the `walk`
    for which capture in voxels is calibrated.
    """
    if diffusivity == 0:
        return dt
    return dt / max(math.ceil(dt / (shortest * shortest / (2.0 * diffusivity)) - 1e-6), 1)


def _grid(medium: Medium) -> _Grid:
    low = np.array(medium.low, np.float32)
    if medium.dim == 2:
        low[2] = -np.inf  # so that every height lies in voxel 0
    high = (np.asarray(medium.low) + np.asarray(medium.counts) * medium.voxel).astype(np.float32)
    sides = np.asarray(medium.sides, np.int64)
    varies = medium.hindrance.size > 1
    blocked = bool(medium.obstacle.size)
    opens = bool(np.any(sides[: 2 * medium.dim] == FIXED))
    return _Grid(
        medium.dim,
        low,
        high,
        np.nextafter(high, low),
        high - low,
        np.float32(1.0 / medium.voxel),
        float(medium.voxel),
        np.asarray(medium.counts, np.int32),
        (np.asarray(medium.counts) - 1).astype(np.float32),
        sides,
        not (varies or blocked or opens),
        varies,
        blocked,
        opens,
        np.float32(medium.hindrance.max()),
        np.float32(medium.shortest),
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
def _list_near(dim, low, voxel, counts, sides, center, radius, reach, ptr, near, covered):
    """Count the cells near each voxel where ``near`` is empty, else list them."""
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
                    square = 0.0
                    for axis in range(dim):
                        i = a if axis == 0 else (b if axis == 1 else c)
                        at = (center[cell, axis] - low[axis]) / voxel - i
                        gap = max(-at, at - 1.0, 0.0) * voxel
                        square += gap * gap
                    if square > wide * wide:
                        continue
                    v = a % counts[0] + counts[0] * (b % counts[1] + counts[1] * (c % counts[2]))
                    covered[v] |= square <= radius[cell] * radius[cell]
                    if near.size:
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
) -> CaptureMembranes:
    """List for each voxel the cells whose membrane is within ``reach`` (um) of one of its points.

    The other parameters are those of `Medium` and `CaptureMembranes`. Vesicles take steps of up to
    a quarter of the distance to a listed membrane, a fifth of the distance to any other.
    """
    size = int(np.prod(counts))
    shape = dim, np.asarray(low, float), float(voxel), np.asarray(counts, np.int64)
    place = (
        np.asarray(sides, np.int64),
        np.ascontiguousarray(center, float),
        np.asarray(radius, float),
    )
    number, covered = np.zeros(size, np.int64), np.zeros(size, np.bool_)
    _list_near(*shape, *place, float(reach), number, np.empty(0, np.int32), covered)
    ptr = np.concatenate([[0], np.cumsum(number)])
    near = np.empty(ptr[-1], np.int32)
    if near.size:
        _list_near(*shape, *place, float(reach), ptr[:-1].copy(), near, covered)
    closed = np.where(np.asarray(sides) == FIXED, 0, sides)
    beyond = np.maximum(clearance(counts, voxel, closed, covered), np.float32(reach))
    return CaptureMembranes(
        ptr, near, beyond, place[1], place[2], np.asarray(reactivity, np.float64)
    )
