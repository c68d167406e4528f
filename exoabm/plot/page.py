"""A page: panels side by side under a heading and over a caption, placed in mm so that nothing is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exoabm.plot.palette import INK, MUTED, PAPER
from exoabm.plot.style import LEAST, MM, TEXT, fitted, text_height

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
