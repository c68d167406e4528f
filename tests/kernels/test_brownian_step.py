"""One step of a walk, by hand: where it ends, and what is met on the way out; axes are unlike in all."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from exoabm.kernels import brownian_offlattice
from exoabm.kernels.medium import (
    CAPTURED,
    ESCAPED,
    FIXED,
    FREE,
    NO_FLUX,
    Medium,
    Outcomes,
    Particles,
    grid_of,
)
from exoabm.kernels.membranes import build_membranes
from exoabm.kernels.random import StepKey

LOW, VOXEL, COUNTS = np.array([-30.0, 12.0, 5.0]), 10.0, np.array([9, 7, 5])
SIZE = COUNTS * VOXEL
NONE = np.empty(0, np.uint8)


@njit
def advance(grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace):
    return brownian_offlattice._bounded_step(
        grid, hindrance, obstacle, place, noise, voxel, room, spread, goal, way, pace
    )


def step(
    place: np.ndarray,
    noise: np.ndarray,
    spread: float,
    room: float,
    sides=(NO_FLUX,) * 6,
    hindrance=None,
    obstacle=None,
) -> tuple[bool, np.ndarray]:
    """Whether a step leaves the box, and where it ends."""
    wall = NONE if obstacle is None else obstacle.ravel().astype(np.uint8)
    slow = np.ones(1, np.float32) if hindrance is None else hindrance.ravel().astype(np.float32)
    far = np.full(int(COUNTS.prod()), 64 * VOXEL, np.float32)
    grid = grid_of(Medium(3, LOW, VOXEL, COUNTS, np.array(sides), slow, wall, 0.0, far, 1.0))
    a, b, c = ((place - LOW) // VOXEL).astype(int)
    goal, way, pace = np.zeros(3), np.empty((5, 3), np.int64), np.zeros((3, 3))
    voxel = a + COUNTS[0] * (b + COUNTS[1] * c)
    leaves, _ = advance(grid, slow, wall, place, noise, voxel, room, spread, goal, way, pace)
    return leaves, goal


@pytest.mark.parametrize("side", range(6))
@pytest.mark.parametrize("open_", range(6))
def test_a_step_leaves_through_the_open_face_and_turns_back_at_others(side: int, open_: int) -> None:
    axis, up = divmod(side, 2)
    sides, place, noise = [NO_FLUX] * 6, LOW + SIZE / 2 + 1.0, np.array([0.1, -0.2, 0.3])
    sides[open_] = FIXED
    place[axis] = LOW[axis] + (SIZE[axis] - 2.0 if up else 2.0)
    noise[axis] = 2.5 if up else -2.5
    leaves, goal = step(place, noise, 2.0, 50.0, tuple(sides))
    assert leaves == (side == open_)
    elsewhere = np.zeros(tuple(COUNTS[::-1]), bool)
    elsewhere.swapaxes(0, 2 - axis)[0 if up else -1] = True
    again, same = step(place, noise, 2.0, 0.0, tuple(sides), obstacle=elsewhere)
    assert (again, *same) == (leaves, *goal)
    expected = place + 2.0 * noise
    if not leaves:
        edge = LOW[axis] + (SIZE[axis] if up else 0.0)
        expected[axis] = 2 * edge - expected[axis]
        np.testing.assert_allclose(goal, expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_each_axis_of_a_step_has_the_hindrance_at_its_own_end(axis: int, spread: float) -> None:
    """D is that of the point displaced along this axis alone: the step to a voxel of 1/4 is half as long.

    A change counts up to six spreads away, also where these are longer than 6 um.
    """
    hindrance = np.ones(tuple(COUNTS[::-1]))
    place, noise = LOW + SIZE / 2, np.full(3, 0.2)
    place[axis] += 5.0 - 0.9 * spread
    a, b, c = ((place - LOW) // VOXEL).astype(int) + np.eye(3, dtype=int)[axis]
    hindrance[c, b, a] = 0.25
    noise[axis] = 3.0
    _, goal = step(place, noise, spread, 4.0 * spread, hindrance=hindrance)
    expected = place + spread * noise
    expected[axis] = place[axis] + 0.5 * spread * 3.0
    np.testing.assert_allclose(goal, expected, atol=1e-5)


@pytest.mark.parametrize(("reactivity", "some"), [(0.0, False), (50.0, True)])
def test_who_leaves_beside_a_cell_is_captured_on_the_way_by_its_reactivity_alone(
    reactivity: float, some: bool
) -> None:
    n, center = 400, np.array([[LOW[0] + 4.0, 45.0, 30.0]])
    sides = np.array([FIXED, *(NO_FLUX,) * 5])
    way = np.random.default_rng(3).normal(size=(n, 3))
    way *= 3.05 / np.linalg.norm(way, axis=1, keepdims=True)
    x, y, z = (center + way).astype(np.float32).T.copy()
    space = 3, LOW, VOXEL, COUNTS, sides
    room = np.zeros(int(COUNTS.prod()), np.float32)
    medium = Medium(*space, np.ones(1, np.float32), NONE, 0.0, room, 0.5)
    cells = build_membranes(*space, center, np.array([3.0]), np.array([reactivity]), 20.0, NONE)
    fates = Outcomes.of(n)
    free, start = np.full(n, 6.0, np.float32), np.zeros(n, np.float32)
    particles, key = Particles(np.arange(n), np.arange(n), x, y, z, free, start), StepKey(1, 0, 9, 10)
    brownian_offlattice.walk_off_lattice(particles, 30.0, key, medium, cells, fates)
    assert np.count_nonzero(fates.code == ESCAPED) > 20
    assert (np.count_nonzero(fates.code == CAPTURED) > 50) == some
    assert np.isin(fates.code, [FREE, ESCAPED, CAPTURED]).all()
