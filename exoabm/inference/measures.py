"""How well scores of pairs find the true ones.

    AUPRC = sum_k (R_k - R_{k-1}) P_k,    AUROC = P(s+ > s-) + P(s+ = s-) / 2

with precision P_k and recall R_k at the k-th distinct score from above (average precision, Davis and Goadrich
2006). A method without information has an AUPRC equal to the prevalence, and an AUROC of 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import psutil
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from exoabm.errors import ResourceError

BYTES_PER_PAIR = 64
"""Of a pair of cells while scores are ranked: scores, amounts, their order and ranks."""


@dataclass(frozen=True)
class Measures:
    """Agreement of scores with amounts; None where a measure is not defined.

    Attributes
    ----------
    pairs, positives : int
    prevalence : float or None
        Share of true pairs, which is the AUPRC of chance.
    auprc, auroc : float or None
    spearman : float or None
        Rank correlation of scores and amounts, with mean ranks of ties.
    """

    pairs: int
    positives: int
    prevalence: float | None
    auprc: float | None
    auroc: float | None
    spearman: float | None


def average_precision(score: np.ndarray, true: np.ndarray) -> float:
    """AUPRC of scores (n,) of which some are ``true`` (n,); pairs of equal score are found together.

    NaN where none is true.
    """
    positives = np.count_nonzero(true)
    if not positives:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(true[order], dtype=np.int64)
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    found = hits[last]
    return float(np.sum(np.diff(found, prepend=0) * (found / (last + 1))) / positives)


def measure(score: np.ndarray, amount: np.ndarray, least: float) -> Measures:
    """Measures of scores (n,) for amounts (n,); a pair is true from an amount of ``least``."""
    true = amount >= least
    n, positives = len(true), int(np.count_nonzero(true))
    if not n:
        return Measures(0, 0, None, None, None, None)
    ranks = rankdata(score)
    auroc = None
    if 0 < positives < n:
        above = ranks[true].sum() - positives * (positives + 1) / 2
        auroc = float(above / (positives * (n - positives)))
    return Measures(
        n,
        positives,
        positives / n,
        average_precision(score, true) if positives else None,
        auroc,
        correlation(ranks, rankdata(amount)),
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's r of ranks (n,), that is Spearman's of what was ranked; None where one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def apart(spatial: np.ndarray) -> np.ndarray:
    """Distances between positions (n, axes), (n, n) in single precision.

    Raises
    ------
    ResourceError
        If matrices of all pairs do not fit into the memory that is available.
    """
    need, room = BYTES_PER_PAIR * len(spatial) ** 2, psutil.virtual_memory().available
    if need > room:
        raise ResourceError(
            f"all pairs of {len(spatial):,} cells need about {need / 2**30:.1f} GiB, and "
            f"{room / 2**30:.1f} GiB are available; cut a smaller region"
        )
    return cdist(spatial, spatial).astype(np.float32)


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Entries (n (n - 1),) of a matrix (n, n) outside its diagonal, row by row."""
    n = len(matrix)
    return matrix[~np.eye(n, dtype=bool)]
