"""A NaN or an infinity in any array of the state halts the run at that step, with a word of where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import exoabm.schedule as schedule
from exoabm import ExosomeModel
from exoabm.errors import NumericalError
from exoabm.scenario.loader import shipped
from exoabm.schedule import Step
from exoabm.state import State

Plant = Callable[[State], None]

VESICLES = {"transport.engine": "vesicles"}


def at(name: str, *place: int, value: float = np.nan, of: str = "cells") -> Plant:
    def put(state: State) -> None:
        getattr(getattr(state, of), name)[place] = value

    return put


def in_field(state: State) -> None:
    state.fields[0][0].flat[5] = np.nan


def in_vesicle(state: State) -> None:
    state.vesicles.y[3] = np.inf


PLANTS: dict[str, tuple[str, dict[str, str], Plant, str, tuple[str, ...]]] = {
    "cargo": ("two_cells", {}, at("cargo", 1, 0), "respond", ("copies of signal", "cell 1 (recipient)")),
    "infinite cargo": (
        "two_cells",
        {},
        at("cargo", 1, 0, value=-np.inf),
        "respond",
        ("copies of signal", "became -inf"),
    ),
    "waste": ("waste_removal", {}, at("waste", 4), "respond", ("waste of cell 4",)),
    "behavior": ("chemotaxis", {}, at("behavior", 2, 0), "respond", ("chemotaxis of cell 2 (",)),
    "position": ("chemotaxis", {}, at("position", 2, 1), "respond", ("position of cell 2 (",)),
    "velocity": ("chemotaxis", {}, at("velocity", 2, 1), "turnover", ("velocity of cell 2 (",)),
    "pools": (
        "two_cells",
        {"cell_type.donor.mvb.secretory_fraction": "0.5"},
        at("mvb", 0, 0),
        "respond",
        ("multivesicular bodies of cell 0 (donor)",),
    ),
    "bound": (
        "two_cells",
        {},
        at("bound", 1, 0, 0, of="trafficking"),
        "respond",
        ("number of exosome bound by cell 1 (recipient)",),
    ),
    "tally": (
        "two_cells",
        {},
        at("encountered", 1, 0, 0, of="trafficking"),
        "respond",
        ("number of exosome encountered by cell 1",),
    ),
    "field": ("two_cells", {}, in_field, "dose", ("field of exosome from", "in voxel (")),
    "vesicle": ("two_cells", VESICLES, in_vesicle, "respond", ("y of vesicle", "(exosome)", "inf")),
}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Plant, str], None]:
    """From the third step on the state holds something that is no number, after a stage."""

    def plant(put: Plant, stage: str) -> None:
        found = next(each for each in schedule.STAGES if each.name == stage)

        def run(step: Step) -> None:
            found.run(step)
            if step.state.step == 2:
                put(step.state)

        stages = tuple(s._replace(run=run) if s is found else s for s in schedule.STAGES)
        monkeypatch.setattr(schedule, "STAGES", stages)

    return plant


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_number_halts_the_step_it_arises_in(planted: Any, name: str) -> None:
    scenario, overrides, put, stage, fragments = PLANTS[name]
    model = ExosomeModel(scenario, seed=1, overrides={"clock.step": "10 min"} | overrides)
    planted(put, stage)
    with pytest.raises(NumericalError) as refusal:
        model.run(hours=0.5)
    assert model.state.step in (2, 3), "the step that it arises in"
    for fragment in (*fragments, "at 0.5 h"):
        assert fragment in str(refusal.value)


@pytest.mark.parametrize("name", shipped())
def test_what_is_as_it_should_be_is_let_through(name: str) -> None:
    """Also where a type lacks a behavior, which is a NaN in the table of behaviors."""
    model = ExosomeModel(name, seed=1)
    for _ in range(2):
        model.step()


@pytest.mark.parametrize("kept", [False, True], ids=["plain", "checkpoint"])
def test_the_last_good_state_is_kept(command: Any, tmp_path: Any, planted: Any, kept: bool) -> None:
    planted(at("cargo", 1, 0), "respond")
    pairs = ("--set", "record.metrics=1 min", "--set", "record.cells=1 min", "--seed", 1, "--out", "a")
    more = ("--checkpoint-every", "1 min") if kept else ()
    command("run", "two_cells", "--hours", 1, *pairs, *more).refused(
        4, "copies of signal in cell 1", "0.05 h"
    )
    folder = tmp_path / ("a.unfinished" if kept else "a.failed")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    about = json.loads((folder / "run.json").read_text())
    assert about["exit_state"] == "failed"
    metrics = pq.read_table(folder / "metrics_by_kind.parquet")
    assert metrics["time_h"].to_pylist() == pytest.approx([0, 1 / 60, 2 / 60])
    assert not any(np.isnan(metrics[name].to_numpy()).any() for name in metrics.column_names[2:])
    if kept:
        assert (folder / "checkpoint.npz").is_file()
