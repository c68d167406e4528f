"""The domain: a slab (2-D) of square voxels or a volume (3-D) of cubic ones, its faces and obstacles."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels import line_of_sight, medium

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = 16
"""To so many targets all distances are sooner computed than a tree is searched."""
SIDES = ("x_low", "x_high", "y_low", "y_high", "z_low", "z_high")


class Face(IntEnum):
    """Boundary condition of a face of the domain. The codes are those of the kernels."""

    NO_FLUX = medium.NO_FLUX
    PERIODIC = medium.PERIODIC
    FIXED = medium.FIXED


@dataclass(frozen=True, eq=False)
class Domain:
    """A box of voxels, arrays in the order ``(y, x)`` or ``(z, y, x)``.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (y, x) for a slab, along (z, y, x) for a volume.
    voxel : float
        Edge of a voxel in um.
    thickness : float
        Thickness of the slab in um; not used in 3-D.
    origin : tuple of float
        The low corner in um (x, y, z), that of the coordinates of a table of cells.
    faces : tuple of Face
        One per side, in the order of ``SIDES``.
    face_concentration : tuple of float
        Concentration held at each fixed face, vesicles/um^3; 0 is an open face.
    hindrance : numpy.ndarray or float
        D*/D, one number or one per voxel. Source: thorne2006.
    obstacle : numpy.ndarray of bool or None
        Voxels that vesicles cannot enter.
    """

    shape: tuple[int, ...]
    voxel: float
    thickness: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    faces: tuple[Face, ...] = (Face.NO_FLUX,) * 6
    face_concentration: tuple[float, ...] = (0.0,) * 6
    hindrance: float | np.ndarray = 1.0
    obstacle: np.ndarray | None = field(default=None)

    @property
    def dim(self) -> int:
        """2 for a slab, 3 for a volume."""
        return len(self.shape)

    @property
    def extent(self) -> np.ndarray:
        """Length along x, y, z in um, shape (3,); z is the thickness of a slab."""
        lengths = [n * self.voxel for n in reversed(self.shape)]
        return np.array(lengths if self.dim == 3 else [*lengths, self.thickness])

    @property
    def period(self) -> np.ndarray:
        """Periods in um along x, y, z, shape (3,); 0 for axes that are not periodic."""
        return np.where([face == Face.PERIODIC for face in self.faces[::2]], self.extent, 0.0)

    @property
    def low(self) -> np.ndarray:
        """The low corner (x, y, z) in um, shape (3,)."""
        return np.array(self.origin)

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in um^3: dx^3, or dx^2 times the thickness of the slab."""
        return self.voxel**2 * (self.voxel if self.dim == 3 else self.thickness)

    @property
    def n_voxels(self) -> int:
        """Number of voxels, including obstacles."""
        return int(np.prod([int(n) for n in self.shape], dtype=object))

    @cached_property
    def strides(self) -> np.ndarray:
        """Steps of the flat voxel index along x, y, z, shape (3,); 0 for z in a slab."""
        nx, ny = self.shape[-1], self.shape[-2]
        return np.array([1, nx, nx * ny if self.dim == 3 else 0], dtype=np.int64)

    @cached_property
    def counts(self) -> np.ndarray:
        """Voxels along x, y, z, shape (3,); 1 along z in a slab."""
        reverse = list(reversed(self.shape))
        return np.array(reverse if self.dim == 3 else [*reverse, 1], dtype=np.int64)

    @property
    def courant_limit(self) -> float:
        """Largest D dt/dx^2 at which an explicit step of diffusion is stable, 1/(2 dim)."""
        return 0.5 / self.dim

    @property
    def opens_to_reservoir(self) -> bool:
        """Whether vesicles flow in through a face held at a concentration above zero."""
        return any(c > 0 for c in self.face_concentration)

    def contains(self, positions: np.ndarray) -> np.ndarray:
        """Which positions (n, 3) in um lie inside the box; z is free in a slab."""
        inside = (positions >= self.low) & (positions < self.low + self.extent)
        return inside[:, : self.dim].all(axis=1)

    def blocked(self, positions: np.ndarray) -> np.ndarray:
        """Which positions (n, 3) in um, inside the box or on its faces, lie in an obstacle."""
        if self.obstacle is None:
            return np.zeros(len(positions), bool)
        voxels = np.minimum(self.voxel_of(positions), self.counts - 1)
        return np.asarray(self.obstacle.ravel()[self.flat(voxels)])

    def sees(self, start: np.ndarray, way: np.ndarray) -> np.ndarray:
        """Whether straight paths (n, 3) in um from ``start`` (n, 3) stay in the box and outside obstacles."""
        return np.asarray(line_of_sight.trace_lines(*self.walls, start, way) == line_of_sight.OPEN)

    @cached_property
    def walls(self) -> tuple[int, np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
        """Arguments of `kernels.line_of_sight`: dim, low, voxel, counts, periods, obstacles (flat)."""
        closed = np.empty(0, np.uint8) if self.obstacle is None else self.obstacle.ravel().astype(np.uint8)
        return self.dim, self.low, float(self.voxel), self.counts, self.period, closed

    def wrap(self, positions: np.ndarray) -> np.ndarray:
        """Positions (n, 3) in um wrapped at periodic faces."""
        wrapped = positions.copy()
        for axis in np.flatnonzero(self.period[: self.dim]):
            wrapped[:, axis] = self.low[axis] + (positions[:, axis] - self.low[axis]) % self.extent[axis]
        return wrapped

    def voxel_of(self, positions: np.ndarray) -> np.ndarray:
        """Voxel coordinates (x, y, z) of positions (n, 3) in um, shape (n, 3), int64."""
        index = np.floor((positions - self.low) / self.voxel).astype(np.int64)
        if self.dim == 2:
            index[:, 2] = 0
        return index

    def flat(self, voxels: np.ndarray) -> np.ndarray:
        """Flat index of voxel coordinates (..., 3)."""
        return voxels @ self.strides

    def fold(self, voxels: np.ndarray) -> np.ndarray:
        """Bring voxel coordinates (..., 3) back inside: wrapped at periodic faces, mirrored at others."""
        folded = voxels.copy()
        for axis in range(self.dim):
            n, column = int(self.counts[axis]), folded[..., axis]
            if self.faces[2 * axis] == Face.PERIODIC:
                column %= n
            else:
                column %= 2 * n
                np.minimum(column, 2 * n - 1 - column, out=column)
        return folded

    def centers(self, axis: int) -> np.ndarray:
        """Voxel centers along an axis (0 = x) in um."""
        return self.low[axis] + (np.arange(self.counts[axis]) + 0.5) * self.voxel

    def displacement(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """End minus start in um, the shortest way around where faces are periodic."""
        delta = end - start
        for axis in range(self.dim):
            if self.faces[2 * axis] == Face.PERIODIC:
                length = self.extent[axis]
                delta[..., axis] -= length * np.round(delta[..., axis] / length)
        if self.dim == 2:
            delta[..., 2] = 0.0
        return delta

    def distance_to_nearest(self, points: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Distance from points to the nearest target, around periodic faces too; inf without targets."""
        from scipy.spatial import cKDTree
        from scipy.spatial.distance import cdist

        if not len(targets):
            return np.full(len(points), np.inf)
        images = targets
        for axis in range(self.dim):
            if self.faces[2 * axis] == Face.PERIODIC:
                shift = np.zeros(3)
                shift[axis] = self.extent[axis]
                images = np.concatenate([images, images + shift, images - shift])
        if len(images) <= FEW:
            return np.asarray(cdist(images, points).min(axis=0))
        distance, _ = cKDTree(images).query(points)
        return np.asarray(distance)

    def describe(self) -> str:
        """Description in one line, as '1000 x 700 um slab, 10 um thick, 100 x 70 voxels of 10 um'."""
        size = " x ".join(f"{length:g}" for length in self.extent[: self.dim])
        grid = " x ".join(str(n) for n in self.counts[: self.dim])
        body = f"slab, {self.thickness:g} um thick" if self.dim == 2 else "volume"
        return f"{size} um {body}, {grid} voxels of {self.voxel:g} um"


def grid_shape(size: Sequence[float], voxel: float) -> tuple[int, ...]:
    """Voxels along (y, x) or (z, y, x) for a size (x, y[, z]) in um that voxels divide evenly.

    Raises
    ------
    ValueError
        If a length is not a whole number of voxels.
    """
    counts = []
    for name, length in zip("xyz", size, strict=False):
        n = round(length / voxel)
        if n < 1 or abs(n * voxel - length) > 1e-9 * length:
            low = max(1, int(length // voxel)) * voxel
            raise ValueError(
                f"length {length:g} um along {name} is not a whole number of {voxel:g} um voxels; "
                f"{low:g} um or {low + voxel:g} um would be"
            )
        counts.append(n)
    return tuple(reversed(counts))
