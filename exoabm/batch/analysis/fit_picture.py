"""The picture of a fit: what was measured and what the model says, and each number in its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.observe.palette import COOL, INK, MUTED, RULE, WARM
from exoabm.observe.run_folder import placed

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.batch.analysis.fit import Fit

MOST_PANELS = 12


def draw_fit(found: Fit, path: Path, title: str) -> None:
    """Draw a panel per readout, at most ``MOST_PANELS``, into a PNG."""
    from matplotlib.figure import Figure

    names = found.names[:MOST_PANELS]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.8 * columns + 0.4, 2.7 * rows + 1.2), layout="constrained", dpi=144)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    data, model = np.array(found.data, float), np.array(found.model)
    for axes in panels[len(names) :]:
        axes.remove()
    for column, (axes, name) in enumerate(zip(panels, names, strict=False)):
        axes.plot(found.hours, model[:, column], color=WARM[0], lw=1.5, label="fitted")
        axes.plot(found.hours, data[:, column], "o", color=COOL[0], ms=3.5, label="measured")
        axes.set_title(name.replace("_", " "), fontsize=8.5, color=INK, loc="left")
        axes.set_xlabel("time, h", fontsize=8, color=INK)
        axes.tick_params(labelsize=8, colors=MUTED)
        axes.grid(color=RULE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
    panels[0].legend(frameon=False, fontsize=8)
    lines = [f"{n.key} = {n.value:.4g} ({n.low:.4g} to {n.high:.4g}) {n.unit}" for n in found.numbers]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color=INK)
    with placed(path) as partial:
        figure.savefig(partial, format="png", facecolor="white")
