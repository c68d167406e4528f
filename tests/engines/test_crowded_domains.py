"""Both engines in small crowded worlds where every mechanism is at work: where each vesicle is.

Free in a voxel, bound to, inside or spent in a cell: a vesicle is in one place at a time, so the counts over
all places are Poisson around the continuum's numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from crowded_tissue import FACES, crowd

from exoabm import ExosomeModel
from exoabm.benchmarks.engine_agreement import along, compare, standard_errors
from exoabm.random_streams import Streams

RATE = 30_000
"""Vesicles released per donor and hour, for good counts in one run; uptake is linear."""
BUSY = {"release_rate": RATE}
RELAYS = {"recycling_probability": 0.5, "processing_rate": "6 / h", "diameter_gsd": 1}


def both(seconds: float = 1800, **options: Any) -> tuple[ExosomeModel, ExosomeModel]:
    """The crowd after some time, counted and expected."""
    options["kinds"] = BUSY | options.get("kinds", {})
    options["vesicle"] = RELAYS | options.get("vesicle", {})
    engines = []
    for engine in ("vesicles", "continuum"):
        engines.append(crowd(transport={"engine": engine, "capture": "voxel"}, **options))
        engines[-1].run(hours=seconds / 3600)
    return engines[0], engines[1]


def places(model: ExosomeModel) -> np.ndarray:
    """Vesicles by the place where they are, and origin."""
    state = model.state
    way = state.trafficking
    inside = (way.bound, way.returning, way.endosomal, way.lysosomal, way.delivered)
    free = state.free_per_voxel(0)
    return np.concatenate(
        [free.ravel(), *(array.ravel() for array in inside), state.balance["cleared"].ravel()]
    )


@pytest.mark.parametrize("faces", FACES)
@pytest.mark.parametrize("dim", [2, 3])
def test_every_place_of_a_crowd(dim: int, faces: str) -> None:
    """Hindered zones, an obstacle, every kind of face, relays."""
    counted, expected = both(dim=dim, faces=faces, zones=True)
    result = compare(places(counted), places(expected))
    assert result, result
    assert len(result.z) > 100
    assert result.spread > 0.8
    lost, gone = (m.state.balance["escaped"] - m.state.balance.entered for m in (counted, expected))
    gross = counted.state.balance["escaped"] + counted.state.balance.entered
    assert (np.abs(lost - gone) <= 4 * np.sqrt(gross)).all()
    if faces == "held":
        assert counted.state.balance.entered.sum() > 1000


@pytest.mark.parametrize("dim", [2, 3])
def test_every_place_without_zones(dim: int) -> None:
    counted, expected = both(dim=dim, faces="periodic")
    assert compare(places(counted), places(expected))


def test_long_and_short_steps() -> None:
    """Steps of ten minutes, in which vesicles make many hops, and of two seconds, shorter than one."""
    for step in (600, 2):
        counted, expected = both(dim=2, faces="open", zones=True, step=step, seconds=600)
        assert compare(places(counted), places(expected))


def test_fusion_delivers_alike() -> None:
    vesicle = {"delivery_route": "membrane_fusion", "delivery_probability": 0.3}
    counted, expected = both(dim=2, vesicle=vesicle)
    assert compare(places(counted), places(expected))
    ways = [
        np.array([m.state.trafficking.delivered, m.state.trafficking.lysosomal]) for m in (counted, expected)
    ]
    assert compare(*ways)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("kinds", "uptake_rate", 40.0), ("vesicle", "half_life", 1.0), ("vesicle", "diffusivity", 6.572)],
)
def test_what_is_wrong_by_5_percent_is_seen(table: str, key: str, value: float) -> None:
    """Told by the counts in the direction in which the error moves them."""
    rate = {"kinds": {"release_rate": (15 if key == "half_life" else 5) * RATE}}
    wrong = {table: rate.get(table, {}) | {key: 1.05 * value}}
    right = {table: rate.get(table, {}) | {key: value}}
    counted, expected = both(dim=2, **(rate | right))
    biased = both(dim=2, **(rate | wrong))[1]
    assert abs(along(*map(places, (counted, expected, biased)))) < 3.5
    assert abs(along(*map(places, (counted, biased, expected)))) > 4


def test_poisson_secretion_has_the_mean_of_the_continuum() -> None:
    """Bursts spread the counts, so errors are those of 40 runs: 4 of them, once in 600 tries."""
    bursts, found = {"release_rate": 1000, "secretion": "poisson"}, []
    for seed in range(40):
        model = crowd(transport={"engine": "vesicles"}, seed=seed, vesicle=RELAYS, kinds=bursts)
        model.run(hours=0.5)
        found.append(fates(model))
    smooth = crowd(vesicle=RELAYS, kinds={"release_rate": 1000})
    smooth.run(hours=0.5)
    assert (standard_errors(np.array(found), fates(smooth)) < 4).all()
    assert standard_errors(np.array(found), 1.1 * fates(smooth)).max() > 4


def fates(model: ExosomeModel) -> np.ndarray:
    """Free, bound, inside, spent, delivered and cleared vesicles."""
    names = ("free", "bound", "endosomal", "lysosomal", "delivered", "cleared")
    return np.array([model.state.balance[name].sum() for name in names])


def test_waste_settles_alike() -> None:
    """Waste held, exported and recaptured in the scenario, over 20 runs of 6 h.

    A vesicle is whole, so that an export is rounded and taken at the start of a step: a thousandth is
    granted to that.
    """
    held = [waste(seed, "vesicles") for seed in range(20)]
    smooth = waste(0, "continuum")
    error = np.std(held, axis=0, ddof=1) / np.sqrt(len(held))
    assert (np.abs(np.mean(held, axis=0) - smooth) < 4 * error + 1e-3 * smooth).all()
    assert (4 * error + 1e-3 * smooth < 0.05 * smooth).all()


def waste(seed: int, engine: str) -> np.ndarray:
    """Units held, exported, recaptured and degraded after 6 h."""
    keys = {"transport.engine": engine, "vesicle.waste_vesicle.diameter_gsd": "1"}
    keys |= {f"cell_type.{kind}.saturation": "inf" for kind in ("stressed", "macrophage")}
    model = ExosomeModel("waste_removal", seed=1, overrides=keys)
    model.state.streams = Streams(seed)
    model.run(hours=6)
    balance = model.state.waste_balance
    return np.array([balance.held, balance.exported, balance.recaptured, balance.degraded])


def test_two_cells_in_space() -> None:
    """The smallest conversation, in every place; its edge within 3 standard errors."""
    keys = {"transport.engine": "vesicles", "cell_type.donor.release_rate": "60000 / h"}
    model = ExosomeModel("two_cells", seed=4, overrides=keys | {"vesicle.exosome.diameter_gsd": "1"})
    smooth_keys = {"cell_type.donor.release_rate": "60000 / h", "transport.provenance": "cell_type"}
    expected = ExosomeModel("two_cells", seed=4, overrides=smooth_keys)
    for one in (model, expected):
        one.run(hours=1)
    result = compare(places(model), places(expected))
    assert result, result
    counted, smooth = (one.edges["taken_up"].to_numpy().sum() for one in (model, expected))
    assert abs(counted - smooth) < 3 * np.sqrt(smooth)
    assert abs(counted - 1.3 * smooth) > 3 * np.sqrt(smooth)
