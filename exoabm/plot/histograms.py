"""How far vesicles got: how many went between cells so far apart, in bins of equal width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.curves import line_styles
from exoabm.plot.scales import number
from exoabm.plot.style import axes_or_new, darker, hues, name_lines, rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

BINS = 25
"""Most bins."""


def bins_for(furthest: float) -> np.ndarray:
    """Edges of bins of a round width in um, from 0 to beyond ``furthest``, at most ``BINS`` of them."""
    raw = max(furthest, 1e-9) / BINS
    power = 10.0 ** np.floor(np.log10(raw))
    width = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    return width * np.arange(int(np.floor(furthest / width + 1e-9)) + 2)


def distances(
    edges: np.ndarray,
    amounts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    unit: str = "vesicles delivered",
    colors: Mapping[str, str] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw amounts by distance: bars for one, steps for several.

    Parameters
    ----------
    edges : ndarray, shape (bins + 1,)
        Of the bins, um.
    amounts : dict of tuple of ndarray, shape (bins,)
        By the name of what sent, the mean and half the width of its interval, NaN where there is none.
    unit : str
        Of the amounts.
    colors : dict of str, optional
        By the names.
    legend : bool
        Whether the names are written, in the axes.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax = axes_or_new(ax)
    shades = dict(hues(list(amounts))) | dict(colors or {})
    lines = line_styles(list(amounts), shades)
    middle = (edges[:-1] + edges[1:]) / 2
    for name, (mean, half) in amounts.items():
        color, label = darker(shades[name]), name_lines(name, 22)
        if len(amounts) == 1:
            ax.stairs(mean, edges, fill=True, color=shades[name], linewidth=0, label=label)
            ax.stairs(mean, edges, color="white", linewidth=0.4)
        else:
            ax.stairs(mean, edges, color=color, linewidth=1.0, linestyle=lines[name], label=label)
        if np.isfinite(half).any():
            some = np.isfinite(half) & ((mean > 0) | (half > 0))
            low = np.minimum(half, mean)[some]
            bars: dict[str, Any] = {"ecolor": color, "elinewidth": 0.6, "capsize": 1.2, "capthick": 0.6}
            ax.errorbar(middle[some], mean[some], [low, half[some]], fmt="none", **bars)
    ax.set(xlim=(float(edges[0]), float(edges[-1])), xlabel="distance between the cells (µm)")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(f"{unit} per {number(float(edges[1] - edges[0]))} µm", parse_math=False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value, 9))))
    rule(ax)
    if legend:
        ax.legend(loc="upper right", handlelength=2.0, labelspacing=0.35)
    return ax
