"""Panels of curves, histograms or networks side by side, with one key to their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.plot.page import EDGE, Grid, Page
from exoabm.plot.style import COLUMN, PAGE, check_width, name_lines, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = (4.0, 4.0)
"""Between panels, mm."""
NARROWEST, LEAST = 34.0, 20.0
"""Panel, mm; the latter where there is but one beside another."""
KEY = 8.5
"""Room of a line beside a name in the key, mm."""
KEY_LINE = 1.2 * text_height(1)
"""Height of a line of the key, mm."""
SHAPE = 0.68
"""Height of a panel beside its width."""


def curve_page(
    titles: Sequence[str],
    names: Sequence[str],
    numbers: Sequence[str],
    *,
    heading: str,
    caption: str,
    label: str,
    width: float | None = None,
    beside: bool = True,
) -> Page:
    """Empty panels that share their axes; those at the left have room for numbers, those below for a label.

    Parameters
    ----------
    titles : sequence of str
        Of the panels.
    names : sequence of str
        Of what is drawn, in the key beside the panels.
    numbers : sequence of str
        Of which the broadest fits beside the axis.
    heading, caption : str
    label : str
        Of the upright axes.
    width : float, optional
        In mm; one column of a journal for one panel, two for more.
    beside : bool
        Whether the key has room of its own, right of the panels.
    """
    wide = (COLUMN if len(titles) == 1 else PAGE) if width is None else width
    left = text_height(1) + 3.5 + max(text_width(number) for number in numbers)
    lines = [line for name in names for line in name_lines(name, 22).split("\n")]
    least = text_width(label) + 1.0
    key = KEY + max(map(text_width, lines), default=0.0) if beside else 2.0
    room = wide - 2 * EDGE - left - key
    check_width(width, wide - room + LEAST)
    across = max(1, min(len(titles), int((room + GAP[0]) / (NARROWEST + GAP[0])), 4))
    across = -(-len(titles) // -(-len(titles) // across))
    panel = (room - (across - 1) * GAP[0]) / across
    grid = Grid(
        width=wide,
        columns=across,
        panel=(panel, max(SHAPE * panel, least, KEY_LINE * len(lines) if across == len(titles) else 0.0)),
        left=left,
        bottom=2 * text_height(1) + 2.0,
        gap=GAP,
    )
    page = Page(grid, titles, heading, caption)
    for ax in page.panels:
        ax.yaxis.set_label_coords(-(left - text_height(1) / 2) / panel, 0.5)
    return page


def tidy(page: Page) -> None:
    """Leave the numbers and the labels to the panels at the left and below; give all the same range."""
    tops = [ax.get_ylim() for ax in page.panels]
    for i, ax in enumerate(page.panels):
        ax.set_ylim(min(low for low, _ in tops), max(high for _, high in tops))
        if not page.is_leftmost(i):
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if not page.is_lowest(i):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
