"""Drawings as SVG text: elements, paths, and colors that follow the page.

A drawing has one of two themes: ``PAGE`` takes its colors from the CSS variables of the page, light or dark;
``PRINT`` contains them, for saved files.
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

WIDTH = 560.0
"""Of a drawing."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Theme:
    """Colors of everything but data."""

    ink: str
    muted: str
    rule: str
    paper: str
    accent: str
    follows: bool = False
    """Whether colors are CSS variables of the page."""

    @property
    def on_accent(self) -> str:
        """Color of text on the accent."""
        return f"var(--brand-ink, {palette.PAPER})" if self.follows else palette.PAPER

    def hue(self, color: str) -> str:
        """A color of the palette; on the dark page a brighter one."""
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
    """A drawing with a title and a description for screen readers."""
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
    """A text, in ink unless ``fill`` is given."""
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


def frame(width: float, height: float, look: Theme) -> str:
    """The border of a drawing."""
    return tag("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=6, fill="none", stroke=look.rule)


def grid(rows: Iterable[tuple[float, str]], left: float, right: float, look: Theme) -> list[str]:
    """Lines from ``left`` to ``right`` at heights y, each with its number at the left."""
    parts = []
    for y, words in rows:
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, stroke=look.rule))
        parts.append(label(left - 8, y + 4, words, look, text_anchor="end", fill=look.muted))
    return parts


def message(title: str, words: str, look: Theme, width: float = WIDTH, height: float = 200.0) -> str:
    """A drawing that consists of a sentence."""
    box = frame(width, height, look)
    text = label(width / 2, height / 2, words, look, text_anchor="middle", fill=look.muted)
    return drawing(width, height, [box, text], title=title, words=words, look=look)


def arrow(start: np.ndarray, end: np.ndarray, **attributes: Any) -> str:
    """A curved line with a head; the lines of both directions differ."""
    (x0, y0), (x1, y1) = map(tuple, (start, end))
    dx, dy = x1 - x0, y1 - y0
    cx, cy = (x0 + x1) / 2 + 0.12 * dy, (y0 + y1) / 2 - 0.12 * dx
    ex, ey = x1 - cx, y1 - cy
    far = math.hypot(ex, ey) or 1.0
    ex, ey = ex / far, ey / far
    tip, wing = 5.0, 2.2
    bx, by = x1 - tip * ex, y1 - tip * ey
    wings = [(bx - wing * ey, by + wing * ex), (x1, y1), (bx + wing * ey, by - wing * ex)]
    head = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in wings)
    return tag(
        "path", d=f"M{x0:.1f} {y0:.1f}Q{cx:.1f} {cy:.1f} {x1:.1f} {y1:.1f}{head}", fill="none", **attributes
    )


def polar(center: tuple[float, float], radius: float, angle: float) -> tuple[float, float]:
    """The point at a radius and an angle from a center."""
    return center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)


def _arc(center: tuple[float, float], radius: float, start: float, end: float, sweep: int = 1) -> str:
    x, y = polar(center, radius, end)
    return f"A{radius:.1f} {radius:.1f} 0 {int(abs(end - start) > math.pi)} {sweep} {x:.2f} {y:.2f}"


def ring(center: tuple[float, float], inner: float, outer: float, start: float, end: float) -> str:
    """Path of a sector of a ring between two angles."""
    end = min(end, start + 2 * math.pi - 1e-3)
    x0, y0 = polar(center, outer, start)
    x1, y1 = polar(center, inner, end)
    there, back = _arc(center, outer, start, end), _arc(center, inner, end, start, 0)
    return f"M{x0:.2f} {y0:.2f}{there}L{x1:.2f} {y1:.2f}{back}Z"


def ribbon(
    center: tuple[float, float],
    near: float,
    far: float,
    source: tuple[float, float],
    target: tuple[float, float],
) -> str:
    """Path of a ribbon between two arcs of a circle."""
    x0, y0 = polar(center, near, source[0])
    x1, y1 = polar(center, far, target[0])
    cx, cy = center
    return (
        f"M{x0:.2f} {y0:.2f}{_arc(center, near, *source)}Q{cx:.1f} {cy:.1f} {x1:.2f} {y1:.2f}"
        f"{_arc(center, far, *target)}Q{cx:.1f} {cy:.1f} {x0:.2f} {y0:.2f}Z"
    )


def _value(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
