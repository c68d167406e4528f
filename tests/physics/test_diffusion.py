"""Problems 4 to 8 and 17: release, diffusion and clearance against closed forms; orders of convergence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import k0
from worlds import (
    DECAY,
    DONOR,
    FREE,
    HALF_LIFE,
    RECIPIENT,
    TISSUE,
    absorbing_cube,
    concentration,
    middle,
    pour,
    run,
    world,
)

from exoabm import ExosomeModel
from exoabm.analysis.communication import communication_distance

PER_SECOND = 60 / 3600
"""The default release rate, 60 / h."""
PER_ML = 1e12
OPEN = {"faces": {"x": "open", "y": "open", "z": "open"}}


def free_after(hours: float, *, half_life: float = HALF_LIFE) -> float:
    """Free vesicles of one donor in a closed drop."""
    drop = world([50, 50], [(DONOR, [[25, 25]])], vesicle={"half_life": f"{half_life} s"}, step=600)
    return float(run(drop, hours * 3600).state.balance["free"].sum())


@pytest.mark.parametrize(("hours", "expected"), [(6, 259.7), (24, 486.9), (96, 519.4)])
def test_4_secretion_against_clearance_to_half_a_percent(hours: float, expected: float) -> None:
    assert free_after(hours) == pytest.approx(expected, rel=5e-3)


def test_4_sees_a_half_life_wrong_by_5_percent() -> None:
    assert free_after(24, half_life=1.05 * HALF_LIFE) != pytest.approx(486.9, rel=5e-3)


def point_release(diffusivity: float) -> tuple[float, float, float]:
    """MSD (um^2), peak (1/um^2) and share within 50 um of a vesicle, 600 s after its release in a plane."""
    n, dx = 201, 5.0
    model = world([n * dx, n * dx], voxel=dx, vesicle={"diffusivity": diffusivity})
    start = np.zeros((n, n))
    start[n // 2, n // 2] = 1.0
    pour(model, start)
    u = run(model, 600).state.fields[0][0]
    x = (np.arange(n) - n // 2) * dx
    square = x**2 + x[:, None] ** 2
    inside = x[:, None] + dx * (np.arange(20) - 9.5) / 20
    part = np.hypot(inside[:, None, :, None], inside[None, :, None, :]) <= 50.0
    return float((u * square).sum()), float(u.max() / dx**2), float((u * part.mean((2, 3))).sum())


def test_5_point_release_to_two_thousandths() -> None:
    """MSD 15 773 um^2, peak 2.018e-5 /um^2, 14.7 % within 50 um.

    The last is 1 - exp(-50^2 / 4 D t) = 0.14657 before rounding.
    """
    expected = pytest.approx([15_773, 2.018e-5, -np.expm1(-(50.0**2) / 15_773)], rel=2e-3)
    assert list(point_release(FREE)) == expected
    assert list(point_release(1.05 * FREE)) != expected


def screening_length(diffusivity: float, voxel: float, **medium: float) -> float:
    """L of the steady profile exp(-x/L) away from a plane held at a concentration, um."""
    n = 200
    model = world(
        [n * voxel, voxel],
        voxel=voxel,
        vesicle={"diffusivity": diffusivity, "half_life": HALF_LIFE / 3600},
        domain={"faces": {"x_low": {"concentration": "1e9 / mL"}}},
        transport=medium,
        step=6 * 3600,
    )
    x = model.state.domain.centers(0)
    part = slice(10, 60)
    profile = concentration(run(model, 90 * 3600))[0, part]
    return float(-1 / np.polyfit(x[part], np.log(profile), 1)[0])


@pytest.mark.parametrize(
    ("diffusivity", "voxel", "hindrance", "expected"),
    [(FREE, 22.5, 1.0, 452.5), (TISSUE / 0.05, 5.0, 0.05, 101.4)],
)
def test_6_plane_source_to_a_percent(
    diffusivity: float, voxel: float, hindrance: float, expected: float
) -> None:
    length = screening_length(diffusivity, voxel, hindrance=hindrance)
    assert length == pytest.approx(expected, rel=0.01)
    length = screening_length(1.05 * diffusivity, voxel, hindrance=hindrance)
    assert length != pytest.approx(expected, rel=0.01)


def source_in_a_slab(diffusivity: float) -> np.ndarray:
    """Steady concentration L/2, L and 2 L from a donor in a slab, dx = L/20."""
    n, dx = 181, np.sqrt(FREE / DECAY) / 20
    model = world(
        [n * dx, n * dx],
        [(DONOR, [middle(n, dx, 2)])],
        voxel=dx,
        vesicle={"diffusivity": diffusivity, "half_life": HALF_LIFE / 3600},
        domain={"thickness": 10},
        transport={"courant": 0.25},
        step=3600,
    )
    row = concentration(run(model, 7 / DECAY))[n // 2]
    return row[n // 2 + np.array([10, 20, 40])]


def test_7_slab_source_to_a_percent() -> None:
    """c = S K0(r/L) / (2 pi D h), as 9.244e-1, 4.210e-1, 1.139e-1 of S / (2 pi D h)."""
    expected = PER_SECOND / (2 * np.pi * FREE * 10) * k0([0.5, 1, 2])
    assert expected[:-1] / expected[1:] == pytest.approx([2.196, 3.697], rel=1e-3)
    assert source_in_a_slab(FREE) == pytest.approx(expected, rel=0.01)
    assert source_in_a_slab(1.05 * FREE) != pytest.approx(expected, rel=0.01)


def source_in_a_cube(diffusivity: float, n: int, dx: float, half_life: float | str) -> ExosomeModel:
    """A donor in the middle of a cube with open faces, steady."""
    model = world(
        [n * dx] * 3,
        [(DONOR, [middle(n, dx, 3)])],
        voxel=dx,
        vesicle={"diffusivity": diffusivity, "half_life": half_life},
        domain=OPEN,
        step=600,
    )
    return run(model, 8 * (n * dx) ** 2 / (3 * np.pi**2 * FREE))


def in_open_space(model: ExosomeModel, screening: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance and concentration from the donor along x, with what the faces took given back."""
    n, dx = model.state.domain.shape[0], model.state.domain.voxel
    r = np.arange(1, n // 2) * dx
    lost = [absorbing_cube([x, 0.0, 0.0], n * dx, screening) for x in r]
    c = concentration(model)[n // 2, n // 2, n // 2 + 1 : -1]
    return r, c + PER_SECOND / FREE * np.array(lost)


def test_8_source_in_space_to_two_percent() -> None:
    """c(20 um) = 9.66e6 / mL on voxels of 5 um, c(50) / c(100) = 2.234 on voxels of 10 um.

    L = 452.5 um. Two voxels from the source the lattice's own Green's function is 7 % too high
    along an axis, so the first number needs the finer grid.
    """

    def measured(diffusivity: float) -> list[float]:
        near = source_in_a_cube(diffusivity, 21, 5.0, HALF_LIFE / 3600)
        far = source_in_a_cube(diffusivity, 31, 10.0, HALF_LIFE / 3600)
        fine, coarse = (in_open_space(model, DECAY / FREE)[1] for model in (near, far))
        return [fine[3] * PER_ML, coarse[4] / coarse[9]]

    expected = pytest.approx([9.66e6, 2.234], rel=0.02)
    assert measured(FREE) == expected
    assert measured(1.05 * FREE) != expected


def test_17_communication_distance_to_two_percent() -> None:
    """S / (4 pi D c*) = 201.9 um for c* = 1e6 / mL, without clearance.

    In open space by what the field says with the faces' part given back; and by
    ``communication_distance`` in the cube itself, against the cube's own closed form.
    """
    threshold = 1e6 / PER_ML

    def crossing(r: np.ndarray, c: np.ndarray) -> float:
        return float(np.exp(np.interp(-np.log(threshold), -np.log(c), np.log(r))))

    model = source_in_a_cube(FREE, 35, 30.0, "inf")
    r, open_space = in_open_space(model, 0.0)
    assert crossing(r, open_space) == pytest.approx(201.9, rel=0.02)
    lost = np.array([absorbing_cube([x, 0.0, 0.0], 35 * 30.0) for x in r])
    cube = PER_SECOND / FREE * (1 / (4 * np.pi * r) - lost)
    reach = communication_distance(model.state, 0, threshold)
    assert reach == pytest.approx(crossing(r, cube), rel=0.02)
    faster = source_in_a_cube(1.05 * FREE, 35, 30.0, "inf")
    assert crossing(*in_open_space(faster, 0.0)) != pytest.approx(201.9, rel=0.02)
    assert communication_distance(faster.state, 0, threshold) != pytest.approx(reach, rel=0.02)


def half_rise(diffusivity: float) -> float:
    """Seconds until the concentration 250 um from a new source is half of S / (4 pi D r)."""
    n, dx, half = 51, 25.0, PER_SECOND / (4 * np.pi * diffusivity * 250) / 2
    model = world(
        [n * dx] * 3,
        [(DONOR, [middle(n, dx, 3)])],
        voxel=dx,
        vesicle={"diffusivity": diffusivity},
        step=1000 / diffusivity,
    )
    times, levels = [0.0], [0.0]
    while levels[-1] < half:
        model.step()
        times.append(model.state.time)
        levels.append(model.state.fields[0][0, n // 2, n // 2, n // 2 + 10] / dx**3)
    return float(np.interp(half, levels, times))


@pytest.mark.parametrize(("diffusivity", "minutes"), [(FREE, 174), (100.0, 11.4)])
def test_17_half_rise_to_five_percent(diffusivity: float, minutes: float) -> None:
    """1.099 r^2 / D at 250 um: 174 min for a vesicle, 11.4 min for a cytokine."""
    assert half_rise(diffusivity) / 60 == pytest.approx(minutes, rel=0.05)
    assert half_rise(1.05 * diffusivity) / 60 != pytest.approx(minutes, rel=0.05)


def bump(model: ExosomeModel) -> np.ndarray:
    """A smooth mode of a closed box, 1 + prod cos(pi x / l), per um^3."""
    domain = model.state.domain
    shape = np.ones(domain.shape)
    for axis in range(domain.dim):
        wave = np.cos(np.pi * domain.centers(axis) / domain.extent[axis])
        shape = shape * wave.reshape([-1 if a == domain.dim - 1 - axis else 1 for a in range(domain.dim)])
    return 1 + shape


@pytest.mark.parametrize("dim", [2, 3])
def test_error_falls_with_the_square_of_the_voxel(dim: int) -> None:
    """At one Courant number; the mode decays as exp(-dim (pi/l)^2 D t)."""
    length, seconds = 160.0, 600.0
    errors = []
    for voxel in (20.0, 10.0, 5.0):
        model = world([length] * dim, voxel=voxel, transport={"courant": 0.15}, step=seconds)
        mode = bump(model) - 1
        pour(model, (1 + mode) * model.state.domain.voxel_volume)
        exact = 1 + mode * np.exp(-dim * (np.pi / length) ** 2 * FREE * seconds)
        errors.append(np.abs(concentration(run(model, seconds)) - exact).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert orders == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("saturation", ["inf", "10 pM"])
def test_error_falls_with_the_substep(saturation: str) -> None:
    """First order in time, with release, uptake, clearance and fluxes through faces at work."""
    sink = RECIPIENT | {"saturation": saturation, "uptake_rate": 100}

    def solve(courant: float) -> np.ndarray:
        model = world(
            [90, 90, 90],
            [(DONOR, [[25, 45, 45]]), (sink, [[65, 45, 45]])],
            vesicle={"half_life": 0.5},
            domain={"faces": {"x_low": {"concentration": "5e9 / mL"}, "y": "open"}},
            transport={"courant": courant},
            step=160 / FREE,
        )
        return concentration(run(model, 3200 / FREE))

    steps = np.abs(np.diff([solve(0.08 / 2**k) for k in range(4)], axis=0)).max(axis=(1, 2, 3))
    assert np.log2(steps[:-1] / steps[1:]) == pytest.approx(1.0, abs=0.05)
