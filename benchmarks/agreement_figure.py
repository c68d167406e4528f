"""The picture of ``exoabm bench agreement``: counts against expected numbers, and how far they stray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.plot.palette import COOL, INK, MUTED, PAPER, RULE, WARM, rgb, to_hex

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from exoabm.benchmarks.agreement import Comparison

WIDTH, ROW, DPI = 11.5, 4.5, 100
"""Inches across, inches for each scenario, pixels an inch."""
TITLES = {
    "uptake": "Uptake of each cell",
    "free vesicles": "Free vesicles in each block of voxels",
    "edges": "Edges, the strongest pairs of cells",
}
AXES = {
    "uptake": ("expected (continuum)", "mean of {runs} runs", "vesicles per cell"),
    "free vesicles": ("expected (continuum)", "mean of {runs} runs", "vesicles per block"),
    "edges": ("expected (transfer matrix)", "counted in one run", "vesicles per pair"),
}
COLORS = {"uptake": COOL[0], "free vesicles": COOL[1], "edges": WARM[0]}
NOTE = (
    "Above: single vesicles, with standard errors; the line is the expected number. "
    "Below: the difference in standard errors;\n"
    "for a correct engine 95 % lie in the band, and slightly more where the vesicles of a donor have few "
    "possible destinations."
)


def draw_agreement(found: list[Comparison], path: Path) -> None:
    """Write the picture as PNG, SVG or PDF, by the ending of ``path``.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    build_figure(found).savefig(path)


def build_figure(found: list[Comparison]) -> Figure:
    """A row for each scenario, a column for each comparison; above the numbers, below their z-scores."""
    from matplotlib.figure import Figure

    scenarios = list(dict.fromkeys(one.scenario for one in found))
    columns = list(dict.fromkeys(one.what for one in found))
    height = 0.95 + ROW * len(scenarios)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    verdict = "agree" if all(one.result for one in found) else "do not agree"
    title = f"Vesicles counted one by one {verdict} with the numbers expected"
    figure.text(0.066, 1 - 0.36 / height, title, size=15, weight="bold", color=INK)
    figure.text(0.066, 1 - 0.82 / height, NOTE, size=8.5, color=MUTED, linespacing=1.4)
    for one in found:
        row, column = scenarios.index(one.scenario), columns.index(one.what)
        left, bottom = 0.066 + column * 0.325, (ROW * (len(scenarios) - 1 - row) + 0.5) / height
        upper = figure.add_axes((left, bottom + 1.2 / height, 0.272, (ROW - 2.45) / height))
        lower = figure.add_axes((left, bottom, 0.272, 0.85 / height), sharex=upper)
        _numbers(upper, one)
        _scores(lower, one)
        if column == 0:
            figure.text(left, bottom + (ROW - 0.84) / height, one.scenario, size=12, weight="bold", color=INK)
    return figure


def _numbers(axes: Axes, one: Comparison) -> None:
    """Counts over expected numbers, with standard errors, on the line y = x."""
    x, y = one.result.expected / one.runs, one.result.counts / one.runs
    error, color = np.sqrt(one.result.expected) / one.runs, COLORS[one.what]
    low, high = min(x.min(), y[y > 0].min()) / 1.15, max(x.max(), y.max()) * 1.15
    axes.errorbar(
        x, y, error, fmt="o", markersize=3, color=color, markeredgecolor=PAPER, markeredgewidth=0.3,
        ecolor=to_hex(1 - 0.4 * (1 - rgb(color))), elinewidth=0.7, zorder=2,
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9, zorder=3)
    for axis in "xy":
        _logarithmic(axes, axis)
    axes.set(xlim=(low, high), ylim=(low, high))
    _plain(axes)
    axes.tick_params(labelbottom=False)
    _, how, unit = AXES[one.what]
    axes.set_ylabel(f"{how.format(runs=one.runs)},\n{unit}", size=8.5, color=INK)
    axes.set_title(TITLES[one.what], size=9.5, loc="left", color=INK)
    share = 100 * (one.result.counts.sum() / one.result.expected.sum() - 1)
    text = f"{len(x):,} {one.places}\ncounted {y.sum():,.0f} ({share:+.2f} %)\nexpected {x.sum():,.0f}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", size=8.5, color=INK)


def _scores(axes: Axes, one: Comparison) -> None:
    """z-scores over expected numbers, between the bounds that a right engine oversteps once in 20 places."""
    x, z = one.result.expected / one.runs, one.result.z
    axes.axhspan(-1.96, 1.96, color=RULE, alpha=0.5, linewidth=0, zorder=0)
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    axes.plot(
        x, z, "o", markersize=3, color=COLORS[one.what], markeredgecolor=PAPER, markeredgewidth=0.3, zorder=2
    )
    top = max(4.2, float(np.abs(z).max()) * 1.1)
    axes.set_ylim(-top, top)
    axes.set_yticks([-2, 0, 2])
    _logarithmic(axes, "x")
    _plain(axes)
    how, _, unit = AXES[one.what]
    axes.set_xlabel(f"{how}, {unit}", size=8.5, color=INK)
    axes.set_ylabel("difference,\ns.e.", size=8.5, color=INK)
    inside = 100 * float(np.mean(np.abs(z) < 1.96))
    said = f"{inside:.0f} % in the band, worst {np.abs(z).max():.1f}"
    axes.set_title(said, size=8, loc="right", color=MUTED, pad=3)


def _logarithmic(axes: Axes, axis: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    ruler = axes.xaxis if axis == "x" else axes.yaxis
    ruler.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ruler.set_minor_formatter(NullFormatter())


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.tick_params(which="minor", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
