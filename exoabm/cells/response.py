"""Responses: behaviors of cells that follow what the cells sense and hold.

    value = (base + sum u_i maximum_i) / (1 + sum u_i),    u_i = (s_i / half_max_i)^hill_i

For one response that is the Hill form base + (maximum - base) s^h / (K^h + s^h). The responses that raise a
behavior act first; those that lower it then act on the value so raised. What signals ask for holds at once,
but where a response changes its own signal within a step: see ``feedback``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.cells.behaviors import added
from exoabm.cells.feedback import follow
from exoabm.parameters.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.parameters.parameter import Parameter
    from exoabm.physiology import Response
    from exoabm.state import State

LARGEST = 1e150
"""Beyond it u stands for a full signal; it keeps the weighted mean finite."""


class Signal(NamedTuple):
    """Something that cells sense.

    ``of`` says what the name after the dot is of (a cargo or a vesicle), or is empty; ``read(state, rows,
    index, now)`` gives the signal of the cells in ``rows`` at the time ``now`` (s), to which all of the
    state but its clock has come; ``internal`` tells whether it counts as an effect of what a cell received
    or holds.
    """

    parameter: Parameter
    of: str
    read: Callable[[State, np.ndarray, int, float], np.ndarray]
    internal: bool


def _concentration(state: State, rows: np.ndarray, kind: int, now: float) -> np.ndarray:
    """Free vesicles per um^3 in the voxel of each cell's center."""
    domain = state.domain
    voxel = domain.flat(domain.voxel_of(state.cells.position[rows]))
    count = state.free_per_voxel(kind).sum(axis=0, dtype=np.float64).ravel()[voxel]
    return np.asarray(count / domain.voxel_volume)


SIGNALS = {
    "cargo": Signal(
        CATALOG["signal_copies"], "cargo", lambda state, rows, cargo, _: state.cells.cargo[rows, cargo], True
    ),
    "waste": Signal(CATALOG["signal_copies"], "", lambda state, rows, _, __: state.cells.waste[rows], True),
    "concentration": Signal(CATALOG["signal_concentration"], "vesicle", _concentration, True),
    "bound": Signal(
        CATALOG["signal_vesicles"],
        "vesicle",
        lambda state, rows, kind, _: state.trafficking.bound[rows, kind].sum(axis=1),
        True,
    ),
    "endosomal": Signal(
        CATALOG["signal_vesicles"],
        "vesicle",
        lambda state, rows, kind, _: state.trafficking.endosomal[rows, kind].sum(axis=1),
        True,
    ),
    "time": Signal(CATALOG["signal_time"], "", lambda _, rows, __, now: np.full(len(rows), now), False),
    "age": Signal(
        CATALOG["signal_time"], "", lambda state, rows, _, now: now - state.cells.born[rows], False
    ),
}


def respond(state: State, dt: float) -> None:
    """Let added behaviors act as they were in this step, and give all what signals ask for at its end."""
    for behavior in added():
        if behavior.act is not None and behavior.name in state.behaviors:
            behavior.act(state, state.behavior(behavior.name), dt)
    if state.responses:
        behave(state, state.time + dt)


def behave(state: State, now: float) -> None:
    """Apply every response to every cell of its type at ``now`` (s); writes behaviors and effects."""
    cells = state.cells
    cells.effect[:] = 0.0
    for cell_type in sorted({row.cell_type for row in state.responses}):
        rows = np.flatnonzero(cells.type == cell_type)
        mine = [row for row in state.responses if row.cell_type == cell_type]
        strength = [_strength(state, rows, row, now) for row in mine]
        for row, u in zip(mine, strength, strict=True):
            if SIGNALS[row.signal].internal:
                cells.effect[rows] = np.maximum(cells.effect[rows], u / (1 + u))
        for behavior in sorted({row.behavior for row in mine}):
            value = state.base[cells.type[rows], behavior]
            for raises in (True, False):
                total, toward = np.zeros(len(rows)), np.zeros(len(rows))
                for row, u in zip(mine, strength, strict=True):
                    if row.behavior == behavior and row.raises is raises:
                        total += u
                        toward += u * row.maximum
                value = (value + toward) / (1 + total)
            cells.behavior[rows, behavior] = follow(state, rows, behavior, value)


def _strength(state: State, rows: np.ndarray, row: Response, now: float) -> np.ndarray:
    """u for the cells in ``rows``."""
    signal = SIGNALS[row.signal].read(state, rows, row.of, now)
    return pull(np.maximum(signal, 0.0), row.half_max, row.hill)


def pull(signal: np.ndarray, half_max: float, hill: float) -> np.ndarray:
    """u = (s / half_max)^hill of signals of any shape, at most ``LARGEST``."""
    with np.errstate(over="ignore"):
        return np.minimum((signal / half_max) ** hill, LARGEST)
