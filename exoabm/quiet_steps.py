"""Steps in which uptake alone changes cells: transport and uptake of all of them in one call of a kernel.

Where release is constant, and nothing responds, moves, divides, dies, or is dosed, steps differ by their
vesicles only. With linear uptake labels are then independent of each other, and each is taken through all
steps up to the next record. The bits are those of single steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_booking import book_flows, close_step
from exoabm.accounting.step_records import Emissions, Returning, Sources
from exoabm.cell_type import SecretionMode
from exoabm.cells.cargo_pools import metabolize, receive_cargo
from exoabm.cells.secretion import secrete
from exoabm.cells.uptake import pathway, warn_of_waiting
from exoabm.schedule import complete_or_marked

if TYPE_CHECKING:
    from exoabm.cell_type import CellType
    from exoabm.schedule import Step
    from exoabm.state import State


def quiet_steps(step: Step, most: int) -> int:
    """Steps from now on, up to ``most``, of which only the last is observed; 1 where steps are not quiet."""
    state, dt, engine = step.state, step.dt, step.engine.at_once
    if most < 2 or engine is None or step.protocol is not None or not _quiet(state):
        return 1
    most, time = min(most, engine.most_at_once(state, dt)), state.time
    for number in range(1, most):
        time += dt
        if step.recorder.due_at(time):
            return number
    return most


def _quiet(state: State) -> bool:
    """Whether uptake alone changes cells, and release is constant."""
    changes = state.behaviors, state.responses, state.silences, state.gifts, state.marked_for_death
    return not any(map(len, changes)) and state.mechanics is None and all(map(_constant, state.types))


def _constant(cell_type: CellType) -> bool:
    """Whether cells of a type release at a constant rate, and nothing else."""
    if cell_type.pathway is not None or cell_type.waste is not None or cell_type.pools:
        return False
    return cell_type.releases is None or cell_type.secretion is SecretionMode.MEAN


def advance_quietly(step: Step, number: int) -> None:
    """Advance by ``number`` quiet steps; errors as of ``schedule.advance``."""
    state, dt, engine = step.state, step.dt, step.engine.at_once
    assert engine is not None, "asked by `quiet_steps`"
    times = np.add.accumulate([state.time, *[dt] * number])[1:]
    with complete_or_marked(state, dt):
        released = secrete(state, dt)
        taken = engine.take_steps(state, released, pathway(state, dt), times, dt)
        sources = Sources(released, Returning.none(), Emissions.none())
        for i, time in enumerate(times.tolist()):
            if i > 0:
                metabolize(state, dt)  # with the release of the first step
            uptake = taken.uptake(i)
            book_flows(state, sources, taken.transport(i), uptake)
            receive_cargo(state, uptake)
            if i < number - 1:
                state.balance["free"][:] = taken.free[i]
                state.time, state.step = time, state.step + 1
                warn_of_waiting(state, dt, taken.waiting[i].sum(axis=1))
        close_step(state, step.engine.free(state), dt, changed=False)
        warn_of_waiting(state, dt)
        state.in_step = False
        step.recorder.observe(state)
