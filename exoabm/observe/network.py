"""The communication graph: edges point from donor to recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.observe.edges import COUNTS, UNKNOWN, Edges, edges_of
from exoabm.state import OUTSIDE, Resolution

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from exoabm.state import State


def graph(state: State, most: int | None = None) -> nx.DiGraph:
    """The communication graph, donor -> recipient.

    Nodes are cells (by birth id) at resolution ``cell`` and cell types at resolution ``cell_type``;
    ``graph.graph["resolution"]`` says which. Edges carry the counts of ``edge_table`` summed over vesicle
    kinds, the types at both ends, and ``weight`` = internalized vesicles.

    Of more than ``most`` edges only the strongest are made, and ``graph.graph["left_out"]`` says so. The
    strengths of the nodes count all of them.
    """
    import networkx as nx

    edges = edges_of(state)
    nodes = _nodes(state, edges)
    names = list(nodes)
    sender, receiver = _ends(state, edges, names)
    taken = edges.counts["internalized"]
    for key, end in (("out_strength", sender), ("in_strength", receiver)):
        for data, strength in zip(nodes.values(), np.bincount(end, taken, len(names)).tolist(), strict=True):
            data[key] = strength
    result = nx.DiGraph(
        resolution=edges.resolution.value,
        time_h=state.time / 3600,
        weight="internalized vesicles",
        orientation="edges point from donor to recipient",
    )
    result.add_nodes_from(nodes.items())
    pairs, pair = np.unique(sender * len(names) + receiver, return_inverse=True)
    if most is not None and len(pairs) > most:
        result.graph["left_out"] = f"all but the {most} strongest edges"
        kept = np.sort(np.argsort(-np.bincount(pair, taken), kind="stable")[:most])
        rank = np.full(len(pairs), -1)
        rank[kept] = np.arange(most)
        pairs, pair = pairs[kept], rank[pair]
    ends = np.column_stack(np.divmod(pairs, len(names))).tolist()
    for (a, b), data in zip(ends, _attributes(state, edges, pair, len(pairs)), strict=True):
        donor, recipient = names[a], names[b]
        types = {
            "donor_type": nodes[donor]["cell_type"],
            "recipient_type": nodes[recipient]["cell_type"],
        }
        result.add_edge(donor, recipient, **types, **data)
    return result


def _nodes(state: State, edges: Edges) -> dict[Any, dict[str, Any]]:
    """Cells in the order of birth, or types; then origins that are neither."""
    cells = edges.cells
    types = np.array([t.name for t in state.types])[cells.type].tolist()
    nodes: dict[Any, dict[str, Any]]
    if edges.resolution is Resolution.CELL:
        places = cells.position.tolist()
        nodes = {
            name: {"cell_type": of, "x_um": x, "y_um": y, "z_um": z}
            for name, of, (x, y, z) in zip(cells.birth_id.tolist(), types, places, strict=True)
        }
        others = [name for name in edges.origins if name in OUTSIDE]
    else:
        nodes = {name: {"cell_type": name, "cells": types.count(name)} for name in sorted(set(types))}
        others = [name for name in edges.origins if name not in nodes]
    return nodes | {name: {"cell_type": name} for name in others}


def _ends(state: State, edges: Edges, names: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Places among the nodes of the donor and the recipient of every row of edges."""
    place = {name: i for i, name in enumerate(names)}
    origin = np.array([place.get(name, -1) for name in edges.origins], dtype=np.int64)[edges.origin]
    if edges.resolution is Resolution.CELL:
        return np.where(edges.donor == UNKNOWN, origin, edges.cells.row_of(edges.donor)), edges.recipient
    kind = np.array([place.get(t.name, -1) for t in state.types])
    return origin, kind[edges.cells.type[edges.recipient]]


def _attributes(state: State, edges: Edges, pair: np.ndarray, pairs: int) -> Iterator[dict[str, Any]]:
    """Of each pair, all vesicle kinds together; rows whose ``pair`` is negative belong to none."""
    chosen = pair >= 0
    pair = pair[chosen]
    flows = {name: np.bincount(pair, edges.counts[name][chosen], pairs) for name in COUNTS}
    flows["weight"] = flows["internalized"]
    times = {"first_time_s": np.full(pairs, np.nan), "last_time_s": np.full(pairs, np.nan)}
    np.fmin.at(times["first_time_s"], pair, edges.first[chosen])
    np.fmax.at(times["last_time_s"], pair, edges.last[chosen])
    shared = {
        "vesicle_kind": ", ".join(k.name for k in state.kinds),
        "cargo": ", ".join(sorted({c.name for k in state.kinds for c in k.cargo})),
    }
    for row in range(pairs):
        numbers = {name: float(array[row]) for name, array in flows.items()}
        known = {name: float(t[row]) for name, t in times.items() if not np.isnan(t[row])}
        yield shared | numbers | known
