"""Values changed between steps: what they do, the same bits when resumed or repeated, and what is refused."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest

import exoabm as xo
from exoabm.errors import InputError
from exoabm.tables.declarations import RUN_TABLES

RATE, DEATH = "cell_type.donor.release_rate", "cell_type.recipient.death_rate"
SMALL = {"domain.voxel": "40 um", "clock.step": "10 min"}
ENGINES = [{}, {"transport.engine": "vesicles", "cell_type.donor.secretion": "poisson"}]
CHANGES = {"1 h": {RATE: (5, "1/min")}, 1.4: {"vesicle.exosome.half_life": "30 min"}}


def same(a: xo.Run, b: xo.Run) -> None:
    for table in RUN_TABLES:
        one, other = getattr(a, table.name), getattr(b, table.name)
        assert (one is None and other is None) or one.equals(other), table.name
    assert a.summary == b.summary
    assert a.fields.identical(b.fields)


def test_vesicles_are_released_at_the_rate_of_each_time() -> None:
    model = xo.ExosomeModel("two_cells", seed=1, overrides=SMALL)
    state = model.state
    model.run(hours=1)
    model.set(RATE, "120 / h")
    model.run(hours=1)
    model.set(RATE, 0)
    model.run(hours=1)
    assert model.state is state, "whoever holds the state sees the change"
    assert state.balance.totals()["exosome"]["emitted"] == pytest.approx(60 + 120)
    assert repr(model) == "<model of two_cells: 3 h, 2 cells, seed 1>"
    assert f"{RATE} = 120 / h from 1 h" in model._repr_html_()
    assert [(change.time_s, change.value, change.before) for change in model.changes] == [
        (3600.0, "120 / h", "60 1/h"),
        (7200.0, "0 1/h", "120 1/h"),
    ]


def test_a_value_set_to_itself_changes_no_bit() -> None:
    plain, told = (xo.ExosomeModel("two_cells", seed=1, overrides=SMALL | ENGINES[1]) for _ in range(2))
    for model in (plain, told):
        model.run(hours=1)
        if model is told:
            model.set(RATE, "60 / h")
        model.run(hours=1)
    assert told.edges.equals(plain.edges)
    assert told.metrics.equals(plain.metrics)


def test_a_behavior_that_nothing_changes_follows_its_value_at_rest() -> None:
    model = xo.ExosomeModel(
        "two_cells", seed=1, overrides=SMALL | {"cell_type.recipient.motility": "1 um^2 / min"}
    )
    model.run(hours=0.5)
    model.set("cell_type.recipient.motility", 0)
    place = model.state.cells.position.copy()
    model.run(hours=0.5)
    np.testing.assert_array_equal(model.state.cells.position, place)


@pytest.mark.parametrize("engine", ENGINES, ids=["continuum", "vesicles"])
def test_changes_are_noted_and_repeat_to_the_same_bits(engine: dict[str, str], tmp_path: Path) -> None:
    import json
    from importlib.resources import files

    changed = SMALL | engine
    made = xo.run("two_cells", changed, seed=2, hours=2, changes_at=CHANGES, out=tmp_path / "made")
    rows = made.about["changes"]
    assert [(row["time_s"], row["key"]) for row in rows] == [
        (3600.0, RATE),
        (5040.0, "vesicle.exosome.half_life"),
    ]
    jsonschema.validate(made.about, json.loads((files("exoabm.tables") / "run.schema.json").read_text()))
    same(made, xo.run(made.folder))
    assert made.summary != xo.run("two_cells", changed, seed=2, hours=2).summary
    model = xo.ExosomeModel("two_cells", seed=2, overrides=changed)
    for hours, changes in ((1.0, CHANGES["1 h"]), (0.4, CHANGES[1.4])):
        model.run(hours=hours)
        for key, value in changes.items():
            model.set(key, value)
    model.run(hours=0.6)
    assert model.edges.column("taken_up").equals(made.edges.column("taken_up"))


def test_a_change_is_noted_with_its_unit() -> None:
    model = xo.ExosomeModel("two_cells", seed=1, overrides=SMALL)
    for value in (240, "240", "240 / h", (4, "1/min"), "0xF0", "2_40"):
        model.set(RATE, value)
    noted = [(change.value, change.before) for change in model.changes]
    assert noted == [
        ("240 1/h", "60 1/h"),
        ("240 1/h", "240 1/h"),
        ("240 / h", "240 1/h"),
        ("4.0 1/min", "240 1/h"),
        ("240 1/h", "240 1/h"),
        ("240 1/h", "240 1/h"),
    ]


@pytest.mark.parametrize("stop", [0.9, 1.2, 1.7], ids=["before", "between", "after"])
def test_a_run_with_changes_goes_on_from_a_checkpoint_to_the_same_bits(
    stop: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = SMALL | ENGINES[1]

    def interrupt(share: float) -> None:
        if share > stop / 2:
            raise KeyboardInterrupt

    options = {"seed": 2, "hours": 2, "changes_at": CHANGES, "checkpoint_every": 0.25}
    with pytest.raises(KeyboardInterrupt):
        xo.run("two_cells", changed, out=tmp_path / "cut", progress=interrupt, **options)
    with monkeypatch.context() as patch:
        patch.setattr("exoabm.api.progress.shown", lambda _: True)
        resumed = xo.resume(tmp_path / "cut")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning: ")]
    assert said == [f"Warning: {text}" for text in resumed.warnings] != []
    whole = xo.run("two_cells", changed, out=tmp_path / "whole", **options)
    same(resumed, whole)
    for name in ("changes", "overrides", "citations", "scenario", "warnings"):
        assert resumed.about[name] == whole.about[name]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cell_type.donor.release_rat", 1, "did you mean 'cell_type.donor.release_rate'"),
        (RATE, "3 um", "has dimension length"),
        (RATE, -1, "outside the allowed"),
        (RATE, True, "'True' is not a number"),
        ("domain.voxel", 20, "domain.voxel cannot change between steps; those that can: "),
        ("cell_type.donor.diameter", 20, "cannot change between steps"),
        ("record.cells", "1 h", "cannot change between steps"),
    ],
)
def test_what_is_fixed_or_wrong_is_refused_and_changes_nothing(key: str, value: object, said: str) -> None:
    model = xo.ExosomeModel("two_cells", seed=1, overrides=SMALL)
    with pytest.raises(InputError, match=said):
        model.set(key, value)
    assert not model.changes
    assert model.scenario.cell_type[0].release_rate.magnitude == 60
    with pytest.raises(InputError, match=said):
        xo.run("two_cells", SMALL, hours=1, changes_at={"30 min": {key: value}})


def test_vesicles_of_a_type_that_begins_to_release_are_of_any_cell() -> None:
    """Without recorded origins all cells share a label: what a face lets in is not mixed with it."""
    more = {"cell_type.recipient.releases": "exosome", "cell_type.recipient.release_rate": "0"}
    more |= {"transport.provenance": "none", "domain.faces.x_low": "{ concentration = '1e8 / mL' }"}
    model = xo.ExosomeModel("two_cells", seed=1, overrides=SMALL | more)
    assert model.state.labels.of_cell.min() == -1
    model.set("cell_type.recipient.release_rate", "100 / h")
    model.run(hours=1)
    assert model.state.labels.types == ("any", "reservoir")
    assert (model.state.labels.of_cell == 0).all()
    assert model.state.balance.emitted[0, 0] == pytest.approx(60 + 100, rel=1e-9)


def test_a_type_without_label_and_a_time_outside_the_run_are_refused() -> None:
    model = xo.ExosomeModel("two_cells", seed=1, overrides=SMALL | {RATE: "0"})
    with pytest.raises(InputError, match="there is no label of origin"):
        model.set(RATE, 60)
    with pytest.raises(InputError, match="a change at 2 h is outside the run, which ends at 1 h"):
        xo.run("two_cells", SMALL, hours=1, changes_at={"2 h": {RATE: 1}})
