"""The course of time: where the vesicles are, the readout of a run, and the waste in cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.mass_balance import PLACES
from exoabm.plot import palette
from exoabm.plot.palette import INK, PAPER
from exoabm.plot.run_figure.layout import (
    LEFT,
    RIGHT,
    WASTE,
    Course,
    Room,
    Scene,
    place_axes,
    rule_lines,
    say,
    write_heading,
)
from exoabm.plot.run_figure.tissue import MAX_NAMES
from exoabm.plot.scales import FEW, number, percent, shorten, superscript
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INDENT = 34
"""px by which the axes of a course stand back from its heading, away from the scales of the map."""


def draw_places(figure: Figure, scene: Scene, rows: list[dict[str, float]]) -> None:
    """Where the emitted vesicles are, as stacked shares over time."""
    state = scene.state
    ax = place_axes(figure, LEFT, scene.bottom, 376, scene.lower, "places")
    hours = _series(rows, "time_h")
    columns = {
        name: np.sum([_series(rows, named(name, k.name)) for k in state.kinds], axis=0)
        for name in ("emitted", *PLACES)
    }
    if len(rows) < 2 or not columns["emitted"].any():
        write_heading(figure, LEFT, scene.bottom, f"Where the emitted {scene.what} are", [])
        say(ax, f"no {scene.what} were emitted" if len(rows) > 1 else "a single moment was recorded")
        return
    shown = [p for p in palette.PLACES if columns[p].any() or p == "delivered"]
    edges = np.cumsum([0 * hours, *(np.maximum(columns[p], 0) for p in shown)], axis=0)
    _frame(ax, hours, 1.02 * float(edges[-1].max()), scene.what)
    labels = []
    for place, low, high in zip(shown, edges[:-1], edges[1:], strict=True):
        words, color = palette.PLACES[place]
        ax.fill_between(hours, low, high, color=color, linewidth=0.6, edgecolor=PAPER, label=place)
        count = float(columns[place][-1])
        told = "≈ 0"
        if FEW <= count < 1e-3:
            told = number(count)
        elif count == 0 or count >= FEW:
            told = f"{number(count)}  ({percent(count / float(columns['emitted'][-1]))})"
        labels.append((float(low[-1] + high[-1]) / 2, f"{words}  {told}", color))
    # Delivery is mostly thinner than a line, so it gets one.
    ax.plot(hours, edges[1], color=palette.PLACES["delivered"][1], linewidth=1.6, clip_on=False)
    _label_ends(ax, labels, bold="delivered")
    kinds = [" + ".join(scene.kinds)] if len(scene.kinds) > 1 else []
    when = f"{scene.what}, and share of all emitted, at {number(hours[-1])} h"
    write_heading(figure, LEFT, scene.bottom, f"Where the emitted {scene.what} are", [when, *kinds])


def draw_course(figure: Figure, course: Course, rows: list[dict[str, float]], room: Room) -> None:
    """The readout of a run over time, each curve with its last value at its end."""
    ax = place_axes(figure, room.left + INDENT, room.top + 12, 376, room.height - 12, "course")
    hours = _series(rows, "time_h")
    labels, top = [], 0.0
    for curve in course.curves:
        values = _series(rows, curve.column)
        ax.plot(hours, values, color=curve.color, linewidth=1.8, label=curve.name)
        held, most = float(values[-1]), float(values.max())
        words = number(held) if held == 0 or held >= 1e-3 * most else "≈ 0"
        if course.unit == "share":
            words = f"at most {percent(most)}"
        labels.append((held, f"{shorten(curve.name, 14)}  {words}".strip(), curve.color))
        top = max(top, most)
    _frame(ax, hours, 1.05 * top if top > 0 else 1.0, course.unit)
    ax.yaxis.set_label_coords(-66 / ax.bbox.width, 0.5)
    _label_ends(ax, labels[: int(room.height // 25)])
    write_heading(figure, room.left, room.top, course.title, course.notes)


def draw_waste(figure: Figure, scene: Scene, rows: list[dict[str, float]]) -> None:
    """Waste in cells over time, by type."""
    ax = place_axes(figure, RIGHT, scene.bottom, 430, scene.lower, "waste")
    hours = _series(rows, "time_h")
    labels, top = [], 0.0
    for style in scene.styles:
        values = _series(rows, waste_key(style.name))
        if values.any():
            ax.plot(hours, values, color=style.outline, linewidth=1.8, label=style.name)
            held = float(values[-1])
            words = f"{shorten(style.name, 14)}  {number(held)}"
            labels.append((held, words, style.outline))
            top = max(top, float(values.max()))
    _frame(ax, hours, 1.05 * top, "waste units per cell")
    labels.sort(key=lambda label: -label[0])
    _label_ends(ax, labels[: MAX_NAMES + 1])
    write_heading(figure, RIGHT, scene.bottom, "Waste that cells hold", ["mean over the cells of each type"])


def waste_key(type_name: str) -> str:
    """The column of the time series that holds the waste of a type."""
    return named(WASTE, type_name)


def _series(rows: list[dict[str, float]], key: str) -> np.ndarray:
    """A column of the time series; a type without cells has none, and counts as 0."""
    return np.array([row.get(key, 0.0) for row in rows], dtype=float)


def _frame(ax: Axes, hours: np.ndarray, top: float, label: str) -> None:
    exponent = 3 * int(np.log10(top) // 3) if not 1e-2 <= top < 1e6 else 0
    words = {0: "", 6: "million ", 9: "billion "}
    unit = words.get(exponent, f"10{superscript(exponent)} ") + label
    end = max(float(hours[-1]), float(hours[0]) + 1e-3)
    ax.set(xlim=(float(hours[0]), end), ylim=(0.0, top), xlabel="time (h)", ylabel=unit)
    ax.yaxis.set_major_formatter(lambda value, _: number(round(value / 10.0**exponent, 9)))
    rule_lines(ax)


def _label_ends(ax: Axes, labels: list[tuple[float, str, str]], bold: str = "\0") -> None:
    """Write (value, text, color) at the right edge without overlap, each with a line to its value."""
    px = ax.bbox.height
    bottom, top = ax.get_ylim()
    share = np.array([(value - bottom) / (top - bottom) for value, _, _ in labels])
    spread = _spread(share * px, 25.0, 8.0, px - 10.0) / px
    look: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False}
    for (_, words, color), start, end in zip(labels, share, spread, strict=True):
        ax.plot([1.005, 1.03, 1.06, 1.075], [start, start, end, end], color=color, linewidth=1.2, **look)
        weight = "bold" if words.startswith(bold) else "normal"
        ax.text(1.09, end, words, va="center", fontsize=8, color=INK, weight=weight, **look)


def _spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Heights near ``wanted`` that keep ``gap`` apart, pushed up from ``low`` and down from ``high``."""
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    upward = np.maximum.accumulate(np.maximum(wanted[order], low) - steps) + steps
    ceiling = high - steps[::-1]
    result = np.empty(len(wanted))
    result[order] = np.minimum(upward, ceiling)
    return result
