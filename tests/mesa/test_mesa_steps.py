"""Steps of models: those of a subclass, of agents, and those that an error or an interrupt cut off."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from mesa_models import SMALL, Counting, Curious, same

import exoabm as xo
from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_run_calls_the_step_of_a_subclass() -> None:
    """Also for the last, shorter one; nothing else changes."""
    plain, mine = (kind("signaling", seed=1, overrides=SMALL) for kind in (xo.ExosomeModel, Counting))
    step = float(mine.scenario.clock.step)
    for model in (plain, mine):
        model.run(hours=4.5 * step / 3600)
    assert mine.seen == pytest.approx([0, step, 2 * step, 3 * step, 4 * step])
    assert mine.state.time == plain.state.time == pytest.approx(4.5 * step)
    assert mine.steps == plain.steps == 5
    assert same(plain, mine)
    mine.step()
    assert mine.state.time == pytest.approx(5.5 * step), "a step by hand is a whole one again"


def test_a_step_that_ends_the_run_or_does_nothing() -> None:
    model = Counting("signaling", seed=1, overrides=SMALL)
    model.most = 3
    model.run(hours=1)
    assert model.steps == 3

    class Idle(xo.ExosomeModel):
        def step(self) -> None:
            """Forget the model's own."""

    with pytest.raises(InputError, match=r"Idle.step\(\) did not advance"):
        Idle("signaling", seed=1, overrides=SMALL).run(hours=1)


def test_a_model_whose_step_was_interrupted_does_not_go_on(monkeypatch) -> None:
    """Half of the stages of that step have acted."""
    model = xo.ExosomeModel("two_cells", seed=1, overrides={"clock.step": "10 min"})
    model.step()
    moved = model.engine.advance

    def interrupted(*given: Any) -> None:
        moved(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(model.engine, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.step()
    monkeypatch.undo()
    for go_on in (model.step, model.branch):
        with pytest.raises(xo.ExoError, match=r"at 0\.166667 h a step was not completed"):
            go_on()


class Raising:
    """An observer of every step that an interrupt hits after the first ones."""

    interval = 0.0
    looks = 0

    def record(self, _: object) -> None:
        self.looks += 1
        if self.looks > 3:
            raise KeyboardInterrupt


def test_a_step_that_raised_may_be_made_again() -> None:
    """Mesa 3.5.1 alone would make none from then on, without a word."""

    class Refusing(xo.ExosomeModel):
        refuses = True

        def step(self) -> None:
            if self.refuses:
                raise ValueError
            super().step()

    model = Refusing("two_cells", seed=1)
    for go in (model.step, model.step, model.run):
        with pytest.raises(ValueError):  # noqa: PT011  it has no words
            go()
    model.refuses = False
    model.step()
    assert model.state.step == 1
    model.run(hours=0.1)
    assert model.hours == pytest.approx(0.1 + float(model.scenario.clock.step) / 3600)


class Stopping:
    """An observer that sends the process interrupts from within a step."""

    interval = 0.0

    def __init__(self, at: int, times: int) -> None:
        self.looks, self.at, self.times = 0, at, times

    def record(self, _: object) -> None:
        self.looks += 1
        for _ in range(self.times if self.looks == self.at else 0):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def usual_interrupts() -> Iterator[None]:
    """Those of Python and of notebooks; a command that was called in this process has its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupts")
@pytest.mark.parametrize("by_run", [True, False])
def test_an_interrupt_acts_when_the_step_is_complete(by_run) -> None:
    """As if it had not been: a run, and a loop of steps, go on from there, with all agents at one time."""

    class Own(xo.ExosomeModel):
        cell_class = Curious

        def step(self) -> None:
            super().step()
            self.agents_by_type[Curious].do("step")

    model, other = (Own("signaling", seed=1, overrides=SMALL) for _ in range(2))
    model.observe(Stopping(3, 1))

    def go() -> None:
        while not by_run:
            model.step()
        model.run(hours=1)

    with pytest.raises(KeyboardInterrupt):
        go()
    assert model.state.step == 2
    assert len(model.looks) == 2 * 15
    model.run(hours=1 - model.hours)
    other.run(hours=1)
    assert model.state.step == other.state.step
    assert model.looks == other.looks
    assert (model.state.fields[0] == other.state.fields[0]).all()


@pytest.mark.usefixtures("usual_interrupts")
def test_a_second_interrupt_acts_within_the_step() -> None:
    """A step may take long."""
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL)
    model.observe(Stopping(3, 2))
    with pytest.raises(KeyboardInterrupt):
        model.run(hours=1)
    with pytest.raises(xo.ExoError, match="a step was not completed"):
        model.step()


@pytest.mark.parametrize("place", ["record", "agent", "collect"])
def test_nor_does_one_that_was_interrupted_when_its_cells_had_changed(place, monkeypatch) -> None:
    """Records of that step are missing; agents of its dead and daughters also, if it had come to these."""
    turnover = {"cell_type.recipient.division_rate": "2 / h", "cell_type.donor.death_rate": "1 / h"}
    model = xo.ExosomeModel("signaling", seed=1, overrides=SMALL | turnover)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    if place == "record":
        model.observe(Raising())
    elif place == "agent":
        monkeypatch.setattr(xo.Cell, "leave", interrupted)
    else:
        model.run(hours=0.1)
        monkeypatch.setattr(model.datacollector, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.run(hours=5)
    monkeypatch.undo()
    for go_on in (model.step, model.branch, lambda: model.set("vesicle.exosome.processing_rate", "1 / h")):
        with pytest.raises(xo.ExoError, match="a step was not completed"):
            go_on()
