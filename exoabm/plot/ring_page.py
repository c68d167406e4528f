"""Networks of types side by side, with room for the names around each ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.plot.networks import LIMITS, network, ring, upright
from exoabm.plot.page import EDGE, Grid, Page
from exoabm.plot.style import COLUMN, PAGE, check_width, name_lines, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
