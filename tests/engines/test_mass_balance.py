"""Every vesicle accounted for: whole numbers at every step, one row on disk for each thing that happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from crowded_tissue import crowd
from worlds import world

from exoabm import ExosomeModel
from exoabm.accounting.mass_balance import PLACES
from exoabm.errors import NumericalError
from exoabm.output.single_vesicle_events import VesicleEventWriter
from exoabm.tables.declarations import COUNTED
from exoabm.vesicle import Status, vesicle_ids

BUSY: dict[str, Any] = {
    "kinds": {"release_rate": 3000, "secretion": "poisson"},
    "vesicle": {
        "recycling_probability": 0.5,
        "processing_rate": "20 / h",
        "internalization_rate": "20 / h",
        "cargo": ["signal"],
    },
    "cargo": [{"name": "signal", "copies": 2}],
}
BIRTHS = {"release", "entry"}
ENDS = {"degradation", "delivery", "clearance", "escape"}
FOLLOWS = {
    "encounter": {"unbinding", "uptake"},
    "uptake": {"degradation", "delivery", "recycling"},
    **{name: {"encounter", "clearance", "escape"} for name in (*BIRTHS, "unbinding", "recycling")},
    **{name: set() for name in ENDS},
}
"""What can happen to a vesicle next."""


@pytest.fixture(scope="module", params=[(2, "voxel"), (3, "membrane")], ids=str)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExosomeModel, Any]:
    """A crowd with bursts, held faces, zones and relays, and its events in the order of the file."""
    path: Path = tmp_path_factory.mktemp("events") / "events.parquet"
    dim, capture = request.param
    transport = {"engine": "vesicles", "capture": capture}
    model = crowd(dim, faces="held", zones=True, saturation="1 nM", transport=transport, **BUSY)
    writer = VesicleEventWriter(path.parent)
    model.observe(writer)
    for _ in range(40):
        model.step()
        balance = model.state.balance
        assert (balance.residual() == 0).all()
        for account in (balance.emitted, balance.entered, *(balance[place] for place in PLACES)):
            assert (account == np.floor(account)).all()
            assert (account >= 0).all()
    writer.close()
    carried = pq.read_table(path.with_name("vesicle_cargo.parquet")).to_pandas()
    assert not carried.duplicated(["vesicle", "cargo"]).any()  # the same from release to end
    return model, pq.read_table(path).to_pandas()


def test_sums_of_the_events_are_the_ledger(run: tuple[ExosomeModel, Any]) -> None:
    model, events = run
    state, balance = model.state, model.state.balance
    origin = events.donor_type.astype(object).fillna(events.sender.astype(object))
    label = [list(state.labels.names).index(name) for name in origin]
    number = {
        name: np.bincount(np.array(label)[events.event == name], minlength=len(state.labels))
        for name in sorted(BIRTHS | set(FOLLOWS))
    }
    assert all(number[name].sum() > 10 for name in number)
    assert (events["count"] == 1).all()
    assert (events.interval_s == 0).all()
    kept = {
        "release": balance.emitted[0] - balance.entered[0] - balance["recycled"][0],
        "entry": balance.entered[0],
        "clearance": balance["cleared"][0],
        "escape": balance["escaped"][0],
        "degradation": balance["lysosomal"][0],
        "delivery": balance["delivered"][0],
        "recycling": balance["recycled"][0],
    }
    for name, values in kept.items():
        assert (number[name] == values).all(), name
    for name, count in COUNTED.items():
        cells = np.searchsorted(state.cells.birth_id, events.recipient[events.event == name].astype(int))
        met = getattr(state.trafficking, count).sum(axis=(1, 2))
        assert (np.bincount(cells, minlength=len(state.cells)) == met).all(), name


def test_each_life_has_one_birth_and_at_most_one_end(run: tuple[ExosomeModel, Any]) -> None:
    model, events = run
    born = events[events.event.isin(BIRTHS)].vesicle
    ended = events[events.event.isin(ENDS)].vesicle
    assert born.is_unique
    numbers = events[events.event == "release"].groupby("donor").number
    for cell, sent in enumerate(model.state.released[:, 0]):
        told = numbers.get_group(cell) if sent else ()
        assert sorted(told) == list(range(int(sent)))
    assert ended.is_unique
    assert set(born) - set(ended) == set(vesicle_ids(model.state.vesicles.id))


def test_each_life_is_told_in_order(run: tuple[ExosomeModel, Any]) -> None:
    """By the times of the rows and, where these are equal, by their order in the file."""
    _, events = run
    lives = events.sort_values("vesicle", kind="stable")
    name, vesicle = lives.event.astype(str).to_numpy(), lives.vesicle.to_numpy()
    same = vesicle[1:] == vesicle[:-1]
    assert set(name[np.concatenate([[True], ~same])]) <= BIRTHS
    pairs = set(zip(name[:-1][same], name[1:][same], strict=True))
    wrong = {(first, then) for first, then in pairs if then not in FOLLOWS[first]}
    assert not wrong
    assert len(pairs) > 10
    assert (np.diff(lives.time_s)[same] >= 0).all()


def test_relays_are_followed(run: tuple[ExosomeModel, Any]) -> None:
    """A -> B -> C: hops count the recyclings, the donor stays the first, and C gets A's vesicle from B."""
    _, events = run
    lives = events.sort_values("vesicle", kind="stable")
    hops = lives.assign(again=lives.event == "recycling").groupby("vesicle").again.cumsum()
    assert (lives.hops == hops).all()
    assert lives.hops.max() >= 2
    assert (lives.groupby("vesicle").donor.nunique() <= 1).all()
    relayed = lives[(lives.event == "uptake") & (lives.hops > 0) & lives.donor.notna()]
    earlier = lives[lives.event == "recycling"].drop_duplicates("vesicle").set_index("vesicle").recipient
    relay = earlier.loc[relayed.vesicle].to_numpy()
    chain = (relay != relayed.donor.to_numpy()) & (relay != relayed.recipient.to_numpy())
    assert chain.sum() > 10


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Status.FREE, "does not close"),
        (Status.BOUND, "vesicles are followed at"),
        (Status.ENDOSOMAL, "vesicles are followed at"),
    ],
    ids=str,
)
def test_a_vesicle_that_is_lost_stops_the_run(place: Status, said: str) -> None:
    model = crowd(2, transport={"engine": "vesicles"}, **BUSY)
    model.run(hours=0.1)
    vesicles = model.state.vesicles
    there = vesicles.rows(place)
    vesicles.remove(there[np.argmax(vesicles.due[there])][None])
    with pytest.raises(NumericalError, match=said):
        model.step()


@pytest.mark.parametrize("edge", [1100, 2000])
def test_free_vesicles_are_found_by_label_on_large_grids(edge: float) -> None:
    """12,100 voxels times five labels, and 40,000 voxels, are more than 16 bits hold."""
    types = [{"name": f"donor{i}", "releases": "EV", "release_rate": 600} for i in range(5)]
    cells = [(kind, [[50.0 * i + 105, edge / 2 + 5]]) for i, kind in enumerate(types)]
    model = world([edge, edge], cells, transport={"engine": "vesicles"})
    model.run(hours=0.2)
    free = model.state.free_per_voxel(0).sum(axis=(1, 2))
    assert (free == model.state.balance["free"][0]).all()
