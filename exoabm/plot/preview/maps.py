"""Cells on a map that is to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.plot import palette
from exoabm.plot.palette import INK, PAPER, Role
from exoabm.plot.preview.frame import place_axes
from exoabm.plot.preview.lettering import number
from exoabm.plot.preview.scales import round_below
from exoabm.plot.preview.scene import POINT, TAKERS, TOP, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


SHALLOW = 70
"""px; a map of less height has room for the numbers at its ends alone."""


def draw_map(figure: Figure, scene: Scene, label: str, left: float) -> Axes:
    """Axes in which a micrometer is as long on x as on y."""
    extent, low, scale = scene.state.domain.extent, scene.state.domain.low, scene.scale
    ax = place_axes(figure, left, TOP, scale * extent[0], scale * extent[1], label)
    ends = (low[1], low[1] + extent[1])
    ax.set(xlim=(low[0], low[0] + extent[0]), ylim=ends[::-1] if scene.state.y_down else ends)
    if scale * extent[1] < SHALLOW:
        ax.set_yticks([low[1], low[1] + extent[1]])
    return ax


def y_below(scene: Scene, edge: str, px: ArrayLike) -> np.ndarray:
    """The y, in um, that lies ``px`` below the top or the bottom of a map, whichever way y runs."""
    domain = scene.state.domain
    low, high = float(domain.low[1]), float(domain.low[1] + domain.extent[1])
    way = np.asarray(px, dtype=float) / scene.scale
    if scene.state.y_down:
        return (low if edge == "top" else high) + way
    return (high if edge == "top" else low) - way


def draw_cells(ax: Axes, scene: Scene, drawn: np.ndarray, shrink: float = 1.0) -> float:
    """Draw cells to scale times ``shrink``; return by how much they had to be enlarged to be seen."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    state = scene.state
    sizes = np.array([t.diameter for t in state.types]) * scene.scale * shrink
    enlarged = max(1.0, 3.0 / float(sizes.max()))
    order = {Role.NEITHER: 3, Role.TAKES_UP: 4, Role.BOTH: 5, Role.SENDS: 6}
    for index, style in enumerate(scene.styles):
        rows = drawn[state.cells.type[drawn] == index]
        if not len(rows):
            continue
        size = sizes[index] * enlarged
        share = scene.fill[rows] if style.role in TAKERS else np.ones(len(rows))
        look = {"facecolors": palette.tint(style.color, share), "label": style.name}
        place = {"offsets": state.cells.position[rows, :2], "offset_transform": ax.transData}
        corners = style.role.polygon()
        outline = Path(np.vstack([corners, corners[:1]]), closed=True)
        line = float(np.clip(size / 14, 0.25, 1.0))
        strokes = [(PAPER, 2.5 * line, 0.0), (style.outline, line, 0.1)]
        for color, width, z in strokes if size > 4 else [("none", 0.0, 0.0)]:
            marks = PathCollection([outline], [(size * POINT) ** 2], **place, **look)
            marks.set_transform(IdentityTransform())
            marks.set(edgecolor=color, linewidth=width, zorder=order[style.role] + z)
            ax.add_collection(marks, autolim=False)
    return enlarged


def scale_bar(ax: Axes, scene: Scene) -> None:
    """A round length of about a fifth of the width, below the map."""
    domain, scale = scene.state.domain, scene.scale
    length = round_below(float(domain.extent[0]) / 4)
    x, y = domain.low[0], float(y_below(scene, "bottom", 18))
    ax.plot([x, x + length], [y, y], color=INK, linewidth=2, clip_on=False, solid_capstyle="butt")
    label = f"{number(length)} µm"
    ax.text(x + length + 10 / scale, y, label, va="center", fontsize=8, color=INK, clip_on=False)
