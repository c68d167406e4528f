"""Turns: which of the running models computes next, so that readers get equal shares of the processors.

Each reader has an account of processor time. A model takes a turn for each frame: some steps, the drawing of
the frame, and the rendering of the page. At most ``places`` turns are under way, so that the interpreter is
free for what readers press. The next one goes to the waiting reader who has used the least, but first to one
who has waited for ``PATIENCE``, so that a model with long steps moves, too. A reader who comes or comes back
starts at the least use among those who run, so that nobody is owed the time of a pause. A turn that lasts
longer than ``LEASE``, as where a connection blocks, no longer keeps its place.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEASE = 1.0
"""Seconds after which the place of a turn is given to another."""
PATIENCE = 0.8
"""Seconds of waiting after which a turn comes before all those of readers who have used less."""
RECENT = 2.0
"""Seconds after a turn during which a reader counts as active."""


class Account:
    """Processor time of one reader.

    Attributes
    ----------
    cpu : float
        Seconds used in turns.
    share : float
        The same, raised after each pause to the least of those who run; the order of turns goes by it.
    """

    def __init__(self) -> None:
        self.cpu = self.share = 0.0


class _Turn:
    def __init__(self, account: Account) -> None:
        self.account, self.gate, self.since = account, threading.Event(), time.monotonic()


class Turns:
    """Places at the processors; thread-safe.

    Parameters
    ----------
    places : int
        Turns at the same time.

    Attributes
    ----------
    whose : callable
        Gives the account of the reader on whose behalf the present thread works; by default a new one.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.whose: Callable[[], Account] = Account
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._held: list[_Turn] = []
        self._active: dict[Account, float] = {}

    @contextmanager
    def turn(self, account: Account) -> Iterator[None]:
        """Wait for a turn of this account, and charge it for the processor time of this thread in it."""
        mine = _Turn(account)
        with self._lock:
            running = [turn.account.share for turn in (*self._waiting, *self._held)]
            account.share = max(account.share, min(running, default=account.share))
            self._active[account] = time.monotonic()
            self._waiting.append(mine)
            self._admit()
        while not mine.gate.wait(LEASE):
            with self._lock:
                self._admit()
        began = time.thread_time()
        try:
            yield
        finally:
            used = time.thread_time() - began
            with self._lock:
                account.cpu += used
                account.share += used
                if mine in self._held:
                    self._held.remove(mine)
                self._admit()

    def active(self) -> int:
        """How many readers had a turn, or asked for one, a moment ago."""
        with self._lock:
            now = time.monotonic()
            self._active = {who: at for who, at in self._active.items() if now - at < RECENT}
            return len(self._active)

    def _admit(self) -> None:
        """Give free places to those who wait and have used least; called under the lock."""
        now = time.monotonic()
        self._held = [turn for turn in self._held if now - turn.since < LEASE]
        while self._waiting and len(self._held) < self.places:
            oldest = self._waiting[0]
            least = min(self._waiting, key=lambda turn: turn.account.share)
            following = oldest if now - oldest.since > PATIENCE else least
            self._waiting.remove(following)
            following.since = now
            self._held.append(following)
            following.gate.set()


TURNS = Turns(os.cpu_count() or 1)
"""Of this process."""
