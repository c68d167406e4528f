"""Receptors of cells: how many are there and free.

With R receptors the uptake at steady concentrations c_j of the kinds that bind by them is

    k_a c / (1 + sum_j c_j / Km_j),    R = Km k_a / (k_off + k_int)

in both engines: what other kinds have bound is counted at the start of a step. What the kind itself has bound
is counted too where vesicles are single; the continuum has it in its law of uptake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from exoabm.state import State


def free_receptors(state: State, kind: int) -> np.ndarray:
    """Share of each cell's receptors for a kind that are there and free, (n,)."""
    left = left_by_others(state, kind)
    there = np.ones(len(state.cells)) if left is None else left
    return np.clip(there - occupied(state, kind), 0.0, 1.0)


def left_by_others(state: State, kind: int) -> np.ndarray | None:
    """Share of the receptors for a kind that are there and not occupied by other kinds, (n,).

    The behavior ``uptake_rate`` says how many are there. None where it is constant and the kind shares its
    receptors with no other.
    """
    left = state.uptake_share()
    for other in sorted({k for t in state.types for k in t.rivals(kind)}):
        here = np.array([other in t.rivals(kind) for t in state.types])[state.cells.type]
        left = np.ones(len(here)) if left is None else left
        left = np.maximum(left - here * occupied(state, other), 0.0)
    return left


def occupied(state: State, kind: int) -> np.ndarray:
    """B / R, the share of a cell's receptors that the bound vesicles of a kind occupy, (n,).

    0 where uptake does not saturate, and for vesicles that never leave the surface.
    """
    vesicle = state.kinds[kind]
    leave = vesicle.unbinding_rate + vesicle.internalization_rate
    nothing = np.zeros(len(state.cells))
    if leave == 0 or not any(np.isfinite(t.saturation[kind]) for t in state.types):
        return nothing
    rate = state.of_type("uptake_rate")[:, kind].astype(float)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / state.of_type("saturation")[:, kind]
    bound = state.trafficking.bound[:, kind].sum(axis=1)
    limited = (inverse > 0) & (rate > 0)
    return np.divide(bound * inverse * leave, rate, out=nothing, where=limited)
