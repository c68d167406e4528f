"""Counted vesicles against expected numbers: one verdict for many places at once.

What stands at a place is a sum of many rare, independent vesicles, so its count is Poisson (a little less
spread, since the number released is fixed). A family of n places disagrees where the smallest two-sided
tail falls below Sidak's bound 1 - (1 - 1e-3)^(1/n), or where the z-scores are not spread like normal ones:
an honest engine fails once in about 900 families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

FAMILY = 1e-3
"""Chance that an honest family of counts is called different by its worst member."""
LEAST = 20.0
"""Places that expect less are put together with their neighbors in the order given."""


@dataclass(frozen=True)
class Agreement:
    """How counts and expected numbers of pooled places compare: the worst tail, and the least allowed."""

    counts: np.ndarray
    expected: np.ndarray
    worst: float
    bound: float

    @property
    def z(self) -> np.ndarray:
        """Scores (counts - expected) / sqrt(expected)."""
        return (self.counts - self.expected) / np.sqrt(self.expected)

    @property
    def spread(self) -> float:
        """Standard deviation of the z-scores, about 1."""
        return float(np.std(self.z))

    def __bool__(self) -> bool:
        # A standard deviation of n normal scores strays from 1 by 1 / sqrt(2 n); 4 times that is 6e-5.
        return bool(self.worst > self.bound and self.spread < 1 + 4 / np.sqrt(2 * len(self.z)))


class Comparison(NamedTuple):
    """One panel of the figure: quantity, number of runs, and result of the comparison."""

    scenario: str
    what: str
    places: str
    runs: int
    result: Agreement


def compare(counts: np.ndarray, expected: np.ndarray) -> Agreement:
    """Counts at some places against their expected numbers, both of any one shape; see the module."""
    from scipy import stats

    counts, expected = pooled(np.ravel(counts), np.ravel(expected))
    lower, upper = stats.poisson.cdf(counts, expected), stats.poisson.sf(counts - 1, expected)
    worst = float(np.minimum(1.0, 2 * np.minimum(lower, upper)).min())
    return Agreement(counts, expected, worst, 1 - (1 - FAMILY) ** (1 / len(counts)))


def pooled(counts: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge neighbors until each expects ``LEAST``; the remainder joins the last."""
    group = np.floor(np.cumsum(expected) / LEAST * (1 - 1e-9)).astype(int)
    large = expected >= LEAST
    group = np.unique(np.where(large, -1 - np.arange(len(expected)), group), return_inverse=True)[1]
    total, found = np.bincount(group, expected), np.bincount(group, counts)
    small = total < LEAST / 2
    if small.any() and not small.all():
        keep = np.flatnonzero(~small)
        into = keep[np.argmin(total[keep])]
        total[into] += total[small].sum()
        found[into] += found[small].sum()
        total, found = total[keep], found[keep]
    return found, total


def blocks(field: np.ndarray, edge: int) -> np.ndarray:
    """Sums over square blocks of voxels of the last two axes; the last ones may be smaller."""
    for axis in (-1, -2):
        field = np.add.reduceat(field, np.arange(0, field.shape[axis], edge), axis=axis)
    return field


def standard_errors(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Deviation of the mean over runs (the first axis) from the expected value, in standard errors."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return np.abs(values.mean(axis=0) - expected) / error


def along(counts: np.ndarray, expected: np.ndarray, biased: np.ndarray) -> float:
    """z-score of the counts in the direction of a bias, with the greatest power.

    sum (x - e) d / e / sqrt(sum d^2 / e),   d = biased - expected
    """
    used = expected > 0
    x, e, d = counts[used], expected[used], (biased - expected)[used]
    return float(np.sum((x - e) * d / e) / np.sqrt(np.sum(d * d / e)))
