"""Long loops in pieces: while a kernel runs Python cannot answer a signal, between two calls it can.

What is cut are sub-steps of a grid, which carry everything on in their arrays, and rows of vesicles, none of
which knows of another. So the result has the same bits for any piece.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VOXELS = 1 << 26
"""Updates of a voxel in a piece; one takes 1 to 5 ns."""
HOPS = 1 << 26
"""Hops of a vesicle from voxel to voxel in a piece; one takes 2 to 5 ns."""
WALKS = 1 << 22
"""Steps of a vesicle among membranes in a piece; one takes 20 to 100 ns."""

CHUNK = 8192
"""Vesicles of one task of a thread, whatever the number of threads."""


def substeps(n: int, voxels: int) -> Iterator[int]:
    """Numbers of sub-steps, n together, each of at most ``VOXELS`` updates or a single sub-step."""
    size = max(1, VOXELS // max(voxels, 1))
    for first in range(0, n, size):
        yield min(size, n - first)


def in_chunks(work: Callable[[int, int], int], n: int, threads: int) -> None:
    """Do ``work(first, last)``, which returns where it stopped, until all of n are done.

    By one thread, or by several a chunk each; an exception in the one that waits ends the others, too.
    """
    stopped = threading.Event()

    def whole(first: int, last: int) -> None:
        while first < last and not stopped.is_set():
            first = work(first, last)

    starts = range(0, n, CHUNK)
    if threads == 1 or len(starts) <= 1:
        whole(0, n)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(lambda i: whole(i, min(i + CHUNK, n)), starts))
        finally:
            stopped.set()
