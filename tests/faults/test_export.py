"""Exports that cannot be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that looks like a run, as far as export asks."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({}))
    return folder


def test_a_folder_without_a_run_is_refused(command, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    command("export", "empty", "--to", "b").refused(2, "empty holds no run")
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
    command("export", run, "--to", "b").refused(2, "cells.parquet")
