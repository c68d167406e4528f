"""``events.parquet`` of expected numbers: the events of an interval between two parties are one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.accounting.step_records import take_or_absent
from exoabm.analysis.communication_graph import AllCells
from exoabm.output.recorder import part
from exoabm.state import OUTSIDE, Resolution
from exoabm.tables.declarations import COUNTED, TABLES
from exoabm.tables.parquet import TableObserver
from exoabm.tables.schema import arrow, senders, words

if TYPE_CHECKING:
    from collections.abc import Mapping
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
