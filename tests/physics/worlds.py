"""Small worlds for tests: a scenario as text, the model built from it, and a few closed forms.

Lengths in um, times in s, and unless a test says otherwise vesicles that diffuse freely, live for
ever, have one size and never unbind, so that one mechanism is seen at a time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exoabm import ExosomeModel
from exoabm.scenario.loader import parse

FREE = 6.572
"""D of a 100 nm vesicle in water at 37 C, um^2/s."""
TISSUE = 0.33
"""D* in tissue, um^2/s."""
HALF_LIFE = 6 * 3600.0
DECAY = np.log(2) / HALF_LIFE
"""1/s, of the default half-life of 6 h."""

Table = Mapping[str, Any]

VESICLE = {"name": "EV", "diffusivity": FREE, "diameter_gsd": 1, "half_life": "inf", "unbinding_rate": 0}
DONOR = {"name": "donor", "releases": "EV"}
RECIPIENT = {"name": "recipient", "takes_up": ["EV"], "saturation": "inf"}
STONE = {"name": "stone"}
"""A cell that does nothing; a layout needs one."""


def toml(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)


def world(
    size: Sequence[float | str],
    cells: Sequence[tuple[Table, Any]] = (),
    *,
    voxel: float | str = 10.0,
    vesicle: Table | None = None,
    domain: Table | None = None,
    transport: Table | None = None,
    step: float | str = 60.0,
    seed: int = 1,
    threads: int = 1,
    **tables: Any,
) -> ExosomeModel:
    """A model of ``cells``, pairs of a cell type and the positions of its cells.

    Further tables of the scenario are given by name, as ``cargo=[...]``; None in ``vesicle`` takes
    a key of ``VESICLE`` away.
    """
    cells = cells or [(STONE, [[0.0] * len(size)])]
    scenario = {
        "info": {"title": "a test"},
        "domain": {"size": size, "voxel": voxel, **(domain or {})},
        "layout": {
            "group": [
                {"cell_type": kind["name"], "arrange": "points", "points": points} for kind, points in cells
            ]
        },
        "clock": {"step": step},
        "transport": transport or {},
        "vesicle": [{k: v for k, v in {**VESICLE, **(vesicle or {})}.items() if v is not None}],
        "cell_type": [kind for kind, _ in cells],
        **tables,
    }
    text = "\n".join(f"{key} = {toml(table)}" for key, table in scenario.items())
    loaded = parse(text.encode(), name="test", folder=Path())
    return ExosomeModel(loaded, seed=seed, threads=threads)


def pour(model: ExosomeModel, amount: Any, label: int = 0) -> None:
    """Add free vesicles, a number or one number for each voxel, booked as emitted."""
    state = model.state
    before = state.fields[0][label].sum()
    state.fields[0][label] += amount
    state.balance.emitted[0, label] += state.fields[0][label].sum() - before


def run(model: ExosomeModel, seconds: float) -> ExosomeModel:
    """Run for some seconds; the model itself, to measure in one line."""
    model.run(hours=seconds / 3600)
    return model


def concentration(model: ExosomeModel) -> np.ndarray:
    """Free vesicles / um^3 in every voxel, all origins together."""
    return np.asarray(model.state.fields[0].sum(axis=0) / model.state.domain.voxel_volume)


def stop_secretion(model: ExosomeModel) -> None:
    """From now on no cell releases anything new."""
    model.state.types = tuple(dataclasses.replace(kind, release_rate=0.0) for kind in model.state.types)


def middle(n: int, voxel: float, dim: int) -> list[float]:
    """Center of the central voxel of n^dim, n odd."""
    return [n * voxel / 2] * dim


def collins_kimball(uptake_rate: float, diffusivity: float, radius: float = 7.5) -> float:
    """1/k_eff = 1/k_a + 1/(4 pi D a)."""
    return 1 / (1 / uptake_rate + 1 / (4 * np.pi * diffusivity * radius))


def absorbing_cube(point: Sequence[float], edge: float, screening: float = 0.0) -> float:
    """What absorbing faces take away from a unit source in the middle of a cube, 1/um.

        integral_0^inf [prod g_free - prod g_box] exp(-tau / L^2) dtau,   tau = D t

    g are heat kernels along each axis, g_box by images while tau is short and by sines later. The
    concentration is S/D times (exp(-r/L) / (4 pi r) - this); ``screening`` is 1/L^2.
    """
    tau = edge**2 * np.exp(np.arange(-9.0, 30.0, 0.02))
    n = np.arange(-8, 9)
    m = np.arange(1, 40, 2) * np.pi / edge
    free, box = np.ones_like(tau), np.ones_like(tau)
    for x in point:
        images = np.exp(-((x - n * edge) ** 2) / (4 * tau[:, None])) / np.sqrt(4 * np.pi * tau[:, None])
        modes = 2 / edge * np.exp(-(m**2) * tau[:, None]) @ np.cos(m * x)
        free *= images[:, 8]
        box *= np.where(tau < 0.1 * edge**2, images @ (-1.0) ** n, modes)
    return float(np.sum((free - box) * np.exp(-screening * tau) * tau) * 0.02)
