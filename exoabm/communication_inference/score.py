"""A result against the truth, beside what needs no tool, and beside the result with its ends exchanged.

====================  ==================================================================================
``result``            as it was read; rows send
``transposed``        with source and target exchanged
``distance alone``    -d, of measured positions; independent of expression
``expression``        L_i R_j, summed over the true pairs of ligand and receptor
``combined``          L_i R_j exp(-d / length)
====================  ==================================================================================

Each is measured over all ordered pairs and over those whose sender is a true donor, without and with self
pairs:

    AUPRC = sum_k (R_k - R_{k-1}) P_k,    AUROC = P(s+ > s-) + P(s+ = s-) / 2

with precision P_k and recall R_k at the k-th distinct score from above (average precision, Davis and Goadrich
2006). A method without information has an AUPRC equal to the prevalence, and an AUROC of 0.5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from exoabm.communication_inference.tool_results import (
    Choice,
    Result,
    column_of,
    matrix_of,
    opened,
    read_result,
    text,
)
from exoabm.errors import InputError, ResourceError
from exoabm.parameters.catalog import CATALOG, Quantity
from exoabm.parameters.units import QuantityError

AMOUNTS = ("internalized", "delivered", "encountered")
OUT, IN = "without self pairs", "with self pairs"
ALL, TRUE_DONORS = "all pairs", "among true donors"
RESULT, TRANSPOSED = "result", "transposed"
DISTANCE, EXPRESSION, COMBINED = "distance alone", "expression", "combined"
BYTES_PER_PAIR = 64
"""Of a pair of cells while scores are ranked: scores, amounts, their order and ranks."""


@dataclass(frozen=True)
class Agreement:
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


def agreement(score: np.ndarray, amount: np.ndarray, least: float) -> Agreement:
    """Agreement of scores (n,) for amounts (n,); a pair is true from an amount of ``least``."""
    true = amount >= least
    n, positives = len(true), int(np.count_nonzero(true))
    if not n:
        return Agreement(0, 0, None, None, None, None)
    ranks = rankdata(score)
    auroc = None
    if 0 < positives < n:
        above = ranks[true].sum() - positives * (positives + 1) / 2
        auroc = float(above / (positives * (n - positives)))
    return Agreement(
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


class Truth:
    """A truth file.

    Raises
    ------
    InputError
        If it is none.
    """

    def __init__(self, path: Path, amount: str = "internalized") -> None:
        if amount not in AMOUNTS:
            raise InputError(f"--amount {amount}: one of {', '.join(AMOUNTS)}")
        try:
            with opened(path) as root:
                obs, uns = root["obs"], root["uns"]
                self.cells = [str(name) for name in column_of(obs[text(obs.attrs["_index"])])]
                words = column_of(obs["cell_type"])
                self.types = sorted({*words})
                self.of = np.array([self.types.index(word) for word in words], np.int64)
                self.donor = np.asarray(obs["released"][()], float) > 0
                self.spatial = np.asarray(root["obsm"]["spatial"][()], float)
                self.amount = matrix_of(root["obsp"][f"true_{amount}"])
                self.least = float(uns["truth"]["options"]["least"][()])
                self.self_share = float(uns["truth"]["self_share"][()])
                frame = uns["ligand_receptor"]
                pairs = zip(*(column_of(frame[n]) for n in ("ligand", "receptor", "true")), strict=True)
                self.pairs = [(str(a), str(b)) for a, b, true in pairs if true]
                names = [str(n) for n in column_of(root["var"][text(root["var"].attrs["_index"])])]
                counts = root["layers"]["counts"]
                at = {n: i for i, n in enumerate(names)}
                self._counts = {n: np.asarray(counts[:, at[n]], float) for pair in self.pairs for n in pair}
        except (KeyError, AttributeError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is no truth file ({error}); `exoabm export RUN --to truth.h5ad` writes one"
            ) from None

    @cached_property
    def distance(self) -> np.ndarray:
        """Distances of measured positions in um, (n, n)."""
        return apart(self.spatial)

    def baseline(self, name: str, length: float) -> np.ndarray:
        """Scores (n, n) of a baseline; ``length`` in um is that of the combined one."""
        if name == DISTANCE:
            return -self.distance
        product = np.zeros(self.amount.shape, np.float32)
        for ligand, receptor in self.pairs:
            product += np.outer(self._counts[ligand], self._counts[receptor]).astype(np.float32)
        return product if name == EXPRESSION else product * np.exp(-self.distance / length)

    def agreements(self, score: np.ndarray) -> dict[str, dict[str, Agreement]]:
        """Agreement of scores (n, n), without and with self pairs, of all pairs and among true donors."""
        rows = np.flatnonzero(self.donor)
        others = ~np.eye(len(self.cells), dtype=bool)[rows]
        some = (score[rows], self.amount[rows])
        parts = {
            OUT: {
                ALL: (off_diagonal(score), off_diagonal(self.amount)),
                TRUE_DONORS: (some[0][others], some[1][others]),
            },
            IN: {ALL: (score.ravel(), self.amount.ravel()), TRUE_DONORS: (some[0].ravel(), some[1].ravel())},
        }
        return {
            word: {which: agreement(*pair, self.least) for which, pair in part.items()}
            for word, part in parts.items()
        }

    def by_type(self) -> np.ndarray:
        """Amounts between annotated types, (types, types)."""
        member = np.zeros((len(self.types), len(self.cells)))
        member[self.of, np.arange(len(self.cells))] = 1
        return member @ self.amount @ member.T


@dataclass(frozen=True)
class Report:
    """Agreement of a result and of the baselines.

    Attributes
    ----------
    description : str
        What of the result was read, and how.
    cells, donors : int
    self_share : float
        Share of vesicles taken up that returned to the cell that released them.
    rows : dict
        Agreement by method, then without and with self pairs, then by pairs.
    type_spearman : float or None
        Of results between types, the rank correlation with the vesicles between types.
    notes, warnings : list of str
    """

    description: str
    cells: int
    donors: int
    self_share: float
    rows: dict[str, dict[str, dict[str, Agreement]]]
    type_spearman: float | None
    notes: list[str]
    warnings: list[str]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def score(
    truth_file: Path,
    result_file: Path,
    *,
    amount: str = "internalized",
    column: str | None = None,
    key: str | None = None,
    better: str | None = None,
    true_genes: bool = False,
    transpose: bool = False,
    length: str | None = None,
) -> Report:
    """Score a result; see above.

    Parameters
    ----------
    amount : str
        Vesicles that are the truth: internalized, delivered or encountered.
    column, key, better : str or None
        See ``results.Choice``.
    true_genes : bool
        Use rows of the true pairs of ligand and receptor only, which a tool cannot know.
    transpose : bool
        Exchange source and target of the result.
    length : str or None
        Of the combined baseline.

    Raises
    ------
    InputError
        If a file or option is not as it must be.
    """
    if better not in (None, "high", "low"):
        raise InputError(f"--better {better}: high or low")
    parameter = CATALOG["baseline_length"]
    try:
        far = float(Quantity.default(parameter) if length is None else Quantity(parameter, length))
    except QuantityError as error:
        raise InputError(f"--length {length}: {error}") from None
    truth = Truth(truth_file, amount)
    choice = Choice(column, key, better, set(truth.pairs) if true_genes else None)
    result = read_result(result_file, truth.cells, truth.types, truth.of, choice)
    matrix = result.matrix.T if transpose else result.matrix
    rows = {RESULT: truth.agreements(matrix), TRANSPOSED: truth.agreements(matrix.T)}
    rows |= {name: truth.agreements(truth.baseline(name, far)) for name in (DISTANCE, EXPRESSION, COMBINED)}
    return Report(
        description=result.description + (", source and target exchanged" if transpose else ""),
        cells=len(truth.cells),
        donors=int(truth.donor.sum()),
        self_share=truth.self_share,
        rows=rows,
        type_spearman=_between_types(truth, result, transpose),
        notes=result.notes,
        warnings=_warnings(rows),
    )


def _between_types(truth: Truth, result: Result, transpose: bool) -> float | None:
    if result.by_type is None:
        return None
    scores = result.by_type.T if transpose else result.by_type
    return correlation(rankdata(scores), rankdata(truth.by_type()))


def _warnings(rows: dict[str, dict[str, dict[str, Agreement]]]) -> list[str]:
    """Sentences on what is probably wrong with a result."""
    own, turned, near = (rows[name][OUT][ALL] for name in (RESULT, TRANSPOSED, DISTANCE))
    found = []
    ratio = float(Quantity.default(CATALOG["orientation_ratio"]))
    if own.auprc is not None and turned.auprc is not None and turned.auprc > ratio * own.auprc:
        found.append(
            f"source and target seem to be exchanged: transposed, the AUPRC is {turned.auprc:.3g} instead of "
            f"{own.auprc:.3g}. Rows, or the column source, must be the cells that send; --transpose exchanges"
            " the two"
        )
    elif own.auprc is not None and near.auprc is not None and own.auprc < near.auprc:
        found.append(
            f"distance alone finds more (AUPRC {near.auprc:.3g} against {own.auprc:.3g}): on this truth the "
            "result contains less information than the positions"
        )
    if own.auprc is None:
        found.append("no pair of cells communicates, or none that is seen, so that nothing can be found")
    return found
