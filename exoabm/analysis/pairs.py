"""Vesicles exchanged between types, in long form: a row for each pair of types and vesicle kind.

    distance = sum over pairs of cells (vesicles d) / sum (vesicles)

is the mean distance between two types, weighted by vesicles taken up; a cell that takes up its own vesicles
counts with distance 0. It is not known where only the donor's type is known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import talkers
from exoabm.analysis.edges import apart, edges_of
from exoabm.tables.declarations import TABLES
from exoabm.tables.fates import CELL, DOSE, RESERVOIR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.analysis.edges import Edges
    from exoabm.state import State

PAIRS = TABLES["pairs"]
SUMS = ("encountered", "taken_up", "delivered")
"""Columns of pairs that are sums."""

Columns = dict[str, Any]


def type_pairs(
    edges: Edges,
    distance: np.ndarray,
    donors: Sequence[str],
    recipients: Sequence[str],
    types: Sequence[str],
    kinds: Sequence[str],
) -> Columns:
    """Edges added up by types, as columns of ``PAIRS``; every pair has a row, with 0 where nothing went.

    Parameters
    ----------
    edges : Edges
    distance : numpy.ndarray
        In um, shape (edges,); see ``apart``.
    donors, recipients : sequence of str
        Names of rows and of columns; see ``communication.talkers``.
    types, kinds : sequence of str
        Names that the indices of the edges mean.
    """
    shape = (len(donors), len(recipients), len(kinds))
    row = _places(edges.origins, donors)[edges.origin]
    column = _places(types, recipients)[edges.cells.type[edges.recipient]]
    here = np.flatnonzero((row >= 0) & (column >= 0))
    flat = np.ravel_multi_index((row[here], column[here], edges.kind[here]), shape)
    size = int(np.prod(shape))

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values, size)

    sums = {name: total(edges.counts[name][here]) for name in SUMS}
    taken, far = edges.counts["taken_up"][here], distance[here]
    weight = np.where(np.isnan(far), 0.0, taken)
    within = total(weight)
    mean = np.divide(total(weight * np.nan_to_num(far)), within, out=np.full(size, np.nan), where=within > 0)
    first = np.full(size, np.nan)
    np.fmin.at(first, flat, edges.first[here])
    at = np.unravel_index(np.arange(size), shape)
    names = [
        np.array(each, object)[i].tolist() for each, i in zip((donors, recipients, kinds), at, strict=True)
    ]
    outside = [name if name in (DOSE, RESERVOIR) else None for name in names[0]]
    found: Columns = {
        "sender": [word or CELL for word in outside],
        "donor_type": [None if word else name for word, name in zip(outside, names[0], strict=True)],
        "recipient_type": names[1],
        "vesicle_kind": names[2],
    }
    numbers = sums | {"distance_um": mean, "first_time_s": first}
    found |= {name: _plain(values) for name, values in numbers.items()}
    return {column.name: found[column.name] for column in PAIRS.columns}


def pairs_of(state: State) -> Columns:
    """Vesicles exchanged between the types of a state until now; see ``type_pairs``."""
    edges = edges_of(state)
    donors, recipients = talkers(state, edges)
    distance = apart(edges, state.domain.displacement)
    types, kinds = [t.name for t in state.types], [k.name for k in state.kinds]
    return type_pairs(edges, distance, donors, recipients, types, kinds)


def _places(names: Sequence[str], among: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(among)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them; what is not known is None."""
    return [v if math.isfinite(v) else None for v in values.tolist()]
