"""Walking vesicles against closed forms.

Seeds are fixed. Tolerances are quoted in standard errors where they are statistical; at 3.5 of them
one fresh seed in 2000 would fail a check.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import erfc
from scipy.special import erfcx as exact_erfcx

from exoabm.kernels.brownian_offlattice import walk_off_lattice
from exoabm.kernels.medium import (
    CAPTURED,
    CLEARED,
    ESCAPED,
    FIXED,
    FREE,
    NO_FLUX,
    PERIODIC,
    Medium,
    Outcomes,
    Particles,
    clearance,
)
from exoabm.kernels.membranes import Membranes, build_membranes, capture_probability, erfcx
from exoabm.kernels.random import StepKey

WATER, TISSUE = 6.57, 0.33
ONE, TWO = pytest.approx(1, rel=0.01), pytest.approx(1, rel=0.02)


def medium(
    counts: tuple[int, int, int],
    voxel: float = 10.0,
    *,
    low: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sides: tuple[int, ...] = (NO_FLUX,) * 6,
    hindrance: Any = 1.0,
    obstacle: np.ndarray | None = None,
    decay: float = 0.0,
    matters: np.ndarray | None = None,
    shortest: float = 5.0,
) -> Medium:
    count, face = np.array(counts, np.int64), np.array(sides, np.int64)
    slow = np.atleast_1d(np.asarray(hindrance, np.float32)).ravel()
    wall = np.zeros(0, np.uint8) if obstacle is None else obstacle.astype(np.uint8).ravel()
    special = np.zeros(int(count.prod()), bool) if matters is None else matters.ravel()
    if obstacle is not None:
        special = special | obstacle.ravel()
    room = clearance(count, voxel, face, special, slow)
    return Medium(
        2 if counts[2] == 1 else 3,
        np.array(low),
        voxel,
        count,
        face,
        slow,
        wall,
        decay,
        room,
        shortest,
    )


def no_cells(space: Medium) -> Membranes:
    none = np.zeros(0)
    shape = space.dim, space.low, space.voxel, space.counts, space.sides
    return build_membranes(*shape, np.zeros((0, 3)), none, none, 20.0)


class Swarm:
    """Vesicles that begin at given places."""

    def __init__(self, place: np.ndarray, diffusivity: float, first: int = 0) -> None:
        n = len(place)
        self.name = np.arange(first, first + n)
        self.x, self.y, self.z = np.array(place.T, np.float32)
        self.diffusivity = np.full(n, diffusivity, np.float32)
        self.start = np.zeros(n, np.float32)
        self.fate = np.zeros(n, np.int8)
        self.when = np.zeros(n, np.float32)
        self.target = np.full(n, -1, np.int32)
        self.rows = np.arange(n)
        self.step = 0

    def go(
        self,
        dt: float,
        space: Medium,
        cells: Any = None,
        *,
        steps: int = 1,
        seed: int = 1,
        threads: int = 1,
        rows: np.ndarray | None = None,
    ) -> Swarm:
        """Take those still free through some steps."""
        chosen = self.rows if rows is None else rows
        for _ in range(steps):
            walk_off_lattice(
                Particles(
                    chosen[self.fate[chosen] == FREE], self.name, self.x, self.y, self.z,
                    self.diffusivity, self.start,
                ),
                dt, StepKey(seed, self.step, 9, 10), space, no_cells(space) if cells is None else cells,
                Outcomes(self.fate, self.when, self.target), threads=threads,
            )  # fmt: skip
            self.step += 1
        return self

    @property
    def place(self) -> np.ndarray:
        return np.stack([self.x, self.y, self.z], axis=1).astype(float)

    def share(self, fate: int) -> float:
        return float(np.mean(self.fate == fate))


def uniform(n: int, high: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, high, (n, 3))


def directions(n: int, dim: int, seed: int = 0) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=(n, 3))
    v[:, dim:] = 0
    return v / np.linalg.norm(v, axis=1)[:, None]


def flatness(place: np.ndarray, axis: int, length: float, bins: int) -> float:
    """Chi-square over its degrees of freedom, of positions along an axis."""
    count = np.histogram(place[:, axis], bins=bins, range=(0, length))[0]
    mean = len(place) / bins
    return float(((count - mean) ** 2).sum() / mean / (bins - 1))


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


# ---- membranes ------------------------------------------------------------------------------


def sphere(space: Medium, center: Any, radius: float, uptake: float, reach: float = 20.0) -> Membranes:
    reactivity = np.array([uptake / (4 * np.pi * radius**2)])
    return build_membranes(
        space.dim, space.low, space.voxel, space.counts, space.sides,
        np.array([center], float), np.array([radius]), reactivity, reach,
    )  # fmt: skip


def robin(r: float, radius: float, uptake: float, diffusivity: float, time: float) -> float:
    """Chance of capture by a partially absorbing sphere within a time (Carslaw & Jaeger 14.7)."""
    final = 1 / (1 + 4 * np.pi * diffusivity * radius / uptake) * radius / r
    k = (1 + uptake / (4 * np.pi * diffusivity * radius)) / radius
    d, s = r - radius, np.sqrt(4 * diffusivity * time)
    if np.isinf(k):
        return float(final * erfc(d / s))
    late = np.exp(-((d / s) ** 2)) * exact_erfcx(d / s + k * s / 2)
    return float(final * (erfc(d / s) - late))


def test_erfcx() -> None:
    z = np.concatenate([np.linspace(0, 5, 400), np.geomspace(5, 1e6, 100)])
    mine = np.array([erfcx(v) for v in z])
    assert np.abs(mine / exact_erfcx(z) - 1).max() < 2e-7


def test_contact_is_the_ratio_of_densities() -> None:
    """Against the absorbing and the reflecting limit, and flux by quadrature of the density."""
    for x0, x in ((0.3, 0.2), (0.0, 0.5), (1.0, 0.7)):
        assert capture_probability(x0, x, 1.0, 0.0, 0.1) == pytest.approx(0, abs=1e-6)
        plane = 2 / (1 + np.exp(2 * x0 * x))
        assert capture_probability(x0, x, 1.0, np.inf, 0.0) == pytest.approx(plane, rel=1e-6)
    for sink in (1e-9, 1e3, 1e8, np.inf):
        assert 0 <= capture_probability(0.0, 0.0, 1.0, sink, 0.1) <= 1
    x = np.linspace(0, 12, 200_001)
    x0, k = 0.4, 0.8
    folded = (np.exp(-((x - x0) ** 2) / 2) + np.exp(-((x + x0) ** 2) / 2)) / np.sqrt(2 * np.pi)
    chance = np.array([capture_probability(x0, v, 1.0, k, 0.0) for v in x])
    taken = np.trapezoid(folded * chance, x)
    exact = erfc(x0 / np.sqrt(2)) - np.exp(-(x0**2) / 2) * exact_erfcx((x0 + k) / np.sqrt(2))
    assert taken == pytest.approx(exact, rel=1e-5)


def from_afar(
    uptake: float, time: float, n: int, *, r: float = 50.0, radius: float = 10.0,
    diffusivity: float = WATER, shortest: float = 1.0, steps: int = 1, seed: int = 1, half: int = 30,
) -> float:  # fmt: skip
    voxel = 30.0
    space = medium((2 * half,) * 3, voxel, low=(-half * voxel,) * 3, shortest=shortest)
    cell = sphere(space, (3.0, -4.0, 1.0), radius, uptake)
    start = np.array([3.0, -4.0, 1.0]) + r * directions(n, 3, seed)
    swarm = Swarm(start, diffusivity).go(time / steps, space, cell, steps=steps, seed=seed)
    assert (swarm.target[swarm.fate == CAPTURED] == 0).all()
    return swarm.share(CAPTURED)


@pytest.mark.parametrize(("time", "expected"), [(600.0, 0.1305), (3600.0, 0.1708)])
def test_12_capture_by_an_absorbing_sphere(time: float, expected: float) -> None:
    """5 %: 3 standard errors of 2.5e4 vesicles."""
    assert robin(50, 10, np.inf, WATER, time) == pytest.approx(expected, abs=5e-5)
    assert from_afar(np.inf, time, 25_000) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("steps", [1, 40])
@pytest.mark.parametrize("shortest", [0.4, 0.75])
def test_13_autocrine_recapture_does_not_depend_on_steps(steps: int, shortest: float) -> None:
    """Of what leaves at the membrane, within 600 s in tissue; 3.5 standard errors of 3e4, 2.9 %."""
    a, n = 7.5, 30_000
    expected = robin(a, a, 14.2, TISSUE, 600)
    assert robin(a, a, 14.2, TISSUE, 1e9) == pytest.approx(0.3135, abs=5e-4)
    found = from_afar(
        14.2, 600.0, n, r=a, radius=a, diffusivity=TISSUE, shortest=shortest, steps=steps, half=8
    )
    assert abs(found - expected) < 3.5 * np.sqrt(expected * (1 - expected) / n) + 0.005 * expected


@pytest.mark.parametrize("wrong", [1.0, 1.05])
def test_10_rate_of_partial_absorbers_and_a_planted_bias(wrong: float) -> None:
    """Recapture in 600 s in tissue to 1.65 %; 5 % more reactivity, 3.4 % more of it, shows.

    1.2e5 vesicles: a standard error of 0.45 %, beside a bias of 0.4 % by the step.
    """
    a = 7.5
    found = from_afar(14.2 * wrong, 600.0, 120_000, r=a, radius=a, diffusivity=TISSUE, shortest=0.75, half=8)
    right = found / robin(a, a, 14.2, TISSUE, 600) == pytest.approx(1, rel=0.0165)
    assert right == (wrong == 1.0)


@pytest.mark.parametrize(("diffusivity", "rate"), [(WATER, 13.9), (TISSUE, 9.75)])
def test_10_collins_kimball(diffusivity: float, rate: float) -> None:
    """Captures from a uniform swarm by 8 cells, against the rate in time; 5 %, 2 standard errors.

    k(t) = k_eff (1 + x exp(b^2) erfc(b)), x = k_a / (4 pi D a), b = (1 + x) sqrt(D t) / a.
    """
    a, uptake, n, side = 7.5, 14.2, 80_000, 100.0
    x = uptake / (4 * np.pi * diffusivity * a)
    assert uptake / (1 + x) == pytest.approx(rate, rel=0.003)
    time = 150.0 if diffusivity == TISSUE else 40.0
    space = medium((10, 10, 10), shortest=1.0 if diffusivity == WATER else 0.75)
    center = np.stack(np.meshgrid(*[[25.0, 75.0]] * 3), axis=-1).reshape(-1, 3)
    cells = build_membranes(
        3, space.low, space.voxel, space.counts, space.sides, center, np.full(8, a),
        np.full(8, uptake / (4 * np.pi * a**2)), 20.0,
    )  # fmt: skip
    place = uniform(n, side)
    place = place[(np.linalg.norm(place[:, None] - center, axis=2) > a).all(axis=1)]
    swarm = Swarm(place, diffusivity).go(time, space, cells)
    t = (np.arange(2000) + 0.5) * time / 2000
    decline = 1 + x * exact_erfcx((1 + x) * np.sqrt(diffusivity * t) / a)
    per_volume = 1 / (side**3 - 8 * 4 / 3 * np.pi * a**3)
    expected = -np.expm1(-8 * per_volume * uptake / (1 + x) * decline.mean() * time)
    assert swarm.share(CAPTURED) == pytest.approx(expected, rel=0.05)
    assert np.unique(swarm.target).tolist() == [-1, *range(8)]


def test_9_berg_purcell() -> None:
    """A perfect absorber in a uniform swarm: to 3 %, 2.8 standard errors.

    4 pi D a c t (1 + 2 a / sqrt(pi D t))
    """
    a, time, n, side = 7.5, 20.0, 400_000, 100.0
    space = medium((10, 10, 10), low=(-50.0,) * 3, shortest=0.75)
    place = uniform(n, side) - 50
    place = place[np.linalg.norm(place, axis=1) > a]
    swarm = Swarm(place, WATER).go(time, space, sphere(space, (0, 0, 0), a, np.inf))
    expected = n / side**3 * 4 * np.pi * WATER * a * time * (1 + 2 * a / np.sqrt(np.pi * WATER * time))
    assert swarm.fate.sum() == pytest.approx(expected, rel=0.03)


def test_14_mean_first_passage_to_an_open_face() -> None:
    """Over 100 um in one dimension: 761 s, to 2 %, 2.4 standard errors of 1e4."""
    space = medium((10, 1, 1), sides=(FIXED, *(NO_FLUX,) * 5), shortest=2.0)
    swarm = Swarm(np.tile([99.99, 5.0, 5.0], (10_000, 1)), WATER).go(20_000.0, space)
    assert (swarm.fate == ESCAPED).all()
    assert swarm.when.mean() == pytest.approx(761, rel=0.02)


@pytest.mark.parametrize("uptake", [np.inf, 300.0])
def test_14_mean_first_passage_to_a_disc(uptake: float) -> None:
    """To one of a square array of discs from anywhere outside, to 2 %, 2.5 standard errors.

    L^2 (ln(1/f) - 1.476 + 2 f - f^2/2) / (4 pi D (1 - f)), f = pi a^2 / L^2 (Sangani & Acrivos 1982,
    whose flow along cylinders obeys the same equation), and the wait at the membrane, V / k_a.
    """
    a, side, height, n = 10.0, 100.0, 10.0, 15_000
    space = medium((10, 10, 1), sides=(PERIODIC,) * 6, shortest=1.0)
    place = uniform(2 * n, side)
    place[:, 2] = height / 2
    place = place[np.hypot(*(place[:, :2] - [3, 96] - side * np.rint((place[:, :2] - [3, 96]) / side)).T) > a]
    cell = sphere(space, (3, 96, 5), a, 1.0, 15.0)
    cell = cell._replace(reactivity=np.array([uptake / (2 * np.pi * a * height)]))
    swarm = Swarm(place[:n], WATER).go(20_000.0, space, cell)
    assert (swarm.fate == CAPTURED).all()
    f = np.pi * a**2 / side**2
    expected = side**2 * (-np.log(f) - 1.476 + 2 * f - f * f / 2) / (4 * np.pi * WATER * (1 - f))
    expected += (side**2 * (1 - f)) * height / uptake
    assert swarm.when.mean() == pytest.approx(expected, rel=0.02)
    assert (swarm.z == 5).all()


@pytest.mark.parametrize("shortest", [0.75, 2.25])
def test_uniform_stays_uniform_beside_a_sphere(shortest: float) -> None:
    """Shells beside a reflecting membrane, to 3.5 standard errors and the second order of sigma/a."""
    a, n = 7.5, 300_000
    space = medium((4, 4, 4), low=(-20.0,) * 3, shortest=shortest)
    place = uniform(n, 40) - 20
    place = place[np.linalg.norm(place, axis=1) > a]
    swarm = Swarm(place, WATER).go(5.0, space, sphere(space, (0, 0, 0), a, 0.0))
    edge = a * np.array([1, 1.1, 1.3, 1.8])
    r = np.linalg.norm(swarm.place, axis=1)
    volume = 4 / 3 * np.pi * np.diff(edge**3)
    expected = len(place) / (40**3 - 4 / 3 * np.pi * a**3) * volume
    found = np.histogram(r, edge)[0]
    assert r.min() > a * (1 - 1e-5)
    assert (np.abs(found - expected) < 3.5 * np.sqrt(expected) + 0.02 * expected).all()


def test_nothing_passes_a_wall_beside_a_cell() -> None:
    """A cell that cuts through a wall: whoever reflects off it stays on the own side."""
    wall = np.zeros((8, 8, 8), bool)
    wall[:, :, 4] = True
    space = medium((8, 8, 8), voxel=3.0, obstacle=wall, shortest=1.0)
    place = uniform(40_000, 24)
    place = place[(np.linalg.norm(place - [12, 12, 12], axis=1) > 5) & (place[:, 0] < 12)]
    swarm = Swarm(place, WATER).go(30.0, space, sphere(space, (12, 12, 12), 5.0, 30.0))
    assert (swarm.x < 12).all()
    assert 0.03 < swarm.share(CAPTURED) < 0.9


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
