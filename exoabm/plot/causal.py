"""Figures of effects: on the tissue, over time, by vesicles released, and by the number of relays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from exoabm.plot.figure_page import PAGE, Grid, Page, save, styled
from exoabm.plot.palette import COOL, INK, MUTED, OTHER, PAPER, PLACES, RULE, WARM
from exoabm.plot.scales import label_ticks
from exoabm.text_formatting import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

DPI = 200
MARKED = 30
"""Changed cells up to which each is marked; more would hide the tissue."""
MOST_GROUPS = 25
"""Donors, or types of donors, whose effects are drawn."""
MOST_LABELS = 12
"""Points of a scatter plot that are named."""
NEAREST = 3.0
"""Distance of a name without a line to its point, in points."""
LABEL_DISTANCES = (NEAREST, 9.0, 16.0, 24.0, 34.0)
LABEL_DIRECTIONS = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
"""Where a name can stand, in points from its point, and in which directions; the first is preferred."""
LABEL_ROUNDS = 3
"""Times that each name is placed anew beside the others."""
LINE = np.linspace(0, 1, 9)
"""Places along the line from a name to its point that should cover nothing."""
LOSS, GAIN = WARM[0], COOL[0]
"""Colors of less and of more than as it is."""


def _numbers(ax: Axes, axes: str = "xy") -> None:
    for name in axes:
        label_ticks(getattr(ax, f"{name}axis"))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def draw_whatif(
    path: Path,
    *,
    cells: pd.DataFrame,
    effect: pd.Series,
    course: pd.DataFrame,
    chosen: Sequence[int],
    title: str,
    caption: str,
) -> None:
    """Write the picture of a comparison: the effect on each cell, and over time.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``cell``, ``x_um``, ``y_um``.
    effect : pandas.Series
        Change of the vesicles taken up, by cell.
    course : pandas.DataFrame
        Change of vesicles emitted, taken up and delivered, by time in h.
    chosen : sequence of int
        Cells that are marked.
    """
    with styled():
        grid = Grid(PAGE, 2, (66.0, 52.0), 14.0, 9.0, (30.0, 8.0))
        head = "change of vesicles taken up, by cell"
        head += " (in a ring: the cells that are changed)" if 0 < len(chosen) <= MARKED else ""
        page = Page(grid, [head, "change until each time"], title, caption)
        change_by_cell(page.panels[0], cells, effect, chosen)
        ax = page.panels[1]
        looks = {
            "emitted": PLACES["free"][1],
            "taken_up": PLACES["endosomal"][1],
            "delivered": PLACES["delivered"][1],
        }
        for name, color in looks.items():
            ax.plot(course.index, course[name], color=color, label=name.replace("_", " "), linewidth=1.2)
        ax.axhline(0, color=MUTED, linewidth=0.5)
        ax.set(xlabel="time (h)", ylabel="vesicles, changed less as it is")
        ax.legend(loc="best")
        _numbers(ax)
        save(page.figure, path, ".png", DPI)


def change_by_cell(ax: Axes, cells: pd.DataFrame, effect: pd.Series, chosen: Sequence[int]) -> None:
    """Draw the change of the vesicles taken up by each cell, at its place; see ``draw_whatif``."""
    from matplotlib.colors import LinearSegmentedColormap, SymLogNorm

    value = cells.cell.map(effect).fillna(0.0).to_numpy()
    most = float(np.abs(value).max()) or 1.0
    norm = SymLogNorm(most / 100, vmin=-most, vmax=most)
    colors = LinearSegmentedColormap.from_list("effect", [LOSS, "#EEF0F2", GAIN])
    size = float(np.clip(12000 / max(len(cells), 1), 1.0, 30.0))
    order = np.argsort(np.abs(value), kind="stable")
    x, y = cells.x_um.to_numpy(), cells.y_um.to_numpy()
    dots = ax.scatter(
        x[order], y[order], c=value[order], s=size, cmap=colors, norm=norm, edgecolors=RULE, linewidths=0.2
    )
    mine = cells.cell.isin(chosen).to_numpy() & (len(chosen) <= MARKED)
    ax.scatter(
        x[mine], y[mine], s=1.6 * size, facecolors="none", edgecolors=INK, linewidths=0.7, label="changed"
    )
    ax.set(aspect="equal", xlabel="x (µm)", ylabel="y (µm)")
    _numbers(ax)
    bar = ax.figure.colorbar(dots, ax=ax, fraction=0.04, pad=0.02)
    ticks = [-most, -most / 10, 0.0, most / 10, most]
    bar.set_ticks(ticks, labels=[number(float(f"{tick:.3g}")) for tick in ticks])
    bar.outline.set_visible(False)


def effects(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the first effects with their 95 % intervals; ``rows`` as in ``draw_attribution``."""
    shown = list(rows)[:MOST_GROUPS]
    place = np.arange(len(shown))[::-1]
    effect = np.array([row["effect"] for row in shown])
    low, high = (np.array([row[key] for row in shown], float) for key in ("ci95_low", "ci95_high"))
    ax.barh(place, effect, color=[GAIN if e >= 0 else LOSS for e in effect], height=0.6)
    known = np.isfinite(low)
    ax.hlines(place[known], low[known], high[known], color=INK, linewidth=0.8)
    ax.axvline(0, color=MUTED, linewidth=0.5)
    ax.set_yticks(place, [row["group"] for row in shown])
    _numbers(ax, "x")


def relays(ax: Axes, share: np.ndarray) -> None:
    """Draw the share of the delivered vesicles by the number of cells in between."""
    from matplotlib.ticker import MaxNLocator

    ax.bar(np.arange(len(share)), share, color=[COOL[0], *[COOL[2]] * (len(share) - 1)], width=0.8)
    ax.set(xlabel="cells in between", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _numbers(ax)


def draw_attribution(path: Path, rows: Sequence[Mapping[str, Any]], *, title: str, caption: str) -> None:
    """Write the picture of an attribution: effects with intervals, and their shares beside those sent.

    ``rows`` have ``group``, ``sent_share``, ``effect``, ``ci95_low``, ``ci95_high`` and ``effect_share``.
    """
    shown = list(rows)[:MOST_GROUPS]
    with styled():
        height = max(40.0, 4.0 * len(shown) + 8)
        grid = Grid(PAGE, 2, (62.0, height), 34.0, 9.0, (16.0, 8.0))
        page = Page(
            grid,
            ["effect, and its 95 % interval", "share of the effect, against share of vesicles sent"],
            title,
            caption,
        )
        left, right = page.panels
        effects(left, shown)
        known_rows = [row for row in rows if row["effect_share"] is not None]
        sent = np.array([row["sent_share"] for row in known_rows])
        share = np.array([row["effect_share"] for row in known_rows])
        ends = [np.append(each, 0.0) for each in (sent, share)]
        pad = [0.08 * (float(np.ptp(each)) or 1.0) for each in ends]
        limits = [(float(e.min()) - p, float(e.max()) + p) for e, p in zip(ends, pad, strict=True)]
        right.axline((0, 0), slope=1, color=RULE, linewidth=0.8, zorder=0)
        right.scatter(
            sent, share, s=14 if len(rows) <= 100 else 3, color=OTHER, edgecolors=PAPER, linewidths=0.2
        )
        right.axhline(0, color=MUTED, linewidth=0.5)
        right.set(
            xlabel="share of vesicles sent", ylabel="share of the effect", xlim=limits[0], ylim=limits[1]
        )
        _numbers(right)
        if len(known_rows) <= MOST_LABELS:
            names = [str(row["group"]).partition(":")[2] for row in known_rows]
            label_points(right, np.column_stack((sent, share)), names)
        save(page.figure, path, ".png", DPI)


def label_points(ax: Axes, points: np.ndarray, names: Sequence[str]) -> list[Annotation]:
    """Write a name beside each point, (n, 2), where it covers the least of points, other names and lines.

    The candidates are eight directions around the point, from near to far; a name farther away than the
    nearest is joined to its point by a line. Each name is placed again once the others are. The limits of
    the axes must be set.
    """
    at, pixels, inside = ax.transData.transform(points), ax.figure.dpi / 72, ax.get_window_extent()
    marks = [_box(center, 4 * pixels, 4 * pixels) for center in at]
    placed: list[_Label] = []
    for i in [*range(len(names))] * LABEL_ROUNDS:
        probe = ax.text(0, 0, names[i])
        size = probe.get_window_extent()
        probe.remove()
        others = [box for j, label in enumerate(placed) if j != i for box in label.boxes]
        others += marks[:i] + marks[i + 1 :]  # no direction comes near its own
        candidates = [
            _candidate(at[i], size, far, direction, pixels)
            for far in LABEL_DISTANCES
            for direction in LABEL_DIRECTIONS
        ]
        cost = [
            sum(_common(box, other) for box in each.boxes for other in others)
            + size.width * size.height
            - _common(each.boxes[0], inside)
            for each in candidates
        ]
        placed[i : i + 1] = [candidates[int(np.argmin(np.round(cost)))]]  # the nearest of the best
    return [_annotate(ax, *each) for each in zip(names, points, placed, strict=True)]


class _Label(NamedTuple):
    """A place of a name: so many points away in a direction; boxes of the name and along its line."""

    far: float
    direction: tuple[int, int]
    boxes: list[Bbox]


def _candidate(at: np.ndarray, size: Bbox, far: float, direction: tuple[int, int], pixels: float) -> _Label:
    toward = np.array(direction)
    start = at + toward * far * pixels
    box = _box(start + toward * size.size / 2, size.width, size.height)
    line = [_box(start + t * (at - start), 3 * pixels, 3 * pixels) for t in LINE if far > NEAREST]
    return _Label(far, direction, [box, *line])


def _annotate(ax: Axes, name: str, point: np.ndarray, label: _Label) -> Annotation:
    dx, dy = label.direction
    line = {"arrowstyle": "-", "color": MUTED, "lw": 0.4, "shrinkA": 1, "shrinkB": 2}
    return ax.annotate(
        name,
        (point[0], point[1]),
        (label.far * dx, label.far * dy),
        textcoords="offset points",
        ha=("right", "center", "left")[dx + 1],
        va=("top", "center", "bottom")[dy + 1],
        arrowprops=line | {"relpos": ((1 - dx) / 2, (1 - dy) / 2)} if label.far > NEAREST else None,
    )


def _box(center: np.ndarray, width: float, height: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(center[0] - width / 2, center[1] - height / 2, width, height)


def _common(a: Bbox, b: Bbox) -> float:
    """Area that two boxes have in common."""
    wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(wide, 0.0) * max(high, 0.0)


def draw_paths(path: Path, shares: Mapping[str, np.ndarray], *, title: str, caption: str) -> None:
    """Write the picture of paths: share of the delivered vesicles by hops, for each recipient type."""
    with styled():
        names = list(shares)
        columns = min(3, len(names))
        width = (PAGE - 18.0 - 10.0 * (columns - 1)) / columns - 1
        grid = Grid(PAGE, columns, (width, 36.0), 13.0, 9.0, (10.0, 10.0))
        page = Page(grid, names, title, caption)
        for ax, name in zip(page.panels, names, strict=True):
            relays(ax, shares[name])
        page.panels[0].set_ylabel("share of delivered vesicles")
        save(page.figure, path, ".png", DPI)
