"""One step of the model, as a table to be read from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.accounting.finite_check import check_finite
from exoabm.cells.cargo_pools import receive_cargo
from exoabm.cells.motility import move
from exoabm.cells.responses import respond
from exoabm.cells.secretion import secrete, unbind
from exoabm.cells.turnover import decide, turn_over
from exoabm.cells.uptake import receive_waste, take_up, warn_of_waiting
from exoabm.errors import NumericalError
from exoabm.state import BOOKED, PASSED, Emissions, Event
from exoabm.vesicle import DONORS, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.output.recorder import Recorder
    from exoabm.state import State, TransportResult, Turnover, Uptake
    from exoabm.therapy.treatment_protocol import TreatmentProtocol
    from exoabm.transport.engine import Engine


@dataclass
class Step:
    """What the stages of one step share: the parts of the model, and the rows handed on."""

    state: State
    engine: Engine
    recorder: Recorder
    dt: float
    protocol: TreatmentProtocol | None = None
    dosed: Emissions = field(default_factory=Emissions.none)
    released: Emissions = field(init=False)
    unbound: Emissions = field(init=False)
    passage: TransportResult = field(init=False)
    uptake: Uptake = field(init=False)
    position: np.ndarray | None = None
    turnover: Turnover | None = None


def _dose(step: Step) -> None:
    if step.protocol is not None:
        step.dosed = step.protocol.advance(step.state, step.dt)


def _secrete(step: Step) -> None:
    step.released = secrete(step.state, step.dt)
    step.unbound = unbind(step.state)


def _transport(step: Step) -> None:
    step.passage = step.engine.advance(step.state, (step.released, step.unbound, step.dosed), step.dt)


def _take_up(step: Step) -> None:
    passage = step.passage
    step.uptake = take_up(step.state, passage.captured, step.dt, passage.captured_sizes, passage.arrival)


def _respond(step: Step) -> None:
    receive_waste(step.state, step.uptake)
    receive_cargo(step.state, step.uptake)
    respond(step.state, step.dt)


def _move(step: Step) -> None:
    step.position = move(step.state, step.dt)


def _decide_fate(step: Step) -> None:
    where = step.state.cells.position if step.position is None else step.position
    step.turnover = decide(step.state, where, step.dt)


def _commit(step: Step) -> None:
    state, rows, balance = step.state, step.released, step.state.balance
    np.add.at(state.released, (rows.cell, rows.kind), rows.count)
    for emitted in (rows, step.dosed):
        np.add.at(balance.emitted, (emitted.kind, emitted.label), emitted.count)
    np.add.at(balance.entered, (step.dosed.kind, step.dosed.label), step.dosed.count)
    balance.entered += step.passage.entered
    balance.emitted += step.passage.entered + step.uptake.recycled.sum(axis=0)
    balance["cleared"][:] += step.passage.cleared
    balance["escaped"][:] += step.passage.escaped
    if step.position is not None:
        state.cells.position = step.position
    if step.turnover is not None:
        turn_over(state, step.turnover, state.time + step.dt)
    check_finite(state, state.time + step.dt)
    way, buried = state.trafficking, state.lineage.totals
    balance["free"][:] = step.engine.free(state) + way.returning.sum(axis=0)
    warn_of_waiting(state, step.dt)
    balance["bound"][:] = way.bound.sum(axis=0)
    balance["endosomal"][:] = way.endosomal.sum(axis=0)
    balance["lysosomal"][:] = way.lysosomal.sum(axis=0) + buried["lysosomal"]
    balance["recycled"][:] = way.recycled.sum(axis=0) + buried["recycled"]
    balance["delivered"][:] = way.delivered.sum(axis=0) + buried["delivered"]
    if state.vesicles is not None:
        _book_events(state)
        if step.turnover and state.contacts is not None:
            state.contacts.settle(state.cells.birth_id)
        state.vesicles.remove(state.vesicles.rows(Status.GONE))
    state.time += step.dt
    state.step += 1
    balance.check(state.time)
    state.waste_balance.held = float(state.cells.waste.sum())
    state.waste_balance.check(state.time)
    if step.position is not None or step.turnover:
        step.engine.bind(state)


def _book_events(state: State) -> None:
    """Enter what happened to vesicles on and in cells into the book of edges, by donor cell or label."""
    assert state.contacts is not None
    happened = state.events.columns()
    if not happened:
        return
    columns = [*enumerate(BOOKED)]
    columns += [
        (state.contacts.columns.index(name), e)
        for e, name in PASSED.items()
        if name in state.contacts.columns
    ]
    sender = np.where(happened["donor"] >= 0, happened["donor"], DONORS + happened["label"].astype(np.int64))
    for column, event in columns:
        between = (happened["recipient"] >= 0) & (happened["event"] == event)
        for kind in range(len(state.kinds)):
            rows = np.flatnonzero(between & (happened["kind"] == kind))
            donor, recipient = sender[rows], happened["recipient"][rows]
            time = happened["time"][rows]
            ones, copies = np.ones(len(rows)), happened["copies"][rows]
            state.contacts.add(kind, donor, recipient, np.full(len(rows), column), ones, time)
            if event == Event.DELIVERY:
                for cargo in range(copies.shape[1]):
                    place = np.full(len(rows), len(BOOKED) + cargo)
                    state.contacts.add(kind, donor, recipient, place, copies[:, cargo], time)


def _observe(step: Step) -> None:
    step.recorder.observe(step.state)


class Stage(NamedTuple):
    """A stage of the step: what it reads, what it hands on, and the function that does it."""

    name: str
    reads: str
    hands_on: str
    run: Callable[[Step], None]


STAGES = (
    Stage("dose", "clock, doses, the body", "emission rows", _dose),
    Stage("secrete", "MVBs, waste and cargo pools, surfaces", "emission rows", _secrete),
    Stage("transport", "emission rows, fields", "captures, clearance, escape", _transport),
    Stage("take up", "captures, recipient cells", "uptake by fate", _take_up),
    Stage("respond", "uptake by fate, signals", "waste, cargo, behaviors", _respond),
    Stage("move", "behaviors, gradients, captures", "positions", _move),
    Stage("fate", "behaviors, positions", "turnover rows", _decide_fate),
    Stage("commit", "all of these", "balance, clock, arrays of a new size", _commit),
    Stage("observe", "state, read-only", "metrics, tables, fields when due", _observe),
)


BAD = ArithmeticError, LookupError, ValueError, NumericalError
"""What code raises that meets a NaN, be it as an index or in a balance."""


def advance(step: Step) -> None:
    """Run every stage once, in the order of the table.

    Raises
    ------
    NumericalError
        If a number of the state is not finite after it, or made a stage fail, or a balance breaks.
    """
    end = step.state.time + step.dt
    try:
        for stage in STAGES:
            stage.run(step)
    except BAD:
        check_finite(step.state, end, wholly=True)
        raise
