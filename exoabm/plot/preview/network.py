"""Who reached whom, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.palette import INK, MUTED
from exoabm.plot.preview.frame import write_heading
from exoabm.plot.preview.lettering import counted, number, percent
from exoabm.plot.preview.maps import draw_cells, draw_map, scale_bar, y_below
from exoabm.plot.preview.scales import round_below
from exoabm.plot.preview.scene import RIGHT, TOP, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    """What the width of a link means, right of the map: round numbers of vesicles."""
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
