"""Two runs that differ in one thing differ by that alone, and stay in step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exoabm.errors import InputError
from exoabm.viz.components.paired_runs import PairedRuns, difference, differing, other, other_of
from exoabm.viz.parameter_controls import controls_of
from exoabm.viz.run_setup import Setup, first_setup
from exoabm.viz.server.frames import header, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "cell_type.recipient.uptake_rate"


@pytest.fixture
def runs() -> Iterator[PairedRuns]:
    setup = first_setup("two_cells").changed({"clock.duration": "2", "clock.step": "60"})
    runs = PairedRuns(setup, {KEY: "100"})
    runs.speed = 10800.0
    yield runs
    runs.close()


def wait(runs: PairedRuns, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while runs.playing and time.monotonic() < end:
        time.sleep(0.02)


def test_released_alike_taken_up_apart(runs: PairedRuns) -> None:
    runs.play()
    wait(runs)
    assert runs.finished
    a, b = (session._model for session in runs.sessions)
    assert a.state.time == b.state.time == 7200
    assert np.array_equal(a.state.released, b.state.released)
    gap = difference(*runs.curves("emitted[exosome]"))
    assert len(gap["x"]) >= 13
    assert not any(gap["y"])
    taken = difference(*runs.curves("taken_up[exosome]"))
    assert taken["y"][-1] > 0
    end_a, end_b = (curve["y"][-1] for curve in runs.curves("taken_up[exosome]"))
    assert taken["y"][-1] == end_b - end_a


def test_equal_values_give_equal_runs() -> None:
    """A planted difference of 5 % is seen; none is seen where there is none."""
    setup = first_setup("two_cells").changed({"clock.duration": "6", "clock.step": "60"})
    for value, same in (("14", True), ("14.7", False)):
        runs = PairedRuns(setup.changed({"transport.engine": "continuum"}), {KEY: value})
        runs.speed = 10800.0
        runs.play()
        wait(runs)
        gap = difference(*runs.curves("taken_up[exosome]"))
        assert (not any(gap["y"])) == same
        runs.close()


def test_they_stay_in_step_and_stop_together(runs: PairedRuns) -> None:
    runs.speed = 600.0
    apart: list[float] = []
    runs.play()
    while runs.playing and len(apart) < 40:
        a, b = (session._model.state.time for session in runs.sessions)
        apart.append(abs(a - b))
        time.sleep(0.01)
    runs.pause()
    wait(runs)  # the one behind goes on to the time of the other
    a, b = (session.time for session in runs.sessions)
    assert a == b
    assert max(apart) <= 2 * 60


def test_a_value_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="outside the allowed"):
        PairedRuns(first_setup("two_cells"), {KEY: "-3"})


@pytest.mark.parametrize("scenario", ["signaling", "two_cells", "waste_removal", "tissue"])
def test_every_key_has_another_value_to_try(scenario: str) -> None:
    setup = first_setup(scenario)
    found = differing(setup)
    assert len(found) > 10
    assert not any(key.startswith("clock.") for key in found)
    for key, control in found.items():
        value = other(control)
        assert value != control.applied or len(control.choices) == 1
        if control.kind != "number" or float(control.applied) not in (0.0, float("inf")):
            again = controls_of(setup.changed({key: value}).load())[key].applied
            assert again != control.applied or len(control.choices) == 1


def test_two_runs_differ_where_the_value_is_zero() -> None:
    control = differing(first_setup("screening").changed({"cell_type.screened.release_rate": "0"}))
    assert other(control["cell_type.screened.release_rate"]) == "60"


def test_another_number_of_cells_is_one_that_fits() -> None:
    setup = first_setup("production").changed({"layout.group.producer.count": "16"})
    assert other_of(setup, differing(setup)["layout.group.producer.count"]) == "8"


def test_difference_takes_common_times_only() -> None:
    a = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 4.0]}
    b = {"x": [0.0, 1.5, 2.0], "y": [0.5, 9.0, 3.0]}
    assert difference(a, b) == {"x": [0.0, 2.0], "y": [0.5, -1.0]}


def test_both_pictures_have_one_scale() -> None:
    """A hundred times the release: the same color is still the same concentration, at every moment."""
    setup = Setup("two_cells", (("transport.engine", "continuum"),))
    runs = PairedRuns(setup, {"cell_type.donor.release_rate": "6000"})

    def agree() -> None:
        maximum = max(header(session.frame).maximum for session in runs.sessions)
        assert {header(session.frame).scale for session in runs.sessions} == {round_up(maximum)}

    for number in range(20):
        for session in runs.sessions[:: 1 if number % 2 else -1]:
            session.step()
            agree()
    runs.play()
    wait(runs, 0.3)
    runs.pause()
    wait(runs)
    agree()
    runs.close()


def test_paused_they_show_the_same_time(runs: PairedRuns) -> None:
    for _ in range(5):
        runs.speed = 3600.0
        runs.play()
        time.sleep(0.05)
        runs.sessions[0].step()  # however far one is ahead
        runs.pause()
        wait(runs)
        a, b = (session._model.state.time for session in runs.sessions)
        assert a == b
