"""A session runs as the command line does, stops at once, keeps what it had, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exoabm import ExosomeModel
from exoabm.errors import NumericalError, ResourceError
from exoabm.scenario.loader import LoadedScenario, load, parse, shipped
from exoabm.scenario.resource_estimate import BASE_BYTES
from exoabm.scenario.state_builder import blueprint
from exoabm.viz.results.charts import charts, curves
from exoabm.viz.results.text_summary import cell_summary, run_summary
from exoabm.viz.run_setup import first_setup
from exoabm.viz.server import held_model
from exoabm.viz.server.frames import header
from exoabm.viz.server.held_model import compiled_for
from exoabm.viz.server.limits import LIMITS, WITH_COPY, Limits, ModelSlots
from exoabm.viz.server.session import SPEEDS, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def wait_for(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def workers() -> int:
    return sum(t.name == "exoabm-session" for t in threading.enumerate())


@pytest.fixture
def session(loaded: LoadedScenario) -> Iterator[Session]:
    made = Session(loaded, seed=1)
    yield made
    made.close()
    wait_for(lambda: workers() == 0)


def test_it_runs_as_the_command_line_does(session: Session, loaded: LoadedScenario) -> None:
    session.play(until=3600.0)
    wait_for(lambda: not session.playing)
    model = ExosomeModel(loaded, seed=1)
    model.run(hours=1)
    assert session._model.state.time == model.state.time
    assert np.array_equal(session._model.state.trafficking.taken_up, model.state.trafficking.taken_up)
    assert session._model.history.rows == model.history.rows


def test_the_model_is_not_stepped_while_it_is_read(session: Session) -> None:
    """Otherwise two columns of one plot have different lengths while vesicles are released."""
    began, go_on = threading.Event(), threading.Event()
    advance = session._model.advance_by

    def slow(seconds: float) -> None:
        began.set()
        go_on.wait(10.0)
        advance(seconds)

    session._model.advance_by = slow  # type: ignore[method-assign]
    session.play()
    assert began.wait(60.0)
    seen: list[int] = []

    def read() -> None:
        with session.reading() as model:
            seen.append(model.state.step)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.2)
    assert not seen, "read in the middle of a step"
    go_on.set()
    reader.join(10.0)
    assert seen
    assert seen[0] >= 1
    with session.reading() as model:
        before = model.state.step
        time.sleep(0.2)
        assert model.state.step == before
    session.pause()


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_pauses_and_steps_leave_the_run_as_it_is(engine: str) -> None:
    scenario = load("signaling", {"layout.group.recipient.count": "30", "transport.engine": engine})
    session = Session(scenario, seed=5)
    session.speed = SPEEDS[-1]
    for _ in range(3):
        before = session._model.state.step
        session.play()
        wait_for(lambda before=before: session._model.state.step > before + 2)  # type: ignore[misc]
        session.pause()
        session.step()
    model = ExosomeModel(scenario, seed=5)
    for _ in range(session._model.state.step):
        model.step()
    assert np.array_equal(session._model.state.balance.emitted, model.state.balance.emitted)
    assert np.array_equal(session._model.state.trafficking.taken_up, model.state.trafficking.taken_up)
    session.close()


def test_after_a_pause_nothing_moves(session: Session) -> None:
    session.play()
    wait_for(lambda: session._model.state.step > 3)
    worker = session._worker
    assert worker is not None
    session.pause()
    worker.join()  # which may be about to show the step that it has just made
    step, frame = session._model.state.step, session.frame
    assert header(frame).time == session._model.state.time
    time.sleep(0.3)
    assert session._model.state.step == step
    assert session.frame is frame
    assert not session.playing


def test_at_most_two_frames_are_under_way(session: Session) -> None:
    shown: list[int] = []
    session.on_frame = lambda frame: shown.append(header(frame).number)
    session.painted(header(session.frame).number)
    session.play()
    wait_for(lambda: len(shown) == 2)
    time.sleep(0.4)
    assert len(shown) == 2, "a browser that does not draw is not sent more"
    session.painted(shown[0])
    wait_for(lambda: len(shown) == 3)


def test_it_ends_with_the_scenario(loaded: LoadedScenario) -> None:
    short = load("signaling", dict(loaded.overrides) | {"clock.duration": "0.05 h"})
    session = Session(short)
    session.play(until=0.0)
    wait_for(lambda: not session.playing)
    assert session.time == 0
    session.play()
    wait_for(lambda: session.finished and not session.playing)
    assert session._model.state.time == pytest.approx(180.0)
    session.play()
    assert not session.playing


def test_an_error_stops_the_run_and_keeps_a_whole_state(session: Session, loaded: LoadedScenario) -> None:
    session.step()
    session.step()

    def break_half_way(seconds: float) -> None:
        session._model.state.trafficking.taken_up += 1.0
        raise NumericalError("a balance broke")

    session._model.advance_by = break_half_way  # type: ignore[method-assign]
    session.play()
    wait_for(lambda: bool(session.error))
    assert "a balance broke" in session.error
    whole = ExosomeModel(loaded, seed=1)
    whole.step()
    whole.step()
    assert session._model.state.step == 2
    assert np.array_equal(session._model.state.trafficking.taken_up, whole.state.trafficking.taken_up)
    assert session._model.history.rows == whole.history.rows
    session.play()
    assert not session.playing


def test_before_its_first_step_is_compiled_it_waits_and_says_so(
    loaded: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr("exoabm.viz.server.session.compiled_for", lambda _: over)
    session = Session(loaded)
    assert not session.preparing, "nobody waits for it yet"
    session.play()
    assert session.preparing
    session.pause()
    assert not session.preparing
    session.play(until=float(session._model.scenario.clock.step))
    assert session.preparing
    assert session._model.state.step == 0
    over.set()
    wait_for(lambda: not session.playing)
    assert session._model.state.step == 1
    assert session.compiled
    session.close()


def test_each_kind_of_model_is_compiled_once(loaded: LoadedScenario) -> None:
    over = compiled_for(loaded)
    assert over is compiled_for(load("signaling", dict(loaded.overrides) | {"transport.hindrance": "0.5"}))
    assert over is not compiled_for(load("signaling", {"transport.engine": "vesicles"}))
    assert over.wait(60)


def test_a_scenario_with_other_processes_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_model, "_begun", {})
    monkeypatch.setattr(held_model, "_compile", lambda loaded, over: over.set())
    begun = [
        compiled_for(load("signaling", change))
        for change in (
            {},
            {"cell_type.donor.division_rate": "0.01 / h"},
            {"cell_type.donor.division_rate": "0.02 / h"},
            {"cell_type.donor.motility": "60 um^2 / h"},
            {"transport.precision": "float64"},
            {"transport.precision": "float32"},
        )
    ]
    assert begun[1] is begun[2]
    assert len({id(over) for over in begun}) == 4, "one precision is that of the scenario"


@pytest.mark.parametrize(("met", "steps"), [([], 1), (["a kernel"], 81)])
def test_what_is_called_later_is_compiled_before_the_run_too(
    loaded: LoadedScenario, monkeypatch: pytest.MonkeyPatch, met: list[str], steps: int
) -> None:
    """Cells divide and take up vesicles only later; a run would wait for these kernels without a word."""
    taken = []

    class Model:
        estimate = SimpleNamespace(step_seconds=1e-3)

        def __init__(self, loaded: LoadedScenario, seed: int) -> None:
            self.step = lambda: taken.append(seed)

    recorder = contextlib.nullcontext(SimpleNamespace(buffer=met))
    monkeypatch.setattr(held_model, "ExosomeModel", Model)
    monkeypatch.setattr(held_model, "install_recorder", lambda _: recorder)
    held_model._compile(loaded, over := threading.Event())
    assert over.is_set()
    assert len(taken) == steps
    Model.estimate.step_seconds = 1.0
    held_model._compile(loaded, over)
    assert len(taken) == steps + min(steps, 5), "of a large model, some seconds"


def test_it_says_how_long_it_will_take(session: Session) -> None:
    session.speed = 600.0
    assert session.left == pytest.approx(session.end / 600)
    session.speed = 10800.0
    slow = replace(session._model.estimate, step_seconds=1.0)
    session._model.estimate = slow
    assert session.left == pytest.approx(session.end / float(session._model.scenario.clock.step))


def test_closing_ends_the_worker_even_unpainted(loaded: LoadedScenario) -> None:
    sessions = [Session(loaded, seed=i) for i in range(4)]
    for session in sessions:
        session.on_frame = lambda frame: None
        session.play()
    wait_for(lambda: workers() == 4)
    for session in sessions:
        session.close()
    wait_for(lambda: workers() == 0)


def test_two_sessions_are_apart(loaded: LoadedScenario) -> None:
    one, other = Session(loaded, seed=1), Session(loaded, seed=2)
    one.step()
    assert one._model.state.step == 1
    assert other._model.state.step == 0
    assert one.frame != other.frame


def test_a_swarm_beyond_the_cap_stops_the_run() -> None:
    crowd = load("signaling", {"transport.engine": "vesicles", "layout.group.recipient.count": "5"})
    session = Session(crowd, limits=Limits(vesicles=40))
    session.speed = SPEEDS[-1]
    session.play()
    wait_for(lambda: bool(session.error))
    assert "up to 40" in session.error


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"domain.size": '["9000 um", "9000 um"]'}, "voxels"),
        ({"layout.group.recipient.count": "20001", "layout.group.recipient.arrange": "overlapping"}, "cells"),
        ({"clock.duration": "1e5 h"}, "hours"),
        (
            {
                "transport.engine": "vesicles",
                "clock.step": "1 h",
                "cell_type.donor.release_rate": "4e5 / h",
            },
            "single vesicles that come in one step",
        ),
        (  # 82,000 in a step, 9 million alive at the end
            {"transport.engine": "vesicles", "cell_type.donor.release_rate": "7e5 / h"},
            "s of computing",
        ),
    ],
)
def test_what_is_too_large_for_the_page_is_refused(overrides: dict[str, str], says: str) -> None:
    with pytest.raises(ResourceError, match=says):
        Session(load("signaling", overrides))


def test_memory_of_what_a_page_does_not_write_is_not_counted() -> None:
    """60,000 pairs of cell and origin, of which a run into a folder would write 700 bytes each."""
    by_cell = {"transport.provenance": "cell", "domain.voxel": "25", "layout.group.donor.count": "200"}
    loaded = load("signaling", by_cell)
    estimate = blueprint(loaded, 1).estimate
    expected = WITH_COPY * estimate.model_bytes
    run = estimate.memory_bytes - BASE_BYTES
    assert expected < 0.7 * run
    with pytest.raises(ResourceError, match="MB of memory"):
        Session(loaded, limits=Limits(memory_bytes=0.99 * expected))
    limits = Limits(memory_bytes=1.01 * expected)
    Session(loaded, limits=limits).step()  # compiled code is none of the model's memory
    tracemalloc.start()
    try:
        session = Session(loaded, limits=limits)
        session.step()
        session.step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.6 * expected < peak < 1.5 * expected


def test_more_vesicles_than_the_page_follows_are_never_made() -> None:
    """A surge that no estimate foresees: 7 donors at 1e6/h, 1.2 million in a step of 10 minutes."""
    surge = """
[[response]]
name = "surge"
cell_type = "donor"
signal = "time"
increases = "release_rate"
to = "1e6 / h"
half_max = "1 s"
"""
    text = shipped()["signaling"].read_bytes() + surge.encode()
    slow = {"transport.engine": "vesicles", "clock.step": "10 min"}
    crowd = parse(text, name="surge", folder=Path(), overrides=slow)
    session = Session(crowd)
    while not session.error:
        assert session._model.state.step < 5
        session.step()
    swarm = session._model.state.vesicles
    assert swarm is not None
    assert "vesicles would be alive; this run follows up to 200,000" in session.error
    assert swarm.most == session.limits.vesicles
    assert swarm.bytes_held < 1e6
    session.close()


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_scenario_runs_on_the_page(name: str) -> None:
    session = Session(first_setup(name).load())
    assert session.limits is LIMITS
    for _ in range(3):
        session.step()
    assert session.error == ""
    state = session._model.state
    assert header(session.frame).cells == len(state.cells)
    for chart in charts(session._model, session.looks).values():
        assert any(line["y"] for line in curves(session._model, chart)), chart.title
    assert run_summary(session._model).startswith("After")
    assert cell_summary(session._model, int(state.cells.birth_id[0])) is not None


def test_seats_are_counted_once_and_given_back() -> None:
    seats = ModelSlots(2)
    assert seats.take(1)
    assert seats.take(1)
    assert seats.take(2)
    assert not seats.take(3)
    seats.leave(1)
    assert seats.take(3)
    assert len(seats) == 2
