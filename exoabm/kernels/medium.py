"""Medium of free particles: a box of voxels with faces, obstacles and hindrance; particles and outcomes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.line_of_sight import BLOCKED, OPEN, OUTSIDE

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

NO_FLUX, PERIODIC, FIXED = 0, 1, 2
"""Codes of the six sides of a grid, in the order x low, x high, y low, y high, z low, z high."""
FREE, CAPTURED, CLEARED, ESCAPED = range(4)
"""Outcomes of a step for a free particle."""

f4 = np.float32

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

_FAR = 64
"""Voxels; clearances beyond this are given as this, which is far enough for any step."""


class Medium(NamedTuple):
    """A box of voxels, arrays flat with x fastest."""

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


class Particles(NamedTuple):
    """Free particles, as columns of which only some rows take part; no other row is read or written."""

    rows: Integers
    """(m)"""
    id: Integers
    """(n) Keys of the random draws."""
    x: Singles
    """(n) um; replaced by the position at the end of the step."""
    y: Singles
    z: Singles
    """(n) um; unchanged in two dimensions."""
    diffusivity: Singles
    """(n) In free medium, um^2/s."""
    start: Singles
    """(n) Begin of each, s into the step; 0 for one that is present already."""
    attempt: int = 0
    """How often these were refused in this step at the cell that captured them; they continue from there."""


class Outcomes(NamedTuple):
    """Outcome of a step for each particle; written."""

    code: NDArray[np.int8]
    """(n) FREE, CAPTURED, CLEARED or ESCAPED."""
    when: Singles
    """(n) s into the step."""
    target: NDArray[np.int32]
    """(n) Row of the cell, or -1."""

    @classmethod
    def of(cls, n: int) -> Outcomes:
        """Of n particles, all of which remain free; times and targets are those of particles that move."""
        return cls(np.zeros(n, np.int8), np.empty(n, np.float32), np.empty(n, np.int32))


class Grid(NamedTuple):
    """The box, in tuples: reading these counts no references. Bounds are single precision."""

    dim: int
    """2 or 3."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    """Corners, um."""
    below: tuple[float, float, float]
    """Largest single-precision numbers below ``high``, um: the last positions inside."""
    length: tuple[float, float, float]
    """high - low, um."""
    voxel: float
    """um"""
    counts: tuple[int, int, int]
    """Voxels along x, y, z."""
    sides: tuple[int, int, int, int, int, int]
    """Codes of the faces, as in `Medium`."""
    period: tuple[float, float, float]
    """``length`` along periodic axes, 0 along others, um."""
    varies: bool
    """Whether hindrance differs between voxels."""
    blocked: bool
    """Whether there are obstacles."""
    opens: bool
    """Whether a face is open."""
    largest: float
    """Largest hindrance, D*/D."""
    shortest: float
    """um: spread of the shortest sub-step along an axis."""


def grid_of(medium: Medium) -> Grid:
    """The box of a medium, in tuples."""
    low = np.array(medium.low, np.float32)
    high = (np.asarray(medium.low) + np.asarray(medium.counts) * medium.voxel).astype(np.float32)
    sides = np.asarray(medium.sides, np.int64)

    def three(values: Any) -> tuple[float, float, float]:
        a, b, c = (float(v) for v in values)
        return a, b, c

    return Grid(
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


@njit(forceinline=True, **_JIT)
def voxel_along(grid, axis, p):
    """Voxel along an axis of a position inside the box."""
    if grid.counts[axis] == 1:
        return 0
    return min(np.int64((p - grid.low[axis]) / grid.voxel), grid.counts[axis] - 1)


@njit(forceinline=True, **_JIT)
def fold(grid, axis, p):
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
def flat_index(grid, a, b, c):
    """Number of the voxel (a, b, c), x fastest."""
    return a + grid.counts[0] * (b + grid.counts[1] * c)


@njit(forceinline=True, **_JIT)
def voxel_of(grid, x, y, z):
    """Flat voxel of a position inside the box."""
    a = min(np.int64((x - grid.low[0]) / grid.voxel), grid.counts[0] - 1)
    b = min(np.int64((y - grid.low[1]) / grid.voxel), grid.counts[1] - 1)
    if grid.dim == 2:
        return a + grid.counts[0] * b
    c = min(np.int64((z - grid.low[2]) / grid.voxel), grid.counts[2] - 1)
    return flat_index(grid, a, b, c)


@njit(forceinline=True, **_JIT)
def trace_step(grid, obstacle, place, way, pace):
    """What a straight step from voxel way[0] to way[1] meets first: `OPEN`, `BLOCKED` or `OUTSIDE`.

    The way goes from face to face, so that walls that touch at edges or corners only are closed, too. Rows of
    ``way`` (5, 3), voxel numbers along x, y, z: 0 the first voxel; 1 the last one; 2 the present one, which
    continues beyond the faces of the box; 3 its direction, 1 or -1; 4 the present one inside the box, wrapped
    or mirrored. Rows of ``pace`` (3, 3): 0 the step, um; 1 the fraction of the step that crosses a voxel; 2
    the fraction at which the next face is crossed. ``place`` (3) is the start, um. Rows 0 and 1 of ``way``
    and row 0 of ``pace`` are given, the others are overwritten.
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
                return OUTSIDE
            if grid.sides[2 * k] == PERIODIC:
                j %= n
            else:
                j %= 2 * n
                j = min(j, 2 * n - 1 - j)
            way[4, k] = j
        if obstacle[flat_index(grid, way[4, 0], way[4, 1], way[4, 2])]:
            return BLOCKED
    return OPEN


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
            for k in range(1, min(n, _FAR + 1)):
                away = (k - 1.0) * (k - 1.0)
                if away >= best:
                    break
                for j in (i - k, i + k):
                    if wraps:
                        j %= n
                    if j >= 0 and j < n:
                        best = min(best, line[j] + away)
            square[base + i * stride] = best
