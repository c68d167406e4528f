"""OME-Zarr 0.5: what its description asks for, and each value where it was in the run."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
import zarr

from exoabm.export import omezarr
from exoabm.export.export import export_format
from exoabm.export.formats import format_of


@pytest.fixture(scope="module", params=["continuum", "living"])
def opened(finished, request, tmp_path_factory):
    to = tmp_path_factory.mktemp("ome") / "a.ome.zarr"
    return finished(request.param), export_format(finished(request.param).folder, to, format_of(to))


def said(path) -> dict:
    about = json.loads((path / "zarr.json").read_text())
    assert about["zarr_format"] == 3
    return about["attributes"]["ome"]


def test_axes_have_types_and_units_and_places_are_of_voxel_centers(opened) -> None:
    run, path = opened
    for where, names in ((path, "tcyx"), (path / "labels" / "cells", "tyx")):
        assert said(where)["version"] == "0.5"
        (scales,) = said(where)["multiscales"]
        assert "version" not in scales
        about = {
            "t": {"name": "t", "type": "time", "unit": "second"},
            "c": {"name": "c", "type": "channel"},
            **{axis: {"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"},
        }
        assert scales["axes"] == [about[name] for name in names]
        (level,) = scales["datasets"]
        scale, translation = level["coordinateTransformations"]
        x, y, _ = run.fields.origin_um
        assert scale == {
            "type": "scale",
            "scale": [{"t": 1800.0, "c": 1.0}.get(name, 10.0) for name in names],
        }
        first = {"t": 0.0, "c": 0.0, "y": y + 5, "x": x + 5}
        assert translation == {"type": "translation", "translation": [first[name] for name in names]}
        array = zarr.open_array(where / level["path"], mode="r")
        assert array.metadata.dimension_names == tuple(names)
    assert said(path / "labels")["labels"] == ["cells"]
    assert said(path / "labels" / "cells")["image-label"]["source"] == {"image": "../../"}


def test_a_channel_is_a_kind_from_all_or_from_one_type(opened) -> None:
    run, path = opened
    fields = zarr.open_group(run.folder / "fields.zarr", mode="r")
    image = zarr.open_array(path / "0", mode="r")[:]
    names = [channel["label"] for channel in said(path)["omero"]["channels"]]
    types = list(dict.fromkeys(fields.attrs["label_types"]))
    assert names == ["exosome", *(f"exosome from {of}" for of in types)]
    assert len(types) == 4
    whole = fields["concentration"][:, 0].astype(float)
    np.testing.assert_allclose(image[:, 0], whole.sum(axis=1), rtol=1e-6)
    of = np.array(fields.attrs["label_types"])
    for c, name in enumerate(types):
        np.testing.assert_allclose(image[:, c + 1], whole[:, of == name].sum(axis=1), rtol=1e-6)
    for c, channel in enumerate(said(path)["omero"]["channels"]):
        assert channel["window"]["end"] == image[:, c].max() > 0
        bytes.fromhex(channel["color"])


def test_labels_are_cells_where_they_are(opened) -> None:
    """By a plain search for the nearest cell among all, for every voxel and time."""
    run, path = opened
    image = zarr.open_array(path / "labels" / "cells" / "0", mode="r")[:]
    diameters = {t.name: float(t.diameter) for t in run.scenario.cell_type}
    x0, y0, _ = run.fields.origin_um
    seen = 0
    for t, time in enumerate(run.fields.times_s):
        cells = [c for c in run.cells.to_pylist() if c["time_s"] == time]
        held = defaultdict(set)
        for c in cells:
            held[int((c["x_um"] - x0) // 10), int((c["y_um"] - y0) // 10)].add(c["cell"])
        for iy, ix in itertools.product(*map(range, image.shape[1:])):
            x, y = x0 + 10 * (ix + 0.5), y0 + 10 * (iy + 0.5)
            near = [(np.hypot(c["x_um"] - x, c["y_um"] - y), c["cell"], c["cell_type"]) for c in cells]
            near = [(d, cell) for d, cell, of in near if d <= diameters[of] / 2 or cell in held[ix, iy]]
            assert image[t, iy, ix] == (min(near)[1] + 1 if near else 0)
            seen += bool(near)
    assert seen > 20
    told = {
        each["label-value"]: each for each in said(path / "labels" / "cells")["image-label"]["properties"]
    }
    assert {*np.unique(image)} - {0} <= told.keys()
    assert all(told[c["cell"] + 1]["cell_type"] == c["cell_type"] for c in run.all_cells.to_pylist())


def test_times_that_are_not_even_have_no_unit(finished, tmp_path, monkeypatch) -> None:
    run = finished("continuum")
    axes = omezarr._multiscale(run.fields, ("t", "y"), "a")["axes"]
    assert axes[0] == {"name": "t", "type": "time", "unit": "second"}
    monkeypatch.setattr(run.fields, "times_s", np.array([0.0, 1800.0, 2000.0]))
    found = omezarr._multiscale(run.fields, ("t", "y"), "a")
    assert found["axes"][0] == {"name": "t", "type": "time"}
    assert found["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 10.0]


def test_of_two_cells_in_a_voxel_the_nearer_is_shown_and_outside_is_nobody(finished, monkeypatch) -> None:
    run = finished("continuum")
    x, y, _ = run.fields.origin_um
    cells = pa.table(
        {
            "cell": [0, 1, 2],
            "cell_type": ["tumor", "macrophage", "tumor"],
            "x_um": [x + 16, x + 13, x + 19.9],
            "y_um": [y + 15, y + 15, y + 39.9],
        }
    )
    found = omezarr._covered(run, cells, (4, 2))
    assert found.tolist() == [[0, 0], [0, 1], [0, 0], [0, 3]]
    none = omezarr._covered(run, cells.slice(0, 0), (4, 2))
    assert none.tolist() == [[0, 0]] * 4
