"""Cells where they are, and links between them, with a key beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.plot.maps import links
from exoabm.plot.page import EDGE, Grid, Page
from exoabm.plot.preview.lettering import number
from exoabm.plot.style import COLUMN, PAGE, check_width, name_lines, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.plot.maps import Cells, Links

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
