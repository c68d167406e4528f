"""Receptors of cells: how many there are, and which kinds of vesicle share them.

A cell has R of them for a kind that is taken up at k_a, each of which binds at k_a / R while it is free and
holds its vesicle until that leaves the surface, at k_off + k_int. At steady concentrations c_j of the kinds
that bind by them the uptake is

    k_a c / (1 + sum_j c_j / Km_j),    Km = R (k_off + k_int) / k_a
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels.compartment_kinetics import chain_coefficients
from exoabm.kernels.uptake_rates import Occupancy
from exoabm.streams import Purpose
from exoabm.transport.walls import membrane_share

if TYPE_CHECKING:
    from exoabm.state import State


def receptors(state: State) -> np.ndarray:
    """R of each cell for each kind where its uptake rate is the highest, (n, K); infinite: never short.

    Of the membrane that is there; see ``walls``. A cell of which nothing is there takes up nothing with all.
    """
    number = np.asarray(state.of_type("receptors"), float)
    if np.isfinite(number).any():
        share = membrane_share(state)
        number = number * np.where(share > 0, share, 1.0)[:, None]
    return number


def whole_receptors(state: State) -> np.ndarray:
    """How many each cell has now, (n, K), whole numbers: R times the share that its behavior leaves it.

    What is not whole is rounded down, or up with the chance of the fraction: a number drawn once for each
    cell decides, so that the mean over cells is R, and a lower share leaves a cell no more than before.
    """
    number, kinds = receptors(state), len(state.kinds)
    share = state.uptake_share()
    if share is not None:
        number = np.multiply(number, share[:, None], out=number.copy(), where=np.isfinite(number))
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


def occupied(state: State) -> np.ndarray:
    """B / R, the share of each cell's receptors that the bound vesicles of each kind occupy, (n, K)."""
    return np.asarray(state.trafficking.bound.sum(axis=2) / receptors(state))


def left_by_others(state: State, taken: np.ndarray, kind: int) -> np.ndarray:
    """Share of the receptors for a kind that are there and not ``taken`` (n, K) by other kinds, (n,)."""
    share = state.uptake_share()
    others = shared(state)[state.cells.type, kind]
    others[:, kind] = False
    there = 1.0 if share is None else share
    return np.maximum(there - (taken * others).sum(axis=1), 0.0)


class Receptors:
    """The receptors of all cells through one step of fields: expected numbers that are bound, by kind."""

    def __init__(self, state: State) -> None:
        self._state, self._number = state, receptors(state)
        self._taken = np.ascontiguousarray(occupied(state).T)
        self._pools = np.zeros((len(state.kinds), len(state.cells), 2))
        self._followed: set[int] = set()

    def occupancy(self, kind: int, h: float) -> Occupancy:
        """What the kernel takes for a kind, in sub-steps of ``h`` s, and changes."""
        self._followed.add(kind)
        vesicle = self._state.kinds[kind]
        leave = vesicle.unbinding_rate + vesicle.internalization_rate
        chain = chain_coefficients(leave, vesicle.internalization_rate, vesicle.processing_rate, h)
        there = left_by_others(self._state, self._taken.T, kind)
        return Occupancy(there, self._number[:, kind].copy(), chain, self._taken[kind], self._pools[kind])

    def arrival(self, captured: np.ndarray) -> np.ndarray | None:
        """See ``TransportResult``; ``captured`` (n, K) is what was captured since the start."""
        if not self._followed:
            return None
        arrival = np.full((*captured.shape, 2), np.nan)
        for kind in self._followed:
            some = captured[:, kind] > 0
            arrival[some, kind] = self._pools[kind, some] / captured[some, kind, None]
        return arrival
