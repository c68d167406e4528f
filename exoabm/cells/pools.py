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
    solution is a sum of two exponentials; the integral of m is ln(y)/b.

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
    root = np.sqrt(a * a + 4.0 * b * source)
    root = np.where(root > 0, root, 1e-300)
    # y = y0 (cosh + (2 b m - a)/root sinh) exp(a dt / 2), with halves of root in place of the exponentials.
    half = 0.5 * root * dt
    fade = np.exp(-2.0 * half)
    even, odd = 0.5 * (1.0 + fade), 0.5 * (-np.expm1(-2.0 * half))
    tilt = (2.0 * b * start - a) / root
    y = even + tilt * odd
    slope = 0.5 * root * (odd + tilt * even)
    end = (slope / y + 0.5 * a) / b
    integral = (np.log(y) + half + 0.5 * a * dt) / b
    if grows.all():
        return end, integral
    plain, area = relax(start, source, loss, dt)
    return np.where(grows, end, plain), np.where(grows, integral, area)
