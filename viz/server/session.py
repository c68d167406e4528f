"""A run on the page: the model, the thread that steps it, and the calls to the page.

A session does not know the page. It calls ``on_frame`` with every frame and ``on_change`` after any other
change; the page calls ``painted`` when a frame is on the screen. At most one frame waits while another is
drawn, so a slow browser slows the run instead of accumulating frames, and a closed one stops it.

Where many run, each computes in its turn (see ``processor_shares``). The model can be parked; see
``held_model``.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from exoabm.errors import ExoError, ResourceError
from exoabm.model import ROUNDING, ExosomeModel
from exoabm.plot.palette import Looks
from exoabm.scenario.resource_estimate import check_grid_memory
from exoabm.scenario.state_builder import blueprint
from exoabm.viz.results.charts import charts
from exoabm.viz.results.prediction_readouts import JudgedCurve
from exoabm.viz.results.text_summary import drawn_class
from exoabm.viz.run_setup import intro_of
from exoabm.viz.server.frames import Recording, Scale, draw, header
from exoabm.viz.server.held_model import HeldModel, compiled_for
from exoabm.viz.server.limits import LIMITS, Limits
from exoabm.viz.server.processor_shares import TURNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exoabm.scenario.loader import LoadedScenario
    from exoabm.scenario.schema import Scenario

FRAMES_PER_SECOND = 24.0
PULSE = 0.5
"""Least seconds between two calls of ``on_change`` while running."""
PULSE_SHARE = 0.2
"""Share of a processor that the calls of ``on_change`` of all readers may take together."""
WORK_PER_FRAME = 0.05
"""Seconds of stepping after which a frame is drawn even if its model time is not reached; of one reader."""
LEAST_WORK = 0.005
"""The same, where many readers run models."""
MANY = 1 << 30
"""Steps between two frames where only the time they take counts."""
KEEP = 2.0
"""Seconds between two copies of the state, of which the last is gone back to after an error."""
PAIR_WAIT = 0.01
"""Seconds between two looks at a partner."""
PATIENCE = 0.25
"""Seconds after which a wait for the browser looks whether it should end."""
SPEEDS = (10.0, 30.0, 60.0, 180.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0)
"""Seconds of model time that pass in a second, where the machine can."""


class Session:
    """A model that can be played, paused, stepped and looked back on.

    Parameters
    ----------
    loaded
        The scenario, checked.
    seed
        Of the run; the same seed and scenario give the same run as ``exoabm run``.
    limits
        What the model may take.
    model
        Of this scenario and seed, to go on with from where it is; by default a new one.

    Attributes
    ----------
    held : HeldModel
    scenario : Scenario
    time : float
        Of the model, in s.
    extent : numpy.ndarray
        Of the domain, in um.
    looks : Looks
        How every picture of the run draws its cell types.
    drawn_class : ParticleClass
        What frames show of the particles of the run.
    with_field : bool
        Whether frames contain the concentration.
    recording : Recording
        Recorded frames.
    charts, judged : dict of str to Chart, JudgedCurve
    frame : bytes
        The last frame drawn.
    playing, hurried, finished : bool
    compiled, preparing : bool
        Whether the first step of its kind was compiled; whether it plays, but waits for that.
    error : str
        Why the run stopped; the model then stays at its last good state.
    speed : float
        Seconds of model time a second, one of ``SPEEDS``.
    account : Account
        Of the reader, charged for the processor time of turns.
    cpu : float
        Processor time of this run, s.
    paired_with : Session or None
        Of a pair that is to stay in step: the one that is ahead waits.
    on_frame, on_change
        Called from any thread; replace them.

    Raises
    ------
    InputError, ResourceError
        If the scenario is wrong, or too large for the page.
    """

    def __init__(
        self,
        loaded: LoadedScenario,
        seed: int = 1,
        limits: Limits = LIMITS,
        model: ExosomeModel | None = None,
    ) -> None:
        check_grid_memory(loaded.scenario)
        hours = float(loaded.scenario.clock.duration) / 3600
        limits.admit_cells(loaded.scenario)
        limits.admit(blueprint(loaded, seed), hours)
        self.loaded, self.seed, self.limits = loaded, seed, limits
        self.on_frame: Callable[[bytes], None] = _ignore
        self.on_change: Callable[[], None] = _ignore
        self.held = HeldModel(loaded, seed, limits.vesicles, model)
        self.time = self._model.state.time
        self.extent = self._model.state.domain.extent
        self.looks, self.drawn_class = Looks.of_model(self._model), drawn_class(loaded.scenario)
        self.paired_with: Session | None = None
        self.scale = Scale()
        self.with_field = not self._model.state.follows_vesicles
        self._compiled = compiled_for(loaded)
        self.recording = Recording(most_bytes=limits.recording_bytes)
        self.account, self.cpu = TURNS.whose(), 0.0
        self._pulsed, self._pulse_gap = 0.0, PULSE
        self.speed = 300.0
        self.error = ""
        self._hurried, self._begun = False, (0.0, 0.0)
        self._number = self._painted = 0
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()
        self._ack = threading.Event()
        self.charts = charts(self._model, self.looks, intro_of(loaded).prediction)
        self.judged = JudgedCurve(intro_of(loaded).prediction, self._model)
        self.judged.note(self._model, self.end)
        self.frame = self._draw()
        self.recording.add(self.frame)

    @contextmanager
    def reading(self) -> Iterator[ExosomeModel]:
        """The model, which is not stepped meanwhile."""
        with self.held.lock:
            yield self._model

    @property
    def _model(self) -> ExosomeModel:
        return self.held.model

    @property
    def scenario(self) -> Scenario:
        """The scenario of the run."""
        return self.loaded.scenario

    @property
    def playing(self) -> bool:
        """Whether the worker is stepping the model."""
        return self._worker is not None and self._worker.is_alive() and not self._stop.is_set()

    @property
    def compiled(self) -> bool:
        """Whether the first step of its kind has been compiled."""
        return self._compiled.is_set()

    @property
    def preparing(self) -> bool:
        """Whether it plays, but waits for the first step of its kind to be compiled."""
        return self.playing and not self.compiled

    @property
    def end(self) -> float:
        """Model time, in s, at which the run is over."""
        return float(self.scenario.clock.duration)

    @property
    def left(self) -> float:
        """Seconds until the end: at its pace where it is hurried, else at this speed, if the machine can."""
        rest, (since, begun) = self.end - self.time, self._begun
        least = rest / float(self.scenario.clock.step) * self._model.estimate.step_seconds
        if self.hurried:
            return rest * (time.monotonic() - begun) / (self.time - since) if self.time > since else least
        return max(rest / self.speed, least)

    @property
    def hurried(self) -> bool:
        """Whether it plays as fast as the machine can, whatever the speed."""
        return self.playing and self._hurried

    @property
    def finished(self) -> bool:
        """Whether the model has reached the scenario's duration."""
        return self._reached(self.end)

    def play(self, until: float | None = None) -> None:
        """Start the worker, if the run can go on; with ``until`` (s), at full speed and no farther."""
        if self.playing or self.finished or self.error:
            return
        self._stop = threading.Event()
        self._hurried, self._begun = until is not None, (self.time, time.monotonic())
        self._worker = threading.Thread(
            target=self._work, args=(self._stop, until), daemon=True, name="exoabm-session"
        )
        self._worker.start()
        self.on_change()

    def pause(self) -> None:
        """Stop the worker after the step that it is in, and show where that led."""
        was_playing, self._worker = self.playing, None
        self._stop.set()
        self._ack.set()
        if was_playing:
            self.redraw()
            self.on_change()

    def close(self) -> None:
        """End the session: the worker stops, and no receiver is called any more."""
        self.on_frame = self.on_change = _ignore
        self._stop.set()
        self._ack.set()

    def step(self) -> None:
        """Pause, and advance by one step."""
        self.pause()
        if not self.finished and not self.error:
            self.held.keep()
            try:
                self._advance()
            except Exception as error:
                self._fail(error)
            else:
                self._publish()
                self.agree()
        self.on_change()

    def painted(self, number: int) -> None:
        """Note that the browser has drawn a frame."""
        self._painted = number
        self._ack.set()

    def mute(self) -> None:
        """Draw for nobody until ``on_frame`` is set again; a run then goes on unseen."""
        self.on_frame = _ignore

    def redraw(self) -> None:
        """Draw the present moment again."""
        if not self.playing:
            with self.held.lock:
                self.frame = self._draw()
            self.on_frame(self.frame)

    def agree(self) -> None:
        """Draw those of a pair again that rest with colors of an earlier moment of the other."""
        for session in (self, self.paired_with):
            if session is not None and header(session.frame).scale != np.float32(session.scale.value):
                session.redraw()

    def rewind(self, index: int) -> bytes:
        """The recorded frame at an index, clipped to those there are."""
        return self.recording.frames[min(max(index, 0), len(self.recording) - 1)]

    def _work(self, stop: threading.Event, until: float | None) -> None:
        kept = self._pulsed = 0.0
        while not stop.is_set() and not self._compiled.wait(PATIENCE):
            continue
        end = self.end if until is None else min(until, self.end)
        self._begun = self.time, time.monotonic()
        step, before = float(self.scenario.clock.step), self.cpu - time.thread_time()
        self.held.keep()
        try:
            while not stop.is_set() and not self._reached(end):
                began = time.monotonic()
                steps = max(1, round(self.speed / FRAMES_PER_SECOND / step)) if until is None else MANY
                with TURNS.turn(self.account):
                    self._advance_by(steps, end, stop)
                    if stop.is_set():
                        break
                    self._publish()
                    self._pulse()
                    if began - kept > KEEP:
                        kept = began
                        self.held.keep()
                self.cpu = before + time.thread_time()
                self._wait_for_paint(stop)
                self._wait_for_pair(stop)
                if until is None:
                    stop.wait(max(0.0, steps * step / self.speed - (time.monotonic() - began)))
        except Exception as error:
            self._fail(error)
        finally:
            stop.set()
            self.agree()
            self.on_change()

    def _advance_by(self, steps: int, end: float, stop: threading.Event) -> None:
        """Advance by that many steps, or what can be done until the next frame is due."""
        if self.cpu > self.limits.cpu_seconds:
            raise ResourceError(
                f"this run has computed for {self.limits.cpu_seconds:g} s, the limit of this server; "
                "run it from the command line: exoabm run"
            )
        began, work = time.thread_time(), max(LEAST_WORK, WORK_PER_FRAME / max(1, TURNS.active()))
        for _ in range(steps):
            self._advance()
            if stop.is_set() or self._reached(end) or time.thread_time() - began > work:
                break

    def _pulse(self) -> None:
        """Call ``on_change`` if it is due: later, the more it costs and the more readers there are."""
        now = time.monotonic()
        if now - self._pulsed > self._pulse_gap:
            began, self._pulsed = time.thread_time(), now
            self.on_change()
            cost = time.thread_time() - began
            self._pulse_gap = max(PULSE, TURNS.active() * cost / PULSE_SHARE)

    def _reached(self, end: float) -> bool:
        return end - self.time <= ROUNDING * float(self.scenario.clock.step)

    def _advance(self) -> None:
        with self.held.lock:
            model = self._model
            model.advance_by(min(float(model.scenario.clock.step), self.end - model.state.time))
            self.time = model.state.time
            self.judged.note(model, self.end)
            alive = len(model.state.vesicles)
            if alive > self.limits.vesicles:
                raise ResourceError(
                    f"{alive:,} vesicles are alive; the page follows up to {self.limits.vesicles:,}. "
                    "Use the field, a lower release rate, or the command line"
                )

    def _publish(self) -> None:
        with self.held.lock:
            self.frame = self._draw()
        self.recording.add(self.frame)
        self.on_frame(self.frame)

    def _draw(self) -> bytes:
        self._number += 1
        state, kinds = self._model.state, self.drawn_class.kinds
        return draw(state, self._number, self.scale, with_field=self.with_field, kinds=kinds)

    def _wait_for_paint(self, stop: threading.Event) -> None:
        """Wait while two frames are under way; without a page nobody needs to be waited for."""
        while not stop.is_set() and self.on_frame is not _ignore and self._painted < self._number - 1:
            self._ack.wait(PATIENCE)
            self._ack.clear()

    def _wait_for_pair(self, stop: threading.Event) -> None:
        while (
            self.paired_with is not None
            and self.paired_with.playing
            and self.time > self.paired_with.time
            and not stop.wait(PAIR_WAIT)
        ):
            continue

    def _fail(self, error: Exception) -> None:
        """Keep the words of an error meant for people, of others their kind; go back to a whole state."""
        known = isinstance(error, ExoError)
        with self.held.lock:
            self.error = str(error) if known else f"The model stopped: {type(error).__name__}: {error}"
            self.held.go_back()
            self.time = self._model.state.time
            self.judged.back_to(self.time)
            self.frame = self._draw()
        self.on_frame(self.frame)


def _ignore(*_: object) -> None:
    """Nobody listens."""
