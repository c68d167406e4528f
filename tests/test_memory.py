"""How memory is allocated."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from exoabm import memory


@pytest.mark.parametrize(
    ("own", "name", "options"),
    [(False, "OTHER", []), (True, "MALLOC_ARENA_MAX", []), (True, "OTHER", [(-3, 4 << 20), (-1, 32 << 20)])],
    ids=["notebook", "settings of the user", "command line"],
)
def test_only_processes_of_exoabm_keep_little_memory(own, name, options, monkeypatch) -> None:
    """A setting of glibc holds until the process ends."""
    set_to: list[tuple[int, int]] = []
    glibc = SimpleNamespace(mallopt=lambda *option: set_to.append(option))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: glibc)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.os, "environ", {name: "1"})
    monkeypatch.setattr(memory, "_own", set())
    if own:
        memory.own_process()
    memory.keep_little_memory()
    assert set_to == options
