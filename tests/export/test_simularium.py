"""``.simularium``: every sphere is a cell or a vesicle of the run at that time, where it was last seen."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from exoabm.export import simularium
from exoabm.export.export import export_format
from exoabm.export.formats import format_of
from exoabm.export.simularium import tracks

ENDS = {"degradation", "delivery", "clearance", "escape"}
STATES = {
    "release": "free", "entry": "free", "encounter": "bound", "unbinding": "free", "uptake": "inside",
    "recycling": "free", "handover": "bound", "inheritance": "bound", "partition": "inside",
}  # fmt: skip


def exported(run, folder):
    to = export_format(run.folder, folder / "a.simularium", format_of(folder / "a.simularium"))
    return json.loads(to.read_text())


def frames(content):
    """Time and spheres of each frame: number, name, place from the center and radius."""
    names = {int(key): each["name"] for key, each in content["trajectoryInfo"]["typeMapping"].items()}
    for frame in content["spatialData"]["bundleData"]:
        rows = np.reshape(frame["data"], (-1, 11))
        assert (rows[:, [0, 6, 7, 8, 10]] == [1000, 0, 0, 0, 0]).all()
        assert len({*rows[:, 1]}) == len(rows)
        yield frame["time"], [(int(r[1]), names[int(r[2])], tuple(r[3:6]), r[9]) for r in rows]


def center_of(run):
    return np.add(run.fields.origin_um, (80.0, 45.0, 5.0))


def on_grid(place, center=(0.0, 0.0, 0.0)):
    """A place in um, in the 64ths in which events tell it."""
    return tuple(np.round(np.add(place, center) * 64).astype(int).tolist())


def replayed(run, time):
    """Vesicles by their names, event after event: state and place."""
    there = {}
    for row in run.events.to_pylist():
        if row["time_s"] > time + 1e-3:
            continue
        if row["event"] in ENDS:
            there.pop(row["vesicle"], None)
        else:
            place = (row["x_um"], row["y_um"], row["z_um"])
            there[row["vesicle"]] = (f"{row['vesicle_kind']}#{STATES[row['event']]}", place)
    return there


@pytest.mark.parametrize("name", ["continuum", "vesicles", "living"])
def test_every_sphere_is_of_the_run(finished, tmp_path, name) -> None:
    run = finished(name)
    if name == "vesicles":
        assert pq.ParquetFile(run.folder / "events.parquet").num_row_groups > 2
    content = exported(run, tmp_path)
    info = content["trajectoryInfo"]
    center = center_of(run)
    assert info["size"] == {"x": 160.0, "y": 90.0, "z": 10.0}
    assert (info["spatialUnits"], info["timeUnits"]) == (
        {"magnitude": 1.0, "name": "µm"}, {"magnitude": 1.0, "name": "s"}
    )  # fmt: skip
    metrics = run.metrics.to_pandas()
    found = list(frames(content))
    assert info["totalSteps"] == content["spatialData"]["bundleSize"] == len(found)
    assert [time for time, _ in found] == pytest.approx(metrics["time_h"] * 3600)
    for (time, spheres), (_, said) in zip(found, metrics.iterrows(), strict=True):
        last = max(t for t in run.cells["time_s"].to_pylist() if t <= time + 1e-6)
        alive = {c["cell"] for c in run.all_cells.to_pylist() if (c.get("died_s") or np.inf) > time + 1e-6}
        cells = [c for c in run.cells.to_pylist() if c["time_s"] == last and c["cell"] in alive]
        radius = {t.name: float(t.diameter) / 2 for t in run.scenario.cell_type}
        expected = [
            (c["cell"], c["cell_type"], (c["x_um"], c["y_um"], c["z_um"]), radius[c["cell_type"]])
            for c in cells
        ]
        own = [each for each in spheres if "#" not in each[1]]
        for (number, of, place, r), (cell, cell_type, at, half) in zip(own, expected, strict=True):
            assert (number, of, r) == (cell, cell_type, half)
            assert np.array(place) + center == pytest.approx(at, abs=1e-5)
        vesicles = [each for each in spheres if "#" in each[1]]
        if name == "continuum":
            assert not vesicles
            continue
        for state, place in (("free", "free"), ("bound", "bound"), ("inside", "endosomal")):
            assert sum(of == f"exosome#{state}" for _, of, _, _ in vesicles) == said[f"{place}[exosome]"]
        there = replayed(run, time)
        places = [(of, *on_grid(at, center)) for _, of, at, _ in vesicles]
        assert sorted(places) == sorted((of, *on_grid(at)) for of, at in there.values())
        assert all(r == pytest.approx(float(run.scenario.vesicle[0].diameter) / 2) for *_, r in vesicles)
        assert min((number for number, *_ in vesicles), default=99) >= len(run.all_cells)
    if name != "continuum":
        assert max(number for _, spheres in found for number, *_ in spheres) < 2**24
        assert len(found[-1][1]) > 300


def test_a_vesicle_keeps_its_number(finished, tmp_path) -> None:
    """Where a place is of one vesicle alone, all frames that show something there give it one number."""
    run = finished("vesicles")
    center = center_of(run)
    names_of, numbers_of = defaultdict(set), defaultdict(set)
    for time, spheres in frames(exported(run, tmp_path)):
        for name, (_, place) in replayed(run, time).items():
            names_of[on_grid(place)].add(name)
        for number, of, place, _ in spheres:
            if "#" in of:
                numbers_of[on_grid(place, center)].add(number)
    alone = [place for place, names in names_of.items() if len(names) == 1]
    assert len(alone) > 300
    assert all(len(numbers_of[place]) == 1 for place in alone)


def test_long_runs_have_fewer_frames_and_say_so(finished, tmp_path, monkeypatch) -> None:
    run = finished("living")
    whole = [time for time, _ in frames(exported(run, tmp_path))]
    monkeypatch.setattr(simularium, "MOST_SPHERES", 2500)
    (tmp_path / "b").mkdir()
    content = exported(run, tmp_path / "b")
    found = list(frames(content))
    assert [time for time, _ in found] == whole[::-3][::-1]
    assert sum(len(spheres) for _, spheres in found) <= 2500
    assert "every 3rd recorded time" in content["trajectoryInfo"]["modelInfo"]["description"]
    monkeypatch.setattr(simularium, "MOST_SPHERES", 1)
    (tmp_path / "c").mkdir()
    assert [time for time, _ in frames(exported(run, tmp_path / "c"))] == whole[-1:]


def test_tracks_are_those_of_a_replay(finished) -> None:
    times = np.array([600.0, 1800.0, 1800.0, 3600.0])
    run = finished("living")
    assert [len(each.name) for each in tracks(run, times)] == [len(replayed(run, time)) for time in times]
