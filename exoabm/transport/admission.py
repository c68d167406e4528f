"""Single vesicles and receptors: what is captured must find one free when it comes.

Vesicles are proposed for capture as if as many receptors were free as can be at any time in the step.
Proposals are judged in the order of time: with B receptors occupied then, one of a cell with R is admitted
with the chance by which R - B would have proposed it, over that by which it was proposed. What is turned away
goes on from where it is. This has the law of the process in which every capture and every departure changes
the rate of the next capture, but that a vesicle which was turned away may come late to its next proposal, by
one of the `WINDOWS` of the step at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.kernels.compartment_kinetics import Coming, Leaving, Places, judge
from exoabm.kernels.medium import CAPTURED, STAYS, Fates
from exoabm.kernels.row_groups import enlist
from exoabm.streams import Purpose
from exoabm.transport.coupling import LEAST
from exoabm.transport.receptors import receptors, shared, whole_receptors
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exoabm.state import State
    from exoabm.transport.capture import Capture
    from exoabm.vesicle import Vesicles

WINDOWS = 16
"""Parts of a step in which the receptors of some cell may all change hands, after each of which vesicles that
were turned away go on. Where a share s of them changes, s^2 as many: the error of the order in time is s over
their number."""
EXTRA = 16
"""Turns after the last window; what is turned away then is captured no more in this step."""


class Admission:
    """The receptors of all cells through one step of single vesicles."""

    def __init__(self, state: State, vesicles: Vesicles, dt: float) -> None:
        self._state, self._vesicles, self._dt = state, vesicles, dt
        mean = receptors(state)
        self._limited = np.isfinite(mean)
        if not self._limited.any():
            return
        self._leave = np.array([k.unbinding_rate + k.internalization_rate for k in state.kinds])
        n = len(state.cells)
        bound = np.flatnonzero(vesicles.status == Status.BOUND)
        until = vesicles.start[bound] + self._stay(bound)
        goes = until < dt
        host, kind = vesicles.host[bound].astype(np.int64), vesicles.kind[bound].astype(np.int64)
        taken = np.bincount(host * mean.shape[1] + kind, minlength=mean.size).reshape(mean.shape)
        host, kind, until = host[goes], kind[goes], until[goes]
        going = np.bincount(host * mean.shape[1] + kind, minlength=mean.size).reshape(mean.shape)
        first, after = enlist(host, n)
        self._leaving = Leaving(until, kind, after)
        pool = shared(state)[state.cells.type]
        self._places = Places(
            mean, whole_receptors(state), pool, taken, taken - going, np.zeros(mean.shape), first
        )

    def share(self, kind: int) -> np.ndarray | None:
        """Most receptors of each cell for a kind that are free at any time from now on, over R, (n,).

        None where all are, always.
        """
        share, limited = self._state.uptake_share(), self._limited[:, kind]
        if not limited.any():
            return share
        share = np.ones(len(limited)) if share is None else share.copy()
        places = self._places
        kept = (places.kept * places.shared[:, kind]).sum(axis=1)
        free = np.maximum(places.whole[:, kind] - kept, 0.0)
        return np.divide(free, places.mean[:, kind], out=share, where=limited)

    def settle(self, captures: Sequence[Capture], fates: Fates, threads: int) -> None:
        """Judge all proposals in ``fates``; who is turned away moves on to the end of the step."""
        if not self._limited.any():
            return
        vesicles, used = self._vesicles, len(self._leaving.when)
        row, name, waiting = self._proposals(np.flatnonzero(fates.code == CAPTURED), captures, fates, 0)
        windows = self._windows(waiting)
        for turn in range(1, windows.max() + EXTRA + 1):
            if not len(row):
                break
            due = waiting.when <= self._dt * np.minimum(turn / windows, 1.0)[waiting.kind]
            order = np.lexsort((name, waiting.when))
            order = order[due[order]]
            coming, stays = Coming._make(c[order] for c in waiting), np.empty(len(order), bool)
            room = np.zeros(len(order), np.int64)
            self._leaving = Leaving._make(np.append(c[:used], room.astype(c.dtype)) for c in self._leaving)
            used = judge(coming, self._places, self._leaving, used, self._dt, LEAST, stays)
            fates.when[row[order[stays]]] = coming.when[stays]
            turned = np.sort(row[order[~stays]])
            fates.code[turned] = STAYS
            vesicles.start[turned] = fates.when[turned]
            for kind, capture in enumerate(captures):
                mine = turned[vesicles.kind[turned] == kind]
                if len(mine):
                    share = self.share(kind) if turn < windows[kind] + EXTRA else np.zeros(len(self._limited))
                    capture.move(self._state, vesicles, mine, self._dt, share, fates, threads, turn)
            again = turned[fates.code[turned] == CAPTURED]
            more = self._proposals(again, captures, fates, turn)
            row, name = np.append(row[~due], more[0]), np.append(name[~due], more[1])
            waiting = Coming(*(np.append(a[~due], b) for a, b in zip(waiting, more[2], strict=True)))

    def _windows(self, waiting: Coming) -> np.ndarray:
        """Windows that the step is worth, (K,): `WINDOWS` times the square of the share that may change."""
        places = self._places
        changes = places.taken - places.kept
        np.add.at(changes, (waiting.host, waiting.kind), 1)
        pooled = (places.shared * changes[:, None]).sum(axis=2)
        share = np.where(self._limited, pooled / np.maximum(places.whole, 1.0), 0.0).max(axis=0, initial=0.0)
        return np.maximum(np.ceil(WINDOWS * np.minimum(share, 1.0) ** 2), 1.0).astype(np.int64)

    def _proposals(
        self, rows: np.ndarray, captures: Sequence[Capture], fates: Fates, turn: int
    ) -> tuple[np.ndarray, np.ndarray, Coming]:
        """Rows and names of those that came to cells whose receptors can be short, and how they came."""
        vesicles = self._vesicles
        rows = rows[self._limited[fates.target[rows], vesicles.kind[rows]]]
        found = []
        for kind, capture in enumerate(captures):
            mine = rows[vesicles.kind[rows] == kind]
            cell, share = fates.target[mine].astype(np.int64), self.share(kind)
            if share is None:
                continue
            draw = self._state.streams.uniform(
                Purpose.ADMISSION, vesicles.id[mine], self._state.step, draw=turn
            )
            sinks = capture.sinks_at(self._state, vesicles, mine, cell, self._dt)
            when, kinds = fates.when[mine].astype(float), np.full(len(mine), kind)
            found.append((mine, when, cell, kinds, draw, self._stay(mine), share[cell], *sinks))
        row, *columns = (np.concatenate(column) for column in zip(*found, strict=True))
        return row, vesicles.id[row], Coming(*columns)

    def _stay(self, rows: np.ndarray) -> np.ndarray:
        """How long vesicles stay on the surface that they are on or come to in this step, s, (m,).

        The draws are those by which they leave it; see ``kernels.compartment_kinetics``.
        """
        draw = self._state.streams.uniform(Purpose.SORTING, self._vesicles.id[rows], self._state.step)
        leave = self._leave[self._vesicles.kind[rows]]
        return np.divide(-np.log(draw), leave, out=np.full(len(rows), np.inf), where=leave > 0)
