"""Motility and mechanics of cells: random motion, chemotaxis, and repulsion of overlapping cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.cell_type import Sense
from exoabm.cells.responses import hill_ratio
from exoabm.kernels import sphere_mechanics
from exoabm.kernels.field_operators import gradient
from exoabm.random_streams import Purpose
from exoabm.tables.declarations import Event

if TYPE_CHECKING:
    from exoabm.cell_type import Attraction
    from exoabm.state import State


def move(state: State, dt: float) -> np.ndarray | None:
    """Positions of the cells after a step of ``dt`` seconds, (n, 3) in um; None if no cell moves.

    Overlapping cells repel each other; then the cells move, in the order of birth. A displacement that would
    increase an overlap, or end in an obstacle, is rejected for this step. Cells are reflected where their
    surface reaches a face; periodic faces wrap.
    """
    used = [name for name in ("motility", "chemotaxis") if name in state.behaviors]
    if not len(state.cells) or (not used and state.mechanics is None):
        return None
    way = np.zeros_like(state.cells.position)
    if "motility" in used:
        way += _random_motion(state, dt)
    if "chemotaxis" in used:
        way += _chemotaxis(state, dt)
    position, radius = state.cells.position.copy(), radii(state)
    box = neighbor_box(state, position, radius)
    moved = separate_overlaps(state, box, position, radius, dt)
    goes = way.any(axis=1)
    if goes.any():
        # Cells whose surface reaches a wall reverse their velocity.
        state.cells.velocity[sphere_mechanics.crosses_walls(box, position, radius, way)] *= -1
        moved = sphere_mechanics.move_in_turn(box, position, radius, way) < int(goes.sum()) or moved
    return position if moved else None


def _random_motion(state: State, dt: float) -> np.ndarray:
    """Random motion: Brownian, or an Ornstein-Uhlenbeck velocity, exactly over the step.

        dx = sqrt(2 mu dt) N                                             persistence P = 0
        dv = -v/P dt + sqrt(2 mu)/P dW,   dx = v dt                      P > 0

    with the mean square displacement 2 mu t per axis, or, in the stationary state,
    2 mu (t - P (1 - e^(-t/P))) (Fuerth 1920). Cells start at rest.
    """
    cells, streams, dim = state.cells, state.streams, state.domain.dim
    way = np.zeros_like(cells.position)
    motility = state.behavior("motility")
    for index, cell_type in enumerate(state.types):
        rows = np.flatnonzero((cells.type == index) & (motility > 0))
        if not len(rows):
            continue
        who, mu, p = cells.birth_id[rows], motility[rows], cell_type.persistence
        for axis in range(dim):
            first = streams.normal(Purpose.MOTILITY, who, state.step, draw=axis)
            if p == 0:
                way[rows, axis] = np.sqrt(2 * mu * dt) * first
                continue
            second = streams.normal(Purpose.MOTILITY, who, state.step, draw=3 + axis)
            e = math.exp(-dt / p)
            speed = math.sqrt((1 - e * e) / p)
            length = p * (2 * dt / p - 3 + 4 * e - e * e)
            shared = (1 - e) ** 2 / speed
            old = cells.velocity[rows, axis]
            rest = math.sqrt(max(length - shared**2, 0.0))
            way[rows, axis] = p * (1 - e) * old + np.sqrt(mu) * (shared * first + rest * second)
            cells.velocity[rows, axis] = e * old + np.sqrt(mu) * speed * first
    return way


def _chemotaxis(state: State, dt: float) -> np.ndarray:
    """v = chi u: displacement by chemotaxis; see ``cell_type.Attraction``."""
    way = np.zeros_like(state.cells.position)
    strength = state.behavior("chemotaxis")
    for index, cell_type in enumerate(state.types):
        rows = np.flatnonzero((state.cells.type == index) & (strength != 0))
        attraction = cell_type.attraction
        if attraction is None or not len(rows):
            continue
        if attraction.sense is Sense.GRADIENT:
            steep, concentration = sense_gradient(state, attraction.vesicle, rows, cell_type.diameter / 2)
            k = attraction.half_max
            direction = steep * (k / (k + concentration) ** 2)[:, None]
        else:
            direction = _polarity_direction(state, attraction, rows, dt)
        way[rows] = strength[rows, None] * direction * dt
    return way


def sense_gradient(state: State, kind: int, rows: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (n, 3) in vesicles/um^4 and mean concentration (n,) in vesicles/um^3 around cells.

    A plane is fitted to the free vesicles per voxel in a window of a cell radius (at least a voxel) to each
    side of the voxel of the center, for both engines. Release and uptake of the cell itself are symmetric
    around that voxel and cancel. At faces and obstacles see `gradient`.
    """
    domain = state.domain
    free = state.free_per_voxel(kind)
    steep, mean = np.zeros((len(rows), 3)), np.zeros(len(rows))
    gradient(
        free.reshape(len(free), -1, *free.shape[-2:]),
        domain.voxel_of(state.cells.position[rows]),
        domain.counts,
        np.array(domain.faces, np.int64),
        np.array(domain.face_concentration) * domain.voxel_volume,
        domain.walls[-1],
        max(1, math.ceil(radius / domain.voxel)),
        domain.voxel,
        steep,
        mean,
    )
    return steep / domain.voxel_volume, mean / domain.voxel_volume


def _polarity_direction(state: State, attraction: Attraction, rows: np.ndarray, dt: float) -> np.ndarray:
    """Decay of polarity, addition of captures in this step, and the direction of length 0 to 1."""
    cells = state.cells
    cells.polarity[rows] *= math.exp(-dt / attraction.memory)
    events = state.events.columns()
    if events:
        mine = (events["event"] == Event.ENCOUNTER) & (events["kind"] == attraction.vesicle)
        host = cells.row_of(events["recipient"][mine])
        place = np.column_stack([events[axis][mine] for axis in "xyz"]).astype(float)
        toward = state.domain.displacement(cells.position[host], place)
        length = np.linalg.norm(toward, axis=1, keepdims=True)
        toward = np.divide(toward, length, out=np.zeros_like(toward), where=length > 0)
        here = np.isin(host, rows)
        strength = np.ones(len(host))
        if state.kinds[attraction.vesicle].cargo:
            strength = events["copies"][mine].sum(axis=1, dtype=float)
        np.add.at(cells.polarity, host[here], (strength[:, None] * toward)[here])
    polarity = cells.polarity[rows]
    length = np.linalg.norm(polarity, axis=1, keepdims=True)
    u = hill_ratio(length, attraction.half_max, attraction.hill)
    unit = np.divide(polarity, length, out=np.zeros_like(polarity), where=length > 0)
    return np.asarray(unit * u / (1 + u))


SHARE = 0.1
"""Largest share of an overlap removed per sub-step; prevents oscillation of dense clusters."""
CAP = 0.1
"""Largest displacement of a cell per sub-step, in its radii."""


def radii(state: State) -> np.ndarray:
    """Radius of every cell in um, (n,)."""
    return np.asarray(state.of_type("diameter") / 2)


def neighbor_box(
    state: State, position: np.ndarray, radius: np.ndarray, room: int = 0
) -> sphere_mechanics.NeighborGrid:
    """Neighbor grid of cells at these positions, with ``room`` rows for daughters."""
    domain = state.domain
    closed = np.empty(0, bool) if domain.obstacle is None else domain.obstacle.ravel()
    return sphere_mechanics.neighbor_grid(
        domain.dim,
        domain.low,
        domain.extent,
        domain.period > 0,
        domain.voxel,
        domain.counts,
        closed,
        position,
        radius,
        room,
    )


def separate_overlaps(
    state: State, box: sphere_mechanics.NeighborGrid, position: np.ndarray, radius: np.ndarray, dt: float
) -> bool:
    """Repulsion of overlapping cells, in place; returns whether any cell moved.

        dx_i/dt = rate/2 sum_j (r_i + r_j - |x_i - x_j|) (x_i - x_j)/|x_i - x_j|

    over overlapping neighbors: the overlap d of two isolated cells decays as d e^(-rate t). Sub-steps move
    all cells at once, so that the order of the rows is irrelevant. The force law is assumed.
    """
    if state.mechanics is None:
        return False
    substeps = max(1, math.ceil(state.mechanics.relaxation * dt / SHARE))
    share = -math.expm1(-state.mechanics.relaxation * dt / substeps)
    shift, moved = np.zeros_like(position), False
    for _ in range(substeps):
        if not sphere_mechanics.overlap_displacements(box, position, radius, share, CAP, shift):
            break
        sphere_mechanics.move_together(box, position, radius, shift)
        moved = True
    return moved
