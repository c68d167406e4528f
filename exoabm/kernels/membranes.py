"""Membranes of cells: the nearest one, the end of a step that may have touched it, and overlaps.

The part of a membrane that an obstacle hides from the center of the cell does not exist.

A step may touch a membrane without ending there; the probability, `capture_probability`, is exact for a flat
membrane, and of first order in sigma over its radius for a sphere or a disc.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.line_of_sight import BLOCKED, OPEN, trace_line
from exoabm.kernels.medium import (
    FIXED,
    PERIODIC,
    Floats,
    Integers,
    Medium,
    Singles,
    clearance,
    fold,
    grid_of,
    trace_step,
    voxel_along,
    voxel_of,
)  # fmt: skip

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_TURN = math.pi / 12
_INSIDE = 1e-4
"""um inside a cell that count as its membrane."""


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
    hidden: NDArray[np.bool_]
    """(cells) whether an obstacle reaches into the cell, so that part of its membrane is not there."""

    def table(self) -> Floats:
        """What kernels look up, a row per cell: x, y, z, radius, reactivity, hidden."""
        return np.column_stack([self.center, self.radius, self.reactivity, self.hidden])


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
def capture_probability(before, after, spread, sink, curvature):
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
def hazard(grid, reactivity, radius, before, after, spread, diffusivity):
    """-log(1 - P) of a step beside a cell."""
    if reactivity <= 0.0 or before * after > 15.0 * spread * spread:
        return 0.0
    curvature = (1.0 if grid.dim == 3 else 0.5) / radius
    return -math.log1p(-capture_probability(before, after, spread, reactivity / diffusivity, curvature))


@njit(forceinline=True, **_JIT)
def _gap(p, center, length):
    """The shortest way along an axis that repeats after ``length``, or not where it is 0."""
    d = p - center
    return d - length * np.rint(d / length) if length > 0.0 else d


@njit(forceinline=True, **_JIT)
def from_center(grid, ball, cell, x, y, z):
    """Vector from a cell's center and its length; heights do not count in a slab."""
    dx = _gap(x, ball[cell, 0], grid.period[0])
    dy = _gap(y, ball[cell, 1], grid.period[1])
    dz = _gap(z, ball[cell, 2], grid.period[2]) if grid.dim == 3 else 0.0
    return dx, dy, dz, math.sqrt(dx * dx + dy * dy + dz * dz)


@njit(**_JIT)
def sees(grid, obstacle, ball, cell, x, y, z):
    """Whether no obstacle lies between a place and the center of a cell."""
    dx, dy, dz, _ = from_center(grid, ball, cell, x, y, z)
    space = grid.dim, grid.low, grid.voxel, grid.counts, grid.period
    return trace_line(*space, obstacle, (x, y, z), (-dx, -dy, -dz)) != BLOCKED


@njit(**_JIT)
def unobstructed(grid, obstacle, x, y, z, to_x, to_y, to_z):
    """Whether no obstacle lies between two places."""
    dx, dy = _gap(to_x, x, grid.period[0]), _gap(to_y, y, grid.period[1])
    dz = _gap(to_z, z, grid.period[2]) if grid.dim == 3 else 0.0
    space = grid.dim, grid.low, grid.voxel, grid.counts, grid.period
    return trace_line(*space, obstacle, (x, y, z), (dx, dy, dz)) != BLOCKED


@njit(forceinline=True, **_JIT)
def nearest_membrane(grid, obstacle, near_ptr, near_cell, ball, voxel, x, y, z):
    """Nearest of the cells near a voxel that are in sight, and the signed distance of its membrane."""
    best, least = -1, np.inf
    for k in range(near_ptr[voxel], near_ptr[voxel + 1]):
        cell = int(near_cell[k])
        d = from_center(grid, ball, cell, x, y, z)[3] - ball[cell, 3]
        if d < least and (ball[cell, 5] == 0.0 or sees(grid, obstacle, ball, cell, x, y, z)):
            best, least = cell, d
    return best, least


def membrane_distances(place: Floats, medium: Medium, cells: Membranes) -> Floats:
    """Least distance of places (m, 3) in the box from a membrane, (m,) um; below 0 in a cell.

    A lower bound where no membrane is within the reach that `build_membranes` was given.
    """
    found = np.empty(len(place))
    near = cells.near_ptr, cells.near_cell, cells.table()
    _distances(place, grid_of(medium), medium.obstacle, *near, cells.beyond, found)
    return found


@njit(**_JIT)
def _distances(place, grid, obstacle, near_ptr, near_cell, ball, beyond, found):
    for i in range(len(place)):
        x, y, z = place[i]
        voxel = voxel_of(grid, x, y, z)
        gap = nearest_membrane(grid, obstacle, near_ptr, near_cell, ball, voxel, x, y, z)[1]
        found[i] = min(gap, np.float64(beyond[voxel]))


def build_membranes(
    dim: int,
    low: Floats,
    voxel: float,
    counts: Integers,
    sides: Integers,
    center: Floats,
    radius: Floats,
    reactivity: Floats,
    reach: float,
    obstacle: NDArray[np.uint8] | None = None,
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
    hidden = np.zeros(len(world[6]), np.bool_)
    if obstacle is not None and obstacle.size:
        _find_hidden(*world[:5], world[5], world[6], obstacle, hidden)
    near = np.empty(ptr[-1], np.int32)
    _list_near(*world, bound, ptr[:-1].copy(), near, covered, 2)
    closed = np.where(np.asarray(sides) == FIXED, 0, sides)
    beyond = np.maximum(clearance(counts, voxel, closed, covered), np.float32(reach))
    return Membranes(ptr, near, beyond, world[5], world[6], np.asarray(reactivity, np.float64), hidden)


@njit(**_JIT)
def _voxels_within(dim, low, voxel, counts, sides, center, distance, first, last):
    """First and last voxel of the cube around a center along each axis; beyond periodic faces only."""
    for axis in range(dim):
        at = center[axis] - low[axis]
        first[axis] = math.floor((at - distance) / voxel)
        last[axis] = math.floor((at + distance) / voxel)
        if sides[2 * axis] != PERIODIC:
            first[axis] = max(first[axis], 0)
            last[axis] = min(last[axis], counts[axis] - 1)


@njit(**_JIT)
def _list_near(dim, low, voxel, counts, sides, center, radius, reach, bound, ptr, near, covered, stage):
    """For each voxel: 0 bound the nearest membrane's distance, 1 count and 2 list those within it."""
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for cell in range(radius.size):
        wide = radius[cell] + reach
        _voxels_within(dim, low, voxel, counts, sides, center[cell], wide, first, last)
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


@njit(**_JIT)
def _find_hidden(dim, low, voxel, counts, sides, center, radius, obstacle, hidden):
    """Mark the cells into whose box an obstacle reaches."""
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for cell in range(radius.size):
        _voxels_within(dim, low, voxel, counts, sides, center[cell], radius[cell], first, last)
        for c in range(first[2], last[2] + 1):
            for b in range(first[1], last[1] + 1):
                for a in range(first[0], last[0] + 1):
                    v = a % counts[0] + counts[0] * (b % counts[1] + counts[1] * (c % counts[2]))
                    hidden[cell] |= obstacle[v] > 0


def resolve_overlaps(
    rows: Integers, x: Singles, y: Singles, z: Singles, medium: Medium, cells: Membranes
) -> None:
    """Move particles that lie inside a cell out to its membrane; positions are written in place.

    Straight out from its center, or, if that leads out of the box, through an obstacle or into another cell,
    to the nearest side where it does not, in turns of 15 degrees along each plane of the axes. Where all
    sides lead into other cells it moves on from these, up to four times; an enclosed one stays.
    """
    _resolve_rows(
        rows, x, y, z, grid_of(medium), medium.obstacle, cells.near_ptr, cells.near_cell, cells.table()
    )


@njit(**_JIT)
def _resolve_rows(rows, x, y, z, grid, obstacle, near_ptr, near_cell, ball):
    place, apart, goal = np.zeros(3), np.zeros(3), np.zeros(3)
    way, pace = np.empty((5, 3), np.int64), np.zeros((3, 3))
    for row in rows:
        for _ in range(4):
            place[0], place[1], place[2] = x[row], y[row], z[row]
            voxel = voxel_of(grid, place[0], place[1], place[2])
            cell, distance = nearest_membrane(
                grid, obstacle, near_ptr, near_cell, ball, voxel, place[0], place[1], place[2]
            )
            if cell < 0 or distance >= -_INSIDE:
                break
            apart[0], apart[1], apart[2], r = from_center(grid, ball, cell, place[0], place[1], place[2])
            if r == 0.0:
                apart[0], r = 1e-6, 1e-6
            out, found = ball[cell, 3] / r, False
            for alone in (True, False):
                for turn in range(1 + 24 * (3 if grid.dim == 3 else 1)):
                    _turned_goal(grid, turn, place, apart, out, goal)
                    found = _is_open_way(grid, obstacle, place, goal, way, pace)
                    if found and alone:
                        voxel = voxel_of(grid, goal[0], goal[1], goal[2])
                        depth = nearest_membrane(
                            grid, obstacle, near_ptr, near_cell, ball, voxel, goal[0], goal[1], goal[2]
                        )[1]
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
def _turned_goal(grid, turn, place, apart, out, goal):
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
def _is_open_way(grid, obstacle, place, goal, way, pace):
    """Whether the straight way to a goal stays in the box and out of obstacles; folds the goal."""
    for axis in range(3):
        way[0, axis] = way[1, axis] = 0
        pace[0, axis] = 0.0
        if axis >= grid.dim:
            continue
        if grid.period[axis] == 0.0 and not (grid.low[axis] <= goal[axis] < grid.high[axis]):
            return False
        pace[0, axis] = goal[axis] - place[axis]
        way[0, axis] = voxel_along(grid, axis, place[axis])
        folded, image = fold(grid, axis, goal[axis])
        way[1, axis] = voxel_along(grid, axis, folded) + image * grid.counts[axis]
        goal[axis] = folded
    return not grid.blocked or trace_step(grid, obstacle, place, way, pace) == OPEN
