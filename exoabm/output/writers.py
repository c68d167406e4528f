"""The observer of cells, which streams to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from exoabm.cargo import CargoClass
from exoabm.columns import VESICLE_COUNTS, Row
from exoabm.tables.parquet import OneTable, TableWriter, pick

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.state import SourceCells, State


class CellWriter(OneTable):
    """``cells.parquet``: a row per cell and recorded time."""

    def __init__(self, path: Path, interval: float) -> None:
        self.interval = interval
        self._table = TableWriter(path)

    def record(self, state: State) -> None:
        """Append a row for every cell."""
        self._table.append(cell_table(state))


def cell_table(state: State) -> pa.Table:
    """Every cell now: who, where, and per vesicle kind what it sent and met.

    Where the layout has a table, ``source_id`` and ``source_label`` are what it says of the cell; null for
    daughters, whose ``lineage.parquet`` leads back.
    """
    cells, way, n = state.cells, state.trafficking, len(state.cells)
    columns = Row(
        time_s=np.full(n, state.time),
        cell=cells.birth_id,
        cell_type=pick([t.name for t in state.types], cells.type),
        x_um=cells.position[:, 0],
        y_um=cells.position[:, 1],
        z_um=cells.position[:, 2],
        waste_units=cells.waste,
    )
    if state.source is not None:
        for name, values in _source_columns(state.source, cells.birth_id).items():
            columns[name] = values
    if cells.mvb.shape[1]:
        columns["mvb"] = cells.mvb[:, 0]
    for c, cargo in enumerate(state.cargos):
        if cargo.role is not CargoClass.WASTE:
            columns.put("{cargo}_copies", cells.cargo[:, c], cargo=cargo.name)
    if state.responses:
        columns["effect"] = cells.effect
    for k, kind in enumerate(state.kinds):
        columns.put("{vesicle}_released", state.released[:, k], vesicle=kind.name)
        for count in VESICLE_COUNTS:
            columns.put(f"{{vesicle}}_{count}", getattr(way, count)[:, k].sum(axis=1), vesicle=kind.name)
    # Arrow would look into the state's own arrays, which go on changing while the rows wait.
    return pa.table({n: np.array(c) if isinstance(c, np.ndarray) else c for n, c in columns.items()})


def _source_columns(source: SourceCells, birth_id: np.ndarray) -> dict[str, pa.Array]:
    """What a table says of each cell by its birth id; null for those born later."""
    first = birth_id < len(source.ids)
    row = np.where(first, birth_id, 0)
    ids = [source.ids[i] if known else None for i, known in zip(row.tolist(), first.tolist(), strict=True)]
    label = pa.array(np.where(first, source.codes[row], 0), pa.int32(), mask=~first)
    return {
        "source_id": pa.array(ids, pa.string()),
        "source_label": pa.DictionaryArray.from_arrays(label, list(source.labels)),
    }
