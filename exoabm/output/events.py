"""``events.parquet``: events of vesicles, as expected numbers or of single vesicles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.accounting.stage_records import Events, take_or_absent
from exoabm.analysis.communication_graph import AllCells
from exoabm.kernels.row_groups import gather, order_by_key
from exoabm.output.recorder import part
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.declarations import TABLES
from exoabm.tables.fates import COUNTED, Event
from exoabm.tables.parquet import TableObserver, packing
from exoabm.tables.schema import arrow, senders, words
from exoabm.vesicle import cargo_names, vesicle_ids, vesicle_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from exoabm.state import State


class EventWriter(TableObserver):
    """``events.parquet``: the mass balance as rows, each the events of an interval between two parties.

    The continuum engine knows expected numbers, so a row stands for all events of a kind between a
    sender and a cell in ``interval_s`` before ``time_s``, and ``vesicle`` is null. Summed over all rows, the
    counts are those of the mass balance.
    """

    def __init__(self, folder: Path, interval: float, about: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, [TABLES["events"]], about or {})
        self.interval = interval
        self._before: dict[str, np.ndarray] = {}
        self._time = 0.0
        self._buried = self._changed = 0

    def record(self, state: State) -> None:
        """Append what happened since the last record, to the living and to those who died since."""
        cells, now = _cumulative(state, self._buried)
        new = (
            _since(self._before, cells, now)
            if self._before
            else {n: np.zeros_like(a) for n, a in now.items()}
        )
        if state.living:
            _pass_on(state, self._buried, cells, self._before.get("cell", cells.birth_id), new)
        changed = self._changed if self._before else len(state.lineage.changed)
        released = _released(state, cells, new.pop("release"), now["release"], changed)
        interval = state.time - self._time if self._before else 0.0
        self._about["resolution"] = state.labels.resolution.value
        self.append("events", _event_rows(state, cells, released, new, interval))
        alive = np.isin(cells.birth_id, state.cells.birth_id)
        kept = {name: a[alive] if name in PER_CELL else a for name, a in now.items()}
        self._before = kept | {"cell": cells.birth_id[alive]}
        self._time, self._buried = state.time, len(state.lineage.dead)
        self._changed = len(state.lineage.changed)

    def snapshot(self) -> dict[str, np.ndarray]:
        """The counts and the time of the last record, and the file; see ``TableWriter``."""
        before = {f"before/{event}": count for event, count in self._before.items()}
        clock = {name: np.array(getattr(self, f"_{name}")) for name in ("time", "buried", "changed")}
        return super().snapshot() | clock | before

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Take them back."""
        super().restore(content)
        self._time, self._before = float(content["time"]), part(content, "before/")
        self._buried, self._changed = int(content["buried"]), int(content["changed"])


PER_CELL = frozenset({"release", "bound", *COUNTED})
SHED = "shed"
"""Clearance with the debris of a cell; the other clearance is on no cell."""
DUST = 1e-9
"""Vesicles, below which a difference of bound ones is rounding."""


def _cumulative(state: State, buried: int) -> tuple[AllCells, dict[str, np.ndarray]]:
    """Everything that only grows, by the name of its event, of the living and those who died since then.

    ``buried`` is how many were dead before. Returns these cells, and their counts; where cells come and go
    also what is bound to them now.
    """
    way, balance, lineage = state.trafficking, state.balance, state.lineage
    counts = {
        "release": state.released.copy(),
        **{event: getattr(way, count).copy() for event, count in COUNTED.items()},
    }
    if state.living:
        counts["bound"] = way.bound.copy()
    totals = {
        "clearance": balance["cleared"].copy(),
        "escape": balance["escaped"].copy(),
        "entry": balance.entered.copy(),
    }
    living = AllCells(state.cells.birth_id.copy(), state.cells.type, state.cells.position)
    if len(lineage.dead) == buried:
        return living, counts | totals
    gone = {name: lineage.dead[name][buried:] for name in ("birth_id", "type", "position", "released")}
    ids = np.concatenate([gone["birth_id"], living.birth_id])
    order = np.argsort(ids)
    cells = AllCells(
        ids[order],
        np.concatenate([gone["type"], living.type])[order],
        np.concatenate([gone["position"], living.position])[order],
    )
    met = np.flatnonzero(np.isin(lineage.contacts["recipient"], gone["birth_id"]))
    row, kind, label = (lineage.contacts[name][met] for name in ("recipient", "kind", "label"))
    rows, died = cells.row_of(living.birth_id), cells.row_of(row)
    for event, count in counts.items():
        counts[event] = np.zeros((len(cells), *count.shape[1:]))
        counts[event][rows] = count
        if event == "release":
            counts[event][cells.row_of(gone["birth_id"])] = gone["released"]
        elif event in COUNTED:
            counts[event][died, kind, label] = lineage.contacts[COUNTED[event]][met]
    return cells, counts | totals


def _since(
    before: dict[str, np.ndarray], cells: AllCells, now: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What was added to each count; cells and labels that are new had nothing before."""
    rows, result = cells.row_of(before["cell"]), {}
    for name, count in now.items():
        old = np.zeros_like(count)
        if name == "release":
            old[rows] = before[name]
        elif name in PER_CELL:
            old[rows, :, : before[name].shape[-1]] = before[name]
        else:
            old[:, : before[name].shape[-1]] = before[name]
        result[name] = count - old
    return result


def _pass_on(
    state: State, buried: int, cells: AllCells, before: np.ndarray, new: dict[str, np.ndarray]
) -> None:
    """Vesicles bound to cells that divided or died since the last record, as events of their own.

        change of bound = encounters - unbinding - uptake + inheritance - handover - shed

    ``before`` are the cells of then. What cells lost that divided and died in one interval is shared out
    between the two so that as much was handed over as inherited.
    """
    gone = state.lineage.dead
    mother = np.empty(len(cells), np.int64)
    mother[cells.row_of(state.cells.birth_id)] = state.cells.mother
    mother[cells.row_of(gone["birth_id"][buried:])] = gone["mother"][buried:]
    born = ~np.isin(cells.birth_id, before)
    divided = np.isin(cells.birth_id, mother[born])
    dead = ~np.isin(cells.birth_id, state.cells.birth_id)
    change = new.pop("bound") - new["encounter"] + new["unbinding"] + new["uptake"]
    change[~(born | divided | dead)] = 0.0
    change[np.abs(change) < DUST] = 0.0
    lost = np.maximum(-change, 0.0)
    shed = np.where((dead & ~divided)[:, None, None], lost, 0.0)
    either = np.where((dead & divided)[:, None, None], lost, 0.0)
    rest, whole = -change.sum(axis=0) - shed.sum(axis=0), either.sum(axis=0)
    shed += either * np.clip(np.divide(rest, whole, out=np.zeros_like(rest), where=whole > 0), 0.0, 1.0)
    new["inheritance"], new["handover"], new[SHED] = np.maximum(change, 0.0), lost - shed, shed
    new["clearance"] = np.maximum(new["clearance"] - shed.sum(axis=0), 0.0)


def _released(
    state: State, cells: AllCells, new: np.ndarray, now: np.ndarray, changed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What cells released since then, each as what it was at the time: kind, label, cell and count, (m,).

    ``new`` and ``now`` are what was released since then and ever, (n, K); ``changed`` is how many cells had
    changed their type by then.
    """
    past, types = state.lineage.changed, state.types
    label_of = np.full(len(cells), -1)
    label_of[cells.row_of(state.cells.birth_id)] = state.labels.of_cell
    for gone in np.flatnonzero(~np.isin(cells.birth_id, state.cells.birth_id)):
        label_of[gone] = state.labels.of_past(int(cells.birth_id[gone]), types[cells.type[gone]])
    left, rows, labels, amounts = new.copy(), [], [], []
    for i in range(changed, len(past)):
        who = int(cells.row_of(past["birth_id"][i]))
        later = now[who] - past["released"][i]
        rows.append(who)
        labels.append(state.labels.of_past(int(cells.birth_id[who]), types[past["type"][i]]))
        amounts.append(left[who] - later)
        left[who] = later
    row = np.concatenate([np.array(rows, np.int64), np.arange(len(cells))])
    label = np.concatenate([np.array(labels, np.int64), label_of])
    amount = np.concatenate([np.reshape(amounts, (len(rows), new.shape[1])), left])
    which, kind = np.nonzero(amount > 0)
    return kind, label[which], row[which], amount[which, kind]


def _event_rows(
    state: State,
    cells: AllCells,
    released: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    new: dict[str, np.ndarray],
    interval: float,
) -> dict[str, Any]:
    kind, label, cell, count = released
    parts = [("release", kind, label, cell, np.full(len(cell), -1), count)]
    for event, amount in new.items():
        if amount.ndim == 3:
            cell, kind, label = np.nonzero(amount > 0)
            parts.append((event, kind, label, np.full(len(cell), -1), cell, amount[cell, kind, label]))
        else:
            kind, label = np.nonzero(amount > 0)
            nobody = np.full(len(kind), -1)
            parts.append((event, kind, label, nobody, nobody, amount[kind, label]))
    names = ["clearance" if p[0] == SHED else p[0] for p in parts]
    known = list(dict.fromkeys(names))
    events = np.repeat([known.index(name) for name in names], [len(p[1]) for p in parts])
    kind, label, sender, receiver, count = (np.concatenate([p[i] for p in parts]) for i in range(1, 6))
    donor = take_or_absent(cells.birth_id, sender)
    if state.labels.resolution is Resolution.CELL:
        numbers = [-1 if n in OUTSIDE else int(n) for n in state.labels.names]
        donor = np.where(sender >= 0, donor, np.array(numbers, dtype=np.int64)[label])
    place = np.where(sender >= 0, sender, receiver)
    position = take_or_absent(cells.position, place, np.nan)
    n = len(count)
    return {
        "event": words(known, events),
        "time_s": np.full(n, state.time),
        "interval_s": np.full(n, interval),
        "vesicle_kind": words([k.name for k in state.kinds], kind),
        **senders(state.labels.types, label, donor),
        "recipient": arrow(take_or_absent(cells.birth_id, receiver), receiver < 0),
        "recipient_type": words([t.name for t in state.types], take_or_absent(cells.type, receiver)),
        "count": count,
        **{f"{axis}_um": position[:, i] for i, axis in enumerate("xyz")},
    }


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
        self.append("events", _vesicle_rows(names, happened))


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
