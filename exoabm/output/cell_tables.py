"""Tables of cells: at recorded times, and of every cell of a run in the order of birth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.analysis.communication_graph import all_cells
from exoabm.cargo import CargoClass
from exoabm.tables.declarations import CELLS, TABLES
from exoabm.tables.parquet import TableObserver
from exoabm.tables.schema import arrow, build, texts, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from exoabm.state import State, TableCells

Columns = dict[str, Any]
COUNTS = tuple(c.name for c in TABLES["cells_by_kind"].values if c.name != "released")


class CellWriter(TableObserver):
    """Cells at recorded times: type, position, vesicles, cargo and behaviors."""

    def __init__(self, folder: Path, interval: float, about: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, CELLS, about or {})
        self.interval = interval

    def record(self, state: State) -> None:
        """Append the rows of this moment."""
        for name, columns in cell_columns(state).items():
            self.append(name, columns)


def cell_columns(state: State) -> dict[str, Columns]:
    """Every cell now, as the columns of each table of cells by its name.

    Where the layout has a table, ``source_id`` and ``source_label`` are its values for the cell; null for
    daughters, whose lineage leads back.
    """
    return {
        "cells": _cells(state),
        "cells_by_kind": _by_kind(state),
        "cells_by_cargo": _by_cargo(state),
        "behaviors": _behaviors(state),
    }


def _cells(state: State) -> Columns:
    cells, n = state.cells, len(state.cells)
    columns: Columns = {
        "time_s": np.full(n, state.time),
        "cell": cells.birth_id,
        "cell_type": words([t.name for t in state.types], cells.type),
        **{f"{axis}_um": cells.position[:, i] for i, axis in enumerate("xyz")},
        "waste_units": cells.waste,
    }
    if state.source is not None:
        columns |= _source_columns(state.source, cells.birth_id)
    if cells.mvb.shape[1]:
        columns["mvb"] = cells.mvb[:, 0]
    if state.responses:
        columns["effect"] = cells.effect
    return columns


def _by_kind(state: State) -> Columns:
    names = [kind.name for kind in state.kinds]
    counts = {name: getattr(state.trafficking, name).sum(axis=2) for name in COUNTS}
    values = {"released": state.released, **counts}
    return _long(state, "vesicle_kind", names, values)


def _by_cargo(state: State) -> Columns:
    held = [c for c, cargo in enumerate(state.cargos) if cargo.role is not CargoClass.WASTE]
    names = [state.cargos[c].name for c in held]
    return _long(state, "cargo", names, {"copies": state.cells.cargo[:, held]})


def _behaviors(state: State) -> Columns:
    columns = _long(state, "behavior", list(state.behaviors), {"value": state.cells.behavior})
    known = list(dict.fromkeys(unit for units in state.behavior_units for unit in units))
    place = np.array([[known.index(unit) for unit in units] for units in state.behavior_units], np.int64)
    of_cell = place.reshape(len(state.types), -1)[state.cells.type]
    return columns | {"unit": words(known, of_cell.T.ravel())}


def _long(state: State, key: str, names: list[str], values: Mapping[str, np.ndarray]) -> Columns:
    """A row for each name and cell, of values (n, names)."""
    n = len(state.cells)
    return {
        "time_s": np.full(n * len(names), state.time),
        "cell": np.tile(state.cells.birth_id, len(names)),
        key: words(names, np.repeat(np.arange(len(names)), n)),
        **{name: value.T.ravel() for name, value in values.items()},
    }


def _source_columns(source: TableCells, birth_id: np.ndarray) -> dict[str, pa.Array]:
    """Values of a table for each cell by its birth id; null for cells born later."""
    first = birth_id < len(source.ids)
    row = np.where(first, birth_id, 0)
    ids = [source.ids[i] if known else None for i, known in zip(row.tolist(), first.tolist(), strict=True)]
    return {
        "source_id": texts(ids),
        "source_label": words(list(source.labels), np.where(first, source.codes[row], -1)),
    }


def over_lives(state: State, count: str, kinds: Sequence[int]) -> np.ndarray:
    """A count of ``CUMULATIVE_COUNTS``, summed over vesicle kinds, of all cells in the order of birth."""
    cells, met = all_cells(state), state.lineage.contacts
    chosen = np.isin(met["kind"], kinds)
    total = np.zeros(len(cells))
    np.add.at(total, cells.row_of(met["recipient"][chosen]), met[count][chosen])
    total[cells.row_of(state.cells.birth_id)] += getattr(state.trafficking, count)[:, kinds].sum(axis=(1, 2))
    return total


def lineage_table(state: State, about: Mapping[str, str] | None = None) -> pa.Table:
    """One row a cell, in the order of birth.

    ``mother`` is null for cells of the layout, ``died_s`` for the living. Type and position are those of now,
    or of death.
    """
    cells, dead = all_cells(state), state.lineage.dead
    mother, born = np.empty(len(cells), np.int64), np.empty(len(cells))
    died = np.full(len(cells), np.nan)
    for rows, source in (
        (cells.row_of(state.cells.birth_id), {"mother": state.cells.mother, "born": state.cells.born}),
        (cells.row_of(dead["birth_id"]), {"mother": dead["mother"], "born": dead["born"]}),
    ):
        mother[rows], born[rows] = source["mother"], source["born"]
    died[cells.row_of(dead["birth_id"])] = dead["died"]
    return build(
        TABLES["lineage"],
        {
            "cell": cells.birth_id,
            "mother": arrow(mother, mother < 0),
            "cell_type": words([t.name for t in state.types], cells.type),
            "born_s": born,
            "died_s": died,
            **{f"{axis}_um": cells.position[:, i] for i, axis in enumerate("xyz")},
        },
        about,
    )
