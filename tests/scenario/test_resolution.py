"""Voxels that are too coarse for the cells in them are told of, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from exoabm.scenario.builder import blueprint
from exoabm.scenario.loader import load
from exoabm.scenario.resolution import typical_spacing


def warnings(name: str, **overrides: str) -> list[str]:
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return [w for w in blueprint(load(name, keys), 1).warnings if w.startswith(("domain.voxel", "transport"))]


def test_the_spacing_of_a_lattice() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(5.0) * 12] * 3), axis=-1).reshape(-1, 3)
    assert typical_spacing(lattice) == 12
    lattice[0] += 5  # one cell that stands out does not count
    assert typical_spacing(lattice) == 12
    assert typical_spacing(lattice[:1]) == np.inf
    opposite = np.array([[2.0, 0, 0], [297.0, 0, 0]])
    assert (typical_spacing(opposite), typical_spacing(opposite, (300, 0, 0))) == (295, 5)


@pytest.mark.parametrize("name", ["two_cells", "signaling", "waste_removal", "tissue"])
def test_shipped_scenarios_resolve_their_cells(name: str) -> None:
    assert not warnings(name)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_coarse_voxels_are_told_of(engine: str) -> None:
    (warning,) = warnings("tissue", domain__voxel="10", transport__engine=engine)
    assert "domain.voxel = 10 um" in warning
    assert "11.9 um" in warning
    assert 5 < float(warning.split("Voxels of ")[1].split(" um")[0]) < 6


def test_only_cells_that_take_up_count() -> None:
    """Donors of the cluster stand 15 um apart; no voxel is too coarse for cells that take nothing up."""
    assert not warnings("signaling", domain__voxel="11")


def test_membranes_need_no_voxels() -> None:
    keys = {"transport__engine": "vesicles", "transport__capture": "membrane", "domain__voxel": "50"}
    assert not warnings("signaling", **keys)
    (warning,) = warnings("signaling", **keys, transport__courant="0.1")
    assert warning.startswith("transport.courant is not used")
