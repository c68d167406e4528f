"""Common layout in pixels, and shading of cells, of the panels of the preview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.analysis.outcomes import FORMS, body
from exoabm.plot import palette
from exoabm.plot.palette import COOL, INK, MUTED, WARM, Looks, Role, Style
from exoabm.plot.scales import capitalized, log_range
from exoabm.tables.readouts import named

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


WASTE = "waste_units_per_cell"
"""Quantity of the waste that cells of a type hold."""
LOST = "lost"
MOST_ORGANS = 5
"""Curves of organs that can still be told apart; the target is always among them."""


class Readout(NamedTuple):
    """A column of the metrics that a scenario is about, its unit, and its title."""

    metric: str
    unit: str
    title: str = ""


class Curve(NamedTuple):
    """A column of the metrics, with the words and the color of its line."""

    name: str
    column: str
    color: str


class Course(NamedTuple):
    """Curves that share an axis."""

    title: str
    notes: list[str]
    unit: str
    curves: list[Curve]


def course_of(scene: Scene, rows: list[dict[str, float]], readout: Readout | None) -> Course | None:
    """The time course shown for a run: the first available one, or None.

    The readout of its scenario; organs that hold a dose; cells that come and go; effects of responses.
    """
    last = rows[-1]
    if len(rows) < 2:
        return None
    # Waste has a panel of its own.
    if readout is not None and readout.metric in last and not readout.metric.startswith(f"{WASTE}["):
        title = capitalized(readout.title or readout.metric)
        return Course(title, [readout.metric], readout.unit, [Curve("", readout.metric, INK)])
    found = _organs(rows)
    if found is not None:
        return found
    if scene.state.living:
        curves = _by_type(scene, last, "cells")
        if any(len({row.get(c.column) for row in rows}) > 1 for c in curves):
            return Course("Cells that live", ["by type"], "cells", curves)
    curves = _by_type(scene, last, "effect_mean")
    if curves:
        notes = ["how far behaviors have moved, 0 to 1; mean over the cells of a type"]
        return Course("Effect of the responses", notes, "effect", curves)
    return None


def _organs(rows: list[dict[str, float]]) -> Course | None:
    """The dose of which most was given, where it was found most; particles if it has any."""
    doses = body(rows)
    given = {dose: rows[-1][named("given_share", dose)] for dose in doses if doses[dose]}
    if not any(given.values()):
        return None
    dose = max(given, key=lambda name: given[name])
    form = "particles" if set(doses[dose]["particles"]) - {LOST} else "molecules"
    held = {place: at["most_share"] for place, at in doses[dose][form].items() if place != LOST}
    ranked = sorted(held, key=lambda place: (place != "target", -held[place]))[:MOST_ORGANS]
    colors = (palette.PLACES["delivered"][1], WARM[0], COOL[0], COOL[1], MUTED)
    curves = [
        Curve(place, named(FORMS[form][0], dose, place), color)
        for place, color in zip(ranked, colors, strict=False)
    ]
    which = [dose] if len(given) > 1 else []
    return Course(
        "Where in the body the dose is", [*which, f"{form}, the places that held most"], "share", curves
    )


def _by_type(scene: Scene, row: dict[str, float], quantity: str) -> list[Curve]:
    columns = [(style, named(quantity, style.name)) for style in scene.styles]
    return [Curve(s.name, column, s.outline) for s, column in columns if column in row]
