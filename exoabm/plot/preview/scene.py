"""What the panels of the picture share: the layout in pixels, and how cells are shaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.plot.looks import Looks
from exoabm.plot.palette import Role, Style
from exoabm.plot.preview.scales import log_range

if TYPE_CHECKING:
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
    def of(cls, state: State) -> Scene:
        """Take the measure of a state."""
        taken = state.trafficking.taken_up.sum(axis=(1, 2))
        low, high = log_range(taken)
        with np.errstate(divide="ignore"):
            shade = np.log(np.maximum(taken, low) / low) / np.log(high / low)
        fill = np.where(taken > 0, 0.12 + 0.88 * shade, 0.0)
        x, y, _ = state.domain.extent
        scale = float(min(MAP[0] / x, MAP[2] / y))
        styles = list(Looks.of_state(state).styles)
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
        """What is left in the upper row below axes of this height, and their labels."""
        top = TOP + height + 134
        return Room(left, top, TOP + self.upper - top)

    @property
    def emitted(self) -> dict[str, float]:
        """How many were emitted of each sort: vesicles, and what stands beside them."""
        found: dict[str, float] = {}
        for kind, count in zip(self.state.kinds, self.state.balance.emitted.sum(axis=1), strict=True):
            if count > 0:
                found[kind.particles] = found.get(kind.particles, 0.0) + float(count)
        return found or {"vesicles": 0.0}

    @property
    def what(self) -> str:
        """What is drawn in a panel that takes all kinds together."""
        return next(iter(self.emitted)) if len(self.emitted) == 1 else "particles"

    @property
    def kinds(self) -> list[str]:
        """Names of the kinds of which there is or was any: a comparator that no dose gives has no part."""
        emitted = self.state.balance.emitted.sum(axis=1)
        return [kind.name for kind, count in zip(self.state.kinds, emitted, strict=True) if count > 0]

    def members(self, index: int) -> np.ndarray:
        """Rows of the cells of a type."""
        return np.flatnonzero(self.state.cells.type == index)
