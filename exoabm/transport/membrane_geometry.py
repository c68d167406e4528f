"""Geometry of membranes at boundaries: faces and obstacles near cells, share of each membrane inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exoabm.domain import Face
from exoabm.kernels import line_of_sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.state import State

REACH = {2: 5.0, 3: 3.0}
"""Distance in radii at which an open or held face is included; beyond it the error is 2 %, and 0.7 %."""
FURTHEST = 60
"""Largest distance in voxels, that of the tables of the lattice Green's function."""
NO_OFFSET = np.zeros(3, np.int64)
"""Offset of zero voxels."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[tuple[int, int], ...]
"""Voxels between a cell and the boundary on each side (-1: none), and the sign of the image there."""


@dataclass(frozen=True)
class MembraneGeometry:
    """Boundaries near cells; arrays over cells.

    Attributes
    ----------
    share : (n,)
        f, share of the membrane inside the domain and in sight of the center.
    near : (n,) bool
        Whether a face or an obstacle is within reach; see `membrane_geometry_of`.
    place : (n, 3) int
        The voxel of the center.
    middle : (n, 3)
        Vector from the center to the middle of the membrane inside, um.
    point : (n, 3)
        The same place, in voxels from the middle of ``place``.
    distance, voxels, sign : (n, 6)
        Distance from the center to the boundary on each side, in um (infinite: none); voxels between it and
        ``place``, -1 for none; and the sign of the image.
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

    def stands(self, rows: Ints) -> Ints:
        """Voxels from ``place`` to the voxel nearest to the middle of the membrane, (m, 3)."""
        between = self.voxels[rows].reshape(-1, 3, 2)
        least = np.where(between[..., 0] < 0, -FURTHEST, -between[..., 0])
        most = np.where(between[..., 1] < 0, FURTHEST, between[..., 1])
        return np.clip(np.floor(self.point[rows] + 0.5).astype(np.int64), least, most)

    def keys(self, rows: Ints, moved: Ints) -> Iterator[tuple[Key, Ints]]:
        """Boundaries in lattice units, and which of the rows (m,) have them; ``moved`` is (m, 3)."""
        if not len(rows):
            return
        shift = np.stack([moved, -moved], axis=2).reshape(-1, 6)
        between = np.where(self.voxels[rows] >= 0, self.voxels[rows] + shift, -1)
        _, first, group = np.unique(np.maximum(between, -1), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(group.ravel()))[:-1]
        for one, which in zip(first, np.split(order, ends), strict=True):
            yield self.key(int(rows[one]), moved[one]), which

    def key(self, row: int, moved: Ints) -> Key:
        """Boundaries of a row in lattice units, for a stencil displaced by ``moved`` from ``place``."""
        sides = []
        for side in range(6):
            between = int(self.voxels[row, side])
            if between >= 0:
                between += int(-moved[side // 2] if side % 2 else moved[side // 2])
            sides.append((max(between, -1), int(self.sign[row, side]) if between >= 0 else 0))
        return tuple(sides)


def membrane_share(state: State) -> Floats:
    """Share f of the membrane of each cell inside the domain and in sight of its center, (n,)."""
    return _membranes(state)[0]


def _membranes(state: State) -> tuple[Floats, Floats]:
    """Shares of membranes inside, (n,), and vectors from the centers to their middles, (n, 3) um."""
    n = len(state.cells)
    share, middle = np.ones(n), np.zeros((n, 3))
    center, radius = np.ascontiguousarray(state.cells.position), np.asarray(state.of_type("diameter") / 2)
    dim = state.domain.dim
    line_of_sight.visible_shares(
        *state.domain.walls, center, radius, line_of_sight.sphere_directions(dim), share, middle
    )
    return share, middle


def membrane_geometry_of(state: State) -> MembraneGeometry:
    """Boundaries near each cell; an obstacle along an axis counts as a closed face.

    Closed faces and obstacles are included up to a radius and a voxel, open and held ones up to `REACH`
    radii.
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
