"""The log-normal of vesicle diameters, fitted to histograms such as those of nanoparticle tracking.

    share of a bin = Phi(ln(high / d) / sigma) - Phi(ln(low / d) / sigma),   sigma = ln GSD

by least squares of the bins' heights: the peak counts, not the few aggregates far out, nor the small
vesicles that the instrument misses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import InputError
from exoabm.parameters import CATALOG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
                f'{unit}; is the unit right? It is read from the heading, as in "Diameter (um)"'
            )


def _fit(name: str, edges: np.ndarray, height: np.ndarray) -> Diameters:
    from scipy.optimize import least_squares

    if not np.isfinite(height).all() or height.min() < 0 or (height > 0).sum() < LEAST_BINS:
        raise InputError(f"{name}: a histogram has {LEAST_BINS} bins above 0 or more, and none below")
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
