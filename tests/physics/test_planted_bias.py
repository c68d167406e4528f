"""A capture probability that is 5 % too large or too small is caught by the rates that it brings about.

The probability that each sub-step uses is scaled, in what the kernels are given; nothing else changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import erfcx
from test_particles import VOXEL, captured, one_cell, pour
from worlds import RECIPIENT, TISSUE, run, world

from exoabm.kernels.medium import Particles
from exoabm.kernels.membranes import capture_probability
from exoabm.transport import motion_and_capture

FACTORS = [1.0, 1.05, 0.95]


def hop_by(factor: float) -> Any:
    """The hopping kernel with every voxel's chance of capture, B / (1 + B), times a factor."""
    hop = motion_and_capture.lattice_random_walk.walk_on_lattice

    def biased(movers: Particles, dt: float, substeps: Any, *names: Any, threads: int) -> None:
        *keys, lattice, sinks, fates = names
        h = dt / np.ceil(movers.diffusivity[0] * substeps[0] * dt * (1 - 1e-12))
        chance = factor * h * sinks.entry_rate / (1 + h * sinks.entry_rate)
        sinks = sinks._replace(entry_rate=chance / (1 - chance) / h)
        hop(movers, dt, substeps, *keys, lattice, sinks, fates, threads=threads)

    return biased


def walk_by(factor: float, diffusivity: float, radius: float) -> Any:
    """The walking kernel with the Robin chance of capture times a factor.

    The chance is all but proportional to the reactivity, which is set so that it has the factor for a step
    that begins and ends half its spread away, and within 0.6 % (of the chance) for all others.
    """
    walk = motion_and_capture.walk_off_lattice

    def biased(*job: Any, threads: int) -> None:
        *before, cells, fates = job
        sink, spread = float(cells.reactivity[0]) / diffusivity, 0.1 * radius

        def ratio(share: float, before: float = 0.5, after: float = 0.5) -> float:
            way = before * spread, after * spread, spread
            return capture_probability(*way, share * sink, 1 / radius) / capture_probability(
                *way, sink, 1 / radius
            )

        share = brentq(lambda share: ratio(share) - factor, 0.8, 1.25)
        ratios = [ratio(share, a, b) for a in (0.0, 0.3, 1.0, 2.0) for b in (0.0, 0.3, 1.0, 2.0)]
        assert ratios == pytest.approx([factor] * len(ratios), abs=0.006)
        cells = cells._replace(reactivity=share * cells.reactivity)
        walk(*before, cells, fates, threads=threads)

    return biased


@pytest.mark.parametrize("factor", FACTORS)
def test_the_rate_of_hops_tells_a_chance_wrong_by_5_percent(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 - exp(-k_a t / V) in a stirred drop; 40,000 vesicles, 0.8 %, and 2.4 % are allowed."""
    monkeypatch.setattr(motion_and_capture.lattice_random_walk, "walk_on_lattice", hop_by(factor))
    k_a, edge, n, seconds = 140.0, 40.0, 40_000, 140.0
    model = world(
        [edge] * 3,
        [(RECIPIENT | {"uptake_rate": k_a}, [[25.0] * 3])],
        vesicle={"diffusivity": 300.0, "diameter_gsd": 1},
        transport=VOXEL,
        step=10,
    )
    pour(model, np.random.default_rng(3).uniform(0, edge, (n, 3)))
    found = captured(run(model, seconds)) / n
    # A cell that takes little is still surrounded by a little less: 1/k = 1/k_a + 1/(4 pi D a).
    rate = 1 / (1 / k_a + 1 / (4 * np.pi * 300.0 * 7.5))
    expected = -np.expm1(-rate * seconds / edge**3)
    assert (found == pytest.approx(expected, rel=0.024)) == (factor == 1.0)


@pytest.mark.parametrize("factor", FACTORS)
def test_recapture_at_membranes_tells_a_chance_wrong_by_5_percent(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what leaves a cell in tissue, within 600 s; 120,000 vesicles, 0.4 %, and 1.65 % are allowed.

    A factor of 1.05 makes 3.4 % more of it (Carslaw & Jaeger 1959, 14.7).
    """
    monkeypatch.setattr(motion_and_capture, "walk_off_lattice", walk_by(factor, TISSUE, 7.5))
    k_a, a, edge, n = 14.2, 7.5, 240.0, 120_000
    model = one_cell(edge, k_a, TISSUE, threads=2)
    way = np.random.default_rng(2).normal(size=(n, 3))
    pour(model, edge / 2 + 1.00001 * a * way / np.linalg.norm(way, axis=1)[:, None])
    found = captured(run(model, 600)) / n
    x = k_a / (4 * np.pi * TISSUE * a)
    expected = x / (1 + x) * (1 - erfcx((1 + x) * np.sqrt(TISSUE * 600) / a))
    assert (found == pytest.approx(expected, rel=0.0165)) == (factor == 1.0)
