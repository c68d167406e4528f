"""Arrangements of cells: random, regular and clustered; overlaps of cells.

Every function takes and returns plain arrays: positions are (n, 3) float64, columns x, y, z, in um.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exoabm.errors import InputError
from exoabm.kernels.sphere_mechanics import add_separated, link_points
from exoabm.scenario.region import CHUNK, Positions, Region, grid_points, shell_measure

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

PLACEMENTS, NEARLY = 20, 0.05
"""Most placements of points that nearly fit, and the share left over that calls for another one; assumed."""
JAMMING = {2: 0.547, 3: 0.384}
"""Fraction that random sequential addition of equal discs or spheres can reach, at most.

Source: Torquato S, Uche OU, Stillinger FH, Phys. Rev. E 2006;74:061308.
"""
NOT_PERIODIC = (0.0, 0.0, 0.0)
"""The period of a space without periodic faces."""


class Overlap(NamedTuple):
    """Number of cells that overlap another one, and the least distance between two centers in um."""

    cells: int
    least_distance: float


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
    period: ArrayLike = NOT_PERIODIC,
) -> Positions:
    """Place `n` points at random with a least distance |p_i - p_j| >= (s_i + s_j) / 2.

    Random sequential addition: uniform candidates are tried one after the other and accepted if
    they are free. Where spacings differ, the widest are placed first. About 200 candidates per
    point are tried, which reaches a packing fraction of 0.52 in the plane and 0.35 in space. Where
    all but a twentieth of the points fit, the placement is repeated up to 20 times.

    Parameters
    ----------
    n
        Number of points.
    spacing
        s in um, one for all or one per point (n,): the diameter that a cell excludes.
    region, margin
        Where centers may lie, at least `margin` um inside; with the radius, whole cells lie inside.
    rng
        The source of random numbers.
    taken, taken_radii
        Points (m, 3) already placed, in or near the region, and their radii in um, (m,) or one for
        all; by default half of the largest spacing.
    period
        Lengths (3,) in um of periodic axes, 0 for others; distances are those to the nearest image.

    Returns
    -------
    (n, 3) positions in um.

    Raises
    ------
    InputError
        If a number is invalid, or the points do not fit.

    Notes
    -----
    Source: Widom B, J. Chem. Phys. 1966;44:3888.
    """
    n = _count(n)
    radii = np.broadcast_to(_positive("the spacing", spacing) / 2.0, (n,))
    if n == 0:
        return np.empty((0, 3))
    order = np.argsort(-radii, kind="stable")
    old, old_radii = _taken(taken, float(radii.max()) if taken_radii is None else taken_radii)
    points = np.concatenate([old, np.zeros((n, 3))])
    all_radii = np.concatenate([old_radii, radii[order]])
    for _ in range(PLACEMENTS):
        count = _add_at_random(points, all_radii, len(old), region, rng, margin, period)
        if len(points) - count not in range(1, int(NEARLY * n) + 1):
            break
    if count < len(points):
        raise InputError(_does_not_fit(count - len(old), n, radii, region, old, old_radii))
    placed = np.empty((n, 3))
    placed[order] = points[len(old) :]
    return placed


def _taken(points: ArrayLike | None, radii: ArrayLike) -> tuple[Positions, NDArray[np.float64]]:
    """Points (m, 3) already placed, and their radii (m,)."""
    old = np.empty((0, 3)) if points is None else np.asarray(points, dtype=float).reshape(-1, 3)
    old_radii = np.broadcast_to(np.asarray(radii, dtype=float), (len(old),))
    if not (np.isfinite(old).all() and np.isfinite(old_radii).all() and (old_radii >= 0.0).all()):
        raise InputError("the points already taken must be finite, their radii at least 0")
    return old, old_radii


def _add_at_random(
    points: Positions,
    radii: NDArray[np.float64],
    count: int,
    region: Region,
    rng: np.random.Generator,
    margin: float,
    period: ArrayLike,
) -> int:
    """Fill rows of ``points`` from ``count`` on by random sequential addition; returns the rows filled."""
    low, high = region.bounds(margin)
    extent = high - low
    n = len(points) - count
    reach = radii[count:].max() + radii.max()
    # At least the reach, so that neighboring bins suffice; otherwise about one point per bin.
    roomy = float(np.prod(extent[: region.dim]) / len(points)) ** (1.0 / region.dim)
    edge = max(reach, roomy, extent.max() / 1024)
    head = np.full(tuple((extent[::-1] / edge).astype(int) + 1), -1, dtype=np.int64)
    link = np.full(len(points), -1, dtype=np.int64)
    link_points(points, 0, count, head, link, low, 1.0 / edge)
    images = _images(period)
    budget = 200 * n + 100_000
    while count < len(points) and budget > 0:
        m = min(CHUNK, budget, 2 * (len(points) - count) + 1024)
        candidates = region.draw(m, rng, margin)
        count = add_separated(points, radii, count, candidates, images, head, link, low, 1.0 / edge)
        budget -= m
    return count


def _images(period: ArrayLike) -> Positions:
    """Displacements (k, 3) from a point to itself, first, and to its nearest images."""
    axes = [[0.0, -length, length] if length > 0.0 else [0.0] for length in np.asarray(period, dtype=float)]
    return grid_points([np.array(axis) for axis in axes])


def neighbors(positions: Positions, period: ArrayLike = NOT_PERIODIC) -> cKDTree:
    """Tree of the points (n, 3) with distances to nearest images; its data are the points wrapped inside."""
    from scipy.spatial import cKDTree

    length = np.asarray(period, dtype=float)
    around = np.where(length > 0.0, length, np.inf)
    inside = positions - length * np.floor(positions / around)
    # A rounding error below 0 gives the period itself, which is 0.
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
    size = sum(shell_measure(0.0, float(r), region.dim) for r in np.concatenate([radii, inside]))
    beside = f" beside the {len(inside)} already placed" if len(inside) else ""
    return (
        f"only {placed} of {n} cells fit{beside}: at {2.0 * radii.mean():g} um apart they need "
        f"a packing fraction of {size / region.size():.2f} of the "
        f"{'area' if region.dim == 2 else 'volume'}, and random placement reaches about "
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
        Number of points, and the distance between neighbors in um.
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
        If the points do not fit, or a cubic lattice is requested in 2-D.
    """
    n = _count(n)
    _positive("the spacing", spacing)
    if n == 0:
        return np.empty((0, 3))
    if kind not in ("square", "hexagonal", "cubic"):
        raise InputError(f"lattice kind {kind!r}: one of square, hexagonal, cubic")
    if kind == "cubic" and region.dim == 2:
        raise InputError("a cubic lattice needs a 3-D domain; use square or hexagonal")
    steps = spacing * np.array([1.0, math.sqrt(0.75) if kind == "hexagonal" else 1.0, 1.0])
    low, high, most = _lattice_bounds(spacing, steps, region, kind, margin)
    sites = _smallest_block(n, most, lambda counts: _sites(counts, steps, region, kind, margin, low, high))
    if len(sites) < n:
        raise InputError(
            f"only {len(sites)} of {n} cells fit on a {kind} lattice {spacing:g} um apart; "
            "ask for fewer cells, a smaller spacing or a larger region"
        )
    # Rounded, so that sites at equal distance stay in row order in spite of rounding errors.
    distance = np.round(((sites - (low + high) / 2.0) ** 2).sum(axis=1) / spacing**2, 6)
    return sites[np.sort(np.argsort(distance, kind="stable")[:n])]


def _lattice_bounds(
    spacing: float, steps: NDArray[np.float64], region: Region, kind: str, margin: float
) -> tuple[Positions, Positions, NDArray[np.int64]]:
    """Corners (3,) of the box around the lattice, and the largest number of sites along each axis, (3,)."""
    low, high = region.bounds(margin)
    if region.center is not None:
        reach = np.minimum(region.middle - low, high - region.middle)
        if (reach < 0).any():
            raise InputError("the center of a lattice lies outside the region that it fills")
        low, high = region.middle - reach, region.middle + reach
    room = high - low
    if kind == "hexagonal" and room[1] >= steps[1]:
        room[0] = max(room[0] - spacing / 2.0, 0.0)  # every other row is shifted by half a step
    # With a small tolerance: a box of exactly k steps holds k + 1 sites.
    most = (room / steps * (1.0 + 1e-12)).astype(int) + 1
    if kind != "cubic":
        most[2] = 1
    return low, high, most


def _smallest_block(
    n: int, most: NDArray[np.int64], sites_of: Callable[[NDArray[np.int64]], Positions]
) -> Positions:
    """Sites inside the region of the smallest block with ``n`` of them, or of the largest block."""
    side = bisect_left(range(int(most.max())), n, key=lambda side: math.prod(min(int(m), side) for m in most))
    counts = np.minimum(most, side)
    if math.prod(map(int, counts)) >= n:
        for axis in (2, 1):  # an incomplete block loses whole layers and rows before corners
            counts[axis] = -(-n * int(counts[axis]) // math.prod(map(int, counts)))
    sites = sites_of(counts)
    while len(sites) < n and side < most.max():
        side = max(side + 1, side * 9 // 8)
        sites = sites_of(np.minimum(most, side))
    return sites


def _sites(
    counts: NDArray[np.int64],
    steps: NDArray[np.float64],
    region: Region,
    kind: str,
    margin: float,
    low: Positions,
    high: Positions,
) -> Positions:
    """Sites of a block in the middle of the box that lie inside the region."""
    sites = np.clip(_block(counts, steps, kind == "hexagonal") + (low + high) / 2.0, low, high)
    return sites[region.contains(sites, margin - 1e-9 * float(steps[0]))]


def _block(counts: NDArray[np.int64], steps: NDArray[np.float64], staggered: bool) -> Positions:
    """Sites of a block around the origin, x fastest; staggered rows shift by half a step."""
    sites = grid_points([np.arange(float(c)) for c in counts])
    if staggered:
        sites[:, 0] += 0.5 * (sites[:, 1] % 2.0)
    sites *= steps
    sites -= sites.max(axis=0) / 2.0
    return sites


def cluster(n: int, center: tuple[float, float, float], spacing: float, dim: Literal[2, 3]) -> Positions:
    """Place `n` points as a dense disc (hexagonal, 2-D) or spheroid (face-centered cubic, 3-D).

    The sites nearest to the center, nearest first, the first at the center itself. Distances are
    compared as whole numbers, i^2 + i j + j^2 or i^2 + j^2 + k^2, so that ties are broken alike
    on every machine: by z, then y, then x.

    Parameters
    ----------
    n
        Number of points.
    center
        Center, um.
    spacing
        Distance between neighbors in um.
    dim
        2 or 3.

    Returns
    -------
    (n, 3) positions in um.

    Raises
    ------
    InputError
        If a number is invalid.
    """
    n = _count(n)
    _positive("the spacing", spacing)
    if dim not in (2, 3):
        raise InputError(f"a cluster has 2 or 3 dimensions, not {dim}")
    # Radius, in spacings, of a disc or ball of n sites, plus one for its irregular edge.
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
        If a row does not consist of two or three finite numbers; names the row, counted from 1.
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


def overlaps(positions: ArrayLike, radii: ArrayLike, period: ArrayLike = NOT_PERIODIC) -> Overlap:
    """Count the cells i with |p_i - p_j| < r_i + r_j for some other cell j.

    Cells in contact, to 1e-9 of the sum of radii, do not overlap.

    Parameters
    ----------
    positions
        (n, 3), um.
    radii
        (n,) or one for all, um.
    period
        Lengths (3,) in um of periodic axes, 0 for others.

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
    distance = np.empty(n)
    order = tree.indices  # cells that are close follow each other, so that the nodes they visit are in cache
    distance[order] = np.asarray(tree.query(tree.data[order], k=2)[0])[:, 1]
    # Certain below the sum with the smallest radius; undecided up to that with the largest.
    overlapping = distance < r + r.min()
    for i in np.flatnonzero(~overlapping & (distance < r + r.max())):
        near = np.array(tree.query_ball_point(tree.data[i], r[i] + r.max()))
        near = near[near != i]
        way = p[near] - p[i]
        way -= length * np.round(way / np.where(length > 0.0, length, np.inf))
        gap = np.sqrt((way**2).sum(axis=1)) - r[near] - r[i]
        overlapping[i] = bool((gap < 0.0).any())
    return Overlap(int(overlapping.sum()), float(distance.min()))
