"""Cells and space of a run as its views draw them, and how they are read from the files of a run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from exoabm.errors import InputError
from exoabm.plot import palette
from exoabm.plot.palette import Looks
from exoabm.scenario.cell_builder import binding, may_donate
from exoabm.scenario.loader import MAX_BYTES, parse

if TYPE_CHECKING:
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_cells import CellTypeTable


@dataclass(frozen=True)
class Cells:
    """Cells (n): birth ``ids``, ``type`` into ``styles``, ``position`` (n, 3) in um, and ``alive``.

    Type and position of dead cells are those at death.
    """

    ids: np.ndarray
    type: np.ndarray
    position: np.ndarray
    styles: tuple[palette.Style, ...]
    alive: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """The row of each id, -1 where there is no such cell."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        order = np.argsort(self.ids, kind="stable")
        place = np.minimum(np.searchsorted(self.ids[order], ids), len(self.ids) - 1)
        row = order[place]
        return np.where(self.ids[row] == ids, row, -1)


@dataclass(frozen=True)
class Space:
    """The simulated space: ``low`` and ``size`` (3) in um, ``periodic`` (3).

    ``down``: y points downward in drawings.
    """

    low: np.ndarray
    size: np.ndarray
    periodic: np.ndarray
    down: bool = False

    def distance(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Distances (n) in um between points (n, 3), around periodic faces too."""
        step = end - start
        turns = np.where(self.periodic, np.round(step / np.where(self.periodic, self.size, 1.0)), 0.0)
        return np.linalg.norm(step - turns * self.size, axis=1)


@dataclass(frozen=True)
class _Part:
    """The properties of a cell type that ``Looks`` needs, from a scenario alone."""

    name: str
    donates: bool
    uptake_rate: float
    becomes: int | None = None


def read_about(folder: Path) -> dict[str, Any]:
    """The content of ``run.json`` of a run folder.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{folder.name}: run.json cannot be read")
    return about


def scenario_of(about: dict[str, Any]) -> Scenario:
    """The scenario of a ``run.json``, checked like any scenario file.

    Raises
    ------
    InputError
        If it is no scenario.
    """
    import tomli_w

    name = str(about.get("scenario_name", "run"))[:80]
    try:
        data = tomli_w.dumps(about["scenario"]).encode()
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("run.json holds no scenario") from None
    if len(data) > MAX_BYTES:
        raise InputError("the scenario in run.json is too large")
    return parse(data, name=name, folder=Path(), trusted=False).scenario


def looks_at_start(table: pa.Table, scenario: Scenario) -> Looks:
    """How a run draws its cell types, from the rows of ``cells.parquet`` at its start."""
    numbers = {t.name: i for i, t in enumerate(scenario.cell_type)}
    parts = [
        _Part(
            t.name,
            _donates(scenario, t),
            float(binding(scenario, t)[0].max(initial=0.0)),
            None if t.transformation is None else numbers[t.transformation.into],
        )
        for t in scenario.cell_type
    ]
    words = words_of(table["cell_type"])
    parts += [_Part(name, False, 0.0) for name in sorted(set(words) - set(numbers))]
    counts = np.array([words.count(part.name) for part in parts], dtype=np.int64)
    return Looks.of(parts, counts)  # type: ignore[arg-type]


def cells_of(table: pa.Table, styles: tuple[palette.Style, ...]) -> Cells:
    """The cells in rows of ``cells.parquet`` of one moment, or of ``lineage.parquet``.

    Raises
    ------
    InputError
        If a cell has an unknown type or a position that is not finite.
    """
    index = {style.name: i for i, style in enumerate(styles)}
    words = words_of(table["cell_type"])
    strange = next((word for word in words if word not in index), None)
    if strange is not None:
        raise InputError(f"cells.parquet: no cell type {strange[:60]!r} in the scenario")
    kind = np.array([index[word] for word in words], dtype=np.int64)
    position = np.column_stack([table[f"{axis}_um"].to_numpy() for axis in "xyz"]).astype(float)
    if not np.isfinite(position).all():
        raise InputError("cells.parquet: a position is not finite")
    mortal = "died_s" in table.column_names
    alive = table["died_s"].is_null().to_numpy() if mortal else np.ones(len(table), bool)
    return Cells(table["cell"].to_numpy(), kind, position, styles, alive)


def runs_down(about: dict[str, Any]) -> bool:
    """Whether y points downward in the pictures of a run, by the table entry of its ``run.json``."""
    table = about.get("table")
    return isinstance(table, dict) and table.get("y") == "down"


def space_of(scenario: Scenario, position: np.ndarray) -> Space:
    """The declared space of a scenario, or the box around its cells where it is fitted to them."""
    domain = scenario.domain
    if isinstance(domain.size, str):
        border = float(domain.margin)
        low = position.min(axis=0) - border if len(position) else np.zeros(3)
        size = np.ptp(position, axis=0) + 2 * border if len(position) else np.ones(3)
    else:
        size = np.array([*map(float, domain.size), float(domain.thickness)][:3])
        low = np.zeros(3)
    periodic = np.array([domain.faces.side(f"{axis}_low") == "periodic" for axis in "xyz"])
    return Space(low, size, periodic)


def _donates(scenario: Scenario, cell: CellTypeTable) -> bool:
    exports = cell.waste is not None and float(cell.waste.export_rate) > 0
    exports = exports or any(float(held.export) > 0 for held in cell.holds)
    releases = cell.releases is not None or cell.mvb is not None
    holds = cell.mvb is not None and bool(cell.mvb.number)
    return exports or holds or (releases and float(cell.release_rate) > 0) or may_donate(scenario, cell)


def words_of(column: pa.ChunkedArray) -> list[str]:
    """The words of a column of a table, "" for those missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return ["" if word is None else str(word) for word in column.to_pylist()]
