"""Observers with intervals of their own, which are independent of the step of the solver."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from exoabm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exoabm.state import State

ROUNDING = 1e-9


class Observer(Protocol):
    """Looks at a state when due. ``interval`` is in seconds of model time; 0 is every step."""

    interval: float

    def record(self, state: State) -> None:
        """Record this moment."""
        ...

    def close(self) -> None:
        """Write pending records; called once, after the last record."""
        ...

    def snapshot(self) -> dict[str, np.ndarray]:
        """Write the records to disk, and return all other data that ``restore`` requires."""
        ...

    def restore(self, content: Mapping[str, np.ndarray]) -> None:
        """Return to the state of ``snapshot``, without later records; called instead of a first record."""
        ...


class Recorder:
    """Calls each observer at time 0, whenever its interval has passed, and at the end of a run."""

    def __init__(self) -> None:
        self.observers: list[Observer] = []
        self._due: list[float] = []
        self._last: list[float] = []

    def add(self, observer: Observer, state: State) -> None:
        """Add an observer, which looks at once."""
        self.observers.append(observer)
        self._due.append(-math.inf)
        self._last.append(math.nan)
        self._look(len(self.observers) - 1, state)

    def observe(self, state: State) -> None:
        """Let every observer that is due look at the state."""
        for key in self.due_at(state.time):
            self._look(key, state)

    def due_at(self, time: float) -> list[int]:
        """Numbers of the observers that are due at a time in s."""
        return [key for key, due in enumerate(self._due) if time >= due - ROUNDING * max(due, 1.0)]

    def finish(self, state: State) -> None:
        """Let every observer that has not seen the final state look at it, then close them all."""
        for key, last in enumerate(self._last):
            if last != state.time:
                self._look(key, state)
        for observer in self.observers:
            observer.close()

    def snapshot(self) -> dict[str, np.ndarray]:
        """The clocks, and each observer's own snapshot under its number."""
        found = {"due": np.array(self._due), "last": np.array(self._last)}
        for key, observer in enumerate(self.observers):
            found |= {f"{key}/{name}": value for name, value in observer.snapshot().items()}
        return found

    def restore(self, observers: Iterable[Observer], content: Mapping[str, np.ndarray]) -> None:
        """Take these observers, made anew in their old order, up where they were; the last may be missing."""
        self.observers = list(observers)
        self._due, self._last = (content[name].tolist()[: len(self.observers)] for name in ("due", "last"))
        for key, observer in enumerate(self.observers):
            try:
                observer.restore(part(content, f"{key}/"))
            except KeyError as missing:
                raise InputError(f"the checkpoint does not fit its run: it holds no {missing}") from None

    def _look(self, key: int, state: State) -> None:
        """The clock advances before the record, so that a checkpoint contains its own record."""
        observer = self.observers[key]
        if observer.interval > 0:
            passed = int(state.time / observer.interval + ROUNDING)
            self._due[key] = (passed + 1) * observer.interval
        self._last[key] = state.time
        observer.record(state)


def part(content: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Entries with a prefix, by the remainder of their names."""
    return {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
