"""Ways around a box whose three lengths differ: every axis has a period of its own.

A box of one length for all axes would not tell which of them is used.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from exoabm.domain import Domain, Face
from exoabm.kernels import sphere_mechanics
from exoabm.kernels.line_of_sight import BLOCKED, OPEN
from exoabm.kernels.medium import Medium, clearance
from exoabm.kernels.membranes import build_membranes, membrane_distances
from exoabm.scenario import layouts

SIZE = np.array([90.0, 70.0, 50.0])
VOXEL = 10.0
ALL = Face.PERIODIC, Face.PERIODIC
NONE = Face.NO_FLUX, Face.NO_FLUX


def box(wraps: tuple[bool, ...], obstacle: np.ndarray | None = None) -> Domain:
    faces = tuple(face for wrap in wraps for face in (ALL if wrap else NONE))
    return Domain((5, 7, 9), VOXEL, VOXEL, origin=(5.0, -3.0, 2.0), faces=faces, obstacle=obstacle)


def points(n: int, seed: int) -> np.ndarray:
    return np.array([5.0, -3.0, 2.0]) + np.random.default_rng(seed).random((n, 3)) * SIZE


def shortest(start: np.ndarray, end: np.ndarray, wraps: tuple[bool, ...]) -> np.ndarray:
    """The shortest of the ways to all images, (n, 3)."""
    turns = list(product(*[(-1, 0, 1) if wrap else (0,) for wrap in wraps]))
    ways = np.stack([end - start + np.array(turn) * SIZE for turn in turns])
    best = np.argmin((ways**2).sum(axis=2), axis=0)
    return ways[best, np.arange(len(start))]


AXES = [(True, True, True), (True, False, False), (False, True, False), (False, False, True), (False,) * 3]


@pytest.mark.parametrize("wraps", AXES)
def test_every_way_around_is_the_shortest_of_all_images(wraps: tuple[bool, ...]) -> None:
    domain, a, b = box(wraps), points(400, 1), points(400, 2)
    way = shortest(a, b, wraps)
    np.testing.assert_allclose(domain.displacement(a, b), way, atol=1e-9)
    np.testing.assert_array_equal(domain.period, np.where(wraps, SIZE, 0))
    beyond = b + np.random.default_rng(3).integers(-2, 3, b.shape) * np.where(wraps, SIZE, 0)
    np.testing.assert_allclose(domain.wrap(beyond), b, atol=1e-9)
    space = 3, domain.low, domain.extent, domain.period > 0, VOXEL, domain.counts, np.empty(0, bool)
    bodies, found = sphere_mechanics.neighbor_grid(*space, a, np.full(len(a), 7.5), 0), np.zeros(3)
    for i in range(100):
        assert sphere_mechanics.displacement(bodies, a[i], b[i], found) == pytest.approx((way[i] ** 2).sum())
        np.testing.assert_allclose(found, way[i], atol=1e-9)
    assert domain.sees(a, way).all() or not all(wraps)


@pytest.mark.parametrize("wraps", AXES)
def test_membranes_and_bodies_meet_around_each_seam(wraps: tuple[bool, ...]) -> None:
    """Distances from 12 membranes; the push between two bodies; overlaps of a layout."""
    domain, cells, place = box(wraps), points(12, 4), points(500, 5)
    sides = np.array(domain.faces, np.int64)
    nothing = np.zeros(domain.n_voxels, bool)
    room = clearance(domain.counts, VOXEL, sides, nothing)
    one, none = np.ones(1, np.float32), np.empty(0, np.uint8)
    medium = Medium(3, domain.low, VOXEL, domain.counts, sides, one, none, 0.0, room, 0.75)
    radius = np.full(12, 7.5)
    table = build_membranes(3, domain.low, VOXEL, domain.counts, sides, cells, radius, radius, 100.0)
    expected = np.array(
        [np.linalg.norm(shortest(cells, np.tile(p, (12, 1)), wraps), axis=1).min() for p in place]
    )
    found = membrane_distances(place.astype(np.float32).astype(float), medium, table)
    np.testing.assert_allclose(found, expected - 7.5, atol=1e-4)
    for axis in range(3):
        pair = np.tile(domain.low + SIZE / 2, (2, 1))
        pair[:, axis] = domain.low[axis] + [4.0, SIZE[axis] - 4.0]
        space = 3, domain.low, domain.extent, domain.period > 0, VOXEL, domain.counts, np.empty(0, bool)
        shift = np.zeros((2, 3))
        pushed = sphere_mechanics.overlap_displacements(
            sphere_mechanics.neighbor_grid(*space, pair, radius[:2], 0), pair, radius[:2], 0.1, 1.0, shift
        )
        assert pushed == (2 if wraps[axis] else 0)
        if wraps[axis]:
            np.testing.assert_allclose(shift[:, axis], [0.35, -0.35])
        assert layouts.overlaps(pair, radius[:2], domain.period).cells == (2 if wraps[axis] else 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_line_goes_around_a_seam_and_is_stopped_behind_it(axis: int) -> None:
    wall = np.zeros((5, 7, 9), bool)
    wall.swapaxes(0, 2 - axis)[-1] = True  # the last layer along the axis
    start, way = np.array([5.0, -3.0, 2.0]) + SIZE / 2, np.zeros(3)
    start[axis] = box(AXES[0]).low[axis] + 12.0
    way[axis] = -25.0
    for domain, met in ((box(AXES[0]), OPEN), (box(AXES[0], wall), BLOCKED)):
        assert domain.sees(start[None], way[None])[0] == (met == OPEN)
    way[axis] = -11.0
    assert box(AXES[0], wall).sees(start[None], way[None])[0]


@pytest.mark.parametrize("wraps", AXES)
def test_bodies_are_folded_back_around_seams_and_mirrored_where_their_surface_meets_walls(
    wraps: tuple[bool, ...],
) -> None:
    """Each axis by its own length and low corner; at walls a radius of 7.5 um inside."""
    domain, inside = box(wraps), points(50, 6)
    plain = Domain((2, 3), 1.0, 1.0)
    assert not plain.low.any()
    assert not plain.opens_to_reservoir
    inside = np.clip(inside, domain.low + 7.5, domain.low + SIZE - 7.5)
    space = 3, domain.low, domain.extent, domain.period > 0, VOXEL, domain.counts, np.empty(0, bool)
    bodies = sphere_mechanics.neighbor_grid(*space, inside, np.full(50, 7.5), 0)
    for axis in range(3):
        for i in range(50):
            for turns in (-1, 1):
                far = inside[i].copy()
                if wraps[axis]:
                    far[axis] += turns * SIZE[axis]
                else:
                    wall = domain.low[axis] + (7.5 if turns < 0 else SIZE[axis] - 7.5)
                    far[axis] = 2 * wall - far[axis]
                sphere_mechanics.fold_into_box(bodies, far, inside[i], 7.5)
                np.testing.assert_allclose(far, inside[i], atol=1e-9)
