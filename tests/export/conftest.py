"""Small finished runs of a tissue of 36 cells of four types, which all send and take up, off the origin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exoabm.export.exported_run import ExportedRun
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

LABELS = ("CK+", "CD68+", "other", "B")
SHORT = {
    "transport.provenance": "cell",
    "clock.step": "5 min",
    "domain.voxel": "10 um",
    "record.fields": "30 min",
    "record.cells": "30 min",
}
VARIANTS = {
    "continuum": {},
    "vesicles": {"transport.engine": "vesicles"},
    "living": {
        "transport.engine": "vesicles",
        "cell_type.tumor.death_rate": "1 / h",
        "cell_type.tumor.division_rate": "0.5 / h",
    },
    "types": {"transport.provenance": "cell_type"},
}


def table(path: Path) -> Path:
    """Nine columns by four rows of cells; x and y have other lengths, and neither begins at 0."""
    shift = np.random.default_rng(1).random((36, 2))
    rows = [
        f"slide/{i:03d},{300 + 14 * (i % 9) + dx:.3f},{-50 + 14 * (i // 9) + dy:.3f},{LABELS[i * 7 // 3 % 4]}"
        for i, (dx, dy) in enumerate(shift)
    ]
    path.write_text("Cell ID,x_um,y_um,cell_type\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportedRun]:
    """A finished run by its name in ``VARIANTS``, made once."""
    made: dict[str, ExportedRun] = {}
    home = tmp_path_factory.mktemp("exported")
    cells = table(home / "cells.csv")

    def run(name: str) -> ExportedRun:
        if name not in made:
            loaded = load(str(cells), SHORT | VARIANTS[name])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("exoabm.output.single_vesicle_events.GROUP", 1000)  # several row groups
                made[name] = ExportedRun(run_to_folder(loaded, home / name, seed=1, hours=1).folder)
        return made[name]

    return run
