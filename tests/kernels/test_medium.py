"""How far it is from a voxel to the next thing that matters, against all pairs of voxels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from exoabm.kernels import medium
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC, clearance

VOXEL = 2.5
BOX = [(closed, open_, both) for closed in (NO_FLUX, PERIODIC) for open_ in (0, 1) for both in (False, True)]


def by_pairs(
    counts: np.ndarray, sides: np.ndarray, matters: np.ndarray, hindrance: np.ndarray | None
) -> np.ndarray:
    """Least distance between the boxes of voxels, over all pairs and images, and to open faces."""
    place = np.array(list(product(*(range(n) for n in counts[::-1]))))[:, ::-1]
    period = np.where(sides[::2] == PERIODIC, counts, 0)
    apart = np.abs(place[:, None] - place)
    apart = np.where(period > 0, np.minimum(apart, period - apart), apart)
    marked = matters.copy()
    if hindrance is not None:
        marked |= ((apart.sum(axis=2) == 1) & (hindrance[:, None] != hindrance)).any(axis=1)
    gap = np.sqrt((np.maximum(apart - 1, 0) ** 2).sum(axis=2))
    least = np.where(marked, gap, np.inf).min(axis=1)
    for axis in range(3):
        if sides[2 * axis] == FIXED:
            least = np.minimum(least, place[:, axis])
        if sides[2 * axis + 1] == FIXED:
            least = np.minimum(least, counts[axis] - 1 - place[:, axis])
    return VOXEL * least


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize(("other", "axis_end", "varies"), BOX)
def test_clearance_is_the_least_distance_to_what_matters(
    dim: int, other: int, axis_end: int, varies: bool
) -> None:
    """Each face open alone, and one axis open at both ends; three lengths that differ."""
    rng = np.random.default_rng(3)
    counts = np.array([7, 5, 4 if dim == 3 else 1])
    for axis in range(dim):
        sides = np.full(6, other)
        sides[2 * axis : 2 * axis + 2] = NO_FLUX
        sides[2 * axis + axis_end] = FIXED
        matters = rng.random(counts.prod()) < 0.04
        hindrance = None
        if varies:
            hindrance = np.ones(counts.prod(), np.float32)
            hindrance[rng.integers(counts.prod())] = 0.3
        found = clearance(counts, VOXEL, sides, matters, hindrance)
        np.testing.assert_allclose(found, by_pairs(counts, sides, matters, hindrance), rtol=1e-6)


def test_clearance_ends_at_its_bound_and_is_infinite_where_nothing_matters() -> None:
    """In a row of 200 voxels with one that matters; beyond 64 voxels it is 64."""
    counts, sides = np.array([200, 1, 1]), np.full(6, NO_FLUX)
    matters = np.zeros(200, bool)
    assert np.isinf(clearance(counts, VOXEL, sides, matters)).all()
    matters[10] = True
    right = VOXEL * np.clip(np.abs(np.arange(200) - 10) - 1, 0, medium._FAR)
    np.testing.assert_allclose(clearance(counts, VOXEL, sides, matters), right)
