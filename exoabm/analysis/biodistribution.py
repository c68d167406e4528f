"""Biodistribution of doses, read from the time series of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exoabm.tables.declarations import COMPARTMENTS
from exoabm.tables.readouts import named, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMS = {
    "particles": ("particle_share", "particle_exposure_h"),
    "molecules": ("molecule_share", ""),
}
"""Forms of a dose in the body, with the quantities of its share and of its exposure."""

Body = dict[str, dict[str, dict[str, dict[str, float]]]]


def doses_in_body(row: Mapping[str, float]) -> list[str]:
    """Names of the doses that a row of the metrics follows through a body."""
    return [parse(text).names[0] for text in row if text.startswith("particle_share[") and _is_lost(text)]


def body(rows: Sequence[Mapping[str, float]]) -> Body:
    """Per dose, form and compartment: share of the dose at the end and at most, exposure in share times h.

    Compartments that nothing ever reached are left out. The exposure to molecules is counted in molecules and
    stays with the metrics.
    """
    found: Body = {}
    for dose in doses_in_body(rows[-1]) if rows else ():
        found[dose] = {form: {} for form in FORMS}
        for form, (share, exposure) in FORMS.items():
            for place in COMPARTMENTS:
                most = max(row.get(named(share, dose, place), 0.0) for row in rows)
                if most > 0:
                    held = {"share": rows[-1][named(share, dose, place)], "most_share": most}
                    if exposure and named(exposure, dose, place) in rows[-1]:
                        held["exposure_h"] = rows[-1][named(exposure, dose, place)]
                    found[dose][form][place] = held
    return found


def _is_lost(text: str) -> bool:
    return parse(text).names[1] == "lost"
