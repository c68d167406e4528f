"""Cells from tables: the real files as their notes say, and junk refused in one clear line."""

import hashlib
import io
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exoabm.errors import InputError
from exoabm.readers.cell_table import GRID, read_cells
from exoabm.readers.options import AmbiguousTable, TableOptions

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


PLAIN = "x_um,y_um,cell_type\n1.5,-2,CD8+\n3,4e1,Tumor/EGFR\n+.5,6.,M2 Macrophages\n"


TYPES = ["CD8+", "Tumor/EGFR", "M2 Macrophages"]


fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def table(tmp_path):
    """Write text or bytes to a file and read it as a table."""

    def read(content, name="cells.csv", **kwargs):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        limits = {key: kwargs.pop(key) for key in ("max_bytes", "max_cells") if key in kwargs}
        return read_cells(tmp_path / name, TableOptions(**kwargs), **limits)

    return read


@pytest.fixture
def refused(table):
    """Return the message with which a table is refused; one line that names the file."""

    def read(content, **kwargs):
        with pytest.raises(InputError) as error:
            table(content, **kwargs)
        message = str(error.value)
        assert message.startswith("cells.csv: ")
        assert not isinstance(error.value, AmbiguousTable) or "--set" in message
        assert isinstance(error.value, AmbiguousTable) or "\n" not in message
        assert len(message) < 2500
        return message

    return read


def parquet(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


# Real files

VECTRA = {"other": 2942, "CK+": 2257, "CD68+": 417, "CD8+": 228, "FoxP3+": 228}


RULES = {"malignant epithelial cell": 1000, "M0 macrophage": 150, "effector T cell": 150}


IMMUNE = {"tumor cell": 20, "fast T cell": 5, "macrophage": 2, "slow T cell": 1}


LINES = dict.fromkeys("012345", 81)


REAL = [  # file, format, dim, cells, number of types, some counts, low, high
    ("tissue/carcinoma_vectra_6plex.csv", "csv", 2, 6072, 5, VECTRA, (8, 6.5), (926, 692.5)),
    (
        "tissue/tnbc_mibi_p40_compartmentalised.csv", "csv", 2, 4292, 17,
        {"Epithelial": 1401, "Tumor/Keratin": 20, "MF/Glia": 2}, (11.8, 11.9), (787.6, 787.8),
    ),
    (
        "tissue/tnbc_mibi_p29_mixed.csv", "csv", 2, 4851, 16,
        {"Epithelial": 2179, "CD8T": 843, "Tumor/EGFR": 1}, (11.9, 11.9), (787.8, 787.9),
    ),
    (
        "tissue/cd30_tumour_cycif.csv", "csv", 2, 3029, 25,
        {"Tumor CD45- CD30+": 1169, "ASMA+ cells": 329}, (69.5, 98.5), (712.4, 720.5),
    ),
    (
        "tissue/mouse_preoptic_merfish_3d.csv", "csv", 3, 4390, 15,
        {"Inhibitory": 1402, "OD Mature 4": 3}, (-199.9, -200, -290), (199.9, 200, 260),
    ),
    (
        "physicell/v2_rules_sample_cells.csv", "physicell-v2", 2, 1300, 3, RULES,
        (-349.3, -344.4), (343.4, 342.6),
    ),
    (
        "physicell/v2_immune_function_cells.csv", "physicell-v2", 2, 28, 4, IMMUNE,
        (-115, -115), (115, 115),
    ),
    (
        "physicell/v2_cancer_invasion_cells.csv", "physicell-v2", 2, 123, 1, {"epithelial": 123},
        (-91.6, -85.4), (93.5, 89.4),
    ),
    (
        "physicell/v1_physiboss_cell_lines_cells.csv", "physicell-v1", 2, 486, 6, LINES,
        (-90, -90), (190, 90),
    ),
    (
        "physicell/v1_mechano_cells.csv", "physicell-v1", 2, 548, 2, {"0": 284, "1": 264},
        (-550, -375), (552.1, -33.6),
    ),
    (
        "physicell/v1_interactions_cells.csv", "physicell-v1", 2, 11, 1, {"0": 11},
        (0, -6), (120, 6),
    ),
]  # fmt: skip


def real(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared data file {name} is not beside this checkout")
    return path


@pytest.mark.parametrize(
    ("name", "form", "dim", "cells", "kinds", "counts", "low", "high"),
    REAL,
    ids=[row[0] for row in REAL],
)
def test_real_file(name, form, dim, cells, kinds, counts, low, high):
    cell = read_cells(real(name))
    assert (cell.format, cell.dim, cell.name) == (form, dim, Path(name).name)
    assert cell.sha256 == hashlib.sha256((SHARED / name).read_bytes()).hexdigest()
    assert cell.positions.shape == (cells, 3)
    seen = Counter(cell.types.tolist())
    assert len(seen) == kinds
    assert counts.items() <= seen.items()
    assert sum(counts.values()) <= cells
    np.testing.assert_allclose(cell.positions.min(axis=0)[: len(low)], low, atol=0.06)
    np.testing.assert_allclose(cell.positions.max(axis=0)[: len(high)], high, atol=0.06)
    if dim == 2:
        assert (cell.positions[:, 2] == 0.0).all()
    for array in (cell.positions, cell.rows):
        assert not array.flags.writeable


# What a table may look like


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        PLAIN + "\n\n",
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("x_um", '"x_um"').replace("CD8+", '"CD8+"'),
        PLAIN.replace(",", " , "),
        PLAIN.replace("x_um,y_um,cell_type", "X (um),Y (µm),Cell Type"),
        PLAIN.replace("x_um", "x").replace("y_um", "y").replace("cell_type", "Type"),
    ],
)
def test_dialects_of_csv(table, content):
    cell = table(content)
    assert cell.format == "csv"
    assert cell.types.tolist() == TYPES
    assert cell.positions.tolist() == [[1.5, -2, 0], [3, 40, 0], [0.5, 6, 0]]


def test_quoted_comma_belongs_to_the_name(table):
    assert table('x,y,type\n1,2,"T cell, CD8+"\n').types.tolist() == ["T cell, CD8+"]


@pytest.mark.parametrize(
    ("header", "unit", "um"),
    [
        ("x,y,type", None, 1.0),
        ("x,y,type", "nm", 1e-3),
        ("x,y,type", " 0.5 um", 0.5),
        ("x,y,type", "0.5um/px", 0.5),
        ("x_px,y_px,type", "0.5 µm per pixel", 0.5),
        ("x_nm,y_nm,type", None, 1e-3),
        ("x_mm,y_mm,type", None, 1e3),
        ("x_mm,y_mm,type", "mm", 1e3),
    ],
)
def test_units(table, header, unit, um):
    cell = table(f"{header}\n100,-40,a\n", unit=unit)
    np.testing.assert_allclose(cell.positions, [[100 * um, -40 * um, 0]], atol=GRID)


def test_units_may_differ_between_columns(table):
    assert table("x_mm,y_nm,z,type\n1,1,1,a\n").positions[0] == pytest.approx([1000, 0.001, 1], abs=GRID)


def test_columns_by_name(table):
    text = "x,x_um,b,depth,label,type\n9,1,2,3,A,B\n9,4,5,6,C,D\n"
    cell = table(text, x="x_um", y="b", z="depth", cell_type="label", unit="um")
    assert cell.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cell.types.tolist() == ["A", "C"]
    assert cell.dim == 3


@pytest.mark.parametrize(("z", "dim"), [((5, 5), 2), ((5, 6), 3)])
def test_dim(table, z, dim):
    assert table(f"x,y,z_um,cell_type\n0,0,{z[0]},a\n1,1,{z[1]},a\n").dim == dim


def test_permuted_rows_give_permuted_cells(table):
    header, *rows = PLAIN.splitlines()
    a = table(PLAIN)
    order = [2, 0, 1]
    b = table("\n".join([header, *(rows[i] for i in order)]))
    np.testing.assert_array_equal(b.positions, a.positions[order])
    np.testing.assert_array_equal(b.types, a.types[order])
    assert a.sha256 != b.sha256


@pytest.mark.parametrize(
    "labels",
    [pa.array(TYPES), pa.array(TYPES).dictionary_encode(), pa.array(TYPES, pa.large_string())],
)
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int16(), pa.string()])
def test_parquet(table, labels, kind):
    numbers = pa.array([1, -2, 3]).cast(kind)
    cell = table(parquet(x_um=numbers, y=numbers, phenotype=labels, more=labels), "any.name")
    assert cell.format == "parquet"
    assert cell.positions.tolist() == [[1, 1, 0], [-2, -2, 0], [3, 3, 0]]
    assert cell.types.tolist() == TYPES


def test_parquet_numbers_as_types(table):
    x = [0.0, 1.0]
    assert table(parquet(x=x, y=x, type=[10_000_001, 2])).types.tolist() == ["10000001", "2"]


def test_reading_does_not_load_pandas(table, tmp_path):
    table(PLAIN, "a.csv")
    table(parquet(x=[1.0], y=[2], type=["a"]), "a.parquet")
    code = (
        "import sys; from exoabm.readers.cell_table import read_cells as read_table; "
        "[read_table(path) for path in sys.argv[1:]]; sys.exit('pandas' in sys.modules)"
    )
    files = [str(tmp_path / "a.csv"), str(tmp_path / "a.parquet")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, None], "y": [1.0, 2.0], "type": ["a", "b"]}, "row 2, column 'x' is blank"),
        ({"x": [1.0, math.inf], "y": [1.0, 2.0], "type": ["a", "b"]}, "row 2, column 'x' is 'inf'"),
        ({"x": [True], "y": [1.0], "type": ["a"]}, "column 'x' holds bool"),
        ({"x": [[1.0]], "y": [1.0], "type": ["a"]}, "column 'x' holds list"),
        ({"x": [1.0], "y": [1.0], "type": ["a" * 801]}, "'type' has a text of more than 200"),
        ({"x": ["1" + "0" * 64], "y": [1.0], "type": ["a"]}, "a number of at most 64"),
        ({"x": [1.0], "y": [1.0]}, "no column is known to hold the types"),
        ({"x": pa.array([], pa.float64())}, "no rows"),
    ],
)
def test_parquet_refused(refused, columns, message):
    assert message in refused(parquet(**columns))


# PhysiCell


def test_physicell_v2_rules(table):
    text = (
        "X,y,z,type,speed,volume,custom:GFP\n"
        '0,0,0,T cell "a"\n1,2,0,b,3,523.5987755982989,0\n1,2,0,b,3,skip\n1,2,0,b,3,\n'
    )
    cell = table(text)
    assert cell.format == "physicell-v2"
    assert cell.types.tolist() == ['T cell "a"', "b", "b", "b"]


def test_physicell_v1_rules(table):
    cell = table("0,0,0,0 \n1,2,3, 1.9\n-1e1,2,3,2.000000000000000000e+00")
    assert cell.format == "physicell-v1"
    assert cell.types.tolist() == ["0", "1", "2"]
    assert cell.dim == 3


def test_header_like_physicell_is_csv_if_other_columns_are_named(table):
    text = "x,y,z,type,kind\n1,2,0,a,b\n"
    assert table(text, cell_type="kind").types.tolist() == ["b"]
    assert table(text, cell_type="type").format == "physicell-v2"
    assert table('x,y,z,type\n1,2,0,"a, b"\n', format="csv").types.tolist() == ["a, b"]


@pytest.mark.parametrize(
    ("content", "kwargs", "message"),
    [
        ("0,0,0,0\n1,2,3\n", {}, "row 2 has 3 values, where physicell-v1 takes 4"),
        ("0,0,0,0\n1,2,3,4,5\n", {}, "row 2 has 5 values"),
        ("0,0,0,0\n1,2,3,a\n", {}, "row 2, column 'type' is 'a', not a number"),
        ("0,0,0,0\n1,2,3,1e999\n", {}, "row 2, column 'type' is '1e999', not a finite number"),
        ("x,y,z,type\n0,0,0\n", {}, "row 1 has 3 values"),
        ("x,y,z,type,volume\n0,0,0,a,1,2\n", {}, "row 1 has 6 values"),
        ("x,y,z,type\n", {}, "no rows"),
        (PLAIN, {"format": "physicell-v2"}, "header x,y,z,type"),
        (PLAIN, {"format": "physicell-v1"}, "row 1 has 3 values"),
        ("0,0,0,0\n", {"format": "physicell-v1", "x": "x"}, "by position"),
    ],
)
def test_physicell_refused(refused, content, kwargs, message):
    assert message in refused(content, **kwargs)


# What is refused, and how


@pytest.mark.parametrize(
    ("content", "kwargs", "message"),
    [
        ("", {}, "is empty"),
        (" \n\r\n", {}, "is empty"),
        ("x,y,type\n", {}, "no rows"),
        ("1,2,a\n3,4,b\n", {}, "no column is named like x"),
        ("1,2,3\n3,4,5\n", {}, "the first line is numbers"),
        ("x,y\n1,2\n", {}, "no column is known to hold the types of cells; name one"),
        ("x,y,type\n1,2,a\n1,nan,a\n", {}, "row 2, column 'y' is 'nan', not a number"),
        ("x,y,type\n1,inf,a\n", {}, "row 1, column 'y' is 'inf', not a number"),
        ("x,y,type\n1,1e999,a\n", {}, "not a finite number"),
        ("x_mm,y,type\n1e307,1,a\n", {}, "not a finite number"),
        ("x,y,type\n1,0x10,a\n", {}, "row 1, column 'y' is '0x10'"),
        ("x,y,type\n1,1_0,a\n", {}, "row 1, column 'y' is '1_0'"),
        ("x,y,type\n1,,a\n", {}, "row 1, column 'y' is blank"),
        ("x,y,type\n1,2,a\n\n1,b,c\n", {}, "row 2, column 'y' is 'b'"),
        ("x,y,type\n1,2,a\n1,2\n", {}, "row 2 has 2 values where the header has 3"),
        (
            "x,y,type\n1,2,a,b\n",
            {},
            "row 1, column 'y' is 'a', not a number; rows have one value more than the header",
        ),
        ("x,y,type\n1.5,2,a,b\n", {}, "row 1 has 4 values where the header has 3"),
        ('x,y,type\n1,2,"a\n3,4,b\n', {}, "is a closing quote missing"),
        ("x,y,type,x\n1,2,a,3\n", {}, "names 'x' more than once"),
        ("x,x_um,y,type\n1,2,3,a\n", {}, "x could be 'x', 'x_um'"),
        ("x,y,type\n1,2,a\n", {"x": "y"}, "column 'y' cannot be two"),
        ("x,y,type\n1,2,a\n", {"x": "xx"}, "no column 'xx' for x; did you mean 'x'?"),
        ("x,y,type\n1,2,a\n", {"z": "depth"}, "no column 'depth' for z (the columns are 'x', 'y'"),
        ("x;y;type\n1,5;2;a\n", {}, "some coordinates have a decimal comma ('1,5') and some have none ('2')"),
        ("x y type\n1 2 a\n", {}, "separated by spaces"),
        ("x_px,y_px,type\n1,2,a\n", {}, "layout.unit=0.5 um"),
        ("x_px,y_px,type\n1,2,a\n", {"unit": "um"}, 'unit = "0.5 um"'),
        (PLAIN, {"unit": "pixel"}, 'unit = "0.5 um"'),
        (PLAIN, {"unit": "parsec"}, "um, nm or mm"),
        (PLAIN, {"unit": "0 um"}, "um, nm or mm"),
        (PLAIN, {"unit": "nm"}, "column 'x_um' is in um, in contradiction to unit = 'nm'"),
        (PLAIN, {"format": "excel"}, "one of auto, csv, parquet"),
        (PLAIN, {"format": "parquet"}, "cannot be read as Parquet"),
        (PLAIN, {"max_bytes": 20}, "larger than"),
        (PLAIN, {"max_cells": 2}, "3 cells, more than the 2 allowed"),
        (PLAIN + "\n" * 9 + "1,2,a", {"max_cells": 4}, "more lines"),
        ("x,y,type\n1,2," + "a" * 500, {}, "a name of at most 200 characters"),
        (b"x,y,type\n1,2,Mu\x81\xf1oz\n", {}, "line 2 is neither UTF-8 nor Windows-1252"),
        ("x,y,type\n1,2,a\n".encode("utf-16"), {}, "UTF-16"),
        ("\ufeff<?xml version='1.0'?>\n<MultiCellDS/>".encode(), {}, "is not a text table: XML"),
        (b'{\n  "type": "FeatureCollection", "features": []}', {}, "is not a text table: JSON"),
        (b"x,y,type\n1,2,\0\n", {}, "binary"),
        (b"PK\x03\x04junk", {}, "spreadsheet"),
        (b"\x1f\x8bjunk", {}, "gzip"),
        (b"\x89HDF\r\n\x1a\n", {}, "HDF5"),
        (b"PAR1junk", {}, "cannot be read as Parquet"),
    ],
)
def test_refused(refused, content, kwargs, message):
    assert message in refused(content, **kwargs)


def test_paths_that_are_no_file(tmp_path):
    (tmp_path / "tissue.csv").write_text(PLAIN)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"no such file; did you mean 'tissue\.csv'\?"):
        read_cells(tmp_path / "tisue.csv")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero", "a\0b", tmp_path / ("n" * 5000)):
        with pytest.raises(InputError):
            read_cells(path)


@fuzz
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_junk_is_refused_or_read_whole(table, content):
    try:
        data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        cell = table(data)
    except InputError:
        return
    assert np.isfinite(cell.positions).all()


@fuzz
@given(
    lines=st.lists(st.text(alphabet='0123456789.,e+-"ax \t\r\n;', max_size=24), min_size=1, max_size=6),
    header=st.sampled_from(["x,y,z,type", "x,y,type", "x_um,y_um,cell_type,area_um2", "0,0,0,1"]),
)
@example(lines=['1,2,"a', '3,4,b"'], header="x,y,type")
@example(lines=["1,2,,"], header="x,y,z,type")
def test_near_tables_are_refused_or_read_whole(table, lines, header):
    try:
        cell = table("\n".join([header, *lines]))
    except InputError:
        return
    assert np.isfinite(cell.positions).all()
    text = "\n".join(lines).replace("\r\n", "\n").replace("\r", "\n")
    rows = sum(1 for line in text.split("\n") if line.strip())
    assert len(cell.types) == rows + (cell.format == "physicell-v1"), "no row may vanish"
    assert all(label.strip() for label in cell.types)


@fuzz
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_parquet_is_refused_or_read(table, at, value, cut):
    x = np.arange(50.0)
    data = bytearray(parquet(x=x, y=x, type=["a"] * 50))
    at %= len(data)
    data[at] = value
    try:
        cell = table(bytes(data[:at] if cut else data))
    except InputError:
        return
    assert len(cell.types) == len(cell.positions)
