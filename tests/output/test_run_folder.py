"""The run folder: every file of the contract, enough to repeat the run, in every format of export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import tomli_w
import zarr

from exoabm.errors import InputError
from exoabm.export.export import export_tables
from exoabm.export.formats import TABLE_ENDINGS
from exoabm.output.run_folder import FILES
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, parse
from exoabm.scenario.resource_estimate import LEAST_OF_PEAK
from tests.conftest import Command

TABLES = ("metrics", "metrics_by_kind", "cells", "cells_by_kind", "events", "edges", "pairs")
SMALL = {
    "layout.group.recipient.count": "30",
    "domain.size": "[500, 500]",
    "layout.group.recipient.outer": "220",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def said(home: Path) -> dict[str, Any]:
    """What ``run --json`` prints, in a process of its own; the folder is ``home / "a"``."""
    pairs = [text for key, value in SMALL.items() for text in ("--set", f"{key}={value}")]
    words = ["run", "signaling", "--seed", "5", "--hours", "1", "--out", "a", "--json", *pairs]
    program = [sys.executable, "-m", "exoabm", *words]
    done = subprocess.run(program, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data


@pytest.fixture(scope="module")
def folder(home: Path, said: dict[str, Any]) -> Path:
    return Path(said["folder"])


def test_every_file_of_the_contract_is_there_and_nothing_else(folder: Path, home: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert [p.name for p in home.iterdir()] == ["a"]


def test_every_file_opens(folder: Path) -> None:
    from matplotlib.image import imread

    for name in TABLES:
        assert pq.read_table(folder / f"{name}.parquet").num_rows > 0
    assert zarr.open_group(folder / "fields.zarr", mode="r")["concentration"].ndim == 5
    assert min(imread(folder / "preview.png").shape[:2]) > 400
    graph = nx.read_graphml(folder / "communication.graphml", node_type=int)
    edges = pq.read_table(folder / "edges.parquet").to_pandas()
    assert "<!-- resolution: cell -->" in (folder / "communication.graphml").read_text()
    assert graph.number_of_nodes() == 37
    assert graph.number_of_edges() == len(edges)
    total = sum(w for *_, w in graph.edges(data="weight"))
    assert total == pytest.approx(edges["taken_up"].sum(), rel=1e-12)


def test_what_is_printed_is_the_summary(folder: Path, said: dict[str, Any]) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    assert {key: said[key] for key in summary} == summary
    assert (summary["seed"], summary["hours"]) == (5, pytest.approx(1))
    assert summary["cells"] == {"donor": 7, "recipient": 30}
    book = summary["mass_balance"]["exosome"]
    assert sum(v for k, v in book.items() if k != "emitted") == pytest.approx(book["emitted"], rel=1e-9)
    assert book["emitted"] == pytest.approx(7 * 60, rel=1e-12)


def test_the_communication_sums_to_the_ledger(folder: Path) -> None:
    book = json.loads((folder / "summary.json").read_text())["mass_balance"]["exosome"]
    edges = pq.read_table(folder / "edges.parquet").to_pandas()
    inside = sum(book[p] for p in ("endosomal", "lysosomal", "delivered", "recycled"))
    assert edges["taken_up"].sum() == pytest.approx(inside, rel=1e-9)
    assert edges["delivered"].sum() == pytest.approx(book["delivered"], rel=1e-9)
    assert set(edges["donor_type"]) == {"donor"}
    assert set(edges["recipient_type"]) == {"recipient"}


def test_the_run_says_what_made_it(folder: Path) -> None:
    about = json.loads((folder / "run.json").read_text())
    assert about["exit_state"] == "done"
    assert about["engine"] == "continuum"
    assert about["seed"] == 5
    (operation,) = about["operations"]
    assert (operation["operation"], operation["from_h"]) == ("run", 0)
    assert min(operation[key] for key in ("wall_s", "cpu_s", "peak_memory_bytes")) > 0
    assert about["overrides"] == SMALL
    assert about["versions"]["numpy"] == np.__version__
    assert len(about["scenario_sha256"]) == 64
    assert {"system", "machine"} <= set(about["platform"])
    assert about["citations"]


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pq.read_table(folder / f"{name}.parquet").to_pandas() for name in TABLES}


def test_the_scenario_and_seed_of_run_json_repeat_the_run_to_the_bit(folder: Path, tmp_path: Path) -> None:
    about = json.loads((folder / "run.json").read_text())
    text = tomli_w.dumps(about["scenario"]).encode()
    again = parse(text, name="again", folder=tmp_path)
    assert again.sha256() == about["scenario_sha256"]
    run_to_folder(again, tmp_path / "b", seed=about["seed"], hours=1, threads=2)
    for name, table in tables(folder).items():
        pd.testing.assert_frame_equal(tables(tmp_path / "b")[name], table, check_exact=True)
    old, new = (
        zarr.open_group(f / "fields.zarr", mode="r")["concentration"][:] for f in (folder, tmp_path / "b")
    )
    assert (old == new).all()
    assert (folder / "communication.graphml").read_bytes() == (
        tmp_path / "b/communication.graphml"
    ).read_bytes()


def test_another_seed_is_another_run(folder: Path, tmp_path: Path) -> None:
    run_to_folder(load("signaling", SMALL), tmp_path / "b", seed=6, hours=0.1)
    assert not tables(tmp_path / "b")["cells"]["x_um"][:37].equals(tables(folder)["cells"]["x_um"][:37])


def read_back(path: Path, fmt: str) -> pd.DataFrame:
    match fmt:
        case "csv":
            return pd.read_csv(path, keep_default_na=True)
        case "json":
            return pd.read_json(path, lines=True)
        case "arrow":
            return pyarrow.feather.read_feather(path)
        case _:
            with np.load(path) as data:
                return pd.DataFrame({key: data[key] for key in data})


@pytest.mark.parametrize("fmt", TABLE_ENDINGS)
def test_every_table_reads_back_from_every_format(folder: Path, tmp_path: Path, fmt: str) -> None:
    with pytest.raises(InputError, match=r"written into a folder.*without \.csv"):
        export_tables(folder, tmp_path / "out.csv", fmt)
    (written, lost), empty = export_tables(folder, tmp_path / "out", fmt), set()
    assert not lost
    assert all(path.exists() for path in written)
    copied = {"summary.json", "run.json", "communication.graphml", "preview.png", "fields.zarr"}
    assert copied | {"columns.json"} <= {p.name for p in written}
    made = json.loads((tmp_path / "out" / "run.json").read_text())["operations"]
    assert [each["operation"] for each in made] == ["run", "export"]
    for name in copied - {"fields.zarr", "run.json"}:
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    old, new = (
        zarr.open_group(f / "fields.zarr", mode="r")["concentration"][:] for f in (folder, tmp_path / "out")
    )
    assert (old == new).all()
    meanings = json.loads((tmp_path / "out" / "columns.json").read_text())
    for name in TABLES:
        schema = pq.read_schema(folder / f"{name}.parquet")
        said = meanings[name]["columns"]
        assert list(said) == schema.names
        for field in schema:
            described = (field.metadata or {}).get(b"description", b"").decode()
            assert said[field.name].get("description", "") == described
    assert "vesicle" in meanings["edges"]["columns"]["taken_up"]["description"]
    assert meanings["edges"]["about"]["resolution"] == "cell"
    for name, table in tables(folder).items():
        (path,) = (p for p in written if p.stem == name and p.suffix not in (".graphml",))
        back = read_back(path, fmt)
        assert list(back) == list(table)
        assert len(back) == len(table)
        for column in table:
            if pd.api.types.is_numeric_dtype(table[column]) and not table[column].isna().all():
                given = table[column].to_numpy(float)
                np.testing.assert_allclose(back[column].to_numpy(float), given, rtol=1e-9, atol=1e-12)
            elif table[column].notna().all():
                assert back[column].astype(str).tolist() == table[column].astype(str).tolist()
            elif fmt == "numpy" and not pd.api.types.is_numeric_dtype(table[column]):
                assert back[column].tolist() == table[column].astype(object).fillna("").tolist()
                empty.add(column)
    assert fmt != "numpy" or "recipient_type" in empty


def test_a_scenario_is_exported_as_one_complete_file(command: Command, tmp_path: Path) -> None:
    assert command("export", "tissue", "--to", "mine/tissue.toml").code == 0
    exported = load(tmp_path / "mine" / "tissue.toml")
    assert exported.table_path() == load("tissue").table_path()
    assert exported.scenario.clock == load("tissue").scenario.clock


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("show", "signaling"),
        ("validate", "signaling"),
        ("estimate", "signaling"),
        ("cite",),
        ("cite", "two_cells"),
    ],
    ids=" ".join,
)
def test_what_a_program_may_read_is_json(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments, "--json")
    data = json.loads(done.out)
    assert done.code == 0
    assert data
    match arguments[0]:
        case "list":
            assert {"two_cells", "signaling", "waste_removal", "tissue"} <= {row["name"] for row in data}
        case "show":
            rate = next(r for r in data["parameters"] if r["key"] == "cell_type.donor.release_rate")
            assert (rate["value"], rate["unit"], rate["source"]) == ("60", "1/h", rate["source"] or None)
            assert rate["allowed"]
        case "validate":
            assert data == {"valid": True, "cells": {"donor": 7, "recipient": 300}, "warnings": []}


MEASURE = """
import os
from pathlib import Path
from exoabm.cli import main
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
try:
    main()
except SystemExit as stop:
    (peak,) = (s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    print(stop.code or 0, 1024 * int(peak.split()[1]))
"""
"""On one core a run draws its preview itself. Not ru_maxrss, inherited from the process that started it."""
SIZES = {
    "volume": ("two_cells", ["domain.size=[1280, 1280, 1280]", "domain.voxel=10"]),
    "origins": ("signaling", ["domain.size=[2000, 2000]", "layout.group.donor.count=60"]),
    "cells": ("tissue", []),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("name", "pairs"), SIZES.values(), ids=SIZES)
def test_the_estimate_of_memory_is_near_the_peak(
    command: Command, tmp_path: Path, name: str, pairs: list[str]
) -> None:
    settings = [text for pair in pairs for text in ("--set", pair)]
    expected = json.loads(command("estimate", name, "--json", *settings).out)["memory_bytes"]
    arguments = ["run", name, "--hours", "0.04", "--seed", "1", "--out", "m", "--json", *settings]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NUMBA_NUM_THREADS": "1"},
    )
    code, peak = map(int, done.stdout.splitlines()[-1].split())
    print(f"{name}: estimated {expected / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    assert code == 0
    assert LEAST_OF_PEAK * peak <= expected <= 1.5 * peak
