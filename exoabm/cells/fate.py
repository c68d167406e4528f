"""Whether a cell divides, dies or becomes another type, and where its daughter finds room."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from exoabm.cells.mechanics import crowd_of, radii
from exoabm.errors import NumericalError
from exoabm.kernels import sphere_mechanics
from exoabm.state import Turnover
from exoabm.streams import Purpose

if TYPE_CHECKING:
    from exoabm.state import State

IN_ORDER = ("division_rate", "death_rate", "transformation_rate")
DIRECTIONS = {2: 24, 3: 96}
"""Sides of its mother on which a daughter is looked for a place, by dimension: some 15 degrees apart."""
COARSE = 0.1
"""Chance of a fate in one step beyond which a warning is due: only one fate fits in a step."""


def decide(state: State, position: np.ndarray, dt: float) -> Turnover | None:
    """What becomes of the cells at the end of a step of ``dt`` seconds; ``position`` is where they then are.

        P(fate) = rate (e^(r dt) - 1) / r,    r = b - d - w

    for division, death and transformation at their rates b, d and w; at most one of them in a step. That is
    how often each happens in the mean to a cell and all its descendants in the step, so that numbers grow by
    e^(r dt) whatever the step. A daughter needs a free place that touches her mother; where there is none
    the mother does not divide (contact inhibition), and tries again at her rate. ``state.doomed`` die
    whatever their rates.

    Raises
    ------
    NumericalError
        If more cells than ``domain.max_cells`` would be alive after it; the state is then as at the start of
        the stage.
    """
    if not state.living or not len(state.cells):
        return None
    turnover = _by_rates(state, position, dt)
    if len(state.doomed):
        turnover = _with_doomed(state, turnover)
    if turnover is not None:
        _refuse_explosion(state, turnover, dt)
    return turnover


def _with_doomed(state: State, turnover: Turnover | None) -> Turnover:
    """The same, but doomed cells do nothing else than die."""
    dies = np.flatnonzero(np.isin(state.cells.birth_id, state.doomed))
    state.doomed = state.doomed[:0]
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
    """What the rates of cells and chance make of them."""
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


def _refuse_explosion(state: State, turnover: Turnover, dt: float) -> None:
    born = len(turnover.divides)
    alive = len(state.cells) + born - len(turnover.dies)
    if born and alive > state.max_cells:
        raise NumericalError(
            f"{alive:,} cells would be alive at {(state.time + dt) / 3600:.4g} h, {born:,} of them born in "
            f"this step, and domain.max_cells = {state.max_cells:,.0f}; raise it if so many are meant, else "
            "let them divide more slowly, die, or have less room"
        )


def _find_room(state: State, position: np.ndarray, mothers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the daughters that find one, (m', 3), and which of the mothers (m,) these belong to."""
    m, n, dim = len(mothers), len(position), state.domain.dim
    placed = np.zeros(m, bool)
    if not m:
        return np.empty((0, 3)), placed
    where = np.concatenate([position, np.zeros((m, 3))])
    where[n:, 2] = position[mothers, 2]
    radius = np.concatenate([radii(state), np.zeros(m)])
    who = state.cells.birth_id[mothers]
    u = np.array([state.streams.uniform(Purpose.DAUGHTER, who, state.step, draw=i) for i in range(3)])
    box = crowd_of(state, position, radius[:n], room=m)
    end = sphere_mechanics.divide(box, where, radius, n, mothers, _directions(dim), _turns(u, dim), placed)
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
    """Random rotations (m, 3, 3), all alike in chance, from uniform numbers (3, m); about z in a slab."""
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
    if chance > COARSE and not any(word in warning for warning in state.warnings):
        state.warnings.append(
            f"cells meet one {word} in up to {chance:.0%} of the steps of {dt:g} s, and only one fits in a "
            "step; a shorter clock.step is more exact"
        )
