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
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any

from exoabm.errors import InputError
from exoabm.interrupts import interrupts_ignored
from exoabm.process_memory import own_process

Workers = Callable[[], AbstractContextManager[Executor]]
"""Opens an executor for a batch; called again where the executor broke because a worker died."""


class ThisProcess(Executor):
    """Executor that runs each task at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it, and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def _left_to_the_parent() -> Iterator[None]:
    """Have processes that begin in this context not answer signals of the terminal.

    These reach all processes of a command, also a worker that still imports; the parent ends the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Processes(ProcessPoolExecutor):
    """Processes that begin when there is work for them, with signals of the terminal left to the parent."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a worker run it, a new one where none is idle."""
        with _left_to_the_parent():
            return super().submit(fn, *args, **kwargs)


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
    with _left_to_the_parent():  # also the process by which Python tracks semaphores
        pool = _Processes(jobs, mp_context=context, initializer=_begin, initargs=(theirs,))
    try:
        yield pool
    except BaseException:
        ours.close()
        raise
    finally:
        # Without waiting: if a worker was killed while it held the queue, the others never read that they may
        # end, and the pool (Python 3.11) waits without end. All results are here; the pipe ends the workers.
        pool.shutdown(wait=False, cancel_futures=True)
        ours.close()
        pool.shutdown()
        theirs.close()


def _begin(lifeline: Connection) -> None:
    """Set a worker up: one thread of numba, a lifeline, its own memory, and interrupts left to the parent."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        wait([lifeline])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    own_process()


CONNECT_SECONDS = 10


def dask(address: str) -> Workers:
    """Workers of the Dask scheduler at ``tcp://host:port`` or ``tls://host:port``, or ``local:N`` new ones.

    A worker that dies is Dask's affair: it runs what was lost on another one.

    Raises
    ------
    InputError
        If Dask is not installed, the address makes no sense, or nobody answers there.
    """
    kind, _, rest = address.partition(":")
    if kind == "local":
        if not rest.isdecimal() or not 1 <= int(rest) <= 1024:
            raise InputError(f"--cluster {address}: write local:N with N from 1 to 1024")
    elif kind not in ("tcp", "tls") or not rest.startswith("//"):
        raise InputError(f"--cluster {address}: write tcp://HOST:PORT, tls://HOST:PORT or local:N")
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'exoabm[cluster]'") from None
    return lambda: _local(distributed, int(rest)) if kind == "local" else _remote(distributed, address)


@contextlib.contextmanager
def _local(distributed: Any, n: int) -> Iterator[Executor]:
    with interrupts_ignored():
        cluster = distributed.LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
            silence_logs="CRITICAL",
            env={"NUMBA_NUM_THREADS": "1"},
        )
    with cluster, distributed.Client(cluster) as client:
        yield client.get_executor(pure=False)


@contextlib.contextmanager
def _remote(distributed: Any, address: str) -> Iterator[Executor]:
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster {address}: no scheduler responds ({error})") from None
    with client:
        yield client.get_executor(pure=False)
