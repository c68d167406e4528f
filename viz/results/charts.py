"""The plots of a run: curves over time, each a readout."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.domain import Face
from exoabm.output.metrics import measure
from exoabm.plot.palette import COOL, DEGRADED, MUTED, OTHER, PLACES, WARM, Style, rgb, to_hex
from exoabm.tables.readouts import named, parse
from exoabm.text_formatting import capitalized, spaced
from exoabm.vesicle import OPENED, cargo_names, words_for
from exoabm.viz.results.text_summary import (
    common_name,
    particle_classes,
    present_classes,
    present_kinds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exoabm.model import ExosomeModel
    from exoabm.plot.palette import Looks
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_therapy import Dosing
    from exoabm.state import State
    from exoabm.tables.readouts import Readout
    from exoabm.viz.run_setup import Prediction


_BY_TYPE = (
    ("responding", "Cells that respond", "cells", "responding_cells"),
    ("cells", "Cells that live", "cells", "cells"),
)
"""Curves by cell type, where the metrics have them: key, title, unit, and the quantity."""
_COMPARTMENTS = {
    "plasma": ("plasma", PLACES["delivered"][1]),
    "depot": ("depot", COOL[3]),
    "liver": ("liver", WARM[0]),
    "spleen": ("spleen", COOL[0]),
    "heart": ("heart", WARM[1]),
    "target": ("target", COOL[1]),
    "lost": ("degraded or excreted", MUTED),
}
"""Compartments of the body with a curve of their own, its name and its color."""
_ELSEWHERE = ("elsewhere", COOL[2])
"""Name and color of the curve of all others together."""
_MOLECULES = ("free molecules", WARM[2])
"""Name and color of the curve of the molecules that particles released, wherever they are."""
_PLACES = {
    "free": COOL[3],
    "bound": WARM[1],
    "endosomal": COOL[2],
    "lysosomal": COOL[0],
    "delivered": PLACES["delivered"][1],
    "cleared": OTHER,
    "escaped": WARM[0],
}
"""Colors of the places of the mass balance as lines: those of areas are too near each other."""
_DASHES = ("", "7 4", "2 3")
"""Of the first, the second and further kinds of particles."""
MOST_POINTS = 240
JUDGED = "judged"
"""Name of the plot of what a prediction asks for where no other plot has it."""


class Line(NamedTuple):
    """A curve: its name, the column of the metrics, its color, and dashes if the color is another's too.

    ``plus`` are further columns, which are added to the first.
    """

    name: str
    column: str
    color: str
    dash: str = ""
    plus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """Curves of one plot, and the unit that they share."""

    title: str
    y_label: str
    lines: tuple[Line, ...]


def charts(model: ExosomeModel, looks: Looks, asked: Prediction | None = None) -> dict[str, Chart]:
    """The plots that a model has, by a short name; the first has the readout of the scenario.

    Where none has what a prediction asks for, it has one of its own.
    """
    state = model.state
    kinds = present_kinds(model.scenario)
    came = "released" if any(t.donates for t in state.types) else "arrived"
    of_dose = " that arrived" if came == "arrived" else ""
    names = [kind.name for kind in state.kinds]
    groups = [
        (particles.name, [k for k in kinds if names.index(k) in particles.kinds])
        for particles in particle_classes(model.scenario)
    ]
    groups = [(name, group) for name, group in groups if group]
    found: dict[str, Chart] = {}
    for particles, group in groups:  # each in a plot of its own: molecules outnumber vesicles by far
        key, several = f"_{particles}" if found else "", len(group) > 1
        moved, places = [], {}
        ended = words_for(particles).delivered.removeprefix("were ")
        words = _words_of_places(model, ended)
        for kind, dash in zip(group, cycle(_DASHES), strict=False):
            of = f", {kind}" if several else ""
            moved += [
                Line(f"{came}{of}", named("emitted", kind), OTHER, dash),
                Line(f"taken up{of}", named("taken_up", kind), _PLACES["lysosomal"], dash),
                Line(f"{ended}{of}", named("delivered", kind), PLACES["delivered"][1], dash),
            ]
            lines = tuple(
                Line(words[p], named(p, kind), color)
                for p, color in _PLACES.items()
                if p != "escaped" or Face.FIXED in state.domain.faces
            )
            title = f"Where the {particles}{of_dose} are{f': {kind}' if several else ''}"
            places[f"places{key}{of}"] = Chart(title, particles, lines)
        whose = f"{particles} {came}" if len(groups) > 1 else came
        last = ended.partition(" ")[0] if ended == OPENED else ended
        title = f"{capitalized(whose)}, taken up, {last}"
        found[f"moved{key}"] = Chart(title, f"{particles} until now", tuple(moved))
        found |= places
    drawn = [style for style, there in zip(*looks, strict=True) if there and style.named]
    takers = [s for s in drawn if np.any(_type(state, s).uptake_rate > 0)]
    if takers:
        lines = tuple(Line(spaced(s.name), named("taken_up_per_cell", s.name), s.color) for s in takers)
        what = " and ".join(name for name, _ in groups)
        found["each"] = Chart("Taken up per cell", f"{what} until now, mean over living cells", lines)
    row = measure(state)
    for key, title, unit, ending in _BY_TYPE:
        held = _by_type(drawn, row, ending)
        constant = key == "cells" and not any(named("divisions", style.name) in row for style in drawn)
        if held and not constant:
            found[key] = Chart(title, unit, held)
    found |= _doses(model.scenario, row) | _contents(state, drawn, row)
    found = _with_main_first(model.scenario, found)
    if asked is not None and not chart_of(asked, found):
        label = capitalized(asked.label)
        line = Line(label, asked_column(asked), PLACES["delivered"][1])
        found[JUDGED] = Chart(label, asked.unit or asked.label, (line,))
    return found


def _words_of_places(model: ExosomeModel, ended: str) -> dict[str, str]:
    """The places of the mass balance in words; those in endosomes of cells that die count as lysosomal."""
    words = {place: found for place, (found, _) in PLACES.items()}
    if ended != OPENED:
        words["delivered"] = ended
    if any(cell_type.death_rate is not None for cell_type in model.scenario.cell_type):
        words["lysosomal"] = DEGRADED
    return words


def chart_of(asked: Prediction, found: Mapping[str, Chart]) -> str:
    """The name of a plot of what a prediction asks for, of one quantity alone; "" if there is none."""
    quantity = asked.readout.partition("[")[0]
    for key, chart in found.items():
        columns = [line.column for line in chart.lines]
        if asked_column(asked) in columns and all(name.partition("[")[0] == quantity for name in columns):
            return key
    return ""


def asked_column(asked: Prediction) -> str:
    """What a prediction asks for, as a column: a readout, or one over another."""
    return f"{asked.readout} / {asked.over}" if asked.over else asked.readout


def _with_main_first(scenario: Scenario, found: dict[str, Chart]) -> dict[str, Chart]:
    """The chart by cell type that has the readout of the scenario, or one of it alone, before the others.

    Beside all other numbers of a kind, those of several kinds may be too small to be seen. A plot of several
    cell types keeps its title: that of the readout speaks of one of them.
    """
    asked = scenario.main_readout
    if asked is None:
        return found
    having = [
        key
        for key, each in found.items()
        if any(line.column == asked.metric for line in each.lines)
        and all(parse(line.column).quantity == parse(asked.metric).quantity for line in each.lines)
    ]
    key = having[0] if having else "readout"
    lines = found[key].lines if having else (Line(asked.title, asked.metric, PLACES["delivered"][1]),)
    alone = Chart(capitalized(asked.title), asked.unit.replace("/", " per "), lines)
    return {key: found[key] if len(lines) > 1 else alone} | {k: c for k, c in found.items() if k != key}


def curves(
    model: ExosomeModel, chart: Chart, judged: Sequence[Mapping[str, float]] = ()
) -> list[dict[str, Any]]:
    """The curves of a chart until now, thinned to ``MOST_POINTS``; the last point of metrics is the present.

    ``judged`` are the rows of a plot that the metrics do not have; their last may lie up to
    1 / ``MOST_POINTS`` of the run before the present.
    """
    own = bool(judged) and chart.lines[0].column in judged[-1]
    rows = judged if own else [*model.history.rows, measure(model.state)]
    rows = [*rows[:: max(1, len(rows) // MOST_POINTS)], rows[-1]]
    return [
        {
            "name": name,
            "color": color,
            "dash": dash,
            "bright": to_hex(rgb(color) + 0.4 * (1 - rgb(color))),
            "x": [row["time_h"] for row in rows if column in row],
            "y": [row[column] + sum(row[other] for other in plus) for row in rows if column in row],
        }
        for name, column, color, dash, plus in chart.lines
    ]


def _by_type(drawn: Iterable[Style], row: Mapping[str, float], quantity: str, *of: str) -> tuple[Line, ...]:
    """A curve for each cell type that has this quantity."""
    return tuple(
        Line(spaced(s.name), readout, s.color)
        for s in drawn
        if (readout := named(quantity, s.name, *of)) in row
    )


def _means_by_type(
    drawn: Sequence[Style], row: Mapping[str, float], quantity: str, *of: str
) -> tuple[Line, ...]:
    """A curve for each cell type, where one has this mean over its cells.

    A type without cells has no mean yet; its curve begins with its first cell.
    """
    has = any(named(quantity, style.name, *of) in row for style in drawn)
    return tuple(Line(spaced(s.name), named(quantity, s.name, *of), s.color) for s in drawn if has)


def _contents(state: State, drawn: Sequence[Style], row: Mapping[str, float]) -> dict[str, Chart]:
    """Copies of each cargo, and waste, in the cells of each type."""
    found: dict[str, Chart] = {}
    for name in cargo_names(state.kinds):
        held = _means_by_type(drawn, row, "copies_per_cell", name)
        if held:
            found[f"held_{name}"] = Chart(f"Copies of {spaced(name)} in the cells", "copies per cell", held)
    wasting = [s for s in drawn if _type(state, s).waste is not None]
    if wasting:
        lines = _means_by_type(wasting, row, "waste_units_per_cell")
        found["waste"] = Chart("Waste in the cells", "waste units per cell", lines)
    return found


def _doses(scenario: Scenario, row: Mapping[str, float]) -> dict[str, Chart]:
    """What of each dose entered the tissue, and where in the body the rest of it is."""
    doses = [dose for dose in scenario.dose if dose.given]
    given = {dose.vesicle for dose in doses}
    colors = cycle((*COOL[:3], *WARM))
    entered = (
        Line(d.name if d.cells is None else f"vesicles of {d.name}", named("entered_tissue", d.name), color)
        for d, color in zip(doses, colors, strict=False)
    )
    classes = [(c.name, {scenario.vesicle[k].name for k in c.kinds}) for c in particle_classes(scenario)]
    what = " and ".join(name for name, kinds in classes if given & kinds)
    found = {
        "dose": Chart(f"{capitalized(what)} that entered the tissue", f"{what} until now", tuple(entered))
    }
    for dose in doses:
        whole = "whole dose" if dose.cells is None else "vesicles released until now"
        of = f"Dose in the body: {dose.name}" if len(doses) > 1 else "Dose in the body"
        free = dose.molecular or dose.molecule is not None
        for key, share, title in (
            ("body", "particle_share", of),
            ("set_free", "molecule_share", f"{of}, as molecules"),
        ):
            if named(share, dose.name, "plasma") in row and (free or key == "body"):
                lines = _in_the_body(dose, share, row)
                found[f"{key}_{dose.name}"] = Chart(title, f"share of the {whole}", lines)
    return found if doses else {}


def _in_the_body(dose: Dosing, share: str, row: Mapping[str, float]) -> tuple[Line, ...]:
    """Curves of a share of a dose in the body; compartments without one of their own as a sum.

    Beside particles, with the free molecules in all compartments together.
    """
    columns = _by_compartment(dose, share, row)
    if dose.route not in ("intraperitoneal", "subcutaneous"):
        columns.pop("depot", None)  # which stays empty
    found = [
        Line(name, columns.pop(place), color)
        for place, (name, color) in _COMPARTMENTS.items()
        if place in columns
    ]
    sums = [(_ELSEWHERE, columns)]
    if share != "molecule_share":
        sums.append((_MOLECULES, _by_compartment(dose, "molecule_share", row)))
    for (name, color), summed in sums:
        first, *others = summed.values()
        found.append(Line(name, first, color, plus=tuple(others)))
    return tuple(found)


def _by_compartment(dose: Dosing, share: str, row: Mapping[str, float]) -> dict[str, str]:
    """The columns of a share of a dose, by compartment."""
    read = {column: parse(column).names for column in row if column.startswith(f"{share}[")}
    return {names[1]: column for column, names in read.items() if names[0] == dose.name}


def _type(state: State, style: Style) -> Any:
    return next(t for t in state.types if t.name == style.name)


_OF_KIND = {
    "emitted": "",
    "free": "free",
    "bound": "bound",
    "endosomal": "in endosomes",
    "lysosomal": "degraded in lysosomes",
    "recycled": "released again",
    "cleared": "cleared",
    "escaped": "escaped",
    "taken_up": "taken up",
    "mean_concentration_per_mL": "per mL, mean",
    "max_concentration_per_mL": "per mL, highest",
}
"""Quantities of a vesicle kind, in words that follow the name of its particles."""
_OF_TYPE = {
    "cells": "cells",
    "responding_cells": "cells that respond",
    "arrived_cells": "cells that arrived",
    "released_per_cell": "{} released per cell",
    "taken_up_per_cell": "{} taken up per cell",
}
_OF_CARGO = {
    "copies_per_cell": "copies of {} per cell",
    "holding_cells": "cells that hold {}",
    "copies_delivered_per_cell": "copies of {} delivered per cell",
    "effect_share": "{} effect share",
}


def column_labels(scenario: Scenario, names: Iterable[str]) -> dict[str, str]:
    """Readouts with their words, but for those of kinds that nothing brings."""
    kinds = _kinds(scenario)
    what, came = common_name(scenario), "released or arrived" if scenario.dose else "released"
    found = {}
    for name in names:
        readout = parse(name)
        if readout.quantity not in (*_OF_KIND, "delivered") or len(readout.names) != 1:
            found[name] = _words(readout, what)
        elif readout.names[0] in kinds:
            words, ended = kinds[readout.names[0]]
            found[name] = words.format(_OF_KIND.get(readout.quantity, f"that {ended}") or came)
    return found


def default_column(scenario: Scenario, columns: Mapping[str, str]) -> str:
    """The readout to begin with: that of the scenario; without one, vesicles taken up."""
    asked = scenario.main_readout
    if asked is not None and asked.metric in columns:
        return asked.metric
    taken = (name for name in columns if parse(name).quantity == "taken_up")
    return next(taken, next(iter(columns)))


def _kinds(scenario: Scenario) -> dict[str, tuple[str, str]]:
    """Per kind that comes: its particle class with room for a word, and the words for what was delivered.

    The kind is named where there are several.
    """
    return {
        scenario.vesicle[kind].name: (
            f"{particles.name} {{}}"
            + (f" ({scenario.vesicle[kind].name})" if len(particles.kinds) > 1 else ""),
            particles.delivered,
        )
        for particles in present_classes(scenario)
        for kind in particles.kinds
    }


def _words(readout: Readout, what: str) -> str:
    """Of a cell type or a dose: its name, and the quantity."""
    words = spaced(readout.quantity)
    if not readout.names:
        return words
    first, *rest = readout.names
    if readout.quantity in _OF_CARGO:
        words = _OF_CARGO[readout.quantity].format(rest[0])
    elif readout.quantity == "delivered_per_cell":
        words = f"{what} that {words_for(what).delivered} per cell"
    elif readout.quantity in _OF_TYPE:
        words = _OF_TYPE[readout.quantity].format(what)
    elif rest:
        words = f"{' '.join(rest)} {words}"
    return f"{first}: {words}"
