"""A fit as files: its numbers, the scenario with them, and a picture of measured beside modeled."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.calibration.evaluation import reporting
from exoabm.output.run_folder import placed, write_whole
from exoabm.plot.palette import COOL, INK, MUTED, RULE, WARM

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.batch.calibration.fit import Fit
    from exoabm.scenario.loader import LoadedScenario

MOST_PANELS = 12


def plain(found: Fit) -> dict[str, Any]:
    """A fit as plain data."""
    return asdict(found) | {"numbers": [asdict(n) | {"known": n.known} for n in found.numbers]}


def write_fit(found: Fit, loaded: LoadedScenario, folder: Path) -> None:
    """Write ``fit.json``, ``fit.png``, and ``fitted.toml``, the scenario with the fitted values.

    Raises
    ------
    RunFailed
        If the disk fills; the runs are kept.
    """
    import tomli_w

    text = json.dumps(plain(found), indent=2, ensure_ascii=False, allow_nan=False)
    fitted = loaded.changed(found.overrides).resolved()
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "fit.json", text.encode() + b"\n")
        write_whole(folder / "fitted.toml", tomli_w.dumps(fitted).encode())
        _draw(found, folder / "fit.png", loaded.scenario.info.title)


def _draw(found: Fit, path: Path, title: str) -> None:
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
