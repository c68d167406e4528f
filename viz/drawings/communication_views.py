"""Communication views: network over the tissue, table by type, chord diagram, strength by distance.

Each view is a pure function from ``CommunicationData`` to SVG. Its numbers are sums over rows of
``edges.parquet``; ``View.numbers`` returns them as a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.scales import linear, logarithmic, ticks
from exoabm.text_formatting import number, power_of_ten, two_decimals
from exoabm.viz.drawings.svg import PAGE, WIDTH, arrow, drawing, frame, grid, label, line, mark, message, tag
from exoabm.viz.drawings.type_views import chord, chord_words, heatmap, heatmap_words, type_numbers
from exoabm.viz.results.text_summary import ORIGINS, phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.viz.drawings.svg import Theme
    from exoabm.viz.results.cells_and_space import Cells, Space
    from exoabm.viz.results.communication_data import CommunicationData

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
    words = f"{phrase(f'{len(cells):,}', 'cells')} took up {phrase(number(float(got.sum())), what)}."
    return drawing(width, height, parts, title="Cells", words=words, look=look)


def network_words(links: CommunicationData, count: str) -> str:
    """Description of the network."""
    if not (links.by_cell and links.any_donor):
        why, how = f"No cell releases {links.what}", ""
        if links.any_donor:
            why = f"This run {ORIGINS[links.resolution]}"
            how = " With “record donors: by donor cell” (Try it, More controls) a run shows the donors."
        return f"{why}, so no arrow joins two cells; larger cells of a stronger color received more.{how}"
    start, end, value = links.between(count)
    own = _own(links, count)
    left = f" {phrase(f'{own:,}', 'links of a cell to itself are left out')}." if own else ""
    if not len(value):
        return f"None yet from one cell to another: {links.words(count)}.{left}"
    ids = links.cells.ids
    shown = min(len(value), MOST_ARROWS)
    drawn = f"the strongest {shown} of " if shown < len(value) else ""
    drawn += phrase(f"{len(value):,}", "links")
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
    parts = grid(((y_of(10.0**e), power_of_ten(e)) for e in range(first, last + 1)), left, right, look)
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
            "since donor cells are not known"
            + (f"; nine tenths are on links of up to {number(most)} µm, measured to {to}." if most else ".")
        )
    apart = ", without links of a cell to itself," if links.by_cell and _own(links, count) else ""
    return (
        f"Half of all {links.words(count)}{apart} are on links of up to {number(half)} µm, nine tenths on "
        f"links of up to {number(most)} µm, measured at {two_decimals(links.hours)} h to {to}."
    )


def _nowhere(links: CommunicationData, count: str) -> str:
    """The reason why there is no distance."""
    if links.resolution == "none":
        return f"This run {ORIGINS['none']}, so there is no distance."
    if links.counts[count].any():
        return "Nothing was received from another cell of the run, so there is no distance."
    return f"None yet: {links.words(count)}."


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
