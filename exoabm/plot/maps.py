"""Maps of cells with the strongest links between them; the broad end of a link is at the donor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
    hues,
    name_lines,
    text_height,
    text_width,
    width_key,
)
from exoabm.plot.palette import INK, PAPER
from exoabm.plot.run_figure.tissue import tapers
from exoabm.plot.scales import label_ticks
from exoabm.text_formatting import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

MOST = 300
"""Links that are drawn; more hide each other."""
BROADEST, FINEST = 4.0, 0.25
"""Width of links at their broad end, points."""


class Cells(NamedTuple):
    """Cells: positions (n, 3) and diameters (n,) in um, and the type of each."""

    position: np.ndarray
    diameter: np.ndarray
    types: list[str]


class Links(NamedTuple):
    """Links between cells: the rows of the two, the way from one to the other in um, and how much went."""

    source: np.ndarray
    way: np.ndarray
    amount: np.ndarray


def strongest(links: Links) -> Links:
    """Of more links than are drawn, those over which most went, the least first."""
    order = np.argsort(links.amount, kind="stable")[-MOST:]
    return Links(links.source[order], links.way[order], links.amount[order])


def links(
    cells: Cells,
    drawn: Links,
    *,
    unit: str = "vesicles",
    colors: Mapping[str, str] | None = None,
    key: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw cells seen along z, and links between them.

    Parameters
    ----------
    cells : Cells
    drawn : Links
        Between two cells each; see ``strongest``.
    unit : str
        Quantity shown.
    colors : dict of str, optional
        By type; links have the color of the sender.
    key : bool
        Whether types and widths are explained, right of the axes.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.collections import EllipseCollection, PolyCollection

    ax = axes_or_new(ax)
    position, diameter, cell_type = cells
    names = list(dict.fromkeys(cell_type))
    shades = dict(hues(names)) | dict(colors or {})
    low, high = position[:, :2].min(axis=0), position[:, :2].max(axis=0)
    margin = 0.5 * float(diameter.max()) + 0.02 * float(max(high - low))
    ax.set(
        xlim=(low[0] - margin, high[0] + margin),
        ylim=(low[1] - margin, high[1] + margin),
        aspect="equal",
        xlabel="x (µm)",
        ylabel="y (µm)",
    )
    label_ticks(ax.xaxis, ax.yaxis)
    per_point = _um_per_point(ax)
    if len(drawn.amount):
        width = np.maximum(BROADEST * drawn.amount / drawn.amount.max(), FINEST) * per_point
        wedges = tapers(position[drawn.source, :2], drawn.way[:, :2], width)
        of = [shades[cell_type[row]] for row in drawn.source]
        look: dict[str, Any] = {"alpha": 0.75 if len(of) <= 20 else 0.5, "edgecolors": "none", "zorder": 2}
        ax.add_collection(PolyCollection(list(wedges), facecolors=of, **look), autolim=False)
    size = np.maximum(diameter, 0.8 * per_point)
    shapes = EllipseCollection(
        size,
        size,
        np.zeros(len(size)),
        units="xy",
        offsets=position[:, :2],
        offset_transform=ax.transData,
        facecolors=[shades[name] for name in cell_type],
        edgecolors=PAPER,
        linewidths=0.2,
        zorder=3,
    )
    ax.add_collection(shapes)
    if key:
        _key(ax, names, shades, drawn, unit)
    return ax


def _um_per_point(ax: Axes) -> float:
    """How many um a point is."""
    box = ax.get_window_extent()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    return max((x1 - x0) / box.width, (y1 - y0) / box.height) * ax.figure.dpi / 72


def _key(ax: Axes, names: list[str], shades: Mapping[str, str], drawn: Links, unit: str) -> None:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none"}
    by_color: dict[str, list[str]] = {}
    for name in names:
        by_color.setdefault(shades[name], []).append(name_lines(name))
    handles = [Line2D([], [], color=color, **dot) for color in by_color]
    labels = [",\n".join(same) for same in by_color.values()]
    if len(drawn.amount):
        lines, amounts = width_key(float(drawn.amount.max()), BROADEST, FINEST)
        handles += [Line2D([], [], linestyle="none"), *lines]
        labels += [unit, *amounts]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0.0}
    ax.legend(handles, labels, labelcolor=INK, fontsize=TEXT, handlelength=1.4, labelspacing=0.4, **place)


TALLEST, LEAST = 120.0, 20.0
"""Height and least width of a map, mm."""
KEY_LINE, KEY_MORE = 1.35 * text_height(1), 4
"""Height of a line of the key, mm, and lines beside those of the names."""
FEW = 60
"""Up to so many cells fit into one column."""


def map_page(
    cells: Cells,
    drawn: Links,
    *,
    unit: str,
    colors: Mapping[str, str],
    heading: str,
    caption: str,
    width: float | None = None,
) -> Page:
    """A page of one map, to scale; without a ``width`` in mm as wide as its cells need."""
    wide = (COLUMN if len(cells.types) <= FEW else PAGE) if width is None else width
    span = cells.position[:, :2].max(axis=0) - cells.position[:, :2].min(axis=0)
    margin = float(cells.diameter.max()) + 0.04 * float(max(span))
    x, y = (float(length) + margin for length in span)
    ends = (cells.position[:, 1].min(), cells.position[:, 1].max())
    left = text_height(1) + 3.5 + max(text_width(number(float(round(end)))) for end in ends)
    lines = [line for name in set(cells.types) for line in name_lines(name).split("\n")]
    key = 9.0 + max(text_width(line) for line in [*lines, unit])
    room = wide - 2 * EDGE - left - key
    check_width(width, wide - room + LEAST)
    scale = min(room / x, TALLEST / y)
    panel = (scale * x, max(scale * y, LEAST / 2))
    below = max(2 * text_height(1) + 2.0, KEY_LINE * (len(lines) + KEY_MORE) - panel[1])
    grid = Grid(wide, 1, panel, left, below, (0.0, 0.0))
    page = Page(grid, [""], heading, caption)
    links(cells, drawn, unit=unit, colors=colors, ax=page.panels[0])
    return page
