"""Names that users may give, in every table: each number is found under its own name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zarr

from exoabm import ExosomeModel, open_run
from exoabm.analysis.communication import cargo_table
from exoabm.output.cell_tables import cell_columns
from exoabm.output.concentration_fields import FieldWriter
from exoabm.output.metrics import measure
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import parse
from exoabm.tables.readouts import named
from exoabm.tables.schema import metrics_tables, side_by_side

SCENARIO = """
info = {{ title = "names" }}
domain = {{ size = [60, 60], voxel = "20 um" }}
clock = {{ step = "10 min", duration = "1 h" }}
pharmacokinetics = {{}}
layout = {{ group = [{{ cell_type = "{t0}" }}, {{ cell_type = "{t1}", count = 2 }}] }}
cargo = [{{ name = "{c0}" }}, {{ name = "{c1}" }}]
dose = [
  {{ name = "{d0}", vesicle = "{k0}", route = "intravenous", particles = 1e6, face = "x_low", reach = 60 }},
  {{ name = "{d1}", vesicle = "{k1}", route = "intravenous", particles = 2e6, face = "x_low", reach = 60 }},
]
vesicle = [
  {{ name = "{k0}", cargo = ["{c0}", "{c1}"] }},
  {{ name = "{k1}", cargo = ["{c1}"], diameter = "50 nm" }},
]
response = [
  {{ cell_type = "{t0}", signal = "cargo.{c0}", decreases = "release_rate", half_max = 1, to = "1 / h" }},
]
[[cell_type]]
name = "{t0}"
releases = "{k0}"
takes_up = ["{k0}", "{k1}"]
[[cell_type]]
name = "{t1}"
releases = "{k1}"
takes_up = ["{k0}"]
death_rate = "0 / h"
"""
PLAIN = {"t0": "t0", "t1": "t1", "c0": "u0", "c1": "u1", "k0": "v0", "k1": "v1", "d0": "w0", "d1": "w1"}
LEGAL = {
    "joined": {
        "t0": "a",
        "t1": "a_b",
        "c0": "b_c",
        "c1": "c",
        "k0": "a_to_b",
        "k1": "a",
        "d0": "x",
        "d1": "x_free",
    },
    "columns": {"t0": "cells", "t1": "cell", "c0": "cargo", "c1": "copies", "k0": "time_s", "k1": "x"}
    | {"d0": "lost", "d1": "free_lost"},
    "case": {"t0": "EV", "t1": "ev", "c0": "Ev", "c1": "eV", "k0": "EV", "k1": "ev", "d0": "EV", "d1": "ev"},
}
"""Names that a scenario may have."""
WILD = {
    "t0": "T cell",
    "t1": "T  cell -> B, [x]",
    "c0": 'a"b\\',
    "c1": "µ" * 200,
    "k0": "a, b",
    "k1": "a] -> [b",
}
"""Names that files of other programs may have."""


def model_of(names: dict[str, str]) -> ExosomeModel:
    model = ExosomeModel(parse(SCENARIO.format(**(PLAIN | names)).encode(), name="n", folder=Path()), seed=1)
    model.step()
    order = np.argsort([list((PLAIN | names).values()).index(c.name) for c in model.state.cargos])
    model.state.cells.cargo[:, order] = 100.0 + np.arange(6).reshape(3, 2)
    return model


def renamed(names: dict[str, str]) -> ExosomeModel:
    """A model whose state has these names, which no scenario may have."""
    model = model_of({})
    new = {PLAIN[key]: name for key, name in names.items()}
    state = model.state
    state.types = tuple(replace(t, name=new.get(t.name, t.name)) for t in state.types)
    names_of = {key: tuple(new.get(n, n) for n in getattr(state.labels, key)) for key in ("names", "types")}
    state.labels = replace(state.labels, **names_of)
    state.cargos = tuple(replace(c, name=new.get(c.name, c.name)) for c in state.cargos)
    state.kinds = tuple(
        replace(
            k,
            name=new.get(k.name, k.name),
            cargo=tuple(replace(c, name=new.get(c.name, c.name)) for c in k.cargo),
        )
        for k in state.kinds
    )
    return model


@pytest.fixture(scope="module")
def plain() -> ExosomeModel:
    return model_of({})


def check(plain: ExosomeModel, model: ExosomeModel, names: dict[str, str], tmp_path: Path) -> None:
    """Every number of the plain model stands in the other one under the names that replace the plain ones."""
    new = {PLAIN[key]: name for key, name in names.items()}

    def there(words: list[str | None]) -> list[str | None]:
        return [new.get(word, word) if word is not None else None for word in words]

    rows = [measure(each.state) for each in (plain, model)]
    before, after = (metrics_tables([row]) for row in rows)
    for name, table in before.items():
        for column in table.column_names:
            values = table[column].to_pylist()
            expected = there(values) if pa.types.is_dictionary(table[column].type) else values
            assert after[name][column].to_pylist() == expected, (name, column)
    wide = side_by_side(after).to_pylist()[0]
    for row in before["metrics_by_cargo"].to_pylist():
        written = named("copies_per_cell", *there([row["cell_type"], row["cargo"]]))
        assert wide[written] == row["copies_per_cell"]
    for name, columns in cell_columns(plain.state).items():
        found = cell_columns(model.state)[name]
        for column, values in columns.items():
            if isinstance(values, np.ndarray):
                np.testing.assert_array_equal(found[column], values)
            elif column != "behavior":
                assert found[column].to_pylist() == there(values.to_pylist()), (name, column)
    for each in (lambda m: m.edges, lambda m: cargo_table(m.state)):
        one, other = each(plain).to_pylist(), each(model).to_pylist()
        text = [{k: new.get(v, v) if isinstance(v, str) else v for k, v in row.items()} for row in one]
        assert sorted(map(repr, other)) == sorted(map(repr, text))
        assert one
    writer = FieldWriter(tmp_path / "fields.zarr", 60.0)
    writer.record(model.state)
    writer.close()
    fields = zarr.open_group(tmp_path / "fields.zarr", mode="r")
    assert fields["vesicle_kind"][:].tolist() == there(["v0", "v1"])
    assert fields["concentration"][0, 0].any()
    assert fields["concentration"][0, 1].any()


@pytest.mark.parametrize("names", LEGAL.values(), ids=LEGAL)
def test_names_of_a_scenario_never_meet(plain: ExosomeModel, names: dict[str, str], tmp_path: Path) -> None:
    check(plain, model_of(names), names, tmp_path)


def test_names_with_spaces_marks_and_two_hundred_letters(plain: ExosomeModel, tmp_path: Path) -> None:
    check(plain, renamed(WILD), WILD, tmp_path)


def test_a_number_in_the_wrong_place_is_seen(plain: ExosomeModel, tmp_path: Path) -> None:
    model = model_of(LEGAL["joined"])
    model.state.cells.cargo[:] = model.state.cells.cargo[:, ::-1].copy()
    with pytest.raises(AssertionError):
        check(plain, model, LEGAL["joined"], tmp_path)


def test_a_run_folder_of_hostile_names_is_read_again(tmp_path: Path) -> None:
    names = PLAIN | LEGAL["joined"]
    loaded = parse(SCENARIO.format(**names).encode(), name="n", folder=tmp_path)
    run_to_folder(loaded, tmp_path / "run", seed=1, hours=0.5)
    run = open_run(tmp_path / "run")
    assert {named("copies_per_cell", "a", "b_c"), named("copies_per_cell", "a_b", "c")} <= set(
        run.metrics.column_names
    )
    assert pc.unique(run.cells_by_cargo["cargo"]).to_pylist() == ["b_c", "c"]
    last = run.metrics.to_pylist()[-1]
    held = run.cells_by_cargo.filter(
        pc.equal(run.cells_by_cargo["time_s"], pc.max(run.cells_by_cargo["time_s"]))
    )
    of_type = dict(
        zip(
            run.cells_at(1800.0)["cell"].to_pylist(),
            run.cells_at(1800.0)["cell_type"].to_pylist(),
            strict=True,
        )
    )
    for cell_type in ("a", "a_b"):
        for cargo in ("b_c", "c"):
            mine = [
                r["copies"]
                for r in held.to_pylist()
                if r["cargo"] == cargo and of_type[r["cell"]] == cell_type
            ]
            assert np.mean(mine) == pytest.approx(last[named("copies_per_cell", cell_type, cargo)], rel=1e-12)
