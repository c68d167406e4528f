"""Time that a vesicle is in a model, and the cells that it meets, from its rates before a run."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exoabm.cell_type import CellType
    from exoabm.domain import Domain
    from exoabm.scenario.schema import Scenario
    from exoabm.scenario.schema_cells import VesicleTable
    from exoabm.vesicle import VesicleKind


def stay_and_encounters(
    scenario: Scenario, captured: Mapping[str, float] | None
) -> tuple[float, float, float]:
    """Of a vesicle: mean time in the model, s, and encounters with cells, in all and within a step.

    Each is that of the vesicle kind with most.
    """
    duration, step = float(scenario.clock.duration), float(scenario.clock.step)
    stay, encounters, at_once = 0.0, 0.0, 0.0
    for vesicle in scenario.vesicle:
        rate = math.inf if captured is None else captured.get(vesicle.name, 0.0)
        stay = max(stay, mean_stay(vesicle, duration, rate if captured else 0.0))
        encounters = max(encounters, min(_most_encounters(vesicle), rate * stay))
        # In a step a vesicle comes to a further cell only if it has left the membrane of the one before.
        left = float(vesicle.unbinding_rate) + float(vesicle.internalization_rate)
        at_once = max(at_once, min(encounters, 1.0 + left * step))
    return stay, encounters, at_once


def _most_encounters(vesicle: VesicleTable) -> float:
    """Cells that a vesicle reaches if it is never cleared between them, 1e9 at most."""
    off, inward = float(vesicle.unbinding_rate), float(vesicle.internalization_rate)
    stays = (1.0 - float(vesicle.recycling_probability)) * (inward / (off + inward) if off > 0 else 1.0)
    return 1.0 / max(stays, 1e-9)


def mean_stay(vesicle: VesicleTable, duration: float, captured: float) -> float:
    """Time that a vesicle is followed, in the mean over those released evenly until ``duration``, s.

        tau = int_0^T 1 . p(t) dt,    dp/dt = A p,    p(0) = free

    of the states free, bound and in an endosome, which it leaves by clearance and by its fate; ``captured``
    is the rate in 1/s from the first to the second. Faces through which vesicles escape are not regarded.
    """
    clear = math.log(2) / float(vesicle.half_life)
    off, inward = float(vesicle.unbinding_rate), float(vesicle.internalization_rate)
    end, again = float(vesicle.processing_rate), float(vesicle.recycling_probability)
    return _stay(clear, captured, off, inward, end, again, duration)


@lru_cache(maxsize=256)  # rows of a batch have the same rates
def _stay(
    clear: float, captured: float, off: float, inward: float, end: float, again: float, duration: float
) -> float:
    """``mean_stay`` of plain rates."""
    from scipy.linalg import expm

    rates = np.array(
        [
            [-clear - captured, off, again * end, 1.0],
            [captured, -off - inward, 0.0, 0.0],
            [0.0, inward, -end, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    return float(expm(rates * duration)[:3, 3].sum())


def captured_rates(
    domain: Domain,
    kinds: Sequence[VesicleKind],
    types: Iterable[CellType],
    count: Mapping[str, int],
    release_rate: float,
) -> dict[str, float]:
    """Rate in 1/s at which all cells together capture a free vesicle of each kind, in even mixture.

        c = 1/V sum_i k k_D / (k + k_D),    k_D = 4 pi D a

    with the rate constant k of the membrane and that of diffusion to a sphere of radius a; no more than the
    receptors of all cells, ``release_rate`` in 1/s and clearance allow in equilibrium.
    """
    volume, found = domain.n_voxels * domain.voxel_volume, {}
    for k, kind in enumerate(kinds):
        rate, most = 0.0, 0.0
        for each in types:
            reach = 2 * math.pi * kind.diffusivity * float(np.mean(domain.hindrance)) * each.diameter
            membrane, cells = float(each.uptake_rate[k]), count.get(each.name, 0)
            if membrane > 0 and cells:
                rate += cells * membrane * reach / (membrane + reach) / volume
                most += cells * float(each.receptors[k]) * (kind.unbinding_rate + kind.internalization_rate)
        if most < release_rate:
            rate = min(rate, most * kind.decay_rate / (release_rate - most))
        found[kind.name] = rate
    return found
