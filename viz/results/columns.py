"""The columns of the metrics in words, with particles called what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.viz.results.particles import coming, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exoabm.scenario.schema import Scenario

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


def worded(scenario: Scenario, names: Iterable[str]) -> dict[str, str]:
    """Columns of ``metrics.parquet`` with their words, but for those of kinds that nothing brings."""
    known = _of_kinds(scenario)
    here = {scenario.vesicle[kind].name for sort in coming(scenario) for kind in sort.kinds}
    idle = {f"{v.name}_{end}" for v in scenario.vesicle if v.name not in here for end in _OF_KIND}
    for cell in scenario.cell_type:
        known |= {f"{cell.name}_{e}": f"{cell.name}: {w}" for e, w in _OF_TYPE.items()}
        known |= {
            f"{cell.name}_{cargo.name}_{end}": f"{cell.name}: copies of {cargo.name} {said}per cell"
            for cargo in scenario.cargo
            for end, said in (("copies_per_cell", ""), ("copies_delivered_per_cell", "delivered "))
        }
    what = together(scenario)
    heads = {cell.name for cell in scenario.cell_type} | {dose.name for dose in scenario.dose}
    return {n: _spaced(known.get(n) or _headed(n, heads)).format(what) for n in names if n not in idle}


def usual(columns: Mapping[str, str], key: str = "") -> str:
    """The column to begin with: what was taken up, or what that does where the difference lies in that."""
    told = ["_responding_cells", "_copies_delivered_per_cell", "_copies_per_cell"]
    ends = [*(told if key.startswith(_EFFECTS) else ()), "_taken_up_EV"]
    found = (name for end in ends for name in columns if name.endswith(end))
    return next(found, next(iter(columns)))


def _of_kinds(scenario: Scenario) -> dict[str, str]:
    """The columns of each kind: the sort, what became of it, and the kind where the sort has several."""
    came = "released or arrived" if scenario.dose else "released"
    return {
        f"{scenario.vesicle[kind].name}_{end}": f"{sort.name} {said or came}"
        + (f" ({scenario.vesicle[kind].name})" if len(sort.kinds) > 1 else "")
        for sort in coming(scenario)
        for kind in sort.kinds
        for end, said in _OF_KIND.items()
    }


def _headed(name: str, heads: Iterable[str]) -> str:
    """Of a cell type or a dose: its name, and what."""
    name = name.removesuffix("_EV").replace("_EV_", "_particles_")
    head = max((h for h in heads if name.startswith(f"{h}_")), key=len, default="")
    return f"{head}: {name[len(head) + 1 :]}" if head else name


def _spaced(words: str) -> str:
    return words.replace("_", " ")
