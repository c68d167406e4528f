"""Drawings of a model that lessons show beside a question: spread, sharing of uptake, and network."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.communication import PER_ML, distance_profile
from exoabm.plot.palette import Looks
from exoabm.plot.scales import linear, logarithmic, ticks
from exoabm.text_formatting import number, power_of_ten
from exoabm.viz.drawings.communication_views import VIEWS
from exoabm.viz.drawings.svg import PAGE, WIDTH, drawing, grid, label, line, message, tag
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.teaching.lesson_measures import mean_square_distance, network, received

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel

HEIGHT = 314.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 526.0, 34.0, 220.0
"""Of the axes; a tick label may be 60 wide, on a narrow page where letters are larger."""
DECADES = 4


def draw_spread(model: ExosomeModel) -> str:
    """Mean concentration against distance from the donor, and the mean square distance in words."""
    state = model.state
    distance, concentration = distance_profile(state, 0)
    concentration = concentration * PER_ML
    title = "Concentration against distance"
    if not concentration.max() > 0:
        return message(title, "Nothing has been released yet.", PAGE, WIDTH, HEIGHT)
    last = math.ceil(math.log10(concentration.max()))
    first = last - DECADES
    reach = float(distance.max())
    seen = concentration >= 10.0**first

    x_of = linear(0.0, reach, LEFT, RIGHT)
    y_of = logarithmic(10.0**first, 10.0**last, BOTTOM, TOP)
    parts = grid(((y_of(10.0**e), power_of_ten(e)) for e in range(first, last + 1)), LEFT, RIGHT, PAGE)
    parts += _bottom([(x_of(t), number(t)) for t in ticks(0, reach, 6)], "distance to the donor (µm)")
    points = [(x_of(d), y_of(c)) for d, c in zip(distance[seen], concentration[seen], strict=True)]
    gaps = np.diff(np.flatnonzero(seen)) > 1  # rings without vesicles
    starts = [0, *(np.flatnonzero(gaps) + 1).tolist(), len(points)]
    parts += [line(points[a:b], stroke=PAGE.accent, stroke_width=2) for a, b in pairwise(starts)]
    parts += [tag("circle", cx=x, cy=y, r=2.4, fill=PAGE.accent) for x, y in points]
    parts.append(label(6, 14, "vesicles per mL", PAGE, fill=PAGE.muted))
    square = mean_square_distance(state)
    words = f"mean square distance ⟨r²⟩ = {square:,.0f} µm²"
    strong = {"text_anchor": "middle", "font_size": 15, "font_weight": 600}
    parts.append(label((LEFT + RIGHT) / 2, HEIGHT - 10, words, PAGE, **strong))
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=PAGE)


def draw_sharing(model: ExosomeModel) -> str:
    """Share of all uptake that goes to the recipients that got most, against their number."""
    got = np.sort(received(model.state))[::-1]
    title = "How uptake is shared out"
    if not got.sum() > 0:
        return message(title, "Nothing has been taken up yet.", PAGE, WIDTH, HEIGHT)
    share = np.concatenate([[0.0], np.cumsum(got) / got.sum()])
    part = np.linspace(0, 1, len(share))

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x, BOTTOM - (BOTTOM - TOP) * y

    fifths = [(at(0, part)[1], f"{100 * part:.0f} %") for part in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    parts = grid(fifths, LEFT, RIGHT, PAGE)
    tenths = [(at(i / 10, 0)[0], f"{10 * i} %" if i % 2 == 0 else "") for i in range(11)]
    parts += _bottom(tenths, "recipients, those that got most first")
    parts += [tag("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, stroke=PAGE.rule) for x, _ in tenths]
    parts.append(line([at(0, 0), at(1, 1)], stroke=PAGE.muted, stroke_dasharray="4 4"))
    parts.append(
        line([at(x, y) for x, y in zip(part, share, strict=True)], stroke=PAGE.accent, stroke_width=2.4)
    )
    parts.append(label(6, 14, "share of all uptake", PAGE, fill=PAGE.muted))
    found = network(model)
    lines = (
        f"total {number(found['total'])}, mean {number(found['mean_got'])} per recipient",
        f"spread: recipients {number(found['got_spread'])} %, donors {number(found['sent_spread'])} %",
    )
    words = "; ".join(lines)
    parts += [
        label((LEFT + RIGHT) / 2, HEIGHT - y, text, PAGE, text_anchor="middle", font_weight=600)
        for y, text in zip((32, 10), lines, strict=True)
    ]
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=PAGE)


def draw_network(model: ExosomeModel) -> str:
    """Who sent how much to whom: the strongest links over the tissue."""
    links = CommunicationData.of_model(model, Looks.of_model(model))
    return next(view for view in VIEWS if view.key == "network").draw(links, "taken_up", PAGE)


INSTRUMENTS: dict[str, Callable[[ExosomeModel], str]] = {
    "spread": draw_spread,
    "sharing": draw_sharing,
    "network": draw_network,
}
"""What a step can draw beside its question."""


def _bottom(marks: list[tuple[float, str]], words: str) -> list[str]:
    found = [label(x, BOTTOM + 21, text, PAGE, text_anchor="middle", fill=PAGE.muted) for x, text in marks]
    return [
        *found,
        label((LEFT + RIGHT) / 2, BOTTOM + 42, words, PAGE, text_anchor="middle", fill=PAGE.muted),
    ]
