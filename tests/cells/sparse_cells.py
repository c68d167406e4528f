"""Worlds of cells far apart in a wide slab, for laws of birth, death and motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exoabm.cells.turnover import apply_turnover, decide_fates
from exoabm.random_streams import Streams
from exoabm.scenario.loader import parse
from exoabm.scenario.state_builder import blueprint, build_state
from exoabm.state import State

APART = 100.0
HOUR = 3600.0

BODY = """
info = {{ title = "a test" }}
domain = {{ size = [{size}, {size}], voxel = "{apart} um", thickness = "20 um" }}
transport = {{ engine = "{engine}", capture = "{capture}" }}
vesicle = [{{ name = "ev" }}]
layout.group = [{{ cell_type = "a", count = {count}, arrange = "lattice", spacing = "{apart} um" }}]
{more}
[[cell_type]]
name = "a"
diameter = "15 um"
{keys}
"""


def scattered(
    side: int,
    keys: str,
    *,
    seed: int = 1,
    engine: str = "continuum",
    capture: str = "voxel",
    more: str = "",
) -> State:
    """side x side cells of one type, 100 um apart, with some keys of their type."""
    places = {"size": side * APART, "apart": APART, "count": side * side}
    text = BODY.format(**places, engine=engine, capture=capture, keys=keys, more=more)
    loaded = parse(text.encode(), name="test", folder=Path())
    return build_state(loaded, blueprint(loaded, seed), Streams(seed))


def live(state: State, steps: int, dt: float, *, apart: bool = False) -> None:
    """Only fates, step by step; ``apart`` gives every cell a place of her own before each."""
    side = int(state.domain.extent[0] // 40)
    for _ in range(steps):
        if apart:
            # Law of numbers alone: nobody stands in anybody's way.
            n = np.arange(len(state.cells))
            place = 20.0 + 40.0 * np.column_stack([n % side, n // side])
            state.cells.position[:, :2] = place
        turnover = decide_fates(state, state.cells.position, dt)
        if turnover is not None:
            apply_turnover(state, turnover, state.time + dt)
        state.time += dt
        state.step += 1
