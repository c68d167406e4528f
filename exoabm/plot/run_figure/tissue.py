"""The panels of cells and types: the tissue to scale, and communication as a matrix or over the tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication import PER_ML, type_matrix
from exoabm.plot import palette
from exoabm.plot.palette import INK, MUTED, PAPER, Role
from exoabm.plot.run_figure.layout import (
    LEFT,
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
from exoabm.plot.scales import FEW, log_range, log_ticks, tick_names
from exoabm.text_formatting import counted, number, percent, round_below, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from exoabm.state import State

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
            marks.set(edgecolor=color, linewidth=width, zorder=order[style.role] + z, clip_on=False)
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


def draw_tissue(figure: Figure, scene: Scene, threshold: float | None) -> None:
    """Concentration of free vesicles, and the cells on it."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    state, domain = scene.state, scene.state.domain
    ax, what = draw_map(figure, scene, "tissue", LEFT), scene.what.removeprefix("free ")
    ax.set(xlabel="x (µm)", ylabel="y (µm)")
    place: dict[str, Any] = {"origin": "lower", "extent": (*ax.get_xlim(), *sorted(ax.get_ylim()))}
    notes = [" + ".join(scene.kinds)] if len(scene.kinds) > 1 else []
    cut: Any = slice(None)
    drawn = np.arange(len(state.cells))
    if domain.dim == 3:
        cut = _level(state)
        z = float(domain.centers(2)[cut])
        reach = np.maximum(state.of_type("diameter"), domain.voxel)
        drawn = np.flatnonzero(np.abs(state.cells.position[:, 2] - z) <= reach)
        notes.append(f"plane z = {number(z)} µm, {counted(len(drawn), 'cell')} near it")
    each = [state.free_per_voxel(k).sum(axis=0, dtype=float) for k in range(len(state.kinds))]
    free = np.sum(each, axis=0)[cut]
    concentration = free / domain.voxel_volume * PER_ML
    if concentration.any():
        low, high = log_range(concentration)
        shades = LinearSegmentedColormap.from_list("field", palette.FIELD)
        if domain.obstacle is not None:
            concentration = _fill_in(concentration, domain.obstacle[cut])
        fine = _smooth(concentration, low, round(scene.scale * domain.voxel))
        ax.imshow(fine, cmap=shades, norm=LogNorm(low, high), aspect="auto", **place)
        colors = shades(np.linspace(0, 1, 256))[:, :3]
        ramp = _ramp(figure, scene, 0, colors, low, high, f"free {what} per mL")
        limit = 0.0 if threshold is None else threshold * PER_ML
        if low < limit < high and min(fine.shape) > 1:
            dashes: dict[str, Any] = {"colors": INK, "linewidths": 0.9, "linestyles": "dashed"}
            ax.contour(fine, [limit], **dashes, **place)
            ramp.axhline(np.log10(limit), color=INK, linewidth=0.9, linestyle="dashed")
            notes.append(f"dashed: {number(limit)} per mL")
    else:
        notes.append(f"no free {what}")
    if domain.obstacle is not None:
        wall = np.where(domain.obstacle[cut], 1.0, np.nan)
        ax.imshow(wall, cmap="gray", vmin=0, vmax=1.35, aspect="auto", **place)
    enlarged = draw_cells(ax, scene, drawn)
    if scene.taken.any():
        notes.append(f"color of a cell: {scene.what} taken up")
        hues = {s.color for s in scene.styles if s.named and s.role in TAKERS}
        colors = palette.tint(hues.pop() if len(hues) == 1 else INK, np.linspace(0.12, 1, 256))
        _ramp(figure, scene, 1, colors, scene.low, scene.high, f"{scene.what} taken up")
    if enlarged > 1:
        notes.append(f"cells enlarged {number(enlarged)}×")
    write_heading(figure, LEFT, TOP, f"Free {what} and cells", notes)


def _fill_in(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Values with hidden ones replaced by the nearest that is not, so that they cast no shadow."""
    from scipy.ndimage import distance_transform_edt

    _, nearest = distance_transform_edt(hidden, return_indices=True)
    return values[tuple(nearest)]


def _smooth(values: np.ndarray, low: float, factor: int) -> np.ndarray:
    """Values at least ``low`` on a grid ``factor`` times as fine, for the eye.

    Their logarithm is interpolated, since profiles around a source fall like exponentials.
    """
    from scipy.ndimage import zoom

    log = np.log10(np.maximum(values, low))
    if factor < 2:
        return 10**log
    fine = zoom(log, factor, order=3, mode="nearest", grid_mode=True)
    return 10 ** np.clip(fine, log.min(), log.max())


def _level(state: State) -> int:
    """The voxel layer of the median donor; of the median cell where none sends."""
    layers = state.domain.shape[0]
    sends = state.labels.of_cell >= 0
    heights = np.sort(state.cells.position[sends if sends.any() else slice(None), 2])
    if not len(heights):
        return layers // 2
    middle = np.array([[0.0, 0.0, heights[len(heights) // 2]]])
    return int(np.clip(state.domain.voxel_of(middle)[0, 2], 0, layers - 1))


def _ramp(
    figure: Figure, scene: Scene, place: int, colors: np.ndarray, low: float, high: float, label: str
) -> Axes:
    """A color scale next to the tissue, the upper (0) or lower (1) of two; logarithmic in y."""
    height = scene.upper / 2 - 16
    left = LEFT + scene.scale * scene.state.domain.extent[0] + 44
    ax = place_axes(figure, left, TOP + place * (height + 32), 15, height, f"scale {place}")
    ax.imshow(colors[:, None], origin="lower", extent=(0, 1, np.log10(low), np.log10(high)), aspect="auto")
    ticks = log_ticks(low, high)
    ax.set_xticks([])
    ax.set_yticks(np.log10(ticks), tick_names(ticks))
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.yaxis.set_label_coords(1 + 92 / 15, 0.5)
    ax.set_ylabel(label, fontsize=8)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


MAX_NAMES = 7


def draw_matrix(figure: Figure, scene: Scene, row: float) -> float:
    """Shares by donor type (rows, at most ``row`` px high) and recipient type (columns); its height in px."""
    from matplotlib.colors import LinearSegmentedColormap

    matrix = type_matrix(scene.state)
    takers = {s.name for s in scene.styles if s.role in TAKERS}
    columns = [j for j, name in enumerate(matrix.recipients) if name in takers]
    if not columns:
        write_heading(figure, RIGHT, TOP, "Uptake by donor and recipient", [])
        say(place_axes(figure, RIGHT, TOP, 656, scene.upper, "links"), "no cell takes up vesicles")
        return scene.upper
    if not matrix.donors:
        write_heading(figure, RIGHT, TOP, "Uptake by donor and recipient", [])
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
    write_heading(
        figure, RIGHT, TOP, "Uptake by donor and recipient", notes if total.any() else ["nothing taken up"]
    )
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
        notes = [f"{count}, broad end at the donor"]
        _width_key(ax, scene, float(weight.max()), broadest)
    if own:
        notes.append(f"{percent(own / total)} returned to the sender")
    # Where cells hide one another, as in a volume seen from above, smaller ones leave the links to see.
    covered = np.pi / 4 * float(np.sum(state.of_type("diameter") ** 2) / np.prod(state.domain.extent[:2]))
    shrink = min(1.0, np.sqrt(0.1 / covered)) if covered > 0.3 else 1.0
    draw_cells(ax, scene, np.arange(len(state.cells)), shrink)
    if shrink < 1:
        notes.append("cells shrunk")
    write_heading(figure, RIGHT, TOP, "Uptake by donor and recipient", notes)
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
    Between cells in one place it has no area.
    """
    t = np.linspace(0.0, 1.0, 13)[None, :, None]
    side = np.stack([-way[:, 1], way[:, 0]], axis=1)
    bend = 0.12 * side[:, None] * 4 * t * (1 - t)
    middle = start[:, None] + t * way[:, None] + bend
    length = np.linalg.norm(side, axis=1, keepdims=True)
    normal = np.divide(side, length, out=np.zeros_like(side), where=length > 0)
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
