"""Walking vesicles against closed forms.

Seeds are fixed. Tolerances are quoted in standard errors where they are statistical; at 3.5 of them
one fresh seed in 2000 would fail a check.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import erfc
from swarms import WATER, Swarm, flatness, medium, sphere, uniform

from exoabm.kernels.medium import (
    CAPTURED,
    CLEARED,
    ESCAPED,
    FIXED,
    FREE,
    NO_FLUX,
    PERIODIC,
)

ONE, TWO = pytest.approx(1, rel=0.01), pytest.approx(1, rel=0.02)


# ---- the draws ------------------------------------------------------------------------------


@pytest.mark.parametrize(("counts", "dim"), [((40, 40, 40), 3), ((40, 40, 1), 2)])
@pytest.mark.parametrize("many", [False, True])
def test_mean_square_displacement(counts: Any, dim: int, many: bool) -> None:
    """2 d D t to 1 %: 6 standard errors of 2e5 vesicles in a slab, 8 in a volume."""
    matters = np.full(int(np.prod(counts)), many)
    space = medium(counts, matters=matters, shortest=1.5)
    start = np.full((200_000, 3), 200.0)
    swarm = Swarm(start, WATER).go(20.0, space, steps=2 if many else 1)
    moved = swarm.place - start
    time = 40.0 if many else 20.0
    assert (moved**2).sum(axis=1).mean() / (2 * dim * WATER * time) == ONE
    assert 1.05 * (moved**2).sum(axis=1).mean() / (2 * dim * WATER * time) != ONE
    scale = np.sqrt(2 * WATER * time)
    assert np.abs(moved.mean(axis=0)).max() < 4 * scale / np.sqrt(len(moved))
    assert np.mean((moved[:, 0] / scale) ** 4) == pytest.approx(3, abs=0.1)
    assert np.abs(np.corrcoef(moved[:, :dim].T) - np.eye(dim)).max() < 4 / np.sqrt(len(moved))
    assert dim == 3 or not moved[:, 2].any()


# ---- the medium -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [NO_FLUX, PERIODIC])
def test_uniform_stays_uniform_in_a_box(side: int) -> None:
    """Chi-square of 20 bins within 3 of its standard errors, and no one leaves."""
    for matters in (False, True):
        space = medium((5, 4, 3), sides=(side,) * 6, matters=np.full(60, matters), shortest=3.0)
        swarm = Swarm(uniform(200_000, [50, 40, 30]), WATER).go(30.0, space, steps=2)
        assert not swarm.fate.any()
        assert (swarm.place >= 0).all()
        assert (swarm.place < [50, 40, 30]).all()
        for axis, length in enumerate((50, 40, 30)):
            assert flatness(swarm.place, axis, length, 20) < 1 + 3 * np.sqrt(2 / 19)


def test_faces_reflect_and_wrap() -> None:
    """From near a face: the image of the free Gaussian, its mean depth to 4 standard errors."""
    space = medium((20, 20, 20))
    start = np.tile([0.5, 100.0, 199.5], (100_000, 1))
    swarm = Swarm(start, WATER).go(1.0, space)
    free = Swarm(start, WATER).go(1.0, medium((60, 60, 60), low=(-200.0, -200.0, -200.0)))
    assert np.allclose(swarm.x, np.abs(free.x), atol=1e-4)
    assert np.allclose(swarm.z, 200 - np.abs(200 - free.z), atol=1e-4)
    around = Swarm(start, WATER).go(1.0, medium((20, 20, 20), sides=(PERIODIC,) * 6))
    assert np.allclose(around.place, free.place % 200, atol=1e-3)


@pytest.mark.parametrize("dim", [2, 3])
def test_uniform_stays_uniform_over_jumps_of_hindrance(dim: int) -> None:
    """Each half holds half, to 3.5 standard errors; with D taken at the start only it does not."""
    counts = (8, 4, 4 if dim == 3 else 1)
    slow = np.ones(counts[::-1], np.float32)
    slow[..., 3:6] = 0.1
    space = medium(counts, sides=(PERIODIC,) * 6, hindrance=slow, shortest=2.5)
    n = 50_000
    swarm = Swarm(uniform(n, [80, 40, 40]), WATER).go(60.0, space, steps=3)
    inside = np.mean((swarm.x > 30) & (swarm.x < 60))
    assert abs(inside - 3 / 8) < 3.5 * np.sqrt(3 / 8 * 5 / 8 / n)
    assert flatness(swarm.place, 0, 80, 16) < 1 + 3 * np.sqrt(2 / 15)


def test_hindrance_slows() -> None:
    swarm = Swarm(np.full((100_000, 3), 200.0), WATER).go(20.0, medium((40, 40, 40), hindrance=0.05))
    assert ((swarm.place - 200) ** 2).sum(axis=1).mean() / (6 * 0.05 * WATER * 20) == ONE


@pytest.mark.parametrize("shape", ["wall", "stairs"])
def test_nothing_passes_a_wall(shape: str) -> None:
    """1.2e7 sub-steps beside walls one voxel thick, also such as are joined at corners only."""
    n = 12
    wall = np.zeros((n, n), bool)
    if shape == "wall":
        wall[:, 6] = True
    else:
        wall[np.arange(n), np.arange(n)] = True
    space = medium((n, n, 1), voxel=2.0, obstacle=wall[None], shortest=1.5)
    place = uniform(100_000, 2.0 * n)
    row, column = (place[:, :2].T // 2).astype(int)[::-1]
    place = place[(column < row) if shape == "stairs" else (column < 6)]
    swarm = Swarm(place, WATER)
    swarm.go(20.5, space, steps=2)
    row, column = (swarm.place[:, :2].T // 2).astype(int)[::-1]
    side = (column < row) if shape == "stairs" else (column < 6)
    assert side.all()
    long = space._replace(shortest=30.0)
    assert ((Swarm(place, WATER).go(100.0, long, steps=5).x < 12) | (shape == "stairs")).all()


def test_uniform_stays_uniform_beside_obstacles() -> None:
    blocks = np.random.default_rng(3).random((8, 8, 8)) < 0.2
    space = medium((8, 8, 8), obstacle=blocks, shortest=2.0, sides=(PERIODIC,) * 6)
    place = uniform(200_000, 80)
    x, y, z = (place // 10).astype(int).T
    swarm = Swarm(place[~blocks[z, y, x]], WATER).go(20.0, space)
    x, y, z = (swarm.place // 10).astype(int).T
    count = np.bincount(x + 8 * (y + 8 * z), minlength=512)
    assert count[blocks.ravel()].sum() == 0
    free = count[~blocks.ravel()]
    chi = ((free - free.mean()) ** 2).sum() / free.mean() / len(free)
    assert chi < 1 + 3.5 * np.sqrt(2 / len(free))


def test_decay_is_exact() -> None:
    space = medium((5, 5, 5), decay=0.01)
    swarm = Swarm(uniform(200_000, 50), WATER)
    swarm.start[100_000:] = 30.0
    swarm.go(100.0, space)
    for part, span in ((slice(0, 100_000), 100.0), (slice(100_000, None), 70.0)):
        gone = swarm.fate[part] == CLEARED
        expected = 1 - np.exp(-0.01 * span)
        assert abs(gone.mean() - expected) < 3.5 * np.sqrt(expected * (1 - expected) / 1e5)
        life = swarm.when[part][gone] - swarm.start[part][gone]
        mean = 100 - span * (1 - expected) / expected
        assert life.mean() == pytest.approx(mean, rel=0.01)


@pytest.mark.parametrize("shortest", [1.5, 5.0])
@pytest.mark.parametrize("steps", [1, 30])
def test_escape_does_not_depend_on_the_step(shortest: float, steps: int) -> None:
    """From a depth of 20 um: erfc(d / sqrt(4 D t)), to 3.5 standard errors of 5e4."""
    space = medium((40, 4, 4), sides=(FIXED, *(NO_FLUX,) * 5), shortest=shortest)
    start = np.tile([20.0, 20.0, 20.0], (50_000, 1))
    swarm = Swarm(start, WATER).go(60.0 / steps, space, steps=steps)
    expected = erfc(20 / np.sqrt(4 * WATER * 60))
    error = np.sqrt(expected * (1 - expected) / len(start))
    assert abs(swarm.share(ESCAPED) - expected) < 3.5 * error
    assert swarm.share(ESCAPED) + swarm.share(FREE) == 1
    assert (swarm.target == -1).all()
    assert (swarm.x[swarm.fate == FREE] >= 0).all()


# ---- the same bits --------------------------------------------------------------------------


def test_bits_depend_on_no_one_else() -> None:
    """Not on threads, on the order of rows or on who else is there; on seed, step and name they do."""
    wall = np.zeros((8, 8, 8), bool)
    wall[4, 4, 2:6] = True
    space = medium((8, 8, 8), obstacle=wall, decay=1e-3, sides=(FIXED, *(NO_FLUX,) * 5), shortest=1.0)
    cells = sphere(space, (25, 25, 25), 7.5, 600.0)
    place = uniform(20_000, 80)
    place = place[np.linalg.norm(place - 25, axis=1) > 7.5]

    def result(**how: Any) -> np.ndarray:
        s = Swarm(place, WATER).go(20.0, space, cells, **how)
        return np.stack([s.x, s.y, s.z, s.fate, s.when, s.target])

    one = result()
    assert set(one[3]) == {FREE, CAPTURED, CLEARED, ESCAPED}
    assert np.array_equal(one, result(threads=2))
    assert np.array_equal(one, result(threads=5))
    some = np.random.default_rng(2).permutation(len(place))[:777]
    few = result(rows=some)
    assert np.array_equal(one[:, some], few[:, some])
    rest = np.setdiff1d(np.arange(len(place)), some)
    assert np.array_equal(few[:3, rest].T, place[rest].astype(np.float32))
    assert not np.array_equal(one, result(seed=2))
