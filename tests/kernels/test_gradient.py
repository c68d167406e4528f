"""What a cell senses of a gradient in the middle, at faces of every kind, along seams and beside walls."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from exoabm.kernels.field_operators import _solve, gradient
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC

COUNTS = (9, 7, 6)
SPACING = 2.5


def sensed(
    field: np.ndarray,
    voxel: list[tuple[int, ...]],
    *,
    sides: tuple[int, ...] = (NO_FLUX,) * 6,
    held: tuple[float, ...] = (0.0,) * 6,
    closed: np.ndarray | None = None,
    reach: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array(field.shape[::-1])
    wall = np.empty(0, np.uint8) if closed is None else closed.ravel().astype(np.uint8)
    slope, mean = np.empty((len(voxel), 3)), np.empty(len(voxel))
    labels = np.stack([0.25 * field, 0.75 * field])
    at = np.array(voxel)
    gradient(labels, at, counts, np.array(sides), np.array(held), wall, reach, SPACING, slope, mean)
    return slope, mean


def centers(counts: tuple[int, ...]) -> list[np.ndarray]:
    """Coordinates x, y, z of the voxels, (nz, ny, nx) each."""
    return list(np.meshgrid(*[(np.arange(n) + 0.5) * SPACING for n in counts[::-1]], indexing="ij")[::-1])


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("depth", [1, 6])
@pytest.mark.parametrize("low", [0.0, 3.0])
def test_a_straight_line_between_two_held_faces_is_seen_everywhere(
    low: float, depth: int, reach: int
) -> None:
    """u = low + g x to rounding, in the middle, at faces, edges and corners; low = 0 is an open face.

    With the mirror image that a closed face has, the slope beside the face is half of it or less.
    """
    counts = (*COUNTS[:2], depth)
    field = low + 0.8 * centers(counts)[0]
    sides = (FIXED, FIXED, *(NO_FLUX,) * 4)
    held = (low, low + 0.8 * COUNTS[0] * SPACING, 0, 0, 0, 0)
    voxel = list(product(range(COUNTS[0]), (0, 3, COUNTS[1] - 1), {0, depth - 1}))
    slope, mean = sensed(field, voxel, sides=sides, held=held, reach=reach)
    np.testing.assert_allclose(slope, np.tile([0.8, 0, 0], (len(voxel), 1)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mean, [low + 0.8 * SPACING * (x + 0.5) for x, _, _ in voxel], rtol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_has_its_own_faces(axis: int) -> None:
    """Two faces that are held, the field linear between them; all lengths differ."""
    sides, held = [NO_FLUX] * 6, [0.0] * 6
    sides[2 * axis] = sides[2 * axis + 1] = FIXED
    held[2 * axis + 1] = 2.0 * COUNTS[axis] * SPACING
    voxel = list(product(*[(0, n - 1) for n in COUNTS]))
    slope, _ = sensed(2.0 * centers(COUNTS)[axis], voxel, sides=tuple(sides), held=tuple(held))
    np.testing.assert_allclose(slope, np.tile(2.0 * np.eye(3)[axis], (len(voxel), 1)), atol=1e-9)


def test_open_faces_that_meet() -> None:
    """u = x y, which is 0 on both: at the corner's voxel g = (y, x) of its center."""
    x, y, _ = centers(COUNTS)
    slope, mean = sensed(x * y, [(0, 0, 3)], sides=(FIXED,) * 4 + (NO_FLUX,) * 2)
    np.testing.assert_allclose(slope[0], [SPACING / 2, SPACING / 2, 0], atol=1e-9)
    assert mean[0] == pytest.approx((SPACING / 2) ** 2)


@pytest.mark.parametrize(("side", "image"), [(NO_FLUX, "symmetric"), (PERIODIC, "wrap")])
def test_closed_faces_mirror_and_seams_go_on(side: int, image: str) -> None:
    """As in the middle of a larger field that is mirrored, or repeats itself."""
    field = np.random.default_rng(1).random(COUNTS[::-1])
    voxel = list(product(*[(0, n // 2, n - 1) for n in COUNTS]))
    found = sensed(field, voxel, sides=(side,) * 6, reach=2)
    wide = np.pad(field, 3, mode=image)  # type: ignore[call-overload]
    expected = sensed(wide, [tuple(v + 3 for v in at) for at in voxel], reach=2)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_beside_a_wall_the_slope_along_it_is_whole_and_nothing_behind_it_is_sensed() -> None:
    """A wall one voxel thick, beside the cell and one behind: a third of the window is wall or unseen."""
    x, y, _ = centers(COUNTS)
    closed = np.zeros(COUNTS[::-1], bool)
    closed[:, 3] = True
    field = np.where(y < 3 * SPACING, 5 + 0.8 * x, 1e6)
    for reach in (1, 2):
        slope, mean = sensed(field, [(4, 2, 3)], closed=closed, reach=reach)
        np.testing.assert_allclose(slope, [[0.8, 0, 0]], atol=1e-9)
        assert mean[0] == pytest.approx(5 + 0.8 * 4.5 * SPACING)
    channel = np.ones(COUNTS[::-1], bool)
    channel[3, 3] = False
    slope, _ = sensed(5 + 0.8 * x, [(4, 3, 3)], closed=channel)
    np.testing.assert_allclose(slope, [[0.8, 0, 0]], atol=1e-9)


def test_equations_are_solved_and_what_nothing_tells_is_0() -> None:
    """A plane's four unknowns, all tied to each other; where a direction was not seen it has no slope."""
    rows = np.random.default_rng(4).normal(size=(9, 4))
    normal, right = rows.T @ rows, np.array([1.0, -2.0, 3.0, 0.5])
    expected, found = np.linalg.solve(normal, right), right.copy()
    _solve(normal.copy(), found)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    rows[:, 2] = 0.0
    seen = [0, 1, 3]
    normal, found = rows.T @ rows, right.copy()
    expected = np.linalg.solve(normal[np.ix_(seen, seen)], right[seen])
    _solve(normal.copy(), found)
    np.testing.assert_allclose(found[seen], expected, rtol=1e-12)
    assert found[2] == 0
