"""Voxels that are too coarse for the cells in them are told of with the size of the error, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from exoabm import ExosomeModel
from exoabm.scenario.grid_accuracy import Shares, captured_shares
from exoabm.scenario.loader import load, parse
from exoabm.scenario.state_builder import blueprint


def warnings(name: str, **overrides: str) -> list[str]:
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return [w for w in blueprint(load(name, keys), 1).warnings if w.startswith(("domain.voxel", "transport"))]


PAIR = """
info = {{ title = "a test" }}
clock = {{ step = "{step} s" }}
transport = {{ hindrance = {hindrance} }}
layout = {{ group = [
    {{ cell_type = "donor", arrange = "points", points = [[{middle}, {middle}, {middle}]] }},
    {{ cell_type = "recipient", arrange = "points", points = [[{away}, {middle}, {middle}]] }},
] }}
cell_type = [
    {{ name = "donor", releases = "EV", release_rate = "3600 / h" }},
    {{ name = "recipient", takes_up = ["EV"], uptake_rate = {uptake}, saturation = "inf" }},
]
[[vesicle]]
name = "EV"
diffusivity = 8
diameter_gsd = 1
half_life = "{half_life} h"
unbinding_rate = 0
[domain]
size = [{edge}, {edge}, {edge}]
voxel = {voxel}
faces = {{ x = "open", y = "open", z = "open" }}
"""


def pair(
    distance: float, voxel: float, *, hindrance: float, uptake: float, half_life: float = 6, n: int = 20
) -> ExosomeModel:
    """A donor in the middle of open space, off the center of its voxel, and a recipient along x."""
    edge = n * voxel
    middle = edge / 2 + 0.3 * voxel
    text = PAIR.format(
        edge=edge, voxel=voxel, middle=middle, away=middle + distance, hindrance=hindrance, uptake=uptake,
        half_life=half_life, step=0.05 * edge**2 / (8 * hindrance),
    )  # fmt: skip
    return ExosomeModel(parse(text.encode(), name="test", folder=Path()), seed=1)


def estimated(model: ExosomeModel) -> Shares:
    state = model.state
    here = state.domain, 0, state.kinds[0], state.types, state.cells.type, state.cells.position
    found = captured_shares(*here)
    assert found is not None
    return found


CASES = {
    "hindered, 10 um": {"distance": 16, "voxel": 10, "hindrance": 0.005, "uptake": 14},
    "hindered, 5 um": {"distance": 16, "voxel": 5, "hindrance": 0.005, "uptake": 14, "n": 40},
    "decay": {"distance": 45, "voxel": 15, "hindrance": 0.05, "uptake": 100, "half_life": 0.12},
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_told_is_that_of_the_engine(case: str) -> None:
    """Share captured at rest by the grid, to 2 %; open faces are three lengths of decay away, or more."""
    model = pair(**CASES[case])
    told = estimated(model)
    for _ in range(12):
        before = model.state.trafficking.encountered.sum(), model.state.released.sum()
        model.step()
    captured = model.state.trafficking.encountered.sum() - before[0]
    share = captured / (model.state.released.sum() - before[1])
    assert share == pytest.approx(told.grid, rel=0.02)
    assert abs(told.error) > 0.03
    assert any(
        "too coarse for cells in the same" in w and f"({100 * told.error:+.0f} %)" in w
        for w in model.state.warnings
    )


@pytest.mark.parametrize("name", ["two_cells", "signaling", "waste_removal", "tissue"])
def test_shipped_scenarios_resolve_their_cells(name: str) -> None:
    assert not warnings(name)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_coarse_voxels_are_told_of(engine: str) -> None:
    """In the test a macrophage captures 14 % too little with voxels of 10 um."""
    (warning,) = warnings("tissue", domain__voxel="10", transport__engine=engine)
    assert "domain.voxel = 10 um" in warning
    assert "macrophage" in warning
    assert -15 < float(warning.split("(")[1].split(" %")[0]) < -13
    assert "Voxels of 5 um are small enough" in warning


def test_only_cells_that_take_up_count() -> None:
    """Donors of the cluster stand 15 um apart; no voxel is too coarse for cells that take nothing up."""
    assert not warnings("signaling", domain__voxel="11")


def test_membranes_need_no_voxels() -> None:
    keys = {"transport__engine": "vesicles", "transport__capture": "membrane", "domain__voxel": "50"}
    assert not warnings("signaling", **keys)
    (warning,) = warnings("signaling", **keys, transport__courant="0.1")
    assert warning.startswith("transport.courant is not used")


@pytest.mark.parametrize(
    ("faces", "spacing", "told"),
    [
        ("{ x = 'open' }", 15, True),
        ("{ x = 'open' }", 45, False),
        ("{ x = 'no-flux' }", 15, False),
        ("{ x_high = 'open' }", 15, False),
    ],
)
def test_cells_that_crowd_at_an_open_face_are_told_of(faces: str, spacing: float, told: bool) -> None:
    """A touching disc meets 2 ln 2 of the slope at its center, 39 % more, if it has the face to itself."""
    text = f"""
info = {{ title = "a test" }}
clock = {{ step = "60 s" }}
domain = {{ size = [120, 120], voxel = 15, faces = {faces} }}
cell_type = [{{ name = "a", takes_up = ["EV"] }}]
vesicle = [{{ name = "EV" }}]
[[layout.group]]
cell_type = "a"
arrange = "points"
points = [[7.5, 60], [7.5, {60 + spacing}]]
"""
    found = blueprint(parse(text.encode(), name="crowd", folder=Path()), 1).warnings
    crowded = [warning for warning in found if "open face" in warning]
    assert len(crowded) == told
    assert all("2 cells" in warning and "39 %" in warning for warning in crowded)


@pytest.mark.parametrize(
    ("size", "diameter", "said"),
    [
        (
            [200, 200, 10],
            15,
            "along z, less than the diameter of recipient cells, 15 um: at most 67 %",
        ),
        ([200, 200, 10], 10, None),
        ([200, 200, 15], 15, None),
        ([200, 10], 15, "along y, less than the diameter of recipient cells, 15 um: at most 46 %"),
    ],
)
def test_cells_that_two_faces_cut_are_told_of(size: list[int], diameter: int, said: str | None) -> None:
    """The share of a sphere between two planes is that of its diameter; of a circle 2/pi asin of it."""
    keys = {"domain.size": str(size), "cell_type.recipient.diameter": str(diameter), "domain.voxel": "5 um"}
    for name, x in (("donor", 80), ("recipient", 120)):
        keys[f"layout.group.{name}.points"] = str([[x, *(length / 2 for length in size[1:])]])
    found = [each for each in blueprint(load("two_cells", keys), 1).warnings if "membranes is inside" in each]
    assert (said in found[0]) if said else not found
    if said:
        assert ("domain.thickness = '10 um'" in found[0]) == (len(size) == 3)


def test_a_sphere_between_close_faces_takes_up_less_than_a_disc() -> None:
    """By 5 % where diffusion limits uptake, on coarse and on fine voxels: it is no error of the grid."""
    ratio = []
    for voxel in (10, 2.5):
        taken = []
        for size in ([200, 200, 10], [200, 200]):
            keys = {"domain.size": str(size), "domain.voxel": str(voxel), "transport.hindrance": "0.05"}
            for name, x in (("donor", 85), ("recipient", 125)):
                keys[f"cell_type.{name}.diameter"] = "10"
                keys[f"layout.group.{name}.points"] = str([[x, 105, 5][: len(size)]])
            model = ExosomeModel(load("two_cells", keys | {"clock.step": "2 min"}), seed=1)
            model.run(hours=1)
            taken.append(model.state.trafficking.taken_up.sum())
        ratio.append(taken[0] / taken[1])
    assert ratio == pytest.approx([0.95, 0.95], abs=0.01)
