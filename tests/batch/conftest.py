"""Batches that are small enough to be run many times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from exoabm.batch.execution.plan import Plan, replicate_seeds, row_of
from exoabm.scenario.loader import load

RATE = "cell_type.donor.release_rate"
BESIDE = ("journal.sqlite", "lock")
"""Files of a batch that tell of its making, such as the time it took; all others are its data."""


def small_plan(points: int = 8, replicates: int = 1, *, hours: float = 0.05, **more: object) -> Plan:
    """Two cells for three minutes, over several release rates; a file of rows per run."""
    loaded = load("two_cells", {"cell_type.donor.secretion": "poisson"})
    rows = [
        row_of({RATE: f"{60 * (1 + i)} / h"}, seed)
        for i in range(points)
        for seed in replicate_seeds(7, replicates)
    ]
    return Plan.of(loaded, rows, hours=hours, seconds_per_row=10, **more)


def data(folder: Path) -> dict[str, bytes]:
    """All data of a batch, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in BESIDE
    }


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """See ``small_plan``."""
    return small_plan
