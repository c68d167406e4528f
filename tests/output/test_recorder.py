"""Observers look by their own clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from exoabm import ExosomeModel
from exoabm.output.recorder import Recorder
from exoabm.tables.readouts import parse


@dataclass
class Watch:
    """Notes when it looked."""

    interval: float
    times: list[float] = field(default_factory=list)
    closed: int = 0

    def record(self, state: SimpleNamespace) -> None:
        self.times.append(state.time)

    def close(self) -> None:
        self.closed += 1


def watch(interval: float, steps: list[float]) -> Watch:
    """A watch that saw a run of these steps."""
    state, recorder, observer = SimpleNamespace(time=0.0), Recorder(), Watch(interval)
    recorder.add(observer, state)
    for step in steps:
        state.time += step
        recorder.observe(state)
    recorder.finish(state)
    assert observer.closed == 1
    return observer


def test_an_observer_looks_at_the_start_when_due_and_at_the_end() -> None:
    assert watch(600, [60] * 25).times == [0, 600, 1200, 1500]


def test_the_end_is_seen_once() -> None:
    assert watch(600, [60] * 20).times == [0, 600, 1200]
    assert watch(600, []).times == [0]


def test_an_interval_shorter_than_the_step_is_the_step() -> None:
    assert watch(1, [60] * 3).times == [0, 60, 120, 180]


def test_an_interval_that_the_steps_do_not_divide_does_not_drift() -> None:
    """Due at 100, 200, 300, ...; seen at the first step after each."""
    assert watch(100, [60] * 10).times == [0, 120, 240, 300, 420, 540, 600]


def test_a_long_step_is_one_look() -> None:
    assert watch(10, [1000, 5, 5]).times == [0, 1000, 1010]


def test_rounding_does_not_lose_a_look() -> None:
    """Ten thousand steps of a third of a second, which is no float: a look every hundred of them."""
    seen = watch(100 / 3, [1 / 3] * 10_000).times
    assert len(seen) == 101
    assert seen[-1] == pytest.approx(10_000 / 3)


def test_observers_do_not_move_the_solver() -> None:
    """The same bits whether nobody looks or somebody looks at every step."""
    plain, watched = (ExosomeModel("two_cells", seed=1) for _ in range(2))
    observer = Watch(60.0)
    watched.observe(observer)
    for model in (plain, watched):
        model.run(hours=0.5)
    assert len(observer.times) == 31
    assert (plain.state.fields[0] == watched.state.fields[0]).all()
    assert (plain.state.trafficking.taken_up == watched.state.trafficking.taken_up).all()


def test_a_latecomer_looks_at_once_and_disturbs_nobody() -> None:
    state, recorder, first, second = SimpleNamespace(time=0.0), Recorder(), Watch(600), Watch(300)
    recorder.add(first, state)
    for step in range(20):
        state.time += 60
        recorder.observe(state)
        if step == 4:
            recorder.add(second, state)
    recorder.finish(state)
    assert first.times == [0, 600, 1200]
    assert second.times == [300, 600, 900, 1200]


def test_metrics_have_a_row_for_each_time_and_readouts_in_their_columns() -> None:
    model = ExosomeModel("waste_removal", seed=1)
    model.run(hours=1)
    frame = model.metrics
    assert frame["time_h"].tolist() == pytest.approx([i / 6 for i in range(7)])
    kind = "waste_vesicle"
    places = ["free", "bound", "endosomal", "lysosomal", "recycled", "delivered", "cleared", "escaped"]
    total = sum(frame[f"{place}[{kind}]"] for place in places)
    assert total.to_numpy() == pytest.approx(frame[f"emitted[{kind}]"].to_numpy(), rel=1e-9)
    volume = 600 * 600 * 15 * 1e-12
    free, mean = frame[f"free[{kind}]"].iloc[-1], frame[f"mean_concentration_per_mL[{kind}]"].iloc[-1]
    leaving = model.state.trafficking.returning.sum()
    assert mean == pytest.approx((free - leaving) / volume, rel=1e-9)
    assert (frame["cells[stressed]"] == 120).all()
    released = 120 * frame["released_per_cell[stressed]"]
    assert released.to_numpy() == pytest.approx(frame[f"emitted[{kind}]"].to_numpy(), rel=1e-9)
    assert [name for name in frame.columns[1:] if parse(name).column is None] == []
