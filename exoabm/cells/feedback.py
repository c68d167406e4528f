"""Responses that change their own signal within a step.

A behavior v holds for a step and the signals at its end ask for f(v). Where the signal follows the behavior
within a step, f has a slope -g, and v := f(v) runs into a cycle of two steps as soon as g > 1. Therefore

    v := v + share (f - v),    share = min(1, (1 + SETTLES) / (1 + g)),

which for a constant slope shrinks what is left by the factor -SETTLES a step and ends where v = f. The slope
is measured in each cell, g = -(change of f) / (change of v) between two steps, where both changed against
each other and had done so a few steps before: a signal that is slow against the step turns less often, its
share stays 1, and its bits are those of v := f.

Where chance moves signals, two steps tell no slope: g is then that of some steps, with the present one left
out, so that the mean of a behavior is that of what signals ask for.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from exoabm.physiology import SecretionMode

if TYPE_CHECKING:
    from exoabm.state import State

SETTLES = 0.5
"""What is left of a distance to the fixed point after a step, at most; smaller slopes are not damped."""
RECENT = 3
"""Steps between two turns up to which they count as one alternation: half a period of 6 steps or less."""
RECOVERY = 1.1
"""Factor by which a share rises in a step without alternation."""
MEMORY = 0.5
"""Weight of the steps before where chance moves signals; 1/(1 - MEMORY) steps are looked at."""
SMALL = 1e-6
"""Distance to the fixed point, relative, below which changes are of no account, such as those of rounding."""
SEEN = 0.01
"""Relative distance between what a behavior is and what its signals ask for that is worth a warning."""
STEADY = 0.9
"""Weight of the steps before in the mean share of a cell type that decides on a warning under chance."""
LASTING = 0.6
"""Mean share below which responses alternate and not by chance: white noise leaves 0.8 and more."""


class Column(IntEnum):
    """Columns of ``Cells.feedback`` for one behavior."""

    VALUE = 0
    """Behavior in the step before."""
    TARGET = 1
    """What signals asked for at its start; NaN where no step was."""
    SHARE = 2
    SINCE = 3
    """Steps since behavior and target last changed against each other."""
    PRODUCT = 4
    """Sum of change of behavior x change of target."""
    SQUARE = 5
    """Sum of squared changes of the behavior."""


FRESH = np.array([0.0, np.nan, 1.0, np.inf, 0.0, 0.0])
"""A cell without a past, in the order of ``Column``."""


def by_chance(state: State) -> bool:
    """Whether signals are counts of single events rather than expected numbers."""
    return state.vesicles is not None or any(t.secretion is SecretionMode.POISSON for t in state.types)


def follow(state: State, rows: np.ndarray, behavior: int, target: np.ndarray) -> np.ndarray:
    """The behavior from now on of the cells in ``rows``, (n,), whose signals ask for ``target``.

    Brings ``cells.feedback`` of these cells up to date, and warns where responses alternate.
    """
    past, value = state.cells.feedback[rows, behavior], state.cells.behavior[rows, behavior]
    chance = by_chance(state)
    gap = np.abs(target - value)
    scale = np.maximum(np.abs(target), np.abs(value))
    if chance:
        gain = _damp(past, gap > SMALL * scale)
        _note(past, value, target, MEMORY)
    else:
        _note(past, value, target, 0.0)
        gain = _damp(past, gap > SMALL * scale)
    state.cells.feedback[rows, behavior] = past
    _warn(state, rows, behavior, chance, (gain >= 1) & (gap > SEEN * scale))
    share = past[:, Column.SHARE]
    return np.where(share < 1, value + share * (target - value), target)


def _note(past: np.ndarray, value: np.ndarray, target: np.ndarray, memory: float) -> None:
    """Add the change since the last step to the sums of each cell."""
    known = ~np.isnan(past[:, Column.TARGET])
    change = np.where(known, value - past[:, Column.VALUE], 0.0)
    asked = np.where(known, target - past[:, Column.TARGET], 0.0)
    past[:, Column.PRODUCT] = memory * past[:, Column.PRODUCT] + change * asked
    past[:, Column.SQUARE] = memory * past[:, Column.SQUARE] + change * change
    past[:, Column.VALUE], past[:, Column.TARGET] = value, target


def _damp(past: np.ndarray, matters: np.ndarray) -> np.ndarray:
    """Set the share of each cell by its slope; returns the slope g, 0 where nothing alternates."""
    turns = matters & (past[:, Column.PRODUCT] < 0)
    alternates = turns & (past[:, Column.SINCE] <= RECENT)
    gain = np.zeros(len(past))
    np.divide(-past[:, Column.PRODUCT], past[:, Column.SQUARE], out=gain, where=alternates)
    most = np.minimum(1.0, RECOVERY * past[:, Column.SHARE])
    past[:, Column.SHARE] = np.minimum(most, np.where(alternates, (1 + SETTLES) / (1 + gain), 1.0))
    past[:, Column.SINCE] = np.where(turns, 1.0, past[:, Column.SINCE] + 1)
    return gain


def _warn(state: State, rows: np.ndarray, behavior: int, chance: bool, alternates: np.ndarray) -> None:
    if not len(rows):
        return
    mean = state.damping[:, behavior]
    cell_type = int(state.cells.type[rows[0]])
    share = float(state.cells.feedback[rows, behavior, Column.SHARE].mean())
    mean[cell_type] = STEADY * mean[cell_type] + (1 - STEADY) * share
    if not (mean[cell_type] < LASTING if chance else alternates.any()):
        return
    start = f"{state.types[cell_type].name}: responses of {state.behaviors[behavior]} alternated"
    if not any(warning.startswith(start) for warning in state.warnings):
        state.warnings.append(
            f"{start} from step to step, for within a step they change the signal that they follow. They are "
            "damped and settle where they should, but what happens on the way there takes a few steps; a "
            "shorter clock.step resolves it"
        )
