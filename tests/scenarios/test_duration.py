"""What happens until a time, and what is recorded of it, does not depend on the duration of the run."""

from __future__ import annotations

import pytest

from exoabm.batch.execution.run_readouts import possible
from exoabm.model import ExosomeModel
from exoabm.output.metrics import measure
from exoabm.scenario.loader import load, shipped

STEPS = 3


@pytest.mark.parametrize("name", shipped())
def test_readouts_of_a_time_are_those_of_a_run_that_ends_then(name: str) -> None:
    """Bit for bit, over the first steps of each scenario; all of them are known before the first."""
    step = float(load(name).scenario.clock.step)
    short = ExosomeModel(load(name, {"clock.duration": f"{STEPS * step} s"}), seed=1)
    long = ExosomeModel(name, seed=1)
    known = {"time_h", *possible(long, recorded=True)}
    for _ in range(STEPS):
        short.step()
        long.step()
    assert measure(short.state) == measure(long.state)
    assert measure(long.state).keys() <= known


def test_a_harvest_has_the_protein_and_the_time_until_then() -> None:
    """``production`` after 4 of 48 h: protein of 4 h, and days of growth, 4 h and separation."""
    model = ExosomeModel("production", seed=1)
    while model.state.time < 4 * 3600:
        model.step()
    found, process = measure(model.state), model.protocol.process
    protein = process.cells * process.protein_rate * 4 * 3600
    for each in process.steps:
        protein *= 1 - each.removal
    separated = found["batch_medium"] * process.recovery
    assert found["batch_purity_per_ug"] == pytest.approx(separated / protein)
    hours = (
        process.expansion_time(process.cells) / 3600 + 4 + sum(each.duration for each in process.steps) / 3600
    )
    assert found["batch_doses_per_day"] == pytest.approx(24 * found["batch_doses"] / hours)


def test_without_free_protein_purity_is_undefined() -> None:
    """It is omitted, and not 0."""
    model = ExosomeModel("production", seed=1, overrides={"manufacturing.protein_per_cell": "0 pg/h"})
    model.step()
    assert "batch_purity_per_ug" not in measure(model.state)
    assert measure(model.state)["batch_doses"] > 0
