"""``events.parquet`` of single vesicles: a row an event."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.accounting.stage_records import Events
from exoabm.kernels.row_groups import gather, order_by_key
from exoabm.output.recorder import part
from exoabm.state import Resolution
from exoabm.tables.declarations import TABLES, Event
from exoabm.tables.parquet import TableObserver, packing
from exoabm.tables.schema import arrow, senders, words
from exoabm.vesicle import cargo_names, vesicle_ids, vesicle_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from exoabm.state import State

GROUP = 3 << 18
"""Rows of a row group of events of single vesicles; as many wait in memory at most, beside those written."""


class VesicleEventWriter(TableObserver):
    """``events.parquet`` of the vesicle engine: a row an event, streamed in row groups as the run goes on.

    The communication graph, the edge table and every measure can be made again from these rows and from
    ``vesicle_cargo.parquet``, which has the copies of cargo in each vesicle from its release on. Positions
    are rounded to 1/64 um. ``vesicle`` names a vesicle for ever (``vesicle.vesicle_ids``); ``number`` is how
    many of its kind its donor had sent before. Row groups follow each other step by step; within each, rows
    are by vesicle, and those of a vesicle in time.

    A row group is made and written by a thread while the next steps run; one waits at most, and an error of
    the thread is raised by the next one, by a snapshot or by close. A snapshot holds the rows that wait, so
    that the groups are the same for any checkpoints.

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
        tables = [TABLES["events"], TABLES["vesicle_cargo"]]
        packed = {
            t.name: packing(t, [c for c in ("time_s", "vesicle") if c in {x.name for x in t.columns}])
            for t in tables
        }
        super().__init__(folder, tables, about, packed)
        self._kept = {"all": np.array(Event), "fates": np.array(FATES), "none": np.array([], int)}[level]
        self._level = level
        self._names = Names.of(None)
        self._waiting: list[dict[str, np.ndarray]] = []
        self._rows, self._begun = 0, False
        self._thread: ThreadPoolExecutor | None = None
        self._busy: Future[None] | None = None

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
        if not len(happened["event"]) and self._begun:
            return
        self._begun = True
        self._rows += len(happened["event"])
        self._waiting.append({name: _own(column) for name, column in happened.items()})
        if len(self._waiting) > MOST_PARTS:
            self._waiting = [_joined(self._waiting)]
        while self._rows >= GROUP:
            self._wait()
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "events")
            self._busy = self._thread.submit(self._store, self._first_group(), self._names)

    def _first_group(self) -> list[dict[str, np.ndarray]]:
        """Take the first `GROUP` rows of those that wait."""
        found, missing = [], GROUP
        self._rows -= GROUP
        while missing:
            part = self._waiting.pop(0)
            if len(part["event"]) > missing:
                self._waiting.insert(0, {name: column[missing:] for name, column in part.items()})
                part = {name: column[:missing] for name, column in part.items()}
            found.append(part)
            missing -= len(part["event"])
        return found

    def snapshot(self) -> dict[str, np.ndarray]:
        """See ``TableWriter``; waits for the thread."""
        self._wait()
        found = super().snapshot() | {f"names/{name}": a for name, a in self._names._asdict().items()}
        return found | {f"waiting/{name}": column for name, column in _joined(self._waiting).items()}

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """See ``TableWriter``."""
        super().restore(content)
        self._names = Names(**part(content, "names/"))
        waiting = part(content, "waiting/")
        self._waiting = [waiting] if waiting else []
        self._rows, self._begun = sum(len(each["event"]) for each in self._waiting), True

    def close(self) -> None:
        """Finish the files."""
        try:
            self._wait()
            if self._waiting:
                self._store(self._waiting, self._names)
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            super().close()

    def _wait(self) -> None:
        """Wait for the thread; raises its error."""
        busy, self._busy = self._busy, None
        if busy is not None:
            busy.result()

    def _store(self, parts: list[dict[str, np.ndarray]], names: Names) -> None:
        """Write a row group, by vesicle; forgets the ``parts``."""
        happened = _Ordered(parts)
        self.append("vesicle_cargo", _cargo_rows(names, happened, self._level))
        rows = _vesicle_rows(names, happened)
        del happened  # its order and names of vesicles
        self.append("events", rows)


class _Ordered:
    """Columns of parts in the order of vesicles, each made as it is asked for; forgets the parts."""

    def __init__(self, parts: list[dict[str, np.ndarray]]) -> None:
        self._columns = {name: [part[name] for part in parts] for name in parts[0]}
        parts.clear()
        vesicle = vesicle_ids(np.concatenate(self._columns["id"]))
        self._rows = order_by_key(vesicle)
        self.name, self.vesicle = self.last("id", np.int64), np.empty_like(vesicle)
        gather(vesicle, self._rows, self.vesicle)

    def __len__(self) -> int:
        return len(self._rows)

    def kept(self, name: str) -> np.ndarray:
        """A column as it is, which may be asked for again."""
        return np.concatenate(self._columns[name])[self._rows]

    def last(self, name: str, dtype: type) -> np.ndarray:
        """A column as another type, for the last time."""
        column: np.ndarray = np.empty(len(self._rows), dtype)
        gather(np.concatenate(self._columns.pop(name)), self._rows, column)
        return column


MOST_PARTS = 256
"""Parts that wait; more are joined, since a part of few rows takes 2 kB beside them."""


def _own(column: np.ndarray) -> np.ndarray:
    """The column, copied where it is part of an array with room for many more rows."""
    base = column.base
    return column.copy() if base is not None and 4 * column.nbytes < 3 * base.nbytes else column


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


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


def _vesicle_rows(names: Names, happened: _Ordered) -> dict[str, Any]:
    """Columns of ``Events`` as those of the table of events."""
    n, own = len(happened), partial(arrow, copy=False)
    recipient, donor = happened.last("recipient", np.int64), happened.last("donor", np.int64)
    return {
        "event": words([e.name.lower() for e in Event], happened.last("event", np.int32)),
        "time_s": own(happened.last("time", np.float64)),
        "interval_s": own(np.zeros(n)),
        "vesicle": own(happened.vesicle),
        "number": own(vesicle_numbers(happened.name)),
        "vesicle_kind": words(names.kinds.tolist(), happened.last("kind", np.int32)),
        **senders(names.labels.tolist(), happened.last("label", np.int32), donor),
        "recipient": own(recipient, recipient < 0),
        "recipient_type": words(names.types.tolist(), happened.last("recipient_type", np.int32)),
        "count": own(np.ones(n)),
        "hops": own(happened.last("hops", np.int64)),
        **{f"{axis}_um": own(_rounded(happened.last(axis, np.float64))) for axis in "xyz"},
    }


def _rounded(place: np.ndarray) -> np.ndarray:
    """The same array, in place, to 1/64 um."""
    place *= 64
    np.rint(place, out=place)
    place /= 64
    return place


def _cargo_rows(names: Names, happened: _Ordered, level: str) -> dict[str, Any]:
    """Copies in each vesicle that is new, or of which the end alone is recorded, a row for each cargo."""
    event = happened.kept("event")
    new = np.flatnonzero((event == Event.RELEASE) | (event == Event.ENTRY) | (level == "fates"))
    at, cargo = np.nonzero(names.carries[happened.kept("kind")[new]])
    return {
        "vesicle": happened.vesicle[new[at]],
        "cargo": words(names.cargos.tolist(), cargo),
        "copies": happened.kept("copies")[new[at], cargo].astype(np.int64),
    }
