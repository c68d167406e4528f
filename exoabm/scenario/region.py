"""Regions in which cells are placed: a box, less what lies inside or outside circles or spheres."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exoabm.errors import InputError

Positions = NDArray[np.float64]
CHUNK = 65_536
"""Candidate points drawn at a time, at most."""
_HOPELESS = 2_000_000
_NO_ROOM = "no room: no free point of the region lies {:g} um inside its borders"


class Box(NamedTuple):
    """A box in um; in 2-D both corners have the z of the mid-plane."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True)
class Region:
    """The part of a box between two circles (2-D) or spheres (3-D) around `center`.

    Parameters
    ----------
    box
        The bounds; flat in z means 2-D, and z is then ignored.
    center
        Center of the circles, um; the middle of the box unless given.
    inner, outer
        Radii, um; the inner one alone excludes a disc or ball, the outer one alone selects it.
    blocked
        Marks points (n, 3) inside the bounds that are excluded, such as obstacles.

    Raises
    ------
    InputError
        If the box is inverted or not finite, or `inner` is not below `outer`.
    """

    box: Box
    center: tuple[float, float, float] | None = None
    inner: float = 0.0
    outer: float = math.inf
    blocked: Callable[[Positions], NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty region."""
        low, high = np.asarray(self.box, dtype=float)
        if not (np.isfinite([low, high]).all() and (low <= high).all() and (low < high)[:2].all()):
            raise InputError(f"a region from {self.box.low} to {self.box.high} um has no extent")
        if not 0.0 <= self.inner < self.outer:
            raise InputError(
                f"a region between radii {self.inner:g} and {self.outer:g} um is empty: "
                "the inner radius must be at least 0 and below the outer one"
            )
        if not np.isfinite(self.middle).all():
            raise InputError(f"the center of a region must be finite, not {self.center}")

    @property
    def dim(self) -> int:
        """Number of dimensions, 2 or 3."""
        return 2 if self.box.low[2] == self.box.high[2] else 3

    @property
    def middle(self) -> NDArray[np.float64]:
        """Center of the circles or spheres, (3,), um."""
        return np.asarray(np.mean(self.box, axis=0) if self.center is None else self.center)

    def contains(self, points: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Mark the `points` (n, 3) inside, `margin` um from every border, that are not blocked."""
        d = self.dim
        whole = np.atleast_2d(np.asarray(points, dtype=float))
        p = whole[:, :d]
        low, high = np.asarray(self.box, dtype=float)[:, :d]
        inside: NDArray[np.bool_] = ((p >= low + margin) & (p <= high - margin)).all(axis=1)
        if self.inner > 0.0 or self.outer < math.inf:
            distance = np.sqrt(((p - self.middle[:d]) ** 2).sum(axis=1))
            inside &= distance <= self.outer - margin
            if self.inner > 0.0:
                inside &= distance >= self.inner + margin
        if self.blocked is not None:
            inside[inside] = ~self.blocked(whole[inside])
        return inside

    def bounds(self, margin: float = 0.0) -> tuple[Positions, Positions]:
        """Corners (3,) of the smallest known box around all points that `margin` allows."""
        if not 0.0 <= margin < math.inf:
            raise InputError(f"the margin must be at least 0 and finite, not {margin}")
        low, high = np.array(self.box, dtype=float)
        d = self.dim
        low[:d] = np.maximum(low[:d] + margin, self.middle[:d] - self.outer + margin)
        high[:d] = np.minimum(high[:d] - margin, self.middle[:d] + self.outer - margin)
        if (low > high).any():
            raise InputError(_NO_ROOM.format(margin))
        return low, high

    def size(self) -> float:
        """Area in um^2 (2-D) or volume in um^3 (3-D).

        Exact for a box and for an annulus inside the box; otherwise, and with blocked parts, by
        the midpoint rule, to about 1 %.
        """
        d = self.dim
        low, high = (corner[:d] for corner in self.bounds())
        free = self.blocked is None
        if free and self.outer < math.inf and np.allclose(high - low, 2.0 * self.outer, rtol=1e-12):
            return shell_measure(self.inner, self.outer, d)
        size = float(np.prod(high - low))
        if free and self.inner == 0.0 and self.outer == math.inf:
            return size
        sites = 512 if d == 2 else 96
        ticks = [a + (np.arange(sites) + 0.5) * (b - a) / sites for a, b in zip(low, high, strict=True)]
        if d == 2:
            ticks.append(np.array([self.box.low[2]]))
        return size * float(self.contains(grid_points(ticks)).mean())

    def draw(self, n: int, rng: np.random.Generator, margin: float = 0.0) -> Positions:
        """Draw `n` points uniformly, `margin` um inside the borders; returns (n, 3).

        Rejection from the bounds or from the full annulus, whichever is smaller.

        Raises
        ------
        InputError
            If the region, less the margin, is empty.
        """
        d = self.dim
        low, high = self.bounds(margin)
        inner = self.inner + margin if self.inner > 0.0 else 0.0
        outer = self.outer - margin
        annular = outer < math.inf and shell_measure(inner, outer, d) < np.prod((high - low)[:d])
        points = np.empty((n, 3))
        found = proposed = 0
        while found < n:
            m = min(CHUNK, max(1024, 2 * (n - found)))
            if annular:
                p = self.middle + _directions(m, d, rng) * _shell_radii(m, inner, outer, d, rng)
                p[:, d:] = low[d:]
            else:
                p = low + rng.random((m, 3)) * (high - low)
            p = p[self.contains(p, margin)][: n - found]
            points[found : found + len(p)] = p
            found += len(p)
            proposed += m
            if found == 0 and proposed >= _HOPELESS:
                raise InputError(_NO_ROOM.format(margin))
        return points


def shell_measure(inner: float, outer: float, dim: int) -> float:
    """Measure of an annulus (2-D) or a spherical shell (3-D); 0 if inverted."""
    unit = math.pi if dim == 2 else 4.0 / 3.0 * math.pi
    return unit * max(outer**dim - inner**dim, 0.0)


def _shell_radii(n: int, inner: float, outer: float, dim: int, rng: np.random.Generator) -> Positions:
    """Radii (n, 1) with density ~ r^(dim - 1) between `inner` and `outer`."""
    r: Positions = (inner**dim + rng.random((n, 1)) * (outer**dim - inner**dim)) ** (1.0 / dim)
    return r


def _directions(n: int, dim: int, rng: np.random.Generator) -> Positions:
    """Uniform unit vectors (n, 3), in the plane z = 0 if `dim` is 2."""
    angle = rng.uniform(0.0, 2.0 * math.pi, n)
    z = rng.uniform(-1.0, 1.0, n) if dim == 3 else np.zeros(n)
    rim = np.sqrt(1.0 - z * z)
    return np.column_stack([rim * np.cos(angle), rim * np.sin(angle), z])


def grid_points(axes: Sequence[NDArray[np.float64]]) -> Positions:
    """Every combination of the coordinates in `axes`, one per row; the first axis varies fastest."""
    grids = np.meshgrid(*reversed(axes), indexing="ij")
    return np.column_stack([grid.ravel() for grid in reversed(grids)])
