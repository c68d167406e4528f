"""Turnover of cells: decision and execution of division, death and transformation.

Rows of cells stay in the order of birth, so that birth ids rise along them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.lineage import CUMULATIVE_COUNTS
from exoabm.accounting.step_records import Turnover
from exoabm.cell_type import SecretionMode
from exoabm.cells.motility import neighbor_box, radii
from exoabm.cells.responses import NO_HISTORY
from exoabm.errors import NumericalError, ResourceError
from exoabm.kernels import sphere_mechanics
from exoabm.random_streams import Purpose
from exoabm.tables.declarations import Event
from exoabm.vesicle import Status

if TYPE_CHECKING:
    from exoabm.state import State

MEMORY_SHARE = 0.8
"""Largest share of the free memory for new labels."""


def apply_turnover(state: State, turnover: Turnover, time: float) -> None:
    """Apply transformation, death and division of cells at the end of a step, at ``time`` (s).

    *Transformation*: the cell keeps its birth id, its contents and its counts. Its behaviors are those of the
    new type at rest, until the next update of responses.

    *Death*: vesicles bound to the surface, and those that left it in this step, are cleared with the debris;
    those in endosomes count as lysosomal. Waste becomes debris, cargo is lost. The counts of the cell are
    kept under its birth id.

    *Division*: the mother keeps her birth id and counts; the daughter gets the next birth id and counts of
    zero. Vesicles on and in the mother, waste, cargo and MVBs are partitioned evenly: expected numbers in
    halves, single vesicles, bodies or copies with probability 1/2 each. Symmetric partition is assumed.
    """
    cells, lineage = state.cells, state.lineage
    lineage.blocked += _count_by_type(state, turnover.blocked)
    lineage.transformations += _count_by_type(state, turnover.changes)
    lineage.divisions += _count_by_type(state, turnover.divides)
    lineage.deaths += _count_by_type(state, turnover.dies)
    _transform(state, turnover.changes, turnover.becomes)
    _remove_dead(state, turnover.dies, time)
    alive = np.ones(len(cells), bool)
    alive[turnover.dies] = False
    row_of = np.cumsum(alive) - 1
    mothers = row_of[turnover.divides]
    if len(turnover.dies) or len(mothers):
        rows = np.concatenate([np.flatnonzero(alive), turnover.divides])
        for table in (cells, state.trafficking):
            table.take(rows)
        state.released = state.released[rows]
        if state.follows_vesicles:
            host = state.vesicles.host
            host[host >= 0] = row_of[host[host >= 0]]
        _add_daughters(state, mothers, turnover.daughter, time)
    _relabel(state)


def _transform(state: State, rows: np.ndarray, becomes: np.ndarray) -> None:
    """Change the type of cells, and record the vesicles released as the former type."""
    cells = state.cells
    state.lineage.changed.append(
        birth_id=cells.birth_id[rows], type=cells.type[rows], released=state.released[rows]
    )
    cells.type[rows] = becomes
    cells.behavior[rows] = state.base[becomes]
    if state.responses:
        cells.feedback[rows] = NO_HISTORY


def _remove_dead(state: State, dead: np.ndarray, time: float) -> None:
    """Book cells that die, and record their counts."""
    cells, way, lineage = state.cells, state.trafficking, state.lineage
    if not len(dead):
        return
    if state.follows_vesicles:
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
    counts = {name: getattr(way, name)[dead] for name in CUMULATIVE_COUNTS}
    for name, count in counts.items():
        lineage.totals[name] += count.sum(axis=0)
    place = np.nonzero(np.any([count != 0 for count in counts.values()], axis=0))
    row, kind, label = place
    lineage.contacts.append(
        recipient=cells.birth_id[dead][row],
        kind=kind,
        label=label,
        **{name: count[place] for name, count in counts.items()},
        first_contact=way.first_contact[dead][place],
        last_contact=way.last_contact[dead][place],
    )


def _end_with_host(state: State, dead: np.ndarray, time: float) -> None:
    """Fate of single vesicles on and in cells that die: cleared or degraded."""
    vesicles = state.vesicles
    marked_for_death = np.zeros(len(state.cells), bool)
    marked_for_death[dead] = True
    hosted = np.flatnonzero(vesicles.host >= 0)
    hosted = hosted[marked_for_death[vesicles.host[hosted]]]
    status = vesicles.status[hosted]
    left = hosted[status == Status.RETURNING]
    vesicles.host[left] = -1
    now = np.asarray(time)
    state.events.add(Event.CLEARANCE, vesicles, left, now)
    state.events.add(Event.CLEARANCE, vesicles, hosted[status == Status.BOUND], now)
    state.events.add(Event.DEGRADATION, vesicles, hosted[status == Status.ENDOSOMAL], now)
    vesicles.status[hosted] = Status.GONE
    vesicles.host[hosted] = -1


def _add_daughters(state: State, mothers: np.ndarray, place: np.ndarray, time: float) -> None:
    """Initialize the daughters, copies of the rows of their mothers at the end of all tables."""
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
    for name in (*CUMULATIVE_COUNTS, "returning"):
        getattr(way, name)[new] = 0.0
    way.first_contact[new] = way.last_contact[new] = np.nan
    _share_copies(state, mothers, new)
    for share in (cells.waste, cells.polarity):
        share[mothers] /= 2
        share[new] = share[mothers]
    _share_mvbs(state, mothers, new)
    if not state.follows_vesicles:
        for pool in (way.bound, way.endosomal):
            pool[mothers] /= 2
            pool[new] = pool[mothers]
    else:
        _share_vesicles(state, mothers, new, time)


def _share_copies(state: State, mothers: np.ndarray, new: np.ndarray) -> None:
    """Partition cargo: expected copies in halves, whole copies binomially."""
    cells, columns = state.cells, np.arange(len(state.cargos))
    whole = np.zeros((len(state.types), len(columns)), bool)
    for index, cell_type in enumerate(state.types):
        if state.follows_vesicles and cell_type.secretion is SecretionMode.POISSON:
            whole[index, [pool.cargo for pool in cell_type.pools]] = True
    mine, held = whole[cells.type[mothers]], cells.cargo[mothers]
    copies = np.where(mine, np.floor(held), 0.0)
    given = (held - copies) / 2
    who = (cells.birth_id[new, None] * len(columns) + columns)[mine]
    given[mine] += state.streams.binomial(
        Purpose.COPIES_SHARED, who, state.step, copies[mine].astype(np.int64), 0.5
    )
    cells.cargo[new], cells.cargo[mothers] = given, held - given


def _share_mvbs(state: State, mothers: np.ndarray, new: np.ndarray) -> None:
    """Partition the pools of MVBs: expected numbers in halves, whole bodies binomially."""
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
    """Partition single vesicles on and in mothers, with probability 1/2 each."""
    vesicles, way = state.vesicles, state.trafficking
    way.bound[new] = way.endosomal[new] = 0.0
    daughter = np.full(len(state.cells), -1)
    daughter[mothers] = new
    hosted = vesicles.rows(Status.BOUND, Status.ENDOSOMAL)
    hosted = hosted[daughter[vesicles.host[hosted]] >= 0]
    # Draw 1, since the number of a vesicle may equal that of a pool of MVBs in draw 0.
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
    """Update the labels of donors; arrays grow with new donor cells at cell resolution."""
    labels = state.labels.follow(state.cells, state.types)
    more = len(labels) - len(state.labels)
    state.labels = labels
    if more:
        _widen(state, more)


def _widen(state: State, more: int) -> None:
    """Extend every array with a label axis.

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


def _count_by_type(state: State, rows: np.ndarray) -> np.ndarray:
    """Number of rows of each type, (T,)."""
    return np.bincount(state.cells.type[rows], minlength=len(state.types))


IN_ORDER = ("division_rate", "death_rate", "transformation_rate")
DIRECTIONS = {2: 24, 3: 96}
"""Directions from the mother in which a daughter is placed, by dimension: about 15 degrees apart."""
WARNING_PROBABILITY = 0.1
"""Probability of an event per step above which a warning is given."""


def decide_fates(state: State, position: np.ndarray | None, dt: float) -> Turnover | None:
    """Division, death and transformation of cells in a step of ``dt`` seconds, at their new ``position``.

        P(fate) = rate (e^(r dt) - 1) / r,    r = b - d - w

    for division, death and transformation at the rates b, d and w; at most one of them per step. This is the
    mean number of these events of a cell and its descendants in the step, so that populations grow by e^(r
    dt) for any step. A daughter needs a free place in contact with the mother; without one the mother does
    not divide (contact inhibition). Cells ``state.marked_for_death`` die at any rates. The rates are
    first-order; assumed.

    Raises
    ------
    NumericalError
        If more cells than ``domain.max_cells`` would be alive after it; the state is then as at the start of
        the stage.
    """
    if not state.living or not len(state.cells):
        return None
    position = state.cells.position if position is None else position
    turnover = _by_rates(state, position, dt)
    if len(state.marked_for_death):
        turnover = _with_removed(state, turnover)
    if turnover is not None:
        _check_population(state, turnover, dt)
    return turnover


def _with_removed(state: State, turnover: Turnover | None) -> Turnover:
    """The same, with the death of removed cells instead of their other events."""
    dies = np.flatnonzero(np.isin(state.cells.birth_id, state.marked_for_death))
    state.marked_for_death = state.marked_for_death[:0]
    if turnover is None:
        none = np.empty(0, np.int64)
        return Turnover(none, np.empty((0, 3)), none, dies, none, none)
    divides, changes = (np.isin(rows, dies, invert=True) for rows in (turnover.divides, turnover.changes))
    return Turnover(
        divides=turnover.divides[divides],
        daughter=turnover.daughter[divides],
        blocked=np.setdiff1d(turnover.blocked, dies),
        dies=np.union1d(turnover.dies, dies),
        changes=turnover.changes[changes],
        becomes=turnover.becomes[changes],
    )


def _by_rates(state: State, position: np.ndarray, dt: float) -> Turnover | None:
    """Events drawn by the rates of the cells."""
    cells, n = state.cells, len(state.cells)
    rates = np.zeros((n, 3))
    for column, name in enumerate(IN_ORDER):
        if name in state.behaviors:
            rates[:, column] = state.behavior(name)
    becomes = np.array([-1 if t.becomes is None else t.becomes for t in state.types])[cells.type]
    rates[becomes < 0, 2] = 0.0
    total = rates.sum(axis=1)
    able = np.flatnonzero(total > 0)
    if not len(able):
        return None
    net = 2 * rates[able, 0] - total[able]
    longer = np.divide(np.expm1(net * dt), net, out=np.full(len(able), dt), where=net != 0)
    chance = np.minimum(total[able] * longer, 1.0)
    _warn(state, float(chance.max()), dt)
    u = state.streams.uniform(Purpose.FATE, cells.birth_id[able], state.step)
    hit = u < chance
    rows, mark = able[hit], (u / chance)[hit]
    divides, dies = (np.cumsum(rates[rows], axis=1)[:, :2] / total[rows, None]).T
    mothers, changes = rows[mark < divides], rows[mark >= dies]
    daughter, placed = _find_room(state, position, mothers)
    turnover = Turnover(
        divides=mothers[placed],
        daughter=daughter,
        blocked=mothers[~placed],
        dies=rows[(mark >= divides) & (mark < dies)],
        changes=changes,
        becomes=becomes[changes],
    )
    return turnover if len(rows) else None


def _check_population(state: State, turnover: Turnover, dt: float) -> None:
    born = len(turnover.divides)
    alive = len(state.cells) + born - len(turnover.dies)
    if born and alive > state.max_cells:
        raise NumericalError(
            f"{alive:,} cells would be alive at {(state.time + dt) / 3600:.4g} h, {born:,} of them born in "
            f"this step, and domain.max_cells = {state.max_cells:,.0f}; raise it if so many are intended, or "
            "lower division rates, raise death rates, or reduce the domain"
        )


def _find_room(state: State, position: np.ndarray, mothers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of daughters with room, (m', 3), and whether each mother (m,) has room."""
    m, n, dim = len(mothers), len(position), state.domain.dim
    placed = np.zeros(m, bool)
    if not m:
        return np.empty((0, 3)), placed
    where = np.concatenate([position, np.zeros((m, 3))])
    where[n:, 2] = position[mothers, 2]
    radius = np.concatenate([radii(state), np.zeros(m)])
    who = state.cells.birth_id[mothers]
    u = np.array([state.streams.uniform(Purpose.DAUGHTER, who, state.step, draw=i) for i in range(3)])
    box = neighbor_box(state, position, radius[:n], room=m)
    end = sphere_mechanics.place_touching(
        box, where, radius, n, mothers, _directions(dim), _turns(u, dim), placed
    )
    return where[n:end], placed


@cache
def _directions(dim: int) -> np.ndarray:
    """Evenly spread unit vectors, (T, 3): around a circle, or on a Fibonacci sphere."""
    i = np.arange(DIRECTIONS[dim]) + 0.5
    height = np.zeros(len(i)) if dim == 2 else 1 - 2 * i / len(i)
    angle = 2 * np.pi * i * (1 / len(i) if dim == 2 else 0.6180339887498949)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


def _turns(u: np.ndarray, dim: int) -> np.ndarray:
    """Uniform random rotations (m, 3, 3) from uniform numbers (3, m); about z in a slab."""
    if dim == 2:
        a, b = np.cos(2 * np.pi * u[0]), np.sin(2 * np.pi * u[0])
        o, one = np.zeros_like(a), np.ones_like(a)
        return np.moveaxis(np.array([[a, -b, o], [b, a, o], [o, o, one]]), -1, 0).copy()
    # Shoemake 1992: a random unit quaternion.
    s, t = 2 * np.pi * u[1], 2 * np.pi * u[2]
    x, y = np.sqrt(1 - u[0]) * np.sin(s), np.sqrt(1 - u[0]) * np.cos(s)
    z, w = np.sqrt(u[0]) * np.sin(t), np.sqrt(u[0]) * np.cos(t)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0).copy()


def _warn(state: State, chance: float, dt: float) -> None:
    word = "of their fate (division, death, transformation)"
    if chance > WARNING_PROBABILITY and not any(word in warning for warning in state.warnings):
        state.warnings.append(
            f"cells undergo a change {word} in up to {chance:.0%} of the steps of {dt:g} s, and at most one "
            "per step is modeled; a shorter clock.step is more exact"
        )
