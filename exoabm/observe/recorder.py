"""Observers, each with its own clock.

Recording every ten minutes never makes the solver step at ten minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exoabm.state import State

ROUNDING = 1e-9


class Observer(Protocol):
    """Looks at a state when due. ``interval`` is in seconds of model time; 0 is every step."""

    interval: float

    def record(self, state: State) -> None:
        """Note what is to be kept of this moment."""
        ...

    def close(self) -> None:
        """Write out what is left; called once, after the last record."""
        ...


@dataclass
class Recorder:
    """Calls each observer at time 0, whenever its interval has passed, and at the end of a run."""

    observers: list[Observer] = field(default_factory=list)
    _due: dict[int, float] = field(default_factory=dict)
    _last: dict[int, float] = field(default_factory=dict)

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self.observers = list(observers)
        self._due, self._last = {}, {}

    def add(self, observer: Observer, state: State) -> None:
        """Add an observer, which looks at once."""
        self.observers.append(observer)
        self.observe(state)

    def observe(self, state: State) -> None:
        """Let every observer that is due look at the state."""
        for key, observer in enumerate(self.observers):
            due = self._due.get(key, state.time)
            if state.time >= due - ROUNDING * max(due, 1.0):
                self._record(key, state)
                if observer.interval > 0:
                    passed = int(state.time / observer.interval + ROUNDING)
                    self._due[key] = (passed + 1) * observer.interval

    def finish(self, state: State) -> None:
        """Let every observer that has not seen the final state look at it, and close them all."""
        for key, observer in enumerate(self.observers):
            if self._last.get(key) != state.time:
                self._record(key, state)
            observer.close()

    def _record(self, key: int, state: State) -> None:
        self.observers[key].record(state)
        self._last[key] = state.time
