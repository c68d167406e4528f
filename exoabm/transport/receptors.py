"""Receptors of cells: how many there are, and which kinds of vesicle share them.

A cell has R of them for a kind that is taken up at k_a, each of which binds at k_a / R while it is free and
holds its vesicle until that leaves the surface, at k_off + k_int. At steady concentrations c_j of the kinds
that bind by them the uptake is

    k_a c / (1 + sum_j c_j / Km_j),    Km = R (k_off + k_int) / k_a
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.streams import Purpose

if TYPE_CHECKING:
    from exoabm.state import State


def receptors(state: State) -> np.ndarray:
    """R of each cell for each kind where its uptake rate is the highest, (n, K); infinite: never short."""
    return np.asarray(state.of_type("receptors"), float)


def whole_receptors(state: State) -> np.ndarray:
    """How many each cell has now, (n, K), whole numbers: R times the share that its behavior leaves it.

    What is not whole is rounded down, or up with the chance of the fraction: a number drawn once for each
    cell decides, so that the mean over cells is R, and a lower share leaves a cell no more than before.
    """
    number, kinds = receptors(state), len(state.kinds)
    share = state.uptake_share()
    if share is not None:
        number = number * share[:, None]
    limited = np.isfinite(number).any(axis=0)
    pool = shared(state)[state.cells.type]
    for kind in np.flatnonzero(limited):
        first = pool[:, kind].argmax(axis=1)  # kinds that share receptors share the draw
        draw = np.empty(len(state.cells))
        for k in range(kinds):
            mine = first == k
            draw[mine] = state.streams.uniform(Purpose.RECEPTORS, state.cells.birth_id[mine], 0, draw=k)
        number[:, kind] = np.floor(number[:, kind] + draw)
    return number


def shared(state: State) -> np.ndarray:
    """Which kinds bind by the same receptors of a type, (T, K, K) bool, each kind with itself."""
    kinds = len(state.kinds)
    together = np.zeros((len(state.types), kinds, kinds), bool)
    for t, cell_type in enumerate(state.types):
        for kind in range(kinds):
            together[t, kind, [kind, *cell_type.rivals(kind)]] = True
    return together


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
    """B / R, the share of a cell's receptors that the bound vesicles of a kind occupy, (n,)."""
    return np.asarray(state.trafficking.bound[:, kind].sum(axis=1) / receptors(state)[:, kind])
