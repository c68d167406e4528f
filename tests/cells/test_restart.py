"""Pools, cargo and behaviors go on after a restart to the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_scenarios import scenario

from exoabm import ExosomeModel
from exoabm.output.checkpoint import snapshot
from exoabm.scenario.loader import parse

BODY = """
layout = { group = [{ cell_type = "a", count = 4 }, { cell_type = "b", count = 6 }] }
cargo = [{ name = "rna", copies = 3, molecule = "mRNA" }, { name = "ash", role = "waste", copies = 1 }]
[[vesicle]]
name = "EV"
cargo = ["rna", "ash"]
delivery_probability = 0.5
processing_rate = "6 / h"
ligand = "r"

[[cell_type]]
name = "a"
releases = "EV"
release_rate = "300 / h"
secretion = "poisson"
mvb = {}

[[cell_type.holds]]
cargo = "rna"
initial = 20
production = "9 / h"
replication = "0.1 / h"
export = "0.2 / h"
vesicle = "EV"

[[cell_type]]
name = "b"
receptor = [{ name = "r" }]
waste = { vesicle = "EV", saturation = 50 }

[[response]]
cell_type = "b"
signal = "cargo.rna"
decreases = "uptake_rate"
to = 2
half_max = 5

[[response]]
cell_type = "a"
signal = "time"
increases = "secretory_fraction"
to = 0.8
half_max = "1 h"
"""


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_restart_changes_no_bit(engine: str) -> None:
    loaded = parse(scenario(BODY, size=120, step="3 min", engine=engine), name="test", folder=Path())
    whole, first = (ExosomeModel(loaded, seed=3) for _ in range(2))
    whole.run(hours=3)
    first.run(hours=1.5)
    content = {name: np.array(array) for name, array in snapshot(first.state).items()}
    second = ExosomeModel(loaded, seed=3, snapshot=content)
    second.run_until(3 * 3600.0)
    expected, found = snapshot(whole.state), snapshot(second.state)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert whole.state.cells.cargo[:, 1].min() > 0
    assert 0.5 < whole.state.cells.effect.max() < 1
