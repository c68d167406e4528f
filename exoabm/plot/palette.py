"""The colors, shapes and words of every picture of a model, in one place.

Every distinction has two cues, so that no picture depends on hue alone:

* *Cell types* have a hue of Okabe and Ito's set [1]_, distinguishable under protanopia, deuteranopia and
  tritanopia. Warm hues go to types that send vesicles, cool ones to types that only take them up. Their
  yellow is left out: on white its contrast is 1.3 : 1. Thin marks are drawn in ``outline``, a darker
  shade of the same hue with a contrast of at least 3 : 1 on white, which WCAG 2.2 (1.4.11) asks of
  graphics. In a shipped scenario with other values a type keeps its hue, also where it then takes no part.
* *Roles* have a shape: a triangle sends, a circle takes up, a square does both, a diamond neither.
* *Amounts* have lightness alone: ``FIELD`` and ``tint`` darken steadily, so they read the same in gray.
* *Places* of a vesicle keep together: slate in the medium, greens on and in cells from pale to dark,
  grays for vesicles that are lost, and one strong accent for delivery, the smallest share.

References
----------
.. [1] M. Okabe, K. Ito, Color Universal Design, jfly.uni-koeln.de/color, 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.cell_type import reachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.cell_type import CellType
    from exoabm.model import ExosomeModel
    from exoabm.state import State

WARM = ("#D55E00", "#E69F00", "#CC79A7")
COOL = ("#0072B2", "#009E73", "#56B4E9", "#333333")
OTHER = "#8C939B"
"""The gray of types that take no part, of those too small for a hue of their own, and of the reservoir."""

INK = "#1F2A33"
MUTED = "#66717B"
RULE = "#D5DADF"
PAPER = "#FFFFFF"

FIELD = ("#FFFFFF", "#E9EEF2", "#CBD7DF", "#A5B8C5", "#7B95A7", "#527389", "#2F536A")
"""Concentration, from none to most; it ends short of black so that cells stand out on it."""

PLACES = {
    "delivered": ("cytosol", "#A3195B"),
    "lysosomal": ("lysosomes", "#1B6E5A"),
    "endosomal": ("endosomes", "#55A68C"),
    "bound": ("bound", "#A9D6C5"),
    "free": ("free", "#7B95A7"),
    "recycled": ("recycled", "#B9AFCB"),
    "cleared": ("cleared", "#D3D6D9"),
    "escaped": ("escaped", "#B4B8BC"),
}
"""Words and color for each account of the mass balance, from the inside of a cell outward."""
DEGRADED = "degraded"
"""Word for ``lysosomal`` where cells die: it includes vesicles in their endosomes."""


class Role(Enum):
    """Role of a cell type, and its marker (in Matplotlib and on the page)."""

    SENDS = ("sends", "^", 3)
    TAKES_UP = ("takes up", "o", 48)
    BOTH = ("sends and takes up", "s", 4)
    NEITHER = ("neither sends nor takes up", "D", 4)

    def __init__(self, words: str, marker: str, corners: int) -> None:
        self.words, self.marker, self.corners = words, marker, corners

    def polygon(self) -> np.ndarray:
        """Corners (m, 2) of the shape with the area of a disc of diameter 1, centered at 0."""
        turn = np.pi / 4 if self is Role.BOTH else np.pi / 2
        angle = turn + 2 * np.pi * np.arange(self.corners) / self.corners
        radius = np.sqrt(np.pi / (2 * self.corners * np.sin(2 * np.pi / self.corners)))
        return radius * np.column_stack([np.cos(angle), np.sin(angle)])

    @property
    def reach(self) -> float:
        """From the middle of the shape to its farthest corner, in diameters of that disc."""
        return float(np.hypot(*self.polygon().T).max())

    @classmethod
    def of(cls, cell_type: CellType) -> Role:
        """The role that a type's mechanisms give it."""
        takes_up = bool(np.any(cell_type.uptake_rate > 0))
        if cell_type.donates:
            return cls.BOTH if takes_up else cls.SENDS
        return cls.TAKES_UP if takes_up else cls.NEITHER


@dataclass(frozen=True)
class Style:
    """How cells of a type are drawn; ``named`` is False where the type shares the gray of the others."""

    name: str
    role: Role
    color: str
    named: bool

    @property
    def outline(self) -> str:
        """A darker shade of the color, for thin lines and text on white."""
        return to_hex(0.75 * rgb(self.color))


def cell_styles(types: Sequence[CellType], counts: Sequence[int] | np.ndarray) -> list[Style]:
    """A style per cell type; ``counts`` are the cells of each.

    The most numerous types that send get the warm hues, the most numerous that only take up the cool
    ones; hues left over go to the next of the other sort, and after them every type is gray. Types
    without cells, or without a part in the exchange, get none.
    """
    roles = [Role.of(t) for t in types]
    largest = sorted((i for i in range(len(types)) if counts[i] > 0), key=lambda i: -counts[i])
    senders = [i for i in largest if types[i].donates]
    takers = [i for i in largest if roles[i] is Role.TAKES_UP]
    hues = dict(zip(senders, WARM, strict=False)) | dict(zip(takers, COOL, strict=False))
    spare = [*COOL[:-1][len(takers) :], *WARM[len(senders) :], *COOL[len(takers) :][-1:]]
    hues |= dict(zip([i for i in senders + takers if i not in hues], spare, strict=False))
    return [Style(t.name, roles[i], hues.get(i, OTHER), i in hues) for i, t in enumerate(types)]


def rgb(color: str) -> np.ndarray:
    """Red, green and blue of ``"#RRGGBB"``, each 0 to 1, shape (3,)."""
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def to_hex(color: np.ndarray) -> str:
    """``"#RRGGBB"`` of red, green and blue, each 0 to 1."""
    return "#" + "".join(f"{round(255 * float(c)):02X}" for c in color)


def tint(color: str, share: np.ndarray) -> np.ndarray:
    """white + share (color - white): colors (n, 3) that deepen as ``share`` (n,) goes from 0 to 1."""
    return 1.0 + np.clip(share, 0.0, 1.0)[:, None] * (rgb(color) - 1.0)


STAR = 0.6
"""From the middle of a cell that received a delivery to a corner of its star, in diameters."""
MOVING = frozenset({"motility", "chemotaxis", "division_rate"})
"""Behaviors by which cells come to new places."""


class Looks(NamedTuple):
    """A style for each cell type, and which of the types have cells or can come to have some."""

    styles: tuple[Style, ...]
    drawn: tuple[bool, ...]

    @classmethod
    def of(cls, types: Sequence[CellType], counts: np.ndarray) -> Looks:
        """Looks by the cells of each type, (types); what cells can turn into counts as one cell at least."""
        counts = counts.copy()
        coming = [t.becomes for t in types if t.becomes is not None]
        counts[coming] = np.maximum(counts[coming], 1)
        return cls(tuple(cell_styles(types, counts)), tuple((counts > 0).tolist()))

    @classmethod
    def of_state(cls, state: State) -> Looks:
        """Looks by the cells that the run of a state started with."""
        return cls.of(state.types, _at_start(state))

    @classmethod
    def of_model(cls, model: ExosomeModel) -> Looks:
        """How every picture of a model draws its cell types."""
        return cls.of_state(model.state).as_shipped(model.loaded.name)

    def as_shipped(self, scenario: str) -> Looks:
        """The same roles in the colors of the shipped scenario of this name, if all types have one there.

        A type whose release or uptake is switched off, or which has fewer cells, as in a step of a lesson,
        keeps its color.
        """
        usual = _looks_as_shipped(scenario)
        if usual is None or {s.name for s in self.styles if s.named} - {
            s.name for s in usual.styles if s.named
        }:
            return self
        return self.colored_like(usual)

    def colored_like(self, other: Looks) -> Looks:
        """The same roles in the colors of another run, for the types that it has."""
        its = {style.name: style for style in other.styles}
        pairs = ((own, its.get(own.name, own)) for own in self.styles)
        return Looks(tuple(Style(own.name, own.role, it.color, it.named) for own, it in pairs), self.drawn)

    def beyond(self, state: State) -> float:
        """How far marks of cells reach beyond the sides of the domain, um.

        That is where cells are now; where they move or divide, they may come to the sides. A cell counts as
        one of the largest type into which it can transform.
        """
        if not len(state.cells):
            return 0.0
        kinds = zip(state.types, self.styles, strict=True)
        own = np.array([cell_type.diameter * max(style.role.reach, STAR) for cell_type, style in kinds])
        reach = np.array([own[list(reachable(state.types, {i}))].max() for i in range(len(own))])
        place, low, extent = state.cells.position[:, :2], state.domain.low[:2], state.domain.extent[:2]
        room = np.minimum(place - low, low + extent - place).min(axis=1)
        if not MOVING.isdisjoint(state.behaviors):
            room = np.minimum(room, 0.0)
        return max(0.0, float((reach[state.cells.type] - room).max()))


@cache
def _looks_as_shipped(scenario: str) -> Looks | None:
    """How the cell types of a shipped scenario are drawn if nothing in it is changed; None of any other."""
    from exoabm.scenario.loader import load, shipped
    from exoabm.scenario.placement import cells_of_types
    from exoabm.scenario.state_builder import kinds_and_types

    if scenario not in shipped():
        return None
    loaded = load(scenario)
    types, counts = kinds_and_types(loaded.scenario)[1], cells_of_types(loaded)
    return Looks.of(types, np.array([counts[cell_type.name] for cell_type in types]))


def _at_start(state: State) -> np.ndarray:
    """Cells of each type at the start (T): those of now, less births, plus deaths, and types changed back."""
    lineage = state.lineage
    counts = np.bincount(state.cells.type, minlength=len(state.types))
    counts += lineage.deaths + lineage.transformations - lineage.divisions
    for index, cell_type in enumerate(state.types):
        if cell_type.becomes is not None:
            counts[cell_type.becomes] -= lineage.transformations[index]
    return counts
