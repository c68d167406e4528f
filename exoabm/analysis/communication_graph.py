"""Edges of both engines, one per origin, recipient and vesicle kind, and the communication graph of them.

An edge counts encounters and their outcomes, and points from donor to recipient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.accounting.lineage import CUMULATIVE_COUNTS
from exoabm.cargo import CargoClass
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.declarations import BETWEEN_CELLS
from exoabm.tables.readouts import named
from exoabm.vesicle import NON_CELL_ID, cargo_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import networkx as nx

    from exoabm.accounting.contact_table import ContactTable
    from exoabm.state import State


COUNTS = tuple(BETWEEN_CELLS)
COPIES = "copies_delivered_"
"""Before the name of a cargo, its column in the contact table."""
UNKNOWN = -1
"""Birth id of a donor of which only the type is known."""


@dataclass(frozen=True)
class AllCells:
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


def all_cells(state: State) -> AllCells:
    """All present and past cells."""
    cells, dead = state.cells, state.lineage.dead
    if not len(dead):
        return AllCells(cells.birth_id, cells.type, cells.position)
    columns = {
        name: np.concatenate([dead[name], getattr(cells, name)]) for name in ("birth_id", "type", "position")
    }
    order = np.argsort(columns["birth_id"])
    return AllCells(**{name: column[order] for name, column in columns.items()})


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
    cells : AllCells
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
    cells: AllCells
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
    each = [len(table["donor"]) for table in tables]
    joined = {name: np.concatenate([t.pop(name) for t in tables]) for name in tuple(tables[0])}
    cells = all_cells(state)
    donor, recipient = joined["donor"], cells.row_of(joined["recipient"])
    outside = donor >= NON_CELL_ID
    # A donor may have become a cell of a type that releases nothing.
    now = cells.type[cells.row_of(donor[~outside])]
    became = (state.types[i].name for i in np.unique(now))
    origins = tuple(dict.fromkeys((*state.labels.types, *became)))
    origin = np.empty(len(donor), np.int64)
    origin[~outside] = places([t.name for t in state.types], origins)[now]
    origin[outside] = places(state.labels.types, origins)[donor[outside] - NON_CELL_ID]
    counts = {name: joined.pop(name).astype(float) for name in book.columns}
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
        kind=np.repeat(np.arange(len(tables)), each),
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
    way, labels, cells = state.trafficking, state.labels, all_cells(state)
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


def copies_delivered(
    state: State, kinds: Sequence[int] | None = None, *, waste: bool = True
) -> dict[str, np.ndarray]:
    """Copies of each cargo that reached the cytosol of each living cell until now, (n), by its name.

    They are those of all ``kinds`` of vesicles if none are given. Without ``waste`` it is left out, since it
    enters a cell by whichever route.

    A vesicle may open to the cytosol without a copy of its cargo. Of single vesicles the copies that came are
    counted; of expected numbers they are the vesicles that opened times the mean copies in one.
    """
    living = state.cells.birth_id
    wanted = {c.name for kind in state.kinds for c in kind.cargo if waste or c.role is not CargoClass.WASTE}
    found = {name: np.zeros(len(living)) for name in cargo_names(state.kinds) if name in wanted}
    for k in range(len(state.kinds)) if kinds is None else kinds:
        carried = [cargo for cargo in state.kinds[k].cargo if cargo.name in found]
        if not state.follows_vesicles:
            for cargo in carried:
                found[cargo.name] += cargo.copies * state.trafficking.delivered[:, k].sum(axis=1)
            continue
        recipient, counts = state.contacts.open_edges(k)
        for cargo in carried:
            copies = counts[:, state.contacts.columns.index(f"{COPIES}{cargo.name}")]
            found[cargo.name] += np.bincount(recipient, copies, state.lineage.born)[living]
    return found


SMALLEST = float(np.finfo(float).tiny)
"""Vesicles, below which their reciprocal is not finite and an edge has no uptake."""


@dataclass(frozen=True)
class Network:
    """The communication graph as columns, an entry for each edge; see ``graph``.

    Attributes
    ----------
    about : dict
        Attributes of the graph.
    nodes : dict
        Attributes of each node by its name.
    donor, recipient : numpy.ndarray
        Places of both ends among the nodes, (m,).
    words, numbers : dict of numpy.ndarray
        Attributes of the edges; NaN where an edge has none.
    """

    about: dict[str, Any]
    nodes: dict[Any, dict[str, Any]]
    donor: np.ndarray
    recipient: np.ndarray
    words: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]


def graph(state: State, most: int | None = None, *, met: bool = False) -> nx.DiGraph:
    """The communication graph, donor -> recipient.

        weight = vesicles taken up,    distance = 1 / weight

    Nodes are cells (by birth id) at resolution ``cell`` and cell types at resolution ``cell_type``;
    see ``graph.graph["resolution"]``. They have a ``label`` and, if they are cells, ``x``, ``y`` and
    ``z`` in um, where other programs look for them. At resolution ``none`` all vesicles come from the node
    ``any``, and only it has an ``out_strength``. An edge carries the counts of ``edge_table`` summed over
    vesicle kinds; ``taken_up[<kind>]`` and ``delivered[<kind>]`` of each kind;
    ``copies_delivered[<cargo>]``;
    the types at both ends; and between two cells ``distance_um``, that between their centers. ``distance`` is
    the length of an edge where a path is to be short along which much is sent.

    Parameters
    ----------
    state : State
    most : int, optional
        Of more edges only the strongest are made, as stated in ``graph.graph["left_out"]``. The strengths of
        the nodes count all of them.
    met : bool
        Keep edges without uptake, too: vesicles met the cell and none was taken up. They have the weight
        0 and no ``distance``; measures that divide by weights refuse them.
    """
    import networkx as nx

    found = network(state, most, met=met)
    result = nx.DiGraph(**found.about)
    result.add_nodes_from(found.nodes.items())
    names = list(found.nodes)
    words = {name: column.tolist() for name, column in found.words.items()}
    numbers = {name: column.tolist() for name, column in found.numbers.items()}
    for row, (a, b) in enumerate(zip(found.donor.tolist(), found.recipient.tolist(), strict=True)):
        data = {name: column[row] for name, column in words.items()}
        # NaN alone differs from itself.
        data |= {name: column[row] for name, column in numbers.items() if column[row] == column[row]}
        result.add_edge(names[a], names[b], **data)
    return result


def network(
    state: State, most: int | None = None, *, met: bool = False, edges: Edges | None = None
) -> Network:
    """The communication graph as columns; the parameters are those of ``graph``.

    ``edges`` are the edges of the state, if they are available.
    """
    edges = edges_of(state) if edges is None else edges
    nodes = _nodes(state, edges)
    names = list(nodes)
    sender, receiver = _ends(state, edges, names)
    taken = edges.counts["taken_up"]
    for key, end in (("out_strength", sender), ("in_strength", receiver)):
        strengths = np.bincount(end, taken, len(names)).tolist()
        for (name, data), strength in zip(nodes.items(), strengths, strict=True):
            if edges.resolution is not Resolution.NONE or (name in edges.origins) is (end is sender):
                data[key] = strength
    about = {
        "resolution": edges.resolution.value,
        "time_h": state.time / 3600,
        "weight": "vesicles taken up",
        "orientation": "edges point from donor to recipient",
    }
    pairs, pair = np.unique(sender * len(names) + receiver, return_inverse=True)
    weight = np.bincount(pair, taken, len(pairs))
    chosen = np.arange(len(pairs)) if met else np.flatnonzero(weight >= SMALLEST)
    if most is not None and len(chosen) > most:
        about["left_out"] = f"all but the {most} strongest edges"
        chosen = np.sort(chosen[np.argsort(-weight[chosen], kind="stable")[:most]])
    rank = np.full(len(pairs), -1)
    rank[chosen] = np.arange(len(chosen))
    donor, recipient = np.divmod(pairs[chosen], max(len(names), 1))
    types = np.array([data["cell_type"] for data in nodes.values()], dtype=object)
    words = {"donor_type": types[donor], "recipient_type": types[recipient]}
    return Network(about, nodes, donor, recipient, words, _attributes(state, edges, rank[pair], len(chosen)))


def _nodes(state: State, edges: Edges) -> dict[Any, dict[str, Any]]:
    """Cells in the order of birth, or types; then origins that are neither."""
    cells = edges.cells
    types = np.array([t.name for t in state.types])[cells.type].tolist()
    nodes: dict[Any, dict[str, Any]]
    if edges.resolution is Resolution.CELL:
        nodes = {
            name: {"label": f"{of} {name}", "cell_type": of}
            | {"x": x, "y": y, "z": z, "x_um": x, "y_um": y, "z_um": z}
            for name, of, (x, y, z) in zip(
                cells.birth_id.tolist(), types, cells.position.tolist(), strict=True
            )
        }
        others = [name for name in edges.origins if name in OUTSIDE]
    else:
        nodes = {
            name: {"label": name, "cell_type": name, "cells": types.count(name)}
            for name in sorted(set(types))
        }
        others = [name for name in edges.origins if name not in nodes]
    return nodes | {name: {"label": name, "cell_type": name} for name in others}


def _ends(state: State, edges: Edges, names: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Places among the nodes of the donor and the recipient of every row of edges."""
    place = {name: i for i, name in enumerate(names)}
    origin = np.array([place.get(name, -1) for name in edges.origins], dtype=np.int64)[edges.origin]
    if edges.resolution is Resolution.CELL:
        return np.where(edges.donor == UNKNOWN, origin, edges.cells.row_of(edges.donor)), edges.recipient
    kind = np.array([place.get(t.name, -1) for t in state.types])
    return origin, kind[edges.cells.type[edges.recipient]]


def _attributes(state: State, edges: Edges, pair: np.ndarray, pairs: int) -> dict[str, np.ndarray]:
    """Of each pair, all vesicle kinds together and each; rows whose ``pair`` is negative belong to none."""
    chosen = np.flatnonzero(pair >= 0)
    pair = pair[chosen]

    def total(values: np.ndarray, kind: int | None = None) -> np.ndarray:
        rows = slice(None) if kind is None else edges.kind[chosen] == kind
        return np.bincount(pair[rows], values[chosen][rows], pairs)

    flows = {name: total(edges.counts[name]) for name in COUNTS}
    for index, kind in enumerate(state.kinds):
        for name in ("taken_up", "delivered"):
            flows[named(name, kind.name)] = total(edges.counts[name], index)
    for cargo, copies in edges.copies.items():
        flows[named("copies_delivered", cargo)] = total(copies)
    flows["weight"] = flows["taken_up"]
    some = {
        name: np.full(pairs, np.nan) for name in ("distance", "distance_um", "first_time_s", "last_time_s")
    }
    has = flows["weight"] >= SMALLEST
    some["distance"][has] = 1 / flows["weight"][has]
    some["distance_um"][pair] = apart(edges, state.domain.displacement)[chosen]
    np.fmin.at(some["first_time_s"], pair, edges.first[chosen])
    np.fmax.at(some["last_time_s"], pair, edges.last[chosen])
    return flows | some
