"""Outcomes: copies per cell, the share of cells that show an effect, and the biodistribution of doses.

    m_i = sum_k delivered_ik copies_k,    share = mean_i P(Poisson(m_i) >= n_eff)

Delivery is not effect: a cell that received fewer than ``effect_copies`` shows none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc

from exoabm.cargo import CargoClass
from exoabm.tables.declarations import COMPARTMENTS
from exoabm.tables.readouts import named, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.state import State


def outcomes(state: State) -> dict[str, float]:
    """Per type of recipient and signal: mean copies delivered, and share of cells given enough of them.

    Both count deliveries until now, independent of responses, whose effect is ``cells.effect``.
    """
    signals = {c.name: c for kind in state.kinds for c in kind.cargo if c.role is CargoClass.SIGNAL}
    if not signals:
        return {}
    delivered = state.trafficking.delivered.sum(axis=2)
    carried = {
        name: np.array([sum(c.copies for c in kind.cargo if c.name == name) for kind in state.kinds])
        for name in signals
    }
    bearing = {
        name: np.array([any(c.name == name for c in kind.cargo) for kind in state.kinds]) for name in signals
    }
    found: dict[str, float] = {}
    for index, cell_type in enumerate(state.types):
        takes = cell_type.uptake_rate > 0
        received = [name for name in signals if (bearing[name] & takes).any()]
        members = state.cells.type == index
        if not (received and members.any()):
            continue
        mine = delivered[members]
        for name in received:
            copies = mine @ carried[name]
            shows = gammainc(signals[name].effect_copies, copies)
            for quantity, value in (("copies_delivered_per_cell", copies), ("effect_share", shows)):
                found[named(quantity, cell_type.name, name)] = float(value.mean())
    return found


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
