"""Edges of both engines: encounters and their outcomes, one row per origin, recipient and vesicle kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.accounting.lineage import CUMULATIVE_COUNTS
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.fates import BETWEEN_CELLS
from exoabm.vesicle import DONORS, cargo_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exoabm.accounting.contact_table import ContactTable
    from exoabm.state import State

COUNTS = tuple(BETWEEN_CELLS)
COPIES = "copies_delivered_"
"""Before the name of a cargo, its column in the contact table."""
UNKNOWN = -1
"""Birth id of a donor of which only the type is known."""


@dataclass(frozen=True)
class Everyone:
    """All present and past cells in the order of birth, with their position now or at death."""

    birth_id: np.ndarray
    type: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.birth_id)

    def row_of(self, birth_id: np.ndarray | int) -> np.ndarray:
        """Rows here of cells by their birth ids."""
        return np.searchsorted(self.birth_id, birth_id)

    def donated(self, state: State, donor_type: str | None = None) -> np.ndarray:
        """Which of them are, or were, of a type that donates (of this one, if it is given), (n,)."""
        donors = np.array([t.donates and donor_type in (None, t.name) for t in state.types])
        past = state.lineage.changed
        return donors[self.type] | np.isin(self.birth_id, past["birth_id"][donors[past["type"]]])


def everyone(state: State) -> Everyone:
    """All present and past cells."""
    cells, dead = state.cells, state.lineage.dead
    if not len(dead):
        return Everyone(cells.birth_id, cells.type, cells.position)
    columns = {
        name: np.concatenate([dead[name], getattr(cells, name)]) for name in ("birth_id", "type", "position")
    }
    order = np.argsort(columns["birth_id"])
    return Everyone(**{name: column[order] for name, column in columns.items()})


@dataclass(frozen=True)
class Edges:
    """Columns of equal length, an entry for each edge.

    Attributes
    ----------
    resolution : Resolution
        Whether donors are cells or only types.
    donor : numpy.ndarray
        Birth id of the sending cell, ``UNKNOWN`` at resolution ``cell_type`` and for other senders.
    origin : numpy.ndarray
        Index into ``origins``, the names of donor types (reservoir and dose may be among them).
    cells : Everyone
        All present and past cells; dead cells keep their edges.
    recipient, kind : numpy.ndarray
        Row of the receiving cell in ``cells``, index of the vesicle kind.
    counts : dict of numpy.ndarray
        Vesicles, by the names in ``COUNTS``.
    copies : dict of numpy.ndarray
        Copies delivered, by the name of the cargo.
    first, last : numpy.ndarray
        Times in s, NaN where there is none.
    """

    resolution: Resolution
    origins: tuple[str, ...]
    cells: Everyone
    donor: np.ndarray
    origin: np.ndarray
    recipient: np.ndarray
    kind: np.ndarray
    counts: dict[str, np.ndarray]
    copies: dict[str, np.ndarray]
    first: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.donor)


def edges_of(state: State) -> Edges:
    """The edges of a state; donors of single vesicles are cells.

    They are in the order of kind, recipient, donor cell and, where that is not known, the origin's name.
    """
    return _expected_edges(state) if not state.follows_vesicles else _counted_edges(state, state.contacts)


def _counted_edges(state: State, book: ContactTable) -> Edges:
    tables = [book.edges(kind) for kind in range(len(state.kinds))]
    joined = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    cells = everyone(state)
    donor, recipient = joined["donor"], cells.row_of(joined["recipient"])
    outside = donor >= DONORS
    # A donor may have become a cell of a type that releases nothing.
    now = cells.type[cells.row_of(donor[~outside])]
    became = (state.types[i].name for i in np.unique(now))
    origins = tuple(dict.fromkeys((*state.labels.types, *became)))
    origin = np.empty(len(donor), np.int64)
    origin[~outside] = places([t.name for t in state.types], origins)[now]
    origin[outside] = places(state.labels.types, origins)[donor[outside] - DONORS]
    counts = {name: joined[name].astype(float) for name in book.columns}
    copies = {name: counts.pop(f"{COPIES}{name}") for name in cargo_names(state.kinds)}
    counts["bound"] = counts["encountered"] - counts.pop("unbound") - counts["taken_up"]
    handed_over, inherited, shed = (counts.pop(name, 0.0) for name in MEMBRANE_COUNTS.values())
    counts["bound"] += inherited - handed_over - shed
    return Edges(
        resolution=Resolution.CELL,
        origins=origins,
        cells=cells,
        donor=np.where(outside, UNKNOWN, donor),
        origin=origin,
        recipient=recipient,
        kind=np.repeat(np.arange(len(tables)), [len(t["donor"]) for t in tables]),
        counts=counts,
        copies=copies,
        # What came with a division was never met.
        first=np.where(np.isfinite(joined["first"]), joined["first"], np.nan),
        last=np.where(np.isfinite(joined["last"]), joined["last"], np.nan),
    )


def places(names: Sequence[str], among: Sequence[str]) -> np.ndarray:
    """The index of each name among others, -1 where it is none of them."""
    place = {name: i for i, name in enumerate(among)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def _expected_edges(state: State) -> Edges:
    way, labels, cells = state.trafficking, state.labels, everyone(state)
    # A daughter may hold what her mother met.
    rows = np.nonzero((way.encountered != 0) | (way.bound != 0) | (way.endosomal != 0) | (way.taken_up != 0))
    recipient, kind, label = cells.row_of(state.cells.birth_id[rows[0]]), *rows[1:]
    counts = {count: getattr(way, count)[rows] for count in COUNTS}
    first, last, met = way.first_contact[rows], way.last_contact[rows], state.lineage.contacts
    if len(met):
        recipient = np.concatenate([recipient, cells.row_of(met["recipient"])])
        kind, label = np.concatenate([kind, met["kind"]]), np.concatenate([label, met["label"]])
        none = np.zeros(len(met))
        for name in COUNTS:
            counts[name] = np.concatenate([counts[name], met[name] if name in CUMULATIVE_COUNTS else none])
        first = np.concatenate([first, met["first_contact"]])
        last = np.concatenate([last, met["last_contact"]])
    donor_of, named = np.full(len(labels), UNKNOWN, dtype=np.int64), list(labels.types)
    if labels.resolution is Resolution.CELL:
        for i, name in enumerate(labels.names):
            if name not in OUTSIDE:
                donor_of[i] = int(name)
                named[i] = state.types[cells.type[cells.row_of(int(name))]].name
    origins = tuple(dict.fromkeys(named))
    origin_of = places(named, origins)
    donor, origin = donor_of[label], origin_of[label]
    by_name = np.argsort(np.argsort(np.array(origins)))[origin]
    order = np.lexsort((by_name, donor, donor == UNKNOWN, recipient, kind))
    kind = kind[order]
    counts = {name: count[order] for name, count in counts.items()}
    return Edges(
        resolution=labels.resolution,
        origins=origins,
        cells=cells,
        donor=donor[order],
        origin=origin[order],
        recipient=recipient[order],
        kind=kind,
        counts=counts,
        copies=_mean_copies(state, counts["delivered"], kind),
        first=first[order],
        last=last[order],
    )


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


def _mean_copies(state: State, delivered: np.ndarray, kind: np.ndarray) -> dict[str, np.ndarray]:
    result = {}
    for name in cargo_names(state.kinds):
        mean = np.array([sum(c.copies for c in k.cargo if c.name == name) for k in state.kinds])
        result[name] = delivered * mean[kind]
    return result
