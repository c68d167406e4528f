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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    from exoabm.state import State
    from exoabm.transport.membrane_geometry import MembraneGeometry

DENSE = 1000
"""Voxels of a stencil above which the lattice resolves the sphere and is not corrected."""
NO_BOUNDARY = ((-1, 0),) * 6
"""Key of a cell far from all boundaries; see `Key`."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BoundaryStencil:
    """Stencil of a cell at boundaries; see `solve_stencil`."""

    offsets: Ints
    weight: Floats
    kappa: Floats
    """Of each size class."""
    release_offsets: Ints
    release_weight: Floats


def boundary_stencil_of(
    state: State, kind: int, diffusivities: Floats, mean: float, walls: MembraneGeometry, row: int
) -> tuple[Ints, BoundaryStencil]:
    """Stencil of a cell (row) at boundaries for a vesicle kind: its central voxel, and its shape.

    ``diffusivities`` (S,) are those of the size classes, the slowest first; ``mean`` determines release.
    """
    domain, cell_type = state.domain, state.types[state.cells.type[row]]
    cell = _Cell(
        domain.dim,
        cell_type.diameter / 2,
        float(cell_type.uptake_rate[kind]),
        tuple(np.asarray(diffusivities, float).tolist()),
        float(mean),
        domain.voxel,
        domain.thickness if domain.dim == 2 else None,
        float(walls.share[row]),
        tuple(walls.distance[row].tolist()),
    )
    if (walls.sign[row] < 0).any():
        where = tuple(walls.middle[row].tolist()), tuple(walls.point[row].tolist())
        return walls.place[row], _beside_open(cell, walls.key(row, NO_OFFSET), *where, bool(walls.held[row]))
    moved = walls.stands(row)
    voxel = walls.place[row] + moved
    voxel = np.where(domain.period > 0, voxel % domain.counts, voxel)
    if domain.obstacle is not None and domain.obstacle.ravel()[domain.flat(voxel)]:
        moved, voxel = NO_OFFSET, walls.place[row]
    return voxel, _beside_closed(cell, walls.key(row, moved))


class _Cell(NamedTuple):
    """A cell for one vesicle kind; lengths in um."""

    dim: int
    radius: float
    k_a: float
    diffusivities: tuple[float, ...]
    mean: float
    voxel: float
    thickness: float | None
    share: float
    distance: tuple[float, ...]

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

    def solve(self, change: Callable[[int], tuple[float, float]]) -> tuple[int, Floats]:
        """Shells of the ball and kappa of each size, (S,).

        ``change`` returns for a number of shells the factor of 1/(f k_a), and the resistance to add to that
        of `solve_stencil` for an isolated cell, in lattice units.
        """
        level = self.alone(0, self.mean).level
        if self.k_a * self.share == 0:
            return level, np.zeros(len(self.diffusivities))
        conduct = np.array(
            [transmissibility(self.dim, d, self.voxel, self.thickness) for d in self.diffusivities]
        )
        least = conduct / (self.share * self.k_a) / 2  # as in `solve_stencil`
        lattice = lattice_around(self.dim, self.reach)
        while True:
            kappa = np.array([self.alone(level, d).kappa for d in self.diffusivities])
            more, added = change(level)
            resistance = conduct / kappa + conduct / self.k_a * (more / self.share - 1) + added
            last = level + 1 == lattice.levels or lattice.size(level) > DENSE
            if (resistance >= least).all() or last:
                return level, np.array([rounded(k) for k in conduct / np.maximum(resistance, least)])
            level += 1


@lru_cache(maxsize=16384)
def _beside_closed(cell: _Cell, walls: Key) -> BoundaryStencil:
    """At closed boundaries: uniform on the part of a ball inside."""
    dim, reach = cell.dim, cell.reach
    lattice, true = (
        lattice_around(dim, reach),
        closed_resistance(dim, reach, np.array(cell.distance) / cell.voxel),
    )

    def change(level: int) -> tuple[float, float]:
        if lattice.size(level) > DENSE:
            return 1.0, 0.0
        own = _mean(dim, reach, level, -1, walls) - _mean(dim, reach, level, -1, NO_BOUNDARY)
        return 1.0, true - continuum_potential(dim, reach) - own

    level, kappa = cell.solve(change)
    shells = (n for n in range(lattice.levels) if len(_inside(dim, reach, n, n, walls)))
    rings = _between_shells(shells, lambda n: _mean(dim, reach, level, n, walls), true)
    offsets = _inside(dim, reach, 0, level, walls)
    return BoundaryStencil(
        offsets,
        np.full(len(offsets), 1 / len(offsets)),
        kappa,
        *_together([(_inside(dim, reach, n, n, walls), part) for n, part in rings]),
    )


@lru_cache(maxsize=16384)
def _beside_open(
    cell: _Cell, walls: Key, middle: tuple[float, ...], point: tuple[float, ...], held: bool
) -> BoundaryStencil:
    """At open and held faces, and closed ones that meet them."""
    dim, reach = cell.dim, cell.reach
    lattice, sign = lattice_around(dim, reach), [s for _, s in walls]
    distance = np.array(cell.distance) / cell.radius
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

    def change(level: int) -> tuple[float, float]:
        sites, weight, flux, more = uptake(level)
        if lattice.size(level) > DENSE:
            return more, (more - 1) * true
        own = float(weight @ _potential(dim, sites, flux, sites, walls)) - _mean(
            dim, reach, level, -1, NO_BOUNDARY
        )
        return more, more * true - continuum_potential(dim, reach) - own

    level, kappa = cell.solve(change)
    sites, weight, flux, _ = uptake(level)

    @lru_cache
    def ring(shell: int) -> tuple[Ints, Floats]:
        return stands.ball(lattice.voxels(shell, shell))

    def potential(shell: int) -> float:
        return float(ring(shell)[1] @ _potential(dim, sites, flux, ring(shell)[0], walls))

    shells = (n for n in range(lattice.levels) if len(ring(n)[0]))
    rings = _between_shells(shells, potential, true)
    return BoundaryStencil(sites, weight, kappa, *_together([(*ring(n), part) for n, part in rings]))


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
        return _together([(sites, part) for sites, part in rings if len(sites)])


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


def _together(rings: Sequence[tuple[Ints, float] | tuple[Ints, Floats, float]]) -> tuple[Ints, Floats]:
    """Union of rings with weights that sum to 1; weights within a ring are uniform unless given."""
    if not rings:
        return np.empty((0, 3), np.int64), np.empty(0)
    sites = np.concatenate([ring[0] for ring in rings])
    weight = np.concatenate(
        [
            ring[1] * ring[2] if len(ring) == 3 else np.full(len(ring[0]), ring[1] / len(ring[0]))
            for ring in rings
        ]
    )
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
    shells: Iterable[int], potential: Callable[[int], float], surface: float
) -> list[tuple[int, float]]:
    """The two shells between which the potential attains that at the membrane, and their shares."""
    before, inner = np.inf, -1
    for n in shells:
        here = potential(n)
        if here <= surface:
            if inner < 0:
                return [(n, 1.0)]
            share = rounded((before - surface) / (before - here))
            return [(k, part) for k, part in ((inner, 1 - share), (n, share)) if part > 0]
        before, inner = here, n
    return [(inner, 1.0)]
