"""Workers of Dask: a cluster's, or some on this machine. The extra ``cluster`` installs it.

Workers must see the batch's folder under the same path, for they write into it. Dask's scheduler obeys
anyone who reaches it: keep it on the loopback, inside a private network, or behind ``tls://``.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from exoabm.errors import InputError

if TYPE_CHECKING:
    from exoabm.batch.sweeps.workers import Workers

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
    with _deaf():
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
def _deaf() -> Iterator[None]:
    """Processes that begin in here do not hear an interrupt: it is the parent's affair to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _remote(distributed: Any, address: str) -> Iterator[Executor]:
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster {address}: nobody answers there ({error})") from None
    with client:
        yield client.get_executor(pure=False)
