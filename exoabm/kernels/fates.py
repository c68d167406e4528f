"""Who moves in a step, and what becomes of each of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STAYS, CAPTURED, CLEARED, ESCAPED = range(4)
"""Codes of the ways in which a step ends for a free vesicle."""

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
    attempt: int = 0
    """How often these were turned away in this step where they were captured; they go on from there."""


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
