"""Doses in a model: they enter the mass balance and the graph under a label of their own, or are absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.errors import ScenarioError
from exoabm.output import checkpoint
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import LoadedScenario, parse
from exoabm.state import TreatmentReadout
from exoabm.therapy.pharmacokinetics import DEPOT, PLASMA, TARGET

TISSUE = """
[info]
title = "A patch of tumor"
[domain]
size = ["200 um", "200 um"]
thickness = "15 um"
[[layout.group]]
cell_type = "vessel"
arrange = "points"
points = [["105 um", "105 um"], ["45 um", "45 um"]]
[[layout.group]]
cell_type = "tumor"
count = 30
spacing = "20 um"
[clock]
step = "10 min"
duration = "6 h"
[[cargo]]
name = "drug"
copies = 100
[[vesicle]]
name = "carrier"
cargo = ["drug"]
[[vesicle]]
name = "drug_alone"
comparator = "free_drug"
cargo = ["drug"]
[[cell_type]]
name = "vessel"
[[cell_type]]
name = "tumor"
takes_up = ["carrier", "drug_alone"]
saturation = "inf"
"""
DOSE = """
[pharmacokinetics]
[[dose]]
name = "treatment"
vesicle = "carrier"
molecule = "drug_alone"
route = "intravenous"
particles = 1e10
through = "vessel"
"""
LIVER_SHARE = TreatmentReadout("particle_share", "treatment", "liver")
ROUTES = ("local", "intravenous", "intraperitoneal", "subcutaneous", "implant")


def tissue(text: str = TISSUE + DOSE, **pairs: Any) -> LoadedScenario:
    overrides = {key.replace("__", "."): str(value) for key, value in pairs.items()}
    return parse(text.encode(), name="tumor", folder=Path(), overrides=overrides)


def treated(hours: float = 6, seed: int = 1, **pairs: Any) -> ExosomeModel:
    model = ExosomeModel(tissue(**pairs), seed=seed)
    model.run(hours=hours)
    return model


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
@pytest.mark.parametrize("route", [*ROUTES, "tissue"])
def test_what_enters_is_in_the_ledger_under_its_own_label(engine: str, route: str) -> None:
    pairs = {"transport__engine": engine, "dose__treatment__route": route, "dose__treatment__particles": 1e10}
    small = {"tissue": 1000, "local": 1e7, "implant": 1e7}
    pairs["dose__treatment__particles"] = small.get(route, 1e10)
    if engine == "vesicles":
        pairs["cargo__drug__copies"] = 0.01
    state = treated(hours=2, **pairs).state
    assert state.labels.names[-1] == "dose"
    tolerance = 1e-9 if engine == "continuum" else 0
    assert np.abs(state.balance.residual()).max() <= tolerance
    entered = state.balance.entered[:, state.labels.names.index("dose")]
    assert entered[0] > 0
    assert entered == pytest.approx(state.balance.emitted.sum(axis=1))
    assert state.released.sum() == 0
    if engine == "continuum":
        assert entered[0] == pytest.approx(
            state.treatment_readouts[TreatmentReadout("entered_tissue", "treatment")], rel=1e-12
        )


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
@pytest.mark.parametrize(("killed", "start"), [("vessel", "0 h"), ("vessel", "1 h"), ("tumor", "1 h")])
def test_what_finds_no_way_in_is_not_said_to_have_entered(engine: str, killed: str, start: str) -> None:
    """Cells die at 20 per hour: that one of them lives at 1 h has a chance of 1 in 10 million."""
    dying = TISSUE.replace(f'name = "{killed}"\n', f'name = "{killed}"\ndeath_rate = "20 / h"\n')
    given = DOSE.replace('"intravenous"', f'"tissue"\nstart = "{start}"').replace("1e10", "1000")
    model = ExosomeModel(tissue(dying + given, transport__engine=engine), seed=1)
    model.run(hours=1.5)
    state = model.state
    measured = state.treatment_readouts[TreatmentReadout("entered_tissue", "treatment")]
    assert state.treatment_readouts[TreatmentReadout("given_share", "treatment")] == 1
    assert measured == pytest.approx(state.balance.entered.sum(), rel=1e-12)
    lost = (killed, start) == ("vessel", "1 h")
    assert (measured == 0) == lost
    assert sum("dose.treatment" in warning for warning in model.warnings) == lost


def test_a_dose_is_a_sender_in_the_graph(tmp_path: Path) -> None:
    result = run_to_folder(tissue(), tmp_path / "run", seed=1)
    model = treated()
    graph = model.communication
    assert graph.nodes["dose"]["cell_type"] == "dose"
    taken = model.state.trafficking.taken_up.sum()
    assert graph.nodes["dose"]["out_strength"] == pytest.approx(taken)
    assert set(model.edges.column("sender").to_pylist()) == {"dose"}
    assert model.edges.column("donor_type").null_count == model.edges.num_rows
    assert result.summary["communication"]["taken_up_by_type"]["dose"]["tumor"] == pytest.approx(taken)
    row = model.history.rows[-1]
    assert row["copies_delivered_per_cell[tumor, drug]"] > 0
    assert row["particle_share[treatment, liver]"] > 0.1
    body = result.summary["body"]["treatment"]
    assert body["particles"]["liver"]["share"] == row["particle_share[treatment, liver]"]
    held = [place["share"] for places in body.values() for place in places.values()]
    assert sum(held) == pytest.approx(1.0)
    assert model.history.rows[0].keys() == row.keys()


def test_the_tissue_gets_its_share_of_what_passes_the_vessels() -> None:
    """All that the target is given, times the volume of the tissue over the target's."""
    model = treated(hours=24, dose__treatment__leak_half_life="inf", pharmacokinetics__variability=0)
    dose = model.protocol.doses[0]
    body = dose.pbpk
    exposure = model.state.treatment.doses["treatment"].exposure[body.index(PLASMA)]
    share = 200 * 200 * 15 / 0.3e12
    expected = exposure * body.matrix[body.index(TARGET), body.index(PLASMA)] * share
    assert model.state.treatment_readouts[TreatmentReadout("entered_tissue", "treatment")] == pytest.approx(
        expected, rel=1e-9
    )
    assert expected == pytest.approx(1e10 * 0.0066 * share, rel=0.05)


def test_a_harvest_is_of_what_donors_released() -> None:
    """Neither a dose nor what comes in through a face was made by the cells of the culture.

    Beside a held face cells take up a little less of what others release than beside an open one.
    """
    text = TISSUE.replace('name = "vessel"', 'name = "vessel"\nreleases = "carrier"') + DOSE
    text += '[manufacturing]\nchain = ["chromatography"]\n'
    given = {"dose__treatment__route": "tissue", "dose__treatment__particles": 1e6}
    held = "{concentration = '1e9 / mL'}"
    batches = []
    for face, is_given in (("open", False), ("open", True), (held, False)):
        pairs = given | {"dose__treatment__given": str(is_given).lower(), "domain__faces__x_low": face}
        model = ExosomeModel(tissue(text, **pairs), seed=1)
        model.run(hours=1)
        batches.append(model.state.treatment_readouts[TreatmentReadout("batch_medium")])
        assert (model.state.balance.entered.sum() > 1000) == (is_given or face is held)
    alone, *beside = batches
    assert alone > 0
    assert beside[0] == pytest.approx(alone, rel=1e-12)
    assert beside[1] == pytest.approx(alone, rel=1e-4)


def test_a_harvest_is_of_the_vesicles_of_its_own_time() -> None:
    """Medium of a batch = cells of the culture times free vesicles per donor cell, at the same time."""
    text = TISSUE.replace('name = "vessel"', 'name = "vessel"\nreleases = "carrier"')
    model = ExosomeModel(tissue(text + '[manufacturing]\nchain = ["chromatography"]\n'), seed=1)
    ratios = []
    for _ in range(3):
        model.step()
        medium = model.state.treatment_readouts[TreatmentReadout("batch_medium")]
        ratios.append(medium / model.state.balance["free"].sum())
    assert ratios[0] > 0
    assert ratios == pytest.approx([ratios[0]] * 3, rel=1e-12)


@pytest.mark.parametrize("copies", [0, 5])
@pytest.mark.parametrize("leak", ["1 h", "inf"])
def test_the_dose_in_the_body_adds_up_also_where_particles_carry_nothing(copies: float, leak: str) -> None:
    """Shares of all compartments and forms sum to 1; empty particles set no molecules free."""
    pairs = {"cargo__drug__copies": copies, "dose__treatment__leak_half_life": leak}
    found = treated(hours=2, **pairs).state.treatment_readouts
    by_form = {
        form: sum(value for key, value in found.items() if key.quantity == form)
        for form in ("particle_share", "molecule_share")
    }
    assert sum(by_form.values()) == pytest.approx(1, rel=1e-9)
    assert (by_form["molecule_share"] > 0) == (copies > 0)


def log_recoveries(chain: str, seeds: int = 200) -> np.ndarray:
    """ln R of every step of a chain, in batches of so many seeds."""
    small = TISSUE.replace("count = 30", "count = 1")
    text = f"{small}[manufacturing]\nchain = {chain}\n"
    loaded = tissue(text)
    protocols = [ExosomeModel(loaded, seed=seed).protocol for seed in range(1, seeds + 1)]
    found = [each.process for each in protocols if each and each.process]
    return np.log([[step.recovery for step in process.steps] for process in found])


def test_a_step_of_separation_has_its_own_draw_in_any_chain() -> None:
    """Two arms of a trial share what they do alike and nothing else.

    Of 200 pairs without correlation one beyond 0.28 comes once in 10 000 times.
    """
    together = log_recoveries('["tangential_flow", "chromatography", "chromatography"]')
    assert np.array_equal(together[:, 1], log_recoveries('["chromatography"]')[:, 0])
    others = np.column_stack([together, log_recoveries('["ultracentrifugation"]')])
    found = np.corrcoef(others.T)
    print(found)
    assert np.abs(found[~np.eye(4, dtype=bool)]).max() < 0.28
    assert others[:, 3].std() / abs(others[:, 3].mean()) == pytest.approx(0.3, rel=0.25)


def test_a_free_molecule_is_one_where_its_kind_declares_no_cargo() -> None:
    pairs = {"dose__treatment__molecular": "true", "dose__treatment__vesicle": "drug_alone"}
    none, one = (
        treated(hours=1, **pairs, **more).state.treatment_readouts
        for more in ({"vesicle__drug_alone__cargo": "[]"}, {"vesicle__drug_alone__copies": 1})
    )
    assert none == one
    shares = [value for key, value in none.items() if key.quantity in ("particle_share", "molecule_share")]
    assert sum(shares) == pytest.approx(1)
    assert none[TreatmentReadout("molecules_h", "treatment", "plasma")] > 0


def test_no_dose_is_exactly_no_therapy() -> None:
    """Two ways of giving nothing, and a scenario that knows no therapy, have the same bits."""
    sending = TISSUE.replace('name = "vessel"', 'name = "vessel"\nreleases = "carrier"', 1)
    never = ExosomeModel(tissue(sending), seed=1)
    withheld = ExosomeModel(tissue(sending + DOSE, dose__treatment__given="false"), seed=1)
    for model in (never, withheld):
        assert model.protocol is None
        model.run(hours=2)
    for first, second in zip(never.state.fields, withheld.state.fields, strict=True):
        assert (first == second).all()
    assert never.history.rows == withheld.history.rows


def test_arms_share_the_subject_and_its_seeds_differ() -> None:
    first, again, other = (
        treated(hours=1, seed=seed, dose__treatment__particles=dose).state.treatment_readouts[LIVER_SHARE]
        for seed, dose in ((1, 1e10), (1, 1e9), (2, 1e10))
    )
    assert first == pytest.approx(again, rel=1e-12)
    assert first != other


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_treated_model_goes_on_from_a_snapshot(engine: str) -> None:
    pairs = {"transport__engine": engine, "cargo__drug__copies": 0.01, "dose__treatment__repeats": 3}
    pairs |= {"dose__treatment__interval": "1 h", "dose__treatment__particles": 1e8}
    whole = treated(hours=3, **pairs)
    half = treated(hours=1.5, **pairs)
    saved = {path: array.copy() for path, array in checkpoint.snapshot(half.state).items()}
    rest = ExosomeModel(tissue(**pairs), seed=1, snapshot=saved)
    rest.run(hours=1.5)
    assert rest.state.treatment_readouts == whole.state.treatment_readouts
    assert (rest.state.trafficking.taken_up == whole.state.trafficking.taken_up).all()


def test_therapeutic_cells_release_while_they_live_and_a_sensitized_host_ends_that() -> None:
    cells = DOSE.replace("particles = 1e10", "cells = 1e6")
    naive, sensitized = (
        ExosomeModel(tissue(TISSUE + cells + "[immunity]\n", immunity__initial_memory=memory), seed=1)
        for memory in (0, 1)
    )
    for model in (naive, sensitized):
        model.run(hours=24)
    living = [
        m.state.treatment_readouts[TreatmentReadout("living_share", "treatment")] for m in (naive, sensitized)
    ]
    assert living[0] == pytest.approx(0.5, rel=0.02)
    assert living[1] < living[0]
    assert naive.state.treatment_readouts[TreatmentReadout("released", "treatment")] == pytest.approx(
        1e6 * 60 * 24 / np.log(2) * 0.5, rel=0.02
    )
    assert naive.state.treatment_readouts[TreatmentReadout("innate_activation")] > 0


def test_exposures_of_the_host_are_activation_times_hours() -> None:
    """By the trapezoidal rule over the steps, of 10 min each."""
    cells = DOSE.replace("particles = 1e10", "cells = 1e6")
    model = ExosomeModel(tissue(TISSUE + cells + "[immunity]\n", immunity__initial_memory=0.5), seed=1)
    names = ("innate_activation", "effectors")
    seen = [[model.state.treatment_readouts[TreatmentReadout(name)] for name in names]]
    for _ in range(6):
        model.step()
        seen.append([model.state.treatment_readouts[TreatmentReadout(name)] for name in names])
    found = [model.state.treatment_readouts[TreatmentReadout(f"{name}_h")] for name in names]
    expected = np.trapezoid(seen, dx=1 / 6, axis=0)
    assert (expected > 0).all()
    assert found == pytest.approx(expected, rel=1e-12)


ENTRIES = {
    ("local", False): TARGET, ("local", True): TARGET.molecules, ("implant", False): TARGET,
    ("implant", True): TARGET.molecules, ("intravenous", False): PLASMA,
    ("intravenous", True): PLASMA.molecules, ("intraperitoneal", False): DEPOT,
    ("subcutaneous", True): DEPOT,
}  # fmt: skip


def given_by(route: str, molecular: bool, **pairs: Any) -> ExosomeModel:
    if molecular:
        pairs |= {"dose__treatment__molecular": "true", "dose__treatment__vesicle": "drug_alone"}
    return ExosomeModel(tissue(dose__treatment__route=route, **pairs), seed=1)


def test_a_dose_is_given_where_its_route_leads() -> None:
    for given, entry in ENTRIES.items():
        protocol = given_by(*given).protocol
        assert protocol is not None
        assert protocol.doses[0].compartment == entry


def test_a_dose_by_mass_is_as_many_particles_as_have_that_protein() -> None:
    text = DOSE.replace("particles = 1e10", 'mass = "3 ug"\nprotein_per_particle = "2e-10 ug"')
    protocol = ExosomeModel(tissue(TISSUE + text), seed=1).protocol
    assert protocol is not None
    assert protocol.doses[0].schedule.total == pytest.approx(1.5e10)


@pytest.mark.parametrize("molecular", [False, True])
def test_an_infusion_into_the_target_is_the_tissues_share_of_it(molecular: bool) -> None:
    """Over a full hour of 1.5 h, and what comes back by the blood beside it."""
    model = given_by("local", molecular, dose__treatment__duration="1 h")
    share, entered = 200 * 200 * 15 / 0.3e12, []
    for _ in range(9):
        model.step()
        entered.append(model.state.treatment_readouts[TreatmentReadout("entered_tissue", "treatment")])
    assert share * 1e10 <= entered[-1] < 1.2 * share * 1e10
    assert entered[2] == pytest.approx(entered[-1] / 2, rel=0.1)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"dose__treatment__vesicle": "carier"}, "did you mean 'carrier'"),
        ({"dose__treatment__mass": "1 ug"}, "exactly one of particles"),
        ({"dose__treatment__face": "x_low"}, "give one"),
        ({"dose__treatment__reach": "5 um"}, "reach goes with"),
        ({"dose__treatment__route": "oral"}, "dose.treatment.route"),
        ({"pharmacokinetics__target__volume": "1e-4 mL", "domain__thickness": "9 mm"}, "smaller than"),
        ({"pharmacokinetics__liver__blood": "1"}, "unknown key"),
        ({"dose__treatment__through": "vesel"}, "did you mean 'vessel'"),
    ],
)
def test_faults_are_named(pairs: dict[str, str], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        ExosomeModel(tissue(**pairs), seed=1)


def test_a_route_through_the_body_needs_one() -> None:
    with pytest.raises(ScenarioError, match=r"needs \[pharmacokinetics\]"):
        tissue(TISSUE + DOSE.replace("[pharmacokinetics]", ""))


SLAB = ("'200 um'", "'200 um'")


@pytest.mark.parametrize(
    ("size", "place", "message"),
    [
        (SLAB, "center = [45]", "dose.treatment.center: needs 2 coordinates"),
        (SLAB, "center = [45, 45, 100]", "dose.treatment.center: needs 2 coordinates"),
        ((*SLAB, "'20 um'"), "center = [45, 45]", "dose.treatment.center: needs 3 coordinates"),
        (SLAB, 'face = "z_low"', "dose.treatment.face = 'z_low': a slab has no faces along z"),
        (SLAB, "center = [45, 45]", None),
        ((*SLAB, "'20 um'"), "center = [45, 45, 10]", None),
        ((*SLAB, "'20 um'"), 'face = "z_low"', None),
    ],
)
def test_a_dose_is_given_in_the_space_that_there_is(size, place: str, message: str | None) -> None:
    text = TISSUE + DOSE.replace('through = "vessel"', f'{place}\nreach = "20 um"')
    pairs = {"domain__size": f"[{', '.join(size)}]"}
    if message is None:
        assert len(ExosomeModel(tissue(text, **pairs), seed=1).protocol.doses) == 1
    else:
        with pytest.raises(ScenarioError, match=message):
            ExosomeModel(tissue(text, **pairs), seed=1)
