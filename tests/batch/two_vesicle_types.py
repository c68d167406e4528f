"""A sweep of two kinds of vesicle between three types, small enough to be run in a test."""

from __future__ import annotations

from pathlib import Path

from exoabm.batch.execution.runner import run_rows
from exoabm.batch.sweeps.sweep import plan_sweep, report
from exoabm.scenario.loader import load

RATE = "cell_type.donor.release_rate"
TWO_KINDS = """
info = { title = "two kinds" }
domain = { size = [160, 120], voxel = "10 um", faces = { x = "periodic" } }
clock = { step = "2 min", duration = "30 min" }
transport = { engine = "vesicles" }
layout = { group = [
  { cell_type = "donor", count = 4 }, { cell_type = "taker_of_all", count = 12 },
  { cell_type = "idle", count = 2 },
] }
cargo = [{ name = "note", copies = 3 }]
vesicle = [
  { name = "small", cargo = ["note"], delivery_probability = 0.5 },
  { name = "large", cargo = ["note"], delivery_probability = 0.5 },
]
[[cell_type]]
name = "donor"
release_rate = "120 / h"
takes_up = ["small"]
mvb = { sorting = [{ vesicle = "small", share = 0.7 }, { vesicle = "large", share = 0.3 }] }
[[cell_type]]
name = "taker_of_all"
releases = "small"
release_rate = "30 / h"
takes_up = ["small", "large"]
[[cell_type]]
name = "idle"
"""


def swept(folder: Path, replicates: int = 3) -> Path:
    """The folder of a sweep over two rates, with the runs kept."""
    source = folder / "two_kinds.toml"
    source.write_text(TWO_KINDS)
    rates = [f"{RATE}=60 / h,240 / h"]
    plan = plan_sweep(load(source), rates, source=source, replicates=replicates, seed=1, keep="runs")
    report(run_rows(plan, folder / "sweep"))
    return folder / "sweep"
