r"""Which faces of the domain and obstacles stand beside cells, and how much of their membranes is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exoabm.domain import Face
from exoabm.kernels import line_of_sight

if TYPE_CHECKING:
    from exoabm.state import State

REACH = {2: 5.0, 3: 3.0}
"""Radii from which an open or held face is seen; there a cell meets 2 %, and 0.7 %, more of a slope."""
FURTHEST = 60
"""Voxels from which nothing is seen; tables of the lattice's own function are not larger."""
NO_OFFSET = np.zeros(3, np.int64)
"""No voxels away."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[tuple[int, int], ...]
"""Voxels between a cell's and the wall on each side (-1: none), and the sign of the image there."""


@dataclass(frozen=True)
class MembraneGeometry:
    """What stands beside cells; arrays of their rows.

    Attributes
    ----------
    share : (n,)
        f, of the membrane.
    near : (n,) bool
        Whether a face or an obstacle is so near that it matters; see `membrane_geometry_of`.
    place : (n, 3) int
        The voxel of the center.
    middle : (n, 3)
        From the center to the middle of the membrane that is there, um.
    point : (n, 3)
        The same place, in voxels from the middle of ``place``.
    distance, voxels, sign : (n, 6)
        From the center to the wall on each side, in um (infinite: none); the voxels between it and ``place``,
        -1 for none; and the image's sign.
    held : (n,) bool
        Whether all open and held faces that are near hold a concentration.
    """

    share: Floats
    near: NDArray[np.bool_]
    place: Ints
    middle: Floats
    point: Floats
    distance: Floats
    voxels: Ints
    sign: Ints
    held: NDArray[np.bool_]

    def stands(self, row: int) -> Ints:
        """Voxels from ``place`` to the nearest of the middle of the membrane, (3,)."""
        between = self.voxels[row].reshape(3, 2)
        least = np.where(between[:, 0] < 0, -FURTHEST, -between[:, 0])
        most = np.where(between[:, 1] < 0, FURTHEST, between[:, 1])
        return np.clip(np.floor(self.point[row] + 0.5).astype(np.int64), least, most)

    def key(self, row: int, moved: Ints) -> Key:
        """What the lattice knows of a row, its footprint ``moved`` from ``place``."""
        sides = []
        for side in range(6):
            between = int(self.voxels[row, side])
            if between >= 0:
                between += int(-moved[side // 2] if side % 2 else moved[side // 2])
            sides.append((max(between, -1), int(self.sign[row, side]) if between >= 0 else 0))
        return tuple(sides)


def membrane_share(state: State) -> Floats:
    """Share f of each cell's membrane that is there, (n,); see the module."""
    return _membranes(state)[0]


def _membranes(state: State) -> tuple[Floats, Floats]:
    """Shares of membranes that are there, (n,), and from each center to their middles, (n, 3) um."""
    n = len(state.cells)
    share, middle = np.ones(n), np.zeros((n, 3))
    center, radius = np.ascontiguousarray(state.cells.position), np.asarray(state.of_type("diameter") / 2)
    dim = state.domain.dim
    line_of_sight.visible_shares(
        *state.domain.walls, center, radius, line_of_sight.sphere_directions(dim), share, middle
    )
    return share, middle


def membrane_geometry_of(state: State) -> MembraneGeometry:
    """What stands beside each cell; an obstacle straight ahead along an axis counts as a closed face.

    Closed faces and obstacles are seen from a radius and a voxel away, open and held ones from `REACH` radii.
    """
    domain, center = state.domain, np.ascontiguousarray(state.cells.position)
    radius = np.asarray(state.of_type("diameter") / 2)
    n = len(center)
    share, middle = _membranes(state)
    distance, voxels = np.full((n, 6), np.inf), np.full((n, 6), -1)
    sign, held = np.ones((n, 6), np.int64), np.ones(n, bool)
    place, counts = domain.voxel_of(center), domain.counts
    for side in range(2 * domain.dim):
        axis, up = side // 2, side % 2
        face = domain.faces[side]
        far = radius + domain.voxel
        wide = np.minimum(REACH[domain.dim] * radius, FURTHEST * domain.voxel)
        wide = np.maximum(far, wide) if face == Face.FIXED else far
        ahead, met = place.copy(), np.zeros(n, bool)
        for k in range(int(np.ceil(wide.max(initial=0.0) / domain.voxel)) + 1):
            ahead[:, axis] = place[:, axis] + (k + 1 if up else -k - 1)
            beyond = (ahead[:, axis] < 0) | (ahead[:, axis] >= counts[axis])
            stops = beyond & (face != Face.PERIODIC)
            if domain.obstacle is not None:
                inside = np.where(beyond[:, None], ahead % counts, ahead)
                stops |= ~stops & domain.obstacle.ravel()[domain.flat(inside)]
            wall = domain.low[axis] + (place[:, axis] + (k + 1 if up else -k)) * domain.voxel
            gap = np.abs(wall - center[:, axis])
            fixed = beyond & (face == Face.FIXED)
            new = stops & ~met & (gap < np.where(fixed, wide, far))
            met |= stops
            distance[new, side], voxels[new, side] = gap[new], k
            sign[new & fixed, side] = -1
            held[new & fixed] &= domain.face_concentration[side] > 0
    sign[voxels < 0] = 0
    point = (center + middle - domain.low) / domain.voxel - place - 0.5
    point[:, domain.dim :] = 0.0
    near = (voxels >= 0).any(axis=1) | (share < 1)
    return MembraneGeometry(share, near, place, middle, point, distance, voxels, sign, held)
