"""Folders and files where a run is to be written: replaced only when asked to, else left as they were."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from exoabm.errors import RunFailed
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

RATE = "cell_type.donor.release_rate"
SHORT = ("run", "two_cells", "--hours", 0.05, "--seed", 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_folder_is_replaced_only_when_asked_to(command, tmp_path) -> None:
    assert command(*SHORT, "--out", "a").code == 0
    before = (tmp_path / "a" / "run.json").read_bytes()
    command(*SHORT, "--out", "a").refused(2, "a exists already", "--overwrite")
    assert (tmp_path / "a" / "run.json").read_bytes() == before
    assert command("run", "two_cells", "--hours", 0.1, "--seed", 2, "--out", "a", "--overwrite").code == 0
    assert json.loads((tmp_path / "a" / "run.json").read_text())["seed"] == 2
    assert names(tmp_path) == ["a"]


def test_a_refused_run_leaves_the_old_one_as_it_was(command, tmp_path) -> None:
    assert command(*SHORT, "--out", "a").code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    command(*SHORT, "--out", "a", "--overwrite", "--set", "clock.step=-1").refused(2, "clock.step")
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before


def test_nothing_is_written_into_finished_results(command, tmp_path) -> None:
    assert command(*SHORT, "--out", "a").code == 0
    before = names(tmp_path / "a")
    calls = [
        SHORT,
        ("sweep", "two_cells", "--hours", 0.05, "--replicates", 2),
        ("trial", "delivery_routes"),
        ("whatif", "two_cells", "--hours", 0.05, "--silence", "cell:0"),
    ]
    calls += [("compare", "a", "a"), ("fit", "two_cells", "--data", "a", "--vary", f"{RATE}=10:100")]
    calls += [("sensitivity", "two_cells"), ("causal", "two_cells", "--readout", "free[exosome]")]
    for call in calls:
        command(*call, "--out", "a/b/c").refused(2, "lies inside", "which holds finished results")
    (tmp_path / "cells.csv").write_text("x_um,y_um,type\n1,1,a\n30,30,b\n")
    files = [
        ("figure", "a", "--out", "a/matrix.svg"),
        ("figure", "a", "--overwrite", "--out", "a/preview.png"),
        ("export", "a", "--to", "a/tables"),
        ("export", "a", "--to", "a/run.h5ad"),
        ("export", "a", "--to", "a/run.ome.zarr"),
        ("export", "a", "--to", "a/mine.toml"),
        ("export", "two_cells", "--to", "a/mine.toml"),
        ("new", "cells.csv", "--out", "a/mine.toml"),
    ]
    for call in files:
        command(*call).refused(2, "lies inside", "which holds finished results")
    assert names(tmp_path / "a") == before
    assert command("verify", "a").code == 0


def test_results_beside_finished_ones_are_written_from_inside_these(command, tmp_path) -> None:
    """A path with ``..`` leads out of a folder; one through a link may lead into it."""
    assert command(*SHORT, "--out", "a").code == 0
    assert command(*SHORT, "--out", "a/../b").code == 0
    (tmp_path / "link").symlink_to("a")
    command(*SHORT, "--out", "link/c").refused(2, "lies inside")
    assert command("verify", "a").code == 0


def test_a_folder_that_is_no_run_is_never_replaced(command, tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    command(*SHORT, "--out", "thesis", "--overwrite").refused(2, "not a run folder")
    command(*SHORT, "--out", ".", "--overwrite").refused(2, "not a run folder")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert names(tmp_path) == ["thesis"]


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["plain", "overwrite"])
def test_a_file_is_never_replaced(command, tmp_path, overwrite) -> None:
    (tmp_path / "a").write_text("years of work")
    command(*SHORT, "--out", "a", *overwrite).refused(2, "a ")
    assert (tmp_path / "a").read_text() == "years of work"


@pytest.mark.parametrize("out", ["/", "x" * 300, "file/a", "/proc/exoabm/a"], ids=len)
def test_a_place_that_cannot_be_written_is_refused(command, tmp_path, out) -> None:
    (tmp_path / "file").write_text("")
    command(*SHORT, "--out", out).refused(2)
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_to_write_is_refused(command, tmp_path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    command(*SHORT, "--out", "closed/a").refused(2, "cannot write to", "closed")


def notes(place: Path) -> None:
    place.mkdir(exist_ok=True)
    (place / "notes.txt").write_text("years of work")


def a_file(place: Path) -> None:
    place.write_text("years of work")


@pytest.mark.parametrize("put", [notes, a_file, Path.mkdir], ids=["notes", "file", "empty"])
def test_what_appears_during_a_run_is_left_alone(tmp_path, put) -> None:
    """The finished run is kept beside it."""
    a = tmp_path / "a"
    with pytest.raises(RunFailed, match=r"something came to .*/a.* is kept in .*/a\.finished"):
        run_to_folder(load("two_cells"), a, seed=1, hours=0.05, progress=lambda _: a.exists() or put(a))
    assert names(tmp_path) == ["a", "a.finished"]
    assert json.loads((tmp_path / "a.finished" / "run.json").read_text())["exit_state"] == "done"
    if put is not Path.mkdir:
        assert (a if a.is_file() else a / "notes.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "change",
    [
        notes,
        lambda a: (a / "summary.json").write_text("mine"),
        lambda a: (a / "fields.zarr" / "mine").write_text("mine"),
        lambda a: (a / "run.json").unlink(),
    ],
    ids=["added", "edited", "deep", "removed"],
)
def test_overwriting_spares_what_was_not_there_at_the_start(tmp_path, change) -> None:
    a, done = tmp_path / "a", []
    run_to_folder(load("two_cells"), a, seed=1, hours=0.05)

    def once(_: float) -> None:
        done or done.append(change(a))

    with pytest.raises(RunFailed, match=r"changed there.*a\.finished"):
        run_to_folder(load("two_cells"), a, seed=2, hours=0.05, overwrite=True, progress=once)
    assert names(tmp_path) == ["a", "a.finished"]
    assert json.loads((tmp_path / "a.finished" / "run.json").read_text())["seed"] == 2
    assert (a / "metrics.parquet").exists()


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("fields.zarr", "fields.zarr/ was moved or removed"),
        ("fields.zarr/concentration", "fields.zarr/concentration was moved or removed"),
        ("fields.zarr/concentration/c/1/0/0/0/0/0", "fields.zarr/concentration/c/1/0/0/0/0/0 was removed"),
        ("cells.00000.part", "could not write"),
    ],
)
def test_a_part_removed_while_a_run_writes_ends_in_a_sentence(tmp_path, part, says) -> None:
    def remove(share: float) -> None:
        path = tmp_path / ".a.partial" / part
        if share > 0.6 and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    loaded = load("two_cells", {"record.fields": "1 min"})
    with pytest.raises(RunFailed, match=says):
        run_to_folder(loaded, tmp_path / "a", seed=1, hours=0.1, progress=remove)
    assert not names(tmp_path)


@pytest.mark.parametrize("every", [None, 60.0])
def test_a_folder_removed_while_a_run_writes_ends_in_a_sentence(tmp_path, every) -> None:
    work = tmp_path / (".a.partial" if every is None else "a.unfinished")
    for seed, remove in enumerate((shutil.rmtree, lambda path: path.rename(tmp_path / "aside"))):
        with pytest.raises(RunFailed, match="was moved or removed while the run"):
            run_to_folder(
                load("two_cells", {"record.fields": "1 min"}),
                tmp_path / "a",
                seed=seed,
                hours=0.1,
                checkpoint_every=every,
                progress=lambda _, remove=remove: work.exists() and remove(work),
            )
    assert names(tmp_path) == ["aside"]
