"""Edges: who met whom, one row per origin, recipient and vesicle kind, whatever engine counted them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.state import OUTSIDE, Resolution
from exoabm.vesicle import cargo_names

if TYPE_CHECKING:
    from exoabm.ledger import EdgeBook
    from exoabm.state import State

COUNTS = ("encountered", "bound", "internalized", "lysosomal", "recycled", "delivered")
UNKNOWN = -1
"""Birth id of a donor of which only the type is known."""


@dataclass(frozen=True)
class Edges:
    """Columns of equal length; rows send, columns receive.

    Attributes
    ----------
    resolution : Resolution
        Whether donors are cells or only types.
    donor : numpy.ndarray
        Birth id of the sending cell, ``UNKNOWN`` at resolution ``cell_type`` and for the reservoir.
    origin : numpy.ndarray
        Index into ``origins``, the names of donor types (the reservoir may be among them).
    recipient, kind : numpy.ndarray
        Row of the receiving cell, index of the vesicle kind.
    counts : dict of numpy.ndarray
        Vesicles, by the names in ``COUNTS``, and copies delivered, by ``copies_delivered_<cargo>``.
    first, last : numpy.ndarray
        Times in s, NaN where there is none.
    """

    resolution: Resolution
    origins: tuple[str, ...]
    donor: np.ndarray
    origin: np.ndarray
    recipient: np.ndarray
    kind: np.ndarray
    counts: dict[str, np.ndarray]
    first: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.donor)


def edges_of(state: State) -> Edges:
    """The edges of a state, in the order kind, recipient, origin; single vesicles know their donor cell."""
    return _expected_edges(state) if state.book is None else _counted_edges(state, state.book)


def _counted_edges(state: State, book: EdgeBook) -> Edges:
    tables = [book.edges(kind) for kind in range(len(state.kinds))]
    joined = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    row_of = np.argsort(state.cells.birth_id, kind="stable")
    sorted_ids = state.cells.birth_id[row_of]
    donor_row = row_of[np.searchsorted(sorted_ids, joined["donor"])]
    recipient = row_of[np.searchsorted(sorted_ids, joined["recipient"])]
    origins = tuple(name for name in dict.fromkeys(state.labels.types) if name not in OUTSIDE)
    counts = {name: joined[name].astype(float) for name in book.columns}
    counts["bound"] = counts["encountered"] - counts.pop("unbound") - counts["internalized"]
    return Edges(
        resolution=Resolution.CELL,
        origins=origins,
        donor=joined["donor"],
        origin=np.array([origins.index(t.name) if t.name in origins else -1 for t in state.types])[
            state.cells.type[donor_row]
        ],
        recipient=recipient,
        kind=np.repeat(np.arange(len(tables)), [len(t["donor"]) for t in tables]),
        counts=counts,
        first=joined["first"],
        last=joined["last"],
    )


def _expected_edges(state: State) -> Edges:
    way, labels = state.trafficking, state.labels
    rows = np.nonzero(way.encountered)
    recipient, kind, label = rows
    origins = tuple(dict.fromkeys(labels.types))
    origin_of = np.array([origins.index(name) for name in labels.types], dtype=np.int64)
    donor_of = np.full(len(labels), UNKNOWN, dtype=np.int64)
    if labels.resolution is Resolution.CELL:
        for i, name in enumerate(labels.names):
            donor_of[i] = UNKNOWN if name in OUTSIDE else int(name)
    return Edges(
        resolution=labels.resolution,
        origins=origins,
        donor=donor_of[label],
        origin=origin_of[label],
        recipient=recipient,
        kind=kind,
        counts={count: getattr(way, count)[rows] for count in COUNTS} | _mean_copies(state, rows),
        first=way.first_contact[rows],
        last=way.last_contact[rows],
    )


def copies_columns(state: State) -> list[str]:
    """Names of the columns of delivered copies, one per cargo."""
    return [f"copies_delivered_{name}" for name in cargo_names(state.kinds)]


def _mean_copies(state: State, rows: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    delivered, kind = state.trafficking.delivered[rows], rows[1]
    result = {}
    for name in copies_columns(state):
        cargo = name.removeprefix("copies_delivered_")
        mean = np.array([sum(c.copies for c in k.cargo if c.name == cargo) for k in state.kinds])
        result[name] = delivered * mean[kind]
    return result
