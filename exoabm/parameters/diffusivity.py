"""Stokes-Einstein diffusivity of vesicles."""

from __future__ import annotations

import math
from typing import Final

from exoabm.parameters.catalog import CATALOG

BOLTZMANN: Final = 0.01380649
"""The Boltzmann constant in µg µm² s⁻² K⁻¹ (exact in the SI)."""

_WATER_VISCOSITY: Final = float(CATALOG["viscosity"].default or 0.0)
_BODY_TEMPERATURE: Final = float(CATALOG["temperature"].default or 0.0)


def stokes_einstein(
    diameter: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the free diffusivity ``D = k_B T / (3 pi eta d)`` of a sphere, in µm²/s.

    Parameters
    ----------
    diameter
        d, in µm; positive.
    viscosity
        eta, in mPa s (µg µm⁻¹ s⁻¹); positive. The default is water at 37 °C.
    temperature
        T, in K.

    Notes
    -----
    Source: einstein1905. It holds for hard spheres far from walls.
    """
    return BOLTZMANN * temperature / (3.0 * math.pi * viscosity * diameter)


def mean_diffusivity(
    diameter: float,
    gsd: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the mean diffusivity ``D(d) exp(sigma^2 / 2)`` of log-normal diameters, in µm²/s.

    Parameters
    ----------
    diameter
        Median diameter d, in µm; positive.
    gsd
        Geometric standard deviation; ``sigma = ln gsd``. At least 1.
    viscosity, temperature
        As in `stokes_einstein`.

    Notes
    -----
    D goes as 1/d, which is log-normal with the same sigma.
    """
    sigma = math.log(gsd)
    return stokes_einstein(diameter, viscosity, temperature) * math.exp(0.5 * sigma**2)
