"""Scales of color and length, their ticks, and text that the font of figures has."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from exoabm.text_formatting import number, scientific

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axis import Axis

DECADES = 4
"""Orders of magnitude of concentration, and of uptake, that shades distinguish."""


def log_range(values: np.ndarray, decades: float = DECADES) -> tuple[float, float]:
    """Lowest and highest positive value, at least a factor of 2 and at most ``decades`` apart."""
    positive = values[values > 0]
    if not len(positive):
        return 0.5, 1.0
    high = float(positive.max())
    low = max(float(positive.min()), high / 10**decades)
    return min(low, high / 2), high


def linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Map of [low, high] to [start, end]: y = start + (x - low) / (high - low) (end - start)."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Map of [low, high] to [start, end]: y = start + ln(x / low) / ln(high / low) (end - start)."""
    return lambda value: start + math.log(value / low) / math.log(high / low) * (end - start)


def span(values: Sequence[float]) -> tuple[float, float]:
    """A range around values, never empty, that does not cross 0 where the values do not."""
    low, high = min(values), max(values)
    if low == high == 0:
        return 0.0, 1.0
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return (low - room if low < 0 or low > room else 0.0), (high + room if high > 0 or -high > room else 0.0)


def log_span(values: Sequence[float]) -> tuple[float, float]:
    """A range around positive values, wider by a share of itself."""
    room = 1.1 * (max(values) / min(values)) ** 0.05
    return min(values) / room, max(values) * room


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range, at most ``most`` + 1 of them."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first
    return [round((first + i) * step, 12) + 0.0 for i in range(count + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range, with their multiples where there would be fewer than three."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for multiples in ((1,), (1, 3), (1, 2, 5), (1, 1.5, *range(2, 10))):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in multiples]
        inside = [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            break
    return inside


FEW = 1e-6
"""Expected vesicles; fewer are not worth a number."""


def plain(text: str) -> str:
    """Text on one line, with a box for each letter that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in glyphs else "□" for c in " ".join(text.split()))


def label_ticks(*axes: Axis, scale: float = 1.0) -> None:
    """Write the ticks of axes, divided by ``scale``, with enough figures to distinguish them."""

    def text(axis: Axis, value: float, _: int | None) -> str:
        return tick_text(value / scale, np.array(axis.get_majorticklocs()) / scale)

    for axis in axes:
        axis.set_major_formatter(partial(text, axis))


def tick_text(value: float, ticks: Sequence[float] | np.ndarray) -> str:
    """The text of one of several ticks: three figures, or two beyond that of the distance to the next."""
    gaps = np.abs(np.asarray(ticks, float) - value)
    gap = float(gaps[gaps > 0].min(initial=np.inf))
    if not math.isfinite(gap):
        return number(value)
    if abs(value) < 1e-6 * gap:
        return "0"
    return number(value, max(3, math.floor(math.log10(abs(value))) - math.floor(math.log10(gap)) + 2))


def tick_names(ticks: Sequence[float]) -> list[str]:
    """Labels of a logarithmic scale, all of one sort."""
    name = scientific if max(ticks) >= 1e6 or min(ticks) < 1e-3 else number
    return [name(t) for t in ticks]
