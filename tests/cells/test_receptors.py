"""Receptors that several kinds of vesicle bind by: they compete for them, in both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_scenarios import world

from exoabm import ExosomeModel
from exoabm.transport.membrane_geometry import membrane_share

POOL = """
layout = {{ group = [
    {{ cell_type = "red", count = 1 }},
    {{ cell_type = "blue", count = 1 }},
    {{ cell_type = "cell", count = 4 }},
] }}
vesicle = [
    {{ name = "R", ligand = "r", binding_rate = "0.5 um^3/s", unbinding_rate = 0, {common} }},
    {{ name = "B", ligand = "{ligand}", binding_rate = "0.25 um^3/s", unbinding_rate = "36 / h", {common} }},
]
[[cell_type]]
name = "red"
releases = "R"
release_rate = "{rate} / h"
[[cell_type]]
name = "blue"
releases = "B"
release_rate = "{blue} / h"
[[cell_type]]
name = "cell"
receptor = [{{ name = "r", number = 30 }}, {{ name = "s", number = 30 }}]
"""
COMMON = 'internalization_rate = "180 / h", diffusivity = 60, diameter_gsd = 1, half_life = "inf"'
N, K_ON, LEAVE = 30, np.array([0.5, 0.25]), np.array([0.05, 0.06])
KM = LEAVE / K_ON
STEP = 2.0
"""In s; receptors are counted once a step, and a vesicle stays some 20 s on one."""


def drop(engine: str, ligand: str = "r", rate: float = 3e5, blue: float = 3e5) -> ExosomeModel:
    """A slab of 60 x 70 x 10 um with as many vesicles everywhere, and four cells at their steady uptake."""
    text = POOL.format(ligand=ligand, rate=rate, blue=blue, common=COMMON)
    model = world(text, size=60, high=70, engine=engine, step=f"{STEP} s")
    model.run(hours=100 / 3600)
    model.state.types = tuple(replace(kind, release_rate=0.0) for kind in model.state.types)
    model.run(hours=300 / 3600)
    return model


def occupancy(model: ExosomeModel) -> np.ndarray:
    """x = c / Km of each kind."""
    domain = model.state.domain
    free = np.array([model.state.free_per_voxel(kind).sum() for kind in range(2)])
    return free / (domain.n_voxels * domain.voxel_volume) / KM


def there(model: ExosomeModel) -> np.ndarray:
    """Receptors of each of the four cells on the part of the membrane that no face cuts off."""
    return N * membrane_share(model.state)[2:]


def captures(model: ExosomeModel, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each kind by all four cells, and k_a c_i / (1 + sum x_j) of what was in the medium meanwhile."""
    before, number = model.state.trafficking.encountered.sum(axis=(0, 2)), there(model).sum()
    expected = np.zeros(2)
    for _ in range(steps):
        start = occupancy(model)
        model.step()
        x = (start + occupancy(model)) / 2
        expected += number * LEAVE * x / (1 + x.sum()) * STEP
    return model.state.trafficking.encountered.sum(axis=(0, 2)) - before, expected


def test_two_kinds_share_what_receptors_there_are() -> None:
    """Captures and bound vesicles of each by its k_i c_i, within 1 %; 5 % more would be seen."""
    model = drop("continuum")
    found, expected = captures(model, 20)
    x = occupancy(model)
    bound = model.state.trafficking.bound[2:].sum(axis=(0, 2))
    number = there(model).sum()
    print(found / expected, bound / (number * x / (1 + x.sum())), x)
    assert found == pytest.approx(expected, rel=0.01)
    assert (np.abs(1.05 * found / expected - 1) > 0.01).all()
    assert bound == pytest.approx(number * x / (1 + x.sum()), rel=0.01)
    # Seen to be wrong: each kind with receptors of its own.
    assert bound.sum() < 0.75 * (number * x / (1 + x)).sum()


def test_single_vesicles_share_them_alike() -> None:
    """Within 3 standard errors, at most those of Poisson counts, of the closed form in the mean of both."""
    model = drop("vesicles")
    found, expected = captures(model, 250)
    print(found / expected, expected)
    assert (np.abs(found - expected) < 3 * np.sqrt(expected)).all()
    assert (np.abs(found - 1.2 * expected) > 3 * np.sqrt(expected)).all()
    alone = expected * (1 + occupancy(model).sum()) / (1 + occupancy(model))
    assert (np.abs(found - alone) > 8 * np.sqrt(expected)).all()


def test_all_together_fill_the_receptors_and_no_more() -> None:
    model = drop("continuum", rate=1e6, blue=1e6)
    bound = model.state.trafficking.bound[2:].sum(axis=(1, 2))
    x = occupancy(model)
    assert (N * x / (1 + x)).sum() > 1.5 * N
    assert ((bound > 0.9 * there(model)) & (bound <= there(model))).all()


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_kinds_with_receptors_of_their_own_do_not_know_of_each_other(engine: str) -> None:
    """What happens to one is the same to the bit whether the other comes or not; where they share, not."""
    for ligand, alike in (("s", True), ("r", False)):
        both, one = (drop(engine, ligand, blue=blue).state.trafficking.bound for blue in (3e5, 0.0))
        assert both[:, 1].sum() > 0
        assert np.array_equal(both[:, 0, 0], one[:, 0, 0]) == alike
