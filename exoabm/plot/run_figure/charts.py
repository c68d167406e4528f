"""The panels with axes of numbers: places of vesicles, readout and waste over time, and uptake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.mass_balance import PLACES
from exoabm.analysis.communication import nearest_donor_distance
from exoabm.analysis.communication_graph import all_cells
from exoabm.plot import palette
from exoabm.plot.palette import INK, PAPER, Style
from exoabm.plot.run_figure.layout import (
    LEFT,
    RIGHT,
    TAKERS,
    Room,
    Scene,
    place_axes,
    rule_lines,
    say,
    write_heading,
)
from exoabm.plot.run_figure.time_course import WASTE, Course
from exoabm.plot.run_figure.tissue import MAX_NAMES
from exoabm.plot.scales import FEW, label_ticks, log_range, log_ticks, tick_names, tick_text
from exoabm.tables.readouts import named
from exoabm.text_formatting import number, percent, shorten, superscript
from exoabm.vesicle import words_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exoabm.state import State

INDENT = 34
"""px between the heading of a course and its axes, away from the scales of the map."""


def draw_places(figure: Figure, scene: Scene, rows: list[dict[str, float]]) -> None:
    """The emitted vesicles by compartment, as stacked numbers over time."""
    state = scene.state
    ax = place_axes(figure, LEFT, scene.bottom, 376, scene.lower, "places")
    hours = _series(rows, "time_h")
    columns = {
        name: np.sum([_series(rows, named(name, k.name)) for k in state.kinds], axis=0)
        for name in ("emitted", *PLACES)
    }
    if len(rows) < 2 or not columns["emitted"].any():
        write_heading(figure, LEFT, scene.bottom, f"Emitted {scene.what} by compartment", [])
        say(ax, f"no {scene.what} were emitted" if len(rows) > 1 else "a single moment was recorded")
        return
    shown = [p for p in palette.PLACES if columns[p].any() or p == "delivered"]
    edges = np.cumsum([0 * hours, *(np.maximum(columns[p], 0) for p in shown)], axis=0)
    _frame(ax, hours, 1.02 * float(edges[-1].max()), scene.what)
    labels = []
    inside = words_for(scene.what).label
    for place, low, high in zip(shown, edges[:-1], edges[1:], strict=True):
        words, color = palette.PLACES[place]
        words = inside if place == "delivered" else words
        if place == "lysosomal" and state.lineage.deaths.any():
            words = palette.DEGRADED
        ax.fill_between(hours, low, high, color=color, linewidth=0.6, edgecolor=PAPER, label=place)
        count = float(columns[place][-1])
        label = "≈ 0"
        if FEW <= count < 1e-3:
            label = number(count)
        elif count == 0 or count >= FEW:
            label = f"{number(count)}  ({percent(count / float(columns['emitted'][-1]))})"
        labels.append((float(low[-1] + high[-1]) / 2, f"{words}  {label}", color))
    # Delivery is mostly thinner than a line, so it gets one.
    ax.plot(hours, edges[1], color=palette.PLACES["delivered"][1], linewidth=1.6, clip_on=False)
    _label_ends(ax, labels, bold=inside)
    kinds = [" + ".join(scene.kinds)] if len(scene.kinds) > 1 else []
    when = f"{scene.what}, and share of all emitted, at {number(hours[-1])} h"
    write_heading(figure, LEFT, scene.bottom, f"Emitted {scene.what} by compartment", [when, *kinds])


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
    more = 16 * max(max(len(tick.get_text()) for tick in ax.get_yticklabels()) - 5, 0)  # px, of long numbers
    x, y, width, height = ax.get_position().bounds
    indent = more / figure.bbox.width
    ax.set_position((x + indent, y, width - indent, height))
    ax.yaxis.set_label_coords(-(66 + more) / ax.bbox.width, 0.5)
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
    label_ticks(ax.yaxis, scale=10.0**exponent)
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


MAX_PAIRS = 6
"""Most combinations of types and kinds side by side; beyond, kinds are summed."""


def draw_uptake(figure: Figure, scene: Scene) -> None:
    """Vesicles taken up by each cell, against distance from the nearest donor if distances differ."""
    state, taken = scene.state, scene.taken
    ax = place_axes(figure, RIGHT, scene.bottom, 656, scene.lower, "uptake")
    title = "Uptake against distance"
    distance, source = _distance(state)
    takers = [i for i, s in enumerate(scene.styles) if s.role in TAKERS and len(scene.members(i))]
    recipients = np.isin(state.cells.type, takers)
    if not taken.any() or not takers:
        write_heading(figure, RIGHT, scene.bottom, title, [])
        left = "that takes up vesicles is left" if taken.any() else "takes up vesicles"
        say(ax, "nothing taken up" if takers else f"no cell {left}")
        return
    if not tells_distance(scene):
        _uptake_by_type(figure, scene, ax, takers)
        return
    low, high = log_range(taken, decades=6)
    floor = low / (high / low) ** 0.14
    height = np.where(taken < low, floor, taken)
    itself = state.labels.of_cell >= 0
    furthest = float(distance[recipients].max())
    reach = furthest or 1.0
    # A donor's distance is 0; its kin stand side by side left of the others.
    spread = 0.618034 * np.arange(len(taken)) % 1.0
    across = np.where(itself, -(0.02 + 0.05 * spread) * reach, distance)
    notes = ["a point per cell"]
    for index in takers:
        style, rows = scene.styles[index], scene.members(index)
        size, alpha = (60, 0.9) if len(rows) <= 3 else (14, 0.75) if len(rows) < 500 else (6, 0.35)
        look: dict[str, Any] = {"marker": style.role.marker, "color": style.color, "linewidths": 0}
        ax.scatter(
            across[rows], height[rows], size, alpha=alpha, label=style.name, zorder=2 + style.named, **look
        )
        if style.named and _medians(ax, across[rows], taken[rows], low, style):
            notes = ["a point per cell; lines: medians of equal groups"]
    if recipients.sum() <= 3:
        _write_amounts(ax, np.flatnonzero(recipients & (taken > 0)), across, height, taken, reach)
    powers = log_ticks(low, high)
    ticks = dict(zip(powers, tick_names(powers), strict=True))
    missed = recipients & (taken < low)
    if missed.any():
        ticks[floor] = "less" if taken[missed].any() else "none"
    own = bool((itself & recipients).any())
    ax.set_yscale("log")
    margin = (high / low) ** 0.05
    ax.set(
        xlim=((-0.09 if own else -0.02) * reach, 1.03 * reach),
        ylim=((floor if missed.any() else low) / margin, high * max(margin, 1.4)),
        xlabel=f"distance to the nearest {source} (µm)",
        ylabel=f"{scene.what} taken up per cell",
    )
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.minorticks_off()
    rule_lines(ax)
    marks = [float(x) for x in ax.get_xticks() if 0 <= x <= 1.03 * furthest]
    if own:
        marks = [-0.045 * reach, *[x for x in marks if x > 0.04 * reach]]
    ax.set_xticks(marks, [tick_text(x, marks[1:]) if x >= 0 else "donors" for x in marks])
    write_heading(figure, RIGHT, scene.bottom, title, notes)


def _write_amounts(
    ax: Axes, rows: np.ndarray, across: np.ndarray, height: np.ndarray, taken: np.ndarray, reach: float
) -> None:
    """Write the number of vesicles next to each of a few points."""
    for row in rows:
        inward = -1 if across[row] > 0.5 * reach else 1
        look: dict[str, Any] = {"ha": "left" if inward > 0 else "right", "va": "center"}
        look |= {"fontsize": 8, "color": INK, "textcoords": "offset points"}
        ax.annotate(number(taken[row]), (across[row], height[row]), (8 * inward, 0), **look)


def tells_distance(scene: Scene) -> bool:
    """Whether recipients differ in distance from the sources."""
    distance, _ = _distance(scene.state)
    takers = [i for i, s in enumerate(scene.styles) if s.role in TAKERS and len(scene.members(i))]
    of_takers = distance[np.isin(scene.state.cells.type, takers)]
    return bool(np.isfinite(distance).all() and (of_takers.any() or len(takers) <= 1))


def _uptake_by_type(figure: Figure, scene: Scene, ax: Axes, takers: list[int]) -> None:
    """Uptake by cell type for each kind, where all cells or none are donors."""
    of_kind = scene.state.trafficking.taken_up.sum(axis=2)
    names = [kind.name for kind in scene.state.kinds]
    pairs = [(i, k) for i in takers for k in scene.kinds if of_kind[scene.members(i), names.index(k)].any()]
    if len(pairs) > MAX_PAIRS or len(scene.kinds) == 1:
        of_kind, pairs = scene.taken[:, None], [(i, "") for i in takers]
        names = [""]
    top = float(of_kind.max())
    for x, (index, kind) in enumerate(pairs):
        style, rows = scene.styles[index], scene.members(index)
        taken = of_kind[rows, names.index(kind)]
        across = x + 0.7 * (0.618034 * np.arange(len(rows)) % 1.0 - 0.5)
        size, alpha = (14, 0.75) if len(rows) < 500 else (6, 0.35)
        look: dict[str, Any] = {"color": style.color, "marker": style.role.marker, "linewidths": 0}
        ax.scatter(across, taken, size, alpha=alpha, clip_on=False, **look)
        median = float(np.median(taken))
        ax.plot([x - 0.4, x + 0.4], [median, median], color=PAPER, linewidth=4, zorder=3)
        ax.plot([x - 0.4, x + 0.4], [median, median], color=INK, linewidth=1.5, zorder=4)
        look = {"ha": "center", "va": "bottom", "fontsize": 9, "color": INK, "zorder": 5}
        look["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}  # the rules do not strike it out
        label = number(round(median) if median >= 10 else float(f"{median:.2g}"))
        ax.annotate(label, (x, top), (0, 6), textcoords="offset points", **look)
    ax.set(xlim=(-0.6, len(pairs) - 0.4), ylim=(0, 1.14 * top), ylabel=f"{scene.what} taken up per cell")
    words = [f"{shorten(scene.styles[i].name, 14)}\n{shorten(kind, 14)}".strip() for i, kind in pairs]
    ax.set_xticks(range(len(pairs)), words)
    label_ticks(ax.yaxis)
    rule_lines(ax)
    notes = ["a point per cell; bars and numbers: medians"]
    write_heading(figure, RIGHT, scene.bottom, "Uptake by cell type", notes)


def _medians(ax: Axes, across: np.ndarray, taken: np.ndarray, low: float, style: Style) -> bool:
    """A line through the medians of groups of 20 cells or more by distance; False if there are too few."""
    outside = np.flatnonzero(across >= 0)
    groups = np.array_split(
        outside[np.argsort(across[outside], kind="stable")], min(len(outside) // 20, 14) or 1
    )
    if len(groups) < 3:
        return False
    x = np.array([np.median(across[g]) for g in groups])
    y = np.array([np.median(taken[g]) for g in groups])
    seen = y >= low
    for color, width, label in ((PAPER, 4.0, "halo"), (style.outline, 1.8, "median")):
        ax.plot(x[seen], y[seen], color=color, linewidth=width, zorder=4, label=f"{style.name} {label}")
    return True


def _distance(state: State) -> tuple[np.ndarray, str]:
    """Distance in um of each cell (n) from the nearest source, and the name of the source."""
    domain, position = state.domain, state.cells.position
    if (state.labels.of_cell >= 0).any() or not domain.opens_to_reservoir:
        return nearest_donor_distance(state)[all_cells(state).row_of(state.cells.birth_id)], "donor"
    walls = [
        np.abs(position[:, side // 2] - domain.low[side // 2] - (side % 2) * domain.extent[side // 2])
        for side, held in enumerate(domain.face_concentration)
        if held > 0
    ]
    return np.min(walls, axis=0), "reservoir"
