"""Vesicle engine: every vesicle is followed from its release to its fate.

Free vesicles move by Brownian motion, each at its own diffusivity, in adaptive steps. A cell captures them at
its membrane (a partially absorbing sphere) or, in tissue where cells touch and the hindrance represents the
space that they fill, in the voxels of its stencil.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.step_records import Emissions, Sources, TransportResult
from exoabm.domain import Face
from exoabm.kernels.medium import CAPTURED, CLEARED, ESCAPED, Outcomes
from exoabm.kernels.row_groups import count_pairs
from exoabm.random_streams import Purpose
from exoabm.state import RESERVOIR
from exoabm.tables.declarations import Event
from exoabm.transport.boundary_influx import sizes
from exoabm.transport.motion_and_capture import Capture, MembraneCapture, VoxelCapture
from exoabm.transport.receptor_binding import ReceptorBinding, receptors
from exoabm.vesicle import DOSED, NON_CELL_ID, Status, cargo_names, vesicle_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.state import State
    from exoabm.vesicle import Vesicles


PLACE = "x", "y", "z"
MOTION = "id", "kind", *PLACE, "diffusivity", "start"
"""Columns that motion and capture read; of these `PLACE` and the last one change."""


AT_ONCE = 1 << 19
"""Rows of the table that are moved at a time, so that this needs little memory beside it; half as many
are added at a time."""


class VesicleEngine:
    """Engine of single vesicles; see the module.

    Parameters
    ----------
    state : State
        Read for the domain and the cells; see ``bind``.
    capture : {"voxel", "membrane"}
        Where cells capture vesicles.
    courant : float, optional
        D dt/dx^2 of a hop with capture in voxels.
    threads : int
        The result has the same bits for any number.
    """

    name = "vesicles"

    def __init__(self, state: State, *, capture: str, courant: float | None = None, threads: int = 1) -> None:
        self.threads = threads
        make: Callable[[State, int], Capture[Any]] = MembraneCapture
        if capture == "voxel":
            make = partial(VoxelCapture, courant=courant)
        self._captures: list[Capture[Any]] = [make(state, kind) for kind in range(len(state.kinds))]
        self._receptors = receptors(state)

    def bind(self, state: State) -> None:
        """Place the cells anew; see ``Engine``."""
        for capture in self._captures:
            capture.place(state)
        self._receptors = receptors(state)

    def free(self, state: State) -> np.ndarray:
        """Free vesicles per kind and label, shape (K, L)."""
        count = np.zeros((len(state.kinds), len(state.labels)))
        for first, free in _free(state.vesicles):
            count_pairs(first + free, state.vesicles.kind, state.vesicles.label, count)
        return count

    @property
    def at_once(self) -> None:
        """None: single vesicles are moved step by step."""
        return

    def advance(self, state: State, sources: Sources, dt: float) -> TransportResult:
        """Let new vesicles in, move all free ones for ``dt`` seconds, capture some; see ``Engine``.

        Returning vesicles are already in ``state.vesicles``; released and dosed ones are new.
        """
        vesicles = state.vesicles
        state.events.begin(state.time, dt)
        vesicles.check_room(float(sources.released.count.sum() + sources.dosed.count.sum()))
        self._release_returning(state, vesicles, vesicles.rows(Status.RETURNING), dt)
        self._release(state, vesicles, sources.released, dt)
        self._dose(state, vesicles, sources.dosed, dt)
        entered = self._enter(state, vesicles, dt)
        admission = ReceptorBinding(state, dt, self._receptors)
        shares = admission.shares()
        sinks = [capture.sinks(share) for capture, share in zip(self._captures, shares, strict=True)]
        rows, fates = self._move(state, vesicles, sinks, dt)
        moving = vesicles.take(rows, MOTION)
        admission.settle(moving, self._captures, shares, sinks, fates, self.threads)
        vesicles.put(rows, moving, PLACE)
        ended = [np.flatnonzero(fates.code == code) for code in (CAPTURED, CLEARED, ESCAPED)]
        times = [state.time + fates.when[which].astype(np.float64) for which in ended]
        captured, cleared, escaped = (rows[which] for which in ended)
        vesicles.host[captured] = fates.target[ended[0]]
        vesicles.status[captured] = Status.BOUND
        vesicles.due[captured] = times[0] + admission.stay[ended[0]]
        state.events.add(Event.ENCOUNTER, vesicles, captured, times[0])
        state.events.add(Event.CLEARANCE, vesicles, cleared, times[1])
        state.events.add(Event.ESCAPE, vesicles, escaped, times[2])
        vesicles.status[cleared] = vesicles.status[escaped] = Status.GONE
        shape = len(state.cells), len(state.kinds), len(state.labels)
        places = vesicles.host[captured], vesicles.kind[captured], vesicles.label[captured]
        flat = np.ravel_multi_index(places, shape)
        taken = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
        return TransportResult(
            taken.astype(float), _count(state, vesicles, cleared), _count(state, vesicles, escaped), entered
        )

    def _move(
        self, state: State, vesicles: Vesicles, sinks: list[Any], dt: float
    ) -> tuple[np.ndarray, Outcomes]:
        """Move all free vesicles, a part at a time; rows and fates of those that do not stay free."""
        found = []
        for first, free in _free(vesicles):
            rows = first + free
            moving, fates = vesicles.take(rows, MOTION), Outcomes.of(len(rows))
            for kind, capture in enumerate(self._captures):
                mine = np.flatnonzero(moving.kind == kind)
                capture.move(state, moving, mine, dt, sinks[kind], fates, self.threads)
            vesicles.put(rows, moving, PLACE)
            vesicles.start[rows] = 0.0
            ended = np.flatnonzero(fates.code)
            found.append((rows[ended], *(column[ended] for column in fates)))
        rows, *columns = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, Outcomes(*columns)

    def _release(self, state: State, vesicles: Vesicles, rows: Emissions, dt: float) -> None:
        """Add the vesicles that donor cells release, at random times within the step."""
        for kind, cell, label in _expand(rows, len(state.kinds)):
            donor = state.cells.birth_id[cell]
            number = state.released[cell, kind].astype(np.int64) + _rank_in_cell(cell)
            name = vesicle_names(donor, kind, number)
            self._add(state, vesicles, name, kind, cell, label, donor, Event.RELEASE, dt)

    def _dose(self, state: State, vesicles: Vesicles, rows: Emissions, dt: float) -> None:
        """Add the vesicles of a dose at the surface of cells."""
        for kind, cell, label in _expand(rows, len(state.kinds)):
            number = state.entrants[DOSED, kind] + np.arange(len(cell))
            name = vesicle_names(NON_CELL_ID + DOSED, kind, number)
            state.entrants[DOSED, kind] += len(cell)
            self._add(state, vesicles, name, kind, cell, label, -1, Event.ENTRY, dt)

    def _add(
        self,
        state: State,
        vesicles: Vesicles,
        name: np.ndarray,
        kind: int,
        cell: np.ndarray,
        label: np.ndarray,
        donor: np.ndarray | int,
        event: Event,
        dt: float,
    ) -> None:
        """Add vesicles of a kind at the surface of cells, at random times within the step."""
        for first in range(0, len(name), AT_ONCE // 2):
            some = slice(first, first + AT_ONCE // 2)
            new = _new_vesicles(state, kind, name[some], sizes(state, kind, name[some]))
            start = _single_precision(
                dt * state.streams.uniform(Purpose.RELEASE_TIME, name[some], state.step)
            )
            place = self._captures[kind].release(state, cell[some], name[some], step=0)
            new["x"], new["y"], new["z"] = place.T
            new |= {"donor": donor if isinstance(donor, int) else donor[some], "label": label[some]}
            added = vesicles.append(**new, due=np.inf, start=start, host=-1)
            state.events.add(event, vesicles, added, state.time + start)

    def _release_returning(self, state: State, vesicles: Vesicles, rows: np.ndarray, dt: float) -> None:
        """Release the vesicles that unbound or were recycled in the last step, at random times."""
        for kind, capture in enumerate(self._captures):
            mine = rows[vesicles.kind[rows] == kind]
            if len(mine):
                place = capture.release(state, vesicles.host[mine], vesicles.id[mine], step=state.step)
                vesicles.x[mine], vesicles.y[mine], vesicles.z[mine] = place.T
        vesicles.start[rows] = dt * state.streams.uniform(Purpose.RELEASE_TIME, vesicles.id[rows], state.step)
        vesicles.status[rows] = Status.FREE
        vesicles.host[rows] = -1

    def _enter(self, state: State, vesicles: Vesicles, dt: float) -> np.ndarray:
        """Vesicles that come in through faces held at a concentration, (K, L)."""
        domain, entered = state.domain, np.zeros((len(state.kinds), len(state.labels)))
        for side, held in enumerate(domain.face_concentration[: 2 * domain.dim]):
            if held <= 0 or domain.faces[side] != Face.FIXED:
                continue
            label = state.labels.names.index(RESERVOIR)
            for kind, capture in enumerate(self._captures):
                name, size, position, start = capture.enter(state, side, held, dt)
                new = _new_vesicles(state, kind, name, size)
                new["x"], new["y"], new["z"] = position.T
                start = _single_precision(start)
                time = state.time + start
                added = vesicles.append(**new, due=np.inf, start=start, donor=-1, host=-1, label=label)
                state.events.add(Event.ENTRY, vesicles, added, time)
                entered[kind, label] += len(added)
        return entered


def _expand(rows: Emissions, kinds: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Per kind with emissions: kind, and cell and label of each vesicle."""
    count = rows.count.astype(np.int64)
    for kind in range(kinds):
        mine = (rows.kind == kind) & (count > 0)
        if mine.any():
            yield kind, np.repeat(rows.cell[mine], count[mine]), np.repeat(rows.label[mine], count[mine])


def _rank_in_cell(cell: np.ndarray) -> np.ndarray:
    """How many elements before each one are equal to it, shape (n,)."""
    order = np.argsort(cell, kind="stable")
    sorted_ = cell[order]
    earlier = np.empty(len(cell), np.int64)
    earlier[order] = np.arange(len(cell)) - np.searchsorted(sorted_, sorted_)
    return earlier


def _new_vesicles(state: State, kind: int, name: np.ndarray, size: np.ndarray) -> dict[str, Any]:
    """Columns of new vesicles of a kind, from their names and relative sizes."""
    vesicle, streams = state.kinds[kind], state.streams
    names = cargo_names(state.kinds)
    copies = np.zeros((len(name), len(names)))
    for cargo in vesicle.cargo:
        column = names.index(cargo.name)
        copies[:, column] = streams.poisson(Purpose.CARGO_LOAD, name, column, cargo.copies)
    return {
        "id": name,
        "kind": kind,
        "status": Status.FREE,
        "hops": 0,
        "diffusivity": vesicle.diffusivity_of(size),
        "copies": copies,
    }


def _single_precision(start: np.ndarray) -> np.ndarray:
    """Times within a step rounded to single precision, as stored, so that no fate precedes the release."""
    return start.astype(np.float32).astype(np.float64)


def _free(vesicles: Vesicles) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of the table: the first row of each, and the places of its free vesicles in it."""
    for first in range(0, max(len(vesicles), 1), AT_ONCE):
        yield first, np.flatnonzero(vesicles.status[first : first + AT_ONCE] == Status.FREE)


def _count(state: State, vesicles: Vesicles, rows: np.ndarray) -> np.ndarray:
    """Vesicles in rows by kind and label, (K, L)."""
    count = np.zeros((len(state.kinds), len(state.labels)))
    count_pairs(rows, vesicles.kind, vesicles.label, count)
    return count
