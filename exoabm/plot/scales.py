"""Scales of color and length, and the format of numbers and words in figures."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axis import Axis

MINUS = "\N{MINUS SIGN}"

_PARTS = {"mvb": "MVB", "holds": "", "follows": "migration"}
"""Words of parts of a key that have others than those in it."""
DECADES = 4
"""Orders of magnitude of concentration, and of uptake, that shades distinguish."""


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


def linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Map of [low, high] to [start, end]: y = start + (x - low) / (high - low) (end - start)."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Map of [low, high] to [start, end]: y = start + ln(x / low) / ln(high / low) (end - start)."""
    return lambda value: start + math.log(value / low) / math.log(high / low) * (end - start)


def span(values: Sequence[float]) -> tuple[float, float]:
    """A range around values, never empty, that does not cross 0 where the values do not."""
    low, high = min(values), max(values)
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


def capitalized(words: str) -> str:
    """Words with a capital letter at their start."""
    return words[:1].upper() + words[1:]


def shorten(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it should be."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def number(value: float, figures: int = 3) -> str:
    """Significant figures, or all digits before the point; powers of ten from 10^7 on and below 10^-3.

    A dash where the value is not finite.
    """
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e7:
        return _scientific(value, figures)
    return f"{value:,.0f}" if size >= 10 ** (figures - 1) else f"{value:,.{figures}g}"


def spaced(name: str) -> str:
    """A name of a scenario in words, such as ``drainage half-life``."""
    return name.replace("half_life", "half-life").replace("_", " ")


def words_of_key(key: str) -> tuple[str, str]:
    """``("waste release rate", "a")`` for ``cell_type.a.waste.release_rate``: the words, and of which entry.

    All parts are in one of the two, so that keys of one table differ in their words.
    """
    *head, name = key.split(".")
    owner, parts = "", head[1:]
    if head[:1] == ["layout"]:
        owner, parts = " ".join(parts), []
    elif parts:
        owner, *parts = parts
    if name == "number" and parts[:1] == ["receptor"]:
        return f"number of {spaced(parts[-1])} receptors", owner
    words = [_PARTS.get(part, spaced(part)) for part in (*parts, name)]
    return " ".join(word for word in words if word), owner


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


def three_figures(value: float) -> str:
    """Three significant figures with their zeros; powers of ten from 10^5 on and below 10^-3."""
    if not math.isfinite(value):
        return "∞"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    else:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa}×10{superscript(int(exponent))}"
    return text.replace("-", MINUS)


def signed(value: float) -> str:
    """``number`` with a minus sign, and infinity."""
    return number(value).replace("-", MINUS) if math.isfinite(value) else "∞"


def _scientific(value: float, figures: int = 3) -> str:
    digits, exponent = f"{value:.{figures - 1}e}".split("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    power = f"10{superscript(int(exponent))}"
    return power if digits == "1" else f"{digits}×{power}"


def tick_names(ticks: Sequence[float]) -> list[str]:
    """Labels of a logarithmic scale, all of one sort."""
    name = _scientific if max(ticks) >= 1e6 or min(ticks) < 1e-3 else number
    return [name(t) for t in ticks]


def superscript(exponent: int) -> str:
    """An exponent in raised digits."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def power_of_ten(exponent: int) -> str:
    """A power of ten on a logarithmic scale."""
    return number(10.0**exponent) if -3 <= exponent <= 4 else f"10{superscript(exponent)}"


def percent(share: float) -> str:
    """A share as a percentage of two figures."""
    return f"{number(float(f'{100 * share:.2g}'))} %"
