"""Doses: amount, route and schedule of administration, entry site in the tissue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from exoabm.domain import SIDES
from exoabm.therapy.pharmacokinetics import DEPOT, PLASMA, TARGET

if TYPE_CHECKING:
    from exoabm.state import State
    from exoabm.therapy.pharmacokinetics import Compartment, PBPKModel


class Route(StrEnum):
    """Route of administration."""

    TISSUE = "tissue"
    """Into the simulated tissue itself; the number given is the number that enters it, without a body."""
    LOCAL = "local"
    """Injection into the target organ, of which the simulated tissue is a part."""
    INTRAVENOUS = "intravenous"
    INTRAPERITONEAL = "intraperitoneal"
    SUBCUTANEOUS = "subcutaneous"
    IMPLANT = "implant"
    """Surgery: cells or a depot placed in the target organ."""


class DoseMetric(StrEnum):
    """Quantity in which a dose is stated; formulations equal in one are not equal in another."""

    PARTICLES = "particles"
    COPIES = "copies"
    MASS = "mass"
    CELLS = "cells"


@dataclass(frozen=True)
class Schedule:
    """Times of administration in s; ``amount`` is that of one administration."""

    amount: float
    start: float
    duration: float
    repeats: int
    interval: float

    def administered(self, begin: float, end: float) -> tuple[float, float]:
        """Amounts given from ``begin`` to ``end`` (s): as boluses, and by infusion.

        A bolus is given at the start of the step that contains its time.
        """
        bolus = infusion = 0.0
        for repeat in range(self.repeats):
            start = self.start + repeat * self.interval
            if start >= end:
                break
            if self.duration == 0.0:
                bolus += self.amount * (begin <= start)
            else:
                overlap = min(end, start + self.duration) - max(begin, start)
                infusion += self.amount * max(overlap, 0.0) / self.duration
        return bolus, infusion

    @property
    def total(self) -> float:
        """Amount of all administrations."""
        return self.amount * self.repeats

    @property
    def procedures(self) -> int:
        """Number of administrations; 0 for a dose of nothing."""
        return self.repeats if self.amount > 0 else 0


def particles(metric: DoseMetric, amount: float, copies: float, protein: float) -> float:
    """Particles in a dose that is stated in another metric.

    Parameters
    ----------
    metric : DoseMetric
        Metric of ``amount``: particles, copies of cargo, or ug of protein.
    copies : float
        Mean copies of all cargo in a particle.
    protein : float
        Protein of a particle, ug.

    Raises
    ------
    ValueError
        For a dose in copies of particles without cargo, and for a dose of cells.
    """
    if metric is DoseMetric.PARTICLES:
        return amount
    if metric is DoseMetric.MASS:
        return amount / protein
    if metric is DoseMetric.COPIES and copies > 0:
        return amount / copies
    raise ValueError("a dose in copies needs particles that carry cargo")


@dataclass(frozen=True)
class Site:
    """Entry site of a dose in the tissue: cells of a type, around a point, or along a face.

    Lengths in um; exactly one of ``type``, ``center`` and ``face`` is given.
    """

    type: int | None = None
    center: tuple[float, ...] | None = None
    face: str | None = None
    reach: float = 0.0

    def cells(self, state: State) -> np.ndarray:
        """Rows of the cells at whose surface the dose enters."""
        position, domain = state.cells.position, state.domain
        if self.type is not None:
            return np.flatnonzero(state.cells.type == self.type)
        if self.center is not None:
            center = np.array(self.center)
            away = domain.displacement(np.pad(center, (0, 3 - len(center))), position)
            return np.flatnonzero(np.linalg.norm(away[:, : domain.dim], axis=1) <= self.reach)
        assert self.face is not None
        axis, high = divmod(SIDES.index(self.face), 2)
        edge = domain.low[axis] + high * domain.extent[axis]
        return np.flatnonzero(np.abs(position[:, axis] - edge) <= self.reach)


@dataclass(frozen=True)
class CellProduct:
    """Therapeutic cells, which release vesicles while they live; rates in 1/s, antigen in ug per cell."""

    release_rate: float
    loss_rate: float
    antigen: float


@dataclass(frozen=True)
class Dose:
    """A dose: its schedule, its formulation and its way to the tissue.

    Attributes
    ----------
    schedule : Schedule
        In particles, or in cells for a ``product`` of cells.
    kind, molecule : int or None
        Vesicle kinds as which the particles, and the molecules that they release, enter the tissue.
    load : float
        Molecules in one particle; 1 for a free molecule without declared cargo.
    pbpk : PBPKModel or None
        None for a dose given into the tissue itself.
    molecular : bool
        Whether the dose consists of free molecules.
    influx, molecule_influx : float
        Rate constants from plasma into the whole target, 1/s.
    patch : float
        Volume of the tissue relative to the target.
    bioavailability : float
        Share of a depot that reaches the plasma.
    antigen : float
        Immunogenic mass of one particle, ug: its protein times its relative immunogenicity.
    foreignness : float
        0 for autologous, 1 for fully allogeneic or xenogeneic material.
    """

    name: str
    schedule: Schedule
    route: Route
    site: Site
    kind: int
    molecule: int | None
    load: float
    pbpk: PBPKModel | None
    molecular: bool
    influx: float
    molecule_influx: float
    patch: float
    bioavailability: float
    antigen: float
    foreignness: float
    product: CellProduct | None = None

    @property
    def compartment(self) -> Compartment:
        """Compartment of the body that receives the dose."""
        if self.route in (Route.LOCAL, Route.IMPLANT):
            return TARGET.molecules if self.molecular else TARGET
        if self.route is Route.INTRAVENOUS:
            return PLASMA.molecules if self.molecular else PLASMA
        return DEPOT
