"""A frame says what the state says, as far as its bytes can."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.analysis.communication_graph import copies_delivered, edges_of
from exoabm.output.metrics import measure
from exoabm.scenario.loader import load
from exoabm.state import State
from exoabm.vesicle import Status
from exoabm.viz.results.text_summary import drawn_class, many, run_summary
from exoabm.viz.server.frames import (
    FULL,
    HAS_DOTS,
    HAS_FIELD,
    HEADER,
    PER_ML,
    Recording,
    Scale,
    _level,
    draw,
    header,
    round_up,
)


def parts(frame: bytes) -> dict[str, np.ndarray]:
    """The arrays of a frame, read by its description."""
    head, found, at = header(frame), {}, HEADER.size
    n, m = head.cells, head.dots
    layout = [
        ("birth", np.uint32, (n,)),
        ("names", np.uint32, (m,)),
        ("cells", np.uint16, (n, 2)),
        ("dots", np.uint16, (m, 2)),
        ("type", np.uint8, (n,)),
        ("received", np.uint8, (n,)),
        ("stage", np.uint8, (n,)),
        ("origin", np.uint8, (m,)),
        ("field", np.uint8, (head.height, head.width)),
    ]
    for name, dtype, shape in layout:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        found[name] = np.frombuffer(frame[at : at + size], dtype).reshape(shape)
        at += size
    assert at == len(frame)
    return found


def drawn(state: State, *, with_field: bool) -> tuple[dict[str, np.ndarray], Scale, bytes]:
    scale = Scale()
    frame = draw(state, 7, scale, with_field=with_field)
    return parts(frame), scale, frame


@pytest.fixture(scope="module")
def continuum() -> State:
    model = ExosomeModel("signaling", seed=1)
    model.run(hours=2)
    return model.state


@pytest.fixture(scope="module")
def swarm() -> State:
    model = ExosomeModel("signaling", seed=1, overrides={"transport.engine": "vesicles"})
    model.run(hours=3)
    return model.state


def test_the_field_is_the_concentration(continuum: State) -> None:
    found, scale, frame = drawn(continuum, with_field=True)
    truth = continuum.fields[0].sum(axis=0) * PER_ML / continuum.domain.voxel_volume
    assert found["field"].shape == truth.shape
    back = (found["field"] / 255.0) ** 2 * scale.value
    step = 2 * np.sqrt(truth * scale.value) / 255 + scale.value / 255**2
    assert np.all(np.abs(back - truth) <= step)
    assert np.any(np.abs(1.05 * back - truth) > step), "an error of 5 % would be seen"
    head = header(frame)
    assert head.maximum == pytest.approx(truth.max(), rel=1e-6)
    assert (head.number, head.flags, head.time) == (7, HAS_FIELD, 7200.0)


def test_dots_are_the_free_vesicles(swarm: State) -> None:
    found, _, frame = drawn(swarm, with_field=False)
    free = swarm.vesicles.rows(Status.FREE)
    assert header(frame).flags == HAS_DOTS
    assert len(found["dots"]) == len(free) > 50
    x = found["dots"][:, 0] / 65535 * swarm.domain.extent[0]
    assert np.abs(x - swarm.vesicles.x[free]).max() < swarm.domain.extent[0] / 65535
    assert set(found["origin"].tolist()) == {[t.name for t in swarm.types].index("donor")}


def test_too_many_dots_are_thinned_by_their_ids(swarm: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exoabm.viz.server.frames.MOST_DOTS", 40)
    found, _, frame = drawn(swarm, with_field=False)
    assert header(frame).free == len(swarm.vesicles.rows(Status.FREE))
    assert 25 <= len(found["dots"]) <= 40
    again, _, _ = drawn(swarm, with_field=False)
    assert np.array_equal(found["dots"], again["dots"])


@pytest.mark.parametrize("which", ["continuum", "swarm"])
def test_cells_say_what_they_received(which: str, request: pytest.FixtureRequest) -> None:
    state = request.getfixturevalue(which)
    found, _, _ = drawn(state, with_field=False)
    taken = state.trafficking.taken_up.sum(axis=(1, 2))
    opened = state.trafficking.delivered.sum(axis=(1, 2))
    loaded = opened  # a copy in each, on average
    if state.follows_vesicles:
        edges = edges_of(state)
        loaded = np.bincount(edges.recipient, edges.copies["signal"], len(taken))
        assert 0 < (loaded >= 1).sum() < (opened >= 1).sum(), "some opened empty"
    assert np.array_equal(found["birth"], state.cells.birth_id)
    assert np.array_equal(found["type"], state.cells.type)
    expected = np.floor(np.clip(255 * np.log1p(taken) / np.log1p(FULL), 0, 255))
    assert np.abs(found["received"] - expected).max() <= 1
    assert np.array_equal(found["stage"] == 2, loaded >= 1)
    assert np.array_equal(found["stage"] >= 1, taken >= 1)


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_vesicle_that_opens_empty_makes_no_star(engine: str) -> None:
    """As of a native miRNA, of which one vesicle in 121 has a copy: few of those that open deliver it."""
    changes = {
        "transport.engine": engine,
        "clock.step": "600",
        "domain.voxel": "20 um",
        "vesicle.exosome.delivery_probability": "0.3",
        "response.reprogramming.to": "0",
    }
    for copies, empty in (("0", True), ("50", False)):
        model = ExosomeModel("native_mirna", seed=1, overrides=changes | {"cargo.mirna.copies": copies})
        model.run(hours=8)
        found, _, _ = drawn(model.state, with_field=False)
        opened = model.state.trafficking.delivered.sum(axis=(1, 2))
        row, told = measure(model.state), run_summary(model)
        assert (opened >= 1).sum() > 10
        assert np.array_equal(found["stage"] == 2, (opened >= 1) & (not empty))
        arrived = sum(copies.sum() for copies in copies_delivered(model.state).values())
        assert arrived == pytest.approx(edges_of(model.state).copies["mirna"].sum())
        assert (
            f"{many(opened.sum())} opened to the cytosol and delivered {many(arrived)} copies of mirna"
            in told
        )
        assert 60 * row["copies_delivered_per_cell[recipient, mirna]"] == pytest.approx(arrived)
        assert empty == (row["effect_share[recipient, mirna]"] == 0)


def test_molecules_do_not_hide_the_vesicles() -> None:
    model = ExosomeModel("tumor_delivery", seed=1)
    model.run(hours=1)
    state, kinds, scale = model.state, drawn_class(model.scenario).kinds, Scale()
    found = parts(draw(state, 1, scale, with_field=True, kinds=kinds))
    trafficking = state.trafficking
    taken, delivered = (a[:, 0].sum(axis=1) for a in (trafficking.taken_up, trafficking.delivered))
    expected = np.floor(np.clip(255 * np.log1p(taken) / np.log1p(FULL), 0, 255))
    assert np.abs(found["received"] - expected).max() <= 1
    assert np.array_equal(found["stage"], np.where(delivered >= 1, 2, taken >= 1)), "of a thousand copies"
    assert scale.value == round_up(state.fields[0].sum(axis=0).max() * PER_ML / state.domain.voxel_volume)
    everything, wide, _ = drawn(state, with_field=True)
    assert np.abs(everything["received"] - expected).max() > 1, (
        "with all particles it would be another picture"
    )
    assert wide.value > scale.value


def test_what_is_pictured_is_what_comes() -> None:
    lone = load("signaling", {"vesicle.exosome.comparator": "soluble_factor"}).scenario
    assert drawn_class(lone).name == "free molecules"
    assert drawn_class(load("tissue_repair").scenario).name == "vesicles"


def test_a_volume_is_seen_from_above() -> None:
    model = ExosomeModel("two_cells", seed=1)
    model.run(hours=0.2)
    found, scale, _ = drawn(model.state, with_field=True)
    truth = model.state.fields[0].sum(axis=0).mean(axis=0) * PER_ML / model.state.domain.voxel_volume
    assert found["field"].shape == truth.shape == (20, 20)
    assert np.unravel_index(found["field"].argmax(), truth.shape) == np.unravel_index(
        truth.argmax(), truth.shape
    )
    assert scale.value == round_up(truth.max())


def test_the_automatic_scale_is_by_the_present_maximum_alone() -> None:
    scale, maxima = Scale(), [0.0, 3.1e6, 4.9e6, 1.3e6, 1.2e6, 9e9, 2e3, 2.9e6]
    along = [scale.follow(maximum) for maximum in maxima]
    assert along == [0.0, 1e7, 1e7, 3e6, 3e6, 1e10, 3e3, 3e6]
    assert along == [Scale().follow(maximum) for maximum in maxima], "whichever frames were drawn before"
    scale.fixed = True
    assert scale.follow(9e9) == 3e6
    scale.fixed = False
    assert scale.follow(9e9) == 1e10


def test_the_scale_of_single_vesicles_rests_while_their_maximum_is_a_small_count() -> None:
    """Their maximum wavers among 1 to 4 in a voxel, the boundaries of colors of expected numbers."""
    random, scale = np.random.default_rng(1), Scale()
    voxel = SimpleNamespace(voxel_volume=1.0, shape=(90, 90))
    state, found = SimpleNamespace(domain=voxel, follows_vesicles=True), {}
    for mean in (0.0, 0.03, 1.0, 40.0):
        counts = [random.poisson(mean, voxel.shape) * PER_ML for _ in range(50)]
        found[mean] = {round(scale.follow(*_level(state, each)) / PER_ML, 9) for each in counts}
        assert mean != 0.03 or len({each.max() for each in counts}) > 1
    assert found == {0.0: {5.0}, 0.03: {5.0}, 1.0: {15.0}, 40.0: {150.0}}


def test_a_moment_has_the_same_colors_however_it_was_reached(continuum: State) -> None:
    """Drawn at every step, at its end only, or after a higher concentration was drawn."""
    own, model = Scale(), ExosomeModel("signaling", seed=1)
    while model.state.time < continuum.time:
        model.run(hours=0.5)
        frame = draw(model.state, 7, own, with_field=True)
    assert frame == drawn(continuum, with_field=True)[2]
    own.follow(2 * header(frame).scale)
    assert draw(model.state, 7, own, with_field=True) == frame


@pytest.mark.parametrize(("value", "up"), [(1.0, 1.0), (1.01, 3.0), (3.0, 3.0), (4e7, 1e8), (6e-4, 1e-3)])
def test_rounding_up(value: float, up: float) -> None:
    assert round_up(value) == pytest.approx(up)


def test_a_movie_keeps_the_whole_run_evenly() -> None:
    recording = Recording(most=50)
    for number in range(1000):
        recording.add(number.to_bytes(4, "little"))
    kept = [int.from_bytes(f, "little") for f in recording.frames]
    assert kept[0] == 0
    assert 25 <= len(kept) <= 50
    assert len(set(np.diff(kept))) == 1
    assert 1000 - kept[-1] <= kept[1]


def test_a_movie_stays_within_its_bytes() -> None:
    recording = Recording(most=10_000, most_bytes=100_000)
    for _ in range(500):
        recording.add(bytes(999))
    assert sum(map(len, recording.frames)) <= 100_000
    assert len(recording) > 40


def test_what_is_left_of_a_field_fades(continuum: State) -> None:
    """Of less than a vesicle in the whole domain nothing is seen, and the scale no longer follows."""
    left = copy.deepcopy(continuum)
    for expected, pale in ((2.0, False), (1e-4, True)):
        left.fields[0] *= expected / left.fields[0].sum()
        found, scale, frame = drawn(left, with_field=True)
        mean = PER_ML / (left.domain.voxel_volume * np.prod(left.domain.shape))
        assert scale.value == round_up(max(mean, header(frame).maximum))
        assert (found["field"].max() < 64) == pale


def test_deliveries_to_the_dead_stay_counted(bereft: ExosomeModel) -> None:
    head = header(draw(bereft.state, 1, Scale(), with_field=False))
    assert head.delivered == int(bereft.metrics.iloc[-1]["delivered[exosome]"])
    assert head.delivered > int(bereft.state.trafficking.delivered.sum()) > 0
