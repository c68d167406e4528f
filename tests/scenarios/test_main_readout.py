"""The readout that a scenario declares leads in summary, sweep, comparison and sensitivity analysis."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.batch.calibration.factors import factors_of
from exoabm.batch.calibration.sensitivity import run_sensitivity
from exoabm.batch.comparison import compare
from exoabm.batch.execution.runner import run_rows
from exoabm.batch.sweeps.summary import headline
from exoabm.batch.sweeps.sweep import plan_sweep, report
from exoabm.errors import ScenarioError
from exoabm.output.metrics import measure
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, parse, shipped

RATE = "cell_type.donor.release_rate"
CAF = """
schema_version = 1

[info]
title = "CAF"

[readout]
metric = "cells[caf]"
title = "cancer-associated fibroblasts"
more = "more fibroblasts were converted"

[domain]
size = ["100 um", "100 um"]

[clock]
step = "600 s"
duration = "2 h"

[[vesicle]]
name = "exosome"

[[cell_type]]
name = "donor"
releases = "exosome"
release_rate = "600 / h"

[[cell_type]]
name = "fibroblast"
takes_up = ["exosome"]
uptake_rate = "600 um^3/s"
transformation = { into = "caf", rate = 0 }

[[cell_type]]
name = "caf"

[[response]]
cell_type = "fibroblast"
signal = "endosomal.exosome"
increases = "transformation_rate"
to = "5 / h"
half_max = 1

[[layout.group]]
cell_type = "donor"

[[layout.group]]
cell_type = "fibroblast"
count = 8
"""


@pytest.fixture
def caf(tmp_path):
    path = tmp_path / "caf.toml"
    path.write_text(CAF)
    return load(path)


def test_outcome_of_a_response_leads_wherever_a_run_is_told(caf, tmp_path) -> None:
    """Before, sweeps and comparisons left out the cells that a response makes."""
    found = run_to_folder(caf, tmp_path / "run", seed=1)
    told = found.summary["readout"]
    assert told == json.loads((tmp_path / "run" / "summary.json").read_text())["readout"]
    assert told["value"] > 0
    assert told["unit"] == "cells", "that of the column"
    plan = plan_sweep(caf, [f"{RATE}=0,600"], source=str(tmp_path / "caf.toml"), seed=1)
    swept = report(run_rows(plan, tmp_path / "sweep")).summary
    assert swept.readouts[0] == headline(swept)[0] == "cells[caf]"
    assert swept.mean[0, 0] == 0 < swept.mean[1, 0]
    arms = [f"{tmp_path / 'sweep'}@{RATE}={rate}" for rate in (0, 600)]
    line = compare(*arms).lines[0]
    assert (line.readout, line.difference) == ("cells[caf]", swept.mean[1, 0])


def test_sensitivity_is_that_of_the_readout_of_the_scenario(caf, tmp_path) -> None:
    pytest.importorskip("SALib")
    factors = factors_of(caf, [f"{RATE}=60:600"])
    found = run_sensitivity(caf, factors, tmp_path / "a", trajectories=2, samples=8, hours=0.5, seed=2)
    assert found.readout == "cells[caf]"


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("cells[cav]", "no cell type of this name"),
        ("cels[caf]", "did you mean 'cells'"),
        ("reach_mean_um[donor]", "a time series is needed"),
    ],
)
def test_a_readout_that_the_scenario_cannot_have_is_refused(metric, told, tmp_path) -> None:
    with pytest.raises(ScenarioError, match=told):
        parse(CAF.replace("cells[caf]", metric).encode(), name="caf", folder=tmp_path)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_scenario_says_what_it_is_about(name) -> None:
    readout = load(name).scenario.readout
    assert readout is not None
    assert readout.title
    assert readout.more
    assert readout.unit


def test_followers_that_arrived_are_counted_by_their_distance() -> None:
    """Of diameter 15 um, surfaces 15 um apart are centers 30 um apart; through a periodic face, too."""
    model = ExosomeModel("chemotaxis", seed=1, overrides={"domain.faces.x": "periodic"})
    state = model.state
    leader = int(np.flatnonzero(state.type_names() == "leader")[0])
    followers = np.flatnonzero(state.type_names() == "follower")
    state.cells.position[leader] = (5.0, 150.0, 7.5)
    state.cells.position[followers] = (150.0, 20.0, 7.5)
    assert measure(state)["arrived_cells[follower]"] == 0
    state.cells.position[followers[:4], :2] = [(34.9, 150.0), (5.0, 180.1), (276.0, 150.0), (274.0, 150.0)]
    assert measure(state)["arrived_cells[follower]"] == 2
    assert "arrived_cells[leader]" not in measure(state), "it follows nothing"


def test_holders_are_cells_with_a_copy_at_least() -> None:
    state = ExosomeModel("disease_progression", seed=1).state
    row = measure(state)
    assert (row["holding_cells[neuron, seed]"], row["holding_cells[first, seed]"]) == (0, 1)
    neurons = np.flatnonzero(state.type_names() == "neuron")
    state.cells.cargo[neurons[:3], 0] = (0.99, 1.0, 7.0)
    assert measure(state)["holding_cells[neuron, seed]"] == 2
