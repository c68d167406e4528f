"""Memory of the process: what is freed returns to the system, and the most that was taken."""

from __future__ import annotations

import ctypes
import os
import sys


def return_memory() -> None:
    """Return freed memory to the system, which glibc otherwise keeps; tables and figures need as much."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Numbers of the options in glibc's ``malloc.h``."""
RETURNED_ARRAY = 4 << 20
"""Bytes of an array from which on it returns to the system when it is freed; assumed, below the columns of a
million vesicles."""
KEPT_AT_TOP = 32 << 20
"""Freed bytes at the end of the heap up to which they are kept for smaller arrays; glibc's own largest."""
_own: set[int] = set()


def own_process() -> None:
    """State that nothing but exoabm runs in this process, so that it may set how memory is allocated.

    Arrow, when it is loaded, takes it from the allocator of NumPy, which can use again what tables needed.
    """
    _own.add(os.getpid())
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def shared_process() -> None:
    """State that a server runs in this process: runs of readers set nothing that would stay."""
    _own.discard(os.getpid())


def keep_little_memory() -> None:
    """Have glibc return arrays of `RETURNED_ARRAY` and more to the system whenever they are freed.

    With tables that grow it otherwise comes to keep those up to 32 MB, in holes that nothing else fits. All
    threads take memory from one place, so that each can use again what another has freed. It holds until the
    process ends: processes of others, such as notebooks, and settings of the user in the environment stay as
    they are.
    """
    settings = ("MALLOC_", "GLIBC_TUNABLES")
    if os.getpid() not in _own or any(name.startswith(settings) for name in os.environ):
        return
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, RETURNED_ARRAY)
        library.mallopt(_TRIM_THRESHOLD, KEPT_AT_TOP)
        library.mallopt(_ARENA_MAX, 1)


def peak_memory() -> int:
    """Largest resident memory of this process until now, bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
