"""Measurements that a scenario is fitted to: time series, and histograms of diameters with their log-normals.

The log-normal of vesicle diameters is fitted to histograms such as those of nanoparticle tracking,

    share of a bin = Phi(ln(high / d) / sigma) - Phi(ln(low / d) / sigma),   sigma = ln GSD

by least squares of the heights of bins: the peak counts, not the few aggregates of large size, nor the small
vesicles that the instrument misses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError
from exoabm.parameters import CATALOG
from exoabm.readers.time_series import DEVIATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exoabm.readers.time_series import Table


TIME = "time_h"


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
