"""Tables of measurements that a scenario is fitted to: time series, or histograms of diameters."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.manifest import demand
from exoabm.parameters import CATALOG

if TYPE_CHECKING:
    from collections.abc import Sequence

TIME = "time_h"
DEVIATION = "_sd"
DIAMETERS = ("diameter_nm", "bin_center_nm", "bin_centre_nm")
METRICS = "metrics.parquet"


@dataclass(frozen=True)
class Table:
    """Columns of numbers of equal length, by name."""

    path: Path
    columns: dict[str, np.ndarray]

    @property
    def diameters(self) -> str | None:
        """Name of the column of diameters, if the table is a histogram of them."""
        return next((name for name in DIAMETERS if name in self.columns), None)

    def chosen(self, names: Sequence[str], *beside: str) -> list[str]:
        """The columns asked for, or all but those beside them.

        Raises
        ------
        InputError
            If there is no such column.
        """
        known = [name for name in self.columns if name not in beside and not self._deviates(name)]
        for name in names:
            if name not in known:
                raise InputError(
                    f"--column {name}: no numbers of this name in {self.path}{did_you_mean(name, known)}"
                )
        return list(names) or known

    def _deviates(self, name: str) -> bool:
        return name.endswith(DEVIATION) and name.removesuffix(DEVIATION) in self.columns


@dataclass(frozen=True)
class Series:
    """Readouts measured at times.

    Attributes
    ----------
    hours : numpy.ndarray
        Rising, (n,).
    names : tuple of str
        Columns of ``metrics.parquet``, m of them.
    values : numpy.ndarray
        (n, m); NaN where nothing was measured.
    deviation : numpy.ndarray or None
        Standard deviations of the values, (n, m), if the table gives them all.
    """

    hours: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    deviation: np.ndarray | None


def read_table(path: Path) -> Table:
    """Read the numbers of a CSV or Parquet file, or the metrics of a run folder.

    Raises
    ------
    InputError
        If there is no such table.
    """
    import pyarrow as pa
    from pyarrow import compute, csv

    from exoabm.observe.tables import read_whole

    if path.is_dir():
        demand(path, [METRICS])
        path = path / METRICS
    try:
        table = read_whole(path) if path.suffix == ".parquet" else csv.read_csv(path)
        names = table.column_names
    except FileNotFoundError:
        raise InputError(f"--data {path}: there is no such file") from None
    except (OSError, ValueError, InputError) as error:  # Arrow's errors are among these
        raise InputError(f"--data {path}: cannot be read: {str(error)[:300]}") from None
    columns = {}
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--data {path}: two columns are named {name!r}")
        with contextlib.suppress(ValueError, pa.ArrowNotImplementedError):  # words, such as a sample's name
            columns[name] = compute.cast(table[name], pa.float64()).to_numpy().astype(float)
    return Table(path, columns)


def series_of(table: Table, names: Sequence[str] = ()) -> Series:
    """The time series of a table; without names, of all columns that change.

    Raises
    ------
    InputError
        If there is no column of times, they do not rise from 0, or nothing was measured.
    """
    hours = table.columns.get(TIME)
    if hours is None:
        either = ", ".join(DIAMETERS)
        raise InputError(f"--data {table.path}: needs a column {TIME}, or for a histogram one of {either}")
    if not (np.isfinite(hours).all() and (np.diff(hours) > 0).all() and hours.size and hours[0] >= 0):
        raise InputError(f"--data {table.path}: {TIME} must rise from 0 or later")
    longest = CATALOG["duration"].allowed[1]
    if hours[-1] > longest:
        raise InputError(f"--data {table.path}: {TIME} = {hours[-1]:g}; a run lasts at most {longest:g} h")
    chosen = table.chosen(names, TIME)
    if not names:
        chosen = [name for name in chosen if _changes(table.columns[name])]
    if not chosen:
        raise InputError(f"--data {table.path}: no column changes with time")
    values = np.column_stack([table.columns[name] for name in chosen])
    if (endless := np.argwhere(np.isinf(values))).size:
        row, column = endless[0]
        raise InputError(f"--data {table.path}: {chosen[column]} is infinite at {TIME} = {hours[row]:g}")
    given = [table.columns.get(name + DEVIATION) for name in chosen]
    found = [column for column in given if column is not None]
    if found and len(found) < len(given):
        raise InputError(f"--data {table.path}: give a column NAME{DEVIATION} for every column, or for none")
    deviation = np.column_stack(found) if found else None
    if deviation is not None and not (deviation[np.isfinite(values)] > 0).all():
        raise InputError(f"--data {table.path}: a standard deviation must be above 0")
    return Series(hours, tuple(chosen), values, deviation)


def _changes(values: np.ndarray) -> bool:
    """Whether what was measured is not the same all the time."""
    measured = values[np.isfinite(values)]
    return measured.size > 0 and bool(measured.max() > measured.min())
