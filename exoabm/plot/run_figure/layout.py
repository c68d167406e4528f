"""Common layout in pixels of the panels of the preview, and the pieces that they are made of.

A scene has what several panels share, such as the shading of cells; the pieces are axes, headings and words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.plot.palette import INK, MUTED, OTHER, PAPER, RULE, Looks, Role, Style
from exoabm.plot.run_figure.time_course import Readout
from exoabm.plot.scales import label_ticks, log_range, plain
from exoabm.text_formatting import capitalized, counted, number, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from exoabm.state import State

WIDTH, HEIGHT, DPI = 1600, 1200, 150
POINT = 72 / DPI
"""A pixel in points."""

LEFT, RIGHT, TOP = 104, 888, 212
"""Where the panels' axes begin: left and right column, upper row, px."""

MAP = (556, 372, 510)
"""Room for a map, px: width, and least and most height of the upper row."""


LEAST_ROOM = 120
"""The height of the least axes that a course of time is drawn in, px."""

TAKERS = (Role.TAKES_UP, Role.BOTH)


class Room(NamedTuple):
    """Where further axes fit, px from the top left corner."""

    left: float
    top: float
    height: float


@dataclass(frozen=True)
class Scene:
    """What several panels share.

    ``taken`` (n) are vesicles taken up, shown from ``low`` to ``high`` by the shade ``fill`` (n), 0 to 1;
    ``scale`` is px per um in the maps; ``upper`` and ``lower`` are the heights of the rows of panels.
    """

    state: State
    styles: list[Style]
    taken: np.ndarray
    low: float
    high: float
    fill: np.ndarray
    scale: float
    upper: float

    @classmethod
    def of(cls, state: State, looks: Looks | None = None) -> Scene:
        """Take the measure of a state, drawn in these looks or those by its own cells."""
        taken = state.trafficking.taken_up.sum(axis=(1, 2))
        low, high = log_range(taken)
        with np.errstate(divide="ignore"):
            shade = np.log(np.maximum(taken, low) / low) / np.log(high / low)
        fill = np.where(taken > 0, 0.12 + 0.88 * shade, 0.0)
        x, y, _ = state.domain.extent
        scale = float(min(MAP[0] / x, MAP[2] / y))
        styles = list((looks or Looks.of_state(state)).styles)
        return cls(state, styles, taken, low, high, fill, scale, max(MAP[1], scale * y))

    @property
    def bottom(self) -> float:
        """Where the axes of the lower row begin, px."""
        return TOP + self.upper + 134

    @property
    def lower(self) -> float:
        """How high they are, px."""
        return HEIGHT - 72 - self.bottom

    def below(self, left: float, height: float) -> Room:
        """Remaining height of the upper row below axes of this height and their labels."""
        top = TOP + height + 134
        return Room(left, top, TOP + self.upper - top)

    @property
    def emitted(self) -> dict[str, float]:
        """Emitted numbers of vesicles and of comparators."""
        found: dict[str, float] = {}
        for kind, count in zip(self.state.kinds, self.state.balance.emitted.sum(axis=1), strict=True):
            if count > 0:
                found[kind.particles] = found.get(kind.particles, 0.0) + float(count)
        return found or {"vesicles": 0.0}

    @property
    def what(self) -> str:
        """Quantity of a panel for all kinds together."""
        return next(iter(self.emitted)) if len(self.emitted) == 1 else "particles"

    @property
    def kinds(self) -> list[str]:
        """Names of the kinds of which there is or was any: a comparator that no dose gives has no part."""
        emitted = self.state.balance.emitted.sum(axis=1)
        return [kind.name for kind, count in zip(self.state.kinds, emitted, strict=True) if count > 0]

    def members(self, index: int) -> np.ndarray:
        """Rows of the cells of a type."""
        return np.flatnonzero(self.state.cells.type == index)


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
        label_ticks(axis)
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
        label = shorten(capitalized(plain(readout.title) or readout.metric), 60)
        value = f"{label}: {number(last[readout.metric])} {readout.unit.replace('um', 'µm')}"
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
