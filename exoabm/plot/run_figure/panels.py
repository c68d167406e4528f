"""The pieces that panels are made of: axes, headings, words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.palette import INK, MUTED, OTHER, PAPER, RULE, Role, Style
from exoabm.plot.run_figure.layout import HEIGHT, RIGHT, WIDTH, Readout, Scene
from exoabm.plot.scales import capitalized, counted, number, plain, shorten

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


def draw_header(
    figure: Figure, scene: Scene, title: str, last: dict[str, float], readout: Readout | None
) -> None:
    """Title, the readout of the scenario with its last value, facts and key."""
    state = scene.state
    words = plain(title) or "Communication through extracellular vesicles"
    write(figure, 40, 50, shorten(words, 78), size=14, weight="bold", color=INK)
    emitted = " and ".join(f"{number(count)} {sort}" for sort, count in scene.emitted.items())
    facts = (
        counted(len(state.cells), "cell"),
        state.domain.describe().replace(" um", " µm").replace(" x ", " × "),
        f"{number(state.time / 3600)} h",
        f"{emitted} emitted",
    )
    start = 40.0
    if readout is not None and readout.metric in last:
        said = shorten(capitalized(plain(readout.title) or readout.metric), 60)
        value = f"{said}: {number(last[readout.metric])} {readout.unit.replace('um', 'µm')}"
        lead = write(figure, start, 83, value.strip(), size=8.5, color=INK, weight="bold")
        start += lead.get_window_extent().width + 24
    line = write(figure, start, 83, "   ·   ".join(facts), size=8.5, color=MUTED)
    room = WIDTH - MARGIN - start
    line.set_fontsize(8.5 * min(1.0, room / max(line.get_window_extent().width, 1.0)))
    pen, below = 40.0, 122
    for style, label in _key(scene):
        entry = write(figure, pen + 24, below, label, size=8.5, color=INK if style.name else MUTED)
        width = entry.get_window_extent().width
        if pen + 24 + width > WIDTH - 40:
            pen, below = 40.0, below + 27
            entry.set_position(((pen + 24) / WIDTH, 1 - below / HEIGHT))
        _glyph(figure, pen + 9, below - 6, style)
        pen += width + 54


def _key(scene: Scene) -> list[tuple[Style, str]]:
    """Entries of the legend: named types by size, others by role, and the meaning of each shape."""
    entries: list[tuple[int, Style, str]] = []
    rest: dict[Role, list[int]] = {}
    most = 24 if len(scene.styles) <= 5 else 16
    for index, style in enumerate(scene.styles):
        cells = len(scene.members(index))
        if style.named:
            entries.append((cells, style, f"{shorten(style.name, most)}, {number(cells)}"))
        elif cells:
            rest.setdefault(style.role, []).append(index)
    entries.sort(key=lambda entry: (entry[1].role is not Role.SENDS, -entry[0]))
    for role, types in rest.items():
        cells = sum(len(scene.members(i)) for i in types)
        name = shorten(scene.styles[types[0]].name, most)
        words = name if len(types) == 1 else f"{len(types)} other types"
        entries.append((cells, Style(name, role, OTHER, False), f"{words}, {number(cells)}"))
    roles = {style.role for _, style, _ in entries}
    shapes = [(Style("", role, PAPER, False), role.words) for role in Role if role in roles]
    return [(style, label) for _, style, label in entries] + shapes


def _glyph(figure: Figure, x: float, y: float, style: Style) -> None:
    from matplotlib.lines import Line2D

    glyph = Line2D([x / WIDTH], [1 - y / HEIGHT], linestyle="none", marker=style.role.marker)
    glyph.set_markersize(5.5 if style.role is Role.NEITHER else 7)
    glyph.set_markerfacecolor(style.color)
    glyph.set_markeredgecolor(style.outline if style.name else MUTED)
    glyph.set_markeredgewidth(0.8)
    figure.add_artist(glyph)
