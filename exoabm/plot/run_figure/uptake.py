"""How much cells took up, by distance or by type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import nearest_donor_distance
from exoabm.analysis.edges import everyone
from exoabm.plot.palette import INK, PAPER, Style
from exoabm.plot.run_figure.layout import RIGHT, TAKERS, Scene, place_axes, rule_lines, say, write_heading
from exoabm.plot.scales import log_range, log_ticks, number, shorten, tick_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exoabm.state import State


MAX_PAIRS = 6
"""Types times kinds that stand side by side; where there are more, kinds are taken together."""


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
    ax.set_xticks(marks, [number(round(x, 9)) if x >= 0 else "donors" for x in marks])
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
        told = number(round(median) if median >= 10 else float(f"{median:.2g}"))
        ax.annotate(told, (x, top), (0, 6), textcoords="offset points", **look)
    ax.set(xlim=(-0.6, len(pairs) - 0.4), ylim=(0, 1.14 * top), ylabel=f"{scene.what} taken up per cell")
    words = [f"{shorten(scene.styles[i].name, 14)}\n{shorten(kind, 14)}".strip() for i, kind in pairs]
    ax.set_xticks(range(len(pairs)), words)
    ax.yaxis.set_major_formatter(lambda value, _: number(value))
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
        return nearest_donor_distance(state)[everyone(state).row_of(state.cells.birth_id)], "donor"
    walls = [
        np.abs(position[:, side // 2] - domain.low[side // 2] - (side % 2) * domain.extent[side // 2])
        for side, held in enumerate(domain.face_concentration)
        if held > 0
    ]
    return np.min(walls, axis=0), "reservoir"
