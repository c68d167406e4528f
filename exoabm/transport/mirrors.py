r"""The resistance of a cell beside closed faces and walls, by its images.

    R = 1/(4 pi D a) sum_m phi(d_m / a)

over the images m of the cell (itself among them), d_m their distances from it. phi(d/a) is a/d where cell and
image stand apart (of discs ln(a/d), over 2 pi D h); where a face cuts the cell it is the mean, on what is
left of an evenly charged sphere, of the potential of that and its image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipk

from exoabm.transport.footprint import FAR

PIECES = 32
"""Pieces of a radius, from a center on a face to one a radius away, at which cut spheres are tabulated."""
POINTS = 256
"""Points of a quadrature over what is left of a cut sphere or circle; R is right to 4e-3."""
TURNS = 2
"""Times that images between two faces, or a face and an obstacle, go back and forth."""

Floats = NDArray[np.float64]


def mirrored(dim: int, radius: float, distance: Sequence[float] | Floats) -> float:
    """R of a cell between closed walls at distances on six sides (infinite: none), lattice units."""
    axes = []
    for axis in range(3):
        low, high = distance[2 * axis : 2 * axis + 2]
        if np.isfinite(low) and np.isfinite(high):
            turns = 2 * (low + high) * np.arange(-TURNS, TURNS + 1)
            axes.append([*turns.tolist(), *(turns[1:] - 2 * low).tolist()])
        else:
            axes.append([0.0] + [2 * d for d in (low, high) if np.isfinite(d)])
    ways = list(product(*axes))
    total = sum(_between(dim, float(np.linalg.norm(way)) / radius) for way in ways)
    if dim == 3:
        return total / (4 * np.pi * radius)
    return (total + len(ways) * float(np.log(FAR / radius))) / (2 * np.pi)


def _between(dim: int, x: float) -> float:
    """phi of an image x radii away at a closed face; for circles -ln r in place of 1/r."""
    if x < 2:
        return float(np.interp(x / 2, *_cut_spheres(dim)))
    return 1 / x if dim == 3 else -float(np.log(x))


@lru_cache
def _cut_spheres(dim: int) -> tuple[Floats, Floats]:
    """Of a unit sphere or circle cut t from its center: t, and what a closed face there adds to R.

    Means over pairs of points, of a sphere's rings by elliptic integrals, less the 1 of a whole sphere's own.
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
        found.append(own.mean() + image.mean() - (1 if dim == 3 else 0))
    return at, np.array(found)


def _ring_potential(height: Floats, ring: Floats, to: Floats) -> Floats:
    """1/r between rings of a unit sphere, mean over the angle, at heights; the second one moved to ``to``."""
    one, two = np.sqrt(np.maximum(1 - height**2, 0)), np.sqrt(np.maximum(1 - ring**2, 0))
    square = (one + two) ** 2 + (height - to) ** 2
    return np.asarray(2 / np.pi * ellipk(4 * one * two / square) / np.sqrt(square))
