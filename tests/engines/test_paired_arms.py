"""Two arms of a trial differ by the mechanism alone: what other donors' vesicles do keeps its bits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from crowded_tissue import FACES, PLACES, RELAY, SINK, ZONES
from worlds import world

from exoabm.transport import boundary_influx as entry_module
from exoabm.transport import vesicle_engine as engine_module
from exoabm.vesicle import NAMES_PER_DONOR, NON_CELL_ID

TOLD = ("id", "event", "time", "recipient", "donor", "hops", "x", "y", "z", "copies")
QUIET = 1
"""Birth id of the donor that one arm silences."""


def arm(capture: str, rate: float, secretion: str = "poisson", saturation: str = "inf") -> tuple[Any, Any]:
    """Events of half an hour in a crowd whose second donor releases at ``rate``; what each cell released."""
    common = {"releases": "EV", "secretion": secretion}
    others = {"release_rate": 3000} | common
    first, second, third = PLACES["donor"]
    bound = {"saturation": saturation}
    cells = [
        ({"name": "first"} | others, [first]),
        ({"name": "second", "release_rate": rate} | common, [second]),
        ({"name": "third"} | others, [third]),
        (RELAY | others | bound, PLACES["relay"]),
        (SINK | bound, PLACES["sink"]),
    ]
    model = world(
        [90, 80, 50],
        cells,
        vesicle={
            "half_life": 1,
            "unbinding_rate": 2,
            "recycling_probability": 0.5,
            "processing_rate": "20 / h",
            "internalization_rate": "20 / h",
            "cargo": ["signal"],
        },
        cargo=[{"name": "signal", "copies": 2}],
        domain={"faces": FACES["held"], "zone": ZONES},
        transport={"engine": "vesicles", "capture": capture},
    )
    parts = []
    for _ in range(30):
        model.step()
        parts.append(model.state.events.columns())
    events = {name: np.concatenate([part[name] for part in parts]) for name in TOLD}
    keep = events["donor"] != QUIET
    order = np.lexsort((events["event"][keep], events["time"][keep], events["id"][keep]))
    return {name: column[keep][order] for name, column in events.items()}, model.state.released[:, 0]


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in TOLD)


@pytest.mark.parametrize("secretion", ["poisson", "mean"])
@pytest.mark.parametrize("capture", ["voxel", "membrane"])
def test_a_donor_that_falls_silent_changes_no_other_donors_vesicles(capture: str, secretion: str) -> None:
    """Releases, moves, captures, relays, loads; and what came in through faces."""
    (told, sent), (quiet, fewer) = arm(capture, 3000, secretion), arm(capture, 0, secretion)
    assert sent[QUIET] > 1000 > fewer[QUIET] == 0
    assert np.array_equal(np.delete(sent, QUIET), np.delete(fewer, QUIET))
    assert len(told["id"]) > 10_000
    assert set(told["donor"]) == {-1, 0, 2, 3, 4}
    assert told["hops"].max() >= 2
    assert same(told, quiet)


def test_one_vesicle_more_changes_no_other_donors_vesicles() -> None:
    (told, sent), (again, more) = arm("voxel", 3000), arm("voxel", 3010)
    assert 0 < abs(more[QUIET] - sent[QUIET]) < 200
    assert same(told, again)


def test_names_that_run_across_donors_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were vesicles numbered as they come, one that is missing would shift the draws of all later ones."""
    for rate in (3000, 0):
        born = itertools.count()

        def numbered(source: Any, kind: int, number: np.ndarray) -> np.ndarray:
            return np.array([next(born) for _ in number], np.int64)  # noqa: B023

        for module in (engine_module, entry_module):
            monkeypatch.setattr(module, "vesicle_names", numbered)
        told, sent = arm("voxel", rate)
        if rate:
            before, released = told, sent
    assert np.array_equal(np.delete(sent, QUIET), np.delete(released, QUIET))
    assert not same(before, told)
    late = [events["time"][events["event"] == 0] for events in (before, told)]
    assert not np.array_equal(*map(np.sort, late))


def test_receptors_that_saturate_do_couple_donors() -> None:
    """The comparison would see it: with few receptors a silent donor leaves more of them to the others."""
    told, quiet = arm("voxel", 3000, saturation="1 pM")[0], arm("voxel", 0, saturation="1 pM")[0]
    assert not same(told, quiet)


def test_a_name_tells_donor_kind_and_count() -> None:
    told, sent = arm("voxel", 3000)
    released = np.unique(told["id"][told["event"] == 0])
    for donor in (0, 2, 3, 4):
        own = released[released // (NAMES_PER_DONOR * 100) == donor]
        np.testing.assert_array_equal(own, donor * 10**11 + np.arange(int(sent[donor])))
    entered = np.unique(told["id"][told["event"] == 1])
    assert set(entered // 10**11 - NON_CELL_ID) == {0, 5}  # x_low and z_high are held
