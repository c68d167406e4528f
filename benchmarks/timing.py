"""Measurements and how they are shown.

Machines differ and are shared, so only ratios taken in one run mean anything. Every figure is the median of
alternating rounds: kernel, reference, kernel, reference.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 5
SECONDS_PER_ROUND = 0.15


@dataclass(frozen=True)
class Report:
    """A table: one dict per row, keyed by ``columns``; ``draw`` writes its picture, if there is one."""

    title: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    draw: Callable[[Path], None] | None = None


def measure(*tasks: Callable[[int], object]) -> list[float]:
    """Median seconds of one sub-step of each task, over alternating rounds."""
    counts = []
    for task in tasks:
        task(2)  # compile and warm up
        counts.append(max(2, int(SECONDS_PER_ROUND / max(timed(partial(task, 2)) / 2, 1e-7))))
    rounds = [
        [timed(partial(task, n)) / n for task, n in zip(tasks, counts, strict=True)] for _ in range(ROUNDS)
    ]
    return [float(x) for x in np.median(rounds, axis=0)]


def timed(task: Callable[[], Any]) -> float:
    """Seconds that a task takes once."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start
