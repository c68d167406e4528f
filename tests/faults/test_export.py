"""Exports that cannot be made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exoabm import manifest
from exoabm.output.run_folder import FILES
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    small = {"domain.voxel": "40", "clock.step": "600"}
    run_to_folder(load("two_cells", small), folder, seed=1, hours=0.5)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A finished run, to be harmed."""
    return shutil.copytree(made, tmp_path / "run")


def lost(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def flipped(path: Path) -> None:
    path = next(p for p in path.rglob("c/1/**/*") if p.is_file()) if path.is_dir() else path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [lost, flipped])
@pytest.mark.parametrize("name", FILES)
def test_a_part_that_is_lost_or_damaged_is_named(command, run, tmp_path, name, harm) -> None:
    """No part of a run is left out without a word; ``--partial`` exports the others and tells."""
    harm(run / name)
    command("export", run, "--to", "b").refused(2, name, "--partial")
    assert not (tmp_path / "b").exists()
    done = command("export", run, "--to", "b", "--partial")
    assert done.code == 0
    assert f"left out: {name}" in done.err
    others = {part.replace(".parquet", ".csv") for part in FILES if part not in (name, manifest.MANIFEST)}
    assert {path.name for path in (tmp_path / "b").iterdir()} == {*others, "columns.json"}


def test_a_run_whose_manifest_does_not_name_a_table_is_exported_as_it_is(command, run, tmp_path) -> None:
    """What is foreign does no harm."""
    (run / "notes.txt").write_text("mine")
    assert command("export", run, "--to", "b").code == 0


@pytest.mark.parametrize("to", ["a.toml", "tables"])
@pytest.mark.parametrize("room", [0, 1, 8])
def test_a_full_disk_leaves_nothing_cut(command, run, small_disk, to, room) -> None:
    (small_disk / "filler").write_bytes(b"x" * 1024 * (64 - 4 * room))
    done = command("export", run, "--to", small_disk / to)
    left = [path.name for path in small_disk.iterdir() if path.name != "filler"]
    if done.code == 0:
        assert room == 8
        assert to == "a.toml"
        assert left == ["a.toml"]
    else:
        done.refused(1, "the disk is full", "nothing was written")
        assert not left


def test_the_scenario_of_a_run_is_a_file_and_no_folder(command, run, tmp_path) -> None:
    assert command("export", run, "--to", "dup.toml").code == 0
    assert load(tmp_path / "dup.toml").sha256() == load(run).sha256()
    command("export", run, "--to", "dup.toml").refused(2, "dup.toml exists already")


def test_a_run_folder_is_a_scenario_to_every_command(command, run, tmp_path) -> None:
    """With its own seed and time, where no others are given."""
    for verb in ("validate", "estimate", "show"):
        assert command(verb, "run").code == 0
    assert command("run", run, "--out", "b").code == 0
    assert (tmp_path / "b" / "metrics.parquet").read_bytes() == (run / "metrics.parquet").read_bytes()
    assert command("run", run / "run.json", "--seed", 2, "--hours", 0.2, "--out", "c").code == 0
    assert load(tmp_path / "c").sha256() == load(run).sha256()
    (run / "metrics.parquet").write_bytes(b"PAR1")
    command("fit", "two_cells", "--data", "run", "--vary", "cell_type.donor.release_rate=1:2").refused(
        2, "metrics.parquet is damaged"
    )


def test_a_sweep_is_exported_too(command, tmp_path) -> None:
    rate = "cell_type.donor.release_rate=10,60"
    sweep = ("sweep", "two_cells", "--vary", rate, "--hours", 0.1, "--seed", 1, "--out", "s")
    assert command(*sweep).code == 0
    assert command("export", "s", "--to", "b").code == 0
    tables = {"results.csv", "summary.csv", "pairs.csv", "pairs_summary.csv"}
    assert {*tables, "summary.json", "columns.json", "plots"} == {
        path.name for path in (tmp_path / "b").iterdir()
    }
    assert (tmp_path / "b" / "results.csv").read_text().count("\n") == 3


def test_a_folder_without_a_run_is_refused(command, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    command("export", "empty", "--to", "b").refused(2, "empty contains no results")
    assert not (tmp_path / "b").exists()


def test_an_unknown_format_is_refused(command, run) -> None:
    command("export", run, "--to", "b", "--format", "xls").refused(2, "xls", "csv, json, arrow, numpy")


def test_a_setting_does_not_go_with_a_run(command, run) -> None:
    command("export", run, "--to", "b", "--set", "clock.step=1").refused(2, "--set")


def test_nothing_is_replaced_unasked(command, run, tmp_path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.json").write_text("mine")
    command("export", run, "--to", "b").refused(2, "run.json exists already", "--overwrite")
    assert (tmp_path / "b" / "run.json").read_text() == "mine"
    assert command("export", run, "--to", "b", "--overwrite").code == 0
    assert (tmp_path / "b" / "run.json").read_text() != "mine"
    assert command("export", run, "--to", "b", "--overwrite").code == 0
    assert not list((tmp_path / "b").glob(".*"))


def test_a_file_in_the_place_of_the_folder_is_refused(command, run, tmp_path) -> None:
    (tmp_path / "b").write_text("mine")
    command("export", run, "--to", "b").refused(2, "b")
    assert (tmp_path / "b").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused(command, run) -> None:
    command("export", run, "--to", "/proc/exoabm/b").refused(2, "/proc/exoabm")


def test_a_scenario_goes_into_a_toml_file_that_is_not_there(command, tmp_path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    command("export", "two_cells", "--to", "mine.toml").refused(2, "mine.toml exists already")
    command("export", "two_cells", "--to", "mine.txt").refused(2, "mine.txt", ".toml")
    assert (tmp_path / "mine.toml").read_text() == "mine"


def test_a_broken_table_is_named(command, run) -> None:
    (run / "cells.parquet").write_bytes(b"PAR1 and nothing else")
    manifest.write(run, [name for name in manifest.inside(run) if name != manifest.MANIFEST])
    command("export", run, "--to", "b").refused(2, "cells.parquet")


def test_a_place_below_a_file_is_refused_before_anything_is_run(command, tmp_path) -> None:
    (tmp_path / "afile").write_text("")
    twins = ("whatif", "two_cells", "--silence", "cell:0", "--hours", 1)
    command(*twins, "--out", "afile/x").refused(2, "afile: it is a file")
    command("export", "two_cells", "--to", "afile/x.toml").refused(2, "cannot write to afile: it is a file")
    command("export", "two_cells", "--to", "afile/b/x.toml").refused(2, "to afile/b: afile is a file")
    load("two_cells").save(tmp_path / "new/b/x.toml")
    (tmp_path / "cells.csv").write_text("x_um,y_um,type\n1,2,a\n30,40,a\n")
    command("new", "cells.csv", "--out", "afile/x.toml").refused(2, "cannot write to", "afile: it is a file")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["afile", "cells.csv", "new"]
