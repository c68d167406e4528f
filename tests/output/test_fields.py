"""``fields.zarr`` as others read it: coordinates with units, whole metadata, and 0 as 0."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from exoabm.analysis.communication import PER_ML
from exoabm.domain import Domain
from exoabm.output.concentration_fields import FieldWriter

SHAPE = (2, 3, 4)


NAMES = ("concentration", *"xyz", "time", "time_s", "vesicle_kind", "label", "donor_type")


class State:
    """Two kinds of vesicle and as many donors as it is told, without a model."""

    def __init__(self, *donors: str) -> None:
        self.domain = Domain(SHAPE, 5.0, 10.0, origin=(100.0, -20.0, 3.0))
        self.kinds = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
        self.time = 0.0
        self.be(*donors)

    def be(self, *donors: str) -> None:
        types = tuple("tumor" if int(name) % 2 else "stroma" for name in donors)
        self.labels = Labels(donors, types)

    def free_per_voxel(self, kind: int) -> np.ndarray:
        n = len(self.labels)
        values = np.arange(n * np.prod(SHAPE), dtype=float).reshape(n, *SHAPE)
        return values * (1 + self.time) * (1 + kind)


class Labels(SimpleNamespace):
    def __init__(self, names: tuple[str, ...], types: tuple[str, ...]) -> None:
        super().__init__(names=names, types=types)

    def __len__(self) -> int:
        return len(self.names)


def expected(kind: int, time: float, donors: int) -> np.ndarray:
    state = State(*map(str, range(donors)))
    state.time = time
    return (state.free_per_voxel(kind) * PER_ML / 125.0).astype(np.float32)


def recorded(path: Path) -> FieldWriter:
    """A writer that has seen two moments, the second with a donor more, and is not closed."""
    state, writer = State("0", "1"), FieldWriter(path, 600.0)
    writer.record(state)
    state.time = 600.0
    state.be("0", "1", "2")
    writer.record(state)
    return writer


def test_coordinates_have_their_values_and_units(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorded(tmp_path / "f.zarr").close()
    group = zarr.open_group(tmp_path / "f.zarr", mode="r")
    for axis, name in enumerate("xyz"):
        centers = (100.0, -20.0, 3.0)[axis] + 5.0 * (np.arange((4, 3, 2)[axis]) + 0.5)
        np.testing.assert_array_equal(group[name][:], centers)
        assert (group[name].attrs["units"], group[name].metadata.dimension_names) == ("um", (name,))
    assert (group["time"][:].tolist(), group["time"].attrs["units"]) == ([0.0, 600 / 3600], "h")
    assert (group["time_s"][:].tolist(), group["time_s"].attrs["units"]) == ([0.0, 600.0], "s")
    assert group["label"][:].tolist() == group.attrs["labels"] == ["0", "1", "2"]
    assert group["donor_type"][:].tolist() == ["stroma", "tumor", "stroma"]
    values = group["concentration"]
    assert group["vesicle_kind"][:].tolist() == ["a", "b"]
    assert (values.attrs["units"], *values.metadata.dimension_names) == (
        "1/mL", "time", "vesicle_kind", "label", "z", "y", "x"
    )  # fmt: skip
    np.testing.assert_array_equal(values[1, 1], expected(1, 600.0, 3))
    about = json.loads((tmp_path / "f.zarr" / "zarr.json").read_text())
    assert about["zarr_format"] == 3
    known = about["consolidated_metadata"]["metadata"]
    assert known.keys() == {*NAMES}
    assert known["concentration"]["shape"] == [2, 2, 3, *SHAPE]


def test_a_slab_has_no_z_and_tells_its_thickness(tmp_path) -> None:
    state, writer = State("0"), FieldWriter(tmp_path / "f.zarr", 600.0)
    state.domain = Domain((3, 4), 5.0, 7.0)
    state.free_per_voxel = lambda _: np.ones((1, 3, 4))
    writer.record(state)
    writer.close()
    group = zarr.open_group(tmp_path / "f.zarr", mode="r")
    names = group["concentration"].metadata.dimension_names
    assert names == ("time", "vesicle_kind", "label", "y", "x")
    assert "z" not in group
    assert group.attrs["thickness_um"] == 7.0


def test_xarray_reads_what_was_written(tmp_path) -> None:
    xarray = pytest.importorskip("xarray", reason="xarray is in the extra 'test'")
    recorded(tmp_path / "f.zarr").close()
    with xarray.open_zarr(tmp_path / "f.zarr", chunks=None) as found:
        assert {*found.data_vars} == {"concentration"}
        assert {*found.coords} == {*NAMES} - {"concentration"}
        for kind, name in enumerate("ab"):
            values = found["concentration"].sel(vesicle_kind=name)
            np.testing.assert_array_equal(values[0, :2], expected(kind, 0.0, 2))  # its zeros are no NaN
            np.testing.assert_array_equal(values[0, 2], 0.0)  # not yet born
            np.testing.assert_array_equal(values[1], expected(kind, 600.0, 3))
        one = values.sel(x=112.5, y=-17.5, z=10.5, label="1", time=1 / 6, method=None)
        assert float(one) == expected(1, 600.0, 3)[1, 1, 0, 2] > 0
        assert values.dtype == np.float32
        assert found["time"].attrs == {"units": "h", "long_name": "model time"}
        tumor = found["concentration"].where(found["donor_type"] == "tumor", drop=True)
        assert tumor["label"].values.tolist() == ["1"]


def test_a_writer_that_was_closed_goes_on_from_its_snapshot(tmp_path) -> None:
    """As after a fault that is mended: what was consolidated then is not believed, and made again."""
    state, first = State("0", "1"), FieldWriter(tmp_path / "f.zarr", 600.0)
    first.record(state)
    content = first.snapshot()
    state.time = 600.0
    state.be("0", "1", "2")
    first.record(state)
    first.close()
    second = FieldWriter(tmp_path / "f.zarr", 600.0)
    second.restore(content)
    assert second._group["label"][:].tolist() == second._group.attrs["labels"] == ["0", "1"]
    assert second._group["concentration"].shape == (1, 2, 2, *SHAPE)
    for state.time in (600.0, 1200.0):
        second.record(state)
    second.close()
    group = zarr.open_group(tmp_path / "f.zarr", mode="r")
    assert group["time"][:].tolist() == [0.0, 600 / 3600, 1200 / 3600]
    assert group["donor_type"][:].tolist() == ["stroma", "tumor", "stroma"]
    for kind in range(2):
        np.testing.assert_array_equal(group["concentration"][0, kind, :2], expected(kind, 0.0, 2))
        np.testing.assert_array_equal(group["concentration"][2, kind], expected(kind, 1200.0, 3))


@pytest.mark.parametrize("name", ["", *NAMES])
def test_an_array_that_is_lost_is_missed(tmp_path, name) -> None:
    writer, state = recorded(tmp_path / "f.zarr"), State("0", "1", "2")
    (tmp_path / "f.zarr" / name / "zarr.json").unlink()
    for goes_on in (writer.close, lambda: writer.record(state)):
        with pytest.raises(FileNotFoundError, match=f"f.zarr/{name} was moved or removed"):
            goes_on()


@pytest.mark.parametrize("name", ["x/c/0", "y/c/0", "z/c/0"])
def test_a_coordinate_that_is_lost_is_not_taken_for_zero(tmp_path, name) -> None:
    writer = recorded(tmp_path / "f.zarr")
    content = writer.snapshot()
    (tmp_path / "f.zarr" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        writer.close()
    with pytest.raises(Exception, match=f"{name} is missing"):
        FieldWriter(tmp_path / "f.zarr", 600.0).restore(content)
