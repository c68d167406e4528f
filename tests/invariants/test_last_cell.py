"""A place whose last cell has died goes on: its vesicles, its record and its files stay whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from exoabm import ExosomeModel
from exoabm.output import checkpoint
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import LoadedScenario, parse

TEXT = """
info = { title = "a place that empties" }
domain = { size = [100, 100], voxel = "10 um", thickness = "10 um" }
clock = { step = "60 s", duration = "1 h" }
record = { events = "10 min", cells = "10 min", fields = "10 min" }
layout = { group = [{ cell_type = "a", count = 3 }] }
cargo = [{ name = "mir", copies = 3 }]
mechanics = { relaxation = "6 / h" }

[transport]
ENGINE

[[vesicle]]
name = "ev"
cargo = ["mir"]
half_life = "1 h"

[[cell_type]]
name = "a"
releases = "ev"
release_rate = "1000 / h"
takes_up = ["ev"]
division_rate = "0.1 / h"
death_rate = "10 / h"
motility = "100 um^2/h"
climbs = { vesicle = "ev", coefficient = "2000 um^2/h", half_max = "1e8 / mL" }
"""

ENGINES = {
    "types": 'engine = "continuum"',
    "cells": 'engine = "continuum"\nprovenance = "cell"',
    "vesicles": 'engine = "vesicles"',
    "membranes": 'engine = "vesicles"\ncapture = "membrane"',
}


@pytest.fixture(params=ENGINES)
def emptying(request: pytest.FixtureRequest) -> LoadedScenario:
    return parse(TEXT.replace("ENGINE", ENGINES[request.param]).encode(), name="empty", folder=Path())


def test_a_run_outlives_its_cells(emptying: LoadedScenario) -> None:
    model = ExosomeModel(emptying, seed=3)
    while len(model.state.cells):
        model.step()
    assert model.state.time < 2700
    emitted, free = model.state.balance.emitted.sum(), model.state.balance["free"].sum()
    assert free > 0
    model.run(hours=0.5)
    assert model.state.balance.emitted.sum() == emitted
    assert 0 < model.state.balance["free"].sum() < free, "cleared, with nobody there"
    assert len(model.edges) >= len(model.communication.edges) > 0
    assert len(model.agents) == 0
    kept = {name: np.array(array) for name, array in checkpoint.snapshot(model.state).items()}
    again = ExosomeModel(emptying, seed=3, snapshot=kept)
    for each in (model, again):
        each.run(hours=0.2)
    other = checkpoint.snapshot(again.state)
    for name, array in checkpoint.snapshot(model.state).items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_type_that_has_died_out_leaves_no_gap_in_a_restart() -> None:
    """The steps of vesicles at membranes follow the smallest cells; these are dead at the restart."""
    text = TEXT.replace("ENGINE", ENGINES["membranes"]).replace(
        'layout = { group = [{ cell_type = "a", count = 3 }] }',
        'layout = { group = [{ cell_type = "a", count = 2 }, { cell_type = "b", count = 2 }] }',
    )
    tiny = '[[cell_type]]\nname = "b"\ndiameter = "5 um"\n'
    text = text.replace("death_rate", "# ") + tiny + 'death_rate = "60 / h"'
    loaded = parse(text.encode(), name="two", folder=Path())
    whole = ExosomeModel(loaded, seed=3)
    while whole.state.lineage.deaths.sum() < 2:
        whole.step()
    kept = {name: np.array(array) for name, array in checkpoint.snapshot(whole.state).items()}
    again = ExosomeModel(loaded, seed=3, snapshot=kept)
    for model in (whole, again):
        model.run(hours=0.1)
    assert len(whole.state.cells) > 0
    other = checkpoint.snapshot(again.state)
    for name, array in checkpoint.snapshot(whole.state).items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_its_folder_is_whole_with_and_without_a_stop(emptying: LoadedScenario, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = run_to_folder(emptying, whole, seed=3)
    assert result.summary["cells"] == {}
    assert (whole / "preview.png").is_file()

    def stop(share: float) -> None:
        if share > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_folder(emptying, broken, seed=3, checkpoint_every=600.0, progress=stop)
    resume_run(broken)
    for path in whole.glob("*.parquet"):
        assert pq.read_table(path).equals(pq.read_table(broken / path.name)), path.name
    events = pq.read_table(whole / "events.parquet").to_pandas()
    counts = events.groupby("event", observed=True)["count"].sum()
    totals = result.summary["mass_balance"]["ev"]
    assert counts["release"] == pytest.approx(totals["emitted"], rel=1e-9)
    assert counts["clearance"] == pytest.approx(totals["cleared"], rel=1e-9)
