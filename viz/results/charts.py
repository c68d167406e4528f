"""The plots of a run: curves over time, each a column of ``metrics.parquet``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.output.metrics import measure
from exoabm.plot.palette import COOL, MUTED, PLACES, WARM, Style, rgb, to_hex
from exoabm.vesicle import cargo_names
from exoabm.viz.results.text_summary import common_name, particle_classes, present_classes, present_kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exoabm.model import ExosomeModel
    from exoabm.plot.looks import Looks
    from exoabm.scenario.schema import Scenario
    from exoabm.state import State


_BY_TYPE = (
    ("responding", "Cells that respond", "cells", "responding_cells"),
    ("cells", "Cells that live", "cells", "cells"),
)
"""Curves by cell type, where the metrics have them: key, title, unit, and the end of the column's name."""
_ORGANS = {
    "plasma": PLACES["delivered"][1],
    "liver": WARM[0],
    "spleen": COOL[0],
    "target": COOL[1],
    "lost": MUTED,
}
"""Where a dose is shown to be, with colors."""
_PLACES = {p: PLACES[p][1] for p in ("endosomal", "lysosomal", "delivered")} | {
    p: to_hex(0.75 * rgb(PLACES[p][1])) for p in ("free", "bound", "cleared")
}
"""The colors of the ledger's places, those made for areas darker, so that a line of them can be seen."""
_DASHES = ("", "7 4", "2 3")
"""Of the first, the second and further kinds of particles."""
MOST_POINTS = 240


class Line(NamedTuple):
    """A curve: its name, the column of the metrics, its color, and dashes if the color is another's too."""

    name: str
    column: str
    color: str
    dash: str = ""


@dataclass(frozen=True)
class Chart:
    """Curves of one plot, and the unit that they share."""

    title: str
    y_label: str
    lines: tuple[Line, ...]


def charts(model: ExosomeModel, looks: Looks) -> dict[str, Chart]:
    """The plots that a model has, by a short name."""
    state, what = model.state, common_name(model.scenario)
    kinds = present_kinds(model.scenario)
    came = "released" if any(t.donates for t in state.types) else "arrived"
    names = [kind.name for kind in state.kinds]
    groups = [
        (particles.name, [k for k in kinds if names.index(k) in particles.kinds])
        for particles in particle_classes(model.scenario)
    ]
    groups = [(name, group) for name, group in groups if group]
    found: dict[str, Chart] = {}
    for particles, group in groups:  # each in a plot of its own: molecules outnumber vesicles by far
        moved, places = [], []
        for kind, dash in zip(group, cycle(_DASHES), strict=False):
            of = f", {kind}" if len(group) > 1 else ""
            moved += [
                Line(f"{came}{of}", f"{kind}_emitted_EV", MUTED, dash),
                Line(f"taken up{of}", f"{kind}_taken_up_EV", PLACES["lysosomal"][1], dash),
                Line(f"delivered{of}", f"{kind}_delivered_EV", PLACES["delivered"][1], dash),
            ]
            places += [
                Line(f"{PLACES[p][0]}{of}", f"{kind}_{p}_EV", color, dash) for p, color in _PLACES.items()
            ]
        key = f"_{particles}" if found else ""
        whose = f"{particles} {came}" if len(groups) > 1 else came
        title = f"{whose[0].upper()}{whose[1:]}, taken up, delivered"
        found[f"moved{key}"] = Chart(title, f"{particles} until now", tuple(moved))
        found[f"places{key}"] = Chart(f"Where the {particles} are", particles, tuple(places))
    drawn = [style for style, there in zip(*looks, strict=True) if there and style.named]
    takers = [s for s in drawn if np.any(_type(state, s).uptake_rate > 0)]
    if takers:
        lines = tuple(Line(s.name, f"{s.name}_taken_up_EV_per_cell", s.color) for s in takers)
        found["each"] = Chart("Taken up per cell", f"{what} per cell until now", lines)
    row = measure(state)
    for key, title, unit, ending in _BY_TYPE:
        held = _by_type(drawn, row, ending)
        constant = key == "cells" and not any(f"{line.name}_divisions" in row for line in held)
        if held and not constant:
            found[key] = Chart(title, unit, held)
    found |= _doses(model.scenario, row)
    for name in cargo_names(state.kinds):
        held = _by_type(drawn, row, f"{name}_copies_per_cell")
        if held:
            found[f"held_{name}"] = Chart(f"Copies of {name} in the cells", "copies per cell", held)
    wasting = [s for s in drawn if _type(state, s).waste is not None]
    if wasting:
        lines = _by_type(wasting, row, "waste_units_per_cell")
        found = {"waste": Chart("Waste in the cells", "waste units per cell", lines)} | found
    return found


def curves(model: ExosomeModel, chart: Chart) -> list[dict[str, Any]]:
    """The curves of a chart until now, thinned to ``MOST_POINTS``; the last point is the present."""
    rows = [*model.history.rows, measure(model.state)]
    rows = [*rows[:: max(1, len(rows) // MOST_POINTS)], rows[-1]]
    return [
        {
            "name": name.replace("_", " "),
            "color": color,
            "dash": dash,
            "bright": to_hex(rgb(color) + 0.4 * (1 - rgb(color))),
            "x": [row["time_h"] for row in rows if column in row],
            "y": [row[column] for row in rows if column in row],
        }
        for name, column, color, dash in chart.lines
    ]


def _by_type(drawn: Iterable[Style], row: Mapping[str, float], ending: str) -> tuple[Line, ...]:
    """A curve for each cell type that has a column of this ending."""
    return tuple(Line(s.name, f"{s.name}_{ending}", s.color) for s in drawn if f"{s.name}_{ending}" in row)


def _doses(scenario: Scenario, row: Mapping[str, float]) -> dict[str, Chart]:
    """What of each dose entered the tissue, and where in the body the rest of it is."""
    doses = [dose for dose in scenario.dose if dose.given]
    colors = cycle((*COOL[:3], *WARM))
    entered = (Line(d.name, f"{d.name}_entered_tissue_EV", c) for d, c in zip(doses, colors, strict=False))
    found = {"dose": Chart("Dose that reached the tissue", "particles until now", tuple(entered))}
    for dose in doses:
        of = f"Dose in the body: {dose.name}" if len(doses) > 1 else "Dose in the body"
        free = dose.molecular or dose.molecule is not None
        for key, prefix, title in (("body", "", of), ("set_free", "free_", f"{of}, as molecules")):
            organs = {organ: f"{dose.name}_{prefix}{organ}_share" for organ in _ORGANS}
            lines = tuple(Line(o, organs[o], color) for o, color in _ORGANS.items() if organs[o] in row)
            if lines and (free or not prefix):
                found[f"{key}_{dose.name}"] = Chart(title, "share of the whole dose", lines)
    return found if doses else {}


def _type(state: State, style: Style) -> Any:
    return next(t for t in state.types if t.name == style.name)


_OF_KIND = {
    "emitted_EV": "",
    "free_EV": "free",
    "bound_EV": "bound",
    "endosomal_EV": "in endosomes",
    "lysosomal_EV": "degraded in lysosomes",
    "recycled_EV": "released again",
    "delivered_EV": "delivered",
    "cleared_EV": "cleared",
    "escaped_EV": "escaped",
    "taken_up_EV": "taken up",
    "mean_concentration_per_mL": "per mL, mean",
    "max_concentration_per_mL": "per mL, highest",
}
"""Ends of the columns of a kind, and what is said of its particles."""
_OF_TYPE = {
    "cells": "cells",
    "responding_cells": "cells that respond",
    "released_EV_per_cell": "{} released per cell",
    "taken_up_EV_per_cell": "{} taken up per cell",
    "delivered_EV_per_cell": "{} delivered per cell",
}
_EFFECTS = ("cargo.", "response.")
"""Tables that change what cells hold and do, not what they take up."""


def column_labels(scenario: Scenario, names: Iterable[str]) -> dict[str, str]:
    """Columns of ``metrics.parquet`` with their words, but for those of kinds that nothing brings."""
    known = _of_kinds(scenario)
    here = {
        scenario.vesicle[kind].name for particles in present_classes(scenario) for kind in particles.kinds
    }
    idle = {f"{v.name}_{end}" for v in scenario.vesicle if v.name not in here for end in _OF_KIND}
    for cell in scenario.cell_type:
        known |= {f"{cell.name}_{e}": f"{cell.name}: {w}" for e, w in _OF_TYPE.items()}
        known |= {
            f"{cell.name}_{cargo.name}_{end}": f"{cell.name}: copies of {cargo.name} {said}per cell"
            for cargo in scenario.cargo
            for end, said in (("copies_per_cell", ""), ("copies_delivered_per_cell", "delivered "))
        }
    what = common_name(scenario)
    heads = {cell.name for cell in scenario.cell_type} | {dose.name for dose in scenario.dose}
    return {n: _spaced(known.get(n) or _headed(n, heads)).format(what) for n in names if n not in idle}


def default_column(columns: Mapping[str, str], key: str = "") -> str:
    """The column to begin with: what was taken up, or what that does where the difference lies in that."""
    told = ["_responding_cells", "_copies_delivered_per_cell", "_copies_per_cell"]
    ends = [*(told if key.startswith(_EFFECTS) else ()), "_taken_up_EV"]
    found = (name for end in ends for name in columns if name.endswith(end))
    return next(found, next(iter(columns)))


def _of_kinds(scenario: Scenario) -> dict[str, str]:
    """The columns of each kind: particle class, fate, and the kind where the class has several."""
    came = "released or arrived" if scenario.dose else "released"
    return {
        f"{scenario.vesicle[kind].name}_{end}": f"{particles.name} {said or came}"
        + (f" ({scenario.vesicle[kind].name})" if len(particles.kinds) > 1 else "")
        for particles in present_classes(scenario)
        for kind in particles.kinds
        for end, said in _OF_KIND.items()
    }


def _headed(name: str, heads: Iterable[str]) -> str:
    """Of a cell type or a dose: its name, and what."""
    name = name.removesuffix("_EV").replace("_EV_", "_particles_")
    head = max((h for h in heads if name.startswith(f"{h}_")), key=len, default="")
    return f"{head}: {name[len(head) + 1 :]}" if head else name


def _spaced(words: str) -> str:
    return words.replace("_", " ")
