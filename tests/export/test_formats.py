"""The table of formats: which one is meant, what is refused, and that nothing is left half-written."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import zarr

from exoabm.errors import InputError, RunFailed
from exoabm.export import export, formats
from exoabm.export.exported_run import ExportedRun
from exoabm.export.formats import FORMATS, Format, format_of
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

README = Path(__file__).parents[2] / "README.md"


def test_no_two_formats_share_a_name_or_an_ending() -> None:
    names = formats.names()
    assert len({*names}) == len(names)
    endings = [end for each in FORMATS for end in each.endings]
    assert len({*endings}) == len(endings)
    assert all("." in end and end == end.lower() for end in endings)
    assert ".toml" not in endings


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_every_format_has_its_writer_and_its_row_in_the_readme(fmt) -> None:
    module, _, name = fmt.writer.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    row = next(line for line in README.read_text().splitlines() if line.startswith(f"| `{fmt.name}` |"))
    for said in (*(f"`{end}`" for end in fmt.endings), *fmt.of, fmt.holds, fmt.opened_with):
        assert said in row


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_a_format_is_known_by_its_name_and_by_each_ending(fmt) -> None:
    assert format_of(Path("anything"), fmt.name) is fmt
    for end in fmt.endings:
        assert format_of(Path(f"a.b{end}")) is fmt
        assert format_of(Path(f"A{end.upper()}")) is fmt


def test_the_longest_ending_counts(monkeypatch) -> None:
    short = Format("short", (".zarr",), "", "", "")
    long = Format("long", (".ome.zarr",), "", "", "")
    monkeypatch.setattr(formats, "FORMATS", (short, long))
    assert format_of(Path("a.ome.zarr")) is long
    assert format_of(Path("ome.zarr")) is short


@pytest.mark.parametrize("name", ["tables", "runs/first", "vti/tables"])
def test_a_name_without_an_ending_is_a_folder_of_tables(name) -> None:
    assert format_of(Path(name)) is None
    assert format_of(Path(f"{name}.v2"), "csv") is None


@pytest.mark.parametrize(
    ("to", "name", "said"),
    [
        ("a.vtii", None, "did you mean '.vti'"),
        ("a.xls", None, "--format csv"),
        ("a.csv", None, "tables are written into a folder; choose a name without .csv"),
        ("a", "vtii", "did you mean 'vti'"),
        ("a", "xls", "csv, json, arrow, numpy, h5ad"),
        ("vti", None, "--format vti"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(to, name, said) -> None:
    with pytest.raises(InputError) as error:
        format_of(Path(to), name)
    assert said in str(error.value)


def test_a_format_of_another_kind_of_folder_is_refused(finished, tmp_path, monkeypatch) -> None:
    fmt = Format("matrix", (".m",), "", "", "no.such:module", of=("sweep", "trial"))
    with pytest.raises(InputError, match=r"matrix is made of a sweep or a trial, and .* is a run"):
        export.export_format(finished("continuum").folder, tmp_path / "a.m", fmt)


def writer(finished, to):
    (to / "inside" if to.is_dir() else to).write_text("run")
    if any((home / "fail").exists() for home in to.parents[:2]):  # a folder is made in one of its own
        raise InputError("no data")


@pytest.fixture
def plain(monkeypatch):
    """A format of one file, and one of a folder, which write a word."""
    monkeypatch.setitem(sys.modules, "x", SimpleNamespace(write=writer))
    return Format("p", (".p",), "", "", "x:write"), Format("d", (".d",), "", "", "x:write", folder="inside")


def test_nothing_is_replaced_unasked_nor_half_written(finished, tmp_path, plain) -> None:
    run, to = finished("continuum").folder, tmp_path / "new" / "a"
    for fmt in plain:
        export.export_format(run, to, fmt)
        with pytest.raises(InputError, match=r"exists already.*--overwrite"):
            export.export_format(run, to, fmt)
        export.export_format(run, to, fmt, overwrite=True)
        (to.parent / "fail").touch()
        with pytest.raises(InputError, match="no data"):
            export.export_format(run, to, fmt, overwrite=True)
        assert (to / "inside" if fmt.folder else to).read_text() == "run"
        (to.parent / "fail").unlink()
        assert [path.name for path in to.parent.iterdir()] == ["a"]
        to = tmp_path / "new2" / "a"


def test_a_folder_of_another_making_is_never_replaced(finished, tmp_path, plain) -> None:
    run, (file, folder) = finished("continuum").folder, plain
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    for fmt in plain:
        with pytest.raises(InputError, match=r"is not a . that could be replaced"):
            export.export_format(run, tmp_path / "mine", fmt, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="could be replaced"):
        export.export_format(run, tmp_path / "file", folder, overwrite=True)
    with pytest.raises(InputError, match=r"lies inside .* which holds finished results"):
        export.export_format(run, run / "a.p", file)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "mine"


def test_where_no_cell_lives_at_the_end_none_is_shown_and_edges_stay(tmp_path) -> None:
    """Cells that died were recorded last before; that is no sign of life."""
    table = tmp_path / "cells.csv"
    table.write_text("x_um,y_um,cell_type\n" + "\n".join(f"{14 * i},0,CK+" for i in range(5)))
    changes = {"cell_type.tumor.death_rate": "50 / h", "clock.step": "5 min", "domain.voxel": "10 um"}
    loaded = load(str(table), changes | {"transport.engine": "vesicles", "record.fields": "30 min"})
    run = ExportedRun(run_to_folder(loaded, tmp_path / "run", seed=1, hours=1).folder)
    assert not len(run.last_cells)
    assert len(run.first_cells) == len(run.all_cells) == 5
    assert run.all_cells["died_s"].null_count == 0
    found = {}
    for fmt in FORMATS:
        if "run" in fmt.of and fmt.name != "truth":  # which needs cells
            to = tmp_path / f"a{fmt.endings[0] if fmt.endings else ''}"
            found[fmt.name] = export.export_format(run.folder, to, fmt)
    frames = json.loads(found["simularium"].read_text())["spatialData"]["bundleData"]
    assert len(frames[0]["data"]) == 5 * 11
    assert set(np.reshape(frames[-1]["data"], (-1, 11))[:, 2]) == {1.0}  # free vesicles
    assert b'NumberOfPoints="0"' in found["vtp"].read_bytes()
    labels = zarr.open_array(found["ome-zarr"] / "labels" / "cells" / "0", mode="r")
    assert {*np.unique(labels[0])} == {0, 1, 2, 3, 4, 5}
    assert not labels[-1].any()
    with h5py.File(found["h5ad"]) as file:
        assert len(file["obs"]["_index"]) == 5
        assert file["obsp"]["taken_up"]["data"][:].sum() == run.edges["taken_up"].to_numpy().sum() > 0


@pytest.mark.parametrize("room", [0, 4])
def test_a_full_disk_ends_every_format_in_a_sentence(finished, small_disk, room) -> None:
    run = finished("living").folder
    for fmt in FORMATS:
        if "run" in fmt.of and not (room and fmt.name == "physicell"):  # which fits into a block
            (small_disk / "filler").write_bytes(b"x" * 1024 * (64 - room))
            to = small_disk / "new" / f"a{(*fmt.endings, '')[0]}"
            with pytest.raises(RunFailed, match=f"full; nothing was written to {re.escape(str(to))}$"):
                export.export_format(run, to, fmt)
            assert [path.name for path in small_disk.iterdir()] == ["filler"]
