"""Nothing passes a wall: 2e8 vesicle-steps in mazes of obstacles between reflecting faces.

So many voxels are obstacles that the open ones form hundreds of closed rooms. A vesicle that slips through
one wall, at a face, an edge or a corner, ends in another room, in an obstacle, or outside.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from test_particles import MEMBRANE, VOXEL, pour
from worlds import FREE, STONE, world

from exoabm import ExosomeModel
from exoabm.kernels.medium import clearance
from exoabm.scenario.state_builder import make_engine
from exoabm.transport.grid_discretization import choose_courant, substep_rates
from exoabm.transport.motion_and_capture import STEP_AT_MEMBRANE

EDGE = 2.0
"""Of a voxel, um; a step at a membrane of 7.5 um spreads by 0.75 um along each axis."""
SIZE = {2: 120, 3: 30}
BLOCKED = {2: 0.42, 3: 0.7}
"""Share of obstacles, a little above the threshold at which the open voxels fall apart."""
VESICLES = 100_000
STEP = 10.0


def maze(dim: int, transport: dict, wall: np.ndarray) -> ExosomeModel:
    """A model with these obstacles, a cell that takes nothing up, and vesicles in all open voxels."""
    edge = SIZE[dim] * EDGE
    model = world(
        [edge] * dim,
        [(STONE, [[edge / 2] * dim])],
        voxel=EDGE,
        vesicle={"diameter_gsd": 1},
        transport=transport,
        step=STEP,
        threads=2,
    )
    model.state.domain = dataclasses.replace(model.state.domain, obstacle=wall)
    model.engine = make_engine(model.scenario.transport, model.state, threads=2)
    place = np.random.default_rng(1).uniform(0, edge, (4 * VESICLES, 3))
    if dim == 2:
        place[:, 2] = model.state.domain.thickness / 2
    away = np.linalg.norm((place - edge / 2)[:, :dim], axis=1) > 7.6
    open_ = away & ~wall.ravel()[voxel_of(model, place)]
    pour(model, place[open_][:VESICLES])
    return model


def voxel_of(model: ExosomeModel, place: np.ndarray) -> np.ndarray:
    domain = model.state.domain
    return domain.flat(np.clip(domain.voxel_of(place.astype(float)), 0, domain.counts - 1))


def positions(model: ExosomeModel) -> np.ndarray:
    vesicles = model.state.vesicles
    return np.column_stack([vesicles.x, vesicles.y, vesicles.z])


def random_wall(dim: int) -> np.ndarray:
    """Bricks everywhere but at the center of the cell."""
    wall = np.random.default_rng(7).random((SIZE[dim],) * dim) < BLOCKED[dim]
    wall[(SIZE[dim] // 2,) * dim] = False
    return wall


def steps_taken(model: ExosomeModel, transport: dict) -> float:
    """Vesicle-steps in one step of the model: all of them are of the shortest length."""
    domain = model.state.domain
    if transport is VOXEL:
        per_diffusivity, _ = substep_rates(domain, choose_courant(domain), 0.0)
        return VESICLES * np.ceil(FREE * per_diffusivity * STEP)
    shortest = STEP_AT_MEMBRANE * 7.5
    room = clearance(domain.counts, EDGE, np.array(domain.faces), domain.obstacle.ravel())
    assert room.max() < 6.5 * shortest
    return VESICLES * np.ceil(2 * FREE * STEP / shortest**2)


def leaks(model: ExosomeModel, rooms: np.ndarray, steps: int) -> int:
    """Vesicles that are not in the room where they began, after some steps."""
    began = dict(zip(model.state.vesicles.id, rooms.ravel()[voxel_of(model, positions(model))], strict=True))
    for _ in range(steps):
        model.step()
    place, edge = positions(model), SIZE[model.state.domain.dim] * EDGE
    assert len(place) == VESICLES
    outside = ((place[:, : model.state.domain.dim] < 0) | (place[:, : model.state.domain.dim] > edge)).any()
    assert not outside
    ended = rooms.ravel()[voxel_of(model, place)]
    return int(sum(began[name] != room for name, room in zip(model.state.vesicles.id, ended, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("transport", [VOXEL, MEMBRANE], ids=["hops", "steps"])
def test_no_wall_leaks(dim: int, transport: dict) -> None:
    wall = random_wall(dim)
    rooms, number = ndimage.label(~wall)
    assert number > 300
    model = maze(dim, transport, wall)
    steps = int(np.ceil(2e7 / steps_taken(model, transport)))
    assert leaks(model, rooms, steps) == 0
    if transport is MEMBRANE:
        # What bricks hide from its center is no part of a cell.
        center = np.full((VESICLES, 3), SIZE[dim] * EDGE / 2)
        way = positions(model) - center
        way[:, dim:] = 0
        inside = np.linalg.norm(way, axis=1) < 7.5 - 1e-3
        assert inside.any()
        assert not model.state.domain.sees(center[inside], way[inside]).any()


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("transport", [VOXEL, MEMBRANE], ids=["hops", "steps"])
def test_a_missing_brick_is_seen(dim: int, transport: dict) -> None:
    """One voxel of a wall between two rooms is open."""
    wall = random_wall(dim)
    rooms, _ = ndimage.label(~wall)
    low, high = (np.roll(rooms, shift, axis=-1) for shift in (1, -1))
    parts = wall & (low > 0) & (high > 0) & (low != high)
    largest = np.bincount(rooms.ravel())[1:].argmax() + 1
    brick = np.argwhere(parts & ((low == largest) | (high == largest)))
    inner = brick[((brick > 0) & (brick < SIZE[dim] - 1)).all(axis=1)][0]
    broken = wall.copy()
    broken[tuple(inner)] = False
    assert leaks(maze(dim, transport, broken), rooms, 3) > 0
