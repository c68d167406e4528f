"""The explicit scheme on the grid, as far as fields and hopping vesicles share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.domain import Face

if TYPE_CHECKING:
    from exoabm.domain import Domain

COURANT = {2: 0.2, 3: 1 / 6}
"""D dt/dx^2 of a sub-step, by dimension: stable, and positive away from fixed faces."""
COURANT_FIXED = {2: 0.12, 3: 0.08}
"""The same where a face is held at a concentration, half a voxel away."""
MAX_DECAY = 0.02
"""Largest share of the free vesicles that may be cleared in one sub-step."""


def choose_courant(domain: Domain) -> float:
    """D h/dx^2 of the sub-steps h that suits a domain and its faces."""
    has_fixed = Face.FIXED in domain.faces[: 2 * domain.dim]
    return (COURANT_FIXED if has_fixed else COURANT)[domain.dim]


def hop_limit(domain: Domain) -> float:
    """Largest D h/dx^2 at which a vesicle's chances to hop away or be cleared add up to no more than one.

    A voxel has 2 dim ways out, and a fixed face, half a voxel away, counts twice.
    """
    fixed = [[face == Face.FIXED for face in domain.faces[2 * a : 2 * a + 2]] for a in range(domain.dim)]
    twice = sum(sum(pair) if n == 1 else any(pair) for pair, n in zip(fixed, domain.counts, strict=False))
    return (1 - MAX_DECAY) / (2 * domain.dim + twice)


def substep_rates(domain: Domain, courant: float, decay_rate: float) -> tuple[float, float]:
    """Sub-steps per second: D (free medium) times the first, but at least the second."""
    per_diffusivity = float(np.max(domain.hindrance)) / (courant * domain.voxel**2)
    return per_diffusivity, decay_rate / MAX_DECAY


def is_uniform(domain: Domain) -> bool:
    """Whether vesicles move alike everywhere: no obstacle, one hindrance."""
    return np.ndim(domain.hindrance) == 0 and domain.obstacle is None


def conductance(domain: Domain) -> tuple[np.ndarray, ...]:
    """Conductance of every face between voxels, relative to free medium.

    Between voxels of hindrance a and b it is the harmonic mean 2ab/(a+b); at a fixed face, half a voxel
    away, 2a; at an obstacle zero.

    Returns
    -------
    tuple of numpy.ndarray
        Along x, y (and z), each with one entry more along its own axis than the grid.
    """
    value = np.array(np.broadcast_to(domain.hindrance, domain.shape), dtype=np.float64)
    if domain.obstacle is not None:
        value[domain.obstacle] = 0.0
    result = []
    for axis in range(domain.dim):
        a = np.moveaxis(value, domain.dim - 1 - axis, -1)
        total = a[..., 1:] + a[..., :-1]
        inner = np.divide(2 * a[..., 1:] * a[..., :-1], total, out=np.zeros_like(total), where=total > 0)
        ends = []
        for side, edge, across in (
            (2 * axis, a[..., 0], a[..., -1]),
            (2 * axis + 1, a[..., -1], a[..., 0]),
        ):
            match domain.faces[side]:
                case Face.FIXED:
                    ends.append(2 * edge)
                case Face.PERIODIC:
                    both = edge + across
                    ends.append(np.divide(2 * edge * across, both, out=np.zeros_like(both), where=both > 0))
                case _:
                    ends.append(np.zeros_like(edge))
        g = np.concatenate([ends[0][..., None], inner, ends[1][..., None]], axis=-1)
        result.append(np.ascontiguousarray(np.moveaxis(g, -1, domain.dim - 1 - axis)))
    return tuple(result)
