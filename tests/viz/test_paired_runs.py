"""Two runs that differ in one thing differ by that alone, and stay in step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exoabm.errors import InputError
from exoabm.viz.components.paired_runs import Twins, difference, differing, other
from exoabm.viz.parameter_controls import knobs
from exoabm.viz.scenario_intros import first_setup
from exoabm.viz.server.frames import moment
from exoabm.viz.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "cell_type.recipient.uptake_rate"


@pytest.fixture
def twins() -> Iterator[Twins]:
    setup = first_setup("two_cells").changed({"clock.duration": "2", "clock.step": "60"})
    twins = Twins(setup, KEY, "100")
    twins.speed = 10800.0
    yield twins
    twins.close()


def wait(twins: Twins, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while twins.playing and time.monotonic() < end:
        time.sleep(0.02)


def test_released_alike_taken_up_apart(twins: Twins) -> None:
    twins.play()
    wait(twins)
    assert twins.finished
    a, b = (session.model for session in twins.sessions)
    assert a.state.time == b.state.time == 7200
    assert np.array_equal(a.state.released, b.state.released)
    gap = difference(*twins.curves("exosome_emitted_EV"))
    assert len(gap["x"]) >= 13
    assert not any(gap["y"])
    taken = difference(*twins.curves("exosome_taken_up_EV"))
    assert taken["y"][-1] > 0
    end_a, end_b = (curve["y"][-1] for curve in twins.curves("exosome_taken_up_EV"))
    assert taken["y"][-1] == end_b - end_a


def test_equal_values_give_equal_runs() -> None:
    """A planted difference of 5 % is seen; none is seen where there is none."""
    setup = first_setup("two_cells").changed({"clock.duration": "6", "clock.step": "60"})
    for value, same in (("14", True), ("14.7", False)):
        twins = Twins(setup.changed({"transport.engine": "continuum"}), KEY, value)
        twins.speed = 10800.0
        twins.play()
        wait(twins)
        gap = difference(*twins.curves("exosome_taken_up_EV"))
        assert (not any(gap["y"])) == same
        twins.close()


def test_they_stay_in_step_and_stop_together(twins: Twins) -> None:
    twins.speed = 600.0
    apart: list[float] = []
    twins.play()
    while twins.playing and len(apart) < 40:
        a, b = (session.model.state.time for session in twins.sessions)
        apart.append(abs(a - b))
        time.sleep(0.01)
    twins.pause()
    assert not twins.playing
    assert max(apart) <= 2 * 60


def test_a_value_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="outside the allowed"):
        Twins(first_setup("two_cells"), KEY, "-3")


@pytest.mark.parametrize("scenario", ["signaling", "two_cells", "waste_removal", "tissue"])
def test_every_key_has_another_value_to_try(scenario: str) -> None:
    setup = first_setup(scenario)
    found = differing(setup)
    assert len(found) > 10
    assert not any(key.startswith("clock.") for key in found)
    for key, knob in found.items():
        value = other(knob)
        again = knobs(setup.changed({key: value}).load())[key].applied
        alone = float(knob.applied) in (0.0, float("inf")) if knob.kind == "number" else False
        assert alone or again != knob.applied or len(knob.choices) == 1


def test_difference_takes_common_times_only() -> None:
    a = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 4.0]}
    b = {"x": [0.0, 1.5, 2.0], "y": [0.5, 9.0, 3.0]}
    assert difference(a, b) == {"x": [0.0, 2.0], "y": [0.5, -1.0]}


def test_both_pictures_have_one_scale() -> None:
    """Twice the release, twice the concentration: the same color is still the same concentration."""
    setup = Setup("two_cells", (("transport.engine", "continuum"),))
    twins = Twins(setup, "cell_type.donor.release_rate", "6000")
    for _ in range(20):
        for session in twins.sessions:
            session.step()
    scales = {moment(session.frame).scale for session in twins.sessions}
    assert len(scales) == 1
    assert scales.pop() >= max(moment(session.frame).maximum for session in twins.sessions)
    twins.close()


def test_paused_they_show_the_same_time(twins: Twins) -> None:
    for _ in range(5):
        twins.speed = 3600.0
        twins.play()
        time.sleep(0.05)
        twins.sessions[0].step()  # however far one is ahead
        twins.pause()
        wait(twins)
        a, b = (session.model.state.time for session in twins.sessions)
        assert a == b
