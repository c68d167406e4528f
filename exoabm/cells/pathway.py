"""The pathway of multivesicular bodies (MVBs): they form, meet their fate, and some fuse with the membrane.

    dM/dt = k_form - k_fate M,    fusions = f_sec k_fate M,    vesicles = b per fusion

Formation is fixed by the release rate of the cell type at rest, k_form = q / (f_sec b), so that a cell
without drugs releases what its type says, and a drug moves the share, the fate or the vesicles in a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exoabm.cells.pools import relax
from exoabm.physiology import CellType, SecretionMode
from exoabm.state import State
from exoabm.streams import Purpose

if TYPE_CHECKING:
    from exoabm.physiology import MvbPathway


def fuse(
    state: State, cell_type: CellType, pathway: MvbPathway, members: np.ndarray, dt: float
) -> list[tuple[int, np.ndarray]]:
    """Vesicles that the cells in ``members`` release in ``dt`` seconds: a kind and the count of each cell.

    At the mean, exact over the step. As a Poisson process, bodies are whole: formed ~ Poisson, those that
    meet their fate binomial, and of these those that fuse binomial; at rest the fusions are a Poisson process
    and the vesicles have the Fano factor 1 + b.
    """
    q = state.present("release_rate", members, cell_type.release_rate)
    b = state.present("ilvs_per_mvb", members, cell_type.ilvs_per_mvb)
    f = state.present("secretory_fraction", members, pathway.secretory_fraction)
    k = state.present("mvb_fate_rate", members, pathway.fate_rate)
    formation = q * (pathway.formation(1.0, cell_type.ilvs_per_mvb))
    held = state.cells.mvb[members, 0]
    if cell_type.secretion is SecretionMode.MEAN:
        rest, integral = relax(held, formation, k, dt)
        fusions = f * (k * integral)
    else:
        rest, fusions = _whole(state, members, held, formation, k, f, dt)
    state.cells.mvb[members, 0] = rest
    return [
        (kind, _vesicles(state, cell_type, members, kind, fusions * b * share))
        for kind, share in pathway.sorting
    ]


def _whole(
    state: State,
    members: np.ndarray,
    held: np.ndarray,
    formation: float | np.ndarray,
    k: float | np.ndarray,
    f: float | np.ndarray,
    dt: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Whole bodies left after the step, and those that fused in it.

    Expected numbers, as at the start and of cells that were of another type, are rounded at random.
    """
    streams, who, step = state.streams, state.cells.birth_id[members], state.step
    held = np.floor(held + streams.uniform(Purpose.ROUNDING, who, step, draw=Purpose.MVB_FATE))
    formed = streams.poisson(Purpose.MVB_FORMATION, who, step, formation * dt)
    old = streams.binomial(Purpose.MVB_FATE, who, step, held.astype(np.int64), -np.expm1(-k * dt))
    early = 1.0 + np.expm1(-k * dt) / (k * dt)
    new = streams.binomial(Purpose.MVB_EARLY_FATE, who, step, formed, np.clip(early, 0.0, 1.0))
    fused = streams.binomial(Purpose.MVB_FUSION, who, step, old + new, f)
    return (held + formed - old - new).astype(float), fused.astype(float)


def _vesicles(
    state: State, cell_type: CellType, members: np.ndarray, kind: int, expected: np.ndarray
) -> np.ndarray:
    """Vesicles of a kind by their expected number; each kind of a cell has draws of its own."""
    who = state.cells.birth_id[members] * len(state.kinds) + kind
    if cell_type.secretion is SecretionMode.POISSON:
        return state.streams.poisson(Purpose.SORTED_ILVS, who, state.step, expected).astype(float)
    if state.vesicles is None:
        return expected
    u = state.streams.uniform(Purpose.ROUNDING, who, state.step, draw=Purpose.SORTED_ILVS)
    return np.floor(expected + u)
