"""Doses of a run, and the treatment protocol that administers them.

A dose has an amount, a route, a schedule and an entry site; it passes one body into the tissue, and the host
may respond to it. The tissue is a patch of the target organ. It receives its share, by volume, of the influx
into the organ, at the cells of the entry site (vessel walls, the surroundings of a needle, the layer along a
face).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from exoabm.accounting.step_records import Emissions
from exoabm.domain import SIDES
from exoabm.random_streams import Purpose
from exoabm.state import DOSE, OUTSIDE, DoseState, TreatmentReadout
from exoabm.therapy.pharmacokinetics import DEPOT, LOST, PLASMA, TARGET, Form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exoabm.state import State
    from exoabm.therapy.manufacturing import Process
    from exoabm.therapy.pharmacokinetics import Compartment, Immunity, PBPKModel


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


HOUR = 3600.0


class TreatmentProtocol:
    """All doses of a run; ``state.treatment`` holds its variables, ``state.treatment_readouts`` its readouts.

    Parameters
    ----------
    doses : tuple of Dose
    host : Immunity or None
        None for a host without an immune response.
    process : Process or None
        How vesicles that the tissue releases would be made into doses.
    cell_dose : float
        Cells in a dose of cell therapy, the comparator of ``process``.
    """

    def __init__(
        self,
        doses: tuple[Dose, ...],
        host: Immunity | None = None,
        process: Process | None = None,
        cell_dose: float = 1.0,
    ) -> None:
        self.doses, self.host, self.process, self.cell_dose = doses, host, process, cell_dose

    def begin(self, state: State) -> None:
        """Set the variables of an untreated subject."""
        treatment = state.treatment
        for dose in self.doses:
            treatment.doses[dose.name] = DoseState(0 if dose.pbpk is None else len(dose.pbpk.compartments))
        if self.host is not None:
            treatment.host = self.host.start()
            treatment.host_exposure = np.zeros(4)
        self.measure(state)

    def advance(self, state: State, dt: float) -> Emissions:
        """Administer the doses due in the next ``dt`` s; returns the vesicles that enter the tissue."""
        antigen = 0.0
        rows = [Emissions.none()]
        for number, dose in enumerate(self.doses):
            particles, molecules, exposure = self._administer(state, dose, dt)
            antigen += exposure
            entering = _emissions(state, dose, dose.kind, particles, 2 * number)
            state.treatment.doses[dose.name].entered += float(entering.count.sum())
            rows.append(entering)
            if dose.molecule is not None:
                rows.append(_emissions(state, dose, dose.molecule, molecules, 2 * number + 1))
        if self.host is not None:
            treatment = state.treatment
            before, after = treatment.host, self.host.advance(treatment.host, antigen, dt)
            treatment.host = after
            treatment.host_exposure += (before + after) / 2 * dt
        return Emissions.join(*rows)

    def _administer(self, state: State, dose: Dose, dt: float) -> tuple[float, float, float]:
        """Particles and molecules that enter the tissue, and antigen (ug) that the host is exposed to."""
        record = state.treatment.doses[dose.name]
        bolus, infusion = dose.schedule.administered(state.time, state.time + dt)
        record.given += bolus + infusion
        antigen = 0.0
        if dose.product is not None:
            infusion, antigen = self._release(state, dose, bolus + infusion, dt)
            bolus = 0.0
        antigen += (bolus + infusion) * dose.antigen * dose.foreignness
        if dose.pbpk is None:
            return bolus + infusion, 0.0, antigen
        pbpk = dose.pbpk
        amount, infused = record.amount.copy(), pbpk.start()
        kept = dose.bioavailability if dose.compartment == DEPOT else 1.0
        for target, given in ((amount, bolus), (infused, infusion)):
            target[pbpk.index(dose.compartment)] += kept * given
            target[pbpk.index(LOST)] += (1.0 - kept) * given
        record.amount, integral = pbpk.advance(amount, infused, dt)
        record.exposure += integral
        particles = dose.influx * float(integral[pbpk.index(PLASMA)])
        molecules = dose.molecule_influx * float(integral[pbpk.index(PLASMA.molecules)])
        if dose.compartment.place == TARGET.place:
            if dose.molecular:
                molecules += bolus + infusion
            else:
                particles += bolus + infusion
        if dose.molecular:
            particles, molecules = molecules, 0.0
        return dose.patch * particles, dose.patch * molecules * dose.load, antigen

    def _release(self, state: State, dose: Dose, cells: float, dt: float) -> tuple[float, float]:
        """dN/dt = -(k_loss + k_kill) N of therapeutic cells: vesicles, and antigen (ug) of dead cells.

        ``cells`` are given at the start of the step.
        """
        assert dose.product is not None
        record, product = state.treatment.doses[dose.name], dose.product
        alive = record.cells + cells
        rate = product.loss_rate
        if self.host is not None:
            rate += self.host.kills(state.treatment.host, dose.foreignness)
        left = float(alive * np.exp(-rate * dt))
        cell_time = (alive - left) / rate if rate > 0 else alive * dt
        record.cells = left
        record.cell_time += cell_time
        return product.release_rate * cell_time, (alive - left) * product.antigen * dose.foreignness

    def measure(self, state: State) -> None:
        """Write the readouts of doses, host and manufacture to ``state.treatment_readouts``.

        Those of a harvest need the balances at the end of the step, so that this follows all its stages.
        """
        state.treatment_readouts.clear()
        for dose in self.doses:
            state.treatment_readouts.update(_readouts_of_dose(state.treatment.doses[dose.name], dose))
        if self.host is not None:
            _, innate, effectors, memory = (float(v) for v in state.treatment.host)
            exposure = state.treatment.host_exposure / HOUR
            found = {"innate_activation": innate, "effectors": effectors, "memory": memory}
            found |= {"innate_activation_h": float(exposure[1]), "effectors_h": float(exposure[2])}
            state.treatment_readouts.update({TreatmentReadout(name): value for name, value in found.items()})
        if self.process is not None:
            found = {name: value for name, value in self.of_batch(state).items() if np.isfinite(value)}
            state.treatment_readouts.update({TreatmentReadout(name): value for name, value in found.items()})

    def of_batch(self, state: State) -> dict[str, float]:
        """Readouts of a harvest at this time, from the vesicles of donors in the medium per donor cell.

        Undefined ones, such as the purity where there is no free protein, are infinite. None without
        manufacture.
        """
        if self.process is None:
            return {}
        donors = int((state.labels.of_cell >= 0).sum())
        of_donors = [name not in OUTSIDE for name in state.labels.names]
        free = float(state.balance["free"][:, of_donors].sum())
        batch = self.process.batch(free / donors if donors else 0.0, state.time)
        return {
            "batch_medium": batch.medium,
            "batch_stored": batch.stored,
            "batch_recovered_share": batch.after_each_step[-1],
            "batch_purity_per_ug": batch.purity,
            "batch_doses": batch.doses,
            "batch_doses_per_day": batch.doses_per_day,
            "batch_doses_per_cost": batch.doses_per_cost,
            "cell_doses_per_day": self.process.cell_doses_per_day(self.cell_dose, state.time),
            "cell_doses_per_cost": self.process.cell_doses_per_cost(self.cell_dose),
        }


def _readouts_of_dose(record: DoseState, dose: Dose) -> Iterator[tuple[TreatmentReadout, float]]:
    """Readouts of a dose, relative to its whole schedule; exposure to free molecules in molecules times h."""
    name, total = dose.name, dose.schedule.total or 1.0
    yield TreatmentReadout("given_share", name), record.given / total
    yield TreatmentReadout("entered_tissue", name), record.entered
    yield TreatmentReadout("procedures", name), float(dose.schedule.procedures)
    if dose.product is not None:
        yield TreatmentReadout("living_share", name), record.cells / total
        total *= dose.product.release_rate * record.cell_time / total or 1.0
        yield TreatmentReadout("released", name), total if record.cell_time > 0 else 0.0
    if dose.pbpk is None:
        return
    for i, (place, form) in enumerate(dose.pbpk.compartments):
        amount, exposure = float(record.amount[i]), float(record.exposure[i])
        if form is Form.MOLECULES:
            yield TreatmentReadout("molecule_share", name, place), amount / total
            yield TreatmentReadout("molecules_h", name, place), dose.load * exposure / HOUR
        else:
            yield TreatmentReadout("particle_share", name, place), amount / total
            if place != LOST.place:
                yield TreatmentReadout("particle_exposure_h", name, place), exposure / total / HOUR


def _emissions(state: State, dose: Dose, kind: int, amount: float, stream: int) -> Emissions:
    """Emission rows of an amount, shared evenly by the cells of the site; whole numbers for single vesicles.

    Without a cell at the site nothing enters, and the run warns.
    """
    if amount <= 0:
        return Emissions.none()
    cells = dose.site.cells(state)
    if not len(cells):
        _warn(state, dose)
    count = np.full(len(cells), amount / max(len(cells), 1))
    if state.follows_vesicles:
        # One stream per dose and kind: a second dose does not change the draws of the first.
        entity = (state.cells.birth_id[cells] << 8) + stream
        count = state.streams.poisson(Purpose.DOSE, entity, state.step, count).astype(float)
    label = state.labels.names.index(DOSE)
    return Emissions(cells, np.full(len(cells), kind), np.full(len(cells), label), count)


def _warn(state: State, dose: Dose) -> None:
    text = f"dose.{dose.name}: no cell is left at the entry site"
    if not any(warning.startswith(text) for warning in state.warnings):
        state.warnings.append(f"{text} at {state.time / HOUR:.4g} h; vesicles that arrive later are lost")
