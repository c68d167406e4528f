"""The tissue: concentration, and the cells on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt, zoom

from exoabm.analysis.communication import PER_ML
from exoabm.plot import palette
from exoabm.plot.palette import INK
from exoabm.plot.preview.frame import place_axes, write_heading
from exoabm.plot.preview.lettering import counted, number, tick_names
from exoabm.plot.preview.maps import draw_cells, draw_map
from exoabm.plot.preview.scales import log_range, log_ticks
from exoabm.plot.preview.scene import LEFT, TAKERS, TOP, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exoabm.state import State


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
        notes.append("cells fill as they take up")
        hues = {s.color for s in scene.styles if s.named and s.role in TAKERS}
        colors = palette.tint(hues.pop() if len(hues) == 1 else INK, np.linspace(0.12, 1, 256))
        _ramp(figure, scene, 1, colors, scene.low, scene.high, f"{scene.what} taken up")
    if enlarged > 1:
        notes.append(f"cells enlarged {number(enlarged)}×")
    write_heading(figure, LEFT, TOP, f"Free {what} and cells", notes)


def _fill_in(values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Values with hidden ones replaced by the nearest that is not, so that they cast no shadow."""
    _, nearest = distance_transform_edt(hidden, return_indices=True)
    return values[tuple(nearest)]


def _smooth(values: np.ndarray, low: float, factor: int) -> np.ndarray:
    """Values at least ``low`` on a grid ``factor`` times as fine, for the eye.

    Their logarithm is interpolated, since profiles around a source fall like exponentials.
    """
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
    """A color scale beside the tissue, the upper (0) or the lower (1) of two; logarithms on y."""
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
