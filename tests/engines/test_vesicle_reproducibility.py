"""A seed names a vesicle run to the last bit, whatever else there is."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crowded_tissue import RELAY, crowd
from worlds import toml

from exoabm import ExosomeModel
from exoabm.scenario.loader import parse
from exoabm.transport.receptor_binding import receptors

BURSTS = {"secretion": "poisson"}
ROUND = {"recycling_probability": 0.3, "processing_rate": "20 / h"}


def relays(
    capture: str, seed: int = 1, dim: int = 3, rate: float = 2000, hours: float = 0.5, **options: Any
) -> ExosomeModel:
    """A crowd after some time with every mechanism at work."""
    transport = {"engine": "vesicles", "capture": capture}
    options = {"faces": "held", "zones": True, "saturation": "1 nM"} | options
    model = crowd(
        dim, transport=transport, seed=seed, kinds=BURSTS | {"release_rate": rate}, vesicle=ROUND, **options
    )
    model.run(hours=hours)
    return model


def digest(model: ExosomeModel) -> str:
    """Of all bits of the vesicles, the edges of each kind and the events of the last step."""
    state, found = model.state, hashlib.sha256()
    edges = [state.contacts.edges(kind) for kind in range(len(state.kinds))]
    for table in (state.vesicles.columns(), *edges, state.events.columns()):
        for name in sorted(table):
            found.update(np.ascontiguousarray(table[name]).tobytes())
    return found.hexdigest()


def digest_of(job: tuple[str, int]) -> str:
    return digest(relays(*job, hours=0.2))


@pytest.mark.parametrize(("dim", "capture"), [(2, "voxel"), (3, "voxel"), (3, "membrane")])
def test_one_thread_or_two(dim: int, capture: str) -> None:
    one, two = (relays(capture, dim=dim, rate=50_000, hours=0.15, threads=t) for t in (1, 2))
    assert len(one.state.vesicles) > 8192  # more than one task
    assert digest(one) == digest(two)


@pytest.mark.parametrize("capture", ["voxel", "membrane"])
def test_a_seed_names_a_run(capture: str) -> None:
    bits = [digest(relays(capture, seed, hours=0.2)) for seed in (5, 5, 6)]
    assert bits[0] == bits[1] != bits[2]


@pytest.mark.parametrize("capture", ["voxel", "membrane"])
def test_in_one_part_or_many(capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds are added and moved in parts of the table; receptors judge those of all parts together."""
    models, changes = [], {"transport.engine": "vesicles", "transport.capture": capture}
    for at_once in (1 << 19, 64):
        monkeypatch.setattr("exoabm.transport.vesicle_engine.AT_ONCE", at_once)
        models.append(ExosomeModel("competition", seed=1, overrides=changes))
        models[-1].run(hours=0.5)
    state = models[0].state
    assert len(state.vesicles) > 20 * 64
    assert len(state.kinds) == 2
    assert np.isfinite(receptors(state)).any()
    assert state.trafficking.bound.sum() > 50
    assert digest(models[0]) == digest(models[1])


def test_one_process_or_two() -> None:
    jobs = [("voxel", 1), ("membrane", 2), ("voxel", 3)]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        apart = list(pool.map(digest_of, jobs))
    assert apart == [digest_of(job) for job in jobs]


def test_a_kind_that_is_added_and_stays_silent_changes_nothing() -> None:
    """Draws are keyed by what they decide and for whom, not by how many there were before."""
    alone, silent, loud = two_kinds(None), two_kinds(0), two_kinds(2000)
    for column, values in alone.state.vesicles.columns().items():
        np.testing.assert_array_equal(values, silent.state.vesicles.columns()[column])
    assert len(alone.state.vesicles) > 500
    assert loud.state.released[2, 1] > 500
    np.testing.assert_array_equal(alone.state.released[:2, 0], loud.state.released[:2, 0])
    first = loud.state.vesicles.kind == 0
    assert set(alone.state.vesicles.id) == set(loud.state.vesicles.id[first])


def two_kinds(rate: float | None) -> ExosomeModel:
    """A donor and a sink after half an hour; and, at ``rate`` per hour, a donor of a second kind."""
    poisson = {"secretion": "poisson", "saturation": "inf"}
    types = [
        {"name": "donor", "releases": "EV", "release_rate": 2000} | poisson,
        {"name": "sink", "takes_up": ["EV"], "uptake_rate": 100} | poisson,
        {"name": "other", **({} if rate is None else {"releases": "late", "release_rate": rate})} | poisson,
    ]
    kinds = [{"name": "EV", "half_life": 1}, {"name": "late", "half_life": 1}]
    groups = [
        {"cell_type": kind["name"], "arrange": "points", "points": [place]}
        for kind, place in zip(types, ([25, 25], [55, 35], [15, 65]), strict=True)
    ]
    scenario = {
        "info": {"title": "two kinds"},
        "domain": {"size": [80, 80]},
        "layout": {"group": groups},
        "transport": {"engine": "vesicles"},
        "vesicle": kinds[: 1 if rate is None else 2],
        "cell_type": types,
    }
    text = "\n".join(f"{key} = {toml(table)}" for key, table in scenario.items())
    model = ExosomeModel(parse(text.encode(), name="test", folder=Path()), seed=1)
    model.run(hours=0.5)
    return model


def test_the_relay_of_the_crowd_takes_part() -> None:
    model = relays("voxel")
    assert RELAY["name"] in model.state.labels.names
    assert model.state.balance["recycled"].sum() > 0
