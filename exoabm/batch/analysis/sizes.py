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

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_BINS = 6
NORMAL_95 = 1.959964


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


def fit_diameters(center_nm: np.ndarray, heights: Mapping[str, np.ndarray]) -> list[Diameters]:
    """Fit each column of a histogram with these bin centers, in nm.

    Raises
    ------
    InputError
        If the bins do not rise, there are too few, or a column holds no histogram.
    """
    center = np.asarray(center_nm, float)
    if len(center) < LEAST_BINS or not (np.diff(center) > 0).all() or center[0] < 0:
        raise InputError(f"a histogram needs {LEAST_BINS} bins or more, whose centers rise from 0")
    middle = (center[1:] + center[:-1]) / 2
    edges = np.concatenate([[max(2 * center[0] - middle[0], 0.0)], middle, [2 * center[-1] - middle[-1]]])
    return [_fit(name, edges, np.asarray(column, float)) for name, column in heights.items()]


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
