"""Limits of cells and of memory: a run beyond one ends with an error by name and keeps what was good."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from exoabm import ExosomeModel
from exoabm.errors import NumericalError, ResourceError, RunFailed
from exoabm.scenario.loader import parse
from exoabm.tables.finished_run import Run

BODY = """
info = { title = "growth" }
domain = { size = [300, 400], max_cells = MOST }
clock = { step = "60 s", duration = "12 h" }
record = { metrics = "60 s" }
vesicle = [{ name = "EV" }]
layout = { group = [{ cell_type = "a", count = 4 }] }
cell_type = [{ name = "a", division_rate = "4 / h" }]
"""


def growing(most: float, engine: str = "continuum") -> ExosomeModel:
    text = BODY.replace("MOST", str(most)) + f'transport = {{ engine = "{engine}" }}'
    return ExosomeModel(parse(text.encode(), name="growth", folder=Path()), seed=3)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_growth_halts_before_it_passes_the_cap_and_not_at_it(engine: str) -> None:
    model = growing(40, engine)
    with pytest.raises(NumericalError, match=r"cells would be alive at .* domain.max_cells = 40; raise it"):
        model.run(hours=3)
    found = model.state.lineage.born
    assert 30 < found == len(model.state.cells) <= 40
    again = growing(found, engine)
    again.run_until(model.state.time)
    assert len(again.state.cells) == found


def test_a_layout_of_more_cells_runs_as_long_as_none_divides() -> None:
    text = BODY.replace("MOST", "3").replace(', division_rate = "4 / h"', "")
    model = ExosomeModel(parse(text.encode(), name="still", folder=Path()), seed=3)
    model.run(hours=0.1)
    assert len(model.state.cells) == 4


def test_the_command_ends_with_4_and_keeps_what_was_recorded(command, tmp_path) -> None:
    (tmp_path / "g.toml").write_text(BODY.replace("MOST", "40"))
    done = command("run", "g.toml", "--seed", 3, "--out", "r")
    done.refused(4, "domain.max_cells = 40", "recorded until then are kept in", "r.failed")
    assert not (tmp_path / "r").exists()
    about = json.loads((tmp_path / "r.failed" / "run.json").read_text())
    assert about["exit_state"] == "failed"
    assert "max_cells" in about["error"]
    cells = Run(tmp_path / "r.failed").metrics["cells[a]"].to_pylist()
    assert cells[0] == 4
    assert 30 < cells[-1] <= 40


def test_the_number_that_is_foreseen_stops_at_the_cap() -> None:
    assert growing(40).estimate.cells == 40
    assert growing(1e5).estimate.cells > 400


def exhausted(*_: Any, **__: Any) -> None:
    raise MemoryError


def test_a_step_without_memory_is_a_resource_error(monkeypatch) -> None:
    model = ExosomeModel("two_cells", seed=1)
    monkeypatch.setattr("exoabm.model.advance", exhausted)
    with pytest.raises(ResourceError, match="no memory was left in the step at 0 h"):
        model.step()


@pytest.mark.parametrize("many", [0, 10**9])
def test_contacts_that_cannot_be_counted_end_the_step(monkeypatch, many: int) -> None:
    """In a thread or not: the step ends with the error, and the state is of no further use."""
    monkeypatch.setattr("exoabm.accounting.step_booking.MANY_EVENTS", many)
    model = ExosomeModel("two_cells", seed=1, overrides={"transport.engine": "vesicles"})
    model.run(hours=0.5)
    monkeypatch.setattr("exoabm.accounting.contact_table.ContactTable.add", exhausted)
    with pytest.raises(ResourceError, match=r"no memory was left in the step at 0\.5 h"):
        model.step()
    with pytest.raises(RunFailed, match="a step was not completed"):
        model.step()


def test_the_command_line_ends_with_3(monkeypatch, capsys) -> None:
    program = importlib.import_module("exoabm.cli.console")
    monkeypatch.setattr(program, "app", exhausted)
    monkeypatch.setattr(sys, "argv", ["exoabm", "list"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 3
    assert "no memory was left" in capsys.readouterr().err
