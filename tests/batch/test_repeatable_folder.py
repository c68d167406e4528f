"""A run folder repeats itself: it holds the table of cells that it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from exoabm.errors import InputError
from exoabm.export.export import export_run_scenario
from exoabm.manifest import faults
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import load, read_run, run_of

CELLS = """ImageNumber,ObjectNumber,x,y,cell_type
1,1,9.2,8.68,tumor
1,2,29.75,10.42,stroma
1,3,51.14,10.11,macrophage
1,4,69.45,9.22,tumor
1,5,9.9,30.1,stroma
"""
HOURS = 0.1


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "measured" / "cells.csv"
    path.parent.mkdir()
    path.write_text(CELLS)
    return path


@pytest.fixture
def run(table: Path, tmp_path: Path) -> Path:
    """A run whose table is gone."""
    run_to_folder(load("tissue", {"layout.table": str(table)}), tmp_path / "a", seed=3, hours=HOURS)
    table.unlink()
    return tmp_path / "a"


def same(a: Path, b: Path) -> bool:
    names = ("cells", "events", "metrics", "edges")
    return all(pq.read_table(a / f"{n}.parquet").equals(pq.read_table(b / f"{n}.parquet")) for n in names)


def test_a_run_is_repeated_from_its_folder_alone(run: Path, tmp_path: Path) -> None:
    """Also when it was moved, and from the repetition in turn."""
    moved = run.rename(tmp_path / "moved")
    for source, name in ((moved, "b"), (tmp_path / "b" / "run.json", "c")):
        about = read_run(run_of(source))
        run_to_folder(load(source), tmp_path / name, seed=about["seed"], hours=about["hours"])
        assert same(moved, tmp_path / name)
        again = json.loads((tmp_path / name / "run.json").read_text())
        assert again["scenario_sha256"] == about["scenario_sha256"]
        assert again["table_sha256"] == about["table_sha256"]
        assert (tmp_path / name / "table" / "cells.csv").read_text() == CELLS
        assert faults(tmp_path / name) == []


def test_the_scenario_of_a_run_is_exported_with_its_table(run: Path, tmp_path: Path) -> None:
    to = tmp_path / "x" / "mine.toml"
    assert [path.name for path in export_run_scenario(run, to)] == ["mine.toml", "mine.cells.csv"]
    run.rename(tmp_path / "away")
    run_to_folder(load(to), tmp_path / "b", seed=3, hours=HOURS)
    assert same(tmp_path / "away", tmp_path / "b")
    assert sorted(path.name for path in to.parent.iterdir()) == ["mine.cells.csv", "mine.toml"]


def test_a_stopped_run_goes_on_without_its_table(table: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0.5:
            raise Stop

    loaded = load("tissue", {"layout.table": str(table)})
    run_to_folder(loaded, tmp_path / "whole", seed=3, hours=HOURS)
    with pytest.raises(Stop):
        run_to_folder(loaded, tmp_path / "a", seed=3, hours=HOURS, checkpoint_every=60.0, progress=stop)
    table.unlink()
    resume_run(tmp_path / "a")
    assert same(tmp_path / "whole", tmp_path / "a")


@pytest.mark.parametrize("name", ["table/cells.csv", "run.json", "manifest.json"])
def test_a_damaged_run_is_not_repeated(run: Path, name: str) -> None:
    path = run / name
    path.write_bytes(path.read_bytes().replace(b"9", b"8", 1))
    with pytest.raises(InputError, match=f"{path.name} is damaged"):
        load(run)
    path.unlink()
    with pytest.raises(InputError, match=f"{path.name} is missing"):
        load(run)
    assert {fault.name for fault in faults(run)} == {name}
