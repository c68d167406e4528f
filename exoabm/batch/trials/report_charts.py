"""Charts in the report of a trial, as inline SVG; their colors are those of the style sheet of the page."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.trials.report_texts import scale_text
from exoabm.batch.trials.verdict import Direction, Effect, Scale, Verdict
from exoabm.plot.scales import linear, log_span, log_ticks, logarithmic, span, ticks
from exoabm.text_formatting import signed, three_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDTH = 352
"""Of every picture: as wide as a phone, so that two of them stand side by side on paper and on a screen."""
MARGIN = 10
LETTERS = 46
"""Letters of a line of a name that surely fit above a row."""

LINE = 14
"""Height of such a line."""
BAND = 22
"""Height of what is drawn below a name."""
GAP = 8
"""Between a band and the name below it."""
TICK_ROOM = 38
"""Least distance of two numbers on an axis; the scenario's own value goes first."""
TOUCHING = 12
"""Distance below which two marks on an axis touch."""

VERDICT_CLASS = {
    Verdict.SUPPORTS: "supports",
    Verdict.AGAINST: "against",
    Verdict.OPEN: "open",
    Verdict.DEPENDS: "depends",
}


def dot_plot(arms: Mapping[str, np.ndarray], titles: Mapping[str, str], unit: str) -> str:
    """Replicates of each arm as dots, pairs joined across arms, means as bars.

    A replicate without a value has no dot, and its arm no mean; "" if there is no value.
    """
    names = list(arms)
    shown = {name: titles.get(name) or name for name in names}
    values = [v for each in arms.values() for v in each.tolist() if math.isfinite(v)]
    if not values:
        return ""
    low, high = span(values)
    row, centers = _rows(list(shown.values()))
    height = row * len(names)
    to_x = linear(low, high, MARGIN, WIDTH - MARGIN)
    parts = []
    for r in range(len(arms[names[0]])):
        pair = [(arms[n][r], y) for n, y in zip(names, centers, strict=True)]
        points = " ".join(f"{to_x(v):.1f},{y:.1f}" for v, y in pair if math.isfinite(v))
        parts.append(f'<polyline class="pair" points="{points}"/>')
    means = {name: float(np.mean(arms[name])) for name in names}
    said = {name: three_figures(v) if math.isfinite(v) else "undefined" for name, v in means.items()}
    for i, (name, y) in enumerate(zip(names, centers, strict=True)):
        parts.append(_name(shown[name], row * i))
        there = arms[name][np.isfinite(arms[name])]
        parts += [f'<circle class="dot arm{i % 6}" cx="{to_x(v):.1f}" cy="{y:.1f}" r="3.2"/>' for v in there]
        if math.isfinite(means[name]):
            x, label = to_x(means[name]), f"<title>mean {said[name]}</title>"
            parts.append(_line("mean", x, x, y - 9, y + 9, label))
    parts.append(_axis(low, high, to_x, height + 4, unit, ticks(low, high, 5)))
    listed = "; ".join(f"{shown[name]} {said[name]}" for name in names)
    return _svg(height + 44, parts, f"Replicates by arm. Means: {listed}")


def forest(rows: Sequence[tuple[str, Effect | None, Direction, float, Verdict]], unit: str) -> str:
    """Effects with their intervals, the bound for each, and the side required by the claim.

    ``rows`` are name, effect, direction, smallest effect of interest and verdict, all on one scale.
    """
    known = [(effect, d, by) for _, effect, d, by, _ in rows if effect is not None]
    if not known:
        return ""
    ratio = known[0][0].scale is Scale.RATIO
    nothing = 1.0 if ratio else 0.0
    ends = [v for effect, d, by in known for v in (effect.low, effect.high, bound(d, by, effect.scale))]
    low, high = log_span([*ends, nothing]) if ratio else span([*ends, nothing])
    row, centers = _rows([name for name, *_ in rows])
    height = row * len(rows)
    to_x = (logarithmic if ratio else linear)(low, high, MARGIN, WIDTH - MARGIN)
    parts = []
    for i, ((name, effect, direction, by, verdict), y) in enumerate(zip(rows, centers, strict=True)):
        parts.append(_name(name, row * i))
        if effect is None:
            continue
        edge = to_x(bound(direction, by, effect.scale))
        left, right = (edge, to_x(high)) if direction.upward else (to_x(low), edge)
        parts += [
            _wanted(left, y - BAND / 2, right - left, BAND),
            _line("bound", edge, edge, y - BAND / 2, y + BAND / 2),
            _interval(to_x(effect.low), to_x(effect.high), to_x(effect.estimate), y, verdict),
        ]
    zero = to_x(nothing)
    parts += [_line("zero", zero, zero, y - BAND / 2, y + BAND / 2) for y in centers]
    marks = log_ticks(low, high) if ratio else ticks(low, high, 5)
    parts.append(_axis(low, high, to_x, height + 4, scale_text(known[0][0].scale, unit), marks))
    label = "; ".join(
        f"{name}: {three_figures(e.estimate)} ({three_figures(e.low)} to {three_figures(e.high)})"
        for name, e, *_ in rows
        if e
    )
    return _svg(height + 44, parts, f"Effects with {LEVEL_TEXT} intervals. {label}")


LEVEL_TEXT = "95 %"


def sweep(
    points: Sequence[tuple[float, Effect | None, Verdict]],
    own: float,
    direction: Direction,
    by: float,
    unit: str,
    effect_unit: str,
) -> str:
    """The effect along an assumption's range: intervals colored by verdict, the bound, the own value."""
    drawn = [(value, effect, verdict) for value, effect, verdict in points if effect is not None]
    if not drawn:
        return ""
    values = [value for value, *_ in points]
    scale = drawn[0][1].scale
    edge = bound(direction, by, scale)
    ends = [edge, *(v for _, e, _ in drawn for v in (e.low, e.high))]
    top, height, left = 22, 176, 52
    to_x = _along(values, left + 18, WIDTH - MARGIN - 18)
    powers = scale is Scale.RATIO and max(ends) / min(ends) > 10
    low, high = log_span(ends) if powers else span(ends)
    to_y = (logarithmic if powers else linear)(low, high, height, top)
    wanted = (float(top), to_y(edge)) if direction.upward else (to_y(edge), float(height))
    parts = [
        _wanted(left, wanted[0], WIDTH - MARGIN - left, wanted[1] - wanted[0]),
        _line("bound", left, WIDTH - MARGIN, to_y(edge), to_y(edge)),
        _line("own", to_x(own), to_x(own), top, height),
    ]
    line = " ".join(f"{to_x(v):.1f},{to_y(e.estimate):.1f}" for v, e, _ in drawn)
    parts.append(f'<polyline class="course" points="{line}"/>')
    for value, effect, verdict in drawn:
        x, mark = to_x(value), VERDICT_CLASS[verdict]
        y = to_y(effect.estimate)
        parts += [
            _line(f"ci {mark}", x, x, to_y(effect.low), to_y(effect.high)),
            _mark(x, y, verdict),
        ]
    for tick in log_ticks(low, high) if powers else ticks(low, high, 6):
        parts.append(_text("tick", left - 6, to_y(tick) + 4, signed(tick), "end"))
    placed: list[float] = []
    for value in sorted(values, key=lambda v: v != own):
        if all(abs(to_x(value) - x) > TICK_ROOM for x in placed):
            placed.append(to_x(value))
            parts.append(_text("tick", to_x(value), height + 18, signed(value), "middle"))
    parts += [
        _line("axis", left, WIDTH - MARGIN, height, height),
        _text("unit", WIDTH - MARGIN, height + 36, unit, "end"),
        _text("unit", left, top - 9, effect_unit, "start"),
    ]
    label = "; ".join(
        f"{three_figures(v)}: {three_figures(e.estimate)}, {verdict}" for v, e, verdict in drawn
    )
    return _svg(height + 44, parts, f"The effect along the range. {label}")


def _along(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """The axis of an assumption: even, in powers, or where shares near 1 would touch, in odds."""
    low, high = min(values), max(values)
    if low == high:
        return linear(low - 1, high + 1, start, end)
    if low > 0 and high / low > 8:
        return logarithmic(low, high, start, end)
    ordered = sorted(values)
    closest = min(b - a for a, b in pairwise(ordered)) / (high - low) * (end - start)
    if closest < TOUCHING and low > 0 and high < 1:
        odds = logarithmic(low / (1 - low), high / (1 - high), start, end)
        return lambda share: odds(share / (1 - share))
    return linear(low, high, start, end)


def bound(direction: Direction, by: float, scale: Scale) -> float:
    """The value that an interval must clear for a criterion to hold."""
    shift = by if direction in (Direction.HIGHER, Direction.NOT_HIGHER) else -by
    return shift if scale is Scale.DIFFERENCE else 1.0 + shift


def _interval(left: float, right: float, middle: float, y: float, verdict: Verdict) -> str:
    mark = VERDICT_CLASS[verdict]
    return f'<line class="ci {mark}" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>' + _mark(
        middle, y, verdict
    )


def _mark(x: float, y: float, verdict: Verdict) -> str:
    """A shape for each verdict in addition to its color: disc, cross, ring."""
    mark = VERDICT_CLASS[verdict]
    if verdict is Verdict.SUPPORTS:
        return f'<circle class="solid {mark}" cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
    if verdict is Verdict.AGAINST:
        return f'<path class="cross {mark}" d="M{x - 5:.1f},{y - 5:.1f} l10,10 m0,-10 l-10,10"/>'
    return f'<circle class="ring {mark}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _rows(names: Sequence[str]) -> tuple[int, list[float]]:
    """The height of a row, a name above a band, and the middle of each band."""
    row = LINE * max(len(wrap(name, LETTERS)) for name in names) + BAND + GAP
    return row, [row * (i + 1) - BAND / 2 for i in range(len(names))]


def _name(text: str, top: float) -> str:
    """A name at the left, in as many lines as it needs, above its row."""
    lines = "".join(
        f'<tspan x="0" y="{top + GAP + LINE * i + 7:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(wrap(text, LETTERS))
    )
    return f'<text class="name">{lines}</text>'


def _axis(
    low: float,
    high: float,
    to_x: Callable[[float], float],
    y: float,
    unit: str,
    ticks: Sequence[float],
) -> str:
    parts = [_line("axis", to_x(low), to_x(high), y, y)]
    for tick in ticks:
        x = to_x(tick)
        parts += [_line("axis", x, x, y, y + 4), _text("tick", x, y + 17, signed(tick), "middle")]
    parts.append(_text("unit", to_x(high), y + 34, unit, "end"))
    return "".join(parts)


def _line(kind: str, x1: float, x2: float, y1: float, y2: float, inside: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}">{inside}</line>'


def _wanted(x: float, y: float, width: float, height: float) -> str:
    """The side of a bound on which a whole interval must lie."""
    size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect class="wanted" x="{x:.1f}" y="{y:.1f}" {size}/>'


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )
