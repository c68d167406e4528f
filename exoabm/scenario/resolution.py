"""Whether a grid tells neighboring cells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.scenario.layouts import ENDLESS, neighbors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from exoabm.domain import Domain
    from exoabm.physiology import CellType
    from exoabm.scenario.schema import Transport

COARSE = 0.5
"""Largest voxel that tells neighboring cells apart, over the typical distance between them."""


def grid_warnings(
    transport: Transport,
    domain: Domain,
    types: tuple[CellType, ...],
    type_index: np.ndarray,
    position: np.ndarray,
) -> list[str]:
    """Say where voxels are too coarse for cells that take up, or ``transport.courant`` is of no use.

    Cells that share voxels share what comes there: in tissue with 11 um between cells, voxels of 10 um let
    macrophages take up a sixth less than voxels of 5 um.
    """
    if transport.engine == "vesicles" and transport.capture == "membrane":
        unused = "transport.courant is not used: with capture = 'membrane' vesicles choose their own steps"
        return [] if transport.courant is None else [unused]
    takes_up = np.array([bool((t.uptake_rate > 0).any()) for t in types])[type_index]
    fine = COARSE * typical_spacing(position[takes_up], domain.period)
    if domain.voxel <= fine * (1 + 1e-9):
        return []
    warning = (
        f"domain.voxel = {domain.voxel:g} um is more than half of the {fine / COARSE:.3g} um that "
        "typically lie between neighbors that take vesicles up: they share voxels, and greedy ones take up "
        f"too little. Voxels of {fine:.2g} um or less tell them apart"
    )
    return [warning]


def typical_spacing(position: np.ndarray, period: ArrayLike = ENDLESS) -> float:
    """Median distance to the nearest neighbor of points (n, 3), um; infinite for fewer than two."""
    if len(position) < 2:
        return np.inf
    tree = neighbors(position, period)
    distance = np.asarray(tree.query(tree.data, k=2)[0])
    return float(np.median(distance[:, 1]))
