"""What delivered signals amount to: copies per cell, and the share of cells that show an effect.

    m_i = sum_k delivered_ik copies_k,    share = mean_i P(Poisson(m_i) >= n_eff)

Delivery is not effect: below ``effect_copies`` a cell that had a delivery does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc

from exoabm.cargo import CargoClass
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from exoabm.state import State


def outcomes(state: State) -> dict[str, float]:
    """Per type of recipient and signal: mean copies delivered, and share of cells given enough of them.

    Both count deliveries until now, and know nothing of the responses, whose effect is ``cells.effect``.
    """
    delivered = state.trafficking.delivered.sum(axis=2)
    signals = {c.name: c for kind in state.kinds for c in kind.cargo if c.role is CargoClass.SIGNAL}
    found: dict[str, float] = {}
    for index, cell_type in enumerate(state.types):
        members = state.cells.type == index
        if not members.any():
            continue
        for name, cargo in signals.items():
            carried = np.array([sum(c.copies for c in kind.cargo if c.name == name) for kind in state.kinds])
            bearing = np.array([any(c.name == name for c in kind.cargo) for kind in state.kinds])
            if not (bearing & (cell_type.uptake_rate > 0)).any():
                continue
            copies = delivered[members] @ carried
            shows = gammainc(cargo.effect_copies, copies)
            for quantity, value in (("copies_delivered_per_cell", copies), ("effect_share", shows)):
                found[named(quantity, cell_type.name, name)] = float(value.mean())
    return found
