"""A sensitivity analysis as files: a table of indices, and a picture with the largest effect on top."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.batch.calibration.evaluation import reporting
from exoabm.manifest import seal
from exoabm.output.durable_files import write_json
from exoabm.plot.figure_page import save_png
from exoabm.plot.palette import COOL, INK, MUTED, RULE, WARM

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from exoabm.batch.calibration.sensitivity import Index, Sensitivity

FILES = ("sensitivity.json", "sensitivity.png")
"""What ``write_report`` makes."""
WHISKER = {"ecolor": INK, "lw": 0.9, "capsize": 2}
MOST_BARS = 25


def plain(found: Sensitivity) -> dict[str, Any]:
    """An analysis as plain data."""
    rows = []
    for index in found.indices:
        factor, axis = index.factor, index.factor.axis
        about = {
            "key": factor.key,
            "low": axis.low,
            "high": axis.high,
            "unit": axis.unit,
            "log": axis.log,
            "value": factor.value,
            "source": factor.source,
            "assumed": factor.assumed,
        }
        rows.append(about | {key: value for key, value in asdict(index).items() if key != "factor"})
    return asdict(found) | {"indices": rows, "sentence": found.sentence}


def write_report(found: Sensitivity, folder: Path, title: str) -> None:
    """Write ``sensitivity.json``, ``sensitivity.png``, and the manifest of the folder."""
    with reporting(folder):
        write_json(folder / FILES[0], plain(found))
        _draw(found, folder / FILES[1], title)
        seal(folder)


def _draw(found: Sensitivity, path: Path, title: str) -> None:
    """Draw both plots side by side into a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = min(len(found.indices), MOST_BARS)
    figure = Figure(figsize=(11, 1.9 + 0.34 * rows), layout="constrained", dpi=144)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    plot_screening(found, left)
    plot_indices(found, right)
    handles = [
        Patch(color=WARM[0], label="assumed"),
        Patch(color=COOL[0], label="from a source"),
        Patch(color=MUTED, label="alone"),
        Patch(color=MUTED, alpha=0.45, label="with interactions"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=8)
    save_png(figure, path)


def plot_screening(found: Sensitivity, ax: Axes) -> Axes:
    """Morris' mu* of each factor with its 95 % interval, dotted: noise between seeds."""
    indices = found.indices[:MOST_BARS]
    places = np.arange(len(indices))
    ax.barh(
        places,
        [i.mu_star for i in indices],
        xerr=[i.mu_star_half for i in indices],
        color=[_color(index) for index in indices],
        height=0.62,
        error_kw=WHISKER,
    )
    ax.set_xlim(left=0)
    if found.noise > 0:
        ax.axvline(found.noise, color=INK, lw=1, ls=":")
        ax.annotate(
            "between seeds",
            (found.noise, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center" if found.noise > indices[0].mu_star / 4 else "left",
            fontsize=7.5,
            color=INK,
        )
    ax.set_yticks(places, [f"{i.factor.key}\n{i.factor.range}" for i in indices], fontsize=7.5)
    ax.set_xlabel(f"Morris' mu*: mean change over the range,\n{found.name}", fontsize=7.5, color=INK)
    return _tidy(ax)


def plot_indices(found: Sensitivity, ax: Axes) -> Axes:
    """Sobol's indices of each factor that was kept, first and total; dotted: share of the noise."""
    refined = [index for index in found.indices[:MOST_BARS] if index.total is not None]
    places = np.arange(len(refined))
    for name, half, shift, alpha in (
        ("total", "total_half", -0.17, 0.45),
        ("first", "first_half", 0.17, 1.0),
    ):
        ax.barh(
            places + shift,
            [max(getattr(i, name), 0.0) for i in refined],
            xerr=[getattr(i, half) for i in refined],
            color=[_color(i) for i in refined],
            alpha=alpha,
            height=0.32,
            error_kw=WHISKER,
        )
    ax.set_yticks(places, [i.factor.key.rpartition(".")[2] for i in refined], fontsize=7.5)
    ax.set_xlabel(
        "Sobol's indices: share of the variance,\nalone (dark) and in all (light)", fontsize=7.5, color=INK
    )
    ax.set_xlim(0, min(1.5, max(1.0, *(1.05 * ((i.total or 0) + (i.total_half or 0)) for i in refined))))
    if found.noise_share > 0:
        ax.axvline(found.noise_share, color=INK, lw=1, ls=":")
    return _tidy(ax)


def _color(index: Index) -> str:
    return WARM[0] if index.factor.assumed else COOL[0]


def _tidy(axes: Axes) -> Axes:
    axes.invert_yaxis()
    axes.tick_params(labelsize=7.5, colors=MUTED)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(axis="x", color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    return axes
