"""Births and deaths in the arrays: who gets what at a division, and what is left of the dead.

Rows of cells stay in the order of birth, so that birth ids rise along them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.lineage import MET
from exoabm.cells.feedback import FRESH
from exoabm.errors import ResourceError
from exoabm.physiology import SecretionMode
from exoabm.state import Event
from exoabm.streams import Purpose
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from exoabm.state import State, Turnover

MEMORY_SHARE = 0.8
"""Share of the free memory that new labels may take."""


def turn_over(state: State, turnover: Turnover, time: float) -> None:
    """Let cells change, die and divide at the end of a step, at ``time`` (s).

    *Transformation*: the cell keeps its name, all that it holds and all that it met. It behaves as its new
    type does at rest, until its signals are read again.

    *Death*: vesicles bound to its surface, and those that just left it, are cleared with its debris; those in
    its endosomes end in its lysosomes. Its waste is debris too, its cargo is lost. What it had met stays in
    the record under its birth id.

    *Division*: the mother keeps her birth id and her record; the daughter gets the next one, and an empty
    record. Vesicles on and in the mother, waste, cargo and MVBs are shared out evenly: in halves where they
    are expected numbers, and by a fair coin each where vesicles, bodies or copies are whole.
    """
    cells, lineage = state.cells, state.lineage
    lineage.blocked += _census(state, turnover.blocked)
    lineage.transformations += _census(state, turnover.changes)
    lineage.divisions += _census(state, turnover.divides)
    lineage.deaths += _census(state, turnover.dies)
    _change(state, turnover.changes, turnover.becomes)
    _bury(state, turnover.dies, time)
    alive = np.ones(len(cells), bool)
    alive[turnover.dies] = False
    row_of = np.cumsum(alive) - 1
    mothers = row_of[turnover.divides]
    if len(turnover.dies) or len(mothers):
        rows = np.concatenate([np.flatnonzero(alive), turnover.divides])
        for table in (cells, state.trafficking):
            table.take(rows)
        state.released = state.released[rows]
        if state.vesicles is not None:
            host = state.vesicles.host
            host[host >= 0] = row_of[host[host >= 0]]
        _bear(state, mothers, turnover.daughter, time)
    _relabel(state)


def _change(state: State, rows: np.ndarray, becomes: np.ndarray) -> None:
    """Make cells those of another type, and keep what they had released as the type that they were."""
    cells = state.cells
    state.lineage.changed.append(
        birth_id=cells.birth_id[rows], type=cells.type[rows], released=state.released[rows]
    )
    cells.type[rows] = becomes
    cells.behavior[rows] = state.base[becomes]
    if state.responses:
        cells.feedback[rows] = FRESH


def _bury(state: State, dead: np.ndarray, time: float) -> None:
    """Close the accounts of cells that die, and keep what they met."""
    cells, way, lineage = state.cells, state.trafficking, state.lineage
    if not len(dead):
        return
    if state.vesicles is not None:
        _end_with_host(state, dead, time)
    state.balance["cleared"][:] += (way.bound[dead] + way.returning[dead]).sum(axis=0)
    way.lysosomal[dead] += way.endosomal[dead]
    way.bound[dead] = way.returning[dead] = way.endosomal[dead] = 0.0
    state.waste_balance.debris += float(cells.waste[dead].sum())
    lineage.dead.append(
        birth_id=cells.birth_id[dead],
        mother=cells.mother[dead],
        type=cells.type[dead],
        born=cells.born[dead],
        died=np.full(len(dead), time),
        position=cells.position[dead],
        released=state.released[dead],
    )
    counts = {name: getattr(way, name)[dead] for name in MET}
    for name, count in counts.items():
        lineage.totals[name] += count.sum(axis=0)
    place = np.nonzero(np.any([count != 0 for count in counts.values()], axis=0))
    row, kind, label = place
    lineage.met.append(
        recipient=cells.birth_id[dead][row],
        kind=kind,
        label=label,
        **{name: count[place] for name, count in counts.items()},
        first_contact=way.first_contact[dead][place],
        last_contact=way.last_contact[dead][place],
    )


def _end_with_host(state: State, dead: np.ndarray, time: float) -> None:
    """End the single vesicles on and in cells that die."""
    vesicles = state.vesicles
    assert vesicles is not None
    doomed = np.zeros(len(state.cells), bool)
    doomed[dead] = True
    hosted = np.flatnonzero(vesicles.host >= 0)
    hosted = hosted[doomed[vesicles.host[hosted]]]
    status = vesicles.status[hosted]
    left = hosted[status == Status.RETURNING]
    vesicles.host[left] = -1
    now = np.asarray(time)
    state.events.add(Event.CLEARANCE, vesicles, left, now)
    state.events.add(Event.CLEARANCE, vesicles, hosted[status == Status.BOUND], now)
    state.events.add(Event.DEGRADATION, vesicles, hosted[status == Status.ENDOSOMAL], now)
    vesicles.status[hosted] = Status.GONE
    vesicles.host[hosted] = -1


def _bear(state: State, mothers: np.ndarray, place: np.ndarray, time: float) -> None:
    """Turn the copies of their mothers' rows, at the end of all tables, into daughters."""
    cells, way, m = state.cells, state.trafficking, len(mothers)
    if not m:
        return
    new = np.arange(len(cells) - m, len(cells))
    cells.mother[new] = cells.birth_id[mothers]
    cells.birth_id[new] = state.lineage.born + np.arange(m)
    state.lineage.born += m
    cells.born[new] = time
    cells.position[new] = place
    state.released[new] = 0.0
    for name in (*MET, "returning"):
        getattr(way, name)[new] = 0.0
    way.first_contact[new] = way.last_contact[new] = np.nan
    _share_copies(state, mothers, new)
    for share in (cells.waste, cells.polarity):
        share[mothers] /= 2
        share[new] = share[mothers]
    _share_bodies(state, mothers, new)
    if state.vesicles is None:
        for pool in (way.bound, way.endosomal):
            pool[mothers] /= 2
            pool[new] = pool[mothers]
    else:
        _share_vesicles(state, mothers, new, time)


def _share_copies(state: State, mothers: np.ndarray, new: np.ndarray) -> None:
    """Share out cargo: halves of expected copies, and each by a coin where cells hold whole ones."""
    cells, columns = state.cells, np.arange(len(state.cargos))
    whole = np.zeros((len(state.types), len(columns)), bool)
    for index, cell_type in enumerate(state.types):
        if state.vesicles is not None and cell_type.secretion is SecretionMode.POISSON:
            whole[index, [pool.cargo for pool in cell_type.pools]] = True
    mine, held = whole[cells.type[mothers]], cells.cargo[mothers]
    copies = np.where(mine, np.floor(held), 0.0)
    given = (held - copies) / 2
    who = (cells.birth_id[new, None] * len(columns) + columns)[mine]
    given[mine] += state.streams.binomial(
        Purpose.COPIES_SHARED, who, state.step, copies[mine].astype(np.int64), 0.5
    )
    cells.cargo[new], cells.cargo[mothers] = given, held - given


def _share_bodies(state: State, mothers: np.ndarray, new: np.ndarray) -> None:
    """Share out the pools of the MVB pathway: halves of expected numbers, whole bodies one by one."""
    cells = state.cells
    poisson = np.array([t.secretion is SecretionMode.POISSON for t in state.types])
    whole = poisson[cells.type[mothers]]
    for column in range(cells.mvb.shape[1]):
        pool = cells.mvb[mothers, column]
        given = pool / 2
        who = cells.birth_id[new[whole]] * cells.mvb.shape[1] + column
        bodies = pool[whole].astype(np.int64)
        given[whole] = state.streams.binomial(Purpose.PARTITION, who, state.step, bodies, 0.5)
        cells.mvb[new, column] = given
        cells.mvb[mothers, column] = pool - given


def _share_vesicles(state: State, mothers: np.ndarray, new: np.ndarray, time: float) -> None:
    """Give each vesicle on or in a mother to her or to her daughter."""
    vesicles, way = state.vesicles, state.trafficking
    assert vesicles is not None
    way.bound[new] = way.endosomal[new] = 0.0
    daughter = np.full(len(state.cells), -1)
    daughter[mothers] = new
    hosted = vesicles.rows(Status.BOUND, Status.ENDOSOMAL)
    hosted = hosted[daughter[vesicles.host[hosted]] >= 0]
    # Draw 1: the vesicle's number is also that of an entity of the first draws, a cell's bodies.
    passed = hosted[state.streams.uniform(Purpose.PARTITION, vesicles.id[hosted], state.step, draw=1) < 0.5]
    bound = vesicles.status[passed] == Status.BOUND
    now = np.asarray(time)
    state.events.add(Event.HANDOVER, vesicles, passed[bound], now)
    for pool, rows in ((way.bound, passed[bound]), (way.endosomal, passed[~bound])):
        host, kind, label = vesicles.host[rows], vesicles.kind[rows], vesicles.label[rows]
        np.subtract.at(pool, (host, kind, label), 1)
        np.add.at(pool, (daughter[host], kind, label), 1)
        vesicles.host[rows] = daughter[host]
    state.events.add(Event.INHERITANCE, vesicles, passed[bound], now)
    state.events.add(Event.PARTITION, vesicles, passed[~bound], now)


def _relabel(state: State) -> None:
    """Give every donor its label; arrays grow where donor cells are new and told apart one by one."""
    labels = state.labels.follow(state.cells, state.types)
    more = len(labels) - len(state.labels)
    state.labels = labels
    if more:
        _widen(state, more)


def _widen(state: State, more: int) -> None:
    """Add empty labels at the end of every array that has them.

    Raises
    ------
    ResourceError
        If there is no memory for their fields.
    """
    import psutil

    before = len(state.labels) - more
    needed = sum(field.nbytes // max(before, 1) * (2 * len(state.labels)) for field in state.fields)
    allowed = MEMORY_SHARE * psutil.virtual_memory().available
    if needed > allowed:
        raise ResourceError(
            f"{more} new donor cells would need labels of their own, and the fields of {len(state.labels)} "
            f"labels {needed / 2**30:.3g} GiB more than there may be used ({allowed / 2**30:.3g} GiB); "
            "use transport.provenance = 'cell_type', or larger voxels"
        )
    for i, (kind, field) in enumerate(zip(state.kinds, state.fields, strict=False)):
        new = np.zeros((more * kind.size_classes, *field.shape[1:]), field.dtype)
        state.fields[i] = np.concatenate([field, new])
    way = state.trafficking
    for name, array in vars(way).items():
        empty = np.nan if name in ("first_contact", "last_contact") else 0.0
        widths = [(0, 0), (0, 0), (0, more), (0, 0)][: array.ndim]
        setattr(way, name, np.pad(array, widths, constant_values=empty))
    state.balance.widen(state.labels.names)
    totals = state.lineage.totals
    for name, total in totals.items():
        totals[name] = np.pad(total, ((0, 0), (0, more)))


def _census(state: State, rows: np.ndarray) -> np.ndarray:
    """Number of rows of each type, (T,)."""
    return np.bincount(state.cells.type[rows], minlength=len(state.types))
