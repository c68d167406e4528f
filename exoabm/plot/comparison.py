"""Two runs compared: both over time, and their difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.plot.figure_page import frame
from exoabm.plot.palette import COOL, INK, MUTED, WARM
from exoabm.plot.scales import label_ticks

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

PANELS = 4
"""Readouts of a comparison that are drawn."""
USUAL = ("taken_up", "delivered", "free", "cleared")
"""Quantities that are shown first where they differ."""


def draw_comparison(path: Path, table: pa.Table, *, first: str, caption: str, same: float) -> None:
    """Write the picture of two runs: A and B over time, and B - A below, for the readouts that differ most.

    ``table`` has the columns ``time_h``, ``readout``, ``a``, ``b`` and ``difference``; ``first`` is the
    readout of the first panel, where the table has it. Readouts that differ by no more than the share
    ``same`` come last.
    """
    from matplotlib.figure import Figure

    names = _most_changed(table, first, same)
    readout = np.array(table["readout"].to_pylist())
    figure = Figure(figsize=(3.4 * len(names) + 0.4, 4.6), layout="constrained", dpi=144)
    figure.supxlabel("time (h)", color=INK, fontsize=9)
    both = figure.subplots(2, len(names), squeeze=False, sharex=True, height_ratios=(3, 2))
    for column, name in enumerate(names):
        mine = readout == name
        time, a, b, change = (np.asarray(table[part])[mine] for part in ("time_h", "a", "b", "difference"))
        upper, lower = both[:, column]
        upper.set_title(name.replace("_", " "), fontsize=8.5, color=INK, loc="left")
        upper.plot(time, a, color=COOL[0], lw=1.6, label="A")
        upper.plot(time, b, color=WARM[0], lw=1.6, ls="--", label="B")
        lower.axhline(0, color=MUTED, lw=0.8)
        lower.fill_between(time, change, color=INK, alpha=0.15, lw=0)
        lower.plot(time, change, color=INK, lw=1.2)
        for axes in (upper, lower):
            frame(axes)
            label_ticks(axes.yaxis)
    both[0, 0].legend(frameon=False, fontsize=8.5)
    both[1, 0].set_ylabel("B − A", fontsize=9, color=INK)  # noqa: RUF001
    figure.suptitle(caption, x=0.01, ha="left", color=INK, fontsize=10)
    figure.savefig(path, format="png", facecolor="white")


def _most_changed(table: pa.Table, first: str, same: float) -> list[str]:
    """``first``, and the readouts that differ most over time, as a share of their largest value."""
    change: dict[str, float] = {}
    readout = np.array(table["readout"].to_pylist())
    for name in dict.fromkeys(readout.tolist()):
        mine = readout == name
        size = max(np.abs(np.asarray(table[side])[mine]).max() for side in "ab")
        change[name] = np.abs(np.asarray(table["difference"])[mine]).max() / size if size else 0.0

    def rank(name: str) -> tuple[bool, bool, int, float]:
        quantity = name.partition("[")[0]
        place = USUAL.index(quantity) if quantity in USUAL else len(USUAL)
        return name != first, change[name] <= same, place, -change[name]

    return sorted(change, key=rank)[:PANELS]
