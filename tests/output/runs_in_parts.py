"""Runs of a hundred steps that stop on the way, and everything that a run must have again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr

from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load

STEP = 60.0


HOURS = 99.7 * STEP / 3600
"""A hundred steps, the last of them short."""


GROUP = 300
"""Rows of a group: so few that parts end within a group, and groups within a record."""


RECORD = {
    "record.cells": "7 min",
    "record.events": "3 min",
    "record.fields": "20 min",
    "record.metrics": "4 min",
}


SMALL = RECORD | {
    "domain.size": "[400, 400]",
    "domain.faces.x_low": "{concentration = '1e8 / mL'}",
    "layout.group.recipient.count": "20",
    "layout.group.recipient.outer": "180 um",
    "vesicle.exosome.recycling_probability": "0.3",
}


RUNS = {
    "linear": ("signaling", SMALL),
    "saturable": (
        "signaling",
        SMALL | {"cell_type.recipient.saturation": "10 pM", "transport.precision": "float32"},
    ),
    "waste": ("waste_removal", RECORD | {"cell_type.stressed.secretion": "poisson"}),
    "vesicles": ("signaling", SMALL | {"transport.engine": "vesicles"}),
}


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop_at(step: int, steps: int = 100) -> Callable[[float], None]:
    """A progress bar that ends a run after a step."""

    def tick(share: float) -> None:
        if share > (step - 0.5) / steps:
            raise Stop

    return tick


def start(out: Path, kind: str = "linear", **options: Any) -> Path:
    """Run for a hundred steps; a stop on the way is no error."""
    name, overrides = RUNS[kind]
    with contextlib.suppress(Stop):
        run_to_folder(load(name, overrides), out, seed=3, hours=HOURS, **options)
    return out


def halted(out: Path, kind: str = "linear", every: float = 600.0, **options: Any) -> Path:
    """A run that was stopped after 50 steps; its last checkpoint is that of step 50 at ``every`` = 600 s."""
    return start(out, kind, checkpoint_every=every, progress=stop_at(50), **options)


def contents(run: Path) -> dict[str, Any]:
    """Everything that the same run must have again."""
    found: dict[str, Any] = {}
    for path in sorted(run.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            found[path.name] = (file.read(), groups)
    group = zarr.open_group(run / "fields.zarr", mode="r")
    found["fields.zarr"] = {name: array[:].tobytes() for name, array in group.arrays()}
    found["files"] = sorted(p.relative_to(run).as_posix() for p in run.rglob("*"))
    for name in ("summary.json", "communication.graphml"):
        found[name] = (run / name).read_bytes()
    return found


def assert_same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)
