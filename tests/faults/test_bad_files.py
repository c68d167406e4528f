"""Files that are no scenarios, no tables, or not allowed to be read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from exoabm.errors import InputError
from exoabm.scenario.loader import LoadedScenario, load, parse, shipped
from exoabm.scenario.state_builder import blueprint

TISSUE = shipped()["tissue"].read_bytes()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


JUNK = {
    "null-bytes": (b"\0" * 100, "not valid TOML"),
    "utf-16": ('schema_version = 1\n[info]\ntitle = "é"'.encode("utf-16"), "UTF-8"),
    "empty": (b"", "info: this key is required"),
    "half": (TISSUE[: len(TISSUE) // 2] + b"[", "not valid TOML"),
    "json": (b'{"schema_version": 1}', "not valid TOML"),
    "key-twice": (b"a = 1\na = 2", "not valid TOML"),
    "keys-500-deep": (b".".join([b"a"] * 500) + b" = 1", "unknown key"),
    "heading-500-deep": (b"[" + b".".join([b"info"] * 500) + b"]\nx = 1", "info"),
    "integer-of-5000-digits": (b"schema_version = " + b"1" * 5000, "mine.toml"),
}
DEEP_OR_LARGE = {
    "binary": (bytes(range(256)) * 8, "UTF-8"),
    "two-mebibytes": (b"#" * 2**21, "at most 1048576 bytes"),
    "arrays-500-deep": (b"a = " + b"[" * 500 + b"]" * 500, "mine.toml"),
    "tables-500-deep": (b"a = " + b"{a = " * 500 + b"1" + b"}" * 500, "mine.toml"),
}


@pytest.mark.parametrize(("data", "fragment"), JUNK.values(), ids=JUNK)
def test_junk_is_refused(command, tmp_path, data, fragment) -> None:
    path = put(tmp_path / "mine.toml", data)
    command("run", path, "--out", "a").refused(2, "mine.toml", fragment)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


def test_what_is_neither_a_scenario_nor_a_table(command, tmp_path) -> None:
    put(tmp_path / "cells.geojson", b'{"type": "FeatureCollection"}')
    command("validate", "cells.geojson").refused(2, "is GeoJSON", "as a table instead")
    put(tmp_path / "cells.yaml", b"cells: {A: 1}")
    command("validate", "cells.yaml").refused(2, "not valid TOML", "tables of cells end in .csv")
    command("validate", "cells.csv").refused(2, "no table of cells at cells.csv")


def test_a_group_without_points_is_named(command) -> None:
    given = ("--set", "layout.group.1.points=[]")
    command("validate", "two_cells", *given).refused(2, "layout.group.recipient: points lists no center")


@pytest.mark.parametrize(("data", "fragment"), DEEP_OR_LARGE.values(), ids=DEEP_OR_LARGE)
def test_a_deep_or_large_file_is_refused(exoabm, tmp_path, data, fragment) -> None:
    path = put(tmp_path / "mine.toml", data)
    exoabm("run", path, "--seed", 1, "--out", "a").refused(2, "mine.toml", fragment)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("opening", [b"[domain]\nsize = %s%s", b"[info]\ntitle = %s%s"])
def test_arrays_of_every_depth_are_refused(opening) -> None:
    for depth in range(100, 1000, 15):
        with pytest.raises(InputError, match="test"):
            parse(opening % (b"[" * depth, b"]" * depth), name="test", folder=Path())


def test_a_folder_is_no_scenario(command, tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("sub/", "sub"):
        command("run", name).refused(2, f"{name!r} is a folder without a run")
    (tmp_path / "a.unfinished").mkdir()
    for words in (
        ("run", "a"),
        ("show", "a.unfinished"),
        ("export", "a", "--to", "b"),
        ("compare", "a", "a"),
    ):
        command(*words).refused(2, "a.unfinished is an unfinished run: `exoabm resume a` resumes it")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".toml", "a/" + "x" * 300], ids=len)
def test_a_name_longer_than_a_file_may_have_is_refused(command, name) -> None:
    command("run", name).refused(2, "xxx")


# Tables of cells.

TABLES = {
    "missing": (None, ("cells.csv", "no such file")),
    "column": (b"x_um,y_um,kind\n1,2,CK+\n", ("cells.csv", "cell_type")),
    "no-x": (b"y_um,cell_type\n2,CK+\n", ("cells.csv", "no column is named like x", "'y_um'")),
    "empty": (b"", ("cells.csv", "is empty")),
    "no-rows": (b"x_um,y_um,cell_type\n", ("cells.csv", "no rows")),
    "nan": (b"x_um,y_um,cell_type\n1,nan,CK+\n", ("row 1", "'y_um'", "nan")),
    "binary": (bytes(range(256)), ("cells.csv",)),
    "unmapped": (
        b"x_um,y_um,cell_type\n1,2,CK+\n3,40,Odd\n50,6,Odd\n90,9,Rare\n",
        ("'Odd': 2 cells", "'Rare': 1 cells", "type_map", 'unmapped = "bystander"'),
    ),
}


@pytest.mark.parametrize(("data", "fragments"), TABLES.values(), ids=TABLES)
def test_a_bad_table_is_refused(command, tmp_path, data, fragments) -> None:
    if data is not None:
        put(tmp_path / "cells.csv", data)
    before = list(tmp_path.iterdir())
    command("run", "tissue", "--set", "layout.table=cells.csv", "--out", "a").refused(2, *fragments)
    assert list(tmp_path.iterdir()) == before


def test_a_table_without_the_named_column_says_which_it_has(exoabm, tmp_path) -> None:
    put(tmp_path / "cells.csv", b"x_um,y_um,phenotype\n1,2,CK+\n")
    pairs = ("--set", "layout.table=cells.csv", "--set", "layout.cell_type=phenotyp")
    exoabm("run", "tissue", "--out", "a", *pairs).refused(
        2, "cells.csv", "'phenotyp'", "did you mean 'phenotype'?"
    )


def test_a_table_in_three_dimensions_does_not_fit_a_slab(command, tmp_path) -> None:
    put(tmp_path / "cells.csv", b"x_um,y_um,z_um,cell_type\n1,2,0,CK+\n3,40,9,CK+\n")
    pairs = ("--set", "layout.table=cells.csv", "--set", "domain.size=[100, 100]")
    command("validate", "tissue", *pairs).refused(2, "three dimensions", "third length")


def test_a_null_byte_in_a_path_is_refused(command, tmp_path) -> None:
    path = put(tmp_path / "mine.toml", TISSUE.replace(b'"tissue_cells.csv"', rb'"a\u0000b.csv"'))
    command("validate", path).refused(2, "mine.toml")


# What a scenario from an upload or a URL may not do.


def untrusted(folder: Path, table: str, **overrides: str) -> LoadedScenario:
    data = TISSUE.replace(b'"tissue_cells.csv"', f"'{table}'".encode())
    return parse(data, name="upload", folder=folder, overrides=overrides, trusted=False)


@pytest.fixture
def upload(tmp_path) -> Path:
    """A folder with a good table in it, and a secret beside it."""
    folder = tmp_path / "upload"
    folder.mkdir()
    for path in (folder / "cells.csv", tmp_path / "secret.csv"):
        put(path, b"x_um,y_um,cell_type\n1,2,CK+\n30,40,CK+\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "sub").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize(
    "table",
    [
        "../secret.csv",
        "./../upload/../secret.csv",
        "cells.csv/../../secret.csv",
        "{above}/secret.csv",
        "{above}/upload/cells.csv",
        "link.csv",
        "sub/secret.csv",
        "/etc/passwd",
    ],
)
def test_an_upload_reads_nothing_outside_its_folder(upload, tmp_path, table) -> None:
    loaded = untrusted(upload, table.format(above=tmp_path))
    for act in (loaded.table_path, loaded.table_sha256, lambda: blueprint(loaded, 0)):
        with pytest.raises(InputError, match=r"layout\.table = .* is outside") as error:
            act()
        assert "CK+" not in str(error.value)


def test_an_upload_reads_a_table_beside_it(upload) -> None:
    assert len(blueprint(untrusted(upload, "cells.csv"), 0).position) == 2
    assert len(blueprint(untrusted(upload, "../upload/cells.csv"), 0).position) == 2


def test_an_override_of_an_upload_climbs_no_higher(upload) -> None:
    loaded = untrusted(upload, "cells.csv", **{"layout.table": "../secret.csv"})
    with pytest.raises(InputError, match="is outside"):
        blueprint(loaded, 0)


@pytest.mark.parametrize("name", ["../two_cells", "/etc/passwd", "two_cells.toml", "", ".", "mine.toml"])
def test_an_untrusted_name_is_a_shipped_one_or_nothing(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "mine.toml", shipped()["two_cells"].read_bytes())
    with pytest.raises(InputError, match="unknown scenario"):
        load(name, trusted=False)
    assert load("two_cells", trusted=False).name == "two_cells"


def test_the_command_line_may_name_any_path(command, upload) -> None:
    done = command("validate", "tissue", "--set", "layout.table=upload/../secret.csv")
    assert done.code == 0
    assert "2 tumor" in done.out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_table_and_nobody_waits_for_it(command, tmp_path) -> None:
    os.mkfifo(tmp_path / "cells.csv")
    command("validate", "tissue", "--set", "layout.table=cells.csv").refused(2, "no such file")


def test_the_shipped_text_is_what_the_tests_edit() -> None:
    assert tomllib.loads(TISSUE.decode())["layout"]["table"] == "tissue_cells.csv"
