"""Small scenarios of living cells, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exoabm import ExosomeModel
from exoabm.cells.secretion import secrete
from exoabm.random_streams import Streams
from exoabm.scenario.loader import parse
from exoabm.scenario.state_builder import blueprint, build_state
from exoabm.state import State

HEAD = """
info = { title = "a test" }
domain = { size = [SIZE, HIGH] }
clock = { step = "STEP" }
transport = { engine = "ENGINE" }
"""


def scenario(
    body: str, *, size: float = 40, high: float | None = None, step: str = "60 s", engine: str = "continuum"
) -> bytes:
    """A slab of ``size`` along x; along y a voxel more, so that axes are not taken for each other."""
    head = HEAD.replace("SIZE", f"{size:g}").replace("HIGH", f"{size + 10 if high is None else high:g}")
    return (head.replace("STEP", step).replace("ENGINE", engine) + body).encode()


def world(body: str, seed: int = 1, **keys: object) -> ExosomeModel:
    """A model of a scenario without its head."""
    return ExosomeModel(parse(scenario(body, **keys), name="test", folder=Path()), seed=seed)  # type: ignore[arg-type]


def cells_of(body: str, seed: int = 1, **keys: object) -> State:
    """Cells without an engine, for what they do by themselves."""
    loaded = parse(scenario(body, **keys), name="test", folder=Path())  # type: ignore[arg-type]
    return build_state(loaded, blueprint(loaded, seed), Streams(seed))


def released(state: State, hours: float, dt: float) -> np.ndarray:
    """Vesicles of each kind that each cell releases, (n, K)."""
    total = np.zeros((len(state.cells), len(state.kinds)))
    for _ in range(round(hours * 3600 / dt)):
        rows = secrete(state, dt)
        np.add.at(total, (rows.cell, rows.kind), rows.count)
        state.step += 1
        state.time += dt
    return total
