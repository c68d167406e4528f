"""Readouts: written so that no two are alike, whatever the names; misprints are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exoabm.errors import InputError
from exoabm.tables.declarations import METRICS
from exoabm.tables.readouts import KEYS, PAIR, TABLE_OF, Readout, between, named, parse, resolve
from exoabm.tables.schema import columns_of, metrics_tables, side_by_side

HOSTILE = st.text(alphabet='ab_ to,->"[]\\.é', min_size=1, max_size=8)


@st.composite
def readouts(draw):
    quantity = draw(st.sampled_from(sorted(KEYS)))
    keys = draw(st.sampled_from(KEYS[quantity]))
    return Readout(quantity, tuple(draw(HOSTILE) for _ in keys), keys == PAIR)


@given(readouts(), readouts())
def test_no_two_readouts_are_written_alike(one, other):
    assert parse(str(one)) == one
    assert (str(one) == str(other)) == (one == other)
    # Nor as a varied key, which begins with a word and a dot, or as a fixed column of a table of results.
    assert "." not in str(one).partition("[")[0]


def test_each_quantity_is_one_column_of_one_table():
    names = [column.name for table in METRICS for column in table.values]
    assert len(set(names)) == len(names)
    assert set(names) == set(TABLE_OF)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("effectors_h", "effectors_h"),
        (" taken_up[ exosome ] ", "taken_up[exosome]"),
        ("copies_per_cell[T cell,mir-21]", "copies_per_cell[T cell, mir-21]"),
        ("taken_up[a->b]", "taken_up[a -> b]"),
        ('taken_up["a" -> "b, c"]', 'taken_up[a -> "b, c"]'),
    ],
)
def test_a_readout_is_read_however_it_is_spaced(text, written):
    assert str(parse(text)) == written


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("taken_upp[x]", "no quantity 'taken_upp'; did you mean 'taken_up'"),
        ("taken_up", r"write taken_up\[vesicle_kind\] or taken_up\[donor -> recipient\]"),
        ("taken_up[a, b]", "write taken_up"),
        ("taken_up[a -> b -> c]", "write taken_up"),
        ("taken_up[a,]", "write taken_up"),
        ("taken_up[,a]", "write taken_up"),
        ("taken_up[a b", "write taken_up"),
        ("memory[x]", "write memory"),
        ("copies_per_cell[a]", r"write copies_per_cell\[cell_type, cargo\]"),
        ("", "no quantity ''"),
    ],
)
def test_a_readout_that_is_not_one_is_told(text, told):
    with pytest.raises(InputError, match=told):
        parse(text)


def test_a_readout_that_a_scenario_has_not_is_told_with_a_similar_one():
    known = [named("taken_up", "exosome"), between("taken_up", "a", "b")]
    assert resolve("taken_up[a->b]", known) == "taken_up[a -> b]"
    with pytest.raises(InputError, match=r"no such readout; did you mean 'taken_up\[exosome\]'"):
        resolve("taken_up[exosom]", known)
    with pytest.raises(InputError, match=r"'free': write free\[vesicle_kind\]; here free\[exosome\]"):
        resolve("free", [*known, "free[exosome]"])


def test_rows_of_readouts_become_columns_of_their_tables():
    table = TABLE_OF["copies_per_cell"]
    rows = [
        {"time_h": 0.0, named("copies_per_cell", "a", "b_c"): 1.0, named("memory"): 9.0},
        {"time_h": 1.0, named("copies_per_cell", "a_b", "c"): 2.0, named("effect_share", "a", "b_c"): 0.5},
    ]
    assert columns_of(rows, table) == {
        "time_h": [0.0, 1.0, 1.0],
        "cell_type": ["a", "a_b", "a"],
        "cargo": ["b_c", "c", "b_c"],
        "copies_per_cell": [1.0, 2.0, None],
        "holding_cells": [None, None, None],
        "copies_delivered_per_cell": [None, None, None],
        "effect_share": [None, None, 0.5],
    }


def test_series_are_side_by_side_again_as_they_were():
    rows = [
        {"time_h": 0.0, named("copies_per_cell", "a", "b_c"): 1.0, "memory": 9.0, named("cells", "a"): 3},
        {
            "time_h": 1.5,
            named("copies_per_cell", "a_b", "c"): 2.0,
            named("particle_share", "d", "liver"): 0.5,
        },
    ]
    found = side_by_side(metrics_tables(rows))
    assert found.to_pylist() == [{name: row.get(name) for name in found.column_names} for row in rows]
    assert set(found.column_names) == {name for row in rows for name in row}
