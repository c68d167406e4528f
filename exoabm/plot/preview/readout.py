"""What a run is about, as a course of time: a dose in the body, a readout of its trial, cells, effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exoabm.analysis.biodistribution import FORMS, body
from exoabm.plot import palette
from exoabm.plot.palette import COOL, INK, MUTED, WARM
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from exoabm.plot.preview.scene import Scene

WASTE = "waste_units_per_cell"
"""Quantity of the waste that cells of a type hold."""
LOST = "lost"
MOST_ORGANS = 5
"""Curves of organs that can still be told apart; the target is always among them."""


class Readout(NamedTuple):
    """A column of the metrics that a trial asks for, and its unit."""

    metric: str
    unit: str


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
    """What is shown of a run: the first of these that it has. None if it has none, or a single moment.

    Organs that hold a dose; the readout of its trial; cells that come and go; effects of responses.
    """
    last = rows[-1]
    if len(rows) < 2:
        return None
    found = _organs(rows)
    if found is not None:
        return found
    # Waste has a panel of its own.
    if readout is not None and readout.metric in last and not readout.metric.startswith(f"{WASTE}["):
        words = readout.metric.replace("_", " ")
        return Course("Readout of the trial", [words], readout.unit, [Curve("", readout.metric, INK)])
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
