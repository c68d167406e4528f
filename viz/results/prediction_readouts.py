"""Readouts by which a prediction is judged: those of a model at one moment, and that asked for over time."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from exoabm.analysis.communication import reach
from exoabm.output.metrics import measure
from exoabm.tables.readouts import named
from exoabm.viz.results.charts import MOST_POINTS, asked_column

if TYPE_CHECKING:
    from exoabm.model import ExosomeModel
    from exoabm.viz.run_setup import Prediction


class JudgedCurve:
    """What a prediction asks for over time, in ``rows`` of its own, where the metrics do not have it."""

    def __init__(self, asked: Prediction | None, model: ExosomeModel) -> None:
        self.asked = asked if asked is not None and asked_column(asked) not in measure(model.state) else None
        self.rows: list[dict[str, float]] = []
        self._tried = -np.inf

    def note(self, model: ExosomeModel, end: float) -> None:
        """Add the present moment, if it is due: ``MOST_POINTS`` times until ``end`` (s), and then."""
        time = model.state.time
        due = time - self._tried >= end / MOST_POINTS or self._tried < time >= end
        if self.asked is not None and due:
            self._tried = time
            (value,) = self.asked.values([final_readouts(model)])
            if not np.isnan(value):
                self.rows.append({"time_s": time, "time_h": time / 3600, asked_column(self.asked): value})

    def back_to(self, time: float) -> None:
        """Forget what came after a time in s."""
        self.rows = [row for row in self.rows if row["time_s"] <= time]
        self._tried = self.rows[-1]["time_s"] if self.rows else -np.inf


def final_readouts(model: ExosomeModel) -> dict[str, float]:
    """Readouts of this moment, the reach of donor types, and mean distances between cell types.

    ``distance_um[a, b]`` is the mean distance from the cells of type a to their nearest cell of type b.
    """
    state = model.state
    found = dict(measure(state))
    for donor, values in reach(state).items():
        if "mean_um" in values:  # some were taken up by other cells
            found[named("reach_mean_um", donor)] = values["mean_um"]
    position, kinds = state.cells.position, state.cells.type
    for (i, a), (j, b) in permutations(enumerate(state.types), 2):
        start, end = position[kinds == i], position[kinds == j]
        if len(start) and len(end):
            found[f"distance_um[{a.name}, {b.name}]"] = float(np.mean(cKDTree(end).query(start)[0]))
    return found
