"""Amounts over time, with bands for the intervals of their means, and amounts by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.plot.figure_page import (
    COLUMN,
    EDGE,
    PAGE,
    Grid,
    Page,
    axes_or_new,
    check_width,
    darker,
    hues,
    name_lines,
    rule,
    text_height,
    text_width,
)
from exoabm.plot.scales import label_ticks
from exoabm.text_formatting import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
"""Lines of curves that share a color, one after the other."""


def courses(
    hours: np.ndarray,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    unit: str = "vesicles per cell",
    colors: Mapping[str, str] | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves over time.

    Parameters
    ----------
    hours : ndarray, shape (times,)
        In h.
    curves : dict of tuple of ndarray, shape (times,)
        By name mean and half the width of its interval, NaN where there is none.
    unit : str
        Of the amounts.
    colors : dict of str, optional
        By the names of curves.
    legend : bool
        Whether the names of the curves are written, beside the axes.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes_or_new(ax)
    shades = dict(hues(list(curves))) | dict(colors or {})
    lines = line_styles(list(curves), shades)
    for name, (mean, half) in curves.items():
        color = darker(shades[name])
        ax.plot(hours, mean, color=color, linestyle=lines[name], linewidth=1.0, label=name_lines(name, 22))
        if np.isfinite(half).any():
            ax.fill_between(hours, mean - half, mean + half, color=color, alpha=0.25, linewidth=0)
    end = max(float(hours[-1]), float(hours[0]) + 1e-3)
    low = min([0.0, *(float(np.nanmin(m - np.nan_to_num(h))) for m, h in curves.values())])
    ax.set(xlim=(float(hours[0]), end), xlabel="time (h)")
    ax.set_ylim(bottom=low if low < 0 else 0.0)
    ax.set_ylabel(unit, parse_math=False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    label_ticks(ax.xaxis, ax.yaxis)
    rule(ax)
    if legend:
        write_names(ax)
    return ax


def line_styles(names: list[str], colors: Mapping[str, str]) -> dict[str, object]:
    """A line style for each, so that lines of one color differ."""
    used: dict[str, int] = {}
    found: dict[str, object] = {}
    for name in names:
        place = used.get(colors[name], 0)
        found[name] = DASHES[place % len(DASHES)]
        used[colors[name]] = place + 1
    return found


def write_names(ax: Axes) -> None:
    """Names of the curves, right of the axes, in the order of the last values."""
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(handles)), key=lambda i: -_last(handles[i]))
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.0,
        handlelength=2.2,
        handletextpad=0.5,
        labelspacing=0.35,
    )


def _last(handle: object) -> float:
    values = np.asarray(getattr(handle, "get_ydata", lambda: [0.0])(), float)
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else 0.0


GAP = (4.0, 4.0)
"""Between panels, mm."""
NARROWEST, LEAST = 34.0, 20.0
"""Panel, mm; the latter where there is but one beside another."""
KEY = 8.5
"""Room of a line beside a name in the key, mm."""
KEY_LINE = 1.2 * text_height(1)
"""Height of a line of the key, mm."""
SHAPE = 0.68
"""Height of a panel beside its width."""


def curve_page(
    titles: Sequence[str],
    names: Sequence[str],
    numbers: Sequence[str],
    *,
    heading: str,
    caption: str,
    label: str,
    width: float | None = None,
    beside: bool = True,
) -> Page:
    """Empty panels that share their axes; those at the left have room for numbers, those below for a label.

    Parameters
    ----------
    titles : sequence of str
        Of the panels.
    names : sequence of str
        Of what is drawn, in the key beside the panels.
    numbers : sequence of str
        Of which the broadest fits beside the axis.
    heading, caption : str
    label : str
        Of the upright axes.
    width : float, optional
        In mm; one column of a journal for one panel, two for more.
    beside : bool
        Whether the key has room of its own, right of the panels.
    """
    wide = (COLUMN if len(titles) == 1 else PAGE) if width is None else width
    left = text_height(1) + 3.5 + max(text_width(number) for number in numbers)
    lines = [line for name in names for line in name_lines(name, 22).split("\n")]
    least = text_width(label) + 1.0
    key = KEY + max(map(text_width, lines), default=0.0) if beside else 2.0
    room = wide - 2 * EDGE - left - key
    check_width(width, wide - room + LEAST)
    across = max(1, min(len(titles), int((room + GAP[0]) / (NARROWEST + GAP[0])), 4))
    across = -(-len(titles) // -(-len(titles) // across))
    panel = (room - (across - 1) * GAP[0]) / across
    grid = Grid(
        width=wide,
        columns=across,
        panel=(panel, max(SHAPE * panel, least, KEY_LINE * len(lines) if across == len(titles) else 0.0)),
        left=left,
        bottom=2 * text_height(1) + 2.0,
        gap=GAP,
    )
    page = Page(grid, titles, heading, caption)
    for ax in page.panels:
        ax.yaxis.set_label_coords(-(left - text_height(1) / 2) / panel, 0.5)
    return page


def tidy(page: Page) -> None:
    """Leave the numbers and the labels to the panels at the left and below; give all the same range."""
    tops = [ax.get_ylim() for ax in page.panels]
    for i, ax in enumerate(page.panels):
        ax.set_ylim(min(low for low, _ in tops), max(high for _, high in tops))
        if not page.is_leftmost(i):
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if not page.is_lowest(i):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)


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
    from matplotlib.ticker import MaxNLocator

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
    label_ticks(ax.xaxis, ax.yaxis)
    rule(ax)
    if legend:
        ax.legend(loc="upper right", handlelength=2.0, labelspacing=0.35)
    return ax
