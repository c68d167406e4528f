"""Communication between cell types: as a matrix, or as a network over the tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import type_matrix
from exoabm.plot import palette
from exoabm.plot.palette import INK, MUTED, PAPER
from exoabm.plot.run_figure.layout import (
    POINT,
    RIGHT,
    TAKERS,
    TOP,
    WIDTH,
    Scene,
    place_axes,
    say,
    write_heading,
)
from exoabm.plot.run_figure.maps import draw_cells, draw_map, scale_bar, y_below
from exoabm.plot.scales import FEW, counted, number, percent, round_below, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMES = 7


def draw_matrix(figure: Figure, scene: Scene, row: float) -> float:
    """Shares by donor type (rows, at most ``row`` px high) and recipient type (columns); its height in px."""
    from matplotlib.colors import LinearSegmentedColormap

    matrix = type_matrix(scene.state)
    takers = {s.name for s in scene.styles if s.role in TAKERS}
    columns = [j for j, name in enumerate(matrix.recipients) if name in takers]
    if not columns:
        write_heading(figure, RIGHT, TOP, "Who reached whom", [])
        say(place_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell takes up vesicles")
        return scene.upper
    if not matrix.donors:
        write_heading(figure, RIGHT, TOP, "Who reached whom", [])
        say(place_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell releases vesicles")
        return scene.upper
    names = [matrix.recipients[j] for j in columns]
    senders, values = _fold(matrix.donors, matrix.values[:, columns])
    receivers, values = _fold(names, values.T)
    values = values.T
    total = values.sum(axis=1, keepdims=True)
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    left = RIGHT + 140
    wide = min(200.0, (WIDTH - 45 - left) / len(receivers))
    high = min(row, (scene.upper - 70) / len(senders))
    ax = place_axes(figure, left, TOP, wide * len(receivers), high * len(senders), "links")
    shades = LinearSegmentedColormap.from_list("share", palette.FIELD[1:])
    ax.imshow(share, cmap=shades, vmin=0, vmax=1, aspect="auto")
    texts = {
        at: f"{percent(s)}\n{number(float(values[at]))}" if values[at] >= FEW else "≈ 0" if s > 0 else "0"
        for at, s in np.ndenumerate(share)
    }
    longest = max(len(line) for text in texts.values() for line in text.split("\n"))
    size = min(9.0, (wide - 8) * POINT / (0.62 * longest), (high - 6) * POINT / 2.6)
    for (i, j), text in texts.items():
        color = PAPER if share[i, j] > 0.5 else INK if values[i, j] > 0 else MUTED
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    ax.set_yticks(range(len(senders)), senders)
    ax.set_xticks(range(len(receivers)), receivers)
    slanted = max(map(len, receivers)) * 9.5 > wide - 8
    if slanted:
        for name in ax.get_xticklabels():
            name.set(rotation=38, ha="right", rotation_mode="anchor")
    ax.set_xticks(np.arange(1, len(receivers)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(senders)) - 0.5, minor=True)
    ax.grid(which="minor", color=PAPER, linewidth=1.5)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    notes = [f"rows send, columns receive; share of each row, {scene.what} taken up"]
    write_heading(figure, RIGHT, TOP, "Who reached whom", notes if total.any() else ["nothing taken up"])
    return high * len(senders) + 60.0 * slanted


def _fold(names: Sequence[str], values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Keep the rows that count most, in their order, and add up the others."""
    if len(names) <= MAX_NAMES + 1:
        return [shorten(n, 16) for n in names], values
    keep = np.sort(np.argsort(-values.sum(axis=1), kind="stable")[:MAX_NAMES])
    rest = np.setdiff1d(np.arange(len(names)), keep)
    kept = [shorten(names[i], 16) for i in keep]
    return [*kept, f"{len(rest)} others"], np.vstack([values[keep], values[rest].sum(axis=0)])


MAX_LINKS = 300
MAX_NETWORK_CELLS = 2_000


def draw_network(figure: Figure, scene: Scene) -> None:
    """The strongest links between cells, over the tissue."""
    state, scale = scene.state, scene.scale
    ax = draw_map(figure, scene, "links", RIGHT)
    ax.set(xticks=[], yticks=[])
    row_of = {str(b): i for i, b in enumerate(state.cells.birth_id)}
    alive = [label for label, name in enumerate(state.labels.names) if name in row_of]
    donors = np.array([row_of[state.labels.names[label]] for label in alive], dtype=np.int64)
    flow = state.trafficking.taken_up.sum(axis=1)[:, alive]
    itself = (donors, np.arange(len(donors)))
    own, total = float(flow[itself].sum()), float(flow.sum())
    flow[itself] = 0.0
    recipient, label = np.nonzero(flow)
    weight = flow[recipient, label]
    links = len(weight)
    strongest = np.argsort(weight, kind="stable")[-MAX_LINKS:]
    recipient, sender, weight = recipient[strongest], donors[label[strongest]], weight[strongest]
    notes = [f"no {scene.what} taken up by another cell"]
    if links:
        start = state.cells.position[sender]
        way = state.domain.displacement(start, state.cells.position[recipient])
        broadest = (14 if links <= 20 else 8) / scale
        width = np.maximum(broadest * weight / weight.max(), 0.6 / scale)
        colors = [scene.styles[t].color for t in state.cells.type[sender]]
        look = {"alpha": 0.75 if links <= 20 else 0.5, "zorder": 2, "label": "links"}
        _wedges(ax, start[:, :2], way[:, :2], width, colors, **look)
        count = counted(links, "link")
        if links > len(weight):
            share = percent(float(weight.sum()) / (total - own))
            count = f"top {len(weight)} of {count} ({share} of uptake)"
        notes = [f"{count}, broad end sends"]
        _width_key(ax, scene, float(weight.max()), broadest)
    if own:
        notes.append(f"{percent(own / total)} returned to the sender")
    # Where cells hide one another, as in a volume seen from above, smaller ones leave the links to see.
    covered = np.pi / 4 * float(np.sum(state.of_type("diameter") ** 2) / np.prod(state.domain.extent[:2]))
    shrink = min(1.0, np.sqrt(0.1 / covered)) if covered > 0.3 else 1.0
    draw_cells(ax, scene, np.arange(len(state.cells)), shrink)
    if shrink < 1:
        notes.append("cells shrunk")
    write_heading(figure, RIGHT, TOP, "Who reached whom", notes)
    scale_bar(ax, scene)


def _wedges(
    ax: Axes, start: np.ndarray, way: np.ndarray, width: np.ndarray, colors: Sequence[str], **look: Any
) -> None:
    from matplotlib.collections import PolyCollection

    wedges = PolyCollection(list(tapers(start, way, width)), facecolors=colors, edgecolors="none", **look)
    ax.add_collection(wedges, autolim=False)


def tapers(start: np.ndarray, way: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Curved wedges from ``start`` (m, 2) along ``way`` (m, 2), ``width`` (m) at their start: (m, 26, 2).

    Tapering shows direction better than arrowheads do; two links between the same cells bend apart.
    """
    t = np.linspace(0.0, 1.0, 13)[None, :, None]
    side = np.stack([-way[:, 1], way[:, 0]], axis=1)
    bend = 0.12 * side[:, None] * 4 * t * (1 - t)
    middle = start[:, None] + t * way[:, None] + bend
    normal = side / np.linalg.norm(side, axis=1, keepdims=True)
    half = 0.5 * width[:, None, None] * (1 - 0.85 * t) * normal[:, None]
    return np.concatenate([middle + half, (middle - half)[:, ::-1]], axis=1)


def _width_key(ax: Axes, scene: Scene, most: float, broadest: float) -> None:
    """Legend of link widths, right of the map: round numbers of vesicles."""
    scale, domain = scene.scale, scene.state.domain
    values = round_below(most) * np.array([1.0, 0.5, 0.2])
    x = domain.low[0] + domain.extent[0] + 22 / scale
    y = y_below(scene, "top", [46, 76, 106])
    start = np.column_stack([np.full(3, x), y])
    way = np.tile([44 / scale, 0.0], (3, 1))
    _wedges(ax, start, way, broadest * values / most, [MUTED], clip_on=False)
    look: dict[str, Any] = {"fontsize": 8, "color": INK, "va": "center", "clip_on": False}
    ax.text(x, float(y_below(scene, "top", 14)), scene.what, **look)
    for value, at in zip(values, y, strict=True):
        ax.text(x + 56 / scale, at, number(value), **look)
