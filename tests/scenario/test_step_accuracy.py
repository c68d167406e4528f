"""A step that is long against what goes on in it is told of, with its error and the step that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exoabm import ExosomeModel
from exoabm.parameters.units import duration_text, percent_text, to_internal
from exoabm.scenario.loader import parse
from exoabm.scenario.state_builder import blueprint

BODY = """
info = { title = "a test" }
domain = { size = [100, 120] }
clock = { step = "STEP" }
transport = { engine = "ENGINE" }
cargo = [{ name = "mir", copies = 3, half_life = "HALF" }, { name = "junk", role = "waste", copies = 1 }]
vesicle = [
    { name = "EV", cargo = ["mir", "junk"], unbinding_rate = "OFF / h", internalization_rate = "6 / h", \
recycling_probability = BACK, processing_rate = "60 / h", half_life = "inf" },
    { name = "other" },
]
layout = { group = [{ cell_type = "a", count = 1 }, { cell_type = "b", count = 6 }] }

[[cell_type]]
name = "a"
releases = "EV"
release_rate = "6000 / h"

[[cell_type]]
name = "b"
takes_up = ["EV"]
uptake_rate = 40
saturation = "inf"
MORE
"""
AGE = '[[response]]\ncell_type = "b"\nsignal = "age"\nincreases = "motility"\nto = "10 um^2/h"\n'
WASTE = 'waste = { vesicle = "EV", lysosomal_rate = "20 / h" }'


def text(step: str, **keys: object) -> bytes:
    given = {"ENGINE": "continuum", "HALF": "1000 h", "OFF": 0, "BACK": 0, "MORE": ""} | keys
    body = BODY.replace("STEP", step)
    for key, value in given.items():
        body = body.replace(key, str(value))
    return body.encode()


def told(step: str, **keys: object) -> list[str]:
    plan = blueprint(parse(text(step, **keys), name="test", folder=Path()), 1)
    return [warning for warning in plan.warnings if warning.startswith("clock.step is long")]


def named_step(warning: str) -> str:
    return warning.split("A step of ")[1].split(" or less")[0]


@pytest.mark.parametrize(
    ("keys", "subject"),
    [
        ({"OFF": 6}, "unbinding and renewed uptake of EV"),
        ({"BACK": 0.5}, "unbinding and renewed uptake of EV"),
        ({"HALF": "10 min"}, "the loss of mir in b"),
        ({"MORE": WASTE}, "the loss of junk in b"),
        ({"MORE": 'motility = "300 um^2/h"'}, "the motion of b"),
        (
            {"MORE": f'motility = 0\n{AGE}half_max = "40 min"\nhill = 2'},
            "the response of motility to age in b",
        ),
    ],
)
def test_what_a_step_is_long_against_is_named_with_a_step_that_is_not(keys: dict, subject: str) -> None:
    (warning,) = told("30 min", **keys)
    assert subject in warning
    assert " %" in warning or "of their radius" in warning
    step = named_step(warning)
    print(warning)
    assert told(step, **keys) == []
    longer = 1.5 if "motion" in subject else 2.2
    assert len(told(f"{longer * to_internal(step, 's')[1]} s", **keys)) == (0 if "motion" in subject else 1)


def test_nothing_is_said_of_a_step_that_is_short_or_of_what_nobody_does() -> None:
    everything = {"OFF": 6, "BACK": 0.5, "HALF": "10 min", "MORE": f'motility = "300 um^2/h"\n{WASTE}'}
    assert len(told("1 h", **everything)) == 4
    assert told("5 s", **everything) == []
    assert told("1 h") == []


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_run_says_how_many_wait(engine: str) -> None:
    """What left a cell in a step is free and cannot be captured in it; at 10 s there is no word of it."""
    keys = {"OFF": 20, "ENGINE": engine}
    model = ExosomeModel(parse(text("10 min", **keys), name="test", folder=Path()), seed=1)
    foreseen = [warning for warning in model.warnings if warning.startswith("clock.step")]
    assert len(foreseen) == 1
    model.warnings.clear()
    model.run(hours=0.5)
    (measured,) = [warning for warning in model.warnings if warning.startswith("clock.step")]
    print(foreseen, measured)
    assert "unbinding and renewed uptake of EV: at 0." in measured
    one, two = (to_internal(named_step(warning), "s")[1] for warning in (*foreseen, measured))
    assert 1 / 3 < one / two < 3
    short = ExosomeModel(parse(text("10 s", **keys), name="test", folder=Path()), seed=1)
    short.run(hours=0.1)
    assert not any(warning.startswith("clock.step") for warning in short.warnings)


def test_the_error_in_tissue_is_what_was_said() -> None:
    """Free vesicles after 1 h at steps of 20 min against 1 min: as foreseen, within a factor of 2."""
    found = []
    for step in ("20 min", "1 min"):
        model = ExosomeModel("tissue", seed=1, overrides={"clock.step": step, "domain.voxel": "10"})
        warnings = [warning for warning in model.warnings if warning.startswith("clock.step")]
        assert len(warnings) == (step == "20 min")
        model.run(hours=1)
        found.append((float(model.state.balance["free"].sum()), warnings))
    (coarse, (warning,)), (fine, _) = found
    said = float(warning.split("about ")[1].split(" %")[0]) / 100
    print(coarse, fine, said)
    assert 0.5 < (coarse / fine - 1) / said < 2


def test_errors_and_times_are_said_with_the_digits_they_deserve() -> None:
    assert [percent_text(x) for x in (0.0123, 0.274, 1.634)] == ["1 %", "27 %", "160 %"]
    assert [duration_text(x) for x in (44.9, 61, 157, 9300)] == ["44 s", "1 min", "2.6 min", "2.5 h"]
