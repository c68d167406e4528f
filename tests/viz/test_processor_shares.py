"""Readers share the processors by time used, a turn that blocks holds up nobody, pages cost little."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest
import reacton
import solara

from exoabm import ExosomeModel
from exoabm.errors import NumericalError
from exoabm.scenario.loader import load
from exoabm.viz import app, page_run
from exoabm.viz.components import canvas
from exoabm.viz.components.widgets import PlotWidget
from exoabm.viz.server.frames import header
from exoabm.viz.server.processor_shares import Account, Turns
from exoabm.viz.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable


def work(seconds: float) -> None:
    """Use that much time of a processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_small_model_waits_for_one_turn_at_most_and_large_ones_share_alike() -> None:
    """In rotation the reader with the small model would get one turn of six, or 10 of 60."""
    turns, order = Turns(1), []
    sizes = [0.01] * 5 + [0.001]

    def loop(who: int, account: Account) -> None:
        while len(order) < 60:
            with turns.turn(account):
                order.append(who)
                work(sizes[who])

    threads = [threading.Thread(target=loop, args=(who, Account())) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = np.bincount(order, minlength=6)
    assert counts[5] >= 14
    assert np.ptp(counts[:5]) <= 3


def test_a_reader_who_comes_late_is_owed_nothing() -> None:
    turns, old, new = Turns(1), Account(), Account()
    with turns.turn(old):
        work(0.05)
    with turns.turn(old):
        late = threading.Thread(target=lambda: turns.turn(new).__enter__())
        late.start()
        late_by = time.monotonic() + 20
        while turns.active() < 2 and time.monotonic() < late_by:
            time.sleep(0.001)
    late.join()
    assert new.cpu < 0.01
    assert new.share >= 0.05, "as if it had used what the other had"


def test_at_most_that_many_compute_at_once() -> None:
    turns, inside, most = Turns(2), 0, 0
    lock = threading.Lock()

    def loop() -> None:
        nonlocal inside, most
        for _ in range(10):
            with turns.turn(Account()):
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.002)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=loop) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_turn_that_blocks_gives_its_place_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exoabm.viz.server.processor_shares.LEASE", 0.1)
    turns, blocked, done = Turns(1), threading.Event(), threading.Event()

    def block() -> None:
        with turns.turn(Account()):
            blocked.set()
            done.wait(20)

    thread = threading.Thread(target=block)
    thread.start()
    blocked.wait(20)
    began = time.monotonic()
    with turns.turn(Account()):
        assert 0.05 < time.monotonic() - began < 10
        done.set()
        thread.join()
    with turns.turn(Account()):
        pass


@pytest.mark.parametrize("engine", ["continuum", "vesicles"])
def test_a_parked_model_goes_on_to_the_same_bits(engine: str) -> None:
    scenario = load("signaling", {"layout.group.recipient.count": "20", "transport.engine": engine})
    parked, whole = Session(scenario, seed=3), Session(scenario, seed=3)
    for _ in range(8):
        whole.step()
    for step in range(8):
        parked.step()
        if step in (2, 5):
            assert not parked.held.park(idle=60.0), "it was looked at a moment ago"
            assert parked.held.park(idle=0.0)
            assert parked.time > 0.0
            assert parked.held.parked, "its time is known without making it again"
    with parked.reading() as one, whole.reading() as other:
        assert one.state.time == other.state.time
        assert np.array_equal(one.state.trafficking.taken_up, other.state.trafficking.taken_up)
        assert np.array_equal(one.state.balance.emitted, other.state.balance.emitted)
        assert one.history.rows == other.history.rows
    assert parked.frame == whole.frame
    assert not parked.held.parked


def test_a_parked_model_takes_less_memory() -> None:
    session = Session(load("signaling"), seed=1)
    session.step()
    with session.reading() as model:
        held = sum(kind.nbytes for kind in model.state.fields)
    assert session.held.park(idle=0.0)
    assert len(session.held._parked) < held


def test_a_parked_model_whose_next_step_fails_says_so_and_keeps_its_last_whole_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hidden page does not draw, so its run waits, and is parked while it plays."""
    session, frames = Session(load("two_cells", {"domain.voxel": "20 um"}), seed=1), []
    session.on_frame = frames.append
    session.painted(header(session.frame).number)
    session.speed = 10.0
    session.play()
    until(lambda: len(frames) == 2)
    until(lambda: session.held.park(idle=0.0))
    assert session.playing
    before, step = session.time, header(frames[-1]).number

    def break_half_way(model: ExosomeModel, seconds: float) -> None:
        model.state.trafficking.taken_up += 1.0
        raise NumericalError("a balance broke")

    monkeypatch.setattr(ExosomeModel, "advance_by", break_half_way)
    session.painted(step)
    until(lambda: not session.playing)
    monkeypatch.undo()
    assert session.error == "a balance broke"
    whole = Session(session.loaded, seed=1)
    while whole.time < before:
        whole.step()
    with session.reading() as one, whole.reading() as other:
        assert one.state.time == before == other.state.time
        assert np.array_equal(one.state.trafficking.taken_up, other.state.trafficking.taken_up)
        assert one.history.rows == other.history.rows


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_only_what_shows_the_run_is_made_again_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thirty pages each is made again about twice a second; controls and texts do not change."""
    whole, picture = Mock(wraps=app.changed), Mock(wraps=canvas.run_summary)
    monkeypatch.setattr(app, "changed", whole)
    monkeypatch.setattr(canvas, "run_summary", picture)

    pulse: list[solara.Reactive[int]] = []

    @solara.component
    def page() -> None:
        here = page_run.use_here("scenario=two_cells")
        pulse.append(here.pulse)
        app._Workspace(here)

    _, context = reacton.render(page(), handle_error=False)
    before = whole.call_count, picture.call_count
    for _ in range(3):
        pulse[0].set(pulse[0].peek() + 1)
    assert whole.call_count == before[0]
    assert picture.call_count >= before[1] + 3
    context.close()


def test_curves_are_handed_over_as_one_value() -> None:
    """Reacton visits every number of a list, at every rendering of the page."""
    series = [{"x": [1.0, 2.0]}]
    element = PlotWidget.element(series=series, alt="a")
    assert not isinstance(element.kwargs["series"], list)
    assert element.kwargs["series"] == PlotWidget.element(series=[{"x": [1.0, 2.0]}]).kwargs["series"]
    widget, context = reacton.render_fixed(element)
    assert widget.series == series
    assert widget.get_state(["series"])["series"] == series
    context.close()
