"""Communication as pictures: the network over the tissue, type by type, chord, strength by distance.

Each panel is a pure function from an ``CommunicationData`` to SVG. Whatever it prints is a sum over rows of
``communication.parquet``, and ``Panel.numbers`` gives these sums as a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.viz.results.communication_data import named
from exoabm.viz.results.svg import PAGE, drawing, label, line, mark, number, power, tag, ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.viz.results.communication_data import Cells, CommunicationData, Space
    from exoabm.viz.results.svg import Theme

LETTER = 7.2
"""Width of a letter, at most."""
MOST_ARROWS = 160
"""Arrows of the network; the strongest are drawn, and the panel says how many are not."""

MOST_CELLS = 3000
MOST_POINTS = 1200
DECADES = 6
"""Of strength by distance; links weaker than the strongest by more are not drawn."""

WORDS = {
    "taken_up": "vesicles taken up",
    "delivered": "vesicles that delivered",
    "encountered": "vesicles met",
    "bound": "vesicles bound now",
    "lysosomal": "vesicles degraded",
    "recycled": "vesicles sent on",
}
WIDTH = 560.0


@dataclass(frozen=True)
class View:
    """A way to look at an exchange: the SVG, what it says in words, and the rows behind it."""

    key: str
    name: str
    draw: Callable[[CommunicationData, str, Theme], str]
    numbers: Callable[[CommunicationData, str], list[dict[str, Any]]]
    words: Callable[[CommunicationData, str], str]


def network(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Cells where they stand, and arrows from donor to recipient as thick as the count is large."""
    cells = links.cells
    at, width, height = _placed(cells, links.space)
    parts = [
        tag("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=6, fill="none", stroke=look.rule)
    ]
    start, end, value = links.between(count)
    top = float(value[0]) if len(value) else 1.0
    got, sent = np.zeros(len(cells)), np.zeros(len(cells))
    np.add.at(sent, start, value)
    rows = cells.rows_of(links.recipient)
    np.add.at(got, rows[rows >= 0], links.counts[count][rows >= 0])
    for i in reversed(range(min(len(value), MOST_ARROWS))):
        share = float(value[i]) / top
        parts.append(
            _arrow(
                at[start[i]],
                at[end[i]],
                title=f"cell {cells.ids[start[i]]} → cell {cells.ids[end[i]]}: "
                f"{number(float(value[i]))} {said(links, count)}",
                stroke=look.hue(cells.styles[cells.type[start[i]]].color),
                stroke_width=0.4 + 2.6 * math.sqrt(share),
                stroke_opacity=0.15 + 0.6 * share,
            )
        )
    parts += _marks(cells, at, width * height, got, sent, look)
    return drawing(
        width,
        height,
        parts,
        title="Network over the tissue",
        words=network_words(links, count),
        look=look,
    )


def tissue(cells: Cells, space: Space, got: np.ndarray, what: str = "vesicles", look: Theme = PAGE) -> str:
    """Cells where they stand, larger and darker the more each took up, ``got`` (n)."""
    at, width, height = _placed(cells, space)
    parts = [_frame(width, height, look)]
    parts += _marks(cells, at, width * height, got, np.zeros(len(cells)), look)
    words = f"{len(cells):,} cells took up {number(float(got.sum()))} {what}."
    return drawing(width, height, parts, title="Cells", words=words, look=look)


def said(links: CommunicationData, count: str) -> str:
    """What is counted, in words."""
    return WORDS[count].replace("vesicles", links.what)


def network_words(links: CommunicationData, count: str) -> str:
    """What the network shows, in a sentence or two."""
    if not links.by_cell:
        return (
            "This run tells donors apart by type only, so no arrow joins two cells: the larger and darker, "
            "the more a cell got. Choose “tell origins apart: by donor cell” under More controls to "
            "see who sent."
        )
    start, end, value = links.between(count)
    if not len(value):
        return f"No {links.what} have gone from one cell to another yet."
    ids = links.cells.ids
    shown = min(len(value), MOST_ARROWS)
    which = f"The strongest {shown} of {len(value):,} links" if shown < len(value) else f"{shown} links"
    return (
        f"{which} are drawn. Strongest: cell {ids[start[0]]} to cell {ids[end[0]]}, "
        f"{number(float(value[0]))} {said(links, count)}."
    )


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
    """Type by type: rows send, columns receive, a number in every field."""
    senders, receivers, values = links.matrix(count)
    title = "Who sends to whom, by type"
    if not values.size:
        return _nothing(title, "No cell type sends and takes up vesicles here.", look)
    left, top, right = 120.0, 96.0, 70.0
    wide = min(120.0, (WIDTH - left - right) / len(receivers))
    tall = min(46.0, max(24.0, 300 / len(senders)))
    highest = float(values.max()) or 1.0
    parts = [
        label(left + wide * len(receivers) / 2, 16, "receive →", look, text_anchor="middle", fill=look.muted),
        label(8, top + 4, "send ↓", look, fill=look.muted),
    ]
    tilted = max(map(len, receivers)) * LETTER > wide
    for j, name in enumerate(named(receivers)):
        x = left + (j + 0.5) * wide
        parts += [
            _swatch(links, receivers[j], x, top - 12, look),
            _name(name, x, top - 26, tilted, look),
        ]
    for i, name in enumerate(named(senders)):
        y = top + (i + 0.5) * tall
        parts += [_swatch(links, senders[i], left - 14, y, look)]
        parts.append(label(left - 26, y + 4, _short(name, 13), look, text_anchor="end"))
        for j in range(len(receivers)):
            depth = 0.06 + 0.86 * math.sqrt(float(values[i, j]) / highest)
            words = f"{senders[i]} → {receivers[j]}: {number(float(values[i, j]))} {said(links, count)}"
            parts.append(
                tag(
                    "rect",
                    x=left + j * wide + 1,
                    y=top + i * tall + 1,
                    width=wide - 2,
                    height=tall - 2,
                    rx=4,
                    fill=look.accent,
                    fill_opacity=depth,
                    title=words,
                )
            )
            ink = look.on_accent if depth > 0.78 else look.ink
            parts.append(
                label(
                    left + (j + 0.5) * wide,
                    y + 4,
                    number(float(values[i, j])),
                    look,
                    text_anchor="middle",
                    fill=ink,
                    class_="exo-fine",
                    font_size=12 if wide > 52 else 9.5,
                    pointer_events="none",
                )
            )
        total = number(float(values[i].sum()))
        parts.append(label(left + wide * len(receivers) + 10, y + 4, f"Σ {total}", look, fill=look.muted))
    height = top + tall * len(senders) + 10
    return drawing(WIDTH, height, parts, title=title, words=heatmap_words(links, count), look=look)


def heatmap_words(links: CommunicationData, count: str) -> str:
    """How to read the table, and its strongest pair."""
    return f"Rows send, columns receive. {chord_words(links, count)}"


def chord_words(links: CommunicationData, count: str) -> str:
    """The strongest pair of types, in a sentence."""
    senders, receivers, values = links.matrix(count)
    if not values.size or not values.any():
        return "Nothing has been received yet."
    i, j = np.unravel_index(int(np.argmax(values)), values.shape)
    share = float(values[i, j] / values.sum())
    return (
        f"Most goes from {named(senders)[i]} to {named(receivers)[j]}: "
        f"{number(float(values[i, j]))} {said(links, count)}, {100 * share:.0f} % of all."
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
    """Types around a circle: the arc of a type is what it sent and received, ribbons join them.

    A ribbon has its donor's color, is as wide at both ends as the count, and ends short of the recipient.
    """
    senders, receivers, values = links.matrix(count)
    title = "What flows between types"
    total = float(values.sum())
    if not total:
        return _nothing(title, "Nothing has been received yet.", look)
    names = list(dict.fromkeys([*senders, *receivers]))
    flows = [
        (names.index(a), names.index(b), float(values[i, j]))
        for i, a in enumerate(senders)
        for j, b in enumerate(receivers)
        if values[i, j] > 1e-4 * total
    ]
    size = np.zeros(len(names))
    for a, b, v in flows:
        size[a] += v
        size[b] += v
    names_kept = [i for i in range(len(names)) if size[i] > 0]
    gap = 0.06
    free = 2 * math.pi - gap * len(names_kept)
    begin: dict[int, float] = {}
    span: dict[int, float] = {}
    turn = -math.pi / 2
    for i in names_kept:
        begin[i], span[i] = turn, free * size[i] / size.sum()
        turn += span[i] + gap
    middle, height, outer, inner = WIDTH / 2, 400.0, 142.0, 128.0
    center = (middle, height / 2)
    used = dict(begin)
    ends: dict[tuple[int, int, str], tuple[float, float]] = {}
    for a, b, v in sorted(flows, key=lambda flow: -flow[2]):
        for who, side in ((a, "from"), (b, "to")):
            wide = free * v / size.sum()
            ends[a, b, side] = (used[who], used[who] + wide)
            used[who] += wide
    parts = []
    for a, b, v in sorted(flows, key=lambda flow: -flow[2]):
        ribbon = _ribbon(center, inner - 2, inner - 12, ends[a, b, "from"], ends[a, b, "to"])
        words = f"{names[a]} → {names[b]}: {number(v)} {said(links, count)} ({100 * v / total:.1f} %)"
        color = look.hue(links.style(names[a]).color)
        parts.append(
            tag("path", d=ribbon, fill=color, fill_opacity=0.5, stroke=color, stroke_width=0.5, title=words)
        )
    for i in names_kept:
        style = links.style(names[i])
        arc = _ring(center, inner, outer, begin[i], begin[i] + span[i])
        parts.append(
            tag(
                "path",
                d=arc,
                fill=look.hue(style.color),
                title=f"{names[i]}: sent and received {number(size[i])}",
            )
        )
        angle = begin[i] + span[i] / 2
        x, y = _polar(center, outer + 16, angle)
        side = "start" if math.cos(angle) > 0.2 else "end" if math.cos(angle) < -0.2 else "middle"
        parts.append(mark(style.role, x, y, 9, fill=look.hue(style.color)))
        offset = {"start": 10.0, "end": -10.0, "middle": 0.0}[side]
        lift = 4.0 if side != "middle" else (18.0 if math.sin(angle) > 0 else -10.0)
        parts.append(label(x + offset, y + lift, _short(named([names[i]])[0], 16), look, text_anchor=side))
    return drawing(WIDTH, height, parts, title=title, words=chord_words(links, count), look=look)


def strength(links: CommunicationData, count: str, look: Theme = PAGE) -> str:
    """Count against distance: a point per edge, and the mean of groups of equal size as a line."""
    distance, value, to = links.distances(count)
    title = "Strength by distance"
    if not len(value):
        return _nothing(title, _nowhere(links, count), look)
    left, top, right, height = 66.0, 14.0, WIDTH - 14.0, 330.0
    bottom = height - 46.0
    reach = float(distance.max()) * 1.03 or 1.0
    last = math.ceil(math.log10(float(value.max())) + 1e-9)
    first = max(math.floor(math.log10(float(value.min()))), last - DECADES)

    def x_of(d: float) -> float:
        return left + (right - left) * d / reach

    def y_of(v: float) -> float:
        return bottom - (bottom - top) * (math.log10(v) - first) / (last - first)

    parts = []
    for exponent in range(first, last + 1):
        y = y_of(10.0**exponent)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, stroke=look.rule))
        parts.append(label(left - 8, y + 4, power(exponent), look, text_anchor="end", fill=look.muted))
    faint = {"text_anchor": "middle", "fill": look.muted}
    parts += [label(x_of(t), bottom + 18, number(t), look, **faint) for t in ticks(0, reach, 6)]
    parts.append(label((left + right) / 2, height - 8, f"distance to {to} (µm)", look, text_anchor="middle"))
    place = f"translate(14 {(top + bottom) / 2:.0f}) rotate(-90)"
    words = f"{said(links, count)} per link"
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
    """How far half of it went, in a sentence."""
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
            f"Most {said(links, count)} stayed among cells of the sending type, where only the type of "
            f"the sender is known; nine tenths went up to {number(most)} µm, measured to {to}."
        )
    return (
        f"Half of all {said(links, count)} went up to {number(half)} µm, nine tenths up to "
        f"{number(most)} µm, measured to {to}."
    )


def _nowhere(links: CommunicationData, count: str) -> str:
    """Why there is no distance."""
    if links.counts[count].any():
        return "What was received came from no other cell here, so it has no distance."
    return "Nothing has been received yet."


def strength_numbers(links: CommunicationData, count: str) -> list[dict[str, Any]]:
    """Mean count per link in groups of equally many links, from near to far."""
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
    """Places (n, 2) of cells on the drawing, seen from above, and its width and height."""
    scale = WIDTH / float(max(space.size[0], space.size[1]))
    width, height = scale * float(space.size[0]), scale * float(space.size[1])
    at = (cells.position[:, :2] - space.low[:2]) * scale
    if not space.down:
        at[:, 1] = height - at[:, 1]
    return at, width, height


def _marks(
    cells: Cells, at: np.ndarray, area: float, got: np.ndarray, sent: np.ndarray, look: Theme
) -> Iterator[str]:
    """A shape per cell: senders full, recipients larger and darker by what they got; the dead in dashes."""
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
            f"received {number(float(got[i]))}, sent {number(float(sent[i]))}",
        )


def _arrow(start: np.ndarray, end: np.ndarray, **look: Any) -> str:
    """A gently bent line with a small head, so that there and back are two lines."""
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
    return tag("path", d=f"M{x0:.1f} {y0:.1f}Q{cx:.1f} {cy:.1f} {x1:.1f} {y1:.1f}{head}", fill="none", **look)


def _polar(center: tuple[float, float], radius: float, angle: float) -> tuple[float, float]:
    return center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)


def _arc(center: tuple[float, float], radius: float, start: float, end: float, sweep: int = 1) -> str:
    x, y = _polar(center, radius, end)
    return f"A{radius:.1f} {radius:.1f} 0 {int(abs(end - start) > math.pi)} {sweep} {x:.2f} {y:.2f}"


def _ring(center: tuple[float, float], inner: float, outer: float, start: float, end: float) -> str:
    end = min(end, start + 2 * math.pi - 1e-3)
    x0, y0 = _polar(center, outer, start)
    x1, y1 = _polar(center, inner, end)
    there, back = _arc(center, outer, start, end), _arc(center, inner, end, start, 0)
    return f"M{x0:.2f} {y0:.2f}{there}L{x1:.2f} {y1:.2f}{back}Z"


def _ribbon(
    center: tuple[float, float],
    near: float,
    far: float,
    source: tuple[float, float],
    target: tuple[float, float],
) -> str:
    x0, y0 = _polar(center, near, source[0])
    x1, y1 = _polar(center, far, target[0])
    cx, cy = center
    return (
        f"M{x0:.2f} {y0:.2f}{_arc(center, near, *source)}Q{cx:.1f} {cy:.1f} {x1:.2f} {y1:.2f}"
        f"{_arc(center, far, *target)}Q{cx:.1f} {cy:.1f} {x0:.2f} {y0:.2f}Z"
    )


def _swatch(links: CommunicationData, name: str, x: float, y: float, look: Theme) -> str:
    style = links.style(name)
    return mark(style.role, x, y, 11, fill=look.hue(style.color))


def _name(name: str, x: float, y: float, tilted: bool, look: Theme) -> str:
    if not tilted:
        return label(x, y, name, look, text_anchor="middle")
    place = f"translate({x - 4:.1f} {y:.1f}) rotate(-32)"
    return label(0, 0, _short(name, 14), look, transform=place, class_="exo-fine", font_size=12)


def _frame(width: float, height: float, look: Theme) -> str:
    return tag("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=6, fill="none", stroke=look.rule)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def _nothing(title: str, words: str, look: Theme) -> str:
    box = _frame(WIDTH, 200, look)
    said = label(WIDTH / 2, 104, words, look, text_anchor="middle", fill=look.muted)
    return drawing(WIDTH, 200, [box, said], title=title, words=words, look=look)
