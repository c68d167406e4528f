"""Cells on the grid beside obstacles: no footprint reaches through a wall."""

from __future__ import annotations

import dataclasses
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from worlds import RECIPIENT, world

from exoabm import ExosomeModel
from exoabm.kernels.line_of_sight import neighborhood_voxels, reachable_voxels
from exoabm.output.metrics import measure
from exoabm.scenario.loader import parse
from exoabm.transport.cell_grid_coupling import _Entries, couple

WALLED = """
schema_version = 1
info = {{ title = "a wall between two rooms" }}
clock = {{ step = "60 s", duration = "1 h" }}
transport = {{ engine = "{engine}" }}
cargo = [{{ name = "signal" }}]
[domain]
size = {size}
voxel = "4 um"
zone = [{{ name = "wall", low = {low}, high = {high}, obstacle = true }}]
[[layout.group]]
cell_type = "donor"
arrange = "points"
points = [{donor}]
[[layout.group]]
cell_type = "recipient"
arrange = "points"
points = [{recipient}]
[[vesicle]]
name = "exosome"
cargo = ["signal"]
[[cell_type]]
name = "donor"
releases = "exosome"
release_rate = "1000 / h"
[[cell_type]]
name = "recipient"
takes_up = ["exosome"]
"""


def walled(engine: str, dim: int) -> ExosomeModel:
    """A donor and a recipient that reach over a wall of one voxel, 4 um, from either side."""
    size = [80, 40, 40][:dim]
    text = WALLED.format(
        engine=engine,
        size=size,
        low=[40, *[0] * (dim - 1)],
        high=[44, *size[1:]],
        donor=[38, 22, 22][:dim],
        recipient=[46, 22, 22][:dim],
    )
    return ExosomeModel(parse(text.encode(), name="walled", folder=Path()), seed=1)


@pytest.mark.parametrize("dim", [2, 3])
def test_footprints_end_at_a_thin_wall(dim: int) -> None:
    model = walled("continuum", dim)
    weights = couple(model.state, 0)[0]
    x = np.tile(np.arange(20), weights.release_weights.matrix.shape[1] // 20)
    release, uptake = weights.release_weights.matrix.toarray(), weights.uptake_weights.matrix.toarray()
    assert release[0].sum() == pytest.approx(1)
    assert uptake[1].sum() == pytest.approx(1)
    assert release[0, x >= 10].sum() == 0
    assert uptake[1, x <= 10].sum() == 0


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_nothing_is_handed_through_a_wall(engine: str, dim: int) -> None:
    model = walled(engine, dim)
    model.run(hours=1)
    row = measure(model.state)
    assert row["emitted[exosome]"] > 900
    assert row["taken_up[exosome]"] == row["bound[exosome]"] == 0


def by_ways(center: np.ndarray, offset: np.ndarray, place: tuple, blocked: np.ndarray) -> bool:
    """Whether some way of steps toward the offset leads through open voxels, by trying all of them."""
    steps = [axis for axis in range(3) for _ in range(abs(offset[axis]))]

    def is_open(at: tuple[int, ...]) -> bool:
        return not blocked[neighborhood_voxels(center[None], np.array([at]), *place)[0]]

    def walk(at: tuple[int, ...]) -> bool:
        if not is_open(at):
            return False
        if at == tuple(offset):
            return True
        return any(
            walk((*at[:axis], at[axis] + int(np.sign(offset[axis])), *at[axis + 1 :]))
            for axis in set(steps)
            if at[axis] != offset[axis]
        )

    return walk((0, 0, 0))


@pytest.mark.parametrize("dim", [2, 3])
def test_what_is_reached_is_what_some_way_leads_to(dim: int) -> None:
    rng = np.random.default_rng(2)
    counts = np.array([9, 8, 7 if dim == 3 else 1])
    strides = np.array([1, 9, 72])
    place = (counts, strides, np.array([True, False, False]))
    reach = 2
    offsets = np.array([o for o in product(range(-reach, reach + 1), repeat=3) if dim == 3 or o[2] == 0])
    seen = 0
    for _ in range(6):
        blocked = rng.random(counts.prod()) < 0.4
        centers = np.stack([rng.integers(0, n, 5) for n in counts], axis=1)
        found = reachable_voxels(centers, offsets, *place, blocked).reshape(5, -1)
        wanted = [[by_ways(c, o, place, blocked) for o in offsets] for c in centers]
        assert (found == wanted).all()
        seen += found.sum()
    assert seen > 100
    assert reachable_voxels(centers, offsets, *place, np.zeros(counts.prod(), bool)).all()


def test_a_cell_in_a_hole_keeps_its_release_and_has_no_membrane() -> None:
    model = walled("continuum", 2)
    obstacle = np.ones_like(model.state.domain.obstacle)
    own = model.state.domain.voxel_of(model.state.cells.position)
    obstacle.ravel()[model.state.domain.flat(own)] = False
    model.state.domain = dataclasses.replace(model.state.domain, obstacle=obstacle)
    weights = couple(model.state, 0)[0]
    assert weights.release_weights.matrix.sum(axis=1) == pytest.approx([1, 1])
    assert not weights.uptake_weights.matrix.sum(axis=1).any()  # no part of its membrane is in sight


@pytest.mark.parametrize("dim", [2, 3])
def test_a_cell_beside_a_wall_has_the_stencil_that_it_has_alone(dim: int) -> None:
    """Cells with the same boundaries around them are solved together, whatever else there is."""
    rng = np.random.default_rng(1)
    at = rng.uniform(0, 60, (60, dim)).round(2).tolist()
    kind = RECIPIENT | {"uptake_rate": 40}
    together, *alone = (
        couple(world([60] * dim, [(kind, some)], voxel=6.0, domain={"thickness": 10}).state, 0)[0]
        for some in (at, *([each] for each in at[:12]))
    )
    assert len(set(together.kappa[:12])) > 6, "there are cells in corners, at walls and far from them"
    for i, one in enumerate(alone):
        assert one.kappa[0] == together.kappa[i]
        for name in ("uptake_weights", "release_weights"):
            one_row, row = getattr(one, name).matrix[[0]], getattr(together, name).matrix[[i]]
            assert (one_row.indices == row.indices).all()
            assert (one_row.data == row.data).all()


@pytest.mark.parametrize("folded", [False, True])
def test_weights_of_a_voxel_are_summed_and_rows_sum_to_one(folded: bool) -> None:
    """Against sums in a dense matrix, with and without voxels that occur twice in a row."""
    domain = world([60, 60], [], voxel=6.0, domain={"thickness": 10}).state.domain
    offsets = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]])
    weight = np.array([0.5, 0.25, 0.125, 0.25])
    centers = np.array([[4, 5, 0], [0 if folded else 7, 2, 0]])
    entries = _Entries(domain)
    entries.add(np.array([2, 0]), centers, offsets, weight)
    found = entries.matrix(3)
    expected = np.zeros((3, 100))
    for row, center in zip((2, 0), centers, strict=True):
        for offset, part in zip(offsets, weight, strict=True):
            x, y = center[:2] + offset[:2]
            expected[row, y * 10 + max(x, 0)] += part / weight.sum()
    assert found.matrix.toarray() == pytest.approx(expected, abs=1e-15)
    assert found.indptr.tolist() == [0, 3 if folded else 4, 3 if folded else 4, 7 if folded else 8]
    assert all((np.diff(found.indices[a:b]) < 0).all() for a, b in pairwise(found.indptr))
