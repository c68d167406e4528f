"""The curves over time that the picture of a run shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exoabm.output.metrics import FORMS, body
from exoabm.plot import palette
from exoabm.plot.palette import COOL, INK, MUTED, WARM
from exoabm.tables.readouts import named
from exoabm.text_formatting import capitalized

if TYPE_CHECKING:
    from exoabm.plot.run_figure.layout import Scene


WASTE = "waste_units_per_cell"
"""Quantity of the waste that cells of a type hold."""
LOST = "lost"
MOST_ORGANS = 5
"""Largest number of curves of organs; the target is always among them."""


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

    The readout of its scenario, organs that hold a dose, turnover of cells, or effects of responses.
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
