"""Measurements that a scenario is fitted to: time series, and histograms of diameters with their log-normals.

The log-normal of vesicle diameters is fitted to histograms such as those of nanoparticle tracking,

    share of a bin = Phi(ln(high / d) / sigma) - Phi(ln(low / d) / sigma),   sigma = ln GSD

by least squares of the heights of bins: the peak counts, not the few aggregates of large size, nor the small
vesicles that the instrument misses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.parameters import CATALOG
from exoabm.readers.file_formats import open_sheet
from exoabm.readers.options import COMMA, NUMBER, TableOptions, decimal_comma, quoted
from exoabm.readers.table import texts_of
from exoabm.tables.finished_run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


TIME = "time_h"
DEVIATION = "_sd"
CENSORED = {"drop": math.nan, "half": 0.5, "limit": 1.0}
"""What a value below a limit may count as, times the limit."""
NOT_MEASURED = frozenset({"", "nan", "na", "null", "none"})
MAX_BYTES, MAX_ROWS = 256 << 20, 5_000_000


@dataclass(frozen=True)
class Table:
    """Numeric columns of equal length, by name; faults of others; columns of words are omitted."""

    path: Path
    columns: dict[str, np.ndarray]
    faults: dict[str, str] = field(default_factory=dict)

    def chosen(self, names: Sequence[str], *beside: str) -> list[str]:
        """The requested columns, or all except given ones.

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
        chosen = list(names) or known
        for name in (*chosen, *(name + DEVIATION for name in chosen), *beside):
            if name in self.faults:
                raise InputError(
                    f"--data {self.path}: {self.faults[name]}; a value below a limit, as in <0.5 or <LOD, "
                    "needs --censored drop, half or limit; other columns can be chosen with --column"
                )
        return chosen

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
        Readouts, m of them.
    values : numpy.ndarray
        (n, m); NaN where nothing was measured.
    deviation : numpy.ndarray or None
        Standard deviations of the values, (n, m), if the table gives them all.
    """

    hours: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    deviation: np.ndarray | None


def read_table(path: Path, censored: str | None = None) -> Table:
    """Read the numbers of a text or Parquet file, or the metrics of a run folder.

    A column of words alone is left out. One in which some values are numbers and some are not is refused when
    it is asked for: a lost value would change what is fitted.

    Parameters
    ----------
    path
        The file, or the run folder.
    censored
        What a value below a limit, such as ``<0.5`` or ``<LOD``, counts as: "drop", as not measured; "half"
        or "limit", of the number after ``<``. Refused if not given.

    Raises
    ------
    InputError
        If there is no such table.
    """
    if censored not in (None, *CENSORED):
        raise InputError(f"--censored {censored}: one of {', '.join(CENSORED)}")
    if path.is_dir():
        series = Run(path).metrics
        return Table(path, {name: np.asarray(series[name].cast("float64")) for name in series.column_names})
    sheet = open_sheet(
        path, TableOptions(format="auto" if path.suffix == ".parquet" else "csv"), MAX_BYTES, MAX_ROWS
    )
    if not sheet.rows:
        raise InputError(f"--data {path}: has no rows below its header")
    every, comma = np.arange(sheet.rows), False
    names = [name for name in sheet.names if name]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--data {path}: two columns are named {doubled!r}")
    sheet.load(names)
    words = {name: texts_of(sheet.column(name)) for name in names}
    if sheet.separator not in ("", ","):
        comma = decimal_comma(f"--data {path}", (text for texts in words.values() for text in texts))
    columns, faults = {}, {}
    for name, texts in words.items():
        values, fault = _numbers(texts, comma, censored)
        if fault >= 0 and not np.isfinite(values).any():
            continue
        columns[name] = values
        if fault >= 0:
            faults[name] = f"row {every[fault] + 1}, column {name!r} is {quoted(texts[fault])}, not a number"
    return Table(path, columns, faults)


def _numbers(texts: list[str], comma: bool, censored: str | None) -> tuple[np.ndarray, int]:
    """Values, NaN for blank, and the first row that holds no number, -1 if there is none."""
    values, fault = np.full(len(texts), np.nan), -1
    for row, text in enumerate(texts):
        value = text.replace(",", ".") if comma and COMMA.fullmatch(text) else text
        if NUMBER.fullmatch(value) or value.lower() in ("inf", "-inf", "infinity"):
            values[row] = float(value)
        elif value.lower() in NOT_MEASURED:
            continue
        elif censored is not None and value.startswith("<"):
            limit = value[1:].strip()
            if NUMBER.fullmatch(limit) and censored != "drop":
                values[row] = float(limit) * CENSORED[censored]
            elif censored != "drop" and fault < 0:
                fault = row
        elif fault < 0:
            fault = row
    return values, fault


def series_of(table: Table, names: Sequence[str] = ()) -> Series:
    """The time series of a table; without names, of all columns that change.

    Raises
    ------
    InputError
        If there is no column of times, they do not rise from 0, or nothing was measured.
    """
    hours = table.columns.get(TIME)
    if hours is None:
        either = 'a heading with its unit, such as "Bin centre (nm)", "Size / nm" or "diameter_nm"'
        raise InputError(f"--data {table.path}: needs a column {TIME}, or for sizes {either}")
    table.chosen((TIME,))
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
    """Whether the measured values vary with time."""
    measured = values[np.isfinite(values)]
    return measured.size > 0 and bool(measured.max() > measured.min())


LEAST_BINS = 6
NORMAL_95 = 1.959964
APART = 1.25
"""Times by which the medians of samples may differ that are averaged; repeats differ by less than 1.1."""


@dataclass(frozen=True)
class Diameters:
    """A log-normal fitted to one histogram.

    Attributes
    ----------
    sample : str
    median_nm, gsd : float
    median_interval, gsd_interval : tuple of float
        95 %, from the scatter of the bins about the curve, which need not be even (sandwich estimate). How
        samples differ is not in it.
    misfit : float
        Share of the particles that stand in another bin than the curve says, 0 to 1.
    """

    sample: str
    median_nm: float
    gsd: float
    median_interval: tuple[float, float]
    gsd_interval: tuple[float, float]
    misfit: float


def fit_diameters(edges_nm: np.ndarray, counts: Mapping[str, np.ndarray]) -> list[Diameters]:
    """Fit each column of a histogram, numbers of particles (n) in bins between these edges (n + 1), in nm.

    Raises
    ------
    InputError
        If the edges do not rise, there are too few bins, or a column holds no histogram.
    """
    edges = np.asarray(edges_nm, float)
    if len(edges) <= LEAST_BINS or not (np.diff(edges) > 0).all() or edges[0] < 0:
        raise InputError(f"a histogram needs {LEAST_BINS} bins or more, whose edges rise from 0")
    return [_fit(name, edges, np.asarray(column, float)) for name, column in counts.items()]


def spread(found: Sequence[Diameters]) -> str:
    """Why samples have no common mean, "" if they have one: their medians lie too far apart."""
    low, high = (pick(found, key=lambda each: each.median_nm) for pick in (min, max))
    if high.median_nm <= APART * low.median_nm:
        return ""
    return (
        f"the medians lie too far apart for one mean: {low.median_nm:.1f} nm ({low.sample}) to "
        f"{high.median_nm:.1f} nm ({high.sample})"
    )


def check_allowed(each: Diameters) -> None:
    """Refuse sizes outside the allowed range, usually caused by a wrong unit.

    Raises
    ------
    InputError
        With the allowed range.
    """
    for name, value in (("diameter", each.median_nm), ("diameter_gsd", each.gsd)):
        parameter = CATALOG[name]
        low, high = parameter.allowed
        if not low <= value <= high:
            unit = f" {parameter.unit}" if parameter.unit != "1" else ""
            raise InputError(
                f"{each.sample}: a {name} of {value:.3g}{unit} lies outside the allowed {low:g} to {high:g}"
                f'{unit}; is the unit right? It is read from the heading, as in "Diameter (um)". If this '
                "column holds no numbers of particles, name those that do with --column"
            )


def _fit(name: str, edges: np.ndarray, height: np.ndarray) -> Diameters:
    from scipy.optimize import least_squares

    if not np.isfinite(height).all() or height.min() < 0 or (height > 0).sum() < LEAST_BINS:
        raise InputError(f"{name}: a histogram needs {LEAST_BINS} bins or more above 0, and none below")
    share = height / height.sum()
    logs = np.log((edges[1:] + edges[:-1]) / 2)
    mean = float(share @ logs)
    start = (mean, math.log(max(math.sqrt(share @ (logs - mean) ** 2), 0.02)), 0.0)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        return _shares(edges, parameters) - share

    found = least_squares(residuals, start, x_scale="jac")
    # HC3: the scatter of a bin grows with its height, and each bin pulls at the curve it is compared with.
    jacobian, residual = np.asarray(found.jac), np.asarray(found.fun)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    pull = np.einsum("ij,jk,ik->i", jacobian, inverse, jacobian)
    weighted = jacobian * (residual / (1 - np.minimum(pull, 0.999)))[:, None]
    half = NORMAL_95 * np.sqrt(np.diag(inverse @ (weighted.T @ weighted) @ inverse))
    log_median, log_sigma = found.x[:2]
    return Diameters(
        sample=name,
        median_nm=math.exp(log_median),
        gsd=math.exp(math.exp(log_sigma)),
        median_interval=(math.exp(log_median - half[0]), math.exp(log_median + half[0])),
        gsd_interval=(
            math.exp(math.exp(log_sigma - half[1])),
            math.exp(math.exp(min(log_sigma + half[1], 3.0))),
        ),
        misfit=float(np.abs(residual).sum() / 2),
    )


def _shares(edges: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Shares of the bins, times an amplitude; parameters are ln median, ln sigma, ln amplitude."""
    from scipy.special import ndtr

    log_median, log_sigma, log_amplitude = parameters
    with np.errstate(divide="ignore"):
        below = ndtr((np.log(edges) - log_median) / math.exp(log_sigma))
    return np.asarray(math.exp(log_amplitude) * np.diff(below))
