"""A picture per varied key: how the readouts answer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.sweeps.summary import ROUNDING
from exoabm.output.run_folder import placed
from exoabm.plot.palette import COOL, INK, MUTED, RULE, WARM
from exoabm.plot.scales import number
from exoabm.tables.readouts import KEYS, parse

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from exoabm.batch.sweeps.summary import Summary, Varied

PANELS = 6
PREFERRED = (
    "taken_up",
    "delivered",
    "reach_median_um",
    "communication_distance_um",
    "free",
    "cleared",
)
"""The quantities that most questions are about."""
FAINT = "#9FB6C8"
"""Intervals where there are many."""
WIDE = 30
"""A readout whose means differ by more than this factor has a logarithmic scale."""
MANY_LEVELS = 12
"""With more values than this a range is shown as points rather than as means at each value."""


def draw_sweep(summary: Summary, folder: Path, title: str, chosen: list[str] | None = None) -> list[Path]:
    """Draw ``KEY.png`` per varied key into a folder; a panel per readout, chosen or those asked for most."""
    readouts = chosen or headline(summary)
    if not readouts or len(summary.points) < 2:
        return []
    folder.mkdir(exist_ok=True)
    return [_draw(summary, varied, readouts, folder, title) for varied in summary.varied]


def headline(summary: Summary) -> list[str]:
    """The readouts to show if nobody chose: those that change, the usual ones first."""
    means = summary.mean[summary.n > 0]
    if not len(means):
        return []
    with np.errstate(invalid="ignore"):
        changes = np.ptp(means, axis=0) > ROUNDING * np.abs(means).max(axis=0)
    moving = [name for name, change in zip(summary.readouts, changes, strict=True) if change]

    def rank(name: str) -> tuple[bool, int]:
        found = parse(name) if name.partition("[")[0] in KEYS else None
        if found is None or found.quantity not in PREFERRED:
            return False, len(PREFERRED)
        return found.pair, PREFERRED.index(found.quantity)

    return sorted(moving, key=rank)[:PANELS]


def _draw(summary: Summary, varied: Varied, readouts: list[str], folder: Path, title: str) -> Path:
    from matplotlib.figure import Figure

    columns = min(3, len(readouts))
    rows = -(-len(readouts) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.4, 2.7 * rows + 0.9), layout="constrained", dpi=144)
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    figure.supxlabel(varied.column, color=INK, fontsize=9)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(readouts) :]:
        axes.remove()
    for axes, name in zip(panels, readouts, strict=False):
        _panel(axes, summary, varied, name)
    path = folder / f"{varied.key}.png"
    with placed(path) as partial:
        figure.savefig(partial, format="png", facecolor="white")
    return path


def _panel(axes: Axes, summary: Summary, varied: Varied, name: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    column = summary.readouts.index(name)
    values = [point.get(varied.key) for point in summary.points]
    names = list(dict.fromkeys(values))
    numeric = varied.numeric and None not in names
    x = np.array(values, float) if numeric else np.array([names.index(v) for v in values], float)
    y, half = summary.mean[:, column], np.nan_to_num(summary.half[:, column])
    levels = summary.marginal(varied.key)
    axes.set_title(name.replace("_", " "), fontsize=8.5, color=INK, loc="left")
    if len(levels) > MANY_LEVELS:
        axes.errorbar(x, y, _reach(y, half), fmt="o", ms=3, lw=0.8, color=COOL[0], ecolor=FAINT)
    else:
        if len(levels) < len(x):
            axes.plot(x, y, "o", ms=2.5, color=MUTED, alpha=0.5, zorder=1)
        means, halves = (np.array([pair[i][column] for pair in levels.values()]) for i in (0, 1))
        places = x[[values.index(value) for value in levels]]
        style = "o-" if numeric else "o"
        halves = _reach(means, np.nan_to_num(halves))
        axes.errorbar(places, means, halves, fmt=style, ms=4.5, lw=1.4, capsize=3, color=WARM[0], zorder=2)
    if numeric and _by_factors(np.unique(x)):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", color=RULE)
    elif not numeric:
        axes.set_xticks(range(len(names)), [_short(v) for v in names], fontsize=8)
        axes.margins(x=0.15)
    if y.min() > 0 and y.max() > WIDE * y.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.grid(color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)


def _reach(mean: np.ndarray, half: np.ndarray) -> np.ndarray:
    """How far intervals go below and above their means, (2, n); that of a mean above 0 ends there."""
    return np.array([np.where(mean >= 0, np.minimum(half, mean), half), half])


def _by_factors(places: np.ndarray) -> bool:
    """Whether values are spread by factors rather than by steps."""
    if places[0] <= 0 or places[-1] < 5 * places[0]:
        return False
    return bool(np.median(places) < (places[0] + places[-1]) / 2 * 0.75)


def _short(value: object) -> str:
    text = "as it is" if value is None else str(value)
    return text if len(text) <= 18 else text[:17] + "…"
