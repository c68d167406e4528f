"""Records that the stages of a step hand on: sources, transport, uptake, turnover and events of vesicles.

Axis names: n cells, K vesicle kinds, L labels, S size classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from exoabm.tables.declarations import Event

if TYPE_CHECKING:
    from exoabm.kernels.binding_kinetics import Compartments
    from exoabm.state import Cells
    from exoabm.vesicle import Vesicles


@dataclass
class Emissions:
    """Rows: vesicles that enter the medium during a step at the surface of a cell.

    ``cell`` is a row of Cells, ``label`` the origin (kept through unbinding), ``count`` their number,
    ``size`` their size class, or -1 for all classes by their shares, as released.
    """

    cell: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    count: np.ndarray
    size: np.ndarray = None  # type: ignore[assignment] # -1 for all of them, once made

    def __post_init__(self) -> None:
        if self.size is None:
            self.size = np.full(len(self.cell), -1)

    @classmethod
    @cache
    def none(cls) -> Emissions:
        """A table without rows."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, np.empty(0))

    @classmethod
    def join(cls, *parts: Emissions) -> Emissions:
        """Concatenate tables, in their order; the columns of a single table with rows are not copied."""
        parts = tuple(part for part in parts if len(part.cell))
        if len(parts) < 2:
            return parts[0] if parts else cls.none()
        columns = zip(*((p.cell, p.kind, p.label, p.count, p.size) for p in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclass(frozen=True)
class Returning:
    """Expected vesicles that unbound or were recycled in the step before; they keep origin and size.

    ``count`` is (n, K, L), ``share`` (n, K, L, S) that of each size class; S = 0 where there is only one.
    """

    count: np.ndarray
    share: np.ndarray

    @classmethod
    def none(cls) -> Returning:
        """No vesicles."""
        return cls(np.zeros((0, 1, 1)), np.zeros((0, 1, 1, 0)))

    def rows(self) -> Emissions:
        """The same as a table, of those that are not 0."""
        cell, kind, label = np.nonzero(self.count)
        count = self.count[cell, kind, label]
        if not self.share.shape[3]:
            return Emissions(cell, kind, label, count)
        by_size = count[:, None] * self.share[cell, kind, label]
        row, size = np.nonzero(by_size)
        return Emissions(cell[row], kind[row], label[row], by_size[row, size], size)


@dataclass(frozen=True)
class Sources:
    """Vesicles that enter the medium during a step: ``released`` by donor cells, coming back, or dosed."""

    released: Emissions
    returning: Returning
    dosed: Emissions

    def joined(self) -> Emissions:
        """Rows of all three, in this order."""
        return Emissions.join(self.released, self.returning.rows(), self.dosed)


@dataclass
class TransportResult:
    """Result of a step of transport: captures per cell, losses from the medium and gains through its faces.

    ``captured`` is (n, K, L); ``cleared``, ``escaped`` and ``entered`` are (K, L). ``captured_sizes`` is
    the first by size class, (n, K, L, S), for kinds with size classes. ``arrival`` (n, K, 2) is the share of
    the captured vesicles on the surface at the end of the step, and in endosomes if all entered; None or NaN
    for captures that are uniform in time.
    """

    captured: np.ndarray
    cleared: np.ndarray
    escaped: np.ndarray
    entered: np.ndarray
    captured_sizes: np.ndarray | None = None
    arrival: np.ndarray | None = None


@dataclass
class Turnover:
    """Rows: cells that divide, die or change type at the end of a step; at most one of these per cell.

    ``daughter`` (m, 3) is the position of the daughter of each of ``divides``; ``blocked`` are cells whose
    division found no room; ``becomes`` is the new type of each of ``changes``.
    """

    divides: np.ndarray
    daughter: np.ndarray
    blocked: np.ndarray
    dies: np.ndarray
    changes: np.ndarray
    becomes: np.ndarray

    def __len__(self) -> int:
        return len(self.divides) + len(self.dies) + len(self.changes)


@dataclass
class Uptake:
    """Result of a step of uptake: vesicles by their fate, each (n, K, L)."""

    taken_up: np.ndarray
    lysosomal: np.ndarray
    recycled: np.ndarray
    delivered: np.ndarray


def take_or_absent(column: np.ndarray, rows: np.ndarray, absent: float = -1) -> np.ndarray:
    """``column[rows]``, and ``absent`` where a row is -1, that of no cell."""
    found = np.full((len(rows), *column.shape[1:]), absent, column.dtype)
    found[rows >= 0] = column[rows[rows >= 0]]
    return found


TIMES_PER_STEP = 1 << 12
"""Least number of times of events that a step distinguishes; assumed."""


class Events:
    """Rows: events of single vesicles in this step, in the order of the stages, and of each vesicle in time.

    Columns: event, time in s, the columns of the vesicle at that time, and birth id and type of the cell at
    which it happened, ``recipient`` and ``recipient_type`` (-1 in the medium). Times are rounded up to
    multiples of a power of two s, at most 1/`TIMES_PER_STEP` of the step, or to its end.
    """

    VESICLE: ClassVar = ("id", "kind", "label", "donor", "hops", "x", "y", "z", "copies")
    OWN: ClassVar = {"event": np.int8, "time": np.float64, "recipient": np.int32, "recipient_type": np.int16}

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._span, self._per_second = (0.0, 0.0), 1.0
        self._arrays: dict[str, np.ndarray] = {}
        self._used = self._room = self._taken = 0

    def __len__(self) -> int:
        return self._used

    def begin(self, time: float, dt: float) -> None:
        """Forget the events of the step before; a step of ``dt`` seconds begins at ``time`` (s).

        Columns of the step before that are still in use stay as they are.
        """
        self._arrays, self._room, self._used, self._taken = {}, self._used, 0, 0
        self._span = time, time + dt
        self._per_second = TIMES_PER_STEP / 2.0 ** math.ceil(math.log2(dt))

    def add(
        self, event: Event | np.ndarray, vesicles: Vesicles, rows: np.ndarray, time: float | np.ndarray
    ) -> None:
        """Record ``event``, one or that of each, of the vesicles in ``rows`` at ``time`` (s)."""
        first, last = self._used, self._used + len(rows)
        if first == last:
            return
        if not self._arrays or last > self._room:
            self._enlarge(vesicles, last)
        part = {name: column[first:last] for name, column in self._arrays.items()}
        for name in self.VESICLE:
            np.take(getattr(vesicles, name), rows, axis=0, out=part[name], mode="clip")
        part["event"][:] = event
        part["time"][:] = self._rounded_up(np.asarray(time, np.float64))
        host = vesicles.host[rows]
        part["recipient"][:] = np.append(self.cells.birth_id, -1)[host]  # the last one of -1, no cell
        part["recipient_type"][:] = np.append(self.cells.type, -1)[host]
        self._used = last

    def _enlarge(self, vesicles: Vesicles, rows: int) -> None:
        """Make room for at least so many rows, and some more than in the step before."""
        self._room = max(rows, self._room + self._room // 8, 256)
        for name in (*self.VESICLE, *self.OWN):
            held = getattr(vesicles, name) if name in self.VESICLE else np.empty(0, self.OWN[name])
            column = np.empty((self._room, *held.shape[1:]), held.dtype)
            if self._used:
                column[: self._used] = self._arrays[name][: self._used]
            self._arrays[name] = column

    def _rounded_up(self, time: np.ndarray) -> np.ndarray:
        begin, end = self._span
        near = np.clip(np.ceil(time * self._per_second) / self._per_second, begin, end)
        return np.where(time < end, near, time)

    @classmethod
    def nothing(cls, vesicles: Vesicles) -> dict[str, np.ndarray]:
        """Columns of a table without events."""
        part = {name: getattr(vesicles, name)[:0] for name in cls.VESICLE}
        return part | {name: np.empty(0, dtype) for name, dtype in cls.OWN.items()}

    def take_new(self) -> dict[str, np.ndarray]:
        """Rows since the last call in this step, as they stay; empty without events."""
        first, self._taken = self._taken, self._used
        return {name: column[first : self._used] for name, column in self._arrays.items()}

    def columns(self) -> dict[str, np.ndarray]:
        """All rows; empty without events."""
        return {name: column[: self._used] for name, column in self._arrays.items()}


@dataclass
class Pathway:
    """The way of expected numbers of vesicles on and in cells, as a step carries them on.

    ``coefficients`` (1 or n, K, 5) and ``shares`` (1 or n, K, 4) are those of ``kernels.binding_kinetics``;
    ``contents`` are the counts of the cells and ``sizes`` their composition by size class, (n, K, L, S) each
    with S = 0 for a single class: on cells, in endosomes, and of what returns. Both change. ``contact`` is
    the number of encounters at which the first contact is counted.
    """

    coefficients: np.ndarray
    shares: np.ndarray
    contents: Compartments
    contact: float
    sizes: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class StepsTaken:
    """Results of several steps; the first axis of each array is that of the steps.

    ``cleared``, ``escaped``, ``entered``, ``free`` at the end of each step, and ``waiting``, those that left
    cells in it, are (steps, K, L); those in ``fates`` are (steps, n, K, L), in the order of ``Uptake``.
    """

    cleared: np.ndarray
    escaped: np.ndarray
    entered: np.ndarray
    free: np.ndarray
    waiting: np.ndarray
    fates: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def zeros(cls, steps: int, cells: int, kinds: int, labels: int) -> StepsTaken:
        """No vesicles in any step."""
        cleared, escaped, entered, free, waiting = np.zeros((5, steps, kinds, labels))
        taken_up, lysosomal, recycled, delivered = np.zeros((4, steps, cells, kinds, labels))
        return cls(cleared, escaped, entered, free, waiting, (taken_up, lysosomal, recycled, delivered))

    def transport(self, step: int) -> TransportResult:
        """Losses and gains of a step, without captures, which are in ``uptake``."""
        return TransportResult(np.empty(0), self.cleared[step], self.escaped[step], self.entered[step])

    def uptake(self, step: int) -> Uptake:
        """Fates of a step."""
        return Uptake(*(fate[step] for fate in self.fates))
