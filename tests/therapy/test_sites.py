"""Where doses enter: around a point or along a face, in boxes of unequal lengths that do not begin at 0."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exoabm.domain import SIDES, Domain, Face
from exoabm.therapy.treatment_protocol import Site

LOW, SIZE = np.array([-30.0, 12.0, 5.0]), np.array([90.0, 70.0, 50.0])
AROUND = (Face.NO_FLUX, Face.NO_FLUX, Face.PERIODIC, Face.PERIODIC, Face.NO_FLUX, Face.NO_FLUX)


def tissue(dim: int) -> Any:
    """300 cells anywhere; space repeats itself along y."""
    shape = (5, 7, 9) if dim == 3 else (7, 9)
    place = LOW + np.random.default_rng(dim).random((300, 3)) * SIZE
    cells = SimpleNamespace(position=place, type=np.arange(300) % 3)
    return SimpleNamespace(domain=Domain(shape, 10.0, 50.0, origin=tuple(LOW), faces=AROUND), cells=cells)


@pytest.mark.parametrize("dim", [2, 3])
def test_cells_around_a_point_go_by_the_shortest_way_and_in_a_slab_by_no_height(dim: int) -> None:
    state, center = tissue(dim), np.array([10.0, 15.0, 20.0])
    way = np.abs(state.cells.position - center)
    way[:, 1] = np.minimum(way[:, 1], SIZE[1] - way[:, 1])
    near = np.flatnonzero(np.sqrt((way[:, :dim] ** 2).sum(axis=1)) <= 18)
    assert len(near) > 5
    assert (way[near, 1] != np.abs(state.cells.position - center)[near, 1]).any()
    found = Site(center=tuple(center[:dim]), reach=18.0).cells(state)
    np.testing.assert_array_equal(found, near)


@pytest.mark.parametrize("side", range(6))
def test_cells_along_a_face_are_those_within_reach_of_it(side: int) -> None:
    state, axis = tissue(3), side // 2
    gap = state.cells.position[:, axis] - LOW[axis]
    gap = SIZE[axis] - gap if side % 2 else gap
    found = Site(face=SIDES[side], reach=7.5).cells(state)
    assert len(found) > 10
    np.testing.assert_array_equal(found, np.flatnonzero(gap <= 7.5))


def test_without_reach_nobody_is_near_enough() -> None:
    assert len(Site(face="x_low").cells(tissue(3))) == 0


def test_cells_of_a_type_are_all_of_them() -> None:
    np.testing.assert_array_equal(Site(type=1).cells(tissue(2)), np.arange(1, 300, 3))
