"""Two runs on the same random numbers that differ in one thing, kept in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from exoabm.errors import InputError
from exoabm.output.metrics import measure
from exoabm.viz.parameter_controls import Knob, knobs
from exoabm.viz.results.columns import worded
from exoabm.viz.scenario_intros import opening
from exoabm.viz.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exoabm.viz.setup import Setup


class Twins:
    """Run A as the page has it, and run B with another value for one key; the same seed.

    Every draw is keyed by seed, cell, step and purpose, so that what differs between the two is what the key
    does, and not chance.

    Raises
    ------
    InputError, ResourceError
        If B cannot be run.
    """

    def __init__(self, setup: Setup, key: str, value: str) -> None:
        self.key = key
        self.setups = setup, setup.changed({key: value})
        self.sessions = tuple(Session(each.load(), each.seed) for each in self.setups)
        a, b = self.sessions
        a.partner, b.partner = b, a
        b.looks = b.looks.colored_like(a.looks)
        a.scale.match(b.scale)
        self.speed = opening(a.loaded).speed

    @property
    def speed(self) -> float:
        """Seconds of model time a second, of both."""
        return self.sessions[0].speed

    @speed.setter
    def speed(self, value: float) -> None:
        for session in self.sessions:
            session.speed = value

    @property
    def playing(self) -> bool:
        """Whether either goes on."""
        return any(session.playing for session in self.sessions)

    @property
    def finished(self) -> bool:
        """Whether both are over."""
        return all(session.finished or session.error for session in self.sessions)

    @property
    def error(self) -> str:
        """Why one of them stopped."""
        return "; ".join(session.error for session in self.sessions if session.error)

    def listen(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called when either changes."""
        for session in self.sessions:
            session.tell = tell

    def play(self) -> None:
        """Go on with both."""
        for session in self.sessions:
            session.play()

    def pause(self) -> None:
        """Stop both, at the time of the one that is ahead."""
        for session in self.sessions:
            session.pause()
        ahead = max(session.model.state.time for session in self.sessions)
        for session in self.sessions:
            if session.model.state.time < ahead:
                session.play(until=ahead)

    def close(self) -> None:
        """End both."""
        for session in self.sessions:
            session.close()

    def columns(self) -> dict[str, str]:
        """Columns of the metrics that both have, in words."""
        rows = [self._rows(session)[-1] for session in self.sessions]
        both = [name for name in rows[0] if name in rows[1] and name != "time_h"]
        return worded(self.sessions[0].model.scenario, both)

    def curves(self, column: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """A column of both runs over time, as ``x`` and ``y``."""
        a, b = (
            {
                "x": [row["time_h"] for row in rows if column in row],
                "y": [float(row[column]) for row in rows if column in row],
            }
            for rows in map(self._rows, self.sessions)
        )
        return a, b

    def _rows(self, session: Session) -> list[Mapping[str, float]]:
        with session.lock:
            return [*session.model.history.rows, measure(session.model.state)]


def difference(a: Mapping[str, list[float]], b: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """B - A at the times that both recorded."""
    times, rows_a, rows_b = np.intersect1d(np.round(a["x"], 9), np.round(b["x"], 9), return_indices=True)
    return {"x": times.tolist(), "y": (np.array(b["y"])[rows_b] - np.array(a["y"])[rows_a]).tolist()}


def other(knob: Knob) -> str:
    """A value for run B that is worth a look: twice as much or what else can be, or another choice."""
    if knob.kind == "choice":
        return next((value for value, _ in knob.choices if value != knob.applied), knob.applied)
    for factor in (2, 0.5, 1.1, 0.9):
        try:
            value = float(knob.applied) * factor
            return knob.read(str(max(1, round(value))) if knob.kind == "count" else f"{value:.6g}")
        except (InputError, ValueError, OverflowError):
            continue
    return knob.applied


def differing(setup: Setup) -> dict[str, Knob]:
    """What two runs can differ in; the clock is none of it, for they share theirs."""
    return {key: knob for key, knob in knobs(setup.load()).items() if not key.startswith("clock.")}


def line(
    curve: Mapping[str, list[float]], name: str, color: str, bright: str, dash: str = ""
) -> dict[str, Any]:
    """A curve as the plot takes it."""
    return {"name": name, "color": color, "bright": bright, "dash": dash, **curve}
