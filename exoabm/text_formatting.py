"""How numbers, counts and names of a scenario are written in messages, tables and figures; round numbers."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

MINUS = "\N{MINUS SIGN}"

_PARTS = {"mvb": "MVB", "holds": "", "follows": "migration"}
"""Words of parts of a key that have others than those in it."""


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
        return scientific(value, figures)
    return f"{value:,.0f}" if size >= 10 ** (figures - 1) else f"{value:,.{figures}g}"


def scientific(value: float, figures: int = 3) -> str:
    """Significant figures times a power of ten."""
    digits, exponent = f"{value:.{figures - 1}e}".split("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    power = f"10{superscript(int(exponent))}"
    return power if digits == "1" else f"{digits}×{power}"


def power_of_ten(exponent: int) -> str:
    """A power of ten on a logarithmic scale."""
    return number(10.0**exponent) if -3 <= exponent <= 4 else f"10{superscript(exponent)}"


def superscript(exponent: int) -> str:
    """An exponent in raised digits."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


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


def percent(share: float) -> str:
    """A share as a percentage of two figures."""
    return f"{number(float(f'{100 * share:.2g}'))} %"


def two_decimals(hours: float) -> str:
    """A model time with two decimals; halves are rounded up, as by the clock of the page."""
    return str(Decimal(hours).quantize(Decimal("0.01"), ROUND_HALF_UP))


def round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``value``, which is above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return power * max(m for m in (1, 2, 5) if m * power <= value * (1 + 1e-9))


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it should be."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def capitalized(words: str) -> str:
    """Words with a capital letter at their start."""
    return words[:1].upper() + words[1:]


def shorten(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


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
