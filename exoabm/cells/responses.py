"""Responses: behaviors of cells as functions of signals, damped where a response alters its own signal.

    value = (base + sum u_i maximum_i) / (1 + sum u_i),    u_i = (s_i / half_max_i)^hill_i

For one response this is the Hill form base + (maximum - base) s^h / (K^h + s^h). Responses that raise a
behavior act first; those that lower it act on the raised value. The rate law is assumed.

*Damping.* A behavior v holds for a step, and the signals at the end of the step ask for f(v). Where the
signal depends on the behavior within a step, f has a slope -g, and v := f(v) enters a cycle of two steps as
soon as g > 1. Therefore

    v := v + share (f - v),    share = min(1, (1 + RESIDUAL) / (1 + g)),

which for a constant slope reduces the distance to the fixed point by the factor -RESIDUAL per step. The slope
is measured in each cell, g = -(change of f) / (change of v) between two steps, if both changed in opposite
directions and had done so a few steps before. For signals that are slow relative to the step, the share stays
1 and v := f(v) exactly. Where signals are counts of single events, two steps do not determine the slope: g is
then that of several steps, without the present one, so that the mean behavior is unbiased.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exoabm.accounting.step_checks import amounts_checked
from exoabm.cell_type import SecretionMode
from exoabm.cells.behaviors import known
from exoabm.cells.cargo_pools import receive_cargo
from exoabm.cells.silencing_and_gifts import unresponsive
from exoabm.parameters.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.accounting.step_records import Uptake
    from exoabm.cell_type import Response
    from exoabm.parameters.catalog import Parameter
    from exoabm.state import State

LARGEST = 1e150
"""Upper bound of u; keeps the weighted mean finite."""


class Signal(NamedTuple):
    """A signal of cells.

    ``of`` is the entity of the name after the dot (cargo or vesicle), or empty; ``read(state, rows, index,
    now)`` returns the signal of the cells in ``rows`` at the end ``now`` (s) of the step; ``internal`` marks
    signals that count as an effect of received or held cargo.
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


def respond(state: State, uptake: Uptake, dt: float) -> None:
    """Receive cargo and waste, let behaviors act at their present values, and update all behaviors."""
    receive_cargo(state, uptake)
    for behavior in known().values():
        if behavior.act is not None and behavior.name in state.behaviors:
            with amounts_checked(state, behavior.name):
                behavior.act(state, state.behavior(behavior.name), dt)
    if state.responses:
        apply_responses(state, state.time + dt)


def apply_responses(state: State, now: float) -> None:
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
            cells.behavior[rows, behavior] = damped(state, rows, behavior, value)


def _strength(state: State, rows: np.ndarray, row: Response, now: float) -> np.ndarray:
    """u for the cells in ``rows``."""
    signal = SIGNALS[row.signal].read(state, rows, row.of, now)
    if SIGNALS[row.signal].internal:
        signal = np.where(unresponsive(state, rows), 0.0, signal)
    return hill_ratio(np.maximum(signal, 0.0), row.half_max, row.hill)


def hill_ratio(signal: np.ndarray, half_max: float, hill: float) -> np.ndarray:
    """u = (s / half_max)^hill of signals of any shape, at most ``LARGEST``."""
    with np.errstate(over="ignore"):
        return np.minimum((signal / half_max) ** hill, LARGEST)


RESIDUAL = 0.5
"""Largest remaining share of the distance to the fixed point after a step."""
MAX_HALF_PERIOD = 3
"""Largest number of steps between two reversals of one alternation: half a period of 6 steps."""
RECOVERY = 1.1
"""Factor of increase of a share per step without alternation."""
MEMORY = 0.5
"""Weight of earlier steps for stochastic signals; 1/(1 - MEMORY) steps contribute."""
ROUNDING_DISTANCE = 1e-6
"""Relative distance to the fixed point below which changes are attributed to rounding."""
WARNING_DISTANCE = 0.01
"""Relative distance between a behavior and its target above which a warning is given."""
WARNING_MEMORY = 0.9
"""Weight of earlier steps in the mean share of a cell type that triggers a warning for stochastic signals."""
WARNING_SHARE = 0.6
"""Mean share below which alternation is significant: white noise gives 0.8 or more."""


class Column(IntEnum):
    """Columns of ``Cells.feedback`` for one behavior."""

    VALUE = 0
    """Behavior in the previous step."""
    TARGET = 1
    """Target at the start of that step; NaN before the first step."""
    SHARE = 2
    SINCE = 3
    """Steps since behavior and target last changed in opposite directions."""
    PRODUCT = 4
    """Sum of change of behavior x change of target."""
    SQUARE = 5
    """Sum of squared changes of the behavior."""


NO_HISTORY = np.array([0.0, np.nan, 1.0, np.inf, 0.0, 0.0])
"""History of a new cell, in the order of ``Column``."""


def by_chance(state: State) -> bool:
    """Whether signals are counts of single events rather than expected numbers."""
    return state.follows_vesicles or any(t.secretion is SecretionMode.POISSON for t in state.types)


def damped(state: State, rows: np.ndarray, behavior: int, target: np.ndarray) -> np.ndarray:
    """v + share (f - v): behavior of the cells in ``rows`` in the next step, (n,), with the target f.

    Updates ``cells.feedback`` of these cells, and warns if responses alternate.
    """
    past, value = state.cells.feedback[rows, behavior], state.cells.behavior[rows, behavior]
    chance = by_chance(state)
    gap = np.abs(target - value)
    scale = np.maximum(np.abs(target), np.abs(value))
    if chance:
        gain = _update_share(past, gap > ROUNDING_DISTANCE * scale)
        _update_slope(past, value, target, MEMORY)
    else:
        _update_slope(past, value, target, 0.0)
        gain = _update_share(past, gap > ROUNDING_DISTANCE * scale)
    state.cells.feedback[rows, behavior] = past
    _warn(state, rows, behavior, chance, (gain >= 1) & (gap > WARNING_DISTANCE * scale))
    share = past[:, Column.SHARE]
    return np.where(share < 1, value + share * (target - value), target)


def _update_slope(past: np.ndarray, value: np.ndarray, target: np.ndarray, memory: float) -> None:
    """Add the change since the last step to the sums of each cell."""
    known = ~np.isnan(past[:, Column.TARGET])
    change = np.where(known, value - past[:, Column.VALUE], 0.0)
    asked = np.where(known, target - past[:, Column.TARGET], 0.0)
    past[:, Column.PRODUCT] = memory * past[:, Column.PRODUCT] + change * asked
    past[:, Column.SQUARE] = memory * past[:, Column.SQUARE] + change * change
    past[:, Column.VALUE], past[:, Column.TARGET] = value, target


def _update_share(past: np.ndarray, matters: np.ndarray) -> np.ndarray:
    """Set the share of each cell from its slope; returns the slope g, 0 without alternation."""
    turns = matters & (past[:, Column.PRODUCT] < 0)
    alternates = turns & (past[:, Column.SINCE] <= MAX_HALF_PERIOD)
    gain = np.zeros(len(past))
    np.divide(-past[:, Column.PRODUCT], past[:, Column.SQUARE], out=gain, where=alternates)
    most = np.minimum(1.0, RECOVERY * past[:, Column.SHARE])
    past[:, Column.SHARE] = np.minimum(most, np.where(alternates, (1 + RESIDUAL) / (1 + gain), 1.0))
    past[:, Column.SINCE] = np.where(turns, 1.0, past[:, Column.SINCE] + 1)
    return gain


def _warn(state: State, rows: np.ndarray, behavior: int, chance: bool, alternates: np.ndarray) -> None:
    if not len(rows):
        return
    mean = state.damping[:, behavior]
    cell_type = int(state.cells.type[rows[0]])
    share = float(state.cells.feedback[rows, behavior, Column.SHARE].mean())
    mean[cell_type] = WARNING_MEMORY * mean[cell_type] + (1 - WARNING_MEMORY) * share
    if not (mean[cell_type] < WARNING_SHARE if chance else alternates.any()):
        return
    start = f"{state.types[cell_type].name}: responses of {state.behaviors[behavior]} alternated"
    if not any(warning.startswith(start) for warning in state.warnings):
        state.warnings.append(
            f"{start} from step to step, since they change their own signal within a step. They are damped "
            "and converge to the fixed point, but the transient takes a few steps; a shorter clock.step "
            "resolves it"
        )
