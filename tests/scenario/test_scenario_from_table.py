"""A scenario from a table of cells: its types, their names, and the file that is written."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from exoabm import scenario_from_table
from exoabm.cli.scenario_commands import draft_scenario
from exoabm.errors import InputError
from exoabm.scenario.loader import load
from exoabm.scenario.scenario_from_table import names_of_labels
from exoabm.scenario.state_builder import blueprint

CASES = Path(__file__).parents[1] / "readers/cases"


def test_a_scenario_is_begun_from_a_table(tmp_path):
    shutil.copy(CASES / "tables/qupath_px.csv", tmp_path)
    target = tmp_path / "mine.toml"
    with pytest.raises(InputError, match=r"layout\.unit="):
        draft_scenario(tmp_path / "qupath_px.csv", target, {})
    assert not target.exists()
    said = draft_scenario(tmp_path / "qupath_px.csv", target, {"layout.unit": "0.5 um"})
    assert "107 CK+ -> CK_pos" in said.recognized
    assert not said.warnings
    made = blueprint(load(str(target)), 1)
    assert {t.name for t in made.types} == {"CK_pos", "other", "CD68_pos"}
    assert made.types[0].release_rate > 0
    assert load(str(target)).scenario.layout.table == "qupath_px.csv"
    with pytest.raises(InputError, match="exists already"):
        draft_scenario(tmp_path / "qupath_px.csv", target, {"layout.unit": "0.5 um"})


def test_warnings_of_a_table_are_those_of_its_run(tmp_path, command, monkeypatch, capsys) -> None:
    """A cell far from all others, of which only a run told before."""
    rows = [f"{20 * i},{20 * j},a" for i in range(10) for j in range(10)] + ["90000,0,b"]
    (tmp_path / "cells.csv").write_text("\n".join(["x_um,y_um,cell_type", *rows]))
    far = "1 cell (row 101) is far from all others"
    assert far in command("new", "cells.csv", "--out", "mine.toml").err
    monkeypatch.setattr("exoabm.api.progress.shown", lambda asked: True)
    scenario_from_table(tmp_path / "cells.csv")
    assert f"Warning: {far}" in capsys.readouterr().err


def test_a_drafted_scenario_can_be_loaded_or_is_not_written(tmp_path):
    """Whatever the labels: names of exoabm get a number, and control characters are refused."""
    for label in ("dose", "any", "reservoir", "\x1b[31mred"):
        table, to = tmp_path / "cells.csv", tmp_path / f"{len(label)}.toml"
        table.write_text(f"x_um,y_um,cell_type\n5,5,{label}\n40,5,b\n")
        if label.isalpha():
            draft_scenario(table, to, {})
            assert {each.name for each in load(str(to)).scenario.cell_type} == {f"{label}_2", "b"}
        else:
            with pytest.raises(InputError, match=r"cells.csv: the label .* has a control character, U\+001B"):
                draft_scenario(table, to, {})
            assert not to.exists()


def test_names_of_labels_differ_and_are_names():
    labels = ["CD8+", "CD8 pos", "1", "", "../../x", "<b>x</b>", "bystander", "a" * 99, "a" * 98, "Ü"]
    names = names_of_labels(labels)
    assert len(set(names.values())) == len(labels)
    assert all(
        name[0].isalpha() and name.replace("_", "").isalnum() and len(name) < 64 for name in names.values()
    )
    assert names["CD8+"] == "CD8_pos"
    assert names["bystander"] != "bystander"
    own = ("dose", "reservoir", "any")
    assert names_of_labels(own) == {name: f"{name}_2" for name in own}
    greek = names_of_labels(["β-cell", "δ cell", "γδ T", "Λ", "Schwann-Zelle é", "ς"])
    assert list(greek.values()) == [
        "beta_cell",
        "delta_cell",
        "gammadelta_T",
        "lambda",
        "Schwann_Zelle_e",
        "sigma",
    ]


def test_sparse_and_interval_columns_of_a_frame_are_read():
    """As full columns and texts; Arrow has neither."""
    place = [5.0, 0.0, 0.0, 40.0]
    frame = pd.DataFrame({"x_um": pd.arrays.SparseArray(place), "y_um": [1.0, 9.0, 30.0, 60.0]})
    frame["age"] = pd.cut([1.0, 2.0, 11.0, float("nan")], [0, 10, 20])
    made = blueprint(scenario_from_table(frame, layout__cell_type="age"), 1)
    assert sorted(made.position[:, 0] - made.position[:, 0].min()) == [0, 0, 5, 40]
    assert sorted(each.name for each in made.types) == ["type_0_10", "type_10_20", "unclassified"]
