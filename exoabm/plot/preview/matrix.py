"""Who reached whom, type by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.analysis.communication import type_matrix
from exoabm.plot import palette
from exoabm.plot.palette import INK, MUTED, PAPER
from exoabm.plot.preview.frame import place_axes, say, write_heading
from exoabm.plot.preview.lettering import FEW, number, percent, shorten
from exoabm.plot.preview.scene import POINT, RIGHT, TAKERS, TOP, WIDTH, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

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
