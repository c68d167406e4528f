"""Memory that runs out in the middle is an error with a name and an exit code, not a traceback."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from exoabm import ExosomeModel
from exoabm.errors import ResourceError


def exhausted(*_: Any, **__: Any) -> None:
    raise MemoryError


def test_a_step_without_memory_is_a_resource_error(monkeypatch) -> None:
    model = ExosomeModel("two_cells", seed=1)
    monkeypatch.setattr("exoabm.model.advance", exhausted)
    with pytest.raises(ResourceError, match="no memory was left in the step at 0 h"):
        model.step()


def test_the_command_line_ends_with_3(monkeypatch, capsys) -> None:
    program = importlib.import_module("exoabm.cli.console")
    monkeypatch.setattr(program, "app", exhausted)
    monkeypatch.setattr(sys, "argv", ["exoabm", "list"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 3
    assert "no memory was left" in capsys.readouterr().err
