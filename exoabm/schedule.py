"""One step of the model, as a table of stages."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from exoabm.accounting.step_booking import book_flows, close_step, contacts_counted
from exoabm.accounting.step_checks import check_complete, check_finite
from exoabm.accounting.step_records import Emissions, Returning, Sources, TransportResult, Turnover, Uptake
from exoabm.cells.motility import move
from exoabm.cells.responses import respond
from exoabm.cells.secretion import secrete
from exoabm.cells.silencing_and_gifts import give, without_silenced
from exoabm.cells.turnover import apply_turnover, decide_fates
from exoabm.cells.uptake import take_up, warn_of_waiting
from exoabm.errors import NumericalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from exoabm.output.recorder import Recorder
    from exoabm.state import State
    from exoabm.therapy.treatment_protocol import TreatmentProtocol
    from exoabm.transport.engine import Engine


@dataclass
class Step:
    """Data shared by the stages of one step: the parts of the model, and the records handed on."""

    state: State
    engine: Engine
    recorder: Recorder
    dt: float
    protocol: TreatmentProtocol | None = None
    dosed: Emissions = field(default_factory=Emissions.none)
    sources: Sources = field(init=False)
    transport: TransportResult = field(init=False)
    uptake: Uptake = field(init=False)
    position: np.ndarray | None = None
    turnover: Turnover | None = None


def _dose(step: Step) -> None:
    if step.protocol is not None:
        step.dosed = step.protocol.advance(step.state, step.dt)


def _secrete(step: Step) -> None:
    give(step.state, step.dt)
    released = without_silenced(step.state, secrete(step.state, step.dt))
    way = step.state.trafficking
    step.sources = Sources(released, Returning(way.returning, way.returning_sizes), step.dosed)


def _transport(step: Step) -> None:
    step.transport = step.engine.advance(step.state, step.sources, step.dt)


def _take_up(step: Step) -> None:
    with contacts_counted(step.state):  # those of transport
        step.uptake = take_up(step.state, step.transport, step.dt)


def _move(step: Step) -> None:
    step.position = move(step.state, step.dt)


def _decide_turnover(step: Step) -> None:
    step.turnover = decide_fates(step.state, step.position, step.dt)


def _commit(step: Step) -> None:
    state = step.state
    book_flows(state, step.sources, step.transport, step.uptake)
    if step.position is not None:
        state.cells.position = step.position
    if step.turnover is not None:
        apply_turnover(state, step.turnover, state.time + step.dt)
    close_step(state, step.engine.free(state), step.dt, changed=bool(step.turnover))
    if step.protocol is not None:
        step.protocol.measure(state)
    warn_of_waiting(state, step.dt)
    if step.position is not None or step.turnover:
        step.engine.bind(state)
    state.in_step = False


class Stage(NamedTuple):
    """A stage of the step: its input, its output, and its function."""

    name: str
    reads: str
    outputs: str
    run: Callable[[Step], None]


STAGES = (
    Stage("dose", "clock, doses, body", "emission rows", _dose),
    Stage("secrete", "MVBs, waste and cargo pools, surfaces", "emission rows", _secrete),
    Stage("transport", "emission rows, free vesicles", "captures, clearance, escape", _transport),
    Stage("take up", "captures, recipient cells", "uptake by fate", _take_up),
    Stage("respond", "uptake, signals", "cargo, behaviors", lambda s: respond(s.state, s.uptake, s.dt)),
    Stage("move", "behaviors, gradients, captures", "positions", _move),
    Stage("turnover", "behaviors, positions", "turnover rows", _decide_turnover),
    Stage("commit", "all of these", "balances, contacts, clock, arrays of cells", _commit),
    Stage("observe", "state, read-only", "tables when due", lambda s: s.recorder.observe(s.state)),
)


@contextlib.contextmanager
def complete_or_marked(state: State, dt: float) -> Iterator[None]:
    """For the stages of a step of ``dt`` seconds that begins at the time of the state, or of several in turn.

    Raises
    ------
    NumericalError
        If a number of the state is not finite, or a balance does not close.
    RunFailed
        If an earlier step of this state was not completed.
    """
    check_complete(state)
    state.in_step = True  # until it is committed
    try:
        yield
    except (ArithmeticError, LookupError, ValueError, NumericalError):  # a NaN may cause any of these
        check_finite(state, state.time + dt, wholly=True)
        raise


def advance(step: Step) -> None:
    """Run every stage once, in the order of the table; errors as of ``complete_or_marked``."""
    with complete_or_marked(step.state, step.dt):
        for stage in STAGES:
            stage.run(step)
