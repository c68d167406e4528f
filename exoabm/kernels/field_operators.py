"""Operators on a lattice field: least-squares gradient, and sums of the Green's function of a box."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exoabm.kernels.line_of_sight import OPEN, trace_line
from exoabm.kernels.medium import FIXED, PERIODIC

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_FLAT = 1e-9
"""A direction in which seen voxels spread less than this (squares of voxels each) has no slope."""


@njit(**_JIT)
def gradient(field, voxel, counts, sides, held, closed, reach, spacing, slope, mean):
    """Least-squares plane through the window of ``reach`` voxels to each side of each given voxel.

        u(o) ~ m + g . o dx,    in a whole window g = sum_o o u(o) / (dx sum_o o^2)

    Beyond a closed face the window sees the mirror image, u(-x) = u(x); beyond an open or held one what makes
    the face's own value the mean of both sides, u(-x) = 2 u_face - u(x), so that a straight line up to the
    face is seen as one. Obstacles, and what they hide from the middle, are left out of the fit.

    Parameters
    ----------
    field : (L, nz, ny, nx)
        Summed over its first axis.
    voxel : (n, 3) int
        x, y, z.
    counts, sides, held : (3,), (6,), (6,)
        Voxels along x, y, z, codes of the faces and the field's value at those that are fixed.
    closed : (voxels,) or (0,)
        Obstacles, flat, x fastest.
    slope, mean : (n, 3), (n,)
        Written, in units of the field; the mean is that of what is seen.
    """
    labels = field.shape[0]
    nx, ny = counts[0], counts[1]
    dim = 3 if counts[2] > 1 else 2
    deep = reach if dim == 3 else 0
    at, apart, offset = np.zeros(3, np.int64), np.zeros(3), np.zeros(4)
    start, low, wraps = np.zeros(3), np.zeros(3), np.zeros(3)
    for axis in range(3):
        wraps[axis] = 1.0 if sides[2 * axis] == PERIODIC else 0.0
    normal, right = np.zeros((4, 4)), np.zeros(4)
    for i in range(voxel.shape[0]):
        normal[:] = 0.0
        right[:] = 0.0
        for oz in range(-deep, deep + 1):
            for oy in range(-reach, reach + 1):
                for ox in range(-reach, reach + 1):
                    offset[0], offset[1], offset[2], offset[3] = 1.0, ox, oy, oz
                    sign, beyond = _mirror(voxel[i], offset, counts, wraps, sides, held, at, apart)
                    if closed.size:
                        if closed[at[0] + nx * (at[1] + ny * at[2])]:
                            continue
                        start[:] = voxel[i]
                        start += 0.5
                        if trace_line(dim, low, 1.0, counts, wraps, closed, start, apart) != OPEN:
                            continue
                    u = 0.0
                    for label in range(labels):
                        u += field[label, at[2], at[1], at[0]]
                    u = beyond + sign * u
                    for a in range(4):
                        right[a] += offset[a] * u
                        for b in range(4):
                            normal[a, b] += offset[a] * offset[b]
        mean[i] = right[0] / max(normal[0, 0], 1.0)
        _solve(normal, right)
        for axis in range(3):
            slope[i, axis] = right[axis + 1] / spacing


@njit(inline="always", **_JIT)
def _mirror(voxel, offset, counts, wraps, sides, held, at, apart):
    """u(at offset) = beyond + sign u(at): the voxel in the box whose image lies at an offset.

    ``at`` and ``apart`` (3), the voxel and how far it is, are overwritten; returns sign and beyond.
    """
    sign, beyond = 1.0, 0.0
    for axis in range(3):
        n = counts[axis]
        j = voxel[axis] + np.int64(offset[axis + 1])
        apart[axis] = offset[axis + 1]
        if wraps[axis] > 0:
            at[axis] = j % n
            continue
        while j < 0 or j >= n:
            side = 2 * axis + (1 if j >= n else 0)
            j = 2 * n - 1 - j if j >= n else -1 - j
            if sides[side] == FIXED:
                beyond += 2.0 * sign * held[side]
                sign = -sign
        at[axis] = j
        apart[axis] = j - voxel[axis]
    return sign, beyond


@njit(**_JIT)
def _solve(normal, right):
    """Solve normal x = right in place, by elimination; 0 where x is not determined."""
    n = right.size
    for k in range(n):
        if normal[k, k] <= _FLAT:
            normal[k] = 0.0
            normal[:, k] = 0.0
            right[k] = 0.0
            normal[k, k] = 1.0
        for i in range(k + 1, n):
            share = normal[i, k] / normal[k, k]
            if share == 0.0:
                continue
            for j in range(k, n):
                normal[i, j] -= share * normal[k, j]
            right[i] -= share * right[k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            right[k] -= normal[k, j] * right[j]
        right[k] /= normal[k, k]


@njit(**_JIT)
def _fold(site: int, other: int, size: int, mirrored: bool) -> tuple[int, int]:
    """Table indices of the direct image and of the one behind the nearer wall."""
    image = site + other + 1
    return abs(site - other), min(image, 2 * size - image) if mirrored else 0


@njit(inline="always", **_JIT)
def _image_sum(table, mirrored, z0, z1, y0, y1, x0, x1):
    """Sum of the table over the direct image (0) and, on mirrored axes, the other (1)."""
    mz, my, mx = mirrored[0], mirrored[1], mirrored[2]
    total = table[z0, y0, x0]
    if mx:
        total += table[z0, y0, x1]
    if my:
        total += table[z0, y1, x0]
        if mx:
            total += table[z0, y1, x1]
    if mz:
        total += table[z1, y0, x0]
        if mx:
            total += table[z1, y0, x1]
        if my:
            total += table[z1, y1, x0]
            if mx:
                total += table[z1, y1, x1]
    return total


@njit(**_JIT)
def green_sums(
    table: NDArray[Any],
    mirrored: NDArray[np.bool_],
    size: NDArray[np.int64],
    start: NDArray[np.int64],
    sources: NDArray[np.int64],
    weights: NDArray[Any],
    targets: NDArray[np.int64],
    lower: bool,
    out: NDArray[Any],
) -> None:
    """out[i, j] = sum_p weights[p] g(sources[p], targets[j]), start[i] <= p < start[i+1].

    With the image sum g(a, b) = sum table[i_z, i_y, i_x], where on each axis i is |a - b|, and on
    a mirrored axis also a + b + 1, folded into the table.

    Parameters
    ----------
    table : (tz, ty, tx) float
        Free Green's function by separation: size + 1 entries on a mirrored axis, size on a
        periodic one.
    mirrored, size : (3,)
        For the axes z, y, x: whether its two faces are mirrors, and its number of sites.
    start : (rows + 1,) int
        Where each row's sources begin.
    sources, weights : (p, 3) int and (p,) float
        Sites as z, y, x, and their weights, in the order of the rows.
    targets : (columns, 3) int
        Sites as z, y, x.
    lower : bool
        Fill only j <= i of a square matrix.
    out : (rows, columns) float
        Overwritten; entries above the diagonal are zeroed where ``lower``.
    """
    mz, my, mx = mirrored[0], mirrored[1], mirrored[2]
    nz, ny, nx = size[0], size[1], size[2]
    for i in range(out.shape[0]):
        row = out[i]
        row[:] = 0
        columns = i + 1 if lower else row.shape[0]
        for p in range(start[i], start[i + 1]):
            z, y, x, weight = sources[p, 0], sources[p, 1], sources[p, 2], weights[p]
            for j in range(columns):
                z0, z1 = _fold(z, targets[j, 0], nz, mz)
                y0, y1 = _fold(y, targets[j, 1], ny, my)
                x0, x1 = _fold(x, targets[j, 2], nx, mx)
                row[j] += weight * _image_sum(table, mirrored, z0, z1, y0, y1, x0, x1)
