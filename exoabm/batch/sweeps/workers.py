"""Who runs the rows: this process, processes of this machine, or any executor of someone else.

This module is what a fresh worker imports first, so it imports nothing that is slow.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Any

Workers = Callable[[], AbstractContextManager[Executor]]
"""Opens an executor for a batch; called again where the executor broke because a worker died."""


class ThisProcess(Executor):
    """Runs what it is given at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it, and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def local(jobs: int) -> Workers:
    """Workers on this machine: ``jobs`` processes, or this one where that is enough."""
    return ThisProcess if jobs == 1 else lambda: _processes(jobs)


@contextlib.contextmanager
def kept(workers: Workers) -> Iterator[Workers]:
    """The same workers for several batches, opened when they are first asked for, and again if they broke."""
    held: list[Executor] = []
    with contextlib.ExitStack() as stack:

        @contextlib.contextmanager
        def lent() -> Iterator[Executor]:
            if not held:
                held.append(stack.enter_context(workers()))
            try:
                yield held[0]
            except BrokenExecutor:
                held.clear()
                raise

        yield lent


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[Executor]:
    """Processes that end with this one, however it ends.

    They hold one end of a pipe. When the other end closes, because the batch is over or stopped or this
    process was killed, they exit.
    """
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(theirs,))
    try:
        yield pool
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


def _begin(lifeline: Connection) -> None:
    """Set a worker up: one thread of numba, an interrupt is the parent's affair, and a lifeline."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        wait([lifeline])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
