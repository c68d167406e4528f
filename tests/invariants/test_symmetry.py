"""What a run may not depend on: handedness, place, the order of cells, units, and when one looks."""

from __future__ import annotations

import numpy as np
import pytest
from crowded_tissue import PLACES, assert_identical, crowd, results
from worlds import run

from exoabm import ExosomeModel

SIZE = np.array([90.0, 80.0, 50.0])


def assert_same_cells(one: ExosomeModel, other: ExosomeModel, rows: np.ndarray | slice) -> None:
    """Cell by cell equal to rounding; ``rows`` of the other are those of the one."""
    for a, b in zip(results(one)[1:], results(other)[1:], strict=True):
        np.testing.assert_allclose(a, b[rows], rtol=1e-12, atol=1e-12 * np.abs(a).max())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("saturation", ["inf", "1 pM"])
def test_a_mirrored_world_has_a_mirrored_future(axis: int, saturation: str) -> None:
    mirrored = {name: np.array(points, float) for name, points in PLACES.items()}
    for points in mirrored.values():
        points[:, axis] = SIZE[axis] - points[:, axis]
    one = run(crowd(3, saturation=saturation), 3600)
    other = run(crowd(3, saturation=saturation, places=mirrored), 3600)
    assert_same_cells(one, other, slice(None))
    flipped = np.flip(other.state.fields[0], axis=3 - axis)
    np.testing.assert_allclose(one.state.fields[0], flipped, rtol=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_periodic_world_has_no_origin(dim: int) -> None:
    shift = np.array([30.0, 50.0, 20.0])
    moved = {name: (np.array(points) + shift) % SIZE for name, points in PLACES.items()}
    one = run(crowd(dim, faces="periodic"), 3600)
    other = run(crowd(dim, faces="periodic", places=moved), 3600)
    assert_same_cells(one, other, slice(None))
    back = np.roll(other.state.fields[0], (-shift[:dim] / 10).astype(int)[::-1], range(1, dim + 1))
    np.testing.assert_allclose(one.state.fields[0], back, rtol=1e-12)


@pytest.mark.parametrize("saturation", ["inf", "1 pM"])
def test_the_order_of_cells_does_not_matter(saturation: str) -> None:
    order = {"donor": [2, 0, 1], "relay": [1, 0], "sink": [3, 1, 0, 2]}
    shuffled = {name: [PLACES[name][i] for i in order[name]] for name in ("sink", "donor", "relay")}
    one = run(crowd(2, zones=True, saturation=saturation), 3600)
    other = run(crowd(2, zones=True, saturation=saturation, places=shuffled), 3600)
    where = other.state.cells.position
    rows = [int(np.flatnonzero((where == p).all(axis=1))[0]) for p in one.state.cells.position]
    assert rows != sorted(rows)
    assert_same_cells(one, other, np.array(rows))


def test_an_unlike_world_is_told_apart() -> None:
    """One cell a voxel further, and the comparisons above fail."""
    moved = PLACES | {"donor": [[35, 25, 15], *PLACES["donor"][1:]]}
    one, other = run(crowd(), 3600), run(crowd(places=moved), 3600)
    with pytest.raises(AssertionError):
        assert_same_cells(one, other, slice(None))


def test_units_do_not_change_a_bit() -> None:
    plain = crowd(
        size=[90, 80],
        voxel=10,
        step=120,
        kinds={"diameter": 13},
        vesicle={"diffusivity": 6.572, "half_life": 1.1},
        domain={"thickness": 12},
    )
    spelled = crowd(
        size=["0.09 mm", "80000 nm"],
        voxel="0.01 mm",
        step="2 min",
        kinds={"diameter": "13000 nm"},
        vesicle={"diffusivity": "6.572e-8 cm^2/s", "half_life": "66 min"},
        domain={"thickness": "0.012 mm"},
        places={name: [[f"{x / 1000} mm" for x in p] for p in ps] for name, ps in PLACES.items()},
    )
    assert_identical(run(plain, 3600), run(spelled, 3600))


def test_looking_does_not_change_a_bit() -> None:
    seldom = run(crowd(record={"metrics": "1 h"}), 3600)
    often = run(crowd(record={"metrics": "1 min"}), 3600)
    assert len(often.metrics) > 10 * len(seldom.metrics)
    assert_identical(seldom, often)


def test_a_shorter_coupling_step_changes_little() -> None:
    """30 s or 60 s between cells and medium: 0.5 % in what cells have taken up after 2 h."""
    minute, half = (run(crowd(3, step=step), 7200) for step in (60, 30))
    taken, finer = (m.state.trafficking.taken_up for m in (minute, half))
    np.testing.assert_allclose(taken, finer, rtol=5e-3)
    assert (taken != finer).any()
