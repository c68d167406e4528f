"""Where scales begin, end and carry a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


DECADES = 4
"""Orders of magnitude of concentration, and of uptake, that shades tell apart."""


def round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``value``."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(m for m in (1, 2, 5) if m * power <= value * (1 + 1e-9)))


def log_range(values: np.ndarray, decades: float = DECADES) -> tuple[float, float]:
    """Lowest and highest positive value, at least a factor of 2 and at most ``decades`` apart."""
    positive = values[values > 0]
    if not len(positive):
        return 0.5, 1.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 10**decades)
    return min(low, high / 2), high


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range, with their multiples where there would be fewer than three."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for multiples in ((1,), (1, 3), (1, 2, 5), (1, 1.5, *range(2, 10))):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in multiples]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            break
    return inside
