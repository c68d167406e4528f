"""Pools in closed form, against an integrator that knows nothing of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from exoabm.cells.cargo_pools import first_order, logistic


def solve(source: float, growth: float, capacity: float, loss: float, start: float, dt: float) -> np.ndarray:
    def slope(_: float, y: np.ndarray) -> list[float]:
        return [source + growth * y[0] * (1 - y[0] / capacity) - loss * y[0], y[0]]

    return solve_ivp(slope, (0, dt), [start, 0.0], rtol=1e-11, atol=1e-12, method="LSODA").y[:, -1]


def draw(rng: np.random.Generator) -> tuple[float, ...]:
    """Source, growth, capacity, loss, start and step, zeros and coincidences among them."""
    growth, capacity = rng.choice([0.0, rng.exponential(0.5)]), 10 ** rng.uniform(-1, 4)
    loss = rng.choice([0.0, growth, rng.exponential(0.5)])
    start = rng.choice([0.0, capacity, rng.exponential(capacity)])
    return (
        *(rng.choice([0.0, rng.exponential(5)]), growth, capacity),
        *(loss, start, 10 ** rng.uniform(-3, 1.5)),
    )


def test_a_step_is_the_solution_of_the_equation() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        source, growth, capacity, loss, start, dt = case = draw(rng)
        end, integral = logistic(np.array([start]), source, growth, capacity, loss, dt)
        assert [end[0], integral[0]] == pytest.approx(list(solve(*case)), rel=1e-7, abs=1e-7), case


def test_it_sees_5_percent() -> None:
    end, integral = logistic(np.array([3.0]), 0.1, 0.5, 100.0, 0.1, 4.0)
    assert [end[0], integral[0]] == pytest.approx(list(solve(0.1, 0.5, 100, 0.1, 3, 4)), rel=1e-9)
    for wrong in (solve(0.1, 0.525, 100, 0.1, 3, 4), solve(0.1, 0.5, 95, 0.1, 3, 4)):
        assert end[0] != pytest.approx(wrong[0], rel=1e-3)


def test_cells_with_rates_of_their_own_are_as_cells_alone() -> None:
    rng = np.random.default_rng(2)
    cases = np.array([draw(rng) for _ in range(40)])
    source, growth, _, loss, start, _ = cases.T
    end, integral = logistic(start, source, growth, 50.0, loss, 2.0)
    for i in range(40):
        one = logistic(start[i : i + 1], source[i], growth[i], 50.0, loss[i], 2.0)
        assert (end[i], integral[i]) == pytest.approx((one[0][0], one[1][0]), rel=1e-12)
    ends, _ = first_order(start, source, loss, 2.0)
    for i in range(40):
        assert ends[i] == pytest.approx(
            first_order(start[i : i + 1], source[i], loss[i], 2.0)[0][0], rel=1e-12
        )


def test_two_half_steps_are_a_step() -> None:
    start = np.array([0.0, 1e-6, 1.0, 99.0, 500.0])
    once, area = logistic(start, 0.2, 0.4, 100.0, 0.3, 20.0)
    half, first = logistic(start, 0.2, 0.4, 100.0, 0.3, 10.0)
    twice, second = logistic(half, 0.2, 0.4, 100.0, 0.3, 10.0)
    assert twice == pytest.approx(once, rel=1e-12)
    assert first + second == pytest.approx(area, rel=1e-12)


@pytest.mark.parametrize("capacity", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("start", [0.0, 1.0, 100.0])
def test_a_large_capacity_takes_no_digits(capacity: float, start: float) -> None:
    """The logistic law itself, at 0.04 /h over a minute: m0 (e^rt - 1)/r, and nothing comes of nothing."""
    r, dt = 0.04 / 3600, 60.0
    end, integral = logistic(np.array([start]), 0.0, r, capacity, 0.0, dt)
    grown = start * np.expm1(r * dt)
    assert end[0] == pytest.approx((start + grown) / (1 + grown / capacity), rel=1e-13)
    assert integral[0] == pytest.approx(np.log1p(grown / capacity) * (capacity / r), rel=1e-11)


@pytest.mark.parametrize("loss", [0.0, 0.02 / 3600, 0.04 / 3600, 1 / 3600])
def test_nor_beside_a_source_and_losses(loss: float) -> None:
    """Without the term that limits growth, which is 1e-10 of it here: linear, solved by ``first_order``."""
    r, source, dt, start = 0.04 / 3600, 0.01, 60.0, np.array([0.0, 7.0])
    end, integral = logistic(start, source, r, 1e12, loss, dt)
    linear, area = first_order(start, source, loss - r, dt)
    assert end == pytest.approx(linear, rel=1e-9)
    assert integral == pytest.approx(area, rel=1e-9)


@pytest.mark.parametrize("growth", [20.0, 2000.0])
def test_long_steps_overflow_nothing(growth: float) -> None:
    """The integral is K t + K/r ln((1 - e^-rt) m0/K + e^-rt)."""
    start = np.array([0.0, 1.0, 50.0, 1e5])
    end, integral = logistic(start, 0.0, growth, 100.0, 0.0, 1.0)
    assert end == pytest.approx([0, 100, 100, 100], rel=1e-6)
    rest = start[1:] / 100 * -math.expm1(-growth) + math.exp(-growth)
    assert integral[0] == 0
    assert integral[1:] == pytest.approx(100 + 100 / growth * np.log(rest), rel=1e-12)
