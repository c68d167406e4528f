"""The pieces that panels are made of: axes, headings, words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.palette import INK, MUTED, PAPER, RULE
from exoabm.plot.preview.lettering import number
from exoabm.plot.preview.scene import HEIGHT, RIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MARGIN = 40
"""px between words and the edge of their half of the page."""


def place_axes(figure: Figure, left: float, top: float, width: float, height: float, label: str) -> Axes:
    """Axes at a place in px from the top left corner, in the style of the picture."""
    from matplotlib.ticker import MaxNLocator

    ax = figure.add_axes(
        (left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT), label=label
    )
    ax.set_facecolor(PAPER)
    ax.tick_params(colors=INK, labelsize=8, length=3, width=0.6, color=MUTED)
    ax.xaxis.label.set(fontsize=8.5, color=INK)
    ax.yaxis.label.set(fontsize=8.5, color=INK)
    for side, spine in ax.spines.items():
        spine.set(color=MUTED, linewidth=0.6)
        if label in ("places", "course", "waste", "uptake"):
            spine.set_visible(side in ("left", "bottom"))
    for axis, room in ((ax.xaxis, width / 75), (ax.yaxis, height / 34)):
        most = int(np.clip(room, 1, 9))
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], min_n_ticks=min(most, 2)))
        axis.set_major_formatter(lambda value, _: number(round(value, 9)))
    return ax


def write_heading(figure: Figure, left: float, top: float, title: str, notes: Sequence[str]) -> None:
    """Title and notes above a panel; long notes are set smaller, to end within their half of the page."""
    write(figure, left, top - 33, title, size=10.5, weight="bold", color=INK)
    line = write(figure, left, top - 11, "; ".join(notes), size=8, color=MUTED)
    room = (WIDTH if left >= RIGHT else RIGHT) - MARGIN - left
    line.set_fontsize(8 * min(1.0, room / max(line.get_window_extent().width, 1.0)))


def write(figure: Figure, x: float, y: float, words: str, **look: Any) -> Text:
    """Words at a place in px from the top left corner of the figure."""
    look["fontsize"] = look.pop("size")
    return figure.text(x / WIDTH, 1 - y / HEIGHT, words, parse_math=False, **look)


def say(ax: Axes, words: str) -> None:
    """Words in place of data."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=RULE)
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=9, color=MUTED)


def rule_lines(ax: Axes) -> None:
    """Thin lines to read a value by."""
    ax.yaxis.set_label_coords(-82 / ax.bbox.width, 0.5)
    ax.grid(axis="y", color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
