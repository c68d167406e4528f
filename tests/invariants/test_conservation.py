"""Problem 3: at every step all vesicles are somewhere, whatever the faces, the uptake and the space."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from crowded_tissue import FACES, crowd
from worlds import run, stop_secretion

from exoabm import ExosomeModel
from exoabm.errors import NumericalError


def gap(model: ExosomeModel) -> float:
    """Largest imbalance of any origin, relative, counted anew from cells and fields.

    Released by cells, or entered through a face = free + on and in cells + cleared + escaped.
    """
    state, way = model.state, model.state.trafficking
    emitted = state.balance.emitted[0]
    held = state.fields[0].reshape(len(emitted), -1).sum(axis=1)
    for array in (way.bound, way.returning, way.endosomal, way.lysosomal, way.delivered):
        held = held + array[:, 0].sum(axis=0)
    held = held + state.balance["cleared"][0] + state.balance["escaped"][0]
    return float((np.abs(emitted - held) / np.maximum(emitted, 1)).max())


@pytest.mark.parametrize(
    ("dim", "faces", "saturation", "zones"),
    list(itertools.product([2, 3], FACES, ["inf", "1 pM"], [False, True])),
)
def test_3_ledger_at_every_step_to_1e_12(dim: int, faces: str, saturation: str, zones: bool) -> None:
    model = crowd(dim, faces=faces, saturation=saturation, zones=zones)
    donors = model.state.labels.of_cell
    for _ in range(40):
        model.step()
        assert gap(model) < 1e-12
        assert min(field.min() for field in model.state.fields) >= 0
    released = [model.state.released[donors == i].sum() for i in range(2)]
    assert released == pytest.approx([3 * 600 * 2 / 3, 2 * 60 * 2 / 3], rel=1e-12)
    assert model.state.balance.emitted[0, :2] == pytest.approx(released, rel=1e-12)
    arrived = model.state.balance.emitted[0, 2:].sum()
    assert (arrived > 0) == (faces == "held")
    assert (model.state.balance["escaped"].sum() > 0) == (faces in ("open", "held"))


def test_3_whole_vesicles_stay_whole() -> None:
    """Bursts are integers, and the mass balance counts them exactly."""
    model = run(crowd(kinds={"secretion": "poisson"}), 3600)
    released = model.state.released
    assert released.sum() > 500
    np.testing.assert_array_equal(released, np.round(released))
    assert model.state.balance.emitted.sum() == released.sum()


@pytest.mark.parametrize("place", ["fields", "bound", "lysosomal"])
def test_3_a_leak_of_a_millionth_stops_the_run(place: str) -> None:
    model = run(crowd(), 1200)
    array = model.state.fields[0] if place == "fields" else getattr(model.state.trafficking, place)
    array *= 1 - 1e-6
    with pytest.raises(NumericalError, match="does not close"):
        model.step()


def test_3_single_precision_balances_to_a_hundred_thousandth() -> None:
    model = crowd(3, faces="held", zones=True, precision="float32")
    for _ in range(200):
        model.step()
        assert gap(model) < 1e-5
    assert gap(model) > 1e-12


def test_obstacles_stay_empty() -> None:
    model = run(crowd(3, faces="held", zones=True), 3600)
    domain = model.state.domain
    assert domain.obstacle is not None
    assert domain.obstacle.sum() == 5
    assert not model.state.fields[0][:, domain.obstacle].any()
    assert (model.state.fields[0].sum(axis=0)[~domain.obstacle] > 0).all()


def test_what_stops_is_used_up() -> None:
    """A closed box without clearance: in the end every vesicle is inside a cell."""
    eager = {"half_life": "inf", "unbinding_rate": 0, "processing_rate": 20}
    model = run(crowd(3, vesicle=eager), 3600)
    stop_secretion(model)
    run(model, 6 * 3600)
    balance = model.state.balance
    inside = balance["lysosomal"] + balance["delivered"]
    np.testing.assert_allclose(inside, balance.emitted, rtol=1e-9)
    np.testing.assert_allclose(balance["delivered"], 0.2 * inside, rtol=1e-9)
