"""Communication between cells and between types: edge table, sums by pairs of types, reach and distances.

Rows are donors and columns recipients in every matrix. Between two types

    distance = sum over pairs of cells (vesicles d) / sum (vesicles)

is the mean distance, weighted by vesicles taken up; a cell that takes up its own vesicles counts with
distance 0. It is not known where only the donor's type is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication_graph import COUNTS, UNKNOWN, Edges, all_cells, apart, edges_of, places
from exoabm.cell_type import reachable
from exoabm.errors import InputError
from exoabm.state import ANY_CELL, OUTSIDE, Resolution
from exoabm.tables.declarations import CELL, DOSE, RESERVOIR, TABLES
from exoabm.vesicle import cargo_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from exoabm.state import State

PER_ML = 1e12
"""Vesicles/um^3 to vesicles/mL."""
LISTED = 10
"""Strongest edges of a summary."""


def edge_table(state: State, about: Mapping[str, str] | None = None, edges: Edges | None = None) -> pa.Table:
    """One row per sender, recipient and vesicle kind that met; see ``tables.declarations``.

    At resolution ``cell_type`` the sender is a type and ``donor`` is null. ``about`` goes into the footer.
    ``edges`` are the edges of the state, if they are available.
    """
    from exoabm.tables.schema import build, words

    edges = edges_of(state) if edges is None else edges
    return build(
        TABLES["edges"],
        {
            **_ends(state, edges),
            "recipient_type": words([t.name for t in state.types], edges.cells.type[edges.recipient]),
            **edges.counts,
            "first_time_s": edges.first,
            "last_time_s": edges.last,
            "distance_um": apart(edges, state.domain.displacement),
        },
        dict(about or {}) | {"resolution": edges.resolution.value},
    )


def cargo_table(state: State, about: Mapping[str, str] | None = None, edges: Edges | None = None) -> pa.Table:
    """Copies of cargo delivered over each edge: a row for each cargo of its kind; see ``edge_table``."""
    from exoabm.tables.schema import arrow, build, words

    edges, names = edges_of(state) if edges is None else edges, cargo_names(state.kinds)
    carries = np.array([[any(c.name == name for c in k.cargo) for name in names] for k in state.kinds], bool)
    row, cargo = np.nonzero(carries.reshape(len(state.kinds), -1)[edges.kind])
    copies = np.array([edges.copies[name] for name in names]).reshape(len(names), len(edges))
    ends = {name: column.take(arrow(row)) for name, column in _ends(state, edges).items()}
    return build(
        TABLES["edges_by_cargo"],
        ends | {"cargo": words(names, cargo), "copies_delivered": copies[cargo, row]},
        dict(about or {}) | {"resolution": edges.resolution.value},
    )


def _ends(state: State, edges: Edges) -> dict[str, pa.Array]:
    """Sender, recipient and vesicle kind of each edge."""
    from exoabm.tables.schema import arrow, senders, words

    return {
        **senders(edges.origins, edges.origin, edges.donor),
        "recipient": arrow(edges.cells.birth_id[edges.recipient]),
        "vesicle_kind": words([k.name for k in state.kinds], edges.kind),
    }


@dataclass(frozen=True)
class TypeMatrix:
    """A quantity exchanged between types: ``values[i, j]`` from ``donors[i]`` to ``recipients[j]``.

    Types that cells can turn into are among them, with zeros where none did.
    """

    donors: tuple[str, ...]
    recipients: tuple[str, ...]
    values: np.ndarray

    def shares(self) -> np.ndarray:
        """Each row as shares of its sum: how a donor type's vesicles divide among recipient types."""
        total = self.values.sum(axis=1, keepdims=True)
        return np.divide(self.values, total, out=np.zeros_like(self.values), where=total > 0)


def type_matrix(state: State, count: str = "taken_up", edges: Edges | None = None) -> TypeMatrix:
    """Vesicles by donor type and recipient type; ``count`` is one of ``COUNTS``.

    ``edges`` are the edges of the state, if they are available.
    """
    if count not in COUNTS:
        raise InputError(f"unknown count {count!r}; one of {', '.join(COUNTS)}")
    edges = edges_of(state) if edges is None else edges
    donors, recipients = donors_and_recipients(state, edges)
    types = [t.name for t in state.types]
    values = np.zeros((len(donors), len(types)))
    np.add.at(values, (edges.origin, edges.cells.type[edges.recipient]), edges.counts[count])
    return TypeMatrix(donors, recipients, values[:, [types.index(name) for name in recipients]])


def donors_and_recipients(state: State, edges: Edges) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all possible senders and of all possible recipient types of the run.

    The former begin with the origins of the edges, in their order.
    """
    # What chance alone decides must not decide which entries there are: means over runs would lack zeros.
    ever = {*edges.cells.type.tolist(), *state.lineage.changed["type"].tolist()}
    present = sorted(reachable(state.types, ever))
    donors = edges.origins
    if edges.resolution is Resolution.CELL:
        sent = reachable(state.types, {i for i in present if state.types[i].donates})
        donors = tuple(dict.fromkeys((*donors, *(state.types[i].name for i in sorted(sent)))))
    return donors, tuple(state.types[i].name for i in present)


def reach(state: State, edges: Edges | None = None) -> dict[str, dict[str, Any]]:
    """How far each donor type's vesicles got, in um, weighted by vesicles taken up.

    At resolution ``cell`` distances are those between a donor and another cell, and ``autocrine_share``
    is what donors took up of their own. At resolution ``cell_type`` the donor cell is not known; the
    distance is that to the *nearest* cell that has been a donor of the type, a lower bound, and ``basis``
    says so.
    """
    edges = edges_of(state) if edges is None else edges
    by_cell = edges.resolution is Resolution.CELL
    result: dict[str, dict[str, Any]] = {}
    for index, origin in enumerate(edges.origins):
        mine = (edges.origin == index) & (edges.counts["taken_up"] > 0)
        if origin in (*OUTSIDE, ANY_CELL) or not mine.any():
            continue
        taken, recipient = edges.counts["taken_up"][mine], edges.recipient[mine]
        found: dict[str, Any] = {}
        if by_cell:
            donor = edges.cells.row_of(edges.donor[mine])
            start, end = edges.cells.position[donor], edges.cells.position[recipient]
            distance = np.linalg.norm(state.domain.displacement(start, end), axis=1)
            own = donor == recipient
            found["autocrine_share"] = float(taken[own].sum() / taken.sum())
            found["basis"] = "donor cell to another cell"
            taken, distance = taken[~own], distance[~own]
        else:
            distance = nearest_donor_distance(state, origin)[recipient]
            found["basis"] = "nearest donor of the type (lower bound)"
        if len(taken):
            found["mean_um"] = float(np.average(distance, weights=taken))
            found["median_um"] = _quantile(distance, taken, 0.5)
            found["q90_um"] = _quantile(distance, taken, 0.9)
        result[origin] = found
    return result


def nearest_donor_distance(state: State, donor_type: str | None = None) -> np.ndarray:
    """Distance in um from each present or past cell to the nearest present or past donor, shape (n,).

    A donor of ``donor_type``, if that is given; positions are present, or those at death.
    """
    cells = all_cells(state)
    return state.domain.distance_to_nearest(cells.position, cells.position[cells.donated(state, donor_type)])


def communication_distance(state: State, kind: int, threshold: float) -> float:
    """Distance in um from the nearest donor out to which the concentration reaches ``threshold``.

    The mean concentration in shells one voxel wide around the donors is followed outward; the distance
    is interpolated in the logarithm of the concentration where it first falls below ``threshold``
    (vesicles/um^3). 0 if it never reaches it, inf if it never falls below.
    """
    domain = state.domain
    donors = state.cells.position[state.labels.of_cell >= 0]
    if not len(donors):
        return 0.0
    distance, profile = distance_profile(state, kind)
    below = np.flatnonzero(profile < threshold)
    if not len(below):
        return float("inf")
    first = int(below[0])
    if first == 0:
        return 0.0
    inner, outer = np.log(profile[first - 1]), np.log(max(profile[first], 1e-300))
    share = (inner - np.log(threshold)) / (inner - outer)
    return float(distance[first - 1] + share * domain.voxel)


def distance_profile(state: State, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean concentration (vesicles/um^3) in shells around the nearest donor, and their radii in um."""
    domain = state.domain
    donors = state.cells.position[state.labels.of_cell >= 0]
    axes = np.meshgrid(*(domain.centers(a) for a in reversed(range(domain.dim))), indexing="ij")
    centers = np.zeros((domain.n_voxels, 3))
    for axis, values in enumerate(reversed(axes)):
        centers[:, axis] = values.ravel()
    if domain.dim == 2:
        centers[:, 2] = donors[0, 2]
    distance = state.domain.distance_to_nearest(centers, donors)
    shell = (distance / domain.voxel).astype(np.int64)
    weight = np.ones(domain.n_voxels)
    if domain.obstacle is not None:
        weight[domain.obstacle.ravel()] = 0.0
    free = state.free_per_voxel(kind).sum(axis=0, dtype=float).ravel()
    count = np.bincount(shell, weights=weight)
    total = np.bincount(shell, weights=free * weight)
    mean_distance = np.bincount(shell, weights=distance * weight)
    full = count > 0
    return mean_distance[full] / count[full], total[full] / count[full] / domain.voxel_volume


def summary(state: State, threshold: float, edges: Edges | None = None) -> dict[str, Any]:
    """The measures of a run in plain data, for ``summary.json`` and the command line; see ``edge_table``."""
    edges = edges_of(state) if edges is None else edges
    matrix = type_matrix(state, edges=edges)
    return {
        "resolution": edges.resolution.value,
        "orientation": "rows send, columns receive",
        "taken_up_by_type": _nested(matrix, matrix.values),
        "share_by_type": _nested(matrix, matrix.shares()),
        "delivered_by_type": _nested(matrix, type_matrix(state, "delivered", edges).values),
        "effect_by_type": _effects(state),
        "reach": reach(state, edges),
        "strongest_edges": strongest(state, edges),
        "communication_distance_um": {
            kind.name: _finite(communication_distance(state, k, threshold))
            for k, kind in enumerate(state.kinds)
        },
        "threshold_per_mL": threshold * PER_ML,
    }


def _effects(state: State) -> dict[str, dict[str, float]]:
    """How far cells of each type that responds have been moved, and how many of them at least half way."""
    found = {}
    for index in sorted({response.cell_type for response in state.responses}):
        effect = state.cells.effect[state.cells.type == index]
        if len(effect):
            found[state.types[index].name] = {
                "cells": len(effect),
                "effect_mean": float(effect.mean()),
                "responding_cells": int((effect >= 0.5).sum()),
            }
    return found


def strongest(state: State, edges: Edges) -> list[dict[str, Any]]:
    """The edges between two cells over which most vesicles went; none where donors are not known."""
    if edges.resolution is not Resolution.CELL:
        return []
    between = edges.donor != edges.cells.birth_id[edges.recipient]
    taken = np.where(between, edges.counts["taken_up"], 0.0)
    order = np.lexsort((edges.donor, edges.recipient, -taken))[:LISTED]
    types = [t.name for t in state.types]
    return [
        {
            "donor": int(edges.donor[i]) if edges.donor[i] != UNKNOWN else None,
            "recipient": int(edges.cells.birth_id[edges.recipient[i]]),
            "donor_type": edges.origins[edges.origin[i]],
            "recipient_type": types[edges.cells.type[edges.recipient[i]]],
            "vesicle_kind": state.kinds[edges.kind[i]].name,
            **{name: float(edges.counts[name][i]) for name in ("encountered", "taken_up", "delivered")},
            "copies_delivered": {name: float(copies[i]) for name, copies in edges.copies.items()},
        }
        for i in order
        if taken[i] > 0
    ]


def _nested(matrix: TypeMatrix, values: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        donor: dict(zip(matrix.recipients, map(float, row), strict=True))
        for donor, row in zip(matrix.donors, values, strict=True)
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _quantile(values: np.ndarray, weight: np.ndarray, q: float) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(cumulative, q * cumulative[-1])])


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
        Names of rows and of columns; see ``communication.donors_and_recipients``.
    types, kinds : sequence of str
        Names that the indices of the edges mean.
    """
    shape = (len(donors), len(recipients), len(kinds))
    row = places(edges.origins, donors)[edges.origin]
    column = places(types, recipients)[edges.cells.type[edges.recipient]]
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


def pairs_of(state: State, edges: Edges | None = None) -> Columns:
    """Vesicles exchanged between the types of a state until now; see ``type_pairs`` and ``edge_table``."""
    edges = edges_of(state) if edges is None else edges
    donors, recipients = donors_and_recipients(state, edges)
    distance = apart(edges, state.domain.displacement)
    types, kinds = [t.name for t in state.types], [k.name for k in state.kinds]
    return type_pairs(edges, distance, donors, recipients, types, kinds)


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, None where not finite."""
    return [v if math.isfinite(v) else None for v in values.tolist()]
