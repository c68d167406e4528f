"""Cells beside open and held faces on the grid take up what spheres and discs there do.

What is right was solved apart from the package, with 4,000 boundary elements (0.3 %), or is a closed form:
around a center on a face all is a mode of Laplace's equation, and a touching disc meets 2 ln 2 of the slope.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve
from worlds import RECIPIENT, world

from exoabm import ExosomeModel
from exoabm.domain import Face
from exoabm.transport.boundary_resistance import open_boundary
from exoabm.transport.cell_grid_coupling import couple

RADIUS, FREELY = 7.5, 6.572
NONE = float("inf")
FACES = {"open": "open", "held": {"concentration": "1e12 / mL"}, "closed": "no-flux"}


def beside(
    dim: int, kinds: str, at: tuple[float, ...], k_a: float, voxel: float, length: float = 80.0
) -> ExosomeModel:
    """One cell, at distances in radii from the low faces of these kinds; in the middle along other axes."""
    size = [length] * dim
    faces, center = {}, [length / 2 + 5] * dim
    for axis, (kind, t) in enumerate(zip(kinds.split(), at, strict=True)):
        faces |= {
            f"{'xyz'[axis]}_low": FACES[kind],
            f"{'xyz'[axis]}_high": "no-flux" if kind == "closed" else "open",
        }
        center[axis] = t * RADIUS
    domain = {"thickness": 10, "faces": faces}
    kind = RECIPIENT | {"uptake_rate": k_a}
    return world(size, [(kind, [center])], voxel=voxel, vesicle={"diffusivity": FREELY}, domain=domain)


def taken(model: ExosomeModel, held: bool) -> float:
    """What the cell captures at rest, 1/s, where c is x, or x y, at the far faces, or 1 at all of them."""
    domain, d = model.state.domain, FREELY / model.state.domain.voxel**2
    n, number = domain.n_voxels, np.arange(domain.n_voxels).reshape(domain.shape)
    here = np.stack(np.meshgrid(*(domain.centers(a) for a in range(domain.dim)), indexing="ij")).T.reshape(
        n, -1
    )
    fixed = [axis for axis in range(domain.dim) if domain.faces[2 * axis] == Face.FIXED]
    matrix, right = sparse.csr_array((n, n)), np.zeros(n)
    for axis in range(domain.dim):
        line = np.moveaxis(number, domain.dim - 1 - axis, 0)
        a, b = line[:-1].ravel(), line[1:].ravel()
        pairs = np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a])
        matrix += sparse.csr_array((d * np.repeat([1.0, 1.0, -1.0, -1.0], len(a)), pairs), shape=(n, n))
        if axis in fixed:
            for side, edge in enumerate((line[0].ravel(), line[-1].ravel())):
                matrix += sparse.csr_array((np.full(len(edge), 2 * d), (edge, edge)), shape=(n, n))
                place = here[edge]
                place[:, axis] = side * domain.extent[axis]
                right[edge] += 2 * d * (1.0 if held else place[:, fixed].prod(axis=1))
    sinks = couple(model.state, 0)[0].sink_rates(domain.voxel_volume)
    c = spsolve((matrix + sparse.diags_array(sinks.sum(axis=0))).tocsc(), right)
    return float((sinks @ c)[0] * domain.voxel_volume)


RIGHT = [
    # dim, faces, distances in radii, k_a: c in radii (to the number of slopes), f, and k_a R, R of `openings`
    (2, "open", (0.0,), 4 / np.pi, 0.5, 2.0),
    (2, "open", (1.0,), 2 * np.log(2), 1.0, 1.355),
    (2, "open open", (0.0, 0.0), 2 / np.pi, 0.25, 2.0),
    (3, "open", (0.0,), 3 / 4, 0.5, 1.0),
    (3, "open", (0.5,), 0.9426, 0.75, 0.780),
    (3, "open", (1.0,), 1.1054, 1.0, 0.658),
    (3, "open", (1.5,), 1.5544, 1.0, 0.721),
    (3, "open open", (0.0, 0.0), 5 / 3 * 2 / (3 * np.pi), 0.25, 4 / 3),
    (3, "open closed", (0.0, 0.0), 3 / 4, 0.25, 2.0),
]


@pytest.mark.parametrize(("k_a", "voxel"), [(14.0, 5.0), (140.0, 10.0), (140.0, 5.0)])
@pytest.mark.parametrize(("dim", "kinds", "at", "c", "f", "resistance"), RIGHT)
def test_uptake_of_a_slope(
    dim: int,
    kinds: str,
    at: tuple[float, ...],
    c: float,
    f: float,
    resistance: float,
    k_a: float,
    voxel: float,
) -> None:
    """f k_a c / (1 + f k_a R) to 2 %; by the rule of an even concentration 4 to 27 % were missing."""
    conduct = 4 * np.pi * FREELY * RADIUS if dim == 3 else 2 * np.pi * FREELY * 10
    slopes = kinds.split().count("open")
    right = f * k_a * c * RADIUS**slopes / (1 + f * k_a * resistance / conduct)
    assert taken(beside(dim, kinds, at, k_a, voxel), held=False) == pytest.approx(right, rel=0.02)


@pytest.mark.parametrize("voxel", [10.0, 5.0])
@pytest.mark.parametrize("kinds", ["held", "held held", "held closed", "held held held"])
def test_uptake_of_what_is_held(kinds: str, voxel: float) -> None:
    """f k_a c but for what the membrane itself takes away, at this k_a less than 2 %."""
    number = len(kinds.split())
    f = 0.5**number
    got = taken(beside(3, kinds, (0.0,) * number, 14.0, voxel), held=True)
    assert f * 14 * 0.98 < got < f * 14


@pytest.mark.parametrize("voxel", [10.0, 5.0])
@pytest.mark.parametrize(("dim", "right"), [(2, 4 / np.pi), (3, 0.75)])
def test_what_a_cell_at_an_open_face_releases_goes_as_far(dim: int, right: float, voxel: float) -> None:
    """Far away it is a source so far from the face as the mean slope on the membrane says: reciprocity."""
    model = beside(dim, "open", (0.0,), 0.0, voxel)
    weights = couple(model.state, 0)[0].release_weights.matrix.toarray()[0]
    x = np.tile(model.state.domain.centers(0), len(weights) // int(model.state.domain.counts[0]))
    assert weights @ x == pytest.approx(right * RADIUS, rel=0.02)


def test_of_modes_around_a_center_on_faces() -> None:
    """A mode of l slopes is (2 l + 1)/(l + 1) times itself on a sphere, f R 1/(l + 1); on a circle 2, 1/l."""
    for dim, sides, share, mean, slope in (
        (3, 1, 0.5, 3 / 2 / 2, 1 / 2),
        (3, 2, 0.25, 5 / 3 * 2 / (3 * np.pi), 1 / 3),
        (3, 3, 0.125, 7 / 4 / (4 * np.pi), 1 / 4),
        (2, 1, 0.5, 2 * 2 / np.pi, 1.0),
        (2, 2, 0.25, 2 / np.pi, 1 / 2),
    ):
        at = [0.0 if side % 2 == 0 and side // 2 < sides else NONE for side in range(6)]
        found = open_boundary(dim, at, [-1 if t == 0 else 0 for t in at])
        assert found.mean == pytest.approx(share * mean, rel=0.01)
        assert found.slope == pytest.approx(slope, rel=0.04)


@pytest.mark.parametrize(
    ("at", "mean", "slope", "even"),
    [
        ((0.0, 0.93), 0.986, 2.411, 2.037),
        ((0.0, 1.005), 1.068, 2.624, 2.273),
        ((0.0, 1.02), 0.989, 2.239, 1.944),
        ((0.0, 1.07), 0.891, 1.843, 1.593),
        ((1.0, 0.93), 1.641, 2.717, 1.538),
        ((1.0, 1.005), 1.885, 3.462, 2.158),
        ((1.0, 1.07), 1.778, 2.838, 1.828),
        ((1.0, 1.17), 1.706, 2.492, 1.619),
    ],
)
def test_a_disc_near_the_contact_with_a_closed_face(
    at: tuple[float, float], mean: float, slope: float, even: float
) -> None:
    """R rises by the logarithm of the gap; solved with 3,000 elements. Linear in t, it was 34 % too high."""
    found = open_boundary(2, [at[0], NONE, at[1], NONE, NONE, NONE], [-1, 0, 1, 0, 0, 0])
    assert found == pytest.approx((mean, slope, even), rel=0.02)


@pytest.mark.parametrize(("k_a", "voxel"), [(14.0, 10.0), (140.0, 5.0)])
@pytest.mark.parametrize(("at", "even"), [((0.0, 1.05), 1.690), ((1.0, 1.1), 1.751), ((1.0, 0.93), 1.538)])
def test_a_disc_between_a_held_and_a_closed_face(
    at: tuple[float, float], even: float, k_a: float, voxel: float
) -> None:
    """f k_a c / (1 + k_a f R) to 2 %; before, 10 % were missing at a gap of 0.05 radii."""
    model = beside(2, "held closed", at, k_a, voxel, length=400.0)
    f = (0.5 if at[0] == 0 else 1.0) * (1.0 if at[1] >= 1 else 1 - math.acos(at[1]) / math.pi)
    right = f * k_a / (1 + k_a * even / (2 * np.pi * FREELY * 10))
    assert taken(model, held=True) == pytest.approx(right, rel=0.02)
