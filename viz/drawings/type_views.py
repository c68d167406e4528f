"""Communication between cell types: the table of donors and recipients, and the chord diagram.

Views of ``communication_views``; both show the sums over all cells of a type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.text_formatting import number, shorten
from exoabm.viz.drawings.svg import PAGE, WIDTH, drawing, label, mark, message, polar, ribbon, ring, tag
from exoabm.viz.results.communication_data import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.plot.palette import Style
    from exoabm.viz.drawings.svg import Theme
    from exoabm.viz.results.communication_data import CommunicationData

GAP = 0.06
"""Angle between two arcs."""
LETTER = 7.2
"""Width of a letter, at most."""
MOST_LETTERS = 16
"""Of a name in the table by type; longer ones are shortened."""


def heatmap(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Table by type: rows are donors, columns recipients."""
    senders, receivers, values = links.matrix(count)
    title = "Donor and recipient types"
    if not values.size:
        return message(title, "No cell type sends and takes up vesicles here.", look)
    longest = min(MOST_LETTERS, max(map(len, (*senders, *receivers))))
    left, top, right = max(120.0, 30 + LETTER * longest), max(96.0, 40 + 4 * longest), 70.0
    wide = min(120.0, (WIDTH - left - right) / len(receivers))
    tall = min(46.0, max(24.0, 300 / len(senders)))
    highest = float(values.max()) or 1.0
    parts = [
        label(
            left + wide * len(receivers) / 2, 16, "recipients →", look, text_anchor="middle", fill=look.muted
        ),
        label(8, top + 4, "donors ↓", look, fill=look.muted),
    ]
    tilted = max(map(len, receivers)) * LETTER > wide
    for j, name in enumerate(named(receivers)):
        x = left + (j + 0.5) * wide
        parts.append(_swatch(links, receivers[j], x, top - 12, look))
        parts.append(_name(name, x, top - 26, tilted, look))
    for i, name in enumerate(named(senders)):
        y = top + (i + 0.5) * tall
        parts += [_swatch(links, senders[i], left - 14, y, look)]
        parts.append(label(left - 26, y + 4, shorten(name, MOST_LETTERS), look, text_anchor="end"))
        for j, receiver in enumerate(receivers):
            words = f"{senders[i]} → {receiver}: {links.amount(float(values[i, j]), count)}"
            box = (left + j * wide, top + i * tall, wide, tall)
            parts += _field(box, float(values[i, j]), highest, words, look)
        total = number(float(values[i].sum()))
        parts.append(label(left + wide * len(receivers) + 10, y + 4, f"Σ {total}", look, fill=look.muted))
    height = top + tall * len(senders) + 10
    return drawing(WIDTH, height, parts, title=title, words=heatmap_words(links, count), look=look)


def _field(
    box: tuple[float, float, float, float], value: float, highest: float, words: str, look: Theme
) -> Iterator[str]:
    """A field of the table, ``box`` = (x, y, width, height), of a stronger color for larger values."""
    x, y, width, height = box
    depth = 0.06 + 0.86 * math.sqrt(value / highest)
    shape: dict[str, Any] = {"x": x + 1, "y": y + 1, "width": width - 2, "height": height - 2, "rx": 4}
    yield tag("rect", **shape, fill=look.accent, fill_opacity=depth, title=words)
    yield label(
        x + width / 2,
        y + height / 2 + 4,
        number(value),
        look,
        text_anchor="middle",
        fill=look.on_accent if depth > 0.78 else look.ink,
        class_="exo-fine",
        font_size=12 if width > 52 else 9.5,
        pointer_events="none",
    )


def heatmap_words(links: CommunicationData, count: str) -> str:
    """Description of the table, with its strongest pair."""
    return f"Rows are donors, columns recipients. {chord_words(links, count)}"


def chord_words(links: CommunicationData, count: str) -> str:
    """The strongest pair of types, in a sentence."""
    senders, receivers, values = links.matrix(count)
    if not values.size or not values.any():
        return f"None yet: {links.words(count)}."
    i, j = np.unravel_index(int(np.argmax(values)), values.shape)
    share = float(values[i, j] / values.sum())
    return (
        f"Most goes from {named(senders)[i]} to {named(receivers)[j]}: "
        f"{links.amount(float(values[i, j]), count)}, {100 * share:.0f} % of all."
    )


def type_numbers(links: CommunicationData, count: str) -> list[dict[str, Any]]:
    """A row per pair of types."""
    senders, receivers, values = links.matrix(count)
    return [
        {"donor_type": a, "recipient_type": b, count: float(values[i, j])}
        for i, a in enumerate(senders)
        for j, b in enumerate(receivers)
    ]


def chord(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Types around a circle: the arc of a type is its sum of sent and received, ribbons join the types.

    A ribbon has its donor's color, is as wide at both ends as the count, and ends before the recipient's arc.
    """
    senders, receivers, values = links.matrix(count)
    title = "Flow between types"
    total = float(values.sum())
    if not total:
        return message(title, chord_words(links, count), look)
    names = list(dict.fromkeys([*senders, *receivers]))
    flows = [
        (names.index(a), names.index(b), float(values[i, j]))
        for i, a in enumerate(senders)
        for j, b in enumerate(receivers)
        if values[i, j] > 1e-4 * total
    ]
    flows.sort(key=lambda flow: -flow[2])
    arcs, ends = _arcs(flows)
    height, outer, inner = 400.0, 142.0, 128.0
    center = (WIDTH / 2, height / 2)
    parts = []
    for (a, b, v), (start, end) in zip(flows, ends, strict=True):
        words = f"{names[a]} → {names[b]}: {links.amount(v, count)} ({100 * v / total:.1f} %)"
        color = look.hue(links.style(names[a]).color)
        path = ribbon(center, inner - 2, inner - 12, start, end)
        parts.append(
            tag("path", d=path, fill=color, fill_opacity=0.5, stroke=color, stroke_width=0.5, title=words)
        )
    for i, (first, last, size) in sorted(arcs.items()):
        style = links.style(names[i])
        words = f"{names[i]}: sent and received {number(size)}"
        path = ring(center, inner, outer, first, last)
        parts.append(tag("path", d=path, fill=look.hue(style.color), title=words))
        parts += _arc_name(center, outer + 16, (first + last) / 2, style, named([names[i]])[0], look)
    return drawing(WIDTH, height, parts, title=title, words=chord_words(links, count), look=look)


Angles = tuple[float, float]


def _arcs(
    flows: list[tuple[int, int, float]],
) -> tuple[dict[int, tuple[float, float, float]], list[tuple[Angles, Angles]]]:
    """Start, end and size of the arc of each type, and both ends of the ribbon of each flow."""
    size: dict[int, float] = {}
    for a, b, v in flows:
        size[a] = size.get(a, 0.0) + v
        size[b] = size.get(b, 0.0) + v
    scale = (2 * math.pi - GAP * len(size)) / sum(size.values())
    arcs, used, turn = {}, {}, -math.pi / 2
    for i in sorted(size):
        arcs[i], used[i] = (turn, turn + scale * size[i], size[i]), turn
        turn += scale * size[i] + GAP
    ends = []
    for a, b, v in flows:
        pair = []
        for i in (a, b):
            pair.append((used[i], used[i] + scale * v))
            used[i] += scale * v
        ends.append((pair[0], pair[1]))
    return arcs, ends


def _arc_name(
    center: tuple[float, float], radius: float, angle: float, style: Style, name: str, look: Theme
) -> Iterator[str]:
    x, y = polar(center, radius, angle)
    side = "start" if math.cos(angle) > 0.2 else "end" if math.cos(angle) < -0.2 else "middle"
    yield mark(style.role, x, y, 9, fill=look.hue(style.color))
    offset = {"start": 10.0, "end": -10.0, "middle": 0.0}[side]
    lift = 4.0 if side != "middle" else (18.0 if math.sin(angle) > 0 else -10.0)
    yield label(x + offset, y + lift, shorten(name, 16), look, text_anchor=side)


def _swatch(links: CommunicationData, name: str, x: float, y: float, look: Theme) -> str:
    style = links.style(name)
    return mark(style.role, x, y, 11, fill=look.hue(style.color))


def _name(name: str, x: float, y: float, tilted: bool, look: Theme) -> str:
    if not tilted:
        return label(x, y, name, look, text_anchor="middle")
    place = f"translate({x - 4:.1f} {y:.1f}) rotate(-32)"
    return label(0, 0, shorten(name, MOST_LETTERS), look, transform=place, class_="exo-fine", font_size=12)
