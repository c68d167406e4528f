"""How memory is allocated."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from exoabm import process_memory
from exoabm.cli import page_and_benchmark_commands


@pytest.mark.parametrize(
    ("own", "name", "options"),
    [
        (False, "OTHER", []),
        (True, "MALLOC_ARENA_MAX", []),
        (True, "OTHER", [(-3, 4 << 20), (-1, 32 << 20), (-8, 1)]),
    ],
    ids=["notebook", "settings of the user", "command line"],
)
def test_only_processes_of_exoabm_keep_little_memory(own, name, options, monkeypatch) -> None:
    """A setting of glibc holds until the process ends."""
    set_to: list[tuple[int, int]] = []
    glibc = SimpleNamespace(mallopt=lambda *option: set_to.append(option))
    monkeypatch.setattr(process_memory.ctypes, "CDLL", lambda _: glibc)
    monkeypatch.setattr(process_memory.sys, "platform", "linux")
    monkeypatch.setattr(process_memory.os, "environ", {name: "1"})
    monkeypatch.setattr(process_memory, "_own", set())
    if own:
        process_memory.own_process()
    process_memory.keep_little_memory()
    assert set_to == options
    assert ("ARROW_DEFAULT_MEMORY_POOL" in process_memory.os.environ) == own


@pytest.mark.parametrize("chosen", [None, "mimalloc"])
def test_arrow_takes_memory_from_the_allocator_of_numpy_unless_the_user_chose_another(chosen) -> None:
    code = "from exoabm.process_memory import own_process; own_process()\n"
    code += "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environ = {name: text for name, text in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    if chosen is not None:
        environ["ARROW_DEFAULT_MEMORY_POOL"] = chosen
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=True)
    assert found.stdout.decode().strip() == (chosen or "system")


def test_a_run_of_a_reader_leaves_the_server_as_it_is(monkeypatch) -> None:
    set_to: list[tuple[int, int]] = []
    glibc = SimpleNamespace(mallopt=lambda *option: set_to.append(option))
    monkeypatch.setattr(process_memory.ctypes, "CDLL", lambda _: glibc)
    monkeypatch.setattr(process_memory, "_own", set())
    monkeypatch.setattr(page_and_benchmark_commands, "import_module", lambda _: SimpleNamespace(serve=served))
    process_memory.own_process()  # as the command line does first
    page_and_benchmark_commands.dash("two_cells", classroom=True)
    assert set_to == []


def served(*_: object, **__: object) -> None:
    """A server in which a reader downloads a run with single vesicles."""
    process_memory.keep_little_memory()
