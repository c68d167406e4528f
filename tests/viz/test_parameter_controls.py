"""Controls come from the declarations, their sliders cover what they say, and what is typed is checked."""

from __future__ import annotations

import math
import shlex

import pytest

from exoabm.errors import InputError
from exoabm.scenario.loader import load, shipped
from exoabm.viz.parameter_controls import SHARES, Knob, changed, knobs, span
from exoabm.viz.scenario_intros import OPENINGS, first_setup, opening
from exoabm.viz.setup import Setup


@pytest.fixture(scope="module")
def signaling() -> dict[str, Knob]:
    return knobs(load("signaling"))


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_every_scenario_opens_with_five_controls_that_it_has(scenario: str) -> None:
    loaded = first_setup(scenario).load()
    begun, found = opening(loaded), knobs(loaded)
    assert begun.sentence
    assert 1 <= len(begun.controls) <= 5
    assert set(begun.controls) <= set(found)
    assert begun is OPENINGS[scenario]
    assert begun.question
    assert len(begun.answers) == 3
    assert begun.afterwards


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_numbers_are_declared_parameters_with_unit_range_and_source(scenario: str) -> None:
    for knob in knobs(load(scenario)).values():
        words = dict(knob.about)
        if knob.kind == "number":
            assert knob.parameter is not None
            assert words["allowed"] == span(knob.parameter.allowed, knob.parameter.unit)
            assert words["source"]
            assert words[knob.parameter.symbol] == knob.parameter.meaning
            assert knob.parameter.allowed[0] <= knob.low < knob.high <= knob.parameter.allowed[1]


def test_a_slider_goes_there_and_back(signaling: dict[str, Knob]) -> None:
    for knob in signaling.values():
        if knob.kind == "choice" or not math.isfinite(float(knob.applied)):
            continue
        assert float(knob.value(0)) == pytest.approx(knob.low, rel=5e-3)
        assert float(knob.value(SHARES)) == pytest.approx(knob.high, rel=5e-3)
        near = float(knob.value(knob.share(knob.applied)))
        span = math.log(knob.high / knob.low) * near if knob.logarithmic else knob.high - knob.low
        assert near == pytest.approx(
            float(knob.applied), abs=max(span / SHARES, 6e-3 * near, 0.5 * (knob.kind == "count"))
        )
        values = [float(knob.value(share)) for share in range(0, SHARES + 1, 50)]
        assert values == sorted(values)


def test_every_place_of_every_slider_is_a_value_that_loads(signaling: dict[str, Knob]) -> None:
    for key, knob in signaling.items():
        if knob.kind == "number":
            for share in (0, 333, SHARES):
                load("signaling", {key: knob.value(share)})


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
    signaling: dict[str, Knob], key: str, typed: str, read: str
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
    signaling: dict[str, Knob], key: str, typed: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        signaling[key].read(typed)


def test_controls_without_effect_are_not_offered(signaling: dict[str, Knob]) -> None:
    assert "cell_type.donor.release_rate" in signaling
    assert "cell_type.donor.uptake_rate" not in signaling
    assert "cell_type.recipient.release_rate" not in signaling


def test_cells_that_release_by_sorting_or_export_have_the_controls_of_it() -> None:
    """Waste leaves in bursts or evenly; bodies with sorted vesicles need no ``releases``."""
    waste = knobs(load("waste_removal"))
    assert "cell_type.stressed.secretion" in waste
    assert "cell_type.stressed.release_rate" not in waste
    body = "{ sorting = [{ vesicle = 'exosome', share = 1 }] }"
    sorted_ = knobs(load("two_cells", {"cell_type.recipient.mvb": body}))
    assert {f"cell_type.recipient.{k}" for k in ("release_rate", "ilvs_per_mvb", "secretion")} <= set(sorted_)


def test_pending_values_that_are_the_applied_ones_change_nothing(signaling: dict[str, Knob]) -> None:
    applied = signaling["cell_type.donor.release_rate"].applied
    pending = {"cell_type.donor.release_rate": applied, "transport.engine": "vesicles", "no.such": "1"}
    assert changed(signaling, pending) == {"transport.engine": "vesicles"}


def test_a_setup_says_the_command_that_runs_the_same() -> None:
    setup = Setup("signaling", (("clock.step", "10"), ("clock.duration", "2 h")), 4)
    setup = setup.changed({"transport.engine": "vesicles", "layout.group.recipient.count": "20"})
    assert setup.command == (
        "exoabm run signaling --seed 4 --set clock.step='10 s' --set clock.duration='2 h'"
        " --set transport.engine='vesicles' --set layout.group.recipient.count='20'"
    )
    assert float(setup.load().scenario.clock.step) == 10.0
    told = dict(part.split("=") for part in shlex.split(setup.command) if "=" in part)
    assert load("signaling", told).scenario == setup.load().scenario, "both run the same"


def test_ranges_are_written_for_people() -> None:
    assert span((0.0, 1e6), "um^3/s") == "0 to 10⁶ µm³/s"
    assert span((0.001, 0.33), "1") == "0.001 to 0.33"
    assert span((0.0, math.inf), "1/h") == "0 to ∞ per h"
