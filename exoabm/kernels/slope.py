"""The plane that lies best through a field around a voxel: its slope, and the mean that it is fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from exoabm.kernels.sides import FIXED, PERIODIC
from exoabm.kernels.sight import OPEN, line

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
                    sign, beyond = 1.0, 0.0
                    for axis in range(3):
                        n = counts[axis]
                        j = voxel[i, axis] + (ox if axis == 0 else (oy if axis == 1 else oz))
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
                        apart[axis] = j - voxel[i, axis]
                    if closed.size:
                        if closed[at[0] + nx * (at[1] + ny * at[2])]:
                            continue
                        start[:] = voxel[i]
                        start += 0.5
                        if line(dim, low, 1.0, counts, wraps, closed, start, apart) != OPEN:
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


@njit(**_JIT)
def _solve(normal, right):
    """Solve normal x = right in place, by elimination; 0 where nothing tells x."""
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
