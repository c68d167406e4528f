"""PhysiCell's table of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.readers.text_table import PHYSICELL_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from exoabm.export.exported_run import ExportedRun


def write(finished: ExportedRun, to: Path) -> None:
    """Write the living cells at the end as PhysiCell's ``cells.csv``, version 2: ``x,y,z,type``, in um.

    Types are written by their names, which PhysiCell requires in its ``cell_definitions``. Values have no
    quotes, which PhysiCell would read as letters; names of types have no commas.
    """
    cells = finished.last_cells
    places = (np.asarray(cells[f"{axis}_um"]).tolist() for axis in "xyz")
    rows = zip(*places, cells["cell_type"].to_pylist(), strict=True)
    with to.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(PHYSICELL_COLUMNS) + "\n")
        file.writelines(f"{x!r},{y!r},{z!r},{name}\n" for x, y, z, name in rows)
