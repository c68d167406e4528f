"""The tables and fields of a run, against the mass balance and against each other."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from exoabm import ExosomeModel
from exoabm.accounting.mass_balance import PLACES
from exoabm.analysis.communication import PER_ML
from exoabm.output.cell_tables import CellWriter
from exoabm.output.concentration_fields import FieldWriter
from exoabm.output.expected_events import EventWriter
from exoabm.state import RESERVOIR
from exoabm.tables import parquet
from exoabm.tables.parquet import ROWS_PER_GROUP, TableWriter, _GroupWriter

WORDS = pa.dictionary(pa.int32(), pa.string())
HOURS = 2.0
COMMON = {
    "record.cells": "30 min",
    "record.events": "20 min",
    "record.fields": "1 h",
    "clock.step": "2 min",
}
RUNS = {
    "cells-and-reservoir": (
        "signaling",
        COMMON
        | {
            "domain.size": "[400, 400]",
            "layout.group.recipient.count": "40",
            "layout.group.recipient.outer": "180 um",
            "domain.faces.x": "{concentration = '1e8 / mL'}",
            "domain.faces.y": "open",
            "vesicle.exosome.recycling_probability": "0.3",
            "cell_type.recipient.saturation": "10 pM",
        },
    ),
    "types-and-waste": ("waste_removal", COMMON | {"cell_type.stressed.secretion": "poisson"}),
}


@dataclass
class Recorded:
    """A finished model and what its observers wrote."""

    model: ExosomeModel
    cells: pa.Table
    by_kind: pa.Table
    events: pa.Table
    fields: Any

    def counted(self, event: str, kind: str, donor_type: str) -> float:
        """Sum of the counts of an event."""
        rows = self.events.to_pandas()
        mine = (rows["event"] == event) & (rows["vesicle_kind"] == kind) & (origin(rows) == donor_type)
        return float(rows.loc[mine, "count"].sum())


def origin(rows: pd.DataFrame) -> pd.Series:
    """The cell type that sent, or what is no cell."""
    return rows["donor_type"].astype(object).fillna(rows["sender"].astype(object))


@pytest.fixture(scope="module", params=RUNS.values(), ids=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    name, overrides = request.param
    folder: Path = tmp_path_factory.mktemp("run")
    model = ExosomeModel(name, seed=3, overrides=overrides)
    record = model.scenario.record
    model.observe(CellWriter(folder, float(record.cells)))
    model.observe(EventWriter(folder, float(record.events)))
    model.observe(FieldWriter(folder / "fields.zarr", float(record.fields)))
    model.run(hours=HOURS)
    model.recorder.finish(model.state)
    return Recorded(
        model,
        pq.read_table(folder / "cells.parquet"),
        pq.read_table(folder / "cells_by_kind.parquet"),
        pq.read_table(folder / "events.parquet"),
        zarr.open_group(folder / "fields.zarr", mode="r"),
    )


def test_arrays_name_their_axes(run: Recorded) -> None:
    """So that programs that know Zarr, but not us, find them."""
    for name, array in run.fields.arrays():
        own = {"time_s": ["time"], "donor_type": ["label"]}
        expected = own.get(name, run.fields.attrs["axes"] if name == "concentration" else [name])
        assert list(array.metadata.dimension_names) == expected
    assert run.fields.attrs["axes"][:3] == ["time", "vesicle_kind", "label"]


def accounts(recorded: Recorded, kind: str, donor_type: str) -> dict[str, float]:
    """The ledger of a kind and donor type, from the events alone."""
    n = Counter({e: recorded.counted(e, kind, donor_type) for e in set(recorded.events["event"].to_pylist())})
    emitted = n["release"] + n["entry"] + n["recycling"]
    bound = n["encounter"] - n["uptake"] - n["unbinding"]
    inside = n["uptake"] - n["degradation"] - n["recycling"] - n["delivery"]
    gone = n["clearance"] + n["escape"] + n["degradation"] + n["recycling"] + n["delivery"]
    return {
        "emitted": emitted,
        "free": emitted - bound - inside - gone,
        "bound": bound,
        "endosomal": inside,
        "lysosomal": n["degradation"],
        "recycled": n["recycling"],
        "delivered": n["delivery"],
        "cleared": n["clearance"],
        "escaped": n["escape"],
    }


def ledger(recorded: Recorded, k: int, donor_type: str) -> dict[str, float]:
    """The same from the mass balance itself."""
    state = recorded.model.state
    mine = np.array([t == donor_type for t in state.labels.types])
    columns = {"emitted": state.balance.emitted, **state.balance.accounts}
    return {name: float(array[k, mine].sum()) for name, array in columns.items()}


@pytest.mark.parametrize("account", ["emitted", *PLACES])
def test_the_events_sum_to_the_ledger(run: Recorded, account: str) -> None:
    """Every account, kind and origin. The bound need a row for every unbinding."""
    seen = 0.0
    for k, kind in enumerate(run.model.state.kinds):
        for donor_type in set(run.model.state.labels.types):
            expected = ledger(run, k, donor_type)
            found = accounts(run, kind.name, donor_type)
            assert found[account] == pytest.approx(
                expected[account], rel=1e-9, abs=1e-9 * expected["emitted"]
            )
            seen += expected[account]
    if account not in ("escaped", "recycled"):
        assert seen > 0


def test_events_name_both_parties_their_place_and_time(run: Recorded) -> None:
    state = run.model.state
    by_cell = run.model.scenario.transport.provenance == "cell"
    at = {c.birth_id: tuple(c.position) for c in run.model.agents}
    for row in run.events.to_pylist():
        assert row["count"] > 0
        assert 0 < row["time_s"] <= HOURS * 3600 + 1e-6
        assert row["interval_s"] == pytest.approx(1200)
        place = (row["x_um"], row["y_um"], row["z_um"])
        match row["event"]:
            case "release":
                assert row["donor"] is not None
                assert place == at[row["donor"]]
            case "clearance" | "escape" | "entry":
                assert row["recipient"] is None
                assert place == (None, None, None)
            case _:
                assert row["recipient_type"] in {t.name for t in state.types}
                assert place == at[row["recipient"]]
                assert (row["donor"] is not None) == (by_cell and row["sender"] != RESERVOIR)
    assert run.events["vesicle"].null_count == run.events.num_rows


def test_the_edges_sum_to_the_ledger(run: Recorded) -> None:
    """Taken up = inside now or ended inside or recycled; bound and delivered."""
    edges, state = run.model.edges.to_pandas(), run.model.state
    for k, kind in enumerate(state.kinds):
        for donor_type in set(state.labels.types):
            mine = edges[(edges["vesicle_kind"] == kind.name) & (origin(edges) == donor_type)]
            book = ledger(run, k, donor_type)
            inside = sum(book[p] for p in ("endosomal", "lysosomal", "delivered", "recycled"))
            assert mine["taken_up"].sum() == pytest.approx(inside, rel=1e-9)
            assert mine["delivered"].sum() == pytest.approx(book["delivered"], rel=1e-9)
            assert mine["bound"].sum() == pytest.approx(book["bound"], rel=1e-9)
            assert mine["taken_up"].sum() != pytest.approx(1.05 * inside, rel=1e-9) or inside == 0


def test_there_is_a_row_for_each_cell_and_time(run: Recorded) -> None:
    state, table = run.model.state, run.cells.to_pandas()
    times = table["time_s"].unique()
    assert times == pytest.approx([0, 1800, 3600, 5400, 7200])
    assert len(table) == len(times) * len(state.cells)
    last = table[table["time_s"] == times[-1]]
    assert (last["cell"].to_numpy() == state.cells.birth_id).all()
    assert (last["cell_type"].astype(str).to_numpy() == state.type_names()).all()
    assert (last[["x_um", "y_um", "z_um"]].to_numpy() == state.cells.position).all()
    assert (last["waste_units"].to_numpy() == state.cells.waste).all()
    by_kind = run.by_kind.to_pandas()
    for k, kind in enumerate(state.kinds):
        mine = by_kind[(by_kind["time_s"] == times[-1]) & (by_kind["vesicle_kind"] == kind.name)]
        assert (mine["cell"].to_numpy() == state.cells.birth_id).all()
        assert (mine["released"].to_numpy() == state.released[:, k]).all()
        for count in ("encountered", "bound", "taken_up", "endosomal", "lysosomal", "recycled", "delivered"):
            expected = getattr(state.trafficking, count)[:, k].sum(axis=1)
            assert (mine[count].to_numpy() == expected).all()


def test_fields_hold_the_concentration(run: Recorded) -> None:
    state, group = run.model.state, run.fields
    assert group["time_s"][:] == pytest.approx([0, 3600, 7200])
    assert group.attrs["unit"] == "vesicles/mL"
    assert group.attrs["axes"] == ["time", "vesicle_kind", "label", "y", "x"]
    assert group.attrs["labels"] == list(state.labels.names)
    assert group.attrs["voxel_um"] == 10
    assert not group["concentration"][0].any()
    assert group["vesicle_kind"][:].tolist() == [kind.name for kind in state.kinds]
    for k in range(len(state.kinds)):
        last = np.asarray(group["concentration"][-1, k], float)
        expected = state.free_per_voxel(k) * PER_ML / state.domain.voxel_volume
        np.testing.assert_allclose(last, expected, rtol=1e-6, atol=1e-30)
        free = last.sum() * state.domain.voxel_volume / PER_ML
        leaving = state.trafficking.returning[:, k].sum()
        assert free + leaving == pytest.approx(state.balance["free"][k].sum(), rel=1e-5)


def test_a_table_grows_by_tables_and_may_stay_empty(tmp_path) -> None:
    writer = TableWriter(tmp_path / "a.parquet")
    for start in (0, 3):
        writer.append(pa.table({"n": list(range(start, start + 3))}))
    writer.close()
    assert pq.read_table(tmp_path / "a.parquet")["n"].to_pylist() == [0, 1, 2, 3, 4, 5]


def test_rows_that_wait_for_a_full_group_keep_no_written_ones_in_memory(tmp_path) -> None:
    """Parts of a table share its memory: a record of many groups remained until the next record."""
    writer = _GroupWriter(tmp_path / "a.parquet", pa.schema({"n": pa.int64(), "word": WORDS}))
    numbers = np.arange(3 * ROWS_PER_GROUP + 100)
    words = pa.DictionaryArray.from_arrays(pa.array(numbers % 2, pa.int32()), ["a", "b"])
    writer.append(pa.table({"n": numbers, "word": words}))
    (waiting,) = writer._waiting
    assert len(waiting) == 100
    assert waiting.get_total_buffer_size() < 10_000
    writer.append(pa.table({"n": numbers, "word": words}))
    writer.close()
    found = pq.ParquetFile(tmp_path / "a.parquet")
    sizes = [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert sizes == [ROWS_PER_GROUP] * 6 + [200]
    table = found.read()
    assert table["n"].to_pylist() == [*numbers.tolist()] * 2
    assert table["word"].to_pylist() == [*words.to_pylist()] * 2


@pytest.mark.parametrize("rows", [2, 3])
def test_a_table_that_lost_a_group_is_never_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Neither a full group nor the last one; however often the writer is closed."""
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 3)
    writer, failures = TableWriter(tmp_path / "a.parquet"), [OSError(errno.ENOSPC, "full")]
    write = pq.ParquetWriter.write_table

    def fails_once(*given: Any) -> None:
        if failures:
            raise failures.pop()
        write(*given)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fails_once)
    writer.append(pa.table({"n": list(range(rows))}))
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            writer.close()
    with pytest.raises(OSError, match="full"):
        writer.snapshot()
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("writer", [CellWriter, EventWriter, FieldWriter])
def test_a_writer_that_saw_nothing_closes(tmp_path, writer: Callable[[Path, float], Any]) -> None:
    writer(tmp_path / "a", 60.0).close()


def test_the_events_of_nothing_are_an_empty_table(tmp_path) -> None:
    model = ExosomeModel("two_cells", seed=1, overrides={"cell_type.donor.release_rate": "0"})
    model.observe(EventWriter(tmp_path, 60.0))
    model.run(hours=0.1)
    model.recorder.finish(model.state)
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.num_rows == 0
    assert "count" in table.column_names
