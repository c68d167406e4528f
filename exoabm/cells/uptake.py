"""Recipient cells take vesicles up: encountered -> bound -> internalized -> lysosomal or delivered.

Uptake is not delivery; delivery is not effect.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.cargo import CargoClass
from exoabm.kernels.trafficking import advance_chain, chain_coefficients
from exoabm.state import Uptake

if TYPE_CHECKING:
    from exoabm.state import State

LIKELY_CONTACT = math.log(2)
"""Expected encounters by which a first one is as likely as not (Poisson arrivals)."""


def take_up(state: State, captured: np.ndarray, dt: float) -> Uptake:
    """Move captured vesicles along their way into the cells over a step of ``dt`` seconds.

    Captures arrive evenly over the step. A bound vesicle unbinds at k_off or goes inward at k_int. With
    membrane fusion a share phi of those delivers at once; the others reach an endosome, which they leave at
    k_proc: recycled to the medium, delivered with probability phi by endosomal escape, or degraded in a
    lysosome. The two pools are advanced exactly, so the split does not depend on the step.
    """
    way = state.trafficking
    coefficients = np.array(
        [
            chain_coefficients(
                kind.unbinding_rate + kind.internalization_rate,
                kind.internalization_rate,
                kind.processing_rate,
                dt,
            )
            for kind in state.kinds
        ]
    )
    shares = [
        (k.unbinding_probability, k.fusion_probability, k.recycling_probability, k.escape_probability)
        for k in state.kinds
    ]
    new = [np.empty_like(captured) for _ in range(4)]
    advance_chain(
        captured,
        coefficients,
        np.array(shares),
        state.time + dt,
        LIKELY_CONTACT,
        way.encountered,
        way.bound,
        way.returning,
        way.internalized,
        way.endosomal,
        way.lysosomal,
        way.recycled,
        way.delivered,
        way.first_contact,
        way.last_contact,
        *new,
    )
    return Uptake(*new)


def receive_waste(state: State, uptake: Uptake) -> None:
    """Waste in vesicles that ended their way joins the pool of the cell that took them up."""
    copies = np.array(
        [sum(c.copies for c in kind.cargo if c.role is CargoClass.WASTE) for kind in state.kinds]
    )
    ended = (uptake.lysosomal + uptake.delivered).sum(axis=2)
    received = ended @ copies
    state.cells.waste += received
    state.waste_ledger.recaptured += float(received.sum())
    state.waste_ledger.held = float(state.cells.waste.sum())
