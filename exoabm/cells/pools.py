"""What a pool inside a cell becomes over a step, in closed form."""

from __future__ import annotations

import numpy as np

Values = float | np.ndarray


def relax(start: np.ndarray, source: Values, rate: Values, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """End value and time integral of w' = source - rate w over ``dt`` seconds.

    Parameters
    ----------
    start : numpy.ndarray
        w at the start, shape (n,).
    source, rate : float or numpy.ndarray
        Per second; one for all, or shape (n,).
    """
    if np.ndim(rate) == 0 and rate == 0.0:
        return start + source * dt, start * dt + 0.5 * source * dt * dt
    if np.ndim(rate) and not np.all(rate):
        still = np.asarray(rate) == 0
        end, integral = relax(start, source, np.where(still, 1.0, rate), dt)
        straight, area = relax(start, source, 0.0, dt)
        return np.where(still, straight, end), np.where(still, area, integral)
    steady = source / rate
    end = steady + (start - steady) * np.exp(-rate * dt)
    return end, (start + source * dt - end) / rate


def replicate(
    start: np.ndarray, source: Values, growth: Values, capacity: float, loss: Values, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """End value and time integral of m' = source + growth m (1 - m / capacity) - loss m over ``dt`` seconds.

    With b = growth/capacity and a = growth - loss, m = y'/(b y) turns it into y'' = a y' + b source y, whose
    solution is a sum of two exponentials; the integral of m is ln(y)/b. What is computed is (y - 1)/b, which
    keeps its digits however large the capacity.

    Parameters
    ----------
    start : numpy.ndarray
        m at the start, shape (n,).
    source, growth, loss : float or numpy.ndarray
        Per second; one for all, or shape (n,).
    capacity : float
        m at which growth ends.
    """
    growth = np.broadcast_to(np.asarray(growth, np.float64), start.shape)
    grows = growth > 0
    if not grows.any():
        return relax(start, source, loss, dt)
    b = np.where(grows, growth, 1.0) / capacity
    a = growth - loss
    large = np.maximum(0.5 * (np.abs(a) + np.sqrt(a * a + 4.0 * b * source)), 1e-300)
    small = b * source / large
    # y = ((b m + down) e^(up t) + (up - b m) e^(-down t)) / (up + down); here all is times e^(-up dt).
    up, down = np.where(a >= 0, large, small), np.where(a >= 0, small, large)
    root, scale = up + down, np.maximum(np.exp(-up * dt), 1e-300)
    spread = -np.expm1(-root * dt) / root
    slope = start * (up + down * np.exp(-root * dt)) / root + source * spread
    rise = start * spread + source * dt * dt * _bend(up * dt, down * dt)
    end = slope / (scale + b * rise)
    steep = b * rise > scale
    integral = np.where(steep, up * dt + np.log(scale + b * rise), np.log1p(b * rise / scale)) / b
    if grows.all():
        return end, integral
    plain, area = relax(start, source, loss, dt)
    return np.where(grows, end, plain), np.where(grows, integral, area)


def _bend(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """((1 - e^-x)/x - e^-x (1 - e^-y)/y) / (x + y) for x, y >= 0; 1/2 where both are 0."""
    far = x + y > 1e-3
    p, q = np.where(far & (x > 0), x, 1.0), np.where(far & (y > 0), y, 1.0)
    first = np.where(x > 0, -np.expm1(-p) / p, 1.0)
    second = np.where(y > 0, -np.expm1(-q) / q, 1.0)
    series = 0.5 + (x - y) / 6 + (x * x - x * y + y * y) / 24 + (x - y) * (x * x + y * y) / 120
    return np.where(far, (first - np.exp(-x) * second) / np.where(far, x + y, 1.0), np.exp(-x) * series)
