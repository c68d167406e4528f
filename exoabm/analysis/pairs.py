"""Who sent how much to whom, in long form: a row for each pair of types, or of cells, and vesicle kind.

    distance = sum over pairs of cells (vesicles d) / sum (vesicles)

is the mean distance between two types, weighted by vesicles taken up; a cell that takes up its own vesicles
counts with distance 0. It is not known where only the donor's type is known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import talkers
from exoabm.analysis.edges import UNKNOWN, edges_of
from exoabm.tables.parquet import pick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from exoabm.analysis.edges import Edges
    from exoabm.state import State

TYPE_PAIRS = {
    "source_type": "cell type, dose or reservoir that sent",
    "target_type": "cell type that received",
    "vesicles": "vesicles taken up until the end (uptake is not delivery)",
    "delivered": "of these, vesicles whose cargo reached the cytosol",
    "distance_um": "distance between the centers of the cells, mean weighted by vesicles taken up",
    "first_time_s": "time by which a first encounter was as likely as not",
    "vesicle_kind": "kind of vesicle",
    "captured": "vesicles captured by the target's surface until the end",
}
"""Columns of pairs of types, and what they hold."""
ENDS = {
    "source": "what sent: a cell by its birth number, or a cell type, dose or reservoir",
    "target": "what received: a cell by its birth number, or a cell type",
}
PAIRS = ENDS | TYPE_PAIRS
"""Columns of pairs of cells, or of a type and a cell where donor cells are not known."""
SUMS = {"vesicles": "taken_up", "delivered": "delivered", "captured": "encountered"}
"""Columns that are sums, and their counts in the edge table."""

Columns = dict[str, Any]


def apart(edges: Edges, displacement: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Distance in um between the two cells of each edge, shape (edges,); NaN where the donor is not known.

    ``displacement`` is that of the domain: around periodic faces the shorter way counts.
    """
    known = np.flatnonzero(edges.donor != UNKNOWN)
    distance = np.full(len(edges), np.nan)
    start = edges.cells.position[edges.cells.row_of(edges.donor[known])]
    end = edges.cells.position[edges.recipient[known]]
    distance[known] = np.linalg.norm(displacement(start, end), axis=1)
    return distance


def type_pairs(
    edges: Edges,
    distance: np.ndarray,
    donors: Sequence[str],
    recipients: Sequence[str],
    types: Sequence[str],
    kinds: Sequence[str],
) -> Columns:
    """Edges added up by types, as columns of ``TYPE_PAIRS``; every pair has a row, with 0 where nothing went.

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

    sums = {name: total(edges.counts[count][here]) for name, count in SUMS.items()}
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
    found = {"source_type": names[0], "target_type": names[1], "vesicle_kind": names[2]}
    numbers = sums | {"distance_um": mean, "first_time_s": first}
    found |= {name: _plain(values) for name, values in numbers.items()}
    return {name: found[name] for name in TYPE_PAIRS}


def pairs_of(state: State) -> Columns:
    """What went between the types of a state until now; see ``type_pairs``."""
    edges = edges_of(state)
    donors, recipients = talkers(state, edges)
    distance = apart(edges, state.domain.displacement)
    types, kinds = [t.name for t in state.types], [k.name for k in state.kinds]
    return type_pairs(edges, distance, donors, recipients, types, kinds)


def cell_pairs(edges: Edges, distance: np.ndarray, types: Sequence[str], kinds: Sequence[str]) -> pa.Table:
    """Edges over which anything was captured, with the columns of ``PAIRS``, in the order of the edges.

    ``source`` is a cell by its birth number where that is known, else a type, a dose or the reservoir.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    met = np.flatnonzero(edges.counts["encountered"] > 0)
    donor, recipient = edges.donor[met], edges.recipient[met]
    origin = pick(list(edges.origins), edges.origin[met])
    known, cell = pa.array(donor != UNKNOWN), pa.array(donor).cast(pa.string())
    found: Columns = {
        "source": pc.if_else(known, cell, origin.cast(pa.string())),
        "target": pa.array(edges.cells.birth_id[recipient]),
        "source_type": origin,
        "target_type": pick(list(types), edges.cells.type[recipient]),
        "vesicle_kind": pick(list(kinds), edges.kind[met]),
        "distance_um": pa.array(distance[met], from_pandas=True),
        "first_time_s": pa.array(edges.first[met], from_pandas=True),
    }
    found |= {name: pa.array(edges.counts[count][met]) for name, count in SUMS.items()}
    return described(pa.table({name: found[name] for name in PAIRS}), PAIRS)


def described(table: pa.Table, meanings: Mapping[str, str]) -> pa.Table:
    """A table whose columns say what they hold."""
    import pyarrow as pa

    fields = [
        f.with_metadata({"description": meanings[f.name]}) if f.name in meanings else f for f in table.schema
    ]
    return table.cast(pa.schema(fields, metadata={"orientation": "source sends, target receives"}))


def _places(names: Sequence[str], among: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(among)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them; what is not known is None."""
    return [v if math.isfinite(v) else None for v in values.tolist()]
