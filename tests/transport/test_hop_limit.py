"""The sub-step of a hopping vesicle: chosen by the scenario, and short enough for a chance to stay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.domain import Domain, Face
from exoabm.errors import ScenarioError
from exoabm.transport.grid_discretization import MAX_DECAY, choose_courant, conductance, hop_limit

FACES = (Face.NO_FLUX, Face.PERIODIC, Face.FIXED)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4), (3, 4, 5), (1, 3, 1)])
def test_chances_to_leave_a_voxel_add_up_to_one_at_most(shape: tuple[int, ...]) -> None:
    """And reach one, up to what may be cleared, where no hindrance varies."""
    for pairs in itertools.product(itertools.product(FACES, FACES), repeat=len(shape)):
        if any(Face.PERIODIC in pair and pair[0] != pair[1] for pair in pairs):
            continue
        faces = (*itertools.chain(*pairs), *(Face.NO_FLUX,) * (6 - 2 * len(shape)))
        domain = Domain(shape, 10.0, 10.0, faces=faces)
        ways = np.zeros(shape)
        for axis, g in enumerate(conductance(domain)):
            along = len(shape) - 1 - axis
            ways += np.delete(g, 0, along) + np.delete(g, -1, along)
        r = hop_limit(domain)
        assert r * ways.max() + MAX_DECAY <= 1 + 1e-12
        if min(shape) > 2:
            assert r * ways.max() + MAX_DECAY > 0.7
        assert min(choose_courant(domain), r) > 0.05


def model(**keys: str) -> ExosomeModel:
    overrides = {"transport.engine": "vesicles"} | {f"transport.{k}": v for k, v in keys.items()}
    return ExosomeModel("signaling", seed=1, overrides=overrides)


def test_the_scenario_chooses_the_step() -> None:
    """Half of it takes twice as many hops: other draws, the same spread in the mean."""
    own, fine = model(), model(courant="0.05")
    for run in (own, fine):
        run.run(hours=2)
    assert set(own.state.vesicles.id) & set(fine.state.vesicles.id)
    assert not np.array_equal(own.state.vesicles.x, fine.state.vesicles.x)
    same = model(courant="0.2")
    same.run(hours=2)
    np.testing.assert_array_equal(own.state.vesicles.x, same.state.vesicles.x)


def test_a_step_too_long_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"0\.245"):
        model(courant="0.25")
    assert ExosomeModel("signaling", seed=1, overrides={"transport.courant": "0.25"}).engine.courant == 0.25


@pytest.mark.parametrize(("faces", "courant"), [("open", "0.25"), ("no-flux", "0.25"), ("open", "0.16")])
def test_no_field_falls_below_zero_at_a_face(faces: str, courant: str) -> None:
    """An open face takes r 2 u; in a corner 0.25 took half as much again as was there, and left -0.3."""
    keys = {"domain.faces.x": faces, "domain.faces.y": faces, "transport.courant": courant}
    if (faces, courant) == ("open", "0.25"):
        with pytest.raises(ScenarioError, match=r"allowed 0 to 0\.1633"):
            ExosomeModel("signaling", seed=1, overrides=keys)
        return
    model = ExosomeModel("signaling", seed=1, overrides=keys)
    field = model.state.fields[0][0]
    field[0, 0] = 1000.0
    model.state.balance.emitted[0, 0] += field.sum()
    for _ in range(3):
        model.step()
        assert (field >= 0).all()
