"""Networks of cell types in a ring; arrows point from donors to recipients, with widths by amount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.figure_page import (
    COLUMN,
    EDGE,
    PAGE,
    TEXT,
    Grid,
    Page,
    axes_or_new,
    check_width,
    darker,
    hues,
    name_lines,
    text_height,
    text_width,
    width_key,
)
from exoabm.plot.palette import INK, PAPER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

BROADEST, FINEST = 5.0, 0.35
"""Width of arrows, points."""
LEAST_SHARE = 0.01
"""Arrows for less than this share of the most are left out."""
NODE = 0.085
"""Radius of a node beside that of the ring."""
BEND = 0.16
"""How far arrows bend, so that the two between a pair of types part."""


def arrows_drawn(amounts: np.ndarray) -> np.ndarray:
    """Which arrows are broad enough to be drawn, shape (types, types)."""
    return amounts > LEAST_SHARE * amounts.max(initial=0.0)


def network(
    amounts: np.ndarray,
    names: Sequence[str],
    *,
    unit: str = "vesicles",
    colors: Mapping[str, str] | None = None,
    most: float | None = None,
    key: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the amounts between cell types as arrows.

    Parameters
    ----------
    amounts : ndarray, shape (types, types)
        From each (row) to each (column); on the diagonal what stays within a type.
    names : sequence of str
        Of the types.
    unit : str
        Quantity shown.
    colors : dict of str, optional
        By name; arrows have the color of the sender.
    most : float, optional
        The amount of the broadest arrow, where several networks share it.
    key : bool
        Whether the width of arrows is explained.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.patches import Circle, FancyArrowPatch

    ax = axes_or_new(ax)
    amounts = np.asarray(amounts, float)
    top = float(amounts.max(initial=0.0)) if most is None else most
    shades = dict(hues(list(names))) | dict(colors or {})
    place = ring(len(names))
    shown = arrows_drawn(amounts) if most is None else amounts > LEAST_SHARE * top
    for i, j in sorted(zip(*np.nonzero(shown), strict=True), key=lambda at: amounts[at]):
        width, color = max(BROADEST * amounts[i, j] / top, FINEST), shades[names[i]]
        if i == j:
            out = place[i] * (1 + 1.9 * NODE)
            ax.add_patch(Circle(out, 1.5 * NODE, fill=False, color=color, linewidth=width, zorder=1))
            continue
        style = f"simple,tail_width={width:.3f},head_width={width + 3:.3f},head_length={3 + 0.6 * width:.3f}"
        ax.add_patch(
            FancyArrowPatch(
                tuple(place[i]),
                tuple(place[j]),
                arrowstyle=style,
                connectionstyle=f"arc3,rad={BEND}",
                shrinkA=0,
                shrinkB=_points(ax, NODE) + 1.0,
                facecolor=color,
                edgecolor=PAPER,
                linewidth=0.25,
                zorder=2,
            )
        )
    for at, name in zip(place, names, strict=True):
        ax.add_patch(
            Circle(tuple(at), NODE, facecolor=shades[name], edgecolor=PAPER, linewidth=0.8, zorder=3)
        )
        x, y = at * (1 + 4.6 * NODE)
        side = "center" if abs(at[0]) < 0.2 else "left" if at[0] > 0 else "right"
        up = "center" if abs(at[1]) < 0.8 else "bottom" if at[1] > 0 else "top"
        look: dict[str, Any] = {
            "ha": side,
            "va": up,
            "color": darker(shades[name]),
            "parse_math": False,
            "linespacing": 1.1,
        }
        ax.text(x, y, name_lines(name, 14), **look)
    ax.set(xlim=LIMITS, ylim=upright(place), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if key and top > 0:
        _key(ax, top, unit)
    return ax


LIMITS = (-1.45, 1.45)
"""Visible width of the ring's plane; names may extend beyond it."""


def upright(place: np.ndarray) -> tuple[float, float]:
    """Vertical extent of the ring with its types and arrows."""
    low, high = float(place[:, 1].min(initial=0.0)), float(place[:, 1].max(initial=0.0))
    beyond = LIMITS[1] - 1.0
    return low - beyond, high + beyond


def ring(n: int) -> np.ndarray:
    """Places of ``n`` types on a ring of radius 1, clockwise from the top, shape (n, 2); two side by side."""
    start = np.pi if n == 2 else np.pi / 2
    angle = start - 2 * np.pi * np.arange(n) / max(n, 1)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _points(ax: Axes, length: float) -> float:
    """A length in the ring's plane in points."""
    return length * ax.get_window_extent().width / (LIMITS[1] - LIMITS[0]) * 72 / ax.figure.dpi


def _key(ax: Axes, top: float, unit: str) -> None:
    """Legend of three line widths below the ring."""
    ax.legend(
        *width_key(top, BROADEST, FINEST),
        title=unit,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=3,
        columnspacing=1.2,
        handlelength=1.6,
        borderaxespad=0.0,
        title_fontsize=TEXT,
        labelcolor=INK,
    )


RING = (26.0, 62.0)
"""Least and most size of a ring, mm."""
LEAST = 18.0
"""And where there is but one beside another."""
ACROSS = 4
"""Most side by side."""


def ring_page(
    panels: Sequence[tuple[str, np.ndarray]],
    names: Sequence[str],
    *,
    unit: str,
    colors: Mapping[str, str],
    heading: str,
    caption: str,
    width: float | None = None,
) -> Page:
    """A page of networks of the same types that share the widths of their arrows; title, amounts of each."""
    wide = (COLUMN if len(panels) == 1 else PAGE) if width is None else width
    place = ring(len(names))
    beyond = 0.0
    lines = 1
    for (x, _), name in zip(place, names, strict=True):
        each = name_lines(name, 14).split("\n")
        lines = max(lines, len(each))
        broad = max(map(text_width, each)) * (0.5 if abs(x) < 0.2 else 1.0)
        beyond = max(beyond, broad - (1.0 - abs(x)) * RING[0] / 2 + 1.0)
    room = wide - 2 * EDGE
    across = max(1, min(len(panels), ACROSS, int(room / (RING[0] + 2 * beyond))))
    across = -(-len(panels) // -(-len(panels) // across))
    # Names begin just within the limits of the axes and reach beyond.
    within = 1 - 1.42 / LIMITS[1]
    size = (room / across - 2 * beyond) / (1 - within)
    check_width(width, 2 * EDGE + 2 * beyond + LEAST)
    size = min(size, RING[1])
    gap = (room - across * size) / across
    key = 2 * text_height(1) + 2.5
    low, high = upright(place)
    tall = size * (high - low) / (LIMITS[1] - LIMITS[0])
    down = text_height(lines) if len(names) > 2 else 0.0
    grid = Grid(
        width=wide,
        columns=across,
        panel=(size, tall),
        left=gap / 2,
        bottom=key + down,
        gap=(gap, 3.0 + down),
        above=down,
    )
    page = Page(grid, [title for title, _ in panels], heading, caption)
    most = max(float(amounts.max(initial=0.0)) for _, amounts in panels)
    for i, ((_, amounts), ax) in enumerate(zip(panels, page.panels, strict=True)):
        last = i == len(panels) - 1
        network(amounts, names, unit=unit, colors=colors, most=most, key=last, ax=ax)
        legend = ax.get_legend()
        if last and legend is not None:
            legend.set_bbox_to_anchor((0.5, -down / tall))
    return page
