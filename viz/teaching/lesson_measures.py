"""What lessons measure on a model: sums of its tables, and the spread of what is free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.communication_graph import edges_of
from exoabm.output.metrics import measure
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel
    from exoabm.state import State


def accounts(model: ExosomeModel) -> dict[str, float]:
    """Vesicles by where they are, in total and as percent of those released."""
    balance = model.state.balance
    emitted = float(balance.emitted.sum())
    taken = float(model.state.trafficking.taken_up.sum())
    found = {"emitted": emitted, "taken": taken, "taken_percent": _percent(taken, emitted)}
    for place in ("free", "cleared", "escaped", "delivered"):
        found[place] = float(balance[place].sum())
        found[f"{place}_percent"] = _percent(found[place], emitted)
    return found


def outcome(model: ExosomeModel) -> dict[str, float]:
    """The readout of the scenario, the same per recipient as a whole, and the relative noise of a count.

    A count of mean N of independent events has the standard deviation sqrt(N): 100 / sqrt(N) percent of it.
    """
    found = accounts(model)
    asked = model.scenario.main_readout
    value = measure(model.state).get(asked.metric, math.nan) if asked is not None else math.nan
    taken = found["taken"]
    root = math.sqrt(taken)
    return found | {"readout": value, "root": root, "noise_percent": 100 / root if root > 0 else math.nan}


def first_meeting(model: ExosomeModel) -> dict[str, float]:
    """Hours until a recipient first met a vesicle, and how long diffusion over the distance alone takes.

    t = r^2 / (6 D), the time in which the mean square distance from the donor grows to r^2.
    """
    edges = edges_of(model.state)
    first = edges.first[np.isfinite(edges.first)]
    cells, domain = model.state.cells, model.state.domain
    between = float(np.linalg.norm(domain.displacement(cells.position[:1], cells.position[1:2])))
    cross = between**2 / (6 * model.state.kinds[0].diffusivity)
    meeting = float(first.min()) / 3600 if len(first) else math.nan
    return {"first_h": meeting, "cross_s": cross, "distance_um": between}


def mean_square_distance(state: State) -> float:
    """Mean square distance in um^2 of free vesicles from the middle of the donors."""
    donors = state.cells.position[state.labels.of_cell >= 0].mean(axis=0)
    free = state.free_per_voxel(0).sum(axis=0)
    domain = state.domain
    x, y = (domain.centers(axis) for axis in (0, 1))
    square = (x[None, :] - donors[0]) ** 2 + (y[:, None] - donors[1]) ** 2
    total = float(free.sum())
    return float((free * square).sum() / total) if total > 0 else math.nan


def spread(model: ExosomeModel) -> dict[str, float]:
    """The length that vesicles get to, as measured and as sqrt(D/k) says; growth in the last half of the run.

    A vesicle lives for 1/k on average, and in a layer <r^2> = 4 D t; so at rest <r^2> = 4 D/k, and half the
    root of the mean square distance is sqrt(D/k).
    """
    state = model.state
    kind = state.kinds[0]
    square = mean_square_distance(state)
    diffusivity = kind.diffusivity * float(np.mean(state.domain.hindrance))
    measured = math.sqrt(square) / 2
    rate = diffusivity / measured**2
    rows = [*model.history.rows, measure(state)]
    free = named("free", kind.name)
    halfway = next(row[free] for row in rows if row["time_h"] >= model.hours / 2)
    return {
        "settled_percent": _percent(rows[-1][free] - halfway, halfway),
        "square": square,
        "measured": measured,
        "law": math.sqrt(diffusivity / kind.decay_rate),
        "rate_h": rate * 3600,
        "decay_h": kind.decay_rate * 3600,
        "extra_h": (rate - kind.decay_rate) * 3600,
    }


def single_vesicle(model: ExosomeModel) -> dict[str, float]:
    """Speed of a cell that follows vesicles after a single one, as percent of its full speed.

    n^h / (K^h + n^h) for n copies in a vesicle, the threshold K and the exponent h.
    """
    follows = next(t.attraction for t in model.state.types if t.attraction is not None)
    copies = max((cargo.copies for cargo in model.state.kinds[follows.vesicle].cargo), default=1.0)
    return {"single_percent": 100 / (1 + (follows.half_max / copies) ** follows.hill)}


def network(model: ExosomeModel) -> dict[str, float]:
    """Who received most, how unequally it is shared out, how much went in total."""
    state = model.state
    edges = edges_of(state)
    value = edges.counts["taken_up"]
    got, sent = (
        received(state),
        np.array(
            [value[edges.donor == birth].sum() for birth in state.cells.birth_id[state.labels.of_cell >= 0]]
        ),
    )
    rank = np.argsort(-got, kind="stable")
    top = max(1, len(got) // 10)
    takers = state.cells.birth_id[state.of_type("uptake_rate").max(axis=1) > 0]
    return {
        "hub": float(takers[rank[0]]),
        "hub_got": float(got[rank[0]]),
        "top_percent": _percent(float(got[rank[:top]].sum()), float(got.sum())),
        "top_cells": float(top),
        "total": float(got.sum()),
        "mean_got": float(got.mean()),
        "median_got": float(np.median(got)),
        "sent_spread": _spread(sent),
        "got_spread": _spread(got),
    }


def received(state: State) -> np.ndarray:
    """Vesicles taken up by each cell that can."""
    takers = state.of_type("uptake_rate").max(axis=1) > 0
    return np.asarray(state.trafficking.taken_up.sum(axis=(1, 2))[takers])


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else math.nan


def _spread(values: np.ndarray) -> float:
    """Standard deviation as percent of the mean."""
    return 100 * float(values.std() / values.mean()) if len(values) and values.mean() > 0 else math.nan


MEASURES: dict[str, Callable[[ExosomeModel], dict[str, float]]] = {
    "accounts": accounts,
    "outcome": outcome,
    "first_meeting": first_meeting,
    "single_vesicle": single_vesicle,
    "spread": spread,
    "network": network,
}
"""What a step can measure on a finished model."""
