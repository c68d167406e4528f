"""The table of events of single vesicles: its order and storage, its levels, and errors of its thread."""

from __future__ import annotations

import contextlib
import errno
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from edges_from_events import rebuild

from exoabm import ExosomeModel
from exoabm.errors import InputError
from exoabm.output import single_vesicle_events
from exoabm.output.single_vesicle_events import FATES, VesicleEventWriter
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.vesicle import Status

SINGLE = {
    "transport.engine": "vesicles",
    "cell_type.donor.release_rate": "3000 / h",
    "vesicle.exosome.recycling_probability": "0.3",
}
LEVELS = ("all", "fates", "none")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three hours with each level."""
    folder, found = tmp_path_factory.mktemp("levels"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exoabm.runs.run_execution.draw_preview", lambda *_, **__: None)
        for level in LEVELS:
            scenario = load("two_cells", SINGLE | {"record.vesicle_events": level})
            found[level] = run_to_folder(scenario, folder / level, seed=1, hours=3).folder
    return found


def test_rows_are_by_vesicle_and_then_by_time(runs: dict[str, Path]) -> None:
    with pq.ParquetFile(runs["all"] / "events.parquet") as file:
        group, rows = file.metadata.row_group(0), file.read_row_group(0)
        assert file.num_row_groups == 1
        encodings = {
            group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)
        }
    vesicle, time = (np.asarray(rows[name]) for name in ("vesicle", "time_s"))
    step = np.diff(vesicle)
    assert (step >= 0).all()
    assert (np.diff(time)[step == 0] >= 0).all()
    assert (np.diff(time) < 0).any(), "the order of time is another"
    for name in ("time_s", "vesicle", "donor", "x_um"):
        assert "BYTE_STREAM_SPLIT" in encodings[name]
    assert "RLE_DICTIONARY" in encodings["event"]


@pytest.mark.parametrize("group", [200, 500])
def test_all_rows_that_waited_in_a_checkpoint_are_taken_up(tmp_path, monkeypatch, group) -> None:
    """Also where fewer make a row group now, as in a run that an earlier build began."""
    monkeypatch.setattr(single_vesicle_events, "GROUP", 5000)
    model = ExosomeModel("two_cells", seed=1, overrides=SINGLE)
    (tmp_path / "first").mkdir()
    first = VesicleEventWriter(tmp_path / "first")
    model.observe(first)
    model.run(hours=0.2)
    content = first.snapshot()
    assert len(content["waiting/event"]) > 500
    shutil.copytree(tmp_path / "first", tmp_path / "again")
    again = VesicleEventWriter(tmp_path / "again")
    first.close()
    monkeypatch.setattr(single_vesicle_events, "GROUP", group)
    again.restore(content)
    again.close()
    one, other = (
        pq.read_table(tmp_path / name / "events.parquet").to_pandas().sort_values(["vesicle", "time_s"])
        for name in ("first", "again")
    )
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_row_groups_are_full_and_follow_each_other(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In groups of 500 rows the rows are the same, by vesicle in each, and those of a vesicle in time."""
    monkeypatch.setattr(single_vesicle_events, "GROUP", 500)
    model = ExosomeModel("two_cells", seed=1, overrides=SINGLE)
    writer = VesicleEventWriter(tmp_path)
    model.observe(writer)
    model.run(hours=3)
    writer.close()
    with pq.ParquetFile(tmp_path / "events.parquet") as file:
        groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    sizes = [len(group) for group in groups]
    assert len(sizes) > 5
    assert set(sizes[:-1]) == {500}
    assert 0 < sizes[-1] <= 500
    assert all((np.diff(group["vesicle"]) >= 0).all() for group in groups)
    step = float(model.scenario.clock.step)
    ends = [(np.min(group["time_s"]), np.max(group["time_s"])) for group in groups]
    assert all(later[0] > earlier[1] - step for earlier, later in pairwise(ends))
    rows = pa.concat_tables(groups).to_pandas()
    order = rows.sort_values("vesicle", kind="stable")
    assert (order.groupby("vesicle").time_s.diff().dropna() >= 0).all()
    whole = pq.read_table(runs["all"] / "events.parquet").to_pandas()
    assert order.reset_index(drop=True).astype(str).equals(whole.astype(str))


def test_rows_that_wait_take_the_room_of_two_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many groups are written, and of one where there are few rows or none."""
    for level, size, groups in (("all", 100, 2), ("all", 1 << 19, 1), ("none", 100, 1)):
        monkeypatch.setattr(single_vesicle_events, "GROUP", size)
        folder, made = tmp_path / f"{level}{size}", []
        folder.mkdir()
        make = single_vesicle_events._Group

        def noted(like: dict[str, np.ndarray], make=make, made=made) -> object:
            made.append(make(like))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(single_vesicle_events, "_Group", noted)
            model = ExosomeModel("two_cells", seed=1, overrides=SINGLE)
            writer = VesicleEventWriter(folder, level=level)
            model.observe(writer)
            model.run(hours=1)
        assert len(made) == groups
        assert writer._waiting in made
        assert writer._waiting.used < size
        writer.close()
        assert writer._waiting is None
        assert not writer._room
        assert (pq.ParquetFile(folder / "events.parquet").num_row_groups > 3) == (groups == 2)


def test_times_are_multiples_of_a_small_part_of_the_step(runs: dict[str, Path]) -> None:
    step = float(load("two_cells").scenario.clock.step)
    time = np.asarray(pq.read_table(runs["all"] / "events.parquet")["time_s"])
    unit = 2.0 ** np.ceil(np.log2(step)) / 4096
    assert unit <= step / 2048
    np.testing.assert_array_equal(time % unit, 0)
    assert len(np.unique(time)) > len(time) / 2


def test_levels_leave_out_rows_and_nothing_else(runs: dict[str, Path]) -> None:
    tables = {level: pq.read_table(run / "events.parquet").to_pandas() for level, run in runs.items()}
    names = [event.name.lower() for event in FATES]
    some = tables["all"][tables["all"]["event"].isin(names)]
    assert len(tables["all"]) > len(some) > 10
    assert some.reset_index(drop=True).astype(str).equals(tables["fates"].astype(str))
    assert not len(tables["none"])
    for name in ("edges.parquet", "edges_by_cargo.parquet", "metrics_by_kind.parquet"):
        kept = [repr(pq.read_table(run / name).to_pylist()) for run in runs.values()]
        assert kept[0] == kept[1] == kept[2]
        assert len(kept[0]) > 100


@pytest.mark.parametrize("level", LEVELS[1:])
def test_what_needs_all_events_says_so(runs: dict[str, Path], level: str) -> None:
    rebuild(runs["all"])
    with pytest.raises(InputError, match=f"record.vesicle_events = '{level}'.*run it again"):
        rebuild(runs[level])


def test_an_error_of_the_thread_reaches_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(single_vesicle_events, "GROUP", 1)
    monkeypatch.setattr(VesicleEventWriter, "append", full)
    model = ExosomeModel("two_cells", seed=1, overrides=SINGLE)
    model.observe(VesicleEventWriter(tmp_path))
    with pytest.raises(OSError, match="full"):
        model.run(hours=1)


@pytest.mark.parametrize("group", [1, 1 << 19])
def test_a_table_that_lost_a_group_is_never_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """Neither a full group nor the last one; however often the writer is closed."""
    monkeypatch.setattr(single_vesicle_events, "GROUP", group)
    writer = VesicleEventWriter(tmp_path)
    model = ExosomeModel("two_cells", seed=1, overrides=SINGLE)
    model.observe(writer)
    model.run(hours=0.1)
    store, failures = VesicleEventWriter.append, [OSError(errno.ENOSPC, "full")]

    def fails_once(*given: Any) -> None:
        if failures:
            raise failures.pop()
        store(*given)

    monkeypatch.setattr(VesicleEventWriter, "append", fails_once)
    with contextlib.suppress(OSError):
        model.run(hours=0.5)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            writer.close()
    assert not (tmp_path / "events.parquet").exists()


def test_a_change_of_rate_consumes_the_rest_of_what_was_drawn() -> None:
    """Twice the rate halves the time left; at 0 none leaves, and what is drawn then is exponential."""
    model = ExosomeModel("signaling", seed=1, overrides={"transport.engine": "vesicles"})
    model.run(hours=1)
    vesicles, rows = model.state.vesicles, model.state.vesicles.rows(Status.ENDOSOMAL)
    rate, left = model.state.kinds[0].processing_rate, vesicles.due[rows] - model.state.time
    others = vesicles.due[model.state.vesicles.rows(Status.BOUND)].copy()
    for factor in (2.0, 0.0, 1.0):
        model.set("vesicle.exosome.processing_rate", f"{factor * rate * 3600!r} / h")
        vesicles = model.state.vesicles
        now = vesicles.due[rows] - model.state.time
        if factor == 2.0:
            np.testing.assert_allclose(now, left / 2, rtol=1e-9)
        elif factor == 0.0:
            assert np.isinf(now).all()
    assert abs(now.mean() * rate - 1) < 5 / np.sqrt(len(rows)), "wrong alarm once in two million"
    np.testing.assert_array_equal(vesicles.due[vesicles.rows(Status.BOUND)], others)
    assert len(rows) > 30
    assert len(others) > 0
