"""Run folders: read as declared, described by a schema, and refused where they are of another version."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from exoabm import open_run
from exoabm.errors import InputError
from exoabm.export.export import export_tables
from exoabm.manifest import inside
from exoabm.manifest import write as seal
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.tables.declarations import RUN_TABLES, SCHEMA_VERSION

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the extra 'test'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    small = {"domain.voxel": "40", "clock.step": "600", "transport.engine": "vesicles"}
    run_to_folder(load("two_cells", small), out, seed=1, hours=0.5)
    return out


def test_run_json_is_as_its_schema_says_also_after_an_export(folder: Path, tmp_path: Path) -> None:
    schema = json.loads((files("exoabm.tables") / "run.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    export_tables(folder, tmp_path / "out", "csv")
    for place in (folder, tmp_path / "out"):
        about = json.loads((place / "run.json").read_text())
        jsonschema.validate(about, schema)
    assert [each["operation"] for each in about["operations"]] == ["run", "export"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(about | {"seed": -1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(about | {"more": 1}, schema)


def test_every_table_is_an_attribute_and_says_of_which_run_it_is(folder: Path) -> None:
    run = open_run(folder)
    for table in RUN_TABLES:
        found = getattr(run, table.name)
        if table.name == "metrics":
            assert found.column_names[0] == "time_h"
        elif table.name == "lineage":
            assert found is None, "no cell comes or goes"
        else:
            assert found.column_names == [column.name for column in table.columns]
            assert found.schema.metadata[b"scenario_sha256"].decode() == run.about["scenario_sha256"]
            assert found.schema.metadata[b"seed"] == b"1"
    assert run.summary["seed"] == 1
    assert run.communication.number_of_nodes() == 2
    assert run.fields["concentration"].ndim == 6
    with pytest.raises(AttributeError, match="a run has no 'celsl'"):
        run.celsl  # noqa: B018


@pytest.mark.parametrize("version", [None, 99])
def test_a_folder_of_another_version_is_refused_with_a_sentence(
    folder: Path, tmp_path: Path, version: int | None
) -> None:
    for name in inside(folder):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    about = json.loads((tmp_path / "run.json").read_text()) | {"schema_version": version}
    (tmp_path / "run.json").write_text(json.dumps(about))
    seal(tmp_path, [name for name in inside(tmp_path) if name != "manifest.json"])
    with pytest.raises(InputError, match="this exoabm reads version 1; run the scenario again"):
        open_run(tmp_path)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        open_run(tmp_path)


def test_the_front_door_loads_no_heavy_library() -> None:
    heavy = "pandas matplotlib solara dask xarray zarr numba".split()
    code = f"import sys, exoabm; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
