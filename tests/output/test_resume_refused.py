"""What is not resumed: no run, another version, scenario or table, and a run that another process makes."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs_in_parts import HOURS, SMALL, Stop, contents, halted, start, stop_at

import exoabm
from exoabm import ExosomeModel
from exoabm.errors import InputError
from exoabm.output import checkpoint
from exoabm.output.folder_locks import LOCK, hold
from exoabm.output.run_folder import CHECKPOINT, ResumableFolder
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import load

pytestmark = pytest.mark.usefixtures("small_groups")


@pytest.mark.parametrize("name", ["run.json", "edges.parquet"])
def test_a_file_of_another_kind_is_no_damaged_checkpoint(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"{name} is not a checkpoint, whose name ends in .npz"):
        ExosomeModel.from_checkpoint(tmp_path / name)


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no unfinished run .*a\.unfinished"):
        resume_run(tmp_path / "a")
    (tmp_path / "a.unfinished").mkdir()
    with pytest.raises(InputError, match=r"there is no checkpoint .*checkpoint\.npz"):
        resume_run(tmp_path / "a")
    start(tmp_path / "b", checkpoint_every=600.0)
    with pytest.raises(InputError, match="finished already"):
        resume_run(tmp_path / "b")


def test_a_folder_that_is_no_run_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.unfinished").mkdir()
    (tmp_path / "a.unfinished" / "thesis.txt").write_text("years of work")
    for act in (resume_run, start):
        with pytest.raises(InputError, match="not an unfinished run"):
            act(tmp_path / "a")
    assert (tmp_path / "a.unfinished" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("every", [None, 600.0])
def test_an_unfinished_run_is_in_the_way_of_a_new_one(tmp_path: Path, every: float | None) -> None:
    run = halted(tmp_path / "a")
    with pytest.raises(InputError, match="`exoabm resume"):
        start(run, checkpoint_every=every)
    start(run, checkpoint_every=every, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_run_folder_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    run = halted(tmp_path / "a")
    (tmp_path / "a.unfinished").rename(tmp_path / "aside")
    start(run)
    (tmp_path / "aside").rename(tmp_path / "a.unfinished")
    with pytest.raises(InputError, match="exists already"):
        resume_run(run)


def test_a_run_that_was_to_replace_another_does(tmp_path: Path) -> None:
    expected = contents(start(tmp_path / "a"))
    (tmp_path / "a" / "summary.json").write_text("{}")
    resume_run(halted(tmp_path / "a", overwrite=True))
    assert contents(tmp_path / "a") == expected
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_another_version_does_not_resume(tmp_path: Path, monkeypatch) -> None:
    run = halted(tmp_path / "a")
    monkeypatch.setattr(exoabm, "__version__", "99.0")
    with pytest.raises(InputError, match=r"started with exoabm .* this is 99\.0"):
        resume_run(run)


def edit(folder: Path, **changes: Any) -> None:
    """Change what a checkpoint says about its run."""
    about, content = checkpoint.read(folder)
    text = json.dumps(about | changes).encode()
    np.savez(folder / CHECKPOINT, about=np.frombuffer(text, np.uint8), **content)


def test_another_scenario_does_not_resume(tmp_path: Path) -> None:
    run = halted(tmp_path / "a")
    text = checkpoint.read(tmp_path / "a.unfinished")[0]["scenario"]
    edit(tmp_path / "a.unfinished", scenario=text.replace("60 s", "61 s"))
    with pytest.raises(InputError, match="scenario signaling has changed since"):
        resume_run(run)


def test_another_table_does_not_resume(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_bytes(load("tissue").table_path().read_bytes())  # type: ignore[union-attr]
    loaded = load("tissue", {"layout.table": str(table)})
    with pytest.raises(Stop):
        run_to_folder(
            loaded, tmp_path / "a", seed=1, hours=0.1, checkpoint_every=60.0, progress=stop_at(1, 6)
        )
    good = table.read_bytes()
    table.write_bytes(good + b"\n")
    with pytest.raises(InputError, match=r"layout\.table: .*cells\.csv, which holds something else"):
        resume_run(tmp_path / "a")
    table.unlink()  # the run has its own
    kept = tmp_path / "a.unfinished" / "table" / "cells.csv"
    kept.write_bytes(good + b"\n")
    with pytest.raises(InputError, match=r"table/cells\.csv is damaged"):
        resume_run(tmp_path / "a")
    kept.write_bytes(good)
    assert resume_run(tmp_path / "a").summary["hours"] == pytest.approx(0.1)
    assert (tmp_path / "a" / "table" / "cells.csv").read_bytes() == good


def test_a_scenario_that_was_edited_meanwhile_does_not_resume(tmp_path: Path) -> None:
    """The keys are named; one that is gone contradicts nothing."""
    mine = tmp_path / "mine.toml"
    mine.write_bytes(load("signaling").text)
    loaded = load(mine, SMALL)
    with contextlib.suppress(Stop):
        run_to_folder(
            loaded, tmp_path / "a", seed=3, hours=HOURS, checkpoint_every=600.0, progress=stop_at(50)
        )
    whole = mine.read_text()
    mine.write_text(whole.replace('step = "60 s"', 'step = "90 s"').replace("count = 7", "count = 6"))
    with pytest.raises(InputError, match=r"has changed since the run was started") as error:
        resume_run(tmp_path / "a")
    assert "clock.step: 60 s -> 90 s" in str(error.value)
    assert "count: 7 -> 6" in str(error.value)
    mine.write_text("no scenario")
    with pytest.raises(InputError, match=r"mine\.toml has changed .* not valid TOML"):
        resume_run(tmp_path / "a")
    mine.write_text(whole.replace("How far", "Say how far"))  # words do not count
    (tmp_path / "a.unfinished").rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "a.unfinished")
    resume_run(tmp_path / "a")
    mine.unlink()
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "kept").rename(tmp_path / "a.unfinished")
    resume_run(tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# The lock.


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run = halted(tmp_path / "a")
    with hold(tmp_path / "a.unfinished"):
        for act in (resume_run, start, lambda path: start(path, overwrite=True, checkpoint_every=60.0)):
            with pytest.raises(InputError, match="is being written by process"):
                act(run)
    resume_run(run)


def test_the_lock_of_a_dead_process_clears_itself(tmp_path: Path) -> None:
    run = halted(tmp_path / "a")
    code = (
        "import sys, time, pathlib; from exoabm.output.folder_locks import hold\n"
        "kept = hold(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.unfinished")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"is being written by process {other.pid} on "):
            resume_run(run)
        other.kill()
        other.wait()
        assert (tmp_path / "a.unfinished" / LOCK).read_text().startswith(f"{other.pid} ")
    resume_run(run)


def test_a_folder_is_let_go_at_the_end(tmp_path: Path) -> None:
    with ResumableFolder(tmp_path / "a"):
        pass
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["manifest.json"]
    with pytest.raises(ZeroDivisionError), ResumableFolder(tmp_path / "b"):
        1 / 0  # noqa: B018
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
