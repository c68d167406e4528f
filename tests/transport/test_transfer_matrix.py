"""The transfer matrix: two routes against each other, against brute force, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from exoabm.errors import InputError
from exoabm.kernels.medium import FIXED, NO_FLUX, PERIODIC
from exoabm.transport.grid_discretization import LatticeOperator
from exoabm.transport.transfer_matrix import captures, with_returns
from exoabm.transport.uptake_stencil import solve_stencil

VOXEL = 10.0
D = 6.57
DECAY = 3.2e-5

CLOSED = (NO_FLUX,) * 6
WRAPPED = (PERIODIC,) * 6
X_WRAPPED = (PERIODIC, PERIODIC, NO_FLUX, NO_FLUX, NO_FLUX, NO_FLUX)
YZ_WRAPPED = (NO_FLUX, NO_FLUX, PERIODIC, PERIODIC, PERIODIC, PERIODIC)
X_OPEN = (FIXED, NO_FLUX, NO_FLUX, NO_FLUX, PERIODIC, PERIODIC)


def cells(
    shape: tuple[int, ...], count: int, footprint: int = 1, seed: int = 0, free: Any = None
) -> sp.csr_array:
    """Random cells of several voxels each, with unequal weights that sum to one; may overlap."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    sites = np.arange(size) if free is None else np.flatnonzero(free)
    voxels = np.concatenate([rng.choice(sites, footprint, replace=False) for _ in range(count)])
    weights = rng.uniform(0.5, 1.5, (count, footprint))
    weights /= weights.sum(axis=1, keepdims=True)
    start = np.arange(0, count * footprint + 1, footprint)
    return sp.csr_array((weights.ravel(), voxels, start), shape=(count, size))


def strengths(count: int) -> sp.dia_array:
    """Unequal rates kappa / V, 1/s."""
    return sp.diags_array(np.linspace(0.2, 1.5, count) * 14 / VOXEL**3)


def brute_force(op: LatticeOperator, release: sp.csr_array, uptake: sp.csr_array) -> np.ndarray:
    """A dense operator filled face by face, straight from the definition."""
    shape = (1,) * (3 - len(op.shape)) + tuple(op.shape)
    d = np.broadcast_to(op.diffusivity, op.shape).reshape(shape)
    solid = np.zeros(shape, bool) if op.obstacle is None else op.obstacle.reshape(shape)
    faces = np.reshape(op.faces, (3, 2))[::-1]
    size = int(np.prod(shape))
    a = np.diag(np.full(size, op.decay) + uptake.toarray().sum(axis=0))
    for site in np.ndindex(*shape):
        v = np.ravel_multi_index(site, shape)
        if solid[site]:
            a[v, v] += 1
            continue
        for axis in range(3 - len(op.shape), 3):
            for side, step in enumerate((-1, 1)):
                other = list(site)
                other[axis] += step
                if not 0 <= other[axis] < shape[axis]:
                    code = faces[axis, side]
                    if code == FIXED:
                        a[v, v] += 2 * d[site] / op.voxel**2
                    if code != PERIODIC:
                        continue
                    other[axis] %= shape[axis]
                there = tuple(other)
                if solid[there] or there == site:
                    continue
                g = 2 * d[site] * d[there] / (d[site] + d[there]) / op.voxel**2
                a[v, v] += g
                a[v, np.ravel_multi_index(there, shape)] -= g
    return release.toarray() @ np.linalg.solve(a, uptake.toarray().T)


@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7), (2, 9), (1, 11), (2, 3, 6)])
@pytest.mark.parametrize("faces", [CLOSED, WRAPPED, X_WRAPPED, YZ_WRAPPED])
@pytest.mark.parametrize("decay", [1e-3, DECAY, 1e-9, 0.0])
def test_both_routes_equal_brute_force(shape: tuple[int, ...], faces: tuple[int, ...], decay: float) -> None:
    op = LatticeOperator(shape, VOXEL, decay, D, faces)
    release = cells(shape, 5, footprint=2, seed=1)
    for count in (3, 8):
        uptake = strengths(count) @ cells(shape, count, footprint=3, seed=2)
        expected = brute_force(op, release, uptake)
        for method in ("green", "lu", "auto"):
            found = captures(op, release, uptake, method=method)
            assert found.shape == (5, count)
            assert np.abs(found / expected - 1).max() < 1e-10
        wrong = captures(op, release, 1.05 * uptake, method="green")
        assert np.abs(wrong / expected - 1).max() > 1e-5


@pytest.mark.parametrize("decay", [DECAY, 0.0])
@pytest.mark.parametrize("shape", [(9, 12), (4, 5, 6)])
def test_tissue_obstacles_and_open_faces(shape: tuple[int, ...], decay: float) -> None:
    obstacle = np.zeros(shape, bool)
    obstacle[..., 1::3, 1::2] = True
    tissue = D * np.random.default_rng(3).uniform(0.05, 1, shape)
    op = LatticeOperator(shape, VOXEL, decay, tissue, X_OPEN, obstacle)
    release = cells(shape, 6, footprint=2, seed=4, free=~obstacle)
    for count in (4, 9):
        uptake = strengths(count) @ cells(shape, count, footprint=2, seed=5, free=~obstacle)
        found = captures(op, release, uptake)
        assert np.abs(found / brute_force(op, release, uptake) - 1).max() < 1e-10
        assert found.sum(axis=1).max() < 1  # the rest leaves through the open face


def test_a_voxel_without_diffusion_is_a_wall() -> None:
    shape = (6, 7)
    wall = np.zeros(shape, bool)
    wall[2, 1:] = True
    release, uptake = (cells(shape, 3, seed=seed, free=~wall) for seed in (1, 2))
    uptake = strengths(3) @ uptake
    still = LatticeOperator(shape, VOXEL, DECAY, np.where(wall, 0, D))
    solid = LatticeOperator(shape, VOXEL, DECAY, D, obstacle=wall)
    assert captures(still, release, uptake) == pytest.approx(captures(solid, release, uptake))


def test_a_large_field_of_cells() -> None:
    shape = (96, 110)
    op = LatticeOperator(shape, VOXEL, DECAY, D)
    release = cells(shape, 300, seed=6)
    uptake = strengths(300) @ release
    green = captures(op, release, uptake, method="green")
    lu = captures(op, release, uptake, method="lu")
    assert np.abs(green - lu).max() < 1e-10 * lu.max()
    single = captures(op, release, uptake, method="green", dtype=np.float32)
    assert single.dtype == np.float32
    assert np.abs(single - lu).max() < 1e-5 * lu.max()
    wrong = captures(op, release, 1.05 * uptake, method="green")
    assert np.abs(wrong - lu).max() > 1e-3 * lu.max()


def test_many_donors_are_solved_in_blocks() -> None:
    shape = (48, 64)
    op = LatticeOperator(shape, VOXEL, DECAY, D)
    everywhere = sp.csr_array(sp.eye_array(48 * 64))
    uptake = strengths(3) @ cells(shape, 3, footprint=4, seed=7)
    green = captures(op, everywhere, uptake, method="green")
    assert np.abs(green / captures(op, everywhere, uptake, method="lu") - 1).max() < 1e-10


@pytest.mark.parametrize("method", ["green", "lu"])
def test_rows_sum_to_the_chance_of_capture(method: Any) -> None:
    shape = (20, 24)
    release = cells(shape, 10, footprint=2, seed=8)
    uptake = strengths(10) @ cells(shape, 10, footprint=3, seed=9)
    decaying = captures(LatticeOperator(shape, VOXEL, DECAY, D), release, uptake, method=method)
    assert decaying.min() > 0
    assert decaying.sum(axis=1).max() < 1
    closed = captures(LatticeOperator(shape, VOXEL, 0.0, D), release, uptake, method=method)
    assert closed.sum(axis=1) == pytest.approx(np.ones(10), rel=1e-12)


def test_reciprocity() -> None:
    """kappa_j W_ij = kappa_i W_ji where each cell releases on its uptake footprint."""
    shape = (7, 8, 9)
    release = cells(shape, 12, footprint=3, seed=10)
    strength = strengths(12)
    found = captures(LatticeOperator(shape, VOXEL, DECAY, D), release, strength @ release)
    symmetric = found / strength.diagonal()
    assert symmetric == pytest.approx(symmetric.T, rel=1e-11)
    assert found != pytest.approx(found.T, rel=0.05)


@pytest.mark.parametrize("diffusivity", [6.57, 0.33])
def test_autocrine_and_paracrine_capture_of_spheres(diffusivity: float) -> None:
    """Screened Collins-Kimball: surface chance p_s = k_a / (k_a + 4 pi D a (1 + a/L))."""
    radius, rate, length, n = 7.5, 14.2, 60.0, 64
    decay = diffusivity / length**2
    cell = solve_stencil(dim=3, radius=radius, uptake_rate=rate, diffusivity=diffusivity, voxel=radius)
    number = np.arange(n**3).reshape(n, n, n)
    center = np.array([n // 2] * 3)

    def on_grid(offsets: np.ndarray, weights: np.ndarray) -> sp.csr_array:
        voxels = number[tuple((offsets[:, ::-1] + center).T)]
        return sp.csr_array((weights, voxels, [0, len(voxels)]), shape=(1, n**3))

    uptake = on_grid(cell.offsets, cell.kappa / radius**3 * cell.uptake_weight)
    far = on_grid(np.array([[8, 0, 0]]), np.ones(1))
    release = sp.csr_array(sp.vstack([on_grid(cell.release_offsets, cell.release_weight), far]))
    op = LatticeOperator((n, n, n), radius, decay, diffusivity, WRAPPED)
    found = captures(op, release, uptake)[:, 0]
    surface = rate / (rate + 4 * np.pi * diffusivity * radius * (1 + radius / length))
    distant = surface * np.exp(-7 * radius / length) / 8
    assert found == pytest.approx([surface, distant], rel=0.02)
    wrong = captures(op, release, 1.05 * uptake)[:, 0]
    assert wrong != pytest.approx([surface, distant], rel=0.02)


def test_unbinding_equals_the_long_chain() -> None:
    shape = (16, 18)
    op = LatticeOperator(shape, VOXEL, DECAY, D)
    recipients = cells(shape, 7, footprint=2, seed=11)
    uptake = strengths(7) @ recipients
    direct = captures(op, cells(shape, 4, seed=12), uptake)
    among = captures(op, recipients, uptake)
    p = np.linspace(0, 0.9, 7)
    bound, ended = direct.copy(), np.zeros_like(direct)
    for _ in range(2000):
        ended += bound * (1 - p)
        bound = (bound * p) @ among
    assert with_returns(direct, among, p) * (1 - p) == pytest.approx(ended, rel=1e-12)
    wrong = 1.05 * p
    assert with_returns(direct, among, wrong) * (1 - wrong) != pytest.approx(ended, rel=1e-3)
    assert with_returns(direct, among, 0 * p) == pytest.approx(direct, rel=1e-14)


def test_unbinding_loses_nothing_where_nothing_decays() -> None:
    shape = (10, 10)
    op = LatticeOperator(shape, VOXEL, 0.0, D)
    recipients = cells(shape, 5, seed=13)
    among = captures(op, recipients, strengths(5) @ recipients)
    p = np.array([0.0, 0.3, 1.0 - 1e-3, 0.5, 0.9])
    ended = with_returns(among, among, p) * (1 - p)
    assert ended.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-10)
    with pytest.raises(InputError, match="never ends"):
        with_returns(among, among, np.ones(5))
    with pytest.raises(InputError, match="between 0 and 1"):
        with_returns(among, among, np.full(5, 1.2))


def test_nobody_takes_up() -> None:
    shape = (4, 5)
    op = LatticeOperator(shape, VOXEL, 0.0, D)
    release = cells(shape, 3)
    assert not captures(op, release, 0 * cells(shape, 2)).any()


def test_a_closed_room() -> None:
    """Without decay a sink beyond a wall takes nothing, and a room without a sink is refused."""
    shape = (3, 7)
    wall = np.zeros(shape, bool)
    wall[:, 3] = True
    op = LatticeOperator(shape, VOXEL, 0.0, D, obstacle=wall)

    def at(*voxels: int) -> sp.csr_array:
        return sp.csr_array((np.ones(len(voxels)), voxels, range(len(voxels) + 1)), shape=(len(voxels), 21))

    assert captures(op, at(0, 8), at(1)) == pytest.approx(np.ones((2, 1)))
    both = captures(op, at(0, 6), at(1, 20))
    assert both == pytest.approx(np.eye(2), abs=1e-14)
    with pytest.raises(InputError, match="nothing ever removes"):
        captures(op, at(6), at(1))


def test_what_a_method_cannot_do_is_refused() -> None:
    shape = (4, 5)
    release, uptake = cells(shape, 2), strengths(2) @ cells(shape, 2)
    wall = np.zeros(shape, bool)
    wall[0, 0] = True
    varied = np.full(shape, D)
    varied[0, 0] = 1
    for op in (
        LatticeOperator(shape, VOXEL, DECAY, varied),
        LatticeOperator(shape, VOXEL, DECAY, D, X_OPEN),
        LatticeOperator(shape, VOXEL, DECAY, D, obstacle=wall),
    ):
        with pytest.raises(InputError, match="green"):
            captures(op, cells(shape, 2, free=~wall), uptake * 0, method="green")
    op = LatticeOperator(shape, VOXEL, DECAY, D, obstacle=wall)
    with pytest.raises(InputError, match="obstacle"):
        captures(op, sp.csr_array(np.eye(1, 20)), uptake)
    op = LatticeOperator(shape, VOXEL, DECAY, D)
    with pytest.raises(InputError, match="columns"):
        captures(op, release[:, :7], uptake)
    with pytest.raises(InputError, match="negative"):
        captures(op, release, -uptake)
    with pytest.raises(InputError, match="method"):
        captures(op, release, uptake, method="magic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (5,)}, "shape"),
        ({"voxel": 0.0}, "voxel"),
        ({"decay": -1.0}, "decay"),
        ({"diffusivity": -1.0}, "diffusivity"),
        ({"diffusivity": np.ones((5, 4))}, "diffusivity"),
        ({"obstacle": np.ones((5, 4), bool)}, "obstacle"),
        ({"faces": (NO_FLUX,) * 4}, "faces"),
        ({"faces": (PERIODIC, *(NO_FLUX,) * 5)}, "periodic"),
    ],
)
def test_what_is_no_grid_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"shape": (4, 5), "voxel": 5.0, "decay": 0.0, "diffusivity": 1.0}
    with pytest.raises(InputError, match=message):
        LatticeOperator(**{**arguments, **change})
