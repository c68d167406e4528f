"""The options of a run are those of many runs, and its words that are no keys are answered."""

from __future__ import annotations

import json
import math

import pytest

from exoabm import ExosomeModel
from exoabm.errors import InputError


@pytest.mark.parametrize("word", ["seed", "replicates", "engine", "hours", "threads"])
def test_a_word_of_the_command_line_is_no_key(command, word) -> None:
    for option in ("--vary", "--set"):
        command("sweep", "two_cells", "--out", "s", option, f"{word}=1,2", "--replicates", 2).refused(
            2, f"{option} {word}: ", f"--{word}"
        )
    command("sensitivity", "two_cells", "--out", "s", "--vary", f"{word}=1:2").refused(2, f"--vary {word}: ")
    command("run", "two_cells", "--out", "s", "--set", f"{word}=1").refused(2, f"--set {word}: ")


def test_sweeps_take_the_engine_that_runs_take(command, tmp_path) -> None:
    words = ("--hours", 0.05, "--seed", 1, "--engine", "vesicles", "--replicates", 2)
    assert command("sweep", "two_cells", "--out", "s", *words).code == 0
    assert '"vesicles"' in json.dumps(json.loads((tmp_path / "s" / "plan.json").read_text()))


@pytest.mark.parametrize(
    "words", [("run",), ("sweep",), ("sensitivity",), ("fit", "--data", "x"), ("trial",)]
)
def test_every_command_that_runs_knows_the_engines(command, words) -> None:
    name, *more = words
    scenario = "signaling" if name == "trial" else "two_cells"
    command(name, scenario, "--out", "s", "--engine", "lattice", *more).refused(
        2, "transport.engine = 'lattice'", "vesicles"
    )


def test_what_is_given_twice_is_refused(command) -> None:
    twice = ("--set", "clock.step=60 s", "--set", "clock.step=30 s")
    command("run", "two_cells", "--out", "s", *twice).refused(2, "clock.step", "given twice")
    engines = ("--engine", "vesicles", "--set", "transport.engine=continuum")
    command("run", "two_cells", "--out", "s", *engines).refused(2, "vesicles", "continuum")
    key = "cell_type.donor.release_rate"
    both = ("--vary", f"{key}=1,2", "--set", f"{key}=5")
    command("sweep", "two_cells", "--out", "s", *both).refused(2, key, "both set and varied")
    command("sensitivity", "two_cells", "--out", "s", "--vary", f"{key}=1:2", "--set", f"{key}=5").refused(
        2, key, "both set and varied"
    )


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "soon", "5 um"])
def test_time_does_not_run_backward(wrong) -> None:
    model = ExosomeModel("two_cells", seed=1)
    with pytest.raises(InputError, match="hours"):
        model.run(wrong)
    if isinstance(wrong, int | float):
        with pytest.raises(InputError, match="advance_by"):
            model.advance_by(wrong)
    assert model.hours == 0


def test_a_model_takes_the_time_that_a_run_takes() -> None:
    model = ExosomeModel("two_cells", seed=1)
    model.run(0)
    model.run("3 min")
    assert model.state.time == 180
