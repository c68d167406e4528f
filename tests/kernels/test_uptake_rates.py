"""Rates of cells that reach over several voxels and share some, from the field there, by their law."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.kernels.uptake_rates import Rates, UptakeLaw, index_entries, refresh_rates

VOLUME = 1500.0
SLOT = np.array([0, 0, 1, 2, 2, 3, 4])
CELL = np.array([0, 2, 1, 0, 1, 2, 3])
WEIGHT = np.array([0.3, 0.6, 0.25, 0.7, 0.75, 0.4, 1.0])


@pytest.mark.parametrize("groups", [1, 3])
def test_rates_of_every_cell_solve_its_law_at_its_own_mean(groups: int) -> None:
    """Q_s = k_a c_s / (1 + sum c / Km), c_s = cbar + (1/k_a - 1/kappa) Q_s; of cells 1 and 2 alone."""
    random = np.random.default_rng(7)
    held = random.uniform(0, 9000, (groups, 5))
    resistance = random.uniform(0.5, 1.5, (groups, 4))
    k_a, km = np.array([30.0, 80.0, 5.0, 14.0]), np.array([2.0, 0.5, 3.0, 1.0])
    law = UptakeLaw(k_a, k_a / resistance, 1 / km)
    entries = index_entries(SLOT, CELL, WEIGHT, 5, 4)
    rates = Rates.of(law, entries)
    refresh_rates(rates, None, held, held, entries, 1.0, VOLUME, 1, 3)
    rate = rates.rate
    assert (rate[:, [0, 3]] == -1).all()
    for i in (1, 2):
        mine = np.equal(CELL, i)
        mean = held[:, SLOT[mine]] @ WEIGHT[mine] / VOLUME
        flux = rate[:, i] * mean
        membrane = mean + (1 - resistance[:, i]) / k_a[i] * flux
        np.testing.assert_allclose(flux, k_a[i] * membrane / (1 + membrane.sum() / km[i]), rtol=1e-10)
        assert (flux < 0.9 * k_a[i] * mean).all()
