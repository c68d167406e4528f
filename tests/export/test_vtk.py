"""VTK's XML files, by a parser of our own: sizes, places and the order of values."""

from __future__ import annotations

import base64
import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import zarr

from exoabm.export.export import export_format
from exoabm.export.exported_run import ExportedRun
from exoabm.export.formats import format_of
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

DTYPES = {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "Int64": "<i8"}


def opened(run, to):
    """The piece of a file, and the arrays of a section by name."""
    root = ET.parse(export_format(run.folder, to, format_of(to))).getroot()
    assert root.attrib["byte_order"] == "LittleEndian"
    assert root.attrib["header_type"] == "UInt64"
    (body,) = root

    def arrays(section):
        return {each.attrib["Name"]: values(each) for each in body.find(f".//{section}")}

    return body, arrays


def values(element):
    assert element.attrib["format"] == "binary"
    data = base64.b64decode(element.text)
    size = int.from_bytes(data[:8], "little")
    assert len(data) == 8 + size
    if element.attrib["type"] == "String":
        *texts, rest = data[8:].split(b"\0")
        assert rest == b""
        return [text.decode() for text in texts]
    found = np.frombuffer(data[8:], DTYPES[element.attrib["type"]])
    parts = int(element.attrib.get("NumberOfComponents", 1))
    return found.reshape(-1, parts) if parts > 1 else found


@pytest.mark.parametrize("name", ["continuum", "living", "types"])
def test_a_slab_has_a_point_more_than_voxels_along_each_axis(finished, tmp_path, name) -> None:
    run = finished(name)
    body, arrays = opened(run, tmp_path / "a.vti")
    assert body.attrib["WholeExtent"] == body.find("Piece").attrib["Extent"] == "0 16 0 9 0 1"
    assert [*map(float, body.attrib["Spacing"].split())] == [10.0, 10.0, 10.0]
    assert [*map(float, body.attrib["Origin"].split())] == pytest.approx(run.fields.origin_um, rel=1e-15)
    assert arrays("FieldData")["TimeValue"].tolist() == [3600.0]
    group = zarr.open_group(run.folder / "fields.zarr", mode="r")
    last, of = group["concentration"][-1, 0].astype(float), np.array(group.attrs["label_types"])
    found = arrays("CellData")
    assert len(found) == 5
    whole = last.sum(axis=0)
    for iy, ix in itertools.product(range(9), range(16)):  # x fastest
        assert found["exosome_per_mL"][ix + 16 * iy] == pytest.approx(whole[iy, ix], rel=1e-12)
    for donor_type in ("tumor", "macrophage", "stroma", "lymphocyte"):
        mine = last[of == donor_type].sum(axis=0).ravel()
        np.testing.assert_allclose(found[f"exosome_per_mL from {donor_type}"], mine, rtol=1e-12)
    assert not np.allclose(whole, whole[::-1])


def test_a_volume_runs_x_then_y_then_z(tmp_path) -> None:
    small = {"domain.voxel": "40", "domain.size": "[240, 200, 160]", "clock.step": "600"}
    run = ExportedRun(run_to_folder(load("two_cells", small), tmp_path / "run", seed=1, hours=0.5).folder)
    body, arrays = opened(run, tmp_path / "a.vti")
    assert body.attrib["WholeExtent"] == "0 6 0 5 0 4"
    last = zarr.open_group(run.folder / "fields.zarr", mode="r")["concentration"][-1, 0].sum(axis=0)
    assert last.shape == (4, 5, 6)
    found = arrays("CellData")["exosome_per_mL"]
    for iz, iy, ix in itertools.product(range(4), range(5), range(6)):
        assert found[ix + 6 * (iy + 5 * iz)] == last[iz, iy, ix]
    at = np.argmax(found)
    peak = 40 * (np.array([at % 6, at // 6 % 5, at // 30]) + 0.5)
    donor = [run.cells[f"{axis}_um"][0].as_py() for axis in "xyz"]
    assert np.abs(peak - donor).max() <= 20


def test_cells_are_points_with_all_that_is_known_of_them(finished, tmp_path) -> None:
    run = finished("living")
    body, arrays = opened(run, tmp_path / "a.vtp")
    cells = run.cells.to_pandas().query("time_s == 3600")
    n = len(cells)
    piece = body.find("Piece").attrib
    assert piece["NumberOfPoints"] == piece["NumberOfVerts"] == str(n)
    np.testing.assert_array_equal(arrays("Points")["Points"], cells[["x_um", "y_um", "z_um"]])
    assert arrays("Verts")["connectivity"].tolist() == [*range(n)]
    assert arrays("Verts")["offsets"].tolist() == [*range(1, n + 1)]
    found = arrays("PointData")
    cells = cells.dropna(axis="columns", how="all")
    held = run.held_by(run.last_cells)
    assert found.keys() == {*cells.columns, *held} - {"time_s", "x_um", "y_um", "z_um"}
    assert found["cell_type"] == cells["cell_type"].tolist()
    assert found["source_id"] == [
        text or "" for text in cells["source_id"].where(cells["source_id"].notna(), "")
    ]
    assert "" in found["source_id"]  # a daughter
    np.testing.assert_array_equal(found["released[exosome]"], held["released[exosome]"])
    np.testing.assert_array_equal(found["cell"], cells["cell"])
