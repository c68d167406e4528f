"""Problems 10, 15 and 16: the rate onto a cell, its saturation, and what many cells do to a field."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import lambertw
from worlds import (
    FREE,
    RECIPIENT,
    TISSUE,
    absorbing_cube,
    collins_kimball,
    concentration,
    middle,
    pour,
    run,
    world,
)

HELD = 1e-3
"""vesicles / um^3 at fixed faces, 1e9 / mL."""
FED = {"concentration": "1e9 / mL"}


def rate_onto_a_cell(n: int, voxel: float, uptake_rate: float, diffusivity: float) -> float:
    """Steady captures per second and far concentration, um^3/s, in open space.

    In a cube with faces held at c the rate Q obeys Q (1/k_eff - shadow/D) = c, where the shadow is
    what the faces take from a source in the middle: that gives k_eff.
    """
    edge = n * voxel
    model = world(
        [edge] * 3,
        [(RECIPIENT | {"uptake_rate": uptake_rate}, [middle(n, voxel, 3)])],
        voxel=voxel,
        vesicle={"diffusivity": diffusivity},
        domain={"faces": {"x": FED, "y": FED, "z": FED}},
        step=100 / diffusivity,
    )
    pour(model, HELD * voxel**3)
    run(model, edge**2 / (4 * diffusivity))
    before, start = model.state.trafficking.encountered.sum(), model.state.time
    model.step()
    captured = model.state.trafficking.encountered.sum() - before
    rate = captured / (model.state.time - start) / HELD
    return 1 / (1 / rate + absorbing_cube([0.0] * 3, edge) / diffusivity)


@pytest.mark.parametrize(("n", "voxel"), [(33, 5.0), (21, 7.5), (17, 10.0), (11, 15.0)])
@pytest.mark.parametrize(
    ("uptake_rate", "diffusivity", "expected"),
    [(14.2, FREE, 13.9), (14.2, TISSUE, 9.75), (600.0, FREE, None)],
)
def test_10_rate_onto_a_cell_to_a_thousandth_on_any_grid(
    n: int, voxel: float, uptake_rate: float, diffusivity: float, expected: float | None
) -> None:
    """k_a 14.2: 13.9 (D), 9.75 (D*) um^3/s; k_a 600, half limited by diffusion, 305."""
    exact = collins_kimball(uptake_rate, diffusivity)
    assert expected is None or exact == pytest.approx(expected, rel=0.005)
    rate = rate_onto_a_cell(n, voxel, uptake_rate, diffusivity)
    assert rate == pytest.approx(exact, rel=1e-3)


def test_10_sees_a_rate_constant_wrong_by_5_percent() -> None:
    rate = rate_onto_a_cell(17, 10.0, 1.05 * 14.2, FREE)
    assert rate != pytest.approx(collins_kimball(14.2, FREE), rel=1e-3)


def depletion(uptake_rate: float) -> list[float]:
    """C/Km at V t / Km = 1 and 2 in a stirred drop that starts at C = 2 Km, V = 14 Km / volume.

    Vesicles leave the surface within a second, so that 0.014 are bound at most: the form has none.
    """
    km, edge = 1e-3, 40.0
    cell = {"name": "recipient", "takes_up": ["EV"], "saturation": "1e9 / mL"}
    model = world(
        [edge] * 3,
        [(cell | {"uptake_rate": uptake_rate}, [[25, 25, 25]])],
        vesicle={"diffusivity": 400.0, "internalization_rate": 3600},
        step=edge**3 / 14 / 20,
    )
    pour(model, 2 * km * 1000)
    return [concentration(run(model, edge**3 / 14)).mean() / km for _ in range(2)]


@pytest.mark.parametrize("step", [60, 10, 2])
def test_what_comes_at_once_into_an_empty_medium_saturates_at_once(step: float) -> None:
    """A dose of 1,000 Km: a cell takes up k_a Km a second, 0.84 in a minute, however short the steps.

    The rates of a sub-step are those of the concentration before it, so that they lag by 2 s. As from an
    empty medium, the cell took up 39, 227 and 730 in the sub-step in which the dose began to enter.
    """
    cell = {"name": "recipient", "takes_up": ["EV"], "saturation": "1e9 / mL", "uptake_rate": 14}
    dose = {"name": "shot", "vesicle": "EV", "route": "tissue", "particles": 216_000, "through": "recipient"}
    fast = {"internalization_rate": 3600}  # so that the 0.014 receptors that this makes fill in no time
    model = run(world([60.0] * 3, [(cell, [[25, 25, 25]])], vesicle=fast, dose=[dose], step=step), 60)
    assert model.state.balance.emitted.sum() == pytest.approx(216_000)
    taken = model.state.trafficking.encountered.sum()
    assert taken == pytest.approx(0.84, rel=0.12)


def test_15_saturable_depletion_to_half_a_percent() -> None:
    """C/Km = W(C0/Km exp(C0/Km - V t/Km)): 1.3748 at V t / Km = 1, 0.8526 at 2."""
    exact = lambertw(2 * np.exp([1.0, 0.0])).real
    assert exact == pytest.approx([1.3748, 0.8526], rel=1e-4)
    assert depletion(14.0) == pytest.approx(exact, rel=0.005)
    assert depletion(14.0 * 1.05) != pytest.approx(exact, rel=0.005)


def screening(diffusivity: float, uptake_rate: float = 14.2) -> float:
    """Length over which 1e7 cells/mL on a cubic lattice take a field out of the medium, um."""
    spacing, along = 100 / 10 ** (1 / 3), 24
    model = world(
        [along * spacing, spacing, spacing],
        [
            (
                RECIPIENT | {"uptake_rate": uptake_rate},
                [[(i + 0.5) * spacing, spacing / 2, spacing / 2] for i in range(along)],
            )
        ],
        voxel=spacing / 3,
        vesicle={"diffusivity": diffusivity},
        domain={"faces": {"x_low": FED, "y": "periodic", "z": "periodic"}},
        step=600,
    )
    run(model, 10 / (1e-5 * collins_kimball(uptake_rate, diffusivity)))
    planes = concentration(model).mean(axis=(0, 1)).reshape(along, 3).mean(axis=1)
    slope = np.polyfit(np.arange(1, 8) * spacing, np.log(planes[1:8]), 1)[0]
    return float(-1 / slope)


@pytest.mark.parametrize(("diffusivity", "expected"), [(FREE, 217.6), (TISSUE, 58.2)])
def test_16_screening_by_cells_to_ten_percent(diffusivity: float, expected: float) -> None:
    """sqrt(D / (k_eff n)), which takes the cells for a mist: they stand 46 um apart.

    Cells scattered at random stray from it by up to 9 % from one layout to the next.
    """
    assert screening(diffusivity) == pytest.approx(expected, rel=0.1)


def test_16_sees_an_uptake_wrong_by_5_percent() -> None:
    """It moves the length by 2.4 %; on a lattice of cells in medium the form holds to 1 %."""
    assert screening(FREE) == pytest.approx(217.6, rel=0.01)
    assert screening(FREE, 1.05 * 14.2) != pytest.approx(217.6, rel=0.01)
