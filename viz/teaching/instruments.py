"""Drawings made from the reader's run, to measure on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.communication import PER_ML, distance_profile
from exoabm.viz.results.svg import PAGE, drawing, label, line, number, power, tag, ticks
from exoabm.viz.teaching.measures import mean_square_distance, network, received

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.model import ExosomeModel
    from exoabm.viz.results.svg import Look

WIDTH, HEIGHT = 560.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 546.0, 14.0, 214.0
DECADES = 4


def spread(model: ExosomeModel, look: Look = PAGE) -> str:
    """Mean concentration against distance from the donor, and the mean square distance in words."""
    state = model.state
    distance, concentration = distance_profile(state, 0)
    concentration = concentration * PER_ML
    title = "Concentration against distance"
    if not concentration.max() > 0:
        return _empty(title, "Nothing has been released yet.", look)
    last = math.ceil(math.log10(concentration.max()))
    first = last - DECADES
    reach = float(distance.max())
    seen = concentration >= 10.0**first

    def at(d: float, c: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * d / reach, BOTTOM - (BOTTOM - TOP) * (math.log10(c) - first) / DECADES

    parts = []
    for exponent in range(first, last + 1):
        y = at(0, 10.0**exponent)[1]
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=look.rule))
        parts.append(label(LEFT - 8, y + 4, power(exponent), look, text_anchor="end", fill=look.muted))
    parts += _bottom(
        [(at(t, 10.0**first)[0], number(t)) for t in ticks(0, reach, 6)], "distance to the donor (µm)", look
    )
    pairs = zip(distance[seen].tolist(), concentration[seen].tolist(), strict=True)
    points = [at(d, c) for d, c in pairs]
    parts.append(line(points, stroke=look.accent, stroke_width=2))
    parts += [tag("circle", cx=x, cy=y, r=2.4, fill=look.accent) for x, y in points]
    parts.append(label(LEFT, TOP - 3, "vesicles per mL", look, fill=look.muted))
    square = mean_square_distance(state)
    words = f"mean square distance ⟨r²⟩ = {square:,.0f} µm²"
    parts.append(
        label(
            (LEFT + RIGHT) / 2, HEIGHT - 10, words, look, text_anchor="middle", font_size=15, font_weight=600
        )
    )
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=look)


def sharing(model: ExosomeModel, look: Look = PAGE) -> str:
    """Share of all uptake that goes to the recipients that got most, against their number."""
    got = np.sort(received(model.state))[::-1]
    title = "How uptake is shared out"
    if not got.sum() > 0:
        return _empty(title, "Nothing has been taken up yet.", look)
    share = np.concatenate([[0.0], np.cumsum(got) / got.sum()])
    part = np.linspace(0, 1, len(share))

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x, BOTTOM - (BOTTOM - TOP) * y

    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = at(0, tick)[1]
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, stroke=look.rule))
        parts.append(label(LEFT - 8, y + 4, f"{100 * tick:.0f} %", look, text_anchor="end", fill=look.muted))
    tenths = [(at(i / 10, 0)[0], f"{10 * i} %") for i in range(11)]
    parts += _bottom(tenths, "recipients, those that got most first", look)
    parts += [tag("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, stroke=look.rule) for x, _ in tenths]
    parts.append(line([at(0, 0), at(1, 1)], stroke=look.muted, stroke_dasharray="4 4"))
    parts.append(
        line([at(x, y) for x, y in zip(part, share, strict=True)], stroke=look.accent, stroke_width=2.4)
    )
    parts.append(label(LEFT, TOP - 3, "of all uptake", look, fill=look.muted))
    found = network(model)
    words = (
        f"total {number(found['total'])}, mean {number(found['mean_got'])} per recipient; spread: "
        f"recipients {number(found['got_spread'])} %, donors {number(found['sent_spread'])} %"
    )
    parts.append(
        label(
            (LEFT + RIGHT) / 2, HEIGHT - 10, words, look, text_anchor="middle", font_size=13, font_weight=600
        )
    )
    return drawing(WIDTH, HEIGHT, parts, title=title, words=words, look=look)


INSTRUMENTS: dict[str, Callable[[ExosomeModel], str]] = {"spread": spread, "sharing": sharing}


def _bottom(marks: list[tuple[float, str]], words: str, look: Look) -> list[str]:
    found = [label(x, BOTTOM + 17, text, look, text_anchor="middle", fill=look.muted) for x, text in marks]
    return [
        *found,
        label((LEFT + RIGHT) / 2, BOTTOM + 38, words, look, text_anchor="middle", fill=look.muted),
    ]


def _empty(title: str, words: str, look: Look) -> str:
    said = label(WIDTH / 2, HEIGHT / 2, words, look, text_anchor="middle", fill=look.muted)
    return drawing(WIDTH, HEIGHT, [said], title=title, words=words, look=look)
