"""Cells from a table: a CSV or Parquet file of measured positions, or a PhysiCell layout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from exoabm.scenario.table_file import Format, Labels, Numbers, TableFile


@dataclass(frozen=True, eq=False)
class CellTable:
    """Cells as a file lists them; row i of every array is the file's i-th cell.

    `positions` (n, 3) in um, z = 0 where the file has none; `types` (n,) text; `radii` (n,) in um
    where asked for, NaN where the file leaves a cell's size open; `dim` 2 if all z are equal.
    """

    positions: Numbers
    types: Labels
    radii: Numbers | None
    dim: Literal[2, 3]
    source: str
    sha256: str
    format: Format


def read_table(
    path: str | Path,
    *,
    format: Literal["auto"] | Format = "auto",  # noqa: A002 (the scenario's own key)
    x: str | None = None,
    y: str | None = None,
    z: str | None = None,
    cell_type: str | None = None,
    unit: str | None = None,
    sizes: bool = False,
    max_bytes: int = 256 * 2**20,
    max_cells: int = 2_000_000,
) -> CellTable:
    """Read positions and types of cells from a file.

    Parameters
    ----------
    path
        A CSV file (UTF-8, commas, a header line), a Parquet file, or a PhysiCell `cells.csv`.
    format
        "auto" tells by the content: Parquet by its magic bytes; PhysiCell v2 by a header that
        begins x,y,z,type; PhysiCell v1 by a first row of four numbers; otherwise CSV.
    x, y, z, cell_type
        Columns, where their names do not say it. `z` may be absent.
    unit
        Unit of the columns without a suffix `_um`, `_nm` or `_mm`; um unless given. A multiple
        serves for pixels: "0.5 um" is the width of one.
    sizes
        Read radii too, from a column `area_um2` (of a disc) or `volume_um3` (of a sphere), or
        PhysiCell's `volume`. Other columns are not read.
    max_bytes, max_cells
        Larger files are refused.

    Raises
    ------
    InputError
        If the file cannot be read as asked; names the file, the column and the row, counted from
        1 below the header, without blank lines.

    Notes
    -----
    PhysiCell's rules as in its loader, modules/PhysiCell_geometry.cpp, version 1.14.2: columns by
    position, no quotes, v1 types truncated to integers, v2 rows may be shorter than the header.
    """
    file = TableFile.load(Path(path), max_bytes, max_cells)
    asked = {"x": x, "y": y, "z": z, "cell_type": cell_type}
    named = {role: column for role, column in asked.items() if column is not None}
    kind = file.detect(named) if format == "auto" else format
    measure = file.unit(unit)
    if kind == "parquet":
        columns = file.parquet(named, sizes)
    elif kind == "csv":
        columns = file.csv(named, sizes)
    elif kind in ("physicell-v1", "physicell-v2"):
        columns = file.physicell(named, sizes, kind)
    else:
        file.fail(f"format {format!r}: one of auto, csv, parquet, physicell-v1, physicell-v2")

    types = file.labels(columns["cell_type"])
    positions = np.zeros((len(types), 3))
    for axis, role in enumerate("xyz"):
        if role in columns:
            positions[:, axis] = file.coordinates(columns[role], measure)
    positions.setflags(write=False)
    return CellTable(
        positions=positions,
        types=types,
        radii=file.radii(columns["size"]) if sizes else None,
        dim=2 if (positions[:, 2] == positions[0, 2]).all() else 3,
        source=file.name,
        sha256=hashlib.sha256(file.data).hexdigest(),
        format=kind,
    )
