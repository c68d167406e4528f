"""Interrupts: Ctrl-C, the stop button of a notebook, and signals of a scheduler or a closed terminal."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a program, where the system has them."""


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Have signals act at the end of this context, in which a short piece of work must not be cut off.

    Without effect in other threads than the main one, which alone answers signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    answers = {number: signal.getsignal(number) for number in ENDINGS}
    usual = {number: answer for number, answer in answers.items() if callable(answer)}
    for number in usual:
        signal.signal(number, lambda got, _: came.append(got))
    try:
        yield
    finally:
        for number, answer in usual.items():
            signal.signal(number, answer)
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


def answer_at_once() -> None:
    """Have interrupts act at once from now on, also in a step, unless they are ignored or answered."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.default_int_handler(number, frame)
