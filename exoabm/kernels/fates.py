"""Who moves in a step, what becomes of each of them, and how the work is cut for threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

STAYS, CAPTURED, CLEARED, ESCAPED = range(4)
"""Codes of the ways in which a step ends for a free vesicle."""

CHUNK = 8192
"""Vesicles of one task, whatever the number of threads."""

Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


class Movers(NamedTuple):
    """Free vesicles, as columns of which only some rows take part; no other row is read or written."""

    rows: Integers
    """(m)"""
    name: Integers
    """(n) The random keys."""
    x: Singles
    """(n) um; replaced by where the step ends."""
    y: Singles
    z: Singles
    """(n) um; left alone in two dimensions."""
    diffusivity: Singles
    """(n) In free medium, um^2/s."""
    start: Singles
    """(n) When each begins, s into the step; 0 for one that is there already."""


class Fates(NamedTuple):
    """How each vesicle ended a step; written."""

    code: NDArray[np.int8]
    """(n) STAYS, CAPTURED, CLEARED or ESCAPED."""
    when: Singles
    """(n) s into the step."""
    target: NDArray[np.int32]
    """(n) Row of the cell, or -1."""

    @classmethod
    def of(cls, n: int) -> Fates:
        """Of n vesicles, all of which stay."""
        return cls(np.zeros(n, np.int8), np.zeros(n, np.float32), np.full(n, -1, np.int32))


def in_chunks(work: Callable[[int, int], None], n: int, threads: int) -> None:
    """Do ``work(first, last)`` for all of n, by one thread at once or by several a chunk each."""
    first = range(0, n, CHUNK)
    if threads == 1 or len(first) <= 1:
        work(0, n)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: work(i, min(i + CHUNK, n)), first))
