"""Lines and paths past obstacles: what they meet first, the visible share of spheres, reachable voxels."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

OPEN, BLOCKED, OUTSIDE = 0, 1, 2
"""What a line meets first; see `trace_line`."""
DIRECTIONS_PER_OCTANT = 512
"""Directions in each octant (quadrant of a plane) by which the share of a membrane is counted."""

Floats = NDArray[np.float64]


@njit(**_JIT)
def trace_line(dim, low, voxel, counts, wraps, closed, start, way):
    """Follow the line from ``start``, inside the box, to ``start + way``.

    Parameters
    ----------
    dim : int
        2 or 3; of all that has three entries, x, y, z, the first ``dim`` count.
    low, counts, wraps
        Low corner (um), voxels, and a number above 0 where an axis is periodic.
    voxel : float
        um
    closed : (voxels,) or (0,)
        Which voxels (flat, x fastest) are obstacles.
    start, way : three numbers each
        um

    Returns
    -------
    int
        ``BLOCKED``, ``OUTSIDE`` or ``OPEN``.

    References
    ----------
    Amanatides & Woo 1987, A fast voxel traversal algorithm for ray tracing.
    """
    at, goal = np.zeros(3, np.int64), np.zeros(3, np.int64)
    due, pace = np.full(3, np.inf), np.full(3, np.inf)
    left = 0
    for axis in range(dim):
        begin = (start[axis] - low[axis]) / voxel
        step = way[axis] / voxel
        at[axis] = min(max(math.floor(begin), 0), counts[axis] - 1)
        goal[axis] = math.floor(begin + step)
        left += abs(goal[axis] - at[axis])
        if goal[axis] != at[axis]:
            pace[axis] = 1.0 / abs(step)
            due[axis] = abs(at[axis] + (1 if step > 0 else 0) - begin) / abs(step)
    while left > 0:
        axis = -1
        for k in range(dim):
            if at[k] != goal[k] and (axis < 0 or due[k] < due[axis]):
                axis = k
        at[axis] += 1 if goal[axis] > at[axis] else -1
        due[axis] += pace[axis]
        left -= 1
        flat = 0
        for k in range(dim - 1, -1, -1):
            j, n = at[k], counts[k]
            if j < 0 or j >= n:
                if not wraps[k] > 0:
                    return OUTSIDE
                j %= n
            flat = flat * n + j
        if closed.size and closed[flat]:
            return BLOCKED
    return OPEN


@njit(**_JIT)
def trace_lines(dim, low, voxel, counts, wraps, closed, start, way):
    """What each of the lines (n, 3) meets, (n,); see `trace_line`."""
    met = np.empty(len(start), np.int8)
    for i in range(len(start)):
        met[i] = trace_line(dim, low, voxel, counts, wraps, closed, start[i], way[i])
    return met


@cache
def sphere_directions(dim: int) -> Floats:
    """Unit vectors (n, 3), each for an equal part of a sphere, or of a circle in a plane.

    They are alike in all octants, so that planes through the center cut off whole shares.
    """
    i = np.arange(DIRECTIONS_PER_OCTANT) + 0.5
    turn = i / DIRECTIONS_PER_OCTANT if dim == 2 else (i * (math.sqrt(5.0) - 1.0) / 2.0) % 1.0
    height = np.zeros(DIRECTIONS_PER_OCTANT) if dim == 2 else i / DIRECTIONS_PER_OCTANT
    across, angle = np.sqrt(1.0 - height**2), 0.5 * math.pi * turn
    part = np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)
    signs = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in ((1, -1) if dim == 3 else (1,))])
    return np.ascontiguousarray((signs[:, None] * part[None]).reshape(-1, 3))


@njit(**_JIT)
def visible_shares(dim, low, voxel, counts, wraps, closed, center, radius, direction, share, middle):
    """Write the shares of membranes that lie inside the box and in sight of their centers, and their middles.

    Of spheres, or discs in a plane, with ``center`` (n, 3) and ``radius`` (n); see `trace_line`,
    `sphere_directions`.
    ``share`` is (n,), ``middle`` (n, 3) the mean of the places on this part, as seen from the center.
    """
    way = np.zeros(3)
    for i in range(radius.size):
        near, cut = False, False
        first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
        for axis in range(dim):
            at = center[i, axis] - low[axis]
            cut |= not wraps[axis] > 0 and (at < radius[i] or at + radius[i] > counts[axis] * voxel)
            first[axis] = math.floor((at - radius[i]) / voxel)
            last[axis] = math.floor((at + radius[i]) / voxel)
        if closed.size:
            for c in range(first[2], last[2] + 1):
                for b in range(first[1], last[1] + 1):
                    for a in range(first[0], last[0] + 1):
                        flat = 0
                        for axis in range(dim - 1, -1, -1):
                            n = counts[axis]
                            j = a if axis == 0 else (b if axis == 1 else c)
                            j = j % n if wraps[axis] > 0 else min(max(j, 0), n - 1)
                            flat = flat * n + j
                        near |= closed[flat] > 0
        share[i] = 1.0
        middle[i] = 0.0
        if not near and not cut:
            continue
        open_ = 0
        for k in range(direction.shape[0]):
            away = False
            for axis in range(dim):
                way[axis] = radius[i] * direction[k, axis]
                end = center[i, axis] + way[axis] - low[axis]
                away |= not wraps[axis] > 0 and (end < 0.0 or end > counts[axis] * voxel)
            if away:
                continue
            if not near or trace_line(dim, low, voxel, counts, wraps, closed, center[i], way) == OPEN:
                open_ += 1
                middle[i] += way
        share[i] = open_ / direction.shape[0]
        middle[i] /= max(open_, 1)


@njit(**_JIT)
def neighborhood_voxels(center, offset, counts, strides, periodic):
    """Flat voxels at offsets from central ones, folded back: wrapped at periodic faces, mirrored at others.

    ``center`` (n, 3) and ``offset`` (m, 3) are voxels in the order x, y, z. Returns (n m), center by center.
    """
    n, m = center.shape[0], offset.shape[0]
    found = np.empty(n * m, np.int64)
    for i in range(n):
        for k in range(m):
            flat = 0
            for axis in range(3):
                size = counts[axis]
                v = center[i, axis] + offset[k, axis]
                if v < 0 or v >= size:
                    if periodic[axis]:
                        v %= size
                    else:
                        v %= 2 * size
                        v = min(v, 2 * size - 1 - v)
                flat += v * strides[axis]
            found[i * m + k] = flat
    return found


@njit(**_JIT)
def reachable_voxels(center, offset, counts, strides, periodic, blocked):
    """Whether a path without blocked voxels leads from the center to each of `neighborhood_voxels`.

    A path goes from face to face and nearer at each step, folded back at the faces of the box.
    ``blocked`` is (voxels) bool. Returns (n m) bool, center by center; nothing blocked is reached.
    """
    n, m = center.shape[0], offset.shape[0]
    found = np.zeros(n * m, np.bool_)
    most = np.zeros(3, np.int64)
    for k in range(m):
        for axis in range(3):
            most[axis] = max(most[axis], abs(offset[k, axis]))
    sides = 2 * most + 1
    box = np.empty(
        (sides[0] * sides[1] * sides[2], 3), np.int64
    )  # the center first, then outward on each axis
    for k in range(len(box)):
        rest = k
        for axis in range(3):
            at = rest % sides[axis]
            rest //= sides[axis]
            box[k, axis] = (at + 1) // 2 if at % 2 else -(at // 2)
    free = np.empty(len(box), np.bool_)
    for i in range(n):
        own = center[i : i + 1]
        sites = neighborhood_voxels(own, box, counts, strides, periodic)
        for k in range(len(box)):
            free[k] = not blocked[sites[k]]
            if not free[k] or k == 0:
                continue
            stride, open_way = 1, False
            rest = k
            for axis in range(3):
                at = rest % sides[axis]
                rest //= sides[axis]
                if at:
                    open_way = open_way or free[k - stride * (2 if at > 2 else at)]
                stride *= sides[axis]
            free[k] = open_way
        for k in range(m):
            place, stride = 0, 1
            for axis in range(3):
                v = offset[k, axis]
                place += stride * (2 * v - 1 if v > 0 else -2 * v)
                stride *= sides[axis]
            found[i * m + k] = free[place]
    return found
