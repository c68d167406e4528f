"""A course of treatment: doses through one body into the simulated tissue, and the host's answer to them.

The tissue is a patch of the target organ. It receives its share, by volume, of what the organ's vessels let
through, at the cells that stand for the way in (vessel walls, the neighborhood of a needle, the layer along a
face).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exoabm.columns import Row
from exoabm.domain import SIDES
from exoabm.state import DOSE, OUTSIDE, Emissions
from exoabm.streams import Purpose
from exoabm.therapy.dosing import Route
from exoabm.therapy.pharmacokinetics import DEPOT, FREE, LOST, PLASMA

if TYPE_CHECKING:
    from exoabm.state import State
    from exoabm.therapy.dosing import Plan
    from exoabm.therapy.immunity import Immunity
    from exoabm.therapy.manufacturing import Process
    from exoabm.therapy.pharmacokinetics import Kinetics

HOUR = 3600.0


@dataclass(frozen=True)
class Site:
    """Where a dose enters the tissue: cells of a type, around a point, or along a face.

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
    """What is given, and how it gets to the tissue.

    Attributes
    ----------
    plan : Plan
        In particles, or in cells for a ``product`` of cells.
    kind, molecule : int or None
        Vesicle kinds as which the particles, and the molecules they set free, enter the tissue.
    load : float
        Molecules in one particle; 1 for a free molecule that carries nothing.
    kinetics : Kinetics or None
        None for a dose that is given into the tissue itself.
    molecular : bool
        Whether the particles are free molecules from the start.
    influx, molecule_influx : float
        Shares of what is in plasma that enter the whole target per second.
    patch : float
        The tissue's share of the target, by volume.
    bioavailability : float
        Share of what a depot takes up that ever leaves it.
    antigen : float
        Immunogenic mass of one particle, ug: its protein times its relative immunogenicity.
    foreignness : float
        0 for the host's own, 1 for another's.
    """

    name: str
    plan: Plan
    route: Route
    site: Site
    kind: int
    molecule: int | None
    load: float
    kinetics: Kinetics | None
    molecular: bool
    influx: float
    molecule_influx: float
    patch: float
    bioavailability: float
    antigen: float
    foreignness: float
    product: CellProduct | None = None

    @property
    def entry(self) -> str:
        """The compartment of the body that the dose is given to."""
        if self.route in (Route.LOCAL, Route.IMPLANT):
            return FREE + "target" if self.molecular else "target"
        if self.route is Route.INTRAVENOUS:
            return FREE + PLASMA if self.molecular else PLASMA
        return DEPOT


class Course:
    """All doses of a run.

    What changes of it stands in ``state.subject``, what is measured in ``state.measures``.

    Parameters
    ----------
    doses : tuple of Dose
    host : Immunity or None
        None for a host that does not answer.
    process : Process or None
        How the vesicles that the tissue releases would be made into doses.
    cell_dose : float
        Cells in a dose of cell therapy, beside which the process is measured.
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
        """Put the untreated subject into the state."""
        subject = state.subject
        for dose in self.doses:
            subject[f"{dose.name}/given"] = np.zeros(1)
            subject[f"{dose.name}/entered"] = np.zeros(1)
            if dose.product is not None:
                subject[f"{dose.name}/cells"] = np.zeros(1)
                subject[f"{dose.name}/cell_time"] = np.zeros(1)
            if dose.kinetics is not None:
                subject[f"{dose.name}/amount"] = dose.kinetics.start()
                subject[f"{dose.name}/exposure"] = dose.kinetics.start()
        if self.host is not None:
            subject["host"] = self.host.start()
            subject["host_exposure"] = np.zeros(4)
        self.measure(state)

    def advance(self, state: State, dt: float) -> Emissions:
        """Give what is due, let the body carry it for ``dt`` s, and let the tissue have its share."""
        antigen = 0.0
        rows = [Emissions.none()]
        for number, dose in enumerate(self.doses):
            particles, molecules, met = self._give(state, dose, dt)
            antigen += met
            entering = _rows(state, dose, dose.kind, particles, 2 * number)
            state.subject[f"{dose.name}/entered"] += entering.count.sum()
            rows.append(entering)
            if dose.molecule is not None:
                rows.append(_rows(state, dose, dose.molecule, molecules, 2 * number + 1))
        if self.host is not None:
            before = state.subject["host"]
            after = self.host.advance(before, antigen, dt)
            state.subject["host"] = after
            state.subject["host_exposure"] += (before + after) / 2 * dt
        self.measure(state)
        return Emissions.join(*rows)

    def _give(self, state: State, dose: Dose, dt: float) -> tuple[float, float, float]:
        """Particles and molecules that enter the tissue, and antigen (ug) met by the host."""
        subject, name = state.subject, dose.name
        at_once, evenly = dose.plan.given(state.time, state.time + dt)
        subject[f"{name}/given"] += at_once + evenly
        antigen = 0.0
        if dose.product is not None:
            living = subject[f"{name}/cells"] + at_once + evenly
            rate = dose.product.loss_rate
            if self.host is not None:
                rate += self.host.kills(subject["host"], dose.foreignness)
            left = living * np.exp(-rate * dt)
            time = (living - left) / rate if rate > 0 else living * dt
            antigen += float((living - left)[0]) * dose.product.antigen * dose.foreignness
            subject[f"{name}/cells"] = left
            subject[f"{name}/cell_time"] += time
            at_once, evenly = 0.0, dose.product.release_rate * float(time[0])
        antigen += (at_once + evenly) * dose.antigen * dose.foreignness
        if dose.kinetics is None:
            return at_once + evenly, 0.0, antigen
        body = dose.kinetics
        amount, infused = subject[f"{name}/amount"].copy(), body.start()
        kept = dose.bioavailability if dose.entry == DEPOT else 1.0
        for target, given in ((amount, at_once), (infused, evenly)):
            target[body.index(dose.entry)] += kept * given
            target[body.index(LOST)] += (1.0 - kept) * given
        amount, integral = body.advance(amount, infused, dt)
        subject[f"{name}/amount"] = amount
        subject[f"{name}/exposure"] += integral
        particles = dose.influx * float(integral[body.index(PLASMA)])
        molecules = dose.molecule_influx * float(integral[body.index(FREE + PLASMA)])
        if dose.entry in ("target", FREE + "target"):
            if dose.molecular:
                molecules += at_once + evenly
            else:
                particles += at_once + evenly
        if dose.molecular:
            particles, molecules = molecules, 0.0
        return dose.patch * particles, dose.patch * molecules * dose.load, antigen

    def measure(self, state: State) -> None:
        """Write what others record of the subject: shares of what was given, activation, batches."""
        found = Row()
        for dose in self.doses:
            found.join(_measure_dose(state.subject, dose))
        if self.host is not None:
            _, innate, effectors, memory = (float(v) for v in state.subject["host"])
            found.join({"innate_activation": innate, "effectors": effectors, "memory": memory})
            exposure = state.subject["host_exposure"] / HOUR
            found.join({"innate_activation_h": float(exposure[1]), "effectors_h": float(exposure[2])})
        if self.process is not None:
            found.join(_measure_batch(state, self.process, self.cell_dose))
        state.measures.update(found)


def _measure_dose(subject: dict[str, np.ndarray], dose: Dose) -> Row:
    """Amounts and exposures relative to the whole plan; those to free molecules in molecules times h."""
    name, total, found = dose.name, dose.plan.total or 1.0, Row()

    def put(template: str, value: float) -> None:
        found.put(f"{{dose}}_{template}", value, dose=name)

    put("given_share", float(subject[f"{name}/given"][0]) / total)
    put("entered_tissue_EV", float(subject[f"{name}/entered"][0]))
    put("procedures", float(dose.plan.procedures))
    if dose.product is not None:
        put("living_share", float(subject[f"{name}/cells"][0]) / total)
        total *= dose.product.release_rate * float(subject[f"{name}/cell_time"][0]) / total or 1.0
        put("released_EV", total if subject[f"{name}/cell_time"][0] > 0 else 0.0)
    if dose.kinetics is None:
        return found
    amount, exposure = subject[f"{name}/amount"], subject[f"{name}/exposure"]
    for i, compartment in enumerate(dose.kinetics.names):
        free = compartment.startswith(FREE)
        drug = dose.load > 0 or not free
        put(f"{compartment}_share", drug * float(amount[i]) / total)
        if free:
            put(f"{compartment}_molecules_h", dose.load * float(exposure[i]) / HOUR)
        elif compartment != LOST:
            put(f"{compartment}_exposure_h", float(exposure[i]) / total / HOUR)
    return found


def _measure_batch(state: State, process: Process, cell_dose: float) -> dict[str, float]:
    """What a harvest at this moment would give, from the donors' vesicles in the medium per donor cell."""
    donors = int((state.labels.of_cell >= 0).sum())
    theirs = [name not in OUTSIDE for name in state.labels.names]
    batch = process.batch(float(state.balance["free"][:, theirs].sum()) / donors if donors else 0.0)
    return {
        "batch_medium_EV": batch.medium,
        "batch_stored_EV": batch.stored,
        "batch_recovered_share": batch.after_each_step[-1],
        "batch_purity_EV_per_ug": batch.purity if np.isfinite(batch.purity) else 0.0,
        "batch_doses": batch.doses,
        "batch_doses_per_day": batch.doses_per_day,
        "batch_doses_per_cost": 1.0 / batch.cost_per_dose if batch.cost_per_dose > 0 else 0.0,
        "cell_doses_per_day": process.cell_doses_per_day(cell_dose),
        "cell_doses_per_cost": 1.0 / process.cell_cost_per_dose(cell_dose),
    }


def _rows(state: State, dose: Dose, kind: int, amount: float, number: int) -> Emissions:
    """Emission rows of an amount, shared evenly by the cells of the site; whole numbers for single vesicles.

    Without such a cell nothing enters, which the run warns of.
    """
    if amount <= 0:
        return Emissions.none()
    cells = dose.site.cells(state)
    if not len(cells):
        _warn(state, dose)
    count = np.full(len(cells), amount / max(len(cells), 1))
    if state.vesicles is not None:
        # One stream per dose, so that a second dose does not alter what the first one draws.
        entity = (state.cells.birth_id[cells] << 8) + number
        count = state.streams.poisson(Purpose.DOSE, entity, state.step, count).astype(float)
    label = state.labels.names.index(DOSE)
    return Emissions(cells, np.full(len(cells), kind), np.full(len(cells), label), count)


def _warn(state: State, dose: Dose) -> None:
    what = f"dose.{dose.name}: no cell is left at whose surface it could enter"
    if not any(warning.startswith(what) for warning in state.warnings):
        state.warnings.append(f"{what} at {state.time / HOUR:.4g} h; what comes without one is lost")
