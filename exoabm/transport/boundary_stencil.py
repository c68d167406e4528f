r"""Uptake stencils of cells at faces of the domain and at obstacles.

Of a membrane that crosses a face, or reaches into or behind an obstacle, only the share f that lies inside
and in sight of the center takes up and releases. A closed face is a mirror, so that in still medium

    1 / k_eff = 1 / (f k_a) + R,    R = 1/(4 pi D a) sum_m phi(d_m / a),

over the images m of the cell (itself among them), d_m their distances from it; phi as in
``boundary_resistance``. The stencil is centered at the middle of the membrane inside.

At open and held faces images change the sign, and uptake is proportional to the concentration c of a gradient
at the face, averaged over the membrane. c and R are solved in ``boundary_resistance``; the stencil is placed
where the gradient attains c. The lattice adds the same sum with its own Green's function over the voxels of
the stencil, with R' its part and c' the mean of the gradient on it, and kappa compensates the difference,

    1 / kappa = (c' / c) (1 / (f k_a) + R) - R'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exoabm.kernels import line_of_sight
from exoabm.transport.boundary_resistance import (
    REFLECTIONS,
    closed_resistance,
    inside,
    nearest_open_side,
    open_boundary,
)
from exoabm.transport.membrane_geometry import NO_OFFSET, Key
from exoabm.transport.uptake_stencil import (
    UptakeStencil,
    continuum_potential,
    lattice_around,
    lattice_green,
    rounded,
    solve_stencil,
    transmissibility,
)

if TYPE_CHECKING:
    from exoabm.cell_type import CellType
    from exoabm.domain import Domain
    from exoabm.transport.membrane_geometry import MembraneGeometry

DENSE = 1000
"""Voxels of a stencil above which the lattice resolves the sphere and is not corrected."""
NO_BOUNDARY = ((-1, 0),) * 6
"""Key of a cell far from all boundaries; see `Key`."""
NO_ROWS, NO_CENTER = np.empty(0, np.int64), np.empty((0, 3), np.int64)
"""Of stencils that are not yet those of certain cells."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class BoundaryStencils(NamedTuple):
    """Stencils of m cells at boundaries, alike but for their weights; see `solve_stencil`."""

    rows: Ints
    """(m,) the cells."""
    center: Ints
    """(m, 3) their central voxels."""
    offsets: Ints
    weight: Floats
    kappa: Floats
    """Of each size class, (S, m)."""
    release_offsets: Ints
    release_weight: Floats
    """(m, release offsets)"""


def boundary_stencils(
    domain: Domain,
    cell_type: CellType,
    kind: int,
    diffusivities: Floats,
    mean: float,
    walls: MembraneGeometry,
    rows: Ints,
) -> Iterator[BoundaryStencils]:
    """Stencils of cells (rows) of one type and place of equal diffusivity at boundaries, for a vesicle kind.

    ``diffusivities`` (S,) are those of the size classes, the slowest first; ``mean`` determines release.
    """
    cell = _Cell(
        domain.dim,
        cell_type.diameter / 2,
        float(cell_type.uptake_rate[kind]),
        tuple(np.asarray(diffusivities, float).tolist()),
        float(mean),
        domain.voxel,
        domain.thickness if domain.dim == 2 else None,
    )
    open_ = (walls.sign[rows] < 0).any(axis=1)
    for row in rows[open_].tolist():
        yield _beside_open(cell, walls, row)
    closed = rows[~open_]
    moved, center = walls.stands(closed), walls.place[closed]
    voxel = center + moved
    voxel = np.where(domain.period > 0, voxel % domain.counts, voxel)
    if domain.obstacle is not None:
        blocked = domain.obstacle.ravel()[domain.flat(voxel)]
        moved[blocked], voxel[blocked] = NO_OFFSET, center[blocked]
    for key, which in walls.keys(closed, moved):
        mine = closed[which]
        shares, distances = walls.share[mine].tobytes(), walls.distance[mine].tobytes()
        for part in _beside_closed(cell, key, shares, distances):
            yield part._replace(rows=mine[part.rows], center=voxel[which[part.rows]])


class _Cell(NamedTuple):
    """A type of cells for one vesicle kind; lengths in um."""

    dim: int
    radius: float
    k_a: float
    diffusivities: tuple[float, ...]
    mean: float
    voxel: float
    thickness: float | None

    @property
    def reach(self) -> float:
        """Its radius in voxels."""
        return self.radius / self.voxel

    def alone(self, level: int, diffusivity: float) -> UptakeStencil:
        """Stencil far from boundaries, with at least ``level`` + 1 shells."""
        return solve_stencil(
            dim=self.dim,
            radius=self.radius,
            uptake_rate=self.k_a,
            voxel=self.voxel,
            thickness=self.thickness,
            ball_of=self.diffusivities[0],
            diffusivity=diffusivity,
            least=level,
        )

    def solve(
        self, share: Floats, change: Callable[[int], tuple[float, float | Floats]]
    ) -> tuple[Ints, Floats]:
        """Shells of the ball, (m,), and kappa of each size, (S, m), of cells with the shares f (m,).

        ``change`` returns for a number of shells the factor of 1/(f k_a), and the resistance to add to that
        of `solve_stencil` for an isolated cell, in lattice units, of all or of each.
        """
        level = self.alone(0, self.mean).level
        levels, found = np.full(len(share), level), np.zeros((len(self.diffusivities), len(share)))
        some = np.flatnonzero(self.k_a * share > 0)
        conduct = np.array(
            [[transmissibility(self.dim, d, self.voxel, self.thickness)] for d in self.diffusivities]
        )
        lattice = lattice_around(self.dim, self.reach)
        while some.size:
            least = conduct / (share[some] * self.k_a) / 2  # as in `solve_stencil`
            kappa = np.array([[self.alone(level, d).kappa] for d in self.diffusivities])
            more, added = change(level)
            added = np.broadcast_to(added, len(share))[some]
            resistance = conduct / kappa + conduct / self.k_a * (more / share[some] - 1) + added
            last = level + 1 == lattice.levels or lattice.size(level) > DENSE
            done = (resistance >= least).all(axis=0) | last
            levels[some] = level
            found[:, some[done]] = _rounded(conduct / np.maximum(resistance, least)[:, done])
            some, level = some[~done], level + 1
        return levels, found


def _rounded(values: Floats) -> Floats:
    """`rounded`, of an array."""
    return np.array([rounded(v) for v in values.ravel().tolist()]).reshape(values.shape)


@lru_cache(maxsize=64)  # arrays of all cells of a group, which never come again where cells move
def _beside_closed(cell: _Cell, walls: Key, shares: bytes, distances: bytes) -> list[BoundaryStencils]:
    """At closed boundaries that are as many voxels away from all cells: uniform on the part of a ball inside.

    ``shares`` (m,) and ``distances`` (m, 6) are arrays of float64 as bytes; rows count from 0.
    """
    share, distance = np.frombuffer(shares), np.frombuffer(distances).reshape(-1, 6)
    dim, reach = cell.dim, cell.reach
    lattice, true = lattice_around(dim, reach), closed_resistance(dim, reach, distance / cell.voxel)

    def change(level: int) -> tuple[float, float | Floats]:
        if lattice.size(level) > DENSE:
            return 1.0, 0.0
        own = _mean(dim, reach, level, -1, walls) - _mean(dim, reach, level, -1, NO_BOUNDARY)
        return 1.0, true - continuum_potential(dim, reach) - own

    levels, kappa = cell.solve(share, change)
    shells, found = [n for n in range(lattice.levels) if len(_inside(dim, reach, n, n, walls))], []
    for level in np.unique(levels).tolist():
        mine = np.flatnonzero(levels == level)
        offsets = _inside(dim, reach, 0, level, walls)
        evenly = np.full(len(offsets), 1 / len(offsets))
        potential = partial(_mean, dim, reach, level, walls=walls)
        for which, rings in _between_shells(shells, potential, true[mine]):
            sites = [_inside(dim, reach, n, n, walls) for n, _ in rings]
            weight = [
                np.repeat(part[:, None] / len(v), len(v), 1)
                for v, (_, part) in zip(sites, rings, strict=True)
            ]
            at, released = mine[which], (np.concatenate(sites), np.concatenate(weight, axis=1))
            found.append(BoundaryStencils(at, NO_CENTER, offsets, evenly, kappa[:, at], *released))
    return found


def _beside_open(cell: _Cell, walls: MembraneGeometry, row: int) -> BoundaryStencils:
    """Of one cell at open and held faces, and closed ones that meet them."""
    place = walls.middle[row].tolist(), walls.point[row].tolist(), walls.distance[row].tolist()
    key, share = walls.key(row, NO_OFFSET), float(walls.share[row])
    stencil = _solve_open(cell, key, share, *map(tuple, place), bool(walls.held[row]))
    return stencil._replace(rows=np.array([row]), center=walls.place[row][None])


@lru_cache(maxsize=16384)
def _solve_open(
    cell: _Cell,
    walls: Key,
    share: float,
    middle: tuple[float, ...],
    point: tuple[float, ...],
    away: tuple[float, ...],
    held: bool,
) -> BoundaryStencils:
    """See `_beside_open`."""
    dim, reach = cell.dim, cell.reach
    lattice, sign = lattice_around(dim, reach), [s for _, s in walls]
    distance = np.array(away) / cell.radius
    opening = open_boundary(dim, distance.tolist(), sign)
    there = float(inside(line_of_sight.sphere_directions(dim), distance.tolist()).mean())
    unit = 1 / (4 * np.pi * reach) if dim == 3 else 1 / (2 * np.pi)
    true = unit * (opening.even if held else opening.slope) / there
    nearby = (np.array(middle) / cell.radius).tolist()
    stands = _open_placement(reach, walls, distance, nearby, point, opening.mean / there)

    def pattern(sites: Ints) -> Floats:
        return np.ones(len(sites)) if held else stands.slope(sites)

    met = 1.0 if held else opening.mean / there

    @lru_cache
    def uptake(level: int) -> tuple[Ints, Floats, Floats, float]:
        """Voxels, their weights, their share of what is captured, and c' / c."""
        sites, weight = stands.ball(lattice.voxels(0, level))
        here = weight * pattern(sites)
        return sites, weight, here / here.sum(), float(here.sum()) / met

    def change(level: int) -> tuple[float, float | Floats]:
        sites, weight, flux, more = uptake(level)
        if lattice.size(level) > DENSE:
            return more, (more - 1) * true
        own = float(weight @ _potential(dim, sites, flux, sites, walls)) - _mean(
            dim, reach, level, -1, NO_BOUNDARY
        )
        return more, more * true - continuum_potential(dim, reach) - own

    levels, kappa = cell.solve(np.array([share]), change)
    sites, weight, flux, _ = uptake(int(levels[0]))

    @lru_cache
    def ring(shell: int) -> tuple[Ints, Floats]:
        return stands.ball(lattice.voxels(shell, shell))

    def potential(shell: int) -> float:
        return float(ring(shell)[1] @ _potential(dim, sites, flux, ring(shell)[0], walls))

    shells = (n for n in range(lattice.levels) if len(ring(n)[0]))
    ((_, rings),) = _between_shells(shells, potential, np.array([true]))
    at, released = _together([(*ring(n), float(part[0])) for n, part in rings])
    return BoundaryStencils(NO_ROWS, NO_CENTER, sites, weight, kappa, at, released[None])


class _OpenPlacement(NamedTuple):
    """Placement of a stencil at open faces, between voxels such that it attains the gradient."""

    reach: float
    walls: Key
    side: tuple[int, ...]
    """Nearest open or held face along each axis, -1 for none."""
    sites: list[tuple[Ints, float]]
    """Voxels relative to that of the center, and the part of the stencil there."""
    room: Floats
    """Voxels to either side along axes with such a face, (3,)."""

    def slope(self, sites: Ints) -> Floats:
        """c in voxels (n, 3) without the cell: product of distances from the faces, in radii."""
        slope = np.ones(len(sites))
        for axis, side in enumerate(self.side):
            if side >= 0:
                away = sites[:, axis] * (-1 if side % 2 else 1) + self.walls[side][0] + 0.5
                slope *= away / self.reach
        return slope

    def ball(self, offsets: Ints) -> tuple[Ints, Floats]:
        """Voxels and weights of a symmetric ball around each place."""
        offsets = offsets[(np.abs(offsets) <= self.room).all(axis=1)]
        rings = [(_within(offsets + stand, self.walls), part) for stand, part in self.sites]
        return _together(
            [(sites, np.ones(len(sites)), part / len(sites)) for sites, part in rings if len(sites)]
        )


def _open_placement(
    reach: float, walls: Key, distance: Floats, middle: Sequence[float], point: Sequence[float], mean: float
) -> _OpenPlacement:
    """Placement at which the gradient equals its mean over the membrane; lengths in radii."""
    sign = [s for _, s in walls]
    side = tuple(nearest_open_side(axis, distance.tolist(), sign) for axis in range(3))
    away = [distance[s] + (-middle[a] if s % 2 else middle[a]) for a, s in enumerate(side) if s >= 0]
    scale = (mean / float(np.prod(away))) ** (1 / len(away))
    ways: list[list[tuple[int, float]]] = []
    room = np.full(3, np.inf)
    for axis, s in enumerate(side):
        (low, _), (high, _) = walls[2 * axis : 2 * axis + 2]
        if s >= 0:
            x = scale * (distance[s] + (-middle[axis] if s % 2 else middle[axis])) * reach - walls[s][0] - 0.5
            x = -x if s % 2 else x
            first = int(np.floor(x))
            both = [(first, 1 - (x - first)), (first + 1, x - first)]
        else:
            both = [(int(np.floor(point[axis] + 0.5)), 1.0)]
        both = [(max(i, -low) if low >= 0 else i, part) for i, part in both if part > 0]
        both = [(min(i, high) if high >= 0 else i, part) for i, part in both]
        ways.append(both)
        if s >= 0:
            gaps = [i + low for i, _ in both if low >= 0] + [high - i for i, _ in both if high >= 0]
            room[axis] = min(gaps)
    sites = [
        (np.array([i for i, _ in way]), float(np.prod([part for _, part in way]))) for way in product(*ways)
    ]
    return _OpenPlacement(reach, walls, side, sites, room)


def _together(rings: Sequence[tuple[Ints, Floats, float]]) -> tuple[Ints, Floats]:
    """Union of rings of voxels, their weights, and the part of each ring in the whole."""
    if not rings:
        return np.empty((0, 3), np.int64), np.empty(0)
    sites = np.concatenate([ring[0] for ring in rings])
    weight = np.concatenate([weight * part for _, weight, part in rings])
    wide = 2 * int(np.abs(sites).max()) + 1
    _, first, which = np.unique(sites @ [1, wide, wide**2], return_index=True, return_inverse=True)
    return np.asarray(sites[first], np.int64), np.asarray(np.bincount(which, weight), float)


def images(walls: Key) -> list[tuple[tuple[int, int, int], ...]]:
    """Images of a voxel v relative to a cell's own, one (flip, shift, sign) per axis: flip v + shift."""
    return list(product(*[_axis_images(walls[2 * a], walls[2 * a + 1]) for a in range(3)]))


def _axis_images(low: tuple[int, int], high: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Images along one axis: itself, one mirror image, or the series between two walls."""
    (i, s), (j, t) = low, high
    if i < 0 and j < 0:
        return [(1, 0, 1)]
    if j < 0:
        return [(1, 0, 1), (-1, -1 - 2 * i, s)]
    if i < 0:
        return [(1, 0, 1), (-1, 1 + 2 * j, t)]
    n, found = i + j + 1, []
    for k in range(-REFLECTIONS, REFLECTIONS + 1):
        found.append((1, 2 * k * n, (s * t) ** abs(k)))
        if k > -REFLECTIONS:
            sign = t * (s * t) ** (k - 1) if k > 0 else s * (s * t) ** -k
            found.append((-1, -1 - 2 * i + 2 * k * n, sign))
    return found


@lru_cache(maxsize=4096)
def _inside(dim: int, reach: float, inner: int, outer: int, walls: Key) -> Ints:
    """Voxels of the shells from inner to outer inside all boundaries."""
    return _within(lattice_around(dim, reach).voxels(inner, outer), walls)


def _within(sites: Ints, walls: Key) -> Ints:
    """Voxels inside all boundaries."""
    inside = np.ones(len(sites), bool)
    for side, (between, _) in enumerate(walls):
        if between >= 0:
            along = sites[:, side // 2]
            inside &= along <= between if side % 2 else along >= -between
    return sites[inside]


def _potential(dim: int, source: Ints, share: Floats, target: Ints, walls: Key) -> Floats:
    """Potential at target voxels of a unit flux, shared by source voxels, and of its images."""
    ways = images(walls)
    far = max(abs(b) for way in ways for _, b, _ in way) + int(np.abs(source).max(initial=0))
    green = lattice_green(dim, max(far + int(np.abs(target).max(initial=0)), 1))
    total = np.zeros(len(target))
    for way in ways:
        flip, shift, sign = (np.array(v) for v in zip(*way, strict=True))
        apart = np.abs(target[:, None] - (flip * source + shift)[None])
        total += int(np.prod(sign)) * (green[apart[..., 0], apart[..., 1], apart[..., 2]] @ share)
    return total


@lru_cache(maxsize=4096)
def _mean(dim: int, reach: float, level: int, shell: int, walls: Key) -> float:
    """Mean over a shell (-1: the stencil) of the potential of a uniform flux, lattice units."""
    source = _inside(dim, reach, 0, level, walls)
    target = source if shell < 0 else _inside(dim, reach, shell, shell, walls)
    return float(_potential(dim, source, np.full(len(source), 1 / len(source)), target, walls).mean())


def _between_shells(
    shells: Iterable[int], potential: Callable[[int], float], surface: Floats
) -> Iterator[tuple[Ints, list[tuple[int, Floats]]]]:
    """The one or two shells between which the potential attains that at the membranes (m,), and their shares.

    Cells that have the same shells come together, as indices (k,); shares are (k,).
    """
    left, before, inner = np.arange(len(surface)), np.inf, -1
    for n in shells:
        here = potential(n)
        ends = here <= surface[left]
        which, left = left[ends], left[~ends]
        if which.size and inner < 0:
            yield which, [(n, np.ones(len(which)))]
        elif which.size:
            share = _rounded((before - surface[which]) / (before - here))
            yield which, [(at, part) for at, part in ((inner, 1 - share), (n, share)) if part.any()]
        before, inner = here, n
        if not left.size:
            return
    yield left, [(inner, np.ones(len(left)))]
