"""Edges: who met whom, one row per origin, recipient and vesicle kind, whatever engine counted them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.state import RESERVOIR, Resolution

if TYPE_CHECKING:
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
        Vesicles, by the names in ``COUNTS``.
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
    """The edges of a state, in the order recipient, kind, origin."""
    way, labels = state.trafficking, state.labels
    rows = np.nonzero(way.encountered)
    recipient, kind, label = rows
    origins = tuple(dict.fromkeys(labels.types))
    origin_of = np.array([origins.index(name) for name in labels.types], dtype=np.int64)
    donor_of = np.full(len(labels), UNKNOWN, dtype=np.int64)
    if labels.resolution is Resolution.CELL:
        for i, name in enumerate(labels.names):
            donor_of[i] = UNKNOWN if name == RESERVOIR else int(name)
    return Edges(
        resolution=labels.resolution,
        origins=origins,
        donor=donor_of[label],
        origin=origin_of[label],
        recipient=recipient,
        kind=kind,
        counts={count: getattr(way, count)[rows] for count in COUNTS},
        first=way.first_contact[rows],
        last=way.last_contact[rows],
    )
