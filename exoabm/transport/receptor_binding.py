"""Receptors of cells: their number, the vesicle kinds that share them, and binding of single vesicles.

A cell has R receptors for a kind that is taken up at k_a. Each binds at k_a / R while it is free and holds
its vesicle until that leaves the surface, at k_off + k_int. At steady concentrations c_j of the kinds that
share the receptors the uptake is

    k_a c / (1 + sum_j c_j / Km_j),    Km = R (k_off + k_int) / k_a

*Single vesicles.* Captures are proposed at the largest number of free receptors at any time in the step, and
are accepted in the order of time: with B receptors occupied, a proposal to a cell with R is accepted with the
probability by which R - B would have proposed it, over that of the proposal. A rejected vesicle moves on from
its place. This is thinning of the process in which every capture and every departure changes the rate of the
next capture, except that the next proposal of a rejected vesicle may be late by up to one of the `WINDOWS` of
the step. The receptor model is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.kernels.binding_kinetics import (
    Arrivals,
    Departures,
    Sites,
    admit,
    compartment_coefficients,
    draw_residence,
)
from exoabm.kernels.medium import CAPTURED, FREE, Outcomes
from exoabm.kernels.row_groups import linked_lists, order_in_groups, rows_until
from exoabm.kernels.uptake_rates import Occupancy
from exoabm.random_streams import Purpose
from exoabm.transport.membrane_geometry import membrane_share
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.state import State
    from exoabm.transport.motion_and_capture import Capture
    from exoabm.vesicle import Vesicles


def receptors(state: State, share: np.ndarray | None = None) -> np.ndarray:
    """R of each cell for each kind at its highest uptake rate, (n, K); infinite for linear uptake.

    Proportional to the share of the membrane inside, (n,), computed if not given; see ``membrane_geometry``.
    A cell without membrane inside has all receptors and no uptake.
    """
    number = np.asarray(state.of_type("receptors"), float)
    if np.isfinite(number).any():
        share = membrane_share(state) if share is None else share
        number = number * np.where(share > 0, share, 1.0)[:, None]
    return number


def whole_receptors(state: State, mean: np.ndarray | None = None) -> np.ndarray:
    """Present number of receptors of each cell, (n, K), integers: R times the share of its uptake behavior.

    Rounded at random without bias, by one draw per cell, so that the number rises with the share. ``mean`` is
    R if it is known.
    """
    number, kinds = receptors(state) if mean is None else mean.copy(), len(state.kinds)
    share = state.uptake_share()
    if share is not None:
        number = np.multiply(number, share[:, None], out=number.copy(), where=np.isfinite(number))
    limited = np.isfinite(number).any(axis=0)
    pool = shared(state)[state.cells.type]
    for kind in np.flatnonzero(limited):
        first = pool[:, kind].argmax(axis=1)  # kinds that share receptors have one draw
        draw = np.empty(len(state.cells))
        for k in range(kinds):
            mine = first == k
            draw[mine] = state.streams.uniform(Purpose.RECEPTORS, state.cells.birth_id[mine], 0, draw=k)
        number[:, kind] = np.floor(number[:, kind] + draw)
    return number


def shared(state: State) -> np.ndarray:
    """Whether two kinds bind to the same receptors of a type, (T, K, K) bool."""
    kinds = len(state.kinds)
    together = np.zeros((len(state.types), kinds, kinds), bool)
    for t, cell_type in enumerate(state.types):
        for kind in range(kinds):
            together[t, kind, [kind, *cell_type.rivals(kind)]] = True
    return together


def free_of_other_kinds(state: State, taken: np.ndarray, kind: int, pool: np.ndarray) -> np.ndarray:
    """Share of the receptors for a kind that other kinds leave free, (n,).

    ``taken`` (n, K) are occupied; ``pool`` is `shared`.
    """
    share = state.uptake_share()
    if len(state.kinds) == 1:
        return np.ones(len(taken)) if share is None else np.maximum(share, 0.0)
    others = pool[state.cells.type, kind]
    others[:, kind] = False
    there = 1.0 if share is None else share
    return np.maximum(there - (taken * others).sum(axis=1), 0.0)


class Receptors:
    """Receptors of all cells during a step of the continuum engine: expected occupancy by kind.

    Parameters
    ----------
    number : numpy.ndarray
        Receptors of each cell for each kind, (n, K); see `receptors`.
    pool : numpy.ndarray
        Kinds that share receptors; see `shared`.
    """

    def __init__(self, state: State, number: np.ndarray, pool: np.ndarray) -> None:
        self._state, self._number, self._pool = state, number, pool
        self._taken = np.ascontiguousarray((state.trafficking.bound.sum(axis=2) / number).T)
        self._pools = np.zeros((len(state.kinds), len(state.cells), 2))
        self._followed: set[int] = set()

    def occupancy(self, kind: int, h: float) -> Occupancy:
        """Occupancy of a kind in sub-steps of ``h`` s, updated by the kernel."""
        self._followed.add(kind)
        vesicle = self._state.kinds[kind]
        leave = vesicle.unbinding_rate + vesicle.internalization_rate
        chain = compartment_coefficients(leave, vesicle.internalization_rate, vesicle.processing_rate, h)
        there = free_of_other_kinds(self._state, self._taken.T, kind, self._pool)
        return Occupancy(there, self._number[:, kind].copy(), chain, self._taken[kind], self._pools[kind])

    def arrival(self, captured: np.ndarray) -> np.ndarray | None:
        """See ``TransportResult``; ``captured`` (n, K) are the captures of the step."""
        if not self._followed:
            return None
        arrival = np.full((*captured.shape, 2), np.nan)
        for kind in self._followed:
            some = captured[:, kind] > 0
            arrival[some, kind] = self._pools[kind, some] / captured[some, kind, None]
        return arrival


LEAST = 1e-3
"""Least resistance of a cell on the lattice at any share of its uptake rate, over that at a share of 1."""
WINDOWS = 16
"""Windows of a step in which all receptors of a cell may change; rejected vesicles move on after each. For a
share s of receptors that change, s^2 as many: the error of the order in time is s over their number."""
EXTRA = 16
"""Turns after the last window; vesicles rejected then are not captured in this step."""


class ReceptorBinding:
    """Receptors of all cells during a step of the vesicle engine, and the vesicles that bind.

    ``mean`` are the ``receptors`` of all cells, (n, K). ``stay`` is the residence time of each vesicle of
    ``settle`` on the surface of a cell, s, exponential, for those that were captured. A vesicle binds at most
    once in a step, and so it has one time for all its proposals.
    """

    def __init__(self, state: State, dt: float, mean: np.ndarray) -> None:
        self._state, self._dt = state, dt
        self._limited = np.isfinite(mean)
        self._some = self._limited.any(axis=0)
        if not self._some.any():
            return
        vesicles, taken = state.vesicles, state.trafficking.bound.sum(axis=2).astype(np.int64)
        rows = rows_until(vesicles.due, vesicles.status, int(Status.BOUND), state.time, dt)
        until = vesicles.due[rows] - state.time
        host, kind = vesicles.host[rows].astype(np.int64), vesicles.kind[rows].astype(np.int64)
        going = np.bincount(host * mean.shape[1] + kind, minlength=mean.size).reshape(mean.shape)
        first, after = linked_lists(host, len(state.cells))
        self._leaving = Departures(until, kind, after)
        pool = shared(state)[state.cells.type]
        self._places = Sites(
            mean, whole_receptors(state, mean), pool, taken, taken - going, np.zeros(mean.shape), first
        )

    def shares(self) -> list[np.ndarray | None]:
        """Largest number of free receptors of each cell for each kind in the rest of the step, over R, (n,).

        None for a kind for which all are free.
        """
        share = self._state.uptake_share()
        return [self._share(kind, share) if some else share for kind, some in enumerate(self._some)]

    def _share(self, kind: int, share: np.ndarray | None) -> np.ndarray:
        share = np.ones(len(self._limited)) if share is None else share.copy()
        places = self._places
        kept = (places.kept * places.shared[:, kind]).sum(axis=1)
        free = np.maximum(places.whole[:, kind] - kept, 0.0)
        return np.divide(free, places.mean[:, kind], out=share, where=self._limited[:, kind])

    def settle(
        self,
        moving: Vesicles,
        captures: Sequence[Capture[Any]],
        shares: list[np.ndarray | None],
        sinks: list[Any],
        fates: Outcomes,
        threads: int,
    ) -> None:
        """Accept or reject all proposals in ``fates``; rejected vesicles move on to the end of the step.

        ``fates`` are those of the ``moving`` vesicles, which moved with ``shares``, and so with ``sinks``.
        """
        state = self._state
        self._moving, self.stay = moving, np.empty(len(moving))
        rows = np.flatnonzero(fates.code == CAPTURED)
        leave = np.array([k.unbinding_rate + k.internalization_rate for k in state.kinds])
        name = state.streams.seed, int(Purpose.SORTING), state.step
        self.stay[rows] = draw_residence(moving.id[rows], moving.kind[rows], leave, *name)
        if not self._some.any():
            return
        used = len(self._leaving.when)
        row, waiting = self._proposals(rows, captures, shares, sinks, fates, 0)
        self._leaving = Departures._make(np.append(c, np.zeros(len(row), c.dtype)) for c in self._leaving)
        windows = self._windows(waiting)
        for turn in range(1, windows.max() + EXTRA + 1):
            if not len(row):
                break
            due = waiting.when <= (self._dt * np.minimum(turn / windows, 1.0))[waiting.kind]
            now = np.flatnonzero(due)
            cell, who = waiting.cell[now], moving.id[row[now]]
            at = now[order_in_groups(cell, len(self._limited), waiting.when[now], who)]
            admitted = np.empty(len(at), bool)
            used = admit(waiting, at, self._places, self._leaving, used, self._dt, LEAST, admitted)
            bound, turned = at[admitted], row[at[~admitted]]
            fates.when[row[bound]] = waiting.when[bound]
            fates.code[turned] = FREE
            moving.start[turned] = fates.when[turned]
            shares, sinks = self.shares(), list(sinks)
            for kind, capture in enumerate(captures):
                mine = turned[moving.kind[turned] == kind]
                if len(mine):
                    share = shares[kind] if turn < windows[kind] + EXTRA else np.zeros(len(self._limited))
                    sinks[kind] = capture.sinks(share)
                    capture.move(state, moving, mine, self._dt, sinks[kind], fates, threads, turn)
            again = turned[fates.code[turned] == CAPTURED]
            more, proposed = self._proposals(again, captures, shares, sinks, fates, turn)
            if len(now) < len(row):
                left = np.flatnonzero(~due)
                more = np.append(row[left], more)
                proposed = Arrivals(*(np.append(a[left], b) for a, b in zip(waiting, proposed, strict=True)))
            row, waiting = more, proposed

    def _windows(self, waiting: Arrivals) -> np.ndarray:
        """Number of windows, (K,): `WINDOWS` times the square of the share of receptors that may change."""
        places, kinds = self._places, len(self._some)
        coming = np.bincount(waiting.cell * kinds + waiting.kind, minlength=places.taken.size)
        changes = places.taken - places.kept + coming.reshape(places.taken.shape)
        pooled = (places.shared * changes[:, None]).sum(axis=2)
        share = np.where(self._limited, pooled / np.maximum(places.whole, 1.0), 0.0).max(axis=0, initial=0.0)
        return np.maximum(np.ceil(WINDOWS * np.minimum(share, 1.0) ** 2), 1.0).astype(np.int64)

    def _proposals(
        self,
        rows: np.ndarray,
        captures: Sequence[Capture[Any]],
        shares: list[np.ndarray | None],
        sinks: list[Any],
        fates: Outcomes,
        turn: int,
    ) -> tuple[np.ndarray, Arrivals]:
        """Rows of captures at cells with limited receptors, and their proposals."""
        moving, state = self._moving, self._state
        found = []
        for kind, capture in enumerate(captures):
            share = shares[kind]
            if not self._some[kind] or share is None:
                continue
            mine = rows[moving.kind[rows] == kind]
            mine = mine[self._limited[fates.target[mine], kind]]
            cell = fates.target[mine].astype(np.int64)
            draw = state.streams.uniform(Purpose.ADMISSION, moving.id[mine], state.step, draw=turn)
            rates = capture.sinks_at(moving, mine, cell, self._dt, sinks[kind])
            when, kinds = fates.when[mine].astype(float), np.full(len(mine), kind)
            found.append((mine, when, cell, kinds, draw, self.stay[mine], share[cell], *rates))
        if len(found) == 1:
            return found[0][0], Arrivals(*found[0][1:])
        row, *columns = (np.concatenate(column) for column in zip(*found, strict=True))
        return row, Arrivals(*columns)
