"""Pools in cells by size: what each is made of goes the way that it would go alone."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.kernels.compartment_kinetics import (
    Compartments,
    Transfers,
    advance_compartment_parts,
    advance_compartments,
    compartment_coefficients,
)

CELLS, KINDS, LABELS, PARTS, DT = 3, 2, 4, 5, 60.0
GROWING = "encountered bound endosomal returning unbound internalized lysosomal recycled delivered".split()


def chain(captured: np.ndarray, pools: dict[str, np.ndarray], coefficients, shares) -> None:
    """One step of ``advance_compartments``; the pools change."""
    when = [np.full(captured.shape, np.nan) for _ in range(2)]
    new = [np.empty_like(captured) for _ in range(4)]
    named = [pools[name] for name in GROWING]
    contents, transfers = Compartments(*named, *when), Transfers(*new)
    advance_compartments(captured, coefficients, shares, 0.0, np.inf, contents, transfers)


@pytest.mark.parametrize("own", [False, True])
def test_parts_go_as_labels_of_their_own_would(own: bool) -> None:
    """Three steps of kinds with other rates and cells with other shares; every part in every pool.

    The same vesicles, with a label for each part, are what they are compared with.
    """
    random = np.random.default_rng(1)
    rates = [(0.011, 0.004, 0.002), (0.007, 0.006, 0.015)]
    coefficients = np.array([compartment_coefficients(*rate, DT) for rate in rates])[None]
    shares = random.uniform(0.1, 0.9, (CELLS if own else 1, KINDS, 4))
    shares[..., 0] = [1 - onward / leave for leave, onward, _ in rates]
    parts = {name: np.zeros((CELLS, KINDS, LABELS, PARTS)) for name in ("bound", "endosomal", "returning")}
    apart = {name: np.zeros((CELLS, KINDS, LABELS * PARTS)) for name in GROWING}
    whole = {name: np.zeros((CELLS, KINDS, LABELS)) for name in GROWING}
    for _ in range(3):
        captured = random.uniform(0, 9, (CELLS, KINDS, LABELS, PARTS))
        chain(captured.reshape(CELLS, KINDS, -1), apart, coefficients, shares)
        pools = whole["bound"], whole["endosomal"]
        advance_compartment_parts(captured, coefficients, shares, *pools, *parts.values())
        chain(captured.sum(axis=3), whole, coefficients, shares)
        for name, share in parts.items():
            expected = apart[name].reshape(captured.shape)
            np.testing.assert_allclose(whole[name][..., None] * share, expected, rtol=1e-12)
            np.testing.assert_allclose(share.sum(axis=3), 1, rtol=1e-12)
    assert whole["recycled"].min() > 0
