"""The vesicle engine: every vesicle is followed, from the donor cell that released it to its end.

Free vesicles move by Brownian motion, each at its own diffusivity, in steps of their own: long where nothing
is near, short beside a cell. A cell captures them at its membrane (a partially absorbing sphere) or, in a
tissue where cells touch and hindrance stands for the space they fill, in the voxels it covers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.domain import Face
from exoabm.kernels.fates import CAPTURED, CLEARED, ESCAPED
from exoabm.state import RESERVOIR, Emissions, Event, Passage
from exoabm.streams import Purpose
from exoabm.transport.capture import Capture, Fates, MembraneCapture, VoxelCapture
from exoabm.vesicle import Status, cargo_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.state import State
    from exoabm.vesicle import Vesicles


CAPTURES: dict[str, Callable[[State, int], Capture]] = {"voxel": VoxelCapture, "membrane": MembraneCapture}


class VesicleEngine:
    """Follows single vesicles; see the module.

    Parameters
    ----------
    state : State
        Read for the domain and the cells; see ``bind``.
    capture : {"voxel", "membrane"}
        Where cells capture vesicles.
    threads : int
        The result has the same bits for any number.
    """

    name = "vesicles"

    def __init__(self, state: State, *, capture: str, threads: int = 1) -> None:
        self.threads = threads
        self._make = CAPTURES[capture]
        self.bind(state)

    def bind(self, state: State) -> None:
        """Place the cells anew."""
        self._captures: list[Capture] = [self._make(state, k) for k in range(len(state.kinds))]

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        vesicles = _vesicles(state)
        return _count(state, vesicles, vesicles.rows(Status.FREE))

    def advance(self, state: State, emissions: tuple[Emissions, ...], dt: float) -> Passage:
        """Let new vesicles in, move all free ones for ``dt`` seconds, capture some; see ``Engine``.

        Of the emissions the first table is released here, and the third, what a dose brings: what unbound or
        was recycled, the second, is known vesicle by vesicle.
        """
        vesicles = _vesicles(state)
        state.events.parts.clear()
        self._release_again(state, vesicles, dt)
        self._release(state, vesicles, emissions[0], dt)
        self._release(state, vesicles, emissions[2], dt, dosed=True)
        entered = self._let_in(state, vesicles, dt)
        n = len(vesicles)
        fates = Fates(np.zeros(n, np.int8), np.zeros(n, np.float32), np.full(n, -1, np.int32))
        free = vesicles.status == Status.FREE
        for kind, capture in enumerate(self._captures):
            rows = np.flatnonzero(free & (vesicles.kind == kind))
            capture.move(state, vesicles, rows, dt, fates, self.threads)
        vesicles.start[:] = 0.0
        captured, cleared, escaped = (
            np.flatnonzero(fates.code == code) for code in (CAPTURED, CLEARED, ESCAPED)
        )
        vesicles.host[captured] = fates.target[captured]
        vesicles.status[captured] = Status.BOUND
        vesicles.start[captured] = fates.when[captured]
        for event, rows in (
            (Event.ENCOUNTER, captured),
            (Event.CLEARANCE, cleared),
            (Event.ESCAPE, escaped),
        ):
            state.events.add(event, vesicles, rows, state.time + fates.when[rows].astype(np.float64))
        vesicles.status[cleared] = vesicles.status[escaped] = Status.GONE
        taken = np.zeros((len(state.cells), len(state.kinds), len(state.labels)))
        places = vesicles.host[captured], vesicles.kind[captured], vesicles.label[captured]
        np.add.at(taken, places, 1)
        return Passage(taken, _count(state, vesicles, cleared), _count(state, vesicles, escaped), entered)

    def _release(
        self, state: State, vesicles: Vesicles, rows: Emissions, dt: float, *, dosed: bool = False
    ) -> None:
        """Make the vesicles that donor cells release, or that a dose brings to cells, each at its moment."""
        count = rows.count.astype(np.int64)
        for kind, capture in enumerate(self._captures):
            mine = rows.kind == kind
            cell, label = np.repeat(rows.cell[mine], count[mine]), np.repeat(rows.label[mine], count[mine])
            if not len(cell):
                continue
            new = self._born(state, kind, len(cell))
            time = _as_kept(dt * state.streams.uniform(Purpose.RELEASE_TIME, new["id"], state.step))
            new["x"], new["y"], new["z"] = capture.release(state, cell, new["id"], step=0).T
            added = vesicles.append(
                **new,
                born=state.time + time,
                start=time,
                donor=-1 if dosed else state.cells.birth_id[cell],
                host=-1,
                label=label,
            )
            event = Event.ENTRY if dosed else Event.RELEASE
            state.events.add(event, vesicles, added, state.time + time)

    def _release_again(self, state: State, vesicles: Vesicles, dt: float) -> None:
        """Set free, some time in this step, what unbound or was recycled in the last one."""
        rows = vesicles.rows(Status.RETURNING)
        for kind, capture in enumerate(self._captures):
            mine = rows[vesicles.kind[rows] == kind]
            if len(mine):
                place = capture.release(state, vesicles.host[mine], vesicles.id[mine], step=state.step)
                vesicles.x[mine], vesicles.y[mine], vesicles.z[mine] = place.T
        vesicles.start[rows] = dt * state.streams.uniform(Purpose.RELEASE_TIME, vesicles.id[rows], state.step)
        vesicles.status[rows] = Status.FREE
        vesicles.host[rows] = -1

    def _let_in(self, state: State, vesicles: Vesicles, dt: float) -> np.ndarray:
        """Vesicles that come in through faces held at a concentration, (K, L)."""
        domain, entered = state.domain, np.zeros((len(state.kinds), len(state.labels)))
        for side, held in enumerate(domain.face_concentration[: 2 * domain.dim]):
            if held <= 0 or domain.faces[side] != Face.FIXED:
                continue
            label = state.labels.names.index(RESERVOIR)
            for kind, capture in enumerate(self._captures):
                position, start = capture.enter(state, side, held, dt)
                new = self._born(state, kind, len(position))
                new["x"], new["y"], new["z"] = position.T
                start = _as_kept(start)
                time = state.time + start
                added = vesicles.append(**new, born=time, start=start, donor=-1, host=-1, label=label)
                state.events.add(Event.ENTRY, vesicles, added, time)
                entered[kind, label] += len(added)
        return entered

    def _born(self, state: State, kind: int, n: int) -> dict[str, np.ndarray]:
        """Number, size, diffusivity and cargo of n new vesicles of a kind."""
        vesicle, streams = state.kinds[kind], state.streams
        number = np.arange(state.vesicles_born, state.vesicles_born + n)
        state.vesicles_born += n
        sigma = math.log(vesicle.diameter_gsd)
        size = np.exp(sigma * streams.normal(Purpose.DIAMETER, number, 0))
        names = cargo_names(state.kinds)
        copies = np.zeros((n, len(names)))
        for cargo in vesicle.cargo:
            column = names.index(cargo.name)
            copies[:, column] = streams.poisson(Purpose.CARGO_LOAD, number, column, cargo.copies)
        return {
            "id": number,
            "kind": np.full(n, kind),
            "status": np.full(n, Status.FREE),
            "hops": np.zeros(n),
            "diameter": vesicle.diameter * size,
            # 1/d has the mean exp(sigma^2/2)/median, so that the kind's mean diffusivity is kept.
            "diffusivity": vesicle.diffusivity * math.exp(-0.5 * sigma**2) / size,
            "copies": np.minimum(copies, np.iinfo(np.uint16).max),
        }


def _as_kept(start: np.ndarray) -> np.ndarray:
    """Times within a step as single precision keeps them, so that no fate comes before its birth."""
    return start.astype(np.float32).astype(np.float64)


def _vesicles(state: State) -> Vesicles:
    if state.vesicles is None:
        raise TypeError("this state keeps fields, not single vesicles")
    return state.vesicles


def _count(state: State, vesicles: Vesicles, rows: np.ndarray) -> np.ndarray:
    """Vesicles in rows by kind and label, (K, L)."""
    shape = (len(state.kinds), len(state.labels))
    place = vesicles.kind[rows].astype(np.int64) * shape[1] + vesicles.label[rows]
    return np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
