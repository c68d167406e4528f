"""The declared tables: a frozen contract, a dictionary in the docs, and no two columns of one name."""

import json
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from exoabm.errors import InputError
from exoabm.tables.declarations import BALANCE, COUNTED, TABLES, Event
from exoabm.tables.schema import arrow, build, check, schema, texts, words

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_that_were_frozen():
    frozen = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    documented = runpy.run_path(str(ROOT / "docs/generate.py"))["GROUPS"].values()
    assert [plain(table) for tables in documented for table in tables] == frozen
    assert {table.name for tables in documented for table in tables} == TABLES.keys()


def plain(table):
    columns = [[c.name, c.dtype, c.unit, "null" if c.null else "", *c.allowed] for c in table.columns]
    more = {"more": table.more} if table.more else {}
    return {"table": table.name, "key": list(table.key), "columns": columns, **more}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_column_has_one_name_and_a_meaning(table):
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert all(
        column.meaning and "." not in column.name and "[" not in column.name for column in table.columns
    )
    for found, column in zip(schema(table), table.columns, strict=True):
        assert found.nullable == bool(column.null)
        assert found.metadata[b"description"].decode() == column.meaning


def test_all_tables_and_the_balance_have_the_same_words_for_fates():
    events = tuple(event.name.lower() for event in Event)
    assert TABLES["events"].columns[0].allowed == events
    assert set(COUNTED) <= set(events)
    kinds = {column.name for column in TABLES["metrics_by_kind"].columns}
    assert {*BALANCE, "taken_up"} <= kinds
    assert "internalized" not in {c.name for table in TABLES.values() for c in table.columns}


EDGE = {
    "sender": ["cell", "dose"],
    "donor_type": ["a", None],
    "recipient_type": ["b", "b"],
    "vesicle_kind": words(["k", "k"], np.array([1, 0])),
    "encountered": np.array([1.0, 2.0]),
    "taken_up": np.ones(2),
    "delivered": np.zeros(2),
    "distance_um": np.array([np.nan, 3.0]),
}


def test_a_table_is_built_and_checked_by_its_declaration():
    table = TABLES["pairs"]
    found = build(table, EDGE, {"seed": "3"})
    check(table, found, "here")
    assert found["distance_um"].to_pylist() == [None, 3.0]
    assert found["first_time_s"].null_count == 2
    assert found["vesicle_kind"].to_pylist() == ["k", "k"]
    assert found.schema.metadata[b"seed"] == b"3"


def replaced(name, values):
    found = build(TABLES["pairs"], EDGE)
    return found.set_column(found.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (build(TABLES["pairs"], EDGE).drop_columns(["taken_up"]), "no column 'taken_up'"),
        (replaced("taken_up", pa.array([1, 2])), "column 'taken_up' is of type int64, not double"),
        (replaced("taken_up", pa.array([1.0, None])), "column 'taken_up' lacks a value in 1 rows"),
        (replaced("sender", pa.array(["cell", "god"]).dictionary_encode()), "'god', none of cell, dose, res"),
        (build(TABLES["pairs"], EDGE).append_column("x\x1b", pa.array([1, 2])), r"no column 'x\\\\x1b' is"),
        (build(TABLES["pairs"], EDGE).replace_schema_metadata(None), "no version and this exoabm reads"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(found, told):
    with pytest.raises(InputError, match=f"here: .*{told}"):
        check(TABLES["pairs"], found, "here")


def test_a_column_that_is_not_declared_is_not_written():
    with pytest.raises(AssertionError, match="no columns"):
        build(TABLES["pairs"], EDGE | {"more": [1, 2]})
    with pytest.raises(AssertionError, match="is not given"):
        build(TABLES["pairs"], {"sender": ["cell"]})


@pytest.mark.parametrize("dtype", ["int64", "float64", "int32", "int8"])
@pytest.mark.parametrize("rows", [0, 1, 9, 100])
def test_arrays_of_numbers_are_those_of_pyarrow(dtype, rows):
    values = np.arange(3 * rows)[::3].astype(dtype)
    for null in (None, np.zeros(rows, bool), values % 2 == 0):
        found = arrow(values, null)
        found.validate(full=True)
        assert found.equals(pa.array(values, mask=null))
    if rows:
        given = values.copy()
        found = arrow(given)
        given[:] = 7
        assert found.to_pylist() == values.tolist()


def test_arrays_of_texts_are_those_of_pyarrow():
    for values in ([], ["a"], ["", None, "kidney \N{GREEK SMALL LETTER ALPHA}", "a", None], [None]):
        found = texts(values)
        found.validate(full=True)
        assert found.equals(pa.array(values, pa.string()))


def test_columns_from_lists_are_those_of_pyarrow():
    """Numbers that are missing, whole numbers for real ones, and words in the order in which they come."""
    table = TABLES["metrics_by_type"]
    whole = next(c.name for c in table.values if c.dtype == "int64" and c.null)
    real = next(c.name for c in table.values if c.dtype == "float64" and c.null)
    given = {"time_h": [0, 1.5, np.float64(2)], "cell_type": ["b", "a", "b"], whole: [3, None, 5]}
    found = build(table, given | {real: [None, 0.25, 1]})
    assert found["time_h"].to_pylist() == [0.0, 1.5, 2.0]
    assert found["cell_type"].chunk(0).dictionary.to_pylist() == ["b", "a"]
    assert found[whole].to_pylist() == [3, None, 5]
    assert found[real].to_pylist() == [None, 0.25, 1.0]
