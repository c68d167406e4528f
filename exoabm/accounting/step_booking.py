"""Booking of a step: flows of vesicles, their places and the contacts between cells.

Both engines are booked by the same functions: where vesicles are expected numbers, the events, the contact
table and the table of single vesicles are empty.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.contact_table import MEMBRANE_COUNTS
from exoabm.accounting.step_checks import check_finite, check_number
from exoabm.kernels.row_groups import sum_over_rows
from exoabm.tables.declarations import COUNTED, Event
from exoabm.vesicle import NON_CELL_ID, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exoabm.accounting.step_records import Sources, TransportResult, Uptake
    from exoabm.state import State

MANY_EVENTS = 1 << 13
"""Events of a step from which on counting them takes longer than to start a thread; assumed."""


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
    np.add(free, sum_over_rows(vesicles.returning), out=balance["free"])
    balance["bound"][:] = sum_over_rows(vesicles.bound)
    balance["endosomal"][:] = sum_over_rows(vesicles.endosomal)
    for place in ("lysosomal", "recycled", "delivered"):
        np.add(sum_over_rows(getattr(vesicles, place)), of_dead[place], out=balance[place])
    state.waste_balance.held = float(state.cells.waste.sum())


@contextlib.contextmanager
def contacts_counted(state: State) -> Iterator[None]:
    """Count the new events of single vesicles by donor and recipient: many in a thread beside the block."""
    happened = state.events.take_new()
    if not happened or len(happened["event"]) < MANY_EVENTS:
        _count_events(state, happened)
        yield
        return
    with ThreadPoolExecutor(1) as beside:
        counted = beside.submit(_count_events, state, happened)
        yield
        counted.result()


def _count_events(state: State, happened: Mapping[str, np.ndarray]) -> None:
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
    with contacts_counted(state):
        check_finite(state, state.time + dt)
        _book_stocks(state, free)
        if state.follows_vesicles:
            state.vesicles.remove(state.vesicles.rows(Status.GONE))
    if changed:
        state.contacts.settle(state.cells.birth_id)
    end = state.time + dt
    state.balance.check(end)
    state.waste_balance.check(end)
    if state.follows_vesicles:
        check_number(state, end)
    state.time = end
    state.step += 1
