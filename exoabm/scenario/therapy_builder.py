"""From the therapy tables of a scenario to a treatment protocol of one virtual subject."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from exoabm.domain import SIDES
from exoabm.errors import Problem, ScenarioError
from exoabm.parameters.catalog import ORGANS
from exoabm.random_streams import Purpose
from exoabm.scenario.schema_base import record_of
from exoabm.scenario.schema_therapy import Separation
from exoabm.therapy.manufacturing import Process, SeparationStep
from exoabm.therapy.pharmacokinetics import Body, Formulation, Immunity, Organ, extraction, pbpk_model
from exoabm.therapy.treatment_protocol import (
    CellProduct,
    Dose,
    DoseMetric,
    Route,
    Schedule,
    Site,
    TreatmentProtocol,
    particles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from exoabm.domain import Domain
    from exoabm.random_streams import Streams
    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_therapy import Dosing
    from exoabm.state import State
    from exoabm.vesicle import VesicleKind

SUBJECTS = 1 << 60
"""First entity number of the traits of a subject, above those of all cells."""


def administered_doses(scenario: Scenario) -> list[Dosing]:
    """The doses that are switched on, among them those of zero amount (vehicle)."""
    return [dose for dose in scenario.dose if dose.given]


def has_treatment(scenario: Scenario) -> bool:
    """Whether a scenario has a treatment protocol: doses, immunity or manufacturing."""
    return (
        bool(administered_doses(scenario))
        or scenario.immunity is not None
        or scenario.manufacturing is not None
    )


def make_protocol(loaded: LoadedScenario, state: State) -> TreatmentProtocol | None:
    """The treatment protocol of a scenario; None if it has none.

    Raises
    ------
    ScenarioError
        If the place of a dose is outside the domain or has no cells at whose surface it enters, if its
        amount refers to a cargo that it does not carry, or if the tissue is larger than the target organ.
    """
    scenario = loaded.scenario
    if not has_treatment(scenario):
        return None
    doses = administered_doses(scenario)
    made = tuple(_dose(loaded, state, dose) for dose in doses)
    making = scenario.manufacturing
    protocol = TreatmentProtocol(
        made,
        None if scenario.immunity is None else _host(scenario.immunity),
        None if making is None else _process(scenario, making, state.streams),
        1.0 if making is None else float(making.cell_dose),
    )
    protocol.begin(state)
    return protocol


def dosed(loaded: LoadedScenario, domain: Domain, kinds: Sequence[VesicleKind]) -> tuple[float, float]:
    """Estimates, before there is a state, of vesicles that doses bring to the tissue: in a run, in a step.

    Vesicles that arrive through the blood are not included: most of them end in other organs.

    Raises
    ------
    ScenarioError
        If the amount of a dose refers to a cargo that it does not carry.
    """
    scenario, found = loaded.scenario, np.zeros(2)
    end, step = float(scenario.clock.duration), float(scenario.clock.step)
    named = {kind.name: kind for kind in kinds}
    for table in administered_doses(scenario):
        if Route(table.route) not in (Route.TISSUE, Route.LOCAL, Route.IMPLANT):
            continue
        load = _load(table, named[table.vesicle])
        schedule = _schedule(loaded, table, load)
        first = schedule.start, min(schedule.start + step, end)
        number = np.array([sum(schedule.administered(*span)) for span in ((0.0, end), first)])
        if DoseMetric(table.measure) is DoseMetric.CELLS:
            number *= float(table.release_rate) * np.array([end, step])
        if Route(table.route) is not Route.TISSUE:
            assert scenario.pharmacokinetics is not None
            number *= _volume(domain) / float(scenario.pharmacokinetics.target.volume)
            number *= 1.0 if table.molecule is None else 1.0 + load
        found += number
    return float(found[0]), float(found[1])


def _load(table: Dosing, kind: VesicleKind) -> float:
    """Molecules in a particle; a free molecule is one, also where its kind declares no cargo."""
    return sum(cargo.copies for cargo in kind.cargo) or float(table.molecular)


def _schedule(loaded: LoadedScenario, table: Dosing, load: float) -> Schedule:
    """Times and amount of a dose, in particles or cells."""
    measure, amount = DoseMetric(table.measure), float(getattr(table, table.measure))
    if measure is not DoseMetric.CELLS:
        try:
            amount = particles(measure, amount, load, float(table.protein_per_particle))
        except ValueError as error:
            problem = Problem(f"dose.{table.name}.{measure}", "", str(error))
            raise ScenarioError(loaded.name, [problem]) from None
    return Schedule(amount, float(table.start), float(table.duration), table.repeats, float(table.interval))


def _dose(loaded: LoadedScenario, state: State, table: Dosing) -> Dose:
    def wrong(key: str, value: str, expected: str) -> ScenarioError:
        return ScenarioError(loaded.name, [Problem(f"dose.{table.name}.{key}", value, expected)])

    names = [kind.name for kind in state.kinds]
    kind = names.index(table.vesicle)
    molecule = None if table.molecule is None else names.index(table.molecule)
    dim = state.domain.dim
    if table.center is not None and len(table.center) != dim:
        raise wrong("center", "", f"needs {dim} coordinates")
    if table.face is not None and SIDES.index(table.face) >= 2 * dim:
        raise wrong("face", repr(table.face), "a slab has no faces along z")
    site = _site(state, table)
    if not len(site.cells(state)):
        raise wrong(
            "through" if table.through else "reach",
            "",
            "no cell at whose surface the dose could enter",
        )
    load = _load(table, state.kinds[kind])
    schedule = _schedule(loaded, table, load)
    product = None
    if DoseMetric(table.measure) is DoseMetric.CELLS:
        loss = math.log(2) / table.therapeutic_half_life
        product = CellProduct(float(table.release_rate), loss, float(table.cell_antigen))
    dose = record_of(
        Dose,
        table,
        name=table.name,
        schedule=schedule,
        route=Route(table.route),
        site=site,
        kind=kind,
        molecule=molecule,
        load=load,
        pbpk=None,
        molecular=table.molecular,
        influx=0.0,
        molecule_influx=0.0,
        patch=1.0,
        antigen=float(table.protein_per_particle * table.relative_immunogenicity),
        product=product,
    )
    return dose if dose.route is Route.TISSUE else _through_body(loaded, state, table, dose)


def _through_body(loaded: LoadedScenario, state: State, table: Dosing, dose: Dose) -> Dose:
    """A dose with the pharmacokinetics of its route; particles without a load set nothing free."""
    body, formulation = _subject(loaded.scenario.pharmacokinetics, table, state.streams)
    if dose.load == 0:
        formulation = replace(formulation, leak_rate=0.0, cargo_return=0.0)
    (target,) = (organ for organ in body.organs if organ.name == "target")
    volume = _volume(state.domain)
    patch = volume / target.volume
    if patch > 1:
        problem = Problem(
            "pharmacokinetics.target.volume",
            f"{target.volume / 1e12:g} mL",
            f"smaller than the simulated tissue, {volume / 1e12:g} mL, which is a part of it",
        )
        raise ScenarioError(loaded.name, [problem])
    return replace(
        dose,
        pbpk=pbpk_model(body, formulation),
        influx=extraction(target, formulation) / body.plasma_volume,
        molecule_influx=target.flow / body.plasma_volume,
        patch=patch,
    )


def _site(state: State, table: Dosing) -> Site:
    if table.through is not None:
        return Site(type=[t.name for t in state.types].index(table.through))
    reach = float(table.reach or 0.0)
    if table.center is not None:
        return Site(center=tuple(float(x) for x in table.center), reach=reach)
    return Site(face=table.face, reach=reach)


def _volume(domain: Domain) -> float:
    blocked = 0 if domain.obstacle is None else int(domain.obstacle.sum())
    return float(domain.voxel_volume * (domain.n_voxels - blocked))


def traits(streams: Streams, variability: float, number: int, first: int = 0) -> np.ndarray:
    """Log-normal factors with mean 1 of a subject or a batch, shape (number,).

    Arms with the same seed have the same subject.
    """
    return spread(variability, streams.normal(Purpose.DOSE, SUBJECTS + first + np.arange(number), 0))


def spread(variability: float, normal: np.ndarray) -> np.ndarray:
    """Log-normal factors of mean 1 and this coefficient of variation, from standard normal numbers."""
    sigma = math.sqrt(math.log1p(variability**2))
    return np.asarray(np.exp(sigma * normal - sigma**2 / 2))


def _subject(body: Any, dose: Dosing, streams: Streams) -> tuple[Body, Formulation]:
    """The body and the kinetics of a formulation; clearances and permeability vary between subjects."""
    phagocytes, leak, basal, hepatic, absorption = traits(streams, float(body.variability), 5)
    permeability = {
        "target": float(dose.target_permeability) * leak,
        "heart": float(body.heart_permeability) * leak,
    }
    organs = tuple(
        record_of(
            Organ,
            table,
            name=name,
            phagocytes=float(table.phagocytes) * phagocytes,
            permeability=permeability.get(name, 0.0),
        )
        for name in ORGANS
        for table in [getattr(body, name)]
    )
    formulation = record_of(
        Formulation,
        dose,
        molecular=dose.molecular,
        decay_rate=math.log(2) / dose.organ_half_life,
        leak_rate=math.log(2) / dose.leak_half_life,
        hepatic_clearance=float(dose.hepatic_clearance) * hepatic,
        absorption_rate=math.log(2) / dose.absorption_half_life * absorption,
        drainage_rate=math.log(2) / dose.drainage_half_life,
    )
    cleared = float(body.basal_clearance) * basal
    return record_of(Body, body, organs=organs, basal_clearance=cleared), formulation


def _host(table: Any) -> Immunity:
    return record_of(
        Immunity,
        table,
        antigen_loss=math.log(2) / table.antigen_half_life,
        innate_rate=1.0 / table.innate_time,
        naive=float(table.naive_precursors),
        primed=float(table.memory_precursors),
    )


def _process(scenario: Scenario, table: Any, streams: Streams) -> Process:
    """A batch; the recovery of each step varies between batches, R_i = R^f within 0 and 1.

    The factor f is drawn by the name of a step, so that it does not depend on the position of the step in
    the chain of an arm, and is independent between steps.
    """
    names = get_args(Separation)
    factor = traits(streams, float(table.variability), len(names) * len(table.chain), first=16)
    factor = factor.reshape(len(table.chain), len(names))  # the n-th time that a step is taken, in row n
    steps = tuple(
        record_of(
            SeparationStep,
            each,
            name=name,
            recovery=float(each.recovery) ** float(factor[table.chain[:i].count(name), names.index(name)]),
            duration=float(each.time),
        )
        for i, name in enumerate(table.chain)
        for each in [getattr(table, name)]
    )
    return record_of(
        Process,
        table,
        protein_rate=float(table.protein_per_cell),
        steps=steps,
    )
