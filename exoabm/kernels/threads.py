"""Work of kernels in several threads: shares, chunks of rows, and phases that all complete together.

While a kernel runs, Python cannot answer a signal; between two calls it can. Rows are independent of each
other, so that the result has the same bits for any division. Phases are numbered: none begins before all
threads have completed the one before. Threads wait for that within the kernel, as a phase takes less time
than Python needs to wake a thread; after `MOST_READS` reads a waiting thread returns to Python, where others
can run and signals are handled, and then waits again.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

CHUNK = 2048
"""Rows of one task of a thread."""
MOST_READS = 1 << 17
"""Reads of the progress of another thread before a return to Python: about 0.3 ms; a return takes 0.1 ms."""
_LINE = 8
"""Numbers in a cache line; each thread writes to one of its own."""
_BYTES = 8


def run_together(shares: Sequence[Callable[[threading.Event], None]]) -> None:
    """Do the first share in this thread and each other one in a thread of its own.

    Each gets an event, after which it should end soon: it is set by an exception in this thread, also while
    it waits for the others. An exception of another is raised when this thread has done its share.
    """
    own, *others = shares
    stopped = threading.Event()
    if not others:
        own(stopped)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        try:
            begun = [pool.submit(share, stopped) for share in others]
            own(stopped)
            for thread in begun:
                thread.result()
        finally:
            stopped.set()


def run_in_chunks(work: Callable[[int, int], int], n: int, threads: int) -> None:
    """Do ``work(first, last)``, which returns the row where it stopped, until all of n are done.

    In this thread, or in it and others, which take a chunk whenever they are free; an exception in one ends
    them all.
    """
    threads = max(1, min(threads, n // CHUNK))
    size = CHUNK if threads > 1 else max(n, 1)
    starts = iter(range(0, n, size))

    def share(stopped: threading.Event) -> None:
        try:
            for start in starts:
                first, last = start, min(start + size, n)
                while first < last and not stopped.is_set():
                    first = work(first, last)
        except BaseException:
            stopped.set()
            raise

    run_together([share] * threads)


def _place(context: Any, builder: Any, array: Any, given: Any, index: Any) -> Any:
    """Address of a number in an array, (n) int64."""
    return builder.gep(context.make_array(array)(context, builder, given).data, [index])


@intrinsic
def _load(typing: Any, array: Any, index: Any) -> Any:
    """Atomic load of ``array[index]`` with acquire order: what was written before its store is visible."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], values[0], values[1])
        return builder.load_atomic(place, "acquire", _BYTES)

    return types.int64(array, types.intp), code


@intrinsic
def _store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Atomic store of ``array[index] = value`` with release order: after earlier writes of this thread."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature.args[0], values[0], values[1])
        builder.store_atomic(values[2], place, "release", _BYTES)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.int64), code


@njit(cache=True, nogil=True)
def may_begin(progress, phase):
    """Whether all threads have completed the phases before this one, after at most `MOST_READS` reads."""
    for place in range(0, progress.size, _LINE):
        reads = 0
        while _load(progress, place) < phase:
            reads += 1
            if reads == MOST_READS:
                return False
    return True


@njit(cache=True, nogil=True)
def note_done(progress, thread, phase):
    """Record that a thread has completed a phase."""
    _store(progress, thread * _LINE, phase + 1)


def run_in_phases(
    work: Callable[[int, NDArray[np.int64], int, int], int], threads: int, phases: int, at_once: int
) -> None:
    """Call ``work(thread, progress, first, last)`` until all phases are done; it returns the next.

    A call covers at most ``at_once`` phases, with `may_begin` before and `note_done` after each of them. An
    exception in one thread ends all.
    """
    progress = np.zeros(threads * _LINE, np.int64)

    def share(thread: int, stopped: threading.Event) -> None:
        try:
            phase = 0
            while phase < phases and not stopped.is_set():
                before, phase = phase, work(thread, progress, phase, min(phase + at_once, phases))
                if phase == before:
                    time.sleep(0)
        except BaseException:
            stopped.set()
            raise

    run_together([partial(share, thread) for thread in range(threads)])
