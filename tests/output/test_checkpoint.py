"""A run in parts is the run in one, to the bit; a checkpoint is whole, or is refused."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from runs_in_parts import GROUP, RUNS, Stop, assert_same, contents, halted, start, stop_at

from exoabm import ExosomeModel
from exoabm.errors import InputError, NumericalError, RunFailed
from exoabm.output import checkpoint
from exoabm.output.run_folder import BEFORE, CHECKPOINT
from exoabm.runs.run_execution import resume_run, run_to_folder
from exoabm.scenario.loader import load
from exoabm.tables import parquet as tables

EVERY = {"at-the-stop": 600.0, "before-it": 1000.0, "start": 1e6}
"""Seconds between checkpoints, and where the one resumed from stands."""


pytestmark = pytest.mark.usefixtures("small_groups")


@pytest.fixture(scope="module", params=RUNS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run without checkpoints, and what it wrote."""
    found = contents(start(tmp_path_factory.mktemp("whole") / "a", request.param))
    assert len(found["events.parquet"][1]) > 2
    return SimpleNamespace(kind=request.param, contents=found)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run without checkpoints wrote."""
    return contents(start(tmp_path_factory.mktemp("linear") / "a"))


# A run in parts.


def test_checkpoints_change_nothing(whole: SimpleNamespace, tmp_path: Path) -> None:
    run = start(tmp_path / "a", whole.kind, checkpoint_every=600.0)
    assert contents(run) == whole.contents
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("every", EVERY.values(), ids=EVERY)
def test_a_hundred_steps_are_fifty_and_fifty(whole: SimpleNamespace, tmp_path: Path, every: float) -> None:
    run = halted(tmp_path / "a", whole.kind, every)
    assert [p.name for p in tmp_path.iterdir()] == ["a.unfinished"]
    result = resume_run(run, threads=2)
    assert contents(run) == whole.contents
    assert result.summary == json.loads(whole.contents["summary.json"])
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    about = json.loads((run / "run.json").read_text())
    assert about["exit_state"] == "done"
    assert [each["operation"] for each in about["operations"]] == ["run", "resume"]


@pytest.mark.parametrize("whole", ["saturable", "vesicles"], indirect=True)
def test_a_checkpoint_at_each_step(whole: SimpleNamespace, tmp_path: Path) -> None:
    """Of the kind with the most tables, and of the one with single precision and intervals of uptake."""
    run = halted(tmp_path / "a", whole.kind, every=1.0)
    resume_run(run)
    assert contents(run) == whole.contents


def test_a_run_may_stop_again_and_again(whole: SimpleNamespace, tmp_path: Path) -> None:
    run = start(tmp_path / "a", whole.kind, checkpoint_every=400.0, progress=stop_at(25))
    for _ in range(3):
        with pytest.raises(Stop):
            resume_run(run, progress=stop_at(33, 75))
    resume_run(run)
    assert contents(run) == whole.contents


@pytest.mark.parametrize("function", ["summarize", "draw_preview"])
def test_a_run_that_stops_after_its_last_step(
    linear: dict[str, Any], tmp_path: Path, monkeypatch, function: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(f"exoabm.runs.run_execution.{function}", stop)
        run = start(tmp_path / "a", checkpoint_every=1000.0)
        assert not run.exists()
    resume_run(run)
    assert contents(run) == linear


def test_a_planted_error_is_seen(linear: dict[str, Any], tmp_path: Path, monkeypatch) -> None:
    """Five percent of what is in one cell's endosomes, forgotten by the checkpoint."""
    run, read = halted(tmp_path / "a"), checkpoint.read

    def forgetful(*place: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        about, content = read(*place)
        inside, cell = content["state/trafficking/endosomal"], 20
        content["state/balance/emitted"] -= 0.05 * inside[cell].sum(axis=0)[None]
        inside[cell] *= 0.95
        return about, content

    monkeypatch.setattr(checkpoint, "read", forgetful)
    resume_run(run)
    assert contents(run) != linear


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """At most one row group waits, and what was written is let go."""
    writer = tables.TableWriter(tmp_path / "a.parquet")
    import pyarrow as pa

    for i in range(50):
        writer.append(pa.table({"n": np.arange(90) + 90 * i}))
        assert writer._open is not None
        assert sum(map(len, writer._open._waiting)) < GROUP
        if i % 7 == 0:
            writer.snapshot()
    writer.close()
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert file.read()["n"].to_pylist() == list(range(4500))
        assert {file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)} == {GROUP}


# Damage.


def cut(file: Path, share: float) -> None:
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_checkpoint_falls_back_on_the_one_before(
    linear: dict[str, Any], tmp_path: Path, share: float
) -> None:
    """To the same bits, and says so; with both damaged it says what to do."""
    run = halted(tmp_path / "a")
    work = tmp_path / "a.unfinished"
    shutil.copytree(work, tmp_path / "kept")
    cut(work / CHECKPOINT, share)
    result = resume_run(run)
    assert contents(run) == linear
    said = [warning for warning in result.warnings if "checkpoint" in warning]
    assert len(said) == 1
    assert "checkpoint.npz is damaged" in said[0]
    assert "went on from the checkpoint before it, of 0.666667 h" in said[0]
    (tmp_path / "kept").rename(work)
    run.rename(tmp_path / "done")
    for name in (CHECKPOINT, BEFORE):
        cut(work / name, share)
    with pytest.raises(InputError, match=r"checkpoint\.npz is damaged.*before\.npz is damaged.*--overwrite"):
        resume_run(run)
    assert (work / CHECKPOINT).exists()


def test_a_part_that_only_the_last_checkpoint_needs_is_made_again(
    linear: dict[str, Any], tmp_path: Path
) -> None:
    run = halted(tmp_path / "a")
    last = sorted((tmp_path / "a.unfinished").glob("events.*.part"))[-1]
    cut(last, 0.5)
    assert "is damaged" in resume_run(run).warnings[-1]
    assert contents(run) == linear


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: flip(path, -9), lambda path: cut(path, 0.5)])
def test_a_chunk_that_is_lost_or_damaged_is_not_taken_for_zero(tmp_path: Path, harm) -> None:
    """A chunk that is not there reads as 0, and one that holds other bytes as other numbers."""
    run = halted(tmp_path / "a")
    chunk = tmp_path / "a.unfinished" / "fields.zarr" / "concentration/c/1/0/0/0/0"
    harm(chunk)
    with pytest.raises(InputError, match=r"concentration/c/1/0/0/0/0 is (missing|damaged).*--overwrite"):
        resume_run(run)


def test_chunks_carry_their_checksums(tmp_path: Path) -> None:
    """Whoever reads a damaged chunk is told."""
    run = start(tmp_path / "a")
    chunk = run / "fields.zarr" / "concentration/c/1/0/0/0/0"
    good, seen = chunk.read_bytes(), 0
    places = range(0, len(good), max(len(good) // 12, 1))
    for place in places:
        flip(chunk, place)
        with pytest.raises(Exception, match=r".") as error:
            zarr.open_group(run / "fields.zarr", mode="r")["concentration"][1]
        seen += "checksum" in str(error.value)
        chunk.write_bytes(good)
    assert seen == len(places) > 10


def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    """A hundred places: most in the arrays, the last ones in the directory of the file."""
    halted(tmp_path / "a")
    folder = tmp_path / "a.unfinished"
    good, (_, content) = (folder / CHECKPOINT).read_bytes(), checkpoint.read(folder)
    random, refused = np.random.default_rng(1), 0
    places = [*random.integers(0, len(good), 60), *random.integers(len(good) - 2000, len(good), 40)]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << int(random.integers(8))
        (folder / CHECKPOINT).write_bytes(bad)
        try:
            assert_same(checkpoint.read(folder)[1], content)
        except InputError:
            refused += 1
    assert refused > 60


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


VALUES = "concentration"


def reword(work: Path, array: str, old: str, new: str) -> None:
    path = work / "fields.zarr" / array / "zarr.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / CHECKPOINT, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda work: (work / "cells.00000.part").unlink(), "cannot be read"),
        (lambda work: (work / "events.00001.part").write_bytes(b"PAR1"), "cannot be read"),
        (lambda work: (work / "cells.00001.part").replace(work / "cells.00000.part"), "cannot be read"),
        (lambda work: (work / "fields.zarr" / "zarr.json").unlink(), "cannot be read"),
        (
            lambda work: (work / "fields.zarr/concentration/zarr.json").write_text("{"),
            "cannot be read",
        ),
        (lambda work: flip(work / "cells.00000.part", 200), "damaged and cannot be read"),
        (lambda work: flip(work / "events.00001.part", -900), "damaged and cannot be read"),
        # What zarr makes of these two depends on its version.
        (
            lambda w: reword(w, VALUES, '"chunk_shape"', '"chunk_Shape"'),
            "cannot be read|not those of its",
        ),
        (lambda w: reword(w, "time_s", '"fill_value"', '"fill_valve"'), "cannot be read|not those of its"),
        (lambda work: reword(work, VALUES, '"float32"', '"float64"'), "not those of its checkpoint"),
        (lambda work: reword(work, "", '"voxel_um": 10.0', '"voxel_um": 50.0'), "not those of its"),
    ],
    ids=[
        *("missing-part", "damaged-part", "swapped-part", "missing-fields", "damaged-fields"),
        *("flipped-data", "flipped-footer", "no-chunks", "no-fill-value", "other-type", "other-voxel"),
    ],
)
def test_tables_that_do_not_fit_the_checkpoint_are_refused(tmp_path: Path, spoil, message: str) -> None:
    run = halted(tmp_path / "a")
    spoil(tmp_path / "a.unfinished")
    with pytest.raises(InputError, match=message):
        resume_run(run)


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_one_before(
    linear: dict[str, Any], tmp_path: Path, monkeypatch
) -> None:
    save, calls = np.savez, []

    def full(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        save(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(RunFailed, match="the disk is full; the last checkpoint is kept"):
            start(tmp_path / "a", checkpoint_every=600.0)
    resume_run(tmp_path / "a")
    assert contents(tmp_path / "a") == linear


def test_a_broken_balance_keeps_the_last_good_checkpoint(
    linear: dict[str, Any], tmp_path: Path, monkeypatch
) -> None:
    import exoabm.schedule as schedule

    commit = next(stage for stage in schedule.STAGES if stage.name == "commit")

    def lossy(step: schedule.Step) -> None:
        if step.state.step >= 25:
            step.state.fields[0] *= 0.999
        commit.run(step)

    stages = tuple(s._replace(run=lossy) if s is commit else s for s in schedule.STAGES)
    with monkeypatch.context() as patch:
        patch.setattr(schedule, "STAGES", stages)
        with pytest.raises(NumericalError, match=r"does not close.*last good checkpoint is kept"):
            start(tmp_path / "a", checkpoint_every=600.0)
    work = tmp_path / "a.unfinished"
    assert checkpoint.read(work)[1]["state/step"] == 20
    assert json.loads((work / "run.json").read_text())["exit_state"] == "failed"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.unfinished"]
    resume_run(tmp_path / "a")
    assert contents(tmp_path / "a") == linear


# Kept checkpoints.


@pytest.mark.parametrize("kill", [0, 1, 2, 4], ids=lambda kill: f"at-name-{kill}" if kill else "never")
def test_a_killed_run_keeps_its_checkpoints_and_no_later_part(tmp_path: Path, monkeypatch, kill: int) -> None:
    """Wherever among the names that it gives to files a process is killed."""
    keep, calls = checkpoint._keep, []

    def killed(*names: Any) -> None:
        calls.append(names)
        if len(calls) == kill:
            raise Stop
        keep(*names)

    monkeypatch.setattr(checkpoint, "_keep", killed)
    scenario = load("two_cells", {"clock.step": "30 min", "record.cells": "30 min"})
    options = {"checkpoint_every": 1800.0, "keep_checkpoints": True}
    with contextlib.suppress(Stop):
        run_to_folder(scenario, tmp_path / "a", seed=1, hours=1.5, **options)
    assert len(calls) >= kill
    if kill:
        resume_run(tmp_path / "a")
    kept = tmp_path / "a" / "checkpoints"
    assert {p.name for p in kept.glob("*.npz")} == {"1800s.npz", "3600s.npz"}
    parts = list(kept.glob("cells*.part"))
    assert max(max(pq.read_table(part)["time_s"].to_pylist()) for part in parts) == 3600
    with pytest.raises(InputError, match=r"no checkpoint .*360s.npz; those kept are 1800s.npz, 3600s.npz"):
        ExosomeModel.from_checkpoint(kept / "360s.npz")
