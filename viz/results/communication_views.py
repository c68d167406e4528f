"""Communication views: network over the tissue, table by type, chord diagram, strength by distance.

Each view is a pure function from ``CommunicationData`` to SVG. Its numbers are sums over rows of
``edges.parquet``; ``View.numbers`` returns them as a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.scales import linear, logarithmic, shorten, ticks
from exoabm.viz.results.communication_data import named
from exoabm.viz.results.svg import (
    PAGE,
    WIDTH,
    arrow,
    drawing,
    frame,
    label,
    line,
    mark,
    message,
    number,
    polar,
    power,
    ribbon,
    ring,
    tag,
)
from exoabm.viz.results.text_summary import ORIGINS, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.plot.palette import Style
    from exoabm.viz.results.communication_data import Cells, CommunicationData, Space
    from exoabm.viz.results.svg import Theme

LETTER = 7.2
"""Width of a letter, at most."""
MOST_ARROWS = 160
"""Largest number of arrows of the network; the strongest are drawn."""

MOST_CELLS = 3000
MOST_POINTS = 1200
DECADES = 6
"""Of strength by distance; links weaker than the strongest by more are not drawn."""


@dataclass(frozen=True)
class View:
    """A drawing of communication data as SVG, its description, and the rows behind it."""

    key: str
    name: str
    draw: Callable[[CommunicationData, str, Theme], str]
    numbers: Callable[[CommunicationData, str], list[dict[str, Any]]]
    words: Callable[[CommunicationData, str], str]


def network(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Cells at their positions, and arrows from donor to recipient, wider for larger counts."""
    cells = links.cells
    at, width, height = _placed(cells, links.space)
    parts = [frame(width, height, look)]
    start, end, value = links.between(count)
    top = float(value[0]) if len(value) else 1.0
    got, sent = np.zeros(len(cells)), np.zeros(len(cells))
    np.add.at(sent, start, value)
    rows = cells.rows_of(links.recipient)
    np.add.at(got, rows[rows >= 0], links.counts[count][rows >= 0])
    for i in reversed(range(min(len(value), MOST_ARROWS))):
        share = float(value[i]) / top
        parts.append(
            arrow(
                at[start[i]],
                at[end[i]],
                title=f"cell {cells.ids[start[i]]} → cell {cells.ids[end[i]]}: "
                f"{links.amount(float(value[i]), count)}",
                stroke=look.hue(cells.styles[cells.type[start[i]]].color),
                stroke_width=0.4 + 2.6 * math.sqrt(share),
                stroke_opacity=0.15 + 0.6 * share,
            )
        )
    parts += _marks(cells, at, width * height, got, sent if links.by_cell else None, look)
    words = network_words(links, count)
    return drawing(width, height, parts, title="Network over the tissue", words=words, look=look)


def tissue(cells: Cells, space: Space, got: np.ndarray, what: str = "vesicles", look: Theme = PAGE) -> str:
    """Cells at their positions, larger and of a stronger color for more uptake, ``got`` (n)."""
    at, width, height = _placed(cells, space)
    parts = [frame(width, height, look)]
    parts += _marks(cells, at, width * height, got, None, look)
    words = f"{told(f'{len(cells):,}', 'cells')} took up {told(number(float(got.sum())), what)}."
    return drawing(width, height, parts, title="Cells", words=words, look=look)


def network_words(links: CommunicationData, count: str) -> str:
    """Description of the network."""
    if not (links.by_cell and links.any_donor):
        why = f"This run {ORIGINS[links.resolution]}" if links.any_donor else f"No cell releases {links.what}"
        how = " With “record donors: by donor cell” (More controls) a run shows the donors." * links.any_donor
        return f"{why}, so no arrow joins two cells; larger cells of a stronger color received more.{how}"
    start, end, value = links.between(count)
    own = _own(links, count)
    left = f" {told(f'{own:,}', 'links of a cell to itself are left out')}." if own else ""
    if not len(value):
        return f"No {links.what} have gone from one cell to another yet.{left}"
    ids = links.cells.ids
    shown = min(len(value), MOST_ARROWS)
    drawn = f"the strongest {shown} of " if shown < len(value) else ""
    drawn += told(f"{len(value):,}", "links")
    return (
        f"Drawn: {drawn} between different cells. Strongest: cell {ids[start[0]]} to cell {ids[end[0]]}, "
        f"{links.amount(float(value[0]), count)}.{left}"
    )


def _own(links: CommunicationData, count: str) -> int:
    """Number of links of a cell to itself."""
    return int(np.sum((links.donor == links.recipient) & (links.counts[count] > 0)))


def network_numbers(links: CommunicationData, count: str) -> list[dict[str, Any]]:
    """A row per pair of cells, strongest first."""
    start, end, value = links.between(count)
    cells = links.cells
    return [
        {
            "donor": int(cells.ids[a]),
            "recipient": int(cells.ids[b]),
            "donor_type": cells.styles[cells.type[a]].name,
            "recipient_type": cells.styles[cells.type[b]].name,
            count: float(v),
        }
        for a, b, v in zip(start, end, value, strict=True)
    ]


def heatmap(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Table by type: rows are donors, columns recipients."""
    senders, receivers, values = links.matrix(count)
    title = "Donor and recipient types"
    if not values.size:
        return message(title, "No cell type sends and takes up vesicles here.", look)
    left, top, right = 120.0, 96.0, 70.0
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
        parts.append(label(left - 26, y + 4, shorten(name, 13), look, text_anchor="end"))
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
        return "Nothing has been received yet."
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
        return message(title, "Nothing has been received yet.", look)
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
    flows: list[tuple[int, int, float]], gap: float = 0.06
) -> tuple[dict[int, tuple[float, float, float]], list[tuple[Angles, Angles]]]:
    """Start, end and size of the arc of each type, and both ends of the ribbon of each flow."""
    size: dict[int, float] = {}
    for a, b, v in flows:
        size[a] = size.get(a, 0.0) + v
        size[b] = size.get(b, 0.0) + v
    scale = (2 * math.pi - gap * len(size)) / sum(size.values())
    arcs, used, turn = {}, {}, -math.pi / 2
    for i in sorted(size):
        arcs[i], used[i] = (turn, turn + scale * size[i], size[i]), turn
        turn += scale * size[i] + gap
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


def strength(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Count against distance: a point per edge, and the mean of groups of equal size as a line."""
    distance, value, to = links.distances(count)
    title = "Strength by distance"
    if not len(value):
        return message(title, _nowhere(links, count), look)
    left, top, right, height = 66.0, 14.0, WIDTH - 14.0, 330.0
    bottom = height - 46.0
    reach = float(distance.max()) * 1.03 or 1.0
    last = math.ceil(math.log10(float(value.max())) + 1e-9)
    first = max(math.floor(math.log10(float(value.min()))), last - DECADES)

    x_of = linear(0.0, reach, left, right)
    y_of = logarithmic(10.0**first, 10.0**last, bottom, top)
    parts = []
    for exponent in range(first, last + 1):
        y = y_of(10.0**exponent)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, stroke=look.rule))
        parts.append(label(left - 8, y + 4, power(exponent), look, text_anchor="end", fill=look.muted))
    faint = {"text_anchor": "middle", "fill": look.muted}
    parts += [label(x_of(t), bottom + 18, number(t), look, **faint) for t in ticks(0, reach, 6)]
    parts.append(label((left + right) / 2, height - 8, f"distance to {to} (µm)", look, text_anchor="middle"))
    place = f"translate(14 {(top + bottom) / 2:.0f}) rotate(-90)"
    words = f"{links.words(count)} per link"
    parts.append(label(0, 0, words, look, transform=place, text_anchor="middle"))
    seen = np.flatnonzero(value >= 10.0**first)
    seen = seen[np.argsort(distance[seen], kind="stable")]
    seen = seen[np.linspace(0, len(seen) - 1, min(len(seen), MOST_POINTS)).astype(int)]
    parts += [
        tag("circle", cx=x_of(float(d)), cy=y_of(float(v)), r=2, fill=look.accent, fill_opacity=0.35)
        for d, v in zip(distance[seen], value[seen], strict=True)
    ]
    means = [(row["distance_um"], row["mean"]) for row in strength_numbers(links, count)]
    points = [(x_of(d), y_of(v)) for d, v in means if v >= 10.0**first]
    if len(points) > 2:
        parts.append(line(points, stroke=look.paper, stroke_width=5))
        parts.append(line(points, stroke=look.ink, stroke_width=2))
    return drawing(WIDTH, height, parts, title=title, words=strength_words(links, count), look=look)


def strength_words(links: CommunicationData, count: str) -> str:
    """The distances within which half and nine tenths of the count fall."""
    distance, value, to = links.distances(count)
    if not len(value):
        return _nowhere(links, count)
    order = np.argsort(distance, kind="stable")
    share = np.cumsum(value[order]) / value.sum()
    half, most = (
        float(distance[order][min(int(np.searchsorted(share, q)), len(share) - 1)]) for q in (0.5, 0.9)
    )
    if half == 0:
        return (
            f"Most {links.words(count)} are of donors of the recipient's own type, at a distance of 0, "
            f"since donor cells are not known; nine tenths are on links of up to {number(most)} µm, "
            f"measured to {to}."
        )
    apart = ", without links of a cell to itself," if links.by_cell and _own(links, count) else ""
    return (
        f"Half of all {links.words(count)}{apart} are on links of up to {number(half)} µm, nine tenths on "
        f"links of up to {number(most)} µm, measured to {to}."
    )


def _nowhere(links: CommunicationData, count: str) -> str:
    """The reason why there is no distance."""
    if links.resolution == "none":
        return f"This run {ORIGINS['none']}, so there is no distance."
    if links.counts[count].any():
        return "Nothing was received from another cell of the run, so there is no distance."
    return "Nothing has been received yet."


def strength_numbers(links: CommunicationData, count: str) -> list[dict[str, Any]]:
    """Mean count per link in groups of equal size, from near to far."""
    distance, value, _ = links.distances(count)
    order = np.argsort(distance, kind="stable")
    groups = np.array_split(order, max(1, min(14, len(order) // 8)))
    return [
        {
            "distance_um": float(distance[g].mean()),
            "mean": float(value[g].mean()),
            "sum": float(value[g].sum()),
            "links": len(g),
        }
        for g in groups
        if len(g)
    ]


VIEWS = (
    View("network", "Network", network, network_numbers, network_words),
    View("types", "Types", heatmap, type_numbers, heatmap_words),
    View("chord", "Chord", chord, type_numbers, chord_words),
    View("distance", "Distance", strength, strength_numbers, strength_words),
)


def _placed(cells: Cells, space: Space) -> tuple[np.ndarray, float, float]:
    """Positions (n, 2) of cells on the drawing, seen from above, and its width and height."""
    scale = WIDTH / float(max(space.size[0], space.size[1]))
    width, height = scale * float(space.size[0]), scale * float(space.size[1])
    at = (cells.position[:, :2] - space.low[:2]) * scale
    if not space.down:
        at[:, 1] = height - at[:, 1]
    return at, width, height


def _marks(
    cells: Cells, at: np.ndarray, area: float, got: np.ndarray, known: np.ndarray | None, look: Theme
) -> Iterator[str]:
    """A shape per cell: donors filled, recipients larger and stronger in color for more, dead cells dashed.

    ``known`` is what each cell sent, None where that is not recorded.
    """
    sent = np.zeros(len(cells)) if known is None else known
    radius = float(np.clip(0.55 * math.sqrt(area / max(len(cells), 1)), 4.0, 13.0))
    strongest = float(got.max()) if len(got) and got.max() > 0 else 1.0
    for i in np.argsort(got + sent, kind="stable")[-MOST_CELLS:]:
        style = cells.styles[cells.type[i]]
        amount = math.sqrt(float(got[i]) / strongest)
        yield mark(
            style.role,
            float(at[i, 0]),
            float(at[i, 1]),
            radius * (0.7 + 0.6 * amount),
            fill=look.hue(style.color),
            fill_opacity=1 if sent[i] else 0.12 + 0.88 * amount,
            stroke=look.paper if sent[i] else look.hue(style.color),
            stroke_width=0.9,
            **({} if cells.alive[i] else {"stroke_dasharray": "2 2"}),
            title=f"{style.name} {cells.ids[i]}{'' if cells.alive[i] else ', dead'}: "
            f"received {number(float(got[i]))}"
            + ("" if known is None else f", sent {number(float(sent[i]))}"),
        )


def _swatch(links: CommunicationData, name: str, x: float, y: float, look: Theme) -> str:
    style = links.style(name)
    return mark(style.role, x, y, 11, fill=look.hue(style.color))


def _name(name: str, x: float, y: float, tilted: bool, look: Theme) -> str:
    if not tilted:
        return label(x, y, name, look, text_anchor="middle")
    place = f"translate({x - 4:.1f} {y:.1f}) rotate(-32)"
    return label(0, 0, shorten(name, 14), look, transform=place, class_="exo-fine", font_size=12)
