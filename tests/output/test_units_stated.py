"""One concentration, 5e9 vesicles/mL, wherever it is told: tables, fields, pictures, page and responses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from exoabm import ExosomeModel
from exoabm.analysis.communication import communication_distance, distance_profile
from exoabm.output.concentration_fields import FieldWriter
from exoabm.output.metrics import measure
from exoabm.scenario.loader import parse
from exoabm.viz.server.frames import Scale, draw, header

HELD = 5e9
"""Vesicles/mL outside, and so within."""

WORLD = """
info = { title = "an even medium" }
clock = { step = "60 s" }
[domain]
size = SIZE
voxel = 8
thickness = 12
faces = { x = { concentration = "5e9 / mL" }, y = { concentration = "5e9 / mL" } }
zone = [{ name = "bone", low = LOW, high = HIGH, obstacle = true }]
[[vesicle]]
name = "EV"
half_life = "inf"
[[cell_type]]
name = "cell"
releases = "EV"
release_rate = "1e-9 / h"
[[layout.group]]
cell_type = "cell"
arrange = "points"
points = POINTS
[[response]]
cell_type = "cell"
signal = "concentration.EV"
increases = "release_rate"
half_max = "5e9 / mL"
hill = 2
to = "2e-9 / h"
"""


@pytest.fixture(scope="module", params=[2, 3])
def even(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExosomeModel, Path]:
    """A box, held on two axes until it is full, with an obstacle in it: unequal lengths, odd voxels."""
    dim = request.param
    text = WORLD
    for key, value in {
        "SIZE": [64, 48, 40],
        "LOW": [0, 0, 0],
        "HIGH": [8, 16, 24],
        "POINTS": [[44, 28, 20]],
    }.items():
        part = [v[:dim] for v in value] if key == "POINTS" else value[:dim]
        text = text.replace(key, str(part))
    model = ExosomeModel(parse(text.encode(), name="even", folder=Path()), seed=1)
    path = tmp_path_factory.mktemp("even") / "fields.zarr"
    model.observe(FieldWriter(path, 600.0))
    model.run(hours=0.5)
    for observer in model.recorder.observers:
        observer.close()
    return model, path


def test_tables_and_fields(even: tuple[ExosomeModel, Path]) -> None:
    model, path = even
    row = measure(model.state)
    assert row["mean_concentration_per_mL[EV]"] == pytest.approx(HELD, rel=1e-5)  # an obstacle is no medium
    assert row["max_concentration_per_mL[EV]"] == pytest.approx(HELD, rel=1e-5)
    assert row["time_h"] == pytest.approx(0.5)
    volume = model.state.domain.voxel_volume * (~model.state.domain.obstacle).sum()
    assert row["free[EV]"] == pytest.approx(HELD * 1e-12 * volume, rel=1e-5)
    group = zarr.open_group(path, mode="r")
    assert group.attrs["unit"] == "vesicles/mL"
    last = np.asarray(group["concentration"][-1, 0]).sum(axis=0)
    np.testing.assert_allclose(last[~model.state.domain.obstacle], HELD, rtol=1e-5)
    assert group["time_s"][-1] == pytest.approx(1800)


def test_readers_of_the_state(even: tuple[ExosomeModel, Path]) -> None:
    """A response at its half-maximum, a profile, and the distance at which a threshold is met."""
    state = even[0].state
    assert state.cells.effect == pytest.approx(0.5, rel=1e-5)
    _, profile = distance_profile(state, 0)
    assert np.asarray(profile) * 1e12 == pytest.approx(HELD, rel=1e-5)
    assert communication_distance(state, 0, 0.99 * HELD * 1e-12) == math.inf
    assert communication_distance(state, 0, 1.01 * HELD * 1e-12) == 0.0


def test_page(even: tuple[ExosomeModel, Path]) -> None:
    frame = draw(even[0].state, 1, Scale(), with_field=True)
    assert header(frame).maximum == pytest.approx(HELD, rel=1e-5)
    assert header(frame).time == 1800
