r"""Diffusion resistance of a cell beside boundaries: image charges (closed), boundary elements (open, held).

*Closed faces and obstacles* are mirrors:

    R = 1/(4 pi D a) sum_m phi(d_m / a)

over the images m of the cell (itself among them), d_m their distances from it. phi(d/a) is a/d where cell and
image are disjoint (of discs ln(a/d), over 2 pi D h). Where a face cuts the cell, phi is the mean, on the
remaining part of an evenly charged sphere, of the potential of this part and its image.

*Open and held faces.* Around a cell that vesicles cannot enter, beside faces with a given concentration, c
obeys Laplace's equation, and on the membrane

    c/2 = p/2 + int [(c - p) dG/dn - G (k/D c - dp/dn)] dS,    G = sum_m s_m g(|x - y_m|),

with g the potential of a unit source, y_m the images of y at the faces, s_m = 1 at closed and -1 at open and
held faces, and p the concentration without the cell: linear in the distance from each face, x, or x y where
two faces meet, or constant where a concentration is held. To first order in k_a a membrane takes up

    Q = f k_a c / (1 + f k_a R),

f the share of the membrane inside the domain, c the mean over it without uptake and R the mutual depletion;
beside open faces this holds within 1 % for any k_a. Lengths are in radii, R in 1 / (4 pi D a), of a disc
1 / (2 pi D h).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipk

from exoabm.transport.uptake_stencil import FAR, rounded

POINTS = {2: 240, 3: 480}
"""Boundary elements on a whole membrane; the error of c is 1 %, that of R 4 %."""
KNOTS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0, 1.01, 1.04, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
"""Distances t from a face, in radii, at which it is solved; f c and f R are interpolated in ln|t - 1|.

Where a disc touches a closed face its resistance has a cusp: vesicles reach the narrow gap slowly.
"""
TOUCHING = 3e-4
"""Added to |t - 1|: the gap at which the logarithmic rise of R ends, by elements of `POINTS`."""
REFLECTIONS = 2
"""Orders of reflection between two opposite boundaries."""

Floats = NDArray[np.float64]
Image = tuple[int, float, int]
"""Image of a point x along an axis at flip x + shift, with a sign."""


class OpenBoundary(NamedTuple):
    """f c and f R of a cell at faces, at least one of them open or held."""

    mean: float
    """f c of gradients; c is 1 for constant concentrations."""
    slope: float
    """f R of gradients."""
    even: float
    """f R of constant concentrations."""


def open_boundary(dim: int, distance: Sequence[float], sign: Sequence[int]) -> OpenBoundary:
    """Solution for the distances from the faces on six sides (infinite: none), in radii.

    Interpolated between `KNOTS`; exact between two opposite faces.
    """
    ways: list[list[tuple[float, float]]] = []
    for side in range(6):
        t, other = float(distance[side]), float(distance[side ^ 1])
        if not np.isfinite(t) or np.isfinite(other) or t >= KNOTS[-1]:
            ways.append([(t, 1.0)])
            continue
        last = int(np.searchsorted(KNOTS, t, side="right"))
        low, high = KNOTS[last - 1], KNOTS[last]
        part = (_gap(t) - _gap(low)) / (_gap(high) - _gap(low))
        ways.append([(at, share) for at, share in ((low, 1 - part), (high, part)) if share > 0])
    found = np.zeros(3)
    for way in product(*ways):
        solved = _solve(dim, *_turned([at for at, _ in way], sign))
        found += float(np.prod([share for _, share in way])) * np.array(solved)
    return OpenBoundary(*found.tolist())


def _gap(t: float) -> float:
    """Coordinate of interpolation: rises with the distance t, by ln|t - 1| on both sides of 1."""
    return math.copysign(math.log1p(abs(t - 1) / TOUCHING), t - 1)


def slopes(place: Floats, distance: Sequence[float], sign: Sequence[int]) -> Floats:
    """p at places (n, 3) relative to the center: product of the distances from open faces, (n,)."""
    slope = np.ones(len(place))
    for axis in range(3):
        side = nearest_open_side(axis, distance, sign)
        if side >= 0:
            slope *= distance[side] + (-place[:, axis] if side % 2 else place[:, axis])
    return slope


def nearest_open_side(axis: int, distance: Sequence[float], sign: Sequence[int]) -> int:
    """Side of the nearest open or held face along an axis; -1 for none."""
    sides = [s for s in (2 * axis, 2 * axis + 1) if sign[s] < 0 and np.isfinite(distance[s])]
    return min(sides, key=lambda s: distance[s], default=-1)


def inside(normal: Floats, distance: Sequence[float]) -> NDArray[np.bool_]:
    """Whether places (n, 3) on a unit sphere are inside all faces."""
    there = np.ones(len(normal), bool)
    for side in range(6):
        if distance[side] < 1:
            there &= (normal[:, side // 2] if side % 2 else -normal[:, side // 2]) < distance[side]
    return there


def _turned(distance: Sequence[float], sign: Sequence[int]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The same cell, rotated and reflected: the nearest boundary first."""
    axes = []
    for axis in range(3):
        sides = [(float(distance[s]), int(sign[s])) for s in (2 * axis, 2 * axis + 1)]
        axes.append(sorted(sides))
    axes.sort()
    return tuple(t for axis in axes for t, _ in axis), tuple(s for axis in axes for _, s in axis)


@lru_cache(maxsize=4096)
def _solve(dim: int, distance: tuple[float, ...], sign: tuple[int, ...]) -> OpenBoundary:
    """See `open_boundary`."""
    normal, size = _sphere(dim)
    there = inside(normal, distance)
    y, share = normal[there], float(there.mean())
    single, double = np.zeros((2, len(y), len(y)))
    whole, nearest, signed = np.zeros(len(y)), np.full(len(y), np.inf), np.ones(len(y))
    ways = [axis_images(distance[2 * a : 2 * a + 2], sign[2 * a : 2 * a + 2]) for a in range(3)]
    for image in product(*ways):
        flip, shift, signs = (np.array(v) for v in zip(*image, strict=True))
        s, source = int(np.prod(signs)), flip * y + shift
        one, two = _potentials(dim, y, source, flip * y, size)
        single += s * one
        double += s * two
        whole += two.sum(axis=1)
        away = np.where(flip.min() < 0, ((source - y) ** 2).sum(axis=1), np.inf)
        signed = np.where(away < nearest, s, signed)
        nearest = np.minimum(away, nearest)
    # The double layer of a closed surface is -1/2 on itself; elements near a face are too coarse for that.
    double[np.diag_indices(len(y))] += signed * (-0.5 - whole)
    slope = slopes(y, distance, sign)
    inverse = np.linalg.inv(0.5 * np.eye(len(y)) - double)
    free = inverse @ slope
    taken, evenly = (inverse @ (single @ each) for each in (free, np.ones(len(y))))
    found = share * free.mean(), taken.mean() / free.mean(), evenly.mean()
    return OpenBoundary(*(rounded(float(value)) for value in found))


def axis_images(distance: Sequence[float], sign: Sequence[int]) -> list[Image]:
    """Images along one axis, its nearer face first: none, one, or the series between two faces."""
    (low, high), (s, t) = distance, sign
    if not np.isfinite(low):
        return [(1, 0.0, 1)]
    if not np.isfinite(high):
        return [(1, 0.0, 1), (-1, -2 * low, s)]
    found, length = [], low + high
    for k in range(-REFLECTIONS, REFLECTIONS + 1):
        found.append((1, 2 * k * length, (s * t) ** abs(k)))
        if k > -REFLECTIONS:
            found.append(
                (-1, -2 * low + 2 * k * length, t * (s * t) ** (k - 1) if k > 0 else s * (s * t) ** -k)
            )
    return found


def _potentials(dim: int, to: Floats, source: Floats, normal: Floats, size: float) -> tuple[Floats, Floats]:
    """Single and double layer of the pieces at ``source`` at the points ``to``, (to, source).

    Of a piece that is as near as it is wide, those of a disc, or straight piece, seen from above its middle.
    """
    own = not np.any(source - to)
    square = np.maximum((to**2).sum(axis=1)[:, None] + (source**2).sum(axis=1) - 2 * (to @ source.T), 0.0)
    toward = (source * normal).sum(axis=1) - to @ normal.T
    if dim == 3:
        wide = size / np.pi
        single = size / (4 * np.pi * np.sqrt(np.maximum(square, wide / 4)))
        if own:
            return single, -0.5 * single
        seen = 0.5 - 0.5 * np.abs(toward) / np.sqrt(toward**2 + wide)
        far = size * np.abs(toward) / (4 * np.pi * np.maximum(square, wide) ** 1.5)
    else:
        wide = size**2 / 4
        single = -size * np.log(np.maximum(square, wide / math.e**2)) / (4 * np.pi)
        if own:
            return single, np.full_like(single, -size / (4 * np.pi))
        seen = np.arctan2(0.5 * size, np.abs(toward)) / np.pi
        far = size * np.abs(toward) / (2 * np.pi * np.maximum(square, wide))
    return single, -np.sign(toward) * np.where(square < wide, seen, far)


@lru_cache
def _sphere(dim: int) -> tuple[Floats, float]:
    """Normals (n, 3) of equal pieces of a unit sphere, or circle, and their size."""
    n = POINTS[dim]
    i = np.arange(n) + 0.5
    if dim == 2:
        turn = 2 * np.pi * i / n
        return np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1), 2 * np.pi / n
    height, turn = 1 - 2 * i / n, i * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1), 4 * np.pi / n


PIECES = 32
"""Intervals of the table of cut spheres, from a center on the face to one a radius away."""
QUADRATURE = 256
"""Points of the quadrature over the remaining part of a cut sphere or circle; error of R 4e-3."""


def closed_resistance(dim: int, radius: float, distance: Floats) -> Floats:
    """R of cells between closed walls, (m,), lattice units.

    ``distance`` (m, 6) are those on six sides (infinite: none); all cells have walls on the same sides.
    """
    axes: list[list[Floats]] = []
    for axis in range(3):
        low, high = distance[:, 2 * axis], distance[:, 2 * axis + 1]
        if np.isfinite(low).all() and np.isfinite(high).all():
            turns = [2 * (low + high) * k for k in range(-REFLECTIONS, REFLECTIONS + 1)]
            axes.append([*turns, *(turn - 2 * low for turn in turns[1:])])
        else:
            axes.append([np.zeros(len(low))] + [2 * d for d in (low, high) if np.isfinite(d).all()])
    ways = list(product(*axes))
    total = np.zeros(len(distance))
    for x, y, z in ways:
        total += _between(dim, np.sqrt(x**2 + y**2 + z**2) / radius)
    if dim == 3:
        return np.asarray(total / (4 * np.pi * radius))
    return np.asarray((total + len(ways) * float(np.log(FAR / radius))) / (2 * np.pi))


def _between(dim: int, x: Floats) -> Floats:
    """phi of images x radii away at a closed face; for circles -ln r in place of 1/r."""
    far = np.maximum(x, 2.0)
    return np.where(x < 2, np.interp(x / 2, *_cut_spheres(dim)), 1 / far if dim == 3 else -np.log(far))


@lru_cache
def _cut_spheres(dim: int) -> tuple[Floats, Floats]:
    """Of a unit sphere or circle cut t from its center: t, and what a closed face there adds to R.

    Means over pairs of points, of a sphere's rings by elliptic integrals, less the 1 of a whole sphere's own.
    """
    at, found = np.linspace(0, 1, PIECES + 1), []
    for t in at:
        i = np.arange(QUADRATURE)
        if dim == 3:
            p, q = (-t + (1 + t) * (i + part) / QUADRATURE for part in (0.5, 0.0))
            q = q + 1e-12
            own, image = (_ring_potential(p[:, None], q[None], to) for to in (q[None], -2 * t - q[None]))
        else:
            wide = np.arccos(-t)
            p, q = (wide * (2 * (i + part) / QUADRATURE - 1) for part in (0.5, 0.0))
            x, y = np.cos(q)[None], np.sin(p)[:, None] - np.sin(q)[None]
            own, image = (-0.5 * np.log((np.cos(p)[:, None] - to) ** 2 + y**2) for to in (x, -2 * t - x))
        found.append(own.mean() + image.mean() - (1 if dim == 3 else 0))
    return at, np.array(found)


def _ring_potential(height: Floats, ring: Floats, to: Floats) -> Floats:
    """1/r between rings of a unit sphere, mean over the angle, at heights; the second one moved to ``to``."""
    one, two = np.sqrt(np.maximum(1 - height**2, 0)), np.sqrt(np.maximum(1 - ring**2, 0))
    square = (one + two) ** 2 + (height - to) ** 2
    return np.asarray(2 / np.pi * ellipk(4 * one * two / square) / np.sqrt(square))
