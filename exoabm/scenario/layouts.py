"""Where the cells stand when nobody has measured it: random, regular and clustered arrangements.

Every function takes and returns plain arrays: positions are (n, 3) float64, columns x, y, z, in um.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from exoabm.errors import InputError
from exoabm.kernels.sphere_mechanics import add_separated, link_points

Positions = NDArray[np.float64]

JAMMING = {2: 0.547, 3: 0.384}
"""Fraction that random sequential addition of equal discs or spheres can reach, at most.

Source: Torquato S, Uche OU, Stillinger FH, Phys. Rev. E 2006;74:061308.
"""
ENDLESS = (0.0, 0.0, 0.0)
"""The period of space that does not repeat itself."""
CHUNK = 65_536
HOPELESS = 2_000_000
NO_ROOM = "no room: no free point of the region lies {:g} um inside its borders"


class Box(NamedTuple):
    """A box in um; in 2-D both corners have the z of the mid-plane."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


class Overlap(NamedTuple):
    """How many cells overlap some other one, and the least distance of two centers in um."""

    cells: int
    least_distance: float


@dataclass(frozen=True)
class Region:
    """The part of a box between two circles (2-D) or spheres (3-D) around `center`.

    Parameters
    ----------
    box
        The bounds; flat in z means 2-D, and z is then not looked at.
    center
        Center of the circles, um; the middle of the box unless given.
    inner, outer
        Radii, um. The inner one alone cuts a hole, the outer one alone leaves a disc or ball.
    blocked
        Tells which points (n, 3) inside the bounds are not of the region, as obstacles are.

    Raises
    ------
    InputError
        If the box is inside out or not finite, or `inner` is not below `outer`.
    """

    box: Box
    center: tuple[float, float, float] | None = None
    inner: float = 0.0
    outer: float = math.inf
    blocked: Callable[[Positions], NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that hold nothing."""
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
        """Tell which `points` (n, 3) lie inside, `margin` um from every border, and are not blocked."""
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
            raise InputError(NO_ROOM.format(margin))
        return low, high

    def measure(self) -> float:
        """Area in um^2 (2-D) or volume in um^3 (3-D).

        Exact for a box and for an annulus inside the box; otherwise, and where something is blocked,
        the midpoint rule, to about 1 %.
        """
        d = self.dim
        low, high = (corner[:d] for corner in self.bounds())
        free = self.blocked is None
        if free and self.outer < math.inf and np.allclose(high - low, 2.0 * self.outer, rtol=1e-12):
            return _shell(self.inner, self.outer, d)
        size = float(np.prod(high - low))
        if free and self.inner == 0.0 and self.outer == math.inf:
            return size
        sites = 512 if d == 2 else 96
        ticks = [a + (np.arange(sites) + 0.5) * (b - a) / sites for a, b in zip(low, high, strict=True)]
        if d == 2:
            ticks.append(np.array([self.box.low[2]]))
        return size * float(self.contains(_product(ticks)).mean())

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
        annular = outer < math.inf and _shell(inner, outer, d) < np.prod((high - low)[:d])
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
            if found == 0 and proposed >= HOPELESS:
                raise InputError(NO_ROOM.format(margin))
        return points


def _shell(inner: float, outer: float, dim: int) -> float:
    """Measure of an annulus (2-D) or a spherical shell (3-D); 0 if inside out."""
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


def _product(axes: Sequence[NDArray[np.float64]]) -> Positions:
    """Every combination of the coordinates in `axes`, one a row; the first axis runs fastest."""
    grids = np.meshgrid(*reversed(axes), indexing="ij")
    return np.column_stack([grid.ravel() for grid in reversed(grids)])


def _count(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise InputError(f"the number of cells must be a whole number of at least 0, not {n!r}")
    return int(n)


def _positive(what: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if not (np.isfinite(array).all() and (array > 0.0).all()):
        raise InputError(f"{what} must be above 0 and finite, not {values!r}")
    return array


def poisson_disc(
    n: int,
    spacing: float | ArrayLike,
    region: Region,
    rng: np.random.Generator,
    taken: ArrayLike | None = None,
    *,
    taken_radii: ArrayLike | None = None,
    margin: float = 0.0,
    period: ArrayLike = ENDLESS,
) -> Positions:
    """Place `n` points at random that keep their distance: |p_i - p_j| >= (s_i + s_j) / 2.

    Random sequential addition: uniform candidates are tried one after the other and kept if they
    are free. Where spacings differ, the widest are placed first. About 200 candidates a point
    are tried, which fills the plane to 0.52, space to 0.35.

    Parameters
    ----------
    n
        How many points.
    spacing
        s in um, one for all or one a point (n,): the diameter that a cell keeps for itself.
    region, margin
        Where centers may lie, at least `margin` um inside; the radius keeps whole cells inside.
    rng
        The one source of randomness.
    taken, taken_radii
        Points (m, 3) that stand already, in or near the region, and their radii in um, (m,) or
        one for all; without radii they keep the largest spacing like the new ones.
    period
        Lengths (3,) in um after which space repeats itself along x, y, z, 0 where it does not;
        distances are then the shortest way around.

    Returns
    -------
    (n, 3) positions in um.

    Raises
    ------
    InputError
        If a number makes no sense, or the points do not fit.

    Notes
    -----
    Source: Widom B, J. Chem. Phys. 1966;44:3888.
    """
    n = _count(n)
    radii = np.broadcast_to(_positive("the spacing", spacing) / 2.0, (n,))
    if n == 0:
        return np.empty((0, 3))
    order = np.argsort(-radii, kind="stable")
    old = np.empty((0, 3)) if taken is None else np.asarray(taken, dtype=float).reshape(-1, 3)
    old_radii = np.broadcast_to(
        radii.max() if taken_radii is None else np.asarray(taken_radii, dtype=float), (len(old),)
    )
    if not (np.isfinite(old).all() and np.isfinite(old_radii).all() and (old_radii >= 0.0).all()):
        raise InputError("the points already taken must be finite, their radii at least 0")

    low, high = region.bounds(margin)
    all_radii = np.concatenate([old_radii, radii[order]])
    points = np.concatenate([old, np.zeros((n, 3))])
    reach = radii.max() + all_radii.max()
    extent = high - low
    # At least the reach, so that neighbors suffice; otherwise about one point a bin.
    roomy = float(np.prod(extent[: region.dim]) / len(points)) ** (1.0 / region.dim)
    edge = max(reach, roomy, extent.max() / 1024)
    head = np.full(tuple((extent[::-1] / edge).astype(int) + 1), -1, dtype=np.int64)
    link = np.full(len(points), -1, dtype=np.int64)
    link_points(points, 0, len(old), head, link, low, 1.0 / edge)

    images = _images(period)
    count, budget = len(old), 200 * n + 100_000
    while count < len(points) and budget > 0:
        m = min(CHUNK, budget, 2 * (len(points) - count) + 1024)
        candidates = region.draw(m, rng, margin)
        count = add_separated(points, all_radii, count, candidates, images, head, link, low, 1.0 / edge)
        budget -= m
    if count < len(points):
        raise InputError(_does_not_fit(count - len(old), n, radii, region, old, old_radii))
    placed = np.empty((n, 3))
    placed[order] = points[len(old) :]
    return placed


def _images(period: ArrayLike) -> Positions:
    """Moves (k, 3) from a point to itself, first, and to its nearest images."""
    axes = [[0.0, -length, length] if length > 0.0 else [0.0] for length in np.asarray(period, dtype=float)]
    return _product([np.array(axis) for axis in axes])


def neighbors(positions: Positions, period: ArrayLike = ENDLESS) -> cKDTree:
    """Tree of the points (n, 3) that measures around `period`; its data are the points brought inside."""
    length = np.asarray(period, dtype=float)
    around = np.where(length > 0.0, length, np.inf)
    inside = positions - length * np.floor(positions / around)
    # A hair below 0 comes out at the period itself, which is 0.
    return cKDTree(np.where(inside >= around, 0.0, inside), boxsize=length if length.any() else None)


def _does_not_fit(
    placed: int,
    n: int,
    radii: NDArray[np.float64],
    region: Region,
    old: Positions,
    old_radii: NDArray[np.float64],
) -> str:
    inside = old_radii[region.contains(old)] if len(old) else old_radii
    size = sum(_shell(0.0, float(r), region.dim) for r in np.concatenate([radii, inside]))
    beside = f" beside the {len(inside)} that stand there" if len(inside) else ""
    return (
        f"only {placed} of {n} cells fit{beside}: at {2.0 * radii.mean():g} um apart they ask for "
        f"a packing fraction of {size / region.measure():.2f} of the "
        f"{'area' if region.dim == 2 else 'volume'}, and cells placed at random reach about "
        f"{JAMMING[region.dim]:.2f}; ask for fewer cells, a smaller spacing or a larger region, "
        "or use a lattice, a cluster, or random points that may overlap"
    )


def random_points(n: int, region: Region, rng: np.random.Generator, *, margin: float = 0.0) -> Positions:
    """Place `n` points uniformly and independently, so cells may overlap; returns (n, 3) in um."""
    return region.draw(_count(n), rng, margin)


def lattice(
    n: int,
    spacing: float,
    region: Region,
    kind: Literal["square", "hexagonal", "cubic"] = "square",
    *,
    margin: float = 0.0,
) -> Positions:
    """Place `n` points on a regular lattice around the region's center, or else in the middle of its box.

    The smallest block, as near to a square or cube as the box allows, that has `n` sites inside the
    region; of these the `n` nearest to the middle, row by row. Square and hexagonal lattices
    lie in the mid-plane, in a 3-D box as well (a monolayer).

    Parameters
    ----------
    n, spacing
        How many points, and the distance of neighbors in um.
    region, margin
        Where centers may lie, at least `margin` um inside.
    kind
        Square, hexagonal, or cubic (3-D only).

    Returns
    -------
    (n, 3) positions in um.

    Raises
    ------
    InputError
        If the points do not fit, or a cubic lattice is asked for in 2-D.
    """
    n = _count(n)
    _positive("the spacing", spacing)
    if kind not in ("square", "hexagonal", "cubic"):
        raise InputError(f"lattice kind {kind!r}: one of square, hexagonal, cubic")
    if kind == "cubic" and region.dim == 2:
        raise InputError("a cubic lattice needs a 3-D domain; use square or hexagonal")
    if n == 0:
        return np.empty((0, 3))
    steps = spacing * np.array([1.0, math.sqrt(0.75) if kind == "hexagonal" else 1.0, 1.0])
    low, high = region.bounds(margin)
    if region.center is not None:
        reach = np.minimum(region.middle - low, high - region.middle)
        if (reach < 0).any():
            raise InputError("the center of a lattice lies outside the region that it fills")
        low, high = region.middle - reach, region.middle + reach
    room = high - low
    if kind == "hexagonal" and room[1] >= steps[1]:
        room[0] = max(room[0] - spacing / 2.0, 0.0)  # every other row is shifted by half a step
    # A hair of slack: a box of exactly k steps holds k + 1 sites.
    most = (room / steps * (1.0 + 1e-12)).astype(int) + 1
    if kind != "cubic":
        most[2] = 1

    def held(side: int) -> int:
        return math.prod(min(int(m), side) for m in most)

    def too_many(fit: int) -> InputError:
        return InputError(
            f"only {fit} of {n} cells fit on a {kind} lattice {spacing:g} um apart; "
            "ask for fewer cells, a smaller spacing or a larger region"
        )

    if math.prod(map(int, most)) < n:
        raise too_many(math.prod(map(int, most)))
    side = bisect_left(range(int(most.max())), n, key=held)
    counts = np.minimum(most, side)
    for axis in (2, 1):  # an incomplete block loses whole layers and rows before corners
        counts[axis] = -(-n * int(counts[axis]) // math.prod(map(int, counts)))
    middle = (low + high) / 2.0
    while True:
        sites = np.clip(_block(counts, steps, kind == "hexagonal") + middle, low, high)
        sites = sites[region.contains(sites, margin - 1e-9 * spacing)]
        if len(sites) >= n:
            break
        if side >= most.max():
            raise too_many(len(sites))
        side = max(side + 1, side * 9 // 8)
        counts = np.minimum(most, side)
    # Rounded, so that sites equally far stay in row order whatever their last bits say.
    distance = np.round(((sites - middle) ** 2).sum(axis=1) / spacing**2, 6)
    return sites[np.sort(np.argsort(distance, kind="stable")[:n])]


def _block(counts: NDArray[np.int64], steps: NDArray[np.float64], staggered: bool) -> Positions:
    """Sites of a block around the origin, x fastest; staggered rows shift by half a step."""
    sites = _product([np.arange(float(c)) for c in counts])
    if staggered:
        sites[:, 0] += 0.5 * (sites[:, 1] % 2.0)
    sites *= steps
    sites -= sites.max(axis=0) / 2.0
    return sites


def cluster(n: int, center: tuple[float, float, float], spacing: float, dim: Literal[2, 3]) -> Positions:
    """Place `n` points as a dense disc (hexagonal, 2-D) or spheroid (face-centered cubic, 3-D).

    The sites nearest to the center, nearest first, the first at the center itself. Distances are
    compared as whole numbers, i^2 + i j + j^2 or i^2 + j^2 + k^2, so ties break the same way
    everywhere: by z, then y, then x.

    Parameters
    ----------
    n
        How many points.
    center
        The middle, um.
    spacing
        Distance of neighbors in um.
    dim
        2 or 3.

    Returns
    -------
    (n, 3) positions in um.

    Raises
    ------
    InputError
        If a number makes no sense.
    """
    n = _count(n)
    _positive("the spacing", spacing)
    if dim not in (2, 3):
        raise InputError(f"a cluster has 2 or 3 dimensions, not {dim}")
    # Radius, in spacings, of a disc or ball of n sites; plus one, for the ragged rim.
    if dim == 2:
        reach = math.sqrt(n * math.sqrt(0.75) / math.pi) + 1.0
        ticks = np.arange(-math.ceil(reach / math.sqrt(0.75)), math.ceil(reach / 0.75**0.5) + 1)
        j, i = (a.ravel() for a in np.meshgrid(ticks, ticks, indexing="ij"))
        k = np.zeros_like(i)
        norm = i * i + i * j + j * j
        sites = np.column_stack([i + 0.5 * j, math.sqrt(0.75) * j, k])
    else:
        reach = (3.0 * n / (4.0 * math.pi * math.sqrt(2.0))) ** (1.0 / 3.0) + 1.0
        ticks = np.arange(-math.ceil(reach * math.sqrt(2.0)), math.ceil(reach * 2.0**0.5) + 1)
        k, j, i = (a.ravel() for a in np.meshgrid(ticks, ticks, ticks, indexing="ij"))
        even = (i + j + k) % 2 == 0
        i, j, k = i[even], j[even], k[even]
        norm = i * i + j * j + k * k
        sites = np.column_stack([i, j, k]) / math.sqrt(2.0)
    nearest = np.lexsort((i, j, k, norm))[:n]
    return np.asarray(center, dtype=float) + spacing * sites[nearest]


def points(rows: Iterable[Sequence[float]], z: float = 0.0) -> Positions:
    """Take positions as listed, (n, 3) in um; rows of two numbers get the given `z`.

    Raises
    ------
    InputError
        If a row has not two or three finite numbers; names the row, counted from 1.
    """
    placed = []
    for number, row in enumerate(rows, start=1):
        try:
            values = [float(value) for value in row]
        except (TypeError, ValueError):
            values = []
        if len(values) not in (2, 3) or not all(map(math.isfinite, values)):
            raise InputError(f"point {number} is {row!r}: two or three finite numbers in um")
        placed.append(values if len(values) == 3 else [*values, z])
    return np.array(placed, dtype=float).reshape(-1, 3)


def overlaps(positions: ArrayLike, radii: ArrayLike, period: ArrayLike = ENDLESS) -> Overlap:
    """Count the cells i with |p_i - p_j| < r_i + r_j for some other cell j.

    Cells that only touch, to 1e-9 of the sum, do not overlap.

    Parameters
    ----------
    positions
        (n, 3), um.
    radii
        (n,) or one for all, um.
    period
        Lengths (3,) in um after which space repeats itself along x, y, z, 0 where it does not.

    Returns
    -------
    The count, and the least distance of two centers (infinite for fewer than two cells).
    """
    p = np.asarray(positions, dtype=float).reshape(-1, 3)
    n = len(p)
    if n < 2:
        return Overlap(0, math.inf)
    r = np.broadcast_to(np.asarray(radii, dtype=float), (n,)) * (1.0 - 1e-9)
    length = np.asarray(period, dtype=float)
    tree = neighbors(p, length)
    distance = np.asarray(tree.query(tree.data, k=2)[0])[:, 1]
    # Nearer than even the smallest neighbor allows, or only than the largest would: look closer.
    overlapping = distance < r + r.min()
    for i in np.flatnonzero(~overlapping & (distance < r + r.max())):
        near = np.array(tree.query_ball_point(tree.data[i], r[i] + r.max()))
        near = near[near != i]
        way = p[near] - p[i]
        way -= length * np.round(way / np.where(length > 0.0, length, np.inf))
        gap = np.sqrt((way**2).sum(axis=1)) - r[near] - r[i]
        overlapping[i] = bool((gap < 0.0).any())
    return Overlap(int(overlapping.sum()), float(distance.min()))
