r"""Cells at the faces of the domain and at obstacles: how much of them is there, and how the lattice sees it.

Of a membrane that reaches over a face, or into or behind an obstacle, only the share f that lies inside and
in sight of the cell's center takes up and releases. A closed face is a mirror, at an open or held one the
image has the other sign, so that in still medium

    1 / k_eff = 1 / (f k_a) + R,    R = 1/(4 pi D a) sum_m s_m phi(d_m / a),

over the images m of the cell (itself among them), d_m their distances from it and s_m their signs. phi(d/a)
is a/d where cell and image stand apart; where a face cuts the cell it is the mean, on what is left of an
evenly charged sphere, of the potential of that and its image. The footprint stands around the middle of the
membrane that is there, so that it meets a gradient as that does. The lattice adds the same sum of its own
function over the voxels of the footprint that lie inside, and kappa makes up the difference (`footprint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipk

from exoabm.domain import Face
from exoabm.kernels import sight
from exoabm.transport.footprint import (
    FAR,
    continuum_potential,
    footprint,
    lattice_around,
    lattice_green,
    settled,
    transmissibility,
)

if TYPE_CHECKING:
    from exoabm.state import State

PIECES = 32
"""Pieces of a radius, from a center on a face to one a radius away, at which cut spheres are tabulated."""
POINTS = 256
"""Points of a quadrature over what is left of a cut sphere or circle; R is right to 4e-3."""
STEEPER = {2: (1.0, 0.77, 0.61, 0.48, 0.36, 0.24, 0.17), 3: (0.5, 0.37, 0.26, 0.175, 0.106, 0.059, 0.035)}
"""What a cell adds to the mean concentration on its membrane beside an open face, by a quarter of a radius.

From its center on the face on, over that of the slope alone at the same place; by finite differences.
"""
TURNS = 2
"""Times that images between two faces, or a face and an obstacle, go back and forth."""
DENSE = 1000
"""Voxels of a footprint from which the lattice is as fine as the sphere itself, and not corrected."""

NOTHING = ((-1, 0),) * 6
"""Of a cell far from all walls, what stands beside it; see `Key`."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[tuple[int, int], ...]
"""Voxels between a cell's and the wall on each side (-1: none), and the sign of the image there."""


@dataclass(frozen=True)
class Placement:
    """A cell of one type on the lattice beside walls: what `footprint` gives, for this place."""

    offsets: Ints
    weight: Floats
    kappa: Floats
    """Of each size class."""
    release_offsets: Ints
    release_weight: Floats


@dataclass(frozen=True)
class Walls:
    """What stands beside cells; arrays of their rows.

    Attributes
    ----------
    share : (n,)
        f, of the membrane.
    near : (n,) bool
        Whether a face or an obstacle is nearer than a radius and a voxel.
    place : (n, 3) int
        The voxel of the center.
    point : (n, 3)
        Where the footprint stands, in voxels from the middle of that one.
    distance, voxels, sign : (n, 6)
        From the center to the wall on each side, in um (infinite: none); the voxels between it and ``place``,
        -1 for none; and the image's sign.
    """

    share: Floats
    near: NDArray[np.bool_]
    place: Ints
    point: Floats
    distance: Floats
    voxels: Ints
    sign: Ints

    def stands(self, row: int) -> list[tuple[Ints, float]]:
        """Voxels from ``place`` to where a footprint stands, and the part of it there.

        Between two voxels along an axis with an open or held face, so that it meets a straight slope as the
        membrane does, and else in the one that is nearest.
        """
        ways: list[list[tuple[int, float]]] = []
        for axis in range(3):
            x = float(self.point[row, axis])
            most = int(self.voxels[row, 2 * axis + 1])
            least = -int(self.voxels[row, 2 * axis])
            if (self.sign[row, 2 * axis : 2 * axis + 2] < 0).any():
                first = int(np.floor(x))
                both = [(first, 1 - (x - first)), (first + 1, x - first)]
            else:
                both = [(int(np.floor(x + 0.5)), 1.0)]
            if least <= 0:
                both = [(max(i, least), part) for i, part in both]
            if most >= 0:
                both = [(min(i, most), part) for i, part in both]
            ways.append([(i, part) for i, part in both if part > 0])
        return [
            (np.array([i for i, _ in way]), float(np.prod([part for _, part in way])))
            for way in product(*ways)
        ]

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
    sight.shares(*state.domain.walls, center, radius, sight.directions(dim), share, middle)
    return share, middle


def walls_of(state: State) -> Walls:
    """What stands beside each cell; an obstacle straight ahead along an axis counts as a closed face."""
    domain, center = state.domain, np.ascontiguousarray(state.cells.position)
    radius = np.asarray(state.of_type("diameter") / 2)
    n = len(center)
    share, middle = _membranes(state)
    distance, voxels = np.full((n, 6), np.inf), np.full((n, 6), -1)
    sign = np.ones((n, 6), np.int64)
    place, counts = domain.voxel_of(center), domain.counts
    far = radius + domain.voxel
    for side in range(2 * domain.dim):
        axis, up = side // 2, side % 2
        closed = domain.faces[side] != Face.PERIODIC
        ahead = place.copy()
        for k in range(int(np.ceil(far.max(initial=0.0) / domain.voxel)) + 1):
            ahead[:, axis] = place[:, axis] + (k + 1 if up else -k - 1)
            beyond = (ahead[:, axis] < 0) | (ahead[:, axis] >= counts[axis])
            stops = beyond & closed
            if domain.obstacle is not None:
                inside = np.where(beyond[:, None], ahead % counts, ahead)
                stops |= ~stops & domain.obstacle.ravel()[domain.flat(inside)]
            wall = domain.low[axis] + (place[:, axis] + (k + 1 if up else -k)) * domain.voxel
            gap = np.abs(wall - center[:, axis])
            new = stops & (voxels[:, side] < 0) & ~np.isfinite(distance[:, side]) & (gap < far)
            distance[new, side], voxels[new, side] = gap[new], k
            sign[new & beyond & (domain.faces[side] == Face.FIXED), side] = -1
    sign[voxels < 0] = 0
    point = (center + middle - domain.low) / domain.voxel - place - 0.5
    point += _drawn_out(domain.dim, radius, distance, sign, middle) / domain.voxel
    point[:, domain.dim :] = 0.0
    return Walls(share, (voxels >= 0).any(axis=1) | (share < 1), place, point, distance, voxels, sign)


def _drawn_out(dim: int, radius: Floats, distance: Floats, sign: Ints, middle: Floats) -> Floats:
    """How much farther from open and held faces a cell meets what it would meet without its body, (n, 3) um.

    A slope that cannot go through a cell is steeper around it, by `STEEPER` at one such face. Where l of them
    meet the concentration is a product of slopes, and a sphere on all of them has (2 l + 1)/(l + 1), a circle
    2, to be shared by the axes.
    """
    more = np.zeros((len(radius), 3))
    number = np.maximum((sign < 0).reshape(-1, 3, 2).any(axis=2).sum(axis=1), 1)
    all_ = (2 * number + 1) / (number + 1) if dim == 3 else np.full(len(radius), 2.0)
    alone = 1.5 if dim == 3 else 2.0
    for side in np.flatnonzero((sign < 0).any(axis=0)):
        rows = np.flatnonzero(sign[:, side] < 0)
        axis, way = side // 2, -1.0 if side % 2 else 1.0
        t = distance[rows, side] / radius[rows]
        factor = np.interp(t, np.arange(len(STEEPER[dim])) / 4, STEEPER[dim])
        factor *= (all_[rows] ** (1 / number[rows]) - 1) / (alone - 1)
        more[rows, axis] += way * factor * (distance[rows, side] + way * middle[rows, axis])
    return more


def place_beside(
    state: State, kind: int, diffusivities: Floats, mean: float, walls: Walls, row: int
) -> list[tuple[Ints, float, Placement]]:
    """The footprint of a cell (row) beside walls for a vesicle kind: voxel, part there, shape.

    ``diffusivities`` (S,) are those of its sizes, the slowest first, ``mean`` the one that release goes by.
    """
    domain, found = state.domain, []
    cell_type = state.types[state.cells.type[row]]
    for moved, part in walls.stands(row):
        voxel = walls.place[row] + moved
        voxel = np.where(domain.period > 0, voxel % domain.counts, voxel)
        if domain.obstacle is not None and domain.obstacle.ravel()[domain.flat(voxel)]:
            moved, voxel = np.zeros(3, np.int64), walls.place[row]
        shape = _placement(
            domain.dim,
            cell_type.diameter / 2,
            float(cell_type.uptake_rate[kind]),
            tuple(np.asarray(diffusivities, float).tolist()),
            float(mean),
            domain.voxel,
            domain.thickness if domain.dim == 2 else None,
            walls.key(row, moved),
            tuple(walls.distance[row].tolist()),
            float(walls.share[row]),
        )
        found.append((voxel, part, shape))
    return found


@lru_cache(maxsize=16384)
def _placement(
    dim: int,
    radius: float,
    k_a: float,
    diffusivities: tuple[float, ...],
    mean: float,
    voxel: float,
    thickness: float | None,
    walls: Key,
    distance: tuple[float, ...],
    share: float,
) -> Placement:
    """See ``place_beside``; lengths in um."""
    place = partial(
        footprint,
        dim=dim,
        radius=radius,
        uptake_rate=k_a,
        voxel=voxel,
        thickness=thickness,
        ball_of=diffusivities[0],
    )
    reach = radius / voxel
    lattice, sign = lattice_around(dim, reach), [s for _, s in walls]
    true = _resistance(dim, reach, [d / voxel for d in distance], sign)
    level, kappa = place(diffusivity=mean).level, np.zeros(len(diffusivities))
    if k_a * share > 0:
        conduct = np.array([transmissibility(dim, d, voxel, thickness) for d in diffusivities])
        least = conduct / (share * k_a) / 2  # as in `footprint`
        while True:
            alone = np.array([place(diffusivity=d, least=level).kappa for d in diffusivities])
            fine = lattice.size(level) > DENSE
            change = true - continuum_potential(dim, reach)
            if not fine:
                change -= _own(dim, reach, level, walls) - _own(dim, reach, level, NOTHING)
            resistance = conduct / alone + conduct / k_a * (1 / share - 1) + change
            if fine or (resistance >= least).all() or level + 1 == lattice.levels:
                break
            level += 1
        kappa = np.array([settled(k) for k in conduct / np.maximum(resistance, least)])
    offsets = _inside(dim, reach, 0, level, walls)
    rings = _release(dim, reach, level, walls, true)
    return Placement(
        offsets,
        np.full(len(offsets), 1 / len(offsets)),
        kappa,
        np.concatenate([ring for ring, _ in rings]),
        np.concatenate([np.full(len(ring), part / len(ring)) for ring, part in rings]),
    )


def images(walls: Key) -> list[tuple[tuple[int, int, int], ...]]:
    """Images of a voxel v relative to a cell's own, one (flip, shift, sign) per axis: flip v + shift."""
    return list(product(*[_axis_images(walls[2 * a], walls[2 * a + 1]) for a in range(3)]))


def _axis_images(low: tuple[int, int], high: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Of one axis: itself, mirrored at one wall, or back and forth between two."""
    (i, s), (j, t) = low, high
    if i < 0 and j < 0:
        return [(1, 0, 1)]
    if j < 0:
        return [(1, 0, 1), (-1, -1 - 2 * i, s)]
    if i < 0:
        return [(1, 0, 1), (-1, 1 + 2 * j, t)]
    n, found = i + j + 1, []
    for k in range(-TURNS, TURNS + 1):
        found.append((1, 2 * k * n, (s * t) ** abs(k)))
        if k > -TURNS:
            sign = t * (s * t) ** (k - 1) if k > 0 else s * (s * t) ** -k
            found.append((-1, -1 - 2 * i + 2 * k * n, sign))
    return found


def _resistance(dim: int, radius: float, distance: list[float], sign: list[int]) -> float:
    """R in lattice units, lengths in voxels; see the module."""
    axes, cut = [], []
    for axis in range(3):
        (low, high), (s, t) = distance[2 * axis : 2 * axis + 2], sign[2 * axis : 2 * axis + 2]
        ends = [(low, s, -1.0), (high, t, 1.0)]
        seen = [end for end in ends if np.isfinite(end[0])]
        if len(seen) == 1 and seen[0][1] < 0:
            cut.append(float(seen[0][0]) / radius)
        if len(seen) < 2:
            axes.append([(0.0, 1)] + [(2 * way * d, int(s)) for d, s, way in seen])
            continue
        length, both, found = low + high, int(s * t), []
        for k in range(-TURNS, TURNS + 1):
            found.append((2 * k * length, both ** abs(k)))
            if k > -TURNS:
                found.append((-2 * low + 2 * k * length, int(t * both ** (k - 1) if k > 0 else s * both**-k)))
        axes.append(found)
    total, whole = 0.0, 0
    for image in product(*axes):
        s = int(np.prod([s for _, s in image]))
        whole += s
        total += s * _between(dim, float(np.linalg.norm([d for d, _ in image])) / radius)
    total += _cut_by_open_faces(dim, axes, cut, radius)
    if dim == 3:
        return total / (4 * np.pi * radius)
    return (total + whole * float(np.log(FAR / radius))) / (2 * np.pi)


def _cut_by_open_faces(
    dim: int, axes: list[list[tuple[float, int]]], cut: list[float], radius: float
) -> float:
    """What is added to the sum where open faces cut cells, for the cell and its images at closed ones."""
    if not any(t < 1 for t in cut):
        return 0.0
    pair = 1.0 if dim == 3 else 1 / (2 * np.log(2))  # of two faces, log potentials are half the product
    right = pair ** (len(cut) - 1) * float(np.prod([_beside_open(dim, t) for t in cut]))
    ways = list(product(*[((0.0, 1), (2 * t, -1)) for t in cut]))
    got = sum(
        int(np.prod([s for _, s in way])) * _between(dim, float(np.linalg.norm([d for d, _ in way])))
        for way in ways
    )
    closed = [[(d, s) for d, s in axis if s > 0] for axis in axes]
    near = sum(
        max(0.0, 1 - float(np.linalg.norm([d for d, _ in image])) / (2 * radius))
        for image in product(*closed)
    )
    return (right - got) * near


def _beside_open(dim: int, t: float) -> float:
    """Resistance of a cell t radii from an open face over 1/(4 pi D a), or 1/(2 pi D h).

    The first odd mode dominates, which outside a cell has 3/2 (for a circle 2) of its potential on a shell.
    """
    if t < 1:
        at, _, opened = _cut_spheres(dim)
        return float(np.interp(t, at, opened)) * (1 + (1 - t) * (0.5 if dim == 3 else 1.0))
    return 1 - 0.5 / t if dim == 3 else float(np.log(2 * t))


def _between(dim: int, x: float) -> float:
    """phi of an image x radii away at a closed face; for circles -ln r in place of 1/r."""
    if x < 2:
        at, closed, _ = _cut_spheres(dim)
        return float(np.interp(x / 2, at, closed))
    return 1 / x if dim == 3 else -float(np.log(x))


@lru_cache
def _cut_spheres(dim: int) -> tuple[Floats, Floats, Floats]:
    """Of a unit sphere or circle cut t from its center: t, then what a closed and an open face make of R.

    Means over pairs of points, of a sphere's rings by elliptic integrals; the closed face's without the 1 of
    a whole sphere's own potential.
    """
    at, found = np.linspace(0, 1, PIECES + 1), []
    for t in at:
        i = np.arange(POINTS)
        if dim == 3:
            p, q = (-t + (1 + t) * (i + part) / POINTS for part in (0.5, 0.0))
            q = q + 1e-12
            own, image = (_ring_potential(p[:, None], q[None], to) for to in (q[None], -2 * t - q[None]))
        else:
            wide = np.arccos(-t)
            p, q = (wide * (2 * (i + part) / POINTS - 1) for part in (0.5, 0.0))
            x, y = np.cos(q)[None], np.sin(p)[:, None] - np.sin(q)[None]
            own, image = (-0.5 * np.log((np.cos(p)[:, None] - to) ** 2 + y**2) for to in (x, -2 * t - x))
        found.append((own.mean() + image.mean() - (1 if dim == 3 else 0), own.mean() - image.mean()))
    closed, opened = np.array(found).T
    return at, closed, opened


def _ring_potential(height: Floats, ring: Floats, to: Floats) -> Floats:
    """1/r between rings of a unit sphere, mean over the angle, at heights; the second one moved to ``to``."""
    one, two = np.sqrt(np.maximum(1 - height**2, 0)), np.sqrt(np.maximum(1 - ring**2, 0))
    square = (one + two) ** 2 + (height - to) ** 2
    return np.asarray(2 / np.pi * ellipk(4 * one * two / square) / np.sqrt(square))


@lru_cache(maxsize=4096)
def _inside(dim: int, reach: float, inner: int, outer: int, walls: Key) -> Ints:
    """Voxels of the shells from inner to outer that are on the cell's side of all walls; its own, if none."""
    sites = lattice_around(dim, reach).voxels(inner, outer)
    open_ = np.ones(len(sites), bool)
    for side, (between, _) in enumerate(walls):
        if between >= 0:
            along = sites[:, side // 2]
            open_ &= along <= between if side % 2 else along >= -between
    return sites[open_]


@lru_cache(maxsize=4096)
def _potential(dim: int, reach: float, level: int, shell: int, walls: Key) -> float:
    """Potential of a unit flux into the footprint and its images, mean over a shell (-1: the footprint)."""
    source = _inside(dim, reach, 0, level, walls)
    target = source if shell < 0 else _inside(dim, reach, shell, shell, walls)
    total = 0.0
    ways = images(walls)
    far = max(abs(b) for way in ways for _, b, _ in way) + int(np.abs(source).max(initial=0))
    green = lattice_green(dim, max(far + int(np.abs(target).max(initial=0)), 1))
    for way in ways:
        flip, shift, sign = (np.array(v) for v in zip(*way, strict=True))
        apart = np.abs(target[:, None] - (flip * source + shift)[None])
        total += int(np.prod(sign)) * float(green[apart[..., 0], apart[..., 1], apart[..., 2]].mean())
    return total


def _own(dim: int, reach: float, level: int, walls: Key) -> float:
    """The lattice's own part of R for an evenly shared flux, lattice units."""
    return _potential(dim, reach, level, -1, walls)


def _release(dim: int, reach: float, level: int, walls: Key, surface: float) -> list[tuple[Ints, float]]:
    """The shells between which the potential passes that at the membrane, and the share of each."""
    lattice = lattice_around(dim, reach)
    shells = [n for n in range(lattice.levels) if len(_inside(dim, reach, n, n, walls))]
    before, inner = np.inf, shells[0]
    for n in shells:
        here = _potential(dim, reach, level, n, walls)
        if here <= surface:
            if n == shells[0]:
                return [(_inside(dim, reach, n, n, walls), 1.0)]
            share = settled((before - surface) / (before - here))
            mixture = ((inner, 1 - share), (n, share))
            return [(_inside(dim, reach, k, k, walls), part) for k, part in mixture if part > 0]
        before, inner = here, n
    return [(_inside(dim, reach, inner, inner, walls), 1.0)]
