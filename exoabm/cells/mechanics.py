"""Bodies of cells: they do not run into each other, and push apart where they overlap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels import sphere_mechanics

if TYPE_CHECKING:
    from exoabm.state import State

SHARE = 0.1
"""Largest share of an overlap that one sub-step of pushing takes away; keeps a crowd from swinging."""
CAP = 0.1
"""Largest way of a cell in one sub-step of pushing, in its radii."""


def radii(state: State) -> np.ndarray:
    """Radius of every cell in um, (n,)."""
    return np.asarray(state.of_type("diameter") / 2)


def crowd_of(state: State, position: np.ndarray, radius: np.ndarray, room: int = 0) -> sphere_mechanics.Box:
    """The box that cells at these positions are in, for the kernels; ``room`` for daughters."""
    domain = state.domain
    closed = np.empty(0, bool) if domain.obstacle is None else domain.obstacle.ravel()
    return sphere_mechanics.box(
        domain.dim,
        domain.low,
        domain.extent,
        domain.period > 0,
        domain.voxel,
        domain.counts,
        closed,
        position,
        radius,
        room,
    )


def relax(
    state: State, box: sphere_mechanics.Box, position: np.ndarray, radius: np.ndarray, dt: float
) -> bool:
    """Push overlapping cells apart, in place; whether any cell moved.

        dx_i/dt = rate/2 sum_j (r_i + r_j - |x_i - x_j|) (x_i - x_j)/|x_i - x_j|

    over neighbors that overlap: two cells that overlap by d, alone, do so by d e^(-rate t) later. Taken in
    sub-steps; all cells move at once, so that the order of the rows does not matter.
    """
    if state.mechanics is None:
        return False
    substeps = max(1, math.ceil(state.mechanics.relaxation * dt / SHARE))
    share = -math.expm1(-state.mechanics.relaxation * dt / substeps)
    shift, moved = np.zeros_like(position), False
    for _ in range(substeps):
        if not sphere_mechanics.push(box, position, radius, share, CAP, shift):
            break
        sphere_mechanics.shift_all(box, position, radius, shift)
        moved = True
    return moved
