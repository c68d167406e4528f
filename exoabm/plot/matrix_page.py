"""Matrices of types side by side, in fields that hold their numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.plot.matrices import (
    SLANT,
    Shades,
    field_size,
    matrix,
    numbers,
    scale_axes,
    shades_of,
    size_in,
    slant,
)
from exoabm.plot.page import EDGE, Grid, Page
from exoabm.plot.preview.lettering import number
from exoabm.plot.style import COLUMN, LEAST, PAGE, TEXT, check_width, name_lines, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

BAR = 2.2
"""Width of the scale right of the panels, mm."""
LEAST_BAR = 18.0
"""Height below which there is none where numbers stand in the fields, mm."""
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
    fit into no field in the least size are left out, and the caption says so.
    """
    shades = shades_of(np.concatenate([panel.mean.ravel() for panel in panels]), unit)
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
        caption += " Numbers do not fit into the fields and are left out; exoabm export writes them."
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
    power = shades.unit.removesuffix(unit).strip()  # small matrices have no scale that says it
    heading += f"; numbers in {power}" if power else ""
    page = Page(grid, [panel.title for panel in panels], heading, caption)
    for i, (panel, ax) in enumerate(zip(panels, page.panels, strict=True)):
        names = (page.is_leftmost(i), page.is_lowest(i))
        matrix(
            panel.mean,
            rows,
            columns,
            half=panel.half,
            unit=unit,
            shades=shades,
            size=size,
            names=names,
            ax=ax,
        )
        ax.yaxis.set_label_coords(-(left - text_height(1) / 2 - 0.3) / grid.panel[0], 0.5)
        if grid.panel[1] < text_width("rows send"):  # the heading says it, too
            ax.set_ylabel("")
        if not label:
            ax.set_xlabel("")
        if turned:
            slant(ax, below)
        ax.xaxis.set_label_coords(
            0.5, -(grid.bottom - text_height(1)) / grid.panel[1], transform=ax.transAxes
        )
    if size is None or grid.panel[1] >= LEAST_BAR:
        bar = page.beside(BAR, min(grid.panel[1], 32.0), GAP)
        scale_axes(bar, shades)
        bar.yaxis.set_label_coords((right - GAP - text_height(1) / 2) / BAR, 0.5)
    return page


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
