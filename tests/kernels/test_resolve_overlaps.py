"""Vesicles that a cell covers come out at its membrane; a box of unequal lengths that does not begin at 0."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exoabm.kernels.medium import NO_FLUX, PERIODIC, Medium, grid_of
from exoabm.kernels.membranes import _turned_goal, build_membranes, resolve_overlaps

LOW, VOXEL = np.array([30.0, -20.0, 7.0]), 10.0
WRAPS = (NO_FLUX, NO_FLUX, PERIODIC, PERIODIC, NO_FLUX, NO_FLUX)
CENTER = np.array([[60.0, -19.0, 40.0], [74.0, 5.0, 22.0], [82.0, 5.0, 22.0], [31.0, 24.0, 35.0]])
"""One on the seam along y, two that overlap, and one that the face at x = 30 cuts."""
RADIUS = np.array([7.0, 6.0, 4.0, 5.0])


def pushed(place: np.ndarray, *, flat: bool = False) -> np.ndarray:
    """Where single vesicles come out, (n, 3)."""
    counts = np.array([9, 7, 1 if flat else 5])
    dim = 2 if flat else 3
    none = np.empty(0, np.uint8)
    far = np.full(int(counts.prod()), 64 * VOXEL, np.float32)
    space = dim, LOW, VOXEL, counts, np.array(WRAPS)
    medium = Medium(*space, np.ones(1, np.float32), none, 0.0, far, 1.0)
    cells = build_membranes(*space, CENTER, RADIUS, np.ones(4), VOXEL, none)
    x, y, z = place.T.astype(np.float32).copy()
    resolve_overlaps(np.arange(len(place)), x, y, z, medium, cells)
    return np.stack([x, y, z], axis=1).astype(float)


def apart(place: np.ndarray, dim: int = 3) -> np.ndarray:
    """Distances to the four membranes, (n, 4), around the seam."""
    way = place[:, None] - CENTER
    way[..., 1] -= 70 * np.round(way[..., 1] / 70)
    return np.sqrt((way[..., :dim] ** 2).sum(axis=2)) - RADIUS


@pytest.mark.parametrize("flat", [False, True])
def test_straight_out_where_nothing_is_in_the_way(flat: bool) -> None:
    """Along the line from the center, also across the seam; in a slab the height is kept."""
    dim = 2 if flat else 3
    way = np.random.default_rng(1).normal(size=(50, 3))
    way[:, dim:] = 0
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    start = CENTER[0] + 3.0 * way
    start[:, 2] += 2.0 if flat else 0.0
    end = CENTER[0] + 7.0 * way
    end[:, 2] = start[:, 2] if flat else end[:, 2]
    wrap = np.where(start[:, 1] < -20, 70.0, 0.0)
    assert 5 < np.count_nonzero(wrap) < 45
    found = pushed(start + np.array([0.0, 1.0, 0.0]) * wrap[:, None], flat=flat)
    end[:, 1] = -20 + (end[:, 1] + 20) % 70
    np.testing.assert_allclose(found, end, atol=1e-4)


@pytest.mark.parametrize("flat", [False, True])
def test_they_end_outside_all_cells_and_inside_the_box(flat: bool) -> None:
    """Nowhere else than on a membrane, at most a diameter away; those outside cells stay."""
    dim = 2 if flat else 3
    counts = np.array([9, 7, 5])
    place = LOW + np.random.default_rng(2).random((20_000, 3)) * counts * VOXEL
    place = place.astype(np.float32).astype(float)
    before, found = apart(place, dim), pushed(place, flat=flat)
    free = (before >= 0).all(axis=1)
    assert (found[free] == place[free]).all()
    assert np.count_nonzero(~free) > 50
    after = apart(found[~free], dim)
    np.testing.assert_allclose(after.min(axis=1), 0, atol=2e-4)
    high = LOW + counts * VOXEL
    assert ((found >= LOW) & (found < high)).all()
    moved = found[~free] - place[~free]
    moved[:, 1] -= 70 * np.round(moved[:, 1] / 70)
    assert np.linalg.norm(moved, axis=1).max() < 14
    if flat:
        assert (found[:, 2] == place[:, 2]).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_turns_go_through_the_planes_of_the_axes_by_15_degrees(dim: int) -> None:
    """Straight on, then to both sides in every plane by 15, by 30, ... degrees; the distance is kept."""
    counts, none = np.array([9, 7, 5 if dim == 3 else 1]), np.empty(0, np.uint8)
    room = np.ones(1, np.float32)
    grid = grid_of(Medium(dim, LOW, VOXEL, counts, np.array(WRAPS), room, none, 0.0, room, 1.0))
    place, old, goal = np.array([50.0, 10.0, 30.0]), np.array([1.0, 2.2, 3.7]), np.zeros(3)
    about = [2] if dim == 2 else [0, 1, 2]  # axes that stay as they are

    def turned(turn: int) -> np.ndarray:
        _turned_goal(grid, turn, place, old, 1.5, goal)
        if dim == 2:
            assert goal[2] == place[2]
            goal[2] = place[2] + 0.5 * old[2]
        return (goal - place + old) / 1.5

    np.testing.assert_allclose(turned(0), old)
    for step in range(1, 13):
        found = set()
        for turn in range(2 * len(about)):
            new = turned(1 + 2 * len(about) * (step - 1) + turn)
            (axis,) = [c for c in about if new[c] == pytest.approx(old[c])]
            a, b = (axis + 1) % 3, (axis + 2) % 3
            angle = math.atan2(old[a] * new[b] - old[b] * new[a], old[a] * new[a] + old[b] * new[b])
            assert new @ new == pytest.approx(old @ old)
            found.add((axis, round(math.degrees(angle)) % 360))
        assert found == {(c, sign * 15 * step % 360) for c in about for sign in (1, -1)}
