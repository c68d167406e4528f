"""Capture of walking vesicles at membranes against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfc
from scipy.special import erfcx as exact_erfcx
from swarms import TISSUE, WATER, Swarm, directions, medium, sphere, uniform

from exoabm.kernels.medium import (
    CAPTURED,
    ESCAPED,
    FIXED,
    NO_FLUX,
    PERIODIC,
)
from exoabm.kernels.membranes import build_membranes, capture_probability, erfcx

ONE, TWO = pytest.approx(1, rel=0.01), pytest.approx(1, rel=0.02)


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
