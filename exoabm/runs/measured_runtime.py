"""How long a run will take here and now, from a few of its steps.

Speed differs between machines and changes with what else they do, so it is measured and not looked up. What a
few steps cannot show, the vesicles still to come and the tables, is added from
``scenario.resource_estimate``.
Compiling is not counted: it happens once on a machine, at any step that is the first to need a kernel.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numba.core import event

from exoabm.model import ExosomeModel
from exoabm.scenario.resource_estimate import VESICLE_STEPS_PER_SECOND, Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from exoabm.scenario.loader import LoadedScenario

SECONDS = 2.0
"""Time that the steps of a probe may take; a step that would take longer is cut, and its time scaled."""
MOST_STEPS = 50
AT_ONCE = 10
"""Steps of a probe that a run may take at once, where they are short."""
WORTH_A_PROBE = 60.0
"""A run that roughly takes less than this is not worth a probe, s."""


@dataclass(frozen=True)
class Timing:
    """How long a run takes, measured.

    Attributes
    ----------
    setup : float
        To build the model, s.
    step : float
        A coupling step, in the mean over the run, s.
    steps : int
        Coupling steps of the run.
    writing : float
        To write a run folder; a guess from its size, s.
    probed : int
        Steps that were measured.
    """

    setup: float
    step: float
    steps: int
    writing: float
    probed: int

    @property
    def row_seconds(self) -> float:
        """The run without its folder, as in a batch that keeps readouts only."""
        return self.setup + self.steps * self.step

    @property
    def seconds(self) -> float:
        """The run into a folder."""
        return self.row_seconds + self.writing


class _Compiling(event.Listener):  # type: ignore[misc]
    """Adds up the time that numba compiles, which it does for one kernel within another."""

    def __init__(self, begun: Callable[[], object] | None) -> None:
        self.seconds = 0.0
        self._depth, self._start, self._begun = 0, 0.0, begun

    def on_start(self, _: event.Event) -> None:
        if self._begun is not None:
            self._begun()
            self._begun = None
        if self._depth == 0:
            self._start = time.perf_counter()
        self._depth += 1

    def on_end(self, _: event.Event) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._start


def probe(
    loaded: LoadedScenario,
    *,
    hours: float | None = None,
    threads: int | None = 1,
    compiling: Callable[[], object] | None = None,
) -> Timing:
    """Measure a few steps of a run and say how long all of it takes.

    Parameters
    ----------
    loaded : LoadedScenario
    hours : float, optional
        Model time; the scenario's duration if None.
    threads : int or None
    compiling : callable, optional
        Called once if something has to be compiled first, which may take a minute.

    Raises
    ------
    InputError, ResourceError
        As the run would.
    """
    compiled = _Compiling(compiling)

    def now() -> float:
        """Time that went by without compiling, s."""
        return time.perf_counter() - compiled.seconds

    with event.install_listener("numba:compile", compiled):
        start = now()
        model = ExosomeModel(loaded, seed=0, threads=threads)
        setup = now() - start
        guess = model.estimate
        clock = model.scenario.clock
        duration = float(clock.duration) if hours is None else hours * 3600.0
        full = min(float(clock.step), duration)
        part = min(1.0, SECONDS / (4 * guess.step_seconds))
        model.advance_by(part * full)
        some = AT_ONCE if SECONDS / guess.step_seconds > 4 * AT_ONCE else 1
        count, start = 0, now()
        while count == 0 or (count < MOST_STEPS and now() - start < SECONDS):
            if some > 1:
                model.run_until(model.state.time + some * full)
            else:
                model.advance_by(part * full)
            count += some
        step = (now() - start) / (count * part) + _growth(model, guess, duration)
    share = duration / float(clock.duration)
    return Timing(
        setup=setup,
        step=step,
        steps=math.ceil(duration / float(clock.step)),
        writing=share * guess.recording_seconds + guess.closing_seconds,
        probed=count,
    )


def _growth(model: ExosomeModel, guess: Estimate, duration: float) -> float:
    """Ratio of the mean duration of a step in a run to the present one, as single vesicles accumulate.

    Vesicles that come at a rate q and stay for a time tau are ``q tau (1 - exp(-t / tau))``. What the steps
    so far show of tau is an upper guess, as a vesicle that was taken up is not at its end yet.
    """
    if not model.state.follows_vesicles:
        return 0.0
    emitted, alive = float(model.state.balance.emitted.sum()), len(model.state.vesicles)
    if emitted == 0:
        return 0.0
    rate = emitted / model.state.time
    stay = min(_stay(alive / emitted) * model.state.time, guess.vesicles / rate)
    mean = rate * stay * (1 - stay / duration * -math.expm1(-duration / stay))
    return max(0.0, mean - alive) / VESICLE_STEPS_PER_SECOND


def _stay(share: float) -> float:
    """The time tau, in units of the time passed, with which this share of all that came is still there."""
    from scipy.optimize import brentq

    longest = 1e3
    if share >= longest * -math.expm1(-1 / longest):
        return longest
    return float(brentq(lambda tau: tau * -math.expm1(-1 / tau) - share, 1e-6, longest))


def warning(
    loaded: LoadedScenario,
    guess: Estimate,
    *,
    hours: float | None = None,
    threads: int | None = 1,
    compiling: Callable[[], object] | None = None,
) -> str | None:
    """A sentence on a run that takes long or much memory; None for a modest one, which is not probed.

    ``guess`` is the estimate of its blueprint.

    Raises
    ------
    InputError, ResourceError
        As the run would.
    """
    from exoabm.scenario.resource_estimate import gib

    share = 1.0 if hours is None else hours * 3600.0 / float(loaded.scenario.clock.duration)
    long = share * guess.seconds > WORTH_A_PROBE
    if not long and guess.memory_bytes < guess.allowed_bytes / 2:
        return None
    memory = f"about {gib(guess.memory_bytes)} of memory ({gib(guess.allowed_bytes)} may be used)"
    if not long:
        return f"this run may take {memory}"
    timing = probe(loaded, hours=hours, threads=threads, compiling=compiling)
    return f"this run takes about {rounded_duration(timing.seconds)} and {memory}"


def rounded_duration(seconds: float) -> str:
    """A time for people, to two figures."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"
