"""Discretization errors by step and voxel, against closed forms and smaller steps."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.batch import convergence
from exoabm.batch.convergence import converge
from exoabm.errors import InputError
from exoabm.scenario.loader import LoadedScenario, parse

pytestmark = pytest.mark.slow

HEAD = """
info = { title = "a test" }
layout = { group = [{ cell_type = "a", arrange = "points", points = [[20, 25]] }] }
"""
CLOCK = (
    HEAD
    + """
domain = { size = [40, 50] }
clock = { step = "300 s", duration = "2 h" }
vesicle = [{ name = "EV", cargo = ["message"] }]
cargo = [{ name = "message", half_life = "inf" }]
cell_type = [{ name = "a", holds = [{ cargo = "message" }] }]
[[response]]
cell_type = "a"
signal = "age"
increases = "production.message"
half_max = "1 h"
hill = 1
to = "60 / h"
"""
)
LEAK = (
    HEAD
    + """
domain = { size = [40, 50], faces = { x = "open", y_low = "open" } }
clock = { step = "20 s", duration = "4 min" }
vesicle = [{ name = "EV", diameter_gsd = 1 }]
cell_type = [{ name = "a", releases = "EV", release_rate = "60 / h", secretion = "SECRETION" }]
"""
)
HELD = (
    HEAD
    + """
domain = { size = [40, 50], faces = { x_low = { concentration = "1e9 / mL" } } }
clock = { step = "60 s", duration = "20 min" }
vesicle = [{ name = "EV", diffusivity = "8 um^2/s", half_life = "1 min", diameter_gsd = 1 }]
cell_type = [{ name = "a" }]
"""
)


def loaded(text: str) -> LoadedScenario:
    return parse(text.encode(), name="test", folder=Path())


def test_the_error_by_step_is_that_of_the_closed_form() -> None:
    """m' = 60 t/(1 h + t), held for a step: first order, error -dt/2 (p(T) - p(0))."""
    found = converge(loaded(CLOCK), readouts=["copies_per_cell[a, message]"], seeds=1)
    (row,) = found.readouts
    exact, error = 60 * (2 - math.log(3)), -(300 / 3600) / 2 * 60 * 2 / 3
    print(row, exact, error)
    assert row.verdict == "order"
    assert row.order == pytest.approx(1, abs=0.02)
    assert row.time_error == pytest.approx(error, rel=0.02)
    assert row.time_error != pytest.approx(1.05 * error, rel=0.02)
    assert row.value - row.time_error == pytest.approx(exact, rel=3e-4)
    assert (row.noise, row.time_uncertainty) == (None, 0)
    assert not found.random


def test_the_error_by_voxel_is_that_of_the_closed_form() -> None:
    """Beside a held face c cosh((L - x)/l)/cosh(L/l), l^2 = D/k: c A l tanh(L/l) vesicles, error ~ dx^2."""
    (row,) = converge(loaded(HELD), readouts=["free[EV]"], seeds=1).readouts
    length = math.sqrt(8.0 * 60 / math.log(2))
    exact = 1e-3 * 50 * 10 * length * math.tanh(40 / length)
    print(row, exact)
    assert abs(row.value / exact - 1) > 5e-3
    assert row.voxel_error == pytest.approx(row.value - exact, rel=0.05)


def test_the_sub_step_of_the_medium_is_halved_with_the_step() -> None:
    scenario, pace = loaded(LEAK.replace("SECRETION", "mean")), []
    for halvings in range(3):
        model = ExosomeModel(convergence._shorter(scenario, halvings), seed=0)
        step = float(model.scenario.clock.step)
        pace.append(step / model.engine.substeps(model.state, 0, step))
    assert pace == pytest.approx([pace[0], pace[0] / 2, pace[0] / 4], rel=1e-12)


def test_chance_stands_beside_its_standard_error() -> None:
    found = converge(loaded(LEAK.replace("SECRETION", "poisson")), readouts=["free[EV]"], seeds=6)
    (row,) = found.readouts
    print(row)
    assert found.random
    assert (row.verdict, row.order) == ("chance", None)
    assert row.noise > 0
    assert abs(row.time_error) <= 2 * row.time_uncertainty
    assert found.runs == 4 * 6


def test_a_voxel_that_is_not_affordable_is_not_run_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "AFFORDABLE", 0.0)
    found = converge(loaded(LEAK.replace("SECRETION", "mean")), seeds=2)
    assert found.runs == 2 + 1 + 1
    assert all(row.voxel_error is None for row in found.readouts)
    assert "voxels of 5 um were not run: they would take about" in found.remarks[0]
    fine = converge(
        loaded(LEAK.replace("SECRETION", "mean").replace("[40, 50]", "[40, 50], voxel = 0.5")), hours=0.01
    )
    assert "voxels of 0.25 um were not run" in fine.remarks[0]


@pytest.mark.parametrize(
    ("values", "verdict", "order", "error"),
    [
        ((1.4, 1.2, 1.1), "order", 1, 0.4),
        ((1.16, 1.04, 1.01), "order", 2, 0.16),
        ((0.84, 0.96, 0.99), "order", 2, -0.16),
        ((1.3, 1.2, 1.1), "no order", None, 0.3),
        ((1.1, 1.0, 1.1), "no order", None, 0.3),
        ((1.1, 1.1, 1.0), "no order", None, 0.2),
        ((1.0, 1.0 + 1e-11, 1.0), "rounding", None, 0),
        ((3e-12, 1e-12, 5e-12), "rounding", None, 0),
    ],
)
def test_three_steps_are_judged(values: tuple, verdict: str, order: float | None, error: float) -> None:
    row = convergence._judge("x", [np.array([value]) for value in values], None)
    assert row.verdict == verdict
    assert row.order == (None if order is None else pytest.approx(order))
    assert row.time_error == pytest.approx(error)


def test_a_readout_that_is_none_is_named() -> None:
    with pytest.raises(
        InputError,
        match=r"--readout 'free\[E\]': no such readout of this scenario; did you mean 'free\[EV\]'",
    ):
        converge(loaded(LEAK.replace("SECRETION", "mean")), readouts=["free[E]"])


def test_the_command(tmp_path, monkeypatch, capsys) -> None:
    from exoabm import cli

    (tmp_path / "clock.toml").write_text(CLOCK)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["exoabm", "validate", "clock.toml", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    name = "copies_per_cell[a, message]"
    code, text, _ = run("--converge", "--readout", name, "--hours", "1", "--seeds", "1")
    assert code == 0
    assert name in text
    assert "0.99" in text or "1.0" in text
    code, text, _ = run("--converge", "--readout", name, "--hours", "1", "--json", "--seeds", "2")
    told = json.loads(text)["convergence"]
    assert told["readouts"][name]["verdict"] == "order"
    assert told["readouts"][name]["noise"] == 0
    assert (told["step_s"], told["runs"]) == (300, 5)
    for wrong in (("--readout", name), ("--hours", "1"), ("--converge", "--readout", "nobody")):
        code, _, text = run(*wrong)
        assert code == 2, text
        assert "Traceback" not in text
