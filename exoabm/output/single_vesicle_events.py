"""``events.parquet`` of single vesicles: a row an event."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from exoabm.accounting.step_records import Events
from exoabm.kernels.row_groups import gather, order_by_key
from exoabm.output.recorder import part
from exoabm.state import Resolution
from exoabm.tables.declarations import TABLES, Event
from exoabm.tables.parquet import GroupThread, TableObserver, packing
from exoabm.tables.schema import arrow, senders, words
from exoabm.vesicle import cargo_names, vesicle_ids, vesicle_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exoabm.state import State

GROUP = 1 << 19
"""Rows of a row group of events of single vesicles; as many wait in memory at most, beside those written."""
SLICE = 1 << 16
"""Rows of which names are made at a time."""


class VesicleEventWriter(TableObserver):
    """``events.parquet`` of the vesicle engine: a row an event, streamed in row groups as the run goes on.

    The communication graph, the edge table and every measure can be made again from these rows and from
    ``vesicle_cargo.parquet``, which has the copies of cargo in each vesicle from its release on. Positions
    are rounded to 1/64 um. ``vesicle`` names a vesicle for ever (``vesicle.vesicle_ids``); ``number`` is how
    many of its kind its donor had sent before. Row groups follow each other step by step; within each, rows
    are by vesicle, and those of a vesicle in time.

    A row group is made and written by a thread while the next steps run; see ``GroupThread``. One waits at
    most. A snapshot holds the rows that wait, so
    that the groups are the same for any checkpoints. Room for two groups, and for the columns of the table,
    is used again for all of them.

    Parameters
    ----------
    folder, about
        As ``TableObserver``.
    level : {"all", "fates", "none"}
        Rows of which events are written: all, those by which a vesicle ends (`FATES`), or none.
    """

    interval = 0.0

    def __init__(self, folder: Path, about: Mapping[str, str] | None = None, *, level: str = "all") -> None:
        about = dict(about or {}) | {"resolution": Resolution.CELL.value, "events": level}
        packed = {
            "events": packing(TABLES["events"], ["time_s", "vesicle"]),
            "vesicle_cargo": packing(TABLES["vesicle_cargo"], ["vesicle"]),
        }
        super().__init__(folder, [TABLES[name] for name in packed], about, packed)
        self._kept = {"all": np.array(Event), "fates": np.array(FATES), "none": np.array([], int)}[level]
        self._level = level
        self._names = Names.of(None)
        self._waiting: _Group | None = None
        self._other: _Group | None = None
        """Written by the thread while it is busy, and then empty."""
        self._room: dict[str, np.ndarray] = {}
        self._thread = GroupThread("events")

    def record(self, state: State) -> None:
        """Keep the rows of this step; none at the start, which gives tables without rows their columns."""
        happened = state.events.columns()
        if not happened and state.step == 0 and state.follows_vesicles:
            happened = Events.nothing(state.vesicles)
        if not happened:
            return
        if len(self._kept) < len(Event):
            chosen = np.isin(happened["event"], self._kept)
            happened = {name: column[chosen] for name, column in happened.items()}
        self._names = Names.of(state)
        self._keep(happened)

    def _keep(self, happened: Mapping[str, np.ndarray]) -> None:
        """Let rows wait; each group that they fill is written."""
        if self._waiting is None:
            self._waiting = _Group(happened)
        first, rows = 0, len(happened["event"])
        while first < rows:
            first = self._waiting.add(happened, first)
            if self._waiting.used == GROUP:
                self._thread.wait()
                full, self._waiting = self._waiting, self._other or _Group(happened)
                self._other = full
                self._thread.start(self._store, full, self._names)

    def snapshot(self) -> dict[str, np.ndarray]:
        """See ``TableWriter``; waits for the thread."""
        self._thread.wait()
        found = super().snapshot() | {f"names/{name}": a for name, a in self._names._asdict().items()}
        waiting = {} if self._waiting is None else self._waiting.rows()
        return found | {f"waiting/{name}": column.copy() for name, column in waiting.items()}

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """See ``TableWriter``."""
        super().restore(content)
        self._names = Names(**part(content, "names/"))
        if waiting := part(content, "waiting/"):
            self._keep(waiting)  # more than a group may have waited in a run of an earlier build

    def close(self) -> None:
        """Finish the files, unless a group is lost."""
        try:
            if self._waiting is not None:  # by the thread, whose allocator has the room of the groups before
                self._thread.start(self._store, self._waiting, self._names)
            self._thread.end()
        finally:
            self._waiting = self._other = None
            self._room.clear()
        super().close()

    def _store(self, group: _Group, names: Names) -> None:
        """Write a row group, by vesicle, and empty it."""
        happened = _Ordered(group, self._room)
        event = happened.column("event", np.int32)
        self.append("vesicle_cargo", _cargo_rows(names, happened, event, self._level))
        self.append("events", _vesicle_rows(names, happened, event))
        group.used = 0


class _Group:
    """Rows of ``Events`` that wait, in columns with room for a row group."""

    def __init__(self, like: Mapping[str, np.ndarray]) -> None:
        self._columns = {name: np.empty((GROUP, *c.shape[1:]), c.dtype) for name, c in like.items()}
        self.used = 0

    def add(self, columns: Mapping[str, np.ndarray], first: int) -> int:
        """Take rows from ``first`` on, as many as there is room for; the first row that is left."""
        count = min(len(columns["event"]) - first, GROUP - self.used)
        for name, column in self._columns.items():
            column[self.used : self.used + count] = columns[name][first : first + count]
        self.used += count
        return first + count

    def rows(self) -> dict[str, np.ndarray]:
        """The columns; views."""
        return {name: column[: self.used] for name, column in self._columns.items()}


class _Ordered:
    """Columns of a group in the order of vesicles, in ``room`` that the next group uses again."""

    def __init__(self, group: _Group, room: dict[str, np.ndarray]) -> None:
        self.rows, self._room = group.rows(), room
        names = self.rows["id"]
        vesicle = self._place("id", np.int64)  # which has room until that column is asked for
        for start in range(0, len(names), SLICE):
            vesicle[start : start + SLICE] = vesicle_ids(names[start : start + SLICE])
        self.order = order_by_key(vesicle)
        self.vesicle = self._place("vesicle", np.int64)
        gather(vesicle, self.order, self.vesicle)

    def _place(self, name: str, dtype: type) -> np.ndarray:
        if name not in self._room:
            self._room[name] = np.empty(GROUP, dtype)
        return self._room[name][: len(self.rows["id"])]

    def column(self, name: str, dtype: type) -> np.ndarray:
        """A column as another type; overwritten by the next group."""
        column = self._place(name, dtype)
        gather(self.rows[name], self.order, column)
        return column


FATES = (Event.DEGRADATION, Event.DELIVERY, Event.CLEARANCE, Event.ESCAPE)
"""Events by which a vesicle ends."""


class Names(NamedTuple):
    """Names of the labels, kinds, types and cargos of a state; labels are only ever added."""

    labels: np.ndarray
    kinds: np.ndarray
    types: np.ndarray
    cargos: np.ndarray
    carries: np.ndarray
    """(kinds, cargos) whether a kind carries a cargo."""

    @classmethod
    def of(cls, state: State | None) -> Names:
        """Those of a state, or none."""
        kinds = () if state is None else state.kinds
        cargos = cargo_names(kinds)
        carries = [[any(c.name == name for c in kind.cargo) for name in cargos] for kind in kinds]
        return cls(
            labels=np.array(() if state is None else state.labels.types, str),
            kinds=np.array([kind.name for kind in kinds], str),
            types=np.array([] if state is None else [t.name for t in state.types], str),
            cargos=np.array(cargos, str),
            carries=np.reshape(carries, (len(kinds), len(cargos))).astype(bool),
        )


def _vesicle_rows(names: Names, happened: _Ordered, event: np.ndarray) -> dict[str, Any]:
    """Columns of ``Events`` as those of the table of events."""
    n, own, column = len(event), partial(arrow, copy=False), happened.column
    recipient = column("recipient", np.int64)
    return {
        "event": words([e.name.lower() for e in Event], event),
        "time_s": own(column("time", np.float64)),
        "interval_s": _constant(0.0, n),
        "vesicle": own(happened.vesicle),
        "number": own(vesicle_numbers(column("id", np.int64))),
        "vesicle_kind": words(names.kinds.tolist(), column("kind", np.int32)),
        **senders(names.labels.tolist(), column("label", np.int32), column("donor", np.int64)),
        "recipient": own(recipient, recipient < 0),
        "recipient_type": words(names.types.tolist(), column("recipient_type", np.int32)),
        "count": _constant(1.0, n),
        "hops": own(column("hops", np.int64)),
        **{f"{axis}_um": own(_rounded(column(axis, np.float64))) for axis in "xyz"},
    }


def _constant(value: float, rows: int) -> pa.ChunkedArray:
    """A column of one value, of which `SLICE` rows are in memory."""
    some = arrow(np.full(min(rows, SLICE), value), copy=False)
    return pa.chunked_array([some[: rows - start] for start in range(0, rows, SLICE)], some.type)


def _rounded(place: np.ndarray) -> np.ndarray:
    """The same array, in place, to 1/64 um."""
    place *= 64
    np.rint(place, out=place)
    place /= 64
    return place


def _cargo_rows(names: Names, happened: _Ordered, event: np.ndarray, level: str) -> dict[str, Any]:
    """Copies in each vesicle that is new, or of which the end alone is recorded, a row for each cargo."""
    new = np.flatnonzero((event == Event.RELEASE) | (event == Event.ENTRY) | (level == "fates"))
    at, cargo = np.nonzero(names.carries[happened.rows["kind"][happened.order[new]]])
    new = new[at]
    return {
        "vesicle": happened.vesicle[new],
        "cargo": words(names.cargos.tolist(), cargo),
        "copies": happened.rows["copies"][happened.order[new], cargo].astype(np.int64),
    }
