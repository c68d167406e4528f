"""Interrupts: Ctrl-C, the stop button of a notebook, and signals of a scheduler or a closed terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals of a user, a scheduler and a closed terminal that end a program, where the system has them."""
SIGNALED = 128
"""Added to the number of a signal in the exit code."""
ONE_REQUEST = 0.5
"""Seconds within which further signals are of the same request; assumed."""
AGAIN = 2 * ONE_REQUEST
"""Seconds until a signal is sent again whose exception was dropped."""


class Ended(SystemExit):
    """A signal, of this number, ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALED + number)
        self.number = number


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Have signals act at the end of this context, in which a short piece of work must not be cut off.

    Without effect in other threads than the main one, which alone answers signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    usual = {number: answer for number, answer in answers().items() if callable(answer)}
    for number in usual:
        signal.signal(number, lambda got, _: came.append(got))
    try:
        yield
    finally:
        answer_as(usual)
        if came:
            usual[came[0]](came[0], None)


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Raise an interrupt at the end of this context, whose work is complete then; a second one acts at once.

    Without effect in other threads than the main one, and where a program answers interrupts itself.

    Raises
    ------
    KeyboardInterrupt
        At the end, or at once at the second interrupt.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield
        return
    held = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal held
        if held:
            signal.default_int_handler(number, frame)
        held = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def end_process_on_signals() -> None:
    """Have a signal end the process at once, while there is nothing to clean up."""
    _answer(lambda number, _: os._exit(SIGNALED + number))


def answers() -> dict[int, Any]:
    """The present answer to each signal."""
    return {number: signal.getsignal(number) for number in SIGNALS}


def answer_as(before: dict[int, Any]) -> None:
    """Answer signals as they were answered before, except where the answer was not Python's."""
    for number, answer in before.items():
        if answer is not None:
            signal.signal(number, answer)


def end_on_signals() -> None:
    """Have a signal raise ``Ended`` in the main thread, also in a step, so that a command cleans up.

    Further signals do not cut that off. Where the exception was lost, the signal is sent again, or a later
    one acts.
    """
    _requests.clear()
    _answer(_end)
    put_before(sys, "unraisablehook", _send_again)


def ignore_signals() -> None:
    """Let no signal change the exit code of a command that has ended."""
    _answer(signal.SIG_IGN)


def _answer(how: Any) -> None:
    """Set the answer to each signal; one that is ignored from the start, as under ``nohup``, stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, how)


_requests: list[tuple[float, Ended]] = []
"""When signals came, s, and what was raised."""


def _end(number: int, _: FrameType | None) -> None:
    """Raise, unless that was just done, or the command is being left already."""
    now = time.monotonic()
    if of_signal(sys.exc_info()[1]) is None and not (_requests and now < _requests[-1][0] + ONE_REQUEST):
        _requests.append((now, Ended(number)))
        raise _requests[-1][1]


def of_signal(error: BaseException | None) -> Ended | None:
    """The end by a signal that an exception is, or came of; None if there was no signal."""
    while not (error is None or isinstance(error, Ended)):
        error = error.__context__
    return error


def last_signal() -> Ended | None:
    """The end by the last signal of this command, also where a library raised something else instead."""
    return _requests[-1][1] if _requests else None


def put_before(place: Any, name: str, first: Callable[..., None]) -> None:
    """Let a function act before the usual one, which it is given; once, however often this is called."""
    usual = getattr(place, name)
    if getattr(usual, "func", None) is not first:
        setattr(place, name, partial(first, usual))


def _send_again(usual: Callable[..., None], lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception was dropped, as Python does in callbacks of weak references."""
    ended = of_signal(lost.exc_value)
    if ended is None:
        usual(lost)
        return
    again = threading.Timer(AGAIN, os.kill, (os.getpid(), ended.number))
    again.daemon = True
    with contextlib.suppress(RuntimeError):  # the process ends already, and starts no thread
        again.start()


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes that begin in here do not hear an interrupt: it is the parent's affair to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
