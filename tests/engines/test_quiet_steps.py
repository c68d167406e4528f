"""Steps in which uptake alone changes cells: at once or one by one, every number has the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exoabm import ExosomeModel, model, quiet_steps
from exoabm.errors import NumericalError, RunFailed
from exoabm.interrupts import interrupt_held
from exoabm.kernels import diffusion_stencil, linear_steps
from exoabm.kernels.row_groups import sum_of_each_row, sum_pairwise
from exoabm.output import checkpoint
from exoabm.scenario.loader import load
from exoabm.transport import continuum_engine

SMALL = {"domain.size": "['300 um', '250 um']", "layout.group.recipient.count": "12", "domain.margin": "0 um"}
SMALL |= {"layout.group.recipient.outer": "110 um", "layout.group.recipient.inner": "30 um"}
NEAR = {"layout.group.donor.points": "[['15 um', '25 um', '25 um']]"}
NEAR |= {"layout.group.recipient.points": "[['45 um', '25 um', '25 um']]"}
DEEP = NEAR | {"domain.size": "['60 um', '40 um', '50 um']", "domain.margin": "0 um"}
CASES: dict[str, tuple[str, dict[str, str]]] = {
    "by cell": ("signaling", SMALL),
    "by type": ("signaling", SMALL | {"transport.provenance": "cell_type"}),
    "no origin": ("signaling", SMALL | {"transport.provenance": "none"}),
    "one size": ("signaling", SMALL | {"vesicle.exosome.size_classes": "1"}),
    "three sizes": ("signaling", SMALL | {"vesicle.exosome.size_classes": "3"}),
    "fusion": ("signaling", SMALL | {"vesicle.exosome.delivery_route": "membrane_fusion"}),
    "recycling": ("signaling", SMALL | {"vesicle.exosome.recycling_probability": "0.5"}),
    "decay": ("signaling", SMALL | {"cargo.signal.half_life": "1 h"}),
    "waste": ("signaling", SMALL | {"cargo.signal.role": "waste"}),
    "three axes": ("two_cells", DEEP),
    "periodic": ("two_cells", DEEP | {"domain.faces.x": "periodic", "domain.faces.z": "periodic"}),
    "open": ("two_cells", DEEP | {"domain.faces.y_low": "open"}),
    "a face held": ("two_cells", DEEP | {"domain.faces.y_low": "{ concentration = '1e9 / mL' }"}),
    "no release": ("two_cells", DEEP | {"cell_type.donor.release_rate": "0"}),
    "long step": ("two_cells", DEEP | {"clock.step": "10 min", "record.metrics": "1 h"}),
    "step that fits no interval": ("two_cells", DEEP | {"clock.step": "7 min", "record.metrics": "1 h"}),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of steps taken at once."""
    numbers: list[int] = []

    def counted(step: Any, number: int) -> None:
        numbers.append(number)
        quiet_steps.advance_quietly(step, number)

    monkeypatch.setattr(model, "advance_quietly", counted)
    return numbers


def run(name: str, overrides: dict[str, str], monkeypatch: pytest.MonkeyPatch, **given: Any) -> ExosomeModel:
    """A model after 2.03 h, a time that ends within a step; ``single`` makes each step by itself."""
    if given.pop("single", False):
        monkeypatch.setattr(model, "quiet_steps", lambda *_: 1)
    else:
        monkeypatch.setattr(model, "quiet_steps", quiet_steps.quiet_steps)
    made = ExosomeModel(name, seed=1, overrides=overrides, **given)
    made.run(2.03)
    return made


def differences(one: ExosomeModel, other: ExosomeModel) -> list[str]:
    """Names of all that differs, to the bit."""
    first, second = checkpoint.snapshot(one.state), checkpoint.snapshot(other.state)
    assert first.keys() == second.keys()
    found = [key for key, array in first.items() if array.tobytes() != second[key].tobytes()]
    pairs = {
        "rows": (one.history.rows, other.history.rows),
        "warnings": (one.warnings, other.warnings),
        "steps": (one.steps, other.steps),
        "collected": (one.datacollector.model_vars["time_h"], other.datacollector.model_vars["time_h"]),
    }
    return found + [name for name, (mine, its) in pairs.items() if mine != its]


@pytest.mark.parametrize("case", CASES)
def test_steps_at_once_have_the_bits_of_single_steps(case: str, monkeypatch, taken) -> None:
    name, overrides = CASES[case]
    single = run(name, overrides, monkeypatch, single=True)
    assert not taken
    together = run(name, overrides, monkeypatch)
    assert max(taken) > 1
    assert differences(single, together) == []


@pytest.mark.parametrize("threads", [2, 3, None])
def test_any_number_of_threads_has_the_same_bits(threads, monkeypatch, taken) -> None:
    monkeypatch.setattr(continuum_engine, "PARALLEL_UPDATES", 0)
    monkeypatch.setattr(continuum_engine, "free_cores", lambda n: type("Cores", (), {"count": lambda _: n})())
    one = run("signaling", SMALL, monkeypatch)
    assert differences(one, run("signaling", SMALL, monkeypatch, threads=threads)) == []


def test_calls_between_which_signals_act_have_the_same_bits(monkeypatch) -> None:
    whole, calls, kernel = run("signaling", SMALL, monkeypatch), [], linear_steps._advance_label
    monkeypatch.setattr(linear_steps, "_advance_label", lambda *a: [calls.append(a[:3]), kernel(*a)])
    monkeypatch.setattr(diffusion_stencil, "UPDATES_PER_CALL", 1)
    pieces = run("signaling", SMALL, monkeypatch)
    assert {last - first for _, first, last in calls} == {1}
    assert differences(whole, pieces) == []


def test_five_percent_more_release_breaks_the_balance(monkeypatch) -> None:
    def more(*arguments: Any, **named: Any) -> linear_steps.Entering:
        entering = linear_steps.Entering(*arguments, **named)
        return entering._replace(constant=1.05 * entering.constant)

    monkeypatch.setattr(continuum_engine, "Entering", more)
    with pytest.raises(NumericalError, match="mass balance does not close"):
        run("signaling", SMALL, monkeypatch)


def test_a_number_that_no_balance_has_is_compared(monkeypatch, taken) -> None:
    """The expected number of encounters at the first contact, 5 % too large."""
    single = run("signaling", SMALL, monkeypatch, single=True)
    held = linear_steps.Held
    monkeypatch.setattr(
        continuum_engine, "Held", lambda *given: held(*given)._replace(threshold=1.05 * given[-1])
    )
    together = run("signaling", SMALL, monkeypatch)
    assert differences(single, together) == ["trafficking/first_contact"]


VARIED: dict[str, tuple[str, dict[str, str]]] = {
    "single vesicles": ("two_cells", {"transport.engine": "vesicles"}),
    "random release": ("two_cells", {"cell_type.donor.secretion": "poisson"}),
    "saturation": ("two_cells", {"cell_type.recipient.saturation": "10 pM"}),
    "single precision": ("two_cells", {"transport.precision": "float32"}),
    "recorded in every step": ("two_cells", {"record.metrics": "60 s"}),
    "responses": ("relay", {}),
    "waste": ("waste_removal", {}),
    "moving cells": ("chemotaxis", {}),
    "doses": ("tumor_delivery", {}),
}


@pytest.mark.parametrize("case", VARIED)
def test_steps_in_which_more_happens_are_made_one_by_one(case: str, taken) -> None:
    name, overrides = VARIED[case]
    made = ExosomeModel(name, seed=1, overrides=overrides)
    made.run_until(4 * float(made.scenario.clock.step))
    assert made.steps == 4
    assert not taken


def test_who_looks_at_each_step_sees_each(taken) -> None:
    class Watched(ExosomeModel):
        seen: list[float]

        def step(self) -> None:
            super().step()
            self.seen.append(self.state.time)

    watched = Watched("two_cells", seed=1)
    watched.seen = []
    watched.run("5 min")
    assert watched.seen == [60.0, 120.0, 180.0, 240.0, 300.0]
    stepped = ExosomeModel("two_cells", seed=1)
    for _ in range(3):
        stepped.step()
    assert stepped.state.time == 180
    assert not taken


def test_a_change_between_steps_and_a_silencing_act_at_their_times(monkeypatch, taken) -> None:
    def changed(single: bool) -> ExosomeModel:
        made = run("two_cells", DEEP, monkeypatch, single=single)
        made.set("cell_type.donor.release_rate", "120 / h")
        made.run(1)
        silent = made.branch(silence="cell_type:donor")
        silent.run(0.5)
        return silent

    assert differences(changed(True), changed(False)) == []
    assert taken


def test_a_run_goes_on_from_a_checkpoint_between_steps_taken_at_once(monkeypatch, taken) -> None:
    whole = run("two_cells", DEEP, monkeypatch)
    loaded = load("two_cells", DEEP)
    part = ExosomeModel(loaded, seed=1)
    part.run("35 min")
    again = ExosomeModel(loaded, seed=1, snapshot=checkpoint.snapshot(part.state))
    again.run_until(whole.state.time)
    first, second = checkpoint.snapshot(whole.state), checkpoint.snapshot(again.state)
    assert [key for key in first if first[key].tobytes() != second[key].tobytes()] == []
    assert len(taken) > 20


def test_a_long_step_warns_in_the_same_words(monkeypatch, taken) -> None:
    fast = SMALL | {"vesicle.exosome.unbinding_rate": "200 / h", "clock.step": "10 min"}
    fast |= {"record.metrics": "6 h", "clock.duration": "12 h"}
    said = []
    for at_once in (lambda *_: 1, quiet_steps.quiet_steps):
        monkeypatch.setattr(model, "quiet_steps", at_once)
        made = ExosomeModel("signaling", seed=1, overrides=fast)
        made.state.warnings.clear()  # what is foreseen is not warned of again
        made.run(4)
        said.append(made.warnings)
    assert said[0] == said[1]
    assert any("wait for the next" in text for text in said[0])
    assert max(taken) > 2


def test_a_number_that_is_not_finite_stops_the_run_in_its_step(monkeypatch) -> None:
    def said(single: bool) -> str:
        made = run("two_cells", DEEP, monkeypatch, single=single)
        made.state.fields[0][0, 2, 2, 2] = np.nan
        with pytest.raises(NumericalError) as error:
            made.run("10 min")
        with pytest.raises(RunFailed, match="a step was not completed"):
            made.run("1 min")
        return str(error.value)

    assert said(True) == said(False)


def test_an_interrupt_acts_when_the_steps_are_complete(monkeypatch) -> None:
    made, held = ExosomeModel("two_cells", seed=1, overrides=DEEP), []

    def stop(step: Any, number: int) -> None:
        with interrupt_held():
            held.append(number)
            quiet_steps.advance_quietly(step, number)
            raise KeyboardInterrupt

    monkeypatch.setattr(model, "advance_quietly", stop)
    with pytest.raises(KeyboardInterrupt):
        made.run("20 min")
    with pytest.raises(RunFailed, match="a step was not completed"):
        made.step()
    assert held == [10]


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 127, 128, 129, 136, 1000, 8193, 26000])
def test_sums_have_the_bits_of_numpy(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.random((3, n)) * 10.0 ** rng.integers(-9, 9, (3, n))
    total = np.empty(3)
    sum_of_each_row(values, total)
    assert total.tolist() == values.sum(axis=1).tolist()
    assert sum_pairwise(values[0]) == total[0]


def test_sums_in_another_order_have_other_bits() -> None:
    values = np.random.default_rng(1).random(1000)
    assert sum_pairwise(values) != np.cumsum(values)[-1]
