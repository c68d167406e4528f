"""Numbers and names as a reader wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = 1e-6
"""Expected vesicles; fewer are not worth a number."""


def plain(text: str) -> str:
    """Text on one line, with a box for each letter that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in glyphs else "□" for c in " ".join(text.split()))


def shorten(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it should be."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def number(value: float) -> str:
    """Three digits that count, or all before the point; powers of ten beyond 10^7 and below 10^-3."""
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e7:
        return _scientific(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"


def _scientific(value: float) -> str:
    digits, exponent = f"{value:.2e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    power = f"10{superscript(int(exponent))}"
    return power if digits == "1" else f"{digits}×{power}"


def tick_names(ticks: Sequence[float]) -> list[str]:
    """Labels of a logarithmic scale, all of one sort."""
    name = _scientific if max(ticks) >= 1e6 or min(ticks) < 1e-3 else number
    return [name(t) for t in ticks]


def superscript(exponent: int) -> str:
    """An exponent in raised digits."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(share: float) -> str:
    """A share as a percentage of two figures."""
    return f"{number(float(f'{100 * share:.2g}'))} %"
