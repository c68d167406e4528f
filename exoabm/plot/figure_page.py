"""Pages of figures for papers: sizes, fonts and lines, panels placed in mm, and files that are reproducible.

A page has panels side by side under a heading and over a caption, so that nothing is cut. The same page gives
a file with the same bytes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.output.durable_files import atomic_file
from exoabm.plot.palette import COOL, INK, MUTED, OTHER, PAPER, RULE, WARM, rgb, to_hex
from exoabm.plot.scales import plain
from exoabm.text_formatting import number, round_below, superscript

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MM = 1 / 25.4
"""A millimeter in inches."""
POINT = 25.4 / 72
"""A point in mm."""
COLUMN, PAGE = 89.0, 183.0
"""Widths of one and of two columns, mm: Nature's guide for final artwork; others differ by some 10 mm."""
TEXT, LEAST = 6.5, 5.0
"""Size of letters, points, and the least that is read in print; the same guide asks for 5 to 7."""
DPI = 600
"""Of a PNG, dots per inch; what journals ask of drawings with letters (assumed)."""
LINE = 1.25
"""Height of a line of text, in sizes of its letters."""
FORMATS = (".pdf", ".png", ".svg")

RC: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": TEXT,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.5,
    "axes.labelpad": 2.0,
    "axes.unicode_minus": True,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.pad": 1.5,
    "ytick.major.pad": 1.5,
    "legend.fontsize": TEXT,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "exoabm",
    "pdf.fonttype": 42,
    "path.simplify": False,
}
"""Text stays text in SVG and PDF; a dollar sign in a name is one."""


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings for figures of papers, until the end of the block."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)  # type: ignore[arg-type]
        yield


def check_format(path: Path) -> None:
    """Refuse a file whose ending is of no format.

    Raises
    ------
    InputError
    """
    if path.suffix.lower() not in FORMATS:
        hint = did_you_mean(path.suffix or path.name, FORMATS)
        raise InputError(f"--out {path}: a figure ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}{hint}")


def save(figure: Figure, path: Path, ending: str, dpi: float) -> None:
    """Write a figure as ``.svg``, ``.pdf`` or ``.png``, without a date: the same figure, the same bytes."""
    metadata: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None, "Creator": "exoabm"},
        ".pdf": {"CreationDate": None, "Creator": "exoabm", "Producer": None},
        ".png": {"Software": "exoabm"},
    }
    figure.savefig(path, format=ending[1:], dpi=dpi, metadata=metadata[ending], facecolor=PAPER)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png", facecolor="white")


def titled_panels(n: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure for the screen with a title and n panels, three in a row."""
    from matplotlib.figure import Figure

    columns = min(3, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(3.7 * columns + 0.4, 2.7 * rows + 1.0), layout="constrained", dpi=144)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels[n:]:
        axes.remove()
    return figure, panels[:n]


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes that were given, or those of a new figure of one column."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN * MM, 0.8 * COLUMN * MM), layout="constrained", facecolor=PAPER)
    return figure.subplots()


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = TEXT) -> float:
    """Width of a line of text in mm."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) * POINT


def text_height(lines: int, size: float = TEXT) -> float:
    """Height of lines of text in mm."""
    return lines * LINE * size * POINT


def name_lines(name: str, letters: int = 16) -> str:
    """A name of the user's as the font has it, in lines of so many letters where it has places to break."""
    text = plain(name)
    if len(text) <= letters:
        return text
    parts = text.replace("_", "_ ").replace("-", "- ")
    lines = wrap(parts, letters + 2, break_long_words=True)
    return "\n".join(line.replace("_ ", "_").replace("- ", "-") for line in lines)


def fitted(text: str, width: float) -> str:
    """Text in lines no wider than ``width`` mm; words that are wider are broken at their joints."""
    lines = [""]
    words = re.findall(r"\S+\s?", plain(text))
    for piece in (piece for word in words for piece in _pieces(word, width)):
        longer = lines[-1] + piece
        if lines[-1] and text_width(longer.rstrip()) > width:
            lines.append(piece)
        else:
            lines[-1] = longer
    return "\n".join(line.rstrip() for line in lines)


def _pieces(word: str, width: float) -> list[str]:
    """A word, in pieces no wider than ``width`` mm where they have joints."""
    if text_width(word.rstrip()) <= width:
        return [word]
    return re.findall(r"[^._-]*[._-]|[^._-]+$", word)


def check_width(width: float | None, least: float) -> None:
    """Refuse a width in mm that was asked for and is less than names and numbers take.

    Raises
    ------
    InputError
    """
    if width is not None and width < least:
        raise InputError(f"--width-mm {width:g}: names and numbers of this figure take {np.ceil(least):g} mm")


def scale_of(most: float) -> tuple[float, str]:
    """Power of ten for numbers from 10^5 and below 10^-2, and its text before a unit."""
    if most == 0 or 1e-2 <= most < 1e5:
        return 1.0, ""
    exponent = 3 * int(np.floor(np.log10(most) / 3))
    return 10.0**exponent, f"10{superscript(exponent)} "


def width_key(top: float, broadest: float, finest: float) -> tuple[list[Line2D], list[str]]:
    """Three lines for a legend of widths (points), and their amounts; ``top`` has the ``broadest``."""
    from matplotlib.lines import Line2D

    values = round_below(top) * np.array([1.0, 0.5, 0.2])
    lines = [Line2D([], [], color=MUTED, linewidth=max(broadest * v / top, finest)) for v in values]
    return lines, [number(v) for v in values]


def mean_text(value: float, half: float = float("nan")) -> str:
    """A number, with half its interval in a second line if it has one."""
    text = number(value)
    if np.isnan(half):
        return text
    return f"{text}\n±{number(float(f'{half:.2g}'))}"


def rule(ax: Axes) -> None:
    """Thin lines to read a value by, and axes on two sides."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=RULE, linewidth=0.4)
    ax.set_axisbelow(True)


def frame(ax: Axes) -> None:
    """Grid lines, axes on two sides, and small numbers, for charts that no ``Page`` lays out."""
    ax.tick_params(labelsize=8, colors=MUTED)
    ax.grid(color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(RULE)


def hues(names: list[str]) -> dict[str, str]:
    """Colors for things that have none of their own, in the order of their names; gray beyond the seventh."""
    colors = [COOL[0], WARM[0], COOL[1], WARM[2], WARM[1], COOL[2], COOL[3]]
    return dict(zip(names, [*colors, *[OTHER] * len(names)], strict=False))


def darker(color: str) -> str:
    """A shade with enough contrast for thin lines on white."""
    return to_hex(0.75 * rgb(color))


EDGE = 1.5
"""Around all, mm."""
BOLD = 1.12
"""Width of bold letters beside plain ones."""
SMALL = 5.5
"""Size of the caption's letters, points."""
assert SMALL >= LEAST


@dataclass(frozen=True)
class Grid:
    """Room of the panels, in mm.

    Attributes
    ----------
    width : float
        Of the page.
    columns : int
        Panels side by side.
    panel : tuple of float
        Width and height of the axes of each.
    left, bottom : float
        For names and numbers beside the leftmost panels and below the lowest.
    gap : tuple of float
        Between panels, across and down, without their titles.
    above : float
        Between the title of a panel and its axes.
    """

    width: float
    columns: int
    panel: tuple[float, float]
    left: float
    bottom: float
    gap: tuple[float, float]
    above: float = 0.0


class Page:
    """A figure with axes for each panel.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    panels : list of Axes
    """

    def __init__(self, grid: Grid, titles: Sequence[str], heading: str, caption: str) -> None:
        from matplotlib.figure import Figure

        self.grid = grid
        room = grid.width - 2 * EDGE
        above, below = fitted(heading, room / BOLD), fitted(caption, room * 0.98 * TEXT / SMALL)
        heads = [fitted(title, grid.panel[0]) for title in titles]
        self._head = text_height(max((h.count("\n") + 1 for h in heads if h), default=0)) + grid.above
        rows = -(-len(titles) // grid.columns)
        top = EDGE + text_height(above.count("\n") + 1) + 1.0
        foot = text_height(below.count("\n") + 1, SMALL)
        step = self._head + grid.panel[1] + grid.gap[1]
        self.height = top + rows * step - grid.gap[1] + grid.bottom + 1.5 + foot + EDGE
        self.figure: Figure = Figure(figsize=(grid.width * MM, self.height * MM), facecolor=PAPER)
        self.figure.text(
            *self.at(EDGE, EDGE), above, va="top", ha="left", weight="bold", color=INK, linespacing=1.2
        )
        self.figure.text(
            *self.at(EDGE, self.height - EDGE),
            below,
            va="bottom",
            ha="left",
            color=MUTED,
            fontsize=SMALL,
            linespacing=1.2,
        )
        self.panels = []
        for i, head in enumerate(heads):
            x = EDGE + grid.left + (i % grid.columns) * (grid.panel[0] + grid.gap[0])
            y = top + (i // grid.columns) * step
            for n, line in enumerate(reversed(head.split("\n"))):
                base = y + self._head - grid.above - 1.0 - text_height(n)
                self.figure.text(*self.at(x, base), line, va="baseline", ha="left")
            self.panels.append(self.axes(x, y + self._head, *grid.panel))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place in mm from the top left corner, as the figure counts."""
        return x / self.grid.width, 1 - y / self.height

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes by their top left corner and size in mm."""
        left, low = self.at(x, y + height)
        return self.figure.add_axes((left, low, width / self.grid.width, height / self.height))

    def beside(self, width: float, height: float, gap: float) -> Axes:
        """Axes right of the panels of the first row, at their top."""
        last = self.panels[min(self.grid.columns, len(self.panels)) - 1].get_position()
        x, y = last.x1 * self.grid.width + gap, (1 - last.y1) * self.height
        return self.axes(x, y, width, height)

    def is_lowest(self, panel: int) -> bool:
        """Whether the panel is in the lowest row."""
        return panel + self.grid.columns >= len(self.panels)

    def is_leftmost(self, panel: int) -> bool:
        """Whether the panel is in the first column."""
        return panel % self.grid.columns == 0
