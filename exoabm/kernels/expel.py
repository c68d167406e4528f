"""Vesicles that lie inside a cell, since it grew or moved over them, are pushed out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from exoabm.kernels.medium import Integers, Medium, Singles, fold, grid_of, index, passes, voxel_of
from exoabm.kernels.membranes import Membranes, from_center, nearest

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_TURN = math.pi / 12
_INSIDE = 1e-4
"""um inside a cell that is still its membrane."""


def expel(rows: Integers, x: Singles, y: Singles, z: Singles, medium: Medium, cells: Membranes) -> None:
    """Push vesicles that lie inside a cell out to its membrane; positions are written in place.

    Straight out from its center, or, if that leads out of the box, through an obstacle or into another cell,
    to the nearest side where it does not, in turns of 15 degrees along each plane of the axes. Where all
    sides lead into other cells these hand it on; one that is walled in stays.
    """
    _expel(rows, x, y, z, grid_of(medium), medium.obstacle, cells.near_ptr, cells.near_cell, cells.table())


@njit(**_JIT)
def _expel(rows, x, y, z, grid, obstacle, near_ptr, near_cell, ball):
    place, apart, goal = np.zeros(3), np.zeros(3), np.zeros(3)
    way, pace = np.empty((5, 3), np.int64), np.zeros((3, 3))
    for row in rows:
        for _ in range(4):
            place[0], place[1], place[2] = x[row], y[row], z[row]
            voxel = voxel_of(grid, place[0], place[1], place[2])
            cell, distance = nearest(
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
                    _look(grid, turn, place, apart, out, goal)
                    found = _reaches(grid, obstacle, place, goal, way, pace)
                    if found and alone:
                        voxel = voxel_of(grid, goal[0], goal[1], goal[2])
                        depth = nearest(
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
        way[0, axis] = index(grid, axis, place[axis])
        folded, image = fold(grid, axis, goal[axis])
        way[1, axis] = index(grid, axis, folded) + image * grid.counts[axis]
        goal[axis] = folded
    return not grid.blocked or passes(grid, obstacle, place, way, pace) == 1
