"""Matrices of amounts between cell types: rows are donors, columns recipients, a number in each field."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.plot import palette
from exoabm.plot.figure_page import (
    COLUMN,
    EDGE,
    LEAST,
    LINE,
    PAGE,
    POINT,
    TEXT,
    Grid,
    Page,
    axes_or_new,
    check_width,
    mean_text,
    name_lines,
    scale_of,
    text_height,
    text_width,
)
from exoabm.plot.palette import INK, MUTED, PAPER
from exoabm.plot.scales import label_ticks
from exoabm.text_formatting import capitalized, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

WIDE = 50.0
"""Where positive values differ by more than this factor, shades follow their logarithm."""
DECADES = 4
"""Number of shades that can be distinguished."""
PAD = 0.8
"""Room on each side of a number in its field, mm."""
SLANT = 45.0
"""Degrees by which names of columns are turned that are too wide for them."""


class Shades(NamedTuple):
    """How a value is shaded, the power of ten that numbers are divided by, its text, and the unit with it."""

    norm: Normalize
    colors: Colormap
    scale: float
    power: str
    unit: str

    def heading(self, text: str) -> str:
        """A title with the power of ten of the numbers below it."""
        return f"{text}; numbers in {self.power}" if self.power else text


def shades_of(values: np.ndarray, unit: str) -> Shades:
    """Shades for all values that are drawn on one page."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    colors = LinearSegmentedColormap.from_list("amount", palette.FIELD[1:])
    most = float(values.max(initial=0.0))
    scale, power = scale_of(most)
    positive = values[values > 0]
    least = float(positive.min()) if len(positive) else 1.0
    norm: Normalize = Normalize(0.0, most / scale or 1.0)
    if most > WIDE * least:
        norm = LogNorm(max(least, most / 10**DECADES) / scale, most / scale)
    return Shades(norm, colors, scale, power.strip(), power + unit)


def matrix(
    mean: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    half: np.ndarray | None = None,
    unit: str = "vesicles",
    shades: Shades | None = None,
    size: float | None = TEXT,
    names: tuple[bool, bool] = (True, True),
    ax: Axes | None = None,
) -> Axes:
    """Draw a matrix of amounts between types.

    Parameters
    ----------
    mean : ndarray, shape (rows, columns)
        From each row to each column.
    rows, columns : sequence of str
        Names of those that send, and of those that receive.
    half : ndarray, shape (rows, columns), optional
        Half the width of the interval of each mean; NaN where there is none.
    unit : str
        Quantity shown; the title, with the power of ten of the numbers.
    shades : Shades, optional
        Where several matrices share them, or have another title; see ``shades_of`` and ``Shades.heading``.
    size : float or None
        Of the numbers in points; None leaves them out.
    names : tuple of bool
        Whether the names of rows and of columns are written.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = axes_or_new(ax)
    mean = np.asarray(mean, float)
    chosen = shades or shades_of(mean, unit)
    drawn = np.ma.masked_where(~(mean > 0), mean / chosen.scale)
    ax.pcolormesh(drawn, cmap=chosen.colors, norm=chosen.norm, edgecolors=PAPER, linewidth=1.0)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    for (i, j), text in numbers(mean, half, chosen).items() if size is not None else ():
        dark = mean[i, j] > 0 and float(chosen.norm(mean[i, j] / chosen.scale)) > 0.5
        color = PAPER if dark else INK if mean[i, j] > 0 else MUTED
        look: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.1, "parse_math": False}
        ax.text(j + 0.5, i + 0.5, text, fontsize=size, color=color, **look)
    shown = (
        [name_lines(n) for n in rows] if names[0] else [],
        [name_lines(n) for n in columns] if names[1] else [],
    )
    ax.set_yticks(np.arange(len(shown[0])) + 0.5, shown[0], parse_math=False)
    ax.set_xticks(np.arange(len(shown[1])) + 0.5, shown[1], parse_math=False)
    if shades is None:
        ax.set_title(chosen.heading(capitalized(unit)), parse_math=False)
    ax.set_ylabel("rows send" if names[0] else "")
    ax.set_xlabel("columns receive" if names[1] else "")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def slant(ax: Axes, names: Sequence[str]) -> None:
    """Turn the names of the columns, each to end below its column."""
    ticks = ax.get_xticks()
    if len(ticks):
        turned: dict[str, Any] = {"rotation": SLANT, "ha": "right", "va": "top", "rotation_mode": "anchor"}
        ax.set_xticks(ticks, names, parse_math=False, **turned)


def numbers(mean: np.ndarray, half: np.ndarray | None, shades: Shades) -> dict[tuple[int, ...], str]:
    """Text of each field."""
    halves = np.full(mean.shape, np.nan) if half is None else np.asarray(half, float)
    return {
        at: mean_text(value / shades.scale, float(halves[at]) / shades.scale)
        if value or halves[at] > 0
        else "0"
        for at, value in np.ndenumerate(mean)
    }


def field_size(texts: Sequence[str], size: float) -> tuple[float, float]:
    """Least width and height of a field that holds each of these texts, mm."""
    lines = [line for text in texts for line in text.split("\n")]
    most = max(text.count("\n") + 1 for text in texts)
    return max(text_width(line, size) for line in lines) + 2 * PAD, LINE * size * POINT * most + PAD


def size_in(texts: Sequence[str], width: float, height: float) -> float | None:
    """The largest size in points, up to ``TEXT``, at which all texts fit; None below the least."""
    for size in np.arange(TEXT, LEAST - 0.01, -0.25):
        wide, high = field_size(texts, float(size))
        if wide <= width + 1e-9 and high <= height + 1e-9:
            return float(size)
    return None


def scale_axes(ax: Axes, shades: Shades) -> None:
    """The scale of the shades, upright, with its unit."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator, NullLocator

    bar = ax.figure.colorbar(ScalarMappable(shades.norm, shades.colors), cax=ax)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.set_label(shades.unit, parse_math=False)
    ax.yaxis.set_minor_locator(NullLocator())
    if type(shades.norm).__name__ == "Normalize":
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    label_ticks(ax.yaxis)
    ax.tick_params(length=2, width=0.5)


BAR = 2.2
"""Width of the scale right of the panels, mm."""
LEAST_BAR = 18.0
"""Height in mm below which it is omitted where the fields contain numbers."""
FIELD = (14.0, 4.5)
"""Most width and least height of a field, mm."""
NARROWEST = text_height(1) / math.sin(math.radians(SLANT))
"""Field in which slanted names do not touch, mm."""
ROUNDS = 4
"""Tries to make room for names that reach beyond the matrix."""
GAP = 3.0
"""Between panels, mm."""
MOST_HEIGHT = 11.0
"""Of a field, mm."""


class Panel(NamedTuple):
    """A matrix: its title, means, and half widths of their intervals, NaN where there are none."""

    title: str
    mean: np.ndarray
    half: np.ndarray


def matrix_page(
    panels: Sequence[Panel],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    unit: str,
    heading: str,
    caption: str,
    width: float | None = None,
) -> Page:
    """A page of matrices of the same rows and columns that share their shades.

    Without a ``width`` in mm it has one column of a journal where all numbers fit in, else two. Numbers that
    fit into no field in the least size are omitted, as stated in the caption.
    """
    shades = shades_of(np.concatenate([panel.mean.ravel() for panel in panels]), unit)
    fit = _fitted(panels, rows, columns, shades, width)
    grid, label = fit.grid, fit.label
    if fit.size is None:
        caption += " Numbers do not fit into the fields and are left out; exoabm export writes them."
    titles = [panel.title for panel in panels]
    page = Page(grid, titles, shades.heading(heading), caption)  # small matrices have no scale
    for i, (panel, ax) in enumerate(zip(panels, page.panels, strict=True)):
        names = (page.is_leftmost(i), page.is_lowest(i))
        matrix(
            panel.mean,
            rows,
            columns,
            half=panel.half,
            unit=unit,
            shades=shades,
            size=fit.size,
            names=names,
            ax=ax,
        )
        ax.yaxis.set_label_coords(-(grid.left - text_height(1) / 2 - 0.3) / grid.panel[0], 0.5)
        if grid.panel[1] < text_width("rows send"):  # the heading says it, too
            ax.set_ylabel("")
        if not label:
            ax.set_xlabel("")
        if fit.turned:
            slant(ax, fit.names)
        ax.xaxis.set_label_coords(
            0.5, -(grid.bottom - text_height(1)) / grid.panel[1], transform=ax.transAxes
        )
    if fit.size is None or grid.panel[1] >= LEAST_BAR:
        bar = page.beside(BAR, min(grid.panel[1], 32.0), GAP)
        scale_axes(bar, shades)
        bar.yaxis.set_label_coords((_beside(shades) - GAP - text_height(1) / 2) / BAR, 0.5)
    return page


class _Fit(NamedTuple):
    """Sizes at which names and numbers of matrices fit on a page."""

    grid: Grid
    size: float | None
    """Of the numbers, points; None if they fit in no field."""
    names: list[str]
    """Of the columns, in lines."""
    turned: bool
    """Whether the names of the columns are slanted."""
    label: float
    """Height of the label below, mm; 0 if it is left out."""


def _fitted(
    panels: Sequence[Panel], rows: Sequence[str], columns: Sequence[str], shades: Shades, width: float | None
) -> _Fit:
    """Sizes of fields, names and numbers for a page of this width, mm, or of one or two journal columns."""
    texts = list({t for panel in panels for t in numbers(panel.mean, panel.half, shades).values()})
    right = _beside(shades)
    left = max(text_width(line) for name in rows for line in name_lines(name).split("\n")) + 1.5
    left += text_height(1) + 1.0  # and "rows send"
    narrow = _overhang([_column_name(name, NARROWEST) for name in columns], NARROWEST)
    least = 2 * EDGE + max(left, narrow) + right + NARROWEST * len(columns)
    check_width(width, least)
    widths = (COLUMN, PAGE, max(PAGE, least)) if width is None else (width,)
    for _ in range(ROUNDS):
        wide, across, field = _across(len(panels), len(columns), texts, left + right, widths)
        turned = any(
            text_width(line) > field - 1 for name in columns for line in name_lines(name).split("\n")
        )
        below = [_column_name(name, field) if turned else name_lines(name) for name in columns]
        over = _overhang(below, field) if turned else 0.0
        if over <= left:
            break
        left = over
    tallest = max(text_height(name_lines(name).count("\n") + 1) for name in rows) + 0.6
    high = max(FIELD[1], field_size(texts, TEXT)[1], tallest, min(0.6 * field, MOST_HEIGHT))
    size = size_in(texts, field, high)
    if size is None:
        high = max(tallest, min(high, field))
    label = text_height(1) + 1.5 if field * len(columns) >= text_width("columns receive") else 0.0
    grid = Grid(
        width=wide,
        columns=across,
        panel=(field * len(columns), high * len(rows)),
        left=left,
        bottom=_below(below, turned) + label,
        gap=(GAP, GAP),
    )
    return _Fit(grid, size, below, turned, label)


def _across(
    panels: int, columns: int, texts: Sequence[str], beside: float, widths: Sequence[float]
) -> tuple[float, int, float]:
    """The first width in mm that does, panels side by side, width of a field; ``beside`` is for words."""
    need = field_size(texts, LEAST)[0]
    for wide in widths:
        room = wide - 2 * EDGE - beside
        most = (room + GAP) / (need * columns + GAP)
        if most >= min(panels, 2 if panels > 3 else 1):
            break
    across = max(1, min(panels, int(most)))
    across = -(-panels // -(-panels // across))
    return wide, across, min(FIELD[0], (room - (across - 1) * GAP) / (across * columns))


def _overhang(names: Sequence[str], field: float) -> float:
    """How far slanted names reach beyond the left end of their matrix, mm."""
    angle = math.radians(SLANT)
    widths = [max(text_width(line) for line in name.split("\n")) for name in names]
    return max(width * math.cos(angle) - (j + 0.5) * field for j, width in enumerate(widths)) + 1.0


def _beside(shades: Shades) -> float:
    """Room for the scale with its numbers and its unit, mm."""
    most = float(shades.norm.vmax or 1.0)
    numbers_of_scale = [number(most), number(float(f"{most:.1g}")), "0.25"]
    return GAP + BAR + 1.5 + max(map(text_width, numbers_of_scale)) + text_height(1) + 0.5


def _column_name(name: str, field: float) -> str:
    """A name for a slanted label, in lines that do not reach the next column ``field`` mm away."""
    lines = name_lines(name, 24)
    fits = text_height(lines.count("\n") + 1) <= field * math.sin(math.radians(SLANT))
    return lines if fits else name_lines(name, 1000)


def _below(columns: Sequence[str], turned: bool) -> float:
    """Height of the names of columns as they are drawn, mm."""
    lines = [name.split("\n") for name in columns]
    if not turned:
        return text_height(max(map(len, lines))) + 1.0
    angle = math.radians(SLANT)
    return max(
        max(text_width(line) for line in each) * math.sin(angle) + text_height(len(each)) * math.cos(angle)
        for each in lines
    )
