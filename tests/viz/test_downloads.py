"""What is taken away parses, says what the run folder says, and runs again to the same numbers."""

from __future__ import annotations

import hashlib
import io
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image

from exoabm import ExosomeModel
from exoabm.errors import InputError, ResourceError
from exoabm.manifest import faults
from exoabm.output.run_folder import FILES
from exoabm.plot.palette import Looks
from exoabm.scenario.loader import load, parse
from exoabm.tables.finished_run import Run
from exoabm.viz.results import files
from exoabm.viz.results.communication_data import CommunicationData
from exoabm.viz.server.frames import Scale, draw
from exoabm.viz.server.gif import FRAMES, LEAST_WIDTH, ROW, decode, gif

if TYPE_CHECKING:
    from pathlib import Path


def read(data: bytes) -> dict[str, list]:
    return pyarrow.csv.read_csv(io.BytesIO(data)).to_pydict()


def test_tables_are_those_of_the_run_folder(model: ExosomeModel, folder: Path) -> None:
    run = Run(folder)
    for data, stored in ((files.metrics_csv(model), run.metrics), (files.edges_csv(model), run.edges)):
        found = read(data)
        for name, column in stored.to_pydict().items():
            assert [value or None for value in found[name]] == [value or None for value in column], name
        assert found.keys() == set(stored.column_names)


def test_the_time_series_ends_now(loaded) -> None:
    model = ExosomeModel(loaded, seed=1)
    model.run(hours=0.25)
    assert read(files.metrics_csv(model))["time_h"] == pytest.approx([0, 1 / 6, 0.25])


def test_picture_and_drawing(model: ExosomeModel) -> None:
    image = Image.open(io.BytesIO(files.png(model)))
    assert image.format == "PNG"
    assert min(image.size) > 600
    root = ET.fromstring(
        files.svg(CommunicationData.of_model(model, Looks.of_state(model.state)), "types", "taken_up")
    )
    assert root.tag.endswith("svg")


def test_the_scenario_runs_again(model: ExosomeModel, tmp_path: Path) -> None:
    data = files.scenario_toml(model.loaded)
    again = parse(data, name="again", folder=tmp_path)
    assert again.sha256() == model.loaded.sha256()


def test_a_table_is_named_without_its_folder(tmp_path: Path) -> None:
    data = files.scenario_toml(load("tissue"))
    assert tomllib.loads(data.decode())["layout"]["table"] == "tissue_cells.csv"
    assert b"/" not in b"".join(line for line in data.splitlines() if b"table" in line)


def test_the_run_folder_is_that_of_the_command_line(loaded, folder: Path, tmp_path: Path) -> None:
    data = files.run_zip(loaded, seed=1, hours=2.0)
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {*FILES}
    assert faults(tmp_path / "run") == []
    assert parse((tmp_path / "scenario.toml").read_bytes(), name="again", folder=tmp_path)
    for name in ("metrics", "cells", "events", "edges"):
        ours, theirs = (
            hashlib.sha256((f / f"{name}.parquet").read_bytes()) for f in (tmp_path / "run", folder)
        )
        assert ours.hexdigest() == theirs.hexdigest()


def test_too_large_or_too_early_a_run_is_refused(loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="press Go"):
        files.run_zip(loaded, seed=1, hours=0)
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(ResourceError, match="command line"):
        files.run_zip(loaded, seed=1, hours=0.1)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_movie_shows_every_moment(engine: str) -> None:
    model = ExosomeModel("two_cells", seed=1, overrides={"transport.engine": engine})
    scale, frames = Scale(), []
    for number in range(2 * FRAMES):
        model.step()
        frames.append(draw(model.state, number, scale, with_field=engine == "continuum"))
    recording = Image.open(io.BytesIO(gif(frames, model.state, Looks.of_state(model.state), size=120)))
    assert recording.n_frames == FRAMES
    assert recording.size == (LEAST_WIDTH, 120 + 2 * ROW), "time and scale bar, and a row of two types"
    recording.seek(0)
    first = np.asarray(recording.convert("RGB")).astype(int)
    recording.seek(FRAMES - 1)
    assert np.abs(np.asarray(recording.convert("RGB")).astype(int) - first).max() > 40
    shown = decode(frames[-1])
    assert shown.time == model.state.time
    assert len(shown.dots) == (0 if engine == "continuum" else np.sum(model.state.vesicles.status == 0))
    x = shown.cells[:, 0] / 65535 * 200
    assert x == pytest.approx(model.state.cells.position[:, 0], abs=0.01)


def test_no_movie_of_nothing(model: ExosomeModel) -> None:
    with pytest.raises(InputError, match="press Go"):
        gif([], model.state, Looks.of_state(model.state))
