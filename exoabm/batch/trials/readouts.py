"""The readouts of a trial: columns of the metrics, each reduced to one number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from exoabm.batch.sweeps.readouts import possible
from exoabm.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from exoabm.batch.sweeps.readouts import Readouts
    from exoabm.model import ExosomeModel
    from exoabm.scenario.schema_therapy import ReadoutTable


def measure(model: ExosomeModel) -> Readouts:
    """The readouts of the model's trial; None where a number is not finite."""
    assert model.scenario.trial is not None
    asked, rows = model.scenario.trial.readout, model.history.rows
    absent = any(each.metric not in rows[-1] for each in asked)
    known = possible(model, recorded=True) if absent else ()
    found = {each.name: take(each, rows, known) for each in asked}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def take(readout: ReadoutTable, rows: Sequence[Mapping[str, float]], known: Collection[str] = ()) -> float:
    """Reduce a column of the metrics to one number; NaN where it needs a row that lacks the column.

    ``known`` are columns that the scenario can have, as of a type that has no cells yet or no more.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if readout.metric not in known and not any(readout.metric in row for row in rows):
        raise InputError(
            f"trial.readout.{readout.name}.metric = {readout.metric!r}: no such column in the metrics"
            f"{did_you_mean(readout.metric, rows[-1])}"
        )
    until = np.inf if readout.at is None else float(readout.at) / 3600 * (1 + 1e-9)
    taken = [row for row in rows if row["time_h"] <= until]
    column = np.array([row.get(readout.metric, np.nan) for row in taken])
    if readout.reduce == "last":
        return float(column[-1])
    if readout.reduce != "time_to" and np.isnan(column).any():
        return np.nan
    if readout.reduce == "max":
        return float(column.max())
    if readout.reduce == "mean":
        return float(column.mean())
    if readout.reduce == "time_of_max":
        return float(taken[int(column.argmax())]["time_h"])
    reached = np.flatnonzero(column >= readout.level)
    return float(taken[reached[0] if len(reached) else -1]["time_h"])
