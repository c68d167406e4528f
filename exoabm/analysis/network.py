"""The communication graph: edges point from donor to recipient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.edges import COUNTS, UNKNOWN, Edges, apart, edges_of
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    import networkx as nx

    from exoabm.state import State


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
    ``z`` in um, where other programs look for them. An edge carries the counts of ``edge_table`` summed over
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


def network(state: State, most: int | None = None, *, met: bool = False) -> Network:
    """The communication graph as columns; the parameters are those of ``graph``."""
    edges = edges_of(state)
    nodes = _nodes(state, edges)
    names = list(nodes)
    sender, receiver = _ends(state, edges, names)
    taken = edges.counts["taken_up"]
    for key, end in (("out_strength", sender), ("in_strength", receiver)):
        for data, strength in zip(nodes.values(), np.bincount(end, taken, len(names)).tolist(), strict=True):
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
