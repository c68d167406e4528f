"""Who sent how much to whom, type by type: rows send, columns receive, a number in each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.plot import palette
from exoabm.plot.palette import INK, MUTED, PAPER
from exoabm.plot.preview.lettering import number
from exoabm.plot.style import LEAST, LINE, POINT, TEXT, axes_or_new, name_lines, scale_of, text_width, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

WIDE = 50.0
"""Where positive values differ by more than this factor, shades follow their logarithm."""
DECADES = 4
"""Of which this many are told apart."""
PAD = 0.8
"""Room on each side of a number in its field, mm."""
SLANT = 45.0
"""Degrees by which names of columns are turned that are too wide for them."""


class Shades(NamedTuple):
    """How a value is shaded, the power of ten that numbers are divided by, and the unit with it."""

    norm: Normalize
    colors: Colormap
    scale: float
    unit: str


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
    return Shades(norm, colors, scale, power + unit)


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
        What is counted.
    shades : Shades, optional
        Where several matrices share them; see ``shades_of``.
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
    """What is written in each field."""
    halves = np.full(mean.shape, np.nan) if half is None else np.asarray(half, float)
    return {
        at: told(value / shades.scale, float(halves[at]) / shades.scale) if value or halves[at] > 0 else "0"
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
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    bar = ax.figure.colorbar(ScalarMappable(shades.norm, shades.colors), cax=ax)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.set_label(shades.unit, parse_math=False)
    ax.yaxis.set_minor_locator(NullLocator())
    if type(shades.norm).__name__ == "Normalize":
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 9))))
    ax.tick_params(length=2, width=0.5)
