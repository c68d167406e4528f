"""A sweep that keeps its runs: whatever is damaged or lost of them is found, told, and made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exoabm.batch.execution import row_execution as files
from exoabm.batch.execution.plan import Plan
from exoabm.batch.execution.row_journal import verify
from exoabm.batch.execution.runner import Shard, resume_rows, run_rows
from exoabm.batch.sweeps.summary import Summary
from exoabm.batch.sweeps.sweep import report
from exoabm.errors import InputError
from exoabm.manifest import faults, inside
from tests.batch.conftest import small_plan

pytestmark = pytest.mark.slow

TIMES = ("run.json", "manifest.json")
"""Files of a run that tell when it was made."""


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    """Drawing takes most of the time of a short sweep; files of fixed content stand for the pictures.

    That a plot drawn again has the same bits is a test of ``test_sweep``.
    """

    def draw(summary: Summary, folder: Path, title: str) -> list[Path]:
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{varied.key}.png" for varied in summary.varied]
        for path in paths:
            path.write_bytes(f"\x89PNG {title}".encode())
        return paths

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exoabm.runs.run_execution.draw_preview", lambda *a, **_: a[2].write_bytes(b"\x89PNG"))
        patch.setattr("exoabm.batch.sweeps.sweep.draw_sweep", draw)
        yield


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(2, keep="runs", hours=0.02)


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "s"
    report(run_rows(plan, folder))
    return folder


def data(folder: Path) -> dict[str, bytes]:
    moving = (*TIMES, "journal.sqlite", "lock")
    return {name: (folder / name).read_bytes() for name in inside(folder) if Path(name).name not in moving}


def lost(path: Path) -> None:
    path.unlink()


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("harm", [lost, flipped, cut])
def test_every_harm_to_a_kept_run_is_found_told_and_mended(
    plan: Plan, whole: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Each file of one run by itself, and of all else that a finished sweep has."""
    row = plan.rows[1].name
    names = [name for name in inside(whole) if row in name or name.split("/")[0] not in (files.RUNS, "lock")]
    names = [name for name in names if not name.startswith(("journal", "plan"))]
    assert len(names) > 15
    for number, name in enumerate(names):
        folder = shutil.copytree(whole, tmp_path / str(number))
        harm(folder / name)
        assert name in {fault.name for fault in verify(folder)}
        outcome = resume_rows(folder)
        if name != "manifest.json" or harm is not lost:
            assert [name in fault for fault in outcome.damage] == [True], outcome.damage
        report(outcome)
        assert outcome.ran == (name.startswith((files.RUNS, files.ROWS)))
        assert outcome.failed == 0
        assert data(folder) == data(whole), name
        assert verify(folder) == []
        shutil.rmtree(folder)


def test_a_run_that_is_gone_or_unknown_is_no_lasting_failure(plan: Plan, whole: Path, tmp_path: Path) -> None:
    row = plan.rows[0].name
    for number, harm in enumerate((("run.json",), TIMES, tuple(inside(whole / "runs" / row)))):
        folder = shutil.copytree(whole, tmp_path / str(number))
        for name in harm:
            (folder / "runs" / row / name).unlink()
        outcome = resume_rows(folder)
        assert (outcome.ran, outcome.failed) == (1, 0)
        assert faults(folder / "runs" / row) == []


def test_what_others_put_into_a_damaged_run_is_kept(plan: Plan, whole: Path, tmp_path: Path) -> None:
    folder, row = shutil.copytree(whole, tmp_path / "s"), plan.rows[0].name
    (folder / "runs" / row / "notes.txt").write_text("years of work")
    assert resume_rows(folder).ran == 0  # what is foreign does no harm
    assert [str(fault) for fault in verify(folder)] == [f"runs/{row}/notes.txt is foreign"]
    flipped(folder / "runs" / row / "events.parquet")
    assert resume_rows(folder).ran == 1
    assert (folder / "runs" / f"{row}.aside" / "notes.txt").read_text() == "years of work"
    for name in (f"runs/{row}.aside", "notes.txt", "rows/notes.txt", "plots/notes.txt"):
        copy = shutil.copytree(whole, tmp_path / "copy")
        if name.endswith(".txt"):
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_text("years of work")
        else:
            shutil.copytree(folder / name, copy / name)
        with pytest.raises(InputError, match=r"notes\.txt', which is not part of a batch"):
            run_rows(plan, copy, overwrite=True)
        shutil.rmtree(copy)
    assert run_rows(plan, shutil.copytree(whole, tmp_path / "copy"), overwrite=True).ran == 2


def test_a_run_damaged_in_a_shard_is_run_by_the_whole(plan: Plan, whole: Path, tmp_path: Path) -> None:
    for index in (1, 2):
        run_rows(plan, tmp_path / "s", shard=Shard(index, 2))
    (run,) = (Shard(2, 2).folder(tmp_path / "s") / "runs").iterdir()
    flipped(run / "cells.parquet")
    outcome = resume_rows(tmp_path / "s")
    assert outcome.ran == 1
    report(outcome)
    assert verify(tmp_path / "s") == []
    ours, theirs = data(tmp_path / "s"), data(whole)
    assert {name: ours.get(name) for name in theirs} == theirs


def test_a_sweep_that_is_not_finished_is_verified_by_its_rows(
    plan: Plan, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    run_rows(plan, folder, shard=Shard(1, 2))
    (folder / "shards" / "1-of-2").rename(tmp_path / "part")
    assert {str(fault) for fault in verify(tmp_path / "part")} == {
        "manifest.json is missing",
        "rows/000001.jsonl is missing",
    }
