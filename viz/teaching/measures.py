"""What lessons measure on a model: sums of its tables, and the spread of what is free."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.communication import PER_ML, distance_profile
from exoabm.analysis.communication_graph import edges_of
from exoabm.output.metrics import measure
from exoabm.plot.palette import Looks
from exoabm.plot.scales import linear, logarithmic, ticks
from exoabm.tables.readouts import named
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.results.communication_views import VIEWS
from exoabm.viz.results.svg import PAGE, WIDTH, drawing, label, line, message, number, power, tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel
    from exoabm.state import State
    from exoabm.viz.results.svg import Theme


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


HEIGHT = 314.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 526.0, 34.0, 220.0
"""Of the axes; a tick label may be 60 wide, on a narrow page where letters are larger."""
DECADES = 4


def draw_spread(model: ExosomeModel, look: Theme = PAGE) -> str:
    """Mean concentration against distance from the donor, and the mean square distance in words."""
    state = model.state
    distance, concentration = distance_profile(state, 0)
    concentration = concentration * PER_ML
    title = "Concentration against distance"
    if not concentration.max() > 0:
        return message(title, "Nothing has been released yet.", look, WIDTH, HEIGHT)
    last = math.ceil(math.log10(concentration.max()))
    first = last - DECADES
    reach = float(distance.max())
    seen = concentration >= 10.0**first

    x_of = linear(0.0, reach, LEFT, RIGHT)
    y_of = logarithmic(10.0**first, 10.0**last, BOTTOM, TOP)
    parts = []
    for exponent in range(first, last + 1):
        y = y_of(10.0**exponent)
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=look.rule))
        parts.append(label(LEFT - 8, y + 4, power(exponent), look, text_anchor="end", fill=look.muted))
    parts += _bottom([(x_of(t), number(t)) for t in ticks(0, reach, 6)], "distance to the donor (µm)", look)
    points = [(x_of(d), y_of(c)) for d, c in zip(distance[seen], concentration[seen], strict=True)]
    gaps = np.diff(np.flatnonzero(seen)) > 1  # rings without vesicles
    starts = [0, *(np.flatnonzero(gaps) + 1).tolist(), len(points)]
    parts += [line(points[a:b], stroke=look.accent, stroke_width=2) for a, b in pairwise(starts)]
    parts += [tag("circle", cx=x, cy=y, r=2.4, fill=look.accent) for x, y in points]
    parts.append(label(6, 14, "vesicles per mL", look, fill=look.muted))
    square = mean_square_distance(state)
    words = f"mean square distance ⟨r²⟩ = {square:,.0f} µm²"
    parts.append(
        label(
            (LEFT + RIGHT) / 2, HEIGHT - 10, words, look, text_anchor="middle", font_size=15, font_weight=600
        )
    )
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=look)


def draw_sharing(model: ExosomeModel, look: Theme = PAGE) -> str:
    """Share of all uptake that goes to the recipients that got most, against their number."""
    got = np.sort(received(model.state))[::-1]
    title = "How uptake is shared out"
    if not got.sum() > 0:
        return message(title, "Nothing has been taken up yet.", look, WIDTH, HEIGHT)
    share = np.concatenate([[0.0], np.cumsum(got) / got.sum()])
    part = np.linspace(0, 1, len(share))

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x, BOTTOM - (BOTTOM - TOP) * y

    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = at(0, tick)[1]
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=look.rule))
        parts.append(label(LEFT - 8, y + 4, f"{100 * tick:.0f} %", look, text_anchor="end", fill=look.muted))
    tenths = [(at(i / 10, 0)[0], f"{10 * i} %" if i % 2 == 0 else "") for i in range(11)]
    parts += _bottom(tenths, "recipients, those that got most first", look)
    parts += [tag("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, stroke=look.rule) for x, _ in tenths]
    parts.append(line([at(0, 0), at(1, 1)], stroke=look.muted, stroke_dasharray="4 4"))
    parts.append(
        line([at(x, y) for x, y in zip(part, share, strict=True)], stroke=look.accent, stroke_width=2.4)
    )
    parts.append(label(6, 14, "share of all uptake", look, fill=look.muted))
    found = network(model)
    lines = (
        f"total {number(found['total'])}, mean {number(found['mean_got'])} per recipient",
        f"spread: recipients {number(found['got_spread'])} %, donors {number(found['sent_spread'])} %",
    )
    words = "; ".join(lines)
    parts += [
        label((LEFT + RIGHT) / 2, HEIGHT - y, text, look, text_anchor="middle", font_weight=600)
        for y, text in zip((32, 10), lines, strict=True)
    ]
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=look)


def draw_network(model: ExosomeModel, look: Theme = PAGE) -> str:
    """Who sent how much to whom: the strongest links over the tissue."""
    links = CommunicationData.of_model(model, Looks.of_model(model))
    return next(view for view in VIEWS if view.key == "network").draw(links, "taken_up", look)


MEASURES: dict[str, Callable[[ExosomeModel], dict[str, float]]] = {
    "accounts": accounts,
    "outcome": outcome,
    "first_meeting": first_meeting,
    "single_vesicle": single_vesicle,
    "spread": spread,
    "network": network,
}
"""What a step can measure on a finished model."""

INSTRUMENTS: dict[str, Callable[[ExosomeModel], str]] = {
    "spread": draw_spread,
    "sharing": draw_sharing,
    "network": draw_network,
}
"""What a step can draw beside its question."""


def _bottom(marks: list[tuple[float, str]], words: str, look: Theme) -> list[str]:
    found = [label(x, BOTTOM + 21, text, look, text_anchor="middle", fill=look.muted) for x, text in marks]
    return [
        *found,
        label((LEFT + RIGHT) / 2, BOTTOM + 42, words, look, text_anchor="middle", fill=look.muted),
    ]
