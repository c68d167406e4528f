"""Booking of a step, flows of vesicles, contacts and balances, and checks that its numbers are sound.

Both engines are booked by the same functions: where vesicles are expected numbers, the events, the contact
table and the table of single vesicles are empty.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.errors import NumericalError, RunFailed
from exoabm.tables.declarations import COUNTED, Event
from exoabm.vesicle import NON_CELL_ID, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.accounting.stage_records import Sources, TransportResult, Uptake
    from exoabm.state import State


def book_flows(state: State, sources: Sources, result: TransportResult, uptake: Uptake) -> None:
    """Add the vesicles that entered or left the medium in a step.

    emitted += released + dosed + entered + recycled
    """
    balance, released, dosed = state.balance, sources.released, sources.dosed
    np.add.at(state.released, (released.cell, released.kind), released.count)
    for emitted in (released, dosed):
        np.add.at(balance.emitted, (emitted.kind, emitted.label), emitted.count)
    np.add.at(balance.entered, (dosed.kind, dosed.label), dosed.count)
    balance.entered += result.entered
    balance.emitted += result.entered + uptake.recycled.sum(axis=0)
    balance["cleared"][:] += result.cleared
    balance["escaped"][:] += result.escaped


def _book_stocks(state: State, free: np.ndarray) -> None:
    """Set the vesicles in each place at the end of a step; ``free`` (K, L) are those in the medium."""
    balance, vesicles, of_dead = state.balance, state.trafficking, state.lineage.totals
    np.add(free, np.add.reduce(vesicles.returning), out=balance["free"])
    np.add.reduce(vesicles.bound, out=balance["bound"])
    np.add.reduce(vesicles.endosomal, out=balance["endosomal"])
    for place in ("lysosomal", "recycled", "delivered"):
        np.add(np.add.reduce(getattr(vesicles, place)), of_dead[place], out=balance[place])
    state.waste_balance.held = float(state.cells.waste.sum())


def _book_contacts(state: State, *, changed: bool) -> None:
    """Count the events of single vesicles on and in cells, by donor and recipient; remove those gone."""
    if not state.follows_vesicles:
        return
    _count_events(state)
    if changed:
        state.contacts.settle(state.cells.birth_id)
    state.vesicles.remove(state.vesicles.rows(Status.GONE))


def _check_number(state: State) -> None:
    """Stop the run unless as many single vesicles are followed as are counted in the medium and at cells."""
    counted = sum(float(state.balance[place].sum()) for place in ("free", "bound", "endosomal"))
    if counted != len(state.vesicles):
        raise NumericalError(
            f"{len(state.vesicles):,} single vesicles are followed at {state.time / 3600:.6g} h, and "
            f"{counted:,.0f} are counted in the medium, on cells and in endosomes"
        )


def _count_events(state: State) -> None:
    happened = state.events.columns()
    if not happened:
        return
    names = state.contacts.columns
    counted = {Event[event.upper()]: column for event, column in COUNTED.items()} | MEMBRANE_COUNTS
    column_of = np.full(len(Event), -1)
    for event, name in counted.items():
        column_of[event] = names.index(name) if name in names else -1
    column = np.where(happened["recipient"] >= 0, column_of[happened["event"]], -1)
    donor = happened["donor"]
    if (donor < 0).any():
        donor = np.where(donor >= 0, donor, NON_CELL_ID + happened["label"].astype(np.int64))
    recipient, one = happened["recipient"], np.ones(len(column), np.int64)
    brought = np.flatnonzero(happened["event"] == Event.DELIVERY)
    row, cargo = np.nonzero(happened["copies"][brought])
    row = brought[row]
    for kind in range(len(state.kinds)):
        mine = column if len(state.kinds) == 1 else np.where(happened["kind"] == kind, column, -1)
        state.contacts.add(kind, donor, recipient, mine, one, happened["time"])
        own = happened["kind"][row] == kind
        at, what = row[own], cargo[own]
        copies, time = happened["copies"][at, what], happened["time"][at]
        state.contacts.add(kind, donor[at], recipient[at], len(COUNTED) + what, copies, time)


def close_step(state: State, free: np.ndarray, dt: float, *, changed: bool) -> None:
    """Book all stocks and contacts at the end of a step, advance the clock, and check the state.

    Parameters
    ----------
    free : numpy.ndarray
        Vesicles in the medium, (K, L).
    dt : float
        Length of the step, s.
    changed : bool
        Whether cells divided, died or changed type.

    Raises
    ------
    NumericalError
        If a number is not finite, or the balance of vesicles or of waste does not close, or single vesicles
        are missing.
    """
    check_finite(state, state.time + dt)
    _book_stocks(state, free)
    _book_contacts(state, changed=changed)
    state.time += dt
    state.step += 1
    state.balance.check(state.time)
    state.waste_balance.check(state.time)
    if state.follows_vesicles:
        _check_number(state)


HELD = "bound", "returning", "endosomal", "lysosomal", "recycled", "delivered"
"""Counts that enter the mass balance of every step, which detects a number that is not finite."""
TALLIED = "encountered", "taken_up", "unbound"
"""Counts that do not enter the mass balance."""
SINGLE = "x", "y", "z"
"""Real-valued columns of vesicles that a step changes."""


def check_complete(state: State) -> None:
    """Refuse a state whose step was interrupted: some of its stages, records or agents have not acted.

    Raises
    ------
    RunFailed
        With the time of the step.
    """
    if state.in_step:
        raise RunFailed(
            f"at {state.time / 3600:.6g} h a step was not completed, because of an interrupt or an error; "
            "make the model anew, or continue from a checkpoint"
        )


@contextlib.contextmanager
def marked_if_incomplete(state: State) -> Iterator[None]:
    """For any part of a step: an interrupt or an error in it leaves a state that `check_complete` refuses."""
    try:
        yield
    except BaseException:
        state.in_step = True
        raise


def check_finite(state: State, time: float, *, wholly: bool = False) -> None:
    """Stop the run where a number is NaN or infinite.

    Parameters
    ----------
    state : State
    time : float
        End of the step, s.
    wholly : bool
        Check also the quantities that the balances cover: fields, waste, and vesicles on and in cells.

    Raises
    ------
    NumericalError
        Naming the quantity, the cell, vesicle or voxel, and the time.
    """
    for where, array in _numbers(state, wholly):
        counts = _had(state) if where == "behavior" else True
        if not math.isfinite(np.add.reduce(array, axis=None, where=counts)):
            _look(state, where, array, time, counts)


def _had(state: State) -> np.ndarray:
    """Behaviors that each cell has, (n, B); NaN marks those that its type lacks."""
    return np.isfinite(state.base)[state.cells.type]


def _numbers(state: State, wholly: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Names of quantities and arrays of which every number must be finite."""
    cells, way = state.cells, state.trafficking
    yield "cargo", cells.cargo
    if state.behaviors:
        yield "behavior", cells.behavior
        yield "effect", cells.effect
        yield "position", cells.position
        yield "velocity", cells.velocity
        yield "polarity", cells.polarity
    if cells.mvb.size:
        yield "mvb", cells.mvb
    for name in TALLIED:
        yield name, getattr(way, name)
    yield "released", state.released
    for name, dose in state.treatment.doses.items():
        for quantity, value in vars(dose).items():
            yield f"{quantity} of dose {name}", np.atleast_1d(value)
    yield "immune response", state.treatment.host
    if state.follows_vesicles:
        for name in SINGLE:
            yield name, getattr(state.vesicles, name)
    if wholly:
        yield "waste", cells.waste
        yield "position", cells.position
        for name in HELD:
            yield name, getattr(way, name)
        for kind, field in zip(state.kinds, state.fields, strict=False):
            yield f"field of {kind.name}", field


def _look(state: State, where: str, array: np.ndarray, time: float, counts: np.ndarray | bool) -> None:
    """Report the first number that is not finite; a sum may also overflow by itself."""
    wrong = ~np.isfinite(array) & counts
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    raise NumericalError(
        f"{_named(state, where, place)} became {array[place]} in the step that ends at {time / 3600:.6g} h"
    )


def _named(state: State, where: str, place: tuple[int, ...]) -> str:
    """Description of a number: quantity and owner."""
    row, *rest = place
    if " of dose " in where or where == "immune response":
        return f"{where}, variable {row + 1},"
    if where.startswith("field"):
        label, *voxel = place
        return f"the {where} from {state.labels.names[label]} in voxel {tuple(voxel[::-1])} (x, y, z from 0)"
    if where in SINGLE:
        kind = state.kinds[state.vesicles.kind[row]].name
        return f"{where} of vesicle {state.vesicles.id[row]} ({kind})"
    cell = f"cell {state.cells.birth_id[row]} ({state.types[state.cells.type[row]].name})"
    if where == "cargo":
        return f"the copies of {state.cargos[rest[0]].name} in {cell}"
    if where == "behavior":
        return f"{state.behaviors[rest[0]]} of {cell}"
    if where == "mvb":
        return f"the pools of multivesicular bodies of {cell}"
    if where in (*HELD, *TALLIED, "released"):
        return f"the number of {state.kinds[rest[0]].name} {where.replace('_', ' ')} by {cell}"
    return f"{where} of {cell}"
