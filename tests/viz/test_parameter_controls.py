"""Controls come from the declarations, their sliders cover what they say, and what is typed is checked."""

from __future__ import annotations

import math
import re
import shlex

import pytest

from exoabm.errors import InputError
from exoabm.model import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.parameters.catalog import CATALOG
from exoabm.scenario.loader import load, shipped
from exoabm.scenario.schema_base import quantities
from exoabm.scenario.unused_keys import unused_keys
from exoabm.viz.components.controls import _row
from exoabm.viz.parameter_controls import SHARES, Control, changed, controls_of, span
from exoabm.viz.run_setup import Setup, first_setup, intro_of, shipped_intro


@pytest.fixture(scope="module")
def signaling() -> dict[str, Control]:
    return controls_of(load("signaling"))


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_every_scenario_opens_with_five_controls_that_it_has(scenario: str) -> None:
    loaded = first_setup(scenario).load()
    intro, found = intro_of(loaded), controls_of(loaded)
    assert intro.sentence
    assert len({control.label for control in found.values()}) == len(found), "each has a label of its own"
    assert 1 <= len(intro.controls) <= 5
    assert set(intro.controls) <= set(found)
    assert intro is shipped_intro(scenario)
    assert intro.prediction is not None
    assert len(intro.prediction.answers) == 3


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_numbers_are_declared_parameters_with_unit_range_and_source(scenario: str) -> None:
    for control in controls_of(load(scenario)).values():
        words = dict(control.about)
        if control.kind == "number":
            assert control.parameter is not None
            assert words["allowed"] == span(control.parameter.allowed, control.parameter.unit)
            assert words["source"]
            assert words[control.parameter.symbol] == control.parameter.meaning
            assert control.parameter.allowed[0] <= control.low < control.high <= control.parameter.allowed[1]


def test_controls_of_a_comparator_say_what_is_declared_of_it() -> None:
    """The ranges of vesicles stood at the free drug, whose diameter, which no run reads, had a control."""
    found = controls_of(load("tumor_delivery"))
    assert found["vesicle.vesicle.half_life"].parameter is CATALOG["half_life"]
    for key in ("diffusivity", "half_life", "delivery_probability"):
        control, declared = found[f"vesicle.free.{key}"], CATALOG[f"free_drug_{key}"]
        assert control.parameter is declared
        about = dict(control.about)
        assert about[declared.symbol] == declared.meaning != about.get("note")
        if declared.published is not None:
            assert (control.low, control.high) == declared.published
            assert about["plausible"] == span(declared.published, declared.unit)
    assert "vesicle.free.diameter" not in found
    assert "vesicle.nanoparticle.diameter" in found, "its diffusivity follows from it"


@pytest.mark.parametrize("scenario", ["signaling", "production", "delivery_routes"])
def test_a_value_is_read_with_its_unit_as_it_is_shown_and_junk_is_refused(scenario: str) -> None:
    for control in controls_of(first_setup(scenario).load()).values():
        if control.kind == "choice":
            continue
        assert control.read(f"{control.applied} {control.unit}") == control.read(control.applied)
        for text in ("", "1 furlong", "nan", "1e999 parsecs", "½", "[]", "1 h h"):
            with pytest.raises(InputError) as refused:
                control.read(text)
            assert not re.search(r"\bEV\b", str(refused.value))


def test_a_slider_goes_there_and_back(signaling: dict[str, Control]) -> None:
    for control in signaling.values():
        if control.kind == "choice" or not math.isfinite(float(control.applied)):
            continue
        assert float(control.value(0)) == pytest.approx(control.low, rel=5e-3)
        assert float(control.value(SHARES)) == pytest.approx(control.high, rel=5e-3)
        near = float(control.value(control.share(control.applied)))
        span = (
            math.log(control.high / control.low) * near if control.logarithmic else control.high - control.low
        )
        assert near == pytest.approx(
            float(control.applied), abs=max(span / SHARES, 6e-3 * near, 0.5 * (control.kind == "count"))
        )
        values = [float(control.value(share)) for share in range(0, SHARES + 1, 50)]
        assert values == sorted(values)


def test_every_place_of_every_slider_is_a_value_that_loads(signaling: dict[str, Control]) -> None:
    for key, control in signaling.items():
        if control.kind == "number":
            for share in (0, 333, SHARES):
                load("signaling", {key: control.value(share)})


@pytest.mark.parametrize(
    ("key", "typed", "read"),
    [
        ("cell_type.donor.release_rate", "120", "120"),
        ("cell_type.donor.release_rate", " 2 / min ", "120"),
        ("vesicle.exosome.half_life", "inf", "inf"),
        ("vesicle.exosome.half_life", "90 min", "1.5"),
        ("layout.group.recipient.count", "12", "12"),
        ("transport.engine", "vesicles", "vesicles"),
    ],
)
def test_what_is_typed_is_read_with_its_unit(
    signaling: dict[str, Control], key: str, typed: str, read: str
) -> None:
    assert signaling[key].read(typed) == read


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("cell_type.donor.release_rate", "-1", "allowed"),
        ("cell_type.donor.release_rate", "3 um", "1/h"),
        ("cell_type.donor.release_rate", "many", "number"),
        ("cell_type.donor.release_rate", "nan", "number"),
        ("cell_type.donor.release_rate", "9" * 200, "too long"),
        ("vesicle.exosome.delivery_probability", "1.2", "allowed 0 to 1"),
        ("layout.group.recipient.count", "2.5", "whole number"),
        ("layout.group.recipient.count", "0", "allowed 1 to"),
        ("transport.engine", "<script>", "one of"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    signaling: dict[str, Control], key: str, typed: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        signaling[key].read(typed)


def test_controls_without_effect_are_not_offered(signaling: dict[str, Control]) -> None:
    assert "cell_type.donor.release_rate" in signaling
    assert "cell_type.donor.uptake_rate" not in signaling
    assert "cell_type.recipient.release_rate" not in signaling


@pytest.mark.parametrize(
    ("scenario", "changes", "without", "with_"),
    [
        ("delivery_routes", {}, "bioavailability foreignness interval cell_antigen", "carrier_uptake"),
        ("delivery_routes", {"dose.dose.repeats": "3"}, "release_rate", "interval"),
        ("delivery_routes", {"dose.dose.route": "subcutaneous"}, "foreignness", "absorption_half_life"),
        ("delivery_routes", {"dose.dose.molecular": "true"}, "carrier_uptake cargo_return", "partition"),
        ("tissue_repair", {}, "carrier_uptake partition drainage_half_life", "reach start"),
        (
            "exosome_vs_cell_therapy",
            {},
            "absorption_half_life",
            "cell_antigen foreignness therapeutic_half_life",
        ),
    ],
)
def test_controls_of_a_dose_are_those_of_its_route_and_form(
    scenario: str, changes: dict[str, str], without: str, with_: str
) -> None:
    loaded = load(scenario, changes)
    (name,) = (dose.name for dose in loaded.scenario.dose if dose.given)
    found = {key.rpartition(".")[2] for key in controls_of(loaded) if key.startswith(f"dose.{name}.")}
    assert not found & set(without.split())
    assert found >= set(with_.split())


@pytest.mark.parametrize(
    ("scenario", "changes"),
    [
        ("delivery_routes", {}),
        ("delivery_routes", {"dose.dose.molecular": "true"}),
        ("delivery_routes", {"dose.dose.route": "subcutaneous"}),
        ("exosome_vs_cell_therapy", {}),
        ("tissue_repair", {}),
    ],
)
def test_controls_of_doses_that_are_not_offered_change_no_run(scenario: str, changes: dict[str, str]) -> None:
    first = load(scenario, changes)
    numbers = {key: value for key, value in quantities(first.scenario) if key.startswith("dose.")}
    hidden = {key: value for key, value in numbers.items() if key in unused_keys(first.scenario)}
    halved = {key: f"{value.magnitude / 2:g}" for key, value in hidden.items()}
    assert len(halved) > 5
    ends = []
    for given in (changes, changes | halved):
        model = ExosomeModel(load(scenario, given), seed=1)
        for _ in range(4):
            model.step()
        ends.append({str(readout): value for readout, value in model.state.treatment_readouts.items()})
    assert ends[1] == pytest.approx(ends[0], rel=1e-9)


IDLE = {
    "transport.capture": (
        "membrane",
        {"transport.engine": "vesicles", "cell_type.donor.release_rate": "1e5 / h"},
    ),
    "domain.thickness": ("20 um", {"domain.size": "['200 um', '200 um']"}),
    "vesicle.exosome.binding_rate": (
        "1e5 / M / s",
        {
            "vesicle.exosome.ligand": "integrin",
            "cell_type.recipient.takes_up": "[]",
            "cell_type.recipient.receptor": "[{ name = 'integrin' }]",
        },
    ),
    "cell_type.recipient.persistence": ("1 h", {"cell_type.recipient.motility": "10 um^2/h"}),
}
"""Keys that ``two_cells`` does not read, another value of each, and changes with which it is read."""


@pytest.mark.parametrize("key", IDLE)
def test_a_key_that_no_run_reads_has_no_control_and_changes_no_run(key: str) -> None:
    """With the mechanism that reads it, it has a control and changes the run."""
    value, used = IDLE[key]
    for changes, is_read in (({}, False), (used, True)):
        assert (key in controls_of(load("two_cells", changes))) == is_read
        ends = []
        for given in (changes, changes | {key: value}):
            model = ExosomeModel(load("two_cells", given), seed=1)
            for _ in range(8):
                model.step()
            ends.append(measure(model.state) | {"x": model.state.cells.position.tolist()})
        assert (ends[0] != ends[1]) == is_read


def test_a_dose_that_is_not_given_has_no_controls() -> None:
    assert not [key for key in controls_of(load("tissue_repair")) if key.startswith("dose.graft.")]


def test_cells_that_release_by_sorting_or_export_have_the_controls_of_it() -> None:
    """Waste leaves in bursts or evenly; bodies with sorted vesicles need no ``releases``."""
    waste = controls_of(load("waste_removal"))
    assert "cell_type.stressed.secretion" in waste
    assert "cell_type.stressed.release_rate" not in waste
    body = "{ sorting = [{ vesicle = 'exosome', share = 1 }] }"
    sorted_ = controls_of(load("two_cells", {"cell_type.recipient.mvb": body}))
    assert {f"cell_type.recipient.{k}" for k in ("release_rate", "ilvs_per_mvb", "secretion")} <= set(sorted_)


def test_pending_values_that_are_the_applied_ones_change_nothing(signaling: dict[str, Control]) -> None:
    applied = signaling["cell_type.donor.release_rate"].applied
    pending = {"cell_type.donor.release_rate": applied, "transport.engine": "vesicles", "no.such": "1"}
    assert changed(signaling, pending) == {"transport.engine": "vesicles"}


def test_a_setup_says_the_command_that_runs_the_same() -> None:
    setup = Setup("signaling", (("clock.step", "10"), ("clock.duration", "2 h")), 4)
    setup = setup.changed({"transport.engine": "vesicles", "layout.group.recipient.count": "20"})
    assert setup.command == (
        "exoabm run signaling --seed 4 --set 'clock.step=10 s' --set 'clock.duration=2 h'"
        " --set transport.engine=vesicles --set layout.group.recipient.count=20"
    )
    assert float(setup.load().scenario.clock.step) == 10.0
    told = dict(part.split("=") for part in shlex.split(setup.command) if "=" in part)
    assert load("signaling", told).scenario == setup.load().scenario, "both run the same"


def test_ranges_are_written_for_people() -> None:
    assert span((0.0, 1e6), "um^3/s") == "0 to 10⁶ µm³/s"
    assert span((0.001, 0.33), "1") == "0.001 to 0.33"
    assert span((0.0, math.inf), "1/h") == "0 to ∞ per h"
    assert span((1e-5, 20000.0), "copies/EV") == "10⁻⁵ to 20,000 per vesicle"
    assert span((-1e5, 1e5), "um/h") == "\N{MINUS SIGN}10⁵ to 10⁵ µm/h"
    assert span((1e-12, 1e12), "copies") == "10⁻¹² to 10¹² copies"


def test_a_count_of_one_is_said_in_the_singular() -> None:
    control = controls_of(load("signaling", {"layout.group.donor.count": "1"}))["layout.group.donor.count"]
    row = _row(control, "2", "", first=True)
    assert (row["running"], row["spoken"]) == ("1 cell", "2 cells")
