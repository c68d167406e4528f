"""Names that users give end up in columns, and no two of these share one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exoabm import ExosomeModel
from exoabm.batch.sweeps import readouts
from exoabm.columns import TABLES, expand
from exoabm.errors import ScenarioError
from exoabm.output.metrics import measure
from exoabm.output.writers import cell_table
from exoabm.scenario.loader import LoadedScenario, parse, shipped
from exoabm.scenario.naming import names_by_role

SCENARIO = """
info = {{ title = "names" }}
domain = {{ size = [60, 60], voxel = "20 um" }}
clock = {{ step = "10 min", duration = "1 h" }}
pharmacokinetics = {{}}
arm = [{{ name = "x" }}, {{ name = "y" }}]
layout = {{ group = [{{ cell_type = "{types[0]}" }}, {{ cell_type = "{types[1]}", count = 2 }}] }}
cargo = [{{ name = "{cargos[0]}" }}, {{ name = "{cargos[1]}" }}]
dose = [
  {{ name = "{doses[0]}", vesicle = "{kinds[0]}", route = "intravenous", particles = 1e6, face = "x_low", reach = 60 }},
  {{ name = "{doses[1]}", vesicle = "{kinds[1]}", route = "intravenous", particles = 2e6, face = "x_low", reach = 60 }},
]
vesicle = [
  {{ name = "{kinds[0]}", cargo = ["{cargos[0]}", "{cargos[1]}"] }},
  {{ name = "{kinds[1]}", cargo = ["{cargos[1]}"], diameter = "50 nm" }},
]
response = [{{ cell_type = "{types[0]}", signal = "cargo.{cargos[0]}", decreases = "release_rate", half_max = 1, to = "1 / h" }}]
[[cell_type]]
name = "{types[0]}"
releases = "{kinds[0]}"
takes_up = ["{kinds[0]}", "{kinds[1]}"]
[[cell_type]]
name = "{types[1]}"
releases = "{kinds[1]}"
takes_up = ["{kinds[0]}"]
death_rate = "0 / h"
[trial]
claim = "Nothing."
readout = [{{ name = "{readout}", metric = "cells[{types[0]}]" }}]
criterion = [{{ readout = "{readout}", arm = "x", versus = "y", direction = "higher", by = 0.1 }}]
"""  # noqa: E501
SAFE = {"types": ("t0", "t1"), "cargos": ("u0", "u1"), "kinds": ("v0", "v1"), "doses": ("w0", "w1")}
SAYS = "would also be that of"
WORDS = "a b c A to free reach cells responding copies_per bound released plasma lost time_s effect".split()


def named(readout: str = "r", **names: tuple[str, str]) -> LoadedScenario:
    text = SCENARIO.format(readout=readout, **(SAFE | names))
    return parse(text.encode(), name="names", folder=Path())


def numbers(loaded: LoadedScenario) -> dict[str, list[float]]:
    """All values of the tables of a short run, sorted; each cargo of each cell has a number of its own."""
    model = ExosomeModel(loaded, seed=1)
    model.step()
    order = [loaded.scenario.cargo.index(c) for c in sorted(loaded.scenario.cargo, key=lambda c: c.name)]
    model.state.cells.cargo[:] = (100.0 + np.arange(6).reshape(3, 2))[:, order]
    cells = cell_table(model.state)
    flat = [cells[n].to_pylist() for n in cells.column_names if n != "cell_type"]
    return {
        "metrics": sorted(measure(model.state).values()),
        "readouts": sorted(map(str, readouts.measure(model).values())),
        "cells": sorted(np.concatenate(flat)),
    }


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("_".join)
pairs = st.lists(words, min_size=2, max_size=2, unique=True).map(tuple)


@pytest.fixture(scope="module")
def expected() -> dict[str, list[float]]:
    return numbers(named())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(types=pairs, cargos=pairs, kinds=pairs, doses=pairs)
def test_whatever_the_names_every_number_has_its_own_column(
    expected: dict, types: tuple, cargos: tuple, kinds: tuple, doses: tuple
) -> None:
    """Another choice of names changes no number and loses none, or it is refused with the column."""
    try:
        loaded = named(types=types, cargos=cargos, kinds=kinds, doses=doses)
    except ScenarioError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert SAYS in said or "stands for what no cell released" in said
        return
    found = numbers(loaded)
    for table, values in expected.items():
        assert len(found[table]) == len(values)
        if table != "readouts":
            np.testing.assert_allclose(found[table], values, rtol=1e-9)


@pytest.mark.parametrize(
    ("names", "column", "entries"),
    [
        ({"kinds": ("time_s", "v")}, "time_s", ("vesicle 'time_s'", "the table itself")),
        ({"kinds": ("EV", "ev")}, "ev", ("'EV'", "'ev'")),
    ],
)
def test_two_entries_of_one_column_are_refused_with_both(names: dict, column: str, entries: tuple) -> None:
    with pytest.raises(ScenarioError, match=SAYS) as error:
        named(**names)
    line = next(line for line in str(error.value).splitlines() if all(entry in line for entry in entries))
    assert column in line or "copies" in line  # two entries that share several columns are told once


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_write_what_is_declared(name: str) -> None:
    """What is checked at load is all that there is; a column that is made elsewhere would be seen here."""
    model = ExosomeModel(name, seed=1)
    names = names_by_role(model.scenario)
    declared = {table: {column for column, _ in expand(t, names)} for table, t in TABLES.items()}
    assert set(cell_table(model.state).column_names) <= declared["cells.parquet"]
