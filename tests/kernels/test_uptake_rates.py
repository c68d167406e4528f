"""Rates of cells that reach over several voxels and share some, from the field there, by their law."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.kernels.uptake_rates import Rates, UptakeLaw, set_rates


@pytest.mark.parametrize("groups", [1, 3])
def test_rates_of_every_cell_solve_its_law_at_its_own_mean(groups: int) -> None:
    """Q_s = k_a c_s / (1 + sum c / Km), c_s = cbar + (1/k_a - 1/kappa) Q_s; of cells 1 and 2 alone."""
    random = np.random.default_rng(7)
    resistance = random.uniform(0.5, 1.5, (groups, 4))
    k_a, km = np.array([30.0, 80.0, 5.0, 14.0]), np.array([2.0, 0.5, 3.0, 1.0])
    rates = Rates.of(UptakeLaw(k_a, k_a / resistance, 1 / km))
    for concentration in (6.0, 6.003, 0.5, 40.0):
        rates.mean[:] = random.uniform(0, concentration, (groups, 4))
        set_rates(rates, None, 1, 3)
        for i in (1, 2):
            mean, flux = rates.mean[:, i], rates.rate[:, i] * rates.mean[:, i]
            membrane = mean + (1 - resistance[:, i]) / k_a[i] * flux
            np.testing.assert_allclose(flux, k_a[i] * membrane / (1 + membrane.sum() / km[i]), rtol=1e-10)
            assert (flux < k_a[i] * mean / np.minimum(resistance[:, i], 1)).all()
    assert (rates.rate[:, [0, 3]] == 0).all()
