"""Small drawings as SVG text: tags, scales, numbers for people, colors that follow the page's theme.

A drawing is made for one of two *looks*: ``PAGE`` takes its colors from the page's CSS variables, so that it
turns dark with the page, and ``PRINT`` carries them in itself, so that a saved file stands alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot import palette

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Theme:
    """Colors of what is not data."""

    ink: str
    muted: str
    rule: str
    paper: str
    accent: str
    follows: bool = False
    """Whether colors are the page's, and turn with it."""

    @property
    def on_accent(self) -> str:
        """Of letters on the accent."""
        return f"var(--brand-ink, {palette.PAPER})" if self.follows else palette.PAPER

    def hue(self, color: str) -> str:
        """A color of the palette; on the page a brighter one in the dark."""
        return f"var(--hue-{color[1:].lower()}, {color})" if self.follows else color


PRINT = Theme(palette.INK, palette.MUTED, palette.RULE, palette.PAPER, "#0B5D8A")
PAGE = Theme(
    ink=f"var(--ink, {PRINT.ink})",
    muted=f"var(--soft, {PRINT.muted})",
    rule=f"var(--line, {PRINT.rule})",
    paper=f"var(--paper, {PRINT.paper})",
    accent=f"var(--brand, {PRINT.accent})",
    follows=True,
)
"""The names are those of ``style.css``."""


def tag(name: str, *inside: str, text: str = "", title: str = "", **attributes: Any) -> str:
    """An element; attributes (with ``-`` for ``_``), ``text`` and ``title`` are escaped."""
    words = "".join(f' {key.strip("_").replace("_", "-")}="{_value(v)}"' for key, v in attributes.items())
    content = (f"<title>{escape(title)}</title>" if title else "") + "".join(inside) + escape(text)
    return f"<{name}{words}>{content}</{name}>" if content else f"<{name}{words}/>"


def drawing(width: float, height: float, parts: Iterable[str], *, title: str, words: str, look: Theme) -> str:
    """A whole drawing with a title and a description for those who cannot see it."""
    return tag(
        "svg",
        tag("title", text=title),
        tag("desc", text=words),
        *([tag("rect", width=width, height=height, fill=look.paper)] if look is PRINT else []),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_label=f"{title}. {words}",
        font_family="inherit" if look.follows else FONT,
        font_size=13,
    )


def label(x: float, y: float, words: str, look: Theme, **attributes: Any) -> str:
    """A text, ink on nothing unless told."""
    return tag("text", text=words, x=x, y=y, **({"fill": look.ink} | attributes))


def line(points: Sequence[tuple[float, float]] | np.ndarray, **attributes: Any) -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", points=path, **({"fill": "none", "stroke_linejoin": "round"} | attributes))


def mark(role: palette.Role, x: float, y: float, diameter: float, **attributes: Any) -> str:
    """The shape of a role with the area of a disc of this diameter, centered at (x, y)."""
    if role is palette.Role.TAKES_UP:
        return tag("circle", cx=x, cy=y, r=diameter / 2, **attributes)
    corners = role.polygon() * (diameter, -diameter) + (x, y)
    return tag("polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), **attributes)


def number(value: float) -> str:
    """Three digits that count, or all before the point; powers of ten where that would be long."""
    size = abs(value)
    if not math.isfinite(size):
        return "–"
    if size == 0:
        return "0"
    if not 1e-3 <= size < 1e7:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}×{power(int(exponent))}"
    return f"{value:,.0f}" if size >= 100 else f"{value:.3g}"


def power(exponent: int) -> str:
    """A power of ten, for a logarithmic scale."""
    if -3 <= exponent <= 4:
        return number(10.0**exponent)
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that divide a range, at most ``most`` + 1 of them."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first
    return [round((first + i) * step, 12) + 0.0 for i in range(count + 1)]


def _value(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
