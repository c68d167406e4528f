"""Checks that a step is complete, that its numbers are finite, and that no single vesicle is missing."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import NumericalError, RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.state import State

HELD = "bound", "returning", "endosomal", "lysosomal", "recycled", "delivered"
"""Counts that enter the mass balance of every step, which detects a number that is not finite."""
TALLIED = "encountered", "taken_up", "unbound"
"""Counts that do not enter the mass balance."""
SINGLE = "x", "y", "z"
"""Real-valued columns of vesicles that a step changes."""


ROUNDING = 1e-9
"""Share of an amount in a cell by which an added behavior may remove more than there is."""


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


def check_number(state: State, time: float) -> None:
    """Stop the run unless as many single vesicles are followed as are counted in the medium and at cells.

    ``time`` is the end of the step, s.
    """
    counted = sum(float(state.balance[place].sum()) for place in ("free", "bound", "endosomal"))
    if counted != len(state.vesicles):
        raise NumericalError(
            f"{len(state.vesicles):,} single vesicles are followed at {time / 3600:.6g} h, and "
            f"{counted:,.0f} are counted in the medium, on cells and in endosomes"
        )


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


@contextlib.contextmanager
def amounts_checked(state: State, behavior: str) -> Iterator[None]:
    """For the action of an added behavior: stop the run where it leaves less than nothing in a cell.

    An amount below 0 by at most `ROUNDING` of what it was before is set to 0.

    Raises
    ------
    NumericalError
        Naming the behavior, the cell, the quantity, its value and the time.
    """
    before = {where: array.copy() for where, array in _amounts(state)}
    yield
    for where, array in _amounts(state):
        below = array < -ROUNDING * before[where]
        if below.any():
            place = tuple(int(i) for i in np.argwhere(below)[0])
            raise NumericalError(
                f"the behavior {behavior!r} made {_named(state, where, place)} {array[place]:.6g} in the "
                f"step that begins at {state.time / 3600:.6g} h; amounts are 0 or more"
            )
        np.maximum(array, 0.0, out=array)


def _amounts(state: State) -> Iterator[tuple[str, np.ndarray]]:
    yield "cargo", state.cells.cargo
    yield "waste", state.cells.waste
    yield "mvb", state.cells.mvb


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
