"""Dask in the place of local processes: the same bytes, and a worker that dies costs nothing."""

from __future__ import annotations

import os
import signal

import pytest

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.runner import run_rows
from exoabm.batch.execution.workers import dask
from exoabm.errors import InputError
from tests.batch.conftest import data, small_plan


@pytest.mark.parametrize("address", ["local:0", "local:", "local:x", "http://host:1", "host", "tcp:host"])
def test_an_address_that_makes_no_sense_is_refused(address) -> None:
    with pytest.raises(InputError, match="--cluster"):
        dask(address)


def test_dask_that_is_not_installed_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(InputError, match=r"exoabm\[cluster\]"):
        dask("local:2")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch) -> None:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setattr("exoabm.batch.execution.workers.CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match="no scheduler responds"), dask("tcp://127.0.0.1:9")():
        pass


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_also_when_a_worker_is_killed(tmp_path) -> None:
    """One cluster for both: starting it takes most of the time."""
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    from contextlib import nullcontext

    run_rows(small_plan(16, hours=0.3), tmp_path / "one")
    with dask("local:2")() as executor:
        run_rows(small_plan(16, hours=0.3), tmp_path / "dask", workers=lambda: nullcontext(executor))
        assert data(tmp_path / "dask") == data(tmp_path / "one")
        victim = executor.submit(os.getpid).result()
        killed = []

        def kill_once(done: int, _: int) -> None:
            if done >= 3 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        folder = tmp_path / "killed"
        run_rows(small_plan(16, hours=0.3), folder, workers=lambda: nullcontext(executor), progress=kill_once)
        assert killed
    assert data(folder) == data(tmp_path / "one")
    assert files.chunk_path(folder, 15).is_file()
